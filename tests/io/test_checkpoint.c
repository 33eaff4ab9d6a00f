/* io/checkpoint.h: exact return, strict names both ways, all or nothing. */
#include "io_fixture.h"

#include "io/checkpoint.h"

typedef struct model {
    float weight[6], bias[2], m[2][6], v[2][6];
    int64_t count;
    um_named_tensor state[3], adam_m[2], adam_v[2];
} model;

/* Tensors of a small layer with batch normalisation, not in name order. */
static void bind_model(model *m)
{
    m->state[0] = (um_named_tensor){"inc.weight", UM_H5_F32, 4, {2, 3, 1, 1}, m->weight};
    m->state[1] = (um_named_tensor){"inc.bias", UM_H5_F32, 1, {2}, m->bias};
    m->state[2] = (um_named_tensor){"bn.num_batches_tracked", UM_H5_I64, 0, {0}, &m->count};
    for (int i = 0; i < 2; i++) {
        m->adam_m[i] = m->state[i];
        m->adam_v[i] = m->state[i];
        m->adam_m[i].data = m->m[i];
        m->adam_v[i].data = m->v[i];
    }
}

static um_checkpoint content(model *m)
{
    bind_model(m);
    return (um_checkpoint){.state = m->state, .n_state = 3, .adam_m = m->adam_m, .adam_v = m->adam_v, .n_adam = 2, .adam_step = 99};
}

static void fill_model(model *m)
{
    for (int i = 0; i < 6; i++) {
        m->weight[i] = 0.1f * (float)i;
        m->m[0][i] = m->v[1][i] = (float)i;
        m->m[1][i] = m->v[0][i] = (float)-i;
    }
    m->bias[0] = -1;
    m->bias[1] = 2;
    m->count = 17;
}

static void save_example(const char *path)
{
    static double loss[3] = {3, 2, 1};
    const um_named_tensor history = {"loss", UM_H5_F64, 1, {3}, loss};
    const um_checkpoint_attr attrs[] = {{"arch", "unet", 0}, {"epoch", NULL, 3}, {"in_ch", NULL, 1}};
    const um_provenance provenance = {.settings = "run: { };\n"};
    model m = {0};
    fill_model(&m);
    um_checkpoint c = content(&m);
    c.history = &history;
    c.n_history = 1;
    c.attrs = attrs;
    c.n_attrs = 3;
    c.provenance = &provenance;
    OK(um_checkpoint_save(path, &c));
}

static void comes_back_exactly(void **state)
{
    (void)state;
    model m = {0}, original = {0};
    int64_t step = 0, epoch = 0, shape[1];
    bool adam = false;
    double *loss = NULL;
    um_text arch = {0};
    save_example(at("m.h5"));
    fill_model(&original);
    um_checkpoint want = content(&m);
    OK(um_checkpoint_load(at("m.h5"), &want, &step));
    assert_memory_equal(m.weight, original.weight, sizeof m.weight);
    assert_memory_equal(m.bias, original.bias, sizeof m.bias);
    assert_memory_equal(m.m[0], original.m[0], sizeof m.m[0]);
    assert_memory_equal(m.v[1], original.v[1], sizeof m.bias);
    assert_true(m.count == 17 && step == 99);
    OK(um_checkpoint_text(at("m.h5"), "arch", &arch));
    assert_string_equal(um_text_get(&arch), "unet");
    OK(um_checkpoint_int(at("m.h5"), "epoch", &epoch));
    OK(um_checkpoint_has_adam(at("m.h5"), &adam));
    OK(um_checkpoint_history(at("m.h5"), "loss", UM_H5_F64, 1, (void **)&loss, shape));
    assert_true(epoch == 3 && adam && shape[0] == 3 && loss[0] == 3);
    um_free(loss);
    um_text_free(&arch);
}

