/* op_norm.c - RMSNorm and LayerNorm. Outputs are recomputed from x and the saved row statistics when dropped.
 */
#include "kernels.h"
#include "ops.h"

typedef struct norm_node {
    pm_node n; /* in: x, g, b (LayerNorm) */
    real eps, *rstd, *mean;
} norm_node;

static real *row_stats(pm_tape *t, const pm_tensor *x) {
    return pm_arena_alloc(t->arena, (size_t)x->rows * sizeof(real), PM_MEM_ACTIVATIONS);
}

static real *grad_or_null(pm_tape *t, pm_tensor *x) {
    return pm_wants_grad(t, x) ? pm_grad(t, x, NULL) : NULL;
}

static void norm_record(pm_tape *t, norm_node from, void (*fwd)(pm_tape *, pm_node *),
                        void (*bwd)(pm_tape *, pm_node *)) {
    pm_tensor *x = from.n.in[0], *g = from.n.in[1], *b = from.n.in[2];
    if (!pm_wants_grad(t, x) && !pm_wants_grad(t, g) && !pm_wants_grad(t, b)) return;
    norm_node *n = pm_record(t, sizeof *n, from.n.out, bwd);
    for (int i = 0; i < 3; i++) n->n.in[i] = from.n.in[i];
    n->n.fwd = fwd;
    n->eps = from.eps;
    n->rstd = from.rstd;
    n->mean = from.mean;
    pm_keep(x);
    pm_keep(g);
}

static void check_row(const char *op, const pm_tensor *x, const pm_tensor *g) {
    PM_ASSERT(g->rows == 1 && g->cols == x->cols, "%s: x [%lld,%lld] with gain [%lld,%lld]", op,
              (long long)x->rows, (long long)x->cols, (long long)g->rows, (long long)g->cols);
}

static void rmsnorm_fwd(pm_tape *t, pm_node *n) {
    norm_node *r = (norm_node *)n;
    pm_k_rmsnorm(n->out->rows, n->out->cols, pm_data(t, n->in[0]), pm_data(t, n->in[1]), r->eps, r->rstd,
                 n->out->data);
}

static void rmsnorm_bwd(pm_tape *t, pm_node *n) {
    pm_k_rmsnorm_bwd(n->out->rows, n->out->cols, pm_data(t, n->in[0]), pm_data(t, n->in[1]),
                     ((norm_node *)n)->rstd, n->out->grad, grad_or_null(t, n->in[0]),
                     grad_or_null(t, n->in[1]));
}

pm_tensor *pm_rmsnorm(pm_tape *t, pm_tensor *x, pm_tensor *g, real eps) {
    check_row("pm_rmsnorm", x, g);
    norm_node n = {
        .n = {.in = {x, g}, .out = pm_out(t, x->rows, x->cols)}, .eps = eps, .rstd = row_stats(t, x)};
    rmsnorm_fwd(t, &n.n);
    norm_record(t, n, rmsnorm_fwd, rmsnorm_bwd);
    return n.n.out;
}

static void layernorm_fwd(pm_tape *t, pm_node *n) {
    norm_node *r = (norm_node *)n;
    pm_k_layernorm(n->out->rows, n->out->cols, pm_data(t, n->in[0]), pm_data(t, n->in[1]),
                   pm_data(t, n->in[2]), r->eps, r->mean, r->rstd, n->out->data);
}

static void layernorm_bwd(pm_tape *t, pm_node *n) {
    norm_node *r = (norm_node *)n;
    pm_k_layernorm_bwd(n->out->rows, n->out->cols, pm_data(t, n->in[0]), pm_data(t, n->in[1]), r->mean,
                       r->rstd, n->out->grad, grad_or_null(t, n->in[0]), grad_or_null(t, n->in[1]),
                       grad_or_null(t, n->in[2]));
}

pm_tensor *pm_layernorm(pm_tape *t, pm_tensor *x, pm_tensor *g, pm_tensor *b, real eps) {
    check_row("pm_layernorm", x, g);
    check_row("pm_layernorm", x, b);
    norm_node n = {.n = {.in = {x, g, b}, .out = pm_out(t, x->rows, x->cols)},
                   .eps = eps,
                   .rstd = row_stats(t, x),
                   .mean = row_stats(t, x)};
    layernorm_fwd(t, &n.n);
    norm_record(t, n, layernorm_fwd, layernorm_bwd);
    return n.n.out;
}
