/* Fixtures of the grid tests: a folder per test, all option tables, small phantom datasets. */
#ifndef UM_TESTS_GRID_FIXTURE_H
#define UM_TESTS_GRID_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "exploit/exploiter.h"
#include "grid/plan.h"
#include "io/import.h"
#include "protect/protector.h"

/* HDF5 1.10 itself forgets a block when it meets broken metadata; every leak of ours still counts. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static char fixture_dir[256];
static um_settings *settings;

static inline int fixture_setup(void **state)
{
    (void)state;
    static const um_opt_table *tables[16];
    const um_protector_def *umed = NULL;
    const char *tmp = getenv("TMPDIR");
    const um_opt_table *const fixed[] = {&um_data_table, &um_model_table, &um_loss_table, &um_export_table, &um_exploiter_table,
                                         &um_metric_table, &um_run_table, &um_conv_table, &um_grid_table};
    memcpy(tables, fixed, sizeof fixed);
    if (um_protector_find(&umed, "umed") != UM_OK)
        return -1;
    tables[UM_COUNT(fixed)] = umed->table;
    snprintf(fixture_dir, sizeof fixture_dir, "%s/umed-grid-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(fixture_dir) && um_settings_create(&settings, tables) == UM_OK ? 0 : -1;
}

static inline int fixture_teardown(void **state)
{
    (void)state;
    um_settings_free(settings);
    settings = NULL;
    return um_dir_remove(fixture_dir) == UM_OK ? 0 : -1;
}

#define FIXTURE_TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

/* A path below the test's folder; four may be in use at a time. */
static inline const char *at(const char *name)
{
    static char paths[4][512];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", fixture_dir, name);
    return path;
}

static inline void check_ok(um_status rc, const char *file, int line)
{
    if (rc != UM_OK)
        print_error("%s:%d: %s: %s\n", file, line, um_status_name(rc), um_error_text());
    _assert_int_equal(rc, UM_OK, file, line);
}
#define OK(call) check_ok((call), __FILE__, __LINE__)

/* The call fails with this status and a message that holds every one of the texts. */
static inline void check_refused(um_status rc, um_status wanted, const char *text, const char *file, int line)
{
    if (rc != wanted || !strstr(um_error_text(), text))
        print_error("%s:%d: %s: \"%s\", expected %s with \"%s\"\n", file, line, um_status_name(rc), um_error_text(),
                    um_status_name(wanted), text);
    _assert_int_equal(rc, wanted, file, line);
    _assert_true(strstr(um_error_text(), text) != NULL, "message", file, line);
}
#define REFUSED(call, status, text) check_refused((call), (status), (text), __FILE__, __LINE__)

static inline void make_phantoms(const char *path, int64_t n, int64_t size, uint64_t seed)
{
    um_dataset *d = NULL;
    OK(um_import_phantoms(&d, n, size, 1, seed, NULL));
    OK(um_dataset_write(d, path, NULL));
    um_dataset_free(d);
}

#endif
