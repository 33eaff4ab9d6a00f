/* Weight standardisation (Qiao et al., arXiv:1903.10520; layers.md section 1): filters are the columns of [rows][K], 16 at a time. */
#include <math.h>

#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"

enum { COLUMNS = 16 };

static int64_t filter_rows(const um_view *w)
{
    return w->n * w->h * w->w;
}

/* mean[k] = sum over rows of a[row][k] * (b ? b[row][k] : 1) / rows, for `n` columns. */
static void column_means(double mean[COLUMNS], const real *a, const real *b, int64_t rows, int64_t ld, int64_t n)
{
    double sum[COLUMNS] = {0};
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < n; k++)
            sum[k] += b ? (double)a[r * ld + k] * (double)b[r * ld + k] : (double)a[r * ld + k];
    for (int64_t k = 0; k < n; k++)
        mean[k] = sum[k] / (double)rows;
}

static void column_variances(double var[COLUMNS], const real *a, const double mean[COLUMNS], int64_t rows, int64_t ld, int64_t n)
{
    double sum[COLUMNS] = {0};
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < n; k++) {
            double d = (double)a[r * ld + k] - mean[k];
            sum[k] += d * d;
        }
    for (int64_t k = 0; k < n; k++)
        var[k] = sum[k] / (double)rows;
}

/* Blocks of columns [begin, end). */
static void standardise_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *w = &call->in[0];
    int64_t rows = filter_rows(w), ld = w->c;
    for (int64_t block = begin; block < end; block++) {
        int64_t first = block * COLUMNS, n = min64(COLUMNS, ld - first);
        const real *from = (const real *)w->data + first;
        real *to = (real *)call->out[0].data + first, *r_out = (real *)call->out[1].data + first;
        double mean[COLUMNS], var[COLUMNS], scale[COLUMNS];
        column_means(mean, from, NULL, rows, ld, n);
        column_variances(var, from, mean, rows, ld, n);
        for (int64_t k = 0; k < n; k++) {
            scale[k] = 1 / sqrt(var[k] + call->attr.ws.eps);
            r_out[k] = (real)scale[k];
        }
        for (int64_t r = 0; r < rows; r++)
            for (int64_t k = 0; k < n; k++)
                to[r * ld + k] = (real)(((double)from[r * ld + k] - mean[k]) * scale[k]);
    }
}

um_status UM_FN(um_cpu_ws_fwd)(const um_op_call *call)
{
    const um_view *w = &call->in[0];
    um_span_run(call, (w->c + COLUMNS - 1) / COLUMNS, COLUMNS * filter_rows(w), standardise_span);
    return UM_OK;
}

static void standardise_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dw = &call->out[0];
    int64_t rows = filter_rows(dw), ld = dw->c;
    for (int64_t block = begin; block < end; block++) {
        int64_t first = block * COLUMNS, n = min64(COLUMNS, ld - first);
        const real *g = (const real *)call->in[0].data + first, *h = (const real *)call->in[1].data + first;
        const real *r = (const real *)call->in[2].data + first;
        real *to = (real *)dw->data + first;
        double mean_g[COLUMNS], mean_gh[COLUMNS];
        column_means(mean_g, g, NULL, rows, ld, n);
        column_means(mean_gh, g, h, rows, ld, n);
        for (int64_t row = 0; row < rows; row++)
            for (int64_t k = 0; k < n; k++) {
                int64_t i = row * ld + k;
                real d = (real)((double)r[k] * ((double)g[i] - mean_g[k] - (double)h[i] * mean_gh[k]));
                to[i] = call->accumulate ? to[i] + d : d;
            }
    }
}

um_status UM_FN(um_cpu_ws_bwd)(const um_op_call *call)
{
    const um_view *dw = &call->out[0];
    um_span_run(call, (dw->c + COLUMNS - 1) / COLUMNS, COLUMNS * filter_rows(dw), standardise_bwd_span);
    return UM_OK;
}
