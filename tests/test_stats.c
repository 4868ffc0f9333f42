/* test_stats.c - statistics against scipy, statsmodels and R, by enumeration, and by what must hold for any input. */
#include "golden/stats.h"
#include "stats_dist.h"
#include "stats_plan.h"
#include "stats_run.h"
#include "stats_sample.h"
#include "stats_table.h"

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

/* ---- distributions ------------------------------------------------------------------------------------------------------- */

static void stats_quantiles_equal_scipy(void) {
    for (size_t i = 0; i < COUNT(golden_t); i++) {
        CHECK_REL(pm_t_outside(golden_t[i].p, golden_t[i].df), golden_t[i].t, 1e-9);
        CHECK_REL(pm_t_tails(golden_t[i].t, golden_t[i].df), golden_t[i].p, 1e-9);
    }
    for (size_t i = 0; i < COUNT(golden_normal); i++) {
        CHECK_REL(pm_normal_outside(golden_normal[i].p), golden_normal[i].z, 1e-10);
        CHECK_REL(pm_normal_tails(golden_normal[i].z), golden_normal[i].p, 1e-10);
    }
    for (size_t i = 0; i < COUNT(golden_chi2); i++) {
        CHECK_REL(pm_chi2_quantile(golden_chi2[i].p, golden_chi2[i].df), golden_chi2[i].x, 1e-9);
        CHECK_REL(pm_chi2_below(golden_chi2[i].x, golden_chi2[i].df), golden_chi2[i].p, 1e-9);
    }
    CHECK_NEAR(pm_normal_below(-1) + pm_normal_below(1), 1, 1e-15);
}

/* What leaves the range of a double, and the ends. */
static void stats_distributions_hold_at_the_ends(void) {
    CHECK_EQ_INT(pm_t_tails((double)INFINITY, 2), 0);
    CHECK_NEAR(pm_t_tails(0, 5), 1, 0);
    CHECK_EQ_INT(pm_chi2_below(0, 3), 0);
    CHECK_NEAR(pm_chi2_below(1e6, 3), 1, 0);
    CHECK_REL(pm_t_tails(pm_t_outside(1e-200, 3), 3), 1e-200, 1e-10);
    CHECK_REL(pm_normal_tails(pm_normal_outside(1e-200)), 1e-200, 1e-10);
}

/* ---- one sample ---------------------------------------------------------------------------------------------------------- */

static pm_arena *arena;

static void check_limit(double got, double want) {
    if (isfinite(want))
        CHECK_NEAR(got, want, 1e-9 * fmax(1, fabs(want)));
    else if (isnan(want))
        CHECK(isnan(got));
    else
        CHECK(got == want);
}

static void stats_samples_equal_scipy(void) {
    for (size_t i = 0; i < COUNT(golden_sample); i++) {
        const double *d = golden_sample[i].d;
        int n = golden_sample[i].n;
        CHECK_REL(pm_sign_flip(d, n, 0), golden_sample[i].flip, 1e-12);
        pm_signed_rank r = pm_signed_rank_test(d, n, arena);
        CHECK_NEAR(r.w_plus, golden_sample[i].w_plus, 0);
        CHECK_REL(r.p, golden_sample[i].rank, 1e-12);
        pm_shift s = pm_hodges_lehmann(d, n, arena);
        check_limit(s.estimate, golden_sample[i].shift);
        check_limit(s.interval.low, golden_sample[i].shift_low);
        check_limit(s.interval.high, golden_sample[i].shift_high);
        pm_interval t = pm_t_interval(d, n);
        check_limit(t.low, golden_sample[i].t_low);
        check_limit(t.high, golden_sample[i].t_high);
    }
    CHECK_NEAR(pm_sign_flip(NULL, 0, 0), 1, 0);
}

