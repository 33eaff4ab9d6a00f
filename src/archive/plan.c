#include "archive/plan.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/signal.h"
#include "mpi/lease.h"

enum { WAIT_US = 50000 };

/* ---- folders that are in each other ---- */

/* The absolute path of what may not exist yet: its nearest existing parent resolved, and the rest as it is. */
static um_status resolve(const char *path, um_text *out)
{
    um_status rc = UM_OK;
    char *head = NULL, whole[PATH_MAX], *slash;
    const char *tail = "";
    UM_TRY(um_strdup(&head, path));
    while (strlen(head) > 1 && head[strlen(head) - 1] == '/')
        head[strlen(head) - 1] = 0;
    if (realpath(head, whole)) {
        UM_TRY(um_text_add(out, "%s/", whole));
        goto done;
    }
    slash = strrchr(head, '/');
    tail = slash ? slash + 1 : head;
    if (slash)
        *slash = 0;
    if (!realpath(slash ? (head[0] ? head : "/") : ".", whole)) {
        rc = um_fail(UM_E_USAGE, "%s: its folder does not exist; make it first", path);
        goto done;
    }
    UM_TRY(um_text_add(out, "%s/%s/", whole, tail));
done:
    um_free(head);
    return rc;
}

static um_status check_apart(const char *a, const char *b)
{
    um_status rc = UM_OK;
    um_text x = {0}, y = {0};
    UM_TRY(resolve(a, &x));
    UM_TRY(resolve(b, &y));
    size_t n = x.n < y.n ? x.n : y.n;
    if (strncmp(um_text_get(&x), um_text_get(&y), n) == 0)
        rc = um_fail(UM_E_USAGE, "%s and %s are the same folder or in each other; keep the clean archive, the release and the private "
                     "folder apart", a, b);
done:
    um_text_free(&x);
    um_text_free(&y);
    return rc;
}

/* ---- what the shards hold ---- */

static um_status look_at(um_archive_plan *p, const um_archive_job *job, size_t k)
{
    um_status rc = UM_OK;
    um_shard *s = NULL;
    struct stat info;
    UM_TRY(um_stop_check("nothing was begun"));
    UM_TRY(um_shard_open(&s, p->files[k]));
    const um_shard_index *x = um_shard_get_index(s);
    p->images[k] = x->n;
    p->n_images += x->n;
    p->n_bytes += stat(p->files[k], &info) == 0 ? (int64_t)info.st_size : 0;
    for (int64_t i = 0; i < x->n; i++) {
        const um_shard_row *r = &x->rows[i];
        if (p->c == 0 && r->mask_at >= 0)
            p->c = r->c;
        if (um_shard_values(r) > p->values_most)
            p->values_most = um_shard_values(r), p->h_most = r->h, p->w_most = r->w;
    }
    UM_TRY(um_unit_room_add(&p->room, x, um_unit_bytes(job->backend)));
    UM_TRY(um_shard_mark(s, p->marks[k]));
done:
    um_shard_close(s);
    return rc;
}

static um_status look(um_archive_plan *p, const um_archive_job *job)
{
    um_status rc = UM_OK;
    UM_TRY(check_apart(job->source, job->released));
    UM_TRY(check_apart(job->source, job->private_dir));
    UM_TRY(check_apart(job->released, job->private_dir));
    for (size_t k = 0; k < p->n_files; k++) {
        rc = look_at(p, job, k);
        if (rc == UM_E_DATA) /* told again, and recorded, when it comes to this shard */
            um_log(UM_LOG_WARN, "cannot be protected: %s", um_error_text());
        else if (rc != UM_OK)
            goto done;
        rc = UM_OK;
    }
    if (p->c == 0)
        rc = um_fail(UM_E_DATA, "%s: none of its %lld images has a mask", job->source, (long long)p->n_images);
done:
    return rc;
}

