/* wegeft.c - WeGeFT (earlier GIFT): the update is generated from the frozen weight by two low-rank maps, shared by all layers.
 *
 * Equation: dW = s (W0 phi^T) psi, s = alpha/r, phi, psi [r,I]: y = x (I + s psi^T phi) W0^T + c.
 * Ref: Savadikar et al. (arXiv 2312.00700), section 3; the released PEFT layer.
 * share: one (phi, psi) per projection type over all layers (the release's default), else one per layer.
 * Dropout falls on the elements of W0 in W0 phi^T, as released, never on x.
 * Init: phi = 0, psi ~ U(-1/sqrt(I), 1/sqrt(I)): identity at step 0, where psi's gradient is zero.
 * Cost: without dropout x' = x + s (x psi^T) phi goes through the base's own product: 4 r I flops a token and pass. With
 * dropout 2 r I O a layer and step for W0 phi^T, whatever the tokens.
 * Deviations: none.
 */
#include "method.h"
#include <math.h>

typedef struct wegeft_cfg {
    int rank;
    double alpha, dropout;
    bool share;
    char targets[PM_FIELD_STR];
} wegeft_cfg;

typedef struct wegeft_state {
    pm_param **phi,
        **psi; /* [n_sites], shared: the same pair at every layer; NULL where the site is not a target */
    real s, dropout;
} wegeft_state;

static const pm_field fields[] = {
    {"rank", PM_FIELD_INT, offsetof(wegeft_cfg, rank), "64", 1, 65536, NULL, "rank r of phi and psi", "r"},
    {"alpha", PM_FIELD_REAL, offsetof(wegeft_cfg, alpha), "128", 0, 0, NULL, "scaling numerator: s = alpha/r",
     "alpha"},
    {"dropout", PM_FIELD_REAL, offsetof(wegeft_cfg, dropout), "0", 0, 0.999, NULL,
     "probability on the elements of W0 inside W0 phi^T", "dropout"},
    {"share", PM_FIELD_BOOL, offsetof(wegeft_cfg, share), "true", 0, 0, NULL,
     "one phi, psi per projection type for all layers; false: one per layer", "share"},
    {"targets", PM_FIELD_STRING, offsetof(wegeft_cfg, targets), "all", 0, 0, NULL,
     "projections that get an update, or all", "target_modules"},
    {0},
};

static void create(pm_run *r, const wegeft_cfg *c, const pm_site *s, const char *module, wegeft_state *st) {
    st->phi[s->idx] = pm_param_new(&r->params, c->rank, s->in, "%s.phi", module);
    st->psi[s->idx] = pm_param_new(&r->params, c->rank, s->in, "%s.psi", module);
    pm_init_uniform(r, st->psi[s->idx], 1 / sqrt((double)s->in));
}

/* At a target site: a pair of its own, or its type's, which the first layer brings into being. */
static void place(pm_run *r, const wegeft_cfg *c, const pm_site *s, int first[], wegeft_state *st) {
    if (!c->share) {
        create(r, c, s, pm_arena_printf(r->arena, "%s.wegeft", s->name), st);
        return;
    }
    if (first[s->kind] < 0) {
        first[s->kind] = s->idx;
        create(r, c, s, pm_arena_printf(r->arena, "wegeft.%s", pm_site_kind_name(s->kind)), st);
    }
    st->phi[s->idx] = st->phi[first[s->kind]];
    st->psi[s->idx] = st->psi[first[s->kind]];
}

static pm_status attach(pm_run *r, const void *cfg, void *state, pm_err *e) {
    const wegeft_cfg *c = cfg;
    wegeft_state *st = state;
    unsigned targets;
    pm_status rc = pm_targets_parse(c->targets, &targets, e);
    if (rc) return rc;
    st->phi = pm_per_site(r, sizeof *st->phi);
    st->psi = pm_per_site(r, sizeof *st->psi);
    st->s = (real)(c->alpha / c->rank);
    st->dropout = (real)c->dropout;
    int first[PM_SITE_N_LINEAR];
    for (int k = 0; k < PM_SITE_N_LINEAR; k++) first[k] = -1;
    for (int i = 0; i < r->model->n_sites; i++)
        if (pm_is_target(targets, r->model->sites[i].kind)) place(r, c, &r->model->sites[i], first, st);
    return PM_OK;
}

