/* sweep_plan.c - reads a plan (docs/sweep.md), checks it key by key, and makes the settings of its runs.
 *
 * {"name", "models": [..], "tasks": [..], "seeds": [..], "config": {settings of all runs},
 *  "methods": ["NAME" or {"method", "label", "config", "search"}, ..],
 *  "search": {KEY: {"grid": [..]} or {"uniform": [low, high]} or {"log_uniform": [low, high]}},
 *  "tuning": {"trials" or "flops", "metric", "seeds": [..], "draw"}, "final": test|validation, "match": {"trainable_params"},
 *  "baseline": true|false}
 */
#include "forgetting.h"
#include "jsonio.h"
#include "sweep.h"
#include "text.h"
#include "unpack.h"
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_MAX = 4096, TRIALS_MAX = 10000, FLOPS_TRIALS = 256 };

static const cJSON *get(const cJSON *o, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

__attribute__((format(printf, 2, 3))) static pm_status bad(pm_err *e, const char *fmt, ...) {
    char why[400];
    va_list a;
    va_start(a, fmt);
    vsnprintf(why, sizeof why, fmt, a);
    va_end(a);
    pm_fail(e, PM_EUSAGE, "plan: %s", why);
    return pm_hint(e, "docs/sweep.md shows a plan with every key");
}

/* A key that a plan does not know is a wrong plan, not a damaged file. */
static pm_status check_keys(const cJSON *o, const char *where, const char *const *known, int n, pm_err *e) {
    pm_status rc = pm_json_known(o, where, known, n, e);
    return rc ? e->code = PM_EUSAGE : PM_OK;
}

/* Before a message, which method of the plan it is about. */
static pm_status about(const pm_entry *x, pm_err *e) {
    char msg[sizeof e->msg];
    const char *plain = strncmp(e->msg, "plan: ", 6) == 0 ? e->msg + 6 : e->msg;
    snprintf(msg, sizeof msg, "plan: %s: %.400s", x->label, plain);
    memcpy(e->msg, msg, sizeof msg);
    return e->code;
}

/* ---- lists ---- */

static pm_status read_names(const cJSON *j, const char *key, char ***out, int *n, pm_err *e) {
    const cJSON *list = get(j, key);
    int count = cJSON_GetArraySize(list);
    if (!cJSON_IsArray(list) || count == 0) return bad(e, "\"%s\" is not a list of names", key);
    if (count > LIST_MAX) return bad(e, "\"%s\" has more than %d elements", key, LIST_MAX);
    *out = pm_xalloc((size_t)count * sizeof **out);
    for (const cJSON *v = list->child; v; v = v->next) {
        if (!cJSON_IsString(v) || !*v->valuestring)
            return bad(e, "\"%s\" is not a list of names: one is no text", key);
        for (int i = 0; i < *n; i++)
            if (strcmp((*out)[i], v->valuestring) == 0)
                return bad(e, "\"%s\" names %.64s twice", key, v->valuestring);
        (*out)[(*n)++] = pm_xstrndup(v->valuestring, strlen(v->valuestring));
    }
    return PM_OK;
}

static bool is_whole(const cJSON *v, double low, double high) {
    return cJSON_IsNumber(v) && v->valuedouble >= low && v->valuedouble <= high &&
           floor(v->valuedouble) == v->valuedouble;
}

static pm_status read_seeds(const cJSON *j, const char *where, int **out, int *n, pm_err *e) {
    const cJSON *list = get(j, "seeds");
    int count = cJSON_GetArraySize(list);
    if (!cJSON_IsArray(list) || count == 0 || count > LIST_MAX)
        return bad(e, "%s is not a list of whole numbers", where);
    *out = pm_xalloc((size_t)count * sizeof **out);
    for (const cJSON *v = list->child; v; v = v->next) {
        if (!is_whole(v, 0, 2147483647)) return bad(e, "%s: a seed is a whole number from 0", where);
        for (int i = 0; i < *n; i++)
            if ((*out)[i] == (int)v->valuedouble)
                return bad(e, "%s has %d twice", where, (int)v->valuedouble);
        (*out)[(*n)++] = (int)v->valuedouble;
    }
    return PM_OK;
}

static pm_status read_name(const cJSON *j, pm_sweep *s, pm_err *e) {
    const char *name = pm_json_str(j, "name", "");
    size_t n = strlen(name);
    bool good = n > 0 && n < sizeof s->name;
    for (size_t i = 0; i < n && good; i++)
        good = isalnum((unsigned char)name[i]) || (i && strchr("._-", name[i]));
    if (!good)
        return bad(e, "\"name\" is not a word of letters, digits, \".\", \"_\" and \"-\", at most %zu",
                   sizeof s->name - 1);
    memcpy(s->name, name, n + 1);
    return PM_OK;
}

/* ---- what is fixed ---- */

/* Keys that the sweep itself decides must not stand among the settings. */
static pm_status check_settings(const cJSON *settings, const char *where, pm_err *e) {
    static const struct {
        const char *key, *instead;
    } taken[] = {{"model", "\"models\""},
                 {"task", "\"tasks\""},
                 {"seed", "\"seeds\""},
                 {"eval.split", "\"final\": trials see validation data only"},
                 {"split", "\"final\": trials see validation data only"}};
    if (!settings) return PM_OK;
    if (!cJSON_IsObject(settings)) return bad(e, "%s is not an object of settings", where);
    const cJSON *eval = get(settings, "eval");
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        bool nested = strcmp(taken[i].key, "split") == 0;
        if (nested ? !cJSON_IsObject(eval) || !get(eval, "split") : !get(settings, taken[i].key)) continue;
        return bad(e, "%s sets %s%s, which is said by %s", where, nested ? "eval." : "", taken[i].key,
                   taken[i].instead);
    }
    const cJSON *method = get(settings, "method");
    if (cJSON_IsString(method) || get(method, "name"))
        return bad(e, "%s sets method, which is said by \"methods\"", where);
    return PM_OK;
}

