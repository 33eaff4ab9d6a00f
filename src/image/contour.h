/* The contour band y_c of a mask and the interior y_t that remains (UMed, IJCAI 2024, sections 3.2 and 3.3: "binary map of
 * contour regions", y_t = (1 - y_c) * y). y_c and y_t are disjoint, so their perturbations never add up. */
#ifndef UM_IMAGE_CONTOUR_H
#define UM_IMAGE_CONTOUR_H

#include <stdint.h>

#include "base/status.h"

/* With D and E = dilation and erosion of the mask y by the structuring element:
 *   straddle  D - E     both sides of the edge
 *   inner     y - E     inside only
 *   outer     D - y     outside only
 *   canny     the pixels of y with a background pixel among their four neighbours (the one-pixel line that a Canny detector gives
 *             on a binary image, taken on its foreground side), then dilated by the element of radius - 1 */
typedef enum um_contour_mode { UM_CONTOUR_STRADDLE, UM_CONTOUR_INNER, UM_CONTOUR_OUTER, UM_CONTOUR_CANNY } um_contour_mode;
#define UM_CONTOUR_MODES "straddle inner outer canny"

/* Offsets (dy, dx): square max(|dy|, |dx|) <= r; cross dy = 0 or dx = 0, within r; disk dy^2 + dx^2 <= r^2. */
typedef enum um_contour_se { UM_CONTOUR_SQUARE, UM_CONTOUR_CROSS, UM_CONTOUR_DISK } um_contour_se;
#define UM_CONTOUR_SES "square cross disk"

/* ignore: the frame is no edge (erosion sees 1 outside, dilation 0). count: a mask that touches the frame has an edge there. */
typedef enum um_contour_border { UM_CONTOUR_IGNORE, UM_CONTOUR_COUNT } um_contour_border;
#define UM_CONTOUR_BORDERS "ignore count"

/* The members have the types of option tables, so that a table's rows can point into this struct. */
typedef struct um_contour_options {
    int mode;       /* um_contour_mode, default of the paper's reading: straddle */
    int64_t radius; /* pixels, 1..64 */
    int se;         /* um_contour_se */
    int border;     /* um_contour_border */
} um_contour_options;

/* out: [h][w] y_c in {0,1}. mask: [h][w], non-zero is foreground; may not overlap out.
 * Errors: UM_E_CONFIG for a radius outside 1..64, UM_E_MEMORY. */
um_status um_contour_map(uint8_t *out, const uint8_t *mask, int64_t h, int64_t w, const um_contour_options *o);

/* out: [n] y_t = (1 - contour) * mask in {0,1}. */
void um_contour_interior(uint8_t *out, const uint8_t *mask, const uint8_t *contour, int64_t n);

#endif
