/* The memory planner, judged from its public arrays and the graph alone. */
#include <string.h>

#include "base/mem.h"
#include "base/threads.h"
#include "nn/net_fixture.h"

static size_t bytes_of(const um_tensor *q)
{
    return (size_t)(q->n * q->h * q->w * q->c) * um_dtype_bytes(q->dtype);
}

/* Life of a root tensor from the nodes: written or read through any of its slices; inputs and kept tensors live to the end. */
typedef struct life { int first, last; } life;

static life life_of(const um_graph *g, um_tid root)
{
    life l = {-1, -1};
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < UM_OP_MAX_IN + UM_OP_MAX_OUT; k++) {
            um_tid t = k < UM_OP_MAX_IN ? g->nodes[i].in[k] : g->nodes[i].out[k - UM_OP_MAX_IN];
            if (t < 0 || um_graph_root(g, t) != root)
                continue;
            l.first = l.first < 0 ? i : l.first;
            l.last = i;
        }
    if (g->tensors[root].kind == UM_T_INPUT)
        l.first = 0;
    if (g->tensors[root].keep)
        l.last = g->n_nodes;
    return l;
}

/* b may start in a's memory only where a node reads a for the last time as in[0], writes b as out[0] and says it can. */
static bool legal_in_place(const um_graph *g, um_tid a, life la, um_tid b, life lb)
{
    if (la.last != lb.first || la.last >= g->n_nodes || g->tensors[a].keep || g->tensors[a].kind != UM_T_ACT)
        return false;
    const um_node *node = &g->nodes[la.last];
    bool again = false;
    for (int k = 1; k < UM_OP_MAX_IN; k++)
        again = again || (node->in[k] >= 0 && um_graph_root(g, node->in[k]) == a);
    return node->in[0] == a && node->out[0] == b && (um_op_table[node->op].flags & UM_OPF_I) && !node->accumulate && !again;
}

static void no_two_live_tensors_overlap(const um_graph *g, const um_plan *p)
{
    life *lives = NULL;
    assert_ok(UM_NEW_ARRAY(lives, g->n_tensors));
    for (um_tid t = 0; t < g->n_tensors; t++) {
        const um_tensor *q = &g->tensors[t];
        bool planned = q->parent < 0 && (q->kind == UM_T_ACT || q->kind == UM_T_INPUT);
        lives[t] = planned ? life_of(g, t) : (life){-1, -1};
        if (lives[t].first >= 0)
            assert_true(p->offset[t] % 64 == 0 && p->offset[t] + bytes_of(q) <= p->arena_bytes);
    }
    for (um_tid a = 0; a < g->n_tensors; a++)
        for (um_tid b = 0; b < g->n_tensors; b++) {
            if (a == b || lives[a].first < 0 || lives[b].first < 0 || lives[a].first > lives[b].first)
                continue;
            bool meet = lives[b].first <= lives[a].last;
            bool overlap =
                p->offset[a] < p->offset[b] + bytes_of(&g->tensors[b]) && p->offset[b] < p->offset[a] + bytes_of(&g->tensors[a]);
            if (meet && overlap && !legal_in_place(g, a, lives[a], b, lives[b]))
                fail_msg("tensors %d (%s) and %d (%s) are alive together in the same memory", a, g->tensors[a].name, b,
                         g->tensors[b].name);
        }
    um_free(lives);
}

static void check_network(const net_spec *spec)
{
    test_net net;
    um_plan *again = NULL;
    net_create(&net, spec);
    const um_plan *p = um_exec_plan(net.exec);
    no_two_live_tensors_overlap(net.graph, p);
    assert_true(p->arena_bytes > 0 && p->arena_bytes * 10 < p->unshared_bytes * 9);
    assert_ok(um_plan_create(&again, net.graph, net.backend));
    assert_int_equal(again->arena_bytes, p->arena_bytes);
    assert_int_equal(again->workspace_bytes, p->workspace_bytes);
    assert_memory_equal(again->offset, p->offset, (size_t)p->n_tensors * sizeof *p->offset);
    assert_memory_equal(again->shares, p->shares, (size_t)p->n_tensors * sizeof *p->shares);
    um_plan_free(again);
    net_free(&net);
}

