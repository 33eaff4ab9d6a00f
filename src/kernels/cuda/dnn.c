/* Plans of convolutions: found, measured, remembered, run (dnn.h). */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "kernels/cuda/dnn_graph.h"
#include "kernels/cuda/plan_cache.h"

enum { MAX_CONFIGS = 16, SOME_CONFIGS = 8, MAX_NOTES = CUDNN_NUMERICAL_NOTE_TYPE_COUNT, MEASURED_RUNS = 3,
    MOST_WORKSPACE = 1 << 30, FILL_BYTE = 0x3C /* a small number in f32 and bf16 */ };

typedef struct entry {
    um_dnn_conv conv;
    bool supported;
    cudnnBackendDescriptor_t plan; /* NULL when not supported */
    size_t bytes;                  /* of its workspace */
} entry;

struct um_dnn {
    um_dev *dev;
    cudnnHandle_t handle;
    um_precision precision;
    char device[128];
    entry *list;
    int n, cap;
};

um_status um_dnn_create(um_dnn **out, um_dev *dev, um_precision precision)
{
    um_status rc = UM_OK;
    um_dnn *d = NULL;
    const um_dev_info *info = um_dev_about(dev);
    UM_TRY(UM_NEW(d));
    d->dev = dev;
    d->precision = precision;
    snprintf(d->device, sizeof d->device, "%s %d.%d", info->name, info->cc_major, info->cc_minor);
    UM_TRY(um_cudnn_load());
    TRY_DNN(um_cudnn.cudnnCreate(&d->handle));
    TRY_DNN(um_cudnn.cudnnSetStream(d->handle, (cudaStream_t)um_dev_stream(dev)));
    *out = d;
    d = NULL;
done:
    um_dnn_free(d);
    return rc;
}

void um_dnn_free(um_dnn *d)
{
    if (!d)
        return;
    for (int i = 0; i < d->n; i++)
        um_dnn_release(&d->list[i].plan);
    if (d->handle)
        (void)um_cudnn.cudnnDestroy(d->handle);
    um_free(d->list);
    um_free(d);
}

static entry *find(um_dnn *d, const um_dnn_conv *conv)
{
    for (int i = 0; i < d->n; i++)
        if (memcmp(&d->list[i].conv, conv, sizeof *conv) == 0)
            return &d->list[i];
    return NULL;
}

/* The workspace that the same problem with more images was given at plan time; without one, what no fast engine exceeds. */
static size_t limit_of(const um_dnn *d, const um_dnn_conv *conv)
{
    size_t limit = MOST_WORKSPACE;
    int64_t most = conv->n;
    for (int i = 0; i < d->n; i++) {
        um_dnn_conv same = d->list[i].conv;
        same.n = conv->n;
        if (d->list[i].supported && d->list[i].conv.n > most && memcmp(&same, conv, sizeof same) == 0) {
            most = d->list[i].conv.n;
            limit = d->list[i].bytes;
        }
    }
    return limit;
}

/* ---- from plans to runs ---- */

static um_status plan_bytes(cudnnBackendDescriptor_t plan, size_t *bytes)
{
    um_status rc = UM_OK;
    int64_t size = 0, n = 0;
    TRY_DNN(um_cudnn.cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n, &size));
    *bytes = (size_t)size;
done:
    return rc;
}

/* operands: x, w, y and, for problems with a bias, the bias: in the order of their ids. */
enum { MAX_OPERANDS = 4 };

static um_status execute(um_dnn *d, cudnnBackendDescriptor_t plan, void *const operands[MAX_OPERANDS], bool bias, void *workspace)
{
    um_status rc = UM_OK;
    cudnnBackendDescriptor_t pack = NULL;
    const int64_t ids[MAX_OPERANDS] = {UM_DNN_X, UM_DNN_W, UM_DNN_Y, UM_DNN_BIAS}, n = bias ? 4 : 3;
    const um_dnn_attribute attributes[] = {
        {CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, ids},
        {CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, operands},
        {CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace},
        {.type = -1},
    };
    UM_TRY(um_dnn_make(&pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, attributes));
    TRY_DNN(um_cudnn.cudnnBackendExecute(d->handle, plan, pack));
done:
    um_dnn_release(&pack);
    return rc;
}

