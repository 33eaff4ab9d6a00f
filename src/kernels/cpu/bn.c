/* Batch normalisation (layers.md section 2). Statistics in f64 by fixed blocks; apply and its gradient pixel by pixel. */
#include <math.h>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"

/* Rows of coef. */
enum { COEF_MEAN, COEF_R, COEF_A, COEF_B, COEF_ROWS };

/* The rows [COEF_ROWS][C] of an image: its own where statistics are per lane. */
static const real *coef_of(const um_view *coef, int64_t image)
{
    return (const real *)coef->data + (coef->n > 1 ? image : 0) * COEF_ROWS * coef->c;
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

typedef struct stats_pass {
    columns grid;
    const um_view *x;
    double *sums; /* of x, of x^2 */
} stats_pass;

/* Four rows at once, so that additions to a sum wait for each other four times less. */
UM_INLINE void stats_column(const void *context, column at)
{
    const stats_pass *p = context;
    const real *x = pixel_at(p->x, at.pixel) + at.k;
    int64_t step = p->grid.fold * p->x->ld, r = 0;
    double *to = p->sums + at.k;
    v_wide sum[MAX_VECTORS], square[MAX_VECTORS];
    const v_wide zero = {0};
    for (int i = 0; i < at.vectors; i++) {
        sum[i] = v_wide_load(to + i * VL, at.lanes);
        square[i] = v_wide_load(to + p->grid.width + i * VL, at.lanes);
    }
    for (; r + 4 <= at.rows; r += 4, x += 4 * step) {
        for (int q = 0; q < 4; q++)
            prefetch_next(p->grid, at, x + q * step, step);
        for (int i = 0; i < at.vectors; i++) {
            const real *q = x + i * VL;
            v_wide a = v_widen(v_load_lanes(q, at.lanes)), b = v_widen(v_load_lanes(q + step, at.lanes));
            v_wide c = v_widen(v_load_lanes(q + 2 * step, at.lanes)), d = v_widen(v_load_lanes(q + 3 * step, at.lanes));
            sum[i] = v_wide_add(sum[i], v_wide_add(v_wide_add(a, b), v_wide_add(c, d)));
            a = v_wide_fma(b, b, v_wide_fma(a, a, zero));
            c = v_wide_fma(d, d, v_wide_fma(c, c, zero));
            square[i] = v_wide_add(square[i], v_wide_add(a, c));
        }
    }
    for (; r < at.rows; r++, x += step)
        for (int i = 0; i < at.vectors; i++) {
            v_wide a = v_widen(v_load_lanes(x + i * VL, at.lanes));
            sum[i] = v_wide_add(sum[i], a);
            square[i] = v_wide_fma(a, a, square[i]);
        }
    for (int i = 0; i < at.vectors; i++) {
        v_wide_store(to + i * VL, sum[i], at.lanes);
        v_wide_store(to + p->grid.width + i * VL, square[i], at.lanes);
    }
}

static void stats_block(const um_op_call *call, int64_t begin, int64_t end, double *part)
{
    const um_view *x = &call->in[0];
    double buffer[2 * VL];
    stats_pass s = {.grid = columns_of(x->c, um_view_dense(x)), .x = x};
    s.sums = columns_sums(s.grid, part, buffer, 2);
    columns_visit(s.grid, begin, end, 2, stats_column, &s);
    columns_fold(s.grid, part, s.sums, 2);
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

typedef struct apply_pass {
    columns grid;
    const um_view *x, *y;
    const real *coef; /* rows */
    real lowest;
} apply_pass;

/* y and x may be the same memory: a vector is read before it is written. */
UM_INLINE void apply_column(const void *context, column at)
{
    const apply_pass *p = context;
    const real *x = pixel_at(p->x, at.pixel) + at.k;
    real *y = pixel_at(p->y, at.pixel) + at.k;
    int64_t x_step = p->grid.fold * p->x->ld, y_step = p->grid.fold * p->y->ld;
    vreal a[MAX_VECTORS], b[MAX_VECTORS], lowest = v_set(p->lowest);
    for (int i = 0; i < at.vectors; i++) {
        a[i] = column_coef(p->grid, at, i, p->coef + COEF_A * p->grid.c);
        b[i] = column_coef(p->grid, at, i, p->coef + COEF_B * p->grid.c);
    }
    for (int64_t r = 0; r < at.rows; r++, y += y_step, x += x_step) {
        prefetch_next(p->grid, at, x, x_step);
        prefetch_next(p->grid, at, y, y_step);
        for (int i = 0; i < at.vectors; i++) {
            vreal v = a[i] * v_load_lanes(x + i * VL, at.lanes) + b[i];
            v_store_lanes(y + i * VL, v_choose(v < lowest, lowest, v), at.lanes);
        }
    }
}

static void apply_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    apply_pass p = {.grid = columns_of(x->c, um_view_dense(x) && um_view_dense(y)), .x = x, .y = y, .lowest = relu_floor(call)};
    for (int64_t shared = shared_pixels(call, x), stop; begin < end; begin = stop) {
        int64_t owner = begin / shared;
        stop = min64(end, (owner + 1) * shared);
        p.coef = coef_of(&call->in[1], owner);
        columns_visit(p.grid, begin, stop, MAX_VECTORS, apply_column, &p);
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

typedef struct bwd_sums_pass {
    columns grid;
    const um_view *dy, *x;
    const real *coef; /* rows */
    double *sums; /* of g, of g*(x - mean); the factor r of xh follows once per block */
    real lowest;
} bwd_sums_pass;

UM_INLINE void bwd_sums_column(const void *context, column at)
{
    const bwd_sums_pass *p = context;
    const real *dy = pixel_at(p->dy, at.pixel) + at.k, *x = pixel_at(p->x, at.pixel) + at.k;
    int64_t dy_step = p->grid.fold * p->dy->ld, x_step = p->grid.fold * p->x->ld;
    double *to = p->sums + at.k;
    vreal a[2], b[2], lowest = v_set(p->lowest);
    v_wide minus_mean[2], s0[2], s1[2];
    for (int i = 0; i < at.vectors; i++) {
        a[i] = column_coef(p->grid, at, i, p->coef + COEF_A * p->grid.c);
        b[i] = column_coef(p->grid, at, i, p->coef + COEF_B * p->grid.c);
        minus_mean[i] = v_widen(-column_coef(p->grid, at, i, p->coef + COEF_MEAN * p->grid.c));
        s0[i] = v_wide_load(to + i * VL, at.lanes);
        s1[i] = v_wide_load(to + p->grid.width + i * VL, at.lanes);
    }
    for (int64_t r = 0; r < at.rows; r++, dy += dy_step, x += x_step) {
        prefetch_next(p->grid, at, dy, dy_step);
        prefetch_next(p->grid, at, x, x_step);
        for (int i = 0; i < at.vectors; i++) {
            vreal v = v_load_lanes(x + i * VL, at.lanes), d = v_loaded(v_load_lanes(dy + i * VL, at.lanes));
            v_index closed = a[i] * v + b[i] <= lowest;
            v_wide g = v_widen((vreal)(~closed & (v_index)d));
            s0[i] = v_wide_add(s0[i], g);
            s1[i] = v_wide_fma(g, v_wide_add(v_widen(v), minus_mean[i]), s1[i]);
        }
    }
    for (int i = 0; i < at.vectors; i++) {
        v_wide_store(to + i * VL, s0[i], at.lanes);
        v_wide_store(to + p->grid.width + i * VL, s1[i], at.lanes);
    }
}

static void bwd_sums_block(const um_op_call *call, int64_t begin, int64_t end, double *part)
{
    const um_view *dy = &call->in[0], *x = &call->in[1];
    double buffer[2 * VL];
    bwd_sums_pass p = {columns_of(x->c, um_view_dense(x) && um_view_dense(dy)), dy, x,
                       coef_of(&call->in[2], begin / shared_pixels(call, x)), .lowest = relu_floor(call)};
    p.sums = columns_sums(p.grid, part, buffer, 2);
    columns_visit(p.grid, begin, end, 2, bwd_sums_column, &p);
    columns_fold(p.grid, part, p.sums, 2);
    for (int64_t k = 0; k < x->c; k++)
        part[x->c + k] *= (double)p.coef[COEF_R * x->c + k];
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
            const real *a = coef_of(coef, i) + COEF_A * c, *r = coef_of(coef, i) + COEF_R * c;
            real *k1 = rows + i * 2 * c, *k0 = k1 + c;
            for (int64_t k = 0; k < c; k++)
                put_shift(&k0[k], &k1[k], a[k], r[k], per_lane ? lane_sum(batch, l, s, k) : all[k],
                          per_lane ? lane_sum(batch, l, s, c + k) : all[c + k], m);
        }
    }
}

typedef struct bwd_apply_pass {
    columns grid;
    const um_view *dy, *x, *dx;
    const real *coef, *k1, *k0; /* rows */
    real lowest;
    bool accumulate;
} bwd_apply_pass;

UM_INLINE void bwd_apply_column(const void *context, column at)
{
    const bwd_apply_pass *p = context;
    const real *dy = pixel_at(p->dy, at.pixel) + at.k, *x = pixel_at(p->x, at.pixel) + at.k;
    real *dx = pixel_at(p->dx, at.pixel) + at.k;
    int64_t dy_step = p->grid.fold * p->dy->ld, x_step = p->grid.fold * p->x->ld, dx_step = p->grid.fold * p->dx->ld;
    vreal mean[MAX_VECTORS], a[MAX_VECTORS], b[MAX_VECTORS], k1[MAX_VECTORS], k0[MAX_VECTORS], lowest = v_set(p->lowest);
    bool accumulate = p->accumulate;
    for (int i = 0; i < at.vectors; i++) {
        mean[i] = column_coef(p->grid, at, i, p->coef + COEF_MEAN * p->grid.c);
        a[i] = column_coef(p->grid, at, i, p->coef + COEF_A * p->grid.c);
        b[i] = column_coef(p->grid, at, i, p->coef + COEF_B * p->grid.c);
        k1[i] = column_coef(p->grid, at, i, p->k1);
        k0[i] = column_coef(p->grid, at, i, p->k0);
    }
    for (int64_t r = 0; r < at.rows; r++, dy += dy_step, x += x_step, dx += dx_step) {
        prefetch_next(p->grid, at, dy, dy_step);
        prefetch_next(p->grid, at, x, x_step);
        prefetch_next(p->grid, at, dx, dx_step);
        for (int i = 0; i < at.vectors; i++) {
            vreal v = v_load_lanes(x + i * VL, at.lanes), g = v_loaded(v_load_lanes(dy + i * VL, at.lanes));
            v_index closed = a[i] * v + b[i] <= lowest;
            vreal d = k1[i] * (v - mean[i]) + k0[i];
            d = a[i] * (vreal)(~closed & (v_index)g) + d;
            v_store_lanes(dx + i * VL, accumulate ? v_load_lanes(dx + i * VL, at.lanes) + d : d, at.lanes);
        }
    }
}

static void bwd_apply_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dy = &call->in[0], *x = &call->in[1], *dx = &call->out[0];
    bwd_apply_pass p = {.grid = columns_of(x->c, um_view_dense(x) && um_view_dense(dy) && um_view_dense(dx)),
                        .dy = dy,
                        .x = x,
                        .dx = dx,
                        .lowest = relu_floor(call),
                        .accumulate = call->accumulate};
    for (int64_t shared = shared_pixels(call, x), stop; begin < end; begin = stop) {
        int64_t owner = begin / shared;
        stop = min64(end, (owner + 1) * shared);
        p.coef = coef_of(&call->in[2], owner);
        p.k1 = (const real *)call->workspace + owner * 2 * x->c;
        p.k0 = p.k1 + x->c;
        columns_visit(p.grid, begin, stop, MAX_VECTORS, bwd_apply_column, &p);
    }
}

um_status UM_FN(um_cpu_bn_bwd_apply)(const um_op_call *call)
{
    bwd_apply_coef(call);
    um_span_run(call, um_view_pixels(&call->in[1]), call->in[1].c, bwd_apply_span);
    return UM_OK;
}
