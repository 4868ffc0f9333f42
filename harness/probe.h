/* probe.h - a few steps and items of a run, done to say what the whole would take. */
#ifndef PM_PROBE_H
#define PM_PROBE_H
#include "evaluate.h"
#include "train.h"

typedef struct pm_probe {
    int steps; /* of the whole run */
    int64_t plan_tokens;
    double first_s, rest_s; /* of the steps done: the first touches every page for the first time */
    int64_t first_tokens, rest_tokens;
    int rest;               /* steps after the first */
    int64_t eval_tokens;    /* of the items that are scored here */
    int64_t data_rss_bytes; /* that reading the data took */
    bool prepared; /* something was computed that later runs find: this one took longer than they will */
} pm_probe;

/* Tokens that scoring a split (or training on it once) reads. */
int64_t pm_split_tokens(const pm_split *s);
/* Notes what the plan comes to, then cuts it down: first the step with most tokens, so that the memory of the probe is that of the run,
 * then some spread over the plan. */
void pm_probe_shorten(pm_probe *p, const pm_split *train, pm_plan *plan);
/* Notes a step; true: enough was measured. */
bool pm_probe_step(pm_probe *p, const pm_step *s);
double pm_probe_train_s(const pm_probe *p); /* of the whole plan */
/* The first items of a split, to be scored: in whole groups, as many as take about as long as the steps did. */
pm_split pm_probe_items(pm_probe *p, const pm_task *task, const pm_split *whole);
#endif
