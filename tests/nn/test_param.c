/* Parameter sets: declaring, PyTorch's order against memory, initial weights, one Adam step. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/threads.h"
#include "nn/net_fixture.h"

typedef struct set {
    um_backend *backend;
    um_params *params;
    int conv, convt, vector, buffer;
} set;

static const um_param conv_like = {.name = "c.weight", .kind = UM_PARAM_CONV, .n_dims = 4, .dims = {4, 3, 3, 3}, .init_bound = 0.2};

static void open_set(set *s, um_dtype real)
{
    um_param convt = {.name = "t.weight", .kind = UM_PARAM_CONVT, .n_dims = 4, .dims = {3, 5, 2, 2}, .init_bound = 0.5};
    um_param vector = {.name = "n.weight", .kind = UM_PARAM_VECTOR, .n_dims = 1, .dims = {7}, .init_value = 1};
    um_param buffer = {.name = "n.running_var", .kind = UM_PARAM_BUFFER, .n_dims = 1, .dims = {7}, .init_value = 1};
    assert_ok(um_backend_create(&s->backend, "cpu", real));
    assert_ok(um_params_create(&s->params, s->backend));
    assert_ok(um_params_require(s->params, &conv_like, &s->conv));
    assert_ok(um_params_require(s->params, &convt, &s->convt));
    assert_ok(um_params_require(s->params, &vector, &s->vector));
    assert_ok(um_params_require(s->params, &buffer, &s->buffer));
}

static void close_set(set *s)
{
    um_params_free(s->params);
    um_backend_free(s->backend);
}

static void names_are_declared_once(void **state)
{
    (void)state;
    set s;
    int again = -1;
    um_param other = conv_like;
    open_set(&s, UM_F32);
    assert_ok(um_params_require(s.params, &conv_like, &again));
    assert_int_equal(again, s.conv);
    assert_int_equal(s.params->n, 4);
    assert_int_equal(um_params_find(s.params, "t.weight"), s.convt);
    assert_int_equal(um_params_find(s.params, "t.bias"), -1);
    assert_int_equal(um_params_trainable_count(s.params), 4 * 27 + 60 + 7);
    other.dims[0] = 5;
    assert_int_equal(um_params_require(s.params, &other, &again), UM_E_BUG);
    assert_non_null(strstr(um_error_text(), "c.weight"));
    assert_ok(um_params_allocate(s.params));
    snprintf(other.name, sizeof other.name, "late.weight");
    assert_int_equal(um_params_require(s.params, &other, &again), UM_E_BUG);
    assert_non_null(strstr(um_error_text(), "late.weight"));
    close_set(&s);
}

/* Element (a, b, u, v) of PyTorch's [A][B][kh][kw] gets the value 1000 a + 100 b + 10 u + v. */
static void fill_in_torch_order(const um_param *q, double *value)
{
    for (int64_t i = 0; i < q->count; i++) {
        int64_t kw = q->dims[3], kh = q->dims[2], n_b = q->dims[1];
        value[i] = (double)(1000 * (i / (n_b * kh * kw)) + 100 * (i / (kh * kw) % n_b) + 10 * (i / kw % kh) + i % kw);
    }
}

static void memory_has_the_kernels_order(void **state)
{
    (void)state;
    set s;
    double value[108], back[108];
    open_set(&s, UM_F32);
    assert_ok(um_params_allocate(s.params));
    fill_in_torch_order(&s.params->list[s.conv], value);
    assert_ok(um_params_write(s.params, s.conv, UM_BLOCK_VALUE, value));
    um_view w = um_params_view(s.params, s.conv, UM_BLOCK_VALUE); /* [kh][kw][C][K] */
    assert_true(w.n == 3 && w.h == 3 && w.w == 3 && w.c == 4);
    for (int64_t i = 0; i < 108; i++)
        assert_true(((float *)w.data)[i] == (float)(1000 * (i % 4) + 100 * (i / 4 % 3) + 10 * (i / 36) + i / 12 % 3));
    assert_ok(um_params_read(s.params, s.conv, UM_BLOCK_VALUE, back));
    assert_memory_equal(value, back, sizeof value);
    fill_in_torch_order(&s.params->list[s.convt], value);
    assert_ok(um_params_write(s.params, s.convt, UM_BLOCK_GRAD, value));
    w = um_params_view(s.params, s.convt, UM_BLOCK_GRAD); /* [C][kh][kw][O] */
    assert_true(w.n == 3 && w.h == 2 && w.w == 2 && w.c == 5);
    for (int64_t i = 0; i < 60; i++)
        assert_true(((float *)w.data)[i] == (float)(1000 * (i / 20) + 100 * (i % 5) + 10 * (i / 10 % 2) + i / 5 % 2));
    close_set(&s);
}

