#include "io/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "io/dataset_internal.h"

struct um_shard {
    um_h5 *file;
    um_h5_rows *pixels, *masks;
    um_shard_index index;
};

um_status um_shard_index_add(um_shard_index *x, const char *id, int64_t h, int64_t w, int64_t c, bool masked, uint8_t split)
{
    um_status rc = UM_OK;
    um_shard_row last = {.h = 0};
    if (x->n == x->cap) {
        int64_t cap = 2 * x->cap + 64;
        UM_TRY(UM_GROW(x->rows, x->cap, cap));
        UM_TRY(UM_GROW(x->ids, x->cap, cap));
        UM_TRY(UM_GROW(x->split, x->cap, cap));
        x->cap = cap;
    }
    if (x->n > 0)
        last = x->rows[x->n - 1];
    UM_TRY(um_strdup(&x->ids[x->n], id));
    x->rows[x->n] = (um_shard_row){h, w, c, last.at + um_shard_values(&last), masked ? x->n_mask_pixels : -1};
    x->n_mask_pixels += um_shard_mask_pixels(&x->rows[x->n]);
    x->split[x->n] = split;
    x->n++;
done:
    return rc;
}

void um_shard_index_clear(um_shard_index *x)
{
    for (int64_t i = 0; i < x->n; i++)
        um_free(x->ids[i]);
    um_free(x->ids);
    um_free(x->rows);
    um_free(x->split);
    *x = (um_shard_index){.uniform = x->uniform, .bits = x->bits};
}

void um_shard_extent(const um_shard_index *x, int64_t first, int64_t n, int64_t *values, int64_t *mask_pixels)
{
    *values = *mask_pixels = 0;
    for (int64_t i = first; i < first + n; i++) {
        *values += um_shard_values(&x->rows[i]);
        *mask_pixels += um_shard_mask_pixels(&x->rows[i]);
    }
}

static void hash_head(um_sha256 *s, const um_shard_index *x, int64_t row)
{
    const um_shard_row *r = &x->rows[row];
    char head[160];
    int n = snprintf(head, sizeof head, " %lld %lld %lld %d %d %d\n", (long long)r->h, (long long)r->w, (long long)r->c, x->bits,
                     r->mask_at >= 0, x->split[row]);
    um_sha256_add(s, x->ids[row], strlen(x->ids[row]));
    um_sha256_add(s, head, (size_t)n);
}

void um_shard_hash_add(um_sha256 *s, const um_shard_index *x, int64_t row, const void *pixels, const uint8_t *mask)
{
    const um_shard_row *r = &x->rows[row];
    hash_head(s, x, row);
    um_sha256_add(s, pixels, (size_t)um_shard_values(r) * (size_t)(x->bits / 8));
    if (r->mask_at >= 0)
        um_sha256_add(s, mask, (size_t)(r->h * r->w));
}

um_status um_shard_files(const char *path, char ***out, size_t *n)
{
    return um_dataset_files(path, out, n);
}

/* ---- the index ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static um_status check_ids(const um_shard *s)
{
    um_status rc = UM_OK;
    char **sorted = NULL;
    const um_shard_index *x = &s->index;
    UM_TRY(UM_NEW_ARRAY(sorted, x->n));
    memcpy(sorted, x->ids, (size_t)x->n * sizeof *sorted);
    qsort(sorted, (size_t)x->n, sizeof *sorted, by_text);
    for (int64_t i = 0; i < x->n && rc == UM_OK; i++) {
        if (sorted[i][0] == 0)
            rc = um_fail(UM_E_DATA, "%s: /ids holds an empty id", um_h5_path(s->file));
        else if (i > 0 && strcmp(sorted[i - 1], sorted[i]) == 0)
            rc = um_fail(UM_E_DATA, "%s: /ids holds '%s' twice; ids must be unique", um_h5_path(s->file), sorted[i]);
    }
done:
    um_free(sorted);
    return rc;
}

static um_status read_names(um_shard *s, int64_t n)
{
    um_status rc = UM_OK;
    um_shard_index *x = &s->index;
    int64_t n_ids = 0;
    UM_TRY(UM_NEW_ARRAY(x->rows, n));
    UM_TRY(UM_NEW_ARRAY(x->split, n));
    UM_TRY(um_h5_read_into(s->file, "/split", UM_H5_U8, 1, &n, x->split));
    UM_TRY(um_h5_read_strings(s->file, "/ids", n, &x->ids, &n_ids));
    x->n = x->cap = n;
    for (int64_t i = 0; i < n; i++)
        if (x->split[i] > 1) {
            rc = um_fail(UM_E_DATA, "%s: /split of '%s' is %d, expected 0 (train) or 1 (test)", um_h5_path(s->file), x->ids[i],
                         x->split[i]);
            goto done;
        }
    UM_TRY(check_ids(s));
done:
    return rc;
}

static um_status open_uniform(um_shard *s)
{
    um_status rc = UM_OK;
    um_dataset d = {0};
    UM_TRY(um_dataset_file_shape(s->file, &d));
    s->index.uniform = true;
    s->index.bits = d.bits;
    UM_TRY(read_names(s, d.n));
    for (int64_t i = 0; i < d.n; i++)
        s->index.rows[i] = (um_shard_row){d.h, d.w, d.c, i * d.h * d.w * d.c, i * d.h * d.w};
done:
    return rc;
}

/* One image behind the other, and together as many as there are. */
static um_status check_rows(um_shard *s, int64_t n_values, int64_t n_masks)
{
    const um_shard_index *x = &s->index;
    int64_t values = 0, masks = 0;
    for (int64_t i = 0; i < x->n; i++) {
        const um_shard_row *r = &x->rows[i];
        bool sane = r->h >= 1 && r->w >= 1 && (r->c == 1 || r->c == 3) && r->at == values && (r->mask_at == -1 || r->mask_at == masks);
        values += sane ? um_shard_values(r) : 0;
        masks += sane ? um_shard_mask_pixels(r) : 0;
        if (!sane || values > n_values || masks > n_masks)
            return um_fail(UM_E_DATA, "%s: '%s' is said to be %lldx%lldx%lld at %lld, its mask at %lld, which does not fit what is stored",
                           um_h5_path(s->file), x->ids[i], (long long)r->h, (long long)r->w, (long long)r->c, (long long)r->at,
                           (long long)r->mask_at);
    }
    if (values != n_values || masks != n_masks)
        return um_fail(UM_E_DATA, "%s: /pixels holds %lld values and /mask_pixels %lld, the images take %lld and %lld",
                       um_h5_path(s->file), (long long)n_values, (long long)n_masks, (long long)values, (long long)masks);
    return UM_OK;
}

