/* train.c - plan, then step: zero, forward, loss, backward (for each micro-batch), clip, AdamW. */
#include "train.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- plan ---- */

enum { PLAN_STREAM = 0x706c616e }; /* "plan": the shuffle's own random stream */

void pm_plan_free(pm_plan *p) {
    free(p->first);
    free(p->count);
    free(p->order);
    memset(p, 0, sizeof *p);
}

/* In doubles: both settings at their largest are more than an int holds. */
static pm_status count_steps(const pm_config *c, int n, int an_epoch, int *n_steps, int *epochs, pm_err *e) {
    double steps = c->train.steps > 0 ? c->train.steps : ceil(c->train.epochs * an_epoch);
    if (ceil(steps / an_epoch) * n > INT32_MAX / 4) {
        pm_fail(e, PM_EUSAGE, "train.%s: %.0f steps are more than a plan holds",
                c->train.steps > 0 ? "steps" : "epochs", steps);
        return pm_hint(e, "this task's %d rows allow %d epochs of %d steps", n, INT32_MAX / 4 / n, an_epoch);
    }
    *n_steps = (int)steps;
    *epochs = (*n_steps + an_epoch - 1) / an_epoch;
    return PM_OK;
}

pm_status pm_plan_make(const pm_config *c, int n, pm_plan *p, pm_err *e) {
    memset(p, 0, sizeof *p);
    if (n <= 0) return pm_fail(e, PM_EUSAGE, "task %s: the training split is empty", c->task);
    int64_t each = (int64_t)c->train.batch * c->train.grad_accum;
    int an_epoch = (int)((n + each - 1) / each), epochs = 0;
    pm_status rc = count_steps(c, n, an_epoch, &p->n_steps, &epochs, e);
    if (rc) return rc;
    p->order = malloc(((size_t)epochs * (size_t)n + 1) * sizeof *p->order);
    p->first = malloc(((size_t)p->n_steps + 1) * sizeof *p->first);
    p->count = malloc(((size_t)p->n_steps + 1) * sizeof *p->count);
    PM_ASSERT(p->order && p->first && p->count, "out of memory: a plan of %d steps", p->n_steps);
    pm_rng g = pm_rng_make((uint64_t)c->seed, PLAN_STREAM);
    for (int ep = 0; ep < epochs; ep++) {
        int32_t *o = p->order + (int64_t)ep * n;
        for (int i = 0; i < n; i++) o[i] = i;
        if (c->train.shuffle) pm_rng_shuffle(&g, o, n);
    }
    for (int i = 0; i < p->n_steps; i++) {
        int64_t in_epoch = (int64_t)(i % an_epoch) * each, left = n - in_epoch;
        p->first[i] = (int32_t)((int64_t)(i / an_epoch) * n + in_epoch);
        p->count[i] = (int32_t)(left < each ? left : each);
    }
    return PM_OK;
}

/* ---- step ---- */

typedef struct trainer {
    pm_session *s;
    const pm_config *c;
    const pm_split *data;
    const pm_plan *plan;
    pm_optim optim;
} trainer;

static pm_optim optim_of(const pm_config *c, int n_steps) {
    int warmup = c->optim.warmup_steps ? c->optim.warmup_steps : (int)ceil(c->optim.warmup_frac * n_steps);
    return (pm_optim){.lr = pm_config_lr(c),
                      .weight_decay = c->optim.weight_decay,
                      .beta1 = c->optim.beta1,
                      .beta2 = c->optim.beta2,
                      .eps = c->optim.eps,
                      .clip = c->optim.clip,
                      .schedule = (pm_schedule)c->optim.schedule,
                      .warmup_steps = warmup,
                      .n_steps = n_steps};
}

static int64_t labels_in(const pm_example *ex) {
    int64_t n = 0;
    for (int i = 1; i < ex->n; i++) n += ex->labels[i] != -100;
    return n;
}

static const pm_example *planned(const trainer *t, int step, int i) {
    return &t->data->ex[t->plan->order[t->plan->first[step] + i]];
}

/* Forward and backward of rows [lo, hi) of a step; returns its share of the loss. */
static double micro_batch(trainer *t, int step, int lo, int hi, int64_t labels) {
    pm_session *s = t->s;
    pm_batch_clear(&s->batch);
    s->tape.step =
        (uint64_t)t->plan->first[step] + (uint64_t)lo; /* dropout: another mask for every micro-batch */
    for (int i = lo; i < hi; i++) pm_batch_add_example(&s->batch, planned(t, step, i));
    if (!s->batch.n_scored) return 0;
    pm_tensor *h = pm_session_forward(s, &s->batch, true, true);
    pm_tensor *loss = pm_lm_loss(&s->tape, h, s->model->head, s->batch.target, (real)labels);
    double value = (double)loss->data[0];
    pm_backward(&s->tape, loss);
    return value;
}

static pm_status one_step(trainer *t, int step, pm_step *out, pm_err *e) {
    double start = pm_now_s();
    int rows = t->plan->count[step], batch = t->c->train.batch;
    *out = (pm_step){.step = step, .lr = pm_lr_at(&t->optim, step)};
    for (int i = 0; i < rows; i++) {
        out->tokens += planned(t, step, i)->n;
        out->label_tokens += labels_in(planned(t, step, i));
    }
    if (!out->label_tokens) {
        pm_fail(e, PM_EFORMAT, "step %d: none of its %lld tokens is scored", step, (long long)out->tokens);
        return pm_hint(e, "raise train.max_len: answers were cut off, or check the labels");
    }
    pm_zero_grad(&t->s->run.params);
    for (int lo = 0; lo < rows; lo += batch)
        out->loss += micro_batch(t, step, lo, lo + batch < rows ? lo + batch : rows, out->label_tokens);
    out->grad_norm = pm_clip_grad(&t->s->run.params, t->optim.clip);
    if (isfinite(out->loss) && isfinite(out->grad_norm)) {
        pm_adamw_step(&t->s->run.params, &t->optim, step, out->lr);
        if (t->s->method->after_step)
            t->s->method->after_step(&t->s->run, t->s->state, step, t->plan->n_steps);
    }
    out->wall_s = pm_now_s() - start;
    return PM_OK;
}

pm_status pm_train(pm_session *s, const pm_config *c, const pm_split *train, const pm_plan *plan,
                   pm_step_fn fn, void *ctx, pm_err *e) {
    trainer t = {.s = s, .c = c, .data = train, .plan = plan, .optim = optim_of(c, plan->n_steps)};
    pm_optim_init(&s->run.params);
    for (int i = 0; i < plan->n_steps; i++) {
        pm_step step;
        pm_status rc = one_step(&t, i, &step, e);
        if (!rc) rc = fn(ctx, &step, e);
        if (rc) return rc;
        if (isfinite(step.loss) && isfinite(step.grad_norm)) continue;
        pm_fail(e, PM_EDIVERGED, "step %d: loss %g, gradient norm %g", i, step.loss, step.grad_norm);
        return pm_hint(e, "lower optim.lr (%g) or set optim.clip", t.optim.lr);
    }
    return PM_OK;
}
