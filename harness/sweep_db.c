/* sweep_db.c - the queries of a sweep (sweep_db.h). */
#include "sweep_db.h"
#include "text.h"
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

static pm_status db_failed(pm_db *d, pm_err *e) {
    pm_fail(e, PM_EDB, "%s: %s", sqlite3_db_filename(pm_db_handle(d), "main"),
            sqlite3_errmsg(pm_db_handle(d)));
    return pm_hint(e, "check the disk, and that nothing else holds the database");
}

/* One statement with its parameters: 's' text, 'i' int64, 'd' double. Leaves it on its first row, if any. */
typedef union arg {
    const char *s;
    int64_t i;
    double d;
} arg;

static int bind(sqlite3_stmt *st, int i, char type, arg v) {
    if (type == 's') return sqlite3_bind_text(st, i, v.s, -1, SQLITE_STATIC);
    return type == 'd' ? sqlite3_bind_double(st, i, v.d) : sqlite3_bind_int64(st, i, v.i);
}

static sqlite3_stmt *ask(pm_db *d, const char *sql, const char *types, const arg *v, int *rc) {
    sqlite3_stmt *st = NULL;
    *rc = sqlite3_prepare_v2(pm_db_handle(d), sql, -1, &st, NULL);
    for (int i = 0; types[i] && *rc == SQLITE_OK; i++) *rc = bind(st, i + 1, types[i], v[i]);
    if (*rc == SQLITE_OK) *rc = sqlite3_step(st);
    return st;
}

static pm_status finish(pm_db *d, sqlite3_stmt *st, int rc, pm_err *e) {
    pm_status s = rc == SQLITE_ROW || rc == SQLITE_DONE ? PM_OK : db_failed(d, e);
    sqlite3_finalize(st);
    return s;
}

static pm_status tell(pm_db *d, const char *sql, const char *types, const arg *v, pm_err *e) {
    int rc;
    sqlite3_stmt *st = ask(d, sql, types, v, &rc);
    return finish(d, st, rc, e);
}

/* Runs done: the work is there. What a plain `run` left broken is not a sweep's to empty. */
pm_status pm_sweepdb_find(pm_db *d, const char *run_key, const char *commit, pm_row_state *state,
                          int64_t *run_id, pm_err *e) {
    static const char sql[] =
        "SELECT id, CASE status WHEN 'ok' THEN 1 WHEN 'diverged' THEN 2 ELSE 3 END AS state FROM runs "
        "WHERE run_key = ?1 AND (?2 IS NULL OR (commit_id = ?2 AND dirty = 0)) AND (status IN ('ok', "
        "'diverged') OR EXISTS "
        "(SELECT 1 FROM sweep_runs WHERE run_id = id)) ORDER BY state, id LIMIT 1";
    int rc;
    sqlite3_stmt *st = ask(d, sql, "ss", (const arg[]){{.s = run_key}, {.s = commit}}, &rc);
    *state = PM_ROW_NONE;
    *run_id = 0;
    if (rc == SQLITE_ROW) {
        *run_id = sqlite3_column_int64(st, 0);
        *state = (pm_row_state)sqlite3_column_int(st, 1);
    }
    return finish(d, st, rc, e);
}

pm_status pm_sweepdb_bury(pm_db *d, pm_err *e) {
    return tell(
        d,
        "UPDATE runs SET status = 'failed', error = 'the sweep was killed while this run was going on', "
        "finished_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') "
        "WHERE status = 'running' AND id IN (SELECT run_id FROM sweep_runs)",
        "", NULL, e);
}

pm_status pm_sweepdb_place(pm_db *d, int64_t run_id, const pm_place *p, pm_err *e) {
    return tell(
        d,
        "INSERT INTO sweep_runs (sweep, run_id, stage, label, trial) VALUES (?,?,?,?,?) ON CONFLICT DO "
        "UPDATE "
        "SET stage = excluded.stage, label = excluded.label, trial = excluded.trial",
        "sissi",
        (const arg[]){{.s = p->sweep}, {.i = run_id}, {.s = p->stage}, {.s = p->label}, {.i = p->trial}}, e);
}

