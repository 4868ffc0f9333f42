/* db_merge.c - folding databases (db_merge.h). Rows are copied column by column under their names, and the tables that belong to a run
 * are asked from the schema, so a new column or table needs nothing here.
 */
#include "db_merge.h"
#include "outcomes.h"
#include "text.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 64, TABLES_MAX = 32 };

typedef struct folder {
    sqlite3 *to, *from;
    pm_db *to_db, *from_db;
    const char *from_path;
    pm_merged *n;
} folder;

static pm_status failed(const folder *f, sqlite3 *h, pm_err *e) {
    pm_fail(e, PM_EDB, "merging %s: %s", f->from_path, sqlite3_errmsg(h));
    return pm_hint(e, "check both files; nothing of this one was merged");
}

/* First what is asked of a run, under a name that is not copied; then the run. Done: 1, broken: 0. */
static const char all_runs[] =
    "SELECT r.id AS id, run_key AS id, started_at AS id, config AS id, finished_at AS id, "
    "status IN ('ok', 'diverged') AS id, r.* FROM runs r ORDER BY r.id";
enum { ID, KEY, STARTED, CONFIG, FINISHED, DONE };

/* ---- copying rows ---- */

/* A value of a column that is not copied as it is. */
typedef struct other {
    const char *column;
    int64_t value; /* 0: NULL */
} other;

/* The row that `row` stands on, into `table`; columns named in `but` take its values, those called `id` are left to SQLite. What is known
 * by a name of its own may be there already; anything else that does not fit is an error. */
