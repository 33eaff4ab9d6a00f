/* What the host does while a device works, over host memory: the order in which a training and a prediction ask for things, and
 * that it changes no number. */
#include <math.h>
#include <string.h>

#include "kernels/cuda_host/cuda_host.h"
#include "train/evaluate.h"
#include "train/predict.h"
#include "train/train_fixture.h"

enum { SIDE = 32, PIXELS = SIDE * SIDE, IMAGES = 7, BATCH = 3, STEPS = 3, EPOCHS = 3 };

typedef struct subject {
    um_backend *backend;
    um_segmenter *s;
    um_dataset *d;
    um_rows rows;
} subject;

static void subject_open(subject *t)
{
    um_segmenter_config config = {.net = net_config(4, 1, 1), .h = SIDE, .w = SIDE, .max_batch = BATCH, .spread = {.lanes = 2},
                                  .loss = {.w_ce = 1, .w_dice = 1, .smooth = 1e-5},
                                  .adam = {.lr = 1e-3, .b1 = 0.9, .b2 = 0.999, .eps = 1e-8}};
    *t = (subject){0};
    assert_ok(um_backend_create(&t->backend, "cuda", UM_F32));
    assert_ok(um_import_phantoms(&t->d, IMAGES, SIDE, 1, 1, NULL));
    assert_ok(um_rows_select(&t->rows, t->d, -1, 0, 0));
    assert_ok(um_model_find(&config.model, "unet"));
    assert_ok(um_segmenter_create(&t->s, t->backend, &config));
    assert_ok(um_params_init(t->s->params, 1, UM_RNG_TEST));
    um_host_count = (um_host_counts){0};
    um_host_traced = (um_host_trace){0};
}

static void subject_close(subject *t)
{
    um_host_count.room = 0;
    um_segmenter_free(t->s);
    um_rows_free(&t->rows);
    um_dataset_free(t->d);
    um_backend_free(t->backend);
}

/* A defense: darkens every batch, by its rows. What it is told to do besides comes before the step that it names. */
typedef struct defense {
    int64_t trace_epoch;     /* the trace begins with its first batch */
    int64_t spoilt, stopped; /* steps from 0 on; -1: none */
    int64_t seen;
} defense;

static um_status on_batch(void *payload, um_segmenter *s, const um_fit_batch *b)
{
    defense *d = payload;
    float *x = b->x;
    (void)s;
    um_host_traced.on = um_host_traced.on || b->epoch == d->trace_epoch;
    um_host_note('B');
    for (int64_t i = 0; i < b->n * PIXELS; i++)
        x[i] *= 1 - (float)b->row[i / PIXELS] / 100;
    if (d->seen == d->spoilt)
        x[0] = NAN;
    if (d->seen++ == d->stopped)
        um_stop_request();
    return UM_OK;
}

static um_status fit(subject *t, defense *d, const char *checkpoint, um_curves *curves)
{
    um_fit_options o = {.epochs = EPOCHS, .batch = BATCH, .seed = 3, .order = UM_RNG_TEST, .label = "test", .on_batch = on_batch,
                        .payload = d, .checkpoint = checkpoint, .fingerprint = "fit", .checkpoint_s = 1e9};
    return um_fit_run(t->s, t->d, &t->rows, &o, curves);
}

static const defense plain = {.trace_epoch = -1, .spoilt = -1, .stopped = -1};

/* In an epoch whose steps are all recorded: a batch is made (wBss) while a step is under way, and a step is begun (uurf) before
 * the loss of the one before it is waited for (W). */
static void batches_are_made_while_a_step_runs(void **state)
{
    (void)state;
    subject t;
    defense d = plain;
    um_curves curves = {0};
    d.trace_epoch = EPOCHS - 1;
    subject_open(&t);
    assert_ok(fit(&t, &d, NULL, &curves));
    assert_string_equal(um_host_traced.text, "Bss"
                                             "uurfwBss"
                                             "uurfWwBss"
                                             "uurfW"
                                             "W");
    um_curves_free(&curves);
    subject_close(&t);
}

/* Nothing is allocated, and nobody waits for the whole device. */
static void steps_neither_allocate_nor_synchronise(void **state)
{
    (void)state;
    subject t;
    defense d = plain;
    um_curves curves = {0};
    float x[BATCH * PIXELS] = {0}, y[BATCH * PIXELS] = {0};
    double loss[3];
    subject_open(&t);
    assert_ok(fit(&t, &d, NULL, &curves));
    um_host_count = (um_host_counts){0};
    assert_ok(um_segmenter_begin(t.s, x, y, BATCH));
    assert_ok(um_segmenter_begin(t.s, x, y, BATCH));
    assert_int_equal(um_segmenter_begin(t.s, x, y, BATCH), UM_E_BUG);
    assert_ok(um_segmenter_end(t.s, loss));
    assert_ok(um_segmenter_end(t.s, loss));
    assert_int_equal(um_host_count.allocs + um_host_count.frees + um_host_count.syncs + um_host_count.downloads, 0);
    um_curves_free(&curves);
    subject_close(&t);
}

