#include "train/pgd.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/ball.h"
#include "train/checkpoint.h"
#include "train/ranks.h"

struct um_input_grad {
    um_input_grad_config config;
    um_backend *backend;
    um_graph *graph;
    um_exec *exec;
    um_tid x, y, means, features, sums, dx;
    um_tid origin, open, ball; /* of the step that ends the graph: centre of the ball, pixels that may move, radius and length */
    int n_grad;                /* nodes before that step */
    double *host_sums; /* [max_batch][5]: per-image sums of the loss */
    void *host_means;  /* [max_batch][2][channels] */
    void *host_open;   /* [max_batch][h][w] */
};

void um_input_grad_free(um_input_grad *g)
{
    if (!g)
        return;
    um_exec_free(g->exec);
    um_graph_free(g->graph);
    um_free(g->host_sums);
    um_free(g->host_means);
    um_free(g->host_open);
    um_free(g);
}

/* The operand that the network's last layer, a convolution, reads. */
static um_status features_of(const um_graph *g, um_tid logits, um_tid *out)
{
    um_status rc = UM_OK;
    int head = g->tensors[logits].producer;
    UM_REQUIRE(head >= 0 && g->nodes[head].op == UM_OP_CONV_FWD);
    *out = g->nodes[head].in[0];
done:
    return rc;
}

/* The last activation of that name. */
static um_status activation_of(um_graph *g, const char *name, um_tid *out)
{
    um_status rc = UM_OK;
    um_tid found = UM_NONE;
    for (um_tid t = 0; t < g->n_tensors; t++)
        if (g->tensors[t].kind == UM_T_ACT && g->tensors[t].batched && strcmp(g->tensors[t].name, name) == 0)
            found = t;
    UM_REQUIRE(found >= 0 && g->tensors[found].parent < 0);
    g->tensors[found].keep = true;
    *out = found;
done:
    return rc;
}

/* The per-image sums behind a segmentation loss. */
static um_tid seg_sums_of(const um_graph *g, um_tid loss)
{
    const um_node *reduce = &g->nodes[g->tensors[loss].producer];
    return g->nodes[g->tensors[reduce->in[0]].producer].in[0];
}

static um_status add_loss(um_input_grad *g, um_tid logits, um_tid *loss)
{
    um_status rc = UM_OK;
    const um_input_grad_config *c = &g->config;
    if (c->kind == UM_INPUT_SEG) {
        um_seg_attr alone = c->loss;
        alone.dice_batch = false;
        UM_TRY(um_nn_seg_loss(g->graph, loss, logits, g->y, &alone));
        g->sums = seg_sums_of(g->graph, *loss);
        g->graph->tensors[g->sums].keep = true;
    } else if (c->kind == UM_INPUT_CLASS) {
        UM_TRY(um_nn_class_loss(g->graph, &g->sums, loss, logits, g->y, c->class_loss, 0));
    } else {
        int64_t channels = g->graph->tensors[g->features].c;
        UM_TRY(um_graph_input(g->graph, &g->means, "class means", 1, 2, channels));
        UM_TRY(um_nn_align_sums(g->graph, loss, g->features, g->y, g->means, c->balance));
        g->sums = *loss;
        g->graph->tensors[um_graph_root(g->graph, g->features)].keep = true;
    }
done:
    return rc;
}

/* A step of the images in their ball, as the graph's last node: v is the network's input, moved in place. */
static um_status append_step(um_input_grad *g)
{
    um_status rc = UM_OK;
    const um_input_grad_config *c = &g->config;
    UM_TRY(um_graph_input(g->graph, &g->origin, "origin", c->h, c->w, c->net.in_ch));
    UM_TRY(um_graph_input(g->graph, &g->open, "free pixels", c->h, c->w, 1));
    UM_TRY(um_graph_input(g->graph, &g->ball, "ball", 1, 1, 2));
    um_tensor *ball = &g->graph->tensors[g->ball];
    ball->dtype = UM_F64, ball->batched = false, ball->n = 1;
    UM_TRY(um_graph_node(g->graph, UM_OP_BALL_STEP, "ball step", (um_tid[]){g->origin, g->dx, g->open, g->ball}, &g->x, NULL, false));
done:
    return rc;
}

