/* test_gemm.c - products, packed weights, bf16, counts and the self-check that guards against a wrong BLAS.
 */
#include "bf16.h"
#include "check.h"
#include "gemm_backend.h"
#include "rng.h"
#include <float.h>
#include <omp.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef PM_DOUBLE
#define EPSILON DBL_EPSILON
#else
#define EPSILON ((double)FLT_EPSILON)
#endif

static pm_err e;
static pm_arena *memory;

static real *random_reals(int64_t n, uint64_t stream) {
    real *x = pm_arena_alloc(memory, (size_t)n * sizeof *x, PM_MEM_WORKSPACE);
    pm_rng r = pm_rng_make(11, stream);
    pm_rng_fill_uniform(&r, x, n, -1, 1);
    return x;
}

static real *copy_of(const real *x, int64_t n) {
    return memcpy(pm_arena_alloc(memory, (size_t)n * sizeof *x, PM_MEM_WORKSPACE), x, (size_t)n * sizeof *x);
}

/* |got - exact| as a part of (K + 2) epsilon sum |alpha a b| + |beta c|: at most 1 for any order of
 * summation. */
static double worst_error(bool ta, bool tb, int64_t M, int64_t N, int64_t K, double alpha, const real *A,
                          int64_t lda, const real *B, int64_t ldb, double beta, const real *before,
                          const real *got, int64_t ldc) {
    double worst = 0;
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++) {
            double old = beta == 0 ? 0 : beta * (double)before[i * ldc + j], sum = old, size = fabs(old);
            for (int64_t k = 0; k < K; k++) {
                double term = alpha * (double)A[ta ? k * lda + i : i * lda + k] *
                              (double)B[tb ? j * ldb + k : k * ldb + j];
                sum += term;
                size += fabs(term);
            }
            double error = fabs((double)got[i * ldc + j] - sum) / ((double)(K + 2) * EPSILON * size);
            if (!(error <= worst)) worst = error;
        }
    return worst;
}

/* ---- general products ---- */

static void gemm_backends_pass_their_check(void) {
    pm_backend_info info[4];
    CHECK_EQ_INT(pm_gemm_list(info, 4), 2);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ_INT(info[i].passed, info[i].available);
        CHECK(!info[i].available || (info[i].max_rel_err > 0 && info[i].max_rel_err < 1e-5));
        CHECK_EQ_INT(info[i].available, strcmp(info[i].version, "not in this build") != 0);
    }
    CHECK_EQ_STR(info[0].name, "onednn");
    CHECK_EQ_STR(info[1].name, "openblas");
    CHECK(info[1].available); /* in every build */
    CHECK(strstr(info[1].version, "(OpenMP)"));
}

/* Shapes of a 135M model's step, of its rank-16 adapters and of attention, larger than the start-up check's.
 */
static void gemm_agrees_with_a_plain_loop(void) {
    static const int shapes[][3] = {{65, 131, 300}, {64, 200, 64},  {200, 64, 200},
                                    {97, 16, 1536}, {192, 131, 16}, {1, 1000, 576}};
    for (int s = 0; s < 6; s++) {
        int64_t M = shapes[s][0], N = shapes[s][1], K = shapes[s][2];
        for (int t = 0; t < 4; t++) {
            bool ta = t & 1, tb = t & 2;
            int64_t lda = (ta ? M : K) + 3 * t, ldb = (tb ? K : N) + t, ldc = N + 2 * t;
            real *A = random_reals((ta ? K : M) * lda, 1), *B = random_reals((tb ? N : K) * ldb, 2),
                 *C = random_reals(M * ldc, 3);
            real *got = copy_of(C, M * ldc),
                 beta = (real)(t == 0   ? 0
                               : t == 1 ? 1
                                        : -0.5),
                 alpha = (real)(t == 2 ? 0.125 : 1);
            pm_gemm(ta, tb, M, N, K, alpha, A, lda, B, ldb, beta, got, ldc);
            CHECK(worst_error(ta, tb, M, N, K, (double)alpha, A, lda, B, ldb, (double)beta, C, got, ldc) <=
                  1);
            pm_arena_reset(memory);
        }
    }
}

