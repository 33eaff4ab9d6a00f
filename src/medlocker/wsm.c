#include "medlocker/wsm.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { RELAXED_PERCENT = 5 };

static int by_place(const void *a, const void *b)
{
    const um_box *p = a, *q = b;
    const int64_t u[] = {p->y0, p->x0, p->y1, p->x1}, v[] = {q->y0, q->x0, q->y1, q->x1};
    for (int i = 0; i < 4; i++)
        if (u[i] != v[i])
            return u[i] < v[i] ? -1 : 1;
    return 0;
}

static int64_t clamped(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

typedef struct flood {
    const uint8_t *mask;
    uint8_t *seen;
    int64_t *stack;
    int64_t h, w;
} flood;

/* The component of pixel `start`: its box and its area. */
static int64_t fill(flood *f, int64_t start, um_box *box)
{
    int64_t top = 0, area = 0;
    *box = (um_box){start / f->w, start % f->w, start / f->w + 1, start % f->w + 1};
    f->stack[top++] = start;
    f->seen[start] = 1;
    while (top > 0) {
        int64_t p = f->stack[--top], y = p / f->w, x = p % f->w;
        area++;
        box->y0 = y < box->y0 ? y : box->y0, box->x0 = x < box->x0 ? x : box->x0;
        box->y1 = y >= box->y1 ? y + 1 : box->y1, box->x1 = x >= box->x1 ? x + 1 : box->x1;
        for (int64_t k = 0; k < 9; k++) {
            int64_t ny = y + k / 3 - 1, nx = x + k % 3 - 1, q = ny * f->w + nx;
            if (ny < 0 || nx < 0 || ny >= f->h || nx >= f->w || !f->mask[q] || f->seen[q])
                continue;
            f->seen[q] = 1;
            f->stack[top++] = q;
        }
    }
    return area;
}

um_status um_boxes_of_mask(um_boxes *out, const uint8_t *mask, int64_t h, int64_t w, int64_t min_area, int64_t dilate)
{
    um_status rc = UM_OK;
    flood f = {.mask = mask, .h = h, .w = w};
    um_boxes b = {0};
    int64_t cap = 0;
    UM_TRY(UM_NEW_ARRAY(f.seen, h * w));
    UM_TRY(UM_NEW_ARRAY(f.stack, h * w));
    for (int64_t p = 0; p < h * w; p++) {
        um_box box;
        if (!mask[p] || f.seen[p] || fill(&f, p, &box) < min_area)
            continue;
        if (b.n == cap) {
            UM_TRY(UM_GROW(b.list, cap, 2 * cap + 16));
            cap = 2 * cap + 16;
        }
        b.list[b.n++] = (um_box){clamped(box.y0 - dilate, 0, h), clamped(box.x0 - dilate, 0, w), clamped(box.y1 + dilate, 0, h),
                                 clamped(box.x1 + dilate, 0, w)};
    }
    if (b.n > 1)
        qsort(b.list, (size_t)b.n, sizeof *b.list, by_place);
    *out = b;
    b = (um_boxes){0};
done:
    um_boxes_free(&b);
    um_free(f.stack);
    um_free(f.seen);
    return rc;
}

void um_boxes_free(um_boxes *b)
{
    um_free(b->list);
    *b = (um_boxes){0};
}

static bool covered(const um_boxes *b, int64_t y, int64_t x)
{
    for (int64_t i = 0; i < b->n; i++)
        if (y >= b->list[i].y0 && y < b->list[i].y1 && x >= b->list[i].x0 && x < b->list[i].x1)
            return true;
    return false;
}

int64_t um_boxes_overlap(const um_boxes *b, const um_box *r)
{
    int64_t n = 0;
    for (int64_t y = r->y0; y < r->y1; y++)
        for (int64_t x = r->x0; x < r->x1; x++)
            n += covered(b, y, x);
    return n;
}

/* [h+1][w+1]: sum of F above and left of (y, x). */
static um_status integral(int64_t **out, const um_boxes *b, int64_t h, int64_t w)
{
    um_status rc = UM_OK;
    uint8_t *f = NULL;
    int64_t *s = NULL;
    UM_TRY(UM_NEW_ARRAY(f, h * w));
    UM_TRY(UM_NEW_ARRAY(s, (h + 1) * (w + 1)));
    for (int64_t i = 0; b && i < b->n; i++)
        for (int64_t y = b->list[i].y0; y < b->list[i].y1; y++)
            memset(f + y * w + b->list[i].x0, 1, (size_t)(b->list[i].x1 - b->list[i].x0));
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0, row = 0; x < w; x++) {
            row += f[y * w + x];
            s[(y + 1) * (w + 1) + x + 1] = s[y * (w + 1) + x + 1] + row;
        }
    *out = s;
    s = NULL;
done:
    um_free(s);
    um_free(f);
    return rc;
}

