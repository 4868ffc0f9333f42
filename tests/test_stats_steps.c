/* test_stats_steps.c - levels of a series: held to every possible division of short ones, found where they are, and not where they are not. */
#include "rng.h"
#include "stats_steps.h"

#include "check.h"
#include <math.h>
#include <string.h>

static pm_arena *scratch;

/* ---- against all divisions ---- */

static double cost_of(const double *x, int first, int n) {
    double s[16], sum = 0;
    memcpy(s, x + first, (size_t)n * sizeof *s);
    pm_sort(s, n);
    double m = pm_quantile(s, n, 0.5);
    for (int i = 0; i < n; i++) sum += fabs(s[i] - m);
    return sum;
}

/* Bit i of `cuts`: a new level starts at i + 1. */
static double cost_cut(const double *x, int n, unsigned cuts, double penalty) {
    double cost = 0;
    for (int i = 0, first = 0; i < n; i++)
        if (i == n - 1 || cuts >> i & 1) cost += cost_of(x, first, i + 1 - first) + penalty, first = i + 1;
    return cost;
}

static double cost_fit(const double *x, const pm_level *level, int n, double penalty) {
    double cost = n * penalty;
    for (int k = 0; k < n; k++)
        for (int i = level[k].first; i < level[k].first + level[k].n; i++)
            cost += fabs(x[i] - level[k].value);
    return cost;
}

static void steps_are_the_best_division(void) {
    pm_rng g = pm_rng_make(7, 0);
    for (int round = 0; round < 200; round++) {
        double x[11], best = (double)INFINITY, penalty = 0.1 + 3 * pm_rng_uniform(&g);
        int n = 1 + (int)(11 * pm_rng_uniform(&g));
        pm_level level[11];
        for (int i = 0; i < n; i++) x[i] = floor(6 * pm_rng_uniform(&g)) + (i > 5 ? 4 : 0);
        for (unsigned cuts = 0; cuts < 1u << (n - 1); cuts++)
            best = fmin(best, cost_cut(x, n, cuts, penalty));
        int k = pm_steps_fit(x, n, penalty, level, scratch), covered = 0;
        for (int i = 0; i < k; i++) {
            CHECK_EQ_INT(level[i].first, covered);
            covered += level[i].n;
        }
        CHECK_EQ_INT(covered, n);
        CHECK_NEAR(cost_fit(x, level, k, penalty), best, 1e-12);
    }
}

/* ---- noise and changes ---- */

/* Series of n normal values, the last `late` of them higher by `step`: how many of 1000 get a second level; *right: those whose
 * last one starts within 2 of the true place. */
static int count_changed(int n, int late, double step, int *right) {
    pm_rng g = pm_rng_make((uint64_t)n, (uint64_t)late);
    double x[256];
    pm_level level[256];
    int changed = 0;
    *right = 0;
    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < n; i++) x[i] = pm_rng_normal(&g) + (i >= n - late ? step : 0);
        int k = pm_steps_fit(x, n, pm_steps_penalty(x, n, 0, scratch), level, scratch);
        changed += k > 1;
        *right += k > 1 && fabs((double)(level[k - 1].first - (n - late))) <= 2;
    }
    return changed;
}

static void noise_is_no_change(void) {
    static const int n[] = {20, 50, 200};
    int right;
    for (int i = 0; i < 3; i++) {
        int changed = count_changed(n[i], 0, 0, &right);
        printf("  %d values, no change: %.1f%% get a second level\n", n[i], changed / 10.0);
        CHECK(changed <= 30);
    }
}

static void a_change_is_found(void) {
    static const struct {
        int n, late, least;
        double step;
    } of[] = {{20, 8, 900, 4}, {50, 10, 950, 4}, {200, 30, 850, 2}};
    for (int i = 0; i < 3; i++) {
        int right, changed = count_changed(of[i].n, of[i].late, of[i].step, &right);
        printf("  %d values, the last %d by %g deviations: %.1f%% found, %.1f%% at the right place\n",
               of[i].n, of[i].late, of[i].step, changed / 10.0, right / 10.0);
        CHECK(right >= of[i].least);
    }
}

static void odd_values_and_short_series(void) {
    const double spike[] = {1, 1, 1, 9, 1, 1, 1}, step[] = {5, 5, 7};
    pm_level level[8];
    CHECK_EQ_INT(pm_steps_fit(spike, 0, 1, level, scratch), 0);
    CHECK_EQ_INT(pm_steps_fit(spike, 1, 1, level, scratch), 1);
    CHECK_EQ_INT(pm_steps_fit(spike, 7, 5, level, scratch), 1); /* to leave and to come back costs 10 */
    CHECK_NEAR(level[0].value, 1, 0);
    /* Exact numbers have no noise: the newest one alone shows. */
    CHECK_NEAR(pm_steps_penalty(step, 3, 0.5, scratch), fmax(0.5, 2 * 1 / 0.9539 * log(3)), 1e-12);
    const double exact[] = {5, 5, 5, 5, 6};
    CHECK_NEAR(pm_steps_penalty(exact, 5, 0.5, scratch), 0.5, 0);
    CHECK_EQ_INT(pm_steps_fit(exact, 5, 0.5, level, scratch), 2);
    CHECK_EQ_INT(level[1].first, 4);
}

int main(void) {
    scratch = pm_arena_new("test", 0);
    RUN(steps_are_the_best_division);
    RUN(noise_is_no_change);
    RUN(a_change_is_found);
    RUN(odd_values_and_short_series);
    pm_arena_free(scratch);
    return check_done();
}
