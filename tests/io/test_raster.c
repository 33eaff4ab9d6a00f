#include "io_fixture.h"

#include <jpeglib.h>
#include <png.h>

#include "io/raster.h"

static um_raster make_raster(int64_t h, int64_t w, int c, int bits)
{
    um_raster r = {h, w, c, bits, NULL};
    OK(um_alloc(&r.data, (size_t)(h * w * c), (size_t)bits / 8));
    for (int64_t i = 0; i < h * w * c; i++) {
        const uint32_t v = (uint32_t)(i + 1) * 2654435761u;
        if (bits == 8) {
            ((uint8_t *)r.data)[i] = (uint8_t)(v >> 24);
        } else {
            ((uint16_t *)r.data)[i] = (uint16_t)(v >> 16);
        }
    }
    return r;
}

static size_t bytes_of(const um_raster *r)
{
    return (size_t)(r->h * r->w * r->c * (r->bits / 8));
}

static void png_round_trip(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        um_raster a = make_raster(13, 17, k & 1 ? 3 : 1, k & 2 ? 16 : 8), b = {0};
        OK(um_png_write(at("a.png"), &a));
        OK(um_raster_read(&b, at("a.png")));
        assert_true(b.h == 13 && b.w == 17 && b.c == a.c && b.bits == a.bits);
        assert_memory_equal(a.data, b.data, bytes_of(&a));
        um_raster_clear(&b);
        um_raster_clear(&a);
    }
}

/* A PNG of any kind, from rows as they lie in the file (16 bit big endian). */
typedef struct kind {
    int64_t h, w;
    int depth, color, interlace;
    png_color palette[4];
    int with_trns;
} kind;

static void write_kind(const char *path, const kind *k, uint8_t *rows, size_t row_bytes)
{
    FILE *f = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_bytep pointers[64];
    assert_non_null(f);
    for (int64_t y = 0; y < k->h; y++) {
        pointers[y] = rows + (size_t)y * row_bytes;
    }
    png_init_io(png, f);
    png_set_IHDR(png, info, (png_uint_32)k->w, (png_uint_32)k->h, k->depth, k->color, k->interlace, 0, 0);
    if (k->color == PNG_COLOR_TYPE_PALETTE) {
        png_set_PLTE(png, info, k->palette, 4);
    }
    if (k->with_trns) {
        png_set_tRNS(png, info, (uint8_t[4]){0, 80, 160, 255}, 4, NULL);
    }
    png_set_rows(png, info, pointers);
    png_write_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(f);
}

static void expect(const char *path, int64_t h, int64_t w, int c, int bits, const void *data)
{
    um_raster r = {0};
    OK(um_raster_read(&r, path));
    assert_true(r.h == h && r.w == w && r.c == c && r.bits == bits);
    assert_memory_equal(r.data, data, bytes_of(&r));
    um_raster_clear(&r);
}

static void palettes_and_few_bits(void **state)
{
    (void)state;
    const kind palette = {1, 4, 2, PNG_COLOR_TYPE_PALETTE, 0, {{1, 2, 3}, {40, 50, 60}, {7, 7, 7}, {255, 0, 9}}, 0};
    kind clear = palette;
    clear.with_trns = 1;
    const uint8_t colours[] = {1, 2, 3, 40, 50, 60, 7, 7, 7, 255, 0, 9};
    write_kind(at("p.png"), &palette, (uint8_t[]){0x1b}, 1); /* indices 0 1 2 3 */
    expect(at("p.png"), 1, 4, 3, 8, colours);
    write_kind(at("t.png"), &clear, (uint8_t[]){0x1b}, 1);
    expect(at("t.png"), 1, 4, 3, 8, colours);
    write_kind(at("1.png"), &(kind){1, 8, 1, PNG_COLOR_TYPE_GRAY, 0, {{0}}, 0}, (uint8_t[]){0xa1}, 1);
    expect(at("1.png"), 1, 8, 1, 8, (uint8_t[]){255, 0, 255, 0, 0, 0, 0, 255});
    write_kind(at("2.png"), &(kind){1, 4, 2, PNG_COLOR_TYPE_GRAY, 0, {{0}}, 0}, (uint8_t[]){0x1b}, 1);
    expect(at("2.png"), 1, 4, 1, 8, (uint8_t[]){0, 85, 170, 255});
    write_kind(at("4.png"), &(kind){1, 2, 4, PNG_COLOR_TYPE_GRAY, 0, {{0}}, 0}, (uint8_t[]){0x2f}, 1);
    expect(at("4.png"), 1, 2, 1, 8, (uint8_t[]){34, 255});
}

