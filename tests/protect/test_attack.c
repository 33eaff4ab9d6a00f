/* EM, TAP and SEP against their definitions, image by image, and restarts. */
#include "protect/protect_fixture.h"
#include "protect/sep.h"

#define WIDE "model.base_width=4" /* narrower ones have dead ReLUs before they have learnt anything */
enum { VALUES = SIDE * SIDE };

/* A surrogate as the attack under test has it, seen from the input. */
typedef struct twin {
    um_attack a;
    um_attack_options o;
} twin;

static void twin_open_with(twin *t, const protection *p, um_input_loss kind, um_adam_attr adam)
{
    t->o = (um_attack_options){.eps = 4.0 / 255, .batch = 4, .adam = adam};
    assert_ok(um_attack_open(&t->a, &p->job, &t->o, kind, false));
}

static void twin_open(twin *t, const protection *p, um_input_loss kind)
{
    twin_open_with(t, p, kind, (um_adam_attr){.lr = 1e-2, .b1 = 0.9, .b2 = 0.999, .eps = 1e-8});
}

static float clip(double v, double lo, double hi)
{
    return (float)(v < lo ? lo : v > hi ? hi : v);
}

/* v after a signed step of length `step` along g from v, within eps of x and [0,1]. */
static void naive_step(float *v, const float *x, const float *g, double step)
{
    for (int i = 0; i < VALUES; i++) {
        double moved = (double)v[i] + (g[i] > 0 ? step : g[i] < 0 ? -step : 0), d = moved - (double)x[i];
        d = d > 4.0 / 255 ? 4.0 / 255 : d < -4.0 / 255 ? -4.0 / 255 : d;
        v[i] = clip((double)x[i] + d, 0, 1);
    }
}

/* The perturbations of the images that were fitted. */
static const um_delta_table *table_of(const protection *p)
{
    return strcmp(p->def->name, "em") == 0 ? p->state : ((const um_attack_state *)p->state)->table;
}

static const float *delta_of(const protection *p, int64_t at)
{
    return (const float *)table_of(p)->delta + at * VALUES;
}

static void assert_is_difference(const float *delta, const float *v, const float *x)
{
    double total = 0;
    for (int i = 0; i < VALUES; i++) {
        assert_true(delta[i] == (float)((double)v[i] - (double)x[i]));
        total += fabs((double)delta[i]);
    }
    assert_true(total > 0.1);
}

/* Under sgd every weight moves against its gradient by lr, and the noise follows that surrogate. */
static void em_can_use_sgd(void **state)
{
    (void)state;
    static const char *const sets[] = {WIDE, "em.surrogate_opt=sgd", "em.sgd.lr=0.05", "em.sgd.momentum=0.5", "em.sgd.wd=0",
                                       "em.M=1", "em.max_rounds=1", NULL};
    protection p, q;
    protection_open(&p, backend, "em", 1, 8, sets);
    protection_fit(&p);
    protection_open(&q, backend, "em", 1, 8, (const char *const[]){WIDE, "em.M=1", "em.max_rounds=1", NULL});
    protection_fit(&q);
    assert_memory_not_equal(table_of(&p)->delta, table_of(&q)->delta,
                            TRAINED * VALUES * sizeof(float));
    twin t;
    double loss[3];
    int64_t order[TRAINED];
    twin_open_with(&t, &p, UM_INPUT_SEG, (um_adam_attr){.lr = 0.05, .b1 = 0.5, .sgd = true});
    assert_ok(um_rows_order(order, &p.rows, p.job.seed, UM_RNG_SURROGATE_ORDER, 0));
    um_attack_load(&t.a, order, 4);
    float *before = NULL, *after = NULL;
    const um_params *w = t.a.surrogate->params;
    assert_ok(UM_NEW_ARRAY(before, um_params_snapshot_bytes(w) / sizeof(float)));
    assert_ok(UM_NEW_ARRAY(after, um_params_snapshot_bytes(w) / sizeof(float)));
    assert_ok(um_params_snapshot(w, before));
    assert_ok(um_segmenter_step(t.a.surrogate, t.a.v, t.a.y, 4, loss));
    assert_ok(um_params_snapshot(w, after));
    for (int64_t k = 0; k < w->n_values; k++)
        assert_true(fabs((double)(after[k] - (before[k] - 0.05f * ((const float *)w->block[UM_BLOCK_GRAD])[k]))) <= 1e-6);
    int64_t first = 0;
    um_attack_load(&t.a, &first, 1);
    float *v = (float *)(void *)t.a.v;
    for (int k = 0; k < 2; k++) {
        assert_ok(um_input_grad_run(t.a.grad, v, t.a.y, 1, t.a.dx, NULL));
        naive_step(v, (float *)(void *)t.a.x, (float *)(void *)t.a.dx, -0.4 / 255);
    }
    assert_is_difference(delta_of(&p, 0), v, (float *)(void *)t.a.x);
    um_free(before);
    um_free(after);
    um_attack_clear(&t.a);
    protection_close(&p);
    protection_close(&q);
}

