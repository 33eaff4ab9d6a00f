#include "nn/grad_check.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"

static const double GATE = 1e-5, STEP = 1e-5;
static const double SMALLEST = 1e-7; /* of a tensor's gradients: a bias before a BatchNorm has rounding errors only */

static double forward(const grad_check *c)
{
    um_batch batch;
    double loss[3];
    um_batch_set(&batch, c->n, c->lanes);
    assert_ok(um_exec_run(c->exec, &batch, 0, c->graph->n_forward));
    assert_ok(um_exec_download(c->exec, c->loss, loss, 1));
    return loss[0];
}

/* One tensor under test: its elements can be set one by one. index < 0: the image. */
typedef struct target {
    const grad_check *c;
    int index;
    double *value, *analytic;
    int64_t count;
} target;

static double loss_at(const target *t, int64_t element, double value)
{
    double old = t->value[element];
    t->value[element] = value;
    if (t->index < 0)
        assert_ok(um_exec_upload(t->c->exec, t->c->x, t->value, t->c->n));
    else
        assert_ok(um_params_write(t->c->params, t->index, UM_BLOCK_VALUE, t->value));
    t->value[element] = old;
    return forward(t->c);
}

/* Error relative to the tensor's largest gradient, less what rounding of the two losses explains. */
static double error_at(const target *t, int64_t element, double step, double scale)
{
    double v = t->value[element], h = step * fmax(1, fabs(v));
    double up = loss_at(t, element, v + h), down = loss_at(t, element, v - h), rounding = 4 * DBL_EPSILON * fabs(up) / h;
    return fmax(fabs((up - down) / (2 * h) - t->analytic[element]) - rounding, 0) / scale;
}

static void probe_tensor(const target *t, const char *name, grad_result *result)
{
    double scale = 0;
    int64_t n = t->count < t->c->probes ? t->count : t->c->probes;
    for (int64_t i = 0; i < t->count; i++)
        scale = fmax(scale, fabs(t->analytic[i]));
    if (!(scale > 0))
        fail_msg("%s has no gradient", name);
    scale = fmax(scale, SMALLEST);
    for (int64_t k = 0; k < n; k++) {
        uint32_t words[4];
        um_rng_words(17, UM_RNG_TEST, (uint32_t)k, (uint64_t)(t->index + 1), 3, words);
        int64_t element = n == t->count ? k : (int64_t)(words[0] % (uint64_t)t->count);
        double step = STEP, error = error_at(t, element, step, scale);
        result->probes++;
        result->kinks += error >= GATE;
        for (; error >= GATE && step > STEP / 100; step /= 10)
            error = error_at(t, element, step / 10, scale);
        if (error >= GATE)
            fail_msg("%s[%ld]: gradient %.9g is off by %.2g of the largest, %.3g", name, (long)element, t->analytic[element], error,
                     scale);
        result->worst = fmax(result->worst, error);
    }
}

static void probe_param(const grad_check *c, int index, grad_result *result)
{
    const um_param *q = &c->params->list[index];
    if (q->kind == UM_PARAM_BUFFER)
        return;
    target t = {c, index, net_param(c->params, index, UM_BLOCK_VALUE), net_param(c->params, index, UM_BLOCK_GRAD), q->count};
    probe_tensor(&t, q->name, result);
    assert_ok(um_params_write(c->params, index, UM_BLOCK_VALUE, t.value));
    um_free(t.value);
    um_free(t.analytic);
}

static void probe_image(const grad_check *c, grad_result *result)
{
    const um_tensor *q = &c->graph->tensors[c->x];
    target t = {c, -1, c->image, NULL, c->n * q->h * q->w * q->c};
    assert_ok(UM_NEW_ARRAY(t.analytic, t.count));
    assert_ok(um_exec_download(c->exec, c->dx, t.analytic, c->n));
    probe_tensor(&t, "the image", result);
    assert_ok(um_exec_upload(c->exec, c->x, c->image, c->n));
    um_free(t.analytic);
}

void grad_check_run(const grad_check *c, grad_result *result)
{
    um_batch batch;
    *result = (grad_result){0};
    um_batch_set(&batch, c->n, c->lanes);
    assert_ok(um_exec_run(c->exec, &batch, 0, -1));
    if (c->dx >= 0)
        probe_image(c, result);
    for (int i = 0; c->params && i < c->params->n; i++)
        probe_param(c, i, result);
    if (result->kinks * 100 > result->probes)
        fail_msg("%d of %d probes met a kink; 1 %% may", result->kinks, result->probes);
}
