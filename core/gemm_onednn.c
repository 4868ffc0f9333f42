/* gemm_onednn.c - the backend oneDNN (gemm_backend.h), in float builds; libraries 2.x and 3.x.
 *
 * General products are dnnl_sgemm. A frozen weight is asked of the library as a matmul with a free weights format. Where the
 * answer is a blocked layout, on AVX-512, the weight is reordered once and products run as matmul primitives; elsewhere general
 * products on the caller's W serve: on AVX2 oneDNN 2.6 and 3.2 answer with the plain layout, and 3.13's blocked one measured
 * slower than dnnl_sgemm on most shapes, for a second copy of every weight.
 * Primitives belong to one shape, and the number of rows changes with every ragged batch: the last N_PRIMITIVES are kept.
 */
#include "gemm_backend.h"

#if defined(PM_HAVE_DNNL) && !defined(PM_DOUBLE)
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <string.h>

/* ---- what differs between the two C APIs: memory descriptors are values in 2.x and handles in 3.x ---- */

typedef dnnl_memory_desc_t desc;
#if DNNL_VERSION_MAJOR >= 3
#define DESC(d) (d)
#define append_sum(ops, scale) dnnl_post_ops_append_sum(ops, scale, 0, dnnl_data_type_undef)
#define make_desc dnnl_memory_desc_create_with_tag
#define free_desc dnnl_memory_desc_destroy

static bool copy_weights_desc(const_dnnl_primitive_desc_t pd, desc *out) {
    return dnnl_memory_desc_clone(out, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0)) ==
           dnnl_success;
}

static dnnl_status_t make_matmul_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, desc src, desc weights,
                                      desc dst, const_dnnl_primitive_attr_t attr) {
    return dnnl_matmul_primitive_desc_create(pd, engine, src, weights, NULL, dst, attr);
}
#else
#define DESC(d) (&(d))
#define append_sum dnnl_post_ops_append_sum
#define make_desc dnnl_memory_desc_init_by_tag
#define free_desc(d) ((void)(d))

static bool copy_weights_desc(const_dnnl_primitive_desc_t pd, desc *out) {
    *out = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    return true;
}

static dnnl_status_t make_matmul_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, desc src, desc weights,
                                      desc dst, const_dnnl_primitive_attr_t attr) {
    dnnl_matmul_desc_t op;
    dnnl_status_t status = dnnl_matmul_desc_init(&op, &src, &weights, NULL, &dst);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &op, attr, engine, NULL);
}
#endif

/* ---- library ---- */

enum { N_SHAPES = 64, N_PRIMITIVES = 128, TYPICAL_ROWS = 256 };

/* How the library wants a [K,N] weight. Filled on first use; a model has a handful of shapes. */
typedef struct shape {
    int64_t K, N;
    dnnl_data_type_t type;
    bool useful; /* better than general products on the caller's W */
    desc weights;
} shape;

/* dst [M,N] = src [M,K] weights [K,N] + beta dst */
typedef struct primitive {
    const shape *of;
    int64_t M;
    float beta;
    uint64_t last_use;
    dnnl_primitive_t run; /* NULL: the library has none for this shape */
    dnnl_memory_t src, weights, dst;
} primitive;

static dnnl_engine_t engine;
static dnnl_stream_t stream;
static int threads_of_primitives;
static shape shapes[N_SHAPES];
static int n_shapes;
static primitive primitives[N_PRIMITIVES];
static uint64_t clock_of_uses;

static void drop(primitive *p) {
    if (p->run) dnnl_primitive_destroy(p->run);
    dnnl_memory_t memory[] = {p->src, p->weights, p->dst};
    for (int i = 0; i < 3; i++)
        if (memory[i]) dnnl_memory_destroy(memory[i]);
    *p = (primitive){0};
}

static pm_status init(int threads, pm_err *e) {
    omp_set_num_threads(threads);
    if (threads != threads_of_primitives) /* each divides its work when it is made */
        for (int i = 0; i < N_PRIMITIVES; i++) drop(&primitives[i]);
    threads_of_primitives = threads;
    if (stream) return PM_OK;
    if ((engine || dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success) &&
        dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) == dnnl_success)
        return PM_OK;
    pm_fail(e, PM_EUNSUPPORTED, "oneDNN gives no CPU engine");
    return pm_hint(e, "--set backend=openblas");
}

