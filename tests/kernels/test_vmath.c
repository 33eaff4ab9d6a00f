/* The vector functions against libm in double: at most 2 ulp of f32 where vmath.h promises it. */
#define UM_REAL_IS_F64 0
#define UM_ISA generic
#include "kernels/cpu/vmath.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static double ulps(float got, double want)
{
    double unit = nextafterf(fabsf((float)want), INFINITY) - fabsf((float)want);
    return fabs((double)got - want) / unit;
}

static void exponential_is_accurate(void **state)
{
    (void)state;
    double worst = 0;
    for (int i = 0; i <= 400000; i++) {
        float x = -87.0f + 175.0f * (float)i / 400000;
        worst = fmax(worst, ulps(v_exp(x), exp((double)x)));
    }
    print_message("exp: %.2f ulp\n", worst);
    assert_true(worst < 2);
    assert_true(v_exp(-1000) < 1e-37f && v_exp(1000) > 1e38f && isnan(v_exp(NAN)));
}

static void logarithm_is_accurate(void **state)
{
    (void)state;
    double worst = 0;
    for (int i = 1; i <= 400000; i++) {
        float x = i < 1000 ? exp2f(-0.1f * (float)i) : (float)i / 400000;
        worst = fmax(worst, ulps(v_log1p_unit(x), log1p((double)x)));
    }
    print_message("log1p: %.2f ulp\n", worst);
    assert_true(worst < 2);
    assert_true(v_log1p_unit(0) == 0);
}

static void tangent_is_accurate(void **state)
{
    (void)state;
    double worst = 0;
    for (int i = -200000; i <= 200000; i++) {
        float x = 12.0f * (float)i / 200000;
        worst = fmax(worst, ulps(v_tanh(x), tanh((double)x)));
        assert_true(fabsf(v_tanh(x)) <= 1);
    }
    print_message("tanh: %.2f ulp\n", worst);
    assert_true(worst < 2);
    assert_true(v_tanh(0) == 0 && v_tanh(100) == 1 && v_tanh(-100) == -1 && isnan(v_tanh(NAN)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponential_is_accurate),
        cmocka_unit_test(logarithm_is_accurate),
        cmocka_unit_test(tangent_is_accurate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
