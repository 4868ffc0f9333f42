/* report_pair.h - two rows told apart: as tables for `compare`, as verdicts for `claims`. */
#ifndef PM_REPORT_PAIR_H
#define PM_REPORT_PAIR_H
#include "report.h"

/* `compare A B` over all seeds: rows of `report`, NAME@COMMIT only that commit's runs. One line a task on which both rows were scored.
 * PM_ECHECK: they are not comparable there; PM_EUSAGE: no such task. */
typedef struct pm_pair_words {
    const char *db, *sweep, *task, *format, *a, *b; /* sweep, task: NULL as in pm_selection */
    bool badge;
} pm_pair_words;
pm_status pm_compare_rows(const pm_pair_words *w, pm_err *e);
/* One line a claim of the file's list (docs/reports.md). *refuted: how many are. PM_EFORMAT, PM_EIO: the file; PM_EUSAGE: names a row or a task that is
 * not there. */
pm_status pm_report_claims(const pm_report_input *in, const char *file, pm_report *out, int *refuted,
                           pm_err *e);
#endif
