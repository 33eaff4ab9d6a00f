#include "grid/report_internal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading a folder ---- */

typedef struct row_list {
    um_result_row *rows;
    um_locker_line *lines;
    int n, cap, n_lines, cap_lines;
} row_list;

static um_status add_lines(row_list *l, const char *path)
{
    um_status rc = UM_OK;
    um_locker_line *lines = NULL;
    int n = 0;
    UM_TRY(um_locker_read_cell(&lines, &n, path));
    if (l->n_lines + n > l->cap_lines) {
        int cap = 2 * l->cap_lines + n;
        UM_TRY(UM_GROW(l->lines, l->cap_lines, cap));
        l->cap_lines = cap;
    }
    for (int i = 0; i < n; i++)
        l->lines[l->n_lines++] = lines[i];
done:
    um_free(lines);
    return rc;
}

static um_status add_row(row_list *l, const char *path)
{
    um_status rc = UM_OK;
    um_result_row row;
    UM_TRY(um_result_read_row(&row, path));
    if (row.kind == UM_RESULT_OTHER)
        return add_lines(l, path);
    if (l->n == l->cap) {
        int cap = l->cap ? 2 * l->cap : 64;
        UM_TRY(UM_GROW(l->rows, l->cap, cap));
        l->cap = cap;
    }
    l->rows[l->n++] = row;
done:
    return rc;
}

static um_status add_if_there(row_list *l, const char *dir, const char *name)
{
    um_status rc = UM_OK;
    char *path = NULL;
    UM_TRY(um_path_join(&path, dir, name));
    if (um_file_exists(path))
        UM_TRY(add_row(l, path));
done:
    um_free(path);
    return rc;
}

static um_status read_cells(row_list *l, const char *dir)
{
    um_status rc = UM_OK;
    char **names = NULL, *cell = NULL;
    size_t n = 0;
    if (!um_dir_exists(dir))
        return UM_OK;
    UM_TRY(um_dir_list(&names, &n, dir));
    for (size_t i = 0; i < n; i++) {
        um_free(cell);
        cell = NULL;
        UM_TRY(um_path_join(&cell, dir, names[i]));
        UM_TRY(add_if_there(l, cell, "result.h5"));
    }
done:
    um_free(cell);
    um_names_free(names, n);
    return rc;
}

static um_status read_protections(row_list *l, const char *dir)
{
    um_status rc = UM_OK;
    char **names = NULL;
    size_t n = 0;
    if (!um_dir_exists(dir))
        return UM_OK;
    UM_TRY(um_dir_list(&names, &n, dir));
    for (size_t i = 0; i < n; i++)
        if (um_text_ends_with(names[i], ".result.h5") || um_text_ends_with(names[i], ".utility.h5"))
            UM_TRY(add_if_there(l, dir, names[i]));
done:
    um_names_free(names, n);
    return rc;
}

um_status um_report_read(um_report **out, const char *dir)
{
    um_status rc = UM_OK;
    row_list l = {0};
    char *cells = NULL, *protections = NULL;
    UM_TRY(um_path_join(&cells, dir, "cells"));
    UM_TRY(um_path_join(&protections, dir, "protected"));
    if (!um_dir_exists(cells) && !um_dir_exists(protections)) {
        rc = um_fail(UM_E_DATA, "%s: no sweep folder (no cells/ in it); name the DIR given to `umed grid CONFIG -o DIR`", dir);
        goto done;
    }
    UM_TRY(read_cells(&l, cells));
    UM_TRY(read_protections(&l, protections));
    UM_TRY(um_report_from_rows(out, l.rows, l.n));
    (*out)->lines = l.lines;
    (*out)->n_lines = l.n_lines;
    um_locker_lines_sort(l.lines, l.n_lines);
    l.lines = NULL;
done:
    um_free(l.lines);
    um_free(l.rows);
    um_free(cells);
    um_free(protections);
    return rc;
}

/* ---- groups ---- */

static int by_coordinates(const void *a, const void *b)
{
    const um_result_row *x = a, *y = b;
    int order = (int)x->kind - (int)y->kind;
    const char *const pairs[][2] = {{x->dataset, y->dataset}, {x->protector, y->protector}, {x->bound, y->bound},
                                    {x->exploiter, y->exploiter}, {x->defense, y->defense}, {x->group, y->group}};
    for (size_t i = 0; i < UM_COUNT(pairs) && order == 0; i++)
        order = strcmp(pairs[i][0], pairs[i][1]);
    if (order == 0)
        order = (x->seed > y->seed) - (x->seed < y->seed);
    return order ? order : strcmp(x->key, y->key);
}

