#include "train/rows.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static um_status fill_keys(um_rows *r, const um_dataset *d)
{
    um_status rc = UM_OK;
    UM_TRY(UM_NEW_ARRAY(r->key, r->n));
    for (int64_t i = 0; i < r->n; i++)
        r->key[i] = um_text_hash(d->ids[r->index[i]]);
done:
    return rc;
}

/* Keeps `limit` of the rows, chosen by id. */
static um_status keep_some(um_rows *r, int64_t limit, uint64_t seed)
{
    um_status rc = UM_OK;
    int64_t *order = NULL, *kept = NULL;
    UM_TRY(UM_NEW_ARRAY(order, r->n));
    UM_TRY(UM_NEW_ARRAY(kept, limit));
    UM_TRY(um_rng_permutation(order, r->key, r->n, seed, UM_RNG_LIMIT, 0));
    for (int64_t i = 0; i < limit; i++)
        kept[i] = r->index[order[i]];
    qsort(kept, (size_t)limit, sizeof *kept, ascending);
    um_free(r->index);
    um_free(r->key);
    r->index = kept;
    r->key = NULL;
    r->n = limit;
    kept = NULL;
done:
    um_free(kept);
    um_free(order);
    return rc;
}

um_status um_rows_select(um_rows *out, const um_dataset *d, int split, int64_t limit, uint64_t seed)
{
    um_status rc = UM_OK;
    um_rows r = {0};
    UM_TRY(UM_NEW_ARRAY(r.index, d->n));
    for (int64_t i = 0; i < d->n; i++)
        if (split < 0 || d->split[i] == split)
            r.index[r.n++] = i;
    UM_TRY(fill_keys(&r, d));
    if (limit > 0 && limit < r.n) {
        UM_TRY(keep_some(&r, limit, seed));
        UM_TRY(fill_keys(&r, d));
    }
    *out = r;
    r = (um_rows){0};
done:
    um_rows_free(&r);
    return rc;
}

void um_rows_free(um_rows *r)
{
    um_free(r->index);
    um_free(r->key);
    *r = (um_rows){0};
}

um_status um_rows_order(int64_t *out, const um_rows *rows, uint64_t seed, um_rng_purpose purpose, int64_t epoch)
{
    return um_rng_permutation(out, rows->key, rows->n, seed, purpose, (uint32_t)epoch);
}

static double pixel(const um_dataset *d, const uint8_t *base, int64_t i)
{
    return d->bits == 8 ? base[i] : ((const uint16_t *)(const void *)base)[i];
}

void um_row_image(const um_dataset *d, int64_t row, um_dtype real, void *out)
{
    const uint8_t *base = um_dataset_image(d, row);
    int64_t n = d->h * d->w * d->c;
    double max = um_dataset_max(d);
    for (int64_t i = 0; i < n; i++) {
        if (real == UM_F64)
            ((double *)out)[i] = pixel(d, base, i) / max;
        else
            ((float *)out)[i] = (float)(pixel(d, base, i) / max);
    }
}

void um_row_mask(const um_dataset *d, int64_t row, um_dtype real, void *out)
{
    const uint8_t *mask = um_dataset_mask(d, row);
    for (int64_t i = 0; i < d->h * d->w; i++) {
        if (real == UM_F64)
            ((double *)out)[i] = mask[i];
        else
            ((float *)out)[i] = mask[i];
    }
}

void um_row_label(const um_dataset *d, int64_t row, um_dtype real, void *out)
{
    if (real == UM_F64)
        *(double *)out = d->labels[row];
    else
        *(float *)out = d->labels[row];
}
