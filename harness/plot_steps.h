/* plot_steps.h - the training steps of one run, as the database has them. */
#ifndef PM_PLOT_STEPS_H
#define PM_PLOT_STEPS_H
#include "db.h"

typedef struct pm_step {
    int64_t step;                /* from 0 */
    double loss, tokens, wall_s; /* NAN: not measured */
} pm_step;

/* By step. The caller frees *out, also after a failure. PM_EDB. */
pm_status pm_steps_read(pm_db *d, const char *path, int64_t run, pm_step **out, int *n, pm_err *e);
#endif
