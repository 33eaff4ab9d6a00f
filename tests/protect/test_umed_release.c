/* What UMed releases: the invariants of protectors.md 1.2 against maps computed here from their definitions, untouched rows, the
 * same bytes for the same seed whatever the threads and the grouping, and for a state that was saved and loaded. */
#include "protect/protect_fixture.h"

/* The defaults by definition, for one-channel images: y_c = both values of the mask within the 3x3 neighbourhood inside the frame;
 * x_t = the share of the 8 neighbours that are not darker, the frame continued by its edge pixels. */
static float bound_at(const um_dataset *d, int64_t row, int64_t i, int64_t j)
{
    const uint8_t *mask = um_dataset_mask(d, row);
    bool seen[2] = {false, false};
    int brighter = 0;
    int64_t centre = pixel_of(d, (row * d->h + i) * d->w + j);
    for (int64_t y = i - 1; y <= i + 1; y++)
        for (int64_t x = j - 1; x <= j + 1; x++) {
            int64_t cy = y < 0 ? 0 : y >= d->h ? d->h - 1 : y, cx = x < 0 ? 0 : x >= d->w ? d->w - 1 : x;
            if (cy == y && cx == x)
                seen[mask[y * d->w + x]] = true;
            brighter += (y != i || x != j) && pixel_of(d, (row * d->h + cy) * d->w + cx) >= centre;
        }
    float eps = (float)(4.0 / 255);
    return seen[0] && seen[1] ? eps : mask[i * d->w + j] ? eps * ((float)brighter / 8) : 0;
}

static void check_delta(const um_dataset *d, const float *delta)
{
    double inside = 0, outside = 0;
    for (int64_t row = 0; row < d->n; row++)
        for (int64_t i = 0; i < d->h; i++)
            for (int64_t j = 0; j < d->w; j++) {
                float v = fabsf(delta[(row * d->h + i) * d->w + j]), bound = bound_at(d, row, i, j);
                if (!(v <= bound))
                    fail_msg("image %ld, pixel (%ld,%ld): |delta| %.9g, bound %.9g", (long)row, (long)i, (long)j, (double)v,
                             (double)bound);
                *(bound == (float)(4.0 / 255) ? &outside : &inside) += (double)v;
            }
    assert_true(inside > 0 && outside > 0); /* both generators act */
}

static void delta_keeps_its_bounds(void **state)
{
    (void)state;
    for (int bits = 8; bits <= 16; bits += 8) {
        protection p;
        protection_open(&p, backend, "umed", 1, bits, NULL);
        protection_fit(&p);
        float *delta = protection_delta(&p, IMAGES);
        check_delta(p.clean, delta);
        um_free(delta);
        protection_close(&p);
    }
}

static void released_pixels_keep_the_bound(void **state)
{
    (void)state;
    static const char *const loud[] = {"umed.gen.gain=1000", NULL}; /* every pixel at its bound */
    static const char *const scaled[] = {"umed.gen.gain=1000", "export.eps_scale=2.5", NULL};
    for (int bits = 8; bits <= 16; bits += 8) {
        protection p;
        protection_open(&p, backend, "umed", 1, bits, loud);
        protection_fit(&p);
        protection_release(&p, NULL);
        assert_int_equal(largest_step(&p), 4 * um_dataset_level(p.clean));
        protection_close(&p);
        protection_open(&p, backend, "umed", 1, bits, scaled);
        protection_fit(&p);
        protection_release(&p, NULL);
        assert_int_equal(largest_step(&p), 10 * um_dataset_level(p.clean));
        protection_close(&p);
    }
}

static void other_rows_and_masks_are_untouched(void **state)
{
    (void)state;
    protection p;
    protection_open(&p, backend, "umed", 3, 8, NULL);
    protection_fit(&p);
    protection_release(&p, &p.rows);
    size_t bytes = (size_t)image_size(p.clean);
    for (int64_t i = 0; i < IMAGES; i++) {
        bool same = !memcmp(um_dataset_image(p.clean, i), um_dataset_image(p.released, i), bytes);
        assert_int_equal(same, p.clean->split[i] == UM_SPLIT_TEST);
        assert_string_equal(p.clean->ids[i], p.released->ids[i]);
    }
    assert_memory_equal(p.clean->masks, p.released->masks, IMAGES * SIDE * SIDE);
    assert_memory_equal(p.clean->split, p.released->split, IMAGES);
    assert_true(p.released->bits == 8 && p.released->c == 3);
    protection_close(&p);
}

static void fit_once(protection *p, int threads, uint64_t seed)
{
    protection_open(p, backend, "umed", 1, 8, NULL);
    um_threads_set(threads);
    p->job.seed = seed;
    protection_fit(p);
    protection_release(p, NULL);
    um_threads_set(1);
}

