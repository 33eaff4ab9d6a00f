#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "kernels/backend_impl.h"

/* One rule per op: "ins > outs", operands separated by commas, each "[?]type n h w c". ?: may be absent. Types: r real, d f64,
 * u u8, v u8 or real, a real or f64; a capital asks for ld == c. Extents: a number, a letter that stands for the same extent everywhere in the
 * rule, a multiple (2H) or a floored half (H/2) of one. */
static const char *const rules[UM_OP_COUNT] = {
    [UM_OP_CONV_FWD] = "r N H W C, R I J C K, ?R 1 1 1 K > r N P Q K",
    [UM_OP_CONV_BWD_DATA] = "r N P Q K, R I J C K > r N H W C",
    [UM_OP_CONV_BWD_WEIGHT] = "r N H W C, r N P Q K > R I J C K",
    [UM_OP_CONVT_FWD] = "r N H W C, R C 2 2 K, ?R 1 1 1 K > r N 2H 2W K",
    [UM_OP_CONVT_BWD_DATA] = "r N 2H 2W K, R C 2 2 K > r N H W C",
    [UM_OP_CONVT_BWD_WEIGHT] = "r N H W C, r N 2H 2W K > R C 2 2 K",
    [UM_OP_CHANNEL_SUM] = "r N H W K > R 1 1 1 K",
    [UM_OP_CDC_FOLD] = "R 3 3 C K, ?R 3 3 C K > R 3 3 C K",
    [UM_OP_CDC_UNFOLD] = "R 3 3 C K > R 3 3 C K",
    [UM_OP_BN_STATS] = "r N H W C > D L 1 2 C",
    [UM_OP_BN_COEF] = "?D L 1 2 C, R 1 1 1 C, R 1 1 1 C, ?R 1 1 1 C, ?R 1 1 1 C > R L 1 4 C, ?R 1 1 1 C, ?R 1 1 1 C",
    [UM_OP_BN_APPLY] = "r N H W C, R L 1 4 C > r N H W C",
    [UM_OP_BN_BWD_SUMS] = "r N H W C, r N H W C, R L 1 4 C > D L 1 2 C, ?R 1 1 2 C",
    [UM_OP_BN_BWD_PARAM] = "R 1 1 2 C > R 1 1 1 C, R 1 1 1 C",
    [UM_OP_BN_BWD_APPLY] = "r N H W C, r N H W C, R L 1 4 C, ?D L 1 2 C > r N H W C",
    [UM_OP_ALL_REDUCE] = "D N H W C > D N H W C",
    [UM_OP_MAXPOOL_FWD] = "r N H W C > r N P Q C, u N P Q C",
    [UM_OP_MAXPOOL_BWD] = "r N P Q C, u N P Q C > r N H W C",
    [UM_OP_AVGPOOL_FWD] = "r N H W C > r N P Q C",
    [UM_OP_AVGPOOL_BWD] = "r N P Q C > r N H W C",
    [UM_OP_PATCHES_FWD] = "r N H W C > r N P Q M",
    [UM_OP_PATCHES_BWD] = "r N P Q M > r N H W C",
    [UM_OP_WS_FWD] = "R I J C K > R P Q M K, R 1 1 1 K",
    [UM_OP_WS_BWD] = "R P Q M K, R P Q M K, R 1 1 1 K > R I J C K",
    [UM_OP_NORM_FWD] = "r N H W C, R 1 1 1 C, R 1 1 1 C > r N H W C, R N P Q 2",
    [UM_OP_NORM_BWD_SUMS] = "r N H W C, r N H W C, R N P Q 2 > D N 1 2 C",
    [UM_OP_NORM_BWD_PARAM] = "D N 1 2 C > R 1 1 1 C, R 1 1 1 C",
    [UM_OP_NORM_BWD] = "r N H W C, r N H W C, R 1 1 1 C, R N P Q 2, ?D N 1 2 C > r N H W C",
    [UM_OP_ATTENTION_FWD] = "r N H W D, r N H W D, r N H W D > r N H W D, R N K T T",
    [UM_OP_ATTENTION_BWD] = "r N H W D, r N H W D, r N H W D, r N H W D, R N K T T > r N H W D, r N H W D, r N H W D",
    [UM_OP_EMBED_ADD] = "r N H W C, R 1 1 T C > r N H W C",
    [UM_OP_EMBED_BWD] = "r N H W C > R 1 1 T C",
    [UM_OP_ACT_FWD] = "r N H W C > r N H W C",
    [UM_OP_ACT_BWD] = "r N H W C, r N H W C > r N H W C",
    [UM_OP_GATE_FWD] = "r N H W C, r N H W 1 > r N H W C",
    [UM_OP_GATE_BWD_M] = "r N H W C, r N H W C > r N H W 1",
    [UM_OP_DROPOUT] = "r N H W C > r N H W C",
    [UM_OP_UPSAMPLE_FWD] = "r N H W C > r N 2H 2W C",
    [UM_OP_UPSAMPLE_BWD] = "r N 2H 2W C > r N H W C",
    [UM_OP_WINDOW] = "r N H W C > r N P Q C",
    [UM_OP_ADD] = "a N H W C, a N H W C > a N H W C",
    [UM_OP_COPY] = "r N H W C > r N P Q C",
    [UM_OP_FILL] = "> a N H W C",
    [UM_OP_BOUND_FWD] = "r N H W C, r N H W 1 > r N H W C",
    [UM_OP_BOUND_BWD] = "r N H W C, r N H W 1, r N H W C > r N H W C",
    [UM_OP_CLIP_FWD] = "r N H W C > r N H W C",
    [UM_OP_CLIP_BWD] = "r N H W C, r N H W C > r N H W C",
    [UM_OP_SEG_SUMS] = "r N H W C, r N H W 1 > D N 1 1 5",
    [UM_OP_BATCH_SUM] = "D N 1 J K > D 1 1 J K",
    [UM_OP_SEG_LOSS] = "D N 1 1 5, ?D 1 1 1 5 > D 1 1 1 3",
    [UM_OP_SEG_BWD] = "r N H W C, r N H W 1, D N 1 1 5, ?D 1 1 1 5 > r N H W C",
    [UM_OP_ALIGN_SUMS] = "r N H W C, r N H W 1, R N 1 2 C > D N 1 1 4",
    [UM_OP_ALIGN_BWD] = "r N H W C, r N H W 1, R N 1 2 C, D N 1 1 4 > r N H W C",
    [UM_OP_CLASS_SUMS] = "r N 1 1 K, r N 1 1 1 > D N 1 1 3",
    [UM_OP_CLASS_BWD] = "r N 1 1 K, r N 1 1 1 > r N 1 1 K",
    [UM_OP_GATHER] = "V M H W B, D N 1 1 1 > R N H W C",
    [UM_OP_BALL_STEP] = "R N H W C, R N H W C, ?R N H W 1, D 1 1 1 2 > R N H W C",
    [UM_OP_GROUP_MEAN] = "r N H W M > r N H W C",
    [UM_OP_VR_ADD] = "r N H W C, r N H W C, R N H W C > R N H W C",
    [UM_OP_ADAM] = "R N H W C, D 1 1 1 2 > R N H W C, R N H W C, R N H W C",
};

