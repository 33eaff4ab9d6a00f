/* Resizing as Pillow's Image.resize does it, so that a data set prepared here equals one prepared by the usual Python tools. */
#ifndef UM_IMAGE_RESIZE_H
#define UM_IMAGE_RESIZE_H

#include <stdint.h>

#include "base/status.h"

/* bilinear: triangle filter; when shrinking its support grows with the scale (antialias). Pixel centres at (i + 0.5) * in / out,
 *           weights normalised to 1, separable; results are rounded once, half up (Pillow also rounds between the two passes, so
 *           it may differ by one level). The arithmetic is in integers and the same on every machine.
 * nearest:  source index floor((i + 0.5) * in / out); for masks. The same pixels as Pillow, ties included. */
typedef enum um_resize_filter { UM_RESIZE_BILINEAR, UM_RESIZE_NEAREST } um_resize_filter;
#define UM_RESIZE_FILTERS "bilinear nearest"

/* out: [h_out][w_out][c], in: [h][w][c], both uint8_t (bits 8) or uint16_t (bits 16), not overlapping; all sizes >= 1.
 * Equal sizes copy. Errors: UM_E_MEMORY. */
um_status um_resize(void *out, int64_t h_out, int64_t w_out, const void *in, int64_t h, int64_t w, int64_t c, int bits,
                    um_resize_filter filter);

#endif
