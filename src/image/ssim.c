#include "image/metric.h"

#include <math.h>
#include <stdbool.h>

#include "base/mem.h"
#include "image/luma.h"

enum { WINDOW_MAX = 11, N_MOMENTS = 5 };

static const double C1 = 1e-4, C2 = 9e-4;

typedef struct window {
    int size;
    double taps[WINDOW_MAX];
    double unbias; /* factor on (co)variances: 1, or n / (n - 1) for sample moments */
} window;

static window make_window(um_ssim_window kind)
{
    window k = {kind == UM_SSIM_GAUSS11 ? 11 : 7, {0}, 1.0};
    double sum = 0;
    for (int i = 0; i < k.size; i++) {
        const double d = i - k.size / 2;
        k.taps[i] = kind == UM_SSIM_GAUSS11 ? exp(-d * d / (2.0 * 1.5 * 1.5)) : 1.0;
        sum += k.taps[i];
    }
    for (int i = 0; i < k.size; i++) {
        k.taps[i] /= sum;
    }
    if (kind == UM_SSIM_UNIFORM7) {
        k.unbias = 49.0 / 48.0;
    }
    return k;
}

/* One plane in [0,1], mirrored by `pad` on every side. */
typedef struct plane {
    float *data;
    int64_t h, w; /* with padding */
} plane;

static int64_t mirror(int64_t i, int64_t n)
{
    while (i < 0 || i >= n) {
        i = i < 0 ? -1 - i : 2 * n - 1 - i;
    }
    return i;
}

/* grey: [h][w] in 8-bit units. */
static void fill_plane(plane *out, const float *grey, int64_t h, int64_t w, int64_t pad)
{
    for (int64_t y = 0; y < out->h; y++) {
        for (int64_t x = 0; x < out->w; x++) {
            out->data[y * out->w + x] = grey[mirror(y - pad, h) * w + mirror(x - pad, w)] / 255.0f;
        }
    }
}

/* Channel `channel` as grey levels, or the luma when it is -1. */
static void read_channel(float *out, const um_pixels *p, int64_t channel)
{
    const int64_t n = p->h * p->w;
    if (channel < 0) {
        um_luma(out, p->data, n, p->c, p->bits, UM_LUMA_BT601);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = i * p->c + channel;
        out[i] = p->bits == 8 ? (float)((const uint8_t *)p->data)[k] : (float)(((const uint16_t *)p->data)[k] / 257.0);
    }
}

/* Vertical pass at one output row: rows[m][x] = weighted sums of x, y, xx, yy, xy down the window. */
static void moment_rows(double *rows, const plane *a, const plane *b, int64_t top, const window *k)
{
    for (int64_t x = 0; x < a->w; x++) {
        double m[N_MOMENTS] = {0};
        for (int i = 0; i < k->size; i++) {
            const double p = a->data[(top + i) * a->w + x], q = b->data[(top + i) * a->w + x], t = k->taps[i];
            m[0] += t * p;
            m[1] += t * q;
            m[2] += t * p * p;
            m[3] += t * q * q;
            m[4] += t * p * q;
        }
        for (int j = 0; j < N_MOMENTS; j++) {
            rows[j * a->w + x] = m[j];
        }
    }
}

static double local_ssim(const double *rows, int64_t w, int64_t left, const window *k)
{
    double m[N_MOMENTS] = {0};
    for (int j = 0; j < N_MOMENTS; j++) {
        for (int i = 0; i < k->size; i++) {
            m[j] += k->taps[i] * rows[j * w + left + i];
        }
    }
    const double vx = k->unbias * (m[2] - m[0] * m[0]), vy = k->unbias * (m[3] - m[1] * m[1]);
    const double vxy = k->unbias * (m[4] - m[0] * m[1]);
    return (2 * m[0] * m[1] + C1) * (2 * vxy + C2) / ((m[0] * m[0] + m[1] * m[1] + C1) * (vx + vy + C2));
}

typedef struct job {
    window k;
    int64_t pad, offset; /* offset: output (0,0) is the centre of pixel (offset, offset) of the image */
    plane a, b;
    float *grey;
    double *rows;
} job;

static um_status job_open(job *j, const um_pixels *a, const um_ssim_options *o)
{
    um_status rc = UM_OK;
    j->k = make_window((um_ssim_window)o->window);
    j->pad = o->border == UM_SSIM_SAME_REFLECT ? j->k.size / 2 : 0;
    j->offset = j->k.size / 2 - j->pad;
    j->a.h = j->b.h = a->h + 2 * j->pad;
    j->a.w = j->b.w = a->w + 2 * j->pad;
    if (a->h < j->k.size || a->w < j->k.size) {
        rc = um_fail(UM_E_DATA, "SSIM needs images of at least %d x %d pixels, not %lld x %lld", j->k.size, j->k.size,
                     (long long)a->w, (long long)a->h);
        goto done;
    }
    UM_TRY(UM_NEW_ARRAY(j->a.data, j->a.h * j->a.w));
    UM_TRY(UM_NEW_ARRAY(j->b.data, j->a.h * j->a.w));
    UM_TRY(UM_NEW_ARRAY(j->grey, a->h * a->w));
    UM_TRY(UM_NEW_ARRAY(j->rows, N_MOMENTS * j->a.w));
done:
    return rc;
}

static void job_close(job *j)
{
    um_free(j->rows);
    um_free(j->grey);
    um_free(j->b.data);
    um_free(j->a.data);
}

static um_ssim_result channel_ssim(job *j, const um_pixels *a, const um_pixels *b, const uint8_t *mask, int64_t channel)
{
    const int64_t h_out = j->a.h - j->k.size + 1, w_out = j->a.w - j->k.size + 1;
    double sum = 0, sum_roi = 0;
    int64_t n_roi = 0;
    read_channel(j->grey, a, channel);
    fill_plane(&j->a, j->grey, a->h, a->w, j->pad);
    read_channel(j->grey, b, channel);
    fill_plane(&j->b, j->grey, a->h, a->w, j->pad);
    for (int64_t y = 0; y < h_out; y++) {
        moment_rows(j->rows, &j->a, &j->b, y, &j->k);
        for (int64_t x = 0; x < w_out; x++) {
            const double s = local_ssim(j->rows, j->a.w, x, &j->k);
            sum += s;
            if (mask != NULL && mask[(y + j->offset) * a->w + x + j->offset] != 0) {
                sum_roi += s;
                n_roi++;
            }
        }
    }
    return (um_ssim_result){sum / (double)(h_out * w_out), n_roi > 0 ? sum_roi / (double)n_roi : (double)NAN};
}

um_status um_metric_ssim(um_ssim_result *out, const um_pixels *a, const um_pixels *b, const uint8_t *mask, const um_ssim_options *o)
{
    um_status rc = UM_OK;
    job j = {0};
    um_ssim_result total = {0};
    UM_REQUIRE(a->h == b->h && a->w == b->w && a->c == b->c && a->bits == b->bits);
    UM_TRY(job_open(&j, a, o));
    const bool luma = o->color == UM_SSIM_LUMA && a->c > 1;
    const int64_t n_channels = luma ? 1 : a->c;
    for (int64_t c = 0; c < n_channels; c++) {
        um_ssim_result one = channel_ssim(&j, a, b, mask, luma ? -1 : c);
        total.frame += one.frame / (double)n_channels;
        total.roi += one.roi / (double)n_channels;
    }
    *out = total;
done:
    job_close(&j);
    return rc;
}
