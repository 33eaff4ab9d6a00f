/* Batch normalisation (layers.md section 2). Statistics in f64 by fixed blocks; apply and its gradient pixel by pixel. */
#include <math.h>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"

/* Rows of coef. */
enum { COEF_MEAN, COEF_R, COEF_A, COEF_B };

static const real *coef_row(const um_view *coef, int row)
{
    return (const real *)coef->data + row * coef->c;
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
    for (; r + 4 <= at.rows; r += 4, x += 4 * step)
        for (int i = 0; i < at.vectors; i++) {
            const real *q = x + i * VL;
            v_wide a = v_widen(v_load_lanes(q, at.lanes)), b = v_widen(v_load_lanes(q + step, at.lanes));
            v_wide c = v_widen(v_load_lanes(q + 2 * step, at.lanes)), d = v_widen(v_load_lanes(q + 3 * step, at.lanes));
            sum[i] = v_wide_add(sum[i], v_wide_add(v_wide_add(a, b), v_wide_add(c, d)));
            a = v_wide_fma(b, b, v_wide_fma(a, a, zero));
            c = v_wide_fma(d, d, v_wide_fma(c, c, zero));
            square[i] = v_wide_add(square[i], v_wide_add(a, c));
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
    double *lanes = um_block_lane_sums(call, &call->in[0], width, stats_block);
    um_tree_sum_f64(lanes, call->batch->n_lanes, width);
    memcpy(call->out[0].data, lanes, (size_t)width * sizeof *lanes);
    return UM_OK;
}

static void update_running(real *running, double batch, double momentum)
{
    *running = (real)((1 - momentum) * (double)*running + momentum * batch);
}

um_status UM_FN(um_cpu_bn_coef)(const um_op_call *call)
{
    const double *s = call->in[0].data;
    const real *gamma = call->in[1].data, *beta = call->in[2].data;
    const real *mean_in = call->in[3].data, *var_in = call->in[4].data;
    real *coef = call->out[0].data, *run_mean = call->out[1].data, *run_var = call->out[2].data;
    bool eval = call->attr.bn.eval;
    double m = (double)(call->batch->n_total * call->attr.bn.hw), momentum = call->attr.bn.momentum;
    int64_t c = call->out[0].c;
    for (int64_t k = 0; k < c; k++) {
        double mean = eval ? (double)mean_in[k] : s[k] / m;
        double var = eval ? (double)var_in[k] : fmax(s[c + k] / m - mean * mean, 0);
        double r = 1 / sqrt(var + call->attr.bn.eps), a = (double)gamma[k] * r;
        coef[COEF_MEAN * c + k] = (real)mean;
        coef[COEF_R * c + k] = (real)r;
        coef[COEF_A * c + k] = (real)a;
        coef[COEF_B * c + k] = (real)((double)beta[k] - mean * a);
        if (!eval && run_mean)
            update_running(&run_mean[k], mean, momentum);
        if (!eval && run_var)
            update_running(&run_var[k], m > 1 ? var * m / (m - 1) : var, momentum);
    }
    return UM_OK;
}

typedef struct apply_pass {
    columns grid;
    const um_view *x, *coef, *y;
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
        a[i] = column_coef(p->grid, at, i, coef_row(p->coef, COEF_A));
        b[i] = column_coef(p->grid, at, i, coef_row(p->coef, COEF_B));
    }
    for (int64_t r = 0; r < at.rows; r++, y += y_step, x += x_step)
        for (int i = 0; i < at.vectors; i++) {
            vreal v = a[i] * v_load_lanes(x + i * VL, at.lanes) + b[i];
            v_store_lanes(y + i * VL, v_choose(v < lowest, lowest, v), at.lanes);
        }
}

static void apply_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    apply_pass p = {columns_of(x->c, um_view_dense(x) && um_view_dense(y)), x, &call->in[1], y, relu_floor(call)};
    columns_visit(p.grid, begin, end, MAX_VECTORS, apply_column, &p);
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
    const um_view *dy, *x, *coef;
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
        a[i] = column_coef(p->grid, at, i, coef_row(p->coef, COEF_A));
        b[i] = column_coef(p->grid, at, i, coef_row(p->coef, COEF_B));
        minus_mean[i] = v_widen(-column_coef(p->grid, at, i, coef_row(p->coef, COEF_MEAN)));
        s0[i] = v_wide_load(to + i * VL, at.lanes);
        s1[i] = v_wide_load(to + p->grid.width + i * VL, at.lanes);
    }
    for (int64_t r = 0; r < at.rows; r++, dy += dy_step, x += x_step)
        for (int i = 0; i < at.vectors; i++) {
            vreal v = v_load_lanes(x + i * VL, at.lanes), d = v_loaded(v_load_lanes(dy + i * VL, at.lanes));
            v_index closed = a[i] * v + b[i] <= lowest;
            v_wide g = v_widen((vreal)(~closed & (v_index)d));
            s0[i] = v_wide_add(s0[i], g);
            s1[i] = v_wide_fma(g, v_wide_add(v_widen(v), minus_mean[i]), s1[i]);
        }
    for (int i = 0; i < at.vectors; i++) {
        v_wide_store(to + i * VL, s0[i], at.lanes);
        v_wide_store(to + p->grid.width + i * VL, s1[i], at.lanes);
    }
}

