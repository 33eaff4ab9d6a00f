/* Fixtures of the io tests: a folder per test, small deterministic datasets, and files with a byte changed. */
#ifndef UM_TESTS_IO_FIXTURE_H
#define UM_TESTS_IO_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/status.h"
#include "io/dataset.h"

/* HDF5 1.10 itself forgets a block when it meets broken metadata; every leak of ours still counts. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static char fixture_dir[256];

static inline int fixture_setup(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(fixture_dir, sizeof fixture_dir, "%s/umed-io-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(fixture_dir) ? 0 : -1;
}

static inline int fixture_teardown(void **state)
{
    (void)state;
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

/* Pseudo-random content, the same at every call. */
static inline um_dataset *make_dataset(int64_t n, int64_t h, int64_t w, int64_t c, int bits)
{
    um_dataset *d = NULL;
    uint32_t x = 12345;
    OK(um_dataset_create(&d, n, h, w, c, bits));
    for (int64_t i = 0; i < n * h * w * c * (bits / 8); i++)
        ((uint8_t *)d->images)[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    for (int64_t i = 0; i < n * h * w; i++)
        d->masks[i] = ((x = x * 1664525u + 1013904223u) >> 24) > 200;
    for (int64_t i = 0; i < n; i++) {
        char id[64];
        snprintf(id, sizeof id, "bénign (%lld)", (long long)i);
        OK(um_strdup(&d->ids[i], id));
        d->split[i] = i % 5 == 0;
    }
    return d;
}

static inline void assert_same_dataset(const um_dataset *a, const um_dataset *b)
{
    assert_true(a->n == b->n && a->h == b->h && a->w == b->w && a->c == b->c && a->bits == b->bits);
    assert_memory_equal(a->images, b->images, (size_t)(a->n * a->h * a->w * a->c * (a->bits / 8)));
    assert_memory_equal(a->masks, b->masks, (size_t)(a->n * a->h * a->w));
    assert_memory_equal(a->split, b->split, (size_t)a->n);
    for (int64_t i = 0; i < a->n; i++)
        assert_string_equal(a->ids[i], b->ids[i]);
}

static inline uint8_t *load_bytes(const char *path, size_t *n)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    uint8_t *bytes = malloc((size_t)info.st_size + 1);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    *n = fread(bytes, 1, (size_t)info.st_size, f);
    fclose(f);
    return bytes;
}

static inline void store_bytes(const char *path, const uint8_t *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static inline long find_bytes(const uint8_t *bytes, size_t n, const void *what, size_t n_what)
{
    const uint8_t *hit = memmem(bytes, n, what, n_what);
    return hit ? (long)(hit - bytes) : -1;
}

#endif
