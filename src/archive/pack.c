#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archive/archive.h"
#include "archive/conveyor.h"
#include "archive/json.h"
#include "archive/plan.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/signal.h"
#include "io/pictures.h"
#include "io/shard.h"
#include "mpi/lease.h"

enum { SLOTS = 8, WAIT_MS = 500, REPORT_BYTES = 1 << 28 };

/* The files of one shard: OUT/shard-..., OUT/pack/shard-....broken.jsonl (written first), OUT/pack/shard-....lease.N */
typedef struct places {
    char *shard, *broken, *claim;
} places;

typedef struct picture {
    um_raster image;
    uint8_t *mask;
    um_text why; /* not empty: it cannot be read */
} picture;

typedef struct pack_run {
    const um_pictures *pictures;
    const char *out;
    int n_shards;
    const um_archive_options *o;
    um_comm *comm;
    int bits; /* of the first picture that can be read: all others must agree */
} pack_run;

typedef struct pack_job {
    const pack_run *run;
    int64_t first, n;
    um_shard_index index;
    um_shard_writer writer;
    um_deflate *deflate;
    um_sha256 sum;
    um_text broken; /* lines */
} pack_job;

static void picture_clear(picture *p)
{
    um_raster_clear(&p->image);
    um_free(p->mask);
    um_text_free(&p->why);
    *p = (picture){0};
}

/* ---- stages ---- */

static um_status stage_decode(const um_conveyor_turn *t)
{
    um_status rc = UM_OK;
    pack_job *j = t->job;
    picture *p = t->slot;
    int64_t item = j->first + t->item;
    UM_TRY(um_stop_check("the same command goes on with this shard"));
    picture_clear(p);
    rc = um_pictures_load(j->run->pictures, item, &p->image, &p->mask);
    if (rc == UM_OK && p->image.bits != j->run->bits)
        rc = um_fail(UM_E_DATA, "%s: %d bits, the first picture has %d; pack pictures of each depth by themselves",
                     um_pictures_path(j->run->pictures, item), p->image.bits, j->run->bits);
    if (rc == UM_E_DATA || rc == UM_E_IO) { /* this picture's own trouble; a disk that fails stops us where we write */
        picture_clear(p);
        rc = um_text_add(&p->why, "%s", um_error_text());
    }
done:
    return rc;
}

static um_status stage_put(const um_conveyor_turn *t)
{
    um_status rc = UM_OK;
    pack_job *j = t->job;
    picture *p = t->slot;
    int64_t item = j->first + t->item;
    const char *id = um_pictures_id(j->run->pictures, item);
    if (p->why.n > 0) {
        UM_TRY(um_archive_refusal_print(&j->broken, id, um_text_get(&p->why)));
        UM_TRY(um_text_add(&j->broken, "\n"));
        goto done;
    }
    int64_t row = j->index.n, pixels = p->image.h * p->image.w;
    UM_TRY(um_shard_index_add(&j->index, id, p->image.h, p->image.w, p->image.c, p->mask != NULL,
                              um_pictures_split(j->run->pictures, item)));
    um_shard_hash_add(&j->sum, &j->index, row, p->image.data, p->mask);
    UM_TRY(um_h5_stream_put(j->writer.pixels, p->image.data, (size_t)(pixels * p->image.c * (p->image.bits / 8)), j->deflate));
    if (p->mask)
        UM_TRY(um_h5_stream_put(j->writer.masks, p->mask, (size_t)pixels, j->deflate));
done:
    picture_clear(p);
    return rc;
}

/* ---- one shard ---- */

static void places_clear(places *p)
{
    um_free(p->shard);
    um_free(p->broken);
    um_free(p->claim);
    *p = (places){0};
}

static um_status places_of(places *out, const pack_run *r, int k)
{
    um_status rc = UM_OK;
    places p = {0};
    um_text t = {0};
    char name[UM_SHARD_NAME];
    um_shard_name(name, k, r->n_shards);
    UM_TRY(um_path_join(&p.shard, r->out, name));
    UM_TRY(um_text_add(&t, "pack/%.*s.broken.jsonl", (int)strlen(name) - 3, name));
    UM_TRY(um_path_join(&p.broken, r->out, um_text_get(&t)));
    um_text_free(&t);
    t = (um_text){0};
    UM_TRY(um_text_add(&t, "pack/%.*s.lease", (int)strlen(name) - 3, name));
    UM_TRY(um_path_join(&p.claim, r->out, um_text_get(&t)));
    *out = p;
    p = (places){0};
done:
    um_text_free(&t);
    places_clear(&p);
    return rc;
}

