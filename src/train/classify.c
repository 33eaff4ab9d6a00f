#include "train/classify.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "train/predict.h"

static const um_opt rows_[] = {
    UM_OPT_INT_ROW(um_classify_options, epochs, "epochs", "30", 1, 1000000, "epochs", "length of a classifier's training"),
    UM_OPT_INT_ROW(um_classify_options, batch, "batch", "32", 1, 65536, "images", "batch size"),
    UM_OPT_REAL_ROW(um_classify_options, lr, "lr", "1e-3", 1e-12, 10, "", "learning rate of SGD at the start"),
    UM_OPT_REAL_ROW(um_classify_options, momentum, "momentum", "0.9", 0, 0.9999, "", "momentum of SGD"),
    UM_OPT_REAL_ROW(um_classify_options, weight_decay, "weight_decay", "0", 0, 1, "", "L2 weight decay"),
    UM_OPT_INT_ROW(um_classify_options, lr_step, "lr_step", "5", 1, 1000000, "epochs",
                   "epochs between reductions of the learning rate"),
    UM_OPT_REAL_ROW(um_classify_options, lr_gamma, "lr_gamma", "0.1", 1e-6, 1, "", "factor of a reduction; 1: constant"),
    UM_OPT_REAL_ROW(um_classify_options, focal, "focal", "0", 0, 10, "", "gamma of the focal loss; 0: cross entropy"),
    UM_OPT_BOOL_ROW(um_classify_options, balance, "balance", "true", "repeat rows of small classes"),
    UM_OPT_REAL_ROW(um_classify_options, brightness, "aug.brightness", "0.5", 0, 1, "",
                    "brightness is multiplied by 1 +- this; 0: off"),
    UM_OPT_REAL_ROW(um_classify_options, contrast_low, "aug.contrast_low", "0.2", 0, 4, "", "least factor of the contrast"),
    UM_OPT_REAL_ROW(um_classify_options, contrast_high, "aug.contrast_high", "0.8", 0, 4, "",
                    "largest; both 1: off. As published it never reaches 1"),
    UM_OPT_INT_ROW(um_classify_options, crop_pad, "aug.crop_pad", "4", 0, 1024, "pixels",
                   "random crop of the image padded with zeros by so much"),
    UM_OPT_BOOL_ROW(um_classify_options, flip, "aug.flip", "true", "upside down, every other time"),
    UM_OPT_BOOL_ROW(um_classify_options, shuffle_labels, "shuffle_labels", "false",
                    "sanity: training labels change places; nothing can be learned"),
};
const um_opt_table um_classify_table = UM_OPT_TABLE("classifier", um_classify_options, rows_);

/* ---- scores ---- */

int um_class_of(const float *logits, int classes)
{
    int best = 0;
    for (int k = 1; k < classes; k++)
        if (logits[k] > logits[best])
            best = k;
    return best;
}

void um_class_scores_of(um_class_scores *out, const float *logits, const uint8_t *labels, int64_t n, int classes)
{
    int64_t most = 0;
    *out = (um_class_scores){.n = n, .classes = classes};
    for (int64_t i = 0; i < n; i++) {
        bool hit = um_class_of(logits + i * classes, classes) == labels[i];
        out->hits += hit;
        out->class_n[labels[i]]++;
        out->class_hits[labels[i]] += hit;
    }
    for (int k = 0; k < classes; k++)
        most = out->class_n[k] > most ? out->class_n[k] : most;
    out->majority = n ? (double)most / (double)n : 0;
}

void um_wilson(double out[2], int64_t hits, int64_t n)
{
    const double z = 1.959963984540054, m = (double)n, p = n ? (double)hits / m : 0;
    out[0] = 0, out[1] = 1;
    if (n == 0)
        return;
    double centre = p + z * z / (2 * m), half = z * sqrt(p * (1 - p) / m + z * z / (4 * m * m)), scale = 1 + z * z / m;
    out[0] = fmax(0, (centre - half) / scale);
    out[1] = fmin(1, (centre + half) / scale);
}

/* ---- prediction ---- */

typedef struct asked {
    const um_segmenter *s;
    const uint8_t *const *pixels; /* of each image */
    float *logits;
} asked;

static um_status make_images(void *payload, int64_t first, int64_t n, void *x)
{
    const asked *a = payload;
    const um_segmenter_config *c = &a->s->config;
    int64_t size = c->h * c->w * c->net.in_ch;
    for (int64_t i = 0; i < n * size; i++) {
        double v = (double)a->pixels[first + i / size][i % size] / 255;
        if (a->s->backend->real == UM_F64)
            ((double *)x)[i] = v;
        else
            ((float *)x)[i] = (float)v;
    }
    um_segmenter_normalise(a->s, x, n);
    return UM_OK;
}

