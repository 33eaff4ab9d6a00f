/* Does a released image betray its mask? Perturbations that keep to the lesion raise the fine detail there, and whoever subtracts
 * a smoothed image may read the mask off what remains. Two predictors that anybody would try first:
 *     r = x - smooth(x), clipped to +-8/255 (larger steps are the picture's own edges)
 *     e = mean over channels of r^2, averaged over 7x7 pixels; predicted: sqrt(e) at or above Otsu's threshold
 * highpass smooths with the binomial kernel [1 2 1]'[1 2 1]/16, denoise with the median of 3x3 pixels. Their DSC against the true
 * mask says how much leaks, beside the same on the clean image. */
#ifndef UM_IMAGE_MASK_LEAK_H
#define UM_IMAGE_MASK_LEAK_H

#include "image/metric.h"

typedef enum um_leak_filter { UM_LEAK_HIGHPASS, UM_LEAK_DENOISE } um_leak_filter;

/* out: [h][w] in {0,1}; all 0 for an image without detail. The frame is continued by its edge pixels. Errors: UM_E_MEMORY. */
um_status um_mask_leak_predict(uint8_t *out, const um_pixels *image, um_leak_filter filter);

/* Otsu's threshold of n values >= 0 over 256 equal bins up to the largest: the cut with the largest variance between both classes.
 * INFINITY when all are 0. */
double um_otsu(const float *values, int64_t n);

#endif