static um_status pack_shard(const pack_run *r, int k, const places *p)
{
    um_status rc = UM_OK;
    static const um_conveyor_stage stages[] = {{"decode", 0, stage_decode}, {"put", 1, stage_put}};
    int64_t total = um_pictures_count(r->pictures), first = total * k / r->n_shards;
    pack_job j = {.run = r, .first = first, .n = total * (k + 1) / r->n_shards - first, .index = {.bits = r->bits}};
    picture slot[SLOTS] = {{.mask = NULL}};
    void *slots[SLOTS];
    um_conveyor_times times = {.wall_s = 0};
    char sha256[UM_SHA256_HEX];
    for (int i = 0; i < SLOTS; i++)
        slots[i] = &slot[i];
    um_sha256_init(&j.sum);
    UM_TRY(um_deflate_create(&j.deflate, 1));
    UM_TRY(um_shard_writer_open(&j.writer, p->shard, &j.index));
    UM_TRY(um_conveyor_run(stages, 2, j.n, slots, SLOTS, &j, &times));
    if (j.index.n == 0)
        UM_TRY(um_fail(UM_E_DATA, "%s: none of its %lld pictures can be read: %s", p->shard, (long long)j.n, um_text_get(&j.broken)));
    UM_TRY(um_h5_stream_put_rest(j.writer.pixels, j.deflate));
    UM_TRY(um_h5_stream_put_rest(j.writer.masks, j.deflate));
    um_sha256_hex(&j.sum, sha256);
    UM_TRY(um_file_write(p->broken, um_text_get(&j.broken), j.broken.n));
    UM_TRY(um_shard_writer_commit(&j.writer, &j.index, sha256, "command=umed archive pack\n"));
    um_log(UM_LOG_INFO, "%s: %lld images, %lld of %lld pictures cannot be read", p->shard, (long long)j.index.n,
           (long long)(j.n - j.index.n), (long long)j.n);
done:
    for (int i = 0; i < SLOTS; i++)
        picture_clear(&slot[i]);
    um_shard_writer_abandon(&j.writer);
    um_shard_index_clear(&j.index);
    um_deflate_free(j.deflate);
    um_text_free(&j.broken);
    return rc;
}

/* ---- all shards ---- */

static um_status visit(const pack_run *r, int k, bool *done)
{
    um_status rc = UM_OK;
    places p = {0};
    um_lease *claim = NULL;
    UM_TRY(places_of(&p, r, k));
    *done = um_file_exists(p.shard);
    if (*done)
        goto done;
    UM_TRY(um_lease_take(&claim, p.claim, r->o->lease_s));
    if (!claim)
        goto done;
    if (!um_file_exists(p.shard))
        UM_TRY(pack_shard(r, k, &p));
    *done = true;
done:
    um_lease_release(claim);
    places_clear(&p);
    return rc;
}

static um_status passes(const pack_run *r)
{
    um_status rc = UM_OK;
    int from = r->n_shards * um_comm_rank(r->comm) / um_comm_size(r->comm);
    for (int left = r->n_shards; left > 0;) {
        left = 0;
        for (int i = 0; i < r->n_shards; i++) {
            bool done = false;
            if (um_comm_given_up(r->comm))
                UM_TRY(um_fail(UM_E_STOPPED, "stopped between shards, since another rank gave up; the same command goes on from here"));
            UM_TRY(um_stop_check("the same command goes on from here"));
            UM_TRY(visit(r, (from + i) % r->n_shards, &done));
            left += !done;
        }
        if (left > 0)
            usleep(WAIT_MS * 1000);
    }
done:
    return rc;
}

/* The depth that all must have: that of the first picture that can be read. */
static um_status find_depth(pack_run *r)
{
    for (int64_t i = 0; i < um_pictures_count(r->pictures); i++) {
        picture p = {0};
        um_status rc = um_pictures_load(r->pictures, i, &p.image, &p.mask);
        r->bits = p.image.bits;
        picture_clear(&p);
        if (rc == UM_OK || rc == UM_E_MEMORY)
            return rc;
    }
    return um_fail(UM_E_DATA, "none of the %lld pictures can be read; the last: %s", (long long)um_pictures_count(r->pictures),
                   um_error_text());
}

