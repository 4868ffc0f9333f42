/* regress_panel.c - the panel test as tables and cases: what every configuration did, what all did together, and who stands apart. */
#include "regress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct moved {
    const char *name;
    double base, head, change, residual, badness; /* badness: the change, more is worse */
    bool apart;
} moved;

typedef struct panel {
    const pm_panel_input *in;
    pm_panel test;
    moved *row;               /* [n], the worst change first */
    const char *unit, *after; /* as a column has it, NULL: none; as it stands behind a number */
} panel;

static const char *const unit_name[] = {
    [PM_PANEL_POINTS] = "points", [PM_PANEL_PERCENT] = "%", [PM_PANEL_PLAIN] = NULL};

static const pm_case_verdict case_verdict[] = {[PM_PANEL_FEW] = PM_CASE_UNDECIDED,
                                               [PM_PANEL_NONE] = PM_CASE_SAME,
                                               [PM_PANEL_WORSE] = PM_CASE_WORSE,
                                               [PM_PANEL_BETTER] = PM_CASE_BETTER};

/* ---- the numbers --------------------------------------------------------------------------------------------------------- */

static int worst_first(const void *x, const void *y) {
    const moved *a = x, *b = y;
    int by_change = (a->badness < b->badness) - (a->badness > b->badness);
    return by_change ? by_change : strcmp(a->name, b->name);
}

static panel test_panel(const pm_panel_input *in, pm_arena *keep) {
    size_t n = (size_t)in->n;
    double *d = pm_arena_alloc(keep, n * sizeof *d, PM_MEM_WORKSPACE),
           *residual = pm_arena_alloc(keep, n * sizeof *d, PM_MEM_WORKSPACE);
    panel p = {.in = in, .unit = unit_name[in->scale]};
    p.after = p.unit ? pm_arena_printf(keep, " %s", p.unit) : "";
    p.row = pm_arena_alloc(keep, n * sizeof *p.row, PM_MEM_WORKSPACE);
    pm_panel_differences(in->scale, in->base, in->head, in->n, d);
    double floor = pm_panel_floor(in->scale, in->base, in->n, keep);
    p.test = pm_panel_test(d, in->n, in->better, floor, keep, residual);
    for (int i = 0; i < in->n; i++)
        p.row[i] = (moved){in->name[i],
                           in->base[i],
                           in->head[i],
                           pm_panel_shown(in->scale, d[i]),
                           pm_panel_shown(in->scale, residual[i]),
                           -in->better * d[i],
                           fabs(residual[i]) > p.test.limit};
    qsort(p.row, n, sizeof *p.row, worst_first);
    return p;
}

/* ---- tables -------------------------------------------------------------------------------------------------------------- */

static void add_configurations(const panel *p, pm_report *out) {
    enum { NAME, BASE, HEAD, CHANGE, RESIDUAL };
    const pm_column column[] = {
        {"configuration", "configuration", NULL, NULL, PM_COL_TEXT, 0, 0},
        {"base", "base", NULL, NULL, PM_COL_REAL, -5, p->in->better},
        {"head", "head", NULL, NULL, PM_COL_REAL, -5, p->in->better},
        {"change", "change", p->unit, "head less base", PM_COL_REAL, 2, p->in->better},
        {"residual", "residual", p->unit,
         "what remains of the change without the shift that all have in common", PM_COL_REAL, 2, 0},
    };
    pm_table *t = pm_report_add(out, "configurations", p->in->metric);
    pm_add_columns(t, column, sizeof column / sizeof *column);
    for (int i = 0; i < p->in->n; i++) {
        const moved *m = &p->row[i];
        int row = pm_table_add_row(t);
        pm_cell_print(pm_table_at(t, row, NAME), "%s", m->name);
        pm_table_at(t, row, BASE)->value = m->base;
        pm_table_at(t, row, HEAD)->value = m->head;
        pm_table_at(t, row, CHANGE)->value = m->change;
        pm_table_at(t, row, RESIDUAL)->value = m->residual;
        if (m->apart) pm_cell_note(pm_table_at(t, row, RESIDUAL), "apart");
    }
    if (p->in->note) pm_table_add_note(t, "%s", p->in->note);
}