/* Whether settings hold a (dotted) key, nested or not. */
static bool holds(const cJSON *settings, const char *key) {
    const cJSON *whole = get(settings, key);
    const char *dot = strchr(key, '.');
    char head[96];
    if (whole) return true;
    if (!dot) return false;
    snprintf(head, sizeof head, "%.*s", (int)(dot - key), key);
    const cJSON *inner = get(settings, head);
    return cJSON_IsObject(inner) && get(inner, dot + 1);
}

/* ---- what is searched ---- */

static const pm_field *field_of(const pm_method *m, const char *key) {
    if (strncmp(key, "method.", 7) != 0) return pm_field_find(pm_config_fields, key);
    return m->fields ? pm_field_find(m->fields, key + 7) : NULL;
}

/* The same complaint as for a setting on the command line, about a key or a value. */
static pm_status try_value(const pm_entry *x, const char *key, const char *value, pm_err *e) {
    pm_config *c = pm_config_new();
    pm_status rc = pm_config_set(c, "method", x->method->name, e);
    if (!rc) rc = pm_config_set(c, key, value, e);
    pm_config_free(c);
    return rc;
}

/* All that may be drawn is told to be wrong now, not when it is drawn. */
static pm_status try_space(const pm_entry *x, const pm_space *p, pm_err *e) {
    char end[32];
    pm_status rc = PM_OK;
    for (int i = 0; i < p->n && !rc; i++) rc = try_value(x, p->key, p->grid[i], e);
    for (int high = 0; high < 2 && p->kind != PM_GRID && !rc; high++) {
        snprintf(end, sizeof end, p->whole ? "%.0f" : "%.17g", high ? p->high : p->low);
        rc = try_value(x, p->key, end, e);
    }
    return rc;
}

static pm_status read_grid(const cJSON *list, pm_space *p, pm_err *e) {
    int n = cJSON_GetArraySize(list);
    if (!cJSON_IsArray(list) || n == 0 || n > LIST_MAX)
        return bad(e, "search %s: \"grid\" is not a list of values", p->key);
    p->grid = pm_xalloc((size_t)n * sizeof *p->grid);
    for (const cJSON *v = list->child; v; v = v->next) {
        char *text = p->grid[p->n++];
        if (!pm_config_value_text(v, text, sizeof *p->grid))
            return bad(e, "search %s: a value is no number, true, false or short text", p->key);
        for (int i = 0; i < p->n - 1; i++) /* it would be two trials of the budget, and one setting */
            if (strcmp(p->grid[i], text) == 0) return bad(e, "search %s has %.40s twice", p->key, text);
    }
    return PM_OK;
}

