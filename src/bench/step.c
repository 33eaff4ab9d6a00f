/* A whole training step beside a peer's. */
#include "bench/bench.h"
#include "bench/roofline.h"
#include "bench/rounds.h"
#include "bench/step_peer.h"

#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/threads.h"
#include "nn/narrow.h"
#include "protect/umed.h"
#include "train/options.h"

enum { MAX_NETS = 2, CONV_TEXT = 64, QUEUED_STEPS = 10 };

/* What learns in a step, and the graph that says how. */
typedef struct step {
    um_graph *graph;
    um_exec *exec;
    um_params *nets[MAX_NETS];
    um_params *model; /* owned; NULL for UMed */
    um_umed *umed;
    um_umed_graph umed_graph;
    um_tid inputs[5];
    int n_nets, n_inputs;
    um_tid loss;
    um_batch batch;
    bool device;
    um_peer *peer; /* NULL: none */
    double before; /* resident bytes before the step's memory existed */
} step;

static const um_adam_attr adam = {.lr = 1e-4, .b1 = 0.9, .b2 = 0.999, .eps = 1e-8};

static double peak_memory(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return 1024.0 * (double)u.ru_maxrss;
}

static void step_free(step *s)
{
    um_peer_free(s->peer);
    if (s->umed) {
        um_umed_graph_free(&s->umed_graph);
        um_umed_free(s->umed);
    } else {
        um_exec_free(s->exec);
        um_graph_free(s->graph);
        um_params_free(s->model);
    }
}

/* Graph and parameters, nothing on the device. */
static um_status build_model(step *s, const um_bench_job *job, const um_bench_step_job *w)
{
    um_status rc = UM_OK;
    const um_model_def *model = NULL;
    const um_run_options *run = um_settings_get(job->settings, "run");
    um_seg_attr loss = um_loss_attr(um_settings_get(job->settings, "loss"));
    um_model_config config = um_model_configure(um_settings_get(job->settings, "model"), w->channels);
    um_tid logits = UM_NONE;
    UM_TRY(um_model_find(&model, w->model));
    UM_TRY(um_params_create(&s->model, job->backend));
    UM_TRY(um_graph_create(&s->graph, job->backend->real, w->batch));
    s->graph->recompute = !s->device;
    um_spread spread = um_spread_of(run, NULL);
    um_share_graph(&spread, s->graph);
    um_net net = {s->graph, s->model, true, UM_BN_TRAIN};
    UM_TRY(um_graph_input(s->graph, &s->inputs[0], "image", w->side, w->side, w->channels));
    UM_TRY(um_graph_input(s->graph, &s->inputs[1], "mask", w->side, w->side, 1));
    UM_TRY(model->build(&net, &config, s->inputs[0], &logits));
    UM_TRY(um_nn_seg_loss(s->graph, &s->loss, logits, s->inputs[1], &loss));
    UM_TRY(um_graph_backward(s->graph, s->loss, NULL, 0, NULL));
    UM_TRY(um_graph_update(s->graph, s->model, &adam));
    s->nets[0] = s->model;
    s->n_nets = 1;
    s->n_inputs = 2;
done:
    return rc;
}

static um_status build_umed(step *s, const um_bench_job *job, const um_bench_step_job *w)
{
    um_status rc = UM_OK;
    um_dataset shape = {.h = w->side, .w = w->side, .c = w->channels};
    um_protect_job protect = {.settings = job->settings, .backend = job->backend, .data = &shape};
    UM_TRY(um_umed_create(&s->umed, &protect));
    s->umed->recompute = !s->device;
    UM_TRY(um_umed_graph_build(&s->umed_graph, s->umed, UM_UMED_GENERATORS, w->batch));
    s->graph = s->umed_graph.graph;
    s->loss = s->umed_graph.loss;
    const um_tid inputs[] = {s->umed_graph.x, s->umed_graph.y, s->umed_graph.contour, s->umed_graph.texture, s->umed_graph.xy};
    for (size_t i = 0; i < UM_COUNT(inputs); i++)
        if (inputs[i] >= 0)
            s->inputs[s->n_inputs++] = inputs[i];
    s->nets[0] = s->umed->contour;
    s->nets[1] = s->umed->texture;
    s->n_nets = 2;
done:
    return rc;
}

static um_status build(step *s, const um_bench_job *job, const um_bench_step_job *w)
{
    return strcmp(w->model, "umed") == 0 ? build_umed(s, job, w) : build_model(s, job, w);
}

