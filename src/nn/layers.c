#include "nn/layers.h"
#include "nn/layers_internal.h"

#include <math.h>
#include <string.h>

um_status um_nn_param(const um_net *net, um_tid *out, const char *name, const char *suffix, um_param *q)
{
    um_status rc = UM_OK;
    int index = -1, n = snprintf(q->name, sizeof q->name, "%s%s%s", name, suffix[0] ? "." : "", suffix);
    UM_REQUIRE(n > 0 && (size_t)n < sizeof q->name);
    UM_TRY(um_params_require(net->params, q, &index));
    UM_TRY(um_graph_param(net->graph, out, net->params, index, net->trainable));
done:
    return rc;
}

static um_status vector_param(const um_net *net, um_tid *out, const char *name, const char *suffix, int64_t c, double bound,
                              double value, bool buffer)
{
    um_param q = {
        .kind = buffer ? UM_PARAM_BUFFER : UM_PARAM_VECTOR, .n_dims = 1, .dims = {c}, .init_bound = bound, .init_value = value};
    return um_nn_param(net, out, name, suffix, &q);
}

um_status um_nn_act_like(um_graph *g, um_tid *out, um_tid x, const char *name, int64_t h, int64_t w, int64_t c)
{
    return um_graph_act(g, out, name, g->tensors[x].dtype, true, 0, h, w, c);
}

/* The convolution node itself, for a weight tensor that may be a parameter or a folded kernel. */
static um_status conv_node(const um_net *net, um_tid *out, um_tid x, um_tid w, um_tid bias, const char *name, int64_t out_ch, int k)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    um_tid y = UM_NONE;
    um_op_attr attr = {.conv = {.stride = 1, .pad = k / 2, .algo = net->params->backend->conv_algo}};
    UM_TRY(um_nn_act_like(g, &y, x, name, g->tensors[x].h, g->tensors[x].w, out_ch));
    UM_TRY(um_graph_node(g, UM_OP_CONV_FWD, name, (um_tid[]){x, w, bias}, &y, &attr, false));
    *out = y;
done:
    return rc;
}

um_status um_nn_conv(const um_net *net, um_tid *out, um_tid x, const char *name, int64_t out_ch, int k, bool bias)
{
    um_status rc = UM_OK;
    int64_t in_ch = net->graph->tensors[x].c;
    double bound = 1.0 / sqrt((double)(in_ch * k * k));
    um_tid w = UM_NONE, b = UM_NONE;
    um_param q = {.kind = UM_PARAM_CONV, .n_dims = 4, .dims = {out_ch, in_ch, k, k}, .init_bound = bound};
    UM_TRY(um_nn_param(net, &w, name, "weight", &q));
    if (bias)
        UM_TRY(vector_param(net, &b, name, "bias", out_ch, bound, 0, false));
    UM_TRY(conv_node(net, out, x, w, b, name, out_ch, k));
done:
    return rc;
}

um_status um_nn_cdc_conv(const um_net *net, um_tid *out, um_tid x, const char *name, int64_t out_ch, bool bias, const um_cdc *cdc)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    int64_t in_ch = g->tensors[x].c;
    double bound = 1.0 / sqrt((double)(in_ch * 9));
    um_tid wv = UM_NONE, wc = UM_NONE, k = UM_NONE, b = UM_NONE;
    um_param q = {.kind = UM_PARAM_CONV, .n_dims = 4, .dims = {out_ch, in_ch, 3, 3}, .init_bound = bound};
    UM_TRY(um_nn_param(net, &wv, name, "weight", &q));
    if (cdc->mode == UM_CDC_DUAL) {
        um_param d = q;
        d.init_bound = bound * cdc->init_wc_scale;
        UM_TRY(um_nn_param(net, &wc, name, "weight_cd", &d));
    }
    if (bias)
        UM_TRY(vector_param(net, &b, name, "bias", out_ch, bound, 0, false));
    um_op_attr attr = {.cdc = {.dual = cdc->mode == UM_CDC_DUAL, .theta = cdc->theta}};
    UM_TRY(um_graph_act(g, &k, name, g->real, false, 3, 3, in_ch, out_ch));
    UM_TRY(um_graph_node(g, UM_OP_CDC_FOLD, name, (um_tid[]){wv, wc}, &k, &attr, false));
    UM_TRY(conv_node(net, out, x, k, b, name, out_ch, 3));
done:
    return rc;
}

/* What a normalisation is made of: the four vectors, and x. */
typedef struct norm {
    um_tid x, gamma, beta, mean, var;
    um_op_attr attr;
    const char *name;
} norm;

