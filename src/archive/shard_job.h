/* Shards on their way through the stages. Inside archive/.
 *
 * One belt runs over all shards of a run: while the last units of a shard are packed and written, the first of the next are read. A shard
 * is opened by the first stage and closed by the last; disks are waited for elsewhere (um_shard_job_commit). */
#ifndef UM_ARCHIVE_SHARD_JOB_H
#define UM_ARCHIVE_SHARD_JOB_H

#include <pthread.h>

#include "archive/conveyor.h"
#include "archive/item.h"
#include "archive/perturb.h"
#include "io/delta_file.h"
#include "train/evaluate.h"

enum { UM_UNIT_IMAGES = 128, UM_ARCHIVE_STAGES = 8 };

/* What the images of a shard can need at most: the units are made for the largest of all shards, once. */
typedef struct um_unit_room {
    int64_t bytes, values, masks; /* of one unit: pixel bytes, pixel values, mask pixels */
    int64_t images;
} um_unit_room;

typedef struct um_shard_job um_shard_job;

/* A stretch of consecutive images, with everything that belongs to them while they are on the way. */
typedef struct um_unit {
    um_shard_job *job;     /* borrowed */
    bool last;             /* of its shard */
    int64_t first, n;      /* rows of the clean shard */
    uint8_t *clean, *masks, *released, *delta; /* delta: like the pixels, modulo 2^bits */
    int n_runs;            /* images of one size, which are perturbed together */
    um_dataset *views;     /* [n_runs]: borrow from the unit and the index where their images are neighbours, else from gathered */
    um_dataset **gathered; /* [n_runs]: copies; NULL: neighbours */
    um_perturbation *runs; /* [n_runs] */
    int *run_of;           /* [n]: -1: not perturbed */
    float *change;         /* run by run */
    int64_t *change_at;    /* [n]: of each image within it */
    int64_t n_chunks, cap_chunks;
    um_h5_chunk *chunks;
} um_unit;

/* Where shards come from and go to. Both are called by stages, one call of each at a time. */
typedef struct um_shard_traffic {
    um_status (*next)(void *payload, um_shard_job **out); /* opens the next shard; NULL: there are no more */
    um_status (*done)(void *payload, um_shard_job *job);  /* takes a shard whose parts are complete, or that failed */
    void *payload;
} um_shard_traffic;

/* What a process keeps from shard to shard. */
typedef struct um_workshop {
    const um_archive_job *job;
    const um_archive_options *o;
    um_perturber *perturber;
    um_unit_room room;
    int n_slots;
    um_unit **units;        /* [n_slots] */
    um_deflate **deflate;   /* [pack_workers] */
    uint8_t *masks;         /* [room.masks]: for whoever opens a shard */
    pthread_mutex_t h5;     /* HDF5 is one thread at a time */
    pthread_mutex_t lock;   /* of what jobs say of their failure */
    um_shard_traffic traffic;
    um_shard_job *at;       /* that units are read from; NULL: the next one comes */
    um_conveyor_stage stages[UM_ARCHIVE_STAGES];
    int n_stages;
    um_conveyor_times times;
    /* For progress lines, of the last stage only: images that went through here, those done elsewhere, those of the archive. */
    int64_t images_done, images_before, images_total;
    double begun, memory_bound;
} um_workshop;
void um_workshop_tell(um_workshop *w, int64_t n); /* n more images are written */


um_status um_workshop_open(um_workshop *out, const um_archive_job *job, um_perturber *perturber, const um_unit_room *room);
void um_workshop_close(um_workshop *w);
void um_unit_reset(um_unit *u, const um_perturber *p); /* what a shard that failed left in it */
void um_unit_drop_run(um_unit *u, int run, const um_perturber *p); /* what it holds besides its change */
/* All shards that `next` gives through the stages. Errors: what ends a run; a shard's own trouble stays with the shard. */
um_status um_workshop_run(um_workshop *w, const um_shard_traffic *traffic);
/* carries: networks run on a device, with stages of their own for the way there and back. Returns how many there are. */
int um_shard_job_stages(um_conveyor_stage stages[UM_ARCHIVE_STAGES], const um_archive_options *o, bool carries);
/* Bytes of all slots. carries: with what is page-locked. */
double um_workshop_bytes(const um_unit_room *room, const um_archive_options *o, bool carries);

/* Pixel bytes of a unit where the networks of a job run: enough for several batches on a device. b NULL: no networks. */
int64_t um_unit_bytes(const um_backend *b);
/* Widens room to what the units of a shard take. unit_bytes: of a unit of several images. */
um_status um_unit_room_add(um_unit_room *room, const um_shard_index *index, int64_t unit_bytes);
/* Where units begin: [n + 1] rows; owned by the caller. */
um_status um_unit_starts(const um_shard_index *index, int64_t unit_bytes, int64_t **out, int64_t *n);

/* Which images of the unit, whose pixels and masks are there, are perturbed together: those of one size of which fates[row] is
 * `wanted`; and where the change of each goes. show: the views of a run, one image behind the other. */
void um_unit_find_runs(um_unit *u, const um_shard_index *x, const uint8_t *fates, uint8_t wanted);
um_status um_unit_show_run(um_unit *u, const um_shard_index *x, int run);
float *um_unit_change(const um_unit *u, int run); /* of the run's first image; the others come behind it */

/* Chunks on their way from a stream to the file. */
um_status um_unit_add_chunk(um_unit *u, const um_h5_chunk *chunk); /* takes its data on success */
um_status um_unit_cut(um_unit *u, um_h5_stream *s, const void *data, size_t bytes);
um_status um_unit_cut_rest(um_unit *u, um_h5_stream *s);

/* Looks at a shard and begins its two files. paths and owner: borrowed until the job is freed. out: owned by the caller. */
um_status um_shard_job_open(um_shard_job **out, um_workshop *w, const char *clean_path, const um_archive_paths *paths, void *owner);
void *um_shard_job_owner(const um_shard_job *j);
/* Whether an error means this shard alone; the others end the run. */
bool um_shard_job_is_own(um_status rc);
/* UM_OK, or what went wrong with this shard; then it is recorded as the error. */
um_status um_shard_job_outcome(const um_shard_job *j);
/* In any thread, while the workshop is at other shards: disks are waited for here. Commits the delta, the release and the item, in this
 * order. still_ours is asked before that; when somebody else has taken over, nothing is committed and `item` stays empty, else it
 * receives the line. */
um_status um_shard_job_commit(um_shard_job *j, bool (*still_ours)(const void *claim), const void *claim, const char *settings_sha256,
                              um_text *item);
/* Discards what was not committed; accepts NULL. Where files are still open (a job that failed) this is HDF5. */
void um_shard_job_free(um_shard_job *j);

#endif
