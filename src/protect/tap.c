/* TAP: targeted adversarial poisons (Fowl et al., NeurIPS 2021; protectors.md 2.2). A U-Net is trained on the clean images and
 * frozen; every image then takes signed gradient steps inside the ball that lower the loss against a wrong mask (the original: the
 * next class, which for two classes is the inverted mask). Of several random starts the one with the lowest loss is kept. */
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "protect/attack.h"

typedef enum tap_mode { TAP_INVERT, TAP_UNTARGETED, TAP_SHIFT, TAP_EMPTY } tap_mode;

typedef struct um_tap_options {
    um_attack_options common;
    int mode; /* tap_mode */
    int64_t steps, restarts, clean_epochs;
    double alpha_rel, shift;
    bool augment;
} um_tap_options;

#define S um_tap_options
static const um_opt rows[] = {
    UM_ATTACK_ROWS(S, common),
    UM_OPT_ENUM_ROW(S, mode, "mode", "invert", "invert untargeted shift empty",
                    "the mask that is aimed at: inverted, away from the true one, translated, or none"),
    UM_OPT_INT_ROW(S, steps, "steps", "250", 1, 1000000, "", "gradient steps of every image"),
    UM_OPT_REAL_ROW(S, alpha_rel, "alpha_rel", "0.05", 0, 2, "of eps", "length of a step"),
    UM_OPT_INT_ROW(S, restarts, "restarts", "1", 1, 1000, "", "random starts, of which the best is kept"),
    UM_OPT_INT_ROW(S, clean_epochs, "clean_epochs", "150", 1, 1000000, "epochs", "training of the surrogate on clean images"),
    UM_OPT_REAL_ROW(S, shift, "shift", "0.25", 0, 1, "of the side", "translation of mode shift, around the edges"),
    UM_OPT_BOOL_ROW(S, augment, "augment", "false", "a random shift and flip before every gradient"),
};
#undef S
static const um_opt_table table = UM_OPT_TABLE("tap", um_tap_options, rows);

typedef struct tap {
    um_attack a;
    const um_tap_options *o;
    um_ball ball;
    int64_t *picked;
    char *target, *moved, *moved_target; /* one batch: aimed masks; views under augmentation */
    double *best, *loss;                 /* [rows]: of the perturbation in the table; [batch] */
    bool placed;                         /* the images of a.v are with the backend */
} tap;

/* The mask of one image that the steps aim at. */
static void aim(const tap *t, const void *mask, void *target, int64_t first)
{
    int64_t h = t->a.job->data->h, w = t->a.job->data->w, dy = (int64_t)(t->o->shift * (double)h),
            dx = (int64_t)(t->o->shift * (double)w);
    for (int64_t i = 0; i < h * w; i++) {
        double y = um_attack_get(&t->a, mask, first + i);
        if (t->o->mode == TAP_INVERT)
            y = 1 - y;
        else if (t->o->mode == TAP_EMPTY)
            y = 0;
        else if (t->o->mode == TAP_SHIFT)
            y = um_attack_get(&t->a, mask, first + (i / w - dy + h) % h * w + (i % w - dx + w) % w);
        um_attack_put(&t->a, target, first + i, y);
    }
}

/* A shift by up to an eighth of the side, zeros coming in, after a horizontal flip half of the time. */
typedef struct view {
    int64_t dy, dx;
    bool flip;
} view;

static view draw_view(const tap *t, int64_t row, int64_t step)
{
    const um_dataset *d = t->a.job->data;
    uint32_t word[4];
    int64_t reach_y = d->h / 8, reach_x = d->w / 8;
    um_rng_words(t->a.job->seed, UM_RNG_TAP_AUGMENT, 0, um_text_hash(d->ids[row]), (uint32_t)step, word);
    return (view){(int64_t)(word[0] % (uint32_t)(2 * reach_y + 1)) - reach_y,
                  (int64_t)(word[1] % (uint32_t)(2 * reach_x + 1)) - reach_x, word[2] & 1};
}

