/* Fixtures of the grid tests: a folder per test, all option tables, small phantom datasets. */
#ifndef UM_TESTS_GRID_FIXTURE_H
#define UM_TESTS_GRID_FIXTURE_H

#include "base/folder_fixture.h"
#include "base/mem.h"
#include "exploit/exploiter.h"
#include "grid/plan.h"
#include "grid/tables.h"
#include "io/import.h"
#include "protect/protector.h"

static um_settings *settings;

static inline int fixture_setup(void **state)
{
    return folder_make(state) == 0 && um_settings_create(&settings, um_option_tables()) == UM_OK ? 0 : -1;
}

static inline int fixture_teardown(void **state)
{
    um_settings_free(settings);
    settings = NULL;
    return folder_remove(state);
}

#define FIXTURE_TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

static inline void make_phantoms(const char *path, int64_t n, int64_t size, uint64_t seed)
{
    um_dataset *d = NULL;
    OK(um_import_phantoms(&d, n, size, 1, seed, NULL));
    OK(um_dataset_write(d, path, NULL));
    um_dataset_free(d);
}

#endif
