#include "train/evaluate.h"

#include <math.h>

#include "base/mem.h"
#include "image/mask_leak.h"
#include "train/predict.h"

static const um_opt metric_rows[] = {
    UM_OPT_INT_ROW(um_metric_options, batch, "batch", "32", 1, 65536, "images",
                   "images per confusion matrix of the headline aggregation"),
    UM_OPT_ENUM_ROW(um_metric_options, ssim.window, "ssim.window", "gauss11", UM_SSIM_WINDOWS, "window of SSIM"),
    UM_OPT_ENUM_ROW(um_metric_options, ssim.border, "ssim.border", "valid", UM_SSIM_BORDERS,
                    "pixels whose window leaves the frame"),
    UM_OPT_ENUM_ROW(um_metric_options, ssim.color, "ssim.color", "channel_mean", UM_SSIM_COLORS, "SSIM of colour images"),
};
const um_opt_table um_metric_table = UM_OPT_TABLE("metrics", um_metric_options, metric_rows);

static um_status summarise(um_scores *out, um_confusion *per_image, int64_t n, int64_t metric_batch, bool keep_images)
{
    um_status rc = UM_OK;
    um_scores s = {.n = n};
    s.batch = um_overlap_of(per_image, n, UM_AGGREGATE_BATCH, metric_batch);
    s.pooled = um_overlap_of(per_image, n, UM_AGGREGATE_POOLED, 1);
    s.image = um_overlap_of(per_image, n, UM_AGGREGATE_IMAGE, 1);
    um_confusion all = um_confusion_sum(per_image, n);
    int64_t pixels = all.tp + all.fp + all.fn + all.tn;
    s.foreground = pixels ? (double)(all.tp + all.fp) / (double)pixels : 0;
    if (keep_images) {
        UM_TRY(UM_NEW_ARRAY(s.image_dsc, n));
        for (int64_t i = 0; i < n; i++)
            s.image_dsc[i] = um_confusion_dsc(&per_image[i]);
    }
    *out = s;
done:
    return rc;
}

/* Rows of a dataset from `begin` on, and what is counted on them. */
typedef struct counting {
    const um_segmenter *s;
    const um_dataset *d;
    const int64_t *index;
    um_confusion *counts;
    float *margin; /* of one batch */
} counting;

static um_status make_rows(void *payload, int64_t first, int64_t n, void *x)
{
    const counting *c = payload;
    um_dtype real = c->s->backend->real;
    size_t bytes = (size_t)(c->d->h * c->d->w * c->d->c) * um_dtype_bytes(real);
    for (int64_t i = 0; i < n; i++)
        um_row_image(c->d, c->index[first + i], real, (char *)x + (size_t)i * bytes);
    return UM_OK;
}

static um_status count_rows(void *payload, int64_t first, int64_t n, const void *logits)
{
    const counting *c = payload;
    int64_t hw = c->d->h * c->d->w;
    um_segmenter_margin_of(c->s, logits, n, c->margin);
    for (int64_t i = 0; i < n; i++)
        c->counts[first + i] = um_confusion_of_logits(c->margin + i * hw, um_dataset_mask(c->d, c->index[first + i]), hw);
    return UM_OK;
}

um_status um_evaluate(um_scores *out, um_segmenter *s, const um_dataset *d, const um_rows *rows, int64_t metric_batch,
                      bool per_image)
{
    um_status rc = UM_OK;
    int64_t begin, own;
    float *margin = NULL;
    um_confusion *counts = NULL;
    UM_TRY(UM_NEW_ARRAY(margin, s->config.max_batch * d->h * d->w));
    UM_TRY(UM_NEW_ARRAY(counts, rows->n));
    um_ranks_slice(s->config.spread.comm, rows->n, &begin, &own);
    counting c = {s, d, rows->index + begin, counts + begin, margin};
    UM_TRY(um_predict_run(s, &(um_predict_job){own, make_rows, count_rows, &c}));
    UM_TRY(um_ranks_collect(s->config.spread.comm, counts, rows->n, sizeof *counts, "collection of scores"));
    UM_TRY(summarise(out, counts, rows->n, metric_batch, per_image));
done:
    um_free(counts);
    um_free(margin);
    return rc;
}

um_status um_evaluate_margins(um_scores *out, const float *margins, const um_dataset *d, const um_rows *rows, int64_t metric_batch,
                              bool per_image)
{
    um_status rc = UM_OK;
    int64_t hw = d->h * d->w;
    um_confusion *counts = NULL;
    UM_TRY(UM_NEW_ARRAY(counts, rows->n));
    for (int64_t i = 0; i < rows->n; i++)
        counts[i] = um_confusion_of_logits(margins + i * hw, um_dataset_mask(d, rows->index[i]), hw);
    UM_TRY(summarise(out, counts, rows->n, metric_batch, per_image));
done:
    um_free(counts);
    return rc;
}

