/* train.h - the plan of batches and the training loop. Semantics are torch's and transformers' (contract,
 * "run"). */
#ifndef PM_TRAIN_H
#define PM_TRAIN_H
#include "session.h"

/* The batch order for (data, seed), laid down before training so that every method sees the same batches. */
typedef struct pm_plan {
    int n_steps;
    int32_t *first, *count; /* [n_steps]: slice of `order` that a step takes (batch * grad_accum rows; an
                               epoch's last may be smaller) */
    int32_t *order;         /* example indices */
} pm_plan;
pm_status pm_plan_make(const pm_config *c, int n_examples, pm_plan *p, pm_err *e);
void pm_plan_free(pm_plan *p);

typedef struct pm_step {
    int step;                     /* from 0 */
    double loss, lr, grad_norm;   /* mean nats a labelled token; grad_norm before clipping */
    int64_t tokens, label_tokens; /* real tokens processed, scored tokens */
    double wall_s;
} pm_step;
/* Called after each step; a status other than PM_OK stops training and is returned (PM_ECANCELLED on a
 * signal). */
typedef pm_status (*pm_step_fn)(void *ctx, const pm_step *s, pm_err *e);

/* Trains on `train` by the plan. PM_EDIVERGED when loss or gradient norm is not finite (the step is reported
 * first). */
pm_status pm_train(pm_session *s, const pm_config *c, const pm_split *train, const pm_plan *plan,
                   pm_step_fn fn, void *ctx, pm_err *e);
#endif
