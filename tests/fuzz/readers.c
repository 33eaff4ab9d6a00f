#include "fuzz/readers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "base/file.h"
#include "base/mem.h"
#include "exploit/exploiter.h"
#include "fuzz/archive_readers.h"
#include "grid/plan.h"
#include "grid/result.h"
#include "io/check.h"
#include "io/checkpoint.h"
#include "io/config.h"
#include "io/dataset.h"
#include "io/import.h"
#include "io/private.h"
#include "io/raster.h"
#include "io/store.h"
#include "protect/protector.h"
#include "train/checkpoint.h"
#include "train/options.h"

enum { SIDE = 24 };

static um_status past_the_last(void)
{
    return um_fail(UM_E_USAGE, "no more kinds");
}

/* A file of another writer, from tests/data. */
static um_status copy_data_file(const char *path, const char *name)
{
    um_status rc = UM_OK;
    um_text text = {0}, from = {0};
    const char *root = getenv("UMED_SOURCE_DIR");
    if (!root)
        return past_the_last();
    UM_TRY(um_text_add(&from, "%s/tests/data/%s", root, name));
    UM_TRY(um_file_read(&text, um_text_get(&from), 1 << 24));
    UM_TRY(um_file_write(path, um_text_get(&text), text.n));
done:
    um_text_free(&text);
    um_text_free(&from);
    return rc;
}

/* ---- pictures ---- */

static um_status read_picture(const char *path)
{
    um_raster r = {0};
    um_status rc = um_raster_read(&r, path);
    um_raster_clear(&r);
    return rc;
}

static uint8_t level(int64_t i)
{
    return (uint8_t)(i * 37 % 251 ^ i / 5);
}

static um_status make_png(const char *path, int kind)
{
    um_status rc = UM_OK;
    um_raster r = {SIDE, SIDE + kind, kind & 1 ? 3 : 1, kind & 2 ? 16 : 8, NULL};
    size_t bytes = (size_t)(r.h * r.w * r.c * r.bits / 8);
    if (kind > 3)
        return past_the_last();
    UM_TRY(um_alloc(&r.data, bytes, 1));
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)r.data)[i] = level((int64_t)i);
    UM_TRY(um_png_write(path, &r));
done:
    um_raster_clear(&r);
    return rc;
}

static um_status make_jpeg(const char *path, int kind)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    uint8_t row[3 * SIDE];
    FILE *f = kind > 3 ? NULL : fopen(path, "wb");
    if (!f)
        return past_the_last();
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_stdio_dest(&c, f);
    c.image_width = c.image_height = SIDE;
    c.input_components = kind & 1 ? 3 : 1;
    c.in_color_space = kind & 1 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(&c);
    if (kind & 2)
        jpeg_simple_progression(&c);
    jpeg_start_compress(&c, TRUE);
    for (int64_t y = 0; y < SIDE; y++) {
        JSAMPROW rows[1] = {row};
        for (int64_t i = 0; i < 3 * SIDE; i++)
            row[i] = level(y * 7 + i);
        jpeg_write_scanlines(&c, rows, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    fclose(f);
    return UM_OK;
}

/* ---- datasets ---- */

static um_status read_dataset(const char *path)
{
    um_dataset *d = NULL;
    um_status rc = um_dataset_read(&d, path);
    um_dataset_free(d);
    um_status checked = um_check_path(path, NULL, NULL);
    return rc != UM_OK ? rc : checked;
}

static um_status make_dataset(const char *path, int kind)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    if (kind > 2)
        return kind == 3 ? copy_data_file(path, "torch_unet_w2_data.h5") : past_the_last();
    UM_TRY(um_import_phantoms(&d, 5, 16, kind == 1 ? 3 : 1, 1, NULL));
    remove(path);
    UM_TRY(um_dataset_write(d, path, &(um_dataset_write_options){.released = kind == 2}));
done:
    um_dataset_free(d);
    return rc;
}

static um_status read_private(const char *path)
{
    return um_check_path(path, NULL, NULL);
}

