/* Sizes of the networks against the tables of models.md, sections 1 to 6, 8 and 9. Nothing is allocated: a graph over parameters that
 * were only declared is enough. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "nn/net_fixture.h"

typedef struct built {
    um_backend *backend;
    um_params *params;
    um_graph *graph;
} built;

static void build(built *b, const char *model, const um_model_config *config, int64_t side)
{
    const um_model_def *def = NULL;
    um_tid x = UM_NONE, logits = UM_NONE;
    *b = (built){0};
    assert_ok(um_backend_create(&b->backend, "cpu", UM_F32));
    assert_ok(um_params_create(&b->params, b->backend));
    assert_ok(um_graph_create(&b->graph, UM_F32, 1));
    um_net net = {b->graph, b->params, true, UM_BN_TRAIN};
    assert_ok(um_model_find(&def, model));
    assert_ok(um_graph_input(b->graph, &x, "image", side, side, config->in_ch));
    assert_ok(def->build(&net, config, x, &logits));
    assert_int_equal(b->graph->tensors[logits].c, config->out_ch);
    assert_false(b->params->fixed);
}

static void drop(built *b)
{
    um_graph_free(b->graph);
    um_params_free(b->params);
    um_backend_free(b->backend);
}

typedef struct row {
    const char *model;
    int64_t width, in_ch, out_ch;
    um_up_mode up;
    bool bias, bottleneck;
    int64_t params;
    int tensors, buffers;
    double gmacs; /* at 224 x 224; 0: the table has none */
    bool deep;
} row;

#define T UM_UP_CONVT
#define B UM_UP_BILINEAR
static const row rows[] = {
    {"unet", 64, 1, 1, T, false, true, 31036481, 64, 54, 36.820},
    {"unet", 64, 3, 1, T, false, true, 31037633, 64, 54, 36.878},
    {"unet", 64, 1, 1, T, true, true, 31042369, 82, 54, 36.820},
    {"unet", 64, 3, 1, T, true, true, 31043521, 82, 54, 36.878},
    {"unet", 64, 1, 1, B, false, true, 17261825, 56, 54, 30.552},
    {"unet", 64, 3, 1, B, false, true, 17262977, 56, 54, 30.610},
    {"unet", 64, 1, 1, B, true, true, 17266241, 74, 54, 30.552},
    {"unet", 64, 3, 1, B, true, true, 17267393, 74, 54, 30.610},
    {"unet", 64, 3, 3, T, false, true, 31037763, 64, 54, 36.885},
    {"unet", 64, 3, 2, T, false, true, 31037698, 64, 54, 0},
    {"unet", 32, 1, 2, T, true, true, 7765442, 82, 54, 0},
    {"cdc_unet", 64, 1, 1, T, false, true, 49874561, 74, 54, 36.820},
    {"cdc_unet", 64, 3, 3, T, false, true, 49876995, 74, 54, 36.885},
    {"cdc_unet", 64, 1, 1, T, false, false, 35718785, 72, 54, 36.820},
    {"cdc_unet", 64, 3, 3, T, false, false, 35721219, 72, 54, 36.885},
    {"cdc_unet", 64, 1, 1, B, false, true, 26662721, 66, 54, 30.552},
    {"cdc_unet", 64, 3, 3, B, false, true, 26665155, 66, 54, 30.616},
    {"unetpp", 64, 1, 1, T, false, true, 9162753, 122, 90, 26.374}, /* width of the U-Net; its own is half of it */
    {"unetpp", 64, 3, 1, T, false, true, 9163329, 122, 90, 26.403},
    {"unetpp", 64, 1, 1, T, false, true, 9162852, 128, 90, 26.379, true},
    {"unetpp", 64, 3, 1, T, false, true, 9163428, 128, 90, 26.408, true},
    {"unetpp", 128, 1, 1, T, false, true, 36628481, 122, 90, 105.46},
    {"unetpp", 128, 3, 1, T, false, true, 36629633, 122, 90, 105.52},
    {"unetpp", 128, 1, 1, T, false, true, 36628676, 128, 90, 0, true},
    {"unetpp", 128, 3, 1, T, false, true, 36629828, 128, 90, 0, true},
    {"attention_unet", 64, 1, 1, T, false, true, 34877421, 138, 102, 50.799},
    {"attention_unet", 64, 3, 1, T, false, true, 34878573, 138, 102, 50.857},
    {"transunet", 64, 1, 1, T, false, true, 105275921, 382, 27, 29.168},
    {"transunet", 64, 3, 1, T, false, true, 105275921, 382, 27, 29.168},
    {"transunet", 64, 3, 2, T, false, true, 105276066, 382, 27, 0},
    {"unetpp", 32, 1, 1, T, false, true, 2293505, 122, 90, 0},
    {"unetpp", 16, 1, 1, T, false, true, 574785, 122, 90, 0},
    {"unetpp", 8, 1, 1, T, false, true, 144401, 122, 90, 0},
    {"attention_unet", 32, 1, 1, T, false, true, 8725501, 138, 102, 0},
    {"attention_unet", 16, 1, 1, T, false, true, 2184453, 138, 102, 0},
    {"attention_unet", 8, 1, 1, T, false, true, 547657, 138, 102, 0},
    {"transunet", 32, 1, 1, T, false, true, 26400201, 382, 27, 0},
    {"unet", 32, 1, 1, T, false, true, 7762465, 64, 54, 0},
    {"unet", 16, 1, 1, T, false, true, 1942289, 64, 54, 0},
    {"unet", 8, 1, 1, T, false, true, 486409, 64, 54, 0},
    {"cdc_unet", 32, 1, 1, T, false, true, 12472129, 74, 54, 0},
    {"cdc_unet", 16, 1, 1, T, false, true, 3119777, 74, 54, 0},
    {"cdc_unet", 8, 1, 1, T, false, true, 780817, 74, 54, 0},
};