/* Drawn flips: near the exact p of as many seeds, the same for the same seed, never 0. */
static void stats_drawn_flips_are_near_the_exact(void) {
    double d[24];
    for (int i = 0; i < 24; i++) d[i] = i % 3 == 0 ? -0.5 : 0.3 + 0.01 * i;
    double all = pm_sign_flip(d, 20, 0);
    for (int i = 20; i < 24; i++)
        d[i] = 0; /* adds nothing but signs: more than PM_FLIP_EXACT differences, the same p */
    CHECK_NEAR(pm_sign_flip(d, 24, 7), all, 4 * sqrt(all * (1 - all) / PM_FLIP_DRAWS));
    CHECK(pm_sign_flip(d, 24, 7) == pm_sign_flip(d, 24, 7));
    CHECK(pm_sign_flip(d, 24, 7) != pm_sign_flip(d, 24, 8));
    for (int i = 0; i < 24; i++) d[i] = 1;
    CHECK_NEAR(pm_sign_flip(d, 24, 1), 1.0 / (PM_FLIP_DRAWS + 1), 1e-15);
}

/* Its limits are the normal ones for a mean of many; the same bits for the same seed; one value has no spread. */
static void stats_bootstrap_covers_the_mean(void) {
    double x[400];
    for (int i = 0; i < 400; i++) x[i] = i % 5 == 0;
    pm_interval b = pm_bootstrap(x, 400, 3, arena), again = pm_bootstrap(x, 400, 3, arena);
    pm_summary m = pm_mean(x, 400);
    CHECK_NEAR(b.low, m.mean - 1.96 * m.stderr_, 0.1 * m.stderr_);
    CHECK_NEAR(b.high, m.mean + 1.96 * m.stderr_, 0.1 * m.stderr_);
    CHECK(b.low == again.low && b.high == again.high);
    pm_interval one = pm_bootstrap(x, 1, 0, arena);
    CHECK(one.low == 1 && one.high == 1);
}

/* ---- two methods, two models --------------------------------------------------------------------------------------------- */

enum { MOST = 256 };
/* Rows of floats, and pointers to them. */
typedef struct rows {
    float x[MOST];
    const float *run[MOST];
} rows;
static const rows *to_rows(const double *x, int runs, int items, rows *r) {
    for (int i = 0; i < runs * items; i++) r->x[i] = (float)x[i];
    for (int k = 0; k < runs; k++) r->run[k] = r->x + k * items;
    return r;
}

static void stats_methods_equal_statsmodels(void) {
    for (size_t i = 0; i < COUNT(golden_methods); i++) {
        int S = golden_methods[i].seeds, U = golden_methods[i].items;
        rows a, b;
        to_rows(golden_methods[i].a, S, U, &a);
        to_rows(golden_methods[i].b, S, U, &b);
        pm_items items = {U, NULL, 0};
        pm_method_difference d;
        CHECK(pm_compare_methods(a.run, b.run, S, &items, arena, &d));
        CHECK_REL(d.effect, golden_methods[i].effect, 1e-9);
        CHECK_REL(d.var_seeds, golden_methods[i].seed, 1e-9);
        CHECK_REL(d.var_units, golden_methods[i].unit, 1e-9);
        CHECK_REL(d.var_noise, golden_methods[i].noise, 1e-9);
        CHECK_NEAR(d.interval.low, golden_methods[i].low, 1e-9);
        CHECK_NEAR(d.interval.high, golden_methods[i].high, 1e-9);
        CHECK_REL(d.p, golden_methods[i].p, 1e-9);
        CHECK_REL(pm_method_p(&d, 0.05), golden_methods[i].p_margin, 1e-9);
    }
}

/* Missing seeds and items are those of the runs that have them; a cluster of one item is an item. */
static void stats_methods_take_what_both_have(void) {
    rows a, b;
    int S = golden_methods[0].seeds, U = golden_methods[0].items;
    to_rows(golden_methods[0].a, S, U, &a);
    to_rows(golden_methods[0].b, S, U, &b);
    pm_items items = {U, NULL, 0}, fewer = {U - 2, NULL, 0};
    pm_method_difference d, e;
    const float *lacks[3] = {b.run[0], NULL, b.run[2]}, *without[2] = {a.run[0], a.run[2]},
                *other[2] = {b.run[0], b.run[2]};
    a.x[2 * U + U - 1] = NAN;
    b.x[U - 2] = NAN;
    CHECK(pm_compare_methods(a.run, lacks, 3, &items, arena, &d));
    CHECK(pm_compare_methods(without, other, 2, &fewer, arena, &e));
    CHECK_EQ_INT(d.n_items, U - 2);
    CHECK_EQ_INT(d.n_seeds, 2);
    CHECK(d.effect == e.effect && d.p == e.p && d.interval.low == e.interval.low);
    int32_t own[MOST];
    for (int i = 0; i < U; i++) own[i] = U - 1 - i;
    pm_items clustered = {U, own, U};
    CHECK(pm_compare_methods(a.run, lacks, 3, &clustered, arena, &e));
    CHECK_REL(e.p, d.p, 1e-9);
    const float *one[3] = {NULL, NULL, b.run[2]};
    CHECK(!pm_compare_methods(a.run, one, 3, &items, arena, &e));
}

