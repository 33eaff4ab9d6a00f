#include "image/luma.h"

static inline int64_t sample(const void *pixels, int64_t i, int bits)
{
    return bits == 8 ? ((const uint8_t *)pixels)[i] : ((const uint16_t *)pixels)[i];
}

void um_luma(float *out, const void *pixels, int64_t n, int64_t channels, int bits, um_luma_mode mode)
{
    const double unit = bits == 8 ? 1.0 : 257.0;
    if (channels == 1) {
        for (int64_t i = 0; i < n; i++) {
            out[i] = (float)((double)sample(pixels, i, bits) / unit);
        }
        return;
    }
    const int64_t wr = mode == UM_LUMA_BT601 ? 299 : 1, wg = mode == UM_LUMA_BT601 ? 587 : 1, wb = mode == UM_LUMA_BT601 ? 114 : 1;
    const double scale = unit * (double)(wr + wg + wb);
    for (int64_t i = 0; i < n; i++) {
        int64_t sum =
            wr * sample(pixels, 3 * i, bits) + wg * sample(pixels, 3 * i + 1, bits) + wb * sample(pixels, 3 * i + 2, bits);
        out[i] = (float)((double)sum / scale);
    }
}

void um_luma_integer(void *out, const void *pixels, int64_t n, int bits)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t sum =
            19595 * sample(pixels, 3 * i, bits) + 38470 * sample(pixels, 3 * i + 1, bits) + 7471 * sample(pixels, 3 * i + 2, bits);
        int64_t grey = (sum + 0x8000) >> 16;
        if (bits == 8) {
            ((uint8_t *)out)[i] = (uint8_t)grey;
        } else {
            ((uint16_t *)out)[i] = (uint16_t)grey;
        }
    }
}
