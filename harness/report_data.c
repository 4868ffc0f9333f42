/* report_data.c - reads runs, scores and outcomes and groups them. Whatever types a database holds, SQLite converts them; a text where a number
 * should be is not measured.
 */
#include "report_data.h"

#include "jsonio.h"
#include "method.h"
#include "outcomes.h"
#include "report_model.h"
#include "sweep.h"
#include "text.h"
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

typedef struct loader {
    const pm_db *d;
    sqlite3 *h;
    const char *path;
    const pm_selection *q;
    pm_results *r;
    int cap, n_other; /* room in run; those that are not ok stand behind the n_runs that are */
    pm_result *other;
    int cap_other;
    bool sweeps; /* the database knows them */
} loader;

/* ---- SQL ----------------------------------------------------------------------------------------------------------------- */

/* Prepares with up to two texts bound; NULL binds NULL. */
static pm_status ask(const loader *l, const char *sql, const char *a, const char *b, sqlite3_stmt **st,
                     pm_err *e) {
    if (sqlite3_prepare_v2(l->h, sql, -1, st, NULL) != SQLITE_OK) return pm_db_unreadable(l->d, e);
    int n = sqlite3_bind_parameter_count(*st);
    if (n > 0) sqlite3_bind_text(*st, 1, a, -1, SQLITE_STATIC);
    if (n > 1) sqlite3_bind_text(*st, 2, b, -1, SQLITE_STATIC);
    return PM_OK;
}

static const char *text_of(loader *l, sqlite3_stmt *st, int column) {
    const char *s = (const char *)sqlite3_column_text(st, column);
    return s && *s ? pm_arena_strdup(l->r->keep, s) : "";
}

static int64_t count_of(sqlite3_stmt *st, int column) {
    int64_t n = sqlite3_column_type(st, column) == SQLITE_INTEGER ? sqlite3_column_int64(st, column) : -1;
    return n < 0 ? -1 : n;
}

/* ---- which runs ---------------------------------------------------------------------------------------------------------- */

static pm_status has_sweeps(loader *l, pm_err *e) {
    sqlite3_stmt *st = NULL;
    pm_status s = ask(l, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'sweep_runs'", NULL,
                      NULL, &st, e);
    int rc = s == PM_OK ? sqlite3_step(st) : SQLITE_DONE;
    l->sweeps = rc == SQLITE_ROW;
    return pm_db_done(l->d, st, rc, s, e);
}

static pm_status no_such_sweep(const loader *l, const char *known, pm_err *e) {
    pm_fail(e, PM_EUSAGE, "%s: there is no sweep %.80s", l->path, l->q->sweep);
    return *known ? pm_hint(e, "it has: %.200s", known) : pm_hint(e, "leave --sweep away: it holds no sweep");
}

/* The sweep that is shown: as asked for, or the only one. */
static pm_status choose_sweep(loader *l, pm_err *e) {
    l->r->sweep = "";
    pm_status s = has_sweeps(l, e);
    if (s != PM_OK) return s;
    pm_buf known = {0};
    int n = 0, rc = SQLITE_DONE;
    bool found = false;
    sqlite3_stmt *st = NULL;
    if (l->sweeps) s = ask(l, "SELECT DISTINCT sweep FROM sweep_runs ORDER BY sweep", NULL, NULL, &st, e);
    while (s == PM_OK && l->sweeps && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *name = text_of(l, st, 0);
        if (l->q->sweep ? strcmp(name, l->q->sweep) == 0 : n == 0) l->r->sweep = name, found = true;
        pm_buf_printf(&known, "%s%s", n++ ? ", " : "", name);
    }
    s = pm_db_done(l->d, st, rc, s, e);
    if (s == PM_OK && l->q->sweep && !found) s = no_such_sweep(l, known.p ? known.p : "", e);
    if (!l->q->sweep && n > 1) l->r->sweep = "";
    pm_buf_free(&known);
    return s;
}

#define COLUMNS                                                                                              \
    "r.id, r.seed, r.host_id, r.trainable_params, r.total_params, r.model, r.task, r.method, r.status, "     \
    "r.config, r.model_hash, r.data_hash, "                                                                  \
    "r.commit_id, r.started_at, "