/* Coefficients from the whole batch or from running statistics, with the hook where ranks meet. */
static um_status coef_of_batch(const um_net *net, um_tid *coef, const norm *n)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    int64_t c = g->tensors[n->x].c;
    um_tid sums = UM_NONE, all = UM_NONE;
    bool update = net->bn == UM_BN_TRAIN, read = net->bn == UM_BN_EVAL; /* never both: no operand is in and out at once */
    if (!read) {
        UM_TRY(um_graph_act(g, &sums, n->name, UM_F64, false, 1, 1, 2, c));
        UM_TRY(um_graph_node(g, UM_OP_BN_STATS, n->name, &n->x, &sums, &n->attr, false));
        UM_TRY(um_graph_act(g, &all, n->name, UM_F64, false, 1, 1, 2, c));
        UM_TRY(um_graph_node(g, UM_OP_ALL_REDUCE, n->name, &sums, &all, NULL, false));
    }
    UM_TRY(um_graph_act(g, coef, n->name, g->real, false, 1, 1, 4, c));
    UM_TRY(um_graph_node(g, UM_OP_BN_COEF, n->name,
                         (um_tid[]){all, n->gamma, n->beta, read ? n->mean : UM_NONE, read ? n->var : UM_NONE},
                         (um_tid[]){*coef, update ? n->mean : UM_NONE, update ? n->var : UM_NONE}, &n->attr, false));
done:
    return rc;
}

/* Running statistics are those of the whole batch all the same. Nothing waits for them, so they come last. */
static um_status update_late(um_graph *g, const norm *n, um_tid sums)
{
    um_status rc = UM_OK;
    int64_t c = g->tensors[n->x].c;
    um_tid own = UM_NONE, all = UM_NONE, unused = UM_NONE;
    um_op_attr attr = n->attr;
    attr.bn.per_lane = false;
    UM_TRY(um_graph_act(g, &own, n->name, UM_F64, false, 1, 1, 2, c));
    UM_TRY(um_graph_act(g, &all, n->name, UM_F64, false, 1, 1, 2, c));
    UM_TRY(um_graph_act(g, &unused, n->name, g->real, false, 1, 1, 4, c));
    UM_TRY(um_graph_node(g, UM_OP_BATCH_SUM, n->name, &sums, &own, NULL, false));
    UM_TRY(um_graph_late(g, UM_OP_ALL_REDUCE, n->name, &own, &all, NULL));
    UM_TRY(um_graph_late(g, UM_OP_BN_COEF, n->name, (um_tid[]){all, n->gamma, n->beta, UM_NONE, UM_NONE},
                         (um_tid[]){unused, n->mean, n->var}, &attr));
done:
    return rc;
}

/* Coefficients of every image, from its lane. */
static um_status coef_per_lane(const um_net *net, um_tid *coef, const norm *n)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    int64_t c = g->tensors[n->x].c;
    um_tid sums = UM_NONE;
    UM_TRY(um_graph_act(g, &sums, n->name, UM_F64, true, 0, 1, 2, c));
    UM_TRY(um_graph_node(g, UM_OP_BN_STATS, n->name, &n->x, &sums, &n->attr, false));
    UM_TRY(um_graph_act(g, coef, n->name, g->real, true, 0, 1, 4, c));
    UM_TRY(um_graph_node(g, UM_OP_BN_COEF, n->name, (um_tid[]){sums, n->gamma, n->beta, UM_NONE, UM_NONE},
                         (um_tid[]){*coef, UM_NONE, UM_NONE}, &n->attr, false));
    if (net->bn == UM_BN_TRAIN)
        UM_TRY(update_late(g, n, sums));
done:
    return rc;
}

um_status um_nn_batchnorm(const um_net *net, um_tid *out, um_tid x, const char *name, bool relu)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    um_tensor tx = g->tensors[x];
    um_tid coef = UM_NONE, y = UM_NONE;
    bool eval = net->bn == UM_BN_EVAL, per_lane = g->bn_per_lane && !eval;
    norm n = {.x = x, .gamma = UM_NONE, .beta = UM_NONE, .mean = UM_NONE, .var = UM_NONE, .name = name,
              .attr = {.bn = {.eval = eval, .relu = relu, .per_lane = per_lane, .eps = 1e-5, .momentum = 0.1, .hw = tx.h * tx.w}}};
    UM_TRY(vector_param(net, &n.gamma, name, "weight", tx.c, 0, 1, false));
    UM_TRY(vector_param(net, &n.beta, name, "bias", tx.c, 0, 0, false));
    UM_TRY(vector_param(net, &n.mean, name, "running_mean", tx.c, 0, 0, true));
    UM_TRY(vector_param(net, &n.var, name, "running_var", tx.c, 0, 1, true));
    UM_TRY(per_lane ? coef_per_lane(net, &coef, &n) : coef_of_batch(net, &coef, &n));
    UM_TRY(um_nn_act_like(g, &y, x, name, tx.h, tx.w, tx.c));
    UM_TRY(um_graph_node(g, UM_OP_BN_APPLY, name, (um_tid[]){x, coef}, &y, &n.attr, false));
    *out = y;
