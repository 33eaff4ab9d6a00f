/* TransUNet: what its builder and its loader of pretrained weights share. Private to src/models. */
#ifndef UM_MODELS_TRANSUNET_H
#define UM_MODELS_TRANSUNET_H

#include "models/model.h"

typedef struct um_transunet_size {
    int64_t width, hidden, heads, groups;
    int layers;   /* of the transformer */
    int units[3]; /* of the ResNet's blocks */
} um_transunet_size;

/* Sizes at width w (models.md section 8). */
um_transunet_size um_transunet_size_of(int64_t w);

/* um_model_def.load: from R50+ViT-B_16.npz, or a file like it at another width. */
um_status um_transunet_load(um_params *params, const um_weight_source *from, um_text *table);

#endif