static void check_range(const set *s, int index, double bound)
{
    double *value = net_param(s->params, index, UM_BLOCK_VALUE), sum = 0, largest = 0;
    int64_t n = s->params->list[index].count;
    for (int64_t i = 0; i < n; i++) {
        sum += value[i];
        largest = fmax(largest, fabs(value[i]));
    }
    assert_true(largest <= bound && largest > 0.85 * bound);
    assert_true(fabs(sum / (double)n) < 0.3 * bound);
    um_free(value);
}

/* Weights depend on seed, purpose and name, not on the precision or on what else is in the set. */
static void initial_weights(void **state)
{
    (void)state;
    set a, b;
    char first[65], again[65], other[65], exploiter[65];
    open_set(&a, UM_F32);
    open_set(&b, UM_F64);
    assert_ok(um_params_init(a.params, 1, UM_RNG_SURROGATE_INIT));
    assert_ok(um_params_init(b.params, 1, UM_RNG_SURROGATE_INIT));
    assert_ok(um_params_sha256(a.params, first));
    check_range(&a, a.conv, 0.2);
    check_range(&a, a.convt, 0.5);
    double *narrow = net_param(a.params, a.conv, UM_BLOCK_VALUE), *wide = net_param(b.params, b.conv, UM_BLOCK_VALUE);
    double *ones = net_param(a.params, a.vector, UM_BLOCK_VALUE);
    assert_memory_equal(narrow, wide, 108 * sizeof *narrow);
    for (int i = 0; i < 7; i++)
        assert_true(ones[i] == 1);
    assert_ok(um_params_init(a.params, 2, UM_RNG_SURROGATE_INIT));
    assert_ok(um_params_sha256(a.params, other));
    assert_ok(um_params_init(a.params, 1, UM_RNG_EXPLOITER_INIT));
    assert_ok(um_params_sha256(a.params, exploiter));
    assert_ok(um_params_init(a.params, 1, UM_RNG_SURROGATE_INIT));
    assert_ok(um_params_sha256(a.params, again));
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    assert_string_not_equal(first, exploiter);
    um_free(narrow);
    um_free(wide);
    um_free(ones);
    close_set(&a);
    close_set(&b);
}

/* Two steps by hand (Kingma & Ba): m = 0.1 g, v = 0.001 g^2, then bias correction. um_params_init forgets them. */
static void adam_counts_its_steps(void **state)
{
    (void)state;
    set s;
    const um_adam_attr adam = {.lr = 0.1, .b1 = 0.9, .b2 = 0.999, .eps = 1e-8};
    double g[2][7] = {{1, -2, 3, 0.5, -1, 4, 0.25}, {-1, 1, 2, -0.5, 3, 1, 1}}, expected[7], m[7] = {0}, v[7] = {0};
    open_set(&s, UM_F64);
    assert_ok(um_params_init(s.params, 1, UM_RNG_TEST));
    for (int i = 0; i < 7; i++)
        expected[i] = 1;
    for (int step = 1; step <= 2; step++) {
        assert_ok(um_params_write(s.params, s.vector, UM_BLOCK_GRAD, g[step - 1]));
        assert_ok(um_params_adam(s.params, &adam));
        for (int i = 0; i < 7; i++) {
            m[i] = 0.9 * m[i] + 0.1 * g[step - 1][i];
            v[i] = 0.999 * v[i] + 0.001 * g[step - 1][i] * g[step - 1][i];
            expected[i] -= 0.1 * (m[i] / (1 - pow(0.9, step))) / (sqrt(v[i] / (1 - pow(0.999, step))) + 1e-8);
        }
    }
    double *value = net_param(s.params, s.vector, UM_BLOCK_VALUE);
    for (int i = 0; i < 7; i++)
        assert_true(fabs(value[i] - expected[i]) < 1e-12);
    assert_int_equal(s.params->adam_step, 2);
    um_free(value);
    assert_ok(um_params_init(s.params, 1, UM_RNG_TEST));
    assert_int_equal(s.params->adam_step, 0);
    value = net_param(s.params, s.vector, UM_BLOCK_M);
    for (int i = 0; i < 7; i++)
        assert_true(value[i] == 0);
    um_free(value);
    close_set(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_declared_once),
        cmocka_unit_test(memory_has_the_kernels_order),
        cmocka_unit_test(initial_weights),
        cmocka_unit_test(adam_counts_its_steps),
    };
    um_threads_set(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
