/* stats_dist.c - distribution functions by continued fractions, quantiles by Newton's method on logarithms.
 *
 * Ref: DLMF 8.9.2, 8.11.4 (gamma), 8.17.22 (beta); Loader 2000 for the factors in front, which lgamma would spoil for large arguments.
 */
#include "stats_dist.h"

#include <math.h>

static const double pi2 = 6.283185307179586; /* 2 pi */
enum { MAX_TERMS = 100000, MAX_NEWTON = 200 };

double pm_stirling_error(double n) {
    if (n < 16) return lgamma(n + 1) - (n + 0.5) * log(n) + n - 0.5 * log(pi2);
    double nn = n * n;
    return (1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - (1.0 / 1680 - 1.0 / 1188 / nn) / nn) / nn) / nn) / n;
}

double pm_deviance(double x, double m) {
    if (fabs(x - m) >= 0.1 * (x + m)) return x * log(x / m) + m - x; /* no cancellation */
    double v = (x - m) / (x + m), s = (x - m) * v, term = 2 * x * v;
    for (int j = 1; j < MAX_TERMS; j++) {
        term *= v * v;
        double next = s + term / (2 * j + 1);
        if (next == s) break;
        s = next;
    }
    return s;
}

/* ---- incomplete gamma ---------------------------------------------------------------------------------------------------- */

/* x^a e^-x / Gamma(a + 1) */
static double gamma_factor(double x, double a) {
    return exp(-pm_stirling_error(a) - pm_deviance(a, x)) / sqrt(pi2 * a);
}

static double gamma_series(double x, double a) {
    double sum = 1, term = 1;
    for (int n = 1; n < MAX_TERMS && term > 1e-17 * sum; n++) {
        term *= x / (a + n);
        sum += term;
    }
    return sum * gamma_factor(x, a);
}

/* A denominator of Lentz's method may not be 0. */
static double not_zero(double x) {
    return fabs(x) < 1e-300 ? 1e-300 : x;
}

/* The upper function, a continued fraction by Lentz's method. */
static double gamma_fraction(double x, double a) {
    double b = x + 1 - a, c = 1e300, d = 1 / not_zero(b), f = d;
    for (int n = 1; n < MAX_TERMS; n++) {
        double an = -n * (n - a);
        b += 2;
        d = 1 / not_zero(an * d + b);
        c = not_zero(b + an / c);
        f *= c * d;
        if (fabs(c * d - 1) < 1e-16) break;
    }
    return f * a * gamma_factor(x, a);
}

/* Regularised lower gamma function, a > 0. */
static double incomplete_gamma(double x, double a) {
    if (x <= 0) return 0;
    return x < a + 1 ? gamma_series(x, a) : 1 - gamma_fraction(x, a);
}

/* ---- incomplete beta ----------------------------------------------------------------------------------------------------- */

/* x^a y^b / (a B(a, b)) */
static double beta_factor(double x, double y, double a, double b) {
    double n = a + b;
    double log_p = pm_stirling_error(n) - pm_stirling_error(a) - pm_stirling_error(b) -
                   pm_deviance(a, n * x) - pm_deviance(b, n * y);
    return exp(log_p) * sqrt(b / (pi2 * a * n));
}

/* Term m of the continued fraction, even and odd (DLMF 8.17.23). */
static double even_term(double m, double x, double a, double b) {
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
}
static double odd_term(double m, double x, double a, double b) {
    return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
}

/* Converges fast for x below the mean. */
static double beta_fraction(double x, double y, double a, double b) {
    double c = 1, d = 1 / not_zero(1 + odd_term(0, x, a, b)), f = d;
    for (int m = 1; m < MAX_TERMS; m++) {
        double terms[2] = {even_term(m, x, a, b), odd_term(m, x, a, b)}, moved = 1;
        for (int i = 0; i < 2; i++) {
            d = 1 / not_zero(1 + terms[i] * d);
            c = not_zero(1 + terms[i] / c);
            moved *= c * d;
        }
        f *= moved;
        if (fabs(moved - 1) < 1e-16) break;
    }
    return f * beta_factor(x, y, a, b);
}

/* Regularised incomplete beta function, a, b > 0; y is 1 - x, given apart so that neither loses digits. */
static double incomplete_beta(double x, double y, double a, double b) {
    if (x <= 0) return 0;
    if (y <= 0) return 1;
    return x <= (a + 1) / (a + b + 2) ? beta_fraction(x, y, a, b) : 1 - beta_fraction(y, x, b, a);
}

/* ---- distribution functions ---------------------------------------------------------------------------------------------- */

