/* One call of an op with its operands, filled with random numbers; for measuring. */
#ifndef UM_BENCH_OP_CASE_H
#define UM_BENCH_OP_CASE_H

#include "kernels/backend.h"

typedef struct um_op_bench {
    um_backend *backend; /* borrowed */
    um_op op;
    um_op_call call;
    um_batch batch;
    double bytes; /* read and written */
} um_op_bench;

/* x: [n,h,w,c]; k: channels of y for convolutions. The same numbers for every backend. */
um_status um_op_bench_create(um_op_bench *b, um_backend *backend, um_op op, int64_t n, int64_t h, int64_t c, int64_t k);
void um_op_bench_free(um_op_bench *b);
um_status um_op_bench_run(void *op_bench, double *seconds); /* a um_bench_way */

/* Relative L2 distance of out[0] of a (f32) from that of b (f64). */
double um_op_bench_distance(const um_op_bench *a, const um_op_bench *b);

#endif
