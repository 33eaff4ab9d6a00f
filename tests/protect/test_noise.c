/* LSP and AR against their definitions, and the budgets that both share. */
#include "protect/ar.h"
#include "protect/lsp.h"
#include "protect/protect_fixture.h"

static um_lsp_options lsp_options(int mix)
{
    return (um_lsp_options){.patch = 8, .class_sep = 10, .mix = mix};
}

/* Logistic regression on half of the points, scored on the other half. */
static double probe_accuracy(um_lsp *l)
{
    enum { POINTS = 400, EPOCHS = 20 };
    float *x = NULL;
    double *weight = NULL, bias = 0;
    int right = 0;
    assert_ok(UM_NEW_ARRAY(x, POINTS * l->d));
    assert_ok(UM_NEW_ARRAY(weight, l->d));
    for (int i = 0; i < POINTS; i++)
        um_lsp_sample(l, 1000 + (uint64_t)i, i & 1, x + i * l->d);
    for (int epoch = 0; epoch < EPOCHS; epoch++)
        for (int i = 0; i < POINTS / 2; i++) {
            double z = bias, y = i & 1;
            for (int64_t k = 0; k < l->d; k++)
                z += weight[k] * (double)x[i * l->d + k];
            double step = 1e-3 * (y - 1 / (1 + exp(-z)));
            for (int64_t k = 0; k < l->d; k++)
                weight[k] += step * (double)x[i * l->d + k];
            bias += step;
        }
    for (int i = POINTS / 2; i < POINTS; i++) {
        double z = bias;
        for (int64_t k = 0; k < l->d; k++)
            z += weight[k] * (double)x[i * l->d + k];
        right += (z > 0) == (i & 1);
    }
    um_free(x);
    um_free(weight);
    return right / (POINTS / 2.0);
}

static void lsp_clusters_are_linearly_separable(void **state)
{
    (void)state;
    for (int mix = 0; mix < 2; mix++)
        for (int64_t c = 1; c <= 3; c += 2) {
            um_lsp *l = NULL;
            um_lsp_options o = lsp_options(mix);
            assert_ok(um_lsp_create(&l, &o, 5, 64, 64, c));
            double accuracy = probe_accuracy(l);
            if (!(accuracy > 0.99))
                fail_msg("mix %d, %ld channels: accuracy %g", mix, (long)c, accuracy);
            um_lsp_free(l);
        }
    um_lsp *l = NULL; /* the probe can fail: without a distance between the centres it guesses */
    um_lsp_options none = lsp_options(0);
    none.class_sep = 0;
    assert_ok(um_lsp_create(&l, &none, 5, 64, 64, 1));
    assert_true(probe_accuracy(l) < 0.8);
    um_lsp_free(l);
}

/* Vertices at the corners; mean and spread of many points: v, and sqrt(d/3) (literal) or 4 (cifar_equiv) per coordinate. */
static void lsp_points_have_the_stated_distribution(void **state)
{
    (void)state;
    enum { POINTS = 2000 };
    for (int mix = 0; mix < 2; mix++) {
        um_lsp *l = NULL;
        um_lsp_options o = lsp_options(mix);
        double squares = 0, offset = 0;
        assert_ok(um_lsp_create(&l, &o, 7, 60, 60, 1)); /* 8x8 patches, the last ones cut */
        assert_int_equal(l->d, 64);
        float *sum = NULL, point[64];
        assert_ok(UM_NEW_ARRAY(sum, 64));
        for (int i = 0; i < POINTS; i++) {
            um_lsp_sample(l, (uint64_t)i, 1, point);
            for (int k = 0; k < 64; k++) {
                double d = (double)(point[k] - l->vertex[64 + k]);
                sum[k] += point[k];
                squares += d * d;
            }
        }
        for (int k = 0; k < 64; k++) {
            assert_true(fabsf(l->vertex[64 + k]) == 10);
            offset = fmax(offset, fabs((double)(sum[k] / POINTS - l->vertex[64 + k])));
        }
        double sd = sqrt(squares / (POINTS * 64.0)), wanted = mix ? 4 : sqrt(64 / 3.0);
        assert_true(fabs(sd - wanted) <= 0.06 * wanted);
        assert_true(offset <= 5 * wanted / sqrt(POINTS));
        um_free(sum);
        um_lsp_free(l);
    }
}

