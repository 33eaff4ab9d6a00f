/* Threading of work that is independent item by item. Spans are cut by size alone, and no kernel's result depends on the cuts. */
#ifndef UM_KERNELS_CPU_SPAN_H
#define UM_KERNELS_CPU_SPAN_H

#include "base/threads.h"
#include "kernels/ops.h"

typedef void (*um_span_fn)(const um_op_call *call, int64_t begin, int64_t end); /* items [begin, end) */

enum { UM_SPAN_WORK = 16384 }; /* elements per span; less than two spans run on the calling thread */

/* Runs fn over items 0..n-1; work: elements that one item touches. */
static inline void um_span_run(const um_op_call *call, int64_t n, int64_t work, um_span_fn fn)
{
    int64_t per_span = work >= UM_SPAN_WORK ? 1 : UM_SPAN_WORK / (work > 0 ? work : 1);
    int64_t n_spans = (n + per_span - 1) / per_span;
    if (n_spans < 2) {
        fn(call, 0, n);
        return;
    }
#pragma omp parallel for schedule(static) num_threads(um_threads())
    for (int64_t s = 0; s < n_spans; s++)
        fn(call, s * per_span, s * per_span + per_span < n ? s * per_span + per_span : n);
}

#endif
