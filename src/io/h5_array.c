#include "io/h5_internal.h"

#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

enum { CHUNK_BYTES = 2 << 20, MAX_DEFLATE_RATIO = 1032 };

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    [UM_H5_U8] = {"u8", 1},   [UM_H5_U16] = {"u16", 2}, [UM_H5_I8] = {"i8", 1},
    [UM_H5_I16] = {"i16", 2}, [UM_H5_I32] = {"i32", 4}, [UM_H5_I64] = {"i64", 8},
    [UM_H5_U64] = {"u64", 8}, [UM_H5_F32] = {"f32", 4}, [UM_H5_F64] = {"f64", 8},
};

size_t um_h5_type_bytes(um_h5_type type)
{
    return types[type].bytes;
}

const char *um_h5_type_name(um_h5_type type)
{
    return types[type].name;
}

static hid_t memory_type(um_h5_type type)
{
    switch (type) {
    case UM_H5_U8: return H5T_NATIVE_UINT8;
    case UM_H5_U16: return H5T_NATIVE_UINT16;
    case UM_H5_I8: return H5T_NATIVE_INT8;
    case UM_H5_I16: return H5T_NATIVE_INT16;
    case UM_H5_I32: return H5T_NATIVE_INT32;
    case UM_H5_I64: return H5T_NATIVE_INT64;
    case UM_H5_U64: return H5T_NATIVE_UINT64;
    case UM_H5_F32: return H5T_NATIVE_FLOAT;
    case UM_H5_F64: return H5T_NATIVE_DOUBLE;
    }
    return -1;
}

static hid_t disk_type(um_h5_type type)
{
    switch (type) {
    case UM_H5_U8: return H5T_STD_U8LE;
    case UM_H5_U16: return H5T_STD_U16LE;
    case UM_H5_I8: return H5T_STD_I8LE;
    case UM_H5_I16: return H5T_STD_I16LE;
    case UM_H5_I32: return H5T_STD_I32LE;
    case UM_H5_I64: return H5T_STD_I64LE;
    case UM_H5_U64: return H5T_STD_U64LE;
    case UM_H5_F32: return H5T_IEEE_F32LE;
    case UM_H5_F64: return H5T_IEEE_F64LE;
    }
    return -1;
}

static bool type_of(hid_t type, um_h5_type *out)
{
    for (size_t i = 0; i < UM_COUNT(types); i++) {
        hid_t ours = disk_type((um_h5_type)i);
        H5T_class_t class = H5Tget_class(ours);
        if (H5Tget_class(type) != class || H5Tget_size(type) != types[i].bytes)
            continue;
        if (class == H5T_INTEGER && H5Tget_sign(type) != H5Tget_sign(ours))
            continue;
        *out = (um_h5_type)i;
        return true;
    }
    return false;
}

/* Items of the first axis in one chunk: as many chunks as CHUNK_BYTES ask for, of equal length but for what division leaves, since the
 * last one is stored whole. */
static hsize_t chunk_items(int ndim, const hsize_t *shape, size_t element)
{
    hsize_t bytes = element;
    for (int i = 1; i < ndim; i++)
        bytes *= shape[i];
    hsize_t items = bytes ? CHUNK_BYTES / bytes : 1;
    items = items ? items : 1;
    hsize_t chunks = (shape[0] + items - 1) / items;
    return chunks ? (shape[0] + chunks - 1) / chunks : 1;
}

int64_t um_h5_chunk_items(const um_h5_array *a)
{
    hsize_t shape[UM_H5_DIMS] = {1};
    for (int i = 0; i < a->ndim; i++)
        shape[i] = (hsize_t)a->shape[i];
    return (int64_t)chunk_items(a->ndim, shape, types[a->type].bytes);
}

