#include "kernels/cpu/conv_tile.h"
#include "kernels/cpu/conv_winograd.h"

#include <omp.h>

/* Weight gradients. The tiles of a lane are cut into parts (um_conv_parts), a part into blocks. Of a block, transformed inputs lie as
 * [c / VL][tap][tile][VL] and gradients as [panel][tap][tile][nv * VL]; per pair of a row (VL input channels) and a panel, 36 outer
 * products over the tiles add to a sum [tap][VL][nv * VL]. At the end of a part the sums become gradients [panel][9 * C][nv * VL].
 * Few channels: a thread takes whole parts, with sums and blocks of its own that fit its cache. Many: one part per lane, blocks are
 * transformed by all threads together and the pairs shared out; where a block is the whole part, the sums of a pair never leave the
 * cache. Which, and all sizes, follow from the shape and the lane alone. */

enum { MAX_GROUPS = 16, PART_BUDGET = 1 << 20, MIN_TILES = 64, OWN_CHANNELS = 8192, OWN_BYTES = 512 << 10, SHARED_BYTES = 8 << 20 };

typedef struct plan {
    um_wino_grid grid;
    um_panels out;
    int64_t c, k, rows; /* rows: vectors of input channels */
    int64_t tiles;      /* of an image */
    bool shared;        /* all threads work on one part */
    bool one_block;     /* shared: per part */
    int64_t block;      /* tiles */
} plan;

static int64_t panel_width(const plan *p)
{
    return (int64_t)p->out.nv * VL;
}
static int64_t pair_reals(const plan *p)
{
    return UM_WINO_TAPS * VL * panel_width(p);
}
/* Reals between taps of a block, an odd number of cache lines; size of one row or panel of it. */
static int64_t tap_step(const plan *p, int64_t width)
{
    return p->block * width + VL;
}
static int64_t side_reals(const plan *p, int64_t width)
{
    return um_reals_aligned(UM_WINO_TAPS * tap_step(p, width));
}
static int64_t part_reals(const plan *p)
{
    return um_panels_reals(&p->out, 9 * p->c);
}

/* lane: the most images of a lane. */
static void plan_of(plan *p, const um_conv_shape *s, int64_t lane)
{
    p->grid = um_wino_grid_of(s->h, s->w);
    p->c = s->c;
    p->k = s->k;
    p->rows = i_ceil_div(s->c, VL);
    p->tiles = um_wino_tiles(&p->grid);
    p->shared = s->c * s->k > OWN_CHANNELS;
    UM_FN(um_panels_set)(&p->out, s->k, 1, INT64_MAX);
    int64_t tile_bytes = UM_WINO_TAPS * (p->rows + p->out.n_vec) * VL * (int64_t)sizeof(real);
    p->block = i_max(16, (p->shared ? SHARED_BYTES : OWN_BYTES) / tile_bytes);
    p->one_block = p->shared && lane * p->tiles <= p->block;
}

static int64_t groups_of(const plan *p, int64_t images)
{
    int64_t fit = p->shared ? 1 : i_max(1, i_min(MAX_GROUPS, PART_BUDGET / (part_reals(p) * (int64_t)sizeof(real))));
    return images > 0 ? i_max(1, i_min(fit, images * p->tiles / MIN_TILES)) : 0;
}

static void parts_of(const plan *p, const um_batch *batch, um_conv_parts *parts)
{
    parts->n_lanes = batch->n_lanes;
    parts->first[0] = 0;
    for (int l = 0; l < batch->n_lanes; l++) {
        parts->first[l + 1] = parts->first[l] + groups_of(p, batch->lane_begin[l + 1] - batch->lane_begin[l]);
    }
}

/* Offsets into the workspace, in reals. A team (one thread, or all of them) has input, gradients and sums; with one block per part
 * every thread has the sums of one pair instead. */
typedef struct layout {
    int64_t zeros, teams, pairs, end;
    int64_t gradient, sums, team; /* inside a team's part; its size */
} layout;

