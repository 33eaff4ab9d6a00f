/* umed bench on the CUDA backend: on a device, or over host memory (kernels/cuda_host), where figures mean nothing and everything
 * else is as on a device: operands are uploaded, work is recorded and replayed, results are checked before they are timed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/text.h"
#include "bench/bench.h"
#include "gpu/gpu_test.h"
#include "kernels/cuda_host/cuda_host.h"
#include "models/model.h"
#include "protect/umed.h"
#include "train/options.h"

enum { PASSES = 29 };
static um_backend *backend;

static void open_backend(um_precision precision)
{
    assert_int_equal(um_backend_open(&backend, "cuda", UM_F32, precision), UM_OK);
}

static void close_backend(void)
{
    um_backend_free(backend);
    backend = NULL;
}

static int lines_with(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

/* The number before the "x" that ends the text. */
static double last_ratio(const char *text)
{
    const char *at = strrchr(text, ' ');
    assert_non_null(at);
    assert_string_equal(at + strcspn(at, "x"), "x\n");
    return strtod(at, NULL);
}

static void passes_in(um_precision precision, int64_t side, int counted)
{
    um_text text = {0};
    const um_bench_shape shapes[] = {{3, 6, 5, 0}, {1, side, 64, 0}};
    open_backend(precision);
    um_bench_job job = {.backend = backend, .rounds = 1};
    if (um_bench_passes(&job, shapes, 2, &text) != UM_OK)
        fail_msg("%s", um_error_text());
    assert_int_equal(lines_with(um_text_get(&text), "small: not counted"), 2 * PASSES - counted);
    assert_int_equal(lines_with(um_text_get(&text), "copy ms"), 1);
    assert_true(last_ratio(um_text_get(&text)) > 0);
    um_text_free(&text);
    close_backend();
}

static void passes_are_checked_and_timed(void **state)
{
    (void)state;
    passes_in(UM_PRECISION_FP32, 96, 9);
    passes_in(UM_PRECISION_BF16, 128, 10);
}

static um_backend_iface broken;
static const um_backend_iface *whole;
static um_op broken_op;

/* Does everything but one op. */
static um_status run_broken(um_backend *b, um_op op, const um_op_call *call)
{
    return op == broken_op ? UM_OK : whole->run(b, op, call);
}

static void wrong_results_are_not_timed(void **state)
{
    static const um_op ops[] = {UM_OP_BN_BWD_APPLY, UM_OP_GATHER, UM_OP_ADAM};
    (void)state;
    open_backend(UM_PRECISION_BF16);
    whole = backend->iface;
    broken = *whole;
    broken.run = run_broken;
    backend->iface = &broken;
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        um_text text = {0};
        um_bench_job job = {.backend = backend, .rounds = 1};
        broken_op = ops[i];
        assert_int_equal(um_bench_passes(&job, &(um_bench_shape){1, 4, 8, 0}, 1, &text), UM_E_NUMERIC);
        assert_non_null(strstr(um_error_text(), um_op_table[ops[i]].name));
        um_text_free(&text);
    }
    backend->iface = whole;
    close_backend();
}

static void convolutions_are_of_the_host(void **state)
{
    um_text text = {0};
    (void)state;
    open_backend(UM_PRECISION_FP32);
    um_bench_job job = {.backend = backend, .rounds = 1};
    assert_int_equal(um_bench_conv(&job, &(um_bench_shape){1, 4, 8, 8}, 1, &text), UM_E_USAGE);
    um_text_free(&text);
    close_backend();
}

/* A peer that takes a second for everything, and writes down what it was asked. */
static const char peer_script[] = "#!/bin/sh\n"
                                  "cd \"$(dirname \"$0\")\"\n"
                                  "echo \"$@\" >asked\n"
                                  "echo \"ready a second, always\"\n"
                                  "while read -r line; do\n"
                                  "    echo \"$line\" >>asked\n"
                                  "    case $line in run) echo 1.0 ;; product) echo 4e14 ;; *) echo \"3e9 1e9\" ;; esac\n"
                                  "done\n";
static char peers[] = "/tmp/umed-peers-XXXXXX";

static void path_of(char out[128], const char *name)
{
    snprintf(out, 128, "%s/%s", peers, name);
}

static int make_peer(void **state)
{
    char path[128];
    (void)state;
    assert_non_null(mkdtemp(peers));
    path_of(path, "pytorch");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(peer_script, f);
    fclose(f);
    return chmod(path, 0700) || setenv("UMED_PEERS", peers, 1);
}

static int remove_peer(void **state)
{
    static const char *const names[] = {"pytorch", "asked"};
    char path[128];
    (void)state;
    for (int i = 0; i < 2; i++) {
        path_of(path, names[i]);
        unlink(path);
    }
    return rmdir(peers);
}

static void assert_asked(const char *words, const char *question, int times)
{
    char path[128], text[1024] = "";
    path_of(path, "asked");
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    assert_int_equal(strncmp(text, words, strlen(words)), 0);
    assert_int_equal(lines_with(text, question), times);
}