typedef struct rule_reader {
    um_op op;
    um_dtype real, store;
    const char *at;
    int64_t bound[26]; /* extent of each letter, -1 while unknown */
    bool check;        /* first pass: bind bare letters; second: compare everything */
} rule_reader;

static char next_char(rule_reader *r)
{
    while (*r->at == ' ')
        r->at++;
    return *r->at;
}

/* The value that an extent token asks for; -1 when its letter is not bound yet. A bare letter is bound to `actual` first. */
static int64_t read_extent(rule_reader *r, int64_t actual)
{
    int64_t factor = 1;
    char first = next_char(r);
    if (isdigit((unsigned char)first))
        factor = strtol(r->at, (char **)&r->at, 10);
    if (!isupper((unsigned char)*r->at))
        return factor;
    int64_t *slot = &r->bound[*r->at++ - 'A'];
    bool halved = *r->at == '/';
    if (halved)
        r->at += 2;
    else if (*slot < 0 && isupper((unsigned char)first))
        *slot = actual;
    return *slot < 0 ? -1 : halved ? *slot / 2 : *slot * factor;
}

static bool type_fits(char type, um_dtype real, um_dtype store, um_dtype t)
{
    switch (tolower((unsigned char)type)) {
    case 'r': return t == real || (t == store && type == 'r');
    case 'd': return t == UM_F64;
    case 'u': return t == UM_U8;
    case 'v': return t == UM_U8 || t == real;
    default: return t == real || t == store || t == UM_F64;
    }
}