/* ---- candidates ---- */

typedef struct search {
    um_dnn *d;
    const um_dnn_conv *conv;
    um_dnn_operation operation;
    cudnnBackendDescriptor_t graph;
    size_t limit;                 /* of the workspace */
    void *operands[MAX_OPERANDS], *workspace; /* device memory while plans are measured */
    size_t workspace_bytes;
    cudnnBackendDescriptor_t best;
    size_t best_bytes;
    double best_seconds;
    int n_tried;
} search;

static um_status make_graph(search *s)
{
    um_status rc = UM_OK;
    UM_TRY(um_dnn_operation_make(&s->operation, s->conv));
    const um_dnn_attribute attributes[] = {
        {CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, s->operation.n_ops, s->operation.ops},
        {CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &s->d->handle},
        {.type = -1},
    };
    UM_TRY(um_dnn_make(&s->graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, attributes));
done:
    return rc;
}

static void search_close(search *s)
{
    um_dev *dev = s->d->dev;
    for (int i = 0; i < MAX_OPERANDS; i++)
        um_dev_free(dev, s->operands[i]);
    um_dev_free(dev, s->workspace);
    um_dnn_release(&s->best);
    um_dnn_release(&s->graph);
    um_dnn_operation_free(&s->operation);
}

static bool engine_allowed(const search *s, cudnnBackendDescriptor_t config)
{
    cudnnBackendDescriptor_t engine = NULL;
    cudnnBackendNumericalNote_t notes[MAX_NOTES];
    int64_t n = 0;
    bool known = um_cudnn.cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) == CUDNN_STATUS_SUCCESS &&
                 um_cudnn.cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n,
                     &engine) == CUDNN_STATUS_SUCCESS &&
                 um_cudnn.cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                     MAX_NOTES, &n, notes) == CUDNN_STATUS_SUCCESS;
    um_dnn_release(&engine);
    return known && um_dnn_engine_allowed(s->d->precision, notes, n < MAX_NOTES ? n : MAX_NOTES);
}

/* A plan of the configuration; NULL when the engine does not take the problem after all, which is what most refusals are. */
static cudnnBackendDescriptor_t plan_of_config(const search *s, cudnnBackendDescriptor_t config)
{
    cudnnBackendDescriptor_t plan = NULL;
    const um_dnn_attribute attributes[] = {
        {CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &s->d->handle},
        {CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config},
        {.type = -1},
    };
    if (um_dnn_make(&plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, attributes) != UM_OK)
        um_error_clear();
    return plan;
}

static um_status grow_workspace(search *s, size_t bytes)
{
    um_status rc = UM_OK;
    if (bytes <= s->workspace_bytes)
        return UM_OK;
    um_dev_free(s->d->dev, s->workspace);
    s->workspace = NULL;
    s->workspace_bytes = 0;
    UM_TRY(um_dev_alloc(s->d->dev, &s->workspace, bytes));
    s->workspace_bytes = bytes;
done:
    return rc;
}

static um_status operand(search *s, void **out, int64_t elements, um_dtype type)
{
    um_status rc = UM_OK;
    size_t bytes = (size_t)elements * um_dtype_bytes(type);
    if (*out)
        return UM_OK;
    UM_TRY(um_dev_alloc(s->d->dev, out, bytes));
    UM_TRY(um_dev_fill(s->d->dev, *out, FILL_BYTE, bytes));
done:
    return rc;
}

static um_status allocate_operands(search *s)
{
    um_status rc = UM_OK;
    const um_dnn_conv *c = s->conv;
    const um_dtype x = c->op == UM_DNN_DATA ? c->result_type : c->type, w = c->op == UM_DNN_WEIGHT ? c->result_type : c->type;
    UM_TRY(operand(s, &s->operands[0], c->n * c->h * c->w * c->ld_x, x));
    UM_TRY(operand(s, &s->operands[1], c->k * c->r * c->s * c->c, w));
    UM_TRY(operand(s, &s->operands[2], c->n * c->p * c->q * c->ld_y, c->op == UM_DNN_FWD ? c->result_type : c->type));
    if (c->bias)
        UM_TRY(operand(s, &s->operands[3], c->op == UM_DNN_FWD ? c->k : c->c, UM_F32));
done:
    return rc;
}