/* One round by hand: three surrogate steps on clean images (delta is still 0), then T = 2 descent steps of every image alone. */
static void em_round_by_definition(void **state)
{
    (void)state;
    static const char *const sets[] = {WIDE, "em.max_rounds=1", "em.alpha=2/255", NULL};
    protection p;
    twin t;
    int64_t order[TRAINED], again[TRAINED];
    double loss[3];
    protection_open(&p, backend, "em", 1, 8, sets);
    protection_fit(&p);
    twin_open(&t, &p, UM_INPUT_SEG);
    assert_ok(um_rows_order(order, &p.rows, p.job.seed, UM_RNG_SURROGATE_ORDER, 0));
    assert_ok(um_rows_order(again, &p.rows, p.job.seed, UM_RNG_SURROGATE_ORDER, 1));
    const int64_t *batches[] = {order, order + 4, again}, sizes[] = {4, 2, 4};
    for (int b = 0; b < 3; b++) {
        um_attack_load(&t.a, batches[b], sizes[b]);
        assert_ok(um_segmenter_step(t.a.surrogate, t.a.v, t.a.y, sizes[b], loss));
    }
    for (int64_t i = 0; i < TRAINED; i++) {
        float *v = (float *)(void *)t.a.v, *x = (float *)(void *)t.a.x, *g = (float *)(void *)t.a.dx;
        um_attack_load(&t.a, &i, 1);
        for (int k = 0; k < 2; k++) {
            assert_ok(um_input_grad_run(t.a.grad, v, t.a.y, 1, g, NULL));
            naive_step(v, x, g, -2.0 / 255);
        }
        assert_is_difference(delta_of(&p, i), v, x);
    }
    um_attack_clear(&t.a);
    protection_close(&p);
}

/* Pixels outside the region never change; inside they do. */
static void em_keeps_to_its_region(void **state)
{
    (void)state;
    static const char *const regions[] = {"em.mask=contour", "em.mask=roi", "em.mask=roi_minus_contour"};
    for (size_t r = 0; r < UM_COUNT(regions); r++) {
        const char *const sets[] = {WIDE, regions[r], NULL};
        protection p;
        uint8_t band[VALUES];
        um_contour_options o = {.mode = UM_CONTOUR_STRADDLE, .radius = 1};
        protection_open(&p, backend, "em", 1, 8, sets);
        protection_fit(&p);
        int moved = 0;
        for (int64_t i = 0; i < TRAINED; i++) {
            const uint8_t *mask = um_dataset_mask(p.clean, p.rows.index[i]);
            assert_ok(um_contour_map(band, mask, SIDE, SIDE, &o));
            for (int k = 0; k < VALUES; k++) {
                bool free = r == 0 ? band[k] : r == 1 ? mask[k] : mask[k] && !band[k];
                assert_true(free || delta_of(&p, i)[k] == 0);
                moved += delta_of(&p, i)[k] != 0;
            }
        }
        assert_true(moved > 0);
        protection_close(&p);
    }
}