/* Columns of later versions are asked for by name only where they are there: reports read old databases as they are. */
static const char *runs_sql(const loader *l) {
    static const char of_sweep[] =
        "SELECT " COLUMNS
        "r.train_hash, r.adapter_hash, s.label, s.trial FROM runs r JOIN sweep_runs s ON s.run_id = r.id "
        "WHERE s.sweep = ?1 AND s.stage = ?2 ORDER BY r.id";
    static const char of_all[] =
        "SELECT " COLUMNS "r.train_hash, r.adapter_hash, r.method, 0 FROM runs r WHERE NOT EXISTS (SELECT 1 "
        "FROM sweep_runs s WHERE s.run_id = r.id AND "
        "s.stage = 'tune') OR EXISTS (SELECT 1 FROM sweep_runs s WHERE s.run_id = r.id AND s.stage = "
        "'final') ORDER BY r.id";
    static const char of_trials[] =
        "SELECT " COLUMNS
        "r.train_hash, r.adapter_hash, s.label, s.trial FROM runs r JOIN sweep_runs s ON s.run_id = r.id "
        "WHERE s.stage = 'tune' ORDER BY r.id";
    static const char of_old[] =
        "SELECT " COLUMNS "r.train_hash, r.adapter_hash, r.method, 0 FROM runs r ORDER BY r.id";
    if (!l->sweeps) return of_old;
    if (l->r->sweep[0]) return of_sweep;
    return l->q->tuning ? of_trials : of_all;
}

/* Settings that do not make a configuration: what is evaluated, where it runs, and the seed. */
static bool makes_identity(const char *key) {
    static const char *const no[] = {"model", "task", "method", "seed", "threads", "backend"};
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (strcmp(key, no[i]) == 0) return false;
    return strncmp(key, "eval.", 5) != 0;
}

static const char *identity_of(loader *l, const char *config) {
    cJSON *j = cJSON_Parse(config);
    if (!cJSON_IsObject(j)) return cJSON_Delete(j), "";
    pm_json_keep(j, makes_identity);
    char *text = cJSON_PrintUnformatted(j);
    PM_ASSERT(text, "out of memory: printing settings");
    const char *kept = pm_arena_strdup(l->r->keep, text);
    free(text);
    cJSON_Delete(j);
    return kept;
}

static void *room_for_one(void *list, int n, int *cap, size_t size) {
    if (n < *cap) return list;
    *cap = *cap ? 2 * *cap : 64;
    return pm_xrealloc(list, (size_t)*cap * size);
}

static void take_run(loader *l, sqlite3_stmt *st) {
    pm_result x = {.id = sqlite3_column_int64(st, 0),
                   .seed = sqlite3_column_int64(st, 1),
                   .host = sqlite3_column_int64(st, 2),
                   .trainable = count_of(st, 3),
                   .total = count_of(st, 4),
                   .model = pm_model_name(l->r->keep, text_of(l, st, 5)),
                   .task = text_of(l, st, 6),
                   .method = text_of(l, st, 7),
                   .status = text_of(l, st, 8),
                   .config = text_of(l, st, 9),
                   .model_hash = text_of(l, st, 10),
                   .data_hash = text_of(l, st, 11),
                   .commit = text_of(l, st, 12),
                   .started = text_of(l, st, 13),
                   .train_hash = text_of(l, st, 14),
                   .adapter_hash = text_of(l, st, 15),
                   .label = text_of(l, st, 16),
                   .trial = sqlite3_column_int64(st, 17),
                   .origin = ""};
    x.identity = l->r->sweep[0] ? "" : identity_of(l, x.config);
    if (l->q->commits) x.identity = pm_arena_printf(l->r->keep, "%s%s", x.commit, x.identity);
    if (strcmp(x.status, "ok") == 0) {
        l->r->run = room_for_one(l->r->run, l->r->n_runs, &l->cap, sizeof x);
        l->r->run[l->r->n_runs++] = x;
    } else {
        l->other = room_for_one(l->other, l->n_other, &l->cap_other, sizeof x);
        l->other[l->n_other++] = x;
    }
}

