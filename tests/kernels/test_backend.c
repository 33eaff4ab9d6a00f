/* The factory, lanes and trees, and what is refused before anything runs. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/backend.h"

static double tree_of(const double *v, int n)
{
    int left = 1;
    if (n == 1)
        return v[0];
    while (2 * left < n)
        left *= 2;
    return tree_of(v, left) + tree_of(v + left, n - left);
}

static void trees_split_at_the_largest_power_of_two(void **state)
{
    (void)state;
    for (int n = 1; n <= UM_MAX_LANES; n++) {
        double parts[UM_MAX_LANES], copy[2 * UM_MAX_LANES];
        float single[UM_MAX_LANES];
        for (int i = 0; i < n; i++) {
            parts[i] = pow(1.37, i) / 3;
            copy[2 * i] = parts[i];
            copy[2 * i + 1] = -parts[i];
            single[i] = (float)i;
        }
        double want = tree_of(parts, n);
        um_tree_sum_f64(copy, n, 2);
        um_tree_sum_f32(single, n, 1);
        assert_true(copy[0] == want && copy[1] == -want);
        assert_true(single[0] == (float)(n * (n - 1) / 2));
    }
}

static void lanes_cover_the_batch(void **state)
{
    (void)state;
    um_batch b;
    um_batch_set(&b, 10, 4);
    const int64_t want[5] = {0, 2, 5, 7, 10};
    assert_int_equal(b.n_lanes, 4);
    assert_int_equal(b.n_total, 10);
    assert_memory_equal(b.lane_begin, want, sizeof want);
    um_batch_set(&b, 2, 4); /* empty lanes */
    assert_int_equal(b.lane_begin[1], 0);
    assert_int_equal(b.lane_begin[4], 2);
}

static void backends_are_made_by_name(void **state)
{
    (void)state;
    um_backend *b = NULL;
    assert_int_equal(um_backend_create(&b, "auto", UM_F32), UM_OK);
    assert_string_equal(b->name, "cpu");
    assert_non_null(strstr(um_backend_describe(b), um_cpu_isa()));
    for (int op = 0; op < UM_OP_COUNT; op++)
        assert_true(b->iface->supports(b, (um_op)op));
    um_backend_free(b);
    assert_int_equal(um_backend_create(&b, "check:cpu", UM_F64), UM_OK);
    assert_string_equal(b->name, "check:cpu");
    assert_int_equal(b->real, UM_F64);
    assert_non_null(strstr(um_backend_describe(b), "checked cpu: f64"));
    um_backend_free(b);
    um_backend_free(NULL);
}

static void expect_refused(const char *name, um_dtype real, um_status code, const char *text)
{
    um_backend *b = NULL;
    assert_int_equal(um_backend_create(&b, name, real), code);
    assert_null(b);
    if (!strstr(um_error_text(), text))
        fail_msg("message '%s' lacks '%s'", um_error_text(), text);
}

static void other_backends_are_refused(void **state)
{
    (void)state;
    expect_refused("cuda", UM_F32, UM_E_UNSUPPORTED, "cuda");
    expect_refused("check:cuda", UM_F32, UM_E_UNSUPPORTED, "cuda");
    expect_refused("cpuu", UM_F32, UM_E_CONFIG, "did you mean 'cpu'");
    expect_refused("cpu", UM_U8, UM_E_UNSUPPORTED, "float type");
    setenv("UMED_ISA", "avx51", 1);
    expect_refused("cpu", UM_F32, UM_E_CONFIG, "avx512");
    unsetenv("UMED_ISA");
}

static void isa_is_narrowed_by_the_environment(void **state)
{
    (void)state;
    setenv("UMED_ISA", "generic", 1);
    assert_string_equal(um_cpu_isa(), "generic");
    unsetenv("UMED_ISA");
}

static um_view plan_view(um_dtype t, int64_t n, int64_t h, int64_t w, int64_t c)
{
    return (um_view){NULL, t, n, h, w, c, c};
}

static void expect_bad_plan(um_backend *b, um_op op, const um_op_call *call, const char *text)
{
    size_t bytes = 4711;
    assert_int_equal(b->iface->prepare(b, op, call, &bytes), UM_E_UNSUPPORTED);
    assert_int_equal(bytes, 4711);
    if (!strstr(um_error_text(), text))
        fail_msg("message '%s' lacks '%s'", um_error_text(), text);
}