static um_status build(um_input_grad *g)
{
    um_status rc = UM_OK;
    const um_input_grad_config *c = &g->config;
    um_tid logits = UM_NONE, loss = UM_NONE;
    int64_t size = um_comm_size(c->comm);
    UM_TRY(um_graph_create(&g->graph, g->backend->real, (c->max_batch + size - 1) / size));
    um_net net = {g->graph, c->params, false, UM_BN_EVAL};
    UM_TRY(um_graph_input(g->graph, &g->x, "image", c->h, c->w, c->net.in_ch));
    if (c->kind == UM_INPUT_CLASS)
        UM_TRY(um_graph_input(g->graph, &g->y, "class", 1, 1, 1));
    else
        UM_TRY(um_graph_input(g->graph, &g->y, "mask", c->h, c->w, 1));
    UM_TRY(c->model->build(&net, &c->net, g->x, &logits));
    if (c->kind == UM_INPUT_ALIGN)
        UM_TRY(features_of(g->graph, logits, &g->features));
    if (c->wanted)
        UM_TRY(activation_of(g->graph, c->wanted, &g->features));
    UM_TRY(add_loss(g, logits, &loss));
    UM_TRY(um_graph_backward(g->graph, loss, c->wanted ? &g->features : &g->x, 1, &g->dx));
    g->n_grad = g->graph->n_nodes;
    if (!c->wanted)
        UM_TRY(append_step(g));
done:
    return rc;
}

/* The graph alone, nothing on the device. */
static um_status describe(um_input_grad **out, um_backend *backend, const um_input_grad_config *config)
{
    um_status rc = UM_OK;
    um_input_grad *g = NULL;
    UM_TRY(UM_NEW(g));
    g->config = *config;
    g->backend = backend;
    g->means = g->features = UM_NONE;
    UM_TRY(build(g));
    *out = g;
    g = NULL;
done:
    um_input_grad_free(g);
    return rc;
}

um_status um_input_grad_create(um_input_grad **out, um_backend *backend, const um_input_grad_config *config)
{
    um_status rc = UM_OK;
    um_input_grad *g = NULL;
    UM_TRY(describe(&g, backend, config));
    UM_TRY(um_exec_create(&g->exec, g->graph, backend));
    UM_TRY(UM_NEW_ARRAY(g->host_sums, config->max_batch * 5));
    if (g->means >= 0)
        UM_TRY(
            um_alloc(&g->host_means, (size_t)(config->max_batch * 2 * um_input_grad_channels(g)), um_dtype_bytes(backend->real)));
    *out = g;
    g = NULL;
done:
    um_input_grad_free(g);
    return rc;
}

void um_input_grad_extent(const um_input_grad *g, int64_t *h, int64_t *w)
{
    *h = g->graph->tensors[g->features].h;
    *w = g->graph->tensors[g->features].w;
}

int64_t um_input_grad_channels(const um_input_grad *g)
{
    return g->features >= 0 ? g->graph->tensors[g->features].c : 0;
}

void um_input_grad_set_means(um_input_grad *g, const double *means)
{
    int64_t n = 2 * um_input_grad_channels(g);
    for (int64_t i = 0; i < g->config.max_batch * n; i++) {
        if (g->backend->real == UM_F64)
            ((double *)g->host_means)[i] = means[i % n];
        else
            ((float *)g->host_means)[i] = (float)means[i % n];
    }
}

um_status um_input_grad_features(um_input_grad *g, int64_t n, void *features)
{
    um_status rc = UM_OK;
    const um_tensor *q = &g->graph->tensors[g->features];
    size_t bytes = (size_t)(q->h * q->w * q->c) * um_dtype_bytes(g->backend->real);
    int64_t first, own;
    um_ranks_slice(g->config.comm, n, &first, &own);
    if (own > 0)
        UM_TRY(um_exec_download(g->exec, g->features, (char *)features + (size_t)first * bytes, own));
    UM_TRY(um_ranks_collect(g->config.comm, features, n, bytes, "collection of features"));
done:
    return rc;
}

/* CE + Dice of one image from {CE, py, p, y, pp} (protectors.md 1.6). */
static double seg_loss(const um_seg_attr *a, const double *s, double pixels, bool two_class)
{
    double size = a->squared ? s[4] : s[2];
    double dice = 1 - (2 * s[1] + a->smooth) / (size + s[3] + a->smooth);
    if (two_class) {
        double overlap = pixels - s[2] - s[3] + s[1], back = a->squared ? pixels - 2 * s[2] + s[4] : pixels - s[2];
        dice = 0.5 * (dice + 1 - (2 * overlap + a->smooth) / (back + pixels - s[3] + a->smooth));
    }
    return a->w_ce * s[0] / pixels + a->w_dice * dice;
}

static double align_loss(const double *s, double channels, bool balance)
{
    if (!balance)
        return (s[0] + s[2]) / (channels * (s[1] + s[3]));
    return (s[1] > 0 ? s[0] / (channels * s[1]) : 0) + (s[3] > 0 ? s[2] / (channels * s[3]) : 0);
}

