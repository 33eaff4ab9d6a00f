/* TransUNet's pretrained weights from .npz files that this test writes: the mapping of models.md 6.4, the position table, stored,
 * deflated and zip64 archives, and files that must be refused without touching the network. */
#include <math.h>
#include <zip.h>

#include "models/transunet.h"
#include "train/pretrained.h"
#include "train/train_fixture.h"

enum { W = 8, D = 12 * W, HEADS = 2, LAYERS = 4, MAX_ARRAYS = 160, MAX_BYTES = 4 << 20 };

/* ---- the arrays: what models.md 6.4 says, written down a second time ---- */

typedef enum turn { FLAT, HWIO, TRANSPOSED, POSITIONS } turn;

typedef struct entry {
    char key[96], name[96];
    turn turn;
    int n_dims;
    int64_t dims[4];
} entry;

static entry entries[MAX_ARRAYS];
static int n_entries;

static void add(const char *key, const char *name, turn how, int n_dims, int64_t a, int64_t b, int64_t c, int64_t d)
{
    entry *e = &entries[n_entries++];
    assert_true(n_entries <= MAX_ARRAYS);
    *e = (entry){.turn = how, .n_dims = n_dims, .dims = {a, b, c, d}};
    snprintf(e->key, sizeof e->key, "%.95s", key);
    snprintf(e->name, sizeof e->name, "%.95s", name);
}

#define PAIR(key_format, name_format, ...)                                                                                     \
    snprintf(key, sizeof key, key_format, __VA_ARGS__), snprintf(name, sizeof name, name_format, __VA_ARGS__)
#define HYBRID "transformer.embeddings.hybrid_model."

static void add_norm(const char *key, const char *name, int64_t c, bool grouped)
{
    char k[128], n[128];
    snprintf(k, sizeof k, "%s/scale", key), snprintf(n, sizeof n, "%s.weight", name);
    grouped ? add(k, n, FLAT, 4, 1, 1, 1, c) : add(k, n, FLAT, 1, c, 0, 0, 0);
    snprintf(k, sizeof k, "%s/bias", key), snprintf(n, sizeof n, "%s.bias", name);
    grouped ? add(k, n, FLAT, 4, 1, 1, 1, c) : add(k, n, FLAT, 1, c, 0, 0, 0);
}

static void add_unit(int block)
{
    char key[96], name[96];
    int64_t mid = W << (block - 1), in[4] = {0, block == 1 ? W : 2 * mid, mid, mid}, out[4] = {0, mid, mid, 4 * mid};
    for (int n = 1; n <= 3; n++) {
        PAIR("block%d/unit1/conv%d/kernel", HYBRID "body.block%d.unit1.conv%d.weight", block, n);
        add(key, name, HWIO, 4, n == 2 ? 3 : 1, n == 2 ? 3 : 1, in[n], out[n]);
        PAIR("block%d/unit1/gn%d", HYBRID "body.block%d.unit1.gn%d", block, n);
        add_norm(key, name, out[n], true);
    }
    PAIR("block%d/unit1/conv_proj/kernel", HYBRID "body.block%d.unit1.downsample.weight", block);
    add(key, name, HWIO, 4, 1, 1, in[1], out[3]);
    PAIR("block%d/unit1/gn_proj", HYBRID "body.block%d.unit1.gn_proj", block);
    add_norm(key, name, out[3], true);
}