um_status um_h5_layout(um_h5 *f, const char *name, int ndim, const hsize_t *shape, size_t element, int deflate, hid_t *out)
{
    um_status rc = UM_OK;
    hsize_t chunk[UM_H5_DIMS], total = 1;
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    for (int i = 0; i < ndim; i++)
        total *= chunk[i] = shape[i];
    UM_TRY_H5(f, "prepare", name, H5Pset_obj_track_times(list, false));
    if (ndim == 0)
        UM_TRY_H5(f, "prepare", name, H5Pset_layout(list, H5D_COMPACT));
    if (ndim > 0 && total > 0) {
        chunk[0] = chunk_items(ndim, shape, element);
        UM_TRY_H5(f, "prepare", name, H5Pset_chunk(list, ndim, chunk));
        if (deflate)
            UM_TRY_H5(f, "prepare", name, H5Pset_deflate(list, (unsigned)deflate));
        UM_TRY_H5(f, "prepare", name, H5Pset_fletcher32(list));
    }
    *out = list;
    list = -1;
done:
    um_h5_drop(list);
    return rc;
}

um_status um_h5_describe(um_h5 *f, const char *name, const char *description, const char *axes, const char *unit,
                         const char *definition)
{
    um_status rc = UM_OK;
    UM_TRY(um_h5_set_text(f, name, "description", description));
    UM_TRY(um_h5_set_text(f, name, "axes", axes));
    UM_TRY(um_h5_set_text(f, name, "unit", unit));
    if (definition)
        UM_TRY(um_h5_set_text(f, name, "definition", definition));
done:
    return rc;
}

um_status um_h5_make_array(um_h5 *f, const um_h5_array *a)
{
    um_status rc = UM_OK;
    hsize_t shape[UM_H5_DIMS] = {1}, most = H5S_UNLIMITED;
    hid_t space = -1, list = -1, data = -1;
    bool grows = a->ndim == 1 && a->shape[0] < 0;
    UM_REQUIRE(f->writing && a->ndim >= 0 && a->ndim <= UM_H5_DIMS);
    for (int i = 0; i < a->ndim; i++)
        shape[i] = (hsize_t)(grows ? CHUNK_BYTES : a->shape[i]);
    UM_TRY(um_h5_make_parents(f, a->name));
    UM_TRY(um_h5_layout(f, a->name, a->ndim, shape, types[a->type].bytes, a->deflate, &list));
    shape[0] = grows ? 0 : shape[0];
    UM_TRY_H5(f, "create", a->name, space = a->ndim ? H5Screate_simple(a->ndim, shape, grows ? &most : NULL) : H5Screate(H5S_SCALAR));
    UM_TRY_H5(f, "create", a->name, data = H5Dcreate2(f->file, a->name, disk_type(a->type), space, H5P_DEFAULT, list, H5P_DEFAULT));
    UM_TRY(um_h5_describe(f, a->name, a->description, a->axes, a->unit, a->definition));
done:
    um_h5_drop(data);
    um_h5_drop(list);
    um_h5_drop(space);
    return rc;
}

/* 1 when the file stores every byte in the open (no compression). */
static bool is_plain(hid_t list)
{
    int n = H5Pget_nfilters(list);
    for (int i = 0; i < n; i++) {
        unsigned flags, config;
        size_t n_values = 0;
        if (H5Pget_filter2(list, (unsigned)i, &flags, &n_values, NULL, 0, NULL, &config) != H5Z_FILTER_FLETCHER32)
            return false;
    }
    return true;
}

