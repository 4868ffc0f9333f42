/* direft.c - DiReFT: LoReFT without the orthogonality and without the subtraction.
 *
 * Equation: h + W2 (W1 h + b), W1 [r,C] (stored as W), W2 [C,r] (the paper's W2^T), b [r], at the positions of reft.h.
 * Ref: Wu et al. 2024 (arXiv 2404.03592), eq. 3. In pyreft this is NodireftIntervention; its DireftIntervention is another map.
 * Init: W1, b, W2 ~ U(-1/sqrt(C), 1/sqrt(C)), torch's nn.Linear(C, r) for both: not the identity at step 0.
 * Cost: 4 r C flops an edited position and pass.
 * Deviations: none from pyreft (the paper prints a ceiling for the suffix; its code has a floor).
 */
#include "reft.h"
#include <math.h>

static void create(pm_run *r, const pm_reft_cfg *c, const char *module, pm_reft_phi *phi) {
    int64_t C = r->model->cfg.C;
    phi->out = pm_param_new(&r->params, C, c->rank, "%s.W2", module);
    pm_init_uniform(r, phi->out, 1 / sqrt((double)C));
}

static pm_tensor *edit(pm_tape *t, pm_tensor *h, pm_reft_phi *phi) {
    pm_tensor *u = pm_linear(t, h, pm_leaf(t, phi->w), pm_leaf(t, phi->b)); /* [n,r] */
    return pm_add_(t, pm_linear(t, u, pm_leaf(t, phi->out), NULL), h);
}

static const pm_reft_kind KIND = {"direft", create, edit};

static pm_status attach(pm_run *r, const void *cfg, void *st, pm_err *e) {
    return pm_reft_attach(r, cfg, &KIND, st, e);
}

const pm_method pm_method_direft = {
    .name = "direft",
    .title = "DiReFT",
    .cite = "Wu et al. 2024, arXiv 2404.03592, eq. 3",
    .equation = "h + W2 (W1 h + b), at the first and last prompt positions",
    .version = 1,
    .flags = PM_PROMPT_ONLY,
    .peft = "{\"peft_type\":\"DIREFT\"}",
    .cfg_size = sizeof(pm_reft_cfg),
    .state_size = sizeof(pm_reft),
    .fields = pm_reft_fields,
    .default_lr = 9e-4,
    .lr_source = "the paper's commonsense and arithmetic runs (section D.1)",
    .attach = attach,
    .n_params = pm_reft_count,
    .hidden = pm_reft_hidden,
};