static bool same_group(const um_result_row *a, const um_result_row *b)
{
    return a->kind == b->kind && strcmp(a->group, b->group) == 0 && strcmp(a->dataset, b->dataset) == 0 &&
           strcmp(a->protector, b->protector) == 0 &&
           strcmp(a->bound, b->bound) == 0 && strcmp(a->exploiter, b->exploiter) == 0 && strcmp(a->defense, b->defense) == 0;
}

um_stat um_stat_of(const void *rows, size_t bytes, int n, size_t offset, double scale)
{
    um_stat s = {NAN, NAN, 0};
    double sum = 0, squares = 0;
    const char *base = (const char *)rows + offset;
    for (int i = 0; i < n; i++) {
        double v = scale * *(const double *)(base + (size_t)i * bytes);
        if (isnan(v))
            continue;
        sum += v;
        s.n++;
    }
    if (s.n)
        s.mean = sum / s.n;
    for (int i = 0; i < n; i++) {
        double v = scale * *(const double *)(base + (size_t)i * bytes) - s.mean;
        squares += isnan(v) ? 0 : v * v;
    }
    if (s.n > 1)
        s.sd = sqrt(squares / (s.n - 1));
    return s;
}

static um_stat stat_of(const um_result_row *rows, int n, size_t offset, double scale)
{
    return um_stat_of(rows, sizeof *rows, n, offset, scale);
}

static um_report_group group_of(const um_result_row *rows, int n)
{
    um_report_group g = {.first = rows};
    for (int a = 0; a < 3; a++) {
        size_t at = offsetof(um_result_row, test) + (size_t)a * sizeof(um_overlap);
        g.dsc[a] = stat_of(rows, n, at + offsetof(um_overlap, dsc), 100);
        g.jac[a] = stat_of(rows, n, at + offsetof(um_overlap, jaccard), 100);
    }
    g.train_dsc = stat_of(rows, n, offsetof(um_result_row, train) + offsetof(um_overlap, dsc), 100);
    g.foreground = stat_of(rows, n, offsetof(um_result_row, test_foreground), 100);
    g.psnr = stat_of(rows, n, offsetof(um_result_row, psnr), 1);
    g.ssim = stat_of(rows, n, offsetof(um_result_row, ssim), 1);
    g.psnr_roi = stat_of(rows, n, offsetof(um_result_row, psnr_roi), 1);
    g.ssim_roi = stat_of(rows, n, offsetof(um_result_row, ssim_roi), 1);
    g.psnr_worst = stat_of(rows, n, offsetof(um_result_row, psnr_worst), 1);
    g.ssim_worst = stat_of(rows, n, offsetof(um_result_row, ssim_worst), 1);
    g.leak[0][0] = stat_of(rows, n, offsetof(um_result_row, leak_highpass), 100);
    g.leak[0][1] = stat_of(rows, n, offsetof(um_result_row, leak_highpass_clean), 100);
    g.leak[1][0] = stat_of(rows, n, offsetof(um_result_row, leak_denoise), 100);
    g.leak[1][1] = stat_of(rows, n, offsetof(um_result_row, leak_denoise_clean), 100);
    return g;
}

/* Two groups of equal coordinates come from runs under different settings; the tables show the first. */
static void warn_doubles(const um_report *r)
{
    for (int i = 1; i < r->n_groups; i++) {
        const um_result_row *a = r->groups[i - 1].first, *b = r->groups[i].first;
        if (a->kind == b->kind && strcmp(a->dataset, b->dataset) == 0 && strcmp(a->protector, b->protector) == 0 &&
            strcmp(a->bound, b->bound) == 0 &&
            strcmp(a->exploiter, b->exploiter) == 0 && strcmp(a->defense, b->defense) == 0)
            um_log(UM_LOG_WARN, "%s/%s%s%s was run under different settings (groups %s and %s); the paper's tables show the first",
                   a->dataset, a->protector, a->exploiter[0] ? "/" : "", a->exploiter, a->group, b->group);
    }
}

