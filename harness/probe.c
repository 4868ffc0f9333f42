/* probe.c - which steps to measure, and what follows from them (probe.h). */
#include "probe.h"

enum { STEPS_MOST = 60, STEPS_LEAST = 3 };
#define ENOUGH_S 1.5 /* of steps after the first */

int64_t pm_split_tokens(const pm_split *s) {
    int64_t n = 0;
    for (int i = 0; i < s->n; i++) {
        n += s->ex[i].n_choices ? 0 : s->ex[i].n;
        for (int c = 0; c < s->ex[i].n_choices; c++) n += s->ex[i].choice[c].n;
    }
    return n;
}

static int64_t step_tokens(const pm_split *d, const pm_plan *plan, int step) {
    int64_t n = 0;
    for (int i = 0; i < plan->count[step]; i++) n += d->ex[plan->order[plan->first[step] + i]].n;
    return n;
}

static void swap(int32_t *a, int i, int j) {
    int32_t x = a[i];
    a[i] = a[j];
    a[j] = x;
}

static void swap_steps(pm_plan *plan, int i, int j) {
    swap(plan->first, i, j);
    swap(plan->count, i, j);
}

void pm_probe_shorten(pm_probe *p, const pm_split *train, pm_plan *plan) {
    int largest = 0, n = plan->n_steps;
    int64_t most = 0;
    p->steps = n;
    for (int i = 0; i < n; i++) {
        int64_t tokens = step_tokens(train, plan, i);
        p->plan_tokens += tokens;
        if (tokens > most) most = tokens, largest = i;
    }
    if (n > STEPS_MOST) plan->n_steps = STEPS_MOST;
    if (n > 1) swap_steps(plan, 0, largest);
    for (int i = 1; i < plan->n_steps; i++) /* an even spread; what is swapped away is not needed again */
        swap_steps(plan, i, i + (int)((int64_t)(n - plan->n_steps) * i / plan->n_steps));
}

bool pm_probe_step(pm_probe *p, const pm_step *s) {
    if (s->step == 0) {
        p->first_s = s->wall_s;
        p->first_tokens = s->tokens;
        return false;
    }
    p->rest++;
    p->rest_s += s->wall_s;
    p->rest_tokens += s->tokens;
    return p->rest >= STEPS_LEAST && p->rest_s >= ENOUGH_S;
}

double pm_probe_train_s(const pm_probe *p) {
    double rate = p->rest_tokens ? p->rest_s / (double)p->rest_tokens : 0;
    return p->first_s + rate * (double)(p->plan_tokens - p->first_tokens);
}

/* A step reads a token forward and back: scoring takes at most half as long. */
pm_split pm_probe_items(pm_probe *p, const pm_task *task, const pm_split *whole) {
    double rate = p->rest_s > 0 ? 2 * (double)p->rest_tokens / p->rest_s : 0;
    pm_split part = *whole;
    part.n = 0;
    do part.n += pm_eval_group(task, whole, part.n);
    while (part.n < whole->n && (double)pm_split_tokens(&part) < rate * ENOUGH_S);
    p->eval_tokens = pm_split_tokens(&part);
    return part;
}
