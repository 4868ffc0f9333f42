/* k_math.h - exp that vectorises without -ffast-math: glibc's vector expf is only offered to fast-math builds.
 *
 * Method: x = n ln 2 + r, |r| <= ln2/2, 2^n by exponent bits, e^r by the degree-5 minimax polynomial of Cephes (Moshier 1989). About 1 ulp.
 * Clamped to the finite range; NaN stays NaN.
 */
#ifndef PM_K_MATH_H
#define PM_K_MATH_H
#include "base.h"
#include <math.h>
#include <string.h>

#ifdef PM_DOUBLE
static inline double pm_exp(double x) {
    return exp(x);
}
#else
static inline float pm_exp(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float shifted =
        x * 1.44269504088896341f + 12582912.0f; /* 1.5 * 2^23: the low bits now hold round(x / ln 2) */
    float n = shifted - 12582912.0f;
    float r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}
#endif
static inline real pm_sigmoid(real x) {
    return (real)1 / ((real)1 + pm_exp(-x));
}
#ifdef PM_DOUBLE
#define PM_SQRT sqrt
#define PM_ERF erf
#else
#define PM_SQRT sqrtf
#define PM_ERF erff
#endif
#endif
