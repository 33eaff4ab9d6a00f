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

/* For a whole group of tests: a backend, and the configuration that its tests read last. */
static um_backend *backend __attribute__((unused));
static um_grid_config *config __attribute__((unused));

static inline int open_backend(void **state)
{
    (void)state;
    return um_backend_create(&backend, "cpu", UM_F32) == UM_OK ? 0 : -1;
}

static inline int close_backend(void **state)
{
    (void)state;
    um_grid_config_free(config);
    um_backend_free(backend);
    return 0;
}

/* Writes and reads sweep.cfg, and expands it. */
static inline um_status expand_text(um_sweep **out, const char *text, const char *const *only, size_t n_only)
{
    um_sweep_filter filter = {only, n_only};
    um_grid_config_free(config);
    config = NULL;
    OK(um_file_write(at("sweep.cfg"), text, strlen(text)));
    OK(um_config_load(at("sweep.cfg"), settings, &config));
    return um_sweep_create(out, config, settings, &filter, backend, "sweep.cfg");
}

static inline void make_phantoms(const char *path, int64_t n, int64_t size, uint64_t seed)
{
    um_dataset *d = NULL;
    OK(um_import_phantoms(&d, n, size, 1, seed, NULL));
    OK(um_dataset_write(d, path, NULL));
    um_dataset_free(d);
}

#endif