static pm_status read_runs(loader *l, pm_err *e) {
    sqlite3_stmt *st = NULL;
    pm_status s = ask(l, runs_sql(l), l->r->sweep, l->q->tuning ? "tune" : "final", &st, e);
    int rc = SQLITE_DONE;
    while (s == PM_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *task = (const char *)sqlite3_column_text(st, 6);
        if (!l->q->task || (task && strcmp(task, l->q->task) == 0)) take_run(l, st);
    }
    return pm_db_done(l->d, st, rc, s, e);
}

/* A run that was imported is called what it is called there: its method has many settings that this program has no names for. */
static void mark_imported(loader *l, sqlite3_stmt *st) {
    int64_t id = sqlite3_column_int64(st, 0);
    for (int i = 0; i < l->r->n_runs + l->n_other; i++) {
        pm_result *x = i < l->r->n_runs ? &l->r->run[i] : &l->other[i - l->r->n_runs];
        if (x->id != id) continue;
        x->origin = text_of(l, st, 1);
        x->label = text_of(l, st, 2);
    }
}

static pm_status read_imported(loader *l, pm_err *e) {
    sqlite3_stmt *st = NULL;
    if (!pm_db_has_table(l->d, "imported")) return PM_OK;
    pm_status s = ask(l, "SELECT run_id, origin, experiment FROM imported", NULL, NULL, &st, e);
    int rc = SQLITE_DONE;
    while (s == PM_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) mark_imported(l, st);
    return pm_db_done(l->d, st, rc, s, e);
}

static pm_status count_left_out(loader *l, pm_err *e) {
    sqlite3_stmt *st = NULL;
    if (!l->r->sweep[0] || l->q->tuning) return PM_OK;
    pm_status s = ask(l,
                      "SELECT count(*) FROM runs r WHERE status = 'ok' AND NOT EXISTS (SELECT 1 FROM "
                      "sweep_runs s WHERE s.run_id = r.id AND s.sweep = ?1)",
                      l->r->sweep, NULL, &st, e);
    int rc = s == PM_OK ? sqlite3_step(st) : SQLITE_DONE;
    if (rc == SQLITE_ROW) l->r->left_out = sqlite3_column_int(st, 0);
    return pm_db_done(l->d, st, rc, s, e);
}

/* ---- scores -------------------------------------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b) {
    int64_t x = (*(const pm_result *const *)a)->id, y = (*(const pm_result *const *)b)->id;
    return (x > y) - (x < y);
}

/* The runs by id, for the other tables come in that order; the caller frees the list. */
static pm_result **index_by_id(const pm_results *r) {
    pm_result **at = pm_xalloc(((size_t)r->n_runs + 1) * sizeof *at);
    for (int i = 0; i < r->n_runs; i++) at[i] = &r->run[i];
    qsort(at, (size_t)r->n_runs, sizeof *at, by_id);
    return at;
}

static pm_result *find_id(pm_result **at, int n, int64_t id) {
    pm_result key = {.id = id}, *k = &key, **found = bsearch(&k, at, (size_t)n, sizeof *at, by_id);
    return found ? *found : NULL;
}

static void take_score(loader *l, pm_result *run, sqlite3_stmt *st) {
    enum { MOST = 16 };
    if (!run->score) run->score = pm_arena_zalloc(l->r->keep, MOST * sizeof *run->score, PM_MEM_WORKSPACE);
    if (run->n_scores == MOST) return;
    run->score[run->n_scores++] = (pm_score){.split = text_of(l, st, 1),
                                             .name = text_of(l, st, 2),
                                             .version = sqlite3_column_int(st, 3),
                                             .value = pm_db_real(st, 4),
                                             .stderr_ = pm_db_real(st, 5),
                                             .n = count_of(st, 6)};
}

static pm_status read_scores(loader *l, pm_err *e) {
    sqlite3_stmt *st = NULL;
    pm_result **at = index_by_id(l->r);
    pm_status s = ask(l,
                      "SELECT run_id, split, name, version, value, stderr, n FROM metrics ORDER BY run_id, "
                      "split, name, version",
                      NULL, NULL, &st, e);
    int rc = SQLITE_DONE;
    while (s == PM_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        pm_result *run = find_id(at, l->r->n_runs, sqlite3_column_int64(st, 0));
        if (run) take_score(l, run, st);
    }
    free(at);
    return pm_db_done(l->d, st, rc, s, e);
}