/* EM does what its name says: the frozen surrogate's loss is lower on what it made; and it stops once the surrogate follows. */
static void em_lowers_the_loss_and_stops(void **state)
{
    (void)state;
    static const char *const sets[] = {WIDE, "em.M=30", "em.max_rounds=40", "em.stop_dsc=0.9", "em.eps=32/255", "em.alpha=4/255",
                                       NULL};
    protection p;
    protection_open(&p, backend, "em", 1, 8, sets);
    protection_fit(&p);
    const um_curve *dsc = um_curves_find(&p.curves, "surrogate_dsc"), *loss = um_curves_find(&p.curves, "surrogate_loss");
    assert_true(dsc->n < 40 && dsc->y[dsc->n - 1] >= 0.9);
    assert_true(loss->y[loss->n - 1] < loss->y[0]);
    for (int i = 0; i + 1 < dsc->n; i++)
        assert_true(dsc->y[i] < 0.9);
    protection_close(&p);
}

/* The surrogate as TAP trained it, by the same training. */
static void train_twin(twin *t, const protection *p)
{
    um_fit_options o = {.epochs = 2, .batch = 4, .seed = p->job.seed, .order = UM_RNG_SURROGATE_ORDER, .label = "twin"};
    um_curves curves = {0};
    assert_ok(um_fit_run(t->a.surrogate, p->clean, &p->rows, &o, &curves));
    um_curves_free(&curves);
}

/* The mask that each mode aims at, and the sign of its steps. */
static void aimed_mask(const char *mode, const float *y, float *target)
{
    for (int i = 0; i < VALUES; i++) {
        int row = (i / SIDE + SIDE - SIDE / 4) % SIDE, col = (i % SIDE + SIDE - SIDE / 4) % SIDE;
        target[i] = !strcmp(mode, "invert")  ? 1 - y[i]
                    : !strcmp(mode, "empty") ? 0
                    : !strcmp(mode, "shift") ? y[row * SIDE + col]
                                             : y[i];
    }
}

static void tap_by_definition(void **state)
{
    (void)state;
    static const char *const modes[] = {"invert", "untargeted", "shift", "empty"};
    for (size_t m = 0; m < UM_COUNT(modes); m++) {
        char mode[32];
        snprintf(mode, sizeof mode, "tap.mode=%s", modes[m]);
        const char *const sets[] = {WIDE, mode, "tap.alpha_rel=0.25", NULL};
        protection p;
        twin t;
        float target[VALUES], noise[VALUES];
        protection_open(&p, backend, "tap", 1, 8, sets);
        protection_fit(&p);
        twin_open(&t, &p, UM_INPUT_SEG);
        train_twin(&t, &p);
        for (int64_t i = 0; i < TRAINED; i++) {
            float *v = (float *)(void *)t.a.v, *x = (float *)(void *)t.a.x, *g = (float *)(void *)t.a.dx;
            double start, end;
            um_attack_load(&t.a, &i, 1);
            aimed_mask(modes[m], (float *)(void *)t.a.y, target);
            um_rng_fill_normal(noise, VALUES, 0, (float)(4.0 / 255), p.job.seed, UM_RNG_TAP_START,
                               um_text_hash(p.clean->ids[p.rows.index[i]]), 0);
            for (int k = 0; k < VALUES; k++) {
                float moved = (float)((double)x[k] + (double)noise[k]);
                v[k] = clip((double)x[k] + (double)clip((double)moved - (double)x[k], -4.0 / 255, 4.0 / 255), 0, 1);
            }
            assert_ok(um_input_grad_run(t.a.grad, v, target, 1, NULL, &start));
            for (int k = 0; k < 3; k++) {
                assert_ok(um_input_grad_run(t.a.grad, v, target, 1, g, NULL));
                naive_step(v, x, g, (m == 1 ? 1 : -1) * 1.0 / 255);
            }
            assert_ok(um_input_grad_run(t.a.grad, v, target, 1, NULL, &end));
            assert_true(m == 1 ? end > start : end < start);
            for (int k = 0; k < VALUES; k++) /* the oracle rounds the start once more than the program */
                assert_true(fabs((double)(delta_of(&p, i)[k] - (v[k] - x[k]))) <= 1e-6);
        }
        um_attack_clear(&t.a);
        protection_close(&p);
    }
}

