/* A network on the CPU in f64 that is rounded where the CUDA backend rounds: what a node writes goes to the type that a device stores, and operands
 * of products to the type that they are multiplied in; sums stay exact. What a precision costs a network is how far this run is from the
 * exact one; what is left between this run and the backend's own is rounding to f32 inside ops, and defects. */
#ifndef UM_TESTS_GPU_ROUNDED_H
#define UM_TESTS_GPU_ROUNDED_H

#include "nn/net_fixture.h"

/* Loss of n uploaded images, forward and backward. net: "cpu", UM_F64, of the same specification as `stored`, the graph whose tensors have the types
 * of the device (um_exec_create gave them). */
double rounded_run(test_net *net, const um_graph *stored, um_precision precision, int64_t n, int lanes);

#endif
