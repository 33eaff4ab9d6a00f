/* Commands around datasets: synth, import, export, check. */
#include "cli/cli.h"

#include "base/log.h"
#include "base/mem.h"
#include "io/check.h"
#include "io/dataset.h"
#include "io/export.h"
#include "io/import.h"
#include "io/provenance.h"

#include <stdio.h>

static void tell(const um_dataset *d, const char *path)
{
    int64_t n_test = 0;
    for (int64_t i = 0; i < d->n; i++)
        n_test += d->split[i] == UM_SPLIT_TEST;
    um_log(UM_LOG_INFO, "%s: %lld images %lldx%lldx%lld, %d bit, %lld train and %lld test", path, (long long)d->n, (long long)d->h,
           (long long)d->w, (long long)d->c, d->bits, (long long)(d->n - n_test), (long long)n_test);
}

/* Writes clean data with its provenance. */
static um_status write_clean(const um_cli *cli, const um_dataset *d, const um_provenance *p)
{
    um_status rc = UM_OK;
    um_text lines = {0};
    UM_TRY(um_provenance_lines(p, &lines));
    UM_TRY(um_dataset_write(d, cli->v.output, &(um_dataset_write_options){.n_shards = cli->v.shards > 1 ? (int)cli->v.shards : 1,
                                                                          .provenance = um_text_get(&lines)}));
    tell(d, cli->v.output);
done:
    um_text_free(&lines);
    return rc;
}

static int64_t value_or(int64_t value, int64_t otherwise)
{
    return value >= 0 ? value : otherwise;
}

enum { RETINA_CLASSES = 2 };

static um_status run_synth(um_cli *cli)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    um_text settings = {0};
    int64_t seed = value_or(cli->v.seed, 1);
    int scene = 0;
    UM_TRY(um_cli_need(cli->v.output, "-o DATA.h5", cli->command));
    UM_TRY(um_cli_check_output(cli->v.output));
    UM_TRY(um_cli_choice(cli->v.scene, "scene", "ultrasound retina", &scene));
    if (scene == 1)
        UM_TRY(um_import_retinas(&d, value_or(cli->v.n, 240), value_or(cli->v.size, 64), RETINA_CLASSES, (uint64_t)seed,
                                 um_settings_get(cli->settings, "data")));
    else
        UM_TRY(um_import_phantoms(&d, value_or(cli->v.n, 240), value_or(cli->v.size, 64), value_or(cli->v.channels, 1),
                                  (uint64_t)seed, um_settings_get(cli->settings, "data")));
    UM_TRY(um_settings_print(cli->settings, &settings));
    UM_TRY(write_clean(cli, d, &(um_provenance){.command = "umed synth", .seed = &seed, .settings = um_text_get(&settings)}));
done:
    um_text_free(&settings);
    um_dataset_free(d);
    return rc;
}

const um_command um_command_synth = {
    .name = "synth", .summary = "phantom images with masks, to try things out",
    .usage = "[--n 240] [--size 64] [--channels 1|3] [--seed 1] [--scene ultrasound|retina] [--shards K] -o DATA.h5|DIR",
    .options = "n size channels seed scene shards output", .groups = "data", .max_args = 0, .run = run_synth,
};

static um_status set_integer(um_cli *cli, const char *key, int64_t value, const char *option)
{
    char text[32];
    if (value < 0)
        return UM_OK;
    snprintf(text, sizeof text, "%lld", (long long)value);
    return um_settings_set(cli->settings, key, text, option);
}

static um_status run_import(um_cli *cli)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    um_text settings = {0};
    const char *dir = cli->v.args.items[0];
    UM_TRY(um_cli_need(cli->v.output, "-o DATA.h5", cli->command));
    UM_TRY(um_cli_check_output(cli->v.output));
    UM_TRY(set_integer(cli, "data.size", cli->v.size, "--size"));
    UM_TRY(set_integer(cli, "data.channels", cli->v.channels, "--channels"));
    UM_TRY(um_import_run(&d, um_settings_get(cli->settings, "data"), dir));
    UM_TRY(um_settings_print(cli->settings, &settings));
    UM_TRY(write_clean(cli, d, &(um_provenance){.command = "umed import", .settings = um_text_get(&settings), .inputs = dir}));
done:
    um_text_free(&settings);
    um_dataset_free(d);
    return rc;
}

const um_command um_command_import = {
    .name = "import", .summary = "a folder of pictures and masks to a dataset",
    .usage = "DIR [--layout pairs|busi|kvasir|chest_xray|...] [--size 224] [--channels 1|3] [--shards K] -o DATA.h5|DIR",
    .options = "layout size channels shards output", .groups = "data", .min_args = 1, .max_args = 1, .run = run_import,
};

static um_status run_export(um_cli *cli)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    UM_TRY(um_cli_need(cli->v.output, "-o DIR", cli->command));
    UM_TRY(um_dataset_read(&d, cli->v.args.items[0]));
    UM_TRY(um_export_png(d, cli->v.output));
    tell(d, cli->v.output);
done:
    um_dataset_free(d);
    return rc;
}

const um_command um_command_export = {
    .name = "export", .summary = "a dataset as PNG files", .usage = "DATA.h5|DIR -o DIR", .options = "output", .groups = "",
    .min_args = 1, .max_args = 1, .run = run_export,
};

static void print_check(const char *path, um_status status, const char *line, void *payload)
{
    (void)payload;
    printf("%s  %s: %s\n", status == UM_OK ? "good" : "BAD ", path, line);
}

static um_status run_check(um_cli *cli)
{
    return um_check_path(cli->v.args.items[0], print_check, NULL);
}

const um_command um_command_check = {
    .name = "check", .summary = "whether files are whole and what they say they are", .usage = "FILE|DIR", .options = "",
        .groups = "",
    .min_args = 1, .max_args = 1, .run = run_check,
};
