/* Bound maps and batches for UMed's networks. */
#include <string.h>

#include "base/mem.h"
#include "image/luma.h"
#include "protect/umed.h"

um_status um_umed_bounds(const um_umed_options *o, const um_dataset *d, int64_t row, float *contour, float *texture)
{
    um_status rc = UM_OK;
    int64_t hw = d->h * d->w;
    const uint8_t *mask = um_dataset_mask(d, row);
    uint8_t *band = NULL, *inside = NULL;
    float *luma = NULL;
    UM_TRY(UM_NEW_ARRAY(band, hw));
    UM_TRY(UM_NEW_ARRAY(inside, hw));
    UM_TRY(UM_NEW_ARRAY(luma, hw));
    UM_TRY(um_contour_map(band, mask, d->h, d->w, &o->contour));
    um_contour_interior(inside, mask, band, hw);
    um_luma(luma, um_dataset_image(d, row), hw, d->c, d->bits, (um_luma_mode)o->lbp.gray);
    UM_TRY(um_lbp_texture(texture, luma, mask, d->h, d->w, &o->lbp));
    for (int64_t i = 0; i < hw; i++) {
        contour[i] = o->parts == UM_UMED_TEXTURE ? 0 : (float)(o->eps * band[i]);
        texture[i] = o->parts == UM_UMED_CONTOUR ? 0 : (float)(o->eps * inside[i]) * texture[i];
    }
done:
    um_free(luma);
    um_free(inside);
    um_free(band);
    return rc;
}

um_status um_umed_feed_create(um_umed_feed **out, const um_umed *u, const um_dataset *d, const int64_t *rows, int64_t n_rows,
                              int64_t max_batch)
{
    um_status rc = UM_OK;
    um_umed_feed *f = NULL;
    size_t hw = (size_t)(d->h * d->w), plane = hw * um_dtype_bytes(u->backend->real), n = (size_t)max_batch;
    UM_TRY(UM_NEW(f));
    f->data = d, f->rows = rows, f->n_rows = n_rows, f->max_batch = max_batch;
    UM_TRY(UM_NEW_ARRAY(f->contour, (size_t)n_rows * hw));
    UM_TRY(UM_NEW_ARRAY(f->texture, (size_t)n_rows * hw));
    for (int64_t i = 0; i < n_rows; i++)
        UM_TRY(um_umed_bounds(&u->o, d, rows[i], f->contour + (size_t)i * hw, f->texture + (size_t)i * hw));
    UM_TRY(um_alloc((void **)&f->x, n, plane * (size_t)d->c));
    UM_TRY(um_alloc((void **)&f->xy, n, plane * (size_t)(d->c + 1)));
    UM_TRY(um_alloc((void **)&f->y, n, plane));
    UM_TRY(um_alloc((void **)&f->bc, n, plane));
    UM_TRY(um_alloc((void **)&f->bt, n, plane));
    *out = f;
    f = NULL;
done:
    um_umed_feed_free(f);
    return rc;
}

void um_umed_feed_free(um_umed_feed *f)
{
    if (!f)
        return;
    um_resident_free(f->resident);
    um_table_free(&f->bounds[0]);
    um_table_free(&f->bounds[1]);
    um_picks_free(&f->picks);
    um_free(f->row);
    um_free(f->contour);
    um_free(f->texture);
    um_free(f->x);
    um_free(f->xy);
    um_free(f->y);
    um_free(f->bc);
    um_free(f->bt);
    um_free(f);
}

static void widen(const float *from, um_dtype real, void *to, int64_t n)
{
    if (real == UM_F32)
        memcpy(to, from, (size_t)n * sizeof *from);
    else
        for (int64_t i = 0; i < n; i++)
            ((double *)to)[i] = from[i];
}

