#include "medlocker/mark.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "medlocker/cam.h"
#include "medlocker/mark_state.h"
#include "train/checkpoint.h"

enum { BLOCK_PER_RANK = 4 };

typedef struct marker {
    const um_mark_job *job;
    const um_medlocker_options *o;
    um_input_grad *cam;
} marker;

static bool any(const uint8_t *mask, int64_t n)
{
    return memchr(mask, 1, (size_t)n) != NULL;
}

static um_status check_lesion_file(const um_medlocker_options *o)
{
    if (!o->lesion_model[0] || um_file_exists(o->lesion_model))
        return UM_OK;
    return um_fail(UM_E_IO, "medlocker.wsm.model: there is no %s; train it on lesion masks with `umed exploit --save-model`",
                   o->lesion_model);
}

um_status um_lesion_net_load(um_segmenter **out, um_backend *backend, const um_medlocker_options *o, const um_dataset *d)
{
    um_status rc = UM_OK;
    um_segmenter *s = NULL;
    if (!o->lesion_model[0])
        return UM_OK;
    UM_TRY(check_lesion_file(o));
    UM_TRY(um_model_load(&s, backend, o->lesion_model, d->h, d->w, 1));
    if (s->config.model->classifier || s->config.net.in_ch != d->c)
        UM_TRY(um_fail(UM_E_DATA, "medlocker.wsm.model: %s holds a %s of %lld channels; expected a segmenter of %lld",
                       o->lesion_model, s->config.model->name, (long long)s->config.net.in_ch, (long long)d->c));
    *out = s;
    s = NULL;
done:
    um_segmenter_free(s);
    return rc;
}

um_status um_lesion_net_describe(const um_medlocker_options *o, um_text *text)
{
    um_status rc = UM_OK;
    char sha256[UM_SHA256_HEX];
    if (!o->lesion_model[0])
        return UM_OK;
    UM_TRY(check_lesion_file(o));
    UM_TRY(um_sha256_of_file(o->lesion_model, sha256));
    UM_TRY(um_text_add(text, "lesions=%s\n", sha256));
done:
    return rc;
}

/* mask: [h][w], 1 where the network's margin is not negative. */
static um_status predict_lesions(uint8_t *mask, um_segmenter *s, const um_dataset *d, int64_t row)
{
    um_status rc = UM_OK;
    void *x = NULL;
    float *margin = NULL;
    UM_TRY(um_alloc(&x, (size_t)(d->h * d->w * d->c), um_dtype_bytes(s->backend->real)));
    UM_TRY(UM_NEW_ARRAY(margin, d->h * d->w));
    um_row_image(d, row, s->backend->real, x);
    um_segmenter_normalise(s, x, 1);
    UM_TRY(um_segmenter_margin(s, x, 1, margin));
    for (int64_t p = 0; p < d->h * d->w; p++)
        mask[p] = margin[p] >= 0;
done:
    um_free(margin);
    um_free(x);
    return rc;
}

/* Where a classifier that gets the image right looks; *source stays as it is where it does not. mask: [h][w]. */
static um_status look_with_cam(uint8_t *mask, int *source, const um_mark_job *job, um_input_grad *cam, int64_t row)
{
    um_status rc = UM_OK;
    const um_dataset *d = job->data;
    const um_medlocker_options *o = um_settings_get(job->settings, "medlocker");
    float z[256];
    UM_TRY(um_classify_bytes(job->cam, um_dataset_image(d, row), 1, z));
    if (um_class_of(z, (int)job->cam->config.net.out_ch) != d->labels[row])
        goto done;
    UM_TRY(um_cam_mask(mask, cam, job->cam, um_dataset_image(d, row), d->labels[row], (int)o->cam_threshold));
    *source = UM_LESIONS_CAM;
done:
    return rc;
}

um_status um_mark_boxes(um_boxes *out, int *source, const um_mark_job *job, um_input_grad *cam, int64_t row)
{
    um_status rc = UM_OK;
    const um_dataset *d = job->data;
    const um_medlocker_options *o = um_settings_get(job->settings, "medlocker");
    uint8_t *looked = NULL;
    const uint8_t *mask = um_dataset_mask(d, row);
    *source = UM_LESIONS_MASK;
    if (!any(mask, d->h * d->w)) {
        *source = UM_LESIONS_UNKNOWN;
        UM_TRY(UM_NEW_ARRAY(looked, d->h * d->w));
        mask = looked;
        if (job->lesions) {
            UM_TRY(predict_lesions(looked, job->lesions, d, row));
            *source = UM_LESIONS_NET;
        } else if (cam) {
            UM_TRY(look_with_cam(looked, source, job, cam, row));
        }
    }
    if (*source == UM_LESIONS_UNKNOWN)
        *out = (um_boxes){0};
    else
        UM_TRY(um_boxes_of_mask(out, mask, d->h, d->w, o->min_area, o->dilate));
done:
    um_free(looked);
    return rc;
}