static void add_layer(int i)
{
    static const char *const parts[] = {"query", "key", "value"};
    char key[96], name[96];
    PAIR("Transformer/encoderblock_%d/LayerNorm_0", "transformer.encoder.layer.%d.attention_norm", i),
        add_norm(key, name, D, false);
    PAIR("Transformer/encoderblock_%d/LayerNorm_2", "transformer.encoder.layer.%d.ffn_norm", i), add_norm(key, name, D, false);
    for (int p = 0; p < 3; p++) {
        snprintf(key, sizeof key, "Transformer/encoderblock_%d/MultiHeadDotProductAttention_1/%s/kernel", i, parts[p]);
        snprintf(name, sizeof name, "transformer.encoder.layer.%d.attn.%s.weight", i, parts[p]);
        add(key, name, TRANSPOSED, 3, D, HEADS, D / HEADS, 0);
        snprintf(key, sizeof key, "Transformer/encoderblock_%d/MultiHeadDotProductAttention_1/%s/bias", i, parts[p]);
        snprintf(name, sizeof name, "transformer.encoder.layer.%d.attn.%s.bias", i, parts[p]);
        add(key, name, FLAT, 2, HEADS, D / HEADS, 0, 0);
    }
    PAIR("Transformer/encoderblock_%d/MultiHeadDotProductAttention_1/out/kernel", "transformer.encoder.layer.%d.attn.out.weight",
         i);
    add(key, name, TRANSPOSED, 3, HEADS, D / HEADS, D, 0);
    PAIR("Transformer/encoderblock_%d/MultiHeadDotProductAttention_1/out/bias", "transformer.encoder.layer.%d.attn.out.bias", i);
    add(key, name, FLAT, 1, D, 0, 0, 0);
    for (int k = 0; k < 2; k++) {
        snprintf(key, sizeof key, "Transformer/encoderblock_%d/MlpBlock_3/Dense_%d/kernel", i, k);
        snprintf(name, sizeof name, "transformer.encoder.layer.%d.ffn.fc%d.weight", i, k + 1);
        add(key, name, TRANSPOSED, 2, k ? 4 * D : D, k ? D : 4 * D, 0, 0);
        snprintf(key, sizeof key, "Transformer/encoderblock_%d/MlpBlock_3/Dense_%d/bias", i, k);
        snprintf(name, sizeof name, "transformer.encoder.layer.%d.ffn.fc%d.bias", i, k + 1);
        add(key, name, FLAT, 1, k ? D : 4 * D, 0, 0, 0);
    }
}

static void list_arrays(int64_t grid)
{
    n_entries = 0;
    add("conv_root/kernel", HYBRID "root.conv.weight", HWIO, 4, 7, 7, 3, W);
    add_norm("gn_root", HYBRID "root.gn", W, true);
    for (int block = 1; block <= 3; block++)
        add_unit(block);
    add("embedding/kernel", "transformer.embeddings.patch_embeddings.weight", HWIO, 4, 1, 1, 16 * W, D);
    add("embedding/bias", "transformer.embeddings.patch_embeddings.bias", FLAT, 1, D, 0, 0, 0);
    add("Transformer/posembed_input/pos_embedding", "transformer.embeddings.position_embeddings", POSITIONS, 3, 1, 1 + grid * grid,
        D, 0);
    for (int i = 0; i < LAYERS; i++)
        add_layer(i);
    add_norm("Transformer/encoder_norm", "transformer.encoder.encoder_norm", D, false);
}

static int64_t count_of(const entry *e)
{
    int64_t n = 1;
    for (int d = 0; d < e->n_dims; d++)
        n *= e->dims[d];
    return n;
}

/* Exactly representable in every float type. */
static double value_at(const char *key, int64_t i)
{
    uint32_t words[4];
    um_rng_words(11, UM_RNG_TEST, (uint32_t)i, um_text_hash(key), 4, words);
    return (double)(words[0] % 2048) / 1024 - 1;
}

/* ---- .npy and .npz ---- */

typedef struct bytes {
    uint8_t *data;
    size_t n;
} bytes;

static void put(bytes *b, const void *data, size_t n)
{
    assert_true(b->n + n <= MAX_BYTES);
    memcpy(b->data + b->n, data, n);
    b->n += n;
}

static void put_int(bytes *b, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        put(b, &(uint8_t){(uint8_t)(v >> (8 * i))}, 1);
}

static uint16_t half_of(double v)
{
    if (v == 0)
        return 0;
    int exponent;
    double m = frexp(fabs(v), &exponent); /* normal numbers only */
    return (uint16_t)((v < 0) << 15 | (exponent + 14) << 10 | ((int)(m * 2048) - 1024));
}

