#include "grid/report_internal.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const titles[] = {
    "",
    "Table 1. U-Net trained on protected images, clean test scores in percent",
    "Table 2. Transfer to other networks, clean test scores in percent",
    "Table 3. Defenses of U-Net on BUSI, clean test scores in percent",
    "Table 4. Visibility: PSNR in dB, SSIM",
    "Table 5. Parts of UMed and EM on BUSI, mean over four networks, clean test scores in percent",
};

char *um_sheet_cell(const um_sheet *s, int row, int col)
{
    return s->cells[row * s->n_cols + col];
}

void um_sheet_clear(um_sheet *s)
{
    um_free(s->cells);
    *s = (um_sheet){0};
}

um_status um_sheet_create(um_sheet *s, int n_rows, int n_cols, int n_labels)
{
    s->n_rows = n_rows;
    s->n_cols = n_cols;
    s->n_labels = n_labels;
    return UM_NEW_ARRAY(s->cells, (n_rows + 1) * n_cols);
}

/* ---- tables of the paper: rows and columns are what its numbers say, in their order ---- */

typedef char key_text[UM_RESULT_TEXT];

/* Labels of the row and the head of the column in which a number stands. */
static void row_of(const um_paper_value *v, key_text out)
{
    if (v->table == 5)
        snprintf(out, sizeof(key_text), "%s\t%s", v->label, v->protector);
    else if (v->table == 2)
        snprintf(out, sizeof(key_text), "%s\t%s", v->dataset, v->protector);
    else
        snprintf(out, sizeof(key_text), "%s\t%s", v->protector, v->bound);
}

static void column_of(const um_paper_value *v, key_text out)
{
    const char *over = v->dataset;
    if (v->table == 2)
        over = v->exploiter;
    else if (v->table == 3 && v->exploiter[0])
        over = v->defense;
    else if (v->table == 3 || v->table == 5)
        over = "";
    snprintf(out, sizeof(key_text), "%s%s%s", over, over[0] ? " " : "", v->metric);
}

static const char *const row_heads[][2] = {{"", ""}, {"protector", "bound"}, {"dataset", "protector"}, {"protector", "bound"},
                                           {"protector", "bound"}, {"case", "protector"}};

static int find_or_add(key_text *list, int *n, const key_text key)
{
    for (int i = 0; i < *n; i++)
        if (strcmp(list[i], key) == 0)
            return i;
    memcpy(list[*n], key, sizeof(key_text));
    return (*n)++;
}

/* "12.34±0.56 [11.00]": ours, then the paper's in brackets, with the marks of its notes: "[11.00 a]". */
static void print_cell(char out[UM_RESULT_TEXT], um_stat ours, const um_paper_value *v, unsigned *notes)
{
    char marks[UM_REPORT_MARKS];
    *notes |= um_report_notes_of(v, marks);
    int digits = strcmp(v->metric, "SSIM") == 0 ? 4 : 2, n = 0;
    if (ours.n && ours.n > 1 && !isnan(ours.sd))
        n = snprintf(out, UM_RESULT_TEXT, "%.*f±%.*f ", digits, ours.mean, digits, ours.sd);
    else if (ours.n)
        n = snprintf(out, UM_RESULT_TEXT, "%.*f ", digits, ours.mean);
    snprintf(out + n, UM_RESULT_TEXT - (size_t)n, "[%.*f%s%s]", digits, v->value, marks[0] ? " " : "", marks);
}

static void fill_heads(um_sheet *s, int table, key_text *rows, key_text *cols)
{
    for (int k = 0; k < 2; k++)
        snprintf(um_sheet_cell(s, 0, k), UM_RESULT_TEXT, "%s", row_heads[table][k]);
    for (int c = 2; c < s->n_cols; c++)
        snprintf(um_sheet_cell(s, 0, c), UM_RESULT_TEXT, "%s", cols[c - 2]);
    for (int i = 0; i < s->n_rows; i++) {
        const char *tab = strchr(rows[i], '\t');
        snprintf(um_sheet_cell(s, i + 1, 0), UM_RESULT_TEXT, "%.*s", (int)(tab - rows[i]), rows[i]);
        snprintf(um_sheet_cell(s, i + 1, 1), UM_RESULT_TEXT, "%s", tab + 1);
    }
}

um_status um_sheet_of_table(um_sheet *out, const um_report *r, int table, bool *measured)
{
    um_status rc = UM_OK;
    um_sheet s = {0};
    key_text *rows = NULL, *cols = NULL, row, col;
    int n_rows = 0, n_cols = 0;
    *measured = false;
    UM_TRY(UM_NEW_ARRAY(rows, r->n_paper));
    UM_TRY(UM_NEW_ARRAY(cols, r->n_paper));
    for (int i = 0; i < r->n_paper; i++) {
        if (r->paper[i].table != table)
            continue;
        row_of(&r->paper[i], row);
        column_of(&r->paper[i], col);
        find_or_add(rows, &n_rows, row);
        find_or_add(cols, &n_cols, col);
    }
    UM_TRY(um_sheet_create(&s, n_rows, n_cols + 2, 2));
    snprintf(s.title, sizeof s.title, "%s; ours [paper]", titles[table]);
    fill_heads(&s, table, rows, cols);
    for (int i = 0; i < r->n_paper; i++) {
        const um_paper_value *v = &r->paper[i];
        if (v->table != table)
            continue;
        um_stat ours = um_report_lookup(r, v);
        row_of(v, row);
        column_of(v, col);
        print_cell(um_sheet_cell(&s, find_or_add(rows, &n_rows, row) + 1, find_or_add(cols, &n_cols, col) + 2), ours, v, &s.notes);
        s.filled += ours.n > 0;
        s.wanted++;
    }
    *measured = s.filled > 0;
    *out = s;
    s = (um_sheet){0};
done:
    um_sheet_clear(&s);
    um_free(rows);
    um_free(cols);
    return rc;
}

