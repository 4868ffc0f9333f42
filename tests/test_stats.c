/* test_stats.c - comparisons' statistics against scipy, statsmodels and R, and by enumeration. */
#include "golden/stats.h"
#include "stats.h"

#include "check.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void stats_mcnemar_equals_statsmodels(void) {
    for (size_t i = 0; i < COUNT(golden_mcnemar); i++) {
        CHECK_REL(pm_mcnemar(golden_mcnemar[i].b, golden_mcnemar[i].c), golden_mcnemar[i].p, 1e-9);
        CHECK_REL(pm_mcnemar(golden_mcnemar[i].c, golden_mcnemar[i].b), golden_mcnemar[i].p, 1e-9);
    }
}

/* All tables up to n = 60 by plain counting of outcomes: Pascal's triangle is exact there. */
static void stats_mcnemar_equals_enumeration(void) {
    double row[64] = {1};
    for (int n = 1; n <= 60; n++) {
        for (int k = n; k > 0; k--) row[k] += row[k - 1];
        for (int b = 0; b <= n; b++) {
            double tail = 0;
            for (int k = 0; k <= (b < n - b ? b : n - b); k++) tail += row[k];
            CHECK_REL(pm_mcnemar(b, n - b), fmin(1, ldexp(tail, 1 - n)), 1e-12);
        }
    }
}

static void stats_wilson_equals_scipy(void) {
    for (size_t i = 0; i < COUNT(golden_wilson); i++) {
        pm_interval got = pm_wilson(golden_wilson[i].k, golden_wilson[i].n);
        CHECK_NEAR(got.low, golden_wilson[i].low, 1e-12);
        CHECK_NEAR(got.high, golden_wilson[i].high, 1e-12);
    }
}

static void stats_paired_difference_equals_its_definition(void) {
    for (size_t i = 0; i < COUNT(golden_paired); i++) {
        pm_interval got = pm_paired_difference(golden_paired[i].both, golden_paired[i].only_a,
                                               golden_paired[i].only_b, golden_paired[i].neither);
        CHECK_NEAR(got.low, golden_paired[i].low, 1e-12);
        CHECK_NEAR(got.high, golden_paired[i].high, 1e-12);
    }
}

/* What R's contingencytables 3 prints (its tests/testthat/test-ch8.R) for complete responses before and after therapy, Cavo et al. 2012. */
static void stats_paired_difference_equals_r(void) {
    pm_interval got = pm_paired_difference(59, 6, 16, 80);
    CHECK_NEAR(got.low, -0.1186, 5e-5);
    CHECK_NEAR(got.high, -0.0046, 5e-5);
}

static void stats_paired_difference_is_antisymmetric(void) {
    for (int a = 0; a < 6; a++)
        for (int b = 0; b < 6; b++)
            for (int c = 0; c < 6; c++) {
                pm_interval x = pm_paired_difference(a, b, c, 1), y = pm_paired_difference(a, c, b, 1);
                CHECK_NEAR(x.low, -y.high, 1e-15);
                CHECK_NEAR(x.high, -y.low, 1e-15);
                CHECK(x.low >= -1 && x.high <= 1 && x.low <= x.high);
            }
}

static void stats_mean_equals_scipy(void) {
    for (size_t i = 0; i < COUNT(golden_mean); i++) {
        pm_summary got = pm_mean(golden_mean[i].x, golden_mean[i].n);
        CHECK_REL(got.mean, golden_mean[i].mean, 1e-12);
        if (isnan(golden_mean[i].stderr_))
            CHECK(isnan(got.stderr_));
        else
            CHECK_REL(got.stderr_, golden_mean[i].stderr_, 1e-9);
    }
    CHECK(isnan(pm_mean(NULL, 0).mean));
}

static void stats_proportion_is_the_mean_of_its_items(void) {
    double x[25];
    for (int k = 0; k <= 25; k++) {
        for (int i = 0; i < 25; i++) x[i] = i < k;
        pm_summary a = pm_proportion(k, 25), b = pm_mean(x, 25);
        CHECK_NEAR(a.mean, b.mean, 1e-15);
        CHECK_NEAR(a.stderr_, b.stderr_, 1e-15);
    }
    CHECK(isnan(pm_proportion(0, 0).mean) && isnan(pm_proportion(1, 1).stderr_));
}

int main(void) {
    RUN(stats_mcnemar_equals_statsmodels);
    RUN(stats_mcnemar_equals_enumeration);
    RUN(stats_wilson_equals_scipy);
    RUN(stats_paired_difference_equals_its_definition);
    RUN(stats_paired_difference_equals_r);
    RUN(stats_paired_difference_is_antisymmetric);
    RUN(stats_mean_equals_scipy);
    RUN(stats_proportion_is_the_mean_of_its_items);
    return check_done();
}
