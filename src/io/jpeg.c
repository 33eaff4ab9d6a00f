/* JPEG through libjpeg(-turbo). Its errors arrive by longjmp; state that must survive one lives in a struct outside the function
 * that calls setjmp. */
#include "io/raster_internal.h"

#include <jpeglib.h>
#include <jerror.h>
#include <setjmp.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

enum { SCANS_MAX = 500, MEMORY_MAX_BYTES = 1 << 30 };

/* The component of full resolution has a Huffman code of at least one bit for every 8x8 block. */
enum { PIXELS_PER_BYTE_MAX = 8 * 64 };

typedef struct jpeg_job {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
    const char *path;
    int64_t file_bytes;
    um_status rc;
    um_raster raster;
} jpeg_job;

static void on_error(j_common_ptr c)
{
    jpeg_job *j = c->client_data;
    c->err->format_message(c, j->message);
    longjmp(j->back, 1);
}

/* Warnings of libjpeg that leave the pixels as they were meant. All others mean damaged data, which it would fill with grey. */
static int is_harmless(int code)
{
    return code == JWRN_ADOBE_XFORM || code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_BOGUS_PROGRESSION;
}

static void on_message(j_common_ptr c, int level)
{
    jpeg_job *j = c->client_data;
    if (level >= 0) {
        return;
    }
    if (!is_harmless(c->err->msg_code)) {
        on_error(c);
    }
    c->err->format_message(c, j->message);
    um_log(UM_LOG_DEBUG, "%s: libjpeg: %s", j->path, j->message);
}

/* A progressive file may hold any number of empty scans, each costing a pass over the whole picture. */
static void on_progress(j_common_ptr c)
{
    jpeg_job *j = c->client_data;
    if (((j_decompress_ptr)c)->input_scan_number > SCANS_MAX) {
        snprintf(j->message, sizeof j->message, "more than %d scans", SCANS_MAX);
        longjmp(j->back, 1);
    }
}

static um_status choose_output(jpeg_job *j)
{
    struct jpeg_decompress_struct *jpeg = &j->jpeg;
    if (jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK) {
        return um_fail(UM_E_DATA, "%s: CMYK JPEG; convert it to RGB or grey", j->path);
    }
    jpeg->out_color_space = jpeg->jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
    j->raster.c = jpeg->out_color_space == JCS_GRAYSCALE ? 1 : 3;
    j->raster.bits = 8;
    j->raster.h = jpeg->image_height;
    j->raster.w = jpeg->image_width;
    um_status rc = um_raster_check_size(j->path, j->raster.h, j->raster.w);
    if (rc == UM_OK && !jpeg->arith_code && j->raster.h * j->raster.w / PIXELS_PER_BYTE_MAX > j->file_bytes) {
        rc = um_fail(UM_E_DATA, "%s: truncated: %lld bytes cannot hold %lld x %lld pixels", j->path, (long long)j->file_bytes,
                     (long long)j->raster.w, (long long)j->raster.h);
    }
    return rc;
}

/* Returns with j->rc set; jumps here when libjpeg fails. */
static void read_all(jpeg_job *j, FILE *f)
{
    if (setjmp(j->back)) {
        j->rc = um_fail(UM_E_DATA, "%s: damaged JPEG: %s", j->path, j->message);
        return;
    }
    jpeg_create_decompress(&j->jpeg);
    j->jpeg.mem->max_memory_to_use = MEMORY_MAX_BYTES;
    j->jpeg.progress = &j->progress;
    jpeg_stdio_src(&j->jpeg, f);
    jpeg_read_header(&j->jpeg, TRUE);
    j->rc = choose_output(j);
    if (j->rc != UM_OK) {
        return;
    }
    j->rc = um_alloc(&j->raster.data, (size_t)(j->raster.h * j->raster.w), (size_t)j->raster.c);
    if (j->rc != UM_OK) {
        return;
    }
    jpeg_start_decompress(&j->jpeg);
    while (j->jpeg.output_scanline < j->jpeg.output_height) {
        JSAMPROW row = (JSAMPROW)j->raster.data + (size_t)j->jpeg.output_scanline * (size_t)(j->raster.w * j->raster.c);
        jpeg_read_scanlines(&j->jpeg, &row, 1);
    }
    jpeg_finish_decompress(&j->jpeg);
}

um_status um_jpeg_decode(um_raster *out, FILE *f, int64_t file_bytes, const char *path)
{
    um_status rc = UM_OK;
    jpeg_job j = {.path = path, .file_bytes = file_bytes};
    j.jpeg.err = jpeg_std_error(&j.errors);
    j.errors.error_exit = on_error;
    j.errors.emit_message = on_message;
    j.progress.progress_monitor = on_progress;
    j.jpeg.client_data = &j;
    read_all(&j, f);
    UM_TRY(j.rc);
    *out = j.raster;
    j.raster.data = NULL;
done:
    jpeg_destroy_decompress(&j.jpeg);
    um_free(j.raster.data);
    return rc;
}
