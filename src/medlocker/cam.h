/* Grad-CAM (Selvaraju et al., ICCV 2017): where a classifier looks. With the last convolution's activations A_k and the class
 * score z_y: w_k = mean over the map of dz_y/dA_k, map = ReLU(sum_k w_k A_k), scaled to 0..255, bilinear to the image's size,
 * binarised. */
#ifndef UM_MEDLOCKER_CAM_H
#define UM_MEDLOCKER_CAM_H

#include "train/pgd.h"
#include "train/segmenter.h"

/* The gradient object for one image at a time. Errors: UM_E_CONFIG for a network without a last convolution (vit_b16). */
um_status um_cam_create(um_input_grad **out, um_backend *backend, um_segmenter *net);

/* mask: [h][w], 1 where the map is at or above threshold (of 255); all 0 when the map is 0 everywhere. pixels: [h][w][c]. */
um_status um_cam_mask(uint8_t *mask, um_input_grad *cam, um_segmenter *net, const uint8_t *pixels, int label, int threshold);

#endif
