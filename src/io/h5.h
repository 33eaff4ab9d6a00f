/* HDF5 files as umed writes and reads them (FORMAT.md). The only place that knows the HDF5 library; no handle of it leaves.
 *
 * Writing: um_h5_create opens PATH.part; datasets and attributes follow; um_h5_commit writes the root attribute complete=1 last,
 * flushes, closes, fsyncs and renames. A file that was not committed leaves nothing behind. Files hold no time stamps of their
 * own: equal content gives equal bytes.
 *
 * Reading: um_h5_open refuses what is not HDF5, is truncated, has no complete=1, is of another format or a newer major version.
 * Every read compares type, rank and shape with what the caller expects, and what the header claims with what the file stores,
 * before it allocates. Files in the layout of HDF5 1.8 and older and strings of variable length are refused: neither has checksums,
 * and HDF5 itself reads beyond its memory or hangs on damaged ones. Bad content is UM_E_DATA, a failing disk UM_E_IO; messages name
 * file and object and end in the library's innermost reason.
 *
 * Paths inside a file are absolute ("/state_dict/inc.weight"); parent groups are made on the way. Arrays are C order, little
 * endian on disk. One thread at a time. */
#ifndef UM_IO_H5_H
#define UM_IO_H5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sha256.h"
#include "base/status.h"
#include "base/text.h"

typedef struct um_h5 um_h5;

typedef enum um_h5_type {
    UM_H5_U8,
    UM_H5_U16,
    UM_H5_I8,
    UM_H5_I16,
    UM_H5_I32,
    UM_H5_I64,
    UM_H5_U64,
    UM_H5_F32,
    UM_H5_F64,
} um_h5_type;

enum { UM_H5_DIMS = 4 }; /* largest rank */

size_t um_h5_type_bytes(um_h5_type type);
const char *um_h5_type_name(um_h5_type type); /* "u8", "f32" */

/* Files ---------------------------------------------------------------------------------------------------------------- */

/* format: what the file is ("umed-dataset"); version: "major.minor", both kept as root attributes. out: owned by the caller. */
um_status um_h5_create(um_h5 **out, const char *path, const char *format, const char *version);
/* format: what it must be, NULL accepts any; version: the newest this reader knows. out: owned by the caller. */
um_status um_h5_open(um_h5 **out, const char *path, const char *format, const char *version);
/* Takes *f, and sets it to NULL whatever happens: on success the file stands under its name, on failure nothing is left. */
um_status um_h5_commit(um_h5 **f);
/* The first half of that, which needs HDF5: PATH.part is complete and closed. The second half is um_file_commit(PATH), in any thread; or
 * um_file_discard(PATH). */
um_status um_h5_end(um_h5 **f);
/* Closes a file opened for reading; abandons one that was created and not committed (its part is removed). Accepts NULL. */
void um_h5_free(um_h5 *f);

const char *um_h5_path(const um_h5 *f);   /* final name; borrowed */
const char *um_h5_format(const um_h5 *f); /* borrowed */

/* Attributes ("/" is the root) ------------------------------------------------------------------------------------------- */

um_status um_h5_set_text(um_h5 *f, const char *object, const char *name, const char *value); /* UTF-8 */
um_status um_h5_set_int(um_h5 *f, const char *object, const char *name, int64_t value);
um_status um_h5_set_real(um_h5 *f, const char *object, const char *name, double value);
/* Missing or of another type: UM_E_DATA. Text is appended to out; a real is also read from an integer. */
um_status um_h5_get_text(um_h5 *f, const char *object, const char *name, um_text *out);
um_status um_h5_get_int(um_h5 *f, const char *object, const char *name, int64_t *out);
um_status um_h5_get_real(um_h5 *f, const char *object, const char *name, double *out);
bool um_h5_has_attr(um_h5 *f, const char *object, const char *name);

/* Groups ----------------------------------------------------------------------------------------------------------------- */

um_status um_h5_make_group(um_h5 *f, const char *path); /* with parents; no error when it exists */
bool um_h5_exists(um_h5 *f, const char *path);
/* Names of an object's attributes, in the file's order; owned by the caller, free with um_names_free. */
um_status um_h5_list_attrs(um_h5 *f, const char *object, char ***out, size_t *n);
/* Names in a group, sorted bytewise; owned by the caller, free with um_names_free (base/file.h). */
um_status um_h5_list(um_h5 *f, const char *group, char ***out, size_t *n);

