/* One test case of an op, its operands in memory, and runs of it. Values are functions of (operand, index) and exactly
 * representable in f32, so that the f32 kernel, the f64 kernel and the oracle see the same numbers. Gaps between the pixels of a
 * slice hold a sentinel. */
#ifndef UM_TESTS_OP_HARNESS_H
#define UM_TESTS_OP_HARNESS_H

#include "kernels/backend.h"

enum { SET_OPERANDS = UM_OP_MAX_IN + UM_OP_MAX_OUT, CASE_LANES = 4 };

/* How values are drawn. */
typedef enum case_fill {
    FILL_ANY,      /* U(-2, 2) */
    FILL_POSITIVE, /* U(0.5, 1.5) */
    FILL_MASK,     /* 0 or 1 */
    FILL_BOUND,    /* 0 in a quarter of the pixels, else U(0.02, 0.6) */
    FILL_DISTINCT, /* far apart from each other */
    FILL_PLACE,    /* u8 0..3 */
} case_fill;

typedef struct case_operand {
    int64_t n, h, w, c, gap; /* ld = c + gap */
    char type;               /* 'r' real, 'd' f64, 'u' u8; 0: absent */
    case_fill fill;
    bool batched; /* n counts the images of the batch */
} case_operand;

typedef struct op_case {
    const char *label;
    um_op op;
    case_operand in[UM_OP_MAX_IN], out[UM_OP_MAX_OUT];
    um_op_attr attr;
    void (*derive)(um_op_call *f64); /* makes operands consistent with each other; may be NULL */
    double f32_tolerance;            /* 0: 1e-5 */
} op_case;

typedef struct op_set {
    um_op_call call;
    um_batch batch;
    size_t bytes[SET_OPERANDS];
} op_set;

/* Operand i of the set: ins first, outs from UM_OP_MAX_IN on. */
um_view *op_set_view(op_set *s, int i);

/* Which activations of a case are stored in bf16. */
typedef enum op_store { STORE_REAL, STORE_NARROW, STORE_NARROW_IN, STORE_NARROW_OUT } op_store;

void op_set_create(op_set *s, const op_case *c, um_dtype real);
void op_set_create_stored(op_set *s, const op_case *c, um_dtype real, op_store store);
void op_set_free(op_set *s);
void op_set_copy_outputs(op_set *to, const op_set *from); /* same case and type */

double op_view_get(const um_view *v, int64_t pixel, int64_t k);
void op_view_set(const um_view *v, int64_t pixel, int64_t k, double value);

/* prepare, workspace of exactly the bytes asked for, run; fails the test on any error. Operands are in host memory and visit the
 * backend's where that is elsewhere. */
void op_run(um_backend *b, um_op op, um_op_call *call);

/* max |a - b| / max |b| over two views of equal extents. */
double op_view_distance(const um_view *a, const um_view *b);

/* One case on a backend, for each float type: against the oracle, accumulating, inputs and gaps untouched, more threads, image by
 * image or as two ranks, in place. Fails the test naming case, backend and operand. */
void op_case_check(const op_case *c, const char *backend);

/* One case on an f32 backend of a device, in its precision. Sums that a library forms over the whole batch, and products that it
 * may do another way for another batch, are compared with tolerance where op_case_check wants the same bits. */
void op_case_check_device(const op_case *c, um_backend *b, um_precision precision, op_store store);

#endif
