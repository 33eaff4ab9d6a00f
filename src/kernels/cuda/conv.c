/* Convolutions: from an op's call to a problem of dnn.h and back. Filters are repacked at every call (31 million weights of a full
 * U-Net are 0.2 GB of traffic beside 20 GB of a step); activations only where the library cannot take them as they are: other
 * types on both sides, channels that do not
 * fill a tensor-core operand, slices that no engine accepts, or results that are added to what is there.
 *
 * bf16 precision: both sides bf16, or f32 with operands rounded to tf32 where one side is f32 (the image and the first layer, whose
 * result becomes bf16 on its way to memory if an engine does that; logits).
 *
 * A transposed convolution 2x2 of x to y is the data gradient of a convolution with stride 2 from y to x, with the same filter. */
#include <inttypes.h>
#include <string.h>

#include "kernels/cuda/table.h"

enum { PART_ALIGN = 256, PIECE = 16 };

/* What of a call the library sees, and where in the workspace. */
typedef struct job {
    um_dnn_conv conv;
    um_filter_shape filter;
    um_view x, y, w;             /* the call's operands, x and y in the roles of um_dnn_conv */
    bool adds;                   /* the result is added to what is there */
    bool copy_x, copy_y;         /* through the workspace */
    bool bias;                   /* the call has one; conv.bias: the library adds it */
    size_t x_at, y_at, w_at, bias_at, dnn_at, bytes, dnn_bytes;
} job;

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

static void assign_roles(job *j, const um_op_call *call, um_op op)
{
    const um_view *in = call->in, *out = call->out;
    switch (op) {
    case UM_OP_CONV_FWD: j->x = in[0], j->w = in[1], j->y = out[0], j->conv.op = UM_DNN_FWD; break;
    case UM_OP_CONV_BWD_DATA: j->y = in[0], j->w = in[1], j->x = out[0], j->conv.op = UM_DNN_DATA; break;
    case UM_OP_CONV_BWD_WEIGHT: j->x = in[0], j->y = in[1], j->w = out[0], j->conv.op = UM_DNN_WEIGHT; break;
    case UM_OP_CONVT_FWD: j->y = in[0], j->w = in[1], j->x = out[0], j->conv.op = UM_DNN_DATA; break;
    case UM_OP_CONVT_BWD_DATA: j->x = in[0], j->w = in[1], j->y = out[0], j->conv.op = UM_DNN_FWD; break;
    default: j->y = in[0], j->x = in[1], j->w = out[0], j->conv.op = UM_DNN_WEIGHT; break;
    }
    j->filter.outer = op == UM_OP_CONVT_FWD || op == UM_OP_CONVT_BWD_DATA || op == UM_OP_CONVT_BWD_WEIGHT;
    j->adds = call->accumulate;
    j->bias = (op == UM_OP_CONV_FWD || op == UM_OP_CONVT_FWD) && in[2].c > 0;
}

/* Channels that one operand of a tensor core holds; without tensor cores nothing is padded. */
static int64_t channel_unit(um_precision precision, um_dtype type)
{
    return type == UM_BF16 ? 8 : precision == UM_PRECISION_FP32 ? 1 : 4;
}

/* Pixels that do not begin on an operand of a tensor core, and slices that may begin anywhere: the library reads 16 bytes at once. Where
 * widths fill these, so do the places where slices begin. */
static bool is_crooked(const um_view *v, int64_t unit)
{
    int64_t piece = PIECE / (int64_t)um_dtype_bytes(v->dtype);
    return v->ld % unit != 0 || (v->ld != v->c && (v->c % piece != 0 || v->ld % piece != 0));
}

static void describe(job *j, um_precision precision, const um_op_call *call, um_op op)
{
    um_dnn_conv *c = &j->conv;
    assign_roles(j, call, op);
    bool outer = j->filter.outer;
    c->type = j->x.dtype == UM_BF16 && j->y.dtype == UM_BF16 ? UM_BF16 : UM_F32;
    c->result_type = c->op == UM_DNN_WEIGHT ? UM_F32 : c->type;
    int64_t unit = channel_unit(precision, c->type);
    j->filter.taps = outer ? j->w.h * j->w.w : j->w.n * j->w.h;
    j->filter.c = j->x.c;
    j->filter.k = j->y.c;
    j->filter.c_pad = round_up(j->x.c, unit);
    j->filter.k_pad = round_up(j->y.c, unit);
    c->n = j->x.n, c->h = j->x.h, c->w = j->x.w, c->c = j->filter.c_pad;
    c->p = j->y.h, c->q = j->y.w, c->k = j->filter.k_pad;
    c->r = outer ? j->w.h : j->w.n;
    c->s = outer ? j->w.w : j->w.h;
    c->stride = outer ? 2 : call->attr.conv.stride;
    c->pad = outer ? 0 : call->attr.conv.pad;
    j->copy_x = j->x.dtype != c->type || j->x.c != c->c || is_crooked(&j->x, unit) || (c->op == UM_DNN_DATA && j->adds);
    j->copy_y = j->y.dtype != c->type || j->y.c != c->k || is_crooked(&j->y, unit) || (c->op == UM_DNN_FWD && j->adds);
}

