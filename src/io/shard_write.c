#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "io/dataset_internal.h"
#include "io/provenance.h"
#include "io/shard.h"

static um_status open_uniform(um_shard_writer *w, const um_shard_index *x)
{
    um_status rc = UM_OK;
    const um_shard_row *r = &x->rows[0];
    UM_REQUIRE(x->n > 0);
    um_h5_array images = um_dataset_images_array(x->n, r->h, r->w, r->c, x->bits), masks = um_dataset_masks_array(x->n, r->h, r->w);
    images.deflate = 1;
    UM_TRY(um_h5_stream_open(&w->pixels, w->file, &images));
    UM_TRY(um_h5_stream_open(&w->masks, w->file, &masks));
done:
    return rc;
}

static um_status open_mixed(um_shard_writer *w, const um_shard_index *x)
{
    um_status rc = UM_OK;
    int64_t n_values, n_masks;
    um_h5_array pixels = {.name = "/pixels", .type = x->bits == 8 ? UM_H5_U8 : UM_H5_U16, .ndim = 1, .deflate = 1,
                          .description = "images, one behind the other, each [y,x,channel]", .axes = "value", .unit = "grey level"};
    um_h5_array masks = {.name = "/mask_pixels", .type = UM_H5_U8, .ndim = 1, .deflate = 1,
                         .description = "segmentation masks, one behind the other, each [y,x]: 1 inside, 0 outside", .axes = "value",
                         .unit = ""};
    um_shard_extent(x, 0, x->n, &n_values, &n_masks);
    pixels.shape[0] = x->n > 0 ? n_values : -1;
    masks.shape[0] = n_masks > 0 ? n_masks : -1;
    UM_TRY(um_h5_stream_open(&w->pixels, w->file, &pixels));
    UM_TRY(um_h5_stream_open(&w->masks, w->file, &masks));
done:
    return rc;
}

um_status um_shard_writer_open(um_shard_writer *out, const char *path, const um_shard_index *index)
{
    um_status rc = UM_OK;
    um_shard_writer w = {0};
    UM_TRY(um_h5_create(&w.file, path, index->uniform ? UM_DATASET_FORMAT : UM_ARCHIVE_FORMAT,
                        index->uniform ? UM_DATASET_VERSION : UM_ARCHIVE_VERSION));
    UM_TRY(index->uniform ? open_uniform(&w, index) : open_mixed(&w, index));
    *out = w;
    w = (um_shard_writer){0};
done:
    um_shard_writer_abandon(&w);
    return rc;
}

static um_status write_places(um_h5 *f, const um_shard_index *x)
{
    um_status rc = UM_OK;
    int32_t *shape = NULL;
    int64_t *offset = NULL;
    um_h5_array a = {.name = "/shape", .type = UM_H5_I32, .ndim = 2, .shape = {x->n, 3}, .description = "height, width, channels",
                     .axes = "sample,size", .unit = "pixel"};
    UM_TRY(UM_NEW_ARRAY(shape, 3 * x->n));
    UM_TRY(UM_NEW_ARRAY(offset, x->n));
    for (int64_t i = 0; i < x->n; i++) {
        const um_shard_row *r = &x->rows[i];
        shape[3 * i] = (int32_t)r->h, shape[3 * i + 1] = (int32_t)r->w, shape[3 * i + 2] = (int32_t)r->c;
        offset[i] = r->at;
    }
    UM_TRY(um_h5_write_array(f, &a, shape));
    a = (um_h5_array){.name = "/offset", .type = UM_H5_I64, .ndim = 1, .shape = {x->n}, .description = "first value in /pixels",
                      .axes = "sample", .unit = ""};
    UM_TRY(um_h5_write_array(f, &a, offset));
    for (int64_t i = 0; i < x->n; i++)
        offset[i] = x->rows[i].mask_at;
    a.name = "/mask_offset";
    a.description = "first value in /mask_pixels, -1 where there is no mask";
    UM_TRY(um_h5_write_array(f, &a, offset));
done:
    um_free(offset);
    um_free(shape);
    return rc;
}

static um_status finish(um_shard_writer *w, const um_shard_index *x, const char *sha256, const char *provenance)
{
    um_status rc = UM_OK;
    um_h5_array split = um_dataset_split_array(x->n);
    UM_TRY(um_h5_stream_end(w->pixels));
    UM_TRY(um_h5_stream_end(w->masks));
    if (!x->uniform)
        UM_TRY(write_places(w->file, x));
    UM_TRY(um_h5_write_array(w->file, &split, x->split));
    UM_TRY(um_h5_write_strings(w->file, "/ids", (const char *const *)x->ids, x->n, UM_DATASET_IDS, "sample"));
    if (sha256)
        UM_TRY(um_h5_set_text(w->file, "/", "sha256", sha256));
    if (provenance) {
        UM_TRY(um_provenance_stamp(w->file));
        UM_TRY(um_provenance_set_lines(w->file, provenance));
    }
done:
    return rc;
}

um_status um_shard_writer_end(um_shard_writer *w, const um_shard_index *index, const char *sha256, const char *provenance)
{
    um_status rc = UM_OK;
    UM_TRY(finish(w, index, sha256, provenance));
    um_h5_stream_free(w->pixels);
    um_h5_stream_free(w->masks);
    w->pixels = w->masks = NULL;
    UM_TRY(um_h5_end(&w->file));
done:
    um_shard_writer_abandon(w);
    return rc;
}

um_status um_shard_writer_commit(um_shard_writer *w, const um_shard_index *index, const char *sha256, const char *provenance)
{
    um_status rc = UM_OK;
    char *path = NULL;
    UM_TRY(um_strdup(&path, um_h5_path(w->file)));
    UM_TRY(um_shard_writer_end(w, index, sha256, provenance));
    rc = um_file_commit(path);
    if (rc != UM_OK)
        um_file_discard(path);
done:
    um_shard_writer_abandon(w);
    um_free(path);
    return rc;
}

void um_shard_writer_abandon(um_shard_writer *w)
{
    um_h5_stream_free(w->pixels);
    um_h5_stream_free(w->masks);
    um_h5_free(w->file);
    *w = (um_shard_writer){0};
}
