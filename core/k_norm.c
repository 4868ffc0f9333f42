/* k_norm.c - RMSNorm (Zhang & Sennrich 2019, eq. 4) and LayerNorm (Ba et al. 2016, eq. 4): y = xhat g (+ b).
 *
 * Backward, with xhat the normalised row and h = g dy:  dx = rstd (h - xhat mean(h xhat))  for RMSNorm;
 * LayerNorm also subtracts mean(h) inside the bracket. dg = sum_rows dy xhat, db = sum_rows dy.
 */
#include "k_math.h"
#include "kernels.h"

/* dg[j] += sum_i dy[i,j] (x[i,j] - mean[i]) rstd[i]; mean NULL: 0. Blocks of columns, rows in order: one
 * fixed order per sum. */
static void gain_grad(int64_t N, int64_t C, const real *restrict x, const real *restrict mean,
                      const real *restrict rstd, const real *restrict dy, real *restrict dg) {
    enum { COLS = 64 };
#pragma omp parallel for schedule(static) if (N * C >= PM_PARALLEL_FROM)
    for (int64_t j0 = 0; j0 < C; j0 += COLS) {
        int64_t n = C - j0 < COLS ? C - j0 : COLS;
        real acc[COLS] = {0};
        for (int64_t i = 0; i < N; i++) {
            const real *xi = x + i * C + j0, *di = dy + i * C + j0;
            real mu = mean ? mean[i] : 0, r = rstd[i];
#pragma omp simd
            for (int64_t j = 0; j < n; j++) acc[j] += di[j] * (xi[j] - mu) * r;
        }
        for (int64_t j = 0; j < n; j++) dg[j0 + j] += acc[j];
    }
}

void pm_k_rmsnorm(int64_t N, int64_t C, const real *restrict x, const real *restrict g, real eps,
                  real *restrict rstd, real *restrict y) {
#pragma omp parallel for schedule(static) if (N * C >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < N; i++) {
        const real *xi = x + i * C;
        real *yi = y + i * C, ss = 0;
#pragma omp simd reduction(+ : ss)
        for (int64_t j = 0; j < C; j++) ss += xi[j] * xi[j];
        real r = 1 / PM_SQRT(ss / (real)C + eps);
        rstd[i] = r;
#pragma omp simd
        for (int64_t j = 0; j < C; j++) yi[j] = xi[j] * r * g[j];
    }
}

static void rmsnorm_dx(int64_t N, int64_t C, const real *restrict x, const real *restrict g,
                       const real *restrict rstd, const real *restrict dy, real *restrict dx) {
#pragma omp parallel for schedule(static) if (N * C >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < N; i++) {
        const real *xi = x + i * C, *di = dy + i * C;
        real *oi = dx + i * C, r = rstd[i], dot = 0;
#pragma omp simd reduction(+ : dot)
        for (int64_t j = 0; j < C; j++) dot += g[j] * di[j] * xi[j];
        real k = dot * r * r / (real)C;
#pragma omp simd
        for (int64_t j = 0; j < C; j++) oi[j] += r * (g[j] * di[j] - xi[j] * k);
    }
}

void pm_k_rmsnorm_bwd(int64_t N, int64_t C, const real *x, const real *g, const real *rstd, const real *dy,
                      real *dx, real *dg) {
    if (dx) rmsnorm_dx(N, C, x, g, rstd, dy, dx);
    if (dg) gain_grad(N, C, x, NULL, rstd, dy, dg);
}

void pm_k_layernorm(int64_t N, int64_t C, const real *restrict x, const real *restrict g,
                    const real *restrict b, real eps, real *restrict mean, real *restrict rstd,
                    real *restrict y) {
#pragma omp parallel for schedule(static) if (N * C >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < N; i++) {
        const real *xi = x + i * C;
        real *yi = y + i * C, sum = 0, ss = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < C; j++) sum += xi[j];
        real mu = sum / (real)C;
#pragma omp simd reduction(+ : ss)
        for (int64_t j = 0; j < C; j++) ss += (xi[j] - mu) * (xi[j] - mu);
        real r = 1 / PM_SQRT(ss / (real)C + eps);
        mean[i] = mu;
        rstd[i] = r;
#pragma omp simd
        for (int64_t j = 0; j < C; j++) yi[j] = (xi[j] - mu) * r * g[j] + b[j];
    }
}

static void layernorm_dx(int64_t N, int64_t C, const real *restrict x, const real *restrict g,
                         const real *restrict mean, const real *restrict rstd, const real *restrict dy,
                         real *restrict dx) {
#pragma omp parallel for schedule(static) if (N * C >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < N; i++) {
        const real *xi = x + i * C, *di = dy + i * C;
        real *oi = dx + i * C, r = rstd[i], mu = mean[i], sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
        for (int64_t j = 0; j < C; j++) {
            real h = g[j] * di[j];
            sum += h;
            dot += h * (xi[j] - mu) * r;
        }
        sum /= (real)C;
        dot /= (real)C;
#pragma omp simd
        for (int64_t j = 0; j < C; j++) oi[j] += r * (g[j] * di[j] - sum - (xi[j] - mu) * r * dot);
    }
}

void pm_k_layernorm_bwd(int64_t N, int64_t C, const real *x, const real *g, const real *mean,
                        const real *rstd, const real *dy, real *dx, real *dg, real *db) {
    if (dx) layernorm_dx(N, C, x, g, mean, rstd, dy, dx);
    if (db) pm_k_colsum(N, C, dy, NULL, db);
    if (dg) gain_grad(N, C, x, mean, rstd, dy, dg);
}
