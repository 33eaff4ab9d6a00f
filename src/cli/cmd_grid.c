#include "cli/cli.h"

#include "base/log.h"
#include "base/mem.h"
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

/* The column "protect_flops" is the cost of the item that the cell needs, which cells of one item share. */
static um_status print_cell(const um_sweep_run_options *o, int index, bool csv)
{
    um_status rc = UM_OK;
    const um_sweep *s = o->sweep;
    const um_sweep_cell *c = &s->cells[index];
    const um_method *m = &s->methods[c->method];
    um_task_state state = UM_TASK_OPEN;
    um_text tables = {0};
    double item_flops = c->item >= 0 ? s->items[c->item].cost.flops : 0;
    if (o->dir)
        UM_TRY(um_sweep_cell_state(o, index, &state, NULL));
    UM_TRY(um_sweep_tables_text(c->tables, &tables));
    if (csv)
        printf("%s,%s,%s,%s,%s,%s,%lld,%s,%s,%.6g,%.6g,%.6g,%s\n", c->key, s->data[c->data].name, m->name, m->bound,
               c->exploiter->name, c->defense->name, (long long)c->seed, um_text_get(&tables),
               c->item >= 0 ? s->items[c->item].key : "", c->cost.flops, item_flops, c->cost.bytes, um_task_state_name(state));
    else
        printf("%s  %-12s %-12s %-8s %-15s %-9s %4lld  %-7s %10.4g  %10.4g  %6.2f  %s\n", c->key, s->data[c->data].name, m->name,
               m->bound, c->exploiter->name, c->defense->name, (long long)c->seed, um_text_get(&tables), c->cost.flops / 1e12,
               item_flops / 1e12, c->cost.bytes / 1e9, um_task_state_name(state));
done:
    um_text_free(&tables);
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

static void print_totals(const um_sweep_run_options *o)
{
    double cells = 0, items = 0, bytes = 0;
    for (int i = 0; i < o->sweep->n_cells; i++) {
        cells += o->sweep->cells[i].cost.flops;
        bytes = fmax(bytes, o->sweep->cells[i].cost.bytes);
    }
    for (int i = 0; i < o->sweep->n_items; i++) {
        items += o->sweep->items[i].cost.flops;
        bytes = fmax(bytes, o->sweep->items[i].cost.bytes);
    }
    printf("\n%d cells, %.4g TFLOP; %d protected datasets, %.4g TFLOP; at most %.2f GB for one of them\n", o->sweep->n_cells,
           cells / 1e12, o->sweep->n_items, items / 1e12, bytes / 1e9);
    printf("%-28s %12s %10s\n", "estimate for one", "TFLOP/s", "hours");
    for (size_t i = 0; i < UM_COUNT(devices); i++)
        printf("%-28s %12.4g %10.4g\n", devices[i].name, devices[i].flops / 1e12, (cells + items) / devices[i].flops / 3600);
}

static um_status dry_run(const um_cli *cli, const um_sweep_run_options *o)
{
    um_status rc = UM_OK;
    int csv = 0;
    UM_TRY(um_cli_choice(cli->v.format, "format", "text csv", &csv));
    if (csv)
        printf("key,dataset,protector,bound,exploiter,defense,seed,tables,protect_key,flops,protect_flops,bytes,state\n");
    else
        printf("%-16s  %-12s %-12s %-8s %-15s %-9s %4s  %-7s %10s  %10s  %6s  %s\n", "key", "dataset", "protector", "bound",
               "exploiter", "defense", "seed", "tables", "TFLOP", "protect", "GB", "state");
    for (int i = 0; i < o->sweep->n_cells; i++)
        UM_TRY(print_cell(o, i, csv));
    if (!csv)
        print_totals(o);
done:
    return rc;
}

/* A line for what somebody is at, left behind, or failed at. */
static void print_task(um_task_state state, const char *key, const um_text *label, const um_text *why)
{
    if (state == UM_TASK_FAILED || state == UM_TASK_RUNNING || state == UM_TASK_STALE)
        printf("%-7s %s  %s: %s\n", um_task_state_name(state), key, um_text_get(label), um_text_get(why));
}

static um_status print_item_status(const um_sweep_run_options *o, int i)
{
    um_status rc = UM_OK;
    const um_sweep *s = o->sweep;
    const um_sweep_item *item = &s->items[i];
    um_task_state state;
    um_text label = {0}, why = {0};
    UM_TRY(um_text_add(&label, "protect %s/%s seed %lld", s->data[item->data].name, s->methods[item->method].name, (long long)item->seed));
    UM_TRY(um_sweep_item_state(o, i, &state, &why));
    print_task(state, item->key, &label, &why);
done:
    um_text_free(&why);
    um_text_free(&label);
    return rc;
}

static um_status print_cell_status(const um_sweep_run_options *o, int i)
{
    um_status rc = UM_OK;
    const um_sweep *s = o->sweep;
    const um_sweep_cell *c = &s->cells[i];
    um_task_state state;
    um_text label = {0}, why = {0};
    UM_TRY(um_text_add(&label, "%s/%s/%s/%s seed %lld", s->data[c->data].name, s->methods[c->method].name, c->exploiter->name,
                       c->defense->name, (long long)c->seed));
    UM_TRY(um_sweep_cell_state(o, i, &state, &why));
    print_task(state, c->key, &label, &why);
done:
    um_text_free(&why);
    um_text_free(&label);
    return rc;
}

/* Counts of cells and of the protected datasets that they need, then who is at what. */
static um_status print_status(const um_sweep_run_options *o)
{
    um_status rc = UM_OK;
    um_sweep_tally t;
    int protected = 0;
    UM_TRY(um_sweep_tally_read(o, &t));
    for (int i = 0; i < o->sweep->n_items; i++) {
        um_task_state state;
        UM_TRY(um_sweep_item_state(o, i, &state, NULL));
        protected += state == UM_TASK_DONE;
    }
    printf("done %d\nrunning %d\nstale %d\nfailed %d\nopen %d\nprotected %d of %d\n", t.done, t.running, t.stale, t.failed, t.open, protected,
           o->sweep->n_items);
    for (int i = 0; i < o->sweep->n_items; i++)
        UM_TRY(print_item_status(o, i));
    for (int i = 0; i < o->sweep->n_cells; i++)
        UM_TRY(print_cell_status(o, i));
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
    .name = "grid", .summary = "a sweep of protectors, exploiters, defenses and seeds; the same command resumes it",
    .usage = "CONFIG -o DIR [--dry-run [--format text|csv]] [--status] [--only KEY=VALUE]...",
    .options = "output dry-run format status only",
    .groups = "grid data protectors export exploiter defenses model networks loss metrics run conv", .min_args = 1, .max_args = 1,
    .computes = true, .spreads = true, .run = run,
};
