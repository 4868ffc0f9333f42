/* stats_compare.h - A against B: two *methods* (several seeds each) or two trained *models* (one run each). Pure functions of outcomes.
 *
 * Outcomes are one float an item: 0 or 1 (correct), or any score; NAN where a run has none. Items may come in clusters (questions about one
 * creature); then the cluster is the unit that was drawn. docs/STATISTICS.md has the definitions, assumptions and simulated error rates.
 */
#ifndef PM_STATS_COMPARE_H
#define PM_STATS_COMPARE_H
#include "arena.h"
#include "stats.h"

/* What the rows of a comparison share. */
typedef struct pm_items {
    int64_t n;              /* outcomes of a run */
    const int32_t *cluster; /* [n], 0..n_clusters-1; NULL: each item is its own */
    int32_t n_clusters;     /* 0 without clusters */
} pm_items;

/* A's mean minus B's, as a statement about the methods: another seed and other items of the same kind are allowed for. */
typedef struct pm_method_difference {
    double effect; /* mean of A minus mean of B over the seeds and items that both have */
    double var_seeds,
        var_units; /* squared standard errors of the effect: from seed to seed, from unit to unit (both contain the noise) */
    double var_noise;          /* the part of each that is seed-by-unit noise */
    double df_seeds, df_units; /* n_seeds - 1, n_units - 1 */
    int n_seeds;               /* seeds that both have */
    int64_t n_items, n_units;  /* items that all these runs have; clusters or items */
    pm_interval interval;      /* 95% */
    double p;                  /* two-sided, effect = 0 */
} pm_method_difference;

/* a[s], b[s]: outcomes [items->n] of the run with the s-th seed, or NULL where that run is missing. False, and nothing else said, when fewer than two
 * seeds or two units are common: then no claim about methods can be made, only pm_compare_models about one pair of runs. Scratch from `a`
 * is given back. */
bool pm_compare_methods(const float *const *a, const float *const *b, int n_seeds, const pm_items *items,
                        pm_arena *scratch, pm_method_difference *out);
/* Two-sided p of effect = margin (a non-inferiority test asks for margin < 0, "by at least 1 point" for 0.01); and the interval of level 1 - p. */
double pm_method_p(const pm_method_difference *d, double margin);
pm_interval pm_method_interval(const pm_method_difference *d, double p);

/* A's mean minus B's, as a statement about two trained models only: other items are allowed for, another seed is not. */
typedef struct pm_model_difference {
    double effect, stderr_; /* stderr_: from unit to unit; of clusters the cluster-robust one */
    int64_t n_items, n_units;
    bool binary, clustered;                /* binary: all outcomes are 0 or 1 */
    int64_t both, only_a, only_b, neither; /* binary: items that are right */
    pm_interval interval; /* 95%: Newcombe's where binary and not clustered, else Student's t over units */
    double
        p; /* two-sided, effect = 0. Binary: McNemar's exact test, of clusters its generalisation: an exact test that flips the sign of
               * each cluster's difference. Else Student's t over units */
} pm_model_difference;

/* False when they have fewer than two units in common. */
bool pm_compare_models(const float *a, const float *b, const pm_items *items, pm_arena *scratch,
                       pm_model_difference *out);
/* 95% interval of the same effect by resampling units, A's and B's outcomes together (stats_sample.h's pm_bootstrap). */
bool pm_bootstrap_models(const float *a, const float *b, const pm_items *items, uint64_t seed,
                         pm_arena *scratch, pm_interval *out);
#endif