/* The statement about two models and, in it, clusters: OLS of the differences on a constant with clustered errors. */
static void stats_clusters_equal_statsmodels(void) {
    static const float nought[MOST];
    for (size_t i = 0; i < COUNT(golden_clusters); i++) {
        rows d;
        int32_t cluster[MOST];
        int n = golden_clusters[i].items;
        to_rows(golden_clusters[i].d, 1, n, &d);
        for (int k = 0; k < n; k++) cluster[k] = golden_clusters[i].cluster[k];
        pm_items items = {n, cluster, golden_clusters[i].clusters};
        pm_model_difference m;
        CHECK(pm_compare_models(d.x, nought, &items, arena, &m));
        double half = (golden_clusters[i].high - golden_clusters[i].low) / 2;
        CHECK_REL(m.effect, golden_clusters[i].effect, 1e-9);
        CHECK_REL(m.p, golden_clusters[i].p, 1e-9);
        CHECK_REL((m.interval.high - m.interval.low) / 2, half, 1e-9);
        CHECK_EQ_INT(m.n_units, golden_clusters[i].clusters);
        CHECK(!m.binary);
    }
}

/* Right and wrong in clusters: the difference, and what one run says. */
static void stats_right_in_clusters_equals_scipy(void) {
    for (size_t i = 0; i < COUNT(golden_right); i++) {
        float a[60], b[60];
        int32_t cluster[60];
        int n = golden_right[i].items;
        for (int k = 0; k < n; k++) {
            a[k] = (float)golden_right[i].a[k];
            b[k] = (float)golden_right[i].b[k];
            cluster[k] = golden_right[i].cluster[k];
        }
        pm_items items = {n, cluster, golden_right[i].clusters};
        pm_model_difference m;
        CHECK(pm_compare_models(a, b, &items, arena, &m));
        CHECK(m.binary && m.clustered);
        CHECK_EQ_INT(m.both + m.only_a + m.only_b + m.neither, n);
        CHECK_REL(m.effect, golden_right[i].effect, 1e-9);
        CHECK_REL(m.stderr_, golden_right[i].stderr_, 1e-9);
        CHECK_NEAR(m.interval.low, golden_right[i].low, 1e-9);
        CHECK_NEAR(m.interval.high, golden_right[i].high, 1e-9);
        CHECK_REL(m.p, golden_right[i].p, 1e-9);
        pm_run_mean r = pm_mean_of_run(a, &items, arena);
        CHECK_REL(r.mean, golden_right[i].run[0], 1e-9);
        CHECK_NEAR(r.stderr_, golden_right[i].run[1], 1e-9);
        CHECK_NEAR(r.interval.low, golden_right[i].run[2], 1e-9);
        CHECK_NEAR(r.interval.high, golden_right[i].run[3], 1e-9);
        CHECK_EQ_INT(r.n_units, golden_right[i].clusters);
    }
}

static void stats_whole_flips_equal_counting(void) {
    for (size_t i = 0; i < COUNT(golden_whole); i++) {
        int64_t d[200];
        double x[200];
        int n = golden_whole[i].n;
        for (int k = 0; k < n; k++) x[k] = (double)(d[k] = golden_whole[i].d[k]);
        CHECK_REL(pm_sign_flip_whole(d, n, arena), golden_whole[i].p, 1e-12);
        if (n <= PM_FLIP_EXACT) CHECK_REL(pm_sign_flip(x, n, 0), golden_whole[i].p, 1e-12);
    }
    CHECK_NEAR(pm_sign_flip_whole(NULL, 0, arena), 1, 0);
}

