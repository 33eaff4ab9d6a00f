#include "archive/round.h"

#include <stdbool.h>
#include <string.h>

#include "protect/protector.h"

/* Value i of the release, and what leads back modulo 2^bits. */
static inline void put_value(bool wide, int64_t i, int was, int is, void *released, void *delta)
{
    if (wide) {
        ((uint16_t *)released)[i] = (uint16_t)is;
        ((uint16_t *)delta)[i] = (uint16_t)(is - was);
    } else {
        ((uint8_t *)released)[i] = (uint8_t)is;
        ((uint8_t *)delta)[i] = (uint8_t)(is - was);
    }
}

/* What um_released_value gives, in a form that compilers turn into vector instructions: with scale 1 the product of a float and the
 * largest pixel is exact, and so is the sum with a half. wide: a constant where this is inlined. */
static inline __attribute__((always_inline)) int64_t round_values(const void *clean, const float *change, int64_t n, bool wide, int limit,
                                                                  void *released, void *delta)
{
    const int max = wide ? 65535 : 255;
    int64_t squares = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = (double)max * (double)change[i];
        v = v > limit ? limit : v < -limit ? -limit : v;
        int was = wide ? ((const uint16_t *)clean)[i] : ((const uint8_t *)clean)[i];
        int is = was + (int)(v + (v < 0 ? -0.5 : 0.5));
        is = is < 0 ? 0 : is > max ? max : is;
        squares += (int64_t)(is - was) * (is - was);
        put_value(wide, i, was, is, released, delta);
    }
    return squares;
}

/* The same with any scale. */
static int64_t round_scaled(const um_rounding *r, const void *clean, const float *change, int64_t n, void *released, void *delta)
{
    bool wide = r->bits == 16;
    int64_t max = wide ? 65535 : 255, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t was = wide ? ((const uint16_t *)clean)[i] : ((const uint8_t *)clean)[i];
        int64_t is = um_released_value(was, r->scale * (double)change[i], r->limit, max);
        squares += (is - was) * (is - was);
        put_value(wide, i, (int)was, (int)is, released, delta);
    }
    return squares;
}

double um_round_image(const um_rounding *r, const void *clean, const float *change, int64_t n, void *released, void *delta)
{
    int64_t squares = 0;
    double max = r->bits == 8 ? 255 : 65535;
    if (!change) {
        memcpy(released, clean, (size_t)n * (size_t)(r->bits / 8));
        memset(delta, 0, (size_t)n * (size_t)(r->bits / 8));
    } else if (r->scale != 1) {
        squares = round_scaled(r, clean, change, n, released, delta);
    } else if (r->bits == 8) {
        squares = round_values(clean, change, n, false, (int)r->limit, released, delta);
    } else {
        squares = round_values(clean, change, n, true, (int)r->limit, released, delta);
    }
    return (double)squares / (max * max);
}
