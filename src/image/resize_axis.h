/* Inside image/: the weights of um_resize's bilinear filter along one axis. */
#ifndef UM_IMAGE_RESIZE_AXIS_H
#define UM_IMAGE_RESIZE_AXIS_H

#include <stdint.h>

#include "base/status.h"

enum { UM_RESIZE_WEIGHT_BITS = 22 }; /* fractional bits of a weight */

/* Output i is the sum of weight[i * taps + k] * input[first[i] + k], k < count[i]; the weights of an output add up to exactly 1. */
typedef struct um_resize_axis {
    int64_t n_out, taps;
    int64_t *first, *count;
    int32_t *weight; /* [n_out][taps] */
} um_resize_axis;

/* Initialise with {0}; release with um_resize_axis_free also after an error. */
um_status um_resize_axis_make(um_resize_axis *a, int64_t n_in, int64_t n_out);
void um_resize_axis_free(um_resize_axis *a);

#endif
