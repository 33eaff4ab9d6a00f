#include "cli/cli.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "grid/names.h"
#include "grid/work.h"
#include "io/import.h"
#include "io/private.h"
#include "io/provenance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct protection {
    const um_protector_def *def;
    um_backend *backend;
    um_dataset *clean;
    char sha256[UM_SHA256_HEX];
    um_rows fit_rows;
    um_protect_outcome result;
    um_cli_side side;
    char *report;
    int64_t seed;
    int train_only;
} protection;

static void clear(protection *p)
{
    um_protect_outcome_clear(&p->result);
    um_rows_free(&p->fit_rows);
    um_dataset_free(p->clean);
    um_backend_free(p->backend);
    um_cli_side_clear(&p->side);
    um_free(p->report);
}

/* All that can be refused before the work starts. The unfinished fit lies in the private folder: it could undo the protection. */
static um_status prepare(um_cli *cli, protection *p)
{
    um_status rc = UM_OK;
    const um_cli_values *v = &cli->v;
    p->seed = v->seed >= 0 ? v->seed : 1;
    UM_TRY(um_cli_need(v->data, "--data DATA.h5", cli->command));
    UM_TRY(um_cli_need(v->output, "-o OUT.h5", cli->command));
    UM_TRY(um_cli_choice(v->rows, "rows", "all train", &p->train_only));
    UM_TRY(um_name_protector(&p->def, v->protector ? v->protector : "umed", "--protector"));
    UM_TRY(um_cli_side_open(&p->side, v, "private.h5", "fit.ckpt.h5"));
    UM_TRY(um_path_join(&p->report, p->side.dir, "result.h5"));
    if (!v->private_dir && (um_file_exists(v->output) || um_dir_exists(v->output)))
        unlink(p->side.state); /* its work is done */
    UM_TRY(um_cli_check_outputs(v->output, v->state, p->side.state));
    UM_TRY(um_cli_side_check(&p->side, "it restores another release"));
    UM_TRY(um_cli_backend(cli, &p->backend));
done:
    return rc;
}

static um_status load(const um_cli *cli, protection *p)
{
    um_status rc = UM_OK;
    const um_data_options *o = um_settings_get(cli->settings, "data");
    UM_TRY(um_dataset_read(&p->clean, cli->v.data));
    um_dataset_sha256(p->clean, p->sha256);
    UM_TRY(um_rows_select(&p->fit_rows, p->clean, p->train_only ? UM_SPLIT_TRAIN : -1, o->limit, (uint64_t)o->split_seed));
    if (p->fit_rows.n == 0)
        rc = um_fail(UM_E_DATA, "%s: no training rows; use --rows all", cli->v.data);
done:
    return rc;
}

static um_status make_private_dir(const char *path)
{
    um_status rc = UM_OK;
    UM_TRY(um_dir_make(path, 0700));
    if (access(path, W_OK) != 0)
        rc = um_fail(UM_E_IO, "folder %s cannot be written to: %s", path, strerror(errno));
done:
    return rc;
}

static um_status work(const um_cli *cli, protection *p)
{
    um_status rc = UM_OK;
    if (um_comm_leads(cli->comm))
        rc = make_private_dir(p->side.dir);
    UM_TRY(um_comm_agree(cli->comm, rc));
    UM_TRY(um_protect_work_run(&p->result, &(um_protect_work){.def = p->def, .settings = cli->settings, .backend = p->backend,
                                                              .clean = p->clean, .fit_rows = &p->fit_rows,
                                                              .apply_rows = p->train_only ? &p->fit_rows : NULL,
                                                              .seed = (uint64_t)p->seed, .checkpoint = p->side.state,
                                                              .state_out = cli->v.state, .label = p->def->name,
                                                              .comm = cli->comm}));
done:
    return rc;
}

