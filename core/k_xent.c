/* k_xent.c - softmax statistics of logit rows: log-probability of a target, best id, and the loss gradient in
 * place. */
#include "k_math.h"
#include "kernels.h"

static real row_max(int64_t V, const real *restrict z) {
    real m = z[0];
#pragma omp simd reduction(max : m)
    for (int64_t j = 1; j < V; j++) m = z[j] > m ? z[j] : m;
    return m;
}

static real row_sumexp(int64_t V, const real *restrict z, real m) {
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < V; j++) sum += pm_exp(z[j] - m);
    return sum;
}

static int32_t row_argmax(int64_t V, const real *z, real m) {
    for (int64_t j = 0; j < V; j++)
        if (z[j] == m) return (int32_t)j; /* the first of equals, as torch.argmax */
    return 0;                             /* only when the row is NaN */
}

static double row_logprob(const real *z, int32_t target, real m, real sum) {
    return (double)(z[target] - m) - log((double)sum);
}

void pm_k_logprob(int64_t n, int64_t V, const real *logits, const int32_t *target, double *logp,
                  int32_t *argmax) {
#pragma omp parallel for schedule(static) if (n * V >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) {
        const real *z = logits + i * V;
        real m = row_max(V, z);
        if (argmax) argmax[i] = row_argmax(V, z, m);
        if (logp) logp[i] = row_logprob(z, target[i], m, row_sumexp(V, z, m));
    }
}

void pm_k_xent_bwd(int64_t n, int64_t V, real *logits, const int32_t *target, real scale, double *logp) {
#pragma omp parallel for schedule(static) if (n * V >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) {
        real *restrict z = logits + i * V;
        if (target[i] < 0) {
            memset(z, 0, (size_t)V * sizeof *z);
            continue;
        }
        real m = row_max(V, z), sum = 0, z_target = z[target[i]];
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < V; j++) {
            z[j] = pm_exp(z[j] - m);
            sum += z[j];
        }
        if (logp) logp[i] = (double)(z_target - m) - log((double)sum);
        real k = scale / sum;
#pragma omp simd
        for (int64_t j = 0; j < V; j++) z[j] *= k;
        z[target[i]] -= scale;
    }
}
