#include "grid/run_internal.h"

#include "base/file.h"
#include "base/mem.h"
#include "grid/work.h"
#include "io/import.h"
#include "io/provenance.h"
#include "train/checkpoint.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- names ---- */

/* DIR/NAME with the key before the suffix. */
static um_status add_path(char **out, const char *dir, const char *key, const char *suffix)
{
    um_status rc = UM_OK;
    char name[64];
    snprintf(name, sizeof name, "%s%s", key, suffix);
    UM_TRY(um_path_join(out, dir, name));
done:
    return rc;
}

/* KEY.* in a folder that its kind shares. */
static um_status shared_paths(um_task_paths *p, const um_task_kind *kind, const char *key)
{
    um_status rc = UM_OK;
    UM_TRY(add_path(&p->done, p->folder, key, ".result.h5"));
    if (kind->data)
        UM_TRY(add_path(&p->data, p->folder, key, kind->data));
    UM_TRY(add_path(&p->checkpoint, p->folder, key, ".ckpt.h5"));
    UM_TRY(add_path(&p->lease, p->folder, key, ".lease"));
    UM_TRY(add_path(&p->failed, p->folder, key, ".failed.txt"));
done:
    return rc;
}

static um_status own_paths(um_task_paths *p)
{
    um_status rc = UM_OK;
    UM_TRY(um_path_join(&p->done, p->folder, "result.h5"));
    UM_TRY(um_path_join(&p->checkpoint, p->folder, "ckpt.h5"));
    UM_TRY(um_path_join(&p->lease, p->folder, "lease"));
    UM_TRY(um_path_join(&p->failed, p->folder, "failed.txt"));
done:
    return rc;
}

um_status um_task_paths_of(um_task_paths *out, const char *dir, const um_task_kind *kind, const char *key)
{
    um_status rc = UM_OK;
    um_task_paths p = {0};
    char *cells = NULL;
    UM_TRY(um_path_join(kind->folder ? &p.folder : &cells, dir, kind->folder ? kind->folder : "cells"));
    if (cells)
        UM_TRY(um_path_join(&p.folder, cells, key));
    UM_TRY(cells ? own_paths(&p) : shared_paths(&p, kind, key));
    *out = p;
    p = (um_task_paths){0};
done:
    um_free(cells);
    um_task_paths_clear(&p);
    return rc;
}

void um_task_paths_clear(um_task_paths *p)
{
    um_free(p->folder);
    um_free(p->done);
    um_free(p->data);
    um_free(p->checkpoint);
    um_free(p->lease);
    um_free(p->failed);
    *p = (um_task_paths){0};
}

bool um_task_is_done(const um_task_paths *p)
{
    return um_file_exists(p->done) && (!p->data || um_file_exists(p->data));
}

static um_status label_item(const um_sweep *s, int item, um_text *out)
{
    const um_sweep_item *i = &s->items[item];
    return um_text_add(out, "%s/%s seed %lld", s->data[i->data].name, s->methods[i->method].name, (long long)i->seed);
}

static um_status label_cell(const um_sweep *s, int cell, um_text *out)
{
    const um_sweep_cell *c = &s->cells[cell];
    bool defended = strcmp(c->defense->name, "none") != 0;
    return um_text_add(out, "%s/%s/%s%s%s seed %lld", s->data[c->data].name, s->methods[c->method].name, c->exploiter->name,
                       defended ? "/" : "", defended ? c->defense->name : "", (long long)c->seed);
}

/* ---- data ---- */

void um_task_cache_clear(um_task_cache *c)
{
    um_dataset_free(c->clean);
    um_dataset_free(c->released);
    *c = (um_task_cache){.data = -1};
}

/* Reads the clean dataset of a task unless it is there; refuses one that changed since the plan was made. */
um_status um_task_need_clean(um_task_cache *cache, const um_sweep *s, int data)
{
    um_status rc = UM_OK;
    char sha256[UM_SHA256_HEX];
    if (cache->data == data)
        return UM_OK;
    um_task_cache_clear(cache);
    UM_TRY(um_dataset_read(&cache->clean, s->data[data].path));
    um_dataset_sha256(cache->clean, sha256);
    if (strcmp(sha256, s->data[data].sha256) != 0) {
        rc = um_fail(UM_E_DATA, "%s: changed while the sweep was running; start it again", s->data[data].path);
        goto done;
    }
    cache->data = data;
done:
    return rc;
}

