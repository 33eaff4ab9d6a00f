#include "grid/locker_result.h"

#include "base/mem.h"
#include "grid/result_internal.h"
#include "io/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sums ---- */

um_locker_summary um_locker_sum(const um_mark *marks, int64_t n)
{
    um_locker_summary s = {.n = (double)n};
    double marked = 0;
    for (int64_t i = 0; i < n; i++) {
        const um_mark *m = &marks[i];
        double *const states[] = {&s.strict, &s.relaxed, &s.none};
        double *const sources[] = {&s.from_mask, &s.from_cam, &s.unknown, &s.from_net};
        *states[m->state] += 1;
        *sources[m->source] += 1;
        if (m->state == UM_WSM_NONE)
            continue;
        marked += 1;
        s.y += (double)m->theta.y, s.x += (double)m->theta.x;
        s.margin_before += m->before, s.margin_after += m->after, s.forwards += (double)m->forwards, s.alpha += m->theta.alpha;
        if (m->state == UM_WSM_STRICT)
            s.lesion_change = fmax(s.lesion_change, m->lesion_change);
    }
    double *const means[] = {&s.margin_before, &s.margin_after, &s.forwards, &s.alpha, &s.y, &s.x};
    for (size_t i = 0; i < UM_COUNT(means); i++)
        *means[i] = marked > 0 ? *means[i] / marked : NAN;
    return s;
}

/* ---- writing ---- */

static um_status put_meta(um_h5 *f, const um_locker_meta *m)
{
    um_status rc = UM_OK;
    const struct {
        const char *name, *value;
    } texts[] = {{"kind", m->kind}, {"key", m->key}, {"group_key", m->group}, {"dataset", m->dataset},
                 {"dataset_sha256", m->dataset_sha256}, {"search", m->search}, {"target", m->target}, {"network", m->network}};
    for (size_t i = 0; i < UM_COUNT(texts); i++)
        UM_TRY(um_h5_set_text(f, "/", texts[i].name, texts[i].value ? texts[i].value : ""));
    UM_TRY(um_result_put_origin(f, m->settings, m->command, m->inputs, m->seed));
done:
    return rc;
}

/* PREFIX_NAME and the ends of its 95 % interval. */
static um_status put_share(um_h5 *f, const char *prefix, const char *name, int64_t hits, int64_t n, const char *definition)
{
    um_status rc = UM_OK;
    char metric[160];
    double ends[2];
    static const char *const end_names[] = {"low", "high"};
    um_wilson(ends, hits, n);
    snprintf(metric, sizeof metric, "%s_%s", prefix, name);
    UM_TRY(um_store_metric(f, metric, n ? (double)hits / (double)n : NAN, "", definition));
    for (int k = 0; k < 2; k++) {
        snprintf(metric, sizeof metric, "%s_%s_%s", prefix, name, end_names[k]);
        UM_TRY(um_store_metric(f, metric, ends[k], "", "end of its 95 % interval (Wilson 1927)"));
    }
done:
    return rc;
}

static um_status put_class_scores(um_h5 *f, const char *side, const um_class_scores *s)
{
    um_status rc = UM_OK;
    char name[64];
    UM_TRY(put_share(f, side, "accuracy", s->hits, s->n, "share of images whose class is right"));
    snprintf(name, sizeof name, "%s_majority", side);
    UM_TRY(um_store_metric(f, name, s->majority, "", "share of the largest class"));
    snprintf(name, sizeof name, "%s_n", side);
    UM_TRY(um_store_metric(f, name, (double)s->n, "images", "images scored"));
done:
    return rc;
}

static um_status put_training(um_h5 *f, const um_classify_result *r)
{
    um_status rc = UM_OK;
    UM_TRY(put_class_scores(f, "train", &r->train));
    UM_TRY(put_class_scores(f, "test", &r->test));
    for (int i = 0; i < r->curves.n; i++)
        if (r->curves.list[i].n > 0)
            UM_TRY(um_store_curve(f, r->curves.list[i].name, r->curves.list[i].y, r->curves.list[i].n, "", "over epochs"));
    UM_TRY(um_h5_set_text(f, "/", "weights_sha256", r->weights_sha256));
done:
    return rc;
}

