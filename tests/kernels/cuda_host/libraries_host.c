/* cuDNN and cuBLASLt as plain loops: kernels/cuda/dnn.h and gemm.h by their definitions, f32 operands rounded to tf32 where the precision says so, sums
 * in f64. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/cuda/dnn.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda_host/cuda_host.h"

enum { WORKSPACE = 1000 };

struct um_dnn {
    um_precision precision;
};
struct um_gemm {
    um_precision precision;
};

um_status um_dnn_create(um_dnn **out, um_dev *dev, um_precision precision)
{
    (void)dev;
    um_status rc = UM_NEW(*out);
    if (rc == UM_OK)
        (*out)->precision = precision;
    return rc;
}

void um_dnn_free(um_dnn *d)
{
    um_free(d);
}

um_status um_dnn_prepare(um_dnn *d, const um_dnn_conv *c, bool *supported, size_t *bytes)
{
    int64_t unit = c->type == UM_BF16 ? 8 : d->precision == UM_PRECISION_FP32 ? 1 : 4;
    bool slices = c->ld_x != c->c || c->ld_y != c->k, narrow = c->type == UM_BF16 && c->op == UM_DNN_WEIGHT;
    bool other = c->op != UM_DNN_WEIGHT && c->result_type != c->type;
    bool output = c->p == (c->h + 2 * c->pad - c->r) / c->stride + 1 && c->q == (c->w + 2 * c->pad - c->s) / c->stride + 1;
    if (!output || c->c % unit || c->k % unit || c->ld_x % unit || c->ld_y % unit)
        return um_fail(UM_E_BUG, "a problem that no engine would take");
    *supported = !(um_host_count.refuse_slices && slices) && !(um_host_count.refuse_f32_gradients && narrow && c->result_type == UM_F32) &&
        !(um_host_count.refuse_bias && c->bias) && !(um_host_count.refuse_other_types && other);
    *bytes = *supported ? WORKSPACE : 0;
    um_host_count.prepared += *supported;
    um_host_count.biased += *supported && c->bias;
    um_host_count.converted += *supported && other;
    return UM_OK;
}

/* To 10 bits of mantissa, to the nearest, ties away from zero (cvt.rna.tf32.f32). */
static float to_tf32(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    bits = (bits + 0x1000u) & ~0x1FFFu;
    memcpy(&f, &bits, sizeof bits);
    return f;
}

