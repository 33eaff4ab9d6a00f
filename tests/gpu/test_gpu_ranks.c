/* One training on several ranks with the CUDA backend, under mpirun, beside the same training on one rank: on the CPU where the device is
 * a stand-in, else on the device. Every way for sums to go from rank to rank (mpi/reducer.h) that is possible here; those in order give the
 * same bits as each other. On a device, two ranks share it, and NCCL is met with one rank. */
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/threads.h"
#include "bench/bench.h"
#include "gpu/gpu_test.h"
#include "grid/tables.h"
#include "io/import.h"
#include "kernels/cuda_host/cuda_host.h"
#include "kernels/queue.h"
#include "nn/net_fixture.h"
#include "protect/protector.h"
#include "train/exchange.h"
#include "train/options.h"
#include "train/segmenter.h"

enum { IMAGES = 6, SIDE = 32, PIXELS = SIDE * SIDE, STEPS = 3, LANES = 4, BUCKET = 1 << 16 };

static um_comm *world;
static um_backend *gpu, *reference;
static float images[IMAGES * PIXELS], masks[IMAGES * PIXELS];

#ifdef UM_CUDA_HOST
/* Here device memory is the host's, which every MPI takes. */
#include "mpi/comm_internal.h"
static bool aware = true;
bool um_comm_link_takes_device(void)
{
    return aware;
}
#endif

static um_segmenter *make(um_backend *b, const char *model, const um_spread *spread)
{
    um_segmenter_config config = {.net = net_config(8, 1, 1), .h = SIDE, .w = SIDE, .max_batch = IMAGES, .spread = *spread,
                                  .loss = {.w_ce = 1, .w_dice = 1, .smooth = 1e-5},
                                  .adam = {.lr = 1e-4, .b1 = 0.9, .b2 = 0.999, .eps = 1e-8}, .seed = 5};
    um_segmenter *s = NULL;
    assert_ok(um_model_find(&config.model, model));
    assert_ok(um_segmenter_create(&s, b, &config));
    assert_ok(um_params_init(s->params, 3, UM_RNG_TEST));
    return s;
}

/* Step k on this rank's share: batches of 6, 5 and 2 images, so that lanes and ranks may have none. */
static um_status try_step(um_segmenter *s, int k, double *loss)
{
    static const int64_t sizes[] = {6, 5, 2};
    um_share share;
    double all[3];
    int64_t n = sizes[k % 3];
    um_segmenter_share(s, n, &share);
    um_status rc = um_segmenter_step(s, images + share.first * PIXELS, masks + share.first * PIXELS, n, all);
    *loss = all[0];
    return rc;
}

static double *gradients(const um_segmenter *s)
{
    double *out = NULL, *at;
    assert_ok(UM_NEW_ARRAY(out, s->params->n_values));
    at = out;
    for (int i = 0; i < s->params->n; i++)
        if (s->params->list[i].kind != UM_PARAM_BUFFER) {
            assert_ok(um_params_read(s->params, i, UM_BLOCK_GRAD, at));
            at += s->params->list[i].count;
        }
    return out;
}

static double distance(const um_segmenter *a, const um_segmenter *b)
{
    double *x = gradients(a), *y = gradients(b), far = 0, size = 0;
    for (int64_t i = 0; i < a->params->n_values; i++)
        far += (x[i] - y[i]) * (x[i] - y[i]), size += y[i] * y[i];
    um_free(x);
    um_free(y);
    return sqrt(far / size);
}

static um_reducer *open_path(um_reduce_path path, bool fast)
{
    um_reducer *r = NULL;
    assert_ok(um_reducer_open(&r, world, gpu, &(um_reducer_config){.path = path, .fast = fast, .bucket_bytes = BUCKET}));
    assert_int_equal(um_reducer_path(r), path);
    assert_true(um_comm_size(world) == 1 || um_comm_reducer(world, gpu) == r);
    assert_null(um_comm_reducer(world, reference));
    return r;
}

