#include "nn/graph.h"

/* Scores and sums of one image: two products of T x T x D forward, four backward. */
static double attention_flops(const um_tensor *q, double products)
{
    double tokens = (double)(q->h * q->w);
    return 2.0 * products * tokens * tokens * (double)q->c;
}

/* Multiply-adds of one image times two; 0 for ops that are neither convolutions nor matrix products. */
static double node_flops(const um_graph *g, const um_node *node)
{
    const um_tensor *big, *w;
    switch (node->op) {
    case UM_OP_CONV_FWD: /* y has as many pixels as products per tap */
    case UM_OP_CONVT_BWD_DATA:
        big = &g->tensors[node->out[0]], w = &g->tensors[node->in[1]];
        break;
    case UM_OP_CONV_BWD_DATA:
        big = &g->tensors[node->in[0]], w = &g->tensors[node->in[1]];
        break;
    case UM_OP_CONVT_FWD:
        big = &g->tensors[node->in[0]], w = &g->tensors[node->in[1]];
        break;
    case UM_OP_CONV_BWD_WEIGHT:
        big = &g->tensors[node->in[1]], w = &g->tensors[node->out[0]];
        break;
    case UM_OP_CONVT_BWD_WEIGHT:
        big = &g->tensors[node->in[0]], w = &g->tensors[node->out[0]];
        break;
    case UM_OP_ATTENTION_FWD:
        return attention_flops(&g->tensors[node->in[0]], 2);
    case UM_OP_ATTENTION_BWD:
        return attention_flops(&g->tensors[node->in[0]], 4);
    default:
        return 0;
    }
    return 2.0 * (double)(big->h * big->w) * (double)(w->n * w->h * w->w * w->c);
}

double um_graph_flops(const um_graph *g, int first, int last)
{
    double sum = 0;
    for (int i = first; i < last && i < g->n_nodes; i++)
        sum += node_flops(g, &g->nodes[i]);
    return sum;
}
