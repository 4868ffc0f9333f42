/* rng.h - counter-based random numbers (Philox4x32-10; Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 *
 * Why counter-based: element i of a stream is a pure function of (seed, stream, i), so dropout masks need no storage, can be
 * recomputed in the backward pass, and do not depend on the thread count.
 */
#ifndef PM_RNG_H
#define PM_RNG_H
#include "base.h"

typedef struct pm_rng {
    uint64_t seed, stream, pos;
} pm_rng;

pm_rng pm_rng_make(uint64_t seed, uint64_t stream);
uint32_t pm_rng_at(uint64_t seed, uint64_t stream, uint64_t i); /* the i-th 32-bit word of a stream */
/* Words 4*block .. 4*block+3 of a stream, for the price of one: for loops over masks. */
void pm_rng_block(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4]);
uint32_t pm_rng_u32(pm_rng *r);
double pm_rng_uniform(pm_rng *r);                      /* [0, 1), 53 bits */
double pm_rng_normal(pm_rng *r);                       /* mean 0, variance 1 (Box-Muller) */
uint32_t pm_rng_below(pm_rng *r, uint32_t n);          /* 0..n-1, unbiased */
void pm_rng_shuffle(pm_rng *r, int32_t *x, int64_t n); /* Fisher-Yates */
/* n values; the stream moves on to its next whole block. The same values for every thread count. */
void pm_rng_fill_uniform(pm_rng *r, real *x, int64_t n, real lo, real hi);
void pm_rng_fill_normal(pm_rng *r, real *x, int64_t n, real mean, real std);
uint64_t pm_hash64(const void *p, size_t n); /* FNV-1a: names to stream numbers */
/* A fast checksum (memory speed) against accidents, not against intent: any changed, swapped or missing word changes it. */
uint64_t pm_checksum(const void *p, size_t n);
#endif
