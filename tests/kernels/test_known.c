/* Known answers: CDC by fold + convolution against the literal equation (3) of arXiv:2403.14250, the loss, special values. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/op_harness.h"
#include "ref/ref_ops.h"

static um_backend *backend;

static um_view view_on(double *data, int64_t n, int64_t h, int64_t w, int64_t c)
{
    return (um_view){data, UM_F64, n, h, w, c, c};
}

static void fill_wave(double *v, int n, double phase)
{
    for (int i = 0; i < n; i++)
        v[i] = sin(1.7 * i * i + phase);
}

/* out(r) = sum_d wv(d) f(r+d) + sum_d wc(d) (f(r+d) - f(r)), f = 0 outside. */
static double literal(const um_view *f, const um_view *wv, const um_view *wc, int64_t y, int64_t x, int64_t k)
{
    double sum = 0;
    for (int64_t u = -1; u <= 1; u++)
        for (int64_t v = -1; v <= 1; v++)
            for (int64_t q = 0; q < f->c; q++) {
                double there = ref_padded(f, 0, y + u, x + v, q), here = *ref_at(f, 0, y, x, q);
                sum += *ref_at(wv, u + 1, v + 1, q, k) * there + *ref_at(wc, u + 1, v + 1, q, k) * (there - here);
            }
    return sum;
}

static void fold_and_convolve_is_equation_3(void **state)
{
    (void)state;
    enum { H = 6, W = 5, C = 3, K = 4 };
    double f[H * W * C], wv[9 * C * K], wc[9 * C * K], k[9 * C * K], out[H * W * K];
    fill_wave(f, H * W * C, 0.1);
    fill_wave(wv, 9 * C * K, 0.2);
    fill_wave(wc, 9 * C * K, 0.3);
    um_view vf = view_on(f, 1, H, W, C), vwv = view_on(wv, 3, 3, C, K), vwc = view_on(wc, 3, 3, C, K);
    um_view vk = view_on(k, 3, 3, C, K), vout = view_on(out, 1, H, W, K);
    um_op_call fold = {.in = {vwv, vwc}, .out = {vk}, .attr.cdc.dual = true};
    um_op_call conv = {.in = {vf, vk}, .out = {vout}, .attr.conv = {1, 1, UM_CONV_AUTO}};
    op_run(backend, UM_OP_CDC_FOLD, &fold);
    op_run(backend, UM_OP_CONV_FWD, &conv);
    double worst = 0;
    REF_FOR(&vout, i, y, x, o) worst = fmax(worst, fabs(*ref_at(&vout, i, y, x, o) - literal(&vf, &vwv, &vwc, y, x, o)));
    assert_true(worst < 1e-12);
}

static void fold_of_the_known_kernel(void **state)
{
    (void)state;
    double wv[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, wc[9], k[9];
    const double want[9] = {1.5, 2.5, 3.5, 4.5, 1, 6.5, 7.5, 8.5, 9.5};
    for (int i = 0; i < 9; i++)
        wc[i] = 0.5;
    um_op_call fold = {.in = {view_on(wv, 3, 3, 1, 1), view_on(wc, 3, 3, 1, 1)}, .out = {view_on(k, 3, 3, 1, 1)},
                       .attr.cdc.dual = true};
    op_run(backend, UM_OP_CDC_FOLD, &fold);
    for (int i = 0; i < 9; i++)
        assert_true(k[i] == want[i]);
}

static void difference_kernel_has_no_centre_gradient(void **state)
{
    (void)state;
    double dk[9] = {1, -2, 3, 4, 0.5, 6, 7, 8, 9}, dwc[9];
    um_op_call unfold = {.in = {view_on(dk, 3, 3, 1, 1)}, .out = {view_on(dwc, 3, 3, 1, 1)}, .attr.cdc.dual = true};
    op_run(backend, UM_OP_CDC_UNFOLD, &unfold);
    assert_true(dwc[4] == 0);
    assert_true(dwc[0] == 0.5 && dwc[1] == -2.5);
}

/* {loss, CE, Dice} of one image of 2x2 pixels. */
static void loss_of(double *z, double *y, double out[3])
{
    double s[5];
    um_batch batch;
    um_batch_set(&batch, 1, 1);
    um_op_call sums = {.in = {view_on(z, 1, 2, 2, 1), view_on(y, 1, 2, 2, 1)}, .out = {view_on(s, 1, 1, 1, 5)}, .batch = &batch};
    um_op_call loss = {.in = {view_on(s, 1, 1, 1, 5)}, .out = {view_on(out, 1, 1, 1, 3)}, .batch = &batch};
    loss.attr.seg = (um_seg_attr){.w_ce = 1, .w_dice = 1, .smooth = 1e-5, .hw = 4};
    op_run(backend, UM_OP_SEG_SUMS, &sums);
    op_run(backend, UM_OP_SEG_LOSS, &loss);
}

static void loss_has_its_known_values(void **state)
{
    (void)state;
    double undecided[4] = {0, 0, 0, 0}, sure[4] = {60, -60, -60, 60}, y[4] = {1, 0, 0, 1}, out[3];
    loss_of(undecided, y, out);
    assert_true(fabs(out[1] - 0.693147180559945) < 1e-12); /* ln 2 */
    loss_of(sure, y, out);
    assert_true(fabs(out[1]) < 1e-12);
    assert_true(fabs(out[2]) < 1e-12); /* p = y */
    assert_true(fabs(out[0] - out[1] - out[2]) < 1e-15);
}

/* Two windows side by side: {1, NaN; 3, 2} and {5, 5; 5, 5}. */
static void pooling_keeps_nan_and_the_first_maximum(void **state)
{
    (void)state;
    double x[8] = {1, NAN, 5, 5, 3, 2, 5, 5}, y[2];
    uint8_t which[2];
    um_op_call pool = {.in = {view_on(x, 1, 2, 4, 1)}, .out = {view_on(y, 1, 1, 2, 1), {which, UM_U8, 1, 1, 2, 1, 1}}};
    pool.attr.pool.size = pool.attr.pool.stride = 2;
    op_run(backend, UM_OP_MAXPOOL_FWD, &pool);
    assert_true(isnan(y[0]) && which[0] == 1);
    assert_true(y[1] == 5 && which[1] == 0);
}

/* relu must not turn a diverged value into a zero. */
static void normalisation_keeps_nan(void **state)
{
    (void)state;
    double x[2] = {NAN, -1}, coef[4] = {0, 1, 1, 0}, y[2];
    um_op_call apply = {.in = {view_on(x, 1, 1, 2, 1), view_on(coef, 1, 1, 4, 1)}, .out = {view_on(y, 1, 1, 2, 1)}};
    apply.attr.bn.relu = true;
    op_run(backend, UM_OP_BN_APPLY, &apply);
    assert_true(isnan(y[0]) && y[1] == 0);
}

static int make_backend(void **state)
{
    (void)state;
    return um_backend_create(&backend, "cpu", UM_F64) == UM_OK ? 0 : -1;
}

static int free_backend(void **state)
{
    (void)state;
    um_backend_free(backend);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fold_and_convolve_is_equation_3),
        cmocka_unit_test(fold_of_the_known_kernel),
        cmocka_unit_test(difference_kernel_has_no_centre_gradient),
        cmocka_unit_test(loss_has_its_known_values),
        cmocka_unit_test(pooling_keeps_nan_and_the_first_maximum),
        cmocka_unit_test(normalisation_keeps_nan),
    };
    return cmocka_run_group_tests(tests, make_backend, free_backend);
}
