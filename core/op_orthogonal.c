/* op_orthogonal.c - rows that stay orthonormal while an unconstrained variable is trained: torch's
 * parametrizations.orthogonal (Householder map with trivialisation), in O(d r) memory.
 *
 * X [d,r] (here its transpose x [r,d]): a_j = X below the diagonal of column j, v_j = e_j + a_j, tau_j = 2 / (1 + |a_j|^2),
 * H_j = I - tau_j v_j v_j^T; R^T = Base H_1 ... H_r E_r diag(X), diag(X) being -1 for ever: torch truncates it to an integer, no
 * gradient reaches it, and nothing here reads it. Base = B_1 ... B_r diag(sign) from pm_qr_reflectors. At x = -I the H_j turn e_j into
 * -e_j, so that R is Base's first r columns.
 * Everything is a reflection of the r rows: O(d r^2) forward and backward.
 */
#include "ops.h"
#include <string.h>

typedef struct orthogonal_node {
    pm_node n; /* in: x [r,d] */
    const pm_orthobase *base;
} orthogonal_node;

static real dot(int64_t n, const real *a, const real *b) {
    real s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

static void axpy(int64_t n, real c, const real *x, real *y) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] += c * x[i];
}

/* Every row m_i of m [r,d] becomes (I - tau v v^T) m_i. */
static void reflect(int64_t r, int64_t d, const real *v, real tau, real *m) {
    for (int64_t i = 0; i < r; i++) axpy(d, -tau * dot(d, v, m + i * d), v, m + i * d);
}

/* v_j of the trained variable; returns tau_j. */
static real reflector(int64_t d, const real *x, int64_t j, real *v) {
    memset(v, 0, (size_t)j * sizeof *v);
    v[j] = 1;
    memcpy(v + j + 1, x + j * d + j + 1, (size_t)(d - j - 1) * sizeof *v);
    return 2 / dot(d - j, v + j, v + j);
}

static void negate_and_sign(int64_t r, int64_t d, const real *sign, real *m) {
    for (int64_t i = 0; i < r; i++)
        for (int64_t c = 0; c < d; c++) m[i * d + c] *= c < r ? -sign[c] : (real)-1;
}

/* m := (H_1 ... H_r E_r)^T: row i is column i of the product. v [d] is scratch. */
static void product(int64_t r, int64_t d, const real *x, real *v, real *m) {
    memset(m, 0, (size_t)(r * d) * sizeof *m);
    for (int64_t i = 0; i < r; i++) m[i * d + i] = 1;
    for (int64_t j = r; j-- > 0;) {
        real tau = reflector(d, x, j, v);
        reflect(r, d, v, tau, m);
    }
}

void pm_k_orthogonal(int64_t r, int64_t d, const real *x, const pm_orthobase *b, real *v, real *out) {
    product(r, d, x, v, out);
    negate_and_sign(r, d, b->sign, out);
    for (int64_t j = r; j-- > 0;) reflect(r, d, b->v + j * d, b->tau[j], out);
}

/* The gradient of one reflection Q = H Q': with g = dL/dQ, dv = -tau sum_i (g_i (q'_i.v) + q'_i (g_i.v)), dtau = -sum_i (g_i.v)(q'_i.v),
 * and dtau/da = -tau^2 a. Only below the diagonal is trained. */
static void reflector_grad(int64_t r, int64_t d, int64_t j, const real *v, real tau, const real *g,
                           const real *q, real *dx) {
    real *row = dx + j * d + j + 1, dtau = 0;
    int64_t n = d - j - 1;
    for (int64_t i = 0; i < r; i++) {
        real gv = dot(d, g + i * d, v), qv = dot(d, q + i * d, v);
        axpy(n, -tau * qv, g + i * d + j + 1, row);
        axpy(n, -tau * gv, q + i * d + j + 1, row);
        dtau -= gv * qv;
    }
    axpy(n, -tau * tau * dtau, v + j + 1, row);
}

static void orthogonal_bwd(pm_tape *t, pm_node *n) {
    const pm_orthobase *b = ((orthogonal_node *)n)->base;
    const real *x = pm_data(t, n->in[0]);
    int64_t r = n->out->rows, d = n->out->cols;
    real *g = n->out->grad, *dx = pm_grad(t, n->in[0], NULL);
    size_t bytes = (size_t)((r + 1) * d) * sizeof(real);
    real *q = pm_scratch(t, bytes), *v = q + r * d;
    for (int64_t j = 0; j < r; j++) reflect(r, d, b->v + j * d, b->tau[j], g);
    negate_and_sign(r, d, b->sign, g);
    product(r, d, x, v, q);
    for (int64_t j = 0; j < r; j++) {
        real tau = reflector(d, x, j, v);
        reflect(r, d, v, tau, q); /* its own inverse: now H_{j+1} ... H_r E_r */
        reflector_grad(r, d, j, v, tau, g, q, dx);
        reflect(r, d, v, tau, g);
    }
    pm_scratch_done(t, q, bytes);
}

pm_tensor *pm_orthogonal(pm_tape *t, pm_tensor *x, const pm_orthobase *base) {
    int64_t r = x->rows, d = x->cols;
    PM_ASSERT(r <= d, "pm_orthogonal: %lld orthonormal rows of width %lld", (long long)r, (long long)d);
    pm_tensor *y = pm_out(t, r, d);
    size_t bytes = (size_t)d * sizeof(real);
    real *v = pm_scratch(t, bytes);
    pm_k_orthogonal(r, d, pm_data(t, x), base, v, y->data);
    pm_scratch_done(t, v, bytes);
    if (pm_wants_grad(t, x)) {
        orthogonal_node *n = pm_record(t, sizeof *n, y, orthogonal_bwd);
        n->n.in[0] = x;
        n->base = base;
        pm_keep(x);
    }
    return y;
}