/* Every patch is constant on either side of the mask. */
static void lsp_noise_is_made_of_patches(void **state)
{
    (void)state;
    protection p;
    protection_open(&p, backend, "lsp", 3, 8, NULL);
    protection_fit(&p);
    float *delta = protection_delta(&p, IMAGES);
    for (int64_t row = 0; row < IMAGES; row++) {
        const uint8_t *mask = um_dataset_mask(p.clean, row);
        for (int64_t i = 0; i < SIDE * SIDE; i++) {
            int64_t corner = i / SIDE / 8 * 8 * SIDE + i % SIDE / 8 * 8;
            for (int64_t j = corner; mask[i] == mask[corner] && j == corner; j++)
                assert_memory_equal(delta + (row * SIDE * SIDE + i) * 3, delta + (row * SIDE * SIDE + j) * 3, 3 * sizeof *delta);
        }
    }
    um_free(delta);
    protection_close(&p);
}

static um_ar_options ar_options(void)
{
    return (um_ar_options){.crop = 4, .max_tries = 1000000};
}

static void ar_signals_follow_their_recurrence(void **state)
{
    (void)state;
    enum { SIGNAL = 48 };
    um_ar *a = NULL;
    um_ar_options o = ar_options();
    static double s[SIGNAL * SIGNAL * 3];
    assert_ok(um_ar_create(&a, &o, 3, SIGNAL, SIGNAL, 3));
    for (int n = 0; n < 2; n++) {
        double worst = 0, peak = 0;
        for (int k = 0; k < 3; k++) {
            double sum = 0;
            for (int t = 0; t < 9; t++)
                sum += a->process[n].b[k][t];
            assert_true(fabs(sum - 1) <= 1e-12 && a->process[n].b[k][8] == 0);
        }
        assert_true(um_ar_signal(a, &a->process[n], 42, UM_RNG_AR_START, (uint32_t)n, s));
        for (int i = 2; i < SIGNAL; i++)
            for (int j = 2; j < SIGNAL; j++)
                for (int k = 0; k < 3; k++) {
                    double sum = 0;
                    for (int u = 0; u < 3; u++)
                        for (int v = 0; v < 3; v++)
                            sum += a->process[n].b[k][u * 3 + v] * s[((i - 2 + u) * SIGNAL + j - 2 + v) * 3 + k];
                    worst = fmax(worst, fabs(sum - s[(i * SIGNAL + j) * 3 + k]));
                    peak = fmax(peak, fabs(sum));
                }
        assert_true(peak > 0.01 && worst <= 1e-12 * peak);
    }
    um_ar_free(a);
}

/* The matching filter is silent on its own process and loud on the other. */
static void ar_filters_tell_the_processes_apart(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        um_ar *a = NULL;
        um_ar_options o = ar_options();
        static double s[2][48 * 48 * 3];
        assert_ok(um_ar_create(&a, &o, seed, 48, 48, 3));
        for (int n = 0; n < 2; n++)
            assert_true(um_ar_signal(a, &a->process[n], 9, UM_RNG_AR_START, (uint32_t)n, s[n]));
        for (int n = 0; n < 2; n++)
            assert_true(um_ar_response(&a->process[n], s[n], 48, 48, 3) <= 1e-9);
        /* what the search demands of its trial signals holds for others of the process too, within their spread */
        assert_true(um_ar_response(&a->process[0], s[1], 48, 48, 3) >= 0.8 * 10 * 48 / 32);
        um_ar_free(a);
    }
    um_ar *a = NULL;
    um_ar_options never = ar_options();
    never.resp_min = 1e6;
    never.max_tries = 200;
    assert_int_equal(um_ar_create(&a, &never, 1, 32, 32, 1), UM_E_NUMERIC);
    assert_non_null(strstr(um_error_text(), "ar.resp_min"));
}

static double mean_psnr(const protection *p)
{
    double sum = 0;
    for (int64_t r = 0; r < p->rows.n; r++) {
        double squares = 0;
        for (int64_t i = 0; i < image_size(p->clean); i++) {
            double d = (double)(pixel_of(p->released, p->rows.index[r] * image_size(p->clean) + i) -
                                pixel_of(p->clean, p->rows.index[r] * image_size(p->clean) + i)) /
                       um_dataset_max(p->clean);
            squares += d * d;
        }
        sum += -10 * log10(squares / (double)image_size(p->clean));
    }
    return sum / (double)p->rows.n;
}

static const char *const makers[] = {"lsp", "ar"};

static void open_maker(protection *p, const char *name, int64_t channels, int bits, const char *a, const char *b)
{
    char first[64], second[64];
    const char *sets[] = {first, second, NULL};
    snprintf(first, sizeof first, "%s.bound.%s", name, a);
    snprintf(second, sizeof second, "%s.bound.%s", name, b);
    protection_open(p, backend, name, channels, bits, sets);
    protection_fit(p);
    protection_release(p, NULL);
}

