/* The graph: append-only lists of tensors and nodes with integer ids. Building and differentiating only append; the planner
 * assigns memory; the executor runs it. One graph can hold several networks (generator -> bound -> image -> surrogate -> loss).
 *
 * A tensor is an input, a parameter, a parameter's gradient or an activation. Activations and inputs are NHWC; a batched tensor has
 * as many images as the batch at hand, up to the graph's maximum. A tensor may be a channel slice of a parent: concatenation makes
 * its operands slices of one new tensor, so their producers write in place (graph_concat copies only what is a slice already). */
#ifndef UM_NN_GRAPH_H
#define UM_NN_GRAPH_H

#include "nn/param.h"

typedef int um_tid; /* tensor id; -1 = absent */
enum { UM_NONE = -1, UM_GRAPH_NAME = 64 };

/* UM_T_BLOCK: one flat block of all parameters of a network, or the pace of its updates. */
typedef enum um_tensor_kind { UM_T_INPUT, UM_T_PARAM, UM_T_GRAD, UM_T_ACT, UM_T_BLOCK } um_tensor_kind;

typedef struct um_tensor {
    char name[UM_GRAPH_NAME];
    um_tensor_kind kind;
    um_dtype dtype;
    bool batched;        /* n is the batch; else n is fixed (weights, sums) */
    int64_t n, h, w, c;  /* n: the maximum batch when batched */
    um_tid parent;       /* channel slice of this tensor, from c_offset; UM_NONE: stands alone */
    int64_t c_offset;
    bool sliced;         /* some tensor is a slice of this one */
    um_params *params;   /* UM_T_PARAM, UM_T_GRAD, UM_T_BLOCK: borrowed */
    int param_index;     /* UM_T_BLOCK: um_param_block, or UM_BLOCK_COUNT for the pace */
    bool trainable;      /* UM_T_PARAM: wants a gradient in this graph */
    bool needs_grad;     /* set by um_graph_backward */
    bool keep;           /* read after the run: its memory is never reused */
    int producer;        /* node that writes it first; -1 */
} um_tensor;

typedef struct um_node {
    um_op op;
    char name[UM_GRAPH_NAME];
    um_tid in[UM_OP_MAX_IN], out[UM_OP_MAX_OUT];
    um_op_attr attr;
    bool accumulate;
} um_node;

typedef struct um_graph {
    um_dtype real;
    int64_t max_batch;
    int lanes; /* its batches are cut into this many lanes of nearly equal size; 0: anything. Sums over the batch need room per lane */
    bool bn_per_lane; /* BatchNorm in training: statistics of every lane for itself, so that ranks do not wait for each other's */
    bool recompute; /* um_graph_backward makes the output of a normalisation anew instead of keeping it; true unless its owner says no, as on a
                     * device, where passes over memory cost more than memory */
    um_tensor *tensors;
    int n_tensors, cap_tensors;
    um_node *nodes;
    int n_nodes, cap_nodes;
    um_node *late; /* um_graph_late */
    int n_late, cap_late;
    int n_forward; /* nodes before the backward pass; 0 while there is none */
    int n_local;   /* nodes from here on read parameter gradients summed over all ranks, or are late; 0 like n_forward */
} um_graph;

um_status um_graph_create(um_graph **out, um_dtype real, int64_t max_batch);
void um_graph_free(um_graph *g);

/* Tensors. A parameter asked for twice is one tensor. Pointers into g->tensors do not survive an append; ids do. */
um_status um_graph_input(um_graph *g, um_tid *out, const char *name, int64_t h, int64_t w, int64_t c);
um_status um_graph_param(um_graph *g, um_tid *out, um_params *params, int index, bool trainable);
um_status um_graph_param_grad(um_graph *g, um_tid *out, um_params *params, int index); /* its place in the gradient block */
um_status um_graph_act(um_graph *g, um_tid *out, const char *name, um_dtype dtype, bool batched, int64_t n, int64_t h, int64_t w,
                       int64_t c);
um_status um_graph_slice(um_graph *g, um_tid *out, um_tid parent, int64_t c_offset, int64_t c);

/* Appends a node; unused operands are UM_NONE. in, out: arrays of the op's n_in and n_out ids. out_index: may be NULL. */
um_status um_graph_node(um_graph *g, um_op op, const char *name, const um_tid *in, const um_tid *out, const um_op_attr *attr,
                        bool accumulate);

/* A node for the end of the graph: what nothing in it waits for, but ranks have to exchange. um_graph_backward appends them last; a
 * graph without a backward pass needs um_graph_end. */
um_status um_graph_late(um_graph *g, um_op op, const char *name, const um_tid *in, const um_tid *out, const um_op_attr *attr);
um_status um_graph_end(um_graph *g);

/* y = [a, b] along channels; same batch and extents (UM_E_BUG otherwise). */
um_status um_graph_concat(um_graph *g, um_tid *out, um_tid a, um_tid b, const char *name);
um_status um_graph_concat_all(um_graph *g, um_tid *out, const um_tid *parts, int n, const char *name);

/* Appends the backward pass of `loss` (the output of um_nn_seg_loss or um_nn_align_sums): gradients of every trainable parameter, and of the tensors in
 * `wanted` (n_wanted ids; their gradients come back in wanted_grads, kept). Only what leads to those is differentiated: a
 * frozen network costs no weight gradients, and an image nobody wants the gradient of costs no first-layer dx. Nodes from n_local on
 * derive gradients from others that are sums over the batch: with several ranks, sum the gradient block before they run. */
um_status um_graph_backward(um_graph *g, um_tid loss, const um_tid *wanted, int n_wanted, um_tid *wanted_grads);

/* Appends the update of all parameters of a network by its gradients (ADAM), after the backward pass: a run to the end makes a training step. Before
 * each, um_params_next. No further parameter may be asked for. */
um_status um_graph_update(um_graph *g, um_params *params, const um_adam_attr *attr);

/* Invariants: every operand exists, is written before it is read, and shapes fit the slices. UM_E_BUG naming the node. */
um_status um_graph_check(const um_graph *g);

/* Multiply-adds of convolutions and matrix products times two, for one image; nodes [first, last). */
double um_graph_flops(const um_graph *g, int first, int last);

static inline um_tid um_graph_root(const um_graph *g, um_tid t)
{
    while (g->tensors[t].parent >= 0)
        t = g->tensors[t].parent;
    return t;
}

#endif
