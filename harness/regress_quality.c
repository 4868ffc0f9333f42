/* regress_quality.c - the second tier: did the answers get worse? Each configuration on the items that both runs answered, then all
 * configurations together.
 *
 * One seed: McNemar's exact test on the items of which only one run is right. Several seeds, or items that come in clusters: of every item (or
 * cluster) the sum of head less base, and the test that flips its sign, so that what several seeds or questions say of one thing
 * counts once. Holm over the configurations, at 1%.
 * Where scores are no right and wrong (nll), there is no test of one configuration; the panel and its residuals have them.
 */
#include "outcomes.h"
#include "regress_recorded.h"
#include "report_data.h"
#include "stats_family.h"
#include "sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double level = 0.01;

typedef struct config { /* one configuration on one task: its pairs, a seed each */
    const char *name;
    const pm_run_pair **pair;
    int n;
    double base, head;                   /* mean score over seeds */
    int64_t items, only_base, only_head; /* over seeds */
    bool clustered;
    double p, p_holm; /* NAN: not tested */
} config;

/* ---- items of one pair --------------------------------------------------------------------------------------------------- */

typedef struct readers {
    pm_outcome_reader *of[2];
} readers;

typedef struct units {
    double *d;
    int64_t cap;
} units;

static double *unit_of(units *u, int64_t i) {
    if (i >= u->cap) {
        int64_t cap = 2 * i + 256;
        u->d = pm_xrealloc(u->d, (size_t)cap * sizeof *u->d);
        memset(u->d + u->cap, 0, (size_t)(cap - u->cap) * sizeof *u->d);
        u->cap = cap;
    }
    return &u->d[i];
}

/* The k-th item of equal ids goes with the k-th. d[unit] += head less base; a unit is what the item is about, or the item. */
static void add_items(const pm_outcomes *a, const pm_outcomes *b, config *c, units *u) {
    int64_t item = 0;
    for (int64_t i = 0, j = 0; i < a->n && j < b->n;) {
        int order = strcmp(a->id[i], b->id[j]);
        if (order == 0 && a->correct[i] >= 0 && b->correct[j] >= 0) {
            int64_t about = a->cluster ? a->cluster[i] : b->cluster ? b->cluster[j] : item;
            *unit_of(u, about) += b->correct[j] - a->correct[i];
            item++;
            c->only_base += a->correct[i] > b->correct[j];
            c->only_head += a->correct[i] < b->correct[j];
        }
        i += order <= 0;
        j += order >= 0;
    }
    c->items += item;
    c->clustered |= a->cluster || b->cluster;
}

static pm_status read_pair(readers *r, const pm_run_pair *p, config *c, units *u, pm_err *e) {
    pm_outcomes a, b;
    pm_status x = pm_outcomes_read(r->of[0], p->base->id, p->base->split, &a, e);
    if (x == PM_OK) x = pm_outcomes_read(r->of[1], p->head->id, p->head->split, &b, e);
    if (x == PM_OK) add_items(&a, &b, c, u);
    return x;
}

/* ---- one configuration --------------------------------------------------------------------------------------------------- */

/* Wants the differences in front of the zeros, which say nothing. */
static int drop_zeros(double *d, int64_t n) {
    int left = 0;
    for (int64_t i = 0; i < n; i++)
        if (d[i] != 0) d[left++] = d[i];
    return left;
}

static pm_status test_config(readers *r, config *c, pm_err *e) {
    units u = {0};
    pm_status x = PM_OK;
    c->p = c->p_holm = (double)NAN;
    for (int i = 0; i < c->n && x == PM_OK; i++) {
        c->base += c->pair[i]->base->score / c->n;
        c->head += c->pair[i]->head->score / c->n;
        if (pm_metric_is_share(c->pair[i]->head->metric)) x = read_pair(r, c->pair[i], c, &u, e);
    }
    if (x == PM_OK && c->items) {
        bool exact = c->n == 1 && !c->clustered;
        c->p = exact ? pm_mcnemar(c->only_base, c->only_head) : pm_sign_flip(u.d, drop_zeros(u.d, u.cap), 0);
    }
    free(u.d);
    return x;
}

/* ---- which configurations ------------------------------------------------------------------------------------------------ */

