#include "grid/result.h"

#include "base/mem.h"
#include "grid/result_internal.h"
#include "io/provenance.h"
#include "io/store.h"

#include <stdio.h>

static um_status put_scores(um_h5 *f, const char *side, const um_scores *s)
{
    um_status rc = UM_OK;
    const um_overlap overlaps[] = {s->batch, s->pooled, s->image};
    char name[64];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s_dsc_%s", side, um_result_aggregations[i]);
        UM_TRY(um_store_metric(f, name, overlaps[i].dsc, "", "Dice similarity coefficient 2TP/(2TP+FP+FN), in [0,1]"));
        snprintf(name, sizeof name, "%s_jaccard_%s", side, um_result_aggregations[i]);
        UM_TRY(um_store_metric(f, name, overlaps[i].jaccard, "", "Jaccard index TP/(TP+FP+FN), in [0,1]"));
    }
    snprintf(name, sizeof name, "%s_foreground", side);
    UM_TRY(um_store_metric(f, name, s->foreground, "", "share of pixels predicted as foreground"));
    snprintf(name, sizeof name, "%s_n", side);
    UM_TRY(um_store_metric(f, name, (double)s->n, "images", "images scored"));
    snprintf(name, sizeof name, "%s_dsc", side);
    if (s->image_dsc)
        UM_TRY(um_store_image_values(f, name, s->image_dsc, s->n, "", "DSC of every image, in row order"));
done:
    return rc;
}

static um_status put_visibility(um_h5 *f, const um_visibility *v)
{
    um_status rc = UM_OK;
    char name[64];
    for (size_t i = 0; i < um_result_n_visibility; i++) {
        const um_result_field *field = &um_result_visibility[i];
        snprintf(name, sizeof name, "visibility_%s", field->name);
        UM_TRY(um_store_metric(f, name, *(const double *)((const char *)v + field->offset), field->unit, field->description));
    }
    UM_TRY(um_store_metric(f, "visibility_n", (double)v->n, "images", "images compared"));
    UM_TRY(um_store_metric(f, "visibility_n_identical", (double)v->n_identical, "images", "identical pairs, left out of psnr"));
    UM_TRY(um_store_image_values(f, "psnr", v->image_psnr, v->n, "dB", "PSNR of every protected image, infinite where identical"));
    UM_TRY(um_store_image_values(f, "ssim", v->image_ssim, v->n, "", "SSIM of every protected image"));
done:
    return rc;
}

/* The points of a curve get an array of their own unless they are 1, 2, 3 ... */
static um_status put_curve(um_h5 *f, const um_curve *c)
{
    um_status rc = UM_OK;
    char name[64];
    bool counting = true;
    for (int i = 0; i < c->n; i++)
        counting = counting && c->x[i] == i + 1;
    UM_TRY(um_store_curve(f, c->name, c->y, c->n, "", "over epochs or cycles"));
    snprintf(name, sizeof name, "%s_x", c->name);
    if (!counting)
        UM_TRY(um_store_curve(f, name, c->x, c->n, "epochs", "epochs or cycles done at each point"));
done:
    return rc;
}

static um_status put_curves(um_h5 *f, const um_curves *curves)
{
    um_status rc = UM_OK;
    for (int i = 0; i < curves->n; i++)
        if (curves->list[i].n > 0)
            UM_TRY(put_curve(f, &curves->list[i]));
done:
    return rc;
}

um_status um_result_put_origin(um_h5 *f, const um_settings *settings, const char *command, const char *inputs, int64_t seed)
{
    um_status rc = UM_OK;
    um_text text = {0};
    UM_TRY(um_settings_print(settings, &text));
    UM_TRY(um_provenance_write(
        f, &(um_provenance){.command = command, .seed = &seed, .settings = um_text_get(&text), .inputs = inputs}));
done:
    um_text_free(&text);
    return rc;
}

static um_status put_meta(um_h5 *f, const char *kind, const um_result_meta *m)
{
    um_status rc = UM_OK;
    const struct {
        const char *name, *value;
    } texts[] = {{"kind", kind}, {"key", m->key}, {"group_key", m->group}, {"dataset", m->dataset},
                 {"dataset_sha256", m->dataset_sha256}, {"protector", m->protector}, {"protector_base", m->base},
                     {"bound", m->bound},
                 {"case", m->label}, {"exploiter", m->exploiter}, {"defense", m->defense}, {"tables", m->tables},
                 {"protected_key", m->protected_key}};
    for (size_t i = 0; i < UM_COUNT(texts); i++)
        UM_TRY(um_h5_set_text(f, "/", texts[i].name, texts[i].value ? texts[i].value : ""));
    UM_TRY(um_h5_set_int(f, "/", "plain", m->plain));
    if (m->bound_linf > 0)
        UM_TRY(um_h5_set_real(f, "/", UM_STORE_BOUND, m->bound_linf));
    if (m->released_sha256)
        UM_TRY(um_h5_set_text(f, "/", UM_STORE_RELEASED, m->released_sha256));
    UM_TRY(um_result_put_origin(f, m->settings, m->command, m->inputs, m->seed));
done:
    return rc;
}

um_status um_result_write_cell(const char *path, const um_result_meta *meta, const um_exploit_result *result,
                               const um_visibility *visibility)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    UM_TRY(um_h5_create(&f, path, UM_RESULT_FORMAT, UM_RESULT_VERSION));
    UM_TRY(put_meta(f, "cell", meta));
    UM_TRY(put_scores(f, "test", &result->test));
    UM_TRY(put_scores(f, "train", &result->train));
    UM_TRY(um_store_metric(f, "best_test_dsc", result->best_test_dsc, "",
                           "best test DSC of all epochs looked at; never the headline"));
    UM_TRY(um_store_metric(f, "best_epoch", (double)result->best_epoch, "epochs", "epoch of best_test_dsc"));
    if (visibility)
        UM_TRY(put_visibility(f, visibility));
    UM_TRY(put_curves(f, &result->curves));
    UM_TRY(um_store_timing(f, "seconds", result->seconds));
    UM_TRY(um_h5_set_real(f, "/", "flops", result->flops));
    UM_TRY(um_h5_set_text(f, "/", "weights_sha256", result->weights_sha256));
    UM_TRY(um_h5_set_text(f, "/", "network", result->network));
    UM_TRY(um_store_seal(f));
    UM_TRY(um_h5_commit(&f));
done:
    um_h5_free(f);
    return rc;
}

um_status um_result_write_protection(const char *path, const um_result_meta *meta, const um_visibility *visibility,
                                     const um_curves *curves, double seconds)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    UM_TRY(um_h5_create(&f, path, UM_RESULT_FORMAT, UM_RESULT_VERSION));
    UM_TRY(put_meta(f, "protection", meta));
    UM_TRY(put_visibility(f, visibility));
    UM_TRY(put_curves(f, curves));
    UM_TRY(um_store_timing(f, "seconds", seconds));
    UM_TRY(um_store_seal(f));
    UM_TRY(um_h5_commit(&f));
done:
    um_h5_free(f);
    return rc;
}

um_status um_result_write_utility(const char *path, const um_result_meta *meta, const um_scores *released, const um_scores *clean)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    UM_TRY(um_h5_create(&f, path, UM_RESULT_FORMAT, UM_RESULT_VERSION));
    UM_TRY(put_meta(f, "utility", meta));
    UM_TRY(put_scores(f, "released", released));
    UM_TRY(put_scores(f, "clean", clean));
    UM_TRY(um_store_seal(f));
    UM_TRY(um_h5_commit(&f));
done:
    um_h5_free(f);
    return rc;
}