static um_status fetch_loss(um_input_grad *g, int64_t n, double *loss)
{
    um_status rc = UM_OK;
    const um_input_grad_config *c = &g->config;
    UM_TRY(um_exec_download(g->exec, g->sums, g->host_sums, n));
    for (int64_t i = 0; i < n; i++) {
        if (c->kind == UM_INPUT_SEG)
            loss[i] = seg_loss(&c->loss, g->host_sums + 5 * i, (double)(c->h * c->w), c->net.out_ch == 2);
        else if (c->kind == UM_INPUT_CLASS)
            loss[i] = g->host_sums[3 * i];
        else
            loss[i] = align_loss(g->host_sums + 4 * i, (double)um_input_grad_channels(g), c->balance);
    }
done:
    return rc;
}

static um_batch alone(int64_t n)
{
    um_batch batch;
    um_batch_set(&batch, n, 1);
    batch.n_total = 1; /* each image by itself */
    return batch;
}

static um_status upload(um_input_grad *g, const void *x, const void *y, int64_t n)
{
    um_status rc = UM_OK;
    UM_TRY(um_exec_upload(g->exec, g->x, x, n));
    UM_TRY(um_exec_upload(g->exec, g->y, y, n));
    if (g->means >= 0)
        UM_TRY(um_exec_upload(g->exec, g->means, g->host_means, n));
done:
    return rc;
}

/* The images of this rank alone. */
static um_status run_local(um_input_grad *g, const void *x, const void *y, int64_t n, void *dx, double *loss)
{
    um_status rc = UM_OK;
    um_batch batch = alone(n);
    if (n == 0)
        return UM_OK;
    UM_TRY(upload(g, x, y, n));
    UM_TRY(um_exec_run(g->exec, &batch, 0, dx ? g->n_grad : g->graph->n_forward));
    if (dx)
        UM_TRY(um_exec_download(g->exec, g->dx, dx, n));
    if (loss)
        UM_TRY(fetch_loss(g, n, loss));
done:
    return rc;
}

static size_t image_bytes(const um_input_grad *g)
{
    return (size_t)(g->config.h * g->config.w * g->config.net.in_ch) * um_dtype_bytes(g->backend->real);
}

static size_t grad_bytes(const um_input_grad *g)
{
    const um_tensor *q = &g->graph->tensors[g->dx];
    return (size_t)(q->h * q->w * q->c) * um_dtype_bytes(g->backend->real);
}

static size_t target_bytes(const um_input_grad *g)
{
    return (g->config.kind == UM_INPUT_CLASS ? 1 : (size_t)(g->config.h * g->config.w)) * um_dtype_bytes(g->backend->real);
}

um_status um_input_grad_run(um_input_grad *g, const void *x, const void *y, int64_t n, void *dx, double *loss)
{
    um_status rc = UM_OK;
    const um_input_grad_config *c = &g->config;
    int64_t first, own;
    um_ranks_slice(c->comm, n, &first, &own);
    size_t at = (size_t)first;
    UM_TRY(run_local(g, (const char *)x + at * image_bytes(g), (const char *)y + at * target_bytes(g), own,
                     dx ? (char *)dx + at * grad_bytes(g) : NULL, loss ? loss + first : NULL));
    if (dx)
        UM_TRY(um_ranks_collect(c->comm, dx, n, grad_bytes(g), "collection of gradients"));
    if (loss)
        UM_TRY(um_ranks_collect(c->comm, loss, n, sizeof *loss, "collection of losses"));
    for (int64_t i = 0; loss && i < n; i++)
        if (!isfinite(loss[i]))
            UM_TRY(um_fail(UM_E_NUMERIC, "the loss of a frozen %s on an image is not a number", c->model->name));
done:
    return rc;
}

um_status um_input_grad_cost(um_cost *out, um_backend *backend, const um_input_grad_config *config)
{
    um_status rc = UM_OK;
    um_input_grad *g = NULL;
    um_params *own = NULL;
    um_input_grad_config c = *config;
    UM_TRY(um_params_create(&own, backend));
    c.params = own;
    UM_TRY(describe(&g, backend, &c));
    UM_TRY(um_cost_of_graph(out, g->graph, backend));
done:
    um_input_grad_free(g);
    um_params_free(own);
    return rc;
}

/* ---- the ball ---- */

static double moved(const um_ball *b, double v, double x, double g)
{
    return um_ball_moved(b->eps, b->step, v, x, g);
}

void um_ball_step(const um_ball *b, um_dtype real, void *v, const void *x, const void *g, const uint8_t *keep, int64_t pixels,
                  int64_t c)
{
    for (int64_t i = 0; i < pixels * c; i++) {
        bool free = !keep || keep[i / c];
        if (real == UM_F64) {
            const double *xd = x, *gd = g;
            ((double *)v)[i] = free ? moved(b, ((double *)v)[i], xd[i], gd ? gd[i] : 0) : xd[i];
        } else {
            const float *xf = x, *gf = g;
            ((float *)v)[i] = free ? (float)moved(b, (double)((float *)v)[i], (double)xf[i], gf ? (double)gf[i] : 0) : xf[i];
        }
    }
}

