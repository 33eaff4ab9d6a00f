/* Where a logo may lie: watermark semantical masks (MedLocker), the bounding boxes of lesions, stay free of it.
 *
 *     mask -> 8-connected components of at least min_area pixels -> bounding boxes, dilated -> forbidden map F
 *     feasible(y, x)  <=>  no pixel of F inside [y, y + lh) x [x, x + lw)        (an integral image of F: four loads)
 *
 * When no place is feasible: um_wsm_place makes the logo smaller in steps, then allows an overlap of at most 5 % of its rectangle
 * at the places of least overlap (relaxed), then gives up (none). */
#ifndef UM_MEDLOCKER_WSM_H
#define UM_MEDLOCKER_WSM_H

#include "medlocker/blend.h"

typedef struct um_box {
    int64_t y0, x0, y1, x1; /* half open */
} um_box;

typedef struct um_boxes {
    um_box *list; /* sorted by y0, x0, y1, x1 */
    int64_t n;
} um_boxes; /* initialise with {0}, release with um_boxes_free */

/* mask: [h][w], non-zero inside a lesion. min_area in pixels; dilate: pixels on each side, cut at the frame. Errors: UM_E_MEMORY.
 * */
um_status um_boxes_of_mask(um_boxes *out, const uint8_t *mask, int64_t h, int64_t w, int64_t min_area, int64_t dilate);
void um_boxes_free(um_boxes *b);
/* Pixels of the union of the boxes inside a rectangle, by looking at every pixel: what the integral image is tested against. */
int64_t um_boxes_overlap(const um_boxes *b, const um_box *rectangle);

typedef enum um_wsm_state { UM_WSM_STRICT, UM_WSM_RELAXED, UM_WSM_NONE } um_wsm_state;
#define UM_WSM_STATES "strict relaxed none"

/* Feasible places of one size of logo in one image. */
typedef struct um_places {
    um_wsm_state state;
    int64_t h, w, lh, lw;
    int64_t n, *at;   /* feasible top lefts, y * w + x, ascending */
    uint8_t *allowed; /* [h][w]: 1 at those */
} um_places; /* initialise with {0}, release with um_places_free */

/* boxes NULL: everything is allowed. UM_WSM_NONE (n = 0) when neither rule leaves a place. Errors: UM_E_MEMORY. */
um_status um_places_find(um_places *out, const um_boxes *boxes, int64_t h, int64_t w, int64_t lh, int64_t lw, bool may_relax);
void um_places_free(um_places *p);

/* The nearest feasible place in the largest of both distances; of several the first in raster order. (y, x) need not be inside. */
void um_places_project(const um_places *p, int64_t *y, int64_t *x);

typedef struct um_wsm_options {
    int64_t min_area, dilate;
    double ratio, ratio_most; /* of image to logo: the first, and the last of the ladder in steps of 0.5 */
} um_wsm_options;

/* The logo at the first ratio that has a strict place, else relaxed at the last ratio, else at the last with state UM_WSM_NONE.
 * logo and places: the caller's to release. ratio_used: that of the logo. Errors: UM_E_MEMORY. */
um_status um_wsm_place(um_logo *logo, um_places *places, const um_logo *original, const um_boxes *boxes, int64_t h, int64_t w,
                       const um_wsm_options *o, double *ratio_used);

#endif