/* The logo of a mark, from its ratio. */
static um_status logo_of(um_logo *out, const um_mark_job *job, const um_mark *m)
{
    return um_logo_fit(out, job->logo, job->data->h, job->data->w, m->ratio);
}

static double change_inside(const um_dataset *d, int64_t row, const um_boxes *boxes, const uint8_t *marked)
{
    int most = 0;
    const uint8_t *clean = um_dataset_image(d, row);
    for (int64_t b = 0; b < boxes->n; b++)
        for (int64_t y = boxes->list[b].y0; y < boxes->list[b].y1; y++)
            for (int64_t k = boxes->list[b].x0 * d->c; k < boxes->list[b].x1 * d->c; k++) {
                int diff = abs(clean[y * d->w * d->c + k] - marked[y * d->w * d->c + k]);
                most = diff > most ? diff : most;
            }
    return most;
}

static um_status search_image(um_mark *out, const marker *k, int64_t row)
{
    um_status rc = UM_OK;
    const um_mark_job *job = k->job;
    const um_dataset *d = job->data;
    um_boxes boxes = {0};
    um_places places = {0};
    um_logo logo = {0};
    um_search_result found = {.forwards = 0};
    uint8_t *copy = NULL;
    um_mark m = {.state = UM_WSM_NONE};
    size_t bytes = (size_t)(d->h * d->w * d->c);
    UM_TRY(UM_NEW_ARRAY(copy, bytes));
    memcpy(copy, um_dataset_image(d, row), bytes);
    um_bytes image = {copy, d->h, d->w, d->c};
    if (k->o->wsm)
        UM_TRY(um_mark_boxes(&boxes, &m.source, job, k->cam, row));
    else
        m.source = UM_LESIONS_UNKNOWN;
    UM_TRY(um_wsm_place(&logo, &places, job->logo, &boxes, d->h, d->w,
                        &(um_wsm_options){k->o->min_area, k->o->dilate, k->o->ratio, k->o->ratio_most}, &m.ratio));
    m.state = places.state;
    um_search_job search = {job->targets, k->o, &image, &logo, &places, d->labels[row], job->seed, um_text_hash(d->ids[row])};
    UM_TRY(um_search_margins(&search, &(um_theta){0, 0, 0}, 1, &m.before)); /* opacity 0 changes nothing */
    m.after = m.before;
    if (m.state != UM_WSM_NONE) {
        UM_TRY(um_search_run(&found, &search));
        m.theta = found.theta, m.after = found.margin, m.forwards = found.forwards;
        UM_TRY(um_blend(&image, &logo, &m.theta, (um_opacity_rule)k->o->rule));
        m.lesion_change = change_inside(d, row, &boxes, copy);
    }
    if (job->targets->n == 0)
        m.before = m.after = NAN;
    *out = m;
done:
    um_free(copy);
    um_logo_clear(&logo);
    um_places_free(&places);
    um_boxes_free(&boxes);
    return rc;
}

static um_status check(const um_mark_job *job)
{
    const um_dataset *d = job->data;
    if (!d->labels || d->bits != 8)
        return um_fail(UM_E_DATA, "%s: marking takes 8-bit images with labels", job->label);
    if (job->rows->n == 0)
        return um_fail(UM_E_DATA, "%s: there are no images to mark", job->label);
    for (int i = 0; i < job->targets->n; i++) {
        const um_segmenter_config *c = &job->targets->net[i]->config;
        if (c->net.in_ch != d->c || c->net.out_ch < um_dataset_classes(d))
            return um_fail(UM_E_DATA, "%s: network %d takes %ld channels and knows %ld classes; the images have %ld and %d",
                           job->label, i + 1, (long)c->net.in_ch, (long)c->net.out_ch, (long)d->c, um_dataset_classes(d));
    }
    return UM_OK;
}

um_status um_mark_search(um_mark *marks, const um_mark_job *job)
{
    um_status rc = UM_OK;
    marker k = {.job = job, .o = um_settings_get(job->settings, "medlocker")};
    um_mark_state state = {0};
    int64_t done = 0, block = BLOCK_PER_RANK * um_comm_size(job->comm);
    UM_TRY(check(job));
    if (job->cam)
        UM_TRY(um_cam_create(&k.cam, job->backend, job->cam));
    UM_TRY(um_mark_state_open(&state, job, marks, &done));
    while (done < job->rows->n) {
        int64_t n = job->rows->n - done < block ? job->rows->n - done : block, first, own;
        UM_TRY(um_mark_state_pause(&state, done));
        um_ranks_slice(job->comm, n, &first, &own);
        for (int64_t i = first; i < first + own; i++)
            UM_TRY(search_image(&marks[done + i], &k, job->rows->index[done + i]));
        UM_TRY(um_ranks_collect(job->comm, marks + done, n, sizeof *marks, "collection of marks"));
        done += n;
        um_progress(job->label, (long)done, (long)job->rows->n, NULL);
    }
    UM_TRY(um_mark_state_save(&state, done));
done:
    um_mark_state_close(&state);
    um_input_grad_free(k.cam);
    return rc;
}

