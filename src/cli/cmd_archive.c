/* umed archive pack|protect|restore|verify|rates */
#include "cli/cli.h"

#include "archive/archive.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "grid/names.h"
#include "io/private.h"
#include "protect/protector.h"

#include <stdio.h>
#include <string.h>

typedef struct action {
    const char *name;
    um_status (*run)(um_cli *cli, const char *path);
} action;

/* --private DIR, else beside the release. out: owned by the caller. */
static um_status private_dir(const um_cli *cli, const char *released, char **out)
{
    return cli->v.private_dir ? um_strdup(out, cli->v.private_dir) : um_private_folder(out, released);
}

static um_status make_job(um_cli *cli, const char *source, um_archive_job *job)
{
    um_status rc = UM_OK;
    const um_protector_def *def = NULL;
    int copy = 0;
    *job = (um_archive_job){.source = source, .released = cli->v.output, .state = cli->v.state, .settings = cli->settings,
                            .comm = cli->comm, .command = "umed archive"};
    UM_TRY(um_cli_need(cli->v.output, "-o DST", cli->command));
    UM_TRY(um_cli_need(cli->v.state, "--state STATE.h5 (of `umed protect --state`)", cli->command));
    UM_TRY(um_cli_choice(cli->v.unmasked, "unmasked", "refuse copy", &copy));
    UM_TRY(um_name_protector(&def, cli->v.protector ? cli->v.protector : "umed", "--protector"));
    job->copy_unmasked = copy == 1;
    job->protector = def->name;
    UM_TRY(um_cli_backend(cli, &job->backend));
done:
    return rc;
}

static um_status run_protect(um_cli *cli, const char *source)
{
    um_status rc = UM_OK;
    um_archive_job job = {0};
    um_archive_tally t = {0};
    char *private = NULL;
    UM_TRY(make_job(cli, source, &job));
    UM_TRY(private_dir(cli, job.released, &private));
    job.private_dir = private;
    rc = um_archive_protect(&job, &t);
    if (um_comm_leads(cli->comm) && (rc == UM_OK || rc == UM_E_PARTIAL)) {
        printf("shards %lld\ndone %lld\nfailed %lld\nimages %lld\ncopied_unprotected %lld\nleft_out %lld\n", (long long)t.shards,
               (long long)t.done, (long long)t.failed, (long long)t.images, (long long)t.copied, (long long)t.refused);
        um_log(UM_LOG_INFO, "keep %s to yourself: it restores the clean images", private);
    }
done:
    um_backend_free(job.backend);
    um_free(private);
    return rc;
}

static um_status run_pack(um_cli *cli, const char *folder)
{
    um_status rc = UM_OK;
    um_archive_tally t = {0};
    UM_TRY(um_cli_need(cli->v.output, "-o SRC", cli->command));
    rc = um_archive_pack(folder, cli->v.output, cli->v.shards > 0 ? cli->v.shards : 1, cli->settings, cli->comm, &t);
    if (um_comm_leads(cli->comm) && (rc == UM_OK || rc == UM_E_PARTIAL))
        printf("shards %lld\nimages %lld\nbroken %lld\n", (long long)t.shards, (long long)t.images, (long long)t.refused);
done:
    return rc;
}

static um_status run_restore(um_cli *cli, const char *released)
{
    um_status rc = UM_OK;
    char *private = NULL;
    UM_TRY(um_cli_need(cli->v.output, "-o BACK", cli->command));
    UM_TRY(private_dir(cli, released, &private));
    UM_TRY(um_archive_restore(released, private, cli->v.output, cli->comm));
done:
    um_free(private);
    return rc;
}

static void print_verdict(const char *path, um_status status, const char *line, void *payload)
{
    (void)payload;
    printf("%s  %s: %s\n", status == UM_OK ? "good" : "BAD ", path, line);
}

/* Without --private, and without a private folder beside it, as somebody who received it. */
static um_status run_verify(um_cli *cli, const char *released)
{
    um_status rc = UM_OK;
    char *private = NULL;
    UM_TRY(private_dir(cli, released, &private));
    bool owner = cli->v.private_dir || um_dir_exists(private);
    if (!owner)
        um_log(UM_LOG_INFO, "no private folder %s: looking at the release alone", private);
    UM_TRY(um_archive_verify(released, owner ? private : NULL, cli->settings, cli->comm, print_verdict, NULL));
done:
    um_free(private);
    return rc;
}

enum { MEASURED_S = 5 };

static um_status run_rates(um_cli *cli, const char *source)
{
    um_status rc = UM_OK;
    um_archive_job job = {0};
    um_archive_rates r = {0};
    double sums[2];
    UM_TRY(make_job(cli, source, &job));
    UM_TRY(um_archive_measure(&job, cli->v.output, MEASURED_S, &r));
    sums[0] = r.perturb, sums[1] = r.write;
    UM_TRY(um_comm_sum(cli->comm, sums, UM_F64, 2, "rates of all ranks"));
    if (um_comm_leads(cli->comm))
        printf("protector_images_per_s %.2f\ncompress_and_write_images_per_s %.2f\n", sums[0], sums[1]);
done:
    um_backend_free(job.backend);
    return rc;
}

static const action actions[] = {
    {"pack", run_pack}, {"protect", run_protect}, {"verify", run_verify}, {"restore", run_restore}, {"rates", run_rates},
};

static um_status run(um_cli *cli)
{
    const char *names[UM_COUNT(actions)], *name = cli->v.args.items[0];
    for (size_t i = 0; i < UM_COUNT(actions); i++) {
        names[i] = actions[i].name;
        if (strcmp(name, names[i]) == 0)
            return actions[i].run(cli, cli->v.args.items[1]);
    }
    const char *near = um_text_nearest(name, names, UM_COUNT(actions));
    return um_fail(UM_E_USAGE, "unknown action '%s'%s%s%s: umed archive %s", name, near ? ", did you mean '" : "", near ? near : "",
                   near ? "'?" : "", cli->command->usage);
}

const um_command um_command_archive = {
    .name = "archive", .summary = "bulk protection of archives in shards",
    .usage = "pack DIR [--layout NAME] [--shards K] -o SRC | protect SRC -o DST --state STATE.h5 [--protector umed] [--private DIR] "
             "[--unmasked refuse|copy] | verify DST [--private DIR] | restore DST --private DIR -o BACK | "
             "rates SRC -o SCRATCH --state STATE.h5",
    .options = "output state protector private unmasked shards layout", .groups = "archive protectors export model run conv data metrics",
    .min_args = 2, .max_args = 2, .computes = true, .spreads = true, .run = run,
};
