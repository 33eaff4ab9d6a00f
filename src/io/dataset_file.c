#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "io/dataset_internal.h"
#include "io/provenance.h"

bool um_dataset_file_has_labels(um_h5 *f)
{
    return um_h5_exists(f, "/labels");
}

um_status um_dataset_file_shape(um_h5 *f, um_dataset *out)
{
    um_status rc = UM_OK;
    um_h5_type type;
    int ndim;
    int64_t shape[UM_H5_DIMS];
    UM_TRY(um_h5_inspect(f, "/images", &type, &ndim, shape));
    if (ndim != 4 || (type != UM_H5_U8 && type != UM_H5_U16)) {
        rc = um_fail(UM_E_DATA, "%s: /images has %d dimensions of %s, expected [N,H,W,C] of u8 or u16", um_h5_path(f), ndim,
                     um_h5_type_name(type));
        goto done;
    }
    if (shape[0] < 1 || shape[1] < 1 || shape[2] < 1 || (shape[3] != 1 && shape[3] != 3)) {
        rc = um_fail(UM_E_DATA, "%s: /images is [%lld,%lld,%lld,%lld]: expected at least one image and pixel, 1 or 3 channels",
                     um_h5_path(f), (long long)shape[0], (long long)shape[1], (long long)shape[2], (long long)shape[3]);
        goto done;
    }
    UM_TRY(um_h5_expect(f, "/masks", UM_H5_U8, 3, shape, NULL));
    UM_TRY(um_h5_expect(f, "/split", UM_H5_U8, 1, shape, NULL));
    *out = (um_dataset){.n = shape[0], .h = shape[1], .w = shape[2], .c = shape[3], .bits = type == UM_H5_U8 ? 8 : 16};
done:
    return rc;
}

static um_status check_values(um_h5 *f, const um_dataset *d, int64_t first, int64_t n)
{
    int64_t pixels = d->h * d->w;
    for (int64_t i = first; i < first + n; i++) {
        const uint8_t *mask = um_dataset_mask(d, i);
        uint8_t bits = d->split[i];
        if (bits > 1)
            return um_fail(UM_E_DATA, "%s: /split of row %lld ('%s') is %d, expected 0 (train) or 1 (test)", um_h5_path(f),
                           (long long)(i - first), d->ids[i], bits);
        for (int64_t p = 0; p < pixels; p++)
            bits |= mask[p];
        if (bits > 1)
            return um_fail(UM_E_DATA, "%s: the mask of row %lld ('%s') holds values other than 0 and 1; import it again",
                           um_h5_path(f), (long long)(i - first), d->ids[i]);
    }
    return UM_OK;
}

/* A clean file says what it held when it was made; whoever changed it since has to import again. */
static um_status check_recorded(um_h5 *f, const um_dataset *d, int64_t first, int64_t n)
{
    um_status rc = UM_OK;
    um_text recorded = {0};
    char sha256[UM_SHA256_HEX];
    if (!um_h5_has_attr(f, "/", "sha256"))
        return UM_OK;
    UM_TRY(um_h5_get_text(f, "/", "sha256", &recorded));
    um_dataset_rows_sha256(d, first, n, sha256);
    if (strcmp(sha256, um_text_get(&recorded)) != 0)
        rc = um_fail(UM_E_DATA, "%s: content has sha256 %s, recorded is %s: the file was changed", um_h5_path(f), sha256,
                     um_text_get(&recorded));
done:
    um_text_free(&recorded);
    return rc;
}

um_status um_dataset_file_read(um_h5 *f, um_dataset *d, int64_t first, int64_t n)
{
    um_status rc = UM_OK;
    char **ids = NULL;
    int64_t n_ids = 0, shape[UM_H5_DIMS] = {n, d->h, d->w, d->c};
    UM_TRY(um_h5_read_into(f, "/images", d->bits == 8 ? UM_H5_U8 : UM_H5_U16, 4, shape,
                           (char *)d->images + um_dataset_image_bytes(d) * (size_t)first));
    UM_TRY(um_h5_read_into(f, "/masks", UM_H5_U8, 3, shape, d->masks + first * d->h * d->w));
    UM_TRY(um_h5_read_into(f, "/split", UM_H5_U8, 1, shape, d->split + first));
    if (d->labels)
        UM_TRY(um_h5_read_into(f, "/labels", UM_H5_U8, 1, shape, d->labels + first));
    UM_TRY(um_h5_read_strings(f, "/ids", n, &ids, &n_ids));
    for (int64_t i = 0; i < n; i++) {
        d->ids[first + i] = ids[i];
        ids[i] = NULL;
    }
    UM_TRY(check_values(f, d, first, n));
    UM_TRY(check_recorded(f, d, first, n));
done:
    if (ids)
        um_names_free(ids, (size_t)n_ids);
    return rc;
}

um_h5_array um_dataset_images_array(int64_t n, int64_t h, int64_t w, int64_t c, int bits)
{
    return (um_h5_array){.name = "/images", .type = bits == 8 ? UM_H5_U8 : UM_H5_U16, .ndim = 4, .shape = {n, h, w, c},
                         .description = "images", .axes = "sample,y,x,channel", .unit = "grey level"};
}

um_h5_array um_dataset_masks_array(int64_t n, int64_t h, int64_t w)
{
    return (um_h5_array){.name = "/masks", .type = UM_H5_U8, .ndim = 3, .shape = {n, h, w}, .deflate = 1,
                         .description = "segmentation masks: 1 inside, 0 outside", .axes = "sample,y,x", .unit = ""};
}

um_h5_array um_dataset_split_array(int64_t n)
{
    return (um_h5_array){.name = "/split", .type = UM_H5_U8, .ndim = 1, .shape = {n}, .description = "0 train, 1 test",
                         .axes = "sample", .unit = ""};
}

static um_status write_arrays(um_h5 *f, const um_dataset *d, int64_t first, int64_t n)
{
    um_status rc = UM_OK;
    const um_h5_array images = um_dataset_images_array(n, d->h, d->w, d->c, d->bits);
    const um_h5_array masks = um_dataset_masks_array(n, d->h, d->w);
    const um_h5_array split = um_dataset_split_array(n);
    const um_h5_array labels = {.name = "/labels", .type = UM_H5_U8, .ndim = 1, .shape = {n}, .description = "class of the image, from 0",
                                .axes = "sample", .unit = ""};
    UM_TRY(um_h5_write_array(f, &images, um_dataset_image(d, first)));
    UM_TRY(um_h5_write_array(f, &masks, um_dataset_mask(d, first)));
    UM_TRY(um_h5_write_array(f, &split, d->split + first));
    if (d->labels)
        UM_TRY(um_h5_write_array(f, &labels, d->labels + first));
    UM_TRY(um_h5_write_strings(f, "/ids", (const char *const *)d->ids + first, n, UM_DATASET_IDS, "sample"));
done:
    return rc;
}

um_status um_dataset_file_write(const um_dataset *d, int64_t first, int64_t n, const char *path,
                                const um_dataset_write_options *options)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    char sha256[UM_SHA256_HEX];
    UM_TRY(um_h5_create(&f, path, UM_DATASET_FORMAT, UM_DATASET_VERSION));
    UM_TRY(write_arrays(f, d, first, n));
    if (!options->released) {
        um_dataset_rows_sha256(d, first, n, sha256);
        UM_TRY(um_h5_set_text(f, "/", "sha256", sha256));
        UM_TRY(um_provenance_stamp(f));
        UM_TRY(um_provenance_set_lines(f, options->provenance));
    }
    UM_TRY(um_h5_commit(&f));
done:
    um_h5_free(f);
    return rc;
}