static int copy_row(const folder *f, sqlite3_stmt *row, const char *table, const other *but) {
    pm_buf sql = {0}, marks = {0};
    int column[COLUMNS_MAX], n = 0;
    bool named = strcmp(table, "hosts") == 0 || strcmp(table, "test_read_log") == 0 ||
                 strcmp(table, "sweep_runs") == 0;
    pm_buf_printf(&sql, "INSERT %sINTO %s (", named ? "OR IGNORE " : "", table);
    for (int i = 0; i < sqlite3_column_count(row) && n < COLUMNS_MAX; i++) {
        const char *name = sqlite3_column_name(row, i);
        if (strcmp(name, "id") == 0) continue;
        pm_buf_printf(&sql, "%s%s", n ? "," : "", name);
        pm_buf_puts(&marks, n ? ",?" : "?");
        column[n++] = i;
    }
    pm_buf_printf(&sql, ") VALUES (%s)", marks.p);
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(f->to, sql.p, -1, &st, NULL);
    for (int k = 0; k < n && rc == SQLITE_OK; k++) {
        const other *o = but;
        while (o->column && strcmp(o->column, sqlite3_column_name(row, column[k])) != 0) o++;
        if (!o->column)
            rc = sqlite3_bind_value(st, k + 1, sqlite3_column_value(row, column[k]));
        else
            rc = o->value ? sqlite3_bind_int64(st, k + 1, o->value) : sqlite3_bind_null(st, k + 1);
    }
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    sqlite3_finalize(st);
    pm_buf_free(&sql);
    pm_buf_free(&marks);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* All rows of a query on the database that is read. */
static pm_status copy_rows(const folder *f, const char *query, int64_t id, const char *table,
                           const other *but, pm_err *e) {
    sqlite3_stmt *row = NULL;
    int rc = sqlite3_prepare_v2(f->from, query, -1, &row, NULL), copied = SQLITE_OK;
    if (rc == SQLITE_OK && sqlite3_bind_parameter_count(row)) rc = sqlite3_bind_int64(row, 1, id);
    while (rc == SQLITE_OK && copied == SQLITE_OK && (rc = sqlite3_step(row)) == SQLITE_ROW) {
        copied = copy_row(f, row, table, but);
        rc = SQLITE_OK;
    }
    pm_status s = copied != SQLITE_OK ? failed(f, f->to, e)
                  : rc != SQLITE_DONE ? failed(f, f->from, e)
                                      : PM_OK;
    sqlite3_finalize(row);
    return s;
}

/* ---- what a run has ---- */

/* The first column of a query's first row; 0 without one. */
static int64_t number(sqlite3 *h, const char *query, sqlite3_value *a, sqlite3_value *b) {
    sqlite3_stmt *st = NULL;
    int64_t x = 0;
    int rc = sqlite3_prepare_v2(h, query, -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_value(st, 1, a);
    if (rc == SQLITE_OK && b) rc = sqlite3_bind_value(st, 2, b);
    if (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) x = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return x;
}

static pm_status copy_belongings(const folder *f, int64_t from_id, int64_t to_id, pm_err *e) {
    static const char tables[] =
        "SELECT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c "
        "WHERE m.type = 'table' AND c.name = 'run_id' AND m.name NOT IN ('sweep_runs', 'outcomes')";
    const other but[] = {{"run_id", to_id}, {NULL, 0}};
    sqlite3_stmt *st = NULL;
    pm_status rc =
        sqlite3_prepare_v2(f->from, tables, -1, &st, NULL) == SQLITE_OK ? PM_OK : failed(f, f->from, e);
    while (!rc && sqlite3_step(st) == SQLITE_ROW) {
        char query[160];
        const char *table = (const char *)sqlite3_column_text(st, 0);
        snprintf(query, sizeof query, "SELECT * FROM %.64s WHERE run_id = ?", table);
        rc = copy_rows(f, query, from_id, table, but, e);
    }
    sqlite3_finalize(st);
    return rc ? rc : pm_outcomes_copy(f->from_db, from_id, f->to_db, to_id, e);
}

/* The host of a run, under its id there; 0: none. */
static pm_status copy_host(const folder *f, sqlite3_stmt *run, int64_t *id, pm_err *e) {
    static const other as_it_is[] = {{NULL, 0}};
    sqlite3_stmt *st = NULL;
    pm_status rc = copy_rows(f, "SELECT h.* FROM hosts h JOIN runs r ON r.host_id = h.id WHERE r.id = ?",
                             sqlite3_column_int64(run, ID), "hosts", as_it_is, e);
    *id = 0;
    if (rc) return rc;
    bool ok = sqlite3_prepare_v2(
                  f->from, "SELECT fingerprint FROM hosts h JOIN runs r ON r.host_id = h.id WHERE r.id = ?",
                  -1, &st, NULL) == SQLITE_OK &&
              sqlite3_bind_int64(st, 1, sqlite3_column_int64(run, ID)) == SQLITE_OK;
    if (ok && sqlite3_step(st) == SQLITE_ROW)
        *id = number(f->to, "SELECT id FROM hosts WHERE fingerprint = ?", sqlite3_column_value(st, 0), NULL);
    sqlite3_finalize(st);
    return ok ? PM_OK : failed(f, f->from, e);
}

static pm_status delete_run(const folder *f, int64_t id, pm_err *e) {
    char sql[64];
    snprintf(sql, sizeof sql, "DELETE FROM runs WHERE id = %lld", (long long)id);
    return sqlite3_exec(f->to, sql, NULL, NULL, NULL) == SQLITE_OK ? PM_OK : failed(f, f->to, e);
}

static pm_status add_run(const folder *f, sqlite3_stmt *run, int64_t *to_id, pm_err *e) {
    int64_t host;
    pm_status rc = copy_host(f, run, &host, e);
    if (rc) return rc;
    const other but[] = {{"host_id", host}, {NULL, 0}};
    if (copy_row(f, run, "runs", but) != SQLITE_OK) return failed(f, f->to, e);
    *to_id = sqlite3_last_insert_rowid(f->to);
    return copy_belongings(f, sqlite3_column_int64(run, ID), *to_id, e);
}

/* ---- which runs ---- */

/* A run's twin: same key, or, before a key was known, same settings and start. */
static int64_t twin(const folder *f, sqlite3_stmt *run) {
    sqlite3_value *key = sqlite3_column_value(run, KEY);
    if (sqlite3_column_type(run, KEY) != SQLITE_NULL)
        return number(
            f->to,
            "SELECT id FROM runs WHERE run_key = ? ORDER BY status IN ('ok', 'diverged') DESC, id LIMIT 1",
            key, NULL);
    return number(f->to, "SELECT id FROM runs WHERE run_key IS NULL AND started_at = ? AND config = ?",
                  sqlite3_column_value(run, STARTED), sqlite3_column_value(run, CONFIG));
}

/* Whether the run that is read is worth more than its twin. */
static bool is_better(const folder *f, sqlite3_stmt *run, int64_t to_id) {
    char query[160];
    bool done = sqlite3_column_int(run, DONE);
    snprintf(query, sizeof query,
             "SELECT CASE WHEN status IN ('ok', 'diverged') THEN 2 ELSE (?, ifnull(?, '')) > (started_at, "
             "ifnull(finished_at, '')) END FROM runs WHERE id = %lld",
             (long long)to_id);
    int64_t twin_is =
        number(f->to, query, sqlite3_column_value(run, STARTED),
               sqlite3_column_value(run, FINISHED)); /* 2: done, 1: broken earlier, or not ended */
    return twin_is != 2 && (done || twin_is == 1);
}

static pm_status fold_run(const folder *f, sqlite3_stmt *run, pm_err *e) {
    static const char places[] = "SELECT * FROM sweep_runs WHERE run_id = ?";
    int64_t to_id = twin(f, run), old = to_id;
    pm_status rc = PM_OK;
    if (old && !is_better(f, run, old)) {
        f->n->there++;
    } else {
        if (old) rc = delete_run(f, old, e);
        if (!rc) rc = add_run(f, run, &to_id, e);
        f->n->added += !old;
        f->n->replaced += old != 0;
    }
    const other but[] = {{"run_id", to_id}, {NULL, 0}};
    return rc ? rc : copy_rows(f, places, sqlite3_column_int64(run, ID), "sweep_runs", but, e);
}

static pm_status fold(const folder *f, pm_err *e) {
    static const other as_it_is[] = {{NULL, 0}};
    sqlite3_stmt *run = NULL;
    pm_status rc =
        sqlite3_prepare_v2(f->from, all_runs, -1, &run, NULL) == SQLITE_OK ? PM_OK : failed(f, f->from, e);
    while (!rc && sqlite3_step(run) == SQLITE_ROW) rc = fold_run(f, run, e);
    sqlite3_finalize(run);
    return rc ? rc : copy_rows(f, "SELECT * FROM test_read_log", 0, "test_read_log", as_it_is, e);
}

/* ---- the whole ---- */

/* A database of an older version is brought to this one's first: its tables are other ones. */
static pm_status open_source(const char *path, pm_db **out, pm_err *e) {
    sqlite3_stmt *st = NULL;
    pm_status rc = pm_db_open_readonly(path, out, e);
    if (rc) return rc;
    bool current =
        sqlite3_prepare_v2(pm_db_handle(*out), "SELECT 1 FROM outcomes", -1, &st, NULL) == SQLITE_OK;
    sqlite3_finalize(st);
    if (current) return PM_OK;
    pm_db_close(*out);
    return pm_db_open(path, out, e);
}

pm_status pm_db_merge(pm_db *into, const char *from, pm_merged *n, pm_err *e) {
    pm_db *source;
    pm_merged before = *n;
    pm_status rc = open_source(from, &source, e);
    if (rc) return rc;
    folder f = {pm_db_handle(into), pm_db_handle(source), into, source, from, n};
    rc = pm_db_begin(into, e);
    if (!rc) rc = fold(&f, e);
    if (!rc) rc = pm_db_commit(into, e);
    if (rc) {
        pm_db_rollback(into);
        *n = before;
    }
    pm_db_close(source);
    return rc;
}