um_status um_task_need_released(um_task_cache *cache, const char *path, const char *key)
{
    um_status rc = UM_OK;
    if (strcmp(cache->item, key) == 0)
        return UM_OK;
    um_dataset_free(cache->released);
    cache->released = NULL;
    cache->item[0] = 0;
    UM_TRY(um_dataset_read(&cache->released, path));
    snprintf(cache->item, sizeof cache->item, "%s", key);
done:
    return rc;
}

um_status um_task_select_rows(um_rows *out, const um_dataset *d, const um_settings *settings, int split)
{
    const um_data_options *o = um_settings_get(settings, "data");
    return um_rows_select(out, d, split, o->limit, (uint64_t)o->split_seed);
}

um_result_meta um_task_describe(const um_sweep *s, int data, int method, int64_t seed, const um_dataset *clean)
{
    const um_method *m = &s->methods[method];
    double limit = um_method_is_none(m) ? 0 : (double)um_protect_limit(m->def, m->settings, um_dataset_max(clean));
    return (um_result_meta){.dataset = s->data[data].name, .dataset_sha256 = s->data[data].sha256, .protector = m->name,
                            .base = m->def->name, .bound = m->bound, .label = m->label, .plain = m->plain, .seed = seed,
                            .bound_linf = limit / um_dataset_max(clean), .settings = m->settings};
}

um_status um_task_check_claim(const um_task_context *c)
{
    if (c->still_ours(c->claim))
        return UM_OK;
    return um_fail(UM_E_COMM, "%s: another run took this task over, its result stands", c->paths->done);
}

/* ---- one item ---- */

/* The dataset first: it is the result file that says the item is done. What a broken run left half done is replaced. */
static um_status commit_item(const um_task_context *c, const um_sweep_item *item, const um_protect_outcome *o)
{
    um_status rc = UM_OK;
    um_result_meta meta = um_task_describe(c->run->sweep, item->data, item->method, item->seed, c->cache->clean);
    um_text inputs = {0};
    char released[UM_SHA256_HEX];
    um_dataset_sha256(o->released, released);
    meta.released_sha256 = released;
    meta.key = item->key;
    meta.command = c->run->command;
    UM_TRY(um_provenance_add_input(&inputs, c->run->sweep->data[item->data].path, meta.dataset_sha256));
    meta.inputs = um_text_get(&inputs);
    UM_TRY(um_task_check_claim(c));
    unlink(c->paths->data);
    UM_TRY(um_dataset_write(o->released, c->paths->data, &(um_dataset_write_options){.released = true}));
    UM_TRY(um_result_write_protection(c->paths->done, &meta, &o->visibility, &o->curves, o->seconds));
    um_saver_remove(c->paths->checkpoint);
done:
    um_text_free(&inputs);
    return rc;
}

static um_status run_item(const um_task_context *c, int index, um_text *outcome)
{
    um_status rc = UM_OK;
    const um_sweep *s = c->run->sweep;
    const um_sweep_item *item = &s->items[index];
    const um_method *m = &s->methods[item->method];
    um_rows train = {0};
    um_text label = {0};
    um_protect_outcome o = {0};
    UM_TRY(label_item(s, index, &label));
    UM_TRY(um_task_need_clean(c->cache, s, item->data));
    UM_TRY(um_task_select_rows(&train, c->cache->clean, m->settings, UM_SPLIT_TRAIN));
    UM_TRY(um_protect_work_run(&o, &(um_protect_work){.def = m->def, .settings = m->settings, .backend = c->run->backend,
                                                      .clean = c->cache->clean, .fit_rows = &train, .apply_rows = &train,
                                                      .seed = (uint64_t)item->seed, .checkpoint = c->paths->checkpoint,
                                                      .label = um_text_get(&label), .comm = c->comm}));
    if (!um_comm_leads(c->comm))
        goto done;
    UM_TRY(commit_item(c, item, &o));
    UM_TRY(um_text_add(outcome, "PSNR %.2f dB, SSIM %.4f, %.1f s", o.visibility.psnr, o.visibility.ssim, o.seconds));
done:
    um_protect_outcome_clear(&o);
    um_text_free(&label);
    um_rows_free(&train);
    return rc;
}

/* ---- one cell ---- */