/* The first steps stay within rounding of one rank's; hash: of the weights after the last. */
static void train_together(const char *model, um_reduce_path path, bool fast, char hash[65])
{
    um_spread alone = {.lanes = LANES}, together = {.comm = world, .lanes = fast ? um_comm_size(world) : LANES, .fast = fast};
    um_reducer *r = open_path(path, fast);
    um_segmenter *a = make(reference, model, &alone), *t = make(gpu, model, &together);
    for (int k = 0; k < STEPS; k++) {
        double expected = 0, got = 0;
        assert_ok(try_step(a, k, &expected));
        assert_ok(try_step(t, k, &got));
        if (!(fabs(got - expected) <= 1e-4 * fabs(expected)))
            fail_msg("%s, path %d: loss %.9g of step %d instead of %.9g", model, path, got, k, expected);
        if (k == 0 && !(distance(t, a) <= 1e-4))
            fail_msg("%s, path %d: gradients of the first step differ by %.3g", model, path, distance(t, a));
    }
    assert_ok(um_params_sha256(t->params, hash));
    assert_ok(um_comm_same(world, hash, 65, "weights after steps together"));
    um_segmenter_free(a);
    um_segmenter_free(t);
    um_reducer_close(r);
    assert_null(um_comm_reducer(world, gpu));
}

static const char *const models[] = {"unet", "cdc_unet"};

static bool possible(um_reduce_path path)
{
#ifdef UM_CUDA_HOST
    return path != UM_REDUCE_NCCL || UM_TEST_NCCL;
#else
    return path == UM_REDUCE_STAGED;
#endif
}

static void every_path_in_order_gives_one_result(void **state)
{
    (void)state;
    for (size_t m = 0; m < UM_COUNT(models); m++) {
        char staged[65] = "", other[65] = "";
        train_together(models[m], UM_REDUCE_STAGED, false, staged);
        for (int path = UM_REDUCE_NCCL; path <= UM_REDUCE_MPI; path++)
            if (possible((um_reduce_path)path)) {
                train_together(models[m], (um_reduce_path)path, false, other);
                assert_string_equal(other, staged);
            }
    }
}

static void every_path_in_any_order_is_close(void **state)
{
    (void)state;
    char hash[65];
    for (int path = UM_REDUCE_NCCL; path <= UM_REDUCE_STAGED; path++)
        if (possible((um_reduce_path)path))
            train_together("unet", (um_reduce_path)path, true, hash);
}

/* Every element is in one bucket, which comes behind all that has to do with it; some come long before the end. */
static void buckets_cover_what_is_complete(void **state)
{
    (void)state;
    for (size_t m = 0; m < UM_COUNT(models); m++) {
        um_spread spread = {.lanes = LANES};
        um_segmenter *s = make(gpu, models[m], &spread);
        const um_graph *g = s->train_graph;
        um_grad_bucket *b = NULL;
        int n = 0;
        char *seen = NULL;
        assert_ok(um_grad_buckets(&b, &n, g, BUCKET));
        assert_ok(UM_NEW_ARRAY(seen, s->params->n_values));
        assert_true(n > 3 && b[0].ready < g->n_local - 10 && b[n - 1].ready <= g->n_local);
        for (int k = 0; k < n; k++) {
            assert_true(b[k].n > 0 && b[k].n <= BUCKET / 4 && (k == 0 || b[k - 1].ready <= b[k].ready));
            for (int64_t i = b[k].begin; i < b[k].begin + b[k].n; i++)
                assert_int_equal(seen[i]++, 0);
            for (int i = b[k].ready; i < g->n_local; i++)
                for (int o = 0; o < UM_OP_MAX_OUT; o++) {
                    um_tid t = g->nodes[i].out[o] < 0 ? UM_NONE : um_graph_root(g, g->nodes[i].out[o]);
                    if (t < 0 || g->tensors[t].kind != UM_T_GRAD)
                        continue;
                    const um_param *q = &s->params->list[g->tensors[t].param_index];
                    assert_true(q->offset >= b[k].begin + b[k].n || q->offset + q->count <= b[k].begin);
                }
        }
        for (int64_t i = 0; i < s->params->n_values; i++)
            assert_int_equal(seen[i], 1);
        um_free(seen);
        um_free(b);
        um_segmenter_free(s);
    }
}