static um_status put_marks(um_h5 *f, const um_locker_summary *s)
{
    um_status rc = UM_OK;
    const struct {
        const char *name;
        double value;
        const char *unit, *definition;
    } list[] = {
        {"n", s->n, "images", "images looked at"},
        {"strict", s->strict, "images", "marked clear of all lesions"},
        {"relaxed", s->relaxed, "images", "marked with an overlap of at most 5 % of the logo"},
        {"none", s->none, "images", "left unmarked: lesions leave no place"},
        {"from_mask", s->from_mask, "images", "lesions known from a mask"},
        {"from_net", s->from_net, "images", "lesions from a lesion network"},
        {"from_cam", s->from_cam, "images", "lesions from Grad-CAM"},
        {"unknown", s->unknown, "images", "lesions not known, or not asked for"},
        {"margin_before", s->margin_before, "", "mean over marked images of z_y - max z_k, clean; networks of a target averaged"},
        {"margin_after", s->margin_after, "", "the same, marked"},
        {"forwards", s->forwards, "passes", "forward passes per marked image, or their worth"},
        {"alpha", s->alpha, "levels", "mean opacity of the marks, of 255"},
        {"y", s->y, "pixels", "mean place of the marks"},
        {"x", s->x, "pixels", "the same, to the right"},
        {"lesion_change", s->lesion_change, "levels", "largest change of a pixel inside the boxes of strict marks"},
    };
    char name[64];
    for (size_t i = 0; i < UM_COUNT(list); i++) {
        snprintf(name, sizeof name, "marks_%s", list[i].name);
        UM_TRY(um_store_metric(f, name, list[i].value, list[i].unit, list[i].definition));
    }
done:
    return rc;
}

static um_status finish(um_h5 **f, double seconds)
{
    um_status rc = UM_OK;
    UM_TRY(um_store_timing(*f, "seconds", seconds));
    UM_TRY(um_store_seal(*f));
    UM_TRY(um_h5_commit(f));
done:
    return rc;
}

um_status um_locker_write_network(const char *path, const um_locker_meta *meta, const um_classify_result *r)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    UM_TRY(um_h5_create(&f, path, UM_RESULT_FORMAT, UM_RESULT_VERSION));
    UM_TRY(put_meta(f, meta));
    UM_TRY(put_training(f, r));
    UM_TRY(finish(&f, r->seconds));
done:
    um_h5_free(f);
    return rc;
}

static const char *const mark_columns[UM_MARK_COLUMNS][2] = {
    {"alpha", "levels"}, {"y", "pixels"},      {"x", "pixels"},     {"ratio", ""},          {"state", ""},
    {"source", ""},      {"margin_before", ""}, {"margin_after", ""}, {"forwards", "passes"}, {"lesion_change", "levels"},
};

static um_status put_ids(um_h5 *f, const um_dataset *d, const um_rows *rows)
{
    um_status rc = UM_OK;
    const char **ids = NULL;
    UM_TRY(UM_NEW_ARRAY(ids, rows->n));
    for (int64_t i = 0; i < rows->n; i++)
        ids[i] = d->ids[rows->index[i]];
    UM_TRY(um_store_image_ids(f, ids, rows->n));
done:
    um_free(ids);
    return rc;
}

um_status um_locker_write_marks(const char *path, const um_locker_meta *meta, const um_mark *marks, const um_dataset *d,
                                const um_rows *rows, double seconds)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    double *values = NULL, row[UM_MARK_COLUMNS];
    um_locker_summary sum = um_locker_sum(marks, rows->n);
    UM_TRY(UM_NEW_ARRAY(values, rows->n));
    UM_TRY(um_h5_create(&f, path, UM_RESULT_FORMAT, UM_RESULT_VERSION));
    UM_TRY(put_meta(f, meta));
    UM_TRY(put_marks(f, &sum));
    UM_TRY(put_ids(f, d, rows));
    for (int k = 0; k < UM_MARK_COLUMNS; k++) {
        for (int64_t i = 0; i < rows->n; i++) {
            um_mark_pack(row, &marks[i]);
            values[i] = row[k];
        }
        UM_TRY(um_store_image_values(f, mark_columns[k][0], values, rows->n, mark_columns[k][1],
                                     "of every image's mark (medlocker/mark.h)"));
    }
    UM_TRY(finish(&f, seconds));
done:
    um_free(values);
    um_h5_free(f);
    return rc;
}