static um_status make_ready(step *s, const um_bench_job *job)
{
    um_status rc = UM_OK;
    if (s->umed) {
        UM_TRY(um_umed_graph_ready(&s->umed_graph, s->umed));
        s->exec = s->umed_graph.exec;
        UM_TRY(um_params_init(s->umed->surrogate, 1, UM_RNG_BENCH));
    } else {
        UM_TRY(um_exec_create(&s->exec, s->graph, job->backend));
    }
    for (int i = 0; i < s->n_nets; i++)
        UM_TRY(um_params_init(s->nets[i], 1, UM_RNG_BENCH));
done:
    return rc;
}

/* Images in [0, 1), masks and bounds with something in them. */
static um_status feed(step *s, int64_t n)
{
    um_status rc = UM_OK;
    float *values = NULL;
    for (int k = 0; k < s->n_inputs; k++) {
        const um_tensor *t = &s->graph->tensors[s->inputs[k]];
        int64_t count = n * t->h * t->w * t->c;
        bool mask = strcmp(t->name, "mask") == 0, bound = strstr(t->name, "bound") != NULL;
        UM_TRY(UM_NEW_ARRAY(values, count));
        for (int64_t i = 0; i < count; i++) {
            double u = (double)((uint64_t)i * 2654435761u % 65536) / 65536;
            values[i] = (float)(mask ? u < 0.3 : bound ? u * 4 / 255 : u);
        }
        UM_TRY(um_exec_upload(s->exec, s->inputs[k], values, n));
        um_free(values);
        values = NULL;
    }
done:
    um_free(values);
    return rc;
}

static um_status settle(const step *s)
{
    um_backend *b = s->nets[0]->backend;
    return b->iface->synchronise ? b->iface->synchronise(b) : UM_OK;
}

static um_status run_step(void *payload, double *seconds)
{
    um_status rc = UM_OK;
    step *s = payload;
    double loss[3], start = um_now();
    for (int i = 0; i < s->n_nets; i++)
        UM_TRY(um_params_next(s->nets[i], adam.lr));
    UM_TRY(um_exec_run(s->exec, &s->batch, 0, -1));
    UM_TRY(um_exec_download(s->exec, s->loss, loss, 1));
    UM_TRY(settle(s));
    *seconds = um_now() - start;
    if (!(loss[0] > 0 && loss[0] < 1e6))
        rc = um_fail(UM_E_NUMERIC, "the loss of the measured step is %g", loss[0]);
done:
    return rc;
}

/* Steps that nobody looks at in between: the device has the next one before it is done with the last. */
static um_status run_queued(void *payload, double *seconds)
{
    um_status rc = UM_OK;
    step *s = payload;
    double start = um_now();
    for (int k = 0; k < QUEUED_STEPS; k++) {
        for (int i = 0; i < s->n_nets; i++)
            UM_TRY(um_params_next(s->nets[i], adam.lr));
        UM_TRY(um_exec_run(s->exec, &s->batch, 0, -1));
    }
    UM_TRY(settle(s));
    *seconds = (um_now() - start) / QUEUED_STEPS;
done:
    return rc;
}

static double step_flops(const step *s)
{
    return (double)s->batch.n_total * um_graph_flops(s->graph, 0, s->graph->n_nodes);
}

/* seconds: of as many operations as a step has, in large matrix products by the peer. */
static um_status run_product(void *payload, double *seconds)
{
    step *s = payload;
    double rate = 0;
    um_status rc = um_peer_product(s->peer, &rate);
    *seconds = step_flops(s) / rate;
    return rc;
}

/* The ways in their order, and where those are that may be missing (0: missing). */
typedef struct lineup {
    um_bench_way ways[UM_BENCH_WAYS];
    int n, peer, queued, product;
} lineup;

static int join(lineup *l, const char *name, um_status (*run)(void *payload, double *seconds), void *payload)
{
    l->ways[l->n] = (um_bench_way){name, run, payload};
    return l->n++;
}

static lineup line_up(step *s)
{
    lineup l = {.n = 0};
    join(&l, "umed", run_step, s);
    if (s->device)
        l.queued = join(&l, "queued", run_queued, s);
    if (s->peer)
        l.peer = join(&l, um_peer_name(s->peer), um_bench_run_peer, s->peer);
    if (s->device && s->peer)
        l.product = join(&l, "product", run_product, s);
    return l;
}