/* Both ended well and were scored alike. */
static bool is_scored(const pm_run_pair *p) {
    const pm_recorded *a = p->base, *b = p->head;
    return strcmp(a->status, "ok") == 0 && strcmp(b->status, "ok") == 0 && isfinite(a->score) &&
           isfinite(b->score) && strcmp(a->split, b->split) == 0 && strcmp(a->metric, b->metric) == 0 &&
           a->version == b->version;
}

static const char *name_of(const pm_recorded *r, pm_arena *keep) {
    const char *seed = strstr(r->name, " seed ");
    return seed ? pm_arena_printf(keep, "%.*s", (int)(seed - r->name), r->name) : r->name;
}

static config *list_configs(const pm_pairing *pairs, pm_arena *keep, int *n) {
    config *list = pm_arena_zalloc(keep, ((size_t)pairs->n + 1) * sizeof *list, PM_MEM_WORKSPACE);
    *n = 0;
    for (int i = 0; i < pairs->n; i++) {
        const pm_run_pair *p = &pairs->pair[i];
        int k = 0;
        if (!is_scored(p)) continue;
        while (k < *n && !pm_same_config(list[k].pair[0]->head, p->head)) k++;
        if (k == *n) {
            list[k].pair = pm_arena_zalloc(keep, (size_t)pairs->n * sizeof(void *), PM_MEM_WORKSPACE);
            list[k].name = name_of(p->head, keep);
            ++*n;
        }
        list[k].pair[list[k].n++] = p;
    }
    return list;
}

/* Where no item changed no outcome of the test could be small, so that configuration is none of the family (Tarone 1990): a fault in one method is
 * not hidden by the number of the others. Which ones changed says nothing about the direction, which is what is tested. */
static void adjust(config *list, int n, pm_arena *keep) {
    double *p = pm_arena_alloc(keep, ((size_t)n + 1) * sizeof *p, PM_MEM_WORKSPACE);
    for (int i = 0; i < n; i++) p[i] = list[i].only_base + list[i].only_head ? list[i].p : (double)NAN;
    pm_holm(p, n, keep, p);
    for (int i = 0; i < n; i++) list[i].p_holm = isfinite(p[i]) ? p[i] : list[i].p;
}

/* ---- what is said -------------------------------------------------------------------------------------------------------- */

static void add_table(pm_regress *g, const config *list, int n) {
    enum { NAME, METRIC, SEEDS, ITEMS, BASE, HEAD, LOST, WON, P, HOLM };
    static const pm_column column[] = {
        {"configuration", "configuration", NULL, NULL, PM_COL_TEXT, 0, 0},
        {"metric", "metric", NULL, NULL, PM_COL_TEXT, 0, 0},
        {"seeds", "seeds", NULL, NULL, PM_COL_INTEGER, 0, 0},
        {"items", "items", NULL, "that both answered, over all seeds", PM_COL_INTEGER, 0, 0},
        {"base", "base", NULL, NULL, PM_COL_REAL, 4, 0},
        {"head", "head", NULL, NULL, PM_COL_REAL, 4, 0},
        {"lost", "lost", NULL, "items that only base has right", PM_COL_INTEGER, 0, 0},
        {"won", "won", NULL, "items that only head has right", PM_COL_INTEGER, 0, 0},
        {"p", "p", NULL,
         "two-sided: McNemar's exact test; where items come in clusters or there are several seeds, signs of "
         "their sums flipped",
         PM_COL_REAL, -2, 0},
        {"p_holm", "p (Holm)", NULL,
         "adjusted for the number of configurations with changed items; at 1% or less it decides",
         PM_COL_REAL, -2, 0},
    };
    pm_table *t = pm_report_add(g->report, "quality", "Answers to the same items");
    pm_add_columns(t, column, sizeof column / sizeof *column);
    for (int i = 0; i < n; i++) {
        const config *c = &list[i];
        int row = pm_table_add_row(t);
        pm_cell_print(pm_table_at(t, row, NAME), "%s", c->name);
        pm_cell_print(pm_table_at(t, row, METRIC), "%s", c->pair[0]->head->metric);
        const struct {
            int column;
            double value;
        } cell[] = {{SEEDS, c->n}, {BASE, c->base}, {HEAD, c->head}, {P, c->p}, {HOLM, c->p_holm}};
        for (size_t k = 0; k < sizeof cell / sizeof *cell; k++)
            pm_table_at(t, row, cell[k].column)->value = cell[k].value;
        if (!c->items) continue;
        pm_table_at(t, row, ITEMS)->value = (double)c->items;
        pm_table_at(t, row, LOST)->value = (double)c->only_base;
        pm_table_at(t, row, WON)->value = (double)c->only_head;
    }
}

