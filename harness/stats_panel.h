/* stats_panel.h - the panel test: did one and the same shift come over all configurations, and which of them moved differently?
 *
 * Why: a change of a library moves every method by a little. Each configuration's own test misses it, for its noise is larger than the shift;
 * their differences head - base together do not. And a method that broke by itself is what remains once the common shift is taken away.
 *
 * Who decides: Wilcoxon's signed ranks, exact given the ranks, one-sided. Where nothing changed, base and head of a configuration are two draws of
 * one distribution, so that their difference is symmetric around 0, whatever that distribution is and however it differs between
 * configurations; the test's level needs that and their independence, nothing else. Mean, t and signs are there to be read.
 * Levels: 0.8% for worse, 0.2% for better, 1% in all. Seven differences that are not 0 can reach the first (1/128), nine the second (1/512).
 */
#ifndef PM_STATS_PANEL_H
#define PM_STATS_PANEL_H
#include "stats_sample.h"

enum { PM_PANEL_LEAST = 7 }; /* with fewer configurations no outcome could be told from chance */
extern const double pm_panel_level_worse, pm_panel_level_better;

/* What a difference is. Percent: of ratios, taken as logarithms so that base and head are treated alike. */
typedef enum pm_panel_scale { PM_PANEL_POINTS, PM_PANEL_PERCENT, PM_PANEL_PLAIN } pm_panel_scale;
/* Points where all values are shares (0 to 1), else percent where all are above 0, else plain. */
pm_panel_scale pm_panel_scale_of(const double *base, const double *head, int n);
/* d[i] = head - base: 100 (h - b), log(h / b) or h - b. Percent wants all values above 0. */
void pm_panel_differences(pm_panel_scale s, const double *base, const double *head, int n, double *d);
/* A difference as it is read: percent of log ratios, the others as they are. */
double pm_panel_shown(pm_panel_scale s, double d);
/* The smallest residual worth a name: 1 point, 3 %, 3 % of the median |base|. */
double pm_panel_floor(pm_panel_scale s, const double *base, int n, pm_arena *scratch);

typedef enum pm_panel_verdict {
    PM_PANEL_FEW, /* fewer than PM_PANEL_LEAST configurations */
    PM_PANEL_NONE,
    PM_PANEL_WORSE,
    PM_PANEL_BETTER
} pm_panel_verdict;

typedef struct pm_panel {
    int n, down, up, equal; /* differences; below, above, at 0 */
    double mean;            /* in the unit of d */
    pm_interval interval;   /* 95%, Student's t; NAN below two */
    double t; /* of the mean, n - 1 degrees; NAN below two, and where all differences are the same */
    double p_t, p_sign;       /* two-sided: of t; of down against up (exact) */
    double p_worse, p_better; /* one-sided: signed ranks */
    double shift;             /* the common one: the median */
    double limit;             /* |residual| above it stands apart */
    pm_panel_verdict verdict;
} pm_panel;

/* d[n]: differences; better: 1, more is better, or -1; floor: see pm_panel_floor. residual[n]: d less the shift.
 * limit = max(floor, c(n) s): s is the 80% quantile of |residual|, which one outlier in five does not move, and c(n) such that of n residuals with tails like
 * Student's t with 5 degrees none passes with 99%. The median of |residual|, the usual scale, says too little about the tails that reruns
 * of unchanged code have: with c for the same 99% it names one in 18% of panels of 14 (docs/STATISTICS.md).
 * Where four in five are the same s is 0, and the floor alone decides. Below PM_PANEL_LEAST configurations nothing stands apart. */
pm_panel pm_panel_test(const double *d, int n, int better, double floor, pm_arena *scratch, double *residual);
#endif