/* The emptied row keeps its id: rows of a sweep that was killed and resumed are those of one that was not. */
static pm_status begin(pm_db *d, const pm_db_run *r, const pm_place *p, int64_t old, int64_t *run_id,
                       pm_err *e) {
    pm_status rc = PM_OK;
    if (old) rc = tell(d, "DELETE FROM runs WHERE id = ?", "i", (const arg[]){{.i = old}}, e);
    if (!rc) rc = pm_db_run_begin(d, r, run_id, e);
    if (!rc && old)
        rc = tell(d, "UPDATE runs SET id = ? WHERE id = ?", "ii", (const arg[]){{.i = old}, {.i = *run_id}},
                  e);
    if (!rc && old) *run_id = old;
    return rc ? rc : pm_sweepdb_place(d, *run_id, p, e);
}

static pm_status expect(pm_db *d, int64_t run_id, const pm_expected *x, pm_err *e) {
    static const char *const basis[] = {[PM_BY_RUNS] = "runs", [PM_BY_PROBE] = "probe"};
    pm_status rc = tell(
        d, "INSERT INTO costs VALUES (?,?,?,?)", "isii",
        (const arg[]){{.i = run_id}, {.s = x->shape}, {.i = x->eval_tokens}, {.i = x->data_rss_bytes}}, e);
    for (int b = 0; b < PM_BASES && !rc; b++) {
        const pm_forecast *f = &x->by[b];
        if (!f->known) continue;
        rc = tell(d, "INSERT INTO forecasts VALUES (?,?,?,?,?,?,?)", "isdiiii",
                  (const arg[]){{.i = run_id},
                                {.s = basis[b]},
                                {.d = f->wall_s},
                                {.i = f->peak_rss_bytes},
                                {.i = f->peak_live_bytes},
                                {.i = f->flops},
                                {.i = f->disk_bytes}},
                  e);
    }
    return rc;
}

pm_status pm_sweepdb_begin(pm_db *d, const pm_db_run *r, const pm_place *p, const pm_expected *x, int64_t old,
                           int64_t *run_id, pm_err *e) {
    pm_status rc = pm_db_begin(d, e);
    if (!rc) rc = begin(d, r, p, old, run_id, e);
    if (!rc) rc = expect(d, *run_id, x, e);
    if (!rc) rc = pm_db_commit(d, e);
    if (rc) pm_db_rollback(d);
    return rc;
}

pm_status pm_sweepdb_forget(pm_db *d, const char *sweep, const char *commit, const int64_t *kept, int n,
                            pm_err *e) {
    pm_buf list = {0};
    for (int i = 0; i < n; i++) pm_buf_printf(&list, "%s%lld", i ? "," : "", (long long)kept[i]);
    pm_buf sql = {0};
    pm_buf_printf(
        &sql,
        "DELETE FROM sweep_runs WHERE sweep = ?1 AND run_id IN (SELECT id FROM runs WHERE (?2 IS NULL OR "
        "commit_id = ?2) AND run_key NOT IN (SELECT run_key FROM runs WHERE id IN (%s) AND run_key NOT "
        "NULL))",
        n ? list.p : "");
    pm_status rc = tell(d, sql.p, "ss", (const arg[]){{.s = sweep}, {.s = commit}}, e);
    pm_buf_free(&sql);
    pm_buf_free(&list);
    return rc;
}

static pm_status read_state(pm_db *d, int64_t run_id, pm_row_state *state, bool *running, pm_err *e) {
    int rc;
    sqlite3_stmt *st = ask(d, "SELECT status FROM runs WHERE id = ?", "i", (const arg[]){{.i = run_id}}, &rc);
    const char *status = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : "";
    *running = strcmp(status, "running") == 0;
    *state = strcmp(status, "ok") == 0         ? PM_ROW_OK
             : strcmp(status, "diverged") == 0 ? PM_ROW_DIVERGED
                                               : PM_ROW_BROKEN;
    return finish(d, st, rc, e);
}

pm_status pm_sweepdb_settle(pm_db *d, int64_t run_id, const char *status, const char *why, bool overrule,
                            pm_row_state *state, pm_err *e) {
    bool running;
    pm_status rc = read_state(d, run_id, state, &running, e);
    if (!rc && (running || (overrule && *state == PM_ROW_BROKEN)))
        rc = pm_db_run_end(d, run_id, status, why, e);
    return rc;
}

