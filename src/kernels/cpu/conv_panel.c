#include "kernels/cpu/conv_panel.h"

void UM_FN(um_panels_set)(um_panels *p, int64_t channels, int g, int64_t cols)
{
    int nv = 2;
    while (nv < UM_MAX_NV && cols <= um_tile_rows(nv + 1)) {
        nv++;
    }
    p->channels = channels;
    p->g = g;
    p->n_vec = i_ceil_div(channels * g, VL);
    p->nv = (int)i_ceil_div(p->n_vec, i_ceil_div(p->n_vec, nv));
    p->count = i_ceil_div(p->n_vec, p->nv);
}

void UM_FN(um_panel_pack)(const um_panels *p, int64_t panel, int64_t depth, int64_t first, int64_t rows, um_matrix m, real *packed)
{
    int64_t width = um_panel_vectors(p, panel) * VL, channels = um_panel_channels(p, panel);
    const real *w = m.w + um_panel_first(p, panel) * m.step_channel;
    real *out = packed + um_panel_at(p, panel, depth) + first * width;
    memset(out, 0, (size_t)(rows * width) * sizeof(real));
    for (int64_t r = 0; r < rows; r++, out += width, w += m.step_row) {
        for (int64_t k = 0; k < channels; k++) {
            for (int q = 0; q < p->g; q++) {
                out[k * p->g + q] = w[k * m.step_channel];
            }
        }
    }
}

void UM_FN(um_panels_pack)(const um_panels *p, int64_t depth, um_matrix m, real *packed)
{
    int64_t rows = 64, blocks = i_ceil_div(depth, rows);
#pragma omp parallel for schedule(static) num_threads(UM_FN(um_conv_threads)())
    for (int64_t i = 0; i < p->count * blocks; i++) {
        int64_t first = i % blocks * rows;
        um_matrix from = {m.w + first * m.step_row, m.step_row, m.step_channel};
        UM_FN(um_panel_pack)(p, i / blocks, depth, first, i_min(rows, depth - first), from, packed);
    }
}

void UM_FN(um_panels_pack_bias)(const um_panels *p, const real *bias, real *packed)
{
    for (int64_t l = 0; l < p->n_vec * VL; l++) {
        int64_t k = l / p->g;
        packed[l] = bias && k < p->channels ? bias[k] : 0;
    }
}

static void pixel_copy(real *out, const real *in, int64_t n, int64_t width)
{
    for (int64_t i = 0; i < width; i += VL) {
        vreal v = n - i >= VL ? v_load(in + i) : v_load_n(in + i, (int)i_max(0, n - i));
        v_store_n(out + i, v, (int)i_min(VL, width - i));
    }
}

void UM_FN(um_pixels_pack)(real *out, const real *in, int64_t rows, int64_t row_step, int64_t cols, int64_t col_step,
                           int64_t channels, int64_t width)
{
    for (int64_t r = 0; r < rows; r++, in += row_step) {
        for (int64_t c = 0; c < cols; c++, out += width) {
            pixel_copy(out, in + c * col_step, channels, width);
        }
    }
}

/* One summed vector: the first lane of each channel. */
static void vector_out(vreal sum, int g, real *dw, int64_t channels, bool accumulate)
{
    real lanes[VL];
    v_store(lanes, sum);
    for (int64_t k = 0; k < channels; k++) {
        dw[k] = accumulate ? dw[k] + lanes[k * g] : lanes[k * g];
    }
}

void UM_FN(um_panels_sum)(const um_panels *p, int64_t depth, const um_conv_parts *parts, const real *data, int64_t stride, real *dw,
                          int64_t ld, bool accumulate)
{
#pragma omp parallel for schedule(static) num_threads(UM_FN(um_conv_threads)())
    for (int64_t i = 0; i < depth * p->count; i++) {
        int64_t panel = i / depth, row = i % depth;
        int nv = um_panel_vectors(p, panel);
        for (int j = 0; j < nv; j++) {
            int64_t first = um_panel_first(p, panel) + j * VL / p->g;
            const real *from = data + um_panel_at(p, panel, depth) + (row * nv + j) * VL;
            vreal sum = UM_FN(um_conv_parts_sum)(parts, from, stride, p->g);
            vector_out(sum, p->g, dw + row * ld + first, i_min(VL / p->g, p->channels - first), accumulate);
        }
    }
}