/* to(view(p)) = from(p), or with back: to(p) = from(view(p)); one image of c channels. */
static void look(const tap *t, view v, bool back, const void *from, void *to, int64_t image, int64_t c)
{
    int64_t h = t->a.job->data->h, w = t->a.job->data->w;
    for (int64_t i = 0; i < h; i++)
        for (int64_t j = 0; j < w; j++) {
            int64_t y = i - v.dy, x = j - v.dx, here = image * h * w + i * w + j;
            bool inside = y >= 0 && x >= 0 && y < h && x < w;
            int64_t there = image * h * w + y * w + (v.flip ? w - 1 - x : x);
            for (int64_t k = 0; k < c; k++) {
                if (back && inside)
                    um_attack_put(&t->a, to, there * c + k, um_attack_get(&t->a, from, here * c + k));
                else if (!back)
                    um_attack_put(&t->a, to, here * c + k, inside ? um_attack_get(&t->a, from, there * c + k) : 0);
            }
        }
}

/* A step along the gradient of shifted and flipped images, which is made here. */
static um_status augmented_step(tap *t, int64_t n, int64_t step)
{
    um_status rc = UM_OK;
    um_attack *a = &t->a;
    const um_protect_job *job = a->job;
    for (int64_t i = 0; i < n; i++) {
        view v = draw_view(t, job->rows->index[t->picked[i]], step);
        look(t, v, false, a->v, t->moved, i, job->data->c);
        look(t, v, false, t->target, t->moved_target, i, 1);
    }
    UM_TRY(um_input_grad_run(a->grad, t->moved, t->moved_target, n, t->moved, NULL));
    memset(a->dx, 0, (size_t)n * a->image_bytes);
    for (int64_t i = 0; i < n; i++)
        look(t, draw_view(t, job->rows->index[t->picked[i]], step), true, t->moved, a->dx, i, job->data->c);
    um_ball_step(&t->ball, a->real, a->v, a->x, a->dx, NULL, n * a->pixels, job->data->c);
done:
    return rc;
}

/* One step of the images, which are with the backend from the first one on, until fetch_images. */
static um_status take_step(tap *t, int64_t n, int64_t step)
{
    um_status rc = UM_OK;
    um_attack *a = &t->a;
    if (t->o->augment)
        return augmented_step(t, n, step);
    if (!t->placed)
        UM_TRY(um_pgd_place(a->grad, &t->ball, a->v, a->x, t->target, NULL, n));
    t->placed = true;
    UM_TRY(um_pgd_step(a->grad, n));
done:
    return rc;
}

/* a.v as the steps so far leave it; with stay, the backend goes on with its own. */
static um_status fetch_images(tap *t, int64_t n, bool stay)
{
    um_status rc = UM_OK;
    if (t->placed)
        UM_TRY(um_pgd_fetch(t->a.grad, t->a.v, n));
    t->placed = t->placed && stay;
done:
    return rc;
}

/* x + clip(eps N(0,1), +-eps), projected: the start of a restart. */
static um_status draw_start(tap *t, int64_t n, int64_t restart)
{
    um_status rc = UM_OK;
    um_attack *a = &t->a;
    float *noise = NULL;
    UM_TRY(UM_NEW_ARRAY(noise, a->values));
    for (int64_t i = 0; i < n; i++) {
        const char *id = a->job->data->ids[a->job->rows->index[t->picked[i]]];
        um_rng_fill_normal(noise, a->values, 0, (float)a->o.eps, a->job->seed, UM_RNG_TAP_START, um_text_hash(id),
                           (uint32_t)restart);
        for (int64_t k = 0; k < a->values; k++)
            um_attack_put(&t->a, a->v, i * a->values + k, um_attack_get(&t->a, a->x, i * a->values + k) + (double)noise[k]);
    }
    um_ball_project(&t->ball, a->real, a->v, a->x, NULL, n * a->pixels, a->job->data->c);
done:
    um_free(noise);
    return rc;
}