static const char *type_name(um_dtype t)
{
    return t == UM_F64 ? "f64" : t == UM_F32 ? "f32" : t == UM_BF16 ? "bf16" : "u8";
}

static um_status refuse(const rule_reader *r, const char *operand, const um_view *v, const char *why)
{
    return um_fail(UM_E_UNSUPPORTED, "%s: %s is %s [%lld,%lld,%lld,%lld] (ld %lld), %s; the rule is \"%s\" (real = %s)",
                   um_op_table[r->op].name, operand, type_name(v->dtype), (long long)v->n, (long long)v->h, (long long)v->w,
                   (long long)v->c, (long long)v->ld, why, rules[r->op], type_name(r->real));
}

static um_status read_operand(rule_reader *r, const um_view *v, const char *side, int index)
{
    char name[16];
    snprintf(name, sizeof name, "%s[%d]", side, index);
    bool optional = next_char(r) == '?';
    if (optional)
        r->at++;
    char type = *r->at++;
    if (v->c == 0 && optional) {
        while (*r->at && *r->at != ',' && *r->at != '>')
            r->at++;
        return UM_OK;
    }
    const int64_t actual[4] = {v->n, v->h, v->w, v->c};
    bool fits = true;
    for (int d = 0; d < 4; d++)
        if (read_extent(r, actual[d]) != actual[d] || actual[d] < 1)
            fits = false;
    if (!r->check)
        return UM_OK;
    if (!fits)
        return refuse(r, name, v, "its extents do not fit");
    if (!type_fits(type, r->real, r->store, v->dtype))
        return refuse(r, name, v, "its type does not fit");
    if (v->ld < v->c || (isupper((unsigned char)type) && v->ld != v->c))
        return refuse(r, name, v, "its pixel distance does not fit");
    return UM_OK;
}

static um_status read_side(rule_reader *r, const um_view *v, const char *side, int n)
{
    um_status rc = UM_OK;
    for (int i = 0; i < n; i++) {
        UM_TRY(read_operand(r, &v[i], side, i));
        if (next_char(r) == ',')
            r->at++;
    }
done:
    return rc;
}

static bool window_fits(const um_view *x, const um_view *y, int size, int stride, int pad)
{
    return size >= 1 && stride >= 1 && pad >= 0 && pad < size && x->h + 2 * pad >= size && x->w + 2 * pad >= size &&
           y->h == (x->h + 2 * pad - size) / stride + 1 && y->w == (x->w + 2 * pad - size) / stride + 1;
}

/* Windows side by side, or one over everything. */
static bool means_fit(const um_view *x, const um_view *y, int size, int stride, int pad)
{
    return size == 0 ? y->h == 1 && y->w == 1 : stride == size && pad == 0 && window_fits(x, y, size, stride, pad);
}

static int64_t rows_of_filters(const um_view *w)
{
    return w->n * w->h * w->w;
}

static bool stats_fit(int64_t groups, const um_view *x, const um_view *stats)
{
    if (groups == 0)
        return stats->h == x->h && stats->w == x->w;
    return groups > 0 && x->c % groups == 0 && stats->h == 1 && stats->w == groups;
}

