/* How visible a change is (PSNR, SSIM, norms) and how well two masks agree (DSC, Jaccard). */
#ifndef UM_IMAGE_METRIC_H
#define UM_IMAGE_METRIC_H

#include <stdint.h>

#include "base/status.h"

/* A borrowed image: [h][w][c] of uint8_t (bits 8) or uint16_t (bits 16). */
typedef struct um_pixels {
    const void *data;
    int64_t h, w, c;
    int bits;
} um_pixels;

/* Differences of two images of equal geometry, values scaled to [0,1] (divided by 255 or 65535). */
typedef struct um_difference {
    double mse;      /* over h * w * c */
    double psnr;     /* -10 log10(mse) dB; INFINITY for identical images */
    double l2;       /* Euclidean norm over h * w * c */
    double linf;     /* largest absolute difference */
    double changed;  /* share of pixels where any channel differs */
    double psnr_roi; /* PSNR over the pixels of the mask; NAN when it is NULL or empty */
} um_difference;

/* mask: [h][w] or NULL. Sums are exact integers. Errors: UM_E_BUG when the geometries differ. */
um_status um_metric_difference(um_difference *out, const um_pixels *a, const um_pixels *b, const uint8_t *mask);

/* SSIM (Wang et al., TIP 2004) with K1 = 0.01, K2 = 0.03, L = 1:
 *   (2 mx my + C1) (2 sxy + C2) / ((mx^2 + my^2 + C1) (sx^2 + sy^2 + C2)), C1 = 1e-4, C2 = 9e-4
 *   window gauss11   11x11 Gaussian, sigma 1.5, normalised, population moments
 *          uniform7  7x7 mean, sample moments (divided by 48)
 *   border valid         centres whose window lies inside the frame
 *          same_reflect  every pixel, the image mirrored at its edge (d c b a | a b c d)
 *   color  channel_mean  mean of the channels' SSIM;  luma  SSIM of the BT.601 grey images */
typedef enum um_ssim_window { UM_SSIM_GAUSS11, UM_SSIM_UNIFORM7 } um_ssim_window;
typedef enum um_ssim_border { UM_SSIM_VALID, UM_SSIM_SAME_REFLECT } um_ssim_border;
typedef enum um_ssim_color { UM_SSIM_CHANNEL_MEAN, UM_SSIM_LUMA } um_ssim_color;
#define UM_SSIM_WINDOWS "gauss11 uniform7"
#define UM_SSIM_BORDERS "valid same_reflect"
#define UM_SSIM_COLORS "channel_mean luma"

typedef struct um_ssim_options { /* members as option tables need them */
    int window, border, color;
} um_ssim_options;

typedef struct um_ssim_result {
    double frame; /* mean of the local SSIM */
    double roi;   /* mean of the local SSIM over mask pixels that have one; NAN when there is none */
} um_ssim_result;

/* mask: [h][w] or NULL. Errors: UM_E_DATA when an image is smaller than the window, UM_E_MEMORY, UM_E_BUG (geometry). */
um_status um_metric_ssim(um_ssim_result *out, const um_pixels *a, const um_pixels *b, const uint8_t *mask,
                         const um_ssim_options *o);

/* Pixel counts of a prediction against the truth. */
typedef struct um_confusion {
    int64_t tp, fp, fn, tn;
} um_confusion;

um_confusion um_confusion_of_masks(const uint8_t *predicted, const uint8_t *truth, int64_t n);
/* Foreground where the logit is >= 0, that is where the probability is >= 0.5; a NaN counts as background. */
um_confusion um_confusion_of_logits(const float *logits, const uint8_t *truth, int64_t n);
um_confusion um_confusion_sum(const um_confusion *counts, int64_t n);

/* DSC = 2 TP / (2 TP + FP + FN), J = TP / (TP + FP + FN), in [0,1]; both 1 when truth and prediction are empty. */
double um_confusion_dsc(const um_confusion *c);
double um_confusion_jaccard(const um_confusion *c);

/* pooled: one matrix for all images; image: mean over images; batch: one matrix per run of `batch` images in order (the last may be
 * shorter), unweighted mean over the runs (the headline, with 32). */
typedef enum um_aggregation { UM_AGGREGATE_POOLED, UM_AGGREGATE_IMAGE, UM_AGGREGATE_BATCH } um_aggregation;

typedef struct um_overlap {
    double dsc, jaccard; /* [0,1]; NAN for no images */
} um_overlap;

/* per_image: [n]. batch: >= 1, used by UM_AGGREGATE_BATCH only. */
um_overlap um_overlap_of(const um_confusion *per_image, int64_t n, um_aggregation how, int64_t batch);

#endif