um_status um_report_from_rows(um_report **out, const um_result_row *rows, int n)
{
    um_status rc = UM_OK;
    um_report *r = NULL;
    UM_TRY(UM_NEW(r));
    UM_TRY(UM_NEW_ARRAY(r->rows, n));
    UM_TRY(UM_NEW_ARRAY(r->groups, n));
    UM_TRY(um_paper_load(&r->paper, &r->n_paper));
    if (n)
        memcpy(r->rows, rows, (size_t)n * sizeof *rows);
    r->n_rows = n;
    for (int i = 0; i < n; i++) /* rows made by hand may leave it to the coordinates */
        if (r->rows[i].kind == UM_RESULT_CELL && !r->rows[i].exploiter[0])
            r->rows[i].kind = UM_RESULT_PROTECTION;
    qsort(r->rows, (size_t)n, sizeof *r->rows, by_coordinates);
    for (int i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && same_group(&r->rows[i], &r->rows[end]);)
            end++;
        r->groups[r->n_groups++] = group_of(&r->rows[i], end - i);
    }
    warn_doubles(r);
    *out = r;
    r = NULL;
done:
    um_report_free(r);
    return rc;
}

void um_report_free(um_report *r)
{
    if (!r)
        return;
    um_free(r->rows);
    um_free(r->groups);
    um_free(r->paper);
    um_free(r->lines);
    um_free(r);
}

/* ---- the paper's numbers ---- */

/* The paper's label "4/255" of LSP and AR cannot be a bound of a pixel (protectors.md 2.6): theirs are not compared. */
static bool same_bound(const um_result_row *row, const um_paper_value *v)
{
    return strcmp(row->bound, v->bound) == 0 || strcmp(v->protector, "lsp") == 0 || strcmp(v->protector, "ar") == 0;
}

static bool matches(const um_report_group *g, const um_paper_value *v)
{
    const um_result_row *row = g->first;
    if (row->kind == UM_RESULT_UTILITY)
        return false;
    bool method = v->label[0] ? strcmp(row->label, v->label) == 0 : row->plain;
    return method && strcmp(row->dataset, v->dataset) == 0 && strcmp(row->base, v->protector) == 0 &&
           same_bound(row, v) && strcmp(row->exploiter, v->exploiter) == 0 &&
           (v->exploiter[0] == 0 || strcmp(row->defense, v->defense) == 0);
}

static um_stat metric_of(const um_report_group *g, const char *metric)
{
    if (strcmp(metric, "DSC") == 0)
        return g->dsc[0];
    if (strcmp(metric, "Jac") == 0)
        return g->jac[0];
    return strcmp(metric, "PSNR") == 0 ? g->psnr : g->ssim;
}

static um_stat lookup_one(const um_report *r, const um_paper_value *v)
{
    for (int i = 0; i < r->n_groups; i++)
        if (matches(&r->groups[i], v))
            return metric_of(&r->groups[i], v->metric);
    return (um_stat){NAN, NAN, 0};
}

/* Mean over what the paper averages: the datasets of Table 1, the exploiters of Tables 2 (without U-Net) and 5 (with it). */
static um_stat average(const um_report *r, const um_paper_value *v)
{
    static const char *const datasets[] = {"busi", "chest_xray", "kvasir_seg"};
    static const char *const exploiters[] = {"unet", "attention_unet", "unetpp", "transunet"};
    bool over_data = strcmp(v->dataset, "average") == 0;
    int first = !over_data && v->table == 2, n = over_data ? 3 : 4;
    um_stat sum = {0, NAN, 0};
    for (int i = first; i < n; i++) {
        um_paper_value part = *v;
        snprintf(over_data ? part.dataset : part.exploiter, UM_PAPER_TEXT, "%s", over_data ? datasets[i] : exploiters[i]);
        um_stat one = lookup_one(r, &part);
        if (one.n == 0)
            return (um_stat){NAN, NAN, 0};
        sum.mean += one.mean / (n - first);
        sum.n = sum.n == 0 || one.n < sum.n ? one.n : sum.n;
    }
    return sum;
}

um_stat um_report_lookup(const um_report *r, const um_paper_value *v)
{
    bool is_average = strcmp(v->dataset, "average") == 0 || strcmp(v->exploiter, "average") == 0;
    return is_average ? average(r, v) : lookup_one(r, v);
}

bool um_report_group_in_paper(const um_report *r, const um_report_group *g)
{
    for (int i = 0; i < r->n_paper; i++)
        if (matches(g, &r->paper[i]))
            return true;
    return false;
}
