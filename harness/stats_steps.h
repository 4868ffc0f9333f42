/* stats_steps.h - a series as levels: where did it change for good? For dashboards; a gate compares two sets of runs (docs/REGRESSION.md).
 *
 * The levels minimise sum |x - level| + penalty (levels - 1), the L1 Potts model: a level is the median of its values, so one odd value
 * moves nothing. Exact, by dynamic programming over all places of a change (Friedrich et al. 2008; asv does the same).
 */
#ifndef PM_STATS_STEPS_H
#define PM_STATS_STEPS_H
#include "stats_sample.h"

typedef struct pm_level { /* values [first, first + n) */
    int first, n;
    double value; /* their median */
} pm_level;

/* Fills out[n] with the levels, in order; returns how many, 0 for n = 0. x holds no NAN. */
int pm_steps_fit(const double *x, int n, double penalty, pm_level *out, pm_arena *scratch);
/* What a further level must save: 2 s ln n, s the noise as the median |difference of neighbours| says it, but at least `floor`. Of 20 to
 * 200 independent normal values without a change about 2% or fewer get a second level. floor: the smallest change that one value alone may show. */
double pm_steps_penalty(const double *x, int n, double floor, pm_arena *scratch);
#endif
