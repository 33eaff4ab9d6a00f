/* Acceptance test 4, on a classifier trained here on synthetic retinas: the population search against random placements, paired
 * over images. And what a search may never do. */
#include "io/io_fixture.h"

#include "base/log.h"
#include "base/threads.h"
#include "io/import.h"
#include "medlocker/cam.h"
#include "medlocker/evaluate.h"
#include "medlocker/mark.h"

enum { SIDE = 64, IMAGES = 400, MARKED = 200, FEW = 24 };

static const um_opt_table *const tables[] = {&um_data_table,     &um_model_table,     &um_run_table, &um_conv_table,
                                             &um_classify_table, &um_medlocker_table, NULL};
static um_settings *settings;
static um_backend *backend;
static um_dataset *data;
static um_rows train_rows, test_rows, marked_rows;
static um_targets targets;
static um_logo logo;

static void set(const char *assignment)
{
    OK(um_settings_assign(settings, assignment, "test"));
}

static int train(void **state)
{
    (void)state;
    static const char *const recipe[] = {"model.base_width=8",
                                         "classifier.epochs=6",
                                         "classifier.lr=0.02",
                                         "classifier.lr_step=4",
                                         "classifier.aug.brightness=0.2",
                                         "classifier.aug.contrast_low=0.8",
                                         "classifier.aug.contrast_high=1.2",
                                         "medlocker.bhe.population=10"};
    um_classify_result result = {0};
    const um_model_def *model = NULL;
    um_threads_set(1);
    um_log_set_level(UM_LOG_WARN);
    OK(um_settings_create(&settings, tables));
    for (size_t i = 0; i < UM_COUNT(recipe); i++)
        set(recipe[i]);
    OK(um_backend_create(&backend, "cpu", UM_F32));
    OK(um_import_retinas(&data, IMAGES, SIDE, 2, 1, um_settings_get(settings, "data")));
    OK(um_rows_select(&train_rows, data, UM_SPLIT_TRAIN, 0, 1));
    OK(um_rows_select(&test_rows, data, UM_SPLIT_TEST, 0, 1));
    OK(um_rows_select(&marked_rows, data, UM_SPLIT_TRAIN, MARKED, 1));
    OK(um_model_find(&model, "resnet18"));
    OK(um_classify_run(&targets.net[0], &result,
                       &(um_classify_job){.settings = settings,
                                          .backend = backend,
                                          .model = model,
                                          .data = data,
                                          .train_rows = &train_rows,
                                          .test_rows = &test_rows,
                                          .seed = 1,
                                          .label = "resnet18"}));
    targets.n = 1;
    print_message("test accuracy %lld of %lld\n", (long long)result.test.hits, (long long)result.test.n);
    assert_true(result.test.hits * 10 >= result.test.n * 7); /* 20 points above a guess */
    um_classify_result_free(&result);
    OK(um_logo_read(&logo, ""));
    return 0;
}

static int drop(void **state)
{
    (void)state;
    um_targets_free(&targets);
    um_logo_clear(&logo);
    um_rows_free(&train_rows);
    um_rows_free(&test_rows);
    um_rows_free(&marked_rows);
    um_dataset_free(data);
    um_backend_free(backend);
    um_settings_free(settings);
    return 0;
}

/* Of the first n of the marked rows. */
static um_mark_job job_of(int64_t n)
{
    static um_rows some;
    some = marked_rows;
    some.n = n;
    return (um_mark_job){.settings = settings,
                         .backend = backend,
                         .targets = &targets,
                         .data = data,
                         .rows = &some,
                         .logo = &logo,
                         .seed = 5,
                         .dataset_name = "retina",
                         .label = "mark"};
}

static void search(um_mark *marks, int64_t n, const char *how, const char *budget)
{
    um_mark_job job = job_of(n);
    set(how);
    set(budget);
    OK(um_mark_search(marks, &job));
    for (int64_t i = 0; i < n; i++)
        assert_true(marks[i].state != UM_WSM_STRICT || marks[i].lesion_change == 0);
}

static bool broken(const um_mark *m)
{
    return m->before > 0 && m->after < 0;
}

