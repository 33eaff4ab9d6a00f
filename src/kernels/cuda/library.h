/* cuDNN and cuBLASLt, loaded when the first backend of a process is made: half a gigabyte of libraries is mapped by nobody who
 * does not
 * compute on a device, and one program serves machines with and without them. */
#ifndef UM_KERNELS_CUDA_LIBRARY_H
#define UM_KERNELS_CUDA_LIBRARY_H

#include <stdbool.h>

#include <cublasLt.h>
#include <cudnn.h>

#include "base/status.h"

#define UM_CUDNN_FUNCTIONS(F)                                                                                                      \
    F(cudnnBackendCreateDescriptor) F(cudnnBackendDestroyDescriptor) F(cudnnBackendExecute) F(cudnnBackendFinalize)                \
    F(cudnnBackendGetAttribute) F(cudnnBackendSetAttribute) F(cudnnCreate) F(cudnnDestroy) F(cudnnGetErrorString)                  \
    F(cudnnGetLastErrorString) F(cudnnGetVersion) F(cudnnSetStream)
#define UM_CUBLASLT_FUNCTIONS(F)                                                                                                   \
    F(cublasLtCreate) F(cublasLtDestroy) F(cublasLtGetStatusString) F(cublasLtMatmul) F(cublasLtMatmulAlgoGetHeuristic)            \
    F(cublasLtMatmulDescCreate) F(cublasLtMatmulDescDestroy) F(cublasLtMatmulDescSetAttribute) F(cublasLtMatmulPreferenceCreate)   \
    F(cublasLtMatmulPreferenceDestroy) F(cublasLtMatmulPreferenceSetAttribute) F(cublasLtMatrixLayoutCreate)                       \
    F(cublasLtMatrixLayoutDestroy) F(cublasLtMatrixLayoutSetAttribute)

/* Members have the functions' own names: um_cudnn.cudnnCreate(&handle). */
#define UM_LIBRARY_MEMBER(name) __typeof__(name) *name;
typedef struct um_cudnn_library { UM_CUDNN_FUNCTIONS(UM_LIBRARY_MEMBER) } um_cudnn_library;
typedef struct um_cublaslt_library { UM_CUBLASLT_FUNCTIONS(UM_LIBRARY_MEMBER) } um_cublaslt_library;
#undef UM_LIBRARY_MEMBER
extern um_cudnn_library um_cudnn;
extern um_cublaslt_library um_cublaslt;

/* Load once; later calls return at once. Looked for where the loader looks, then where the build found them. Errors:
 * UM_E_UNSUPPORTED
 * naming the library and what the loader says. */
um_status um_cudnn_load(void);
um_status um_cublaslt_load(void);

#endif
