/* GroupNorm and LayerNorm (layers.md section 2). Statistics in f64, two passes; those of a group by fixed blocks of its image. */
#include <math.h>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"

enum { STAT_MEAN, STAT_R, N_STATS };

/* mean and r of group g of an image, or of a pixel. */
UM_INLINE real *group_stats(const um_view *stats, int64_t image, int64_t g)
{
    return (real *)stats->data + (image * stats->w + g) * N_STATS;
}
UM_INLINE real *pixel_stats(const um_view *stats, int64_t p)
{
    return (real *)stats->data + p * N_STATS;
}

/* Where the arrays behind the block sums lie: `rows` rows of C reals per image. */
static real *image_rows(const um_op_call *call, const um_view *x, int64_t sums_width)
{
    return (real *)(void *)((char *)call->workspace + um_block_bytes(x, sums_width) + (size_t)(x->n * sums_width) * sizeof(double));
}
static double *image_sums(const um_op_call *call, const um_view *x, int64_t sums_width)
{
    return (double *)(void *)((char *)call->workspace + um_block_bytes(x, sums_width));
}
static size_t rows_bytes(const um_view *x, int64_t sums_width, int64_t rows)
{
    size_t sums = (size_t)(x->n * sums_width) * sizeof(double);
    return um_block_bytes(x, sums_width) + sums + (size_t)(x->n * rows * x->c) * sizeof(real);
}

/* ---- forward, groups ---- */

static void sum_block(const um_op_call *call, int64_t begin, int64_t end, double *part)
{
    const um_view *x = &call->in[0];
    memset(part, 0, (size_t)x->c * sizeof *part);
    for (int64_t p = begin; p < end; p++) {
        const real *v = pixel_at(x, p);
        for (int64_t k = 0; k < x->c; k++)
            part[k] += (double)v[k];
    }
}

static void square_block(const um_op_call *call, int64_t begin, int64_t end, double *part)
{
    const um_view *x = &call->in[0], *stats = &call->out[1];
    int64_t image = begin / (x->h * x->w), width = x->c / call->attr.norm.groups;
    memset(part, 0, (size_t)x->c * sizeof *part);
    for (int64_t p = begin; p < end; p++) {
        const real *v = pixel_at(x, p);
        for (int64_t g = 0, k = 0; g < call->attr.norm.groups; g++) {
            double mean = (double)group_stats(stats, image, g)[STAT_MEAN];
            for (int64_t last = k + width; k < last; k++) {
                double d = (double)v[k] - mean;
                part[k] += d * d;
            }
        }
    }
}

/* The mean over a group of sums per channel. */
static double group_mean(const double *sums, int64_t g, int64_t width, int64_t pixels)
{
    double sum = 0;
    for (int64_t k = g * width; k < (g + 1) * width; k++)
        sum += sums[k];
    return sum / (double)(width * pixels);
}

static void find_group_stats(const um_op_call *call)
{
    const um_view *x = &call->in[0], *stats = &call->out[1];
    int64_t groups = call->attr.norm.groups, width = x->c / groups, pixels = x->h * x->w;
    double *sums = image_sums(call, x, x->c);
    um_block_image_sums(call, x, x->c, sum_block, sums);
    for (int64_t i = 0; i < x->n * groups; i++)
        group_stats(stats, i / groups, i % groups)[STAT_MEAN] =
            (real)group_mean(sums + i / groups * x->c, i % groups, width, pixels);
    um_block_image_sums(call, x, x->c, square_block, sums);
    for (int64_t i = 0; i < x->n * groups; i++) {
        double var = group_mean(sums + i / groups * x->c, i % groups, width, pixels);
        group_stats(stats, i / groups, i % groups)[STAT_R] = (real)(1 / sqrt(var + call->attr.norm.eps));
    }
}

enum { FWD_MEAN, FWD_SCALE, FWD_ROWS };

static void group_apply_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    const real *rows = image_rows(call, x, x->c), *beta = call->in[2].data;
    for (int64_t p = begin; p < end; p++) {
        const real *row = rows + p / (x->h * x->w) * FWD_ROWS * x->c, *from = pixel_at(x, p);
        real *restrict to = pixel_at(y, p);
        for (int64_t k = 0; k < x->c; k++)
            to[k] = row[FWD_SCALE * x->c + k] * (from[k] - row[FWD_MEAN * x->c + k]) + beta[k];
    }
}

