/* stats_sample.c - see stats_sample.h. */
#include "stats_sample.h"
#include "rng.h"
#include "stats_dist.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

void pm_sort(double *x, int64_t n) {
    if (n > 0) qsort(x, (size_t)n, sizeof *x, by_value);
}

double pm_quantile(const double *sorted, int64_t n, double q) {
    if (n < 1) return NAN;
    double at = q * (double)(n - 1);
    int64_t low = (int64_t)at;
    return low + 1 < n ? sorted[low] + (at - (double)low) * (sorted[low + 1] - sorted[low]) : sorted[n - 1];
}

static double *doubles(pm_arena *scratch, int64_t n) {
    return pm_arena_zalloc(scratch, (size_t)n * sizeof(double), PM_MEM_WORKSPACE);
}
static void give_back(pm_arena *scratch, double *x, int64_t n) {
    pm_arena_recycle(scratch, x, (size_t)n * sizeof(double), PM_MEM_WORKSPACE);
}

pm_interval pm_t_interval(const double *x, int64_t n) {
    pm_summary s = pm_mean(x, n);
    if (n < 2) return (pm_interval){(double)NAN, (double)NAN};
    double half = pm_t_outside(0.05, (double)(n - 1)) * s.stderr_;
    return (pm_interval){s.mean - half, s.mean + half};
}

/* ---- flips of signs ------------------------------------------------------------------------------------------------------ */

static double flipped_sum(const double *d, int n, uint32_t signs) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += signs >> i & 1 ? -d[i] : d[i];
    return fabs(sum);
}

/* Sums that differ by rounding only are equal: which order they were added in says nothing. */
static double slack(const double *d, int n) {
    double size = 0;
    for (int i = 0; i < n; i++) size += fabs(d[i]);
    return 1e-12 * size;
}

/* With the last sign fixed: a pattern and its opposite have the same |sum|. */
static double flip_all(const double *d, int n) {
    double least = flipped_sum(d, n, 0) - slack(d, n);
    uint32_t all = UINT32_C(1) << (n - 1), as_far = 0;
    for (uint32_t signs = 0; signs < all; signs++) as_far += flipped_sum(d, n, signs) >= least;
    return (double)as_far / all;
}

static double random_sum(const double *d, int n, pm_rng *r) {
    double sum = 0;
    uint32_t word = 0;
    for (int i = 0; i < n; i++) {
        if (i % 32 == 0) word = pm_rng_u32(r);
        sum += word >> i % 32 & 1 ? -d[i] : d[i];
    }
    return fabs(sum);
}

static double flip_some(const double *d, int n, uint64_t seed) {
    pm_rng r = pm_rng_make(seed, 0);
    double least = -slack(d, n), sum = 0;
    int as_far = 1; /* as they are */
    for (int i = 0; i < n; i++) sum += d[i];
    least += fabs(sum);
    for (int k = 0; k < PM_FLIP_DRAWS; k++) as_far += random_sum(d, n, &r) >= least;
    return (double)as_far / (PM_FLIP_DRAWS + 1);
}

double pm_sign_flip(const double *d, int n, uint64_t seed) {
    if (n < 1) return 1;
    return n <= PM_FLIP_EXACT ? flip_all(d, n) : flip_some(d, n, seed);
}

/* ---- signed ranks -------------------------------------------------------------------------------------------------------- */

typedef struct sized {
    double size;
    bool positive;
} sized;

static int by_size(const void *x, const void *y) {
    double a = ((const sized *)x)->size, b = ((const sized *)y)->size;
    return (a > b) - (a < b);
}

static int drop_zeros(const double *d, int n, sized *out) {
    int left = 0;
    for (int i = 0; i < n; i++)
        if (d[i] != 0) out[left++] = (sized){fabs(d[i]), d[i] > 0};
    qsort(out, (size_t)left, sizeof *out, by_size);
    return left;
}

/* Twice the mean rank of the equal values from first on, which is whole; *end is where they end. */
static int doubled_rank(const sized *x, int n, int first, int *end) {
    for (*end = first; *end < n && x[*end].size == x[first].size; (*end)++) {
    }
    return first + 1 + *end;
}

/* share[w] = probability that the sizes (of ranks: doubled) with a positive sign sum to w, when every sign is a fair coin; top: their sum so far. */
static void add_size(double *share, int64_t top, int64_t size) {
    for (int64_t w = top + size; w >= 0; w--)
        share[w] = 0.5 * ((w <= top ? share[w] : 0) + (w >= size ? share[w - size] : 0));
}

static double at_most(const double *share, int64_t w) {
    double sum = 0;
    for (int64_t k = 0; k <= w; k++) sum += share[k];
    return fmin(1, sum);
}

double pm_sign_flip_whole(const int64_t *d, int64_t n, pm_arena *scratch) {
    int64_t all = 0, positive = 0, top = 0;
    for (int64_t i = 0; i < n; i++) all += d[i] < 0 ? -d[i] : d[i], positive += d[i] > 0 ? d[i] : 0;
    double *share = doubles(scratch, all + 1);
    share[0] = 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t size = d[i] < 0 ? -d[i] : d[i];
        add_size(share, top, size);
        top += size;
    }
    int64_t least = positive < all - positive ? positive : all - positive;
    double p = fmin(1, 2 * at_most(share, least)); /* the sums are symmetric */
    give_back(scratch, share, all + 1);
    return p;
}

