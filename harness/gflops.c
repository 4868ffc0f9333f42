/* gflops.c - times products of the shapes of gflops.h. The best time counts: whatever else runs on the machine only adds to it. */
#include "gflops.h"

#include "rng.h"
#include <math.h>

/* SmolLM2-135M's down projection for 1536 tokens, and the first product of a rank-16 adapter on its hidden states. */
const pm_gflops_case pm_gflops_cases[] = {
    {"frozen 1536x576x1536", 1536, 576, 1536, true},
    {"rank16 1536x16x576", 1536, 16, 576, false},
};
const int pm_n_gflops_cases = sizeof pm_gflops_cases / sizeof *pm_gflops_cases;

enum { CALLS_MIN = 3 };

static real *random_matrix(pm_arena *a, pm_rng *r, int64_t n) {
    real *x = pm_arena_alloc(a, (size_t)n * sizeof *x, PM_MEM_WORKSPACE);
    pm_rng_fill_normal(r, x, n, 0, 1);
    return x;
}

typedef struct product {
    const pm_gflops_case *c;
    const pm_packed *packed;
    const real *x, *w;
    real *y;
} product;

static double time_once(const product *p) {
    const pm_gflops_case *c = p->c;
    double start = pm_now_s();
    if (c->packed)
        pm_packed_forward(p->packed, c->n, p->x, 0, p->y);
    else
        pm_gemm(false, true, c->n, c->out, c->in, 1, p->x, c->in, p->w, c->in, 0, p->y, c->out);
    return pm_now_s() - start;
}

double pm_gflops_measure(const pm_gflops_case *c, pm_precision precision, double budget_s) {
    pm_arena *a = pm_arena_new("doctor", 0);
    pm_rng r = pm_rng_make(0, 0);
    real *w = random_matrix(a, &r, c->out * c->in), *x = random_matrix(a, &r, c->n * c->in);
    product p = {c, c->packed ? pm_pack(a, NULL, NULL, w, c->out, c->in, precision) : NULL, x, w,
                 random_matrix(a, &r, c->n * c->out)};
    time_once(&p); /* touches memory and makes what a backend keeps for the shape */
    double best = INFINITY, end = pm_now_s() + budget_s;
    for (int i = 0; i < CALLS_MIN || pm_now_s() < end; i++) best = fmin(best, time_once(&p));
    pm_arena_free(a);
    return 2e-9 * (double)c->n * (double)c->out * (double)c->in / best;
}
