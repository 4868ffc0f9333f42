/* optim.c - AdamW, schedules, clipping. Semantics in optim.h. */
#include "optim.h"
#include "kernels.h"
#include <math.h>
#include <string.h>

static double decay_factor(const pm_optim *o, int step) {
    if (o->schedule == PM_CONSTANT) return 1;
    double left = o->n_steps - o->warmup_steps, done = step - o->warmup_steps;
    if (left < 1) left = 1;
    if (o->schedule == PM_LINEAR) return fmax(0, (left - done) / left);
    return fmax(0, 0.5 * (1 + cos(3.14159265358979323846 * done / left)));
}

double pm_lr_at(const pm_optim *o, int step) {
    if (step < o->warmup_steps) return o->lr * step / o->warmup_steps;
    return o->lr * decay_factor(o, step);
}

static int64_t count(const pm_param *p) {
    return p->rows * p->cols;
}

void pm_optim_init(pm_params *l) {
    for (int i = 0; i < l->n; i++) {
        pm_param *p = l->p[i];
        p->m = pm_arena_zalloc(l->arena, (size_t)count(p) * sizeof(real), PM_MEM_OPTIMIZER);
        p->v = pm_arena_zalloc(l->arena, (size_t)count(p) * sizeof(real), PM_MEM_OPTIMIZER);
    }
}

void pm_zero_grad(pm_params *l) {
    for (int i = 0; i < l->n; i++) memset(l->p[i]->grad, 0, (size_t)count(l->p[i]) * sizeof(real));
}

double pm_clip_grad(pm_params *l, double clip) {
    double sum = 0;
    for (int i = 0; i < l->n; i++) sum += pm_k_sumsq(count(l->p[i]), l->p[i]->grad);
    double norm = sqrt(sum), k = clip > 0 ? clip / (norm + 1e-6) : 1;
    if (k < 1)
        for (int i = 0; i < l->n; i++) pm_k_scale(count(l->p[i]), (real)k, l->p[i]->grad, l->p[i]->grad);
    return norm;
}

void pm_adamw_step(pm_params *l, const pm_optim *o, int step, double lr) {
    enum { FLOPS_EACH = 14 }; /* of pm_k_adamw's loop body */
    double t = step + 1;
    pm_adamw_consts c = {.lr = (real)lr,
                         .beta1 = (real)o->beta1,
                         .beta2 = (real)o->beta2,
                         .eps = (real)o->eps,
                         .step_size = (real)(lr / (1 - pow(o->beta1, t))),
                         .bias2_sqrt = (real)sqrt(1 - pow(o->beta2, t))};
    pm_flops_phase(PM_FLOPS_OPTIMIZER);
    for (int i = 0; i < l->n; i++) {
        pm_param *p = l->p[i];
        c.decay = p->no_decay ? 1 : (real)(1 - lr * o->weight_decay);
        pm_k_adamw(count(p), &c, p->grad, p->m, p->v, p->w);
        pm_flops_add(FLOPS_EACH * count(p));
    }
    pm_flops_phase(PM_FLOPS_FORWARD);
}