/* Keeps what is better than the best so far. */
static um_status keep_better(tap *t, int64_t n)
{
    um_status rc = UM_OK;
    um_attack *a = &t->a;
    UM_TRY(um_input_grad_run(a->grad, a->v, t->target, n, NULL, t->loss));
    for (int64_t i = 0; i < n; i++) {
        double loss = t->o->mode == TAP_UNTARGETED ? -t->loss[i] : t->loss[i];
        if (!(loss < t->best[t->picked[i]]))
            continue;
        t->best[t->picked[i]] = loss;
        um_attack_store(a, i, t->picked[i]);
    }
done:
    return rc;
}

static int64_t take_batch(tap *t, int64_t batch)
{
    int64_t n = um_attack_pick(&t->a, batch * t->a.o.batch, t->picked);
    um_attack_load_clean(&t->a, t->picked, n);
    for (int64_t i = 0; i < n; i++)
        aim(t, t->a.y, t->target, i * t->a.pixels);
    return n;
}

static um_status settle(void *payload)
{
    tap *t = payload;
    return fetch_images(t, t->a.n_picked, true);
}

/* progress: epoch = batch, step = restart * steps + step. */
static um_status attack_batch(tap *t)
{
    um_status rc = UM_OK;
    um_attack *a = &t->a;
    um_progress_state *p = &a->state.progress;
    int64_t n = take_batch(t, p->epoch), total = t->o->restarts * t->o->steps;
    while (p->step < total) {
        UM_TRY(um_saver_pause_after(&a->saver, settle, t));
        if (p->step % t->o->steps == 0)
            UM_TRY(draw_start(t, n, p->step / t->o->steps));
        UM_TRY(take_step(t, n, p->step));
        p->step++;
        if (p->step % t->o->steps > 0)
            continue;
        UM_TRY(fetch_images(t, n, false));
        UM_TRY(keep_better(t, n));
    }
    *p = (um_progress_state){.epoch = p->epoch + 1};
    if (a->job->label)
        um_progress(a->job->label, (long)p->epoch, (long)((a->job->rows->n + a->o.batch - 1) / a->o.batch), "batches perturbed");
done:
    return rc;
}

/* What the steps of an opened attack take. */
static um_status allocate(tap *t)
{
    um_status rc = UM_OK;
    um_attack *a = &t->a;
    size_t batch = (size_t)a->o.batch;
    t->ball = (um_ball){.eps = a->o.eps, .step = (t->o->mode == TAP_UNTARGETED ? 1 : -1) * t->o->alpha_rel * a->o.eps};
    UM_TRY(UM_NEW_ARRAY(t->picked, batch));
    UM_TRY(UM_NEW_ARRAY(t->loss, batch));
    UM_TRY(UM_NEW_ARRAY(t->best, a->job->rows->n));
    UM_TRY(um_alloc((void **)&t->target, batch, (size_t)a->pixels * um_dtype_bytes(a->real)));
    UM_TRY(um_alloc((void **)&t->moved, batch, a->image_bytes));
    UM_TRY(um_alloc((void **)&t->moved_target, batch, (size_t)a->pixels * um_dtype_bytes(a->real)));
    for (int64_t i = 0; i < a->job->rows->n; i++)
        t->best[i] = INFINITY;
done:
    return rc;
}

static um_status prepare(tap *t, const um_protect_job *job, um_curves *curves)
{
    um_status rc = UM_OK;
    um_attack *a = &t->a;
    UM_TRY(um_attack_open(a, job, &t->o->common, UM_INPUT_SEG, false));
    UM_TRY(allocate(t));
    UM_TRY(um_protect_fingerprint(job, "tap attack", "tap model loss run conv", a->fingerprint));
    a->state = (um_training_state){.fingerprint = a->fingerprint,
                                   .n_nets = 1,
                                   .net_name = {"surrogate"},
                                   .net = {a->surrogate->params},
                                   .n_arrays = 3,
                                   .curves = curves,
                                   .array = {um_attack_table_array(a),
                                             {.name = "images", .dtype = a->real, .data = a->v, .n = a->o.batch * a->values},
                                             {.name = "best", .dtype = UM_F64, .data = t->best, .n = job->rows->n}}};
done:
    return rc;
}

