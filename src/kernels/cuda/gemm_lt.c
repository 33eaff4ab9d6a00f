/* Matrix products by cuBLASLt (gemm.h). The library is column-major: a row-major C = A B is its C^T = B^T A^T, so operands change
 * places. */
#include <string.h>

#include "base/mem.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/library.h"

enum { WORKSPACE_BYTES = 32 << 20, MAX_KNOWN = 128 };

/* A product that was seen, and how it is done. */
typedef struct known {
    um_gemm_call key; /* pointers NULL, factors 0 */
    uint32_t align;   /* of all operands and their rows, bytes: 4 or 16 */
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algo;
} known;

struct um_gemm {
    um_dev *dev;
    cublasLtHandle_t handle;
    um_precision precision;
    void *workspace;
    known list[MAX_KNOWN];
    int n;
};

#define TRY_LT(call)                                                                                                     \
    do {                                                                                                                 \
        cublasStatus_t lt_error = (call);                                                                                \
        if (lt_error != CUBLAS_STATUS_SUCCESS) {                                                                         \
            rc = um_fail(UM_E_DEVICE, "cuBLASLt: %s: %s", #call, um_cublaslt.cublasLtGetStatusString(lt_error));                       \
            goto done;                                                                                                   \
        }                                                                                                                \
    } while (0)

static void known_free(known *k)
{
    if (k->a)
        (void)um_cublaslt.cublasLtMatrixLayoutDestroy(k->a);
    if (k->b)
        (void)um_cublaslt.cublasLtMatrixLayoutDestroy(k->b);
    if (k->c)
        (void)um_cublaslt.cublasLtMatrixLayoutDestroy(k->c);
    if (k->op)
        (void)um_cublaslt.cublasLtMatmulDescDestroy(k->op);
}

um_status um_gemm_create(um_gemm **out, um_dev *dev, um_precision precision)
{
    um_status rc = UM_OK;
    um_gemm *g = NULL;
    UM_TRY(UM_NEW(g));
    g->dev = dev;
    g->precision = precision;
    UM_TRY(um_cublaslt_load());
    TRY_LT(um_cublaslt.cublasLtCreate(&g->handle));
    UM_TRY(um_dev_alloc(dev, &g->workspace, WORKSPACE_BYTES));
    *out = g;
    g = NULL;
done:
    um_gemm_free(g);
    return rc;
}

void um_gemm_free(um_gemm *g)
{
    if (!g)
        return;
    for (int i = 0; i < g->n; i++)
        known_free(&g->list[i]);
    if (g->handle)
        (void)um_cublaslt.cublasLtDestroy(g->handle);
    um_dev_free(g->dev, g->workspace);
    um_free(g);
}

/* A matrix that is stored row-major as rows x cols, as the library sees it: its transpose, column-major. */
static um_status layout(cublasLtMatrixLayout_t *out, int64_t rows, int64_t cols, int64_t ld, int64_t batch, int64_t stride)
{
    um_status rc = UM_OK;
    int32_t count = (int32_t)batch;
    TRY_LT(um_cublaslt.cublasLtMatrixLayoutCreate(out, CUDA_R_32F, (uint64_t)cols, (uint64_t)rows, ld));
    TRY_LT(um_cublaslt.cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count));
    TRY_LT(um_cublaslt.cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride));
done:
    return rc;
}

static um_status describe(known *k, um_precision precision)
{
    um_status rc = UM_OK;
    const um_gemm_call *o = &k->key;
    cublasOperation_t first = o->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N, second = o->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasComputeType_t type = precision == UM_PRECISION_FP32 ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_FAST_TF32;
    TRY_LT(um_cublaslt.cublasLtMatmulDescCreate(&k->op, type, CUDA_R_32F));
    TRY_LT(um_cublaslt.cublasLtMatmulDescSetAttribute(k->op, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first));
    TRY_LT(um_cublaslt.cublasLtMatmulDescSetAttribute(k->op, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second));
    UM_TRY(layout(&k->a, o->trans_a ? o->k : o->m, o->trans_a ? o->m : o->k, o->lda, o->batch, o->stride_a));
    UM_TRY(layout(&k->b, o->trans_b ? o->n : o->k, o->trans_b ? o->k : o->n, o->ldb, o->batch, o->stride_b));
    UM_TRY(layout(&k->c, o->m, o->n, o->ldc, o->batch, o->stride_c));
done:
    return rc;
}

