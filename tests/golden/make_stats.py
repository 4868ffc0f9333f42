#!/usr/bin/env python3
"""Writes tests/golden/stats.h: what scipy and statsmodels say about the functions of harness/stats.c.

    pip install scipy==1.17.1 statsmodels==0.15.0 mpmath
    python3 tests/golden/make_stats.py > tests/golden/stats.h

exact McNemar:  statsmodels.stats.contingency_tables.mcnemar(exact=True), and scipy.stats.binomtest; both must agree
Wilson:         scipy.stats.binomtest(...).proportion_ci(method="wilson")
mean, stderr:   numpy, scipy.stats.sem
paired interval: no released Python package has Newcombe's method 10; its definition (Newcombe 1998, Statistics in Medicine 17:2635,
                method 10) is evaluated here in 50 digits on top of scipy's Wilson limits. test_stats.c also holds a value that R prints.
"""
import numpy as np
import scipy
import statsmodels
from mpmath import mp, mpf, sqrt
from scipy.stats import binomtest, norm, sem
from statsmodels.stats.contingency_tables import mcnemar

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


main()
