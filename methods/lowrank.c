/* lowrank.c - the pair A, B of LoRA and DoRA (lowrank.h). A's start is huggingface/peft's and loralib's: kaiming_uniform with
 * a = sqrt 5. */
#include "lowrank.h"
#include <math.h>
#include <string.h>

const pm_field pm_lowrank_fields[] = {
    {"rank", PM_FIELD_INT, offsetof(pm_lowrank_cfg, rank), "16", 1, 65536, NULL, "rank r of the update", "r"},
    {"alpha", PM_FIELD_REAL, offsetof(pm_lowrank_cfg, alpha), "32", 0, 0, NULL,
     "scaling numerator: s = alpha/r", "lora_alpha"},
    {"dropout", PM_FIELD_REAL, offsetof(pm_lowrank_cfg, dropout), "0", 0, 0.999, NULL,
     "probability on the update's input", "lora_dropout"},
    {"rslora", PM_FIELD_BOOL, offsetof(pm_lowrank_cfg, rslora), "false", 0, 0, NULL,
     "s = alpha/sqrt(r) instead", "use_rslora"},
    {"targets", PM_FIELD_STRING, offsetof(pm_lowrank_cfg, targets), "all", 0, 0, NULL,
     "projections that get an update, or all", "target_modules"},
    {0},
};

static void create(pm_run *r, const pm_lowrank_cfg *c, const pm_site *site, pm_lowrank *st) {
    pm_param *a = pm_param_new(&r->params, c->rank, site->in, "%s.lora_A.weight", site->name);
    pm_init_uniform(r, a, 1 / sqrt((double)site->in));
    st->a[site->idx] = a;
    st->b[site->idx] = pm_param_new(&r->params, site->out, c->rank, "%s.lora_B.weight", site->name);
}

pm_status pm_lowrank_attach(pm_run *r, const pm_lowrank_cfg *c, pm_lowrank *st, pm_err *e) {
    unsigned targets;
    pm_status rc = pm_targets_parse(c->targets, &targets, e);
    if (rc) return rc;
    st->a = pm_per_site(r, sizeof *st->a);
    st->b = pm_per_site(r, sizeof *st->b);
    st->s = (real)(c->alpha / (c->rslora ? sqrt((double)c->rank) : (double)c->rank));
    st->dropout = (real)c->dropout;
    for (int i = 0; i < r->model->n_sites; i++)
        if (pm_is_target(targets, r->model->sites[i].kind)) create(r, c, &r->model->sites[i], st);
    return PM_OK;
}

static int64_t a_and_b(int64_t in, int64_t out, const void *cfg) {
    return ((const pm_lowrank_cfg *)cfg)->rank * (in + out);
}

int64_t pm_lowrank_count(const pm_model_cfg *m, const pm_lowrank_cfg *c) {
    return m->L * pm_target_sum(m, c->targets, a_and_b, c);
}

pm_tensor *pm_lowrank_add_(pm_tape *t, const pm_site *s, pm_tensor *y, pm_tensor *x, const pm_lowrank *st) {
    pm_tensor *u = pm_linear(t, x, pm_leaf(t, st->a[s->idx]), NULL); /* [N,r] */
    return pm_linear_add_(t, y, u, pm_leaf(t, st->b[s->idx]), st->s);
}

void pm_lowrank_fold(const pm_site *s, const pm_lowrank *st) {
    const pm_param *a = st->a[s->idx], *b = st->b[s->idx];
    pm_gemm(false, false, b->rows, a->cols, a->rows, st->s, b->w, b->cols, a->w, a->cols, 1, s->w->w,
            a->cols);
}
