/* kernel_bench.c - the kernels of kernels.h and the products of gemm.h, one call each (kernel_bench.h). tests/test_speed.c compares the table
 * below with those headers, so that a new kernel is not left out.
 */
#include "kernel_bench.h"
#include "gemm.h"
#include "kernels.h"
#include "rng.h"
#include "usage.h"

#include <math.h>
#include <string.h>

/* The embedded model's dimensions (models/tiny/config.json), 8 sequences of 32 tokens, 4 labelled tokens a sequence, rank 8. */
enum {
    SEQS = 8,
    LEN = 32,
    N = SEQS * LEN,
    C = 128,
    F = 384,
    H = 4,
    KV = 2,
    D = 32,
    V = 549,
    LABELS = 4 * SEQS,
    R = 8
};
enum { FIRST_CALLS = 4 };
#define BATCH_S 1e-4

/* Operands, each as large as any kernel needs it. In-place kernels are called again on what they left: all keep it finite. */
typedef struct operands {
    real *x, *y, *z, *g, *dx, *dy; /* [N,F] */
    real *w, *dw, *m, *v;          /* [F,C], also [V,C] */
    real *stat[2];                 /* [H,N] */
    real *logits;                  /* [LABELS,V] */
    real *rope, *ws;
    double logp[LABELS], freq[D / 2];
    int32_t target[LABELS], argmax[LABELS], start[SEQS], len[SEQS], zero[SEQS];
    pm_seqs seqs;
    pm_attn attn;
    pm_packed *packed;
    pm_adamw_consts adamw;
} operands;

#define KERNEL(name, ...)                                                                                    \
    static void run_##name(operands *o) {                                                                    \
        __VA_ARGS__;                                                                                         \
    }
KERNEL(k_axpy, pm_k_axpy(N *C, (real)1e-3, o->x, o->y))
KERNEL(k_scale, pm_k_scale(N *C, (real)0.5, o->x, o->y))
KERNEL(k_mul, pm_k_mul(N *C, o->x, o->z, o->y))
KERNEL(k_mul_add, pm_k_mul_add(N *C, o->x, o->z, o->y))
KERNEL(k_mul_row, pm_k_mul_row(N, C, o->x, o->w, 1, o->y))
KERNEL(k_add_row, pm_k_add_row(N, C, o->w, o->y))
KERNEL(k_colsum, pm_k_colsum(N, C, o->x, o->z, o->dw))
KERNEL(k_silu_mul, pm_k_silu_mul(N *F, o->x, o->z, o->y))
KERNEL(k_silu_mul_bwd, pm_k_silu_mul_bwd(N *F, o->x, o->z, o->g, o->dx, o->dy))
KERNEL(k_gelu, pm_k_gelu(N *C, o->x, o->y))
KERNEL(k_gelu_bwd, pm_k_gelu_bwd(N *C, o->x, o->g, o->dx))
KERNEL(k_dropout, pm_k_dropout(N *C, o->x, (real)0.1, 0, 0, false, o->y))
KERNEL(k_rmsnorm, pm_k_rmsnorm(N, C, o->x, o->w, (real)1e-5, o->stat[0], o->y))
KERNEL(k_rmsnorm_bwd, pm_k_rmsnorm_bwd(N, C, o->x, o->w, o->stat[0], o->g, o->dx, o->dw))
KERNEL(k_layernorm, pm_k_layernorm(N, C, o->x, o->w, o->z, (real)1e-5, o->stat[1], o->stat[0], o->y))
KERNEL(k_layernorm_bwd,
       pm_k_layernorm_bwd(N, C, o->x, o->w, o->stat[1], o->stat[0], o->g, o->dx, o->dw, o->dy))
KERNEL(k_rope_table, pm_k_rope_table(&o->seqs, D, o->freq, o->rope))
KERNEL(k_rope, pm_k_rope(N, H, D, o->rope, 1, o->y))
KERNEL(k_attention, pm_k_attention(&o->attn, o->ws, o->y, o->stat[0]))
KERNEL(k_attention_bwd, pm_k_attention_bwd(&o->attn, o->ws, o->z, o->stat[1], o->g, o->dx, o->dy, o->y))
KERNEL(k_logprob, pm_k_logprob(LABELS, V, o->logits, o->target, o->logp, o->argmax))
KERNEL(k_xent_bwd, pm_k_xent_bwd(LABELS, V, o->logits, o->target, 1, o->logp))
KERNEL(k_adamw, pm_k_adamw(F *C, &o->adamw, o->dw, o->m, o->v, o->w))
KERNEL(k_sumsq, o->logp[0] = pm_k_sumsq(F * C, o->dw))
KERNEL(gemm_nt, pm_gemm(false, true, N, R, C, 1, o->x, C, o->w, C, 0, o->y, R))
KERNEL(gemm_nn, pm_gemm(false, false, N, C, R, 1, o->g, R, o->w, C, 1, o->dx, C))
KERNEL(gemm_tn, pm_gemm(true, false, R, C, N, 1, o->g, R, o->x, C, 0, o->dw, C))
KERNEL(packed_forward, pm_packed_forward(o->packed, N, o->x, 0, o->y))
KERNEL(packed_backward, pm_packed_backward(o->packed, N, o->g, 0, o->dx))