static um_status put_verdict(um_h5 *f, const um_locker_verdict *v)
{
    um_status rc = UM_OK;
    const um_effect *e = &v->effect;
    const struct {
        const char *name;
        int64_t value;
        const char *definition;
    } counts[] = {{"n", e->n, "test images"},
                  {"right_before", e->right_before, "classified right when clean"},
                  {"right_after", e->right_after, "classified right when marked"},
                  {"broken", e->broken, "right before, wrong after"},
                  {"mended", e->mended, "wrong before, right after"}};
    char name[128];
    for (size_t i = 0; i < UM_COUNT(counts); i++) {
        snprintf(name, sizeof name, "%s_%s", v->network, counts[i].name);
        UM_TRY(um_store_metric(f, name, (double)counts[i].value, "images", counts[i].definition));
    }
    UM_TRY(put_share(f, v->network, "accuracy_clean", e->right_before, e->n, "share of clean test images that it gets right"));
    UM_TRY(put_share(f, v->network, "accuracy_marked", e->right_after, e->n, "share of marked test images that it gets right"));
    UM_TRY(put_share(f, v->network, "asr", e->broken, e->right_before, "attack success rate: broken / right_before"));
    for (int k = 0; k < e->classes; k++) {
        snprintf(name, sizeof name, "%s_class%d_n", v->network, k);
        UM_TRY(um_store_metric(f, name, (double)e->of_class[k].n, "images", "test images of this class"));
        snprintf(name, sizeof name, "%s_class%d", v->network, k);
        UM_TRY(put_share(f, name, "accuracy_clean", e->of_class[k].right_before, e->of_class[k].n, "the same, of this class alone"));
        UM_TRY(put_share(f, name, "accuracy_marked", e->of_class[k].right_after, e->of_class[k].n, "the same, of this class alone"));
        UM_TRY(put_share(f, name, "asr", e->of_class[k].broken, e->of_class[k].right_before, "the same, of this class alone"));
    }
done:
    return rc;
}

static um_status put_names(um_h5 *f, const um_locker_outcome *o)
{
    um_status rc = UM_OK;
    um_text names = {0};
    for (int i = 0; i < o->n_verdicts; i++)
        UM_TRY(um_text_add(&names, "%s%s%s", i ? " " : "", o->verdicts[i].white ? "*" : "", o->verdicts[i].network));
    UM_TRY(um_h5_set_text(f, "/", "networks", um_text_get(&names)));
done:
    um_text_free(&names);
    return rc;
}

um_status um_locker_write_cell(const char *path, const um_locker_meta *meta, const um_locker_outcome *o)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    UM_TRY(um_h5_create(&f, path, UM_RESULT_FORMAT, UM_RESULT_VERSION));
    UM_TRY(put_meta(f, meta));
    UM_TRY(put_names(f, o));
    UM_TRY(put_marks(f, &o->marks));
    for (int i = 0; i < o->n_verdicts; i++)
        UM_TRY(put_verdict(f, &o->verdicts[i]));
    UM_TRY(um_store_metric(f, "psnr", o->psnr, "dB", "mean over marked images of PSNR on the whole frame"));
    UM_TRY(um_store_metric(f, "ssim", o->ssim, "", "mean over marked images of SSIM"));
    UM_TRY(um_store_metric(f, "logo_area", o->logo_area, "", "mean over marked images of the logo's share of the frame"));
    if (o->retrained)
        UM_TRY(put_training(f, o->retrained));
    UM_TRY(finish(&f, o->seconds));
done:
    um_h5_free(f);
    return rc;
}

/* ---- reading ---- */

um_status um_locker_read_marks(um_mark *out, int64_t n, const char *path)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    double *column[UM_MARK_COLUMNS] = {NULL}, row[UM_MARK_COLUMNS];
    UM_TRY(um_h5_open(&f, path, UM_RESULT_FORMAT, UM_RESULT_VERSION));
    for (int k = 0; k < UM_MARK_COLUMNS; k++) {
        int64_t have = 0;
        UM_TRY(um_store_get_image_values(f, mark_columns[k][0], &column[k], &have));
        if (have != n)
            UM_TRY(um_fail(UM_E_DATA, "%s: marks of %lld images, expected %lld", path, (long long)have, (long long)n));
    }
    for (int64_t i = 0; i < n; i++) {
        for (int k = 0; k < UM_MARK_COLUMNS; k++)
            row[k] = column[k][i];
        out[i] = um_mark_unpack(row);
        if (out[i].state < UM_WSM_STRICT || out[i].state > UM_WSM_NONE || out[i].source < 0 || out[i].source >= UM_LESIONS_COUNT ||
            !(out[i].ratio >= 1))
            UM_TRY(um_fail(UM_E_DATA, "%s: the mark of image %lld makes no sense", path, (long long)i));
    }
