/* Certificates on disk. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "io/h5.h"
#include "medlocker/certificate.h"

#define LIST_FORMAT "umed-certificate"
#define SEALED_FORMAT "umed-sealed"
#define FORMAT_VERSION "1.0"

static um_status set_hex(um_h5 *f, const char *name, const uint8_t raw[32])
{
    char hex[65];
    um_hex(hex, raw, 32);
    return um_h5_set_text(f, "/", name, hex);
}

static um_status get_hex(um_h5 *f, const char *name, uint8_t raw[32])
{
    um_status rc = UM_OK;
    um_text hex = {0};
    UM_TRY(um_h5_get_text(f, "/", name, &hex));
    if (!um_unhex(raw, um_text_get(&hex), 32))
        rc = um_fail(UM_E_DATA, "%s: %s is not 64 hex digits", um_h5_path(f), name);
done:
    um_text_free(&hex);
    return rc;
}

static um_status write_logos(um_h5 *f, const um_certificate *c)
{
    um_status rc = UM_OK;
    char name[40];
    UM_TRY(um_h5_make_group(f, "/logos"));
    for (int64_t k = 0; k < c->n_logos; k++) {
        snprintf(name, sizeof name, "/logos/%.16s", c->logo_sha256[k]);
        UM_TRY(um_h5_write_array(f,
                                 &(um_h5_array){.name = name,
                                                .type = UM_H5_U8,
                                                .ndim = 3,
                                                .shape = {c->logos[k].h, c->logos[k].w, 4},
                                                .description = "logo as it was blended",
                                                .axes = "y,x,rgba",
                                                .unit = "grey level"},
                                 c->logos[k].rgba));
    }
done:
    return rc;
}

static um_status read_logos(um_h5 *f, um_certificate *c)
{
    um_status rc = UM_OK;
    char **names = NULL;
    size_t n = 0;
    UM_TRY(um_h5_list(f, "/logos", &names, &n));
    UM_TRY(UM_NEW_ARRAY(c->logos, n));
    UM_TRY(UM_NEW_ARRAY(c->logo_sha256, n));
    for (size_t k = 0; k < n; k++) {
        char path[300];
        int64_t shape[3];
        snprintf(path, sizeof path, "/logos/%.280s", names[k]);
        UM_TRY(um_h5_read_array(f, path, UM_H5_U8, 3, (int64_t[]){-1, -1, 4}, (void **)&c->logos[k].rgba, shape));
        c->logos[k].h = shape[0], c->logos[k].w = shape[1];
        c->n_logos++;
        um_logo_sha256(&c->logos[k], c->logo_sha256[k]);
    }
done:
    if (names)
        um_names_free(names, n);
    return rc;
}

/* Blocks of different lengths as one stream and the place of each. */
static um_status write_blocks(um_h5 *f, const char *name, uint8_t *const *blocks, const size_t *bytes, int64_t n,
                              const char *description)
{
    um_status rc = UM_OK;
    uint8_t *stream = NULL;
    int64_t *offset = NULL;
    char offsets[64];
    UM_TRY(UM_NEW_ARRAY(offset, n + 1));
    for (int64_t i = 0; i < n; i++)
        offset[i + 1] = offset[i] + (int64_t)bytes[i];
    UM_TRY(UM_NEW_ARRAY(stream, offset[n] + 1));
    for (int64_t i = 0; i < n; i++)
        if (bytes[i])
            memcpy(stream + offset[i], blocks[i], bytes[i]);
    snprintf(offsets, sizeof offsets, "%s_offset", name);
    UM_TRY(um_h5_write_array(f, &(um_h5_array){.name = offsets, .type = UM_H5_I64, .ndim = 1, .shape = {n + 1}, .axes = "record",
                                               .description = "first byte of each record's part, and the end", .unit = "byte"},
                             offset));
    UM_TRY(um_h5_write_array(f, &(um_h5_array){.name = name, .type = UM_H5_U8, .ndim = 1, .shape = {offset[n] + 1}, .axes = "byte",
                                               .description = description, .unit = ""},
                             stream));
done:
    um_free(offset);
    um_free(stream);
    return rc;
}

