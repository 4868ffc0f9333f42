/* regress_runs.c - see regress_runs.h. */
#include "regress_runs.h"

#include "git.h"
#include "jsonio.h"
#include "sha256.h"
#include "text.h"
#include <ctype.h>
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { COMMIT_LEAST = 4, COMMIT_SHOWN = 10 };

/* ---- SQL ----------------------------------------------------------------------------------------------------------------- */

static pm_status ask(const pm_run_set *s, const char *sql, const char *text, int64_t id, sqlite3_stmt **st,
                     pm_err *e) {
    if (sqlite3_prepare_v2(pm_db_handle(s->db), sql, -1, st, NULL) != SQLITE_OK)
        return pm_db_unreadable(s->db, e);
    if (id)
        sqlite3_bind_int64(*st, 1, id);
    else if (text)
        sqlite3_bind_text(*st, 1, text, -1, SQLITE_STATIC);
    return PM_OK;
}

static const char *text_of(const pm_run_set *s, sqlite3_stmt *st, int column) {
    const char *x = (const char *)sqlite3_column_text(st, column);
    return x && *x ? pm_arena_strdup(s->keep, x) : "";
}

/* ---- which runs ---------------------------------------------------------------------------------------------------------- */

typedef struct wanted {
    const char *commit; /* prefix; NULL: all */
    const char *ids;    /* 12,14-20; NULL: all */
} wanted;

static bool lists(const char *ids, int64_t id) {
    for (const char *p = ids; *p;) {
        char *end;
        int64_t low = strtoll(p, &end, 10), high = *end == '-' ? strtoll(end + 1, &end, 10) : low;
        if (id >= low && id <= high) return true;
        p = *end == ',' ? end + 1 : "";
    }
    return false;
}

static bool is_wanted(const wanted *w, const pm_recorded *r) {
    if (w->ids) return lists(w->ids, r->id);
    return !w->commit || strncmp(r->commit, w->commit, strlen(w->commit)) == 0;
}

static const cJSON *settings_of(pm_run_set *s, const char *text) {
    cJSON *j = cJSON_Parse(text);
    if (!j) return NULL;
    s->settings = pm_xrealloc(s->settings, (size_t)(s->n_settings + 1) * sizeof *s->settings);
    return s->settings[s->n_settings++] = j;
}

static void add_fact(pm_recorded *r, const char *name, int64_t value) {
    r->fact = pm_xrealloc(r->fact, (size_t)(r->n_facts + 1) * sizeof *r->fact);
    r->fact[r->n_facts++] = (pm_fact){name, value};
}

static void take_count(pm_recorded *r, const char *name, sqlite3_stmt *st, int column) {
    if (sqlite3_column_type(st, column) == SQLITE_INTEGER)
        add_fact(r, name, sqlite3_column_int64(st, column));
}

/* The label's column is the last: databases before version 2 know no sweeps. */
#define COLUMNS                                                                                              \
    "SELECT r.id, r.seed, r.method, r.task, r.status, r.error, r.started_at, r.model_hash, r.data_hash, "    \
    "r.train_hash, r.adapter_hash, r.commit_id, h.fingerprint, r.dirty, r.config, r.trainable_params, "      \
    "r.total_params, "
#define FROM                                                                                                 \
    " FROM runs r LEFT JOIN hosts h ON h.id = r.host_id WHERE r.status NOT IN ('running', 'cancelled')"

static const char *runs_sql(bool sweeps, const char *sweep) {
    static const char of_sweep[] = COLUMNS
        "(SELECT max(label) FROM sweep_runs s WHERE s.run_id = r.id AND s.sweep = ?1)" FROM
        " AND EXISTS (SELECT 1 FROM sweep_runs s WHERE s.run_id = r.id AND s.sweep = ?1 AND stage = 'final') "
        "ORDER BY r.id";
    static const char of_all[] = COLUMNS
        "coalesce((SELECT max(label) FROM sweep_runs s WHERE s.run_id = r.id), r.method)" FROM
        " AND NOT EXISTS (SELECT 1 FROM sweep_runs s WHERE s.run_id = r.id AND stage = 'tune' AND NOT EXISTS "
        "(SELECT 1 FROM sweep_runs f WHERE f.run_id = r.id AND f.stage = 'final')) ORDER BY r.id";
    static const char of_old[] = COLUMNS "r.method" FROM " ORDER BY r.id";
    return !sweeps ? of_old : sweep ? of_sweep : of_all;
}

