/* stats_sample.h - tests and intervals of one sample of differences (seeds, panels of configurations, items). */
#ifndef PM_STATS_SAMPLE_H
#define PM_STATS_SAMPLE_H
#include "arena.h"
#include "stats.h"

void pm_sort(double *x, int64_t n); /* ascending */
/* Of n ascending numbers; between two of them linear (Hyndman and Fan 1996, type 7). NAN for none. */
double pm_quantile(const double *sorted, int64_t n, double q);

/* 95% Student-t interval of the mean; NAN limits below two values. */
pm_interval pm_t_interval(const double *x, int64_t n);

/* Two-sided p of "each difference is symmetric around 0" by flipping signs: all 2^n of them up to n = PM_FLIP_EXACT, else PM_FLIP_DRAWS random ones by
 * (seed, stream 0), with the observed signs counted as one draw, so that the p is never 0 and holds its level. n < 1: 1. */
enum { PM_FLIP_EXACT = 20, PM_FLIP_DRAWS = 99999 };
double pm_sign_flip(const double *d, int n, uint64_t seed);

/* The same for whole differences, exact for any number of them: the chances of all sums, one difference after the other. Of differences of 1 and -1 it
 * is McNemar's exact test. */
double pm_sign_flip_whole(const int64_t *d, int64_t n, pm_arena *scratch);

/* Wilcoxon's signed-rank test: zeros dropped, ties by mean ranks; exact given those ranks up to n = PM_RANKS_EXACT, above by the normal
 * approximation to the sum of those ranks. */
enum { PM_RANKS_MAX = 2000, PM_RANKS_EXACT = 500 };
typedef struct pm_signed_rank {
    double w_plus;        /* sum of the ranks of positive differences */
    int n;                /* differences that are not 0 */
    double p;             /* two-sided */
    double p_low, p_high; /* one-sided: of a sum this low, this high */
} pm_signed_rank;
pm_signed_rank pm_signed_rank_test(const double *d, int n, pm_arena *scratch);

/* Hodges and Lehmann's estimate, the median of the means of all pairs (a value with itself included), and its exact interval: the largest level
 * of at least 95% that order statistics give; -INFINITY..INFINITY where n < 6, for no 95% interval exists. n in 1..PM_RANKS_MAX. */
typedef struct pm_shift {
    double estimate;
    pm_interval interval;
} pm_shift;
pm_shift pm_hodges_lehmann(const double *d, int n, pm_arena *scratch);
/* What the interval and the test are made of. The means of all pairs, ascending, out [n (n+1) / 2]; returns how many. The signed-rank test finds the
 * differences above c with p_high <= tail exactly where mean number pm_rank_place(n, tail), counted from 0, is above c; place -1: n is too small. */
int64_t pm_pair_means(const double *d, int n, double *out);
int64_t pm_rank_place(int n, double tail, pm_arena *scratch);

/* 95% bootstrap interval of the mean (percentile method, PM_BOOTSTRAP_DRAWS resamples of n units by (seed, stream 0)). n >= 1. */
enum { PM_BOOTSTRAP_DRAWS = 9999 };
pm_interval pm_bootstrap(const double *x, int64_t n, uint64_t seed, pm_arena *scratch);
#endif
