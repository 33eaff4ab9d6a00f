/* Which way sums over ranks go on devices: pure logic. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "mpi/reducer.h"

static const um_reduce_facts all = {.version = "2.28.9", .aware = true, .mpi = "Some MPI 1.0"};

static um_reduce_facts facts(const char *nccl, int shared, bool aware)
{
    um_reduce_facts f = all;
    f.nccl = nccl, f.n_shared = shared, f.aware = aware;
    return f;
}

static void expect(um_reduce_path wanted, um_reduce_facts f, um_reduce_path path, const char *word)
{
    um_reduce_path got = UM_REDUCE_AUTO;
    char why[256] = "";
    assert_int_equal(um_reduce_choose(&got, why, wanted, &f), UM_OK);
    assert_int_equal(got, path);
    if (!strstr(why, word))
        fail_msg("'%s' does not say '%s'", why, word);
}

static void auto_takes_the_first_that_is_possible(void **state)
{
    (void)state;
    expect(UM_REDUCE_AUTO, all, UM_REDUCE_NCCL, "NCCL 2.28.9, since every rank has a device of its own");
    expect(UM_REDUCE_AUTO, facts(NULL, 2, true), UM_REDUCE_MPI, "2 ranks share a device");
    expect(UM_REDUCE_AUTO, facts("NCCL is not in this build", 0, true), UM_REDUCE_MPI, "NCCL is not in this build");
    expect(UM_REDUCE_AUTO, facts(NULL, 2, false), UM_REDUCE_STAGED, "2 ranks share a device");
    expect(UM_REDUCE_AUTO, facts("NCCL is not in this build", 0, false), UM_REDUCE_STAGED, "Some MPI 1.0 does not take device memory");
}

static void what_is_asked_for_is_done_or_refused(void **state)
{
    (void)state;
    um_reduce_path got = UM_REDUCE_AUTO;
    char why[256] = "";
    um_reduce_facts shared = facts(NULL, 2, false);
    expect(UM_REDUCE_STAGED, all, UM_REDUCE_STAGED, "run.allreduce");
    expect(UM_REDUCE_MPI, all, UM_REDUCE_MPI, "run.allreduce");
    expect(UM_REDUCE_NCCL, all, UM_REDUCE_NCCL, "run.allreduce");
    assert_int_equal(um_reduce_choose(&got, why, UM_REDUCE_NCCL, &shared), UM_E_CONFIG);
    assert_non_null(strstr(um_error_text(), "2 ranks share a device"));
    assert_int_equal(um_reduce_choose(&got, why, UM_REDUCE_MPI, &shared), UM_E_CONFIG);
    assert_non_null(strstr(um_error_text(), "does not take device memory"));
    assert_int_equal(got, UM_REDUCE_AUTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_takes_the_first_that_is_possible),
        cmocka_unit_test(what_is_asked_for_is_done_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