static void take_run(pm_run_set *s, const wanted *w, sqlite3_stmt *st) {
    pm_recorded r = {.id = sqlite3_column_int64(st, 0),
                     .seed = sqlite3_column_int64(st, 1),
                     .commit = text_of(s, st, 11),
                     .split = "",
                     .metric = "",
                     .score = (double)NAN};
    if (!is_wanted(w, &r)) return;
    r.method = text_of(s, st, 2), r.task = text_of(s, st, 3), r.status = text_of(s, st, 4);
    r.error = text_of(s, st, 5), r.started = text_of(s, st, 6), r.model_hash = text_of(s, st, 7);
    r.data_hash = text_of(s, st, 8), r.train_hash = text_of(s, st, 9), r.adapter_hash = text_of(s, st, 10);
    r.host = text_of(s, st, 12), r.label = r.name = text_of(s, st, 17);
    r.dirty = sqlite3_column_type(st, 13) == SQLITE_INTEGER ? sqlite3_column_int(st, 13) != 0 : -1;
    r.settings = settings_of(s, text_of(s, st, 14));
    take_count(&r, "trainable_params", st, 15);
    take_count(&r, "total_params", st, 16);
    s->run = pm_xrealloc(s->run, (size_t)(s->n + 1) * sizeof *s->run);
    s->run[s->n++] = r;
}

static pm_status read_runs(pm_run_set *s, const wanted *w, const char *sweep, pm_err *e) {
    bool sweeps = sqlite3_table_column_metadata(pm_db_handle(s->db), "main", "sweep_runs", "label", NULL,
                                                NULL, NULL, NULL, NULL) == SQLITE_OK;
    sqlite3_stmt *st = NULL;
    int rc;
    pm_status r = ask(s, runs_sql(sweeps, sweep), sweep, 0, &st, e);
    if (r != PM_OK) return r;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) take_run(s, w, st);
    return pm_db_done(s->db, st, rc, PM_OK, e);
}

/* ---- what is exact ------------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b) {
    return strcmp(((const pm_fact *)a)->name, ((const pm_fact *)b)->name);
}

/* What warm-up left out of the timing is a matter of speed. */
static pm_status read_facts(const pm_run_set *s, pm_recorded *r, pm_err *e) {
    static const char sql[] =
        "SELECT name, value FROM counters WHERE run_id = ?1 AND name NOT IN ('steps_timed', 'tokens_timed', "
        "'warmup_steps_dropped') UNION ALL SELECT 'memory_' || category, bytes FROM memory WHERE run_id = ?1 "
        "AND category NOT IN (" PM_MEMORY_MEASURED ")";
    sqlite3_stmt *st = NULL;
    int rc;
    pm_status x = ask(s, sql, NULL, r->id, &st, e);
    if (x != PM_OK) return x;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        if (sqlite3_column_type(st, 1) == SQLITE_INTEGER)
            add_fact(r, text_of(s, st, 0), sqlite3_column_int64(st, 1));
    qsort(r->fact, (size_t)r->n_facts, sizeof *r->fact, by_name);
    return pm_db_done(s->db, st, rc, PM_OK, e);
}

/* The numbers of a statement's first two columns, as they are stored; *n: rows. */
static pm_status hash_rows(const pm_run_set *s, const char *sql, int64_t id, pm_sha256 *h, int64_t *n,
                           pm_err *e) {
    sqlite3_stmt *st = NULL;
    int rc;
    pm_status x = ask(s, sql, NULL, id, &st, e);
    if (x != PM_OK) return x;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        double v[] = {pm_db_real(st, 0), pm_db_real(st, 1)};
        pm_sha256_update(h, v, sizeof v);
        ++*n;
    }
    return pm_db_done(s->db, st, rc, PM_OK, e);
}

