/* The same bits whatever the grouping: threads, a graph for more images, and lanes spread over ranks (DESIGN D8). */
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "base/threads.h"
#include "nn/net_fixture.h"

enum { SIDE = 32, PIXELS = SIDE * SIDE, IMAGES = 8, LANES = 4, NARROW = 4, WIDE = 16 };

static double images[IMAGES * PIXELS], masks[IMAGES * PIXELS];
static bool bn_per_lane; /* of the nets that follow */

static int make_images(void **state)
{
    (void)state;
    net_example(images, masks, IMAGES, SIDE, SIDE, 1);
    return 0;
}

static void open_net(test_net *net, const char *model, int64_t width, um_dtype real, int64_t max_batch, um_bn_mode bn)
{
    um_model_config config = net_config(width, 1, 1);
    config.dropout = 0.1;
    net_create(net, &(net_spec){.model = model,
                                .backend = "cpu",
                                .real = real,
                                .config = config,
                                .h = SIDE,
                                .w = SIDE,
                                .max_batch = max_batch,
                                .bn = bn,
                                .bn_per_lane = bn_per_lane,
                                .wants_dx = true,
                                .seed = 9});
}

static void feed(test_net *net, int64_t first, int64_t n)
{
    net_upload(net, net->x, images + first * PIXELS, n);
    net_upload(net, net->y, masks + first * PIXELS, n);
}

/* Everything a step computes: loss, logits, image gradient, weight gradients, running statistics. Owned by the caller. */
typedef struct outcome {
    double loss, *logits, *dx, *grads, *buffers;
    int64_t n_grads, n_buffers, pixels;
} outcome;

static void gather_params(const um_params *p, outcome *o)
{
    int64_t at = 0, at_buffer = 0;
    assert_ok(UM_NEW_ARRAY(o->grads, p->n_values));
    assert_ok(UM_NEW_ARRAY(o->buffers, p->n_buffers));
    for (int i = 0; i < p->n; i++) {
        bool buffer = p->list[i].kind == UM_PARAM_BUFFER;
        double *to = buffer ? o->buffers + at_buffer : o->grads + at;
        assert_ok(um_params_read(p, i, buffer ? UM_BLOCK_VALUE : UM_BLOCK_GRAD, to));
        *(buffer ? &at_buffer : &at) += p->list[i].count;
    }
    o->n_grads = p->n_values, o->n_buffers = p->n_buffers;
}

static void gather(test_net *net, int64_t n, double loss, outcome *o)
{
    *o = (outcome){.loss = loss, .pixels = n * PIXELS};
    o->logits = net_fetch(net, net->logits, n);
    o->dx = net_fetch(net, net->dx, n);
    gather_params(net->params, o);
}

static void outcome_free(outcome *o)
{
    um_free(o->logits);
    um_free(o->dx);
    um_free(o->grads);
    um_free(o->buffers);
}

static void assert_same(const outcome *a, const outcome *b)
{
    assert_memory_equal(&a->loss, &b->loss, sizeof a->loss);
    assert_memory_equal(a->logits, b->logits, (size_t)a->pixels * sizeof *a->logits);
    assert_memory_equal(a->dx, b->dx, (size_t)a->pixels * sizeof *a->dx);
    assert_memory_equal(a->grads, b->grads, (size_t)a->n_grads * sizeof *a->grads);
    assert_memory_equal(a->buffers, b->buffers, (size_t)a->n_buffers * sizeof *a->buffers);
}

static void step(const char *model, int64_t max_batch, int64_t n, int threads, outcome *o)
{
    test_net net;
    open_net(&net, model, NARROW, UM_F32, max_batch, UM_BN_TRAIN);
    um_threads_set(threads);
    feed(&net, 0, n);
    gather(&net, n, net_run(&net, n, LANES), o);
    um_threads_set(1);
    net_free(&net);
}

static void threads_do_not_matter(void **state)
{
    outcome one, more;
    step(*state, 5, 5, 1, &one);
    for (int threads = 2; threads <= 3; threads++) {
        step(*state, 5, 5, threads, &more);
        assert_same(&one, &more);
        outcome_free(&more);
    }
    outcome_free(&one);
}

static void maximum_batch_does_not_matter(void **state)
{
    outcome tight, roomy;
    step(*state, 5, 5, 1, &tight);
    step(*state, 16, 5, 1, &roomy);
    assert_same(&tight, &roomy);
    outcome_free(&tight);
    outcome_free(&roomy);
}

