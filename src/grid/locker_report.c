/* Tables of medlocker cells. Lines (one per cell and network asked) that differ in their seed only are one group. */
#include "grid/report_internal.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- groups: neighbours after sorting ---- */

static int by_cell(const um_locker_line *x, const um_locker_line *y)
{
    int order = strcmp(x->dataset, y->dataset);
    if (order == 0)
        order = (int)x->retrained - (int)y->retrained;
    if (order == 0)
        order = strcmp(x->search, y->search);
    if (order == 0)
        order = strcmp(x->target, y->target);
    return order;
}

static int by_network(const um_locker_line *x, const um_locker_line *y)
{
    int order = by_cell(x, y);
    if (order == 0)
        order = strcmp(x->group, y->group);
    return order ? order : strcmp(x->network, y->network);
}

static int by_coordinates(const void *a, const void *b)
{
    const um_locker_line *x = a, *y = b;
    int order = by_network(x, y);
    return order ? order : (x->seed > y->seed) - (x->seed < y->seed);
}

void um_locker_lines_sort(um_locker_line *lines, int n)
{
    if (n > 0)
        qsort(lines, (size_t)n, sizeof *lines, by_coordinates);
}

/* Lines [first, end) of the same cell, whatever its seed and network. */
typedef struct cell_group {
    const um_locker_line *lines;
    int n;
} cell_group;

static cell_group cell_at(const um_report *r, int first)
{
    int end = first + 1;
    while (end < r->n_lines && by_cell(&r->lines[first], &r->lines[end]) == 0 &&
           strcmp(r->lines[first].group, r->lines[end].group) == 0)
        end++;
    return (cell_group){r->lines + first, end - first};
}

typedef enum colour { WHITE, BLACK, ANY } colour;

/* Over seeds, of the mean over the networks that are targets (WHITE) or that are not. */
static um_stat over_networks(const cell_group *g, colour which, size_t offset, double scale)
{
    enum { SEEDS = 256 };
    double values[SEEDS];
    int n = 0;
    for (int i = 0; i < g->n && n < SEEDS; i++) {
        bool seen = false;
        double sum = 0;
        int k = 0;
        for (int j = 0; j < i; j++)
            seen = seen || g->lines[j].seed == g->lines[i].seed;
        for (int j = i; j < g->n && !seen; j++)
            if (g->lines[j].seed == g->lines[i].seed && (which == ANY || g->lines[j].white == (which == WHITE))) {
                sum += *(const double *)((const char *)&g->lines[j] + offset);
                k++;
            }
        if (k)
            values[n++] = sum / k;
    }
    return um_stat_of(values, sizeof *values, n, 0, scale);
}
#define OVER(g, which, member, scale) over_networks(g, which, offsetof(um_locker_line, member), scale)

/* Over seeds, of one network; n = 0 when it was not asked. */
static um_stat of_network(const cell_group *g, const char *network, size_t offset)
{
    for (int i = 0, end; i < g->n; i = end) {
        for (end = i + 1; end < g->n && strcmp(g->lines[i].network, g->lines[end].network) == 0;)
            end++;
        if (strcmp(g->lines[i].network, network) == 0)
            return um_stat_of(g->lines + i, sizeof *g->lines, end - i, offset, 100);
    }
    return (um_stat){NAN, NAN, 0};
}

/* ---- sheets ---- */

static int n_cells(const um_report *r, bool retrained)
{
    int n = 0;
    for (int i = 0; i < r->n_lines; i += cell_at(r, i).n)
        n += r->lines[i].retrained == retrained;
    return n;
}

static void put(const um_sheet *s, int row, int col, const char *text)
{
    snprintf(um_sheet_cell(s, row, col), UM_RESULT_TEXT, "%.*s", UM_RESULT_TEXT - 1, text);
}

static void put_stat(const um_sheet *s, int row, int col, um_stat v, int digits)
{
    um_stat_print(um_sheet_cell(s, row, col), v, digits);
}

