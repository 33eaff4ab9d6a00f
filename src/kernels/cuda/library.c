#include "kernels/cuda/library.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

um_cudnn_library um_cudnn;
um_cublaslt_library um_cublaslt;

typedef struct member {
    const char *name;
    size_t at; /* of the pointer in its struct */
} member;

#define CUDNN_MEMBER(name) {#name, offsetof(um_cudnn_library, name)},
#define CUBLASLT_MEMBER(name) {#name, offsetof(um_cublaslt_library, name)},
static const member cudnn_members[] = {UM_CUDNN_FUNCTIONS(CUDNN_MEMBER)};
static const member cublaslt_members[] = {UM_CUBLASLT_FUNCTIONS(CUBLASLT_MEMBER)};

/* The first of the names that loads. */
static void *open_any(const char *const *names, size_t n)
{
    void *handle = NULL;
    for (size_t i = 0; i < n && !handle; i++)
        handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    return handle;
}

/* Libraries stay loaded: CUDA's do not survive being unloaded. */
static um_status load(void *library, const char *const *names, size_t n_names, const member *members, size_t n_members)
{
    void *handle = open_any(names, n_names);
    if (!handle)
        return um_fail(UM_E_UNSUPPORTED,
            "backend cuda needs %s: %.160s; set LD_LIBRARY_PATH to its folder, or use --backend cpu", names[0], dlerror());
    for (size_t i = 0; i < n_members; i++) {
        void *function = dlsym(handle, members[i].name);
        if (!function)
            return um_fail(UM_E_UNSUPPORTED, "%s has no %s: it is too old for this build", names[0], members[i].name);
        memcpy((char *)library + members[i].at, &function, sizeof function);
    }
    return UM_OK;
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
