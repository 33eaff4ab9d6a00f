#include "io/dataset.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/dataset_internal.h"

um_status um_dataset_create(um_dataset **out, int64_t n, int64_t h, int64_t w, int64_t c, int bits)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    if (n < 1 || h < 1 || w < 1 || (c != 1 && c != 3) || (bits != 8 && bits != 16)) {
        rc = um_fail(UM_E_DATA,
                     "a dataset of %lld images %lldx%lld with %lld channels of %d bits is not possible: at least one image and "
                     "pixel, 1 or 3 channels, 8 or 16 bits",
                     (long long)n, (long long)h, (long long)w, (long long)c, bits);
        goto done;
    }
    int64_t bytes;
    if (__builtin_mul_overflow(n, h, &bytes) || __builtin_mul_overflow(bytes, w, &bytes) ||
        __builtin_mul_overflow(bytes, c * bits / 8, &bytes)) {
        rc = um_fail(UM_E_MEMORY, "a dataset of %lld images %lldx%lld does not fit any memory", (long long)n, (long long)h,
                     (long long)w);
        goto done;
    }
    UM_TRY(UM_NEW(d));
    *d = (um_dataset){.n = n, .h = h, .w = w, .c = c, .bits = bits};
    UM_TRY(um_alloc(&d->images, (size_t)bytes, 1));
    UM_TRY(UM_NEW_ARRAY(d->masks, n * h * w));
    UM_TRY(UM_NEW_ARRAY(d->ids, n));
    UM_TRY(UM_NEW_ARRAY(d->split, n));
    *out = d;
    d = NULL;
done:
    um_dataset_free(d);
    return rc;
}

um_status um_dataset_make_labels(um_dataset *d)
{
    return d->labels ? UM_OK : UM_NEW_ARRAY(d->labels, d->n);
}

int um_dataset_classes(const um_dataset *d)
{
    int most = -1;
    for (int64_t i = 0; d->labels && i < d->n; i++)
        most = d->labels[i] > most ? d->labels[i] : most;
    return most + 1;
}

um_status um_dataset_clone(um_dataset **out, const um_dataset *d)
{
    um_status rc = UM_OK;
    um_dataset *copy = NULL;
    UM_TRY(um_dataset_create(&copy, d->n, d->h, d->w, d->c, d->bits));
    memcpy(copy->images, d->images, um_dataset_image_bytes(d) * (size_t)d->n);
    memcpy(copy->masks, d->masks, (size_t)(d->n * d->h * d->w));
    memcpy(copy->split, d->split, (size_t)d->n);
    if (d->labels) {
        UM_TRY(um_dataset_make_labels(copy));
        memcpy(copy->labels, d->labels, (size_t)d->n);
    }
    for (int64_t i = 0; i < d->n; i++)
        if (d->ids[i])
            UM_TRY(um_strdup(&copy->ids[i], d->ids[i]));
    *out = copy;
    copy = NULL;
done:
    um_dataset_free(copy);
    return rc;
}

void um_dataset_free(um_dataset *d)
{
    if (!d)
        return;
    for (int64_t i = 0; d->ids && i < d->n; i++)
        um_free(d->ids[i]);
    um_free(d->ids);
    um_free(d->images);
    um_free(d->masks);
    um_free(d->split);
    um_free(d->labels);
    um_free(d);
}

void um_dataset_rows_sha256(const um_dataset *d, int64_t first, int64_t n, char out[UM_SHA256_HEX])
{
    char geometry[128];
    um_sha256 s;
    um_sha256_init(&s);
    snprintf(geometry, sizeof geometry, "umed-dataset n=%lld h=%lld w=%lld c=%lld bits=%d\n", (long long)n, (long long)d->h,
             (long long)d->w, (long long)d->c, d->bits);
    um_sha256_add(&s, geometry, strlen(geometry));
    um_sha256_add(&s, um_dataset_image(d, first), um_dataset_image_bytes(d) * (size_t)n);
    um_sha256_add(&s, um_dataset_mask(d, first), (size_t)(n * d->h * d->w));
    for (int64_t i = first; i < first + n; i++)
        um_sha256_add(&s, d->ids[i] ? d->ids[i] : "", d->ids[i] ? strlen(d->ids[i]) + 1 : 1);
    um_sha256_add(&s, d->split + first, (size_t)n);
    if (d->labels)
        um_sha256_add(&s, d->labels + first, (size_t)n);
    um_sha256_hex(&s, out);
}

void um_dataset_sha256(const um_dataset *d, char out[UM_SHA256_HEX])
{
    um_dataset_rows_sha256(d, 0, d->n, out);
}
