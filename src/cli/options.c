#include "cli/cli.h"

#include "base/mem.h"
#include "base/text.h"
#include "exploit/defense.h"
#include "protect/protector.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

typedef enum kind { FLAG, TEXT, INTEGER, REAL, LIST } kind;

typedef struct option_row {
    const char *name;
    char letter; /* 0: none */
    kind kind;
    size_t offset;
    const char *argument; /* how help calls the value */
    double min, max;
    const char *help;
    bool common; /* every command takes it */
} option_row;

#define AT(member) offsetof(um_cli_values, member)
static const option_row rows[] = {
    {"data", 0, TEXT, AT(data), "DATA.h5|DIR", 0, 0, "dataset, one file or a folder of shards", false},
    {"test", 0, TEXT, AT(test), "DATA.h5|DIR", 0, 0, "clean dataset whose test rows are scored", false},
    {"output", 'o', TEXT, AT(output), "PATH", 0, 0, "where to write; an existing file is never replaced", false},
    {"protector", 0, TEXT, AT(protector), "NAME", 0, 0, "protector, see `umed list`", false},
    {"rows", 0, TEXT, AT(rows), "all|train|test", 0, 0, "rows to work on: all for a release (default), train as a sweep does, test (medlocker)", false},
    {"private", 0, TEXT, AT(private_dir), "DIR", 0, 0, "the owner's folder: delta, settings, provenance (default NAME.private)",
     false},
    {"state", 0, TEXT, AT(state), "FILE", 0, 0, "also keep the fitted state in this file", false},
    {"unmasked", 0, TEXT, AT(unmasked), "refuse|copy", 0, 0,
     "images without a mask: left out and listed (default), or released as they are, unprotected", false},
    {"model", 0, TEXT, AT(model), "NAME|FILE", 0, 0, "network by name; for predict a model file", false},
    {"defense", 0, TEXT, AT(defense), "NAME", 0, 0, "defense of the exploiter (default none)", false},
    {"save-model", 0, TEXT, AT(save_model), "FILE", 0, 0, "keep the trained network", false},
    {"metrics", 0, FLAG, AT(metrics), NULL, 0, 0, "print DSC and Jaccard against the masks", false},
    {"layout", 0, TEXT, AT(layout), "NAME", 0, 0, "how the folder is laid out (data.layout)", false},
    {"size", 0, INTEGER, AT(size), "PIXELS", 0, 32768, "pixels per side", false},
    {"channels", 0, INTEGER, AT(channels), "1|3", 1, 3, "channels of the images", false},
    {"n", 0, INTEGER, AT(n), "COUNT", 1, 1e9, "number of images", false},
    {"batch", 0, INTEGER, AT(batch), "COUNT", 1, 65536, "images per step", false},
    {"peer", 0, TEXT, AT(peer), "pytorch|onednn", 0, 0, "measure this library beside ours, in turns", false},
    {"key", 0, TEXT, AT(key), "FILE", 0, 0, "the owner's key, or a user's; nobody else may read the file", false},
    {"logo", 0, TEXT, AT(logo), "LOGO.png", 0, 0, "logo with its transparency (default: a padlock)", false},
    {"certificate", 0, TEXT, AT(certificate), "LIST.h5", 0, 0, "list of certificates", false},
    {"sealed", 0, TEXT, AT(sealed), "PART.h5", 0, 0, "certificates sealed for one user", false},
    {"user", 0, TEXT, AT(user), "NAME", 0, 0, "whom certificates are sealed for", false},
    {"cam", 0, TEXT, AT(cam), "MODEL.h5", 0, 0, "classifier whose Grad-CAM shows lesions where no mask does", false},
    {"scene", 0, TEXT, AT(scene), "NAME", 0, 0, "ultrasound with lesion masks (default), or retina with classes", false},
    {"seed", 0, INTEGER, AT(seed), "N", 0, 9e15, "seed of everything random (default 1)", false},
    {"shards", 0, INTEGER, AT(shards), "K", 1, 99999, "write a folder of K shards", false},
    {"dry-run", 0, FLAG, AT(dry_run), NULL, 0, 0, "do nothing, and tell what it would cost: every cell of a sweep, every op of a step", false},
    {"status", 0, FLAG, AT(status), NULL, 0, 0, "what is done, running, failed and open", false},
    {"only", 0, LIST, AT(only), "KEY=VALUE", 0, 0, "restrict to dataset, protector, exploiter, defense or seed; repeatable", false},
    {"table", 0, TEXT, AT(table), "1|2|3|4|5|all", 0, 0, "one table of the paper (default: those with a result)", false},
    {"format", 0, TEXT, AT(format), "NAME", 0, 0, "form of the output", false},
    {"config", 'c', TEXT, AT(config), "FILE", 0, 0, "configuration file", true},
    {"set", 0, LIST, AT(set), "KEY=VALUE", 0, 0, "change one setting; repeatable, wins over the file", true},
    {"backend", 0, TEXT, AT(backend), "cpu|cuda|auto", 0, 0, "where to compute", true},
    {"precision", 0, TEXT, AT(precision), "fp32|tf32|bf16", 0, 0, "arithmetic of the networks", true},
    {"threads", 0, INTEGER, AT(threads), "N", 0, 4096, "CPU threads; 0: all cores of this process", true},
    {"limit-s", 0, REAL, AT(limit_s), "SECONDS", 0, 1e9, "stop in time, save everything, exit 75", true},
    {"print-config", 0, FLAG, AT(print_config), NULL, 0, 0, "print the effective settings and stop", true},
    {"quiet", 'q', FLAG, AT(quiet), NULL, 0, 0, "warnings and errors only", true},
    {"log-level", 0, TEXT, AT(log_level), "LEVEL", 0, 0, "error, warn, info or debug", true},
    {"help", 'h', FLAG, AT(help), NULL, 0, 0, "this text", true},
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

static bool listed(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = names; *p; p += strcspn(p, " "), p += strspn(p, " "))
        if (strcspn(p, " ") == n && strncmp(p, name, n) == 0)
            return true;
    return false;
}

