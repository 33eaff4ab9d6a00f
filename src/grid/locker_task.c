/* Tasks of kind medlocker: train a network, search marks, ask networks about them, train one anew on marked images. */
#include "grid/locker.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "grid/locker_result.h"
#include "grid/run_internal.h"
#include "io/import.h"
#include "io/provenance.h"
#include "train/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 64 }; /* images that a network is asked about at once: a matter of memory, no result depends on it */

/* ---- labels ---- */

static um_status label_net(const um_sweep *s, int index, um_text *out)
{
    const um_locker_net *n = &s->locker->nets[index];
    return um_text_add(out, "%s/%s seed %lld", s->data[n->data].name, n->model->name, (long long)n->seed);
}

static um_status add_place(const um_sweep *s, const um_locker_mark *m, um_text *out)
{
    return um_text_add(out, "%s/%s against %s", s->data[m->data].name, s->locker->searches[m->search].name, m->target);
}

static um_status label_mark(const um_sweep *s, int index, um_text *out)
{
    um_status rc = UM_OK;
    const um_locker_mark *m = &s->locker->marks[index];
    UM_TRY(add_place(s, m, out));
    UM_TRY(um_text_add(out, "%s seed %lld", m->split == UM_SPLIT_TRAIN ? ", training rows" : "", (long long)m->seed));
done:
    return rc;
}

static um_status label_cell(const um_sweep *s, int index, um_text *out)
{
    um_status rc = UM_OK;
    const um_locker_cell *c = &s->locker->cells[index];
    UM_TRY(add_place(s, &s->locker->marks[c->mark], out));
    if (c->train_mark >= 0)
        UM_TRY(um_text_add(out, ", %s", s->locker->nets[c->net[0]].model->name));
    UM_TRY(um_text_add(out, " seed %lld", (long long)c->seed));
done:
    return rc;
}

/* ---- what they share ---- */

static um_locker_meta describe(const um_task_context *c, int data, const um_settings *settings, int64_t seed)
{
    const um_sweep *s = c->run->sweep;
    return (um_locker_meta){.dataset = s->data[data].name, .dataset_sha256 = s->data[data].sha256, .seed = seed,
                            .command = c->run->command, .settings = settings};
}

/* inputs: the dataset of the result; the caller's to free. */
static um_status add_inputs(const um_task_context *c, int data, um_locker_meta *meta, um_text *inputs)
{
    um_status rc = UM_OK;
    UM_TRY(um_provenance_add_input(inputs, c->run->sweep->data[data].path, meta->dataset_sha256));
    meta->inputs = um_text_get(inputs);
done:
    return rc;
}

static um_status load_net(um_segmenter **out, const um_task_context *c, int net, int64_t batch)
{
    um_status rc = UM_OK;
    const um_dataset *d = c->cache->clean;
    um_task_paths p = {0};
    UM_TRY(um_task_paths_of(&p, c->run->dir, &um_task_train, c->run->sweep->locker->nets[net].key));
    UM_TRY(um_model_load(out, c->run->backend, p.data, d->h, d->w, batch));
done:
    um_task_paths_clear(&p);
    return rc;
}

static um_status select_rows(um_rows *out, const um_task_context *c, const um_settings *settings, int split)
{
    return um_task_select_rows(out, c->cache->clean, settings, split);
}

/* ---- a network ---- */

static um_status commit_net(const um_task_context *c, const um_locker_net *n, const um_segmenter *net, const um_classify_result *r)
{
    um_status rc = UM_OK;
    const um_classify_options *o = um_settings_get(n->settings, "classifier");
    um_locker_meta meta = describe(c, n->data, n->settings, n->seed);
    um_text inputs = {0};
    meta.kind = "network";
    meta.key = n->key, meta.group = n->group, meta.network = n->model->name;
    UM_TRY(add_inputs(c, n->data, &meta, &inputs));
    UM_TRY(um_task_check_claim(c));
    unlink(c->paths->data);
    UM_TRY(um_model_save(net, c->paths->data, o->epochs, (uint64_t)n->seed));
    UM_TRY(um_locker_write_network(c->paths->done, &meta, r));
    um_saver_remove(c->paths->checkpoint);
done:
    um_text_free(&inputs);
    return rc;
}

