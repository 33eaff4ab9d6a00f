/* io/dataset.h: round trips, shards, and every kind of file that must be refused. */
#include "io_fixture.h"

#include "io/h5.h"

static void round_trip(int64_t c, int bits)
{
    um_dataset *d = make_dataset(7, 20, 24, c, bits), *back = NULL;
    OK(um_dataset_write(d, at("a.h5"), NULL));
    OK(um_dataset_read(&back, at("a.h5")));
    assert_same_dataset(d, back);
    um_dataset_free(back);
    um_dataset_free(d);
}

static void round_trip_8_bit_grey(void **state) { (void)state; round_trip(1, 8); }
static void round_trip_8_bit_colour(void **state) { (void)state; round_trip(3, 8); }
static void round_trip_16_bit_grey(void **state) { (void)state; round_trip(1, 16); }
static void round_trip_16_bit_colour(void **state) { (void)state; round_trip(3, 16); }

static void shards_equal_one_file(void **state)
{
    (void)state;
    um_dataset *d = make_dataset(21, 16, 16, 3, 8), *back = NULL;
    char one[UM_SHA256_HEX], many[UM_SHA256_HEX];
    const um_dataset_write_options eight = {.n_shards = 8};
    OK(um_dataset_write(d, at("shards"), &eight));
    OK(um_dataset_read(&back, at("shards")));
    assert_same_dataset(d, back);
    um_dataset_sha256(d, one);
    um_dataset_sha256(back, many);
    assert_string_equal(one, many);
    assert_false(um_dir_exists(at("shards.part")));
    um_dataset_free(back);
    um_dataset_free(d);
}

static void hash_sees_every_member(void **state)
{
    (void)state;
    um_dataset *d = make_dataset(3, 8, 8, 1, 8);
    char all[5][UM_SHA256_HEX];
    um_dataset_sha256(d, all[0]);
    ((uint8_t *)d->images)[5] ^= 1;
    um_dataset_sha256(d, all[1]);
    d->masks[70] ^= 1;
    um_dataset_sha256(d, all[2]);
    d->split[1] ^= 1;
    um_dataset_sha256(d, all[3]);
    d->ids[2][0] = 'B';
    um_dataset_sha256(d, all[4]);
    for (int i = 0; i < 4; i++)
        assert_string_not_equal(all[i], all[i + 1]);
    um_dataset_free(d);
}

static void shard_folder_must_be_whole(void **state)
{
    (void)state;
    um_dataset *d = make_dataset(6, 8, 8, 1, 8), *other = make_dataset(2, 8, 9, 1, 8), *back = NULL;
    OK(um_dataset_write(d, at("s"), &(um_dataset_write_options){.n_shards = 3}));
    assert_int_equal(rename(at("s/shard-00001-of-00003.h5"), at("away.h5")), 0);
    FAILS(um_dataset_read(&back, at("s")), UM_E_DATA, "shard-00001-of-00003.h5: missing");
    OK(um_dataset_write(other, at("s/shard-00001-of-00003.h5"), NULL));
    FAILS(um_dataset_read(&back, at("s")), UM_E_DATA, "shard-00001-of-00003.h5: images are 8x9x1 of 8 bits");
    assert_int_equal(rename(at("away.h5"), at("s/shard-00001-of-00003.h5")), 0);
    OK(um_dataset_write(other, at("s/shard-00003-of-00004.h5"), NULL));
    FAILS(um_dataset_read(&back, at("s")), UM_E_DATA, "shard-00003-of-00004.h5: does not belong");
    assert_null(back);
    um_dataset_free(other);
    um_dataset_free(d);
}

static void refuses_to_write(void **state)
{
    (void)state;
    um_dataset *d = make_dataset(3, 8, 8, 1, 8);
    FAILS(um_dataset_write(d, at("s"), &(um_dataset_write_options){.n_shards = 4}), UM_E_USAGE, "4 shards for 3 images");
    OK(um_dataset_write(d, at("a.h5"), NULL));
    FAILS(um_dataset_write(d, at("a.h5"), NULL), UM_E_USAGE, "a.h5: already there");
    FAILS(um_dataset_write(d, at("no/such/a.h5"), NULL), UM_E_IO, "no/such/a.h5");
    um_free(d->ids[1]);
    d->ids[1] = NULL;
    OK(um_strdup(&d->ids[1], d->ids[0]));
    FAILS(um_dataset_write(d, at("b.h5"), NULL), UM_E_DATA, "twice");
    assert_false(um_file_exists(at("b.h5.part")));
    um_dataset_free(d);
}