static void add_case(pm_regress *g, const config *c) {
    bool tested = isfinite(c->p), told = tested && c->p_holm <= level;
    pm_case x = {.tier = "quality",
                 .name = c->name,
                 .metric = c->pair[0]->head->metric,
                 .effect = 100 * (c->head - c->base),
                 .unit = "points",
                 .p = c->p_holm};
    if (!tested) x.effect = c->head - c->base, x.unit = "";
    x.verdict = !tested                       ? c->head == c->base ? PM_CASE_SAME : PM_CASE_UNDECIDED
                : !told                       ? PM_CASE_SAME
                : c->only_head > c->only_base ? PM_CASE_BETTER
                                              : PM_CASE_WORSE;
    x.text =
        tested
            ? pm_arena_printf(
                  g->keep, "%.4f, was %.4f: of %lld items lost %lld and won %lld, p = %.2g (Holm)", c->head,
                  c->base, (long long)c->items, (long long)c->only_base, (long long)c->only_head, c->p_holm)
            : pm_arena_printf(g->keep, "%.6g, was %.6g: no right and wrong items to test", c->head, c->base);
    pm_regress_add(g, &x);
}

/* ---- the panel ----------------------------------------------------------------------------------------------------------- */

static bool is_first_of_metric(const config *list, int i) {
    for (int k = 0; k < i; k++)
        if (strcmp(list[k].pair[0]->head->metric, list[i].pair[0]->head->metric) == 0) return false;
    return true;
}

static void add_panel(pm_regress *g, const config *list, int n, const char *metric) {
    const char **name = pm_arena_alloc(g->keep, (size_t)n * sizeof *name, PM_MEM_WORKSPACE);
    double *base = pm_arena_alloc(g->keep, (size_t)n * sizeof *base, PM_MEM_WORKSPACE);
    double *head = pm_arena_alloc(g->keep, (size_t)n * sizeof *head, PM_MEM_WORKSPACE);
    bool more_is_better = true;
    pm_panel_input in = {.metric = metric, .name = name, .base = base, .head = head};
    for (int i = 0; i < n; i++) {
        if (strcmp(list[i].pair[0]->head->metric, metric) != 0) continue;
        name[in.n] = list[i].name, base[in.n] = list[i].base, head[in.n++] = list[i].head;
    }
    pm_metric_direction(metric, &more_is_better, NULL);
    in.better = more_is_better ? 1 : -1;
    in.scale = pm_metric_is_share(metric) ? PM_PANEL_POINTS : pm_panel_scale_of(base, head, in.n);
    pm_regress_panel(g, &in);
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

pm_status pm_regress_quality(pm_regress *g, const pm_run_set *base, const pm_run_set *head,
                             const pm_pairing *pairs, pm_err *e) {
    int n;
    config *list = list_configs(pairs, g->keep, &n);
    if (!n) return PM_OK;
    readers r = {{NULL}};
    pm_status x = pm_outcome_reader_open(base->db, &r.of[0], e);
    if (x == PM_OK) x = pm_outcome_reader_open(head->db, &r.of[1], e);
    for (int i = 0; i < n && x == PM_OK; i++) x = test_config(&r, &list[i], e);
    for (int k = 0; k < 2; k++) pm_outcome_reader_close(r.of[k]);
    if (x != PM_OK) return x;
    adjust(list, n, g->keep);
    add_table(g, list, n);
    for (int i = 0; i < n; i++) add_case(g, &list[i]);
    for (int i = 0; i < n; i++)
        if (is_first_of_metric(list, i)) add_panel(g, list, n, list[i].pair[0]->head->metric);
    return PM_OK;
}