/* Loss of the perturbed images towards the inverted masks under the twin. */
static double aimed_loss(twin *t, const protection *p)
{
    double sum = 0;
    for (int64_t i = 0; i < TRAINED; i++) {
        float target[VALUES];
        double loss;
        um_attack_load(&t->a, &i, 1);
        aimed_mask("invert", (float *)(void *)t->a.y, target);
        for (int k = 0; k < VALUES; k++)
            ((float *)(void *)t->a.v)[k] = ((float *)(void *)t->a.x)[k] + delta_of(p, i)[k];
        assert_ok(um_input_grad_run(t->a.grad, t->a.v, target, 1, NULL, &loss));
        sum += loss;
    }
    return sum;
}

/* More starts are never worse; augmentation changes what comes out and keeps the ball. */
static void tap_restarts_and_augmentation(void **state)
{
    (void)state;
    static const char *const plain[] = {WIDE, NULL}, *const thrice[] = {WIDE, "tap.restarts=3", NULL},
                             *const augmented[] = {WIDE, "tap.augment=true", NULL};
    protection one, three, moved;
    twin t;
    protection_open(&one, backend, "tap", 1, 8, plain);
    protection_fit(&one);
    protection_open(&three, backend, "tap", 1, 8, thrice);
    protection_fit(&three);
    protection_open(&moved, backend, "tap", 1, 8, augmented);
    protection_fit(&moved);
    twin_open(&t, &one, UM_INPUT_SEG);
    train_twin(&t, &one);
    assert_true(aimed_loss(&t, &three) <= aimed_loss(&t, &one));
    assert_memory_not_equal(delta_of(&moved, 0), delta_of(&one, 0), VALUES * sizeof(float));
    for (int k = 0; k < TRAINED * VALUES; k++)
        assert_true(fabs((double)delta_of(&moved, 0)[k]) <= 4.0 / 255 + 1e-6);
    um_attack_clear(&t.a);
    protection_close(&one);
    protection_close(&three);
    protection_close(&moved);
}

/* The mean features of a checkpoint, by a plain average over all training pixels of a class. */
static void check_means(um_sep *s, int64_t k, float *h)
{
    int64_t channels = um_input_grad_channels(s->a.grad);
    double sums[2][64] = {{0}}, counts[2] = {0};
    assert_ok(um_params_restore(s->a.surrogate->params, s->snapshots + (size_t)k * s->snapshot_bytes));
    for (int64_t i = 0; i < TRAINED; i++) {
        const uint8_t *mask = um_dataset_mask(s->a.job->data, s->a.job->rows->index[i]);
        um_attack_load_clean(&s->a, &i, 1);
        assert_ok(um_input_grad_run(s->a.grad, s->a.x, s->a.y, 1, NULL, NULL));
        assert_ok(um_input_grad_features(s->a.grad, 1, h));
        for (int p = 0; p < VALUES; counts[mask[p++]]++)
            for (int64_t c = 0; c < channels; c++)
                sums[mask[p]][c] += (double)h[p * channels + c];
    }
    for (int y = 0; y < 2; y++)
        for (int64_t c = 0; c < channels; c++)
            assert_true(fabs(s->means[(k * 2 + y) * channels + c] - sums[y][c] / counts[y]) <= 1e-9 * (1 + fabs(sums[y][c])));
}

/* The gradient of checkpoint k is that of its own features to its own means of the other class (the published script takes the last
 * checkpoint's): finite differences of that sum, written out. */
