#include "io/private.h"

#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "io/h5.h"

#define PRIVATE_NAME "private.h5"

static const um_h5_array delta_array = {.name = "/delta", .ndim = 4, .deflate = 1, .axes = "sample,y,x,channel",
                                        .description = "released image minus clean image", .unit = "grey level"};

um_status um_private_folder(char **out, const char *released_path)
{
    um_status rc = UM_OK;
    um_text folder = {0};
    size_t n = strlen(released_path);
    while (n > 1 && released_path[n - 1] == '/')
        n--;
    if (n > 3 && strncmp(released_path + n - 3, ".h5", 3) == 0)
        n -= 3;
    UM_TRY(um_text_add(&folder, "%.*s.private", (int)n, released_path));
    *out = folder.data;
done:
    return rc;
}

static int64_t values_of(const um_dataset *d)
{
    return d->h * d->w * d->c;
}

static int64_t pixel(const um_dataset *d, int64_t i)
{
    return d->bits == 8 ? ((const uint8_t *)d->images)[i] : ((const uint16_t *)d->images)[i];
}

static um_status check_pair(const um_dataset *clean, const um_dataset *released)
{
    um_status rc = UM_OK;
    UM_REQUIRE(clean->n == released->n && values_of(clean) == values_of(released) && clean->w == released->w &&
               clean->c == released->c && clean->bits == released->bits);
    for (int64_t i = 0; i < clean->n; i++)
        UM_REQUIRE(strcmp(clean->ids[i], released->ids[i]) == 0);
    UM_REQUIRE(memcmp(clean->masks, released->masks, (size_t)(clean->n * clean->h * clean->w)) == 0);
    UM_REQUIRE(memcmp(clean->split, released->split, (size_t)clean->n) == 0);
done:
    return rc;
}

/* delta: i16 for all, then packed to i8 in place when everything fits. */
static um_status make_delta(const um_dataset *clean, const um_dataset *released, int64_t limit, int16_t *delta, um_h5_type *type)
{
    int64_t n = clean->n * values_of(clean);
    bool small = clean->bits == 8;
    for (int64_t i = 0; i < n; i++) {
        int64_t d = pixel(released, i) - pixel(clean, i);
        if (d < INT16_MIN || d > INT16_MAX)
            return um_fail(UM_E_DATA, "image '%s': a pixel changes by %lld, more than 16 bits can keep; use a smaller bound",
                           clean->ids[i / values_of(clean)], (long long)d);
        if (d < -limit || d > limit)
            return um_fail(UM_E_BUG, "image '%s': a pixel changes by %lld, the bound is %lld", clean->ids[i / values_of(clean)],
                           (long long)d, (long long)limit);
        small = small && d >= INT8_MIN && d <= INT8_MAX;
        delta[i] = (int16_t)d;
    }
    for (int64_t i = 0; small && i < n; i++)
        ((int8_t *)delta)[i] = (int8_t)delta[i];
    *type = small ? UM_H5_I8 : UM_H5_I16;
    return UM_OK;
}

static um_status write_file(const char *path, const um_dataset *clean, const um_dataset *released, int64_t limit,
                            const um_provenance *provenance)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    int16_t *delta = NULL;
    um_h5_array a = delta_array;
    char sha256[UM_SHA256_HEX];
    UM_TRY(UM_NEW_ARRAY(delta, clean->n * values_of(clean)));
    UM_TRY(make_delta(clean, released, limit, delta, &a.type));
    memcpy(a.shape, (int64_t[]){clean->n, clean->h, clean->w, clean->c}, sizeof a.shape);
    UM_TRY(um_h5_create(&f, path, UM_PRIVATE_FORMAT, UM_PRIVATE_VERSION));
    UM_TRY(um_h5_write_array(f, &a, delta));
    UM_TRY(um_h5_write_strings(f, "/ids", (const char *const *)clean->ids, clean->n, "names of the samples, unique", "sample"));
    um_dataset_sha256(released, sha256);
    UM_TRY(um_h5_set_text(f, "/", "released_sha256", sha256));
    um_dataset_sha256(clean, sha256);
    UM_TRY(um_h5_set_text(f, "/", "clean_sha256", sha256));
    UM_TRY(um_h5_set_int(f, "/", "bound_levels", limit));
    if (provenance)
        UM_TRY(um_provenance_write(f, provenance));
    UM_TRY(um_h5_commit(&f));
