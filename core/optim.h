/* optim.h - AdamW, learning-rate schedules and clipping with torch's and transformers' semantics.
 *
 * AdamW (Loshchilov & Hutter 2019, Algorithm 2, as torch.optim.AdamW): p -= lr wd p; m, v moments;
 *   p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps).
 * Deviations: none.
 */
#ifndef PM_OPTIM_H
#define PM_OPTIM_H
#include "net.h"

typedef enum pm_schedule { PM_CONSTANT, PM_LINEAR, PM_COSINE } pm_schedule;
typedef struct pm_optim {
    double lr, weight_decay, beta1, beta2, eps;
    double clip; /* global gradient norm; 0 = off */
    pm_schedule schedule;
    int warmup_steps, n_steps;
} pm_optim;

/* lr of step i (from 0): linear warm-up i/warmup, then 1, (n-i)/(n-warmup) or half a cosine, as transformers.get_scheduler. */
double pm_lr_at(const pm_optim *o, int step);
void pm_optim_init(pm_params *l); /* allocates zeroed moments */
void pm_zero_grad(pm_params *l);
/* Global L2 norm over all trainable gradients, before clipping; clips by clip / (norm + 1e-6) when that is < 1. Deterministic. */
double pm_clip_grad(pm_params *l, double clip);
void pm_adamw_step(pm_params *l, const pm_optim *o, int step, double lr); /* step from 0 */
#endif
