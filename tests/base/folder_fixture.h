/* A folder per test, and statuses that must be as expected. A test takes FIXTURE_TEST, or FOLDER_TEST when nothing else is to be set up. */
#ifndef UM_TESTS_BASE_FOLDER_FIXTURE_H
#define UM_TESTS_BASE_FOLDER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/status.h"

/* HDF5 1.10 itself forgets a block when it meets broken metadata; every leak of ours still counts. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static char fixture_dir[256];

static inline int folder_make(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(fixture_dir, sizeof fixture_dir, "%s/umed-test-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(fixture_dir) ? 0 : -1;
}

static inline int folder_remove(void **state)
{
    (void)state;
    return um_dir_remove(fixture_dir) == UM_OK ? 0 : -1;
}

#define FOLDER_TEST(f) cmocka_unit_test_setup_teardown(f, folder_make, folder_remove)

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
    _assert_true(rc == UM_OK, "status is UM_OK", file, line);
}
#define OK(expr) check_ok((expr), __FILE__, __LINE__)

static inline void check_fails(um_status rc, um_status expected, const char *text, const char *file, int line)
{
    if (rc != expected || !strstr(um_error_text(), text))
        print_error("%s:%d: got %s '%s', expected %s with '%s'\n", file, line, um_status_name(rc), um_error_text(),
                    um_status_name(expected), text);
    _assert_true(rc == expected && strstr(um_error_text(), text) != NULL, "fails as expected", file, line);
}
/* Fails with that code, and the message holds the text. */
#define FAILS(expr, code, text) check_fails((expr), (code), (text), __FILE__, __LINE__)

#endif
