/* Gradients with respect to images, and steps in the ball. */
#include "base/mem.h"
#include "train/pgd.h"
#include "train/train_fixture.h"

#include <math.h>

enum { N = 3, SIDE = 32, PIXELS = SIDE * SIDE };

static double x[N * PIXELS], y[N * PIXELS];

/* A U-Net with settled statistics in the given type, and its view from the input. */
typedef struct subject {
    um_backend *backend;
    um_segmenter *net;
    um_input_grad *grad;
} subject;

static um_input_grad_config view_of(const subject *s, um_input_loss kind, bool balance)
{
    const um_segmenter_config *c = &s->net->config;
    return (um_input_grad_config){.model = c->model,
                                  .net = c->net,
                                  .params = s->net->params,
                                  .h = SIDE,
                                  .w = SIDE,
                                  .max_batch = 4,
                                  .kind = kind,
                                  .loss = c->loss,
                                  .balance = balance};
}

static void subject_open(subject *s, um_dtype real, um_input_loss kind, bool balance, bool batch_dice)
{
    double loss[3];
    void *xs = x, *ys = y;
    float fx[N * PIXELS], fy[N * PIXELS];
    net_example(x, y, N, SIDE, SIDE, 1);
    assert_ok(um_backend_create(&s->backend, "cpu", real));
    small_segmenter(&s->net, s->backend, "unet", SIDE, 1e-2, 3);
    for (int i = 0; real == UM_F32 && i < N * PIXELS; i++)
        fx[i] = (float)x[i], fy[i] = (float)y[i];
    if (real == UM_F32)
        xs = fx, ys = fy;
    for (int k = 0; k < 12; k++)
        assert_ok(um_segmenter_step(s->net, xs, ys, N, loss));
    um_input_grad_config c = view_of(s, kind, balance);
    c.loss.dice_batch = batch_dice;
    assert_ok(um_input_grad_create(&s->grad, s->backend, &c));
    if (kind == UM_INPUT_ALIGN) {
        double means[64];
        for (int i = 0; i < 64; i++)
            means[i] = 0.1 * (i % 7) - 0.2;
        assert_true(2 * um_input_grad_channels(s->grad) <= 64);
        um_input_grad_set_means(s->grad, means);
    }
}

static void subject_close(subject *s)
{
    um_input_grad_free(s->grad);
    um_segmenter_free(s->net);
    um_backend_free(s->backend);
}

/* Central differences of the image's loss at pixels spread over it. Kinks of ReLU and pooling are rare between steps this small. */
static void check_differences(um_input_loss kind, bool balance, bool batch_dice)
{
    enum { PROBES = 40 };
    subject s;
    double dx[N * PIXELS], up[N], down[N], largest = 0, worst = 0;
    subject_open(&s, UM_F64, kind, balance, batch_dice);
    assert_ok(um_input_grad_run(s.grad, x, y, N, dx, NULL));
    for (int i = 0; i < PROBES; i++) {
        int at = (int)((int64_t)i * 7919 % (N * PIXELS)), image = at / PIXELS;
        double was = x[at], h = 1e-6;
        x[at] = was + h;
        assert_ok(um_input_grad_run(s.grad, x, y, N, NULL, up));
        x[at] = was - h;
        assert_ok(um_input_grad_run(s.grad, x, y, N, NULL, down));
        x[at] = was;
        for (int k = 0; k < N; k++)
            assert_true(k == image || up[k] == down[k]); /* another image's loss does not move */
        worst = fmax(worst, fabs((up[image] - down[image]) / (2 * h) - dx[at]));
        largest = fmax(largest, fabs(dx[at]));
    }
    if (!(largest > 0 && worst <= 1e-5 * largest))
        fail_msg("error %g, gradients up to %g", worst, largest);
    subject_close(&s);
}

static void gradients_match_finite_differences(void **state)
{
    (void)state;
    check_differences(UM_INPUT_SEG, false, false);
    check_differences(UM_INPUT_SEG, false, true); /* each image by itself, whatever loss.dice.reduction */
    check_differences(UM_INPUT_ALIGN, false, false);
    check_differences(UM_INPUT_ALIGN, true, false);
}

/* The loss of an image is CE + Dice of its logits, written out. */
static void losses_are_those_of_single_images(void **state)
{
    (void)state;
    subject s;
    double z[N * PIXELS], loss[N];
    subject_open(&s, UM_F64, UM_INPUT_SEG, false, false);
    assert_ok(um_segmenter_logits(s.net, x, N, z));
    assert_ok(um_input_grad_run(s.grad, x, y, N, NULL, loss));
    for (int i = 0; i < N; i++) {
        double ce = 0, overlap = 0, size = 0;
        for (int k = i * PIXELS; k < (i + 1) * PIXELS; k++) {
            double p = 1 / (1 + exp(-z[k]));
            ce -= y[k] > 0.5 ? log(p) : log(1 - p);
            overlap += p * y[k];
            size += p + y[k];
        }
        assert_true(fabs(loss[i] - (ce / PIXELS + 1 - (2 * overlap + 1e-5) / (size + 1e-5))) <= 1e-9);
    }
    subject_close(&s);
}

static void grouping_does_not_matter(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        subject s;
        float fx[N * PIXELS], fy[N * PIXELS], all[N * PIXELS], one[PIXELS];
        double loss[N], alone;
        subject_open(&s, UM_F32, kind ? UM_INPUT_ALIGN : UM_INPUT_SEG, false, false);
        for (int i = 0; i < N * PIXELS; i++)
            fx[i] = (float)x[i], fy[i] = (float)y[i];
        assert_ok(um_input_grad_run(s.grad, fx, fy, N, all, loss));
        for (int i = 0; i < N; i++) {
            assert_ok(um_input_grad_run(s.grad, fx + i * PIXELS, fy + i * PIXELS, 1, one, &alone));
            assert_memory_equal(one, all + i * PIXELS, sizeof one);
            assert_true(alone == loss[i]);
        }
        subject_close(&s);
    }
}

