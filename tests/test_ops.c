/* test_ops.c - every op's gradient against central differences at random values, one row of the table an op.
 *
 * In the double build (make gradcheck) the bound is 1e-6 relative to the largest gradient; in float, where a
 * difference quotient has no more than three digits, 3e-2 catches wrong signs and missing terms. Each case
 * runs twice: plainly, and with everything droppable dropped after the forward pass, so that recomputation is
 * proven to give the same gradients bit for bit.
 */
#include "check.h"
#include "pm.h"
#include <stdlib.h>

#ifdef PM_DOUBLE
static const double STEP = 1e-5, BOUND = 1e-6;
#else
static const double STEP = 3e-3, BOUND = 3e-2;
#endif

enum { MAX_IN = 4, N = 11 };
static const int32_t START[] = {0, 5, 7}, LEN[] = {5, 2, 4}, POS0[] = {0, 5, 0}, PARENT[] = {-1, 0, -1},
                     PROMPT[] = {3, 3, 2};
static const pm_seqs SEQS = {3, N, START, LEN, POS0, PARENT, PROMPT};
static const int32_t IDS[N] = {3, 1, 4, 1, 5, 2, 6, 5, 3, 5, 0}, ROWS[4] = {9, 0, 4, 7},
                     TARGET[N] = {1, -1, 6, 0, 2, 5, -1, 3, 3, 4, 0};
static const double FREQ[3] = {1.0, 0.3, 0.05};

typedef struct op_case {
    const char *name;
    int n_in;
    int64_t rows[MAX_IN], cols[MAX_IN];
    pm_tensor *(*build)(pm_tape *t, pm_tensor **in);
} op_case;

