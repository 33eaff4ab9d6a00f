#include "train/net_tensors.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"

static void free_list(um_named_tensor *list, size_t n)
{
    for (size_t i = 0; list && i < n; i++) {
        um_free((char *)(uintptr_t)list[i].name);
        um_free(list[i].data);
    }
    um_free(list);
}

void um_net_tensors_free(um_net_tensors *t)
{
    free_list(t->list, t->n);
    free_list(t->m, t->n_adam);
    free_list(t->v, t->n_adam);
    *t = (um_net_tensors){0};
}

static um_status full_name(char **out, const char *prefix, const char *name)
{
    char text[192];
    int n = snprintf(text, sizeof text, "%s%s%s", prefix ? prefix : "", prefix ? "." : "", name);
    if (n < 0 || (size_t)n >= sizeof text)
        return um_fail(UM_E_BUG, "tensor name %s is too long", name);
    return um_strdup(out, text);
}

static um_status append(um_named_tensor **list, size_t *n, const char *prefix, const char *name, const um_named_tensor *like)
{
    um_status rc = UM_OK;
    char *full = NULL;
    UM_TRY(full_name(&full, prefix, name));
    UM_TRY(UM_GROW(*list, *n, *n + 1));
    (*list)[*n] = *like;
    (*list)[*n].name = full;
    ++*n;
    full = NULL;
done:
    um_free(full);
    return rc;
}

/* Content of one tensor in PyTorch order, in the type of the file. */
static um_status content(void **out, const um_params *p, int index, um_param_block block, um_h5_type type, bool filled)
{
    um_status rc = UM_OK;
    int64_t n = p->list[index].count;
    double *wide = NULL;
    void *data = NULL;
    UM_TRY(um_alloc(&data, (size_t)n, um_h5_type_bytes(type)));
    if (filled) {
        UM_TRY(UM_NEW_ARRAY(wide, n));
        UM_TRY(um_params_read(p, index, block, wide));
        for (int64_t i = 0; i < n; i++) {
            if (type == UM_H5_F64)
                ((double *)data)[i] = wide[i];
            else
                ((float *)data)[i] = (float)wide[i];
        }
    }
    *out = data;
    data = NULL;
done:
    um_free(data);
    um_free(wide);
    return rc;
}

static um_status add_tensor(um_named_tensor **list, size_t *n, const um_params *p, int index, um_param_block block,
                            const char *prefix, um_h5_type type, bool filled)
{
    um_status rc = UM_OK;
    const um_param *q = &p->list[index];
    um_named_tensor t = {.dtype = type, .ndim = q->n_dims};
    memcpy(t.shape, q->dims, sizeof q->dims);
    UM_TRY(content(&t.data, p, index, block, type, filled));
    UM_TRY(append(list, n, prefix, q->name, &t));
    t.data = NULL;
done:
    um_free(t.data);
    return rc;
}

/* NAME.num_batches_tracked of the BatchNorm whose running variance is tensor `index`. */
static um_status add_counter(um_net_tensors *t, const um_params *p, int index, const char *prefix)
{
    um_status rc = UM_OK;
    char name[128];
    int stem = (int)(strlen(p->list[index].name) - strlen("running_var"));
    snprintf(name, sizeof name, "%.*snum_batches_tracked", stem, p->list[index].name);
    int64_t *count = NULL;
    UM_TRY(UM_NEW(count));
    *count = p->bn_batches;
    um_named_tensor c = {.dtype = UM_H5_I64, .ndim = 0, .data = count};
    UM_TRY(append(&t->list, &t->n, prefix, name, &c));
    count = NULL;
done:
    um_free(count);
    return rc;
}

um_status um_net_tensors_add(um_net_tensors *t, const um_params *p, const char *prefix, um_net_tensors_what what, bool filled)
{
    um_status rc = UM_OK;
    bool state = what == UM_NET_TENSORS_STATE;
    um_h5_type type = state && p->backend->real == UM_F64 ? UM_H5_F64 : UM_H5_F32;
    for (int i = 0; i < p->n; i++) {
        UM_TRY(add_tensor(&t->list, &t->n, p, i, UM_BLOCK_VALUE, prefix, type, filled));
        if (!state && um_text_ends_with(p->list[i].name, ".running_var"))
            UM_TRY(add_counter(t, p, i, prefix));
        if (!state || p->list[i].kind == UM_PARAM_BUFFER)
            continue;
        size_t n_m = t->n_adam;
        UM_TRY(add_tensor(&t->m, &n_m, p, i, UM_BLOCK_M, prefix, type, filled));
        rc = add_tensor(&t->v, &t->n_adam, p, i, UM_BLOCK_V, prefix, type, filled);
        if (rc != UM_OK) { /* keep both lists of one length, so that freeing sees all */
            um_free((char *)(uintptr_t)t->m[n_m - 1].name);
            um_free(t->m[n_m - 1].data);
            goto done;
        }
    }
done:
    return rc;
}

static um_status store_tensor(um_params *p, int index, um_param_block block, const um_named_tensor *t)
{
    um_status rc = UM_OK;
    int64_t n = p->list[index].count;
    double *wide = NULL;
    UM_TRY(UM_NEW_ARRAY(wide, n));
    for (int64_t i = 0; i < n; i++)
        wide[i] = t->dtype == UM_H5_F64 ? ((const double *)t->data)[i] : (double)((const float *)t->data)[i];
    UM_TRY(um_params_write(p, index, block, wide));
done:
    um_free(wide);
    return rc;
}

um_status um_net_tensors_store(const um_net_tensors *t, size_t *at, size_t *at_adam, um_params *p)
{
    um_status rc = UM_OK;
    for (int i = 0; i < p->n; i++) {
        UM_TRY(store_tensor(p, i, UM_BLOCK_VALUE, &t->list[(*at)++]));
        if (*at < t->n && t->list[*at].dtype == UM_H5_I64)
            p->bn_batches = *(const int64_t *)t->list[(*at)++].data;
        if (!t->n_adam || p->list[i].kind == UM_PARAM_BUFFER)
            continue;
        UM_TRY(store_tensor(p, i, UM_BLOCK_M, &t->m[*at_adam]));
        UM_TRY(store_tensor(p, i, UM_BLOCK_V, &t->v[(*at_adam)++]));
    }
done:
    return rc;
}
