/* Communicators, under mpirun with 1 to 4 ranks; every rank asserts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kernels/ops.h"
#include "mpi/comm.h"

static um_comm *world;

static void assert_ok(um_status rc)
{
    if (rc != UM_OK)
        fail_msg("%s: %s", um_status_name(rc), um_error_text());
}

/* What rank r brings: numbers of very different size, so that the order of a sum shows. */
static void fill(float *x, int64_t n, int rank)
{
    um_rng_fill_normal(x, n, 0, 1, 7, UM_RNG_TEST, (uint64_t)rank, 0);
    for (int64_t i = 0; i < n; i++)
        x[i] *= i % 3 == 0 ? 1e6f : i % 3 == 1 ? 1 : 1e-6f;
}

/* The tree over ranks where their number is a power of two; else the ranks too many are added to their left neighbours first. */
static void expected_sum(float *parts, int size, int64_t n)
{
    int p = 1;
    while (2 * p <= size)
        p *= 2;
    int paired = size - p;
    for (int k = 0; k < paired; k++) {
        for (int64_t i = 0; i < n; i++)
            parts[2 * k * n + i] += parts[(2 * k + 1) * n + i];
        memmove(parts + k * n, parts + 2 * k * n, (size_t)n * sizeof *parts);
    }
    memmove(parts + paired * n, parts + 2 * paired * n, (size_t)((p - paired) * n) * sizeof *parts);
    um_tree_sum_f32(parts, p, n);
}

/* Lengths on both sides of every switch: empty, one, whole vectors, halves, odd halves, several buckets. */
static void sums_follow_the_tree(void **state)
{
    (void)state;
    static const int64_t lengths[] = {0, 1, 5, 1023, 1024, 1027, 262144, 600001};
    int size = um_comm_size(world), rank = um_comm_rank(world);
    for (size_t k = 0; k < UM_COUNT(lengths); k++) {
        int64_t n = lengths[k];
        float *mine = NULL, *all = NULL;
        double *wide = NULL;
        assert_ok(UM_NEW_ARRAY(mine, n));
        assert_ok(UM_NEW_ARRAY(wide, n));
        assert_ok(UM_NEW_ARRAY(all, n * size));
        for (int r = 0; r < size; r++)
            fill(all + r * n, n, r);
        memcpy(mine, all + rank * n, (size_t)n * sizeof *mine);
        for (int64_t i = 0; i < n; i++)
            wide[i] = rank + 0.5;
        expected_sum(all, size, n);
        assert_ok(um_comm_sum(world, mine, UM_F32, n, "test"));
        assert_ok(um_comm_sum(world, wide, UM_F64, n, "test"));
        assert_memory_equal(mine, all, (size_t)n * sizeof *mine);
        for (int64_t i = 0; i < n; i++)
            assert_true(wide[i] == size * (size - 1) / 2 + 0.5 * size);
        um_free(mine);
        um_free(wide);
        um_free(all);
    }
}

static void all_get_what_one_has(void **state)
{
    (void)state;
    int size = um_comm_size(world), rank = um_comm_rank(world);
    char text[32] = "";
    if (um_comm_leads(world))
        strcpy(text, "from rank 0");
    assert_ok(um_comm_bcast(world, text, sizeof text, "test"));
    assert_string_equal(text, "from rank 0");

    int64_t count[8] = {0}, items[8 * 8] = {0}, at = 0;
    for (int r = 0; r < size; r++)
        count[r] = r; /* rank 0 brings nothing */
    for (int r = 0; r < size; r++)
        for (int64_t k = 0; k < count[r]; k++, at++)
            items[at] = r == rank ? 100 * r + k : -1;
    assert_ok(um_comm_gather(world, items, count, sizeof *items, "test"));
    at = 0;
    for (int r = 0; r < size; r++)
        for (int64_t k = 0; k < count[r]; k++, at++)
            assert_int_equal(items[at], 100 * r + k);

    unsigned flags = 1u << rank;
    assert_ok(um_comm_any(world, &flags));
    assert_int_equal(flags, (1u << size) - 1);
}

