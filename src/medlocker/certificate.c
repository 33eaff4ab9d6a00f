#include "medlocker/certificate.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void um_certificate_free(um_certificate *c)
{
    for (int64_t i = 0; i < c->n; i++) {
        um_record_clear(&c->records[i]);
        if (c->texts)
            um_free(c->texts[i]);
        if (c->residual)
            um_free(c->residual[i]);
    }
    for (int64_t i = 0; i < c->n_logos; i++)
        um_logo_clear(&c->logos[i]);
    um_free(c->records);
    um_free(c->texts);
    um_free(c->ids);
    um_free(c->residual);
    um_free(c->logos);
    um_free(c->logo_sha256);
    *c = (um_certificate){0};
}

const um_logo *um_certificate_logo(const um_certificate *c, int64_t i)
{
    for (int64_t k = 0; k < c->n_logos; k++)
        if (strcmp(c->logo_sha256[k], c->records[i].logo) == 0)
            return &c->logos[k];
    return NULL;
}

static um_status add_logo(um_certificate *c, const um_logo *logo)
{
    um_status rc = UM_OK;
    char sha256[UM_SHA256_HEX];
    um_logo copy = {logo->h, logo->w, NULL};
    um_logo_sha256(logo, sha256);
    for (int64_t k = 0; k < c->n_logos; k++)
        if (strcmp(c->logo_sha256[k], sha256) == 0)
            return UM_OK;
    UM_TRY(UM_GROW(c->logos, c->n_logos, c->n_logos + 1));
    UM_TRY(UM_GROW(c->logo_sha256, c->n_logos, c->n_logos + 1));
    UM_TRY(UM_NEW_ARRAY(copy.rgba, 4 * logo->h * logo->w));
    memcpy(copy.rgba, logo->rgba, (size_t)(4 * logo->h * logo->w));
    memcpy(c->logo_sha256[c->n_logos], sha256, sizeof sha256);
    c->logos[c->n_logos++] = copy;
done:
    return rc;
}

um_status um_certificate_add(um_certificate *c, um_record *record, uint8_t **residual, const um_logo *logo)
{
    um_status rc = UM_OK;
    UM_TRY(UM_GROW(c->records, c->n, c->n + 1));
    UM_TRY(UM_GROW(c->residual, c->n, c->n + 1));
    UM_TRY(UM_GROW(c->texts, c->n, c->n + 1));
    if (logo)
        UM_TRY(add_logo(c, logo));
    c->records[c->n] = *record;
    *record = (um_record){0};
    c->residual[c->n] = residual ? *residual : NULL;
    if (residual)
        *residual = NULL;
    c->n++;
done:
    return rc;
}

/* ---- order, texts, hashes ---- */

typedef struct entry {
    um_record record;
    uint8_t *residual;
} entry;

static int by_image(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->record.image, ((const entry *)b)->record.image);
}

static um_status sort_entries(um_certificate *c)
{
    um_status rc = UM_OK;
    entry *list = NULL;
    UM_TRY(UM_NEW_ARRAY(list, c->n));
    for (int64_t i = 0; i < c->n; i++)
        list[i] = (entry){c->records[i], c->residual[i]};
    qsort(list, (size_t)c->n, sizeof *list, by_image);
    for (int64_t i = 0; i < c->n; i++) {
        c->records[i] = list[i].record;
        c->residual[i] = list[i].residual;
    }
done:
    um_free(list);
    return rc;
}

