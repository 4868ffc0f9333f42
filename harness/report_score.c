/* report_score.c - brings runs into the form that the statistics take: rows of one model on one task are one family. */
#include "report_score.h"

#include "stats_run.h"
#include "stats_sample.h"
#include "stats_table.h"
#include "text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const pm_standing unknown = {.mean = (double)NAN,
                                    .low = (double)NAN,
                                    .high = (double)NAN,
                                    .sd = (double)NAN,
                                    .least = (double)NAN,
                                    .most = (double)NAN};

const pm_standing *pm_standing_at(const pm_results *r, const pm_standings *s, int setup, int task) {
    return &s->at[setup * r->n_tasks + task];
}

/* ---- one row ------------------------------------------------------------------------------------------------------------- */

static void spread(pm_standing *x, const double *value, int n) {
    pm_summary m = pm_mean(value, n);
    x->mean = m.mean;
    x->n_seeds = n;
    x->least = x->most = n > 1 ? value[0] : (double)NAN;
    if (n < 2) return;
    x->sd = m.stderr_ * sqrt((double)n);
    for (int i = 1; i < n; i++) x->least = fmin(x->least, value[i]), x->most = fmax(x->most, value[i]);
}

static void set_interval(pm_standing *x, pm_interval i) {
    x->low = i.low, x->high = i.high;
}

/* A share of items has nothing below 0 and above 1, whatever Student's t says. */
static void set_share_interval(pm_standing *x, pm_interval i) {
    set_interval(x, (pm_interval){fmax(i.low, 0), fmin(i.high, 1)});
}

static pm_items items_of(const pm_task_facts *t) {
    return (pm_items){t->n_items, t->cluster, t->n_clusters};
}

/* The interval of a mean over seeds and items is that of its difference from a method which is never right. */
static void item_interval(const pm_results *r, pm_standing *x, const pm_place_runs *p,
                          const pm_task_facts *t) {
    const float **a = pm_xalloc((size_t)p->n * sizeof *a), **b = pm_xalloc((size_t)p->n * sizeof *b);
    float *zero = pm_xalloc((size_t)t->n_items * sizeof *zero);
    pm_items items = items_of(t);
    pm_method_difference d;
    for (int i = 0; i < p->n; i++) a[i] = p->run[i]->outcome, b[i] = zero;
    if (p->n == 1)
        set_share_interval(x, pm_mean_of_run(a[0], &items, r->keep).interval);
    else if (pm_compare_methods(a, b, p->n, &items, r->keep, &d))
        set_share_interval(x, d.interval);
    free(a), free(b), free(zero);
}

static bool all_have_outcomes(const pm_place_runs *p) {
    for (int i = 0; i < p->n; i++)
        if (!p->run[i]->outcome) return false;
    return p->n > 0;
}

/* Outcomes belong to these: the others score items otherwise. */
static bool counts_right_items(const pm_task_facts *t) {
    return t->n_items && (strcmp(t->metric, "acc") == 0 || strcmp(t->metric, "exact_match") == 0);
}

static pm_standing stand(const pm_results *r, const pm_place_runs *p, const pm_task_facts *t) {
    pm_standing x = unknown;
    double *value = pm_xalloc(((size_t)p->n + 1) * sizeof *value);
    int n = 0;
    for (int i = 0; i < p->n; i++) {
        const pm_score *s = pm_result_score(p->run[i], t);
        if (s) value[n++] = s->value;
    }
    if (n) spread(&x, value, n);
    if (n == p->n && counts_right_items(t) && all_have_outcomes(p))
        item_interval(r, &x, p, t);
    else if (n > 1)
        set_interval(&x, pm_t_interval(value, n));
    free(value);
    return x;
}

/* ---- one family ---------------------------------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* All seeds of these rows on a task, ascending; the caller frees the list. */
static int64_t *all_seeds(const pm_results *r, const int *setup, int n_setups, int task, int *n) {
    int64_t *seed = pm_xalloc(((size_t)n_setups * (size_t)r->n_runs + 1) * sizeof *seed);
    int all = 0;
    for (int i = 0; i < n_setups; i++) {
        const pm_place_runs *p = pm_results_at(r, setup[i], task);
        for (int k = 0; k < p->n; k++) seed[all++] = p->run[k]->seed;
    }
    qsort(seed, (size_t)all, sizeof *seed, by_number);
    *n = 0;
    for (int i = 0; i < all; i++)
        if (!i || seed[i] != seed[i - 1]) seed[(*n)++] = seed[i];
    return seed;
}

