/* Published datasets in their own layouts, against Pillow (tests/ref/pillow_import.py). Needs UMED_SHARED_DIR; skips without. */
#include "io_fixture.h"

#include "io/import.h"

enum { SKIPPED = 77, GRID = 24 };

static char shared[512];

static um_dataset *load(const char *name)
{
    static const um_opt_table *const tables[] = {&um_data_table, NULL};
    um_settings *s = NULL;
    um_dataset *d = NULL;
    char path[700];
    snprintf(path, sizeof path, "%s/data/%s", shared, name);
    OK(um_settings_create(&s, tables));
    OK(um_import_run(&d, um_settings_get(s, "data"), path));
    um_settings_free(s);
    return d;
}

static int64_t row_of(const um_dataset *d, char *id)
{
    for (char *p = id; *p != '\0'; p++) {
        *p = *p == '~' ? ' ' : *p;
    }
    for (int64_t i = 0; i < d->n; i++) {
        if (strcmp(d->ids[i], id) == 0) {
            return i;
        }
    }
    return -1;
}

/* One level for Pillow's extra rounding between its two passes. */
static void compare_row(const um_dataset *d, int64_t row, FILE *f)
{
    long mask = 0, want_mask;
    double mean = 0, want_mean;
    const uint8_t *image = um_dataset_image(d, row);
    assert_int_equal(fscanf(f, "%ld %lf", &want_mask, &want_mean), 2);
    for (int64_t k = 0; k < d->h * d->w; k++) {
        mask += um_dataset_mask(d, row)[k];
    }
    for (int64_t k = 0; k < d->h * d->w * d->c; k++) {
        mean += (double)image[k] / (double)(d->h * d->w * d->c);
    }
    assert_int_equal(mask, want_mask);
    assert_true(mean - want_mean < 0.05 && want_mean - mean < 0.05);
    for (int k = 0; k < GRID; k++) {
        int want;
        const int64_t y = 18 + 37 * (k / 4), x = 18 + 62 * (k % 4), c = (k / 4 + k % 4) % d->c;
        assert_int_equal(fscanf(f, "%d", &want), 1);
        assert_true(abs(image[(y * d->w + x) * d->c + c] - want) <= 1);
    }
}

static void raw_samples_equal_pillow(void **state)
{
    (void)state;
    static const char *const folders[] = {"busi/raw_samples", "kvasir_seg/raw_samples", "chest_xray/raw_samples"};
    char path[700], set[32], id[128];
    int channels, n_rows = 0;
    um_dataset *d[3];
    for (int k = 0; k < 3; k++) {
        d[k] = load(folders[k]);
        assert_int_equal(d[k]->n, 8);
    }
    snprintf(path, sizeof path, "%s/tests/ref/pillow_import.txt", getenv("UMED_SOURCE_DIR"));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fscanf(f, " %31s %127s %d", set, id, &channels) == 3) {
        const um_dataset *one = d[strcmp(set, "busi") == 0 ? 0 : strcmp(set, "kvasir_seg") == 0 ? 1 : 2];
        const int64_t row = row_of(one, id);
        assert_true(row >= 0 && one->c == channels);
        compare_row(one, row, f);
        n_rows++;
    }
    fclose(f);
    assert_int_equal(n_rows, 24);
    for (int k = 0; k < 3; k++) {
        um_dataset_free(d[k]);
    }
}

static void whole_busi(void **state)
{
    (void)state;
    um_dataset *d = load("busi");
    int64_t n_test = 0, benign = 0;
    for (int64_t i = 0; i < d->n; i++) {
        n_test += d->split[i];
        benign += strncmp(d->ids[i], "benign", 6) == 0;
    }
    assert_true(d->n == 582 && d->c == 1 && d->bits == 8 && d->h == 224);
    assert_int_equal(benign, 395);
    assert_int_equal(n_test, 116);
    um_dataset_free(d);
}

int main(void)
{
    const char *dir = getenv("UMED_SHARED_DIR");
    snprintf(shared, sizeof shared, "%s", dir != NULL ? dir : "");
    char probe[700];
    snprintf(probe, sizeof probe, "%s/data/busi/raw_samples", shared);
    if (dir == NULL || !um_dir_exists(probe)) {
        printf("skipped: no datasets below UMED_SHARED_DIR ('%s')\n", shared);
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_samples_equal_pillow),
        cmocka_unit_test(whole_busi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