static um_model_config config_of(const row *r)
{
    um_model_config c = net_config(r->width, r->in_ch, r->out_ch);
    c.up = r->up, c.bias = r->bias, c.cdc_bottleneck = r->bottleneck, c.deep_supervision = r->deep;
    return c;
}

static double gmacs(const um_graph *g)
{
    return um_graph_flops(g, 0, g->n_nodes) / 2e9;
}

/* Trained tensors, and BatchNorm buffers with the counter that um_params keeps once for all of them. */
static void count_tensors(const um_params *p, int *tensors, int *buffers)
{
    *tensors = *buffers = 0;
    for (int i = 0; i < p->n; i++) {
        *(p->list[i].kind == UM_PARAM_BUFFER ? buffers : tensors) += 1;
        *buffers += um_text_ends_with(p->list[i].name, ".running_var");
    }
}

static void every_row_of_the_tables(void **state)
{
    (void)state;
    for (size_t i = 0; i < UM_COUNT(rows); i++) {
        const row *r = &rows[i];
        um_model_config config = config_of(r);
        built b;
        int tensors = 0, buffers = 0;
        build(&b, r->model, &config, 224);
        count_tensors(b.params, &tensors, &buffers);
        if (um_params_trainable_count(b.params) != r->params || tensors != r->tensors || buffers != r->buffers)
            fail_msg("row %zu (%s w=%ld %ld->%ld): %ld parameters in %d tensors, %d buffers; expected %ld in %d, %d", i, r->model,
                     (long)r->width, (long)r->in_ch, (long)r->out_ch, (long)um_params_trainable_count(b.params), tensors, buffers,
                     (long)r->params, r->tensors, r->buffers);
        if (r->gmacs > 0 && fabs(gmacs(b.graph) / r->gmacs - 1) > 1e-3)
            fail_msg("row %zu (%s): %.4f GMACs, expected %.3f", i, r->model, gmacs(b.graph), r->gmacs);
        drop(&b);
    }
}

/* Section 8; its GMACs are rounded to the digits given. */
static void scale_table(void **state)
{
    (void)state;
    enum { MODELS = 5 };
    static const char *const models[MODELS] = {"unet", "cdc_unet", "unetpp", "attention_unet", "transunet"};
    static const struct { int64_t width, side; double gmacs[MODELS], half_digit; int64_t transunet; } scales[] = {
        {64, 224, {36.8, 36.8, 26.4, 50.8, 29.2}, 0.05, 105275921},       {32, 224, {9.21, 9.21, 6.60, 12.7, 7.50}, 0.005, 26400201},
        {16, 128, {0.753, 0.753, 0.539, 1.04, 0.310}, 0.0005, 2430741},   {16, 64, {0.188, 0.188, 0.135, 0.260, 0.076}, 0.0005, 2421525},
        {8, 64, {0.047, 0.047, 0.034, 0.065, 0.020}, 0.0005, 610135},     {8, 32, {0.012, 0.012, 0.008, 0.016, 0.005}, 0.0005, 608983},
    };
    for (size_t i = 0; i < UM_COUNT(scales) * UM_COUNT(models); i++) {
        size_t k = i / UM_COUNT(models);
        um_model_config config = net_config(scales[k].width, 1, 1);
        built b;
        build(&b, models[i % UM_COUNT(models)], &config, scales[k].side);
        double expected = scales[k].gmacs[i % UM_COUNT(models)], digit = expected >= 10 ? 0.05 : expected >= 1 ? 0.005 : scales[k].half_digit;
        if (fabs(gmacs(b.graph) - expected) > digit)
            fail_msg("%s, w=%ld at %ld: %.4f GMACs, expected %g", models[i % UM_COUNT(models)], (long)scales[k].width,
                     (long)scales[k].side, gmacs(b.graph), expected);
        if (!strcmp(models[i % UM_COUNT(models)], "transunet"))
            assert_int_equal(um_params_trainable_count(b.params), scales[k].transunet);
        drop(&b);
    }
}

