#include "cli/cli.h"

#include "bench/bench.h"
#include "base/mem.h"
#include "train/options.h"

#include <stdio.h>
#include <string.h>

enum { ROUNDS = 9, MAX_SHAPES = 32 };

/* "N,SIDE,C,K" arguments; passes between convolutions have no K. */
static um_status read_shapes(const um_cli_list *args, bool conv, um_bench_shape *shapes, int *n)
{
    *n = 0;
    for (size_t i = 1; i < args->n; i++) {
        long long v[4] = {0};
        char rest;
        if (*n == MAX_SHAPES)
            return um_fail(UM_E_USAGE, "more than %d shapes", MAX_SHAPES);
        int got = conv ? sscanf(args->items[i], "%lld,%lld,%lld,%lld%c", &v[0], &v[1], &v[2], &v[3], &rest)
                       : sscanf(args->items[i], "%lld,%lld,%lld%c", &v[0], &v[1], &v[2], &rest);
        if (got != (conv ? 4 : 3) || v[0] < 1 || v[1] < 1 || v[2] < 1 || v[3] < conv)
            return um_fail(UM_E_USAGE, "'%s' is not a shape: IMAGES,SIDE,%s", args->items[i],
                           conv ? "CHANNELS_IN,CHANNELS_OUT, as in 16,64,32,32" : "CHANNELS, as in 16,64,32");
        shapes[(*n)++] = (um_bench_shape){v[0], v[1], v[2], v[3]};
    }
    return UM_OK;
}

enum { OP, PASS, STEP, COMM, PGD };

static um_status check_use(const um_cli *cli, int what, int peer)
{
    const char *name = cli->v.args.items[0];
    bool shaped = what == OP || what == PASS;
    if (what != COMM && um_comm_size(cli->comm) > 1)
        return um_fail(UM_E_USAGE, "`umed bench %s` works on one rank and was started on %d", name, um_comm_size(cli->comm));
    if (!shaped && cli->v.args.n > 1)
        return um_fail(UM_E_USAGE, "unexpected argument '%s': `umed bench %s` takes --size and --batch", cli->v.args.items[1],
                       name);
    if (what == PASS && peer)
        return um_fail(UM_E_USAGE, "`umed bench pass` compares with the memory of this machine, not with --peer %s", cli->v.peer);
    if (what == COMM && peer)
        return um_fail(UM_E_USAGE, "`umed bench comm` compares ranks with each other, not with --peer %s", cli->v.peer);
    if (what == PGD && peer && strcmp(cli->v.peer, "pytorch") != 0)
        return um_fail(UM_E_USAGE, "`umed bench pgd` compares with --peer pytorch, not with %s", cli->v.peer);
    if (cli->v.dry_run && what != STEP)
        return um_fail(UM_E_USAGE, "--dry-run is for `umed bench step`");
    return UM_OK;
}

static um_status measure(const um_cli *cli, int what, const um_bench_job *job, um_text *text)
{
    um_status rc = UM_OK;
    um_bench_shape shapes[MAX_SHAPES];
    int n_shapes = 0;
    const um_run_options *run = um_settings_get(cli->settings, "run");
    um_bench_step_job step = {.model = cli->v.model ? cli->v.model : "unet", .side = cli->v.size > 0 ? cli->v.size : 128,
                              .batch = cli->v.batch > 0 ? cli->v.batch : 16, .channels = cli->v.channels > 0 ? cli->v.channels : 3};
    if (what == OP || what == PASS)
        UM_TRY(read_shapes(&cli->v.args, what == OP, shapes, &n_shapes));
    switch (what) {
    case OP: UM_TRY(um_bench_conv(job, shapes, n_shapes, text)); break;
    case PASS: UM_TRY(um_bench_passes(job, shapes, n_shapes, text)); break;
    case STEP:
        UM_TRY(cli->v.dry_run ? um_bench_step_plan(job, &step, (um_precision)run->precision, text)
                              : um_bench_step(job, &step, text));
        break;
    case COMM: UM_TRY(um_bench_comm(job, &step, text)); break;
    default: UM_TRY(um_bench_pgd(job, &step, text)); break;
    }
done:
    return rc;
}

static um_status run(um_cli *cli)
{
    um_status rc = UM_OK;
    um_backend *backend = NULL;
    um_text text = {0};
    int what = 0, peer = 0;
    UM_TRY(um_cli_choice(cli->v.args.items[0], "what to measure", "op pass step comm pgd", &what));
    UM_TRY(um_cli_choice(cli->v.peer, "peer", "none pytorch onednn", &peer));
    UM_TRY(check_use(cli, what, peer));
    UM_TRY(cli->v.dry_run ? um_cli_plan_backend(cli, &backend) : um_cli_backend(cli, &backend));
    if (what == COMM)
        UM_TRY(um_cli_sums(cli, backend));
    um_bench_job job = {.backend = backend, .settings = cli->settings, .peer = peer ? cli->v.peer : NULL,
                        .rounds = cli->v.n > 0 ? (int)cli->v.n : ROUNDS, .comm = cli->comm};
    UM_TRY(measure(cli, what, &job, &text));
    if (um_comm_leads(cli->comm))
        fputs(um_text_get(&text), stdout);
done:
    um_text_free(&text);
    um_cli_sums_end(cli);
    um_backend_free(backend);
    return rc;
}

const um_command um_command_bench = {
    .name = "bench", .summary = "speed of convolutions, passes between them, training and gradient steps beside a peer, and several ranks",
    .usage = "op|pass|step|pgd|comm [N,SIDE,C[,K]]... [--model M --size S --batch B] [--peer pytorch|onednn] [--dry-run]",
    .options = "model size batch channels n peer dry-run", .groups = "conv model loss run", .min_args = 1, .max_args = -1, .computes = true,
    .spreads = true, .run = run,
};
