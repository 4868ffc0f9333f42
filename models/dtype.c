/* dtype.c - stored numbers to real: IEEE halves, bfloat16, and GGUF's quantised blocks.
 *
 * Ref: the block layouts are ggml's (ggml-common.h); the order of the float operations is that of the Python
 * package `gguf` (gguf.quants), so that results agree bit for bit. Arithmetic is in float in every build: a
 * double build computes with the same weights.
 * A block of the K types covers 256 numbers: super-scales d, dmin (half) times 6-bit scales of 32 (Q6_K: 8-bit
 * scales of 16).
 */
#include "bytes.h"
#include "weights.h"

#ifdef __clang__ /* gcc's -std=c11 never fuses a multiply with an add: the same bits from both */
#pragma STDC FP_CONTRACT OFF
#endif

static inline float from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Scaling by 2^112 moves the exponent's bias from 15 to 127 and normalises subnormals exactly; only Inf and
 * NaN need a select. */
static inline float half_to_float(uint16_t h) {
    uint32_t bits = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16, u;
    float f = from_bits(bits) * 0x1p112f;
    memcpy(&u, &f, sizeof u);
    u = (h & 0x7c00) == 0x7c00 ? bits | 0x7f800000u : u;
    return from_bits(u | sign);
}
static inline float half_at(const uint8_t *p) {
    return half_to_float(pm_le16(p));
}

/* Each converter: n blocks at b to n * (elements a block) numbers at y. `restrict` lets the compiler
 * vectorise past the bytes. */
static void from_f32(const uint8_t *restrict b, int64_t n, real *restrict y) {
    for (int64_t i = 0; i < n; i++) y[i] = from_bits(pm_le32(b + 4 * i));
}
static void from_f64(const uint8_t *restrict b, int64_t n, real *restrict y) {
    for (int64_t i = 0; i < n; i++) {
        double d;
        memcpy(&d, b + 8 * i, sizeof d);
        y[i] = (real)d;
    }
}
static void from_f16(const uint8_t *restrict b, int64_t n, real *restrict y) {
    for (int64_t i = 0; i < n; i++) y[i] = half_at(b + 2 * i);
}
static void from_bf16(const uint8_t *restrict b, int64_t n, real *restrict y) {
    for (int64_t i = 0; i < n; i++) y[i] = from_bits((uint32_t)pm_le16(b + 2 * i) << 16);
}

static void from_q8_0(const uint8_t *restrict b, int64_t n, real *restrict y) { /* d, 32 bytes */
    for (; n > 0; n--, b += 34, y += 32) {
        float d = half_at(b);
        for (int j = 0; j < 32; j++) y[j] = d * (float)(int8_t)b[2 + j];
    }
}
static void from_q4_0(const uint8_t *restrict b, int64_t n,
                      real *restrict y) { /* d, 16 bytes: low nibbles are the first half */
    for (; n > 0; n--, b += 18, y += 32) {
        float d = half_at(b);
        for (int j = 0; j < 16; j++) {
            y[j] = d * (float)((b[2 + j] & 15) - 8);
            y[j + 16] = d * (float)((b[2 + j] >> 4) - 8);
        }
    }
}
static void from_q4_1(const uint8_t *restrict b, int64_t n, real *restrict y) { /* d, m, 16 bytes */
    for (; n > 0; n--, b += 20, y += 32) {
        float d = half_at(b), m = half_at(b + 2);
        for (int j = 0; j < 16; j++) {
            y[j] = d * (float)(b[4 + j] & 15) + m;
            y[j + 16] = d * (float)(b[4 + j] >> 4) + m;
        }
    }
}
/* The fifth bits: bit j of qh belongs to number j. */
static void from_q5_0(const uint8_t *restrict b, int64_t n, real *restrict y) { /* d, qh, 16 bytes */
    for (; n > 0; n--, b += 22, y += 32) {
        float d = half_at(b);
        uint32_t qh = pm_le32(b + 2);
        for (int j = 0; j < 16; j++) {
            y[j] = d * (float)((int)((b[6 + j] & 15u) | (qh >> j & 1u) << 4) - 16);
            y[j + 16] = d * (float)((int)((unsigned)b[6 + j] >> 4 | (qh >> (j + 16) & 1u) << 4) - 16);
        }
    }
}
static void from_q5_1(const uint8_t *restrict b, int64_t n, real *restrict y) { /* d, m, qh, 16 bytes */
    for (; n > 0; n--, b += 24, y += 32) {
        float d = half_at(b), m = half_at(b + 2);
        uint32_t qh = pm_le32(b + 4);
        for (int j = 0; j < 16; j++) {
            y[j] = d * (float)((b[8 + j] & 15u) | (qh >> j & 1u) << 4) + m;
            y[j + 16] = d * (float)((unsigned)b[8 + j] >> 4 | (qh >> (j + 16) & 1u) << 4) + m;
        }
    }
}

