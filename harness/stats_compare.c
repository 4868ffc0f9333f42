/* stats_compare.c - two methods: an interval whose level is a theorem; two models: McNemar and Newcombe, or over clusters
 * an exact test that flips signs, and Student's t.
 *
 * Methods: with D[s][u] = A - B for seed s and unit u, a two-way analysis of variance gives the squared standard error of the mean from seed to
 * seed, Vs, and from unit to unit, Vu. Each contains the seed-by-unit noise, so that Vs + Vu has at least the variance of the mean as its
 * expectation. The interval is effect +- sqrt(ts^2 Vs + tu^2 Vu), ts and tu Student's points for the two degrees of freedom.
 * Why not Satterthwaite's: with two degrees of freedom it rejects 7.8% instead of 5%, and 2% instead of 0.18%.
 * Ref: Banerjee 1960, Sankhya 22:335: coverage is at least the level whatever the two variances, because the distribution function of
 * chi-squared with one degree of freedom is concave.
 */
#include "stats_compare.h"
#include "stats_dist.h"
#include "stats_sample.h"
#include "stats_units.h"

#include <math.h>
#include <string.h>

/* ---- methods ------------------------------------------------------------------------------------------------------------- */

typedef struct table {
    double *value; /* [n_seeds][n_units] */
    int n_seeds;
    int64_t n_units;
} table;

static double mean_of(const double *x, int64_t n, int64_t stride) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i * stride];
    return sum / (double)n;
}

/* Squared standard errors of the mean: rows, columns, and what is left after both. */
static void two_way(const table *t, pm_method_difference *out) {
    int64_t S = t->n_seeds, U = t->n_units;
    double seeds = 0, units = 0, all = 0, g = mean_of(t->value, S * U, 1), n = (double)(S * U);
    for (int64_t s = 0; s < S; s++) {
        double away = mean_of(t->value + s * U, U, 1) - g;
        seeds += (double)U * away * away;
    }
    for (int64_t u = 0; u < U; u++) {
        double away = mean_of(t->value + u, S, U) - g;
        units += (double)S * away * away;
    }
    for (int64_t i = 0; i < S * U; i++) all += (t->value[i] - g) * (t->value[i] - g);
    out->effect = g;
    out->df_seeds = (double)(S - 1);
    out->df_units = (double)(U - 1);
    out->var_seeds = seeds / out->df_seeds / n;
    out->var_units = units / out->df_units / n;
    out->var_noise = fmax(all - seeds - units, 0) / (out->df_seeds * out->df_units) / n;
}

static double squared(double x) {
    return x * x;
}

/* Squared half-width of the interval of level 1 - p. */
static double reach(const pm_method_difference *d, double p) {
    return squared(pm_t_outside(p, d->df_seeds)) * d->var_seeds +
           squared(pm_t_outside(p, d->df_units)) * d->var_units;
}

pm_interval pm_method_interval(const pm_method_difference *d, double p) {
    double half = sqrt(reach(d, p));
    return (pm_interval){d->effect - half, d->effect + half};
}

/* The larger of what seeds alone and units alone say of a distance whose square is dd. */
static double either_tail(const pm_method_difference *d, double dd) {
    return fmax(pm_t_tails(sqrt(dd / d->var_seeds), d->df_seeds),
                pm_t_tails(sqrt(dd / d->var_units), d->df_units));
}

typedef struct wanted {
    const pm_method_difference *d;
    double log_square;
} wanted;
static double short_of(const void *arg, double log_p) {
    const wanted *w = arg;
    return w->log_square - log(reach(w->d, exp(log_p)));
}

/* The p whose interval just reaches the margin. It lies between either_tail of the squared distance and of half of it, since one of the two terms
 * of reach() is at least half the sum. */
double pm_method_p(const pm_method_difference *d, double margin) {
    double dd = squared(d->effect - margin);
    if (dd == 0) return 1;
    wanted w = {d, log(dd)};
    double low = log(fmax(either_tail(d, dd), 1e-300)), high = log(fmax(either_tail(d, dd / 2), 1e-300));
    return exp(pm_root(short_of, &w, low - 1e-12, fmin(high + 1e-12, -1e-15)));
}

/* runs: A's and B's of the seeds that both have, in turn. */
static int common_seeds(const float *const *a, const float *const *b, int n_seeds, const float **runs) {
    int n = 0;
    for (int s = 0; s < n_seeds; s++) {
        if (!a[s] || !b[s]) continue;
        runs[2 * n] = a[s];
        runs[2 * n + 1] = b[s];
        n++;
    }
    return n;
}

/* value[u] = A's less B's over the unit, see pm_units_value. */
static void difference(const pm_units *u, const float *a, const float *b, double *value, double *other) {
    memset(value, 0, (size_t)u->n * sizeof *value);
    memset(other, 0, (size_t)u->n * sizeof *other);
    pm_units_add(u, a, value);
    pm_units_add(u, b, other);
    for (int64_t k = 0; k < u->n; k++) value[k] -= other[k];
}

static double *doubles(pm_arena *scratch, int64_t n) {
    return pm_arena_alloc(scratch, (size_t)n * sizeof(double), PM_MEM_WORKSPACE);
}
static void give_back(pm_arena *scratch, double *x, int64_t n) {
    pm_arena_recycle(scratch, x, (size_t)n * sizeof(double), PM_MEM_WORKSPACE);
}

