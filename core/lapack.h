/* lapack.h - the only door to LAPACK: factors of frozen matrices, computed once before training.
 *
 * Both work in double, whatever `real` is: singular vectors of close singular values, and a base that must be orthogonal to
 * rounding, do not bear fp32. Row-major throughout. On the calling thread when inside a parallel region: call them for many
 * matrices in parallel, each then gives the same bits for any thread count.
 */
#ifndef PM_LAPACK_H
#define PM_LAPACK_H
#include "base.h"

/* W [O,I] = U diag(S) Vt, k = min(O,I): U [O,k], S [k] descending, Vt [k,I]. False when the iteration did not converge or W holds
 * a number that is not finite. */
bool pm_svd(int64_t O, int64_t I, const real *w, real *u, real *s, real *vt);

/* The full orthogonal factor of the d rows' space, kept compact (O(d r)): Q = H_1 ... H_r diag(sign, 1, ...), H_j = I - tau_j v_j v_j^T,
 * where m [r,d] holds r <= d orthonormal rows and the first r columns of Q are those rows (geqrf of m^T, signs turned).
 * v [r,d]: row j is v_j, zero before j, 1 at j. tau, sign [r]. */
bool pm_qr_reflectors(int64_t r, int64_t d, const real *m, real *v, real *tau, real *sign);
#endif