/* No weight gradients: a gradient step costs two thirds of a training step. */
static void the_graph_holds_no_weight_gradients(void **state)
{
    (void)state;
    subject s;
    um_segmenter_costs net;
    um_cost grad;
    subject_open(&s, UM_F32, UM_INPUT_SEG, false, false);
    um_input_grad_config c = view_of(&s, UM_INPUT_SEG, false);
    assert_ok(um_segmenter_cost(&net, s.backend, &s.net->config));
    assert_ok(um_input_grad_cost(&grad, s.backend, &c));
    assert_true(grad.flops >= 1.99 * net.predict && grad.flops <= 2.01 * net.predict);
    assert_true(net.train > 2.8 * net.predict && grad.bytes > 0 && net.bytes > grad.bytes);
    subject_close(&s);
}

static void steps_stay_in_the_ball(void **state)
{
    (void)state;
    const um_ball climb = {.eps = 0.25, .step = 0.125}, fall = {.eps = 0.25, .step = -0.125};
    const double from[] = {0.5, 0.5, 0.5, 0.0, 1.0, 0.5}, g[] = {2, -1e-30, 0, -3, 4, 1};
    const uint8_t keep[] = {1, 1, 1, 1, 1, 0};
    const double up[] = {0.625, 0.375, 0.5, 0, 1, 0.5}, twice_down[] = {0.25, 0.75, 0.5, 0.25, 0.75, 0.5};
    double v[6];
    float f[6], ff[6], fg[6];
    memcpy(v, from, sizeof v);
    um_ball_step(&climb, UM_F64, v, from, g, keep, 6, 1);
    assert_memory_equal(v, up, sizeof v);
    memcpy(v, from, sizeof v);
    for (int k = 0; k < 5; k++)
        um_ball_step(&fall, UM_F64, v, from, g, keep, 6, 1);
    assert_memory_equal(v, twice_down, sizeof v);
    for (int i = 0; i < 6; i++)
        f[i] = ff[i] = (float)from[i], fg[i] = (float)(g[i] * 1e10);
    um_ball_step(&climb, UM_F32, f, ff, fg, keep, 6, 1);
    for (int i = 0; i < 6; i++)
        assert_true((double)f[i] == up[i]);
    v[0] = 9, v[1] = -9;
    um_ball_project(&climb, UM_F64, v, from, NULL, 2, 1);
    assert_true(v[0] == 0.75 && v[1] == 0.25);
}

/* Ascent raises every image's loss, descent lowers it, step by step. */
static void pgd_moves_the_loss(void **state)
{
    (void)state;
    subject s;
    double v[N * PIXELS], before[N], after[N];
    subject_open(&s, UM_F64, UM_INPUT_SEG, false, false);
    for (int sign = -1; sign <= 1; sign += 2) {
        um_ball ball = {.eps = 4.0 / 255, .step = sign * 0.5 / 255};
        memcpy(v, x, sizeof v);
        assert_ok(um_input_grad_run(s.grad, v, y, N, NULL, before));
        for (int k = 0; k < 8; k++) {
            assert_ok(um_pgd_run(s.grad, &ball, 1, v, x, y, NULL, N, true));
            assert_ok(um_input_grad_run(s.grad, v, y, N, NULL, after));
            for (int i = 0; i < N; i++)
                assert_true(sign * (after[i] - before[i]) > 0);
            memcpy(before, after, sizeof before);
        }
        for (int i = 0; i < N * PIXELS; i++)
            assert_true(fabs(v[i] - x[i]) <= 4.0 / 255 + 1e-15 && v[i] >= 0 && v[i] <= 1);
    }
    um_stop_request();
    assert_int_equal(um_pgd_run(s.grad, &(um_ball){0.1, 0.1}, 1, v, x, y, NULL, N, true), UM_E_STOPPED);
    assert_ok(um_pgd_run(s.grad, &(um_ball){0.1, 0.1}, 1, v, x, y, NULL, N, false));
    subject_close(&s);
}

/* Steps that stay with the backend have the bits of gradients fetched and moved here, step by step. */
static void steps_are_gradients_and_moves(void **state)
{
    (void)state;
    subject s;
    static double v[N * PIXELS], w[N * PIXELS], g[N * PIXELS];
    uint8_t keep[N * PIXELS];
    const um_ball ball = {.eps = 4.0 / 255, .step = 1.0 / 255};
    subject_open(&s, UM_F64, UM_INPUT_SEG, false, false);
    memcpy(v, x, sizeof v);
    memcpy(w, x, sizeof w);
    for (int i = 0; i < N * PIXELS; i++)
        keep[i] = i % 3 != 0;
    assert_ok(um_pgd_run(s.grad, &ball, 5, v, x, y, keep, N, true));
    for (int k = 0; k < 5; k++) {
        assert_ok(um_input_grad_run(s.grad, w, y, N, g, NULL));
        um_ball_step(&ball, UM_F64, w, x, g, keep, N * PIXELS, 1);
    }
    assert_memory_equal(v, w, sizeof v);
    assert_memory_not_equal(v, x, sizeof v);
    subject_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(steps_are_gradients_and_moves),
        FIXTURE_TEST(gradients_match_finite_differences),
        FIXTURE_TEST(losses_are_those_of_single_images),
        FIXTURE_TEST(grouping_does_not_matter),
        FIXTURE_TEST(the_graph_holds_no_weight_gradients),
        FIXTURE_TEST(steps_stay_in_the_ball),
        FIXTURE_TEST(pgd_moves_the_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