double pm_normal_tails(double z) {
    return erfc(fabs(z) * M_SQRT1_2);
}
double pm_normal_below(double z) {
    return 0.5 * erfc(-z * M_SQRT1_2);
}

double pm_t_tails(double t, double df) {
    double tt = t * t, sum = df + tt;
    if (isinf(tt)) return 0;
    return incomplete_beta(df / sum, tt / sum, df / 2, 0.5);
}

double pm_chi2_below(double x, double df) {
    return incomplete_gamma(x / 2, df / 2);
}

/* ---- quantiles ----------------------------------------------------------------------------------------------------------- */

static double normal_density(double z) {
    return exp(-z * z / 2) / sqrt(pi2);
}

static double t_density(double t, double df) {
    double log_peak = pm_stirling_error((df + 1) / 2) - pm_stirling_error(df / 2) +
                      0.5 * (df + 1) * log1p(1 / df) - 0.5; /* Gamma((df+1)/2) / Gamma(df/2), by Stirling */
    return exp(log_peak - 0.5 * (df + 1) * log1p(t * t / df)) * sqrt(df / (df + 1)) / sqrt(pi2);
}

/* log P(|X| >= e^s) falls and is concave in s for these distributions, so Newton's method converges from every start. */
static double outside(double p, double df, double start) {
    PM_ASSERT(p > 0 && p < 1, "probability %g", p);
    double s = log(start), want = log(p);
    for (int i = 0; i < MAX_NEWTON; i++) {
        double x = exp(s), tails = isinf(df) ? pm_normal_tails(x) : pm_t_tails(x, df);
        double density = isinf(df) ? normal_density(x) : t_density(x, df);
        double step = tails > 0 ? (log(tails) - want) * tails / (2 * density * x) : -0.1;
        s += step;
        if (fabs(step) < 1e-8) break; /* what is left is about its square */
    }
    return exp(s);
}

double pm_normal_outside(double p) {
    return outside(p, (double)INFINITY, sqrt(fmax(-2 * log(p), 1e-8)));
}

/* Starts from Fisher's expansion in 1 / df, its first term. */
double pm_t_outside(double p, double df) {
    if (df == 1) return 1 / tan(p * pi2 / 4);
    if (df == 2) return sqrt(2 * (1 - p) * (1 - p) / (p * (2 - p)));
    double z = pm_normal_outside(p);
    return outside(p, df, z + z * (z * z + 1) / (4 * df));
}

/* Wilson and Hilferty 1931: the cube root is nearly normal; for small x the first term of the series. */
static double chi2_start(double p, double df) {
    double z = p < 0.5 ? -pm_normal_outside(2 * p) : p > 0.5 ? pm_normal_outside(2 * (1 - p)) : 0;
    double root = 1 - 2 / (9 * df) + z * sqrt(2 / (9 * df));
    if (root > 0.3) return df * root * root * root;
    return 2 * exp((log(p) + lgamma(df / 2 + 1)) / (df / 2));
}

/* log P(X <= e^s) rises and is concave in s. */
double pm_chi2_quantile(double p, double df) {
    PM_ASSERT(p > 0 && p < 1, "probability %g", p);
    double s = log(chi2_start(p, df));
    for (int i = 0; i < MAX_NEWTON; i++) {
        double x = exp(s), below = pm_chi2_below(x, df);
        double slope = df / 2 * gamma_factor(x / 2, df / 2) / below; /* x density / P */
        double step = (log(p) - log(below)) / slope;
        s += step;
        if (fabs(step) < 1e-14) break;
    }
    return exp(s);
}

/* ---- roots --------------------------------------------------------------------------------------------------------------- */

/* The value at an end that stayed twice is halved (Illinois; Dowell and Jarratt 1971), so that both ends close in. */
double pm_root(double (*f)(const void *, double), const void *arg, double low, double high) {
    double a = low, b = high, fa = f(arg, a), fb = f(arg, b);
    if (fa >= 0) return low;
    if (fb <= 0) return high;
    for (int i = 0, stayed = 0; i < MAX_NEWTON && b - a > 1e-11; i++) {
        double x = (a * fb - b * fa) / (fb - fa), fx = f(arg, x);
        if (fabs(fx) < 1e-11) return x;
        if (fx > 0) {
            b = x, fb = fx;
            if (stayed > 0) fa /= 2;
            stayed = 1;
        } else {
            a = x, fa = fx;
            if (stayed < 0) fb /= 2;
            stayed = -1;
        }
    }
    return (a + b) / 2;
}