done:
    for (int k = 0; k < UM_MARK_COLUMNS; k++)
        um_free(column[k]);
    um_h5_free(f);
    return rc;
}

typedef struct field {
    const char *name;
    size_t offset;
} field;
#define FIELD(member) {#member, offsetof(um_locker_line, member)}
static const field of_network[] = {FIELD(n), FIELD(right_before), FIELD(right_after), FIELD(broken), FIELD(mended),
                                   FIELD(accuracy_clean), FIELD(accuracy_clean_low), FIELD(accuracy_clean_high),
                                   FIELD(accuracy_marked), FIELD(accuracy_marked_low), FIELD(accuracy_marked_high),
                                   FIELD(asr), FIELD(asr_low), FIELD(asr_high)};
static const field of_marks[] = {FIELD(strict),       FIELD(relaxed),  FIELD(none),  FIELD(margin_before),
                                 FIELD(margin_after), FIELD(forwards), FIELD(alpha), FIELD(lesion_change)};
static const field of_cell[] = {FIELD(psnr), FIELD(ssim), FIELD(logo_area)};

static um_status get_fields(um_h5 *f, const char *prefix, const field *list, size_t n, um_locker_line *l)
{
    um_status rc = UM_OK;
    char name[160];
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s%s%s", prefix, prefix[0] ? "_" : "", list[i].name);
        UM_TRY(um_store_get_metric(f, name, (double *)((char *)l + list[i].offset)));
    }
done:
    return rc;
}

static um_status get_cell(um_h5 *f, um_locker_line *l)
{
    um_status rc = UM_OK;
    char network[UM_RESULT_TEXT];
    UM_TRY(um_result_get_text(f, "key", l->key, sizeof l->key));
    UM_TRY(um_result_get_text(f, "group_key", l->group, sizeof l->group));
    UM_TRY(um_result_get_text(f, "dataset", l->dataset, sizeof l->dataset));
    UM_TRY(um_result_get_text(f, "search", l->search, sizeof l->search));
    UM_TRY(um_result_get_text(f, "target", l->target, sizeof l->target));
    UM_TRY(um_result_get_text(f, "network", network, sizeof network));
    UM_TRY(um_result_get_text(f, "science_sha256", l->science, sizeof l->science));
    l->retrained = network[0] != 0;
    UM_TRY(um_result_get_seed(f, &l->seed));
    UM_TRY(get_fields(f, "marks", of_marks, UM_COUNT(of_marks), l));
    UM_TRY(get_fields(f, "", of_cell, UM_COUNT(of_cell), l));
    UM_TRY(um_store_get_timing(f, "seconds", &l->seconds));
done:
    return rc;
}

/* One line per name of the attribute "networks". */
static um_status get_lines(um_h5 *f, const um_locker_line *cell, um_locker_line **out, int *n)
{
    um_status rc = UM_OK;
    enum { MOST = 64 };
    um_text names = {0};
    um_locker_line *list = NULL;
    int k = 0;
    UM_TRY(um_h5_get_text(f, "/", "networks", &names));
    UM_TRY(UM_NEW_ARRAY(list, MOST));
    for (const char *p = um_text_get(&names); *p; p += strspn(p, " "), k++) {
        size_t length = strcspn(p, " ");
        bool white = *p == '*';
        if (k == MOST || length - white >= UM_RESULT_TEXT)
            UM_TRY(um_fail(UM_E_DATA, "%s: attribute networks is too long", um_h5_path(f)));
        list[k] = *cell;
        list[k].white = white;
        snprintf(list[k].network, UM_RESULT_TEXT, "%.*s", (int)(length - white), p + white);
        UM_TRY(get_fields(f, list[k].network, of_network, UM_COUNT(of_network), &list[k]));
        p += length;
    }
    *out = list;
    *n = k;
    list = NULL;
done:
    um_free(list);
    um_text_free(&names);
    return rc;
}

um_status um_locker_read_cell(um_locker_line **out, int *n, const char *path)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    um_text kind = {0};
    um_locker_line cell = {.n = 0};
    *out = NULL;
    *n = 0;
    UM_TRY(um_h5_open(&f, path, UM_RESULT_FORMAT, UM_RESULT_VERSION));
    UM_TRY(um_h5_get_text(f, "/", "kind", &kind));
    if (strcmp(um_text_get(&kind), "medlocker") != 0)
        goto done;
    UM_TRY(get_cell(f, &cell));
    UM_TRY(get_lines(f, &cell, out, n));
done:
    um_text_free(&kind);
    um_h5_free(f);
    return rc;
}