static void version(char *out, size_t cap) {
    const dnnl_version_t *v = dnnl_version();
    snprintf(out, cap, "oneDNN %d.%d.%d isa 0x%x", v->major, v->minor, v->patch,
             (unsigned)dnnl_get_effective_cpu_isa());
}

static bool has_isa(dnnl_cpu_isa_t isa) { /* a set of bits that contains those of every weaker one */
    return (dnnl_get_effective_cpu_isa() & isa) == isa;
}

static bool bf16_native(void) {
    return has_isa(dnnl_cpu_isa_avx512_core_bf16);
}

static void gemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K, real alpha, const real *A, int64_t lda,
                 const real *B, int64_t ldb, real beta, real *C, int64_t ldc) {
    dnnl_status_t status =
        dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
    PM_ASSERT(status == dnnl_success, "dnnl_sgemm: status %d for M %lld N %lld K %lld", (int)status,
              (long long)M, (long long)N, (long long)K);
}

/* ---- layouts ---- */

static desc matrix(int64_t rows, int64_t cols, dnnl_data_type_t type, dnnl_format_tag_t tag) {
    desc d;
    dnnl_status_t status = make_desc(&d, 2, (dnnl_dims_t){rows, cols}, type, tag);
    PM_ASSERT(status == dnnl_success, "matrix [%lld,%lld]: status %d", (long long)rows, (long long)cols,
              (int)status);
    return d;
}

/* The matmul of M rows, or NULL where the library has only its reference loop or nothing. The caller destroys
 * it. */
static dnnl_primitive_desc_t matmul_desc(int64_t M, int64_t K, int64_t N, dnnl_data_type_t type, desc weights,
                                         float beta) {
    desc src = matrix(M, K, type, dnnl_ab), dst = matrix(M, N, dnnl_f32, dnnl_ab);
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t ops;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_attr_create(&attr);
    dnnl_post_ops_create(&ops);
    if (beta != 0) append_sum(ops, beta);
    dnnl_primitive_attr_set_post_ops(attr, ops);
    if (make_matmul_desc(&pd, engine, src, weights, dst, attr) != dnnl_success) pd = NULL;
    dnnl_post_ops_destroy(ops);
    dnnl_primitive_attr_destroy(attr);
    free_desc(src);
    free_desc(dst);
    const char *kind = "";
    if (pd) dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &kind);
    if (!pd || !strstr(kind, "ref")) return pd;
    dnnl_primitive_desc_destroy(pd);
    return NULL;
}

static bool is_plain(const shape *l) {
    desc ab = matrix(l->K, l->N, l->type, dnnl_ab), ba = matrix(l->K, l->N, l->type, dnnl_ba);
    bool plain = dnnl_memory_desc_equal(DESC(l->weights), DESC(ab)) ||
                 dnnl_memory_desc_equal(DESC(l->weights), DESC(ba));
    free_desc(ab);
    free_desc(ba);
    return plain;
}

/* bf16 weights are halves whatever their order, so there even the plain layout is of use. */
static void ask_library(shape *l) {
    desc any = matrix(l->K, l->N, l->type, dnnl_format_tag_any);
    dnnl_primitive_desc_t pd = matmul_desc(TYPICAL_ROWS, l->K, l->N, l->type, any, 0);
    free_desc(any);
    if (!pd) return;
    l->useful = copy_weights_desc(pd, &l->weights) &&
                (l->type == dnnl_bf16 || (has_isa(dnnl_cpu_isa_avx512_core) && !is_plain(l)));
    dnnl_primitive_desc_destroy(pd);
}

static const shape *shape_for(int64_t K, int64_t N, dnnl_data_type_t type) {
    for (int i = 0; i < n_shapes; i++)
        if (shapes[i].K == K && shapes[i].N == N && shapes[i].type == type) return &shapes[i];
    if (n_shapes == N_SHAPES) return NULL;
    shape *l = &shapes[n_shapes++];
    *l = (shape){.K = K, .N = N, .type = type};
    ask_library(l);
    return l;
}

/* ---- packing ---- */

static dnnl_memory_t memory_at(desc d, const void *data) {
    dnnl_memory_t m;
    dnnl_status_t status = dnnl_memory_create(&m, DESC(d), engine, (void *)(uintptr_t)data);
    PM_ASSERT(status == dnnl_success, "dnnl_memory_create: status %d", (int)status);
    return m;
}

