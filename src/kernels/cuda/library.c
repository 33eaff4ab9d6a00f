#include "kernels/cuda/library.h"

#include <stddef.h>

#include "base/library.h"
#include "base/mem.h"

um_cudnn_library um_cudnn;
um_cublaslt_library um_cublaslt;

#define CUDNN_MEMBER(name) {#name, offsetof(um_cudnn_library, name)},
#define CUBLASLT_MEMBER(name) {#name, offsetof(um_cublaslt_library, name)},
static const um_library_member cudnn_members[] = {UM_CUDNN_FUNCTIONS(CUDNN_MEMBER)};
static const um_library_member cublaslt_members[] = {UM_CUBLASLT_FUNCTIONS(CUBLASLT_MEMBER)};

static um_status load(void *library, const char *const *names, size_t n_names, const um_library_member *members, size_t n_members)
{
    return um_library_load(library, names, n_names, members, n_members, "backend cuda",
                           "set LD_LIBRARY_PATH to its folder, or use --backend cpu");
}

um_status um_cudnn_load(void)
{
    static const char *const names[] = {"libcudnn.so.9", UM_CUDNN_LIBRARY};
    if (um_cudnn.cudnnSetStream)
        return UM_OK;
    return load(&um_cudnn, names, UM_COUNT(names), cudnn_members, UM_COUNT(cudnn_members));
}

um_status um_cublaslt_load(void)
{
    static const char *const names[] = {UM_CUBLASLT_NAME, UM_CUBLASLT_LIBRARY};
    if (um_cublaslt.cublasLtMatrixLayoutSetAttribute)
        return UM_OK;
    return load(&um_cublaslt, names, UM_COUNT(names), cublaslt_members, UM_COUNT(cublaslt_members));
}
