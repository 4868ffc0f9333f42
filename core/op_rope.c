/* op_rope.c - rotary position embedding in place; a rotation's gradient is the inverse rotation, so nothing
 * is stored. */
#include "kernels.h"
#include "ops.h"

typedef struct rope_node {
    pm_node n; /* in: none; the gradient is turned where it lies */
    int D;
    const real *cs;
} rope_node;

static const real *table(pm_tape *t, int D, const double *inv_freq) {
    if (t->rope && t->rope_freq == inv_freq) return t->rope;
    t->rope =
        pm_arena_alloc(t->arena, (size_t)t->seqs->n_tokens * (size_t)D * sizeof(real), PM_MEM_ACTIVATIONS);
    t->rope_freq = inv_freq;
    pm_k_rope_table(t->seqs, D, inv_freq, t->rope);
    return t->rope;
}

static void rope_bwd(pm_tape *t, pm_node *n) {
    (void)t;
    rope_node *r = (rope_node *)n;
    pm_k_rope(n->out->rows, (int)(n->out->cols / r->D), r->D, r->cs, -1, n->out->grad);
}

pm_tensor *pm_rope_(pm_tape *t, pm_tensor *x, int head_dim, const double *inv_freq) {
    PM_ASSERT(t->seqs && x->rows == t->seqs->n_tokens && x->cols % head_dim == 0,
              "pm_rope_: [%lld,%lld], head width %d", (long long)x->rows, (long long)x->cols, head_dim);
    const real *cs = table(t, head_dim, inv_freq);
    pm_mutate(x);
    pm_k_rope(x->rows, (int)(x->cols / head_dim), head_dim, cs, 1, x->data);
    if (pm_wants_grad(t, x)) {
        rope_node *n = pm_record(t, sizeof *n, x, rope_bwd);
        n->D = head_dim;
        n->cs = cs;
    }
    return x;
}