static int64_t stage_params(const um_params *p, const char *stage)
{
    int64_t sum = 0;
    for (int i = 0; i < p->n; i++)
        if (p->list[i].kind != UM_PARAM_BUFFER && !strncmp(p->list[i].name, stage, strlen(stage)) &&
            p->list[i].name[strlen(stage)] == '.')
            sum += p->list[i].count;
    return sum;
}

static void stages(void **state)
{
    (void)state;
    static const struct { const char *name; int64_t params; } unet[] = {
        {"inc", 37696}, {"down1", 221696}, {"down2", 885760}, {"down3", 3540992}, {"down4", 14159872},
        {"up1", 9177600}, {"up2", 2295040}, {"up3", 574080}, {"up4", 143680}, {"outc", 65},
    };
    static const struct { const char *name; int64_t params; } unetpp[] = {
        {"conv0_0", 9696},    {"conv1_0", 55680},   {"conv2_0", 221952},  {"conv3_0", 886272}, {"conv4_0", 3542016}, {"conv0_1", 37056},
        {"conv1_1", 147840},  {"conv2_1", 590592},  {"conv3_1", 2360832}, {"conv0_2", 46272},  {"conv1_2", 184704},  {"conv2_2", 738048},
        {"conv0_3", 55488},   {"conv1_3", 221568},  {"conv0_4", 64704},   {"final", 33},
    };
    static const struct { const char *name; int64_t params; } attention[] = {
        {"Conv1", 37824},  {"Conv2", 221952},  {"Conv3", 886272}, {"Conv4", 3542016},    {"Conv5", 14161920},
        {"Up5", 4720128},  {"Att5", 263939},   {"Up_conv5", 7080960}, {"Up4", 1180416},  {"Att4", 66435},   {"Up_conv4", 1771008},
        {"Up3", 295296},   {"Att3", 16835},    {"Up_conv3", 443136},  {"Up2", 73920},    {"Att2", 4323},    {"Up_conv2", 110976},
        {"Conv_1x1", 65},
    };
#define HYBRID "transformer.embeddings.hybrid_model."
    static const struct { const char *name; int64_t params; } transunet[] = {
        {HYBRID "root", 9408 + 128}, {HYBRID "body.block1", 215808}, {HYBRID "body.block2", 1219584}, {HYBRID "body.block3", 10449920},
        {"transformer.embeddings.patch_embeddings", 787200}, {"transformer.encoder.layer.0", 7087872},
        {"transformer.encoder.layer", 85054464}, {"transformer.encoder.encoder_norm", 1536}, {"decoder.conv_more", 3539968},
        {"decoder.blocks.0", 2950144}, {"decoder.blocks.1", 737792}, {"decoder.blocks.2", 147712}, {"decoder.blocks.3", 11584},
        {"segmentation_head", 145},
    };
#define CHECK_STAGES(model, list)                                                                                              \
    do {                                                                                                                       \
        um_model_config config = net_config(64, 1, 1);                                                                         \
        built b;                                                                                                               \
        build(&b, model, &config, 224);                                                                                        \
        for (size_t i = 0; i < UM_COUNT(list); i++)                                                                            \
            if (stage_params(b.params, list[i].name) != list[i].params)                                                        \
                fail_msg("%s, stage %s has %ld parameters, expected %ld", model, list[i].name,                                 \
                         (long)stage_params(b.params, list[i].name), (long)list[i].params);                                    \
        drop(&b);                                                                                                              \
    } while (0)
    CHECK_STAGES("unet", unet);
    CHECK_STAGES("unetpp", unetpp);
    CHECK_STAGES("attention_unet", attention);
    CHECK_STAGES("transunet", transunet);
}