void um_scores_free(um_scores *s)
{
    um_free(s->image_dsc);
    s->image_dsc = NULL;
}

static um_pixels pixels_of(const um_dataset *d, int64_t row)
{
    return (um_pixels){um_dataset_image(d, row), d->h, d->w, d->c, d->bits};
}

/* Adds what is a number to a mean. */
typedef struct mean { double sum; int64_t n; } mean;

static void mean_add(mean *m, double x)
{
    if (isfinite(x))
        m->sum += x, m->n++;
}

static double mean_of(const mean *m)
{
    return m->n ? m->sum / (double)m->n : NAN;
}

/* Adds the DSC of the mask that a predictor reads off an image. found: [h][w] scratch. */
static um_status add_leak(mean *m, const um_pixels *image, const uint8_t *mask, um_leak_filter filter, uint8_t *found)
{
    um_status rc = UM_OK;
    UM_TRY(um_mask_leak_predict(found, image, filter));
    um_confusion counts = um_confusion_of_masks(found, mask, image->h * image->w);
    mean_add(m, um_confusion_dsc(&counts));
done:
    return rc;
}

static um_status measure_leak(um_visibility *v, const um_dataset *clean, const um_dataset *released, const um_rows *rows)
{
    um_status rc = UM_OK;
    uint8_t *found = NULL;
    mean leak[2][2] = {{{0}}}; /* filter, clean */
    UM_TRY(UM_NEW_ARRAY(found, clean->h * clean->w));
    for (int64_t i = 0; i < rows->n; i++) {
        const um_pixels sides[] = {pixels_of(released, rows->index[i]), pixels_of(clean, rows->index[i])};
        for (int k = 0; k < 4; k++)
            UM_TRY(add_leak(&leak[k / 2][k % 2], &sides[k % 2], um_dataset_mask(clean, rows->index[i]), (um_leak_filter)(k / 2),
                            found));
    }
    v->leak_highpass = mean_of(&leak[0][0]), v->leak_highpass_clean = mean_of(&leak[0][1]);
    v->leak_denoise = mean_of(&leak[1][0]), v->leak_denoise_clean = mean_of(&leak[1][1]);
done:
    um_free(found);
    return rc;
}

um_status um_visibility_measure(um_visibility *out, const um_dataset *clean, const um_dataset *released, const um_rows *rows,
                                const um_metric_options *o)
{
    um_status rc = UM_OK;
    um_visibility v = {.n = rows->n, .psnr_worst = INFINITY, .ssim_worst = 1};
    mean psnr = {0}, ssim = {0}, psnr_roi = {0}, ssim_roi = {0}, l2 = {0}, changed = {0};
    UM_TRY(UM_NEW_ARRAY(v.image_psnr, rows->n));
    UM_TRY(UM_NEW_ARRAY(v.image_ssim, rows->n));
    for (int64_t i = 0; i < rows->n; i++) {
        um_pixels a = pixels_of(clean, rows->index[i]), b = pixels_of(released, rows->index[i]);
        um_difference diff;
        um_ssim_result s;
        UM_TRY(um_metric_difference(&diff, &a, &b, um_dataset_mask(clean, rows->index[i])));
        UM_TRY(um_metric_ssim(&s, &a, &b, um_dataset_mask(clean, rows->index[i]), &o->ssim));
        v.image_psnr[i] = diff.psnr;
        v.image_ssim[i] = s.frame;
        v.n_identical += isinf(diff.psnr);
        mean_add(&psnr, diff.psnr), mean_add(&psnr_roi, diff.psnr_roi), mean_add(&l2, diff.l2), mean_add(&changed, diff.changed);
        mean_add(&ssim, s.frame), mean_add(&ssim_roi, s.roi);
        v.psnr_worst = fmin(v.psnr_worst, diff.psnr);
        v.ssim_worst = fmin(v.ssim_worst, s.frame);
        v.linf = fmax(v.linf, diff.linf);
    }
    v.psnr = mean_of(&psnr), v.ssim = mean_of(&ssim), v.psnr_roi = mean_of(&psnr_roi), v.ssim_roi = mean_of(&ssim_roi);
    v.l2 = mean_of(&l2), v.changed = mean_of(&changed);
    UM_TRY(measure_leak(&v, clean, released, rows));
    *out = v;
    v = (um_visibility){0};
done:
    um_visibility_free(&v);
    return rc;
}

void um_visibility_free(um_visibility *v)
{
    um_free(v->image_psnr);
    um_free(v->image_ssim);
    v->image_psnr = v->image_ssim = NULL;
}
