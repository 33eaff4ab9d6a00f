#include "train/segmenter.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

enum { LOSS_BYTES = 3 * sizeof(double) };

static um_status build_train(um_segmenter *s)
{
    um_status rc = UM_OK;
    const um_segmenter_config *c = &s->config;
    um_aux_heads aux = {0};
    um_tid logits = UM_NONE, sums = UM_NONE;
    UM_TRY(um_graph_create(&s->train_graph, s->backend->real, um_share_most(&c->spread, c->max_batch)));
    um_graph *g = s->train_graph;
    um_share_graph(&c->spread, g);
    g->recompute = s->recompute;
    um_net net = {g, s->params, true, UM_BN_TRAIN, &aux};
    UM_TRY(um_graph_input(g, &s->x, "image", c->h, c->w, c->net.in_ch));
    if (c->model->classifier)
        UM_TRY(um_graph_input(g, &s->y, "class", 1, 1, 1));
    else
        UM_TRY(um_graph_input(g, &s->y, "mask", c->h, c->w, 1));
    UM_TRY(c->model->build(&net, &c->net, s->x, &logits));
    aux.logits[aux.n++] = logits;
    if (c->model->classifier)
        UM_TRY(um_nn_class_loss(g, &sums, &s->loss, logits, s->y, UM_CLASS_CE, c->focal));
    else
        UM_TRY(um_nn_seg_loss_mean(g, &s->loss, aux.logits, aux.n, s->y, &c->loss));
    UM_TRY(um_graph_backward(g, s->loss, NULL, 0, NULL));
    UM_TRY(um_graph_update(g, s->params, &c->adam));
done:
    return rc;
}

static um_status build_eval(um_segmenter *s)
{
    um_status rc = UM_OK;
    const um_segmenter_config *c = &s->config;
    UM_TRY(um_graph_create(&s->eval_graph, s->backend->real, c->max_batch));
    um_graph *g = s->eval_graph;
    g->lanes = 1;
    um_net net = {g, s->params, false, UM_BN_EVAL};
    UM_TRY(um_graph_input(g, &s->eval_x, "image", c->h, c->w, c->net.in_ch));
    UM_TRY(c->model->build(&net, &c->net, s->eval_x, &s->eval_logits));
    g->tensors[s->eval_logits].keep = true;
done:
    return rc;
}

/* Parameters and graphs, nothing on the device. */
static um_status describe(um_segmenter **out, um_backend *backend, const um_segmenter_config *config)
{
    um_status rc = UM_OK;
    um_segmenter *s = NULL;
    UM_TRY(UM_NEW(s));
    s->config = *config;
    s->backend = backend;
    s->recompute = backend->on_host;
    UM_TRY(um_params_create(&s->params, backend));
    if (config->adam.lr > 0)
        UM_TRY(build_train(s));
    UM_TRY(build_eval(s));
    *out = s;
    s = NULL;
done:
    um_segmenter_free(s);
    return rc;
}

/* The training graph and its memory; where that is short on a device, another graph that needs less. */
static um_status make_train(um_segmenter *s)
{
    um_status rc = um_exec_create(&s->train, s->train_graph, s->backend);
    if (rc != UM_E_MEMORY || s->recompute)
        return rc;
    um_log(UM_LOG_INFO, "%s: outputs of normalisations are made anew: %s", s->config.model->name, um_error_text());
    um_error_clear();
    um_graph_free(s->train_graph);
    s->train_graph = NULL;
    s->recompute = true;
    UM_TRY(build_train(s));
    UM_TRY(um_exec_create(&s->train, s->train_graph, s->backend));
done:
    return rc;
}

um_status um_segmenter_create(um_segmenter **out, um_backend *backend, const um_segmenter_config *config)
{
    um_status rc = UM_OK;
    um_segmenter *s = NULL;
    UM_TRY(describe(&s, backend, config));
    if (s->train_graph) {
        UM_TRY(make_train(s));
        UM_TRY(um_outlet_open(&s->losses, backend, LOSS_BYTES, 1));
    }
    UM_TRY(um_exec_create(&s->eval, s->eval_graph, backend));
    *out = s;
    s = NULL;
done:
    um_segmenter_free(s);
    return rc;
}

um_status um_segmenter_cost(um_segmenter_costs *out, um_backend *backend, const um_segmenter_config *config)
{
    um_status rc = UM_OK;
    um_segmenter *s = NULL;
    um_cost train = {0}, eval;
    UM_TRY(describe(&s, backend, config));
    if (s->train_graph)
        UM_TRY(um_cost_of_graph(&train, s->train_graph, backend));
    UM_TRY(um_cost_of_graph(&eval, s->eval_graph, backend));
    *out = (um_segmenter_costs){train.flops, eval.flops, train.bytes + eval.bytes + um_cost_of_params(s->params)};
done:
    um_segmenter_free(s);
    return rc;
}

void um_segmenter_free(um_segmenter *s)
{
    if (!s)
        return;
    um_outlet_close(&s->losses);
    um_predict_line_free(s->predict);
    um_exec_free(s->train);
    um_exec_free(s->eval);
    um_graph_free(s->train_graph);
    um_graph_free(s->eval_graph);
    um_params_free(s->params);
    um_free(s);
}

void um_segmenter_share(const um_segmenter *s, int64_t n, um_share *out)
{
    um_share_set(out, &s->config.spread, n);
}

