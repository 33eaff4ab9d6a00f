#include "medlocker/record.h"

#include <ctype.h>
#include <string.h>

#include "base/mem.h"

static const char *const rules[] = {"mul", "min"}, *const states[] = {"strict", "relaxed", "none"};

void um_record_clear(um_record *r)
{
    um_boxes_free(&r->boxes);
    *r = (um_record){0};
}

static bool plain(unsigned char c, bool slash)
{
    return isalnum(c) ? c < 128 : c == '.' || c == '_' || c == '-' || (c == '/' && slash);
}

static bool escape(char *out, size_t size, const char *text, bool slash)
{
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (n + 4 > size)
            return false;
        n += (size_t)snprintf(out + n, size - n, plain(*p, slash) ? "%c" : "%%%02X", *p);
    }
    return n > 0;
}

um_status um_record_set_names(um_record *r, const char *dataset, const char *image)
{
    if (!escape(r->dataset, sizeof r->dataset, dataset, false))
        return um_fail(UM_E_DATA, "a certificate cannot name the dataset \"%s\": empty or too long", dataset);
    if (!escape(r->image, sizeof r->image, image, true))
        return um_fail(UM_E_DATA, "a certificate cannot name the image \"%s\": empty or too long", image);
    return UM_OK;
}

um_status um_record_image(const um_record *r, um_text *out)
{
    um_status rc = UM_OK;
    for (const char *p = r->image; *p; p++) {
        unsigned c = (unsigned char)*p;
        if (c == '%') {
            if (sscanf(p + 1, "%2X", &c) != 1 || c == 0)
                return um_fail(UM_E_DATA, "the image name \"%s\" of a certificate is not well formed", r->image);
            p += 2;
        }
        UM_TRY(um_text_add(out, "%c", (int)c));
    }
done:
    return rc;
}

um_status um_record_print(const um_record *r, um_text *out)
{
    um_status rc = UM_OK;
    UM_TRY(um_text_add(out, "WMC1\nserial=%s\ndataset=%s\nimage=%s\nshape=%lldx%lldx%lld\nlogo=%s\nlogo_hw=%lldx%lld\nrule=%s\n",
                       r->serial, r->dataset, r->image, (long long)r->h, (long long)r->w, (long long)r->c, r->logo,
                       (long long)r->logo_h, (long long)r->logo_w, rules[r->rule]));
    UM_TRY(um_text_add(out, "alpha=%d\ny=%lld\nx=%lld\nboxes=%lld", r->theta.alpha, (long long)r->theta.y, (long long)r->theta.x,
                       (long long)r->boxes.n));
    for (int64_t i = 0; i < r->boxes.n; i++) {
        const um_box *b = &r->boxes.list[i];
        UM_TRY(um_text_add(out, ";%lld,%lld,%lld,%lld", (long long)b->y0, (long long)b->x0, (long long)b->y1, (long long)b->x1));
    }
    UM_TRY(um_text_add(out, "\nwsm=%s\ntarget=%s\nclean=%s\nprotected=%s\nresidual=%lld:%s\ntime=%lld\n", states[r->wsm], r->target,
                       r->clean, r->marked, (long long)r->residual_bits, r->residual, (long long)r->time));
done:
    return rc;
}

/* Reading is lenient; that the text is the one form is seen by printing what was read. */
typedef struct reader {
    char *at;
    const char *key; /* being read, for messages */
} reader;

static char *value_of(reader *r, const char *key)
{
    size_t n = strlen(key);
    char *line = r->at, *end = strchr(line, '\n');
    r->key = key;
    if (!end || strncmp(line, key, n) != 0 || line[n] != '=')
        return NULL;
    *end = 0;
    r->at = end + 1;
    return line + n + 1;
}

static bool read_text(reader *r, const char *key, char *out, size_t size)
{
    const char *v = value_of(r, key);
    return v && (size_t)snprintf(out, size, "%s", v) < size;
}

static bool read_ints(reader *r, const char *key, int64_t *out, int n)
{
    char *v = value_of(r, key), *rest = NULL;
    for (int i = 0; v && i < n; i++) {
        char *word = strtok_r(i ? NULL : v, "x", &rest);
        if (!word || !um_text_parse_int(word, &out[i]))
            return false;
    }
    return v != NULL;
}

