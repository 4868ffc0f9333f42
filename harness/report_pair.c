/* report_pair.c - two configurations over all their seeds: difference, interval, test, and what a decision would take. */
#include "report_pair.h"
#include "report_forgetting.h"
#include "report_score.h"
#include "stats_plan.h"

#include <math.h>
#include <string.h>

enum { MEAN_A, MEAN_B, DIFFERENCE, P, SEEDS, ITEMS, DETECTABLE, MORE_SEEDS, MORE_ITEMS, VERDICT, N_COLUMNS };

static void add_columns(const pm_report_input *in, int a, int b, pm_table *t) {
    const pm_column task = {"task", "task", NULL, NULL, PM_COL_TEXT, 0, 0};
    const pm_column c[N_COLUMNS] = {
        [MEAN_A] = {"mean_a_percent", in->r->setup[a].name, NULL, NULL, PM_COL_PERCENT, 2, 1},
        [MEAN_B] = {"mean_b_percent", in->r->setup[b].name, NULL, NULL, PM_COL_PERCENT, 2, 1},
        [DIFFERENCE] = {"difference_points", "difference", "points",
                        "the first less the second, over the seeds and items that both have; 95% interval: "
                        "other seeds and other items of the same kind are allowed for",
                        PM_COL_REAL, 2, 0},
        [P] = {"p", "p", NULL, "two-sided, of no difference, adjusted for the number of tasks (Holm)",
               PM_COL_REAL, -3, 0},
        [SEEDS] = {"n_seeds", "seeds", NULL, "that both have", PM_COL_INTEGER, 0, 0},
        [ITEMS] = {"n_items", "items", NULL, "that all these runs have", PM_COL_INTEGER, 0, 0},
        [DETECTABLE] = {"detectable_points", "detectable", "points",
                        "minimum detectable effect: a true difference of that size is found with 80% power",
                        PM_COL_REAL, 2, 0},
        [MORE_SEEDS] = {"more_seeds", "more seeds", NULL,
                        "after which a difference as large as this one is found with 80% power; -: more "
                        "seeds alone do not do it",
                        PM_COL_INTEGER, 0, 0},
        [MORE_ITEMS] = {"more_items", "more items", NULL,
                        "the same with more items, in as many more groups where items cluster",
                        PM_COL_INTEGER, 0, 0},
        [VERDICT] = {"verdict", "verdict", NULL, "at 5% over all tasks together", PM_COL_TEXT, 0, 0}};
    pm_table_add_column(t, &task);
    pm_add_columns(t, c, N_COLUMNS);
}

static void fill_row(const pm_report_input *in, const pm_standings *s, int a, int b, int task,
                     const pm_method_difference *d, double p, pm_table *t) {
    const pm_results *r = in->r;
    int row = pm_table_add_row(t), at = 1;
    pm_cell_print(pm_table_at(t, row, 0), "%s", r->task[task].name);
    pm_table_at(t, row, at + MEAN_A)->value = pm_in_unit(&r->task[task], pm_standing_at(r, s, a, task)->mean);
    pm_table_at(t, row, at + MEAN_B)->value = pm_in_unit(&r->task[task], pm_standing_at(r, s, b, task)->mean);
    if (!d) {
        pm_cell_print(pm_table_at(t, row, at + VERDICT),
                      "not compared: fewer than two common seeds or items");
        return;
    }
    pm_cell *c = pm_table_at(t, row, at + DIFFERENCE);
    c->value = 100 * d->effect, c->low = 100 * d->interval.low, c->high = 100 * d->interval.high;
    pm_table_at(t, row, at + P)->value = p;
    pm_table_at(t, row, at + SEEDS)->value = d->n_seeds;
    pm_table_at(t, row, at + ITEMS)->value = (double)d->n_items;
    pm_table_at(t, row, at + DETECTABLE)->value = 100 * pm_method_detectable(d, 0.05);
    pm_table_at(t, row, at + MORE_SEEDS)->value = pm_still_needed(pm_seeds_needed(d, 0, 0.05), d->n_seeds);
    pm_table_at(t, row, at + MORE_ITEMS)->value = pm_still_needed(pm_items_needed(d, 0, 0.05), d->n_items);
    const char *better = r->setup[d->effect > 0 ? a : b].name;
    pm_cell_print(pm_table_at(t, row, at + VERDICT), p <= 0.05 ? "%s is better" : "not told apart", better);
}

