/* Whole networks against finite differences in f64: every tensor and the image, over the variants that share code with nothing
 * else. */
#include "base/mem.h"
#include "base/threads.h"
#include "nn/grad_check.h"

enum { BATCH = 2, LANES = 2 };

typedef struct grad_case {
    const char *model;
    int64_t h, w, out_ch;
    um_up_mode up;
    bool bias;
    um_cdc cdc;
    um_bn_mode bn;
    int probes;
    bool deep;
    double dropout;
    bool bn_per_lane;
} grad_case;

static void make_net(test_net *net, const grad_case *k, um_bn_mode bn, const double *x, const double *y)
{
    um_model_config config = net_config(4, 1, k->out_ch);
    config.up = k->up, config.bias = k->bias, config.cdc = k->cdc;
    config.deep_supervision = k->deep, config.dropout = k->dropout;
    net_create(net, &(net_spec){.model = k->model,
                                .backend = "cpu",
                                .real = UM_F64,
                                .config = config,
                                .h = k->h,
                                .w = k->w,
                                .max_batch = BATCH,
                                .bn = bn,
                                .bn_per_lane = k->bn_per_lane,
                                .wants_dx = true,
                                .clear_of_kinks = true,
                                .seed = 8});
    net_upload(net, net->x, x, BATCH);
    net_upload(net, net->y, y, BATCH);
}

/* Running statistics as they are after training: those of this batch. */
static void adopt_statistics(test_net *net, const grad_case *k, const double *x, const double *y)
{
    test_net train;
    make_net(&train, k, UM_BN_TRAIN, x, y);
    um_exec_set_bn_momentum(train.exec, 1);
    net_run(&train, BATCH, LANES);
    for (int i = 0; i < train.params->n; i++) {
        if (train.params->list[i].kind != UM_PARAM_BUFFER)
            continue;
        double *value = net_param(train.params, i, UM_BLOCK_VALUE);
        assert_ok(um_params_write(net->params, i, UM_BLOCK_VALUE, value));
        um_free(value);
    }
    net_free(&train);
}

static void gradients_match(void **state)
{
    const grad_case *k = *state;
    test_net net;
    grad_result result;
    double *x = NULL, *y = NULL;
    assert_ok(UM_NEW_ARRAY(x, BATCH * k->h * k->w));
    assert_ok(UM_NEW_ARRAY(y, BATCH * k->h * k->w));
    net_example(x, y, BATCH, k->h, k->w, 1);
    make_net(&net, k, k->bn, x, y);
    if (k->bn == UM_BN_EVAL)
        adopt_statistics(&net, k, x, y);
    grad_check c = {net.exec, net.graph, net.params, net.loss, net.x, net.dx, x, BATCH, LANES, k->probes};
    grad_check_run(&c, &result);
    print_message("%d probes, %d repeated with a smaller h, worst error %.1e\n", result.probes, result.kinks, result.worst);
    um_free(y);
    um_free(x);
    net_free(&net);
}

int main(void)
{
    static const um_cdc dual = {UM_CDC_DUAL, 0.7, 0.25}, theta = {UM_CDC_THETA, 0.7, 0.25}, none = {UM_CDC_NONE, 0, 0};
    static grad_case cases[11];
    cases[0] = (grad_case){"unet", 32, 32, 1, UM_UP_CONVT, false, none, UM_BN_TRAIN, 30};
    cases[1] = (grad_case){"cdc_unet", 32, 32, 1, UM_UP_CONVT, false, dual, UM_BN_TRAIN, 30};
    cases[2] = (grad_case){"cdc_unet", 32, 32, 1, UM_UP_CONVT, false, theta, UM_BN_BATCH, 8};
    cases[3] = (grad_case){"unet", 32, 32, 2, UM_UP_BILINEAR, true, none, UM_BN_EVAL, 8};
    cases[4] = (grad_case){"unet", 33, 47, 1, UM_UP_CONVT, false, none, UM_BN_TRAIN, 8};
    cases[5] = (grad_case){"cdc_unet", 35, 34, 1, UM_UP_BILINEAR, false, dual, UM_BN_BATCH, 8};
    cases[6] = (grad_case){"unetpp", 32, 32, 1, UM_UP_CONVT, false, none, UM_BN_TRAIN, 6, true};
    cases[7] = (grad_case){"unetpp", 33, 18, 1, UM_UP_CONVT, false, none, UM_BN_BATCH, 3};
    cases[8] = (grad_case){"attention_unet", 32, 35, 1, UM_UP_CONVT, false, none, UM_BN_BATCH, 6};
    cases[9] = (grad_case){"transunet", 32, 32, 1, UM_UP_CONVT, false, none, UM_BN_TRAIN, 4, .dropout = 0.1};
    cases[10] = (grad_case){"cdc_unet", 32, 33, 1, UM_UP_CONVT, false, dual, UM_BN_TRAIN, 8, .bn_per_lane = true};
    const struct CMUnitTest tests[] = {
        {"unet", gradients_match, NULL, NULL, &cases[0]},
        {"cdc_unet", gradients_match, NULL, NULL, &cases[1]},
        {"cdc_unet with theta", gradients_match, NULL, NULL, &cases[2]},
        {"unet, bilinear, biases, two classes, eval statistics", gradients_match, NULL, NULL, &cases[3]},
        {"unet at 33x47", gradients_match, NULL, NULL, &cases[4]},
        {"cdc_unet, bilinear, at 35x34", gradients_match, NULL, NULL, &cases[5]},
        {"unetpp with deep supervision", gradients_match, NULL, NULL, &cases[6]},
        {"unetpp at 33x18", gradients_match, NULL, NULL, &cases[7]},
        {"attention_unet at 32x35", gradients_match, NULL, NULL, &cases[8]},
        {"transunet with dropout", gradients_match, NULL, NULL, &cases[9]},
        {"cdc_unet, statistics per lane", gradients_match, NULL, NULL, &cases[10]},
    };
    um_threads_set(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