static um_status open_mixed(um_shard *s)
{
    um_status rc = UM_OK;
    um_h5_type type;
    int ndim;
    int32_t *shape = NULL;
    int64_t *offset = NULL, *mask_offset = NULL, sizes[UM_H5_DIMS], n_masks = 0, any = -1, of[2] = {-1, 3};
    UM_TRY(um_h5_inspect(s->file, "/pixels", &type, &ndim, sizes));
    if (ndim != 1 || (type != UM_H5_U8 && type != UM_H5_U16)) {
        rc = um_fail(UM_E_DATA, "%s: /pixels has %d dimensions of %s, expected 1 of u8 or u16", um_h5_path(s->file), ndim,
                     um_h5_type_name(type));
        goto done;
    }
    s->index.bits = type == UM_H5_U8 ? 8 : 16;
    UM_TRY(um_h5_expect(s->file, "/mask_pixels", UM_H5_U8, 1, &any, &n_masks));
    UM_TRY(um_h5_read_array(s->file, "/shape", UM_H5_I32, 2, of, (void **)&shape, of));
    UM_TRY(um_h5_read_array(s->file, "/offset", UM_H5_I64, 1, of, (void **)&offset, NULL));
    UM_TRY(um_h5_read_array(s->file, "/mask_offset", UM_H5_I64, 1, of, (void **)&mask_offset, NULL));
    UM_TRY(read_names(s, of[0]));
    for (int64_t i = 0; i < of[0]; i++)
        s->index.rows[i] = (um_shard_row){shape[3 * i], shape[3 * i + 1], shape[3 * i + 2], offset[i], mask_offset[i]};
    UM_TRY(check_rows(s, sizes[0], n_masks));
done:
    um_free(mask_offset);
    um_free(offset);
    um_free(shape);
    return rc;
}

um_status um_shard_open(um_shard **out, const char *path)
{
    um_status rc = UM_OK;
    um_shard *s = NULL;
    UM_TRY(UM_NEW(s));
    UM_TRY(um_h5_open(&s->file, path, NULL, UM_DATASET_VERSION));
    if (strcmp(um_h5_format(s->file), UM_DATASET_FORMAT) == 0)
        UM_TRY(open_uniform(s));
    else if (strcmp(um_h5_format(s->file), UM_ARCHIVE_FORMAT) == 0)
        UM_TRY(open_mixed(s));
    else
        UM_TRY(um_fail(UM_E_DATA, "%s: format is '%s', expected '%s' or '%s'", path, um_h5_format(s->file), UM_DATASET_FORMAT,
                       UM_ARCHIVE_FORMAT));
    UM_TRY(um_h5_rows_open(&s->pixels, s->file, s->index.uniform ? "/images" : "/pixels", s->index.bits == 8 ? UM_H5_U8 : UM_H5_U16));
    UM_TRY(um_h5_rows_open(&s->masks, s->file, s->index.uniform ? "/masks" : "/mask_pixels", UM_H5_U8));
    *out = s;
    s = NULL;
done:
    um_shard_close(s);
    return rc;
}

