/* k_attention.c - softmax(q k^T / sqrt(D)) v over a ragged batch, forward and backward.
 *
 * How: one task a (sequence, head); queries go in blocks of BQ rows, so that only BQ rows of scores exist at
 * a time (the backward pass recomputes them from the saved row log-sum-exps; Dao et al. 2022, Algorithm 4).
 * The keys a sequence sees are a list of panels: its ancestors' rows in full, then its own rows causally; or
 * one panel of the key-value cache. Every product is a GEMM on strided slices. Determinism: a task writes
 * only its own rows; in the backward pass a task owns a whole tree of sequences and a key-value head.
 */
#include "k_math.h"
#include "kernels.h"
#include <omp.h>

enum { BQ = 64, MAX_DEPTH = 8 };

typedef struct panel {
    int64_t row; /* first row in k and v */
    int32_t n;   /* keys */
} panel;
typedef struct keys {
    panel p[MAX_DEPTH];
    int n_panels;
    int32_t before; /* keys visible to every query: ancestors, or what the cache held */
} keys;

static int32_t parent_of(const pm_seqs *s, int q) {
    return s->parent ? s->parent[q] : -1;
}

static int root_of(const pm_seqs *s, int q) {
    while (parent_of(s, q) >= 0) q = parent_of(s, q);
    return q;
}

static keys keys_of(const pm_attn *a, int q) {
    keys ks = {.n_panels = 0};
    if (a->cache) {
        int32_t held = a->cache->len[a->slot[q]];
        ks.p[ks.n_panels++] = (panel){(int64_t)a->slot[q] * a->cache->cap, held + a->seqs->len[q]};
        ks.before = held;
        return ks;
    }
    int chain[MAX_DEPTH] = {0}, n = 0;
    for (int i = q; i >= 0; i = parent_of(a->seqs, i)) {
        PM_ASSERT(n < MAX_DEPTH, "sequence %d has more than %d ancestors", q, MAX_DEPTH - 1);
        chain[n++] = i;
    }
    for (int d = n - 1; d >= 0; d--) {
        int i = chain[d];
        ks.p[ks.n_panels++] = (panel){a->seqs->start[i], a->seqs->len[i]};
        if (d > 0) ks.before += a->seqs->len[i];
    }
    return ks;
}

static int64_t max_keys(const pm_attn *a) {
    int64_t most = 1;
    for (int q = 0; q < a->seqs->n; q++) {
        int64_t n = keys_of(a, q).before + a->seqs->len[q];
        if (n > most) most = n;
    }
    return most;
}

/* One query block of one head: where its rows start and how many keys it meets. */
typedef struct block {
    const pm_attn *a;
    keys ks;
    int64_t row;       /* first query row */
    int32_t lo, n, nk; /* own index of the first query, queries, keys in all panels used */
    int head, kv;
} block;

static block block_of(const pm_attn *a, int q, int head, int32_t lo) {
    block b = {.a = a, .ks = keys_of(a, q), .lo = lo, .head = head, .kv = head / (a->H / a->n_kv)};
    int32_t left = a->seqs->len[q] - lo;
    b.row = a->seqs->start[q] + lo;
    b.n = left < BQ ? left : BQ;
    b.nk = b.ks.before + (a->causal ? lo + b.n : a->seqs->len[q]);
    return b;
}

/* Keys of panel i that the block meets, when those of earlier panels end at `at`: all of them, but of the
 * last only what is left of nk. */
static int32_t panel_used(const block *b, int i, int32_t at) {
    return i < b->ks.n_panels - 1 ? b->ks.p[i].n : b->nk - at;
}

static int32_t visible(const block *b,
                       int32_t i) { /* keys that query i of the block may see; they come first */
    return b->a->causal ? b->ks.before + b->lo + i + 1 : b->nk;
}

/* s [n,nk] = alpha x [n,D] m^T over the panels' rows of m. */
static void times_keys(const block *b, real alpha, const real *x, int64_t ldx, const real *m, real *s) {
    int64_t ld = (int64_t)b->a->n_kv * b->a->D;
    for (int32_t i = 0, at = 0; i < b->ks.n_panels; i++) {
        int32_t n = panel_used(b, i, at);
        pm_gemm(false, true, b->n, n, b->a->D, alpha, x, ldx, m + b->ks.p[i].row * ld + b->kv * b->a->D, ld,
                0, s + at, b->nk);
        at += n;
    }
}

/* y [n,D] = s [n,nk] m + beta y. */
static void sum_keys(const block *b, const real *s, const real *m, real beta, real *y, int64_t ldy) {
    int64_t ld = (int64_t)b->a->n_kv * b->a->D;
    for (int32_t i = 0, at = 0; i < b->ks.n_panels; i++) {
        int32_t n = panel_used(b, i, at);
        pm_gemm(false, false, b->n, b->a->D, n, 1, s + at, b->nk, m + b->ks.p[i].row * ld + b->kv * b->a->D,
                ld, i ? 1 : beta, y, ldy);
        at += n;
    }
}

/* dm [keys,D] += s^T [nk,n] x [n,D]. */
static void add_to_keys(const block *b, const real *s, const real *x, int64_t ldx, real *dm) {
    int64_t ld = (int64_t)b->a->n_kv * b->a->D;
    for (int32_t i = 0, at = 0; i < b->ks.n_panels; i++) {
        int32_t n = panel_used(b, i, at);
        pm_gemm(true, false, n, b->a->D, b->n, 1, s + at, b->nk, x, ldx, 1,
                dm + b->ks.p[i].row * ld + b->kv * b->a->D, ld);
        at += n;
    }
}

