/* fair.c - finds rows that differ in what must match.
 *
 * Why the most frequent value is the measure: of ten rows one is odd, and the message names that one. Of equally frequent ones the first row's.
 */
#include "fair.h"

#include "text.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE = 96 };

/* ---- what must match ----------------------------------------------------------------------------------------------------- */

typedef struct subject { /* one run on its task */
    const pm_result *run;
    const pm_task_facts *task;
    const cJSON *settings;
} subject;

static void setting(const subject *s, const char *key, char out[VALUE]) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(s->settings, key);
    if (cJSON_IsNumber(v))
        snprintf(out, VALUE, "%.9g", v->valuedouble);
    else if (cJSON_IsString(v))
        snprintf(out, VALUE, "%s", v->valuestring);
}

static double number(const subject *s, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(s->settings, key);
    return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

static void origin(const subject *s, char out[VALUE]) {
    snprintf(out, VALUE, "%.60s", s->run->origin[0] ? s->run->origin : "peftmeter");
}
static void data_hash(const subject *s, char out[VALUE]) {
    snprintf(out, VALUE, "%.12s", s->run->data_hash);
}
static void train_hash(const subject *s, char out[VALUE]) {
    snprintf(out, VALUE, "%.12s", s->run->train_hash);
}
static void model_hash(const subject *s, char out[VALUE]) {
    snprintf(out, VALUE, "%.12s", s->run->model_hash);
}
static void adapter_hash(const subject *s, char out[VALUE]) {
    snprintf(out, VALUE, "%.12s", s->run->adapter_hash);
}
static void shuffle(const subject *s, char out[VALUE]) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(s->settings, "train.shuffle");
    if (cJSON_IsBool(v)) snprintf(out, VALUE, "%s", cJSON_IsTrue(v) ? "true" : "false");
}
static void max_len(const subject *s, char out[VALUE]) {
    setting(s, "train.max_len", out);
}
static void loss_on(const subject *s, char out[VALUE]) {
    setting(s, "train.loss_on", out);
}
static void precision(const subject *s, char out[VALUE]) {
    setting(s, "precision", out);
}
static void threads(const subject *s, char out[VALUE]) {
    setting(s, "threads", out);
}
static void host(const subject *s, char out[VALUE]) {
    if (s->run->host) snprintf(out, VALUE, "%lld", (long long)s->run->host);
}
static void limit(const subject *s, char out[VALUE]) {
    setting(s, "eval.limit", out);
}

static void batch(const subject *s, char out[VALUE]) {
    double n = number(s, "train.batch"), accumulated = number(s, "train.grad_accum");
    if (n > 0) snprintf(out, VALUE, "%.9g", n * (accumulated > 0 ? accumulated : 1));
}

static void length(const subject *s, char out[VALUE]) {
    double steps = number(s, "train.steps"), epochs = number(s, "train.epochs");
    if (steps > 0)
        snprintf(out, VALUE, "%.9g steps", steps);
    else if (epochs > 0)
        snprintf(out, VALUE, "%.9g epochs", epochs);
}

/* Of a run that is not scored on the table's split: the one it has. */
static void split(const subject *s, char out[VALUE]) {
    if (!s->run->n_scores) return;
    snprintf(out, VALUE, "%s", pm_result_score(s->run, s->task) ? s->task->split : s->run->score[0].split);
}

static void metric_version(const subject *s, char out[VALUE]) {
    const pm_score *x = pm_result_score(s->run, s->task);
    if (x) snprintf(out, VALUE, "%d", x->version);
}

/* Of runs that measured it: the probe, how long it is as tokenised, and how it was measured. */
static void probe(const subject *s, char out[VALUE]) {
    const pm_score *x = pm_result_forgetting(s->run);
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(s->settings, "eval.probe");
    if (x)
        snprintf(out, VALUE, "%.60s (%lld tokens, version %d)",
                 cJSON_IsString(name) ? name->valuestring : "?", (long long)x->n, x->version);
}

