/* The cases: for every op odd sizes, one image, channel counts that are no multiple of a vector, slices, and one case big enough
 * to be cut into spans and blocks. */
#ifndef UM_TESTS_OP_CASES_H
#define UM_TESTS_OP_CASES_H

#include "kernels/op_harness.h"

extern const op_case op_cases[];
extern const int n_op_cases;

#endif
