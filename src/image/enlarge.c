#include "image/enlarge.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "image/resize_axis.h"

enum { STEPS = 40 }; /* more change nothing that is seen in 8 bits */

typedef struct problem {
    um_resize_axis x, y; /* from large to small */
    float *wx, *wy;      /* their weights as numbers */
    int64_t h, w, c, large_h, large_w;
    const float *in, *image;
    float bound, rate;
    float *mid;          /* [h][large_w][c] */
    float *rest;         /* [h][w][c]: what is still missing */
    float *slope;        /* [large_h][large_w][c] */
} problem;

static void problem_free(problem *p)
{
    um_resize_axis_free(&p->x);
    um_resize_axis_free(&p->y);
    um_free(p->wx);
    um_free(p->wy);
    um_free(p->mid);
    um_free(p->rest);
    um_free(p->slope);
}

/* most: the largest sum of weights that any input has. The square of a matrix' norm is at most that times the largest sum of an output, 1. */
static um_status weights_of(float **out, const um_resize_axis *a, int64_t n_in, double *most)
{
    um_status rc = UM_OK;
    double *sums = NULL;
    UM_TRY(UM_NEW_ARRAY(*out, a->n_out * a->taps));
    UM_TRY(UM_NEW_ARRAY(sums, n_in));
    *most = 0;
    for (int64_t i = 0; i < a->n_out; i++)
        for (int64_t k = 0; k < a->count[i]; k++) {
            double weight = ldexp(a->weight[i * a->taps + k], -UM_RESIZE_WEIGHT_BITS);
            (*out)[i * a->taps + k] = (float)weight;
            sums[a->first[i] + k] += weight;
            *most = fmax(*most, sums[a->first[i] + k]);
        }
done:
    um_free(sums);
    return rc;
}

static um_status problem_make(problem *p)
{
    um_status rc = UM_OK;
    double most_x, most_y;
    UM_TRY(um_resize_axis_make(&p->x, p->large_w, p->w));
    UM_TRY(um_resize_axis_make(&p->y, p->large_h, p->h));
    UM_TRY(weights_of(&p->wx, &p->x, p->large_w, &most_x));
    UM_TRY(weights_of(&p->wy, &p->y, p->large_h, &most_y));
    UM_TRY(UM_NEW_ARRAY(p->mid, p->h * p->large_w * p->c));
    UM_TRY(UM_NEW_ARRAY(p->rest, p->h * p->w * p->c));
    UM_TRY(UM_NEW_ARRAY(p->slope, p->large_h * p->large_w * p->c));
    p->rate = (float)(1 / (most_x * most_y));
    for (int64_t i = 0; i < p->h * p->w * p->c; i++)
        p->bound = fmaxf(p->bound, fabsf(p->in[i]));
done:
    return rc;
}

/* rest = in - R d */
static void compare(problem *p, const float *d)
{
    int64_t row = p->large_w * p->c;
    memset(p->mid, 0, (size_t)(p->h * row) * sizeof *p->mid);
    for (int64_t i = 0; i < p->h; i++)
        for (int64_t t = 0; t < p->y.count[i]; t++) {
            float weight = p->wy[i * p->y.taps + t], *to = p->mid + i * row;
            const float *from = d + (p->y.first[i] + t) * row;
            for (int64_t k = 0; k < row; k++)
                to[k] += weight * from[k];
        }
    for (int64_t i = 0; i < p->h * p->w; i++) {
        int64_t j = i % p->w;
        const float *from = p->mid + i / p->w * row + p->x.first[j] * p->c, *weight = p->wx + j * p->x.taps;
        for (int64_t k = 0; k < p->c; k++) {
            float sum = p->in[i * p->c + k];
            for (int64_t t = 0; t < p->x.count[j]; t++)
                sum -= weight[t] * from[t * p->c + k];
            p->rest[i * p->c + k] = sum;
        }
    }
}

