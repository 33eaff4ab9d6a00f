/* Inside nn/: what the gradient rules of the ops share. A rule appends ordinary nodes that turn the gradients of a node's outputs
 * into contributions to the gradients of its inputs. */
#ifndef UM_NN_AUTODIFF_H
#define UM_NN_AUTODIFF_H

#include "nn/graph.h"

typedef struct um_grads {
    um_graph *graph;
    um_tid *of;      /* [n_tensors before the backward pass]: gradient of a root tensor, UM_NONE until the first contribution */
    um_tid *again;   /* [n]: a tensor's second copy, um_grads_value */
    int n;
    um_node *last; /* nodes for the end of the list, which want complete sums over the batch */
    int n_last, cap_last;
} um_grads;

/* A tensor with the value of t, for a gradient that needs it: the output of a normalisation is made once more from its input, which
 * the normalisation's own gradient needs anyway, so that the forward pass keeps one of the two. Else t itself. */
um_status um_grads_value(um_grads *gs, um_tid t, um_tid *out);

/* Puts a node off until all others are there; it runs on gradients summed over the ranks. */
um_status um_grads_defer(um_grads *gs, const um_node *node);

/* The parameter that t is the standardised kernel of, or UM_NONE. Its gradient takes the place of the parameter's in the gradient
 * block until ranks have summed, under t's shape, and WS_BWD then works in place. */
um_tid um_grads_kernel_of(const um_graph *g, um_tid t);

/* Gradient of t as it stands, or UM_NONE when nothing has flowed into it. A slice's gradient is a slice of its parent's. */
um_status um_grads_get(um_grads *gs, um_tid t, um_tid *out);

/* Where the next contribution to t's gradient goes, and whether it adds to what is there. */
um_status um_grads_target(um_grads *gs, um_tid t, um_tid *out, bool *accumulate);

/* Appends `op` writing into t's gradient; nothing when t wants none. */
um_status um_grads_emit(um_grads *gs, um_tid t, um_op op, const char *name, const um_tid *in, const um_op_attr *attr);

static inline bool um_grads_wanted(const um_grads *gs, um_tid t)
{
    return t >= 0 && gs->graph->tensors[t].needs_grad;
}

/* One rule per forward op; node: a copy, since appending moves the list. */
typedef um_status (*um_grad_rule)(um_grads *gs, const um_node *node);
um_status um_grad_conv(um_grads *gs, const um_node *node);
um_status um_grad_convt(um_grads *gs, const um_node *node);
um_status um_grad_cdc_fold(um_grads *gs, const um_node *node);
um_status um_grad_bn_apply(um_grads *gs, const um_node *node);
um_status um_grad_maxpool(um_grads *gs, const um_node *node);
um_status um_grad_upsample(um_grads *gs, const um_node *node);
um_status um_grad_window(um_grads *gs, const um_node *node);
um_status um_grad_add(um_grads *gs, const um_node *node);
um_status um_grad_copy(um_grads *gs, const um_node *node);
um_status um_grad_bound(um_grads *gs, const um_node *node);
um_status um_grad_clip(um_grads *gs, const um_node *node);
um_status um_grad_act(um_grads *gs, const um_node *node);
um_status um_grad_gate(um_grads *gs, const um_node *node);
um_status um_grad_dropout(um_grads *gs, const um_node *node);
um_status um_grad_norm(um_grads *gs, const um_node *node);
um_status um_grad_ws(um_grads *gs, const um_node *node);
um_status um_grad_patches(um_grads *gs, const um_node *node);
um_status um_grad_attention(um_grads *gs, const um_node *node);
um_status um_grad_embed(um_grads *gs, const um_node *node);
um_status um_grad_avgpool(um_grads *gs, const um_node *node);
um_status um_grad_class_sums(um_grads *gs, const um_node *node);
um_status um_grad_align_sums(um_grads *gs, const um_node *node);
um_status um_grad_seg_loss(um_grads *gs, const um_node *node);

#endif
