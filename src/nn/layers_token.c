/* Layers of attention networks and of the normalisations beside BatchNorm. */
#include <math.h>

#include "base/text.h"
#include "nn/layers_internal.h"

/* y = op(x, ...) of x's shape. */
static um_status same_shape(um_graph *g, um_tid *out, um_op op, const char *name, const um_tid *in, const um_op_attr *attr)
{
    um_status rc = UM_OK;
    um_tensor tx = g->tensors[in[0]];
    um_tid y = UM_NONE;
    UM_TRY(um_nn_act_like(g, &y, in[0], name, tx.h, tx.w, tx.c));
    UM_TRY(um_graph_node(g, op, name, in, &y, attr, false));
    *out = y;
done:
    return rc;
}

um_status um_nn_act(um_graph *g, um_tid *out, um_tid x, um_act kind)
{
    static const char *const names[] = {"relu", "sigmoid", "gelu"};
    return same_shape(g, out, UM_OP_ACT_FWD, names[kind], &x, &(um_op_attr){.act = {kind}});
}

um_status um_nn_gate(um_graph *g, um_tid *out, um_tid x, um_tid m)
{
    return same_shape(g, out, UM_OP_GATE_FWD, "gate", (um_tid[]){x, m}, NULL);
}

um_status um_nn_dropout(const um_net *net, um_tid *out, um_tid x, const char *name, double p)
{
    um_op_attr attr = {.dropout = {p, (uint32_t)um_text_hash(name)}};
    if (net->bn != UM_BN_TRAIN || p == 0) {
        *out = x;
        return UM_OK;
    }
    return same_shape(net->graph, out, UM_OP_DROPOUT, name, &x, &attr);
}

um_status um_nn_replicate(um_graph *g, um_tid *out, um_tid x, int64_t copies)
{
    um_status rc = UM_OK;
    um_tensor tx = g->tensors[x];
    um_tid y = UM_NONE;
    UM_TRY(um_nn_act_like(g, &y, x, "replicate", tx.h, tx.w, copies * tx.c));
    for (int64_t i = 0; i < copies; i++) {
        um_tid slice = UM_NONE;
        UM_TRY(um_graph_slice(g, &slice, y, i * tx.c, tx.c));
        UM_TRY(um_graph_node(g, UM_OP_COPY, "replicate", &x, &slice, NULL, false));
    }
    *out = y;
done:
    return rc;
}

um_status um_nn_norm(const um_net *net, um_tid *out, um_tid x, const char *name, int64_t groups, double eps)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    um_tensor tx = g->tensors[x];
    um_tid gamma = UM_NONE, beta = UM_NONE, y = UM_NONE, stats = UM_NONE;
    um_param scale = {.kind = UM_PARAM_VECTOR, .n_dims = 1, .dims = {tx.c}, .init_value = 1}, shift = scale;
    um_op_attr attr = {.norm = {groups, eps}};
    shift.init_value = 0;
    UM_TRY(um_nn_param(net, &gamma, name, "weight", &scale));
    UM_TRY(um_nn_param(net, &beta, name, "bias", &shift));
    UM_TRY(um_nn_act_like(g, &y, x, name, tx.h, tx.w, tx.c));
    UM_TRY(um_nn_act_like(g, &stats, x, "norm stats", groups ? 1 : tx.h, groups ? groups : tx.w, 2));
    UM_TRY(um_graph_node(g, UM_OP_NORM_FWD, name, (um_tid[]){x, gamma, beta}, (um_tid[]){y, stats}, &attr, false));
    *out = y;
done:
    return rc;
}

