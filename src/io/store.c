#include "io/store.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"

/* ndim 0 or 1; the array's name is group/name. */
static um_status write_member(um_h5 *f, const char *group, const char *name, um_h5_array a, const double *values)
{
    um_status rc = UM_OK;
    um_text path = {0};
    UM_REQUIRE(!strchr(name, '/'));
    UM_TRY(um_text_add(&path, "%s/%s", group, name));
    a.name = um_text_get(&path);
    a.type = UM_H5_F64;
    UM_TRY(um_h5_write_array(f, &a, values));
done:
    um_text_free(&path);
    return rc;
}

um_status um_store_metric(um_h5 *f, const char *name, double value, const char *unit, const char *definition)
{
    const um_h5_array a = {.description = name, .axes = "", .unit = unit, .definition = definition};
    return write_member(f, "/metrics", name, a, &value);
}

um_status um_store_curve(um_h5 *f, const char *name, const double *values, int64_t n, const char *unit, const char *description)
{
    const um_h5_array a = {.ndim = 1, .shape = {n}, .description = description, .axes = "epoch", .unit = unit};
    return write_member(f, "/curves", name, a, values);
}

um_status um_store_image_values(um_h5 *f, const char *name, const double *values, int64_t n, const char *unit,
                                const char *definition)
{
    const um_h5_array a = {.ndim = 1, .shape = {n}, .description = name, .axes = "sample", .unit = unit, .definition = definition};
    return write_member(f, "/images", name, a, values);
}

um_status um_store_image_ids(um_h5 *f, const char *const *ids, int64_t n)
{
    return um_h5_write_strings(f, "/images/ids", ids, n, "names of the samples", "sample");
}

um_status um_store_timing(um_h5 *f, const char *name, double seconds)
{
    const um_h5_array a = {.description = name, .axes = "", .unit = "s"};
    return write_member(f, "/timings", name, a, &seconds);
}

static um_status hash_member(um_h5 *f, um_sha256 *s, const char *path)
{
    um_status rc = UM_OK;
    um_h5_type type;
    int ndim;
    int64_t shape[UM_H5_DIMS];
    double *values = NULL;
    UM_TRY(um_h5_inspect(f, path, &type, &ndim, shape));
    UM_TRY(um_h5_read_array(f, path, UM_H5_F64, ndim > 0, shape, (void **)&values, shape));
    um_sha256_add(s, path, strlen(path) + 1);
    um_sha256_add(s, values, (size_t)(ndim ? shape[0] : 1) * sizeof *values);
done:
    um_free(values);
    return rc;
}

static um_status hash_group(um_h5 *f, um_sha256 *s, const char *group)
{
    um_status rc = UM_OK;
    char **names = NULL;
    size_t n = 0;
    um_text path = {0};
    if (!um_h5_exists(f, group))
        return UM_OK;
    UM_TRY(um_h5_list(f, group, &names, &n));
    for (size_t i = 0; i < n; i++) {
        um_text_free(&path);
        UM_TRY(um_text_add(&path, "%s/%s", group, names[i]));
        UM_TRY(hash_member(f, s, um_text_get(&path)));
    }
done:
    um_text_free(&path);
    if (names)
        um_names_free(names, n);
    return rc;
}

um_status um_store_science(um_h5 *f, char out[UM_SHA256_HEX])
{
    um_status rc = UM_OK;
    um_sha256 s;
    um_sha256_init(&s);
    UM_TRY(hash_group(f, &s, "/curves"));
    UM_TRY(hash_group(f, &s, "/metrics"));
    um_sha256_hex(&s, out);
done:
    return rc;
}

um_status um_store_seal(um_h5 *f)
{
    um_status rc = UM_OK;
    char sha256[UM_SHA256_HEX];
    UM_TRY(um_store_science(f, sha256));
    UM_TRY(um_h5_set_text(f, "/", "science_sha256", sha256));
done:
    return rc;
}

static um_status check_bound(um_h5 *f)
{
    um_status rc = UM_OK;
    double bound = 0, largest = 0;
    if (!um_h5_has_attr(f, "/", UM_STORE_BOUND) || !um_h5_exists(f, "/metrics/visibility_linf"))
        return UM_OK;
    UM_TRY(um_h5_get_real(f, "/", UM_STORE_BOUND, &bound));
    UM_TRY(um_store_get_metric(f, "visibility_linf", &largest));
    if (!(largest <= bound + 1e-9))
        rc = um_fail(UM_E_DATA, "%s: a pixel changes by %.6g, the bound is %.6g", um_h5_path(f), largest, bound);
done:
    return rc;
}

um_status um_store_verify(um_h5 *f)
{
    um_status rc = UM_OK;
    char sha256[UM_SHA256_HEX];
    um_text recorded = {0};
    UM_TRY(um_h5_get_text(f, "/", "science_sha256", &recorded));
    UM_TRY(um_store_science(f, sha256));
    if (strcmp(sha256, um_text_get(&recorded)) != 0)
        rc = um_fail(UM_E_DATA, "%s: metrics and curves have sha256 %s, science_sha256 says %s: the file was changed",
                     um_h5_path(f), sha256, um_text_get(&recorded));
    else
        UM_TRY(check_bound(f));
done:
    um_text_free(&recorded);
    return rc;
}

static um_status read_scalar(um_h5 *f, const char *group, const char *name, double *out)
{
    um_status rc = UM_OK;
    um_text path = {0};
    double value;
    UM_TRY(um_text_add(&path, "%s/%s", group, name));
    UM_TRY(um_h5_read_into(f, um_text_get(&path), UM_H5_F64, 0, NULL, &value));
    *out = value;
done:
    um_text_free(&path);
    return rc;
}

static um_status read_vector(um_h5 *f, const char *group, const char *name, double **out, int64_t *n)
{
    static const int64_t any[1] = {-1};
    um_status rc = UM_OK;
    um_text path = {0};
    UM_TRY(um_text_add(&path, "%s/%s", group, name));
    UM_TRY(um_h5_read_array(f, um_text_get(&path), UM_H5_F64, 1, any, (void **)out, n));
done:
    um_text_free(&path);
    return rc;
}

um_status um_store_get_metric(um_h5 *f, const char *name, double *out)
{
    return read_scalar(f, "/metrics", name, out);
}

um_status um_store_get_curve(um_h5 *f, const char *name, double **out, int64_t *n)
{
    return read_vector(f, "/curves", name, out, n);
}

um_status um_store_get_image_values(um_h5 *f, const char *name, double **out, int64_t *n)
{
    return read_vector(f, "/images", name, out, n);
}

um_status um_store_get_timing(um_h5 *f, const char *name, double *out)
{
    return read_scalar(f, "/timings", name, out);
}