um_status um_archive_plan_make(um_archive_plan *out, const um_archive_job *job)
{
    um_status rc = UM_OK;
    um_archive_plan p = {0};
    rc = um_shard_files(job->source, &p.files, &p.n_files);
    if (rc == UM_OK)
        rc = UM_NEW_ARRAY(p.images, p.n_files);
    if (rc == UM_OK)
        rc = UM_NEW_ARRAY(p.marks, p.n_files);
    if (rc == UM_OK && um_comm_leads(job->comm))
        rc = look(&p, job);
    UM_TRY(um_comm_agree(job->comm, rc));
    int64_t facts[] = {p.n_images, p.n_bytes, p.values_most, p.c, p.h_most, p.w_most, p.room.bytes, p.room.values, p.room.masks,
                       p.room.images};
    UM_TRY(um_comm_bcast(job->comm, facts, sizeof facts, "what the archive holds"));
    UM_TRY(um_comm_bcast(job->comm, p.images, p.n_files * sizeof *p.images, "what the archive holds"));
    p.n_images = facts[0], p.n_bytes = facts[1], p.values_most = facts[2], p.c = facts[3], p.h_most = facts[4], p.w_most = facts[5];
    p.room = (um_unit_room){facts[6], facts[7], facts[8], facts[9]};
    *out = p;
    p = (um_archive_plan){0};
done:
    um_archive_plan_clear(&p);
    return rc;
}

void um_archive_plan_clear(um_archive_plan *p)
{
    if (p->files)
        um_names_free(p->files, p->n_files);
    um_free(p->images);
    um_free(p->marks);
    *p = (um_archive_plan){0};
}

/* ---- what all runs must agree on ---- */

static const um_archive_member members[] = {
    {"protector", "protector"}, {"state_sha256", "state"}, {"unmasked", "--unmasked"}, {"settings", "settings"}, {"shards", "number of shards"},
    {"backend", "backend (none: a CPU)"},
};

/* The members, and "source": the marks of all shards, "-" for one that cannot be read. */
static um_status describe(const um_archive_plan *p, const um_archive_job *job, um_text *line)
{
    um_status rc = UM_OK;
    um_text groups = {0}, changes = {0}, marks = {0};
    char state[UM_SHA256_HEX];
    const um_protector_def *def = NULL;
    UM_TRY(um_protector_find(&def, job->protector));
    UM_TRY(um_text_add(&groups, "%s export archive", def->groups ? def->groups : ""));
    UM_TRY(um_settings_changes(job->settings, um_text_get(&groups), &changes));
    UM_TRY(um_sha256_of_file(job->state, state));
    for (size_t k = 0; k < p->n_files; k++)
        UM_TRY(um_text_add(&marks, "%s%s", k ? " " : "", p->marks[k][0] ? p->marks[k] : "-"));
    UM_TRY(um_text_add(line, "{"));
    UM_TRY(um_json_text(line, "protector", def->name));
    UM_TRY(um_json_text(line, "state_sha256", state));
    UM_TRY(um_json_text(line, "unmasked", job->copy_unmasked ? "copy" : "refuse"));
    UM_TRY(um_json_int(line, "shards", (int64_t)p->n_files));
    UM_TRY(um_json_text(line, "settings", um_text_get(&changes)));
    UM_TRY(um_json_text(line, "source", um_text_get(&marks)));
    if (!job->backend->on_host) /* rounds otherwise than a CPU does */
        UM_TRY(um_json_text(line, "backend", job->backend->name));
    UM_TRY(um_json_seal(line));
done:
    um_text_free(&groups);
    um_text_free(&changes);
    um_text_free(&marks);
    return rc;
}

/* A text or an integer as text; empty when there is none. */
static um_status member_text(const char *line, const char *key, um_text *out)
{
    int64_t value;
    um_text_free(out);
    *out = (um_text){0};
    if (um_json_get_int(line, key, &value))
        return um_text_add(out, "%lld", (long long)value);
    um_json_get_text(line, key, out);
    return UM_OK;
}

static um_status compare(const char *path, const um_text *line, const um_archive_member *list, size_t n, const um_text *was)
{
    um_status rc = UM_OK;
    um_text there = {0}, here = {0}, names = {0};
    for (size_t i = 0; i < n; i++) {
        UM_TRY(member_text(um_text_get(was), list[i].key, &there));
        UM_TRY(member_text(um_text_get(line), list[i].key, &here));
        if (strcmp(um_text_get(&there), um_text_get(&here)) != 0)
            UM_TRY(um_text_add(&names, "%s%s ('%s' there, '%s' here)", names.n ? ", " : "", list[i].name, um_text_get(&there),
                               um_text_get(&here)));
    }
    if (names.n > 0)
        rc = um_fail(UM_E_USAGE, "%s: this folder belongs to a job with another %s; give other folders, or what the job was started with",
                     path, um_text_get(&names));
done:
    um_text_free(&there);
    um_text_free(&here);
    um_text_free(&names);
    return rc;
}

