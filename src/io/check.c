#include "io/check.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/signal.h"
#include "base/text.h"
#include "io/checkpoint.h"
#include "io/dataset_internal.h"
#include "io/delta_file.h"
#include "io/private.h"
#include "io/store.h"

enum { MAX_DEPTH = 16 };

typedef struct checker {
    um_check_report *report;
    void *payload;
    um_status first;
    char *first_text;
    int n_files;
} checker;

/* A release has no hash of its own; the owner's side has, or in a sweep the result beside it. */
static um_status check_release(const char *path, const um_dataset *d)
{
    um_status rc = UM_OK;
    char *folder = NULL, sha256[UM_SHA256_HEX];
    um_text result = {0}, recorded = {0};
    um_h5 *f = NULL;
    UM_TRY(um_private_folder(&folder, path));
    UM_TRY(um_private_check_release(folder, d, path));
    if (!um_text_ends_with(path, ".h5"))
        goto done;
    UM_TRY(um_text_add(&result, "%.*s.result.h5", (int)(strlen(path) - 3), path));
    if (!um_file_exists(um_text_get(&result)))
        goto done;
    UM_TRY(um_h5_open(&f, um_text_get(&result), UM_RESULT_FORMAT, UM_RESULT_VERSION));
    if (!um_h5_has_attr(f, "/", UM_STORE_RELEASED))
        goto done;
    UM_TRY(um_h5_get_text(f, "/", UM_STORE_RELEASED, &recorded));
    um_dataset_sha256(d, sha256);
    if (strcmp(sha256, um_text_get(&recorded)) != 0)
        rc = um_fail(UM_E_DATA, "%s: content has sha256 %s, %s says %s: the file was changed", path, sha256, um_text_get(&result),
                     um_text_get(&recorded));
done:
    um_h5_free(f);
    um_text_free(&recorded);
    um_text_free(&result);
    um_free(folder);
    return rc;
}

static um_status check_dataset(um_h5 *f, um_text *line)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    UM_TRY(um_dataset_read(&d, um_h5_path(f)));
    UM_TRY(check_release(um_h5_path(f), d));
    UM_TRY(um_text_add(line, "dataset, %lld images %lldx%lldx%lld u%d", (long long)d->n, (long long)d->h, (long long)d->w,
                       (long long)d->c, d->bits));
done:
    um_dataset_free(d);
    return rc;
}

static um_status check_prediction(um_h5 *f, um_text *line)
{
    static const int64_t any[] = {-1, -1, -1};
    um_status rc = UM_OK;
    char **ids = NULL;
    int64_t shape[UM_H5_DIMS], n_ids = 0;
    UM_TRY(um_h5_expect(f, "/logits", UM_H5_F32, 3, any, shape));
    UM_TRY(um_h5_read_strings(f, "/ids", shape[0], &ids, &n_ids));
    UM_TRY(um_text_add(line, "prediction, %lld images %lldx%lld", (long long)shape[0], (long long)shape[1], (long long)shape[2]));
done:
    um_names_free(ids, (size_t)n_ids);
    return rc;
}

static um_status check_archive(um_h5 *f, um_text *line)
{
    um_status rc = UM_OK;
    um_shard *s = NULL;
    UM_TRY(um_shard_open(&s, um_h5_path(f)));
    UM_TRY(um_shard_verify(s));
    UM_TRY(um_text_add(line, "archive, %lld images u%d", (long long)um_shard_get_index(s)->n, um_shard_get_index(s)->bits));
done:
    um_shard_close(s);
    return rc;
}

static um_status check_delta(um_h5 *f, um_text *line)
{
    um_status rc = UM_OK;
    um_delta_file d = {0};
    UM_TRY(um_delta_file_open(&d, um_h5_path(f)));
    UM_TRY(um_text_add(line, "private side of a shard, %lld images u%d", (long long)d.n_ids, d.bits));
done:
    um_delta_file_close(&d);
    return rc;
}

/* Settings and their hash, in every file that has both. */
static um_status check_settings(um_h5 *f)
{
    um_status rc = UM_OK;
    um_text settings = {0}, recorded = {0};
    char sha256[UM_SHA256_HEX];
    if (!um_h5_exists(f, "/config") || !um_h5_has_attr(f, "/", "config_sha256"))
        return UM_OK;
    UM_TRY(um_h5_read_text(f, "/config", &settings));
    UM_TRY(um_h5_get_text(f, "/", "config_sha256", &recorded));
    um_sha256_of(um_text_get(&settings), settings.n, sha256);
    if (strcmp(sha256, um_text_get(&recorded)) != 0)
        rc = um_fail(UM_E_DATA, "%s: /config has sha256 %s, config_sha256 says %s: the file was changed", um_h5_path(f), sha256,
                     um_text_get(&recorded));
done:
    um_text_free(&settings);
    um_text_free(&recorded);
    return rc;
}

static um_status check_format(um_h5 *f, um_text *line)
{
    um_status rc = UM_OK;
    const char *format = um_h5_format(f);
    if (strcmp(format, UM_DATASET_FORMAT) == 0) {
        UM_TRY(check_dataset(f, line));
    } else if (strcmp(format, UM_CHECKPOINT_FORMAT) == 0) {
        UM_TRY(um_checkpoint_verify(f));
        UM_TRY(um_text_add(line, "checkpoint"));
    } else if (strcmp(format, UM_RESULT_FORMAT) == 0) {
        UM_TRY(um_store_verify(f));
        UM_TRY(um_text_add(line, "result"));
    } else if (strcmp(format, UM_PRIVATE_FORMAT) == 0) {
        UM_TRY(um_private_verify(f));
        UM_TRY(um_text_add(line, "private side of a release"));
    } else if (strcmp(format, UM_ARCHIVE_FORMAT) == 0) {
        UM_TRY(check_archive(f, line));
    } else if (strcmp(format, UM_DELTA_FORMAT) == 0) {
        UM_TRY(check_delta(f, line));
    } else if (strcmp(format, UM_PREDICTION_FORMAT) == 0) {
        UM_TRY(check_prediction(f, line));
    } else {
        UM_TRY(um_text_add(line, "%s", format));
    }
done:
    return rc;
}

