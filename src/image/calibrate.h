/* What a contour and texture setting costs in PSNR before anything is trained.
 *
 * A perturbation that fills its bound everywhere, |delta| = eps * y_c + eps * x_t * y_t, has per image
 *     MSE = eps^2 * (phi_c + phi_t * m2),   PSNR_sat = -10 log10(MSE)
 * with phi_c = |y_c| / N, phi_t = |y_t| / N and m2 = mean of x_t^2 over y_t. No trained perturbation has a lower PSNR (8-bit
 * rounding apart), so the published 51.65 / 46.73 / 51.71 dB exclude settings whose PSNR_sat lies clearly above them. */
#ifndef UM_IMAGE_CALIBRATE_H
#define UM_IMAGE_CALIBRATE_H

#include <stdint.h>

#include "base/status.h"
#include "image/contour.h"
#include "image/lbp.h"

typedef struct um_calibration {
    double phi_c, phi_t; /* mean over images */
    double m2;           /* over all interior pixels of the set; 0 when there are none */
    double psnr_sat;     /* dB, mean over images with a non-empty bound; INFINITY when there are none */
    int64_t n_empty;     /* images whose bound is zero everywhere */
} um_calibration;

/* images: [n][h][w][c], uint8_t or uint16_t (bits 8 or 16); masks: [n][h][w]. eps in [0,1] units (4/255).
 * Errors: those of um_contour_map and um_lbp_texture; UM_E_DATA for n = 0. */
um_status um_calibrate(um_calibration *out, const void *images, const uint8_t *masks, int64_t n, int64_t h, int64_t w, int64_t c,
                       int bits, const um_contour_options *contour, const um_lbp_options *lbp, double eps);

#endif
