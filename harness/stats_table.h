/* stats_table.h - one column of a table: all pairs of methods on one task, with one error rate for all of it. */
#ifndef PM_STATS_TABLE_H
#define PM_STATS_TABLE_H
#include "stats_family.h"

typedef struct pm_table_pair {
    double effect;    /* mean of i minus mean of j, i < j */
    double var_units; /* squared standard error from unit to unit */
    pm_interval
        interval; /* simultaneous: all intervals of the column hold together with 95% (all columns, where n_columns > 1) */
    double p; /* adjusted for all pairs of the column and for n_columns */
} pm_table_pair;

typedef struct pm_table_column {
    int n_methods, n_compared; /* methods; those with at least two seeds */
    int64_t n_items, n_units;  /* items that all compared runs have */
    int df_seeds;              /* fewest seeds of a compared method, less 1 */
    double *mean;              /* [n_methods] over its seeds and these items; NAN where not compared */
    double *var_seeds;         /* [n_methods] squared standard error of the mean from seed to seed */
    double var_seeds_max;      /* the largest: what every pair is judged with */
    int *order;                /* [n_methods] best first; not compared ones last */
    pm_table_pair *pair;       /* [n(n-1)/2], pm_pair(i, j, n_methods); NAN where not compared */
    char (*letters)
        [PM_LETTERS_MAX +
         1]; /* [n_methods] tie groups at 5%; "" where not compared, or where pm_tie_letters has too many */
    bool *best;        /* [n_methods] not told apart from the best */
    double detectable; /* minimum detectable effect: a difference that this column finds with 80% */
} pm_table_column;

/* run[m * n_seeds + s]: outcomes [items->n] of method m with the s-th seed, or NULL. higher_is_better orders. n_columns: how many columns (tasks) the table
 * has over which "any false claim at most 5%" shall hold. Everything in `out` is from `keep`. */
void pm_compare_table(const float *const *run, int n_methods, int n_seeds, const pm_items *items,
                      bool higher_is_better, int n_columns, pm_arena *keep, pm_table_column *out);
#endif
