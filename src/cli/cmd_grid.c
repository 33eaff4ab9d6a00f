#include "cli/cli.h"

#include "base/log.h"
#include "base/mem.h"
#include "grid/kind.h"
#include "grid/run.h"

#include <math.h>
#include <stdio.h>

static um_status talk(void *payload, const char *line)
{
    const um_cli *cli = payload;
    if (!cli->v.quiet)
        um_log(UM_LOG_INFO, "%s", line);
    return UM_OK;
}

static double flops_of_needs(const um_sweep *s, const um_task *t)
{
    double sum = 0;
    for (int k = 0; k < t->n_needs; k++)
        sum += s->tasks[s->needs[t->first_need + k]].cost.flops;
    return sum;
}

/* The head of a listing of one kind of cells. What stands before a cell ("protect") is shared by the cells that need it. */
static void print_head(const um_cell_kind *kind, bool csv)
{
    printf(csv ? "key" : "%-16s ", "key");
    for (int k = 0; k < kind->n_columns; k++)
        if (csv)
            printf(",%s", kind->columns[k].name);
        else if (kind->columns[k].width)
            printf(" %*s", kind->columns[k].width, kind->columns[k].name);
    if (csv)
        printf(",flops,%s_flops,bytes,state\n", kind->needs_name);
    else
        printf(" %10s  %10s  %6s  %s\n", "TFLOP", kind->needs_name, "GB", "state");
}

static um_status print_cell(const um_sweep_run_options *o, int index, bool csv)
{
    um_status rc = UM_OK;
    const um_task *t = &o->sweep->tasks[index];
    const um_cell_kind *kind = t->kind->cells;
    um_task_state state = UM_TASK_OPEN;
    um_text line = {0}, value = {0};
    double before = flops_of_needs(o->sweep, t);
    if (o->dir)
        UM_TRY(um_sweep_task_state(o, index, &state, NULL));
    UM_TRY(um_text_add(&line, csv ? "%s" : "%-16s ", t->key));
    for (int k = 0; k < kind->n_columns; k++) {
        um_text_free(&value);
        value = (um_text){0};
        UM_TRY(kind->coordinate(o->sweep, t->index, k, &value));
        if (csv)
            UM_TRY(um_text_add(&line, ",%s", um_text_get(&value)));
        else if (kind->columns[k].width)
            UM_TRY(um_text_add(&line, " %*s", kind->columns[k].width, um_text_get(&value)));
    }
    if (csv)
        printf("%s,%.6g,%.6g,%.6g,%s\n", um_text_get(&line), t->cost.flops, before, t->cost.bytes, um_task_state_name(state));
    else
        printf("%s %10.4g  %10.4g  %6.2f  %s\n", um_text_get(&line), t->cost.flops / 1e12, before / 1e12, t->cost.bytes / 1e9,
               um_task_state_name(state));
done:
    um_text_free(&value);
    um_text_free(&line);
    return rc;
}

/* The cells of each kind that the sweep has, with a head of their own. */
static um_status print_cells(const um_sweep_run_options *o, bool csv)
{
    um_status rc = UM_OK;
    const um_cell_kind *last = NULL;
    for (int i = 0; i < o->sweep->n_tasks; i++) {
        const um_cell_kind *kind = o->sweep->tasks[i].kind->cells;
        if (!kind)
            continue;
        if (kind != last) {
            printf("%s", last ? "\n" : "");
            print_head(kind, csv);
        }
        last = kind;
        UM_TRY(print_cell(o, i, csv));
    }
done:
    return rc;
}

/* What networks of this kind sustain on a device, in FLOP/s; estimates but for this program's own on two CPU cores. Narrow networks
 * and small images reach less. */
static const struct {
    const char *name;
    double flops;
} devices[] = {
    {"2 CPU cores, AVX2, fp32", 150e9},
    {"32 CPU cores, AVX-512, fp32", 3e12},
    {"A100, tf32", 60e12},
    {"A100, bf16", 120e12},
    {"H100, tf32", 160e12},
    {"H100, bf16", 350e12},
};

/* The kinds of tasks that a sweep has, in the order of their first one. */
typedef struct kind_sum {
    const um_task_kind *kind;
    int n, done;
    double flops, bytes;
} kind_sum;
enum { MAX_KINDS = 16 };

static um_status sum_kinds(const um_sweep_run_options *o, kind_sum sums[MAX_KINDS], int *n)
{
    um_status rc = UM_OK;
    *n = 0;
    for (int i = 0; i < o->sweep->n_tasks; i++) {
        const um_task *t = &o->sweep->tasks[i];
        um_task_state state = UM_TASK_OPEN;
        int k = 0;
        while (k < *n && sums[k].kind != t->kind)
            k++;
        UM_REQUIRE(k < MAX_KINDS);
        if (k == *n)
            sums[(*n)++] = (kind_sum){.kind = t->kind};
        if (o->dir)
            UM_TRY(um_sweep_task_state(o, i, &state, NULL));
        sums[k].n++;
        sums[k].done += state == UM_TASK_DONE;
        sums[k].flops += t->cost.flops;
        sums[k].bytes = fmax(sums[k].bytes, t->cost.bytes);
    }
done:
    return rc;
}

