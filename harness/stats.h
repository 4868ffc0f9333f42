/* stats.h - the statistics of comparisons: pure functions of counts and numbers. Nothing here reads a file or a clock. */
#ifndef PM_STATS_H
#define PM_STATS_H
#include "base.h"

typedef struct pm_interval {
    double low, high;
} pm_interval;

/* Two-sided p of the exact McNemar test (McNemar 1947; the binomial test of b against c at 1/2): b items only A has right, c only B.
 * 1 when b = c. Relative error below 1e-10 up to b + c = 1e9; smaller than the smallest double is 0. */
double pm_mcnemar(int64_t b, int64_t c);

/* 95% interval of k successes in n (Wilson 1927); n >= 1, 0 <= k <= n. */
pm_interval pm_wilson(int64_t k, int64_t n);

/* The same score interval of a share p of n items, n not whole: what items that come in clusters are worth. z: the critical value, that of the
 * normal distribution in pm_wilson. n > 0. */
pm_interval pm_score_interval(double p, double n, double z);

/* 95% interval of the difference of two paired proportions, A's minus B's (Newcombe 1998, Statistics in Medicine 17:2635, method 10: the
 * Wilson limits of both, combined by square-and-add with their correlation, continuity-corrected). At least one item. */
pm_interval pm_paired_difference(int64_t both, int64_t only_a, int64_t only_b, int64_t neither);

typedef struct pm_summary {
    double mean, stderr_; /* NAN where n is too small: 0 for the mean, below 2 for the standard error */
} pm_summary;
/* Mean and its standard error s / sqrt(n), s with n - 1. For 0 and 1 this is sqrt(p (1 - p) / (n - 1)), as in lm-evaluation-harness. */
pm_summary pm_mean(const double *x, int64_t n);
/* The same from k ones among n. */
pm_summary pm_proportion(int64_t k, int64_t n);
#endif