static layout layout_of(const plan *p, int64_t parts, int threads)
{
    layout l = {.zeros = parts * part_reals(p)};
    l.teams = l.zeros + um_reals_aligned(i_max(p->rows, p->out.n_vec) * VL);
    l.gradient = p->rows * side_reals(p, VL);
    l.sums = l.gradient + p->out.count * side_reals(p, panel_width(p));
    l.team = l.sums + (p->one_block ? 0 : p->rows * p->out.count * pair_reals(p));
    l.pairs = l.teams + (p->shared ? 1 : threads) * l.team;
    l.end = l.pairs + (p->one_block ? threads * pair_reals(p) : 0);
    return l;
}

/* Smaller lanes may be one block where the largest is several. */
size_t UM_FN(um_wino_bwd_weight_workspace)(const um_conv_shape *s)
{
    plan p;
    int threads = UM_FN(um_conv_max_threads)();
    plan_of(&p, s, s->lane_most);
    int64_t parts = i_min(s->n_lanes, s->n) * groups_of(&p, s->lane_most), largest = layout_of(&p, parts, threads).end;
    p.one_block = p.shared;
    return (size_t)i_max(largest, layout_of(&p, parts, threads).end) * sizeof(real);
}

typedef struct job {
    plan p;
    layout at;
    um_conv_parts parts;
    const um_op_call *call;
    real *ws;
} job;

static void transform_tile(const job *j, int64_t tile, int64_t slot, real *team)
{
    const plan *p = &j->p;
    const um_view *dy = &j->call->in[1];
    const real *zeros = j->ws + j->at.zeros;
    UM_FN(um_wino_input)(&p->grid, &j->call->in[0], tile, zeros, team + slot * VL, tap_step(p, VL), side_reals(p, VL));
    for (int64_t panel = 0; panel < p->out.count; panel++) {
        um_view part = *dy;
        int64_t width = (int64_t)um_panel_vectors(&p->out, panel) * VL;
        part.data = (real *)dy->data + um_panel_first(&p->out, panel);
        part.c = um_panel_channels(&p->out, panel);
        UM_FN(um_wino_gradient)(&p->grid, &part, tile, zeros,
                                team + j->at.gradient + panel * side_reals(p, panel_width(p)) + slot * width,
                                tap_step(p, panel_width(p)), VL);
    }
}

/* Adds a block to the sums of one pair. */
static void pair_multiply(const job *j, int64_t row, int64_t panel, int64_t count, bool fresh, const real *team, real *sums)
{
    const plan *p = &j->p;
    int nv = um_panel_vectors(&p->out, panel);
    int64_t width = (int64_t)nv * VL;
    const real *input = team + row * side_reals(p, VL);
    const real *gradient = team + j->at.gradient + panel * side_reals(p, panel_width(p));
    um_outer_tile t = {.a_col = VL, .d_col = width, .rows = 1, .cols = count, .fresh = fresh};
    for (int tap = 0; tap < UM_WINO_TAPS; tap++) {
        t.a = input + tap * tap_step(p, VL);
        t.d = gradient + tap * tap_step(p, panel_width(p));
        UM_FN(um_conv_outer)(&t, VL, nv, 1, sums + tap * VL * width);
    }
}

static void pair_finish(const job *j, int64_t row, int64_t panel, const real *sums, int64_t part)
{
    const plan *p = &j->p;
    int nv = um_panel_vectors(&p->out, panel);
    int64_t width = (int64_t)nv * VL, channels = i_min(VL, p->c - row * VL);
    real *out = j->ws + part * part_reals(p) + um_panel_at(&p->out, panel, 9 * p->c) + row * VL * width;
    for (int64_t i = 0; i < channels * nv; i++) {
        UM_FN(um_wino_weight_gradient)(sums + i * VL, VL * width, out + i * VL, p->c * width);
    }
}

