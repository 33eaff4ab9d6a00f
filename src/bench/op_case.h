/* One call of an op with its operands, in the memory of its backend and filled with random numbers; for checking and measuring. */
#ifndef UM_BENCH_OP_CASE_H
#define UM_BENCH_OP_CASE_H

#include "bench/burst.h"

/* Numbers of an operand: shift + scale * u with u in [-1, 1), rounded to its type. */
typedef enum um_op_draw {
    UM_DRAW_ANY,
    UM_DRAW_MASK, /* 0 or 1 instead */
    UM_DRAW_ROW,  /* 0, 1, 2, ... */
} um_op_draw;

typedef struct um_op_values {
    double scale, shift;
    um_op_draw draw;
} um_op_values;

/* A call without memory: extents and types of the operands (those that are absent have c = 0), attributes, and what the operands
 * hold. */
typedef struct um_op_spec {
    um_op op;
    um_op_call call;
    um_op_values in[UM_OP_MAX_IN], out[UM_OP_MAX_OUT];
    int64_t images;
} um_op_spec;

typedef struct um_op_bench {
    um_op_call *sets; /* the same call on operands of its own, in turns: together they do not fit a cache */
    int n_sets, at;
    um_op op;
    um_backend *backend; /* borrowed */
    um_batch batch;
    um_burst burst;
} um_op_bench;

/* Memory of the backend for an operand, filled. v: extents and type; its data is set, free it with the backend. */
um_status um_op_operand(um_backend *backend, um_view *v, const um_op_values *values, uint64_t seed);

/* n_sets: more than one on backends with queues only. Every backend gets the same numbers, those that the types of `spec` can hold; a backend that computes in f64 has f64 where
 * these say f32 or bf16. b: stays where it is from here on. */
um_status um_op_bench_create(um_op_bench *b, um_backend *backend, const um_op_spec *spec, int n_sets);
void um_op_bench_free(um_op_bench *b);
um_status um_op_bench_ready(um_op_bench *b);                    /* before the first um_op_bench_run */
um_status um_op_bench_run(void *op_bench, double *seconds);     /* a um_bench_way; seconds: of one call */

/* Runs the call on the backend, and on the CPU in f64 with direct convolutions. error: relative L2 distance of every output, 0
 * where there is none. */
um_status um_op_bench_check(um_backend *backend, const um_op_spec *spec, double error[UM_OP_MAX_OUT]);

#endif
