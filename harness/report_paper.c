/* report_paper.c - methods by tasks, as a paper prints them: mean and interval, tie groups instead of a bold maximum, what was trained.
 *
 * Why letters: the largest mean of a column is seldom known to be the best method; letters say which rows the data tell apart.
 */
#include "report.h"
#include "report_forgetting.h"
#include "report_score.h"

#include <math.h>
#include <string.h>

enum { TRAINED, OF_BASE, OF_TOTAL, N_COUNTS };

static void add_score_column(pm_table *table, const pm_task_facts *t) {
    bool share = pm_metric_is_share(t->metric);
    pm_buf key = {0}, title = {0};
    pm_buf_printf(&key, "%s_%s%s", t->name, *t->metric ? t->metric : "score", share ? "_percent" : "");
    pm_buf_printf(&title, "%s %s", t->name, t->metric);
    const pm_column c = {.key = key.p,
                         .title = title.p,
                         .kind = share ? PM_COL_PERCENT : PM_COL_REAL,
                         .digits = share ? 2 : 4,
                         .better = share ? 1 : -1};
    pm_table_add_column(table, &c);
    pm_buf_free(&key), pm_buf_free(&title);
}

static void add_columns(const pm_results *r, pm_table *t) {
    static const pm_column count[N_COUNTS] = {
        [TRAINED] = {"trainable_params", "trainable", NULL, "numbers that training changes", PM_COL_INTEGER,
                     0, -1},
        [OF_BASE] = {"percent_of_base", "trainable", "% of base", NULL, PM_COL_PERCENT, 3, 0},
        [OF_TOTAL] = {"percent_of_total", "trainable", "% of base + adapter", NULL, PM_COL_PERCENT, 3, 0}};
    pm_add_row_columns(r, false, t);
    pm_add_columns(t, count, N_COUNTS);
    for (int i = 0; i < r->n_tasks; i++) add_score_column(t, &r->task[i]);
    const pm_column average = {
        "average", "average", NULL, "mean of the tasks' columns, where all are measured", PM_COL_REAL, 2, 1};
    if (r->n_tasks > 1) pm_table_add_column(t, &average);
    pm_add_forgetting_columns(r, t);
}

/* Of runs that differ (a rank tuned for each task) the first; the note says up to what. */
static void set_counts(const pm_results *r, int setup, pm_table *t, int row, int column) {
    int64_t least = INT64_MAX, most = -1;
    const pm_result *first = NULL;
    for (int k = 0; k < r->n_tasks; k++) {
        const pm_place_runs *p = pm_results_at(r, setup, k);
        for (int i = 0; i < p->n; i++) {
            int64_t n = p->run[i]->trainable;
            if (n < 0) continue;
            if (n < least) least = n, first = p->run[i];
            if (n > most) most = n;
        }
    }
    if (!first) return;
    pm_table_at(t, row, column + TRAINED)->value = (double)least;
    pm_table_at(t, row, column + OF_BASE)->value = pm_result_percent_of_base(first);
    pm_table_at(t, row, column + OF_TOTAL)->value = pm_result_percent_of_total(first);
    if (most > least) pm_cell_note(pm_table_at(t, row, column + TRAINED), "to %lld", (long long)most);
}

static void set_scores(const pm_results *r, const pm_standings *s, int setup, pm_table *t, int row,
                       int column) {
    double sum = 0;
    for (int k = 0; k < r->n_tasks; k++) {
        const pm_standing *x = pm_standing_at(r, s, setup, k);
        pm_cell *c = pm_table_at(t, row, column + k);
        c->value = pm_in_unit(&r->task[k], x->mean);
        c->low = pm_in_unit(&r->task[k], x->low);
        c->high = pm_in_unit(&r->task[k], x->high);
        c->lacks_interval = isfinite(x->mean) && !pm_cell_has_interval(c);
        if (x->letters[0]) pm_cell_note(c, "%s", x->letters);
        sum += c->value;
    }
    if (r->n_tasks > 1) pm_table_at(t, row, column + r->n_tasks)->value = sum / r->n_tasks;
}

