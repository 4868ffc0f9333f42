/* k_adamw.c - the optimiser's two passes over parameters: the global norm and the AdamW update. */
#include "k_math.h"
#include "kernels.h"

void pm_k_adamw(int64_t n, const pm_adamw_consts *c, const real *restrict g, real *restrict m,
                real *restrict v, real *restrict w) {
    const real b1 = c->beta1, b2 = c->beta2, decay = c->decay, step = c->step_size, eps = c->eps,
               bias2 = c->bias2_sqrt;
#pragma omp parallel for simd schedule(static) if (n >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) {
        real gi = g[i];
        m[i] = m[i] + (gi - m[i]) * (1 - b1);
        v[i] = v[i] * b2 + gi * gi * (1 - b2);
        w[i] = w[i] * decay - step * m[i] / (PM_SQRT(v[i]) / bias2 + eps);
    }
}

double pm_k_sumsq(int64_t n, const real *x) {
    enum { PARTS = 256 };
    double part[PARTS], total = 0;
    int64_t each = (n + PARTS - 1) / PARTS;
#pragma omp parallel for schedule(static) if (n >= PM_PARALLEL_FROM)
    for (int p = 0; p < PARTS; p++) {
        int64_t lo = p * each, hi = lo + each < n ? lo + each : n;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = lo; i < hi; i++) sum += (double)x[i] * (double)x[i];
        part[p] = sum;
    }
    for (int p = 0; p < PARTS; p++) total += part[p];
    return total;
}
