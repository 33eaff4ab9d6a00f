#include "kernels/cpu/conv_winograd.h"

#define UNROLL _Pragma("GCC unroll 36")

/* One column (or row) of a tile through a transform; elements sd and so apart. */
UM_INLINE void input_6(const vreal *d, const int sd, vreal *t, const int so)
{
    vreal d0 = d[0], d1 = d[sd], d2 = d[2 * sd], d3 = d[3 * sd], d4 = d[4 * sd], d5 = d[5 * sd];
    vreal a = d4 - 4 * d2, b = d3 - 4 * d1, c = d4 - d2, e = 2 * (d3 - d1);
    t[0] = 4 * d0 - 5 * d2 + d4;
    t[so] = a + b;
    t[2 * so] = a - b;
    t[3 * so] = c + e;
    t[4 * so] = c - e;
    t[5 * so] = 4 * d1 - 5 * d3 + d5;
}

UM_INLINE void output_4(const vreal *m, const int sm, vreal *y, const int so)
{
    vreal s = m[sm] + m[2 * sm], d = m[sm] - m[2 * sm], p = m[3 * sm] + m[4 * sm], q = m[3 * sm] - m[4 * sm];
    y[0] = m[0] + s + p;
    y[so] = d + 2 * q;
    y[2 * so] = s + 4 * p;
    y[3 * so] = d + 8 * q + m[5 * sm];
}

UM_INLINE void gradient_6(const vreal *y, const int sy, vreal *m, const int so)
{
    vreal y0 = y[0], y1 = y[sy], y2 = y[2 * sy], y3 = y[3 * sy];
    vreal e = y0 + y2, o = y1 + y3, e2 = y0 + 4 * y2, o2 = 2 * y1 + 8 * y3;
    m[0] = y0;
    m[so] = e + o;
    m[2 * so] = e - o;
    m[3 * so] = e2 + o2;
    m[4 * so] = e2 - o2;
    m[5 * so] = y3;
}

UM_INLINE void weight_6(const vreal *g, const int sg, vreal *u, const int so)
{
    const real sixth = (real)(1.0 / 6), twelfth = (real)(1.0 / 12), part = (real)(1.0 / 24);
    vreal g0 = g[0], g1 = g[sg], g2 = g[2 * sg];
    vreal a = -sixth * (g0 + g2), b = -sixth * g1, c = part * g0 + sixth * g2, e = twelfth * g1;
    u[0] = (real)0.25 * g0;
    u[so] = a + b;
    u[2 * so] = a - b;
    u[3 * so] = c + e;
    u[4 * so] = c - e;
    u[5 * so] = g2;
}

UM_INLINE void weight_gradient_3(const vreal *m, const int sm, vreal *g, const int so)
{
    const real sixth = (real)(1.0 / 6), twelfth = (real)(1.0 / 12), part = (real)(1.0 / 24);
    vreal s = m[sm] + m[2 * sm], d = m[2 * sm] - m[sm], p = m[3 * sm] + m[4 * sm], q = m[3 * sm] - m[4 * sm];
    g[0] = (real)0.25 * m[0] - sixth * s + part * p;
    g[so] = sixth * d + twelfth * q;
    g[2 * so] = sixth * p - sixth * s + m[5 * sm];
}

UM_INLINE vreal load_lanes(const real *p, int64_t left)
{
    return left >= VL ? v_load(p) : v_load_n(p, (int)left);
}

UM_INLINE void store_lanes(real *p, vreal v, int64_t left)
{
    if (left >= VL) {
        v_store(p, v);
    } else {
        v_store_n(p, v, (int)left);
    }
}

/* Where a tile lies: its image and the first of its pixels. */
typedef struct place {
    int64_t image, row, col;
} place;

static place place_of(const um_wino_grid *g, int64_t tile)
{
    int64_t tiles = um_wino_tiles(g), in_image = tile % tiles;
    return (place){tile / tiles, in_image / g->tw * UM_WINO_SIDE, in_image % g->tw * UM_WINO_SIDE};
}

static const real *pixel_or_zeros(const um_wino_grid *g, const um_view *v, int64_t image, int64_t row, int64_t col,
                                  const real *zeros)
{
    bool inside = row >= 0 && row < g->h && col >= 0 && col < g->w;
    return inside ? (const real *)v->data + ((image * g->h + row) * g->w + col) * v->ld : zeros;
}

/* side x side pixels at a place that may lie partly outside. */
static void pixels_find(const um_wino_grid *g, const um_view *v, place p, const int side, const real *zeros, const real **pixel)
{
    for (int i = 0; i < side; i++) {
        for (int j = 0; j < side; j++) {
            pixel[i * side + j] = pixel_or_zeros(g, v, p.image, p.row + i, p.col + j, zeros);
        }
    }
}