static void gemm_defines_its_edges(void) {
    real A[4] = {(real)NAN, 1, 2, 3}, B[4] = {4, 5, 6, 7}, C[4] = {1, -2, 3, -4};
    pm_gemm(false, false, 2, 2, 0, 1, A, 2, B, 2, (real)0.5, C, 2);
    CHECK_EQ_INT(C[0] == (real)0.5 && C[1] == -1 && C[2] == (real)1.5 && C[3] == -2, 1);
    pm_gemm(false, false, 2, 2, 2, 0, A, 2, B, 2, 1, C, 2); /* alpha 0: A is not looked at, NaN or not */
    CHECK_EQ_INT(C[0] == (real)0.5 && C[3] == -2, 1);
    pm_gemm(false, false, 0, 2, 2, 1, A, 2, B, 2, 0, C, 2);
    pm_gemm(false, false, 2, 0, 2, 1, A, 2, B, 2, 0, C, 2);
    CHECK_EQ_INT(C[0] == (real)0.5 && C[3] == -2, 1);
    C[1] = (real)NAN;
    pm_gemm(false, false, 2, 2, 0, 1, A, 2, B, 2, 0, C, 2); /* beta 0 overwrites a NaN */
    CHECK_EQ_INT(C[0] == 0 && C[1] == 0 && C[2] == 0 && C[3] == 0, 1);
    pm_gemm(false, false, 2, 2, 2, 1, A, 2, B, 2, 0, C, 2);
    CHECK(isnan((double)C[0]) && isnan((double)C[1])); /* and a NaN in A is kept */
    CHECK_NEAR(C[3], 31, 1e-6);
}

static void gemm_repeats_its_bits(void) {
    int64_t M = 150, N = 576, K = 1536;
    real *A = random_reals(M * K, 1), *B = random_reals(N * K, 2), *first = random_reals(M * N, 3),
         *again = random_reals(M * N, 4);
    pm_gemm(false, true, M, N, K, 1, A, K, B, K, 0, first, N);
    for (int i = 0; i < 3; i++) {
        pm_gemm(false, true, M, N, K, 1, A, K, B, K, 0, again, N);
        CHECK(memcmp(first, again, (size_t)(M * N) * sizeof *first) == 0);
    }
    pm_arena_reset(memory);
}

/* As attention uses it: every thread its own heads, strided slices of one matrix. */
static void gemm_runs_inside_a_parallel_region(void) {
    enum { HEADS = 9, T = 48, L = 64, C = HEADS * L };
    real *q = random_reals(T * C, 1), *k = random_reals(T * C, 2), *s = random_reals(HEADS * T * T, 3);
    pm_flops_clear();
#pragma omp parallel for
    for (int h = 0; h < HEADS; h++)
        pm_gemm(false, true, T, T, L, 1, q + h * L, C, k + h * L, C, 0, s + h * T * T, T);
    for (int h = 0; h < HEADS; h++)
        CHECK(worst_error(false, true, T, T, L, 1, q + h * L, C, k + h * L, C, 0, NULL, s + h * T * T, T) <=
              1);
    if (omp_get_max_threads() > 1)
        CHECK_EQ_INT(pm_gemm_calls(), 0); /* counted by the op, which knows them all */
    pm_arena_reset(memory);
}