um_status um_archive_agree_on_disk(const char *path, const um_text *line, const um_archive_member *list, size_t n, um_text *was)
{
    um_status rc = UM_OK;
    um_text prefix = {0};
    um_lease *claim = NULL;
    bool found = false;
    UM_TRY(um_text_add(&prefix, "%s.lease", path));
    while (!um_file_exists(path)) {
        UM_TRY(um_stop_check("nothing was begun"));
        UM_TRY(um_lease_take(&claim, um_text_get(&prefix), 60));
        if (claim && !um_file_exists(path))
            UM_TRY(um_file_write(path, um_text_get(line), line->n));
        um_lease_release(claim);
        claim = NULL;
        usleep(WAIT_US);
    }
    UM_TRY(um_archive_line_read(was, path, &found));
    UM_TRY(compare(path, line, list, n, was));
done:
    um_lease_release(claim);
    um_text_free(&prefix);
    return rc;
}

/* was: of job.json, with as many shards. */
static um_status compare_sources(const um_archive_plan *p, const char *path, const um_text *was)
{
    um_status rc = UM_OK;
    um_text marks = {0};
    char *rest = NULL;
    if (!um_json_get_text(um_text_get(was), "source", &marks) || marks.n == 0)
        UM_TRY(um_fail(UM_E_USAGE, "%s: does not say which images the job was started with; give other folders", path));
    const char *mark = strtok_r(marks.data, " ", &rest);
    for (size_t k = 0; k < p->n_files; k++, mark = strtok_r(NULL, " ", &rest)) {
        bool known = p->marks[k][0] && mark && strcmp(mark, "-") != 0;
        if (!mark || (known && strcmp(mark, p->marks[k]) != 0))
            UM_TRY(um_fail(UM_E_USAGE, "%s: this folder belongs to a job with another source: %s holds other images than when the job was "
                           "started; give other folders, or put that shard back", path, p->files[k]));
    }
done:
    um_text_free(&marks);
    return rc;
}

static um_status make_private(const char *dir)
{
    um_status rc = UM_OK;
    char *items = NULL;
    UM_TRY(um_dir_make(dir, 0700));
    if (chmod(dir, 0700) != 0) {
        rc = um_fail(UM_E_IO, "%s: cannot make this folder private (mode 0700): %s", dir, strerror(errno));
        goto done;
    }
    UM_TRY(um_path_join(&items, dir, "items"));
    UM_TRY(um_dir_make(items, 0700));
done:
    um_free(items);
    return rc;
}

um_status um_archive_plan_settle(um_archive_plan *p, const um_archive_job *job)
{
    um_status rc = UM_OK;
    um_text line = {0}, was = {0};
    char *path = NULL;
    UM_TRY(describe(p, job, &line));
    UM_TRY(make_private(job->private_dir));
    UM_TRY(um_dir_make(job->released, 0777));
    UM_TRY(um_path_join(&path, job->private_dir, "job.json"));
    UM_TRY(um_archive_agree_on_disk(path, &line, members, UM_COUNT(members), &was));
    UM_TRY(compare_sources(p, path, &was));
    um_sha256_of(um_text_get(&was), was.n, p->settings_sha256);
done:
    um_free(path);
    um_text_free(&was);
    um_text_free(&line);
    return rc;
}

um_status um_archive_plan_check_room(const um_archive_plan *p, const um_archive_job *job)
{
    um_status rc = UM_OK;
    um_archive_paths paths = {0};
    struct statvfs disk;
    struct stat info;
    double needed = 0, free_bytes;
    for (size_t k = 0; k < p->n_files; k++) {
        um_archive_paths_clear(&paths);
        UM_TRY(um_archive_paths_of(&paths, job->released, job->private_dir, (int)k, (int)p->n_files));
        if (!um_file_exists(paths.item) && stat(p->files[k], &info) == 0)
            needed += (double)info.st_size;
    }
    if (statvfs(job->released, &disk) != 0)
        goto done;
    free_bytes = (double)disk.f_bavail * (double)disk.f_frsize;
    if (free_bytes < needed)
        rc = um_fail(UM_E_IO, "%s: %.2f GB are free, and the shards still to come take about %.2f GB; make room, then run again",
                     job->released, free_bytes / 1e9, needed / 1e9);
done:
    um_archive_paths_clear(&paths);
    return rc;
}
