#include "image/mask_leak.h"

#include <math.h>
#include <stdbool.h>

#include "base/mem.h"

enum { RADIUS = 3, BINS = 256 };
static const double largest = 8.0 / 255; /* of a residual */

static int64_t inside(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static double value_at(const um_pixels *p, int64_t i, int64_t j, int64_t k)
{
    int64_t at = (inside(i, p->h) * p->w + inside(j, p->w)) * p->c + k;
    return p->bits == 8 ? ((const uint8_t *)p->data)[at] / 255.0 : ((const uint16_t *)p->data)[at] / 65535.0;
}

static double binomial(const double v[9])
{
    return (v[0] + v[2] + v[6] + v[8] + 2 * (v[1] + v[3] + v[5] + v[7]) + 4 * v[4]) / 16;
}

static double median(double v[9])
{
    for (int i = 1; i < 9; i++)
        for (int j = i; j > 0 && v[j] < v[j - 1]; j--) {
            double t = v[j];
            v[j] = v[j - 1];
            v[j - 1] = t;
        }
    return v[4];
}

/* Mean over channels of the squared residual. */
static double residual(const um_pixels *p, um_leak_filter filter, int64_t i, int64_t j)
{
    double sum = 0;
    for (int64_t k = 0; k < p->c; k++) {
        double v[9], centre = value_at(p, i, j, k);
        for (int t = 0; t < 9; t++)
            v[t] = value_at(p, i - 1 + t / 3, j - 1 + t % 3, k);
        double r = fmin(fabs(centre - (filter == UM_LEAK_HIGHPASS ? binomial(v) : median(v))), largest);
        sum += r * r;
    }
    return sum / (double)p->c;
}

/* Mean over 2 RADIUS + 1 pixels along one axis (stride: 1 for rows, w for columns). */
static void box(float *to, const float *from, int64_t h, int64_t w, bool along_rows)
{
    for (int64_t i = 0; i < h; i++)
        for (int64_t j = 0; j < w; j++) {
            double sum = 0;
            for (int64_t d = -RADIUS; d <= RADIUS; d++)
                sum += (double)(along_rows ? from[i * w + inside(j + d, w)] : from[inside(i + d, h) * w + j]);
            to[i * w + j] = (float)(sum / (2 * RADIUS + 1));
        }
}

double um_otsu(const float *values, int64_t n)
{
    int64_t histogram[BINS] = {0};
    double top = 0, total = 0, below = 0, n_below = 0, best = -1, cut = INFINITY;
    for (int64_t i = 0; i < n; i++)
        top = fmax(top, (double)values[i]);
    if (!(top > 0))
        return INFINITY;
    for (int64_t i = 0; i < n; i++) {
        int bin = (int)((double)values[i] / top * BINS);
        histogram[bin < BINS ? bin : BINS - 1]++;
    }
    for (int b = 0; b < BINS; b++)
        total += (double)histogram[b] * b;
    for (int b = 0; b < BINS - 1; b++) {
        n_below += (double)histogram[b];
        below += (double)histogram[b] * b;
        double n_above = (double)n - n_below;
        if (n_below == 0 || n_above == 0)
            continue;
        double gap = below / n_below - (total - below) / n_above, between = n_below * n_above * gap * gap;
        if (between > best) {
            best = between;
            cut = top * (b + 1) / BINS;
        }
    }
    return cut;
}

um_status um_mask_leak_predict(uint8_t *out, const um_pixels *p, um_leak_filter filter)
{
    um_status rc = UM_OK;
    int64_t n = p->h * p->w;
    float *energy = NULL, *rows = NULL;
    UM_TRY(UM_NEW_ARRAY(energy, n));
    UM_TRY(UM_NEW_ARRAY(rows, n));
    for (int64_t i = 0; i < n; i++)
        energy[i] = (float)residual(p, filter, i / p->w, i % p->w);
    box(rows, energy, p->h, p->w, true);
    box(energy, rows, p->h, p->w, false);
    for (int64_t i = 0; i < n; i++)
        energy[i] = sqrtf(energy[i]);
    double cut = um_otsu(energy, n);
    for (int64_t i = 0; i < n; i++)
        out[i] = (double)energy[i] >= cut;
done:
    um_free(rows);
    um_free(energy);
    return rc;
}
