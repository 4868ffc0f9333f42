/* gemm.c - chooses the backend, counts, packs frozen weights and emulates bf16 where the CPU lacks it
 * (gemm.h).
 *
 * Emulated bf16: weights are rounded once, activations before each product, and the product runs in fp32. A
 * product of two bf16 values is exact in fp32, so this differs from bf16 hardware by the order of summation
 * only.
 */
#include "bf16.h"
#include "gemm_backend.h"
#include <omp.h>
#include <stdio.h>
#include <string.h>

static const pm_gemm_vtable *const backends[] = {&pm_gemm_onednn,
                                                 &pm_gemm_openblas}; /* in the order `auto` tries them */
enum { N_BACKENDS = sizeof backends / sizeof *backends, VERSION_CAP = 128 };

static const pm_gemm_vtable *current;
static struct {
    pm_flops phase;
    int64_t flops[PM_FLOPS_N], calls;
} counters;

/* ---- choice ---- */

static pm_status not_in_this_build(const pm_gemm_vtable *b, pm_err *e) {
    pm_fail(e, PM_EUNSUPPORTED, "backend %s is not in this build", b->name);
#ifdef PM_DOUBLE
    return pm_hint(e, "the double build computes with openblas only");
#else
    return pm_hint(e, "`make deps` installs its library, then `make clean release`");
#endif
}

pm_status pm_gemm_use(const pm_gemm_vtable *b, int threads, pm_err *e) {
    if (!b->init) return not_in_this_build(b, e);
    pm_status status = b->init(threads, e);
    if (status != PM_OK) return status;
    double max_rel_err;
    status = pm_gemm_check(b, &max_rel_err, e);
    if (status == PM_OK) current = b;
    return status;
}

/* One of the table's. A process that asks again, with as many threads, has its answer. */
static pm_status use_known(int i, int threads, pm_err *e) {
    static int passed_with[N_BACKENDS]; /* threads; 0: not checked yet */
    if (passed_with[i] != threads) {
        pm_status status = pm_gemm_use(backends[i], threads, e);
        if (status == PM_OK) passed_with[i] = threads;
        return status;
    }
    pm_status status = backends[i]->init(threads, e);
    if (status == PM_OK) current = backends[i];
    return status;
}

pm_status pm_gemm_init(const char *backend, int threads, pm_err *e) {
    PM_ASSERT(threads >= 1, "threads %d", threads);
    if (threads > omp_get_thread_limit()) { /* OpenBLAS would wait for threads that never come */
        pm_fail(e, PM_EUSAGE, "threads: %d asked for, OMP_THREAD_LIMIT allows %d", threads,
                omp_get_thread_limit());
        return pm_hint(e, "--threads %d, or unset OMP_THREAD_LIMIT", omp_get_thread_limit());
    }
    bool any = strcmp(backend, "auto") == 0, known = any;
    pm_status status = PM_EUNSUPPORTED;
    for (int i = 0; i < N_BACKENDS; i++) {
        if (!any && strcmp(backend, backends[i]->name) != 0) continue;
        known = true;
        status = use_known(i, threads, e);
        if (status == PM_OK) return PM_OK;
    }
    if (known) return status;
    pm_fail(e, PM_EUSAGE, "unknown backend \"%s\"", backend);
    return pm_hint(e, "backend is one of auto, onednn, openblas");
}

static const pm_gemm_vtable *in_use(void) {
    PM_ASSERT(current, "pm_gemm_init comes first");
    return current;
}

const char *pm_gemm_backend(void) {
    return in_use()->name;
}

const char *pm_gemm_version(void) {
    static char text[VERSION_CAP];
    in_use()->version(text, sizeof text);
    return text;
}

static void describe(const pm_gemm_vtable *b, int threads, char *version, size_t cap, pm_backend_info *info) {
    *info = (pm_backend_info){.name = b->name, .version = "not in this build"};
    if (!b->init) return;
    info->available = b->init(threads, NULL) == PM_OK;
    if (!info->available) return;
    b->version(version, cap);
    info->version = version;
    info->bf16_native = b->bf16_native && b->bf16_native();
    info->passed = pm_gemm_check(b, &info->max_rel_err, NULL) == PM_OK;
}

int pm_gemm_list(pm_backend_info *out, int cap) {
    static char versions[N_BACKENDS][VERSION_CAP];
    int n = cap < N_BACKENDS ? cap : N_BACKENDS, threads = omp_get_max_threads();
    for (int i = 0; i < n; i++) describe(backends[i], threads, versions[i], sizeof versions[i], &out[i]);
    return n;
}

/* ---- counting ---- */