/* Eight 6-bit scales and minima in 12 bytes: the first four of each lie whole, the others' high bits are in
 * the first eight bytes. */
static void scales_k4(const uint8_t *q, uint8_t sc[8], uint8_t mn[8]) {
    for (int j = 0; j < 4; j++) {
        sc[j] = q[j] & 63;
        mn[j] = q[j + 4] & 63;
        sc[j + 4] = (uint8_t)((q[j + 8] & 15) | q[j] >> 6 << 4);
        mn[j + 4] = (uint8_t)(q[j + 8] >> 4 | q[j + 4] >> 6 << 4);
    }
}
static void from_q4_k(const uint8_t *restrict b, int64_t n,
                      real *restrict y) { /* d, dmin, 12 bytes of scales, 128 bytes */
    for (; n > 0; n--, b += 144, y += 256) {
        float d = half_at(b), dmin = half_at(b + 2);
        uint8_t sc[8], mn[8];
        scales_k4(b + 4, sc, mn);
        for (int g = 0; g < 8; g++) {
            const uint8_t *q = b + 16 + g / 2 * 32;
            float s = d * (float)sc[g], m = dmin * (float)mn[g];
            int shift = g % 2 * 4;
            for (int j = 0; j < 32; j++) y[32 * g + j] = s * (float)(q[j] >> shift & 15) - m;
        }
    }
}
static void from_q5_k(const uint8_t *restrict b, int64_t n,
                      real *restrict y) { /* d, dmin, 12 bytes of scales, 32 bytes of fifth bits, 128 bytes */
    for (; n > 0; n--, b += 176, y += 256) {
        float d = half_at(b), dmin = half_at(b + 2);
        uint8_t sc[8], mn[8];
        scales_k4(b + 4, sc, mn);
        for (int g = 0; g < 8; g++) {
            const uint8_t *qh = b + 16, *q = b + 48 + g / 2 * 32;
            float s = d * (float)sc[g], m = dmin * (float)mn[g];
            int shift = g % 2 * 4;
            for (int j = 0; j < 32; j++)
                y[32 * g + j] = s * (float)((q[j] >> shift & 15) | (qh[j] >> g & 1) << 4) - m;
        }
    }
}
static void from_q6_k(const uint8_t *restrict b, int64_t n,
                      real *restrict y) { /* 128 bytes low 4 bits, 64 bytes high 2 bits, 16 scales, d */
    for (; n > 0; n--, b += 210, y += 256) {
        float d = half_at(b + 208);
        for (int g = 0; g < 16;
             g++) { /* 16 numbers with one scale: half g/8 of the block, quarter g/2%4 of the half */
            const uint8_t *ql = b + g / 8 * 64 + g % 4 * 16, *qh = b + 128 + g / 8 * 32 + g % 2 * 16;
            int low = g / 4 % 2 * 4, high = g / 2 % 4 * 2;
            float s = d * (float)(int8_t)b[192 + g];
            for (int j = 0; j < 16; j++)
                y[16 * g + j] = s * (float)(((ql[j] >> low & 15) | (qh[j] >> high & 3) << 4) - 32);
        }
    }
}

