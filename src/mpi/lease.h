/* Claims on disk, so that several runs can share one sweep folder and a run that died can simply be started again.
 *
 * A claim is the file PREFIX.<generation>, created with O_EXCL and holding "key=value" lines: host, boot id, pid namespace, pid,
 * start time of the process, job id, cluster of the job, since when. The highest generation owns. A claim is stale
 *   at once           when host, boot id and pid namespace are ours and that process is gone (or started at another time); or when it
 *                     is of a Slurm job of our cluster that does not run (mpi/lease_job.c asks squeue, then sacct)
 *   after lease_s     else (another host, a reboot, a file that was never filled), by the file server's clock; or when it was
 *                     touched more than lease_s in the future, because that clock was set back since
 * and is taken over by creating the next generation. A thread touches the file while it is held. A double run is harmless: same
 * bits, and the last rename wins; um_lease_check before a commit makes it rare. */
#ifndef UM_MPI_LEASE_H
#define UM_MPI_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/host.h"
#include "base/status.h"
#include "base/text.h"

enum { UM_LEASE_TEXT = UM_HOST_TEXT };

typedef struct um_lease_owner {
    char host[UM_LEASE_TEXT], boot[UM_LEASE_TEXT], space[UM_LEASE_TEXT], job[UM_LEASE_TEXT], cluster[UM_LEASE_TEXT];
    char since[UM_UTC_BYTES];
    int64_t pid, start; /* start: clock ticks after boot, field 22 of /proc/PID/stat */
} um_lease_owner;

/* This process. job: SLURM_JOB_ID (with the array task); cluster: SLURM_CLUSTER_NAME; both empty outside Slurm. since: now. */
um_status um_lease_owner_self(um_lease_owner *out);
um_status um_lease_owner_print(const um_lease_owner *o, um_text *out); /* the content of a claim */
/* False when the text is not a complete claim. */
bool um_lease_owner_parse(um_lease_owner *out, const char *text);

typedef enum um_job_state { UM_JOB_UNKNOWN, UM_JOB_RUNS, UM_JOB_GONE } um_job_state;

/* What the rule asks, only where the answer counts. */
typedef struct um_lease_questions {
    bool (*alive)(int64_t pid, int64_t start); /* whether a process of that pid and start time runs here */
    um_job_state (*job)(const char *id);       /* whether a job of our cluster runs */
} um_lease_questions;

/* The rule. owner: NULL when the file held no complete claim. age_s: seconds since it was last touched. */
bool um_lease_is_stale(const um_lease_owner *self, const um_lease_owner *owner, double age_s, double lease_s,
                       const um_lease_questions *ask);
/* From squeue; from sacct where squeue fails. Gone: ended, or in the queue again. Unknown without Slurm's commands, or when they fail.
 * "Runs" is believed for half a minute, "gone" was asked just now. */
um_job_state um_lease_job_state(const char *id);
/* From /proc; a process that has ended but was not yet waited for counts as gone. */
bool um_lease_process_alive(int64_t pid, int64_t start);

typedef struct um_lease um_lease;

/* Tries to take PREFIX. *out = NULL when somebody else holds it (UM_OK). The folder of PREFIX must exist. Errors: UM_E_IO. */
um_status um_lease_take(um_lease **out, const char *prefix, double lease_s);
/* Whether the claim is still ours: our generation is the highest. */
bool um_lease_check(const um_lease *l);
/* Whose the claim on PREFIX is: "host pid 123, job 7, since 2026-11-22T02:05:17Z"; empty when there is none. held: whether it still
 * counts; a stale claim will be taken over. */
um_status um_lease_holder(um_text *out, bool *held, const char *prefix, double lease_s);
void um_lease_release(um_lease *l); /* removes the claim; accepts NULL */

#endif
