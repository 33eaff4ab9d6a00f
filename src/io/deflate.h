/* One block of bytes, compressed as a zlib stream (RFC 1950): what HDF5's deflate filter reads. By libdeflate where the build found it,
 * which is three times as fast, else by zlib. The same build gives the same bytes; the content is the same with either. */
#ifndef UM_IO_DEFLATE_H
#define UM_IO_DEFLATE_H

#include <stddef.h>

#include "base/status.h"

typedef struct um_deflate um_deflate; /* one thread at a time */

um_status um_deflate_create(um_deflate **out, int level); /* 1 fastest to 9; owned by the caller */
void um_deflate_free(um_deflate *d);                      /* accepts NULL */

size_t um_deflate_bound(const um_deflate *d, size_t bytes); /* room that n bytes take at worst */
/* out: at least um_deflate_bound(bytes). *n_out: bytes written. */
um_status um_deflate_run(um_deflate *d, const void *data, size_t bytes, void *out, size_t *n_out);

const char *um_deflate_library(void); /* "libdeflate 1.14" or "zlib 1.2.13"; borrowed */

#endif
