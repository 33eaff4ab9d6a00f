#include "kernels/op_cases.h"

#include "ref/ref_ops.h"

#define IMG(n, h, w, c, gap, fill) {n, h, w, c, gap, 'r', fill, true}
#define PAR(n, h, w, c, fill) {n, h, w, c, 0, 'r', fill, false}
#define VEC(c, fill) PAR(1, 1, 1, c, fill)
#define SUMS(h, w, c, fill) {1, h, w, c, 0, 'd', fill, false}
#define PER_IMAGE(n, c, fill) {n, 1, 1, c, 0, 'd', fill, true}
#define IMAGE_SUMS(n, w, c, fill) {n, 1, w, c, 0, 'd', fill, true}
#define PLACE(n, h, w, c, gap) {n, h, w, c, gap, 'u', FILL_PLACE, true}
#define NONE {0}
#define PACE {1, 1, 1, 2, 0, 'd', FILL_ANY} /* learning rate and number of an update; radius and step in a ball */

/* BN_COEF: sums of a batch, or of images, whose mean is in[0] row 0 and whose variance is row 1, as filled. */
static void derive_bn_sums(um_op_call *call)
{
    const um_view *s = &call->in[0];
    double m = (double)((call->attr.bn.per_lane ? 1 : call->batch->n_total) * call->attr.bn.hw);
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t k = 0; k < s->c; k++) {
            double mean = *ref_at(s, i, 0, 0, k), var = *ref_at(s, i, 0, 1, k);
            *ref_at(s, i, 0, 0, k) = m * mean;
            *ref_at(s, i, 0, 1, k) = m * (mean * mean + var);
        }
}

/* SEG_BWD: s and t from the logits and masks of the call. */
static void derive_seg_sums(um_op_call *call)
{
    um_op_call sums = {.in = {call->in[0], call->in[1]}, .out = {call->in[2]}, .batch = call->batch};
    um_ref_seg_sums(&sums);
    if (call->in[3].data) {
        um_op_call total = {.in = {call->in[2]}, .out = {call->in[3]}, .batch = call->batch};
        um_ref_batch_sum(&total);
    }
}

/* SEG_LOSS: in[0] holds plausible sums over hw = 100 pixels; t is their total. */
static void derive_seg_total(um_op_call *call)
{
    const um_view *s = &call->in[0];
    for (int64_t i = 0; i < s->n; i++) {
        static const double share[5] = {70, 12, 40, 30, 25};
        for (int64_t k = 0; k < 5; k++)
            *ref_at(s, i, 0, 0, k) *= share[k] / 1.5;
    }
    if (call->in[1].data) {
        um_op_call total = {.in = {*s}, .out = {call->in[1]}, .batch = call->batch};
        um_ref_batch_sum(&total);
    }
}

/* ALIGN_BWD: the sums from the operands of the call. */
static void derive_align_sums(um_op_call *call)
{
    um_op_call sums = {.in = {call->in[0], call->in[1], call->in[2]}, .out = {call->in[3]}, .batch = call->batch};
    um_ref_align_sums(&sums);
}

/* ADAM: the rate, and which update it is. */
static void derive_step_1(um_op_call *call)
{
    op_view_set(&call->in[1], 0, 0, 1e-2);
    op_view_set(&call->in[1], 0, 1, 1);
}

static void derive_step_7(um_op_call *call)
{
    op_view_set(&call->in[1], 0, 0, 1e-2);
    op_view_set(&call->in[1], 0, 1, 7);
}

/* NORM_BWD: the sums of what the call holds. */
static void derive_norm_sums(um_op_call *call)
{
    um_op_call sums = {.in = {call->in[0], call->in[1], call->in[3]}, .out = {call->in[4]}, .attr = call->attr, .batch = call->batch};
    um_ref_norm_bwd_sums(&sums);
}

/* ATTENTION_BWD: probabilities that belong to q and k; the output goes where it does no harm. */
static void derive_attention(um_op_call *call)
{
    um_op_call fwd = {.in = {call->in[1], call->in[2], call->in[3]}, .out = {call->out[0], call->in[4]}, .attr = call->attr};
    um_ref_attention_fwd(&fwd);
}

/* The three convolution ops of one shape, stride 1. k: taps per axis; gx, gy: gaps of input and output; limit: in f32. */
#define CONV_CASES_TO(n, h, w, c, m, k, algo, gx, gy, limit)                                                                   \
    {"conv " #k "x" #k " fwd " #n " " #h "x" #w " " #c "->" #m, UM_OP_CONV_FWD,                                                \
     {IMG(n, h, w, c, gx, FILL_ANY), PAR(k, k, c, m, FILL_ANY), VEC(m, FILL_ANY)}, {IMG(n, h, w, m, gy, FILL_ANY)},            \
     {.conv = {1, (k) / 2, algo}}, NULL, limit},                                                                               \
        {"conv " #k "x" #k " fwd no bias " #n " " #h "x" #w " " #c "->" #m, UM_OP_CONV_FWD,                                    \
         {IMG(n, h, w, c, gx, FILL_ANY), PAR(k, k, c, m, FILL_ANY), NONE}, {IMG(n, h, w, m, gy, FILL_ANY)},                    \
         {.conv = {1, (k) / 2, algo}}, NULL, limit},                                                                           \
        {"conv " #k "x" #k " bwd data " #n " " #h "x" #w " " #c "->" #m, UM_OP_CONV_BWD_DATA,                                  \
         {IMG(n, h, w, m, gy, FILL_ANY), PAR(k, k, c, m, FILL_ANY)}, {IMG(n, h, w, c, gx, FILL_ANY)},                          \
         {.conv = {1, (k) / 2, algo}}, NULL, limit},                                                                           \
        {"conv " #k "x" #k " bwd weight " #n " " #h "x" #w " " #c "->" #m, UM_OP_CONV_BWD_WEIGHT,                              \
         {IMG(n, h, w, c, gx, FILL_ANY), IMG(n, h, w, m, gy, FILL_ANY)}, {PAR(k, k, c, m, FILL_ANY)},                          \
         {.conv = {1, (k) / 2, algo}}, NULL, limit}
#define CONV_CASES(n, h, w, c, m, k, algo, gx, gy) CONV_CASES_TO(n, h, w, c, m, k, algo, gx, gy, 0)

