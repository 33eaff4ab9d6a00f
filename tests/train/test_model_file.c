/* Model files: one written by PyTorch (tests/ref/torch_roundtrip.py save), round trips of ours, and what must be refused. */
#include <math.h>

#include "io/h5.h"
#include "train/rows.h"
#include "train/train_fixture.h"

enum { SIDE = 32, IMAGES = 4, PIXELS = SIDE * SIDE };

static const char *data_file(const char *name)
{
    static char paths[3][512];
    static int turn;
    char *path = paths[turn++ % 3];
    snprintf(path, sizeof paths[0], "%s/tests/data/%s", getenv("UMED_SOURCE_DIR"), name);
    return path;
}

static void read_images(float x[IMAGES * PIXELS])
{
    um_dataset *d = NULL;
    assert_ok(um_dataset_read(&d, data_file("torch_unet_w2_data.h5")));
    assert_true(d->n == IMAGES && d->h == SIDE && d->w == SIDE && d->c == 1);
    for (int64_t i = 0; i < IMAGES; i++)
        um_row_image(d, i, UM_F32, x + i * PIXELS);
    um_dataset_free(d);
}

static void loads_what_pytorch_wrote(void **state)
{
    (void)state;
    um_backend *b = NULL;
    um_segmenter *s = NULL;
    um_h5 *f = NULL;
    float x[IMAGES * PIXELS], theirs[IMAGES * PIXELS], ours[IMAGES * PIXELS];
    double difference = 0, norm = 0;
    read_images(x);
    assert_ok(um_h5_open(&f, data_file("torch_unet_w2_logits.h5"), "logits", "1.0"));
    assert_ok(um_h5_read_into(f, "/logits", UM_H5_F32, 3, (int64_t[]){IMAGES, SIDE, SIDE}, theirs));
    um_h5_free(f);
    assert_ok(um_backend_create(&b, "check:cpu", UM_F32));
    assert_ok(um_model_load(&s, b, data_file("torch_unet_w2.h5"), SIDE, SIDE, IMAGES));
    assert_string_equal(s->config.model->name, "unet");
    assert_int_equal(s->config.net.width, 2);
    assert_true(s->params->bn_batches > 0);
    assert_ok(um_segmenter_logits(s, x, IMAGES, ours));
    for (int i = 0; i < IMAGES * PIXELS; i++) {
        difference += pow((double)ours[i] - (double)theirs[i], 2);
        norm += pow((double)theirs[i], 2);
    }
    print_message("logits differ by %.2g, relative L2\n", sqrt(difference / norm));
    assert_true(norm > 1 && sqrt(difference / norm) < 1e-5);
    um_segmenter_free(s);
    um_backend_free(b);
}

static void round_trips_keep_every_bit(void **state)
{
    (void)state;
    static const char *const models[] = {"unet", "cdc_unet"};
    float x[IMAGES * PIXELS], y[IMAGES * PIXELS], before[IMAGES * PIXELS], after[IMAGES * PIXELS];
    double loss[3];
    um_backend *b = NULL;
    read_images(x);
    for (int i = 0; i < IMAGES * PIXELS; i++)
        y[i] = x[i] > 0.5f;
    assert_ok(um_backend_create(&b, "cpu", UM_F32));
    for (int m = 0; m < 2; m++) {
        um_segmenter *s = NULL, *t = NULL;
        unlink(at("m.h5"));
        small_segmenter(&s, b, models[m], SIDE, 1e-2, 3);
        for (int i = 0; i < 3; i++)
            assert_ok(um_segmenter_step(s, x, y, IMAGES, loss));
        assert_ok(um_segmenter_logits(s, x, IMAGES, before));
        assert_ok(um_model_save(s, at("m.h5"), 3, 3));
        assert_ok(um_model_load(&t, b, at("m.h5"), SIDE, SIDE, IMAGES));
        assert_string_equal(t->config.model->name, models[m]);
        assert_int_equal(t->params->bn_batches, 3);
        assert_ok(um_segmenter_logits(t, x, IMAGES, after));
        assert_memory_equal(before, after, sizeof before);
        um_segmenter_free(s);
        um_segmenter_free(t);
    }
    um_backend_free(b);
}

/* Variants that a loader has to read from the file: upsampling, biases, channels. */
static void variants_come_back(void **state)
{
    (void)state;
    um_backend *b = NULL;
    assert_ok(um_backend_create(&b, "cpu", UM_F32));
    static const char *const models[] = {"unet", "unet", "unet", "cdc_unet", "unetpp", "unetpp", "attention_unet", "transunet"};
    for (int v = 0; v < (int)UM_COUNT(models); v++) {
        int64_t channels = v < 6 ? 1 + v % 3 : 3;
        um_segmenter_config config = {
            .net = net_config(4, channels, 1 + v % 2), .h = 32, .w = 32, .max_batch = 1, .spread = {.lanes = 1}};
        um_segmenter *s = NULL, *t = NULL;
        char sent[65], received[65];
        config.net.up = v & 1 ? UM_UP_BILINEAR : UM_UP_CONVT;
        config.net.bias = v & 2;
        config.net.deep_supervision = v == 5;
        assert_ok(um_model_find(&config.model, models[v]));
        assert_ok(um_segmenter_create(&s, b, &config));
        assert_ok(um_params_init(s->params, 1, UM_RNG_TEST));
        unlink(at("v.h5"));
        assert_ok(um_model_save(s, at("v.h5"), 0, 1));
        assert_ok(um_model_load(&t, b, at("v.h5"), 32, 32, 1));
        if (v < 4) {
            assert_int_equal(t->config.net.up, config.net.up);
            assert_int_equal(t->config.net.bias, config.net.bias);
        }
        assert_int_equal(t->config.net.deep_supervision, config.net.deep_supervision);
        assert_int_equal(t->config.net.out_ch, config.net.out_ch);
        assert_ok(um_params_sha256(s->params, sent));
        assert_ok(um_params_sha256(t->params, received));
        assert_string_equal(sent, received);
        um_segmenter_free(s);
        um_segmenter_free(t);
    }
    um_backend_free(b);
}