static double align_loss(um_sep *s, int64_t k, const double *v, double *h)
{
    int64_t channels = um_input_grad_channels(s->a.grad);
    const double *y = (const double *)(void *)s->a.y, *mu = s->means + k * 2 * channels;
    double sum = 0;
    assert_ok(um_params_restore(s->a.surrogate->params, s->snapshots + (size_t)k * s->snapshot_bytes));
    assert_ok(um_input_grad_run(s->a.grad, v, y, 1, NULL, NULL));
    assert_ok(um_input_grad_features(s->a.grad, 1, h));
    for (int p = 0; p < VALUES; p++)
        for (int64_t c = 0; c < channels; c++) {
            double d = h[p * channels + c] - mu[(y[p] > 0.5 ? 0 : 1) * channels + c];
            sum += d * d / (double)(VALUES * channels);
        }
    return sum;
}

/* Gradient of checkpoint k at the n images v; the backend is the host. */
static void sep_gradient(um_sep *s, int64_t k, const void *v, int64_t n, void *g)
{
    um_view at = s->w, dx = {0};
    at.n = n;
    memcpy(at.data, v, (size_t)n * s->a.image_bytes);
    assert_ok(um_sep_gradient(s, k, &at, &dx));
    memcpy(g, dx.data, (size_t)n * s->a.image_bytes);
}

static void sep_aligns_with_each_checkpoints_own_means(void **state)
{
    (void)state;
    static const char *const sets[] = {WIDE, NULL};
    um_backend *wide = NULL;
    protection p;
    um_sep s;
    double g[VALUES], *h = NULL, worst = 0, largest = 0;
    assert_ok(um_backend_create(&wide, "cpu", UM_F64));
    protection_open(&p, wide, "sep", 1, 8, sets);
    assert_ok(um_sep_open(&s, &p.job, &p.curves));
    assert_ok(um_sep_learn(&s, &p.curves));
    assert_ok(UM_NEW_ARRAY(h, VALUES * um_input_grad_channels(s.a.grad)));
    assert_ok(um_sep_place(&s, um_sep_take_batch(&s, 0)));
    double *v = (double *)(void *)s.a.x;
    for (int64_t k = 0; k < 2; k++) {
        sep_gradient(&s, k, s.a.x, 1, g);
        for (int i = 0; i < 30; i++) {
            int at = i * 97 % VALUES;
            double was = v[at], step = 1e-6, up, down;
            v[at] = was + step, up = align_loss(&s, k, v, h);
            v[at] = was - step, down = align_loss(&s, k, v, h);
            v[at] = was;
            worst = fmax(worst, fabs((up - down) / (2 * step) - g[at]));
            largest = fmax(largest, fabs(g[at]));
        }
    }
    if (!(largest > 0 && worst <= 1e-4 * largest))
        fail_msg("error %g, gradients up to %g", worst, largest);
    um_free(h);
    um_sep_clear(&s);
    protection_close(&p);
    um_backend_free(wide);
}

/* Two outer steps by hand on one image: the direction is kept over the inner steps. */
static void sep_steps_by_definition(void **state)
{
    (void)state;
    for (int vr = 0; vr < 2; vr++) {
        const char *const sets[] = {WIDE, vr ? "sep.vr=true" : "sep.vr=false", vr ? "sep.fa=true" : "sep.fa=false", NULL};
        protection p;
        um_sep s;
        float h[VALUES * 8], x[VALUES], v[VALUES], w[VALUES], gk[2][VALUES], g[VALUES], gm[VALUES], dir[VALUES];
        protection_open(&p, backend, "sep", 1, 8, sets);
        protection_fit(&p);
        assert_ok(um_sep_open(&s, &p.job, &p.curves));
        assert_ok(um_sep_learn(&s, &p.curves));
        for (int64_t k = 0; vr && k < 2; k++)
            check_means(&s, k, h);
        assert_ok(um_sep_place(&s, um_sep_take_batch(&s, 0)));
        memcpy(x, s.a.x, sizeof x);
        memcpy(v, x, sizeof v);
        for (int t = 0; t < 2; t++) {
            for (int64_t k = 0; k < 2; k++)
                sep_gradient(&s, k, v, 1, gk[k]);
            for (int i = 0; i < VALUES; i++)
                gm[i] = dir[i] = (float)(((double)gk[0][i] + (double)gk[1][i]) / 2);
            memcpy(w, v, sizeof w);
            for (int i = 0; vr && i < VALUES; i++)
                dir[i] = 0;
            for (int m = 0; vr && m < 3; m++) {
                int64_t k = um_sep_draw(&s, t, m);
                sep_gradient(&s, k, w, 1, g);
                for (int i = 0; i < VALUES; i++)
                    dir[i] = (float)((double)dir[i] + (double)g[i] - ((double)gk[k][i] - (double)gm[i]));
                naive_step(w, x, dir, -1.0 / 255);
            }
            naive_step(v, x, dir, -1.0 / 255);
        }
        assert_is_difference(delta_of(&p, 0), v, x);
        um_sep_clear(&s);
        protection_close(&p);
    }
}

