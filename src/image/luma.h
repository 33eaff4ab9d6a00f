/* Grey level of an image: what texture maps, thumbnails and masks are computed from. */
#ifndef UM_IMAGE_LUMA_H
#define UM_IMAGE_LUMA_H

#include <stdint.h>

typedef enum um_luma_mode { UM_LUMA_BT601, UM_LUMA_MEAN } um_luma_mode;
#define UM_LUMA_CHOICES "bt601 mean" /* for option tables, in enum order */

/* out: [n] grey levels in 8-bit units (0..255; 16-bit values are divided by 257). pixels: [n][channels], uint8_t (bits 8) or
 * uint16_t (bits 16), channels 1 or 3. bt601: (299 R + 587 G + 114 B) / 1000; mean: (R + G + B) / 3. The weighted sum is formed in
 * integers, so equal colours give equal grey levels and 8-bit comparisons are exact. */
void um_luma(float *out, const void *pixels, int64_t n, int64_t channels, int bits, um_luma_mode mode);

/* The same as integers of the input's type (rounded BT.601 with 16-bit weights, as Pillow's convert("L") does).
 * out: [n] uint8_t or uint16_t; may be `pixels` itself. */
void um_luma_integer(void *out, const void *pixels, int64_t n, int bits);

#endif
