/* op_xent.c - cross-entropy. The language-model head and its loss are one op, so that logits exist only for a
 * chunk of rows at a time. */
#include "kernels.h"
#include "ops.h"
#include <string.h>

/* ---- plain: logits are a tensor ---- */

typedef struct xent_node {
    pm_node n;
    const int32_t *target;
    int64_t scored;
} xent_node;

static void xent_bwd(pm_tape *t, pm_node *n) {
    xent_node *x = (xent_node *)n;
    pm_tensor *z = n->in[0];
    size_t bytes = (size_t)(z->rows * z->cols) * sizeof(real);
    real *d = pm_scratch(t, bytes);
    memcpy(d, pm_data(t, z), bytes);
    pm_k_xent_bwd(z->rows, z->cols, d, x->target, n->out->grad[0] / (real)x->scored, NULL);
    pm_k_axpy(z->rows * z->cols, 1, d, pm_grad(t, z, NULL));
    pm_scratch_done(t, d, bytes);
}

pm_tensor *pm_xent(pm_tape *t, pm_tensor *logits, const int32_t *target) {
    const real *z = pm_data(t, logits);
    double sum = 0, lp;
    int64_t scored = 0;
    for (int64_t i = 0; i < logits->rows; i++) {
        if (target[i] < 0) continue;
        PM_ASSERT(target[i] < logits->cols, "pm_xent: target %d of %lld", target[i], (long long)logits->cols);
        pm_k_logprob(1, logits->cols, z + i * logits->cols, target + i, &lp, NULL);
        sum -= lp;
        scored++;
    }
    PM_ASSERT(scored, "pm_xent: none of %lld rows is scored", (long long)logits->rows);
    pm_tensor *y = pm_out(t, 1, 1);
    y->data[0] = (real)(sum / (double)scored);
    if (pm_wants_grad(t, logits)) {
        xent_node *n = pm_record(t, sizeof *n, y, xent_bwd);
        n->n.in[0] = logits;
        n->target = target;
        n->scored = scored;
        pm_keep(logits);
    }
    return y;
}

/* ---- head and loss ---- */

enum { CHUNK = 256 }; /* rows of logits at once: enough for the GEMM to run at full speed */

typedef struct chunk {
    int64_t lo, n, V, C;
    const real *h;
    real *z; /* [n,V] */
} chunk;

static void chunk_logits(const pm_param *w, chunk *c) {
    if (w->packed && !w->trainable)
        pm_packed_forward(w->packed, c->n, c->h, 0, c->z);
    else
        pm_gemm(false, true, c->n, c->V, c->C, 1, c->h, c->C, w->w, c->C, 0, c->z, c->V);
}

static void chunk_input_grad(const pm_param *w, const chunk *c, real *dh) {
    pm_flops_phase(PM_FLOPS_INPUT_GRAD);
    if (w->packed && !w->trainable)
        pm_packed_backward(w->packed, c->n, c->z, 0, dh);
    else
        pm_gemm(false, false, c->n, c->C, c->V, 1, c->z, c->V, w->w, c->C, 0, dh, c->C);
}

static void chunk_weight_grad(pm_param *w, const chunk *c) {
    pm_flops_phase(PM_FLOPS_WEIGHT_GRAD);
    pm_gemm(true, false, c->V, c->C, c->n, 1, c->z, c->V, c->h, c->C, 1, w->grad, c->C);
}

typedef struct lm_node {
    pm_node n; /* in: h; in[1]: its gradient, formed in the forward pass (NULL when h wants none) */
} lm_node;

static void lm_bwd(pm_tape *t, pm_node *n) {
    pm_tensor *h = n->in[0], *dh = n->in[1];
    PM_ASSERT(n->out->grad[0] == 1, "pm_lm_loss: seed %g; its gradient is formed for 1",
              (double)n->out->grad[0]);
    if (!dh) return;
    pm_k_axpy(h->rows * h->cols, 1, dh->data, pm_grad(t, h, NULL));
    pm_drop(t, dh);
}

pm_tensor *pm_lm_loss(pm_tape *t, pm_tensor *h, pm_param *w, const int32_t *target, real denom) {
    int64_t n = h->rows, V = w->rows, C = w->cols, most = n < CHUNK ? n : CHUNK;
    PM_ASSERT(h->cols == C && n > 0, "pm_lm_loss: h [%lld,%lld] with head [%lld,%lld]", (long long)n,
              (long long)h->cols, (long long)V, (long long)C);
    bool train_w = t->record && w->trainable;
    pm_tensor *dh = pm_wants_grad(t, h) ? pm_out(t, n, C) : NULL;
    size_t z_bytes = (size_t)(most * V) * sizeof(real);
    real *z = pm_scratch(t, z_bytes);
    double logp[CHUNK], sum = 0;
    for (int64_t lo = 0; lo < n; lo += CHUNK) {
        chunk c = {.lo = lo,
                   .n = n - lo < CHUNK ? n - lo : CHUNK,
                   .V = V,
                   .C = C,
                   .h = pm_data(t, h) + lo * C,
                   .z = z};
        pm_flops_phase(PM_FLOPS_FORWARD);
        chunk_logits(w, &c);
        if (dh || train_w)
            pm_k_xent_bwd(c.n, V, z, target + lo, 1 / denom, logp);
        else
            pm_k_logprob(c.n, V, z, target + lo, logp, NULL);
        for (int64_t i = 0; i < c.n; i++) sum -= logp[i];
        if (dh) chunk_input_grad(w, &c, dh->data + lo * C);
        if (train_w) chunk_weight_grad(w, &c);
    }
    pm_scratch_done(t, z, z_bytes);
    pm_flops_phase(PM_FLOPS_FORWARD);
    pm_tensor *y = pm_out(t, 1, 1);
    y->data[0] = (real)(sum / (double)denom);
    if (dh || train_w) {
        lm_node *node = pm_record(t, sizeof *node, y, lm_bwd);
        node->n.in[0] = h;
        node->n.in[1] = dh;
    }
    return y;
}

void pm_lm_score(pm_tape *t, const pm_tensor *h, const pm_param *w, const int32_t *target, double *logp,
                 int32_t *argmax) {
    int64_t n = h->rows, V = w->rows, C = w->cols, most = n < CHUNK ? n : CHUNK;
    PM_ASSERT(h->cols == C && h->data, "pm_lm_score: h [%lld,%lld] with head [%lld,%lld]", (long long)n,
              (long long)h->cols, (long long)V, (long long)C);
    size_t z_bytes = (size_t)(most * V) * sizeof(real);
    real *z = pm_scratch(t, z_bytes);
    for (int64_t lo = 0; lo < n; lo += CHUNK) {
        chunk c = {
            .lo = lo, .n = n - lo < CHUNK ? n - lo : CHUNK, .V = V, .C = C, .h = h->data + lo * C, .z = z};
        chunk_logits(w, &c);
        pm_k_logprob(c.n, V, z, target ? target + lo : NULL, logp ? logp + lo : NULL,
                     argmax ? argmax + lo : NULL);
    }
    pm_scratch_done(t, z, z_bytes);
}