static void set_pitches(job *j)
{
    j->conv.ld_x = j->copy_x ? j->conv.c : j->x.ld;
    j->conv.ld_y = j->copy_y ? j->conv.k : j->y.ld;
}

/* May the library add the bias? It has no bias for channels that only fill an operand up. */
static bool bias_fits(const job *j)
{
    return j->bias && (j->conv.op == UM_DNN_FWD ? j->y.c == j->conv.k : j->x.c == j->conv.c);
}

/* Is it a copy because of its type alone that stands between the library and y? */
static bool converts(const job *j)
{
    int64_t unit = channel_unit(UM_PRECISION_BF16, UM_BF16);
    return j->conv.op == UM_DNN_FWD && !j->adds && j->conv.type == UM_F32 && j->y.dtype == UM_BF16 && j->y.c == j->conv.k && !is_crooked(&j->y, unit);
}

/* One way to pose the problem. */
typedef struct manner {
    bool plain;    /* the bias is added afterwards */
    bool dense;    /* no slices */
    bool narrow;   /* gradients of bf16 filters in bf16 */
    bool straight; /* y is written in its own type */
} manner;

static bool makes_sense(const job *j, const manner *m)
{
    bool slices = (!j->copy_x && j->x.ld != j->x.c) || (!j->copy_y && j->y.ld != j->y.c);
    return (m->plain || bias_fits(j)) && (!m->dense || slices) && (!m->narrow || (j->conv.op == UM_DNN_WEIGHT && j->conv.type == UM_BF16)) &&
           (!m->straight || converts(j));
}

/* Asks the library, in the order of what a refusal costs. */
static um_status consult(um_cuda *cu, job *j)
{
    um_status rc = UM_OK;
    bool supported = false;
    const job asked = *j;
    for (int attempt = 0; attempt < 16 && !supported; attempt++) {
        const manner m = {.plain = attempt & 1, .dense = attempt & 2, .narrow = attempt & 4, .straight = !(attempt & 8)};
        if (!makes_sense(&asked, &m))
            continue;
        *j = asked;
        j->copy_x = asked.copy_x || (m.dense && j->x.ld != j->x.c);
        j->copy_y = (asked.copy_y && !m.straight) || (m.dense && j->y.ld != j->y.c);
        j->conv.result_type = m.narrow || m.straight ? UM_BF16 : asked.conv.result_type;
        j->conv.bias = !m.plain;
        set_pitches(j);
        UM_TRY(um_dnn_prepare(cu->dnn, &j->conv, &supported, &j->dnn_bytes));
    }
    if (!supported)
        rc = um_fail(UM_E_UNSUPPORTED,
                     "no engine of cuDNN for a convolution %" PRId64 "x%" PRId64 ", stride %" PRId64 ", of [%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64
                     "] to %" PRId64 " channels in %s", j->conv.r, j->conv.s, j->conv.stride, j->conv.n, j->conv.h, j->conv.w,
                         j->conv.c, j->conv.k,
                     j->conv.type == UM_BF16 ? "bf16" : "f32");
done:
    return rc;
}

static size_t take(size_t *at, size_t bytes)
{
    size_t here = *at;
    *at += (bytes + PART_ALIGN - 1) / PART_ALIGN * PART_ALIGN;
    return here;
}

static um_status job_of(job *j, um_cuda *cu, const um_op_call *call, um_op op)
{
    um_status rc = UM_OK;
    memset(j, 0, sizeof *j);
    describe(j, cu->precision, call, op);
    UM_TRY(consult(cu, j));
    const um_dnn_conv *c = &j->conv;
    size_t size = um_dtype_bytes(c->type);
    j->x_at = take(&j->bytes, j->copy_x ? (size_t)(c->n * c->h * c->w * c->c) * size : 0);
    j->y_at = take(&j->bytes, j->copy_y ? (size_t)(c->n * c->p * c->q * c->k) * size : 0);
    j->w_at = take(&j->bytes, (size_t)(c->k * c->r * c->s * c->c) * um_dtype_bytes(c->op == UM_DNN_WEIGHT ? c->result_type : c->type));
    j->bias_at = take(&j->bytes, c->bias ? (size_t)(c->op == UM_DNN_FWD ? c->k : c->c) * sizeof(float) : 0);
    j->dnn_at = take(&j->bytes, j->dnn_bytes);
done:
    return rc;
}

