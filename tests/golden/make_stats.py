#!/usr/bin/env python3
"""Writes tests/golden/stats.h: what scipy and statsmodels say about the functions of harness/stats.c.

    pip install scipy==1.17.1 statsmodels==0.15.0 mpmath
    python3 tests/golden/make_stats.py > tests/golden/stats.h

exact McNemar:  statsmodels.stats.contingency_tables.mcnemar(exact=True), and scipy.stats.binomtest; both must agree
Wilson:         scipy.stats.binomtest(...).proportion_ci(method="wilson")
mean, stderr:   numpy, scipy.stats.sem
paired interval: no released Python package has Newcombe's method 10; its definition (Newcombe 1998, Statistics in Medicine 17:2635,
                method 10) is evaluated here in 50 digits on top of scipy's Wilson limits. test_stats.c also holds a value that R prints.
t, normal, chi-squared: mpmath's incomplete beta and gamma functions in 50 digits; scipy.stats must agree where it can (1e-9)
sign-flip:      scipy.stats.permutation_test(permutation_type="samples", n_resamples=inf)
signed rank:    scipy.stats.wilcoxon(method="exact"), and with ties its exact permutation of the same ranks (PermutationMethod)
Hodges-Lehmann: the estimate by numpy; the limits' places from the exact null distribution, enumerated over all 2^n signs
t interval:     scipy.stats.ttest_1samp(...).confidence_interval(), statsmodels.stats.weightstats.DescrStatsW(...).tconfint_mean(); both must agree
Holm:           statsmodels.stats.multitest.multipletests(method="holm")
two-way:        statsmodels' analysis of variance (anova_lm of OLS) for the mean squares; Banerjee's p by scipy.optimize.brentq on scipy.stats.t
column:         the critical value's level by scipy.integrate.fixed_quad (120 points a piece) over scipy.stats.chi2, J by J; the pairs' p by brentq
clusters:       statsmodels' OLS of the differences on a constant, cov_type="cluster" (with its small-sample factor for the mean)
right and wrong in clusters: the difference's p by scipy.stats.permutation_test over the clusters' sums (all 2^K signs), its standard error and interval by
                statsmodels' OLS, cov_type="cluster"; of one run the standard error by the same, its interval by
                statsmodels.stats.proportion.proportion_confint(method="wilson") of as many items as that is worth, at Student's t's level
whole sign-flip: many differences, by whole numbers: all sums counted exactly, a polynomial's coefficients
McNemar power:  the quadratic's root by brentq
"""
import itertools

import mpmath
import numpy as np
import pandas
import scipy
import statsmodels
import statsmodels.formula.api as smf
from mpmath import mp, mpf, sqrt
from scipy.integrate import fixed_quad
from scipy.optimize import brentq
from scipy.stats import PermutationMethod, binomtest, chi2, norm, permutation_test, sem, t, ttest_1samp, wilcoxon
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

mp.dps = 50
PAIRS = [(0, 0), (0, 1), (1, 0), (0, 5), (5, 0), (1, 1), (3, 3), (2, 9), (7, 21), (10, 25), (30, 12), (59, 59), (59, 60), (101, 129), (400, 500),
         (0, 900), (1000, 1100), (5000, 5200), (50000, 50700), (499000, 501000), (500000, 500000), (499999, 500001), (480000, 520000), (3, 1020)]
COUNTS = [(0, 10), (10, 10), (1, 10), (5, 10), (37, 120), (1188, 2376), (2300, 2376), (0, 1), (1, 1), (3, 1000000)]
TABLES = [(14, 5, 0, 22), (1, 1, 7, 12), (59, 6, 16, 80), (36, 12, 2, 0), (0, 0, 0, 10), (10, 0, 0, 0), (5, 0, 0, 5), (0, 5, 5, 0), (0, 10, 0, 0),
          (1000, 101, 129, 1146), (700, 300, 10, 400), (43, 0, 1, 0), (0, 3, 8, 1)]


def mcnemar_p(b, c):
    if b + c == 0:
        return 1.0
    p = float(mcnemar([[0, b], [c, 0]], exact=True).pvalue)
    q = binomtest(min(b, c), b + c, 0.5).pvalue
    assert abs(p - q) <= 1e-9 * q, (b, c, p, q)
    return q


def wilson_mp(k, n):
    z, p = mpf(norm.isf(0.025)), mpf(k) / n
    mid, half, scale = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * mpf(n) ** 2)), 1 + z * z / n
    return (mid - half) / scale, (mid + half) / scale