static int64_t overlap_at(const int64_t *s, int64_t w, int64_t y, int64_t x, int64_t lh, int64_t lw)
{
    int64_t row = w + 1;
    return s[(y + lh) * row + x + lw] - s[y * row + x + lw] - s[(y + lh) * row + x] + s[y * row + x];
}

/* Takes every place whose overlap is `most`. */
static void take(um_places *p, const int64_t *s, int64_t most)
{
    for (int64_t y = 0; y + p->lh <= p->h; y++)
        for (int64_t x = 0; x + p->lw <= p->w; x++)
            if (overlap_at(s, p->w, y, x, p->lh, p->lw) == most) {
                p->at[p->n++] = y * p->w + x;
                p->allowed[y * p->w + x] = 1;
            }
}

static int64_t least_overlap(const um_places *p, const int64_t *s)
{
    int64_t least = INT64_MAX;
    for (int64_t y = 0; y + p->lh <= p->h; y++)
        for (int64_t x = 0; x + p->lw <= p->w; x++) {
            int64_t o = overlap_at(s, p->w, y, x, p->lh, p->lw);
            least = o < least ? o : least;
        }
    return least;
}

um_status um_places_find(um_places *out, const um_boxes *boxes, int64_t h, int64_t w, int64_t lh, int64_t lw, bool may_relax)
{
    um_status rc = UM_OK;
    um_places p = {.h = h, .w = w, .lh = lh, .lw = lw};
    int64_t *s = NULL;
    UM_TRY(integral(&s, boxes, h, w));
    UM_TRY(UM_NEW_ARRAY(p.at, h * w));
    UM_TRY(UM_NEW_ARRAY(p.allowed, h * w));
    int64_t least = least_overlap(&p, s);
    p.state = least == 0 ? UM_WSM_STRICT : may_relax && least <= lh * lw * RELAXED_PERCENT / 100 ? UM_WSM_RELAXED : UM_WSM_NONE;
    if (p.state != UM_WSM_NONE)
        take(&p, s, least);
    *out = p;
    p = (um_places){0};
done:
    um_places_free(&p);
    um_free(s);
    return rc;
}

void um_places_free(um_places *p)
{
    um_free(p->at);
    um_free(p->allowed);
    *p = (um_places){0};
}

static bool allowed(const um_places *p, int64_t y, int64_t x)
{
    return y >= 0 && x >= 0 && y < p->h && x < p->w && p->allowed[y * p->w + x];
}

/* Rings of growing L-infinity radius, each in raster order. */
void um_places_project(const um_places *p, int64_t *y, int64_t *x)
{
    int64_t cy = clamped(*y, 0, p->h - p->lh), cx = clamped(*x, 0, p->w - p->lw), most = p->h > p->w ? p->h : p->w;
    for (int64_t r = 0; r <= most; r++)
        for (int64_t i = cy - r; i <= cy + r; i++) {
            int64_t step = i == cy - r || i == cy + r || r == 0 ? 1 : 2 * r;
            for (int64_t j = cx - r; j <= cx + r; j += step)
                if (allowed(p, i, j)) {
                    *y = i;
                    *x = j;
                    return;
                }
        }
}

um_status um_wsm_place(um_logo *logo, um_places *places, const um_logo *original, const um_boxes *boxes, int64_t h, int64_t w,
                       const um_wsm_options *o, double *ratio_used)
{
    um_status rc = UM_OK;
    um_logo l = {0};
    um_places p = {0};
    for (double ratio = o->ratio;; ratio += 0.5) {
        bool last = ratio + 0.5 > o->ratio_most + 1e-9;
        um_logo_clear(&l);
        um_places_free(&p);
        UM_TRY(um_logo_fit(&l, original, h, w, ratio));
        UM_TRY(um_places_find(&p, boxes, h, w, l.h, l.w, last));
        *ratio_used = ratio;
        if (p.state != UM_WSM_NONE || last)
            break;
    }
    *logo = l;
    *places = p;
    l = (um_logo){0};
    p = (um_places){0};
done:
    um_logo_clear(&l);
    um_places_free(&p);
    return rc;
}
