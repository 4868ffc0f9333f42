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

/* ---- the core type ---- */

enum { SSE, AVX, AVX2, AVX512 }; /* what a core's kernels use; AVX2 stands for FMA too */

/* Names as openblas_get_corename gives them. One that is not here is newer than this table: left alone. */
static const struct {
    const char *core;
    int level;
} known_cores[] = {
    {"SkylakeX", AVX512}, {"Cooperlake", AVX512}, {"SapphireRapids", AVX512}, {"Haswell", AVX2},
    {"Zen", AVX2},        {"Excavator", AVX2},    {"Sandybridge", AVX},       {"Bulldozer", AVX},
    {"Piledriver", AVX},  {"Steamroller", AVX},   {"Nehalem", SSE},           {"Penryn", SSE},
    {"Dunnington", SSE},  {"Core2", SSE},         {"Prescott", SSE},          {"Atom", SSE},
    {"Nano", SSE},        {"Bobcat", SSE},        {"Barcelona", SSE},         {"Opteron", SSE},
};
static const char *const core_of_level[] = {
    [SSE] = NULL, [AVX] = "Sandybridge", [AVX2] = "Haswell", [AVX512] = "SkylakeX"};

static int cpu_level(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512cd"))
        return AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return AVX2;
    if (__builtin_cpu_supports("avx")) return AVX;
#endif
    return SSE;
}

static const char *better_core(const char *core, int level) {
    for (size_t i = 0; i < sizeof known_cores / sizeof *known_cores; i++)
        if (strcmp(core, known_cores[i].core) == 0)
            return known_cores[i].level < level ? core_of_level[level] : NULL;
    return NULL;
}

bool pm_coretype_decide(const pm_gemm_vtable *b, const char *core, int level, char *name, size_t cap) {
    bool set = getenv("OPENBLAS_CORETYPE") != NULL, by_us = getenv(PM_CORETYPE_GUARD) != NULL;
    if (set != by_us) return false; /* the user's own choice, or ours that was wrong and is already undone */
    const char *wish = better_core(core, level);
    if (by_us) {
        double max_rel_err;
        wish = pm_gemm_check(b, &max_rel_err, NULL) == PM_OK ? NULL : "";
    }
    if (wish) snprintf(name, cap, "%s", wish);
    return wish != NULL;
}

bool pm_gemm_wants_coretype(char *name, size_t cap) {
    return pm_coretype_decide(&pm_gemm_openblas, openblas_get_corename(), cpu_level(), name, cap);
}

const pm_gemm_vtable pm_gemm_openblas = {.name = "openblas", .init = init, .version = version, .gemm = gemm};
