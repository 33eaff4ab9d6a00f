#include "io/h5_internal.h"

#include "base/file.h"
#include "base/mem.h"

enum { PIECE_BYTES = 4 << 20, MAX_DEPTH = 16 };

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

static um_status read_pieces(um_h5 *f, const char *name, hid_t data, hid_t type, int ndim, const hsize_t *shape)
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
    bool variable = H5Tdetect_class(type, H5T_VLEN) > 0 || H5Tis_variable_str(type) > 0;
    UM_TRY(um_alloc(&block, n * (size_t)items, H5Tget_size(type)));
    UM_TRY_H5(f, "read", name, on_disk = H5Dget_space(data));
    for (hsize_t at = 0; at < shape[0] && n > 0; at += items) {
        start[0] = at;
        count[0] = items < shape[0] - at ? items : shape[0] - at;
        if (ndim)
            UM_TRY_H5(f, "read", name, H5Sselect_hyperslab(on_disk, H5S_SELECT_SET, start, NULL, count, NULL));
        UM_TRY_H5(f, "read", name, in_memory = ndim ? H5Screate_simple(ndim, count, NULL) : H5Screate(H5S_SCALAR));
        UM_TRY_H5(f, "read", name, H5Dread(data, type, in_memory, on_disk, H5P_DEFAULT, block));
        if (variable)
            H5Dvlen_reclaim(type, in_memory, H5P_DEFAULT, block);
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
    UM_TRY(read_pieces(f, name, data, type, ndim, shape));
done:
    um_h5_drop(type);
    um_h5_drop(data);
    return rc;
}

static um_status verify_group(um_h5 *f, const char *group, int depth);

static um_status verify_object(um_h5 *f, const char *name, int depth)
{
    um_status rc = UM_OK;
    hid_t object = -1;
    UM_TRY_H5(f, "open", name, object = H5Oopen(f->file, name, H5P_DEFAULT));
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
    return verify_group(f, "/", 0);
}