/* One step after the other, by hand. */
static void step_by_step(subject *t, double sums[EPOCHS])
{
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++) {
        int64_t order[IMAGES];
        assert_ok(um_rows_order(order, &t->rows, 3, UM_RNG_TEST, epoch));
        sums[epoch] = 0;
        for (int64_t first = 0; first < IMAGES; first += BATCH) {
            int64_t n = IMAGES - first < BATCH ? IMAGES - first : BATCH;
            float x[BATCH * PIXELS], y[BATCH * PIXELS];
            double loss[3];
            for (int64_t i = 0; i < n; i++) {
                um_row_image(t->d, order[first + i], UM_F32, x + i * PIXELS);
                um_row_mask(t->d, order[first + i], UM_F32, y + i * PIXELS);
                for (int p = 0; p < PIXELS; p++)
                    x[i * PIXELS + p] *= 1 - (float)order[first + i] / 100;
            }
            assert_ok(um_segmenter_step(t->s, x, y, n, loss));
            sums[epoch] += loss[0] * (double)n;
        }
    }
}

/* The weights and losses are those of one step after the other; also where the device has no room for a second batch. */
static void a_fit_is_its_steps(void **state)
{
    (void)state;
    subject t;
    char expected[65], got[65];
    double sums[EPOCHS];
    subject_open(&t);
    step_by_step(&t, sums);
    assert_ok(um_params_sha256(t.s->params, expected));
    subject_close(&t);
    for (int full = 0; full < 2; full++) {
        defense d = plain;
        um_curves curves = {0};
        subject_open(&t);
        um_host_count.room = full ? 1000 : 0;
        assert_ok(fit(&t, &d, NULL, &curves));
        assert_int_equal(um_host_count.sends > 0, !full);
        assert_ok(um_params_sha256(t.s->params, got));
        assert_string_equal(expected, got);
        for (int k = 0; k < EPOCHS; k++)
            assert_true(um_curves_find(&curves, "loss")->y[k] == sums[k] / IMAGES);
        um_curves_free(&curves);
        subject_close(&t);
    }
}

/* Whenever a stop is asked for, what is saved is the state behind the last step that was begun. */
static void stopped_fits_end_the_same(void **state)
{
    (void)state;
    subject t;
    defense d = plain;
    um_curves alone = {0}, curves = {0};
    char expected[65], got[65];
    subject_open(&t);
    assert_ok(fit(&t, &d, NULL, &alone));
    assert_ok(um_params_sha256(t.s->params, expected));
    subject_close(&t);
    static const int64_t stops[] = {0, 1, 2, 3, 7};
    for (size_t i = 0; i < UM_COUNT(stops); i++) {
        d = plain;
        d.stopped = stops[i];
        subject_open(&t);
        assert_int_equal(fit(&t, &d, at("fit.h5"), &curves), UM_E_STOPPED);
        assert_int_equal(t.s->params->adam_step, stops[i]);
        assert_int_equal(t.s->params->bn_batches, stops[i]);
        subject_close(&t);
        um_stop_clear();
        d = plain;
        subject_open(&t);
        assert_ok(fit(&t, &d, at("fit.h5"), &curves));
        assert_ok(um_params_sha256(t.s->params, got));
        assert_string_equal(expected, got);
        assert_same_curves(&alone, &curves);
        subject_close(&t);
        um_curves_free(&curves);
        um_saver_remove(at("fit.h5"));
    }
    um_curves_free(&alone);
}

/* The step whose loss is no number is named, though the next one has begun, and a stop that was asked for meanwhile saves
 * nothing. */
static void a_diverged_step_ends_the_training(void **state)
{
    (void)state;
    for (int stop = 0; stop < 2; stop++) {
        subject t;
        defense d = plain;
        um_curves curves = {0};
        d.spoilt = 1;
        d.stopped = stop ? 2 : -1;
        subject_open(&t);
        assert_int_equal(fit(&t, &d, at("fit.h5"), &curves), UM_E_NUMERIC);
        assert_non_null(strstr(um_error_text(), "at step 2;"));
        assert_false(um_file_exists(at("fit.h5")));
        assert_int_equal(d.seen, 3);
        um_stop_clear();
        um_curves_free(&curves);
        subject_close(&t);
    }
}

/* ---- predictions ---- */

