#include "kernels/cpu/conv_tile.h"
#include "kernels/cpu/conv_winograd.h"

#include <omp.h>

/* Forward and backward-data. Both orders below do the same multiply-adds per output, in the same order: inputs are summed in chunks
 * of CHUNK channels. So which one runs, and how tiles are cut into blocks, may depend on threads and images.
 *
 * Tile-stationary (many tiles): all weights are transformed once; then each thread takes blocks of tiles that fit its cache,
 * transforms them, and goes through the panels of output channels: 36 small products, and the output transform at once.
 * Weight-stationary (few tiles, many channels): the threads transform all tiles of a super-block together, then take panels; a
 * panel's weights are transformed on the fly, chunk by chunk, and never lie in memory as a whole. */

enum { CHUNK = 128, BLOCK_BYTES = 512 << 10, SUPER_BYTES = 8 << 20, WEIGHT_BYTES = 3 << 20, MAX_BLOCK = 112 };

typedef struct plan {
    um_wino_grid grid;
    um_panels out;
    int64_t n, depth;  /* images; channels that are summed */
    int64_t tiles;     /* of all images */
    int64_t chunk;
    bool by_weights;   /* weight-stationary */
    int64_t block;     /* tiles of a block, or of a super-block */
    int64_t splits;    /* weight-stationary: pieces of a super-block that are tasks of their own */
} plan;

/* Reals of one tile of transformed input, padded so that tiles do not fall into the same cache sets. */
static int64_t tile_pitch(const plan *p)
{
    return i_ceil_div(p->depth, VL) * VL + VL;
}
static int64_t input_tap(const plan *p)
{
    return p->block * tile_pitch(p) + VL;
}
static int64_t panel_width(const plan *p)
{
    return (int64_t)p->out.nv * VL;
}
static int64_t product_tap(const plan *p)
{
    return p->block * panel_width(p) + VL;
}

/* Offsets into the workspace, in reals, and sizes of what each thread owns. */
typedef struct layout {
    int64_t bias, zeros, weights, input, own, end;
    int64_t own_weights, own_input; /* inside a thread's part, after its products */
} layout;

static layout layout_of(const plan *p, int threads)
{
    layout l = {0};
    int64_t product = um_reals_aligned(UM_WINO_TAPS * product_tap(p)), input = um_reals_aligned(UM_WINO_TAPS * input_tap(p));
    l.zeros = um_panels_reals(&p->out, 1);
    l.weights = l.zeros + um_reals_aligned(i_max(i_ceil_div(p->depth, VL), UM_MAX_NV) * VL);
    l.input = l.weights + (p->by_weights ? 0 : um_panels_reals(&p->out, UM_WINO_TAPS * p->depth));
    l.own = l.input + (p->by_weights ? input : 0);
    l.own_weights = l.own_input = product;
    l.end = l.own + threads * (product + (p->by_weights ? um_reals_aligned(UM_WINO_TAPS * p->chunk * panel_width(p)) : input));
    return l;
}

static int64_t own_reals(const plan *p)
{
    return layout_of(p, 1).end - layout_of(p, 0).end;
}

/* Tiles per block so that a block's transformed input fits; a whole number of micro-kernels where there are enough tiles. */
static void cut_tiles(plan *p, int threads)
{
    int64_t tile_bytes = UM_WINO_TAPS * tile_pitch(p) * (int64_t)sizeof(real), mr = um_tile_rows(p->out.nv);
    p->splits = 1;
    if (p->by_weights) {
        p->block = i_max(1, i_min(p->tiles, i_max(mr, SUPER_BYTES / tile_bytes)));
        p->splits = i_min(i_max(1, p->block / (2 * mr)), i_ceil_div(2 * threads, p->out.count));
        return;
    }
    int64_t fit = i_min(MAX_BLOCK, i_max(mr, BLOCK_BYTES / tile_bytes / mr * mr));
    p->block = i_max(1, i_min(fit, i_ceil_div(p->tiles, 2 * threads)));
}

