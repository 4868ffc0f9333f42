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
#include <string.h>

#ifdef PM_DOUBLE
static const double epsilon = DBL_EPSILON;
#else
static const double epsilon = FLT_EPSILON;
#endif

typedef struct problem {
    bool ta, tb;
    int64_t M, N, K, lda, ldb, ldc;
    double alpha, beta;
    real *A, *B, *C; /* C: before the product */
} problem;

/* Sizes; each is run with all four transposes, and alpha, beta and padding vary along. */
static const struct {
    int M, N, K;
} shapes[] = {
    {1, 1, 1},    {1, 33, 17}, {37, 1, 19},  {5, 7, 3},   {16, 48, 65}, {31, 16, 130},
    {49, 53, 16}, {70, 9, 16}, {3, 5, 1031}, {2, 517, 8}, {401, 3, 9},  {67, 71, 73},
};
static const struct { double alpha, beta; } scales[] = {{1, 0}, {1, 1}, {-0.5, 0.25}, {2, 0}, {1, -3}};

/* The double-precision value of C[i,j] and the sum of its terms' magnitudes. */
static double plain(const problem *q, int64_t i, int64_t j, double *magnitude) {
    double sum = 0, size = 0;
    const real *a = q->A + (q->ta ? i : i * q->lda), *b = q->B + (q->tb ? j * q->ldb : j);
    int64_t step_a = q->ta ? q->lda : 1, step_b = q->tb ? 1 : q->ldb;
    for (int64_t k = 0; k < q->K; k++, a += step_a, b += step_b) {
        double term = (double)*a * (double)*b;
        sum += term;
        size += fabs(term);
    }
    double old = q->beta == 0 ? 0 : q->beta * (double)q->C[i * q->ldc + j];
    *magnitude = fabs(q->alpha) * size + fabs(old);
    return q->alpha * sum + old;
}

/* The largest error of `got` as a part of its terms' magnitudes; infinite where it wrote beside C or left a
 * NaN. */
static double error_of(const problem *q, const real *got) {
    double worst = 0;
    for (int64_t i = 0; i < q->M; i++) {
        for (int64_t j = 0; j < q->N; j++) {
            double magnitude, want = plain(q, i, j, &magnitude),
                              off = fabs((double)got[i * q->ldc + j] - want);
            if (!(off <= worst * magnitude)) worst = isfinite(off) ? off / magnitude : HUGE_VAL;
        }
        const real *beside = got + i * q->ldc + q->N;
        size_t bytes = (size_t)(q->ldc - q->N) * sizeof(real);
        if (bytes && memcmp(beside, q->C + i * q->ldc + q->N, bytes) != 0) worst = HUGE_VAL;
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

static pm_status judge(const char *name, const char *what, const problem *q, const real *got, double *worst,
                       pm_err *e) {
    double error = error_of(q, got), bound = (double)(q->K + 2) * epsilon;
    if (error > *worst) *worst = error;
    if (error <= bound) return PM_OK;
    pm_fail(e, PM_ECHECK,
            "backend %s: wrong %s: M %d N %d K %d, op %c%c, alpha %g, beta %g: error %.2g, bound %.2g", name,
            what, (int)q->M, (int)q->N, (int)q->K, q->ta ? 'T' : 'N', q->tb ? 'T' : 'N', q->alpha, q->beta,
            error, bound);
    return pm_hint(e, "use the other backend (--set backend=openblas or onednn), or a newer library");
}

static pm_status check_general(const pm_gemm_vtable *b, pm_arena *a, double *worst, pm_err *e) {
    pm_rng r = pm_rng_make(0, 1);
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        for (int variant = 0; variant < 4; variant++) {
            problem q = make_problem(a, &r, shape, variant);
            real *C = copy_of(a, q.C, q.M * q.ldc);
            b->gemm(q.ta, q.tb, q.M, q.N, q.K, (real)q.alpha, q.A, q.lda, q.B, q.ldb, (real)q.beta, C, q.ldc);
            pm_status status = judge(b->name, "product", &q, C, worst, e);
            if (status != PM_OK) return status;
            pm_arena_reset(a);
        }
    }
    return PM_OK;
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

static pm_status check_packed_shape(const pm_gemm_vtable *b, pm_arena *a, size_t shape, pm_pass pass,
                                    pm_precision precision, double *worst, pm_err *e) {
    pm_rng r = pm_rng_make(0, 2 + shape);
    problem q = packed_problem(a, &r, shape, pass, precision);
    const void *layout = b->pack(a, q.B, packed_shapes[shape].O, packed_shapes[shape].I, pass, precision);
    if (!layout) return PM_OK; /* then general products serve */
    real *C = copy_of(a, q.C, q.M * q.ldc);
    const void *x = precision == PM_BF16 ? as_halves(a, q.A, q.M * q.K) : q.A;
    if (!b->packed(layout, q.M, x, (real)q.beta, C)) return PM_OK;
    return judge(b->name, precision == PM_BF16 ? "packed bf16 product" : "packed product", &q, C, worst, e);
}

static pm_status check_packed(const pm_gemm_vtable *b, pm_arena *a, double *worst, pm_err *e) {
    pm_status status = PM_OK;
    if (!b->pack) return status;
    for (size_t shape = 0; shape < sizeof packed_shapes / sizeof *packed_shapes; shape++) {
        for (int kind = 0; kind < 4 && status == PM_OK; kind++) {
            status = check_packed_shape(b, a, shape, kind & 1, kind & 2 ? PM_BF16 : PM_FP32, worst, e);
            pm_arena_reset(a);
        }
    }
    return status;
}

pm_status pm_gemm_check(const pm_gemm_vtable *b, double *max_rel_err, pm_err *e) {
    pm_arena *a = pm_arena_new("gemm check", (size_t)16 << 20);
    *max_rel_err = 0;
    pm_status status = check_general(b, a, max_rel_err, e);
    if (status == PM_OK) status = check_packed(b, a, max_rel_err, e);
    pm_arena_free(a);
    return status;
}
