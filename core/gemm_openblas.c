/* gemm_openblas.c - the backend that is always there, in float and double (gemm_backend.h).
 *
 * The core type: OpenBLAS picks its kernels by a table of CPU models. Debian's 0.3.21 predates Zen 4 and 5
 * and gives them AVX2 kernels, half of what they can do. OPENBLAS_CORETYPE overrides the table but is read
 * while the library loads, hence pm_gemm_wants_coretype: main sets the variable and executes itself again.
 */
#include "gemm_backend.h"
#include <cblas.h>
#include <limits.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pm_status init(int threads, pm_err *e) {
    (void)e;
    omp_set_num_threads(threads);
    openblas_set_num_threads(threads);
    return PM_OK;
}

static void version(char *out, size_t cap) {
    char number[32] = "";
    sscanf(openblas_get_config(), "OpenBLAS %31s", number);
    const char *pool =
        openblas_get_parallel() == OPENBLAS_OPENMP ? "OpenMP" : "no OpenMP: its threads fight with ours";
    snprintf(out, cap, "OpenBLAS %s %s (%s)", number, openblas_get_corename(), pool);
}

static void gemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K, real alpha, const real *A, int64_t lda,
                 const real *B, int64_t ldb, real beta, real *C, int64_t ldc) {
    PM_ASSERT(M <= INT_MAX && N <= INT_MAX && K <= INT_MAX && lda <= INT_MAX && ldb <= INT_MAX &&
                  ldc <= INT_MAX,
              "M %lld N %lld K %lld", (long long)M, (long long)N, (long long)K);
    CBLAS_TRANSPOSE a = ta ? CblasTrans : CblasNoTrans, b = tb ? CblasTrans : CblasNoTrans;
#ifdef PM_DOUBLE
    cblas_dgemm(CblasRowMajor, a, b, (int)M, (int)N, (int)K, alpha, A, (int)lda, B, (int)ldb, beta, C,
                (int)ldc);
#else
    cblas_sgemm(CblasRowMajor, a, b, (int)M, (int)N, (int)K, alpha, A, (int)lda, B, (int)ldb, beta, C,
                (int)ldc);
#endif
}

const pm_gemm_vtable pm_gemm_openblas = {.name = "openblas", .init = init, .version = version, .gemm = gemm};
