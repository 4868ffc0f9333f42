/* report_forgetting.h - what runs forgot, beside their scores: a column of tables, and the difference between two rows. */
#ifndef PM_REPORT_FORGETTING_H
#define PM_REPORT_FORGETTING_H
#include "report.h"

/* One column for each task that has it (pm_task_facts.forgets). */
void pm_add_forgetting_columns(const pm_results *r, pm_table *t);
/* Their cells, from `column` on: mean over seeds and its interval. */
void pm_set_forgetting(const pm_results *r, int setup, pm_table *t, int row, int column);
/* Of which probe, how hard it was before, and what the numbers do not say; nothing measured: no note. */
void pm_add_forgetting_notes(const pm_results *r, pm_table *t);

/* A table of a's forgetting against b's on every task where both measured it; none: no table. */
void pm_report_forgetting_pair(const pm_results *r, int a, int b, pm_report *out);
#endif
