#include "io/h5_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

enum { PIECE_BYTES = 4 << 20, MAX_DEPTH = 16, MAX_ATTR_BYTES = 1 << 20, CHECKSUM_BYTES = 4 };

/* Items of the first axis that fit a piece: whole chunks where there are any. */
static hsize_t piece_items(hid_t data, int ndim, const hsize_t *shape, size_t element)
{
    hsize_t bytes = element, chunk[UM_H5_DIMS] = {1};
    for (int i = 1; i < ndim; i++)
        bytes *= shape[i];
    hid_t list = H5Dget_create_plist(data);
    if (list >= 0 && H5Pget_layout(list) == H5D_CHUNKED)
        H5Pget_chunk(list, UM_H5_DIMS, chunk);
    um_h5_drop(list);
    hsize_t items = bytes ? PIECE_BYTES / bytes : shape[0];
    items -= items % chunk[0];
    return items > chunk[0] ? items : chunk[0];
}

/* sum: receives the content; may be NULL. */
static um_status read_pieces(um_h5 *f, const char *name, hid_t data, hid_t type, int ndim, const hsize_t *shape, um_sha256 *sum)
{
    um_status rc = UM_OK;
    hsize_t start[UM_H5_DIMS] = {0}, count[UM_H5_DIMS] = {1}, items = ndim ? piece_items(data, ndim, shape, H5Tget_size(type)) : 1;
    hid_t on_disk = -1, in_memory = -1;
    void *block = NULL;
    size_t n = 1;
    for (int i = 1; i < ndim; i++)
        n *= count[i] = shape[i];
    if (items > shape[0])
        items = shape[0];
    UM_TRY(um_alloc(&block, n * (size_t)items, H5Tget_size(type)));
    UM_TRY_H5(f, "read", name, on_disk = H5Dget_space(data));
    for (hsize_t at = 0; at < shape[0] && n > 0; at += items) {
        start[0] = at;
        count[0] = items < shape[0] - at ? items : shape[0] - at;
        if (ndim)
            UM_TRY_H5(f, "read", name, H5Sselect_hyperslab(on_disk, H5S_SELECT_SET, start, NULL, count, NULL));
        UM_TRY_H5(f, "read", name, in_memory = ndim ? H5Screate_simple(ndim, count, NULL) : H5Screate(H5S_SCALAR));
        UM_TRY_H5(f, "read", name, H5Dread(data, type, in_memory, on_disk, H5P_DEFAULT, block));
        if (sum)
            um_sha256_add(sum, block, n * (size_t)(ndim ? count[0] : 1) * H5Tget_size(type));
        um_h5_drop(in_memory);
        in_memory = -1;
    }
done:
    um_h5_drop(in_memory);
    um_h5_drop(on_disk);
    um_free(block);
    return rc;
}

static um_status verify_dataset(um_h5 *f, const char *name)
{
    um_status rc = UM_OK;
    hsize_t shape[UM_H5_DIMS];
    int ndim;
    hid_t data = -1, type = -1;
    UM_TRY(um_h5_open_dataset(f, name, &data, &ndim, shape));
    UM_TRY_H5(f, "open", name, type = H5Dget_type(data));
    UM_TRY(read_pieces(f, name, data, type, ndim, shape, NULL));
done:
    um_h5_drop(type);
    um_h5_drop(data);
    return rc;
}

typedef struct attr_walk {
    um_h5 *f;
    const char *object;
    um_status rc;
} attr_walk;

static um_status read_attribute(um_h5 *f, const char *object, const char *name, hid_t attr, hid_t type, hid_t space)
{
    um_status rc = UM_OK;
    void *value = NULL;
    hssize_t n = H5Sget_simple_extent_npoints(space);
    size_t size = H5Tget_size(type);
    if (n < 0 || size == 0 || (uint64_t)n > MAX_ATTR_BYTES / size) {
        rc = um_fail(UM_E_DATA, "%s: attribute '%s' of %s claims %lld values of %zu bytes", f->path, name, object, (long long)n,
                     size);
        goto done;
    }
    UM_TRY(um_alloc(&value, (size_t)n, size));
    UM_TRY_H5(f, "read attribute", name, H5Aread(attr, type, value));
done:
    um_free(value);
    return rc;
}

static herr_t on_attribute(hid_t owner, const char *name, const H5A_info_t *info, void *payload)
{
    attr_walk *w = payload;
    um_status rc = UM_OK;
    hid_t attr = -1, type = -1, space = -1;
    (void)info;
    UM_TRY_H5(w->f, "open attribute", name, attr = H5Aopen(owner, name, H5P_DEFAULT));
    UM_TRY_H5(w->f, "open attribute", name, type = H5Aget_type(attr));
    UM_TRY_H5(w->f, "open attribute", name, space = H5Aget_space(attr));
    UM_TRY(um_h5_fixed_length(w->f, name, type));
    UM_TRY(read_attribute(w->f, w->object, name, attr, type, space));
done:
    um_h5_drop(space);
    um_h5_drop(type);
    um_h5_drop(attr);
    w->rc = rc;
    return rc == UM_OK ? 0 : -1;
}

static um_status verify_attributes(um_h5 *f, const char *name, hid_t object)
{
    um_status rc = UM_OK;
    attr_walk w = {.f = f, .object = name};
    hsize_t at = 0;
    herr_t walked = H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, &at, on_attribute, &w);
    UM_TRY(w.rc);
    UM_TRY_H5(f, "list the attributes of", name, walked);
done:
    return rc;
}

static um_status verify_group(um_h5 *f, const char *group, int depth);