static um_status run_train(const um_task_context *c, int index, um_text *outcome)
{
    um_status rc = UM_OK;
    const um_sweep *s = c->run->sweep;
    const um_locker_net *n = &s->locker->nets[index];
    um_rows train = {0}, test = {0};
    um_text label = {0};
    um_segmenter *net = NULL;
    um_classify_result r = {.seconds = 0};
    UM_TRY(label_net(s, index, &label));
    UM_TRY(um_task_need_clean(c->cache, s, n->data));
    UM_TRY(select_rows(&train, c, n->settings, UM_SPLIT_TRAIN));
    UM_TRY(select_rows(&test, c, n->settings, UM_SPLIT_TEST));
    UM_TRY(um_classify_run(&net, &r, &(um_classify_job){.settings = n->settings, .backend = c->run->backend, .model = n->model,
                                                        .data = c->cache->clean, .train_rows = &train, .test_rows = &test,
                                                        .seed = (uint64_t)n->seed, .checkpoint = c->paths->checkpoint,
                                                        .label = um_text_get(&label), .comm = c->comm}));
    if (!um_comm_leads(c->comm))
        goto done;
    UM_TRY(commit_net(c, n, net, &r));
    UM_TRY(um_text_add(outcome, "right on %lld of %lld test images, largest class %.1f %%, %.1f s", (long long)r.test.hits,
                       (long long)r.test.n, 100 * r.test.majority, r.seconds));
done:
    um_classify_result_free(&r);
    um_segmenter_free(net);
    um_text_free(&label);
    um_rows_free(&test);
    um_rows_free(&train);
    return rc;
}

/* ---- marks ---- */

typedef struct marking {
    um_rows rows;
    um_targets targets;
    um_segmenter *cam, *lesions;
    um_logo logo;
    um_mark *marks;
    um_text label;
    um_mark_job job;
} marking;

static void marking_clear(marking *m)
{
    um_free(m->marks);
    um_logo_clear(&m->logo);
    um_segmenter_free(m->lesions);
    um_segmenter_free(m->cam);
    um_targets_free(&m->targets);
    um_text_free(&m->label);
    um_rows_free(&m->rows);
}

/* Everything that um_mark_apply needs; the networks are for searches only. d: what is marked. */
static um_status marking_prepare(marking *m, const um_task_context *c, const um_locker_mark *mark, const um_dataset *d)
{
    um_status rc = UM_OK;
    UM_TRY(select_rows(&m->rows, c, mark->settings, mark->split));
    UM_TRY(um_logo_read(&m->logo, ""));
    UM_TRY(UM_NEW_ARRAY(m->marks, m->rows.n));
    m->job = (um_mark_job){.settings = mark->settings,
                           .backend = c->run->backend,
                           .targets = &m->targets,
                           .data = d,
                           .rows = &m->rows,
                           .logo = &m->logo,
                           .seed = (uint64_t)mark->seed,
                           .label = um_text_get(&m->label),
                           .comm = c->comm};
done:
    return rc;
}

static um_status marking_load_nets(marking *m, const um_task_context *c, const um_locker_mark *mark)
{
    um_status rc = UM_OK;
    const um_medlocker_options *o = um_settings_get(mark->settings, "medlocker");
    int64_t batch = o->population > BATCH ? o->population : BATCH;
    for (int i = 0; i < mark->n_nets; i++) {
        UM_TRY(load_net(&m->targets.net[i], c, mark->net[i], batch));
        m->targets.n++;
    }
    UM_TRY(um_targets_prepare(&m->targets, c->run->backend, o));
    if (mark->cam >= 0)
        UM_TRY(load_net(&m->cam, c, mark->cam, 1));
    m->job.cam = m->cam;
    if (o->wsm)
        UM_TRY(um_lesion_net_load(&m->lesions, c->run->backend, o, c->cache->clean));
    m->job.lesions = m->lesions;
done:
    return rc;
}