/* The datasets of a cell, and how visible its protection was. */
static um_status load_cell(const um_task_context *c, const um_sweep_cell *cell, const um_dataset **train, um_visibility *visibility)
{
    um_status rc = UM_OK;
    const um_sweep *s = c->run->sweep;
    um_task_paths item = {0};
    UM_TRY(um_task_need_clean(c->cache, s, cell->data));
    *train = c->cache->clean;
    if (cell->item < 0)
        goto done;
    UM_TRY(um_task_paths_of(&item, c->run->dir, &um_task_protect, s->items[cell->item].key));
    UM_TRY(um_task_need_released(c->cache, item.data, s->items[cell->item].key));
    UM_TRY(um_result_read_visibility(visibility, item.done));
    *train = c->cache->released;
done:
    um_task_paths_clear(&item);
    return rc;
}

static um_status commit_cell(const um_task_context *c, const um_sweep_cell *cell, const um_exploit_result *result,
                             const um_visibility *visibility)
{
    um_status rc = UM_OK;
    const um_sweep *s = c->run->sweep;
    um_result_meta meta = um_task_describe(s, cell->data, cell->method, cell->seed, c->cache->clean);
    um_text inputs = {0}, tables = {0};
    meta.key = cell->key;
    meta.group = cell->group;
    meta.exploiter = cell->exploiter->name;
    meta.defense = cell->defense->name;
    meta.protected_key = cell->item >= 0 ? s->items[cell->item].key : NULL;
    meta.command = c->run->command;
    UM_TRY(um_sweep_tables_text(cell->tables, &tables));
    meta.tables = um_text_get(&tables);
    UM_TRY(um_provenance_add_input(&inputs, s->data[cell->data].path, meta.dataset_sha256));
    meta.inputs = um_text_get(&inputs);
    UM_TRY(um_task_check_claim(c));
    UM_TRY(um_result_write_cell(c->paths->done, &meta, result, visibility));
    um_saver_remove(c->paths->checkpoint);
done:
    um_text_free(&inputs);
    um_text_free(&tables);
    return rc;
}

static um_status run_cell(const um_task_context *c, int index, um_text *outcome)
{
    um_status rc = UM_OK;
    const um_sweep *s = c->run->sweep;
    const um_sweep_cell *cell = &s->cells[index];
    const um_settings *settings = s->methods[cell->method].settings;
    const um_dataset *released = NULL;
    um_visibility visibility = {0};
    um_rows train = {0}, test = {0};
    um_text label = {0};
    um_exploit_result r = {0};
    char *model = NULL;
    const um_grid_options *grid = um_settings_get(c->run->settings, "grid");
    UM_TRY(label_cell(s, index, &label));
    if (grid->utility && um_task_keeps_model(s, index))
        UM_TRY(um_path_join(&model, c->paths->folder, "model.h5"));
    UM_TRY(load_cell(c, cell, &released, &visibility));
    UM_TRY(um_task_select_rows(&train, released, settings, UM_SPLIT_TRAIN));
    UM_TRY(um_task_select_rows(&test, c->cache->clean, settings, UM_SPLIT_TEST));
    UM_TRY(um_exploit_run(&r, &(um_exploit_job){.settings = settings, .backend = c->run->backend, .model = cell->exploiter,
                                                .defense = cell->defense, .train = released, .train_rows = &train,
                                                .test = c->cache->clean, .test_rows = &test, .seed = (uint64_t)cell->seed,
                                                .checkpoint = c->paths->checkpoint, .save_model = model,
                                                .label = um_text_get(&label), .comm = c->comm}));
    if (!um_comm_leads(c->comm))
        goto done;
    UM_TRY(commit_cell(c, cell, &r, visibility.image_psnr ? &visibility : NULL));
    UM_TRY(um_text_add(outcome, "test DSC %.2f Jac %.2f, train DSC %.2f, %.1f s", 100 * r.test.batch.dsc,
                       100 * r.test.batch.jaccard,
                       100 * r.train.batch.dsc, r.seconds));
done:
    um_free(model);
    um_exploit_result_free(&r);
    um_text_free(&label);
    um_rows_free(&test);
    um_rows_free(&train);
    um_visibility_free(&visibility);
    return rc;
}

bool um_task_ends_sweep(um_status rc)
{
    return rc == UM_E_STOPPED || rc == UM_E_IO || rc == UM_E_MEMORY || rc == UM_E_USAGE || rc == UM_E_COMM;
}

const um_task_kind um_task_protect = {
    .verb = "protect", .folder = "protected", .data = ".h5", .noun = "protected datasets", .label = label_item, .run = run_item,
};

const um_task_kind um_task_exploit = {
    .verb = "exploit", .noun = "cells", .cells = &um_cells_exploit, .label = label_cell, .run = run_cell,
};