bool pm_metric_is_share(const char *metric) {
    bool more = true;
    return pm_metric_direction(metric, &more, NULL) == PM_OK && more;
}

static const pm_score *find_score(const pm_result *run, const char *split, const char *metric) {
    const pm_score *last = NULL; /* versions ascend: the latest */
    for (int i = 0; i < run->n_scores; i++) {
        const pm_score *x = &run->score[i];
        if (strcmp(x->split, split) == 0 && strcmp(x->name, metric) == 0 && isfinite(x->value)) last = x;
    }
    return last;
}

const pm_score *pm_result_score(const pm_result *run, const pm_task_facts *t) {
    return find_score(run, t->split, t->metric);
}

const pm_score *pm_result_on_probe(const pm_result *run, const char *metric) {
    return find_score(run, PM_PROBE_SPLIT, metric);
}

const pm_score *pm_result_forgetting(const pm_result *run) {
    return pm_result_on_probe(run, "forgetting");
}

/* ---- rows and tasks ------------------------------------------------------------------------------------------------------ */

static int method_rank(const char *name) {
    int i = 0;
    if (strcmp(name, "none") == 0) return -1;
    while (pm_methods[i] && strcmp(pm_methods[i]->name, name) != 0) i++;
    return i;
}

static int compare_setups(const pm_result *x, const pm_result *y) {
    int d = strcmp(x->model, y->model);
    if (!d) d = strcmp(x->model_hash, y->model_hash);
    if (!d) d = method_rank(x->method) - method_rank(y->method);
    if (!d) d = strcmp(x->method, y->method);
    if (!d) d = strcmp(x->origin, y->origin);
    if (!d) d = strcmp(x->label, y->label);
    return d ? d : strcmp(x->identity, y->identity);
}

/* By row, task and seed; of equal ones the latest run first. */
static int compare_results(const void *a, const void *b) {
    const pm_result *x = a, *y = b;
    int d = compare_setups(x, y);
    if (!d) d = strcmp(x->task, y->task);
    if (!d) d = (x->seed > y->seed) - (x->seed < y->seed);
    if (!d) d = (x->trial > y->trial) - (x->trial < y->trial);
    if (!d) d = strcmp(y->started, x->started); /* an id says when a run was stored: merged ones came late */
    return d ? d : (x->id < y->id) - (x->id > y->id);
}

static int find_task(const pm_results *r, const char *name) {
    for (int i = 0; i < r->n_tasks; i++)
        if (strcmp(r->task[i].name, name) == 0) return i;
    return -1;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const pm_task_facts *)a)->name, ((const pm_task_facts *)b)->name);
}

static void list_tasks(pm_results *r) {
    int cap = 0;
    pm_task_facts *list = NULL;
    for (int i = 0; i < r->n_runs; i++) {
        if (find_task(r, r->run[i].task) >= 0) continue;
        r->task = list = room_for_one(list, r->n_tasks, &cap, sizeof *list);
        list[r->n_tasks++] = (pm_task_facts){.name = r->run[i].task, .split = "", .metric = ""};
    }
    qsort(list, (size_t)r->n_tasks, sizeof *list, by_name);
}

static bool any_score(const pm_results *r, const pm_task_facts *t) {
    for (int i = 0; i < r->n_runs; i++)
        if (strcmp(r->run[i].task, t->name) == 0 && pm_result_score(&r->run[i], t)) return true;
    return false;
}

/* The split and metric that a task is shown by. */
static void choose_score(const pm_results *r, pm_task_facts *t, const char *asked) {
    static const char *const split[] = {"test", "validation", PM_PROBE_SPLIT}, *const metric[] = {
                                                                                   "acc", "exact_match",
                                                                                   "nll"};
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++) {
            t->split = split[i];
            t->metric = asked ? asked : metric[k];
            if (any_score(r, t)) return;
        }
    }
    t->split = t->metric = "";
}

