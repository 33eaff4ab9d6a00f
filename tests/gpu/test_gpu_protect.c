/* Protectors that learn, on the CUDA backend beside the CPU: the same fit of a few steps gives the same losses to rounding, whatever went on inside a
 * device (data that stays there, recorded steps, attacks that move images there); UMed's perturbation too, which no sign of a gradient decides. */
#include <stdlib.h>
#include <string.h>

#include "gpu/gpu_test.h"
#include "kernels/cuda_host/cuda_host.h"
#include "protect/protect_fixture.h"

static const char *const longer[] = {"umed.schedule.cycles=3", NULL};

typedef struct fitted {
    protection p;
    um_backend *b;
    float *delta; /* of all images */
} fitted;

static void fit_on(fitted *f, const char *name, um_dtype real, const char *protector, int bits)
{
    assert_ok(um_backend_open(&f->b, name, real, UM_PRECISION_FP32));
    protection_open(&f->p, f->b, protector, 3, bits, longer);
    protection_fit(&f->p);
    f->delta = NULL;
}

static void unfit(fitted *f)
{
    um_free(f->delta);
    protection_close(&f->p);
    um_backend_free(f->b);
}

/* The largest relative difference of a loss. */
static double losses_apart(const um_curves *a, const um_curves *b)
{
    double worst = 0;
    assert_int_equal(a->n, b->n);
    assert_true(b->n > 0);
    for (int i = 0; i < b->n; i++) {
        const um_curve *p = &a->list[i], *q = &b->list[i];
        assert_string_equal(p->name, q->name);
        assert_int_equal(p->n, q->n);
        for (int k = 0; strstr(p->name, "loss") && k < q->n; k++)
            worst = fmax(worst, fabs(p->y[k] - q->y[k]) / fmax(fabs(q->y[k]), 1e-3));
    }
    return worst;
}

static double deltas_apart(const fitted *a, const fitted *b)
{
    double off = 0, size = 0;
    for (int64_t i = 0; i < IMAGES * image_size(a->p.clean); i++) {
        off += pow((double)a->delta[i] - (double)b->delta[i], 2);
        size += pow((double)b->delta[i], 2);
    }
    assert_true(size > 0);
    return sqrt(off / size);
}

/* From the fit in f64 the device is no more than ten times as far as the CPU's f32 is: Adam's first steps make much of gradients that are
 * rounding alone. */
static void fits_as_on_the_cpu(const char *protector, int bits, bool compare_delta)
{
    fitted device, narrow, wide, *const all[] = {&device, &narrow, &wide};
    fit_on(&device, "cuda", UM_F32, protector, bits);
    fit_on(&narrow, "cpu", UM_F32, protector, bits);
    fit_on(&wide, "cpu", UM_F64, protector, bits);
    double got = losses_apart(&device.p.curves, &wide.p.curves), usual = losses_apart(&narrow.p.curves, &wide.p.curves);
    print_message("%s, %d bit: losses within %.1e of those in f64, the CPU's f32 within %.1e\n", protector, bits, got, usual);
    assert_true(got < 10 * fmax(usual, 1e-6));
    for (int k = 0; compare_delta && k < 3; k++)
        all[k]->delta = protection_delta(&all[k]->p, IMAGES);
    if (compare_delta) {
        got = deltas_apart(&device, &wide), usual = deltas_apart(&narrow, &wide);
        print_message("%s, %d bit: perturbation %.1e from that in f64, the CPU's f32 %.1e\n", protector, bits, got, usual);
        assert_true(got < 10 * fmax(usual, 1e-6) && got < 1);
    }
    for (int k = 0; k < 3; k++)
        unfit(all[k]);
}

static void umed(void **state)
{
    (void)state;
    fits_as_on_the_cpu("umed", 8, true);
    fits_as_on_the_cpu("umed", 16, true);
}

/* A sign that rounding turns moves a pixel by two steps: losses follow, pixels need not. */
static void attacks(void **state)
{
    (void)state;
    static const char *const names[] = {"em", "tap", "sep"};
    for (size_t i = 0; i < UM_COUNT(names); i++)
        fits_as_on_the_cpu(names[i], 8, false);
}

