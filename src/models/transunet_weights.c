/* ImageNet-21k weights of R50-ViT-B/16 (file R50+ViT-B_16.npz of the vision transformer's authors; models.md section 6.4): which
 * array belongs to which tensor, and how it is turned. Decoder and head are not in the file. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "models/transunet.h"

#define HYBRID "transformer.embeddings.hybrid_model."

typedef enum layout { L_NONE, L_MATRIX, L_VECTOR, L_POSITIONS } layout;

/* Array of a tensor of ours. L_MATRIX: [kh,kw,in,out], [in,out], or with one of the two split by heads; becomes [out,in,kh,kw]. */
typedef struct source {
    layout layout;
    char key[160];
} source;

static bool after(const char **name, const char *prefix)
{
    size_t n = strlen(prefix);
    if (strncmp(*name, prefix, n) != 0)
        return false;
    *name += n;
    return true;
}

/* "conv2.weight" -> "conv2/kernel", "gn_proj.bias" -> "gn_proj/bias". */
static void convolution_key(source *s, const char *folder, const char *name)
{
    bool conv = strncmp(name, "conv", 4) == 0 || strncmp(name, "downsample", 10) == 0;
    bool weight = um_text_ends_with(name, ".weight");
    char part[32];
    snprintf(part, sizeof part, "%.*s", (int)strcspn(name, "."), name);
    if (strcmp(part, "downsample") == 0)
        snprintf(part, sizeof part, "conv_proj");
    s->layout = conv ? L_MATRIX : L_VECTOR;
    snprintf(s->key, sizeof s->key, "%s%s/%s", folder, part, conv ? "kernel" : weight ? "scale" : "bias");
}

static void layer_key(source *s, const char *name)
{
    static const struct { const char *ours, *theirs; bool matrix; } parts[] = {
        {".attention_norm.", "LayerNorm_0", false},
        {".ffn_norm.", "LayerNorm_2", false},
        {".attn.query.", "MultiHeadDotProductAttention_1/query", true},
        {".attn.key.", "MultiHeadDotProductAttention_1/key", true},
        {".attn.value.", "MultiHeadDotProductAttention_1/value", true},
        {".attn.out.", "MultiHeadDotProductAttention_1/out", true},
        {".ffn.fc1.", "MlpBlock_3/Dense_0", true},
        {".ffn.fc2.", "MlpBlock_3/Dense_1", true},
    };
    int index = (int)strcspn(name, ".");
    bool weight = um_text_ends_with(name, ".weight");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strncmp(name + index, parts[i].ours, strlen(parts[i].ours)) == 0) {
            s->layout = parts[i].matrix && weight ? L_MATRIX : L_VECTOR;
            snprintf(s->key, sizeof s->key, "Transformer/encoderblock_%.*s/%s/%s", index, name, parts[i].theirs,
                     weight ? parts[i].matrix ? "kernel" : "scale" : "bias");
        }
}

static source source_of(const char *name)
{
    source s = {L_NONE, ""};
    bool weight = um_text_ends_with(name, ".weight");
    int block = 0, unit = 0, at = 0;
    char folder[48];
    if (after(&name, HYBRID "root.")) {
        s.layout = name[0] == 'c' ? L_MATRIX : L_VECTOR;
        snprintf(s.key, sizeof s.key, name[0] == 'c' ? "conv_root/kernel" : weight ? "gn_root/scale" : "gn_root/bias");
    } else if (after(&name, HYBRID "body.") && sscanf(name, "block%d.unit%d.%n", &block, &unit, &at) == 2 && at > 0) {
        snprintf(folder, sizeof folder, "block%d/unit%d/", block, unit);
        convolution_key(&s, folder, name + at);
    } else if (after(&name, "transformer.embeddings.patch_embeddings.")) {
        s = (source){weight ? L_MATRIX : L_VECTOR, ""};
        snprintf(s.key, sizeof s.key, "embedding/%s", weight ? "kernel" : "bias");
    } else if (after(&name, "transformer.embeddings.position_embeddings")) {
        s = (source){L_POSITIONS, "Transformer/posembed_input/pos_embedding"};
    } else if (after(&name, "transformer.encoder.layer.")) {
        layer_key(&s, name);
    } else if (after(&name, "transformer.encoder.encoder_norm.")) {
        s.layout = L_VECTOR;
        snprintf(s.key, sizeof s.key, "Transformer/encoder_norm/%s", weight ? "scale" : "bias");
    }
    return s;
}

/* An array as it came. */
typedef struct array {
    double *values;
    int n_dims;
    int64_t dims[8];
} array;

static um_status bad_shape(const um_weight_source *from, const char *key, const array *a, const um_param *q)
{
    um_status rc = UM_OK;
    um_text text = {0};
    for (int d = 0; d < a->n_dims; d++)
        UM_TRY(um_text_add(&text, "%s%lld", d ? "," : "", (long long)a->dims[d]));
    UM_TRY(um_text_add(&text, "], which does not fit %s [", q->name));
    for (int d = 0; d < q->n_dims; d++)
        UM_TRY(um_text_add(&text, "%s%lld", d ? "," : "", (long long)q->dims[d]));
    rc = um_fail(UM_E_DATA, "%s: tensor %s has the shape [%s]", from->path, key, um_text_get(&text));
done:
    um_text_free(&text);
    return rc;
}

static int64_t product(const int64_t *dims, int n)
{
    int64_t p = 1;
    for (int d = 0; d < n; d++)
        p *= dims[d];
    return p;
}

