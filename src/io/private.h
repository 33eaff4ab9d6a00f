/* The owner's side of a protected dataset (DESIGN D15): what must never leave with it. A folder, mode 0700, holding private.h5:
 *
 *     /delta        released minus clean, i8 or i16 [N,H,W,C], compressed
 *     /ids          of the rows, in order
 *     /config       the settings of the protection; more provenance as root attributes
 *     released_sha256, clean_sha256    um_dataset_sha256 of both sides
 *
 * With it the owner gets the clean images back exactly. */
#ifndef UM_IO_PRIVATE_H
#define UM_IO_PRIVATE_H

#include "base/status.h"
#include "io/dataset.h"
#include "io/provenance.h"

/* The default folder of a released file or shard folder: OUT.h5 -> OUT.private, DIR -> DIR.private. out: owned by the caller. */
um_status um_private_folder(char **out, const char *released_path);

/* clean and released: the same rows in the same order, of one geometry. Makes the folder; refuses one that already holds a
 * private.h5 (UM_E_USAGE). A delta that does not fit 16 bits is UM_E_DATA naming the image. */
um_status um_private_write(const char *dir, const um_dataset *clean, const um_dataset *released, const um_provenance *provenance);

/* out: the clean dataset, owned by the caller. UM_E_DATA when `released` is not what the folder was written for (ids or hash), or
 * when the result is not the clean content of then. */
um_status um_private_restore(um_dataset **out, const um_dataset *released, const char *dir);

#endif