/* The kinds of central-difference convolution: the same weights mean another network. */
static void cdc_kinds_come_back(void **state)
{
    (void)state;
    static const struct {
        um_cdc cdc;
        bool bottleneck;
    } kinds[] = {{{UM_CDC_DUAL, 0, 0.25}, true}, {{UM_CDC_DUAL, 0, 0.25}, false}, {{UM_CDC_THETA, 0.3, 0.25}, true},
                 {{UM_CDC_NONE, 0, 0.25}, false}};
    float x[IMAGES * PIXELS], before[IMAGES * PIXELS], after[IMAGES * PIXELS];
    um_backend *b = NULL;
    read_images(x);
    assert_ok(um_backend_create(&b, "cpu", UM_F32));
    for (size_t k = 0; k < UM_COUNT(kinds); k++) {
        um_segmenter_config config = {
            .net = net_config(2, 1, 1), .h = SIDE, .w = SIDE, .max_batch = IMAGES, .spread = {.lanes = 1}};
        um_segmenter *s = NULL, *t = NULL;
        config.net.cdc = kinds[k].cdc;
        config.net.cdc_bottleneck = kinds[k].bottleneck;
        assert_ok(um_model_find(&config.model, "cdc_unet"));
        assert_ok(um_segmenter_create(&s, b, &config));
        assert_ok(um_params_init(s->params, 1, UM_RNG_TEST));
        unlink(at("c.h5"));
        assert_ok(um_model_save(s, at("c.h5"), 0, 1));
        assert_ok(um_model_load(&t, b, at("c.h5"), SIDE, SIDE, IMAGES));
        assert_true(t->config.net.cdc.mode == kinds[k].cdc.mode && t->config.net.cdc_bottleneck == kinds[k].bottleneck);
        assert_ok(um_segmenter_logits(s, x, IMAGES, before));
        assert_ok(um_segmenter_logits(t, x, IMAGES, after));
        assert_memory_equal(before, after, sizeof before);
        um_segmenter_free(s);
        um_segmenter_free(t);
    }
    um_backend_free(b);
}

/* A run that was killed behind its model may write it again; anybody else's file stays. */
static void a_model_file_stays(void **state)
{
    (void)state;
    um_backend *b = NULL;
    um_segmenter *s = NULL, *other = NULL;
    assert_ok(um_backend_create(&b, "cpu", UM_F32));
    small_segmenter(&s, b, "unet", SIDE, 0, 1);
    small_segmenter(&other, b, "unet", SIDE, 0, 2);
    assert_ok(um_model_save(s, at("m.h5"), 0, 1));
    assert_ok(um_model_save(s, at("m.h5"), 0, 1));
    assert_int_equal(um_model_save(other, at("m.h5"), 0, 2), UM_E_USAGE);
    assert_non_null(strstr(um_error_text(), "m.h5 exists and holds other weights"));
    um_segmenter_free(s);
    um_segmenter_free(other);
    um_backend_free(b);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    um_backend *b = NULL;
    um_segmenter *s = NULL, *net = NULL;
    um_curves none = {0};
    assert_ok(um_backend_create(&b, "cpu", UM_F32));
    assert_int_equal(um_model_load(&s, b, at("missing.h5"), SIDE, SIDE, 1), UM_E_IO);
    assert_int_equal(um_model_load(&s, b, data_file("torch_unet_w2_data.h5"), SIDE, SIDE, 1), UM_E_DATA);
    assert_non_null(strstr(um_error_text(), "torch_unet_w2_data.h5"));
    assert_int_equal(um_model_load(&s, b, data_file("torch_unet_w2.h5"), 8, 8, 1), UM_E_DATA);
    small_segmenter(&net, b, "unet", SIDE, 0, 1);
    um_training_state state_file = {.fingerprint = "x", .n_nets = 1, .net_name = {"model"}, .net = {net->params}, .curves = &none};
    assert_ok(um_training_save(&state_file, at("state.h5")));
    assert_int_equal(um_model_load(&s, b, at("state.h5"), SIDE, SIDE, 1), UM_E_DATA);
    assert_null(s);
    um_segmenter_free(net);
    um_backend_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(loads_what_pytorch_wrote), FIXTURE_TEST(round_trips_keep_every_bit), FIXTURE_TEST(variants_come_back),
        FIXTURE_TEST(cdc_kinds_come_back),      FIXTURE_TEST(a_model_file_stays),
        FIXTURE_TEST(other_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