/* Clusters of one item are items: McNemar's test; of more items they are worth fewer, and the interval is wider. */
static void stats_clusters_of_one_are_items(void) {
    enum { N = 600 };
    float a[N], b[N];
    int32_t own[N], shared[N];
    for (int i = 0; i < N; i++) {
        a[i] = i / 10 % 3 != 0; /* ten of a kind in a row */
        b[i] = i / 10 % 4 == 0;
        own[i] = N - 1 - i;
        shared[i] = i / 10;
    }
    pm_items alone = {N, NULL, 0}, ones = {N, own, N}, tens = {N, shared, N / 10};
    pm_model_difference m, of_ones, of_tens;
    CHECK(pm_compare_models(a, b, &alone, arena, &m) && pm_compare_models(a, b, &ones, arena, &of_ones) &&
          pm_compare_models(a, b, &tens, arena, &of_tens));
    CHECK_REL(of_ones.p, m.p, 1e-12);
    CHECK_NEAR(of_ones.effect, m.effect, 1e-15);
    CHECK(of_tens.p > m.p && of_tens.stderr_ > 3 * m.stderr_ && of_tens.n_units == N / 10);
    CHECK(pm_model_detectable(&of_tens, 0.05) > 3 * pm_model_detectable(&of_ones, 0.05));
    CHECK_REL(pm_model_detectable(&m, 0.05),
              pm_mcnemar_detectable(N, (double)(m.only_a + m.only_b) / N, 0.05), 1e-15);
    CHECK_REL(pm_model_detectable(&of_ones, 0.05),
              (pm_t_outside(0.05, N - 1) + pm_normal_outside(0.4)) * of_ones.stderr_, 1e-9);
    pm_run_mean r = pm_mean_of_run(a, &alone, arena), of_own = pm_mean_of_run(a, &ones, arena),
                of_shared = pm_mean_of_run(a, &tens, arena);
    CHECK(r.interval.low == pm_wilson(400, N).low && r.stderr_ == pm_proportion(400, N).stderr_);
    CHECK_REL(of_own.stderr_, r.stderr_, 1e-9);
    CHECK_NEAR(of_own.interval.low, r.interval.low, 2e-4); /* Student's t instead of z */
    CHECK(of_shared.stderr_ > 3 * r.stderr_ && of_shared.interval.low < r.interval.low - 0.05);
    pm_interval items, clusters, again;
    CHECK(pm_bootstrap_models(a, b, &alone, 1, arena, &items) &&
          pm_bootstrap_models(a, b, &tens, 1, arena, &clusters) &&
          pm_bootstrap_models(a, b, &tens, 1, arena, &again));
    CHECK_NEAR(clusters.low, of_tens.effect - 1.96 * of_tens.stderr_, 0.1 * of_tens.stderr_);
    CHECK_NEAR(items.low, m.effect - 1.96 * m.stderr_, 0.1 * m.stderr_);
    CHECK(clusters.low == again.low && clusters.high == again.high);
}

/* All right, or all in one cluster, or nothing at all. */
static void stats_runs_have_ends(void) {
    float x[20], score[20], none[20];
    int32_t cluster[20], one[20] = {0};
    for (int i = 0; i < 20; i++) x[i] = 1, score[i] = (float)i, none[i] = NAN, cluster[i] = i / 5;
    pm_items items = {20, cluster, 4}, together = {20, one, 1}, alone = {20, NULL, 0};
    pm_run_mean r = pm_mean_of_run(x, &items, arena);
    CHECK(r.mean == 1 && r.stderr_ == 0 && r.interval.high == 1);
    double t = pm_t_outside(0.05, 3);
    CHECK_REL(r.interval.low, 4 / (4 + t * t), 1e-12); /* four things were seen, not twenty */
    for (int i = 0; i < 20; i++)
        x[i] = i % 5 < 3; /* clusters that do not differ: worth all their items, not more */
    r = pm_mean_of_run(x, &items, arena);
    CHECK(r.stderr_ == 0 && r.interval.low == pm_score_interval(0.6, 20, t).low);
    for (int i = 0; i < 20; i++) x[i] = 1;
    r = pm_mean_of_run(x, &together, arena);
    CHECK(r.mean == 1 && isnan(r.stderr_) && isnan(r.interval.low));
    r = pm_mean_of_run(none, &items, arena);
    CHECK(isnan(r.mean) && isnan(r.stderr_) && r.n_items == 0);
    r = pm_mean_of_run(none, &alone, arena);
    CHECK(isnan(r.mean) && isnan(r.interval.low));
    r = pm_mean_of_run(score, &alone, arena);
    double d[20];
    for (int i = 0; i < 20; i++) d[i] = i;
    CHECK_NEAR(r.interval.low, pm_t_interval(d, 20).low, 1e-12);
    CHECK_NEAR(r.mean, 9.5, 1e-12);
}

