/* regress_counters.c - the first tier: what is exact is equal, or somebody said why not.
 *
 * No threshold and no repetition: the program owns its allocator and its kernels, so one run tells. Bits of losses, and bytes that the BLAS asks
 * for, belong to a machine (CPU, compiler, BLAS) and are compared only there; all other numbers are the same everywhere.
 */
#include "regress_recorded.h"

#include <math.h>
#include <string.h>

bool pm_is_of_machine(const char *counter) {
    static const char *const name[] = {"bits", "memory_weights", "memory_workspace"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (strcmp(counter, name[i]) == 0) return true;
    return false;
}

typedef struct tally { /* of one pair */
    int equal, differ, explained, elsewhere;
} tally;

typedef struct work {
    pm_regress *g;
    const pm_counters_input *in;
    pm_table *differences; /* NULL until there is one */
    tally all;
} work;

static const char *number(const work *w, const pm_fact *f) {
    return f ? pm_arena_printf(w->g->keep, "%lld", (long long)f->value) : "none";
}

/* ---- what is said -------------------------------------------------------------------------------------------------------- */

static void add_difference(work *w, const char *name, const char *counter, const char *const value[2],
                           double change, const char *reason) {
    enum { NAME, COUNTER, BASE, HEAD, CHANGE, WHY };
    static const pm_column column[] = {
        {"configuration", "configuration", NULL, NULL, PM_COL_TEXT, 0, 0},
        {"counter", "counter", NULL, NULL, PM_COL_TEXT, 0, 0},
        {"base", "base", NULL, NULL, PM_COL_TEXT, 0, 0},
        {"head", "head", NULL, NULL, PM_COL_TEXT, 0, 0},
        {"change", "change", NULL, "head less base", PM_COL_INTEGER, 0, 0},
        {"explained", "explained", NULL, "the reason in the baseline file", PM_COL_TEXT, 0, 0},
    };
    if (!w->differences) {
        w->differences = pm_report_add(w->g->report, "differences", "Exact numbers that differ");
        pm_add_columns(w->differences, column, sizeof column / sizeof *column);
    }
    int row = pm_table_add_row(w->differences);
    pm_cell_print(pm_table_at(w->differences, row, NAME), "%s", name);
    pm_cell_print(pm_table_at(w->differences, row, COUNTER), "%s", counter);
    pm_cell_print(pm_table_at(w->differences, row, BASE), "%.12s", value[0]);
    pm_cell_print(pm_table_at(w->differences, row, HEAD), "%.12s", value[1]);
    pm_table_at(w->differences, row, CHANGE)->value = change;
    if (reason) pm_cell_print(pm_table_at(w->differences, row, WHY), "%s", reason);
}

static void add_case(work *w, const char *name, const char *counter, pm_case_verdict v, double change,
                     const char *text) {
    pm_regress_add(w->g, &(pm_case){.tier = "counters",
                                    .name = name,
                                    .metric = counter,
                                    .verdict = v,
                                    .effect = change,
                                    .unit = "",
                                    .p = (double)NAN,
                                    .text = text});
}

/* ---- one number ---------------------------------------------------------------------------------------------------------- */

static void differs(work *w, const pm_recorded *head, const char *counter, const char *const value[2],
                    double change, tally *t) {
    const char *reason =
        w->in->reviewed ? pm_baseline_reason(w->in->reviewed, head, counter, value[1]) : NULL;
    const char *text = pm_arena_printf(w->g->keep, "%.12s, was %.12s%s%s", value[1], value[0],
                                       reason ? "; explained: " : "", reason ? reason : "");
    add_difference(w, head->name, counter, value, change, reason);
    add_case(w, head->name, counter, reason ? PM_CASE_SAME : PM_CASE_WORSE, change, text);
    reason ? t->explained++ : t->differ++;
}

static void compare(work *w, const pm_run_pair *p, const char *counter, const char *const value[2],
                    double change, tally *t) {
    bool elsewhere = pm_is_of_machine(counter) && strcmp(p->base->host, p->head->host) != 0;
    if (elsewhere) {
        t->elsewhere++;
        add_case(w, p->head->name, counter, PM_CASE_UNDECIDED, (double)NAN,
                 "another machine: this number may differ there");
    } else if (strcmp(value[0], value[1]) == 0) {
        t->equal++;
        add_case(w, p->head->name, counter, PM_CASE_SAME, 0, "equal");
    } else
        differs(w, p->head, counter, value, change, t);
}

/* Both lists ascend by name. A counter that only head has is new, and nothing to hold it against; one that head lost is a difference. */
static void compare_facts(work *w, const pm_run_pair *p, tally *t) {
    const pm_recorded *a = p->base, *b = p->head;
    for (int i = 0, k = 0; i < a->n_facts || k < b->n_facts;) {
        const pm_fact *x = i < a->n_facts ? &a->fact[i] : NULL, *y = k < b->n_facts ? &b->fact[k] : NULL;
        int order = !x ? 1 : !y ? -1 : strcmp(x->name, y->name);
        if (order < 0) y = NULL;
        if (order > 0) x = NULL;
        i += x != NULL, k += y != NULL;
        const char *value[] = {number(w, x), number(w, y)};
        if (x)
            compare(w, p, x->name, value, y ? (double)(y->value - x->value) : (double)NAN, t);
        else if (y)
            add_case(w, b->name, y->name, PM_CASE_UNDECIDED, (double)NAN, "new: base does not count it");
    }
    if (*a->bits && *b->bits) compare(w, p, "bits", (const char *const[]){a->bits, b->bits}, (double)NAN, t);
}

/* ---- one pair ------------------------------------------------------------------------------------------------------------ */

static bool is_ok(const pm_recorded *r) {
    return strcmp(r->status, "ok") == 0;
}

/* Whether both ended well; if not, that is what there is to say of the pair. */
static bool ended_well(work *w, const pm_run_pair *p) {
    bool before = is_ok(p->base), now = is_ok(p->head);
    const char *text = pm_arena_printf(w->g->keep, "%s, was %s%s%.200s", p->head->status, p->base->status,
                                       *p->head->error ? ": " : "", p->head->error);
    add_case(w, p->head->name, "status",
             now      ? before ? PM_CASE_SAME : PM_CASE_BETTER
             : before ? PM_CASE_WORSE
                      : PM_CASE_UNDECIDED,
             (double)NAN, text);
    return before && now;
}

static void add_row(pm_table *t, const pm_run_pair *p, const tally *n, bool compared) {
    enum { NAME, EQUAL, DIFFER, EXPLAINED, ELSEWHERE };
    int row = pm_table_add_row(t);
    pm_cell_print(pm_table_at(t, row, NAME), "%s", p->head->name);
    if (!compared) {
        pm_cell_note(pm_table_at(t, row, NAME), "%s, was %s", p->head->status, p->base->status);
        return;
    }
    pm_table_at(t, row, EQUAL)->value = n->equal;
    pm_table_at(t, row, DIFFER)->value = n->differ;
    pm_table_at(t, row, EXPLAINED)->value = n->explained;
    pm_table_at(t, row, ELSEWHERE)->value = n->elsewhere;
}

static void add_to(tally *sum, const tally *t) {
    sum->equal += t->equal, sum->differ += t->differ;
    sum->explained += t->explained, sum->elsewhere += t->elsewhere;
}

/* ---- runs without a counterpart ------------------------------------------------------------------------------------------ */

static void add_alone(work *w, pm_table *t, const pm_recorded *r, const pm_run_set *others, const char *side,
                      pm_case_verdict v) {
    const char *why = pm_why_alone(r, others, w->g->keep);
    pm_table_add_note(t, "Only in %s: %s.", side, why);
    add_case(w, r->name, "run", v, (double)NAN,
             pm_arena_printf(w->g->keep, "only in %s: %s", side, why + strlen(r->name) + 2));
}

static void add_notes(work *w, pm_table *t) {
    const pm_counters_input *in = w->in;
    const struct {
        const char *side;
        const pm_run_set *set;
    } of[] = {{"base", in->base}, {"head", in->head}};
    for (int i = 0; i < 2; i++)
        pm_table_add_note(t, "%s: %s, %d runs.", i ? "Head" : "Base", of[i].set->name, of[i].set->n);
    for (int i = 0; i < 2; i++)
        if (of[i].set->n_dirty)
            pm_table_add_note(t,
                              "%d of the runs of %s are of a program with local changes: its commit does not "
                              "say all of it.",
                              of[i].set->n_dirty, of[i].side);
    if (w->all.elsewhere)
        pm_table_add_note(t, "Base and head ran on different machines (or compilers, or BLAS): bits of "
                             "losses and scores, and bytes that "
                             "the BLAS asks for, are not compared.");
    for (int i = 0; i < in->pairs->n_only_base; i++)
        add_alone(w, t, in->pairs->only_base[i], in->head, "base",
                  in->strict ? PM_CASE_WORSE : PM_CASE_UNDECIDED);
    for (int i = 0; i < in->pairs->n_only_head; i++)
        add_alone(w, t, in->pairs->only_head[i], in->base, "head", PM_CASE_UNDECIDED);
    const char *last = in->reviewed ? pm_baseline_last(in->reviewed, w->g->keep) : NULL;
    if (last) pm_table_add_note(t, "The baseline was last changed %s.", last);
}

void pm_regress_counters(pm_regress *g, const pm_counters_input *in) {
    static const pm_column column[] = {
        {"configuration", "configuration", NULL, NULL, PM_COL_TEXT, 0, 0},
        {"equal", "equal", NULL,
         "exact numbers: operations, products, allocations, bytes by category, "
         "parameters, and the bits of losses and scores as one",
         PM_COL_INTEGER, 0, 0},
        {"differ", "differ", NULL, NULL, PM_COL_INTEGER, 0, -1},
        {"explained", "explained", NULL, "differ, for a reason that the baseline file gives", PM_COL_INTEGER,
         0, 0},
        {"not_compared", "not compared", NULL, "belong to another machine", PM_COL_INTEGER, 0, 0},
    };
    work w = {.g = g, .in = in};
    pm_table *t = pm_report_add(g->report, "counters", "Exact numbers");
    pm_add_columns(t, column, sizeof column / sizeof *column);
    for (int i = 0; i < in->pairs->n; i++) {
        const pm_run_pair *p = &in->pairs->pair[i];
        tally n = {0};
        bool compared = ended_well(&w, p);
        if (compared) compare_facts(&w, p, &n);
        add_row(t, p, &n, compared);
        add_to(&w.all, &n);
    }
    add_notes(&w, t);
}
