#!/usr/bin/env python3
"""Writes what tests of the panel test need: tests/golden/history.csv and tests/golden/panel.h.

    python3 tests/golden/make_panel.py history.csv

history.csv is a table of the results that huggingface/peft keeps in method_comparison/MetaMathQA/results (Apache License 2.0), one row a run and
commit of that repository's history: experiment, created_at, test_accuracy, accelerator_memory_max_gib and columns that no test needs. The extract
keeps those four, of the months that the tests name.

panel.h: golden_panel is what scipy says about differences: ttest_1samp with its interval, binomtest, and Wilcoxon's signed ranks over the exact
distribution of the mean ranks, which scipy.stats.wilcoxon(method="exact") must agree with where there are neither ties nor zeros; the shift and the
limit of residuals by numpy and scipy.stats.t. golden_reruns are differences in points between two runs of the same configuration and code, two days
apart (17 and 18 against 19 and 20 June 2025): the noise that simulations draw from.
"""
import csv
import os
import sys

import numpy as np
import scipy
from scipy import stats

HERE = os.path.dirname(os.path.abspath(__file__))
COLUMNS = ["experiment", "created_at", "test_accuracy", "accelerator_memory_max_gib"]
MONTHS = ("2025-06", "2026-01", "2026-07")


def read(path):
    with open(path, newline="") as f:
        return [{c: r[c] for c in COLUMNS} for r in csv.DictReader(f) if r["created_at"].startswith(MONTHS)]


def write_extract(rows):
    with open(os.path.join(HERE, "history.csv"), "w", newline="") as f:
        w = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        w.writeheader()
        w.writerows(rows)


def newest(rows, value, prefixes):
    out = {}
    for r in sorted(rows, key=lambda r: r["created_at"]):
        if r["created_at"].startswith(prefixes) and r[value]:
            out[r["experiment"]] = float(r[value])
    return out


def pairs(rows, value, base, head):
    b, h = newest(rows, value, base), newest(rows, value, head)
    names = sorted(b.keys() & h.keys())
    return names, np.array([b[n] for n in names]), np.array([h[n] for n in names])


def rank_tails(d):
    """P(W+ <= w), P(W+ >= w), signs being fair coins and the ranks as they are."""
    x = d[d != 0]
    r = (2 * stats.rankdata(np.abs(x))).round().astype(int)
    share = np.zeros(r.sum() + 1)
    share[0] = 1
    for k in r:
        moved = np.zeros_like(share)
        moved[k:] = share[: len(share) - k]
        share = (share + moved) / 2
    w = r[x > 0].sum()
    low, high = share[: w + 1].sum(), share[w:].sum()
    if len(np.unique(np.abs(d))) == len(d) and len(x) == len(d):
        for tail, p in (("less", low), ("greater", high)):
            want = stats.wilcoxon(x, method="exact", alternative=tail).pvalue
            assert abs(want - p) <= 1e-9 * p, (tail, want, p)
    return low, high


def panel(d):
    t, interval = stats.ttest_1samp(d, 0), stats.ttest_1samp(d, 0).confidence_interval(0.95)
    down, up, n = int((d < 0).sum()), int((d > 0).sum()), len(d)
    sign = stats.binomtest(down, down + up).pvalue if down + up else 1.0
    size = np.abs(d - np.median(d))
    c = stats.t.isf(0.005 / n, 5) / stats.t.isf(0.1, 5) * (1 + 2.2 / n)
    return [n, down, up, d.mean(), interval.low, interval.high, t.statistic, t.pvalue, sign, *rank_tails(d), np.median(d), c * np.quantile(size, 0.8)]


def synthetic():
    rng = np.random.default_rng(5)
    return [rng.normal(-1, 1, 7), rng.normal(0.2, 1, 12), np.round(rng.normal(0, 0.2, 21) / 0.0758) * 0.0758, rng.standard_t(2, 63),
            np.array([-1.0, -1.0, 2.0, 0.0, 0.0, 3.0, -1.0, 0.5])]


def c(v):
    return repr(float(v)) if isinstance(v, float) else str(int(v))


def main():
    rows = read(sys.argv[1])
    write_extract(rows)
    accuracy = [pairs(rows, "test_accuracy", b, h) for b, h in (("2026-01", "2026-07"), ("2025-06-17", "2025-06-19"))]
    memory = pairs(rows, "accelerator_memory_max_gib", "2026-01", "2026-07")
    samples = [100 * (h - b) for _, b, h in accuracy] + [np.log(memory[2] / memory[1])] + synthetic()
    print(f"/* Written by tests/golden/make_panel.py with scipy {scipy.__version__}, numpy {np.__version__}. */")
    print("static const struct { int n; double d[64]; int down, up; double mean, low, high, t, p_t, p_sign, p_low, p_high, shift, limit; } golden_panel[] = {")
    for d in samples:
        n, *rest = panel(d)
        print(f"    {{{n}, {{{', '.join(c(v) for v in d)}}}, {', '.join(c(v) for v in rest)}}},")
    print("};")
    _, b, h = pairs(rows, "test_accuracy", ("2025-06-17", "2025-06-18"), ("2025-06-19", "2025-06-20"))
    print(f"static const double golden_reruns[{len(b)}] = {{{', '.join(c(v) for v in np.round(100 * (h - b), 4))}}};")


main()