static void alpha_is_dropped_and_16_bits_are_host_order(void **state)
{
    (void)state;
    write_kind(at("ga.png"), &(kind){1, 2, 8, PNG_COLOR_TYPE_GRAY_ALPHA, 0, {{0}}, 0}, (uint8_t[]){10, 0, 20, 99}, 4);
    expect(at("ga.png"), 1, 2, 1, 8, (uint8_t[]){10, 20});
    write_kind(at("rgba.png"), &(kind){1, 1, 16, PNG_COLOR_TYPE_RGB_ALPHA, 0, {{0}}, 0}, (uint8_t[]){1, 2, 3, 4, 5, 6, 0, 1}, 8);
    expect(at("rgba.png"), 1, 1, 3, 16, (uint16_t[]){0x0102, 0x0304, 0x0506});
}

static void interlaced(void **state)
{
    (void)state;
    uint8_t pixels[11 * 9];
    for (int i = 0; i < 99; i++) {
        pixels[i] = (uint8_t)(i * 37);
    }
    write_kind(at("i.png"), &(kind){11, 9, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_ADAM7, {{0}}, 0}, pixels, 9);
    expect(at("i.png"), 11, 9, 1, 8, pixels);
}

static void write_jpeg(const char *path, int64_t h, int64_t w, int channels, J_COLOR_SPACE space, int progressive)
{
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr errors;
    uint8_t row[4 * 64];
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    j.err = jpeg_std_error(&errors);
    jpeg_create_compress(&j);
    jpeg_stdio_dest(&j, f);
    j.image_height = (JDIMENSION)h;
    j.image_width = (JDIMENSION)w;
    j.input_components = channels;
    j.in_color_space = space;
    jpeg_set_defaults(&j);
    jpeg_set_quality(&j, 95, TRUE);
    if (progressive) {
        jpeg_simple_progression(&j);
    }
    jpeg_start_compress(&j, TRUE);
    for (int64_t y = 0; y < h; y++) {
        JSAMPROW rows[1] = {row};
        for (int64_t x = 0; x < w * channels; x++) {
            row[x] = (uint8_t)(60 + 3 * y + x % channels * 50);
        }
        jpeg_write_scanlines(&j, rows, 1);
    }
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    fclose(f);
}

static void jpeg_grey_and_colour(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        const int c = k & 1 ? 3 : 1;
        um_raster r = {0};
        write_jpeg(at("j.jpg"), 20, 30, c, c == 1 ? JCS_GRAYSCALE : JCS_RGB, k & 2);
        OK(um_raster_read(&r, at("j.jpg")));
        assert_true(r.h == 20 && r.w == 30 && r.c == c && r.bits == 8);
        for (int64_t i = 0; i < 20 * 30 * c; i++) {
            const int want = 60 + 3 * (int)(i / (30 * c)) + (int)(i % c) * 50;
            assert_in_range(((uint8_t *)r.data)[i] + 1000, want + 1000 - 4, want + 1000 + 4);
        }
        um_raster_clear(&r);
    }
}

static void content_decides_not_the_name(void **state)
{
    (void)state;
    um_raster r = {0};
    write_jpeg(at("really.png"), 8, 8, 1, JCS_GRAYSCALE, 0);
    OK(um_raster_read(&r, at("really.png")));
    um_raster_clear(&r);
}

static void refusals_name_the_file(void **state)
{
    (void)state;
    um_raster r = {0};
    FAILS(um_raster_read(&r, at("missing.png")), UM_E_IO, "missing.png");
    store_bytes(at("text.png"), (const uint8_t *)"hello", 5);
    FAILS(um_raster_read(&r, at("text.png")), UM_E_DATA, "text.png: neither a PNG nor a JPEG file (5 bytes)");
    store_bytes(at("empty.png"), (const uint8_t *)"", 0);
    FAILS(um_raster_read(&r, at("empty.png")), UM_E_DATA, "empty.png");
    write_jpeg(at("cmyk.jpg"), 8, 8, 4, JCS_CMYK, 0);
    FAILS(um_raster_read(&r, at("cmyk.jpg")), UM_E_DATA, "cmyk.jpg: CMYK JPEG");
    assert_null(r.data);
    um_raster two = {1, 1, 2, 8, "xx"};
    FAILS(um_png_write(at("two.png"), &two), UM_E_DATA, "two.png");
    assert_false(um_file_exists(at("two.png")));
    um_raster fine = make_raster(2, 2, 1, 8);
    FAILS(um_png_write(at("no/such/folder.png"), &fine), UM_E_IO, "folder.png");
    um_raster_clear(&fine);
}

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int k = 0; k < 4; k++) {
        p[k] = (uint8_t)(v >> (24 - 8 * k));
    }
}

