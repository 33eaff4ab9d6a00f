/* Exact restart: a training that was stopped, saved and loaded ends in the bits of one that was left alone. */
#include "base/clock.h"
#include "train/train_fixture.h"

enum { SIDE = 32, IMAGES = 10, BATCH = 4, EPOCHS = 3 };

static void step(um_segmenter *s, int64_t number)
{
    double x[BATCH * SIDE * SIDE], y[BATCH * SIDE * SIDE], loss[3];
    float fx[BATCH * SIDE * SIDE], fy[BATCH * SIDE * SIDE];
    bool wide = s->backend->real == UM_F64;
    net_example(x, y, BATCH, SIDE, SIDE, 1);
    for (int64_t i = 0; i < BATCH * SIDE * SIDE; i++) {
        x[i] += 0.01 * (double)number;
        fx[i] = (float)x[i], fy[i] = (float)y[i];
    }
    assert_ok(um_segmenter_step(s, wide ? (void *)x : fx, wide ? (void *)y : fy, BATCH, loss));
}

static void assert_same_training(const um_params *a, const um_params *b)
{
    assert_int_equal(a->adam_step, b->adam_step);
    assert_int_equal(a->bn_batches, b->bn_batches);
    for (int i = 0; i < a->n; i++)
        for (int block = UM_BLOCK_VALUE; block <= UM_BLOCK_V; block++) {
            if (block == UM_BLOCK_GRAD || (block && a->list[i].kind == UM_PARAM_BUFFER))
                continue;
            double *p = net_param(a, i, (um_param_block)block), *q = net_param(b, i, (um_param_block)block);
            if (memcmp(p, q, (size_t)a->list[i].count * sizeof *p))
                fail_msg("%s differs (block %d)", a->list[i].name, block);
            um_free(p);
            um_free(q);
        }
}

static void five_and_five_are_ten(void **state)
{
    (void)state;
    for (int real = UM_F32; real <= UM_F64; real++) {
        um_backend *b = NULL;
        um_segmenter *whole = NULL, *first = NULL, *second = NULL;
        um_curves curves = {0}, loaded = {0};
        bool found = false;
        assert_ok(um_backend_create(&b, "cpu", (um_dtype)real));
        small_segmenter(&whole, b, "cdc_unet", SIDE, 1e-2, 1);
        small_segmenter(&first, b, "cdc_unet", SIDE, 1e-2, 1);
        small_segmenter(&second, b, "cdc_unet", SIDE, 1e-2, 2);
        for (int i = 0; i < 10; i++)
            step(whole, i);
        for (int i = 0; i < 5; i++)
            step(first, i);
        assert_ok(um_curves_add(&curves, "loss", 1, 0.1));
        um_training_state s = {.fingerprint = "five", .n_nets = 1, .net_name = {"model"}, .net = {first->params},
                               .progress = {3, 2, {0.1, 0.2, 0.3, 1e-300}}, .curves = &curves, .seconds = 12.5};
        assert_ok(um_training_save(&s, at("state.h5")));
        um_training_state t = {
            .fingerprint = "five", .n_nets = 1, .net_name = {"model"}, .net = {second->params}, .curves = &loaded};
        assert_ok(um_training_load(&t, at("state.h5"), &found));
        assert_true(found);
        assert_memory_equal(&t.progress, &s.progress, sizeof t.progress);
        assert_true(t.seconds == 12.5);
        assert_same_curves(&curves, &loaded);
        assert_same_training(first->params, second->params);
        for (int i = 5; i < 10; i++)
            step(second, i);
        assert_same_training(whole->params, second->params);
        um_curves_free(&curves);
        um_curves_free(&loaded);
        um_segmenter_free(whole);
        um_segmenter_free(first);
        um_segmenter_free(second);
        um_backend_free(b);
    }
}