static const float *outcome_at(const pm_place_runs *p, int64_t seed) {
    for (int i = 0; i < p->n; i++)
        if (p->run[i]->seed == seed) return p->run[i]->outcome;
    return NULL;
}

/* Places that the row can have: behind those that are better for certain, before those that are worse. */
static void set_places(pm_standing *x, const pm_table_column *c, int n, int i) {
    if (isnan(c->mean[i])) return;
    x->first = 1, x->last = c->n_compared;
    for (int j = 0; j < n; j++) {
        if (j == i || isnan(c->mean[j])) continue;
        const pm_table_pair *p = &c->pair[i < j ? pm_pair(i, j, n) : pm_pair(j, i, n)];
        double gain = i < j ? p->effect : -p->effect;
        if (p->p > 0.05 || isnan(p->p)) continue;
        x->first += gain < 0;
        x->last -= gain > 0;
    }
}

static void compare_rows(const pm_results *r, int from, int to, int task, int n_families, pm_standings *out) {
    int n = to - from, n_seeds, *setup = pm_xalloc((size_t)n * sizeof *setup);
    for (int i = 0; i < n; i++) setup[i] = from + i;
    int64_t *seed = all_seeds(r, setup, n, task, &n_seeds);
    const float **run = pm_xalloc(((size_t)n * (size_t)n_seeds + 1) * sizeof *run);
    pm_items items = items_of(&r->task[task]);
    pm_table_column c = {0};
    for (int i = 0; i < n; i++)
        for (int s = 0; s < n_seeds; s++)
            run[i * n_seeds + s] = outcome_at(pm_results_at(r, from + i, task), seed[s]);
    pm_compare_table(run, n, n_seeds, &items, true, n_families, r->keep, &c);
    for (int i = 0; i < n; i++) {
        pm_standing *x = &out->at[(from + i) * r->n_tasks + task];
        memcpy(x->letters, c.letters[i], sizeof x->letters);
        x->best = c.best[i];
        set_places(x, &c, n, i);
        out->detectable[(from + i) * r->n_tasks + task] = c.detectable;
    }
    free(seed), free(run), free(setup);
}

bool pm_compare_setups(const pm_results *r, int a, int b, int task, pm_method_difference *out) {
    const int setup[] = {a, b};
    const pm_items items = items_of(&r->task[task]);
    int n;
    if (!counts_right_items(&r->task[task])) return false;
    int64_t *seed = all_seeds(r, setup, 2, task, &n);
    const float **run = pm_xalloc((2 * (size_t)n + 1) * sizeof *run);
    for (int s = 0; s < n; s++) {
        run[s] = outcome_at(pm_results_at(r, a, task), seed[s]);
        run[n + s] = outcome_at(pm_results_at(r, b, task), seed[s]);
    }
    bool said = pm_compare_methods(run, run + n, n, &items, r->keep, out);
    free(seed), free(run);
    return said;
}

/* Rows of one model on one task; how many of those there are is what the error rate is shared by. */
static int n_families(const pm_results *r) {
    int models = 0;
    for (int i = 0; i < r->n_setups; i = pm_model_end(r, i)) models++;
    return models * r->n_tasks;
}

pm_standings pm_standings_of(const pm_results *r) {
    size_t n = (size_t)r->n_setups * (size_t)r->n_tasks;
    pm_standings s = {pm_arena_zalloc(r->keep, n * sizeof *s.at, PM_MEM_WORKSPACE),
                      pm_arena_zalloc(r->keep, n * sizeof *s.detectable, PM_MEM_WORKSPACE)};
    for (int i = 0; i < r->n_setups; i++)
        for (int t = 0; t < r->n_tasks; t++) {
            s.at[i * r->n_tasks + t] = stand(r, pm_results_at(r, i, t), &r->task[t]);
            s.detectable[i * r->n_tasks + t] = (double)NAN;
        }
    for (int i = 0, end; i < r->n_setups; i = end) {
        end = pm_model_end(r, i);
        for (int t = 0; t < r->n_tasks; t++)
            if (counts_right_items(&r->task[t])) compare_rows(r, i, end, t, n_families(r), &s);
    }
    return s;
}
