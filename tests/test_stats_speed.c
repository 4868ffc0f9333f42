/* test_stats_speed.c - the sequential plan for pairs of processes: how often it is wrong, alone and as a whole check, what it finds, and what
 * the certificate says of that. The signed ranks beneath are held to scipy in test_stats.c. Seeds are fixed: the same counts everywhere.
 */
#include "rng.h"
#include "stats_speed.h"

#include "check.h"

#include <stdlib.h>

enum { UNITS = 40 };

/* Times of processes in the order they ran; a coin says which of a pair is head, as pm_pace_pair does: a log-ratio a pair. ar: correlation of one process's noise with the
 * one before; heavy: now and then ten times as much. */
typedef struct noise {
    const char *what;
    double sd, ar;
    bool heavy;
} noise;
static const noise noises[] = {
    {"independent", 0.02, 0, false},
    {"lag-1 correlation 0.3", 0.02, 0.3, false},
    {"lag-1 correlation 0.5", 0.02, 0.5, false},
    {"drifting, 0.9", 0.02, 0.9, false},
    {"outliers", 0.02, 0, true},
    {"outliers, correlation 0.5", 0.02, 0.5, true},
};

static double next(pm_rng *r, const noise *w, double *state) {
    double sd = w->sd * (w->heavy && pm_rng_below(r, 10) == 0 ? 10 : 1);
    *state = w->ar * *state + sqrt(1 - w->ar * w->ar) * sd * pm_rng_normal(r);
    return *state;
}

static void draw(pm_rng *r, const noise *w, double shift, double *out) {
    double state = w->sd * pm_rng_normal(r);
    for (int i = 0; i < PM_SPEED_PAIRS; i++) {
        double first = next(r, w, &state), second = next(r, w, &state);
        out[i] = shift + (pm_rng_u32(r) & 1 ? first - second : second - first);
    }
}

/* The verdict of a batch: the first look that is not open. */
static pm_verdict batch(const double *x, double least, pm_arena *a) {
    pm_verdict v = PM_SPEED_OPEN;
    for (int look = 0; look < PM_SPEED_LOOKS && v == PM_SPEED_OPEN; look++)
        v = pm_speed_judge(x, look, least, a).verdict;
    return v;
}

static int called(const noise *w, double shift, double least, int batches, uint64_t stream, pm_arena *a) {
    pm_rng r = pm_rng_make(7, stream);
    int n = 0;
    for (int i = 0; i < batches; i++) {
        double x[PM_SPEED_PAIRS];
        draw(&r, w, shift, x);
        n += batch(x, least, a) == PM_SPEED_SLOWER;
    }
    return n;
}

static int batches(void) {
    return getenv("PEFTMETER_SLOW") ? 20000 : 2000;
}

/* Even with nothing but the test in the way (least 0, no same): 1% and 3.09 standard errors of the count. */
static void speed_calls_unchanged_builds_slower_in_at_most_1_percent(void) {
    pm_arena *a = pm_arena_new("test", 0);
    double most = PM_SPEED_ALPHA + 3.09 * sqrt(PM_SPEED_ALPHA * (1 - PM_SPEED_ALPHA) / batches());
    for (size_t i = 0; i < sizeof noises / sizeof *noises; i++) {
        double rate = called(&noises[i], 0, 0, batches(), i, a) / (double)batches();
        if (getenv("PEFTMETER_SLOW")) printf("%s: %.2f%% called slower\n", noises[i].what, 100 * rate);
        if (rate > most) CHECK_FAIL_("%s: %.4f of batches, at most %.4f", noises[i].what, rate, most);
    }
    pm_arena_free(a);
}

/* The looks may not spend more than there is, and the first must be able to call at all. */
static void speed_spends_its_alpha_and_no_more(void) {
    double sum = 0;
    for (int look = 0; look < PM_SPEED_LOOKS; look++) {
        sum += pm_speed_looks[look].alpha;
        CHECK(ldexp(1, -pm_speed_looks[look].pairs) <= pm_speed_looks[look].alpha);
    }
    CHECK_NEAR(sum, PM_SPEED_ALPHA, 1e-15);
}

/* A whole check: 40 units that share half of their noise, all confirmed where called. */
static void speed_checks_of_many_units_are_wrong_in_at_most_1_percent(void) {
    pm_arena *a = pm_arena_new("test", 0);
    pm_rng r = pm_rng_make(11, 0);
    int checks = batches() / 20, wrong = 0;
    for (int i = 0; i < checks; i++) {
        bool any = false;
        double common[2][PM_SPEED_PAIRS], x[PM_SPEED_PAIRS];
        for (int b = 0; b < 2; b++) draw(&r, &noises[2], 0, common[b]);
        for (int u = 0; u < UNITS; u++) {
            bool both = true;
            for (int b = 0; b < 2 && both; b++) {
                draw(&r, &noises[5], 0, x);
                for (int k = 0; k < PM_SPEED_PAIRS; k++) x[k] += common[b][k];
                both = batch(x, 0, a) == PM_SPEED_SLOWER;
            }
            any |= both;
        }
        wrong += any;
    }
    if (getenv("PEFTMETER_SLOW")) printf("%d of %d checks of %d units are wrong\n", wrong, checks, UNITS);
    CHECK(wrong <= 0.01 * checks + 3.09 * sqrt(0.01 * 0.99 * checks));
    pm_arena_free(a);
}

