#include "kernels/cpu/blocks.h"

#include <string.h>

#include "base/threads.h"

enum { BLOCK_WORK = 32768 }; /* elements per block, roughly */

static int64_t block_rows(const um_view *v)
{
    int64_t rows = BLOCK_WORK / (v->w * v->c);
    return rows < 1 ? 1 : rows < v->h ? rows : v->h;
}

static int64_t blocks_per_image(const um_view *v)
{
    int64_t rows = block_rows(v);
    return (v->h + rows - 1) / rows;
}

size_t um_block_bytes(const um_view *shape, int64_t width)
{
    return (size_t)((2 * UM_MAX_LANES + shape->n * blocks_per_image(shape)) * width) * sizeof(double);
}

static double *block_parts(const um_op_call *call, int64_t width)
{
    return (double *)call->workspace + UM_MAX_LANES * width;
}

static void run_blocks(const um_op_call *call, const um_view *v, int64_t width, um_block_fn fn)
{
    int64_t rows = block_rows(v), per_image = blocks_per_image(v), n_blocks = v->n * per_image;
    double *parts = block_parts(call, width);
    int threads = n_blocks * rows * v->w * v->c > BLOCK_WORK ? um_threads() : 1;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t row = b % per_image * rows;
        int64_t end = row + rows < v->h ? row + rows : v->h;
        int64_t first = b / per_image * v->h;
        fn(call, (first + row) * v->w, (first + end) * v->w, parts + b * width);
    }
}

static void add_parts(double *sum, const double *parts, int64_t n_parts, int64_t width)
{
    memset(sum, 0, (size_t)width * sizeof *sum);
    for (int64_t i = 0; i < n_parts; i++)
        for (int64_t k = 0; k < width; k++)
            sum[k] += parts[i * width + k];
}

double *um_block_lane_sums(const um_op_call *call, const um_view *shape, int64_t width, um_block_fn fn)
{
    int64_t per_image = blocks_per_image(shape);
    double *lanes = call->workspace, *parts = block_parts(call, width);
    const um_batch *batch = call->batch;
    run_blocks(call, shape, width, fn);
    for (int l = 0; l < batch->n_lanes; l++) {
        int64_t begin = batch->lane_begin[l] * per_image, end = batch->lane_begin[l + 1] * per_image;
        add_parts(lanes + l * width, parts + begin * width, end - begin, width);
    }
    return lanes;
}

void um_block_image_sums(const um_op_call *call, const um_view *shape, int64_t width, um_block_fn fn, double *sums)
{
    int64_t per_image = blocks_per_image(shape);
    run_blocks(call, shape, width, fn);
    for (int64_t i = 0; i < shape->n; i++)
        add_parts(sums + i * width, block_parts(call, width) + i * per_image * width, per_image, width);
}
