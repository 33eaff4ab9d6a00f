/* Arrays of a NumPy .npz file: a zip archive (stored or deflated members, zip64) of .npy members, through libzip. */
#ifndef UM_IO_NPZ_H
#define UM_IO_NPZ_H

#include <stdint.h>

#include "base/status.h"

enum { UM_NPZ_DIMS = 8 };

typedef struct um_npz um_npz;

/* Errors: UM_E_IO (cannot be opened), UM_E_DATA (no zip archive, or one that was cut off). */
um_status um_npz_open(um_npz **out, const char *path);
void um_npz_free(um_npz *z);

/* One array under its key (member KEY.npy), widened to double in C order: owned by the caller (um_free). dims: [*n_dims].
 * Takes little-endian <f2, <f4 and <f8 of at most UM_NPZ_DIMS dimensions; verifies the member's checksum.
 * Errors, all UM_E_DATA naming file and key: missing, damaged, another type, Fortran order, not the bytes that its shape asks for. */
um_status um_npz_read(um_npz *z, const char *key, double **out, int *n_dims, int64_t dims[UM_NPZ_DIMS]);

#endif
