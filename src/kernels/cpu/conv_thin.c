#include "kernels/cpu/conv_thin.h"

void UM_FN(um_thin_pack)(real *out, const real *w, int64_t n, int thin, int64_t step_long, int64_t step_thin)
{
    int64_t pitch = um_thin_pitch(n);
    memset(out, 0, (size_t)(thin * pitch) * sizeof(real));
    for (int t = 0; t < thin; t++) {
        for (int64_t i = 0; i < n; i++) {
            out[t * pitch + i] = w[t * step_thin + i * step_long];
        }
    }
}

/* Halves, then quarters, ...: a fixed order. */
UM_INLINE real lanes_sum(vreal v)
{
#pragma GCC unroll 4
    for (int half = VL / 2; half > 0; half /= 2) {
        v_index from;
#pragma GCC unroll 16
        for (int l = 0; l < VL; l++) {
            from[l] = (l + half) % VL;
        }
        v += __builtin_shuffle(v, from);
    }
    return v[0];
}

UM_INLINE vreal load_part(const real *p, int64_t left)
{
    return left >= VL ? v_load(p) : v_load_n(p, (int)left);
}

UM_INLINE void store_part(real *p, vreal v, int64_t left)
{
    if (left >= VL) {
        v_store(p, v);
    } else {
        v_store_n(p, v, (int)left);
    }
}

UM_INLINE real dot(const real *a, const real *w, int64_t n)
{
    vreal acc = {0};
    for (int64_t i = 0; i < n; i += VL) {
        acc += load_part(a + i, n - i) * v_load(w + i);
    }
    return lanes_sum(acc);
}

void UM_FN(um_thin_reduce)(const um_thin *t, const real *in, int64_t ld_in, real *out, int64_t ld_out, int64_t pixels,
                           const real *bias, bool accumulate)
{
    int64_t pitch = um_thin_pitch(t->n);
    for (int64_t p = 0; p < pixels; p++, in += ld_in, out += ld_out) {
        for (int k = 0; k < t->thin; k++) {
            real v = dot(in, t->w + k * pitch, t->n) + (bias ? bias[k] : 0);
            out[k] = accumulate ? out[k] + v : v;
        }
    }
}

void UM_FN(um_thin_expand)(const um_thin *t, const real *in, int64_t ld_in, real *out, int64_t ld_out, int64_t pixels,
                           const real *bias, bool accumulate)
{
    int64_t pitch = um_thin_pitch(t->n);
    for (int64_t p = 0; p < pixels; p++, in += ld_in, out += ld_out) {
        for (int64_t i = 0; i < t->n; i += VL) {
            vreal v = bias ? v_load(bias + i) : (vreal){0};
            for (int k = 0; k < t->thin; k++) {
                v += in[k] * v_load(t->w + k * pitch + i);
            }
            store_part(out + i, accumulate ? load_part(out + i, t->n - i) + v : v, t->n - i);
        }
    }
}

/* Four vectors of one dw row over all pixels; the last ones may lie past n. */
static void outer_block(const real *a, int64_t ld_a, int64_t n, const real *b, int64_t ld_b, int64_t pixels, real *dw)
{
    vreal acc[4] = {{0}};
    for (int64_t p = 0; p < pixels; p++, a += ld_a, b += ld_b) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            if (n > j * VL) {
                acc[j] += *b * load_part(a + j * VL, n - j * VL);
            }
        }
    }
    for (int j = 0; j < 4 && n > j * VL; j++) {
        v_store(dw + j * VL, v_load(dw + j * VL) + acc[j]);
    }
}

void UM_FN(um_thin_outer)(int64_t n, int thin, const real *a, int64_t ld_a, const real *b, int64_t ld_b, int64_t pixels, real *dw)
{
    for (int t = 0; t < thin; t++) {
        for (int64_t i = 0; i < n; i += 4 * VL) {
            outer_block(a + i, ld_a, n - i, b + t, ld_b, pixels, dw + t * um_thin_pitch(n) + i);
        }
    }
}
