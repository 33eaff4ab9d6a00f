/* Readers of what MedLocker writes: lists of certificates, parts that are sealed for a user, keys; and the text of one certificate by itself,
 * which checksums would otherwise keep whole. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "fuzz/archive_readers.h"
#include "medlocker/certificate.h"

static const um_secret owner = {{3, 1, 4, 1, 5, 9, 2, 6}};
static const char user[] = "dr. house";

static um_status past_the_last(void)
{
    return um_fail(UM_E_USAGE, "no more kinds");
}

/* Takes the reader's own error; what it says of the content comes behind the name of the file. */
static um_status named(um_status rc, const char *path)
{
    char why[600];
    if (rc == UM_OK || strstr(um_error_text(), path))
        return rc;
    snprintf(why, sizeof why, "%s", um_error_text());
    return um_fail(rc, "%s: %s", path, why);
}

static um_status make_record(um_record *r, int i, const uint8_t *residual, int64_t bits)
{
    um_status rc = UM_OK;
    static const char *const names[] = {"b (2)", "a", "c\xc3\xa9/x"};
    *r = (um_record){.h = 64, .w = 64, .c = 3, .rule = UM_OPACITY_MUL, .theta = {100 + i, 3, 40}, .wsm = UM_WSM_STRICT, .time = 1700000000};
    snprintf(r->serial, sizeof r->serial, "%032x", 1000 - i);
    snprintf(r->target, sizeof r->target, "resnet18:%064d", 5);
    snprintf(r->clean, sizeof r->clean, "%064d", i);
    snprintf(r->marked, sizeof r->marked, "%064d", i + 1);
    UM_TRY(um_record_set_names(r, "set one", names[i]));
    UM_TRY(UM_NEW_ARRAY(r->boxes.list, i));
    r->boxes.n = i;
    for (int k = 0; k < i; k++)
        r->boxes.list[k] = (um_box){k, 2 * k, k + 5, 2 * k + 9};
    r->residual_bits = bits;
    snprintf(r->residual, sizeof r->residual, "%064d", 0);
    if (bits)
        um_sha256_of(residual, (size_t)(bits + 7) / 8, r->residual);
done:
    return rc;
}

static um_status make_list(um_certificate *c, int n)
{
    um_status rc = UM_OK;
    uint8_t rgba[24], *residual = NULL;
    um_logo logo = {2, 3, rgba};
    um_record r = {.h = 0};
    for (int i = 0; i < 24; i++)
        rgba[i] = (uint8_t)(i * 11);
    for (int i = 0; i < n; i++) {
        if (i != 1) {
            UM_TRY(UM_NEW_ARRAY(residual, 3));
            residual[0] = (uint8_t)(i + 1);
        }
        UM_TRY(make_record(&r, i, residual, residual ? 21 : 0));
        um_logo_sha256(&logo, r.logo);
        r.logo_h = 2, r.logo_w = 3;
        UM_TRY(um_certificate_add(c, &r, &residual, &logo));
    }
    UM_TRY(um_certificate_finish(c, &owner));
done:
    um_free(residual);
    return rc;
}

um_status fuzz_make_certificate(const char *path, int kind)
{
    um_status rc = UM_OK;
    um_certificate c = {0};
    if (kind > 1)
        return past_the_last();
    remove(path);
    UM_TRY(make_list(&c, kind == 0 ? 3 : 1));
    UM_TRY(um_certificate_write(&c, path));
done:
    um_certificate_free(&c);
    return rc;
}

um_status fuzz_read_certificate(const char *path)
{
    um_status rc = UM_OK;
    um_certificate c = {0};
    um_text image = {0};
    UM_TRY(um_certificate_read(&c, path));
    for (int64_t i = 0; i < c.n; i++) {
        um_text_free(&image);
        image = (um_text){0};
        um_certificate_logo(&c, i);
        UM_TRY(named(um_record_image(&c.records[i], &image), path));
        um_certificate_find(&c, um_text_get(&image));
    }
    UM_TRY(named(um_certificate_verify(&c, &owner), path));
done:
    um_text_free(&image);
    um_certificate_free(&c);
    return rc;
}

um_status fuzz_make_sealed(const char *path, int kind)
{
    um_status rc = UM_OK;
    um_certificate c = {0};
    static const int64_t rows[] = {2, 0};
    if (kind > 1)
        return past_the_last();
    remove(path);
    UM_TRY(make_list(&c, 3));
    UM_TRY(um_certificate_seal(&c, &owner, user, rows, 2 - kind, path));
done:
    um_certificate_free(&c);
    return rc;
}

um_status fuzz_read_sealed(const char *path)
{
    um_status rc = UM_OK;
    um_certificate c = {0};
    um_secret key;
    UM_TRY(um_certificate_user_key(&key, &owner, user));
    UM_TRY(named(um_certificate_unseal(&c, &key, path), path));
done:
    um_certificate_free(&c);
    return rc;
}

um_status fuzz_make_record(const char *path, int kind)
{
    um_status rc = UM_OK;
    um_certificate c = {0};
    if (kind > 2)
        return past_the_last();
    UM_TRY(make_list(&c, 3));
    UM_TRY(um_file_write(path, c.texts[kind], strlen(c.texts[kind])));
done:
    um_certificate_free(&c);
    return rc;
}

/* What is accepted is exactly what would be written. */
um_status fuzz_read_record(const char *path)
{
    um_status rc = UM_OK;
    um_record r = {.h = 0};
    um_text text = {0}, again = {0}, image = {0};
    UM_TRY(um_file_read(&text, path, UM_RECORD_BYTES_MAX));
    UM_TRY(named(um_record_parse(&r, um_text_get(&text), text.n), path));
    UM_TRY(um_record_print(&r, &again));
    UM_REQUIRE(again.n == text.n && memcmp(again.data, text.data, text.n) == 0);
    UM_TRY(named(um_record_image(&r, &image), path));
done:
    um_text_free(&image);
    um_text_free(&again);
    um_text_free(&text);
    um_record_clear(&r);
    return rc;
}

um_status fuzz_make_key(const char *path, int kind)
{
    if (kind > 0)
        return past_the_last();
    remove(path);
    return um_secret_write(&owner, path);
}

um_status fuzz_read_key(const char *path)
{
    um_secret s;
    chmod(path, 0600);
    return um_secret_read(&s, path);
}