/* slope = R^T rest */
static void spread(problem *p)
{
    int64_t row = p->large_w * p->c;
    memset(p->mid, 0, (size_t)(p->h * row) * sizeof *p->mid);
    memset(p->slope, 0, (size_t)(p->large_h * row) * sizeof *p->slope);
    for (int64_t i = 0; i < p->h * p->w; i++) {
        int64_t j = i % p->w;
        float *to = p->mid + i / p->w * row + p->x.first[j] * p->c;
        for (int64_t t = 0; t < p->x.count[j]; t++)
            for (int64_t k = 0; k < p->c; k++)
                to[t * p->c + k] += p->wx[j * p->x.taps + t] * p->rest[i * p->c + k];
    }
    for (int64_t i = 0; i < p->h; i++)
        for (int64_t t = 0; t < p->y.count[i]; t++) {
            float weight = p->wy[i * p->y.taps + t], *to = p->slope + (p->y.first[i] + t) * row;
            const float *from = p->mid + i * row;
            for (int64_t k = 0; k < row; k++)
                to[k] += weight * from[k];
        }
}

static float within(const problem *p, int64_t i, float v)
{
    float low = -p->bound, high = p->bound;
    if (p->image) {
        low = fmaxf(low, -p->image[i]);
        high = fminf(high, 1 - p->image[i]);
    }
    return fminf(fmaxf(v, low), high);
}

/* Of one axis: the two source pixels and the share of the second. */
static void blend(int64_t i, int64_t n_out, int64_t n, int64_t *a, int64_t *b, float *share)
{
    double at = ((double)i + 0.5) * (double)n / (double)n_out - 0.5, low = floor(at);
    *share = (float)(at - low);
    *a = low < 0 ? 0 : (int64_t)low;
    *b = (int64_t)low + 1 >= n ? n - 1 : (int64_t)low + 1;
}

static void interpolate(const problem *p, float *out)
{
    const float *in = p->in;
    int64_t w = p->w, c = p->c;
    for (int64_t i = 0; i < p->large_h; i++) {
        int64_t top, bottom, left, right;
        float down, across;
        blend(i, p->large_h, p->h, &top, &bottom, &down);
        for (int64_t j = 0; j < p->large_w; j++) {
            blend(j, p->large_w, w, &left, &right, &across);
            for (int64_t k = 0; k < c; k++) {
                float a = in[(top * w + left) * c + k], b = in[(top * w + right) * c + k];
                float d = in[(bottom * w + left) * c + k], e = in[(bottom * w + right) * c + k];
                float upper = a + (b - a) * across, lower = d + (e - d) * across;
                int64_t at = (i * p->large_w + j) * c + k;
                out[at] = within(p, at, upper + (lower - upper) * down);
            }
        }
    }
}

um_status um_enlarge(float *out, int64_t h_out, int64_t w_out, const float *in, int64_t h, int64_t w, int64_t c, const float *image)
{
    um_status rc = UM_OK;
    problem p = {.h = h, .w = w, .c = c, .large_h = h_out, .large_w = w_out, .in = in, .image = image};
    int64_t n = h_out * w_out * c;
    float *ahead = NULL; /* where the slope is taken */
    double pace = 1;
    UM_TRY(problem_make(&p));
    interpolate(&p, out);
    if (h == h_out && w == w_out)
        goto done;
    UM_TRY(UM_NEW_ARRAY(ahead, n));
    memcpy(ahead, out, (size_t)n * sizeof *out);
    for (int step = 0; step < STEPS; step++) {
        double next = (1 + sqrt(1 + 4 * pace * pace)) / 2;
        float swing = (float)((pace - 1) / next);
        compare(&p, ahead);
        spread(&p);
        for (int64_t i = 0; i < n; i++) {
            float moved = within(&p, i, ahead[i] + p.rate * p.slope[i]);
            ahead[i] = moved + swing * (moved - out[i]);
            out[i] = moved;
        }
        pace = next;
    }
done:
    um_free(ahead);
    problem_free(&p);
    return rc;
}

double um_enlarge_bytes(int64_t h_out, int64_t w_out, int64_t h, int64_t w, int64_t c)
{
    return (double)sizeof(float) * (double)(c * (2 * h_out * w_out + h * w_out + h * w));
}
