/* One decoded picture, from and to PNG and JPEG files. */
#ifndef UM_IO_RASTER_H
#define UM_IO_RASTER_H

#include <stdint.h>

#include "base/status.h"

enum { UM_RASTER_SIDE_MAX = 32768 };
#define UM_RASTER_PIXELS_MAX ((int64_t)1 << 28)

typedef struct um_raster {
    int64_t h, w;
    int c, bits; /* channels 1 or 3 (4: um_png_read_rgba); 8 or 16 bits per sample */
    void *data;  /* [h][w][c] uint8_t or uint16_t in host order, owned: release with um_raster_clear */
} um_raster;

/* Reads a PNG or JPEG file; the content decides, not the name.
 *   PNG   grey 1-16 bit, RGB 8-16 bit, palette (as RGB), interlaced; 1, 2 and 4 bit grey is stretched to 0..255; an alpha channel
 *         is dropped (logged at debug level). Gamma and colour profiles are ignored.
 *   JPEG  grey and YCbCr or RGB (as RGB), baseline or progressive, 8 bit. CMYK is refused.
 * out: written on success only. Errors: UM_E_IO (cannot be opened), UM_E_DATA naming the file and the library's reason: another
 * format, damaged, truncated, or larger than UM_RASTER_SIDE_MAX per side or UM_RASTER_PIXELS_MAX in all. */
um_status um_raster_read(um_raster *out, const char *path);
/* A PNG file as RGBA, 8 bit: r.c = 4 (nothing else here takes such a raster). Without transparency A = 255. Errors as above, and
 * UM_E_DATA for a JPEG. */
um_status um_png_read_rgba(um_raster *out, const char *path);
void um_raster_clear(um_raster *r); /* accepts a zeroed raster */

/* Writes a PNG file, whole or not at all. r: 1 or 3 channels, 8 or 16 bits. Errors: UM_E_IO, UM_E_DATA, UM_E_MEMORY. */
um_status um_png_write(const char *path, const um_raster *r);

#endif