static const struct {
    const char *key;
    unsigned what;
    bool trained; /* means nothing where nothing was trained */
    void (*value)(const subject *s,
                  char out[VALUE]); /* leaves "" where it is not known: that differs from nothing */
} must_match[] = {
    {"origin", PM_FAIR_QUALITY | PM_FAIR_SPEED, false, origin},
    {"model_hash", PM_FAIR_QUALITY | PM_FAIR_SPEED, false, model_hash},
    {"eval.split", PM_FAIR_QUALITY, false, split},
    {"data_hash", PM_FAIR_QUALITY, false, data_hash},
    {"eval.limit", PM_FAIR_QUALITY, false, limit},
    {"metric version", PM_FAIR_QUALITY, false, metric_version},
    {"train_hash", PM_FAIR_QUALITY | PM_FAIR_SPEED, true, train_hash},
    {"adapter_hash", PM_FAIR_QUALITY, true, adapter_hash},
    {"train.steps", PM_FAIR_QUALITY, true, length},
    {"train.batch x train.grad_accum", PM_FAIR_QUALITY | PM_FAIR_SPEED, true, batch},
    {"train.shuffle", PM_FAIR_QUALITY, true, shuffle},
    {"train.max_len", PM_FAIR_QUALITY | PM_FAIR_SPEED, false, max_len},
    {"train.loss_on", PM_FAIR_QUALITY | PM_FAIR_SPEED, true, loss_on},
    {"precision", PM_FAIR_QUALITY | PM_FAIR_SPEED, false, precision},
    {"eval.probe", PM_FAIR_FORGETTING, false, probe},
    {"threads", PM_FAIR_SPEED, true, threads},
    {"host", PM_FAIR_SPEED, true, host},
};
enum { N_KEYS = sizeof must_match / sizeof *must_match };

/* Settings that decide a key of another name: the length, the batch. */
static const char *const part_of_a_key[] = {"train.epochs", "train.batch", "train.grad_accum"};

bool pm_fair_must_match(const char *key) {
    for (size_t i = 0; i < sizeof part_of_a_key / sizeof *part_of_a_key; i++)
        if (strcmp(part_of_a_key[i], key) == 0) return true;
    for (int k = 0; k < N_KEYS; k++)
        if ((must_match[k].what & PM_FAIR_QUALITY) && strcmp(must_match[k].key, key) == 0) return true;
    return false;
}

/* ---- values of all rows on one task --------------------------------------------------------------------------------------- */

typedef char values[N_KEYS][VALUE];

static void take_values(const pm_result *run, const pm_task_facts *t, unsigned what, values out) {
    cJSON *settings = cJSON_Parse(run->config);
    subject s = {run, t, settings};
    bool trained = run->train_hash[0] != 0;
    if (strcmp(t->split, PM_PROBE_SPLIT) == 0) what |= PM_FAIR_FORGETTING;
    for (int k = 0; k < N_KEYS; k++) {
        out[k][0] = 0;
        if ((must_match[k].what & what) && (trained || !must_match[k].trained))
            must_match[k].value(&s, out[k]);
    }
    cJSON_Delete(settings);
}

/* The most frequent of n values that are known, the first of equally frequent ones; "" when none is. */
static const char *usual_of(const values *v, int n, int key) {
    const char *best = "";
    int most = 0;
    for (int i = 0; i < n; i++) {
        int same = 0;
        for (int j = 0; j < n; j++) same += strcmp(v[i][key], v[j][key]) == 0;
        if (v[i][key][0] && same > most) most = same, best = v[i][key];
    }
    return best;
}

static void add(const pm_results *r, pm_fair *f, int *cap, const pm_misfit *m) {
    if (f->n == *cap) {
        pm_misfit *old = f->list;
        *cap = *cap ? 2 * *cap : 64;
        f->list = pm_arena_zalloc(r->keep, (size_t)*cap * sizeof *f->list, PM_MEM_WORKSPACE);
        if (old) memcpy(f->list, old, (size_t)f->n * sizeof *old);
    }
    f->list[f->n++] = (pm_misfit){m->setup, m->task, m->key, pm_arena_strdup(r->keep, m->value),
                                  pm_arena_strdup(r->keep, m->usual)};
}