static void compare_names(const char *file, const um_params *p);

/* Classifiers: parameters at full size and 1000, 5 and 2 classes, then of small ones; GMACs at 224. */
static void classifiers(void **state)
{
    (void)state;
    static const struct { const char *model; int64_t width, classes, side, params; double gmacs; } list[] = {
        {"resnet18", 64, 1000, 224, 11689512, 1.814}, {"resnet18", 64, 5, 224, 11179077, 0},   {"resnet18", 64, 2, 224, 11177538, 0},
        {"resnet50", 64, 1000, 224, 25557032, 4.09},  {"resnet50", 64, 5, 224, 23518277, 0},   {"resnet50", 64, 2, 224, 23512130, 0},
        {"densenet121", 64, 1000, 224, 7978856, 2.83}, {"densenet121", 64, 5, 224, 6958981, 0}, {"densenet121", 64, 2, 224, 6955906, 0},
        {"vgg16_bn", 64, 1000, 224, 15236136, 15.35}, {"vgg16_bn", 64, 5, 224, 14725701, 0},   {"vgg16_bn", 64, 2, 224, 14724162, 0},
        {"vit_b16", 64, 1000, 224, 86567656, 17.56},  {"vit_b16", 64, 5, 224, 85802501, 0},    {"vit_b16", 64, 2, 224, 85800194, 0},
        {"resnet18", 16, 5, 64, 702741, 0},           {"resnet18", 8, 5, 64, 177037, 0},       {"vgg16_bn", 16, 5, 64, 923541, 0},
        {"vgg16_bn", 8, 5, 64, 231949, 0},            {"densenet121", 16, 5, 64, 453349, 0},
    };
    for (size_t i = 0; i < UM_COUNT(list); i++) {
        um_model_config config = net_config(list[i].width, 3, list[i].classes);
        built b;
        build(&b, list[i].model, &config, list[i].side);
        int64_t params = um_params_trainable_count(b.params);
        double gmacs = um_graph_flops(b.graph, 0, b.graph->n_nodes) / 2e9;
        if (params != list[i].params)
            fail_msg("%s w %ld, %ld classes: %ld parameters, expected %ld", list[i].model, (long)list[i].width, (long)list[i].classes,
                     (long)params, (long)list[i].params);
        if (list[i].gmacs > 0 && !(fabs(gmacs / list[i].gmacs - 1) < 0.012))
            fail_msg("%s: %.4f GMACs, expected %.3f", list[i].model, gmacs, list[i].gmacs);
        drop(&b);
    }
    static const char *const named[] = {"resnet18", "resnet50", "densenet121"};
    for (size_t i = 0; i < UM_COUNT(named); i++) {
        um_model_config config = net_config(64, 3, 1000);
        built b;
        build(&b, named[i], &config, 224);
        compare_names(named[i], b.params);
        drop(&b);
    }
}

typedef struct trace { const char *name; int64_t side, channels; } trace;

/* The output of the layer with this name: its last activation. */
static void check_trace(const um_graph *g, const trace *t)
{
    const um_tensor *found = NULL;
    for (um_tid i = 0; i < g->n_tensors; i++) {
        const um_tensor *q = &g->tensors[i];
        bool copied = q->parent >= 0 && q->producer >= 0 && g->nodes[q->producer].op == UM_OP_COPY;
        if (q->kind == UM_T_ACT && q->batched && !copied && !strcmp(q->name, t->name))
            found = q;
    }
    if (!found || found->h != t->side || found->w != t->side || found->c != t->channels)
        fail_msg("%s: [%ld,%ld,%ld], expected side %ld, %ld channels", t->name, found ? (long)found->h : -1,
                 found ? (long)found->w : -1, found ? (long)found->c : -1, (long)t->side, (long)t->channels);
}

