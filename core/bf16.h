/* bf16.h - the 16-bit brain float: the upper half of an IEEE float. */
#ifndef PM_BF16_H
#define PM_BF16_H
#include <stdint.h>
#include <string.h>

/* Round to nearest, ties to even; a NaN stays a (quiet) NaN, values past the largest become infinite. */
static inline uint16_t pm_bf16_from_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
    return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded);
}

static inline float pm_float_from_bf16(uint16_t h) {
    uint32_t bits = (uint32_t)h << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
#endif
