/* The peer onednn: convolutions by oneDNN (2.x) in its own favourite layout, without reorders.
 *
 * usage: onednn conv THREADS OP:N,H,W,C,K,TAPS...   OP: conv_fwd, conv_bwd_data, conv_bwd_weight
 * One round runs all of them once. The protocol is that of src/bench/peer.h. All primitives share three arrays, the largest that
 * any of them needs. */
#include <dnnl.h>
#include <omp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_WORK = 256, ROLES = 3, LINE = 64 };

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "onednn: %s failed\n", what);
    exit(1);
}
#define DNN(call) need((call) == dnnl_success, #call)

typedef struct work {
    char op[32];
    dnnl_dim_t n, h, w, c, k, taps;
    dnnl_primitive_t primitive;
    dnnl_primitive_desc_t desc;
    dnnl_exec_arg_t args[ROLES];
} work;

static dnnl_engine_t engine;
static dnnl_stream_t stream;
static void *pool[ROLES];
static size_t pool_bytes[ROLES];

static dnnl_memory_desc_t any(int n, const dnnl_dims_t dims)
{
    dnnl_memory_desc_t md;
    DNN(dnnl_memory_desc_init_by_tag(&md, n, dims, dnnl_f32, dnnl_format_tag_any));
    return md;
}

static void describe(work *w)
{
    const dnnl_dims_t x = {w->n, w->c, w->h, w->w}, k = {w->k, w->c, w->taps, w->taps}, y = {w->n, w->k, w->h, w->w};
    const dnnl_dims_t strides = {1, 1}, pad = {w->taps / 2, w->taps / 2};
    dnnl_memory_desc_t mx = any(4, x), mk = any(4, k), my = any(4, y);
    dnnl_convolution_desc_t fwd, bwd;
    dnnl_primitive_desc_t hint;
    bool data = strcmp(w->op, "conv_bwd_data") == 0, weight = strcmp(w->op, "conv_bwd_weight") == 0;
    DNN(dnnl_convolution_forward_desc_init(&fwd, dnnl_forward_training, dnnl_convolution_auto, &mx, &mk, NULL, &my, strides, pad,
                                           pad));
    DNN(dnnl_primitive_desc_create(&hint, &fwd, NULL, engine, NULL));
    if (data)
        DNN(dnnl_convolution_backward_data_desc_init(&bwd, dnnl_convolution_auto, &mx, &mk, &my, strides, pad, pad));
    if (weight)
        DNN(dnnl_convolution_backward_weights_desc_init(&bwd, dnnl_convolution_auto, &mx, &mk, NULL, &my, strides, pad, pad));
    if (data || weight) {
        DNN(dnnl_primitive_desc_create(&w->desc, &bwd, NULL, engine, hint));
        DNN(dnnl_primitive_desc_destroy(hint));
    } else {
        w->desc = hint;
    }
    DNN(dnnl_primitive_create(&w->primitive, w->desc));
}

/* The operand of a role (0 x, 1 weights, 2 y): which query, which argument. */
static void operand(const work *w, int role, dnnl_query_t *query, int *arg)
{
    static const dnnl_query_t plain[] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md};
    static const dnnl_query_t diff[] = {dnnl_query_diff_src_md, dnnl_query_diff_weights_md, dnnl_query_diff_dst_md};
    static const int plain_arg[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    static const int diff_arg[] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST};
    bool data = strcmp(w->op, "conv_bwd_data") == 0, weight = strcmp(w->op, "conv_bwd_weight") == 0;
    bool is_diff = (data && role != 1) || (weight && role != 0);
    *query = is_diff ? diff[role] : plain[role];
    *arg = is_diff ? diff_arg[role] : plain_arg[role];
}

static void measure_pools(const work *w)
{
    for (int role = 0; role < ROLES; role++) {
        dnnl_query_t query;
        int arg;
        operand(w, role, &query, &arg);
        size_t bytes = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(w->desc, query, 0));
        if (bytes > pool_bytes[role])
            pool_bytes[role] = bytes;
    }
}

static void allocate_pools(void)
{
    for (int role = 0; role < ROLES; role++) {
        size_t bytes = (pool_bytes[role] + 4095) / 4096 * 4096;
        float *p = pool[role] = aligned_alloc(4096, bytes);
        need(p != NULL, "allocation");
        for (size_t i = 0; i < bytes / 4; i++)
            p[i] = (float)((i * 2654435761u >> 8) % 65536) / 32768 - 1;
    }
}

static void bind(work *w)
{
    for (int role = 0; role < ROLES; role++) {
        dnnl_query_t query;
        operand(w, role, &query, &w->args[role].arg);
        DNN(dnnl_memory_create(&w->args[role].memory, dnnl_primitive_desc_query_md(w->desc, query, 0), engine, pool[role]));
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Of this program alone; ru_maxrss would count the process that started it. */
static double peak(void)
{
    char line[LINE];
    double kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    need(status != NULL, "/proc/self/status");
    while (fgets(line, sizeof line, status) && sscanf(line, "VmHWM: %lf", &kilobytes) != 1)
        continue;
    fclose(status);
    return 1024 * kilobytes;
}

static double run(const work *list, int n)
{
    double start = now();
    for (int i = 0; i < n; i++)
        DNN(dnnl_primitive_execute(list[i].primitive, stream, ROLES, list[i].args));
    DNN(dnnl_stream_wait(stream));
    return now() - start;
}

static void parse(work *w, const char *text)
{
    long long v[6];
    need(sscanf(text, "%31[a-z_]:%lld,%lld,%lld,%lld,%lld,%lld", w->op, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]) == 7, text);
    w->n = v[0], w->h = v[1], w->w = v[2], w->c = v[3], w->k = v[4], w->taps = v[5];
}

int main(int argc, char **argv)
{
    static work list[MAX_WORK];
    int n = argc - 3;
    char line[LINE];
    double before = peak();
    need(argc > 3 && strcmp(argv[1], "conv") == 0 && n <= MAX_WORK, "usage: conv THREADS OP:N,H,W,C,K,TAPS...");
    omp_set_num_threads(atoi(argv[2]));
    DNN(dnnl_engine_create(&engine, dnnl_cpu, 0));
    DNN(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
    for (int i = 0; i < n; i++) {
        parse(&list[i], argv[3 + i]);
        describe(&list[i]);
        measure_pools(&list[i]);
    }
    allocate_pools();
    for (int i = 0; i < n; i++)
        bind(&list[i]);
    const char *name = "";
    DNN(dnnl_primitive_desc_query(list[0].desc, dnnl_query_impl_info_str, 0, &name));
    const dnnl_version_t *v = dnnl_version();
    printf("ready oneDNN %d.%d.%d, %d threads, layout any, %s%s\n", v->major, v->minor, v->patch, omp_get_max_threads(), name,
           n > 1 ? ", ..." : "");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "run\n") == 0)
            printf("%.9f\n", run(list, n));
        else
            printf("%.0f %.0f\n", peak(), before);
        fflush(stdout);
    }
    return 0;
}
