#include "train/fit.h"

#include "base/log.h"
#include "base/mem.h"
#include "train/resident.h"
#include "train/steps.h"

typedef struct fit {
    um_segmenter *s;
    const um_dataset *d;
    const um_rows *rows;
    const um_fit_options *o;
    um_training_state state; /* progress.step: steps that were ended */
    int64_t *order, *batch_rows;
    um_resident *resident;  /* NULL: batches are made here and cross by the inlet */
    um_inlet inlet;
    size_t x_bytes, y_bytes; /* of one image */
    um_saver saver;
} fit;

static int64_t batch_size(const fit *f, int64_t step)
{
    return um_rows_in_batch(f->rows, step * f->o->batch, f->o->batch);
}

static void fill(const fit *f, char *x, char *y, int64_t n)
{
    um_dtype real = f->s->backend->real;
    for (int64_t i = 0; i < n; i++) {
        int64_t row = f->batch_rows[i];
        um_row_image(f->d, row, real, x + (size_t)i * f->x_bytes);
        if (f->s->config.model->classifier)
            um_row_label(f->d, row, real, y + (size_t)i * f->y_bytes);
        else
            um_row_mask(f->d, row, real, y + (size_t)i * f->y_bytes);
    }
}

/* This rank's share of the batch of a step: its rows, and unless their data stays with the backend, the images on their way
 * there. */
static um_status make_batch(void *payload, int64_t step)
{
    um_status rc = UM_OK;
    fit *f = payload;
    um_segmenter *s = f->s;
    um_share share;
    void *to[UM_INLET_PARTS] = {NULL};
    int64_t n = batch_size(f, step);
    um_segmenter_share(s, n, &share);
    for (int64_t i = 0; i < share.n; i++)
        f->batch_rows[i] = f->rows->index[f->order[step * f->o->batch + share.first + i]];
    if (!f->resident) {
        UM_TRY(um_inlet_room(&f->inlet, to));
        fill(f, to[0], to[1], share.n);
    }
    um_fit_batch batch = {.epoch = f->state.progress.epoch, .step = step, .first = share.first, .n = share.n, .n_total = n,
                          .row = f->batch_rows, .x = to[0], .y = to[1]};
    if (f->o->on_batch)
        UM_TRY(f->o->on_batch(f->o->payload, s, &batch));
    if (!f->resident) {
        um_segmenter_normalise(s, to[0], share.n);
        UM_TRY(um_inlet_send(&f->inlet, share.n));
    }
done:
    return rc;
}

/* On the batch that was made last. */
static um_status begin_step(void *payload, int64_t step)
{
    um_status rc = UM_OK;
    fit *f = payload;
    um_segmenter *s = f->s;
    um_share share;
    int64_t n = batch_size(f, step);
    um_segmenter_share(s, n, &share);
    if (f->resident)
        UM_TRY(um_resident_feed(f->resident, s->train, s->x, s->y, f->batch_rows, share.n));
    else
        UM_TRY(um_segmenter_feed(s, &f->inlet, share.n));
    UM_TRY(um_segmenter_begin(s, NULL, NULL, n));
done:
    return rc;
}

static um_status end_step(void *payload, int64_t step)
{
    um_status rc = UM_OK;
    fit *f = payload;
    um_progress_state *p = &f->state.progress;
    double loss[3];
    UM_TRY(um_segmenter_end(f->s, loss));
    for (int k = 0; k < 3; k++)
        p->sums[k] += loss[k] * (double)batch_size(f, step);
    p->step++;
done:
    return rc;
}

static um_status run_epoch(fit *f)
{
    um_status rc = UM_OK;
    um_progress_state *p = &f->state.progress;
    UM_TRY(um_rows_order(f->order, f->rows, f->o->seed, f->o->order, p->epoch));
    um_steps steps = {.saver = &f->saver, .backend = f->s->backend, .first = p->step,
                      .n = (f->rows->n + f->o->batch - 1) / f->o->batch,
                      .make = make_batch, .begin = begin_step, .end = end_step, .payload = f};
    UM_TRY(um_steps_run(&steps));
    static const char *const names[2][3] = {{"loss", "loss_ce", "loss_dice"}, {"loss", "accuracy", "margin"}};
    for (int k = 0; k < 3; k++)
        UM_TRY(um_curves_add(f->state.curves, names[f->s->config.model->classifier][k], (double)p->epoch + 1, p->sums[k] / (double)f->rows->n));
    double loss = p->sums[0] / (double)f->rows->n;
    *p = (um_progress_state){.epoch = p->epoch + 1};
    if (f->o->after_epoch)
        UM_TRY(f->o->after_epoch(f->o->payload, f->s, p->epoch, f->state.curves));
    char note[64];
    snprintf(note, sizeof note, "loss %.4f", loss);
    um_progress(f->o->label, (long)p->epoch, (long)f->o->epochs, note);
done:
    return rc;
}

/* Batches that nobody changes on their way stay with the backend; the others are made on the host. */
static um_status find_input(fit *f)
{
    um_status rc = UM_OK;
    const um_segmenter_config *c = &f->s->config;
    bool plain = (!f->o->on_batch || f->o->untouched) && !c->model->classifier && !(c->sd[0] > 0);
    if (plain)
        UM_TRY(um_resident_create(&f->resident, f->s->backend, f->d, f->o->batch, f->o->label));
    if (f->resident)
        return UM_OK;
    int64_t most = um_share_most(&c->spread, f->o->batch);
    UM_TRY(um_inlet_open(&f->inlet, f->s->backend, (const size_t[]){f->x_bytes, f->y_bytes}, 2, most));
done:
    return rc;
}

um_status um_fit_run(um_segmenter *s, const um_dataset *d, const um_rows *rows, const um_fit_options *o, um_curves *curves)
{
    um_status rc = UM_OK;
    fit f = {.s = s, .d = d, .rows = rows, .o = o};
    size_t size = um_dtype_bytes(s->backend->real);
    bool found = false;
    f.state = (um_training_state){.fingerprint = o->fingerprint, .n_nets = 1, .net_name = {"model"}, .net = {s->params}, .curves = curves};
    f.y_bytes = um_segmenter_target_bytes(s);
    f.x_bytes = (size_t)(d->h * d->w * d->c) * size;
    for (int i = 0; i < o->n_arrays; i++)
        f.state.array[f.state.n_arrays++] = o->array[i];
    if (rows->n == 0)
        return um_fail(UM_E_DATA, "%s: there are no training images", o->label);
    um_saver_set(&f.saver, &f.state, s->config.spread.comm, o->checkpoint, o->checkpoint_s, o->label);
    UM_TRY(UM_NEW_ARRAY(f.order, rows->n));
    UM_TRY(UM_NEW_ARRAY(f.batch_rows, o->batch));
    UM_TRY(find_input(&f));
    UM_TRY(um_saver_resume(&f.saver, o->earlier_s, &found));
    while (f.state.progress.epoch < o->epochs)
        UM_TRY(run_epoch(&f));
    UM_TRY(um_saver_save(&f.saver));
done:
    um_segmenter_forget(s);
    um_inlet_close(&f.inlet);
    um_resident_free(f.resident);
    um_free(f.batch_rows);
    um_free(f.order);
    return rc;
}