static void find_forgetting(pm_results *r) {
    for (int i = 0; i < r->n_runs; i++) {
        pm_task_facts *t = &r->task[find_task(r, r->run[i].task)];
        if (strcmp(t->split, PM_PROBE_SPLIT) != 0 && pm_result_forgetting(&r->run[i])) t->forgets = true;
    }
}

static void list_setups(pm_results *r) {
    r->setup = pm_xalloc(((size_t)r->n_runs + 1) * sizeof *r->setup);
    for (int i = 0; i < r->n_runs; i++) {
        const pm_result *x = &r->run[i];
        if (i && compare_setups(x, &r->run[i - 1]) == 0) continue;
        if (r->n_setups && strcmp(x->model, r->setup[r->n_setups - 1].model) != 0) r->several_models = true;
        r->setup[r->n_setups++] = (pm_setup){.model = x->model,
                                             .method = x->method,
                                             .label = x->label,
                                             .commit = x->commit,
                                             .origin = x->origin,
                                             .name = x->label};
    }
}

static void fill_places(pm_results *r, bool tuning) {
    const pm_result **list =
        pm_arena_zalloc(r->keep, ((size_t)r->n_runs + 1) * sizeof(void *), PM_MEM_WORKSPACE);
    r->place = pm_xalloc(((size_t)r->n_setups * (size_t)r->n_tasks + 1) * sizeof *r->place);
    for (int i = 0, setup = 0, n = 0; i < r->n_runs; i++) {
        const pm_result *x = &r->run[i], *last = i ? x - 1 : NULL;
        if (last && compare_setups(x, last) != 0) setup++;
        pm_place_runs *p = &r->place[setup * r->n_tasks + find_task(r, x->task)];
        if (!p->n) p->run = list + n;
        const pm_result *before = p->n ? p->run[p->n - 1] : NULL;
        if (before && before->seed == x->seed && (!tuning || before->trial == x->trial)) continue;
        list[n++] = x;
        p->n++;
    }
}

/* Runs that ended otherwise, at the seeds that have no run which is ok. */
static void count_lost(const loader *l) {
    pm_results *r = l->r;
    for (int i = 0; i < l->n_other; i++) {
        const pm_result *x = &l->other[i];
        int task = find_task(r, x->task);
        for (int k = 0; k < r->n_setups && task >= 0; k++) {
            pm_place_runs *p = &r->place[k * r->n_tasks + task];
            bool same = p->n && compare_setups(p->run[0], x) == 0, there = false;
            for (int j = 0; same && j < p->n; j++) there |= p->run[j]->seed == x->seed;
            if (same && !there) p->lost++;
        }
    }
}

/* ---- names --------------------------------------------------------------------------------------------------------------- */

static const pm_result *first_run(const pm_results *r, int setup) {
    for (int t = 0; t < r->n_tasks; t++)
        if (r->place[setup * r->n_tasks + t].n) return r->place[setup * r->n_tasks + t].run[0];
    return NULL;
}

static bool same_label(const pm_results *r, int i, int j) {
    const pm_setup *a = &r->setup[i], *b = &r->setup[j];
    return strcmp(a->model, b->model) == 0 && strcmp(a->label, b->label) == 0;
}

/* "lora optim.lr=0.001": the settings in which rows of one label differ. */
static const char *long_name(const pm_results *r, int setup, cJSON **settings) {
    pm_buf b = {0};
    pm_buf_puts(&b, r->setup[setup].label);
    if (r->commits) pm_buf_printf(&b, "@%.10s", r->setup[setup].commit);
    const cJSON *item = settings[setup] ? settings[setup]->child : NULL;
    for (; item; item = item->next) {
        bool differs = false;
        for (int k = 0; k < r->n_setups; k++)
            if (same_label(r, setup, k))
                differs |=
                    !cJSON_Compare(item, cJSON_GetObjectItemCaseSensitive(settings[k], item->string), true);
        if (!differs) continue;
        char *value = cJSON_PrintUnformatted(item);
        if (value) pm_buf_printf(&b, " %s=%s", item->string, value);
        free(value);
    }
    const char *name = pm_arena_strdup(r->keep, b.p);
    pm_buf_free(&b);
    return name;
}