UM_INLINE void input_store(const vreal *d, real *out, int64_t tap_step)
{
    vreal t[36], u[6];
    UNROLL
    for (int q = 0; q < 6; q++) {
        input_6(d + q, 6, t + q, 6);
    }
    UNROLL
    for (int q = 0; q < 6; q++) {
        input_6(t + 6 * q, 1, u, 1);
        UNROLL
        for (int j = 0; j < 6; j++) {
            v_store(out + (6 * q + j) * tap_step, u[j]);
        }
    }
}

/* One vector of channels; whole: no lane is past the last channel. */
UM_INLINE void input_inside(const real *x, int64_t row_step, int64_t ld, int64_t left, const bool whole, real *out,
                            int64_t tap_step)
{
    vreal d[36];
    UNROLL
    for (int i = 0; i < 6; i++) {
        UNROLL
        for (int j = 0; j < 6; j++) {
            const real *p = x + i * row_step + j * ld;
            d[6 * i + j] = whole ? v_load(p) : v_load_n(p, (int)left);
        }
    }
    input_store(d, out, tap_step);
}

static void input_border(const real *const *pixel, int64_t c, int64_t left, real *out, int64_t tap_step)
{
    vreal d[36];
    for (int q = 0; q < 36; q++) {
        d[q] = load_lanes(pixel[q] + c, left);
    }
    input_store(d, out, tap_step);
}

void UM_FN(um_wino_input)(const um_wino_grid *g, const um_view *x, int64_t tile, const real *zeros, real *out, int64_t tap_step,
                          int64_t vector_step)
{
    place p = place_of(g, tile);
    p.row--;
    p.col--;
    int64_t channels = x->c, row_step = g->w * x->ld, c = 0;
    if (p.row < 0 || p.col < 0 || p.row + 6 > g->h || p.col + 6 > g->w) {
        const real *pixel[36];
        pixels_find(g, x, p, 6, zeros, pixel);
        for (; c < channels; c += VL, out += vector_step) {
            input_border(pixel, c, channels - c, out, tap_step);
        }
        return;
    }
    const real *from = (const real *)x->data + ((p.image * g->h + p.row) * g->w + p.col) * x->ld;
    for (; c + VL <= channels; c += VL, out += vector_step) {
        input_inside(from + c, row_step, x->ld, VL, true, out, tap_step);
    }
    if (c < channels) {
        input_inside(from + c, row_step, x->ld, channels - c, false, out, tap_step);
    }
}

void UM_FN(um_wino_gradient)(const um_wino_grid *g, const um_view *dy, int64_t tile, const real *zeros, real *out, int64_t tap_step,
                             int64_t vector_step)
{
    const real *pixel[16];
    pixels_find(g, dy, place_of(g, tile), 4, zeros, pixel);
    for (int64_t c = 0; c < dy->c; c += VL, out += vector_step) {
        vreal d[16], t[24], u[6];
        UNROLL
        for (int q = 0; q < 16; q++) {
            d[q] = load_lanes(pixel[q] + c, dy->c - c);
        }
        UNROLL
        for (int q = 0; q < 4; q++) {
            gradient_6(d + q, 4, t + q, 4);
        }
        UNROLL
        for (int q = 0; q < 6; q++) {
            gradient_6(t + 4 * q, 1, u, 1);
            UNROLL
            for (int j = 0; j < 6; j++) {
                v_store(out + (6 * q + j) * tap_step, u[j]);
            }
        }
    }
}

UM_INLINE void output_vector(const real *m, int64_t tap_step, vreal *u)
{
    vreal t[24];
    UNROLL
    for (int q = 0; q < 6; q++) {
        vreal d[6];
        UNROLL
        for (int i = 0; i < 6; i++) {
            d[i] = v_load(m + (6 * i + q) * tap_step);
        }
        output_4(d, 1, t + q, 6);
    }
    UNROLL
    for (int q = 0; q < 4; q++) {
        output_4(t + 6 * q, 1, u + 4 * q, 1);
    }
}