static um_status check_storage(um_h5 *f, const char *name, hid_t data, hid_t type, int ndim, const hsize_t *shape)
{
    um_status rc = UM_OK;
    struct stat info;
    uint64_t claimed = H5Tget_size(type);
    bool overflow = false;
    hid_t list = -1;
    for (int i = 0; i < ndim; i++)
        overflow |= __builtin_mul_overflow(claimed, shape[i], &claimed);
    UM_TRY_H5(f, "open", name, list = H5Dget_create_plist(data));
    H5D_layout_t layout = H5Pget_layout(list);
    uint64_t stored = H5Dget_storage_size(data), ratio = is_plain(list) ? 1 : MAX_DEFLATE_RATIO;
    if (layout == H5D_VIRTUAL || (layout == H5D_CONTIGUOUS && H5Pget_external_count(list) > 0))
        rc = um_fail(UM_E_DATA, "%s: %s keeps its data in another file; copy it into one file (h5repack)", f->path, name);
    else if (overflow || (claimed > 0 && stored < claimed / ratio))
        rc = um_fail(UM_E_DATA, "%s: %s claims %llu items of its first axis but stores only %llu bytes", f->path, name,
                     (unsigned long long)shape[0], (unsigned long long)stored);
    else if (!f->writing && stat(f->path, &info) == 0 && stored > (uint64_t)info.st_size)
        rc = um_fail(UM_E_DATA, "%s: %s claims %llu stored bytes, the file has %lld", f->path, name, (unsigned long long)stored,
                     (long long)info.st_size);
done:
    um_h5_drop(list);
    return rc;
}

um_status um_h5_open_dataset(um_h5 *f, const char *name, hid_t *out, int *ndim_out, hsize_t *shape)
{
    um_status rc = UM_OK;
    hid_t data = -1, space = -1, type = -1;
    if (!um_h5_exists(f, name)) {
        rc = um_fail(UM_E_DATA, "%s: no %s in it", f->path, name);
        goto done;
    }
    UM_TRY_H5(f, "open", name, data = H5Dopen2(f->file, name, H5P_DEFAULT));
    UM_TRY_H5(f, "open", name, space = H5Dget_space(data));
    UM_TRY_H5(f, "open", name, type = H5Dget_type(data));
    UM_TRY(um_h5_fixed_length(f, name, type));
    int ndim = H5Sget_simple_extent_ndims(space);
    if (ndim < 0 || ndim > UM_H5_DIMS || H5Sget_simple_extent_type(space) == H5S_NULL) {
        rc = um_fail(UM_E_DATA, "%s: %s has %d dimensions, at most %d are known", f->path, name, ndim, UM_H5_DIMS);
        goto done;
    }
    shape[0] = 1;
    UM_TRY_H5(f, "open", name, H5Sget_simple_extent_dims(space, shape, NULL));
    UM_TRY(check_storage(f, name, data, type, ndim, shape));
    *ndim_out = ndim;
    *out = data;
    data = -1;
done:
    um_h5_drop(type);
    um_h5_drop(space);
    um_h5_drop(data);
    return rc;
}

static um_status numeric_type(um_h5 *f, const char *name, hid_t data, um_h5_type *out)
{
    um_status rc = UM_OK;
    hid_t type = -1;
    UM_TRY_H5(f, "open", name, type = H5Dget_type(data));
    if (!type_of(type, out))
        rc = um_fail(UM_E_DATA, "%s: %s is not an array of integers or reals", f->path, name);
done:
    um_h5_drop(type);
    return rc;
}

um_status um_h5_inspect(um_h5 *f, const char *name, um_h5_type *type, int *ndim, int64_t shape[UM_H5_DIMS])
{
    um_status rc = UM_OK;
    hsize_t dims[UM_H5_DIMS];
    hid_t data = -1;
    int rank;
    UM_TRY(um_h5_open_dataset(f, name, &data, &rank, dims));
    UM_TRY(numeric_type(f, name, data, type));
    *ndim = rank;
    for (int i = 0; i < rank; i++)
        shape[i] = (int64_t)dims[i];
done:
    um_h5_drop(data);
    return rc;
}

static um_status check_type(um_h5 *f, const char *name, um_h5_type type)
{
    um_status rc = UM_OK;
    um_h5_type has;
    int ndim;
    int64_t shape[UM_H5_DIMS];
    UM_TRY(um_h5_inspect(f, name, &has, &ndim, shape));
    UM_REQUIRE(has == type);
done:
    return rc;
}

