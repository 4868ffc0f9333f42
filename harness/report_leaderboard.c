/* report_leaderboard.c - one table a task, best mean first, with the places that each row can have instead of a rank that means nothing. */
#include "report.h"
#include "report_score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PLACES, SCORE, GAIN, SEEDS, TRAINED, OF_BASE, N_COLUMNS };

static int add_columns(const pm_results *r, const pm_task_facts *f, pm_table *t) {
    bool share = pm_metric_is_share(f->metric);
    pm_buf key = {0};
    pm_buf_printf(&key, "%s%s", f->metric, share ? "_percent" : "");
    const pm_column c[N_COLUMNS] = {
        [PLACES] = {"places", "places", NULL,
                    "places that the row can have: behind rows that are better for certain, before rows that "
                    "are worse",
                    PM_COL_TEXT, 0, 0},
        [SCORE] = {key.p, f->metric, NULL, "mean over seeds with its 95% interval; letters are tie groups",
                   share ? PM_COL_PERCENT : PM_COL_REAL, share ? 2 : 4, share ? 1 : -1},
        [GAIN] = {"gain", "gain", share ? "points" : NULL,
                  "over the untuned model, above 0 where the row is better", PM_COL_REAL, share ? 2 : 4, 1},
        [SEEDS] = {"n_seeds", "seeds", NULL, NULL, PM_COL_INTEGER, 0, 0},
        [TRAINED] = {"trainable_params", "trainable", NULL, "numbers that training changes", PM_COL_INTEGER,
                     0, -1},
        [OF_BASE] = {"percent_of_base", "trainable", "% of base", NULL, PM_COL_PERCENT, 3, 0}};
    pm_add_row_columns(r, false, t);
    int first = pm_add_columns(t, c, N_COLUMNS);
    pm_buf_free(&key);
    return first;
}

typedef struct entry {
    int setup;
    double sign, mean;
} entry;

/* Best first; what has no mean last; equal ones in the rows' order. */
static int by_mean(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (isnan(x->mean) || isnan(y->mean)) {
        int d = isnan(x->mean) - isnan(y->mean);
        return d ? d : x->setup - y->setup;
    }
    double d = x->sign * (y->mean - x->mean);
    return d > 0 ? 1 : d < 0 ? -1 : x->setup - y->setup;
}

/* Mean of the untuned model of this row's model; NAN: not measured. */
static double untuned(const pm_results *r, const pm_standings *s, int setup, int task) {
    for (int i = 0; i < r->n_setups; i++)
        if (strcmp(r->setup[i].model, r->setup[setup].model) == 0 && strcmp(r->setup[i].method, "none") == 0)
            return pm_standing_at(r, s, i, task)->mean;
    return (double)NAN;
}

static double gain(const pm_task_facts *t, double more) {
    return pm_metric_is_share(t->metric) ? pm_in_unit(t, more) : -more;
}

static void fill_row(const pm_results *r, const pm_standings *s, const pm_fair *f, int setup, int task,
                     pm_table *t) {
    const pm_standing *x = pm_standing_at(r, s, setup, task);
    const pm_task_facts *facts = &r->task[task];
    const pm_result *run = pm_results_at(r, setup, task)->run[0];
    int row = pm_table_add_row(t), at = pm_set_row_cells(r, f, setup, -1, t, row);
    pm_cell *score = pm_table_at(t, row, at + SCORE);
    if (x->first && x->first == x->last) pm_cell_print(pm_table_at(t, row, at + PLACES), "%d", x->first);
    if (x->first < x->last) pm_cell_print(pm_table_at(t, row, at + PLACES), "%d-%d", x->first, x->last);
    score->value = pm_in_unit(facts, x->mean);
    score->low = pm_in_unit(facts, x->low);
    score->high = pm_in_unit(facts, x->high);
    score->lacks_interval = isfinite(x->mean) && !pm_cell_has_interval(score);
    if (x->letters[0]) pm_cell_note(score, "%s", x->letters);
    if (strcmp(r->setup[setup].method, "none") != 0)
        pm_table_at(t, row, at + GAIN)->value = gain(facts, x->mean - untuned(r, s, setup, task));
    pm_table_at(t, row, at + SEEDS)->value = x->n_seeds;
    if (run->trainable >= 0) pm_table_at(t, row, at + TRAINED)->value = (double)run->trainable;
    pm_table_at(t, row, at + OF_BASE)->value = pm_result_percent_of_base(run);
}

static void add_board(const pm_results *r, const pm_standings *s, const pm_fair *f, int task,
                      pm_report *out) {
    const pm_task_facts *facts = &r->task[task];
    pm_buf key = {0}, title = {0};
    pm_buf_printf(&key, "leaderboard_%s", facts->name);
    pm_buf_printf(&title, "Leaderboard of %s: %s on %s", facts->name, facts->metric, facts->split);
    pm_table *t = pm_report_add(out, key.p, title.p);
    pm_buf_free(&key), pm_buf_free(&title);
    add_columns(r, facts, t);
    entry *list = pm_xalloc(((size_t)r->n_setups + 1) * sizeof *list);
    for (int i = 0, end; i < r->n_setups; i = end) { /* rows of different models are no rivals */
        int n = 0;
        end = pm_model_end(r, i);
        for (int k = i; k < end; k++)
            if (pm_results_at(r, k, task)->n)
                list[n++] = (entry){k, pm_metric_is_share(facts->metric) ? 1 : -1,
                                    pm_standing_at(r, s, k, task)->mean};
        qsort(list, (size_t)n, sizeof *list, by_mean);
        for (int k = 0; k < n; k++) fill_row(r, s, f, list[k].setup, task, t);
        double d = pm_in_unit(facts, s->detectable[i * r->n_tasks + task]);
        if (isfinite(d))
            pm_table_add_note(t, "Minimum detectable effect%s%s: %.2f points (80%% power).",
                              r->several_models ? " with " : "", r->several_models ? r->setup[i].model : "",
                              d);
    }
    free(list);
    pm_add_cluster_note(facts, t);
    pm_add_badge_notes(r, f, t);
    pm_add_source_note(r, t);
}

pm_status pm_report_leaderboard(const pm_report_input *in, pm_report *out, pm_err *e) {
    const pm_results *r = in->r;
    pm_standings s = pm_standings_of(r);
    pm_fair fair;
    pm_status rc = pm_check_rows(in, PM_FAIR_QUALITY, &fair, e);
    for (int t = 0; t < r->n_tasks && rc == PM_OK; t++)
        if (r->task[t].metric[0]) add_board(r, &s, &fair, t, out);
    if (rc == PM_OK && !out->n_tables)
        return pm_nothing_measured(
            in, "no run has a score",
            "runs are scored with eval.split=validation or test; --metric names another score", e);
    return rc;
}
