#include <string.h>

#include "archive/item.h"
#include "archive/shard_job.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/signal.h"
#include "io/provenance.h"

/* One shard, a unit at a time. */
typedef struct undo {
    um_shard *released;
    um_delta_file delta;
    um_shard_writer writer;
    um_deflate *deflate;
    um_sha256 sum;
    uint8_t *pixels, *masks, *change;
} undo;

static void undo_clear(undo *u)
{
    um_shard_writer_abandon(&u->writer);
    um_delta_file_close(&u->delta);
    um_shard_close(u->released);
    um_deflate_free(u->deflate);
    um_free(u->pixels);
    um_free(u->masks);
    um_free(u->change);
}

static um_status undo_open(undo *u, const um_archive_paths *p, const char *back)
{
    um_status rc = UM_OK;
    um_unit_room room = {0};
    UM_TRY(um_shard_open(&u->released, p->released));
    const um_shard_index *x = um_shard_get_index(u->released);
    UM_TRY(um_delta_file_open(&u->delta, p->delta));
    UM_TRY(um_delta_file_fits(&u->delta, x));
    UM_TRY(um_unit_room_add(&room, x, um_unit_bytes(NULL)));
    UM_TRY(UM_NEW_ARRAY(u->pixels, room.bytes));
    UM_TRY(UM_NEW_ARRAY(u->change, room.bytes));
    UM_TRY(UM_NEW_ARRAY(u->masks, room.masks));
    UM_TRY(um_deflate_create(&u->deflate, 1));
    UM_TRY(um_shard_writer_open(&u->writer, back, x));
    um_sha256_init(&u->sum);
done:
    return rc;
}

static um_status undo_unit(undo *u, int64_t first, int64_t n)
{
    um_status rc = UM_OK;
    const um_shard_index *x = um_shard_get_index(u->released);
    int64_t values, masks, at = 0, mask_at = 0;
    um_shard_extent(x, first, n, &values, &masks);
    UM_TRY(um_shard_read(u->released, first, n, u->pixels, u->masks));
    UM_TRY(um_delta_file_read(&u->delta, x->rows[first].at, values, u->change));
    um_delta_undo(u->pixels, u->pixels, u->change, values, x->bits);
    for (int64_t i = first; i < first + n; i++) {
        um_shard_hash_add(&u->sum, x, i, u->pixels + at * (x->bits / 8), u->masks + mask_at);
        at += um_shard_values(&x->rows[i]);
        mask_at += um_shard_mask_pixels(&x->rows[i]);
    }
    UM_TRY(um_h5_stream_put(u->writer.pixels, u->pixels, (size_t)(values * (x->bits / 8)), u->deflate));
    UM_TRY(um_h5_stream_put(u->writer.masks, u->masks, (size_t)masks, u->deflate));
done:
    return rc;
}

static um_status restore_shard(const um_archive_paths *p, const char *back)
{
    um_status rc = UM_OK;
    undo u = {0};
    int64_t *starts = NULL, n = 0;
    char sha256[UM_SHA256_HEX];
    UM_TRY(undo_open(&u, p, back));
    const um_shard_index *x = um_shard_get_index(u.released);
    UM_TRY(um_unit_starts(x, um_unit_bytes(NULL), &starts, &n));
    for (int64_t k = 0; k < n; k++) {
        UM_TRY(um_stop_check("the same command restores the other shards"));
        UM_TRY(undo_unit(&u, starts[k], starts[k + 1] - starts[k]));
    }
    um_sha256_hex(&u.sum, sha256);
    if (strcmp(sha256, u.delta.clean_sha256) != 0)
        UM_TRY(um_fail(UM_E_DATA, "%s: with %s it does not give the clean images of then: one of both was changed", p->released, p->delta));
    UM_TRY(um_h5_stream_put_rest(u.writer.pixels, u.deflate));
    UM_TRY(um_h5_stream_put_rest(u.writer.masks, u.deflate));
    UM_TRY(um_shard_writer_commit(&u.writer, x, x->uniform ? NULL : sha256, "command=umed archive restore\n"));
done:
    um_free(starts);
    undo_clear(&u);
    return rc;
}

/* This rank's shards; those that stand are done. A bad one is told, the others are restored all the same. */
static um_status restore_mine(const char *released, const char *private_dir, const char *back, um_comm *comm, int n, int64_t *bad)
{
    um_status rc = UM_OK;
    um_archive_paths p = {0};
    char *path = NULL;
    for (int k = um_comm_rank(comm); k < n; k += um_comm_size(comm)) {
        um_archive_paths_clear(&p);
        um_free(path);
        path = NULL;
        UM_TRY(um_archive_paths_of(&p, released, private_dir, k, n));
        UM_TRY(um_path_join(&path, back, p.shard_name));
        if (um_file_exists(path))
            continue;
        rc = restore_shard(&p, path);
        if (rc == UM_E_DATA) {
            um_log(UM_LOG_ERROR, "FAILED %s: %s", p.shard_name, um_error_text());
            (*bad)++;
            rc = UM_OK;
        }
        UM_TRY(rc);
        um_progress("restore shards", k + 1, n, NULL);
    }
done:
    um_free(path);
    um_archive_paths_clear(&p);
    return rc;
}

um_status um_archive_restore(const char *released, const char *private_dir, const char *back, um_comm *comm)
{
    um_status rc = UM_OK;
    char **files = NULL;
    size_t n = 0;
    double bad = 0;
    int64_t mine = 0;
    rc = um_shard_files(released, &files, &n);
    if (rc == UM_OK && um_comm_leads(comm))
        rc = um_dir_make(back, 0700);
    UM_TRY(um_comm_agree(comm, rc));
    um_comm_set_deadline(comm, 0);
    rc = restore_mine(released, private_dir, back, comm, (int)n, &mine);
    UM_TRY(um_comm_agree(comm, rc));
    bad = (double)mine;
    UM_TRY(um_comm_sum(comm, &bad, UM_F64, 1, "shards that could not be restored"));
    if (bad > 0)
        rc = um_fail(UM_E_PARTIAL, "%.0f of %zu shards could not be restored", bad, n);
done:
    if (files)
        um_names_free(files, n);
    return rc;
}