static pm_tensor *do_linear(pm_tape *t, pm_tensor **in) {
    return pm_linear(t, in[0], in[1], in[2]);
}
static pm_tensor *do_linear_add(pm_tape *t, pm_tensor **in) {
    pm_tensor *y = pm_linear(t, in[0], in[1], NULL);
    return pm_linear_add_(t, y, in[2], in[3], (real)0.7);
}
static pm_tensor *do_matmul(pm_tape *t, pm_tensor **in) {
    return pm_matmul(t, in[0], in[1]);
}
static pm_tensor *do_add(pm_tape *t, pm_tensor **in) {
    return pm_add(t, in[0], in[1]);
}
static pm_tensor *do_add_inplace(pm_tape *t, pm_tensor **in) {
    return pm_add_(t, pm_scale(t, in[0], 2), in[1]);
}
static pm_tensor *do_scale(pm_tape *t, pm_tensor **in) {
    return pm_scale(t, in[0], (real)-1.7);
}
static pm_tensor *do_mul(pm_tape *t, pm_tensor **in) {
    return pm_mul(t, in[0], in[1]);
}
static pm_tensor *do_gelu(pm_tape *t, pm_tensor **in) {
    return pm_gelu(t, in[0]);
}
static pm_tensor *do_silu_mul(pm_tape *t, pm_tensor **in) {
    return pm_silu_mul(t, in[0], in[1]);
}
static pm_tensor *do_dropout(pm_tape *t, pm_tensor **in) {
    return pm_dropout(t, in[0], (real)0.4, 77);
}
static pm_tensor *do_sum(pm_tape *t, pm_tensor **in) {
    return pm_sum(t, in[0]);
}
static pm_tensor *do_rmsnorm(pm_tape *t, pm_tensor **in) {
    return pm_rmsnorm(t, in[0], in[1], (real)1e-5);
}
static pm_tensor *do_layernorm(pm_tape *t, pm_tensor **in) {
    return pm_layernorm(t, in[0], in[1], in[2], (real)1e-5);
}
static pm_tensor *do_embed(pm_tape *t, pm_tensor **in) {
    return pm_embed(t, IDS, N, in[0]);
}
static pm_tensor *do_rows(pm_tape *t, pm_tensor **in) {
    return pm_rows(t, in[0], ROWS, 4);
}
static pm_tensor *do_rows_put(pm_tape *t, pm_tensor **in) {
    pm_tensor *x = pm_scale(t, in[0], 2), *rows = pm_rows(t, x, ROWS, 4);
    return pm_rows_put_(t, x, ROWS, pm_mul(t, rows, in[1]));
}
/* The base is a function of nothing that is trained; any three orthonormal rows do. */
static pm_tensor *do_orthogonal(pm_tape *t, pm_tensor **in) {
    static const real ROWS_OF_BASE[3 * 7] = {(real)0.6, 0, (real)0.8, 0, 0, 0, 0, 0, -1, 0, 0,
                                             0,         0, 0,         0, 0, 0, 0, 0, 1,  0};
    static real v[3 * 7], tau[3], sign[3];
    static const pm_orthobase BASE = {v, tau, sign};
    PM_ASSERT(pm_qr_reflectors(3, 7, ROWS_OF_BASE, v, tau, sign), "no reflectors");
    return pm_orthogonal(t, in[0], &BASE);
}
/* Both products of a trained spectrum, on factors of a fixed 6 x 7 matrix. */
static pm_spectral *spectral_weight(void) {
    static real w[42], u[36], s[6], vt[42], dense[42], built_for[6];
    static pm_spectral f;
    pm_rng g = pm_rng_make(9, 9);
    pm_rng_fill_normal(&g, w, 42, 0, 1);
    PM_ASSERT(pm_svd(6, 7, w, u, s, vt), "no singular values");
    f = (pm_spectral){.u = {.rows = 6, .cols = 6, .w = u}, .vt = {.rows = 6, .cols = 7, .w = vt}};
    f.dense = dense;
    f.built_for = built_for;
    return &f;
}
static pm_tensor *do_factored(pm_tape *t, pm_tensor **in) {
    return pm_linear_factored(t, in[0], spectral_weight(), in[1]);
}
static pm_tensor *do_dense(pm_tape *t, pm_tensor **in) {
    return pm_linear_dense(t, in[0], spectral_weight(), in[1]);
}
static pm_tensor *do_masked_spectrum(pm_tape *t, pm_tensor **in) {
    static const real S[6] = {5, 3, 2, 1, (real)0.5, (real)0.1};
    return pm_masked_spectrum(t, in[0], S);
}
static pm_tensor *do_rope(pm_tape *t, pm_tensor **in) {
    return pm_rope_(t, pm_scale(t, in[0], 1), 6, FREQ);
}
static pm_tensor *do_attention(pm_tape *t, pm_tensor **in) {
    return pm_attention(t, in[0], in[1], in[2], 4, 2, 0, true);
}
static pm_tensor *do_attention_bidirectional(pm_tape *t, pm_tensor **in) {
    return pm_attention(t, in[0], in[1], in[2], 4, 2, 0, false);
}
static pm_tensor *do_xent(pm_tape *t, pm_tensor **in) {
    return pm_xent(t, in[0], TARGET);
}
/* A chain: drops in the middle, a recomputed tensor feeding another recomputed one, in-place adds. */
static pm_tensor *do_chain(pm_tape *t, pm_tensor **in) {
    pm_tensor *h = pm_rmsnorm(t, in[0], in[1], (real)1e-5), *d = pm_dropout(t, h, (real)0.3, 5);
    pm_tensor *y = pm_linear(t, h, in[2], NULL);
    pm_linear_add_(t, y, d, in[2], (real)0.5);
    pm_drop(t, d);
    pm_drop(t, h);
    pm_tensor *u = pm_silu_mul(t, y, y);
    pm_drop(t, y);
    pm_tensor *z = pm_linear(t, u, in[3], NULL);
    pm_drop(t, u);
    return pm_add_(t, z, in[0]);
}

