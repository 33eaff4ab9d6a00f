/* Writes a model for torch_roundtrip.py: write_model ARCH DATA.h5 MODEL.h5 LOGITS.h5
 * Trains a network of width 4 for a few steps on DATA and writes it, and its eval-mode logits of DATA's images. */
#include <stdio.h>

#include "base/mem.h"
#include "io/h5.h"
#include "train/checkpoint.h"
#include "train/rows.h"

enum { STEPS = 5, WIDTH = 4, SEED = 3 };

static um_status write_logits(const char *path, const um_dataset *d, const float *logits)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    um_h5_array a = {.name = "/logits", .type = UM_H5_F32, .ndim = 3, .shape = {d->n, d->h, d->w}, .description = "logits",
                     .axes = "sample,y,x", .unit = ""};
    UM_TRY(um_h5_create(&f, path, "logits", "1.0"));
    UM_TRY(um_h5_write_array(f, &a, logits));
    UM_TRY(um_h5_commit(&f));
done:
    um_h5_free(f);
    return rc;
}

static um_status train_and_write(um_segmenter *s, const um_dataset *d, const char *model, const char *logits_path)
{
    um_status rc = UM_OK;
    float *x = NULL, *y = NULL, *logits = NULL;
    double loss[3];
    int64_t hw = d->h * d->w;
    UM_TRY(UM_NEW_ARRAY(x, d->n * hw * d->c));
    UM_TRY(UM_NEW_ARRAY(y, d->n * hw));
    UM_TRY(UM_NEW_ARRAY(logits, d->n * hw));
    for (int64_t i = 0; i < d->n; i++) {
        um_row_image(d, i, UM_F32, x + i * hw * d->c);
        um_row_mask(d, i, UM_F32, y + i * hw);
    }
    UM_TRY(um_params_init(s->params, SEED, UM_RNG_EXPLOITER_INIT));
    for (int i = 0; i < STEPS; i++)
        UM_TRY(um_segmenter_step(s, x, y, d->n, loss));
    UM_TRY(um_segmenter_logits(s, x, d->n, logits));
    UM_TRY(um_model_save(s, model, STEPS, SEED));
    UM_TRY(write_logits(logits_path, d, logits));
done:
    um_free(x);
    um_free(y);
    um_free(logits);
    return rc;
}

static um_status run(char **argv)
{
    um_status rc = UM_OK;
    um_backend *b = NULL;
    um_dataset *d = NULL;
    um_segmenter *s = NULL;
    um_segmenter_config config = {.spread = {.lanes = 2}, .loss = {.w_ce = 1, .w_dice = 1, .smooth = 1e-5},
                                  .adam = {.lr = 1e-2, .b1 = 0.9, .b2 = 0.999, .eps = 1e-8}};
    UM_TRY(um_dataset_read(&d, argv[2]));
    UM_TRY(um_backend_create(&b, "cpu", UM_F32));
    UM_TRY(um_model_find(&config.model, argv[1]));
    config.net =
        (um_model_config){.width = WIDTH, .in_ch = d->c, .out_ch = 1, .cdc = {UM_CDC_DUAL, 0, 0.25}, .cdc_bottleneck = true};
    config.h = d->h, config.w = d->w, config.max_batch = d->n;
    UM_TRY(um_segmenter_create(&s, b, &config));
    UM_TRY(train_and_write(s, d, argv[3], argv[4]));
done:
    um_segmenter_free(s);
    um_dataset_free(d);
    um_backend_free(b);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: write_model ARCH DATA.h5 MODEL.h5 LOGITS.h5\n");
        return um_status_exit(UM_E_USAGE);
    }
    um_status rc = run(argv);
    if (rc != UM_OK)
        fprintf(stderr, "write_model: %s\n", um_error_text());
    return rc == UM_OK ? 0 : um_status_exit(rc);
}
