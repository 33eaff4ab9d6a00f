#include "io/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/sha256.h"

static size_t tensor_bytes(const um_named_tensor *t)
{
    size_t n = um_h5_type_bytes(t->dtype);
    for (int i = 0; i < t->ndim; i++)
        n *= (size_t)t->shape[i];
    return n;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const um_named_tensor *)a)->name, ((const um_named_tensor *)b)->name);
}

/* A copy of the descriptions in bytewise name order; unique names are required. out: owned by the caller. */
static um_status sorted_copy(um_named_tensor **out, const um_named_tensor *tensors, size_t n)
{
    um_status rc = UM_OK;
    um_named_tensor *copy = NULL;
    UM_TRY(UM_NEW_ARRAY(copy, n));
    if (n > 0) {
        memcpy(copy, tensors, n * sizeof *copy);
        qsort(copy, n, sizeof *copy, by_name);
    }
    for (size_t i = 1; i < n; i++)
        if (strcmp(copy[i - 1].name, copy[i].name) == 0) {
            rc = um_fail(UM_E_BUG, "two tensors of a checkpoint are named '%s'", copy[i].name);
            goto done;
        }
    *out = copy;
    copy = NULL;
done:
    um_free(copy);
    return rc;
}

static void hash_tensors(const um_named_tensor *sorted, size_t n, char out[UM_SHA256_HEX])
{
    um_sha256 s;
    um_sha256_init(&s);
    for (size_t i = 0; i < n; i++)
        um_sha256_add(&s, sorted[i].data, tensor_bytes(&sorted[i]));
    um_sha256_hex(&s, out);
}

static um_status write_group(um_h5 *f, const char *group, const um_named_tensor *tensors, size_t n, const char *description)
{
    um_status rc = UM_OK;
    um_text path = {0};
    um_named_tensor *sorted = NULL;
    UM_TRY(sorted_copy(&sorted, tensors, n));
    UM_TRY(um_h5_make_group(f, group));
    for (size_t i = 0; i < n; i++) {
        um_h5_array a = {.type = sorted[i].dtype, .ndim = sorted[i].ndim, .description = description, .axes = "", .unit = ""};
        memcpy(a.shape, sorted[i].shape, sizeof a.shape);
        um_text_free(&path);
        UM_TRY(um_text_add(&path, "%s/%s", group, sorted[i].name));
        a.name = um_text_get(&path);
        UM_TRY(um_h5_write_array(f, &a, sorted[i].data));
    }
done:
    um_text_free(&path);
    um_free(sorted);
    return rc;
}

static um_status write_adam(um_h5 *f, const um_checkpoint *c)
{
    um_status rc = UM_OK;
    const um_h5_array step = {.name = "/adam/step", .type = UM_H5_I64, .description = "updates done", .axes = "", .unit = ""};
    UM_TRY(write_group(f, "/adam/m", c->adam_m, c->n_adam, "Adam: mean of the gradient"));
    UM_TRY(write_group(f, "/adam/v", c->adam_v, c->n_adam, "Adam: mean of the squared gradient"));
    UM_TRY(um_h5_write_array(f, &step, &c->adam_step));
done:
    return rc;
}

static um_status hash_state(const um_checkpoint *c, char out[UM_SHA256_HEX])
{
    um_status rc = UM_OK;
    um_named_tensor *sorted = NULL;
    UM_TRY(sorted_copy(&sorted, c->state, c->n_state));
    hash_tensors(sorted, c->n_state, out);
done:
    um_free(sorted);
    return rc;
}

static um_status write_attrs(um_h5 *f, const um_checkpoint *c)
{
    um_status rc = UM_OK;
    char sha256[UM_SHA256_HEX];
    UM_TRY(hash_state(c, sha256));
    UM_TRY(um_h5_set_text(f, "/", "sha256", sha256));
    for (size_t i = 0; i < c->n_attrs; i++) {
        const um_checkpoint_attr *a = &c->attrs[i];
        UM_TRY(a->text ? um_h5_set_text(f, "/", a->name, a->text) : um_h5_set_int(f, "/", a->name, a->integer));
    }
    UM_TRY(c->provenance ? um_provenance_write(f, c->provenance) : um_provenance_stamp(f));
done:
    return rc;
}

static um_status check_same(const char *path, const um_checkpoint *c)
{
    um_status rc = UM_OK;
    um_text recorded = {0};
    char sha256[UM_SHA256_HEX];
    UM_TRY(hash_state(c, sha256));
    UM_TRY(um_checkpoint_text(path, "sha256", &recorded));
    if (strcmp(sha256, um_text_get(&recorded)) != 0)
        rc = um_fail(UM_E_USAGE, "%s exists and holds other weights; give another name, or remove it first", path);
done:
    um_text_free(&recorded);
    return rc;
}

