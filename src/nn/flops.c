#include "nn/graph.h"

/* Multiply-adds of one image times two; 0 for ops that are not convolutions. */
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
