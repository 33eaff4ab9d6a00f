/* io/private.h, io/store.h and io/check.h: the files around a dataset. */
#include "io_fixture.h"

#include "io/check.h"
#include "io/checkpoint.h"
#include "io/private.h"
#include "io/store.h"

static um_dataset *protect(const um_dataset *clean, int amount)
{
    um_dataset *d = NULL;
    OK(um_dataset_clone(&d, clean));
    for (int64_t i = 0; i < d->n * d->h * d->w * d->c; i++) {
        int change = (int)(i * 7 % (2 * amount + 1)) - amount;
        if (d->bits == 8) {
            int v = ((uint8_t *)d->images)[i] + change;
            ((uint8_t *)d->images)[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        } else {
            int v = ((uint16_t *)d->images)[i] + change;
            ((uint16_t *)d->images)[i] = (uint16_t)(v < 0 ? 0 : v > 65535 ? 65535 : v);
        }
    }
    return d;
}

static void restores(int64_t c, int bits, int amount)
{
    um_dataset *clean = make_dataset(5, 16, 16, c, bits), *released = protect(clean, amount), *back = NULL;
    int64_t seed = 5;
    const um_provenance provenance = {.command = "umed protect", .seed = &seed, .settings = "umed: { };\n"};
    struct stat info;
    OK(um_private_write(at("out.private"), clean, released, amount, &provenance));
    assert_int_equal(stat(at("out.private"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    OK(um_private_restore(&back, released, at("out.private")));
    assert_same_dataset(back, clean);
    OK(um_private_write(at("out.private"), clean, released, amount, NULL)); /* the same release once more */
    um_dataset_free(back);
    OK(um_dataset_clone(&back, clean));
    ((uint8_t *)back->images)[0] ^= 1;
    FAILS(um_private_write(at("out.private"), back, released, amount + 1, NULL), UM_E_USAGE, "already there");
    OK(um_dir_remove(at("out.private")));
    um_dataset_free(back);
    um_dataset_free(released);
    um_dataset_free(clean);
}

static void restore_is_exact(void **state)
{
    (void)state;
    restores(1, 8, 4);
    restores(3, 8, 200);
    restores(1, 16, 4 * 257);
    restores(3, 16, 32767);
}

static void restore_refuses_another_release(void **state)
{
    (void)state;
    um_dataset *clean = make_dataset(5, 16, 16, 1, 8), *released = protect(clean, 4), *back = NULL;
    OK(um_private_write(at("p"), clean, released, UINT16_MAX, NULL));
    ((uint8_t *)released->images)[77] ^= 1;
    FAILS(um_private_restore(&back, released, at("p")), UM_E_DATA, "not the one released then");
    released->ids[3][0] = 'X';
    FAILS(um_private_restore(&back, released, at("p")), UM_E_DATA, "row 3 was 'bénign (3)'");
    FAILS(um_private_restore(&back, released, at("q")), UM_E_IO, "q/private.h5");
    assert_null(back);
    um_dataset_free(released);
    um_dataset_free(clean);
}

static void delta_must_fit(void **state)
{
    (void)state;
    um_dataset *clean = make_dataset(2, 4, 4, 1, 16), *released = NULL;
    ((uint16_t *)clean->images)[20] = 65535;
    OK(um_dataset_clone(&released, clean));
    ((uint16_t *)released->images)[20] = 3;
    FAILS(um_private_write(at("p"), clean, released, UINT16_MAX, NULL), UM_E_DATA, "image 'bénign (1)': a pixel changes by -65532");
    assert_false(um_file_exists(at("p/private.h5")));
    um_dataset_free(released);
    um_dataset_free(clean);
}

static void private_folder_names(void **state)
{
    (void)state;
    const char *pairs[][2] = {{"a/OUT.h5", "a/OUT.private"}, {"a/shards/", "a/shards.private"}, {"shards", "shards.private"}};
    for (int i = 0; i < 3; i++) {
        char *folder = NULL;
        OK(um_private_folder(&folder, pairs[i][0]));
        assert_string_equal(folder, pairs[i][1]);
        um_free(folder);
    }
}

static void write_result(const char *path, double dsc, double seconds)
{
    um_h5 *f = NULL;
    const double loss[] = {1, 0.5, dsc}, psnr[] = {36.1, 36.2};
    const char *ids[] = {"a", "b"};
    OK(um_h5_create(&f, path, UM_RESULT_FORMAT, UM_RESULT_VERSION));
    OK(um_store_metric(f, "dsc_batch32", dsc, "1", "2 TP / (2 TP + FP + FN), pooled per batch of 32"));
    OK(um_store_metric(f, "dsc_pooled", dsc / 2, "1", NULL));
    OK(um_store_curve(f, "loss", loss, 3, "1", "training loss"));
    OK(um_store_image_ids(f, ids, 2));
    OK(um_store_image_values(f, "psnr", psnr, 2, "dB", NULL));
    OK(um_store_timing(f, "train", seconds));
    OK(um_store_seal(f));
    OK(um_h5_commit(&f));
}

static void science_of(const char *path, char out[UM_SHA256_HEX])
{
    um_h5 *f = NULL;
    um_text recorded = {0};
    OK(um_h5_open(&f, path, UM_RESULT_FORMAT, UM_RESULT_VERSION));
    OK(um_store_verify(f));
    OK(um_h5_get_text(f, "/", "science_sha256", &recorded));
    snprintf(out, UM_SHA256_HEX, "%s", um_text_get(&recorded));
    um_text_free(&recorded);
    um_h5_free(f);
}

static void results_come_back(void **state)
{
    (void)state;
    um_h5 *f = NULL;
    double value = 0, *list = NULL;
    int64_t n = 0;
    char a[UM_SHA256_HEX], b[UM_SHA256_HEX], c[UM_SHA256_HEX];
    write_result(at("r.h5"), 0.25, 10);
    OK(um_h5_open(&f, at("r.h5"), UM_RESULT_FORMAT, UM_RESULT_VERSION));
    OK(um_store_get_metric(f, "dsc_pooled", &value));
    assert_true(value == 0.125);
    OK(um_store_get_curve(f, "loss", &list, &n));
    assert_true(n == 3 && list[2] == 0.25);
    um_free(list);
    OK(um_store_get_image_values(f, "psnr", &list, &n));
    assert_true(n == 2 && list[1] == 36.2);
    um_free(list);
    OK(um_store_get_timing(f, "train", &value));
    assert_true(value == 10);
    FAILS(um_store_get_metric(f, "iou", &value), UM_E_DATA, "no /metrics/iou");
    um_h5_free(f);
    write_result(at("later.h5"), 0.25, 99);
    write_result(at("other.h5"), 0.26, 10);
    science_of(at("r.h5"), a);
    science_of(at("later.h5"), b);
    science_of(at("other.h5"), c);
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
}

typedef struct told {
    int good, bad;
    char last_bad[512];
} told;

static void tell(const char *path, um_status status, const char *line, void *payload)
{
    told *t = payload;
    assert_non_null(strstr(path, fixture_dir));
    if (status == UM_OK)
        t->good++;
    else
        t->bad++;
    if (status != UM_OK)
        snprintf(t->last_bad, sizeof t->last_bad, "%s", line);
}

/* The shape of a sweep: datasets, shards, a checkpoint, a result. */
static void make_sweep(void)
{
    um_dataset *d = make_dataset(6, 8, 8, 1, 8);
    float weight[2] = {1, 2};
    const um_named_tensor tensor = {"w", UM_H5_F32, 1, {2}, weight};
    OK(um_dir_make(at("s/cells/k1"), 0777));
    OK(um_dataset_write(d, at("s/data.h5"), NULL));
    OK(um_dataset_write(d, at("s/shards"), &(um_dataset_write_options){.n_shards = 3}));
    OK(um_checkpoint_save(at("s/cells/k1/m.h5"), &(um_checkpoint){.state = &tensor, .n_state = 1}));
    write_result(at("s/cells/k1/result.h5"), 0.5, 1);
    um_dataset_free(d);
}

static void check_finds_all_good(void **state)
{
    (void)state;
    told t = {0};
    make_sweep();
    OK(um_check_path(at("s"), tell, &t));
    assert_true(t.good == 7 && t.bad == 0);
    OK(um_check_path(at("s/data.h5"), NULL, NULL));
    OK(um_dir_make(at("empty"), 0777));
    FAILS(um_check_path(at("empty"), tell, &t), UM_E_DATA, "no .h5 file");
    FAILS(um_check_path(at("none"), tell, &t), UM_E_IO, "none");
}

static void check_finds_every_bad_file(void **state)
{
    (void)state;
    told t = {0};
    size_t n;
    make_sweep();
    const char *files[] = {"s/data.h5", "s/cells/k1/m.h5", "s/cells/k1/result.h5"};
    for (int i = 0; i < 3; i++) {
        uint8_t *bytes = load_bytes(at(files[i]), &n);
        store_bytes(at(files[i]), bytes, n - 200);
        free(bytes);
    }
    assert_int_equal(unlink(at("s/shards/shard-00001-of-00003.h5")), 0);
    FAILS(um_check_path(at("s"), tell, &t), UM_E_DATA, "s/cells/k1/m.h5: cannot open as HDF5: truncated file");
    assert_true(t.good == 2 && t.bad == 4);
    assert_non_null(strstr(t.last_bad, "shard-00001-of-00003.h5: missing"));
}

/* A dataset file that says of itself what is not so. */
static void write_lying_dataset(const char *path, const um_dataset *d)
{
    um_h5 *f = NULL;
    const um_h5_array images = {.name = "/images", .type = UM_H5_U8, .ndim = 4, .shape = {d->n, d->h, d->w, d->c},
                                .description = "", .axes = "", .unit = ""};
    const um_h5_array masks = {.name = "/masks", .type = UM_H5_U8, .ndim = 3, .shape = {d->n, d->h, d->w}, .description = "",
                               .axes = "", .unit = ""};
    const um_h5_array split = {.name = "/split", .type = UM_H5_U8, .ndim = 1, .shape = {d->n}, .description = "", .axes = "",
                               .unit = ""};
    OK(um_h5_create(&f, path, "umed-dataset", "1.0"));
    OK(um_h5_write_array(f, &images, d->images));
    OK(um_h5_write_array(f, &masks, d->masks));
    OK(um_h5_write_array(f, &split, d->split));
    OK(um_h5_write_strings(f, "/ids", (const char *const *)d->ids, d->n, "", ""));
    OK(um_h5_set_text(f, "/", "sha256", "0000"));
    OK(um_h5_commit(&f));
}

/* Content changed by a tool that also renews the checksums: only the recorded hash can tell. */
static void check_compares_recorded_hashes(void **state)
{
    (void)state;
    um_dataset *d = make_dataset(3, 8, 8, 1, 8);
    um_h5 *f = NULL;
    OK(um_dataset_write(d, at("released.h5"), &(um_dataset_write_options){.released = true}));
    OK(um_check_path(at("released.h5"), NULL, NULL));
    write_lying_dataset(at("lie.h5"), d);
    FAILS(um_check_path(at("lie.h5"), NULL, NULL), UM_E_DATA, "recorded is 0000");
    OK(um_h5_create(&f, at("r.h5"), UM_RESULT_FORMAT, UM_RESULT_VERSION));
    OK(um_store_metric(f, "a", 1, "", NULL));
    OK(um_store_seal(f));
    OK(um_store_metric(f, "b", 1, "", NULL));
    OK(um_h5_commit(&f));
    FAILS(um_check_path(at("r.h5"), NULL, NULL), UM_E_DATA, "r.h5: metrics and curves have sha256");
    um_dataset_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(restore_is_exact),     FIXTURE_TEST(restore_refuses_another_release),
        FIXTURE_TEST(delta_must_fit),       FIXTURE_TEST(private_folder_names),
        FIXTURE_TEST(results_come_back),    FIXTURE_TEST(check_finds_all_good),
        FIXTURE_TEST(check_finds_every_bad_file), FIXTURE_TEST(check_compares_recorded_hashes),
    };
    return cmocka_run_group_tests_name("io/check", tests, NULL, NULL);
}