def wilson(k, n):
    ci = binomtest(k, n).proportion_ci(0.95, method="wilson")
    mine = wilson_mp(k, n)
    assert abs(ci.low - mine[0]) < 1e-12 and abs(ci.high - mine[1]) < 1e-12, (k, n)
    return float(mine[0]), float(mine[1])


def newcombe10(a, b, c, d):
    n = mpf(a + b + c + d)
    p1, p2 = (a + b) / n, (a + c) / n
    (l1, u1), (l2, u2) = wilson_mp(a + b, int(n)), wilson_mp(a + c, int(n))
    det = mpf(a * d - b * c)
    marginals = mpf(a + b) * (c + d) * (a + c) * (b + d)
    numerator = det if det < 0 else max(det - n / 2, mpf(0))
    phi = numerator / sqrt(marginals) if marginals else mpf(0)
    low = p1 - p2 - sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    high = p1 - p2 + sqrt((p2 - l2) ** 2 - 2 * phi * (p2 - l2) * (u1 - p1) + (u1 - p1) ** 2)
    return float(low), float(high)


def samples():
    rng = np.random.default_rng(0)
    return [[1.0], [1.0, 2.0], list(rng.normal(1e6, 1e-3, 9)), list((rng.random(40) < 0.3) * 1.0)]


# ---- distributions ----

DFS = [1, 2, 3, 4.5, 10, 47, 1999, 1000000]
OUTSIDE = [0.9, 0.5, 0.05, 0.05 / 28, 1e-6, 1e-12]
BELOW = [1e-6, 0.025, 0.5, 0.8, 0.999]


def close(a, b, tol=1e-9):
    assert abs(a - b) <= tol * abs(b), (a, b)
    return float(b)


def t_tails_mp(x, df):
    df, x = mpf(df), mpf(x)
    return mpmath.betainc(df / 2, mpf(1) / 2, 0, df / (df + x * x), regularized=True)


def t_outside(p, df):
    if df > 1e5:
        return float(t.isf(p / 2, df))  # mpmath's series do not converge there
    low, high = mpmath.log(normal_outside(p) * 0.99), mpmath.log(mpmath.power(1 / mpf(p), 1 / mpf(df)) + mpmath.sqrt(-2 * mpmath.log(p))) + 3
    x = mpmath.exp(mpmath.findroot(lambda s: mpmath.log(t_tails_mp(mpmath.exp(s), df)) - mpmath.log(mpf(p)), (low, high), solver="anderson",
                                   tol=1e-30))
    return close(t.isf(p / 2, df), x)


def normal_outside(p):
    x = mpmath.findroot(lambda z: mpmath.log(mpmath.erfc(z / mpmath.sqrt(2))) - mpmath.log(mpf(p)), mpf(norm.isf(p / 2)))
    return close(norm.isf(p / 2), x)


def chi2_quantile(p, df):
    x = chi2.ppf(p, df)
    below = mpmath.gammainc(mpf(df) / 2, 0, mpf(x) / 2, regularized=True)
    assert abs(below / p - 1) < 1e-9, (p, df, x)
    return float(x)


# ---- one sample ----

def differences():
    rng = np.random.default_rng(1)
    return [[0.5], [1.0, 2.0, 0.5], [0.01, -0.02, 0.03, 0.04, 0.05], list(np.round(rng.normal(0.3, 1, 12), 6)),
            list(np.round(rng.normal(0.2, 1, 16), 1)), [0.0, 1.0, 1.0, -1.0, 2.0, 2.0, 0.0, 3.0], [0.0, 0.0]]


def flip_p(d):
    if len(d) == 1:
        return 1.0
    return float(permutation_test((np.array(d),), lambda x, axis: np.abs(np.sum(x, axis=axis)), permutation_type="samples",
                                  n_resamples=np.inf, alternative="greater", vectorized=True).pvalue)


def rank_p(d):
    x = np.array([v for v in d if v != 0])
    if len(x) == 0:
        return 0.0, 1.0
    size, r = np.abs(x), scipy.stats.rankdata(np.abs(x))
    w = float(r[x > 0].sum())
    sums = np.array([sum(rr for rr, s in zip(r, signs) if s) for signs in itertools.product([0, 1], repeat=len(x))])
    p = min(1.0, 2 * min(np.mean(sums <= w + 1e-9), np.mean(sums >= w - 1e-9)))
    if len(set(size)) == len(x):
        close(wilcoxon(x, method="exact").pvalue, p)
    elif len(x) > 1:
        close(wilcoxon(x, method=PermutationMethod(n_resamples=np.inf)).pvalue, p)
    return w, float(p)


