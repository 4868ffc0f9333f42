/* op_linear.c - products: y = x w^T + b, frozen (packed weight, no weight gradient) or trainable, and the
 * general matmul.
 *
 * Cost: a frozen linear is 2 products a step (forward, input gradient), a trainable one 3.
 */
#include "kernels.h"
#include "ops.h"

typedef struct linear_node {
    pm_node n; /* in: x [N,I], w [O,I] or NULL when packed */
    const pm_packed *packed;
    real s;
} linear_node;

/* dx += s g w; dw += s g^T x. */
static void linear_bwd(pm_tape *t, pm_node *n) {
    linear_node *l = (linear_node *)n;
    pm_tensor *x = n->in[0], *w = n->in[1];
    const real *g = n->out->grad;
    int64_t N = x->rows, I = x->cols, O = n->out->cols;
    real beta;
    if (pm_wants_grad(t, x)) {
        real *dx = pm_grad(t, x, &beta);
        pm_flops_phase(PM_FLOPS_INPUT_GRAD);
        if (l->packed)
            pm_packed_backward(l->packed, N, g, beta, dx);
        else
            pm_gemm(false, false, N, I, O, l->s, g, O, pm_data(t, w), I, beta, dx, I);
    }
    if (w && pm_wants_grad(t, w)) {
        real *dw = pm_grad(t, w, &beta);
        pm_flops_phase(PM_FLOPS_WEIGHT_GRAD);
        pm_gemm(true, false, O, I, N, l->s, g, O, pm_data(t, x), I, beta, dw, I);
    }
}

static void record_linear(pm_tape *t, pm_tensor *y, pm_tensor *x, pm_tensor *w, const pm_packed *packed,
                          real s) {
    if (!pm_wants_grad(t, x) && !pm_wants_grad(t, w)) return;
    linear_node *n = pm_record(t, sizeof *n, y, linear_bwd);
    n->n.in[0] = x;
    n->n.in[1] = w;
    n->packed = packed;
    n->s = s;
    if (w && pm_wants_grad(t, w)) pm_keep(x);
    if (w && pm_wants_grad(t, x)) pm_keep(w);
}

static void bias_bwd(pm_tape *t, pm_node *n) {
    pm_k_colsum(n->out->rows, n->out->cols, n->out->grad, NULL, pm_grad(t, n->in[0], NULL));
}

pm_tensor *pm_bias_(pm_tape *t, pm_tensor *y, pm_tensor *b) {
    PM_ASSERT(b->cols == y->cols && b->rows == 1, "bias [%lld,%lld] on [%lld,%lld]", (long long)b->rows,
              (long long)b->cols, (long long)y->rows, (long long)y->cols);
    pm_mutate(y);
    pm_k_add_row(y->rows, y->cols, pm_data(t, b), y->data);
    if (pm_wants_grad(t, b)) {
        pm_node *n = pm_record(t, sizeof *n, y, bias_bwd);
        n->in[0] = b;
    }
    return y;
}

static void check_shapes(const char *op, const pm_tensor *x, int64_t O, int64_t I) {
    PM_ASSERT(x->cols == I, "%s: x [%lld,%lld] with w [%lld,%lld]", op, (long long)x->rows,
              (long long)x->cols, (long long)O, (long long)I);
}

pm_tensor *pm_linear(pm_tape *t, pm_tensor *x, pm_tensor *w, pm_tensor *b) {
    int64_t N = x->rows, O = w->rows, I = w->cols;
    check_shapes("pm_linear", x, O, I);
    pm_tensor *y = pm_out(t, N, O);
    pm_gemm(false, true, N, O, I, 1, pm_data(t, x), I, pm_data(t, w), I, 0, y->data, O);
    record_linear(t, y, x, w, NULL, 1);
    return b ? pm_bias_(t, y, b) : y;
}

pm_tensor *pm_linear_param(pm_tape *t, pm_tensor *x, pm_param *w, pm_param *b) {
    pm_tensor *bias = b ? pm_leaf(t, b) : NULL;
    if (w->trainable || !w->packed) return pm_linear(t, x, pm_leaf(t, w), bias);
    check_shapes("pm_linear_param", x, w->rows, w->cols);
    pm_tensor *y = pm_out(t, x->rows, w->rows);
    pm_packed_forward(w->packed, x->rows, pm_data(t, x), 0, y->data);
    record_linear(t, y, x, NULL, w->packed, 1);
    return bias ? pm_bias_(t, y, bias) : y;
}

pm_tensor *pm_linear_add_(pm_tape *t, pm_tensor *y, pm_tensor *x, pm_tensor *w, real s) {
    int64_t N = x->rows, O = w->rows, I = w->cols;
    check_shapes("pm_linear_add_", x, O, I);
    PM_ASSERT(y->rows == N && y->cols == O, "pm_linear_add_: y [%lld,%lld] += [%lld,%lld]",
              (long long)y->rows, (long long)y->cols, (long long)N, (long long)O);
    pm_mutate(y);
    pm_gemm(false, true, N, O, I, s, pm_data(t, x), I, pm_data(t, w), I, 1, y->data, O);
    record_linear(t, y, x, w, NULL, s);
    return y;
}

/* da += g b^T; db += a^T g. */
static void matmul_bwd(pm_tape *t, pm_node *n) {
    pm_tensor *a = n->in[0], *b = n->in[1];
    const real *g = n->out->grad;
    int64_t M = a->rows, K = a->cols, N = b->cols;
    real beta;
    if (pm_wants_grad(t, a)) {
        real *da = pm_grad(t, a, &beta);
        pm_flops_phase(PM_FLOPS_INPUT_GRAD);
        pm_gemm(false, true, M, K, N, 1, g, N, pm_data(t, b), N, beta, da, K);
    }
    if (pm_wants_grad(t, b)) {
        real *db = pm_grad(t, b, &beta);
        pm_flops_phase(PM_FLOPS_WEIGHT_GRAD);
        pm_gemm(true, false, K, N, M, 1, pm_data(t, a), K, g, N, beta, db, N);
    }
}

pm_tensor *pm_matmul(pm_tape *t, pm_tensor *a, pm_tensor *b) {
    int64_t M = a->rows, K = a->cols, N = b->cols;
    PM_ASSERT(b->rows == K, "pm_matmul: [%lld,%lld] x [%lld,%lld]", (long long)M, (long long)K,
              (long long)b->rows, (long long)N);
    pm_tensor *y = pm_out(t, M, N);
    pm_gemm(false, false, M, N, K, 1, pm_data(t, a), K, pm_data(t, b), N, 0, y->data, N);
    if (pm_wants_grad(t, a) || pm_wants_grad(t, b)) {
        pm_node *n = pm_record(t, sizeof *n, y, matmul_bwd);
        n->in[0] = a;
        n->in[1] = b;
        if (pm_wants_grad(t, a)) pm_keep(b);
        if (pm_wants_grad(t, b)) pm_keep(a);
    }
    return y;
}
