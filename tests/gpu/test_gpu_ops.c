/* Every op case on the CUDA backend, against the float64 oracles: on a device (gpu_ops), or over host memory (cuda_host.h), where
 * kernels, views, layouts and workspaces are those that a device runs, and cuDNN, cuBLASLt and launches are stood in for. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "gpu/gpu_test.h"
#include "kernels/cuda_host/cuda_host.h"
#include "kernels/op_cases.h"

static void run_all(um_precision precision, op_store store, const char *name)
{
    um_backend *b = NULL;
    assert_int_equal(um_backend_open(&b, name, UM_F32, precision), UM_OK);
    for (int i = 0; i < n_op_cases; i++)
        op_case_check_device(&op_cases[i], b, precision, store);
    um_backend_free(b);
}

static void every_op_has_a_kernel(void **state)
{
    (void)state;
    um_backend *b = NULL;
    size_t bytes = 0;
    assert_int_equal(um_backend_open(&b, "cuda", UM_F32, UM_PRECISION_FP32), UM_OK);
    for (int op = 0; op < UM_OP_COUNT; op++)
        if (!b->iface->supports(b, (um_op)op))
            fail_msg("op %s has no CUDA kernel", um_op_table[op].name);
    assert_false(b->iface->supports(b, UM_OP_COUNT));
    assert_int_equal(b->iface->prepare(b, UM_OP_COUNT, &(um_op_call){0}, &bytes), UM_E_UNSUPPORTED);
    um_backend_free(b);
}

static void f32_matches_the_oracles(void **state)
{
    (void)state;
    run_all(UM_PRECISION_FP32, STORE_REAL, "cuda");
}

static void padded_channels_match_the_oracles(void **state)
{
    (void)state;
    run_all(UM_PRECISION_TF32, STORE_REAL, "cuda");
}

static void bf16_matches_the_oracles(void **state)
{
    (void)state;
    run_all(UM_PRECISION_BF16, STORE_NARROW, "cuda");
}

static void mixed_types_match_the_oracles(void **state)
{
    (void)state;
    run_all(UM_PRECISION_BF16, STORE_NARROW_IN, "cuda");
    run_all(UM_PRECISION_BF16, STORE_NARROW_OUT, "cuda");
}

#ifdef UM_CUDA_HOST
static void what_the_library_refuses_goes_through_copies(void **state)
{
    (void)state;
    assert_true(um_host_count.biased > 0 && um_host_count.converted > 0); /* until here the library did it */
    um_host_count.biased = um_host_count.converted = 0;
    um_host_count.refuse_slices = um_host_count.refuse_f32_gradients = um_host_count.refuse_bias = um_host_count.refuse_other_types = true;
    run_all(UM_PRECISION_FP32, STORE_REAL, "cuda");
    run_all(UM_PRECISION_BF16, STORE_NARROW, "cuda");
    run_all(UM_PRECISION_BF16, STORE_NARROW_OUT, "cuda");
    um_host_count.refuse_slices = um_host_count.refuse_f32_gradients = um_host_count.refuse_bias = um_host_count.refuse_other_types = false;
    assert_int_equal(um_host_count.biased + um_host_count.converted, 0);
}
#endif

static void nothing_but_outputs_is_written(void **state)
{
    (void)state;
    run_all(UM_PRECISION_FP32, STORE_REAL, "check:cuda");
    run_all(UM_PRECISION_BF16, STORE_NARROW, "check:cuda");
}

static void f64_is_refused(void **state)
{
    (void)state;
    um_backend *b = NULL;
    assert_int_equal(um_backend_open(&b, "cuda", UM_F64, UM_PRECISION_FP32), UM_E_UNSUPPORTED);
    assert_null(b);
    assert_non_null(strstr(um_error_text(), "f64"));
}

int main(void)
{
    gpu_need_device();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_has_a_kernel),
        cmocka_unit_test(f32_matches_the_oracles),
        cmocka_unit_test(padded_channels_match_the_oracles),
        cmocka_unit_test(bf16_matches_the_oracles),
        cmocka_unit_test(mixed_types_match_the_oracles),
#ifdef UM_CUDA_HOST
        cmocka_unit_test(what_the_library_refuses_goes_through_copies),
#endif
        cmocka_unit_test(nothing_but_outputs_is_written),
        cmocka_unit_test(f64_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
