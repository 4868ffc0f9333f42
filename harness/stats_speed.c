/* stats_speed.c - see stats_speed.h. */
#include "stats_speed.h"
#include "rng.h"

#include <math.h>

/* Seven pairs can reach 1/128 and no less: nearly all of alpha is spent there, for most slowdowns that matter show by then. The rest is
 * shared by the looks that follow. */
const pm_speed_look pm_speed_looks[PM_SPEED_LOOKS] = {
    {7, 1.0 / 128}, {15, (PM_SPEED_ALPHA - 1.0 / 128) / 2}, {PM_SPEED_PAIRS, (PM_SPEED_ALPHA - 1.0 / 128) / 2}};

/* The two-sided p of a symmetric distribution is twice the smaller tail, unless both hold more than half. */
static double slower_p(const double *d, int n, pm_arena *scratch) {
    pm_signed_rank r = pm_signed_rank_test(d, n, scratch);
    bool above = r.w_plus > (double)r.n * (r.n + 1) / 4;
    return above ? r.p / 2 : 1 - r.p / 2;
}

static pm_verdict verdict_of(const pm_speed_test *t, double alpha, double least) {
    if (t->p <= alpha && t->slowdown > least) return PM_SPEED_SLOWER;
    return t->limits.high < least ? PM_SPEED_SAME : PM_SPEED_OPEN;
}

pm_speed_test pm_speed_judge(const double *log_ratio, int look, double least, pm_arena *scratch) {
    PM_ASSERT(look >= 0 && look < PM_SPEED_LOOKS, "look %d", look);
    int n = pm_speed_looks[look].pairs;
    pm_shift s = pm_hodges_lehmann(log_ratio, n, scratch);
    pm_speed_test t = {.pairs = n,
                       .p = slower_p(log_ratio, n, scratch),
                       .slowdown = expm1(s.estimate),
                       .limits = {expm1(s.interval.low), expm1(s.interval.high)}};
    t.verdict = verdict_of(&t, pm_speed_looks[look].alpha, least);
    return t;
}