/* ---- what stands under it ------------------------------------------------------------------------------------------------ */

static pm_status test_reads(const pm_report_input *in, const char *task, const char *method, int64_t *n,
                            pm_err *e) {
    return pm_db_test_read(in->db, task, method, false, n, e);
}

static double detectable_of(const pm_results *r, const pm_standings *s, int from, int task) {
    return s->detectable[from * r->n_tasks + task];
}

static void note_task(const pm_results *r, const pm_standings *s, int task, pm_table *t) {
    const pm_task_facts *f = &r->task[task];
    for (int i = 0; i < r->n_setups; i = pm_model_end(r, i)) {
        double d = pm_in_unit(f, detectable_of(r, s, i, task));
        if (isfinite(d))
            pm_table_add_note(t,
                              "%s%s%s: minimum detectable effect %.2f points: a true difference of that size "
                              "between two methods is found with 80%% power.",
                              f->name, r->several_models ? " with " : "",
                              r->several_models ? r->setup[i].model : "", d);
    }
}

static void add_notes(const pm_report_input *in, const pm_standings *s, pm_table *t) {
    const pm_results *r = in->r;
    bool letters = false, items = false;
    for (int i = 0; i < r->n_setups * r->n_tasks; i++) letters |= s->at[i].letters[0] != 0;
    for (int k = 0; k < r->n_tasks; k++) items |= r->task[k].n_items > 0;
    pm_add_source_note(r, t);
    pm_table_add_note(t, "Mean over seeds, in brackets its 95%% interval%s.",
                      items
                          ? ": other seeds and other items of the same kind are allowed for (of seeds alone "
                            "where items are not right or wrong, of items alone where there is one seed)"
                          : " over seeds");
    if (letters)
        pm_table_add_note(
            t, "Letters are tie groups: methods of one column that share a letter are not told apart; over "
               "the whole table, any false "
               "difference has a probability of at most 5%%. Rows of one seed are not compared.");
    pm_add_cluster_notes(r, t);
    for (int k = 0; k < r->n_tasks; k++) note_task(r, s, k, t);
    pm_add_forgetting_notes(r, t);
}

/* ---- the second table: how each number came about ------------------------------------------------------------------------- */

enum { METRIC, VERSION, SPLIT, ITEMS, SEEDS, LOST, SD, LEAST, MOST, READS, SETTING, N_DETAILS };

static void add_detail_columns(pm_table *t) {
    static const pm_column c[N_DETAILS] = {
        [METRIC] = {"metric", "metric", NULL, NULL, PM_COL_TEXT, 0, 0},
        [VERSION] = {"metric_version", "version", NULL,
                     "of the metric; values of different versions are not comparable", PM_COL_INTEGER, 0, 0},
        [SPLIT] = {"split", "split", NULL, NULL, PM_COL_TEXT, 0, 0},
        [ITEMS] = {"n_items", "items", NULL, "what a run was scored on", PM_COL_INTEGER, 0, 0},
        [SEEDS] = {"n_seeds", "seeds", NULL, "runs that are ok and scored", PM_COL_INTEGER, 0, 0},
        [LOST] = {"n_lost", "lost", NULL,
                  "seeds whose run diverged, failed or was stopped: they are in no mean", PM_COL_INTEGER, 0,
                  0},
        [SD] = {"sd", "sd", NULL, "standard deviation between seeds, in the metric's unit", PM_COL_REAL, 3,
                0},
        [LEAST] = {"least", "least", NULL, "of the seeds", PM_COL_REAL, 2, 0},
        [MOST] = {"most", "most", NULL, "of the seeds", PM_COL_REAL, 2, 0},
        [READS] =
            {"test_reads", "test reads", NULL,
             "how often test results of this task and method were looked at, in all this database holds",
             PM_COL_INTEGER, 0, 0},
        [SETTING] = {"optim_lr", "learning rate", NULL, "of the final runs", PM_COL_REAL, -3, 0}};
    pm_add_columns(t, c, N_DETAILS);
}