static void name_setups(pm_results *r) {
    cJSON **settings = pm_xalloc(((size_t)r->n_setups + 1) * sizeof *settings);
    for (int i = 0; i < r->n_setups; i++)
        settings[i] = cJSON_Parse(first_run(r, i)->identity + (r->commits ? strlen(r->setup[i].commit) : 0));
    for (int i = 0; i < r->n_setups; i++) r->setup[i].name = long_name(r, i, settings);
    for (int i = 0; i < r->n_setups; i++) cJSON_Delete(settings[i]);
    free(settings);
}

/* ---- outcomes ------------------------------------------------------------------------------------------------------------ */

static bool any_scored(const pm_outcomes *o) {
    int64_t i = 0;
    while (i < o->n && o->correct[i] < 0) i++;
    return i < o->n;
}

static const float *keep_outcomes(loader *l, const pm_outcomes *o) {
    float *x = pm_arena_alloc(l->r->keep, (size_t)o->n * sizeof *x, PM_MEM_WORKSPACE);
    for (int64_t i = 0; i < o->n; i++) x[i] = o->correct[i] < 0 ? NAN : (float)o->correct[i];
    return x;
}

/* Runs of different versions may know different clusters of the same items: the fewest are the most careful. */
static void keep_clusters(loader *l, const pm_outcomes *o, pm_task_facts *t) {
    if (!o->cluster || (t->cluster && t->n_clusters <= o->n_clusters)) return;
    size_t bytes = (size_t)o->n * sizeof *o->cluster;
    int32_t *of = pm_arena_alloc(l->r->keep, bytes, PM_MEM_WORKSPACE);
    memcpy(of, o->cluster, bytes);
    t->cluster = of;
    t->n_clusters = o->n_clusters;
}

/* All runs of a task that have the items which the first has. */
static pm_status read_task(loader *l, pm_outcome_reader *reader, pm_task_facts *t, pm_err *e) {
    const char *items = NULL;
    pm_status s = PM_OK;
    for (int i = 0; i < l->r->n_runs && s == PM_OK; i++) {
        pm_result *run = &l->r->run[i];
        pm_outcomes o;
        if (strcmp(run->task, t->name) != 0) continue;
        s = pm_outcomes_read(reader, run->id, t->split, &o, e);
        if (s != PM_OK || !any_scored(&o)) continue;
        if (!items) t->n_items = o.n, items = o.items;
        if (strcmp(o.items, items) != 0) continue;
        run->outcome = keep_outcomes(l, &o);
        keep_clusters(l, &o, t);
    }
    return s;
}

