/* regress_recorded.c - two sets of recorded runs, or one and the reviewed numbers: which tiers they are held to. */
#include "regress_recorded.h"

#include "sweep.h"
#include <string.h>

typedef struct sides {
    pm_run_set base, head;
    pm_baseline reviewed;
    bool has_reviewed;
    char suite[64]; /* ""; all runs */
    int planned;    /* final runs of the suite; 0: unknown */
} sides;

/* A plan's file, or a sweep's name. */
static pm_status read_suite(const char *suite, sides *s, pm_err *e) {
    pm_sweep plan;
    if (!suite) return PM_OK;
    snprintf(s->suite, sizeof s->suite, "%.60s", suite);
    if (!pm_path_ends(suite, ".json")) return PM_OK;
    pm_status x = pm_sweep_load(suite, &plan, e);
    if (x != PM_OK) return x;
    snprintf(s->suite, sizeof s->suite, "%s", plan.name);
    s->planned = plan.n_entries * plan.n_models * plan.n_tasks * plan.n_seeds;
    pm_sweep_free(&plan);
    return PM_OK;
}

static const char *suite_of(const sides *s) {
    return *s->suite ? s->suite : NULL;
}

static pm_status check_whole(const sides *s, const pm_recorded_words *w, pm_err *e) {
    if (s->head.n >= s->planned) return PM_OK;
    pm_fail(e, PM_EUSAGE, "nothing measured: %.200s has %d of the suite's %d runs", s->head.name, s->head.n,
            s->planned);
    return pm_hint(e, "the rest: peftmeter sweep %.100s --db FILE", w->suite);
}

static pm_status open_sides(const pm_recorded_words *w, sides *s, pm_err *e) {
    pm_status x = read_suite(w->suite, s, e);
    if (x == PM_OK && w->baseline) {
        s->has_reviewed = true;
        x = pm_baseline_read(w->baseline, w->accept != NULL, &s->reviewed, e);
    }
    if (x == PM_OK) x = pm_run_set_open(w->head, w->db, suite_of(s), &s->head, e);
    if (x == PM_OK && w->base) x = pm_run_set_open(w->base, w->db, suite_of(s), &s->base, e);
    return x == PM_OK ? check_whole(s, w, e) : x;
}

static void close_sides(sides *s) {
    pm_run_set_close(&s->base);
    pm_run_set_close(&s->head);
    if (s->has_reviewed) pm_baseline_free(&s->reviewed);
}

static pm_status no_pair(const sides *s, const pm_run_set *base, const pm_pairing *pairs, pm_arena *keep,
                         pm_err *e) {
    pm_fail(e, PM_EUSAGE, "nothing measured: no run of %.150s answers to one of %.150s", s->head.name,
            base->name);
    if (!pairs->n_only_base) return pm_hint(e, "the base has no run");
    return pm_hint(e, "%.240s", pm_why_alone(pairs->only_base[0], &s->head, keep));
}

static pm_status compare(const pm_recorded_words *w, const sides *s, pm_regress *g, pm_err *e) {
    const pm_run_set *base = w->base ? &s->base : &s->reviewed.set;
    pm_pairing pairs = pm_pair_runs(base, &s->head, g->keep);
    if (!pairs.n) return no_pair(s, base, &pairs, g->keep, e);
    const pm_counters_input in = {.base = base,
                                  .head = &s->head,
                                  .pairs = &pairs,
                                  .reviewed = s->has_reviewed ? &s->reviewed : NULL,
                                  .strict = !w->base};
    pm_regress_counters(g, &in);
    return w->base ? pm_regress_quality(g, &s->base, &s->head, &pairs, e) : PM_OK;
}

pm_status pm_regress_recorded(const pm_recorded_words *w, pm_regress *g, pm_err *e) {
    sides s = {.planned = 0};
    pm_status x = open_sides(w, &s, e);
    if (x == PM_OK) x = compare(w, &s, g, e);
    close_sides(&s);
    return x;
}

pm_status pm_regress_accept(const pm_recorded_words *w, int *n, pm_err *e) {
    sides s = {.planned = 0};
    pm_status x = open_sides(w, &s, e);
    if (x == PM_OK) x = pm_baseline_accept(&s.reviewed, &s.head, w->baseline, w->accept, n, e);
    close_sides(&s);
    return x;
}
