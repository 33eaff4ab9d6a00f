/* DenseNet-121 (Huang et al., CVPR 2017) as torchvision has it. Width w: stem w, growth w/2; 64 is the published size. A block is
 * one tensor that every layer reads from the front and appends to. */
#include "models/classifier.h"

#include <stdio.h>

enum { BLOCKS = 4 };
static const int depths[BLOCKS] = {6, 12, 24, 16};

static um_status conv(const um_net *net, um_tid *x, const char *name, um_conv_spec s)
{
    s.init_sd = um_kaiming(net->graph->tensors[*x].c * s.k * s.k);
    return um_nn_conv_strided(net, x, *x, name, &s);
}

/* BN-ReLU-1x1(4 growth)-BN-ReLU-3x3(growth) of the first channels of the block, behind them. */
static um_status layer(const um_net *net, um_tid block, int64_t have, int64_t growth, const char *prefix)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    um_tid x = UM_NONE, place = UM_NONE;
    char name[96];
    UM_TRY(um_graph_slice(g, &x, block, 0, have));
    for (int k = 1; k <= 2; k++) {
        snprintf(name, sizeof name, "%s.norm%d", prefix, k);
        UM_TRY(um_nn_batchnorm(net, &x, x, name, true));
        snprintf(name, sizeof name, "%s.conv%d", prefix, k);
        UM_TRY(conv(net, &x, name, k == 1 ? (um_conv_spec){4 * growth, 1, 1, 0} : (um_conv_spec){growth, 3, 1, 1}));
    }
    UM_TRY(um_graph_slice(g, &place, block, have, growth));
    UM_TRY(um_graph_node(g, UM_OP_COPY, prefix, &x, &place, NULL, false));
done:
    return rc;
}

static um_status dense_block(const um_net *net, um_tid *x, int index, int64_t growth)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    um_tensor in = g->tensors[*x];
    um_tid block = UM_NONE, first = UM_NONE;
    char name[64];
    snprintf(name, sizeof name, "features.denseblock%d", index + 1);
    UM_TRY(um_graph_act(g, &block, name, in.dtype, true, 0, in.h, in.w, in.c + depths[index] * growth));
    UM_TRY(um_graph_slice(g, &first, block, 0, in.c));
    UM_TRY(um_graph_node(g, UM_OP_COPY, name, x, &first, NULL, false));
    for (int k = 0; k < depths[index]; k++) {
        snprintf(name, sizeof name, "features.denseblock%d.denselayer%d", index + 1, k + 1);
        UM_TRY(layer(net, block, in.c + k * growth, growth, name));
    }
    UM_TRY(um_graph_slice(g, x, block, 0, in.c + depths[index] * growth));
done:
    return rc;
}

static um_status transition(const um_net *net, um_tid *x, int index)
{
    um_status rc = UM_OK;
    int64_t half = net->graph->tensors[*x].c / 2;
    char name[64];
    snprintf(name, sizeof name, "features.transition%d.norm", index + 1);
    UM_TRY(um_nn_batchnorm(net, x, *x, name, true));
    snprintf(name, sizeof name, "features.transition%d.conv", index + 1);
    UM_TRY(conv(net, x, name, (um_conv_spec){half, 1, 1, 0}));
    UM_TRY(um_nn_avgpool(net->graph, x, *x, 2));
done:
    return rc;
}

static um_status build(const um_net *net, const um_model_config *config, um_tid x, um_tid *logits)
{
    um_status rc = UM_OK;
    if (config->width % 2)
        return um_fail(UM_E_CONFIG, "model.base_width = %ld: densenet121 needs an even one, its growth is half of it",
                       (long)config->width);
    UM_TRY(um_classifier_input(net, &x, "densenet121", 32));
    UM_TRY(conv(net, &x, "features.conv0", (um_conv_spec){config->width, 7, 2, 3}));
    UM_TRY(um_nn_batchnorm(net, &x, x, "features.norm0", true));
    UM_TRY(um_nn_maxpool(net->graph, &x, x, 3, 2, 1));
    for (int i = 0; i < BLOCKS; i++) {
        UM_TRY(dense_block(net, &x, i, config->width / 2));
        if (i + 1 < BLOCKS)
            UM_TRY(transition(net, &x, i));
    }
    UM_TRY(um_nn_batchnorm(net, &x, x, "features.norm5", true));
    UM_TRY(um_nn_avgpool(net->graph, &x, x, 0));
    UM_TRY(um_nn_linear(net, logits, x, "classifier", config->out_ch, UM_LINEAR_DEFAULT));
done:
    return rc;
}

const um_model_def um_model_densenet121 = {
    .name = "densenet121", .summary = "DenseNet-121 classifier (Huang 2017)", .classifier = true,
    .cam_layer = "features.denseblock4.denselayer16.conv2", .build = build,
};
