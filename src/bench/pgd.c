/* A step of projected gradients, as the attacks of protectors and adversarial training take it, beside a peer's. */
#include "bench/bench.h"
#include "bench/rounds.h"
#include "bench/step_peer.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "train/options.h"
#include "train/pgd.h"

enum { STEPS = 10 }; /* of a turn, as adversarial training takes */
static const um_ball ball = {.eps = 8.0 / 255, .step = 2.0 / 255};

/* A frozen network seen from its input. */
typedef struct attack {
    um_backend *backend;
    um_params *params;
    um_input_grad *grad;
    um_input_grad_config config;
} attack;

typedef struct pgd {
    attack net;
    float *x, *y, *v; /* images, masks, and images on their way */
    int64_t n, values; /* of one image */
    double error;      /* of a gradient before timing, relative to float64 */
} pgd;

static void attack_free(attack *a)
{
    um_input_grad_free(a->grad);
    um_params_free(a->params);
}

static um_status attack_create(attack *a, um_backend *backend, const um_bench_job *job, const um_bench_step_job *w, int64_t batch)
{
    um_status rc = UM_OK;
    *a = (attack){.backend = backend,
                  .config = {.net = um_model_configure(um_settings_get(job->settings, "model"), w->channels),
                             .h = w->side,
                             .w = w->side,
                             .max_batch = batch,
                             .kind = UM_INPUT_SEG,
                             .loss = um_loss_attr(um_settings_get(job->settings, "loss"))}};
    UM_TRY(um_model_find(&a->config.model, w->model));
    if (a->config.model->classifier)
        UM_TRY(um_fail(UM_E_USAGE, "`umed bench pgd` is for networks that segment; %s classifies", w->model));
    UM_TRY(um_params_create(&a->params, backend));
    a->config.params = a->params;
    UM_TRY(um_input_grad_create(&a->grad, backend, &a->config));
    UM_TRY(um_params_init(a->params, 1, UM_RNG_BENCH));
done:
    return rc;
}

static um_status feed(pgd *p, const um_bench_step_job *w)
{
    um_status rc = UM_OK;
    int64_t pixels = w->side * w->side;
    p->n = w->batch;
    p->values = pixels * w->channels;
    UM_TRY(UM_NEW_ARRAY(p->x, p->n * p->values));
    UM_TRY(UM_NEW_ARRAY(p->v, p->n * p->values));
    UM_TRY(UM_NEW_ARRAY(p->y, p->n * pixels));
    um_rng_fill_uniform(p->x, p->n * p->values, 0, 1, 1, UM_RNG_BENCH, 0, 0);
    for (int64_t i = 0; i < p->n * pixels; i++)
        p->y[i] = p->x[i * w->channels] < 0.3f;
done:
    return rc;
}

/* ---- before it is timed ---- */

/* How far losses and gradients of images may be from float64, relative; rounding decides about maxima and signs inside a network. */
typedef struct limits { double loss, grad; } limits;
static const limits limits_of[] = {
    [UM_PRECISION_FP32] = {1e-4, 1e-2}, [UM_PRECISION_TF32] = {1e-2, 0.2}, [UM_PRECISION_BF16] = {5e-2, 0.5}};

static um_status exact_gradient(const pgd *p, const um_bench_job *job, const um_bench_step_job *w, double *dx, double *loss)
{
    um_status rc = UM_OK;
    um_backend *backend = NULL;
    attack exact = {0};
    double *x = NULL, *y = NULL;
    int64_t pixels = w->side * w->side;
    UM_TRY(UM_NEW_ARRAY(x, p->values));
    UM_TRY(UM_NEW_ARRAY(y, pixels));
    for (int64_t i = 0; i < p->values; i++)
        x[i] = (double)p->x[i];
    for (int64_t i = 0; i < pixels; i++)
        y[i] = (double)p->y[i];
    UM_TRY(um_backend_create(&backend, "cpu", UM_F64));
    UM_TRY(attack_create(&exact, backend, job, w, 1));
    UM_TRY(um_input_grad_run(exact.grad, x, y, 1, dx, loss));
done:
    attack_free(&exact);
    um_backend_free(backend);
    um_free(y);
    um_free(x);
    return rc;
}

/* The gradient of the first image of the batch, which is that of the image alone. */
static um_status check_gradient(pgd *p, const um_bench_job *job, const um_bench_step_job *w, double *loss)
{
    um_status rc = UM_OK;
    limits most = limits_of[((const um_run_options *)um_settings_get(job->settings, "run"))->precision];
    double *want = NULL, want_loss = 0, d = 0, s = 0;
    UM_TRY(UM_NEW_ARRAY(want, p->values));
    UM_TRY(exact_gradient(p, job, w, want, &want_loss));
    UM_TRY(um_input_grad_run(p->net.grad, p->x, p->y, p->n, p->v, loss));
    for (int64_t i = 0; i < p->values; i++) {
        d += ((double)p->v[i] - want[i]) * ((double)p->v[i] - want[i]);
        s += want[i] * want[i];
    }
    p->error = sqrt(d / s);
    if (!(p->error <= most.grad) || !(fabs(loss[0] - want_loss) <= most.loss * want_loss))
        rc = um_fail(UM_E_NUMERIC, "%s: an image's gradient is off by %.2g from float64, more than %.2g, or its loss: %g, not %g", w->model,
                     p->error, most.grad, loss[0], want_loss);
done:
    um_free(want);
    return rc;
}