static void shape_text(char out[96], int ndim, const int64_t *shape)
{
    size_t at = (size_t)snprintf(out, 96, "[");
    for (int i = 0; i < ndim && at < 96; i++) {
        char size[24] = "any";
        if (shape[i] >= 0)
            snprintf(size, sizeof size, "%lld", (long long)shape[i]);
        at += (size_t)snprintf(out + at, 96 - at, "%s%s", i ? "," : "", size);
    }
    if (at < 96)
        snprintf(out + at, 96 - at, "]");
}

um_status um_h5_expect(um_h5 *f, const char *name, um_h5_type type, int ndim, const int64_t *want, int64_t *shape)
{
    um_status rc = UM_OK;
    um_h5_type has;
    int rank;
    int64_t dims[UM_H5_DIMS];
    char text[96], want_text[96];
    UM_TRY(um_h5_inspect(f, name, &has, &rank, dims));
    if (has != type) {
        rc = um_fail(UM_E_DATA, "%s: %s holds %s, expected %s", f->path, name, types[has].name, types[type].name);
        goto done;
    }
    bool same = rank == ndim;
    for (int i = 0; same && i < ndim; i++)
        same = want[i] < 0 || want[i] == dims[i];
    if (!same) {
        shape_text(text, rank, dims);
        shape_text(want_text, ndim, want);
        rc = um_fail(UM_E_DATA, "%s: %s has shape %s, expected %s", f->path, name, text, want_text);
        goto done;
    }
    if (shape)
        memcpy(shape, dims, (size_t)ndim * sizeof *shape);
done:
    return rc;
}

/* Selects items [first, first + n) of an open dataset; scalars are selected whole. spaces: the caller drops both. */
static um_status select_rows(um_h5 *f, const char *name, hid_t data, int64_t first, int64_t n, hid_t *on_disk, hid_t *in_memory)
{
    um_status rc = UM_OK;
    hsize_t shape[UM_H5_DIMS] = {1}, start[UM_H5_DIMS] = {0};
    UM_TRY_H5(f, "select", name, *on_disk = H5Dget_space(data));
    int ndim = H5Sget_simple_extent_dims(*on_disk, shape, NULL);
    if (ndim < 0 || first < 0 || n < 0 || (hsize_t)first > shape[0] || (hsize_t)n > shape[0] - (hsize_t)first) {
        rc = um_fail(UM_E_BUG, "%s: items %lld to %lld of %s are outside of its %llu", f->path, (long long)first,
                     (long long)(first + n), name, (unsigned long long)shape[0]);
        goto done;
    }
    if (ndim > 0) {
        start[0] = (hsize_t)first;
        shape[0] = (hsize_t)n;
        UM_TRY_H5(f, "select", name, H5Sselect_hyperslab(*on_disk, H5S_SELECT_SET, start, NULL, shape, NULL));
    }
    UM_TRY_H5(f, "select", name, *in_memory = ndim ? H5Screate_simple(ndim, shape, NULL) : H5Screate(H5S_SCALAR));
done:
    return rc;
}

um_status um_h5_write_rows(um_h5 *f, const char *name, um_h5_type type, int64_t first, int64_t n, const void *data)
{
    um_status rc = UM_OK;
    um_h5_type has;
    hid_t id = -1, on_disk = -1, in_memory = -1;
    UM_TRY_H5(f, "open", name, id = H5Dopen2(f->file, name, H5P_DEFAULT));
    UM_TRY(numeric_type(f, name, id, &has));
    UM_REQUIRE(has == type);
    UM_TRY(select_rows(f, name, id, first, n, &on_disk, &in_memory));
    if (n > 0)
        UM_TRY_H5(f, "write", name, H5Dwrite(id, memory_type(type), in_memory, on_disk, H5P_DEFAULT, data));
    UM_TRY_H5(f, "write", name, H5Dclose(id));
    id = -1;
done:
    um_h5_drop(in_memory);
    um_h5_drop(on_disk);
    um_h5_drop(id);
    return rc;
}

