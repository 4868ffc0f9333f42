/* gemm_check.c - a backend's products against a plain loop in double, at every start (gemm_backend.h).
 *
 * Why at start: old kernels can be wrong, not only slow, and only on some CPUs. Why small shapes: start-up
 * must stay under 30 ms; the sizes are odd so that every kernel's edges are met, and a few are long in one
 * dimension to reach its blocking.
 *
 * The bound holds for any order of summation: rounding errors of a K-term inner product stay below (K + 2) u
 * times the sum of the terms' magnitudes (Higham, Accuracy and Stability, 3.5), u half an epsilon; we allow
 * twice that. A kernel that drops, doubles or misplaces a single term is off by about 1/K of that sum,
 * thousands of times more.
 */
#include "bf16.h"
#include "gemm_backend.h"
#include "rng.h"
#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#ifdef PM_DOUBLE
static const double epsilon = DBL_EPSILON;
#else
static const double epsilon = FLT_EPSILON;
#endif

/* A check under way. */
typedef struct checker {
    const pm_gemm_vtable *backend;
    pm_arena *arena; /* reset after every product */
    double worst;
    pm_err *e;
} checker;

typedef struct problem {
    bool ta, tb;
    int64_t M, N, K, lda, ldb, ldc;
    double alpha, beta;
    real *A, *B, *C; /* C: before the product */
} problem;

/* Sizes; each is run with all four transposes, and alpha, beta and padding vary along. The last is large
 * enough for every library to share it out among threads and is run as NN and TT; the others run on one
 * thread, because waking the pool costs the start more than the products do. */
static const struct {
    int M, N, K;
} shapes[] = {
    {1, 1, 1},    {1, 33, 17}, {37, 1, 19},  {5, 7, 3},   {16, 48, 65}, {31, 16, 130},
    {49, 53, 16}, {70, 9, 16}, {3, 5, 1031}, {2, 517, 8}, {401, 3, 9},  {67, 71, 73},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };
static const struct { double alpha, beta; } scales[] = {{1, 0}, {1, 1}, {-0.5, 0.25}, {2, 0}, {1, -3}};

/* op(X) [rows,cols] in double, without padding. */
static double *plain_copy(pm_arena *a, bool transposed, int64_t rows, int64_t cols, const real *x,
                          int64_t ldx) {
    double *out = pm_arena_alloc(a, (size_t)(rows * cols) * sizeof *out, PM_MEM_WORKSPACE);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            out[i * cols + j] = (double)x[transposed ? j * ldx + i : i * ldx + j];
    return out;
}

/* Row i of alpha A B + beta C, and beside it the sum of the terms' magnitudes; A [M,K] and B [K,N] without
 * padding. */
static void plain_row(const problem *q, int64_t i, const double *A, const double *B, double *want,
                      double *magnitude) {
    for (int64_t j = 0; j < q->N; j++) {
        want[j] = q->beta == 0 ? 0 : q->beta * (double)q->C[i * q->ldc + j];
        magnitude[j] = fabs(want[j]);
    }
    for (int64_t k = 0; k < q->K; k++) {
        double a = q->alpha * A[i * q->K + k];
        for (int64_t j = 0; j < q->N; j++) {
            double term = a * B[k * q->N + j];
            want[j] += term;
            magnitude[j] += fabs(term);
        }
    }
}

static double worst_of_row(int64_t n, const real *got, const double *want, const double *magnitude) {
    double worst = 0;
    for (int64_t j = 0; j < n; j++) {
        double off = fabs((double)got[j] - want[j]);
        if (!isfinite(off)) return HUGE_VAL;
        if (off > worst * magnitude[j]) worst = off / magnitude[j];
    }
    return worst;
}

/* The largest error of `got` as a part of its terms' magnitudes; infinite where it wrote beside C or left a
 * NaN. */