/* The owner's side first: a release never exists without the means to undo it. */
static um_status commit(const um_cli *cli, protection *p)
{
    um_status rc = UM_OK;
    um_text settings = {0}, inputs = {0};
    char released[UM_SHA256_HEX];
    um_result_meta meta = {.dataset_sha256 = p->sha256, .protector = p->def->name, .base = p->def->name, .seed = p->seed,
                           .command = "umed protect", .settings = cli->settings, .released_sha256 = released};
    int64_t limit = um_protect_limit(p->def, cli->settings, um_dataset_max(p->clean));
    um_dataset_sha256(p->result.released, released);
    meta.bound_linf = (double)limit / um_dataset_max(p->clean);
    UM_TRY(um_settings_print(cli->settings, &settings));
    UM_TRY(um_provenance_add_input(&inputs, cli->v.data, p->sha256));
    meta.inputs = um_text_get(&inputs);
    UM_TRY(um_private_write(p->side.dir, p->clean, p->result.released, limit,
                            &(um_provenance){.command = meta.command, .seed = &p->seed, .settings = um_text_get(&settings),
                                             .inputs = meta.inputs}));
    UM_TRY(um_result_write_protection(p->report, &meta, &p->result.visibility, &p->result.curves, p->result.seconds));
    UM_TRY(um_dataset_write(p->result.released, cli->v.output,
                            &(um_dataset_write_options){.n_shards = cli->v.shards > 1 ? (int)cli->v.shards : 1, .released = true}));
    um_saver_remove(p->side.state);
done:
    if (rc != UM_OK && !um_file_exists(cli->v.output) && !um_dir_exists(cli->v.output))
        unlink(p->side.held); /* nothing was released: the same command may try again */
    um_text_free(&inputs);
    um_text_free(&settings);
    return rc;
}

static void print_visibility(const um_visibility *v)
{
    printf("images %lld\nidentical %lld\npsnr_db %.4f\npsnr_worst_db %.4f\npsnr_roi_db %.4f\nssim %.6f\nssim_worst %.6f\n"
           "ssim_roi %.6f\nlinf_levels %.0f\nchanged_pixels_percent %.3f\n",
           (long long)v->n, (long long)v->n_identical, v->psnr, v->psnr_worst, v->psnr_roi, v->ssim, v->ssim_worst, v->ssim_roi,
           255 * v->linf, 100 * v->changed);
    printf(
        "mask_leak_highpass_dsc %.4f\nmask_leak_highpass_dsc_clean %.4f\nmask_leak_denoise_dsc %.4f\nmask_leak_denoise_dsc_clean %.4f\n",
        v->leak_highpass, v->leak_highpass_clean, v->leak_denoise, v->leak_denoise_clean);
}

static um_status run(um_cli *cli)
{
    um_status rc = UM_OK;
    protection p = {0};
    rc = prepare(cli, &p);
    if (rc == UM_OK)
        rc = load(cli, &p);
    UM_TRY(um_comm_agree(cli->comm, rc));
    UM_TRY(um_cli_sums(cli, p.backend));
    UM_TRY(work(cli, &p));
    if (um_comm_leads(cli->comm))
        rc = commit(cli, &p);
    UM_TRY(um_comm_agree(cli->comm, rc));
    if (!um_comm_leads(cli->comm))
        goto done;
    um_log(UM_LOG_INFO, "%s written in %.1f s; keep %s to yourself, it restores the clean images", cli->v.output, p.result.seconds,
           p.side.dir);
    print_visibility(&p.result.visibility);
done:
    um_cli_sums_end(cli);
    clear(&p);
    return rc;
}

const um_command um_command_protect = {
    .name = "protect",
    .summary = "perturb a dataset for release",
    .usage = "[-c CONFIG] --data DATA.h5 [--protector umed] [--rows all|train] [--private DIR] [--state S.h5] "
             "[--seed 1] [--shards K] -o OUT.h5",
    .options = "data protector rows private state seed shards output",
    .groups = "protectors export model loss run conv data",
    .max_args = 0,
    .computes = true,
    .spreads = true,
    .run = run,
};