static void stats_models_are_mcnemar_when_binary(void) {
    float a[12] = {1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0}, b[12] = {0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 0, 1};
    pm_items items = {12, NULL, 0};
    pm_model_difference m;
    CHECK(pm_compare_models(a, b, &items, arena, &m));
    CHECK(m.binary && !m.clustered && m.both == 2 && m.only_a == 6 && m.only_b == 2 && m.neither == 2);
    CHECK(m.p == pm_mcnemar(6, 2));
    CHECK(m.interval.low == pm_paired_difference(2, 6, 2, 2).low);
    CHECK_REL(m.effect, 4.0 / 12, 1e-15);
    a[3] = NAN;
    CHECK(pm_compare_models(a, b, &items, arena, &m));
    CHECK(m.only_a == 5 && m.n_items == 11);
}

/* ---- families ------------------------------------------------------------------------------------------------------------ */

static void stats_holm_equals_statsmodels(void) {
    for (size_t i = 0; i < COUNT(golden_holm); i++) {
        double got[6];
        pm_holm(golden_holm[i].p, golden_holm[i].n, arena, got);
        for (int k = 0; k < golden_holm[i].n; k++) CHECK_REL(got[k], golden_holm[i].holm[k], 1e-12);
    }
    double p[3] = {0.04, (double)NAN, 0.01};
    pm_holm(p, 3, arena, p);
    CHECK(p[0] == 0.04 && isnan(p[1]) && p[2] == 0.02);
}

static bool share(const char *a, const char *b) {
    return a[strcspn(a, b)] != 0;
}

/* All sets of decisions among five: two share a letter exactly when they are not told apart, nobody is without one, none is too many. */
static void stats_letters_say_the_decisions(void) {
    enum { N = 5, PAIRS = N * (N - 1) / 2 };
    static const int order[N] = {3, 0, 4, 1, 2};
    for (int set = 0; set < 1 << PAIRS; set++) {
        bool differ[PAIRS];
        char out[N][PM_LETTERS_MAX + 1];
        for (int k = 0; k < PAIRS; k++) differ[k] = set >> k & 1;
        CHECK(pm_tie_letters(differ, order, N, out));
        for (int i = 0; i < N; i++)
            for (int j = i + 1; j < N; j++) CHECK(share(out[i], out[j]) == !differ[pm_pair(i, j, N)]);
        for (int i = 0; i < N; i++) CHECK(*out[i]);
        CHECK(out[3][0] == 'a');
    }
}

static void stats_letters_absorb(void) {
    bool differ[6] = {false};
    int order[4] = {0, 1, 2, 3};
    char out[4][PM_LETTERS_MAX + 1];
    differ[pm_pair(0, 3, 4)] = differ[pm_pair(0, 2, 4)] = true;
    CHECK(pm_tie_letters(differ, order, 4, out));
    CHECK_EQ_STR(out[0], "a");
    CHECK_EQ_STR(out[1], "ab");
    CHECK_EQ_STR(out[2], "b");
    CHECK_EQ_STR(out[3], "b");
}

/* 64 things in a chain, each told apart from all but its neighbours: 63 groups are too many letters; 65 are too many things. */
static void stats_letters_run_out(void) {
    enum { N = 65 };
    static bool differ[N * (N - 1) / 2];
    static char out[N][PM_LETTERS_MAX + 1];
    int order[N];
    for (int i = 0; i < N; i++) order[i] = i;
    for (int n = 26; n <= N; n++) {
        for (int i = 0; i < n; i++)
            for (int j = i + 1; j < n; j++) differ[pm_pair(i, j, n)] = j - i > 1;
        bool fits = n <= PM_LETTERS_MAX + 1; /* n - 1 groups */
        CHECK_EQ_INT(pm_tie_letters(differ, order, n, out), fits);
        CHECK_EQ_STR(out[n - 1], fits ? n == 26 ? "y" : "z" : "");
    }
    memset(differ, 0, sizeof differ);
    CHECK(pm_tie_letters(differ, order, 64, out));
    CHECK_EQ_STR(out[63], "a");
}

