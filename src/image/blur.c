#include "image/blur.h"

#include <math.h>

enum { TAP_BITS = 16 };

static int64_t border_index(int64_t i, int64_t n, um_blur_border border)
{
    if (i >= 0 && i < n) {
        return i;
    }
    if (border == UM_BLUR_REPLICATE || n == 1) {
        return i < 0 ? 0 : n - 1;
    }
    return i < 0 ? -i : 2 * (n - 1) - i;
}

static int64_t side_tap(double sigma)
{
    if (sigma == 0) {
        return 1 << (TAP_BITS - 2);
    }
    const double e = exp(-1.0 / (2.0 * sigma * sigma));
    return llrint(e / (1.0 + 2.0 * e) * (1 << TAP_BITS));
}

static inline int64_t sample(const void *p, int64_t i, int bits)
{
    return bits == 8 ? ((const uint8_t *)p)[i] : ((const uint16_t *)p)[i];
}

um_status um_blur_gauss3(void *out, const void *in, int64_t h, int64_t w, int64_t c, int bits, double sigma, um_blur_border border)
{
    if (!(sigma >= 0 && isfinite(sigma))) {
        return um_fail(UM_E_CONFIG, "blur sigma = %g is not a positive number of pixels (0 means [1 2 1] / 4)", sigma);
    }
    const int64_t side = side_tap(sigma), taps[3] = {side, (1 << TAP_BITS) - 2 * side, side};
    for (int64_t y = 0; y < h; y++) {
        const int64_t rows[3] = {border_index(y - 1, h, border), y, border_index(y + 1, h, border)};
        for (int64_t x = 0; x < w; x++) {
            const int64_t cols[3] = {border_index(x - 1, w, border), x, border_index(x + 1, w, border)};
            for (int64_t k = 0; k < c; k++) {
                int64_t sum = (int64_t)1 << (2 * TAP_BITS - 1);
                for (int i = 0; i < 9; i++) {
                    sum += taps[i / 3] * taps[i % 3] * sample(in, (rows[i / 3] * w + cols[i % 3]) * c + k, bits);
                }
                if (bits == 8) {
                    ((uint8_t *)out)[(y * w + x) * c + k] = (uint8_t)(sum >> (2 * TAP_BITS));
                } else {
                    ((uint16_t *)out)[(y * w + x) * c + k] = (uint16_t)(sum >> (2 * TAP_BITS));
                }
            }
        }
    }
    return UM_OK;
}
