/* Clinical utility: a network trained on clean images should segment protected ones as well as before. Once the cells of a sweep are
 * settled, every network that a clean, undefended cell kept is asked about every protected dataset of its data and seed. Cheap
 * beside the trainings; runs that share the folder claim the pairs like cells. */
#include "grid/run_internal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "mpi/lease.h"
#include "io/import.h"
#include "train/checkpoint.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 200 };

bool um_task_keeps_model(const um_sweep *s, int cell)
{
    const um_sweep_cell *c = &s->cells[cell];
    return um_method_is_none(&s->methods[c->method]) && strcmp(c->defense->name, "none") == 0;
}

static um_status model_path(char **out, const char *dir, const um_sweep_cell *cell)
{
    um_status rc = UM_OK;
    um_task_paths p = {0};
    UM_TRY(um_task_paths_of(&p, dir, &um_task_exploit, cell->key));
    UM_TRY(um_path_join(out, p.folder, "model.h5"));
done:
    um_task_paths_clear(&p);
    return rc;
}

static um_status utility_path(char **out, const char *dir, const um_sweep_item *item, const char *exploiter)
{
    um_status rc = UM_OK;
    um_text name = {0};
    UM_TRY(um_text_add(&name, "protected/%s.%s.utility.h5", item->key, exploiter));
    UM_TRY(um_path_join(out, dir, um_text_get(&name)));
done:
    um_text_free(&name);
    return rc;
}

static um_status evaluate(const um_sweep_run_options *o, um_task_cache *cache, const um_sweep_cell *cell, int item,
                          const char *model, const char *path)
{
    um_status rc = UM_OK;
    const um_sweep *s = o->sweep;
    const um_sweep_item *it = &s->items[item];
    const um_settings *settings = s->methods[it->method].settings;
    const um_exploiter_options *exploiter = um_settings_get(settings, "exploiter");
    const um_metric_options *metrics = um_settings_get(settings, "metrics");
    um_task_paths paths = {0};
    um_segmenter *net = NULL;
    um_rows train = {0};
    um_scores released = {0}, clean = {0};
    um_result_meta meta;
    UM_TRY(um_task_paths_of(&paths, o->dir, &um_task_protect, it->key));
    UM_TRY(um_task_need_clean(cache, s, it->data));
    UM_TRY(um_task_need_released(cache, paths.data, it->key));
    UM_TRY(um_task_select_rows(&train, cache->clean, settings, UM_SPLIT_TRAIN));
    UM_TRY(um_model_load(&net, o->backend, model, cache->clean->h, cache->clean->w, exploiter->batch));
    UM_TRY(um_evaluate(&released, net, cache->released, &train, metrics->batch, true));
    UM_TRY(um_evaluate(&clean, net, cache->clean, &train, metrics->batch, true));
    meta = um_task_describe(s, it->data, it->method, it->seed, cache->clean);
    meta.key = it->key;
    meta.exploiter = cell->exploiter->name;
    meta.defense = cell->defense->name;
    meta.command = o->command;
    UM_TRY(um_result_write_utility(path, &meta, &released, &clean));
done:
    um_scores_free(&released);
    um_scores_free(&clean);
    um_rows_free(&train);
    um_segmenter_free(net);
    um_task_paths_clear(&paths);
    return rc;
}

static um_status claim_name(um_text *out, const um_task_paths *item, const char *exploiter)
{
    return um_text_add(out, "%s_%s", item->lease, exploiter);
}

/* One pair, unless it is done, something of it is missing (a failure, or another filter), or somebody else is at it: then *held. */
static um_status pair(const um_sweep_run_options *o, um_task_cache *cache, const um_sweep_cell *cell, int item, double lease_s,
                      bool *held)
{
    um_status rc = UM_OK;
    char *model = NULL, *path = NULL;
    um_task_paths paths = {0};
    um_text name = {0};
    um_lease *claim = NULL;
    UM_TRY(model_path(&model, o->dir, cell));
    UM_TRY(utility_path(&path, o->dir, &o->sweep->items[item], cell->exploiter->name));
    UM_TRY(um_task_paths_of(&paths, o->dir, &um_task_protect, o->sweep->items[item].key));
    UM_TRY(claim_name(&name, &paths, cell->exploiter->name));
    if (um_file_exists(path) || !um_file_exists(model) || !um_file_exists(paths.done))
        goto done;
    UM_TRY(um_lease_take(&claim, um_text_get(&name), lease_s));
    *held = *held || !claim;
    if (claim && !um_file_exists(path))
        rc = evaluate(o, cache, cell, item, model, path);
    if (rc != UM_OK && !um_task_ends_sweep(rc)) {
        um_log(UM_LOG_WARN, "no utility of %s: %s", paths.data, um_error_text());
        rc = UM_OK;
    }
done:
    um_lease_release(claim);
    um_text_free(&name);
    um_task_paths_clear(&paths);
    um_free(model);
    um_free(path);
    return rc;
}

um_status um_task_run_utilities(const um_sweep_run_options *o, um_task_cache *cache, double lease_s,
                                um_status (*stop)(void *payload), void *payload)
{
    um_status rc = UM_OK;
    const um_sweep *s = o->sweep;
    for (bool held = true, told = false; held;) {
        held = false;
        for (int i = 0; i < s->n_items; i++)
            for (int c = 0; c < s->n_cells; c++)
                if (um_task_keeps_model(s, c) && s->cells[c].data == s->items[i].data && s->cells[c].seed == s->items[i].seed) {
                    UM_TRY(stop(payload));
                    UM_TRY(pair(o, cache, &s->cells[c], i, lease_s, &held));
                }
        if (!held)
            break;
        if (!told)
            um_log(UM_LOG_INFO, "waiting for utilities that others are at");
        told = true;
        usleep(WAIT_MS * 1000);
    }
done:
    return rc;
}
