#include "mpi/lease.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CLAIM_BYTES = 4096, HEARTBEAT_S = 30 };

struct um_lease {
    char *prefix, *path;
    int64_t generation;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool beating, stop;
};

/* ---- what is on disk ---- */

static um_status split_prefix(const char *prefix, char **dir, const char **base)
{
    um_status rc = UM_OK;
    const char *slash = strrchr(prefix, '/');
    *base = slash ? slash + 1 : prefix;
    UM_TRY(um_strdup(dir, slash ? prefix : "."));
    if (slash)
        (*dir)[slash == prefix ? 1 : slash - prefix] = 0;
done:
    return rc;
}

/* Highest generation of PREFIX, 0 when there is none. */
static um_status highest(const char *prefix, int64_t *out)
{
    um_status rc = UM_OK;
    char *dir = NULL, **names = NULL;
    const char *base = NULL;
    size_t n = 0, length;
    int64_t best = 0, g;
    UM_TRY(split_prefix(prefix, &dir, &base));
    UM_TRY(um_dir_list(&names, &n, dir));
    length = strlen(base);
    for (size_t i = 0; i < n; i++)
        if (strncmp(names[i], base, length) == 0 && names[i][length] == '.' && um_text_parse_int(names[i] + length + 1, &g) &&
            g > best && g < INT64_MAX)
            best = g;
    *out = best;
done:
    um_names_free(names, n);
    um_free(dir);
    return rc;
}

static um_status claim_path(char **out, const char *prefix, int64_t generation)
{
    um_status rc = UM_OK;
    um_text t = {0};
    UM_TRY(um_text_add(&t, "%s.%lld", prefix, (long long)generation));
    UM_TRY(um_strdup(out, um_text_get(&t)));
done:
    um_text_free(&t);
    return rc;
}

static double seconds_of(const struct timespec *t)
{
    return (double)t->tv_sec + 1e-9 * (double)t->tv_nsec;
}

/* ---- files that are there for a moment: PREFIX-clock-XXXXXX ---- */

/* Creates one beside the claims. path: its name, also after a failure. */
static um_status brief_create(const char *prefix, um_text *path, int *fd)
{
    um_status rc = UM_OK;
    UM_TRY(um_text_add(path, "%s-clock-XXXXXX", prefix));
    *fd = mkostemp(path->data, O_CLOEXEC);
    if (*fd < 0)
        rc = um_fail(UM_E_IO, "%s: cannot write beside it: %s", prefix, strerror(errno));
done:
    return rc;
}

static void brief_remove(um_text *path, int fd)
{
    if (fd >= 0) {
        close(fd);
        unlink(path->data);
    }
    um_text_free(path);
}

/* Those of runs that were killed. One that is in use may go too: a clock was read already, and who misses its claim tries again. */
static void brief_sweep(const char *prefix)
{
    char *dir = NULL, **names = NULL;
    const char *base = NULL;
    size_t n = 0;
    um_text start = {0}, path = {0};
    if (split_prefix(prefix, &dir, &base) == UM_OK && um_dir_list(&names, &n, dir) == UM_OK &&
        um_text_add(&start, "%s-clock-", base) == UM_OK)
        for (size_t i = 0; i < n; i++)
            if (strncmp(names[i], start.data, start.n) == 0 && um_text_add(&path, "%s/%s", dir, names[i]) == UM_OK) {
                unlink(path.data);
                um_text_free(&path);
            }
    um_names_free(names, n);
    um_text_free(&start);
    um_free(dir);
}

/* The present time of the file server: that of a file made just now beside the claims. */
static um_status server_now(const char *prefix, double *out)
{
    um_status rc = UM_OK;
    um_text path = {0};
    struct stat s;
    int fd = -1;
    UM_TRY(brief_create(prefix, &path, &fd));
    if (fstat(fd, &s) != 0)
        rc = um_fail(UM_E_IO, "%s: %s", path.data, strerror(errno));
    else
        *out = seconds_of(&s.st_mtim);
done:
    brief_remove(&path, fd);
    return rc;
}

