/* Layers of classifiers. */
#include <math.h>

#include "nn/layers_internal.h"

um_status um_nn_patches(um_graph *g, um_tid *out, um_tid x, int k, int stride, int pad)
{
    um_status rc = UM_OK;
    um_tensor tx = g->tensors[x];
    um_tid y = UM_NONE;
    um_op_attr attr = {.patch = {k, stride, pad}};
    UM_TRY(um_nn_act_like(g, &y, x, "patches", (tx.h + 2 * pad - k) / stride + 1, (tx.w + 2 * pad - k) / stride + 1, k * k * tx.c));
    UM_TRY(um_graph_node(g, UM_OP_PATCHES_FWD, "patches", &x, &y, &attr, false));
    *out = y;
done:
    return rc;
}

um_status um_nn_conv_strided(const um_net *net, um_tid *out, um_tid x, const char *name, const um_conv_spec *s)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    int64_t in_ch = g->tensors[x].c, taps = (int64_t)s->k * s->k * in_ch;
    bool direct = s->stride == 1 && (s->k == 1 || s->k == 3) && s->pad == s->k / 2;
    um_tid w = UM_NONE, b = UM_NONE, y = UM_NONE;
    um_param weight = {.kind = UM_PARAM_CONV, .n_dims = 4, .dims = {s->out_ch, in_ch, s->k, s->k}, .init_sd = s->init_sd,
                       .init_bound = s->init_sd > 0 ? 0 : 1 / sqrt((double)taps)};
    um_param bias = {.kind = UM_PARAM_VECTOR, .n_dims = 1, .dims = {s->out_ch}};
    um_op_attr attr = {.conv = {.stride = 1, .pad = direct ? s->k / 2 : 0, .algo = net->params->backend->conv_algo}};
    UM_TRY(um_nn_param(net, &w, name, "weight", &weight));
    if (s->bias)
        UM_TRY(um_nn_param(net, &b, name, "bias", &bias));
    if (!direct) { /* the same memory as a matrix of whole windows */
        um_tensor *q = &g->tensors[w];
        q->n = q->h = 1, q->w = taps;
        UM_TRY(um_nn_patches(g, &x, x, s->k, s->stride, s->pad));
    }
    UM_TRY(um_nn_act_like(g, &y, x, name, g->tensors[x].h, g->tensors[x].w, s->out_ch));
    UM_TRY(um_graph_node(g, UM_OP_CONV_FWD, name, (um_tid[]){x, w, b}, &y, &attr, false));
    *out = y;
done:
    return rc;
}

um_status um_nn_avgpool(um_graph *g, um_tid *out, um_tid x, int size)
{
    um_status rc = UM_OK;
    um_tensor tx = g->tensors[x];
    um_tid y = UM_NONE;
    um_op_attr attr = {.pool = {size, size, 0}};
    UM_TRY(um_nn_act_like(g, &y, x, "avgpool", size ? tx.h / size : 1, size ? tx.w / size : 1, tx.c));
    UM_TRY(um_graph_node(g, UM_OP_AVGPOOL_FWD, "avgpool", &x, &y, &attr, false));
    *out = y;
done:
    return rc;
}

um_status um_nn_reshape(um_graph *g, um_tid *out, um_tid x, int64_t h, int64_t w)
{
    um_status rc = UM_OK;
    um_tid y = UM_NONE;
    UM_TRY(um_nn_act_like(g, &y, x, "reshape", h, w, g->tensors[x].c));
    UM_TRY(um_graph_node(g, UM_OP_COPY, "reshape", &x, &y, NULL, false));
    *out = y;
done:
    return rc;
}

/* Zeros of one token, plus the learned one, in front of the others. */
um_status um_nn_class_token(const um_net *net, um_tid *out, um_tid x, const char *name)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    int64_t tokens = g->tensors[x].w;
    um_tid token = UM_NONE;
    UM_TRY(um_nn_window(g, &token, x, 0, tokens, 1, 1)); /* beyond the last: nothing but zeros */
    UM_TRY(um_nn_embed(net, &token, token, name, 0));
    UM_TRY(um_nn_window(g, &token, token, 0, 0, 1, tokens + 1));
    UM_TRY(um_nn_window(g, &x, x, 0, -1, 1, tokens + 1));
    UM_TRY(um_nn_add(g, out, token, x));
done:
    return rc;
}

um_status um_nn_class_loss(um_graph *g, um_tid *sums_out, um_tid *loss, um_tid z, um_tid y, um_class_loss kind, double gamma)
{
    um_status rc = UM_OK;
    um_op_attr attr = {.class_loss = {kind, gamma}};
    um_tid sums = UM_NONE, local = UM_NONE, total = UM_NONE;
    UM_TRY(um_graph_act(g, &sums, "class sums", UM_F64, true, 0, 1, 1, 3));
    UM_TRY(um_graph_node(g, UM_OP_CLASS_SUMS, "class sums", (um_tid[]){z, y}, &sums, &attr, false));
    UM_TRY(um_graph_act(g, &local, "class local", UM_F64, false, 1, 1, 1, 3));
    UM_TRY(um_graph_node(g, UM_OP_BATCH_SUM, "class local", &sums, &local, NULL, false));
    UM_TRY(um_graph_act(g, &total, "class total", UM_F64, false, 1, 1, 1, 3));
    UM_TRY(um_graph_node(g, UM_OP_ALL_REDUCE, "class total", &local, &total, NULL, false));
    g->tensors[sums].keep = g->tensors[total].keep = true;
    *sums_out = sums;
    *loss = total;
done:
    return rc;
}
