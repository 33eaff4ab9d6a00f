#include "io/pictures.h"

#include <string.h>

#include "base/mem.h"
#include "image/luma.h"
#include "io/import_internal.h"

struct um_pictures {
    um_import_list list;
    uint8_t *split;
    int channels; /* um_import_channels */
};

static um_status draw_split(um_pictures *p, const um_data_options *o)
{
    um_status rc = UM_OK;
    um_dataset d = {.n = p->list.n};
    if (o->split_mode == UM_SPLIT_GROUPED)
        return um_fail(UM_E_CONFIG, "data.split_mode = grouped compares all images with each other; archives take random or stratified");
    UM_TRY(UM_NEW_ARRAY(p->split, p->list.n));
    UM_TRY(UM_NEW_ARRAY(d.ids, p->list.n));
    for (int64_t i = 0; i < d.n; i++)
        d.ids[i] = p->list.items[i].id;
    d.split = p->split;
    UM_TRY(um_import_split(&d, o));
done:
    um_free(d.ids);
    return rc;
}

um_status um_pictures_find(um_pictures **out, const um_data_options *o, const char *path)
{
    um_status rc = UM_OK;
    um_pictures *p = NULL;
    UM_TRY(UM_NEW(p));
    p->channels = o->channels;
    p->list.keep_unmasked = true;
    UM_TRY(um_import_scan(&p->list, o, path));
    if (p->list.n == 0)
        UM_TRY(um_fail(UM_E_DATA, "%s: no images are left to pack; see data.busi_subset", path));
    UM_TRY(um_import_check_ids(&p->list));
    UM_TRY(draw_split(p, o));
    *out = p;
    p = NULL;
done:
    um_pictures_free(p);
    return rc;
}

void um_pictures_free(um_pictures *p)
{
    if (!p)
        return;
    um_import_list_free(&p->list);
    um_free(p->split);
    um_free(p);
}

int64_t um_pictures_count(const um_pictures *p)
{
    return p->list.n;
}

const char *um_pictures_id(const um_pictures *p, int64_t i)
{
    return p->list.items[i].id;
}

const char *um_pictures_path(const um_pictures *p, int64_t i)
{
    return p->list.items[i].image;
}

uint8_t um_pictures_split(const um_pictures *p, int64_t i)
{
    return p->split[i];
}

void um_pictures_sha256(const um_pictures *p, char out[UM_SHA256_HEX])
{
    um_sha256 s;
    um_sha256_init(&s);
    for (int64_t i = 0; i < p->list.n; i++) {
        um_sha256_add(&s, p->list.items[i].id, strlen(p->list.items[i].id) + 1);
        um_sha256_add(&s, &p->list.items[i].n_masks, sizeof p->list.items[i].n_masks);
    }
    um_sha256_hex(&s, out);
}

/* Grey pixels three times. */
static um_status repeat_grey(um_raster *r)
{
    um_status rc = UM_OK;
    uint8_t *wide = NULL;
    int64_t n = r->h * r->w, bytes = r->bits / 8;
    UM_TRY(um_alloc((void **)&wide, (size_t)(3 * n), (size_t)bytes));
    for (int64_t i = 0; i < 3 * n; i++)
        memcpy(wide + i * bytes, (uint8_t *)r->data + i / 3 * bytes, (size_t)bytes);
    um_free(r->data);
    r->data = wide;
    r->c = 3;
done:
    return rc;
}

um_status um_pictures_load(const um_pictures *p, int64_t i, um_raster *image, uint8_t **mask_out)
{
    um_status rc = UM_OK;
    const um_import_item *it = &p->list.items[i];
    um_raster r = {0};
    uint8_t *mask = NULL;
    int brightest = 0;
    bool grey = false;
    UM_TRY(um_raster_read(&r, it->image));
    if (it->n_masks > 0)
        UM_TRY(UM_NEW_ARRAY(mask, r.h * r.w));
    for (int64_t k = 0; k < it->n_masks; k++)
        UM_TRY(um_import_unite_mask(mask, &r, it->image, it->masks[k], &brightest, &grey));
    if (p->channels == UM_CHANNELS_1 && r.c == 3) {
        um_luma_integer(r.data, r.data, r.h * r.w, r.bits);
        r.c = 1;
    } else if (p->channels == UM_CHANNELS_3 && r.c == 1) {
        UM_TRY(repeat_grey(&r));
    }
    *image = r;
    *mask_out = mask;
    r = (um_raster){0};
    mask = NULL;
done:
    um_free(mask);
    um_raster_clear(&r);
    return rc;
}
