/* stats_table.c - all pairs of methods on one task.
 *
 * Why not each pair by itself: with three seeds a pair's own seed variance has two degrees of freedom, and Holm over 28 pairs asks for t = 23.
 * Why not one pooled variance: methods differ in how much a seed moves them, and a quiet majority would lend a noisy method its variance.
 * So every pair is judged by the *largest* seed variance of the column, which no method's variance can escape, and one critical value c for all
 * pairs, such that the worst case of how many methods are noisy is covered: with J noisy ones of M and X the largest of J independent
 * chi-squared/f, the chance that noise alone passes c is at most
 *     J(J-1)/2 P(|Z| > c sqrt X) + [J < M] J P(|Z| > c sqrt(2 X)),
 * a union over pairs of noisy methods and over noisy ones against the quiet, for J = 1 times a factor, since the quiet are not still. c(alpha) is where the largest of these over J is alpha.
 * Units (items, clusters) come in as in stats_compare.c: a pair's interval is effect +- sqrt(c^2 2 W + t^2 Vu), t Student's point for
 * alpha over the number of pairs. docs/STATISTICS.md: derivation, assumptions, simulated error rates.
 */
#include "stats_table.h"
#include "stats_dist.h"
#include "stats_units.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the seeds' part ----------------------------------------------------------------------------------------------------- */

enum { NODES = 344 };
static const double first_node = -36, step = 0.125; /* of log x */

typedef struct judge {
    int n_methods, n_pairs;
    double df_seeds, df_units;
    double shared; /* 2 W: squared standard error of a difference, by the largest seed variance */
    double node[NODES];
    double *among, *against; /* [n_methods] what noise_level works in */
    double *below;           /* [NODES][n_methods] P(sqrt X_J <= x) at the nodes, for J = 1, 2, ... */
    int some[NODES];         /* so many of them are above 0 */
} judge;

static void fill_below(judge *j) {
    for (int k = 0; k < NODES; k++) {
        double x = j->node[k] = exp(first_node + step * k),
               one = pm_chi2_below(j->df_seeds * x * x, j->df_seeds), all = 1;
        j->some[k] = 0;
        for (int J = 0; J < j->n_methods && (all *= one) > 1e-300; J++)
            j->below[k * j->n_methods + j->some[k]++] = all;
    }
}

/* P(|Z| > c sqrt X_J) for J = 1..n in out[J - 1]: the integral of 2 c phi(c x) P(sqrt X_J <= x) over x, by the trapezoid rule in log x: the integrand is
 * analytic and dies at both ends, so that the error is below rounding. All J side by side: with 500 rows this is what a report takes. */
static void noise_tails(const judge *j, double c, double *restrict out) {
    int first = (int)fmax(0, (-log(c) - 32 / (1 + j->df_seeds) - first_node) / step);
    int last = (int)fmin(NODES - 1, (log(14 / c) - first_node) / step);
    memset(out, 0, (size_t)j->n_methods * sizeof *out);
    for (int k = first; k <= last; k++) {
        const double *restrict below = j->below + k * j->n_methods;
        double cx = c * j->node[k], weight = step * sqrt(2 / M_PI) * cx * exp(-cx * cx / 2);
        for (int J = 0; J < j->some[k]; J++) out[J] += weight * below[J];
    }
}

/* What the chance of one noisy method against M - 1 still ones is multiplied by, so that it also holds where the others are quiet but not still
 * (tests/golden/make_stats_table.py). */
static const int lone_df[] = {1, 2, 3, 4, 5, 6, 7, 9, 12, 19}, lone_methods[] = {2, 3, 5, 8, 14, 26};
static const double lone_noisy[10][6] = {
    {1.01, 1.02, 1.02, 1.03, 1.03, 1.03},     /* f = 1 */
    {1.03, 1.08, 1.20, 1.25, 1.30, 1.35},     /* f = 2 */
    {1.06, 1.21, 1.36, 1.47, 1.58, 1.67},     /* f = 3 */
    {1.20, 1.26, 1.45, 1.59, 2.00, 2.17},     /* f = 4 */
    {1.29, 1.46, 1.78, 2.02, 2.27, 2.50},     /* f = 5 */
    {1.29, 1.70, 2.12, 2.44, 2.76, 3.05},     /* f = 6 */
    {1.53, 1.77, 2.47, 2.92, 3.41, 3.87},     /* f = 7 */
    {1.83, 2.37, 3.10, 3.70, 4.48, 5.30},     /* f = 9 */
    {2.53, 3.19, 4.87, 6.03, 7.51, 9.04},     /* f = 12 */
    {5.89, 8.06, 11.32, 14.94, 19.27, 23.95}, /* f = 19 */
};