typedef um_status bench_fn(const um_bench_job *job, const um_bench_step_job *step, um_text *out);

/* A network of width 8 on 2 images, 3 rounds, bf16. */
static void bench_network(bench_fn *bench, const char *peer, um_text *text)
{
    static const um_opt_table *const tables[] = {&um_run_table, &um_model_table, &um_loss_table, &um_umed_table, NULL};
    const um_bench_step_job step = {.model = "unet", .side = 16, .batch = 2, .channels = 3};
    um_settings *settings = NULL;
    assert_int_equal(um_settings_create(&settings, tables), UM_OK);
    assert_int_equal(um_settings_set(settings, "model.base_width", "8", "test"), UM_OK);
    assert_int_equal(um_settings_set(settings, "run.precision", "bf16", "test"), UM_OK);
    open_backend(UM_PRECISION_BF16);
    um_bench_job job = {.backend = backend, .settings = settings, .peer = peer, .rounds = 3};
    if (bench(&job, &step, text) != UM_OK)
        fail_msg("%s", um_error_text());
    close_backend();
    um_settings_free(settings);
}

static void a_step_is_told_beside_the_peer(void **state)
{
    um_text text = {0};
    double ms, idle, of_products;
    (void)state;
    bench_network(um_bench_step, "pytorch", &text);
    assert_asked("step ", "product\n", 4); /* one round to warm up */
    assert_asked("step ", "unet 8 16 2 3 cuda bf16\n", 1);
    const char *line = strstr(um_text_get(&text), "umed       median ");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "umed median %lf", &ms), 1);
    line = strstr(um_text_get(&text), "so idle ");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "so idle %lf %% of a step", &idle), 1);
    assert_true(idle < 100);
    assert_non_null(strstr(um_text_get(&text), "matrix products by pytorch 400.0 TFLOP/s"));
    line = strstr(um_text_get(&text), "of which the step reaches ");
    assert_int_equal(sscanf(line, "of which the step reaches %lf", &of_products), 1);
    assert_true(of_products < 0.001);
    assert_true(last_ratio(um_text_get(&text)) > 0);
    um_text_free(&text);
}

static void gradient_steps_are_checked_and_told(void **state)
{
    um_text text = {0};
    (void)state;
    bench_network(um_bench_pgd, "pytorch", &text);
    assert_asked("pgd:10 ", "run\n", 4);
    assert_asked("pgd:10 ", "unet 8 16 2 3 cuda bf16\n", 1);
    assert_non_null(strstr(um_text_get(&text), "interleaved turns of 10 steps"));
    assert_true(last_ratio(um_text_get(&text)) > 0);
    um_text_free(&text);
}

static void without_a_peer_there_are_images_per_second(void **state)
{
    um_text text = {0};
    (void)state;
    bench_network(um_bench_step, NULL, &text);
    assert_non_null(strstr(um_text_get(&text), "so idle "));
    assert_non_null(strstr(um_text_get(&text), "images per second, median of 3 steps: "));
    um_text_free(&text);
    bench_network(um_bench_pgd, NULL, &text);
    assert_non_null(strstr(um_text_get(&text), "images per second, median of 3 turns of 10 steps: "));
    um_text_free(&text);
}

#ifdef UM_CUDA_HOST
static void work_is_recorded_and_given_back(void **state)
{
    um_text text = {0};
    (void)state;
    open_backend(UM_PRECISION_BF16);
    um_host_counts before = um_host_count;
    um_bench_job job = {.backend = backend, .rounds = 2};
    assert_int_equal(um_bench_passes(&job, &(um_bench_shape){2, 8, 16, 0}, 1, &text), UM_E_USAGE); /* nothing counts, all is done */
    assert_non_null(strstr(um_error_text(), "below 4 MiB"));
    assert_int_equal(um_host_count.captures - before.captures, 2 * PASSES); /* every pass, and a copy beside it */
    assert_int_equal(um_host_count.replays - before.replays, 2 * PASSES * 3); /* one round to warm up */
    assert_int_equal(um_host_count.forgotten - before.forgotten, 2 * PASSES);
    assert_int_equal(um_host_count.allocs - before.allocs, um_host_count.frees - before.frees);
    um_text_free(&text);
    close_backend();
}
#endif

int main(void)
{
    gpu_need_device();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_are_checked_and_timed),
        cmocka_unit_test(wrong_results_are_not_timed),
        cmocka_unit_test(convolutions_are_of_the_host),
        cmocka_unit_test(a_step_is_told_beside_the_peer),
        cmocka_unit_test(gradient_steps_are_checked_and_told),
        cmocka_unit_test(without_a_peer_there_are_images_per_second),
#ifdef UM_CUDA_HOST
        cmocka_unit_test(work_is_recorded_and_given_back),
#endif
    };
    return cmocka_run_group_tests(tests, make_peer, remove_peer);
}
