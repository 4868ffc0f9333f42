/* dora.c - DoRA: a low-rank update that turns each output row's direction, and a trained magnitude for each row.
 *
 * Equation: V = W0 + s B A, n_i = |V_i| (i: output row), W' = diag(m/n) V, y = x W'^T + c. m [O], m_i = |W0_i| at the start.
 * Ref: Liu et al. 2024 (arXiv 2402.09353), eq. 5 and section 4.3; "column" there is a row of torch's W.
 * With dropout, as huggingface/peft: y = x W0^T + (m/n - 1) d W0^T + (m/n) s d A^T B^T + c, d = drop(x).
 * Init: A, B as LoRA, m the row norms of W0: identity at step 0.
 * Cost: LoRA's, one pass over [N,O], and 2 r I O flops a step for the norms: never a dense V (docs/DESIGN.md).
 * Deviations from the paper: n is held fixed in the backward pass (the paper's own section 4.3, and the default of its code). None
 * from huggingface/peft, but for a row whose V is zero: there 0/0 spreads NaN; here its output, and its gradient, stay zero.
 */
#include "lowrank.h"
#include <math.h>
#include <string.h>

typedef struct dora_state {
    pm_lowrank ab;
    pm_param **m;    /* [n_sites] magnitudes [1,O] */
    double **w2;     /* [n_sites] squared row norms of W0 [O] */
    real **inv_norm; /* [n_sites] 1/n [O], held from one optimiser step to the next */
    bool *held;      /* [n_sites] */
} dora_state;

/* ---- norms ---- */

static double sumsq(const real *x, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += (double)x[i] * (double)x[i];
    return s;
}

/* Row i of V as it stands: for rows in which the sum of three terms has cancelled. */
static double dense_row(const pm_site *s, const pm_lowrank *ab, int64_t i) {
    const pm_param *a = ab->a[s->idx], *b = ab->b[s->idx];
    double sum = 0;
    for (int64_t c = 0; c < a->cols; c++) {
        double v = (double)s->w->w[i * a->cols + c];
        for (int64_t k = 0; k < a->rows; k++)
            v += (double)ab->s * (double)b->w[i * a->rows + k] * (double)a->w[k * a->cols + c];
        sum += v * v;
    }
    return sum;
}

/* |W + sBA|^2 by rows = |W|^2 + 2s <W A^T, B> + s^2 <B (A A^T), B>. wa [O,r], baa [O,r]. */
static double row_sumsq(const pm_site *s, const pm_lowrank *ab, double w2, const real *wa, const real *baa,
                        int64_t i) {
    const pm_param *b = ab->b[s->idx];
    int64_t r = b->cols;
    double cross = 0, own = 0, scale = (double)ab->s;
    for (int64_t k = 0; k < r; k++) {
        cross += (double)wa[i * r + k] * (double)b->w[i * r + k];
        own += (double)baa[i * r + k] * (double)b->w[i * r + k];
    }
    double terms = w2 + scale * scale * own, sum = terms + 2 * scale * cross;
    return sum > 1e-3 * terms ? sum : dense_row(s, ab, i);
}

static void update_norms(const pm_site *s, dora_state *st, pm_arena *scratch) {
    const pm_param *a = st->ab.a[s->idx], *b = st->ab.b[s->idx];
    int64_t r = a->rows, I = a->cols, O = b->rows;
    size_t wide = (size_t)(O * r) * sizeof(real), square = (size_t)(r * r) * sizeof(real);
    real *wa = pm_arena_alloc(scratch, wide, PM_MEM_WORKSPACE),
         *baa = pm_arena_alloc(scratch, wide, PM_MEM_WORKSPACE);
    real *aa = pm_arena_alloc(scratch, square, PM_MEM_WORKSPACE);
    pm_gemm(false, true, O, r, I, 1, s->w->w, I, a->w, I, 0, wa, r);
    pm_gemm(false, true, r, r, I, 1, a->w, I, a->w, I, 0, aa, r);
    pm_gemm(false, false, O, r, r, 1, b->w, r, aa, r, 0, baa, r);
    for (int64_t i = 0; i < O; i++) {
        double n = sqrt(row_sumsq(s, &st->ab, st->w2[s->idx][i], wa, baa, i));
        st->inv_norm[s->idx][i] = n > 0 ? (real)(1 / n) : 0;
    }
    pm_arena_recycle(scratch, wa, wide, PM_MEM_WORKSPACE);
    pm_arena_recycle(scratch, baa, wide, PM_MEM_WORKSPACE);
    pm_arena_recycle(scratch, aa, square, PM_MEM_WORKSPACE);
    st->held[s->idx] = true;
}

/* m/n [1,O]; a gradient reaches m only. */
static pm_tensor *factor(pm_tape *t, const pm_site *s, dora_state *st) {
    if (!st->held[s->idx]) update_norms(s, st, t->arena);
    return pm_mul(t, pm_leaf(t, st->m[s->idx]), pm_const(t, st->inv_norm[s->idx], 1, s->out));
}

/* ---- the method ---- */