static real *team_sums(const job *j, int64_t row, int64_t panel, real *team)
{
    return team + j->at.sums + (row * j->p.out.count + panel) * pair_reals(&j->p);
}

/* Tiles of a part, counted through all images. */
static void part_tiles(const job *j, int64_t part, int64_t *begin, int64_t *end)
{
    int lane = UM_FN(um_conv_part_range)(&j->parts, j->call->batch, j->p.tiles, part, begin, end);
    *begin += j->call->batch->lane_begin[lane] * j->p.tiles;
    *end += j->call->batch->lane_begin[lane] * j->p.tiles;
}

static void part_alone(const job *j, int64_t part, real *team)
{
    const plan *p = &j->p;
    int64_t begin, end, pairs = p->rows * p->out.count;
    part_tiles(j, part, &begin, &end);
    for (int64_t tile = begin; tile < end; tile += p->block) {
        int64_t count = i_min(p->block, end - tile);
        for (int64_t i = 0; i < count; i++) {
            transform_tile(j, tile + i, i, team);
        }
        for (int64_t i = 0; i < pairs; i++) {
            int64_t row = i / p->out.count, panel = i % p->out.count;
            pair_multiply(j, row, panel, count, tile == begin, team, team_sums(j, row, panel, team));
        }
    }
    for (int64_t i = 0; i < pairs; i++) {
        int64_t row = i / p->out.count, panel = i % p->out.count;
        pair_finish(j, row, panel, team_sums(j, row, panel, team), part);
    }
}

/* own: the sums of a pair, where a part is one block. */
static void part_together(const job *j, int64_t part, real *team, real *own)
{
    const plan *p = &j->p;
    int64_t begin, end;
    part_tiles(j, part, &begin, &end);
    for (int64_t tile = begin; tile < end; tile += p->block) {
        int64_t count = i_min(p->block, end - tile);
#pragma omp for schedule(dynamic, 4)
        for (int64_t i = 0; i < count; i++) {
            transform_tile(j, tile + i, i, team);
        }
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < p->rows * p->out.count; i++) {
            int64_t row = i % p->rows, panel = i / p->rows;
            real *sums = p->one_block ? own : team_sums(j, row, panel, team);
            pair_multiply(j, row, panel, count, tile == begin, team, sums);
            if (tile + count == end) {
                pair_finish(j, row, panel, sums, part);
            }
        }
    }
}

static int64_t largest_lane(const um_batch *batch)
{
    um_batch now = *batch;
    now.lane_most = 0;
    return UM_FN(um_conv_lane_most)(&now, INT64_MAX);
}

void UM_FN(um_wino_bwd_weight)(const um_conv_shape *s, const um_op_call *call)
{
    job j = {.call = call, .ws = call->workspace};
    plan_of(&j.p, s, largest_lane(call->batch));
    parts_of(&j.p, call->batch, &j.parts);
    int threads = UM_FN(um_conv_threads)();
    int64_t n_parts = j.parts.first[j.parts.n_lanes];
    j.at = layout_of(&j.p, n_parts, threads);
    memset(j.ws + j.at.zeros, 0, (size_t)(j.at.teams - j.at.zeros) * sizeof(real));
#pragma omp parallel num_threads(threads)
    {
        real *team = j.ws + j.at.teams + (j.p.shared ? 0 : omp_get_thread_num() * j.at.team);
        real *own = j.ws + j.at.pairs + omp_get_thread_num() * pair_reals(&j.p);
        if (j.p.shared) {
            for (int64_t part = 0; part < n_parts; part++) {
                part_together(&j, part, team, own);
            }
        } else {
#pragma omp for schedule(dynamic)
            for (int64_t part = 0; part < n_parts; part++) {
                part_alone(&j, part, team);
            }
        }
    }
    UM_FN(um_panels_sum)(&j.p.out, 9 * j.p.c, &j.parts, j.ws, part_reals(&j.p), call->out[0].data, s->k, call->accumulate);
}