static um_status read_blocks(um_h5 *f, const char *name, uint8_t **stream, int64_t **offset, int64_t n)
{
    um_status rc = UM_OK;
    char offsets[64];
    int64_t size = 0;
    snprintf(offsets, sizeof offsets, "%s_offset", name);
    UM_TRY(um_h5_read_array(f, offsets, UM_H5_I64, 1, (int64_t[]){n + 1}, (void **)offset, NULL));
    UM_TRY(um_h5_read_array(f, name, UM_H5_U8, 1, (int64_t[]){-1}, (void **)stream, &size));
    for (int64_t i = 0; i < n; i++)
        if ((*offset)[0] != 0 || (*offset)[i + 1] < (*offset)[i] || (*offset)[n] != size - 1)
            UM_TRY(um_fail(UM_E_DATA, "%s: %s is not well formed", um_h5_path(f), offsets));
done:
    return rc;
}

static um_status keep_private(const char *path)
{
    return chmod(path, 0600) == 0 ? UM_OK : um_fail(UM_E_IO, "%s: mode cannot be set: %s", path, strerror(errno));
}

um_status um_certificate_write(const um_certificate *c, const char *path)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    size_t *bytes = NULL;
    if (um_file_exists(path))
        return um_fail(UM_E_USAGE, "%s exists; a list of certificates is never replaced", path);
    UM_TRY(UM_NEW_ARRAY(bytes, c->n));
    for (int64_t i = 0; i < c->n; i++)
        bytes[i] = c->residual[i] ? (size_t)(c->records[i].residual_bits + 7) / 8 : 0;
    UM_TRY(um_h5_create(&f, path, LIST_FORMAT, FORMAT_VERSION));
    UM_TRY(um_h5_write_strings(f, "/records", (const char *const *)c->texts, c->n, "certificates, one per image", "record"));
    UM_TRY(um_h5_write_array(f,
                             &(um_h5_array){.name = "/ids",
                                            .type = UM_H5_U8,
                                            .ndim = 2,
                                            .shape = {c->n, UM_ID_RAW},
                                            .axes = "record,byte",
                                            .description = "SHA-256 of each record",
                                            .unit = ""},
                             c->ids));
    UM_TRY(write_blocks(f, "/residual", c->residual, bytes, c->n, "residuals for exact recovery, one after the other"));
    UM_TRY(write_logos(f, c));
    UM_TRY(set_hex(f, "root", c->root));
    UM_TRY(set_hex(f, "mac", c->mac));
    UM_TRY(um_h5_commit(&f));
    UM_TRY(keep_private(path));
done:
    um_free(bytes);
    um_h5_free(f);
    return rc;
}

static um_status make_room(um_certificate *c, int64_t n)
{
    um_status rc = UM_OK;
    UM_TRY(UM_NEW_ARRAY(c->records, n));
    UM_TRY(UM_NEW_ARRAY(c->residual, n));
    UM_TRY(UM_NEW_ARRAY(c->texts, n));
    c->n = n;
done:
    return rc;
}

/* A block of n bytes on its own. */
static um_status copy_block(uint8_t **out, const uint8_t *from, int64_t n)
{
    um_status rc = UM_OK;
    if (n == 0)
        return UM_OK;
    UM_TRY(UM_NEW_ARRAY(*out, n));
    memcpy(*out, from, (size_t)n);
done:
    return rc;
}

um_status um_certificate_read(um_certificate *out, const char *path)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    um_certificate c = {0};
    char **texts = NULL;
    uint8_t *stream = NULL;
    int64_t n = 0, *offset = NULL;
    UM_TRY(um_h5_open(&f, path, LIST_FORMAT, FORMAT_VERSION));
    UM_TRY(um_h5_read_strings(f, "/records", -1, &texts, &n));
    UM_TRY(make_room(&c, n));
    UM_TRY(um_h5_read_array(f, "/ids", UM_H5_U8, 2, (int64_t[]){n, UM_ID_RAW}, (void **)&c.ids, NULL));
    UM_TRY(read_blocks(f, "/residual", &stream, &offset, n));
    for (int64_t i = 0; i < n; i++) {
        UM_TRY(um_strdup(&c.texts[i], texts[i]));
        UM_TRY(um_record_parse(&c.records[i], texts[i], strlen(texts[i])));
        int64_t bytes = offset[i + 1] - offset[i];
        if (bytes != (c.records[i].residual_bits + 7) / 8)
            UM_TRY(um_fail(UM_E_DATA, "%s: the residual of \"%s\" has %lld bytes for %lld bits", path, c.records[i].image,
                           (long long)bytes, (long long)c.records[i].residual_bits));
        UM_TRY(copy_block(&c.residual[i], stream + offset[i], bytes));
    }
    UM_TRY(read_logos(f, &c));
    UM_TRY(get_hex(f, "root", c.root));
    UM_TRY(get_hex(f, "mac", c.mac));
    *out = c;
    c = (um_certificate){0};