void um_shard_close(um_shard *s)
{
    if (!s)
        return;
    um_h5_rows_close(s->pixels);
    um_h5_rows_close(s->masks);
    um_h5_free(s->file);
    um_shard_index_clear(&s->index);
    um_free(s);
}

const um_shard_index *um_shard_get_index(const um_shard *s)
{
    return &s->index;
}

um_h5 *um_shard_file(um_shard *s)
{
    return s->file;
}

um_status um_shard_mark(um_shard *s, char out[UM_SHARD_MARK])
{
    um_status rc = UM_OK;
    um_sha256 sum;
    char hex[UM_SHA256_HEX];
    um_sha256_init(&sum);
    for (int64_t i = 0; i < s->index.n; i++)
        hash_head(&sum, &s->index, i);
    UM_TRY(um_h5_sum(s->file, s->index.uniform ? "/images" : "/pixels", &sum));
    UM_TRY(um_h5_sum(s->file, s->index.uniform ? "/masks" : "/mask_pixels", &sum));
    um_sha256_hex(&sum, hex);
    snprintf(out, UM_SHARD_MARK, "%.*s", UM_SHARD_MARK - 1, hex);
done:
    return rc;
}

bool um_shard_is_clean(um_shard *s)
{
    return um_h5_has_attr(s->file, "/", "software");
}

/* ---- pixels ---- */

static um_status check_masks(const um_shard *s, int64_t first, int64_t n, const uint8_t *masks)
{
    for (int64_t i = first; i < first + n; i++) {
        int64_t pixels = um_shard_mask_pixels(&s->index.rows[i]);
        uint8_t bits = 0;
        for (int64_t p = 0; p < pixels; p++)
            bits |= masks[p];
        if (bits > 1)
            return um_fail(UM_E_DATA, "%s: the mask of '%s' holds values other than 0 and 1", um_h5_path(s->file), s->index.ids[i]);
        masks += pixels;
    }
    return UM_OK;
}

/* Where the masks of rows [first, first + n) begin. */
static int64_t first_mask(const um_shard_index *x, int64_t first, int64_t n)
{
    for (int64_t i = first; i < first + n; i++)
        if (x->rows[i].mask_at >= 0)
            return x->rows[i].mask_at;
    return 0;
}

um_status um_shard_read(um_shard *s, int64_t first, int64_t n, void *pixels, uint8_t *masks)
{
    um_status rc = UM_OK;
    const um_shard_index *x = &s->index;
    int64_t n_values, n_masks;
    UM_REQUIRE(first >= 0 && n >= 0 && n <= x->n - first);
    um_shard_extent(x, first, n, &n_values, &n_masks);
    if (pixels && x->uniform)
        UM_TRY(um_h5_rows_read(s->pixels, first, n, pixels));
    else if (pixels && n > 0)
        UM_TRY(um_h5_rows_read(s->pixels, x->rows[first].at, n_values, pixels));
    if (!masks || n_masks == 0)
        goto done;
    if (x->uniform)
        UM_TRY(um_h5_rows_read(s->masks, first, n, masks));
    else
        UM_TRY(um_h5_rows_read(s->masks, first_mask(x, first, n), n_masks, masks));
    UM_TRY(check_masks(s, first, n, masks));
done:
    return rc;
}

um_status um_shard_verify(um_shard *s)
{
    um_status rc = UM_OK;
    const um_shard_index *x = &s->index;
    um_text recorded = {0};
    um_sha256 sum;
    char sha256[UM_SHA256_HEX];
    uint8_t *pixels = NULL, *mask = NULL;
    um_sha256_init(&sum);
    for (int64_t i = 0; i < x->n; i++) {
        um_free(pixels);
        um_free(mask);
        pixels = mask = NULL;
        UM_TRY(um_alloc((void **)&pixels, (size_t)um_shard_values(&x->rows[i]), (size_t)(x->bits / 8)));
        UM_TRY(UM_NEW_ARRAY(mask, um_shard_mask_pixels(&x->rows[i])));
        UM_TRY(um_shard_read(s, i, 1, pixels, mask));
        um_shard_hash_add(&sum, x, i, pixels, mask);
    }
    if (x->uniform || !um_h5_has_attr(s->file, "/", "sha256"))
        goto done;
    UM_TRY(um_h5_get_text(s->file, "/", "sha256", &recorded));
    um_sha256_hex(&sum, sha256);
    if (strcmp(sha256, um_text_get(&recorded)) != 0)
        rc = um_fail(UM_E_DATA, "%s: content has sha256 %s, recorded is %s: the file was changed", um_h5_path(s->file), sha256,
                     um_text_get(&recorded));
done:
    um_text_free(&recorded);
    um_free(mask);
    um_free(pixels);
    return rc;
}
