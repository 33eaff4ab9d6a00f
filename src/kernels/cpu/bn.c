/* Batch normalisation (layers.md section 2). Statistics in f64 by fixed blocks; apply and its gradient pixel by pixel. */
#include <math.h>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/pattern.h"
#include "kernels/cpu/span.h"

/* Rows of coef. */
enum { COEF_MEAN, COEF_R, COEF_A, COEF_B, COEF_ROWS };

/* Images have coefficients of their own where statistics are per lane. */
static const real *coef_row(const um_view *coef, int64_t image, int row)
{
    return (const real *)coef->data + ((coef->n > 1 ? image : 0) * COEF_ROWS + row) * coef->c;
}

/* Pixels that share coefficients, in a row: those of an image, or all. */
static int64_t shared_pixels(const um_op_call *call, const um_view *x)
{
    return call->attr.bn.per_lane ? x->h * x->w : um_view_pixels(x);
}

/* Element k of the sums of single images, over the images of a lane. */
static double lane_sum(const um_batch *batch, int lane, const um_view *s, int64_t k)
{
    double sum = 0;
    for (int64_t i = batch->lane_begin[lane]; i < batch->lane_begin[lane + 1]; i++)
        sum += ((const double *)s->data)[i * 2 * s->c + k];
    return sum;
}

/* Without relu nothing lies below the floor. */
static real relu_floor(const um_op_call *call)
{
    return call->attr.bn.relu ? 0 : (real)-INFINITY;
}

um_status UM_FN(um_cpu_bn_stats_prepare)(const um_op_call *call, size_t *bytes)
{
    *bytes = um_block_bytes(&call->in[0], 2 * call->in[0].c);
    return UM_OK;
}

/* Adds n values to their sums, and their squares. */
static void stats_add(double *restrict s, double *restrict q, const real *restrict x, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        double v = (double)x[k];
        s[k] += v;
        q[k] += v * v;
    }
}

/* The same for four runs that lie `distance` apart: a quarter of the traffic on the sums. */
static void stats_add4(double *restrict s, double *restrict q, const real *restrict x, int64_t distance, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        double v0 = (double)x[k], v1 = (double)x[k + distance];
        double v2 = (double)x[k + 2 * distance], v3 = (double)x[k + 3 * distance];
        s[k] += (v0 + v1) + (v2 + v3);
        q[k] += (v0 * v0 + v1 * v1) + (v2 * v2 + v3 * v3);
    }
}

static void stats_block(const um_op_call *call, int64_t begin, int64_t end, double *part)
{
    const um_view *x = &call->in[0];
    int64_t c = x->c, pixels = pattern_pixels(c, um_view_dense(x)), p = begin;
    double buffer[2 * PATTERN] = {0};
    double *s = pixels == 1 ? part : buffer, *q = pixels == 1 ? part + c : buffer + PATTERN;
    if (pixels == 1)
        memset(part, 0, (size_t)(2 * c) * sizeof *part);
    for (; p + 4 * pixels <= end; p += 4 * pixels)
        stats_add4(s, q, pixel_at(x, p), pixels * x->ld, pixels * c);
    for (; p < end; p += pixels)
        stats_add(s, q, pixel_at(x, p), min64(pixels, end - p) * c);
    if (pixels > 1) {
        pattern_fold(part, s, c, pixels);
        pattern_fold(part + c, q, c, pixels);
    }
}

um_status UM_FN(um_cpu_bn_stats)(const um_op_call *call)
{
    int64_t width = 2 * call->in[0].c;
    if (call->attr.bn.per_lane) {
        um_block_image_sums(call, &call->in[0], width, stats_block, call->out[0].data);
        return UM_OK;
    }
    double *lanes = um_block_lane_sums(call, &call->in[0], width, stats_block);
    um_tree_sum_f64(lanes, call->batch->n_lanes, width);
    memcpy(call->out[0].data, lanes, (size_t)width * sizeof *lanes);
    return UM_OK;
}