static void bhe_beats_random(void **state)
{
    (void)state;
    static um_mark bhe[MARKED], once[MARKED], equal[MARKED];
    int64_t only[2] = {0}, better[2] = {0}, n_broken = 0, n_right = 0;
    search(bhe, MARKED, "medlocker.search=bhe", "medlocker.budget=0");
    search(once, MARKED, "medlocker.search=random", "medlocker.budget=1");
    search(equal, MARKED, "medlocker.search=random", "medlocker.budget=0");
    for (int i = 0; i < MARKED; i++) {
        if (bhe[i].state == UM_WSM_NONE)
            continue;
        assert_int_equal(bhe[i].forwards, 130);
        assert_int_equal(equal[i].forwards, 130);
        assert_int_equal(once[i].forwards, 1);
        only[0] += broken(&bhe[i]) && !broken(&once[i]), only[1] += broken(&once[i]) && !broken(&bhe[i]);
        better[0] += bhe[i].after < equal[i].after, better[1] += bhe[i].after > equal[i].after;
        n_broken += broken(&bhe[i]), n_right += bhe[i].before > 0;
    }
    print_message(
        "broken %lld of %lld; against one random place: %lld only by bhe, %lld only by it, p %.2g; margin against as many: %lld better, "
        "%lld worse, p %.2g\n",
        (long long)n_broken, (long long)n_right, (long long)only[0], (long long)only[1], um_mcnemar(only[0], only[1]),
        (long long)better[0], (long long)better[1], um_mcnemar(better[0], better[1]));
    assert_true(only[0] > only[1] && um_mcnemar(only[0], only[1]) < 0.01);
    assert_true(better[0] > better[1] && um_mcnemar(better[0], better[1]) < 0.01);
}

/* The margin that a search reports is that of the image that is released; opacity 0 breaks nothing. */
static void margins_are_those_of_the_release(void **state)
{
    (void)state;
    static um_mark marks[FEW];
    um_mark_job job = job_of(FEW);
    um_dataset *out = NULL;
    um_effect e;
    int64_t right = 0, wrong = 0;
    set("medlocker.bhe.generations=1");
    search(marks, FEW, "medlocker.search=bhe", "medlocker.budget=0");
    OK(um_mark_apply(&out, &job, marks));
    OK(um_effect_measure(&e, targets.net[0], data, job.rows, out, NULL));
    for (int i = 0; i < FEW; i++)
        right += marks[i].before > 0, wrong += marks[i].after < 0;
    assert_int_equal(e.right_before, right);
    assert_int_equal(e.n - e.right_after, wrong);
    OK(um_effect_measure(&e, targets.net[0], data, job.rows, data, NULL));
    assert_int_equal(e.broken + e.mended, 0);
    um_dataset_free(out);
    set("medlocker.bhe.generations=3");
}

/* The gradient search: better than where it starts, and its candidates are as feasible as the others. */
static void gradients_lead_down(void **state)
{
    (void)state;
    static um_mark few[FEW], many[FEW];
    double sums[2] = {0};
    set("medlocker.search=grad");
    OK(um_targets_prepare(&targets, backend, um_settings_get(settings, "medlocker")));
    search(few, FEW, "medlocker.search=grad", "medlocker.grad.steps=0");
    search(many, FEW, "medlocker.search=grad", "medlocker.grad.steps=10");
    for (int i = 0; i < FEW; i++)
        sums[0] += few[i].after / FEW, sums[1] += many[i].after / FEW;
    print_message("mean margin %.3f without steps, %.3f after ten\n", sums[0], sums[1]);
    assert_true(sums[1] < sums[0] - 0.05);
}

/* Grad-CAM gives masks, neither empty nor full over the images. */
static void cam_gives_masks(void **state)
{
    (void)state;
    um_input_grad *cam = NULL;
    uint8_t mask[SIDE * SIDE];
    int64_t marked = 0;
    OK(um_cam_create(&cam, backend, targets.net[0]));
    for (int64_t i = 0; i < 40; i++) {
        int64_t row = test_rows.index[i];
        OK(um_cam_mask(mask, cam, targets.net[0], um_dataset_image(data, row), data->labels[row], 150));
        for (int p = 0; p < SIDE * SIDE; p++) {
            assert_true(mask[p] <= 1);
            marked += mask[p];
        }
    }
    assert_true(marked > 0 && marked < 40 * SIDE * SIDE);
    um_input_grad_free(cam);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bhe_beats_random),
        cmocka_unit_test(margins_are_those_of_the_release),
        cmocka_unit_test(gradients_lead_down),
        cmocka_unit_test(cam_gives_masks),
    };
    return cmocka_run_group_tests(tests, train, drop);
}
