/* check:<backend>: runs an op of another backend between two looks at its operands (backend.h). All looks are at host copies, so
 * that it works for devices as well. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/backend_impl.h"

enum { GUARD_BYTES = 256, GUARD_FILL = 0xA5, MAX_OPERANDS = UM_OP_MAX_IN + UM_OP_MAX_OUT };

/* Quiet NaNs with a payload that no arithmetic makes. */
static const uint32_t poison_f32 = 0x7FC5A5A5u;
static const uint64_t poison_f64 = 0x7FF8A5A5A5A5A5A5u;
static const uint8_t poison_u8 = 0xFF;
static const uint16_t poison_bf16 = 0x7FD5u;

typedef struct check_impl {
    um_backend_base base;
    um_backend *inner;
    char line[224];
} check_impl;

/* One operand around a run: host copies of the bytes from its first to its last element. */
typedef struct operand {
    const um_view *view;
    char name[8];
    bool is_out, kept; /* kept: an output whose old content counts (accumulated, updated, in place of an input) */
    size_t bytes;
    unsigned char *before, *after;
} operand;

typedef struct look {
    um_backend *inner;
    um_op op;
    const um_op_call *call;
    operand list[MAX_OPERANDS];
    int n;
    size_t workspace_bytes;
} look;

static size_t view_bytes(const um_view *v)
{
    return (size_t)((um_view_pixels(v) - 1) * v->ld + v->c) * um_dtype_bytes(v->dtype);
}

/* Do elements of a and b share memory? Slices of one tensor share a range of bytes, yet no element. */
static bool views_overlap(const um_view *a, const um_view *b)
{
    uintptr_t a0 = (uintptr_t)a->data, b0 = (uintptr_t)b->data;
    if (a0 + view_bytes(a) <= b0 || b0 + view_bytes(b) <= a0)
        return false;
    size_t pitch = (size_t)a->ld * um_dtype_bytes(a->dtype);
    if (pitch != (size_t)b->ld * um_dtype_bytes(b->dtype))
        return true;
    size_t a_row = (size_t)a->c * um_dtype_bytes(a->dtype), b_row = (size_t)b->c * um_dtype_bytes(b->dtype);
    size_t shift = (size_t)(b0 > a0 ? (b0 - a0) % pitch : (pitch - (a0 - b0) % pitch) % pitch);
    return shift < a_row || shift + b_row > pitch;
}

static bool is_updated(um_op op, int out)
{
    return (um_op_table[op].flags & UM_OPF_U) || (op == UM_OP_BN_COEF && out > 0);
}

static bool may_share(um_op op, const um_view *in, int in_index, const um_view *out, int out_index)
{
    bool same = in->data == out->data && in->ld == out->ld && in->c == out->c;
    bool allowed = (um_op_table[op].flags & UM_OPF_I) || op == UM_OP_ALL_REDUCE;
    return same && allowed && in_index == 0 && out_index == 0;
}

static um_status add_operand(look *l, const um_view *v, const char *side, int index, bool is_out)
{
    um_status rc = UM_OK;
    operand *o = &l->list[l->n];
    if (!v->data)
        return UM_OK;
    *o = (operand){.view = v, .is_out = is_out, .bytes = view_bytes(v)};
    snprintf(o->name, sizeof o->name, "%s[%d]", side, index % 10);
    o->kept = is_out && (l->call->accumulate || is_updated(l->op, index));
    l->n++;
    UM_TRY(UM_NEW_ARRAY(o->before, o->bytes));
    UM_TRY(UM_NEW_ARRAY(o->after, o->bytes));
    UM_TRY(l->inner->iface->download(l->inner, o->before, v->data, o->bytes));
done:
    return rc;
}

