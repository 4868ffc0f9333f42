/* op_elem.c - elementwise ops. Those cheap enough to redo (SiLU-gate, GELU, dropout, scale, mul) carry `fwd`:
 * when dropped they are recomputed in the backward pass instead of being stored.
 */
#include "kernels.h"
#include "ops.h"

static int64_t count(const pm_tensor *x) {
    return x->rows * x->cols;
}

static void same_shape(const char *op, const pm_tensor *x, const pm_tensor *y) {
    PM_ASSERT(x->rows == y->rows && x->cols == y->cols, "%s: [%lld,%lld] with [%lld,%lld]", op,
              (long long)x->rows, (long long)x->cols, (long long)y->rows, (long long)y->cols);
}

/* ---- add ---- */

static void add_bwd(pm_tape *t, pm_node *n) {
    for (int i = 0; i < 2; i++)
        if (pm_wants_grad(t, n->in[i])) {
            real beta, *d = pm_grad(t, n->in[i], &beta);
            if (beta == 0)
                pm_k_scale(count(n->out), 1, n->out->grad, d);
            else
                pm_k_axpy(count(n->out), 1, n->out->grad, d);
        }
}

pm_tensor *pm_add(pm_tape *t, pm_tensor *x, pm_tensor *y) {
    same_shape("pm_add", x, y);
    pm_tensor *z = pm_out(t, x->rows, x->cols);
    pm_k_scale(count(x), 1, pm_data(t, x), z->data);
    pm_k_axpy(count(x), 1, pm_data(t, y), z->data);
    if (pm_wants_grad(t, x) || pm_wants_grad(t, y)) {
        pm_node *n = pm_record(t, sizeof *n, z, add_bwd);
        n->in[0] = x;
        n->in[1] = y;
    }
    return z;
}

pm_tensor *pm_add_(pm_tape *t, pm_tensor *y, pm_tensor *x) {
    same_shape("pm_add_", y, x);
    pm_mutate(y);
    pm_k_axpy(count(y), 1, pm_data(t, x), y->data);
    if (pm_wants_grad(t, x)) {
        pm_node *n = pm_record(t, sizeof *n, y, add_bwd);
        n->in[0] = x; /* y's gradient is already where it belongs */
    }
    return y;
}

/* ---- scale ---- */

typedef struct scale_node {
    pm_node n;
    real c;
} scale_node;

static void scale_fwd(pm_tape *t, pm_node *n) {
    pm_k_scale(count(n->out), ((scale_node *)n)->c, pm_data(t, n->in[0]), n->out->data);
}

static void scale_bwd(pm_tape *t, pm_node *n) {
    pm_k_axpy(count(n->out), ((scale_node *)n)->c, n->out->grad, pm_grad(t, n->in[0], NULL));
}

pm_tensor *pm_scale(pm_tape *t, pm_tensor *x, real c) {
    pm_tensor *y = pm_out(t, x->rows, x->cols);
    pm_k_scale(count(x), c, pm_data(t, x), y->data);
    if (pm_wants_grad(t, x)) {
        scale_node *n = pm_record(t, sizeof *n, y, scale_bwd);
        n->n.in[0] = x;
        n->n.fwd = scale_fwd;
        n->c = c;
        pm_keep(x);
    }
    return y;
}

/* ---- mul: y = x s, s [N,C] or one row [1,C] ---- */

static bool is_row(const pm_node *n) {
    return n->in[1]->rows == 1 && n->in[0]->rows != 1;
}

static void mul_fwd(pm_tape *t, pm_node *n) {
    const real *x = pm_data(t, n->in[0]), *s = pm_data(t, n->in[1]);
    if (is_row(n))
        pm_k_mul_row(n->out->rows, n->out->cols, x, s, 0, n->out->data);
    else
        pm_k_mul(count(n->out), x, s, n->out->data);
}

static void mul_bwd(pm_tape *t, pm_node *n) {
    pm_tensor *x = n->in[0], *s = n->in[1], *y = n->out;
    if (pm_wants_grad(t, x)) {
        real *dx = pm_grad(t, x, NULL);
        if (is_row(n))
            pm_k_mul_row(y->rows, y->cols, y->grad, pm_data(t, s), 1, dx);
        else
            pm_k_mul_add(count(y), y->grad, pm_data(t, s), dx);
    }
    if (pm_wants_grad(t, s)) {
        real *ds = pm_grad(t, s, NULL);
        if (is_row(n))
            pm_k_colsum(y->rows, y->cols, y->grad, pm_data(t, x), ds);
        else
            pm_k_mul_add(count(y), y->grad, pm_data(t, x), ds);
    }
}

pm_tensor *pm_mul(pm_tape *t, pm_tensor *x, pm_tensor *s) {
    if (s->rows != 1 || x->cols != s->cols) same_shape("pm_mul", x, s);
    pm_tensor *y = pm_out(t, x->rows, x->cols);
    pm_node local = {.out = y, .in = {x, s}};
    mul_fwd(t, &local);
    if (pm_wants_grad(t, x) || pm_wants_grad(t, s)) {
        pm_node *n = pm_record(t, sizeof *n, y, mul_bwd);
        n->in[0] = x;
        n->in[1] = s;
        n->fwd = mul_fwd;
        pm_keep(x);
        pm_keep(s);
    }
    return y;
}