/* Relations between extents that a rule cannot say, for networks with windows, groups and tokens. */
static const char *check_relations(um_op op, const um_op_call *call)
{
    const um_op_attr *a = &call->attr;
    const um_view *in = call->in, *out = call->out;
    bool fits = true;
    switch (op) {
    case UM_OP_BN_STATS: fits = out[0].n == (a->bn.per_lane ? in[0].n : 1); break;
    case UM_OP_BN_APPLY:
    case UM_OP_BN_BWD_APPLY: fits = in[op == UM_OP_BN_APPLY ? 1 : 2].n == (a->bn.per_lane ? in[0].n : 1); break;
    case UM_OP_BN_BWD_SUMS: fits = out[0].n == (a->bn.per_lane ? in[0].n : 1) && (!a->bn.per_lane || out[1].c == 0); break;
    case UM_OP_MAXPOOL_FWD: fits = a->pool.size <= 15 && window_fits(&in[0], &out[0], a->pool.size, a->pool.stride, a->pool.pad); break;
    case UM_OP_MAXPOOL_BWD: fits = a->pool.size <= 15 && window_fits(&out[0], &in[0], a->pool.size, a->pool.stride, a->pool.pad); break;
    case UM_OP_AVGPOOL_FWD: fits = means_fit(&in[0], &out[0], a->pool.size, a->pool.stride, a->pool.pad); break;
    case UM_OP_AVGPOOL_BWD: fits = means_fit(&out[0], &in[0], a->pool.size, a->pool.stride, a->pool.pad); break;
    case UM_OP_COPY: fits = in[0].h * in[0].w == out[0].h * out[0].w; break;
    case UM_OP_CLASS_SUMS:
    case UM_OP_CLASS_BWD: fits = in[0].c >= 2 && a->class_loss.gamma >= 0; break;
    case UM_OP_GATHER: fits = in[0].dtype == UM_U8 ? a->gather.most > 0 && in[0].c % out[0].c == 0 && in[0].c / out[0].c <= 2 : in[0].c == out[0].c; break;
    case UM_OP_GROUP_MEAN: fits = in[0].c % out[0].c == 0; break;
    case UM_OP_PATCHES_FWD:
        fits = window_fits(&in[0], &out[0], a->patch.size, a->patch.stride, a->patch.pad) &&
               out[0].c == a->patch.size * a->patch.size * in[0].c;
        break;
    case UM_OP_PATCHES_BWD:
        fits = window_fits(&out[0], &in[0], a->patch.size, a->patch.stride, a->patch.pad) &&
               in[0].c == a->patch.size * a->patch.size * out[0].c;
        break;
    case UM_OP_WS_FWD:
    case UM_OP_WS_BWD: fits = rows_of_filters(&in[0]) == rows_of_filters(&out[0]) && (op == UM_OP_WS_BWD || a->ws.eps > 0); break;
    case UM_OP_NORM_FWD: fits = a->norm.eps > 0 && stats_fit(a->norm.groups, &in[0], &out[1]); break;
    case UM_OP_NORM_BWD_SUMS: fits = stats_fit(a->norm.groups, &in[1], &in[2]); break;
    case UM_OP_NORM_BWD: fits = stats_fit(a->norm.groups, &in[1], &in[3]) && (a->norm.groups == 0 || in[4].c != 0); break;
    case UM_OP_ATTENTION_FWD:
    case UM_OP_ATTENTION_BWD: {
        const um_view *p = op == UM_OP_ATTENTION_FWD ? &out[1] : &in[4];
        fits = a->attention.heads == p->h && in[0].c % p->h == 0 && p->w == in[0].h * in[0].w;
        break;
    }
    case UM_OP_EMBED_ADD: fits = in[1].w == in[0].h * in[0].w; break;
    case UM_OP_EMBED_BWD: fits = out[0].w == in[0].h * in[0].w; break;
    case UM_OP_DROPOUT: fits = a->dropout.p >= 0 && a->dropout.p < 1; break;
    case UM_OP_ADD: fits = (in[0].dtype == UM_F64) == (out[0].dtype == UM_F64) && (in[1].dtype == UM_F64) == (out[0].dtype == UM_F64); break;
    default: break;
    }
    return fits ? NULL : "extents, types or attributes do not fit each other (ops.h)";
}

