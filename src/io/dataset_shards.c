#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "io/dataset_internal.h"
#include "io/shard.h"

void um_shard_name(char out[UM_SHARD_NAME], int k, int n)
{
    snprintf(out, UM_SHARD_NAME, "shard-%05d-of-%05d.h5", k, n);
}

/* Is there a file that is no shard of n? Such a folder is mixed up, and no order of rows would be right. */
static um_status check_names(const char *dir, char **names, size_t n_names, int n)
{
    for (size_t i = 0; i < n_names; i++) {
        char expected[UM_SHARD_NAME];
        int k = -1, of = -1;
        if (!um_text_ends_with(names[i], ".h5"))
            continue;
        if (sscanf(names[i], "shard-%5d-of-%5d.h5", &k, &of) == 2 && k >= 0 && k < of && of == n) {
            um_shard_name(expected, k, of);
            if (strcmp(expected, names[i]) == 0)
                continue;
        }
        return um_fail(UM_E_DATA, "%s/%s: does not belong to a dataset of %d shards; move it away", dir, names[i], n);
    }
    return UM_OK;
}

static int shard_count(char **names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++) {
        int k = -1, of = -1;
        if (sscanf(names[i], "shard-%5d-of-%5d.h5", &k, &of) == 2 && of > 0)
            return of;
    }
    return 0;
}

static um_status shard_paths(char **paths, const char *dir, int n)
{
    um_status rc = UM_OK;
    for (int k = 0; k < n; k++) {
        char name[UM_SHARD_NAME];
        um_shard_name(name, k, n);
        UM_TRY(um_path_join(&paths[k], dir, name));
        if (!um_file_exists(paths[k])) {
            rc = um_fail(UM_E_DATA, "%s: missing; the folder must hold all %d shards", paths[k], n);
            goto done;
        }
    }
done:
    return rc;
}

static um_status folder_files(const char *dir, char ***out, size_t *n_out)
{
    um_status rc = UM_OK;
    char **names = NULL, **paths = NULL;
    size_t n_names = 0;
    int n = 0;
    UM_TRY(um_dir_list(&names, &n_names, dir));
    n = shard_count(names, n_names);
    if (n == 0) {
        rc = um_fail(UM_E_DATA, "%s: no shards (shard-00000-of-NNNNN.h5) in this folder", dir);
        goto done;
    }
    UM_TRY(check_names(dir, names, n_names, n));
    UM_TRY(UM_NEW_ARRAY(paths, n));
    UM_TRY(shard_paths(paths, dir, n));
    *out = paths;
    *n_out = (size_t)n;
    paths = NULL;
done:
    if (paths)
        um_names_free(paths, (size_t)n);
    if (names)
        um_names_free(names, n_names);
    return rc;
}

um_status um_dataset_files(const char *path, char ***out, size_t *n)
{
    um_status rc = UM_OK;
    char **paths = NULL;
    if (um_dir_exists(path))
        return folder_files(path, out, n);
    UM_TRY(UM_NEW_ARRAY(paths, 1));
    UM_TRY(um_strdup(&paths[0], path));
    *out = paths;
    *n = 1;
    paths = NULL;
done:
    um_free(paths);
    return rc;
}

/* Sums the rows of all files into total; rows[k] receives those of file k. */
static um_status measure(char **paths, size_t n, um_dataset *total, int64_t *rows, bool *labelled)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    for (size_t k = 0; k < n; k++) {
        um_dataset part = {0};
        UM_TRY(um_h5_open(&f, paths[k], UM_DATASET_FORMAT, UM_DATASET_VERSION));
        UM_TRY(um_dataset_file_shape(f, &part));
        bool labels = um_dataset_file_has_labels(f);
        if (k > 0 && labels != *labelled)
            UM_TRY(um_fail(UM_E_DATA, "%s: %s labels, unlike %s", paths[k], labels ? "has" : "has no", paths[0]));
        *labelled = labels;
        um_h5_free(f);
        f = NULL;
        rows[k] = part.n;
        part.n += total->n;
        if (k > 0 && (part.h != total->h || part.w != total->w || part.c != total->c || part.bits != total->bits)) {
            rc = um_fail(UM_E_DATA, "%s: images are %lldx%lldx%lld of %d bits, those of %s %lldx%lldx%lld of %d bits", paths[k],
                         (long long)part.h, (long long)part.w, (long long)part.c, part.bits, paths[0], (long long)total->h,
                         (long long)total->w, (long long)total->c, total->bits);
            goto done;
        }
        *total = part;
    }
