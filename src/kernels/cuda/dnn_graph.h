/* One convolution as a cuDNN operation graph. Everything but the graph itself can be built without a device. */
#ifndef UM_KERNELS_CUDA_DNN_GRAPH_H
#define UM_KERNELS_CUDA_DNN_GRAPH_H

#include <stdbool.h>

#include "kernels/cuda/dnn.h"
#include "kernels/cuda/library.h"

/* A failed call of cuDNN: UM_E_DEVICE with its name, the library's text, and what it says about the last error. */
um_status um_dnn_fail(const char *file, int line, cudnnStatus_t status, const char *call);

#define TRY_DNN(call)                                                          \
    do {                                                                       \
        cudnnStatus_t dnn_status = (call);                                     \
        if (dnn_status != CUDNN_STATUS_SUCCESS) {                              \
            rc = um_dnn_fail(__FILE__, __LINE__, dnn_status, #call);           \
            goto done;                                                         \
        }                                                                      \
    } while (0)

enum { UM_DNN_X = 1, UM_DNN_W, UM_DNN_Y, UM_DNN_BIAS, UM_DNN_RAW /* sums, in no memory */ }; /* unique ids of the tensors */

/* A descriptor's attributes, finalised: rows until `type` < 0. out: for um_dnn_release. */
typedef struct um_dnn_attribute {
    cudnnBackendAttributeName_t name;
    int type; /* cudnnBackendAttributeType_t; -1 ends the list */
    int64_t count;
    const void *values;
} um_dnn_attribute;
um_status um_dnn_make(cudnnBackendDescriptor_t *out, cudnnBackendDescriptorType_t kind, const um_dnn_attribute *attributes);
void um_dnn_release(cudnnBackendDescriptor_t *d); /* and sets it NULL; accepts NULL in it */

/* What a graph is made of: a convolution, and what makes its result of the sums in f32 where they are not stored as they are: with a
 * bias, or as bf16 from operands in f32. Zero-initialise; um_dnn_operation_free accepts
 * any state. */
typedef struct um_dnn_operation {
    cudnnBackendDescriptor_t x, w, y, bias, raw, conv, finish, ops[2];
    int n_ops;
} um_dnn_operation;
um_status um_dnn_operation_make(um_dnn_operation *out, const um_dnn_conv *conv);
void um_dnn_operation_free(um_dnn_operation *o);

/* May an engine with these numerical notes serve in this precision? The same answer every run, and exact enough (layers.md
 * section 6). */
bool um_dnn_engine_allowed(um_precision precision, const cudnnBackendNumericalNote_t *notes, int64_t n);

#endif