done:
    return rc;
}

um_status um_nn_conv_transpose(const um_net *net, um_tid *out, um_tid x, const char *name, int64_t out_ch)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    um_tensor tx = g->tensors[x];
    double bound = 1.0 / sqrt((double)(out_ch * 4));
    um_tid w = UM_NONE, b = UM_NONE, y = UM_NONE;
    um_param q = {.kind = UM_PARAM_CONVT, .n_dims = 4, .dims = {tx.c, out_ch, 2, 2}, .init_bound = bound};
    UM_TRY(um_nn_param(net, &w, name, "weight", &q));
    UM_TRY(vector_param(net, &b, name, "bias", out_ch, bound, 0, false));
    UM_TRY(um_nn_act_like(g, &y, x, name, 2 * tx.h, 2 * tx.w, out_ch));
    UM_TRY(um_graph_node(g, UM_OP_CONVT_FWD, name, (um_tid[]){x, w, b}, &y, NULL, false));
    *out = y;
done:
    return rc;
}

um_status um_nn_maxpool(um_graph *g, um_tid *out, um_tid x, int size, int stride, int pad)
{
    um_status rc = UM_OK;
    um_tensor tx = g->tensors[x];
    um_tid y = UM_NONE, which = UM_NONE;
    um_op_attr attr = {.pool = {size, stride, pad}};
    int64_t h = (tx.h + 2 * pad - size) / stride + 1, w = (tx.w + 2 * pad - size) / stride + 1;
    UM_TRY(um_nn_act_like(g, &y, x, "maxpool", h, w, tx.c));
    UM_TRY(um_graph_act(g, &which, "maxpool which", UM_U8, true, 0, h, w, tx.c));
    UM_TRY(um_graph_node(g, UM_OP_MAXPOOL_FWD, "maxpool", &x, (um_tid[]){y, which}, &attr, false));
    *out = y;
done:
    return rc;
}

um_status um_nn_upsample(um_graph *g, um_tid *out, um_tid x, um_upsample_mode mode)
{
    um_status rc = UM_OK;
    um_tensor tx = g->tensors[x];
    um_tid y = UM_NONE;
    um_op_attr attr = {.upsample = {mode}};
    UM_TRY(um_nn_act_like(g, &y, x, "upsample", 2 * tx.h, 2 * tx.w, tx.c));
    UM_TRY(um_graph_node(g, UM_OP_UPSAMPLE_FWD, "upsample", &x, &y, &attr, false));
    *out = y;
done:
    return rc;
}

static int64_t floor_half(int64_t d)
{
    return d >= 0 ? d / 2 : -((-d + 1) / 2);
}

um_status um_nn_fit(um_graph *g, um_tid *out, um_tid x, int64_t h, int64_t w)
{
    const um_tensor *tx = &g->tensors[x];
    return um_nn_window(g, out, x, -floor_half(h - tx->h), -floor_half(w - tx->w), h, w);
}

um_status um_nn_window(um_graph *g, um_tid *out, um_tid x, int64_t top, int64_t left, int64_t h, int64_t w)
{
    um_status rc = UM_OK;
    um_tensor tx = g->tensors[x];
    if (tx.h == h && tx.w == w && top == 0 && left == 0) {
        *out = x;
        return UM_OK;
    }
    um_tid y = UM_NONE;
    um_op_attr attr = {.window = {.top = top, .left = left}};
    UM_TRY(um_nn_act_like(g, &y, x, "fit", h, w, tx.c));
    UM_TRY(um_graph_node(g, UM_OP_WINDOW, "fit", &x, &y, &attr, false));
    *out = y;
done:
    return rc;
}

um_status um_nn_add(um_graph *g, um_tid *out, um_tid a, um_tid b)
{
    um_status rc = UM_OK;
    um_tensor ta = g->tensors[a];
    um_tid y = UM_NONE;
    UM_TRY(um_nn_act_like(g, &y, a, "add", ta.h, ta.w, ta.c));
    UM_TRY(um_graph_node(g, UM_OP_ADD, "add", (um_tid[]){a, b}, &y, NULL, false));
    *out = y;
done:
    return rc;
}

