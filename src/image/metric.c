#include "image/metric.h"

#include <math.h>
#include <stdbool.h>

typedef struct sums {
    uint64_t square, square_roi; /* exact: 65535^2 * 2^30 values fit */
    int64_t largest, changed, roi;
} sums;

static inline int64_t value_at(const um_pixels *p, int64_t i)
{
    return p->bits == 8 ? ((const uint8_t *)p->data)[i] : ((const uint16_t *)p->data)[i];
}

static void add_pixel(sums *s, const um_pixels *a, const um_pixels *b, int64_t pixel, bool in_roi)
{
    uint64_t square = 0;
    for (int64_t c = 0; c < a->c; c++) {
        int64_t d = value_at(a, pixel * a->c + c) - value_at(b, pixel * a->c + c);
        d = d < 0 ? -d : d;
        square += (uint64_t)(d * d);
        s->largest = d > s->largest ? d : s->largest;
    }
    s->square += square;
    s->changed += square != 0;
    if (in_roi) {
        s->square_roi += square;
        s->roi++;
    }
}

static double psnr_of(double mse)
{
    return mse > 0 ? -10.0 * log10(mse) : INFINITY;
}

um_status um_metric_difference(um_difference *out, const um_pixels *a, const um_pixels *b, const uint8_t *mask)
{
    um_status rc = UM_OK;
    sums s = {0};
    UM_REQUIRE(a->h == b->h && a->w == b->w && a->c == b->c && a->bits == b->bits);
    const int64_t pixels = a->h * a->w;
    const double top = a->bits == 8 ? 255.0 : 65535.0, unit = 1.0 / (top * top);
    for (int64_t i = 0; i < pixels; i++) {
        add_pixel(&s, a, b, i, mask != NULL && mask[i] != 0);
    }
    out->mse = (double)s.square * unit / (double)(pixels * a->c);
    out->psnr = psnr_of(out->mse);
    out->l2 = sqrt((double)s.square * unit);
    out->linf = (double)s.largest / top;
    out->changed = (double)s.changed / (double)pixels;
    out->psnr_roi = s.roi > 0 ? psnr_of((double)s.square_roi * unit / (double)(s.roi * a->c)) : (double)NAN;
done:
    return rc;
}
