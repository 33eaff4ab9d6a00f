/* One shard on its way through the stages. Inside archive/. */
#ifndef UM_ARCHIVE_SHARD_JOB_H
#define UM_ARCHIVE_SHARD_JOB_H

#include <pthread.h>

#include "archive/conveyor.h"
#include "archive/item.h"
#include "archive/perturb.h"
#include "io/delta_file.h"
#include "train/evaluate.h"

enum { UM_UNIT_IMAGES = 128, UM_UNIT_BYTES = 1 << 20, UM_ARCHIVE_STAGES = 6 };

/* What the images of a shard can need at most: the units are made for the largest of all shards, once. */
typedef struct um_unit_room {
    int64_t bytes, values, masks; /* of one unit: pixel bytes, pixel values, mask pixels */
    int64_t images;
} um_unit_room;

/* A stretch of consecutive images, with everything that belongs to them while they are on the way. */
typedef struct um_unit {
    int64_t first, n;      /* rows of the clean shard */
    uint8_t *clean, *masks, *released, *delta; /* delta: like the pixels, modulo 2^bits */
    float *change;
    int n_runs;
    um_dataset *views;     /* [n_runs]: images of one size that are perturbed together; borrow from the unit and the index */
    int64_t *view_at;      /* [n_runs]: first value within the unit */
    um_perturbation *runs; /* [n_runs] */
    int64_t n_chunks, cap_chunks;
    um_h5_chunk *chunks;
} um_unit;

/* What a process keeps from shard to shard. */
typedef struct um_workshop {
    const um_archive_job *job;
    const um_archive_options *o;
    um_perturber *perturber;
    um_unit_room room;
    int n_slots;
    um_unit **units;        /* [n_slots] */
    um_deflate **deflate;   /* [pack_workers] */
    pthread_mutex_t h5;     /* HDF5 is one thread at a time */
    um_conveyor_stage stages[UM_ARCHIVE_STAGES];
    um_conveyor_times times;
    /* For progress lines, of the last stage only: images that went through here, those done elsewhere, those of the archive. */
    int64_t images_done, images_before, images_total;
    double begun, memory_bound;
} um_workshop;
void um_workshop_tell(um_workshop *w, int64_t n); /* n more images are written */


um_status um_workshop_open(um_workshop *out, const um_archive_job *job, um_perturber *perturber, const um_unit_room *room);
void um_workshop_close(um_workshop *w);
void um_workshop_reset(um_workshop *w); /* what a shard that failed left in the units */
void um_shard_job_stages(um_conveyor_stage stages[UM_ARCHIVE_STAGES], const um_archive_options *o);
/* Bytes of all slots. */
double um_workshop_bytes(const um_unit_room *room, const um_archive_options *o);

/* Widens room to what the units of a shard take. */
um_status um_unit_room_add(um_unit_room *room, const um_shard_index *index);
/* Where units begin: [n + 1] rows; owned by the caller. */
um_status um_unit_starts(const um_shard_index *index, int64_t **out, int64_t *n);

/* Chunks on their way from a stream to the file. */
um_status um_unit_add_chunk(um_unit *u, const um_h5_chunk *chunk); /* takes its data on success */
um_status um_unit_cut(um_unit *u, um_h5_stream *s, const void *data, size_t bytes);
um_status um_unit_cut_rest(um_unit *u, um_h5_stream *s);

typedef struct um_shard_job um_shard_job;

/* Protects one shard: streams it through the stages into the parts of its delta and its release, which are then complete and closed. out:
 * owned by the caller. Errors: those of reading, perturbing and writing; nothing is left behind. */
um_status um_shard_job_run(um_shard_job **out, um_workshop *w, const char *clean_path, const um_archive_paths *paths);
/* The second half, in any thread, while the workshop is at the next shard: disks are waited for here. Commits the delta, the release and the
 * item, in this order. still_ours is asked before that; when somebody else has taken over, nothing is committed and `item` stays empty,
 * else it receives the line. */
um_status um_shard_job_commit(um_shard_job *j, bool (*still_ours)(const void *claim), const void *claim, const char *settings_sha256,
                              um_text *item);
void um_shard_job_free(um_shard_job *j); /* discards what was not committed; accepts NULL */

#endif
