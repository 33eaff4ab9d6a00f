/* Which activations of a graph are stored in the backend's narrow type (bf16; layers.md section 5). */
#ifndef UM_NN_NARROW_H
#define UM_NN_NARROW_H

#include "nn/graph.h"

enum { UM_NARROW_CHANNELS = 8 }; /* the fewest of an activation that may be narrow */

/* Gives tensors the type `store` (um_backend.store), where that is not the graph's real type. Stay as they are:
 *
 *     inputs, parameters, their gradients, statistics, coefficients, sums, attention weights (operands that are no activations)
 *     what is read after a run (um_tensor.keep)
 *     less than UM_NARROW_CHANNELS channels: images, perturbations, logits, gates, and their gradients. 4/255 is a quarter of bf16's spacing near 1
 *     class scores, however many, and their gradient: what a softmax reads
 *     what only rearranges such a tensor, and its gradient: windows, patches and copies of an image
 *
 * So the first layer of a network reads f32. Call it once, after the last node was appended and before a plan is made. */
void um_graph_narrow(um_graph *g, um_dtype store);

#endif
