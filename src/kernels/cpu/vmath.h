/* exp, log(1+x) and tanh as straight-line code that the compiler turns into vectors. f32: minimax polynomials of the Cephes library
 * (S. Moshier, netlib.org/cephes/single), within 2 ulp on the stated ranges, measured by the tests. f64 calls libm: there only
 * precision counts. */
#ifndef UM_KERNELS_CPU_VMATH_H
#define UM_KERNELS_CPU_VMATH_H

#include <math.h>

#include "kernels/cpu/real.h"

#if UM_REAL_IS_F64

UM_INLINE real v_exp(real x)
{
    return exp(x);
}
UM_INLINE real v_log1p_unit(real x)
{
    return log1p(x);
}
UM_INLINE real v_tanh(real x)
{
    return tanh(x);
}

#else

/* x clamped to [-87, 88]. */
UM_INLINE real v_exp(real x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it leaves the nearest integer in the low bits */
    const uint32_t round_bits = 0x4B400000u;
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float shifted = x * 1.44269504088896341f + round;
    float n = shifted - round;
    float r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    union { float f; uint32_t u; } bits = {.f = shifted}, scale = {.u = (bits.u - round_bits + 127u) << 23};
    return p * scale.f;
}

/* log(1+x) for x in [0, 1]: around 1 or, above sqrt(2)-1, around 2, where (x-1)/2 is exact enough. */
UM_INLINE real v_log1p_unit(real x)
{
    bool upper = x > 0.41421356f;
    float f = upper ? 0.5f * x - 0.5f : x, z = f * f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    float low = p * f * z + (upper ? -2.12194440e-4f : 0.0f);
    low = low - 0.5f * z;
    return (f + low) + (upper ? 0.693359375f : 0.0f);
}

UM_INLINE real v_tanh(real x)
{
    float a = x < 0 ? -x : x, z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    float small = p * z * x + x;
    float big = 1.0f - 2.0f / (v_exp(2.0f * a) + 1.0f);
    float wide = x < 0 ? -big : big;
    return a < 0.625f ? small : wide;
}

#endif
#endif
