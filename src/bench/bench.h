/* What `umed bench` measures. Every function checks results before it times them, times in rounds (rounds.h), and appends a table
 * to `out`: conditions first, one row per case, and last a line that ends in the ratio to the peer ("1.83x"; above 1: faster than
 * the peer). A peer that is asked for and missing is an error. */
#ifndef UM_BENCH_BENCH_H
#define UM_BENCH_BENCH_H

#include "base/opt.h"
#include "bench/peer.h"
#include "kernels/backend.h"
#include "mpi/comm.h"

typedef struct um_bench_job {
    um_backend *backend;         /* f32; its conv_algo is what is measured; borrowed */
    const um_settings *settings; /* borrowed */
    const char *peer;            /* NULL: none, then ratios are to the machine's own peak */
    int rounds;
    um_comm *comm;               /* all ranks; NULL: one. Only um_bench_comm runs on several */
} um_bench_job;

/* A convolution 3x3: n images of side x side, c to k channels. */
typedef struct um_bench_shape {
    int64_t n, side, c, k;
} um_bench_shape;

/* Forward, backward-data and backward-weight of every shape (n_shapes = 0: the list of docs/performance.md) against the peer.
 * Errors: UM_E_NUMERIC when a result is further from float64 than 1e-5 (forward, data) or 5e-5 (weights), relative L2. */
um_status um_bench_conv(const um_bench_job *job, const um_bench_shape *shapes, int n_shapes, um_text *out);

/* The passes between convolutions on n x side x side x c (n_shapes = 0: on a host the list of docs/performance.md, on a device
 * 32,224,64 and 32,28,512), each as a share of what goes through the memory in as many bytes (roofline.h) and the same round: on
 * a host the triad a = b + 3 c, on a device a copy within it. Activations are stored as a graph would have them (nn/narrow.h).
 * Passes below 4 MiB are a matter of launches and caches: told and not counted. Errors: UM_E_NUMERIC when a result is further
 * from float64 than rounding its output explains; UM_E_USAGE when nothing counts. */
um_status um_bench_passes(const um_bench_job *job, const um_bench_shape *shapes, int n_shapes, um_text *out);

typedef struct um_bench_step_job {
    const char *model; /* of um_model_find, or "umed": a generator step of UMed */
    int64_t side, batch, channels;
} um_bench_step_job;

/* A training step (forward, loss, backward, Adam). Peers: pytorch runs the same step, onednn the convolutions of the step alone.
 * On a device also the share of a step in which it waits for the host (against steps that are queued without a look at their
 * loss), and with the peer pytorch the share of the rate of its matrix products in the same rounds. */
um_status um_bench_step(const um_bench_job *job, const um_bench_step_job *step, um_text *out);

/* A step of images in their l-infinity ball along the sign of the gradient of their losses (train/pgd.h): a frozen network in
 * evaluation, no weight gradients. A turn takes 10 steps from and to images in host memory, which counts. Peer: pytorch takes the
 * same steps of images that stay with it. Errors: UM_E_NUMERIC when a gradient is far from float64, or steps leave the ball or do
 * not climb the loss. */
um_status um_bench_pgd(const um_bench_job *job, const um_bench_step_job *step, um_text *out);

/* What several ranks lose by working together (performance.md 7), in turns within every round:
 *     alone      every rank trains a network of its own on batches of step->batch, all at once: the same load on the machine
 *     together   all ranks train one network on batches of ranks * step->batch
 *     cells      every rank trains a network of its own on batches of ranks * step->batch, as groups of one rank do in a sweep
 * A turn takes as long as its slowest rank. Weak-scaling efficiency = alone / together; exposed communication = the share of
 * `together` that a rank spends in exchanges, of the rank that spends least: the others wait for it as well. Where devices
 * exchange by themselves (NCCL) it is told as a bound, 1 - alone / together. No peer. Errors: UM_E_USAGE with one rank, and when
 * the ranks' weights differ in the end. */
um_status um_bench_comm(const um_bench_job *job, const um_bench_step_job *step, um_text *out);

/* Runs nothing: bytes and operations of the step's ops on the CUDA backend in a precision, the least time that devices known by
 * name need for them (roofline.h), and the memory of the step. job->backend: any f32 one; the peer is not asked. */
um_status um_bench_step_plan(const um_bench_job *job, const um_bench_step_job *step, um_precision precision, um_text *out);

#endif
