/* k_rope.c - rotary position embedding (Su et al. 2021, eq. 34) in Hugging Face's layout: dimension i pairs
 * with i + D/2.
 *
 * Angles are formed as transformers does, position times frequency in `real`, so that long positions round
 * alike.
 */
#include "k_math.h"
#include "kernels.h"

void pm_k_rope_table(const pm_seqs *s, int D, const double *inv_freq, real *cs) {
    int half = D / 2;
    for (int q = 0; q < s->n; q++) {
#pragma omp parallel for schedule(static) if (s->len[q] * D >= PM_PARALLEL_FROM)
        for (int32_t i = 0; i < s->len[q]; i++) {
            real *row = cs + (int64_t)(s->start[q] + i) * D, pos = (real)(s->pos0[q] + i);
            for (int j = 0; j < half; j++) {
                double angle = (double)((real)inv_freq[j] * pos);
                row[j] = (real)cos(angle);
                row[half + j] = (real)sin(angle);
            }
        }
    }
}

void pm_k_rope(int64_t N, int heads, int D, const real *restrict cs, real sign, real *restrict x) {
    int half = D / 2;
#pragma omp parallel for schedule(static) if (N * heads * D >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < N; i++) {
        const real *c = cs + i * D, *s = c + half;
        for (int h = 0; h < heads; h++) {
            real *a = x + (i * heads + h) * D, *b = a + half;
#pragma omp simd
            for (int j = 0; j < half; j++) {
                real lo = a[j], hi = b[j], sj = sign * s[j];
                a[j] = lo * c[j] - hi * sj;
                b[j] = hi * c[j] + lo * sj;
            }
        }
    }
}
