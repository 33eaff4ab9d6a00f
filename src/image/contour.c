#include "image/contour.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

enum { RADIUS_MAX = 64 };

static int64_t half_width(um_contour_se se, int64_t radius, int64_t dy)
{
    switch (se) {
    case UM_CONTOUR_CROSS:
        return dy == 0 ? radius : 0;
    case UM_CONTOUR_DISK:
        return (int64_t)floor(sqrt((double)(radius * radius - dy * dy)) + 1e-9);
    default:
        return radius;
    }
}

/* counts: [h][w + 1], counts[y][x] = foreground pixels of row y left of x. */
static void count_rows(int32_t *counts, const uint8_t *mask, bool invert, int64_t h, int64_t w)
{
    for (int64_t y = 0; y < h; y++) {
        int32_t *row = counts + y * (w + 1);
        row[0] = 0;
        for (int64_t x = 0; x < w; x++) {
            row[x + 1] = row[x] + ((mask[y * w + x] != 0) != invert);
        }
    }
}

static bool hits(const int32_t *row, int64_t w, int64_t x, int64_t half, bool outside)
{
    int64_t lo = x - half, hi = x + half + 1;
    if (outside && (lo < 0 || hi > w)) {
        return true;
    }
    return row[hi > w ? w : hi] > row[lo < 0 ? 0 : lo];
}

typedef struct element {
    um_contour_se se;
    int64_t radius;
} element;

/* out = 1 where the element placed on a pixel meets a counted one; beyond the frame everything has the value `outside`. */
static void dilate(uint8_t *out, const int32_t *counts, int64_t h, int64_t w, element e, bool outside)
{
    memset(out, 0, (size_t)(h * w));
    for (int64_t y = 0; y < h; y++) {
        for (int64_t dy = -e.radius; dy <= e.radius; dy++) {
            const int64_t source = y + dy, half = half_width(e.se, e.radius, dy);
            if (source < 0 || source >= h) {
                if (outside) {
                    memset(out + y * w, 1, (size_t)w);
                }
                continue;
            }
            for (int64_t x = 0; x < w; x++) {
                out[y * w + x] |= hits(counts + source * (w + 1), w, x, half, outside);
            }
        }
    }
}

typedef struct morphology {
    const uint8_t *mask;
    int64_t h, w;
    int32_t *counts; /* scratch */
} morphology;

static void grow(uint8_t *out, const morphology *m, element e)
{
    count_rows(m->counts, m->mask, false, m->h, m->w);
    dilate(out, m->counts, m->h, m->w, e, false);
}

/* Erosion is the complement of the complement's dilation. */
static void shrink(uint8_t *out, const morphology *m, element e, bool frame_is_edge)
{
    count_rows(m->counts, m->mask, true, m->h, m->w);
    dilate(out, m->counts, m->h, m->w, e, frame_is_edge);
    for (int64_t i = 0; i < m->h * m->w; i++) {
        out[i] = !out[i];
    }
}

static void subtract(uint8_t *out, const uint8_t *a, const uint8_t *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        out[i] = a[i] != 0 && b[i] == 0;
    }
}

static void canny(uint8_t *out, uint8_t *line, morphology m, const um_contour_options *o)
{
    const int64_t n = m.h * m.w;
    shrink(out, &m, (element){UM_CONTOUR_CROSS, 1}, o->border == UM_CONTOUR_COUNT);
    subtract(line, m.mask, out, n);
    m.mask = line;
    grow(out, &m, (element){(um_contour_se)o->se, o->radius - 1});
}

um_status um_contour_map(uint8_t *out, const uint8_t *mask, int64_t h, int64_t w, const um_contour_options *o)
{
    um_status rc = UM_OK;
    morphology m = {mask, h, w, NULL};
    uint8_t *other = NULL;
    const element e = {(um_contour_se)o->se, o->radius};
    if (o->radius < 1 || o->radius > RADIUS_MAX) {
        rc = um_fail(UM_E_CONFIG, "contour.radius = %lld is outside 1..%d pixels", (long long)o->radius, RADIUS_MAX);
        goto done;
    }
    UM_TRY(UM_NEW_ARRAY(m.counts, h * (w + 1)));
    UM_TRY(UM_NEW_ARRAY(other, h * w));
    switch ((um_contour_mode)o->mode) {
    case UM_CONTOUR_STRADDLE:
        shrink(other, &m, e, o->border == UM_CONTOUR_COUNT);
        grow(out, &m, e);
        subtract(out, out, other, h * w);
        break;
    case UM_CONTOUR_INNER:
        shrink(other, &m, e, o->border == UM_CONTOUR_COUNT);
        subtract(out, mask, other, h * w);
        break;
    case UM_CONTOUR_OUTER:
        grow(out, &m, e);
        subtract(out, out, mask, h * w);
        break;
    case UM_CONTOUR_CANNY:
        canny(out, other, m, o);
        break;
    }
done:
    um_free(other);
    um_free(m.counts);
    return rc;
}

void um_contour_interior(uint8_t *out, const uint8_t *mask, const uint8_t *contour, int64_t n)
{
    subtract(out, mask, contour, n);
}