static void bwd_sums_block(const um_op_call *call, int64_t begin, int64_t end, double *part)
{
    const um_view *dy = &call->in[0], *x = &call->in[1], *coef = &call->in[2];
    double buffer[2 * VL];
    bwd_sums_pass p = {columns_of(x->c, um_view_dense(x) && um_view_dense(dy)), dy, x, coef, .lowest = relu_floor(call)};
    p.sums = columns_sums(p.grid, part, buffer, 2);
    columns_visit(p.grid, begin, end, 2, bwd_sums_column, &p);
    columns_fold(p.grid, part, p.sums, 2);
    const real *r = coef_row(coef, COEF_R);
    for (int64_t k = 0; k < x->c; k++)
        part[x->c + k] *= (double)r[k];
}

um_status UM_FN(um_cpu_bn_bwd_sums)(const um_op_call *call)
{
    int64_t width = 2 * call->in[0].c;
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
    *bytes = 2 * (size_t)call->in[1].c * sizeof(real);
    return UM_OK;
}

/* dx = a*g + k1*(x - mean) + k0 with k1 = -a*r*s1/m, k0 = -a*s0/m; both rows go to the workspace. */
static void bwd_apply_coef(const um_op_call *call)
{
    const um_view *x = &call->in[1], *coef = &call->in[2];
    const double *s = call->attr.bn.eval ? NULL : call->in[3].data;
    const real *a = coef_row(coef, COEF_A), *r = coef_row(coef, COEF_R);
    double m = (double)(call->batch->n_total * x->h * x->w);
    real *k1 = call->workspace, *k0 = k1 + x->c;
    for (int64_t k = 0; k < x->c; k++) {
        k1[k] = s ? (real)(-(double)a[k] * (double)r[k] * s[x->c + k] / m) : 0;
        k0[k] = s ? (real)(-(double)a[k] * s[k] / m) : 0;
    }
}

typedef struct bwd_apply_pass {
    columns grid;
    const um_view *dy, *x, *coef, *dx;
    const real *k1, *k0;
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
        mean[i] = column_coef(p->grid, at, i, coef_row(p->coef, COEF_MEAN));
        a[i] = column_coef(p->grid, at, i, coef_row(p->coef, COEF_A));
        b[i] = column_coef(p->grid, at, i, coef_row(p->coef, COEF_B));
        k1[i] = column_coef(p->grid, at, i, p->k1);
        k0[i] = column_coef(p->grid, at, i, p->k0);
    }
    for (int64_t r = 0; r < at.rows; r++, dy += dy_step, x += x_step, dx += dx_step)
        for (int i = 0; i < at.vectors; i++) {
            vreal v = v_load_lanes(x + i * VL, at.lanes), g = v_loaded(v_load_lanes(dy + i * VL, at.lanes));
            v_index closed = a[i] * v + b[i] <= lowest;
            vreal d = k1[i] * (v - mean[i]) + k0[i];
            d = a[i] * (vreal)(~closed & (v_index)g) + d;
            v_store_lanes(dx + i * VL, accumulate ? v_load_lanes(dx + i * VL, at.lanes) + d : d, at.lanes);
        }
}

static void bwd_apply_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dy = &call->in[0], *x = &call->in[1], *dx = &call->out[0];
    const real *k1 = call->workspace;
    bwd_apply_pass p = {columns_of(x->c, um_view_dense(x) && um_view_dense(dy) && um_view_dense(dx)), dy, x, &call->in[2], dx, k1,
                        k1 + x->c, relu_floor(call), call->accumulate};
    columns_visit(p.grid, begin, end, MAX_VECTORS, bwd_apply_column, &p);
}

um_status UM_FN(um_cpu_bn_bwd_apply)(const um_op_call *call)
{
    bwd_apply_coef(call);
    um_span_run(call, um_view_pixels(&call->in[1]), call->in[1].c, bwd_apply_span);
    return UM_OK;
}