/* OP:N,H,W,C,K,TAPS of every convolution in the graph, for the peer onednn. */
static int conv_args(const um_graph *g, int64_t n, char (*text)[CONV_TEXT], const char **args, int max)
{
    int count = 0;
    for (int i = 0; i < g->n_nodes && count < max; i++) {
        const um_node *node = &g->nodes[i];
        bool fwd = node->op == UM_OP_CONV_FWD, data = node->op == UM_OP_CONV_BWD_DATA;
        if (!fwd && !data && node->op != UM_OP_CONV_BWD_WEIGHT)
            continue;
        const um_tensor *x = &g->tensors[data ? node->out[0] : node->in[0]];
        const um_tensor *y = &g->tensors[fwd ? node->out[0] : data ? node->in[0] : node->in[1]];
        const um_tensor *w = &g->tensors[fwd || data ? node->in[1] : node->out[0]];
        snprintf(text[count], CONV_TEXT, "%s:%lld,%lld,%lld,%lld,%lld,%lld", um_op_table[node->op].name, (long long)n,
            (long long)x->h,
                 (long long)x->w, (long long)x->c, (long long)y->c, (long long)w->h);
        args[count] = text[count];
        count++;
    }
    return count;
}

static um_status start_peer(step *s, const um_bench_job *job, const um_bench_step_job *w)
{
    um_status rc = UM_OK;
    char threads[16], (*text)[CONV_TEXT] = NULL;
    const char *args[UM_PEER_ARGS] = {"conv", threads};
    if (strcmp(job->peer, "onednn"))
        return um_step_peer_start(&s->peer, job, w, "step");
    if (s->device)
        return um_fail(UM_E_USAGE, "--peer onednn works on the CPU; on a device the peer is pytorch");
    snprintf(threads, sizeof threads, "%d", um_threads());
    UM_TRY(UM_NEW_ARRAY(text, UM_PEER_ARGS));
    UM_TRY(um_peer_start(&s->peer, job->peer, args, 2 + conv_args(s->graph, w->batch, text, args + 2, UM_PEER_ARGS - 2)));
done:
    um_free(text);
    return rc;
}

/* Rows for both sides, memory, and the ratio last. */
static um_status report(const step *s, const lineup *l, const um_bench_times *t, const double fma[2], um_text *out)
{
    um_status rc = UM_OK;
    um_peer *peer = s->peer;
    double flops = step_flops(s), med = um_bench_median(t, 0);
    double peak_fma = fma[0] > fma[1] ? fma[0] : fma[1], ours = peak_memory(), theirs = 0, before = 0;
    const um_plan *plan = um_exec_plan(s->exec);
    UM_TRY(um_text_add(out,
        "umed       median %.4f s, least %.4f s, %.0f GFLOP/s, %.2f of the multiply-add peak (%.0f before, %.0f after)\n",
                       med, um_bench_least(t, 0), flops / med * 1e-9, flops / med / peak_fma, fma[0] * 1e-9, fma[1] * 1e-9));
    UM_TRY(um_text_add(out,
        "           resident %.0f MB at its highest, %.0f MB before the step; activations %.0f MB, workspace %.0f MB\n",
                       ours * 1e-6, s->before * 1e-6, (double)plan->arena_bytes * 1e-6, (double)plan->workspace_bytes * 1e-6));
    if (!peer) {
        UM_TRY(um_text_add(out, "share of the multiply-add peak, median of %d steps: %.2fx\n", t->n_rounds,
            flops / med / peak_fma));
        goto done;
    }
    UM_TRY(um_peer_peak(peer, &theirs, &before));
    UM_TRY(um_text_add(out, "%-10s median %.4f s, least %.4f s (%s)\n", um_peer_name(peer), um_bench_median(t, l->peer),
        um_bench_least(t, l->peer),
                       um_peer_conditions(peer)));
    UM_TRY(um_text_add(out,
        "           resident %.0f MB at its highest, %.0f MB before the step; memory of the step umed / %s %.2f\n",
                       theirs * 1e-6, before * 1e-6, um_peer_name(peer), (ours - s->before) / (theirs - before)));
    UM_TRY(um_text_add(out, "umed against %s, median of %d interleaved steps: %.2fx\n", um_peer_name(peer), t->n_rounds,
                       um_bench_ratio(t, l->peer, 0)));
done:
    return rc;
}