static void speed_finds_a_slowdown_of_10_percent(void) {
    pm_arena *a = pm_arena_new("test", 0);
    const noise quiet = {"", 0.02, 0.3, false}, loud = {"", 0.05, 0.3, false}, still = {"", 0.003, 0, false};
    CHECK(called(&quiet, log(1.1), PM_SPEED_LEAST, 400, 50, a) >= 396);
    CHECK(called(&loud, log(1.1), PM_SPEED_LEAST, 400, 51, a) >= 380);
    CHECK(called(&still, log(1.02), PM_SPEED_LEAST, 400, 52, a) == 0); /* real, and below what is called */
    pm_arena_free(a);
}

static void speed_judges_by_p_and_by_size(void) {
    pm_arena *a = pm_arena_new("test", 0);
    double x[7] = {.05, .06, .07, .08, .04, .05, .06}, y[7] = {.01, .02, .01, .015, .012, .013, .011},
           z[7] = {.3, -.3, .2, -.2, .1, -.1, .5};
    pm_speed_test t = pm_speed_judge(x, 0, PM_SPEED_LEAST, a);
    CHECK_EQ_INT(t.verdict, PM_SPEED_SLOWER);
    CHECK_REL(t.p, 1.0 / 128, 1e-12);
    CHECK_REL(t.slowdown, expm1(.06), 0.02);
    CHECK_EQ_INT(pm_speed_judge(x, 0, 0.07, a).verdict, PM_SPEED_OPEN);
    CHECK_EQ_INT(pm_speed_judge(y, 0, PM_SPEED_LEAST, a).verdict, PM_SPEED_SAME);
    CHECK_EQ_INT(pm_speed_judge(z, 0, PM_SPEED_LEAST, a).verdict, PM_SPEED_OPEN);
    for (int i = 0; i < 7; i++) x[i] = -x[i];
    CHECK_EQ_INT(pm_speed_judge(x, 0, PM_SPEED_LEAST, a).verdict, PM_SPEED_SAME);
    pm_arena_free(a);
}

/* The place is where the test turns: with the mean there above 0 it is within alpha, below 0 not. */
static void speed_places_agree_with_the_test(void) {
    pm_arena *a = pm_arena_new("test", 0);
    pm_rng r = pm_rng_make(3, 0);
    for (int look = 0; look < PM_SPEED_LOOKS; look++) {
        int n = pm_speed_looks[look].pairs;
        int64_t place = pm_rank_place(n, pm_speed_looks[look].alpha, a);
        for (int i = 0; i < 50; i++) {
            double x[PM_SPEED_PAIRS], means[PM_SPEED_PAIRS * (PM_SPEED_PAIRS + 1) / 2];
            for (int k = 0; k < n; k++) x[k] = pm_rng_normal(&r) + 0.5;
            pm_pair_means(x, n, means);
            bool within = pm_signed_rank_test(x, n, a).p_high <= pm_speed_looks[look].alpha;
            CHECK_EQ_INT(within, means[place] > 0);
        }
    }
    pm_arena_free(a);
}

/* What the certificate says is found is found: in 9 of 10 tries of two batches, on noise like what it saw; half of it is not. */
static void speed_certificate_keeps_its_word(void) {
    pm_arena *a = pm_arena_new("test", 0);
    const noise w = {"", 0.03, 0, false};
    pm_rng r = pm_rng_make(5, 0);
    double x[300];
    for (int i = 0; i < 300; i += PM_SPEED_PAIRS) draw(&r, &w, 0, x + i);
    pm_noise c = pm_noise_certify(x, 300, 1, a);
    for (int look = 1; look < PM_SPEED_LOOKS; look++) {
        CHECK(c.floor[look] < c.floor[look - 1]);
        CHECK(c.found[look] <= c.found[look - 1]);
        CHECK(c.found[look] > c.floor[look]);
    }
    int both = 0, half = 0;
    for (int i = 0; i < 500; i++) {
        bool yes[2] = {true, true};
        for (int b = 0; b < 2; b++)
            for (int h = 0; h < 2; h++) {
                double y[PM_SPEED_PAIRS];
                pm_verdict v = PM_SPEED_OPEN;
                draw(&r, &w, log1p(c.found[2] / (h + 1)), y);
                for (int look = 0; look < PM_SPEED_LOOKS && v == PM_SPEED_OPEN; look++)
                    v = pm_speed_judge(y, look, fmax(PM_SPEED_LEAST, c.floor[look]), a).verdict;
                yes[h] = yes[h] && v == PM_SPEED_SLOWER;
            }
        both += yes[0], half += yes[1];
    }
    CHECK(both >= 420 &&
          both <= 480); /* 450 and 3 standard errors, and what 300 numbers and 500 draws leave open */
    CHECK(half < 150);
    pm_arena_free(a);
}

int main(void) {
    RUN(speed_calls_unchanged_builds_slower_in_at_most_1_percent);
    RUN(speed_spends_its_alpha_and_no_more);
    RUN(speed_checks_of_many_units_are_wrong_in_at_most_1_percent);
    RUN(speed_finds_a_slowdown_of_10_percent);
    RUN(speed_judges_by_p_and_by_size);
    RUN(speed_places_agree_with_the_test);
    RUN(speed_certificate_keeps_its_word);
    return check_done();
}
