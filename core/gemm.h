/* gemm.h - the only door to a BLAS: general products, and products with a frozen weight that was packed once.
 *
 * Backends: onednn (dnnl_sgemm, and matmul with packed weights where the library has a blocked layout for
 * this CPU) and openblas. Each is checked on random shapes against a plain loop before it is used: old
 * kernels can be wrong, not only slow. Shapes: row-major; letters as in BLAS.
 */
#ifndef PM_GEMM_H
#define PM_GEMM_H
#include "arena.h"

typedef enum pm_precision { PM_FP32, PM_BF16 } pm_precision;

typedef struct pm_backend_info {
    const char *name;    /* onednn | openblas */
    const char *version; /* library and kernel, for the hosts table; "not in this build" when absent */
    bool available;      /* built in and loads */
    bool passed;         /* self-check against a plain loop */
    bool bf16_native;   /* bf16 products run on bf16 hardware (else they are emulated in fp32: same values, no
                           speed-up) */
    double max_rel_err; /* of the self-check */
} pm_backend_info;

/* Chooses and checks a backend: "auto" (onednn when it passes, else openblas; never a timing), "onednn" or
 * "openblas". Must precede every other call here. Fails with PM_EUNSUPPORTED (not built in) or PM_ECHECK
 * (self-check failed). */
pm_status pm_gemm_init(const char *backend, int threads, pm_err *e);
const char *pm_gemm_backend(void);
const char *pm_gemm_version(void); /* of the backend: library and kernels, as pm_gemm_list says it */
int pm_gemm_list(pm_backend_info *out, int cap); /* every backend, checked; returns how many */

/* OpenBLAS may take a new CPU for an older one and run at half speed; the environment corrects it, but only before it loads.
 * True: main sets PM_CORETYPE_GUARD to 1 and OPENBLAS_CORETYPE to name (unsets it when name is empty: our choice failed the
 * self-check), then executes itself again. Call it first thing, before pm_gemm_init. A value the user has set is left alone,
 * and at most two restarts happen. */
#define PM_CORETYPE_GUARD "PEFTMETER_CORETYPE"
bool pm_gemm_wants_coretype(char *name, size_t cap);

/* C[M,N] = alpha op(A) op(B) + beta C; op = transpose when ta/tb; ld* = row stride in elements.
 * Inside a parallel region it runs on the calling thread alone. beta 0 overwrites C, NaN too;
 * with K or alpha 0 the result is beta C. */
void pm_gemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K, real alpha, const real *A, int64_t lda,
             const real *B, int64_t ldb, real beta, real *C, int64_t ldc);

/* A frozen weight W [O,I] prepared for y = x W^T and dx = g W. Holds on to w (not copied unless the layout
 * asks for it); both live in the arena, which is asked again when a pass is first used. model (a hash) and name say which numbers W
 * holds: processes whose arenas have memory in common find each other's layouts by them. model NULL or "": this one keeps its own. The
 * strings are kept. Packed products run outside parallel regions only. With PM_BF16 W and the inputs are rounded to bf16 and the sums kept in fp32; beta y stays fp32. */
typedef struct pm_packed pm_packed;
pm_packed *pm_pack(pm_arena *a, const char *model, const char *name, const real *w, int64_t O, int64_t I,
                   pm_precision precision);
void pm_packed_forward(const pm_packed *p, int64_t N, const real *x, real beta,
                       real *y); /* y [N,O] = x [N,I] W^T + beta y */
void pm_packed_backward(const pm_packed *p, int64_t N, const real *g, real beta,
                        real *dx); /* dx [N,I] = g [N,O] W + beta dx */

/* Workspace the products hold besides what the arenas count (rounded inputs of bf16 products). */
int64_t pm_gemm_scratch_bytes(void);
void pm_gemm_scratch_free(void); /* it is made again when it is needed */

/* Exact floating-point operations since pm_flops_clear, by what they were for. Attention and elementwise work
 * is added by the ops, and so are products inside parallel regions, which are not counted here. */
typedef enum pm_flops {
    PM_FLOPS_FORWARD,
    PM_FLOPS_INPUT_GRAD,
    PM_FLOPS_WEIGHT_GRAD,
    PM_FLOPS_OPTIMIZER,
    PM_FLOPS_N
} pm_flops;
const char *pm_flops_name(pm_flops f);
void pm_flops_phase(pm_flops f); /* what following products count as */
void pm_flops_add(int64_t n);    /* adds to the current phase */
int64_t pm_flops_get(pm_flops f);
int64_t pm_gemm_calls(void);
void pm_flops_clear(void); /* also clears the call count */
#endif