/* The library's first choice without sums split between blocks. */
static um_status choose(um_gemm *g, known *k)
{
    um_status rc = UM_OK;
    cublasLtMatmulPreference_t wish = NULL;
    cublasLtMatmulHeuristicResult_t found;
    size_t bytes = WORKSPACE_BYTES;
    uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE, align = k->align;
    int n = 0;
    TRY_LT(um_cublaslt.cublasLtMatmulPreferenceCreate(&wish));
    TRY_LT(um_cublaslt.cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes));
    TRY_LT(um_cublaslt.cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction,
        sizeof reduction));
    TRY_LT(um_cublaslt.cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &align,
        sizeof align));
    TRY_LT(um_cublaslt.cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &align,
        sizeof align));
    TRY_LT(um_cublaslt.cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &align,
        sizeof align));
    TRY_LT(um_cublaslt.cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &align,
        sizeof align));
    TRY_LT(um_cublaslt.cublasLtMatmulAlgoGetHeuristic(g->handle, k->op, k->b, k->a, k->c, k->c, wish, 1, &found, &n));
    if (n < 1)
        UM_TRY(um_fail(UM_E_DEVICE, "cuBLASLt has no algorithm for %lldx%lldx%lld, %lld times", (long long)k->key.m,
            (long long)k->key.n,
                       (long long)k->key.k, (long long)k->key.batch));
    k->algo = found.algo;
done:
    if (wish)
        (void)um_cublaslt.cublasLtMatmulPreferenceDestroy(wish);
    return rc;
}

static um_gemm_call key_of(const um_gemm_call *o)
{
    um_gemm_call k;
    memset(&k, 0, sizeof k);
    k.trans_a = o->trans_a, k.trans_b = o->trans_b;
    k.m = o->m, k.n = o->n, k.k = o->k, k.batch = o->batch;
    k.lda = o->lda, k.ldb = o->ldb, k.ldc = o->ldc;
    k.stride_a = o->stride_a, k.stride_b = o->stride_b, k.stride_c = o->stride_c;
    return k;
}

static uint32_t alignment_of(const um_gemm_call *o)
{
    uintptr_t bits = (uintptr_t)o->a | (uintptr_t)o->b | (uintptr_t)o->c;
    bits |= 4 * (uintptr_t)(o->lda | o->ldb | o->ldc | o->stride_a | o->stride_b | o->stride_c);
    return bits % 16 == 0 ? 16 : 4;
}

static um_status look_up(um_gemm *g, const um_gemm_call *o, known **out)
{
    um_status rc = UM_OK;
    um_gemm_call key = key_of(o);
    uint32_t align = alignment_of(o);
    for (int i = 0; i < g->n; i++)
        if (g->list[i].align == align && memcmp(&g->list[i].key, &key, sizeof key) == 0) {
            *out = &g->list[i];
            return UM_OK;
        }
    if (g->n == MAX_KNOWN) /* networks have a handful */
        known_free(&g->list[--g->n]);
    known *k = &g->list[g->n];
    memset(k, 0, sizeof *k);
    k->key = key;
    k->align = align;
    UM_TRY(describe(k, g->precision));
    UM_TRY(choose(g, k));
    g->n++;
    *out = k;
done:
    if (rc != UM_OK)
        known_free(&g->list[g->n]);
    return rc;
}

um_status um_gemm_run(um_gemm *g, const um_gemm_call *o)
{
    um_status rc = UM_OK;
    known *k = NULL;
    UM_TRY(look_up(g, o, &k));
    TRY_LT(um_cublaslt.cublasLtMatmul(g->handle, k->op, &o->alpha, o->b, k->b, o->a, k->a, &o->beta, o->c, k->c, o->c, k->c,
        &k->algo, g->workspace,
                          WORKSPACE_BYTES, (cudaStream_t)um_dev_stream(g->dev)));
done:
    return rc;
}
