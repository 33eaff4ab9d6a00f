#include "models/model.h"

#include <string.h>

#define UM_MODEL(name) extern const um_model_def um_model_##name;
#include "models/models.def"
#undef UM_MODEL

static const um_model_def *const all[] = {
#define UM_MODEL(name) &um_model_##name,
#include "models/models.def"
#undef UM_MODEL
};
enum { N_MODELS = sizeof all / sizeof all[0] };

static const um_opt rows[] = {
    UM_OPT_ENUM_ROW(um_model_options, head, "head", "sigmoid1", "sigmoid1 softmax2",
                    "one logit with a sigmoid, or two with a softmax"),
    UM_OPT_INT_ROW(um_model_options, base_width, "base_width", "64", 1, 1024, "channels",
                   "width of the first level of surrogate and exploiter"),
    UM_OPT_ENUM_ROW(um_model_options, up, "up", "convt", "convt bilinear", "upsampling in U-Net decoders"),
    UM_OPT_BOOL_ROW(um_model_options, bias, "bias", "false", "bias in the convolutions before a BatchNorm (U-Net)"),
    UM_OPT_BOOL_ROW(um_model_options, deep_supervision, "deep_supervision", "false",
                    "U-Net++: a loss on each of its four outputs, averaged"),
};
const um_opt_table um_model_table = UM_OPT_TABLE("model", um_model_options, rows);

um_status um_model_find(const um_model_def **out, const char *name)
{
    const char *names[N_MODELS];
    for (int i = 0; i < N_MODELS; i++) {
        names[i] = all[i]->name;
        if (!strcmp(name, all[i]->name)) {
            *out = all[i];
            return UM_OK;
        }
    }
    const char *near = um_text_nearest(name, names, N_MODELS);
    return um_fail(UM_E_CONFIG, "unknown model \"%s\"%s%s%s; `umed list` shows all", name, near ? "; did you mean \"" : "",
                   near ? near : "", near ? "\"?" : "");
}

const um_model_def *const *um_model_all(int *n)
{
    *n = N_MODELS;
    return all;
}

um_model_config um_model_configure(const um_model_options *o, int64_t in_ch)
{
    return (um_model_config){.width = o->base_width, .in_ch = in_ch, .out_ch = um_head_channels(o->head), .up = (um_up_mode)o->up,
                             .bias = o->bias, .deep_supervision = o->deep_supervision, .dropout = 0.1};
}

void um_model_variant(const um_model_def *model, const um_model_config *c, char out[64])
{
    const char *const words[] = {model->variant & UM_VARIANT_UP ? c->up == UM_UP_CONVT ? "convT" : "bilinear" : NULL,
                                 model->variant & UM_VARIANT_BIAS ? c->bias ? "bias" : "nobias" : NULL,
                                 model->variant & UM_VARIANT_DEEP && c->deep_supervision ? "deep" : NULL};
    size_t at = 0;
    snprintf(out, 64, "plain");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (words[i])
            at += (size_t)snprintf(out + at, 64 - at, "%s%s", at ? "," : "", words[i]);
}

void um_model_read_variant(um_model_config *c, const char *variant)
{
    c->up = strstr(variant, "bilinear") ? UM_UP_BILINEAR : UM_UP_CONVT;
    c->bias = strstr(variant, "bias") && !strstr(variant, "nobias");
    c->deep_supervision = strstr(variant, "deep") != NULL;
}
