/* The owner's side of a protected dataset (DESIGN D15): what must never leave with it. A folder, mode 0700, holding private.h5:
 *
 *     /delta        released minus clean, i8 or i16 [N,H,W,C], compressed
 *     /ids          of the rows, in order
 *     /config       the settings of the protection; more provenance as root attributes
 *     released_sha256, clean_sha256    um_dataset_sha256 of both sides
 *     bound_levels                     the largest change that was allowed
 *
 * With it the owner gets the clean images back exactly. */
#ifndef UM_IO_PRIVATE_H
#define UM_IO_PRIVATE_H

#include "base/status.h"
#include "io/dataset.h"
#include "io/provenance.h"

#define UM_PRIVATE_FORMAT "umed-private"
#define UM_PRIVATE_VERSION "1.0"

/* The default folder of a released file or shard folder: OUT.h5 -> OUT.private, DIR -> DIR.private. out: owned by the caller. */
um_status um_private_folder(char **out, const char *released_path);

/* clean and released: the same rows in the same order, of one geometry. limit: largest change allowed, in grey levels of these images
 * (a larger one is UM_E_BUG). Makes the folder. A private.h5 that stands there stays: it must be of the same two datasets, or it is
 * UM_E_USAGE. A delta that does not fit 16 bits is UM_E_DATA naming the image. */
um_status um_private_write(const char *dir, const um_dataset *clean, const um_dataset *released, int64_t limit,
                           const um_provenance *provenance);

/* Whether an open private.h5 agrees with itself: shapes, ids, and no change beyond bound_levels. */
um_status um_private_verify(um_h5 *f);
/* Whether `released`, read from released_path, is what DIR/private.h5 was written for (UM_E_DATA); UM_OK when there is no such file. */
um_status um_private_check_release(const char *dir, const um_dataset *released, const char *released_path);

/* out: the clean dataset, owned by the caller. UM_E_DATA when `released` is not what the folder was written for (ids or hash), or
 * when the result is not the clean content of then. */
um_status um_private_restore(um_dataset **out, const um_dataset *released, const char *dir);

#endif
