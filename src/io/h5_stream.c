#include "io/h5_stream.h"

#include "base/mem.h"
#include "io/h5_internal.h"

#include <string.h>

enum { CHECKSUM_BYTES = 4 };

struct um_h5_stream {
    um_h5 *file; /* borrowed */
    char *name;
    hid_t data;
    int ndim;
    hsize_t chunk_items; /* of the first axis */
    size_t item_bytes, chunk_bytes;
    bool grows;
    uint8_t *held;       /* the chunk that is being filled */
    size_t n_held;
    int64_t n_cut, n_written;
    uint64_t bytes_in, bytes_wanted;
    hsize_t extent;      /* of one that grows */
    bool finished;
};

uint32_t um_h5_fletcher32(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    size_t words = bytes / 2;
    uint32_t a = 0, b = 0;
    while (words > 0) {
        size_t run = words < 360 ? words : 360; /* so many fit 32 bits */
        words -= run;
        for (; run > 0; run--, p += 2) {
            a += (uint32_t)p[0] << 8 | p[1];
            b += a;
        }
        a = (a & 0xffff) + (a >> 16);
        b = (b & 0xffff) + (b >> 16);
    }
    if (bytes % 2) {
        a += (uint32_t)p[0] << 8;
        b += a;
        a = (a & 0xffff) + (a >> 16);
        b = (b & 0xffff) + (b >> 16);
    }
    a = (a & 0xffff) + (a >> 16);
    b = (b & 0xffff) + (b >> 16);
    return b << 16 | a;
}

/* The array's chunk in bytes, from what was created. */
static um_status measure(um_h5_stream *s)
{
    um_status rc = UM_OK;
    hsize_t chunk[UM_H5_DIMS] = {1};
    hid_t list = -1, type = -1;
    UM_TRY_H5(s->file, "open", s->name, list = H5Dget_create_plist(s->data));
    UM_TRY_H5(s->file, "open", s->name, type = H5Dget_type(s->data));
    UM_REQUIRE(H5Pget_layout(list) == H5D_CHUNKED && H5Pget_nfilters(list) == 2);
    UM_TRY_H5(s->file, "open", s->name, s->ndim = H5Pget_chunk(list, UM_H5_DIMS, chunk));
    s->chunk_items = chunk[0];
    s->item_bytes = H5Tget_size(type);
    for (int i = 1; i < s->ndim; i++)
        s->item_bytes *= chunk[i];
    s->chunk_bytes = s->item_bytes * s->chunk_items;
done:
    um_h5_drop(type);
    um_h5_drop(list);
    return rc;
}

um_status um_h5_stream_open(um_h5_stream **out, um_h5 *f, const um_h5_array *a)
{
    um_status rc = UM_OK;
    um_h5_stream *s = NULL;
    UM_REQUIRE(a->deflate > 0 && a->ndim > 0 && a->shape[0] != 0 && (a->shape[0] > 0 || a->ndim == 1));
    UM_TRY(UM_NEW(s));
    s->file = f;
    s->data = -1;
    s->grows = a->shape[0] < 0;
    UM_TRY(um_strdup(&s->name, a->name));
    UM_TRY(um_h5_make_array(f, a));
    UM_TRY_H5(f, "open", s->name, s->data = H5Dopen2(f->file, s->name, H5P_DEFAULT));
    UM_TRY(measure(s));
    s->bytes_wanted = s->grows ? 0 : (uint64_t)a->shape[0] * s->item_bytes;
    *out = s;
    s = NULL;
done:
    um_h5_stream_free(s);
    return rc;
}

void um_h5_stream_free(um_h5_stream *s)
{
    if (!s)
        return;
    um_h5_drop(s->data);
    um_free(s->held);
    um_free(s->name);
    um_free(s);
}

static void hand_out(um_h5_stream *s, um_h5_chunk *chunk)
{
    *chunk = (um_h5_chunk){.stream = s, .index = s->n_cut++, .data = s->held, .bytes = s->chunk_bytes};
    s->held = NULL;
    s->n_held = 0;
}

um_status um_h5_stream_cut(um_h5_stream *s, const void *data, size_t bytes, size_t *taken, um_h5_chunk *chunk)
{
    um_status rc = UM_OK;
    size_t room = s->chunk_bytes - s->n_held, n = bytes < room ? bytes : room;
    chunk->data = NULL;
    if (n > 0 && !s->held)
        UM_TRY(um_alloc((void **)&s->held, s->chunk_bytes, 1));
    if (n > 0)
        memcpy(s->held + s->n_held, data, n);
    s->n_held += n;
    s->bytes_in += n;
    if (s->n_held == s->chunk_bytes)
        hand_out(s, chunk);
    *taken = n;
done:
    return rc;
}