static bool taken_by(const option_row *row, const um_command *command)
{
    return row->common || listed(command->options, row->name);
}

static um_status bad_value(const option_row *row, const char *value)
{
    return um_fail(UM_E_USAGE, "--%s %s: expected %s in [%g, %g]", row->name, value, row->kind == REAL ? "a number" : "an integer",
                   row->min, row->max);
}

static um_status store(const option_row *row, um_cli_values *v, const char *value)
{
    void *member = (char *)v + row->offset;
    um_cli_list *list = member;
    int64_t integer = 0;
    double real = 0;
    switch (row->kind) {
    case FLAG: *(bool *)member = true; return UM_OK;
    case TEXT: *(const char **)member = value; return UM_OK;
    case INTEGER:
        if (!um_text_parse_int(value, &integer) || (double)integer < row->min || (double)integer > row->max)
            return bad_value(row, value);
        *(int64_t *)member = integer;
        return UM_OK;
    case REAL:
        if (!um_text_parse_real(value, &real) || !(real >= row->min && real <= row->max))
            return bad_value(row, value);
        *(double *)member = real;
        return UM_OK;
    case LIST:
        if (list->n == UM_CLI_LIST)
            return um_fail(UM_E_USAGE, "--%s was given more than %d times; use a configuration file", row->name, UM_CLI_LIST);
        list->items[list->n++] = value;
        return UM_OK;
    }
    return UM_OK;
}

/* What getopt_long returned as '?' or ':', as a message. */
static um_status refuse(const um_command *command, const char *word, int letter, bool lacks_value)
{
    const char *names[N_ROWS], *near;
    char bare[64];
    size_t n = 0;
    if (lacks_value)
        return um_fail(UM_E_USAGE, "option %s needs a value; see `umed %s --help`", word, command->name);
    for (size_t i = 0; i < N_ROWS; i++)
        if (taken_by(&rows[i], command))
            names[n++] = rows[i].name;
    if (strncmp(word, "--", 2) != 0)
        return um_fail(UM_E_USAGE, "`umed %s` has no option -%c; see `umed %s --help`", command->name, letter, command->name);
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    near = um_text_nearest(bare, names, n);
    if (near && strcmp(near, bare) == 0)
        return um_fail(UM_E_USAGE, "option --%s takes no value", bare);
    return um_fail(UM_E_USAGE, "`umed %s` has no option --%s%s%s%s; see `umed %s --help`", command->name, bare,
                   near ? ", did you mean --" : "", near ? near : "", near ? "?" : "", command->name);
}

static int build_options(const um_command *command, struct option longs[N_ROWS + 1], char letters[3 * N_ROWS])
{
    int n = 0;
    char *p = letters;
    *p++ = ':';
    for (int i = 0; i < N_ROWS; i++) {
        if (!taken_by(&rows[i], command))
            continue;
        bool argument = rows[i].kind != FLAG;
        longs[n++] = (struct option){rows[i].name, argument ? required_argument : no_argument, NULL, 256 + i};
        if (rows[i].letter)
            *p++ = rows[i].letter;
        if (rows[i].letter && argument)
            *p++ = ':';
    }
    longs[n] = (struct option){0};
    *p = 0;
    return n;
}

static const option_row *row_of(int code)
{
    for (int i = 0; i < N_ROWS; i++)
        if (code == 256 + i || (rows[i].letter && code == rows[i].letter))
            return &rows[i];
    return NULL;
}

