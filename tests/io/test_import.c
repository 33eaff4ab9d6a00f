#include "io_fixture.h"

#include "base/rng.h"
#include "base/text.h"
#include "io/export.h"
#include "io/import.h"
#include "io/raster.h"

enum { SIDE = 12 };

static um_data_options defaults(void)
{
    static const um_opt_table *const tables[] = {&um_data_table, NULL};
    um_settings *s = NULL;
    OK(um_settings_create(&s, tables));
    const um_data_options o = *(const um_data_options *)um_settings_get(s, "data");
    um_settings_free(s);
    return o;
}

static um_data_options small(void)
{
    um_data_options o = defaults();
    o.size = SIDE;
    return o;
}

typedef enum picture { GREY, COLOUR, GREY_AS_RGB, DEEP, WIDE, BLACK, LEFT, RIGHT, LABELS } picture;

/* A picture file below the test's folder; folders are made. LEFT and RIGHT: masks of the two halves. */
static void put(const char *name, picture what)
{
    const int64_t w = what == WIDE ? SIDE + 4 : SIDE, c = what == COLOUR || what == GREY_AS_RGB ? 3 : 1;
    um_raster r = {SIDE, w, (int)c, what == DEEP ? 16 : 8, NULL};
    char path[512], folder[512];
    snprintf(path, sizeof path, "%s/%s", fixture_dir, name);
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    OK(um_dir_make(folder, 0777));
    OK(um_alloc(&r.data, (size_t)(SIDE * w * c), (size_t)r.bits / 8));
    for (int64_t i = 0; i < SIDE * w * c; i++) {
        const int64_t pixel = i / c, x = pixel % w;
        const int v = what == BLACK    ? 0
                      : what == LEFT   ? (x < SIDE / 2 ? 255 : 0)
                      : what == RIGHT  ? (x >= SIDE / 2 ? 200 : 100)
                      : what == LABELS ? x < SIDE / 2
                      : what == COLOUR ? (int)(i * 7 % 256)
                                       : (int)(pixel * 5 % 256);
        if (what == DEEP) {
            ((uint16_t *)r.data)[i] = (uint16_t)(v * 257);
        } else {
            ((uint8_t *)r.data)[i] = (uint8_t)v;
        }
    }
    OK(um_png_write(path, &r));
    um_raster_clear(&r);
}

static int64_t mask_sum(const um_dataset *d, int64_t i)
{
    int64_t sum = 0;
    for (int64_t k = 0; k < d->h * d->w; k++) {
        sum += um_dataset_mask(d, i)[k];
    }
    return sum;
}

static int64_t n_test_rows(const um_dataset *d)
{
    int64_t n = 0;
    for (int64_t i = 0; i < d->n; i++) {
        n += d->split[i] == UM_SPLIT_TEST;
    }
    return n;
}

static um_dataset *run(const um_data_options *o, const char *path)
{
    um_dataset *d = NULL;
    OK(um_import_run(&d, o, path));
    return d;
}

static void import_fails(const um_data_options *o, const char *path, const char *text)
{
    um_dataset *d = NULL;
    FAILS(um_import_run(&d, o, path), UM_E_DATA, text);
    assert_null(d);
}

static void pairs_in_any_order_and_case(void **state)
{
    (void)state;
    const um_data_options o = small();
    put("images/b.PNG", GREY);
    put("images/a.png", GREY_AS_RGB);
    put("masks/a.jpg", LEFT); /* the content decides */
    put("masks/b_mask.png", RIGHT);
    put("masks/b_mask_2.png", LEFT);
    store_bytes(at("images/Thumbs.db"), (const uint8_t *)"x", 1);
    um_dataset *d = run(&o, fixture_dir);
    assert_true(d->n == 2 && d->h == SIDE && d->w == SIDE && d->c == 1 && d->bits == 8);
    assert_string_equal(d->ids[0], "a");
    assert_string_equal(d->ids[1], "b");
    assert_int_equal(mask_sum(d, 0), SIDE * SIDE / 2);
    assert_int_equal(mask_sum(d, 1), SIDE * SIDE);
    assert_int_equal(um_dataset_image(d, 0)[5], 25);
    assert_memory_equal(um_dataset_image(d, 0), um_dataset_image(d, 1), SIDE * SIDE);
    um_dataset_free(d);
}