um_status um_nn_ws_conv(const um_net *net, um_tid *out, um_tid x, const char *name, int64_t out_ch, int k, int stride)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    int64_t in_ch = g->tensors[x].c;
    bool direct = stride == 1 && (k == 1 || k == 3);
    um_tid w = UM_NONE, h = UM_NONE, r = UM_NONE, y = UM_NONE;
    um_param q = {.kind = UM_PARAM_CONV, .n_dims = 4, .dims = {out_ch, in_ch, k, k}, .init_bound = 1 / sqrt((double)(in_ch * k * k))};
    um_op_attr conv = {.conv = {.stride = 1, .pad = direct ? k / 2 : 0, .algo = net->params->backend->conv_algo}};
    UM_TRY(um_nn_param(net, &w, name, "weight", &q));
    if (direct)
        UM_TRY(um_graph_act(g, &h, name, g->real, false, k, k, in_ch, out_ch));
    else
        UM_TRY(um_graph_act(g, &h, name, g->real, false, 1, 1, k * k * in_ch, out_ch));
    UM_TRY(um_graph_act(g, &r, name, g->real, false, 1, 1, 1, out_ch));
    UM_TRY(um_graph_node(g, UM_OP_WS_FWD, name, &w, (um_tid[]){h, r}, &(um_op_attr){.ws = {1e-5}}, false));
    if (!direct)
        UM_TRY(um_nn_patches(g, &x, x, k, stride, (k - 1) / 2));
    UM_TRY(um_nn_act_like(g, &y, x, name, g->tensors[x].h, g->tensors[x].w, out_ch));
    UM_TRY(um_graph_node(g, UM_OP_CONV_FWD, name, (um_tid[]){x, h, UM_NONE}, &y, &conv, false));
    *out = y;
done:
    return rc;
}

um_status um_nn_linear(const um_net *net, um_tid *out, um_tid x, const char *name, int64_t out_ch, um_linear_init init)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    um_tensor tx = g->tensors[x];
    bool xavier = init == UM_LINEAR_XAVIER;
    double bound = 1 / sqrt((double)tx.c);
    um_tid w = UM_NONE, b = UM_NONE, y = UM_NONE;
    um_param weight = {.kind = UM_PARAM_CONV, .n_dims = 2, .dims = {out_ch, tx.c, 1, 1},
                       .init_bound = xavier ? sqrt(6 / (double)(tx.c + out_ch)) : bound};
    um_param bias = {.kind = UM_PARAM_VECTOR, .n_dims = 1, .dims = {out_ch}, .init_bound = xavier ? 0 : bound, .init_sd = xavier ? 1e-6 : 0};
    UM_TRY(um_nn_param(net, &w, name, "weight", &weight));
    UM_TRY(um_nn_param(net, &b, name, "bias", &bias));
    UM_TRY(um_nn_act_like(g, &y, x, name, tx.h, tx.w, out_ch));
    UM_TRY(um_graph_node(g, UM_OP_CONV_FWD, name, (um_tid[]){x, w, b}, &y, &(um_op_attr){.conv = {.stride = 1}}, false));
    *out = y;
done:
    return rc;
}

um_status um_nn_self_attention(const um_net *net, um_tid *out, um_tid x, const char *name, int64_t heads)
{
    static const char *const parts[] = {"query", "key", "value"};
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    um_tensor tx = g->tensors[x];
    um_tid in[3] = {UM_NONE, UM_NONE, UM_NONE}, o = UM_NONE, p = UM_NONE;
    char part[96];
    for (int i = 0; i < 3; i++) {
        snprintf(part, sizeof part, "%s.%s", name, parts[i]);
        UM_TRY(um_nn_linear(net, &in[i], x, part, tx.c, UM_LINEAR_DEFAULT));
    }
    UM_TRY(um_nn_act_like(g, &o, x, name, tx.h, tx.w, tx.c));
    UM_TRY(um_nn_act_like(g, &p, x, "attention", heads, tx.h * tx.w, tx.h * tx.w));
    UM_TRY(um_graph_node(g, UM_OP_ATTENTION_FWD, name, in, (um_tid[]){o, p}, &(um_op_attr){.attention = {heads}}, false));
    snprintf(part, sizeof part, "%s.out", name);
    UM_TRY(um_nn_linear(net, out, o, part, tx.c, UM_LINEAR_DEFAULT));
done:
    return rc;
}

um_status um_nn_embed(const um_net *net, um_tid *out, um_tid x, const char *name, double init_sd)
{
    um_status rc = UM_OK;
    um_tensor tx = net->graph->tensors[x];
    um_tid e = UM_NONE;
    um_param q = {.kind = UM_PARAM_TABLE, .n_dims = 3, .dims = {1, tx.h * tx.w, tx.c}, .init_sd = init_sd};
    UM_TRY(um_nn_param(net, &e, name, "", &q));
    UM_TRY(same_shape(net->graph, out, UM_OP_EMBED_ADD, name, (um_tid[]){x, e}, NULL));
done:
    return rc;
}