static void same_seed_same_bytes(void **state)
{
    (void)state;
    protection first, again, other;
    fit_once(&first, 1, 5);
    for (int threads = 1; threads <= 3; threads++) {
        fit_once(&again, threads, 5);
        assert_same_images(first.released, again.released);
        assert_same_curves(&first.curves, &again.curves);
        protection_close(&again);
    }
    fit_once(&other, 1, 6);
    assert_false(same_images(first.released, other.released));
    protection_close(&first);
    protection_close(&other);
}

static void grouping_does_not_matter(void **state)
{
    (void)state;
    protection p;
    fit_once(&p, 1, 5);
    float *all = protection_delta(&p, IMAGES);
    for (int64_t group = 1; group <= 5; group += 2) {
        float *delta = protection_delta(&p, group);
        assert_memory_equal(all, delta, (size_t)(IMAGES * image_size(p.clean)) * sizeof *all);
        um_free(delta);
    }
    um_free(all);
    protection_close(&p);
}

/* Images that fit never saw, in another file: each gets what it would get anywhere. */
static void unseen_images_are_protected(void **state)
{
    (void)state;
    protection p;
    um_dataset *fresh = NULL, *released = NULL;
    fit_once(&p, 1, 5);
    assert_true(p.def->unseen);
    assert_ok(um_import_phantoms(&fresh, 3, SIDE, 1, 99, NULL));
    assert_ok(um_protect_apply(&released, p.def, p.state, p.settings, fresh, NULL));
    assert_false(same_images(fresh, released));
    um_dataset_free(released);
    um_dataset_free(fresh);
    assert_ok(um_import_phantoms(&fresh, 3, 48, 1, 99, NULL));
    assert_ok(um_protect_apply(&released, p.def, p.state, p.settings, fresh, NULL)); /* of any size */
    assert_false(same_images(fresh, released));
    um_dataset_free(released);
    um_dataset_free(fresh);
    assert_ok(um_import_phantoms(&fresh, 3, SIDE, 3, 99, NULL));
    assert_int_equal(um_protect_apply(&released, p.def, p.state, p.settings, fresh, NULL), UM_E_DATA);
    assert_non_null(strstr(um_error_text(), "fitted to images of 1 channels; these have 3"));
    um_dataset_free(fresh);
    protection_close(&p);
}

static void saved_states_release_the_same(void **state)
{
    (void)state;
    static const char *const variants[][3] = {
        {NULL}, {"umed.parts=contour", NULL}, {"umed.parts=texture", NULL}, {"umed.cdc.mode=theta", "umed.gen.input=x_y", NULL}};
    for (size_t v = 0; v < UM_COUNT(variants); v++) {
        protection p, loaded;
        unlink(at("state.h5"));
        protection_open(&p, backend, "umed", 1, 8, variants[v]);
        protection_fit(&p);
        protection_release(&p, NULL);
        assert_ok(p.def->save(p.state, p.job.data, at("state.h5")));
        protection_open(&loaded, backend, "umed", 1, 8, variants[v]);
        assert_ok(p.def->load(&loaded.job, at("state.h5"), &loaded.state));
        protection_release(&loaded, NULL);
        assert_same_images(p.released, loaded.released);
        protection_close(&p);
        protection_close(&loaded);
    }
}

static void assert_refused(protection *fitted, const char *const *settings, const char *name, um_status code, const char *text)
{
    protection other;
    protection_open(&other, backend, "umed", 1, 8, settings);
    assert_int_equal(fitted->def->load(&other.job, at(name), &other.state), code);
    if (!strstr(um_error_text(), text))
        fail_msg("no \"%s\" in \"%s\"", text, um_error_text());
    assert_null(other.state);
    protection_close(&other);
}

/* A state belongs to the settings that count when it is applied; the others may change. */
static void foreign_states_are_refused(void **state)
{
    (void)state;
    static const char *const wider[] = {"umed.gen.base_width=4", NULL}, *const louder[] = {"umed.eps=8/255", NULL},
                             *const ones[] = {"umed.lbp.map=ones", NULL}, *const longer[] = {"umed.schedule.cycles=7", NULL};
    protection p, other;
    fit_once(&p, 1, 5);
    assert_ok(p.def->save(p.state, p.job.data, at("state.h5")));
    assert_refused(&p, wider, "state.h5", UM_E_DATA,
                   "state.h5 was fitted under umed.gen.base_width=2, now it is umed.gen.base_width=4");
    assert_refused(&p, louder, "state.h5", UM_E_DATA, "was fitted under umed.eps=4/255, now it is umed.eps=8/255");
    assert_refused(&p, ones, "state.h5", UM_E_DATA, "was fitted under umed.lbp.map=popcount, now it is umed.lbp.map=ones");
    assert_refused(&p, NULL, "nothing.h5", UM_E_IO, "nothing.h5");
    protection_open(&other, backend, "umed", 1, 8, longer);
    assert_ok(p.def->load(&other.job, at("state.h5"), &other.state));
    protection_close(&other);
    fit_once(&other, 1, 6);
    assert_int_equal(p.def->save(other.state, other.job.data, at("state.h5")), UM_E_USAGE);
    assert_non_null(strstr(um_error_text(), "state.h5 exists and holds other weights"));
    assert_ok(p.def->save(p.state, p.job.data, at("state.h5")));
    protection_close(&p);
    protection_close(&other);
}