typedef struct timed {
    search *s;
    cudnnBackendDescriptor_t plan;
} timed;

static um_status run_timed(void *payload)
{
    timed *t = payload;
    return execute(t->s->d, t->plan, t->s->operands, t->s->conv->bias, t->s->workspace);
}

/* Keeps the plan if it is the fastest so far. plan: taken. */
static um_status judge(search *s, cudnnBackendDescriptor_t plan, bool measure)
{
    um_status rc = UM_OK;
    size_t bytes = 0;
    double seconds = 0;
    UM_TRY(plan_bytes(plan, &bytes));
    if (bytes > s->limit)
        goto done;
    if (measure) {
        UM_TRY(allocate_operands(s));
        UM_TRY(grow_workspace(s, bytes));
        UM_TRY(um_dev_time(s->d->dev, run_timed, &(timed){s, plan}, MEASURED_RUNS, &seconds));
    }
    s->n_tried++;
    if (!s->best || seconds < s->best_seconds) {
        um_dnn_release(&s->best);
        s->best = plan;
        s->best_bytes = bytes;
        s->best_seconds = seconds;
        plan = NULL;
    }
done:
    um_dnn_release(&plan);
    return rc;
}

/* Fills configs with what one mode of the heuristics offers, created; n: how many. */
static um_status ask_heuristics(search *s, cudnnBackendHeurMode_t mode, cudnnBackendDescriptor_t configs[MAX_CONFIGS], int64_t *n)
{
    um_status rc = UM_OK;
    cudnnBackendDescriptor_t heuristics = NULL;
    const um_dnn_attribute attributes[] = {
        {CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &s->graph},
        {CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode},
        {.type = -1},
    };
    *n = 0;
    if (um_dnn_make(&heuristics, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, attributes) != UM_OK) {
        um_error_clear(); /* a mode that does not know the problem offers nothing */
        goto done;
    }
    for (int i = 0; i < MAX_CONFIGS; i++)
        TRY_DNN(um_cudnn.cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[i]));
    TRY_DNN(um_cudnn.cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
        MAX_CONFIGS, n, configs));
    *n = *n < MAX_CONFIGS ? *n : MAX_CONFIGS;
done:
    um_dnn_release(&heuristics);
    return rc;
}

/* most: plans that are measured; 0: the first plan is taken as it is. */
static um_status try_mode(search *s, cudnnBackendHeurMode_t mode, int most)
{
    um_status rc = UM_OK;
    cudnnBackendDescriptor_t configs[MAX_CONFIGS] = {NULL};
    int64_t n = 0;
    int end = s->n_tried + (most ? most : 1);
    UM_TRY(ask_heuristics(s, mode, configs, &n));
    for (int64_t i = 0; i < n && s->n_tried < end; i++) {
        cudnnBackendDescriptor_t plan = engine_allowed(s, configs[i]) ? plan_of_config(s, configs[i]) : NULL;
        if (plan && judge(s, plan, most > 0) != UM_OK) {
            um_log(UM_LOG_DEBUG, "a plan of cuDNN failed and is passed over: %s", um_error_text());
            um_error_clear();
        }
    }
done:
    for (int i = 0; i < MAX_CONFIGS; i++)
        um_dnn_release(&configs[i]);
    return rc;
}

/* ---- the disk ---- */

static um_status plan_text(cudnnBackendDescriptor_t plan, um_text *out)
{
    um_status rc = UM_OK;
    int64_t n = 0;
    char *text = NULL;
    TRY_DNN(um_cudnn.cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0, &n, NULL));
    UM_TRY(UM_NEW_ARRAY(text, n + 1));
    TRY_DNN(um_cudnn.cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, n, &n, text));
    UM_TRY(um_text_add(out, "%s", text));
done:
    um_free(text);
    return rc;
}

static void remember_on_disk(const char *key, cudnnBackendDescriptor_t plan)
{
    um_text text = {0};
    if (plan_text(plan, &text) == UM_OK)
        um_plan_store(key, um_text_get(&text));
    else
        um_error_clear(); /* engines that cannot be written down are measured again */
    um_text_free(&text);
}