static void wrong_shapes_are_refused_at_plan_time(void **state)
{
    (void)state;
    um_backend *b = NULL;
    assert_int_equal(um_backend_create(&b, "cpu", UM_F32), UM_OK);
    um_view x = plan_view(UM_F32, 2, 4, 4, 8), small = plan_view(UM_F32, 2, 4, 3, 8), doubles = plan_view(UM_F64, 2, 4, 4, 8);
    um_view tight = x, slice = plan_view(UM_F32, 1, 1, 4, 8);
    tight.ld = 7;
    slice.ld = 9;
    expect_bad_plan(b, UM_OP_ADD, &(um_op_call){.in = {x, small}, .out = {x}}, "in[1] is f32 [2,4,3,8]");
    expect_bad_plan(b, UM_OP_ADD, &(um_op_call){.in = {x, doubles}, .out = {x}}, "type");
    expect_bad_plan(b, UM_OP_ADD, &(um_op_call){.in = {x, tight}, .out = {x}}, "pixel distance");
    expect_bad_plan(b, UM_OP_BN_APPLY, &(um_op_call){.in = {x, slice}, .out = {x}}, "pixel distance");
    expect_bad_plan(b, UM_OP_ADD, &(um_op_call){.in = {x}, .out = {x}}, "in[1]");
    expect_bad_plan(b, UM_OP_ADD, &(um_op_call){.in = {x, x}, .out = {x}, .accumulate = true}, "accumulate");
    expect_bad_plan(b, UM_OP_MAXPOOL_BWD, &(um_op_call){.in = {x, plan_view(UM_U8, 2, 4, 4, 8)}, .out = {x}}, "extents");
    expect_bad_plan(b, UM_OP_CLIP_FWD, &(um_op_call){.in = {x}, .out = {x}, .attr.clip = {UM_CLIP_STE, 1, 0}}, "attr.clip");
    expect_bad_plan(b, UM_OP_SEG_LOSS,
                    &(um_op_call){.in = {plan_view(UM_F64, 2, 1, 1, 5)}, .out = {plan_view(UM_F64, 1, 1, 1, 3)}}, "attr.seg.hw");
    expect_bad_plan(b, UM_OP_ADAM, &(um_op_call){.in = {x}, .out = {x, x, x}}, "in[1]");
    um_backend_free(b);
}

static int refuse_to_sum(void *arg, double *data, int64_t n)
{
    (void)data;
    *(int64_t *)arg = n;
    return UM_E_COMM;
}

static void broken_batches_and_lost_peers_are_reported(void **state)
{
    (void)state;
    um_backend *b = NULL;
    double s[10] = {0}, t[5];
    assert_int_equal(um_backend_create(&b, "cpu", UM_F64), UM_OK);
    um_view vs = {s, UM_F64, 2, 1, 1, 5, 5}, vt = {t, UM_F64, 1, 1, 1, 5, 5};
    um_op_call call = {.in = {vs}, .out = {vt}};
    assert_int_equal(b->iface->run(b, UM_OP_BATCH_SUM, &call), UM_E_BUG);
    um_batch batch;
    um_batch_set(&batch, 3, 2);
    call.batch = &batch;
    assert_int_equal(b->iface->run(b, UM_OP_BATCH_SUM, &call), UM_E_BUG);
    int64_t seen = 0;
    batch.reduce = refuse_to_sum;
    batch.reduce_arg = &seen;
    call.in[0] = vt;
    assert_int_equal(b->iface->run(b, UM_OP_ALL_REDUCE, &call), UM_E_COMM);
    assert_int_equal(seen, 5);
    um_backend_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_split_at_the_largest_power_of_two),
        cmocka_unit_test(lanes_cover_the_batch),
        cmocka_unit_test(backends_are_made_by_name),
        cmocka_unit_test(other_backends_are_refused),
        cmocka_unit_test(isa_is_narrowed_by_the_environment),
        cmocka_unit_test(wrong_shapes_are_refused_at_plan_time),
        cmocka_unit_test(broken_batches_and_lost_peers_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
