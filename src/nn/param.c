#include "nn/param.h"

#include <string.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "base/text.h"
#include "nn/param_layout.h"

um_status um_params_create(um_params **out, um_backend *backend)
{
    um_status rc = UM_OK;
    um_params *p = NULL;
    UM_TRY(UM_NEW(p));
    p->backend = backend;
    *out = p;
done:
    return rc;
}

void um_params_free(um_params *p)
{
    if (!p)
        return;
    for (int b = 0; b < UM_BLOCK_COUNT; b++)
        p->backend->iface->free(p->backend, p->block[b]);
    p->backend->iface->free(p->backend, p->buffers);
    p->backend->iface->free(p->backend, p->pace);
    p->backend->iface->free(p->backend, p->workspace);
    um_free(p->list);
    um_free(p);
}

int um_params_find(const um_params *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->list[i].name, name))
            return i;
    return -1;
}

static bool same_shape(const um_param *a, const um_param *b)
{
    return a->kind == b->kind && a->n_dims == b->n_dims && !memcmp(a->dims, b->dims, sizeof a->dims);
}

um_status um_params_require(um_params *p, const um_param *wanted, int *out)
{
    um_status rc = UM_OK;
    int i = um_params_find(p, wanted->name);
    if (i < 0) {
        if (p->fixed)
            return um_fail(UM_E_BUG, "parameter %s does not exist in this network", wanted->name);
        if (p->n == p->cap) {
            UM_TRY(UM_GROW(p->list, p->cap, p->cap * 2 + 64));
            p->cap = p->cap * 2 + 64;
        }
        um_param *q = &p->list[i = p->n++];
        *q = *wanted;
        q->count = 1;
        for (int d = 0; d < q->n_dims; d++)
            q->count *= q->dims[d];
        int64_t *total = q->kind == UM_PARAM_BUFFER ? &p->n_buffers : &p->n_values;
        q->offset = *total;
        *total += q->count;
    } else if (!same_shape(&p->list[i], wanted)) {
        return um_fail(UM_E_BUG, "parameter %s was declared with another shape", wanted->name);
    }
    *out = i;
done:
    return rc;
}

/* One update over all values. */
static um_op_call adam_call(const um_params *p, const um_adam_attr *attr)
{
    um_op_call call = {.workspace = p->workspace};
    um_view flat = {NULL, p->backend->real, 1, 1, 1, p->n_values, p->n_values};
    call.in[0] = call.out[0] = call.out[1] = call.out[2] = flat;
    call.in[0].data = p->block[UM_BLOCK_GRAD];
    call.in[1] = (um_view){p->pace, UM_F64, 1, 1, 1, 2, 2};
    call.out[0].data = p->block[UM_BLOCK_VALUE];
    call.out[1].data = p->block[UM_BLOCK_M];
    call.out[2].data = p->block[UM_BLOCK_V];
    call.attr.adam = *attr;
    return call;
}

static um_status allocate_workspace(um_params *p)
{
    um_status rc = UM_OK;
    size_t bytes = 0;
    um_op_call call = adam_call(p, &(um_adam_attr){0});
    if (p->n_values > 0 && p->backend->iface->supports(p->backend, UM_OP_ADAM))
        UM_TRY(p->backend->iface->prepare(p->backend, UM_OP_ADAM, &call, &bytes));
    UM_TRY(p->backend->iface->alloc(p->backend, &p->workspace, bytes));
done:
    return rc;
}

um_status um_params_allocate(um_params *p)
{
    um_status rc = UM_OK;
    if (p->fixed)
        return UM_OK;
    size_t size = um_dtype_bytes(p->backend->real);
    for (int b = 0; b < UM_BLOCK_COUNT; b++)
        UM_TRY(p->backend->iface->alloc(p->backend, &p->block[b], (size_t)p->n_values * size));
    UM_TRY(p->backend->iface->alloc(p->backend, &p->buffers, (size_t)p->n_buffers * size));
    UM_TRY(p->backend->iface->alloc(p->backend, (void **)&p->pace, 2 * sizeof *p->pace));
    UM_TRY(allocate_workspace(p));
    p->fixed = true;
done:
    return rc;
}

void *um_params_address(const um_params *p, int index, um_param_block block)
{
    const um_param *q = &p->list[index];
    char *base = q->kind == UM_PARAM_BUFFER ? p->buffers : p->block[block];
    return base ? base + (size_t)q->offset * um_dtype_bytes(p->backend->real) : NULL;
}

um_view um_params_view(const um_params *p, int index, um_param_block block)
{
    const um_param *q = &p->list[index];
    um_view v = {um_params_address(p, index, block), p->backend->real, 1, 1, 1, q->dims[0], q->dims[0]};
    if (q->kind == UM_PARAM_CONV) {
        v.n = q->dims[2], v.h = q->dims[3], v.w = q->dims[1], v.c = v.ld = q->dims[0];
    } else if (q->kind == UM_PARAM_CONVT) {
        v.n = q->dims[0], v.h = q->dims[2], v.w = q->dims[3], v.c = v.ld = q->dims[1];
    } else if (q->kind == UM_PARAM_TABLE) {
        v.w = q->dims[1], v.c = v.ld = q->dims[2];
    }
    return v;
}