static double error_of(pm_arena *arena, const problem *q, const real *got) {
    const double *A = plain_copy(arena, q->ta, q->M, q->K, q->A, q->lda);
    const double *B = plain_copy(arena, q->tb, q->K, q->N, q->B, q->ldb);
    double *want = pm_arena_alloc(arena, (size_t)q->N * sizeof *want, PM_MEM_WORKSPACE);
    double *magnitude = pm_arena_alloc(arena, (size_t)q->N * sizeof *magnitude, PM_MEM_WORKSPACE);
    size_t beside = (size_t)q->N, pad_bytes = (size_t)(q->ldc - q->N) * sizeof(real);
    double worst = 0;
    for (int64_t i = 0; i < q->M; i++) {
        const real *row = got + i * q->ldc, *before = q->C + i * q->ldc;
        plain_row(q, i, A, B, want, magnitude);
        worst = fmax(worst, worst_of_row(q->N, row, want, magnitude));
        if (pad_bytes && memcmp(row + beside, before + beside, pad_bytes) != 0) return HUGE_VAL;
    }
    return worst;
}

static real *random_matrix(pm_arena *a, pm_rng *r, int64_t rows, int64_t stride) {
    real *x = pm_arena_alloc(a, (size_t)(rows * stride) * sizeof *x, PM_MEM_WORKSPACE);
    pm_rng_fill_uniform(r, x, rows * stride, -1, 1);
    return x;
}

static problem make_problem(pm_arena *a, pm_rng *r, size_t shape, int variant) {
    size_t s = (shape + (size_t)variant) % (sizeof scales / sizeof *scales);
    int64_t M = shapes[shape].M, N = shapes[shape].N, K = shapes[shape].K,
            pad = variant == 0 ? 0 : 1 + (int64_t)s;
    problem q = {.ta = variant & 1, .tb = variant & 2, .M = M, .N = N, .K = K};
    q.alpha = scales[s].alpha, q.beta = scales[s].beta;
    q.lda = (q.ta ? M : K) + pad, q.ldb = (q.tb ? K : N) + pad, q.ldc = N + pad;
    q.A = random_matrix(a, r, q.ta ? K : M, q.lda);
    q.B = random_matrix(a, r, q.tb ? N : K, q.ldb);
    q.C = random_matrix(a, r, M, q.ldc);
    if (q.beta == 0) /* a kernel that multiplies the old C by 0 instead of overwriting it shows here */
        for (int64_t i = 0; i < M * q.ldc; i++) q.C[i] = (real)NAN;
    return q;
}

static real *copy_of(pm_arena *a, const real *x, int64_t n) {
    return memcpy(pm_arena_alloc(a, (size_t)n * sizeof *x, PM_MEM_WORKSPACE), x, (size_t)n * sizeof *x);
}

static pm_status judge(checker *c, const char *what, const problem *q, const real *got) {
    double error = error_of(c->arena, q, got), bound = (double)(q->K + 2) * epsilon;
    if (error > c->worst) c->worst = error;
    if (error <= bound) return PM_OK;
    pm_fail(c->e, PM_ECHECK,
            "backend %s: wrong %s: M %d N %d K %d, op %c%c, alpha %g, beta %g: error %.2g, bound %.2g",
            c->backend->name, what, (int)q->M, (int)q->N, (int)q->K, q->ta ? 'T' : 'N', q->tb ? 'T' : 'N',
            q->alpha, q->beta, error, bound);
    return pm_hint(c->e, "use the other backend (--set backend=openblas or onednn), or a newer library");
}

static pm_status check_product(checker *c, pm_rng *r, size_t shape, int variant) {
    problem q = make_problem(c->arena, r, shape, variant);
    real *C = copy_of(c->arena, q.C, q.M * q.ldc);
    c->backend->gemm(q.ta, q.tb, q.M, q.N, q.K, (real)q.alpha, q.A, q.lda, q.B, q.ldb, (real)q.beta, C,
                     q.ldc);
    pm_status status = judge(c, "product", &q, C);
    pm_arena_reset(c->arena);
    return status;
}