static pm_status read_interval(const cJSON *list, const pm_field *f, pm_space *p, pm_err *e) {
    const cJSON *a = cJSON_GetArrayItem(list, 0), *b = cJSON_GetArrayItem(list, 1);
    bool number = f->type == PM_FIELD_REAL || f->type == PM_FIELD_INT;
    if (!number) return bad(e, "search %s: is no number, so it takes \"grid\" only", p->key);
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 2 || !cJSON_IsNumber(a) || !cJSON_IsNumber(b) ||
        !(a->valuedouble < b->valuedouble))
        return bad(e, "search %s: an interval is [low, high], low below high", p->key);
    p->low = a->valuedouble, p->high = b->valuedouble, p->whole = f->type == PM_FIELD_INT;
    if (p->kind == PM_LOG_UNIFORM && p->low <= 0)
        return bad(e, "search %s: log_uniform starts above 0", p->key);
    return PM_OK;
}

static pm_status read_space(const cJSON *j, pm_entry *x, pm_err *e) {
    static const char *const kinds[] = {"grid", "uniform", "log_uniform"};
    char where[128];
    snprintf(where, sizeof where, "search %.90s", j->string);
    const pm_field *f = field_of(x->method, j->string);
    if (!f) return try_value(x, j->string, "", e);
    if (!cJSON_IsObject(j) || cJSON_GetArraySize(j) != 1)
        return bad(e,
                   "%s is not {\"grid\": [..]}, {\"uniform\": [low, high]} or {\"log_uniform\": [low, high]}",
                   where);
    pm_status rc = check_keys(j, where, kinds, 3, e);
    if (rc) return rc;
    if (x->n_spaces == PM_SPACES_MAX) return bad(e, "more than %d searched settings", PM_SPACES_MAX);
    pm_space *p = &x->space[x->n_spaces++];
    snprintf(p->key, sizeof p->key, "%s", j->string);
    while (strcmp(kinds[p->kind], j->child->string) != 0) p->kind++;
    rc = p->kind == PM_GRID ? read_grid(j->child, p, e) : read_interval(j->child, f, p, e);
    return rc ? rc : try_space(x, p, e);
}

static bool sweep_decides(const char *key) {
    static const char *const decided[] = {"model", "task", "method", "seed", "eval.split"};
    for (size_t i = 0; i < sizeof decided / sizeof *decided; i++)
        if (strcmp(decided[i], key) == 0) return true;
    return false;
}

/* The method's own search, then the plan's common one, which yields to what the method itself fixes or searches. */
static pm_status read_spaces(const cJSON *search, const cJSON *own, pm_entry *x, pm_err *e) {
    bool common = search != own;
    if (search && !cJSON_IsObject(search)) return bad(e, "\"search\" is not an object");
    pm_status rc = PM_OK;
    for (const cJSON *v = search ? search->child : NULL; v && !rc; v = v->next) {
        bool fixed = holds(x->settings, v->string);
        if (sweep_decides(v->string)) return bad(e, "search %s: the plan itself says that", v->string);
        if (fixed && !common) return bad(e, "methods: %s both fixes and searches %s", x->label, v->string);
        if (common && (fixed || get(own, v->string))) continue;
        rc = read_space(v, x, e);
    }
    return rc ? about(x, e) : PM_OK;
}

/* ---- methods ---- */

/* It names rows of tables, so it is one line, and whole. */
static pm_status read_label(const cJSON *j, const char *name, pm_entry *x, pm_err *e) {
    const cJSON *own = cJSON_IsObject(j) ? get(j, "label") : NULL;
    const char *label = own ? pm_json_str(j, "label", "") : name;
    size_t n = strlen(label);
    bool good = n > 0 && n < sizeof x->label;
    for (size_t i = 0; i < n && good; i++) good = !iscntrl((unsigned char)label[i]);
    if (!good)
        return bad(e, "\"methods\": the label of a %s is not one line of at most %zu bytes", name,
                   sizeof x->label - 1);
    memcpy(x->label, label, n + 1);
    return PM_OK;
}

