/* report.h - the kinds of report: each fills tables from the same results, one report_*.c a kind. */
#ifndef PM_REPORT_H
#define PM_REPORT_H
#include "fair.h"
#include "report_data.h"
#include "table.h"

typedef struct pm_report_input {
    pm_db *db;
    const char *path; /* of the database, for messages */
    const pm_results *r;
    bool badge; /* rows that are not comparable are marked instead of refused */
} pm_report_input;

/* Fill r; PM_EUSAGE "nothing measured" when there are no rows of that kind, PM_ECHECK: rows
 * are not comparable; PM_EDB. */
typedef pm_status pm_report_fn(const pm_report_input *in, pm_report *r, pm_err *e);
pm_report_fn pm_report_paper, pm_report_leaderboard, pm_report_efficiency, pm_report_counts, pm_report_budget,
    pm_report_origin, pm_report_history;

/* The format of that name; PM_EUSAGE with the nearest. */
pm_status pm_format_find(const char *name, const pm_format **out, pm_err *e);
/* Prints it into a file, or to standard output when file is NULL; PM_EIO. */
pm_status pm_report_write(const pm_report *r, const pm_format *f, const char *file, pm_err *e);

/* ---- columns that several kinds have ---- */

/* The row's place in the results: model where there are several, method; with `task` that too. */
void pm_add_row_columns(const pm_results *r, bool task, pm_table *t);
/* Fills them, task < 0: that one not; f: adds its badge, or NULL. Returns the first column behind them. */
int pm_set_row_cells(const pm_results *r, const pm_fair *f, int setup, int task, pm_table *t, int row);
/* "Final runs of the sweep demo", and what was left out. */
void pm_add_source_note(const pm_results *r, pm_table *t);
/* Which of the tasks' items come in clusters, and that these were taken as drawn. */
void pm_add_cluster_notes(const pm_results *r, pm_table *t);
/* That of one task. */
void pm_add_cluster_note(const pm_task_facts *f, pm_table *t);
/* Rows that do not fit: refused, or with in->badge listed in *f and explained under the table. */
pm_status pm_check_rows(const pm_report_input *in, unsigned what, pm_fair *f, pm_err *e);
void pm_add_badge_notes(const pm_results *r, const pm_fair *f, pm_table *t);
/* x in the unit of the task's column: shares in %. */
double pm_in_unit(const pm_task_facts *t, double x);
/* The setting's number in the run's configuration; NAN: none. */
double pm_setting(const pm_result *run, const char *key);
/* How many seeds or items more than there are, of pm_seeds_needed and pm_items_needed; NAN where no number is enough. */
double pm_still_needed(int64_t needed, int64_t now);
/* The table of what another program measured, where any row was imported. */
pm_status pm_add_imported(const pm_report_input *in, const pm_fair *f, pm_report *out, pm_err *e);
/* PM_EUSAGE: there are no rows of this kind. */
pm_status pm_nothing_measured(const pm_report_input *in, const char *what, const char *hint, pm_err *e);
#endif
