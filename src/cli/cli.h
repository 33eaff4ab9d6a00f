/* The command line: one table of commands (main.c), one table of options (options.c), one struct with what was given. */
#ifndef UM_CLI_CLI_H
#define UM_CLI_CLI_H

#include "base/opt.h"
#include "io/config.h"
#include "kernels/backend.h"
#include "mpi/reducer.h"

enum { UM_CLI_LIST = 64 };

/* A repeatable option: its values in order, borrowed from argv. */
typedef struct um_cli_list {
    const char *items[UM_CLI_LIST];
    size_t n;
} um_cli_list;

/* Everything the command line can say. Texts are borrowed from argv, NULL when not given; integers are -1 when not given. */
typedef struct um_cli_values {
    const char *config, *data, *test, *output, *protector, *rows, *private_dir, *state, *model, *defense, *save_model, *layout,
        *table,
        *format, *peer, *unmasked, *scene, *key, *logo, *certificate, *user, *sealed, *cam, *backend, *precision, *log_level;
    int64_t n, size, batch, channels, seed, shards, threads;
    double limit_s;
    bool help, quiet, print_config, metrics, dry_run, status;
    um_cli_list set, only, args;
} um_cli_values;

typedef struct um_cli um_cli;

typedef struct um_command {
    const char *name, *summary;
    const char *usage;   /* what follows the name */
    const char *options; /* names of the options it takes besides the common ones, space separated */
    const char *groups;  /* option groups it reads, space separated; "protectors", "networks", "defenses": those of all; "" none */
    int min_args, max_args;
    bool computes;       /* runs under a launcher, needs threads and signals */
    bool spreads;        /* on several ranks too */
    um_status (*run)(um_cli *cli);
} um_command;

struct um_cli {
    const um_command *command;
    um_cli_values v;
    um_settings *settings;
    um_grid_config *sweep;
    um_comm *comm; /* all ranks of the run; NULL: one */
    um_reducer *sums; /* um_cli_sums */
};

/* options.c */
um_status um_cli_parse(um_cli *cli, int argc, char **argv); /* argv[0]: the command's name. UM_E_USAGE with the nearest option */
um_status um_cli_print_help(const um_cli *cli, um_text *out);
um_status um_cli_need(const char *value, const char *option, const um_command *command); /* UM_E_USAGE when value is NULL */
/* A value that must be one of the space-separated choices: its index; NULL gives 0. */
um_status um_cli_choice(const char *value, const char *option, const char *choices, int *out);

/* settings.c: every option table of the program, and the effective settings: defaults, then -c, then --set, then named options. */
um_status um_cli_settings(um_cli *cli);
/* run.backend, and a line about it where there are several ranks. Collective. */
um_status um_cli_backend(const um_cli *cli, um_backend **out);
/* For commands that train on all ranks together, before they do and when they are done with the backend. Collective. */
um_status um_cli_sums(um_cli *cli, um_backend *b);
void um_cli_sums_end(um_cli *cli);
/* For what is only planned: needs no device, whatever run.backend and run.precision say. */
um_status um_cli_plan_backend(const um_cli *cli, um_backend **out);

/* UM_E_USAGE when something stands at the path, or its folder does not exist: told before any work is done. */
um_status um_cli_check_output(const char *path);
/* For a command that writes `side` (may be NULL) before `output` and its checkpoint until both stand. A run that was killed
 * between them left the checkpoint: then the side file may be there, and the writer compares it with what it would have written.
 * */
um_status um_cli_check_outputs(const char *output, const char *side, const char *checkpoint);

/* The owner's side of a release: a folder, --private DIR or NAME.private beside the output, with the file that undoes the release
 * and the state of unfinished work. */
typedef struct um_cli_side {
    char *dir, *held, *state;
} um_cli_side; /* release with um_cli_side_clear */
um_status um_cli_side_open(um_cli_side *out, const um_cli_values *v, const char *held, const char *state);
/* UM_E_USAGE when the folder is of another release: the file stands, and no state says that a run was killed before the release
 * stood. does: "it restores another release". */
um_status um_cli_side_check(const um_cli_side *s, const char *does);
void um_cli_side_clear(um_cli_side *s);

#define UM_COMMAND(name) extern const um_command um_command_##name;
#include "cli/commands.def"
#undef UM_COMMAND

#endif
