/* lora.c - LoRA and rsLoRA: a low-rank update beside a frozen projection.
 *
 * Equation: y = x W0^T + c + s drop(x) A^T B^T, s = alpha/r (rsLoRA: alpha/sqrt(r)). A [r,I], B [O,r].
 * Ref: Hu et al. 2021 (arXiv 2106.09685), eq. 3 and section 4.1; rsLoRA: Kalajdzievski 2023 (arXiv
 * 2312.03732), Theorem 3.2. Init: A ~ U(-1/sqrt(I), 1/sqrt(I)) (kaiming_uniform with a = sqrt 5), B = 0:
 * identity at step 0. Cost: 2 r (I + O) flops a token and pass beside 2 I O. Deviations from the paper: A's
 * initialisation is huggingface/peft's and loralib's (the paper: Gaussian). None from huggingface/peft.
 */
#include "method.h"
#include <math.h>
#include <string.h>

typedef struct lora_cfg {
    int rank;
    double alpha, dropout;
    bool rslora;
    char targets[PM_FIELD_STR];
} lora_cfg;

typedef struct lora_state {
    pm_param **a, **b; /* [n_sites]: NULL where the site is not a target */
    real s, dropout;
} lora_state;

static const pm_field fields[] = {
    {"rank", PM_FIELD_INT, offsetof(lora_cfg, rank), "16", 1, 65536, NULL, "rank r of the update", "r"},
    {"alpha", PM_FIELD_REAL, offsetof(lora_cfg, alpha), "32", 0, 0, NULL, "scaling numerator: s = alpha/r",
     "lora_alpha"},
    {"dropout", PM_FIELD_REAL, offsetof(lora_cfg, dropout), "0", 0, 0.999, NULL,
     "probability on the update's input", "lora_dropout"},
    {"rslora", PM_FIELD_BOOL, offsetof(lora_cfg, rslora), "false", 0, 0, NULL, "s = alpha/sqrt(r) instead",
     "use_rslora"},
    {"targets", PM_FIELD_STRING, offsetof(lora_cfg, targets), "all", 0, 0, NULL,
     "projections that get an update, or all", "target_modules"},
    {0},
};

static real scaling(const lora_cfg *c) {
    return (real)(c->alpha / (c->rslora ? sqrt((double)c->rank) : (double)c->rank));
}

static void create(pm_run *r, const lora_cfg *c, const pm_site *site, lora_state *st) {
    pm_param *a = pm_param_new(&r->params, c->rank, site->in, "%s.lora_A.weight", site->name);
    pm_rng g = pm_rng_make(r->seed, pm_hash64(a->name, strlen(a->name)));
    real bound = (real)(1 / sqrt((double)site->in));
    pm_rng_fill_uniform(&g, a->w, a->rows * a->cols, -bound, bound);
    st->a[site->idx] = a;
    st->b[site->idx] = pm_param_new(&r->params, site->out, c->rank, "%s.lora_B.weight", site->name);
}

static pm_status attach(pm_run *r, const void *cfg, void *state, pm_err *e) {
    const lora_cfg *c = cfg;
    lora_state *st = state;
    unsigned targets;
    pm_status rc = pm_targets_parse(c->targets, &targets, e);
    if (rc) return rc;
    size_t bytes = (size_t)r->model->n_sites * sizeof *st->a;
    st->a = pm_arena_zalloc(r->arena, bytes, PM_MEM_WORKSPACE);
    st->b = pm_arena_zalloc(r->arena, bytes, PM_MEM_WORKSPACE);
    st->s = scaling(c);
    st->dropout = (real)c->dropout;
    for (int i = 0; i < r->model->n_sites; i++) {
        const pm_site *site = &r->model->sites[i];
        if (site->kind < PM_SITE_N_LINEAR && (targets >> site->kind & 1)) create(r, c, site, st);
    }
    return PM_OK;
}

static int64_t n_params(const pm_model_cfg *m, const void *cfg) {
    const lora_cfg *c = cfg;
    unsigned targets;
    int64_t n = 0, in, out;
    if (pm_targets_parse(c->targets, &targets, NULL)) return 0;
    for (pm_site_kind k = 0; k < PM_SITE_N_LINEAR; k++) {
        pm_kind_shape(m, k, &in, &out);
        if (targets >> k & 1) n += m->L * c->rank * (in + out);
    }
    return n;
}

static pm_tensor *linear(pm_tape *t, const pm_site *s, pm_tensor *x, void *state) {
    const lora_state *st = state;
    pm_tensor *y = pm_site_linear(t, s, x);
    if (!st->a[s->idx]) return y;
    pm_tensor *dropped = pm_dropout(t, x, st->dropout, (uint64_t)s->idx);
    pm_tensor *u = pm_linear(t, dropped, pm_leaf(t, st->a[s->idx]), NULL); /* [N,r] */
    if (dropped != x) pm_drop(t, dropped);
    return pm_linear_add_(t, y, u, pm_leaf(t, st->b[s->idx]), st->s);
}

static pm_status merge(pm_model *m, void *state, pm_err *e) {
    (void)e;
    const lora_state *st = state;
    for (int i = 0; i < m->n_sites; i++) {
        const pm_param *a = st->a[i], *b = st->b[i];
        if (a)
            pm_gemm(false, false, b->rows, a->cols, a->rows, st->s, b->w, b->cols, a->w, a->cols, 1,
                    m->sites[i].w->w, a->cols);
    }
    return PM_OK;
}

const pm_method pm_method_lora = {
    .name = "lora",
    .title = "LoRA",
    .cite = "Hu et al. 2021, arXiv 2106.09685, eq. 3",
    .version = 1,
    .flags = PM_IDENTITY_INIT | PM_MERGEABLE,
    .peft = "{\"peft_type\":\"LORA\",\"use_dora\":false}",
    .cfg_size = sizeof(lora_cfg),
    .state_size = sizeof(lora_state),
    .fields = fields,
    .default_lr = 3e-4,
    .lr_source = "AGI-Edgerunners/LLM-Adapters, commonsense LoRA runs",
    .attach = attach,
    .n_params = n_params,
    .linear = linear,
    .merge = merge,
};
