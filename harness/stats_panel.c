/* stats_panel.c - see stats_panel.h. */
#include "stats_panel.h"
#include "stats_dist.h"

#include <math.h>

const double pm_panel_level_worse = 0.008, pm_panel_level_better = 0.002;

/* ---- differences --------------------------------------------------------------------------------------------------------- */

pm_panel_scale pm_panel_scale_of(const double *base, const double *head, int n) {
    bool shares = true, positive = true;
    for (int i = 0; i < n; i++) {
        double low = fmin(base[i], head[i]), high = fmax(base[i], head[i]);
        shares &= low >= 0 && high <= 1;
        positive &= low > 0;
    }
    return shares ? PM_PANEL_POINTS : positive ? PM_PANEL_PERCENT : PM_PANEL_PLAIN;
}

void pm_panel_differences(pm_panel_scale s, const double *base, const double *head, int n, double *d) {
    for (int i = 0; i < n; i++)
        d[i] = s == PM_PANEL_PERCENT ? log(head[i] / base[i])
                                     : (s == PM_PANEL_POINTS ? 100 : 1) * (head[i] - base[i]);
}

double pm_panel_shown(pm_panel_scale s, double d) {
    return s == PM_PANEL_PERCENT ? 100 * expm1(d) : d;
}

static double *doubles(pm_arena *scratch, int n) {
    return pm_arena_alloc(scratch, (size_t)n * sizeof(double), PM_MEM_WORKSPACE);
}

/* Of x, or of |x|. */
static double quantile_of(const double *x, int n, double q, bool sizes, pm_arena *scratch) {
    double *sorted = doubles(scratch, n);
    for (int i = 0; i < n; i++) sorted[i] = sizes ? fabs(x[i]) : x[i];
    pm_sort(sorted, n);
    double v = pm_quantile(sorted, n, q);
    pm_arena_recycle(scratch, sorted, (size_t)n * sizeof *sorted, PM_MEM_WORKSPACE);
    return v;
}

double pm_panel_floor(pm_panel_scale s, const double *base, int n, pm_arena *scratch) {
    if (s == PM_PANEL_POINTS) return 1;
    return s == PM_PANEL_PERCENT ? log(1.03) : 0.03 * quantile_of(base, n, 0.5, true, scratch);
}

/* ---- the test ------------------------------------------------------------------------------------------------------------ */

static void count_signs(const double *d, pm_panel *p) {
    for (int i = 0; i < p->n; i++) {
        p->down += d[i] < 0;
        p->up += d[i] > 0;
    }
    p->equal = p->n - p->down - p->up;
    p->p_sign = pm_mcnemar(p->down, p->up);
}

/* A spread that is rounding only is none: t would be a number without meaning. */
static void test_mean(const double *d, pm_panel *p) {
    pm_summary s = pm_mean(d, p->n);
    bool spread = s.stderr_ > 1e-12 * fabs(s.mean);
    p->mean = s.mean;
    p->interval = pm_t_interval(d, p->n);
    p->t = spread ? s.mean / s.stderr_ : (double)NAN;
    p->p_t = spread ? pm_t_tails(p->t, p->n - 1) : (double)NAN;
}

static void test_ranks(const double *d, int better, pm_arena *scratch, pm_panel *p) {
    pm_signed_rank r = pm_signed_rank_test(d, p->n, scratch);
    p->p_worse = better > 0 ? r.p_low : r.p_high;
    p->p_better = better > 0 ? r.p_high : r.p_low;
}

static pm_panel_verdict decide(const pm_panel *p) {
    if (p->n < PM_PANEL_LEAST) return PM_PANEL_FEW;
    if (p->p_worse <= pm_panel_level_worse) return PM_PANEL_WORSE;
    return p->p_better <= pm_panel_level_better ? PM_PANEL_BETTER : PM_PANEL_NONE;
}

/* Bonferroni over n, in units of the 80% quantile of sizes. The last factor makes up for a quantile of few sizes, which is now and then too small: fitted
 * to simulated t with 5 degrees, n = 7 to 200 (tests/test_panel_sim.c holds the result). */
static double limit_in_scales(int n) {
    return pm_t_outside(0.01 / n, 5) / pm_t_outside(0.2, 5) * (1 + 2.2 / n);
}

static void take_shift_away(const double *d, double floor, pm_arena *scratch, pm_panel *p, double *residual) {
    p->shift = quantile_of(d, p->n, 0.5, false, scratch);
    for (int i = 0; i < p->n; i++) residual[i] = d[i] - p->shift;
    double scale = quantile_of(residual, p->n, 0.8, true, scratch);
    p->limit = p->n < PM_PANEL_LEAST ? (double)INFINITY : fmax(floor, limit_in_scales(p->n) * scale);
}

pm_panel pm_panel_test(const double *d, int n, int better, double floor, pm_arena *scratch,
                       double *residual) {
    PM_ASSERT(n >= 1 && (better == 1 || better == -1), "%d differences, better %d", n, better);
    pm_panel p = {.n = n};
    count_signs(d, &p);
    test_mean(d, &p);
    test_ranks(d, better, scratch, &p);
    take_shift_away(d, floor, scratch, &p, residual);
    p.verdict = decide(&p);
    return p;
}
