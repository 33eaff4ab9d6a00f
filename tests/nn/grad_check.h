/* Gradients of a graph against finite differences (layers.md section 6), in f64. */
#ifndef UM_TESTS_NN_GRAD_CHECK_H
#define UM_TESTS_NN_GRAD_CHECK_H

#include "nn/net_fixture.h"

/* A graph that was differentiated and is ready to run on uploaded inputs. */
typedef struct grad_check {
    um_exec *exec;
    const um_graph *graph;
    um_params *params; /* NULL: only the image is probed */
    um_tid loss, x, dx; /* dx UM_NONE: parameters only */
    double *image;      /* what was uploaded to x; restored after probing */
    int64_t n;          /* images */
    int lanes, probes;  /* per tensor */
} grad_check;

typedef struct grad_result {
    int probes, kinks; /* kinks: probes that failed at h and were repeated at h/10 and h/100 */
    double worst;      /* largest accepted error */
} grad_result;

/* Error of a probe: |numeric - analytic| / max |analytic| of its tensor, beyond the rounding of the losses; below 1e-5 at
 * h = 1e-5 max(1, |v|). At most 1 % may need h/10 or h/100 (a ReLU or pool switched between v - h and v + h). Fails the test
 * otherwise. */
void grad_check_run(const grad_check *c, grad_result *result);

#endif
