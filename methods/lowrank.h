/* lowrank.h - what LoRA and DoRA share: the pair A, B beside each target projection, its settings, start and scaling. */
#ifndef PM_LOWRANK_H
#define PM_LOWRANK_H
#include "method.h"

typedef struct pm_lowrank_cfg {
    int rank;
    double alpha, dropout;
    bool rslora;
    char targets[PM_FIELD_STR];
} pm_lowrank_cfg;
extern const pm_field pm_lowrank_fields[]; /* of a pm_lowrank_cfg at the start of the method's settings */

typedef struct pm_lowrank {
    pm_param **a, **b; /* [n_sites] A [r,I], B [O,r]; NULL where the site is not a target */
    real s, dropout;   /* s: alpha/r, or alpha/sqrt(r) */
} pm_lowrank;

/* Creates the pairs: A ~ U(-1/sqrt(I), 1/sqrt(I)), B = 0. */
pm_status pm_lowrank_attach(pm_run *r, const pm_lowrank_cfg *c, pm_lowrank *st, pm_err *e);
int64_t pm_lowrank_count(const pm_model_cfg *m, const pm_lowrank_cfg *c);
/* y [N,O] += s x A^T B^T at a target site; x [N,I] as dropout left it. */
pm_tensor *pm_lowrank_add_(pm_tape *t, const pm_site *s, pm_tensor *y, pm_tensor *x, const pm_lowrank *st);
/* The base's weight += s B A, in place. */
void pm_lowrank_fold(const pm_site *s, const pm_lowrank *st);
#endif