static um_status settle(const pack_run *r)
{
    um_status rc = UM_OK;
    char *dir = NULL, *path = NULL, sha256[UM_SHA256_HEX];
    um_text line = {0}, was = {0};
    static const um_archive_member members[] = {{"shards", "--shards"}, {"pictures", "number of pictures"}, {"sha256_names", "pictures"}};
    UM_TRY(um_path_join(&dir, r->out, "pack"));
    UM_TRY(um_dir_make(dir, 0777));
    UM_TRY(um_path_join(&path, dir, "job.json"));
    um_pictures_sha256(r->pictures, sha256);
    UM_TRY(um_text_add(&line, "{"));
    UM_TRY(um_json_int(&line, "shards", r->n_shards));
    UM_TRY(um_json_int(&line, "pictures", um_pictures_count(r->pictures)));
    UM_TRY(um_json_text(&line, "sha256_names", sha256));
    UM_TRY(um_json_seal(&line));
    UM_TRY(um_archive_agree_on_disk(path, &line, members, UM_COUNT(members), &was));
done:
    um_text_free(&was);
    um_text_free(&line);
    um_free(path);
    um_free(dir);
    return rc;
}

/* OUT/broken.jsonl from the lists of all shards. */
static um_status conclude(const pack_run *r, um_archive_tally *t)
{
    um_status rc = UM_OK;
    um_text all = {0}, own = {0};
    places p = {0};
    char *path = NULL;
    for (int k = 0; k < r->n_shards; k++) {
        places_clear(&p);
        um_text_free(&own);
        own = (um_text){0};
        UM_TRY(places_of(&p, r, k));
        UM_TRY(um_file_read(&own, p.broken, REPORT_BYTES));
        UM_TRY(um_text_add(&all, "%s", um_text_get(&own)));
    }
    for (const char *c = um_text_get(&all); (c = strchr(c, '\n')) != NULL; c++)
        t->refused++;
    t->shards = t->done = r->n_shards;
    t->images = um_pictures_count(r->pictures) - t->refused;
    UM_TRY(um_path_join(&path, r->out, "broken.jsonl"));
    if (t->refused > 0)
        UM_TRY(um_file_write(path, um_text_get(&all), all.n));
done:
    um_free(path);
    places_clear(&p);
    um_text_free(&own);
    um_text_free(&all);
    return rc;
}

um_status um_archive_pack(const char *folder, const char *out, int64_t n_shards, const um_settings *settings, um_comm *comm,
                          um_archive_tally *tally)
{
    um_status rc = UM_OK;
    um_pictures *pictures = NULL;
    pack_run r = {.out = out, .n_shards = (int)n_shards, .o = um_settings_get(settings, "archive"), .comm = comm};
    *tally = (um_archive_tally){0};
    rc = um_pictures_find(&pictures, um_settings_get(settings, "data"), folder);
    r.pictures = pictures;
    if (rc == UM_OK && n_shards > um_pictures_count(pictures))
        rc = um_fail(UM_E_USAGE, "--shards %lld: there are %lld pictures", (long long)n_shards, (long long)um_pictures_count(pictures));
    if (rc == UM_OK)
        rc = find_depth(&r);
    if (rc == UM_OK && um_comm_leads(comm))
        rc = settle(&r);
    UM_TRY(um_comm_agree(comm, rc));
    um_comm_set_deadline(comm, 0);
    rc = passes(&r);
    UM_TRY(um_comm_agree(comm, rc));
    if (um_comm_leads(comm))
        rc = conclude(&r, tally);
    UM_TRY(um_comm_agree(comm, rc));
    UM_TRY(um_comm_bcast(comm, tally, sizeof *tally, "what is packed"));
    if (tally->refused > 0)
        rc = um_fail(UM_E_PARTIAL, "%lld of %lld pictures cannot be read and were left out; %s/broken.jsonl says why",
                     (long long)tally->refused, (long long)(tally->images + tally->refused), out);
done:
    um_pictures_free(pictures);
    return rc;
}
