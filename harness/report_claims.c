/* report_claims.c - a list of claims against the data: supported, refuted or undecided, with one error rate of 5% for the whole list.
 *
 * {"claims": [{"a": "dora", "b": "lora", "task": "tiny_facts", "points": 1, "equal_parameters": 0.1, "text": "..."}]}
 */
#include "report_pair.h"
#include "report_score.h"
#include "stats_plan.h"

#include "jsonio.h"
#include <math.h>
#include <string.h>

typedef struct claim {
    const char *text, *why; /* why: it cannot be judged; NULL: it can */
    int a, b, task;
    double margin; /* a's mean exceeds b's by more than this, as a share */
    bool said;
    pm_method_difference d;
} claim;

/* ---- the file ------------------------------------------------------------------------------------------------------------ */

static pm_status bad(const char *file, int i, const char *what, pm_err *e) {
    pm_fail(e, PM_EFORMAT, "%s: claim %d: %s", file, i + 1, what);
    return pm_hint(e, "a claim is {\"a\": ROW, \"b\": ROW, \"task\": TASK, \"points\": NUMBER}: a beats b by "
                      "more than that");
}

static int find_task(const pm_results *r, const char *name) {
    for (int t = 0; t < r->n_tasks; t++)
        if (strcmp(r->task[t].name, name) == 0) return t;
    return -1;
}

static double trainable(const pm_results *r, int setup, int task) {
    const pm_place_runs *p = pm_results_at(r, setup, task);
    return p->n && p->run[0]->trainable > 0 ? (double)p->run[0]->trainable : (double)NAN;
}

/* What keeps a claim from being judged, in the arena; NULL: nothing. */
static const char *obstacle(const pm_report_input *in, const claim *c, double equal_parameters) {
    const pm_results *r = in->r;
    double na = trainable(r, c->a, c->task), nb = trainable(r, c->b, c->task);
    pm_fair f;
    pm_fair_pair(r, PM_FAIR_QUALITY, c->a, c->b, c->task, &f);
    if (!pm_results_at(r, c->a, c->task)->n || !pm_results_at(r, c->b, c->task)->n)
        return "one of the two was not measured on this task";
    if (f.n && !in->badge)
        return pm_arena_printf(r->keep, "not comparable: %s differs, %s and %s", f.list[0].key,
                               f.list[0].value, f.list[0].usual);
    if (!isnan(equal_parameters) && !(fabs(na - nb) <= equal_parameters * fmax(na, nb)))
        return pm_arena_printf(r->keep, "not at equal parameters: %.0f and %.0f", na, nb);
    return c->said ? NULL : "fewer than two common seeds or items";
}

static const char *in_words(const pm_results *r, const claim *c, const char *a, const char *b,
                            const char *task) {
    if (c->margin < 0)
        return pm_arena_printf(r->keep, "%s is not worse than %s by more than %.4g points on %s", a, b,
                               -100 * c->margin, task);
    if (c->margin > 0)
        return pm_arena_printf(r->keep, "%s beats %s by more than %.4g points on %s", a, b, 100 * c->margin,
                               task);
    return pm_arena_printf(r->keep, "%s beats %s on %s", a, b, task);
}

static pm_status read_claim(const pm_report_input *in, const cJSON *j, const char *file, int i, claim *c,
                            pm_err *e) {
    static const char *const known[] = {"a", "b", "task", "points", "equal_parameters", "text"};
    const pm_results *r = in->r;
    const char *a = pm_json_str(j, "a", NULL), *b = pm_json_str(j, "b", NULL),
               *task = pm_json_str(j, "task", NULL);
    const cJSON *points = cJSON_GetObjectItemCaseSensitive(j, "points"),
                *equal = cJSON_GetObjectItemCaseSensitive(j, "equal_parameters");
    if (!cJSON_IsObject(j)) return bad(file, i, "it is no object", e);
    pm_status s = pm_json_known(j, file, known, sizeof known / sizeof *known, e);
    if (s != PM_OK) return s;
    if (!a || !b || !task) return bad(file, i, "a, b or task is missing", e);
    if (points && !cJSON_IsNumber(points)) return bad(file, i, "points is no number", e);
    if (equal && !(cJSON_IsNumber(equal) && equal->valuedouble >= 0))
        return bad(file, i, "equal_parameters is no part like 0.1", e);
    s = pm_results_find(r, in->path, a, &c->a, e);
    if (s == PM_OK) s = pm_results_find(r, in->path, b, &c->b, e);
    if (s != PM_OK) return s;
    c->task = find_task(r, task);
    if (c->task < 0) return bad(file, i, "nothing is measured on its task", e);
    c->margin = points ? points->valuedouble / 100 : 0;
    c->said = pm_compare_setups(r, c->a, c->b, c->task, &c->d);
    c->why = obstacle(in, c, equal ? equal->valuedouble : (double)NAN);
    const char *text = pm_json_str(j, "text", NULL);
    c->text = text ? pm_arena_strdup(r->keep, text) : in_words(r, c, a, b, task);
    return PM_OK;
}