static void plan_of(plan *p, const um_conv_shape *s, um_op op, int threads)
{
    bool data = op == UM_OP_CONV_BWD_DATA;
    p->grid = um_wino_grid_of(s->h, s->w);
    p->n = s->n;
    p->depth = data ? s->k : s->c;
    UM_FN(um_panels_set)(&p->out, data ? s->c : s->k, 1, MAX_BLOCK);
    p->tiles = s->n * um_wino_tiles(&p->grid);
    p->chunk = i_min(p->depth, CHUNK);
    p->by_weights = UM_WINO_TAPS * s->c * s->k * (int64_t)sizeof(real) > WEIGHT_BYTES;
    cut_tiles(p, threads);
}

/* The largest workspace over every number of threads: blocks grow with the number of images and shrink with that of threads. */
size_t UM_FN(um_wino_workspace)(const um_conv_shape *s, um_op op)
{
    int64_t most = 0;
    for (int threads = 1; threads <= UM_FN(um_conv_max_threads)(); threads++) {
        plan p;
        plan_of(&p, s, op, threads);
        most = i_max(most, layout_of(&p, threads).end);
    }
    return (size_t)most * sizeof(real);
}

/* Products of `count` tiles with the inputs [depth, depth + n) of one panel; weights [tap][n][nv * VL], tap_step apart. */
static void panel_product(const plan *p, const real *input, int64_t count, const real *weights, int64_t weight_tap, int64_t depth,
                          int64_t n, int nv, const real *zeros, real *product)
{
    um_conv_tile t = {.rows = 1, .segments = 1, .depth = n, .a_col = tile_pitch(p), .bias = zeros};
    t.y_col = (int64_t)nv * VL;
    t.channels = t.y_col;
    t.accumulate = depth > 0;
    for (int tap = 0; tap < UM_WINO_TAPS; tap++) {
        t.a = input + tap * input_tap(p) + depth;
        t.b = weights + tap * weight_tap;
        t.y = product + tap * product_tap(p);
        UM_FN(um_conv_row)(&t, count, nv, 1);
    }
}

static void panel_output(const plan *p, const um_view *y, int64_t tile, int64_t count, int64_t panel, const real *product,
                         const real *bias, bool accumulate)
{
    int nv = um_panel_vectors(&p->out, panel);
    for (int64_t i = 0; i < count; i++) {
        UM_FN(um_wino_output)(&p->grid, product + i * nv * VL, product_tap(p), y, tile + i, um_panel_first(&p->out, panel),
                              um_panel_channels(&p->out, panel), bias, accumulate);
    }
}

/* What a run needs beside its plan. */
typedef struct job {
    plan p;
    um_wino_weights w;
    const um_view *x, *y;
    real *ws;
    layout at;
    const real *bias; /* packed; NULL: none */
    bool accumulate;
} job;

/* Weights of a panel in the tile-stationary order: [panel][tap][depth][nv * VL]. */
static real *packed_panel(const job *j, int64_t panel)
{
    return j->ws + j->at.weights + um_panel_at(&j->p.out, panel, UM_WINO_TAPS * j->p.depth);
}

static const real *panel_bias(const job *j, int64_t panel)
{
    return j->bias ? j->bias + um_panel_at(&j->p.out, panel, 1) : NULL;
}

static void pack_weights(const job *j)
{
    const plan *p = &j->p;
    int64_t pieces = i_ceil_div(p->depth, VL);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < p->out.count * pieces; i++) {
        int64_t panel = i / pieces, depth = i % pieces * VL, width = (int64_t)um_panel_vectors(&p->out, panel) * VL;
        UM_FN(um_wino_weight)(&j->w, um_panel_first(&p->out, panel), um_panel_channels(&p->out, panel), depth,
                              i_min(VL, p->depth - depth), packed_panel(j, panel) + depth * width, p->depth * width, width);
    }
}