static void group_fwd(const um_op_call *call)
{
    const um_view *x = &call->in[0];
    const real *gamma = call->in[1].data;
    int64_t width = x->c / call->attr.norm.groups;
    real *rows = image_rows(call, x, x->c);
    find_group_stats(call);
    for (int64_t i = 0; i < x->n; i++)
        for (int64_t k = 0; k < x->c; k++) {
            const real *s = group_stats(&call->out[1], i, k / width);
            rows[(i * FWD_ROWS + FWD_MEAN) * x->c + k] = s[STAT_MEAN];
            rows[(i * FWD_ROWS + FWD_SCALE) * x->c + k] = gamma[k] * s[STAT_R];
        }
    um_span_run(call, um_view_pixels(x), x->c, group_apply_span);
}

/* ---- forward, pixels ---- */

static void layer_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    const real *gamma = call->in[1].data, *beta = call->in[2].data;
    for (int64_t p = begin; p < end; p++) {
        const real *from = pixel_at(x, p);
        real *to = pixel_at(y, p), *stats = pixel_stats(&call->out[1], p);
        double sum = 0, squares = 0;
        for (int64_t k = 0; k < x->c; k++)
            sum += (double)from[k];
        double mean = sum / (double)x->c;
        for (int64_t k = 0; k < x->c; k++) {
            double d = (double)from[k] - mean;
            squares += d * d;
        }
        stats[STAT_MEAN] = (real)mean;
        stats[STAT_R] = (real)(1 / sqrt(squares / (double)x->c + call->attr.norm.eps));
        for (int64_t k = 0; k < x->c; k++)
            to[k] = gamma[k] * ((from[k] - stats[STAT_MEAN]) * stats[STAT_R]) + beta[k];
    }
}

um_status UM_FN(um_cpu_norm_fwd_prepare)(const um_op_call *call, size_t *bytes)
{
    *bytes = call->attr.norm.groups ? rows_bytes(&call->in[0], call->in[0].c, FWD_ROWS) : 0;
    return UM_OK;
}

um_status UM_FN(um_cpu_norm_fwd)(const um_op_call *call)
{
    const um_view *x = &call->in[0];
    if (call->attr.norm.groups)
        group_fwd(call);
    else
        um_span_run(call, um_view_pixels(x), 3 * x->c, layer_span);
    return UM_OK;
}

/* ---- backward ---- */

/* Adds dy and dy*xh of `n` channels that share mean and r. */
static void bwd_sums_run(double *restrict s, double *restrict sx, const real *dy, const real *x, const real *stats, int64_t n)
{
    double mean = (double)stats[STAT_MEAN], r = (double)stats[STAT_R];
    for (int64_t k = 0; k < n; k++) {
        s[k] += (double)dy[k];
        sx[k] += (double)dy[k] * (((double)x[k] - mean) * r);
    }
}

static void bwd_sums_block(const um_op_call *call, int64_t begin, int64_t end, double *part)
{
    const um_view *dy = &call->in[0], *x = &call->in[1], *stats = &call->in[2];
    int64_t groups = call->attr.norm.groups, width = groups ? x->c / groups : x->c, image = begin / (x->h * x->w);
    memset(part, 0, (size_t)(2 * x->c) * sizeof *part);
    for (int64_t p = begin; p < end; p++)
        for (int64_t g = 0; g < (groups ? groups : 1); g++) {
            const real *s = groups ? group_stats(stats, image, g) : pixel_stats(stats, p);
            int64_t k = g * width;
            bwd_sums_run(part + k, part + x->c + k, pixel_at(dy, p) + k, pixel_at(x, p) + k, s, width);
        }
}

um_status UM_FN(um_cpu_norm_bwd_sums_prepare)(const um_op_call *call, size_t *bytes)
{
    *bytes = um_block_bytes(&call->in[1], 2 * call->in[1].c);
    return UM_OK;
}

um_status UM_FN(um_cpu_norm_bwd_sums)(const um_op_call *call)
{
    um_block_image_sums(call, &call->in[1], 2 * call->in[1].c, bwd_sums_block, call->out[0].data);
    return UM_OK;
}

um_status UM_FN(um_cpu_norm_bwd_param_prepare)(const um_op_call *call, size_t *bytes)
{
    *bytes = (size_t)(UM_MAX_LANES * 2 * call->in[0].c) * sizeof(real);
    return UM_OK;
}

