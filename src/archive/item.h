/* What is known of a shard that is done: one line of JSON, sealed (archive/json.h), in PRIVATE/items and PRIVATE/manifest.jsonl.
 *
 *     shard, images, protected, copied     of the release
 *     sha256_file, bytes                   of the released file
 *     sha256_delta, bytes_delta            of the way back
 *     sha256_clean, sha256_released        of the images (um_shard_hash_add)
 *     bytes_in                             of the clean file
 *     settings_sha256                      of job.json
 *     psnr, ssim                           {n,min,p05,median,mean,max}; ssim of a sample (archive.ssim_every)
 *     seconds, host                        of the run that did it
 *     refused                              [{id,reason}]
 *     ids                                  of the release, in order */
#ifndef UM_ARCHIVE_ITEM_H
#define UM_ARCHIVE_ITEM_H

#include "archive/json.h"
#include "io/shard.h"

typedef struct um_archive_spread {
    int64_t n, cap;
    double *values;
} um_archive_spread; /* initialise with {0}, release with um_free(values) */
um_status um_archive_spread_add(um_archive_spread *s, double value);
um_status um_archive_spread_print(um_archive_spread *s, const char *key, um_text *out); /* sorts */

typedef struct um_archive_refusal {
    char *id, *reason;
} um_archive_refusal;

typedef struct um_archive_refusals {
    int64_t n, cap;
    um_archive_refusal *list;
} um_archive_refusals; /* release with um_archive_refusals_clear */
um_status um_archive_refusals_add(um_archive_refusals *r, const char *id, const char *reason);
void um_archive_refusals_clear(um_archive_refusals *r);
um_status um_archive_refusal_print(um_text *out, const char *id, const char *reason); /* {"id":...,"reason":...} */

/* Where things of a job lie. Owned; release with um_archive_paths_clear. */
typedef struct um_archive_paths {
    char *shard_name;              /* of the file, without its folder */
    char *released, *delta, *item; /* files of a shard */
    char *claim, *failed;          /* prefix of claims; reason of a failure */
} um_archive_paths;
um_status um_archive_paths_of(um_archive_paths *out, const char *released_dir, const char *private_dir, int shard, int n_shards);
void um_archive_paths_clear(um_archive_paths *p);

/* A file of one sealed line. *found = false when there is none. Errors: UM_E_DATA when it was changed. */
um_status um_archive_line_read(um_text *out, const char *path, bool *found);

/* When every shard has its item: PRIVATE/manifest.jsonl and the public RELEASED/manifest.jsonl, in the order of the shards. */
um_status um_archive_manifests_write(const char *released_dir, const char *private_dir, int n_shards);
/* One line of the public manifest from an item, which was read from `where` (UM_E_DATA naming it when it lacks something). */
um_status um_archive_public_line(um_text *out, const char *item, const char *where);

#endif
