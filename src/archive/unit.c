/* Units: how a shard is cut, and the memory that one takes. */
#include <string.h>

#include "archive/shard_job.h"
#include "base/mem.h"

enum { UNIT_BYTES = 1 << 20, UNIT_BYTES_ON_DEVICE = 8 << 20 };

int64_t um_unit_bytes(const um_backend *b)
{
    return b && b->queues ? UNIT_BYTES_ON_DEVICE : UNIT_BYTES;
}

um_status um_unit_starts(const um_shard_index *x, int64_t unit_bytes, int64_t **out, int64_t *n_out)
{
    um_status rc = UM_OK;
    int64_t *starts = NULL, n = 0, cap = 64, bytes = 0;
    UM_TRY(UM_NEW_ARRAY(starts, cap + 1));
    for (int64_t i = 0; i < x->n; i++) {
        int64_t own = um_shard_values(&x->rows[i]) * (x->bits / 8);
        bool full = i == 0 || bytes + own > unit_bytes || i - starts[n - 1] >= UM_UNIT_IMAGES;
        if (full && n == cap) {
            UM_TRY(UM_GROW(starts, cap + 1, 2 * cap + 1));
            cap *= 2;
        }
        if (full)
            starts[n++] = i;
        bytes = full ? own : bytes + own;
    }
    starts[n] = x->n;
    *out = starts;
    *n_out = n;
    starts = NULL;
done:
    um_free(starts);
    return rc;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

um_status um_unit_room_add(um_unit_room *room, const um_shard_index *x, int64_t unit_bytes)
{
    um_status rc = UM_OK;
    int64_t *starts = NULL, n = 0;
    UM_TRY(um_unit_starts(x, unit_bytes, &starts, &n));
    for (int64_t u = 0; u < n; u++) {
        int64_t values, masks, images = starts[u + 1] - starts[u];
        um_shard_extent(x, starts[u], images, &values, &masks);
        room->values = larger(room->values, values);
        room->bytes = larger(room->bytes, values * (x->bits / 8));
        room->masks = larger(room->masks, masks);
        room->images = larger(room->images, images);
    }
done:
    um_free(starts);
    return rc;
}

/* Pixels and masks as they are and, of images that are no neighbours, gathered; the release and the way back; the change as
 * float; what the protector derives per pixel; chunks raw and packed. */
double um_workshop_bytes(const um_unit_room *room, const um_archive_options *o, bool carries)
{
    double pinned = carries ? 8.0 * (double)room->values + 12.0 * (double)room->masks : 0;
    double unit = pinned + 4.0 * (double)room->bytes + 4.0 * (double)room->values + 14.0 * (double)room->masks;
    double chunks = 2 * (2.0 * (double)room->bytes + (double)room->masks), held = (3 * 2.0 + 2 * 4.0) * (2 << 20); /* streams; chunks that the reader keeps */
    return (double)o->slots * (unit + chunks) + (double)room->masks + held + (double)o->pack_workers * (double)(5 << 20);
}

void um_unit_drop_run(um_unit *u, int run, const um_perturber *p)
{
    um_perturbation_clear(&u->runs[run], p);
    um_dataset_free(u->gathered[run]);
    u->gathered[run] = NULL;
}

void um_unit_reset(um_unit *u, const um_perturber *p)
{
    for (int i = 0; i < u->n_runs; i++)
        um_unit_drop_run(u, i, p);
    u->n_runs = 0;
    for (int64_t i = 0; i < u->n_chunks; i++)
        um_h5_chunk_clear(&u->chunks[i]);
    u->n_chunks = 0;
}

static void unit_free(um_unit *u, const um_perturber *p)
{
    if (!u)
        return;
    um_unit_reset(u, p);
    um_free(u->clean);
    um_free(u->masks);
    um_free(u->released);
    um_free(u->delta);
    um_free(u->change);
    um_free(u->views);
    um_free(u->gathered);
    um_free(u->runs);
    um_free(u->run_of);
    um_free(u->change_at);
    um_free(u->chunks);
    um_free(u);
}

static um_status unit_create(um_unit **out, const um_workshop *w)
{
    um_status rc = UM_OK;
    um_unit *u = NULL;
    const um_unit_room *r = &w->room;
    UM_TRY(UM_NEW(u));
    UM_TRY(UM_NEW_ARRAY(u->clean, r->bytes));
    UM_TRY(UM_NEW_ARRAY(u->masks, r->masks));
    UM_TRY(UM_NEW_ARRAY(u->released, r->bytes));
    UM_TRY(UM_NEW_ARRAY(u->delta, r->bytes));
    UM_TRY(UM_NEW_ARRAY(u->change, r->values));
    UM_TRY(UM_NEW_ARRAY(u->views, r->images));
    UM_TRY(UM_NEW_ARRAY(u->gathered, r->images));
    UM_TRY(UM_NEW_ARRAY(u->runs, r->images));
    UM_TRY(UM_NEW_ARRAY(u->run_of, r->images));
    UM_TRY(UM_NEW_ARRAY(u->change_at, r->images));
    *out = u;
    u = NULL;
done:
    unit_free(u, w->perturber);
    return rc;
}

um_status um_workshop_open(um_workshop *out, const um_archive_job *job, um_perturber *perturber, const um_unit_room *room)
{
    um_status rc = UM_OK;
    um_workshop w = {.job = job, .o = um_settings_get(job->settings, "archive"), .perturber = perturber, .room = *room,
                     .h5 = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER};
    w.n_slots = (int)w.o->slots;
    UM_TRY(UM_NEW_ARRAY(w.masks, room->masks));
    UM_TRY(UM_NEW_ARRAY(w.units, w.n_slots));
    UM_TRY(UM_NEW_ARRAY(w.deflate, w.o->pack_workers));
    for (int i = 0; i < w.n_slots; i++)
        UM_TRY(unit_create(&w.units[i], &w));
    for (int64_t i = 0; i < w.o->pack_workers; i++)
        UM_TRY(um_deflate_create(&w.deflate[i], 1));
    w.n_stages = um_shard_job_stages(w.stages, w.o, perturber->carries);
    *out = w;
    w = (um_workshop){0};
done:
    um_workshop_close(&w);
    return rc;
}

void um_workshop_close(um_workshop *w)
{
    for (int i = 0; w->units && i < w->n_slots; i++)
        unit_free(w->units[i], w->perturber);
    for (int64_t i = 0; w->deflate && i < w->o->pack_workers; i++)
        um_deflate_free(w->deflate[i]);
    um_free(w->units);
    um_free(w->masks);
    um_free(w->deflate);
    *w = (um_workshop){0};
}

um_status um_unit_add_chunk(um_unit *u, const um_h5_chunk *chunk)
{
    um_status rc = UM_OK;
    if (u->n_chunks == u->cap_chunks) {
        UM_TRY(UM_GROW(u->chunks, u->cap_chunks, 2 * u->cap_chunks + 8));
        u->cap_chunks = 2 * u->cap_chunks + 8;
    }
    u->chunks[u->n_chunks++] = *chunk;
done:
    return rc;
}

/* Cuts bytes into a stream's chunks, which the unit carries on. */
um_status um_unit_cut(um_unit *u, um_h5_stream *s, const void *data, size_t bytes)
{
    um_status rc = UM_OK;
    const uint8_t *p = data;
    for (size_t taken = 0; bytes > 0; p += taken, bytes -= taken) {
        um_h5_chunk chunk = {0};
        UM_TRY(um_h5_stream_cut(s, p, bytes, &taken, &chunk));
        if (chunk.data)
            UM_TRY(um_unit_add_chunk(u, &chunk));
    }
done:
    return rc;
}

um_status um_unit_cut_rest(um_unit *u, um_h5_stream *s)
{
    um_status rc = UM_OK;
    um_h5_chunk chunk = {0};
    UM_TRY(um_h5_stream_finish(s, &chunk));
    if (chunk.data)
        UM_TRY(um_unit_add_chunk(u, &chunk));
done:
    return rc;
}
