#include "medlocker/evaluate.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "image/blur.h"
#include "image/median.h"
#include "image/resize.h"
#include "io/jpeg_roundtrip.h"

int64_t um_row_of(const um_dataset *d, const char *id)
{
    for (int64_t i = 0; i < d->n; i++)
        if (strcmp(d->ids[i], id) == 0)
            return i;
    return -1;
}

static um_status same_rows(um_rows *out, const um_dataset *clean, const um_rows *rows, const um_dataset *marked)
{
    um_status rc = UM_OK;
    um_rows r = {.n = rows->n};
    if (clean->h != marked->h || clean->w != marked->w || clean->c != marked->c || marked->bits != 8 || clean->bits != 8)
        return um_fail(UM_E_DATA, "clean and marked images differ in size or depth");
    UM_TRY(UM_NEW_ARRAY(r.index, rows->n));
    for (int64_t i = 0; i < rows->n; i++) {
        r.index[i] = um_row_of(marked, clean->ids[rows->index[i]]);
        if (r.index[i] < 0)
            UM_TRY(um_fail(UM_E_DATA, "the marked dataset has no image \"%s\"", clean->ids[rows->index[i]]));
    }
    *out = r;
    r = (um_rows){0};
done:
    um_rows_free(&r);
    return rc;
}

um_status um_effect_measure(um_effect *out, um_segmenter *net, const um_dataset *clean, const um_rows *rows,
                            const um_dataset *marked, um_comm *comm)
{
    um_status rc = UM_OK;
    int classes = (int)net->config.net.out_ch;
    um_rows other = {0};
    float *before = NULL, *after = NULL;
    um_effect e = {.n = rows->n, .classes = classes};
    UM_TRY(same_rows(&other, clean, rows, marked));
    UM_TRY(UM_NEW_ARRAY(before, rows->n * classes));
    UM_TRY(UM_NEW_ARRAY(after, rows->n * classes));
    UM_TRY(um_classify_rows(net, clean, rows, comm, before));
    UM_TRY(um_classify_rows(net, marked, &other, comm, after));
    for (int64_t i = 0; i < rows->n; i++) {
        int label = clean->labels[rows->index[i]];
        bool was = um_class_of(before + i * classes, classes) == label, is = um_class_of(after + i * classes, classes) == label;
        e.right_before += was, e.right_after += is, e.broken += was && !is, e.mended += !was && is;
        e.of_class[label].n++, e.of_class[label].right_before += was, e.of_class[label].right_after += is;
        e.of_class[label].broken += was && !is;
    }
    *out = e;
done:
    um_free(before);
    um_free(after);
    um_rows_free(&other);
    return rc;
}

double um_mcnemar(int64_t b, int64_t c)
{
    int64_t n = b + c, k = b < c ? b : c;
    double p = 0;
    for (int64_t i = 0; i <= k; i++) /* binomial(n, 1/2), both tails */
        p += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) - (double)n * log(2));
    return fmin(1, 2 * p);
}

/* ---- distortions ---- */

const char *um_distortion_name(um_distortion d)
{
    static const char *const names[] = {"none", "jpeg90", "jpeg75", "jpeg50", "blur3", "resize0.75", "median3"};
    return names[d];
}

static um_status filtered(const um_bytes *image, um_distortion d)
{
    um_status rc = UM_OK;
    int64_t h = image->h, w = image->w, c = image->c, sh = (3 * h + 2) / 4, sw = (3 * w + 2) / 4;
    uint8_t *copy = NULL;
    UM_TRY(UM_NEW_ARRAY(copy, h * w * c));
    if (d == UM_DISTORT_RESIZE) {
        UM_TRY(um_resize(copy, sh, sw, image->data, h, w, c, 8, UM_RESIZE_BILINEAR));
        UM_TRY(um_resize(image->data, h, w, copy, sh, sw, c, 8, UM_RESIZE_BILINEAR));
        goto done;
    }
    memcpy(copy, image->data, (size_t)(h * w * c));
    if (d == UM_DISTORT_BLUR)
        UM_TRY(um_blur_gauss3(image->data, copy, h, w, c, 8, 0, UM_BLUR_REFLECT101));
    else
        um_median3(image->data, copy, h, w, c, 8);
done:
    um_free(copy);
    return rc;
}

um_status um_distort(const um_bytes *image, um_distortion d)
{
    switch (d) {
    case UM_DISTORT_JPEG90: return um_jpeg_roundtrip(image->data, image->h, image->w, image->c, 90, UM_JPEG_420);
    case UM_DISTORT_JPEG75: return um_jpeg_roundtrip(image->data, image->h, image->w, image->c, 75, UM_JPEG_420);
    case UM_DISTORT_JPEG50: return um_jpeg_roundtrip(image->data, image->h, image->w, image->c, 50, UM_JPEG_420);
    case UM_DISTORT_BLUR:
    case UM_DISTORT_RESIZE:
    case UM_DISTORT_MEDIAN: return filtered(image, d);
    default: return UM_OK;
    }
}

/* ---- detection ---- */