um_status um_h5_stream_finish(um_h5_stream *s, um_h5_chunk *chunk)
{
    um_status rc = UM_OK;
    chunk->data = NULL;
    UM_REQUIRE(s->grows || s->bytes_in == s->bytes_wanted);
    s->finished = true;
    if (s->n_held > 0) {
        memset(s->held + s->n_held, 0, s->chunk_bytes - s->n_held);
        hand_out(s, chunk);
    }
done:
    return rc;
}

um_status um_h5_chunk_pack(um_h5_chunk *chunk, um_deflate *deflate)
{
    um_status rc = UM_OK;
    uint8_t *packed = NULL;
    size_t n = 0;
    UM_TRY(um_alloc((void **)&packed, um_deflate_bound(deflate, chunk->bytes) + CHECKSUM_BYTES, 1));
    UM_TRY(um_deflate_run(deflate, chunk->data, chunk->bytes, packed, &n));
    uint32_t sum = um_h5_fletcher32(packed, n);
    for (int i = 0; i < CHECKSUM_BYTES; i++)
        packed[n + (size_t)i] = (uint8_t)(sum >> 8 * i);
    um_free(chunk->data);
    chunk->data = packed;
    chunk->bytes = n + CHECKSUM_BYTES;
    packed = NULL;
done:
    um_free(packed);
    return rc;
}

/* Never longer than it will be in the end: making an array shorter would rewrite its last chunk. */
static um_status extend(um_h5_stream *s, hsize_t length)
{
    um_status rc = UM_OK;
    hsize_t end = s->bytes_in / s->item_bytes;
    length = s->finished && length > end ? end : length;
    if (!s->grows || length == s->extent)
        return UM_OK;
    UM_TRY_H5(s->file, "extend", s->name, H5Dset_extent(s->data, &length));
    s->extent = length;
done:
    return rc;
}

um_status um_h5_stream_write(um_h5_stream *s, const um_h5_chunk *chunk)
{
    um_status rc = UM_OK;
    hsize_t at[UM_H5_DIMS] = {(hsize_t)chunk->index * s->chunk_items};
    UM_TRY(extend(s, at[0] + s->chunk_items));
    UM_TRY_H5(s->file, "write", s->name, H5Dwrite_chunk(s->data, H5P_DEFAULT, 0, at, chunk->bytes, chunk->data));
    s->n_written++;
done:
    return rc;
}

um_status um_h5_stream_end(um_h5_stream *s)
{
    um_status rc = UM_OK;
    UM_REQUIRE(s->n_held == 0 && s->n_written == s->n_cut && (!s->grows || s->extent == s->bytes_in / s->item_bytes));
    UM_TRY_H5(s->file, "close", s->name, H5Dclose(s->data));
    s->data = -1;
done:
    return rc;
}

void um_h5_chunk_clear(um_h5_chunk *chunk)
{
    um_free(chunk->data);
    *chunk = (um_h5_chunk){0};
}

static um_status put_chunk(um_h5_stream *s, um_h5_chunk *chunk, um_deflate *deflate)
{
    um_status rc = UM_OK;
    if (!chunk->data)
        return UM_OK;
    UM_TRY(um_h5_chunk_pack(chunk, deflate));
    UM_TRY(um_h5_stream_write(s, chunk));
done:
    um_h5_chunk_clear(chunk);
    return rc;
}

um_status um_h5_stream_put(um_h5_stream *s, const void *data, size_t bytes, um_deflate *deflate)
{
    um_status rc = UM_OK;
    const uint8_t *p = data;
    for (size_t taken = 0; bytes > 0; p += taken, bytes -= taken) {
        um_h5_chunk chunk = {0};
        UM_TRY(um_h5_stream_cut(s, p, bytes, &taken, &chunk));
        UM_TRY(put_chunk(s, &chunk, deflate));
    }
done:
    return rc;
}

um_status um_h5_stream_put_rest(um_h5_stream *s, um_deflate *deflate)
{
    um_status rc = UM_OK;
    um_h5_chunk chunk = {0};
    UM_TRY(um_h5_stream_finish(s, &chunk));
    UM_TRY(put_chunk(s, &chunk, deflate));
done:
    return rc;
}