static int by_serial(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* V5, and that the order is the one form. */
static um_status check_unique(const um_certificate *c)
{
    um_status rc = UM_OK;
    const char **serials = NULL;
    if (c->n == 0)
        return um_fail(UM_E_DATA, "a list of certificates without a record");
    UM_TRY(UM_NEW_ARRAY(serials, c->n));
    for (int64_t i = 0; i < c->n; i++) {
        serials[i] = c->records[i].serial;
        if (i > 0 && strcmp(c->records[i - 1].image, c->records[i].image) >= 0)
            UM_TRY(um_fail(UM_E_DATA, "certificates of \"%s\" and \"%s\" are out of order or the same", c->records[i - 1].image,
                           c->records[i].image));
    }
    qsort(serials, (size_t)c->n, sizeof *serials, by_serial);
    for (int64_t i = 1; i < c->n; i++)
        if (strcmp(serials[i - 1], serials[i]) == 0)
            UM_TRY(um_fail(UM_E_DATA, "two certificates have the serial %s", serials[i]));
done:
    um_free(serials);
    return rc;
}

static um_status sign(uint8_t mac[32], const um_secret *key, const uint8_t root[32])
{
    um_status rc = UM_OK;
    um_secret mac_key = {0};
    UM_TRY(um_secret_derive(&mac_key, key, "wmc1 mac", NULL, 0));
    UM_TRY(um_secret_mac(mac, &mac_key, "wmc1 root", root, 32));
done:
    um_secret_wipe(&mac_key);
    return rc;
}

um_status um_certificate_finish(um_certificate *c, const um_secret *key)
{
    um_status rc = UM_OK;
    UM_TRY(sort_entries(c));
    UM_TRY(check_unique(c));
    um_free(c->ids);
    c->ids = NULL;
    UM_TRY(UM_NEW_ARRAY(c->ids, c->n * UM_ID_RAW));
    for (int64_t i = 0; i < c->n; i++) {
        um_text text = {0};
        um_free(c->texts[i]);
        c->texts[i] = NULL;
        rc = um_record_print(&c->records[i], &text);
        if (rc == UM_OK)
            rc = um_strdup(&c->texts[i], um_text_get(&text));
        um_record_id(c->ids + i * UM_ID_RAW, um_text_get(&text), text.n);
        um_text_free(&text);
        UM_TRY(rc);
    }
    UM_TRY(um_merkle_root(c->root, c->ids, c->n));
    UM_TRY(sign(c->mac, key, c->root));
done:
    return rc;
}

/* ---- V1 ---- */

static um_status verify_record(const um_certificate *c, int64_t i)
{
    const um_record *r = &c->records[i];
    uint8_t id[UM_ID_RAW];
    char sha256[UM_SHA256_HEX];
    um_record_id(id, c->texts[i], strlen(c->texts[i]));
    if (memcmp(id, c->ids + i * UM_ID_RAW, UM_ID_RAW) != 0)
        return um_fail(UM_E_DATA, "the certificate of \"%s\" was changed: its id does not match", r->image);
    if ((r->residual_bits > 0) != (c->residual[i] != NULL))
        return um_fail(UM_E_DATA, "the residual of \"%s\" is missing, or one too many", r->image);
    if (c->residual[i]) {
        um_sha256_of(c->residual[i], (size_t)(r->residual_bits + 7) / 8, sha256);
        if (strcmp(sha256, r->residual) != 0)
            return um_fail(UM_E_DATA, "the residual of \"%s\" was changed", r->image);
    }
    const um_logo *logo = um_certificate_logo(c, i);
    if (r->wsm != UM_WSM_NONE && (!logo || logo->h != r->logo_h || logo->w != r->logo_w))
        return um_fail(UM_E_DATA, "the logo of \"%s\" is missing or was changed", r->image);
    return UM_OK;
}

um_status um_certificate_verify(const um_certificate *c, const um_secret *key)
{
    um_status rc = UM_OK;
    uint8_t root[32], mac[32];
    UM_TRY(check_unique(c));
    for (int64_t i = 0; i < c->n; i++)
        UM_TRY(verify_record(c, i));
    UM_TRY(um_merkle_root(root, c->ids, c->n));
    UM_TRY(sign(mac, key, root));
    if (!um_secret_equal(root, c->root, sizeof root))
        UM_TRY(um_fail(UM_E_DATA, "the list of certificates was changed: its root does not match"));
    if (!um_secret_equal(mac, c->mac, sizeof mac))
        UM_TRY(um_fail(UM_E_DATA, "the list of certificates is not signed with this key"));
done:
    return rc;
}

int64_t um_certificate_find(const um_certificate *c, const char *image)
{
    um_record wanted = {0};
    if (um_record_set_names(&wanted, "x", image) != UM_OK)
        return -1;
    int64_t lo = 0, hi = c->n;
    while (lo < hi) {
        int64_t mid = (lo + hi) / 2;
        if (strcmp(c->records[mid].image, wanted.image) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->n && strcmp(c->records[lo].image, wanted.image) == 0 ? lo : -1;
}