um_status um_mark_apply(um_dataset **out, const um_mark_job *job, const um_mark *marks)
{
    um_status rc = UM_OK;
    const um_medlocker_options *o = um_settings_get(job->settings, "medlocker");
    um_dataset *d = NULL;
    um_logo logo = {0};
    UM_TRY(um_dataset_clone(&d, job->data));
    for (int64_t i = 0; i < job->rows->n; i++) {
        if (marks[i].state == UM_WSM_NONE)
            continue;
        um_bytes image = {(uint8_t *)d->images + job->rows->index[i] * d->h * d->w * d->c, d->h, d->w, d->c};
        um_logo_clear(&logo);
        UM_TRY(logo_of(&logo, job, &marks[i]));
        UM_TRY(um_blend(&image, &logo, &marks[i].theta, (um_opacity_rule)o->rule));
    }
    *out = d;
    d = NULL;
done:
    um_logo_clear(&logo);
    um_dataset_free(d);
    return rc;
}

/* ---- certificates ---- */

typedef struct clerk {
    const um_mark_job *job;
    const um_medlocker_options *o;
    const um_dataset *marked;
    char target[160];
    int64_t time;
    um_input_grad *cam;
} clerk;

static um_bytes bytes_of(const um_dataset *d, int64_t row)
{
    return (um_bytes){(uint8_t *)d->images + row * d->h * d->w * d->c, d->h, d->w, d->c};
}

static um_status fill_record(um_record *r, const clerk *k, int64_t row, const um_mark *m, const um_logo *logo)
{
    um_status rc = UM_OK;
    const um_mark_job *job = k->job;
    const um_dataset *d = job->data;
    uint8_t serial[UM_SERIAL_RAW];
    int source;
    um_bytes clean = bytes_of(d, row), marked = bytes_of(k->marked, row);
    *r = (um_record){.h = d->h,
                     .w = d->w,
                     .c = d->c,
                     .logo_h = logo->h,
                     .logo_w = logo->w,
                     .rule = k->o->rule,
                     .theta = m->theta,
                     .wsm = m->state,
                     .time = k->time};
    UM_TRY(um_record_set_names(r, job->dataset_name, d->ids[row]));
    UM_TRY(um_secret_serial(serial, job->key, job->seed, d->ids[row]));
    um_hex(r->serial, serial, UM_SERIAL_RAW);
    um_logo_sha256(logo, r->logo);
    if (k->o->wsm)
        UM_TRY(um_mark_boxes(&r->boxes, &source, job, k->cam, row));
    memcpy(r->target, k->target, sizeof r->target);
    um_bytes_sha256(&clean, r->clean);
    um_bytes_sha256(&marked, r->marked);
    memset(r->residual, '0', UM_SHA256_HEX - 1);
done:
    return rc;
}

static um_status certify_one(um_certificate *c, const clerk *k, int64_t row, const um_mark *m)
{
    um_status rc = UM_OK;
    um_record r = {0};
    um_logo logo = {0};
    uint8_t *residual = NULL;
    size_t bytes = 0;
    um_bytes clean = bytes_of(k->job->data, row);
    UM_TRY(logo_of(&logo, k->job, m));
    UM_TRY(fill_record(&r, k, row, m, &logo));
    if (k->o->recovery == 1) {
        UM_TRY(um_residual_make(&residual, &bytes, &r.residual_bits, &clean, &logo, &m->theta, (um_opacity_rule)k->o->rule));
        if (r.residual_bits > 0)
            um_sha256_of(residual, bytes, r.residual);
    }
    UM_TRY(um_certificate_add(c, &r, bytes ? &residual : NULL, &logo));
done:
    um_free(residual);
    um_logo_clear(&logo);
    um_record_clear(&r);
    return rc;
}

um_status um_mark_certify(um_certificate *out, const um_mark_job *job, const um_mark *marks, const um_dataset *marked)
{
    um_status rc = UM_OK;
    clerk k = {.job = job, .o = um_settings_get(job->settings, "medlocker"), .marked = marked};
    um_certificate c = {0};
    char weights[UM_SHA256_HEX];
    UM_REQUIRE(job->key != NULL);
    UM_TRY(um_params_sha256(job->targets->net[0]->params, weights));
    snprintf(k.target, sizeof k.target, "%s:%s", job->targets->net[0]->config.model->name, weights);
    k.time = k.o->time ? k.o->time : (int64_t)time(NULL);
    if (job->cam)
        UM_TRY(um_cam_create(&k.cam, job->backend, job->cam));
    for (int64_t i = 0; i < job->rows->n; i++)
        if (marks[i].state != UM_WSM_NONE)
            UM_TRY(certify_one(&c, &k, job->rows->index[i], &marks[i]));
    UM_TRY(um_certificate_finish(&c, job->key));
    *out = c;
    c = (um_certificate){0};
done:
    um_input_grad_free(k.cam);
    um_certificate_free(&c);
    return rc;
}
