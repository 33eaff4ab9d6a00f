#include "bench/roofline.h"

typedef struct device {
    const char *name;
    double bandwidth;   /* bytes/s: device-to-device copy, read and written bytes counted */
    double rate[3];     /* FLOP/s of products by um_precision */
} device;

/* H100, H200: copy and bf16 product as measured by others on such machines; tf32 half of bf16, fp32 without tensor cores, and all
 * of the A100
 * from the vendor's data sheets, times 0.8. Leads, to be replaced by what `umed bench step --backend cuda` measures. */
static const device devices[] = {
    {"H100", 3.0e12, {53e12, 380e12, 780e12}},
    {"H200", 4.3e12, {53e12, 380e12, 780e12}},
    {"A100", 1.6e12, {15e12, 125e12, 250e12}},
};

static double view_bytes(const um_view *v)
{
    return (double)um_view_count(v) * (double)um_dtype_bytes(v->dtype);
}

static bool is_conv(um_op op)
{
    return op <= UM_OP_CONVT_BWD_WEIGHT;
}

/* x and y of a convolution or of a transposed one, and its filters. */
static void sides(um_op op, const um_op_call *call, const um_view **a, const um_view **b, const um_view **w)
{
    bool weight = op == UM_OP_CONV_BWD_WEIGHT || op == UM_OP_CONVT_BWD_WEIGHT;
    *a = &call->in[0];
    *b = weight ? &call->in[1] : &call->out[0];
    *w = weight ? &call->out[0] : &call->in[1];
}

static bool is_narrow(um_op op, const um_op_call *call)
{
    const um_view *a, *b, *w;
    sides(op, call, &a, &b, &w);
    return is_conv(op) && a->dtype == UM_BF16 && b->dtype == UM_BF16;
}

/* Filters are repacked; where one side is f32 and the other is not, the narrow one passes through an f32 copy. */
static double conv_extra(um_op op, const um_op_call *call)
{
    const um_view *a, *b, *w;
    sides(op, call, &a, &b, &w);
    double bytes = 2 * view_bytes(w) * (is_narrow(op, call) ? 0.5 : 1);
    if (a->dtype != b->dtype)
        bytes += 2 * 2 * view_bytes(a->dtype == UM_BF16 ? a : b);
    return bytes;
}

double um_call_bytes(um_op op, const um_op_call *call)
{
    bool twice = call->accumulate || um_op_table[op].flags & UM_OPF_U;
    double bytes = 0;
    for (int k = 0; k < UM_OP_MAX_IN; k++)
        bytes += view_bytes(&call->in[k]);
    for (int k = 0; k < UM_OP_MAX_OUT; k++)
        bytes += view_bytes(&call->out[k]) * (twice ? 2 : 1);
    if (op == UM_OP_GATHER) /* as many rows of the data as the batch has images */
        bytes -= view_bytes(&call->in[0]) * (1 - (double)call->out[0].n / (double)call->in[0].n);
    if (op == UM_OP_NORM_FWD && call->attr.norm.groups)
        bytes += view_bytes(&call->in[0]); /* sums first, then the result */
    return is_conv(op) ? bytes + conv_extra(op, call) : bytes;
}

static um_view view_of(const um_graph *g, um_tid t, int64_t n)
{
    if (t < 0)
        return (um_view){0};
    const um_tensor *q = &g->tensors[t];
    return (um_view){NULL, q->dtype, q->batched ? n : q->n, q->h, q->w, q->c, g->tensors[um_graph_root(g, t)].c};
}

um_node_cost um_node_cost_of(const um_graph *g, const um_node *node, int64_t n)
{
    um_op_call call = {.attr = node->attr, .accumulate = node->accumulate};
    int i = (int)(node - g->nodes);
    for (int k = 0; k < UM_OP_MAX_IN; k++)
        call.in[k] = view_of(g, node->in[k], n);
    for (int k = 0; k < UM_OP_MAX_OUT; k++)
        call.out[k] = view_of(g, node->out[k], n);
    return (um_node_cost){um_call_bytes(node->op, &call), (double)n * um_graph_flops(g, i, i + 1), is_narrow(node->op, &call)};
}

static double node_seconds(const device *d, const um_node_cost *c, um_precision precision)
{
    um_precision of_product = c->narrow ? UM_PRECISION_BF16 : precision == UM_PRECISION_FP32 ? UM_PRECISION_FP32
        : UM_PRECISION_TF32;
    double by_bytes = c->bytes / d->bandwidth, by_flops = c->flops / d->rate[of_product];
    return by_bytes > by_flops ? by_bytes : by_flops;
}

typedef struct op_row {
    int nodes;
    double bytes, flops, seconds;
} op_row;

static op_row total_of(const um_graph *g, int64_t n, um_precision precision, const device *d, op_row rows[UM_OP_COUNT])
{
    op_row total = {0};
    for (int i = 0; i < g->n_nodes; i++) {
        um_node_cost c = um_node_cost_of(g, &g->nodes[i], n);
        op_row *row = &rows[g->nodes[i].op], one = {1, c.bytes, c.flops, node_seconds(d, &c, precision)};
        row->nodes += one.nodes, row->bytes += one.bytes, row->flops += one.flops, row->seconds += one.seconds;
        total.nodes += one.nodes, total.bytes += one.bytes, total.flops += one.flops, total.seconds += one.seconds;
    }
    return total;
}

static um_status print_row(um_text *out, const char *name, const op_row *r, double total)
{
    return um_text_add(out, "%-18s %5d %11.1f %11.1f %10.3f %6.1f%%\n", name, r->nodes, 1e-9 * r->flops, 1e-6 * r->bytes,
        1e3 * r->seconds,
                       100 * r->seconds / total);
}

um_status um_roofline_print(const um_graph *g, int64_t n, um_precision precision, um_text *out)
{
    um_status rc = UM_OK;
    op_row rows[UM_OP_COUNT] = {{0}};
    bool shown[UM_OP_COUNT] = {false};
    op_row total = total_of(g, n, precision, &devices[0], rows);
    UM_TRY(um_text_add(out, "%-18s %5s %11s %11s %10s %7s   (%s)\n", "op", "nodes", "GFLOP", "MB", "ms", "share", devices[0].name));
    for (int k = 0; k < UM_OP_COUNT; k++) {
        int best = -1;
        for (int op = 0; op < UM_OP_COUNT; op++)
            if (!shown[op] && rows[op].nodes > 0 && (best < 0 || rows[op].seconds > rows[best].seconds))
                best = op;
        if (best < 0)
            break;
        shown[best] = true;
        UM_TRY(print_row(out, um_op_table[best].name, &rows[best], total.seconds));
    }
    UM_TRY(print_row(out, "step", &total, total.seconds));
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        op_row unused[UM_OP_COUNT] = {{0}}, t = total_of(g, n, precision, &devices[i], unused);
        UM_TRY(um_text_add(out, "%s at %.1f TB/s and %.0f TFLOP/s: at least %.2f ms per step, %.0f images/s\n", devices[i].name,
                           1e-12 * devices[i].bandwidth, 1e-12 * devices[i].rate[precision], 1e3 * t.seconds,
                               (double)n / t.seconds));
    }
done:
    return rc;
}
