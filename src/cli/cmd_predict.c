#include "cli/cli.h"

#include "base/mem.h"
#include "base/signal.h"
#include "io/h5.h"
#include "io/provenance.h"
#include "io/store.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/predict.h"

#include <stdio.h>

enum { BATCH = 16 };

typedef struct asked {
    const um_segmenter *s;
    const um_dataset *d;
    float *margins;
} asked;

static um_status make_images(void *payload, int64_t first, int64_t n, void *x)
{
    um_status rc = UM_OK;
    const asked *a = payload;
    um_dtype real = a->s->backend->real;
    size_t image = (size_t)(a->d->h * a->d->w * a->d->c) * um_dtype_bytes(real);
    UM_TRY(um_stop_check("nothing was written"));
    for (int64_t i = 0; i < n; i++)
        um_row_image(a->d, first + i, real, (char *)x + (size_t)i * image);
done:
    return rc;
}

static um_status take_margins(void *payload, int64_t first, int64_t n, const void *logits)
{
    const asked *a = payload;
    um_segmenter_margin_of(a->s, logits, n, a->margins + first * a->d->h * a->d->w);
    return UM_OK;
}

/* One margin per pixel of every image. out: [n][h][w], owned by the caller. */
static um_status margins_of(float **out, um_segmenter *s, const um_dataset *d)
{
    um_status rc = UM_OK;
    float *margins = NULL;
    UM_TRY(UM_NEW_ARRAY(margins, d->n * d->h * d->w));
    asked a = {s, d, margins};
    UM_TRY(um_predict_run(s, &(um_predict_job){d->n, make_images, take_margins, &a}));
    *out = margins;
    margins = NULL;
done:
    um_free(margins);
    return rc;
}

static um_status write_logits(const um_cli *cli, const um_dataset *d, const float *margins)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    um_text inputs = {0};
    char sha256[UM_SHA256_HEX];
    um_h5_array a = {.name = "/logits", .type = UM_H5_F32, .ndim = 3, .shape = {d->n, d->h, d->w},
                     .description = "logit per pixel; foreground where it is 0 or more", .axes = "sample,y,x", .unit = ""};
    um_dataset_sha256(d, sha256);
    UM_TRY(um_provenance_add_input(&inputs, cli->v.data, sha256));
    UM_TRY(um_sha256_of_file(cli->v.model, sha256));
    UM_TRY(um_provenance_add_input(&inputs, cli->v.model, sha256));
    UM_TRY(um_h5_create(&f, cli->v.output, UM_PREDICTION_FORMAT, "1.0"));
    UM_TRY(um_h5_write_array(f, &a, margins));
    UM_TRY(um_h5_write_strings(f, "/ids", (const char *const *)d->ids, d->n, "ids of the images", "sample"));
    UM_TRY(um_provenance_write(f, &(um_provenance){.command = "umed predict", .inputs = um_text_get(&inputs)}));
    UM_TRY(um_h5_commit(&f));
done:
    um_text_free(&inputs);
    um_h5_free(f);
    return rc;
}

static um_status print_metrics(const um_cli *cli, const um_dataset *d, const float *margins)
{
    um_status rc = UM_OK;
    static const struct {
        const char *name;
        int split;
    } sides[] = {{"all", -1}, {"train", UM_SPLIT_TRAIN}, {"test", UM_SPLIT_TEST}};
    const um_metric_options *o = um_settings_get(cli->settings, "metrics");
    um_rows rows = {0};
    um_scores s = {0};
    printf("percent images   batch DSC Jac  pooled DSC Jac   image DSC Jac  foreground\n");
    for (size_t i = 0; i < UM_COUNT(sides); i++) {
        um_rows_free(&rows);
        rows = (um_rows){0};
        UM_TRY(um_rows_select(&rows, d, sides[i].split, 0, 0));
        if (rows.n == 0)
            continue;
        UM_TRY(um_evaluate_margins(&s, margins, d, &rows, o->batch, false));
        printf("%-6s %6lld  %6.2f %6.2f  %6.2f %6.2f  %6.2f %6.2f  %6.2f\n", sides[i].name, (long long)s.n, 100 * s.batch.dsc,
               100 * s.batch.jaccard, 100 * s.pooled.dsc, 100 * s.pooled.jaccard, 100 * s.image.dsc, 100 * s.image.jaccard,
               100 * s.foreground);
    }
done:
    um_scores_free(&s);
    um_rows_free(&rows);
    return rc;
}

static um_status run(um_cli *cli)
{
    um_status rc = UM_OK;
    um_backend *backend = NULL;
    um_dataset *d = NULL;
    um_segmenter *s = NULL;
    float *margins = NULL;
    UM_TRY(um_cli_need(cli->v.model, "--model M.h5", cli->command));
    UM_TRY(um_cli_need(cli->v.data, "--data DATA.h5", cli->command));
    if (!cli->v.metrics)
        UM_TRY(um_cli_need(cli->v.output, "-o PRED.h5 or --metrics", cli->command));
    if (cli->v.output)
        UM_TRY(um_cli_check_output(cli->v.output));
    UM_TRY(um_cli_backend(cli, &backend));
    UM_TRY(um_dataset_read(&d, cli->v.data));
    UM_TRY(um_model_load(&s, backend, cli->v.model, d->h, d->w, BATCH));
    if (s->config.net.in_ch != d->c)
        UM_TRY(um_fail(UM_E_DATA, "%s takes %lld channels, %s has %lld; import with --channels %lld", cli->v.model,
                       (long long)s->config.net.in_ch, cli->v.data, (long long)d->c, (long long)s->config.net.in_ch));
    UM_TRY(margins_of(&margins, s, d));
    if (cli->v.output)
        UM_TRY(write_logits(cli, d, margins));
    if (cli->v.metrics)
        UM_TRY(print_metrics(cli, d, margins));
done:
    um_free(margins);
    um_segmenter_free(s);
    um_dataset_free(d);
    um_backend_free(backend);
    return rc;
}

const um_command um_command_predict = {
    .name = "predict",
    .summary = "logits of a trained network for every image of a dataset",
    .usage = "--model M.h5 --data DATA.h5 [--metrics] -o PRED.h5",
    .options = "model data output metrics",
    .groups = "metrics run conv",
    .max_args = 0,
    .computes = true,
    .run = run,
};
