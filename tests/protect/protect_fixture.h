/* Fixtures of the protector tests: tiny settings, phantoms, one fit and what it releases. */
#ifndef UM_TESTS_PROTECT_FIXTURE_H
#define UM_TESTS_PROTECT_FIXTURE_H

#include <math.h>

#include "protect/umed.h"
#include "train/train_fixture.h"

enum { SIDE = 32, IMAGES = 8, TRAINED = 6, BATCH = 4, STEPS = 2 /* of an epoch: 4 images and 2 */ };

/* The backend of tests that need no eye on it. */
static um_backend *backend;

static inline int backend_setup(void **state)
{
    if (fixture_setup(state))
        return -1;
    return um_backend_create(&backend, "cpu", UM_F32) == UM_OK ? 0 : -1;
}

static inline int backend_teardown(void **state)
{
    um_backend_free(backend);
    return fixture_teardown(state);
}

#define BACKEND_TEST(f) cmocka_unit_test_setup_teardown(f, backend_setup, backend_teardown)

/* Everything about one protection of phantoms. */
typedef struct protection {
    um_settings *settings;
    um_dataset *clean, *released;
    um_rows rows; /* the training split */
    const um_protector_def *def;
    um_protect_job job;
    um_curves curves;
    void *state;
} protection;

static const char *const tiny[] = {"umed.gen.base_width=2",
                                   "model.base_width=2",
                                   "umed.schedule.cycles=1",
                                   "umed.schedule.g_per_s=2",
                                   "umed.batch=4",
                                   "umed.adam.lr=1e-2",
                                   "run.lanes=2",
                                   "em.M=3",
                                   "em.T=2",
                                   "em.max_rounds=2",
                                   "em.batch=4",
                                   "em.adam.lr=1e-2",
                                   "tap.clean_epochs=2",
                                   "tap.steps=3",
                                   "tap.batch=4",
                                   "tap.adam.lr=1e-2",
                                   "sep.clean_epochs=2",
                                   "sep.n=2",
                                   "sep.T=2",
                                   "sep.M=3",
                                   "sep.batch=4",
                                   "sep.adam.lr=1e-2",
                                   NULL};

static inline void protection_settings(um_settings **out, const char *const *sets)
{
    static const um_opt_table *tables[24]; /* borrowed by the settings */
    int n = 0, n_tables = 0;
    tables[n_tables++] = &um_model_table;
    tables[n_tables++] = &um_loss_table;
    tables[n_tables++] = &um_run_table;
    tables[n_tables++] = &um_conv_table;
    tables[n_tables++] = &um_export_table;
    const um_protector_def *const *all = um_protector_all(&n);
    for (int i = 0; i < n && n_tables < 23; i++)
        if (all[i]->table)
            tables[n_tables++] = all[i]->table;
    assert_ok(um_settings_create(out, tables));
    for (int i = 0; tiny[i]; i++)
        assert_ok(um_settings_assign(*out, tiny[i], "test"));
    for (int i = 0; sets && sets[i]; i++)
        assert_ok(um_settings_assign(*out, sets[i], "test"));
}

/* The same pictures with 16 bits, between the multiples of 257 too. */
static inline um_dataset *wide_dataset(const um_dataset *d)
{
    um_dataset *w = NULL;
    int64_t pixels = d->h * d->w * d->c;
    assert_ok(um_dataset_create(&w, d->n, d->h, d->w, d->c, 16));
    memcpy(w->masks, d->masks, (size_t)(d->n * d->h * d->w));
    memcpy(w->split, d->split, (size_t)d->n);
    for (int64_t i = 0; i < d->n; i++)
        assert_ok(um_strdup(&w->ids[i], d->ids[i]));
    for (int64_t i = 0; i < d->n * pixels; i++)
        ((uint16_t *)w->images)[i] = (uint16_t)(((uint8_t *)d->images)[i] * 256 + i % 256);
    return w;
}

/* Phantoms of 1 or 3 channels: drawn once, since that takes longer than a fit. */
static inline void phantoms(um_dataset **out, int64_t channels)
{
    static um_dataset *drawn[4];
    if (!drawn[channels])
        assert_ok(um_import_phantoms(&drawn[channels], IMAGES, SIDE, channels, 1, NULL));
    assert_ok(um_dataset_clone(out, drawn[channels]));
}

/* sets: NULL-terminated "key=value" beyond `tiny`; borrowed only here. */
static inline void protection_open(protection *p, um_backend *b, const char *protector, int64_t channels, int bits,
                                   const char *const *sets)
{
    *p = (protection){0};
    protection_settings(&p->settings, sets);
    phantoms(&p->clean, channels);
    if (bits == 16) {
        um_dataset *narrow = p->clean;
        p->clean = wide_dataset(narrow);
        um_dataset_free(narrow);
    }
    assert_ok(um_rows_select(&p->rows, p->clean, UM_SPLIT_TRAIN, 0, 0));
    assert_int_equal(p->rows.n, TRAINED);
    assert_ok(um_protector_find(&p->def, protector));
    p->job =
        (um_protect_job){.settings = p->settings, .backend = b, .data = p->clean, .rows = &p->rows, .seed = 5, .label = "test"};
}

static inline void protection_fit(protection *p)
{
    assert_ok(p->def->fit(&p->job, &p->state, &p->curves));
}

/* rows NULL: all. */
static inline void protection_release(protection *p, const um_rows *rows)
{
    um_dataset_free(p->released);
    p->released = NULL;
    assert_ok(um_protect_apply(&p->released, p->def, p->state, p->settings, p->clean, rows));
}

static inline void protection_close(protection *p)
{
    if (p->def && (p->state || !p->def->save))
        p->def->free(p->state);
    um_curves_free(&p->curves);
    um_rows_free(&p->rows);
    um_dataset_free(p->released);
    um_dataset_free(p->clean);
    um_settings_free(p->settings);
}

static inline int64_t pixel_of(const um_dataset *d, int64_t i)
{
    return d->bits == 8 ? ((const uint8_t *)d->images)[i] : ((const uint16_t *)d->images)[i];
}

static inline int64_t image_size(const um_dataset *d)
{
    return d->h * d->w * d->c;
}

/* Largest change of a released pixel, in the file's units. */
static inline int64_t largest_step(const protection *p)
{
    int64_t worst = 0;
    for (int64_t i = 0; i < p->clean->n * image_size(p->clean); i++) {
        int64_t step = llabs(pixel_of(p->released, i) - pixel_of(p->clean, i));
        worst = step > worst ? step : worst;
    }
    return worst;
}

/* Delta of all images, [n][h][w][c]; owned by the caller. group: images per call. */
static inline float *protection_delta(protection *p, int64_t group)
{
    float *delta = NULL;
    assert_ok(UM_NEW_ARRAY(delta, p->clean->n * image_size(p->clean)));
    for (int64_t first = 0; first < p->clean->n; first += group) {
        int64_t rows[IMAGES], n = p->clean->n - first < group ? p->clean->n - first : group;
        for (int64_t i = 0; i < n; i++)
            rows[i] = first + i;
        assert_ok(p->def->apply(p->state, p->clean, rows, n, delta + first * image_size(p->clean)));
    }
    return delta;
}

static inline void assert_same_images(const um_dataset *a, const um_dataset *b)
{
    assert_memory_equal(a->images, b->images, (size_t)(a->n * image_size(a)) * (size_t)(a->bits / 8));
}

static inline bool same_images(const um_dataset *a, const um_dataset *b)
{
    return !memcmp(a->images, b->images, (size_t)(a->n * image_size(a)) * (size_t)(a->bits / 8));
}

#endif
