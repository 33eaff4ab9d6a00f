#include "grid/result.h"

#include "base/mem.h"
#include "grid/result_internal.h"
#include "io/store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const um_result_aggregations[3] = {"batch", "pooled", "image"};

#define FIELD(member, unit, text) {#member, offsetof(um_visibility, member), unit, text}
const um_result_field um_result_visibility[] = {
    FIELD(psnr, "dB", "mean over images of PSNR on the whole frame, identical pairs left out"),
    FIELD(ssim, "", "mean over images of SSIM"),
    FIELD(psnr_roi, "dB", "mean over images of PSNR within the mask"),
    FIELD(ssim_roi, "", "mean over images of SSIM within the mask"),
    FIELD(psnr_worst, "dB", "lowest PSNR of an image"),
    FIELD(ssim_worst, "", "lowest SSIM of an image"),
    FIELD(l2, "", "mean Euclidean norm of the change, pixels in [0,1]"),
    FIELD(linf, "", "largest change of a pixel, in [0,1]"),
    FIELD(changed, "", "mean share of pixels changed"),
    FIELD(leak_highpass, "", "mean DSC of masks read off the released images by a high-pass filter"),
    FIELD(leak_highpass_clean, "", "the same on the clean images"),
    FIELD(leak_denoise, "", "mean DSC of masks read off the released images by the difference to a 3x3 median"),
    FIELD(leak_denoise_clean, "", "the same on the clean images"),
};
const size_t um_result_n_visibility = UM_COUNT(um_result_visibility);

/* NAN when the file has no such number. */
static um_status get_metric(um_h5 *f, const char *group, const char *name, double *out)
{
    char metric[128], path[160];
    *out = NAN;
    snprintf(metric, sizeof metric, "%s_%s", group, name);
    snprintf(path, sizeof path, "/metrics/%s", metric);
    return um_h5_exists(f, path) ? um_store_get_metric(f, metric, out) : UM_OK;
}

static um_status get_count(um_h5 *f, const char *name, int64_t *out)
{
    um_status rc = UM_OK;
    double value = 0;
    UM_TRY(um_store_get_metric(f, name, &value));
    if (!(value >= 0 && value < 1e15)) {
        rc = um_fail(UM_E_DATA, "%s: /metrics/%s is no count", um_h5_path(f), name);
        goto done;
    }
    *out = (int64_t)value;
done:
    return rc;
}

static um_status get_images(um_h5 *f, const char *name, int64_t n_want, double **out)
{
    um_status rc = UM_OK;
    double *values = NULL;
    int64_t n = 0;
    UM_TRY(um_store_get_image_values(f, name, &values, &n));
    if (n != n_want) {
        rc = um_fail(UM_E_DATA, "%s: /images/%s has %lld values, expected %lld", um_h5_path(f), name, (long long)n,
                     (long long)n_want);
        goto done;
    }
    *out = values;
    values = NULL;
done:
    um_free(values);
    return rc;
}

um_status um_result_read_visibility(um_visibility *out, const char *path)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    um_visibility v = {0};
    UM_TRY(um_h5_open(&f, path, UM_RESULT_FORMAT, UM_RESULT_VERSION));
    for (size_t i = 0; i < um_result_n_visibility; i++)
        UM_TRY(get_metric(f, "visibility", um_result_visibility[i].name, (double *)((char *)&v + um_result_visibility[i].offset)));
    UM_TRY(get_count(f, "visibility_n", &v.n));
    UM_TRY(get_count(f, "visibility_n_identical", &v.n_identical));
    UM_TRY(get_images(f, "psnr", v.n, &v.image_psnr));
    UM_TRY(get_images(f, "ssim", v.n, &v.image_ssim));
    *out = v;
    v = (um_visibility){0};
done:
    um_visibility_free(&v);
    um_h5_free(f);
    return rc;
}

um_status um_result_get_text(um_h5 *f, const char *name, char *out, size_t bytes)
{
    um_status rc = UM_OK;
    um_text text = {0};
    UM_TRY(um_h5_get_text(f, "/", name, &text));
    if (text.n >= bytes) {
        rc = um_fail(UM_E_DATA, "%s: attribute %s is longer than %zu bytes", um_h5_path(f), name, bytes - 1);
        goto done;
    }
    snprintf(out, bytes, "%s", um_text_get(&text));
done:
    um_text_free(&text);
    return rc;
}

