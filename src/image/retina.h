/* Synthetic fundus photographs with lesions: test data for classifiers and watermarks that needs no patient. An orange disc on
 * black with an optic disc, vessels that leave it, uneven light and noise; lesions are dark red spots and, every third, pale
 * yellow ones. The class is the number of lesions: class k of n has from 4k to 4k + 2. */
#ifndef UM_IMAGE_RETINA_H
#define UM_IMAGE_RETINA_H

#include <stdint.h>

#include "base/status.h"

enum { UM_RETINA_SIZE_MIN = 32, UM_RETINA_SIZE_MAX = 4096, UM_RETINA_CLASSES_MAX = 5 };

/* image: [size][size][3] u8, mask: [size][size] in {0,1}, 1 on lesions, both the caller's. The result depends on (seed, index,
 * size, label) only. Errors: UM_E_CONFIG for a size or class out of range. */
um_status um_retina_draw(uint8_t *image, uint8_t *mask, uint64_t seed, uint64_t index, int64_t size, int label);

#endif
