/* stats_dist.h - distributions that tests and intervals need: normal, Student's t, chi-squared. Relative errors below 1e-10, in both tails.
 *
 * Degrees of freedom are real numbers above 0. Quantiles are asked for by the probability outside, p in (0, 1): pm_t_outside is the t whose two
 * tails together hold p, so that small p keep their digits.
 */
#ifndef PM_STATS_DIST_H
#define PM_STATS_DIST_H
#include "base.h"

double pm_normal_tails(double z);   /* P(|Z| >= |z|) */
double pm_normal_outside(double p); /* z >= 0 with P(|Z| >= z) = p */
double pm_normal_below(double z);   /* P(Z <= z) */
double pm_t_tails(double t, double df);
double pm_t_outside(double p, double df);
double pm_chi2_below(double x, double df);    /* P(X <= x), x >= 0 */
double pm_chi2_quantile(double p, double df); /* x with P(X <= x) = p */

/* Where f(arg, x), which increases, is 0 in low..high; the end where it is not 0 in between. False position, to 1e-11 of x or of f. */
double pm_root(double (*f)(const void *, double), const void *arg, double low, double high);

/* log(n!) minus Stirling's formula, n > 0; and x log(x/m) + m - x (Loader 2000, "Fast and accurate computation of binomial probabilities"). */
double pm_stirling_error(double n);
double pm_deviance(double x, double m);
#endif
