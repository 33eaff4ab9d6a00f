/* A job in one process: any split into shards and any number of units on the way give the same pixels; the way back is exact, with 16
 * bits, many sizes and clipped pixels too; one flipped byte anywhere is found. With UM_CUDA_HOST the same on the CUDA backend over host
 * memory (tests/kernels/cuda_host), and beside the CPU's. */
#include "grid/grid_fixture.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/archive.h"
#include "archive/perturb.h"
#include "base/log.h"
#include "grid/work.h"
#include "io/delta_file.h"

#ifdef UM_CUDA_HOST
#include "kernels/cuda_host/cuda_host.h"
static const char backend_name[] = "cuda";
#define NARROWEST "8"
#else
static const char backend_name[] = "cpu";
#define NARROWEST "2"
#endif

enum { IMAGES = 14 };

static um_backend *backend, *cpu; /* of the job, and of fits */

static int setup(void **state)
{
    static const char *const small[] = {"umed.gen.base_width=" NARROWEST, "model.base_width=" NARROWEST, "umed.schedule.cycles=1", "umed.batch=4",
                                        "umed.adam.lr=1e-2", "archive.apply=native", "archive.psnr_min=20", "archive.ssim_min=0", "tap.clean_epochs=1",
                                        "tap.steps=2", "tap.batch=4", "sep.clean_epochs=2", "sep.n=2", "sep.T=1", "sep.M=2",
                                        "sep.batch=4"};
    if (fixture_setup(state) || um_backend_create(&cpu, "cpu", UM_F32) != UM_OK ||
        um_backend_create(&backend, backend_name, UM_F32) != UM_OK)
        return -1;
    um_log_set_level(UM_LOG_ERROR);
    for (size_t i = 0; i < UM_COUNT(small); i++)
        if (um_settings_assign(settings, small[i], "test") != UM_OK)
            return -1;
    return 0;
}

static int teardown(void **state)
{
    um_backend_free(backend);
    um_backend_free(cpu);
    return fixture_teardown(state);
}

#define ARCHIVE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static const char *in(const char *name)
{
    static char paths[8][512];
    static int next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", fixture_dir, name);
    return p;
}