static um_status commit_marks(const um_task_context *c, const um_locker_mark *mark, const marking *m, double seconds)
{
    um_status rc = UM_OK;
    um_locker_meta meta = describe(c, mark->data, mark->settings, mark->seed);
    um_text inputs = {0};
    meta.kind = "marks";
    meta.key = mark->key, meta.group = mark->group, meta.target = mark->target;
    meta.search = c->run->sweep->locker->searches[mark->search].name;
    UM_TRY(add_inputs(c, mark->data, &meta, &inputs));
    UM_TRY(um_task_check_claim(c));
    UM_TRY(um_locker_write_marks(c->paths->done, &meta, m->marks, c->cache->clean, &m->rows, seconds));
    um_saver_remove(c->paths->checkpoint);
done:
    um_text_free(&inputs);
    return rc;
}

static um_status run_mark(const um_task_context *c, int index, um_text *outcome)
{
    um_status rc = UM_OK;
    const um_sweep *s = c->run->sweep;
    const um_locker_mark *mark = &s->locker->marks[index];
    double start = um_now();
    marking m = {.job = {.settings = NULL}};
    UM_TRY(label_mark(s, index, &m.label));
    UM_TRY(um_task_need_clean(c->cache, s, mark->data));
    UM_TRY(marking_prepare(&m, c, mark, c->cache->clean));
    UM_TRY(marking_load_nets(&m, c, mark));
    m.job.checkpoint = c->paths->checkpoint;
    UM_TRY(um_mark_search(m.marks, &m.job));
    if (!um_comm_leads(c->comm))
        goto done;
    UM_TRY(commit_marks(c, mark, &m, um_now() - start));
    um_locker_summary sum = um_locker_sum(m.marks, m.rows.n);
    UM_TRY(um_text_add(outcome, "%.0f strict, %.0f relaxed, %.0f left, margin %.3f to %.3f, %.1f s", sum.strict, sum.relaxed,
                       sum.none, sum.margin_before, sum.margin_after, um_now() - start));
done:
    marking_clear(&m);
    return rc;
}

/* ---- cells ---- */

/* A dataset with the rows of some marks marked. m: stays with the caller, also on failure. */
static um_status marked_copy(um_dataset **out, marking *m, const um_task_context *c, int mark, const um_dataset *d)
{
    um_status rc = UM_OK;
    const um_locker_mark *at = &c->run->sweep->locker->marks[mark];
    um_task_paths p = {0};
    UM_TRY(um_task_paths_of(&p, c->run->dir, &um_task_mark, at->key));
    UM_TRY(marking_prepare(m, c, at, d));
    UM_TRY(um_locker_read_marks(m->marks, m->rows.n, p.done));
    UM_TRY(um_mark_apply(out, &m->job, m->marks));
done:
    um_task_paths_clear(&p);
    return rc;
}

/* Of the rows that carry a mark. */
static um_status measure_looks(um_locker_outcome *o, const marking *m, const um_dataset *clean, const um_dataset *marked)
{
    um_status rc = UM_OK;
    um_rows rows = {0};
    um_visibility seen = {0};
    um_logo logo = {0};
    double area = 0;
    UM_TRY(UM_NEW_ARRAY(rows.index, m->rows.n));
    for (int64_t i = 0; i < m->rows.n; i++) {
        if (m->marks[i].state == UM_WSM_NONE)
            continue;
        rows.index[rows.n++] = m->rows.index[i];
        um_logo_clear(&logo);
        UM_TRY(um_logo_fit(&logo, &m->logo, clean->h, clean->w, m->marks[i].ratio));
        area += (double)(logo.h * logo.w) / (double)(clean->h * clean->w);
    }
    o->psnr = o->ssim = o->logo_area = NAN;
    if (rows.n == 0)
        goto done;
    UM_TRY(um_visibility_measure(&seen, clean, marked, &rows, um_settings_get(m->job.settings, "metrics")));
    o->psnr = seen.psnr, o->ssim = seen.ssim, o->logo_area = area / (double)rows.n;
done:
    um_logo_clear(&logo);
    um_visibility_free(&seen);
    um_rows_free(&rows);
    return rc;
}

