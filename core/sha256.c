/* sha256.c - SHA-256 (sha256.h), by the CPU's own instructions where the build may use them, else in portable C. Ref: FIPS 180-4,
 * section 6.2; names as there.
 *
 * Model files of half a gigabyte are hashed at load, and every row of every task.
 */
#include "sha256.h"
#include <string.h>
#if defined __SHA__ && defined __SSE4_1__
#include <immintrin.h>
#endif

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#if defined __SHA__ && defined __SSE4_1__

/* Words t .. t + 3 of the schedule from the sixteen before them. */
static inline __m128i schedule4(__m128i w16, __m128i w12, __m128i w8, __m128i w4) {
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w16, w12), _mm_alignr_epi8(w4, w8, 4));
    return _mm_sha256msg2_epu32(sum, w4);
}

static inline __m128i load4_be(const uint8_t *p) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    return _mm_shuffle_epi8(_mm_loadu_si128((const void *)p), swap);
}

/* The instructions want the working variables as (a, b, e, f) and (c, d, g, h), a and c in the highest word; each does two rounds. */
static void compress(uint32_t H[8], const uint8_t block[64]) {
    __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128((const void *)H), 0xb1);
    __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const void *)(H + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(badc, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);
    const __m128i abef0 = abef, cdgh0 = cdgh;
    __m128i w[4];
    for (int i = 0; i < 4; i++) w[i] = load4_be(block + 16 * i);
    for (int i = 0; i < 16; i++) {
        if (i >= 4) w[i & 3] = schedule4(w[i & 3], w[(i + 1) & 3], w[(i + 2) & 3], w[(i + 3) & 3]);
        __m128i kw = _mm_add_epi32(w[i & 3], _mm_loadu_si128((const void *)(K + 4 * i)));
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, kw);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(kw, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef0), cdgh = _mm_add_epi32(cdgh, cdgh0);
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((void *)H, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((void *)(H + 4), _mm_alignr_epi8(dchg, feba, 8));
}

#else

/* Unrolled: eight rounds a turn rename the working variables instead of moving them, and the schedule lives in sixteen words. */
static inline uint32_t rotr(uint32_t x, int n) {
    return x >> n | x << (32 - n);
}

static inline uint32_t load_be(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Word t >= 16 of the schedule, in place of word t - 16. */
static inline uint32_t schedule(uint32_t w[16], int t) {
    uint32_t a = w[(t + 1) & 15], b = w[(t + 14) & 15];
    uint32_t s0 = rotr(a, 7) ^ rotr(a, 18) ^ a >> 3, s1 = rotr(b, 17) ^ rotr(b, 19) ^ b >> 10;
    return w[t & 15] += s0 + w[(t + 9) & 15] + s1;
}

#define ROUND(a, b, c, d, e, f, g, h, k, w)                                                                  \
    do {                                                                                                     \
        uint32_t t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + (g ^ (e & (f ^ g))) + (k) + (w);        \
        uint32_t t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) | (c & (a | b)));                  \
        d += t1;                                                                                             \
        h = t1 + t2;                                                                                         \
    } while (0)
#define EIGHT_ROUNDS(W, t)                                                                                   \
    do {                                                                                                     \
        ROUND(a, b, c, d, e, f, g, h, K[t], W(t));                                                           \
        ROUND(h, a, b, c, d, e, f, g, K[(t) + 1], W((t) + 1));                                               \
        ROUND(g, h, a, b, c, d, e, f, K[(t) + 2], W((t) + 2));                                               \
        ROUND(f, g, h, a, b, c, d, e, K[(t) + 3], W((t) + 3));                                               \
        ROUND(e, f, g, h, a, b, c, d, K[(t) + 4], W((t) + 4));                                               \
        ROUND(d, e, f, g, h, a, b, c, K[(t) + 5], W((t) + 5));                                               \
        ROUND(c, d, e, f, g, h, a, b, K[(t) + 6], W((t) + 6));                                               \
        ROUND(b, c, d, e, f, g, h, a, K[(t) + 7], W((t) + 7));                                               \
    } while (0)
#define FROM_BLOCK(t) (w[t] = load_be(block + 4 * (t)))
#define FROM_SCHEDULE(t) schedule(w, t)

static void compress(uint32_t H[8], const uint8_t block[64]) {
    uint32_t w[16];
    uint32_t a = H[0], b = H[1], c = H[2], d = H[3], e = H[4], f = H[5], g = H[6], h = H[7];
    EIGHT_ROUNDS(FROM_BLOCK, 0);
    EIGHT_ROUNDS(FROM_BLOCK, 8);
    for (int t = 16; t < 64; t += 16) {
        EIGHT_ROUNDS(FROM_SCHEDULE, t);
        EIGHT_ROUNDS(FROM_SCHEDULE, t + 8);
    }
    H[0] += a, H[1] += b, H[2] += c, H[3] += d, H[4] += e, H[5] += f, H[6] += g, H[7] += h;
}

#endif

void pm_sha256_init(pm_sha256 *s) {
    *s = (pm_sha256){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
                           0x5be0cd19}};
}

void pm_sha256_update(pm_sha256 *s, const void *p, size_t n_bytes) {
    const uint8_t *in = p;
    size_t held = s->n_bytes % 64;
    s->n_bytes += n_bytes;
    if (held) {
        size_t take = n_bytes < 64 - held ? n_bytes : 64 - held;
        memcpy(s->buf + held, in, take);
        in += take, n_bytes -= take;
        if (held + take < 64) return;
        compress(s->h, s->buf);
    }
    for (; n_bytes >= 64; in += 64, n_bytes -= 64) compress(s->h, in);
    if (n_bytes) memcpy(s->buf, in, n_bytes);
}

void pm_sha256_hex(pm_sha256 *s, char hex[65]) {
    uint64_t n_bits = s->n_bytes * 8;
    size_t held = s->n_bytes % 64,
           n_pad = (held < 56 ? 56 : 120) - held; /* 0x80 and zeros up to the length field */
    uint8_t tail[72] = {0x80};
    for (size_t i = 0; i < 8; i++) tail[n_pad + i] = (uint8_t)(n_bits >> (56 - 8 * i));
    pm_sha256_update(s, tail, n_pad + 8);
    for (int i = 0; i < 64; i++) hex[i] = "0123456789abcdef"[s->h[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[64] = '\0';
}

void pm_sha256_of(const void *p, size_t n_bytes, char hex[65]) {
    pm_sha256 s;
    pm_sha256_init(&s);
    pm_sha256_update(&s, p, n_bytes);
    pm_sha256_hex(&s, hex);
}