/* A second, smaller batch in a graph that just ran a larger one sees nothing of it. */
static void earlier_batches_do_not_matter(void **state)
{
    test_net fresh, used;
    outcome a, b;
    open_net(&fresh, *state, NARROW, UM_F32, IMAGES, UM_BN_BATCH);
    open_net(&used, *state, NARROW, UM_F32, IMAGES, UM_BN_BATCH);
    feed(&used, 0, IMAGES);
    net_run(&used, IMAGES, LANES);
    feed(&used, 2, 3);
    feed(&fresh, 2, 3);
    gather(&used, 3, net_run(&used, 3, LANES), &a);
    gather(&fresh, 3, net_run(&fresh, 3, LANES), &b);
    assert_same(&a, &b);
    outcome_free(&a);
    outcome_free(&b);
    net_free(&used);
    net_free(&fresh);
}

/* In eval mode an image's logits are its own. */
static void images_do_not_see_each_other(void **state)
{
    test_net net;
    open_net(&net, *state, NARROW, UM_F32, IMAGES, UM_BN_EVAL);
    feed(&net, 0, IMAGES);
    net_run(&net, IMAGES, LANES);
    double *all = net_fetch(&net, net.logits, IMAGES);
    for (int64_t i = 0; i < IMAGES; i += 3) {
        feed(&net, i, 1);
        net_run(&net, 1, 1);
        double *one = net_fetch(&net, net.logits, 1);
        assert_memory_equal(one, all + i * PIXELS, PIXELS * sizeof *one);
        um_free(one);
    }
    um_free(all);
    net_free(&net);
}

/* Two ranks as two threads: the sum over ranks is what one rank adds to the other at a barrier. */
typedef struct meeting {
    pthread_barrier_t barrier;
    double *data[2];
} meeting;

typedef struct rank {
    meeting *meeting;
    int number;
    test_net net;
    int status;
} rank;

static int meet(void *arg, double *data, int64_t n)
{
    rank *r = arg;
    r->meeting->data[r->number] = data;
    pthread_barrier_wait(&r->meeting->barrier);
    if (r->number == 0)
        for (int64_t i = 0; i < n; i++)
            r->meeting->data[1][i] = r->meeting->data[0][i] += r->meeting->data[1][i];
    pthread_barrier_wait(&r->meeting->barrier);
    return UM_OK;
}

/* Rank 0 adds up the gradient blocks of both, in the backend's real type. */
static void meet_gradients(rank *r, const rank *other)
{
    const um_params *mine = r->net.params, *theirs = other->net.params;
    pthread_barrier_wait(&r->meeting->barrier);
    for (int64_t i = 0; r->number == 0 && i < mine->n_values; i++) {
        double *d0 = mine->block[UM_BLOCK_GRAD], *d1 = theirs->block[UM_BLOCK_GRAD];
        float *f0 = mine->block[UM_BLOCK_GRAD], *f1 = theirs->block[UM_BLOCK_GRAD];
        if (r->net.backend->real == UM_F64)
            d1[i] = d0[i] += d1[i];
        else
            f1[i] = f0[i] += f1[i];
    }
    pthread_barrier_wait(&r->meeting->barrier);
}

static void *run_rank(void *arg)
{
    rank *r = arg;
    um_batch batch;
    um_batch_set(&batch, IMAGES / 2, LANES / 2);
    batch.n_total = IMAGES;
    batch.first = r->number * IMAGES / 2;
    batch.reduce = meet;
    batch.reduce_arg = r;
    r->status = (int)um_exec_run(r->net.exec, &batch, 0, r->net.graph->n_local);
    meet_gradients(r, r->number == 0 ? r + 1 : r - 1);
    if (r->status == UM_OK)
        r->status = (int)um_exec_run(r->net.exec, &batch, r->net.graph->n_local, -1);
    return NULL;
}

/* Both halves of the batch at once; the outcomes of the two ranks. */
static void run_two_ranks(const char *model, int64_t width, um_dtype real, outcome o[2])
{
    meeting m;
    rank ranks[2];
    pthread_t threads[2];
    assert_int_equal(pthread_barrier_init(&m.barrier, NULL, 2), 0);
    for (int r = 0; r < 2; r++) {
        ranks[r] = (rank){.meeting = &m, .number = r, .status = -1};
        open_net(&ranks[r].net, model, width, real, IMAGES / 2, UM_BN_TRAIN);
        feed(&ranks[r].net, r * IMAGES / 2, IMAGES / 2);
    }
    for (int r = 0; r < 2; r++)
        assert_int_equal(pthread_create(&threads[r], NULL, run_rank, &ranks[r]), 0);
    for (int r = 0; r < 2; r++) {
        double loss[3];
        pthread_join(threads[r], NULL);
        assert_int_equal(ranks[r].status, UM_OK);
        assert_ok(um_exec_download(ranks[r].net.exec, ranks[r].net.loss, loss, 1));
        gather(&ranks[r].net, IMAGES / 2, loss[0], &o[r]);
        net_free(&ranks[r].net);
    }
    pthread_barrier_destroy(&m.barrier);
}