const char *pm_flops_name(pm_flops f) {
    static const char *const names[PM_FLOPS_N] = {
        [PM_FLOPS_FORWARD] = "flops_forward",
        [PM_FLOPS_INPUT_GRAD] = "flops_input_grad",
        [PM_FLOPS_WEIGHT_GRAD] = "flops_weight_grad",
        [PM_FLOPS_OPTIMIZER] = "flops_optimizer",
    };
    PM_ASSERT((unsigned)f < PM_FLOPS_N, "flops %d", (int)f);
    return names[f];
}

void pm_flops_phase(pm_flops f) {
    PM_ASSERT((unsigned)f < PM_FLOPS_N, "flops %d", (int)f);
    counters.phase = f;
}

void pm_flops_add(int64_t n) {
    counters.flops[counters.phase] += n;
}

int64_t pm_flops_get(pm_flops f) {
    PM_ASSERT((unsigned)f < PM_FLOPS_N, "flops %d", (int)f);
    return counters.flops[f];
}

int64_t pm_gemm_calls(void) {
    return counters.calls;
}

void pm_flops_clear(void) {
    memset(counters.flops, 0, sizeof counters.flops);
    counters.calls = 0;
}

/* Threads of a parallel region would race for the counters: there the op adds its whole product itself. */
static void count(int64_t M, int64_t N, int64_t K) {
    if (omp_get_level() > 0) return;
    pm_flops_add(2 * M * N * K);
    counters.calls++;
}

/* ---- general products ---- */

/* C := beta C; beta 0 overwrites whatever was there, NaN too. */
static void scale(int64_t M, int64_t N, real beta, real *C, int64_t ldc) {
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++) C[i * ldc + j] = beta == 0 ? 0 : beta * C[i * ldc + j];
}

/* The backend's product; a small one on the calling thread alone, for waking the others would take longer than the product. */
static void multiply(bool ta, bool tb, int64_t M, int64_t N, int64_t K, real alpha, const real *A,
                     int64_t lda, const real *B, int64_t ldb, real beta, real *C, int64_t ldc) {
    static const int64_t small = 1 << 20; /* M N K: about 20 microseconds of one core */
    int threads = M * N * K < small && omp_get_level() == 0 ? omp_get_max_threads() : 1;
    if (threads > 1) omp_set_num_threads(1);
    in_use()->gemm(ta, tb, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
    if (threads > 1) omp_set_num_threads(threads);
}

void pm_gemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K, real alpha, const real *A, int64_t lda,
             const real *B, int64_t ldb, real beta, real *C, int64_t ldc) {
    PM_ASSERT(M >= 0 && N >= 0 && K >= 0, "M %lld N %lld K %lld", (long long)M, (long long)N, (long long)K);
    PM_ASSERT(lda >= (ta ? M : K) && ldb >= (tb ? K : N) && ldc >= N,
              "strides %lld %lld %lld for M %lld N %lld K %lld", (long long)lda, (long long)ldb,
              (long long)ldc, (long long)M, (long long)N, (long long)K);
    if (M == 0 || N == 0) return;
    if (K == 0 || alpha == 0) {
        scale(M, N, beta, C, ldc);
        return;
    }
    count(M, N, K);
    multiply(ta, tb, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}

/* ---- frozen weights ---- */

struct pm_packed {
    pm_arena *arena;
    const char *model, *name; /* what others know W by */
    const real *w;            /* [O,I], the caller's */
    int64_t O, I;
    pm_precision precision;
    const pm_gemm_vtable *backend; /* whose layouts these are */
    const real *rounded;           /* w as bf16 values, for emulation; made when first needed */
    struct {
        bool tried;
        const void *layout; /* NULL: plain */
    } pass[PM_PASS_N];
};

/* Rounded activations. It only grows, so a settled step loop allocates nothing. */
static struct {
    pm_arena *arena;
    void *data;
    size_t bytes;
} scratch;

static void *scratch_of(size_t bytes) {
    if (bytes <= scratch.bytes) return scratch.data;
    if (!scratch.arena) scratch.arena = pm_arena_new("gemm", 0);
    pm_arena_reset(scratch.arena);
    scratch.bytes = bytes;
    return scratch.data = pm_arena_alloc(scratch.arena, bytes, PM_MEM_WORKSPACE);
}

int64_t pm_gemm_scratch_bytes(void) {
    return (int64_t)scratch.bytes;
}

void pm_gemm_scratch_free(void) {
    pm_arena_free(scratch.arena);
    memset(&scratch, 0, sizeof scratch);
}

static void round_values(const real *x, int64_t n, real *out) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) out[i] = (real)pm_float_from_bf16(pm_bf16_from_float((float)x[i]));
}

static void round_halves(const real *x, int64_t n, uint16_t *out) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) out[i] = pm_bf16_from_float((float)x[i]);
}

