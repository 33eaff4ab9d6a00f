#include "archive/item.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

enum { LINE_MAX_BYTES = 1 << 30 };

um_status um_archive_spread_add(um_archive_spread *s, double value)
{
    um_status rc = UM_OK;
    if (s->n == s->cap) {
        UM_TRY(UM_GROW(s->values, s->cap, 2 * s->cap + 256));
        s->cap = 2 * s->cap + 256;
    }
    s->values[s->n++] = value;
done:
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

um_status um_archive_spread_print(um_archive_spread *s, const char *key, um_text *out)
{
    um_status rc = UM_OK;
    double sum = 0;
    if (s->n > 0)
        qsort(s->values, (size_t)s->n, sizeof *s->values, by_value);
    for (int64_t i = 0; i < s->n; i++)
        sum += s->values[i];
    UM_TRY(um_json_open(out, key, '{'));
    UM_TRY(um_json_int(out, "n", s->n));
    if (s->n > 0) {
        UM_TRY(um_json_real(out, "min", s->values[0]));
        UM_TRY(um_json_real(out, "p05", s->values[s->n / 20]));
        UM_TRY(um_json_real(out, "median", s->values[s->n / 2]));
        UM_TRY(um_json_real(out, "mean", sum / (double)s->n));
        UM_TRY(um_json_real(out, "max", s->values[s->n - 1]));
    }
    UM_TRY(um_json_close(out, '}'));
done:
    return rc;
}

um_status um_archive_refusals_add(um_archive_refusals *r, const char *id, const char *reason)
{
    um_status rc = UM_OK;
    if (r->n == r->cap) {
        UM_TRY(UM_GROW(r->list, r->cap, 2 * r->cap + 16));
        r->cap = 2 * r->cap + 16;
    }
    UM_TRY(um_strdup(&r->list[r->n].id, id));
    UM_TRY(um_strdup(&r->list[r->n].reason, reason));
    r->n++;
done:
    return rc;
}

void um_archive_refusals_clear(um_archive_refusals *r)
{
    for (int64_t i = 0; i < r->cap; i++) {
        um_free(r->list[i].id);
        um_free(r->list[i].reason);
    }
    um_free(r->list);
    *r = (um_archive_refusals){0};
}

um_status um_archive_refusal_print(um_text *out, const char *id, const char *reason)
{
    um_status rc = UM_OK;
    UM_TRY(um_json_open(out, NULL, '{'));
    UM_TRY(um_json_text(out, "id", id));
    UM_TRY(um_json_text(out, "reason", reason));
    UM_TRY(um_json_close(out, '}'));
done:
    return rc;
}

/* ---- places ---- */

static um_status below(char **out, const char *dir, const char *sub, const char *stem, int k, int n, const char *ending)
{
    um_status rc = UM_OK;
    um_text name = {0};
    UM_TRY(um_text_add(&name, "%s%s-%05d-of-%05d%s", sub, stem, k, n, ending));
    UM_TRY(um_path_join(out, dir, um_text_get(&name)));
done:
    um_text_free(&name);
    return rc;
}

um_status um_archive_paths_of(um_archive_paths *out, const char *released_dir, const char *private_dir, int k, int n)
{
    um_status rc = UM_OK;
    um_archive_paths p = {0};
    char name[UM_SHARD_NAME];
    um_shard_name(name, k, n);
    UM_TRY(um_strdup(&p.shard_name, name));
    UM_TRY(um_path_join(&p.released, released_dir, name));
    UM_TRY(below(&p.delta, private_dir, "", "delta", k, n, ".h5"));
    UM_TRY(below(&p.item, private_dir, "items/", "shard", k, n, ".json"));
    UM_TRY(below(&p.claim, private_dir, "items/", "shard", k, n, ".lease"));
    UM_TRY(below(&p.failed, private_dir, "items/", "shard", k, n, ".failed.txt"));
    *out = p;
    p = (um_archive_paths){0};
done:
    um_archive_paths_clear(&p);
    return rc;
}

void um_archive_paths_clear(um_archive_paths *p)
{
    um_free(p->shard_name);
    um_free(p->released);
    um_free(p->delta);
    um_free(p->item);
    um_free(p->claim);
    um_free(p->failed);
    *p = (um_archive_paths){0};
}

um_status um_archive_line_read(um_text *out, const char *path, bool *found)
{
    um_status rc = UM_OK;
    *found = um_file_exists(path);
    if (!*found)
        return UM_OK;
    UM_TRY(um_file_read(out, path, LINE_MAX_BYTES));
    const char *end = strchr(um_text_get(out), '\n');
    if (!end || (size_t)(end + 1 - um_text_get(out)) != out->n) {
        rc = um_fail(UM_E_DATA, "%s: not one line: the file was changed", path);
        goto done;
    }
    UM_TRY(um_json_check(um_text_get(out), path));
done:
    return rc;
}

/* ---- manifests ---- */

um_status um_archive_public_line(um_text *out, const char *item, const char *where)
{
    um_status rc = UM_OK;
    um_text shard = {0}, sha256 = {0};
    int64_t images = 0, bytes = 0;
    if (!um_json_get_text(item, "shard", &shard) || !um_json_get_text(item, "sha256_file", &sha256) ||
        !um_json_get_int(item, "images", &images) || !um_json_get_int(item, "bytes", &bytes))
        UM_TRY(um_fail(UM_E_DATA, "%s: lacks \"shard\", \"sha256_file\", \"images\" or \"bytes\": the file was changed", where));
    UM_TRY(um_text_add(out, "{"));
    UM_TRY(um_json_text(out, "shard", um_text_get(&shard)));
    UM_TRY(um_json_int(out, "images", images));
    UM_TRY(um_json_int(out, "bytes", bytes));
    UM_TRY(um_json_text(out, "sha256", um_text_get(&sha256)));
    UM_TRY(um_text_add(out, "}\n"));
done:
    um_text_free(&shard);
    um_text_free(&sha256);
    return rc;
}

static um_status write_manifest(const char *dir, const um_text *text)
{
    um_status rc = UM_OK;
    char *path = NULL;
    UM_TRY(um_path_join(&path, dir, "manifest.jsonl"));
    UM_TRY(um_file_write(path, um_text_get(text), text->n));
done:
    um_free(path);
    return rc;
}

um_status um_archive_manifests_write(const char *released_dir, const char *private_dir, int n_shards)
{
    um_status rc = UM_OK;
    um_text all = {0}, open = {0}, line = {0};
    um_archive_paths p = {0};
    bool found = true;
    for (int k = 0; k < n_shards && found; k++) {
        um_archive_paths_clear(&p);
        um_text_free(&line);
        line = (um_text){0};
        UM_TRY(um_archive_paths_of(&p, released_dir, private_dir, k, n_shards));
        UM_TRY(um_archive_line_read(&line, p.item, &found));
        if (!found)
            goto done; /* others are still at work */
        UM_TRY(um_text_add(&all, "%s", um_text_get(&line)));
        UM_TRY(um_archive_public_line(&open, um_text_get(&line), p.item));
    }
    UM_TRY(write_manifest(private_dir, &all));
    UM_TRY(write_manifest(released_dir, &open));
done:
    um_archive_paths_clear(&p);
    um_text_free(&line);
    um_text_free(&open);
    um_text_free(&all);
    return rc;
}