/* Losses of a fit of UMed: three networks, two of which learn in one step. */
static void fit_umed(um_backend *b, um_comm *comm, const um_settings *settings, um_curves *curves)
{
    um_dataset *d = NULL;
    um_rows rows = {0};
    void *state = NULL;
    const um_protector_def *def = NULL;
    assert_ok(um_protector_find(&def, "umed"));
    assert_ok(um_import_phantoms(&d, IMAGES, SIDE, 1, 3, NULL));
    assert_ok(um_rows_select(&rows, d, -1, 0, 0));
    um_protect_job job = {.settings = settings, .backend = b, .data = d, .rows = &rows, .seed = 5, .label = "umed", .comm = comm};
    assert_ok(def->fit(&job, &state, curves));
    def->free(state);
    um_rows_free(&rows);
    um_dataset_free(d);
}

static void umed_fits_on_several_ranks(void **state)
{
    (void)state;
    static const char *const small[] = {"umed.gen.base_width=8", "model.base_width=8", "umed.schedule.cycles=1", "umed.batch=4"};
    static const char *const names[] = {"surrogate_loss", "generator_loss"};
    if (um_comm_size(world) != 2) /* minutes, with a stand-in */
        skip();
    um_settings *settings = NULL;
    um_curves alone = {0}, together = {0};
    um_reducer *r = open_path(UM_REDUCE_STAGED, false);
    assert_ok(um_settings_create(&settings, um_option_tables()));
    for (size_t i = 0; i < UM_COUNT(small); i++)
        assert_ok(um_settings_assign(settings, small[i], "test"));
    fit_umed(reference, NULL, settings, &alone);
    fit_umed(gpu, world, settings, &together);
    for (size_t i = 0; i < UM_COUNT(names); i++) {
        const um_curve *a = um_curves_find(&alone, names[i]), *t = um_curves_find(&together, names[i]);
        assert_true(a && t && a->n == t->n && a->n > 0);
        for (int k = 0; k < a->n; k++)
            if (!(fabs(t->y[k] - a->y[k]) <= 1e-3 * fabs(a->y[k])))
                fail_msg("%s %.9g of turn %d instead of %.9g", names[i], t->y[k], k, a->y[k]);
    }
    um_curves_free(&alone);
    um_curves_free(&together);
    um_settings_free(settings);
    um_reducer_close(r);
}

/* Of numbers that rank r chose: element i of rank r is r + i / 8. */
static void check_sums(um_reduce_path path, bool fast)
{
    enum { N = 1000 };
    um_reducer *r = open_path(path, fast);
    int size = um_comm_size(world);
    float host[N];
    double sums[N], *wide = NULL;
    float *narrow = NULL;
    assert_ok(gpu->iface->alloc(gpu, (void **)&wide, sizeof sums));
    assert_ok(gpu->iface->alloc(gpu, (void **)&narrow, 8 * sizeof host));
    for (int i = 0; i < N; i++)
        sums[i] = host[i] = (float)(um_comm_rank(world) + i / 8.0);
    assert_ok(gpu->iface->upload(gpu, wide, sums, sizeof sums));
    for (int k = 0; k < 8; k++) /* more than the ring has */
        assert_ok(gpu->iface->upload(gpu, narrow + k * N, host, sizeof host));
    assert_ok(um_reducer_sum(r, wide, UM_F64, N, "test"));
    for (int k = 0; k < 8; k++)
        assert_ok(um_reducer_start(r, narrow + k * N, UM_F32, N, "test"));
    assert_ok(um_reducer_join(r));
    assert_ok(um_reducer_settle(r));
    assert_ok(gpu->iface->download(gpu, sums, wide, sizeof sums));
    for (int i = 0; i < N; i++)
        assert_true(sums[i] == size * (size - 1) / 2 + size * (i / 8.0));
    for (int k = 0; k < 8; k++) {
        assert_ok(gpu->iface->download(gpu, host, narrow + k * N, sizeof host));
        for (int i = 0; i < N; i++)
            assert_true((double)host[i] == size * (size - 1) / 2 + size * (i / 8.0));
    }
    gpu->iface->free(gpu, wide);
    gpu->iface->free(gpu, narrow);
    um_reducer_close(r);
}

#if defined(UM_CUDA_HOST) && UM_TEST_NCCL
/* Small sums have a communicator, buckets another one; there are small sums behind buckets of the same step; and all calls come
 * in one order on all ranks. */
