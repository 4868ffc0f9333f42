/* report_budget.c - what tuning is worth: the best validation score to expect of k trials, and how exactly the learning rate must be met.
 *
 * Ref: Dodge et al. 2019, "Show Your Work", arXiv 1909.03004, equation 3: of n trials with scores v, the best of k drawn with replacement is at most v with
 * probability P(V <= v)^k. The band is the expectation -+ one standard deviation of that best, within the scores seen.
 */
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TRIALS_MAX = 1000 };
static const double TOLERANCE_SHARE = 0.01,
                    TOLERANCE_NATS = 0.01; /* "within 1 point", "within 0.01 nats" of the best */

typedef struct trial {
    int64_t number;
    double score, lr; /* mean over the tuning seeds; NAN: lost, no learning rate searched */
    int n;
} trial;

typedef struct trials {
    trial *at;
    int n;
} trials;

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

/* Runs of one row on one task, by trial. The caller frees `at`. */
static trials collect(const pm_results *r, int setup, int task) {
    const pm_place_runs *p = pm_results_at(r, setup, task);
    trials t = {.at = pm_xalloc(((size_t)p->n + 1) * sizeof *t.at)};
    for (int i = 0; i < p->n; i++) {
        const pm_result *run = p->run[i];
        const pm_score *s = pm_result_score(run, &r->task[task]);
        int k = 0;
        while (k < t.n && t.at[k].number != run->trial) k++;
        if (!s) continue;
        if (k == t.n) t.at[t.n++] = (trial){.number = run->trial, .lr = pm_setting(run, "optim.lr")};
        t.at[k].score += s->value;
        t.at[k].n++;
    }
    for (int k = 0; k < t.n; k++) t.at[k].score /= t.at[k].n;
    return t;
}

static int by_score(const void *a, const void *b) {
    double x = ((const trial *)a)->score, y = ((const trial *)b)->score;
    return (x > y) - (x < y);
}

static int by_rate(const void *a, const void *b) {
    double x = ((const trial *)a)->lr, y = ((const trial *)b)->lr;
    return (x > y) - (x < y);
}

/* ---- the best of k ------------------------------------------------------------------------------------------------------- */

/* sign 1: the largest of k; -1: the smallest. Scores ascend. */
static void best_of(const trials *t, int k, int sign, double *mean, double *sd) {
    double first = 0, second = 0;
    for (int i = 0; i < t->n; i++) {
        int place = sign > 0 ? i : t->n - 1 - i; /* from the worst */
        double p = pow((place + 1.0) / t->n, k) - pow((double)place / t->n, k), v = t->at[i].score;
        first += p * v;
        second += p * v * v;
    }
    *mean = first;
    *sd = sqrt(fmax(second - first * first, 0));
}

enum { K, EXPECTED, N_CURVE };

static void put_curve(const pm_results *r, int setup, int task, trials *t, int sign, pm_table *table) {
    const pm_task_facts *f = &r->task[task];
    qsort(t->at, (size_t)t->n, sizeof *t->at, by_score);
    for (int k = 1; k <= t->n && k <= TRIALS_MAX; k++) {
        double mean, sd;
        int row = pm_table_add_row(table), at = pm_set_row_cells(r, NULL, setup, task, table, row);
        best_of(t, k, sign, &mean, &sd);
        pm_cell *c = pm_table_at(table, row, at + EXPECTED);
        pm_table_at(table, row, at + K)->value = k;
        c->value = pm_in_unit(f, mean);
        c->low = pm_in_unit(f, fmax(mean - sd, t->at[0].score));
        c->high = pm_in_unit(f, fmin(mean + sd, t->at[t->n - 1].score));
    }
}

/* ---- how exactly the learning rate must be met ----------------------------------------------------------------------------- */