static pm_status read_bits(const pm_run_set *s, pm_recorded *r, pm_err *e) {
    pm_sha256 h;
    int64_t n = 0;
    pm_sha256_init(&h);
    pm_status x =
        hash_rows(s, "SELECT loss, grad_norm FROM steps WHERE run_id = ?1 ORDER BY step", r->id, &h, &n, e);
    if (x == PM_OK)
        x = hash_rows(s, "SELECT value, n FROM metrics WHERE run_id = ?1 ORDER BY split, name, version",
                      r->id, &h, &n, e);
    if (x == PM_OK && n) pm_sha256_hex(&h, r->bits);
    return x;
}

static pm_status read_score(const pm_run_set *s, pm_recorded *r, pm_err *e) {
    static const char sql[] =
        "SELECT split, name, version, value FROM metrics WHERE run_id = ?1 AND value NOT NULL AND split IN "
        "('test', 'validation') AND name IN ('acc', 'exact_match', 'nll') ORDER BY split, name, version DESC "
        "LIMIT 1";
    sqlite3_stmt *st = NULL;
    pm_status x = ask(s, sql, NULL, r->id, &st, e);
    if (x != PM_OK) return x;
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        r->split = text_of(s, st, 0), r->metric = text_of(s, st, 1);
        r->version = sqlite3_column_int(st, 2), r->score = pm_db_real(st, 3);
    }
    return pm_db_done(s->db, st, rc, PM_OK, e);
}

static pm_status read_all(pm_run_set *s, const wanted *w, const char *sweep, bool bits, pm_err *e) {
    pm_status x = read_runs(s, w, sweep, e);
    for (int i = 0; i < s->n && x == PM_OK; i++) {
        x = read_facts(s, &s->run[i], e);
        if (x == PM_OK && bits) x = read_bits(s, &s->run[i], e);
        if (x == PM_OK) x = read_score(s, &s->run[i], e);
    }
    return x;
}

/* ---- what answers to what ------------------------------------------------------------------------------------------------ */

static bool unlike(pm_unlike *why, const char *key, const char *a, const char *b) {
    if (why) {
        snprintf(why->key, sizeof why->key, "%s", key);
        snprintf(why->a, sizeof why->a, "%.20s", a);
        snprintf(why->b, sizeof why->b, "%.20s", b);
    }
    return false;
}

static bool setting_counts(const char *key) {
    return strcmp(key, "model") != 0 && strcmp(key, "task") != 0 && strcmp(key, "seed") != 0;
}

/* A setting that only one of two programs knows is no difference between their runs. */
static bool settings_agree(const cJSON *a, const cJSON *b, pm_unlike *why) {
    for (const cJSON *x = a ? a->child : NULL; x; x = x->next) {
        const cJSON *y = cJSON_GetObjectItemCaseSensitive(b, x->string);
        if (!y || !setting_counts(x->string) || cJSON_Compare(x, y, true)) continue;
        char *p = cJSON_PrintUnformatted(x), *q = cJSON_PrintUnformatted(y);
        unlike(why, x->string, p ? p : "", q ? q : "");
        free(p), free(q);
        return false;
    }
    return true;
}