/* What may be wrong with an array. */
typedef struct flaw {
    const char *key, *type; /* type: the descr that is written instead */
    bool missing, fortran, wrong_shape, short_data, no_header, not_a_number;
} flaw;

static void put_npy(bytes *b, const entry *e, const char *type, const flaw *f)
{
    char header[256], shape[96] = "";
    bool flawed = f && f->key && !strcmp(f->key, e->key);
    int size = type[2] - '0';
    for (int d = 0; d < e->n_dims; d++)
        snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%ld, ",
                 (long)(e->dims[d] + (flawed && f->wrong_shape && d == 0)));
    int n = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': %s, 'shape': (%s), }",
                     flawed && f->type ? f->type : type, flawed && f->fortran ? "True" : "False", shape);
    put(b, flawed && f->no_header ? "\x93NUMPX\x01" : "\x93NUMPY\x01", 8); /* with the terminator: version 1.0 */
    put_int(b, (uint64_t)n + 1, 2);
    put(b, header, (size_t)n);
    put(b, "\n", 1);
    int64_t extra = flawed && f->wrong_shape ? count_of(e) / e->dims[0] : flawed && f->short_data ? -3 : 0;
    for (int64_t i = 0; i < count_of(e) + extra; i++) {
        double v = flawed && f->not_a_number && i == 2 ? NAN : value_at(e->key, i);
        float single = (float)v;
        size == 8 ? put(b, &v, 8) : size == 4 ? put(b, &single, 4) : put_int(b, half_of(v), 2);
    }
}

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

/* The fields that a local and a central header share. */
static void put_zip_fields(bytes *b, uint32_t crc, size_t size, const char *name, bool zip64, bool central)
{
    put_int(b, zip64 ? 45 : 20, 2);
    put_int(b, 0, 2), put_int(b, 0, 2), put_int(b, 0, 4); /* flags, stored, time */
    put_int(b, crc, 4);
    put_int(b, zip64 ? 0xFFFFFFFFu : size, 4), put_int(b, zip64 ? 0xFFFFFFFFu : size, 4);
    put_int(b, strlen(name), 2);
    put_int(b, zip64 ? central ? 28 : 20 : 0, 2);
}

/* A stored archive, written byte by byte; zip64 puts sizes and offsets where large archives have them. */
static void write_stored(const char *path, const char *type, bool zip64, const flaw *f)
{
    bytes file = {malloc(MAX_BYTES), 0}, central = {malloc(MAX_BYTES), 0}, one = {malloc(MAX_BYTES), 0};
    int n = 0;
    for (int i = 0; i < n_entries; i++) {
        char name[128];
        size_t at = file.n;
        if (f && f->missing && !strcmp(f->key, entries[i].key))
            continue;
        one.n = 0;
        put_npy(&one, &entries[i], type, f);
        snprintf(name, sizeof name, "%.95s.npy", entries[i].key);
        put(&file, "PK\x03\x04", 4), put_zip_fields(&file, crc32_of(one.data, one.n), one.n, name, zip64, false);
        put(&file, name, strlen(name));
        if (zip64)
            put_int(&file, 1, 2), put_int(&file, 16, 2), put_int(&file, one.n, 8), put_int(&file, one.n, 8);
        put(&file, one.data, one.n);
        put(&central, "PK\x01\x02", 4), put_int(&central, 45, 2);
        put_zip_fields(&central, crc32_of(one.data, one.n), one.n, name, zip64, true);
        put_int(&central, 0, 6), put_int(&central, 0, 4), put_int(&central, zip64 ? 0xFFFFFFFFu : at, 4);
        put(&central, name, strlen(name));
        if (zip64)
            put_int(&central, 1, 2), put_int(&central, 24, 2), put_int(&central, one.n, 8), put_int(&central, one.n, 8),
                put_int(&central, at, 8);
        n++;
    }
    size_t begin = file.n;
    put(&file, central.data, central.n);
    if (zip64) {
        size_t record = file.n;
        put(&file, "PK\x06\x06", 4), put_int(&file, 44, 8), put_int(&file, 45, 2), put_int(&file, 45, 2), put_int(&file, 0, 8);
        put_int(&file, (uint64_t)n, 8), put_int(&file, (uint64_t)n, 8), put_int(&file, central.n, 8), put_int(&file, begin, 8);
        put(&file, "PK\x06\x07", 4), put_int(&file, 0, 4), put_int(&file, record, 8), put_int(&file, 1, 4);
    }
    put(&file, "PK\x05\x06", 4), put_int(&file, 0, 4), put_int(&file, (uint64_t)n, 2), put_int(&file, (uint64_t)n, 2);
    put_int(&file, zip64 ? 0xFFFFFFFFu : central.n, 4), put_int(&file, zip64 ? 0xFFFFFFFFu : begin, 4), put_int(&file, 0, 2);
    assert_ok(um_file_write(path, file.data, file.n));
    free(file.data), free(central.data), free(one.data);
}