void um_segmenter_normalise(const um_segmenter *s, void *x, int64_t n)
{
    const um_segmenter_config *c = &s->config;
    int64_t ch = c->net.in_ch;
    for (int64_t i = 0; c->sd[0] > 0 && i < n * c->h * c->w * ch; i++) {
        if (s->backend->real == UM_F64)
            ((double *)x)[i] = (((double *)x)[i] - c->mean[i % ch]) / c->sd[i % ch];
        else
            ((float *)x)[i] = (float)(((double)((float *)x)[i] - c->mean[i % ch]) / c->sd[i % ch]);
    }
}

size_t um_segmenter_target_bytes(const um_segmenter *s)
{
    const um_segmenter_config *c = &s->config;
    return (c->model->classifier ? 1 : (size_t)(c->h * c->w)) * um_dtype_bytes(s->backend->real);
}

size_t um_segmenter_logit_bytes(const um_segmenter *s)
{
    const um_segmenter_config *c = &s->config;
    return (size_t)((c->model->classifier ? 1 : c->h * c->w) * c->net.out_ch) * um_dtype_bytes(s->backend->real);
}

um_status um_segmenter_begin(um_segmenter *s, const void *x, const void *y, int64_t n)
{
    um_status rc = UM_OK;
    um_share share;
    um_segmenter_share(s, n, &share);
    share.batch.seed = s->config.seed;
    share.batch.step = (uint32_t)s->params->adam_step;
    if (x) {
        UM_TRY(um_exec_upload(s->train, s->x, x, share.n));
        UM_TRY(um_exec_upload(s->train, s->y, y, share.n));
    }
    UM_TRY(um_params_next(s->params, s->config.adam.lr));
    s->under_way[s->params->adam_step % UM_TRANSIT_SLOTS] = n;
    UM_TRY(um_share_begin(s->train, s->train_graph, &share, s->config.spread.comm));
    UM_TRY(um_outlet_send(&s->losses, s->train, s->loss, 1));
done:
    return rc;
}

um_status um_segmenter_feed(um_segmenter *s, um_inlet *in, int64_t n)
{
    um_status rc = UM_OK;
    if (!in->queue) /* an upload of a batch may wait for the steps under way */
        UM_TRY(um_segmenter_settle(s));
    UM_TRY(um_inlet_feed(in, s->train, (const um_tid[]){s->x, s->y}, n));
done:
    return rc;
}

um_status um_segmenter_end(um_segmenter *s, double loss[3])
{
    um_status rc = UM_OK;
    const void *found = NULL;
    int64_t step = s->params->adam_step - s->losses.n + 1;
    UM_TRY(um_outlet_take(&s->losses, um_comm_reducer(s->config.spread.comm, s->backend), &found));
    memcpy(loss, found, LOSS_BYTES);
    for (int k = 0; s->config.model->classifier && k < 3; k++)
        loss[k] /= (double)s->under_way[step % UM_TRANSIT_SLOTS];
    if (!isfinite(loss[0])) {
        rc = um_fail(UM_E_NUMERIC, "the loss of %s is not a number at step %ld; lower the learning rate", s->config.model->name,
                     (long)step);
        goto done;
    }
    s->params->bn_batches++;
done:
    return rc;
}

um_status um_segmenter_settle(um_segmenter *s)
{
    um_reducer *r = um_comm_reducer(s->config.spread.comm, s->backend);
    return r && s->losses.n > 0 ? um_reducer_settle(r) : UM_OK;
}

void um_segmenter_forget(um_segmenter *s)
{
    um_outlet_forget(&s->losses);
}

um_status um_segmenter_step(um_segmenter *s, const void *x, const void *y, int64_t n, double loss[3])
{
    um_status rc = UM_OK;
    UM_REQUIRE(s->losses.n == 0);
    UM_TRY(um_segmenter_begin(s, x, y, n));
    UM_TRY(um_segmenter_end(s, loss));
done:
    return rc;
}

um_status um_segmenter_logits(um_segmenter *s, const void *x, int64_t n, void *logits)
{
    um_status rc = UM_OK;
    um_batch batch;
    um_batch_set(&batch, n, 1);
    UM_TRY(um_exec_upload(s->eval, s->eval_x, x, n));
    UM_TRY(um_exec_run(s->eval, &batch, 0, -1));
    UM_TRY(um_exec_download(s->eval, s->eval_logits, logits, n));
done:
    return rc;
}

void um_segmenter_margin_of(const um_segmenter *s, const void *logits, int64_t n, float *margin)
{
    int64_t c = s->config.net.out_ch;
    const double *d = logits;
    const float *f = logits;
    bool wide = s->backend->real == UM_F64;
    for (int64_t i = 0; i < n * s->config.h * s->config.w; i++) {
        double z = wide ? d[i * c] : f[i * c];
        margin[i] = (float)(c == 1 ? z : (wide ? d[i * c + 1] : f[i * c + 1]) - z);
    }
}

um_status um_segmenter_margin(um_segmenter *s, const void *x, int64_t n, float *margin)
{
    um_status rc = UM_OK;
    void *logits = NULL;
    UM_TRY(um_alloc(&logits, (size_t)n, um_segmenter_logit_bytes(s)));
    UM_TRY(um_segmenter_logits(s, x, n, logits));
    um_segmenter_margin_of(s, logits, n, margin);
done:
    um_free(logits);
    return rc;
}
