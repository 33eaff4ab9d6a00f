/* The paper's tables from the results of a sweep folder, beside the paper's numbers.
 *
 * Results that differ in their seed only are one group: mean and standard deviation (n - 1) over its seeds. A group belongs to the
 * paper's tables when the paper has its dataset, protector, bound, exploiter, defense and case; a variant that changes more than
 * the bound or what Table 5 varies never does. Average rows are computed, and stay empty until all their parts are there.
 *
 * DSC and Jac are percent, PSNR dB, SSIM in [0,1]. The headline aggregation is per test batch (protectors.md 4.1). */
#ifndef UM_GRID_REPORT_H
#define UM_GRID_REPORT_H

#include "base/text.h"
#include "grid/result.h"

typedef struct um_report um_report;

/* Reads DIR/cells and DIR/protected. UM_E_DATA when the folder holds no sweep, or for a broken result. out: owned by the caller. */
um_status um_report_read(um_report **out, const char *dir);
/* From rows in memory: copies them. Rows without exploiter are protections. */
um_status um_report_from_rows(um_report **out, const um_result_row *rows, int n);
void um_report_free(um_report *r);

typedef enum um_report_format { UM_REPORT_TEXT, UM_REPORT_MARKDOWN, UM_REPORT_CSV, UM_REPORT_LATEX } um_report_format;
#define UM_REPORT_FORMATS "text markdown csv latex"

enum { UM_REPORT_MEASURED = -1, UM_REPORT_ALL = 0 };

/* table: 1 to 5; UM_REPORT_ALL: every table; UM_REPORT_MEASURED: those with a result (csv: all). Except for a single table, a list
 * of everything measured follows, with all three aggregations.
 * Below a table stands how many of its numbers have a result, and where the paper contradicts itself (marked beside its numbers).
 * csv columns: table,dataset,protector,bound,exploiter,defense,case,metric,paper,mean,sd,n. What is missing is an empty cell. */
um_status um_report_print(const um_report *r, int table, um_report_format format, um_text *out);

/* DIR/results.h5: /cells and /protections, each a group of arrays of equal length, one element per result. */
um_status um_report_write_merged(const um_report *r, const char *path);

#endif
