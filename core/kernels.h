/* kernels.h - the arithmetic of the ops on raw pointers, forward and backward side by side in k_*.c, so that another device could stand
 * behind the same names. Row-major; every backward adds (+=). Parallel over rows; results do not depend on the thread count.
 */
#ifndef PM_KERNELS_H
#define PM_KERNELS_H
#include "tape.h"

/* Elements of work below which a loop stays on one thread: waking the others costs more than it saves. */
enum { PM_PARALLEL_FROM = 1 << 14 };

/* k_elem.c */
void pm_k_axpy(int64_t n, real a, const real *x, real *y);           /* y += a x */
void pm_k_scale(int64_t n, real a, const real *x, real *y);          /* y = a x */
void pm_k_mul(int64_t n, const real *a, const real *b, real *y);     /* y = a b */
void pm_k_mul_add(int64_t n, const real *a, const real *b, real *y); /* y += a b */
void pm_k_mul_row(int64_t N, int64_t C, const real *x, const real *s, real beta,
                  real *y);                                      /* y[i,j] = x[i,j] s[j] + beta y */
void pm_k_add_row(int64_t N, int64_t C, const real *b, real *y); /* y[i,j] += b[j] */
void pm_k_colsum(int64_t N, int64_t C, const real *g, const real *x,
                 real *out); /* out[j] += sum_i g[i,j] x[i,j]; x NULL: 1 */
void pm_k_silu_mul(int64_t n, const real *gate, const real *up, real *y);
void pm_k_silu_mul_bwd(int64_t n, const real *gate, const real *up, const real *dy, real *dgate,
                       real *dup); /* either may be NULL */
void pm_k_gelu(int64_t n, const real *x, real *y);
void pm_k_gelu_bwd(int64_t n, const real *x, const real *dy, real *dx);
void pm_k_dropout(int64_t n, const real *x, real p, uint64_t seed, uint64_t stream, bool add,
                  real *y); /* y (+)= x mask / (1-p) */

/* k_norm.c: rstd, mean [N] are saved for the backward pass. dg, db, dx may be NULL. */
void pm_k_rmsnorm(int64_t N, int64_t C, const real *x, const real *g, real eps, real *rstd, real *y);
void pm_k_rmsnorm_bwd(int64_t N, int64_t C, const real *x, const real *g, const real *rstd, const real *dy,
                      real *dx, real *dg);
void pm_k_layernorm(int64_t N, int64_t C, const real *x, const real *g, const real *b, real eps, real *mean,
                    real *rstd, real *y);
void pm_k_layernorm_bwd(int64_t N, int64_t C, const real *x, const real *g, const real *mean,
                        const real *rstd, const real *dy, real *dx, real *dg, real *db);

/* k_rope.c: cs [N, D]: cosines in [0, D/2), sines in [D/2, D). sign +1 forward, -1 backward. */
void pm_k_rope_table(const pm_seqs *s, int D, const double *inv_freq, real *cs);
void pm_k_rope(int64_t N, int heads, int D, const real *cs, real sign, real *x);

/* k_attention.c. A view is one layer's attention problem over a ragged batch. */
typedef struct pm_attn {
    const pm_seqs *seqs;
    int H, n_kv, D;
    bool causal;
    const real *q, *k, *v;   /* [N, H*D], [N, n_kv*D]; with a cache k and v are the cache's rows */
    const pm_kvcache *cache; /* or NULL; slot [seqs->n] */
    const int32_t *slot;
} pm_attn;
int64_t pm_k_attention_scratch(const pm_attn *a); /* reals of workspace for all threads */
int64_t pm_k_attention(const pm_attn *a, real *ws, real *out,
                       real *lse /* [H,N] or NULL */); /* returns FLOPs done */
int64_t pm_k_attention_bwd(const pm_attn *a, real *ws, const real *out, const real *lse, const real *dout,
                           real *dq, real *dk,
                           real *dv); /* dq, dk, dv are added to and all present; returns FLOPs done */

/* k_xent.c */
/* Row statistics of logits [n,V]: logp[i] = logits[i,target[i]] - lse, argmax; each output may be NULL; target may be NULL without logp. */
void pm_k_logprob(int64_t n, int64_t V, const real *logits, const int32_t *target, double *logp,
                  int32_t *argmax);
/* In place: logits := scale * (softmax(logits) - onehot(target)); rows with target < 0 become 0. Adds nothing elsewhere. */
void pm_k_xent_bwd(int64_t n, int64_t V, real *logits, const int32_t *target, real scale,
                   double *logp /* [n] or NULL, as above */);

/* k_adamw.c */
typedef struct pm_adamw_consts {
    real lr, decay /* 1 - lr wd */, beta1, beta2, eps, step_size /* lr / (1 - beta1^t) */, bias2_sqrt;
} pm_adamw_consts;
void pm_k_adamw(int64_t n, const pm_adamw_consts *c, const real *g, real *m, real *v, real *w);
double pm_k_sumsq(int64_t n, const real *x); /* in double, fixed tree: the same on any thread count */
#endif
