#include "kernels/cpu/conv_strip.h"

/* The largest group whose channels fit one vector; stretches below 4 columns gain nothing. */
static int group_of(int64_t w, int64_t channels)
{
    int g = 16 / (int)sizeof(real);
    while (g > 1 && (g * channels > VL || w < 4 * g)) {
        g /= 2;
    }
    return g;
}

void UM_FN(um_strip_plan_set)(um_strip_plan *p, int64_t n, int64_t h, int64_t w, int64_t c, int64_t channels, int64_t strip_bytes)
{
    int g = group_of(w, channels);
    p->n = n;
    p->h = h;
    p->w = w;
    p->c = c;
    p->cols = i_ceil_div(w, g);
    p->pitch = (p->cols + 2) * c * g;
    UM_FN(um_panels_set)(&p->out, channels, g, p->cols);
    int64_t fit = strip_bytes / (p->pitch * (int64_t)sizeof(real)) - 2;
    p->strips = i_ceil_div(h, i_max(1, i_min(h, fit)));
    p->rows = i_ceil_div(h, p->strips);
    p->strips = i_ceil_div(h, p->rows);
}

int64_t UM_FN(um_strip_reals)(const um_strip_plan *p)
{
    return um_reals_aligned((p->rows + 3) * p->pitch);
}

void UM_FN(um_strip_interleave)(real *restrict out, const real *restrict in, int64_t n, int64_t stride, int g)
{
    if (g == 2) {
        for (int64_t i = 0; i < n; i++) {
            out[2 * i] = in[i];
            out[2 * i + 1] = in[stride + i];
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        out[4 * i] = in[i];
        out[4 * i + 1] = in[stride + i];
        out[4 * i + 2] = in[2 * stride + i];
        out[4 * i + 3] = in[3 * stride + i];
    }
}

/* One padded row, pixel after pixel: `out` takes g*cols + 2 pixels. */
static void row_fill(const um_strip_plan *p, const um_view *x, const real *in, real *out)
{
    int64_t c = p->c;
    memset(out, 0, (size_t)c * sizeof(real));
    if (um_view_dense(x)) {
        memcpy(out + c, in, (size_t)(p->w * c) * sizeof(real));
    } else {
        for (int64_t j = 0; j < p->w; j++) {
            memcpy(out + (j + 1) * c, in + j * x->ld, (size_t)c * sizeof(real));
        }
    }
    memset(out + (p->w + 1) * c, 0, (size_t)((p->out.g * p->cols + 1 - p->w) * c) * sizeof(real));
}

void UM_FN(um_strip_fill)(const um_strip_plan *p, const um_view *x, int64_t image, int64_t row0, int64_t rows, real *strip)
{
    real *plain = strip + (p->rows + 2) * p->pitch;
    for (int64_t r = 0; r < rows + 2; r++) {
        int64_t row = row0 - 1 + r;
        real *out = strip + r * p->pitch;
        if (row < 0 || row >= p->h) {
            memset(out, 0, (size_t)p->pitch * sizeof(real));
            continue;
        }
        const real *in = (const real *)x->data + (image * p->h + row) * p->w * x->ld;
        if (p->out.g == 1) {
            row_fill(p, x, in, out);
        } else {
            row_fill(p, x, in, plain);
            UM_FN(um_strip_interleave)(out, plain, (p->cols + 2) * p->c, p->cols * p->c, p->out.g);
        }
    }
}