#define assert_good(call)                                                                                                              \
    do {                                                                                                                               \
        um_status status_ = (call);                                                                                                    \
        if (status_ != UM_OK)                                                                                                          \
            fail_msg("%s: %s", #call, um_error_text());                                                                               \
    } while (0)

/* A fitted state of the protector. */
static void make_state(const char *protector, const char *path)
{
    um_dataset *d = NULL;
    um_rows rows = {0};
    um_protect_outcome o = {0};
    const um_protector_def *def = NULL;
    assert_good(um_protector_find(&def, protector));
    assert_good(um_import_phantoms(&d, 4, 32, 1, 3, NULL));
    assert_good(um_rows_select(&rows, d, -1, 0, 0));
    um_protect_work w = {.def = def, .settings = settings, .backend = cpu, .clean = d, .fit_rows = &rows, .seed = 5,
                         .state_out = path, .label = protector};
    assert_good(um_protect_work_run(&o, &w));
    um_protect_outcome_clear(&o);
    um_rows_free(&rows);
    um_dataset_free(d);
}

static uint32_t salt; /* another one: other pixels of the same ids and sizes */

/* Image i of the test archive: sizes differ, a third of the pixels is 0 or at the top. */
static void draw(int i, int bits, int64_t *h, int64_t *w, uint16_t *pixels, uint8_t *mask)
{
    *h = 20 + 7 * (i % 3), *w = 24 + 5 * (i % 4);
    int top = bits == 8 ? 255 : 65535;
    for (int64_t p = 0; p < *h * *w; p++) {
        uint32_t v = (uint32_t)(p * 2654435761u + (uint32_t)i * 40503u + salt) >> 16;
        pixels[p] = (uint16_t)(v % 6 == 0 ? 0 : v % 6 == 1 ? top : (int)(v * 7919u % (uint32_t)top));
        mask[p] = p / *w > 5 && p / *w < 15 && p % *w > 4 && p % *w < 18;
    }
}

/* The archive of IMAGES images in n shards. bare: images 3 and 8 have no mask, image 5 an empty one. */
static void write_source(const char *dir, int n, int bits, bool bare)
{
    um_deflate *deflate = NULL;
    uint16_t *pixels = calloc(64 * 64, sizeof *pixels);
    uint8_t *mask = calloc(64 * 64, 1), *narrow = calloc(64 * 64, 1);
    assert_good(um_dir_make(dir, 0700));
    assert_good(um_deflate_create(&deflate, 1));
    for (int k = 0; k < n; k++) {
        um_shard_index x = {.bits = bits};
        um_shard_writer writer = {0};
        char name[UM_SHARD_NAME], path[600];
        um_shard_name(name, k, n);
        snprintf(path, sizeof path, "%s/%s", dir, name);
        assert_good(um_shard_writer_open(&writer, path, &x));
        for (int i = IMAGES * k / n; i < IMAGES * (k + 1) / n; i++) {
            int64_t h, w;
            char id[16];
            snprintf(id, sizeof id, "im-%02d", i);
            draw(i, bits, &h, &w, pixels, mask);
            if (bare && i == 5)
                memset(mask, 0, (size_t)(h * w));
            bool masked = !(bare && (i == 3 || i == 8));
            for (int64_t p = 0; p < h * w; p++)
                narrow[p] = (uint8_t)pixels[p];
            assert_good(um_shard_index_add(&x, id, h, w, 1, masked, 0));
            assert_good(um_h5_stream_put(writer.pixels, bits == 8 ? (void *)narrow : (void *)pixels, (size_t)(h * w * bits / 8), deflate));
            if (masked)
                assert_good(um_h5_stream_put(writer.masks, mask, (size_t)(h * w), deflate));
        }
        assert_good(um_h5_stream_put_rest(writer.pixels, deflate));
        assert_good(um_h5_stream_put_rest(writer.masks, deflate));
        assert_good(um_shard_writer_commit(&writer, &x, NULL, "command=test\n"));
        um_shard_index_clear(&x);
    }
    um_deflate_free(deflate);
    free(pixels), free(mask), free(narrow);
}

static um_archive_job job_of(const char *protector, const char *state, const char *source, const char *released, const char *private_dir)
{
    return (um_archive_job){.source = source, .released = released, .private_dir = private_dir, .protector = protector, .state = state,
                            .settings = settings, .backend = backend, .command = "test"};
}

/* All pixels of a folder of shards in order, as bytes; and the ids. */
static void read_all(const char *dir, um_text *ids, uint8_t **pixels, int64_t *bytes)
{
    char **files = NULL;
    size_t n = 0;
    *pixels = NULL;
    *bytes = 0;
    assert_good(um_shard_files(dir, &files, &n));
    for (size_t k = 0; k < n; k++) {
        um_shard *s = NULL;
        int64_t values, masks;
        assert_good(um_shard_open(&s, files[k]));
        const um_shard_index *x = um_shard_get_index(s);
        um_shard_extent(x, 0, x->n, &values, &masks);
        int64_t own = values * x->bits / 8;
        *pixels = realloc(*pixels, (size_t)(*bytes + own));
        assert_good(um_shard_read(s, 0, x->n, *pixels + *bytes, NULL));
        *bytes += own;
        for (int64_t i = 0; i < x->n; i++)
            assert_good(um_text_add(ids, "%s ", x->ids[i]));
        um_shard_close(s);
    }
    um_names_free(files, n);
}

static void assert_same_images(const char *a, const char *b, bool same)
{
    um_text ids_a = {0}, ids_b = {0};
    uint8_t *x, *y;
    int64_t n, m;
    read_all(a, &ids_a, &x, &n);
    read_all(b, &ids_b, &y, &m);
    assert_string_equal(um_text_get(&ids_a), um_text_get(&ids_b));
    assert_int_equal(n, m);
    assert_int_equal(memcmp(x, y, (size_t)n) == 0, same);
    um_text_free(&ids_a);
    um_text_free(&ids_b);
    free(x), free(y);
}

static void protect_into(const char *protector, const char *source, const char *name, um_status want)
{
    um_archive_tally t;
    char released[600], private_dir[600];
    snprintf(released, sizeof released, "%s/%s", fixture_dir, name);
    snprintf(private_dir, sizeof private_dir, "%s/%s.private", fixture_dir, name);
    um_archive_job job = job_of(protector, in("state.h5"), source, released, private_dir);
    um_status rc = um_archive_protect(&job, &t);
    if (rc != want)
        fail_msg("protect into %s: %s", name, um_error_text());
}

static void verify(const char *name, um_status want)
{
    char private_dir[600];
    snprintf(private_dir, sizeof private_dir, "%s/%s.private", fixture_dir, name);
    um_status rc = um_archive_verify(in(name), private_dir, settings, NULL, NULL, NULL);
    if (rc != want)
        fail_msg("verify %s: %s", name, rc == UM_OK ? "good" : um_error_text());
}

static void restore(const char *name, const char *back)
{
    char private_dir[600];
    snprintf(private_dir, sizeof private_dir, "%s/%s.private", fixture_dir, name);
    assert_good(um_archive_restore(in(name), private_dir, in(back), NULL));
}

static void any_split_and_back(const char *protector, int bits)
{
    make_state(protector, in("state.h5"));
    write_source(in("one"), 1, bits, false);
    write_source(in("five"), 5, bits, false);
    protect_into(protector, in("one"), "a", UM_OK);
    protect_into(protector, in("five"), "b", UM_OK);
    assert_same_images(in("one"), in("five"), true);
    assert_same_images(in("one"), in("a"), false);
    assert_same_images(in("a"), in("b"), true);
    verify("a", UM_OK);
    verify("b", UM_OK);
    restore("a", "back_a");
    restore("b", "back_b");
    assert_same_images(in("one"), in("back_a"), true);
    assert_same_images(in("one"), in("back_b"), true);
}

static void resampled(void **state)
{
    (void)state;
    assert_good(um_settings_assign(settings, "archive.apply=resampled", "test"));
    assert_good(um_settings_assign(settings, "archive.size=32", "test"));
    any_split_and_back("umed", 16);
    assert_good(um_settings_assign(settings, "archive.size=0", "test")); /* the state says 32 */
    protect_into("umed", in("one"), "fitted", UM_OK);
    assert_same_images(in("a"), in("fitted"), true);
    assert_good(um_settings_assign(settings, "archive.size=48", "test"));
    protect_into("umed", in("one"), "other", UM_OK);
    assert_same_images(in("a"), in("other"), false);
    assert_good(um_settings_assign(settings, "archive.size=15", "test"));
    protect_into("umed", in("one"), "tiny", UM_E_CONFIG);
}

#ifndef UM_CUDA_HOST
/* One pixel of lesion in an image of 90x70, of which every third row and column is looked at when it shrinks. */
static void specks_are_not_lost(void **state)
{
    (void)state;
    um_perturber p = {0};
    um_perturbation x = {0};
    um_dataset *d = NULL;
    make_state("umed", in("state.h5"));
    assert_good(um_settings_assign(settings, "archive.apply=resampled", "test"));
    um_archive_job job = job_of("umed", in("state.h5"), in("src"), in("a"), in("a.private"));
    assert_good(um_perturber_open(&p, &job, 1));
    assert_int_equal(p.side, 32);
    for (int64_t at = 0; at < 90 * 70; at += 61) {
        int n = 0;
        assert_good(um_dataset_create(&d, 1, 90, 70, 1, 8));
        assert_good(um_strdup(&d->ids[0], "speck"));
        d->masks[at] = 1;
        assert_good(um_perturbation_prepare(&x, &p, d));
        for (int i = 0; i < 32 * 32; i++)
            n += x.small->masks[i];
        assert_int_equal(n, 1);
        um_perturbation_clear(&x, &p);
        um_dataset_free(d);
        d = NULL;
    }
    um_perturber_close(&p);
}
#endif

/* However many units are on the way, and whatever batches the networks see. */
static void any_units(void **state)
{
    (void)state;
    make_state("umed", in("state.h5"));
    write_source(in("src"), 2, 8, false);
    protect_into("umed", in("src"), "a", UM_OK);
    assert_good(um_settings_assign(settings, "archive.slots=2", "test"));
    assert_good(um_settings_assign(settings, "archive.pack_workers=3", "test"));
    protect_into("umed", in("src"), "b", UM_OK);
    assert_same_images(in("a"), in("b"), true);
    assert_good(um_settings_assign(settings, "umed.batch=1", "test"));
    protect_into("umed", in("src"), "c", UM_OK);
    assert_same_images(in("a"), in("c"), true);
}

/* What `umed protect` releases with the same state. */
static void like_protect(void **state)
{
    (void)state;
    um_dataset *d = NULL, *released = NULL, *streamed = NULL;
    const um_protector_def *def = NULL;
    void *fitted = NULL;
    um_rows none = {0};
    make_state("umed", in("state.h5"));
    assert_good(um_import_phantoms(&d, 9, 32, 1, 8, NULL));
    assert_good(um_dataset_write(d, in("clean"), &(um_dataset_write_options){.n_shards = 2, .provenance = "command=test\n"}));
    protect_into("umed", in("clean"), "a", UM_OK);
    assert_good(um_protector_find(&def, "umed"));
    um_protect_job job = {.settings = settings, .backend = backend, .data = d, .rows = &none, .label = "umed"};
    assert_good(def->load(&job, in("state.h5"), &fitted));
    assert_good(um_protect_apply(&released, def, fitted, settings, d, NULL));
    assert_good(um_dataset_read(&streamed, in("a")));
    assert_memory_equal(released->images, streamed->images, (size_t)(9 * 32 * 32));
    assert_memory_equal(released->masks, streamed->masks, (size_t)(9 * 32 * 32));
    def->free(fitted);
    um_dataset_free(d);
    um_dataset_free(released);
    um_dataset_free(streamed);
}

#ifdef UM_CUDA_HOST

typedef struct difference {
    int64_t n, changed, most; /* values, those that differ, by how much */
} difference;

static difference compare(const char *a, const char *b)
{
    um_text ids = {0};
    uint8_t *x, *y;
    difference d = {0};
    int64_t m;
    read_all(a, &ids, &x, &d.n);
    read_all(b, &ids, &y, &m);
    assert_int_equal(d.n, m);
    for (int64_t i = 0; i < d.n; i++) {
        int64_t by = x[i] > y[i] ? x[i] - y[i] : y[i] - x[i];
        d.changed += by > 0;
        d.most = by > d.most ? by : d.most;
    }
    um_text_free(&ids);
    free(x), free(y);
    return d;
}

/* The device's release is the CPU's but for roundings that fall on the other side; units pass through stages of their own, and nothing
 * that is page-locked is left. */
static void beside_the_cpu(void **state)
{
    (void)state;
    um_backend *device = backend;
    int pinned = um_host_count.pinned;
    backend = cpu;
    make_state("umed", in("state.h5"));
    write_source(in("src"), 2, 8, false);
    protect_into("umed", in("src"), "on_cpu", UM_OK);
    backend = device;
    um_host_count.fetches = um_host_count.sends = um_host_count.replays = 0;
    protect_into("umed", in("src"), "on_device", UM_OK);
    assert_true(um_host_count.fetches > 0 && um_host_count.sends == um_host_count.fetches);
    assert_int_equal(um_host_count.pinned, pinned);
    protect_into("umed", in("src"), "on_cpu", UM_E_USAGE); /* a folder is either's */
    difference d = compare(in("on_cpu"), in("on_device")), moved = compare(in("src"), in("on_cpu"));
    print_message("%lld of %lld values differ, %lld were perturbed\n", (long long)d.changed, (long long)d.n, (long long)moved.changed);
    assert_true(moved.changed > d.n / 50);
    assert_true(d.most <= 1 && d.changed * 100 <= moved.changed);
}

/* Wherever in a unit they stand: 14 images of 12 sizes are 12 runs; and in shards of their own the two pairs get the same
 * pixels. */
static void images_of_one_size_travel_together(void **state)
{
    (void)state;
    make_state("umed", in("state.h5"));
    write_source(in("one"), 1, 8, false);
    write_source(in("seven"), 7, 8, false);
    um_host_count.sends = 0;
    protect_into("umed", in("one"), "together", UM_OK);
    assert_int_equal(um_host_count.sends, 12);
    um_host_count.sends = 0;
    protect_into("umed", in("seven"), "apart", UM_OK);
    assert_int_equal(um_host_count.sends, IMAGES);
    assert_same_images(in("together"), in("apart"), true);
}

#else /* of other protectors, and what has nothing to do with a backend */

static void umed_8(void **state) { (void)state; any_split_and_back("umed", 8); }
static void ar_8(void **state) { (void)state; any_split_and_back("ar", 8); }
static void sep_16(void **state) { (void)state; any_split_and_back("sep", 16); }
static void tap_8(void **state) { (void)state; any_split_and_back("tap", 8); }
static void lsp_16(void **state) { (void)state; any_split_and_back("lsp", 16); }
static void umed_16(void **state) { (void)state; any_split_and_back("umed", 16); }

static void without_masks(void **state)
{
    (void)state;
    um_archive_tally t;
    um_text line = {0};
    bool found = false;
    make_state("umed", in("state.h5"));
    write_source(in("src"), 2, 8, true);
    um_archive_job job = job_of("umed", in("state.h5"), in("src"), in("a"), in("a.private"));
    assert_int_equal(um_archive_protect(&job, &t), UM_E_PARTIAL);
    assert_int_equal(t.images, IMAGES - 3);
    assert_int_equal(t.refused, 3);
    assert_int_equal(t.copied, 0);
    verify("a", UM_OK);
    assert_good(um_file_read(&line, in("a.private/items/shard-00000-of-00002.json"), 1 << 20));
    assert_non_null(strstr(um_text_get(&line), "{\"id\":\"im-03\",\"reason\":\"it has no mask\"}"));
    assert_non_null(strstr(um_text_get(&line), "{\"id\":\"im-05\",\"reason\":\"its mask is empty\"}"));
    um_text_free(&line);
    um_archive_job copy = job_of("umed", in("state.h5"), in("src"), in("b"), in("b.private"));
    copy.copy_unmasked = true;
    assert_good(um_archive_protect(&copy, &t));
    assert_int_equal(t.images, IMAGES);
    assert_int_equal(t.copied, 3);
    verify("b", UM_OK);
    restore("b", "back");
    assert_same_images(in("src"), in("back"), true);
    (void)found;
}

static void refusals(void **state)
{
    (void)state;
    um_archive_tally t;
    make_state("umed", in("state.h5"));
    write_source(in("src"), 1, 8, false);
    um_archive_job em = job_of("em", in("state.h5"), in("src"), in("a"), in("a.private"));
    assert_int_equal(um_archive_protect(&em, &t), UM_E_UNSUPPORTED);
    assert_non_null(strstr(um_error_text(), "'em'"));
    um_archive_job wrong = job_of("lsp", in("state.h5"), in("src"), in("a"), in("a.private"));
    assert_int_equal(um_archive_protect(&wrong, &t), UM_E_DATA);
    um_archive_job inside = job_of("umed", in("state.h5"), in("src"), in("src/a"), in("a.private"));
    assert_int_equal(um_archive_protect(&inside, &t), UM_E_USAGE);
    protect_into("umed", in("src"), "a", UM_OK);
    protect_into("umed", in("src"), "a", UM_OK); /* nothing left to do */
    assert_good(um_settings_assign(settings, "export.eps_scale=0.5", "test"));
    protect_into("umed", in("src"), "a", UM_E_USAGE);
    protect_into("umed", in("a"), "twice", UM_E_PARTIAL); /* a release is not protected once more */
    assert_false(um_dir_exists(in("twice/shard-00000-of-00001.h5")));
}

static void refused_with(const char *source, const char *text)
{
    protect_into("lsp", source, "a", UM_E_USAGE);
    if (!strstr(um_error_text(), text))
        fail_msg("\"%s\" does not say \"%s\"", um_error_text(), text);
}

/* As many shards are not the same images. */
static void another_source(void **state)
{
    (void)state;
    make_state("lsp", in("state.h5"));
    write_source(in("src"), 3, 8, false);
    protect_into("lsp", in("src"), "a", UM_OK);
    write_source(in("copy"), 3, 8, false);
    protect_into("lsp", in("copy"), "a", UM_OK);
    salt = 1 << 20;
    write_source(in("other"), 3, 8, false);
    salt = 0;
    refused_with(in("other"), "other/shard-00000-of-00003.h5 holds other images");
    assert_int_equal(rename(in("other/shard-00002-of-00003.h5"), in("src/shard-00002-of-00003.h5")), 0);
    refused_with(in("src"), "src/shard-00002-of-00003.h5 holds other images");
    write_source(in("five"), 5, 8, false);
    refused_with(in("five"), "number of shards ('3' there, '5' here)");
    verify("a", UM_OK);
}

/* Reads, flips a byte, writes back. */
static void flip(const char *path, size_t at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    int byte = fgetc(f);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_not_equal(fputc(byte ^ (1 << at % 8), f), EOF);
    assert_int_equal(fclose(f), 0);
}

static void flip_some(const char *folder)
{
    char **names = NULL, *dir = NULL;
    size_t n = 0;
    assert_good(um_strdup(&dir, folder));
    assert_good(um_dir_list(&names, &n, dir));
    for (size_t i = 0; i < n; i++) {
        char *path = NULL;
        struct stat info;
        assert_good(um_path_join(&path, dir, names[i]));
        assert_int_equal(stat(path, &info), 0);
        if (S_ISDIR(info.st_mode)) {
            flip_some(path);
            um_free(path);
            continue;
        }
        size_t step = (size_t)info.st_size / 12 + 1, bytes = (size_t)info.st_size;
        for (size_t at = 0; at < bytes; at = at + step < bytes || at == bytes - 1 ? at + step : bytes - 1) {
            flip(path, at);
            um_status rc = um_archive_verify(in("a"), in("a.private"), settings, NULL, NULL, NULL);
            if (rc == UM_OK)
                fail_msg("%s: byte %zu of %zu flipped, and nothing was found", path, at, bytes);
            flip(path, at);
        }
        um_free(path);
    }
    um_names_free(names, n);
    um_free(dir);
}

static void flipped_bytes(void **state)
{
    (void)state;
    make_state("umed", in("state.h5"));
    write_source(in("src"), 2, 8, false);
    protect_into("umed", in("src"), "a", UM_OK);
    verify("a", UM_OK);
    flip_some(in("a"));
    flip_some(in("a.private"));
    verify("a", UM_OK);
    assert_good(um_file_write(in("a/notes.txt"), "x", 1));
    verify("a", UM_E_DATA);
}

/* A broken shard is told, the others are done; put right, the same job does it. */
static void break_shard(int which)
{
    um_archive_tally t;
    make_state("umed", in("state.h5"));
    write_source(in("src"), 3, 8, false);
    struct stat info;
    assert_int_equal(stat(in("src/shard-00001-of-00003.h5"), &info), 0);
    size_t where[] = {(size_t)info.st_size / 2, 100}; /* among pixels and indices; in what opens the file */
    flip(in("src/shard-00001-of-00003.h5"), where[which]);
    um_archive_job job = job_of("umed", in("state.h5"), in("src"), in("a"), in("a.private"));
    um_status rc = um_archive_protect(&job, &t);
    assert_int_equal(rc, UM_E_PARTIAL);
    assert_int_equal(t.failed, 1);
    assert_int_equal(t.done, 2);
    assert_true(um_file_exists(in("a.private/items/shard-00001-of-00003.failed.txt")));
    flip(in("src/shard-00001-of-00003.h5"), where[which]);
    assert_good(um_archive_protect(&job, &t));
    assert_int_equal(t.done, 3);
    assert_false(um_file_exists(in("a.private/items/shard-00001-of-00003.failed.txt")));
    verify("a", UM_OK);
}

static void broken_inside(void **state) { (void)state; break_shard(0); }
static void broken_at_its_head(void **state) { (void)state; break_shard(1); }

#endif

int main(void)
{
#ifdef UM_CUDA_HOST /* a stand-in for a device is slow */
    const struct CMUnitTest tests[] = {
        ARCHIVE_TEST(resampled), ARCHIVE_TEST(any_units), ARCHIVE_TEST(like_protect), ARCHIVE_TEST(beside_the_cpu),
        ARCHIVE_TEST(images_of_one_size_travel_together),
    };
#else
    const struct CMUnitTest tests[] = {
        ARCHIVE_TEST(umed_8),       ARCHIVE_TEST(umed_16),    ARCHIVE_TEST(lsp_16),       ARCHIVE_TEST(ar_8),
        ARCHIVE_TEST(tap_8),        ARCHIVE_TEST(sep_16),
        ARCHIVE_TEST(resampled),    ARCHIVE_TEST(any_units),  ARCHIVE_TEST(like_protect), ARCHIVE_TEST(without_masks), ARCHIVE_TEST(specks_are_not_lost),
        ARCHIVE_TEST(refusals),     ARCHIVE_TEST(another_source), ARCHIVE_TEST(flipped_bytes), ARCHIVE_TEST(broken_inside),
        ARCHIVE_TEST(broken_at_its_head),
    };
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
