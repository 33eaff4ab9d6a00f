#include "io/deflate.h"

#include "base/mem.h"

#ifdef UMED_LIBDEFLATE
#include <libdeflate.h>
#else
#include <zlib.h>
#endif

struct um_deflate {
    int level;
#ifdef UMED_LIBDEFLATE
    struct libdeflate_compressor *compressor;
#endif
};

um_status um_deflate_create(um_deflate **out, int level)
{
    um_status rc = UM_OK;
    um_deflate *d = NULL;
    UM_TRY(UM_NEW(d));
    d->level = level;
#ifdef UMED_LIBDEFLATE
    d->compressor = libdeflate_alloc_compressor(level);
    if (!d->compressor) {
        rc = um_fail(UM_E_MEMORY, "libdeflate: no memory for a compressor of level %d", level);
        goto done;
    }
#endif
    *out = d;
    d = NULL;
done:
    um_deflate_free(d);
    return rc;
}

void um_deflate_free(um_deflate *d)
{
    if (!d)
        return;
#ifdef UMED_LIBDEFLATE
    if (d->compressor)
        libdeflate_free_compressor(d->compressor);
#endif
    um_free(d);
}

size_t um_deflate_bound(const um_deflate *d, size_t bytes)
{
#ifdef UMED_LIBDEFLATE
    return libdeflate_zlib_compress_bound(d->compressor, bytes);
#else
    (void)d;
    return compressBound((uLong)bytes);
#endif
}

um_status um_deflate_run(um_deflate *d, const void *data, size_t bytes, void *out, size_t *n_out)
{
#ifdef UMED_LIBDEFLATE
    *n_out = libdeflate_zlib_compress(d->compressor, data, bytes, out, um_deflate_bound(d, bytes));
    return *n_out > 0 ? UM_OK : um_fail(UM_E_BUG, "libdeflate: %zu bytes do not fit their bound", bytes);
#else
    uLongf n = compressBound((uLong)bytes);
    int code = compress2(out, &n, data, (uLong)bytes, d->level);
    *n_out = n;
    return code == Z_OK ? UM_OK : um_fail(code == Z_MEM_ERROR ? UM_E_MEMORY : UM_E_BUG, "zlib: %s", zError(code));
#endif
}

const char *um_deflate_library(void)
{
#ifdef UMED_LIBDEFLATE
    return "libdeflate " LIBDEFLATE_VERSION_STRING;
#else
    return "zlib " ZLIB_VERSION;
#endif
}