static void anothers_checkpoint_is_left_alone(void **state)
{
    (void)state;
    um_backend *b = NULL;
    um_segmenter *net = NULL;
    um_curves curves = {0};
    char before[65], after[65];
    bool found = true;
    assert_ok(um_backend_create(&b, "cpu", UM_F32));
    small_segmenter(&net, b, "unet", SIDE, 1e-2, 1);
    um_training_state s = {.fingerprint = "mine", .n_nets = 1, .net_name = {"model"}, .net = {net->params}, .curves = &curves};
    assert_ok(um_training_load(&s, at("state.h5"), &found));
    assert_false(found);
    assert_ok(um_training_save(&s, at("state.h5")));
    step(net, 0);
    assert_ok(um_params_sha256(net->params, before));
    s.fingerprint = "yours";
    assert_ok(um_training_load(&s, at("state.h5"), &found));
    assert_false(found);
    assert_ok(um_params_sha256(net->params, after));
    assert_string_equal(before, after);
    assert_int_equal(net->params->adam_step, 1);
    um_segmenter_free(net);
    um_backend_free(b);
}

/* However short the interval that was asked for, the next save waits until the last one was at most 2 % of the time. */
static void saves_take_little_of_the_time(void **state)
{
    (void)state;
    um_backend *b = NULL;
    um_segmenter *net = NULL;
    um_curves curves = {0};
    um_saver saver;
    assert_ok(um_backend_create(&b, "cpu", UM_F32));
    small_segmenter(&net, b, "unet", SIDE, 1e-2, 1);
    um_training_state s = {.fingerprint = "mine", .n_nets = 1, .net_name = {"model"}, .net = {net->params}, .curves = &curves};
    um_saver_set(&saver, &s, NULL, at("state.h5"), 0, "test");
    assert_ok(um_saver_pause(&saver));
    assert_true(um_file_exists(at("state.h5"))); /* nothing is known of the cost yet */
    assert_true(saver.cost_s > 0 && saver.cost_s < 60);
    unlink(at("state.h5"));
    saver.cost_s = 100;
    saver.saved_at = um_now() - 4990;
    assert_ok(um_saver_pause(&saver));
    assert_false(um_file_exists(at("state.h5")));
    saver.saved_at = um_now() - 5000;
    assert_ok(um_saver_pause(&saver));
    assert_true(um_file_exists(at("state.h5")));
    assert_true(saver.cost_s < 60); /* as measured, again */
    unlink(at("state.h5"));
    saver.every_s = 1e6;
    saver.saved_at = um_now() - 9e5;
    assert_ok(um_saver_pause(&saver));
    assert_false(um_file_exists(at("state.h5")));
    um_stop_request();
    assert_int_equal(um_saver_pause(&saver), UM_E_STOPPED); /* what is asked for now does not wait */
    assert_true(um_file_exists(at("state.h5")));
    um_segmenter_free(net);
    um_backend_free(b);
}

/* A newest checkpoint that cannot be read costs the time since the one before it. */
static void the_generation_before_is_there(void **state)
{
    (void)state;
    um_backend *b = NULL;
    um_segmenter *net = NULL;
    um_curves curves = {0};
    um_saver saver;
    um_text old = {0};
    bool found = false;
    assert_ok(um_backend_create(&b, "cpu", UM_F32));
    small_segmenter(&net, b, "unet", SIDE, 1e-2, 1);
    um_training_state s = {.fingerprint = "mine", .n_nets = 1, .net_name = {"model"}, .net = {net->params}, .curves = &curves};
    um_saver_set(&saver, &s, NULL, at("state.h5"), 0, "test");
    for (int64_t k = 1; k <= 3; k++) {
        s.progress.step = k;
        assert_ok(um_saver_save(&saver));
    }
    assert_ok(um_text_add(&old, "%s.old", at("state.h5")));
    assert_true(um_file_exists(um_text_get(&old)));
    assert_int_equal(truncate(at("state.h5"), 1000), 0);
    um_log_set_level(UM_LOG_ERROR);
    assert_ok(um_saver_resume(&saver, NULL, &found));
    assert_true(found);
    assert_int_equal(s.progress.step, 2);
    assert_int_equal(truncate(um_text_get(&old), 1000), 0);
    assert_int_equal(um_saver_resume(&saver, NULL, &found), UM_E_DATA);
    unlink(at("state.h5")); /* killed between the two renames */
    s.progress.step = 9;
    unlink(um_text_get(&old));
    assert_ok(um_saver_save(&saver));
    assert_int_equal(rename(at("state.h5"), um_text_get(&old)), 0);
    s.progress.step = 0;
    assert_ok(um_saver_resume(&saver, NULL, &found));
    assert_int_equal(s.progress.step, 9);
    um_saver_remove(at("state.h5"));
    assert_false(um_file_exists(um_text_get(&old)));
    um_text_free(&old);
    um_segmenter_free(net);
    um_backend_free(b);
}

