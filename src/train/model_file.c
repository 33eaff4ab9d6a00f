/* Model files: a network with its weights under PyTorch names (models.md section 9). */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/checkpoint.h"
#include "train/checkpoint.h"
#include "train/net_tensors.h"

/* "dual", "theta 0.7" or "none": the central-difference convolutions of a cdc_unet. */
static void cdc_text(const um_cdc *cdc, char out[64])
{
    if (cdc->mode == UM_CDC_THETA)
        snprintf(out, 64, "theta %.17g", cdc->theta);
    else
        snprintf(out, 64, "%s", cdc->mode == UM_CDC_DUAL ? "dual" : "none");
}

static bool cdc_parse(um_cdc *out, const char *text)
{
    *out = (um_cdc){.mode = strcmp(text, "dual") == 0 ? UM_CDC_DUAL : UM_CDC_NONE, .init_wc_scale = 0.25};
    if (out->mode == UM_CDC_DUAL || strcmp(text, "none") == 0)
        return true;
    out->mode = UM_CDC_THETA;
    return strncmp(text, "theta ", 6) == 0 && um_text_parse_real(text + 6, &out->theta);
}

static bool has_cdc(const um_model_def *model)
{
    return strcmp(model->name, "cdc_unet") == 0;
}

/* Three numbers as text, and back. */
static void triple_text(const double v[3], char out[96])
{
    snprintf(out, 96, "%.9g %.9g %.9g", v[0], v[1], v[2]);
}

static um_status read_triple(const char *path, const char *attr, double out[3])
{
    um_status rc = UM_OK;
    um_text text = {0};
    UM_TRY(um_checkpoint_text(path, attr, &text));
    if (sscanf(um_text_get(&text), "%lf %lf %lf", &out[0], &out[1], &out[2]) != 3)
        rc = um_fail(UM_E_DATA, "%s: attribute %s \"%s\" is not three numbers", path, attr, um_text_get(&text));
done:
    um_text_free(&text);
    return rc;
}

um_status um_model_save(const um_segmenter *s, const char *path, int64_t epoch, uint64_t seed)
{
    um_status rc = UM_OK;
    um_net_tensors t = {0};
    char variant[64], cdc[64], mean[96], sd[96];
    triple_text(s->config.mean, mean);
    triple_text(s->config.sd, sd);
    um_model_variant(s->config.model, &s->config.net, variant);
    cdc_text(&s->config.net.cdc, cdc);
    um_checkpoint_attr attrs[] = {
        {"arch", s->config.model->name, 0}, {"variant", variant, 0},           {"w", NULL, s->config.net.width},
        {"s", NULL, s->config.h},           {"in_ch", NULL, s->config.net.in_ch}, {"out_ch", NULL, s->config.net.out_ch},
        {"epoch", NULL, epoch},             {"seed", NULL, (int64_t)seed},
        {0}, {0},
    };
    size_t n_attrs = UM_COUNT(attrs) - 2;
    if (has_cdc(s->config.model)) {
        attrs[n_attrs++] = (um_checkpoint_attr){"cdc", cdc, 0};
        attrs[n_attrs++] = (um_checkpoint_attr){"cdc_bottleneck", NULL, s->config.net.cdc_bottleneck};
    } else if (s->config.model->classifier) {
        attrs[n_attrs++] = (um_checkpoint_attr){"mean", mean, 0};
        attrs[n_attrs++] = (um_checkpoint_attr){"sd", sd, 0};
    }
    UM_TRY(um_net_tensors_add(&t, s->params, NULL, UM_NET_TENSORS_MODEL, true));
    um_checkpoint c = {.state = t.list, .n_state = t.n, .keep = true, .attrs = attrs, .n_attrs = n_attrs};
    UM_TRY(um_checkpoint_save(path, &c));
done:
    um_net_tensors_free(&t);
    return rc;
}

/* A cdc_unet of PyTorch that does not say: the paper's, dual and down to the bottleneck. */
static um_status read_cdc(const char *path, um_model_config *net)
{
    um_status rc = UM_OK;
    um_text cdc = {0};
    int64_t bottleneck = 1;
    bool told = false;
    UM_TRY(um_checkpoint_has_attr(path, "cdc", &told));
    if (told) {
        UM_TRY(um_checkpoint_text(path, "cdc", &cdc));
        UM_TRY(um_checkpoint_int(path, "cdc_bottleneck", &bottleneck));
    }
    if (!cdc_parse(&net->cdc, told ? um_text_get(&cdc) : "dual"))
        rc = um_fail(UM_E_DATA, "%s: central-difference convolution \"%s\" is not known; known: dual, theta THETA, none", path,
                     um_text_get(&cdc));
    net->cdc_bottleneck = bottleneck != 0;
done:
    um_text_free(&cdc);
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
    if (has_cdc(config->model))
        UM_TRY(read_cdc(path, &config->net));
    if (config->model->classifier) {
        UM_TRY(read_triple(path, "mean", config->mean));
        UM_TRY(read_triple(path, "sd", config->sd));
    }
    if (config->net.width < 1 || config->net.width > 4096 || config->net.in_ch < 1 || config->net.in_ch > 64 || config->net.out_ch < 1 ||
        config->net.out_ch > 64 || (config->net.up == UM_UP_BILINEAR && config->net.width % 2))
        rc = um_fail(UM_E_DATA, "%s: width %ld, in_ch %ld or out_ch %ld is out of range", path, (long)config->net.width,
                     (long)config->net.in_ch, (long)config->net.out_ch);
done:
    um_text_free(&arch);
    um_text_free(&variant);
    return rc;
}

/* Refuses a width that the file's tensors cannot fill, before memory is taken for it. */
static um_status check_size(const char *path, um_backend *backend, const um_segmenter_config *config)
{
    um_status rc = UM_OK;
    um_graph *g = NULL;
    um_params *p = NULL;
    um_tid x = UM_NONE, y = UM_NONE;
    int64_t stored = 0;
    UM_TRY(um_checkpoint_elements(path, &stored));
    UM_TRY(um_params_create(&p, backend));
    UM_TRY(um_graph_create(&g, backend->real, 1));
    UM_TRY(um_graph_input(g, &x, "image", config->h, config->w, config->net.in_ch));
    UM_TRY(config->model->build(&(um_net){g, p, false, UM_BN_EVAL}, &config->net, x, &y));
    if (p->n_values + p->n_buffers > stored)
        rc = um_fail(UM_E_DATA, "%s: a %s of width %ld has %ld parameters, the file holds %ld", path, config->model->name,
                     (long)config->net.width, (long)(p->n_values + p->n_buffers), (long)stored);
done:
    um_graph_free(g);
    um_params_free(p);
    return rc;
}

um_status um_model_load(um_segmenter **out, um_backend *backend, const char *path, int64_t h, int64_t w, int64_t max_batch)
{
    um_status rc = UM_OK;
    um_segmenter_config config = {.h = h, .w = w, .max_batch = max_batch, .spread = {.lanes = 1}};
    um_segmenter *s = NULL;
    um_net_tensors t = {0};
    UM_TRY(read_config(path, &config));
    UM_TRY(check_size(path, backend, &config));
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