static void channels_follow_the_content(void **state)
{
    (void)state;
    um_data_options o = small();
    put("images/a.png", GREY);
    put("images/b.png", COLOUR);
    put("masks/a.png", LEFT);
    put("masks/b.png", LEFT);
    um_dataset *d = run(&o, fixture_dir);
    assert_int_equal(d->c, 3);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(um_dataset_image(d, 0)[3 * 7 + k], 35);
        assert_int_equal(um_dataset_image(d, 1)[3 * 7 + k], (3 * 7 + k) * 7);
    }
    um_dataset_free(d);
    o.channels = UM_CHANNELS_1;
    d = run(&o, fixture_dir);
    assert_int_equal(d->c, 1);
    assert_int_equal(um_dataset_image(d, 1)[7], (147 * 19595 + 154 * 38470 + 161 * 7471 + 32768) >> 16);
    um_dataset_free(d);
    OK(um_dir_remove(at("images")));
    OK(um_dir_remove(at("masks")));
    put("images/a.png", GREY);
    put("masks/a.png", LEFT);
    o.channels = UM_CHANNELS_3;
    d = run(&o, fixture_dir);
    assert_true(d->c == 3 && um_dataset_image(d, 0)[3 * 7 + 2] == 35);
    um_dataset_free(d);
}

static void sixteen_bits_and_grey_masks(void **state)
{
    (void)state;
    const um_data_options o = small();
    put("images/a.png", DEEP);
    put("masks/a.png", RIGHT); /* levels 100 and 200: half of full scale lies between */
    um_dataset *d = run(&o, fixture_dir);
    assert_int_equal(d->bits, 16);
    assert_int_equal(mask_sum(d, 0), SIDE * SIDE / 2);
    assert_int_equal(((const uint16_t *)d->images)[9], 45 * 257);
    um_dataset_free(d);
}

static void busi_flat_and_in_folders(void **state)
{
    (void)state;
    um_data_options o = small();
    put("flat/benign (1).png", GREY);
    put("flat/benign (1)_mask.png", LEFT);
    put("flat/benign (1)_mask_1.png", RIGHT);
    put("flat/malignant (2).png", GREY);
    put("flat/malignant (2)_mask.png", LEFT);
    put("flat/normal (3).png", GREY);
    put("flat/normal (3)_mask.png", BLACK);
    um_dataset *d = run(&o, at("flat"));
    assert_int_equal(d->n, 2);
    assert_string_equal(d->ids[0], "benign (1)");
    assert_int_equal(mask_sum(d, 0), SIDE * SIDE);
    um_dataset_free(d);
    o.busi_subset = UM_BUSI_ALL780;
    d = run(&o, at("flat"));
    assert_int_equal(d->n, 3);
    assert_int_equal(mask_sum(d, 2), 0);
    um_dataset_free(d);
    put("tree/benign/benign (1).png", GREY);
    put("tree/benign/benign (1)_mask.png", LEFT);
    put("tree/normal/normal (1).png", GREY);
    put("tree/normal/normal (1)_mask.png", BLACK);
    d = run(&o, at("tree"));
    assert_int_equal(d->n, 2);
    um_dataset_free(d);
    o.busi_subset = UM_BUSI_LESION647;
    OK(um_dir_remove(at("tree/benign")));
    import_fails(&o, at("tree"), "no images are left");
}

