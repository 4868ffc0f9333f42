/* k_elem.c - elementwise kernels. Memory-bound: one pass each, split in fixed blocks so that results never
 * depend on the thread count. */
#include "k_math.h"
#include "kernels.h"
#include "rng.h"

void pm_k_axpy(int64_t n, real a, const real *restrict x, real *restrict y) {
#pragma omp parallel for simd schedule(static) if (n >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

void pm_k_scale(int64_t n, real a, const real *x, real *y) {
#pragma omp parallel for simd schedule(static) if (n >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) y[i] = a * x[i];
}

void pm_k_mul(int64_t n, const real *restrict a, const real *restrict b, real *restrict y) {
#pragma omp parallel for simd schedule(static) if (n >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) y[i] = a[i] * b[i];
}

void pm_k_mul_add(int64_t n, const real *restrict a, const real *restrict b, real *restrict y) {
#pragma omp parallel for simd schedule(static) if (n >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) y[i] += a[i] * b[i];
}

void pm_k_mul_row(int64_t N, int64_t C, const real *restrict x, const real *restrict s, real beta,
                  real *restrict y) {
#pragma omp parallel for schedule(static) if (N * C >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < N; i++) {
        const real *xi = x + i * C;
        real *yi = y + i * C;
        if (beta == 0) {
#pragma omp simd
            for (int64_t j = 0; j < C; j++) yi[j] = xi[j] * s[j];
        } else {
#pragma omp simd
            for (int64_t j = 0; j < C; j++) yi[j] = xi[j] * s[j] + beta * yi[j];
        }
    }
}

void pm_k_add_row(int64_t N, int64_t C, const real *restrict b, real *restrict y) {
#pragma omp parallel for schedule(static) if (N * C >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < N; i++) {
        real *yi = y + i * C;
#pragma omp simd
        for (int64_t j = 0; j < C; j++) yi[j] += b[j];
    }
}

/* Columns are split over threads and rows are walked in order: each sum has one fixed order. */
void pm_k_colsum(int64_t N, int64_t C, const real *restrict g, const real *restrict x, real *restrict out) {
    enum { COLS = 64 };
#pragma omp parallel for schedule(static) if (N * C >= PM_PARALLEL_FROM)
    for (int64_t j0 = 0; j0 < C; j0 += COLS) {
        int64_t n = C - j0 < COLS ? C - j0 : COLS;
        real acc[COLS] = {0};
        for (int64_t i = 0; i < N; i++) {
            const real *gi = g + i * C + j0, *xi = x ? x + i * C + j0 : NULL;
            if (xi) {
#pragma omp simd
                for (int64_t j = 0; j < n; j++) acc[j] += gi[j] * xi[j];
            } else {
#pragma omp simd
                for (int64_t j = 0; j < n; j++) acc[j] += gi[j];
            }
        }
        for (int64_t j = 0; j < n; j++) out[j0 + j] += acc[j];
    }
}

void pm_k_silu_mul(int64_t n, const real *restrict gate, const real *restrict up, real *restrict y) {
#pragma omp parallel for simd schedule(static) if (n >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) y[i] = gate[i] * pm_sigmoid(gate[i]) * up[i];
}

/* d silu(a)/da = s (1 + a (1 - s)), s = sigmoid(a). */
void pm_k_silu_mul_bwd(int64_t n, const real *restrict gate, const real *restrict up, const real *restrict dy,
                       real *restrict dgate, real *restrict dup) {
    if (dgate) {
#pragma omp parallel for simd schedule(static) if (n >= PM_PARALLEL_FROM)
        for (int64_t i = 0; i < n; i++) {
            real a = gate[i], s = pm_sigmoid(a);
            dgate[i] += dy[i] * up[i] * s * (1 + a * (1 - s));
        }
    }
    if (dup) {
#pragma omp parallel for simd schedule(static) if (n >= PM_PARALLEL_FROM)
        for (int64_t i = 0; i < n; i++) dup[i] += dy[i] * gate[i] * pm_sigmoid(gate[i]);
    }
}

static const real SQRT_HALF = (real)0.70710678118654752440, INV_SQRT_2PI = (real)0.39894228040143267794;

void pm_k_gelu(int64_t n, const real *restrict x, real *restrict y) {
#pragma omp parallel for schedule(static) if (n >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * (real)0.5 * (1 + PM_ERF(x[i] * SQRT_HALF));
}

void pm_k_gelu_bwd(int64_t n, const real *restrict x, const real *restrict dy, real *restrict dx) {
#pragma omp parallel for schedule(static) if (n >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) {
        real cdf = (real)0.5 * (1 + PM_ERF(x[i] * SQRT_HALF));
        real pdf = INV_SQRT_2PI * pm_exp((real)-0.5 * x[i] * x[i]);
        dx[i] += dy[i] * (cdf + x[i] * pdf);
    }
}

void pm_k_dropout(int64_t n, const real *restrict x, real p, uint64_t seed, uint64_t stream, bool add,
                  real *restrict y) {
    uint32_t keep_to = (uint32_t)((1.0 - (double)p) * 4294967295.0);
    real up = 1 / (1 - p);
#pragma omp parallel for schedule(static) if (n >= PM_PARALLEL_FROM)
    for (int64_t block = 0; block < (n + 3) / 4; block++) {
        uint32_t word[4];
        pm_rng_block(seed, stream, (uint64_t)block, word);
        for (int64_t i = 4 * block; i < n && i < 4 * block + 4; i++) {
            real v = word[i % 4] <= keep_to ? x[i] * up : 0;
            y[i] = add ? y[i] + v : v;
        }
    }
}