static bool read_word(reader *r, const char *key, int *out, const char *const *words, int n)
{
    const char *v = value_of(r, key);
    for (*out = 0; v && *out < n; ++*out)
        if (strcmp(v, words[*out]) == 0)
            return true;
    return false;
}

static um_status read_boxes(reader *r, um_boxes *out, bool *good)
{
    um_status rc = UM_OK;
    char *v = value_of(r, "boxes"), *rest = NULL, *word = v ? strtok_r(v, ";", &rest) : NULL;
    int64_t n = 0;
    *good = word && um_text_parse_int(word, &n) && n >= 0 && n <= UM_RECORD_BOXES_MAX;
    if (!*good || n == 0)
        return UM_OK;
    UM_TRY(UM_NEW_ARRAY(out->list, n));
    out->n = n;
    for (int64_t i = 0; i < n && *good; i++) {
        long long q[4];
        word = strtok_r(NULL, ";", &rest);
        *good = word && sscanf(word, "%lld,%lld,%lld,%lld", &q[0], &q[1], &q[2], &q[3]) == 4;
        if (*good)
            out->list[i] = (um_box){q[0], q[1], q[2], q[3]};
    }
done:
    return rc;
}

static um_status read_fields(um_record *q, reader *r, bool *good)
{
    um_status rc = UM_OK;
    int64_t shape[3], logo[2], alpha = 0;
    char residual[96];
    *good = false;
    r->key = "WMC1";
    if (strncmp(r->at, "WMC1\n", 5) != 0)
        return UM_OK;
    r->at += 5;
    if (!read_text(r, "serial", q->serial, sizeof q->serial) || !read_text(r, "dataset", q->dataset, sizeof q->dataset) ||
        !read_text(r, "image", q->image, sizeof q->image) || !read_ints(r, "shape", shape, 3) ||
        !read_text(r, "logo", q->logo, sizeof q->logo) || !read_ints(r, "logo_hw", logo, 2) ||
        !read_word(r, "rule", &q->rule, rules, 2) || !read_ints(r, "alpha", &alpha, 1) || !read_ints(r, "y", &q->theta.y, 1) ||
        !read_ints(r, "x", &q->theta.x, 1))
        return UM_OK;
    q->h = shape[0], q->w = shape[1], q->c = shape[2], q->logo_h = logo[0], q->logo_w = logo[1];
    q->theta.alpha = (int)alpha;
    UM_TRY(read_boxes(r, &q->boxes, good));
    if (!*good)
        return UM_OK;
    *good = read_word(r, "wsm", &q->wsm, states, 3) && read_text(r, "target", q->target, sizeof q->target) &&
            read_text(r, "clean", q->clean, sizeof q->clean) && read_text(r, "protected", q->marked, sizeof q->marked) &&
            read_text(r, "residual", residual, sizeof residual) && read_ints(r, "time", &q->time, 1);
    char *colon = *good ? strchr(residual, ':') : NULL;
    *good = colon && strlen(colon + 1) == UM_SHA256_HEX - 1;
    if (*good) {
        *colon = 0;
        memcpy(q->residual, colon + 1, UM_SHA256_HEX);
        *good = um_text_parse_int(residual, &q->residual_bits);
    }
done:
    return rc;
}

um_status um_record_parse(um_record *out, const char *text, size_t bytes)
{
    um_status rc = UM_OK;
    um_record q = {0};
    um_text copy = {0}, again = {0};
    bool good = false;
    if (bytes == 0 || bytes > UM_RECORD_BYTES_MAX || memchr(text, 0, bytes))
        return um_fail(UM_E_DATA, "a certificate of %zu bytes is not one", bytes);
    UM_TRY(um_text_add(&copy, "%.*s", (int)bytes, text));
    reader r = {copy.data, ""};
    UM_TRY(read_fields(&q, &r, &good));
    if (!good)
        UM_TRY(um_fail(UM_E_DATA, "a certificate is not well formed at \"%s\"", r.key));
    UM_TRY(um_record_print(&q, &again));
    if (again.n != bytes || memcmp(again.data, text, bytes) != 0)
        UM_TRY(
            um_fail(UM_E_DATA, "a certificate is not in its one form (order of keys, leading zeros, spaces, something left over)"));
    *out = q;
    q = (um_record){0};
done:
    um_text_free(&again);
    um_text_free(&copy);
    um_record_clear(&q);
    return rc;
}