#ifdef UM_CUDA_HOST
/* A step of UMed is a replay; what it uploads are row numbers, rates and the like. */
static void umed_steps_are_replays(void **state)
{
    (void)state;
    enum { CYCLES = 3, EPOCHS = CYCLES * 3, STEPS_IN_ALL = EPOCHS * STEPS };
    fitted f;
    char order[sizeof um_host_traced.text] = "";
    um_host_count = (um_host_counts){0};
    um_host_traced = (um_host_trace){.on = true};
    fit_on(&f, "cuda", UM_F32, "umed", 8);
    for (int i = 0, n = 0; i < um_host_traced.n; i++)
        if (strchr("rW", um_host_traced.text[i]))
            order[n++] = um_host_traced.text[i];
    um_host_traced = (um_host_trace){0};
    assert_non_null(strstr(order, "rrWWrrWW")); /* an epoch's second step has begun before the first one's loss is waited for */
    size_t data = (size_t)IMAGES * SIDE * SIDE * 4 + (size_t)TRAINED * SIDE * SIDE * 2 * sizeof(float), weights = 0;
    const um_umed *u = f.p.state;
    const um_params *const nets[] = {u->contour, u->texture, u->surrogate};
    for (int k = 0; k < 3; k++) /* first weights and moments, buffers */
        weights += sizeof(float) * (size_t)(3 * nets[k]->n_values + 2 * nets[k]->n_buffers);
    print_message("%zu bytes went to the device, %zu of them data and %zu weights\n", um_host_count.uploaded, data, weights);
    assert_true(um_host_count.replays >= STEPS_IN_ALL - 4 && um_host_count.captures <= 8);
    assert_true(um_host_count.uploaded < data + weights + 100000);
    unfit(&f);
}
/* What a fit of an attack asks of the device when one of its options has this value. */
static um_host_counts traffic(const char *protector, const char *set)
{
    const char *const sets[] = {set, NULL};
    fitted f = {0};
    assert_ok(um_backend_open(&f.b, "cuda", UM_F32, UM_PRECISION_FP32));
    protection_open(&f.p, f.b, protector, 1, 8, sets);
    um_host_count = (um_host_counts){0};
    protection_fit(&f.p);
    um_host_counts counts = um_host_count;
    unfit(&f);
    return counts;
}

/* More gradient steps are more runs, and no image travels for them; SEP's take the means of their checkpoint with them. */
static void steps_of_attacks_stay_on_the_device(void **state)
{
    (void)state;
    static const struct {
        const char *name, *few, *many;
        int gradients; /* more of them, in both batches */
    } cases[] = {{"em", "em.T=2", "em.T=8", 2 * 2 * 6},
                 {"tap", "tap.steps=3", "tap.steps=9", 2 * 6},
                 {"sep", "sep.T=2", "sep.T=5", 2 * 3 * 5},
                 {"sep", "sep.M=3", "sep.M=8", 2 * 2 * 5}};
    for (size_t i = 0; i < UM_COUNT(cases); i++) {
        um_host_counts few = traffic(cases[i].name, cases[i].few), many = traffic(cases[i].name, cases[i].many);
        size_t means = (size_t)BATCH * 2 * 2 * sizeof(float); /* of both classes, two channels, for every image */
        print_message("%s, %s: %d runs more, %zu bytes to the device\n", cases[i].name, cases[i].many, many.replays - few.replays,
                      many.uploaded - few.uploaded);
        assert_true(many.replays - few.replays >= cases[i].gradients);
        assert_true(many.uploaded - few.uploaded <= (size_t)cases[i].gradients * (strcmp(cases[i].name, "sep") ? 0 : means));
        assert_int_equal(many.downloads, few.downloads);
        assert_int_equal(many.fetches, few.fetches);
        assert_int_equal(many.allocs - many.frees, few.allocs - few.frees);
        assert_int_equal(many.syncs, few.syncs);
    }
}
#endif

int main(void)
{
    gpu_need_device();
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(umed),
        FIXTURE_TEST(attacks),
#ifdef UM_CUDA_HOST
        FIXTURE_TEST(umed_steps_are_replays),
        FIXTURE_TEST(steps_of_attacks_stay_on_the_device),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
