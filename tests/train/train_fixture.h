/* Fixtures of the training tests: a folder per test, phantoms, and a stop after a given number of optimiser steps. */
#ifndef UM_TESTS_TRAIN_FIXTURE_H
#define UM_TESTS_TRAIN_FIXTURE_H

#include <unistd.h>

#include "base/folder_fixture.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/signal.h"
#include "base/threads.h"
#include "io/dataset.h"
#include "io/import.h"
#include "nn/net_fixture.h"
#include "train/fit.h"

static inline int fixture_setup(void **state)
{
    um_stop_clear();
    um_threads_set(1);
    um_log_set_level(UM_LOG_WARN);
    return folder_make(state);
}

static inline int fixture_teardown(void **state)
{
    um_stop_clear();
    return folder_remove(state);
}

#define FIXTURE_TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

/* The CPU backend, which asks for a stop once `stop_after` optimiser steps were made (0: never). */
typedef struct stopping_backend {
    um_backend backend;
    um_backend_iface iface;
    um_backend *cpu;
} stopping_backend;

static long steps_made, stop_after;

static inline um_status counting_run(um_backend *b, um_op op, const um_op_call *call)
{
    stopping_backend *s = (stopping_backend *)(void *)b;
    um_status rc = s->cpu->iface->run(s->cpu, op, call);
    if (op == UM_OP_ADAM && ++steps_made == stop_after)
        um_stop_request();
    return rc;
}

static inline void stopping_open(stopping_backend *s, um_dtype real)
{
    assert_ok(um_backend_create(&s->cpu, "cpu", real));
    s->backend = *s->cpu;
    s->iface = *s->cpu->iface;
    s->iface.run = counting_run;
    s->backend.iface = &s->iface;
}

static inline void stopping_close(stopping_backend *s)
{
    um_backend_free(s->cpu);
}

static inline void stop_at(long steps)
{
    um_stop_clear();
    steps_made = 0;
    stop_after = steps;
}

static inline void assert_same_curves(const um_curves *a, const um_curves *b)
{
    assert_int_equal(a->n, b->n);
    for (int i = 0; i < a->n; i++) {
        const um_curve *p = &a->list[i], *q = &b->list[i];
        assert_string_equal(p->name, q->name);
        assert_int_equal(p->n, q->n);
        assert_memory_equal(p->x, q->x, (size_t)p->n * sizeof *p->x);
        assert_memory_equal(p->y, q->y, (size_t)p->n * sizeof *p->y);
    }
}

/* A small U-Net for one-channel images. lr 0: prediction only. */
static inline void small_segmenter(um_segmenter **out, um_backend *b, const char *model, int64_t side, double lr, uint64_t seed)
{
    um_segmenter_config config = {.net = net_config(2, 1, 1), .h = side, .w = side, .max_batch = 4, .spread = {.lanes = 2},
                                  .loss = {.w_ce = 1, .w_dice = 1, .smooth = 1e-5},
                                  .adam = {.lr = lr, .b1 = 0.9, .b2 = 0.999, .eps = 1e-8}};
    assert_ok(um_model_find(&config.model, model));
    assert_ok(um_segmenter_create(out, b, &config));
    assert_ok(um_params_init((*out)->params, seed, UM_RNG_TEST));
}

#endif
