/* Synthetic ultrasound-like images with lesion masks: test data that needs no patient, and the example data set of `umed synth`.
 *
 * A picture is a map of echo strength in dB, times fully developed speckle, log-compressed to grey levels, as a B-mode scanner
 * forms it:
 *   tissue      wavy layers of different echo, slow variation within them, attenuation with depth
 *   lesions     one, sometimes two; 2.5 to 6 dB below their surround; the outline is an ellipse with random low Fourier terms, its
 *               edge soft; behind it a shadow or an enhancement
 *   distractors of the same grey levels, not in the mask: shadows that run to the bottom, thin vessels, flat fat lobules, a dark
 *               region below the chest wall; bright spots and fascia
 *   speckle     Rayleigh amplitude, correlated over about 1.5 samples of the scanner's grid and wider with depth, its contrast made
 *               smaller as by compounding and speckle reduction; the grid has at least 256 samples a side, and smaller pictures are
 *               means of it, as when real ones are made smaller
 * So no grey-level threshold finds the lesions (a test holds it below DSC 50), while a person and a small network do.
 * Lesions cover 3 to 20 % of the frame. */
#ifndef UM_IMAGE_PHANTOM_H
#define UM_IMAGE_PHANTOM_H

#include <stdint.h>

#include "base/status.h"

enum { UM_PHANTOM_SIZE_MIN = 16, UM_PHANTOM_SIZE_MAX = 4096 };

/* image: [size][size][channels] u8, mask: [size][size] in {0,1}, both the caller's. channels: 1, or 3 (a warm tint). The result
 * depends on (seed, index, size, channels) only; the anatomy depends on (seed, index) only, so sizes show the same scene.
 * Errors: UM_E_CONFIG for a size or channel count out of range, UM_E_MEMORY. */
um_status um_phantom_draw(uint8_t *image, uint8_t *mask, uint64_t seed, uint64_t index, int64_t size, int64_t channels);

#endif
