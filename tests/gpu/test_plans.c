/* What of cuDNN works without a device: descriptors of every kind of problem that the backend poses, the choice of engines, and
 * plans
 * on disk. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "kernels/cuda/dnn_graph.h"
#include "kernels/cuda/plan_cache.h"

static um_dnn_conv problem(um_dnn_op op, um_dtype type, int64_t taps, int64_t stride)
{
    um_dnn_conv c;
    memset(&c, 0, sizeof c);
    c.op = op, c.type = type, c.result_type = op == UM_DNN_WEIGHT ? UM_F32 : type;
    c.n = 4, c.h = c.w = 56, c.c = 64, c.k = 128, c.r = c.s = taps, c.stride = stride, c.pad = stride == 1 ? taps / 2 : 0;
    c.p = c.q = (56 + 2 * c.pad - taps) / stride + 1;
    c.ld_x = 64, c.ld_y = 128;
    return c;
}

static void need_cudnn(void)
{
    if (um_cudnn_load() == UM_OK)
        return;
    print_message("skipped: %s\n", um_error_text());
    skip();
}

static int64_t read_int64(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, int64_t out[4])
{
    int64_t n = 0;
    assert_int_equal(um_cudnn.cudnnBackendGetAttribute(d, name, CUDNN_TYPE_INT64, 4, &n, out), CUDNN_STATUS_SUCCESS);
    return n;
}

static void every_problem_finalises(void **state)
{
    (void)state;
    need_cudnn();
    static const um_dtype types[] = {UM_F32, UM_BF16};
    static const int64_t shapes[][2] = {{3, 1}, {1, 1}, {2, 2}}; /* taps, stride */
    for (int op = UM_DNN_FWD; op <= UM_DNN_WEIGHT; op++)
        for (size_t t = 0; t < UM_COUNT(types); t++)
            for (size_t i = 0; i < UM_COUNT(shapes); i++)
                for (int way = 0; way < 8; way++) {
                    bool slice = way & 1, bias = way & 2, other = way & 4;
                    if (bias && op == UM_DNN_WEIGHT)
                        continue;
                    um_dnn_operation o = {0};
                    um_dnn_conv c = problem((um_dnn_op)op, types[t], shapes[i][0], shapes[i][1]);
                    c.ld_x += slice ? 64 : 0;
                    c.bias = bias;
                    c.result_type = other ? (c.result_type == UM_F32 ? UM_BF16 : UM_F32) : c.result_type;
                    if (um_dnn_operation_make(&o, &c) != UM_OK)
                        fail_msg("op %d, type %zu, shape %zu, slice %d, bias %d, other %d: %s", op, t, i, slice, bias, other, um_error_text());
                    assert_int_equal(o.n_ops, bias || (other && op != UM_DNN_WEIGHT) ? 2 : 1);
                    um_dnn_operation_free(&o);
                }
}

static void tensors_are_nhwc(void **state)
{
    (void)state;
    need_cudnn();
    um_dnn_operation o = {0};
    um_dnn_conv c = problem(UM_DNN_FWD, UM_BF16, 3, 1);
    int64_t got[4];
    c.ld_x = 96;
    assert_int_equal(um_dnn_operation_make(&o, &c), UM_OK);
    const int64_t dims[4] = {4, 64, 56, 56}, strides[4] = {56 * 56 * 96, 1, 56 * 96, 96};
    const int64_t filter[4] = {128, 64, 3, 3}, filter_strides[4] = {9 * 64, 1, 3 * 64, 64};
    assert_int_equal(read_int64(o.x, CUDNN_ATTR_TENSOR_DIMENSIONS, got), 4);
    assert_memory_equal(got, dims, sizeof dims);
    read_int64(o.x, CUDNN_ATTR_TENSOR_STRIDES, got);
    assert_memory_equal(got, strides, sizeof strides);
    read_int64(o.w, CUDNN_ATTR_TENSOR_DIMENSIONS, got);
    assert_memory_equal(got, filter, sizeof filter);
    read_int64(o.w, CUDNN_ATTR_TENSOR_STRIDES, got);
    assert_memory_equal(got, filter_strides, sizeof filter_strides);
    um_dnn_operation_free(&o);
    um_dnn_operation_free(&o); /* again is no error */
}

/* A convolution writes what is in no memory, and its sum with the bias goes where the result belongs. */
static void the_bias_is_added_on_the_way(void **state)
{
    (void)state;
    need_cudnn();
    for (int op = UM_DNN_FWD; op <= UM_DNN_DATA; op++) {
        um_dnn_operation o = {0};
        um_dnn_conv c = problem((um_dnn_op)op, UM_BF16, 3, 1);
        const int64_t channels = op == UM_DNN_FWD ? 128 : 64, bias[4] = {1, channels, 1, 1}, raw[4] = {4, channels, 56, 56};
        int64_t got[4], n = 0;
        bool nowhere = false;
        c.bias = 1;
        assert_int_equal(um_dnn_operation_make(&o, &c), UM_OK);
        read_int64(o.bias, CUDNN_ATTR_TENSOR_DIMENSIONS, got);
        assert_memory_equal(got, bias, sizeof bias);
        read_int64(o.raw, CUDNN_ATTR_TENSOR_DIMENSIONS, got);
        assert_memory_equal(got, raw, sizeof raw);
        assert_int_equal(um_cudnn.cudnnBackendGetAttribute(o.raw, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &n, &nowhere),
            CUDNN_STATUS_SUCCESS);
        assert_true(nowhere);
        um_dnn_operation_free(&o);
    }
}

