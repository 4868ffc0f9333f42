/* stats_run.h - what one run says: its mean over items, and how far other items would move it. Another seed is not allowed for. */
#ifndef PM_STATS_RUN_H
#define PM_STATS_RUN_H
#include "stats_compare.h"

typedef struct pm_run_mean {
    double mean,
        stderr_; /* cluster-robust where items come in clusters. NAN: of no items; of one unit no stderr_ */
    pm_interval
        interval; /* 95%; NAN limits below two units, but for right and wrong items that stand alone */
    int64_t n_items, n_units;
} pm_run_mean;

/* run: outcomes [items->n], NAN where there is none. The interval of right and wrong is Wilson's; in clusters that of as many items as the cluster-robust
 * standard error is worth, at most those there are, with Student's t of clusters - 1 degrees (Korn and Graubard 1998; Franco et al. 2019); where all are
 * right or all wrong each cluster counts as one. Of scores it is Student's t over units. */
pm_run_mean pm_mean_of_run(const float *run, const pm_items *items, pm_arena *scratch);
#endif