static um_status take_scores(void *payload, int64_t first, int64_t n, const void *logits)
{
    const asked *a = payload;
    int64_t k = a->s->config.net.out_ch;
    for (int64_t i = 0; i < n * k; i++)
        a->logits[first * k + i] = a->s->backend->real == UM_F64 ? (float)((const double *)logits)[i] : ((const float *)logits)[i];
    return UM_OK;
}

static um_status predict(um_segmenter *s, const uint8_t *const *pixels, int64_t n, float *logits)
{
    asked a = {s, pixels, logits};
    return um_predict_run(s, &(um_predict_job){n, make_images, take_scores, &a});
}

um_status um_classify_bytes(um_segmenter *s, const uint8_t *pixels, int64_t n, float *logits)
{
    um_status rc = UM_OK;
    int64_t size = s->config.h * s->config.w * s->config.net.in_ch;
    const uint8_t **at = NULL;
    UM_TRY(UM_NEW_ARRAY(at, n));
    for (int64_t i = 0; i < n; i++)
        at[i] = pixels + i * size;
    UM_TRY(predict(s, at, n, logits));
done:
    um_free(at);
    return rc;
}

um_status um_classify_rows(um_segmenter *s, const um_dataset *d, const um_rows *rows, um_comm *comm, float *logits)
{
    um_status rc = UM_OK;
    int64_t first, own, k = s->config.net.out_ch;
    const uint8_t **at = NULL;
    um_ranks_slice(comm, rows->n, &first, &own);
    UM_TRY(UM_NEW_ARRAY(at, own));
    for (int64_t i = 0; i < own; i++)
        at[i] = um_dataset_image(d, rows->index[first + i]);
    UM_TRY(predict(s, at, own, logits + first * k));
    UM_TRY(um_ranks_collect(comm, logits, rows->n, (size_t)k * sizeof *logits, "collection of class scores"));
done:
    um_free(at);
    return rc;
}

/* ---- augmentation ---- */

typedef struct recipe {
    const um_classify_job *job;
    const um_classify_options *o;
    double *image; /* scratch, one image */
} recipe;

static double between(double lo, double hi, uint32_t word)
{
    return lo + (hi - lo) * (double)um_rng_unit(word);
}

