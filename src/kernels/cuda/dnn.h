/* Convolutions on the device by cuDNN's graph API (dnn.c; a plain loop in tests/kernels/cuda_host). Activations NHWC, pixels `ld`
 * elements apart; filters [K][r][s][C]; cross-correlation with zero padding; f32 accumulation.
 *
 * A plan is chosen by measurement among the engine configurations that cuDNN's heuristics offer first and that are deterministic and
 * exact enough (fp32: no tensor cores with rounded inputs), and kept on disk (plan_cache.h). UMED_CUDA_PLANS in the environment:
 *
 *     some    (default) the first eight of either mode of the heuristics; the slow engines of the fallback only when there are none
 *     all     everything on offer: minutes for a network whose engines are compiled when they are asked for
 *     first   nothing is measured and the first that fits is taken: a function of the shapes, the library and the device, for runs
 *             that must be the same on machines without a common cache */
#ifndef UM_KERNELS_CUDA_DNN_H
#define UM_KERNELS_CUDA_DNN_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/backend.h"
#include "kernels/cuda/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct um_dnn um_dnn;

typedef enum um_dnn_op { UM_DNN_FWD, UM_DNN_DATA, UM_DNN_WEIGHT } um_dnn_op; /* y; dx; dw */

/* One problem. All fields count for the choice of a plan. */
typedef struct um_dnn_conv {
    um_dnn_op op;
    um_dtype type;        /* of x, y and the filter: UM_F32 or UM_BF16, but for the result */
    um_dtype result_type; /* of y (UM_DNN_FWD), dx or dw */
    int64_t n, h, w, c; /* x, dx */
    int64_t p, q, k;    /* y, dy */
    int64_t r, s;
    int64_t ld_x, ld_y;
    int64_t stride, pad;
    int64_t bias;       /* 1: a bias of f32 per channel is added to y (UM_DNN_FWD) or dx (UM_DNN_DATA); else 0 */
} um_dnn_conv;

um_status um_dnn_create(um_dnn **out, um_dev *dev, um_precision precision);
void um_dnn_free(um_dnn *d); /* accepts NULL */

/* Finds the plan of a problem; supported: false when cuDNN has no engine for it (layout or type), which is no error.
 * bytes: its workspace, no more than that of the same problem with more images where that was asked for before, so that a smaller
 * batch
 * fits into what was planned for a large one. Uses device memory for the time of the measurement. */
um_status um_dnn_prepare(um_dnn *d, const um_dnn_conv *conv, bool *supported, size_t *bytes);
/* FWD reads x, w; DATA reads y, w, writes x; WEIGHT reads x, y, writes w. bias: on 16 bytes like all the others, read where
 * conv->bias says so. workspace: of `bytes` bytes. A problem that prepare has
 * not
 * seen is a bug of the caller. */
um_status um_dnn_run(um_dnn *d, const um_dnn_conv *conv, void *x, void *w, void *y, const void *bias, void *workspace,
    size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
