/* 3x3 Gaussian blur, the first defense of the UMed paper (Table 3). */
#ifndef UM_IMAGE_BLUR_H
#define UM_IMAGE_BLUR_H

#include <stdint.h>

#include "base/status.h"

/* reflect101: c b | a b c (the edge pixel is not repeated); replicate: a a | a b c. */
typedef enum um_blur_border { UM_BLUR_REFLECT101, UM_BLUR_REPLICATE } um_blur_border;
#define UM_BLUR_BORDERS "reflect101 replicate"

/* out, in: [h][w][c] of uint8_t (bits 8) or uint16_t (bits 16), not overlapping. Separable taps [s, 1 - 2 s, s]:
 * sigma 0 ("auto"): [1 2 1] / 4; else s = e / (1 + 2 e), e = exp(-1 / (2 sigma^2)), rounded to 16 fractional bits.
 * Rounded once to the input's type, half up; integer arithmetic, the same on every machine.
 * Errors: UM_E_CONFIG for a negative or infinite sigma. */
um_status um_blur_gauss3(void *out, const void *in, int64_t h, int64_t w, int64_t c, int bits, double sigma, um_blur_border border);

#endif
