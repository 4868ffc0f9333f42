/* report.h - the kinds of report: each fills tables from the same results, one report_*.c a kind. */
#ifndef PM_REPORT_H
#define PM_REPORT_H
#include "report_data.h"
#include "table.h"

typedef struct pm_report_input {
    pm_db *db;
    const char *path; /* of the database, for messages */
    const pm_results *r;
} pm_report_input;

/* Fill r; PM_EUSAGE "nothing measured" when there are no rows of that kind, PM_EDB. */
typedef pm_status pm_report_fn(const pm_report_input *in, pm_report *r, pm_err *e);
pm_report_fn pm_report_paper;

/* ---- columns that several kinds have ---- */

void pm_add_row_columns(const pm_results *r, pm_table *t); /* model where there are several, method */
int pm_set_row_cells(const pm_results *r, int setup, pm_table *t,
                     int row); /* returns the first column behind them */
/* "Final runs of sweep demo." and what was left out. */
void pm_add_source_note(const pm_results *r, pm_table *t);
#endif