#define ROW(name)                                                                                            \
    { #name, run_##name }
static const struct kernel {
    const char *name;
    void (*run)(operands *o);
} kernels[] = {
    ROW(k_axpy),          ROW(k_scale),      ROW(k_mul),          ROW(k_mul_add),       ROW(k_mul_row),
    ROW(k_add_row),       ROW(k_colsum),     ROW(k_silu_mul),     ROW(k_silu_mul_bwd),  ROW(k_gelu),
    ROW(k_gelu_bwd),      ROW(k_dropout),    ROW(k_rmsnorm),      ROW(k_rmsnorm_bwd),   ROW(k_layernorm),
    ROW(k_layernorm_bwd), ROW(k_rope_table), ROW(k_rope),         ROW(k_attention),     ROW(k_attention_bwd),
    ROW(k_logprob),       ROW(k_xent_bwd),   ROW(k_adamw),        ROW(k_sumsq),         ROW(gemm_nt),
    ROW(gemm_nn),         ROW(gemm_tn),      ROW(packed_forward), ROW(packed_backward),
};
enum { KERNELS = sizeof kernels / sizeof *kernels };

int pm_kernel_count(void) {
    return KERNELS;
}

const char *pm_kernel_name(int k) {
    return kernels[k].name;
}

static real *numbers(pm_arena *a, pm_rng *r, int64_t n) {
    real *x = pm_arena_alloc(a, (size_t)n * sizeof *x, PM_MEM_WORKSPACE);
    pm_rng_fill_normal(r, x, n, 0, 1);
    return x;
}

static void fill_sequences(operands *o) {
    for (int s = 0; s < SEQS; s++) o->start[s] = s * LEN, o->len[s] = LEN;
    for (int i = 0; i < LABELS; i++) o->target[i] = i * 7 % V;
    for (int j = 0; j < D / 2; j++) o->freq[j] = pow(1e4, -2.0 * j / D);
    o->seqs = (pm_seqs){
        .n = SEQS, .n_tokens = N, .start = o->start, .len = o->len, .pos0 = o->zero, .prompt_len = o->zero};
}

static operands *prepare(pm_arena *a) {
    operands *o = pm_arena_zalloc(a, sizeof *o, PM_MEM_WORKSPACE);
    pm_rng r = pm_rng_make(0, 0);
    real **wide[] = {&o->x, &o->y, &o->z, &o->g, &o->dx, &o->dy};
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) *wide[i] = numbers(a, &r, N * F);
    real **weight[] = {&o->w, &o->dw, &o->m, &o->v};
    for (size_t i = 0; i < sizeof weight / sizeof *weight; i++) *weight[i] = numbers(a, &r, F * C);
    for (int i = 0; i < F * C; i++) o->v[i] *= o->v[i]; /* a second moment */
    for (int i = 0; i < 2; i++) o->stat[i] = numbers(a, &r, (int64_t)H * N);
    o->logits = numbers(a, &r, (int64_t)LABELS * V);
    o->rope = numbers(a, &r, N * D);
    fill_sequences(o);
    o->attn = (pm_attn){
        .seqs = &o->seqs, .H = H, .n_kv = KV, .D = D, .causal = true, .q = o->x, .k = o->z, .v = o->g};
    o->ws = numbers(a, &r, pm_k_attention_scratch(&o->attn));
    o->packed = pm_pack(a, NULL, NULL, numbers(a, &r, F * C), F, C, PM_FP32);
    o->adamw = (pm_adamw_consts){(real)1e-4, 1, (real)0.9, (real)0.999, (real)1e-8, (real)1e-4, 1};
    return o;
}

struct pm_kernel_bench {
    pm_arena *arena;
    operands *o;
    int calls[KERNELS]; /* in a batch */
};

static double batch(int k, operands *o, int calls) {
    double start = pm_cpu_s();
    for (int i = 0; i < calls; i++) kernels[k].run(o);
    return (pm_cpu_s() - start) / calls;
}

/* The first calls touch memory and make what a backend keeps for a shape. */
static int calls_of(int k, operands *o) {
    batch(k, o, FIRST_CALLS);
    double call = batch(k, o, FIRST_CALLS);
    return call < BATCH_S ? (int)(BATCH_S / call) : 1;
}

pm_kernel_bench *pm_kernel_bench_new(void) {
    pm_arena *a = pm_arena_new("kernels", 0);
    pm_kernel_bench *b = pm_arena_zalloc(a, sizeof *b, PM_MEM_WORKSPACE);
    b->arena = a;
    b->o = prepare(a);
    for (int k = 0; k < KERNELS; k++) b->calls[k] = calls_of(k, b->o);
    return b;
}

void pm_kernel_bench_free(pm_kernel_bench *b) {
    if (b) pm_arena_free(b->arena);
}

double pm_kernel_batch(pm_kernel_bench *b, int k) {
    batch(k, b->o, 1);
    return batch(k, b->o, b->calls[k]);
}
