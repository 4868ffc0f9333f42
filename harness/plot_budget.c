/* plot_budget.c - what tuning is worth: the numbers of the table `budget`, as curves. */
#include "plot_draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct curves {
    const pm_table *t;
    int k, best;      /* columns */
    char **name;      /* [n] rows of the results that have a curve */
    int n, longest;   /* most trials */
    double low, high; /* of bands and curves */
} curves;

static int find_column(const pm_table *t, const char *key) {
    int i = 0;
    while (i < t->n_columns && strcmp(t->columns[i].key, key) != 0) i++;
    PM_ASSERT(i < t->n_columns, "the table %s has no column %s", t->key, key);
    return i;
}

static bool cell_says(const pm_table *t, int row, const char *key, const char *text) {
    const pm_cell *c = pm_table_at(t, row, find_column(t, key));
    return c->text && strcmp(c->text, text) == 0;
}

static bool is_row_of(const pm_plot *p, const pm_table *t, int row, int setup) {
    const pm_results *r = p->in->r;
    return cell_says(t, row, "task", r->task[p->task].name) &&
           cell_says(t, row, "method", r->setup[setup].name) &&
           (!r->several_models || cell_says(t, row, "model", r->setup[setup].model));
}

/* One block, if the row has trials. Curves stand a little beside each other, so that their bands do not hide one another. */
static void put_curve(pm_plot *p, curves *c, int setup) {
    int n = 0;
    for (int i = 0; i < c->t->n_rows; i++) {
        if (!is_row_of(p, c->t, i, setup)) continue;
        const pm_cell *best = pm_table_at(c->t, i, c->best);
        double k = pm_table_at(c->t, i, c->k)->value;
        if (!n++ && c->n) pm_plot_next(p);
        pm_plot_row(p, (const double[]){k, best->value, best->low, best->high}, 4);
        c->low = fmin(c->low, best->low), c->high = fmax(c->high, best->high);
        if (k > c->longest) c->longest = (int)k;
    }
    if (n) c->name[c->n++] = pm_plot_row_name(p, NULL, setup);
}

static void put_axes(pm_plot *p, const curves *c) {
    const pm_task_facts *t = &p->in->r->task[p->task];
    bool share = pm_metric_is_share(t->metric);
    char text[160];
    snprintf(text, sizeof text, "expected best %s %.60s%s", t->split, t->metric,
             share ? " (%)" : ", less is better");
    pm_plot_set_text(p, "axis", text);
    double room = fmax(0.05 * (c->high - c->low), share ? 0.5 : 0.01);
    pm_plot_range(p, 'x', 0.5, c->longest + 0.5);
    pm_plot_range(p, 'y', share ? fmax(c->low - room, 0) : c->low - room, c->high + room);
    pm_buf_printf(&p->data, "longest = %d\n", c->longest);
}

pm_status pm_plot_budget(pm_plot *p, pm_err *e) {
    pm_report *report = pm_report_new("");
    pm_status s = pm_report_budget(p->in, report, e);
    curves c = {.low = (double)INFINITY, .high = -(double)INFINITY};
    if (s == PM_OK) {
        c.t = report->tables[0];
        c.k = find_column(c.t, "k"), c.best = find_column(c.t, "expected_best");
        c.name = pm_xalloc((size_t)(p->end - p->first) * sizeof *c.name);
        pm_plot_begin(p, "curves");
        for (int i = p->first; i < p->end; i++) put_curve(p, &c, i);
        pm_plot_end(p);
        if (c.n) {
            p->bottom = 56;
            put_axes(p, &c);
            pm_plot_set_legend(p, c.name, c.n);
        } else
            s = pm_nothing_measured(p->in, "no tuning trial has a score",
                                    "`peftmeter sweep PLAN.json` with a search tunes", e);
    }
    for (int i = 0; i < c.n; i++) free(c.name[i]);
    free(c.name);
    pm_report_free(report);
    return s;
}