static void update_running(real *running, double batch, double momentum)
{
    *running = (real)((1 - momentum) * (double)*running + momentum * batch);
}

static void put_coef(const um_op_call *call, real *coef, int64_t k, double mean, double var)
{
    const real *gamma = call->in[1].data, *beta = call->in[2].data;
    int64_t c = call->out[0].c;
    double r = 1 / sqrt(var + call->attr.bn.eps), a = (double)gamma[k] * r;
    coef[COEF_MEAN * c + k] = (real)mean;
    coef[COEF_R * c + k] = (real)r;
    coef[COEF_A * c + k] = (real)a;
    coef[COEF_B * c + k] = (real)((double)beta[k] - mean * a);
}

static void coef_per_lane(const um_op_call *call)
{
    const um_view *s = &call->in[0];
    const um_batch *batch = call->batch;
    int64_t c = s->c, size = COEF_ROWS * c;
    for (int l = 0; l < batch->n_lanes; l++) {
        int64_t begin = batch->lane_begin[l], end = batch->lane_begin[l + 1];
        double m = (double)((end - begin) * call->attr.bn.hw);
        real *coef = (real *)call->out[0].data + begin * size;
        for (int64_t k = 0; begin < end && k < c; k++) {
            double mean = lane_sum(batch, l, s, k) / m;
            put_coef(call, coef, k, mean, fmax(lane_sum(batch, l, s, c + k) / m - mean * mean, 0));
        }
        for (int64_t i = begin + 1; i < end; i++)
            memcpy(coef + (i - begin) * size, coef, (size_t)size * sizeof *coef);
    }
}

um_status UM_FN(um_cpu_bn_coef)(const um_op_call *call)
{
    if (call->attr.bn.per_lane) {
        coef_per_lane(call);
        return UM_OK;
    }
    const double *s = call->in[0].data;
    const real *mean_in = call->in[3].data, *var_in = call->in[4].data;
    real *run_mean = call->out[1].data, *run_var = call->out[2].data;
    bool eval = call->attr.bn.eval;
    double m = (double)(call->batch->n_total * call->attr.bn.hw), momentum = call->attr.bn.momentum;
    int64_t c = call->out[0].c;
    for (int64_t k = 0; k < c; k++) {
        double mean = eval ? (double)mean_in[k] : s[k] / m;
        double var = eval ? (double)var_in[k] : fmax(s[c + k] / m - mean * mean, 0);
        put_coef(call, call->out[0].data, k, mean, var);
        if (!eval && run_mean)
            update_running(&run_mean[k], mean, momentum);
        if (!eval && run_var)
            update_running(&run_var[k], m > 1 ? var * m / (m - 1) : var, momentum);
    }
    return UM_OK;
}

/* y and x may be the same memory: element k is read before it is written. */
static void apply_run(real *y, const real *x, const real *a, const real *b, int64_t n, real lowest)
{
#pragma GCC ivdep
    for (int64_t k = 0; k < n; k++) {
        real v = a[k] * x[k] + b[k];
        y[k] = v < lowest ? lowest : v;
    }
}

static void apply_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *coef = &call->in[1], *y = &call->out[0];
    int64_t c = x->c, pixels = pattern_pixels(c, um_view_dense(x) && um_view_dense(y));
    real buffer_a[PATTERN], buffer_b[PATTERN];
    for (int64_t p = begin, shared = shared_pixels(call, x); p < end;) {
        int64_t owner = p / shared, stop = min64(end, (owner + 1) * shared);
        const real *a = pattern_fill(buffer_a, coef_row(coef, owner, COEF_A), c, pixels);
        const real *b = pattern_fill(buffer_b, coef_row(coef, owner, COEF_B), c, pixels);
        for (; p < stop; p += min64(pixels, stop - p))
            apply_run(pixel_at(y, p), pixel_at(x, p), a, b, min64(pixels, stop - p) * c, relu_floor(call));
    }
}

um_status UM_FN(um_cpu_bn_apply)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->in[0]), call->in[0].c, apply_span);
    return UM_OK;
}

