#include "nn/net_fixture.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

void net_assert_ok(um_status rc, const char *expr, const char *file, int line)
{
    if (rc == UM_OK)
        return;
    print_error("%s:%d: %s\n%s: %s\n", file, line, expr, um_status_name(rc), um_error_text());
    fail();
}

um_model_config net_config(int64_t width, int64_t in_ch, int64_t out_ch)
{
    return (um_model_config){.width = width, .in_ch = in_ch, .out_ch = out_ch, .up = UM_UP_CONVT,
                             .cdc = {UM_CDC_DUAL, 0.7, 0.25}, .cdc_bottleneck = true};
}

/* Clear of kinks: a level some deviations above zero, or below it in every fourth channel. */
static double norm_value(double u, bool gamma, bool clear, int64_t channel)
{
    if (!clear)
        return gamma ? 0.5 + u : u - 0.5;
    return gamma ? 0.5 + 0.5 * u : channel % 4 == 3 ? -3 - u : 3 + u;
}

void net_random_norms(um_params *params, uint64_t seed, bool clear_of_kinks)
{
    for (int i = 0; i < params->n; i++) {
        const um_param *q = &params->list[i];
        char partner[128];
        int stem = (int)(strrchr(q->name, '.') - q->name);
        snprintf(partner, sizeof partner, "%.*s.running_mean", stem, q->name);
        if (q->kind != UM_PARAM_VECTOR || um_params_find(params, partner) < 0)
            continue; /* GroupNorm and LayerNorm keep 1 and 0 */
        bool gamma = um_text_ends_with(q->name, ".weight");
        double value[1024];
        float draw[1024];
        assert_true(q->count <= 1024);
        um_rng_fill_uniform(draw, q->count, 0, 1, seed, UM_RNG_TEST, um_text_hash(q->name), 5);
        for (int64_t k = 0; k < q->count; k++)
            value[k] = norm_value((double)draw[k], gamma, clear_of_kinks, k);
        assert_ok(um_params_write(params, i, UM_BLOCK_VALUE, value));
    }
}

static void build_graph(test_net *net)
{
    const net_spec *s = &net->spec;
    const um_model_def *model = NULL;
    const um_seg_attr loss = {.w_ce = 1, .w_dice = 1, .smooth = 1e-5};
    assert_ok(um_model_find(&model, s->model));
    assert_ok(um_graph_create(&net->graph, s->real, s->max_batch));
    net->graph->bn_per_lane = s->bn_per_lane;
    um_aux_heads aux = {0};
    um_net in_graph = {net->graph, net->params, !s->frozen, s->bn, &aux};
    assert_ok(um_graph_input(net->graph, &net->x, "image", s->h, s->w, s->config.in_ch));
    if (model->classifier)
        assert_ok(um_graph_input(net->graph, &net->y, "class", 1, 1, 1));
    else
        assert_ok(um_graph_input(net->graph, &net->y, "mask", s->h, s->w, 1));
    assert_ok(model->build(&in_graph, &s->config, net->x, &net->logits));
    net->graph->tensors[net->logits].keep = true;
    aux.logits[aux.n++] = net->logits;
    if (model->classifier)
        assert_ok(um_nn_class_loss(net->graph, &(um_tid){UM_NONE}, &net->loss, net->logits, net->y, UM_CLASS_CE, 0));
    else
        assert_ok(um_nn_seg_loss_mean(net->graph, &net->loss, aux.logits, aux.n, net->y, &loss));
    assert_ok(um_graph_backward(net->graph, net->loss, &net->x, s->wants_dx, &net->dx));
}

void net_create(test_net *net, const net_spec *spec)
{
    *net = (test_net){.spec = *spec, .pixels = spec->h * spec->w, .dx = UM_NONE};
    assert_ok(um_backend_open(&net->backend, spec->backend, spec->real, spec->precision));
    assert_ok(um_params_create(&net->params, net->backend));
    build_graph(net);
    assert_ok(um_exec_create(&net->exec, net->graph, net->backend));
    assert_ok(um_params_init(net->params, spec->seed, UM_RNG_TEST));
    net_random_norms(net->params, spec->seed, spec->clear_of_kinks);
}

void net_free(test_net *net)
{
    um_exec_free(net->exec);
    um_graph_free(net->graph);
    um_params_free(net->params);
    um_backend_free(net->backend);
}

int64_t net_count(const test_net *net, um_tid t, int64_t n)
{
    const um_tensor *q = &net->graph->tensors[t];
    return (q->batched ? n : q->n) * q->h * q->w * q->c;
}

void net_upload(test_net *net, um_tid t, const double *host, int64_t n)
{
    int64_t count = net_count(net, t, n);
    float *narrow = NULL;
    if (net->spec.real == UM_F64) {
        assert_ok(um_exec_upload(net->exec, t, host, n));
        return;
    }
    assert_ok(UM_NEW_ARRAY(narrow, count));
    for (int64_t i = 0; i < count; i++)
        narrow[i] = (float)host[i];
    assert_ok(um_exec_upload(net->exec, t, narrow, n));
    um_free(narrow);
}

double net_run(test_net *net, int64_t n, int lanes)
{
    um_batch batch;
    double loss[3];
    um_batch_set(&batch, n, lanes);
    assert_ok(um_exec_run(net->exec, &batch, 0, -1));
    assert_ok(um_exec_download(net->exec, net->loss, loss, 1));
    return loss[0];
}

double *net_fetch(test_net *net, um_tid t, int64_t n)
{
    int64_t count = net_count(net, t, n);
    double *out = NULL;
    float *narrow = NULL;
    assert_ok(UM_NEW_ARRAY(out, count));
    if (net->graph->tensors[t].dtype == UM_F64) {
        assert_ok(um_exec_download(net->exec, t, out, n));
        return out;
    }
    assert_ok(UM_NEW_ARRAY(narrow, count));
    assert_ok(um_exec_download(net->exec, t, narrow, n));
    for (int64_t i = 0; i < count; i++)
        out[i] = (double)narrow[i];
    um_free(narrow);
    return out;
}

double *net_param(const um_params *params, int index, um_param_block block)
{
    double *out = NULL;
    assert_ok(UM_NEW_ARRAY(out, params->list[index].count));
    assert_ok(um_params_read(params, index, block, out));
    return out;
}

static void example_image(double *x, double *y, int64_t image, int64_t h, int64_t w, int64_t c)
{
    double n = (double)(image % 5);
    for (int64_t p = 0; p < h * w; p++) {
        double i = (double)(p / w) / (double)h - 0.5 - n / 60, j = (double)(p % w) / (double)w - 0.45 + n / 40;
        uint32_t words[4];
        um_rng_words(3, UM_RNG_TEST, (uint32_t)p, (uint64_t)image, 9, words);
        y[p] = pow(i / (0.2 + n / 50), 2) + pow(j / (0.3 - n / 50), 2) <= 1;
        for (int64_t k = 0; k < c; k++)
            x[p * c + k] = floor(160 * (double)um_rng_unit(words[k]) + 90 * y[p]) / 255;
    }
}

void net_example(double *x, double *y, int64_t n, int64_t h, int64_t w, int64_t c)
{
    for (int64_t i = 0; i < n; i++)
        example_image(x + i * h * w * c, y + i * h * w, i, h, w, c);
}

int net_count_op(const um_graph *g, um_op op)
{
    int count = 0;
    for (int i = 0; i < g->n_nodes; i++)
        count += g->nodes[i].op == op;
    return count;
}