static pm_method_difference made_up(double effect, double se) {
    return (pm_method_difference){.effect = effect,
                                  .var_seeds = se * se / 2,
                                  .var_units = se * se / 2,
                                  .df_seeds = 9,
                                  .df_units = 999,
                                  .n_seeds = 10,
                                  .n_items = 1000,
                                  .n_units = 1000};
}

static void stats_claims_are_decided_by_the_margin(void) {
    pm_method_difference d = made_up(0.03, 0.002), wide = made_up(0.03, 0.05);
    const pm_method_difference *of[5] = {&d, &d, &d, &wide, NULL};
    double margin[5] = {0.01, 0.06, 0.03, 0.01, 0}, p[5];
    static const pm_verdict want[5] = {PM_SUPPORTED, PM_REFUTED, PM_UNDECIDED, PM_UNDECIDED, PM_UNDECIDED};
    pm_verdict got[5];
    pm_claims(of, margin, 5, arena, got, p);
    for (int i = 0; i < 5; i++) CHECK_EQ_STR(pm_verdict_name(got[i]), pm_verdict_name(want[i]));
    CHECK_REL(p[0], 3 * pm_method_p(&d, 0.01), 1e-9); /* of four tested, the second */
    CHECK(isnan(p[4]));
}

/* The p of a margin is the level whose interval ends there. */
static void stats_p_and_interval_agree(void) {
    pm_method_difference d = made_up(0.03, 0.01);
    for (double p = 1e-12; p < 1; p *= 7) {
        pm_interval i = pm_method_interval(&d, p);
        CHECK_REL(pm_method_p(&d, i.low), p, 1e-9);
        CHECK_REL(pm_method_p(&d, i.high), p, 1e-9);
    }
    CHECK_NEAR(pm_method_p(&d, 0.03), 1, 0);
}

/* ---- columns ------------------------------------------------------------------------------------------------------------- */

static void stats_columns_equal_quadrature(void) {
    for (size_t i = 0; i < COUNT(golden_column); i++) {
        int M = golden_column[i].methods, S = golden_column[i].seeds, U = golden_column[i].items;
        rows x;
        to_rows(golden_column[i].x, M * S, U, &x);
        pm_items items = {U, NULL, 0};
        pm_table_column t;
        pm_compare_table(x.run, M, S, &items, true, golden_column[i].columns, arena, &t);
        for (int k = 0; k < M * (M - 1) / 2; k++) {
            CHECK_NEAR(t.pair[k].effect, golden_column[i].pair[k][0], 1e-9);
            CHECK_NEAR(t.pair[k].interval.low, golden_column[i].pair[k][1], 1e-9);
            CHECK_NEAR(t.pair[k].interval.high, golden_column[i].pair[k][2], 1e-9);
            CHECK_REL(t.pair[k].p, golden_column[i].pair[k][3], 1e-9);
        }
    }
}

/* Seven runs of three methods; the third has one seed and is not compared. */
static void stats_columns_leave_out_single_seeds(void) {
    rows x;
    to_rows(golden_column[1].x, 15, 12, &x);
    const float *run[9] = {x.run[0], x.run[1], x.run[2], x.run[3], x.run[4], NULL, NULL, x.run[5], NULL};
    pm_items items = {12, NULL, 0};
    pm_table_column t, two;
    pm_compare_table(run, 3, 3, &items, false, 1, arena, &t);
    pm_compare_table(run, 2, 3, &items, false, 1, arena, &two);
    CHECK_EQ_INT(t.n_compared, 2);
    CHECK_EQ_INT(t.df_seeds, 1);
    CHECK_EQ_INT(t.order[2], 2);
    CHECK(isnan(t.mean[2]) && !*t.letters[2] && !t.best[2] && isnan(t.pair[pm_pair(0, 2, 3)].p));
    CHECK(t.pair[0].p == two.pair[0].p);
    CHECK(t.mean[t.order[0]] <= t.mean[t.order[1]]);
    pm_compare_table(run + 6, 1, 3, &items, true, 1, arena, &t);
    CHECK_EQ_INT(t.n_compared, 0);
}

