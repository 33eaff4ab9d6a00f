#include "io/npz.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zip.h>

#include "base/mem.h"

enum { MAGIC_BYTES = 6, PREFIX_BYTES = 8 };
#define MEMBER_BYTES_MAX ((uint64_t)1 << 33)

struct um_npz {
    zip_t *archive;
    char *path;
};

um_status um_npz_open(um_npz **out, const char *path)
{
    um_status rc = UM_OK;
    um_npz *z = NULL;
    int code = 0;
    UM_TRY(UM_NEW(z));
    UM_TRY(um_strdup(&z->path, path));
    z->archive = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, &code);
    if (!z->archive) {
        zip_error_t error;
        zip_error_init_with_code(&error, code);
        rc = um_fail(code == ZIP_ER_OPEN || code == ZIP_ER_NOENT ? UM_E_IO : UM_E_DATA, "%s: not a complete .npz file: %s", path,
                     zip_error_strerror(&error));
        zip_error_fini(&error);
        goto done;
    }
    *out = z;
    z = NULL;
done:
    um_npz_free(z);
    return rc;
}

void um_npz_free(um_npz *z)
{
    if (!z)
        return;
    if (z->archive)
        zip_discard(z->archive);
    um_free(z->path);
    um_free(z);
}

/* A member as bytes. */
static um_status read_member(um_npz *z, const char *key, uint8_t **out, uint64_t *bytes)
{
    um_status rc = UM_OK;
    char name[256];
    zip_stat_t stat;
    zip_file_t *f = NULL;
    uint8_t *data = NULL;
    snprintf(name, sizeof name, "%s.npy", key);
    if (zip_stat(z->archive, name, 0, &stat) != 0 || !(stat.valid & ZIP_STAT_SIZE))
        return um_fail(UM_E_DATA, "%s: tensor %s is missing", z->path, key);
    if (stat.size > MEMBER_BYTES_MAX)
        return um_fail(UM_E_DATA, "%s: tensor %s has %llu bytes, more than fits", z->path, key, (unsigned long long)stat.size);
    UM_TRY(um_alloc((void **)&data, (size_t)stat.size + 1, 1));
    f = zip_fopen(z->archive, name, 0);
    uint64_t at = 0;
    while (f && at <= stat.size) { /* once past the end, so that libzip compares the checksum */
        zip_int64_t n = zip_fread(f, data + at, stat.size + 1 - at);
        if (n <= 0) {
            at = n < 0 ? UINT64_MAX : at;
            break;
        }
        at += (uint64_t)n;
    }
    if (!f || at != stat.size) {
        const char *why = f ? at == UINT64_MAX ? zip_file_strerror(f) : "its size is wrong" : zip_strerror(z->archive);
        rc = um_fail(UM_E_DATA, "%s: tensor %s is damaged: %s", z->path, key, why);
        goto done;
    }
    *out = data;
    *bytes = stat.size;
    data = NULL;
done:
    if (f)
        zip_fclose(f);
    um_free(data);
    return rc;
}

typedef struct npy {
    char type[8]; /* "<f4" */
    bool fortran;
    int n_dims;
    int64_t dims[UM_NPZ_DIMS];
    uint64_t count, data_at;
} npy;

/* Text behind 'KEY': in the header's dict; NULL: none. */
static const char *value_of(const char *header, const char *key)
{
    const char *p = strstr(header, key);
    p = p ? strchr(p + strlen(key), ':') : NULL;
    for (p = p ? p + 1 : NULL; p && isspace((unsigned char)*p);)
        p++;
    return p;
}

static bool parse_shape(npy *a, const char *p)
{
    if (!p || *p != '(')
        return false;
    a->count = 1;
    for (p++; *p != ')';) {
        char *end;
        long long v = strtoll(p, &end, 10);
        if (end == p || v < 0 || a->n_dims == UM_NPZ_DIMS || (v > 0 && a->count > MEMBER_BYTES_MAX / (uint64_t)v))
            return false;
        a->dims[a->n_dims++] = v;
        a->count *= (uint64_t)v;
        for (p = end; *p == ',' || *p == ' ';)
            p++;
    }
    return true;
}