/* One value a row stands for its runs, which differ in their seeds alone; a run that does not is a misfit of its own. */
static void check_run(const pm_results *r, const values *usual, const pm_result *run, pm_misfit m,
                      unsigned what, pm_fair *f, int *cap) {
    values v;
    take_values(run, &r->task[m.task], what, v);
    for (int k = 0; k < N_KEYS; k++) {
        bool known = false;
        if (!v[k][0] || !(*usual)[k][0] || strcmp(v[k], (*usual)[k]) == 0) continue;
        for (int i = 0; i < f->n; i++)
            known |= f->list[i].setup == m.setup && f->list[i].task == m.task &&
                     f->list[i].key == must_match[k].key;
        m.key = must_match[k].key, m.value = v[k], m.usual = (*usual)[k];
        if (!known) add(r, f, cap, &m);
    }
}

static void check_family(const pm_results *r, const int *setup, int n_setups, int task, unsigned what,
                         pm_fair *f, int *cap) {
    values *v = pm_xalloc((size_t)n_setups * sizeof *v), usual;
    int n = 0;
    for (int i = 0; i < n_setups; i++) {
        const pm_place_runs *p = pm_results_at(r, setup[i], task);
        if (p->n) take_values(p->run[0], &r->task[task], what, v[n++]);
    }
    for (int k = 0; k < N_KEYS; k++) snprintf(usual[k], VALUE, "%s", usual_of((const values *)v, n, k));
    for (int i = 0; i < n_setups; i++) {
        const pm_place_runs *p = pm_results_at(r, setup[i], task);
        for (int j = 0; j < p->n; j++)
            check_run(r, (const values *)&usual, p->run[j], (pm_misfit){.setup = setup[i], .task = task},
                      what, f, cap);
    }
    free(v);
}

void pm_fair_check(const pm_results *r, unsigned what, pm_fair *out) {
    int cap = 0, *setup = pm_xalloc(((size_t)r->n_setups + 1) * sizeof *setup);
    *out = (pm_fair){0};
    for (int i = 0; i < r->n_setups; i++) setup[i] = i;
    for (int i = 0, end; i < r->n_setups; i = end) {
        end = pm_model_end(r, i);
        for (int t = 0; t < r->n_tasks; t++) check_family(r, setup + i, end - i, t, what, out, &cap);
    }
    free(setup);
}

void pm_fair_pair(const pm_results *r, unsigned what, int a, int b, int task, pm_fair *out) {
    const int setup[] = {a, b};
    int cap = 0;
    *out = (pm_fair){0};
    check_family(r, setup, 2, task, what, out, &cap);
}

/* ---- what is said -------------------------------------------------------------------------------------------------------- */

pm_status pm_fair_refuse(const pm_results *r, const pm_fair *f, const char *path, pm_err *e) {
    if (!f->n) return PM_OK;
    const pm_misfit *m = &f->list[0];
    pm_fail(e, PM_ECHECK, "%s: rows are not comparable: on %.64s %.80s has %s %.40s, the others %.40s%s",
            path, r->task[m->task].name, r->setup[m->setup].name, m->key, m->value, m->usual,
            f->n > 1 ? " (and there is more)" : "");
    return pm_hint(
        e,
        "--badge prints the table and marks such rows; --sweep and --task choose rows that belong together");
}

const char *pm_fair_badge(const pm_results *r, const pm_fair *f, int setup) {
    pm_buf b = {0};
    for (int i = 0; i < f->n; i++) {
        const char *key = f->list[i].key;
        if (f->list[i].setup == setup && (!b.p || !strstr(b.p, key)))
            pm_buf_printf(&b, "%s%s", b.n ? ", " : "", key);
    }
    const char *badge = b.n ? pm_arena_strdup(r->keep, b.p) : NULL;
    pm_buf_free(&b);
    return badge;
}