/* The dense copy of a side in the workspace. */
static um_view copy_of(const job *j, const um_op_call *call, bool is_x)
{
    const um_dnn_conv *c = &j->conv;
    int64_t channels = is_x ? c->c : c->k;
    return (um_view){(char *)call->workspace + (is_x ? j->x_at : j->y_at), c->type, c->n, is_x ? c->h : c->p, is_x ? c->w : c->q,
        channels, channels};
}

/* No graph has such slices: parts of a concatenation begin where others end. */
static um_status check_address(const um_view *v, const char *op)
{
    if ((uintptr_t)v->data % PIECE != 0)
        return um_fail(UM_E_UNSUPPORTED,
            "%s: a slice of %" PRId64 " channels does not begin on 16 bytes; concatenate widths that are multiples of 8", op, v->c);
    return UM_OK;
}

static um_status give(um_cuda *cu, const job *j, const um_op_call *call, bool is_x, const char *op, um_view *out)
{
    um_status rc = UM_OK;
    const um_view *v = is_x ? &j->x : &j->y;
    *out = *v;
    if (is_x ? j->copy_x : j->copy_y) {
        *out = copy_of(j, call, is_x);
        bool written = is_x ? j->conv.op == UM_DNN_DATA : j->conv.op == UM_DNN_FWD;
        if (!written)
            UM_TRY(um_cuda_move(cu, v, out, false));
    } else {
        UM_TRY(check_address(v, op));
    }
done:
    return rc;
}

/* The result, out of its copy; channels that were padded stay behind. */
static um_status collect(um_cuda *cu, const job *j, const um_view *copy, const um_view *to, bool accumulate)
{
    um_view from = *copy;
    if (from.data == to->data)
        return UM_OK;
    from.c = to->c; /* ld keeps the padding */
    (void)j;
    return um_cuda_move(cu, &from, to, accumulate);
}

/* The bias where the library takes it: parameters may begin anywhere. */
static um_status place_bias(um_cuda *cu, const job *j, const um_op_call *call, const void **bias)
{
    um_status rc = UM_OK;
    const um_view *own = &call->in[2];
    *bias = own->data;
    if (!j->conv.bias || (uintptr_t)own->data % PIECE == 0)
        return UM_OK;
    *bias = (char *)call->workspace + j->bias_at;
    UM_TRY(um_dev_copy(cu->dev, (void *)*bias, own->data, (size_t)own->c * sizeof(float)));
done:
    return rc;
}

static um_status run(um_cuda *cu, const um_op_call *call, um_op op)
{
    um_status rc = UM_OK;
    job j;
    um_view x, y;
    const void *bias = NULL;
    const char *name = um_op_table[op].name;
    UM_TRY(job_of(&j, cu, call, op));
    void *w = (char *)call->workspace + j.w_at, *own = (char *)call->workspace + j.dnn_at;
    UM_TRY(give(cu, &j, call, true, name, &x));
    UM_TRY(give(cu, &j, call, false, name, &y));
    if (j.conv.op != UM_DNN_WEIGHT)
        UM_TRY(um_cuda_filter_pack(cu, &j.filter, j.w.data, w, j.conv.type));
    UM_TRY(place_bias(cu, &j, call, &bias));
    UM_TRY(um_dnn_run(cu->dnn, &j.conv, x.data, w, y.data, bias, own, j.dnn_bytes));
    if (j.conv.op == UM_DNN_WEIGHT)
        UM_TRY(um_cuda_filter_unpack(cu, &j.filter, w, j.conv.result_type, j.w.data, call->accumulate));
    else if (j.conv.op == UM_DNN_FWD)
        UM_TRY(collect(cu, &j, &y, &j.y, call->accumulate));
    else
        UM_TRY(collect(cu, &j, &x, &j.x, call->accumulate));
    if (j.bias && !j.conv.bias)
        UM_TRY(um_cuda_bias_add(cu, &call->out[0], call->in[2].data));
done:
    return rc;
}

static um_status prepare(um_cuda *cu, const um_op_call *call, um_op op, size_t *bytes)
{
    um_status rc = UM_OK;
    job j;
    UM_TRY(job_of(&j, cu, call, op));
    *bytes = j.bytes;
done:
    return rc;
}

#define CONVOLUTION(name, op)                                                  \
    UM_CUDA_PREPARE(name) { return prepare(cu, call, op, bytes); }             \
    UM_CUDA_OP(name) { return run(cu, call, op); }

CONVOLUTION(conv_fwd, UM_OP_CONV_FWD)
CONVOLUTION(conv_bwd_data, UM_OP_CONV_BWD_DATA)
CONVOLUTION(conv_bwd_weight, UM_OP_CONV_BWD_WEIGHT)
CONVOLUTION(convt_fwd, UM_OP_CONVT_FWD)
CONVOLUTION(convt_bwd_data, UM_OP_CONVT_BWD_DATA)
CONVOLUTION(convt_bwd_weight, UM_OP_CONVT_BWD_WEIGHT)