static void clear(tap *t)
{
    um_free(t->picked);
    um_free(t->loss);
    um_free(t->best);
    um_free(t->target);
    um_free(t->moved);
    um_free(t->moved_target);
    um_attack_clear(&t->a);
}

static um_attack_fn attack_unseen; /* below */

/* Whether the steps arrived: a surrogate that is fooled has a small loss towards the masks that were aimed at. */
static void report_aim(const tap *t)
{
    int64_t n = t->a.job->rows->n;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += t->best[i];
    if (t->a.job->label)
        um_log(UM_LOG_INFO, "%s: the surrogate's loss is %.3f %s", t->a.job->label, fabs(sum) / (double)n,
               t->o->mode == TAP_UNTARGETED ? "on perturbed images" : "towards the masks that were aimed at");
}

static um_status fit(const um_protect_job *job, void **state, um_curves *curves)
{
    um_status rc = UM_OK;
    tap t = {.o = um_settings_get(job->settings, "tap")};
    int64_t batches = (job->rows->n + t.o->common.batch - 1) / t.o->common.batch;
    UM_TRY(prepare(&t, job, curves));
    UM_TRY(um_attack_surrogate(&t.a, t.o->clean_epochs, "tap surrogate", "tap model loss run conv", (um_fit_options){0}, curves));
    while (t.a.state.progress.epoch < batches)
        UM_TRY(attack_batch(&t));
    report_aim(&t);
    UM_TRY(um_saver_save(&t.a.saver));
    UM_TRY(um_attack_state_of_fit((um_attack_state **)state, "tap", "tap model loss", attack_unseen, &t.a, NULL, 0));
done:
    clear(&t);
    return rc;
}

/* ---- images that no fit saw ---- */

static um_status attack_unseen(um_attack_state *s, const um_protect_job *job, um_delta_table **found)
{
    um_status rc = UM_OK;
    tap t = {.o = um_settings_get(job->settings, "tap")};
    UM_TRY(um_attack_open_lent(&t.a, job, s));
    UM_TRY(allocate(&t));
    um_saver_set(&t.a.saver, &t.a.state, NULL, NULL, 0, "tap");
    UM_TRY(attack_batch(&t));
    *found = t.a.table;
    t.a.table = NULL;
done:
    clear(&t);
    return rc;
}

static um_status load(const um_protect_job *job, const char *path, void **state)
{
    const um_tap_options *o = um_settings_get(job->settings, "tap");
    return um_attack_state_load((um_attack_state **)state, "tap", "tap model loss", attack_unseen, job, &o->common, UM_INPUT_SEG, false,
                                path, NULL);
}

static double bound(const um_settings *settings)
{
    const um_tap_options *o = um_settings_get(settings, "tap");
    return o->common.eps;
}

static um_status cost(const um_protect_job *job, um_cost *out)
{
    um_status rc = UM_OK;
    const um_tap_options *o = um_settings_get(job->settings, "tap");
    um_attack_cost c;
    UM_TRY(um_attack_cost_of(&c, job, &o->common, UM_INPUT_SEG));
    double image = (double)o->clean_epochs * c.train + (double)o->restarts * ((double)o->steps * c.gradient + c.predict);
    *out = (um_cost){image * (double)job->rows->n, c.bytes};
done:
    return rc;
}

const um_protector_def um_protector_tap = {
    .name = "tap",
    .summary = "targeted adversarial poisons (Fowl et al., NeurIPS 2021) from a clean-trained U-Net",
    .table = &table,
    .groups = "tap model loss run conv",
    .fit = fit,
    .apply = um_attack_state_apply,
    .bound = bound,
    .apply_bytes = um_attack_state_bytes,
    .save = um_attack_state_save,
    .load = load,
    .free = um_attack_state_free,
    .cost = cost,
};
