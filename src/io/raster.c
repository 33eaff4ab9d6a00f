#include "io/raster.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "io/raster_internal.h"

void um_raster_clear(um_raster *r)
{
    um_free(r->data);
    *r = (um_raster){0};
}

um_status um_raster_check_size(const char *path, int64_t h, int64_t w)
{
    if (h < 1 || w < 1 || h > UM_RASTER_SIDE_MAX || w > UM_RASTER_SIDE_MAX || h * w > UM_RASTER_PIXELS_MAX) {
        return um_fail(UM_E_DATA, "%s: %lld x %lld pixels is beyond the limit of %d per side and %lld in all", path, (long long)w,
                       (long long)h, UM_RASTER_SIDE_MAX, (long long)UM_RASTER_PIXELS_MAX);
    }
    return UM_OK;
}

static um_status file_size(int64_t *out, FILE *f, const char *path)
{
    if (fseeko(f, 0, SEEK_END) != 0 || (*out = (int64_t)ftello(f)) < 0 || fseeko(f, 0, SEEK_SET) != 0) {
        return um_fail(UM_E_IO, "cannot read %s: %s", path, strerror(errno));
    }
    return UM_OK;
}

static um_status read_picture(um_raster *out, const char *path, bool rgba)
{
    static const unsigned char png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, jpeg[3] = {0xff, 0xd8, 0xff};
    um_status rc = UM_OK;
    unsigned char head[8] = {0};
    int64_t bytes = 0;
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        rc = um_fail(UM_E_IO, "cannot open %s: %s", path, strerror(errno));
        goto done;
    }
    UM_TRY(file_size(&bytes, f, path));
    const size_t n = fread(head, 1, sizeof head, f);
    if (ferror(f)) {
        rc = um_fail(UM_E_IO, "cannot read %s: %s", path, strerror(errno));
        goto done;
    }
    rewind(f);
    if (n == sizeof png && memcmp(head, png, sizeof png) == 0) {
        UM_TRY(rgba ? um_png_decode_rgba(out, f, bytes, path) : um_png_decode(out, f, bytes, path));
    } else if (rgba) {
        rc = um_fail(UM_E_DATA, "%s: not a PNG file (%lld bytes); a logo is a PNG, with its transparency", path, (long long)bytes);
    } else if (n >= sizeof jpeg && memcmp(head, jpeg, sizeof jpeg) == 0) {
        UM_TRY(um_jpeg_decode(out, f, bytes, path));
    } else {
        rc = um_fail(UM_E_DATA, "%s: neither a PNG nor a JPEG file (%lld bytes); convert it to PNG", path, (long long)bytes);
    }
done:
    if (f != NULL) {
        fclose(f);
    }
    return rc;
}

um_status um_raster_read(um_raster *out, const char *path)
{
    return read_picture(out, path, false);
}

um_status um_png_read_rgba(um_raster *out, const char *path)
{
    return read_picture(out, path, true);
}
