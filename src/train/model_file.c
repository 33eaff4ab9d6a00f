/* Model files: a network with its weights under PyTorch names (models.md section 9). */
#include <string.h>

#include "base/mem.h"
#include "io/checkpoint.h"
#include "train/checkpoint.h"
#include "train/net_tensors.h"

um_status um_model_save(const um_segmenter *s, const char *path, int64_t epoch, uint64_t seed)
{
    um_status rc = UM_OK;
    um_net_tensors t = {0};
    char variant[64];
    um_model_variant(s->config.model, &s->config.net, variant);
    um_checkpoint_attr attrs[] = {
        {"arch", s->config.model->name, 0}, {"variant", variant, 0},           {"w", NULL, s->config.net.width},
        {"s", NULL, s->config.h},           {"in_ch", NULL, s->config.net.in_ch}, {"out_ch", NULL, s->config.net.out_ch},
        {"epoch", NULL, epoch},             {"seed", NULL, (int64_t)seed},
    };
    UM_TRY(um_net_tensors_add(&t, s->params, NULL, UM_NET_TENSORS_MODEL, true));
    um_checkpoint c = {.state = t.list, .n_state = t.n, .attrs = attrs, .n_attrs = UM_COUNT(attrs)};
    UM_TRY(um_checkpoint_save(path, &c));
done:
    um_net_tensors_free(&t);
    return rc;
}

static um_status read_config(const char *path, um_segmenter_config *config)
{
    um_status rc = UM_OK;
    um_text arch = {0}, variant = {0};
    UM_TRY(um_checkpoint_text(path, "arch", &arch));
    UM_TRY(um_checkpoint_text(path, "variant", &variant));
    UM_TRY(um_checkpoint_int(path, "w", &config->net.width));
    UM_TRY(um_checkpoint_int(path, "in_ch", &config->net.in_ch));
    UM_TRY(um_checkpoint_int(path, "out_ch", &config->net.out_ch));
    rc = um_model_find(&config->model, um_text_get(&arch));
    if (rc != UM_OK) {
        rc = um_fail(UM_E_DATA, "%s holds no network that this version knows (arch \"%s\")", path, um_text_get(&arch));
        goto done;
    }
    um_model_read_variant(&config->net, um_text_get(&variant));
    config->net.cdc = (um_cdc){.mode = strcmp(config->model->name, "cdc_unet") ? UM_CDC_NONE : UM_CDC_DUAL, .init_wc_scale = 0.25};
    config->net.cdc_bottleneck = true;
    if (config->net.width < 1 || config->net.width > 4096 || config->net.in_ch < 1 || config->net.in_ch > 64 || config->net.out_ch < 1 ||
        config->net.out_ch > 64)
        rc = um_fail(UM_E_DATA, "%s: width %ld, in_ch %ld or out_ch %ld is out of range", path, (long)config->net.width,
                     (long)config->net.in_ch, (long)config->net.out_ch);
done:
    um_text_free(&arch);
    um_text_free(&variant);
    return rc;
}

um_status um_model_load(um_segmenter **out, um_backend *backend, const char *path, int64_t h, int64_t w, int64_t max_batch)
{
    um_status rc = UM_OK;
    um_segmenter_config config = {.h = h, .w = w, .max_batch = max_batch, .lanes = 1};
    um_segmenter *s = NULL;
    um_net_tensors t = {0};
    UM_TRY(read_config(path, &config));
    UM_TRY(um_segmenter_create(&s, backend, &config));
    UM_TRY(um_net_tensors_add(&t, s->params, NULL, UM_NET_TENSORS_MODEL, false));
    um_checkpoint c = {.state = t.list, .n_state = t.n};
    UM_TRY(um_checkpoint_load(path, &c, NULL));
    size_t at = 0, at_adam = 0;
    UM_TRY(um_net_tensors_store(&t, &at, &at_adam, s->params));
    *out = s;
    s = NULL;
done:
    um_net_tensors_free(&t);
    um_segmenter_free(s);
    return rc;
}
