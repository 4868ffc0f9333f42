/* stats.c - exact and score statistics for paired and single proportions; references stand in stats.h and at each formula. */
#include "stats.h"
#include "stats_dist.h"

#include <math.h>

static const double z95 = 1.959963984540054; /* the normal distribution's 97.5% point */
static const double pi2 = 6.283185307179586; /* 2 pi */

/* ---- binomial probabilities at 1/2 (Loader 2000, "Fast and accurate computation of binomial probabilities") -------------- */

/* P(X = k) for X ~ Binomial(n, 1/2). */
static double binomial_half(double k, double n) {
    if (k == 0 || k == n) return exp(-n * M_LN2);
    double log_p = pm_stirling_error(n) - pm_stirling_error(k) - pm_stirling_error(n - k) -
                   pm_deviance(k, n / 2) - pm_deviance(n - k, n / 2);
    return exp(log_p) * sqrt(n / (pi2 * k * (n - k)));
}

/* Twice the smaller tail, summed from its largest term down; each term is the one before times k / (n - k + 1). */
double pm_mcnemar(int64_t b, int64_t c) {
    PM_ASSERT(b >= 0 && c >= 0, "%lld, %lld discordant items", (long long)b, (long long)c);
    if (b == c) return 1;
    double n = (double)(b + c), sum = 1, term = 1, top = (double)(b < c ? b : c);
    for (double k = top; k > 0 && term > 1e-17 * sum; k--) {
        term *= k / (n - k + 1);
        sum += term;
    }
    double p = 2 * sum * binomial_half(top, n);
    return p < 1 ? p : 1;
}

/* ---- intervals ----------------------------------------------------------------------------------------------------------- */

pm_interval pm_score_interval(double p, double n, double z) {
    double zz = z * z, middle = p + zz / (2 * n), half = z * sqrt(p * (1 - p) / n + zz / (4 * n * n)),
           scale = 1 + zz / n;
    return (pm_interval){p == 0 ? 0 : (middle - half) / scale, p == 1 ? 1 : (middle + half) / scale};
}

pm_interval pm_wilson(int64_t k, int64_t n) {
    PM_ASSERT(n >= 1 && k >= 0 && k <= n, "%lld of %lld", (long long)k, (long long)n);
    return pm_score_interval((double)k / (double)n, (double)n, z95);
}

/* Correlation of the two outcomes, pulled towards 0 by half an item when positive (method 10); 0 where a margin is empty. */
static double correlation(double a, double b, double c, double d) {
    double determinant = a * d - b * c, margins = (a + b) * (c + d) * (a + c) * (b + d);
    if (margins == 0) return 0;
    double corrected = determinant < 0 ? determinant : fmax(determinant - (a + b + c + d) / 2, 0);
    return corrected / sqrt(margins);
}

pm_interval pm_paired_difference(int64_t both, int64_t only_a, int64_t only_b, int64_t neither) {
    int64_t n = both + only_a + only_b + neither;
    pm_interval A = pm_wilson(both + only_a, n), B = pm_wilson(both + only_b, n);
    double N = (double)n, pa = (double)(both + only_a) / N, pb = (double)(both + only_b) / N;
    double phi = correlation((double)both, (double)only_a, (double)only_b, (double)neither);
    double down_a = pa - A.low, up_a = A.high - pa, down_b = pb - B.low, up_b = B.high - pb;
    double below = sqrt(down_a * down_a - 2 * phi * down_a * up_b + up_b * up_b);
    double above = sqrt(down_b * down_b - 2 * phi * down_b * up_a + up_a * up_a);
    return (pm_interval){pa - pb - below, pa - pb + above};
}

/* ---- means --------------------------------------------------------------------------------------------------------------- */

pm_summary pm_mean(const double *x, int64_t n) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    bool spread = n > 1;
    return (pm_summary){n > 0 ? mean : (double)NAN,
                        spread ? sqrt(squares / (double)(n - 1) / (double)n) : (double)NAN};
}

pm_summary pm_proportion(int64_t k, int64_t n) {
    double p = (double)k / (double)n;
    return (pm_summary){n > 0 ? p : (double)NAN, n > 1 ? sqrt(p * (1 - p) / (double)(n - 1)) : (double)NAN};
}
