/* Arrays of an HDF5 file that grow from front to back, compressed outside of the HDF5 library so that other threads can do it: bytes
 * are cut into chunks, a chunk is packed (deflate, then fletcher32, as the filters of the array say), and written as it is. What
 * comes out is an ordinary array; every HDF5 reader opens it.
 *
 *     um_h5_stream_open      creates the array                                      HDF5: one thread at a time, as all of io/h5.h
 *     um_h5_stream_cut       moves bytes into chunks; each full one is handed out   any thread, one at a time
 *     um_h5_stream_finish    hands out the last chunk, padded with zeros            likewise
 *     um_h5_chunk_pack       compresses                                             any thread, with a um_deflate of its own
 *     um_h5_stream_write     writes a packed chunk                                  HDF5
 *     um_h5_stream_end       checks that all was written; grown arrays get their length  HDF5 */
#ifndef UM_IO_H5_STREAM_H
#define UM_IO_H5_STREAM_H

#include "io/deflate.h"
#include "io/h5.h"

typedef struct um_h5_stream um_h5_stream;

typedef struct um_h5_chunk {
    um_h5_stream *stream; /* borrowed */
    int64_t index;
    void *data;           /* owned; raw, then packed */
    size_t bytes;
} um_h5_chunk; /* release with um_h5_chunk_clear */

/* a->deflate must be 1 or more. a->shape[0] < 0: grows (1-D only). f: borrowed for the life of the stream. out: owned by the caller. */
um_status um_h5_stream_open(um_h5_stream **out, um_h5 *f, const um_h5_array *a);
void um_h5_stream_free(um_h5_stream *s); /* accepts NULL */

/* Takes bytes until the chunk is full or none are left: *taken. chunk->data is NULL unless one became full. */
um_status um_h5_stream_cut(um_h5_stream *s, const void *data, size_t bytes, size_t *taken, um_h5_chunk *chunk);
um_status um_h5_stream_finish(um_h5_stream *s, um_h5_chunk *chunk); /* chunk->data NULL: nothing was left */
um_status um_h5_chunk_pack(um_h5_chunk *chunk, um_deflate *deflate);
um_status um_h5_stream_write(um_h5_stream *s, const um_h5_chunk *chunk);
um_status um_h5_stream_end(um_h5_stream *s);
void um_h5_chunk_clear(um_h5_chunk *chunk);

/* All of the above at once, for who has one thread: bytes at the end of the array, and what is left in the end. */
um_status um_h5_stream_put(um_h5_stream *s, const void *data, size_t bytes, um_deflate *deflate);
um_status um_h5_stream_put_rest(um_h5_stream *s, um_deflate *deflate);

/* The checksum of HDF5's fletcher32 filter. */
uint32_t um_h5_fletcher32(const void *data, size_t bytes);

#endif