static void small_sums_do_not_wait_for_buckets(void **state)
{
    (void)state;
    um_spread together = {.comm = world, .lanes = um_comm_size(world), .fast = true};
    double loss;
    if (um_comm_size(world) == 1)
        skip();
    um_host_count = (um_host_counts){.pinned = um_host_count.pinned};
    um_reducer *r = open_path(UM_REDUCE_NCCL, true);
    um_segmenter *s = make(gpu, "unet", &together);
    um_grad_bucket *b = NULL;
    int n = 0, small = 0, buckets = 0;
    assert_ok(um_grad_buckets(&b, &n, s->train_graph, BUCKET));
    assert_int_equal(um_host_count.nccl_comms, 2);
    assert_ok(try_step(s, 0, &loss));
    um_host_traced = (um_host_trace){.on = true};
    assert_ok(try_step(s, 0, &loss));
    um_host_traced.on = false;
    const char *first_bucket = strchr(um_host_traced.text, '1'), *last_small = strrchr(um_host_traced.text, '0');
    for (int i = 0; i < um_host_traced.n; i++)
        small += um_host_traced.text[i] == '0', buckets += um_host_traced.text[i] == '1';
    assert_int_equal(buckets, n);
    assert_true(small > 10 && first_bucket && last_small && last_small > first_bucket);
    assert_ok(um_comm_same(world, um_host_traced.text, (size_t)um_host_traced.n, "order of the sums"));
    um_free(b);
    um_segmenter_free(s);
    um_reducer_close(r);
}

/* A library that does not keep several communicators in order gets one. */
static void an_old_library_has_one_communicator(void **state)
{
    (void)state;
    um_host_nccl_version = 22599;
    um_host_count.nccl_comms = 0;
    check_sums(UM_REDUCE_NCCL, true);
    check_sums(UM_REDUCE_NCCL, false);
    assert_int_equal(um_host_count.nccl_comms, 2); /* of two reducers */
    um_host_nccl_version = 22809;
}
#endif

static void sums_are_exact(void **state)
{
    (void)state;
    for (int fast = 0; fast < 2; fast++)
        for (int path = UM_REDUCE_NCCL; path <= UM_REDUCE_STAGED; path++)
            if (possible((um_reduce_path)path))
                check_sums((um_reduce_path)path, fast);
}

/* On a device: the library itself, without a second rank. */
static void nccl_starts(void **state)
{
    (void)state;
#ifndef UM_CUDA_HOST
    if (um_comm_size(world) == 1 && UM_TEST_NCCL) {
        check_sums(UM_REDUCE_NCCL, false);
        check_sums(UM_REDUCE_NCCL, true);
        return;
    }
#endif
    skip();
}

static void ranks_on_one_device_are_seen(void **state)
{
    (void)state;
    um_device_places p;
    int size = um_comm_size(world), shared = size > 1 ? size : 0;
    um_reducer *r = NULL;
    um_backend *b = gpu;
#ifdef UM_CUDA_HOST
    assert_ok(um_comm_devices(world, gpu, &p));
    assert_int_equal(p.n_shared, 0);
    um_host_one_device = true;
    b = NULL;
    assert_ok(um_backend_create(&b, "cuda", UM_F32));
    um_host_one_device = false;
    aware = um_comm_rank(world) != size - 1; /* one that cannot is enough */
#endif
    assert_ok(um_comm_devices(world, b, &p));
    assert_int_equal(p.n_shared, shared);
    assert_int_equal(p.most_sharing, size);
    if (size > 1) {
        assert_ok(um_reducer_open(&r, world, b, &(um_reducer_config){.bucket_bytes = BUCKET}));
        assert_int_equal(um_reducer_path(r), UM_REDUCE_STAGED);
        print_message("%s\n", um_reducer_describe(r));
        um_reducer_close(r);
    }
#ifdef UM_CUDA_HOST
    aware = true;
    um_backend_free(b);
#endif
}

