#include "cli/cli.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "grid/plan.h"
#include "grid/tables.h"
#include "io/private.h"
#include "train/ranks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static um_status set_option(um_settings *s, const char *key, const char *value, const char *option)
{
    return value ? um_settings_set(s, key, value, option) : UM_OK;
}

static um_status set_named(um_settings *s, const um_cli_values *v)
{
    um_status rc = UM_OK;
    char threads[32];
    snprintf(threads, sizeof threads, "%lld", (long long)v->threads);
    UM_TRY(set_option(s, "run.backend", v->backend, "--backend"));
    UM_TRY(set_option(s, "run.precision", v->precision, "--precision"));
    UM_TRY(set_option(s, "run.threads", v->threads >= 0 ? threads : NULL, "--threads"));
    UM_TRY(set_option(s, "data.layout", v->layout, "--layout"));
done:
    return rc;
}

um_status um_cli_settings(um_cli *cli)
{
    um_status rc = UM_OK;
    bool is_sweep = strcmp(cli->command->name, "grid") == 0;
    const char *config = is_sweep && cli->v.args.n ? cli->v.args.items[0] : cli->v.config;
    UM_TRY(um_settings_create(&cli->settings, um_option_tables()));
    if (is_sweep && cli->v.args.n && cli->v.config)
        UM_TRY(um_config_load(cli->v.config, cli->settings, NULL));
    if (config && !cli->v.help)
        UM_TRY(um_config_load(config, cli->settings, is_sweep ? &cli->sweep : NULL));
    for (size_t i = 0; i < cli->v.set.n; i++)
        UM_TRY(um_settings_assign(cli->settings, cli->v.set.items[i], "--set"));
    UM_TRY(set_named(cli->settings, &cli->v));
done:
    return rc;
}

/* Which rank computes where, and what that means for sums over ranks. */
static um_status announce_backend(const um_cli *cli, const um_backend *b)
{
    um_status rc = UM_OK;
    um_device_places p;
    if (um_comm_size(cli->comm) == 1)
        return UM_OK;
    UM_TRY(um_comm_devices(cli->comm, b, &p));
    if (b->on_host)
        um_log(UM_LOG_INFO, "sums by our own exchanges in host memory over %s, since networks are computed on the CPU", um_comm_library());
    um_log_set_voice(true);
    if (!b->on_host)
        um_log(UM_LOG_INFO, "%s, %s", um_backend_describe(b), b->device);
    um_log_set_voice(um_comm_leads(cli->comm));
    if (p.n_shared > 0 && um_comm_leads(cli->comm))
        um_log(UM_LOG_WARN, "%d ranks share a device with others, up to %d on one: they take turns; start one rank per GPU unless networks "
               "are small", p.n_shared, p.most_sharing);
done:
    return rc;
}

um_status um_cli_backend(const um_cli *cli, um_backend **out)
{
    um_status rc = UM_OK;
    um_backend *b = NULL;
    const um_run_options *run = um_settings_get(cli->settings, "run");
    const um_conv_options *conv = um_settings_get(cli->settings, "conv");
    UM_TRY(um_backend_open(&b, um_run_backend_name(run), UM_F32, (um_precision)run->precision));
    b->conv_algo = (um_conv_algo)conv->algo;
    UM_TRY(announce_backend(cli, b));
    *out = b;
    b = NULL;
done:
    um_backend_free(b);
    return rc;
}

um_status um_cli_sums(um_cli *cli, um_backend *b)
{
    return um_spread_device(&cli->sums, um_settings_get(cli->settings, "run"), cli->comm, b);
}

void um_cli_sums_end(um_cli *cli)
{
    um_reducer_close(cli->sums);
    cli->sums = NULL;
}

um_status um_cli_plan_backend(const um_cli *cli, um_backend **out)
{
    um_status rc = UM_OK;
    const um_conv_options *conv = um_settings_get(cli->settings, "conv");
    UM_TRY(um_backend_create(out, "cpu", UM_F32));
    (*out)->conv_algo = (um_conv_algo)conv->algo;
done:
    return rc;
}

um_status um_cli_check_output(const char *path)
{
    um_status rc = UM_OK;
    char *dir = NULL;
    const char *slash = strrchr(path, '/');
    if (um_file_exists(path) || um_dir_exists(path))
        return um_fail(UM_E_USAGE, "%s exists; give another name, or remove it first", path);
    UM_TRY(um_strdup(&dir, slash ? path : "."));
    if (slash)
        dir[slash == path ? 1 : slash - path] = 0;
    if (!um_dir_exists(dir))
        rc = um_fail(UM_E_USAGE, "%s: folder %s does not exist; make it first", path, dir);
    else if (access(dir, W_OK) != 0)
        rc = um_fail(UM_E_IO, "%s: folder %s cannot be written to: %s", path, dir, strerror(errno));
done:
    um_free(dir);
    return rc;
}

um_status um_cli_check_outputs(const char *output, const char *side, const char *checkpoint)
{
    um_status rc = UM_OK;
    UM_TRY(um_cli_check_output(output));
    if (side && !(um_file_exists(side) && um_file_exists(checkpoint)))
        UM_TRY(um_cli_check_output(side));
done:
    return rc;
}

um_status um_cli_side_open(um_cli_side *out, const um_cli_values *v, const char *held, const char *state)
{
    um_status rc = UM_OK;
    um_cli_side s = {NULL, NULL, NULL};
    UM_TRY(v->private_dir ? um_strdup(&s.dir, v->private_dir) : um_private_folder(&s.dir, v->output));
    UM_TRY(um_path_join(&s.held, s.dir, held));
    UM_TRY(um_path_join(&s.state, s.dir, state));
    *out = s;
    s = (um_cli_side){NULL, NULL, NULL};
done:
    um_cli_side_clear(&s);
    return rc;
}

um_status um_cli_side_check(const um_cli_side *s, const char *does)
{
    if (!um_file_exists(s->held) || um_file_exists(s->state))
        return UM_OK;
    return um_fail(UM_E_USAGE, "%s exists: %s; give another --private folder", s->held, does);
}

void um_cli_side_clear(um_cli_side *s)
{
    um_free(s->dir);
    um_free(s->held);
    um_free(s->state);
    *s = (um_cli_side){NULL, NULL, NULL};
}