/* The next larger df and M of the table; beyond it nothing is known: infinite. */
static double lone_factor(const judge *k) {
    int i = 0, j = 0;
    while (i < 10 && lone_df[i] < k->df_seeds) i++;
    while (j < 6 && lone_methods[j] < k->n_methods) j++;
    return i < 10 && j < 6 ? lone_noisy[i][j] : (double)INFINITY;
}

/* The most probability, over how many methods are noisy, that noise alone passes c anywhere; never more than Student's t for each pair says,
 * which holds for any variances since 2 W is at least the pair's own. */
static double noise_level(const judge *k, double c) {
    noise_tails(k, c, k->among);
    noise_tails(k, c * M_SQRT2, k->against);
    double most = lone_factor(k) * k->against[0];
    for (int J = 2; J <= k->n_methods; J++) {
        double level = J * (J - 1) / 2.0 * k->among[J - 1] + (J < k->n_methods ? J * k->against[J - 1] : 0);
        if (level > most) most = level;
    }
    return fmin(fmin(most, k->n_pairs * pm_t_tails(c, k->df_seeds)), 1 - 1e-15);
}

static double squared(double x) {
    return x * x;
}

/* Squared half-width where the seeds' critical value is c. */
static double reach(const judge *k, double c, double var_units) {
    double t = pm_t_outside(noise_level(k, c) / k->n_pairs, k->df_units);
    return squared(c) * k->shared + squared(t) * var_units;
}

static const double c_least = 1e-2, c_most = 1e9;

/* The c in that range, and below `high`, at which f, increasing in log c, is 0. */
static double critical_root(double (*f)(const void *, double), const void *arg, double high) {
    double b = log(high), a = b - 1;
    while (a > log(c_least) && f(arg, a) > 0) b = a, a -= 1;
    return exp(pm_root(f, arg, a, b));
}

typedef struct level_wanted {
    const judge *k;
    double log_level;
} level_wanted;
static double less_level(const void *arg, double log_c) {
    const level_wanted *w = arg;
    return w->log_level - log(noise_level(w->k, exp(log_c)));
}
static double critical(const judge *k, double level) {
    level_wanted w = {k, log(level)};
    return critical_root(less_level, &w, c_most);
}

typedef struct reach_wanted {
    const judge *k;
    double var_units, log_square;
} reach_wanted;
static double more_reach(const void *arg, double log_c) {
    const reach_wanted *w = arg;
    return log(reach(w->k, exp(log_c), w->var_units)) - w->log_square;
}

/* The level at which the pair's interval just reaches 0. */
static double pair_level(const judge *k, const pm_table_pair *pair) {
    double dd = squared(pair->effect);
    if (dd == 0) return 1;
    reach_wanted w = {k, pair->var_units, log(dd)};
    double most = fmax(2 * c_least, fmin(c_most, sqrt(dd / k->shared) * (1 + 1e-12)));
    return noise_level(k, critical_root(more_reach, &w, most));
}

/* ---- the column ---------------------------------------------------------------------------------------------------------- */

typedef struct column {
    const float *const *run;
    int n_methods, n_seeds;
    const float **used; /* the runs of methods with two seeds or more */
    int n_used;
    double **sum; /* [n_methods] mean over seeds of the unit's sum, or NULL */
    pm_units units;
    pm_arena *keep;
} column;

static int count_seeds(const column *c, int m) {
    int n = 0;
    for (int s = 0; s < c->n_seeds; s++) n += c->run[m * c->n_seeds + s] != NULL;
    return n;
}

