#include "image/median.h"

static int64_t reflect(int64_t i, int64_t n)
{
    if (n == 1)
        return 0;
    return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

/* The middle of nine by insertion. */
static int64_t middle(int64_t v[9])
{
    for (int i = 1; i < 9; i++) {
        int64_t x = v[i];
        int k = i;
        for (; k > 0 && v[k - 1] > x; k--)
            v[k] = v[k - 1];
        v[k] = x;
    }
    return v[4];
}

void um_median3(void *out, const void *in, int64_t h, int64_t w, int64_t c, int bits)
{
    for (int64_t p = 0; p < h * w; p++)
        for (int64_t k = 0; k < c; k++) {
            int64_t v[9];
            for (int t = 0; t < 9; t++) {
                int64_t from = (reflect(p / w + t / 3 - 1, h) * w + reflect(p % w + t % 3 - 1, w)) * c + k;
                v[t] = bits == 8 ? ((const uint8_t *)in)[from] : ((const uint16_t *)in)[from];
            }
            if (bits == 8)
                ((uint8_t *)out)[p * c + k] = (uint8_t)middle(v);
            else
                ((uint16_t *)out)[p * c + k] = (uint16_t)middle(v);
        }
}