/* "61.2 [49.2, 72.0]" of one network and seed, else as any other number. */
static void put_share(const um_sheet *s, int row, int col, const cell_group *g, um_stat v)
{
    const um_locker_line *white = NULL;
    int n = 0;
    for (int i = 0; i < g->n; i++)
        if (g->lines[i].white)
            white = &g->lines[i], n++;
    if (n == 1)
        snprintf(um_sheet_cell(s, row, col), UM_RESULT_TEXT, "%.1f [%.1f, %.1f]", v.mean, 100 * white->asr_low,
                 100 * white->asr_high);
    else
        put_stat(s, row, col, v, 1);
}

static void put_place(const um_sheet *s, int row, const um_locker_line *l)
{
    put(s, row, 0, l->dataset);
    put(s, row, 1, l->search);
    put(s, row, 2, l->target);
}

static void put_heads(const um_sheet *s, const char *const *heads)
{
    for (int c = 0; c < s->n_cols; c++)
        put(s, 0, c, heads[c]);
}

static um_status sheet_of_cells(um_sheet *s, const um_report *r)
{
    um_status rc = UM_OK;
    static const char *const heads[] = {"dataset", "search",  "target",       "clean",    "marked",  "ASR",  "others clean",
                                        "others",  "margin before", "after",  "forwards", "alpha",   "unmarked", "PSNR",
                                        "SSIM",    "area",    "lesion change", "seeds"};
    int row = 0;
    UM_TRY(um_sheet_create(s, n_cells(r, false), UM_COUNT(heads), 3));
    snprintf(s->title, sizeof s->title,
             "MedLocker: accuracy and attack success rate in percent, of the target and of other networks (95 %% Wilson)");
    put_heads(s, heads);
    for (int i = 0, n; i < r->n_lines; i += n) {
        cell_group g = cell_at(r, i);
        n = g.n;
        if (g.lines->retrained)
            continue;
        put_place(s, ++row, g.lines);
        put_stat(s, row, 3, OVER(&g, WHITE, accuracy_clean, 100), 1);
        put_stat(s, row, 4, OVER(&g, WHITE, accuracy_marked, 100), 1);
        put_share(s, row, 5, &g, OVER(&g, WHITE, asr, 100));
        put_stat(s, row, 6, OVER(&g, BLACK, accuracy_clean, 100), 1);
        put_stat(s, row, 7, OVER(&g, BLACK, accuracy_marked, 100), 1);
        put_stat(s, row, 8, OVER(&g, ANY, margin_before, 1), 2);
        put_stat(s, row, 9, OVER(&g, ANY, margin_after, 1), 2);
        put_stat(s, row, 10, OVER(&g, ANY, forwards, 1), 0);
        put_stat(s, row, 11, OVER(&g, ANY, alpha, 1), 0);
        put_stat(s, row, 12, OVER(&g, ANY, none, 1), 0);
        put_stat(s, row, 13, OVER(&g, ANY, psnr, 1), 1);
        put_stat(s, row, 14, OVER(&g, ANY, ssim, 1), 3);
        put_stat(s, row, 15, OVER(&g, ANY, logo_area, 100), 1);
        put_stat(s, row, 16, OVER(&g, ANY, lesion_change, 1), 0);
        snprintf(um_sheet_cell(s, row, 17), UM_RESULT_TEXT, "%d", OVER(&g, ANY, n, 1).n);
    }
done:
    return rc;
}

/* ---- two coordinates against each other ---- */

typedef char name_text[UM_OPT_TEXT + UM_RESULT_TEXT + 1]; /* "dataset/target" */

static int find_or_add(name_text *list, int *n, const char *name)
{
    for (int i = 0; i < *n; i++)
        if (strcmp(list[i], name) == 0)
            return i;
    snprintf(list[*n], sizeof *list, "%s", name);
    return (*n)++;
}