static int64_t phi_and_psi(int64_t in, int64_t out, const void *cfg) {
    (void)out;
    return 2 * ((const wegeft_cfg *)cfg)->rank * in;
}

static int64_t n_params(const pm_model_cfg *m, const void *cfg) {
    const wegeft_cfg *c = cfg;
    return (c->share ? 1 : m->L) * pm_target_sum(m, c->targets, phi_and_psi, c);
}

/* y = base(x) + s (x psi^T) (drop(W0) phi^T)^T */
static pm_tensor *weight_form(pm_tape *t, const pm_site *s, pm_tensor *x, pm_tensor *u,
                              const wegeft_state *st) {
    pm_tensor *w = pm_dropout(t, pm_leaf(t, s->w), st->dropout, (uint64_t)s->idx);
    pm_tensor *generated = pm_linear(t, w, pm_leaf(t, st->phi[s->idx]), NULL); /* [O,r] */
    pm_drop(t, w);
    return pm_linear_add_(t, pm_site_linear(t, s, x), u, generated, st->s);
}

/* y = base(x + s (x psi^T) phi) */
static pm_tensor *activation_form(pm_tape *t, const pm_site *s, pm_tensor *x, pm_tensor *u,
                                  const wegeft_state *st) {
    pm_tensor *moved = pm_matmul(t, pm_scale(t, u, st->s), pm_leaf(t, st->phi[s->idx]));
    pm_tensor *y = pm_site_linear(t, s, pm_add_(t, moved, x));
    pm_drop(t, moved);
    return y;
}

static pm_tensor *linear(pm_tape *t, const pm_site *s, pm_tensor *x, void *state) {
    const wegeft_state *st = state;
    if (!st->phi[s->idx]) return pm_site_linear(t, s, x);
    pm_tensor *u = pm_linear(t, x, pm_leaf(t, st->psi[s->idx]), NULL); /* [N,r] */
    bool drops = t->train && st->dropout > 0;
    return drops ? weight_form(t, s, x, u, st) : activation_form(t, s, x, u, st);
}

static void fold(const pm_site *s, const wegeft_state *st, pm_arena *scratch) {
    const pm_param *phi = st->phi[s->idx], *psi = st->psi[s->idx];
    size_t bytes = (size_t)(s->out * phi->rows) * sizeof(real);
    real *g = pm_arena_alloc(scratch, bytes, PM_MEM_WORKSPACE);
    pm_gemm(false, true, s->out, phi->rows, s->in, 1, s->w->w, s->in, phi->w, s->in, 0, g, phi->rows);
    pm_gemm(false, false, s->out, s->in, phi->rows, st->s, g, phi->rows, psi->w, s->in, 1, s->w->w, s->in);
    pm_arena_recycle(scratch, g, bytes, PM_MEM_WORKSPACE);
}

static pm_status merge(pm_model *m, void *state, pm_err *e) {
    (void)e;
    const wegeft_state *st = state;
    pm_arena *scratch = pm_arena_new("merge", 0);
    for (int i = 0; i < m->n_sites; i++)
        if (st->phi[i]) fold(&m->sites[i], st, scratch);
    pm_arena_free(scratch);
    return PM_OK;
}

const pm_method pm_method_wegeft = {
    .name = "wegeft",
    .title = "WeGeFT",
    .cite = "Savadikar et al. 2023, arXiv 2312.00700, section 3",
    .equation = "y = x (W0 + s (W0 phi^T) psi)^T + c, s = alpha/r",
    .version = 1,
    .flags = PM_IDENTITY_INIT | PM_MERGEABLE,
    .peft = "{\"peft_type\":\"WEGEFT\"}",
    .cfg_size = sizeof(wegeft_cfg),
    .state_size = sizeof(wegeft_state),
    .fields = fields,
    .default_lr = 2e-4,
    .lr_source = "the release's train_wegeft.py, Commonsense170K",
    .attach = attach,
    .n_params = n_params,
    .linear = linear,
    .merge = merge,
};
