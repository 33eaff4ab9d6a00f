/* Texture maps x_t in [0,1] from local binary patterns (Ojala et al., PAMI 2002), which bound UMed's texture perturbation per
 * pixel: |delta_t| <= eps * x_t * y_t (UMed, IJCAI 2024, section 3.3). The paper names neither P, R nor the mapping of a pattern to
 * an intensity; all readings are here.
 *
 * Bit p of a pixel's code is [g_p >= g_c]: neighbour p is not darker than the centre. Beyond the frame the image is continued by
 * its edge pixels. Neighbours, as (dy, dx):
 *   square             P = 8, R whole: R times (-1,-1) (-1,0) (-1,1) (0,1) (1,1) (1,0) (1,-1) (0,-1) for bits 0..7
 *   circular_bilinear  (-R sin a, R cos a), a = 2 pi p / P, for bits 0..P-1, grey levels interpolated bilinearly */
#ifndef UM_IMAGE_LBP_H
#define UM_IMAGE_LBP_H

#include <stdint.h>

#include "base/status.h"

/* Value of a code with P bits, before normalisation:
 *   popcount     ones / P: the share of neighbours that are not darker
 *   code255      code / (2^P - 1): the literal number (flat: 1; strict local maximum: 0)
 *   ri           smallest rotation of the code / (2^P - 1)
 *   uniform_idx  ones / (P + 1) for codes with at most two circular transitions, else 1
 *   var          no code: population variance of the 3x3 neighbourhood / its 99th percentile within the ROI, at most 1
 *   transitions  circular 0/1 changes / P (flat: 0)
 *   ones         1 everywhere (no texture; the paper's Table 5, case F) */
typedef enum um_lbp_map {
    UM_LBP_POPCOUNT,
    UM_LBP_CODE255,
    UM_LBP_RI,
    UM_LBP_UNIFORM_IDX,
    UM_LBP_VAR,
    UM_LBP_TRANSITIONS,
    UM_LBP_ONES,
} um_lbp_map;
#define UM_LBP_MAPS "popcount code255 ri uniform_idx var transitions ones"

typedef enum um_lbp_interp { UM_LBP_SQUARE, UM_LBP_CIRCULAR_BILINEAR } um_lbp_interp;
#define UM_LBP_INTERPS "square circular_bilinear"

/* fixed: as above. roi_max: divided by the largest value in the ROI (all 0 when that is 0). roi_minmax: (v - min) / (max - min)
 * over the ROI (all 0 when they are equal). Values outside the ROI are clamped to [0,1]. */
typedef enum um_lbp_norm { UM_LBP_FIXED, UM_LBP_ROI_MAX, UM_LBP_ROI_MINMAX } um_lbp_norm;
#define UM_LBP_NORMS "fixed roi_max roi_minmax"

/* The members have the types of option tables, so that a table's rows can point into this struct. */
typedef struct um_lbp_options {
    int map;    /* um_lbp_map */
    int64_t p;  /* neighbours, 1..24; 8 for square */
    double r;   /* pixels, above 0 and at most 16 */
    int interp; /* um_lbp_interp */
    int norm;   /* um_lbp_norm */
    int gray;   /* um_luma_mode: for callers that start from colour images; not used by um_lbp_texture */
} um_lbp_options;

/* out: [h][w] in [0,1], the whole frame (callers multiply by y_t). luma: [h][w] grey levels (um_luma). roi: [h][w], non-zero where
 * norms and percentiles are taken; NULL or empty means the whole frame.
 * Errors: UM_E_CONFIG for P or R out of range or square with P other than 8 or a fractional R, UM_E_MEMORY. */
um_status um_lbp_texture(float *out, const float *luma, const uint8_t *roi, int64_t h, int64_t w, const um_lbp_options *o);

#endif