/* NULL when the disk has none, or one that this library does not take any more. */
static cudnnBackendDescriptor_t plan_from_disk(const um_dnn *d, const char *key)
{
    cudnnBackendDescriptor_t plan = NULL;
    um_text text = {0};
    if (um_plan_load(&text, key) == UM_OK && *um_text_get(&text)) {
        const um_dnn_attribute attributes[] = {
            {CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &d->handle},
            {CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(um_text_get(&text)),
                um_text_get(&text)},
            {.type = -1},
        };
        (void)um_dnn_make(&plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, attributes);
    }
    if (!plan)
        um_error_clear();
    um_text_free(&text);
    return plan;
}

/* ---- putting it together ---- */

/* Plans of either mode that are measured, by UMED_CUDA_PLANS. */
static um_status plans_to_measure(int *most)
{
    const char *how = getenv("UMED_CUDA_PLANS");
    if (!how || !*how || strcmp(how, "some") == 0)
        *most = SOME_CONFIGS;
    else if (strcmp(how, "all") == 0)
        *most = MAX_CONFIGS;
    else if (strcmp(how, "first") == 0)
        *most = 0;
    else
        return um_fail(UM_E_CONFIG, "UMED_CUDA_PLANS is '%s'; known: some, all, first", how);
    return UM_OK;
}

static um_status choose(um_dnn *d, const um_dnn_conv *conv, const char *key, entry *e)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK};
    um_status rc = UM_OK;
    search s = {.d = d, .conv = conv, .limit = limit_of(d, conv)};
    int most = 0;
    UM_TRY(plans_to_measure(&most));
    UM_TRY(make_graph(&s));
    for (size_t i = 0; i < UM_COUNT(modes); i++)
        if (!s.best || most == MAX_CONFIGS || (most > 0 && modes[i] != CUDNN_HEUR_MODE_FALLBACK))
            UM_TRY(try_mode(&s, modes[i], most));
    um_log(UM_LOG_DEBUG, "%s: %d plans, best %.3f ms, workspace %.1f MiB", key, s.n_tried, 1e3 * s.best_seconds,
        (double)s.best_bytes / 1048576);
    if (s.best) {
        *e = (entry){.conv = *conv, .supported = true, .plan = s.best, .bytes = s.best_bytes};
        s.best = NULL;
        if (most > 0)
            remember_on_disk(key, e->plan);
    }
done:
    search_close(&s);
    return rc;
}

static um_status add(um_dnn *d, const um_dnn_conv *conv)
{
    um_status rc = UM_OK;
    um_text key = {0};
    entry e = {.conv = *conv};
    if (d->n == d->cap) {
        UM_TRY(UM_GROW(d->list, d->cap, 2 * d->cap + 64));
        d->cap = 2 * d->cap + 64;
    }
    UM_TRY(um_plan_key(&key, conv, d->precision, d->device, um_cudnn.cudnnGetVersion()));
    e.plan = plan_from_disk(d, um_text_get(&key));
    if (e.plan) {
        UM_TRY(plan_bytes(e.plan, &e.bytes));
        e.supported = true;
    }
    if (!e.supported || e.bytes > limit_of(d, conv)) {
        um_dnn_release(&e.plan);
        e.supported = false;
        UM_TRY(choose(d, conv, um_text_get(&key), &e));
    }
    d->list[d->n++] = e;
    e.plan = NULL;
done:
    um_dnn_release(&e.plan);
    um_text_free(&key);
    return rc;
}

um_status um_dnn_prepare(um_dnn *d, const um_dnn_conv *conv, bool *supported, size_t *bytes)
{
    um_status rc = UM_OK;
    entry *e = find(d, conv);
    if (!e) {
        UM_TRY(add(d, conv));
        e = &d->list[d->n - 1];
    }
    *supported = e->supported;
    *bytes = e->bytes;
done:
    return rc;
}

um_status um_dnn_run(um_dnn *d, const um_dnn_conv *conv, void *x, void *w, void *y, const void *bias, void *workspace, size_t bytes)
{
    um_status rc = UM_OK;
    void *const operands[MAX_OPERANDS] = {x, w, y, (void *)bias};
    const entry *e = find(d, conv);
    UM_REQUIRE(e && e->supported && e->bytes <= bytes);
    UM_TRY(execute(d, e->plan, operands, conv->bias, workspace));
done:
    return rc;
}