bool pm_answers(const pm_recorded *a, const pm_recorded *b, pm_unlike *why) {
    const struct {
        const char *key, *a, *b;
    } must[] = {{"method", a->method, b->method},
                {"task", a->task, b->task},
                {"model_hash", a->model_hash, b->model_hash},
                {"data_hash", a->data_hash, b->data_hash},
                {"train_hash", a->train_hash, b->train_hash},
                {"adapter_hash", a->adapter_hash, b->adapter_hash}};
    char s[2][24];
    if (why) *why = (pm_unlike){.key = ""};
    for (size_t i = 0; i < sizeof must / sizeof *must; i++) {
        /* A run that failed before its data were read has no hashes. */
        bool known = i < 2 || (*must[i].a && *must[i].b) || i == 5;
        if (known && strcmp(must[i].a, must[i].b) != 0) return unlike(why, must[i].key, must[i].a, must[i].b);
    }
    if (!settings_agree(a->settings, b->settings, why)) return false;
    snprintf(s[0], sizeof s[0], "%lld", (long long)a->seed);
    snprintf(s[1], sizeof s[1], "%lld", (long long)b->seed);
    return a->seed == b->seed || unlike(why, "seed", s[0], s[1]);
}

bool pm_same_config(const pm_recorded *a, const pm_recorded *b) {
    pm_unlike why;
    return strcmp(a->label, b->label) == 0 && (pm_answers(a, b, &why) || strcmp(why.key, "seed") == 0);
}

static const pm_recorded *find_like(const pm_recorded *run, const pm_run_set *s) {
    const pm_recorded *last = NULL;
    for (int i = 0; i < s->n; i++)
        if (pm_answers(run, &s->run[i], NULL)) {
            bool same_label = strcmp(run->label, s->run[i].label) == 0;
            if (same_label) return &s->run[i];
            last = &s->run[i];
        }
    return last;
}

pm_pairing pm_pair_runs(const pm_run_set *base, const pm_run_set *head, pm_arena *keep) {
    size_t n = (size_t)(base->n + head->n) + 1;
    pm_pairing p = {.pair = pm_arena_zalloc(keep, n * sizeof *p.pair, PM_MEM_WORKSPACE),
                    .only_base = pm_arena_zalloc(keep, n * sizeof(void *), PM_MEM_WORKSPACE),
                    .only_head = pm_arena_zalloc(keep, n * sizeof(void *), PM_MEM_WORKSPACE)};
    for (int i = 0; i < base->n; i++) {
        const pm_recorded *head_run = find_like(&base->run[i], head);
        if (head_run)
            p.pair[p.n++] = (pm_run_pair){&base->run[i], head_run};
        else
            p.only_base[p.n_only_base++] = &base->run[i];
    }
    for (int i = 0; i < head->n; i++)
        if (!find_like(&head->run[i], base)) p.only_head[p.n_only_head++] = &head->run[i];
    return p;
}

const char *pm_why_alone(const pm_recorded *run, const pm_run_set *others, pm_arena *keep) {
    pm_unlike why;
    for (int i = 0; i < others->n; i++) {
        const pm_recorded *x = &others->run[i];
        if (strcmp(x->label, run->label) != 0 || strcmp(x->task, run->task) != 0) continue;
        pm_answers(run, x, &why);
        return pm_arena_printf(keep, "%s: %s is %s and %s", run->name, why.key, why.a, why.b);
    }
    return pm_arena_printf(keep, "%s: not there", run->name);
}

/* ---- the set as a whole -------------------------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b) {
    const pm_recorded *x = a, *y = b;
    int d = strcmp(x->task, y->task);
    if (!d) d = strcmp(x->label, y->label);
    if (!d) d = (x->seed > y->seed) - (x->seed < y->seed);
    return d ? d : (x->id < y->id) - (x->id > y->id);
}

/* Of runs of one configuration and seed the latest, which comes first. */
static void keep_latest(pm_run_set *s) {
    int n = 0;
    for (int i = 0; i < s->n; i++) {
        bool there = false;
        for (int k = 0; k < n && !there; k++)
            there = s->run[k].seed == s->run[i].seed && strcmp(s->run[k].label, s->run[i].label) == 0 &&
                    pm_answers(&s->run[k], &s->run[i], NULL);
        if (there)
            free(s->run[i].fact);
        else
            s->run[n++] = s->run[i];
    }
    s->n = n;
}