um_status um_nn_bound(um_graph *g, um_tid *out, um_tid z, um_tid bound, um_bound_rule rule, double gain)
{
    um_status rc = UM_OK;
    um_tensor tz = g->tensors[z];
    um_tid d = UM_NONE;
    um_op_attr attr = {.bound = {.rule = rule, .gain = gain}};
    UM_TRY(um_nn_act_like(g, &d, z, "bound", tz.h, tz.w, tz.c));
    UM_TRY(um_graph_node(g, UM_OP_BOUND_FWD, "bound", (um_tid[]){z, bound}, &d, &attr, false));
    *out = d;
done:
    return rc;
}

um_status um_nn_clip(um_graph *g, um_tid *out, um_tid v, um_clip_rule rule, double lo, double hi)
{
    um_status rc = UM_OK;
    um_tensor tv = g->tensors[v];
    um_tid y = UM_NONE;
    um_op_attr attr = {.clip = {.rule = rule, .lo = lo, .hi = hi}};
    UM_TRY(um_nn_act_like(g, &y, v, "clip", tv.h, tv.w, tv.c));
    UM_TRY(um_graph_node(g, UM_OP_CLIP_FWD, "clip", &v, &y, &attr, false));
    *out = y;
done:
    return rc;
}

/* This rank's share of one head's loss. */
static um_status loss_share(um_graph *g, um_tid *share, um_tid z, um_tid y, const um_seg_attr *seg)
{
    um_status rc = UM_OK;
    um_op_attr attr = {.seg = *seg};
    attr.seg.hw = g->tensors[z].h * g->tensors[z].w;
    attr.seg.two_class = g->tensors[z].c == 2;
    um_tid sums = UM_NONE, local = UM_NONE, total = UM_NONE;
    UM_TRY(um_graph_act(g, &sums, "seg sums", UM_F64, true, 0, 1, 1, 5));
    UM_TRY(um_graph_node(g, UM_OP_SEG_SUMS, "seg sums", (um_tid[]){z, y}, &sums, &attr, false));
    UM_TRY(um_graph_act(g, &local, "seg local", UM_F64, false, 1, 1, 1, 5));
    UM_TRY(um_graph_node(g, UM_OP_BATCH_SUM, "seg local", &sums, &local, NULL, false));
    UM_TRY(um_graph_act(g, &total, "seg total", UM_F64, false, 1, 1, 1, 5));
    UM_TRY(um_graph_node(g, UM_OP_ALL_REDUCE, "seg total", &local, &total, NULL, false));
    UM_TRY(um_graph_act(g, share, "loss share", UM_F64, false, 1, 1, 1, 3));
    UM_TRY(um_graph_node(g, UM_OP_SEG_LOSS, "loss share", (um_tid[]){sums, total}, share, &attr, false));
done:
    return rc;
}

um_status um_nn_seg_loss_mean(um_graph *g, um_tid *out, const um_tid *z, int n, um_tid y, const um_seg_attr *seg)
{
    um_status rc = UM_OK;
    um_seg_attr attr = *seg;
    um_tid share = UM_NONE, loss = UM_NONE;
    attr.n_heads = n;
    for (int i = 0; i < n; i++) {
        um_tid one = UM_NONE, sum = UM_NONE;
        UM_TRY(loss_share(g, &one, z[i], y, &attr));
        if (i > 0) {
            UM_TRY(um_graph_act(g, &sum, "loss share", UM_F64, false, 1, 1, 1, 3));
            UM_TRY(um_graph_node(g, UM_OP_ADD, "loss share", (um_tid[]){share, one}, &sum, NULL, false));
        }
        share = i > 0 ? sum : one;
    }
    UM_TRY(um_graph_act(g, &loss, "loss", UM_F64, false, 1, 1, 1, 3));
    UM_TRY(um_graph_node(g, UM_OP_ALL_REDUCE, "loss", &share, &loss, NULL, false));
    g->tensors[loss].keep = true;
    *out = loss;
done:
    return rc;
}

um_status um_nn_seg_loss(um_graph *g, um_tid *out, um_tid z, um_tid y, const um_seg_attr *attr)
{
    return um_nn_seg_loss_mean(g, out, &z, 1, y, attr);
}

um_status um_nn_align_sums(um_graph *g, um_tid *out, um_tid h, um_tid y, um_tid means, bool balance)
{
    um_status rc = UM_OK;
    um_op_attr attr = {.align = {balance}};
    um_tid sums = UM_NONE;
    UM_TRY(um_graph_act(g, &sums, "align sums", UM_F64, true, 0, 1, 1, 4));
    UM_TRY(um_graph_node(g, UM_OP_ALIGN_SUMS, "align sums", (um_tid[]){h, y, means}, &sums, &attr, false));
    g->tensors[sums].keep = true;
    *out = sums;
done:
    return rc;
}
