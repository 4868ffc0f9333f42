/* stats_units.h - from outcomes of items to values of the units that were drawn: items, or clusters of them. For stats_*.c. */
#ifndef PM_STATS_UNITS_H
#define PM_STATS_UNITS_H
#include "stats_compare.h"

/* Which items take part, and the unit of each. */
typedef struct pm_units {
    int32_t *of;      /* [n items] unit of the item, 0..n-1; -1: a run lacks it */
    int32_t *size;    /* [n] items of the unit */
    int64_t n;        /* units */
    int64_t n_items;  /* items that take part */
    int64_t of_items; /* items in all: length of `of` */
    int64_t capacity; /* of `size` */
} pm_units;

/* Items that no run among runs[0..n_runs) lacks (NULL runs aside). */
pm_units pm_units_common(const float *const *runs, int n_runs, const pm_items *items, pm_arena *scratch);
/* sum[u] += the outcomes of unit u's items; returns the run's mean over the items that take part. */
double pm_units_add(const pm_units *u, const float *run, double *sum);
/* Sums become values whose plain mean over units is the mean over items: g + n/N (sum - size g), g that mean, N items, n units; so a unit's
 * size alone moves nothing (linearised ratio; Cochran, Sampling Techniques, 6.4). For units of one item this changes nothing. */
void pm_units_value(const pm_units *u, double *sum);
void pm_units_free(pm_units *u, pm_arena *scratch);
/* Squared standard error of the mean of n values: sum of squares about it / (n - 1) / n. */
double pm_mean_variance(const double *x, int64_t n);
#endif