done:
    um_h5_free(f);
    um_free(delta);
    return rc;
}

static um_status has_hash(um_h5 *f, const um_dataset *d, const char *attr, bool *same)
{
    um_status rc = UM_OK;
    um_text recorded = {0};
    char sha256[UM_SHA256_HEX];
    UM_TRY(um_h5_get_text(f, "/", attr, &recorded));
    um_dataset_sha256(d, sha256);
    *same = strcmp(sha256, um_text_get(&recorded)) == 0;
done:
    um_text_free(&recorded);
    return rc;
}

static um_status check_same(const char *path, const um_dataset *clean, const um_dataset *released)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    bool same_clean = false, same_released = false;
    UM_TRY(um_h5_open(&f, path, UM_PRIVATE_FORMAT, UM_PRIVATE_VERSION));
    UM_TRY(has_hash(f, clean, "clean_sha256", &same_clean));
    UM_TRY(has_hash(f, released, "released_sha256", &same_released));
    if (!same_clean || !same_released)
        rc = um_fail(UM_E_USAGE, "%s: already there; it is the only way back to the clean images of another run: move it away",
                     path);
done:
    um_h5_free(f);
    return rc;
}

um_status um_private_write(const char *dir, const um_dataset *clean, const um_dataset *released, int64_t limit,
                           const um_provenance *provenance)
{
    um_status rc = UM_OK;
    char *path = NULL;
    UM_TRY(check_pair(clean, released));
    UM_TRY(um_path_join(&path, dir, PRIVATE_NAME));
    if (um_file_exists(path)) {
        UM_TRY(check_same(path, clean, released));
        goto done;
    }
    UM_TRY(um_dir_make(dir, 0700));
    if (chmod(dir, 0700) != 0) {
        rc = um_fail(UM_E_IO, "%s: cannot make this folder private (mode 0700)", dir);
        goto done;
    }
    UM_TRY(write_file(path, clean, released, limit, provenance));
done:
    um_free(path);
    return rc;
}

static um_status check_hash(um_h5 *f, const um_dataset *d, const char *attr, const char *problem)
{
    um_status rc = UM_OK;
    bool same = false;
    UM_TRY(has_hash(f, d, attr, &same));
    if (!same)
        rc = um_fail(UM_E_DATA, "%s: %s (%s)", um_h5_path(f), problem, attr);
done:
    return rc;
}

static um_status check_ids(um_h5 *f, const um_dataset *d)
{
    um_status rc = UM_OK;
    char **ids = NULL;
    int64_t n = 0;
    UM_TRY(um_h5_read_strings(f, "/ids", d->n, &ids, &n));
    for (int64_t i = 0; i < n; i++)
        if (strcmp(ids[i], d->ids[i]) != 0) {
            rc = um_fail(UM_E_DATA, "%s: row %lld was '%s', the released dataset has '%s': not the same release", um_h5_path(f),
                         (long long)i, ids[i], d->ids[i]);
            goto done;
        }
done:
    if (ids)
        um_names_free(ids, (size_t)n);
    return rc;
}

static void subtract(um_dataset *d, const void *delta, um_h5_type type)
{
    int64_t n = d->n * values_of(d);
    for (int64_t i = 0; i < n; i++) {
        int change = type == UM_H5_I8 ? ((const int8_t *)delta)[i] : ((const int16_t *)delta)[i];
        if (d->bits == 8)
            ((uint8_t *)d->images)[i] = (uint8_t)(((uint8_t *)d->images)[i] - change);
        else
            ((uint16_t *)d->images)[i] = (uint16_t)(((uint16_t *)d->images)[i] - change);
    }
}