static pm_status read_entry(const pm_sweep *s, const cJSON *j, pm_entry *x, pm_err *e) {
    static const char *const known[] = {"method", "label", "config", "search"};
    const char *name = cJSON_IsString(j) ? j->valuestring : pm_json_str(j, "method", "");
    pm_status rc = cJSON_IsObject(j) ? check_keys(j, "methods", known, 4, e) : PM_OK;
    if (!rc && !*name) rc = bad(e, "\"methods\": an element is neither a name nor {\"method\": NAME, ..}");
    if (!rc) rc = pm_method_need(name, &x->method, e);
    if (!rc) rc = read_label(j, name, x, e);
    if (rc) return rc;
    for (const pm_entry *other = s->entries; other < x; other++)
        if (strcmp(other->label, x->label) == 0) {
            bad(e, "\"methods\": two are called %s", x->label);
            return pm_hint(e, "give each a \"label\" of its own");
        }
    x->settings = get(j, "config");
    rc = check_settings(x->settings, x->label, e);
    const cJSON *own = get(j, "search"), *common = get(s->json, "search");
    if (!rc) rc = read_spaces(own, own, x, e);
    if (!rc && common) rc = read_spaces(common, own, x, e);
    return rc;
}

/* The untuned model is the first row. */
static pm_status read_baseline(pm_sweep *s, pm_err *e) {
    const cJSON *wanted = get(s->json, "baseline");
    if (wanted && !cJSON_IsBool(wanted)) return bad(e, "\"baseline\" is neither true nor false");
    if (cJSON_IsTrue(wanted)) s->entries[s->n_entries++] = (pm_entry){.label = "untuned"};
    return PM_OK;
}

static pm_status read_methods(pm_sweep *s, pm_err *e) {
    const cJSON *list = get(s->json, "methods");
    int n = cJSON_GetArraySize(list);
    if (!cJSON_IsArray(list) || n == 0 || n > LIST_MAX) return bad(e, "\"methods\" is not a list");
    s->entries = pm_xalloc((size_t)(n + 1) * sizeof *s->entries);
    pm_status rc = read_baseline(s, e);
    for (const cJSON *v = list->child; v && !rc; v = v->next)
        rc = read_entry(s, v, &s->entries[s->n_entries++], e);
    return rc;
}

/* ---- budget ---- */

static bool searches(const pm_sweep *s) {
    for (int i = 0; i < s->n_entries; i++)
        if (s->entries[i].n_spaces) return true;
    return false;
}

static pm_status read_budget(pm_sweep *s, const cJSON *t, pm_err *e) {
    const cJSON *trials = get(t, "trials"), *flops = get(t, "flops");
    if (trials && !is_whole(trials, 1, TRIALS_MAX))
        return bad(e, "tuning.trials is not a whole number from 1 to %d", TRIALS_MAX);
    if (flops && (!cJSON_IsNumber(flops) || flops->valuedouble <= 0))
        return bad(e, "tuning.flops is not a number above 0");
    if (trials && flops)
        return bad(e, "tuning: \"trials\" or \"flops\", not both: one budget for all methods");
    if (searches(s) && !trials && !flops)
        return bad(e, "something is searched, and \"tuning\" gives no budget: \"trials\" or \"flops\"");
    s->flops = flops ? flops->valuedouble : 0;
    s->trials = trials ? (int)trials->valuedouble : FLOPS_TRIALS;
    return PM_OK;
}

static pm_status read_tuning(pm_sweep *s, pm_err *e) {
    static const char *const known[] = {"trials", "flops", "metric", "seeds", "draw"};
    const cJSON *t = get(s->json, "tuning"), *draw = get(t, "draw");
    bool up;
    if (t && !cJSON_IsObject(t)) return bad(e, "\"tuning\" is not an object");
    pm_status rc = t ? check_keys(t, "tuning", known, 5, e) : PM_OK;
    if (!rc) rc = read_budget(s, t, e);
    if (rc) return rc;
    if (draw && !is_whole(draw, 0, 2147483647)) return bad(e, "tuning.draw is not a whole number from 0");
    s->draw_seed = draw ? (uint64_t)draw->valuedouble : 0;
    snprintf(s->metric, sizeof s->metric, "%s", pm_json_str(t, "metric", ""));
    if (get(t, "metric") && (rc = pm_metric_direction(s->metric, &up, e))) return rc;
    if (strcmp(s->metric, "forgetting") == 0 || strncmp(s->metric, "cross_entropy", 13) == 0)
        return bad(e, "tuning.metric %s is of the forgetting probe, which trials do not measure", s->metric);
    if (get(t, "seeds")) return read_seeds(t, "tuning.seeds", &s->tuning_seeds, &s->n_tuning_seeds, e);
    s->tuning_seeds = pm_xalloc(sizeof *s->tuning_seeds);
    s->tuning_seeds[s->n_tuning_seeds++] = s->seeds[0];
    return PM_OK;
}

