/* The segmentation loss (protectors.md 1.6): per-image sums in f64, the loss from the sums, and its gradient. Pixels pass through
 * tiles of dense arrays. Stable forms: with e = exp(-|z|), sigmoid(z) and 1 - sigmoid(z) are 1/(1+e) and e/(1+e), ordered by the
 * sign of z; CE = max(z,0) - z*y + log(1+e). */
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"
#include "kernels/cpu/vmath.h"

enum { TILE = 256, SUM_WIDTH = 16 };
enum { S_CE, S_PY, S_P, S_Y, S_PP, N_SUMS }; /* columns of s and t */

typedef struct seg_tile {
    real z[TILE], y[TILE], p[TILE], q[TILE], ce[TILE]; /* logit, mask, sigmoid, 1 - sigmoid, cross entropy */
} seg_tile;

/* Two channels: softmax over them is the sigmoid of their difference. Returns the number of pixels. */
static int tile_load(seg_tile *restrict t, const um_view *z, const um_view *y, int64_t begin, int64_t end)
{
    int n = (int)min64(TILE, end - begin);
    for (int i = 0; i < n; i++) {
        const real *at = pixel_at(z, begin + i);
        t->z[i] = z->c == 2 ? at[1] - at[0] : at[0];
        t->y[i] = *pixel_at(y, begin + i);
    }
    for (int i = n; i < TILE; i++)
        t->z[i] = t->y[i] = 0;
    return n;
}

static void tile_sigmoid(seg_tile *restrict t, bool with_ce)
{
    for (int i = 0; i < TILE; i++) {
        real z = t->z[i], size = z < 0 ? -z : z;
        real e = v_exp(-size), big = 1 / (1 + e), small = e * big;
        t->p[i] = z < 0 ? small : big;
        t->q[i] = z < 0 ? big : small;
        t->ce[i] = e;
    }
    if (with_ce)
        for (int i = 0; i < TILE; i++) {
            real z = t->z[i], top = z < 0 ? 0 : z;
            t->ce[i] = top - z * t->y[i] + v_log1p_unit(t->ce[i]);
        }
}

static void tile_add(double acc[N_SUMS][SUM_WIDTH], const seg_tile *restrict t)
{
    for (int i = 0; i < TILE; i += SUM_WIDTH)
        for (int j = 0; j < SUM_WIDTH; j++) {
            double p = (double)t->p[i + j], y = (double)t->y[i + j];
            acc[S_CE][j] += (double)t->ce[i + j];
            acc[S_PY][j] += p * y;
            acc[S_P][j] += p;
            acc[S_Y][j] += y;
            acc[S_PP][j] += p * p;
        }
}

static void seg_block(const um_op_call *call, int64_t begin, int64_t end, double *part)
{
    double acc[N_SUMS][SUM_WIDTH] = {{0}};
    seg_tile t;
    for (int64_t p = begin; p < end; p += TILE) {
        int n = tile_load(&t, &call->in[0], &call->in[1], p, end);
        tile_sigmoid(&t, true);
        for (int i = n; i < TILE; i++)
            t.ce[i] = t.p[i] = 0;
        tile_add(acc, &t);
    }
    for (int k = 0; k < N_SUMS; k++) {
        part[k] = 0;
        for (int j = 0; j < SUM_WIDTH; j++)
            part[k] += acc[k][j];
    }
}

um_status UM_FN(um_cpu_seg_sums_prepare)(const um_op_call *call, size_t *bytes)
{
    *bytes = um_block_bytes(&call->in[0], N_SUMS);
    return UM_OK;
}

um_status UM_FN(um_cpu_seg_sums)(const um_op_call *call)
{
    um_block_image_sums(call, &call->in[0], N_SUMS, seg_block, call->out[0].data);
    return UM_OK;
}

/* Dice = 1 - num/den of one class. */
typedef struct dice_ratio {
    double num, den;
} dice_ratio;

static dice_ratio dice_object(const um_seg_attr *a, const double *s)
{
    return (dice_ratio){2 * s[S_PY] + a->smooth, (a->squared ? s[S_PP] : s[S_P]) + s[S_Y] + a->smooth};
}

/* The background class: 1-p against 1-y over n pixels. */
static dice_ratio dice_background(const um_seg_attr *a, const double *s, double n)
{
    double overlap = n - s[S_P] - s[S_Y] + s[S_PY];
    double size = a->squared ? n - 2 * s[S_P] + s[S_PP] : n - s[S_P];
    return (dice_ratio){2 * overlap + a->smooth, size + (n - s[S_Y]) + a->smooth};
}

static double dice_loss(const um_seg_attr *a, const double *s, double n)
{
    dice_ratio object = dice_object(a, s);
    if (!a->two_class)
        return 1 - object.num / object.den;
    dice_ratio back = dice_background(a, s, n);
    return 1 - 0.5 * (object.num / object.den + back.num / back.den);
}

/* A lane's share of {loss, CE, Dice}. One Dice over the whole batch is shared by the number of images. */
static double head_count(const um_seg_attr *a)
{
    return a->n_heads > 1 ? a->n_heads : 1;
}

