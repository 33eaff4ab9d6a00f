/* Shared by h5*.c only: the handle, and HDF5's errors in our words. */
#ifndef UM_IO_H5_INTERNAL_H
#define UM_IO_H5_INTERNAL_H

#include "io/h5.h"

#include <hdf5.h>

struct um_h5 {
    hid_t file;
    char *path, *format;
    bool writing;
};

/* Records an error: "PATH: cannot DOING OBJECT: innermost message of HDF5". Writing: UM_E_IO; reading: UM_E_IO when the system
 * refused, else UM_E_DATA. Returns the code. */
#define um_h5_fail(f, doing, object) um_h5_fail_at(__FILE__, __LINE__, (f), (doing), (object))
um_status um_h5_fail_at(const char *file, int line, const um_h5 *f, const char *doing, const char *object);

/* Evaluates an HDF5 call; a negative result fails with um_h5_fail and jumps to `done`. */
#define UM_TRY_H5(f, doing, object, call)                                                                                      \
    do {                                                                                                                       \
        if ((call) < 0) {                                                                                                      \
            rc = um_h5_fail((f), (doing), (object));                                                                           \
            goto done;                                                                                                         \
        }                                                                                                                      \
    } while (0)

void um_h5_drop(hid_t id); /* releases an identifier of any kind; negative ones are ignored */

um_status um_h5_make_parents(um_h5 *f, const char *path);
/* A creation list for datasets without time stamps: chunked with whole items and checksummed, or compact for a scalar. */
um_status um_h5_layout(um_h5 *f, const char *name, int ndim, const hsize_t *shape, size_t item_size, int deflate, hid_t *out);
um_status um_h5_describe(um_h5 *f, const char *name, const char *description, const char *axes, const char *unit,
                         const char *definition);
hid_t um_h5_string_type(size_t bytes); /* fixed length UTF-8, zero padded */

/* UM_E_DATA for a type with values of variable length: those lie in a part of the file without checksums, where one flipped bit makes
 * HDF5 1.10 search for ever or take 4 GiB. */
um_status um_h5_fixed_length(um_h5 *f, const char *name, hid_t type);

/* Opens a dataset and checks its type and storage: fixed length, no external or virtual parts, nothing claimed that the file does not
 * hold. shape has UM_H5_DIMS places. out: the caller drops it. */
um_status um_h5_open_dataset(um_h5 *f, const char *name, hid_t *out, int *ndim, hsize_t *shape);

#endif
