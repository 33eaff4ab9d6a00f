#include "train/cost.h"

#include "nn/narrow.h"

um_status um_cost_of_graph(um_cost *out, um_graph *g, um_backend *backend)
{
    um_status rc = UM_OK;
    um_plan *plan = NULL;
    um_graph_narrow(g, backend->store);
    UM_TRY(um_plan_create(&plan, g, backend));
    *out = (um_cost){um_graph_flops(g, 0, g->n_nodes), (double)(plan->arena_bytes + plan->workspace_bytes)};
done:
    um_plan_free(plan);
    return rc;
}

double um_cost_of_params(const um_params *p)
{
    return (double)(UM_BLOCK_COUNT * p->n_values + p->n_buffers) * (double)um_dtype_bytes(p->backend->real);
}