static void flops_are_exact(void) {
    real *A = random_reals(600, 1), *B = random_reals(600, 2), *C = random_reals(600, 3);
    pm_flops_clear();
    pm_flops_phase(PM_FLOPS_FORWARD);
    pm_gemm(false, true, 7, 11, 13, 1, A, 13, B, 13, 0, C, 11);
    pm_packed *p = pm_pack(memory, NULL, NULL, B, 20, 30, PM_FP32);
    pm_packed_forward(p, 5, A, 0, C);
    pm_flops_phase(PM_FLOPS_INPUT_GRAD);
    pm_packed_backward(p, 5, A, 0, C);
    pm_flops_phase(PM_FLOPS_OPTIMIZER);
    pm_flops_add(17);
    pm_gemm(false, false, 7, 11, 0, 1, A, 13, B, 13, 0, C, 11); /* nothing to multiply */
    CHECK_EQ_INT(pm_flops_get(PM_FLOPS_FORWARD), 2 * 7 * 11 * 13 + 2 * 5 * 20 * 30);
    CHECK_EQ_INT(pm_flops_get(PM_FLOPS_INPUT_GRAD), 2 * 5 * 20 * 30);
    CHECK_EQ_INT(pm_flops_get(PM_FLOPS_WEIGHT_GRAD), 0);
    CHECK_EQ_INT(pm_flops_get(PM_FLOPS_OPTIMIZER), 17);
    CHECK_EQ_INT(pm_gemm_calls(), 3);
    double worst;
    CHECK_OK(pm_gemm_check(&pm_gemm_openblas, &worst, &e)); /* the self-check does not count */
    CHECK_EQ_INT(pm_gemm_calls(), 3);
    pm_flops_clear();
    CHECK_EQ_INT(pm_gemm_calls() + pm_flops_get(PM_FLOPS_FORWARD), 0);
    CHECK_EQ_STR(pm_flops_name(PM_FLOPS_WEIGHT_GRAD), "flops_weight_grad");
    pm_arena_reset(memory);
}

/* ---- the self-check turns planted faults away ---- */

#define GEMM_ARGS                                                                                            \
    bool ta, bool tb, int64_t M, int64_t N, int64_t K, real alpha, const real *A, int64_t lda,               \
        const real *B, int64_t ldb, real beta, real *C, int64_t ldc
