/* gemm_backend.h - what a BLAS brings behind gemm.h, for gemm*.c and their tests only.
 *
 * A backend is one const struct. gemm.c checks arguments, counts, and handles empty shapes, so gemm() sees
 * M, N, K >= 1 and alpha != 0. A new backend is a file with such a struct and a line in gemm.c's table.
 */
#ifndef PM_GEMM_BACKEND_H
#define PM_GEMM_BACKEND_H
#include "gemm.h"

typedef enum pm_pass { PM_PASS_FORWARD, PM_PASS_BACKWARD, PM_PASS_N } pm_pass;

/* A weight W [O,I] as one pass reads it. */
typedef struct pm_layout {
    int64_t O, I;
    pm_pass pass;
    pm_precision precision;
} pm_layout;

typedef struct pm_gemm_vtable {
    const char *name;
    pm_status (*init)(int threads,
                      pm_err *e); /* NULL: not in this build; may be called again with other threads */
    void (*version)(char *out, size_t cap); /* library and kernel */
    void (*gemm)(bool ta, bool tb, int64_t M, int64_t N, int64_t K, real alpha, const real *A, int64_t lda,
                 const real *B, int64_t ldb, real beta, real *C, int64_t ldc);

    /* Frozen weights. All four NULL: the caller's own W serves, bf16 is emulated. */
    bool (*bf16_native)(void); /* bf16 hardware and a library that uses it */
    /* 0: the plain layout is as good (fp32), or bf16 is not native. */
    size_t (*layout_bytes)(const pm_layout *l);
    /* W [O,I] laid out: bytes without pointers, the same in every process with this version and number of threads. */
    bool (*pack)(const pm_layout *l, const real *w, void *out);
    /* forward y [N,O] = x [N,I] W^T + beta y, backward y [N,I] = x [N,O] W + beta y; x is real (fp32) or
     * uint16_t (bf16). False: not for this N, nothing was written. */
    bool (*packed)(const pm_layout *l, const void *weights, int64_t N, const void *x, real beta, real *y);
} pm_gemm_vtable;

extern const pm_gemm_vtable pm_gemm_onednn, pm_gemm_openblas;

/* Initialises b, checks it and makes it the backend of every later product. On failure the backend before
 * stays. */
pm_status pm_gemm_use(const pm_gemm_vtable *b, int threads, pm_err *e);

/* gemm_check.c: an initialised backend's products, general and packed, against a plain loop in double. Fills
 * the largest error found, as a part of sum |alpha a b| + |beta c|; fails with PM_ECHECK naming the first
 * case past its bound. */
pm_status pm_gemm_check(const pm_gemm_vtable *b, double *max_rel_err, pm_err *e);

/* pm_gemm_wants_coretype for a backend (checked when our choice is in force), OpenBLAS's name of the core,
 * and what the CPU has: 0 SSE, 1 AVX, 2 AVX2 and FMA, 3 AVX-512. */
bool pm_coretype_decide(const pm_gemm_vtable *b, const char *core, int level, char *name, size_t cap);
#endif
