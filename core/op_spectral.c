/* op_spectral.c - products with a frozen matrix whose spectrum is trained: y = x W'^T, W' = U diag(c) Vt.
 *
 * Factored: ((x Vt^T) * c) U^T, two packed products forward and two backward: 4 N k (I + O) flops a training step, k = min(I, O).
 * Dense: W' is built (2 O I k), then 2 N I O forward, 4 N I O backward and 2 O I k for dc_i = u_i^T (g^T x) v_i. The gradient never
 * needs more of the dense dL/dW' than its products with the singular vectors.
 */
#include "kernels.h"
#include "ops.h"
#include <math.h>
#include <string.h>

pm_tensor *pm_linear_factored(pm_tape *t, pm_tensor *x, pm_spectral *w, pm_tensor *c) {
    pm_tensor *xv = pm_linear_param(t, x, &w->vt, NULL); /* [N,k] */
    pm_tensor *scaled = pm_mul(t, xv, c), *y = pm_linear_param(t, scaled, &w->u, NULL);
    pm_drop(t, scaled);
    pm_drop(t, xv);
    return y;
}

/* ---- dense ---- */

void pm_spectral_compose(pm_tape *t, const pm_spectral *w, const real *c, real *out) {
    int64_t O = w->u.rows, k = w->u.cols, I = w->vt.cols;
    size_t bytes = (size_t)(O * k) * sizeof(real);
    real *uc = pm_scratch(t, bytes);
    pm_k_mul_row(O, k, w->u.w, c, 0, uc);
    pm_gemm(false, false, O, I, k, 1, uc, k, w->vt.w, I, 0, out, I);
    pm_scratch_done(t, uc, bytes);
}

static void build(pm_tape *t, pm_spectral *w, const real *c) {
    int64_t k = w->u.cols;
    if (w->is_built && memcmp(w->built_for, c, (size_t)k * sizeof *c) == 0) return;
    pm_spectral_compose(t, w, c, w->dense);
    memcpy(w->built_for, c, (size_t)k * sizeof *c);
    w->is_built = true;
}

typedef struct dense_node {
    pm_node n; /* in: x [N,I], c [1,k] */
    pm_spectral *w;
} dense_node;

/* dc_i = u_i^T (g^T x) v_i */
static void spectrum_grad(pm_tape *t, const pm_spectral *w, int64_t N, const real *g, const real *x,
                          real *dc) {
    int64_t O = w->u.rows, k = w->u.cols, I = w->vt.cols;
    size_t full = (size_t)(O * I) * sizeof(real), thin = (size_t)(O * k) * sizeof(real);
    real *dw = pm_scratch(t, full), *dwv = pm_scratch(t, thin);
    pm_flops_phase(PM_FLOPS_WEIGHT_GRAD);
    pm_gemm(true, false, O, I, N, 1, g, O, x, I, 0, dw, I);
    pm_gemm(false, true, O, k, I, 1, dw, I, w->vt.w, I, 0, dwv, k);
    pm_k_colsum(O, k, dwv, w->u.w, dc);
    pm_scratch_done(t, dw, full);
    pm_scratch_done(t, dwv, thin);
}

static void dense_bwd(pm_tape *t, pm_node *n) {
    pm_spectral *w = ((dense_node *)n)->w;
    pm_tensor *x = n->in[0], *c = n->in[1];
    int64_t N = x->rows, O = w->u.rows, I = w->vt.cols;
    const real *g = n->out->grad;
    if (pm_wants_grad(t, x)) {
        real beta, *dx = pm_grad(t, x, &beta);
        pm_flops_phase(PM_FLOPS_INPUT_GRAD);
        build(t, w, pm_data(t, c));
        pm_gemm(false, false, N, I, O, 1, g, O, w->dense, I, beta, dx, I);
    }
    if (pm_wants_grad(t, c)) spectrum_grad(t, w, N, g, pm_data(t, x), pm_grad(t, c, NULL));
}

pm_tensor *pm_linear_dense(pm_tape *t, pm_tensor *x, pm_spectral *w, pm_tensor *c) {
    int64_t O = w->u.rows, I = w->vt.cols;
    PM_ASSERT(x->cols == I && w->dense, "pm_linear_dense: x [%lld,%lld], w [%lld,%lld]", (long long)x->rows,
              (long long)x->cols, (long long)O, (long long)I);
    pm_tensor *y = pm_out(t, x->rows, O);
    build(t, w, pm_data(t, c));
    pm_gemm(false, true, x->rows, O, I, 1, pm_data(t, x), I, w->dense, I, 0, y->data, O);
    if (pm_wants_grad(t, x) || pm_wants_grad(t, c)) {
        dense_node *n = pm_record(t, sizeof *n, y, dense_bwd);
        n->n.in[0] = x;
        n->n.in[1] = c;
        n->w = w;
        pm_keep(x);
        pm_keep(c);
    }
    return y;
}

bool pm_dense_is_cheaper(const pm_spectral *w, int64_t N, bool training) {
    int64_t O = w->u.rows, k = w->u.cols, I = w->vt.cols;
    if (!training) return I * O < k * (I + O); /* built once, then many batches */
    return 6 * N * I * O + 4 * O * I * k < 4 * N * k * (I + O);
}

/* ---- the release's spectrum: c_i = S_i m_i sum(S) / sum(S m), m = sigmoid(p) ---- */

typedef struct mask_node {
    pm_node n; /* in: p [1,k] */
    const real *s;
} mask_node;

static double sigmoid(double p) {
    return 1 / (1 + exp(-p));
}

/* sum(S) / sum(S m) */
static double keep_nuclear_norm(int64_t k, const real *s, const real *p) {
    double all = 0, masked = 0;
    for (int64_t i = 0; i < k; i++) {
        all += (double)s[i];
        masked += (double)s[i] * sigmoid((double)p[i]);
    }
    return masked > 0 ? all / masked : 0;
}

/* With K = sum(S) / sum(S m): dL/d(S_i m_i) = K (g_i - sum_j g_j c_j / sum(S)), times S_i m_i (1 - m_i). */
static void mask_bwd(pm_tape *t, pm_node *n) {
    const real *s = ((mask_node *)n)->s, *p = pm_data(t, n->in[0]), *g = n->out->grad;
    real *dp = pm_grad(t, n->in[0], NULL);
    int64_t k = n->out->cols;
    double scale = keep_nuclear_norm(k, s, p), mean = 0, all = 0;
    for (int64_t i = 0; i < k; i++) {
        mean += (double)g[i] * scale * (double)s[i] * sigmoid((double)p[i]);
        all += (double)s[i];
    }
    if (all > 0) mean /= all;
    for (int64_t i = 0; i < k; i++) {
        double m = sigmoid((double)p[i]);
        dp[i] += (real)(scale * ((double)g[i] - mean) * (double)s[i] * m * (1 - m));
    }
}

pm_tensor *pm_masked_spectrum(pm_tape *t, pm_tensor *p, const real *s) {
    PM_ASSERT(p->rows == 1, "pm_masked_spectrum: p [%lld,%lld]", (long long)p->rows, (long long)p->cols);
    pm_tensor *c = pm_out(t, 1, p->cols);
    const real *pd = pm_data(t, p);
    double scale = keep_nuclear_norm(p->cols, s, pd);
    for (int64_t i = 0; i < p->cols; i++) c->data[i] = (real)(scale * (double)s[i] * sigmoid((double)pd[i]));
    if (pm_wants_grad(t, p)) {
        mask_node *n = pm_record(t, sizeof *n, c, mask_bwd);
        n->n.in[0] = p;
        n->s = s;
        pm_keep(p);
    }
    return c;
}