/* runs[2 s], runs[2 s + 1]: A's and B's of seed s. */
static void fill_differences(const pm_units *u, const float *const *runs, table *t, pm_arena *scratch) {
    double *other = doubles(scratch, u->n);
    for (int s = 0; s < t->n_seeds; s++) {
        double *row = t->value + s * u->n;
        difference(u, runs[2 * s], runs[2 * s + 1], row, other);
        pm_units_value(u, row);
    }
    give_back(scratch, other, u->n);
}

bool pm_compare_methods(const float *const *a, const float *const *b, int n_seeds, const pm_items *items,
                        pm_arena *scratch, pm_method_difference *out) {
    size_t runs_bytes = 2 * (size_t)n_seeds * sizeof(float *);
    const float **runs = pm_arena_alloc(scratch, runs_bytes, PM_MEM_WORKSPACE);
    table t = {.n_seeds = common_seeds(a, b, n_seeds, runs)};
    pm_units u = pm_units_common(runs, 2 * t.n_seeds, items, scratch);
    bool enough = t.n_seeds >= 2 && u.n >= 2;
    if (enough) {
        *out = (pm_method_difference){.n_seeds = t.n_seeds, .n_items = u.n_items, .n_units = u.n};
        t.n_units = u.n;
        t.value = doubles(scratch, t.n_seeds * u.n);
        fill_differences(&u, runs, &t, scratch);
        two_way(&t, out);
        give_back(scratch, t.value, t.n_seeds * u.n);
        out->interval = pm_method_interval(out, 0.05);
        out->p = pm_method_p(out, 0);
    }
    pm_units_free(&u, scratch);
    pm_arena_recycle(scratch, runs, runs_bytes, PM_MEM_WORKSPACE);
    return enough;
}

/* ---- models -------------------------------------------------------------------------------------------------------------- */

static void count_outcomes(const pm_units *u, const float *a, const float *b, pm_model_difference *out) {
    int64_t *const count[2][2] = {{&out->neither, &out->only_b}, {&out->only_a, &out->both}};
    out->binary = true;
    for (int64_t i = 0; i < u->of_items && out->binary; i++) {
        if (u->of[i] < 0) continue;
        out->binary = (a[i] == 0 || a[i] == 1) && (b[i] == 0 || b[i] == 1);
        if (out->binary) ++*count[a[i] == 1][b[i] == 1];
    }
    if (!out->binary) out->both = out->only_a = out->only_b = out->neither = 0;
}

/* d[u]: of how many more of unit u's items A is right; Durkalski et al. 2003 and Obuchowski 1998 take its normal approximation. */
static double flip_units(const double *d, int64_t n, pm_arena *scratch) {
    int64_t *whole = pm_arena_alloc(scratch, (size_t)n * sizeof *whole, PM_MEM_WORKSPACE);
    for (int64_t u = 0; u < n; u++) whole[u] = (int64_t)d[u];
    double p = pm_sign_flip_whole(whole, n, scratch);
    pm_arena_recycle(scratch, whole, (size_t)n * sizeof *whole, PM_MEM_WORKSPACE);
    return p;
}

static void set_student(int64_t n, pm_model_difference *out) {
    double half = pm_t_outside(0.05, (double)(n - 1)) * out->stderr_;
    out->p = out->effect == 0 ? 1 : pm_t_tails(out->effect / out->stderr_, (double)(n - 1));
    out->interval = (pm_interval){out->effect - half, out->effect + half};
}

static void compare_units(const pm_units *u, const float *a, const float *b, bool clustered,
                          pm_arena *scratch, pm_model_difference *out) {
    *out = (pm_model_difference){.n_items = u->n_items, .n_units = u->n, .clustered = clustered};
    count_outcomes(u, a, b, out);
    double *value = doubles(scratch, u->n), *other = doubles(scratch, u->n), flipped = 1;
    difference(u, a, b, value, other);
    if (out->binary && clustered) flipped = flip_units(value, u->n, scratch);
    pm_units_value(u, value);
    out->effect = mean_of(value, u->n, 1);
    out->stderr_ = sqrt(pm_mean_variance(value, u->n));
    set_student(u->n, out);
    if (out->binary && !clustered)
        out->interval = pm_paired_difference(out->both, out->only_a, out->only_b, out->neither);
    if (out->binary) out->p = clustered ? flipped : pm_mcnemar(out->only_a, out->only_b);
    give_back(scratch, value, u->n);
    give_back(scratch, other, u->n);
}

bool pm_compare_models(const float *a, const float *b, const pm_items *items, pm_arena *scratch,
                       pm_model_difference *out) {
    const float *runs[2] = {a, b};
    pm_units u = pm_units_common(runs, 2, items, scratch);
    bool enough = u.n >= 2;
    if (enough) compare_units(&u, a, b, items->cluster != NULL, scratch, out);
    pm_units_free(&u, scratch);
    return enough;
}

bool pm_bootstrap_models(const float *a, const float *b, const pm_items *items, uint64_t seed,
                         pm_arena *scratch, pm_interval *out) {
    const float *runs[2] = {a, b};
    pm_units u = pm_units_common(runs, 2, items, scratch);
    double *value = doubles(scratch, u.n), *other = doubles(scratch, u.n);
    difference(&u, a, b, value, other);
    pm_units_value(&u, value);
    if (u.n >= 2) *out = pm_bootstrap(value, u.n, seed, scratch);
    give_back(scratch, value, u.n);
    give_back(scratch, other, u.n);
    pm_units_free(&u, scratch);
    return u.n >= 2;
}
