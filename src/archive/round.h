/* From the change that a protector asks for to the integers that are released, and the way back. */
#ifndef UM_ARCHIVE_ROUND_H
#define UM_ARCHIVE_ROUND_H

#include <stdint.h>

typedef struct um_rounding {
    int bits;      /* 8 or 16 */
    int64_t limit; /* largest change, in grey levels of these images */
    double scale;  /* of the change (export.eps_scale) */
} um_rounding;

/* n values: released[i] as um_released_value gives it for clean[i] and scale * change[i], delta[i] = released[i] - clean[i] modulo 2^bits.
 * change: in [0,1] units; NULL: as they are. Returns the sum of squared changes in [0,1] units. */
double um_round_image(const um_rounding *r, const void *clean, const float *change, int64_t n, void *released, void *delta);

#endif