def shift(d):
    n, x = len(d), np.array(d)
    means = np.sort([(x[i] + x[j]) / 2 for i in range(n) for j in range(i, n)])
    sums = np.array([sum((i + 1) * s for i, s in enumerate(signs)) for signs in itertools.product([0, 1], repeat=n)])
    out = max([k for k in range(0, len(means) + 1) if np.mean(sums < k) <= 0.025])
    low, high = (means[out - 1], means[len(means) - out]) if out else (-np.inf, np.inf)
    return float(np.median(means)), float(low), float(high)


def t_interval(d):
    if len(d) < 2:
        return np.nan, np.nan
    a, b = ttest_1samp(d, 0).confidence_interval(0.95), DescrStatsW(d).tconfint_mean(0.05)
    return (close(a.low, b[0]), close(a.high, b[1])) if np.std(d) else (float(np.mean(d)),) * 2


HOLM = [[0.01, 0.04, 0.03, 0.005], [0.5], [0.02, 0.02, 0.9, 1.0, 1e-12], [0.04, 0.04, 0.04], [0.3, 0.001, 0.2, 0.0004, 0.012, 0.011]]


# ---- methods ----

def scores(seed, methods, seeds, items, binary, spread=0.1):
    """[method][seed][item], rounded to what a float holds exactly."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, items) + rng.normal(0, 0.3, (methods, 1, items)) + rng.normal(0, 0.5, (methods, seeds, items))
    x = x + rng.normal(0, spread, (methods, seeds, 1)) + 0.2 * np.arange(methods)[:, None, None]
    return (x > 0) * 1.0 if binary else np.round(x * 64) / 64


def two_way(a, b):
    y = a - b
    S, U = y.shape
    frame = pandas.DataFrame({"y": y.ravel(), "s": np.repeat(np.arange(S), U), "u": np.tile(np.arange(U), S)})
    table = anova_lm(smf.ols("y ~ C(s) + C(u)", frame).fit())
    ms = table["mean_sq"]
    return y.mean(), ms["C(s)"] / (S * U), ms["C(u)"] / (S * U), ms["Residual"] / (S * U), S - 1, U - 1


def banerjee(effect, vs, vu, fs, fu, margin=0.0):
    reach = lambda p: t.isf(p / 2, fs) ** 2 * vs + t.isf(p / 2, fu) ** 2 * vu
    half = np.sqrt(reach(0.05))
    p = np.exp(brentq(lambda lp: np.log(reach(np.exp(lp))) - np.log((effect - margin) ** 2), -250, -1e-12, xtol=1e-13, rtol=1e-14))
    return float(effect - half), float(effect + half), float(p)


def clustered(d, cluster):
    fit = smf.ols("d ~ 1", pandas.DataFrame({"d": d})).fit(cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True)
    return float(fit.params.iloc[0]), float(fit.pvalues.iloc[0]), *map(float, fit.conf_int().iloc[0])


def clustered_se(x, cluster):
    fit = smf.ols("x ~ 1", pandas.DataFrame({"x": x})).fit(cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True)
    return float(fit.bse.iloc[0])


def right_in_clusters(seed, clusters, items, spread, share):
    """Right and wrong of two models, right items in common clusters; and the clusters, all of them used."""
    rng = np.random.default_rng(seed)
    k = np.concatenate([np.arange(clusters), rng.integers(0, clusters, items - clusters)])
    easy = rng.normal(0, spread, (2, clusters))[:, k] + rng.normal(0, 1, items)
    a, b = (norm.cdf(easy) < share[:, None]).astype(int) if spread else np.array([np.full(items, 1), rng.integers(0, 2, items)])
    return a, b, k


def of_one_run(a, k):
    mean, se, clusters = a.mean(), clustered_se(a.astype(float), k), k.max() + 1
    point = t.isf(0.025, clusters - 1)
    n = clusters if mean in (0, 1) else min(len(a), 1 + mean * (1 - mean) / se**2)
    low, high = proportion_confint(mean * n, n, alpha=2 * norm.sf(point), method="wilson")
    return float(mean), se if mean not in (0, 1) else 0.0, float(low), float(high)


def flip_whole(d):
    counts = {0: 1}
    for v in d:
        new = {}
        for s, c in counts.items():
            for w in (s - v, s + v):
                new[w] = new.get(w, 0) + c
        counts = new
    far = sum(c for s, c in counts.items() if abs(s) >= abs(sum(d)))
    return far / 2 ** len(d)  # of whole numbers: rounded once


def whole_differences():
    rng = np.random.default_rng(11)
    return [[int(v) for v in rng.integers(-4, 6, n)] for n in (1, 5, 12)] + [[0, 0], [3, -3], [7] * 9] + \
           [[int(v) for v in rng.integers(-9, 12, n)] for n in (48, 48, 200)] + [[1] * 30 + [-1] * 12]


# ---- a column ----

def largest_tail(c, df, J):
    """P(|Z| > c sqrt X), X the largest of J chi-squared / df."""
    f = lambda y: 2 * norm.pdf(y) * chi2.cdf(df * (y / c) ** 2, df) ** J
    ends = sorted({0, min(c, 3), min(3 * c, 6), 8, 16})
    return sum(fixed_quad(f, a, b, n=120)[0] for a, b in zip(ends, ends[1:]))


LONE_NOISY = {(2, 4): 1.20, (4, 3): 1.26, (2, 2): 1.03, (3, 5): 1.36}  # (df, methods), from make_stats_table.py


def noise_level(c, df, M):
    against = lambda J: J * largest_tail(c * np.sqrt(2), df, J) if J < M else 0
    unions = [J * (J - 1) / 2 * largest_tail(c, df, J) + against(J) for J in range(2, M + 1)]
    return min(1 - 1e-15, max(unions + [LONE_NOISY[df, M] * 2 * t.sf(c * np.sqrt(2), df)]), M * (M - 1) * t.sf(c, df))


def column(x, columns):
    M, S, U = x.shape
    K, mean = M * (M - 1) / 2, x.mean(axis=(1, 2))
    vs = x.mean(axis=2).var(axis=1, ddof=1) / S
    shared = 2 * vs.max()
    reach = lambda c, vu: c * c * shared + t.isf(noise_level(c, S - 1, M) / K / 2, U - 1) ** 2 * vu
    crit = brentq(lambda c: noise_level(c, S - 1, M) - 0.05 / columns, 0.5, 100, xtol=1e-13, rtol=1e-13)
    rows = []
    for i, j in itertools.combinations(range(M), 2):
        effect, vu = mean[i] - mean[j], np.mean(x[i] - x[j], axis=0).var(ddof=1) / U
        half = np.sqrt(reach(crit, vu))
        short = lambda c: reach(c, vu) - effect ** 2
        c = 0.01 if short(0.01) > 0 else brentq(short, 0.01, 1e4, xtol=1e-13, rtol=1e-13)
        rows.append([float(v) for v in (effect, effect - half, effect + half, min(1, columns * noise_level(c, S - 1, M)))])
    return rows


MCNEMAR_MDE = [(2000, 0.2, 0.05), (1319, 0.2, 0.05), (500, 0.05, 0.05 / 28)]


def mcnemar_mde(n, q, p):
    z, w = norm.isf(p / 2), norm.isf(0.2)
    return float(brentq(lambda e: e * np.sqrt(n) - z * np.sqrt(q) - w * np.sqrt(max(q - e * e, 0)), 0, q, xtol=1e-15, rtol=1e-14))


def c(v):
    return "(double)NAN" if np.isnan(v) else ("-" if v < 0 else "") + "(double)INFINITY" if np.isinf(v) else repr(float(v))


def row(*values):
    print("    {" + ", ".join("{" + ", ".join(c(v) for v in w) + "}" if isinstance(w, (list, np.ndarray)) else c(w) if isinstance(w, float)
                              else str(w) for w in values) + "},")


def struct(fields, name):
    print(f"static const struct {{ {fields} }} {name}[] = {{")


def more():
    struct("double df, p, t;", "golden_t")
    [row(float(df), p, t_outside(p, df)) for df in DFS for p in OUTSIDE]
    print("};")
    struct("double p, z;", "golden_normal")
    [row(p, normal_outside(p)) for p in OUTSIDE]
    print("};")
    struct("double df, p, x;", "golden_chi2")
    [row(float(df), p, chi2_quantile(p, df)) for df in DFS[:-1] for p in BELOW]
    print("};")
    struct("int n; double d[16], flip, w_plus, rank, shift, shift_low, shift_high, t_low, t_high;", "golden_sample")
    [row(len(d), [float(v) for v in d], flip_p(d), *rank_p(d), *shift(d), *map(float, t_interval(d))) for d in differences()]
    print("};")
    struct("int n; double p[6], holm[6];", "golden_holm")
    [row(len(p), p, [float(v) for v in multipletests(p, method="holm")[1]]) for p in HOLM]
    print("};")
    struct("int seeds, items; double a[90], b[90], effect, seed, unit, noise, low, high, p, p_margin;", "golden_methods")
    for seed, S, U, binary in [(1, 3, 30, True), (2, 5, 12, False), (3, 2, 20, False)]:
        a, b = scores(seed, 2, S, U, binary)
        e, vs, vu, ve, fs, fu = two_way(a, b)
        lo, hi, p = banerjee(e, vs, vu, fs, fu)
        row(S, U, a.ravel(), b.ravel(), float(e), float(vs), float(vu), float(ve), lo, hi, p, banerjee(e, vs, vu, fs, fu, 0.05)[2])
    print("};")
    struct("int items, clusters; double d[40]; int cluster[40]; double effect, p, low, high;", "golden_clusters")
    for seed, size in [(4, 4), (5, 0)]:
        d = np.round(np.random.default_rng(seed).normal(0.2, 1, 40) * 64) / 64
        k = np.repeat(np.arange(10), 4) if size else np.sort(np.random.default_rng(seed).integers(0, 8, 40))
        k = np.unique(k, return_inverse=True)[1]
        fit = clustered(d, k)
        print("    {40, %d, {%s}, {%s}, %s}," % (k.max() + 1, ", ".join(map(c, d)), ", ".join(map(str, k)), ", ".join(map(c, fit))))
    print("};")
    struct("int items, clusters; int a[60], b[60], cluster[60]; double effect, stderr_, low, high, p, run[4];", "golden_right")
    for args in [(12, 10, 60, 1.0, np.array([0.7, 0.45])), (13, 14, 50, 0.7, np.array([0.5, 0.55])), (14, 9, 40, 0, None)]:
        a, b, k = right_in_clusters(*args)
        effect, _, low, high = clustered((a - b).astype(float), k)
        sums = np.array([(a - b)[k == u].sum() for u in range(k.max() + 1)])
        p = close(flip_whole([int(v) for v in sums]), flip_p([float(v) for v in sums]), 1e-12)
        lists = ["{" + ", ".join(map(str, v)) + "}" for v in (a, b, k)]
        numbers = [effect, clustered_se((a - b).astype(float), k), low, high, p]
        print("    {%d, %d, %s, %s, {%s}}," % (len(a), k.max() + 1, ", ".join(lists), ", ".join(map(c, numbers)), ", ".join(map(c, of_one_run(a, k)))))
    print("};")
    struct("int n; int d[200]; double p;", "golden_whole")
    for d in whole_differences():
        print("    {%d, {%s}, %s}," % (len(d), ", ".join(map(str, d)), c(flip_whole(d))))
    print("};")
    struct("int methods, seeds, items, columns; double x[240], pair[10][4];", "golden_column")
    for seed, M, S, U, columns in [(6, 4, 3, 20, 1), (7, 3, 5, 12, 2), (8, 2, 3, 40, 1), (9, 5, 4, 12, 1)]:
        x = scores(seed, M, S, U, False, 0.05)
        pairs = column(x, columns)
        print("    {%d, %d, %d, %d, {%s}, {%s}}," % (M, S, U, columns, ", ".join(map(c, x.ravel())),
                                                 ", ".join("{" + ", ".join(map(c, r)) + "}" for r in pairs)))
    print("};")
    struct("long long n; double discordance, p, effect;", "golden_mcnemar_power")
    [row(n, q, p, mcnemar_mde(n, q, p)) for n, q, p in MCNEMAR_MDE]
    print("};")


def main():
    print(f"/* Written by tests/golden/make_stats.py with scipy {scipy.__version__}, statsmodels {statsmodels.__version__}, numpy {np.__version__}. */")
    print("#include <math.h>")
    print("static const struct { long long b, c; double p; } golden_mcnemar[] = {")
    for b, c in PAIRS:
        print(f"    {{{b}, {c}, {mcnemar_p(b, c)!r}}},".replace("np.float64(", "").replace(")", ""))
    print("};\nstatic const struct { long long k, n; double low, high; } golden_wilson[] = {")
    for k, n in COUNTS:
        low, high = wilson(k, n)
        print(f"    {{{k}, {n}, {low!r}, {high!r}}},")
    print("};\nstatic const struct { long long both, only_a, only_b, neither; double low, high; } golden_paired[] = {")
    for t in TABLES:
        low, high = newcombe10(*t)
        print(f"    {{{t[0]}, {t[1]}, {t[2]}, {t[3]}, {low!r}, {high!r}}},")
    print("};\nstatic const struct { int n; double x[40], mean, stderr_; } golden_mean[] = {")
    for x in samples():
        se = repr(float(sem(x))) if len(x) > 1 else "(double)NAN"
        print(f"    {{{len(x)}, {{{', '.join(repr(float(v)) for v in x)}}}, {float(np.mean(x))!r}, {se}}},")
    print("};")
    more()


main()