/* The settings in which runs of one label differ, as "lora method.rank=4". */
static void add_settings(const pm_run_set *s, int i, pm_buf *b) {
    const pm_recorded *r = &s->run[i];
    for (const cJSON *x = r->settings ? r->settings->child : NULL; x; x = x->next) {
        bool differs = false;
        for (int k = 0; k < s->n && setting_counts(x->string) && !differs; k++) {
            bool like = s->run[k].seed == r->seed && strcmp(s->run[k].label, r->label) == 0 &&
                        strcmp(s->run[k].task, r->task) == 0;
            if (!like) continue;
            const cJSON *y = cJSON_GetObjectItemCaseSensitive(s->run[k].settings, x->string);
            differs = y && !cJSON_Compare(x, y, true);
        }
        char *value = differs ? cJSON_PrintUnformatted(x) : NULL;
        if (value) pm_buf_printf(b, " %s=%s", x->string, value);
        free(value);
    }
}

void pm_run_set_name(pm_run_set *s) {
    bool tasks = false, seeds = false;
    for (int i = 1; i < s->n; i++) {
        tasks |= strcmp(s->run[i].task, s->run[0].task) != 0;
        seeds |= s->run[i].seed != s->run[0].seed;
    }
    for (int i = 0; i < s->n; i++) {
        pm_buf b = {0};
        pm_buf_puts(&b, s->run[i].label);
        add_settings(s, i, &b);
        if (tasks) pm_buf_printf(&b, " %s", s->run[i].task);
        if (seeds) pm_buf_printf(&b, " seed %lld", (long long)s->run[i].seed);
        s->run[i].name = pm_arena_strdup(s->keep, b.p);
        pm_buf_free(&b);
    }
}

void pm_run_set_finish(pm_run_set *s) {
    if (s->n) qsort(s->run, (size_t)s->n, sizeof *s->run, by_place);
    keep_latest(s);
    for (int i = 0; i < s->n; i++) s->n_dirty += s->run[i].dirty == 1;
    pm_run_set_name(s);
}

void pm_run_set_close(pm_run_set *s) {
    for (int i = 0; i < s->n; i++) free(s->run[i].fact);
    for (int i = 0; i < s->n_settings; i++) cJSON_Delete(s->settings[i]);
    free(s->settings), free(s->run);
    pm_db_close(s->db);
    pm_arena_free(s->keep);
    *s = (pm_run_set){0};
}

/* ---- REF ----------------------------------------------------------------------------------------------------------------- */

static bool is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool is_hex(const char *s) {
    return *s && s[strspn(s, "0123456789abcdef")] == 0;
}

/* The latest recorded commits, for a hint. */
static const char *recorded_commits(const pm_run_set *s) {
    static const char sql[] =
        "SELECT group_concat(c, ', ') FROM (SELECT substr(commit_id, 1, 10) AS c FROM runs WHERE commit_id "
        "NOT NULL GROUP BY commit_id ORDER BY max(id) DESC LIMIT 8)";
    sqlite3_stmt *st = NULL;
    const char *list = "";
    if (ask(s, sql, NULL, 0, &st, NULL) == PM_OK && sqlite3_step(st) == SQLITE_ROW) list = text_of(s, st, 0);
    sqlite3_finalize(st);
    return list;
}

static pm_status no_such_commit(const pm_run_set *s, const char *ref, const char *path, pm_err *e) {
    const char *list = recorded_commits(s);
    pm_fail(e, PM_EUSAGE, "nothing measured: %.200s has no run of commit %.80s", path, ref);
    return *list ? pm_hint(e, "recorded commits: %.200s", list)
                 : pm_hint(e, "its runs say no commit; name the runs themselves by their ids, as 1,4-9");
}

/* How many recorded commits start with the prefix; the first in *full. */
static int count_commits(const pm_run_set *s, const char *prefix, const char **full) {
    sqlite3_stmt *st = NULL;
    int n = 0;
    *full = "";
    if (ask(s, "SELECT DISTINCT commit_id FROM runs WHERE substr(commit_id, 1, length(?1)) = ?1", prefix, 0,
            &st, NULL) == PM_OK)
        while (sqlite3_step(st) == SQLITE_ROW)
            if (!n++) *full = text_of(s, st, 0);
    sqlite3_finalize(st);
    return n;
}