/* A rank that fails by itself while the others are in a step: they stop waiting, with its message. */
static void a_failure_reaches_those_who_wait(void **state)
{
    (void)state;
    int size = um_comm_size(world);
    um_spread together = {.comm = world, .lanes = LANES};
    um_reducer *r = open_path(UM_REDUCE_STAGED, false);
    um_segmenter *s = make(gpu, "unet", &together);
    double loss = 0;
    um_status rc = size > 1 && um_comm_rank(world) == size - 1 ? um_fail(UM_E_DATA, "a bad sector") : try_step(s, 0, &loss);
    rc = um_comm_agree(world, rc);
    assert_int_equal(rc, size > 1 ? UM_E_DATA : UM_OK);
    assert_true(size == 1 || strstr(um_error_text(), "a bad sector"));
    if (size > 1 && um_comm_rank(world) != size - 1)
        assert_int_equal(um_reducer_join(r), UM_E_COMM);
    um_segmenter_free(s);
    um_reducer_close(r);
}

/* Who knows what ranks wait for says it; who does not says how much it can be. */
static void bench_with(um_reduce_path path, const char *line, const char *not)
{
    static const um_opt_table *const tables[] = {&um_run_table, &um_model_table, &um_loss_table, NULL};
    const um_bench_step_job step = {.model = "unet", .side = 16, .batch = 2, .channels = 1};
    um_settings *settings = NULL;
    um_text text = {0};
    um_reducer *r = open_path(path, false);
    assert_ok(um_settings_create(&settings, tables));
    assert_ok(um_settings_set(settings, "model.base_width", "2", "test"));
    assert_ok(um_bench_comm(&(um_bench_job){.backend = gpu, .settings = settings, .rounds = 1, .comm = world}, &step, &text));
    assert_non_null(strstr(um_text_get(&text), line));
    assert_null(strstr(um_text_get(&text), not));
    um_text_free(&text);
    um_settings_free(settings);
    um_reducer_close(r);
}

static void exposed_communication_is_what_can_be_known(void **state)
{
    static const char known[] = "exposed communication, of the step together", bound[] = "exposed communication at most";
    (void)state;
    if (um_comm_size(world) != 2)
        skip();
    bench_with(UM_REDUCE_STAGED, known, bound);
    if (possible(UM_REDUCE_NCCL))
        bench_with(UM_REDUCE_NCCL, bound, known);
}

static int open_world(void **state)
{
    (void)state;
    static double x[IMAGES * PIXELS], y[IMAGES * PIXELS];
    um_threads_set(1);
    um_log_set_level(UM_LOG_ERROR);
    if (um_comm_open(&world, NULL, NULL) != UM_OK)
        return -1;
    um_backend_set_place(um_comm_rank_on_host(world));
    um_comm_set_deadline(world, 60);
    if (um_backend_create(&gpu, "cuda", UM_F32) != UM_OK)
        return -1;
#ifdef UM_CUDA_HOST
    if (um_backend_create(&reference, "cpu", UM_F32) != UM_OK)
        return -1;
#else
    if (um_backend_create(&reference, "cuda", UM_F32) != UM_OK)
        return -1;
#endif
    net_example(x, y, IMAGES, SIDE, SIDE, 1);
    for (int i = 0; i < IMAGES * PIXELS; i++)
        images[i] = (float)x[i], masks[i] = (float)y[i];
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    um_backend_free(gpu);
    um_backend_free(reference);
#ifdef UM_CUDA_HOST
    if (um_host_count.pinned != 0)
        return -1;
#endif
    um_comm_close(world);
    return 0;
}

int main(void)
{
    gpu_need_device();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_cover_what_is_complete),
        cmocka_unit_test(nccl_starts),
        cmocka_unit_test(sums_are_exact),
#if defined(UM_CUDA_HOST) && UM_TEST_NCCL
        cmocka_unit_test(small_sums_do_not_wait_for_buckets),
        cmocka_unit_test(an_old_library_has_one_communicator),
#endif
        cmocka_unit_test(every_path_in_order_gives_one_result),
        cmocka_unit_test(every_path_in_any_order_is_close),
        cmocka_unit_test(umed_fits_on_several_ranks),
        cmocka_unit_test(ranks_on_one_device_are_seen),
        cmocka_unit_test(exposed_communication_is_what_can_be_known),
        cmocka_unit_test(a_failure_reaches_those_who_wait),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
