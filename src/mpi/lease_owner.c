#include "mpi/lease.h"

#include "base/file.h"
#include "base/host.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void keep_line(char out[UM_LEASE_TEXT], const char *text)
{
    size_t n = strcspn(text, "\n");
    snprintf(out, UM_LEASE_TEXT, "%.*s", (int)(n < UM_LEASE_TEXT ? n : UM_LEASE_TEXT - 1), text);
}

/* Start time and state of a process; false when there is none. The command name may hold spaces and brackets. */
static bool process_stat(int64_t pid, int64_t *start, char *state)
{
    um_text text = {0};
    char path[64];
    const char *p;
    long long ticks = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    if (um_file_exists(path) && um_file_read(&text, path, 4096) == UM_OK && (p = strrchr(um_text_get(&text), ')')) != NULL)
        found = sscanf(p, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lld", state, &ticks) == 2;
    *start = ticks;
    um_text_free(&text);
    return found;
}

bool um_lease_process_alive(int64_t pid, int64_t start)
{
    int64_t begun = 0;
    char state = 0;
    return process_stat(pid, &begun, &state) && begun == start && state != 'Z' && state != 'X';
}

um_status um_lease_owner_self(um_lease_owner *out)
{
    um_lease_owner o = {.pid = getpid()};
    um_text boot = {0};
    char state;
    um_host_name(o.host);
    um_job_id(o.job);
    um_job_cluster(o.cluster);
    um_utc(o.since);
    if (um_file_exists("/proc/sys/kernel/random/boot_id") && um_file_read(&boot, "/proc/sys/kernel/random/boot_id", 256) == UM_OK)
        keep_line(o.boot, um_text_get(&boot));
    if (readlink("/proc/self/ns/pid", o.space, sizeof o.space - 1) < 0)
        o.space[0] = 0;
    process_stat(o.pid, &o.start, &state);
    um_text_free(&boot);
    *out = o;
    return UM_OK;
}

um_status um_lease_owner_print(const um_lease_owner *o, um_text *out)
{
    return um_text_add(out, "host=%s\nboot=%s\nspace=%s\npid=%lld\nstart=%lld\njob=%s\ncluster=%s\nsince=%s\nend=1\n", o->host,
                       o->boot, o->space, (long long)o->pid, (long long)o->start, o->job, o->cluster, o->since);
}

static bool find_line(const char *text, const char *key, char out[UM_LEASE_TEXT])
{
    size_t n = strlen(key);
    for (const char *p = text; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        if (strncmp(p, key, n) == 0 && p[n] == '=') {
            keep_line(out, p + n + 1);
            return true;
        }
    }
    return false;
}

bool um_lease_owner_parse(um_lease_owner *out, const char *text)
{
    um_lease_owner o = {0};
    char pid[UM_LEASE_TEXT], start[UM_LEASE_TEXT], since[UM_LEASE_TEXT], end[UM_LEASE_TEXT];
    if (!find_line(text, "host", o.host) || !find_line(text, "boot", o.boot) || !find_line(text, "space", o.space) ||
        !find_line(text, "job", o.job) || !find_line(text, "cluster", o.cluster) || !find_line(text, "since", since) ||
        !find_line(text, "pid", pid) || !find_line(text, "start", start) ||
        !find_line(text, "end", end))
        return false;
    if (strcmp(end, "1") != 0 || !um_text_parse_int(pid, &o.pid) || !um_text_parse_int(start, &o.start))
        return false;
    snprintf(o.since, sizeof o.since, "%.*s", (int)sizeof o.since - 1, since);
    *out = o;
    return true;
}

/* Job numbers of another cluster are other jobs. */
static um_job_state job_state(const um_lease_owner *self, const um_lease_owner *owner, const um_lease_questions *ask)
{
    bool known = owner && owner->job[0] && owner->cluster[0] && strcmp(owner->cluster, self->cluster) == 0;
    if (known && strcmp(owner->job, self->job) == 0)
        return UM_JOB_RUNS; /* it is ours */
    return known ? ask->job(owner->job) : UM_JOB_UNKNOWN;
}

bool um_lease_is_stale(const um_lease_owner *self, const um_lease_owner *owner, double age_s, double lease_s,
                       const um_lease_questions *ask)
{
    bool here = owner && self->boot[0] && strcmp(self->host, owner->host) == 0 && strcmp(self->boot, owner->boot) == 0 &&
                strcmp(self->space, owner->space) == 0;
    if (here)
        return !ask->alive(owner->pid, owner->start);
    return fabs(age_s) > lease_s || job_state(self, owner, ask) == UM_JOB_GONE;
}