static um_status turn(pgd *p)
{
    memcpy(p->v, p->x, (size_t)(p->n * p->values) * sizeof *p->v);
    return um_pgd_run(p->net.grad, &ball, STEPS, p->v, p->x, p->y, NULL, p->n, false);
}

/* Steps stay in the ball and climb the loss of the batch. */
static um_status check_steps(pgd *p, const double *before)
{
    um_status rc = UM_OK;
    double *after = NULL, climbed = 0, furthest = 0;
    bool inside = true;
    UM_TRY(UM_NEW_ARRAY(after, p->n));
    UM_TRY(turn(p));
    for (int64_t i = 0; i < p->n * p->values; i++) {
        furthest = fmax(furthest, fabs((double)p->v[i] - (double)p->x[i]));
        inside &= p->v[i] >= 0 && p->v[i] <= 1;
    }
    UM_TRY(um_input_grad_run(p->net.grad, p->v, p->y, p->n, NULL, after));
    for (int64_t i = 0; i < p->n; i++)
        climbed += after[i] - before[i];
    if (!inside || furthest > ball.eps + 1e-6 || furthest < ball.step || !(climbed > 0))
        rc = um_fail(UM_E_NUMERIC, "%d steps moved images by up to %g in a ball of %g, %s [0,1], their losses by %g", STEPS,
                     furthest, ball.eps, inside ? "inside" : "out of", climbed);
done:
    um_free(after);
    return rc;
}

static um_status check(pgd *p, const um_bench_job *job, const um_bench_step_job *w)
{
    um_status rc = UM_OK;
    double *loss = NULL;
    UM_TRY(UM_NEW_ARRAY(loss, p->n));
    UM_TRY(check_gradient(p, job, w, loss));
    UM_TRY(check_steps(p, loss));
done:
    um_free(loss);
    return rc;
}

/* ---- timing ---- */

static um_status run_turn(void *payload, double *seconds)
{
    double start = um_now();
    um_status rc = turn(payload);
    *seconds = (um_now() - start) / STEPS;
    return rc;
}

static um_status report(const pgd *p, um_peer *peer, const um_bench_times *t, double peak, um_text *out)
{
    um_status rc = UM_OK;
    um_cost cost;
    double own = um_bench_median(t, 0);
    UM_TRY(um_input_grad_cost(&cost, p->net.backend, &p->net.config));
    double rate = (double)p->n * cost.flops / own;
    UM_TRY(um_text_add(out, "umed       median %.3f ms, least %.3f ms, %.1f GFLOP/s; the gradient within %.1g of float64\n",
                       1e3 * own, 1e3 * um_bench_least(t, 0), 1e-9 * rate, p->error));
    if (peer) {
        UM_TRY(um_text_add(out, "%-10s median %.3f ms, least %.3f ms (%s)\n", um_peer_name(peer), 1e3 * um_bench_median(t, 1),
                           1e3 * um_bench_least(t, 1), um_peer_conditions(peer)));
        UM_TRY(um_text_add(out, "umed against %s, median of %d interleaved turns of %d steps: %.2fx\n", um_peer_name(peer),
                           t->n_rounds, STEPS, um_bench_ratio(t, 1, 0)));
    } else if (p->net.backend->on_host) {
        UM_TRY(um_text_add(out, "share of the multiply-add peak, median of %d turns of %d steps: %.2fx\n", t->n_rounds, STEPS,
                           rate / peak));
    } else {
        UM_TRY(um_text_add(out, "images per second, median of %d turns of %d steps: %.1f\n", t->n_rounds, STEPS,
                           (double)p->n / own));
    }
done:
    return rc;
}

um_status um_bench_pgd(const um_bench_job *job, const um_bench_step_job *w, um_text *out)
{
    um_status rc = UM_OK;
    pgd p = {0};
    um_peer *peer = NULL;
    um_bench_times t;
    char what[24];
    double peak = 0;
    snprintf(what, sizeof what, "pgd:%d", STEPS);
    UM_TRY(attack_create(&p.net, job->backend, job, w, w->batch));
    UM_TRY(feed(&p, w));
    UM_TRY(check(&p, job, w));
    if (job->peer)
        UM_TRY(um_step_peer_start(&peer, job, w, what));
    UM_TRY(um_step_title(job, w, "images along the gradient of their losses through a frozen network; ", &peak, out));
    um_bench_way ways[] = {{"umed", run_turn, &p}, {job->peer, um_bench_run_peer, peer}};
    UM_TRY(um_bench_rounds(&t, ways, peer ? 2 : 1, job->rounds));
    UM_TRY(report(&p, peer, &t, peak, out));
done:
    um_peer_free(peer);
    attack_free(&p.net);
    um_free(p.x);
    um_free(p.v);
    um_free(p.y);
    return rc;
}
