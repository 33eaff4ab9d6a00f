/* Private to src/kernels: how concrete backends plug into the factory. */
#ifndef UM_KERNELS_BACKEND_IMPL_H
#define UM_KERNELS_BACKEND_IMPL_H

#include "kernels/backend.h"

/* Every backend's impl begins with this. */
typedef struct um_backend_base {
    const char *(*describe)(const um_backend *b); /* borrowed until the next call */
} um_backend_base;

um_status um_cpu_backend_create(um_backend **out, um_dtype real);

/* Wraps `inner` (taken on success) into check:<inner>. Findings of run: UM_E_BUG naming op, operand and element for a changed
 * input, a written gap, an overrun workspace, an output left unwritten or operands that overlap; UM_E_NUMERIC for a result that
 * is not finite. */
um_status um_check_backend_create(um_backend **out, um_backend *inner);

/* Operands against the op's shape rule (shape.c). An operand with c == 0 is absent; data pointers are not looked at.
 * store: a type that activations may have beside real. Errors: UM_E_UNSUPPORTED naming op, operand, extents and rule. */
um_status um_shape_check(um_op op, const um_op_call *call, um_dtype real, um_dtype store);

#endif