void um_ball_project(const um_ball *b, um_dtype real, void *v, const void *x, const uint8_t *keep, int64_t pixels, int64_t c)
{
    um_ball_step(b, real, v, x, NULL, keep, pixels, c);
}

/* keep: 1 where pixels may move; NULL: everywhere. */
static um_status upload_open(um_input_grad *g, const uint8_t *keep, int64_t n)
{
    um_status rc = UM_OK;
    const um_input_grad_config *c = &g->config;
    int64_t pixels = c->h * c->w;
    if (!g->host_open)
        UM_TRY(um_alloc(&g->host_open, (size_t)(c->max_batch * pixels), um_dtype_bytes(g->backend->real)));
    for (int64_t i = 0; i < n * pixels; i++) {
        bool open = !keep || keep[i];
        if (g->backend->real == UM_F64)
            ((double *)g->host_open)[i] = open;
        else
            ((float *)g->host_open)[i] = open;
    }
    UM_TRY(um_exec_upload(g->exec, g->open, g->host_open, n));
done:
    return rc;
}

um_status um_pgd_place(um_input_grad *g, const um_ball *b, const void *v, const void *x, const void *y, const uint8_t *keep,
                       int64_t n)
{
    um_status rc = UM_OK;
    const um_input_grad_config *c = &g->config;
    const double ball[] = {b->eps, b->step};
    int64_t first, own;
    um_ranks_slice(c->comm, n, &first, &own);
    size_t at = (size_t)first * image_bytes(g);
    UM_REQUIRE(!c->wanted);
    if (own == 0)
        return UM_OK;
    UM_TRY(upload(g, (const char *)v + at, (const char *)y + (size_t)first * target_bytes(g), own));
    UM_TRY(um_exec_upload(g->exec, g->origin, (const char *)x + at, own));
    UM_TRY(upload_open(g, keep ? keep + first * c->h * c->w : NULL, own));
    UM_TRY(um_exec_upload(g->exec, g->ball, ball, 1));
done:
    return rc;
}

um_status um_pgd_step(um_input_grad *g, int64_t n)
{
    int64_t first, own;
    um_ranks_slice(g->config.comm, n, &first, &own);
    um_batch batch = alone(own);
    return own > 0 ? um_exec_run(g->exec, &batch, 0, -1) : UM_OK;
}

um_status um_pgd_fetch(um_input_grad *g, void *v, int64_t n)
{
    um_status rc = UM_OK;
    int64_t first, own;
    um_ranks_slice(g->config.comm, n, &first, &own);
    if (own > 0)
        UM_TRY(um_exec_download(g->exec, g->x, (char *)v + (size_t)first * image_bytes(g), own));
    UM_TRY(um_ranks_collect(g->config.comm, v, n, image_bytes(g), "collection of images"));
done:
    return rc;
}

um_status um_pgd_run(um_input_grad *g, const um_ball *b, int64_t steps, void *v, const void *x, const void *y, const uint8_t *keep,
                     int64_t n, bool may_stop)
{
    um_status rc = UM_OK;
    UM_TRY(um_pgd_place(g, b, v, x, y, keep, n));
    for (int64_t k = 0; k < steps; k++) {
        if (may_stop)
            UM_TRY(um_ranks_stop_check(g->config.comm, "between gradient steps"));
        UM_TRY(um_pgd_step(g, n));
    }
    UM_TRY(um_pgd_fetch(g, v, n));
done:
    return rc;
}

um_status um_input_grad_aim(um_input_grad *g, const void *y, int64_t n)
{
    int64_t first, own;
    um_ranks_slice(g->config.comm, n, &first, &own);
    return own > 0 ? um_exec_upload(g->exec, g->y, (const char *)y + (size_t)first * target_bytes(g), own) : UM_OK;
}

um_status um_input_grad_there(um_input_grad *g, const um_view *v, um_view *dx)
{
    um_status rc = UM_OK;
    um_batch batch = alone(v->n);
    um_op_call copy = {.in = {*v}, .out = {um_exec_input(g->exec, g->x, v->n)}};
    UM_TRY(g->backend->iface->run(g->backend, UM_OP_COPY, &copy));
    if (g->means >= 0)
        UM_TRY(um_exec_upload(g->exec, g->means, g->host_means, v->n));
    UM_TRY(um_exec_run(g->exec, &batch, 0, g->n_grad));
    *dx = um_exec_input(g->exec, g->dx, v->n);
done:
    return rc;
}
