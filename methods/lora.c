/* lora.c - LoRA and rsLoRA: a low-rank update beside a frozen projection.
 *
 * Equation: y = x W0^T + c + s drop(x) A^T B^T, s = alpha/r (rsLoRA: alpha/sqrt(r)). A [r,I], B [O,r].
 * Ref: Hu et al. 2021 (arXiv 2106.09685), eq. 3 and section 4.1; rsLoRA: Kalajdzievski 2023 (arXiv
 * 2312.03732), Theorem 3.2. Init: A ~ U(-1/sqrt(I), 1/sqrt(I)) (kaiming_uniform with a = sqrt 5), B = 0:
 * identity at step 0. Cost: 2 r (I + O) flops a token and pass beside 2 I O. Deviations from the paper: A's
 * initialisation is huggingface/peft's and loralib's (the paper: Gaussian). None from huggingface/peft.
 */
#include "lowrank.h"

static pm_status attach(pm_run *r, const void *cfg, void *st, pm_err *e) {
    return pm_lowrank_attach(r, cfg, st, e);
}

static int64_t n_params(const pm_model_cfg *m, const void *cfg) {
    return pm_lowrank_count(m, cfg);
}

static pm_tensor *linear(pm_tape *t, const pm_site *s, pm_tensor *x, void *state) {
    const pm_lowrank *st = state;
    pm_tensor *y = pm_site_linear(t, s, x);
    if (!st->a[s->idx]) return y;
    pm_tensor *dropped = pm_dropout(t, x, st->dropout, (uint64_t)s->idx);
    pm_lowrank_add_(t, s, y, dropped, st);
    if (dropped != x) pm_drop(t, dropped);
    return y;
}

static pm_status merge(pm_model *m, void *state, pm_err *e) {
    (void)e;
    const pm_lowrank *st = state;
    for (int i = 0; i < m->n_sites; i++)
        if (st->a[i]) pm_lowrank_fold(&m->sites[i], st);
    return PM_OK;
}

const pm_method pm_method_lora = {
    .name = "lora",
    .title = "LoRA",
    .cite = "Hu et al. 2021, arXiv 2106.09685, eq. 3",
    .equation = "y = x W0^T + c + s drop(x) A^T B^T, s = alpha/r (rslora: alpha/sqrt(r))",
    .version = 1,
    .flags = PM_IDENTITY_INIT | PM_MERGEABLE,
    .peft = "{\"peft_type\":\"LORA\",\"use_dora\":false}",
    .cfg_size = sizeof(pm_lowrank_cfg),
    .state_size = sizeof(pm_lowrank),
    .fields = pm_lowrank_fields,
    .default_lr = 3e-4,
    .lr_source = "AGI-Edgerunners/LLM-Adapters, commonsense LoRA runs",
    .attach = attach,
    .n_params = n_params,
    .linear = linear,
    .merge = merge,
};