um_status UM_FN(um_cpu_bn_bwd_sums_prepare)(const um_op_call *call, size_t *bytes)
{
    *bytes = um_block_bytes(&call->in[0], 2 * call->in[0].c);
    return UM_OK;
}

/* Adds g and g*(x - mean); the factor r of xh follows once per block. */
static void bwd_sums_run(double *restrict s0, double *restrict s1, const real *restrict dy, const real *restrict x,
                         const real *restrict mean, const real *restrict a, const real *restrict b, int64_t n, real lowest)
{
    for (int64_t k = 0; k < n; k++) {
        real y = a[k] * x[k] + b[k], d = dy[k];
        double g = (double)(y <= lowest ? 0 : d);
        s0[k] += g;
        s1[k] += g * ((double)x[k] - (double)mean[k]);
    }
}

static void bwd_sums_block(const um_op_call *call, int64_t begin, int64_t end, double *part)
{
    const um_view *dy = &call->in[0], *x = &call->in[1], *coef = &call->in[2];
    int64_t c = x->c, pixels = pattern_pixels(c, um_view_dense(x) && um_view_dense(dy)), owner = begin / shared_pixels(call, x);
    real buffer_mean[PATTERN], buffer_a[PATTERN], buffer_b[PATTERN];
    const real *mean = pattern_fill(buffer_mean, coef_row(coef, owner, COEF_MEAN), c, pixels);
    const real *a = pattern_fill(buffer_a, coef_row(coef, owner, COEF_A), c, pixels);
    const real *b = pattern_fill(buffer_b, coef_row(coef, owner, COEF_B), c, pixels);
    double buffer[2 * PATTERN] = {0};
    double *s0 = pixels == 1 ? part : buffer, *s1 = pixels == 1 ? part + c : buffer + PATTERN;
    if (pixels == 1)
        memset(part, 0, (size_t)(2 * c) * sizeof *part);
    for (int64_t p = begin; p < end; p += pixels)
        bwd_sums_run(s0, s1, pixel_at(dy, p), pixel_at(x, p), mean, a, b, min64(pixels, end - p) * c, relu_floor(call));
    if (pixels > 1) {
        pattern_fold(part, s0, c, pixels);
        pattern_fold(part + c, s1, c, pixels);
    }
    const real *r = coef_row(coef, owner, COEF_R);
    for (int64_t k = 0; k < c; k++)
        part[c + k] *= (double)r[k];
}

um_status UM_FN(um_cpu_bn_bwd_sums)(const um_op_call *call)
{
    int64_t width = 2 * call->in[0].c;
    if (call->attr.bn.per_lane) {
        um_block_image_sums(call, &call->in[0], width, bwd_sums_block, call->out[0].data);
        return UM_OK;
    }
    double *lanes = um_block_lane_sums(call, &call->in[0], width, bwd_sums_block);
    if (call->out[1].data)
        memcpy(call->out[1].data, lanes_rounded_sum(lanes, call->batch->n_lanes, width), (size_t)width * sizeof(real));
    um_tree_sum_f64(lanes, call->batch->n_lanes, width);
    memcpy(call->out[0].data, lanes, (size_t)width * sizeof *lanes);
    return UM_OK;
}

um_status UM_FN(um_cpu_bn_bwd_param)(const um_op_call *call)
{
    const real *s = call->in[0].data;
    real *dgamma = call->out[0].data, *dbeta = call->out[1].data;
    int64_t c = call->in[0].c;
    for (int64_t k = 0; k < c; k++) {
        dgamma[k] = (call->accumulate ? dgamma[k] : 0) + s[c + k];
        dbeta[k] = (call->accumulate ? dbeta[k] : 0) + s[k];
    }
    return UM_OK;
}

um_status UM_FN(um_cpu_bn_bwd_apply_prepare)(const um_op_call *call, size_t *bytes)
{
    *bytes = 2 * (size_t)(call->in[2].n * call->in[1].c) * sizeof(real);
    return UM_OK;
}

