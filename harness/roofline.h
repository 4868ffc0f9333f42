/* roofline.h - the fastest that this machine multiplies by a model's frozen weights: what a run's operations a second are a share of.
 *
 * Of each projection's shape the best call counts, over two numbers of rows and many repeats, through pm_pack as frozen weights go; shapes
 * weigh by their operations. Measured once for machine, backend, threads, precision and shapes, and kept in the cache: a run only looks.
 */
#ifndef PM_ROOFLINE_H
#define PM_ROOFLINE_H
#include "cache.h"
#include "gemm.h"
#include "net.h"

/* 1e9 floating-point operations a second, with the backend in use; cache NULL: nothing is known or kept. NAN: not measured yet. */
double pm_roofline_known(pm_cache *cache, const pm_model_cfg *m, pm_precision precision, int threads);
/* The same, measured where it is not known, or (again) in any case: about a second for a small model. What was faster before stays: whatever
 * else ran on the machine then or now only took from it. */
double pm_roofline_measure(pm_cache *cache, const pm_model_cfg *m, pm_precision precision, int threads,
                           bool again);
#endif