static double get(const void *p, um_dtype t, bool tf32, int64_t i)
{
    if (t == UM_F32)
        return tf32 ? to_tf32(((const float *)p)[i]) : ((const float *)p)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static void put(void *p, um_dtype t, int64_t i, double v)
{
    float f = (float)v;
    uint32_t bits;
    if (t == UM_F32) {
        ((float *)p)[i] = f;
        return;
    }
    memcpy(&bits, &f, sizeof bits);
    ((uint16_t *)p)[i] = (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

/* Where y's pixel (i, p, q) reads tap (r, s); -1: outside. */
static int64_t tap_pixel(const um_dnn_conv *c, int64_t i, int64_t p, int64_t q, int64_t r, int64_t s)
{
    int64_t row = p * c->stride - c->pad + r, col = q * c->stride - c->pad + s;
    return row < 0 || col < 0 || row >= c->h || col >= c->w ? -1 : (i * c->h + row) * c->w + col;
}

typedef struct conv_job {
    um_dnn_conv conv;
    bool tf32;
    void *x, *w, *y;
    const float *bias;
    void *workspace;
} conv_job;

/* n values of an operand from `at` on, as they are multiplied. */
static void row_of(const void *p, const conv_job *o, int64_t at, int64_t n, double *to)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = get(p, o->conv.type, o->tf32, at + i);
}

/* Every product x * w * y of the problem, added to one of the three. */
static void visit(const conv_job *o, double *sum)
{
    const um_dnn_conv *c = &o->conv;
    double *xs = malloc((size_t)c->c * sizeof *xs), *ys = malloc((size_t)c->k * sizeof *ys),
        *ws = calloc((size_t)(c->k * c->r * c->s * c->c), sizeof *ws);
    if (!xs || !ys || !ws)
        abort();
    if (c->op != UM_DNN_WEIGHT)
        row_of(o->w, o, 0, c->k * c->r * c->s * c->c, ws);
    for (int64_t i = 0; i < c->n * c->p * c->q; i++) {
        if (c->op != UM_DNN_FWD)
            row_of(o->y, o, i * c->ld_y, c->k, ys);
        for (int64_t t = 0; t < c->r * c->s; t++) {
            int64_t from = tap_pixel(c, i / (c->p * c->q), i / c->q % c->p, i % c->q, t / c->s, t % c->s);
            if (from >= 0 && c->op != UM_DNN_DATA)
                row_of(o->x, o, from * c->ld_x, c->c, xs);
            for (int64_t k = 0; from >= 0 && k < c->k; k++) {
                int64_t wi = (k * c->r * c->s + t) * c->c;
                for (int64_t l = 0; l < c->c; l++)
                    if (c->op == UM_DNN_FWD)
                        sum[i * c->k + k] += xs[l] * ws[wi + l];
                    else if (c->op == UM_DNN_DATA)
                        sum[from * c->c + l] += ys[k] * ws[wi + l];
                    else
                        sum[wi + l] += ys[k] * xs[l];
            }
        }
    }
    free(xs);
    free(ys);
    free(ws);
}

static void run_conv(const void *job)
{
    const conv_job *o = job;
    const um_dnn_conv *c = &o->conv;
    int64_t rows = c->op == UM_DNN_FWD ? c->n * c->p * c->q : c->op == UM_DNN_DATA ? c->n * c->h * c->w : c->k * c->r * c->s;
    int64_t width = c->op == UM_DNN_FWD ? c->k : c->c, ld = c->op == UM_DNN_FWD ? c->ld_y : c->op == UM_DNN_DATA ? c->ld_x : c->c;
    double *sum = calloc((size_t)(rows * width), sizeof *sum);
    if (!sum)
        abort();
    memset(o->workspace, 0x7E, WORKSPACE);
    visit(o, sum);
    for (int64_t i = 0; i < rows * width; i++)
        put(c->op == UM_DNN_FWD ? o->y : c->op == UM_DNN_DATA ? o->x : o->w, c->result_type,
            i / width * ld + i % width, sum[i] + (c->bias ? (double)o->bias[i % width] : 0));
    free(sum);
}

um_status um_dnn_run(um_dnn *d, const um_dnn_conv *c, void *x, void *w, void *y, const void *bias, void *workspace,
    size_t bytes)
{
    um_status rc = UM_OK;
    UM_REQUIRE(bytes == WORKSPACE && (!c->bias || (bias && (uintptr_t)bias % 16 == 0 && c->op != UM_DNN_WEIGHT)));
    um_host_launch(run_conv, &(conv_job){*c, d->precision != UM_PRECISION_FP32, x, w, y, bias, workspace}, sizeof(conv_job));
done:
    return rc;
}

um_status um_gemm_create(um_gemm **out, um_dev *dev, um_precision precision)
{
    (void)dev;
    um_status rc = UM_NEW(*out);
    if (rc == UM_OK)
        (*out)->precision = precision;
    return rc;
}

void um_gemm_free(um_gemm *g)
{
    um_free(g);
}

typedef struct gemm_job {
    um_gemm_call call;
    bool tf32;
} gemm_job;

static void run_product(const void *job)
{
    const um_gemm_call *o = &((const gemm_job *)job)->call;
    bool tf32 = ((const gemm_job *)job)->tf32;
    for (int64_t b = 0; b < o->batch; b++)
        for (int64_t i = 0; i < o->m; i++)
            for (int64_t j = 0; j < o->n; j++) {
                const float *a = o->a + b * o->stride_a, *c = o->b + b * o->stride_b;
                float *to = o->c + b * o->stride_c + i * o->ldc + j;
                double sum = 0;
                for (int64_t l = 0; l < o->k; l++)
                    sum += get(a, UM_F32, tf32, o->trans_a ? l * o->lda + i : i * o->lda + l) *
                           get(c, UM_F32, tf32, o->trans_b ? j * o->ldb + l : l * o->ldb + j);
                *to = (float)(o->alpha * sum + (o->beta != 0 ? o->beta * (double)*to : 0));
            }
}

um_status um_gemm_run(um_gemm *g, const um_gemm_call *o)
{
    um_host_launch(run_product, &(gemm_job){*o, g->precision != UM_PRECISION_FP32}, sizeof(gemm_job));
    return UM_OK;
}
