/* Rounds: several ways to do the same work, timed in turns A, B, A, B, ... in one run, so that a busy machine slows all of them.
 * What counts is the median of the per-round ratios; the first round is dropped. Times of one way are in seconds. */
#ifndef UM_BENCH_ROUNDS_H
#define UM_BENCH_ROUNDS_H

#include "bench/peer.h"
#include "kernels/backend.h"

enum { UM_BENCH_WAYS = 4, UM_BENCH_MAX_ROUNDS = 99 };

typedef struct um_bench_way {
    const char *name;
    um_status (*run)(void *payload, double *seconds);
    void *payload;
} um_bench_way;

typedef struct um_bench_times {
    int n_ways, n_rounds;
    double seconds[UM_BENCH_WAYS][UM_BENCH_MAX_ROUNDS];
} um_bench_times;

um_status um_bench_rounds(um_bench_times *out, const um_bench_way *ways, int n_ways, int n_rounds);

double um_bench_median(const um_bench_times *t, int way);
double um_bench_least(const um_bench_times *t, int way);
/* Median over the rounds of seconds[of] / seconds[to]. */
double um_bench_ratio(const um_bench_times *t, int of, int to);
double um_bench_median_of(const double *values, int n);
void um_bench_quartiles_of(const double *values, int n,
                           double out[3]); /* lower, median, upper; between values where they fall there */

/* A way that is a peer; payload: the um_peer. */
um_status um_bench_run_peer(void *payload, double *seconds);

/* One line: instruction set, threads, load average, and the machine's best multiply-add rate just now. */
um_status um_bench_conditions(um_text *out, double *fma_flops);
/* The same for where a backend works: on a device that is told instead, and *fma_flops stays. */
um_status um_bench_machine(um_text *out, const um_backend *backend, double *fma_flops);

#endif