static void shapes_at_224(void **state)
{
    (void)state;
    static const trace convt[] = {
        {"inc.double_conv.4", 224, 64},
        {"down1.maxpool_conv.1.double_conv.4", 112, 128},
        {"down2.maxpool_conv.1.double_conv.4", 56, 256},
        {"down3.maxpool_conv.1.double_conv.4", 28, 512},
        {"down4.maxpool_conv.1.double_conv.4", 14, 1024},
        {"up1.up", 28, 512},
        {"up1.conv", 28, 1024},
        {"up1.conv.double_conv.1", 28, 512},
        {"up1.conv.double_conv.4", 28, 512},
        {"up2.up", 56, 256},
        {"up2.conv", 56, 512},
        {"up2.conv.double_conv.4", 56, 256},
        {"up3.up", 112, 128},
        {"up3.conv", 112, 256},
        {"up3.conv.double_conv.4", 112, 128},
        {"up4.up", 224, 64},
        {"up4.conv", 224, 128},
        {"up4.conv.double_conv.4", 224, 64},
        {"outc.conv", 224, 1},
    };
    static const trace bilinear[] = {
        {"down4.maxpool_conv.1.double_conv.4", 14, 512},
        {"up1.conv", 28, 1024},
        {"up1.conv.double_conv.1", 28, 512},
        {"up1.conv.double_conv.4", 28, 256},
        {"up2.conv", 56, 512},
        {"up2.conv.double_conv.1", 56, 256},
        {"up2.conv.double_conv.4", 56, 128},
        {"up3.conv", 112, 256},
        {"up3.conv.double_conv.1", 112, 128},
        {"up3.conv.double_conv.4", 112, 64},
        {"up4.conv", 224, 128},
        {"up4.conv.double_conv.1", 224, 64},
        {"up4.conv.double_conv.4", 224, 64},
        {"outc.conv", 224, 1},
    };
    static const trace unetpp[] = {
        {"conv0_0.bn2", 224, 32}, {"conv1_0.bn2", 112, 64}, {"conv2_0.bn2", 56, 128}, {"conv3_0.bn2", 28, 256}, {"conv4_0.bn2", 14, 512},
        {"conv0_4", 224, 192},    {"conv1_3", 112, 320},    {"conv2_2", 56, 512},     {"conv3_1", 28, 768},     {"final", 224, 1},
    };
    static const trace attention[] = {
        {"Conv1.conv.4", 224, 64}, {"Conv2.conv.4", 112, 128}, {"Conv3.conv.4", 56, 256}, {"Conv4.conv.4", 28, 512}, {"Conv5.conv.4", 14, 1024},
        {"Up5.up.2", 28, 512},     {"Att5.psi.1", 28, 1},      {"Up_conv5", 28, 1024},    {"Up_conv5.conv.4", 28, 512},
        {"Up_conv4.conv.4", 56, 256}, {"Up_conv3.conv.4", 112, 128}, {"Up_conv2.conv.4", 224, 64}, {"Conv_1x1", 224, 1},
    };
    static const trace transunet[] = {
        {HYBRID "root.gn", 112, 64},     {"maxpool", 55, 64},         {HYBRID "body.block1.unit3.gn3", 55, 256}, {"fit", 56, 256},
        {HYBRID "body.block2.unit4.gn3", 28, 512}, {HYBRID "body.block3.unit9.gn3", 14, 1024},
        {"transformer.embeddings.patch_embeddings", 14, 768}, {"transformer.encoder.encoder_norm", 14, 768}, {"decoder.conv_more.1", 14, 512},
        {"decoder.blocks.0", 28, 1024},  {"decoder.blocks.1", 56, 512}, {"decoder.blocks.2", 112, 192}, {"decoder.blocks.3.conv2.1", 224, 16},
        {"segmentation_head.0", 224, 1},
    };
#define CHECK_TRACES(model, list)                                                                                              \
    do {                                                                                                                       \
        um_model_config config = net_config(64, 1, 1);                                                                         \
        built b;                                                                                                               \
        build(&b, model, &config, 224);                                                                                        \
        for (size_t i = 0; i < UM_COUNT(list); i++)                                                                            \
            check_trace(b.graph, &list[i]);                                                                                    \
        drop(&b);                                                                                                              \
    } while (0)
    CHECK_TRACES("unetpp", unetpp);
    CHECK_TRACES("attention_unet", attention);
    CHECK_TRACES("transunet", transunet);
    static const char *const models[] = {"unet", "cdc_unet"};
    for (size_t m = 0; m < UM_COUNT(models); m++)
        for (int up = 0; up < 2; up++) {
            um_model_config config = net_config(64, 1, 1);
            config.up = up ? UM_UP_BILINEAR : UM_UP_CONVT;
            built b;
            build(&b, models[m], &config, 224);
            for (size_t i = 0; i < (up ? UM_COUNT(bilinear) : UM_COUNT(convt)); i++)
                check_trace(b.graph, up ? &bilinear[i] : &convt[i]);
            drop(&b);
        }
}