static pm_status read_final(pm_sweep *s, pm_err *e) {
    const char *final = pm_json_str(s->json, "final", get(s->json, "final") ? "" : "test");
    if (strcmp(final, "test") != 0 && strcmp(final, "validation") != 0)
        return bad(e, "\"final\" is neither \"test\" nor \"validation\"");
    snprintf(s->final, sizeof s->final, "%s", final);
    return PM_OK;
}

/* What the match decides nobody else may. */
static pm_status check_match(const pm_sweep *s, const pm_entry *x, pm_err *e) {
    const char *key = x->method ? pm_match_key(x->method) : NULL;
    bool taken = key && (holds(x->settings, key) || holds(s->settings, key));
    for (int k = 0; k < x->n_spaces && key; k++) taken = taken || strcmp(x->space[k].key, key) == 0;
    return taken ? bad(e, "%s: %s is set, which \"match\" decides", x->label, key) : PM_OK;
}

static pm_status read_match(pm_sweep *s, pm_err *e) {
    static const char *const known[] = {"trainable_params"};
    const cJSON *m = get(s->json, "match"), *n = get(m, "trainable_params");
    if (!m) return PM_OK;
    pm_status rc = cJSON_IsObject(m) ? check_keys(m, "match", known, 1, e) : PM_OK;
    if (rc) return rc;
    if (!is_whole(n, 1, 1e15))
        return bad(e, "\"match\" is not {\"trainable_params\": a whole number from 1}");
    s->match = (int64_t)n->valuedouble;
    for (const pm_entry *x = s->entries; x < s->entries + s->n_entries && !rc; x++) rc = check_match(s, x, e);
    return rc;
}

/* ---- metrics ---- */

pm_status pm_metric_direction(const char *name, bool *higher_is_better, pm_err *e) {
    static const char *const known[] = {
        "acc", "acc_norm",   "exact_match",         "exact_match_flexible", "nll",
        "ppl", "forgetting", "cross_entropy_after", "cross_entropy_before"};
    enum { N = sizeof known / sizeof *known, FIRST_LOWER = 4 };
    for (int i = 0; i < N; i++)
        if (strcmp(known[i], name) == 0) {
            *higher_is_better = i < FIRST_LOWER;
            return PM_OK;
        }
    const char *near = pm_nearest(name, known, N);
    pm_fail(e, PM_EUSAGE, "there is no metric \"%.40s\"", name);
    if (near) return pm_hint(e, "did you mean %s?", near);
    return pm_hint(e, "acc, acc_norm, exact_match, exact_match_flexible, nll, ppl or forgetting");
}

int pm_choose(const double *score, int n, bool higher_is_better) {
    int best = -1;
    for (int i = 0; i < n; i++) {
        if (isnan(score[i])) continue;
        bool better = best < 0 || (higher_is_better ? score[i] > score[best] : score[i] < score[best]);
        if (better) best = i;
    }
    return best;
}

/* ---- the settings of one run ---- */

static pm_status set_all(const pm_sweep *s, const pm_sweep_run *r, pm_config *c, pm_err *e) {
    char seed[16];
    snprintf(seed, sizeof seed, "%d", r->seed);
    pm_status rc = pm_config_set(c, "threads", "1", e);
    if (!rc && r->entry->method) rc = pm_config_set(c, "method", r->entry->method->name, e);
    if (!rc && s->settings) rc = pm_config_apply(c, s->settings, e);
    if (!rc && r->entry->settings) rc = pm_config_apply(c, r->entry->settings, e);
    for (int i = 0; r->value && i < r->entry->n_spaces && !rc; i++)
        rc = pm_config_set(c, r->entry->space[i].key, r->value[i], e);
    if (!rc) rc = pm_config_set(c, "model", r->model, e);
    if (!rc) rc = pm_config_set(c, "task", r->task, e);
    if (!rc) rc = pm_config_set(c, "seed", seed, e);
    if (!rc) rc = pm_config_set(c, "eval.split", r->split, e);
    if (!r->final) c->eval.probe[0] = 0;
    return rc || !r->entry->method ? rc : pm_config_check(c, e);
}

pm_status pm_sweep_config(const pm_sweep *s, const pm_sweep_run *r, pm_config **out, pm_err *e) {
    pm_config *c = pm_config_new();
    pm_status rc = set_all(s, r, c, e);
    if (rc)
        pm_config_free(c);
    else
        *out = c;
    return rc;
}