/* ---- numbers ---- */

pm_status pm_sweepdb_score(pm_db *d, int64_t run_id, const char *split, char name[24], double *value,
                           pm_err *e) {
    static const char sql[] = "SELECT name, value FROM metrics WHERE run_id = ? AND split = ? AND value IS "
                              "NOT NULL AND (name = ?3 OR "
                              "(?3 = '' AND name IN ('acc', 'exact_match', 'nll'))) ORDER BY name LIMIT 1";
    int rc;
    *value = NAN;
    sqlite3_stmt *st = ask(d, sql, "iss", (const arg[]){{.i = run_id}, {.s = split}, {.s = name}}, &rc);
    if (rc == SQLITE_ROW) {
        char found[24] = "";
        strncpy(found, (const char *)sqlite3_column_text(st, 0), sizeof found - 1);
        *value = sqlite3_column_double(st, 1);
        pm_status s = finish(d, st, rc, e);
        memcpy(name, found, sizeof found);
        return s;
    }
    return finish(d, st, rc, e);
}

static pm_status ask_number(pm_db *d, const char *sql, int64_t run_id, int64_t *out, pm_err *e) {
    int rc;
    sqlite3_stmt *st = ask(d, sql, "i", (const arg[]){{.i = run_id}}, &rc);
    *out = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    return finish(d, st, rc, e);
}

pm_status pm_sweepdb_flops(pm_db *d, int64_t run_id, int64_t *flops, pm_err *e) {
    return ask_number(d, "SELECT sum(value) FROM counters WHERE run_id = ? AND name GLOB 'flops_*'", run_id,
                      flops, e);
}

pm_status pm_sweepdb_params(pm_db *d, int64_t run_id, int64_t *trainable, pm_err *e) {
    return ask_number(d, "SELECT trainable_params FROM runs WHERE id = ?", run_id, trainable, e);
}

/* ---- costs ---- */

static void machine_of(const pm_host *h, char *out, size_t cap) {
    snprintf(out, cap, "%.200s, %d cores", h->cpu, h->cores);
}

pm_status pm_sweepdb_probe_put(pm_db *d, const char *shape, const pm_host *machine, const pm_estimate *x,
                               pm_err *e) {
    char name[256];
    machine_of(machine, name, sizeof name);
    return tell(d,
                "INSERT OR REPLACE INTO probes (shape, machine, wall_s, eval_token_s, peak_rss_bytes, "
                "peak_live_bytes, flops, steps, text_token_s) VALUES (?,?,?,?,?,?,?,?,?)",
                "ssddiiiid",
                (const arg[]){{.s = shape},
                              {.s = name},
                              {.d = x->wall_s},
                              {.d = x->eval_token_s},
                              {.i = x->peak_rss_bytes},
                              {.i = x->peak_live_bytes},
                              {.i = x->flops},
                              {.i = x->steps},
                              {.d = x->text_token_s}},
                e);
}

static void read_estimate(sqlite3_stmt *st, pm_estimate *x) {
    *x = (pm_estimate){.wall_s = sqlite3_column_double(st, 0),
                       .eval_token_s = sqlite3_column_double(st, 1),
                       .peak_rss_bytes = sqlite3_column_int64(st, 2),
                       .peak_live_bytes = sqlite3_column_int64(st, 3),
                       .flops = sqlite3_column_int64(st, 4),
                       .steps = sqlite3_column_int64(st, 5),
                       .text_token_s = sqlite3_column_double(st, 6)};
}

pm_status pm_sweepdb_probe_get(pm_db *d, const char *shape, const pm_host *machine, pm_estimate *x,
                               bool *found, pm_err *e) {
    static const char sql[] = "SELECT wall_s, eval_token_s, peak_rss_bytes, peak_live_bytes, flops, steps, "
                              "text_token_s FROM probes WHERE shape = ? AND machine = ?";
    char name[256];
    int rc;
    machine_of(machine, name, sizeof name);
    sqlite3_stmt *st = ask(d, sql, "ss", (const arg[]){{.s = shape}, {.s = name}}, &rc);
    *found = rc == SQLITE_ROW;
    if (*found) read_estimate(st, x);
    return finish(d, st, rc, e);
}