static void add_panel(const panel *p, pm_report *out) {
    enum { N, DOWN, UP, EQUAL, MEAN, SHIFT, T, P_T, P_SIGN, P_WORSE, P_BETTER, LIMIT, VERDICT };
    const pm_column column[] = {
        {"n", "configurations", NULL, NULL, PM_COL_INTEGER, 0, 0},
        {"down", "down", NULL, NULL, PM_COL_INTEGER, 0, 0},
        {"up", "up", NULL, NULL, PM_COL_INTEGER, 0, 0},
        {"unchanged", "unchanged", NULL, NULL, PM_COL_INTEGER, 0, 0},
        {"mean", "mean", p->unit, "of the changes, with its 95% interval (Student's t)", PM_COL_REAL, 2,
         p->in->better},
        {"shift", "shift", p->unit, "the one that all have in common: the median change", PM_COL_REAL, 2,
         p->in->better},
        {"t", "t", NULL, "of the mean", PM_COL_REAL, 1, 0},
        {"p_t", "p (t)", NULL, "two-sided", PM_COL_REAL, -2, 0},
        {"p_sign", "p (signs)", NULL, "two-sided: down against up", PM_COL_REAL, -2, 0},
        {"p_worse", "p worse", NULL,
         "one-sided signed ranks, which decide: a shift for the worse is said at 0.8% or less", PM_COL_REAL,
         -2, 0},
        {"p_better", "p better", NULL, "the same for the better, said at 0.2% or less", PM_COL_REAL, -2, 0},
        {"limit", "limit", p->unit, "a residual beyond it stands apart", PM_COL_REAL, 2, 0},
        {"verdict", "verdict", NULL, NULL, PM_COL_TEXT, 0, 0},
    };
    const pm_panel *x = &p->test;
    pm_panel_scale s = p->in->scale;
    const double value[] = {x->n,
                            x->down,
                            x->up,
                            x->equal,
                            pm_panel_shown(s, x->mean),
                            pm_panel_shown(s, x->shift),
                            x->t,
                            x->p_t,
                            x->p_sign,
                            x->p_worse,
                            x->p_better,
                            pm_panel_shown(s, x->limit)};
    pm_table *t = pm_report_add(out, "panel", "Panel");
    pm_add_columns(t, column, sizeof column / sizeof *column);
    int row = pm_table_add_row(t);
    for (int i = 0; i <= LIMIT; i++) pm_table_at(t, row, i)->value = value[i];
    pm_cell_print(pm_table_at(t, row, VERDICT), "%s", pm_case_verdict_name(case_verdict[x->verdict]));
    pm_table_at(t, row, MEAN)->low = pm_panel_shown(s, x->interval.low);
    pm_table_at(t, row, MEAN)->high = pm_panel_shown(s, x->interval.high);
}

/* ---- words --------------------------------------------------------------------------------------------------------------- */

static const char *few_text(const pm_panel *x, pm_arena *keep) {
    return pm_arena_printf(keep, "%d configuration%s in both, and fewer than %d cannot show a shift", x->n,
                           x->n == 1 ? "" : "s", PM_PANEL_LEAST);
}

static const char *verdict_text(const panel *p, pm_arena *keep) {
    static const char *const said[] = {[PM_PANEL_NONE] = "no common shift",
                                       [PM_PANEL_WORSE] = "a common shift for the worse",
                                       [PM_PANEL_BETTER] = "a common shift for the better"};
    const pm_panel *x = &p->test;
    if (x->verdict == PM_PANEL_FEW) return few_text(x, keep);
    bool better = x->verdict == PM_PANEL_BETTER;
    return pm_arena_printf(keep, "%s: mean %+.2f%s over %d configurations, %d down, %d up (p %s %.2g)",
                           said[x->verdict], pm_panel_shown(p->in->scale, x->mean), p->after, x->n, x->down,
                           x->up, better ? "better" : "worse", better ? x->p_better : x->p_worse);
}

static void add_panel_case(pm_regress *g, const panel *p) {
    const pm_panel *x = &p->test;
    pm_case c = {.tier = "panel",
                 .name = "panel",
                 .metric = p->in->metric,
                 .verdict = case_verdict[x->verdict],
                 .effect = pm_panel_shown(p->in->scale, x->mean),
                 .unit = p->unit ? p->unit : "",
                 .p = x->verdict == PM_PANEL_BETTER ? x->p_better : x->p_worse,
                 .text = verdict_text(p, g->keep)};
    pm_regress_add(g, &c);
    pm_table_add_note(g->report->tables[g->report->n_tables - 1], "%s: %s.", p->in->metric, c.text);
}

static void add_residual_case(pm_regress *g, const panel *p, const moved *m) {
    bool few = p->test.verdict == PM_PANEL_FEW;
    pm_case c = {.tier = "residual",
                 .name = m->name,
                 .metric = p->in->metric,
                 .verdict = few        ? PM_CASE_UNDECIDED
                            : m->apart ? PM_CASE_APART
                                       : PM_CASE_SAME,
                 .effect = m->residual,
                 .unit = p->unit ? p->unit : "",
                 .p = (double)NAN};
    c.text = pm_arena_printf(g->keep, "%+.2f%s, %+.2f%s beside the common shift", m->change, p->after,
                             m->residual, p->after);
    pm_regress_add(g, &c);
    if (m->apart)
        pm_table_add_note(g->report->tables[g->report->n_tables - 1], "apart: %s: %s.", m->name, c.text);
}

void pm_regress_panel(pm_regress *g, const pm_panel_input *in) {
    panel p = test_panel(in, g->keep);
    add_configurations(&p, g->report);
    add_panel(&p, g->report);
    add_panel_case(g, &p);
    for (int i = 0; i < in->n; i++) add_residual_case(g, &p, &p.row[i]);
}
