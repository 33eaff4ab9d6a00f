/* Distance of features from the mean of the other class, per image, and its gradient (ops.h ALIGN_SUMS, ALIGN_BWD). */
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"

enum { N_SUMS = 4 }; /* outside: squares, pixels; inside: squares, pixels */

/* The mean that pixel p of image i is drawn to: that of the other class. */
UM_INLINE const real *other_mean(const um_op_call *call, int64_t image, bool inside)
{
    const um_view *m = &call->in[2];
    return (const real *)m->data + (image * 2 + !inside) * m->ld;
}

static void align_block(const um_op_call *call, int64_t begin, int64_t end, double *part)
{
    const um_view *h = &call->in[0], *y = &call->in[1];
    int64_t image = begin / (h->h * h->w);
    double sum[N_SUMS] = {0};
    for (int64_t p = begin; p < end; p++) {
        bool inside = *pixel_at(y, p) > (real)0.5;
        const real *at = pixel_at(h, p), *mean = other_mean(call, image, inside);
        double squares = 0;
        for (int64_t k = 0; k < h->c; k++) {
            double d = (double)at[k] - (double)mean[k];
            squares += d * d;
        }
        sum[2 * inside] += squares;
        sum[2 * inside + 1] += 1;
    }
    memcpy(part, sum, sizeof sum);
}

um_status UM_FN(um_cpu_align_sums_prepare)(const um_op_call *call, size_t *bytes)
{
    *bytes = um_block_bytes(&call->in[0], N_SUMS);
    return UM_OK;
}

um_status UM_FN(um_cpu_align_sums)(const um_op_call *call)
{
    um_block_image_sums(call, &call->in[0], N_SUMS, align_block, call->out[0].data);
    return UM_OK;
}

/* Rows [begin, end), counted through all images. */
static void align_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *h = &call->in[0], *y = &call->in[1], *dh = &call->out[0];
    const double *sums = call->in[3].data;
    for (int64_t row = begin; row < end; row++) {
        int64_t image = row / h->h;
        for (int64_t p = row * h->w; p < (row + 1) * h->w; p++) {
            bool inside = *pixel_at(y, p) > (real)0.5;
            double pixels = call->attr.align.balance ? sums[image * N_SUMS + 2 * inside + 1] : (double)(h->h * h->w);
            real scale = (real)(2 / (pixels * (double)h->c)), *to = pixel_at(dh, p);
            const real *at = pixel_at(h, p), *mean = other_mean(call, image, inside);
            for (int64_t k = 0; k < h->c; k++)
                to[k] = (call->accumulate ? to[k] : 0) + scale * (at[k] - mean[k]);
        }
    }
}

um_status UM_FN(um_cpu_align_bwd)(const um_op_call *call)
{
    const um_view *h = &call->in[0];
    um_span_run(call, h->n * h->h, h->w * h->c, align_bwd_span);
    return UM_OK;
}