static void *get(pm_arena *keep, size_t n, size_t size) {
    return pm_arena_zalloc(keep, n * size, PM_MEM_WORKSPACE);
}

static void gather(column *c, pm_table_column *out) {
    out->df_seeds = c->n_seeds;
    for (int m = 0; m < c->n_methods; m++) {
        int n = count_seeds(c, m);
        if (n < 2) continue;
        out->n_compared++;
        if (n - 1 < out->df_seeds) out->df_seeds = n - 1;
        for (int s = 0; s < c->n_seeds; s++)
            if (c->run[m * c->n_seeds + s]) c->used[c->n_used++] = c->run[m * c->n_seeds + s];
    }
}

/* The method's mean, its squared standard error from seed to seed, and its units' sums averaged over its seeds. */
static void summarize(column *c, int m, double *means, pm_table_column *out) {
    int n = 0;
    c->sum[m] = get(c->keep, (size_t)c->units.n, sizeof(double));
    for (int s = 0; s < c->n_seeds; s++)
        if (c->run[m * c->n_seeds + s])
            means[n++] = pm_units_add(&c->units, c->run[m * c->n_seeds + s], c->sum[m]);
    for (int64_t u = 0; u < c->units.n; u++) c->sum[m][u] /= n;
    pm_summary s = pm_mean(means, n);
    out->mean[m] = s.mean;
    out->var_seeds[m] = squared(s.stderr_);
    out->var_seeds_max = fmax(out->var_seeds_max, out->var_seeds[m]);
}

static void compare_pair(const column *c, int i, int j, double *value, pm_table_column *out) {
    pm_table_pair *p = &out->pair[pm_pair(i, j, c->n_methods)];
    for (int64_t u = 0; u < c->units.n; u++) value[u] = c->sum[i][u] - c->sum[j][u];
    pm_units_value(&c->units, value);
    p->effect = out->mean[i] - out->mean[j];
    p->var_units = pm_mean_variance(value, c->units.n);
}

static bool compared(const pm_table_column *t, int m) {
    return !isnan(t->mean[m]);
}

static void judge_pairs(const pm_table_column *t, const judge *k, int n_columns) {
    double level = 0.05 / n_columns, c = critical(k, level);
    for (int i = 0; i < t->n_methods; i++)
        for (int j = i + 1; j < t->n_methods; j++) {
            if (!compared(t, i) || !compared(t, j)) continue;
            pm_table_pair *p = &t->pair[pm_pair(i, j, t->n_methods)];
            double half = sqrt(reach(k, c, p->var_units));
            p->interval = (pm_interval){p->effect - half, p->effect + half};
            p->p = fmin(1, n_columns * pair_level(k, p));
        }
}

/* Best first; methods that are not compared last; equals in their own order. */
static void put_in_order(const pm_table_column *t, bool higher_is_better) {
    double sign = higher_is_better ? 1 : -1;
    for (int m = 0; m < t->n_methods; m++) {
        int at = m;
        for (; at > 0; at--) {
            int before = t->order[at - 1];
            bool better =
                compared(t, m) && (!compared(t, before) || sign * t->mean[m] > sign * t->mean[before]);
            if (!better) break;
            t->order[at] = before;
        }
        t->order[at] = m;
    }
}

static bool differ(const pm_table_column *t, int i, int j) {
    return i != j && t->pair[i < j ? pm_pair(i, j, t->n_methods) : pm_pair(j, i, t->n_methods)].p <= 0.05;
}

static void mark_ties(const pm_table_column *t, pm_arena *keep) {
    bool *apart = get(keep, (size_t)(t->n_compared * t->n_compared), sizeof *apart);
    for (int k = 0; k < t->n_compared; k++)
        for (int l = k + 1; l < t->n_compared; l++)
            apart[pm_pair(k, l, t->n_compared)] = differ(t, t->order[k], t->order[l]);
    char(*letters)[PM_LETTERS_MAX + 1] = get(keep, (size_t)t->n_compared, sizeof *letters);
    int *place = get(keep, (size_t)t->n_compared, sizeof *place);
    for (int k = 0; k < t->n_compared; k++) place[k] = k;
    pm_tie_letters(apart, place, t->n_compared, letters);
    for (int k = 0; k < t->n_compared; k++) {
        memcpy(t->letters[t->order[k]], letters[k], sizeof *letters);
        t->best[t->order[k]] = !differ(t, t->order[0], t->order[k]);
    }
}

