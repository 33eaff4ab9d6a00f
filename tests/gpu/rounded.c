#include "gpu/rounded.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BITS_BF16 = 8, BITS_TF32 = 11, BITS_F32 = 24, BITS_F64 = 53 }; /* of the significand, the leading one included */

/* The node at hand, for a backend whose calls do not say it. */
static struct {
    const um_backend_iface *exact;
    const um_graph *stored;
    const um_node *node;
    um_precision precision;
} current;

static double round_to(double v, int bits)
{
    int e;
    if (v == 0 || !isfinite(v) || bits == BITS_F64)
        return v;
    (void)frexp(v, &e);
    v = ldexp(v, bits - e);
    return ldexp(bits == BITS_TF32 ? round(v) : rint(v), e - bits); /* tf32: ties away from zero; others to even */
}

static void round_view(const um_view *v, int bits)
{
    for (int64_t p = 0; p < um_view_pixels(v); p++)
        for (int64_t k = 0; k < v->c; k++) {
            double *at = (double *)v->data + p * v->ld + k;
            *at = round_to(*at, bits);
        }
}

static int stored_bits(um_tid t)
{
    switch (current.stored->tensors[t].dtype) {
    case UM_BF16: return BITS_BF16;
    case UM_F32: return BITS_F32;
    default: return BITS_F64;
    }
}

static bool is_product(um_op op)
{
    return op <= UM_OP_CONVT_BWD_WEIGHT || op == UM_OP_ATTENTION_FWD || op == UM_OP_ATTENTION_BWD;
}

/* Convolutions with bf16 on both sides multiply in it; everything else does in tf32, or f32. */
static int product_bits(const um_node *node)
{
    bool weight = node->op == UM_OP_CONV_BWD_WEIGHT || node->op == UM_OP_CONVT_BWD_WEIGHT;
    bool conv = node->op <= UM_OP_CONVT_BWD_WEIGHT;
    if (current.precision == UM_PRECISION_FP32)
        return BITS_F32;
    if (conv && stored_bits(node->in[0]) == BITS_BF16 && stored_bits(weight ? node->in[1] : node->out[0]) == BITS_BF16)
        return BITS_BF16;
    return BITS_TF32;
}

/* The operands of a product as copies; a bias (in[2] of a convolution) is added, not multiplied. */
static void copy_operands(um_op_call *call, const um_node *node, void **copies)
{
    int bits = product_bits(node), n = node->op <= UM_OP_CONVT_BWD_WEIGHT ? 2 : UM_OP_MAX_IN;
    for (int k = 0; k < n; k++) {
        um_view *v = &call->in[k];
        size_t bytes = v->data ? (size_t)((um_view_pixels(v) - 1) * v->ld + v->c) * sizeof(double) : 0;
        if (!v->data)
            continue;
        copies[k] = malloc(bytes);
        assert_non_null(copies[k]);
        memcpy(copies[k], v->data, bytes);
        v->data = copies[k];
        round_view(v, bits);
    }
}

static void round_outputs(const um_op_call *call)
{
    for (int k = 0; k < UM_OP_MAX_OUT; k++)
        if (call->out[k].data && call->out[k].dtype == UM_F64 && current.node->out[k] >= 0)
            round_view(&call->out[k], stored_bits(current.node->out[k]));
}

static void add_to(const um_view *to, const double *more)
{
    for (int64_t p = 0; p < um_view_pixels(to); p++)
        for (int64_t k = 0; k < to->c; k++)
            ((double *)to->data)[p * to->ld + k] += more[p * to->ld + k];
}

/* The backend adds a bias in f32 before it stores a result, and what was there to one that is already stored. */
static um_status run_conv(um_backend *b, um_op op, const um_op_call *call)
{
    um_op_call own = *call;
    const um_view *to = &call->out[0];
    size_t bytes = (size_t)((um_view_pixels(to) - 1) * to->ld + to->c) * sizeof(double);
    void *copies[UM_OP_MAX_IN] = {0}, *before = malloc(bytes);
    assert_non_null(before);
    memcpy(before, to->data, bytes);
    copy_operands(&own, current.node, copies);
    own.accumulate = false;
    um_status rc = current.exact->run(b, op, &own);
    round_view(to, BITS_F32);
    round_outputs(call);
    if (call->accumulate)
        add_to(to, before);
    for (int k = 0; k < UM_OP_MAX_IN; k++)
        free(copies[k]);
    free(before);
    return rc;
}

static um_status run(um_backend *b, um_op op, const um_op_call *call)
{
    um_op_call own = *call;
    void *copies[UM_OP_MAX_IN] = {0};
    um_status rc;
    if (op <= UM_OP_CONVT_BWD_WEIGHT) {
        rc = run_conv(b, op, call);
    } else {
        if (is_product(op))
            copy_operands(&own, current.node, copies);
        rc = current.exact->run(b, op, &own);
        for (int k = 0; k < UM_OP_MAX_IN; k++)
            free(copies[k]);
    }
    round_outputs(call);
    return rc;
}

double rounded_run(test_net *net, const um_graph *stored, um_precision precision, int64_t n, int lanes)
{
    um_batch batch;
    double loss[3];
    um_backend_iface rounding = *net->backend->iface;
    um_batch_set(&batch, n, lanes);
    assert_int_equal(net->graph->n_nodes, stored->n_nodes);
    current.exact = net->backend->iface;
    current.stored = stored;
    current.precision = precision;
    rounding.run = run;
    net->backend->iface = &rounding;
    for (int i = 0; i < stored->n_nodes; i++) {
        current.node = &stored->nodes[i];
        assert_int_equal(net->graph->nodes[i].op, current.node->op);
        assert_ok(um_exec_run(net->exec, &batch, i, i + 1));
    }
    net->backend->iface = current.exact;
    assert_ok(um_exec_download(net->exec, net->loss, loss, 1));
    return loss[0];
}