static const op_case CASES[] = {
    {"linear", 3, {N, 6, 1}, {7, 7, 6}, do_linear},
    {"linear_add_", 4, {N, 6, N, 6}, {7, 7, 3, 3}, do_linear_add},
    {"matmul", 2, {4, 7}, {7, 5}, do_matmul},
    {"add", 2, {N, N}, {6, 6}, do_add},
    {"add_", 2, {N, N}, {6, 6}, do_add_inplace},
    {"scale", 1, {N}, {6}, do_scale},
    {"mul", 2, {N, N}, {6, 6}, do_mul},
    {"mul by a row", 2, {N, 1}, {70, 70}, do_mul},
    {"gelu", 1, {N}, {6}, do_gelu},
    {"silu_mul", 2, {N, N}, {6, 6}, do_silu_mul},
    {"dropout", 1, {N}, {6}, do_dropout},
    {"sum", 1, {N}, {6}, do_sum},
    {"rmsnorm", 2, {N, 1}, {70, 70}, do_rmsnorm},
    {"layernorm", 3, {N, 1, 1}, {70, 70, 70}, do_layernorm},
    {"embed", 1, {7}, {6}, do_embed},
    {"rows", 1, {N}, {6}, do_rows},
    {"rows_put_", 2, {N, 4}, {6, 6}, do_rows_put},
    {"orthogonal", 1, {3}, {7}, do_orthogonal},
    {"linear_factored", 2, {N, 1}, {7, 6}, do_factored},
    {"linear_dense", 2, {N, 1}, {7, 6}, do_dense},
    {"masked_spectrum", 1, {1}, {6}, do_masked_spectrum},
    {"rope_", 1, {N}, {12}, do_rope},
    {"attention", 3, {N, N, N}, {24, 12, 12}, do_attention},
    {"attention, bidirectional", 3, {N, N, N}, {24, 12, 12}, do_attention_bidirectional},
    {"xent", 1, {N}, {7}, do_xent},
    {"chain", 4, {N, 1, 8, 6}, {6, 6, 6, 8}, do_chain},
};
enum { N_CASES = sizeof CASES / sizeof *CASES };

static pm_arena *step;
static pm_tape tape;

static real *random_reals(uint64_t stream, int64_t n) {
    pm_rng g = pm_rng_make(42, stream);
    real *x = malloc((size_t)n * sizeof *x);
    pm_rng_fill_normal(&g, x, n, 0, 1);
    return x;
}

/* loss = sum(out * weights): a generic direction, so that every output element matters. */
static double run(const op_case *c, real **value, real **grads, bool drop) {
    pm_tape_reset(&tape);
    tape.record = grads != NULL;
    tape.train = true;
    tape.seed = 9;
    tape.seqs = &SEQS;
    pm_tensor *in[MAX_IN];
    for (int i = 0; i < c->n_in; i++) in[i] = pm_input(&tape, value[i], c->rows[i], c->cols[i]);
    pm_tensor *out = c->build(&tape, in);
    real *w = random_reals(1000, out->rows * out->cols);
    pm_tensor *weighted = pm_mul(&tape, out, pm_const(&tape, w, out->rows, out->cols));
    if (drop) pm_drop(&tape, out);
    pm_tensor *loss = pm_sum(&tape, weighted);
    if (drop) pm_drop(&tape, weighted);
    double v = (double)loss->data[0];
    if (grads) {
        pm_backward(&tape, loss);
        for (int i = 0; i < c->n_in; i++)
            memcpy(grads[i], in[i]->grad, (size_t)(c->rows[i] * c->cols[i]) * sizeof(real));
    }
    free(w);
    return v;
}

static void check_gradient(const op_case *c, real **value, real *const *grads, int i) {
    int64_t n = c->rows[i] * c->cols[i];
    double worst = 0, largest = 1e-3;
    for (int64_t j = 0; j < n; j++) {
        real old = value[i][j];
        value[i][j] = (real)((double)old + STEP);
        double hi = run(c, value, NULL, false), hi_at = (double)value[i][j];
        value[i][j] = (real)((double)old - STEP);
        double lo = run(c, value, NULL, false), slope = (hi - lo) / (hi_at - (double)value[i][j]);
        value[i][j] = old;
        worst = fmax(worst, fabs(slope - (double)grads[i][j]));
        largest = fmax(largest, fabs(slope));
    }
    if (!(worst <= BOUND * largest))
        CHECK_FAIL_("%s, input %d: gradient off by %.3g of %.3g", c->name, i, worst, largest);
}