static um_status make_private(const char *path, int kind)
{
    um_status rc = UM_OK;
    um_dataset *clean = NULL, *released = NULL;
    um_text folder = {0}, file = {0};
    if (kind > 0)
        return past_the_last();
    UM_TRY(um_import_phantoms(&clean, 5, 16, 1, 1, NULL));
    UM_TRY(um_dataset_clone(&released, clean));
    ((uint8_t *)released->images)[7] ^= 1;
    UM_TRY(um_text_add(&folder, "%s.folder", path));
    UM_TRY(um_text_add(&file, "%s/private.h5", um_text_get(&folder)));
    UM_TRY(um_private_write(um_text_get(&folder), clean, released, 4, &(um_provenance){.settings = "umed: { };\n"}));
    if (rename(um_text_get(&file), path) != 0)
        rc = um_fail(UM_E_IO, "%s: cannot be renamed", um_text_get(&file));
    UM_TRY(um_dir_remove(um_text_get(&folder)));
done:
    um_text_free(&folder);
    um_text_free(&file);
    um_dataset_free(clean);
    um_dataset_free(released);
    return rc;
}

/* ---- checkpoints: a model and the state of a training, of the same network ---- */

static um_status small_network(um_segmenter **out, um_backend **backend)
{
    um_status rc = UM_OK;
    um_segmenter_config config = {.net = {.width = 1, .in_ch = 1, .out_ch = 1}, .h = 16, .w = 16,
                                  .max_batch = 1, .spread = {.lanes = 1}, .loss = {.w_ce = 1, .w_dice = 1, .smooth = 1e-5},
                                  .adam = {.lr = 1e-3, .b1 = 0.9, .b2 = 0.999, .eps = 1e-8}};
    UM_TRY(um_backend_create(backend, "cpu", UM_F32));
    UM_TRY(um_model_find(&config.model, "unet"));
    UM_TRY(um_segmenter_create(out, *backend, &config));
done:
    return rc;
}

static um_training_state state_of(um_segmenter *s, um_curves *curves)
{
    return (um_training_state){.fingerprint = "fuzz", .n_nets = 1, .net_name = {"model"}, .net = {s->params}, .curves = curves};
}

static um_status read_checkpoint(const char *path)
{
    static um_segmenter *s; /* made once: what is loaded into it does not matter */
    static um_backend *backend;
    um_status rc = UM_OK, worst = UM_OK;
    um_segmenter *loaded = NULL;
    um_curves curves = {0};
    bool found = false;
    if (!s)
        UM_TRY(small_network(&s, &backend));
    worst = um_check_path(path, NULL, NULL);
    um_status model = um_model_load(&loaded, backend, path, 16, 16, 1);
    um_training_state t = state_of(s, &curves);
    um_status training = um_training_load(&t, path, &found);
    rc = worst != UM_OK ? worst : model != UM_OK && training != UM_OK ? model : UM_OK;
done:
    um_curves_free(&curves);
    um_segmenter_free(loaded);
    return rc;
}

static um_status make_checkpoint(const char *path, int kind)
{
    um_status rc = UM_OK;
    um_segmenter *s = NULL;
    um_backend *backend = NULL;
    um_curves curves = {0};
    if (kind > 1)
        return kind == 2 ? copy_data_file(path, "torch_unet_w2.h5") : past_the_last();
    UM_TRY(small_network(&s, &backend));
    UM_TRY(um_params_init(s->params, 1, UM_RNG_TEST));
    UM_TRY(um_curves_add(&curves, "loss", 1, 0.5));
    um_training_state t = state_of(s, &curves);
    remove(path);
    UM_TRY(kind == 0 ? um_model_save(s, path, 1, 1) : um_training_save(&t, path));
done:
    um_curves_free(&curves);
    um_segmenter_free(s);
    um_backend_free(backend);
    return rc;
}

/* ---- results ---- */

static um_status read_result(const char *path)
{
    um_result_row row;
    um_visibility v = {0};
    um_status rc = um_result_read_row(&row, path), seen = um_result_read_visibility(&v, path);
    um_visibility_free(&v);
    um_status checked = um_check_path(path, NULL, NULL);
    return rc != UM_OK ? rc : seen != UM_OK ? seen : checked;
}

