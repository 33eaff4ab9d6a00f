#include "bench/rounds.h"

#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "kernels/probe.h"

um_status um_bench_rounds(um_bench_times *out, const um_bench_way *ways, int n_ways, int n_rounds)
{
    um_status rc = UM_OK;
    UM_REQUIRE(n_ways >= 1 && n_ways <= UM_BENCH_WAYS && n_rounds >= 1 && n_rounds <= UM_BENCH_MAX_ROUNDS);
    out->n_ways = n_ways;
    out->n_rounds = n_rounds;
    for (int r = -1; r < n_rounds; r++)
        for (int i = 0; i < n_ways; i++) {
            double seconds = 0;
            UM_TRY(ways[i].run(ways[i].payload, &seconds));
            if (r >= 0)
                out->seconds[i][r] = seconds;
        }
done:
    return rc;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

void um_bench_quartiles_of(const double *values, int n, double out[3])
{
    double sorted[UM_BENCH_MAX_ROUNDS];
    memcpy(sorted, values, (size_t)n * sizeof *values);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    for (int q = 0; q < 3; q++) {
        int below = (q + 1) * (n - 1) / 4;
        double part = (q + 1) * (n - 1) / 4.0 - below;
        out[q] = sorted[below] + (below + 1 < n ? part * (sorted[below + 1] - sorted[below]) : 0);
    }
}

double um_bench_median_of(const double *values, int n)
{
    double quartiles[3];
    um_bench_quartiles_of(values, n, quartiles);
    return quartiles[1];
}

double um_bench_median(const um_bench_times *t, int way)
{
    return um_bench_median_of(t->seconds[way], t->n_rounds);
}

double um_bench_least(const um_bench_times *t, int way)
{
    double least = t->seconds[way][0];
    for (int r = 1; r < t->n_rounds; r++)
        if (t->seconds[way][r] < least)
            least = t->seconds[way][r];
    return least;
}

double um_bench_ratio(const um_bench_times *t, int of, int to)
{
    double ratios[UM_BENCH_MAX_ROUNDS];
    for (int r = 0; r < t->n_rounds; r++)
        ratios[r] = t->seconds[of][r] / t->seconds[to][r];
    return um_bench_median_of(ratios, t->n_rounds);
}

um_status um_bench_run_peer(void *payload, double *seconds)
{
    return um_peer_run(payload, seconds);
}

um_status um_bench_conditions(um_text *out, double *fma_flops)
{
    double load[3] = {0};
    int threads = um_threads();
    getloadavg(load, 3);
    *fma_flops = um_probe_fma(threads);
    return um_text_add(out, "%s, %d thread%s of %d cores, load %.1f, multiply-adds from registers %.0f GFLOP/s", um_cpu_isa(),
                       threads, threads > 1 ? "s" : "", um_cores(), load[0], *fma_flops * 1e-9);
}

um_status um_bench_machine(um_text *out, const um_backend *backend, double *fma_flops)
{
    return backend->on_host ? um_bench_conditions(out, fma_flops) : um_text_add(out, "%s", um_backend_describe(backend));
}