/* [kh,kw,in,out] exactly, or [in,out] with in or out in two parts for the heads (query: [in,heads,width], out: [heads,width,out]). */
static bool matrix_fits(const char *key, const array *a, const um_param *q)
{
    int64_t out = q->dims[0], in = q->dims[1];
    if (q->n_dims == 4)
        return a->n_dims == 4 && a->dims[0] == q->dims[2] && a->dims[1] == q->dims[3] && a->dims[2] == in && a->dims[3] == out;
    if (!strstr(key, "MultiHead"))
        return a->n_dims == 2 && a->dims[0] == in && a->dims[1] == out;
    if (um_text_ends_with(key, "out/kernel"))
        return a->n_dims == 3 && a->dims[0] * a->dims[1] == in && a->dims[2] == out;
    return a->n_dims == 3 && a->dims[0] == in && a->dims[1] * a->dims[2] == out;
}

static void turn_matrix(float *to, const array *a, const um_param *q)
{
    int64_t out = q->dims[0], in = q->dims[1], taps = q->dims[2] * q->dims[3];
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++)
            for (int64_t t = 0; t < taps; t++)
                to[(o * in + i) * taps + t] = (float)a->values[(t * in + i) * out + o];
}

/* Drops the class token; another grid is resampled linearly between its end points. */
static bool turn_positions(float *to, const array *a, const um_param *q)
{
    int64_t width = q->dims[2], side = (int64_t)lround(sqrt((double)q->dims[1]));
    int64_t grid = a->n_dims == 3 ? (int64_t)lround(sqrt((double)a->dims[1] - 1)) : 0;
    if (a->n_dims != 3 || a->dims[0] != 1 || a->dims[2] != width || grid < 1 || 1 + grid * grid != a->dims[1])
        return false;
    const double *table = a->values + width;
    double scale = side > 1 ? (double)(grid - 1) / (double)(side - 1) : 0;
    for (int64_t t = 0; t < side * side; t++) {
        double y = (double)(t / side) * scale, x = (double)(t % side) * scale;
        int64_t y0 = (int64_t)y, x0 = (int64_t)x, y1 = y0 + 1 < grid ? y0 + 1 : y0, x1 = x0 + 1 < grid ? x0 + 1 : x0;
        double down = y - (double)y0, right = x - (double)x0;
        for (int64_t k = 0; k < width; k++) {
            double top = (1 - right) * table[(y0 * grid + x0) * width + k] + right * table[(y0 * grid + x1) * width + k];
            double bottom = (1 - right) * table[(y1 * grid + x0) * width + k] + right * table[(y1 * grid + x1) * width + k];
            to[t * width + k] = (float)((1 - down) * top + down * bottom);
        }
    }
    return true;
}

/* Tensor q from the file. value: [q->count] in PyTorch order. */
static um_status fetch(const um_weight_source *from, const source *s, const um_param *q, float *value)
{
    um_status rc = UM_OK;
    array a = {0};
    bool fits = true;
    UM_TRY(from->read(from->self, s->key, &a.values, &a.n_dims, a.dims));
    if (s->layout == L_MATRIX)
        fits = matrix_fits(s->key, &a, q);
    else if (s->layout == L_VECTOR)
        fits = a.n_dims >= 1 && product(a.dims, a.n_dims) == q->count;
    if (fits && s->layout == L_MATRIX)
        turn_matrix(value, &a, q);
    else if (fits && s->layout == L_POSITIONS)
        fits = turn_positions(value, &a, q);
    for (int64_t i = 0; fits && s->layout == L_VECTOR && i < q->count; i++)
        value[i] = (float)a.values[i];
    if (!fits)
        rc = bad_shape(from, s->key, &a, q);
    for (int64_t i = 0; fits && i < q->count; i++)
        if (!isfinite(value[i])) {
            rc = um_fail(UM_E_DATA, "%s: tensor %s holds a value that is not a number", from->path, s->key);
            break;
        }
done:
    um_free(a.values);
    return rc;
}

static um_status store(um_params *params, int index, const float *value)
{
    um_status rc = UM_OK;
    double *wide = NULL;
    int64_t n = params->list[index].count;
    UM_TRY(UM_NEW_ARRAY(wide, n));
    for (int64_t i = 0; i < n; i++)
        wide[i] = (double)value[i];
    UM_TRY(um_params_write(params, index, UM_BLOCK_VALUE, wide));
done:
    um_free(wide);
    return rc;
}

um_status um_transunet_load(um_params *params, const um_weight_source *from, um_text *table)
{
    um_status rc = UM_OK;
    float **value = NULL; /* all of them first, so that an error leaves the network as it was */
    UM_TRY(UM_NEW_ARRAY(value, params->n));
    for (int i = 0; i < params->n; i++) {
        const um_param *q = &params->list[i];
        source s = source_of(q->name);
        if (q->kind == UM_PARAM_BUFFER)
            continue;
        UM_TRY(um_text_add(table, "%-72s %s\n", q->name, s.layout == L_NONE ? "not in the file" : s.key));
        if (s.layout == L_NONE)
            continue;
        UM_TRY(UM_NEW_ARRAY(value[i], q->count));
        UM_TRY(fetch(from, &s, q, value[i]));
    }
    for (int i = 0; i < params->n; i++)
        if (value[i])
            UM_TRY(store(params, i, value[i]));
done:
    for (int i = 0; value && i < params->n; i++)
        um_free(value[i]);
    um_free(value);
    return rc;
}
