/* The windows of a strided convolution as pixels of their own, and back (ops.h PATCHES). */
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"

/* One row of taps of one output pixel: taps that lie outside the image are zero. */
static void patch_row(real *restrict y, const um_view *x, int64_t row, int64_t col, int64_t image, int64_t size)
{
    bool inside = row >= 0 && row < x->h;
    for (int64_t v = 0; v < size; v++, y += x->c) {
        if (inside && col + v >= 0 && col + v < x->w)
            memcpy(y, pixel_at(x, (image * x->h + row) * x->w + col + v), (size_t)x->c * sizeof *y);
        else
            memset(y, 0, (size_t)x->c * sizeof *y);
    }
}

/* Output rows [begin, end), counted through all images. */
static void patches_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    int64_t size = call->attr.patch.size, stride = call->attr.patch.stride, pad = call->attr.patch.pad;
    for (int64_t r = begin; r < end; r++)
        for (int64_t j = 0; j < y->w; j++)
            for (int64_t u = 0; u < size; u++)
                patch_row(pixel_at(y, r * y->w + j) + u * size * x->c, x, r % y->h * stride - pad + u, j * stride - pad, r / y->h,
                          size);
}

um_status UM_FN(um_cpu_patches_fwd)(const um_op_call *call)
{
    const um_view *y = &call->out[0];
    um_span_run(call, y->n * y->h, y->w * y->c, patches_span);
    return UM_OK;
}

static void add_run(real *restrict dx, const real *restrict dy, int64_t c)
{
    for (int64_t k = 0; k < c; k++)
        dx[k] += dy[k];
}

/* Adds what the windows over pixel (row, col) hold of it; the order of taps is that of the filter. */
static void gather_pixel(real *dx, const um_op_call *call, int64_t image, int64_t row, int64_t col)
{
    const um_view *dy = &call->in[0], *x = &call->out[0];
    int64_t size = call->attr.patch.size, stride = call->attr.patch.stride, pad = call->attr.patch.pad;
    for (int64_t u = 0; u < size; u++) {
        int64_t i = row + pad - u;
        if (i < 0 || i % stride != 0 || i / stride >= dy->h)
            continue;
        for (int64_t v = 0; v < size; v++) {
            int64_t j = col + pad - v;
            if (j < 0 || j % stride != 0 || j / stride >= dy->w)
                continue;
            add_run(dx, pixel_at(dy, (image * dy->h + i / stride) * dy->w + j / stride) + (u * size + v) * x->c, x->c);
        }
    }
}

/* Rows [begin, end) of dx, counted through all images. */
static void gather_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dx = &call->out[0];
    for (int64_t r = begin; r < end; r++)
        for (int64_t j = 0; j < dx->w; j++) {
            real *to = pixel_at(dx, r * dx->w + j);
            if (!call->accumulate)
                memset(to, 0, (size_t)dx->c * sizeof *to);
            gather_pixel(to, call, r / dx->h, r % dx->h, j);
        }
}

um_status UM_FN(um_cpu_patches_bwd)(const um_op_call *call)
{
    const um_view *dx = &call->out[0];
    um_span_run(call, dx->n * dx->h, dx->w * dx->c, gather_span);
    return UM_OK;
}
