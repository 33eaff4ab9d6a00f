/* Peers that do a whole step of a network (tests/bench/pytorch.py). */
#ifndef UM_BENCH_STEP_PEER_H
#define UM_BENCH_STEP_PEER_H

#include "bench/bench.h"

/* what: "step", or "pgd:K" for K steps of projected gradients a round. On a device the peer is told so, and the precision. */
um_status um_step_peer_start(um_peer **out, const um_bench_job *job, const um_bench_step_job *w, const char *what);

const char *um_precision_name(um_precision p);

/* The first line of a report: "unet, 3 channels, 224x224, batch 32: ", what, and the conditions. fma_flops: on a host, its rate
 * just now; NULL: not wanted, and then no conditions are told. */
um_status um_step_title(const um_bench_job *job, const um_bench_step_job *w, const char *what, double *fma_flops, um_text *out);

#endif