/* v: [h][w][c] in [0,1]. */
static void light(double *v, int64_t n, double brightness, double contrast)
{
    double mean = 0;
    for (int64_t i = 0; i < n; i++) {
        v[i] = fmin(1, v[i] * brightness);
        mean += v[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++)
        v[i] = fmin(1, fmax(0, mean + contrast * (v[i] - mean)));
}

static void augment(const recipe *r, const uint32_t words[8], void *x, um_dtype real)
{
    const um_dataset *d = r->job->data;
    const um_classify_options *o = r->o;
    int64_t h = d->h, w = d->w, c = d->c, n = h * w * c, span = 2 * o->crop_pad + 1;
    int64_t dy = words[2] % (uint64_t)span - o->crop_pad, dx = words[3] % (uint64_t)span - o->crop_pad;
    bool flip = o->flip && words[4] & 1;
    for (int64_t i = 0; i < n; i++)
        r->image[i] = real == UM_F64 ? ((double *)x)[i] : (double)((float *)x)[i];
    light(r->image, n, between(1 - o->brightness, 1 + o->brightness, words[0]),
          between(o->contrast_low, o->contrast_high, words[1]));
    for (int64_t i = 0; i < n; i++) {
        int64_t y = (flip ? h - 1 - i / (w * c) : i / (w * c)) + dy, q = i / c % w + dx;
        double v = y < 0 || q < 0 || y >= h || q >= w ? 0 : r->image[(y * w + q) * c + i % c];
        if (real == UM_F64)
            ((double *)x)[i] = v;
        else
            ((float *)x)[i] = (float)v;
    }
}

static um_status on_batch(void *payload, um_segmenter *s, const um_fit_batch *b)
{
    const recipe *r = payload;
    const um_dataset *d = r->job->data;
    size_t bytes = (size_t)(d->h * d->w * d->c) * um_dtype_bytes(s->backend->real);
    s->config.adam.lr = r->o->lr * pow(r->o->lr_gamma, (double)(b->epoch / r->o->lr_step));
    for (int64_t i = 0; i < b->n; i++) { /* rows may come several times in one epoch: by place as well */
        uint64_t id = um_text_hash(d->ids[b->row[i]]);
        uint32_t words[8], place = (uint32_t)(2 * (b->step * r->o->batch + b->first + i));
        um_rng_words(r->job->seed, UM_RNG_CLASSIFIER_AUGMENT, place, id, (uint32_t)b->epoch, words);
        um_rng_words(r->job->seed, UM_RNG_CLASSIFIER_AUGMENT, place + 1, id, (uint32_t)b->epoch, words + 4);
        augment(r, words, (char *)b->x + (size_t)i * bytes, s->backend->real);
    }
    return UM_OK;
}

/* ---- training ---- */

/* Mean and standard deviation of every channel over the rows, in [0,1]. */
static void measure_pixels(um_segmenter_config *config, const um_dataset *d, const um_rows *rows)
{
    int64_t sum[3] = {0}, squares[3] = {0}, pixels = d->h * d->w, n = rows->n * pixels;
    for (int64_t i = 0; i < rows->n; i++)
        for (int64_t p = 0; p < pixels * d->c; p++) {
            int64_t v = um_dataset_image(d, rows->index[i])[p];
            sum[p % d->c] += v, squares[p % d->c] += v * v;
        }
    for (int64_t k = 0; k < 3; k++) {
        int64_t ch = k % d->c;
        double mean = (double)sum[ch] / (double)n, var = (double)squares[ch] / (double)n - mean * mean;
        config->mean[k] = mean / 255;
        config->sd[k] = fmax(sqrt(fmax(var, 0)), 1) / 255; /* flat images: one level */
    }
}

/* The rows, those of small classes several times over. */
static um_status balance(um_rows *out, const um_dataset *d, const um_rows *rows)
{
    um_status rc = UM_OK;
    int64_t count[256] = {0}, most = 0, total = 0;
    um_rows r = {0};
    for (int64_t i = 0; i < rows->n; i++) {
        int64_t c = ++count[d->labels[rows->index[i]]];
        most = c > most ? c : most;
    }
    for (int64_t i = 0; i < rows->n; i++)
        total += most / count[d->labels[rows->index[i]]];
    UM_TRY(UM_NEW_ARRAY(r.index, total));
    UM_TRY(UM_NEW_ARRAY(r.key, total));
    for (int64_t i = 0; i < rows->n; i++)
        for (int64_t k = 0; k < most / count[d->labels[rows->index[i]]]; k++) {
            r.index[r.n] = rows->index[i];
            r.key[r.n++] = rows->key[i] + 0x9E3779B97F4A7C15u * (uint64_t)k;
        }
    *out = r;
    r = (um_rows){0};
done:
    um_rows_free(&r);
    return rc;
}

/* A copy of the dataset in which the labels of the rows have changed places. */
static um_status shuffle_labels(um_dataset **out, const um_classify_job *job)
{
    um_status rc = UM_OK;
    const um_rows *rows = job->train_rows;
    um_dataset *d = NULL;
    int64_t *order = NULL;
    UM_TRY(um_dataset_clone(&d, job->data));
    UM_TRY(UM_NEW_ARRAY(order, rows->n));
    UM_TRY(um_rows_order(order, rows, job->seed, UM_RNG_CLASSIFIER_SHUFFLE, 0));
    for (int64_t i = 0; i < rows->n; i++)
        d->labels[rows->index[i]] = job->data->labels[rows->index[order[i]]];
    *out = d;
    d = NULL;
done:
    um_free(order);
    um_dataset_free(d);
    return rc;
}

static um_status check(const um_classify_job *job)
{
    const um_dataset *d = job->data;
    if (!job->model->classifier)
        return um_fail(UM_E_CONFIG, "%s is no classifier; `umed list` shows those", job->model->name);
    if (!d->labels || um_dataset_classes(d) < 2)
        return um_fail(UM_E_DATA, "%s: the dataset has no classes; import it with labels", job->label);
    if (d->bits != 8)
        return um_fail(UM_E_DATA, "%s: images of %d bit; classifiers and marks take 8", job->label, d->bits);
    if (job->train_rows->n == 0 || job->test_rows->n == 0)
        return um_fail(UM_E_DATA, "%s: %lld training rows and %lld test rows; both are needed", job->label,
                       (long long)job->train_rows->n, (long long)job->test_rows->n);
    return UM_OK;
}

static um_status fingerprint(const um_classify_job *job, char out[UM_SHA256_HEX])
{
    um_status rc = UM_OK;
    um_text text = {0};
    char data[UM_SHA256_HEX];
    um_dataset_sha256(job->data, data);
    UM_TRY(um_settings_changes(job->settings, "classifier model run conv", &text));
    UM_TRY(um_text_add(&text, "%s data %s %ld %ld seed %llu\n", job->model->name, data, (long)job->train_rows->n,
                       (long)job->test_rows->n, (unsigned long long)job->seed));
    um_sha256_of(um_text_get(&text), text.n, out);
done:
    um_text_free(&text);
    return rc;
}

static um_status score(um_class_scores *out, um_segmenter *s, const um_classify_job *job, const um_rows *rows)
{
    um_status rc = UM_OK;
    int classes = (int)s->config.net.out_ch;
    float *logits = NULL;
    uint8_t *labels = NULL;
    UM_TRY(UM_NEW_ARRAY(logits, rows->n * classes));
    UM_TRY(UM_NEW_ARRAY(labels, rows->n));
    for (int64_t i = 0; i < rows->n; i++)
        labels[i] = job->data->labels[rows->index[i]];
    UM_TRY(um_classify_rows(s, job->data, rows, job->comm, logits));
    um_class_scores_of(out, logits, labels, rows->n, classes);
done:
    um_free(labels);
    um_free(logits);
    return rc;
}

static um_segmenter_config configure(const um_classify_job *job)
{
    const um_classify_options *o = um_settings_get(job->settings, "classifier");
    um_segmenter_config c = {
        .model = job->model, .net = um_model_configure(um_settings_get(job->settings, "model"), job->data->c), .h = job->data->h,
        .w = job->data->w, .max_batch = o->batch, .spread = um_spread_of(um_settings_get(job->settings, "run"), job->comm),
        .adam = {.lr = o->lr, .b1 = o->momentum, .b2 = 0.999, .eps = 1e-8, .weight_decay = o->weight_decay, .sgd = true},
        .seed = job->seed, .focal = o->focal,
    };
    c.net.out_ch = um_dataset_classes(job->data);
    measure_pixels(&c, job->data, job->train_rows);
    return c;
}

um_status um_classify_run(um_segmenter **out, um_classify_result *result, const um_classify_job *job)
{
    um_status rc = UM_OK;
    double start = um_now(), earlier = 0;
    recipe r = {.job = job, .o = um_settings_get(job->settings, "classifier")};
    um_classify_result q = {0};
    um_segmenter *s = NULL;
    um_rows rows = {0};
    um_dataset *shuffled = NULL;
    const um_dataset *learned = job->data;
    char print[UM_SHA256_HEX];
    const um_run_options *run = um_settings_get(job->settings, "run");
    UM_TRY(check(job));
    um_segmenter_config config = configure(job);
    UM_TRY(um_spread_check(&config.spread));
    UM_TRY(um_segmenter_create(&s, job->backend, &config));
    UM_TRY(um_params_init(s->params, job->seed, UM_RNG_CLASSIFIER_INIT));
    UM_TRY(fingerprint(job, print));
    UM_TRY(UM_NEW_ARRAY(r.image, job->data->h * job->data->w * job->data->c));
    if (r.o->shuffle_labels) {
        UM_TRY(shuffle_labels(&shuffled, job));
        learned = shuffled;
    }
    if (r.o->balance)
        UM_TRY(balance(&rows, learned, job->train_rows));
    um_fit_options fit = {.epochs = r.o->epochs,
                          .batch = r.o->batch,
                          .seed = job->seed,
                          .order = UM_RNG_CLASSIFIER_ORDER,
                          .checkpoint = job->checkpoint,
                          .fingerprint = print,
                          .checkpoint_s = run->checkpoint_s,
                          .label = job->label,
                          .earlier_s = &earlier,
                          .on_batch = on_batch,
                          .payload = &r};
    UM_TRY(um_fit_run(s, learned, r.o->balance ? &rows : job->train_rows, &fit, &q.curves));
    UM_TRY(score(&q.train, s, job, job->train_rows));
    UM_TRY(score(&q.test, s, job, job->test_rows));
    UM_TRY(um_params_sha256(s->params, q.weights_sha256));
    q.seconds = um_now() - start + earlier;
    *out = s;
    s = NULL;
    *result = q;
    q = (um_classify_result){0};
done:
    um_rows_free(&rows);
    um_dataset_free(shuffled);
    um_free(r.image);
    um_segmenter_free(s);
    um_classify_result_free(&q);
    return rc;
}

um_status um_classify_cost(um_cost *out, double *predict, const um_classify_job *job)
{
    um_status rc = UM_OK;
    const um_classify_options *o = um_settings_get(job->settings, "classifier");
    um_segmenter_costs costs;
    um_rows rows = {0};
    int64_t n = job->train_rows->n;
    UM_TRY(check(job));
    um_segmenter_config config = configure(job);
    if (o->balance) {
        UM_TRY(balance(&rows, job->data, job->train_rows));
        n = rows.n;
    }
    UM_TRY(um_segmenter_cost(&costs, job->backend, &config));
    *out = (um_cost){costs.train * (double)n * (double)o->epochs, costs.bytes};
    *predict = costs.predict;
done:
    um_rows_free(&rows);
    return rc;
}

void um_classify_result_free(um_classify_result *r)
{
    um_curves_free(&r->curves);
}