/* Loads what reading alone never looks at: the books that HDF5 keeps of an object's own room. */
static um_status verify_room(um_h5 *f, const char *name, hid_t object)
{
    um_status rc = UM_OK;
#if H5_VERSION_GE(1, 12, 0)
    H5O_native_info_t info;
    UM_TRY_H5(f, "look into", name, H5Oget_native_info(object, &info, H5O_NATIVE_INFO_ALL));
#else
    H5O_info_t info;
    UM_TRY_H5(f, "look into", name, H5Oget_info(object, &info));
#endif
done:
    return rc;
}

static um_status verify_object(um_h5 *f, const char *name, int depth)
{
    um_status rc = UM_OK;
    hid_t object = -1;
    UM_TRY_H5(f, "open", name, object = H5Oopen(f->file, name, H5P_DEFAULT));
    UM_TRY(verify_attributes(f, name, object));
    UM_TRY(verify_room(f, name, object));
    H5I_type_t kind = H5Iget_type(object);
    if (kind == H5I_GROUP)
        UM_TRY(verify_group(f, name, depth + 1));
    else if (kind == H5I_DATASET)
        UM_TRY(verify_dataset(f, name));
done:
    um_h5_drop(object);
    return rc;
}

static um_status verify_group(um_h5 *f, const char *group, int depth)
{
    um_status rc = UM_OK;
    char **names = NULL;
    size_t n = 0;
    um_text path = {0};
    if (depth > MAX_DEPTH) {
        rc = um_fail(UM_E_DATA, "%s: groups nest deeper than %d at %s", f->path, MAX_DEPTH, group);
        goto done;
    }
    UM_TRY(um_h5_list(f, group, &names, &n));
    for (size_t i = 0; i < n; i++) {
        um_text_free(&path);
        path = (um_text){0};
        UM_TRY(um_text_add(&path, "%s/%s", group[1] ? group : "", names[i]));
        UM_TRY(verify_object(f, um_text_get(&path), depth));
    }
done:
    um_text_free(&path);
    if (names)
        um_names_free(names, n);
    return rc;
}

um_status um_h5_verify(um_h5 *f)
{
    return verify_object(f, "/", -1);
}

/* ---- the checksums that stand in the file ---- */

static bool ends_in_checksum(hid_t list)
{
    unsigned flags, config;
    size_t n_values = 0;
    int n = H5Pget_layout(list) == H5D_CHUNKED ? H5Pget_nfilters(list) : 0;
    return n > 0 && H5Pget_filter2(list, (unsigned)n - 1, &flags, &n_values, NULL, 0, NULL, &config) == H5Z_FILTER_FLETCHER32;
}

static um_status sum_chunk(um_h5 *f, const char *name, hid_t data, int fd, const hsize_t *at, um_sha256 *sum)
{
    um_status rc = UM_OK;
    haddr_t where = HADDR_UNDEF;
    hsize_t bytes = 0;
    unsigned skipped = 0;
    uint8_t mark[CHECKSUM_BYTES] = {0};
    char line[64];
    UM_TRY_H5(f, "find a chunk of", name, H5Dget_chunk_info_by_coord(data, at, &skipped, &where, &bytes));
    if (where != HADDR_UNDEF && (bytes < CHECKSUM_BYTES || pread(fd, mark, sizeof mark, (off_t)(where + bytes - sizeof mark)) != sizeof mark)) {
        rc = um_fail(UM_E_DATA, "%s: a chunk of %s is said to have %llu bytes at %llu, which are not there", f->path, name,
                     (unsigned long long)bytes, (unsigned long long)where);
        goto done;
    }
    int n = snprintf(line, sizeof line, "%u %llu %02x%02x%02x%02x\n", skipped, (unsigned long long)bytes, mark[0], mark[1], mark[2], mark[3]);
    um_sha256_add(sum, line, (size_t)n);
done:
    return rc;
}

static um_status sum_chunks(um_h5 *f, const char *name, hid_t data, hid_t list, int ndim, const hsize_t *shape, um_sha256 *sum)
{
    um_status rc = UM_OK;
    hsize_t chunk[UM_H5_DIMS], at[UM_H5_DIMS] = {0};
    int axis, fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        rc = um_fail(UM_E_IO, "%s: cannot open: %s", f->path, strerror(errno));
        goto done;
    }
    UM_TRY_H5(f, "open", name, H5Pget_chunk(list, UM_H5_DIMS, chunk));
    do {
        UM_TRY(sum_chunk(f, name, data, fd, at, sum));
        for (axis = ndim - 1; axis >= 0 && (at[axis] += chunk[axis]) >= shape[axis]; axis--)
            at[axis] = 0;
    } while (axis >= 0);
done:
    if (fd >= 0)
        close(fd);
    return rc;
}

um_status um_h5_sum(um_h5 *f, const char *name, um_sha256 *sum)
{
    um_status rc = UM_OK;
    hsize_t shape[UM_H5_DIMS];
    hid_t data = -1, type = -1, list = -1;
    int ndim;
    bool empty = false;
    UM_TRY(um_h5_open_dataset(f, name, &data, &ndim, shape));
    UM_TRY_H5(f, "open", name, type = H5Dget_type(data));
    UM_TRY_H5(f, "open", name, list = H5Dget_create_plist(data));
    for (int i = 0; i < ndim; i++)
        empty = empty || shape[i] == 0;
    if (!empty && ends_in_checksum(list))
        UM_TRY(sum_chunks(f, name, data, list, ndim, shape, sum));
    else if (!empty)
        UM_TRY(read_pieces(f, name, data, type, ndim, shape, sum));
done:
    um_h5_drop(list);
    um_h5_drop(type);
    um_h5_drop(data);
    return rc;
}