/* ---- reading ---- */

/* A probe that is none is told now, not when the trials are done. */
static pm_status check_probe(const pm_sweep *s, const pm_entry *x, pm_err *e) {
    const pm_sweep_run r = {
        .entry = x, .model = s->models[0], .task = s->tasks[0], .split = s->final, .final = true};
    pm_config *c;
    pm_status rc = pm_sweep_config(s, &r, &c, e);
    if (rc) return rc;
    if (*c->eval.probe) rc = pm_forgetting_check(c->eval.probe, e);
    pm_config_free(c);
    return rc;
}

/* Every trial of every method once: a value that is out of range is told now, not after an hour. */
static pm_status check_trials(const pm_sweep *s, const pm_entry *x, pm_err *e) {
    pm_trials t;
    pm_status rc = PM_OK;
    pm_trials_make(x, s->trials, s->draw_seed, &t);
    for (int i = 0; i < t.n && !rc; i++) {
        pm_config *c;
        pm_sweep_run r = {.entry = x,
                          .model = s->models[0],
                          .task = s->tasks[0],
                          .split = "validation",
                          .value = (const char(*)[PM_FIELD_STR])t.value[i]};
        rc = pm_sweep_config(s, &r, &c, e);
        if (!rc) pm_config_free(c);
    }
    pm_trials_free(&t);
    if (!rc) rc = check_probe(s, x, e);
    return rc ? about(x, e) : PM_OK;
}

static pm_status read_plan(pm_sweep *s, pm_err *e) {
    static const char *const known[] = {"name",   "models", "tasks", "seeds",   "config",  "search",
                                        "tuning", "final",  "match", "methods", "baseline"};
    pm_status rc = check_keys(s->json, "plan", known, sizeof known / sizeof *known, e);
    if (!rc) rc = read_name(s->json, s, e);
    if (!rc) rc = read_names(s->json, "models", &s->models, &s->n_models, e);
    if (!rc) rc = read_names(s->json, "tasks", &s->tasks, &s->n_tasks, e);
    if (!rc) rc = read_seeds(s->json, "\"seeds\"", &s->seeds, &s->n_seeds, e);
    s->settings = get(s->json, "config");
    if (!rc) rc = check_settings(s->settings, "\"config\"", e);
    if (!rc) rc = read_methods(s, e);
    if (!rc) rc = read_tuning(s, e);
    if (!rc) rc = read_final(s, e);
    if (!rc) rc = read_match(s, e);
    for (int i = 0; i < s->n_entries && !rc; i++) rc = check_trials(s, &s->entries[i], e);
    return rc;
}

/* Takes the object. */
static pm_status read_json(cJSON *j, const char *from, pm_sweep *s, pm_err *e) {
    s->json = j;
    pm_status rc = cJSON_IsObject(j) ? read_plan(s, e) : pm_fail(e, PM_EUSAGE, "%s: not a JSON object", from);
    if (rc && !e->hint[0]) pm_hint(e, "docs/sweep.md shows a plan with every key");
    if (rc) pm_sweep_free(s);
    return rc;
}

pm_status pm_sweep_load(const char *path, pm_sweep *s, pm_err *e) {
    cJSON *j = NULL;
    *s = (pm_sweep){0};
    pm_status rc = pm_json_read(path, &j, e);
    if (rc) return e->hint[0] ? rc : pm_hint(e, "sweep takes a plan in JSON; docs/sweep.md shows one");
    return read_json(j, path, s, e);
}

pm_status pm_sweep_parse(const char *text, const char *from, pm_sweep *s, pm_err *e) {
    *s = (pm_sweep){0};
    cJSON *j = cJSON_Parse(text);
    return j ? read_json(j, from, s, e) : pm_fail(e, PM_EFORMAT, "%s: not JSON", from);
}

static void free_names(char **names, int n) {
    for (int i = 0; i < n; i++) free(names[i]);
    free(names);
}

void pm_sweep_free(pm_sweep *s) {
    for (int i = 0; i < s->n_entries; i++)
        for (int k = 0; k < s->entries[i].n_spaces; k++) free(s->entries[i].space[k].grid);
    free(s->entries);
    free_names(s->models, s->n_models);
    free_names(s->tasks, s->n_tasks);
    free(s->seeds);
    free(s->tuning_seeds);
    cJSON_Delete(s->json);
    *s = (pm_sweep){0};
}