static um_status check_sharing(look *l, int out)
{
    operand *o = &l->list[l->n - 1];
    const char *op = um_op_table[l->op].name;
    if (!l->call->out[out].data)
        return UM_OK;
    for (int i = 0; i < um_op_table[l->op].n_in; i++) {
        const um_view *in = &l->call->in[i];
        if (!in->data || !views_overlap(in, o->view))
            continue;
        if (!may_share(l->op, in, i, o->view, out))
            return um_fail(UM_E_BUG, "check: %s: %s shares memory with in[%d], which the op does not allow", op, o->name, i);
        o->kept = true;
    }
    for (int i = 0; i < out; i++)
        if (l->call->out[i].data && views_overlap(&l->call->out[i], o->view))
            return um_fail(UM_E_BUG, "check: %s: %s shares memory with out[%d]", op, o->name, i);
    return UM_OK;
}

static um_status look_open(look *l)
{
    um_status rc = UM_OK;
    const um_op_info *info = &um_op_table[l->op];
    for (int i = 0; i < info->n_in; i++)
        UM_TRY(add_operand(l, &l->call->in[i], "in", i, false));
    for (int i = 0; i < info->n_out; i++) {
        UM_TRY(add_operand(l, &l->call->out[i], "out", i, true));
        UM_TRY(check_sharing(l, i));
    }
done:
    return rc;
}

static void look_close(look *l)
{
    for (int i = 0; i < l->n; i++) {
        um_free(l->list[i].before);
        um_free(l->list[i].after);
    }
}

static void poison_element(unsigned char *at, um_dtype t)
{
    if (t == UM_F32)
        memcpy(at, &poison_f32, sizeof poison_f32);
    else if (t == UM_F64)
        memcpy(at, &poison_f64, sizeof poison_f64);
    else if (t == UM_BF16)
        memcpy(at, &poison_bf16, sizeof poison_bf16);
    else
        *at = poison_u8;
}

static bool is_poison(const unsigned char *at, um_dtype t)
{
    unsigned char pattern[sizeof poison_f64];
    poison_element(pattern, t);
    return memcmp(at, pattern, um_dtype_bytes(t)) == 0;
}

static bool is_finite(const unsigned char *at, um_dtype t)
{
    float f;
    double d;
    uint16_t half;
    if (t == UM_U8)
        return true;
    if (t == UM_BF16) {
        memcpy(&half, at, sizeof half);
        return (half & 0x7F80u) != 0x7F80u;
    }
    memcpy(&f, at, sizeof f);
    memcpy(&d, at, t == UM_F64 ? sizeof d : sizeof f);
    return t == UM_F64 ? isfinite(d) : isfinite(f);
}

static um_status poison_output(look *l, operand *o)
{
    size_t element = um_dtype_bytes(o->view->dtype);
    for (int64_t p = 0; p < um_view_pixels(o->view); p++)
        for (int64_t k = 0; k < o->view->c; k++)
            poison_element(o->before + (size_t)(p * o->view->ld + k) * element, o->view->dtype);
    return l->inner->iface->upload(l->inner, o->view->data, o->before, o->bytes);
}

/* Fills the workspace with NaNs and sets the guard behind what the op asked for. */
static um_status arm_workspace(look *l)
{
    um_status rc = UM_OK;
    unsigned char *fill = NULL;
    size_t bytes = l->workspace_bytes;
    UM_TRY(UM_NEW_ARRAY(fill, bytes + GUARD_BYTES));
    memset(fill, 0xFF, bytes);
    memset(fill + bytes, GUARD_FILL, GUARD_BYTES);
    UM_TRY(l->inner->iface->upload(l->inner, l->call->workspace, fill, bytes + GUARD_BYTES));
done:
    um_free(fill);
    return rc;
}

static um_status check_guard(look *l)
{
    um_status rc = UM_OK;
    unsigned char guard[GUARD_BYTES];
    UM_TRY(l->inner->iface->download(l->inner, guard, (unsigned char *)l->call->workspace + l->workspace_bytes, GUARD_BYTES));
    for (int i = 0; i < GUARD_BYTES; i++)
        if (guard[i] != GUARD_FILL)
            return um_fail(UM_E_BUG, "check: %s: wrote %d bytes behind its workspace of %zu bytes", um_op_table[l->op].name, i + 1,
                           l->workspace_bytes);
done:
    return rc;
}

