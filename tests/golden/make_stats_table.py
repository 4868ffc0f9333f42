#!/usr/bin/env python3
"""Prints the constants `lone_noisy` of harness/stats_table.c.

    pip install scipy==1.17.1
    python3 tests/golden/make_stats_table.py

One noisy method among M, the others r times as noisy, all judged by the largest of the M seed variances: the chance that a difference passes c is
a two-dimensional integral, too slow for every pair of every table. It is at most the larger of the unions over two noisy methods or more and kappa
times the chance with r = 0. Printed is the least kappa that holds for all r and all levels from 0.1 to 1e-6, with 2% to spare.
"""
import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.optimize import brentq
from scipy.stats import chi2, norm, t

X, W = leggauss(200)
Z = np.arange(-7, 7.001, 0.1)
LOG = np.arange(-11, 2.5, 0.1)
RATIOS = (0.02, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
LEVELS = (0.1, 0.05, 0.0125, 0.003, 0.0005, 1e-4, 1e-5, 1e-6)


def largest_tail(c, f, J):
    ends = sorted({0, min(c, 3), min(3 * c, 6), 8, 16})
    pieces = [((b - a) / 2 * W, (a + b) / 2 + (b - a) / 2 * X) for a, b in zip(ends, ends[1:])]
    return sum(np.sum(w * 2 * norm.pdf(y) * chi2.cdf(f * (y / c) ** 2, f) ** J) for w, y in pieces)


def unions(c, f, M):
    return max(J * (J - 1) / 2 * largest_tail(c, f, J) + (J < M) * J * largest_tail(c * 2**0.5, f, J) for J in {2, 3, 4, 6, M} if J <= M)


def one_noisy(c, f, M, r):
    below = lambda x: chi2.cdf(f * x * x, f) * chi2.cdf(f * x * x / r / r, f) ** (M - 1)
    weight = below(np.exp(LOG + 0.05)) - below(np.exp(LOG - 0.05))
    limit = c * 2**0.5 * np.exp(LOG)[:, None]
    inside = (norm.cdf((Z + limit) / r) - norm.cdf((Z - limit) / r)) ** (M - 1)
    return np.sum(weight[:, None] * norm.pdf(Z) * 0.1 * (1 - inside))


def kappa(f, M):
    least = 1.0
    for level in LEVELS:
        alone = lambda c: 2 * t.sf(c * 2**0.5, f)
        c = brentq(lambda c: np.log(max(unions(c, f, M), alone(c)) / level), 0.3, 1e7)
        most = max(one_noisy(c, f, M, r) for r in RATIOS)
        if most > unions(c, f, M):
            least = max(least, 1.02 * most / alone(c))
    return least


for f in (1, 2, 3, 4, 5, 6, 7, 9, 12, 19):
    print("    {" + ", ".join(f"{kappa(f, M):.2f}" for M in (2, 3, 5, 8, 14, 26)) + "}, /* f = %d */" % f, flush=True)