static void ops_gradients(void) {
    for (int k = 0; k < N_CASES; k++) {
        const op_case *c = &CASES[k];
        real *value[MAX_IN], *grads[MAX_IN], *again[MAX_IN];
        for (int i = 0; i < c->n_in; i++) {
            value[i] = random_reals((uint64_t)k * MAX_IN + (uint64_t)i, c->rows[i] * c->cols[i]);
            grads[i] = random_reals(0, c->rows[i] * c->cols[i]);
            again[i] = random_reals(1, c->rows[i] * c->cols[i]);
        }
        run(c, value, grads, false);
        run(c, value, again, true);
        for (int i = 0; i < c->n_in; i++) {
            check_gradient(c, value, grads, i);
            if (memcmp(grads[i], again[i], (size_t)(c->rows[i] * c->cols[i]) * sizeof(real)) != 0)
                CHECK_FAIL_("%s, input %d: dropping changed the gradient", c->name, i);
        }
        for (int i = 0; i < c->n_in; i++) {
            free(value[i]);
            free(grads[i]);
            free(again[i]);
        }
    }
}

/* ---- the fused head: against pm_linear + pm_xent, trainable and frozen, more rows than a chunk ---- */

static void ops_lm_loss_equals_its_parts(void) {
    enum { ROWS_ = 300, C = 12, V = 40 };
    pm_arena *run_arena = pm_arena_new("run", 1 << 24);
    pm_params l;
    pm_params_init(&l, run_arena);
    pm_param *w = pm_param_new(&l, V, C, "head");
    real *hv = random_reals(7, ROWS_ * C), *wv = random_reals(8, V * C), fused_dw[V * C];
    memcpy(w->w, wv, sizeof fused_dw);
    int32_t target[ROWS_];
    for (int i = 0; i < ROWS_; i++) target[i] = (int32_t)(pm_rng_at(3, 3, (uint64_t)i) % V);
    tape.record = true;
    pm_tape_reset(&tape);
    pm_tensor *h = pm_input(&tape, hv, ROWS_, C), *loss = pm_lm_loss(&tape, h, w, target, ROWS_);
    double fused = (double)loss->data[0];
    pm_backward(&tape, loss);
    real *fused_dh = random_reals(9, ROWS_ * C);
    memcpy(fused_dh, h->grad, ROWS_ * C * sizeof(real));
    memcpy(fused_dw, w->grad, sizeof fused_dw);
    double logp[ROWS_], sum = 0;
    pm_lm_score(&tape, pm_input(&tape, hv, ROWS_, C), w, target, logp, NULL);
    for (int i = 0; i < ROWS_; i++) sum -= logp[i];

    pm_zero_grad(&l);
    pm_tape_reset(&tape);
    h = pm_input(&tape, hv, ROWS_, C);
    loss = pm_xent(&tape, pm_linear(&tape, h, pm_leaf(&tape, w), NULL), target);
    double tol = sizeof(real) == 8 ? 1e-12 : 2e-6;
    CHECK_REL(fused, loss->data[0], tol);
    CHECK_REL(sum / ROWS_, loss->data[0], tol);
    pm_backward(&tape, loss);
    for (int i = 0; i < ROWS_ * C; i++) CHECK_NEAR(fused_dh[i], h->grad[i], tol);
    for (int i = 0; i < V * C; i++) CHECK_NEAR(fused_dw[i], w->grad[i], tol);
    free(hv);
    free(wv);
    free(fused_dh);
    pm_arena_free(run_arena);
}

/* ---- attention against plain loops: trees of sequences, long rows (several query blocks), and the cache
 * ---- */

static void plain_attention(const real *q, const real *k, const real *v, int H, int n_kv, int D,
                            const int32_t *keys, int n_keys, int64_t row, double *out /* [H*D] */) {
    for (int h = 0; h < H; h++) {
        double top = -1e30, sum = 0, *o = out + h * D;
        int kv = h / (H / n_kv);
        double *s = malloc((size_t)n_keys * sizeof *s);
        for (int j = 0; j < n_keys; j++) {
            s[j] = 0;
            for (int d = 0; d < D; d++)
                s[j] += (double)q[(row * H + h) * D + d] * (double)k[((int64_t)keys[j] * n_kv + kv) * D + d];
            s[j] /= sqrt(D);
            top = fmax(top, s[j]);
        }
        for (int j = 0; j < n_keys; j++) sum += s[j] = exp(s[j] - top);
        for (int d = 0; d < D; d++) {
            o[d] = 0;
            for (int j = 0; j < n_keys; j++)
                o[d] += s[j] / sum * (double)v[((int64_t)keys[j] * n_kv + kv) * D + d];
        }
        free(s);
    }
}