static bool is_target(const um_locker_mark *m, int net)
{
    for (int i = 0; i < m->n_nets; i++)
        if (m->net[i] == net)
            return true;
    return false;
}

static um_status commit_cell(const um_task_context *c, const um_locker_cell *cell, const um_locker_outcome *o)
{
    um_status rc = UM_OK;
    const um_locker_plan *p = c->run->sweep->locker;
    const um_locker_mark *mark = &p->marks[cell->mark];
    um_locker_meta meta = describe(c, mark->data, mark->settings, cell->seed);
    um_text inputs = {0};
    meta.kind = "medlocker";
    meta.key = cell->key, meta.group = cell->group, meta.target = mark->target;
    meta.search = p->searches[mark->search].name;
    meta.network = cell->train_mark >= 0 ? p->nets[cell->net[0]].model->name : NULL;
    UM_TRY(add_inputs(c, mark->data, &meta, &inputs));
    UM_TRY(um_task_check_claim(c));
    UM_TRY(um_locker_write_cell(c->paths->done, &meta, o));
    um_saver_remove(c->paths->checkpoint);
done:
    um_text_free(&inputs);
    return rc;
}

/* Asks the networks that were trained on clean rows. */
static um_status ask(um_locker_verdict *out, const um_task_context *c, const um_locker_cell *cell, const um_rows *test,
                     const um_dataset *marked)
{
    um_status rc = UM_OK;
    const um_locker_plan *p = c->run->sweep->locker;
    um_segmenter *net = NULL;
    for (int i = 0; i < cell->n_nets; i++) {
        snprintf(out[i].network, sizeof out[i].network, "%s", p->nets[cell->net[i]].model->name);
        out[i].white = is_target(&p->marks[cell->mark], cell->net[i]);
        um_segmenter_free(net);
        net = NULL;
        UM_TRY(load_net(&net, c, cell->net[i], BATCH));
        UM_TRY(um_effect_measure(&out[i].effect, net, c->cache->clean, test, marked, c->comm));
    }
done:
    um_segmenter_free(net);
    return rc;
}

static um_status run_judge(const um_task_context *c, int index, um_text *outcome)
{
    um_status rc = UM_OK;
    const um_sweep *s = c->run->sweep;
    const um_locker_cell *cell = &s->locker->cells[index];
    double start = um_now();
    um_locker_verdict verdicts[UM_LOCKER_NETS];
    um_locker_outcome o = {.verdicts = verdicts, .n_verdicts = cell->n_nets};
    marking m = {.job = {.settings = NULL}};
    um_dataset *marked = NULL;
    UM_TRY(um_task_need_clean(c->cache, s, s->locker->marks[cell->mark].data));
    UM_TRY(marked_copy(&marked, &m, c, cell->mark, c->cache->clean));
    UM_TRY(ask(verdicts, c, cell, &m.rows, marked));
    if (!um_comm_leads(c->comm))
        goto done;
    o.marks = um_locker_sum(m.marks, m.rows.n);
    UM_TRY(measure_looks(&o, &m, c->cache->clean, marked));
    o.seconds = um_now() - start;
    UM_TRY(commit_cell(c, cell, &o));
    for (int i = 0; i < cell->n_nets; i++)
        UM_TRY(um_text_add(outcome, "%s%s%s broke %lld of %lld", i ? ", " : "", verdicts[i].white ? "*" : "", verdicts[i].network,
                           (long long)verdicts[i].effect.broken, (long long)verdicts[i].effect.right_before));
    UM_TRY(um_text_add(outcome, ", %.1f s", o.seconds));
done:
    um_dataset_free(marked);
    marking_clear(&m);
    return rc;
}