/* Softmax of row i in place over its visible keys, zero beyond; returns the log-sum-exp. */
static real softmax_row(const block *b, int32_t i, real *restrict s) {
    int32_t n = visible(b, i);
    real m = s[0], sum = 0;
#pragma omp simd reduction(max : m)
    for (int32_t j = 1; j < n; j++) m = s[j] > m ? s[j] : m;
#pragma omp simd reduction(+ : sum)
    for (int32_t j = 0; j < n; j++) {
        s[j] = pm_exp(s[j] - m);
        sum += s[j];
    }
    real inv = 1 / sum;
#pragma omp simd
    for (int32_t j = 0; j < n; j++) s[j] *= inv;
    for (int32_t j = n; j < b->nk; j++) s[j] = 0;
    return m + (real)log((double)sum);
}

static real scale_of(const pm_attn *a) {
    return 1 / PM_SQRT((real)a->D);
}

static bool is_large(const pm_attn *a) {
    return a->seqs->n_tokens * a->H * a->D >= PM_PARALLEL_FROM;
}

int64_t pm_k_attention_scratch(const pm_attn *a) {
    return 2 * (int64_t)BQ * max_keys(a) * omp_get_max_threads();
}

static int64_t forward_block(const block *b, real *s, real *out, real *lse) {
    const pm_attn *a = b->a;
    int64_t ldq = (int64_t)a->H * a->D, at = b->row * ldq + b->head * a->D, N = a->seqs->n_tokens;
    times_keys(b, scale_of(a), a->q + at, ldq, a->k, s);
    for (int32_t i = 0; i < b->n; i++) {
        real l = softmax_row(b, i, s + (int64_t)i * b->nk);
        if (lse) lse[b->head * N + b->row + i] = l;
    }
    sum_keys(b, s, a->v, 0, out + at, ldq);
    return 4 * (int64_t)b->n * b->nk * a->D;
}

int64_t pm_k_attention(const pm_attn *a, real *ws, real *out, real *lse) {
    int64_t flops = 0, each = 2 * (int64_t)BQ * max_keys(a);
#pragma omp parallel for schedule(dynamic) collapse(2) reduction(+ : flops) if (is_large(a))
    for (int q = 0; q < a->seqs->n; q++)
        for (int h = 0; h < a->H; h++)
            for (int32_t lo = 0; lo < a->seqs->len[q]; lo += BQ) {
                block b = block_of(a, q, h, lo);
                flops += forward_block(&b, ws + each * omp_get_thread_num(), out, lse);
            }
    return flops;
}

/* p := probabilities from the saved log-sum-exps; ds := p (dp - delta) / sqrt(D), delta_i = sum_d dout_id
 * out_id. */
static void score_grads(const block *b, const real *lse, const real *out, const real *dout, int64_t ldq,
                        real *p, real *ds) {
    real scale = scale_of(b->a);
    for (int32_t i = 0; i < b->n; i++) {
        real *restrict pi = p + (int64_t)i * b->nk, *restrict di = ds + (int64_t)i * b->nk, l = lse[i],
                       delta = 0;
        const real *oi = out + i * ldq, *gi = dout + i * ldq;
        int32_t n = visible(b, i);
        for (int d = 0; d < b->a->D; d++) delta += oi[d] * gi[d];
#pragma omp simd
        for (int32_t j = 0; j < n; j++) {
            pi[j] = pm_exp(pi[j] - l);
            di[j] = pi[j] * (di[j] - delta) * scale;
        }
        for (int32_t j = n; j < b->nk; j++) pi[j] = di[j] = 0;
    }
}

typedef struct attn_grads {
    const real *out, *lse, *dout;
    real *dq, *dk, *dv;
} attn_grads;

static int64_t backward_block(const block *b, const attn_grads *g, real *p) {
    const pm_attn *a = b->a;
    int64_t ldq = (int64_t)a->H * a->D, at = b->row * ldq + b->head * a->D, N = a->seqs->n_tokens;
    real *ds = p + (int64_t)BQ * b->nk;
    times_keys(b, scale_of(a), a->q + at, ldq, a->k, p);
    times_keys(b, 1, g->dout + at, ldq, a->v, ds);
    score_grads(b, g->lse + b->head * N + b->row, g->out + at, g->dout + at, ldq, p, ds);
    sum_keys(b, ds, a->k, 1, g->dq + at, ldq);
    add_to_keys(b, ds, a->q + at, ldq, g->dk);
    add_to_keys(b, p, g->dout + at, ldq, g->dv);
    return 10 * (int64_t)b->n * b->nk * a->D;
}

int64_t pm_k_attention_bwd(const pm_attn *a, real *ws, const real *out, const real *lse, const real *dout,
                           real *dq, real *dk, real *dv) {
    const attn_grads g = {out, lse, dout, dq, dk, dv};
    int64_t flops = 0, each = 2 * (int64_t)BQ * max_keys(a);
    int group = a->H / a->n_kv;
#pragma omp parallel for schedule(dynamic) collapse(2) reduction(+ : flops) if (is_large(a))
    for (int root = 0; root < a->seqs->n; root++)
        for (int kv = 0; kv < a->n_kv; kv++)
            for (int q = root; q < a->seqs->n; q++) {
                if (root_of(a->seqs, q) != root) continue;
                for (int h = kv * group; h < (kv + 1) * group; h++)
                    for (int32_t lo = 0; lo < a->seqs->len[q]; lo += BQ) {
                        block b = block_of(a, q, h, lo);
                        flops += backward_block(&b, &g, ws + each * omp_get_thread_num());
                    }
            }
    return flops;
}