static void networks(void **state)
{
    (void)state;
    static const char *const models[] = {"unet", "cdc_unet"};
    for (int m = 0; m < 2; m++)
        for (int bn = UM_BN_TRAIN; bn <= UM_BN_EVAL; bn++)
            for (int64_t w = 32; w <= 35; w += 3)
                check_network(&(net_spec){.model = models[m],
                                          .backend = "cpu",
                                          .real = UM_F32,
                                          .config = net_config(4, 1, 1),
                                          .h = 32,
                                          .w = w,
                                          .max_batch = 4,
                                          .bn = (um_bn_mode)bn,
                                          .wants_dx = true,
                                          .seed = 1});
}

/* x -> a = conv x -> b = batchnorm a; then what the case adds. */
typedef struct small {
    um_backend *backend;
    um_params *params;
    um_graph *graph;
    um_net net;
    um_tid x, a, b;
    um_plan *plan;
} small;

static void small_open(small *s)
{
    *s = (small){0};
    assert_ok(um_backend_create(&s->backend, "cpu", UM_F32));
    assert_ok(um_params_create(&s->params, s->backend));
    assert_ok(um_graph_create(&s->graph, UM_F32, 2));
    s->net = (um_net){s->graph, s->params, false, UM_BN_EVAL};
    assert_ok(um_graph_input(s->graph, &s->x, "image", 8, 8, 1));
    assert_ok(um_nn_conv(&s->net, &s->a, s->x, "a", 4, 3, false));
    assert_ok(um_nn_batchnorm(&s->net, &s->b, s->a, "b", true));
}

static void small_plan(small *s)
{
    assert_ok(um_plan_create(&s->plan, s->graph, s->backend));
    no_two_live_tensors_overlap(s->graph, s->plan);
}

static void small_close(small *s)
{
    um_plan_free(s->plan);
    um_graph_free(s->graph);
    um_params_free(s->params);
    um_backend_free(s->backend);
}

static void in_place_where_legal(void **state)
{
    (void)state;
    small s;
    um_tid c = UM_NONE;
    small_open(&s);
    assert_ok(um_nn_batchnorm(&s.net, &c, s.b, "c", true));
    small_plan(&s);
    assert_int_equal(s.plan->shares[s.b], s.a);
    assert_int_equal(s.plan->shares[c], s.a); /* a chain shares one memory */
    assert_int_equal(s.plan->offset[c], s.plan->offset[s.a]);
    assert_true(s.plan->arena_bytes < s.plan->unshared_bytes);
    small_close(&s);
}

static void not_in_place_when_read_later(void **state)
{
    (void)state;
    small s;
    um_tid sum = UM_NONE;
    small_open(&s);
    assert_ok(um_nn_add(s.graph, &sum, s.b, s.a));
    small_plan(&s);
    assert_int_equal(s.plan->shares[s.b], s.b);
    assert_int_equal(s.plan->shares[sum], s.b); /* but the sum may replace b */
    small_close(&s);
}

static void not_in_place_over_both_operands(void **state)
{
    (void)state;
    small s;
    um_tid sum = UM_NONE;
    small_open(&s);
    assert_ok(um_nn_add(s.graph, &sum, s.b, s.b));
    small_plan(&s);
    assert_int_equal(s.plan->shares[sum], sum);
    small_close(&s);
}

static void not_in_place_when_kept_or_sliced(void **state)
{
    (void)state;
    small s;
    um_tid cat = UM_NONE;
    small_open(&s);
    s.graph->tensors[s.a].keep = true;
    small_plan(&s);
    assert_int_equal(s.plan->shares[s.b], s.b);
    small_close(&s);
    small_open(&s);
    assert_ok(um_graph_concat(s.graph, &cat, s.b, s.x, "bx"));
    small_plan(&s);
    assert_int_equal(s.plan->shares[s.b], s.b);
    assert_int_equal(um_graph_root(s.graph, s.b), cat);
    small_close(&s);
}

static void not_in_place_in_an_op_that_cannot(void **state)
{
    (void)state;
    small s;
    um_tid clipped = UM_NONE;
    small_open(&s);
    assert_ok(um_nn_clip(s.graph, &clipped, s.b, UM_CLIP_STE, 0, 1));
    small_plan(&s);
    assert_int_equal(s.plan->shares[clipped], clipped);
    small_close(&s);
}