um_status um_params_read(const um_params *p, int index, um_param_block block, double *out)
{
    um_status rc = UM_OK;
    const um_param *q = &p->list[index];
    size_t bytes = (size_t)q->count * um_dtype_bytes(p->backend->real);
    void *host = NULL;
    UM_TRY(um_alloc(&host, 1, bytes));
    UM_TRY(p->backend->iface->download(p->backend, host, um_params_address(p, index, block), bytes));
    um_param_to_torch(q, p->backend->real, host, out);
done:
    um_free(host);
    return rc;
}

um_status um_params_write(um_params *p, int index, um_param_block block, const double *in)
{
    um_status rc = UM_OK;
    const um_param *q = &p->list[index];
    size_t bytes = (size_t)q->count * um_dtype_bytes(p->backend->real);
    void *host = NULL;
    UM_TRY(um_alloc(&host, 1, bytes));
    um_param_from_torch(q, p->backend->real, in, host);
    UM_TRY(p->backend->iface->upload(p->backend, um_params_address(p, index, block), host, bytes));
done:
    um_free(host);
    return rc;
}

static um_status init_tensor(um_params *p, int index, uint64_t seed, um_rng_purpose purpose)
{
    um_status rc = UM_OK;
    const um_param *q = &p->list[index];
    float *draw = NULL;
    double *value = NULL;
    UM_TRY(UM_NEW_ARRAY(draw, q->count));
    UM_TRY(UM_NEW_ARRAY(value, q->count));
    float b = (float)q->init_bound;
    if (b > 0)
        um_rng_fill_uniform(draw, q->count, -b, b, seed, purpose, um_text_hash(q->name), 0);
    if (q->init_sd > 0)
        um_rng_fill_normal(draw, q->count, 0, (float)q->init_sd, seed, purpose, um_text_hash(q->name), 0);
    for (int64_t i = 0; i < q->count; i++)
        value[i] = b > 0 || q->init_sd > 0 ? draw[i] : q->init_value;
    UM_TRY(um_params_write(p, index, UM_BLOCK_VALUE, value));
    memset(value, 0, (size_t)q->count * sizeof *value);
    for (int blk = UM_BLOCK_M; q->kind != UM_PARAM_BUFFER && blk <= UM_BLOCK_V; blk++)
        UM_TRY(um_params_write(p, index, (um_param_block)blk, value));
done:
    um_free(value);
    um_free(draw);
    return rc;
}

um_status um_params_init(um_params *p, uint64_t seed, um_rng_purpose purpose)
{
    um_status rc = UM_OK;
    UM_TRY(um_params_allocate(p));
    for (int i = 0; i < p->n; i++)
        UM_TRY(init_tensor(p, i, seed, purpose));
    p->adam_step = 0;
    p->bn_batches = 0;
done:
    return rc;
}

int64_t um_params_trainable_count(const um_params *p)
{
    return p->n_values;
}

um_status um_params_adam(um_params *p, const um_adam_attr *attr)
{
    um_status rc = UM_OK;
    um_op_call call = adam_call(p, attr);
    UM_TRY(um_params_next(p, attr->lr));
    UM_TRY(p->backend->iface->run(p->backend, UM_OP_ADAM, &call));
done:
    return rc;
}

um_status um_params_next(um_params *p, double lr)
{
    um_status rc = UM_OK;
    const double pace[2] = {lr, (double)p->adam_step + 1};
    UM_TRY(p->backend->iface->upload(p->backend, p->pace, pace, sizeof pace));
    p->adam_step++;
done:
    return rc;
}

size_t um_params_snapshot_bytes(const um_params *p)
{
    return (size_t)(p->n_values + p->n_buffers) * um_dtype_bytes(p->backend->real);
}

um_status um_params_snapshot(const um_params *p, void *host)
{
    um_status rc = UM_OK;
    size_t size = um_dtype_bytes(p->backend->real), values = (size_t)p->n_values * size;
    UM_TRY(p->backend->iface->download(p->backend, host, p->block[UM_BLOCK_VALUE], values));
    UM_TRY(p->backend->iface->download(p->backend, (char *)host + values, p->buffers, (size_t)p->n_buffers * size));
done:
    return rc;
}

um_status um_params_restore(um_params *p, const void *host)
{
    um_status rc = UM_OK;
    size_t size = um_dtype_bytes(p->backend->real), values = (size_t)p->n_values * size;
    UM_TRY(p->backend->iface->upload(p->backend, p->block[UM_BLOCK_VALUE], host, values));
    UM_TRY(p->backend->iface->upload(p->backend, p->buffers, (const char *)host + values, (size_t)p->n_buffers * size));
done:
    return rc;
}

static um_status hash_block(const um_params *p, um_sha256 *sha, const void *device, int64_t count)
{
    um_status rc = UM_OK;
    void *host = NULL;
    size_t bytes = (size_t)count * um_dtype_bytes(p->backend->real);
    UM_TRY(um_alloc(&host, 1, bytes));
    UM_TRY(p->backend->iface->download(p->backend, host, device, bytes));
    um_sha256_add(sha, host, bytes);
done:
    um_free(host);
    return rc;
}

um_status um_params_sha256(const um_params *p, char out[65])
{
    um_status rc = UM_OK;
    um_sha256 sha;
    um_sha256_init(&sha);
    UM_TRY(hash_block(p, &sha, p->block[UM_BLOCK_VALUE], p->n_values));
    UM_TRY(hash_block(p, &sha, p->buffers, p->n_buffers));
    um_sha256_hex(&sha, out);
done:
    return rc;
}
