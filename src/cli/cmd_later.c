/* Commands that a later version brings: they say so in one line. Whatever follows the name is accepted. */
#include "cli/cli.h"

static um_status refuse(um_cli *cli)
{
    return um_fail(UM_E_UNSUPPORTED, "`umed %s` (%s) is not in this version", cli->command->name, cli->command->summary);
}

const um_command um_command_medlocker = {
    .name = "medlocker", .summary = "visible adversarial watermarks with certificates",
        .usage = "train|mark|verify|recover|report ...",
    .options = "", .groups = "", .max_args = -1, .run = refuse,
};
