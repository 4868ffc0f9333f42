/* report_steps.h - the training steps of one run, as the database has them. */
#ifndef PM_REPORT_STEPS_H
#define PM_REPORT_STEPS_H
#include "db.h"

typedef struct pm_step_row {
    int64_t step;                              /* from 0 */
    double loss, tokens, label_tokens, wall_s; /* NAN: not measured */
} pm_step_row;

/* By step. The caller frees *out, also after a failure. PM_EDB. */
pm_status pm_steps_read(pm_db *d, int64_t run, pm_step_row **out, int *n, pm_err *e);
#endif
