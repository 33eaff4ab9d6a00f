#include "nn/param_layout.h"

/* Where element (a, b, u, v) of the PyTorch shape [A][B][kh][kw] lives in memory. */
static int64_t memory_index(const um_param *q, int64_t a, int64_t b, int64_t u, int64_t v)
{
    int64_t n_a = q->dims[0], n_b = q->dims[1], kh = q->dims[2], kw = q->dims[3];
    if (q->kind == UM_PARAM_CONV) /* [O][I][kh][kw] -> [kh][kw][I][O] */
        return ((u * kw + v) * n_b + b) * n_a + a;
    return ((a * kh + u) * kw + v) * n_b + b; /* [I][O][kh][kw] -> [I][kh][kw][O] */
}

static double get(um_dtype real, const void *memory, int64_t i)
{
    return real == UM_F64 ? ((const double *)memory)[i] : (double)((const float *)memory)[i];
}

static void put(um_dtype real, void *memory, int64_t i, double x)
{
    if (real == UM_F64)
        ((double *)memory)[i] = x;
    else
        ((float *)memory)[i] = (float)x;
}

static bool is_matrix(const um_param *q)
{
    return q->kind == UM_PARAM_CONV || q->kind == UM_PARAM_CONVT;
}

void um_param_to_torch(const um_param *q, um_dtype real, const void *memory, double *torch)
{
    if (!is_matrix(q)) {
        for (int64_t i = 0; i < q->count; i++)
            torch[i] = get(real, memory, i);
        return;
    }
    int64_t i = 0;
    for (int64_t a = 0; a < q->dims[0]; a++)
        for (int64_t b = 0; b < q->dims[1]; b++)
            for (int64_t u = 0; u < q->dims[2]; u++)
                for (int64_t v = 0; v < q->dims[3]; v++)
                    torch[i++] = get(real, memory, memory_index(q, a, b, u, v));
}

void um_param_from_torch(const um_param *q, um_dtype real, const double *torch, void *memory)
{
    if (!is_matrix(q)) {
        for (int64_t i = 0; i < q->count; i++)
            put(real, memory, i, torch[i]);
        return;
    }
    int64_t i = 0;
    for (int64_t a = 0; a < q->dims[0]; a++)
        for (int64_t b = 0; b < q->dims[1]; b++)
            for (int64_t u = 0; u < q->dims[2]; u++)
                for (int64_t v = 0; v < q->dims[3]; v++)
                    put(real, memory, memory_index(q, a, b, u, v), torch[i++]);
}