#define CONVT_CASES(n, h, w, c, m, gx, gy)                                                                                     \
    {"convt fwd " #n " " #h "x" #w " " #c "->" #m, UM_OP_CONVT_FWD,                                                            \
     {IMG(n, h, w, c, gx, FILL_ANY), PAR(c, 2, 2, m, FILL_ANY), VEC(m, FILL_ANY)}, {IMG(n, 2 * h, 2 * w, m, gy, FILL_ANY)}},   \
        {"convt fwd no bias " #n " " #h "x" #w " " #c "->" #m, UM_OP_CONVT_FWD,                                                \
         {IMG(n, h, w, c, gx, FILL_ANY), PAR(c, 2, 2, m, FILL_ANY), NONE}, {IMG(n, 2 * h, 2 * w, m, gy, FILL_ANY)}},           \
        {"convt bwd data " #n " " #h "x" #w " " #c "->" #m, UM_OP_CONVT_BWD_DATA,                                              \
         {IMG(n, 2 * h, 2 * w, m, gy, FILL_ANY), PAR(c, 2, 2, m, FILL_ANY)}, {IMG(n, h, w, c, gx, FILL_ANY)}},                 \
        {"convt bwd weight " #n " " #h "x" #w " " #c "->" #m, UM_OP_CONVT_BWD_WEIGHT,                                          \
         {IMG(n, h, w, c, gx, FILL_ANY), IMG(n, 2 * h, 2 * w, m, gy, FILL_ANY)}, {PAR(c, 2, 2, m, FILL_ANY)}}

#define BN(relu_, eval_, hw_) {.bn = {.relu = relu_, .eval = eval_, .eps = 1e-5, .momentum = 0.1, .hw = hw_}}