/* "64x1x3x3" of a parameter. */
static void shape_text(const um_param *q, char *out, size_t size)
{
    size_t at = 0;
    for (int d = 0; d < q->n_dims; d++)
        at += (size_t)snprintf(out + at, size - at, "%s%ld", d ? "x" : "", (long)q->dims[d]);
}

/* The line that a tensor of ours makes in a list of names; which: its own, or its BatchNorm's counter. */
static bool our_line(const um_param *q, bool counter, char *out, size_t size)
{
    char shape[64] = "";
    if (!counter) {
        shape_text(q, shape, sizeof shape);
        snprintf(out, size, "%s\t%s\t%s", q->kind == UM_PARAM_BUFFER ? "buffer" : "param", q->name, shape);
    } else if (um_text_ends_with(q->name, ".running_var")) {
        snprintf(out, size, "buffer\t%.*snum_batches_tracked\t", (int)(strlen(q->name) - strlen("running_var")), q->name);
    }
    return !counter || um_text_ends_with(q->name, ".running_var");
}

static int find_line(const char *const *lines, int n, const char *wanted)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(lines[i], wanted))
            return i;
    return -1;
}

static void compare_names(const char *file, const um_params *p)
{
    char path[512], ours[256], *rest = NULL;
    enum { LINES = 1024 };
    const char *lines[LINES];
    int n = 0, matched = 0;
    um_text text = {0};
    snprintf(path, sizeof path, "%s/tests/data/names/%s.tsv", getenv("UMED_SOURCE_DIR"), file);
    assert_ok(um_file_read(&text, path, 1 << 20));
    for (char *line = strtok_r(text.data, "\n", &rest); line && n < LINES; line = strtok_r(NULL, "\n", &rest))
        if (line[0] != '#')
            lines[n++] = line;
    for (int k = 0; k < 2 * p->n; k++) {
        if (!our_line(&p->list[k / 2], k % 2, ours, sizeof ours))
            continue;
        if (find_line(lines, n, ours) < 0)
            fail_msg("%s has no line \"%s\"", path, ours);
        matched++;
    }
    if (matched != n) /* names are unique on both sides, so the rest is missing here */
        fail_msg("%s lists %d tensors, %d of them are ours", path, n, matched);
    um_text_free(&text);
}

static void names_and_shapes(void **state)
{
    (void)state;
    static const struct { const char *file, *model; int64_t in_ch, out_ch; } lists[] = {
        {"unet_in1", "unet", 1, 1},
        {"unet_in3", "unet", 3, 1},
        {"cdc_unet_in1", "cdc_unet", 1, 1},
        {"cdc_unet_in3", "cdc_unet", 3, 3},
        {"unetpp_in1", "unetpp", 1, 1},
        {"unetpp_in3", "unetpp", 3, 1},
        {"attention_unet_in1", "attention_unet", 1, 1},
        {"attention_unet_in3", "attention_unet", 3, 1},
        {"transunet", "transunet", 1, 1},
    };
    for (size_t i = 0; i < UM_COUNT(lists); i++) {
        um_model_config config = net_config(64, lists[i].in_ch, lists[i].out_ch);
        built b;
        build(&b, lists[i].model, &config, 224);
        compare_names(lists[i].file, b.params);
        drop(&b);
    }
}

static void refusals(void **state)
{
    (void)state;
    const um_model_def *def = NULL;
    um_backend *backend = NULL;
    um_params *params = NULL;
    um_graph *g = NULL;
    um_tid x = UM_NONE, logits = UM_NONE;
    um_model_config config = net_config(8, 1, 1);
    assert_int_equal(um_model_find(&def, "u-net"), UM_E_CONFIG);
    assert_non_null(strstr(um_error_text(), "\"unet\""));
    assert_null(def);
    assert_ok(um_model_find(&def, "unet"));
    assert_ok(um_backend_create(&backend, "cpu", UM_F32));
    assert_ok(um_params_create(&params, backend));
    assert_ok(um_graph_create(&g, UM_F32, 1));
    assert_ok(um_graph_input(g, &x, "image", 16, 15, 1));
    um_net net = {g, params, true, UM_BN_TRAIN};
    assert_int_equal(def->build(&net, &config, x, &logits), UM_E_DATA);
    assert_non_null(strstr(um_error_text(), "16x15"));
    um_graph_free(g);
    um_params_free(params);
    um_backend_free(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_tables), cmocka_unit_test(scale_table), cmocka_unit_test(stages),
        cmocka_unit_test(shapes_at_224),           cmocka_unit_test(names_and_shapes), cmocka_unit_test(refusals),
        cmocka_unit_test(classifiers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