static void chest_layouts_as_published(void **state)
{
    (void)state;
    const um_data_options o = small();
    put("m/CXR_png/MCUCXR_0001_0.png", GREY);
    put("m/ManualMask/leftMask/MCUCXR_0001_0.png", LEFT);
    put("m/ManualMask/rightMask/MCUCXR_0001_0.png", RIGHT);
    um_dataset *d = run(&o, at("m"));
    assert_int_equal(mask_sum(d, 0), SIDE * SIDE);
    um_dataset_free(d);
    put("m/CXR_png/MCUCXR_0002_0.png", GREY);
    put("m/ManualMask/leftMask/MCUCXR_0002_0.png", LEFT);
    import_fails(&o, at("m"), "1 of 2 images have no left and right mask: MCUCXR_0002_0");
    put("s/CXR_png/CHNCXR_0001_0.png", GREY);
    put("s/CXR_png/CHNCXR_0002_1.png", GREY);
    put("s/mask/CHNCXR_0002_1_mask.png", LEFT);
    d = run(&o, at("s"));
    assert_int_equal(d->n, 1);
    assert_string_equal(d->ids[0], "CHNCXR_0002_1");
    um_dataset_free(d);
}

static void unpaired_files_are_named(void **state)
{
    (void)state;
    const um_data_options o = small();
    for (int i = 0; i < 8; i++) {
        char name[32];
        snprintf(name, sizeof name, "images/p%d.png", i);
        put(name, GREY);
    }
    put("masks/p3.png", LEFT);
    import_fails(&o, fixture_dir, "7 of 8 images have no mask: p0, p1, p2, p4, p5 and 2 more");
    put("masks/q.png", LEFT);
    import_fails(&o, fixture_dir, "1 masks belong to no image: q.png");
}

static void bad_folders_are_refused(void **state)
{
    (void)state;
    um_data_options o = small();
    import_fails(&o, at("nowhere"), "nowhere is not a folder");
    import_fails(&o, fixture_dir, "layout not recognised");
    OK(um_dir_make(at("images"), 0777));
    OK(um_dir_make(at("masks"), 0777));
    import_fails(&o, fixture_dir, "no PNG or JPEG images found");
    OK(um_dir_make(at("b"), 0777));
    o.layout = UM_LAYOUT_BUSI;
    import_fails(&o, at("b"), "no PNG or JPEG images found");
    o.layout = UM_LAYOUT_PAIRS;
    import_fails(&o, at("b"), "layout not recognised");
}

static void bad_content_is_refused(void **state)
{
    (void)state;
    um_data_options o = small();
    put("images/a.png", GREY);
    put("masks/a.png", WIDE);
    import_fails(&o, fixture_dir, "masks/a.png has 16 x 12 pixels but its image");
    put("masks/a.png", LABELS);
    import_fails(&o, fixture_dir, "all 1 masks are empty: their brightest grey level is 1");
    put("masks/a.png", LEFT);
    put("images/b.png", DEEP);
    put("masks/b.png", LEFT);
    import_fails(&o, fixture_dir, "b.png has 16 bits per sample but");
    put("images/b.png", WIDE);
    put("masks/b.png", WIDE);
    o.size = 0;
    import_fails(&o, fixture_dir, "b.png has 16 x 12 pixels but");
    o.size = SIDE;
    um_dataset *d = run(&o, fixture_dir);
    assert_int_equal(d->n, 2);
    um_dataset_free(d);
    store_bytes(at("images/b.png"), (const uint8_t *)"garbage", 7);
    import_fails(&o, fixture_dir, "b.png: neither a PNG nor a JPEG");
}

static void equal_ids_are_refused(void **state)
{
    (void)state;
    const um_data_options o = small();
    put("images/a.png", GREY);
    put("images/a.jpg", GREY);
    put("masks/a.png", LEFT);
    import_fails(&o, fixture_dir, "two images have the id 'a'");
}

static void ids_are_utf8(void **state)
{
    (void)state;
    const um_data_options o = small();
    put("images/k\xc3\xa9.png", GREY);
    put("masks/k\xc3\xa9.png", LEFT);
    um_dataset *d = run(&o, fixture_dir);
    assert_string_equal(d->ids[0], "k\xc3\xa9");
    um_dataset_free(d);
    put("images/k\xe9.png", GREY);
    put("masks/k\xe9.png", LEFT);
    import_fails(&o, fixture_dir, "is not UTF-8");
}