/* ---- everything measured ---- */

void um_stat_print(char out[UM_RESULT_TEXT], um_stat s, int digits)
{
    if (s.n == 0)
        out[0] = 0;
    else if (s.n > 1)
        snprintf(out, UM_RESULT_TEXT, "%.*f±%.*f", digits, s.mean, digits, s.sd);
    else
        snprintf(out, UM_RESULT_TEXT, "%.*f", digits, s.mean);
}

/* What is shown of each kind of result. */
enum { MAX_STATS = 12 };
typedef struct kind_layout {
    const char *title;
    int n_labels, n_stats;
    const char *heads[MAX_STATS];
} kind_layout;

static const kind_layout layouts[] = {
    {"Cells, clean test scores in percent: per batch (headline), pooled, per image", 5, 8,
     {"DSC", "Jac", "pooled DSC", "pooled Jac", "image DSC", "image Jac", "train DSC", "foreground"}},
    {"Protections, mean over the protected training images; leak: DSC in percent of masks read off them [clean]", 3, 10,
     {"PSNR", "SSIM", "ROI PSNR", "ROI SSIM", "worst PSNR", "worst SSIM", "high-pass leak", "[clean]", "denoise leak", "[clean]"}},
    {"Utility: networks trained on clean images, DSC in percent on protected and on the same clean training images", 4, 3,
     {"protected DSC", "clean DSC", "image DSC"}},
};

static int stats_of(const um_report_group *g, um_result_kind kind, um_stat out[MAX_STATS])
{
    const um_stat cell[] = {g->dsc[0], g->jac[0], g->dsc[1], g->jac[1], g->dsc[2], g->jac[2], g->train_dsc, g->foreground};
    const um_stat protection[] = {g->psnr, g->ssim, g->psnr_roi, g->ssim_roi, g->psnr_worst, g->ssim_worst,
                                  g->leak[0][0], g->leak[0][1], g->leak[1][0], g->leak[1][1]};
    const um_stat utility[] = {g->dsc[0], g->train_dsc, g->dsc[2]};
    const um_stat *const lists[] = {cell, protection, utility};
    memcpy(out, lists[kind], (size_t)layouts[kind].n_stats * sizeof *out);
    return layouts[kind].n_stats;
}

static void fill_group(const um_sheet *s, int row, const um_report_group *g, um_result_kind kind)
{
    const um_result_row *f = g->first;
    const char *const labels[] = {f->dataset, f->protector, f->bound, f->exploiter, f->defense};
    um_stat stats[MAX_STATS];
    int n = stats_of(g, kind, stats);
    for (int k = 0; k < s->n_labels; k++)
        snprintf(um_sheet_cell(s, row, k), UM_RESULT_TEXT, "%s", labels[k]);
    for (int k = 0; k < n; k++)
        um_stat_print(um_sheet_cell(s, row, s->n_labels + k), stats[k], strstr(layouts[kind].heads[k], "SSIM") ? 4 : 2);
    snprintf(um_sheet_cell(s, row, s->n_labels + n), UM_RESULT_TEXT, "%d", stats[0].n);
}

um_status um_sheet_of_groups(um_sheet *out, const um_report *r, um_result_kind kind)
{
    um_status rc = UM_OK;
    static const char *const labels[] = {"dataset", "protector", "bound", "exploiter", "defense"};
    const kind_layout *l = &layouts[kind];
    um_sheet s = {0};
    int n = 0, row = 0;
    for (int i = 0; i < r->n_groups; i++)
        n += r->groups[i].first->kind == kind;
    UM_TRY(um_sheet_create(&s, n, l->n_labels + l->n_stats + 1, l->n_labels));
    snprintf(s.title, sizeof s.title, "%s", l->title);
    for (int c = 0; c < s.n_cols; c++)
        snprintf(um_sheet_cell(&s, 0, c), UM_RESULT_TEXT, "%s",
                 c < l->n_labels ? labels[c] : c < l->n_labels + l->n_stats ? l->heads[c - l->n_labels] : "seeds");
    for (int i = 0; i < r->n_groups; i++)
        if (r->groups[i].first->kind == kind)
            fill_group(&s, ++row, &r->groups[i], kind);
    *out = s;
    s = (um_sheet){0};
done:
    um_sheet_clear(&s);
    return rc;
}
