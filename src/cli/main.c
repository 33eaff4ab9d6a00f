/* umed: the command table, the order of a run, and the only place that picks an exit code. */
#include "cli/cli.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/signal.h"
#include "base/threads.h"
#include "io/provenance.h"
#include "mpi/comm.h"
#include "train/options.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const um_command *const commands[] = {
#define UM_COMMAND(name) &um_command_##name,
#include "cli/commands.def"
#undef UM_COMMAND
};

static um_status print_overview(FILE *to)
{
    fprintf(to, "umed %s: protects medical image segmentation datasets against unauthorised training\n\n", um_version());
    fprintf(to, "usage: umed COMMAND [options]; umed COMMAND --help; umed --version\n\ncommands:\n");
    for (size_t i = 0; i < UM_COUNT(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\nexit codes: 0 done; 3 finished but some cells failed; 64 usage or configuration; 65 input data; 70 internal;\n"
                "  74 input or output; 75 stopped early, everything saved, the same command goes on; 76 lost peers\n");
    return UM_OK;
}

static um_status find_command(const um_command **out, const char *name)
{
    const char *names[UM_COUNT(commands)], *near;
    for (size_t i = 0; i < UM_COUNT(commands); i++) {
        names[i] = commands[i]->name;
        if (strcmp(name, names[i]) == 0) {
            *out = commands[i];
            return UM_OK;
        }
    }
    near = um_text_nearest(name, names, UM_COUNT(commands));
    return um_fail(UM_E_USAGE, "unknown command '%s'%s%s%s; see `umed --help`", name, near ? ", did you mean '" : "", near ? near
                   : "",
                   near ? "'?" : "");
}

/* Help and the effective settings need neither arguments nor MPI. */
static um_status answer(const um_cli *cli, bool *answered)
{
    um_status rc = UM_OK;
    um_text text = {0};
    *answered = cli->v.help || cli->v.print_config;
    if (cli->v.help)
        UM_TRY(um_cli_print_help(cli, &text));
    else if (cli->v.print_config)
        UM_TRY(um_settings_print(cli->settings, &text));
    fputs(um_text_get(&text), stdout);
done:
    um_text_free(&text);
    return rc;
}

static um_status check_args(const um_cli *cli)
{
    const um_command *c = cli->command;
    int n = (int)cli->v.args.n;
    if (n < c->min_args)
        return um_fail(UM_E_USAGE, "an argument is missing: umed %s %s", c->name, c->usage);
    if (c->max_args >= 0 && n > c->max_args)
        return um_fail(UM_E_USAGE, "unexpected argument '%s': umed %s %s", cli->v.args.items[c->max_args], c->name, c->usage);
    return UM_OK;
}

static um_status set_up_log(const um_cli_values *v)
{
    um_log_level level = v->quiet ? UM_LOG_WARN : UM_LOG_INFO;
    if (v->log_level && !um_log_parse_level(v->log_level, &level))
        return um_fail(UM_E_USAGE, "--log-level %s: expected error, warn, info or debug", v->log_level);
    um_log_set_level(level);
    return UM_OK;
}

static void set_up_run(const um_cli *cli)
{
    const um_run_options *run = um_settings_get(cli->settings, "run");
    um_threads_set((int)run->threads);
    um_progress_set_interval(run->progress_s);
    um_signal_install();
    um_stop_after(cli->v.limit_s);
}

/* A rank went silent: nothing that waits for it can end well. Called on a thread of its own. */
static void on_lost(void *payload, const char *text)
{
    um_cli *cli = payload;
    fprintf(stderr, "umed: %s; all ranks end, the same command goes on from the last checkpoints\n", text);
    um_comm_abort(cli->comm, um_status_exit(UM_E_COMM));
}

/* Where ranks are, those of equal places in a row on one line. */
static void announce_places(const um_comm *world)
{
    for (int first = 0, last, size = um_comm_size(world); first < size; first = last + 1) {
        for (last = first; last + 1 < size && strcmp(um_comm_place(world, first), um_comm_place(world, last + 1)) == 0;)
            last++;
        if (last > first)
            um_log(UM_LOG_INFO, "ranks %d to %d: %s", first, last, um_comm_place(world, first));
        else
            um_log(UM_LOG_INFO, "rank %d: %s", first, um_comm_place(world, first));
    }
}

static void announce_ranks(const um_cli *cli)
{
    const um_run_options *run = um_settings_get(cli->settings, "run");
    int size = um_comm_size(cli->comm), hosts = um_comm_hosts(cli->comm);
    if (size == 1)
        return;
    um_log(UM_LOG_INFO, "%d ranks on %d host%s, %d threads each on %d of %d cores", size, hosts, hosts == 1 ? "" : "s",
           um_threads(), um_cores(), um_cores() * size / um_comm_ranks_on_cores(cli->comm));
    um_log(UM_LOG_INFO, "sums over ranks: %s (run.reduce)",
           run->reduce == 1 ? "fast, one lane per rank" : "ordered, the same bits for 1, 2, 4 ... ranks");
    announce_places(cli->comm);
}

static um_status open_ranks(um_cli *cli, int *argc, char ***argv)
{
    um_status rc = UM_OK;
    const um_run_options *run = um_settings_get(cli->settings, "run");
    UM_TRY(um_comm_open(&cli->comm, argc, argv));
    um_log_set_rank(um_comm_rank(cli->comm), um_comm_size(cli->comm));
    um_threads_set_ranks_on_node(um_comm_ranks_on_cores(cli->comm));
    um_backend_set_place(um_comm_rank_on_host(cli->comm));
    um_comm_set_deadline(cli->comm, run->deadline_s);
    UM_TRY(um_comm_watch(cli->comm, run->deadline_s, on_lost, cli));
    announce_ranks(cli);
done:
    return rc;
}

static um_status run_command(um_cli *cli, int *argc, char ***argv)
{
    um_status rc = UM_OK;
    UM_TRY(check_args(cli));
    set_up_run(cli);
    if (!cli->command->computes)
        return cli->command->run(cli);
    UM_TRY(open_ranks(cli, argc, argv));
    if (um_comm_size(cli->comm) > 1 && !cli->command->spreads)
        UM_TRY(um_fail(UM_E_USAGE, "umed %s works on one rank and was started on %d; start one (threads fill the machine)",
                       cli->command->name, um_comm_size(cli->comm)));
    rc = cli->command->run(cli);
    if (rc != UM_E_COMM && !um_comm_broken(cli->comm)) /* who lost a peer must not wait for it again */
        rc = um_comm_agree(cli->comm, rc);
done:
    return rc;
}

/* Prints why: rank 0, which knows every failure that was agreed on, or who lost a peer. Then the ranks part. */
static void finish(um_cli *cli, um_status rc)
{
    bool parting = um_comm_broken(cli->comm) || rc == UM_E_COMM;
    if (rc != UM_OK && (um_comm_leads(cli->comm) || rc == UM_E_COMM)) {
        fprintf(stderr, "umed: %s\n", um_error_text());
        if (um_log_get_level() >= UM_LOG_DEBUG)
            um_error_print_trace(stderr);
    }
    if (parting)
        um_comm_abort(cli->comm, um_status_exit(rc));
    um_comm_close(cli->comm);
}

static um_status flush_output(um_status rc)
{
    if ((fflush(stdout) != 0 || ferror(stdout)) && rc == UM_OK)
        return um_fail(UM_E_IO, "standard output could not be written; is the disk full or the reader gone?");
    return rc;
}

static um_status run(um_cli *cli, int argc, char **argv)
{
    um_status rc = UM_OK;
    bool answered = false;
    if (argc < 2) {
        print_overview(stderr);
        return um_fail(UM_E_USAGE, "a command is missing");
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("umed %s\n", um_version());
        return UM_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return print_overview(stdout);
    UM_TRY(find_command(&cli->command, argv[1]));
    UM_TRY(um_cli_parse(cli, argc - 1, argv + 1));
    UM_TRY(set_up_log(&cli->v));
    UM_TRY(um_cli_settings(cli));
    UM_TRY(answer(cli, &answered));
    if (!answered)
        UM_TRY(run_command(cli, &argc, &argv));
done:
    return rc;
}

/* By default OpenMP's threads spin at the end of every loop; where others use the same cores, that costs twenty times the work. The
 * runtime reads its policy when it is loaded, before main, so the program starts itself once more unless the user chose a policy. */
static void wait_passively(char **argv)
{
    char self[4096]; /* by its own name, which is what ps and pkill show */
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || setenv("OMP_WAIT_POLICY", "passive", 1) != 0)
        return;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return;
    self[n] = 0;
    execv(self, argv);
}

/* Whatever is opened next takes the number of a descriptor that was closed from the start, and our log would go into that file.
 * A closed stdout stays one that cannot be written. */
static void hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY) != fd)
            exit(um_status_exit(UM_E_IO));
}

int main(int argc, char **argv)
{
    hold_standard_streams();
    wait_passively(argv);
    um_cli cli = {0};
    um_status rc = flush_output(run(&cli, argc, argv));
    finish(&cli, rc);
    um_grid_config_free(cli.sweep);
    um_settings_free(cli.settings);
    return um_status_exit(rc);
}
