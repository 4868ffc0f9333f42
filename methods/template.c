/* template.c - a working minimal method to start a new one from: each output of the chosen projections is scaled by a learned gain.
 *
 * Equation: y = (x W0^T + c) * g, g [O].
 * Ref: none: an example. Init: g = 1: identity at step 0. Cost: O flops a token and pass. Deviations: none.
 *
 * To make it yours follow docs/new-method.md; the numbers in brackets below are its steps. They go, and this line.
 */
#include "method.h"
#include <string.h>

/* ---- (3) settings ---- */

typedef struct template_cfg {
    char targets[PM_FIELD_STR];
} template_cfg;

static const pm_field fields[] = {
    {"targets", PM_FIELD_STRING, offsetof(template_cfg, targets), "all", 0, 0, NULL,
     "projections that get a gain, or all", "target_modules"},
    {0},
};

/* ---- (4) parameters ---- */

typedef struct template_state {
    pm_param **g; /* [n_sites]: NULL where the site is not a target */
} template_state;

static pm_status attach(pm_run *r, const void *cfg, void *state, pm_err *e) {
    const template_cfg *c = cfg;
    template_state *st = state;
    unsigned targets;
    pm_status rc = pm_targets_parse(c->targets, &targets, e);
    if (rc) return rc;
    st->g = pm_per_site(r, sizeof *st->g);
    for (int i = 0; i < r->model->n_sites; i++) {
        const pm_site *s = &r->model->sites[i];
        if (!pm_is_target(targets, s->kind)) continue;
        st->g[i] = pm_param_new(&r->params, 1, s->out, "%s.gain", s->name);
        for (int64_t j = 0; j < s->out; j++) st->g[i]->w[j] = 1;
    }
    return PM_OK;
}

/* ---- (5) closed form ---- */

static int64_t gains(int64_t in, int64_t out, const void *cfg) {
    (void)in, (void)cfg;
    return out;
}

static int64_t n_params(const pm_model_cfg *m, const void *cfg) {
    const template_cfg *c = cfg;
    return m->L * pm_target_sum(m, c->targets, gains, c);
}

/* ---- (6) hook ---- */

static pm_tensor *linear(pm_tape *t, const pm_site *s, pm_tensor *x, void *state) {
    pm_param *g = ((template_state *)state)->g[s->idx];
    pm_tensor *y = pm_site_linear(t, s, x);
    return g ? pm_mul(t, y, pm_leaf(t, g)) : y;
}

/* ---- (7) merge ---- */

static void scale_rows(pm_param *w, const real *g) {
    for (int64_t i = 0; i < w->rows; i++)
        for (int64_t j = 0; j < w->cols; j++) w->w[i * w->cols + j] *= g[i];
}

static pm_status merge(pm_model *m, void *state, pm_err *e) {
    (void)e;
    const template_state *st = state;
    for (int i = 0; i < m->n_sites; i++) {
        if (!st->g[i]) continue;
        scale_rows(m->sites[i].w, st->g[i]->w);
        pm_param *b = m->sites[i].b;
        for (int64_t j = 0; b && j < b->cols; j++) b->w[j] *= st->g[i]->w[j];
    }
    return PM_OK;
}

/* ---- (8) what it is, and what it claims ---- */

extern const pm_method pm_method_template; /* (9) a line of registry.c takes this line's place */
const pm_method pm_method_template = {
    .name = "template",
    .title = "Output gain",
    .cite = "not from a paper: the example in methods/template.c",
    .equation = "y = (x W0^T + c) * g",
    .version = 1,
    .flags = PM_IDENTITY_INIT | PM_MERGEABLE,
    .cfg_size = sizeof(template_cfg),
    .state_size = sizeof(template_state),
    .fields = fields,
    .default_lr = 1e-3,
    .lr_source = "the (IA)^3 setting it resembles",
    .attach = attach,
    .n_params = n_params,
    .linear = linear,
    .merge = merge,
};