/* dx = a*g + k1*(x - mean) + k0 with k1 = -a*r*s1/m, k0 = -a*s0/m. */
static void put_shift(real *k0, real *k1, real a, real r, double s0, double s1, double m)
{
    *k1 = (real)(-(double)a * (double)r * s1 / m);
    *k0 = (real)(-(double)a * s0 / m);
}

/* Rows k1 and k0 in the workspace: of all, or of every image. */
static void bwd_apply_coef(const um_op_call *call)
{
    const um_view *x = &call->in[1], *coef = &call->in[2], *s = &call->in[3];
    const um_batch *batch = call->batch;
    bool per_lane = call->attr.bn.per_lane;
    int64_t c = x->c, hw = x->h * x->w;
    real *rows = call->workspace;
    if (call->attr.bn.eval || !s->data) {
        memset(rows, 0, 2 * (size_t)(coef->n * c) * sizeof *rows);
        return;
    }
    for (int l = 0; l < (per_lane ? batch->n_lanes : 1); l++) {
        int64_t begin = per_lane ? batch->lane_begin[l] : 0, end = per_lane ? batch->lane_begin[l + 1] : 1;
        double m = (double)((per_lane ? end - begin : batch->n_total) * hw);
        const double *all = s->data;
        for (int64_t i = begin; i < end; i++) {
            const real *a = coef_row(coef, i, COEF_A), *r = coef_row(coef, i, COEF_R);
            real *k1 = rows + i * 2 * c, *k0 = k1 + c;
            for (int64_t k = 0; k < c; k++)
                put_shift(&k0[k], &k1[k], a[k], r[k], per_lane ? lane_sum(batch, l, s, k) : all[k],
                          per_lane ? lane_sum(batch, l, s, c + k) : all[c + k], m);
        }
    }
}

typedef struct bwd_rows {
    const real *mean, *a, *b, *k1, *k0;
} bwd_rows;

static void bwd_apply_run(real *dx, const real *dy, const real *x, bwd_rows rows, int64_t n, real lowest, bool accumulate)
{
#pragma GCC ivdep
    for (int64_t k = 0; k < n; k++) {
        real y = rows.a[k] * x[k] + rows.b[k];
        real g = y <= lowest ? 0 : dy[k];
        real d = rows.k1[k] * (x[k] - rows.mean[k]) + rows.k0[k];
        d = rows.a[k] * g + d;
        dx[k] = accumulate ? dx[k] + d : d;
    }
}

static void bwd_apply_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dy = &call->in[0], *x = &call->in[1], *coef = &call->in[2], *dx = &call->out[0];
    int64_t c = x->c, pixels = pattern_pixels(c, um_view_dense(x) && um_view_dense(dy) && um_view_dense(dx));
    real buffer[5][PATTERN];
    for (int64_t p = begin, shared = shared_pixels(call, x); p < end;) {
        int64_t owner = p / shared, stop = min64(end, (owner + 1) * shared);
        const real *k1 = (const real *)call->workspace + owner * 2 * c;
        bwd_rows rows = {
            .mean = pattern_fill(buffer[0], coef_row(coef, owner, COEF_MEAN), c, pixels),
            .a = pattern_fill(buffer[1], coef_row(coef, owner, COEF_A), c, pixels),
            .b = pattern_fill(buffer[2], coef_row(coef, owner, COEF_B), c, pixels),
            .k1 = pattern_fill(buffer[3], k1, c, pixels),
            .k0 = pattern_fill(buffer[4], k1 + c, c, pixels),
        };
        for (; p < stop; p += min64(pixels, stop - p))
            bwd_apply_run(pixel_at(dx, p), pixel_at(dy, p), pixel_at(x, p), rows, min64(pixels, stop - p) * c, relu_floor(call),
                          call->accumulate);
    }
}

um_status UM_FN(um_cpu_bn_bwd_apply)(const um_op_call *call)
{
    bwd_apply_coef(call);
    um_span_run(call, um_view_pixels(&call->in[1]), call->in[1].c, bwd_apply_span);
    return UM_OK;
}