static void groups_are_neighbours(void **state)
{
    (void)state;
    int size = um_comm_size(world), rank = um_comm_rank(world), groups = (size + 1) / 2;
    um_comm *group = NULL;
    assert_ok(um_comm_split(&group, world, rank / 2));
    int expected = rank / 2 < groups - 1 || size % 2 == 0 ? 2 : 1;
    assert_int_equal(um_comm_size(group), size == 1 ? 1 : expected);
    double sum = rank;
    assert_ok(um_comm_sum(group, &sum, UM_F64, 1, "test"));
    assert_true(sum == (um_comm_size(group) == 2 ? rank / 2 * 4 + 1 : rank));
    um_comm_free(group);
    assert_ok(um_comm_split(&group, world, rank == 0 ? -1 : 0));
    assert_int_equal(um_comm_size(group), rank == 0 || size == 1 ? 1 : size - 1);
    assert_true(rank != 0 || group == NULL);
    um_comm_free(group);
}

/* One rank's failure is everybody's, with its message; and the ranks go on together afterwards. */
static void outcomes_are_agreed_on(void **state)
{
    (void)state;
    int size = um_comm_size(world), rank = um_comm_rank(world), last = size - 1;
    for (int round = 0; round < 3; round++) {
        assert_ok(um_comm_agree(world, UM_OK));
        um_status rc = rank == last ? um_fail(UM_E_DATA, "file %d is broken", round) : UM_OK;
        assert_int_equal(um_comm_agree(world, rc), UM_E_DATA);
        char text[64];
        snprintf(text, sizeof text, "file %d is broken", round);
        assert_non_null(strstr(um_error_text(), text));
        if (rank != last)
            assert_non_null(strstr(um_error_text(), "rank "));
        assert_false(um_comm_broken(world));
        rc = um_fail(UM_E_NUMERIC, "rank %d", rank); /* all fail: the message of rank 0 */
        assert_int_equal(um_comm_agree(world, rc), UM_E_NUMERIC);
        assert_non_null(strstr(um_error_text(), "rank 0"));
    }
}

/* A rank that fails alone interrupts those who wait for it. */
static void failures_interrupt_waits(void **state)
{
    (void)state;
    um_comm *c = NULL;
    int rank = um_comm_rank(world);
    double x = 1, start = um_now();
    if (um_comm_size(world) == 1)
        return;
    assert_ok(um_comm_split(&c, world, 0));
    um_status rc = rank == 1 ? um_fail(UM_E_IO, "the disk is full") : um_comm_sum(c, &x, UM_F64, 1, "sum that never ends");
    if (um_comm_size(world) == 2)
        assert_int_equal(rc, UM_E_IO);
    rc = um_comm_agree(c, rc);
    assert_int_equal(rc, UM_E_IO);
    assert_non_null(strstr(um_error_text(), "the disk is full"));
    assert_true(um_comm_broken(c));
    assert_int_equal(um_comm_sum(c, &x, UM_F64, 1, "another"), UM_E_COMM);
    assert_true(um_now() - start < 20);
    um_comm_free(c);
}

static void late_ranks_are_named(void **state)
{
    (void)state;
    um_comm *c = NULL;
    double x = 1;
    char name[32];
    int size = um_comm_size(world), rank = um_comm_rank(world);
    if (size == 1)
        return;
    assert_ok(um_comm_split(&c, world, 0));
    um_comm_set_deadline(c, 0.5);
    if (rank == size - 1) { /* comes far too late for its neighbour */
        struct timespec nap = {.tv_sec = 2};
        nanosleep(&nap, NULL);
    } else if (rank == size - 2) {
        assert_int_equal(um_comm_exchange(c, -1, NULL, 0, size - 1, &x, sizeof x, "word from the last"), UM_E_COMM);
        snprintf(name, sizeof name, "rank %d (", size - 1);
        assert_non_null(strstr(um_error_text(), name));
        assert_non_null(strstr(um_error_text(), "word from the last"));
        assert_true(um_comm_broken(c));
    }
    assert_ok(um_comm_agree(world, UM_OK));
}

static int open_world(void **state)
{
    (void)state;
    um_status rc = um_comm_open(&world, NULL, NULL);
    if (rc != UM_OK)
        fprintf(stderr, "%s\n", um_error_text());
    um_comm_set_deadline(world, 30);
    return rc != UM_OK;
}

static int close_world(void **state)
{
    (void)state;
    um_comm_close(world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_follow_the_tree),     cmocka_unit_test(all_get_what_one_has),
        cmocka_unit_test(groups_are_neighbours),    cmocka_unit_test(outcomes_are_agreed_on),
        cmocka_unit_test(failures_interrupt_waits), cmocka_unit_test(late_ranks_are_named),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
