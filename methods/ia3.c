/* ia3.c - (IA)^3: keys, values and the feed-forward's inner activations are rescaled, each channel by a learned factor.
 *
 * Equation: k = l_k * (x W_k^T + c), v = l_v * (x W_v^T + c), down = (l_ff * u) W_down^T + c; l_k, l_v [O], l_ff [I].
 * Ref: Liu et al. 2022 (arXiv 2205.05638), section 3.3. Any projection can be a target; those named by `feedforward` are scaled at
 * their input, the others at their output.
 * Init: l = 1: identity at step 0. Cost: one multiplication a scaled number, token and pass.
 * Deviations from the paper: a key is scaled before its rotation, which the paper's T5 has not, and with a projection's bias.
 * None from huggingface/peft.
 */
#include "method.h"

typedef struct ia3_cfg {
    char targets[PM_FIELD_STR], feedforward[PM_FIELD_STR];
} ia3_cfg;

static const pm_field fields[] = {
    {"targets", PM_FIELD_STRING, offsetof(ia3_cfg, targets), "k_proj,v_proj,down_proj", 0, 0, NULL,
     "projections that are rescaled, or all", "target_modules"},
    {"feedforward", PM_FIELD_STRING, offsetof(ia3_cfg, feedforward), "down_proj", 0, 0, NULL,
     "those of them that are rescaled at their input; none: none of them", "feedforward_modules"},
    {0},
};

typedef struct ia3_sets {
    unsigned targets, inputs; /* by site kind; inputs may name more than the targets */
} ia3_sets;

typedef struct ia3_state {
    pm_param **l; /* [n_sites] [O,1] or, at an input, [1,I], as PEFT stores them; NULL: not a target */
    ia3_sets sets;
} ia3_state;

static pm_status parse(const ia3_cfg *c, ia3_sets *sets, pm_err *e) {
    pm_status rc = pm_targets_parse(c->targets, &sets->targets, e);
    return rc ? rc : pm_projections_parse("feedforward", c->feedforward, &sets->inputs, e);
}

static pm_status attach(pm_run *r, const void *cfg, void *state, pm_err *e) {
    ia3_state *st = state;
    pm_status rc = parse(cfg, &st->sets, e);
    if (rc) return rc;
    st->l = pm_per_site(r, sizeof *st->l);
    for (int i = 0; i < r->model->n_sites; i++) {
        const pm_site *s = &r->model->sites[i];
        if (!pm_is_target(st->sets.targets, s->kind)) continue;
        bool input = pm_is_target(st->sets.inputs, s->kind);
        int64_t n = input ? s->in : s->out;
        st->l[i] = pm_param_new(&r->params, input ? 1 : n, input ? n : 1, "%s.ia3_l", s->name);
        for (int64_t j = 0; j < n; j++) st->l[i]->w[j] = 1;
    }
    return PM_OK;
}

static int64_t n_params(const pm_model_cfg *m, const void *cfg) {
    ia3_sets sets;
    int64_t n = 0, in, out;
    if (parse(cfg, &sets, NULL)) return 0;
    for (pm_site_kind k = 0; k < PM_SITE_N_LINEAR; k++) {
        pm_kind_shape(m, k, &in, &out);
        if (pm_is_target(sets.targets, k)) n += m->L * (pm_is_target(sets.inputs, k) ? in : out);
    }
    return n;
}

static pm_tensor *linear(pm_tape *t, const pm_site *s, pm_tensor *x, void *state) {
    const ia3_state *st = state;
    if (!st->l[s->idx]) return pm_site_linear(t, s, x);
    pm_tensor *l = pm_leaf_row(t, st->l[s->idx]);
    if (!pm_is_target(st->sets.inputs, s->kind)) return pm_mul(t, pm_site_linear(t, s, x), l);
    pm_tensor *scaled = pm_mul(t, x, l), *y = pm_site_linear(t, s, scaled);
    pm_drop(t, scaled);
    return y;
}

/* Columns of W times l at an input; else rows of W, and the bias. */
static void fold(const pm_site *s, const real *l, bool input) {
    for (int64_t i = 0; i < s->out; i++) {
        real *row = s->w->w + i * s->in;
        for (int64_t j = 0; j < s->in; j++) row[j] *= input ? l[j] : l[i];
    }
    for (int64_t i = 0; s->b && !input && i < s->out; i++) s->b->w[i] *= l[i];
}

static pm_status merge(pm_model *m, void *state, pm_err *e) {
    (void)e;
    const ia3_state *st = state;
    for (int i = 0; i < m->n_sites; i++)
        if (st->l[i]) fold(&m->sites[i], st->l[i]->w, pm_is_target(st->sets.inputs, m->sites[i].kind));
    return PM_OK;
}

const pm_method pm_method_ia3 = {
    .name = "ia3",
    .title = "(IA)^3",
    .cite = "Liu et al. 2022, arXiv 2205.05638, section 3.3",
    .equation = "y = l * (x W0^T + c); at feed-forward inputs y = (l * x) W0^T + c",
    .version = 1,
    .flags = PM_IDENTITY_INIT | PM_MERGEABLE,
    .cfg_size = sizeof(ia3_cfg),
    .state_size = sizeof(ia3_state),
    .fields = fields,
    .default_lr = 3e-3,
    .lr_source = "the paper's T-Few recipe (there with Adafactor)",
    .attach = attach,
    .n_params = n_params,
    .linear = linear,
    .merge = merge,
};
