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
    um_host_count = (um_host_counts){0};
    fit_on(&f, "cuda", UM_F32, "umed", 8);
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
#endif

int main(void)
{
    gpu_need_device();
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(umed),
        FIXTURE_TEST(attacks),
#ifdef UM_CUDA_HOST
        FIXTURE_TEST(umed_steps_are_replays),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
