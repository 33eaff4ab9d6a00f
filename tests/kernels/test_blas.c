/* 1x1 convolutions at shapes too wide for a naive loop, against OpenBLAS called from one thread. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cblas.h>
#include <math.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kernels/backend.h"

enum { N = 2, H = 31, W = 29, C = 320, K = 272, P = N * H * W };

typedef struct fixture {
    um_backend *backend;
    um_batch batch;
    float *x, *w, *dy, *got, *want;
} fixture;

static float *draw(int64_t n, uint64_t b)
{
    float *p = NULL;
    assert_int_equal(UM_NEW_ARRAY(p, n), UM_OK);
    um_rng_fill_uniform(p, n, -1, 1, 5, UM_RNG_TEST, b, 0);
    return p;
}

static int set_up(void **state)
{
    static fixture f;
    f.x = draw(P * C, 1), f.w = draw(C * K, 2), f.dy = draw(P * K, 3), f.got = draw(P * C, 4), f.want = draw(P * C, 4);
    um_batch_set(&f.batch, N, 2);
    *state = &f;
    return um_backend_create(&f.backend, "cpu", UM_F32) == UM_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    um_free(f->x), um_free(f->w), um_free(f->dy), um_free(f->got), um_free(f->want);
    um_backend_free(f->backend);
    return 0;
}

static um_view image(float *data, int64_t c)
{
    return (um_view){data, UM_F32, N, H, W, c, c};
}

static um_view weight(float *data)
{
    return (um_view){data, UM_F32, 1, 1, C, K, K};
}

static void run(fixture *f, um_op op, um_view a, um_view b, um_view out)
{
    um_op_call call = {.in = {a, b}, .out = {out}, .batch = &f->batch, .attr = {.conv = {.stride = 1}}};
    size_t bytes = 0;
    assert_int_equal(f->backend->iface->prepare(f->backend, op, &call, &bytes), UM_OK);
    assert_int_equal(um_alloc(&call.workspace, 1, bytes + 64), UM_OK);
    assert_int_equal(f->backend->iface->run(f->backend, op, &call), UM_OK);
    um_free(call.workspace);
}

/* Both round sums of up to P products in f32: relative L2 well below 1e-5. */
static void compare(const fixture *f, int64_t n)
{
    double diff = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        diff += pow((double)f->got[i] - f->want[i], 2);
        norm += pow(f->want[i], 2);
    }
    assert_true(norm > 0 && sqrt(diff / norm) < 2e-6);
}

static void forward(void **state)
{
    fixture *f = *state;
    run(f, UM_OP_CONV_FWD, image(f->x, C), weight(f->w), image(f->got, K));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, P, K, C, 1, f->x, C, f->w, K, 0, f->want, K);
    compare(f, P * K);
}

static void backward_data(void **state)
{
    fixture *f = *state;
    run(f, UM_OP_CONV_BWD_DATA, image(f->dy, K), weight(f->w), image(f->got, C));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, P, C, K, 1, f->dy, K, f->w, K, 0, f->want, C);
    compare(f, P * C);
}

static void backward_weight(void **state)
{
    fixture *f = *state;
    run(f, UM_OP_CONV_BWD_WEIGHT, image(f->x, C), image(f->dy, K), weight(f->got));
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, C, K, P, 1, f->x, C, f->dy, K, 0, f->want, K);
    compare(f, C * K);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(forward), cmocka_unit_test(backward_data),
                                       cmocka_unit_test(backward_weight)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
