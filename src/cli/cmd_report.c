#include "cli/cli.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "grid/report.h"

#include <stdio.h>

static um_status run(um_cli *cli)
{
    um_status rc = UM_OK;
    static const int tables[] = {UM_REPORT_ALL, 1, 2, 3, 4, 5};
    const char *dir = cli->v.args.items[0];
    um_report *report = NULL;
    um_text text = {0};
    char *merged = NULL;
    int table = 0, format = 0;
    UM_TRY(um_cli_choice(cli->v.table, "table", "all 1 2 3 4 5", &table));
    UM_TRY(um_cli_choice(cli->v.format, "format", UM_REPORT_FORMATS, &format));
    UM_TRY(um_report_read(&report, dir));
    UM_TRY(um_report_print(report, cli->v.table ? tables[table] : UM_REPORT_MEASURED, (um_report_format)format, &text));
    fputs(um_text_get(&text), stdout);
    UM_TRY(um_path_join(&merged, dir, "results.h5"));
    UM_TRY(um_report_write_merged(report, merged));
    um_log(UM_LOG_INFO, "merged view for analysis: %s", merged);
done:
    um_free(merged);
    um_text_free(&text);
    um_report_free(report);
    return rc;
}

const um_command um_command_report = {
    .name = "report", .summary = "the paper's tables from a sweep's results, beside the paper's numbers",
    .usage = "DIR [--table 1|2|3|4|5|all] [--format text|markdown|csv|latex]", .options = "table format", .groups = "",
        .min_args = 1,
    .max_args = 1, .run = run,
};