static void write_deflated(const char *path)
{
    static bytes members[MAX_ARRAYS];
    zip_t *z = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    assert_non_null(z);
    for (int i = 0; i < n_entries; i++) {
        char name[128];
        members[i] = (bytes){malloc(MAX_BYTES), 0};
        put_npy(&members[i], &entries[i], "<f4", NULL);
        snprintf(name, sizeof name, "%.95s.npy", entries[i].key);
        zip_int64_t at = zip_file_add(z, name, zip_source_buffer(z, members[i].data, members[i].n, 0), 0);
        assert_true(at >= 0 && zip_set_file_compression(z, (zip_uint64_t)at, ZIP_CM_DEFLATE, 6) == 0);
    }
    assert_int_equal(zip_close(z), 0);
    for (int i = 0; i < n_entries; i++)
        free(members[i].data);
}

/* ---- the network ---- */

typedef struct net {
    um_backend *backend;
    um_params *params;
    um_graph *graph;
    const um_model_def *model;
} net;

static void open_net(net *n, int64_t side)
{
    um_model_config config = net_config(W, 3, 1);
    um_tid x = UM_NONE, logits = UM_NONE;
    assert_ok(um_backend_create(&n->backend, "cpu", UM_F32));
    assert_ok(um_params_create(&n->params, n->backend));
    assert_ok(um_graph_create(&n->graph, UM_F32, 1));
    assert_ok(um_model_find(&n->model, "transunet"));
    assert_ok(um_graph_input(n->graph, &x, "image", side, side, 3));
    assert_ok(n->model->build(&(um_net){n->graph, n->params, true, UM_BN_TRAIN, NULL}, &config, x, &logits));
    assert_ok(um_params_init(n->params, 1, UM_RNG_TEST));
}

static void close_net(net *n)
{
    um_graph_free(n->graph);
    um_params_free(n->params);
    um_backend_free(n->backend);
}

static const entry *entry_of(const char *name)
{
    for (int i = 0; i < n_entries; i++)
        if (!strcmp(entries[i].name, name))
            return &entries[i];
    return NULL;
}

/* Positions are compared where the two grids meet: `step` cells of the file's per token of ours. */
static double expected(const entry *e, const um_param *q, int64_t i, int64_t grid, int64_t step)
{
    int64_t out = q->dims[0], in = q->dims[1], taps = q->dims[2] * q->dims[3];
    if (e->turn == FLAT)
        return value_at(e->key, i);
    if (e->turn == TRANSPOSED)
        return value_at(e->key, i % in * out + i / in);
    if (e->turn == HWIO)
        return value_at(e->key, (i % taps * in + i / taps % in) * out + i / taps / in);
    int64_t t = i / D, side = (int64_t)lround(sqrt((double)q->dims[1]));
    return value_at(e->key, (1 + t / side * step * grid + t % side * step) * D + i % D);
}

