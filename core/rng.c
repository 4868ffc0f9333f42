/* rng.c - Philox4x32-10 and what is drawn from it (rng.h).
 *
 * Ref: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). Layout: key =
 * seed, counter = (block, stream), word i of a stream = word i % 4 of block i / 4.
 */
#include "rng.h"
#include <math.h>
#include <string.h>

static const double two_pi = 6.283185307179586476925;
static const int64_t parallel_from = 1 << 15; /* values; below, waking the threads costs more than it saves */

void pm_rng_block(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4]) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = (uint32_t)stream,
             c3 = (uint32_t)(stream >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

pm_rng pm_rng_make(uint64_t seed, uint64_t stream) {
    return (pm_rng){.seed = seed, .stream = stream};
}

uint32_t pm_rng_at(uint64_t seed, uint64_t stream, uint64_t i) {
    uint32_t word[4];
    pm_rng_block(seed, stream, i / 4, word);
    return word[i % 4];
}

uint32_t pm_rng_u32(pm_rng *r) {
    return pm_rng_at(r->seed, r->stream, r->pos++);
}

/* 53 of the 64 bits as [0, 1). */
static double unit(uint32_t hi, uint32_t lo) {
    return (double)(((uint64_t)hi << 32 | lo) >> 11) * 0x1p-53;
}

double pm_rng_uniform(pm_rng *r) {
    uint32_t hi = pm_rng_u32(r), lo = pm_rng_u32(r);
    return unit(hi, lo);
}

double pm_rng_normal(pm_rng *r) {
    double u = pm_rng_uniform(r), v = pm_rng_uniform(r);
    return sqrt(-2 * log(1 - u)) * cos(two_pi * v); /* 1 - u is never 0 */
}

/* Lemire, "Fast random integer generation in an interval" (2019), section 4: the high word, rejecting the
 * uneven rest. */
uint32_t pm_rng_below(pm_rng *r, uint32_t n) {
    PM_ASSERT(n > 0, "nothing lies below 0");
    uint64_t m = (uint64_t)pm_rng_u32(r) * n;
    for (uint32_t uneven = -n % n; (uint32_t)m < uneven;) m = (uint64_t)pm_rng_u32(r) * n;
    return (uint32_t)(m >> 32);
}

void pm_rng_shuffle(pm_rng *r, int32_t *x, int64_t n) {
    PM_ASSERT(n >= 0 && n <= (int64_t)UINT32_MAX, "n = %lld", (long long)n);
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = pm_rng_below(r, (uint32_t)i + 1);
        int32_t swap = x[i];
        x[i] = x[j];
        x[j] = swap;
    }
}

/* Reserves whole blocks of two values each and returns the first, so that threads can fill them in any order.
 */
static uint64_t claim_blocks(pm_rng *r, int64_t n_values) {
    uint64_t first = (r->pos + 3) / 4;
    r->pos = 4 * (first + (uint64_t)(n_values + 1) / 2);
    return first;
}

void pm_rng_fill_uniform(pm_rng *r, real *x, int64_t n, real lo, real hi) {
    uint64_t first = claim_blocks(r, n);
    double from = (double)lo, width = (double)hi - (double)lo;
#pragma omp parallel for schedule(static) if (n >= parallel_from)
    for (int64_t i = 0; i < n; i += 2) {
        uint32_t w[4];
        pm_rng_block(r->seed, r->stream, first + (uint64_t)i / 2, w);
        x[i] = (real)(from + width * unit(w[0], w[1]));
        if (i + 1 < n) x[i + 1] = (real)(from + width * unit(w[2], w[3]));
    }
}

void pm_rng_fill_normal(pm_rng *r, real *x, int64_t n, real mean, real std) {
    uint64_t first = claim_blocks(r, n);
    double mu = (double)mean, sigma = (double)std;
#pragma omp parallel for schedule(static) if (n >= parallel_from)
    for (int64_t i = 0; i < n; i += 2) {
        uint32_t w[4];
        pm_rng_block(r->seed, r->stream, first + (uint64_t)i / 2, w);
        double radius = sigma * sqrt(-2 * log(1 - unit(w[0], w[1]))), angle = two_pi * unit(w[2], w[3]);
        x[i] = (real)(mu + radius * cos(angle));
        if (i + 1 < n) x[i + 1] = (real)(mu + radius * sin(angle));
    }
}

uint64_t pm_hash64(const void *p, size_t n) {
    const unsigned char *byte = p;
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < n; i++) h = (h ^ byte[i]) * 0x100000001B3u;
    return h;
}

/* Four lanes of multiply-and-rotate over 8-byte words, so that the multiplications overlap; the tail through FNV. */
uint64_t pm_checksum(const void *p, size_t n) {
    enum { LANES = 4, STEP = LANES * 8 };
    const unsigned char *byte = p;
    uint64_t lane[LANES] = {1, 2, 3, 4}, word[LANES], sum = n;
    size_t whole = n / STEP * STEP;
    for (size_t i = 0; i < whole; i += STEP) {
        memcpy(word, byte + i, STEP);
        for (int l = 0; l < LANES; l++) {
            lane[l] = (lane[l] ^ word[l]) * 0x9E3779B97F4A7C15u;
            lane[l] = lane[l] << 29 | lane[l] >> 35;
        }
    }
    for (int l = 0; l < LANES; l++) sum = (sum ^ lane[l]) * 0x9E3779B97F4A7C15u;
    return sum ^ sum >> 32 ^ pm_hash64(byte + whole, n - whole);
}
