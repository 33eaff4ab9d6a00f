/* TransUNet (Chen et al., arXiv:2102.04306; models.md section 6): a weight-standardised ResNetV2 without its last stage, a vision
 * transformer on its output, and a decoder with skips from the ResNet. Sizes follow the width w of the U-Net (models.md section 8);
 * w = 64 is R50-ViT-B/16. */
#include "models/transunet.h"

#include <math.h>

#define HYBRID "transformer.embeddings.hybrid_model"

um_transunet_size um_transunet_size_of(int64_t w)
{
    bool full = w >= 32;
    int64_t heads = llround(3 * (double)w / 16);
    return (um_transunet_size){
        .width = w, .hidden = 12 * w, .heads = heads > 1 ? heads : 1, .groups = w / 2, .layers = full ? 12 : 4,
        .units = {full ? 3 : 1, full ? 4 : 1, full ? 9 : 1},
    };
}

typedef struct builder {
    const um_net *net;
    um_transunet_size size;
    double dropout;
    um_tid skip[3]; /* deepest first: sides s/8, s/4, s/2 */
} builder;

static um_status ws_norm(const builder *b, um_tid *x, const char *prefix, const char *conv, const char *norm, int64_t out_ch, int k,
                         int stride)
{
    um_status rc = UM_OK;
    bool projection = norm[2] == '_'; /* gn_proj */
    char name[96];
    um_tid y = UM_NONE;
    snprintf(name, sizeof name, "%s.%s", prefix, conv);
    UM_TRY(um_nn_ws_conv(b->net, &y, *x, name, out_ch, k, stride));
    snprintf(name, sizeof name, "%s.%s", prefix, norm);
    UM_TRY(um_nn_norm(b->net, x, y, name, projection ? out_ch : b->size.groups, projection ? 1e-5 : 1e-6));
done:
    return rc;
}

/* relu(residual + three convolutions of x). */
static um_status unit(const builder *b, um_tid *x, const char *prefix, int64_t mid, int64_t out_ch, int stride)
{
    um_status rc = UM_OK;
    um_graph *g = b->net->graph;
    um_tid residual = *x, y = *x;
    if (stride != 1 || g->tensors[*x].c != out_ch)
        UM_TRY(ws_norm(b, &residual, prefix, "downsample", "gn_proj", out_ch, 1, stride));
    UM_TRY(ws_norm(b, &y, prefix, "conv1", "gn1", mid, 1, 1));
    UM_TRY(um_nn_act(g, &y, y, UM_ACT_RELU));
    UM_TRY(ws_norm(b, &y, prefix, "conv2", "gn2", mid, 3, stride));
    UM_TRY(um_nn_act(g, &y, y, UM_ACT_RELU));
    UM_TRY(ws_norm(b, &y, prefix, "conv3", "gn3", out_ch, 1, 1));
    UM_TRY(um_nn_add(g, &y, residual, y));
    UM_TRY(um_nn_act(g, x, y, UM_ACT_RELU));
done:
    return rc;
}

static um_status block(const builder *b, um_tid *x, int index)
{
    um_status rc = UM_OK;
    int64_t mid = b->size.width << index;
    for (int u = 1; u <= b->size.units[index]; u++) {
        char prefix[80];
        snprintf(prefix, sizeof prefix, HYBRID ".body.block%d.unit%d", index + 1, u);
        UM_TRY(unit(b, x, prefix, mid, 4 * mid, index > 0 && u == 1 ? 2 : 1));
    }
done:
    return rc;
}

/* The skip of block 1 is padded at the right and the bottom to a quarter of the image; the main path goes on without. */
static um_status resnet(builder *b, um_tid *x)
{
    um_status rc = UM_OK;
    um_graph *g = b->net->graph;
    int64_t h = g->tensors[*x].h, w = g->tensors[*x].w;
    UM_TRY(ws_norm(b, x, HYBRID ".root", "conv", "gn", b->size.width, 7, 2));
    UM_TRY(um_nn_act(g, x, *x, UM_ACT_RELU));
    b->skip[2] = *x;
    UM_TRY(um_nn_maxpool(g, x, *x, 3, 2, 0));
    UM_TRY(block(b, x, 0));
    UM_TRY(um_nn_window(g, &b->skip[1], *x, 0, 0, h / 4, w / 4));
    UM_TRY(block(b, x, 1));
    b->skip[0] = *x;
    UM_TRY(block(b, x, 2));
done:
    return rc;
}

static um_status normed(const builder *b, um_tid *out, um_tid x, const char *prefix, const char *norm)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", prefix, norm);
    return um_nn_norm(b->net, out, x, name, 0, 1e-6);
}