static pm_status find_commit(const pm_run_set *s, const char *ref, const char *path, wanted *w, pm_err *e) {
    const char *full;
    int n = is_hex(ref) && strlen(ref) >= COMMIT_LEAST ? count_commits(s, ref, &full) : 0;
    if (n > 1) {
        pm_fail(e, PM_EUSAGE, "%.80s: %d recorded commits start so", ref, n);
        return pm_hint(e, "write more of it; recorded commits: %.180s", recorded_commits(s));
    }
    if (!n) {
        char here[65];
        n = pm_git_commit(ref, here) ? count_commits(s, here, &full) : 0;
    }
    if (!n) return no_such_commit(s, ref, path, e);
    w->commit = full;
    return PM_OK;
}

static bool is_ids(const char *ref) {
    return isdigit((unsigned char)*ref) && ref[strspn(ref, "0123456789,-")] == 0;
}

/* REF within a database; "": all of it. */
static pm_status resolve(pm_run_set *s, const char *ref, const char *path, wanted *w, pm_err *e) {
    const char *full;
    *w = (wanted){0};
    if (!*ref) return PM_OK;
    if (is_ids(ref) && !(strlen(ref) >= 7 && count_commits(s, ref, &full) == 1)) {
        w->ids = ref;
        return PM_OK;
    }
    return find_commit(s, ref, path, w, e);
}

/* FILE, FILE@REF, or a REF within db. */
static void split_ref(const char *ref, const char *db, pm_arena *keep, const char **path, const char **rest) {
    const char *at = strrchr(ref, '@');
    char *before = at ? pm_arena_printf(keep, "%.*s", (int)(at - ref), ref) : NULL;
    *path = db, *rest = ref;
    if (is_file(ref) || pm_path_ends(ref, ".db"))
        *path = ref, *rest = "";
    else if (before && (is_file(before) || pm_path_ends(before, ".db")))
        *path = before, *rest = at + 1;
}

static void name_set(pm_run_set *s, const char *path, const wanted *w) {
    const char *what = w->ids ? w->ids : w->commit;
    if (what)
        s->name = pm_arena_printf(s->keep, "%s%.*s in %s", w->ids ? "runs " : "", w->ids ? 40 : COMMIT_SHOWN,
                                  what, path);
    else
        s->name = path;
}

pm_status pm_run_set_open(const char *ref, const char *db, const char *sweep, pm_run_set *out, pm_err *e) {
    const char *path, *rest;
    wanted w;
    *out = (pm_run_set){.keep = pm_arena_new("runs", 0)};
    split_ref(ref, db, out->keep, &path, &rest);
    path = pm_arena_strdup(out->keep, path);
    pm_status x = pm_db_open_readonly(path, &out->db, e);
    if (x == PM_OK) x = resolve(out, rest, path, &w, e);
    if (x == PM_OK) x = read_all(out, &w, sweep, true, e);
    if (x != PM_OK) return x;
    name_set(out, path, &w);
    pm_run_set_finish(out);
    if (out->n) return PM_OK;
    pm_fail(e, PM_EUSAGE, "nothing measured: %.200s has no finished run%s%.60s", out->name,
            sweep ? " of the suite " : "", sweep ? sweep : "");
    return sweep ? pm_hint(e, "run it first: peftmeter sweep PLAN.json --db FILE; or leave --suite away")
                 : pm_hint(e, "`peftmeter run` and `sweep` record runs");
}

pm_status pm_run_set_all(pm_db *d, const char *sweep, pm_run_set *out, pm_err *e) {
    const wanted w = {0};
    *out = (pm_run_set){.keep = pm_arena_new("runs", 0), .db = d, .name = ""};
    pm_status x = read_all(out, &w, sweep, false, e);
    if (out->n) qsort(out->run, (size_t)out->n, sizeof *out->run, by_place);
    out->db = NULL; /* the caller's */
    return x;
}
