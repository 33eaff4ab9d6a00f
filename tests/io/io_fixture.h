/* Fixtures of the io tests: a folder per test, small deterministic datasets, and files with a byte changed. */
#ifndef UM_TESTS_IO_FIXTURE_H
#define UM_TESTS_IO_FIXTURE_H

#include <sys/stat.h>
#include <unistd.h>

#include "base/folder_fixture.h"
#include "base/mem.h"
#include "io/dataset.h"

#define FIXTURE_TEST(f) FOLDER_TEST(f)

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
