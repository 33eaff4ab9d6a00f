#include "io/delta_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

um_status um_delta_writer_open(um_delta_writer *out, const char *path, int bits, int64_t n_values)
{
    um_status rc = UM_OK;
    um_delta_writer w = {0};
    const um_h5_array delta = {.name = "/delta", .type = bits == 8 ? UM_H5_I8 : UM_H5_I16, .ndim = 1, .shape = {n_values}, .deflate = 1,
                               .description = "released image minus clean image modulo 2^bits, one image behind the other",
                               .axes = "value", .unit = "grey level"};
    UM_TRY(um_h5_create(&w.file, path, UM_DELTA_FORMAT, UM_DELTA_VERSION));
    UM_TRY(um_h5_stream_open(&w.delta, w.file, &delta));
    *out = w;
    w = (um_delta_writer){0};
done:
    um_delta_writer_abandon(&w);
    return rc;
}

um_status um_delta_writer_end(um_delta_writer *w, const um_shard_index *index, int64_t bound_levels, const char *clean_sha256,
                                 const char *released_sha256)
{
    um_status rc = UM_OK;
    UM_TRY(um_h5_stream_end(w->delta));
    um_h5_stream_free(w->delta);
    w->delta = NULL;
    UM_TRY(um_h5_write_strings(w->file, "/ids", (const char *const *)index->ids, index->n, "names of the samples, unique", "sample"));
    UM_TRY(um_h5_set_text(w->file, "/", "clean_sha256", clean_sha256));
    UM_TRY(um_h5_set_text(w->file, "/", "released_sha256", released_sha256));
    UM_TRY(um_h5_set_int(w->file, "/", "bound_levels", bound_levels));
    UM_TRY(um_h5_end(&w->file));
done:
    um_delta_writer_abandon(w);
    return rc;
}

void um_delta_writer_abandon(um_delta_writer *w)
{
    um_h5_stream_free(w->delta);
    um_h5_free(w->file);
    *w = (um_delta_writer){0};
}

static um_status read_hash(um_h5 *f, const char *name, char out[UM_SHA256_HEX])
{
    um_status rc = UM_OK;
    um_text text = {0};
    UM_TRY(um_h5_get_text(f, "/", name, &text));
    if (text.n != UM_SHA256_HEX - 1) {
        rc = um_fail(UM_E_DATA, "%s: attribute '%s' is no SHA-256", um_h5_path(f), name);
        goto done;
    }
    memcpy(out, um_text_get(&text), UM_SHA256_HEX);
done:
    um_text_free(&text);
    return rc;
}

um_status um_delta_file_open(um_delta_file *out, const char *path)
{
    um_status rc = UM_OK;
    um_delta_file f = {0};
    um_h5_type type;
    int ndim;
    int64_t shape[UM_H5_DIMS];
    UM_TRY(um_h5_open(&f.file, path, UM_DELTA_FORMAT, UM_DELTA_VERSION));
    UM_TRY(um_h5_inspect(f.file, "/delta", &type, &ndim, shape));
    if (ndim != 1 || (type != UM_H5_I8 && type != UM_H5_I16)) {
        rc = um_fail(UM_E_DATA, "%s: /delta has %d dimensions of %s, expected 1 of i8 or i16", path, ndim, um_h5_type_name(type));
        goto done;
    }
    f.bits = type == UM_H5_I8 ? 8 : 16;
    f.n_values = shape[0];
    UM_TRY(um_h5_get_int(f.file, "/", "bound_levels", &f.bound_levels));
    UM_TRY(read_hash(f.file, "clean_sha256", f.clean_sha256));
    UM_TRY(read_hash(f.file, "released_sha256", f.released_sha256));
    UM_TRY(um_h5_read_strings(f.file, "/ids", -1, &f.ids, &f.n_ids));
    UM_TRY(um_h5_rows_open(&f.delta, f.file, "/delta", type));
    *out = f;
    f = (um_delta_file){0};
done:
    um_delta_file_close(&f);
    return rc;
}

void um_delta_file_close(um_delta_file *f)
{
    if (f->ids)
        um_names_free(f->ids, (size_t)f->n_ids);
    um_h5_rows_close(f->delta);
    um_h5_free(f->file);
    *f = (um_delta_file){0};
}

um_status um_delta_file_fits(const um_delta_file *f, const um_shard_index *x)
{
    int64_t values, masks;
    um_shard_extent(x, 0, x->n, &values, &masks);
    if (f->bits != x->bits || f->n_ids != x->n || f->n_values != values)
        return um_fail(UM_E_DATA, "%s: for %lld images of %d bits with %lld values, the release has %lld of %d bits with %lld",
                       um_h5_path(f->file), (long long)f->n_ids, f->bits, (long long)f->n_values, (long long)x->n, x->bits,
                       (long long)values);
    for (int64_t i = 0; i < x->n; i++)
        if (strcmp(f->ids[i], x->ids[i]) != 0)
            return um_fail(UM_E_DATA, "%s: image %lld was '%s', the release has '%s': not the same release", um_h5_path(f->file),
                           (long long)i, f->ids[i], x->ids[i]);
    return UM_OK;
}

um_status um_delta_file_read(um_delta_file *f, int64_t first, int64_t n, void *delta)
{
    return um_h5_rows_read(f->delta, first, n, delta);
}

int64_t um_delta_undo(void *clean, const void *released, const void *delta, int64_t n, int bits)
{
    int64_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        int was, is;
        if (bits == 8) {
            is = ((const uint8_t *)released)[i];
            was = ((uint8_t *)clean)[i] = (uint8_t)(is - ((const int8_t *)delta)[i]);
        } else {
            is = ((const uint16_t *)released)[i];
            was = ((uint16_t *)clean)[i] = (uint16_t)(is - ((const int16_t *)delta)[i]);
        }
        largest = abs(is - was) > largest ? abs(is - was) : largest;
    }
    return largest;
}