static void expect_loaded(const net *n, int64_t grid, int64_t step)
{
    int found = 0;
    net fresh;
    open_net(&fresh, 32);
    for (int k = 0; k < n->params->n; k++) {
        const um_param *q = &n->params->list[k];
        const entry *e = entry_of(q->name);
        double *value = net_param(n->params, k, UM_BLOCK_VALUE);
        if (!e && strncmp(q->name, "decoder.", 8) && strncmp(q->name, "segmentation_head.", 18))
            fail_msg("%s is not in the test's list", q->name);
        found += e != NULL;
        for (int64_t i = 0; e && i < q->count; i++)
            if (value[i] != expected(e, q, i, grid, step))
                fail_msg("%s[%ld] is %g, expected %g", q->name, (long)i, value[i], expected(e, q, i, grid, step));
        if (!e && n->graph->tensors[0].h == 32) {
            double *initial = net_param(fresh.params, k, UM_BLOCK_VALUE);
            assert_memory_equal(initial, value, (size_t)q->count * sizeof *value);
            um_free(initial);
        }
        um_free(value);
    }
    assert_int_equal(found, n_entries);
    close_net(&fresh);
}

static void every_array_finds_its_tensor(void **state)
{
    (void)state;
    static const char *const types[] = {"<f4", "<f2", "<f8"};
    list_arrays(2);
    for (size_t t = 0; t < UM_COUNT(types); t++) {
        net n;
        open_net(&n, 32);
        write_stored(at("weights.npz"), types[t], false, NULL);
        assert_ok(um_pretrained_load(n.params, n.model, at("weights.npz")));
        expect_loaded(&n, 2, 1);
        close_net(&n);
    }
}

static void deflated_and_zip64(void **state)
{
    (void)state;
    list_arrays(2);
    for (int i = 0; i < 2; i++) {
        net n;
        open_net(&n, 32);
        if (i)
            write_deflated(at("weights.npz"));
        else
            write_stored(at("weights.npz"), "<f4", true, NULL);
        assert_ok(um_pretrained_load(n.params, n.model, at("weights.npz")));
        expect_loaded(&n, 2, 1);
        close_net(&n);
    }
}

static void other_grids_are_resampled(void **state)
{
    (void)state;
    net n;
    list_arrays(5); /* 5 x 5 in the file, 3 x 3 here: every second cell */
    write_stored(at("weights.npz"), "<f4", false, NULL);
    open_net(&n, 48);
    assert_ok(um_pretrained_load(n.params, n.model, at("weights.npz")));
    expect_loaded(&n, 5, 2);
    close_net(&n);
    open_net(&n, 64); /* 4 x 4: between the cells */
    assert_ok(um_pretrained_load(n.params, n.model, at("weights.npz")));
    int k = um_params_find(n.params, "transformer.embeddings.position_embeddings");
    double *value = net_param(n.params, k, UM_BLOCK_VALUE);
    const char *key = "Transformer/posembed_input/pos_embedding";
    for (int64_t c = 0; c < D; c++) { /* token (0,1) lies a third of the way from cell 1 to cell 2 */
        double left = value_at(key, (1 + 1) * D + c), right = value_at(key, (1 + 2) * D + c);
        assert_float_equal(value[1 * D + c], left + (right - left) / 3, 1e-6);
        assert_float_equal(value[15 * D + c], value_at(key, 25 * D + c), 1e-6);
    }
    um_free(value);
    close_net(&n);
}

static void refuse(const char *path, um_status code, const char *says)
{
    net n;
    char before[65], after[65];
    open_net(&n, 32);
    assert_ok(um_params_sha256(n.params, before));
    um_status rc = um_pretrained_load(n.params, n.model, path);
    if (rc != code || !strstr(um_error_text(), says) || !strstr(um_error_text(), "weights.npz"))
        fail_msg("got %s \"%s\", expected %s with \"%s\"", um_status_name(rc), um_error_text(), um_status_name(code), says);
    assert_ok(um_params_sha256(n.params, after));
    assert_string_equal(before, after);
    close_net(&n);
}