static void lane_loss(const um_op_call *call, int lane, double share[3])
{
    const um_seg_attr *a = &call->attr.seg;
    const um_batch *batch = call->batch;
    const double *s = call->in[0].data, *t = call->in[1].data;
    double n_total = (double)batch->n_total, hw = (double)a->hw, ce = 0, dice = 0;
    int64_t begin = batch->lane_begin[lane], end = batch->lane_begin[lane + 1];
    for (int64_t i = begin; i < end; i++) {
        ce += s[i * N_SUMS + S_CE];
        if (!a->dice_batch)
            dice += dice_loss(a, s + i * N_SUMS, hw);
    }
    if (a->dice_batch)
        dice = dice_loss(a, t, hw * n_total) * (double)(end - begin);
    share[1] = ce / (n_total * hw) / head_count(a);
    share[2] = dice / n_total / head_count(a);
    share[0] = a->w_ce * share[1] + a->w_dice * share[2];
}

um_status UM_FN(um_cpu_seg_loss)(const um_op_call *call)
{
    double lanes[UM_MAX_LANES][3];
    for (int l = 0; l < call->batch->n_lanes; l++)
        lane_loss(call, l, lanes[l]);
    um_tree_sum_f64(lanes[0], call->batch->n_lanes, 3);
    memcpy(call->out[0].data, lanes[0], sizeof lanes[0]);
    return UM_OK;
}

/* dL/dp of the Dice part at one pixel is c0 + cy*y + cp*p; of CE, dL/dz is ce*(p - y). */
typedef struct seg_slope {
    real ce, c0, cy, cp;
} seg_slope;

/* slope.ce is already set; s: the sums of the image, or of the batch; n: their pixels; weight: of this Dice in the loss. */
static void add_dice_slope(seg_slope *slope, const um_seg_attr *a, const double *s, double n, double weight, bool two_class)
{
    dice_ratio o = dice_object(a, s);
    double share = two_class ? 0.5 * weight : weight, tilt = share * o.num / (o.den * o.den);
    double c0 = a->squared ? 0 : tilt, cp = a->squared ? 2 * tilt : 0, cy = -2 * share / o.den;
    if (two_class) {
        dice_ratio b = dice_background(a, s, n);
        double lean = share * b.num / (b.den * b.den);
        c0 += 2 * share / b.den - (a->squared ? 2 * lean : lean);
        cp += a->squared ? 2 * lean : 0;
        cy -= 2 * share / b.den;
    }
    slope->c0 = (real)c0;
    slope->cy = (real)cy;
    slope->cp = (real)cp;
}

static seg_slope image_slope(const um_op_call *call, int64_t image)
{
    const um_seg_attr *a = &call->attr.seg;
    const um_view *z = &call->in[0];
    double n_total = (double)call->batch->n_total, hw = (double)(z->h * z->w);
    double w_dice = a->w_dice / head_count(a);
    seg_slope slope = {.ce = (real)(a->w_ce / head_count(a) / (n_total * hw))};
    if (a->dice_batch)
        add_dice_slope(&slope, a, call->in[3].data, hw * n_total, w_dice, z->c == 2);
    else
        add_dice_slope(&slope, a, (const double *)call->in[2].data + image * N_SUMS, hw, w_dice / n_total, z->c == 2);
    return slope;
}

static void tile_store(const um_view *dz, const real *restrict g, int64_t begin, int n, bool accumulate)
{
    for (int i = 0; i < n; i++) {
        real *to = pixel_at(dz, begin + i);
        if (dz->c == 2) {
            to[0] = (accumulate ? to[0] : 0) - g[i];
            to[1] = (accumulate ? to[1] : 0) + g[i];
        } else {
            to[0] = (accumulate ? to[0] : 0) + g[i];
        }
    }
}

static void seg_bwd_run(const um_op_call *call, int64_t begin, int64_t end, seg_slope slope)
{
    seg_tile t;
    for (int64_t at = begin; at < end; at += TILE) {
        int n = tile_load(&t, &call->in[0], &call->in[1], at, end);
        tile_sigmoid(&t, false);
        for (int i = 0; i < TILE; i++) {
            real p = t.p[i], q = t.q[i], y = t.y[i];
            real ce = p * (1 - y) - q * y, dice = slope.c0 + slope.cy * y + slope.cp * p;
            t.ce[i] = slope.ce * ce + dice * (p * q);
        }
        tile_store(&call->out[0], t.ce, at, n, call->accumulate);
    }
}

/* Rows [begin, end), counted through all images. */
static void seg_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *z = &call->in[0];
    for (int64_t row = begin; row < end;) {
        int64_t image = row / z->h, last = min64((image + 1) * z->h, end);
        seg_bwd_run(call, row * z->w, last * z->w, image_slope(call, image));
        row = last;
    }
}

um_status UM_FN(um_cpu_seg_bwd)(const um_op_call *call)
{
    const um_view *z = &call->in[0];
    um_span_run(call, z->n * z->h, 4 * z->w, seg_bwd_span);
    return UM_OK;
}