/* Arrays ----------------------------------------------------------------------------------------------------------------- */

typedef struct um_h5_array {
    const char *name;
    um_h5_type type;
    int ndim; /* 0 (a scalar) to 4 */
    int64_t shape[UM_H5_DIMS];
    int deflate;             /* 0 none, 1 fastest */
    const char *description; /* what it is */
    const char *axes;        /* "sample,y,x,channel"; "" for a scalar */
    const char *unit;        /* "" when none */
    const char *definition;  /* formula or source of a derived value; may be NULL */
} um_h5_array;

/* Creates without content: chunks of whole first-axis items, about 2 MiB, each with a fletcher32 checksum. A 1-D array of length -1 is empty
 * and may grow (io/h5_stream.h). */
um_status um_h5_make_array(um_h5 *f, const um_h5_array *a);
/* Items that share a chunk: streams are fastest in multiples of it. */
int64_t um_h5_chunk_items(const um_h5_array *a);
/* Creates and writes all of it. */
um_status um_h5_write_array(um_h5 *f, const um_h5_array *a, const void *data);
/* Writes or reads the items [first, first + n) of the first axis; data: n whole items of `type`. */
um_status um_h5_write_rows(um_h5 *f, const char *name, um_h5_type type, int64_t first, int64_t n, const void *data);
um_status um_h5_read_rows(um_h5 *f, const char *name, um_h5_type type, int64_t first, int64_t n, void *data);

/* An array that is read piece by piece: stays open with a few chunks in memory, so that a chunk is unpacked once although several pieces
 * lie in it. f: borrowed. out: owned by the caller, closed before the file. */
typedef struct um_h5_rows um_h5_rows;
um_status um_h5_rows_open(um_h5_rows **out, um_h5 *f, const char *name, um_h5_type type);
um_status um_h5_rows_read(um_h5_rows *r, int64_t first, int64_t n, void *data); /* as um_h5_read_rows */
void um_h5_rows_close(um_h5_rows *r);                                           /* accepts NULL */

/* Compares with what is expected: type, rank, and shape (want[i] = -1 accepts any), and that the file stores as much as the
 * header claims. shape: receives ndim sizes; may be NULL. */
um_status um_h5_expect(um_h5 *f, const char *name, um_h5_type type, int ndim, const int64_t *want, int64_t *shape);
/* um_h5_expect, then reads all into a fresh block owned by the caller (um_free). */
um_status um_h5_read_array(um_h5 *f, const char *name, um_h5_type type, int ndim, const int64_t *want, void **out, int64_t *shape);
/* um_h5_expect with the whole shape known, then reads into data. */
um_status um_h5_read_into(um_h5 *f, const char *name, um_h5_type type, int ndim, const int64_t *shape, void *data);
/* What a stored array is; UM_E_DATA when it is no numeric array of ours. */
um_status um_h5_inspect(um_h5 *f, const char *name, um_h5_type *type, int *ndim, int64_t shape[UM_H5_DIMS]);

/* Strings ---------------------------------------------------------------------------------------------------------------- */

/* n UTF-8 strings as one array of fixed length (the longest), zero padded, chunked and checksummed. Ours never contain a NUL. */
um_status um_h5_write_strings(um_h5 *f, const char *name, const char *const *strings, int64_t n, const char *description,
                              const char *axes);
/* Fixed or variable length. n_want: -1 accepts any. out: owned by the caller, free with um_names_free. */
um_status um_h5_read_strings(um_h5 *f, const char *name, int64_t n_want, char ***out, int64_t *n);
/* One text of any length (settings, logs): an array of one string. Reading appends to out. */
um_status um_h5_write_text(um_h5 *f, const char *name, const char *text, const char *description);
um_status um_h5_read_text(um_h5 *f, const char *name, um_text *out);

/* Checking ---------------------------------------------------------------------------------------------------------------- */

/* Reads every attribute and, in pieces, every dataset of the file, so that every checksum is looked at. UM_E_DATA names the first bad
 * object. */
um_status um_h5_verify(um_h5 *f);

/* Adds to `sum` what a dataset holds without reading it: the checksum of every chunk as it is stored, in order. Where the file keeps none,
 * the content. Equal for copies of a file; not for the same content packed in another way. Errors: UM_E_DATA. */
um_status um_h5_sum(um_h5 *f, const char *name, um_sha256 *sum);

#endif