/* Everything on two ranks is what it is on one, bit for bit. */
static void two_ranks_equal_one(const char *model, int64_t width, um_dtype real)
{
    test_net net;
    outcome whole, half[2];
    size_t bytes = IMAGES / 2 * PIXELS * sizeof(double);
    open_net(&net, model, width, real, IMAGES, UM_BN_TRAIN);
    feed(&net, 0, IMAGES);
    gather(&net, IMAGES, net_run(&net, IMAGES, LANES), &whole);
    run_two_ranks(model, width, real, half);
    for (int r = 0; r < 2; r++) {
        assert_memory_equal(&half[r].loss, &whole.loss, sizeof whole.loss);
        assert_memory_equal(half[r].logits, whole.logits + r * IMAGES / 2 * PIXELS, bytes);
        assert_memory_equal(half[r].dx, whole.dx + r * IMAGES / 2 * PIXELS, bytes);
        assert_memory_equal(half[r].buffers, whole.buffers, (size_t)whole.n_buffers * sizeof(double));
        assert_memory_equal(half[r].grads, whole.grads, (size_t)whole.n_grads * sizeof(double));
        outcome_free(&half[r]);
    }
    outcome_free(&whole);
    net_free(&net);
}

static void ranks_continue_the_tree(void **state)
{
    for (int real = UM_F32; real <= UM_F64; real++) {
        two_ranks_equal_one(*state, NARROW, (um_dtype)real);
        two_ranks_equal_one(*state, WIDE, (um_dtype)real);
    }
}

static void ranks_keep_lanes_to_themselves(void **state)
{
    bn_per_lane = true;
    ranks_continue_the_tree(state);
    bn_per_lane = false;
}

/* Lanes are part of the result: without this the tests above could compare two wrong trees. */
static void lanes_change_last_bits_only(void **state)
{
    test_net net;
    outcome a, b;
    open_net(&net, *state, NARROW, UM_F32, IMAGES, UM_BN_BATCH);
    feed(&net, 0, IMAGES);
    gather(&net, IMAGES, net_run(&net, IMAGES, 1), &a);
    gather(&net, IMAGES, net_run(&net, IMAGES, 8), &b);
    assert_float_equal(a.loss, b.loss, 1e-6);
    assert_memory_not_equal(a.grads, b.grads, (size_t)a.n_grads * sizeof *a.grads);
    outcome_free(&a);
    outcome_free(&b);
    net_free(&net);
}

static void refuses_what_does_not_fit(void **state)
{
    test_net net;
    um_batch batch;
    open_net(&net, *state, NARROW, UM_F32, 2, UM_BN_TRAIN);
    um_batch_set(&batch, 3, 1);
    assert_int_equal(um_exec_run(net.exec, &batch, 0, -1), UM_E_BUG);
    assert_int_equal(um_exec_upload(net.exec, net.x, images, 3), UM_E_BUG);
    for (um_tid t = 0; t < net.graph->n_tensors; t++)
        if (net.graph->tensors[t].kind == UM_T_ACT && !net.graph->tensors[t].keep) {
            assert_int_equal(um_exec_download(net.exec, t, images, 1), UM_E_BUG);
            break;
        }
    net_free(&net);
}

#define BOTH(f) {#f " (unet)", f, NULL, NULL, "unet"}, {#f " (cdc_unet)", f, NULL, NULL, "cdc_unet"}
#define OTHERS(f)                                                                                                              \
    {#f " (unetpp)", f, NULL, NULL, "unetpp"}, {#f " (attention_unet)", f, NULL, NULL, "attention_unet"},                      \
    {                                                                                                                          \
        #f " (transunet)", f, NULL, NULL, "transunet"                                                                          \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(threads_do_not_matter),        BOTH(maximum_batch_does_not_matter), BOTH(earlier_batches_do_not_matter),
        BOTH(images_do_not_see_each_other), BOTH(ranks_continue_the_tree),       BOTH(lanes_change_last_bits_only),
        BOTH(ranks_keep_lanes_to_themselves),
        BOTH(refuses_what_does_not_fit),    OTHERS(threads_do_not_matter),       OTHERS(images_do_not_see_each_other),
        {"ranks_continue_the_tree (attention_unet)", ranks_continue_the_tree, NULL, NULL, "attention_unet"},
        {"ranks_continue_the_tree (unetpp)", ranks_continue_the_tree, NULL, NULL, "unetpp"},
    };
    um_threads_set(1);
    return cmocka_run_group_tests(tests, make_images, NULL);
}
