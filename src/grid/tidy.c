#include "grid/tidy.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "grid/lease.h"

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
    return begins_with(name, p->lease) || begins_with(name, p->checkpoint) || begins_with(name, p->failed) || um_text_ends_with(name, ".part");
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

um_status um_task_tidy(const um_task_paths *p, char *const *names, size_t n, double lease_s)
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
