/* What an image looks like after it was stored as JPEG. */
#ifndef UM_IO_JPEG_ROUNDTRIP_H
#define UM_IO_JPEG_ROUNDTRIP_H

#include <stdint.h>

#include "base/status.h"

typedef enum um_jpeg_subsampling { UM_JPEG_420, UM_JPEG_444 } um_jpeg_subsampling;

/* Compresses pixels [h][w][c] (c = 1 grey or 3 RGB) with libjpeg's defaults (baseline, standard tables scaled to `quality` 1..100
 * and clamped to baseline, YCbCr) and decompresses them in place, with libjpeg's defaults too (accurate integer DCT, triangle
 * upsampling). subsampling: of the colour channels. Errors: UM_E_DATA with libjpeg's reason; pixels are undefined then. */
um_status um_jpeg_roundtrip(uint8_t *pixels, int64_t h, int64_t w, int64_t c, int quality, um_jpeg_subsampling subsampling);

#endif
