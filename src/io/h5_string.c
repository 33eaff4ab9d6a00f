#include "io/h5_internal.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"

static size_t longest(const char *const *strings, int64_t n)
{
    size_t most = 1;
    for (int64_t i = 0; i < n; i++) {
        size_t bytes = strlen(strings[i]);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* n strings side by side in fields of `bytes`, zero padded. */
static um_status pack(char **out, const char *const *strings, int64_t n, size_t bytes)
{
    um_status rc = UM_OK;
    char *block = NULL;
    UM_TRY(um_alloc((void **)&block, (size_t)n, bytes));
    for (int64_t i = 0; i < n; i++)
        memcpy(block + (size_t)i * bytes, strings[i], strlen(strings[i]));
    *out = block;
done:
    return rc;
}

um_status um_h5_write_strings(um_h5 *f, const char *name, const char *const *strings, int64_t n, const char *description,
                              const char *axes)
{
    um_status rc = UM_OK;
    hsize_t shape[1] = {(hsize_t)n};
    char *block = NULL;
    size_t bytes = longest(strings, n);
    hid_t type = um_h5_string_type(bytes), space = -1, list = -1, data = -1;
    UM_TRY(pack(&block, strings, n, bytes));
    UM_TRY(um_h5_make_parents(f, name));
    UM_TRY_H5(f, "create", name, space = H5Screate_simple(1, shape, NULL));
    UM_TRY(um_h5_layout(f, name, 1, shape, bytes, 1, &list));
    UM_TRY_H5(f, "create", name, data = H5Dcreate2(f->file, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT));
    if (n > 0)
        UM_TRY_H5(f, "write", name, H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, block));
    UM_TRY_H5(f, "write", name, H5Dclose(data));
    data = -1;
    UM_TRY(um_h5_describe(f, name, description, axes, "", NULL));
done:
    um_h5_drop(data);
    um_h5_drop(list);
    um_h5_drop(space);
    um_h5_drop(type);
    um_free(block);
    return rc;
}

static um_status unpack(um_h5 *f, const char *name, hid_t data, hid_t type, size_t n, char **strings)
{
    um_status rc = UM_OK;
    char *block = NULL;
    size_t bytes = H5Tget_size(type);
    UM_TRY(um_alloc((void **)&block, n, bytes));
    UM_TRY_H5(f, "read", name, H5Dread(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, block));
    for (size_t i = 0; i < n; i++) {
        size_t length = strnlen(block + i * bytes, bytes);
        UM_TRY(UM_NEW_ARRAY(strings[i], length + 1));
        memcpy(strings[i], block + i * bytes, length);
    }
done:
    um_free(block);
    return rc;
}

um_status um_h5_read_strings(um_h5 *f, const char *name, int64_t n_want, char ***out, int64_t *n_out)
{
    um_status rc = UM_OK;
    hsize_t shape[UM_H5_DIMS];
    int ndim;
    char **strings = NULL;
    size_t n = 0;
    hid_t data = -1, type = -1;
    UM_TRY(um_h5_open_dataset(f, name, &data, &ndim, shape));
    UM_TRY_H5(f, "open", name, type = H5Dget_type(data));
    if (H5Tget_class(type) != H5T_STRING || ndim != 1 || (n_want >= 0 && shape[0] != (hsize_t)n_want)) {
        rc = um_fail(UM_E_DATA, "%s: %s is not an array of %lld strings", f->path, name,
                     (long long)(n_want >= 0 ? n_want : (int64_t)shape[0]));
        goto done;
    }
    UM_TRY(UM_NEW_ARRAY(strings, shape[0]));
    n = shape[0];
    if (n > 0)
        UM_TRY(unpack(f, name, data, type, n, strings));
    *out = strings;
    *n_out = (int64_t)n;
    strings = NULL;
done:
    if (strings)
        um_names_free(strings, n);
    um_h5_drop(type);
    um_h5_drop(data);
    return rc;
}

um_status um_h5_write_text(um_h5 *f, const char *name, const char *text, const char *description)
{
    return um_h5_write_strings(f, name, &text, 1, description, "");
}

um_status um_h5_read_text(um_h5 *f, const char *name, um_text *out)
{
    um_status rc = UM_OK;
    char **strings = NULL;
    int64_t n = 0;
    UM_TRY(um_h5_read_strings(f, name, 1, &strings, &n));
    UM_TRY(um_text_add(out, "%s", strings[0]));
done:
    if (strings)
        um_names_free(strings, (size_t)n);
    return rc;
}