/* The image-sized ops of batch normalisation, with sums over the whole batch. */
#define BN_CASES(n, h, w, c, relu, gx, gy)                                                                                     \
    {"channel sum " #n " " #h "x" #w "x" #c, UM_OP_CHANNEL_SUM, {IMG(n, h, w, c, gx, FILL_ANY)}, {VEC(c, FILL_ANY)}},          \
        {"bn stats " #n " " #h "x" #w "x" #c, UM_OP_BN_STATS, {IMG(n, h, w, c, gx, FILL_ANY)}, {SUMS(1, 2, c, FILL_ANY)}},     \
        {"bn apply " #n " " #h "x" #w "x" #c " relu " #relu, UM_OP_BN_APPLY,                                                   \
         {IMG(n, h, w, c, gx, FILL_ANY), PAR(1, 1, 4, c, FILL_ANY)}, {IMG(n, h, w, c, gy, FILL_ANY)}, BN(relu, false, 0)},     \
        {"bn bwd sums " #n " " #h "x" #w "x" #c " relu " #relu, UM_OP_BN_BWD_SUMS,                                             \
         {IMG(n, h, w, c, gy, FILL_ANY), IMG(n, h, w, c, gx, FILL_ANY), PAR(1, 1, 4, c, FILL_ANY)},                            \
         {SUMS(1, 2, c, FILL_ANY), PAR(1, 1, 2, c, FILL_ANY)}, BN(relu, false, 0)},                                                                       \
        {"bn bwd apply " #n " " #h "x" #w "x" #c " relu " #relu, UM_OP_BN_BWD_APPLY,                                           \
         {IMG(n, h, w, c, gy, FILL_ANY), IMG(n, h, w, c, gx, FILL_ANY), PAR(1, 1, 4, c, FILL_ANY), SUMS(1, 2, c, FILL_ANY)},   \
         {IMG(n, h, w, c, gy, FILL_ANY)}, BN(relu, false, 0)}

/* The same with statistics of every lane for itself: sums and coefficients of every image. */
#define BN_LANE(relu_, hw_) {.bn = {.relu = relu_, .per_lane = true, .eps = 1e-5, .momentum = 0.1, .hw = hw_}}
#define BN_LANE_CASES(n, h, w, c, relu, gx, gy)                                                                                \
    {"bn lane stats " #n " " #h "x" #w "x" #c, UM_OP_BN_STATS, {IMG(n, h, w, c, gx, FILL_ANY)}, {IMAGE_SUMS(n, 2, c, FILL_ANY)}, \
     BN_LANE(relu, 0)},                                                                                                        \
        {"bn lane coef " #n " " #c, UM_OP_BN_COEF, {IMAGE_SUMS(n, 2, c, FILL_POSITIVE), VEC(c, FILL_ANY), VEC(c, FILL_ANY)},    \
         {IMG(n, 1, 4, c, 0, FILL_ANY)}, BN_LANE(relu, (h) * (w)), derive_bn_sums},                                            \
        {"bn lane apply " #n " " #h "x" #w "x" #c, UM_OP_BN_APPLY, {IMG(n, h, w, c, gx, FILL_ANY), IMG(n, 1, 4, c, 0, FILL_ANY)}, \
         {IMG(n, h, w, c, gy, FILL_ANY)}, BN_LANE(relu, 0)},                                                                   \
        {"bn lane bwd sums " #n " " #h "x" #w "x" #c, UM_OP_BN_BWD_SUMS,                                                       \
         {IMG(n, h, w, c, gy, FILL_ANY), IMG(n, h, w, c, gx, FILL_ANY), IMG(n, 1, 4, c, 0, FILL_ANY)},                         \
         {IMAGE_SUMS(n, 2, c, FILL_ANY)}, BN_LANE(relu, 0)},                                                                   \
        {"bn lane bwd apply " #n " " #h "x" #w "x" #c, UM_OP_BN_BWD_APPLY,                                                     \
         {IMG(n, h, w, c, gy, FILL_ANY), IMG(n, h, w, c, gx, FILL_ANY), IMG(n, 1, 4, c, 0, FILL_ANY), IMAGE_SUMS(n, 2, c, FILL_ANY)}, \
         {IMG(n, h, w, c, gy, FILL_ANY)}, BN_LANE(relu, 0)}

#define POOL_CASES(n, h, w, c, g)                                                                                              \
    {"maxpool fwd " #n " " #h "x" #w "x" #c, UM_OP_MAXPOOL_FWD, {IMG(n, h, w, c, g, FILL_ANY)},                                \
     {IMG(n, (h) / 2, (w) / 2, c, g, FILL_ANY), PLACE(n, (h) / 2, (w) / 2, c, 0)}, {.pool = {2, 2, 0}}},                                          \
        {"maxpool bwd " #n " " #h "x" #w "x" #c, UM_OP_MAXPOOL_BWD,                                                            \
         {IMG(n, (h) / 2, (w) / 2, c, g, FILL_ANY), PLACE(n, (h) / 2, (w) / 2, c, 0)}, {IMG(n, h, w, c, g, FILL_ANY)},         \
         {.pool = {2, 2, 0}}}

/* Means over windows of k pixels; 0: over the image. */
#define MEAN_CASES(n, h, w, c, k, H, W, g)                                                                                     \
    {"avgpool fwd " #k " " #n " " #h "x" #w "x" #c, UM_OP_AVGPOOL_FWD, {IMG(n, h, w, c, g, FILL_ANY)},                         \
     {IMG(n, H, W, c, g, FILL_ANY)}, {.pool = {k, k, 0}}},                                                                     \
        {"avgpool bwd " #k " " #n " " #h "x" #w "x" #c, UM_OP_AVGPOOL_BWD, {IMG(n, H, W, c, g, FILL_ANY)},                     \
         {IMG(n, h, w, c, g, FILL_ANY)}, {.pool = {k, k, 0}}}

#define CLASS_CASES(n, k, kind, gamma, g)                                                                                      \
    {"class sums " #n " " #k " " #kind, UM_OP_CLASS_SUMS, {IMG(n, 1, 1, k, g, FILL_ANY), IMG(n, 1, 1, 1, 0, FILL_MASK)},       \
     {PER_IMAGE(n, 3, FILL_ANY)}, {.class_loss = {kind, gamma}}},                                                              \
        {"class bwd " #n " " #k " " #kind, UM_OP_CLASS_BWD, {IMG(n, 1, 1, k, g, FILL_ANY), IMG(n, 1, 1, 1, 0, FILL_MASK)},     \
         {IMG(n, 1, 1, k, g, FILL_ANY)}, {.class_loss = {kind, gamma}}}

/* Windows that overlap: size k, stride s, padding p. */
#define WINDOWED(l, k, s, p) (((l) + 2 * (p) - (k)) / (s) + 1)
#define POOL_WIDE_CASES(n, h, w, c, k, s, p, g)                                                                                \
    {"maxpool fwd " #k "/" #s "/" #p " " #n " " #h "x" #w "x" #c, UM_OP_MAXPOOL_FWD, {IMG(n, h, w, c, g, FILL_ANY)},           \
     {IMG(n, WINDOWED(h, k, s, p), WINDOWED(w, k, s, p), c, g, FILL_ANY), PLACE(n, WINDOWED(h, k, s, p), WINDOWED(w, k, s, p), c, 0)}, \
     {.pool = {k, s, p}}},                                                                                                     \
        {"maxpool bwd " #k "/" #s "/" #p " " #n " " #h "x" #w "x" #c, UM_OP_MAXPOOL_BWD,                                       \
         {IMG(n, WINDOWED(h, k, s, p), WINDOWED(w, k, s, p), c, g, FILL_ANY),                                                  \
          PLACE(n, WINDOWED(h, k, s, p), WINDOWED(w, k, s, p), c, 0)},                                                         \
         {IMG(n, h, w, c, g, FILL_ANY)}, {.pool = {k, s, p}}}

#define PATCH_CASES(n, h, w, c, k, s, p, gx, gy)                                                                               \
    {"patches fwd " #k "/" #s "/" #p " " #n " " #h "x" #w "x" #c, UM_OP_PATCHES_FWD, {IMG(n, h, w, c, gx, FILL_ANY)},          \
     {IMG(n, WINDOWED(h, k, s, p), WINDOWED(w, k, s, p), (k) * (k) * (c), gy, FILL_ANY)}, {.patch = {k, s, p}}},               \
        {"patches bwd " #k "/" #s "/" #p " " #n " " #h "x" #w "x" #c, UM_OP_PATCHES_BWD,                                       \
         {IMG(n, WINDOWED(h, k, s, p), WINDOWED(w, k, s, p), (k) * (k) * (c), gy, FILL_ANY)},                                  \
         {IMG(n, h, w, c, gx, FILL_ANY)}, {.patch = {k, s, p}}}

#define WS_CASES(k, c, m)                                                                                                      \
    {"ws fwd " #k "x" #k " " #c "->" #m, UM_OP_WS_FWD, {PAR(k, k, c, m, FILL_ANY)}, {PAR(k, k, c, m, FILL_ANY), VEC(m, FILL_ANY)}, \
     {.ws = {1e-5}}},                                                                                                          \
        {"ws bwd " #k "x" #k " " #c "->" #m, UM_OP_WS_BWD,                                                                     \
         {PAR(1, 1, (k) * (k) * (c), m, FILL_ANY), PAR(1, 1, (k) * (k) * (c), m, FILL_ANY), VEC(m, FILL_POSITIVE)},            \
         {PAR(k, k, c, m, FILL_ANY)}}

#define STATS(n, h, w) {n, h, w, 2, 0, 'r', FILL_POSITIVE, true}
#define ROW_SUMS(n, c) {n, 1, 2, c, 0, 'd', FILL_ANY, true}
/* (sh, sw): extents of the statistics, (1, groups) or (h, w). */
#define NORM_CASES(n, h, w, c, g_, sh, sw, gx, gy)                                                                             \
    {"norm fwd " #n " " #h "x" #w "x" #c " groups " #g_, UM_OP_NORM_FWD,                                                       \
     {IMG(n, h, w, c, gx, FILL_ANY), VEC(c, FILL_ANY), VEC(c, FILL_ANY)}, {IMG(n, h, w, c, gy, FILL_ANY), STATS(n, sh, sw)},   \
     {.norm = {g_, 1e-6}}},                                                                                                    \
        {"norm bwd sums " #n " " #h "x" #w "x" #c " groups " #g_, UM_OP_NORM_BWD_SUMS,                                         \
         {IMG(n, h, w, c, gy, FILL_ANY), IMG(n, h, w, c, gx, FILL_ANY), STATS(n, sh, sw)}, {ROW_SUMS(n, c)}, {.norm = {g_, 1e-6}}}, \
        {"norm bwd param " #n " " #c, UM_OP_NORM_BWD_PARAM, {ROW_SUMS(n, c)}, {VEC(c, FILL_ANY), VEC(c, FILL_ANY)}, {.norm = {g_, 1e-6}}}, \
        {"norm bwd " #n " " #h "x" #w "x" #c " groups " #g_, UM_OP_NORM_BWD,                                                   \
         {IMG(n, h, w, c, gy, FILL_ANY), IMG(n, h, w, c, gx, FILL_ANY), VEC(c, FILL_ANY), STATS(n, sh, sw), ROW_SUMS(n, c)},   \
         {IMG(n, h, w, c, gy, FILL_ANY)}, {.norm = {g_, 1e-6}}, derive_norm_sums}

#define PROB(n, a, t) {n, a, t, t, 0, 'r', FILL_POSITIVE, true}
#define ATTENTION_CASES(n, h, w, d, a_, g)                                                                                     \
    {"attention fwd " #n " " #h "x" #w "x" #d " heads " #a_, UM_OP_ATTENTION_FWD,                                              \
     {IMG(n, h, w, d, g, FILL_ANY), IMG(n, h, w, d, 0, FILL_ANY), IMG(n, h, w, d, 0, FILL_ANY)},                               \
     {IMG(n, h, w, d, g, FILL_ANY), PROB(n, a_, (h) * (w))}, {.attention = {a_}}},                                             \
        {"attention bwd " #n " " #h "x" #w "x" #d " heads " #a_, UM_OP_ATTENTION_BWD,                                          \
         {IMG(n, h, w, d, g, FILL_ANY), IMG(n, h, w, d, 0, FILL_ANY), IMG(n, h, w, d, g, FILL_ANY), IMG(n, h, w, d, 0, FILL_ANY), \
          PROB(n, a_, (h) * (w))},                                                                                             \
         {IMG(n, h, w, d, g, FILL_ANY), IMG(n, h, w, d, 0, FILL_ANY), IMG(n, h, w, d, 0, FILL_ANY)}, {.attention = {a_}},      \
         derive_attention}

#define EMBED_CASES(n, h, w, c, g)                                                                                             \
    {"embed add " #n " " #h "x" #w "x" #c, UM_OP_EMBED_ADD, {IMG(n, h, w, c, g, FILL_ANY), PAR(1, 1, (h) * (w), c, FILL_ANY)}, \
     {IMG(n, h, w, c, g, FILL_ANY)}},                                                                                          \
        {"embed bwd " #n " " #h "x" #w "x" #c, UM_OP_EMBED_BWD, {IMG(n, h, w, c, g, FILL_ANY)}, {PAR(1, 1, (h) * (w), c, FILL_ANY)}}

#define ACT_CASES(n, h, w, c, kind_, g)                                                                                        \
    {"act fwd " #kind_ " " #n " " #h "x" #w "x" #c, UM_OP_ACT_FWD, {IMG(n, h, w, c, g, FILL_ANY)}, {IMG(n, h, w, c, g, FILL_ANY)}, \
     {.act = {kind_}}},                                                                                                        \
        {"act bwd " #kind_ " " #n " " #h "x" #w "x" #c, UM_OP_ACT_BWD,                                                         \
         {IMG(n, h, w, c, g, FILL_ANY), IMG(n, h, w, c, 0, FILL_ANY)}, {IMG(n, h, w, c, g, FILL_ANY)}, {.act = {kind_}}}

#define GATE_CASES(n, h, w, c, g)                                                                                              \
    {"gate fwd " #n " " #h "x" #w "x" #c, UM_OP_GATE_FWD, {IMG(n, h, w, c, g, FILL_ANY), IMG(n, h, w, 1, g, FILL_ANY)},        \
     {IMG(n, h, w, c, g, FILL_ANY)}},                                                                                          \
        {"gate bwd m " #n " " #h "x" #w "x" #c, UM_OP_GATE_BWD_M, {IMG(n, h, w, c, g, FILL_ANY), IMG(n, h, w, c, g, FILL_ANY)}, \
         {IMG(n, h, w, 1, g, FILL_ANY)}}

#define DROPOUT_CASE(n, h, w, c, p_, g)                                                                                        \
    {"dropout " #p_ " " #n " " #h "x" #w "x" #c, UM_OP_DROPOUT, {IMG(n, h, w, c, g, FILL_ANY)}, {IMG(n, h, w, c, g, FILL_ANY)}, \
     {.dropout = {p_, 77}}}

#define UP_CASES(n, h, w, c, mode_, g)                                                                                         \
    {"upsample fwd " #mode_ " " #n " " #h "x" #w "x" #c, UM_OP_UPSAMPLE_FWD, {IMG(n, h, w, c, g, FILL_ANY)},                   \
     {IMG(n, 2 * h, 2 * w, c, g, FILL_ANY)}, {.upsample = {mode_}}},                                                           \
        {"upsample bwd " #mode_ " " #n " " #h "x" #w "x" #c, UM_OP_UPSAMPLE_BWD, {IMG(n, 2 * h, 2 * w, c, g, FILL_ANY)},       \
         {IMG(n, h, w, c, g, FILL_ANY)}, {.upsample = {mode_}}}

#define WINDOW_CASE(n, h, w, h2, w2, c, t, l, g)                                                                               \
    {"window " #h "x" #w " to " #h2 "x" #w2 " at " #t "," #l, UM_OP_WINDOW, {IMG(n, h, w, c, g, FILL_ANY)},                    \
     {IMG(n, h2, w2, c, g, FILL_ANY)}, {.window = {t, l}}}

#define BOUND_CASES(n, h, w, c, rule_, gain_, g)                                                                               \
    {"bound fwd " #rule_ " " #n " " #h "x" #w "x" #c, UM_OP_BOUND_FWD,                                                         \
     {IMG(n, h, w, c, g, FILL_ANY), IMG(n, h, w, 1, g, FILL_BOUND)}, {IMG(n, h, w, c, g, FILL_ANY)},                           \
     {.bound = {rule_, gain_}}},                                                                                               \
        {"bound bwd " #rule_ " " #n " " #h "x" #w "x" #c, UM_OP_BOUND_BWD,                                                     \
         {IMG(n, h, w, c, g, FILL_ANY), IMG(n, h, w, 1, g, FILL_BOUND), IMG(n, h, w, c, g, FILL_ANY)},                         \
         {IMG(n, h, w, c, g, FILL_ANY)}, {.bound = {rule_, gain_}}}

#define CLIP_CASES(n, h, w, c, rule_, g)                                                                                       \
    {"clip fwd", UM_OP_CLIP_FWD, {IMG(n, h, w, c, g, FILL_ANY)}, {IMG(n, h, w, c, g, FILL_ANY)}, {.clip = {rule_, -0.3, 1}}},  \
        {"clip bwd " #rule_, UM_OP_CLIP_BWD, {IMG(n, h, w, c, g, FILL_ANY), IMG(n, h, w, c, g, FILL_ANY)},                     \
         {IMG(n, h, w, c, g, FILL_ANY)}, {.clip = {rule_, -0.3, 1}}}

#define SEG(batch_, sq_, hw_, two_) {.seg = {0.7, 1.3, 1e-5, .dice_batch = batch_, .squared = sq_, .hw = hw_, .two_class = two_}}

#define SEG_CASES(n, h, w, c, batch, sq, g)                                                                                    \
    {"seg sums " #n " " #h "x" #w "x" #c, UM_OP_SEG_SUMS, {IMG(n, h, w, c, g, FILL_ANY), IMG(n, h, w, 1, 0, FILL_MASK)},       \
     {PER_IMAGE(n, 5, FILL_ANY)}},                                                                                             \
        {"seg bwd " #n " " #h "x" #w "x" #c " batch " #batch " squared " #sq, UM_OP_SEG_BWD,                                   \
         {IMG(n, h, w, c, g, FILL_ANY), IMG(n, h, w, 1, 0, FILL_MASK), PER_IMAGE(n, 5, FILL_ANY), SUMS(1, 1, 5, FILL_ANY)},    \
         {IMG(n, h, w, c, g, FILL_ANY)}, SEG(batch, sq, (h) * (w), c == 2), derive_seg_sums},                                  \
        {"seg loss " #n " batch " #batch " squared " #sq " classes " #c, UM_OP_SEG_LOSS,                                       \
         {PER_IMAGE(n, 5, FILL_POSITIVE), SUMS(1, 1, 5, FILL_ANY)}, {SUMS(1, 1, 3, FILL_ANY)}, SEG(batch, sq, 100, c == 2),    \
         derive_seg_total}

#define MEANS(n, c) {n, 1, 2, c, 0, 'r', FILL_ANY, true}
#define ALIGN_CASES(n, h, w, c, balance_, g)                                                                                   \
    {"align sums " #n " " #h "x" #w "x" #c, UM_OP_ALIGN_SUMS,                                                                  \
     {IMG(n, h, w, c, g, FILL_ANY), IMG(n, h, w, 1, 0, FILL_MASK), MEANS(n, c)}, {PER_IMAGE(n, 4, FILL_ANY)}},                 \
        {"align bwd " #n " " #h "x" #w "x" #c " balance " #balance_, UM_OP_ALIGN_BWD,                                          \
         {IMG(n, h, w, c, g, FILL_ANY), IMG(n, h, w, 1, 0, FILL_MASK), MEANS(n, c), PER_IMAGE(n, 4, FILL_ANY)},                \
         {IMG(n, h, w, c, g, FILL_ANY)}, {.align = {balance_}}, derive_align_sums}

/* GATHER: bytes of all kinds, and rows in no order. */
static void derive_rows(um_op_call *call)
{
    const um_view *d = &call->in[0], *rows = &call->in[1];
    for (int64_t p = 0; d->dtype == UM_U8 && p < um_view_pixels(d); p++)
        for (int64_t k = 0; k < d->c; k++)
            op_view_set(d, p, k, (double)((p * 31 + k * 101 + p / 7) % 256));
    for (int64_t i = 0; i < rows->n; i++)
        op_view_set(rows, i, 0, (double)(i * 5 % d->n));
}

/* BALL_STEP: a ball that images leave and touch. */
static void derive_ball(um_op_call *call)
{
    op_view_set(&call->in[3], 0, 0, 0.25);
    op_view_set(&call->in[3], 0, 1, -0.125);
}

#define GATHER_CASE(name, m, n, h, w, c, b, type, most)                                                                        \
    {"gather " name " " #n " of " #m " " #h "x" #w "x" #c, UM_OP_GATHER, {{m, h, w, b, 0, type, FILL_ANY}, {n, 1, 1, 1, 0, 'd', FILL_ANY, true}}, \
     {IMG(n, h, w, c, 0, FILL_ANY)}, {.gather = {most}}, derive_rows}
#define BALL_CASE(name, n, h, w, c, free_)                                                                                     \
    {"ball step " name " " #n " " #h "x" #w "x" #c, UM_OP_BALL_STEP,                                                           \
     {IMG(n, h, w, c, 0, FILL_POSITIVE), IMG(n, h, w, c, 0, FILL_ANY), free_, PACE}, {IMG(n, h, w, c, 0, FILL_ANY)}, {.gather = {1}}, derive_ball}

#define GROUP_MEAN_CASE(n, h, w, groups, c, g)                                                                                 \
    {"group mean " #n " " #h "x" #w " " #groups " of " #c, UM_OP_GROUP_MEAN, {IMG(n, h, w, groups * c, g, FILL_ANY)},          \
     {IMG(n, h, w, c, 0, FILL_ANY)}}
#define VR_ADD_CASE(n, h, w, c, g)                                                                                             \
    {"vr add " #n " " #h "x" #w "x" #c, UM_OP_VR_ADD,                                                                          \
     {IMG(n, h, w, c, 0, FILL_ANY), IMG(n, h, w, c, g, FILL_ANY), IMG(n, h, w, c, 0, FILL_ANY)}, {IMG(n, h, w, c, 0, FILL_ANY)}}

#define ADAM_CASE(a, b, c, d, step_, decay)                                                                                    \
    {"adam step " #step_ " decay " #decay, UM_OP_ADAM, {PAR(a, b, c, d, FILL_ANY), PACE},                                      \
     {PAR(a, b, c, d, FILL_ANY), PAR(a, b, c, d, FILL_ANY), PAR(a, b, c, d, FILL_POSITIVE)},                                   \
     {.adam = {.b1 = 0.9, .b2 = 0.999, .eps = 1e-8, .weight_decay = decay}}, derive_step_##step_}

const op_case op_cases[] = {
    CONV_CASES(1, 1, 1, 1, 1, 3, UM_CONV_AUTO, 0, 0),
    CONV_CASES(1, 5, 7, 3, 8, 3, UM_CONV_AUTO, 0, 0),
    CONV_CASES(2, 7, 5, 5, 9, 3, UM_CONV_AUTO, 3, 2),
    CONV_CASES(4, 6, 33, 16, 24, 3, UM_CONV_AUTO, 0, 0),
    CONV_CASES(5, 4, 4, 20, 17, 3, UM_CONV_AUTO, 4, 1),
    CONV_CASES(4, 23, 19, 8, 16, 3, UM_CONV_AUTO, 8, 0),
    CONV_CASES(4, 12, 12, 1, 16, 3, UM_CONV_AUTO, 0, 0),
    CONV_CASES(1, 3, 5, 1, 1, 1, UM_CONV_AUTO, 0, 0),
    CONV_CASES(4, 7, 9, 24, 1, 1, UM_CONV_AUTO, 1, 0),
    CONV_CASES(4, 33, 17, 16, 9, 1, UM_CONV_AUTO, 0, 3),
    CONV_CASES(5, 21, 20, 13, 33, 1, UM_CONV_AUTO, 2, 2),
    CONV_CASES(3, 13, 18, 33, 40, 3, UM_CONV_DIRECT, 0, 0),
    CONV_CASES(2, 9, 9, 32, 32, 3, UM_CONV_DIRECT, 1, 2),
    CONV_CASES_TO(1, 1, 1, 1, 1, 3, UM_CONV_WINOGRAD, 0, 0, 3e-5),
    CONV_CASES_TO(2, 7, 5, 5, 9, 3, UM_CONV_WINOGRAD, 3, 2, 3e-5),
    CONV_CASES_TO(4, 6, 33, 16, 24, 3, UM_CONV_WINOGRAD, 0, 0, 3e-5),
    CONV_CASES_TO(5, 13, 18, 33, 40, 3, UM_CONV_WINOGRAD, 0, 5, 3e-5),
    CONV_CASES_TO(4, 6, 7, 96, 100, 3, UM_CONV_WINOGRAD, 0, 0, 3e-5),  /* weight gradients by all threads together */
    CONV_CASES_TO(4, 9, 8, 150, 160, 3, UM_CONV_WINOGRAD, 2, 0, 3e-5), /* weight-stationary, more than one chunk */
    CONVT_CASES(1, 1, 1, 1, 1, 0, 0),
    CONVT_CASES(1, 3, 5, 5, 3, 1, 2),
    CONVT_CASES(4, 7, 5, 16, 8, 0, 8),
    CONVT_CASES(5, 9, 11, 33, 17, 0, 0),

    BN_CASES(1, 1, 1, 1, false, 0, 0),
    BN_CASES(1, 5, 3, 3, true, 0, 0),
    BN_CASES(4, 7, 5, 8, true, 0, 0),
    BN_CASES(5, 7, 5, 13, false, 3, 2),
    BN_CASES(4, 33, 41, 24, true, 0, 0),
    BN_CASES(4, 31, 29, 24, true, 24, 0),
    BN_CASES(4, 9, 17, 130, true, 0, 6),
    BN_CASES(2, 61, 67, 8, false, 0, 0),
    {"bn bwd apply eval", UM_OP_BN_BWD_APPLY,
     {IMG(2, 5, 7, 9, 0, FILL_ANY), IMG(2, 5, 7, 9, 0, FILL_ANY), PAR(1, 1, 4, 9, FILL_ANY), SUMS(1, 2, 9, FILL_ANY)},
     {IMG(2, 5, 7, 9, 0, FILL_ANY)}, BN(true, true, 35)},
    {"bn bwd apply without sums", UM_OP_BN_BWD_APPLY,
     {IMG(2, 5, 7, 9, 0, FILL_ANY), IMG(2, 5, 7, 9, 0, FILL_ANY), PAR(1, 1, 4, 9, FILL_ANY), NONE},
     {IMG(2, 5, 7, 9, 0, FILL_ANY)}, BN(true, false, 35)},
    {"bn coef batch", UM_OP_BN_COEF, {SUMS(1, 2, 11, FILL_POSITIVE), VEC(11, FILL_ANY), VEC(11, FILL_ANY), NONE, NONE},
     {PAR(1, 1, 4, 11, FILL_ANY), VEC(11, FILL_ANY), VEC(11, FILL_POSITIVE)}, BN(true, false, 12), derive_bn_sums},
    {"bn coef batch without update", UM_OP_BN_COEF,
     {SUMS(1, 2, 8, FILL_POSITIVE), VEC(8, FILL_ANY), VEC(8, FILL_ANY), VEC(8, FILL_ANY), VEC(8, FILL_POSITIVE)},
     {PAR(1, 1, 4, 8, FILL_ANY)}, BN(true, false, 12), derive_bn_sums},
    {"bn coef eval", UM_OP_BN_COEF, {NONE, VEC(5, FILL_ANY), VEC(5, FILL_ANY), VEC(5, FILL_ANY), VEC(5, FILL_POSITIVE)},
     {PAR(1, 1, 4, 5, FILL_ANY)}, BN(false, true, 0)},
    {"bn coef eval keeps running", UM_OP_BN_COEF,
     {NONE, VEC(5, FILL_ANY), VEC(5, FILL_ANY), VEC(5, FILL_ANY), VEC(5, FILL_POSITIVE)},
     {PAR(1, 1, 4, 5, FILL_ANY), VEC(5, FILL_ANY), VEC(5, FILL_ANY)}, BN(false, true, 0)},
    {"bn bwd sums of a frozen network", UM_OP_BN_BWD_SUMS,
     {IMG(4, 5, 7, 9, 0, FILL_ANY), IMG(4, 5, 7, 9, 0, FILL_ANY), PAR(1, 1, 4, 9, FILL_ANY)}, {SUMS(1, 2, 9, FILL_ANY)},
     BN(true, false, 0)},
    BN_LANE_CASES(1, 3, 5, 4, true, 0, 0), /* lanes without an image */
    BN_LANE_CASES(6, 7, 5, 8, true, 0, 0),
    BN_LANE_CASES(9, 5, 9, 13, false, 3, 2),
    BN_LANE_CASES(5, 33, 41, 24, true, 24, 0),
    {"bn bwd param", UM_OP_BN_BWD_PARAM, {PAR(1, 1, 2, 19, FILL_ANY)}, {VEC(19, FILL_ANY), VEC(19, FILL_ANY)}},

    {"cdc fold dual", UM_OP_CDC_FOLD, {PAR(3, 3, 5, 9, FILL_ANY), PAR(3, 3, 5, 9, FILL_ANY)}, {PAR(3, 3, 5, 9, FILL_ANY)},
     {.cdc = {.dual = true}}},
    {"cdc fold theta", UM_OP_CDC_FOLD, {PAR(3, 3, 1, 8, FILL_ANY)}, {PAR(3, 3, 1, 8, FILL_ANY)}, {.cdc = {.theta = 0.7}}},
    {"cdc unfold dual", UM_OP_CDC_UNFOLD, {PAR(3, 3, 5, 9, FILL_ANY)}, {PAR(3, 3, 5, 9, FILL_ANY)}, {.cdc = {.dual = true}}},
    {"cdc unfold theta", UM_OP_CDC_UNFOLD, {PAR(3, 3, 1, 8, FILL_ANY)}, {PAR(3, 3, 1, 8, FILL_ANY)}, {.cdc = {.theta = 0.7}}},
    {"all reduce on one rank", UM_OP_ALL_REDUCE, {SUMS(1, 2, 9, FILL_ANY)}, {SUMS(1, 2, 9, FILL_ANY)}},

    POOL_CASES(1, 2, 2, 1, 0),
    POOL_CASES(2, 7, 5, 9, 3),
    POOL_CASES(3, 40, 38, 16, 0),
    MEAN_CASES(2, 7, 9, 5, 2, 3, 4, 2),
    MEAN_CASES(3, 40, 37, 70, 2, 20, 18, 0),
    MEAN_CASES(3, 6, 5, 67, 0, 1, 1, 0),
    {"copy in other rows", UM_OP_COPY, {IMG(2, 6, 5, 3, 1, FILL_ANY)}, {IMG(2, 1, 30, 3, 2, FILL_ANY)}},
    {"maxpool fwd with ties", UM_OP_MAXPOOL_FWD, {IMG(2, 6, 6, 4, 0, FILL_MASK)},
     {IMG(2, 3, 3, 4, 0, FILL_ANY), PLACE(2, 3, 3, 4, 0)}, {.pool = {2, 2, 0}}},
    POOL_WIDE_CASES(2, 9, 7, 5, 3, 2, 0, 1),
    POOL_WIDE_CASES(3, 40, 38, 16, 3, 2, 1, 0),
    POOL_WIDE_CASES(1, 6, 5, 3, 2, 1, 0, 0),
    {"maxpool fwd 3/2/0 with ties", UM_OP_MAXPOOL_FWD, {IMG(2, 7, 7, 4, 0, FILL_MASK)},
     {IMG(2, 3, 3, 4, 0, FILL_ANY), PLACE(2, 3, 3, 4, 0)}, {.pool = {3, 2, 0}}},
    PATCH_CASES(2, 9, 7, 3, 7, 2, 3, 0, 1),
    PATCH_CASES(1, 5, 6, 8, 3, 2, 1, 2, 0),
    PATCH_CASES(4, 27, 31, 9, 1, 2, 0, 0, 0),
    PATCH_CASES(3, 28, 26, 12, 3, 2, 1, 0, 0),
    WS_CASES(7, 3, 16),
    WS_CASES(1, 1, 1),
    WS_CASES(3, 24, 37),
    WS_CASES(1, 40, 130),
    NORM_CASES(1, 1, 1, 2, 1, 1, 1, 0, 0),
    NORM_CASES(2, 5, 7, 12, 4, 1, 4, 1, 2),
    NORM_CASES(4, 33, 31, 24, 24, 1, 24, 0, 0),
    NORM_CASES(3, 40, 37, 16, 8, 1, 8, 0, 3),
    NORM_CASES(5, 4, 5, 9, 0, 4, 5, 0, 1),
    NORM_CASES(4, 14, 14, 96, 0, 14, 14, 0, 0),
    ATTENTION_CASES(1, 1, 1, 4, 2, 0),
    ATTENTION_CASES(2, 3, 4, 15, 3, 2),
    ATTENTION_CASES(3, 7, 7, 24, 2, 0),
    EMBED_CASES(1, 2, 3, 5, 0),
    EMBED_CASES(5, 7, 6, 70, 1),
    ACT_CASES(2, 5, 7, 9, UM_ACT_RELU, 2),
    ACT_CASES(3, 41, 37, 11, UM_ACT_RELU, 0),
    ACT_CASES(2, 5, 7, 9, UM_ACT_SIGMOID, 2),
    ACT_CASES(3, 41, 37, 11, UM_ACT_SIGMOID, 0),
    ACT_CASES(2, 5, 7, 9, UM_ACT_GELU, 2),
    ACT_CASES(3, 41, 37, 11, UM_ACT_GELU, 0),
    GATE_CASES(2, 5, 7, 9, 2),
    GATE_CASES(3, 41, 37, 16, 0),
    DROPOUT_CASE(2, 5, 7, 9, 0.1, 2),
    DROPOUT_CASE(3, 41, 37, 16, 0.5, 0),
    DROPOUT_CASE(1, 3, 3, 4, 0, 0),
    UP_CASES(1, 1, 1, 3, UM_UPSAMPLE_BILINEAR, 0),
    UP_CASES(2, 5, 7, 9, UM_UPSAMPLE_BILINEAR, 2),
    UP_CASES(3, 14, 13, 16, UM_UPSAMPLE_BILINEAR, 0),
    UP_CASES(2, 2, 2, 8, UM_UPSAMPLE_BILINEAR, 0),
    UP_CASES(2, 5, 7, 9, UM_UPSAMPLE_NEAREST, 2),
    UP_CASES(2, 12, 11, 16, UM_UPSAMPLE_NEAREST, 0),
    WINDOW_CASE(2, 5, 7, 8, 9, 3, -2, -1, 1),
    WINDOW_CASE(2, 9, 8, 4, 3, 9, 3, 2, 0),
    WINDOW_CASE(2, 5, 5, 5, 5, 4, 3, -3, 0),
    WINDOW_CASE(1, 3, 3, 2, 2, 2, 7, 7, 0),
    WINDOW_CASE(3, 50, 51, 48, 55, 8, 1, -2, 0),

    {"add", UM_OP_ADD, {IMG(2, 5, 7, 9, 0, FILL_ANY), IMG(2, 5, 7, 9, 0, FILL_ANY)}, {IMG(2, 5, 7, 9, 0, FILL_ANY)}},
    {"add slices", UM_OP_ADD, {IMG(3, 41, 37, 11, 2, FILL_ANY), IMG(3, 41, 37, 11, 5, FILL_ANY)},
     {IMG(3, 41, 37, 11, 2, FILL_ANY)}},
    {"add large", UM_OP_ADD, {IMG(3, 41, 37, 11, 0, FILL_ANY), IMG(3, 41, 37, 11, 0, FILL_ANY)}, {IMG(3, 41, 37, 11, 0, FILL_ANY)}},
    {"add f64", UM_OP_ADD, {SUMS(1, 2, 9, FILL_ANY), SUMS(1, 2, 9, FILL_ANY)}, {SUMS(1, 2, 9, FILL_ANY)}},
    {"copy", UM_OP_COPY, {IMG(2, 5, 7, 9, 0, FILL_ANY)}, {IMG(2, 5, 7, 9, 4, FILL_ANY)}},
    {"copy large", UM_OP_COPY, {IMG(3, 41, 37, 11, 0, FILL_ANY)}, {IMG(3, 41, 37, 11, 0, FILL_ANY)}},
    {"fill", UM_OP_FILL, {NONE}, {IMG(2, 5, 7, 9, 4, FILL_ANY)}, {.fill = {0.25}}},
    {"fill f64", UM_OP_FILL, {NONE}, {SUMS(1, 2, 9, FILL_ANY)}, {.fill = {1.0 / 3}}},
    {"fill large", UM_OP_FILL, {NONE}, {IMG(3, 41, 37, 11, 0, FILL_ANY)}, {.fill = {-1}}},

    BOUND_CASES(2, 5, 7, 3, UM_BOUND_BOX_TANH, 1, 1),
    BOUND_CASES(3, 70, 73, 3, UM_BOUND_BOX_TANH, 0.5, 0),
    BOUND_CASES(2, 65, 67, 1, UM_BOUND_CLIP_MASKED, 0.3, 0),
    BOUND_CASES(2, 5, 7, 3, UM_BOUND_CLIP_STE, 0.3, 0),
    BOUND_CASES(2, 5, 7, 3, UM_BOUND_CLIP_INWARD, 0.3, 2),
    BOUND_CASES(2, 9, 11, 1, UM_BOUND_TANH_THEN_CLIP, 0.3, 0),
    CLIP_CASES(2, 5, 7, 3, UM_CLIP_INWARD, 2),
    CLIP_CASES(3, 71, 83, 3, UM_CLIP_MASKED, 0),
    CLIP_CASES(1, 5, 7, 1, UM_CLIP_STE, 0),

    SEG_CASES(1, 1, 1, 1, false, false, 0),
    SEG_CASES(4, 33, 31, 1, false, false, 0),
    SEG_CASES(5, 17, 19, 2, false, true, 1),
    SEG_CASES(4, 9, 11, 1, true, true, 0),
    SEG_CASES(4, 93, 101, 2, true, false, 0),
    {"seg bwd, one of four heads", UM_OP_SEG_BWD,
     {IMG(3, 9, 11, 1, 0, FILL_ANY), IMG(3, 9, 11, 1, 0, FILL_MASK), PER_IMAGE(3, 5, FILL_ANY), SUMS(1, 1, 5, FILL_ANY)},
     {IMG(3, 9, 11, 1, 0, FILL_ANY)}, {.seg = {0.7, 1.3, 1e-5, .hw = 99, .n_heads = 4}}, derive_seg_sums},
    {"seg loss, one of four heads", UM_OP_SEG_LOSS, {PER_IMAGE(4, 5, FILL_POSITIVE), NONE}, {SUMS(1, 1, 3, FILL_ANY)},
     {.seg = {0.7, 1.3, 1e-5, .hw = 100, .n_heads = 4}}, derive_seg_total},
    {"seg loss without total", UM_OP_SEG_LOSS, {PER_IMAGE(4, 5, FILL_POSITIVE), NONE}, {SUMS(1, 1, 3, FILL_ANY)},
     SEG(false, false, 100, false), derive_seg_total},
    {"batch sum", UM_OP_BATCH_SUM, {PER_IMAGE(6, 5, FILL_ANY)}, {SUMS(1, 1, 5, FILL_ANY)}},
    {"batch sum of rows", UM_OP_BATCH_SUM, {IMAGE_SUMS(7, 2, 9, FILL_ANY)}, {SUMS(1, 2, 9, FILL_ANY)}},

    ALIGN_CASES(1, 1, 1, 1, false, 0),
    ALIGN_CASES(4, 33, 31, 3, true, 0),
    ALIGN_CASES(5, 17, 19, 9, false, 2),
    ALIGN_CASES(4, 93, 101, 8, true, 0),

    CLASS_CASES(5, 2, UM_CLASS_CE, 0, 0),
    CLASS_CASES(7, 5, UM_CLASS_CE, 2, 1),
    CLASS_CASES(400, 5, UM_CLASS_CE, 0.5, 0),
    CLASS_CASES(6, 9, UM_CLASS_MARGIN, 0, 3),
    CLASS_CASES(3, 1000, UM_CLASS_SCORE, 0, 0),

    GATHER_CASE("8 bit", 5, 7, 6, 9, 3, 3, 'u', 255),
    GATHER_CASE("16 bit", 3, 4, 33, 40, 1, 2, 'u', 65535),
    GATHER_CASE("real", 4, 9, 24, 30, 3, 3, 'r', 0),
    BALL_CASE("anywhere", 3, 7, 5, 3, NONE),
    BALL_CASE("where it may", 4, 40, 50, 3, IMG(4, 40, 50, 1, 0, FILL_MASK)),
    GROUP_MEAN_CASE(1, 1, 1, 1, 1, 0),
    GROUP_MEAN_CASE(3, 7, 5, 15, 3, 2),
    GROUP_MEAN_CASE(4, 40, 50, 2, 4, 0),
    VR_ADD_CASE(1, 1, 1, 1, 0),
    VR_ADD_CASE(3, 7, 5, 3, 42),
    VR_ADD_CASE(4, 40, 50, 4, 4),
    ADAM_CASE(3, 3, 5, 7, 1, 0),
    ADAM_CASE(3, 3, 33, 65, 7, 0.01),
    {"sgd with momentum", UM_OP_ADAM, {PAR(3, 3, 33, 65, FILL_ANY), PACE},
     {PAR(3, 3, 33, 65, FILL_ANY), PAR(3, 3, 33, 65, FILL_ANY), PAR(3, 3, 33, 65, FILL_POSITIVE)},
     {.adam = {.b1 = 0.9, .b2 = 0.999, .eps = 1e-8, .weight_decay = 5e-4, .sgd = true}}, derive_step_7},
};
const int n_op_cases = (int)(sizeof op_cases / sizeof op_cases[0]);