static void psnr_target_is_met(void **state)
{
    (void)state;
    for (size_t m = 0; m < 2; m++)
        for (int bits = 8; bits <= 16; bits += 8) {
            protection p;
            open_maker(&p, makers[m], bits == 8 ? 1 : 3, bits, "mode=psnr_target", "psnr=37.62");
            assert_true(fabs(mean_psnr(&p) - 37.62) <= 0.02);
            assert_true(isinf(p.def->bound(p.settings)));
            assert_string_equal(p.def->bound_name(p.settings), "psnr");
            protection_close(&p);
        }
}

/* Each image's noise has exactly the norm of the rule, before it meets the range of pixels. */
static void l2_rule(void **state)
{
    (void)state;
    for (size_t m = 0; m < 2; m++) {
        protection p;
        open_maker(&p, makers[m], 3, 8, "mode=l2", "l2_rms=6/255");
        float *delta = protection_delta(&p, IMAGES);
        for (int64_t r = 0; r < IMAGES; r++) {
            double squares = 0;
            for (int64_t i = 0; i < image_size(p.clean); i++)
                squares += (double)delta[r * image_size(p.clean) + i] * (double)delta[r * image_size(p.clean) + i];
            assert_true(fabs(sqrt(squares) - 6.0 / 255 * sqrt((double)image_size(p.clean))) <= 1e-4);
        }
        um_free(delta);
        protection_close(&p);
    }
}

static void clamped_rules_keep_the_bound(void **state)
{
    (void)state;
    for (size_t m = 0; m < 2; m++)
        for (int mode = 0; mode < 2; mode++) {
            protection p;
            open_maker(&p, makers[m], 1, 8, mode ? "mode=l2_then_linf" : "mode=linf", "eps=3/255");
            assert_true(fabs(p.def->bound(p.settings) - 3.0 / 255) <= 1e-15);
            assert_int_equal(largest_step(&p), 3);
            protection_close(&p);
        }
}

/* Under per_region both sides of the mask have the same root mean square. */
static void regions_are_scaled_apart(void **state)
{
    (void)state;
    static const char *const sets[] = {"lsp.scale_scope=per_region", "lsp.bound.mode=l2", NULL};
    protection p;
    protection_open(&p, backend, "lsp", 1, 8, sets);
    protection_fit(&p);
    float *delta = protection_delta(&p, IMAGES);
    for (int64_t r = 0; r < IMAGES; r++) {
        double squares[2] = {0}, n[2] = {0};
        for (int64_t i = 0; i < SIDE * SIDE; i++) {
            int inside = um_dataset_mask(p.clean, r)[i];
            squares[inside] += (double)delta[r * SIDE * SIDE + i] * (double)delta[r * SIDE * SIDE + i];
            n[inside]++;
        }
        assert_true(fabs(sqrt(squares[0] / n[0]) - 6.0 / 255) <= 1e-6 && fabs(sqrt(squares[1] / n[1]) - 6.0 / 255) <= 1e-6);
    }
    um_free(delta);
    protection_close(&p);
}

/* By id and seed alone: any grouping, and images that the fit never saw. */
static void noise_depends_on_id_and_seed(void **state)
{
    (void)state;
    for (size_t m = 0; m < 2; m++) {
        protection p, other;
        um_dataset *fresh = NULL, *released = NULL;
        protection_open(&p, backend, makers[m], 1, 8, NULL);
        protection_fit(&p);
        float *all = protection_delta(&p, IMAGES), *single = protection_delta(&p, 1);
        assert_memory_equal(all, single, (size_t)(IMAGES * SIDE * SIDE) * sizeof *all);
        protection_open(&other, backend, makers[m], 1, 8, NULL);
        other.job.seed = 6;
        protection_fit(&other);
        float *elsewhere = protection_delta(&other, IMAGES);
        assert_memory_not_equal(all, elsewhere, SIDE * SIDE * sizeof *all);
        assert_ok(um_import_phantoms(&fresh, 2, SIDE, 1, 77, NULL));
        assert_ok(um_protect_apply(&released, p.def, p.state, p.settings, fresh, NULL));
        assert_false(same_images(fresh, released));
        um_dataset_free(fresh);
        um_dataset_free(released);
        um_free(all);
        um_free(single);
        um_free(elsewhere);
        protection_close(&p);
        protection_close(&other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BACKEND_TEST(lsp_clusters_are_linearly_separable),
        BACKEND_TEST(lsp_points_have_the_stated_distribution),
        BACKEND_TEST(lsp_noise_is_made_of_patches),
        BACKEND_TEST(ar_signals_follow_their_recurrence),
        BACKEND_TEST(ar_filters_tell_the_processes_apart),
        BACKEND_TEST(psnr_target_is_met),
        BACKEND_TEST(l2_rule),
        BACKEND_TEST(clamped_rules_keep_the_bound),
        BACKEND_TEST(regions_are_scaled_apart),
        BACKEND_TEST(noise_depends_on_id_and_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
