/* ViT-B/16 (Dosovitskiy et al., ICLR 2021) as torchvision has it. Width w: hidden 12 w, 12 heads, 12 layers; 64 is the published
 * size. The table of positions belongs to one size of images. */
#include "models/classifier.h"
#include "nn/layers_internal.h"

#include <stdio.h>

enum { PATCH = 16, LAYERS = 12, HEADS = 12 };

static um_status norm(const um_net *net, um_tid *out, um_tid x, const char *prefix, const char *name)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    return um_nn_norm(net, out, x, full, 0, 1e-6);
}

/* Query, key and value are one product, [3D,D], and the thirds of its output. */
static um_status attention(const um_net *net, um_tid *out, um_tid x, const char *prefix)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    um_tensor tx = g->tensors[x];
    um_tid w = UM_NONE, b = UM_NONE, all = UM_NONE, part[3], o = UM_NONE, p = UM_NONE;
    um_param weight = {
        .kind = UM_PARAM_CONV, .n_dims = 2, .dims = {3 * tx.c, tx.c, 1, 1}, .init_bound = sqrt(6 / (double)(4 * tx.c))};
    um_param bias = {.kind = UM_PARAM_VECTOR, .n_dims = 1, .dims = {3 * tx.c}};
    char name[128];
    snprintf(name, sizeof name, "%s.in_proj_weight", prefix);
    UM_TRY(um_nn_param(net, &w, name, "", &weight));
    snprintf(name, sizeof name, "%s.in_proj_bias", prefix);
    UM_TRY(um_nn_param(net, &b, name, "", &bias));
    UM_TRY(um_nn_act_like(g, &all, x, prefix, tx.h, tx.w, 3 * tx.c));
    UM_TRY(um_graph_node(g, UM_OP_CONV_FWD, prefix, (um_tid[]){x, w, b}, &all, &(um_op_attr){.conv = {.stride = 1}}, false));
    for (int i = 0; i < 3; i++)
        UM_TRY(um_graph_slice(g, &part[i], all, i * tx.c, tx.c));
    UM_TRY(um_nn_act_like(g, &o, x, prefix, tx.h, tx.w, tx.c));
    UM_TRY(um_nn_act_like(g, &p, x, "attention", HEADS, tx.h * tx.w, tx.h * tx.w));
    UM_TRY(um_graph_node(g, UM_OP_ATTENTION_FWD, prefix, part, (um_tid[]){o, p}, &(um_op_attr){.attention = {HEADS}}, false));
    snprintf(name, sizeof name, "%s.out_proj", prefix);
    UM_TRY(um_nn_linear(net, out, o, name, tx.c, UM_LINEAR_DEFAULT));
done:
    return rc;
}

/* x += attention(LN(x)); x += MLP(LN(x)) */
static um_status layer(const um_net *net, um_tid *x, int index)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    int64_t hidden = g->tensors[*x].c;
    char prefix[64], name[96];
    um_tid y = UM_NONE;
    snprintf(prefix, sizeof prefix, "encoder.layers.encoder_layer_%d", index);
    UM_TRY(norm(net, &y, *x, prefix, "ln_1"));
    snprintf(name, sizeof name, "%s.self_attention", prefix);
    UM_TRY(attention(net, &y, y, name));
    UM_TRY(um_nn_add(g, x, *x, y));
    UM_TRY(norm(net, &y, *x, prefix, "ln_2"));
    snprintf(name, sizeof name, "%s.mlp.0", prefix);
    UM_TRY(um_nn_linear(net, &y, y, name, 4 * hidden, UM_LINEAR_XAVIER));
    UM_TRY(um_nn_act(g, &y, y, UM_ACT_GELU));
    snprintf(name, sizeof name, "%s.mlp.3", prefix);
    UM_TRY(um_nn_linear(net, &y, y, name, hidden, UM_LINEAR_XAVIER));
    UM_TRY(um_nn_add(g, x, *x, y));
done:
    return rc;
}

static um_status build(const um_net *net, const um_model_config *config, um_tid x, um_tid *logits)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    um_tensor in = g->tensors[x];
    if (in.h % PATCH || in.w % PATCH)
        return um_fail(UM_E_DATA, "vit_b16 needs sides that are multiples of %d; these images are %ldx%ld", PATCH, (long)in.h,
                       (long)in.w);
    UM_TRY(um_classifier_input(net, &x, "vit_b16", 2 * PATCH));
    um_conv_spec patch = {12 * config->width, PATCH, PATCH, 0, .bias = true, .init_sd = sqrt(1 / (double)(PATCH * PATCH * 3))};
    UM_TRY(um_nn_conv_strided(net, &x, x, "conv_proj", &patch));
    UM_TRY(um_nn_reshape(g, &x, x, 1, in.h / PATCH * (in.w / PATCH)));
    UM_TRY(um_nn_class_token(net, &x, x, "class_token"));
    UM_TRY(um_nn_embed(net, &x, x, "encoder.pos_embedding", 0.02));
    for (int i = 0; i < LAYERS; i++)
        UM_TRY(layer(net, &x, i));
    UM_TRY(norm(net, &x, x, "encoder", "ln"));
    UM_TRY(um_nn_window(g, &x, x, 0, 0, 1, 1)); /* the class token */
    UM_TRY(um_nn_linear(net, logits, x, "heads.head", config->out_ch, UM_LINEAR_DEFAULT));
done:
    return rc;
}

const um_model_def um_model_vit_b16 = {
    .name = "vit_b16", .summary = "ViT-B/16 classifier (Dosovitskiy 2021)", .classifier = true, .build = build,
};