static void ops_attention_equals_plain_loops(void) {
    enum { H = 4, KV = 2, D = 8, TOKENS = 230 };
    static const int32_t start[] = {0, 90, 190, 195}, len[] = {90, 100, 5, 35}, pos0[] = {0, 90, 190, 0},
                         parent[] = {-1, 0, 1, -1};
    const pm_seqs seqs = {4, TOKENS, start, len, pos0, parent, len};
    real *q = random_reals(1, TOKENS * H * D), *k = random_reals(2, TOKENS * KV * D),
         *v = random_reals(3, TOKENS * KV * D);
    pm_tape_reset(&tape);
    tape.record = false;
    tape.seqs = &seqs;
    pm_tensor *y = pm_attention(&tape, pm_input(&tape, q, TOKENS, H * D), pm_input(&tape, k, TOKENS, KV * D),
                                pm_input(&tape, v, TOKENS, KV * D), H, KV, 0, true);
    int32_t keys[TOKENS];
    double want[H * D], tol = sizeof(real) == 8 ? 1e-12 : 3e-6;
    for (int s = 0; s < 4; s++)
        for (int i = 0; i < len[s]; i++) {
            int n = 0, chain[4], depth = 0;
            for (int a = parent[s]; a >= 0; a = parent[a]) chain[depth++] = a;
            while (depth--)
                for (int j = 0; j < len[chain[depth]]; j++) keys[n++] = start[chain[depth]] + j;
            for (int j = 0; j <= i; j++) keys[n++] = start[s] + j;
            plain_attention(q, k, v, H, KV, D, keys, n, start[s] + i, want);
            for (int d = 0; d < H * D; d++) CHECK_NEAR(y->data[(start[s] + i) * H * D + d], want[d], tol);
        }
    free(q);
    free(k);
    free(v);
}

static void ops_cached_attention_equals_whole(void) {
    enum { H = 4, KV = 2, D = 8, T = 75, FIRST = 70 };
    static const int32_t zero = 0, all = T, first = FIRST, one = 1;
    real *q = random_reals(1, T * H * D), *k = random_reals(2, T * KV * D), *v = random_reals(3, T * KV * D);
    pm_arena *a = pm_arena_new("cache", 1 << 24);
    pm_kvcache *c = pm_kvcache_new(a, 1, 3, T, KV * D);
    const pm_seqs whole = {1, T, &zero, &all, &zero, NULL, &all};
    pm_tape_reset(&tape);
    tape.record = false;
    tape.seqs = &whole;
    pm_tensor *y = pm_attention(&tape, pm_const(&tape, q, T, H * D), pm_const(&tape, k, T, KV * D),
                                pm_const(&tape, v, T, KV * D), H, KV, 0, true);
    const int32_t slot = 2;
    tape.cache = c;
    tape.slot = &slot;
    for (int at = 0; at < T;) {
        int n = at ? 1 : FIRST;
        const pm_seqs part = {1, n, &zero, at ? &one : &first, &zero, NULL, &all};
        tape.seqs = &part;
        pm_tensor *p = pm_attention(&tape, pm_const(&tape, q + at * H * D, n, H * D),
                                    pm_const(&tape, k + at * KV * D, n, KV * D),
                                    pm_const(&tape, v + at * KV * D, n, KV * D), H, KV, 0, true);
        for (int i = 0; i < n * H * D; i++)
            CHECK_NEAR(p->data[i], y->data[at * H * D + i], sizeof(real) == 8 ? 1e-13 : 1e-6);
        pm_kvcache_advance(c, &part, &slot);
        at += n;
    }
    tape.cache = NULL;
    pm_arena_free(a);
    free(q);
    free(k);
    free(v);
}

/* ---- ops that no golden model uses, against torch 2.13 in double ---- */

