/* Attention U-Net (Oktay et al., arXiv:1804.03999; models.md section 4): a U-Net whose skips pass gates. */
#include "models/model.h"

enum { LEVELS = 5 };

/* Convolution with bias, then BatchNorm: entries `index` and `index + 1` of a sequence. */
static um_status conv_bn(const um_net *net, um_tid *out, um_tid x, const char *sequence, int index, int64_t out_ch, int k,
                         bool relu)
{
    um_status rc = UM_OK;
    char name[64];
    um_tid y = UM_NONE;
    snprintf(name, sizeof name, "%s.%d", sequence, index);
    UM_TRY(um_nn_conv(net, &y, x, name, out_ch, k, true));
    snprintf(name, sizeof name, "%s.%d", sequence, index + 1);
    UM_TRY(um_nn_batchnorm(net, out, y, name, relu));
done:
    return rc;
}

static um_status double_conv(const um_net *net, um_tid *x, const char *prefix, int level, int64_t out_ch)
{
    um_status rc = UM_OK;
    char sequence[48];
    snprintf(sequence, sizeof sequence, "%s%d.conv", prefix, level);
    UM_TRY(conv_bn(net, x, *x, sequence, 0, out_ch, 3, true));
    UM_TRY(conv_bn(net, x, *x, sequence, 3, out_ch, 3, true));
done:
    return rc;
}

/* skip * sigmoid(BN(psi(relu(BN(W_g up) + BN(W_x skip))))) */
static um_status gate(const um_net *net, um_tid *out, um_tid up, um_tid skip, int level, int64_t inner)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    char sequence[48];
    um_tid from_up = UM_NONE, from_skip = UM_NONE, m = UM_NONE;
    snprintf(sequence, sizeof sequence, "Att%d.W_g", level);
    UM_TRY(conv_bn(net, &from_up, up, sequence, 0, inner, 1, false));
    snprintf(sequence, sizeof sequence, "Att%d.W_x", level);
    UM_TRY(conv_bn(net, &from_skip, skip, sequence, 0, inner, 1, false));
    UM_TRY(um_nn_add(g, &m, from_up, from_skip));
    UM_TRY(um_nn_act(g, &m, m, UM_ACT_RELU));
    snprintf(sequence, sizeof sequence, "Att%d.psi", level);
    UM_TRY(conv_bn(net, &m, m, sequence, 0, 1, 1, false));
    UM_TRY(um_nn_act(g, &m, m, UM_ACT_SIGMOID));
    UM_TRY(um_nn_gate(g, out, skip, m));
done:
    return rc;
}

/* Level 5 (deepest) to 2: upsample, gate the skip, [skip, up], double convolution. */
static um_status decode(const um_net *net, um_tid *x, um_tid skip, int level)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    um_tensor ts = g->tensors[skip];
    char sequence[48];
    um_tid up = UM_NONE, gated = UM_NONE, cat = UM_NONE;
    snprintf(sequence, sizeof sequence, "Up%d.up", level);
    UM_TRY(um_nn_upsample(g, &up, *x, UM_UPSAMPLE_NEAREST));
    UM_TRY(conv_bn(net, &up, up, sequence, 1, ts.c, 3, true));
    UM_TRY(um_nn_fit(g, &up, up, ts.h, ts.w));
    UM_TRY(gate(net, &gated, up, skip, level, ts.c / 2));
    snprintf(sequence, sizeof sequence, "Up_conv%d", level);
    UM_TRY(um_graph_concat(g, &cat, gated, up, sequence));
    UM_TRY(double_conv(net, &cat, "Up_conv", level, ts.c));
    *x = cat;
done:
    return rc;
}

static um_status build(const um_net *net, const um_model_config *config, um_tid x, um_tid *logits)
{
    um_status rc = UM_OK;
    um_tid skip[LEVELS];
    const um_tensor *in = &net->graph->tensors[x];
    if (in->h < 16 || in->w < 16)
        return um_fail(UM_E_DATA, "an Attention U-Net needs images of at least 16x16 pixels; these are %ldx%ld", (long)in->h,
                       (long)in->w);
    if (config->width % 2)
        return um_fail(UM_E_CONFIG, "model.base_width = %ld: an Attention U-Net needs an even width", (long)config->width);
    for (int i = 0; i < LEVELS; i++) {
        if (i)
            UM_TRY(um_nn_maxpool(net->graph, &x, x, 2, 2, 0));
        UM_TRY(double_conv(net, &x, "Conv", i + 1, config->width << i));
        skip[i] = x;
    }
    for (int level = LEVELS; level > 1; level--)
        UM_TRY(decode(net, &x, skip[level - 2], level));
    UM_TRY(um_nn_conv(net, logits, x, "Conv_1x1", config->out_ch, 1, true));
done:
    return rc;
}

const um_model_def um_model_attention_unet = {
    .name = "attention_unet",
    .summary = "Attention U-Net (Oktay 2018): gates on the skip connections",
    .exploiter = true,
    .build = build,
};