static pm_status check_general(checker *c) {
    int threads = omp_get_max_threads();
    pm_status status = PM_OK;
    pm_rng r = pm_rng_make(0, 0);
    for (size_t shape = 0; shape < N_SHAPES; shape++) {
        bool shared = shape + 1 == N_SHAPES;
        omp_set_num_threads(shared ? threads : 1);
        for (int variant = 0; variant < 4 && status == PM_OK; variant += shared ? 3 : 1)
            status = check_product(c, &r, shape, variant);
    }
    omp_set_num_threads(threads);
    return status;
}

/* ---- packed weights: y [N,O] = x [N,I] W^T and dx [N,I] = g [N,O] W ---- */

static const struct { int O, I, N; } packed_shapes[] = {{64, 48, 33}, {50, 70, 5}, {16, 130, 1}};

static void round_to_bf16(real *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = (real)pm_float_from_bf16(pm_bf16_from_float((float)x[i]));
}

static const void *as_halves(pm_arena *a, const real *x, int64_t n) {
    uint16_t *h = pm_arena_alloc(a, (size_t)n * sizeof *h, PM_MEM_WORKSPACE);
    for (int64_t i = 0; i < n; i++) h[i] = pm_bf16_from_float((float)x[i]);
    return h;
}

/* The packed product of a shape as a general one: B is W, transposed in the forward pass. */
static problem packed_problem(pm_arena *a, pm_rng *r, size_t shape, pm_pass pass, pm_precision precision) {
    int64_t O = packed_shapes[shape].O, I = packed_shapes[shape].I, M = packed_shapes[shape].N;
    bool forward = pass == PM_PASS_FORWARD;
    int64_t N = forward ? O : I, K = forward ? I : O;
    problem q = {.tb = forward,
                 .M = M,
                 .N = N,
                 .K = K,
                 .lda = K,
                 .ldb = I,
                 .ldc = N,
                 .alpha = 1,
                 .beta = (double)(shape % 2)};
    q.A = random_matrix(a, r, M, K);
    q.B = random_matrix(a, r, O, I);
    q.C = random_matrix(a, r, M, N);
    if (precision == PM_BF16) {
        round_to_bf16(q.A, M * K);
        round_to_bf16(q.B, O * I);
    }
    return q;
}

static pm_status check_packed_product(checker *c, pm_rng *r, size_t shape, pm_pass pass,
                                      pm_precision precision) {
    problem q = packed_problem(c->arena, r, shape, pass, precision);
    pm_layout l = {packed_shapes[shape].O, packed_shapes[shape].I, pass, precision};
    size_t bytes = c->backend->layout_bytes(&l);
    void *weights = bytes ? pm_arena_alloc(c->arena, bytes, PM_MEM_WEIGHTS) : NULL;
    if (!bytes || !c->backend->pack(&l, q.B, weights)) return PM_OK; /* then general products serve */
    real *C = copy_of(c->arena, q.C, q.M * q.ldc);
    const void *x = precision == PM_BF16 ? as_halves(c->arena, q.A, q.M * q.K) : q.A;
    if (!c->backend->packed(&l, weights, q.M, x, (real)q.beta, C)) return PM_OK;
    return judge(c, precision == PM_BF16 ? "packed bf16 product" : "packed product", &q, C);
}

static pm_status check_packed(checker *c) {
    pm_status status = PM_OK;
    pm_rng r = pm_rng_make(0, 1);
    for (size_t shape = 0; shape < sizeof packed_shapes / sizeof *packed_shapes; shape++) {
        for (int kind = 0; kind < 4 && status == PM_OK; kind++) {
            status = check_packed_product(c, &r, shape, kind & 1, kind & 2 ? PM_BF16 : PM_FP32);
            pm_arena_reset(c->arena);
        }
    }
    return status;
}

pm_status pm_gemm_check(const pm_gemm_vtable *b, double *max_rel_err, pm_err *e) {
    checker c = {.backend = b, .arena = pm_arena_new("gemm check", (size_t)16 << 20), .e = e};
    pm_status status = check_general(&c);
    if (status == PM_OK && b->pack) status = check_packed(&c);
    pm_arena_free(c.arena);
    *max_rel_err = c.worst;
    return status;
}