static um_status complain(const look *l, const operand *o, um_status code, int64_t p, int64_t k, const char *what)
{
    const um_view *v = o->view;
    return um_fail(code, "check: %s: %s [%lld,%lld,%lld,%lld] ld %lld: element (%lld,%lld,%lld,%lld) %s", um_op_table[l->op].name,
                   o->name, (long long)v->n, (long long)v->h, (long long)v->w, (long long)v->c, (long long)v->ld,
                   (long long)(p / (v->h * v->w)), (long long)(p / v->w % v->h), (long long)(p % v->w), (long long)k, what);
}

static bool inputs_finite(const look *l)
{
    for (int i = 0; i < l->n; i++) {
        const operand *o = &l->list[i];
        size_t element = um_dtype_bytes(o->view->dtype);
        for (int64_t p = 0; !o->is_out && p < um_view_pixels(o->view); p++)
            for (int64_t k = 0; k < o->view->c; k++)
                if (!is_finite(o->before + (size_t)(p * o->view->ld + k) * element, o->view->dtype))
                    return false;
    }
    return true;
}

static um_status check_output_element(const look *l, const operand *o, int64_t p, int64_t k)
{
    um_dtype t = o->view->dtype;
    const unsigned char *at = o->after + (size_t)(p * o->view->ld + k) * um_dtype_bytes(t);
    if (!o->kept && is_poison(at, t))
        return complain(l, o, UM_E_BUG, p, k, "was left unwritten, or read before it was written");
    if (!is_finite(at, t))
        return complain(l, o, UM_E_NUMERIC, p, k,
                        inputs_finite(l) ? "is not finite although all inputs are" : "is not finite; an input already was not");
    return UM_OK;
}

/* Elements of the gap may belong to other outputs of the same call. */
static bool in_other_output(const look *l, const operand *o, size_t offset)
{
    uintptr_t address = (uintptr_t)o->view->data + offset;
    for (int i = 0; i < l->n; i++) {
        const operand *other = &l->list[i];
        uintptr_t first = (uintptr_t)other->view->data;
        size_t pitch = (size_t)other->view->ld * um_dtype_bytes(other->view->dtype);
        size_t row = (size_t)other->view->c * um_dtype_bytes(other->view->dtype);
        if (other != o && other->is_out && address >= first && address < first + other->bytes && (address - first) % pitch < row)
            return true;
    }
    return false;
}

static bool same_bytes(const operand *o, size_t offset, size_t bytes)
{
    return memcmp(o->before + offset, o->after + offset, bytes) == 0;
}

static um_status check_output(const look *l, const operand *o)
{
    um_status rc = UM_OK;
    const um_view *v = o->view;
    size_t element = um_dtype_bytes(v->dtype);
    int64_t pixels = um_view_pixels(v);
    for (int64_t p = 0; p < pixels; p++) {
        for (int64_t k = 0; k < v->c; k++)
            UM_TRY(check_output_element(l, o, p, k));
        for (int64_t k = v->c; k < v->ld && p + 1 < pixels; k++) {
            size_t offset = (size_t)(p * v->ld + k) * element;
            if (!same_bytes(o, offset, element) && !in_other_output(l, o, offset))
                return complain(l, o, UM_E_BUG, p, k, "lies in the gap between pixels and was written");
        }
    }
done:
    return rc;
}

static bool is_shared_output(const look *l, const operand *in)
{
    for (int i = 0; i < l->n; i++)
        if (l->list[i].is_out && views_overlap(l->list[i].view, in->view))
            return true;
    return false;
}

static um_status check_input(const look *l, const operand *o)
{
    const um_view *v = o->view;
    size_t element = um_dtype_bytes(v->dtype);
    if (is_shared_output(l, o))
        return UM_OK;
    for (int64_t p = 0; p < um_view_pixels(v); p++)
        for (int64_t k = 0; k < v->c; k++)
            if (!same_bytes(o, (size_t)(p * v->ld + k) * element, element))
                return complain(l, o, UM_E_BUG, p, k, "is an input and was changed");
    return UM_OK;
}

static um_status look_compare(look *l)
{
    um_status rc = UM_OK;
    for (int i = 0; i < l->n; i++) {
        operand *o = &l->list[i];
        UM_TRY(l->inner->iface->download(l->inner, o->after, o->view->data, o->bytes));
    }
    UM_TRY(check_guard(l));
    for (int i = 0; i < l->n; i++)
        UM_TRY(l->list[i].is_out ? check_output(l, &l->list[i]) : check_input(l, &l->list[i]));
done:
    return rc;
}

