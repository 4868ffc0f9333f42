/* report_history.c - the numbers of each configuration over the commits that the database holds runs of, and the last change that stayed. */
#include "history.h"
#include "report.h"

#include <string.h>

enum { NAME, WHAT, COMMITS, LEVELS, BEFORE, LATEST, CHANGE, SINCE, WHEN };
static const pm_column column[] = {
    {"configuration", "configuration", NULL, NULL, PM_COL_TEXT, 0, 0},
    {"number", "number", NULL,
     "score; flops and memory_bytes of training, all kinds together; step_s, the median time of a training "
     "step",
     PM_COL_TEXT, 0, 0},
    {"commits", "commits", NULL, NULL, PM_COL_INTEGER, 0, 0},
    {"levels", "levels", NULL, "stretches of commits with one value (L1 Potts model)", PM_COL_INTEGER, 0, 0},
    {"before", "before", NULL, "the level before the last change", PM_COL_REAL, -6, 0},
    {"latest", "latest", NULL, "the level now; worse: than the best level before it", PM_COL_REAL, -6, 0},
    {"change", "change", "%", NULL, PM_COL_REAL, -3, 0},
    {"since", "since commit", NULL, NULL, PM_COL_TEXT, 0, 0},
    {"when", "first run", NULL, NULL, PM_COL_TEXT, 0, 0},
};

static void add_row(const pm_history *h, const pm_series *s, pm_table *t) {
    int row = pm_table_add_row(t), last = s->n_levels - 1;
    pm_cell_print(pm_table_at(t, row, NAME), "%s", s->name);
    pm_cell_print(pm_table_at(t, row, WHAT), "%s", s->what);
    pm_table_at(t, row, COMMITS)->value = s->n;
    pm_table_at(t, row, LEVELS)->value = s->n_levels;
    pm_table_at(t, row, LATEST)->value = s->level[last].value;
    if (pm_series_is_worse(s)) pm_cell_note(pm_table_at(t, row, LATEST), "worse");
    if (!last) return;
    double before = s->level[last - 1].value;
    int commit = s->commit[s->level[last].first];
    pm_table_at(t, row, BEFORE)->value = before;
    if (before != 0) pm_table_at(t, row, CHANGE)->value = 100 * (s->level[last].value / before - 1);
    pm_cell_print(pm_table_at(t, row, SINCE), "%.10s", h->commit[commit]);
    pm_cell_print(pm_table_at(t, row, WHEN), "%.16s", h->when[commit]);
}

static void fill(const pm_report_input *in, const pm_history *h, pm_report *out) {
    pm_table *t = pm_report_add(out, "history", "History");
    pm_add_columns(t, column, sizeof column / sizeof *column);
    for (int i = 0; i < h->n_series; i++) add_row(h, &h->series[i], t);
    pm_table_add_note(t,
                      "%d commits%s%s, in the order of their first runs; runs of programs with local changes "
                      "are left out. For a look: "
                      "whether a commit changed anything, `peftmeter regress` decides.",
                      h->n_commits, *in->r->sweep ? " of the sweep " : "", in->r->sweep);
    if (h->other_machines)
        pm_table_add_note(t, "Times are of the newest run's machine and build flags only.");
}

pm_status pm_report_history(const pm_report_input *in, pm_report *out, pm_err *e) {
    pm_history h;
    pm_status s = pm_history_read(in->db, *in->r->sweep ? in->r->sweep : NULL, &h, e);
    if (s == PM_OK && !h.n_series)
        s = pm_nothing_measured(in, "no configuration has runs of two commits",
                                "`peftmeter sweep PLAN.json --this-commit` adds those of another build", e);
    if (s == PM_OK) fill(in, &h, out);
    pm_history_free(&h);
    return s;
}
