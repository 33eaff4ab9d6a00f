#include "io/h5_internal.h"

#include <string.h>

#include "base/mem.h"

enum { MAX_ATTR_BYTES = 1 << 20 };

static um_status attr_write(um_h5 *f, const char *object, const char *name, hid_t type, const void *value)
{
    um_status rc = UM_OK;
    hid_t owner = -1, space = -1, attr = -1;
    UM_TRY_H5(f, "open", object, owner = H5Oopen(f->file, object, H5P_DEFAULT));
    UM_TRY_H5(f, "write attribute", name, space = H5Screate(H5S_SCALAR));
    UM_TRY_H5(f, "write attribute", name, attr = H5Acreate2(owner, name, type, space, H5P_DEFAULT, H5P_DEFAULT));
    UM_TRY_H5(f, "write attribute", name, H5Awrite(attr, type, value));
done:
    um_h5_drop(attr);
    um_h5_drop(space);
    um_h5_drop(owner);
    return rc;
}

hid_t um_h5_string_type(size_t bytes)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, bytes ? bytes : 1);
    H5Tset_cset(type, H5T_CSET_UTF8);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    return type;
}

um_status um_h5_set_text(um_h5 *f, const char *object, const char *name, const char *value)
{
    hid_t type = um_h5_string_type(strlen(value));
    um_status rc = attr_write(f, object, name, type, value);
    um_h5_drop(type);
    return rc;
}

um_status um_h5_set_int(um_h5 *f, const char *object, const char *name, int64_t value)
{
    return attr_write(f, object, name, H5T_STD_I64LE, &value);
}

um_status um_h5_set_real(um_h5 *f, const char *object, const char *name, double value)
{
    return attr_write(f, object, name, H5T_IEEE_F64LE, &value);
}

bool um_h5_has_attr(um_h5 *f, const char *object, const char *name)
{
    return H5Aexists_by_name(f->file, object, name, H5P_DEFAULT) > 0;
}

/* attr, type: the caller drops both, also on failure. */
static um_status attr_open(um_h5 *f, const char *object, const char *name, hid_t *attr, hid_t *type)
{
    um_status rc = UM_OK;
    hid_t space = -1;
    if (!um_h5_has_attr(f, object, name))
        return um_fail(UM_E_DATA, "%s: %s has no attribute '%s'", f->path, object, name);
    UM_TRY_H5(f, "open attribute", name, *attr = H5Aopen_by_name(f->file, object, name, H5P_DEFAULT, H5P_DEFAULT));
    UM_TRY_H5(f, "open attribute", name, *type = H5Aget_type(*attr));
    UM_TRY_H5(f, "open attribute", name, space = H5Aget_space(*attr));
    UM_TRY(um_h5_fixed_length(f, name, *type));
    if (H5Sget_simple_extent_npoints(space) != 1)
        rc = um_fail(UM_E_DATA, "%s: attribute '%s' of %s is not a single value", f->path, name, object);
done:
    um_h5_drop(space);
    return rc;
}

static um_status read_text(um_h5 *f, const char *name, hid_t attr, hid_t type, um_text *out)
{
    um_status rc = UM_OK;
    char *value = NULL;
    size_t bytes = H5Tget_size(type);
    if (bytes > MAX_ATTR_BYTES) {
        rc = um_fail(UM_E_DATA, "%s: attribute '%s' claims %zu bytes of text", f->path, name, bytes);
        goto done;
    }
    UM_TRY(UM_NEW_ARRAY(value, bytes + 1));
    UM_TRY_H5(f, "read attribute", name, H5Aread(attr, type, value));
    UM_TRY(um_text_add(out, "%s", value));
done:
    um_free(value);
    return rc;
}

um_status um_h5_get_text(um_h5 *f, const char *object, const char *name, um_text *out)
{
    um_status rc = UM_OK;
    hid_t attr = -1, type = -1;
    UM_TRY(attr_open(f, object, name, &attr, &type));
    if (H5Tget_class(type) != H5T_STRING) {
        rc = um_fail(UM_E_DATA, "%s: attribute '%s' of %s is not text", f->path, name, object);
        goto done;
    }
    UM_TRY(read_text(f, name, attr, type, out));
done:
    um_h5_drop(type);
    um_h5_drop(attr);
    return rc;
}

um_status um_h5_get_int(um_h5 *f, const char *object, const char *name, int64_t *out)
{
    um_status rc = UM_OK;
    hid_t attr = -1, type = -1;
    int64_t value = 0;
    UM_TRY(attr_open(f, object, name, &attr, &type));
    if (H5Tget_class(type) != H5T_INTEGER) {
        rc = um_fail(UM_E_DATA, "%s: attribute '%s' of %s is not an integer", f->path, name, object);
        goto done;
    }
    UM_TRY_H5(f, "read attribute", name, H5Aread(attr, H5T_NATIVE_INT64, &value));
    *out = value;
done:
    um_h5_drop(type);
    um_h5_drop(attr);
    return rc;
}

um_status um_h5_get_real(um_h5 *f, const char *object, const char *name, double *out)
{
    um_status rc = UM_OK;
    hid_t attr = -1, type = -1;
    double value = 0;
    UM_TRY(attr_open(f, object, name, &attr, &type));
    H5T_class_t class = H5Tget_class(type);
    if (class != H5T_FLOAT && class != H5T_INTEGER) {
        rc = um_fail(UM_E_DATA, "%s: attribute '%s' of %s is not a number", f->path, name, object);
        goto done;
    }
    UM_TRY_H5(f, "read attribute", name, H5Aread(attr, H5T_NATIVE_DOUBLE, &value));
    *out = value;
done:
    um_h5_drop(type);
    um_h5_drop(attr);
    return rc;
}
