/* Readers of archives: shards, ways back, and the lines of JSON beside them. Lines are read where they belong, in the folders of a small
 * archive that is made once; besides as they came, with a seal of their own, since a seal refuses nearly all that is damaged. */
#include "fuzz/archive_readers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/archive.h"
#include "archive/plan.h"
#include "base/file.h"
#include "base/mem.h"
#include "grid/tables.h"
#include "grid/work.h"
#include "io/check.h"
#include "io/import.h"

enum { IMAGES = 3, LINE_BYTES = 1 << 24 };

/* An archive of one shard, protected by LSP. */
static struct {
    bool made;
    char folder[256];
    um_settings *settings;
    um_backend *backend;
    um_text job, item, manifest, public; /* as they were written */
} fixture;

static const char *in(const char *name)
{
    static char paths[16][400];
    static int turn;
    char *path = paths[turn++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", fixture.folder, name);
    return path;
}

static void remove_fixture(void)
{
    um_backend_free(fixture.backend);
    um_settings_free(fixture.settings);
    um_text_free(&fixture.job);
    um_text_free(&fixture.item);
    um_text_free(&fixture.manifest);
    um_text_free(&fixture.public);
    um_dir_remove(fixture.folder);
}

/* kind & 1: 16 bits; kind & 2: released, so without provenance. */
static um_status write_shard(const char *path, int kind)
{
    um_status rc = UM_OK;
    um_deflate *deflate = NULL;
    um_shard_index x = {.bits = kind & 1 ? 16 : 8};
    um_shard_writer w = {0};
    uint8_t pixels[2 * 24 * 24], mask[24 * 24];
    UM_TRY(um_deflate_create(&deflate, 1));
    UM_TRY(um_shard_writer_open(&w, path, &x));
    for (int i = 0; i < IMAGES; i++) {
        int64_t h = 20 + i, w_ = 24 - i;
        char id[16];
        snprintf(id, sizeof id, "im-%d", i);
        for (int64_t p = 0; p < h * w_; p++) {
            pixels[2 * p] = (uint8_t)(p * 37 + i), pixels[2 * p + 1] = (uint8_t)(p * 11);
            mask[p] = p / w_ > 5 && p / w_ < 14 && p % w_ > 4 && p % w_ < 16;
        }
        UM_TRY(um_shard_index_add(&x, id, h, w_, 1, i != 1 || (kind & 2), (uint8_t)(i == 2)));
        UM_TRY(um_h5_stream_put(w.pixels, pixels, (size_t)(h * w_ * x.bits / 8), deflate));
        if (i != 1 || (kind & 2))
            UM_TRY(um_h5_stream_put(w.masks, mask, (size_t)(h * w_), deflate));
    }
    UM_TRY(um_h5_stream_put_rest(w.pixels, deflate));
    UM_TRY(um_h5_stream_put_rest(w.masks, deflate));
    UM_TRY(um_shard_writer_commit(&w, &x, NULL, kind & 2 ? NULL : "command=fuzz\n"));
done:
    um_shard_writer_abandon(&w);
    um_shard_index_clear(&x);
    um_deflate_free(deflate);
    return rc;
}

static um_status fit_lsp(const char *state)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    um_rows rows = {0};
    um_protect_outcome o = {0};
    const um_protector_def *def = NULL;
    UM_TRY(um_protector_find(&def, "lsp"));
    UM_TRY(um_import_phantoms(&d, 4, 24, 1, 3, NULL));
    UM_TRY(um_rows_select(&rows, d, -1, 0, 0));
    UM_TRY(um_protect_work_run(&o, &(um_protect_work){.def = def, .settings = fixture.settings, .backend = fixture.backend, .clean = d,
                                                      .fit_rows = &rows, .seed = 5, .state_out = state, .label = "lsp"}));
done:
    um_protect_outcome_clear(&o);
    um_rows_free(&rows);
    um_dataset_free(d);
    return rc;
}

static um_status make_fixture(void)
{
    um_status rc = UM_OK;
    const char *tmp = getenv("TMPDIR");
    um_archive_tally tally;
    if (fixture.made)
        return UM_OK;
    snprintf(fixture.folder, sizeof fixture.folder, "%s/umed-fuzz-archive-XXXXXX", tmp ? tmp : "/dev/shm");
    UM_REQUIRE(mkdtemp(fixture.folder));
    atexit(remove_fixture);
    UM_TRY(um_settings_create(&fixture.settings, um_option_tables()));
    UM_TRY(um_settings_assign(fixture.settings, "archive.psnr_min=1", "fuzz"));
    UM_TRY(um_settings_assign(fixture.settings, "archive.ssim_min=-1", "fuzz"));
    UM_TRY(um_backend_create(&fixture.backend, "cpu", UM_F32));
    UM_TRY(fit_lsp(in("state.h5")));
    UM_TRY(um_dir_make(in("src"), 0700));
    UM_TRY(write_shard(in("src/shard-00000-of-00001.h5"), 0));
    um_archive_job job = {.source = in("src"), .released = in("a"), .private_dir = in("a.private"), .protector = "lsp",
                          .state = in("state.h5"), .settings = fixture.settings, .backend = fixture.backend, .command = "fuzz"};
    rc = um_archive_protect(&job, &tally);
    UM_TRY(rc == UM_E_PARTIAL ? UM_OK : rc); /* one image has no mask */
    UM_TRY(um_file_read(&fixture.job, in("a.private/job.json"), LINE_BYTES));
    UM_TRY(um_file_read(&fixture.item, in("a.private/items/shard-00000-of-00001.json"), LINE_BYTES));
    UM_TRY(um_file_read(&fixture.manifest, in("a.private/manifest.jsonl"), LINE_BYTES));
    UM_TRY(um_file_read(&fixture.public, in("a/manifest.jsonl"), LINE_BYTES));
    fixture.made = true;
done:
    return rc;
}