void UM_FN(um_wino_output)(const um_wino_grid *g, const real *m, int64_t tap_step, const um_view *y, int64_t tile, int64_t first,
                           int64_t channels, const real *bias, bool accumulate)
{
    place p = place_of(g, tile);
    int64_t rows = i_min(UM_WINO_SIDE, g->h - p.row), cols = i_min(UM_WINO_SIDE, g->w - p.col), row_step = g->w * y->ld;
    real *to = (real *)y->data + ((p.image * g->h + p.row) * g->w + p.col) * y->ld + first;
    for (int64_t k = 0; k < channels; k += VL, m += VL) {
        vreal u[16], b = bias ? v_load(bias + k) : (vreal){0};
        int64_t left = channels - k;
        output_vector(m, tap_step, u);
        if (left >= VL && rows == UM_WINO_SIDE && cols == UM_WINO_SIDE && !accumulate) {
            UNROLL
            for (int q = 0; q < 16; q++) {
                v_store(to + q / 4 * row_step + q % 4 * y->ld + k, u[q] + b);
            }
            continue;
        }
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = 0; j < cols; j++) {
                real *pixel = to + i * row_step + j * y->ld + k;
                vreal v = u[4 * i + j] + b;
                store_lanes(pixel, accumulate ? load_lanes(pixel, left) + v : v, left);
            }
        }
    }
}

UM_INLINE void weight_store(const vreal *g, real *out, int64_t tap_step)
{
    vreal t[18], u[6];
    UNROLL
    for (int q = 0; q < 3; q++) {
        weight_6(g + q, 3, t + q, 3);
    }
    UNROLL
    for (int q = 0; q < 6; q++) {
        weight_6(t + 3 * q, 1, u, 1);
        UNROLL
        for (int j = 0; j < 6; j++) {
            v_store(out + (6 * q + j) * tap_step, u[j]);
        }
    }
}

/* Rows to columns of a VL x VL block: interleaving row i with row i + VL/2, log2(VL) times. */
UM_INLINE void transpose(vreal *r)
{
    v_index low, high;
    vreal s[VL];
    UNROLL
    for (int l = 0; l < VL; l++) {
        low[l] = l / 2 + (l % 2) * VL;
        high[l] = l / 2 + (l % 2) * VL + VL / 2;
    }
    UNROLL
    for (int step = 1; step < VL; step *= 2) {
        UNROLL
        for (int i = 0; i < VL / 2; i++) {
            s[2 * i] = v_pick(r[i], r[i + VL / 2], low);
            s[2 * i + 1] = v_pick(r[i], r[i + VL / 2], high);
        }
        UNROLL
        for (int i = 0; i < VL; i++) {
            r[i] = s[i];
        }
    }
}

/* Backward-data: VL inputs (channels of dy) from k and VL outputs (channels of dx) from c; lanes outside read as 0. */
static void weight_turned(const um_wino_weights *w, int64_t c, int64_t channels, int64_t k, int64_t n, real *out, int64_t tap_step,
                          int64_t width)
{
    vreal block[9][VL];
    for (int tap = 0; tap < 9; tap++) {
        for (int l = 0; l < VL; l++) {
            const real *from = w->w + ((8 - tap) * w->c + c + l) * w->k + k;
            block[tap][l] = l < channels ? load_lanes(from, n) : (vreal){0};
        }
        transpose(block[tap]);
    }
    for (int64_t i = 0; i < i_min(n, VL); i++, out += width) {
        vreal g[9];
        UNROLL
        for (int tap = 0; tap < 9; tap++) {
            g[tap] = block[tap][i];
        }
        weight_store(g, out, tap_step);
    }
}

void UM_FN(um_wino_weight)(const um_wino_weights *w, int64_t first, int64_t channels, int64_t depth, int64_t n, real *out,
                           int64_t tap_step, int64_t width)
{
    for (int64_t v = 0; v < channels; v += VL) {
        for (int64_t i = 0; w->turned && i < n; i += VL) {
            weight_turned(w, first + v, channels - v, depth + i, n - i, out + i * width + v, tap_step, width);
        }
        for (int64_t i = 0; !w->turned && i < n; i++) {
            vreal g[9];
            UNROLL
            for (int tap = 0; tap < 9; tap++) {
                g[tap] = load_lanes(w->w + (tap * w->c + depth + i) * w->k + first + v, channels - v);
            }
            weight_store(g, out + i * width + v, tap_step);
        }
    }
}

void UM_FN(um_wino_weight_gradient)(const real *m, int64_t tap_step, real *out, int64_t out_step)
{
    vreal t[18], g[3];
    UNROLL
    for (int q = 0; q < 6; q++) {
        vreal d[6];
        UNROLL
        for (int i = 0; i < 6; i++) {
            d[i] = v_load(m + (6 * i + q) * tap_step);
        }
        weight_gradient_3(d, 1, t + q, 6);
    }
    UNROLL
    for (int r = 0; r < 3; r++) {
        weight_gradient_3(t + 6 * r, 1, g, 1);
        UNROLL
        for (int q = 0; q < 3; q++) {
            v_store(out + (3 * r + q) * out_step, g[q]);
        }
    }
}