/* Rewrites width and height in the header of a PNG, with a matching checksum. */
static void lie_about_size(const char *path, uint32_t w, uint32_t h)
{
    size_t n;
    uint8_t *b = load_bytes(path, &n);
    uint32_t crc = 0xffffffffu;
    put_u32(b + 16, w);
    put_u32(b + 20, h);
    for (int i = 12; i < 29; i++) {
        crc ^= b[i];
        for (int k = 0; k < 8; k++) {
            crc = crc >> 1 ^ (crc & 1u ? 0xedb88320u : 0u);
        }
    }
    put_u32(b + 29, ~crc);
    store_bytes(path, b, n);
    free(b);
}

static void sizes_beyond_the_limits(void **state)
{
    (void)state;
    um_raster a = make_raster(4, 4, 1, 8), r = {0};
    OK(um_png_write(at("big.png"), &a));
    lie_about_size(at("big.png"), 40000, 2);
    FAILS(um_raster_read(&r, at("big.png")), UM_E_DATA, "40000 x 2 pixels is beyond the limit");
    lie_about_size(at("big.png"), 32768, 32768);
    FAILS(um_raster_read(&r, at("big.png")), UM_E_DATA, "beyond the limit");
    lie_about_size(at("big.png"), 16384, 16384);
    FAILS(um_raster_read(&r, at("big.png")), UM_E_DATA, "truncated");
    lie_about_size(at("big.png"), 4, 5);
    FAILS(um_raster_read(&r, at("big.png")), UM_E_DATA, "big.png: damaged PNG");
    um_raster_clear(&a);
}

/* Every prefix of the file that lacks more than its last two bytes is refused. */
static void read_all_prefixes(const char *path, size_t step)
{
    size_t n;
    uint8_t *bytes = load_bytes(path, &n);
    for (size_t k = 0; k < n - 2; k += step) {
        um_raster r = {0};
        store_bytes(at("prefix"), bytes, k);
        const um_status rc = um_raster_read(&r, at("prefix"));
        assert_true(rc == UM_E_DATA && strstr(um_error_text(), "prefix") != NULL && r.data == NULL);
    }
    free(bytes);
}

static void truncated_files(void **state)
{
    (void)state;
    um_raster a = make_raster(9, 9, 3, 8);
    OK(um_png_write(at("a.png"), &a));
    read_all_prefixes(at("a.png"), 1);
    write_jpeg(at("a.jpg"), 24, 24, 3, JCS_RGB, 0);
    read_all_prefixes(at("a.jpg"), 5);
    write_jpeg(at("b.jpg"), 24, 24, 3, JCS_RGB, 1);
    read_all_prefixes(at("b.jpg"), 7);
    um_raster_clear(&a);
}

/* Changes one byte in three, one at a time: refused or decoded, never crashing or leaking (the sanitizers watch). */
static void damaged_files(void **state)
{
    (void)state;
    const char *const names[] = {"d.png", "d.jpg"};
    um_raster a = make_raster(9, 9, 3, 16);
    OK(um_png_write(at("d.png"), &a));
    write_jpeg(at("d.jpg"), 24, 24, 3, JCS_RGB, 1);
    for (int k = 0; k < 2; k++) {
        size_t n;
        uint8_t *bytes = load_bytes(at(names[k]), &n);
        for (size_t i = 0; i < n; i += 3) {
            um_raster r = {0};
            const uint8_t old = bytes[i];
            bytes[i] ^= (uint8_t)(1u << (i % 8)) | 0x10u;
            store_bytes(at("damaged"), bytes, n);
            const um_status rc = um_raster_read(&r, at("damaged"));
            assert_true(rc == UM_OK ? r.data != NULL : rc == UM_E_DATA && r.data == NULL);
            um_raster_clear(&r);
            bytes[i] = old;
        }
        free(bytes);
    }
    um_raster_clear(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(png_round_trip),
        FIXTURE_TEST(palettes_and_few_bits),
        FIXTURE_TEST(alpha_is_dropped_and_16_bits_are_host_order),
        FIXTURE_TEST(interlaced),
        FIXTURE_TEST(jpeg_grey_and_colour),
        FIXTURE_TEST(content_decides_not_the_name),
        FIXTURE_TEST(refusals_name_the_file),
        FIXTURE_TEST(sizes_beyond_the_limits),
        FIXTURE_TEST(truncated_files),
        FIXTURE_TEST(damaged_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
