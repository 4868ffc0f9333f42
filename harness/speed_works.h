/* speed_works.h - what the speed tier measures: the kernels, and a training run of each method of the declared suite (results/suite.json) on its first
 * task. */
#ifndef PM_SPEED_WORKS_H
#define PM_SPEED_WORKS_H
#include "speed.h"

typedef struct pm_works {
    pm_arena *keep;
    pm_work *work; /* [n]; the kernels first */
    int n;
} pm_works;
/* suite NULL: the one of this program's tree. Settings are only those that the plan states, so that a build which lacks a newer one understands
 * them. PM_EIO, PM_EFORMAT, PM_EUSAGE: the plan. */
pm_status pm_works_load(const char *suite, pm_works *out, pm_err *e);
void pm_works_free(pm_works *w); /* a zeroed one is fine */
#endif