static um_status print_totals(const um_sweep_run_options *o)
{
    um_status rc = UM_OK;
    kind_sum sums[MAX_KINDS];
    int n = 0, n_cells = 0;
    double cells = 0, all = 0, bytes = 0;
    UM_TRY(sum_kinds(o, sums, &n));
    for (int k = 0; k < n; k++) {
        n_cells += sums[k].kind->cells ? sums[k].n : 0;
        cells += sums[k].kind->cells ? sums[k].flops : 0;
        all += sums[k].flops;
        bytes = fmax(bytes, sums[k].bytes);
    }
    printf("\n%d cells, %.4g TFLOP", n_cells, cells / 1e12);
    for (int k = 0; k < n; k++)
        if (!sums[k].kind->cells)
            printf("; %d %s, %.4g TFLOP", sums[k].n, sums[k].kind->noun, sums[k].flops / 1e12);
    printf("; at most %.2f GB for one of them\n%-28s %12s %10s\n", bytes / 1e9, "estimate for one", "TFLOP/s", "hours");
    for (size_t i = 0; i < UM_COUNT(devices); i++)
        printf("%-28s %12.4g %10.4g\n", devices[i].name, devices[i].flops / 1e12, all / devices[i].flops / 3600);
done:
    return rc;
}

static um_status dry_run(const um_cli *cli, const um_sweep_run_options *o)
{
    um_status rc = UM_OK;
    int csv = 0;
    UM_TRY(um_cli_choice(cli->v.format, "format", "text csv", &csv));
    UM_TRY(print_cells(o, csv));
    if (!csv)
        UM_TRY(print_totals(o));
done:
    return rc;
}

/* A line for a task that somebody is at, left behind, or failed at. */
static um_status print_task_status(const um_sweep_run_options *o, int index)
{
    um_status rc = UM_OK;
    const um_task *t = &o->sweep->tasks[index];
    um_task_state state;
    um_text label = {0}, why = {0};
    UM_TRY(t->kind->label(o->sweep, t->index, &label));
    UM_TRY(um_sweep_task_state(o, index, &state, &why));
    if (state == UM_TASK_FAILED || state == UM_TASK_RUNNING || state == UM_TASK_STALE)
        printf("%-7s %s  %s %s: %s\n", um_task_state_name(state), t->key, t->kind->verb, um_text_get(&label), um_text_get(&why));
done:
    um_text_free(&why);
    um_text_free(&label);
    return rc;
}

/* Counts of cells and of what they need, then who is at what. */
static um_status print_status(const um_sweep_run_options *o)
{
    um_status rc = UM_OK;
    um_sweep_tally t;
    kind_sum sums[MAX_KINDS];
    int n = 0;
    UM_TRY(um_sweep_tally_read(o, &t));
    UM_TRY(sum_kinds(o, sums, &n));
    printf("done %d\nrunning %d\nstale %d\nfailed %d\nopen %d\n", t.done, t.running, t.stale, t.failed, t.open);
    for (int k = 0; k < n; k++)
        if (sums[k].kind->folder)
            printf("%s %d of %d\n", sums[k].kind->folder, sums[k].done, sums[k].n);
    for (int i = 0; i < o->sweep->n_tasks; i++)
        UM_TRY(print_task_status(o, i));
done:
    return rc;
}

static um_status execute(const um_cli *cli, const um_sweep_run_options *o)
{
    um_sweep_tally t = {0};
    um_status rc = um_sweep_execute(o, &t);
    if (rc == UM_OK && !cli->v.quiet)
        um_log(UM_LOG_INFO, "all %d cells are done; see `umed report %s`", t.done, o->dir);
    return rc;
}

static um_status run(um_cli *cli)
{
    um_status rc = UM_OK;
    um_backend *backend = NULL;
    um_sweep *sweep = NULL;
    um_sweep_filter filter = {.only = cli->v.only.items, .n = cli->v.only.n};
    if (!cli->v.dry_run)
        UM_TRY(um_cli_need(cli->v.output, "-o DIR", cli->command));
    UM_TRY(cli->v.dry_run || cli->v.status ? um_cli_plan_backend(cli, &backend) : um_cli_backend(cli, &backend));
    UM_TRY(um_sweep_create(&sweep, cli->sweep, cli->settings, &filter, backend, cli->v.args.items[0]));
    um_sweep_run_options o = {.sweep = sweep, .dir = cli->v.output, .backend = backend, .settings = cli->settings,
                              .command = "umed grid", .comm = cli->comm,
                              .talk = talk, .payload = cli};
    if (!cli->v.dry_run && !cli->v.status)
        UM_TRY(execute(cli, &o));
    else if (um_comm_leads(cli->comm))
        UM_TRY(cli->v.dry_run ? dry_run(cli, &o) : print_status(&o));
done:
    um_sweep_free(sweep);
    um_backend_free(backend);
    return rc;
}

const um_command um_command_grid = {
    .name = "grid",
    .summary = "a sweep of protectors, exploiters, defenses, watermarks and seeds; the same command resumes it",
    .usage = "CONFIG -o DIR [--dry-run [--format text|csv]] [--status] [--only KEY=VALUE]...",
    .options = "output dry-run format status only",
    .groups = "grid data protectors export exploiter defenses medlocker classifier model networks loss metrics run conv",
    .min_args = 1,
    .max_args = 1,
    .computes = true,
    .spreads = true,
    .run = run,
};