/* Success by target and search: rows are (dataset, target). */
static um_status sheet_of_searches(um_sheet *s, const um_report *r)
{
    um_status rc = UM_OK;
    name_text *rows = NULL, *cols = NULL, row;
    int n_rows = 0, n_cols = 0;
    UM_TRY(UM_NEW_ARRAY(rows, r->n_lines));
    UM_TRY(UM_NEW_ARRAY(cols, r->n_lines));
    for (int pass = 0; pass < 2; pass++) {
        if (pass) {
            UM_TRY(um_sheet_create(s, n_rows, n_cols + 2, 2));
            snprintf(s->title, sizeof s->title, "MedLocker: attack success rate in percent, target against search");
            put(s, 0, 0, "dataset");
            put(s, 0, 1, "target");
        }
        for (int i = 0, n; i < r->n_lines; i += n) {
            cell_group g = cell_at(r, i);
            um_stat asr = OVER(&g, WHITE, asr, 100);
            n = g.n;
            if (g.lines->retrained || asr.n == 0)
                continue;
            snprintf(row, sizeof row, "%s/%s", g.lines->dataset, g.lines->target);
            int y = find_or_add(rows, &n_rows, row) + 1, x = find_or_add(cols, &n_cols, g.lines->search) + 2;
            if (!pass)
                continue;
            put(s, y, 0, g.lines->dataset);
            put(s, y, 1, g.lines->target);
            put(s, 0, x, g.lines->search);
            put_share(s, y, x, &g, asr);
        }
    }
done:
    um_free(rows);
    um_free(cols);
    return rc;
}

/* Accuracy of every network on what was marked against each target; a star where it is one of them. */
static um_status sheet_of_transfer(um_sheet *s, const um_report *r)
{
    um_status rc = UM_OK;
    name_text *nets = NULL;
    int n_nets = 0, row = 0;
    UM_TRY(UM_NEW_ARRAY(nets, r->n_lines));
    for (int i = 0; i < r->n_lines; i++)
        if (!r->lines[i].retrained)
            find_or_add(nets, &n_nets, r->lines[i].network);
    UM_TRY(um_sheet_create(s, n_cells(r, false), n_nets + 4, 3));
    snprintf(s->title, sizeof s->title, "MedLocker: accuracy in percent on images marked against a target (*: it is one)");
    for (int c = 0; c < n_nets + 4; c++)
        put(s, 0, c, c == 0 ? "dataset" : c == 1 ? "search" : c == 2 ? "target" : c == n_nets + 3 ? "black box" : nets[c - 3]);
    for (int i = 0, n; i < r->n_lines; i += n) {
        cell_group g = cell_at(r, i);
        n = g.n;
        if (g.lines->retrained)
            continue;
        put_place(s, ++row, g.lines);
        for (int k = 0; k < n_nets; k++) {
            char *text = um_sheet_cell(s, row, k + 3);
            um_stat_print(text, of_network(&g, nets[k], offsetof(um_locker_line, accuracy_marked)), 1);
            for (int j = 0; j < g.n; j++)
                if (g.lines[j].white && strcmp(g.lines[j].network, nets[k]) == 0 && text[strlen(text) - 1] != '*')
                    strncat(text, "*", UM_RESULT_TEXT - strlen(text) - 1);
        }
        put_stat(s, row, n_nets + 3, OVER(&g, BLACK, accuracy_marked, 100), 1);
    }
done:
    um_free(nets);
    return rc;
}

/* A network trained on clean rows beside the same trained on marked ones. */
static um_status sheet_of_retraining(um_sheet *s, const um_report *r)
{
    um_status rc = UM_OK;
    static const char *const heads[] = {"dataset", "search", "target",          "network",
                                        "clean",   "marked", "retrained clean", "retrained marked"};
    char name[2 * UM_RESULT_TEXT];
    int row = 0;
    UM_TRY(um_sheet_create(s, n_cells(r, true), UM_COUNT(heads), 4));
    snprintf(s->title, sizeof s->title,
             "MedLocker: trained on marked images without authorisation, accuracy in percent on clean and marked test images");
    put_heads(s, heads);
    for (int i = 0, n; i < r->n_lines; i += n) {
        cell_group g = cell_at(r, i);
        n = g.n;
        if (!g.lines->retrained)
            continue;
        put_place(s, ++row, g.lines);
        put(s, row, 3, g.lines->network); /* the original sorts before its own name with more behind it */
        snprintf(name, sizeof name, "%s_retrained", g.lines->network);
        put_stat(s, row, 4, of_network(&g, g.lines->network, offsetof(um_locker_line, accuracy_clean)), 1);
        put_stat(s, row, 5, of_network(&g, g.lines->network, offsetof(um_locker_line, accuracy_marked)), 1);
        put_stat(s, row, 6, of_network(&g, name, offsetof(um_locker_line, accuracy_clean)), 1);
        put_stat(s, row, 7, of_network(&g, name, offsetof(um_locker_line, accuracy_marked)), 1);
    }
done:
    return rc;
}

