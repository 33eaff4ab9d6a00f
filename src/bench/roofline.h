/* What a step must at least cost on a device: the bytes and operations of every node, and the time that its slower side takes. */
#ifndef UM_BENCH_ROOFLINE_H
#define UM_BENCH_ROOFLINE_H

#include "base/text.h"
#include "nn/graph.h"

/* Bytes that the CUDA backend moves for one call (reads and writes of operands, copies and repacked filters of products
 * (kernels/cuda/conv.c), passes of sums over their input). Extents and types of the operands count, their data may be NULL. */
double um_call_bytes(um_op op, const um_op_call *call);

/* The same for one node on n images, and multiply-adds times two. */
typedef struct um_node_cost {
    double bytes, flops;
    bool narrow; /* a product with bf16 operands on both sides */
} um_node_cost;
um_node_cost um_node_cost_of(const um_graph *g, const um_node *node, int64_t n);

/* A table per op for the first of the devices known here, then a line per device with the time of the step: sum over the nodes of
 * max(bytes / bandwidth, operations / rate). g: narrowed for the precision. */
um_status um_roofline_print(const um_graph *g, int64_t n, um_precision precision, um_text *out);

#endif
