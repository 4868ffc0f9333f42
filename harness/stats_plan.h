/* stats_plan.h - how large a difference a design finds, and how much more a decision needs. */
#ifndef PM_STATS_PLAN_H
#define PM_STATS_PLAN_H
#include "stats_compare.h"

/* Minimum detectable effect of a comparison of methods: a true difference from the margin that its test at level p finds with 80% when the variances are
 * those measured. p = 0.05, or 0.05 over the size of the family. */
double pm_method_detectable(const pm_method_difference *d, double p);
/* Seeds (items per run) in all after which the difference from the margin, should it be as large as measured, is found with 80% at level p;
 * what is there already counts. 0: not even with PM_PLAN_MAX times as many. */
enum { PM_PLAN_MAX = 1000 };
int64_t pm_seeds_needed(const pm_method_difference *d, double margin, double p);
int64_t pm_items_needed(const pm_method_difference *d, double margin, double p);

/* Minimum detectable effect of McNemar's test of two models: n items, a share `discordance` of them answered differently, level p, power 80%
 * (Miettinen 1968, by the normal approximation; Connor 1987). NAN where even the whole discordance on one side is not found. */
double pm_mcnemar_detectable(int64_t n, double discordance, double p);
/* That of a comparison of two models: the above where right and wrong items stand alone, else what the t interval over units and 0.84 standard errors
 * leave. NAN where none is found. */
double pm_model_detectable(const pm_model_difference *d, double p);
#endif
