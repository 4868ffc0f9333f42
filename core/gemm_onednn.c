/* gemm_onednn.c - the backend oneDNN (gemm_backend.h), in float builds. */
#include "gemm_backend.h"

#if defined(PM_HAVE_DNNL) && !defined(PM_DOUBLE)
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>

static pm_status init(int threads, pm_err *e) {
    (void)e;
    omp_set_num_threads(threads);
    return PM_OK;
}

static void version(char *out, size_t cap) {
    const dnnl_version_t *v = dnnl_version();
    snprintf(out, cap, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
}

static void gemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K, real alpha, const real *A, int64_t lda,
                 const real *B, int64_t ldb, real beta, real *C, int64_t ldc) {
    dnnl_status_t status =
        dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
    PM_ASSERT(status == dnnl_success, "dnnl_sgemm: status %d for M %lld N %lld K %lld", (int)status,
              (long long)M, (long long)N, (long long)K);
}

const pm_gemm_vtable pm_gemm_onednn = {.name = "onednn", .init = init, .version = version, .gemm = gemm};
#else
const pm_gemm_vtable pm_gemm_onednn = {.name = "onednn"};
#endif
