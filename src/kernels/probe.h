/* What this machine's cores can do at best, measured: the yardsticks of `umed bench` (f32, the instruction set of the CPU backend). */
#ifndef UM_KERNELS_PROBE_H
#define UM_KERNELS_PROBE_H

#include <stdint.h>

/* Multiply-adds from registers on `threads` threads: the best of 20 bursts of some milliseconds. Returns FLOP/s, a multiply-add counted
 * as two. */
double um_probe_fma(int threads);

/* a = b + 3 c over n floats each, plain stores. Returns bytes/s, 12 bytes counted per element. */
double um_probe_triad(int threads, float *a, const float *b, const float *c, int64_t n);

#endif
