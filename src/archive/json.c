#include "archive/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sha256.h"

static const char seal_key[] = ",\"sha256_line\":\"";

static um_status escape(um_text *out, const char *value)
{
    um_status rc = UM_OK;
    UM_TRY(um_text_add(out, "\""));
    for (const unsigned char *p = (const unsigned char *)value; *p;) {
        size_t plain = 0;
        while (p[plain] >= 0x20 && p[plain] != '"' && p[plain] != '\\')
            plain++;
        UM_TRY(um_text_add(out, "%.*s", (int)plain, (const char *)p));
        p += plain;
        if (*p) {
            UM_TRY(um_text_add(out, *p < 0x20 ? "\\u%04x" : "\\%c", *p));
            p++;
        }
    }
    UM_TRY(um_text_add(out, "\""));
done:
    return rc;
}

static um_status comma(um_text *out)
{
    char last = out->n ? out->data[out->n - 1] : '{';
    return last == '{' || last == '[' || last == '\n' ? UM_OK : um_text_add(out, ",");
}

static um_status name(um_text *out, const char *key)
{
    um_status rc = comma(out);
    return rc == UM_OK && key ? um_text_add(out, "\"%s\":", key) : rc;
}

um_status um_json_text(um_text *out, const char *key, const char *value)
{
    um_status rc = name(out, key);
    return rc == UM_OK ? escape(out, value) : rc;
}

um_status um_json_element(um_text *out, const char *value)
{
    return um_json_text(out, NULL, value);
}

um_status um_json_int(um_text *out, const char *key, int64_t value)
{
    um_status rc = name(out, key);
    return rc == UM_OK ? um_text_add(out, "%lld", (long long)value) : rc;
}

um_status um_json_real(um_text *out, const char *key, double value)
{
    um_status rc = name(out, key);
    if (rc == UM_OK)
        rc = isfinite(value) ? um_text_add(out, "%.6g", value) : um_text_add(out, "null");
    return rc;
}

um_status um_json_open(um_text *out, const char *key, char bracket)
{
    um_status rc = name(out, key);
    return rc == UM_OK ? um_text_add(out, "%c", bracket) : rc;
}

um_status um_json_close(um_text *out, char bracket)
{
    return um_text_add(out, "%c", bracket);
}

um_status um_json_seal(um_text *line)
{
    char sha256[UM_SHA256_HEX];
    um_sha256_of(um_text_get(line), line->n, sha256);
    return um_text_add(line, "%s%s\"}\n", seal_key, sha256);
}

um_status um_json_check(const char *line, const char *where)
{
    char sha256[UM_SHA256_HEX];
    size_t n = strcspn(line, "\n"), tail = strlen(seal_key) + UM_SHA256_HEX - 1 + 2;
    if (n >= tail) {
        const char *seal = line + n - tail, *hex = seal + strlen(seal_key);
        um_sha256_of(line, (size_t)(seal - line), sha256);
        if (strncmp(seal, seal_key, strlen(seal_key)) == 0 && strncmp(hex, sha256, UM_SHA256_HEX - 1) == 0 &&
            hex[UM_SHA256_HEX - 1] == '"' && hex[UM_SHA256_HEX] == '}')
            return UM_OK;
    }
    return um_fail(UM_E_DATA, "%s: a line does not have the checksum that it was written with: the file was changed", where);
}

/* Behind "key":, outside of texts and inner brackets; NULL when there is none. */
static const char *find(const char *line, const char *key)
{
    size_t n = strlen(key);
    int depth = 0;
    for (const char *p = line; *p && *p != '\n'; p++) {
        depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
        if (*p != '"')
            continue;
        const char *from = ++p;
        while (*p && *p != '"')
            p += *p == '\\' && p[1] ? 2 : 1;
        if (!*p)
            return NULL;
        if (depth == 1 && (size_t)(p - from) == n && strncmp(from, key, n) == 0 && p[1] == ':')
            return p + 2;
    }
    return NULL;
}

bool um_json_get_int(const char *line, const char *key, int64_t *out)
{
    const char *at = find(line, key);
    char *end = NULL;
    long long value = at ? strtoll(at, &end, 10) : 0;
    if (!at || end == at || (*end != ',' && *end != '}'))
        return false;
    *out = value;
    return true;
}

/* The byte behind \u00; -1 for other escapes, which we do not write. */
static int unescape(const char *at)
{
    int code = 0;
    for (int i = 0; i < 4; i++) {
        const char *digit = at[i] ? strchr("0123456789abcdef", at[i]) : NULL;
        if (!digit)
            return -1;
        code = 16 * code + (int)(digit - "0123456789abcdef");
    }
    return code > 0 && code < 0x20 ? code : -1;
}

bool um_json_get_text(const char *line, const char *key, um_text *out)
{
    const char *at = find(line, key);
    if (!at || *at != '"')
        return false;
    for (at++; *at != '"'; at++) {
        int code = (unsigned char)*at;
        if (code == '\\' && at[1] == 'u') {
            code = unescape(at + 2);
            at += code > 0 ? 5 : 0;
        } else if (code == '\\') {
            code = (unsigned char)*++at;
        }
        if (code <= 0 || *at == '\n' || um_text_add(out, "%c", (char)code) != UM_OK)
            return false;
    }
    return true;
}