/* ---- GELU ---- */

static void gelu_fwd(pm_tape *t, pm_node *n) {
    pm_k_gelu(count(n->out), pm_data(t, n->in[0]), n->out->data);
}

static void gelu_bwd(pm_tape *t, pm_node *n) {
    pm_k_gelu_bwd(count(n->out), pm_data(t, n->in[0]), n->out->grad, pm_grad(t, n->in[0], NULL));
}

pm_tensor *pm_gelu(pm_tape *t, pm_tensor *x) {
    pm_tensor *y = pm_out(t, x->rows, x->cols);
    pm_k_gelu(count(x), pm_data(t, x), y->data);
    if (pm_wants_grad(t, x)) {
        pm_node *n = pm_record(t, sizeof *n, y, gelu_bwd);
        n->in[0] = x;
        n->fwd = gelu_fwd;
        pm_keep(x);
    }
    return y;
}

/* ---- SiLU-gate ---- */

static void silu_mul_fwd(pm_tape *t, pm_node *n) {
    pm_k_silu_mul(count(n->out), pm_data(t, n->in[0]), pm_data(t, n->in[1]), n->out->data);
}

static void silu_mul_bwd(pm_tape *t, pm_node *n) {
    pm_tensor *gate = n->in[0], *up = n->in[1];
    real *dgate = pm_wants_grad(t, gate) ? pm_grad(t, gate, NULL) : NULL;
    real *dup = pm_wants_grad(t, up) ? pm_grad(t, up, NULL) : NULL;
    pm_k_silu_mul_bwd(count(n->out), pm_data(t, gate), pm_data(t, up), n->out->grad, dgate, dup);
}

pm_tensor *pm_silu_mul(pm_tape *t, pm_tensor *gate, pm_tensor *up) {
    same_shape("pm_silu_mul", gate, up);
    pm_tensor *y = pm_out(t, gate->rows, gate->cols);
    pm_k_silu_mul(count(y), pm_data(t, gate), pm_data(t, up), y->data);
    if (pm_wants_grad(t, gate) || pm_wants_grad(t, up)) {
        pm_node *n = pm_record(t, sizeof *n, y, silu_mul_bwd);
        n->in[0] = gate;
        n->in[1] = up;
        n->fwd = silu_mul_fwd;
        pm_keep(gate);
        pm_keep(up);
    }
    return y;
}

/* ---- dropout: the mask is a pure function of (seed, step, stream, element), so it is never stored ---- */

typedef struct dropout_node {
    pm_node n;
    real p;
    uint64_t seed, stream;
} dropout_node;

static void dropout_fwd(pm_tape *t, pm_node *n) {
    dropout_node *d = (dropout_node *)n;
    pm_k_dropout(count(n->out), pm_data(t, n->in[0]), d->p, d->seed, d->stream, false, n->out->data);
}

static void dropout_bwd(pm_tape *t, pm_node *n) {
    dropout_node *d = (dropout_node *)n;
    pm_k_dropout(count(n->out), n->out->grad, d->p, d->seed, d->stream, true, pm_grad(t, n->in[0], NULL));
}

pm_tensor *pm_dropout(pm_tape *t, pm_tensor *x, real p, uint64_t stream) {
    if (!t->train || p <= 0) return x;
    PM_ASSERT(p < 1, "dropout probability %g", (double)p);
    uint64_t mixed = stream * 0x9E3779B97F4A7C15u + t->step; /* one stream a (site, step) */
    pm_tensor *y = pm_out(t, x->rows, x->cols);
    pm_k_dropout(count(x), pm_data(t, x), p, t->seed, mixed, false, y->data);
    if (pm_wants_grad(t, x)) {
        dropout_node *n = pm_record(t, sizeof *n, y, dropout_bwd);
        n->n.in[0] = x;
        n->n.fwd = dropout_fwd;
        n->p = p;
        n->seed = t->seed;
        n->stream = mixed;
        pm_keep(x);
    }
    return y;
}

/* ---- sum ---- */

static void sum_bwd(pm_tape *t, pm_node *n) {
    real g = n->out->grad[0], *dx = pm_grad(t, n->in[0], NULL);
    for (int64_t i = 0; i < count(n->in[0]); i++) dx[i] += g;
}

pm_tensor *pm_sum(pm_tape *t, pm_tensor *x) {
    pm_tensor *y = pm_out(t, 1, 1);
    double sum = 0;
    const real *v = pm_data(t, x);
    for (int64_t i = 0; i < count(x); i++) sum += (double)v[i];
    y->data[0] = (real)sum;
    if (pm_wants_grad(t, x)) {
        pm_node *n = pm_record(t, sizeof *n, y, sum_bwd);
        n->in[0] = x;
    }
    return y;
}