um_status um_checkpoint_save(const char *path, const um_checkpoint *c)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    if (c->keep && um_file_exists(path))
        return check_same(path, c);
    UM_TRY(um_h5_create(&f, path, UM_CHECKPOINT_FORMAT, UM_CHECKPOINT_VERSION));
    UM_TRY(write_attrs(f, c));
    UM_TRY(write_group(f, "/state_dict", c->state, c->n_state, "parameter or buffer, PyTorch layout"));
    if (c->n_adam > 0)
        UM_TRY(write_adam(f, c));
    if (c->n_history > 0)
        UM_TRY(write_group(f, "/history", c->history, c->n_history, "history of the training"));
    UM_TRY(um_h5_commit(&f));
done:
    um_h5_free(f);
    return rc;
}

/* Both lists are sorted: the first difference is a name that only one of them has. */
static um_status match_names(um_h5 *f, const char *group, const um_named_tensor *sorted, size_t n)
{
    um_status rc = UM_OK;
    char **names = NULL;
    size_t n_names = 0;
    UM_TRY(um_h5_list(f, group, &names, &n_names));
    for (size_t i = 0; i < n || i < n_names; i++) {
        int order = i >= n ? 1 : i >= n_names ? -1 : strcmp(sorted[i].name, names[i]);
        if (order < 0)
            rc = um_fail(UM_E_DATA, "%s: %s/%s is missing; is this the checkpoint of another network?", um_h5_path(f), group,
                         sorted[i].name);
        else if (order > 0)
            rc = um_fail(UM_E_DATA, "%s: %s/%s is unexpected; is this the checkpoint of another network?", um_h5_path(f), group,
                         names[i]);
        if (rc != UM_OK)
            goto done;
    }
done:
    if (names)
        um_names_free(names, n_names);
    return rc;
}

static void free_data(um_named_tensor *tensors, size_t n)
{
    for (size_t i = 0; tensors && i < n; i++)
        um_free(tensors[i].data);
    um_free(tensors);
}

/* Reads the wanted tensors into blocks of their own, in name order. out: owned by the caller, free_data. */
static um_status read_group(um_h5 *f, const char *group, const um_named_tensor *want, size_t n, um_named_tensor **out)
{
    um_status rc = UM_OK;
    um_named_tensor *sorted = NULL;
    um_text path = {0};
    UM_TRY(sorted_copy(&sorted, want, n));
    for (size_t i = 0; i < n; i++)
        sorted[i].data = NULL;
    UM_TRY(match_names(f, group, sorted, n));
    for (size_t i = 0; i < n; i++) {
        um_named_tensor *t = &sorted[i];
        um_text_free(&path);
        UM_TRY(um_text_add(&path, "%s/%s", group, t->name));
        UM_TRY(um_h5_read_array(f, um_text_get(&path), t->dtype, t->ndim, t->shape, &t->data, NULL));
    }
    *out = sorted;
    sorted = NULL;
done:
    free_data(sorted, n);
    um_text_free(&path);
    return rc;
}

static um_status check_hash(um_h5 *f, const char *sha256)
{
    um_status rc = UM_OK;
    um_text recorded = {0};
    UM_TRY(um_h5_get_text(f, "/", "sha256", &recorded));
    if (strcmp(sha256, um_text_get(&recorded)) != 0)
        rc = um_fail(UM_E_DATA, "%s: tensors of /state_dict have sha256 %s, recorded is %s: the file was changed", um_h5_path(f),
                     sha256, um_text_get(&recorded));
done:
    um_text_free(&recorded);
    return rc;
}

static um_status deliver(const um_named_tensor *want, const um_named_tensor *sorted, size_t n)
{
    um_status rc = UM_OK;
    um_named_tensor *targets = NULL;
    UM_TRY(sorted_copy(&targets, want, n));
    for (size_t i = 0; i < n; i++)
        memcpy(targets[i].data, sorted[i].data, tensor_bytes(&sorted[i]));
done:
    um_free(targets);
    return rc;
}

um_status um_checkpoint_load(const char *path, const um_checkpoint *want, int64_t *adam_step)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    um_named_tensor *state = NULL, *m = NULL, *v = NULL;
    int64_t step = 0;
    char sha256[UM_SHA256_HEX];
    UM_TRY(um_h5_open(&f, path, UM_CHECKPOINT_FORMAT, UM_CHECKPOINT_VERSION));
    UM_TRY(read_group(f, "/state_dict", want->state, want->n_state, &state));
    hash_tensors(state, want->n_state, sha256);
    UM_TRY(check_hash(f, sha256));
    if (want->n_adam > 0) {
        UM_TRY(um_h5_read_into(f, "/adam/step", UM_H5_I64, 0, NULL, &step));
        UM_TRY(read_group(f, "/adam/m", want->adam_m, want->n_adam, &m));
        UM_TRY(read_group(f, "/adam/v", want->adam_v, want->n_adam, &v));
    }
    UM_TRY(deliver(want->state, state, want->n_state));
    if (want->n_adam > 0) {
        UM_TRY(deliver(want->adam_m, m, want->n_adam));
        UM_TRY(deliver(want->adam_v, v, want->n_adam));
        *adam_step = step;
    }