static um_status check_attr(um_op op, const um_op_call *call)
{
    const um_op_attr *a = &call->attr;
    const char *why = NULL;
    if (op == UM_OP_BN_COEF && a->bn.eval && (call->in[3].c == 0 || call->in[4].c == 0))
        why = "evaluation needs the running mean and variance (in[3], in[4])";
    else if (op == UM_OP_BN_COEF && !a->bn.eval && (call->in[0].c == 0 || a->bn.hw < 1))
        why = "batch statistics need the sums (in[0]) and attr.bn.hw = H*W";
    else if (op == UM_OP_BN_COEF && (a->bn.per_lane ? a->bn.eval || call->out[1].c != 0 || call->out[2].c != 0 : call->out[0].n != 1))
        why = "statistics per lane (attr.bn.per_lane) are of a batch, for each of its images, and update nothing";
    else if (op == UM_OP_CDC_FOLD && a->cdc.dual != (call->in[1].c != 0))
        why = "attr.cdc.dual goes with the second kernel (in[1])";
    else if ((op == UM_OP_CLIP_FWD || op == UM_OP_CLIP_BWD) && !(a->clip.lo <= a->clip.hi))
        why = "attr.clip.lo must not exceed attr.clip.hi";
    else if ((op == UM_OP_SEG_SUMS || op == UM_OP_SEG_BWD) && call->in[0].c > 2)
        why = "logits have one or two channels";
    else if (op == UM_OP_SEG_LOSS && a->seg.hw < 1)
        why = "attr.seg.hw must be the number of pixels per image";
    else if ((op == UM_OP_SEG_LOSS || op == UM_OP_SEG_BWD) && a->seg.dice_batch && call->in[op == UM_OP_SEG_LOSS ? 1 : 3].c == 0)
        why = "attr.seg.dice_batch needs the sums over the whole batch (t)";
    else if ((op == UM_OP_BOUND_FWD || op == UM_OP_BOUND_BWD) && call->in[0].c > 256)
        why = "perturbations have at most 256 channels";
    if (!why)
        why = check_relations(op, call);
    return why ? um_fail(UM_E_UNSUPPORTED, "%s: %s", um_op_table[op].name, why) : UM_OK;
}

um_status um_shape_check(um_op op, const um_op_call *call, um_dtype real, um_dtype store)
{
    um_status rc = UM_OK;
    const um_op_info *info = &um_op_table[op];
    rule_reader r = {.op = op, .real = real, .store = store};
    for (size_t i = 0; i < sizeof r.bound / sizeof r.bound[0]; i++)
        r.bound[i] = -1;
    for (int pass = 0; pass < 2; pass++) {
        r.check = pass == 1;
        r.at = rules[op];
        UM_TRY(read_side(&r, call->in, "in", info->n_in));
        if (next_char(&r) == '>')
            r.at++;
        UM_TRY(read_side(&r, call->out, "out", info->n_out));
    }
    if (call->accumulate && !(info->flags & UM_OPF_A))
        return um_fail(UM_E_UNSUPPORTED, "%s: cannot accumulate into its output", info->name);
    UM_TRY(check_attr(op, call));
done:
    return rc;
}

/* The letter of operand `index` of a side. */
static char operand_letter(um_op op, bool is_out, int index)
{
    const char *at = rules[op];
    if (is_out)
        at = strchr(at, '>') + 1;
    for (; index > 0; index--)
        at = strchr(at, ',') + 1;
    while (*at == ' ' || *at == '?')
        at++;
    return *at;
}

bool um_shape_is_activation(um_op op, bool is_out, int index)
{
    char letter = operand_letter(op, is_out, index);
    return letter == 'r' || letter == 'a';
}