/* Each protector of the list is held to what it declares. */
static void every_protector_keeps_its_bound(void **state)
{
    (void)state;
    int n = 0;
    const um_protector_def *const *all = um_protector_all(&n);
    assert_true(n >= 2);
    for (int i = 0; i < n; i++)
        for (int bits = 8; bits <= 16; bits += 8) {
            protection p;
            protection_open(&p, backend, all[i]->name, 1, bits, NULL);
            protection_fit(&p);
            protection_release(&p, &p.rows);
            int64_t limit = um_protect_limit(p.def, p.settings, um_dataset_max(p.clean));
            if (largest_step(&p) > limit)
                fail_msg("%s moves a pixel by %ld; it declares %ld", all[i]->name, (long)largest_step(&p), (long)limit);
            protection_close(&p);
        }
}

static um_status loud_apply(void *state, const um_dataset *d, const int64_t *rows, int64_t n, float *delta)
{
    (void)state, (void)rows;
    for (int64_t i = 0; i < n * d->h * d->w * d->c; i++)
        delta[i] = i % 2 ? 0.25f : -0.25f;
    return UM_OK;
}

static double declared;

static double declared_bound(const um_settings *settings)
{
    (void)settings;
    return declared;
}

/* What a protector declares is enforced; one that declares nothing is not clamped to nothing. */
static void the_declared_bound_is_enforced(void **state)
{
    (void)state;
    static const double bounds[] = {INFINITY, 0, 0.1, 0.5};
    static const int64_t largest[] = {64, 0, 26, 64}; /* round(255/4); nothing; ceil(25.5); what was asked for */
    const um_protector_def loud = {.name = "loud", .groups = "", .apply = loud_apply, .bound = declared_bound};
    for (size_t i = 0; i < UM_COUNT(bounds); i++) {
        protection p;
        declared = bounds[i];
        protection_open(&p, backend, "none", 1, 8, NULL);
        assert_ok(um_protect_apply(&p.released, &loud, NULL, p.settings, p.clean, NULL));
        assert_int_equal(largest_step(&p), largest[i]);
        protection_close(&p);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const char *const square[] = {"umed.lbp.P=12", NULL};
    static const char *const real[] = {"export.dtype=f32", NULL};
    protection p;
    const um_protector_def *def = NULL;
    assert_int_equal(um_protector_find(&def, "umd"), UM_E_CONFIG);
    assert_non_null(strstr(um_error_text(), "\"umed\""));
    protection_open(&p, backend, "umed", 1, 8, square);
    assert_int_equal(p.def->fit(&p.job, &p.state, &p.curves), UM_E_CONFIG);
    assert_non_null(strstr(um_error_text(), "umed.lbp.P"));
    protection_close(&p);
    protection_open(&p, backend, "umed", 1, 8, NULL);
    p.rows.n = 0;
    assert_int_equal(p.def->fit(&p.job, &p.state, &p.curves), UM_E_DATA);
    protection_close(&p);
    protection_open(&p, backend, "umed", 1, 8, real);
    protection_fit(&p);
    assert_int_equal(um_protect_apply(&p.released, p.def, p.state, p.settings, p.clean, NULL), UM_E_UNSUPPORTED);
    assert_null(p.released);
    protection_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BACKEND_TEST(delta_keeps_its_bounds),
        BACKEND_TEST(released_pixels_keep_the_bound),
        BACKEND_TEST(other_rows_and_masks_are_untouched),
        BACKEND_TEST(same_seed_same_bytes),
        BACKEND_TEST(grouping_does_not_matter),
        BACKEND_TEST(unseen_images_are_protected),
        BACKEND_TEST(saved_states_release_the_same),
        BACKEND_TEST(foreign_states_are_refused),
        BACKEND_TEST(every_protector_keeps_its_bound),
        BACKEND_TEST(the_declared_bound_is_enforced),
        BACKEND_TEST(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