static um_status settings_of(um_settings **out)
{
    static const um_opt_table *const tables[] = {
        &um_data_table,   &um_model_table, &um_loss_table, &um_export_table, &um_exploiter_table,
        &um_metric_table, &um_run_table,   &um_conv_table, &um_grid_table,   NULL};
    return um_settings_create(out, tables);
}

static um_status make_result(const char *path, int kind)
{
    um_status rc = UM_OK;
    um_settings *settings = NULL;
    um_curves curves = {0};
    double values[3] = {40, 41, 42};
    um_visibility v = {.psnr = 41, .ssim = 0.9, .linf = 4.0 / 255, .n = 3, .image_psnr = values, .image_ssim = values};
    if (kind > 0)
        return past_the_last();
    UM_TRY(settings_of(&settings));
    UM_TRY(um_curves_add(&curves, "loss", 1, 0.5));
    um_result_meta meta = {.key = "k", .dataset = "d", .protector = "umed", .seed = 1, .bound_linf = 4.0 / 255,
                           .command = "fuzz", .settings = settings};
    UM_TRY(um_result_write_protection(path, &meta, &v, &curves, 1));
done:
    um_curves_free(&curves);
    um_settings_free(settings);
    return rc;
}

/* ---- configurations ---- */

static um_status read_config(const char *path)
{
    um_status rc = UM_OK;
    um_settings *settings = NULL;
    um_grid_config *grid = NULL;
    um_text text = {0};
    UM_TRY(settings_of(&settings));
    UM_TRY(um_config_load(path, settings, &grid));
    UM_TRY(um_settings_print(settings, &text));
done:
    um_text_free(&text);
    um_grid_config_free(grid);
    um_settings_free(settings);
    return rc;
}

static const char *const configs[] = {
    "# a sweep\nmodel: { base_width = 8; };\nexploiter: { epochs = 30; adam_lr = 1e-3; batch = 0x10; };\n"
    "grid: { datasets = ( { name = \"busi\"; path = \"busi.h5\"; } );\n"
    "  variants = ( { name = \"v\"; base = \"umed\"; set = [ \"loss.w_ce=2\", \"export.eps_scale=1.5\" ]; } );\n"
    "  blocks = ( { tables = [1,2]; protectors = [\"none\",\"v\"]; exploiters = [\"unet\"]; }, { defenses = [\"none\"]; } );\n"
    "  seeds = [1, 2, 3]; lease_s = 60; };\n",
    "run: { threads = 2; lanes = 4; checkpoint_s = \"300\"; };\nexport: { bn_recalibrate = true; eps_scale = \"4/3\"; };\n"
    "/* nested */ data: { split = 0.8; limit = 10; channels = \"auto\"; };\nmetrics: { ssim: { window = \"gauss11\"; }; };\n",
};

static um_status make_config(const char *path, int kind)
{
    return kind > 1 ? past_the_last() : um_file_write(path, configs[kind], strlen(configs[kind]));
}

const fuzz_reader fuzz_readers[] = {
    {"png", ".png", read_picture, make_png},
    {"jpeg", ".jpg", read_picture, make_jpeg},
    {"dataset", ".h5", read_dataset, make_dataset},
    {"checkpoint", ".h5", read_checkpoint, make_checkpoint},
    {"result", ".h5", read_result, make_result},
    {"private", ".h5", read_private, make_private},
    {"config", ".cfg", read_config, make_config},
    {"shard", ".h5", fuzz_read_shard, fuzz_make_shard},
    {"delta", ".h5", fuzz_read_delta, fuzz_make_delta},
    {"job", ".json", fuzz_read_job, fuzz_make_job},
    {"item", ".json", fuzz_read_item, fuzz_make_item},
    {"manifest", ".jsonl", fuzz_read_manifest, fuzz_make_manifest},
    {"public", ".jsonl", fuzz_read_public, fuzz_make_public},
    {"certificate", ".h5", fuzz_read_certificate, fuzz_make_certificate},
    {"sealed", ".h5", fuzz_read_sealed, fuzz_make_sealed},
    {"record", ".txt", fuzz_read_record, fuzz_make_record},
    {"key", ".key", fuzz_read_key, fuzz_make_key},
};
const int fuzz_n_readers = UM_COUNT(fuzz_readers);