static uint64_t draw_of(const char *id, uint64_t seed)
{
    uint32_t w[4];
    um_rng_words(seed, UM_RNG_SPLIT, 0, um_text_hash(id), 0, w);
    return (uint64_t)w[0] << 32 | w[1];
}

static void the_smallest_draws_are_test_rows(void **state)
{
    (void)state;
    um_dataset *d = NULL;
    um_data_options o = defaults();
    o.split = 0.7;
    o.split_seed = 5;
    OK(um_import_phantoms(&d, 33, 16, 1, 1, &o));
    assert_int_equal(n_test_rows(d), 10); /* round(9.9) */
    uint64_t largest_test = 0, smallest_train = UINT64_MAX;
    for (int64_t i = 0; i < d->n; i++) {
        const uint64_t draw = draw_of(d->ids[i], 5);
        largest_test = d->split[i] && draw > largest_test ? draw : largest_test;
        smallest_train = !d->split[i] && draw < smallest_train ? draw : smallest_train;
    }
    assert_true(largest_test < smallest_train);
    char *first = d->ids[0], *second = d->ids[1]; /* the order of rows does not matter */
    const uint8_t was_first = d->split[0], was_second = d->split[1];
    d->ids[0] = second;
    d->ids[1] = first;
    OK(um_import_split(d, &o));
    assert_true(d->split[0] == was_second && d->split[1] == was_first);
    o.split = 1;
    OK(um_import_split(d, &o));
    assert_int_equal(n_test_rows(d), 0);
    o.split = 0;
    OK(um_import_split(d, &o));
    assert_int_equal(n_test_rows(d), 33);
    um_dataset_free(d);
}

static void rename_row(um_dataset *d, int64_t i, const char *format, int number)
{
    char id[64];
    snprintf(id, sizeof id, format, number);
    um_free(d->ids[i]);
    OK(um_strdup(&d->ids[i], id));
}

static void stratified_keeps_class_shares(void **state)
{
    (void)state;
    um_dataset *d = NULL;
    um_data_options o = defaults();
    o.split_mode = UM_SPLIT_STRATIFIED;
    OK(um_import_phantoms(&d, 97, 16, 1, 1, &o)); /* no classes: as random */
    assert_int_equal(n_test_rows(d), 19);
    for (int i = 0; i < 97; i++) {
        rename_row(d, i, i < 64 ? "benign (%d)" : i < 87 ? "malignant (%d)" : "CHNCXR_%04d_1", i);
    }
    for (int64_t seed = 0; seed < 20; seed++) {
        int64_t test[3] = {0};
        o.split_seed = seed;
        OK(um_import_split(d, &o));
        for (int i = 0; i < 97; i++) {
            test[i < 64 ? 0 : i < 87 ? 1 : 2] += d->split[i];
        }
        /* shares of 19 of 97: 12.54, 4.51, 1.96: floors 12 4 1, two more to the largest remainders .96 and .54 */
        assert_true(test[0] == 13 && test[1] == 4 && test[2] == 2);
    }
    um_dataset_free(d);
}

static void grouped_keeps_duplicates_together(void **state)
{
    (void)state;
    um_dataset *d = NULL;
    um_data_options o = defaults();
    o.split_mode = UM_SPLIT_GROUPED;
    OK(um_import_phantoms(&d, 40, 32, 1, 1, &o));
    for (int64_t i = 20; i < 40; i++) { /* rows 20..39 are rows 0..9 again, each twice, a little brighter */
        uint8_t *to = (uint8_t *)d->images + i * 1024;
        const uint8_t *from = um_dataset_image(d, (i - 20) / 2);
        for (int k = 0; k < 1024; k++) {
            to[k] = from[k] < 250 ? (uint8_t)(from[k] + 3) : from[k];
        }
    }
    int64_t total = 0;
    for (int64_t seed = 0; seed < 10; seed++) {
        o.split_seed = seed;
        OK(um_import_split(d, &o));
        for (int64_t i = 20; i < 40; i++) {
            assert_int_equal(d->split[i], d->split[(i - 20) / 2]);
        }
        assert_in_range(n_test_rows(d), 5, 8);
        total += n_test_rows(d);
    }
    assert_true(total > 70);
    um_dataset_free(d);
}

