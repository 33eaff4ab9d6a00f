/* Damage that umed check has to find.
 *
 *   flip bytes FILE...             flips one byte after the other (some hundred: every kind of structure and an even stride; with UMED_LONG=1
 *                                  all of a small file, and of a larger one every place within every kind of structure). Each has to be found
 *   flip poke FILE DATASET I V     sets element I to V, renewing the checksums
 *   flip drop FILE ATTRIBUTE       removes a root attribute */
#include <hdf5.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/check.h"

/* HDF5 1.10 itself forgets a block when it meets broken metadata; every leak of ours still counts. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

enum { STRIDES = 150, PER_STRUCTURE = 3, SMALL = 1 << 14, WHOLE = 2, WHOLE_BYTES = 4096, EDGE = 4, STEP = 61 };

static size_t flipped; /* place of the byte that is flipped at the moment */

static void give_up(const char *what, const char *path)
{
    fprintf(stderr, "FAILED: %s: %s (%s; byte %zu)\n", path, what, um_error_text(), flipped);
    exit(1);
}

/* ---- one byte after the other ---- */

static const char *const signatures[] = {"\211HDF", "OHDR", "OCHK", "FRHP", "FHDB", "FHIB", "BTHD", "BTLF", "BTIN",
                                         "FAHD", "FADB", "FSHD", "FSSE", "EAHD", "SMTB"};

/* Marks some bytes of every structure that has a signature: the first, one inside, and those of its checksum's neighbourhood. */
static void mark_some(const uint8_t *bytes, size_t n, uint8_t *marks)
{
    for (size_t i = 0; i < n; i += n / STRIDES + 1)
        marks[i] = 1;
    for (size_t k = 0; k < UM_COUNT(signatures); k++) {
        const uint8_t *p = bytes;
        for (int seen = 0; seen < 4 && (p = memmem(p, n - (size_t)(p - bytes), signatures[k], 4)) != NULL; p += 4, seen++)
            for (size_t i = 0; i < 40 && (size_t)(p - bytes) + i < n; i += 40 / PER_STRUCTURE)
                marks[(size_t)(p - bytes) + i] = 1;
    }
}

/* The kind of structure that begins at p, or -1. */
static int kind_at(const uint8_t *p, size_t left)
{
    for (size_t k = 0; left >= 4 && k < UM_COUNT(signatures); k++)
        if (memcmp(p, signatures[k], 4) == 0)
            return (int)k;
    return -1;
}

/* A structure reaches to the next one, with the data behind it. Of each kind the first ones are flipped byte by byte; of all others the
 * edges and every STEP-th byte, beginning elsewhere in each: together every place within a kind, and every structure. */
static void mark_classes(const uint8_t *bytes, size_t n, uint8_t *marks)
{
    size_t seen[UM_COUNT(signatures)] = {0};
    for (size_t begin = 0, end; begin < n; begin = end) {
        int kind = kind_at(bytes + begin, n - begin);
        size_t s = kind < 0 ? 0 : seen[kind]++;
        for (end = begin + 1; end < n && kind_at(bytes + end, n - end) < 0; end++)
            ;
        for (size_t i = begin; i < end; i++)
            marks[i] = (s < WHOLE && i - begin < WHOLE_BYTES) || i - begin < EDGE || end - i <= EDGE || (i - begin + s) % STEP == 0;
    }
}

static void put_byte(const char *path, size_t at, uint8_t value)
{
    FILE *f = fopen(path, "r+b");
    if (!f || fseek(f, (long)at, SEEK_SET) != 0 || fputc(value, f) == EOF || fclose(f) != 0)
        give_up("a byte cannot be written", path);
}

static void flip_all(const char *path)
{
    um_text text = {0};
    uint8_t *marks = NULL;
    const char *more = getenv("UMED_LONG");
    long tried = 0;
    if (um_check_path(path, NULL, NULL) != UM_OK)
        give_up("not good to begin with", path);
    if (um_file_read(&text, path, 1 << 26) != UM_OK || UM_NEW_ARRAY(marks, text.n) != UM_OK)
        give_up("cannot be read", path);
    if (!more || strcmp(more, "1") != 0)
        mark_some((const uint8_t *)text.data, text.n, marks);
    else if (text.n <= SMALL)
        memset(marks, 1, text.n);
    else
        mark_classes((const uint8_t *)text.data, text.n, marks);
    for (size_t i = 0; i < text.n; i++) {
        if (!marks[i])
            continue;
        uint8_t byte = (uint8_t)text.data[i];
        flipped = i;
        put_byte(path, i, byte ^ (uint8_t)(1u << i % 8));
        um_status rc = um_check_path(path, NULL, NULL);
        tried++;
        if (rc != UM_OK && (rc != UM_E_DATA || !strstr(um_error_text(), path)))
            give_up("a flipped byte gives another error", path);
        if (rc == UM_OK)
            give_up("a flipped byte is not found", path);
        put_byte(path, i, byte);
    }
    const char *name = strrchr(path, '/');
    printf("%-28s %6ld of %6zu bytes flipped, all found\n", name ? name + 1 : path, tried, text.n);
    fflush(stdout);
    um_text_free(&text);
    um_free(marks);
}

/* ---- changes that keep every checksum of HDF5 ---- */

static void poke(const char *path, const char *name, long index, double value)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), data = H5Dopen2(file, name, H5P_DEFAULT);
    hid_t space = H5Dget_space(data);
    hssize_t n = H5Sget_simple_extent_npoints(space);
    double *values = calloc((size_t)n + 1, sizeof *values);
    if (!values || index >= n || H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        give_up("cannot be poked", path);
    values[index] = value;
    if (H5Dwrite(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        give_up("cannot be poked", path);
    free(values);
    H5Sclose(space);
    H5Dclose(data);
    H5Fclose(file);
}

static void drop(const char *path, const char *attribute)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    if (file < 0 || H5Adelete(file, attribute) < 0)
        give_up("has no such attribute", path);
    H5Fclose(file);
}

int main(int argc, char **argv)
{
    um_log_set_level(UM_LOG_ERROR);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    if (argc > 2 && strcmp(argv[1], "bytes") == 0)
        for (int i = 2; i < argc; i++)
            flip_all(argv[i]);
    else if (argc == 6 && strcmp(argv[1], "poke") == 0)
        poke(argv[2], argv[3], atol(argv[4]), atof(argv[5]));
    else if (argc == 4 && strcmp(argv[1], "drop") == 0)
        drop(argv[2], argv[3]);
    else
        return 64;
    return 0;
}