/* What the interval's half-width and, with 80%, the effect's own error leave over, for variances as the column has them on average. */
static double detectable(const pm_table_column *t, const judge *k, int n_columns) {
    double units = 0, seeds = 0;
    for (int m = 0; m < t->n_methods; m++) seeds += compared(t, m) ? t->var_seeds[m] / t->n_compared : 0;
    for (int i = 0, pairs = t->n_methods * (t->n_methods - 1) / 2; i < pairs; i++)
        units += isnan(t->pair[i].effect) ? 0 : t->pair[i].var_units / k->n_pairs;
    double half = sqrt(reach(k, critical(k, 0.05 / n_columns), units));
    return half + pm_normal_outside(0.4) * sqrt(2 * seeds + units);
}

/* Every array of `out`; nothing compared yet. */
static void prepare(pm_table_column *out, int n_methods, pm_arena *keep) {
    size_t n = (size_t)n_methods, pairs = n * (n - 1) / 2;
    const double none = (double)NAN;
    *out = (pm_table_column){.n_methods = n_methods, .detectable = none};
    out->mean = get(keep, n, sizeof(double));
    out->var_seeds = get(keep, n, sizeof(double));
    out->order = get(keep, n, sizeof(int));
    out->pair = get(keep, pairs, sizeof *out->pair);
    out->letters = get(keep, n, sizeof *out->letters);
    out->best = get(keep, n, sizeof(bool));
    for (size_t m = 0; m < n; m++) out->mean[m] = out->var_seeds[m] = none;
    for (size_t i = 0; i < pairs; i++) out->pair[i] = (pm_table_pair){none, none, {none, none}, none};
}

static void compare_column(column *c, int n_columns, pm_table_column *out) {
    double *means = get(c->keep, (size_t)c->n_seeds, sizeof *means);
    double *value = get(c->keep, (size_t)c->units.n, sizeof *value);
    for (int m = 0; m < c->n_methods; m++)
        if (count_seeds(c, m) >= 2) summarize(c, m, means, out);
    for (int i = 0; i < c->n_methods; i++)
        for (int j = i + 1; j < c->n_methods; j++)
            if (compared(out, i) && compared(out, j)) compare_pair(c, i, j, value, out);
    judge k = {.n_methods = out->n_compared, .n_pairs = out->n_compared * (out->n_compared - 1) / 2};
    k.df_seeds = out->df_seeds;
    k.df_units = (double)(c->units.n - 1);
    k.shared = 2 * out->var_seeds_max;
    k.among = get(c->keep, (size_t)k.n_methods, sizeof(double));
    k.against = get(c->keep, (size_t)k.n_methods, sizeof(double));
    k.below = get(c->keep, (size_t)k.n_methods * NODES, sizeof(double));
    fill_below(&k);
    judge_pairs(out, &k, n_columns);
    out->detectable = detectable(out, &k, n_columns);
}

void pm_compare_table(const float *const *run, int n_methods, int n_seeds, const pm_items *items,
                      bool higher_is_better, int n_columns, pm_arena *keep, pm_table_column *out) {
    PM_ASSERT(n_methods >= 1, "%d methods", n_methods);
    prepare(out, n_methods, keep);
    column c = {.run = run, .n_methods = n_methods, .n_seeds = n_seeds, .keep = keep};
    c.used = get(keep, (size_t)(n_methods * n_seeds), sizeof *c.used);
    c.sum = get(keep, (size_t)n_methods, sizeof *c.sum);
    gather(&c, out);
    c.units = pm_units_common(c.used, c.n_used, items, keep);
    out->n_items = c.units.n_items;
    out->n_units = c.units.n;
    bool enough = out->n_compared >= 2 && out->n_units >= 2;
    if (enough)
        compare_column(&c, n_columns, out);
    else
        out->n_compared = 0;
    put_in_order(out, higher_is_better);
    mark_ties(out, keep);
}