static pm_status add_detail(const pm_report_input *in, const pm_standing *x, int setup, int task, pm_table *t,
                            pm_err *e) {
    const pm_results *r = in->r;
    const pm_task_facts *f = &r->task[task];
    const pm_place_runs *p = pm_results_at(r, setup, task);
    int row = pm_table_add_row(t), at = pm_set_row_cells(r, NULL, setup, task, t, row);
    const pm_score *score = pm_result_score(p->run[0], f);
    int64_t reads = 0;
    pm_cell_print(pm_table_at(t, row, at + METRIC), "%s", f->metric);
    pm_cell_print(pm_table_at(t, row, at + SPLIT), "%s", f->split);
    if (score) pm_table_at(t, row, at + VERSION)->value = score->version;
    if (score && score->n >= 0) pm_table_at(t, row, at + ITEMS)->value = (double)score->n;
    pm_table_at(t, row, at + SEEDS)->value = x->n_seeds;
    pm_table_at(t, row, at + LOST)->value = p->lost;
    pm_table_at(t, row, at + SD)->value = pm_in_unit(f, x->sd);
    pm_table_at(t, row, at + LEAST)->value = pm_in_unit(f, x->least);
    pm_table_at(t, row, at + MOST)->value = pm_in_unit(f, x->most);
    pm_table_at(t, row, at + SETTING)->value =
        p->run[0]->train_hash[0] ? pm_setting(p->run[0], "optim.lr") : (double)NAN;
    pm_status s = test_reads(in, f->name, r->setup[setup].method, &reads, e);
    if (!r->setup[setup].origin[0]) pm_table_at(t, row, at + READS)->value = (double)reads;
    return s;
}

static pm_status add_details(const pm_report_input *in, const pm_standings *s, pm_report *out, pm_err *e) {
    const pm_results *r = in->r;
    pm_table *t = pm_report_add(out, "paper_details", "How each number came about");
    pm_status rc = PM_OK;
    pm_add_row_columns(r, true, t);
    add_detail_columns(t);
    for (int k = 0; k < r->n_tasks; k++)
        for (int i = 0; i < r->n_setups && rc == PM_OK; i++)
            if (pm_results_at(r, i, k)->n) rc = add_detail(in, pm_standing_at(r, s, i, k), i, k, t, e);
    return rc;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

static bool any_mean(const pm_results *r, const pm_standings *s) {
    for (int i = 0; i < r->n_setups * r->n_tasks; i++)
        if (isfinite(s->at[i].mean)) return true;
    return false;
}

pm_status pm_report_paper(const pm_report_input *in, pm_report *out, pm_err *e) {
    const pm_results *r = in->r;
    pm_fair fair;
    pm_standings s = pm_standings_of(r);
    if (!any_mean(r, &s))
        return pm_nothing_measured(
            in, "no run has a score",
            "runs are scored with eval.split=validation or test; --metric names another score", e);
    pm_status rc = pm_check_rows(in, PM_FAIR_QUALITY | PM_FAIR_FORGETTING, &fair, e);
    if (rc != PM_OK) return rc;
    pm_table *t = pm_report_add(out, "paper", "Methods by tasks");
    add_columns(r, t);
    for (int i = 0; i < r->n_setups; i++) {
        int row = pm_table_add_row(t), at = pm_set_row_cells(r, &fair, i, -1, t, row);
        set_counts(r, i, t, row, at);
        set_scores(r, &s, i, t, row, at + N_COUNTS);
        pm_set_forgetting(r, i, t, row, at + N_COUNTS + r->n_tasks + (r->n_tasks > 1));
    }
    pm_add_badge_notes(r, &fair, t);
    add_notes(in, &s, t);
    return add_details(in, &s, out, e);
}