static const struct dtype {
    const char *name;
    int block, block_bytes; /* elements, bytes */
    void (*to_real)(const uint8_t *b, int64_t n_blocks, real *y);
} dtypes[PM_DTYPE_N] = {
    [PM_F32] = {"F32", 1, 4, from_f32},
    [PM_F16] = {"F16", 1, 2, from_f16},
    [PM_BFLOAT16] = {"BF16", 1, 2, from_bf16},
    [PM_F64] = {"F64", 1, 8, from_f64},
    [PM_I64] = {"I64", 1, 8, NULL},
    [PM_I32] = {"I32", 1, 4, NULL},
    [PM_I16] = {"I16", 1, 2, NULL},
    [PM_I8] = {"I8", 1, 1, NULL},
    [PM_U8] = {"U8", 1, 1, NULL},
    [PM_BOOL] = {"BOOL", 1, 1, NULL},
    [PM_Q8_0] = {"Q8_0", 32, 34, from_q8_0},
    [PM_Q4_0] = {"Q4_0", 32, 18, from_q4_0},
    [PM_Q4_1] = {"Q4_1", 32, 20, from_q4_1},
    [PM_Q5_0] = {"Q5_0", 32, 22, from_q5_0},
    [PM_Q5_1] = {"Q5_1", 32, 24, from_q5_1},
    [PM_Q4_K] = {"Q4_K", 256, 144, from_q4_k},
    [PM_Q5_K] = {"Q5_K", 256, 176, from_q5_k},
    [PM_Q6_K] = {"Q6_K", 256, 210, from_q6_k},
};

static const struct dtype *dtype(pm_dtype t) {
    PM_ASSERT((unsigned)t < PM_DTYPE_N, "dtype %d", (int)t);
    return &dtypes[t];
}

const char *pm_dtype_name(pm_dtype t) {
    return dtype(t)->name;
}

bool pm_dtype_is_float(pm_dtype t) {
    return dtype(t)->to_real != NULL;
}

size_t pm_dtype_bytes(pm_dtype t, int64_t n) {
    const struct dtype *d = dtype(t);
    if (n < 0 || n % d->block || n / d->block > INT64_MAX / d->block_bytes) return 0;
    return (size_t)(n / d->block) * (size_t)d->block_bytes;
}

int64_t pm_tensor_info_count(const pm_tensor_info *t) {
    int64_t n = 1;
    for (int i = 0; i < t->n_dims; i++) n *= t->dim[i];
    return n;
}

bool pm_tensor_info_fits(const pm_tensor_info *t, int64_t rows, int64_t cols) {
    if (t->n_dims == 1) return rows == 1 && t->dim[0] == cols;
    return t->n_dims == 2 && t->dim[0] == rows && t->dim[1] == cols;
}

void pm_tensor_info_shape(const pm_tensor_info *t, char out[PM_SHAPE_TEXT]) {
    int at = snprintf(out, PM_SHAPE_TEXT, "[");
    for (int i = 0; i < t->n_dims; i++)
        at += snprintf(out + at, PM_SHAPE_TEXT - (size_t)at, "%s%lld", i ? "," : "", (long long)t->dim[i]);
    snprintf(out + at, PM_SHAPE_TEXT - (size_t)at, "]");
}

enum { CHUNK = 16384 }; /* elements a task; whole blocks of every type */

void pm_dtype_to_real(pm_dtype t, const void *src, int64_t n, real *dst) {
    const struct dtype *d = dtype(t);
    PM_ASSERT(d->to_real && n >= 0 && n % d->block == 0, "%s, %lld elements", d->name, (long long)n);
    int64_t n_chunks = (n + CHUNK - 1) / CHUNK;
#pragma omp parallel for schedule(static) if (n_chunks > 1)
    for (int64_t c = 0; c < n_chunks; c++) {
        int64_t at = c * CHUNK, len = n - at < CHUNK ? n - at : CHUNK;
        d->to_real((const uint8_t *)src + at / d->block * d->block_bytes, len / d->block, dst + at);
    }
}

void pm_real_to_f32(const real *src, int64_t n, float *dst) {
    for (int64_t i = 0; i < n; i++) dst[i] = (float)src[i];
}