static um_status check_file(const char *path, um_text *line)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    UM_TRY(um_h5_open(&f, path, NULL, "1.0"));
    UM_TRY(um_h5_verify(f));
    UM_TRY(check_settings(f));
    UM_TRY(check_format(f, line));
done:
    um_h5_free(f);
    return rc;
}

/* A bad file is told and remembered; memory that runs out ends the search. */
static um_status note(checker *c, const char *path, um_status status, const char *line)
{
    um_status rc = UM_OK;
    if (status == UM_E_MEMORY)
        return status;
    c->n_files++;
    if (c->report)
        c->report(path, status, line, c->payload);
    if (status != UM_OK && c->first == UM_OK) {
        UM_TRY(um_strdup(&c->first_text, line));
        c->first = status;
    }
done:
    return rc;
}

static um_status visit_file(checker *c, const char *path)
{
    um_status rc = UM_OK;
    um_text line = {0};
    um_status status = check_file(path, &line);
    UM_TRY(note(c, path, status, status == UM_OK ? um_text_get(&line) : um_error_text()));
done:
    um_text_free(&line);
    return rc;
}

/* Images of different sizes: all shards are there, and of that kind. */
static um_status check_archive_shards(const char *dir, bool *is_archive, um_text *line)
{
    um_status rc = UM_OK;
    um_shard *s = NULL;
    char **files = NULL;
    size_t n = 0;
    int64_t images = 0;
    UM_TRY(um_shard_files(dir, &files, &n));
    for (size_t k = 0; k < n; k++) {
        UM_TRY(um_shard_open(&s, files[k]));
        bool uniform = um_shard_get_index(s)->uniform;
        images += um_shard_get_index(s)->n;
        um_shard_close(s);
        s = NULL;
        if (k == 0 && uniform)
            goto done;
        *is_archive = true;
        if (uniform)
            UM_TRY(um_fail(UM_E_DATA, "%s: images of one size, those of %s are of any", files[k], files[0]));
    }
    UM_TRY(um_text_add(line, "shards, together %lld images", (long long)images));
done:
    um_shard_close(s);
    if (files)
        um_names_free(files, n);
    return rc;
}

/* Shards one by one are good: do they also belong together? */
static um_status visit_shards(checker *c, const char *dir)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    um_text line = {0};
    bool is_archive = false;
    um_status status = check_archive_shards(dir, &is_archive, &line);
    if (is_archive) {
        UM_TRY(note(c, dir, status, status == UM_OK ? um_text_get(&line) : um_error_text()));
        goto done;
    }
    status = um_dataset_read(&d, dir);
    if (status == UM_OK)
        status = check_release(dir, d);
    if (status == UM_OK)
        UM_TRY(um_text_add(&line, "shards, together %lld images %lldx%lldx%lld u%d", (long long)d->n, (long long)d->h,
                           (long long)d->w, (long long)d->c, d->bits));
    UM_TRY(note(c, dir, status, status == UM_OK ? um_text_get(&line) : um_error_text()));
done:
    um_text_free(&line);
    um_dataset_free(d);
    return rc;
}

static um_status visit(checker *c, const char *path, int depth);

static um_status visit_folder(checker *c, const char *dir, int depth)
{
    um_status rc = UM_OK;
    char **names = NULL, *path = NULL;
    size_t n = 0;
    bool shards = false;
    UM_TRY(um_dir_list(&names, &n, dir));
    for (size_t i = 0; i < n; i++) {
        shards = shards || (strncmp(names[i], "shard-", 6) == 0 && um_text_ends_with(names[i], ".h5"));
        um_free(path);
        path = NULL;
        UM_TRY(um_path_join(&path, dir, names[i]));
        if (um_text_ends_with(names[i], ".h5") || (um_dir_exists(path) && !um_text_ends_with(names[i], ".part")))
            UM_TRY(visit(c, path, depth + 1));
    }
    if (shards)
        UM_TRY(visit_shards(c, dir));
done:
    um_free(path);
    if (names)
        um_names_free(names, n);
    return rc;
}

static um_status visit(checker *c, const char *path, int depth)
{
    um_status rc = um_stop_check("not all files were looked at");
    if (rc == UM_OK && depth > MAX_DEPTH)
        rc = um_fail(UM_E_DATA, "%s: folders nest deeper than %d", path, MAX_DEPTH);
    if (rc != UM_OK)
        return rc;
    return um_dir_exists(path) ? visit_folder(c, path, depth) : visit_file(c, path);
}

um_status um_check_path(const char *path, um_check_report *report, void *payload)
{
    um_status rc = UM_OK;
    checker c = {.report = report, .payload = payload};
    UM_TRY(visit(&c, path, 0));
    if (c.n_files == 0)
        rc = um_fail(UM_E_DATA, "%s: no .h5 file in this folder", path);
    else if (c.first != UM_OK)
        rc = um_fail(c.first, "%s", c.first_text);
done:
    um_free(c.first_text);
    return rc;
}
