#include "image/lbp.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

enum { P_MAX = 24, R_MAX = 16, PIXELS_SQUARE = 8 };

static const double VAR_PERCENTILE = 0.99;

/* A grey image continued by its edge pixels. */
typedef struct padded {
    float *data;
    int64_t h, w, stride, pad; /* h, w: without the padding */
} padded;

static int64_t clamp_index(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static um_status pad_image(padded *out, const float *luma, int64_t h, int64_t w, int64_t pad)
{
    um_status rc = UM_OK;
    out->h = h;
    out->w = w;
    out->pad = pad;
    out->stride = w + 2 * pad;
    UM_TRY(UM_NEW_ARRAY(out->data, (h + 2 * pad) * out->stride));
    for (int64_t y = 0; y < h + 2 * pad; y++) {
        const float *from = luma + clamp_index(y - pad, h) * w;
        for (int64_t x = 0; x < out->stride; x++) {
            out->data[y * out->stride + x] = from[clamp_index(x - pad, w)];
        }
    }
done:
    return rc;
}

static const float *padded_at(const padded *g, int64_t y, int64_t x)
{
    return g->data + (y + g->pad) * g->stride + x + g->pad;
}

static void neighbour_offset(const um_lbp_options *o, int p, double *dy, double *dx)
{
    static const int square[PIXELS_SQUARE][2] = {{-1, -1}, {-1, 0}, {-1, 1}, {0, 1}, {1, 1}, {1, 0}, {1, -1}, {0, -1}};
    if (o->interp == UM_LBP_SQUARE) {
        *dy = o->r * square[p][0];
        *dx = o->r * square[p][1];
        return;
    }
    const double angle = 2.0 * M_PI * p / (double)o->p;
    *dy = -o->r * sin(angle);
    *dx = o->r * cos(angle);
    /* cos(pi/2) is not 0 in floating point; whole offsets must not be interpolated */
    *dy = fabs(*dy - round(*dy)) < 1e-9 ? round(*dy) : *dy;
    *dx = fabs(*dx - round(*dx)) < 1e-9 ? round(*dx) : *dx;
}

/* a + t (b - a): exact on flat areas, where a rounding error would flip [g_p >= g_c]. */
static double blend(double a, double b, double t)
{
    return t == 0 ? a : a + t * (b - a);
}

/* Sets bit p of every code. */
static void add_bit(uint32_t *codes, const padded *g, int p, double dy, double dx)
{
    const int64_t iy = (int64_t)floor(dy), ix = (int64_t)floor(dx);
    const double fy = dy - (double)iy, fx = dx - (double)ix;
    for (int64_t y = 0; y < g->h; y++) {
        const float *centre = padded_at(g, y, 0), *a = padded_at(g, y + iy, ix), *b = a + g->stride;
        uint32_t *row = codes + y * g->w;
        if (fy == 0 && fx == 0) {
            for (int64_t x = 0; x < g->w; x++) {
                row[x] |= (uint32_t)(a[x] >= centre[x]) << p;
            }
            continue;
        }
        for (int64_t x = 0; x < g->w; x++) {
            double level = blend(blend(a[x], a[x + 1], fx), blend(b[x], b[x + 1], fx), fy);
            row[x] |= (uint32_t)(level >= (double)centre[x]) << p;
        }
    }
}

static uint32_t rotate(uint32_t code, int p)
{
    return (code >> 1) | ((code & 1u) << (p - 1));
}

static uint32_t smallest_rotation(uint32_t code, int p)
{
    uint32_t best = code;
    for (int k = 1; k < p; k++) {
        code = rotate(code, p);
        best = code < best ? code : best;
    }
    return best;
}

static float code_value(um_lbp_map map, uint32_t code, int p)
{
    const double full = (double)((1u << p) - 1u);
    const int ones = __builtin_popcount(code), changes = __builtin_popcount(code ^ rotate(code, p));
    switch (map) {
    case UM_LBP_CODE255:
        return (float)(code / full);
    case UM_LBP_RI:
        return (float)(smallest_rotation(code, p) / full);
    case UM_LBP_UNIFORM_IDX:
        return (float)((changes <= 2 ? ones : p + 1) / (double)(p + 1));
    case UM_LBP_TRANSITIONS:
        return (float)(changes / (double)p);
    default:
        return (float)(ones / (double)p);
    }
}

static um_status pattern_map(float *out, const float *luma, int64_t h, int64_t w, const um_lbp_options *o)
{
    um_status rc = UM_OK;
    padded g = {0};
    uint32_t *codes = NULL;
    UM_TRY(pad_image(&g, luma, h, w, (int64_t)ceil(o->r) + 1));
    UM_TRY(UM_NEW_ARRAY(codes, h * w));
    for (int p = 0; p < (int)o->p; p++) {
        double dy, dx;
        neighbour_offset(o, p, &dy, &dx);
        add_bit(codes, &g, p, dy, dx);
    }
    for (int64_t i = 0; i < h * w; i++) {
        out[i] = code_value((um_lbp_map)o->map, codes[i], (int)o->p);
    }
done:
    um_free(codes);
    um_free(g.data);
    return rc;
}

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static bool in_roi(const uint8_t *roi, int64_t i)
{
    return roi == NULL || roi[i] != 0;
}

/* Percentile q of v within the ROI, linear between order statistics. */
static um_status percentile(float *out, const float *v, const uint8_t *roi, int64_t n, double q)
{
    um_status rc = UM_OK;
    float *sorted = NULL;
    int64_t m = 0;
    UM_TRY(UM_NEW_ARRAY(sorted, n));
    for (int64_t i = 0; i < n; i++) {
        if (in_roi(roi, i)) {
            sorted[m++] = v[i];
        }
    }
    qsort(sorted, (size_t)m, sizeof *sorted, compare_floats);
    const double at = q * (double)(m - 1);
    const int64_t k = (int64_t)at, next = k + 1 < m ? k + 1 : k;
    *out = (float)blend(sorted[k], sorted[next], at - (double)k);
done:
    um_free(sorted);
    return rc;
}

static double local_variance(const padded *g, int64_t y, int64_t x)
{
    double sum = 0, sum2 = 0;
    for (int64_t dy = -1; dy <= 1; dy++) {
        for (int64_t dx = -1; dx <= 1; dx++) {
            double d = (double)*padded_at(g, y + dy, x + dx) - (double)*padded_at(g, y, x);
            sum += d;
            sum2 += d * d;
        }
    }
    return sum2 / 9.0 - (sum / 9.0) * (sum / 9.0);
}

static um_status variance_map(float *out, const float *luma, const uint8_t *roi, int64_t h, int64_t w)
{
    um_status rc = UM_OK;
    padded g = {0};
    float top = 0;
    UM_TRY(pad_image(&g, luma, h, w, 1));
    for (int64_t y = 0; y < h; y++) {
        for (int64_t x = 0; x < w; x++) {
            out[y * w + x] = (float)fmax(0.0, local_variance(&g, y, x));
        }
    }
    UM_TRY(percentile(&top, out, roi, h * w, VAR_PERCENTILE));
    for (int64_t i = 0; i < h * w; i++) {
        out[i] = top > 0 ? fminf(1.0f, out[i] / top) : 0.0f;
    }
done:
    um_free(g.data);
    return rc;
}

static void normalise(float *v, const uint8_t *roi, int64_t n, um_lbp_norm norm)
{
    float lo = 1, hi = 0;
    for (int64_t i = 0; i < n; i++) {
        if (in_roi(roi, i)) {
            lo = fminf(lo, v[i]);
            hi = fmaxf(hi, v[i]);
        }
    }
    lo = norm == UM_LBP_ROI_MAX ? 0 : lo;
    for (int64_t i = 0; i < n; i++) {
        v[i] = hi > lo ? fminf(1.0f, fmaxf(0.0f, (v[i] - lo) / (hi - lo))) : 0.0f;
    }
}

static um_status check_options(const um_lbp_options *o)
{
    if (o->p < 1 || o->p > P_MAX) {
        return um_fail(UM_E_CONFIG, "lbp.P = %lld is outside 1..%d", (long long)o->p, P_MAX);
    }
    if (!(o->r > 0 && o->r <= R_MAX)) {
        return um_fail(UM_E_CONFIG, "lbp.R = %g is not above 0 and at most %d pixels", o->r, R_MAX);
    }
    if (o->interp == UM_LBP_SQUARE && (o->p != PIXELS_SQUARE || o->r != floor(o->r))) {
        return um_fail(UM_E_CONFIG, "lbp.interp = square needs P = 8 and a whole R, not P = %lld and R = %g; use circular_bilinear",
                       (long long)o->p, o->r);
    }
    return UM_OK;
}

static bool any_set(const uint8_t *roi, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (roi[i]) {
            return true;
        }
    }
    return false;
}

um_status um_lbp_texture(float *out, const float *luma, const uint8_t *roi, int64_t h, int64_t w, const um_lbp_options *o)
{
    um_status rc = UM_OK;
    UM_TRY(check_options(o));
    if (roi != NULL && !any_set(roi, h * w)) {
        roi = NULL;
    }
    if (o->map == UM_LBP_ONES) {
        for (int64_t i = 0; i < h * w; i++) {
            out[i] = 1.0f;
        }
        goto done;
    }
    if (o->map == UM_LBP_VAR) {
        UM_TRY(variance_map(out, luma, roi, h, w));
    } else {
        UM_TRY(pattern_map(out, luma, h, w, o));
    }
    if (o->norm != UM_LBP_FIXED) {
        normalise(out, roi, h * w, (um_lbp_norm)o->norm);
    }
done:
    return rc;
}