static bool reorder(desc from, const void *x, desc to, void *y) {
    dnnl_primitive_desc_t pd;
    if (dnnl_reorder_primitive_desc_create(&pd, DESC(from), engine, DESC(to), engine, NULL) != dnnl_success)
        return false;
    dnnl_primitive_t run = NULL;
    bool ok = dnnl_primitive_create(&run, pd) == dnnl_success;
    if (ok) {
        dnnl_memory_t src = memory_at(from, x), dst = memory_at(to, y);
        dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, src}, {DNNL_ARG_TO, dst}};
        ok = dnnl_primitive_execute(run, stream, 2, args) == dnnl_success &&
             dnnl_stream_wait(stream) == dnnl_success;
        dnnl_memory_destroy(src);
        dnnl_memory_destroy(dst);
        dnnl_primitive_destroy(run);
    }
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

/* NULL where general products serve. Forward, weights are W^T [I,O]. */
static const shape *shape_of(const pm_layout *l) {
    if (l->precision == PM_BF16 && !bf16_native()) return NULL;
    bool forward = l->pass == PM_PASS_FORWARD;
    const shape *s = shape_for(forward ? l->I : l->O, forward ? l->O : l->I,
                               l->precision == PM_BF16 ? dnnl_bf16 : dnnl_f32);
    return s && s->useful ? s : NULL;
}

static size_t layout_bytes(const pm_layout *l) {
    const shape *s = shape_of(l);
    return s ? dnnl_memory_desc_get_size(DESC(s->weights)) : 0;
}

static bool pack(const pm_layout *l, const real *w, void *out) {
    const shape *s = shape_of(l);
    desc plain = matrix(s->K, s->N, dnnl_f32, l->pass == PM_PASS_FORWARD ? dnnl_ba : dnnl_ab);
    bool ok = reorder(plain, w, s->weights, out);
    free_desc(plain);
    return ok;
}

/* ---- products ---- */

static void build(primitive *p, const shape *l, int64_t M, float beta) {
    *p = (primitive){.of = l, .M = M, .beta = beta};
    dnnl_primitive_desc_t pd = matmul_desc(M, l->K, l->N, l->type, l->weights, beta);
    if (!pd) return;
    if (dnnl_primitive_create(&p->run, pd) != dnnl_success) p->run = NULL;
    dnnl_primitive_desc_destroy(pd);
    desc src = matrix(M, l->K, l->type, dnnl_ab), dst = matrix(M, l->N, dnnl_f32, dnnl_ab);
    p->src = memory_at(src, NULL);
    p->weights = memory_at(l->weights, NULL);
    p->dst = memory_at(dst, NULL);
    free_desc(src);
    free_desc(dst);
}

/* The primitive of a shape; the one unused for longest makes room for a new one. */
static primitive *primitive_for(const shape *l, int64_t M, float beta) {
    primitive *oldest = &primitives[0];
    for (primitive *p = primitives; p < primitives + N_PRIMITIVES; p++) {
        if (p->of == l && p->M == M && p->beta == beta) return p;
        if (p->last_use < oldest->last_use) oldest = p;
    }
    drop(oldest);
    build(oldest, l, M, beta);
    return oldest;
}

static bool packed(const pm_layout *l, const void *weights, int64_t N, const void *x, real beta, real *y) {
    const shape *s = shape_of(l);
    primitive *p = primitive_for(s, N, beta);
    p->last_use = ++clock_of_uses;
    if (!p->run) return false;
    dnnl_memory_set_data_handle(p->src, (void *)(uintptr_t)x);
    dnnl_memory_set_data_handle(p->weights, (void *)(uintptr_t)weights);
    dnnl_memory_set_data_handle(p->dst, y);
    dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, p->src}, {DNNL_ARG_WEIGHTS, p->weights}, {DNNL_ARG_DST, p->dst}};
    dnnl_status_t status = dnnl_primitive_execute(p->run, stream, 3, args);
    PM_ASSERT(status == dnnl_success, "matmul: status %d for M %lld N %lld K %lld", (int)status, (long long)N,
              (long long)s->N, (long long)s->K);
    return dnnl_stream_wait(stream) == dnnl_success;
}

const pm_gemm_vtable pm_gemm_onednn = {
    .name = "onednn",
    .init = init,
    .version = version,
    .gemm = gemm,
    .bf16_native = bf16_native,
    .layout_bytes = layout_bytes,
    .pack = pack,
    .packed = packed,
};
#else
const pm_gemm_vtable pm_gemm_onednn = {.name = "onednn"};
#endif
