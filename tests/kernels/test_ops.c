/* Every op case on every instruction set of this machine, plain and under check: (op_case_check tells what a case goes through). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/op_cases.h"
#include "ref/ref_ops.h"

static void every_op_has_a_case_and_an_oracle(void **state)
{
    (void)state;
    for (int op = 0; op < UM_OP_COUNT; op++) {
        int cases = 0;
        for (int i = 0; i < n_op_cases; i++)
            cases += op_cases[i].op == (um_op)op;
        if (cases == 0 || !um_ref_of((um_op)op))
            fail_msg("op %s has %d cases and %s oracle", um_op_table[op].name, cases, um_ref_of((um_op)op) ? "an" : "no");
    }
}

/* Runs all cases when the machine has that instruction set. */
static void run_on(const char *isa, const char *backend)
{
    setenv("UMED_ISA", isa, 1);
    if (strcmp(um_cpu_isa(), isa) != 0) {
        print_message("skipped: this machine has no %s\n", isa);
        unsetenv("UMED_ISA");
        skip();
    }
    for (int i = 0; i < n_op_cases; i++)
        op_case_check(&op_cases[i], backend);
    unsetenv("UMED_ISA");
}

static void generic_matches_the_oracles(void **state)
{
    (void)state;
    run_on("generic", "cpu");
}

static void avx2_matches_the_oracles(void **state)
{
    (void)state;
    run_on("avx2", "cpu");
}

static void avx512_matches_the_oracles(void **state)
{
    (void)state;
    run_on("avx512", "cpu");
}

static void generic_passes_check(void **state)
{
    (void)state;
    run_on("generic", "check:cpu");
}

static void avx2_passes_check(void **state)
{
    (void)state;
    run_on("avx2", "check:cpu");
}

static void avx512_passes_check(void **state)
{
    (void)state;
    run_on("avx512", "check:cpu");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_has_a_case_and_an_oracle),
        cmocka_unit_test(generic_matches_the_oracles),
        cmocka_unit_test(avx2_matches_the_oracles),
        cmocka_unit_test(avx512_matches_the_oracles),
        cmocka_unit_test(generic_passes_check),
        cmocka_unit_test(avx2_passes_check),
        cmocka_unit_test(avx512_passes_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
