/* Convolutions against a peer. */
#include "bench/bench.h"
#include "bench/op_case.h"
#include "bench/rounds.h"

#include <math.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/threads.h"

static const um_bench_shape standard[] = {
    {4, 224, 64, 64},  {4, 224, 128, 64}, {4, 112, 128, 128}, {4, 56, 256, 256},  {4, 28, 512, 512}, {4, 14, 1024, 1024},
    {16, 128, 16, 16}, {16, 128, 32, 16}, {16, 64, 32, 32},   {16, 32, 64, 64},   {16, 16, 128, 128}, {16, 8, 256, 256},
    {16, 64, 8, 8},    {16, 32, 16, 16},
};
static const um_op conv_ops[] = {UM_OP_CONV_FWD, UM_OP_CONV_BWD_DATA, UM_OP_CONV_BWD_WEIGHT};

static um_op_spec spec_of(um_op op, um_bench_shape s)
{
    um_view x = {NULL, UM_F32, s.n, s.side, s.side, s.c, s.c}, y = {NULL, UM_F32, s.n, s.side, s.side, s.k, s.k};
    um_view w = {NULL, UM_F32, 3, 3, s.c, s.k, s.k};
    um_op_values one = {.scale = 1}, small = {.scale = 1 / sqrt(9 * (double)s.c)};
    um_op_spec spec = {.op = op, .images = s.n};
    spec.call.attr.conv.stride = spec.call.attr.conv.pad = 1;
    if (op == UM_OP_CONV_BWD_WEIGHT)
        spec.call.in[0] = x, spec.call.in[1] = y, spec.call.out[0] = w;
    else
        spec.call.in[0] = op == UM_OP_CONV_FWD ? x : y, spec.call.in[1] = w, spec.call.out[0] = op == UM_OP_CONV_FWD ? y : x;
    spec.in[0] = spec.out[0] = one;
    spec.in[1] = op == UM_OP_CONV_BWD_WEIGHT ? one : small;
    return spec;
}

/* Result against f64 and the direct algorithm. */
static um_status check(const um_bench_job *job, um_op op, um_bench_shape s, double *error)
{
    um_status rc = UM_OK;
    um_op_spec spec = spec_of(op, s);
    double errors[UM_OP_MAX_OUT], limit = op == UM_OP_CONV_BWD_WEIGHT ? 5e-5 : 1e-5;
    UM_TRY(um_op_bench_check(job->backend, &spec, errors));
    *error = errors[0];
    if (!(*error <= limit))
        rc = um_fail(UM_E_NUMERIC, "%s %lld,%lld,%lld,%lld is off by %.2g from float64, more than %.0e", um_op_table[op].name,
                     (long long)s.n, (long long)s.side, (long long)s.c, (long long)s.k, *error, limit);
done:
    return rc;
}

static um_status start_peer(um_peer **out, const um_bench_job *job, um_op op, um_bench_shape s)
{
    char threads[16], work[96];
    snprintf(threads, sizeof threads, "%d", um_threads());
    snprintf(work, sizeof work, "%s:%lld,%lld,%lld,%lld,%lld,3", um_op_table[op].name, (long long)s.n, (long long)s.side,
             (long long)s.side, (long long)s.c, (long long)s.k);
    const char *args[] = {"conv", threads, work};
    return um_peer_start(out, job->peer, args, (int)UM_COUNT(args));
}

/* One row; ratio: to the peer, or to the peak of the machine. */
static um_status conv_row(const um_bench_job *job, um_op op, um_bench_shape s, double peak, double *ratio, um_text *out)
{
    um_status rc = UM_OK;
    um_op_spec spec = spec_of(op, s);
    um_op_bench ours = {0};
    um_peer *peer = NULL;
    um_bench_times t;
    double error = 0, flops = 18.0 * (double)(s.n * s.side * s.side * s.c * s.k);
    UM_TRY(check(job, op, s, &error));
    UM_TRY(um_op_bench_create(&ours, job->backend, &spec, 1));
    UM_TRY(um_op_bench_ready(&ours));
    if (job->peer)
        UM_TRY(start_peer(&peer, job, op, s));
    um_bench_way ways[] = {{"umed", um_op_bench_run, &ours}, {job->peer, um_bench_run_peer, peer}};
    UM_TRY(um_bench_rounds(&t, ways, peer ? 2 : 1, job->rounds));
    double rate = flops / um_bench_median(&t, 0);
    *ratio = peer ? um_bench_ratio(&t, 1, 0) : rate / peak;
    UM_TRY(um_text_add(out, "%-16s %3lld,%4lld,%5lld,%5lld %9.3f %8.0f %7.2f %9.1e", um_op_table[op].name, (long long)s.n,
                       (long long)s.side, (long long)s.c, (long long)s.k, 1e3 * um_bench_median(&t, 0), rate * 1e-9, rate / peak,
                       error));
    if (peer)
        UM_TRY(um_text_add(out, " %9.3f %7.2fx %s", 1e3 * um_bench_median(&t, 1), *ratio, um_peer_conditions(peer)));
    UM_TRY(um_text_add(out, "\n"));
    um_log(UM_LOG_INFO, "%s %lld,%lld,%lld,%lld: %.2f", um_op_table[op].name, (long long)s.n, (long long)s.side, (long long)s.c,
           (long long)s.k, *ratio);
done:
    um_peer_free(peer);
    um_op_bench_free(&ours);
    return rc;
}

um_status um_bench_conv(const um_bench_job *job, const um_bench_shape *shapes, int n_shapes, um_text *out)
{
    um_status rc = UM_OK;
    double peak = 0, sum = 0;
    int n = 0;
    if (!job->backend->on_host)
        UM_TRY(um_fail(UM_E_USAGE, "`umed bench op` measures the CPU's convolutions; a device's are in `umed bench step`"));
    if (n_shapes == 0)
        shapes = standard, n_shapes = (int)UM_COUNT(standard);
    UM_TRY(um_bench_conditions(out, &peak));
    UM_TRY(um_text_add(out, "\n%-16s %20s %9s %8s %7s %9s%s\n", "3x3 convolution", "n,side,c,k", "ms", "GFLOP/s", "of peak",
                       "error", job->peer ? "   peer ms   ratio" : ""));
    for (int i = 0; i < n_shapes; i++)
        for (size_t k = 0; k < UM_COUNT(conv_ops); k++, n++) {
            double ratio = 0;
            UM_TRY(conv_row(job, conv_ops[k], shapes[i], peak, &ratio, out));
            sum += log(ratio);
        }
    UM_TRY(um_text_add(out, "geometric mean over %d convolutions, median of %d rounds each, %s: %.2fx\n", n, job->rounds,
                       job->peer ? job->peer : "share of the peak", exp(sum / n)));
done:
    return rc;
}