/* The same for a device, whose memory is known to the byte, and which has no multiply-add peak of cores to compare with. */
static um_status report_device(const step *s, const lineup *l, const um_bench_times *t, um_text *out)
{
    um_status rc = UM_OK;
    um_peer *peer = s->peer;
    double flops = step_flops(s), med = um_bench_median(t, 0);
    const um_plan *plan = um_exec_plan(s->exec);
    double ours = (double)(plan->arena_bytes + plan->workspace_bytes), theirs = 0, before = 0;
    for (int i = 0; i < s->n_nets; i++)
        ours += 16.0 * (double)s->nets[i]->n_values;
    UM_TRY(um_text_add(out, "umed       median %.3f ms, least %.3f ms, %.1f TFLOP/s, %.0f MB of the device\n", 1e3 * med,
                       1e3 * um_bench_least(t, 0), 1e-12 * flops / med, 1e-6 * ours));
    UM_TRY(um_text_add(out, "           steps queued without a look at the loss %.3f ms, so idle %.2f %% of a step\n",
                       1e3 * um_bench_median(t, l->queued), 100 * (1 - um_bench_ratio(t, l->queued, 0))));
    if (!peer) {
        UM_TRY(um_text_add(out, "images per second, median of %d steps: %.1f\n", t->n_rounds, (double)s->batch.n_total / med));
        goto done;
    }
    UM_TRY(um_text_add(out, "           matrix products by %s %.1f TFLOP/s, of which the step reaches %.3f\n", um_peer_name(peer),
                       1e-12 * flops / um_bench_median(t, l->product), um_bench_ratio(t, l->product, 0)));
    UM_TRY(um_peer_peak(peer, &theirs, &before));
    UM_TRY(um_text_add(out, "%-10s median %.3f ms, least %.3f ms, %.0f MB of the device, umed / %s %.2f (%s)\n", um_peer_name(peer),
                       1e3 * um_bench_median(t, l->peer), 1e3 * um_bench_least(t, l->peer), 1e-6 * theirs, um_peer_name(peer),
                       ours / theirs, um_peer_conditions(peer)));
    UM_TRY(um_text_add(out, "umed against %s, median of %d interleaved steps: %.2fx\n", um_peer_name(peer), t->n_rounds,
                       um_bench_ratio(t, l->peer, 0)));
done:
    return rc;
}

um_status um_bench_step(const um_bench_job *job, const um_bench_step_job *w, um_text *out)
{
    um_status rc = UM_OK;
    um_bench_times t;
    double fma[2] = {0};
    const um_run_options *run = um_settings_get(job->settings, "run");
    step s = {.before = peak_memory(), .device = !job->backend->on_host};
    um_text after = {0};
    UM_TRY(build(&s, job, w));
    UM_TRY(make_ready(&s, job));
    um_batch_set(&s.batch, w->batch, (int)run->lanes);
    UM_TRY(feed(&s, w->batch));
    if (job->peer)
        UM_TRY(start_peer(&s, job, w));
    UM_TRY(um_step_title(job, w, "forward, loss, backward, Adam; ", &fma[0], out));
    lineup l = line_up(&s);
    UM_TRY(um_bench_rounds(&t, l.ways, l.n, job->rounds));
    if (!s.device)
        UM_TRY(um_bench_conditions(&after, &fma[1]));
    UM_TRY(s.device ? report_device(&s, &l, &t, out) : report(&s, &l, &t, fma, out));
done:
    um_text_free(&after);
    step_free(&s);
    return rc;
}

um_status um_bench_step_plan(const um_bench_job *job, const um_bench_step_job *w, um_precision precision, um_text *out)
{
    um_status rc = UM_OK;
    step s = {.device = true};
    um_plan *plan = NULL;
    int64_t n_values = 0;
    char what[96];
    UM_TRY(build(&s, job, w));
    for (int i = 0; i < s.n_nets; i++)
        n_values += s.nets[i]->n_values;
    um_graph_narrow(s.graph, precision == UM_PRECISION_BF16 ? UM_BF16 : UM_F32);
    UM_TRY(um_plan_create(&plan, s.graph, NULL));
    snprintf(what, sizeof what, "forward, loss, backward, Adam; %s on a device, from shapes alone", um_precision_name(precision));
    UM_TRY(um_step_title(job, w, what, NULL, out));
    UM_TRY(um_roofline_print(s.graph, w->batch, precision, out));
    UM_TRY(um_text_add(out,
        "memory: activations %.0f MB, parameters that learn with gradients and moments %.0f MB; workspaces of cuDNN not counted\n",
                       (double)plan->arena_bytes * 1e-6, 16e-6 * (double)n_values));
done:
    um_plan_free(plan);
    step_free(&s);
    return rc;
}