done:
    free_data(v, want->n_adam);
    free_data(m, want->n_adam);
    free_data(state, want->n_state);
    um_h5_free(f);
    return rc;
}

um_status um_checkpoint_text(const char *path, const char *attr, um_text *out)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    UM_TRY(um_h5_open(&f, path, UM_CHECKPOINT_FORMAT, UM_CHECKPOINT_VERSION));
    UM_TRY(um_h5_get_text(f, "/", attr, out));
done:
    um_h5_free(f);
    return rc;
}

um_status um_checkpoint_int(const char *path, const char *attr, int64_t *out)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    UM_TRY(um_h5_open(&f, path, UM_CHECKPOINT_FORMAT, UM_CHECKPOINT_VERSION));
    UM_TRY(um_h5_get_int(f, "/", attr, out));
done:
    um_h5_free(f);
    return rc;
}

um_status um_checkpoint_has_attr(const char *path, const char *attr, bool *out)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    UM_TRY(um_h5_open(&f, path, UM_CHECKPOINT_FORMAT, UM_CHECKPOINT_VERSION));
    *out = um_h5_has_attr(f, "/", attr);
done:
    um_h5_free(f);
    return rc;
}

um_status um_checkpoint_has_adam(const char *path, bool *out)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    UM_TRY(um_h5_open(&f, path, UM_CHECKPOINT_FORMAT, UM_CHECKPOINT_VERSION));
    *out = um_h5_exists(f, "/adam/step");
done:
    um_h5_free(f);
    return rc;
}

um_status um_checkpoint_history(const char *path, const char *name, um_h5_type type, int ndim, void **out, int64_t *shape)
{
    static const int64_t any[UM_H5_DIMS] = {-1, -1, -1, -1};
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    um_text member = {0};
    UM_TRY(um_h5_open(&f, path, UM_CHECKPOINT_FORMAT, UM_CHECKPOINT_VERSION));
    UM_TRY(um_text_add(&member, "/history/%s", name));
    UM_TRY(um_h5_read_array(f, um_text_get(&member), type, ndim, any, out, shape));
done:
    um_text_free(&member);
    um_h5_free(f);
    return rc;
}

static um_status add_elements(um_h5 *f, const char *name, int64_t *sum)
{
    um_status rc = UM_OK;
    um_text path = {0};
    um_h5_type type;
    int ndim;
    int64_t shape[UM_H5_DIMS], n = 1;
    UM_TRY(um_text_add(&path, "/state_dict/%s", name));
    UM_TRY(um_h5_inspect(f, um_text_get(&path), &type, &ndim, shape));
    for (int i = 0; i < ndim; i++)
        n *= shape[i];
    *sum += n;
done:
    um_text_free(&path);
    return rc;
}

um_status um_checkpoint_elements(const char *path, int64_t *out)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    char **names = NULL;
    size_t n = 0;
    int64_t sum = 0;
    UM_TRY(um_h5_open(&f, path, UM_CHECKPOINT_FORMAT, UM_CHECKPOINT_VERSION));
    UM_TRY(um_h5_list(f, "/state_dict", &names, &n));
    for (size_t i = 0; i < n; i++)
        UM_TRY(add_elements(f, names[i], &sum));
    *out = sum;
done:
    um_names_free(names, n);
    um_h5_free(f);
    return rc;
}

static um_status hash_member(um_h5 *f, um_sha256 *s, const char *name)
{
    um_status rc = UM_OK;
    um_text path = {0};
    um_named_tensor t = {.name = name};
    UM_TRY(um_text_add(&path, "/state_dict/%s", name));
    UM_TRY(um_h5_inspect(f, um_text_get(&path), &t.dtype, &t.ndim, t.shape));
    UM_TRY(um_h5_read_array(f, um_text_get(&path), t.dtype, t.ndim, t.shape, &t.data, NULL));
    um_sha256_add(s, t.data, tensor_bytes(&t));
done:
    um_free(t.data);
    um_text_free(&path);
    return rc;
}

um_status um_checkpoint_verify(um_h5 *f)
{
    um_status rc = UM_OK;
    char **names = NULL, sha256[UM_SHA256_HEX];
    size_t n = 0;
    um_sha256 s;
    UM_TRY(um_h5_list(f, "/state_dict", &names, &n));
    um_sha256_init(&s);
    for (size_t i = 0; i < n; i++)
        UM_TRY(hash_member(f, &s, names[i]));
    um_sha256_hex(&s, sha256);
    UM_TRY(check_hash(f, sha256));
done:
    if (names)
        um_names_free(names, n);
    return rc;
}
