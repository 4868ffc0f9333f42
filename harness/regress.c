/* regress.c - see regress.h. */
#include "regress.h"
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const verdict_name[] = {
    [PM_CASE_SAME] = "same",   [PM_CASE_BETTER] = "better",       [PM_CASE_WORSE] = "worse",
    [PM_CASE_APART] = "apart", [PM_CASE_UNDECIDED] = "undecided",
};

const char *pm_case_verdict_name(pm_case_verdict v) {
    return verdict_name[v];
}

pm_regress pm_regress_new(const char *title) {
    return (pm_regress){.keep = pm_arena_new("regress", 0), .report = pm_report_new(title)};
}

void pm_regress_free(pm_regress *g) {
    free(g->cases);
    pm_report_free(g->report);
    pm_arena_free(g->keep);
    *g = (pm_regress){0};
}

void pm_regress_add(pm_regress *g, const pm_case *c) {
    g->cases = pm_xrealloc(g->cases, (size_t)(g->n_cases + 1) * sizeof *g->cases);
    pm_case *to = &g->cases[g->n_cases++];
    *to = *c;
    to->tier = pm_arena_strdup(g->keep, c->tier);
    to->name = pm_arena_strdup(g->keep, c->name);
    to->metric = pm_arena_strdup(g->keep, c->metric);
    to->unit = pm_arena_strdup(g->keep, c->unit);
    to->text = pm_arena_strdup(g->keep, c->text);
}

static int count(const pm_regress *g, pm_case_verdict v) {
    int n = 0;
    for (int i = 0; i < g->n_cases; i++) n += g->cases[i].verdict == v;
    return n;
}

/* ---- the end ------------------------------------------------------------------------------------------------------------- */

static const pm_case *first_worse(const pm_regress *g) {
    for (int i = 0; i < g->n_cases; i++)
        if (g->cases[i].verdict == PM_CASE_WORSE) return &g->cases[i];
    return NULL;
}

static pm_status conclude(const pm_regress *g, pm_err *e) {
    const pm_case *worse = first_worse(g);
    int n = count(g, PM_CASE_WORSE);
    if (worse && n == 1) {
        pm_fail(e, PM_ECHECK, "regression: %s %s: %s", worse->name, worse->metric, worse->text);
        return pm_hint(e, "the table on standard output says by how much");
    }
    if (worse) {
        pm_fail(e, PM_ECHECK, "regression: %d of %d cases are worse, the first %s %s: %s", n, g->n_cases,
                worse->name, worse->metric, worse->text);
        return pm_hint(e, "the table on standard output has them all");
    }
    if (count(g, PM_CASE_UNDECIDED) < g->n_cases) return PM_OK;
    pm_fail(e, PM_EUSAGE, "nothing measured: %s", g->n_cases ? g->cases[0].text : "there are no cases");
    return pm_hint(e, "widen what --base and --head name");
}

pm_status pm_regress_finish(const pm_regress *g, const pm_format *f, const char *file, pm_err *e) {
    pm_status s = pm_report_write(g->report, f, file, e);
    return s == PM_OK ? conclude(g, e) : s;
}
