/* op_attention.c - attention over the tape's ragged batch. Keeps q, k, v, the output and one log-sum-exp a
 * row and head; never scores. */
#include "kernels.h"
#include "ops.h"
#include <string.h>

typedef struct attention_node {
    pm_node n; /* in: q, k, v */
    pm_attn a;
    real *lse; /* [H,N] */
} attention_node;

static real *workspace(pm_tape *t, const pm_attn *a, size_t *bytes) {
    *bytes = (size_t)pm_k_attention_scratch(a) * sizeof(real);
    return pm_scratch(t, *bytes);
}

static void attention_bwd(pm_tape *t, pm_node *n) {
    attention_node *an = (attention_node *)n;
    pm_attn a = an->a;
    a.q = pm_data(t, n->in[0]);
    a.k = pm_data(t, n->in[1]);
    a.v = pm_data(t, n->in[2]);
    size_t bytes, g_bytes[3];
    real *ws = workspace(t, &a, &bytes), *d[3];
    for (int i = 0; i < 3; i++) { /* the kernel forms all three; one that nobody wants goes to scratch */
        g_bytes[i] = (size_t)(n->in[i]->rows * n->in[i]->cols) * sizeof(real);
        bool wanted = pm_wants_grad(t, n->in[i]);
        d[i] = wanted ? pm_grad(t, n->in[i], NULL) : memset(pm_scratch(t, g_bytes[i]), 0, g_bytes[i]);
    }
    pm_flops_phase(PM_FLOPS_INPUT_GRAD);
    pm_flops_add(pm_k_attention_bwd(&a, ws, pm_data(t, n->out), an->lse, n->out->grad, d[0], d[1], d[2]));
    for (int i = 0; i < 3; i++)
        if (!pm_wants_grad(t, n->in[i])) pm_scratch_done(t, d[i], g_bytes[i]);
    pm_scratch_done(t, ws, bytes);
}

/* Rows of k and v go behind what each slot holds. */
static void append(const pm_tape *t, int layer, const real *k, const real *v) {
    pm_kvcache *c = t->cache;
    size_t row = (size_t)c->width * sizeof(real);
    for (int s = 0; s < t->seqs->n; s++) {
        int slot = t->slot[s], held = c->len[slot], n = t->seqs->len[s];
        PM_ASSERT(held + n <= c->cap, "key-value cache: slot %d holds %d of %d, %d more came", slot, held,
                  c->cap, n);
        size_t to = ((size_t)slot * (size_t)c->cap + (size_t)held) * (size_t)c->width;
        size_t from = (size_t)t->seqs->start[s] * (size_t)c->width;
        memcpy(c->k[layer] + to, k + from, (size_t)n * row);
        memcpy(c->v[layer] + to, v + from, (size_t)n * row);
    }
}

pm_tensor *pm_attention(pm_tape *t, pm_tensor *q, pm_tensor *k, pm_tensor *v, int n_heads, int n_kv,
                        int layer, bool causal) {
    int D = (int)(q->cols / n_heads);
    PM_ASSERT(q->cols == (int64_t)n_heads * D && k->cols == (int64_t)n_kv * D && v->cols == k->cols &&
                  n_heads % n_kv == 0,
              "pm_attention: q [%lld,%lld], k [%lld,%lld], %d heads, %d key-value heads", (long long)q->rows,
              (long long)q->cols, (long long)k->rows, (long long)k->cols, n_heads, n_kv);
    pm_attn a = {.seqs = t->seqs,
                 .H = n_heads,
                 .n_kv = n_kv,
                 .D = D,
                 .causal = causal,
                 .slot = t->slot,
                 .cache = t->cache};
    a.q = pm_data(t, q);
    a.k = pm_data(t, k);
    a.v = pm_data(t, v);
    if (t->cache) {
        PM_ASSERT(
            !t->record,
            "pm_attention: the key-value cache serves generation, which records no gradients (layer %d)",
            layer);
        append(t, layer, a.k, a.v);
        a.k = t->cache->k[layer];
        a.v = t->cache->v[layer];
    }
    bool grad = pm_wants_grad(t, q) || pm_wants_grad(t, k) || pm_wants_grad(t, v);
    real *lse = NULL;
    if (grad)
        lse = pm_arena_alloc(t->arena, (size_t)n_heads * (size_t)q->rows * sizeof(real), PM_MEM_ACTIVATIONS);
    pm_tensor *y = pm_out(t, q->rows, q->cols);
    size_t bytes;
    real *ws = workspace(t, &a, &bytes);
    pm_flops_add(pm_k_attention(&a, ws, y->data, lse));
    pm_scratch_done(t, ws, bytes);
    if (!grad) return y;
    attention_node *n = pm_record(t, sizeof *n, y, attention_bwd);
    n->n.in[0] = q;
    n->n.in[1] = k;
    n->n.in[2] = v;
    n->a = a;
    n->lse = lse;
    pm_keep(q);
    pm_keep(k);
    pm_keep(v);
    pm_keep(y);
    return y;
}
