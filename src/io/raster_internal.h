/* What the decoders share. Private to src/io. */
#ifndef UM_IO_RASTER_INTERNAL_H
#define UM_IO_RASTER_INTERNAL_H

#include <stdio.h>

#include "io/raster.h"

/* f: at the start of the file, borrowed. file_bytes: its size. */
um_status um_png_decode(um_raster *out, FILE *f, int64_t file_bytes, const char *path);
um_status um_png_decode_rgba(um_raster *out, FILE *f, int64_t file_bytes, const char *path);
um_status um_jpeg_decode(um_raster *out, FILE *f, int64_t file_bytes, const char *path);

/* Refuses sizes beyond the limits of raster.h with UM_E_DATA. */
um_status um_raster_check_size(const char *path, int64_t h, int64_t w);

#endif