static void ops_equal_torch_where_no_model_does(void) {
    static const real X[] = {-2, (real)-0.5, 0, 1, 3}, G[] = {1, 2, -1, (real)0.5, 3},
                      B[] = {0, (real)0.1, (real)0.2, (real)-0.3, 1};
    static const real Q[] = {1, 0, 0, 2, -1, 1}, K[] = {(real)0.5, 1, 1, -1, 0, (real)0.25},
                      W[] = {1, 2, 3, 4, -1, (real)0.5};
    static const double GELU[] = {-0.0455002638963584, -0.154268769362993, 0, 0.841344746068543,
                                  2.99595030590511};
    static const double NORM[] = {-1.38443480245455, -0.863085079968386, 0.380578452494072,
                                  -0.0893251387569155, 5.87561821733996};
    static const double BOTH_WAYS[] = {1.461842293728,   2.5741454655454,   0.591383057433089,
                                       1.71456638378217, 0.335630473134603, 1.54421686067182};
    static const int32_t zero = 0, three = 3;
    const pm_seqs seqs = {1, 3, &zero, &three, &zero, NULL, &three};
    const double tol = sizeof(real) == 8 ? 1e-13 : 1e-6;
    pm_tape_reset(&tape);
    tape.record = false;
    tape.seqs = &seqs;
    pm_tensor *gelu = pm_gelu(&tape, pm_const(&tape, X, 1, 5));
    pm_tensor *norm = pm_layernorm(&tape, pm_const(&tape, X, 1, 5), pm_const(&tape, G, 1, 5),
                                   pm_const(&tape, B, 1, 5), (real)1e-5);
    pm_tensor *y = pm_attention(&tape, pm_const(&tape, Q, 3, 2), pm_const(&tape, K, 3, 2),
                                pm_const(&tape, W, 3, 2), 1, 1, 0, false);
    for (int i = 0; i < 5; i++) {
        CHECK_NEAR(gelu->data[i], GELU[i], tol);
        CHECK_NEAR(norm->data[i], NORM[i], tol * 10);
    }
    for (int i = 0; i < 6; i++) CHECK_NEAR(y->data[i], BOTH_WAYS[i], tol);
}

/* ---- dropout's law, and the step loop asks for no memory once settled ---- */

static void ops_dropout_keeps_its_share(void) {
    enum { M = 200000 };
    real *x = malloc(M * sizeof *x);
    for (int i = 0; i < M; i++) x[i] = 1;
    pm_tape_reset(&tape);
    tape.record = false;
    tape.train = true;
    pm_tensor *y = pm_dropout(&tape, pm_const(&tape, x, 1, M), (real)0.3, 12);
    int64_t kept = 0;
    for (int i = 0; i < M; i++) {
        kept += y->data[i] != 0;
        if (y->data[i] != 0) CHECK_REL(y->data[i], 1 / 0.7, 1e-6);
    }
    CHECK_NEAR((double)kept / M, 0.7, 6 * sqrt(0.3 * 0.7 / M)); /* 6 sigma */
    tape.train = false;
    pm_tensor *in = pm_const(&tape, x, 1, M);
    CHECK(pm_dropout(&tape, in, (real)0.3, 12) == in);
    free(x);
}

static void ops_settled_steps_ask_for_no_memory(void) {
    const op_case *c = &CASES[N_CASES - 1];
    real *value[MAX_IN], *grads[MAX_IN];
    for (int i = 0; i < c->n_in; i++) {
        value[i] = random_reals((uint64_t)i, c->rows[i] * c->cols[i]);
        grads[i] = random_reals(0, c->rows[i] * c->cols[i]);
    }
    run(c, value, grads, true);
    int64_t fresh = pm_arena_fresh(step);
    for (int i = 0; i < 5; i++) run(c, value, grads, true);
    CHECK_EQ_INT(pm_arena_fresh(step), fresh);
    for (int i = 0; i < c->n_in; i++) {
        free(value[i]);
        free(grads[i]);
    }
}

int main(void) {
    pm_err e = {0};
    if (pm_gemm_init("auto", 1, &e)) return fprintf(stderr, "%s\n", e.msg), 1;
    step = pm_arena_new("step", (size_t)1 << 30);
    pm_tape_init(&tape, step);
    RUN(ops_gradients);
    CHECK_OK(pm_gemm_init("auto", 2, &e));
    RUN(ops_lm_loss_equals_its_parts);
    RUN(ops_attention_equals_plain_loops);
    RUN(ops_cached_attention_equals_whole);
    RUN(ops_equal_torch_where_no_model_does);
    RUN(ops_dropout_keeps_its_share);
    RUN(ops_settled_steps_ask_for_no_memory);
    pm_arena_free(step);
    return check_done();
}
