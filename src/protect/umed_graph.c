/* The graphs of UMed's phases: generators -> bound -> image -> surrogate -> loss, in one graph. */
#include <string.h>

#include "base/mem.h"
#include "protect/umed.h"

static const um_bn_mode surrogate_bn[] = {UM_BN_BATCH, UM_BN_EVAL, UM_BN_TRAIN};
static const um_bn_mode generator_bn[] = {UM_BN_BATCH, UM_BN_EVAL};

static um_model_config generator_config(const um_umed *u, bool contour)
{
    static const um_cdc_mode modes[] = {UM_CDC_DUAL, UM_CDC_THETA, UM_CDC_NONE};
    um_model_config c = {.width = u->o.gen_base_width, .in_ch = u->c + (u->o.gen_input == 1), .out_ch = u->c,
                         .up = u->surrogate_config.up, .bias = u->surrogate_config.bias};
    if (contour) {
        c.cdc = (um_cdc){modes[u->o.cdc_mode], u->o.cdc_theta, u->o.cdc_init_wc_scale};
        c.cdc_bottleneck = u->o.cdc_bottleneck;
    }
    return c;
}

typedef struct phase_modes { um_bn_mode generators; bool contour_learns, texture_learns, surrogate_learns; } phase_modes;

static phase_modes modes_of(const um_umed *u, um_umed_phase phase)
{
    switch (phase) {
    case UM_UMED_SURROGATE:
        return (phase_modes){generator_bn[u->o.generator_bn_in_s], false, false, true};
    case UM_UMED_GENERATORS:
        return (phase_modes){UM_BN_TRAIN, u->o.parts != UM_UMED_TEXTURE, u->o.parts != UM_UMED_CONTOUR, false};
    case UM_UMED_CONTOUR_ONLY:
        return (phase_modes){UM_BN_TRAIN, true, false, false};
    case UM_UMED_TEXTURE_ONLY:
        return (phase_modes){UM_BN_TRAIN, false, true, false};
    case UM_UMED_RECALIBRATE:
        return (phase_modes){UM_BN_TRAIN, false, false, false};
    case UM_UMED_EXPORT:
        break;
    }
    return (phase_modes){UM_BN_EVAL, false, false, false};
}

/* bound(F(x), map) of one generator. */
static um_status branch(um_umed_graph *out, um_umed *u, um_tid *delta, bool contour, phase_modes m)
{
    um_status rc = UM_OK;
    const um_model_def *model = NULL;
    um_model_config config = generator_config(u, contour);
    um_net net = {out->graph, contour ? u->contour : u->texture, contour ? m.contour_learns : m.texture_learns, m.generators};
    um_tid z = UM_NONE;
    UM_TRY(um_model_find(&model, contour && config.cdc.mode != UM_CDC_NONE ? "cdc_unet" : "unet"));
    UM_TRY(model->build(&net, &config, out->xy >= 0 ? out->xy : out->x, &z));
    UM_TRY(um_nn_bound(out->graph, delta, z, contour ? out->contour : out->texture, (um_bound_rule)u->o.gen_output, u->o.gen_gain));
done:
    return rc;
}

static um_status perturbation(um_umed_graph *out, um_umed *u, phase_modes m)
{
    um_status rc = UM_OK;
    um_graph *g = out->graph;
    um_tid part[2] = {UM_NONE, UM_NONE};
    if (u->o.parts != UM_UMED_TEXTURE) {
        UM_TRY(um_graph_input(g, &out->contour, "contour bound", u->h, u->w, 1));
        UM_TRY(branch(out, u, &part[0], true, m));
    }
    if (u->o.parts != UM_UMED_CONTOUR) {
        UM_TRY(um_graph_input(g, &out->texture, "texture bound", u->h, u->w, 1));
        UM_TRY(branch(out, u, &part[1], false, m));
    }
    if (part[0] >= 0 && part[1] >= 0)
        UM_TRY(um_nn_add(g, &out->delta, part[0], part[1]));
    else
        out->delta = part[0] >= 0 ? part[0] : part[1];
done:
    return rc;
}

static um_status through_surrogate(um_umed_graph *out, um_umed *u, phase_modes m)
{
    um_status rc = UM_OK;
    um_graph *g = out->graph;
    const um_model_def *unet = NULL;
    um_tid sum = UM_NONE, image = UM_NONE, logits = UM_NONE;
    um_net net = {g, u->surrogate, m.surrogate_learns, m.surrogate_learns ? UM_BN_TRAIN : surrogate_bn[u->o.surrogate_bn_in_g]};
    UM_TRY(um_graph_input(g, &out->y, "mask", u->h, u->w, 1));
    UM_TRY(um_nn_add(g, &sum, out->delta, out->x));
    UM_TRY(um_nn_clip(g, &image, sum, (um_clip_rule)u->o.image_clip_grad, 0, 1));
    UM_TRY(um_model_find(&unet, "unet"));
    UM_TRY(unet->build(&net, &u->surrogate_config, image, &logits));
    UM_TRY(um_nn_seg_loss(g, &out->loss, logits, out->y, &u->loss));
    UM_TRY(um_graph_backward(g, out->loss, NULL, 0, NULL));
    um_params *const nets[] = {u->contour, u->texture, u->surrogate};
    const bool learns[] = {m.contour_learns, m.texture_learns, m.surrogate_learns};
    for (int i = 0; i < 3; i++)
        if (learns[i])
            UM_TRY(um_graph_update(g, nets[i], &u->o.adam));
done:
    return rc;
}

um_status um_umed_graph_build(um_umed_graph *out, um_umed *u, um_umed_phase phase, int64_t max_batch)
{
    um_status rc = UM_OK;
    um_umed_graph r = {
        .x = UM_NONE, .xy = UM_NONE, .y = UM_NONE, .contour = UM_NONE, .texture = UM_NONE, .loss = UM_NONE, .delta = UM_NONE};
    phase_modes m = modes_of(u, phase);
    UM_TRY(um_graph_create(&r.graph, u->backend->real, max_batch));
    if (phase == UM_UMED_EXPORT)
        r.graph->lanes = 1;
    else
        um_share_graph(&u->spread, r.graph);
    r.graph->recompute = u->recompute;
    UM_TRY(um_graph_input(r.graph, &r.x, "image", u->h, u->w, u->c));
    if (u->o.gen_input == 1)
        UM_TRY(um_graph_input(r.graph, &r.xy, "image and mask", u->h, u->w, u->c + 1));
    UM_TRY(perturbation(&r, u, m));
    if (phase == UM_UMED_RECALIBRATE || phase == UM_UMED_EXPORT) {
        r.graph->tensors[r.delta].keep = true;
        UM_TRY(um_graph_end(r.graph));
    } else {
        UM_TRY(through_surrogate(&r, u, m));
    }
    *out = r;
    r.graph = NULL;
done:
    um_graph_free(r.graph);
    return rc;
}

um_status um_umed_graph_ready(um_umed_graph *g, um_umed *u)
{
    return um_exec_create(&g->exec, g->graph, u->backend);
}

void um_umed_graph_free(um_umed_graph *g)
{
    um_exec_free(g->exec);
    um_graph_free(g->graph);
    *g = (um_umed_graph){0};
}