static pm_status read_outcomes(loader *l, pm_db *d, pm_err *e) {
    pm_outcome_reader *reader;
    pm_status s = pm_outcome_reader_open(d, &reader, e);
    for (int t = 0; t < l->r->n_tasks && s == PM_OK; t++) s = read_task(l, reader, &l->r->task[t], e);
    pm_outcome_reader_close(reader);
    return s;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

static pm_status nothing(const loader *l, pm_err *e) {
    pm_fail(e, PM_EUSAGE, "%s: nothing measured: no %s that is ok%s%.80s", l->path,
            l->q->tuning ? "tuning trial" : "run", l->q->task ? " on task " : "",
            l->q->task ? l->q->task : "");
    return pm_hint(e, l->q->tuning
                          ? "`peftmeter sweep PLAN.json --db FILE` tunes; --sweep names one of several"
                          : "`peftmeter run` or `peftmeter sweep PLAN.json` measures; --db names the file");
}

/* Those that did not end well are lost seeds of a row: they must know its model, too. */
static void unite_models(loader *l) {
    int n = 0;
    pm_result **all = pm_xalloc(((size_t)l->r->n_runs + (size_t)l->n_other + 1) * sizeof *all);
    for (int i = 0; i < l->r->n_runs; i++) all[n++] = &l->r->run[i];
    for (int i = 0; i < l->n_other; i++) all[n++] = &l->other[i];
    pm_models_unite(all, n);
    free(all);
}

static void group(loader *l) {
    pm_results *r = l->r;
    unite_models(l);
    qsort(r->run, (size_t)r->n_runs, sizeof *r->run, compare_results);
    list_tasks(r);
    list_setups(r);
    fill_places(r, l->q->tuning);
    count_lost(l);
    name_setups(r);
}

pm_status pm_results_load(pm_db *d, const char *path, const pm_selection *q, pm_results *out, pm_err *e) {
    *out = (pm_results){.keep = pm_arena_new("report", 0), .sweep = "", .commits = q->commits};
    loader l = {.d = d, .h = pm_db_handle(d), .path = path, .q = q, .r = out};
    pm_status s = choose_sweep(&l, e);
    if (s == PM_OK) s = read_runs(&l, e);
    if (s == PM_OK) s = read_imported(&l, e);
    if (s == PM_OK) s = count_left_out(&l, e);
    if (s == PM_OK && !out->n_runs) s = nothing(&l, e);
    if (s == PM_OK) group(&l);
    if (s == PM_OK) s = read_scores(&l, e);
    for (int t = 0; t < out->n_tasks && s == PM_OK; t++) choose_score(out, &out->task[t], q->metric);
    if (s == PM_OK) find_forgetting(out);
    if (s == PM_OK && q->outcomes) s = read_outcomes(&l, d, e);
    free(l.other);
    return s;
}

void pm_results_free(pm_results *r) {
    free(r->run), free(r->task), free(r->setup), free(r->place);
    pm_arena_free(r->keep);
    *r = (pm_results){0};
}

const pm_place_runs *pm_results_at(const pm_results *r, int setup, int task) {
    return &r->place[setup * r->n_tasks + task];
}

int pm_results_imported(const pm_results *r) {
    int n = 0;
    for (int i = 0; i < r->n_setups; i++) n += r->setup[i].origin[0] != 0;
    return n;
}

int pm_model_end(const pm_results *r, int setup) {
    int end = setup + 1;
    while (end < r->n_setups && strcmp(r->setup[end].model, r->setup[setup].model) == 0) end++;
    return end;
}

/* ---- finding a row ------------------------------------------------------------------------------------------------------- */

static bool answers_to(const pm_setup *s, const char *name) {
    const char *at = strchr(name, '@');
    size_t n = at ? (size_t)(at - name) : strlen(name);
    if (strcmp(s->name, name) == 0) return true;
    if (strlen(s->label) != n || strncmp(s->label, name, n) != 0) return false;
    return !at || strncmp(s->commit, at + 1, strlen(at + 1)) == 0;
}

pm_status pm_results_find(const pm_results *r, const char *path, const char *name, int *setup, pm_err *e) {
    pm_buf all = {0}, found = {0};
    int n = 0;
    for (int i = 0; i < r->n_setups; i++) {
        pm_buf_printf(&all, "%s%s", i ? ", " : "", r->setup[i].name);
        if (!answers_to(&r->setup[i], name)) continue;
        pm_buf_printf(&found, "%s%s", n ? ", " : "", r->setup[i].name);
        *setup = i;
        n++;
    }
    if (n != 1) {
        pm_fail(e, PM_EUSAGE, "%s: %s row %.80s", path, n ? "more than one" : "there is no", name);
        pm_hint(e, "%s: %.200s", n ? "name one of them" : "it has", n ? found.p : all.p);
    }
    pm_buf_free(&all), pm_buf_free(&found);
    return n == 1 ? PM_OK : PM_EUSAGE;
}

/* ---- counts -------------------------------------------------------------------------------------------------------------- */

/* The model's own numbers: what the adapter adds is no part of them, but where they are trained themselves. */
double pm_result_percent_of_base(const pm_result *run) {
    const pm_method *m = pm_method_find(run->method);
    bool adds = m && !(m->flags & PM_TRAINS_BASE);
    int64_t base = run->total - (adds ? run->trainable : 0);
    return run->trainable < 0 || run->total <= 0 || base <= 0 ? (double)NAN
                                                              : 100 * (double)run->trainable / (double)base;
}

double pm_result_percent_of_total(const pm_result *run) {
    return run->trainable < 0 || run->total <= 0 ? (double)NAN
                                                 : 100 * (double)run->trainable / (double)run->total;
}
