/* 3x3 median filter, channel by channel. */
#ifndef UM_IMAGE_MEDIAN_H
#define UM_IMAGE_MEDIAN_H

#include <stdint.h>

/* out, in: [h][w][c] of uint8_t (bits 8) or uint16_t (bits 16), not overlapping. Border: c b | a b c. */
void um_median3(void *out, const void *in, int64_t h, int64_t w, int64_t c, int bits);

#endif