typedef struct run {
    char weights[65];
    um_curves curves;
    um_status status;
} run;

static um_status note_epoch(void *payload, um_segmenter *s, int64_t epoch, um_curves *curves)
{
    (void)payload, (void)s;
    return um_curves_add(curves, "epochs_seen", (double)epoch, (double)epoch);
}

/* One process's share: a fresh segmenter, trained until the end or until `stop` optimiser steps were made. */
static void train(run *r, stopping_backend *b, const um_dataset *d, const char *checkpoint, uint64_t seed, long stop)
{
    um_segmenter *s = NULL;
    um_rows rows = {0};
    um_fit_options o = {.epochs = EPOCHS, .batch = BATCH, .seed = 4, .order = UM_RNG_EXPLOITER_ORDER, .checkpoint = checkpoint,
                        .fingerprint = "fit", .checkpoint_s = 1e9, .label = "test", .after_epoch = note_epoch};
    small_segmenter(&s, &b->backend, "unet", SIDE, 1e-2, seed);
    assert_ok(um_rows_select(&rows, d, UM_SPLIT_TRAIN, 0, 0));
    um_curves_free(&r->curves);
    stop_at(stop);
    r->status = um_fit_run(s, d, &rows, &o, &r->curves);
    stop_at(0);
    assert_ok(um_params_sha256(s->params, r->weights));
    um_rows_free(&rows);
    um_segmenter_free(s);
}

static void stopped_fits_end_the_same(void **state)
{
    (void)state;
    stopping_backend b;
    um_dataset *d = NULL;
    run alone = {0}, stopped = {0};
    stopping_open(&b, UM_F32);
    assert_ok(um_import_phantoms(&d, IMAGES + 2, SIDE, 1, 1, NULL)); /* 10 to learn from: batches of 4, 4, 2 */
    train(&alone, &b, d, NULL, 1, 0);
    assert_int_equal(alone.status, UM_OK);
    assert_int_equal(um_curves_find(&alone.curves, "loss")->n, EPOCHS);
    static const long stops[] = {1, 2, 3, 4, 8};
    for (size_t i = 0; i < UM_COUNT(stops); i++) {
        train(&stopped, &b, d, at("fit.h5"), 1, stops[i]);
        assert_int_equal(stopped.status, UM_E_STOPPED);
        train(&stopped, &b, d, at("fit.h5"), 77, 2); /* other weights, replaced by the checkpoint's; stopped once more */
        train(&stopped, &b, d, at("fit.h5"), 78, 0);
        assert_int_equal(stopped.status, UM_OK);
        assert_string_equal(alone.weights, stopped.weights);
        assert_same_curves(&alone.curves, &stopped.curves);
        assert_true(um_file_exists(at("fit.h5")));
        um_saver_remove(at("fit.h5"));
    }
    um_curves_free(&alone.curves);
    um_curves_free(&stopped.curves);
    um_dataset_free(d);
    stopping_close(&b);
}