static void reads_before_writes_are_named(void **state)
{
    (void)state;
    small s;
    um_tid never = UM_NONE, y = UM_NONE;
    small_open(&s);
    assert_ok(um_graph_check(s.graph));
    assert_ok(um_graph_act(s.graph, &never, "phantom tensor", UM_F32, true, 0, 8, 8, 4));
    assert_ok(um_nn_add(s.graph, &y, s.b, never));
    assert_int_equal(um_graph_check(s.graph), UM_E_BUG);
    assert_non_null(strstr(um_error_text(), "phantom tensor"));
    assert_int_equal(um_plan_create(&s.plan, s.graph, s.backend), UM_E_BUG);
    small_close(&s);
}

static void a_late_write_is_no_write(void **state)
{
    (void)state;
    small s;
    um_tid late = UM_NONE, y = UM_NONE;
    um_op_attr zero = {.fill = {0}};
    small_open(&s);
    assert_ok(um_graph_act(s.graph, &late, "late", UM_F32, true, 0, 8, 8, 4));
    assert_ok(um_nn_add(s.graph, &y, s.b, late));
    assert_ok(um_graph_node(s.graph, UM_OP_FILL, "late", NULL, &late, &zero, false));
    assert_int_equal(um_graph_check(s.graph), UM_E_BUG);
    assert_non_null(strstr(um_error_text(), "late"));
    small_close(&s);
}

static void operands_that_do_not_exist(void **state)
{
    (void)state;
    small s;
    um_tid y = UM_NONE, slice = UM_NONE;
    small_open(&s);
    assert_ok(um_graph_act(s.graph, &y, "y", UM_F32, true, 0, 8, 8, 4));
    assert_ok(um_graph_node(s.graph, UM_OP_COPY, "from nowhere", (um_tid[]){1000}, &y, NULL, false));
    assert_int_equal(um_graph_check(s.graph), UM_E_BUG);
    assert_non_null(strstr(um_error_text(), "from nowhere"));
    small_close(&s);
    small_open(&s);
    assert_ok(um_graph_slice(s.graph, &slice, s.b, 2, 3)); /* channels 2 to 4 of 4 */
    assert_ok(um_graph_act(s.graph, &y, "y", UM_F32, true, 0, 8, 8, 3));
    assert_ok(um_graph_node(s.graph, UM_OP_COPY, "too wide", &slice, &y, NULL, false));
    assert_int_equal(um_graph_check(s.graph), UM_E_BUG);
    small_close(&s);
}

static bool without_maxpool(const um_backend *b, um_op op)
{
    (void)b;
    return op != UM_OP_MAXPOOL_FWD;
}

static void a_missing_op_is_refused_by_node(void **state)
{
    (void)state;
    small s;
    um_tid pooled = UM_NONE;
    small_open(&s);
    um_backend_iface iface = *s.backend->iface;
    um_backend poor = *s.backend;
    iface.supports = without_maxpool;
    poor.iface = &iface;
    assert_ok(um_nn_maxpool(s.graph, &pooled, s.b, 2, 2, 0));
    assert_int_equal(um_plan_create(&s.plan, s.graph, &poor), UM_E_UNSUPPORTED);
    assert_non_null(strstr(um_error_text(), "maxpool_fwd"));
    assert_non_null(strstr(um_error_text(), "which maxpool needs"));
    assert_null(s.plan);
    small_close(&s);
}

static void the_plan_prints(void **state)
{
    (void)state;
    small s;
    um_text text = {0};
    small_open(&s);
    small_plan(&s);
    assert_ok(um_plan_print(s.plan, s.graph, &text));
    assert_non_null(strstr(um_text_get(&text), "2x8x8x4"));
    assert_non_null(strstr(um_text_get(&text), "in place"));
    assert_non_null(strstr(um_text_get(&text), "peak"));
    um_text_free(&text);
    small_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks),
        cmocka_unit_test(in_place_where_legal),
        cmocka_unit_test(not_in_place_when_read_later),
        cmocka_unit_test(not_in_place_over_both_operands),
        cmocka_unit_test(not_in_place_when_kept_or_sliced),
        cmocka_unit_test(not_in_place_in_an_op_that_cannot),
        cmocka_unit_test(reads_before_writes_are_named),
        cmocka_unit_test(a_late_write_is_no_write),
        cmocka_unit_test(operands_that_do_not_exist),
        cmocka_unit_test(a_missing_op_is_refused_by_node),
        cmocka_unit_test(the_plan_prints),
    };
    um_threads_set(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