/* Magnitudes from the row norms of W0; returns how many rows are zero. */
static int64_t create(pm_run *r, const pm_site *s, dora_state *st) {
    pm_param *m = st->m[s->idx] = pm_param_new(&r->params, 1, s->out, "%s.lora_magnitude_vector", s->name);
    m->vector = true;
    double *w2 = st->w2[s->idx] = pm_arena_alloc(r->arena, (size_t)s->out * sizeof *w2, PM_MEM_WORKSPACE);
    st->inv_norm[s->idx] = pm_arena_alloc(r->arena, (size_t)s->out * sizeof(real), PM_MEM_WORKSPACE);
    int64_t zero = 0;
#pragma omp parallel for schedule(static) reduction(+ : zero)
    for (int64_t i = 0; i < s->out; i++) {
        w2[i] = sumsq(s->w->w + i * s->in, s->in);
        m->w[i] = (real)sqrt(w2[i]);
        zero += w2[i] == 0;
    }
    return zero;
}

static pm_status attach(pm_run *r, const void *cfg, void *state, pm_err *e) {
    dora_state *st = state;
    pm_status rc = pm_lowrank_attach(r, cfg, &st->ab, e);
    if (rc) return rc;
    st->m = pm_per_site(r, sizeof *st->m);
    st->w2 = pm_per_site(r, sizeof *st->w2);
    st->inv_norm = pm_per_site(r, sizeof *st->inv_norm);
    st->held = pm_per_site(r, sizeof *st->held);
    int64_t zero = 0;
    for (int i = 0; i < r->model->n_sites; i++)
        if (st->ab.a[i]) zero += create(r, &r->model->sites[i], st);
    if (zero)
        r->note = pm_arena_printf(
            r->arena, "dora: %lld rows of the base's weights are zero: they have no direction and stay zero",
            (long long)zero);
    return PM_OK;
}

static int64_t magnitudes(int64_t in, int64_t out, const void *cfg) {
    (void)in, (void)cfg;
    return out;
}

static int64_t n_params(const pm_model_cfg *m, const void *cfg) {
    const pm_lowrank_cfg *c = cfg;
    return pm_lowrank_count(m, c) + m->L * pm_target_sum(m, c->targets, magnitudes, c);
}

/* z [N,O] = d W0^T + s d A^T B^T. */
static pm_tensor *direction(pm_tape *t, const pm_site *s, pm_tensor *d, const dora_state *st) {
    return pm_lowrank_add_(t, s, pm_linear_param(t, d, s->w, NULL), d, &st->ab);
}

/* x W0^T - d W0^T: what dropout took from the base's own output comes back unscaled. */
static pm_tensor *restore_(pm_tape *t, const pm_site *s, pm_tensor *y, pm_tensor *x, pm_tensor *d) {
    pm_tensor *lost = pm_add(t, x, pm_scale(t, d, -1));
    return pm_add_(t, y, pm_linear_param(t, lost, s->w, NULL));
}

static pm_tensor *linear(pm_tape *t, const pm_site *s, pm_tensor *x, void *state) {
    dora_state *st = state;
    if (!st->m[s->idx]) return pm_site_linear(t, s, x);
    pm_tensor *d = pm_dropout(t, x, st->ab.dropout, (uint64_t)s->idx);
    pm_tensor *z = direction(t, s, d, st), *y = pm_mul(t, z, factor(t, s, st));
    pm_drop(t, z);
    if (d != x) {
        restore_(t, s, y, x, d);
        pm_drop(t, d);
    }
    return s->b ? pm_bias_(t, y, pm_leaf(t, s->b)) : y;
}

static void after_step(pm_run *r, void *state, int step, int n_steps) {
    (void)step, (void)n_steps;
    dora_state *st = state;
    memset(st->held, 0, (size_t)r->model->n_sites * sizeof *st->held);
}

/* W := diag(m / |W + sBA|) (W + sBA), norms taken of what is there. */
static pm_status merge(pm_model *model, void *state, pm_err *e) {
    (void)e;
    const dora_state *st = state;
    for (int i = 0; i < model->n_sites; i++) {
        const pm_site *s = &model->sites[i];
        if (!st->m[i]) continue;
        pm_lowrank_fold(s, &st->ab);
        for (int64_t row = 0; row < s->out; row++) {
            real *w = s->w->w + row * s->in;
            double n = sqrt(sumsq(w, s->in)), k = n > 0 ? (double)st->m[i]->w[row] / n : 0;
            for (int64_t c = 0; c < s->in; c++) w[c] = (real)(k * (double)w[c]);
        }
    }
    return PM_OK;
}

const pm_method pm_method_dora = {
    .name = "dora",
    .title = "DoRA",
    .cite = "Liu et al. 2024, arXiv 2402.09353, eq. 5",
    .equation = "y = x W'^T + c, W' = diag(m/n) V, V = W0 + s B A, n_i = |V_i| by output rows",
    .version = 1,
    .flags = PM_IDENTITY_INIT | PM_MERGEABLE,
    .peft = "{\"peft_type\":\"LORA\",\"use_dora\":true}",
    .cfg_size = sizeof(pm_lowrank_cfg),
    .state_size = sizeof(dora_state),
    .fields = pm_lowrank_fields,
    .default_lr = 2e-4,
    .lr_source = "NVlabs/DoRA, commonsense runs on LLaMA-7B and Llama-2 (slightly below LoRA's)",
    .attach = attach,
    .n_params = n_params,
    .linear = linear,
    .after_step = after_step,
    .merge = merge,
};