/* A fit is nothing but the steps of its epochs' orders. */
static void a_fit_is_its_steps(void **state)
{
    (void)state;
    stopping_backend b;
    um_dataset *d = NULL;
    um_segmenter *s = NULL;
    um_rows rows = {0};
    run fitted = {0};
    char weights[65];
    float x[BATCH * SIDE * SIDE], y[BATCH * SIDE * SIDE];
    stopping_open(&b, UM_F32);
    assert_ok(um_import_phantoms(&d, IMAGES + 2, SIDE, 1, 1, NULL));
    assert_ok(um_rows_select(&rows, d, UM_SPLIT_TRAIN, 0, 0));
    train(&fitted, &b, d, NULL, 1, 0);
    small_segmenter(&s, &b.backend, "unet", SIDE, 1e-2, 1);
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++) {
        int64_t order[IMAGES];
        double total = 0;
        assert_int_equal(rows.n, IMAGES);
        assert_ok(um_rows_order(order, &rows, 4, UM_RNG_EXPLOITER_ORDER, epoch));
        for (int64_t first = 0; first < IMAGES; first += BATCH) {
            int64_t n = IMAGES - first < BATCH ? IMAGES - first : BATCH;
            double loss[3];
            for (int64_t i = 0; i < n; i++) {
                um_row_image(d, rows.index[order[first + i]], UM_F32, x + i * SIDE * SIDE);
                um_row_mask(d, rows.index[order[first + i]], UM_F32, y + i * SIDE * SIDE);
            }
            assert_ok(um_segmenter_step(s, x, y, n, loss));
            total += loss[0] * (double)n;
        }
        assert_float_equal(um_curves_find(&fitted.curves, "loss")->y[epoch], total / IMAGES, 1e-12);
    }
    assert_ok(um_params_sha256(s->params, weights));
    assert_string_equal(weights, fitted.weights);
    um_curves_free(&fitted.curves);
    um_rows_free(&rows);
    um_segmenter_free(s);
    um_dataset_free(d);
    stopping_close(&b);
}

static void a_stop_before_the_first_step_saves(void **state)
{
    (void)state;
    stopping_backend b;
    um_dataset *d = NULL;
    run alone = {0}, stopped = {0};
    um_segmenter *s = NULL;
    um_rows rows = {0};
    stopping_open(&b, UM_F32);
    assert_ok(um_import_phantoms(&d, IMAGES + 2, SIDE, 1, 1, NULL));
    train(&alone, &b, d, NULL, 1, 0);
    small_segmenter(&s, &b.backend, "unet", SIDE, 1e-2, 1);
    assert_ok(um_rows_select(&rows, d, UM_SPLIT_TRAIN, 0, 0));
    um_fit_options o = {.epochs = EPOCHS, .batch = BATCH, .seed = 4, .order = UM_RNG_EXPLOITER_ORDER, .checkpoint = at("fit.h5"),
                        .fingerprint = "fit", .checkpoint_s = 1e9, .label = "test", .after_epoch = note_epoch};
    um_stop_request();
    assert_int_equal(um_fit_run(s, d, &rows, &o, &stopped.curves), UM_E_STOPPED);
    assert_true(um_file_exists(at("fit.h5")));
    train(&stopped, &b, d, at("fit.h5"), 5, 0);
    assert_string_equal(alone.weights, stopped.weights);
    um_curves_free(&alone.curves);
    um_curves_free(&stopped.curves);
    um_rows_free(&rows);
    um_segmenter_free(s);
    um_dataset_free(d);
    stopping_close(&b);
}

static void a_broken_checkpoint_is_refused(void **state)
{
    (void)state;
    stopping_backend b;
    um_dataset *d = NULL;
    run r = {0};
    stopping_open(&b, UM_F32);
    assert_ok(um_import_phantoms(&d, IMAGES + 2, SIDE, 1, 1, NULL));
    train(&r, &b, d, at("fit.h5"), 1, 2);
    assert_int_equal(truncate(at("fit.h5"), 4000), 0);
    train(&r, &b, d, at("fit.h5"), 1, 0);
    assert_int_equal(r.status, UM_E_DATA);
    assert_non_null(strstr(um_error_text(), "fit.h5"));
    um_curves_free(&r.curves);
    um_dataset_free(d);
    stopping_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(five_and_five_are_ten),
        FIXTURE_TEST(saves_take_little_of_the_time),
        FIXTURE_TEST(the_generation_before_is_there),
        FIXTURE_TEST(anothers_checkpoint_is_left_alone),
        FIXTURE_TEST(stopped_fits_end_the_same),
        FIXTURE_TEST(a_fit_is_its_steps),
        FIXTURE_TEST(a_stop_before_the_first_step_saves),
        FIXTURE_TEST(a_broken_checkpoint_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