enum { TRIED, BEST, BEST_LR, LOW_LR, HIGH_LR, DECADES, EDGE, N_TOLERANCE };
static const pm_column tolerance_columns[N_TOLERANCE] = {
    [TRIED] = {"n_trials", "trials", NULL, "with a score", PM_COL_INTEGER, 0, 0},
    [BEST] = {"best", "best", NULL, "validation score of the best trial, in % where it is a share",
              PM_COL_REAL, 2, 0},
    [BEST_LR] = {"best_lr", "its learning rate", NULL, NULL, PM_COL_REAL, -3, 0},
    [LOW_LR] = {"low_lr", "from", NULL,
                "learning rates around the best one, without a gap, whose score is within 1 point (0.01 "
                "nats) of the best",
                PM_COL_REAL, -3, 0},
    [HIGH_LR] = {"high_lr", "to", NULL, NULL, PM_COL_REAL, -3, 0},
    [DECADES] = {"tolerance_decades", "tolerance", "decades",
                 "log10 of that range; 0: only the best rate itself, as finely as it was searched",
                 PM_COL_REAL, 2, 1},
    [EDGE] =
        {"at_edge", "edge", NULL,
         "the best rate is the lowest or the highest that was tried: a wider search may find a better one",
         PM_COL_TEXT, 0, 0},
};

static void put_tolerance(const pm_results *r, int setup, int task, trials *t, int sign, pm_table *table) {
    const pm_task_facts *f = &r->task[task];
    double within = pm_metric_is_share(f->metric) ? TOLERANCE_SHARE : TOLERANCE_NATS;
    int row = pm_table_add_row(table), at = pm_set_row_cells(r, NULL, setup, task, table, row), best = 0;
    qsort(t->at, (size_t)t->n, sizeof *t->at, by_rate);
    for (int i = 1; i < t->n; i++)
        if (sign * (t->at[i].score - t->at[best].score) > 0) best = i;
    int low = best, high = best;
    while (low > 0 && sign * (t->at[best].score - t->at[low - 1].score) <= within) low--;
    while (high + 1 < t->n && sign * (t->at[best].score - t->at[high + 1].score) <= within) high++;
    const trial *x = t->at;
    pm_table_at(table, row, at + TRIED)->value = t->n;
    pm_table_at(table, row, at + BEST)->value = pm_in_unit(f, x[best].score);
    if (!(x[best].lr > 0)) return;
    pm_table_at(table, row, at + BEST_LR)->value = x[best].lr;
    if (t->n < 2 || !(x[low].lr > 0) || x[0].lr == x[t->n - 1].lr) return;
    pm_table_at(table, row, at + LOW_LR)->value = x[low].lr;
    pm_table_at(table, row, at + HIGH_LR)->value = x[high].lr;
    pm_table_at(table, row, at + DECADES)->value = log10(x[high].lr / x[low].lr);
    if (best == 0 || best == t->n - 1)
        pm_cell_print(pm_table_at(table, row, at + EDGE), "%s", best == 0 ? "lowest" : "highest");
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

static void add_columns(const pm_results *r, pm_table *curve, pm_table *tolerance) {
    static const pm_column c[N_CURVE] = {
        [K] = {"k", "trials", NULL, "k", PM_COL_INTEGER, 0, 0},
        [EXPECTED] = {
            "expected_best", "expected best", NULL,
            "mean validation score of the best of k trials drawn from those that were done (Dodge et al. "
            "2019), in % where it is a share; in brackets -+ one standard deviation, within the scores seen",
            PM_COL_REAL, 2, 0}};
    pm_add_row_columns(r, true, curve);
    pm_add_columns(curve, c, N_CURVE);
    pm_add_row_columns(r, true, tolerance);
    pm_add_columns(tolerance, tolerance_columns, N_TOLERANCE);
}

pm_status pm_report_budget(const pm_report_input *in, pm_report *out, pm_err *e) {
    const pm_results *r = in->r;
    pm_table *curve = pm_report_add(out, "budget", "What tuning is worth: the best of k trials");
    pm_table *tolerance = pm_report_add(out, "budget_tolerance", "How exactly the learning rate must be met");
    add_columns(r, curve, tolerance);
    for (int k = 0; k < r->n_tasks; k++) {
        int sign = pm_metric_is_share(r->task[k].metric) ? 1 : -1;
        for (int i = 0; i < r->n_setups; i++) {
            trials t = collect(r, i, k);
            if (t.n) put_curve(r, i, k, &t, sign, curve), put_tolerance(r, i, k, &t, sign, tolerance);
            free(t.at);
        }
    }
    if (!curve->n_rows)
        return pm_nothing_measured(in, "no tuning trial has a score",
                                   "`peftmeter sweep PLAN.json` with a search tunes", e);
    pm_table_add_note(curve, "Tuning trials%s%s, scored on validation data.",
                      r->sweep[0] ? " of the sweep " : "", r->sweep);
    return PM_OK;
}
