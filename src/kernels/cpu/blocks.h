/* Sums over pixels in f64 with a fixed order (DESIGN D8, D9): an image is cut into blocks of whole rows whose height is a function
 * of the shape only; any thread may compute a block; blocks are added in order within an image, images in order within a lane. */
#ifndef UM_KERNELS_CPU_BLOCKS_H
#define UM_KERNELS_CPU_BLOCKS_H

#include "kernels/ops.h"

/* Writes the `width` sums over the pixels [begin, end) of one image into part; pixels count through the whole tensor. */
typedef void (*um_block_fn)(const um_op_call *call, int64_t begin, int64_t end, double *part);

size_t um_block_bytes(const um_view *shape, int64_t width); /* workspace of the functions below */

/* Returns [n_lanes][width] in the workspace; behind it there is room for as much again. */
double *um_block_lane_sums(const um_op_call *call, const um_view *shape, int64_t width, um_block_fn fn);

/* sums: [N][width]. */
void um_block_image_sums(const um_op_call *call, const um_view *shape, int64_t width, um_block_fn fn, double *sums);

#endif