static void sep_checkpoints_are_equally_spaced(void **state)
{
    (void)state;
    static const char *const sets[] = {WIDE, "sep.n=3", "sep.clean_epochs=7", NULL}, *const many[] = {"sep.n=3", NULL};
    protection p;
    um_sep s;
    protection_open(&p, backend, "sep", 1, 8, sets);
    assert_ok(um_sep_open(&s, &p.job, &p.curves));
    assert_ok(um_sep_learn(&s, &p.curves));
    float *last = NULL;
    assert_ok(UM_NEW_ARRAY(last, s.snapshot_bytes / sizeof(float)));
    assert_ok(um_params_snapshot(s.a.surrogate->params, last));
    twin t;
    twin_open(&t, &p, UM_INPUT_SEG);
    train_twin(&t, &p); /* two epochs: the first checkpoint of epochs 2, 4 and 7 */
    assert_ok(um_params_snapshot(t.a.surrogate->params, last));
    assert_memory_equal(last, s.snapshots, s.snapshot_bytes);
    assert_memory_not_equal(s.snapshots, s.snapshots + s.snapshot_bytes, s.snapshot_bytes);
    assert_memory_not_equal(s.snapshots + s.snapshot_bytes, s.snapshots + 2 * s.snapshot_bytes, s.snapshot_bytes);
    um_free(last);
    um_attack_clear(&t.a);
    um_sep_clear(&s);
    protection_close(&p);
    protection_open(&p, backend, "sep", 1, 8, many);
    assert_int_equal(um_sep_open(&s, &p.job, &p.curves), UM_E_CONFIG);
    protection_close(&p);
}

/* Stops after a number of loss evaluations that lead to a gradient, of whatever kind. */
typedef struct halting_backend {
    um_backend backend;
    um_backend_iface iface;
    um_backend *cpu;
    long left;
} halting_backend;

static um_status halting_run(um_backend *b, um_op op, const um_op_call *call)
{
    halting_backend *h = (halting_backend *)(void *)b;
    if ((op == UM_OP_SEG_BWD || op == UM_OP_ALIGN_BWD) && h->left > 0 && --h->left == 0)
        um_stop_request();
    return h->cpu->iface->run(h->cpu, op, call);
}

static void halting_open(halting_backend *h)
{
    *h = (halting_backend){.backend = *backend, .iface = *backend->iface, .cpu = backend};
    h->iface.run = halting_run;
    h->backend.iface = &h->iface;
}

static void stopped_fits_release_the_same(void **state)
{
    (void)state;
    static const char *const names[] = {"em", "tap", "sep"}, *const sets[] = {
                                                                 WIDE,          "run.checkpoint_s=1000", "tap.restarts=2",
                                                                 "tap.steps=6", "em.max_rounds=6",       NULL};
    halting_backend h;
    halting_open(&h);
    for (size_t i = 0; i < UM_COUNT(names); i++) {
        protection alone, part;
        int runs = 0;
        protection_open(&alone, &h.backend, names[i], 1, 8, sets);
        protection_fit(&alone);
        protection_release(&alone, &alone.rows);
        for (um_status rc = UM_E_STOPPED; rc == UM_E_STOPPED; runs++) {
            protection_open(&part, &h.backend, names[i], 1, 8, sets);
            part.job.checkpoint = at("attack.h5");
            h.left = 9 + runs % 4; /* an outer step of SEP and a restart of TAP take up to 6 */
            rc = part.def->fit(&part.job, &part.state, &part.curves);
            h.left = 0;
            um_stop_clear();
            if (rc == UM_E_STOPPED)
                protection_close(&part);
            else
                assert_ok(rc);
            assert_true(runs < 40);
        }
        print_message("%s: %d runs\n", names[i], runs);
        assert_true(runs > 2);
        protection_release(&part, &part.rows);
        assert_same_images(alone.released, part.released);
        assert_same_curves(&alone.curves, &part.curves);
        protection_close(&part);
        protection_close(&alone);
        assert_true(um_file_exists(at("attack.h5")));
        um_saver_remove(at("attack.h5"));
    }
}