/* Loads into zeroed memory with one thing changed; nothing may have been written. */
static void refuse(um_checkpoint want, model *m, const char *path, const char *text)
{
    int64_t step = -1;
    model before = *m;
    FAILS(um_checkpoint_load(path, &want, &step), UM_E_DATA, text);
    assert_memory_equal(m, &before, sizeof before);
    assert_int_equal(step, -1);
}

static void strict_in_both_directions(void **state)
{
    (void)state;
    model m = {0};
    um_checkpoint want = content(&m);
    save_example(at("m.h5"));
    m.state[0].name = "inc.wight";
    refuse(want, &m, at("m.h5"), "/state_dict/inc.weight is unexpected");
    m.state[0].name = "a.new";
    refuse(want, &m, at("m.h5"), "/state_dict/a.new is missing");
    want = content(&m);
    want.n_state = 2;
    refuse(want, &m, at("m.h5"), "/state_dict/bn.num_batches_tracked is unexpected");
    want = content(&m);
    m.state[0].shape[1] = 4;
    refuse(want, &m, at("m.h5"), "/state_dict/inc.weight has shape [2,3,1,1], expected [2,4,1,1]");
    want = content(&m);
    m.state[1].dtype = UM_H5_F64;
    refuse(want, &m, at("m.h5"), "/state_dict/inc.bias holds f32, expected f64");
    want = content(&m);
    m.adam_v[1].shape[0] = 1;
    refuse(want, &m, at("m.h5"), "/adam/v/inc.bias has shape [2], expected [1]");
}

static void changed_content_is_refused(void **state)
{
    (void)state;
    model m = {0}, original = {0};
    size_t n;
    um_h5 *f = NULL;
    um_checkpoint want = content(&m);
    save_example(at("m.h5"));
    fill_model(&original);
    uint8_t *bytes = load_bytes(at("m.h5"), &n);
    long place = find_bytes(bytes, n, original.weight, sizeof original.weight);
    assert_true(place > 0);
    bytes[place + 9] ^= 1;
    store_bytes(at("bad.h5"), bytes, n);
    refuse(want, &m, at("bad.h5"), "cannot read /state_dict/inc.weight");
    free(bytes);
    OK(um_h5_create(&f, at("other.h5"), UM_CHECKPOINT_FORMAT, UM_CHECKPOINT_VERSION));
    OK(um_h5_set_text(f, "/", "sha256", "0123"));
    OK(um_h5_make_group(f, "/state_dict"));
    OK(um_h5_commit(&f));
    refuse((um_checkpoint){0}, &m, at("other.h5"), "recorded is 0123");
}

static void without_moments(void **state)
{
    (void)state;
    model m = {0};
    bool adam = true;
    um_checkpoint c = content(&m);
    c.n_adam = 0;
    OK(um_checkpoint_save(at("m.h5"), &c));
    OK(um_checkpoint_has_adam(at("m.h5"), &adam));
    assert_false(adam);
    OK(um_checkpoint_load(at("m.h5"), &c, NULL));
    refuse(content(&m), &m, at("m.h5"), "no /adam/step");
    m.state[1].name = m.state[0].name;
    FAILS(um_checkpoint_save(at("n.h5"), &c), UM_E_BUG, "two tensors of a checkpoint are named 'inc.weight'");
    assert_false(um_file_exists(at("n.h5")) || um_file_exists(at("n.h5.part")));
}

static void replaces_the_older_one(void **state)
{
    (void)state;
    model m = {0};
    um_checkpoint c = content(&m);
    save_example(at("m.h5"));
    c.adam_step = 100;
    OK(um_checkpoint_save(at("m.h5"), &c));
    int64_t step = 0;
    OK(um_checkpoint_load(at("m.h5"), &c, &step));
    assert_int_equal(step, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(comes_back_exactly),   FIXTURE_TEST(strict_in_both_directions), FIXTURE_TEST(changed_content_is_refused),
        FIXTURE_TEST(without_moments),      FIXTURE_TEST(replaces_the_older_one),
    };
    return cmocka_run_group_tests_name("io/checkpoint", tests, NULL, NULL);
}