/* A gradient travels between ranks as `real`; so lane sums are rounded before the tree, which ranks continue. */
um_status UM_FN(um_cpu_norm_bwd_param)(const um_op_call *call)
{
    const double *s = call->in[0].data;
    const um_batch *batch = call->batch;
    real *lanes = call->workspace, *dgamma = call->out[0].data, *dbeta = call->out[1].data;
    int64_t c = call->in[0].c, width = 2 * c;
    for (int l = 0; l < batch->n_lanes; l++)
        for (int64_t k = 0; k < width; k++) {
            double sum = 0;
            for (int64_t i = batch->lane_begin[l]; i < batch->lane_begin[l + 1]; i++)
                sum += s[i * width + k];
            lanes[l * width + k] = (real)sum;
        }
#if UM_REAL_IS_F64
    um_tree_sum_f64(lanes, batch->n_lanes, width);
#else
    um_tree_sum_f32(lanes, batch->n_lanes, width);
#endif
    for (int64_t k = 0; k < c; k++) {
        dbeta[k] = call->accumulate ? dbeta[k] + lanes[k] : lanes[k];
        dgamma[k] = call->accumulate ? dgamma[k] + lanes[c + k] : lanes[c + k];
    }
    return UM_OK;
}

/* dx = scale*dy - shift - slope*(x - mean). */
enum { BWD_MEAN, BWD_SCALE, BWD_SHIFT, BWD_SLOPE, BWD_ROWS };

static void group_bwd_rows(const um_op_call *call, int64_t image, real *rows)
{
    const um_view *x = &call->in[1], *stats = &call->in[3];
    const real *gamma = call->in[2].data;
    const double *s = (const double *)call->in[4].data + image * 2 * x->c;
    int64_t groups = call->attr.norm.groups, width = x->c / groups, c = x->c;
    for (int64_t g = 0; g < groups; g++) {
        const real *st = group_stats(stats, image, g);
        double mean_g = 0, mean_gx = 0, m = (double)(width * x->h * x->w), r = (double)st[STAT_R];
        for (int64_t k = g * width; k < (g + 1) * width; k++) {
            mean_g += (double)gamma[k] * s[k] / m;
            mean_gx += (double)gamma[k] * s[c + k] / m;
        }
        for (int64_t k = g * width; k < (g + 1) * width; k++) {
            rows[BWD_MEAN * c + k] = st[STAT_MEAN];
            rows[BWD_SCALE * c + k] = (real)(r * (double)gamma[k]);
            rows[BWD_SHIFT * c + k] = (real)(r * mean_g);
            rows[BWD_SLOPE * c + k] = (real)(r * r * mean_gx);
        }
    }
}

static void group_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dy = &call->in[0], *x = &call->in[1], *dx = &call->out[0];
    int64_t c = x->c;
    for (int64_t p = begin; p < end; p++) {
        const real *row = (const real *)call->workspace + p / (x->h * x->w) * BWD_ROWS * c;
        const real *g = pixel_at(dy, p), *v = pixel_at(x, p);
        real *restrict to = pixel_at(dx, p);
        for (int64_t k = 0; k < c; k++) {
            real d =
                row[BWD_SCALE * c + k] * g[k] - row[BWD_SHIFT * c + k] - row[BWD_SLOPE * c + k] * (v[k] - row[BWD_MEAN * c + k]);
            to[k] = call->accumulate ? to[k] + d : d;
        }
    }
}

static void layer_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dy = &call->in[0], *x = &call->in[1], *dx = &call->out[0];
    const real *gamma = call->in[2].data;
    for (int64_t p = begin; p < end; p++) {
        const real *g = pixel_at(dy, p), *v = pixel_at(x, p), *stats = pixel_stats(&call->in[3], p);
        real *to = pixel_at(dx, p), r = stats[STAT_R];
        double sum = 0, sum_x = 0;
        for (int64_t k = 0; k < x->c; k++) {
            double h = (double)gamma[k] * (double)g[k];
            sum += h;
            sum_x += h * (((double)v[k] - (double)stats[STAT_MEAN]) * (double)r);
        }
        real mean_g = (real)(sum / (double)x->c), mean_gx = (real)(sum_x / (double)x->c);
        for (int64_t k = 0; k < x->c; k++) {
            real d = r * (gamma[k] * g[k] - mean_g - (v[k] - stats[STAT_MEAN]) * r * mean_gx);
            to[k] = call->accumulate ? to[k] + d : d;
        }
    }
}

um_status UM_FN(um_cpu_norm_bwd_prepare)(const um_op_call *call, size_t *bytes)
{
    const um_view *x = &call->in[1];
    *bytes = call->attr.norm.groups ? (size_t)(x->n * BWD_ROWS * x->c) * sizeof(real) : 0;
    return UM_OK;
}

um_status UM_FN(um_cpu_norm_bwd)(const um_op_call *call)
{
    const um_view *x = &call->in[1];
    for (int64_t i = 0; call->attr.norm.groups && i < x->n; i++)
        group_bwd_rows(call, i, (real *)call->workspace + i * BWD_ROWS * x->c);
    um_span_run(call, um_view_pixels(x), 3 * x->c, call->attr.norm.groups ? group_bwd_span : layer_bwd_span);
    return UM_OK;
}
