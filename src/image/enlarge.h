/* A difference between two images, such as a perturbation, at another size than it was made for. */
#ifndef UM_IMAGE_ENLARGE_H
#define UM_IMAGE_ENLARGE_H

#include <stdint.h>

#include "base/status.h"

/* out: the difference d [h_out][w_out][c] that resizing (R of um_resize, bilinear, without its rounding) brings back nearest to `in`,
 * [h][w][c], among those that are nowhere larger than `in` is anywhere and that leave the image within [0,1]:
 *
 *     minimise |R d - in|^2   subject to   |d| <= max |in|   and   0 <= image + d <= 1
 *
 * by the accelerated projected gradient (FISTA; Beck & Teboulle, SIAM J. Imaging Sciences 2(1), 2009) from bilinear interpolation, which
 * alone loses three quarters of a perturbation of single pixels when the image shrinks again. image: [h_out][w_out][c] in [0,1]; NULL:
 * any. Same extents: a copy, within these bounds. out does not overlap in or image. Errors: UM_E_MEMORY. */
um_status um_enlarge(float *out, int64_t h_out, int64_t w_out, const float *in, int64_t h, int64_t w, int64_t c, const float *image);
/* Memory that it takes. */
double um_enlarge_bytes(int64_t h_out, int64_t w_out, int64_t h, int64_t w, int64_t c);

#endif