um_status um_result_get_seed(um_h5 *f, int64_t *out)
{
    um_status rc = UM_OK;
    um_text seed = {0};
    UM_TRY(um_h5_get_text(f, "/", "seed", &seed));
    if (!um_text_parse_int(um_text_get(&seed), out))
        rc = um_fail(UM_E_DATA, "%s: attribute seed is no integer", um_h5_path(f));
done:
    um_text_free(&seed);
    return rc;
}

static um_status get_overlaps(um_h5 *f, const char *group, um_overlap out[3], double *foreground)
{
    um_status rc = UM_OK;
    char name[64];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "dsc_%s", um_result_aggregations[i]);
        UM_TRY(get_metric(f, group, name, &out[i].dsc));
        snprintf(name, sizeof name, "jaccard_%s", um_result_aggregations[i]);
        UM_TRY(get_metric(f, group, name, &out[i].jaccard));
    }
    UM_TRY(get_metric(f, group, "foreground", foreground));
done:
    return rc;
}

static um_status get_coordinates(um_h5 *f, um_result_row *r)
{
    um_status rc = UM_OK;
    int64_t plain = 0;
    UM_TRY(um_result_get_text(f, "key", r->key, sizeof r->key));
    UM_TRY(um_result_get_text(f, "group_key", r->group, sizeof r->group));
    UM_TRY(um_result_get_text(f, "dataset", r->dataset, sizeof r->dataset));
    UM_TRY(um_result_get_text(f, "protector", r->protector, sizeof r->protector));
    UM_TRY(um_result_get_text(f, "protector_base", r->base, sizeof r->base));
    UM_TRY(um_result_get_text(f, "bound", r->bound, sizeof r->bound));
    UM_TRY(um_result_get_text(f, "case", r->label, sizeof r->label));
    UM_TRY(um_result_get_text(f, "exploiter", r->exploiter, sizeof r->exploiter));
    UM_TRY(um_result_get_text(f, "defense", r->defense, sizeof r->defense));
    UM_TRY(um_result_get_text(f, "science_sha256", r->science, sizeof r->science));
    UM_TRY(um_h5_get_int(f, "/", "plain", &plain));
    r->plain = plain != 0;
done:
    return rc;
}

static um_status get_visibility(um_h5 *f, um_result_row *r)
{
    um_status rc = UM_OK;
    const struct {
        const char *name;
        double *to;
    } list[] = {{"psnr", &r->psnr}, {"ssim", &r->ssim}, {"psnr_roi", &r->psnr_roi}, {"ssim_roi", &r->ssim_roi},
                {"psnr_worst", &r->psnr_worst}, {"ssim_worst", &r->ssim_worst}, {"leak_highpass", &r->leak_highpass},
                {"leak_highpass_clean", &r->leak_highpass_clean}, {"leak_denoise", &r->leak_denoise},
                {"leak_denoise_clean", &r->leak_denoise_clean}};
    for (size_t i = 0; i < UM_COUNT(list); i++)
        UM_TRY(get_metric(f, "visibility", list[i].name, list[i].to));
done:
    return rc;
}

static um_status get_kind(um_h5 *f, um_result_kind *out)
{
    um_status rc = UM_OK;
    um_text kind = {0};
    UM_TRY(um_h5_get_text(f, "/", "kind", &kind));
    static const char *const names[] = {"cell", "protection", "utility"};
    *out = UM_RESULT_OTHER;
    for (int k = 0; k < UM_RESULT_OTHER; k++)
        if (strcmp(um_text_get(&kind), names[k]) == 0)
            *out = (um_result_kind)k;
done:
    um_text_free(&kind);
    return rc;
}

um_status um_result_read_row(um_result_row *out, const char *path)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    um_result_row r = {0};
    UM_TRY(um_h5_open(&f, path, UM_RESULT_FORMAT, UM_RESULT_VERSION));
    UM_TRY(get_kind(f, &r.kind));
    if (r.kind == UM_RESULT_OTHER) {
        *out = r;
        goto done;
    }
    UM_TRY(get_coordinates(f, &r));
    UM_TRY(um_result_get_seed(f, &r.seed));
    bool utility = r.kind == UM_RESULT_UTILITY;
    UM_TRY(get_overlaps(f, utility ? "released" : "test", r.test, &r.test_foreground));
    UM_TRY(get_overlaps(f, utility ? "clean" : "train", r.train, &r.train_foreground));
    UM_TRY(get_visibility(f, &r));
    r.seconds = NAN;
    if (!utility)
        UM_TRY(um_store_get_timing(f, "seconds", &r.seconds));
    *out = r;
done:
    um_h5_free(f);
    return rc;
}
