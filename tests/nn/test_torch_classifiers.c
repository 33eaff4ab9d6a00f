/* Our classifiers against PyTorch, from numbers written by tests/ref/torch_classifiers.py (its head says what they are). Gates as in
 * test_torch_parity.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/threads.h"
#include "nn/parity.h"
#include "train/segmenter.h"

enum { CLASSES = 4, STEPS = 5, LANES = 3 };
static const double F64_GATE = 1e-8, F32_GATE = 1e-4;

static parity_file fixture;
static double images[PARITY_BATCH * PARITY_PIXELS];

static int read_fixture(void **state)
{
    static double masks[PARITY_BATCH * PARITY_PIXELS];
    (void)state;
    um_threads_set(1);
    parity_read(&fixture, "torch_classifiers.txt");
    parity_batch(images, masks);
    return 0;
}

static int free_fixture(void **state)
{
    (void)state;
    parity_free(&fixture);
    return 0;
}

static double compare(const char *net, const char *prec, const char *kind, const char *name, const double *t, int64_t n)
{
    double d = parity_distance(parity_find(&fixture, net, prec, kind, name), t, n), gate = prec[1] == '6' ? F64_GATE : F32_GATE;
    if (!(d <= gate))
        fail_msg("%s %s %s is %.3g away from PyTorch's, relative L2; the gate is %.0e", net, prec, kind, d, gate);
    return d;
}

static const um_params *sorted_params;

static int by_name(const void *a, const void *b)
{
    return strcmp(sorted_params->list[*(const int *)a].name, sorted_params->list[*(const int *)b].name);
}

/* All of a block in bytewise order of names; norms: [n], each tensor's, by which its part is divided; NULL: as it is. */
static double *joined(const um_params *p, um_param_block block, double *norms, int *n_params, int64_t *count)
{
    int *order = NULL, n = 0;
    double *all = NULL;
    int64_t at = 0;
    assert_ok(UM_NEW_ARRAY(order, p->n));
    assert_ok(UM_NEW_ARRAY(all, p->n_values));
    for (int i = 0; i < p->n; i++)
        if (p->list[i].kind != UM_PARAM_BUFFER)
            order[n++] = i;
    sorted_params = p;
    qsort(order, (size_t)n, sizeof *order, by_name);
    for (int i = 0; i < n; i++) {
        int64_t size = p->list[order[i]].count;
        double sum = 0;
        assert_ok(um_params_read(p, order[i], block, all + at));
        for (int64_t k = 0; k < size; k++)
            sum += all[at + k] * all[at + k];
        double norm = sqrt(sum) >= 1e-10 ? sqrt(sum) : 0;
        for (int64_t k = 0; norms && k < size; k++)
            all[at + k] = norm > 0 ? all[at + k] / norm : 0;
        if (norms)
            norms[i] = norm;
        at += size;
    }
    *n_params = n;
    *count = at;
    um_free(order);
    return all;
}

static um_segmenter *make(const char *name, um_dtype real, um_backend **backend)
{
    um_segmenter *s = NULL;
    bool vit = strcmp(name, "vit_b16") == 0;
    um_segmenter_config config = {.net = {.width = vit ? 2 : 4, .in_ch = 1, .out_ch = CLASSES}, .h = PARITY_SIDE, .w = PARITY_SIDE,
                                  .max_batch = PARITY_BATCH, .spread = {.lanes = LANES},
                                  .adam = {.lr = 1e-6, .b1 = 0.9, .b2 = 0.999, .eps = 1e-8, .weight_decay = 1e-4, .sgd = true}};
    assert_ok(um_backend_create(backend, "cpu", real));
    assert_ok(um_model_find(&config.model, name));
    assert_ok(um_segmenter_create(&s, *backend, &config));
    assert_ok(um_params_init(s->params, 1, UM_RNG_TEST));
    parity_weights(s->params);
    return s;
}

static void matches_torch(void **state)
{
    const char *name = *state;
    const double labels[PARITY_BATCH] = {1, 2, 0};
    double losses[STEPS], loss[3], logits[PARITY_BATCH * CLASSES], norms[512];
    um_backend *backend = NULL;
    um_segmenter *s = make(name, UM_F64, &backend);
    int n = 0, steps = (int)parity_find(&fixture, name, "f64", "losses", "steps")->numel;
    int64_t count = 0;
    assert_in_range(steps, 1, STEPS);
    for (int i = 0; i < steps; i++) {
        assert_ok(um_segmenter_step(s, images, labels, PARITY_BATCH, loss));
        losses[i] = loss[0];
        if (i > 0)
            continue;
        double *grads = joined(s->params, UM_BLOCK_GRAD, norms, &n, &count);
        double d = compare(name, "f64", "unit_grads", "step1", grads, count);
        print_message("%s: gradients %.1e of %lld parameters\n", name, d, (long long)count);
        compare(name, "f64", "grad_norms", "step1", norms, n);
        um_free(grads);
    }
    compare(name, "f64", "loss", "step1", losses, 1);
    compare(name, "f64", "losses", "steps", losses, steps);
    double *weights = joined(s->params, UM_BLOCK_VALUE, NULL, &n, &count);
    compare(name, "f64", "state", "steps", weights, count);
    um_free(weights);
    assert_ok(um_segmenter_logits(s, images, PARITY_BATCH, logits));
    compare(name, "f64", "eval_logits", "steps", logits, PARITY_BATCH * CLASSES);
    um_segmenter_free(s);
    um_backend_free(backend);
}

static void loss_in_f32(void **state)
{
    const char *name = *state;
    const float labels[PARITY_BATCH] = {1, 2, 0};
    static float x[PARITY_BATCH * PARITY_PIXELS];
    um_backend *backend = NULL;
    um_segmenter *s = make(name, UM_F32, &backend);
    double loss[3];
    for (int i = 0; i < PARITY_BATCH * PARITY_PIXELS; i++)
        x[i] = (float)images[i];
    assert_ok(um_segmenter_step(s, x, labels, PARITY_BATCH, loss));
    compare(name, "f32", "loss", "step1", loss, 1);
    um_segmenter_free(s);
    um_backend_free(backend);
}

int main(void)
{
    static char names[][16] = {"resnet18", "resnet50", "densenet121", "vgg16_bn", "vit_b16"};
    struct CMUnitTest tests[10];
    for (int i = 0; i < 5; i++) {
        tests[i] = (struct CMUnitTest){names[i], matches_torch, NULL, NULL, names[i]};
        tests[5 + i] = (struct CMUnitTest){names[i], loss_in_f32, NULL, NULL, names[i]};
    }
    return cmocka_run_group_tests(tests, read_fixture, free_fixture);
}
