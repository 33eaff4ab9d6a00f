/* Between report.c (groups and lookups), report_tables.c (layout), report_print.c (formats), report_merged.c (file). */
#ifndef UM_GRID_REPORT_INTERNAL_H
#define UM_GRID_REPORT_INTERNAL_H

#include "grid/paper.h"
#include "grid/locker_result.h"
#include "grid/report.h"
#include "io/h5.h"

typedef struct um_stat {
    double mean, sd; /* NAN when unknown; sd from n = 2 */
    int n;
} um_stat;

/* Results that differ in their seed only. */
typedef struct um_report_group {
    const um_result_row *first; /* for coordinates; borrowed */
    um_stat dsc[3], jac[3];     /* batch, pooled, image; percent */
    um_stat train_dsc, foreground, psnr, ssim, psnr_roi, ssim_roi, psnr_worst,
        ssim_worst;     /* train_dsc of a utility: clean images */
    um_stat leak[2][2]; /* high-pass, denoise; released, clean; percent */
} um_report_group;

struct um_report {
    um_result_row *rows;
    int n_rows;
    um_report_group *groups; /* cells first, then protections, then utilities */
    int n_groups;
    um_paper_value *paper;
    int n_paper;
    um_locker_line *lines; /* of medlocker cells, sorted by coordinates */
    int n_lines;
};

/* Of one member (a double at `offset`) over n rows of `bytes`; NAN values are left out. */
um_stat um_stat_of(const void *rows, size_t bytes, int n, size_t offset, double scale);
void um_stat_print(char out[UM_RESULT_TEXT], um_stat s, int digits); /* "12.34±0.56" */

/* What was measured for a number of the paper; n = 0 when nothing or not all of an average. */
um_stat um_report_lookup(const um_report *r, const um_paper_value *v);
/* True when a number of the paper shows this group. */
bool um_report_group_in_paper(const um_report *r, const um_report_group *g);

/* Doubts about the paper's numbers (report_notes.c). marks: letters for the number; the bits say which notes. */
enum { UM_REPORT_MARKS = 8, UM_REPORT_N_NOTES = 32 };
unsigned um_report_notes_of(const um_paper_value *v, char marks[UM_REPORT_MARKS]);
const char *um_report_note(int index, char *mark); /* NULL past the end */

/* One table as text cells. */
typedef struct um_sheet {
    char title[160];
    unsigned notes;      /* of the paper's numbers in it */
    int filled, wanted;  /* numbers of the paper with a result, and all of them; 0 of 0 when it is not about the paper */
    int n_rows, n_cols, n_labels; /* the first n_labels columns are labels */
    char (*cells)[UM_RESULT_TEXT];  /* [n_rows + 1][n_cols], row 0 is the head */
} um_sheet; /* release with um_sheet_clear */
um_status um_sheet_of_table(um_sheet *out, const um_report *r, int table, bool *measured);
um_status um_sheet_of_groups(um_sheet *out, const um_report *r, um_result_kind kind);
um_status um_sheet_create(um_sheet *s, int n_rows, int n_cols, int n_labels);
char *um_sheet_cell(const um_sheet *s, int row, int col); /* [UM_RESULT_TEXT] */
void um_sheet_clear(um_sheet *s);
um_status um_sheet_print(const um_sheet *s, um_report_format format, um_text *out);

/* locker_report.c: what medlocker cells say, as tables, as csv lines, and as group /medlocker of the merged file. */
void um_locker_lines_sort(um_locker_line *lines, int n);
um_status um_locker_report_print(const um_report *r, um_report_format format, um_text *out);
um_status um_locker_report_csv(const um_report *r, um_text *out);
um_status um_locker_report_merge(const um_report *r, um_h5 *f);

/* A column of the merged view: a text or a number (f64) at an offset of a row. */
typedef struct um_merged_column {
    const char *name;
    size_t offset;
    const char *description;
} um_merged_column;
/* Group /GROUP with these columns, one entry per row of `bytes`, and `seed` from an int64_t. */
typedef struct um_merged_layout {
    const char *group;
    size_t bytes, seed;
    const um_merged_column *texts, *numbers;
    size_t n_texts, n_numbers;
} um_merged_layout;
um_status um_merged_write(um_h5 *f, const um_merged_layout *layout, const void *rows, int n);

um_status um_csv_stat(um_text *out, um_stat s, int digits); /* ",mean,sd,n\n" */
um_status um_report_print_csv(const um_report *r, int table, um_text *out);

#endif
