/* What a run of a job has to know before it starts. Inside archive/. */
#ifndef UM_ARCHIVE_PLAN_H
#define UM_ARCHIVE_PLAN_H

#include "archive/shard_job.h"

typedef struct um_archive_plan {
    char **files; /* clean shards in order */
    size_t n_files;
    int64_t *images; /* [n_files] */
    int64_t n_images, n_bytes, values_most; /* bytes of all files; values of the largest image */
    int64_t c, h_most, w_most;              /* channels of the first image with a mask; sides of the largest image */
    um_unit_room room;
    char (*marks)[UM_SHARD_MARK]; /* [n_files]: of every shard; "" where it cannot be read. Of rank 0 */
    char settings_sha256[UM_SHA256_HEX]; /* of the line in job.json */
} um_archive_plan; /* release with um_archive_plan_clear */

/* Looks at every shard's index. Collective: rank 0 looks. Errors: UM_E_USAGE when source, release and private folder are in each other. */
um_status um_archive_plan_make(um_archive_plan *out, const um_archive_job *job);
void um_archive_plan_clear(um_archive_plan *p);

/* The folders, and PRIVATE/job.json: written by the first run, compared by all others (UM_E_USAGE). A shard that could not be read when
 * the first run looked may have been put right since; any other must be what it was. Local: for rank 0. */
um_status um_archive_plan_settle(um_archive_plan *p, const um_archive_job *job);

typedef struct um_archive_member {
    const char *key, *name; /* of a line of JSON, a text or an integer; what people call it */
} um_archive_member;

/* A file of one sealed line that all runs on a folder must give alike: written by the first of them; the others compare these members
 * (UM_E_USAGE naming those that differ). was: receives what stands there. */
um_status um_archive_agree_on_disk(const char *path, const um_text *line, const um_archive_member *members, size_t n, um_text *was);
/* Whether the disks have room for what is still to be written (UM_E_IO). */
um_status um_archive_plan_check_room(const um_archive_plan *p, const um_archive_job *job);

#endif