/* xy = [x, y] along channels, one image. */
static void join(const char *x, const char *y, char *xy, int64_t pixels, size_t c, size_t size)
{
    for (int64_t p = 0; p < pixels; p++) {
        memcpy(xy + (size_t)p * (c + 1) * size, x + (size_t)p * c * size, c * size);
        memcpy(xy + ((size_t)p * (c + 1) + c) * size, y + (size_t)p * size, size);
    }
}

um_status um_umed_feed_keep(um_umed_feed *f, const um_umed *u, const char *label)
{
    um_status rc = UM_OK;
    const um_dataset *d = f->data;
    const float *maps[] = {f->contour, f->texture};
    if (u->backend->real != UM_F32 || u->o.gen_input == 1)
        return UM_OK;
    UM_TRY(UM_NEW_ARRAY(f->row, f->max_batch));
    UM_TRY(um_picks_create(&f->picks, u->backend, f->max_batch));
    for (int k = 0; k < 2 && rc == UM_OK; k++)
        rc = um_table_create(&f->bounds[k], u->backend, maps[k], 0, 0, f->n_rows, d->h, d->w, 1);
    if (rc == UM_OK)
        rc = um_resident_create(&f->resident, u->backend, d, f->max_batch, label);
    if (rc == UM_E_MEMORY) /* the maps found no room */
        rc = UM_OK, um_error_clear();
done:
    return rc;
}

static um_status gather(um_umed_feed *f, const um_umed_graph *g, const int64_t *pick, int64_t n)
{
    um_status rc = UM_OK;
    const um_tid to[] = {g->contour, g->texture};
    if (n == 0)
        return UM_OK;
    for (int64_t i = 0; i < n; i++)
        f->row[i] = pick ? pick[i] : i;
    UM_TRY(um_picks_set(&f->picks, f->row, n));
    for (int k = 0; k < 2; k++)
        if (to[k] >= 0)
            UM_TRY(um_table_gather(&f->bounds[k], &f->picks, g->exec, to[k]));
    for (int64_t i = 0; i < n; i++)
        f->row[i] = f->rows[f->row[i]];
    UM_TRY(um_resident_feed(f->resident, g->exec, g->x, g->y, f->row, n));
done:
    return rc;
}

void um_umed_feed_gather(const um_umed_feed *f, um_dtype real, const int64_t *pick, int64_t n, char *const to[UM_UMED_INPUTS])
{
    const um_dataset *d = f->data;
    int64_t hw = d->h * d->w;
    size_t plane = (size_t)hw * um_dtype_bytes(real), c = (size_t)d->c;
    for (int64_t i = 0; i < n; i++) {
        size_t k = (size_t)i;
        int64_t at = pick ? pick[i] : i, row = f->rows[at];
        if (to[0])
            um_row_image(d, row, real, to[0] + k * plane * c);
        if (to[2])
            um_row_mask(d, row, real, to[2] + k * plane);
        if (to[3])
            widen(f->contour + at * hw, real, to[3] + k * plane, hw);
        if (to[4])
            widen(f->texture + at * hw, real, to[4] + k * plane, hw);
        if (to[1])
            join(to[0] + k * plane * c, to[2] + k * plane, to[1] + k * plane * (c + 1), hw, c, um_dtype_bytes(real));
    }
}

um_status um_umed_feed_upload(um_umed_feed *f, const um_umed *u, const um_umed_graph *g, const int64_t *pick, int64_t n)
{
    um_status rc = UM_OK;
    const um_tid to[UM_UMED_INPUTS] = {g->x, g->xy, g->y, g->contour, g->texture};
    char *const from[UM_UMED_INPUTS] = {f->x, g->xy >= 0 ? f->xy : NULL, f->y, f->bc, f->bt};
    if (f->resident)
        return gather(f, g, pick, n);
    um_umed_feed_gather(f, u->backend->real, pick, n, from);
    for (int k = 0; k < UM_UMED_INPUTS; k++)
        if (to[k] >= 0)
            UM_TRY(um_exec_upload(g->exec, to[k], from[k], n));
done:
    return rc;
}
