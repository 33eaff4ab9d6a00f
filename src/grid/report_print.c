#include "grid/report_internal.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- sheets ---- */

static const char *cell(const um_sheet *s, int row, int col)
{
    return s->cells[row * s->n_cols + col];
}

/* Characters of a UTF-8 text. */
static int width_of(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static int column_width(const um_sheet *s, int col)
{
    int widest = 0;
    for (int r = 0; r <= s->n_rows; r++) {
        int w = width_of(cell(s, r, col));
        widest = w > widest ? w : widest;
    }
    return widest;
}

/* Completeness, and the notes on the paper's numbers, one line each. lead, end: around a line; add: adds a text, escaped. */
typedef um_status (*add_text)(um_text *out, const char *text);

static um_status add_plain(um_text *out, const char *text)
{
    return um_text_add(out, "%s", text);
}

static um_status print_feet(const um_sheet *s, um_text *out, const char *lead, const char *end, add_text add)
{
    um_status rc = UM_OK;
    const char *last = "";
    char mark = 0;
    if (s->wanted)
        UM_TRY(um_text_add(out, "%s%d of %d numbers have a result%s", lead, s->filled, s->wanted, end));
    for (int i = 0; um_report_note(i, &mark); i++) {
        const char *text = um_report_note(i, &mark);
        if (!(s->notes >> i & 1) || strcmp(text, last) == 0)
            continue;
        last = text;
        UM_TRY(um_text_add(out, "%s%c: ", lead, mark));
        UM_TRY(add(out, text));
        UM_TRY(um_text_add(out, "%s", end));
    }
done:
    return rc;
}

/* Labels to the left, numbers to the right. */
static um_status print_text(const um_sheet *s, um_text *out)
{
    um_status rc = UM_OK;
    UM_TRY(um_text_add(out, "%s\n", s->title));
    for (int r = 0; r <= s->n_rows; r++) {
        um_text line = {0};
        for (int c = 0; c < s->n_cols && rc == UM_OK; c++) {
            const char *text = cell(s, r, c);
            int pad = column_width(s, c) - width_of(text);
            rc = c < s->n_labels ? um_text_add(&line, "%s%s%*s", c ? "  " : "", text, pad, "")
                                 : um_text_add(&line, "%s%*s%s", c ? "  " : "", pad, "", text);
        }
        while (line.n && line.data[line.n - 1] == ' ')
            line.data[--line.n] = 0;
        if (rc == UM_OK)
            rc = um_text_add(out, "%s\n", um_text_get(&line));
        um_text_free(&line);
        if (rc != UM_OK)
            goto done;
    }
    UM_TRY(print_feet(s, out, "", "\n", add_plain));
    UM_TRY(um_text_add(out, "\n"));
done:
    return rc;
}

static um_status print_markdown(const um_sheet *s, um_text *out)
{
    um_status rc = UM_OK;
    UM_TRY(um_text_add(out, "**%s**\n\n", s->title));
    for (int r = 0; r <= s->n_rows; r++) {
        for (int c = 0; c < s->n_cols; c++)
            UM_TRY(um_text_add(out, "| %s ", cell(s, r, c)));
        UM_TRY(um_text_add(out, "|\n"));
        for (int c = 0; r == 0 && c < s->n_cols; c++)
            UM_TRY(um_text_add(out, "%s", c < s->n_labels ? "|---" : "|---:"));
        if (r == 0)
            UM_TRY(um_text_add(out, "|\n"));
    }
    UM_TRY(print_feet(s, out, "\n", "\n", add_plain));
    UM_TRY(um_text_add(out, "\n"));
done:
    return rc;
}

static um_status add_latex(um_text *out, const char *text)
{
    um_status rc = UM_OK;
    for (const char *p = text; *p; p++) {
        if (strncmp(p, "±", 2) == 0) {
            UM_TRY(um_text_add(out, "$\\pm$"));
            p++;
        } else if (strchr("_%&#", *p)) {
            UM_TRY(um_text_add(out, "\\%c", *p));
        } else {
            UM_TRY(um_text_add(out, "%c", *p));
        }
    }
done:
    return rc;
}

static um_status print_latex(const um_sheet *s, um_text *out)
{
    um_status rc = UM_OK;
    UM_TRY(um_text_add(out, "\\begin{table}\n\\centering\n\\caption{"));
    UM_TRY(add_latex(out, s->title));
    UM_TRY(um_text_add(out, "}\n\\begin{tabular}{"));
    for (int c = 0; c < s->n_cols; c++)
        UM_TRY(um_text_add(out, "%s", c < s->n_labels ? "l" : "r"));
    UM_TRY(um_text_add(out, "}\n\\hline\n"));
    for (int r = 0; r <= s->n_rows; r++) {
        for (int c = 0; c < s->n_cols; c++) {
            UM_TRY(um_text_add(out, "%s{}", c ? " & " : "")); /* {}: a cell may start with a bracket */
            UM_TRY(add_latex(out, cell(s, r, c)));
        }
        UM_TRY(um_text_add(out, " \\\\\n%s", r == 0 ? "\\hline\n" : ""));
    }
    UM_TRY(um_text_add(out, "\\hline\n\\end{tabular}\n"));
    UM_TRY(print_feet(s, out, "\\par\\footnotesize ", "\n", add_latex));
    UM_TRY(um_text_add(out, "\\end{table}\n\n"));
done:
    return rc;
}

um_status um_sheet_print(const um_sheet *s, um_report_format format, um_text *out)
{
    return format == UM_REPORT_MARKDOWN ? print_markdown(s, out) : format == UM_REPORT_LATEX ? print_latex(s, out)
        : print_text(s, out);
}

/* ---- csv ---- */

static um_status add_number(um_text *out, double value, int digits)
{
    return isnan(value) ? um_text_add(out, ",") : um_text_add(out, ",%.*f", digits, value);
}

um_status um_csv_stat(um_text *out, um_stat s, int digits)
{
    um_status rc = UM_OK;
    UM_TRY(add_number(out, s.n ? s.mean : NAN, digits));
    UM_TRY(add_number(out, s.n ? s.sd : NAN, digits));
    UM_TRY(s.n ? um_text_add(out, ",%d\n", s.n) : um_text_add(out, ",\n"));
done:
    return rc;
}

static um_status csv_paper(const um_report *r, const um_paper_value *v, um_text *out)
{
    um_status rc = UM_OK;
    int digits = strcmp(v->metric, "SSIM") == 0 ? 4 : 2;
    UM_TRY(um_text_add(out, "%d,%s,%s,%s,%s,%s,%s,%s,%.*f", v->table, v->dataset, v->protector, v->bound, v->exploiter, v->defense,
                       v->label, v->metric, digits, v->value));
    UM_TRY(um_csv_stat(out, um_report_lookup(r, v), 4));
done:
    return rc;
}

/* What the paper does not have: other cells, and the further aggregations of all. */
static um_status csv_group(const um_report *r, const um_report_group *g, um_text *out)
{
    um_status rc = UM_OK;
    const um_result_row *f = g->first;
    bool known = um_report_group_in_paper(r, g), cell = f->kind == UM_RESULT_CELL, protection = f->kind == UM_RESULT_PROTECTION,
         utility = f->kind == UM_RESULT_UTILITY;
    const struct {
        const char *metric;
        um_stat stat;
        bool wanted;
    } list[] = {
        {"Jac", g->jac[0], cell && !known}, {"DSC", g->dsc[0], cell && !known}, {"PSNR", g->psnr, protection && !known},
        {"SSIM", g->ssim, protection && !known}, {"Jac_pooled", g->jac[1], cell}, {"DSC_pooled", g->dsc[1], cell},
        {"Jac_image", g->jac[2], cell}, {"DSC_image", g->dsc[2], cell}, {"DSC_train", g->train_dsc, cell},
        {"foreground", g->foreground, cell}, {"PSNR_roi", g->psnr_roi, protection}, {"SSIM_roi", g->ssim_roi, protection},
        {"PSNR_worst", g->psnr_worst, protection}, {"SSIM_worst", g->ssim_worst, protection},
        {"leak_highpass", g->leak[0][0], protection}, {"leak_highpass_clean", g->leak[0][1], protection},
        {"leak_denoise", g->leak[1][0], protection}, {"leak_denoise_clean", g->leak[1][1], protection},
        {"utility_DSC", g->dsc[0], utility}, {"utility_DSC_clean", g->train_dsc, utility},
    };
    for (size_t i = 0; i < UM_COUNT(list); i++) {
        if (!list[i].wanted)
            continue;
        UM_TRY(um_text_add(out, ",%s,%s,%s,%s,%s,%s,%s,", f->dataset, f->protector, f->bound, f->exploiter, f->defense, f->label,
                           list[i].metric));
        UM_TRY(um_csv_stat(out, list[i].stat, 4));
    }
done:
    return rc;
}

um_status um_report_print_csv(const um_report *r, int table, um_text *out)
{
    um_status rc = UM_OK;
    UM_TRY(um_text_add(out, "table,dataset,protector,bound,exploiter,defense,case,metric,paper,mean,sd,n\n"));
    for (int i = 0; i < r->n_paper; i++)
        if (table <= 0 || r->paper[i].table == table)
            UM_TRY(csv_paper(r, &r->paper[i], out));
    for (int i = 0; table <= 0 && i < r->n_groups; i++)
        UM_TRY(csv_group(r, &r->groups[i], out));
    if (table <= 0)
        UM_TRY(um_locker_report_csv(r, out));
done:
    return rc;
}

/* ---- all of it ---- */

static um_status print_groups(const um_report *r, um_result_kind kind, um_report_format format, um_text *out)
{
    um_status rc = UM_OK;
    um_sheet s = {0};
    UM_TRY(um_sheet_of_groups(&s, r, kind));
    if (s.n_rows)
        UM_TRY(um_sheet_print(&s, format, out));
done:
    um_sheet_clear(&s);
    return rc;
}

/* Of all numbers of the paper; nothing when none of them has a result. */
static um_status print_completeness(const um_report *r, um_report_format format, um_text *out)
{
    int filled = 0;
    for (int i = 0; i < r->n_paper; i++)
        filled += um_report_lookup(r, &r->paper[i]).n > 0;
    if (filled == 0)
        return UM_OK;
    return um_text_add(out, "%sTables 1 to 5: %d of %d numbers have a result%s\n\n", format == UM_REPORT_LATEX ? "% " : "", filled,
                       r->n_paper, filled == r->n_paper ? ", complete" : "");
}

um_status um_report_print(const um_report *r, int table, um_report_format format, um_text *out)
{
    um_status rc = UM_OK;
    um_sheet s = {0};
    if (format == UM_REPORT_CSV)
        return um_report_print_csv(r, table, out);
    for (int t = 1; t <= UM_PAPER_TABLES; t++) {
        bool measured = false;
        if (table > 0 && t != table)
            continue;
        um_sheet_clear(&s);
        UM_TRY(um_sheet_of_table(&s, r, t, &measured));
        if (measured || table >= 0)
            UM_TRY(um_sheet_print(&s, format, out));
    }
    if (table <= 0) {
        UM_TRY(print_completeness(r, format, out));
        for (int kind = UM_RESULT_CELL; kind <= UM_RESULT_UTILITY; kind++)
            UM_TRY(print_groups(r, (um_result_kind)kind, format, out));
        UM_TRY(um_locker_report_print(r, format, out));
    }
done:
    um_sheet_clear(&s);
    return rc;
}
