/* report_common.c - what the tables of several kinds share: the columns that say which row it is, and where the runs came from. */
#include "report.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

void pm_add_row_columns(const pm_results *r, bool task, pm_table *t) {
    static const pm_column column[] = {{"model", "model", NULL, NULL, PM_COL_TEXT, 0, 0},
                                       {"method", "method", NULL, NULL, PM_COL_TEXT, 0, 0},
                                       {"task", "task", NULL, NULL, PM_COL_TEXT, 0, 0}};
    int from = r->several_models ? 0 : 1;
    pm_add_columns(t, column + from, (task ? 3 : 2) - from);
}

int pm_set_row_cells(const pm_results *r, const pm_fair *f, int setup, int task, pm_table *t, int row) {
    int column = 0;
    if (r->several_models) pm_cell_print(pm_table_at(t, row, column++), "%s", r->setup[setup].model);
    const char *badge = f ? pm_fair_badge(r, f, setup) : NULL;
    pm_cell *name = pm_table_at(t, row, column++);
    pm_cell_print(name, "%s", r->setup[setup].name);
    if (badge) pm_cell_note(name, "(differs: %s)", badge);
    if (task >= 0) pm_cell_print(pm_table_at(t, row, column++), "%s", r->task[task].name);
    return column;
}

pm_status pm_check_rows(const pm_report_input *in, unsigned what, pm_fair *f, pm_err *e) {
    pm_fair_check(in->r, what, f);
    return in->badge ? PM_OK : pm_fair_refuse(in->r, f, in->path, e);
}

void pm_add_badge_notes(const pm_results *r, const pm_fair *f, pm_table *t) {
    for (int i = 0; i < f->n; i++) {
        const pm_misfit *m = &f->list[i];
        pm_table_add_note(t, "Not comparable: %s on %s has %s %s, the others %s.", r->setup[m->setup].name,
                          r->task[m->task].name, m->key, m->value, m->usual);
    }
}

void pm_add_cluster_note(const pm_task_facts *f, pm_table *t) {
    if (f->cluster)
        pm_table_add_note(t,
                          "%s: its %lld items cluster in %d groups, the items of one being about one thing; "
                          "intervals and tests take the groups as drawn, not the items (cluster-robust).",
                          f->name, (long long)f->n_items, f->n_clusters);
}

void pm_add_cluster_notes(const pm_results *r, pm_table *t) {
    for (int k = 0; k < r->n_tasks; k++) pm_add_cluster_note(&r->task[k], t);
}

double pm_in_unit(const pm_task_facts *t, double x) {
    return pm_metric_is_share(t->metric) ? 100 * x : x;
}

double pm_setting(const pm_result *run, const char *key) {
    cJSON *j = cJSON_Parse(run->config);
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, key);
    double x = cJSON_IsNumber(v) ? v->valuedouble : (double)NAN;
    cJSON_Delete(j);
    return x;
}

double pm_still_needed(int64_t needed, int64_t now) {
    if (needed <= 0) return (double)NAN;
    return needed > now ? (double)(needed - now) : 0;
}

pm_status pm_nothing_measured(const pm_report_input *in, const char *what, const char *hint, pm_err *e) {
    pm_fail(e, PM_EUSAGE, "%s: nothing measured: %s", in->path, what);
    return pm_hint(e, "%s", hint);
}

void pm_add_source_note(const pm_results *r, pm_table *t) {
    if (!r->sweep[0])
        pm_table_add_note(
            t, "All runs that are ok, tuning trials apart; a row is one configuration, its runs differ in "
               "their seeds.");
    else
        pm_table_add_note(
            t,
            "Final runs of the sweep %s: settings chosen on validation, the same tuning budget for "
            "every method.",
            r->sweep);
    int imported = pm_results_imported(r);
    if (imported)
        pm_table_add_note(
            t,
            "%d row%s imported from method_comparison (Hugging Face PEFT): items are not known, "
            "so a row of one seed has no interval, and none is compared with another.",
            imported, imported == 1 ? " is" : "s are");
    if (r->left_out)
        pm_table_add_note(t, "%d other run%s of this database %s not shown.", r->left_out,
                          r->left_out == 1 ? "" : "s", r->left_out == 1 ? "is" : "are");
}