static um_status read_selected(um_h5 *f, const char *name, hid_t id, um_h5_type type, int64_t first, int64_t n, void *data)
{
    um_status rc = UM_OK;
    hid_t on_disk = -1, in_memory = -1;
    UM_TRY(select_rows(f, name, id, first, n, &on_disk, &in_memory));
    if (n > 0)
        UM_TRY_H5(f, "read", name, H5Dread(id, memory_type(type), in_memory, on_disk, H5P_DEFAULT, data));
done:
    um_h5_drop(in_memory);
    um_h5_drop(on_disk);
    return rc;
}

um_status um_h5_read_rows(um_h5 *f, const char *name, um_h5_type type, int64_t first, int64_t n, void *data)
{
    um_status rc = UM_OK;
    um_h5_type has;
    hsize_t shape[UM_H5_DIMS];
    int ndim;
    hid_t id = -1;
    UM_TRY(um_h5_open_dataset(f, name, &id, &ndim, shape));
    UM_TRY(numeric_type(f, name, id, &has));
    UM_REQUIRE(has == type);
    UM_TRY(read_selected(f, name, id, type, first, n, data));
done:
    um_h5_drop(id);
    return rc;
}

struct um_h5_rows {
    um_h5 *file; /* borrowed */
    char *name;
    hid_t data;
    um_h5_type type;
};

um_status um_h5_rows_open(um_h5_rows **out, um_h5 *f, const char *name, um_h5_type type)
{
    enum { CACHE_SLOTS = 101 };
    um_status rc = UM_OK;
    um_h5_rows *r = NULL;
    hid_t access = -1;
    UM_TRY(check_type(f, name, type));
    UM_TRY(UM_NEW(r));
    r->file = f;
    r->type = type;
    r->data = -1;
    UM_TRY(um_strdup(&r->name, name));
    access = H5Pcreate(H5P_DATASET_ACCESS);
    UM_TRY_H5(f, "open", name, H5Pset_chunk_cache(access, CACHE_SLOTS, 4 * (size_t)CHUNK_BYTES, 1));
    UM_TRY_H5(f, "open", name, r->data = H5Dopen2(f->file, name, access));
    *out = r;
    r = NULL;
done:
    um_h5_drop(access);
    um_h5_rows_close(r);
    return rc;
}

um_status um_h5_rows_read(um_h5_rows *r, int64_t first, int64_t n, void *data)
{
    return read_selected(r->file, r->name, r->data, r->type, first, n, data);
}

void um_h5_rows_close(um_h5_rows *r)
{
    if (!r)
        return;
    um_h5_drop(r->data);
    um_free(r->name);
    um_free(r);
}

um_status um_h5_write_array(um_h5 *f, const um_h5_array *a, const void *data)
{
    um_status rc = UM_OK;
    UM_TRY(um_h5_make_array(f, a));
    UM_TRY(um_h5_write_rows(f, a->name, a->type, 0, a->ndim ? a->shape[0] : 1, data));
done:
    return rc;
}

um_status um_h5_read_into(um_h5 *f, const char *name, um_h5_type type, int ndim, const int64_t *shape, void *data)
{
    um_status rc = UM_OK;
    UM_TRY(um_h5_expect(f, name, type, ndim, shape, NULL));
    UM_TRY(um_h5_read_rows(f, name, type, 0, ndim ? shape[0] : 1, data));
done:
    return rc;
}

um_status um_h5_read_array(um_h5 *f, const char *name, um_h5_type type, int ndim, const int64_t *want, void **out, int64_t *shape)
{
    um_status rc = UM_OK;
    int64_t has[UM_H5_DIMS] = {1};
    size_t n = 1;
    void *data = NULL;
    UM_TRY(um_h5_expect(f, name, type, ndim, want, has));
    for (int i = 0; i < ndim; i++)
        n *= (size_t)has[i];
    UM_TRY(um_alloc(&data, n, types[type].bytes));
    UM_TRY(um_h5_read_rows(f, name, type, 0, has[0], data));
    if (shape)
        memcpy(shape, has, (size_t)ndim * sizeof *shape);
    *out = data;
    data = NULL;
done:
    um_free(data);
    return rc;
}