/* Loading: the least, since what a first run computes for all later ones is no part of theirs. Text that no run has read takes a step's
 * time, but for the FLOPs that go back. */
pm_status pm_sweepdb_measured(pm_db *d, const char *shape, const pm_host *machine, pm_estimate *x,
                              bool *found, pm_err *e) {
    static const char sql[] =
        "WITH done AS (SELECT r.id, c.data_rss_bytes AS data, "
        "c.eval_tokens * (1 + (SELECT count(DISTINCT step) FROM curve WHERE run_id = r.id)) AS tokens, "
        "(julianday(finished_at) - julianday(started_at)) * 86400 AS wall "
        "FROM costs c JOIN runs r ON r.id = c.run_id JOIN hosts h ON h.id = r.host_id "
        "WHERE c.shape = ? AND r.status = 'ok' AND h.cpu = ? AND h.cores = ? ORDER BY finished_at DESC LIMIT "
        "5), "
        "apart AS (SELECT *, "
        "(SELECT total(wall_s) FROM phases WHERE run_id = id AND phase IN ('validate', 'test')) AS scoring, "
        "(SELECT wall_s FROM phases WHERE run_id = id AND phase = 'load') AS load, "
        "(SELECT total(wall_s) FROM phases WHERE run_id = id AND phase = 'forgetting') AS forgetting, "
        "(SELECT total(n) FROM metrics WHERE run_id = id AND split = 'probe' AND name = 'forgetting') AS "
        "text, "
        "(SELECT total(wall_s) FROM phases WHERE run_id = id AND phase = 'train') AS train, "
        "(SELECT total(tokens) FROM steps WHERE run_id = id) AS step_tokens, "
        "(SELECT total(value) FROM counters WHERE run_id = id AND name = 'flops_forward') AS forward, "
        "(SELECT max(peak_rss_bytes) FROM phases WHERE run_id = id) AS rss, "
        "(SELECT max(peak_live_bytes) FROM phases WHERE run_id = id) AS live, "
        "(SELECT total(value) FROM counters WHERE run_id = id AND name GLOB 'flops_*') AS flops, "
        "(SELECT count(*) FROM steps WHERE run_id = id) AS steps FROM done) "
        "SELECT avg(wall - scoring - forgetting - load) + min(load), total(scoring) / max(1, sum(tokens)), "
        "avg(rss - data), avg(live), avg(flops), max(steps), "
        "coalesce(total(forgetting) / nullif(2 * total(text), 0), total(train) / nullif(total(step_tokens), "
        "0) * "
        "total(forward) / nullif(total(flops), 0)) FROM apart HAVING count(*) > 0";
    int rc;
    sqlite3_stmt *st =
        ask(d, sql, "ssi", (const arg[]){{.s = shape}, {.s = machine->cpu}, {.i = machine->cores}}, &rc);
    *found = rc == SQLITE_ROW;
    if (*found) read_estimate(st, x);
    return finish(d, st, rc, e);
}

pm_status pm_sweepdb_median_error(pm_db *d, const char *sweep, const char *name, double *error, int *n,
                                  pm_err *e) {
    static const char sql[] =
        "WITH off AS (SELECT abs(predicted / measured - 1) AS x FROM predictions p WHERE name = ? AND "
        "predicted NOT NULL AND measured > 0 AND run_id IN (SELECT run_id FROM sweep_runs WHERE sweep = ?) "
        "AND "
        "basis = (SELECT max(basis) FROM forecasts f WHERE f.run_id = p.run_id)), "
        "ranked AS (SELECT x, row_number() OVER (ORDER BY x) AS k, count(*) OVER () AS n FROM off) "
        "SELECT avg(x), max(n) FROM ranked WHERE k IN ((n + 1) / 2, (n + 2) / 2)";
    int rc;
    sqlite3_stmt *st = ask(d, sql, "ss", (const arg[]){{.s = name}, {.s = sweep}}, &rc);
    bool any = rc == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL;
    *error = any ? sqlite3_column_double(st, 0) : (double)NAN;
    *n = any ? sqlite3_column_int(st, 1) : 0;
    return finish(d, st, rc, e);
}