static void refusals_name_the_call(void **state)
{
    (void)state;
    need_cudnn();
    um_dnn_operation o = {0};
    um_dnn_conv c = problem(UM_DNN_FWD, UM_F32, 3, 1);
    c.p = 40; /* not what the window gives */
    assert_int_equal(um_dnn_operation_make(&o, &c), UM_E_DEVICE);
    assert_null(o.ops[0]);
    assert_non_null(strstr(um_error_text(), "cuDNN: "));
    assert_non_null(strstr(um_error_text(), "cudnnBackendFinalize"));
}

static void engines_are_chosen_by_their_notes(void **state)
{
    (void)state;
    const cudnnBackendNumericalNote_t random[] = {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC};
    const cudnnBackendNumericalNote_t cores[] = {CUDNN_NUMERICAL_NOTE_TENSOR_CORE};
    const cudnnBackendNumericalNote_t winograd[] = {CUDNN_NUMERICAL_NOTE_WINOGRAD, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6};
    for (int p = UM_PRECISION_FP32; p <= UM_PRECISION_BF16; p++) {
        assert_false(um_dnn_engine_allowed((um_precision)p, random, 2));
        assert_false(um_dnn_engine_allowed((um_precision)p, winograd, 2));
        assert_true(um_dnn_engine_allowed((um_precision)p, winograd, 1));
        assert_true(um_dnn_engine_allowed((um_precision)p, NULL, 0));
        assert_true(um_dnn_engine_allowed((um_precision)p, cores, 1) == (p != UM_PRECISION_FP32));
    }
}

static char cache[64];

static int make_cache(void **state)
{
    (void)state;
    strcpy(cache, "/tmp/umed-plans-XXXXXX");
    return mkdtemp(cache) ? setenv("UMED_CACHE_DIR", cache, 1) : -1;
}

static int remove_cache(void **state)
{
    (void)state;
    unsetenv("UMED_CACHE_DIR");
    return um_dir_remove(cache) == UM_OK ? 0 : -1;
}

static void expect_plan(const char *key, const char *want)
{
    um_text got = {0};
    assert_int_equal(um_plan_load(&got, key), UM_OK);
    assert_string_equal(um_text_get(&got), want);
    um_text_free(&got);
}

static void every_field_is_in_the_key(void **state)
{
    (void)state;
    um_text first = {0};
    um_dnn_conv base = problem(UM_DNN_FWD, UM_F32, 3, 1);
    assert_int_equal(um_plan_key(&first, &base, UM_PRECISION_TF32, "H100 9.0", 91900), UM_OK);
    for (int field = 0; field < 20; field++) {
        um_dnn_conv c = base;
        int64_t *numbers[] = {&c.n, &c.h, &c.w, &c.c, &c.p, &c.q, &c.k, &c.r, &c.s, &c.ld_x, &c.ld_y, &c.stride, &c.pad};
        um_text other = {0};
        if (field < 13)
            ++*numbers[field];
        c.op = field == 13 ? UM_DNN_DATA : c.op;
        c.bias = field == 19;
        c.type = field == 14 ? UM_BF16 : c.type;
        c.result_type = field == 15 ? UM_BF16 : c.result_type;
        assert_int_equal(um_plan_key(&other, &c, field == 16 ? UM_PRECISION_FP32 : UM_PRECISION_TF32,
            field == 17 ? "A100 8.0" : "H100 9.0",
                                     field == 18 ? 91901 : 91900), UM_OK);
        if (strcmp(um_text_get(&first), um_text_get(&other)) == 0)
            fail_msg("field %d is not in the key: %s", field, um_text_get(&other));
        um_text_free(&other);
    }
    um_text_free(&first);
}

static void plans_come_back_from_disk(void **state)
{
    (void)state;
    expect_plan("a problem", "");
    um_plan_store("a problem", "{\"engine\": 7}");
    um_plan_store("another", "{\"engine\": 8}");
    expect_plan("a problem", "{\"engine\": 7}");
    expect_plan("another", "{\"engine\": 8}");
    um_plan_store("a problem", "{\"engine\": 9}");
    expect_plan("a problem", "{\"engine\": 9}");
}

static void foreign_files_are_no_plans(void **state)
{
    (void)state;
    char **names = NULL, *path = NULL;
    size_t n = 0;
    um_text folder = {0};
    um_plan_store("a problem", "{}");
    assert_int_equal(um_text_add(&folder, "%s/plans", cache), UM_OK);
    assert_int_equal(um_dir_list(&names, &n, um_text_get(&folder)), UM_OK);
    assert_int_equal(n, 1); /* and nothing half-written beside it */
    assert_int_equal(um_path_join(&path, um_text_get(&folder), names[0]), UM_OK);
    assert_int_equal(um_file_write(path, "something else", 14), UM_OK);
    expect_plan("a problem", "");
    um_free(path);
    um_names_free(names, n);
    um_text_free(&folder);
}

static void without_a_folder_nothing_is_kept(void **state)
{
    (void)state;
    setenv("UMED_CACHE_DIR", "/proc/nowhere", 1);
    um_plan_store("a problem", "{}");
    expect_plan("a problem", "");
    assert_string_equal(um_error_text(), "");
    setenv("UMED_CACHE_DIR", cache, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_problem_finalises),
        cmocka_unit_test(tensors_are_nhwc),
        cmocka_unit_test(the_bias_is_added_on_the_way),
        cmocka_unit_test(refusals_name_the_call),
        cmocka_unit_test(engines_are_chosen_by_their_notes),
        cmocka_unit_test(every_field_is_in_the_key),
        cmocka_unit_test_setup_teardown(plans_come_back_from_disk, make_cache, remove_cache),
        cmocka_unit_test_setup_teardown(foreign_files_are_no_plans, make_cache, remove_cache),
        cmocka_unit_test_setup_teardown(without_a_folder_nothing_is_kept, make_cache, remove_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