typedef struct rank_sum {
    int64_t positive, top; /* doubled ranks: of the positive differences, of all */
    double squares;        /* sum over all of the doubled rank squared */
} rank_sum;

/* share, where not NULL, is filled as by add_size. */
static rank_sum rank_all(const sized *x, int n, double *share) {
    rank_sum s = {0};
    if (share) share[0] = 1;
    for (int first = 0, end; first < n; first = end) {
        int rank = doubled_rank(x, n, first, &end);
        for (int i = first; i < end; i++) {
            if (share) add_size(share, s.top, rank);
            s.top += rank;
            s.squares += (double)rank * rank;
            if (x[i].positive) s.positive += rank;
        }
    }
    return s;
}

/* A sum of independent ranks times fair coins: mean top/2, variance squares/4; one half of a rank's step for continuity. */
static double normal_at_most(const rank_sum *s, int64_t w) {
    return pm_normal_below(((double)w + 1 - (double)s->top / 2) / (sqrt(s->squares) / 2));
}

static void exact_tails(const sized *x, pm_arena *scratch, pm_signed_rank *r) {
    int64_t sums = (int64_t)r->n * (r->n + 1) + 1;
    double *share = doubles(scratch, sums);
    rank_sum s = rank_all(x, r->n, share);
    r->w_plus = (double)s.positive / 2;
    r->p_low = at_most(share, s.positive);
    r->p_high = at_most(share, s.top - s.positive);
    give_back(scratch, share, sums);
}

static void normal_tails(const sized *x, pm_signed_rank *r) {
    rank_sum s = rank_all(x, r->n, NULL);
    r->w_plus = (double)s.positive / 2;
    r->p_low = normal_at_most(&s, s.positive);
    r->p_high = normal_at_most(&s, s.top - s.positive);
}

pm_signed_rank pm_signed_rank_test(const double *d, int n, pm_arena *scratch) {
    PM_ASSERT(n >= 0, "%d differences", n);
    sized *x = pm_arena_alloc(scratch, (size_t)n * sizeof *x, PM_MEM_WORKSPACE);
    pm_signed_rank r = {.n = drop_zeros(d, n, x)};
    if (r.n <= PM_RANKS_EXACT)
        exact_tails(x, scratch, &r);
    else
        normal_tails(x, &r);
    r.p = fmin(1, 2 * fmin(r.p_low, r.p_high));
    pm_arena_recycle(scratch, x, (size_t)n * sizeof *x, PM_MEM_WORKSPACE);
    return r;
}

/* ---- Hodges and Lehmann -------------------------------------------------------------------------------------------------- */

int64_t pm_pair_means(const double *d, int n, double *out) {
    int64_t k = 0;
    for (int i = 0; i < n; i++)
        for (int j = i; j < n; j++) out[k++] = (d[i] + d[j]) / 2;
    pm_sort(out, k);
    return k;
}

/* The largest number of means that may lie at or below 0 while the sum of positive ranks, which counts those above, has a tail of at most that. */
int64_t pm_rank_place(int n, double tail, pm_arena *scratch) {
    int64_t sums = (int64_t)n * (n + 1) / 2 + 1, count = 0;
    double *share = doubles(scratch, sums), below = 0;
    share[0] = 1;
    for (int64_t rank = 1, top = 0; rank <= n; top += rank++) add_size(share, top, rank);
    while (below + share[count] <= tail) below += share[count++];
    give_back(scratch, share, sums);
    return count - 1;
}

pm_shift pm_hodges_lehmann(const double *d, int n, pm_arena *scratch) {
    PM_ASSERT(n >= 1 && n <= PM_RANKS_MAX, "%d differences", n);
    int64_t all = (int64_t)n * (n + 1) / 2, out = pm_rank_place(n, 0.025, scratch);
    double *mean = doubles(scratch, all);
    int64_t m = pm_pair_means(d, n, mean);
    pm_shift s = {.estimate = (mean[(m - 1) / 2] + mean[m / 2]) / 2,
                  .interval = {-(double)INFINITY, (double)INFINITY}};
    if (out >= 0) s.interval = (pm_interval){mean[out], mean[m - 1 - out]};
    give_back(scratch, mean, all);
    return s;
}

/* ---- bootstrap ----------------------------------------------------------------------------------------------------------- */

static double resampled_mean(const double *x, int64_t n, pm_rng *r) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[pm_rng_below(r, (uint32_t)n)];
    return sum / (double)n;
}

/* Order statistics 250 and 9750 of 9999: with B + 1 a multiple of 1 / 2.5% no interpolation is needed (Davison and Hinkley 1997, 5.3.1). */
pm_interval pm_bootstrap(const double *x, int64_t n, uint64_t seed, pm_arena *scratch) {
    enum { TAIL = (PM_BOOTSTRAP_DRAWS + 1) / 40 };
    pm_rng r = pm_rng_make(seed, 0);
    double *mean = doubles(scratch, PM_BOOTSTRAP_DRAWS);
    for (int b = 0; b < PM_BOOTSTRAP_DRAWS; b++) mean[b] = resampled_mean(x, n, &r);
    pm_sort(mean, PM_BOOTSTRAP_DRAWS);
    pm_interval i = {mean[TAIL - 1], mean[PM_BOOTSTRAP_DRAWS - TAIL]};
    give_back(scratch, mean, PM_BOOTSTRAP_DRAWS);
    return i;
}