static pm_status read_claims(const pm_report_input *in, const cJSON *j, const char *file, claim **out, int *n,
                             pm_err *e) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(j, "claims"), *item;
    *n = 0;
    if (!cJSON_IsArray(list) || !cJSON_GetArraySize(list))
        return bad(file, 0, "the file holds no list \"claims\"", e);
    *out = pm_arena_zalloc(in->r->keep, (size_t)cJSON_GetArraySize(list) * sizeof **out, PM_MEM_WORKSPACE);
    pm_status s = PM_OK;
    for (item = list->child; item && s == PM_OK; item = item->next)
        s = read_claim(in, item, file, *n, &(*out)[*n], e), (*n)++;
    return s;
}

/* ---- the table ----------------------------------------------------------------------------------------------------------- */

enum { CLAIM, VERDICT, DIFFERENCE, MARGIN, P, SEEDS, MORE_SEEDS, MORE_ITEMS, WHY, N_COLUMNS };
static const pm_column columns[N_COLUMNS] = {
    [CLAIM] = {"claim", "claim", NULL, NULL, PM_COL_TEXT, 0, 0},
    [VERDICT] =
        {"verdict", "verdict", NULL,
         "supported, refuted or undecided; any false one in the whole list has a probability of at most 5%",
         PM_COL_TEXT, 0, 0},
    [DIFFERENCE] = {"difference_points", "difference", "points",
                    "the first less the second, with its 95% interval over seeds and items", PM_COL_REAL, 2,
                    0},
    [MARGIN] = {"margin_points", "claimed", "points", "more than this", PM_COL_REAL, 2, 0},
    [P] = {"p", "p", NULL,
           "two-sided, that the difference is just what is claimed, adjusted for the list (Holm)",
           PM_COL_REAL, -3, 0},
    [SEEDS] = {"n_seeds", "seeds", NULL, "that both have", PM_COL_INTEGER, 0, 0},
    [MORE_SEEDS] = {"more_seeds", "more seeds", NULL,
                    "after which a difference as large as this one would decide, with 80% power; -: decided, "
                    "or more seeds alone do not do it",
                    PM_COL_INTEGER, 0, 0},
    [MORE_ITEMS] = {"more_items", "more items", NULL, "the same with more items", PM_COL_INTEGER, 0, 0},
    [WHY] = {"why_not", "why not", NULL, "what keeps it from being judged", PM_COL_TEXT, 0, 0},
};

static void fill_row(const claim *c, pm_verdict v, double p, int n, pm_table *t) {
    int row = pm_table_add_row(t);
    pm_cell_print(pm_table_at(t, row, CLAIM), "%s", c->text);
    pm_cell_print(pm_table_at(t, row, VERDICT), "%s", pm_verdict_name(v));
    pm_table_at(t, row, MARGIN)->value = 100 * c->margin;
    if (c->why) pm_cell_print(pm_table_at(t, row, WHY), "%s", c->why);
    if (!c->said) return;
    pm_cell *d = pm_table_at(t, row, DIFFERENCE);
    d->value = 100 * c->d.effect, d->low = 100 * c->d.interval.low, d->high = 100 * c->d.interval.high;
    pm_table_at(t, row, SEEDS)->value = c->d.n_seeds;
    pm_table_at(t, row, P)->value = p;
    if (c->why || v != PM_UNDECIDED) return;
    pm_table_at(t, row, MORE_SEEDS)->value =
        pm_still_needed(pm_seeds_needed(&c->d, c->margin, 0.05 / n), c->d.n_seeds);
    pm_table_at(t, row, MORE_ITEMS)->value =
        pm_still_needed(pm_items_needed(&c->d, c->margin, 0.05 / n), c->d.n_items);
}

static void judge(const pm_results *r, const claim *c, int n, pm_table *t, int *refuted) {
    size_t k = (size_t)n;
    const pm_method_difference **d = pm_arena_zalloc(r->keep, k * sizeof(void *), PM_MEM_WORKSPACE);
    double *margin = pm_arena_zalloc(r->keep, k * sizeof *margin, PM_MEM_WORKSPACE),
           *p = pm_arena_zalloc(r->keep, k * sizeof *p, PM_MEM_WORKSPACE);
    pm_verdict *v = pm_arena_zalloc(r->keep, k * sizeof *v, PM_MEM_WORKSPACE);
    for (int i = 0; i < n; i++) d[i] = c[i].why ? NULL : &c[i].d, margin[i] = c[i].margin;
    pm_claims(d, margin, n, r->keep, v, p);
    *refuted = 0;
    for (int i = 0; i < n; i++) fill_row(&c[i], v[i], p[i], n, t), *refuted += v[i] == PM_REFUTED;
}

pm_status pm_report_claims(const pm_report_input *in, const char *file, pm_report *out, int *refuted,
                           pm_err *e) {
    cJSON *j = NULL;
    claim *list = NULL;
    int n = 0;
    pm_status s = pm_json_read(file, &j, e);
    if (s == PM_OK) s = read_claims(in, j, file, &list, &n, e);
    cJSON_Delete(j);
    if (s != PM_OK) return s;
    pm_table *t = pm_report_add(out, "claims", "Claims");
    pm_add_columns(t, columns, N_COLUMNS);
    judge(in->r, list, n, t, refuted);
    pm_add_cluster_notes(in->r, t);
    pm_add_source_note(in->r, t);
    return PM_OK;
}