done:
    if (texts)
        um_names_free(texts, (size_t)n);
    um_free(offset);
    um_free(stream);
    um_certificate_free(&c);
    um_h5_free(f);
    return rc;
}

/* ---- sealed records ---- */

um_status um_certificate_user_key(um_secret *out, const um_secret *owner, const char *user)
{
    return um_secret_derive(out, owner, "wmc1 user", user, strlen(user));
}

typedef struct seal_context { /* associated data and key of one record */
    um_text aad;
    um_secret key;
} seal_context;

static um_status seal_context_open(seal_context *x, const um_secret *user_key, const char *user, const char *serial)
{
    um_status rc = UM_OK;
    UM_TRY(um_text_add(&x->aad, "WMS1\n%s\n%s\n", user, serial));
    UM_TRY(um_secret_derive(&x->key, user_key, "wmc1 seal", serial, strlen(serial)));
done:
    return rc;
}

static void seal_context_close(seal_context *x)
{
    um_text_free(&x->aad);
    um_secret_wipe(&x->key);
}

/* Plain text of a block: five little-endian uint32 (bytes of the record and of the residual, index, size of the list, steps of the
 * path), then record, residual, path. */
enum { HEAD = 20 };

static void put32(uint8_t *out, int64_t v)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(v >> (8 * i));
}

static int64_t get32(const uint8_t *in)
{
    return (int64_t)in[0] | (int64_t)in[1] << 8 | (int64_t)in[2] << 16 | (int64_t)in[3] << 24;
}

static um_status seal_one(uint8_t **out, size_t *bytes, const um_certificate *c, int64_t i, const um_secret *user_key,
                          const char *user)
{
    um_status rc = UM_OK;
    seal_context x = {0};
    uint8_t *plain = NULL, *path = NULL, *sealed = NULL;
    int steps = 0;
    size_t text = strlen(c->texts[i]), residual = (size_t)(c->records[i].residual_bits + 7) / 8;
    UM_TRY(um_merkle_path(&path, &steps, c->ids, c->n, i));
    size_t n = HEAD + text + residual + (size_t)steps * UM_ID_RAW;
    UM_TRY(UM_NEW_ARRAY(plain, n));
    UM_TRY(UM_NEW_ARRAY(sealed, n + UM_SEAL_EXTRA));
    const int64_t head[] = {(int64_t)text, (int64_t)residual, i, c->n, steps};
    for (int k = 0; k < 5; k++)
        put32(plain + 4 * k, head[k]);
    memcpy(plain + HEAD, c->texts[i], text);
    if (residual)
        memcpy(plain + HEAD + text, c->residual[i], residual);
    memcpy(plain + HEAD + text + residual, path, (size_t)steps * UM_ID_RAW);
    UM_TRY(seal_context_open(&x, user_key, user, c->records[i].serial));
    UM_TRY(um_secret_seal(sealed, &x.key, um_text_get(&x.aad), x.aad.n, plain, n));
    *out = sealed;
    *bytes = n + UM_SEAL_EXTRA;
    sealed = NULL;
done:
    seal_context_close(&x);
    um_free(sealed);
    um_free(path);
    um_free(plain);
    return rc;
}

um_status um_certificate_seal(const um_certificate *c, const um_secret *owner, const char *user, const int64_t *rows, int64_t n,
                              const char *path)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    um_secret key = {0};
    uint8_t **blocks = NULL;
    size_t *bytes = NULL;
    const char **serials = NULL;
    if (um_file_exists(path))
        return um_fail(UM_E_USAGE, "%s exists; give another name", path);
    UM_TRY(UM_NEW_ARRAY(blocks, n));
    UM_TRY(UM_NEW_ARRAY(bytes, n));
    UM_TRY(UM_NEW_ARRAY(serials, n));
    UM_TRY(um_certificate_user_key(&key, owner, user));
    for (int64_t i = 0; i < n; i++) {
        serials[i] = c->records[rows[i]].serial;
        UM_TRY(seal_one(&blocks[i], &bytes[i], c, rows[i], &key, user));
    }
    UM_TRY(um_h5_create(&f, path, SEALED_FORMAT, FORMAT_VERSION));
    UM_TRY(um_h5_set_text(f, "/", "user", user));
    UM_TRY(set_hex(f, "root", c->root));
    UM_TRY(um_h5_write_strings(f, "/serials", serials, n, "serials of the sealed records", "record"));
    UM_TRY(write_blocks(f, "/sealed", blocks, bytes, n, "sealed records: nonce, ciphertext, tag"));
    UM_TRY(write_logos(f, c));
    UM_TRY(um_h5_commit(&f));