static void refuses_bad_values(void **state)
{
    (void)state;
    um_dataset *d = make_dataset(3, 8, 8, 1, 8), *back = NULL;
    d->masks[65] = 255;
    OK(um_dataset_write(d, at("mask.h5"), NULL));
    FAILS(um_dataset_read(&back, at("mask.h5")), UM_E_DATA, "mask.h5: the mask of row 1");
    d->masks[65] = 1;
    d->split[2] = 2;
    OK(um_dataset_write(d, at("split.h5"), NULL));
    FAILS(um_dataset_read(&back, at("split.h5")), UM_E_DATA, "/split of row 2");
    um_dataset_free(d);
}

static void refuses_truncated_at_any_place(void **state)
{
    (void)state;
    um_dataset *d = make_dataset(4, 32, 32, 3, 8), *back = NULL;
    size_t n;
    OK(um_dataset_write(d, at("a.h5"), NULL));
    uint8_t *bytes = load_bytes(at("a.h5"), &n);
    for (size_t keep = 0; keep < n; keep += keep < 256 ? 16 : n / 40) {
        store_bytes(at("cut.h5"), bytes, keep);
        FAILS(um_dataset_read(&back, at("cut.h5")), UM_E_DATA, "cut.h5");
    }
    free(bytes);
    um_dataset_free(d);
}

/* Every byte in turn would be slow: a stride that is no power of two meets every structure of the file. What is not refused
 * must be padding: the content then reads unchanged. */
static void flipped_bytes_are_refused_or_harmless(void **state)
{
    (void)state;
    um_dataset *d = make_dataset(4, 16, 16, 1, 8), *back = NULL;
    size_t n;
    int refused = 0;
    OK(um_dataset_write(d, at("a.h5"), NULL));
    uint8_t *bytes = load_bytes(at("a.h5"), &n);
    for (size_t i = 0; i < n; i += 23) {
        bytes[i] ^= 0x10;
        store_bytes(at("bad.h5"), bytes, n);
        bytes[i] ^= 0x10;
        if (um_dataset_read(&back, at("bad.h5")) == UM_OK) {
            assert_same_dataset(d, back);
            um_dataset_free(back);
            back = NULL;
        } else {
            refused++;
        }
    }
    assert_true(refused > 30);
    free(bytes);
    um_dataset_free(d);
}

static void flipped_byte_names_the_array(void **state)
{
    (void)state;
    um_dataset *d = make_dataset(40, 16, 16, 1, 8), *back = NULL;
    size_t n;
    OK(um_dataset_write(d, at("a.h5"), NULL));
    uint8_t *bytes = load_bytes(at("a.h5"), &n);
    long image = find_bytes(bytes, n, d->images, 64), split = find_bytes(bytes, n, d->split, 40);
    assert_true(image > 0 && split > 0);
    bytes[image + 100] ^= 1;
    store_bytes(at("bad.h5"), bytes, n);
    FAILS(um_dataset_read(&back, at("bad.h5")), UM_E_DATA, "bad.h5: cannot read /images");
    bytes[image + 100] ^= 1;
    bytes[split + 1] ^= 1;
    store_bytes(at("bad.h5"), bytes, n);
    FAILS(um_dataset_read(&back, at("bad.h5")), UM_E_DATA, "bad.h5: cannot read /split");
    free(bytes);
    um_dataset_free(d);
}

static void write_claim(const char *path, int64_t claim, um_h5_type type, int ndim)
{
    um_h5 *f = NULL;
    const um_h5_array images = {.name = "/images", .type = type, .ndim = ndim, .shape = {claim, 8, 8, 1}, .description = "",
                                .axes = "", .unit = ""};
    const um_h5_array masks = {.name = "/masks", .type = UM_H5_U8, .ndim = 3, .shape = {claim, 8, 8}, .description = "", .axes = "",
                               .unit = ""};
    OK(um_h5_create(&f, path, "umed-dataset", "1.0"));
    OK(um_h5_make_array(f, &images));
    OK(um_h5_make_array(f, &masks));
    OK(um_h5_commit(&f));
}

static void refuses_headers_before_allocating(void **state)
{
    (void)state;
    um_dataset *back = NULL;
    write_claim(at("claim.h5"), (int64_t)1 << 40, UM_H5_U8, 4);
    FAILS(um_dataset_read(&back, at("claim.h5")), UM_E_DATA, "claims 1099511627776 items");
    write_claim(at("type.h5"), 0, UM_H5_F32, 4);
    FAILS(um_dataset_read(&back, at("type.h5")), UM_E_DATA, "f32, expected [N,H,W,C] of u8 or u16");
    write_claim(at("rank.h5"), 0, UM_H5_U8, 3);
    FAILS(um_dataset_read(&back, at("rank.h5")), UM_E_DATA, "/images has 3 dimensions");
    write_claim(at("empty.h5"), 0, UM_H5_U8, 4);
    FAILS(um_dataset_read(&back, at("empty.h5")), UM_E_DATA, "at least one image");
}