static void right(GEMM_ARGS) {
    pm_gemm_openblas.gemm(ta, tb, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}
static void drops_last_of_a_long_sum(GEMM_ARGS) {
    right(ta, tb, M, N, K > 1024 ? K - 1 : K, alpha, A, lda, B, ldb, beta, C, ldc);
}
static void drops_beta(GEMM_ARGS) {
    right(ta, tb, M, N, K, alpha, A, lda, B, ldb, beta < 0 ? 0 : beta, C, ldc);
}
static void multiplies_old_c_by_zero(GEMM_ARGS) {
    real old = C[0] * beta;
    right(ta, tb, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
    if (beta == 0) C[0] += old;
}
static void writes_beside_c(GEMM_ARGS) {
    right(ta, tb, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
    if (ldc > N) C[N] = 0;
}
static void wrong_when_both_transposed(GEMM_ARGS) {
    right(ta, tb, M, N, K, ta && tb && N % 16 == 5 ? -alpha : alpha, A, lda, B, ldb, beta, C, ldc);
}
static void wrong_in_a_corner(GEMM_ARGS) {
    right(ta, tb, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
    if (M > 64) C[(M - 1) * ldc + N - 1] *= (real)1.001;
}
static void forgets_alpha(GEMM_ARGS) {
    (void)alpha;
    right(ta, tb, M, N, K, 1, A, lda, B, ldb, beta, C, ldc);
}
static void wrong_with_several_threads(GEMM_ARGS) {
    right(ta, tb, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
    if (omp_get_max_threads() > 1) C[0] += 1;
}

static void check_rejects_planted_faults(void) {
    static const struct {
        const char *fault;
        void (*gemm)(GEMM_ARGS);
    } planted[] = {
        {"drops a term", drops_last_of_a_long_sum},
        {"drops beta", drops_beta},
        {"keeps a NaN", multiplies_old_c_by_zero},
        {"writes beside C", writes_beside_c},
        {"TT", wrong_when_both_transposed},
        {"corner", wrong_in_a_corner},
        {"alpha", forgets_alpha},
        {"threads", wrong_with_several_threads},
    };
    const char *before = pm_gemm_backend();
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        pm_gemm_vtable b = {.name = planted[i].fault, .init = pm_gemm_openblas.init, .gemm = planted[i].gemm};
        pm_status status = pm_gemm_use(&b, 2, &e);
        if (status != PM_ECHECK) fprintf(stderr, "  fault \"%s\" was not found\n", planted[i].fault);
        CHECK_EQ_INT(status, PM_ECHECK);
        CHECK(strstr(e.msg, planted[i].fault) && e.hint[0]);
        CHECK_EQ_STR(pm_gemm_backend(), before); /* the one before stays */
    }
}

static void init_names_its_choices(void) {
    const char *before = pm_gemm_backend();
    CHECK_EQ_INT(pm_gemm_init("mkl", 2, &e), PM_EUSAGE);
    CHECK(strstr(e.msg, "mkl") && strstr(e.hint, "openblas"));
    CHECK_EQ_STR(pm_gemm_backend(), before);
    pm_gemm_vtable absent = {.name = "absent"};
    CHECK_EQ_INT(pm_gemm_use(&absent, 2, &e), PM_EUNSUPPORTED);
    CHECK(strstr(e.msg, "not in this build"));
}

/* ---- bf16 ---- */

static void bf16_rounds_to_nearest_even(void) {
    static const struct {
        uint32_t in;
        uint16_t want;
    } table[] = {
        {0x00000000, 0x0000}, {0x80000000, 0x8000},
        {0x3F800000, 0x3F80},                       /* 0, -0, 1 */
        {0x3F808000, 0x3F80}, {0x3F818000, 0x3F82}, /* ties go to the even one, down and up */
        {0x3F808001, 0x3F81}, {0x3F807FFF, 0x3F80},
        {0xBF818000, 0xBF82},                       /* just above, just below, negative tie */
        {0x3FFFFFFF, 0x4000},                       /* carries into the exponent */
        {0x7F7FFFFF, 0x7F80}, {0x7F7F7FFF, 0x7F7F}, /* past the largest; the largest */
        {0x7F800000, 0x7F80}, {0xFF800000, 0xFF80}, /* infinities */
        {0x7FC00000, 0x7FC0}, {0x7F800001, 0x7FC0},
        {0xFFFFFFFF, 0xFFFF}, /* NaN stays NaN, also where its bits are low */
        {0x00000001, 0x0000}, {0x00018000, 0x0002},
        {0x007FFFFF, 0x0080}, /* denormals */
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        float x;
        memcpy(&x, &table[i].in, sizeof x);
        CHECK_EQ_INT(pm_bf16_from_float(x), table[i].want);
    }
    int wrong = 0; /* every half is its own rounding */
    for (uint32_t h = 0; h < 65536; h++) {
        float x = pm_float_from_bf16((uint16_t)h);
        wrong += isnan(x) ? !isnan(pm_float_from_bf16(pm_bf16_from_float(x))) : pm_bf16_from_float(x) != h;
    }
    CHECK_EQ_INT(wrong, 0);
}

/* ---- packed weights ---- */

static real *as_bf16_values(const real *x, int64_t n) {
    real *out = copy_of(x, n);
    for (int64_t i = 0; i < n; i++) out[i] = (real)pm_float_from_bf16(pm_bf16_from_float((float)x[i]));
    return out;
}

/* Both passes against the plain loop on the values the precision stands for; beta y is never rounded to bf16.
 */
static void check_packed(int64_t N, int64_t O, int64_t I, pm_precision precision, real beta) {
    real *w = random_reals(O * I, 1), *x = random_reals(N * I, 2), *g = random_reals(N * O, 3);
    real *y = random_reals(N * O, 4), *dx = random_reals(N * I, 5), *y0 = copy_of(y, N * O),
         *dx0 = copy_of(dx, N * I);
    pm_packed *p = pm_pack(memory, NULL, NULL, w, O, I, precision);
    pm_packed_forward(p, N, x, beta, y);
    pm_packed_backward(p, N, g, beta, dx);
    if (precision == PM_BF16)
        w = as_bf16_values(w, O * I), x = as_bf16_values(x, N * I), g = as_bf16_values(g, N * O);
    CHECK(worst_error(false, true, N, O, I, 1, x, I, w, I, (double)beta, y0, y, O) <= 1);
    CHECK(worst_error(false, false, N, I, O, 1, g, O, w, I, (double)beta, dx0, dx, I) <= 1);
    pm_arena_reset(memory);
}

static void packed_equals_the_general_product(void) {
    static const int shapes[][3] = {{33, 192, 576}, {1, 576, 192},  {100, 70, 50},
                                    {7, 1, 3},      {65, 129, 257}, {33, 100, 576}};
    for (int s = 0; s < 6; s++)
        for (int v = 0; v < 4; v++)
            check_packed(shapes[s][0], shapes[s][1], shapes[s][2], v & 1 ? PM_BF16 : PM_FP32, (real)(v >> 1));
}

static void packed_bf16_differs_from_fp32_as_rounding_does(void) {
    int64_t N = 20, O = 30, I = 200;
    real *w = random_reals(O * I, 1), *x = random_reals(N * I, 2), *exact = random_reals(N * O, 3),
         *halves = random_reals(N * O, 4);
    pm_packed_forward(pm_pack(memory, NULL, NULL, w, O, I, PM_FP32), N, x, 0, exact);
    pm_packed_forward(pm_pack(memory, NULL, NULL, w, O, I, PM_BF16), N, x, 0, halves);
    double square = 0;
    for (int64_t i = 0; i < N * O; i++) square += pow((double)exact[i] - (double)halves[i], 2);
    /* Each rounding of a value v in [2^k, 2^k+1) has variance ulp^2/12, ulp = 2^(k-7); uniform on [-1,1] that
     * is a relative error of 2^-9 * 1.2 or so for each factor; sqrt(200 * 2) * (1/3) * 2^-9 * 1.2 = 0.016. */
    double rms = sqrt(square / (double)(N * O));
    CHECK(rms > 0.008 && rms < 0.03);
    pm_arena_reset(memory);
}

static void packed_settles(void) {
    int64_t N = 50, O = 64, I = 96;
    real *w = random_reals(O * I, 1), *x = random_reals(N * I, 2), *g = random_reals(N * O, 3);
    pm_packed *p = pm_pack(memory, NULL, NULL, w, O, I, PM_BF16);
    int64_t fresh = 0, bytes = 0;
    for (int step = 0; step < 4; step++) {
        pm_packed_forward(p, N - step, x, 0, g);
        pm_packed_backward(p, N - step, g, 1, x);
        if (step == 0) fresh = pm_arena_fresh(memory), bytes = pm_gemm_scratch_bytes();
    }
    CHECK(bytes >= N * I * 2);
    CHECK_EQ_INT(pm_arena_fresh(memory), fresh);
    CHECK_EQ_INT(pm_gemm_scratch_bytes(), bytes);
    pm_packed_forward(p, 0, x, 0, g); /* no rows: nothing happens */
    pm_arena_reset(memory);
}

/* A backend with a layout of its own (W transposed, doubled or halves), so that the packed path is met on
 * every CPU. */
static struct { int packs, products, refusals, nothing_to_do; } seen;
static void own_gemm(GEMM_ARGS) {
    seen.nothing_to_do += alpha == 0 || K == 0;
    right(ta, tb, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}

static bool own_native(void) {
    return true;
}

static size_t own_bytes(const pm_layout *l) {
    return (size_t)(l->O * l->I) * sizeof(real);
}

/* [K,N]: W^T forward, W back. */
static bool own_pack(const pm_layout *l, const real *w, void *out) {
    bool forward = l->pass == PM_PASS_FORWARD;
    int64_t K = forward ? l->I : l->O, N = forward ? l->O : l->I;
    real *weights = out;
    for (int64_t k = 0; k < K; k++)
        for (int64_t n = 0; n < N; n++) {
            real v = forward ? w[n * K + k] : w[k * N + n];
            weights[k * N + n] =
                l->precision == PM_BF16 ? (real)pm_float_from_bf16(pm_bf16_from_float((float)v)) : v;
        }
    seen.packs++;
    return true;
}

static bool own_packed(const pm_layout *l, const void *layout, int64_t M, const void *x, real beta, real *y) {
    bool forward = l->pass == PM_PASS_FORWARD;
    int64_t K = forward ? l->I : l->O, N = forward ? l->O : l->I;
    const real *weights = layout;
    if (M == 13) return seen.refusals++, false;
    seen.products++;
    for (int64_t i = 0; i < M; i++)
        for (int64_t n = 0; n < N; n++) {
            double sum = beta == 0 ? 0 : (double)(beta * y[i * N + n]);
            for (int64_t k = 0; k < K; k++) {
                int64_t at = i * K + k;
                double v = l->precision == PM_BF16 ? (double)pm_float_from_bf16(((const uint16_t *)x)[at])
                                                   : (double)((const real *)x)[at];
                sum += v * (double)weights[k * N + n];
            }
            y[i * N + n] = (real)sum;
        }
    return true;
}

static bool own_packed_wrong(const pm_layout *l, const void *layout, int64_t M, const void *x, real beta,
                             real *y) {
    bool ok = own_packed(l, layout, M, x, beta, y);
    if (l->precision == PM_BF16 && (l->pass == PM_PASS_FORWARD ? l->I : l->O) == 70) y[0] += (real)0.01;
    return ok;
}

static void own_version(char *out, size_t cap) {
    snprintf(out, cap, "own 1");
}

static void own_version_two(char *out, size_t cap) {
    snprintf(out, cap, "own 2");
}

static pm_gemm_vtable own = {.name = "own",
                             .version = own_version,
                             .gemm = own_gemm,
                             .bf16_native = own_native,
                             .layout_bytes = own_bytes,
                             .pack = own_pack,
                             .packed = own_packed};

static void packed_uses_a_backends_layout(void) {
    char before[32];
    snprintf(before, sizeof before, "%s", pm_gemm_backend());
    own.init = pm_gemm_openblas.init;
    CHECK_OK(pm_gemm_use(&own, 2, &e));
    CHECK(seen.products > 0); /* the self-check covers packed products */
    memset(&seen, 0, sizeof seen);
    for (int v = 0; v < 4; v++) {
        check_packed(12, 40, 30, v & 1 ? PM_BF16 : PM_FP32, (real)(v >> 1));
        CHECK_EQ_INT(seen.products, 2 * (v + 1));
        check_packed(13, 40, 30, v & 1 ? PM_BF16 : PM_FP32,
                     (real)(v >> 1)); /* refused: the plain path gives the same */
        CHECK_EQ_INT(seen.refusals, 2 * (v + 1));
    }
    seen.nothing_to_do = 0;
    real c = 8;
    pm_gemm(false, false, 1, 1, 1, 0, &c, 1, &c, 1, (real)0.5, &c, 1);
    pm_gemm(false, false, 1, 1, 0, 1, &c, 1, &c, 1, (real)0.5, &c, 1);
    CHECK_NEAR(c, 2, 0);
    CHECK_EQ_INT(seen.nothing_to_do, 0); /* backends are not asked where libraries differ */
    memset(&seen, 0, sizeof seen);
    pm_packed *p = pm_pack(memory, NULL, NULL, random_reals(1200, 1), 40, 30, PM_FP32);
    real *x = random_reals(400, 2), *y = random_reals(400, 3);
    CHECK_EQ_INT(seen.packs, 0); /* a pass that is never run costs no memory */
    for (int i = 0; i < 3; i++) pm_packed_forward(p, 10, x, 0, y);
    CHECK_EQ_INT(seen.packs, 1);
    own.packed = own_packed_wrong;
    CHECK_EQ_INT(pm_gemm_use(&own, 2, &e), PM_ECHECK);
    CHECK(strstr(e.msg, "packed bf16"));
    own.packed = own_packed;
    pm_arena_reset(memory);
    CHECK_OK(pm_gemm_init(before, 2, &e));
}

/* Memory that "processes" have in common: keys in a row, each with a block from `memory`. */
static struct {
    char key[16][PM_COMMON_KEY];
    void *block[16];
    size_t n_bytes[16];
    int n, made;
} kept;

static const void *kept_find(pm_common *c, const char *key, size_t *n_bytes) {
    (void)c;
    for (int i = 0; i < kept.made; i++)
        if (strcmp(kept.key[i], key) == 0) return *n_bytes = kept.n_bytes[i], kept.block[i];
    snprintf(kept.key[kept.n = kept.made], PM_COMMON_KEY, "%s", key);
    return NULL;
}

static void *kept_room(pm_common *c, size_t n_bytes) {
    (void)c;
    kept.n_bytes[kept.n] = n_bytes;
    return kept.block[kept.n] = pm_arena_alloc(memory, n_bytes, PM_MEM_WORKSPACE);
}

static const void *kept_done(pm_common *c) {
    (void)c;
    return kept.block[kept.made++];
}

static void kept_drop(pm_common *c) {
    (void)c;
}

/* One more process: packs the same weight for both passes. */
static void pack_again(pm_common *c, const char *name, pm_precision precision, real *x, real *y) {
    pm_arena *a = pm_arena_new("process", 1 << 20);
    pm_arena_use_common(a, c);
    pm_packed *p = pm_pack(a, "model", name, random_reals(1200, 1), 40, 30, precision);
    pm_packed_forward(p, 10, x, 0, y);
    pm_packed_backward(p, 10, y, 0, x);
    pm_arena_free(a);
}

/* What a layout depends on is part of its key: weight, precision, pass, library and number of threads. */
static void layouts_in_common_are_kept_apart(void) {
    static pm_common c = {kept_find, kept_room, kept_done, kept_drop};
    char before[32];
    real *x = random_reals(400, 2), *y = random_reals(400, 3);
    snprintf(before, sizeof before, "%s", pm_gemm_backend());
    CHECK_OK(pm_gemm_use(&own, 2, &e));
    memset(&seen, 0, sizeof seen);
    pack_again(&c, "q", PM_FP32, x, y);
    CHECK_EQ_INT(seen.packs, 2);
    pack_again(&c, "q", PM_FP32, x, y);
    CHECK_EQ_INT(seen.packs, 2); /* found */
    CHECK_EQ_INT(seen.products, 4);
    pack_again(&c, "k", PM_FP32, x, y);
    CHECK_EQ_INT(seen.packs, 4);
    pack_again(&c, "q", PM_BF16, x, y);
    CHECK_EQ_INT(seen.packs, 6);
    omp_set_num_threads(1);
    pack_again(&c, "q", PM_FP32, x, y);
    CHECK_EQ_INT(seen.packs, 8);
    omp_set_num_threads(2);
    own.version = own_version_two;
    pack_again(&c, "q", PM_FP32, x, y);
    CHECK_EQ_INT(seen.packs, 10);
    own.version = own_version;
    pm_arena_reset(memory);
    CHECK_OK(pm_gemm_init(before, 2, &e));
}

/* ---- OpenBLAS's core type ---- */

static void coretype_is_corrected_once(void) {
    static const struct {
        const char *core;
        int level;
        const char *want; /* NULL: leave it */
    } table[] = {
        {"Zen", 3, "SkylakeX"},        {"Haswell", 3, "SkylakeX"}, {"Zen", 2, NULL},
        {"SkylakeX", 3, NULL},         {"Cooperlake", 3, NULL},    {"Prescott", 2, "Haswell"},
        {"Nehalem", 1, "Sandybridge"}, {"Prescott", 0, NULL},      {"Zen7", 3, NULL},
    };
    unsetenv("OPENBLAS_CORETYPE");
    unsetenv(PM_CORETYPE_GUARD);
    char name[32];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        name[0] = '\0';
        CHECK_EQ_INT(pm_coretype_decide(&pm_gemm_openblas, table[i].core, table[i].level, name, sizeof name),
                     table[i].want != NULL);
        CHECK_EQ_STR(name, table[i].want ? table[i].want : "");
    }
    setenv("OPENBLAS_CORETYPE", "Prescott", 1); /* the user's */
    CHECK(!pm_coretype_decide(&pm_gemm_openblas, "Prescott", 3, name, sizeof name));
    setenv(PM_CORETYPE_GUARD, "1", 1); /* ours, in force and right */
    CHECK(!pm_coretype_decide(&pm_gemm_openblas, "SkylakeX", 3, name, sizeof name));
    pm_gemm_vtable wrong = {.name = "wrong", .init = pm_gemm_openblas.init, .gemm = wrong_in_a_corner};
    CHECK(pm_coretype_decide(&wrong, "SkylakeX", 3, name, sizeof name)); /* ours and wrong: undone */
    CHECK_EQ_STR(name, "");
    unsetenv("OPENBLAS_CORETYPE"); /* after that no third start */
    CHECK(!pm_coretype_decide(&pm_gemm_openblas, "Zen", 3, name, sizeof name));
    unsetenv(PM_CORETYPE_GUARD);
}

/* The variable really changes the kernels of a program started with it. argv[1] is the core the child should
 * find. */
static int child_finds_core(const char *core) {
    pm_backend_info info[4];
    pm_gemm_list(info, 4);
    char name[32];
    return strstr(info[1].version, core) && info[1].passed && !pm_gemm_wants_coretype(name, sizeof name) ? 0
                                                                                                         : 1;
}

static void coretype_takes_effect_after_a_restart(void) {
#if defined(__x86_64__)
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        setenv("OPENBLAS_CORETYPE", "Nehalem", 1);
        setenv(PM_CORETYPE_GUARD, "1", 1);
        execl("/proc/self/exe", "test_gemm", "Nehalem", (char *)NULL);
        _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK_EQ_INT(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
#else
    SKIP("coretype_takes_effect_after_a_restart", "x86 only");
#endif
}

static void run_all_products(void) {
    RUN(gemm_agrees_with_a_plain_loop);
    RUN(gemm_defines_its_edges);
    RUN(gemm_repeats_its_bits);
    RUN(gemm_runs_inside_a_parallel_region);
    RUN(flops_are_exact);
    RUN(packed_equals_the_general_product);
    RUN(packed_bf16_differs_from_fp32_as_rounding_does);
    RUN(packed_settles);
}

int main(int argc, char **argv) {
    if (argc > 1) return child_finds_core(argv[1]);
    memory = pm_arena_new("test", (size_t)256 << 20);
    CHECK_OK(pm_gemm_init("openblas", 2, &e));
    run_all_products();
    pm_status status = pm_gemm_init("onednn", 2, &e);
    if (status == PM_EUNSUPPORTED)
        SKIP("the products of onednn", e.msg);
    else {
        CHECK_OK(status);
        run_all_products();
    }
    CHECK_OK(pm_gemm_init("auto", 2, &e));
    RUN(gemm_backends_pass_their_check);
    RUN(check_rejects_planted_faults);
    RUN(init_names_its_choices);
    RUN(bf16_rounds_to_nearest_even);
    RUN(packed_uses_a_backends_layout);
    RUN(layouts_in_common_are_kept_apart);
    RUN(coretype_is_corrected_once);
    RUN(coretype_takes_effect_after_a_restart);
    pm_arena_free(memory);
    return check_done();
}
