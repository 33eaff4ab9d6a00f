/* How far each convolution algorithm is from float64 on random data, on every instruction set of this machine: relative L2 error.
 * The limits are those of the algorithms (conv_winograd.h): direct 2e-6 forward and data, 1e-5 weights; Winograd 1e-5 and 5e-5. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/op_harness.h"
#include "ref/ref_ops.h"

#define IMG(n, h, w, c) {n, h, w, c, 0, 'r', FILL_ANY, true}
#define PAR(h, w, c, k) {h, w, c, k, 0, 'r', FILL_ANY, false}
#define SHAPE(n, s, c, k)                                                                                                      \
    {"fwd", UM_OP_CONV_FWD, {IMG(n, s, s, c), PAR(3, 3, c, k)}, {IMG(n, s, s, k)}, {.conv = {1, 1, UM_CONV_AUTO}}},            \
        {"bwd data", UM_OP_CONV_BWD_DATA, {IMG(n, s, s, k), PAR(3, 3, c, k)}, {IMG(n, s, s, c)}, {.conv = {1, 1, UM_CONV_AUTO}}},\
        {"bwd weight", UM_OP_CONV_BWD_WEIGHT, {IMG(n, s, s, c), IMG(n, s, s, k)}, {PAR(3, 3, c, k)}, {.conv = {1, 1, UM_CONV_AUTO}}}

static const op_case cases[] = {SHAPE(4, 30, 16, 16), SHAPE(2, 28, 64, 48), SHAPE(1, 14, 160, 192), SHAPE(8, 8, 40, 72)};

static double relative_l2(const um_view *a, const um_view *b)
{
    double d = 0, s = 0;
    for (int64_t p = 0; p < um_view_pixels(a); p++)
        for (int64_t k = 0; k < a->c; k++) {
            double x = op_view_get(a, p, k), y = op_view_get(b, p, k);
            d += (x - y) * (x - y);
            s += y * y;
        }
    return sqrt(d / s);
}

static double error_of(const op_case *c, um_conv_algo algo, op_set *exact, um_backend *b)
{
    op_set got;
    op_set_create(&got, c, UM_F32);
    got.call.attr.conv.algo = algo;
    op_run(b, c->op, &got.call);
    double error = relative_l2(&got.call.out[0], &exact->call.out[0]);
    op_set_free(&got);
    return error;
}

static void check_case(const op_case *c, um_backend *b)
{
    bool weight = c->op == UM_OP_CONV_BWD_WEIGHT;
    op_set exact;
    op_set_create(&exact, c, UM_F64);
    um_ref_of(c->op)(&exact.call);
    double direct = error_of(c, UM_CONV_DIRECT, &exact, b), winograd = error_of(c, UM_CONV_WINOGRAD, &exact, b);
    print_message("%s %s, %lld channels: direct %.1e, winograd %.1e\n", um_cpu_isa(), c->label, (long long)c->in[0].c, direct,
                  winograd);
    if (!(direct > 0 && direct <= (weight ? 1e-5 : 2e-6)) || !(winograd > 0 && winograd <= (weight ? 5e-5 : 1e-5)))
        fail_msg("%s on %s: direct is off by %.2e, winograd by %.2e", c->label, um_cpu_isa(), direct, winograd);
    op_set_free(&exact);
}

static void algorithms_keep_to_their_errors(void **state)
{
    static const char *const isas[] = {"generic", "avx2", "avx512"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        um_backend *b = NULL;
        setenv("UMED_ISA", isas[i], 1);
        if (strcmp(um_cpu_isa(), isas[i]) == 0) {
            assert_int_equal(um_backend_create(&b, "cpu", UM_F32), UM_OK);
            for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
                check_case(&cases[k], b);
            um_backend_free(b);
        }
        unsetenv("UMED_ISA");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(algorithms_keep_to_their_errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
