/* regress_build.c - builds two commits, lets them take turns, and says of every unit what came out (regress_build.h). */
#include "regress_build.h"
#include "cmd.h"
#include "noise.h"
#include "speed_works.h"
#include "text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_CAP = 4096 };

/* ---- what is called at all ----------------------------------------------------------------------------------------------- */

/* Nothing below what the machine's certificate has for the unit, where it has the unit. */
static void apply_certificate(pm_duel *d, const pm_noise_certificate *c) {
    for (int u = 0; u < d->n; u++) {
        const pm_noise_unit *n = pm_noise_find(c, d->unit[u].name);
        for (int look = 0; n && look < PM_SPEED_LOOKS; look++)
            d->unit[u].least[look] = fmax(PM_SPEED_LEAST, n->can.floor[look]);
    }
}

/* ---- cases --------------------------------------------------------------------------------------------------------------- */

static const char *metric_of(const pm_duel *d, const pm_speed_unit *u) {
    return u->work >= 0 && !pm_work_is_steps(&d->work[u->work]) ? "call_cpu_s" : "step_cpu_s";
}

static pm_case_verdict verdict_of(const pm_speed_unit *u) {
    const pm_speed_test *t = &u->test[PM_SPEED_FIRST];
    if (pm_speed_regressed(u)) return PM_CASE_WORSE;
    if (t->limits.high < -PM_SPEED_LEAST) return PM_CASE_BETTER;
    return t->verdict == PM_SPEED_SAME && !pm_speed_hidden(u) ? PM_CASE_SAME : PM_CASE_UNDECIDED;
}

/* What was to be exceeded at the look that decided. */
static double least_of(const pm_speed_unit *u) {
    int look = 0;
    while (look + 1 < PM_SPEED_LOOKS && pm_speed_looks[look].pairs < u->test[PM_SPEED_FIRST].pairs) look++;
    return u->least[look];
}

static const char *text_of(const pm_speed_unit *u, pm_case_verdict v, pm_arena *keep) {
    const pm_speed_test *t = &u->test[PM_SPEED_FIRST], *again = &u->test[PM_SPEED_AGAIN];
    double by = 100 * t->slowdown, low = 100 * t->limits.low, high = 100 * t->limits.high;
    if (v == PM_CASE_WORSE)
        return pm_arena_printf(keep, "slower by %.1f%% in %d pairs, and by %.1f%% in %d more", by, t->pairs,
                               100 * again->slowdown, again->pairs);
    if (v == PM_CASE_BETTER) return pm_arena_printf(keep, "faster by %.1f%% in %d pairs", -by, t->pairs);
    if (t->verdict == PM_SPEED_SLOWER)
        return pm_arena_printf(keep, "slower by %.1f%% in %d pairs, not confirmed: %.1f%% in %d more", by,
                               t->pairs, 100 * again->slowdown, again->pairs);
    if (pm_speed_hidden(u))
        return pm_arena_printf(keep, "slower by %.1f%% in %d pairs, and up to %.1f%% may be noise here", by,
                               t->pairs, 100 * least_of(u));
    return pm_arena_printf(keep, "between %.1f%% and %.1f%% in %d pairs", low, high, t->pairs);
}

static void add_case(const pm_duel *d, const pm_speed_unit *u, pm_regress *g) {
    pm_case_verdict v = verdict_of(u);
    const pm_case c = {.tier = "speed",
                       .name = u->name,
                       .metric = metric_of(d, u),
                       .verdict = v,
                       .effect = 100 * u->test[PM_SPEED_FIRST].slowdown,
                       .unit = "%",
                       .p = u->test[PM_SPEED_FIRST].p,
                       .text = text_of(u, v, g->keep)};
    pm_regress_add(g, &c);
}

/* A method that base lacks is new; one that head no longer does is broken. */
static void add_trouble(const pm_duel *d, int w, pm_regress *g) {
    const pm_case c = {.tier = "speed",
                       .name = d->work[w].label,
                       .metric = "step_cpu_s",
                       .verdict = d->failed[w] ? PM_CASE_WORSE : PM_CASE_UNDECIDED,
                       .effect = (double)NAN,
                       .unit = "",
                       .p = (double)NAN,
                       .text = d->trouble[w].msg};
    pm_regress_add(g, &c);
}

/* ---- the table ----------------------------------------------------------------------------------------------------------- */

