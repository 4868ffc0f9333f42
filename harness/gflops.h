/* gflops.h - how fast this machine multiplies matrices, for `doctor`: two shapes that fine-tuning is made of. */
#ifndef PM_GFLOPS_H
#define PM_GFLOPS_H
#include "gemm.h"

typedef struct pm_gflops_case {
    const char *name;   /* frozen | rank16 */
    int64_t n, out, in; /* y [n,out] = x [n,in] W^T */
    bool packed;        /* through pm_pack, as frozen weights go; else pm_gemm, as adapters go */
} pm_gflops_case;
extern const pm_gflops_case pm_gflops_cases[];
extern const int pm_n_gflops_cases;

/* 1e9 floating-point operations a second with the backend in use: the best of the calls that fit into budget_s, at least three after a
 * first one that is not counted. */
double pm_gflops_measure(const pm_gflops_case *c, pm_precision precision, double budget_s);
#endif
