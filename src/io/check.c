#include "io/check.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/signal.h"
#include "base/text.h"
#include "io/checkpoint.h"
#include "io/dataset_internal.h"
#include "io/store.h"

enum { MAX_DEPTH = 16 };

typedef struct checker {
    um_check_report *report;
    void *payload;
    um_status first;
    char *first_text;
    int n_files;
} checker;

static um_status check_dataset(um_h5 *f, um_text *line)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    UM_TRY(um_dataset_read(&d, um_h5_path(f)));
    UM_TRY(um_text_add(line, "dataset, %lld images %lldx%lldx%lld u%d", (long long)d->n, (long long)d->h, (long long)d->w,
                       (long long)d->c, d->bits));
done:
    um_dataset_free(d);
    return rc;
}

static um_status check_file(const char *path, um_text *line)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    UM_TRY(um_h5_open(&f, path, NULL, "1.0"));
    UM_TRY(um_h5_verify(f));
    const char *format = um_h5_format(f);
    if (strcmp(format, UM_DATASET_FORMAT) == 0) {
        UM_TRY(check_dataset(f, line));
    } else if (strcmp(format, UM_CHECKPOINT_FORMAT) == 0) {
        UM_TRY(um_checkpoint_verify(f));
        UM_TRY(um_text_add(line, "checkpoint"));
    } else if (strcmp(format, UM_RESULT_FORMAT) == 0) {
        UM_TRY(um_store_verify(f));
        UM_TRY(um_text_add(line, "result"));
    } else {
        UM_TRY(um_text_add(line, "%s", format));
    }
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

/* Shards one by one are good: do they also belong together? */
static um_status visit_shards(checker *c, const char *dir)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    um_text line = {0};
    um_status status = um_dataset_read(&d, dir);
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