static um_status detect(um_detection *verdict, const um_bytes *image, const um_certificate *c, int64_t record)
{
    um_status rc = UM_OK;
    um_detect_result r;
    const um_record *q = &c->records[record];
    UM_TRY(um_detect(&r, image, um_certificate_logo(c, record), &q->theta, (um_opacity_rule)q->rule, um_text_hash(q->image)));
    *verdict = r.verdict;
done:
    return rc;
}

static um_status look_at_marked(um_detection_table *t, const um_certificate *c, int64_t record, const um_dataset *marked,
                                int64_t row, uint8_t *copy)
{
    um_status rc = UM_OK;
    size_t bytes = (size_t)(marked->h * marked->w * marked->c);
    um_bytes image = {copy, marked->h, marked->w, marked->c};
    for (int d = 0; d < UM_DISTORT_COUNT; d++) {
        um_detection verdict;
        memcpy(copy, um_dataset_image(marked, row), bytes);
        UM_TRY(um_distort(&image, (um_distortion)d));
        UM_TRY(detect(&verdict, &image, c, record));
        t->marked[d][verdict]++;
    }
done:
    return rc;
}

/* Clean image against its own certificate and the next ones. */
static um_status look_at_clean(um_detection_table *t, const um_certificate *c, int64_t record, int64_t others,
                               const um_dataset *clean, int64_t row)
{
    um_status rc = UM_OK;
    um_bytes image = {(uint8_t *)clean->images + row * clean->h * clean->w * clean->c, clean->h, clean->w, clean->c};
    for (int64_t k = 0; k <= others && k < c->n; k++) {
        um_detection verdict;
        UM_TRY(detect(&verdict, &image, c, (record + k) % c->n));
        t->clean[verdict]++;
    }
done:
    return rc;
}

um_status um_detection_measure(um_detection_table *out, const um_certificate *c, const um_dataset *clean, const um_dataset *marked,
                               int64_t others, um_comm *comm)
{
    um_status rc = UM_OK;
    um_detection_table t = {0};
    um_text id = {0};
    uint8_t *copy = NULL;
    int64_t first, n;
    double sums[3 * UM_DISTORT_COUNT + 3];
    UM_TRY(UM_NEW_ARRAY(copy, marked->h * marked->w * marked->c));
    um_ranks_slice(comm, c->n, &first, &n);
    for (int64_t i = first; i < first + n; i++) {
        um_text_free(&id);
        id = (um_text){0};
        UM_TRY(um_record_image(&c->records[i], &id));
        int64_t a = um_row_of(marked, um_text_get(&id)), b = um_row_of(clean, um_text_get(&id));
        if (a < 0 || b < 0)
            UM_TRY(um_fail(UM_E_DATA, "image \"%s\" of a certificate is missing in the %s dataset", um_text_get(&id),
                           a < 0 ? "marked" : "clean"));
        UM_TRY(look_at_marked(&t, c, i, marked, a, copy));
        UM_TRY(look_at_clean(&t, c, i, others, clean, b));
    }
    for (int k = 0; k < 3 * UM_DISTORT_COUNT; k++)
        sums[k] = (double)t.marked[k / 3][k % 3];
    for (int k = 0; k < 3; k++)
        sums[3 * UM_DISTORT_COUNT + k] = (double)t.clean[k];
    UM_TRY(um_comm_sum(comm, sums, UM_F64, 3 * UM_DISTORT_COUNT + 3, "sum of detections"));
    for (int k = 0; k < 3 * UM_DISTORT_COUNT; k++)
        t.marked[k / 3][k % 3] = (int64_t)sums[k];
    for (int k = 0; k < 3; k++)
        t.clean[k] = (int64_t)sums[3 * UM_DISTORT_COUNT + k];
    *out = t;
done:
    um_text_free(&id);
    um_free(copy);
    return rc;
}

um_status um_recover_image(const um_bytes *image, const um_certificate *c, int64_t record, bool *exact, bool *clean_matches)
{
    um_status rc = UM_OK;
    const um_record *r = &c->records[record];
    const um_logo *logo = um_certificate_logo(c, record);
    char sha256[UM_SHA256_HEX];
    if (image->h != r->h || image->w != r->w || image->c != r->c || !logo)
        return um_fail(UM_E_DATA, "\"%s\" is %ldx%ldx%ld; its certificate is for %ldx%ldx%ld", r->image, (long)image->h,
                       (long)image->w, (long)image->c, (long)r->h, (long)r->w, (long)r->c);
    um_bytes_sha256(image, sha256);
    *exact = r->residual_bits > 0 && strcmp(sha256, r->marked) == 0;
    if (*exact)
        UM_TRY(um_unblend_exact(image, logo, &r->theta, (um_opacity_rule)r->rule, c->residual[record],
                                (size_t)(r->residual_bits + 7) / 8));
    else
        UM_TRY(um_unblend(image, logo, &r->theta, (um_opacity_rule)r->rule));
    um_bytes_sha256(image, sha256);
    *clean_matches = strcmp(sha256, r->clean) == 0;
done:
    return rc;
}
