/* Networks by name: segmentation, and classifiers. A network is one function that appends its layers to a graph; one line in models.def registers
 * it. Names, shapes and counts follow models.md; a checkpoint loads into the PyTorch network of the same name. */
#ifndef UM_MODELS_MODEL_H
#define UM_MODELS_MODEL_H

#include "base/opt.h"
#include "nn/layers.h"

typedef enum um_head { UM_HEAD_SIGMOID1, UM_HEAD_SOFTMAX2 } um_head;
typedef enum um_up_mode { UM_UP_CONVT, UM_UP_BILINEAR } um_up_mode;

/* Option group "model". */
typedef struct um_model_options {
    int head;           /* um_head: channels of the logits */
    int64_t base_width; /* w; widths double at each of the 4 levels */
    int up;             /* um_up_mode */
    bool bias;          /* bias in the double convolutions (older reference) */
    bool deep_supervision;
} um_model_options;
extern const um_opt_table um_model_table;

/* What one instance needs to know. */
typedef struct um_model_config {
    int64_t width, in_ch, out_ch;
    um_up_mode up;
    bool bias;
    um_cdc cdc;          /* encoder convolutions; used by cdc_unet */
    bool cdc_bottleneck; /* also in the deepest level */
    bool deep_supervision; /* unetpp */
    double dropout;        /* transunet: of embeddings and MLPs, in training */
} um_model_config;

/* What a network's variant attribute in a checkpoint is made of. */
enum { UM_VARIANT_UP = 1, UM_VARIANT_BIAS = 2, UM_VARIANT_DEEP = 4 };

/* Where a network's loader of pretrained weights finds arrays by key. */
typedef struct um_weight_source {
    void *self;
    const char *path; /* for messages */
    /* C order, as stored; *out is owned by the caller (um_free). Errors: UM_E_DATA naming path and key. */
    um_status (*read)(void *self, const char *key, double **out, int *n_dims, int64_t dims[8]);
} um_weight_source;

typedef struct um_model_def {
    const char *name, *summary;
    bool exploiter; /* offered as an exploiter (the others are generators) */
    bool classifier;       /* scores [N,1,1,out_ch] for images (medlocker), no logits per pixel */
    const char *cam_layer; /* classifiers: the activation that Grad-CAM looks at; NULL: it has none */
    /* x: [N,H,W,in_ch], H and W at least 16 (transunet: equal multiples of 16). logits: [N,H,W,out_ch]. Errors: UM_E_DATA when the side is too small. */
    um_status (*build)(const um_net *net, const um_model_config *config, um_tid x, um_tid *logits);
    unsigned variant;          /* UM_VARIANT_*: which members of the configuration it looks at */
    const um_opt_table *table; /* its own option group; NULL: none. Part of the keys of its own cells only */
    /* Pretrained weights; NULL: it takes none. weights: the file that the settings name, "" for none. load: all tensors of the set
     * that the file has, or none of them; adds a line per tensor to `table`. */
    const char *(*weights)(const um_settings *settings);
    um_status (*load)(um_params *params, const um_weight_source *from, um_text *table);
} um_model_def;

/* Errors: UM_E_CONFIG naming the nearest match. out: borrowed for ever. */
um_status um_model_find(const um_model_def **out, const char *name);
const um_model_def *const *um_model_all(int *n);

/* Config from options: in_ch channels, out_ch from the head. */
um_model_config um_model_configure(const um_model_options *o, int64_t in_ch);
static inline int64_t um_head_channels(int head) { return head == UM_HEAD_SOFTMAX2 ? 2 : 1; }

/* "convT,nobias", "bilinear,bias", "deep", "plain": the variant attribute of a checkpoint, and back. */
void um_model_variant(const um_model_def *model, const um_model_config *c, char out[64]);
void um_model_read_variant(um_model_config *c, const char *variant);

#endif
