#include "nn/parity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"

enum { INPUT_SEED = 7, SKETCH_SEED = 9, PROJECTIONS = 12, SAMPLES = 16 };

static void parse_line(parity_record *r, char *line)
{
    char *rest = NULL, *field[6];
    for (int i = 0; i < 6; i++) {
        field[i] = strtok_r(i ? NULL : line, " ", &rest);
        assert_non_null(field[i]);
    }
    r->full = !strcmp(field[0], "full");
    snprintf(r->net, sizeof r->net, "%s", field[1]);
    snprintf(r->prec, sizeof r->prec, "%s", field[2]);
    snprintf(r->kind, sizeof r->kind, "%s", field[3]);
    snprintf(r->name, sizeof r->name, "%s", field[4]);
    r->numel = strtoll(field[5], NULL, 10);
    int n = r->full ? (int)r->numel : 1 + PROJECTIONS + SAMPLES;
    for (int i = 0; i < n; i++) {
        char *value = strtok_r(NULL, " ", &rest);
        assert_non_null(value);
        r->v[i] = strtod(value, NULL);
    }
}

void parity_read(parity_file *f, const char *name)
{
    char path[512], *rest = NULL;
    um_text text = {0};
    const char *source = getenv("UMED_SOURCE_DIR");
    *f = (parity_file){0};
    assert_non_null(source);
    snprintf(path, sizeof path, "%s/tests/ref/%s", source, name);
    assert_ok(um_file_read(&text, path, 4 << 20));
    assert_ok(UM_NEW_ARRAY(f->list, 2000));
    for (char *line = strtok_r(text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (line[0] != '#') {
            assert_true(f->n < 2000);
            parse_line(&f->list[f->n++], line);
        }
    um_text_free(&text);
    assert_true(f->n > 40);
}

void parity_free(parity_file *f)
{
    um_free(f->list);
}

parity_record *parity_find(parity_file *f, const char *net, const char *prec, const char *kind, const char *name)
{
    for (int i = 0; i < f->n; i++) {
        parity_record *r = &f->list[i];
        if (!strcmp(r->net, net) && !strcmp(r->prec, prec) && !strcmp(r->kind, kind) && !strcmp(r->name, name))
            return r;
    }
    fail_msg("the fixture has no %s %s %s %s", net, prec, kind, name);
    return NULL;
}

/* P_k = sum_i s_k(i) t_i. */
static double projection(const double *t, int64_t n, uint32_t k)
{
    double p = 0;
    for (int64_t block = 0; block * 128 < n; block++) {
        uint32_t words[4];
        um_rng_words(SKETCH_SEED, UM_RNG_TEST, (uint32_t)block, k, 2, words);
        for (int64_t i = 0; i < 128 && block * 128 + i < n; i++)
            p += words[i / 32] >> (i % 32) & 1 ? t[block * 128 + i] : -t[block * 128 + i];
    }
    return p;
}

static double sketch_distance(const parity_record *r, const double *t)
{
    double l2 = 0, projected = 0, worst = 0, rms = r->v[0] / sqrt((double)r->numel);
    for (int64_t i = 0; i < r->numel; i++)
        l2 += t[i] * t[i];
    worst = fabs(sqrt(l2) - r->v[0]) / r->v[0];
    for (uint32_t k = 0; k < PROJECTIONS; k++)
        projected += pow(projection(t, r->numel, k) - r->v[1 + k], 2) / PROJECTIONS;
    worst = fmax(worst, sqrt(projected) / r->v[0]);
    for (uint64_t j = 0; j < SAMPLES; j++)
        worst = fmax(worst, fabs(t[(j * 2654435761u + 12345) % (uint64_t)r->numel] - r->v[1 + PROJECTIONS + j]) / rms);
    return worst;
}

double parity_distance(const parity_record *r, const double *t, int64_t numel)
{
    double difference = 0, norm = 0;
    assert_int_equal(numel, r->numel);
    if (!r->full)
        return sketch_distance(r, t);
    for (int64_t i = 0; i < numel; i++) {
        difference += pow(t[i] - r->v[i], 2);
        norm += r->v[i] * r->v[i];
    }
    return norm > 0 ? sqrt(difference / norm) : sqrt(difference);
}

static double unit(int64_t i, uint64_t b, uint32_t c)
{
    uint32_t words[4];
    um_rng_words(INPUT_SEED, UM_RNG_TEST, (uint32_t)(i / 4), b, c, words);
    return (double)um_rng_unit(words[i % 4]);
}

/* fan_in of the weight that tensor `index` belongs to; 0 for normalisations and tables. */
static double fan_in(const um_params *params, int index)
{
    char name[128];
    const char *own = params->list[index].name, *dot = strrchr(own, '.');
    snprintf(name, sizeof name, "%.*s.weight", (int)(dot ? dot - own : 0), own);
    int weight = um_params_find(params, name);
    const um_param *q = &params->list[weight < 0 ? index : weight];
    return q->n_dims == 4 || q->n_dims == 2 ? (double)(q->dims[1] * q->dims[2] * q->dims[3]) : 0;
}

static double initial_value(const um_param *q, double fan, double u)
{
    if (fan > 0)
        return (2 * u - 1) / sqrt(fan) * (um_text_ends_with(q->name, ".weight_cd") ? 0.25 : 1);
    return um_text_ends_with(q->name, ".weight") ? 0.5 + u : u - 0.5;
}

void parity_weights(um_params *params)
{
    for (int i = 0; i < params->n; i++) {
        const um_param *q = &params->list[i];
        double *value = NULL, fan = q->kind == UM_PARAM_BUFFER ? 0 : fan_in(params, i);
        assert_ok(UM_NEW_ARRAY(value, q->count));
        for (int64_t k = 0; k < q->count; k++)
            value[k] = q->kind == UM_PARAM_BUFFER ? um_text_ends_with(q->name, ".running_var")
                                                  : initial_value(q, fan, unit(k, um_text_hash(q->name), 0));
        assert_ok(um_params_write(params, i, UM_BLOCK_VALUE, value));
        um_free(value);
    }
}

void parity_batch(double *x, double *y)
{
    for (int n = 0; n < PARITY_BATCH; n++)
        for (int64_t p = 0; p < PARITY_PIXELS; p++) {
            double i = (double)(p / PARITY_SIDE), j = (double)(p % PARITY_SIDE);
            x[n * PARITY_PIXELS + p] = floor(256 * unit(p, (uint64_t)n, 1)) / 255;
            y[n * PARITY_PIXELS + p] = pow((i - 15.5 - n) / (6 + n), 2) + pow((j - 14.5 + n) / (9 - n), 2) <= 1;
        }
}