um_status um_locker_report_print(const um_report *r, um_report_format format, um_text *out)
{
    um_status rc = UM_OK;
    static um_status (*const sheets[])(um_sheet *, const um_report *) = {sheet_of_cells, sheet_of_searches, sheet_of_transfer,
                                                                         sheet_of_retraining};
    um_sheet s = {.n_rows = 0};
    for (size_t k = 0; k < UM_COUNT(sheets) && r->n_lines > 0; k++) {
        um_sheet_clear(&s);
        UM_TRY(sheets[k](&s, r));
        if (s.n_rows)
            UM_TRY(um_sheet_print(&s, format, out));
    }
done:
    um_sheet_clear(&s);
    return rc;
}

/* ---- csv and the merged view ---- */

#define COLUMN(member, text) {#member, offsetof(um_locker_line, member), text}
static const um_merged_column texts[] = {
    COLUMN(key, "key of the cell"),
    COLUMN(group, "key without the seed"),
    COLUMN(dataset, "name of the dataset"),
    COLUMN(search, "search or variant"),
    COLUMN(target, "what the marks were made against"),
    COLUMN(network, "network asked"),
    {"science_sha256", offsetof(um_locker_line, science), "hash over the cell's metrics"},
};
static const um_merged_column numbers[] = {
    COLUMN(n, "test images"),
    COLUMN(right_before, "right when clean"),
    COLUMN(right_after, "right when marked"),
    COLUMN(broken, "right before, wrong after"),
    COLUMN(mended, "wrong before, right after"),
    COLUMN(accuracy_clean, "share of clean test images that the network gets right"),
    COLUMN(accuracy_clean_low, "end of its 95 % interval"),
    COLUMN(accuracy_clean_high, "end of its 95 % interval"),
    COLUMN(accuracy_marked, "share of marked test images that the network gets right"),
    COLUMN(accuracy_marked_low, "end of its 95 % interval"),
    COLUMN(accuracy_marked_high, "end of its 95 % interval"),
    COLUMN(asr, "attack success rate: broken / right_before"),
    COLUMN(asr_low, "end of its 95 % interval"),
    COLUMN(asr_high, "end of its 95 % interval"),
    COLUMN(strict, "images marked clear of all lesions"),
    COLUMN(relaxed, "images marked with a small overlap"),
    COLUMN(none, "images left unmarked"),
    COLUMN(margin_before, "mean margin of the true class under the target, clean"),
    COLUMN(margin_after, "the same, marked"),
    COLUMN(forwards, "forward passes per marked image"),
    COLUMN(alpha, "mean opacity of the marks, of 255"),
    COLUMN(lesion_change, "largest change inside the boxes of strict marks, levels"),
    COLUMN(psnr, "mean PSNR of marked images, dB"),
    COLUMN(ssim, "mean SSIM of marked images"),
    COLUMN(logo_area, "mean share of the frame under the logo"),
    COLUMN(seconds, "wall time"),
};

/* Columns as of the paper's tables: the search is the protector, the network asked the exploiter, the target the case. */
um_status um_locker_report_csv(const um_report *r, um_text *out)
{
    um_status rc = UM_OK;
    for (int i = 0, end; i < r->n_lines; i = end) {
        const um_locker_line *l = &r->lines[i];
        for (end = i + 1; end < r->n_lines && by_network(l, &r->lines[end]) == 0;)
            end++;
        for (size_t k = 0; k < UM_COUNT(numbers); k++) {
            UM_TRY(um_text_add(out, ",%s,medlocker:%s,,%s,%s,%s,%s,", l->dataset, l->search, l->network,
                               l->retrained ? "retrain" : "none", l->target, numbers[k].name));
            UM_TRY(um_csv_stat(out, um_stat_of(l, sizeof *l, end - i, numbers[k].offset, 1), 6));
        }
    }
done:
    return rc;
}

um_status um_locker_report_merge(const um_report *r, um_h5 *f)
{
    const um_merged_layout layout = {"medlocker", sizeof *r->lines, offsetof(um_locker_line, seed), texts, numbers, UM_COUNT(texts),
                                     UM_COUNT(numbers)};
    return r->n_lines > 0 ? um_merged_write(f, &layout, r->lines, r->n_lines) : UM_OK;
}