static void flawed_files_are_refused_whole(void **state)
{
    (void)state;
    static const flaw flaws[] = {
        {.key = "Transformer/encoder_norm/bias", .missing = true},
        {.key = "block3/unit1/conv2/kernel", .wrong_shape = true},
        {.key = "Transformer/encoderblock_3/MultiHeadDotProductAttention_1/out/kernel", .wrong_shape = true},
        {.key = "Transformer/posembed_input/pos_embedding", .wrong_shape = true},
        {.key = "Transformer/encoderblock_2/MlpBlock_3/Dense_0/kernel", .type = "<i4"},
        {.key = "Transformer/encoderblock_2/MlpBlock_3/Dense_0/kernel", .type = ">f4"},
        {.key = "embedding/kernel", .fortran = true},
        {.key = "embedding/bias", .short_data = true},
        {.key = "gn_root/scale", .no_header = true},
        {.key = "gn_root/bias", .not_a_number = true},
    };
    list_arrays(2);
    for (size_t i = 0; i < UM_COUNT(flaws); i++) {
        write_stored(at("weights.npz"), "<f4", i % 2, &flaws[i]);
        refuse(at("weights.npz"), UM_E_DATA, flaws[i].key);
    }
}

static void damaged_files_are_refused_whole(void **state)
{
    (void)state;
    um_text text = {0};
    list_arrays(2);
    for (int deflated = 0; deflated < 2; deflated++) {
        if (deflated)
            write_deflated(at("weights.npz"));
        else
            write_stored(at("weights.npz"), "<f4", false, NULL);
        um_text_free(&text);
        assert_ok(um_file_read(&text, at("weights.npz"), MAX_BYTES));
        for (int cut = 1; cut <= 9; cut++) { /* truncated: the directory at the end is gone, so no tensor can be named */
            assert_ok(um_file_write(at("weights.npz"), text.data, text.n * (size_t)cut / 10));
            refuse(at("weights.npz"), UM_E_DATA, "not a complete .npz file");
        }
        char *spot = text.data + text.n / 2; /* inside a member */
        *spot ^= 0x55;
        assert_ok(um_file_write(at("weights.npz"), text.data, text.n));
        refuse(at("weights.npz"), UM_E_DATA, "tensor ");
        *spot ^= 0x55;
    }
    um_text_free(&text);
    assert_ok(um_file_write(at("weights.npz"), "no archive", 10));
    refuse(at("weights.npz"), UM_E_DATA, "not a complete .npz file");
    unlink(at("weights.npz"));
    refuse(at("weights.npz"), UM_E_IO, "weights.npz");
}

static void labels(void **state)
{
    (void)state;
    const um_model_def *transunet = NULL, *unet = NULL;
    um_settings *settings = NULL;
    char label[64];
    assert_ok(um_model_find(&transunet, "transunet"));
    assert_ok(um_model_find(&unet, "unet"));
    const um_opt_table *tables[] = {transunet->table, NULL};
    assert_ok(um_settings_create(&settings, tables));
    um_pretrained_label(transunet, settings, label);
    assert_string_equal(label, "transunet-scratch");
    um_pretrained_label(unet, settings, label);
    assert_string_equal(label, "unet");
    assert_ok(um_settings_set(settings, "transunet.pretrained", "x.npz", "test"));
    um_pretrained_label(transunet, settings, label);
    assert_string_equal(label, "transunet-pretrained");
    assert_string_equal(um_pretrained_path(transunet, settings), "x.npz");
    um_settings_free(settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(every_array_finds_its_tensor), FIXTURE_TEST(deflated_and_zip64),
        FIXTURE_TEST(other_grids_are_resampled),    FIXTURE_TEST(flawed_files_are_refused_whole),
        FIXTURE_TEST(damaged_files_are_refused_whole), FIXTURE_TEST(labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