static void phantoms(void **state)
{
    (void)state;
    um_dataset *a = NULL, *b = NULL;
    OK(um_import_phantoms(&a, 10, 32, 3, 9, NULL));
    OK(um_import_phantoms(&b, 7, 32, 3, 9, NULL));
    assert_true(a->n == 10 && a->h == 32 && a->w == 32 && a->c == 3 && a->bits == 8);
    assert_string_equal(a->ids[9], "phantom-00009");
    assert_int_equal(n_test_rows(a), 2);
    assert_memory_equal(a->images, b->images, 7 * 32 * 32 * 3);
    um_dataset_free(b);
    um_dataset_free(a);
    a = NULL;
    FAILS(um_import_phantoms(&a, 0, 32, 1, 1, NULL), UM_E_CONFIG, "cannot draw 0 phantoms");
    FAILS(um_import_phantoms(&a, 5, 8, 1, 1, NULL), UM_E_CONFIG, "not 8 and 1");
    assert_null(a);
}

static void export_and_import_again(void **state)
{
    (void)state;
    um_data_options o = defaults();
    o.size = 0;
    for (int k = 0; k < 4; k++) {
        um_dataset *d = make_dataset(6, 16, 20, k & 1 ? 3 : 1, k & 2 ? 16 : 8);
        for (int i = 0; i < 6; i++) {
            rename_row(d, i, "case (%d)", i);
        }
        OK(um_import_split(d, &o));
        OK(um_export_png(d, at("out")));
        um_dataset *back = run(&o, at("out"));
        assert_same_dataset(d, back);
        FAILS(um_export_png(d, at("out")), UM_E_USAGE, "out is not empty (it holds 'images')");
        OK(um_dir_remove(at("out")));
        um_dataset_free(back);
        um_dataset_free(d);
    }
}

static void export_makes_names_safe(void **state)
{
    (void)state;
    um_dataset *d = make_dataset(3, 16, 16, 1, 8);
    rename_row(d, 0, "../../etc/passwd%d", 0);
    rename_row(d, 1, ".hidden", 0);
    rename_row(d, 2, "plain", 0);
    OK(um_export_png(d, at("out")));
    assert_true(um_file_exists(at("out/images/_._.._etc_passwd0-000000.png")));
    assert_true(um_file_exists(at("out/masks/_hidden-000001.png")));
    assert_true(um_file_exists(at("out/images/plain.png")));
    OK(um_dir_remove(at("out")));
    rename_row(d, 2, "_hidden-000001", 0);
    FAILS(um_export_png(d, at("out")), UM_E_DATA, "'_hidden-000001' needs the file name");
    assert_false(um_dir_exists(at("out/images")));
    store_bytes(at("file"), (const uint8_t *)"x", 1);
    FAILS(um_export_png(d, at("file")), UM_E_USAGE, "file is a file");
    um_dataset_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(pairs_in_any_order_and_case),
        FIXTURE_TEST(channels_follow_the_content),
        FIXTURE_TEST(sixteen_bits_and_grey_masks),
        FIXTURE_TEST(busi_flat_and_in_folders),
        FIXTURE_TEST(chest_layouts_as_published),
        FIXTURE_TEST(unpaired_files_are_named),
        FIXTURE_TEST(bad_folders_are_refused),
        FIXTURE_TEST(bad_content_is_refused),
        FIXTURE_TEST(equal_ids_are_refused),
        FIXTURE_TEST(ids_are_utf8),
        FIXTURE_TEST(the_smallest_draws_are_test_rows),
        FIXTURE_TEST(stratified_keeps_class_shares),
        FIXTURE_TEST(grouped_keeps_duplicates_together),
        FIXTURE_TEST(phantoms),
        FIXTURE_TEST(export_and_import_again),
        FIXTURE_TEST(export_makes_names_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
