/* PNG through libpng. Its errors arrive by longjmp, so everything that must survive one lives in a struct outside the function that
 * calls setjmp. */
#include "io/raster_internal.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

enum { MESSAGE_BYTES = 160, CHUNK_BYTES_MAX = 8 << 20, CHUNKS_MAX = 1000 };

/* Deflate cannot shrink data by more than this; a file that promises more pixels is truncated or an attack on our memory. */
enum { DEFLATE_RATIO_MAX = 1032, DEFLATE_SLACK = 65536 };

typedef struct png_job {
    png_structp png;
    png_infop info;
    const char *path;
    bool rgba; /* four channels of 8 bit whatever the file holds */
    char message[MESSAGE_BYTES];
    um_status rc;
    um_raster raster;
    png_bytep *rows;
    int64_t file_bytes;
    uint8_t *buffer; /* encoded file */
    size_t n, cap;
} png_job;

static void on_error(png_structp png, png_const_charp text)
{
    png_job *j = png_get_error_ptr(png);
    snprintf(j->message, sizeof j->message, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    const png_job *j = png_get_error_ptr(png);
    um_log(UM_LOG_DEBUG, "%s: libpng: %s", j->path, text);
}

static void choose_rgba(png_job *j, int color)
{
    png_set_expand(j->png);
    png_set_scale_16(j->png);
    if ((color & PNG_COLOR_MASK_COLOR) == 0) {
        png_set_gray_to_rgb(j->png);
    }
    if ((color & PNG_COLOR_MASK_ALPHA) == 0 && !png_get_valid(j->png, j->info, PNG_INFO_tRNS)) {
        png_set_add_alpha(j->png, 255, PNG_FILLER_AFTER);
    }
    png_set_interlace_handling(j->png);
    png_read_update_info(j->png, j->info);
}

static void choose_transforms(png_job *j, int depth, int color)
{
    if (j->rgba) {
        choose_rgba(j, color);
        return;
    }
    if (color == PNG_COLOR_TYPE_PALETTE) {
        png_set_palette_to_rgb(j->png);
    }
    if (color == PNG_COLOR_TYPE_GRAY && depth < 8) {
        png_set_expand_gray_1_2_4_to_8(j->png);
    }
    if ((color & PNG_COLOR_MASK_ALPHA) != 0 || png_get_valid(j->png, j->info, PNG_INFO_tRNS)) {
        png_set_strip_alpha(j->png);
        um_log(UM_LOG_DEBUG, "%s: transparency dropped", j->path);
    }
    if (depth == 16 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
        png_set_swap(j->png);
    }
    png_set_interlace_handling(j->png);
    png_read_update_info(j->png, j->info);
}

static um_status make_room(png_job *j, size_t row_bytes)
{
    um_status rc = UM_OK;
    um_raster *r = &j->raster;
    if (row_bytes != (size_t)(r->w * r->c * (r->bits / 8))) {
        rc = um_fail(UM_E_DATA, "%s: unexpected PNG layout; convert it to 8 or 16 bit grey or RGB", j->path);
        goto done;
    }
    /* a 1-bit palette index becomes three or four bytes, hence the 32 */
    if (row_bytes * (size_t)r->h / 32 > (size_t)j->file_bytes * DEFLATE_RATIO_MAX + DEFLATE_SLACK) {
        rc = um_fail(UM_E_DATA, "%s: truncated: %lld bytes cannot hold %lld x %lld pixels", j->path, (long long)j->file_bytes,
                     (long long)r->w, (long long)r->h);
        goto done;
    }
    UM_TRY(um_alloc(&r->data, (size_t)r->h, row_bytes));
    UM_TRY(UM_NEW_ARRAY(j->rows, r->h));
    for (int64_t y = 0; y < r->h; y++) {
        j->rows[y] = (png_bytep)r->data + (size_t)y * row_bytes;
    }
done:
    return rc;
}

/* Returns with j->rc set; jumps here when libpng fails. */
static void read_all(png_job *j, FILE *f)
{
    if (setjmp(png_jmpbuf(j->png))) {
        j->rc = um_fail(UM_E_DATA, "%s: damaged PNG: %s", j->path, j->message);
        return;
    }
    png_set_user_limits(j->png, 0x7fffffff, 0x7fffffff); /* our own limits follow, with our own message */
    png_set_chunk_malloc_max(j->png, CHUNK_BYTES_MAX);
    png_set_chunk_cache_max(j->png, CHUNKS_MAX);
    png_init_io(j->png, f);
    png_read_info(j->png, j->info);
    const int depth = png_get_bit_depth(j->png, j->info);
    j->raster.h = png_get_image_height(j->png, j->info);
    j->raster.w = png_get_image_width(j->png, j->info);
    j->raster.bits = depth == 16 && !j->rgba ? 16 : 8;
    j->rc = um_raster_check_size(j->path, j->raster.h, j->raster.w);
    if (j->rc != UM_OK) {
        return;
    }
    choose_transforms(j, depth, png_get_color_type(j->png, j->info));
    j->raster.c = png_get_channels(j->png, j->info);
    j->rc = make_room(j, png_get_rowbytes(j->png, j->info));
    if (j->rc != UM_OK) {
        return;
    }
    png_read_image(j->png, j->rows);
    png_read_end(j->png, NULL);
}

static um_status decode(um_raster *out, FILE *f, int64_t file_bytes, const char *path, bool rgba)
{
    um_status rc = UM_OK;
    png_job j = {.path = path, .file_bytes = file_bytes, .rgba = rgba};
    j.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning);
    j.info = j.png != NULL ? png_create_info_struct(j.png) : NULL;
    if (j.info == NULL) {
        rc = um_fail(UM_E_MEMORY, "%s: libpng could not start", path);
        goto done;
    }
    read_all(&j, f);
    UM_TRY(j.rc);
    *out = j.raster;
    j.raster.data = NULL;
done:
    png_destroy_read_struct(&j.png, &j.info, NULL);
    um_free(j.rows);
    um_free(j.raster.data);
    return rc;
}

