/* ResNet-18 and ResNet-50 (He et al., CVPR 2016) as torchvision has them: the stride of a bottleneck is on its 3x3. Width w: 64 is
 * the published size. */
#include "models/classifier.h"

#include <stdio.h>

typedef struct builder {
    const um_net *net;
    bool bottleneck;
} builder;

/* Convolution without bias, BatchNorm, ReLU when relu: PREFIX + CONV and PREFIX + NORM. */
static um_status conv_norm(const um_net *net, um_tid *x, const char *prefix, const char *conv, const char *norm, um_conv_spec s,
                           bool relu)
{
    um_status rc = UM_OK;
    char name[96];
    um_tid y = UM_NONE;
    s.init_sd = um_kaiming(s.out_ch * s.k * s.k);
    snprintf(name, sizeof name, "%s%s", prefix, conv);
    UM_TRY(um_nn_conv_strided(net, &y, *x, name, &s));
    snprintf(name, sizeof name, "%s%s", prefix, norm);
    UM_TRY(um_nn_batchnorm(net, x, y, name, relu));
done:
    return rc;
}

static um_status block(const builder *b, um_tid *x, const char *prefix, int64_t mid, int stride)
{
    um_status rc = UM_OK;
    um_graph *g = b->net->graph;
    int64_t out = b->bottleneck ? 4 * mid : mid;
    um_tid skip = *x, y = *x;
    if (b->bottleneck) {
        UM_TRY(conv_norm(b->net, &y, prefix, ".conv1", ".bn1", (um_conv_spec){mid, 1, 1, 0}, true));
        UM_TRY(conv_norm(b->net, &y, prefix, ".conv2", ".bn2", (um_conv_spec){mid, 3, stride, 1}, true));
        UM_TRY(conv_norm(b->net, &y, prefix, ".conv3", ".bn3", (um_conv_spec){out, 1, 1, 0}, false));
    } else {
        UM_TRY(conv_norm(b->net, &y, prefix, ".conv1", ".bn1", (um_conv_spec){mid, 3, stride, 1}, true));
        UM_TRY(conv_norm(b->net, &y, prefix, ".conv2", ".bn2", (um_conv_spec){mid, 3, 1, 1}, false));
    }
    if (stride != 1 || g->tensors[*x].c != out)
        UM_TRY(conv_norm(b->net, &skip, prefix, ".downsample.0", ".downsample.1", (um_conv_spec){out, 1, stride, 0}, false));
    UM_TRY(um_nn_add(g, &y, y, skip));
    UM_TRY(um_nn_act(g, x, y, UM_ACT_RELU));
done:
    return rc;
}

static um_status build(const um_net *net, const um_model_config *config, um_tid x, um_tid *logits, bool bottleneck)
{
    static const int depths[2][4] = {{2, 2, 2, 2}, {3, 4, 6, 3}};
    um_status rc = UM_OK;
    builder b = {net, bottleneck};
    UM_TRY(um_classifier_input(net, &x, bottleneck ? "resnet50" : "resnet18", 32));
    UM_TRY(conv_norm(net, &x, "", "conv1", "bn1", (um_conv_spec){config->width, 7, 2, 3}, true));
    UM_TRY(um_nn_maxpool(net->graph, &x, x, 3, 2, 1));
    for (int stage = 0; stage < 4; stage++)
        for (int k = 0; k < depths[bottleneck][stage]; k++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "layer%d.%d", stage + 1, k);
            UM_TRY(block(&b, &x, prefix, config->width << stage, stage > 0 && k == 0 ? 2 : 1));
        }
    UM_TRY(um_nn_avgpool(net->graph, &x, x, 0));
    UM_TRY(um_nn_linear(net, logits, x, "fc", config->out_ch, UM_LINEAR_DEFAULT));
done:
    return rc;
}

static um_status build18(const um_net *net, const um_model_config *config, um_tid x, um_tid *logits)
{
    return build(net, config, x, logits, false);
}

static um_status build50(const um_net *net, const um_model_config *config, um_tid x, um_tid *logits)
{
    return build(net, config, x, logits, true);
}

const um_model_def um_model_resnet18 = {
    .name = "resnet18",
    .summary = "ResNet-18 classifier (He 2016)",
    .classifier = true,
    .cam_layer = "layer4.1.conv2",
    .build = build18,
};
const um_model_def um_model_resnet50 = {
    .name = "resnet50",
    .summary = "ResNet-50 classifier (He 2016)",
    .classifier = true,
    .cam_layer = "layer4.2.conv3",
    .build = build50,
};