static bool parse_header(npy *a, const uint8_t *data, uint64_t bytes)
{
    char header[1024];
    if (bytes < PREFIX_BYTES + 4 || memcmp(data, "\x93NUMPY", MAGIC_BYTES) != 0 || data[MAGIC_BYTES] < 1 || data[MAGIC_BYTES] > 3)
        return false;
    bool wide = data[MAGIC_BYTES] > 1;
    const uint8_t *n = data + PREFIX_BYTES;
    uint64_t length = wide ? (uint64_t)n[0] | (uint64_t)n[1] << 8 | (uint64_t)n[2] << 16 | (uint64_t)n[3] << 24
                           : (uint64_t)n[0] | (uint64_t)n[1] << 8;
    uint64_t at = PREFIX_BYTES + (wide ? 4u : 2u);
    if (length >= sizeof header || at + length > bytes)
        return false;
    memcpy(header, data + at, length);
    header[length] = 0;
    const char *type = value_of(header, "'descr'"), *order = value_of(header, "'fortran_order'");
    if (!type || *type != '\'' || !order || sscanf(type, "'%7[^']'", a->type) != 1)
        return false;
    a->fortran = strncmp(order, "False", 5) != 0;
    a->data_at = at + length;
    return parse_shape(a, value_of(header, "'shape'"));
}

static double half_value(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double v = exponent == 31  ? fraction ? (double)NAN : (double)INFINITY
               : exponent == 0 ? ldexp(fraction, -24)
                               : ldexp(1024 + fraction, exponent - 25);
    return h >> 15 ? -v : v;
}

static double element(const uint8_t *data, uint64_t i, int bytes)
{
    uint64_t bits = 0;
    for (int b = 0; b < bytes; b++)
        bits |= (uint64_t)data[i * (uint64_t)bytes + (uint64_t)b] << (8 * b);
    union { uint64_t u; double d; } wide = {.u = bits};
    union { uint32_t u; float f; } single = {.u = (uint32_t)bits};
    return bytes == 8 ? wide.d : bytes == 4 ? (double)single.f : half_value((uint16_t)bits);
}

um_status um_npz_read(um_npz *z, const char *key, double **out, int *n_dims, int64_t dims[UM_NPZ_DIMS])
{
    um_status rc = UM_OK;
    uint8_t *data = NULL;
    double *values = NULL;
    uint64_t bytes = 0;
    npy a = {0};
    UM_TRY(read_member(z, key, &data, &bytes));
    if (!parse_header(&a, data, bytes)) {
        rc = um_fail(UM_E_DATA, "%s: tensor %s has no valid .npy header", z->path, key);
        goto done;
    }
    int size = strcmp(a.type, "<f4") == 0 ? 4 : strcmp(a.type, "<f8") == 0 ? 8 : strcmp(a.type, "<f2") == 0 ? 2 : 0;
    if (size == 0 || a.fortran) {
        rc = um_fail(UM_E_DATA, "%s: tensor %s is of type %s%s; expected <f2, <f4 or <f8 in C order", z->path, key, a.type,
                     a.fortran ? " in Fortran order" : "");
        goto done;
    }
    if (bytes - a.data_at != a.count * (uint64_t)size) {
        rc = um_fail(UM_E_DATA, "%s: tensor %s holds %llu bytes, its shape asks for %llu", z->path, key,
                     (unsigned long long)(bytes - a.data_at), (unsigned long long)(a.count * (uint64_t)size));
        goto done;
    }
    UM_TRY(UM_NEW_ARRAY(values, a.count));
    for (uint64_t i = 0; i < a.count; i++)
        values[i] = element(data + a.data_at, i, size);
    memcpy(dims, a.dims, sizeof a.dims);
    *n_dims = a.n_dims;
    *out = values;
    values = NULL;
done:
    um_free(values);
    um_free(data);
    return rc;
}
