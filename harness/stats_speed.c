/* stats_speed.c - see stats_speed.h. */
#include "stats_speed.h"
#include "rng.h"

#include <math.h>

/* Seven pairs can reach 1/128 and no less: nearly all of alpha is spent there, for most slowdowns that matter show by then. The rest is
 * shared by the looks that follow. */
const pm_speed_look pm_speed_looks[PM_SPEED_LOOKS] = {{7, 1.0 / 128},
                                                      {15, (PM_SPEED_ALPHA - 1.0 / 128) / 2},
                                                      {PM_SPEED_PAIRS, (PM_SPEED_ALPHA - 1.0 / 128) / 2}};

static pm_verdict verdict_of(const pm_speed_test *t, double alpha, double least) {
    if (t->p <= alpha && t->slowdown > least) return PM_SPEED_SLOWER;
    return t->limits.high < least ? PM_SPEED_SAME : PM_SPEED_OPEN;
}

pm_speed_test pm_speed_judge(const double *log_ratio, int look, double least, pm_arena *scratch) {
    PM_ASSERT(look >= 0 && look < PM_SPEED_LOOKS, "look %d", look);
    int n = pm_speed_looks[look].pairs;
    pm_shift s = pm_hodges_lehmann(log_ratio, n, scratch);
    pm_speed_test t = {.pairs = n,
                       .p = pm_signed_rank_test(log_ratio, n, scratch).p_high,
                       .slowdown = expm1(s.estimate),
                       .limits = {expm1(s.interval.low), expm1(s.interval.high)}};
    t.verdict = verdict_of(&t, pm_speed_looks[look].alpha, least);
    return t;
}

/* ---- what a machine can see ---------------------------------------------------------------------------------------------- */

typedef struct draws {
    double size[PM_SPEED_LOOKS][PM_NOISE_DRAWS]; /* of the estimate */
    double shift
        [PM_SPEED_LOOKS]
        [PM_NOISE_DRAWS]; /* on top, from which the test at this look is within its alpha; the estimate itself follows */
    double estimate[PM_SPEED_LOOKS][PM_NOISE_DRAWS];
} draws;

static void draw_pairs(const double *x, int n, pm_rng *r, double *out) {
    for (int i = 0; i < PM_SPEED_PAIRS; i++) {
        double value = x[pm_rng_below(r, (uint32_t)n)];
        out[i] = pm_rng_u32(r) & 1 ? value : -value;
    }
}

/* A shift moves all means of pairs alike, so that the shift that is needed can be read off the unshifted ones. */
static void look_at(const double *d, int look, int64_t place, draws *out, int draw, double *means) {
    int64_t m = pm_pair_means(d, pm_speed_looks[look].pairs, means);
    out->estimate[look][draw] = (means[(m - 1) / 2] + means[m / 2]) / 2;
    out->size[look][draw] = fabs(out->estimate[look][draw]);
    out->shift[look][draw] = -means[place];
}

static double quantile_of(double *x, double q) {
    pm_sort(x, PM_NOISE_DRAWS);
    return pm_quantile(x, PM_NOISE_DRAWS, q);
}

/* Called at a look where the test is within alpha and the estimate above what is called at all; by a look where one up to it does. */
static void find_smallest(draws *all, pm_noise *out) {
    double best[PM_NOISE_DRAWS], sorted[PM_NOISE_DRAWS];
    for (int d = 0; d < PM_NOISE_DRAWS; d++) best[d] = (double)INFINITY;
    for (int look = 0; look < PM_SPEED_LOOKS; look++) {
        double least = log1p(fmax(PM_SPEED_LEAST, out->floor[look]));
        for (int d = 0; d < PM_NOISE_DRAWS; d++) {
            best[d] = fmin(best[d], fmax(all->shift[look][d], least - all->estimate[look][d]));
            sorted[d] = best[d];
        }
        out->found[look] = expm1(quantile_of(sorted, sqrt(0.9))); /* twice: in both batches */
    }
}

pm_noise pm_noise_certify(const double *x, int n, uint64_t seed, pm_arena *scratch) {
    enum { MEANS = PM_SPEED_PAIRS * (PM_SPEED_PAIRS + 1) / 2 };
    draws *all = pm_arena_alloc(scratch, sizeof *all, PM_MEM_WORKSPACE);
    double pairs[PM_SPEED_PAIRS], means[MEANS];
    int64_t place[PM_SPEED_LOOKS];
    pm_rng r = pm_rng_make(seed, 0);
    pm_noise out;
    for (int look = 0; look < PM_SPEED_LOOKS; look++)
        place[look] = pm_rank_place(pm_speed_looks[look].pairs, pm_speed_looks[look].alpha, scratch);
    for (int d = 0; d < PM_NOISE_DRAWS; d++) {
        draw_pairs(x, n, &r, pairs);
        for (int look = 0; look < PM_SPEED_LOOKS; look++) look_at(pairs, look, place[look], all, d, means);
    }
    for (int look = 0; look < PM_SPEED_LOOKS; look++)
        out.floor[look] = expm1(quantile_of(all->size[look], 0.99));
    find_smallest(all, &out);
    pm_arena_recycle(scratch, all, sizeof *all, PM_MEM_WORKSPACE);
    return out;
}