um_status um_png_decode(um_raster *out, FILE *f, int64_t file_bytes, const char *path)
{
    return decode(out, f, file_bytes, path, false);
}

um_status um_png_decode_rgba(um_raster *out, FILE *f, int64_t file_bytes, const char *path)
{
    return decode(out, f, file_bytes, path, true);
}

static void on_write(png_structp png, png_bytep data, size_t n)
{
    png_job *j = png_get_io_ptr(png);
    if (n > j->cap - j->n) {
        const size_t cap = 2 * j->cap + n + 4096;
        if (UM_GROW(j->buffer, j->cap, cap) != UM_OK) {
            png_error(png, "out of memory");
        }
        j->cap = cap;
    }
    memcpy(j->buffer + j->n, data, n);
    j->n += n;
}

static void on_flush(png_structp png)
{
    (void)png;
}

static void write_all(png_job *j)
{
    const um_raster *r = &j->raster;
    if (setjmp(png_jmpbuf(j->png))) {
        j->rc = um_fail(UM_E_DATA, "%s: cannot encode as PNG: %s", j->path, j->message);
        return;
    }
    png_set_write_fn(j->png, j, on_write, on_flush);
    png_set_IHDR(j->png, j->info, (png_uint_32)r->w, (png_uint_32)r->h, r->bits,
                 r->c == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(j->png, j->info);
    if (r->bits == 16 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
        png_set_swap(j->png);
    }
    const size_t row_bytes = (size_t)(r->w * r->c * (r->bits / 8));
    for (int64_t y = 0; y < r->h; y++) {
        png_write_row(j->png, (png_const_bytep)r->data + (size_t)y * row_bytes);
    }
    png_write_end(j->png, NULL);
}

um_status um_png_write(const char *path, const um_raster *r)
{
    um_status rc = UM_OK;
    png_job j = {.path = path, .raster = *r};
    if ((r->c != 1 && r->c != 3) || (r->bits != 8 && r->bits != 16)) {
        rc = um_fail(UM_E_DATA, "%s: a PNG here has 1 or 3 channels of 8 or 16 bits, not %d of %d", path, r->c, r->bits);
        goto done;
    }
    UM_TRY(um_raster_check_size(path, r->h, r->w));
    j.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning);
    j.info = j.png != NULL ? png_create_info_struct(j.png) : NULL;
    if (j.info == NULL) {
        rc = um_fail(UM_E_MEMORY, "%s: libpng could not start", path);
        goto done;
    }
    write_all(&j);
    UM_TRY(j.rc);
    UM_TRY(um_file_write(path, j.buffer, j.n));
done:
    png_destroy_write_struct(&j.png, &j.info);
    um_free(j.buffer);
    return rc;
}
