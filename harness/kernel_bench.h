/* kernel_bench.h - what one call of each kernel takes, by itself.
 *
 * Why: a kernel that became 10% slower may be 2% of a training step, which no test of steps can see beside the noise; by itself it is
 * 10%, and has a name. Shapes are those of the embedded model (models/tiny), which the declared suite trains.
 */
#ifndef PM_KERNEL_BENCH_H
#define PM_KERNEL_BENCH_H
#include "base.h"

typedef struct pm_kernel_time {
    const char *name; /* k_rmsnorm_bwd, gemm_tn, packed_forward, ... */
    double
        call_s; /* seconds a call: the fastest of the batches of calls, which are spread over the whole measurement */
} pm_kernel_time;

int pm_kernel_count(void);
/* Measures every kernel on the calling thread; out [pm_kernel_count()]. pm_gemm_init must have been called with one thread. About
 * `budget_s` seconds. */
void pm_kernel_measure(double budget_s, pm_kernel_time *out);
#endif
