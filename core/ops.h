/* ops.h - the differentiable operations. Each is a pm_x / x_bwd pair in one op_*.c and a row in tests/test_ops.c.
 * N rows are the batch's tokens. Gradients flow to every input that needs one, and only there. */
#ifndef PM_OPS_H
#define PM_OPS_H
#include "tape.h"

/* op_linear.c */
pm_tensor *pm_linear(pm_tape *t, pm_tensor *x /* [N,I] */, pm_tensor *w /* [O,I] */,
                     pm_tensor *b /* [1,O] or NULL */); /* -> [N,O] = x w^T + b */
pm_tensor *pm_linear_param(pm_tape *t, pm_tensor *x /* [N,I] */, pm_param *w /* [O,I] */,
                           pm_param *b /* or NULL */); /* the same; uses w->packed while frozen */
pm_tensor *pm_linear_add_(pm_tape *t, pm_tensor *y /* [N,O] */, pm_tensor *x /* [N,I] */,
                          pm_tensor *w /* [O,I] */, real s);                          /* y += s x w^T */
pm_tensor *pm_matmul(pm_tape *t, pm_tensor *a /* [M,K] */, pm_tensor *b /* [K,N] */); /* -> [M,N] */
pm_tensor *pm_bias_(pm_tape *t, pm_tensor *y /* [N,O] */, pm_tensor *b /* [1,O] */);  /* y += b, every row */

/* op_elem.c */
pm_tensor *pm_add(pm_tape *t, pm_tensor *x, pm_tensor *y /* same shape */);
pm_tensor *pm_add_(pm_tape *t, pm_tensor *y,
                   pm_tensor *x /* same shape */); /* y += x: residual connections */
pm_tensor *pm_scale(pm_tape *t, pm_tensor *x, real c);
pm_tensor *pm_mul(pm_tape *t, pm_tensor *x /* [N,C] */, pm_tensor *s /* [N,C] or [1,C] */);
pm_tensor *pm_gelu(pm_tape *t, pm_tensor *x);                                   /* exact: x Phi(x) */
pm_tensor *pm_silu_mul(pm_tape *t, pm_tensor *gate, pm_tensor *up /* [N,F] */); /* silu(gate) * up */
pm_tensor *pm_dropout(pm_tape *t, pm_tensor *x, real p,
                      uint64_t stream);      /* inverted dropout; x itself when not training or p = 0 */
pm_tensor *pm_sum(pm_tape *t, pm_tensor *x); /* -> [1,1] */

/* op_norm.c */
pm_tensor *pm_rmsnorm(pm_tape *t, pm_tensor *x /* [N,C] */, pm_tensor *g /* [1,C] */, real eps);
pm_tensor *pm_layernorm(pm_tape *t, pm_tensor *x /* [N,C] */, pm_tensor *g /* [1,C] */,
                        pm_tensor *b /* [1,C] */, real eps);

/* op_embed.c */
pm_tensor *pm_embed(pm_tape *t, const int32_t *ids /* [N], kept alive by the caller */, int64_t N,
                    pm_tensor *w /* [V,C] */); /* -> [N,C] */
pm_tensor *pm_rows(pm_tape *t, pm_tensor *x /* [N,C] */, const int32_t *idx /* [n], distinct */,
                   int64_t n); /* -> [n,C] */
pm_tensor *pm_rows_put_(pm_tape *t, pm_tensor *x /* [N,C] */,
                        const int32_t *idx /* [n], distinct, kept alive */,
                        pm_tensor *rows /* [n,C] */); /* x[idx] = rows */

/* op_orthogonal.c: r orthonormal rows as a function of an unconstrained x, around a base: torch's parametrizations.orthogonal
 * (Householder, trivialised). See the file for the map. */
typedef struct pm_orthobase {
    real *v, *tau, *sign; /* [r,d], [r], [r]: pm_qr_reflectors of the rows at x = -I */
} pm_orthobase;
pm_tensor *pm_orthogonal(pm_tape *t, pm_tensor *x /* [r,d] */, const pm_orthobase *base); /* -> [r,d] */
void pm_k_orthogonal(int64_t r, int64_t d, const real *x, const pm_orthobase *base, real *scratch /* [d] */,
                     real *out /* [r,d] */);

/* op_spectral.c: x W'^T with W' = U diag(c) Vt; U, Vt frozen. Two ways to the same product: factored through two packed ones, or by W'
 * itself, which is kept from call to call while c is the same. */
typedef struct pm_spectral {
    pm_param u, vt;  /* [O,k], [k,I], frozen; packed when pm_pack has been called on them */
    real *dense;     /* room for W' [O,I]; NULL: factored only */
    real *built_for; /* [k] the c that dense was built from */
    bool is_built;
} pm_spectral;
pm_tensor *pm_linear_factored(pm_tape *t, pm_tensor *x /* [N,I] */, pm_spectral *w, pm_tensor *c /* [1,k] */);
pm_tensor *pm_linear_dense(pm_tape *t, pm_tensor *x /* [N,I] */, pm_spectral *w, pm_tensor *c /* [1,k] */);
void pm_spectral_compose(pm_tape *t, const pm_spectral *w, const real *c /* [k] */,
                         real *out /* [O,I] */);                          /* W' */
bool pm_dense_is_cheaper(const pm_spectral *w, int64_t N, bool training); /* by counted flops, N rows */
pm_tensor *pm_masked_spectrum(pm_tape *t, pm_tensor *p /* [1,k] */,
                              const real *s /* [k] */); /* -> [1,k] = s m sum(s)/sum(s m), m = sigmoid(p) */

/* op_rope.c: rotates pairs (i, i + D/2) of each head by pos * inv_freq[i] (Hugging Face layout). In place. */
pm_tensor *pm_rope_(pm_tape *t, pm_tensor *x /* [N, heads*D] */, int head_dim,
                    const double *inv_freq /* [D/2] */);

/* op_attention.c: softmax(q k^T / sqrt(D)) v per sequence of t->seqs, grouped-query heads; uses t->cache when set. */
pm_tensor *pm_attention(pm_tape *t, pm_tensor *q /* [N, n_heads*D] */, pm_tensor *k,
                        pm_tensor *v /* [N, n_kv*D] */, int n_heads, int n_kv, int layer,
                        bool causal); /* -> [N, n_heads*D] */

/* op_xent.c */
pm_tensor *pm_xent(pm_tape *t, pm_tensor *logits /* [N,V] */,
                   const int32_t *target /* [N], -1 = ignore */); /* -> [1,1], mean nats a scored row */
/* Head and loss in one: sum over rows of -log softmax(h w^T)[target] / denom, logits in chunks of rows, never all at once.
 * The gradient is formed on the way, for the seed 1 that pm_backward gives (asserted). denom: labelled tokens of the whole (accumulated) batch. */
pm_tensor *pm_lm_loss(pm_tape *t, pm_tensor *h /* [n,C] */, pm_param *w /* [V,C] */,
                      const int32_t *target /* [n], all >= 0 */, real denom);
/* No gradient. logp[i] = log softmax(h_i w^T)[target[i]]; argmax[i] = best id. Either may be NULL. */
void pm_lm_score(pm_tape *t, const pm_tensor *h /* [n,C] */, const pm_param *w, const int32_t *target,
                 double *logp, int32_t *argmax);
#endif