/* Training and test rows marked, each by its own search. */
typedef struct retraining {
    marking train, test;
    um_dataset *half, *marked; /* training rows marked; all of them */
    um_segmenter *net;
    um_classify_result result;
    um_text label;
} retraining;

static void retraining_clear(retraining *r)
{
    um_classify_result_free(&r->result);
    um_segmenter_free(r->net);
    um_dataset_free(r->marked);
    um_dataset_free(r->half);
    marking_clear(&r->test);
    marking_clear(&r->train);
    um_text_free(&r->label);
}

static um_status retrain(retraining *r, const um_task_context *c, const um_locker_cell *cell)
{
    um_status rc = UM_OK;
    const um_sweep *s = c->run->sweep;
    const um_locker_net *n = &s->locker->nets[cell->net[0]];
    UM_TRY(um_task_need_clean(c->cache, s, n->data));
    UM_TRY(marked_copy(&r->half, &r->train, c, cell->train_mark, c->cache->clean));
    UM_TRY(marked_copy(&r->marked, &r->test, c, cell->mark, r->half));
    UM_TRY(um_classify_run(&r->net, &r->result,
                           &(um_classify_job){.settings = n->settings,
                                              .backend = c->run->backend,
                                              .model = n->model,
                                              .data = r->marked,
                                              .train_rows = &r->train.rows,
                                              .test_rows = &r->test.rows,
                                              .seed = (uint64_t)n->seed,
                                              .checkpoint = c->paths->checkpoint,
                                              .label = um_text_get(&r->label),
                                              .comm = c->comm}));
done:
    return rc;
}

static um_status run_retrain(const um_task_context *c, int index, um_text *outcome)
{
    um_status rc = UM_OK;
    const um_sweep *s = c->run->sweep;
    const um_locker_cell *cell = &s->locker->cells[index];
    um_locker_verdict verdicts[2] = {{.white = false}};
    um_locker_outcome o = {.verdicts = verdicts, .n_verdicts = 2};
    retraining r = {.net = NULL};
    UM_TRY(label_cell(s, index, &r.label));
    UM_TRY(retrain(&r, c, cell));
    UM_TRY(ask(verdicts, c, cell, &r.test.rows, r.marked));
    snprintf(verdicts[1].network, sizeof verdicts[1].network, "%s_retrained", s->locker->nets[cell->net[0]].model->name);
    UM_TRY(um_effect_measure(&verdicts[1].effect, r.net, c->cache->clean, &r.test.rows, r.marked, c->comm));
    if (!um_comm_leads(c->comm))
        goto done;
    o.marks = um_locker_sum(r.test.marks, r.test.rows.n);
    UM_TRY(measure_looks(&o, &r.test, c->cache->clean, r.marked));
    o.retrained = &r.result;
    o.seconds = r.result.seconds;
    UM_TRY(commit_cell(c, cell, &o));
    UM_TRY(um_text_add(outcome, "right on clean %lld, on marked %lld of %lld; before %lld and %lld, %.1f s",
                       (long long)verdicts[1].effect.right_before, (long long)verdicts[1].effect.right_after,
                       (long long)verdicts[1].effect.n, (long long)verdicts[0].effect.right_before,
                       (long long)verdicts[0].effect.right_after, o.seconds));
done:
    retraining_clear(&r);
    return rc;
}

const um_task_kind um_task_train = {
    .verb = "train", .folder = "networks", .data = ".model.h5", .noun = "networks", .label = label_net, .run = run_train,
};

const um_task_kind um_task_mark = {
    .verb = "mark", .folder = "marks", .noun = "marked datasets", .label = label_mark, .run = run_mark,
};

const um_task_kind um_task_judge = {
    .verb = "judge", .noun = "cells", .cells = &um_cells_medlocker, .label = label_cell, .run = run_judge,
};

const um_task_kind um_task_retrain = {
    .verb = "retrain", .noun = "cells", .cells = &um_cells_medlocker, .label = label_cell, .run = run_retrain,
};