typedef struct asked {
    subject *t;
    float *logits;
    int64_t looked;
} asked;

static um_status make(void *payload, int64_t first, int64_t n, void *x)
{
    const asked *a = payload;
    um_host_note('B');
    for (int64_t i = 0; i < n; i++)
        um_row_image(a->t->d, first + i, UM_F32, (float *)x + i * PIXELS);
    return UM_OK;
}

static um_status look(void *payload, int64_t first, int64_t n, const void *logits)
{
    asked *a = payload;
    um_host_note('L');
    assert_int_equal(first, a->looked);
    memcpy(a->logits + first * PIXELS, logits, (size_t)(n * PIXELS) * sizeof(float));
    a->looked += n;
    return UM_OK;
}

/* Every prediction is begun before the one before it is looked at; the logits are those of single batches. */
static void a_prediction_is_looked_at_while_the_next_runs(void **state)
{
    (void)state;
    subject t;
    static float one[IMAGES * PIXELS], x[BATCH * PIXELS], got[IMAGES * PIXELS];
    subject_open(&t);
    for (int full = 0; full < 2; full++) {
        um_host_count.room = full ? 1000 : 0;
        for (int again = 0; again < 3; again++) { /* the third time all of it is recorded */
            asked a = {&t, got, 0};
            memset(got, 0, sizeof got);
            um_host_traced = (um_host_trace){.on = true};
            int allocs = um_host_count.allocs;
            assert_ok(um_predict_run(t.s, &(um_predict_job){IMAGES, make, look, &a}));
            assert_int_equal(a.looked, IMAGES);
            assert_true(again == 0 || um_host_count.allocs == allocs);
        }
        assert_string_equal(um_host_traced.text, full ? "BurdBurdLBurdLL" : "wBsrfwBsrfWLwBsrfWLWL");
        um_host_traced = (um_host_trace){0};
        for (int64_t first = 0; first < IMAGES; first += BATCH) {
            int64_t n = IMAGES - first < BATCH ? IMAGES - first : BATCH;
            for (int64_t i = 0; i < n; i++)
                um_row_image(t.d, first + i, UM_F32, x + i * PIXELS);
            assert_ok(um_segmenter_logits(t.s, x, n, one + first * PIXELS));
        }
        assert_memory_equal(one, got, sizeof got);
        um_predict_line_free(t.s->predict);
        t.s->predict = NULL;
    }
    subject_close(&t);
}

/* The bias of the head, so that the first image is foreground from its centre's margin on. */
static void some_foreground(subject *t)
{
    static float x[PIXELS], margin[PIXELS];
    um_params *p = t->s->params;
    double bias;
    int head = p->n - 1;
    while (p->list[head].kind != UM_PARAM_VECTOR)
        head--;
    assert_int_equal(p->list[head].count, 1);
    um_row_image(t->d, 0, UM_F32, x);
    assert_ok(um_segmenter_margin(t->s, x, 1, margin));
    assert_ok(um_params_read(p, head, UM_BLOCK_VALUE, &bias));
    bias -= (double)margin[SIDE * SIDE / 2 + SIDE / 2];
    assert_ok(um_params_write(p, head, UM_BLOCK_VALUE, &bias));
}

static void scores_are_those_of_single_batches(void **state)
{
    (void)state;
    subject t;
    static float margins[IMAGES * PIXELS], x[PIXELS];
    um_scores together = {0}, alone = {0};
    subject_open(&t);
    some_foreground(&t);
    for (int64_t i = 0; i < IMAGES; i++) {
        um_row_image(t.d, i, UM_F32, x);
        assert_ok(um_segmenter_margin(t.s, x, 1, margins + i * PIXELS));
    }
    assert_ok(um_evaluate_margins(&alone, margins, t.d, &t.rows, 2, true));
    assert_ok(um_evaluate(&together, t.s, t.d, &t.rows, 2, true));
    assert_memory_equal(alone.image_dsc, together.image_dsc, IMAGES * sizeof(double));
    assert_true(together.foreground > 0 && together.foreground < 1);
    assert_memory_equal(&alone.pooled, &together.pooled, sizeof alone.pooled);
    um_scores_free(&alone);
    um_scores_free(&together);
    subject_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(batches_are_made_while_a_step_runs),
        FIXTURE_TEST(steps_neither_allocate_nor_synchronise),
        FIXTURE_TEST(a_fit_is_its_steps),
        FIXTURE_TEST(stopped_fits_end_the_same),
        FIXTURE_TEST(a_diverged_step_ends_the_training),
        FIXTURE_TEST(a_prediction_is_looked_at_while_the_next_runs),
        FIXTURE_TEST(scores_are_those_of_single_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
