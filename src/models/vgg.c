/* VGG-16 with BatchNorm (Simonyan & Zisserman, ICLR 2015; torchvision's vgg16_bn), its three linear layers replaced by global
 * average pooling and one: 15.2 instead of 138 million parameters, and images of any size from 32 pixels. Width w: 64 is the
 * published size. */
#include "models/classifier.h"

#include <stdio.h>

static um_status build(const um_net *net, const um_model_config *config, um_tid x, um_tid *logits)
{
    static const int depths[] = {2, 2, 3, 3, 3}, scale[] = {1, 2, 4, 8, 8};
    um_status rc = UM_OK;
    int index = 0; /* in torchvision's list of modules, where ReLU and pooling count too */
    UM_TRY(um_classifier_input(net, &x, "vgg16_bn", 32));
    for (int stage = 0; stage < 5; stage++) {
        for (int k = 0; k < depths[stage]; k++) {
            int64_t out_ch = config->width * scale[stage];
            char name[32];
            snprintf(name, sizeof name, "features.%d", index);
            UM_TRY(um_nn_conv_strided(net, &x, x, name,
                                      &(um_conv_spec){out_ch, 3, 1, 1, .bias = true, .init_sd = um_kaiming(out_ch * 9)}));
            snprintf(name, sizeof name, "features.%d", index + 1);
            UM_TRY(um_nn_batchnorm(net, &x, x, name, true));
            index += 3;
        }
        UM_TRY(um_nn_maxpool(net->graph, &x, x, 2, 2, 0));
        index++;
    }
    UM_TRY(um_nn_avgpool(net->graph, &x, x, 0));
    UM_TRY(um_nn_linear(net, logits, x, "classifier", config->out_ch, UM_LINEAR_DEFAULT));
done:
    return rc;
}

const um_model_def um_model_vgg16_bn = {
    .name = "vgg16_bn", .summary = "VGG-16 classifier with BatchNorm and global average pooling", .classifier = true,
    .cam_layer = "features.40", .build = build,
};