/* x += attention(LN(x)); x += MLP(LN(x)) */
static um_status layer(const builder *b, um_tid *x, int index)
{
    um_status rc = UM_OK;
    um_graph *g = b->net->graph;
    char prefix[64], name[96];
    um_tid y = UM_NONE;
    snprintf(prefix, sizeof prefix, "transformer.encoder.layer.%d", index);
    UM_TRY(normed(b, &y, *x, prefix, "attention_norm"));
    snprintf(name, sizeof name, "%s.attn", prefix);
    UM_TRY(um_nn_self_attention(b->net, &y, y, name, b->size.heads));
    UM_TRY(um_nn_add(g, x, *x, y));
    UM_TRY(normed(b, &y, *x, prefix, "ffn_norm"));
    snprintf(name, sizeof name, "%s.ffn.fc1", prefix);
    UM_TRY(um_nn_linear(b->net, &y, y, name, 4 * b->size.hidden, UM_LINEAR_XAVIER));
    UM_TRY(um_nn_act(g, &y, y, UM_ACT_GELU));
    UM_TRY(um_nn_dropout(b->net, &y, y, name, b->dropout));
    snprintf(name, sizeof name, "%s.ffn.fc2", prefix);
    UM_TRY(um_nn_linear(b->net, &y, y, name, b->size.hidden, UM_LINEAR_XAVIER));
    UM_TRY(um_nn_dropout(b->net, &y, y, name, b->dropout));
    UM_TRY(um_nn_add(g, x, *x, y));
done:
    return rc;
}

static um_status transformer(const builder *b, um_tid *x)
{
    um_status rc = UM_OK;
    UM_TRY(um_nn_conv(b->net, x, *x, "transformer.embeddings.patch_embeddings", b->size.hidden, 1, true));
    UM_TRY(um_nn_embed(b->net, x, *x, "transformer.embeddings.position_embeddings", 0));
    UM_TRY(um_nn_dropout(b->net, x, *x, "transformer.embeddings", b->dropout));
    for (int i = 0; i < b->size.layers; i++)
        UM_TRY(layer(b, x, i));
    UM_TRY(normed(b, x, *x, "transformer.encoder", "encoder_norm"));
done:
    return rc;
}

/* Convolution without bias, BatchNorm, ReLU: NAME.0 and NAME.1. */
static um_status conv_relu(const builder *b, um_tid *x, const char *prefix, int64_t out_ch)
{
    um_status rc = UM_OK;
    char name[64];
    um_tid y = UM_NONE;
    snprintf(name, sizeof name, "%s.0", prefix);
    UM_TRY(um_nn_conv(b->net, &y, *x, name, out_ch, 3, false));
    snprintf(name, sizeof name, "%s.1", prefix);
    UM_TRY(um_nn_batchnorm(b->net, x, y, name, true));
done:
    return rc;
}

static um_status decode(const builder *b, um_tid *x)
{
    const int64_t w = b->size.width, widths[] = {4 * w, 2 * w, w, w / 4};
    um_status rc = UM_OK;
    um_graph *g = b->net->graph;
    UM_TRY(conv_relu(b, x, "decoder.conv_more", 8 * w));
    for (int i = 0; i < 4; i++) {
        char name[64];
        um_tid up = UM_NONE;
        UM_TRY(um_nn_upsample(g, &up, *x, UM_UPSAMPLE_BILINEAR));
        snprintf(name, sizeof name, "decoder.blocks.%d", i);
        if (i < 3)
            UM_TRY(um_graph_concat(g, &up, up, b->skip[i], name));
        for (int k = 1; k <= 2; k++) {
            snprintf(name, sizeof name, "decoder.blocks.%d.conv%d", i, k);
            UM_TRY(conv_relu(b, &up, name, widths[i]));
        }
        *x = up;
    }
done:
    return rc;
}

static um_status build(const um_net *net, const um_model_config *config, um_tid x, um_tid *logits)
{
    um_status rc = UM_OK;
    builder b = {.net = net, .size = um_transunet_size_of(config->width), .dropout = config->dropout};
    const um_tensor *in = &net->graph->tensors[x];
    if (in->h != in->w || in->h % 16 || in->h < 32)
        return um_fail(UM_E_DATA, "TransUNet needs square images with a side that is a multiple of 16, at least 32; these are %ldx%ld",
                       (long)in->h, (long)in->w);
    if (config->width % 4 || b.size.hidden % b.size.heads || (in->c != 1 && in->c != 3))
        return um_fail(UM_E_CONFIG, "model.base_width = %ld with %ld channels: TransUNet needs a multiple of 4 whose twelvefold its %ld heads "
                       "divide, and 1 or 3 channels", (long)config->width, (long)in->c, (long)b.size.heads);
    if (in->c == 1)
        UM_TRY(um_nn_replicate(net->graph, &x, x, 3));
    UM_TRY(resnet(&b, &x));
    UM_TRY(transformer(&b, &x));
    UM_TRY(decode(&b, &x));
    UM_TRY(um_nn_conv(net, logits, x, "segmentation_head.0", config->out_ch, 3, true));
done:
    return rc;
}

typedef struct um_transunet_options {
    char pretrained[UM_OPT_TEXT];
} um_transunet_options;

static const um_opt rows[] = {
    {"pretrained", UM_OPT_T_TEXT, offsetof(um_transunet_options, pretrained), "", 0, 0, NULL, "",
     "R50+ViT-B_16.npz to start from (its content counts, not its path); empty: from scratch", .run_only = true},
};
static const um_opt_table table = UM_OPT_TABLE("transunet", um_transunet_options, rows);

static const char *weights(const um_settings *settings)
{
    const um_transunet_options *o = um_settings_get(settings, "transunet");
    return o ? o->pretrained : "";
}

const um_model_def um_model_transunet = {
    .name = "transunet", .summary = "TransUNet (Chen 2021): ResNet, vision transformer, decoder with skips", .exploiter = true, .build = build,
    .table = &table, .weights = weights, .load = um_transunet_load,
};