/* Looks at a claim. gone: it vanished meanwhile. owner_ok: it holds a complete text. */
static um_status inspect(const char *path, um_lease_owner *owner, bool *owner_ok, double *touched, bool *gone)
{
    char text[CLAIM_BYTES];
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 0;
    *gone = fd < 0 && errno == ENOENT;
    if (*gone)
        return UM_OK;
    if (fd < 0 || fstat(fd, &s) != 0 || (n = read(fd, text, sizeof text - 1)) < 0) {
        um_status rc = um_fail(UM_E_IO, "%s: cannot be read: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    close(fd);
    text[n] = 0;
    *owner_ok = um_lease_owner_parse(owner, text);
    *touched = seconds_of(&s.st_mtim);
    return UM_OK;
}

/* The state of PREFIX: its highest generation (0: none) and whether that one is held by a living run; owner: filled when known. */
static um_status look(const char *prefix, double lease_s, int64_t *generation, bool *held, um_lease_owner *owner)
{
    um_status rc = UM_OK;
    char *path = NULL;
    um_lease_owner self;
    double touched = 0, now = 0;
    bool gone = false, owner_ok = false;
    *held = false;
    UM_TRY(highest(prefix, generation));
    if (*generation == 0)
        goto done;
    UM_TRY(claim_path(&path, prefix, *generation));
    UM_TRY(inspect(path, owner, &owner_ok, &touched, &gone));
    if (gone)
        goto done;
    UM_TRY(um_lease_owner_self(&self));
    UM_TRY(server_now(prefix, &now));
    *held = !um_lease_is_stale(&self, owner_ok ? owner : NULL, now - touched, lease_s,
                               &(um_lease_questions){um_lease_process_alive, um_lease_job_state});
done:
    um_free(path);
    return rc;
}

/* ---- holding ---- */

static void *beat(void *payload)
{
    um_lease *l = payload;
    struct timespec until;
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        clock_gettime(CLOCK_MONOTONIC, &until); /* a wall clock set back must not silence us */
        until.tv_sec += HEARTBEAT_S;
        pthread_cond_timedwait(&l->wake, &l->lock, &until);
        if (!l->stop)
            utimensat(AT_FDCWD, l->path, NULL, 0);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static um_status write_owner(int fd, const char *path)
{
    um_status rc = UM_OK;
    um_text text = {0};
    um_lease_owner self;
    UM_TRY(um_lease_owner_self(&self));
    UM_TRY(um_lease_owner_print(&self, &text));
    if (write(fd, text.data, text.n) != (ssize_t)text.n || fsync(fd) != 0)
        rc = um_fail(UM_E_IO, "%s: cannot be written: %s", path, strerror(errno));
done:
    um_text_free(&text);
    return rc;
}

/* Where files have one name only: a claim without an owner, if this dies in between, goes stale by its age. */
static um_status create_in_place(const char *path, bool *ours)
{
    um_status rc = UM_OK;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    *ours = fd >= 0;
    if (fd < 0 && errno == EEXIST)
        return UM_OK;
    if (fd < 0)
        return um_fail(UM_E_IO, "%s: cannot be created: %s", path, strerror(errno));
    rc = write_owner(fd, path);
    close(fd);
    if (rc != UM_OK)
        unlink(path);
    return rc;
}

/* Creates the claim, with its owner from the first moment on; *ours = false when somebody was faster. */
static um_status create_claim(const char *prefix, const char *path, bool *ours)
{
    um_status rc = UM_OK;
    um_text brief = {0};
    int fd = -1;
    UM_TRY(brief_create(prefix, &brief, &fd));
    UM_TRY(write_owner(fd, brief.data));
    *ours = fchmod(fd, 0644) == 0 && link(brief.data, path) == 0;
    if (!*ours && errno != EEXIST && errno != ENOENT)
        UM_TRY(create_in_place(path, ours));
done:
    brief_remove(&brief, fd);
    return rc;
}

static void remove_older(const um_lease *l)
{
    for (int64_t g = l->generation - 1; g > 0; g--) {
        char *path = NULL;
        bool removed = claim_path(&path, l->prefix, g) == UM_OK && unlink(path) == 0;
        um_free(path);
        if (!removed)
            break;
    }
    brief_sweep(l->prefix);
}

um_status um_lease_take(um_lease **out, const char *prefix, double lease_s)
{
    um_status rc = UM_OK;
    um_lease *l = NULL;
    um_lease_owner owner;
    int64_t generation = 0;
    bool held = false, ours = false;
    pthread_condattr_t monotonic;
    UM_TRY(look(prefix, lease_s, &generation, &held, &owner));
    if (held)
        goto none;
    UM_TRY(UM_NEW(l));
    l->generation = generation + 1;
    UM_TRY(um_strdup(&l->prefix, prefix));
    UM_TRY(claim_path(&l->path, prefix, l->generation));
    UM_TRY(create_claim(prefix, l->path, &ours));
    if (!ours)
        goto none;
    remove_older(l);
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    l->beating = pthread_create(&l->thread, NULL, beat, l) == 0;
    *out = l;
    return UM_OK;
none:
    *out = NULL;
done:
    if (l) {
        um_free(l->prefix);
        um_free(l->path);
        um_free(l);
    }
    return rc;
}

bool um_lease_check(const um_lease *l)
{
    int64_t generation = 0;
    return highest(l->prefix, &generation) == UM_OK && generation == l->generation;
}

um_status um_lease_holder(um_text *out, bool *held, const char *prefix, double lease_s)
{
    um_status rc = UM_OK;
    um_lease_owner owner = {0};
    int64_t generation = 0;
    UM_TRY(look(prefix, lease_s, &generation, held, &owner));
    if (*held || owner.host[0])
        UM_TRY(um_text_add(out, "%s pid %lld%s%s%s%s", owner.host[0] ? owner.host : "unknown host", (long long)owner.pid,
                           owner.job[0] ? ", job " : "", owner.job, owner.since[0] ? ", since " : "", owner.since));
done:
    return rc;
}

void um_lease_release(um_lease *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
    if (l->beating)
        pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    unlink(l->path);
    um_free(l->prefix);
    um_free(l->path);
    um_free(l);
}