um_status um_private_restore(um_dataset **out, const um_dataset *released, const char *dir)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    um_dataset *d = NULL;
    um_h5_type type;
    int ndim;
    int64_t shape[UM_H5_DIMS], want[] = {released->n, released->h, released->w, released->c};
    void *delta = NULL;
    char *path = NULL;
    UM_TRY(um_path_join(&path, dir, PRIVATE_NAME));
    UM_TRY(um_h5_open(&f, path, UM_PRIVATE_FORMAT, UM_PRIVATE_VERSION));
    UM_TRY(check_ids(f, released));
    UM_TRY(check_hash(f, released, "released_sha256", "the dataset is not the one released then, or was changed since"));
    UM_TRY(um_h5_inspect(f, "/delta", &type, &ndim, shape));
    UM_TRY(um_h5_read_array(f, "/delta", type == UM_H5_I8 ? UM_H5_I8 : UM_H5_I16, 4, want, &delta, NULL));
    UM_TRY(um_dataset_clone(&d, released));
    subtract(d, delta, type);
    UM_TRY(check_hash(f, d, "clean_sha256", "the restored images are not the clean ones of then"));
    *out = d;
    d = NULL;
done:
    um_dataset_free(d);
    um_free(delta);
    um_h5_free(f);
    um_free(path);
    return rc;
}

/* The largest change in rows [first, first + n). */
static um_status largest_change(um_h5 *f, um_h5_type type, int64_t first, int64_t n, int64_t values, void *block, int64_t *out)
{
    um_status rc = UM_OK;
    int64_t largest = 0;
    UM_TRY(um_h5_read_rows(f, "/delta", type, first, n, block));
    for (int64_t i = 0; i < n * values; i++) {
        int64_t d = type == UM_H5_I8 ? ((const int8_t *)block)[i] : ((const int16_t *)block)[i];
        largest = d > largest ? d : -d > largest ? -d : largest;
    }
    *out = largest;
done:
    return rc;
}

static um_status check_delta(um_h5 *f, um_h5_type type, const int64_t *shape, int64_t limit)
{
    um_status rc = UM_OK;
    void *block = NULL;
    um_h5_array a = {.type = type, .ndim = 4};
    memcpy(a.shape, shape, sizeof a.shape);
    int64_t values = shape[1] * shape[2] * shape[3], items = um_h5_chunk_items(&a), largest = 0;
    UM_TRY(um_alloc(&block, (size_t)(items * values), um_h5_type_bytes(type)));
    for (int64_t i = 0; i < shape[0]; i += items) {
        int64_t n = shape[0] - i < items ? shape[0] - i : items;
        UM_TRY(largest_change(f, type, i, n, values, block, &largest));
        if (largest > limit) {
            rc = um_fail(UM_E_DATA, "%s: /delta changes a pixel of rows %lld to %lld by %lld grey levels, the bound is %lld",
                         um_h5_path(f), (long long)i, (long long)(i + n - 1), (long long)largest, (long long)limit);
            goto done;
        }
    }
done:
    um_free(block);
    return rc;
}

um_status um_private_verify(um_h5 *f)
{
    um_status rc = UM_OK;
    um_h5_type type;
    int ndim;
    int64_t shape[UM_H5_DIMS], limit = 0, n_ids = 0;
    char **ids = NULL;
    UM_TRY(um_h5_inspect(f, "/delta", &type, &ndim, shape));
    if (ndim != 4 || (type != UM_H5_I8 && type != UM_H5_I16)) {
        rc = um_fail(UM_E_DATA, "%s: /delta has %d dimensions of %s, expected [N,H,W,C] of i8 or i16", um_h5_path(f), ndim,
                     um_h5_type_name(type));
        goto done;
    }
    UM_TRY(um_h5_read_strings(f, "/ids", shape[0], &ids, &n_ids));
    UM_TRY(um_h5_get_int(f, "/", "bound_levels", &limit));
    UM_TRY(check_delta(f, type, shape, limit));
done:
    um_names_free(ids, (size_t)n_ids);
    return rc;
}

um_status um_private_check_release(const char *dir, const um_dataset *released, const char *released_path)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    char *path = NULL;
    bool same = false;
    UM_TRY(um_path_join(&path, dir, PRIVATE_NAME));
    if (!um_file_exists(path))
        goto done;
    UM_TRY(um_h5_open(&f, path, UM_PRIVATE_FORMAT, UM_PRIVATE_VERSION));
    UM_TRY(has_hash(f, released, "released_sha256", &same));
    if (!same)
        rc = um_fail(UM_E_DATA, "%s: not the release that %s was written for: the file was changed", released_path, path);
done:
    um_h5_free(f);
    um_free(path);
    return rc;
}
