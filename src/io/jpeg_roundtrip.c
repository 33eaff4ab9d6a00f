/* Compressing a picture and decompressing it again, in memory, by libjpeg(-turbo) itself. Its errors arrive by longjmp; state that
 * must survive one lives in a struct outside the function that calls setjmp. */
#include "io/jpeg_roundtrip.h"

#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <setjmp.h>
#include <stdbool.h>

typedef struct trip {
    struct jpeg_error_mgr errors;
    struct jpeg_compress_struct in;
    struct jpeg_decompress_struct out;
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
    unsigned char *file;
    unsigned long bytes;
} trip;

static void on_error(j_common_ptr c)
{
    trip *t = c->client_data;
    c->err->format_message(c, t->message);
    longjmp(t->back, 1);
}

static void compress(trip *t, uint8_t *pixels, int64_t h, int64_t w, int64_t c, int quality, um_jpeg_subsampling subsampling)
{
    jpeg_create_compress(&t->in);
    jpeg_mem_dest(&t->in, &t->file, &t->bytes);
    t->in.image_height = (JDIMENSION)h;
    t->in.image_width = (JDIMENSION)w;
    t->in.input_components = (int)c;
    t->in.in_color_space = c == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&t->in);
    jpeg_set_quality(&t->in, quality, TRUE);
    if (c == 3 && subsampling == UM_JPEG_444)
        t->in.comp_info[0].h_samp_factor = t->in.comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(&t->in, TRUE);
    while (t->in.next_scanline < t->in.image_height) {
        JSAMPROW row = pixels + (int64_t)t->in.next_scanline * w * c;
        jpeg_write_scanlines(&t->in, &row, 1);
    }
    jpeg_finish_compress(&t->in);
}

static void decompress(trip *t, uint8_t *pixels, int64_t w, int64_t c)
{
    jpeg_create_decompress(&t->out);
    jpeg_mem_src(&t->out, t->file, t->bytes);
    jpeg_read_header(&t->out, TRUE);
    jpeg_start_decompress(&t->out);
    while (t->out.output_scanline < t->out.output_height) {
        JSAMPROW row = pixels + (int64_t)t->out.output_scanline * w * c;
        jpeg_read_scanlines(&t->out, &row, 1);
    }
    jpeg_finish_decompress(&t->out);
}

/* False where libjpeg failed; jumps here. */
static bool run(trip *t, uint8_t *pixels, int64_t h, int64_t w, int64_t c, int quality, um_jpeg_subsampling subsampling)
{
    if (setjmp(t->back))
        return false;
    compress(t, pixels, h, w, c, quality, subsampling);
    decompress(t, pixels, w, c);
    return true;
}

um_status um_jpeg_roundtrip(uint8_t *pixels, int64_t h, int64_t w, int64_t c, int quality, um_jpeg_subsampling subsampling)
{
    um_status rc = UM_OK;
    trip t = {0};
    UM_REQUIRE((c == 1 || c == 3) && quality >= 1 && quality <= 100);
    t.in.err = t.out.err = jpeg_std_error(&t.errors);
    t.errors.error_exit = on_error;
    t.in.client_data = t.out.client_data = &t;
    if (!run(&t, pixels, h, w, c, quality, subsampling))
        rc = um_fail(UM_E_DATA, "JPEG of quality %d of an image of %ldx%ldx%ld: %s", quality, (long)h, (long)w, (long)c, t.message);
done:
    jpeg_destroy_compress(&t.in);
    jpeg_destroy_decompress(&t.out);
    free(t.file);
    return rc;
}
