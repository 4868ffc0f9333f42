/* full.c - full fine-tuning: every weight of the model is trained. The yardstick the others are measured
 * against.
 *
 * Equation: none. Ref: docs/METHODS.md.
 * Cost: 6 flops a weight and token instead of 4; weights, gradients and two moments: 16 bytes a weight.
 * Deviations: none. Tied embedding and head are one parameter, counted and trained once.
 */
#include "method.h"

static pm_status attach(pm_run *r, const void *cfg, void *st, pm_err *e) {
    (void)cfg, (void)st, (void)e;
    for (int i = 0; i < r->model->n_params; i++) pm_param_unfreeze(&r->params, &r->model->params[i]);
    return PM_OK;
}

/* Embedding (and head when untied), L blocks of 7 projections, q/k/v biases and 2 gains, the last gain. */
static int64_t n_params(const pm_model_cfg *m, const void *cfg) {
    (void)cfg;
    int64_t layer = 2 * m->C, in, out;
    for (pm_site_kind k = 0; k < PM_SITE_N_LINEAR; k++) {
        pm_kind_shape(m, k, &in, &out);
        layer += in * out;
        if (m->qkv_bias && k <= PM_SITE_V) layer += out;
    }
    return m->V * m->C * (m->tied ? 1 : 2) + m->L * layer + m->C;
}

static const pm_field fields[] = {{0}};

const pm_method pm_method_full = {
    .name = "full",
    .title = "Full fine-tuning",
    .cite = "every weight is trained",
    .equation = "y = x W^T + c, all of it trained",
    .version = 1,
    .flags = PM_IDENTITY_INIT | PM_TRAINS_BASE,
    .fields = fields,
    .default_lr = 1e-5,
    .lr_source = "huggingface/peft method_comparison, MetaMathQA full fine-tuning row",
    .attach = attach,
    .n_params = n_params,
};