um_status um_cli_parse(um_cli *cli, int argc, char **argv)
{
    um_status rc = UM_OK;
    struct option longs[N_ROWS + 1];
    char letters[3 * N_ROWS];
    um_cli_values v = {.n = -1, .size = -1, .batch = -1, .channels = -1, .seed = -1, .shards = -1, .threads = -1};
    build_options(cli->command, longs, letters);
    opterr = 0;
    optind = 1;
    for (int code; (code = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        if (code == '?' || code == ':')
            UM_TRY(refuse(cli->command, argv[optind - 1], optopt, code == ':'));
        UM_TRY(store(row_of(code), &v, optarg));
    }
    for (; optind < argc; optind++) {
        if (v.args.n == UM_CLI_LIST)
            UM_TRY(um_fail(UM_E_USAGE, "more than %d arguments", UM_CLI_LIST));
        v.args.items[v.args.n++] = argv[optind];
    }
    cli->v = v;
done:
    return rc;
}

static um_status print_row(const option_row *row, um_text *out)
{
    char left[64];
    int n = row->letter ? snprintf(left, sizeof left, "-%c, ", row->letter) : 0;
    snprintf(left + n, sizeof left - (size_t)n, "--%s%s%s", row->name, row->argument ? " " : "", row->argument ? row->argument
             : "");
    return um_text_add(out, "  %-28s %s\n", left, row->help);
}

static um_status print_networks(const um_cli *cli, um_text *out)
{
    um_status rc = UM_OK;
    int n = 0;
    const um_model_def *const *models = um_model_all(&n);
    for (int i = 0; i < n; i++)
        if (models[i]->table)
            UM_TRY(um_settings_help(cli->settings, models[i]->table->group, out));
done:
    return rc;
}

static um_status print_group(const um_cli *cli, const char *group, um_text *out)
{
    um_status rc = UM_OK;
    int n_protectors = 0, n_defenses = 0;
    const um_protector_def *const *protectors = um_protector_all(&n_protectors);
    const um_defense_def *const *defenses = um_defense_all(&n_defenses);
    if (strcmp(group, "networks") == 0)
        return print_networks(cli, out);
    if (strcmp(group, "protectors") != 0 && strcmp(group, "defenses") != 0)
        return um_settings_help(cli->settings, group, out);
    for (int i = 0; group[0] == 'p' && i < n_protectors; i++)
        if (protectors[i]->table)
            UM_TRY(um_settings_help(cli->settings, protectors[i]->table->group, out));
    for (int i = 0; group[0] == 'd' && i < n_defenses; i++)
        if (defenses[i]->table && (i == 0 || defenses[i]->table != defenses[i - 1]->table)) /* those that share one stand together */
            UM_TRY(um_settings_help(cli->settings, defenses[i]->table->group, out));
done:
    return rc;
}

um_status um_cli_print_help(const um_cli *cli, um_text *out)
{
    um_status rc = UM_OK;
    const um_command *c = cli->command;
    UM_TRY(um_text_add(out, "umed %s %s\n\n%s\n\noptions:\n", c->name, c->usage, c->summary));
    for (int i = 0; i < N_ROWS; i++)
        if (!rows[i].common && taken_by(&rows[i], c))
            UM_TRY(print_row(&rows[i], out));
    UM_TRY(um_text_add(out, "\ncommon options:\n"));
    for (int i = 0; i < N_ROWS; i++)
        if (rows[i].common)
            UM_TRY(print_row(&rows[i], out));
    if (c->groups[0])
        UM_TRY(um_text_add(out, "\nsettings (configuration file, or --set KEY=VALUE):\n"));
    for (const char *p = c->groups; *p; p += strcspn(p, " "), p += strspn(p, " ")) {
        char group[64];
        snprintf(group, sizeof group, "%.*s", (int)strcspn(p, " "), p);
        UM_TRY(print_group(cli, group, out));
    }
done:
    return rc;
}

um_status um_cli_need(const char *value, const char *option, const um_command *command)
{
    if (value)
        return UM_OK;
    return um_fail(UM_E_USAGE, "%s is needed: umed %s %s", option, command->name, command->usage);
}

um_status um_cli_choice(const char *value, const char *option, const char *choices, int *out)
{
    int index = 0;
    *out = 0;
    if (!value)
        return UM_OK;
    for (const char *p = choices; *p; p += strcspn(p, " "), p += strspn(p, " "), index++) {
        if (strcspn(p, " ") == strlen(value) && strncmp(p, value, strlen(value)) == 0) {
            *out = index;
            return UM_OK;
        }
    }
    return um_fail(UM_E_USAGE, "--%s %s: expected one of: %s", option, value, choices);
}
