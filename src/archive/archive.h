/* Bulk protection: archives of any size, shard by shard, by any number of ranks, jobs and array tasks that share the folders.
 *
 *     SOURCE/shard-00000-of-00008.h5 ...     clean, of either kind (io/shard.h); never opened for writing
 *     RELEASED/shard-00000-of-00008.h5 ...   the same images with a protector's perturbation
 *     RELEASED/manifest.jsonl                sizes and checksums, when all shards are done
 *     PRIVATE/                               mode 0700, the owner's (DESIGN D15):
 *         job.json                           what all runs on these folders must agree on
 *         delta-00000-of-00008.h5            the way back (io/delta_file.h)
 *         items/shard-00000-of-00008.json    written last: this shard is done. One line (archive/item.h)
 *         items/shard-00000-of-00008.lease.N claim (mpi/lease.h)
 *         items/shard-00000-of-00008.failed.txt
 *         manifest.jsonl                     all items, when all are done
 *
 * A shard is the unit of work: claimed, streamed through stages (archive/conveyor.h), and committed whole, first the way back, then the
 * release, then the item. Whoever was killed has lost the shard he was at; the same command does what is missing. The released pixels
 * of an image depend on the image, its mask, its id, the state and the settings only. */
#ifndef UM_ARCHIVE_ARCHIVE_H
#define UM_ARCHIVE_ARCHIVE_H

#include "base/opt.h"
#include "kernels/backend.h"
#include "mpi/comm.h"

typedef enum um_archive_apply { UM_ARCHIVE_NATIVE, UM_ARCHIVE_RESAMPLED } um_archive_apply;

/* Group "archive". */
typedef struct um_archive_options {
    int apply;    /* um_archive_apply */
    int64_t size; /* side of the images that the protector sees under resampled; 0: that of its fit */
    int64_t ssim_every;          /* SSIM of one image in so many, chosen by id; 0: none. Of all: `verify` */
    int64_t slots, map_workers, pack_workers; /* units on the way; threads for the maps (0: by the backend), and that compress */
    double lease_s;
    double psnr_min, ssim_min; /* of every image, for `verify` */
} um_archive_options;
extern const um_opt_table um_archive_table;

typedef struct um_archive_job {
    const char *source, *released, *private_dir; /* paths */
    const char *protector;                       /* name */
    const char *state;                           /* file of a fit (`umed protect --state`) */
    bool copy_unmasked;                          /* images without a mask are released as they are, else left out */
    const um_settings *settings;
    um_backend *backend;
    um_comm *comm; /* ranks of this run; NULL: one */
    const char *command;
} um_archive_job;

typedef struct um_archive_tally {
    int64_t shards, done, failed;            /* shards: of the archive */
    int64_t images, copied, refused;         /* of the shards that are done */
} um_archive_tally;

/* Protects what is missing. tally: filled when the run came to its end, also with failures. Collective.
 * Errors: UM_E_PARTIAL when shards failed or images were left out; UM_E_STOPPED; UM_E_USAGE when the folders belong to another job, or
 * source and release are in each other; UM_E_UNSUPPORTED for a protector that cannot be applied to new images; UM_E_DATA; UM_E_IO. */
um_status um_archive_protect(const um_archive_job *job, um_archive_tally *tally);

/* The clean images into the folder `back`, which is made: exactly those that were protected. Collective. Errors: UM_E_PARTIAL when
 * shards could not be restored, each of which is reported. */
um_status um_archive_restore(const char *released, const char *private_dir, const char *back, um_comm *comm);

/* One line per file: what it holds, or what is wrong. */
typedef void um_archive_report(const char *path, um_status status, const char *line, void *payload);

/* Reads everything again. private_dir NULL: what a recipient can check (names, checksums, formats, nothing that betrays the owner). With
 * it also: counts, ids, content, the way back, the bound, PSNR and SSIM of every image, and how much of the masks can be read off.
 * Collective. Errors: the first that was found, after all was looked at. */
um_status um_archive_verify(const char *released, const char *private_dir, const um_settings *settings, um_comm *comm,
                            um_archive_report *report, void *payload);

/* A folder of PNG and JPEG files with masks (io/import.h, layouts) to an umed-archive of n_shards shards at original size and depth.
 * Pictures that cannot be read are left out and listed with the reason in OUT/broken.jsonl. Collective; the same command goes on after
 * whatever happened. Errors: UM_E_PARTIAL when pictures were left out. */
um_status um_archive_pack(const char *folder, const char *out, int64_t n_shards, const um_settings *settings, um_comm *comm,
                          um_archive_tally *tally);

/* What this machine does per second with the archive's first images: the protector alone, and compressing and writing alone (to a file
 * in `scratch`, removed again); for about `seconds` each. job->released is not looked at. Local. */
typedef struct um_archive_rates {
    double perturb, write; /* images per second */
    int64_t images;        /* that were used */
} um_archive_rates;
um_status um_archive_measure(const um_archive_job *job, const char *scratch, double seconds, um_archive_rates *out);

#endif
