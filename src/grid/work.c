#include "grid/work.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static um_status save_state(const um_protect_work *w, void *state)
{
    if (!w->state_out)
        return UM_OK;
    if (!w->def->save)
        return um_fail(UM_E_UNSUPPORTED, "--state %s: protector '%s' has nothing to keep; leave the option out", w->state_out,
                       w->def->name);
    return w->def->save(state, w->clean, w->state_out);
}

static um_status measure(um_protect_outcome *o, const um_protect_work *w)
{
    um_status rc = UM_OK;
    um_rows all = {0};
    const um_rows *rows = w->apply_rows;
    if (!rows) {
        UM_TRY(um_rows_select(&all, w->clean, -1, 0, 0));
        rows = &all;
    }
    UM_TRY(um_visibility_measure(&o->visibility, w->clean, o->released, rows, um_settings_get(w->settings, "metrics")));
done:
    um_rows_free(&all);
    return rc;
}

static um_status release(um_protect_outcome *o, const um_protect_work *w, void *state)
{
    um_status rc = UM_OK;
    UM_TRY(um_protect_apply(&o->released, w->def, state, w->settings, w->clean, w->apply_rows));
    UM_TRY(measure(o, w));
    UM_TRY(save_state(w, state));
done:
    return rc;
}

um_status um_protect_work_run(um_protect_outcome *out, const um_protect_work *w)
{
    um_status rc = UM_OK;
    um_protect_outcome o = {0};
    void *state = NULL;
    double begun = um_now(), earlier = 0;
    um_protect_job job = {.settings = w->settings, .backend = w->backend, .data = w->clean, .rows = w->fit_rows, .seed = w->seed,
                          .checkpoint = w->checkpoint, .label = w->label, .comm = w->comm, .earlier_s = &earlier};
    UM_TRY(w->def->fit(&job, &state, &o.curves));
    if (um_comm_leads(w->comm))
        rc = release(&o, w, state);
    UM_TRY(um_comm_agree(w->comm, rc));
    o.seconds = um_now() - begun + earlier;
    *out = o;
    o = (um_protect_outcome){0};
done:
    if (state)
        w->def->free(state);
    um_protect_outcome_clear(&o);
    return rc;
}

void um_protect_outcome_clear(um_protect_outcome *o)
{
    um_dataset_free(o->released);
    um_visibility_free(&o->visibility);
    um_curves_free(&o->curves);
    *o = (um_protect_outcome){0};
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

um_status um_rows_without(um_rows *out, const um_dataset *d, const um_dataset *other, const um_rows *other_rows, int64_t limit,
                          uint64_t seed)
{
    um_status rc = UM_OK;
    um_dataset view = *d; /* the same rows under a split of our own */
    const char **taken = NULL;
    view.split = NULL;
    UM_TRY(UM_NEW_ARRAY(taken, other_rows->n));
    UM_TRY(UM_NEW_ARRAY(view.split, d->n));
    for (int64_t i = 0; i < other_rows->n; i++)
        taken[i] = other->ids[other_rows->index[i]];
    qsort(taken, (size_t)other_rows->n, sizeof *taken, by_text);
    for (int64_t i = 0; i < d->n; i++) {
        const char *id = d->ids[i];
        bool found = bsearch(&id, taken, (size_t)other_rows->n, sizeof *taken, by_text) != NULL;
        view.split[i] = found ? UM_SPLIT_TEST : UM_SPLIT_TRAIN;
    }
    UM_TRY(um_rows_select(out, &view, UM_SPLIT_TRAIN, limit, seed));
done:
    um_free(taken);
    um_free(view.split);
    return rc;
}
