/* 1x1 convolution where one side has at most UM_THIN channels (a segmentation head, 64 -> 1): three vector loops that beat a
 * matrix product there. "long" is the other side, n channels; weights come as [thin][n padded to whole vectors with zeros]. */
#ifndef UM_KERNELS_CPU_CONV_THIN_H
#define UM_KERNELS_CPU_CONV_THIN_H

#include "kernels/cpu/conv.h"

enum { UM_THIN = 4 };

typedef struct um_thin {
    const real *w; /* [thin][um_thin_pitch(n)] */
    int64_t n;     /* channels of the long side */
    int thin;
} um_thin;

UM_INLINE int64_t um_thin_pitch(int64_t n)
{
    return i_ceil_div(n, VL) * VL;
}

/* w[thin*step_thin + i*step_long] to the layout above. */
void UM_FN(um_thin_pack)(real *out, const real *w, int64_t n, int thin, int64_t step_long, int64_t step_thin);
/* out[p][t] (+)= bias[t] + sum_i in[p][i] w[t][i]; bias may be NULL. */
void UM_FN(um_thin_reduce)(const um_thin *t, const real *in, int64_t ld_in, real *out, int64_t ld_out, int64_t pixels,
                           const real *bias, bool accumulate);
/* out[p][i] (+)= bias[i] + sum_t in[p][t] w[t][i]; bias: padded like w, may be NULL. */
void UM_FN(um_thin_expand)(const um_thin *t, const real *in, int64_t ld_in, real *out, int64_t ld_out, int64_t pixels,
                           const real *bias, bool accumulate);
/* dw[t][i] += sum_p a[p][i] b[p][t]; dw padded like w. */
void UM_FN(um_thin_outer)(int64_t n, int thin, const real *a, int64_t ld_a, const real *b, int64_t ld_b, int64_t pixels, real *dw);

#endif
