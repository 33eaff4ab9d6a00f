/* The kernels behind kernels/probe.h. */
#include "base/clock.h"
#include "kernels/cpu/real.h"
#include "kernels/cpu/table.h"

#include <omp.h>

enum { CHAINS = 12, STEPS = 1 << 16 };

/* CHAINS independent multiply-adds a step hide their latency. */
static real fma_steps(real factor)
{
    vreal acc[CHAINS];
    vreal f = v_set(factor), one = v_set(1);
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++) {
        acc[i] = v_set((real)i);
    }
    for (int s = 0; s < STEPS; s++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            acc[i] = acc[i] * f + one;
            __asm__ volatile("" : "+x"(acc[i]));
        }
    }
#pragma GCC unroll 12
    for (int i = 1; i < CHAINS; i++) {
        acc[0] += acc[i];
    }
    return acc[0][0];
}

/* One burst of all threads. */
static double fma_burst(int threads)
{
    enum { ROUNDS = 40 };
    real sink[64] = {0};
    double start = 0, end = 0;
#pragma omp parallel num_threads(threads)
    {
        real sum = fma_steps((real)0.5);
#pragma omp barrier
#pragma omp master
        start = um_now();
        for (int r = 0; r < ROUNDS; r++) {
            sum += fma_steps((real)0.5);
        }
#pragma omp barrier
#pragma omp master
        end = um_now();
        sink[omp_get_thread_num() % 64] = sum;
    }
    double flops = 2.0 * VL * CHAINS * STEPS * ROUNDS * threads;
    return sink[0] != 0 ? flops / (end - start) : 0;
}

/* The best of several: a core that was idle raises its clock first, and neighbours take time slices. */
static double fma_rate(int threads)
{
    enum { BURSTS = 20 };
    double best = 0;
    for (int b = 0; b < BURSTS; b++) {
        double rate = fma_burst(threads);
        best = rate > best ? rate : best;
    }
    return best;
}

static double triad_rate(int threads, void *to, const void *left, const void *right, int64_t n)
{
    real *a = to;
    const real *b = left, *c = right;
    double start = um_now();
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < n / VL; i++) {
        v_store(a + i * VL, v_load(b + i * VL) + 3 * v_load(c + i * VL));
    }
    return 3.0 * (double)(n / VL * VL) * sizeof(real) / (um_now() - start);
}

const um_cpu_probe UM_FN(um_cpu_probes) = {fma_rate, triad_rate};
