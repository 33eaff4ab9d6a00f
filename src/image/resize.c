#include "image/resize_axis.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "image/resize.h"

enum { WEIGHT_BITS = UM_RESIZE_WEIGHT_BITS, MID_BITS = 12 /* of the image between the two passes */ };

void um_resize_axis_free(um_resize_axis *a)
{
    um_free(a->first);
    um_free(a->count);
    um_free(a->weight);
    *a = (um_resize_axis){0};
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Weights of output i as fixed-point numbers that add up to exactly 1, so that flat areas stay flat. */
static void axis_fill(um_resize_axis *a, int64_t i, int64_t n_in, double scale, double stretch)
{
    const double centre = ((double)i + 0.5) * scale;
    int64_t lo = (int64_t)(centre - stretch + 0.5), hi = (int64_t)(centre + stretch + 0.5);
    lo = centre - stretch + 0.5 < 0 ? 0 : lo;
    hi = hi > n_in ? n_in : hi;
    int32_t *weight = a->weight + i * a->taps, left = 1 << WEIGHT_BITS;
    double sum = 0;
    for (int64_t k = lo; k < hi; k++) {
        sum += triangle(((double)k - centre + 0.5) / stretch);
    }
    int64_t largest = 0;
    for (int64_t k = 0; k < hi - lo; k++) {
        weight[k] = (int32_t)lrint(triangle(((double)(k + lo) - centre + 0.5) / stretch) / sum * (1 << WEIGHT_BITS));
        left -= weight[k];
        largest = weight[k] > weight[largest] ? k : largest;
    }
    weight[largest] += left;
    a->first[i] = lo;
    a->count[i] = hi - lo;
}

um_status um_resize_axis_make(um_resize_axis *a, int64_t n_in, int64_t n_out)
{
    um_status rc = UM_OK;
    const double scale = (double)n_in / (double)n_out, stretch = scale > 1.0 ? scale : 1.0;
    a->n_out = n_out;
    a->taps = 2 * (int64_t)ceil(stretch) + 1;
    UM_TRY(UM_NEW_ARRAY(a->first, n_out));
    UM_TRY(UM_NEW_ARRAY(a->count, n_out));
    UM_TRY(UM_NEW_ARRAY(a->weight, n_out * a->taps));
    for (int64_t i = 0; i < n_out; i++) {
        axis_fill(a, i, n_in, scale, stretch);
    }
done:
    return rc;
}

static inline int64_t sample(const void *p, int64_t i, int bits)
{
    return bits == 8 ? ((const uint8_t *)p)[i] : ((const uint16_t *)p)[i];
}

/* One input row to [w_out][c] with MID_BITS fractional bits. */
static void shrink_row(int32_t *out, const void *in, int64_t row_start, int64_t c, int bits, const um_resize_axis *x)
{
    for (int64_t i = 0; i < x->n_out; i++) {
        const int32_t *weight = x->weight + i * x->taps;
        for (int64_t k = 0; k < c; k++) {
            int64_t sum = 1 << (WEIGHT_BITS - MID_BITS - 1);
            for (int64_t t = 0; t < x->count[i]; t++) {
                sum += weight[t] * sample(in, row_start + (x->first[i] + t) * c + k, bits);
            }
            out[i * c + k] = (int32_t)(sum >> (WEIGHT_BITS - MID_BITS));
        }
    }
}

/* Output row i from the horizontally resized image. */
static void blend_rows(void *out, const int32_t *mid, int64_t i, int64_t row, int bits, const um_resize_axis *y)
{
    const int32_t *weight = y->weight + i * y->taps;
    for (int64_t x = 0; x < row; x++) {
        int64_t sum = (int64_t)1 << (WEIGHT_BITS + MID_BITS - 1);
        for (int64_t t = 0; t < y->count[i]; t++) {
            sum += (int64_t)weight[t] * mid[(y->first[i] + t) * row + x];
        }
        sum >>= WEIGHT_BITS + MID_BITS;
        if (bits == 8) {
            ((uint8_t *)out)[i * row + x] = (uint8_t)sum;
        } else {
            ((uint16_t *)out)[i * row + x] = (uint16_t)sum;
        }
    }
}

static um_status bilinear(void *out, int64_t h_out, int64_t w_out, const void *in, int64_t h, int64_t w, int64_t c, int bits)
{
    um_status rc = UM_OK;
    um_resize_axis ax = {0}, ay = {0};
    int32_t *mid = NULL;
    UM_TRY(um_resize_axis_make(&ax, w, w_out));
    UM_TRY(um_resize_axis_make(&ay, h, h_out));
    UM_TRY(UM_NEW_ARRAY(mid, h * w_out * c));
    for (int64_t y = 0; y < h; y++) {
        shrink_row(mid + y * w_out * c, in, y * w * c, c, bits, &ax);
    }
    for (int64_t y = 0; y < h_out; y++) {
        blend_rows(out, mid, y, w_out * c, bits, &ay);
    }
done:
    um_free(mid);
    um_resize_axis_free(&ay);
    um_resize_axis_free(&ax);
    return rc;
}

/* Byte offset of the source pixel (or row) of every output: centres are accumulated in double precision, as Pillow does, so that
 * ties (a centre on the border of two pixels) fall to the same side. */
static void nearest_offsets(size_t *offset, int64_t n_out, int64_t n_in, size_t bytes)
{
    const double step = (double)n_in / (double)n_out;
    double centre = 0.5 * step;
    for (int64_t i = 0; i < n_out; i++, centre += step) {
        const int64_t k = (int64_t)centre;
        offset[i] = (size_t)(k < n_in ? k : n_in - 1) * bytes;
    }
}

static um_status nearest(uint8_t *out, int64_t h_out, int64_t w_out, const uint8_t *in, int64_t h, int64_t w, size_t pixel_bytes)
{
    um_status rc = UM_OK;
    size_t *rows = NULL, *cols = NULL;
    UM_TRY(UM_NEW_ARRAY(rows, h_out));
    UM_TRY(UM_NEW_ARRAY(cols, w_out));
    nearest_offsets(rows, h_out, h, (size_t)w * pixel_bytes);
    nearest_offsets(cols, w_out, w, pixel_bytes);
    for (int64_t y = 0; y < h_out; y++) {
        for (int64_t x = 0; x < w_out; x++, out += pixel_bytes) {
            memcpy(out, in + rows[y] + cols[x], pixel_bytes);
        }
    }
done:
    um_free(cols);
    um_free(rows);
    return rc;
}

um_status um_resize(void *out, int64_t h_out, int64_t w_out, const void *in, int64_t h, int64_t w, int64_t c, int bits,
                    um_resize_filter filter)
{
    const size_t pixel_bytes = (size_t)c * (size_t)(bits / 8);
    if (h == h_out && w == w_out) {
        memcpy(out, in, (size_t)(h * w) * pixel_bytes);
        return UM_OK;
    }
    if (filter == UM_RESIZE_NEAREST) {
        return nearest(out, h_out, w_out, in, h, w, pixel_bytes);
    }
    return bilinear(out, h_out, w_out, in, h, w, c, bits);
}