static um_status give_line(const char *path, int kind, const um_text *line)
{
    um_status rc = make_fixture();
    if (rc == UM_OK && kind > 0)
        rc = um_fail(UM_E_USAGE, "no more kinds");
    return rc == UM_OK ? um_file_write(path, um_text_get(line), line->n) : rc;
}

/* ---- shards ---- */

um_status fuzz_read_shard(const char *path)
{
    um_status rc = UM_OK;
    um_shard *s = NULL;
    um_unit_room room = {0};
    int64_t *starts = NULL, n = 0;
    uint8_t *pixels = NULL, *masks = NULL;
    char mark[UM_SHARD_MARK];
    UM_TRY(um_shard_open(&s, path));
    const um_shard_index *x = um_shard_get_index(s);
    UM_TRY(um_shard_mark(s, mark));
    UM_TRY(um_unit_starts(x, um_unit_bytes(NULL), &starts, &n));
    UM_TRY(um_unit_room_add(&room, x, um_unit_bytes(NULL)));
    UM_TRY(UM_NEW_ARRAY(pixels, room.bytes));
    UM_TRY(UM_NEW_ARRAY(masks, room.masks));
    for (int64_t k = 0; k < n; k++)
        UM_TRY(um_shard_read(s, starts[k], starts[k + 1] - starts[k], pixels, masks));
    UM_TRY(um_shard_verify(s));
    um_shard_close(s);
    s = NULL;
    UM_TRY(um_check_path(path, NULL, NULL));
done:
    um_shard_close(s);
    um_free(masks);
    um_free(pixels);
    um_free(starts);
    return rc;
}

um_status fuzz_make_shard(const char *path, int kind)
{
    return kind > 3 ? um_fail(UM_E_USAGE, "no more kinds") : write_shard(path, kind);
}

/* ---- ways back ---- */

um_status fuzz_read_delta(const char *path)
{
    um_status rc = UM_OK;
    um_delta_file d = {0};
    um_shard *s = NULL;
    void *delta = NULL, *pixels = NULL;
    UM_TRY(make_fixture());
    UM_TRY(um_delta_file_open(&d, path));
    UM_TRY(um_alloc(&delta, (size_t)d.n_values, (size_t)(d.bits / 8)));
    UM_TRY(um_alloc(&pixels, (size_t)d.n_values, (size_t)(d.bits / 8)));
    UM_TRY(um_delta_file_read(&d, 0, d.n_values, delta));
    memset(pixels, 7, (size_t)(d.n_values * (d.bits / 8)));
    um_delta_undo(pixels, pixels, delta, d.n_values, d.bits);
    UM_TRY(um_shard_open(&s, in("a/shard-00000-of-00001.h5")));
    if (d.bits == 8)
        UM_TRY(um_delta_file_fits(&d, um_shard_get_index(s)));
    UM_TRY(um_check_path(path, NULL, NULL));
done:
    um_shard_close(s);
    um_free(pixels);
    um_free(delta);
    um_delta_file_close(&d);
    return rc;
}

um_status fuzz_make_delta(const char *path, int kind)
{
    um_status rc = UM_OK;
    um_delta_writer w = {0};
    um_deflate *deflate = NULL;
    um_text whole = {0};
    int16_t delta[400];
    um_shard_index x = {.bits = 16};
    char sha256[UM_SHA256_HEX];
    if (kind > 1)
        return um_fail(UM_E_USAGE, "no more kinds");
    if (kind == 0) {
        UM_TRY(make_fixture());
        UM_TRY(um_file_read(&whole, in("a.private/delta-00000-of-00001.h5"), LINE_BYTES));
        UM_TRY(um_file_write(path, um_text_get(&whole), whole.n));
        goto done;
    }
    for (int i = 0; i < 400; i++)
        delta[i] = (int16_t)(i * 331 - 40000);
    um_sha256_of(delta, sizeof delta, sha256);
    UM_TRY(um_deflate_create(&deflate, 1));
    UM_TRY(um_shard_index_add(&x, "one", 20, 20, 1, true, 0));
    UM_TRY(um_delta_writer_open(&w, path, 16, 400));
    UM_TRY(um_h5_stream_put(w.delta, delta, sizeof delta, deflate));
    UM_TRY(um_h5_stream_put_rest(w.delta, deflate));
    UM_TRY(um_delta_writer_end(&w, &x, 5 * 257, sha256, sha256));
    UM_TRY(um_file_commit(path));
done:
    um_delta_writer_abandon(&w);
    um_shard_index_clear(&x);
    um_deflate_free(deflate);
    um_text_free(&whole);
    return rc;
}

