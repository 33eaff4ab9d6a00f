/* A dataset as PNG files, for eyes and for tools without HDF5. */
#ifndef UM_IO_EXPORT_H
#define UM_IO_EXPORT_H

#include "base/status.h"
#include "io/dataset.h"

/* Writes DIR/images/ID.png (8 or 16 bit, grey or RGB) and DIR/masks/ID.png (0 and 255); `umed import` reads them back to the same
 * pixels and ids. An id with other bytes than letters, digits, space and . _ - + ( ), a leading dot or more than 200 bytes becomes
 * a name with _ in their place and the row number at its end. The folder is made; what was written goes again after a failure.
 * Errors: UM_E_USAGE when dir is a file or not empty, UM_E_DATA when two ids need the same name, UM_E_IO. */
um_status um_export_png(const um_dataset *d, const char *dir);

#endif
