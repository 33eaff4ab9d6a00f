/* Whether a Slurm job still runs, by Slurm's own commands. They cost a process and a question to the controller, so a job that runs is
 * asked about twice a minute; that one is gone is never remembered, since it may start again under its number. */
#include "mpi/lease.h"

#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { BELIEVED_S = 30, ANSWERS = 64, LINE_BYTES = 512 };

/* Answers but UM_JOB_GONE; the oldest makes room. */
static struct answer {
    char id[UM_LEASE_TEXT];
    um_job_state state;
    double at;
} answers[ANSWERS];
static int next_answer;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* It becomes part of a command. */
static bool is_job_id(const char *id)
{
    return id[0] >= '0' && id[0] <= '9' && strspn(id, "0123456789_+") == strlen(id);
}

/* States of a job without processes: not yet, or not any more. COMPLETING still may have some. */
static bool is_gone(const char *state)
{
    static const char *const gone[] = {"PENDING",   "COMPLETED", "CANCELLED",     "FAILED",      "TIMEOUT",
                                       "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY", "BOOT_FAIL",   "DEADLINE",
                                       "REVOKED",   "REQUEUED",  "SPECIAL_EXIT",  "REQUEUE_HOLD"};
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
        if (strncmp(state, gone[i], strlen(gone[i])) == 0) /* "CANCELLED by 1000" */
            return true;
    return false;
}

/* Runs a command whose output is one state per line. Unknown when it fails or says nothing; a queue that has forgotten the job says so. */
static um_job_state ask(const char *command)
{
    char line[LINE_BYTES];
    bool any = false, runs = false, forgotten = false;
    FILE *f = popen(command, "r");
    if (!f)
        return UM_JOB_UNKNOWN;
    while (fgets(line, sizeof line, f)) {
        const char *state = line + strspn(line, " ");
        if (strstr(line, "Invalid job id")) {
            forgotten = true;
        } else if (*state >= 'A' && *state <= 'Z') {
            any = true;
            runs = runs || !is_gone(state);
        }
    }
    bool failed = pclose(f) != 0;
    if (forgotten)
        return UM_JOB_GONE;
    return failed || !any ? UM_JOB_UNKNOWN : runs ? UM_JOB_RUNS : UM_JOB_GONE;
}

static um_job_state ask_slurm(const char *id)
{
    char command[LINE_BYTES];
    snprintf(command, sizeof command, "LC_ALL=C timeout 20 squeue -h -t all -o %%T -j %s 2>&1", id);
    um_job_state state = ask(command);
    if (state != UM_JOB_UNKNOWN)
        return state;
    snprintf(command, sizeof command, "LC_ALL=C timeout 20 sacct -n -X -o State%%20 -j %s 2>/dev/null", id);
    return ask(command);
}

um_job_state um_lease_job_state(const char *id)
{
    um_job_state state = UM_JOB_UNKNOWN;
    bool known = false;
    if (!is_job_id(id))
        return UM_JOB_UNKNOWN;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < ANSWERS && !known; i++)
        if (strcmp(answers[i].id, id) == 0 && um_now() - answers[i].at < BELIEVED_S) {
            state = answers[i].state;
            known = true;
        }
    if (!known && (state = ask_slurm(id)) != UM_JOB_GONE) {
        struct answer *a = &answers[next_answer++ % ANSWERS];
        snprintf(a->id, sizeof a->id, "%s", id);
        a->state = state;
        a->at = um_now();
    }
    pthread_mutex_unlock(&lock);
    if (state == UM_JOB_GONE)
        um_log(UM_LOG_INFO, "job %s, which held a claim, does not run any more", id);
    return state;
}
