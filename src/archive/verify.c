#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/item.h"
#include "archive/shard_job.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/signal.h"
#include "image/mask_leak.h"

enum { MANIFEST_BYTES = 1 << 30 };

typedef struct verifier {
    const char *released, *private_dir; /* private_dir NULL: the recipient's view */
    const um_settings *settings;
    const um_archive_options *o;
    um_archive_report *report;
    void *payload;
    int n_shards;
    um_text manifest; /* public, as it stands */
    um_status first;
    char *first_text;
} verifier;

static um_status note(verifier *v, const char *path, um_status status, const char *line)
{
    um_status rc = UM_OK;
    if (status == UM_E_MEMORY || status == UM_E_STOPPED)
        return status;
    if (v->report)
        v->report(path, status, line, v->payload);
    if (status != UM_OK && v->first == UM_OK) {
        UM_TRY(um_strdup(&v->first_text, line));
        v->first = status;
    }
done:
    return rc;
}

/* ---- what a released file may hold (DESIGN D15) ---- */

static bool listed(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

static um_status check_attributes(um_h5 *f, const char *object, const char *const *allowed)
{
    um_status rc = UM_OK;
    char **names = NULL;
    size_t n = 0;
    UM_TRY(um_h5_list_attrs(f, object, &names, &n));
    for (size_t i = 0; i < n && rc == UM_OK; i++)
        if (!listed(names[i], allowed))
            rc = um_fail(UM_E_DATA, "%s: attribute '%s' of %s does not belong into a release: it may betray the owner", um_h5_path(f),
                         names[i], object);
done:
    if (names)
        um_names_free(names, n);
    return rc;
}

static um_status check_members(um_shard *s)
{
    static const char *const root[] = {"complete", "format", "format_version", NULL};
    static const char *const array[] = {"axes", "definition", "description", "unit", NULL};
    static const char *const uniform[] = {"ids", "images", "masks", "split", NULL};
    static const char *const mixed[] = {"ids", "mask_offset", "mask_pixels", "offset", "pixels", "shape", "split", NULL};
    um_status rc = UM_OK;
    um_h5 *f = um_shard_file(s);
    char **names = NULL, path[80];
    size_t n = 0;
    UM_TRY(check_attributes(f, "/", root));
    UM_TRY(um_h5_list(f, "/", &names, &n));
    for (size_t i = 0; i < n; i++) {
        if (!listed(names[i], um_shard_get_index(s)->uniform ? uniform : mixed)) {
            rc = um_fail(UM_E_DATA, "%s: /%s does not belong into a release: it may betray the owner", um_h5_path(f), names[i]);
            goto done;
        }
        snprintf(path, sizeof path, "/%s", names[i]);
        UM_TRY(check_attributes(f, path, array));
    }
done:
    if (names)
        um_names_free(names, n);
    return rc;
}

static um_status check_file(const char *path, int64_t bytes, const char *sha256)
{
    um_status rc = UM_OK;
    struct stat info;
    char is[UM_SHA256_HEX];
    if (stat(path, &info) != 0)
        return um_fail(UM_E_DATA, "%s: missing", path);
    if ((int64_t)info.st_size != bytes)
        return um_fail(UM_E_DATA, "%s: %lld bytes, recorded are %lld", path, (long long)info.st_size, (long long)bytes);
    UM_TRY(um_sha256_of_file(path, is));
    if (strcmp(is, sha256) != 0)
        rc = um_fail(UM_E_DATA, "%s: sha256 %s, recorded is %s: the file was changed", path, is, sha256);
done:
    return rc;
}

static um_status check_recorded(const char *path, const char *line, const char *bytes_key, const char *sha256_key)
{
    um_status rc = UM_OK;
    um_text sha256 = {0};
    int64_t bytes = 0;
    if (!um_json_get_int(line, bytes_key, &bytes) || !um_json_get_text(line, sha256_key, &sha256))
        rc = um_fail(UM_E_DATA, "%s: its line in the manifest lacks \"%s\" or \"%s\"", path, bytes_key, sha256_key);
    else
        rc = check_file(path, bytes, um_text_get(&sha256));
    um_text_free(&sha256);
    return rc;
}

/* ---- images against what they were ---- */

typedef struct seen {
    um_sha256 clean, released;
    int64_t n, largest, n_leak;
    double psnr_min, psnr_max, ssim_min, leak, leak_clean;
    uint8_t *pixels, *was, *change, *masks;
} seen;

static um_status look_at_image(const verifier *v, seen *s, const um_shard_index *x, int64_t i, const void *is, const void *was,
                               const uint8_t *mask)
{
    um_status rc = UM_OK;
    const um_metric_options *o = um_settings_get(v->settings, "metrics");
    const um_shard_row *r = &x->rows[i];
    um_pixels a = {was, r->h, r->w, r->c, x->bits}, b = {is, r->h, r->w, r->c, x->bits};
    um_difference diff;
    um_ssim_result ssim = {.frame = 1};
    uint8_t *found = NULL;
    UM_TRY(um_metric_difference(&diff, &a, &b, NULL));
    if (r->h >= 11 && r->w >= 11)
        UM_TRY(um_metric_ssim(&ssim, &a, &b, NULL, &o->ssim));
    s->psnr_min = fmin(s->psnr_min, diff.psnr);
    s->psnr_max = isinf(diff.psnr) ? s->psnr_max : fmax(s->psnr_max, diff.psnr);
    s->ssim_min = fmin(s->ssim_min, ssim.frame);
    if (diff.psnr < v->o->psnr_min || ssim.frame < v->o->ssim_min)
        UM_TRY(um_fail(UM_E_DATA, "image '%s' has PSNR %.2f dB and SSIM %.4f; archive.psnr_min is %g, archive.ssim_min %g", x->ids[i],
                       diff.psnr, ssim.frame, v->o->psnr_min, v->o->ssim_min));
    if (r->mask_at < 0 || v->o->ssim_every == 0 || (i > 0 && um_text_hash(x->ids[i]) % (uint64_t)v->o->ssim_every != 0))
        goto done; /* a sample is enough for that */
    UM_TRY(UM_NEW_ARRAY(found, r->h * r->w));
    for (int k = 0; k < 2; k++) {
        UM_TRY(um_mask_leak_predict(found, k ? &a : &b, UM_LEAK_HIGHPASS));
        um_confusion c = um_confusion_of_masks(found, mask, r->h * r->w);
        *(k ? &s->leak_clean : &s->leak) += um_confusion_dsc(&c);
    }
    s->n_leak++;
done:
    um_free(found);
    return rc;
}

static um_status look_at_unit(const verifier *v, seen *s, um_shard *shard, um_delta_file *d, int64_t first, int64_t n)
{
    um_status rc = UM_OK;
    const um_shard_index *x = um_shard_get_index(shard);
    int64_t values, masks, at = 0, mask_at = 0, wide = x->bits / 8, largest;
    um_shard_extent(x, first, n, &values, &masks);
    UM_TRY(um_shard_read(shard, first, n, s->pixels, s->masks));
    UM_TRY(um_delta_file_read(d, x->rows[first].at, values, s->change));
    largest = um_delta_undo(s->was, s->pixels, s->change, values, x->bits);
    s->largest = largest > s->largest ? largest : s->largest;
    for (int64_t i = first; i < first + n; i++) {
        um_shard_hash_add(&s->released, x, i, s->pixels + at * wide, s->masks + mask_at);
        um_shard_hash_add(&s->clean, x, i, s->was + at * wide, s->masks + mask_at);
        UM_TRY(look_at_image(v, s, x, i, s->pixels + at * wide, s->was + at * wide, s->masks + mask_at));
        at += um_shard_values(&x->rows[i]);
        mask_at += um_shard_mask_pixels(&x->rows[i]);
    }
    s->n += n;
done:
    return rc;
}

static um_status compare_hash(const char *path, um_sha256 *sum, const char *recorded, const char *item, const char *key, const char *what)
{
    um_status rc = UM_OK;
    um_text said = {0};
    char is[UM_SHA256_HEX];
    um_sha256_hex(sum, is);
    if (!um_json_get_text(item, key, &said) || strcmp(is, recorded) != 0 || strcmp(is, um_text_get(&said)) != 0)
        rc = um_fail(UM_E_DATA, "%s: %s have sha256 %s, recorded are %s and %s", path, what, is, recorded, um_text_get(&said));
    um_text_free(&said);
    return rc;
}

static um_status judge(const verifier *v, seen *s, const um_archive_paths *p, const um_delta_file *d, const char *item, um_text *line)
{
    um_status rc = UM_OK;
    int64_t images = 0, bound = 0;
    (void)v;
    UM_TRY(compare_hash(p->released, &s->released, d->released_sha256, item, "sha256_released", "its images"));
    UM_TRY(compare_hash(p->released, &s->clean, d->clean_sha256, item, "sha256_clean", "the images that it leads back to"));
    if (!um_json_get_int(item, "images", &images) || images != s->n)
        UM_TRY(um_fail(UM_E_DATA, "%s: %lld images, the manifest says %lld", p->released, (long long)s->n, (long long)images));
    if (!um_json_get_int(item, "bound_levels", &bound) || bound != d->bound_levels || s->largest > bound)
        UM_TRY(um_fail(UM_E_DATA, "%s: a pixel changes by %lld grey levels, the bound is %lld", p->released, (long long)s->largest,
                       (long long)d->bound_levels));
    UM_TRY(um_text_add(line, "%lld images, largest change %lld of %lld levels, PSNR %.2f to %.2f dB, SSIM from %.4f, mask read off %.3f "
                       "(clean %.3f)", (long long)s->n, (long long)s->largest, (long long)bound, s->psnr_min, s->psnr_max, s->ssim_min,
                       s->n_leak ? s->leak / (double)s->n_leak : NAN, s->n_leak ? s->leak_clean / (double)s->n_leak : NAN));
done:
    return rc;
}

static um_status check_content(const verifier *v, um_shard *shard, const um_archive_paths *p, const char *item, um_text *line)
{
    um_status rc = UM_OK;
    um_delta_file d = {0};
    um_unit_room room = {0};
    seen s = {.psnr_min = INFINITY, .psnr_max = -INFINITY, .ssim_min = 1};
    int64_t *starts = NULL, n = 0;
    const um_shard_index *x = um_shard_get_index(shard);
    UM_TRY(check_recorded(p->delta, item, "bytes_delta", "sha256_delta"));
    UM_TRY(um_delta_file_open(&d, p->delta));
    UM_TRY(um_delta_file_fits(&d, x));
    UM_TRY(um_unit_room_add(&room, x, um_unit_bytes(NULL)));
    UM_TRY(UM_NEW_ARRAY(s.pixels, room.bytes));
    UM_TRY(UM_NEW_ARRAY(s.was, room.bytes));
    UM_TRY(UM_NEW_ARRAY(s.change, room.bytes));
    UM_TRY(UM_NEW_ARRAY(s.masks, room.masks));
    um_sha256_init(&s.clean);
    um_sha256_init(&s.released);
    UM_TRY(um_unit_starts(x, um_unit_bytes(NULL), &starts, &n));
    for (int64_t k = 0; k < n; k++) {
        UM_TRY(um_stop_check("not all files were looked at"));
        UM_TRY(look_at_unit(v, &s, shard, &d, starts[k], starts[k + 1] - starts[k]));
    }
    UM_TRY(judge(v, &s, p, &d, item, line));
done:
    um_free(starts);
    um_free(s.pixels);
    um_free(s.was);
    um_free(s.change);
    um_free(s.masks);
    um_delta_file_close(&d);
    return rc;
}

/* ---- a shard ---- */

/* The line of the k-th shard in the public manifest, without its end. */
static um_status public_line(const verifier *v, int k, um_text *out)
{
    const char *p = um_text_get(&v->manifest);
    for (int i = 0; i < k && p; i++)
        p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL;
    return um_text_add(out, "%.*s", p ? (int)strcspn(p, "\n") : 0, p ? p : "");
}

static um_status check_shard(verifier *v, int k, um_text *line)
{
    um_status rc = UM_OK;
    um_archive_paths p = {0};
    um_text item = {0}, open = {0}, name = {0};
    um_shard *shard = NULL;
    bool found = false;
    UM_TRY(um_archive_paths_of(&p, v->released, v->private_dir ? v->private_dir : "", k, v->n_shards));
    UM_TRY(public_line(v, k, &open));
    if (!um_json_get_text(um_text_get(&open), "shard", &name) || strcmp(um_text_get(&name), p.shard_name) != 0)
        UM_TRY(um_fail(UM_E_DATA, "%s: line %d of the manifest is not about it", p.released, k + 1));
    UM_TRY(check_recorded(p.released, um_text_get(&open), "bytes", "sha256"));
    UM_TRY(um_shard_open(&shard, p.released));
    UM_TRY(um_h5_verify(um_shard_file(shard)));
    UM_TRY(check_members(shard));
    if (!v->private_dir) {
        UM_TRY(um_shard_verify(shard));
        UM_TRY(um_text_add(line, "%lld images", (long long)um_shard_get_index(shard)->n));
        goto done;
    }
    UM_TRY(um_archive_line_read(&item, p.item, &found));
    if (!found)
        UM_TRY(um_fail(UM_E_DATA, "%s: missing: the shard is not done", p.item));
    UM_TRY(check_recorded(p.released, um_text_get(&item), "bytes", "sha256_file"));
    UM_TRY(check_content(v, shard, &p, um_text_get(&item), line));
done:
    um_shard_close(shard);
    um_text_free(&item);
    um_text_free(&open);
    um_text_free(&name);
    um_archive_paths_clear(&p);
    return rc;
}

/* ---- the folders ---- */

/* Nothing but the shards and the manifest. */
static um_status check_names(const verifier *v)
{
    um_status rc = UM_OK;
    char **names = NULL, expected[UM_SHARD_NAME];
    size_t n = 0;
    int k = 0;
    UM_TRY(um_dir_list(&names, &n, v->released));
    for (size_t i = 0; i < n; i++) {
        um_shard_name(expected, k, v->n_shards);
        if (k < v->n_shards && strcmp(names[i], expected) == 0)
            k++;
        else if (strcmp(names[i], "manifest.jsonl") != 0)
            UM_TRY(um_fail(UM_E_DATA, "%s/%s: does not belong into a release; move it away", v->released, names[i]));
    }
done:
    if (names)
        um_names_free(names, n);
    return rc;
}

static um_status read_text(const char *dir, const char *name, um_text *out)
{
    um_status rc = UM_OK;
    char *path = NULL;
    UM_TRY(um_path_join(&path, dir, name));
    if (!um_file_exists(path))
        UM_TRY(um_fail(UM_E_DATA, "%s: missing: not all shards are done", path));
    UM_TRY(um_file_read(out, path, MANIFEST_BYTES));
    if (strlen(um_text_get(out)) != out->n)
        rc = um_fail(UM_E_DATA, "%s: holds a NUL: the file was changed", path);
done:
    um_free(path);
    return rc;
}

/* Both manifests against the items, and job.json against its seal and the items. */
static um_status check_manifests(verifier *v)
{
    um_status rc = UM_OK;
    um_text job = {0}, all = {0}, was = {0}, open = {0}, line = {0}, settings = {0};
    um_archive_paths p = {0};
    char sha256[UM_SHA256_HEX], *path = NULL;
    bool found = false;
    UM_TRY(read_text(v->private_dir, "job.json", &job));
    UM_TRY(um_path_join(&path, v->private_dir, "job.json"));
    UM_TRY(um_json_check(um_text_get(&job), path));
    if (job.n == 0 || strcspn(um_text_get(&job), "\n") + 1 != job.n)
        UM_TRY(um_fail(UM_E_DATA, "%s: not one line: the file was changed", path));
    um_sha256_of(um_text_get(&job), job.n, sha256);
    for (int k = 0; k < v->n_shards; k++) {
        um_archive_paths_clear(&p);
        um_text_free(&line);
        um_text_free(&settings);
        line = settings = (um_text){0};
        UM_TRY(um_archive_paths_of(&p, v->released, v->private_dir, k, v->n_shards));
        UM_TRY(um_archive_line_read(&line, p.item, &found));
        if (!found)
            continue; /* told with its shard */
        if (!um_json_get_text(um_text_get(&line), "settings_sha256", &settings) || strcmp(um_text_get(&settings), sha256) != 0)
            UM_TRY(um_fail(UM_E_DATA, "%s: was made under other settings than %s says", p.item, path));
        UM_TRY(um_text_add(&all, "%s", um_text_get(&line)));
        UM_TRY(um_archive_public_line(&open, um_text_get(&line), p.item));
    }
    UM_TRY(read_text(v->private_dir, "manifest.jsonl", &was));
    if (strcmp(um_text_get(&was), um_text_get(&all)) != 0)
        UM_TRY(um_fail(UM_E_DATA, "%s/manifest.jsonl: is not what its items say: the file was changed", v->private_dir));
    if (strcmp(um_text_get(&v->manifest), um_text_get(&open)) != 0)
        UM_TRY(um_fail(UM_E_DATA, "%s/manifest.jsonl: is not what the items say: the file was changed", v->released));
done:
    um_free(path);
    um_archive_paths_clear(&p);
    um_text_free(&job);
    um_text_free(&all);
    um_text_free(&was);
    um_text_free(&open);
    um_text_free(&line);
    um_text_free(&settings);
    return rc;
}

static um_status check_folders(verifier *v)
{
    um_status rc = UM_OK;
    um_status found = check_names(v);
    if (found == UM_OK && v->private_dir)
        found = check_manifests(v);
    UM_TRY(note(v, v->released, found, found == UM_OK ? "files and manifests belong together" : um_error_text()));
done:
    return rc;
}

static um_status visit_shards(verifier *v, um_comm *comm)
{
    um_status rc = UM_OK;
    um_text line = {0};
    char *path = NULL, name[UM_SHARD_NAME];
    for (int k = um_comm_rank(comm); k < v->n_shards; k += um_comm_size(comm)) {
        um_text_free(&line);
        um_free(path);
        line = (um_text){0};
        path = NULL;
        um_shard_name(name, k, v->n_shards);
        UM_TRY(um_path_join(&path, v->released, name));
        um_status found = check_shard(v, k, &line);
        UM_TRY(note(v, path, found, found == UM_OK ? um_text_get(&line) : um_error_text()));
    }
done:
    um_free(path);
    um_text_free(&line);
    return rc;
}

um_status um_archive_verify(const char *released, const char *private_dir, const um_settings *settings, um_comm *comm,
                            um_archive_report *report, void *payload)
{
    um_status rc = UM_OK;
    verifier v = {.released = released, .private_dir = private_dir, .settings = settings, .report = report, .payload = payload,
                  .o = um_settings_get(settings, "archive")};
    char **files = NULL;
    size_t n = 0;
    rc = um_shard_files(released, &files, &n);
    v.n_shards = (int)n;
    if (rc == UM_OK)
        rc = read_text(released, "manifest.jsonl", &v.manifest);
    if (rc == UM_OK && um_comm_leads(comm))
        rc = check_folders(&v);
    UM_TRY(um_comm_agree(comm, rc));
    um_comm_set_deadline(comm, 0);
    rc = visit_shards(&v, comm);
    if (rc == UM_OK && v.first != UM_OK)
        rc = um_fail(v.first, "%s", v.first_text);
    UM_TRY(um_comm_agree(comm, rc));
done:
    if (files)
        um_names_free(files, n);
    um_free(v.first_text);
    um_text_free(&v.manifest);
    return rc;
}
