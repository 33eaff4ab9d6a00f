#include "grid/tidy.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "mpi/lease.h"

#include <string.h>
#include <unistd.h>

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool begins_with(const char *name, const char *path)
{
    const char *start = last_part(path);
    return strncmp(name, start, strlen(start)) == 0;
}

/* Files of a task begin as its claim does, up to the word "lease": "KEY." among items, "" in a cell's own folder. Claims and
 * checkpoints have further endings of their own while they change hands. */
static bool is_leftover(const um_task_paths *p, const char *name)
{
    const char *claim = last_part(p->lease);
    if (strncmp(name, claim, strlen(claim) - strlen("lease")) != 0)
        return false;
    return begins_with(name, p->lease) || begins_with(name, p->checkpoint) || begins_with(name, p->failed) ||
           um_text_ends_with(name, ".part");
}

static um_status remove_leftovers(const um_task_paths *p, char *const *names, size_t n)
{
    um_status rc = UM_OK;
    char *path = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!is_leftover(p, names[i]))
            continue;
        um_free(path);
        path = NULL;
        UM_TRY(um_path_join(&path, p->folder, names[i]));
        unlink(path);
    }
done:
    um_free(path);
    return rc;
}

/* Removes what lies beside a finished task. names: the content of p->folder. */
static um_status tidy_task(const um_task_paths *p, char *const *names, size_t n, double lease_s)
{
    um_status rc = UM_OK;
    um_lease *claim = NULL;
    bool any = false;
    for (size_t i = 0; i < n; i++)
        any = any || is_leftover(p, names[i]);
    if (!any)
        return UM_OK;
    UM_TRY(um_lease_take(&claim, p->lease, lease_s));
    if (claim)
        UM_TRY(remove_leftovers(p, names, n));
done:
    um_lease_release(claim);
    return rc;
}

/* All finished tasks of a kind whose files share a folder. */
static um_status tidy_folder(const um_sweep_run_options *o, const um_task_kind *kind, double lease_s)
{
    um_status rc = UM_OK;
    um_task_paths p = {0};
    char *folder = NULL, **names = NULL;
    size_t n = 0;
    UM_TRY(um_path_join(&folder, o->dir, kind->folder));
    if (!um_dir_exists(folder))
        goto done;
    UM_TRY(um_dir_list(&names, &n, folder));
    for (int i = 0; i < o->sweep->n_tasks; i++) {
        const um_task *t = &o->sweep->tasks[i];
        if (t->kind != kind)
            continue;
        um_task_paths_clear(&p);
        UM_TRY(um_task_paths_of(&p, o->dir, kind, t->key));
        if (um_task_is_done(&p))
            UM_TRY(tidy_task(&p, names, n, lease_s));
    }
done:
    um_names_free(names, n);
    um_task_paths_clear(&p);
    um_free(folder);
    return rc;
}

static um_status tidy_own(const um_sweep_run_options *o, const um_task *t, double lease_s)
{
    um_status rc = UM_OK;
    um_task_paths p = {0};
    char **names = NULL;
    size_t n = 0;
    UM_TRY(um_task_paths_of(&p, o->dir, t->kind, t->key));
    if (!um_task_is_done(&p))
        goto done;
    UM_TRY(um_dir_list(&names, &n, p.folder));
    UM_TRY(tidy_task(&p, names, n, lease_s));
done:
    um_names_free(names, n);
    um_task_paths_clear(&p);
    return rc;
}

static bool kind_seen_before(const um_sweep *s, int task)
{
    for (int i = 0; i < task; i++)
        if (s->tasks[i].kind == s->tasks[task].kind)
            return true;
    return false;
}

void um_sweep_tidy(const um_sweep_run_options *o, double lease_s)
{
    um_status rc = UM_OK;
    for (int i = 0; i < o->sweep->n_tasks; i++) {
        const um_task *t = &o->sweep->tasks[i];
        if (!t->kind->folder)
            UM_TRY(tidy_own(o, t, lease_s));
        else if (!kind_seen_before(o->sweep, i))
            UM_TRY(tidy_folder(o, t->kind, lease_s));
    }
done:
    if (rc != UM_OK)
        um_log(UM_LOG_WARN, "leftovers of killed runs remain: %s", um_error_text());
}