pm_packed *pm_pack(pm_arena *a, const char *model, const char *name, const real *w, int64_t O, int64_t I,
                   pm_precision precision) {
    PM_ASSERT(O >= 1 && I >= 1, "W [%lld,%lld]", (long long)O, (long long)I);
    pm_packed *p = pm_arena_alloc(a, sizeof *p, PM_MEM_WEIGHTS);
    *p = (pm_packed){.arena = a,
                     .model = model,
                     .name = name,
                     .w = w,
                     .O = O,
                     .I = I,
                     .precision = precision,
                     .backend = in_use()};
    return p;
}

/* What is made of a weight once. `of` says what its bytes depend on besides the weight. */
static const void *make(const pm_packed *p, const char *of, size_t bytes, pm_fill fill, void *ctx) {
    char key[PM_COMMON_KEY];
    bool known = p->model && *p->model &&
                 snprintf(key, sizeof key, "%s %s: %s", p->model, p->name, of) < (int)sizeof key;
    return pm_arena_common(p->arena, known ? key : NULL, bytes, PM_MEM_WEIGHTS, fill, ctx);
}

typedef struct filling {
    const pm_packed *p;
    pm_layout layout;
} filling;

static pm_layout layout_for(const pm_packed *p, pm_pass pass) {
    return (pm_layout){p->O, p->I, pass, p->precision};
}

static bool fill_layout(void *ctx, void *out) {
    const filling *f = ctx;
    return f->p->backend->pack(&f->layout, f->p->w, out);
}

static const void *layout_of(pm_packed *p, pm_pass pass) {
    if (p->pass[pass].tried || !p->backend->pack) return p->pass[pass].layout;
    filling f = {p, layout_for(p, pass)};
    size_t bytes = p->backend->layout_bytes(&f.layout);
    char version[VERSION_CAP], of[VERSION_CAP + 64];
    p->pass[pass].tried = true;
    if (!bytes) return NULL;
    p->backend->version(version, sizeof version);
    snprintf(of, sizeof of, "%s %s pass %d threads %d", version, p->precision == PM_BF16 ? "bf16" : "fp32",
             (int)pass, omp_get_max_threads());
    return p->pass[pass].layout = make(p, of, bytes, fill_layout, &f);
}

static bool fill_rounded(void *ctx, void *out) {
    const pm_packed *p = ctx;
    round_values(p->w, p->O * p->I, out);
    return true;
}

static const real *rounded_weights(pm_packed *p) {
    if (!p->rounded)
        p->rounded = make(p, "bf16 values", (size_t)(p->O * p->I) * sizeof(real), fill_rounded, p);
    return p->rounded;
}

static bool run_packed(pm_packed *p, pm_pass pass, int64_t N, int64_t K, const real *x, real beta, real *y) {
    const void *weights = layout_of(p, pass);
    pm_layout l = layout_for(p, pass);
    if (!weights) return false;
    if (p->precision == PM_FP32) return p->backend->packed(&l, weights, N, x, beta, y);
    uint16_t *halves = scratch_of((size_t)(N * K) * sizeof *halves);
    round_halves(x, N * K, halves);
    return p->backend->packed(&l, weights, N, halves, beta, y);
}

static void run_plain(pm_packed *p, pm_pass pass, int64_t N, int64_t K, const real *x, real beta, real *y) {
    const real *w = p->w;
    if (p->precision == PM_BF16) {
        w = rounded_weights(p);
        real *values = scratch_of((size_t)(N * K) * sizeof *values);
        round_values(x, N * K, values);
        x = values;
    }
    bool forward = pass == PM_PASS_FORWARD;
    int64_t width = forward ? p->O : p->I;
    multiply(false, forward, N, width, K, 1, x, K, w, p->I, beta, y, width);
}

static void product(const pm_packed *p, pm_pass pass, int64_t N, const real *x, real beta, real *y) {
    PM_ASSERT(omp_get_level() == 0, "packed products share one scratch: not in a parallel region");
    PM_ASSERT(N >= 0, "N %lld", (long long)N);
    PM_ASSERT(p->backend == in_use(), "packed for %s, %s in use", p->backend->name, current->name);
    if (N == 0) return;
    count(N, p->O, p->I);
    pm_packed *made =
        (pm_packed *)(uintptr_t)p; /* layouts are made on first use: unused passes cost no memory */
    int64_t K = pass == PM_PASS_FORWARD ? p->I : p->O;
    if (!run_packed(made, pass, N, K, x, beta, y)) run_plain(made, pass, N, K, x, beta, y);
}

void pm_packed_forward(const pm_packed *p, int64_t N, const real *x, real beta, real *y) {
    product(p, PM_PASS_FORWARD, N, x, beta, y);
}

void pm_packed_backward(const pm_packed *p, int64_t N, const real *g, real beta, real *dx) {
    product(p, PM_PASS_BACKWARD, N, g, beta, dx);
}
