/* Scores of a segmenter on rows of a dataset, and visibility of a protected dataset (protectors.md section 4). */
#ifndef UM_TRAIN_EVALUATE_H
#define UM_TRAIN_EVALUATE_H

#include "image/metric.h"
#include "train/curve.h"
#include "train/rows.h"
#include "train/segmenter.h"

/* Group "metrics". */
typedef struct um_metric_options {
    int64_t batch;        /* images per confusion matrix of the headline aggregation */
    um_ssim_options ssim;
} um_metric_options;
extern const um_opt_table um_metric_table;

typedef struct um_scores {
    um_overlap batch, pooled, image; /* [0,1] */
    double foreground;               /* share of pixels predicted foreground: 0 tells an all-background collapse */
    int64_t n;
    double *image_dsc;               /* [n], owned; NULL when not asked for */
} um_scores;

/* per_image: also fill image_dsc. Rows are taken in file order. Collective over the ranks of the segmenter, which share the rows. */
um_status um_evaluate(um_scores *out, um_segmenter *s, const um_dataset *d, const um_rows *rows, int64_t metric_batch,
                      bool per_image);
void um_scores_free(um_scores *s);
/* The same from margins somebody computed ([rows->n][h][w]). */
um_status um_evaluate_margins(um_scores *out, const float *margins, const um_dataset *d, const um_rows *rows, int64_t metric_batch,
                              bool per_image);

typedef struct um_visibility {
    int64_t n, n_identical; /* rows compared; identical pairs, left out of psnr */
    double psnr, ssim, psnr_roi, ssim_roi, psnr_worst, ssim_worst, l2, linf, changed; /* dB, [0,1] units; means over images */
    /* Mean DSC of masks read off the released images, and off the clean ones, by two simple predictors (image/mask_leak.h). */
    double leak_highpass, leak_highpass_clean, leak_denoise, leak_denoise_clean;
    double *image_psnr, *image_ssim;                                                  /* [n], owned (INFINITY where identical) */
} um_visibility;

/* clean and released: same geometry. */
um_status um_visibility_measure(um_visibility *out, const um_dataset *clean, const um_dataset *released, const um_rows *rows,
                                const um_metric_options *o);
void um_visibility_free(um_visibility *v);

#endif
