/* U-Net++ (Zhou et al., arXiv:1807.10165; models.md section 3): nested dense skips. Its width is half of the U-Net's. Nodes X(i,j):
 * level i, column j; X(i,j) sees [X(i,0), ..., X(i,j-1), up(X(i+1,j-1))]. */
#include "models/model.h"

enum { LEVELS = 5 };

typedef struct nodes {
    const um_net *net;
    int64_t width; /* of level 0 */
    um_tid at[LEVELS][LEVELS];
} nodes;

/* conv1, bn1, ReLU, conv2, bn2, ReLU. */
static um_status double_conv(const um_net *net, um_tid *x, int i, int j, int64_t out_ch)
{
    um_status rc = UM_OK;
    for (int k = 1; k <= 2; k++) {
        char name[64];
        um_tid y = UM_NONE;
        snprintf(name, sizeof name, "conv%d_%d.conv%d", i, j, k);
        UM_TRY(um_nn_conv(net, &y, *x, name, out_ch, 3, true));
        snprintf(name, sizeof name, "conv%d_%d.bn%d", i, j, k);
        UM_TRY(um_nn_batchnorm(net, x, y, name, true));
    }
done:
    return rc;
}

static um_status node(nodes *n, um_tid image, int i, int j)
{
    um_status rc = UM_OK;
    um_graph *g = n->net->graph;
    um_tid x = i ? n->at[i > 0 ? i - 1 : 0][0] : image, up = UM_NONE;
    if (j == 0) {
        if (i)
            UM_TRY(um_nn_maxpool(g, &x, x, 2, 2, 0));
    } else {
        char name[64];
        um_tensor like = g->tensors[n->at[i][0]];
        snprintf(name, sizeof name, "conv%d_%d", i, j);
        UM_TRY(um_nn_upsample(g, &up, n->at[i + 1][j - 1], UM_UPSAMPLE_BILINEAR));
        UM_TRY(um_nn_fit(g, &up, up, like.h, like.w));
        um_tid parts[LEVELS];
        for (int k = 0; k <= j; k++)
            parts[k] = k < j ? n->at[i][k] : up;
        UM_TRY(um_graph_concat_all(g, &x, parts, j + 1, name));
    }
    UM_TRY(double_conv(n->net, &x, i, j, n->width << i));
    n->at[i][j] = x;
done:
    return rc;
}

/* final, or final1 to final4 on X(0,1) to X(0,4), of which the last one counts. */
static um_status heads(const nodes *n, const um_model_config *config, um_tid *logits)
{
    um_status rc = UM_OK;
    if (!config->deep_supervision)
        return um_nn_conv(n->net, logits, n->at[0][LEVELS - 1], "final", config->out_ch, 1, true);
    for (int j = 1; j < LEVELS; j++) {
        char name[64];
        snprintf(name, sizeof name, "final%d", j);
        UM_TRY(um_nn_conv(n->net, logits, n->at[0][j], name, config->out_ch, 1, true));
        if (n->net->aux && j < LEVELS - 1)
            n->net->aux->logits[n->net->aux->n++] = *logits;
    }
done:
    return rc;
}

static um_status build(const um_net *net, const um_model_config *config, um_tid x, um_tid *logits)
{
    um_status rc = UM_OK;
    nodes n = {.net = net, .width = config->width / 2};
    const um_tensor *in = &net->graph->tensors[x];
    if (in->h < 16 || in->w < 16)
        return um_fail(UM_E_DATA, "a U-Net++ needs images of at least 16x16 pixels; these are %ldx%ld", (long)in->h, (long)in->w);
    if (config->width % 2)
        return um_fail(UM_E_CONFIG, "model.base_width = %ld: U-Net++ is half as wide as the U-Net and needs an even width",
                       (long)config->width);
    for (int diagonal = 0; diagonal < LEVELS; diagonal++) /* in this order little has to be kept */
        for (int j = 0; j <= diagonal; j++)
            UM_TRY(node(&n, x, diagonal - j, j));
    UM_TRY(heads(&n, config, logits));
done:
    return rc;
}

const um_model_def um_model_unetpp = {
    .name = "unetpp", .summary = "U-Net++ (Zhou 2018): nested dense skip connections", .exploiter = true, .build = build,
    .variant = UM_VARIANT_DEEP,
};
