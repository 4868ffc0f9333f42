/* kernel_bench.h - what one call of each kernel takes, by itself.
 *
 * Why: a kernel that became 10% slower may be 2% of a training step, which no test of steps can see beside the noise; by itself it is
 * 10%, and has a name. Shapes are those of the embedded model (models/tiny), which the declared suite trains.
 */
#ifndef PM_KERNEL_BENCH_H
#define PM_KERNEL_BENCH_H
#include "base.h"

int pm_kernel_count(void);
const char *pm_kernel_name(int k); /* k_rmsnorm_bwd, gemm_tn, packed_forward, ... */

typedef struct pm_kernel_bench pm_kernel_bench;
/* Operands and the length of each kernel's batch. pm_gemm_init must have been called, with one thread. */
pm_kernel_bench *pm_kernel_bench_new(void);
void pm_kernel_bench_free(pm_kernel_bench *b);
/* Seconds of CPU time a call of kernel k takes, on the calling thread: the mean of a batch of calls that lasts about 0.1 ms, after a call that is not
 * counted, for another process may have had the caches. */
double pm_kernel_batch(pm_kernel_bench *b, int k);
#endif
