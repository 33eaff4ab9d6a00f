/* umed bench on the CUDA backend: on a device, or over host memory (kernels/cuda_host), where figures mean nothing and everything else is as on a
 * device: operands are uploaded, work is recorded and replayed, results are checked before they are timed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/text.h"
#include "bench/bench.h"
#include "gpu/gpu_test.h"
#include "kernels/cuda_host/cuda_host.h"

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
    assert_int_equal(lines_with(um_text_get(&text), "small: not counted"), 50 - counted);
    assert_int_equal(lines_with(um_text_get(&text), "copy ms"), 1);
    assert_true(last_ratio(um_text_get(&text)) > 0);
    um_text_free(&text);
    close_backend();
}

static void passes_are_checked_and_timed(void **state)
{
    (void)state;
    passes_in(UM_PRECISION_FP32, 96, 6);
    passes_in(UM_PRECISION_BF16, 128, 7);
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
    assert_int_equal(um_host_count.captures - before.captures, 2 * 25); /* every pass, and a copy beside it */
    assert_int_equal(um_host_count.replays - before.replays, 2 * 25 * 3); /* one round to warm up */
    assert_int_equal(um_host_count.forgotten - before.forgotten, 2 * 25);
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
#ifdef UM_CUDA_HOST
        cmocka_unit_test(work_is_recorded_and_given_back),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