static um_status check_run(um_backend *b, um_op op, const um_op_call *call)
{
    um_status rc = UM_OK;
    const check_impl *impl = b->impl;
    look l = {.inner = impl->inner, .op = op, .call = call};
    UM_TRY(impl->inner->iface->prepare(impl->inner, op, call, &l.workspace_bytes));
    if (!call->workspace)
        UM_TRY(um_fail(UM_E_BUG, "check: %s: the call has no workspace; ask prepare for its size", um_op_table[op].name));
    UM_TRY(look_open(&l));
    for (int i = 0; i < l.n; i++)
        if (l.list[i].is_out && !l.list[i].kept)
            UM_TRY(poison_output(&l, &l.list[i]));
    UM_TRY(arm_workspace(&l));
    UM_TRY(impl->inner->iface->run(impl->inner, op, call));
    UM_TRY(look_compare(&l));
done:
    look_close(&l);
    return rc;
}

static bool check_supports(const um_backend *b, um_op op)
{
    const check_impl *impl = b->impl;
    return impl->inner->iface->supports(impl->inner, op);
}

static um_status check_prepare(um_backend *b, um_op op, const um_op_call *call, size_t *workspace_bytes)
{
    um_status rc = UM_OK;
    const check_impl *impl = b->impl;
    size_t bytes = 0;
    UM_TRY(impl->inner->iface->prepare(impl->inner, op, call, &bytes));
    *workspace_bytes = bytes + GUARD_BYTES;
done:
    return rc;
}

static um_status check_alloc(um_backend *b, void **out, size_t bytes)
{
    const check_impl *impl = b->impl;
    return impl->inner->iface->alloc(impl->inner, out, bytes);
}

static void check_free(um_backend *b, void *p)
{
    const check_impl *impl = b->impl;
    impl->inner->iface->free(impl->inner, p);
}

static um_status check_upload(um_backend *b, void *to_device, const void *from_host, size_t bytes)
{
    const check_impl *impl = b->impl;
    return impl->inner->iface->upload(impl->inner, to_device, from_host, bytes);
}

static um_status check_download(um_backend *b, void *to_host, const void *from_device, size_t bytes)
{
    const check_impl *impl = b->impl;
    return impl->inner->iface->download(impl->inner, to_host, from_device, bytes);
}

static um_status check_synchronise(um_backend *b)
{
    const check_impl *impl = b->impl;
    return impl->inner->iface->synchronise ? impl->inner->iface->synchronise(impl->inner) : UM_OK;
}

static void check_destroy(um_backend *b)
{
    check_impl *impl = b->impl;
    um_backend_free(impl->inner);
    um_free(impl);
    um_free(b);
}

static const char *check_describe(const um_backend *b)
{
    check_impl *impl = b->impl;
    snprintf(impl->line, sizeof impl->line, "checked %.200s", um_backend_describe(impl->inner));
    return impl->line;
}

static const um_backend_iface check_iface = {
    .supports = check_supports,
    .prepare = check_prepare,
    .run = check_run,
    .alloc = check_alloc,
    .free = check_free,
    .upload = check_upload,
    .download = check_download,
    .synchronise = check_synchronise,
    .destroy = check_destroy,
};

um_status um_check_backend_create(um_backend **out, um_backend *inner)
{
    um_status rc = UM_OK;
    um_backend *b = NULL;
    check_impl *impl = NULL;
    UM_TRY(UM_NEW(b));
    UM_TRY(UM_NEW(impl));
    *impl = (check_impl){.base = {check_describe}, .inner = inner};
    *b = (um_backend){.iface = &check_iface, .real = inner->real, .store = inner->store, .on_host = inner->on_host, .impl = impl};
    snprintf(b->name, sizeof b->name, "check:%.24s", inner->name);
    *out = b;
    b = NULL;
    impl = NULL;
done:
    um_free(impl);
    um_free(b);
    return rc;
}
