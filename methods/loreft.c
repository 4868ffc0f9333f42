/* loreft.c - LoReFT: inside a trained r-dimensional subspace, the hidden state is moved to where a linear map wants it.
 *
 * Equation: h + R^T (W h + b - R h), R [r,C] with orthonormal rows, W [r,C], b [r], at the positions of reft.h.
 * Ref: Wu et al. 2024 (arXiv 2404.03592), eq. 2. R is trained as in pyreft: torch's parametrizations.orthogonal, a Householder map
 * with trivialisation (core/op_orthogonal.c), in O(C r) memory instead of C x C. Base: LAPACK's full factor of R^T as
 * drawn or loaded (docs/METHODS.md).
 * Init: W, b ~ U(-1/sqrt(C), 1/sqrt(C)), R random orthonormal: not the identity at step 0.
 * Cost: 6 r C flops an edited position and pass, 8 C r^2 an edit and pass for R.
 * Deviations: weight decay never reaches R's variable (in torch it makes R exactly 0 after one step). None otherwise from pyreft,
 * whose suffix has floor(P/2) at most where the paper prints a ceiling.
 */
#include "reft.h"
#include <string.h>

static real *reals(pm_run *r, int64_t n) {
    return pm_arena_alloc(r->arena, (size_t)n * sizeof(real), PM_MEM_ADAPTER);
}

/* x = -I: R is the base's first rows. */
static void rest(pm_param *x) {
    memset(x->w, 0, (size_t)(x->rows * x->cols) * sizeof *x->w);
    for (int64_t i = 0; i < x->rows; i++) x->w[i * x->cols + i] = -1;
}

/* The base belongs to R as it was drawn or loaded. */
static void prepare(pm_reft_phi *phi) {
    const pm_param *x = phi->out;
    if (phi->ready) return;
    bool ok = pm_qr_reflectors(x->rows, x->cols, x->stored, phi->base.v, phi->base.tau, phi->base.sign);
    PM_ASSERT(ok, "%s: no orthogonal factor",
              x->name); /* numbers are finite: adapters are checked on loading */
    phi->ready = true;
}

/* stored := R as trained. */
static void materialise(pm_run *r, pm_reft_phi *phi) {
    size_t bytes = (size_t)phi->out->cols * sizeof(real);
    real *scratch = pm_arena_alloc(r->arena, bytes, PM_MEM_WORKSPACE);
    prepare(phi);
    pm_k_orthogonal(phi->out->rows, phi->out->cols, phi->out->w, &phi->base, scratch, phi->out->stored);
    pm_arena_recycle(r->arena, scratch, bytes, PM_MEM_WORKSPACE);
}

/* Random orthonormal rows: of a Gaussian matrix's orthogonal factor. */
static void draw(pm_run *r, pm_reft_phi *phi) {
    const pm_param *x = phi->out;
    pm_rng g = pm_rng_make(r->seed, pm_hash64(x->name, strlen(x->name)));
    pm_rng_fill_normal(&g, x->stored, x->rows * x->cols, 0, 1);
    materialise(r, phi);
    phi->ready = false;
}

static void create(pm_run *r, const pm_reft_cfg *c, const char *module, pm_reft_phi *phi) {
    int64_t C = r->model->cfg.C;
    pm_param *x = phi->out = pm_param_new(&r->params, c->rank, C, "%s.R", module);
    x->no_decay = x->orthonormal = true;
    x->stored = reals(r, c->rank * C);
    phi->base = (pm_orthobase){reals(r, c->rank * C), reals(r, c->rank), reals(r, c->rank)};
    rest(x);
    draw(r, phi);
}

/* h + R^T (W h + b - R h), h [n,C] by rows. */
static pm_tensor *edit(pm_tape *t, pm_tensor *h, pm_reft_phi *phi) {
    prepare(phi);
    pm_tensor *R = pm_orthogonal(t, pm_leaf(t, phi->out), &phi->base);
    pm_tensor *u = pm_linear(t, h, pm_leaf(t, phi->w), pm_leaf(t, phi->b)); /* [n,r] */
    pm_linear_add_(t, u, h, R, -1);
    return pm_add_(t, pm_matmul(t, u, R), h);
}

static const pm_reft_kind KIND = {"loreft", create, edit};

static pm_status attach(pm_run *r, const void *cfg, void *st, pm_err *e) {
    return pm_reft_attach(r, cfg, &KIND, st, e);
}

static void after_step(pm_run *r, void *state, int step, int n_steps) {
    (void)step, (void)n_steps;
    const pm_reft *st = state;
    for (int i = 0; i < 2 * r->model->cfg.L; i++)
        if (st->phi[i].w) materialise(r, &st->phi[i]);
}

const pm_method pm_method_loreft = {
    .name = "loreft",
    .title = "LoReFT",
    .cite = "Wu et al. 2024, arXiv 2404.03592, eq. 2",
    .equation = "h + R^T (W h + b - R h), R R^T = I, at the first and last prompt positions",
    .version = 1,
    .flags = PM_PROMPT_ONLY,
    .peft = "{\"peft_type\":\"LOREFT\"}",
    .cfg_size = sizeof(pm_reft_cfg),
    .state_size = sizeof(pm_reft),
    .fields = pm_reft_fields,
    .default_lr = 9e-4,
    .lr_source = "the paper's commonsense and arithmetic runs (section D.1)",
    .attach = attach,
    .n_params = pm_reft_count,
    .hidden = pm_reft_hidden,
    .after_step = after_step,
};
