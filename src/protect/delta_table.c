#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "protect/attack.h"

static int by_key(const void *a, const void *b)
{
    uint64_t x = ((const struct um_delta_key *)a)->key, y = ((const struct um_delta_key *)b)->key;
    return (x > y) - (x < y);
}

um_status um_delta_table_create(um_delta_table **out, um_dtype real, const um_dataset *d, const um_rows *rows)
{
    um_status rc = UM_OK;
    um_delta_table *t = NULL;
    UM_TRY(UM_NEW(t));
    *t = (um_delta_table){.real = real, .n = rows->n, .h = d->h, .w = d->w, .c = d->c};
    UM_TRY(UM_NEW_ARRAY(t->keys, rows->n));
    UM_TRY(um_alloc(&t->delta, (size_t)(rows->n * d->h * d->w * d->c), um_dtype_bytes(real)));
    for (int64_t i = 0; i < rows->n; i++)
        t->keys[i] = (struct um_delta_key){rows->key[i], i};
    qsort(t->keys, (size_t)rows->n, sizeof *t->keys, by_key);
    *out = t;
    t = NULL;
done:
    um_delta_table_free(t);
    return rc;
}

void um_delta_table_free(void *table)
{
    um_delta_table *t = table;
    if (!t)
        return;
    um_free(t->keys);
    um_free(t->delta);
    um_free(t);
}

um_status um_delta_table_apply(const um_delta_table *t, const char *who, const um_dataset *d, const int64_t *rows, int64_t n,
                               float *delta)
{
    int64_t values = t->h * t->w * t->c;
    if (d->h != t->h || d->w != t->w || d->c != t->c)
        return um_fail(UM_E_DATA, "%s was fitted to %ldx%ldx%ld images; these are %ldx%ldx%ld", who, (long)t->h, (long)t->w,
                       (long)t->c, (long)d->h, (long)d->w, (long)d->c);
    for (int64_t i = 0; i < n; i++) {
        struct um_delta_key want = {um_text_hash(d->ids[rows[i]]), 0};
        const struct um_delta_key *hit = bsearch(&want, t->keys, (size_t)t->n, sizeof want, by_key);
        if (!hit)
            return um_fail(UM_E_DATA, "%s protects the images that it was fitted to; \"%s\" is not among them", who,
                           d->ids[rows[i]]);
        for (int64_t k = 0; k < values; k++)
            delta[i * values + k] = t->real == UM_F64 ? (float)((const double *)t->delta)[hit->at * values + k]
                                                      : ((const float *)t->delta)[hit->at * values + k];
    }
    return UM_OK;
}