done:
    for (int64_t i = 0; blocks && i < n; i++)
        um_free(blocks[i]);
    um_free(serials);
    um_free(bytes);
    um_free(blocks);
    um_secret_wipe(&key);
    um_h5_free(f);
    return rc;
}

/* A block that has opened, and so is as it was made; what its head says still has to fit. */
static um_status take_block(um_certificate *c, int64_t i, const uint8_t *plain, size_t n, const char *path)
{
    um_status rc = UM_OK;
    uint8_t id[UM_ID_RAW];
    if (n < HEAD)
        return um_fail(UM_E_DATA, "%s: sealed record %lld is too short", path, (long long)i);
    int64_t text = get32(plain), residual = get32(plain + 4), index = get32(plain + 8), total = get32(plain + 12),
            steps = get32(plain + 16);
    if ((int64_t)n != HEAD + text + residual + steps * UM_ID_RAW)
        return um_fail(UM_E_DATA, "%s: sealed record %lld is not well formed", path, (long long)i);
    const uint8_t *at = plain + HEAD;
    UM_TRY(um_record_parse(&c->records[i], (const char *)at, (size_t)text));
    um_record_id(id, (const char *)at, (size_t)text);
    memcpy(c->ids + i * UM_ID_RAW, id, UM_ID_RAW);
    if (residual != (c->records[i].residual_bits + 7) / 8)
        UM_TRY(um_fail(UM_E_DATA, "%s: the residual of \"%s\" has a wrong length", path, c->records[i].image));
    UM_TRY(copy_block(&c->residual[i], at + text, residual));
    if (!um_merkle_verify(c->root, id, index, total, at + text + residual, (int)steps))
        UM_TRY(um_fail(UM_E_DATA, "%s: \"%s\" does not belong to the list with this root", path, c->records[i].image));
done:
    return rc;
}

static um_status unseal_one(um_certificate *c, int64_t i, const um_secret *key, const char *user, const char *serial,
                            const uint8_t *sealed, size_t bytes, const char *path)
{
    um_status rc = UM_OK;
    seal_context x = {0};
    uint8_t *plain = NULL;
    UM_TRY(seal_context_open(&x, key, user, serial));
    UM_TRY(UM_NEW_ARRAY(plain, bytes));
    UM_TRY(um_secret_open(plain, &x.key, um_text_get(&x.aad), x.aad.n, sealed, bytes));
    UM_TRY(take_block(c, i, plain, bytes - UM_SEAL_EXTRA, path));
done:
    seal_context_close(&x);
    um_free(plain);
    return rc;
}

um_status um_certificate_unseal(um_certificate *out, const um_secret *user_key, const char *path)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    um_certificate c = {0};
    um_text user = {0};
    char **serials = NULL;
    uint8_t *stream = NULL;
    int64_t n = 0, *offset = NULL;
    UM_TRY(um_h5_open(&f, path, SEALED_FORMAT, FORMAT_VERSION));
    UM_TRY(um_h5_get_text(f, "/", "user", &user));
    UM_TRY(get_hex(f, "root", c.root));
    UM_TRY(um_h5_read_strings(f, "/serials", -1, &serials, &n));
    UM_TRY(make_room(&c, n));
    UM_TRY(UM_NEW_ARRAY(c.ids, n * UM_ID_RAW));
    UM_TRY(read_blocks(f, "/sealed", &stream, &offset, n));
    for (int64_t i = 0; i < n; i++)
        UM_TRY(unseal_one(&c, i, user_key, um_text_get(&user), serials[i], stream + offset[i], (size_t)(offset[i + 1] - offset[i]),
                          path));
    UM_TRY(read_logos(f, &c));
    *out = c;
    c = (um_certificate){0};
done:
    if (serials)
        um_names_free(serials, (size_t)n);
    um_free(offset);
    um_free(stream);
    um_text_free(&user);
    um_certificate_free(&c);
    um_h5_free(f);
    return rc;
}
