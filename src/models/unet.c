/* U-Net (models.md section 2) and the CDC U-Net of the contour generator (section 5): one topology, two kinds of encoder layer. */
#include "models/model.h"

enum { DEPTH = 4 };

typedef struct builder {
    const um_net *net;
    const um_model_config *config;
    bool cdc; /* the convolutions of the next block are central-difference ones */
} builder;

static um_status conv_bn_relu(const builder *b, um_tid *x, const char *block, int conv, int64_t out_ch)
{
    um_status rc = UM_OK;
    char name[64];
    um_tid y = UM_NONE;
    snprintf(name, sizeof name, "%s.%d", block, conv);
    if (b->cdc)
        UM_TRY(um_nn_cdc_conv(b->net, &y, *x, name, out_ch, b->config->bias, &b->config->cdc));
    else
        UM_TRY(um_nn_conv(b->net, &y, *x, name, out_ch, 3, b->config->bias));
    snprintf(name, sizeof name, "%s.%d", block, conv + 1);
    UM_TRY(um_nn_batchnorm(b->net, x, y, name, true));
done:
    return rc;
}

/* DC(a, mid, out): twice convolution 3x3, BatchNorm, ReLU. */
static um_status double_conv(const builder *b, um_tid *x, const char *prefix, int64_t mid, int64_t out_ch)
{
    um_status rc = UM_OK;
    char block[48];
    snprintf(block, sizeof block, "%s.double_conv", prefix);
    UM_TRY(conv_bn_relu(b, x, block, 0, mid));
    UM_TRY(conv_bn_relu(b, x, block, 3, out_ch));
done:
    return rc;
}

static um_status encode(builder *b, um_tid x, um_tid level[DEPTH + 1])
{
    um_status rc = UM_OK;
    bool cdc = b->config->cdc.mode != UM_CDC_NONE, bilinear = b->config->up == UM_UP_BILINEAR;
    for (int i = 0; i <= DEPTH; i++) {
        char prefix[32] = "inc";
        int64_t ch = b->config->width << i;
        if (i) {
            snprintf(prefix, sizeof prefix, "down%d.maxpool_conv.1", i);
            UM_TRY(um_nn_maxpool(b->net->graph, &x, x, 2, 2, 0));
        }
        if (i == DEPTH && bilinear)
            ch /= 2;
        b->cdc = cdc && (i < DEPTH || b->config->cdc_bottleneck);
        UM_TRY(double_conv(b, &x, prefix, ch, ch));
        level[i] = x;
    }
    b->cdc = false;
done:
    return rc;
}

/* One decoder stage: upsample, fit to the skip, [skip, up], double convolution. */
static um_status decode(const builder *b, um_tid *x, um_tid skip, int stage)
{
    um_status rc = UM_OK;
    um_graph *g = b->net->graph;
    um_tensor ts = g->tensors[skip];
    bool bilinear = b->config->up == UM_UP_BILINEAR;
    int64_t ch = b->config->width << (DEPTH - stage), out_ch = bilinear && stage < DEPTH ? ch / 2 : ch;
    char prefix[32], up_name[32];
    um_tid up = UM_NONE, cat = UM_NONE;
    snprintf(prefix, sizeof prefix, "up%d.conv", stage);
    snprintf(up_name, sizeof up_name, "up%d.up", stage);
    if (bilinear)
        UM_TRY(um_nn_upsample(g, &up, *x, UM_UPSAMPLE_BILINEAR));
    else
        UM_TRY(um_nn_conv_transpose(b->net, &up, *x, up_name, ch));
    UM_TRY(um_nn_fit(g, &up, up, ts.h, ts.w));
    UM_TRY(um_graph_concat(g, &cat, skip, up, prefix));
    int64_t mid = bilinear ? (ts.c + g->tensors[up].c) / 2 : ch;
    UM_TRY(double_conv(b, &cat, prefix, mid, out_ch));
    *x = cat;
done:
    return rc;
}

static um_status build(const um_net *net, const um_model_config *config, um_tid x, um_tid *logits)
{
    um_status rc = UM_OK;
    builder b = {.net = net, .config = config};
    um_tid level[DEPTH + 1];
    const um_tensor *in = &net->graph->tensors[x];
    if (in->h < 16 || in->w < 16)
        return um_fail(UM_E_DATA, "a U-Net needs images of at least 16x16 pixels; these are %ldx%ld", (long)in->h, (long)in->w);
    if (config->up == UM_UP_BILINEAR && config->width % 2)
        return um_fail(UM_E_CONFIG, "a U-Net with bilinear upsampling halves its width, which must be even, not %ld",
                       (long)config->width);
    UM_REQUIRE(in->c == config->in_ch);
    UM_TRY(encode(&b, x, level));
    x = level[DEPTH];
    for (int stage = 1; stage <= DEPTH; stage++)
        UM_TRY(decode(&b, &x, level[DEPTH - stage], stage));
    UM_TRY(um_nn_conv(net, logits, x, "outc.conv", config->out_ch, 1, true));
done:
    return rc;
}

static um_status build_unet(const um_net *net, const um_model_config *config, um_tid x, um_tid *logits)
{
    um_model_config plain = *config;
    plain.cdc.mode = UM_CDC_NONE;
    return build(net, &plain, x, logits);
}

const um_model_def um_model_unet = {
    .name = "unet", .summary = "U-Net (Ronneberger 2015): 4 levels, double convolutions with BatchNorm", .exploiter = true,
    .build = build_unet, .variant = UM_VARIANT_UP | UM_VARIANT_BIAS,
};
const um_model_def um_model_cdc_unet = {
    .name = "cdc_unet", .summary = "U-Net with central-difference convolutions in the encoder (UMed's contour generator)",
    .build = build, .variant = UM_VARIANT_UP | UM_VARIANT_BIAS,
};