typedef struct pair { /* of one task */
    int task;
    bool said;
    pm_method_difference d;
} pair;

/* The tasks on which both rows have a score, compared; refused where the rows are not comparable. */
static pm_status compare_tasks(const pm_report_input *in, int a, int b, pair *list, int *n, pm_err *e) {
    const pm_results *r = in->r;
    for (int t = 0; t < r->n_tasks; t++) {
        pm_fair f;
        if (!pm_results_at(r, a, t)->n || !pm_results_at(r, b, t)->n || !r->task[t].metric[0]) continue;
        pm_fair_pair(r, PM_FAIR_QUALITY | PM_FAIR_FORGETTING, a, b, t, &f);
        pm_status s = in->badge ? PM_OK : pm_fair_refuse(r, &f, in->path, e);
        if (s != PM_OK) return s;
        pair *p = &list[(*n)++];
        p->task = t;
        p->said = pm_compare_setups(r, a, b, t, &p->d);
    }
    return PM_OK;
}

static pm_status fill_pair(const pm_report_input *in, int a, int b, pm_report *out, pm_err *e) {
    const pm_results *r = in->r;
    pair *list = pm_arena_zalloc(r->keep, ((size_t)r->n_tasks + 1) * sizeof *list, PM_MEM_WORKSPACE);
    double *p = pm_arena_zalloc(r->keep, ((size_t)r->n_tasks + 1) * sizeof *p, PM_MEM_WORKSPACE);
    int n = 0;
    pm_status rc = compare_tasks(in, a, b, list, &n, e);
    if (rc != PM_OK) return rc;
    if (!n)
        return pm_nothing_measured(in, "the two rows share no task with a score",
                                   "`peftmeter report` shows which row was scored on what", e);
    pm_standings s = pm_standings_of(r);
    pm_table *t = pm_report_add(out, "compare", "Two configurations");
    add_columns(in, a, b, t);
    for (int i = 0; i < n; i++) p[i] = list[i].said ? list[i].d.p : (double)NAN;
    pm_holm(p, n, r->keep, p);
    for (int i = 0; i < n; i++)
        fill_row(in, &s, a, b, list[i].task, list[i].said ? &list[i].d : NULL, p[i], t);
    pm_add_cluster_notes(r, t);
    pm_add_source_note(r, t);
    pm_report_forgetting_pair(r, a, b, out);
    return PM_OK;
}

/* ---- the command --------------------------------------------------------------------------------------------------------- */

static pm_status print_pair(pm_db *d, const pm_pair_words *w, const pm_format *f, pm_err *e) {
    const pm_selection q = {.sweep = w->sweep,
                            .task = w->task,
                            .outcomes = true,
                            .commits = strchr(w->a, '@') || strchr(w->b, '@')};
    pm_results results;
    pm_report *report = pm_report_new("Two configurations");
    int a = 0, b = 0;
    pm_status s = pm_results_load(d, w->db, &q, &results, e);
    const pm_report_input in = {.db = d, .path = w->db, .r = &results, .badge = w->badge};
    if (s == PM_OK) s = pm_results_find(&results, w->db, w->a, &a, e);
    if (s == PM_OK) s = pm_results_find(&results, w->db, w->b, &b, e);
    if (s == PM_OK) s = fill_pair(&in, a, b, report, e);
    if (s == PM_OK) s = pm_report_write(report, f, NULL, e);
    pm_results_free(&results);
    pm_report_free(report);
    return s;
}

pm_status pm_compare_rows(const pm_pair_words *w, pm_err *e) {
    const pm_format *f = NULL;
    pm_db *d = NULL;
    pm_status s = pm_format_find(w->format, &f, e);
    if (s == PM_OK) s = pm_db_open_readonly(w->db, &d, e);
    if (s == PM_OK) s = print_pair(d, w, f, e);
    pm_db_close(d);
    return s;
}