void um_record_id(uint8_t out[UM_ID_RAW], const char *text, size_t bytes)
{
    um_sha256 s;
    um_sha256_init(&s);
    um_sha256_add(&s, text, bytes);
    um_sha256_raw(&s, out);
}

/* ---- the tree ---- */

static void hash_leaf(uint8_t *out, const uint8_t *id)
{
    um_sha256 s;
    um_sha256_init(&s);
    um_sha256_add(&s, "", 1);
    um_sha256_add(&s, id, UM_ID_RAW);
    um_sha256_raw(&s, out);
}

static void hash_node(uint8_t *out, const uint8_t *left, const uint8_t *right)
{
    um_sha256 s;
    um_sha256_init(&s);
    um_sha256_add(&s, "\1", 1);
    um_sha256_add(&s, left, UM_ID_RAW);
    um_sha256_add(&s, right, UM_ID_RAW);
    um_sha256_raw(&s, out);
}

/* One level up, in place; returns its length. */
static int64_t lift(uint8_t *level, int64_t n)
{
    for (int64_t i = 0; i < n; i += 2) {
        if (i + 1 < n)
            hash_node(level + i / 2 * UM_ID_RAW, level + i * UM_ID_RAW, level + (i + 1) * UM_ID_RAW);
        else
            memmove(level + i / 2 * UM_ID_RAW, level + i * UM_ID_RAW, UM_ID_RAW);
    }
    return (n + 1) / 2;
}

/* Walks up from the leaves: the root, and the siblings of `index` when path is not NULL. */
static um_status climb(uint8_t *root, uint8_t *path, int *steps, const uint8_t *ids, int64_t n, int64_t index)
{
    um_status rc = UM_OK;
    uint8_t *level = NULL;
    int found = 0;
    UM_REQUIRE(n >= 1);
    UM_TRY(UM_NEW_ARRAY(level, n * UM_ID_RAW));
    for (int64_t i = 0; i < n; i++)
        hash_leaf(level + i * UM_ID_RAW, ids + i * UM_ID_RAW);
    for (int64_t m = n; m > 1; index /= 2) {
        int64_t sibling = index ^ 1;
        if (path && sibling < m)
            memcpy(path + found++ * UM_ID_RAW, level + sibling * UM_ID_RAW, UM_ID_RAW);
        m = lift(level, m);
    }
    memcpy(root, level, UM_ID_RAW);
    if (steps)
        *steps = found;
done:
    um_free(level);
    return rc;
}

um_status um_merkle_root(uint8_t root[UM_ID_RAW], const uint8_t *ids, int64_t n)
{
    return climb(root, NULL, NULL, ids, n, 0);
}

um_status um_merkle_path(uint8_t **path, int *steps, const uint8_t *ids, int64_t n, int64_t index)
{
    um_status rc = UM_OK;
    uint8_t root[UM_ID_RAW], *p = NULL;
    UM_REQUIRE(index >= 0 && index < n);
    UM_TRY(UM_NEW_ARRAY(p, 64 * UM_ID_RAW));
    UM_TRY(climb(root, p, steps, ids, n, index));
    *path = p;
    p = NULL;
done:
    um_free(p);
    return rc;
}

bool um_merkle_verify(const uint8_t root[UM_ID_RAW], const uint8_t id[UM_ID_RAW], int64_t index, int64_t n, const uint8_t *path,
                      int steps)
{
    uint8_t node[UM_ID_RAW];
    int used = 0;
    if (index < 0 || index >= n)
        return false;
    hash_leaf(node, id);
    for (int64_t m = n; m > 1; m = (m + 1) / 2, index /= 2) {
        if ((index ^ 1) >= m)
            continue;
        if (used == steps)
            return false;
        const uint8_t *sibling = path + used++ * UM_ID_RAW;
        if (index % 2)
            hash_node(node, sibling, node);
        else
            hash_node(node, node, sibling);
    }
    return used == steps && memcmp(node, root, UM_ID_RAW) == 0;
}