/* ---- lines ---- */

/* The status of the first, unless the second is of a kind that no file may cause. */
static um_status worse(um_status first, um_status second)
{
    return second == UM_OK || second == UM_E_DATA || second == UM_E_USAGE || second == UM_E_IO ? first : second;
}

/* The content of `path` under its seal; false when it is no line. */
static bool reseal(const um_text *line, um_text *out)
{
    const char *text = um_text_get(line), *seal = strstr(text, ",\"sha256_line\"");
    size_t n = seal ? (size_t)(seal - text) : strcspn(text, "\n");
    return n > 0 && n < INT32_MAX && um_text_add(out, "%.*s", (int)n, text) == UM_OK && um_json_seal(out) == UM_OK;
}

static um_status owner_looks(void)
{
    return um_archive_verify(in("a"), in("a.private"), fixture.settings, NULL, NULL, NULL);
}

/* What the owner's commands say when `place` holds this. */
static um_status try_line(const char *place, const um_text *line)
{
    um_status rc = um_file_write(in(place), um_text_get(line), line->n);
    return rc == UM_OK ? owner_looks() : rc;
}

/* The file under test in its place: as it is, and sealed anew; then the good one comes back. */
static um_status read_in_place(const char *path, const char *place, const um_text *good, bool sealed)
{
    um_status rc = UM_OK, second = UM_OK;
    um_text line = {0}, again = {0}, why = {0};
    UM_TRY(make_fixture());
    UM_TRY(um_file_read(&line, path, LINE_BYTES));
    if (sealed && reseal(&line, &again))
        second = try_line(place, &again);
    UM_TRY(worse(UM_OK, second));
    um_status found = try_line(place, &line);
    if (found == UM_OK)
        goto done;
    UM_REQUIRE(strstr(um_error_text(), place));
    UM_TRY(um_text_add(&why, "%s", um_error_text()));
    rc = um_fail(found, "%s: %s", path, um_text_get(&why));
done:
    if (fixture.made && um_file_write(in(place), um_text_get(good), good->n) != UM_OK)
        rc = UM_E_BUG;
    um_text_free(&why);
    um_text_free(&again);
    um_text_free(&line);
    return rc;
}

/* What a second run of the job says to it, under its seal. */
static um_status go_on(const char *path)
{
    um_status rc = UM_OK;
    um_archive_tally tally;
    um_text line = {0}, again = {0};
    um_archive_job job = {.source = in("src"), .released = in("a"), .private_dir = in("a.private"), .protector = "lsp",
                          .state = in("state.h5"), .settings = fixture.settings, .backend = fixture.backend, .command = "fuzz"};
    UM_TRY(um_file_read(&line, path, LINE_BYTES));
    if (!reseal(&line, &again))
        goto done;
    UM_TRY(um_file_write(in("a.private/job.json"), um_text_get(&again), again.n));
    rc = um_archive_protect(&job, &tally);
    rc = rc == UM_E_PARTIAL ? UM_OK : rc;
done:
    um_text_free(&again);
    um_text_free(&line);
    return rc;
}

um_status fuzz_read_job(const char *path)
{
    um_status rc = make_fixture(), second = rc == UM_OK ? go_on(path) : rc;
    return worse(read_in_place(path, "a.private/job.json", &fixture.job, true), second);
}

um_status fuzz_read_item(const char *path)
{
    return read_in_place(path, "a.private/items/shard-00000-of-00001.json", &fixture.item, true);
}

um_status fuzz_read_manifest(const char *path)
{
    return read_in_place(path, "a.private/manifest.jsonl", &fixture.manifest, true);
}

/* As somebody who received the release, then as its owner. */
um_status fuzz_read_public(const char *path)
{
    um_text line = {0};
    um_status rc = make_fixture(), second = rc;
    if (rc == UM_OK && um_file_read(&line, path, LINE_BYTES) == UM_OK &&
        um_file_write(in("a/manifest.jsonl"), um_text_get(&line), line.n) == UM_OK)
        second = um_archive_verify(in("a"), NULL, fixture.settings, NULL, NULL, NULL);
    um_text_free(&line);
    return worse(read_in_place(path, "a/manifest.jsonl", &fixture.public, false), second);
}

um_status fuzz_make_job(const char *path, int kind) { return give_line(path, kind, &fixture.job); }
um_status fuzz_make_item(const char *path, int kind) { return give_line(path, kind, &fixture.item); }
um_status fuzz_make_manifest(const char *path, int kind) { return give_line(path, kind, &fixture.manifest); }
um_status fuzz_make_public(const char *path, int kind) { return give_line(path, kind, &fixture.public); }