/* A stop in the middle of the steps of a batch goes on before them, not behind. */
static void stopped_steps_are_made_again(void **state)
{
    (void)state;
    static const char *const names[] = {"em", "sep"};
    static const char *const sets[] = {WIDE, "run.checkpoint_s=1000", "em.max_rounds=1", "em.T=4", NULL};
    halting_backend h;
    halting_open(&h);
    for (size_t i = 0; i < UM_COUNT(names); i++) {
        protection alone, part;
        protection_open(&alone, &h.backend, names[i], 1, 8, sets);
        protection_fit(&alone);
        for (long stop = 5; stop <= 10; stop++) { /* behind the training of the surrogate, 3 or 4 */
            protection_open(&part, &h.backend, names[i], 1, 8, sets);
            part.job.checkpoint = at("attack.h5");
            h.left = stop;
            assert_int_equal(part.def->fit(&part.job, &part.state, &part.curves), UM_E_STOPPED);
            um_stop_clear();
            protection_close(&part);
            protection_open(&part, &h.backend, names[i], 1, 8, sets);
            part.job.checkpoint = at("attack.h5");
            protection_fit(&part);
            assert_memory_equal(table_of(&part)->delta, table_of(&alone)->delta, TRAINED * VALUES * sizeof(float));
            protection_close(&part);
            um_saver_remove(at("attack.h5"));
        }
        protection_close(&alone);
    }
}

/* The same bytes for the same seed, whatever the threads; others for another seed; strangers are refused. */
static void seeds_threads_and_strangers(void **state)
{
    (void)state;
    static const char *const names[] = {"em", "tap", "sep"}, *const sets[] = {WIDE, NULL};
    for (size_t i = 0; i < UM_COUNT(names); i++) {
        protection p[3];
        um_dataset *released = NULL;
        for (int k = 0; k < 3; k++) {
            um_threads_set(k == 1 ? 3 : 1);
            protection_open(&p[k], backend, names[i], k == 2 ? 3 : 1, 8, sets);
            p[k].job.seed = 5;
            protection_fit(&p[k]);
            protection_release(&p[k], &p[k].rows);
            assert_true(largest_step(&p[k]) > 0 && largest_step(&p[k]) <= 4);
        }
        assert_same_images(p[0].released, p[1].released);
        assert_int_equal(um_protect_apply(&released, p[0].def, p[0].state, p[0].settings, p[0].clean, NULL), UM_E_DATA);
        assert_non_null(strstr(um_error_text(), "is not among them"));
        for (int k = 0; k < 3; k++)
            protection_close(&p[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BACKEND_TEST(em_round_by_definition),
        BACKEND_TEST(em_can_use_sgd),        BACKEND_TEST(em_keeps_to_its_region),
        BACKEND_TEST(em_lowers_the_loss_and_stops),  BACKEND_TEST(tap_by_definition),
        BACKEND_TEST(tap_restarts_and_augmentation), BACKEND_TEST(sep_aligns_with_each_checkpoints_own_means),
        BACKEND_TEST(sep_steps_by_definition),       BACKEND_TEST(sep_checkpoints_are_equally_spaced),
        BACKEND_TEST(stopped_steps_are_made_again),
        BACKEND_TEST(stopped_fits_release_the_same), BACKEND_TEST(seeds_threads_and_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