static void refuses_what_is_not_a_dataset(void **state)
{
    (void)state;
    um_dataset *back = NULL;
    um_h5 *f = NULL;
    FAILS(um_dataset_read(&back, at("none.h5")), UM_E_IO, "none.h5");
    OK(um_file_write(at("text.h5"), "hello", 5));
    FAILS(um_dataset_read(&back, at("text.h5")), UM_E_DATA, "text.h5: cannot open as HDF5");
    OK(um_h5_create(&f, at("other.h5"), "ckpt-1", "1.0"));
    OK(um_h5_commit(&f));
    FAILS(um_dataset_read(&back, at("other.h5")), UM_E_DATA, "format is 'ckpt-1', expected 'umed-dataset'");
    OK(um_h5_create(&f, at("newer.h5"), "umed-dataset", "2.0"));
    OK(um_h5_commit(&f));
    FAILS(um_dataset_read(&back, at("newer.h5")), UM_E_DATA, "format_version '2.0'");
    OK(um_dir_make(at("folder"), 0777));
    FAILS(um_dataset_read(&back, at("folder")), UM_E_DATA, "no shards");
}

/* Two writes of the same images, seconds apart, by whatever run: a released file tells nothing of when and where. */
static void released_file_tells_nothing(void **state)
{
    (void)state;
    um_dataset *d = make_dataset(4, 16, 16, 1, 8), *back = NULL;
    const um_dataset_write_options options = {.released = true, .provenance = "seed=77\ninputs=/secret/place\n"};
    size_t n[2];
    char host[256] = "";
    OK(um_dataset_write(d, at("a.h5"), &options));
    sleep(1);
    OK(um_dataset_write(d, at("b.h5"), &options));
    uint8_t *a = load_bytes(at("a.h5"), n), *b = load_bytes(at("b.h5"), n + 1);
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(a, b, n[0]);
    gethostname(host, sizeof host - 1);
    const char *secrets[] = {"seed", "secret", "sha256", "config", "created", "machine", "inputs", fixture_dir, host};
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
        assert_true(find_bytes(a, n[0], secrets[i], strlen(secrets[i])) < 0);
    OK(um_dataset_read(&back, at("a.h5")));
    assert_same_dataset(d, back);
    free(a);
    free(b);
    um_dataset_free(back);
    um_dataset_free(d);
}

static void clean_file_has_provenance(void **state)
{
    (void)state;
    um_dataset *d = make_dataset(4, 16, 16, 1, 8);
    um_h5 *f = NULL;
    um_text text = {0};
    int64_t number;
    char sha256[UM_SHA256_HEX];
    OK(um_dataset_write(d, at("a.h5"), &(um_dataset_write_options){.provenance = "seed=77\ninputs=somewhere\n"}));
    OK(um_h5_open(&f, at("a.h5"), "umed-dataset", "1.0"));
    const char *names[] = {"software", "version", "created", "machine", "dependencies", "description"};
    for (int i = 0; i < 5; i++)
        assert_true(um_h5_has_attr(f, "/", names[i]));
    assert_true(um_h5_has_attr(f, "/images", names[5]));
    OK(um_h5_get_text(f, "/", "seed", &text));
    assert_string_equal(um_text_get(&text), "77");
    FAILS(um_h5_get_int(f, "/", "seed", &number), UM_E_DATA, "'seed' of / is not an integer");
    um_text_free(&text);
    OK(um_h5_get_text(f, "/", "sha256", &text));
    um_dataset_sha256(d, sha256);
    assert_string_equal(um_text_get(&text), sha256);
    um_text_free(&text);
    um_h5_free(f);
    um_dataset_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(round_trip_8_bit_grey),
        FIXTURE_TEST(round_trip_8_bit_colour),
        FIXTURE_TEST(round_trip_16_bit_grey),
        FIXTURE_TEST(round_trip_16_bit_colour),
        FIXTURE_TEST(shards_equal_one_file),
        FIXTURE_TEST(hash_sees_every_member),
        FIXTURE_TEST(shard_folder_must_be_whole),
        FIXTURE_TEST(refuses_to_write),
        FIXTURE_TEST(refuses_bad_values),
        FIXTURE_TEST(refuses_truncated_at_any_place),
        FIXTURE_TEST(flipped_bytes_are_refused_or_harmless),
        FIXTURE_TEST(flipped_byte_names_the_array),
        FIXTURE_TEST(refuses_headers_before_allocating),
        FIXTURE_TEST(refuses_what_is_not_a_dataset),
        FIXTURE_TEST(released_file_tells_nothing),
        FIXTURE_TEST(clean_file_has_provenance),
    };
    return cmocka_run_group_tests_name("io/dataset", tests, NULL, NULL);
}