static void add_row(const pm_duel *d, const pm_speed_unit *u, pm_table *t) {
    enum { NAME, WHAT, BASE, SLOWER, LOW, HIGH, LEAST, PAIRS, P, AGAIN };
    const pm_speed_test *x = &u->test[PM_SPEED_FIRST], *again = &u->test[PM_SPEED_AGAIN];
    int row = pm_table_add_row(t);
    pm_cell_print(pm_table_at(t, row, NAME), "%s", u->name);
    pm_cell_print(pm_table_at(t, row, WHAT), "%s", strcmp(metric_of(d, u), "step_cpu_s") ? "kernel" : "step");
    const struct {
        int column;
        double value;
    } cell[] = {{BASE, 1e6 * u->base_s},
                {SLOWER, 100 * x->slowdown},
                {LOW, 100 * x->limits.low},
                {HIGH, 100 * x->limits.high},
                {LEAST, 100 * u->least[PM_SPEED_LOOKS - 1]},
                {PAIRS, x->pairs},
                {P, x->p},
                {AGAIN, again->pairs ? 100 * again->slowdown : (double)NAN}};
    for (size_t i = 0; i < sizeof cell / sizeof *cell; i++)
        pm_table_at(t, row, cell[i].column)->value = cell[i].value;
    if (pm_speed_regressed(u)) pm_cell_note(pm_table_at(t, row, SLOWER), "slower");
    if (pm_speed_hidden(u)) pm_cell_note(pm_table_at(t, row, SLOWER), "may be noise");
}

static void add_notes(const pm_duel *d, const pm_noise_certificate *c, pm_table *t) {
    const int last = PM_SPEED_LOOKS - 1;
    pm_table_add_note(t, "base %.12s, head %.12s; one thread, CPU time, processes of both in turns",
                      d->build[0]->commit, d->build[1]->commit);
    if (c->n)
        pm_table_add_note(
            t,
            "noise certificate of %s: with 30 pairs a slowdown of %.1f%% of any step and of %.1f%% of any "
            "kernel is found in 9 of 10 tries",
            c->measured_at, 100 * pm_noise_of(c, true, last).found, 100 * pm_noise_of(c, false, last).found);
    else
        pm_table_add_note(
            t, "no noise certificate: peftmeter doctor --noise says what can be seen on this machine");
}

static void add_table(const pm_duel *d, const pm_noise_certificate *c, pm_report *out) {
    static const pm_column column[] = {
        {"unit", "unit", NULL, NULL, PM_COL_TEXT, 0, 0},
        {"what", "what", NULL, NULL, PM_COL_TEXT, 0, 0},
        {"base_us", "base", "us", "CPU time of a call or a step", PM_COL_REAL, -4, 0},
        {"slower", "slower", "%", "head against base; below 0 it is faster", PM_COL_REAL, 1, -1},
        {"low", "low", "%", "95% interval", PM_COL_REAL, 1, 0},
        {"high", "high", "%", NULL, PM_COL_REAL, 1, 0},
        {"least", "least", "%", "what is called slower must be above this", PM_COL_REAL, 1, 0},
        {"pairs", "pairs", NULL, "of processes", PM_COL_INTEGER, 0, 0},
        {"p", "p", NULL, "exact one-sided signed-rank test", PM_COL_REAL, -2, 0},
        {"again", "again", "%", "in a second batch, only where the first called it slower", PM_COL_REAL, 1,
         -1},
    };
    pm_table *t = pm_report_add(out, "speed", "CPU time of kernels and training steps, both builds in turns");
    pm_add_columns(t, column, sizeof column / sizeof *column);
    for (int u = 0; u < d->n; u++) add_row(d, &d->unit[u], t);
    add_notes(d, c, t);
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

static pm_status compare(const pm_build build[2], const pm_works *w, pm_regress *g, pm_err *e) {
    pm_noise_certificate *c = pm_xalloc(sizeof *c);
    pm_duel d;
    pm_noise_load(c);
    pm_status rc = pm_duel_open(&build[0], &build[1], w->work, w->n, g->keep, &d, e);
    if (!rc) {
        apply_certificate(&d, c);
        rc = pm_duel_run(&d, e);
    }
    for (int i = 0; i < w->n && !rc; i++)
        if (d.trouble[i].code) add_trouble(&d, i, g);
    for (int u = 0; u < d.n && !rc; u++) add_case(&d, &d.unit[u], g);
    if (!rc) add_table(&d, c, g->report);
    free(c);
    return rc;
}

static pm_status load_works(const pm_build_words *w, const pm_build *head, pm_works *out, pm_err *e) {
    char path[PATH_CAP];
    pm_status rc = pm_path_join(path, sizeof path, head->root, "results/suite.json", e);
    return rc ? rc : pm_works_load(w->suite ? w->suite : path, out, e);
}

pm_status pm_regress_build(const pm_build_words *w, pm_regress *g, pm_err *e) {
    const char *const ref[] = {w->base, w->head};
    pm_build *build = pm_xalloc(2 * sizeof *build);
    pm_works works = {.keep = NULL};
    pm_status rc = PM_OK;
    pm_catch_interrupts();
    for (int i = 0; i < 2 && !rc; i++) rc = pm_build_commit(ref[i], &build[i], e);
    if (!rc) rc = load_works(w, &build[1], &works, e);
    if (!rc) rc = compare(build, &works, g, e);
    pm_works_free(&works);
    free(build);
    return rc;
}