done:
    um_h5_free(f);
    return rc;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static um_status check_ids(const um_dataset *d, const char *path)
{
    um_status rc = UM_OK;
    char **sorted = NULL;
    UM_TRY(UM_NEW_ARRAY(sorted, d->n));
    memcpy(sorted, d->ids, (size_t)d->n * sizeof *sorted);
    qsort(sorted, (size_t)d->n, sizeof *sorted, by_text);
    for (int64_t i = 0; i < d->n; i++) {
        if (sorted[i][0] == 0)
            rc = um_fail(UM_E_DATA, "%s: /ids holds an empty id", path);
        else if (i > 0 && strcmp(sorted[i - 1], sorted[i]) == 0)
            rc = um_fail(UM_E_DATA, "%s: /ids holds '%s' twice; ids must be unique", path, sorted[i]);
        if (rc != UM_OK)
            goto done;
    }
done:
    um_free(sorted);
    return rc;
}

um_status um_dataset_read(um_dataset **out, const char *path)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL, total = {0};
    bool labelled = false;
    char **paths = NULL;
    size_t n = 0;
    int64_t *rows = NULL, first = 0;
    um_h5 *f = NULL;
    UM_TRY(um_dataset_files(path, &paths, &n));
    UM_TRY(UM_NEW_ARRAY(rows, n));
    UM_TRY(measure(paths, n, &total, rows, &labelled));
    UM_TRY(um_dataset_create(&d, total.n, total.h, total.w, total.c, total.bits));
    if (labelled)
        UM_TRY(um_dataset_make_labels(d));
    for (size_t k = 0; k < n; k++) {
        UM_TRY(um_h5_open(&f, paths[k], UM_DATASET_FORMAT, UM_DATASET_VERSION));
        UM_TRY(um_dataset_file_read(f, d, first, rows[k]));
        um_h5_free(f);
        f = NULL;
        first += rows[k];
    }
    UM_TRY(check_ids(d, path));
    *out = d;
    d = NULL;
done:
    um_h5_free(f);
    um_dataset_free(d);
    um_free(rows);
    if (paths)
        um_names_free(paths, n);
    return rc;
}

/* A folder is written as PATH.part/ and renamed when its last shard stands. */
static um_status write_folder(const um_dataset *d, const char *path, const um_dataset_write_options *options)
{
    um_status rc = UM_OK;
    char *part = NULL, *file = NULL;
    bool made = false;
    int64_t n = options->n_shards;
    UM_TRY(um_file_part_name(&part, path));
    UM_TRY(um_dir_remove(part));
    UM_TRY(um_dir_make(part, 0777));
    made = true;
    for (int64_t k = 0; k < n; k++) {
        char name[UM_SHARD_NAME];
        int64_t first = d->n * k / n, end = d->n * (k + 1) / n;
        um_shard_name(name, (int)k, (int)n);
        um_free(file);
        file = NULL;
        UM_TRY(um_path_join(&file, part, name));
        UM_TRY(um_dataset_file_write(d, first, end - first, file, options));
    }
    UM_TRY(um_file_commit(path));
    made = false;
done:
    if (made)
        um_dir_remove(part);
    um_free(file);
    um_free(part);
    return rc;
}

static um_status check_writable(const um_dataset *d, const char *path, const um_dataset_write_options *options)
{
    um_status rc = UM_OK;
    if (um_file_exists(path) || um_dir_exists(path)) {
        rc = um_fail(UM_E_USAGE, "%s: already there; choose another name or remove it first", path);
        goto done;
    }
    if (options->n_shards < 0 || options->n_shards > UM_SHARDS_MAX || options->n_shards > d->n) {
        rc = um_fail(UM_E_USAGE, "%s: %d shards for %lld images; choose 1 to %lld", path, options->n_shards, (long long)d->n,
                     (long long)(d->n < UM_SHARDS_MAX ? d->n : UM_SHARDS_MAX));
        goto done;
    }
    for (int64_t i = 0; i < d->n; i++)
        UM_REQUIRE(d->ids[i] != NULL);
    UM_TRY(check_ids(d, path));
done:
    return rc;
}

um_status um_dataset_write(const um_dataset *d, const char *path, const um_dataset_write_options *options)
{
    static const um_dataset_write_options one_clean_file = {0};
    um_status rc = UM_OK;
    if (!options)
        options = &one_clean_file;
    UM_TRY(check_writable(d, path, options));
    if (options->n_shards > 1)
        UM_TRY(write_folder(d, path, options));
    else
        UM_TRY(um_dataset_file_write(d, 0, d->n, path, options));
done:
    return rc;
}