static void tile_block(const job *j, int64_t tile, int64_t count, real *own)
{
    const plan *p = &j->p;
    const real *zeros = j->ws + j->at.zeros;
    real *input = own + j->at.own_input;
    for (int64_t i = 0; i < count; i++) {
        UM_FN(um_wino_input)(&p->grid, j->x, tile + i, zeros, input + i * tile_pitch(p), input_tap(p), VL);
    }
    for (int64_t panel = 0; panel < p->out.count; panel++) {
        int nv = um_panel_vectors(&p->out, panel);
        int64_t width = (int64_t)nv * VL;
        for (int64_t depth = 0; depth < p->depth; depth += p->chunk) {
            int64_t n = i_min(p->chunk, p->depth - depth);
            panel_product(p, input, count, packed_panel(j, panel) + depth * width, p->depth * width, depth, n, nv, zeros, own);
        }
        panel_output(p, j->y, tile, count, panel, own, panel_bias(j, panel), j->accumulate);
    }
}

/* One panel of `count` tiles of the super-block that begins at tile0. */
static void weight_panel(const job *j, int64_t tile0, int64_t begin, int64_t count, int64_t panel, real *own)
{
    const plan *p = &j->p;
    int nv = um_panel_vectors(&p->out, panel);
    int64_t width = (int64_t)nv * VL, weight_tap = p->chunk * width;
    real *weights = own + j->at.own_weights;
    for (int64_t depth = 0; depth < p->depth; depth += p->chunk) {
        int64_t n = i_min(p->chunk, p->depth - depth);
        UM_FN(um_wino_weight)
        (&j->w, um_panel_first(&p->out, panel), um_panel_channels(&p->out, panel), depth, n, weights, weight_tap, width);
        panel_product(p, j->ws + j->at.input + begin * tile_pitch(p), count, weights, weight_tap, depth, n, nv,
                      j->ws + j->at.zeros, own);
    }
    panel_output(p, j->y, tile0 + begin, count, panel, own, panel_bias(j, panel), j->accumulate);
}

static void super_block(const job *j, int64_t tile, int64_t count, real *own)
{
    const plan *p = &j->p;
#pragma omp for schedule(dynamic, 4)
    for (int64_t i = 0; i < count; i++) {
        UM_FN(um_wino_input)
        (&p->grid, j->x, tile + i, j->ws + j->at.zeros, j->ws + j->at.input + i * tile_pitch(p), input_tap(p), VL);
    }
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < p->out.count * p->splits; i++) {
        int64_t part = i / p->out.count, begin = count * part / p->splits, end = count * (part + 1) / p->splits;
        weight_panel(j, tile, begin, end - begin, i % p->out.count, own);
    }
}

static void run(job *j)
{
    const plan *p = &j->p;
    int threads = UM_FN(um_conv_threads)();
    j->at = layout_of(p, threads);
    memset(j->ws + j->at.zeros, 0, (size_t)(j->at.weights - j->at.zeros) * sizeof(real));
#pragma omp parallel num_threads(threads)
    {
        real *own = j->ws + j->at.own + omp_get_thread_num() * own_reals(p);
        if (p->by_weights) {
            for (int64_t tile = 0; tile < p->tiles; tile += p->block) {
                super_block(j, tile, i_min(p->block, p->tiles - tile), own);
            }
        } else {
            pack_weights(j);
#pragma omp for schedule(dynamic)
            for (int64_t tile = 0; tile < p->tiles; tile += p->block) {
                tile_block(j, tile, i_min(p->block, p->tiles - tile), own);
            }
        }
    }
}

void UM_FN(um_wino_fwd)(const um_conv_shape *s, const um_op_call *call)
{
    job j = {.x = &call->in[0], .y = &call->out[0], .w = {call->in[1].data, s->c, s->k, false}, .ws = call->workspace};
    plan_of(&j.p, s, UM_OP_CONV_FWD, UM_FN(um_conv_threads)());
    if (call->in[2].data) {
        UM_FN(um_panels_pack_bias)(&j.p.out, call->in[2].data, j.ws);
        j.bias = j.ws;
    }
    run(&j);
}

void UM_FN(um_wino_bwd_data)(const um_conv_shape *s, const um_op_call *call)
{
    job j = {.x = &call->in[0], .y = &call->out[0], .w = {call->in[1].data, s->c, s->k, true}, .ws = call->workspace};
    plan_of(&j.p, s, UM_OP_CONV_BWD_DATA, UM_FN(um_conv_threads)());
    j.accumulate = call->accumulate;
    run(&j);
}