/* More methods than there are letters: the pairs are still judged. */
static void stats_columns_may_be_long(void) {
    enum { M = 70 };
    static float x[3 * M][8];
    const float *run[3 * M];
    for (int k = 0; k < 3 * M; k++) {
        for (int i = 0; i < 8; i++) x[k][i] = (float)(100 * (k / 3) + i % 3 + k % 3);
        run[k] = x[k];
    }
    pm_items items = {8, NULL, 0};
    pm_table_column t;
    pm_compare_table(run, M, 3, &items, true, 1, arena, &t);
    CHECK_EQ_INT(t.n_compared, M);
    CHECK_EQ_INT(t.order[0], M - 1);
    CHECK(t.best[M - 1] && !t.best[0] && t.pair[pm_pair(0, M - 1, M)].p < 0.05 && !*t.letters[0]);
}

/* ---- plans --------------------------------------------------------------------------------------------------------------- */

static void stats_mcnemar_power_equals_scipy(void) {
    for (size_t i = 0; i < COUNT(golden_mcnemar_power); i++)
        CHECK_REL(pm_mcnemar_detectable(golden_mcnemar_power[i].n, golden_mcnemar_power[i].discordance,
                                        golden_mcnemar_power[i].p),
                  golden_mcnemar_power[i].effect, 1e-9);
    CHECK(isnan(pm_mcnemar_detectable(10, 0.1, 0.05)));
}

/* The answer is the least: with it the effect is detectable, with one fewer it is not; what no number of items can mend is 0. */
static void stats_plans_are_least(void) {
    pm_method_difference d = made_up(0.02, 0.02);
    d.var_units = 1e-6;
    int64_t seeds = pm_seeds_needed(&d, 0, 0.05);
    CHECK(seeds > 10);
    pm_method_difference enough = d, short_ = d;
    double many = (double)seeds / 10, few = (double)(seeds - 1) / 10;
    enough.var_seeds /= many, enough.df_seeds = (double)seeds - 1;
    short_.var_seeds /= few, short_.df_seeds = (double)seeds - 2;
    CHECK(pm_method_detectable(&enough, 0.05) <= 0.02);
    CHECK(pm_method_detectable(&short_, 0.05) > 0.02);
    CHECK_EQ_INT(pm_items_needed(&d, 0, 0.05), 0);
    pm_method_difference clear = made_up(0.5, 0.02);
    CHECK_EQ_INT(pm_seeds_needed(&clear, 0, 0.05), 10);
    CHECK_EQ_INT(pm_items_needed(&clear, 0, 0.05), 1000);
}

int main(void) {
    arena = pm_arena_new("statistics", (size_t)1 << 28);
    RUN(stats_mcnemar_equals_statsmodels);
    RUN(stats_mcnemar_equals_enumeration);
    RUN(stats_wilson_equals_scipy);
    RUN(stats_paired_difference_equals_its_definition);
    RUN(stats_paired_difference_equals_r);
    RUN(stats_paired_difference_is_antisymmetric);
    RUN(stats_mean_equals_scipy);
    RUN(stats_proportion_is_the_mean_of_its_items);
    RUN(stats_quantiles_equal_scipy);
    RUN(stats_distributions_hold_at_the_ends);
    RUN(stats_samples_equal_scipy);
    RUN(stats_drawn_flips_are_near_the_exact);
    RUN(stats_bootstrap_covers_the_mean);
    RUN(stats_methods_equal_statsmodels);
    RUN(stats_methods_take_what_both_have);
    RUN(stats_clusters_equal_statsmodels);
    RUN(stats_right_in_clusters_equals_scipy);
    RUN(stats_whole_flips_equal_counting);
    RUN(stats_clusters_of_one_are_items);
    RUN(stats_runs_have_ends);
    RUN(stats_models_are_mcnemar_when_binary);
    RUN(stats_holm_equals_statsmodels);
    RUN(stats_letters_say_the_decisions);
    RUN(stats_letters_absorb);
    RUN(stats_letters_run_out);
    RUN(stats_claims_are_decided_by_the_margin);
    RUN(stats_p_and_interval_agree);
    RUN(stats_columns_equal_quadrature);
    RUN(stats_columns_leave_out_single_seeds);
    RUN(stats_columns_may_be_long);
    RUN(stats_mcnemar_power_equals_scipy);
    RUN(stats_plans_are_least);
    pm_arena_free(arena);
    return check_done();
}
