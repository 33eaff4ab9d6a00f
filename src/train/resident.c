#include "train/resident.h"

#include "base/log.h"
#include "base/mem.h"

um_status um_table_create(um_table *out, um_backend *b, const void *host, int bytes, double most, int64_t n, int64_t h, int64_t w, int64_t c)
{
    um_status rc = UM_OK;
    int64_t width = bytes ? c * bytes : c;
    um_table t = {.backend = b, .most = most, .owned = !b->on_host};
    t.rows = (um_view){(void *)host, bytes ? UM_U8 : b->real, n, h, w, width, width};
    size_t size = (size_t)um_view_count(&t.rows) * um_dtype_bytes(t.rows.dtype);
    if (t.owned) {
        t.rows.data = NULL;
        UM_TRY(b->iface->alloc(b, &t.rows.data, size));
        UM_TRY(b->iface->upload(b, t.rows.data, host, size));
    }
    *out = t;
    t.owned = false;
done:
    um_table_free(&t);
    return rc;
}

void um_table_free(um_table *t)
{
    if (t->owned)
        t->backend->iface->free(t->backend, t->rows.data);
    *t = (um_table){0};
}

um_status um_picks_create(um_picks *out, um_backend *b, int64_t most)
{
    um_status rc = UM_OK;
    um_picks p = {.backend = b, .view = {NULL, UM_F64, most, 1, 1, 1, 1}};
    UM_TRY(UM_NEW_ARRAY(p.host, most));
    UM_TRY(b->iface->alloc(b, &p.view.data, (size_t)most * sizeof *p.host));
    *out = p;
    p = (um_picks){0};
done:
    um_picks_free(&p);
    return rc;
}

um_status um_picks_set(um_picks *p, const int64_t *rows, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        p->host[i] = (double)rows[i];
    p->view.n = n;
    return p->backend->iface->upload(p->backend, p->view.data, p->host, (size_t)n * sizeof *p->host);
}

void um_picks_free(um_picks *p)
{
    if (p->backend)
        p->backend->iface->free(p->backend, p->view.data);
    um_free(p->host);
    *p = (um_picks){0};
}

um_status um_table_gather(const um_table *t, const um_picks *p, um_exec *e, um_tid input)
{
    um_op_call call = {.in = {t->rows, p->view}, .out = {um_exec_input(e, input, p->view.n)}, .attr.gather = {t->most}};
    return t->backend->iface->run(t->backend, UM_OP_GATHER, &call);
}

static um_status create(um_resident *r, um_backend *b, const um_dataset *d, int64_t max_batch)
{
    um_status rc = UM_OK;
    UM_TRY(um_picks_create(&r->picks, b, max_batch));
    UM_TRY(um_table_create(&r->images, b, d->images, d->bits / 8, um_dataset_max(d), d->n, d->h, d->w, d->c));
    UM_TRY(um_table_create(&r->masks, b, d->masks, 1, 1, d->n, d->h, d->w, 1));
done:
    return rc;
}

um_status um_resident_create(um_resident **out, um_backend *b, const um_dataset *d, int64_t max_batch, const char *label)
{
    um_status rc = UM_OK;
    um_resident *r = NULL;
    UM_TRY(UM_NEW(r));
    rc = create(r, b, d, max_batch);
    if (rc == UM_E_MEMORY) {
        um_log(UM_LOG_INFO, "%s: batches come from the host: %s", label, um_error_text());
        um_error_clear();
        um_resident_free(r);
        r = NULL;
        rc = UM_OK;
    }
    UM_TRY(rc);
    *out = r;
    r = NULL;
done:
    um_resident_free(r);
    return rc;
}

void um_resident_free(um_resident *r)
{
    if (!r)
        return;
    um_table_free(&r->images);
    um_table_free(&r->masks);
    um_picks_free(&r->picks);
    um_free(r);
}

um_status um_resident_feed(um_resident *r, um_exec *e, um_tid image, um_tid mask, const int64_t *rows, int64_t n)
{
    um_status rc = UM_OK;
    if (n == 0)
        return UM_OK;
    UM_TRY(um_picks_set(&r->picks, rows, n));
    UM_TRY(um_table_gather(&r->images, &r->picks, e, image));
    if (mask >= 0)
        UM_TRY(um_table_gather(&r->masks, &r->picks, e, mask));
done:
    return rc;
}
