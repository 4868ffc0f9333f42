/* db.c - opens, creates and fills the results database.
 *
 * Why it is careful: a sweep runs for days and several processes write to one file. Creation happens under
 * another name and the finished file is linked into place, so no reader ever sees half a schema; WAL lets
 * reports read while runs write; every statement is prepared once and every error says which file and what to
 * do.
 */
#include "db.h"

#include "host.h"
#include "outcomes.h"
#include "sha256.h"
#include "text.h"
#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { APPLICATION_ID = 0x50454654, SCHEMA_VERSION = 6, BUSY_MS = 30000 };

#define RUN_COLUMNS                                                                                          \
    "run_key, model, task, method, config, model_hash, data_hash, train_hash, adapter_hash, commit_id, "     \
    "peftmeter_version, seed, "                                                                              \
    "trainable_params, total_params, host_id, dirty"

typedef enum statement {
    RUN_BEGIN,
    RUN_UPDATE,
    RUN_END,
    STEP,
    METRIC,
    CURVE,
    PHASE,
    MEMORY,
    COUNTER,
    ROOFLINE,
    NOISE,
    CHECK_ROW,
    HOST_ADD,
    HOST_ID,
    TEST_READ_ADD,
    TEST_READS,
    RUN_IMPORTED,
    IMPORTED,
    FIND_KEY,
    N_STATEMENTS
} statement;

static const char *const sql[N_STATEMENTS] = {
    [RUN_BEGIN] =
        "INSERT INTO runs (" RUN_COLUMNS ", status) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,'running')",
    [RUN_UPDATE] = "UPDATE runs SET (" RUN_COLUMNS ") = (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) WHERE id = ?",
    [RUN_END] = "UPDATE runs SET status = ?, error = ?, finished_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') "
                "WHERE id = ?",
    [STEP] = "INSERT INTO steps VALUES (?,?,?,?,?,?,?,?)",
    [CURVE] = "INSERT INTO curve VALUES (?,?,?,?,?,?,?)",
    [METRIC] = "INSERT INTO metrics VALUES (?,?,?,?,?,?,?)",
    [PHASE] = "INSERT INTO phases VALUES (?,?,?,?,?,?)",
    [MEMORY] = "INSERT INTO memory VALUES (?,?,?)",
    [COUNTER] = "INSERT INTO counters VALUES (?,?,?)",
    [ROOFLINE] = "INSERT INTO roofline VALUES (?,?)",
    [NOISE] = "INSERT INTO noise VALUES (?,?,?,?,?)",
    [CHECK_ROW] = "INSERT INTO checks VALUES (?,?,?,?,?)",
    [HOST_ADD] = "INSERT OR IGNORE INTO hosts (fingerprint, cpu, cores, isa, memory_bytes, os, compiler, "
                 "flags, blas, blas_core, "
                 "threads) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
    [HOST_ID] = "SELECT id FROM hosts WHERE fingerprint = ?",
    [TEST_READ_ADD] = "INSERT INTO test_read_log VALUES (lower(hex(randomblob(16))),?,?)",
    [TEST_READS] = "SELECT coalesce(sum(count), 0) FROM test_reads WHERE task = ? AND method = ?",
    [RUN_IMPORTED] = "UPDATE runs SET (status, error, started_at) = (?,?,?) WHERE id = ?",
    [IMPORTED] = "INSERT INTO imported VALUES (?,?,?,?,?,?,?,?,?,?)",
    [FIND_KEY] = "SELECT id FROM runs WHERE run_key = ? ORDER BY id LIMIT 1",
};

struct pm_db {
    sqlite3 *h;
    char *path;
    sqlite3_stmt *st[N_STATEMENTS];
};

/* ---- errors
 * --------------------------------------------------------------------------------------------------------------
 */

static const char *hint_for(int primary_code) {
    switch (primary_code) {
    case SQLITE_FULL:
        return "the disk is full; what was committed is intact: free some space and run again";
    case SQLITE_IOERR:
        return "check the disk, quota and file system; what was committed is intact";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "another program holds the database; wait for it, or name another file with --db";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return "check that the folder exists and may be written, or name another file with --db";
    case SQLITE_NOTADB:
        return "the file is something else; name another file with --db";
    case SQLITE_CORRUPT:
        return "the file is damaged: restore a copy, or save what is left with sqlite3's .recover";
    default:
        return "name another file with --db";
    }
}

pm_status pm_db_fail(const pm_db *d, const char *doing, pm_err *e) {
    int code = sqlite3_errcode(d->h) & 0xff, why = code == SQLITE_CANTOPEN ? sqlite3_system_errno(d->h) : 0;
    pm_fail(e, PM_EDB, "%s: %s: %s", d->path, doing, why ? strerror(why) : sqlite3_errmsg(d->h));
    return pm_hint(e, "%s", hint_for(code));
}

pm_status pm_db_unreadable(const pm_db *d, pm_err *e) {
    pm_fail(e, PM_EDB, "%s: read: %s", d->path, sqlite3_errmsg(d->h));
    return pm_hint(e, "is this a database that peftmeter wrote?");
}

pm_status pm_db_done(const pm_db *d, sqlite3_stmt *st, int rc, pm_status s, pm_err *e) {
    if (s == PM_OK && rc != SQLITE_DONE && rc != SQLITE_ROW) s = pm_db_unreadable(d, e);
    sqlite3_finalize(st);
    return s;
}

double pm_db_real(sqlite3_stmt *row, int column) {
    int type = sqlite3_column_type(row, column);
    return type == SQLITE_INTEGER || type == SQLITE_FLOAT ? sqlite3_column_double(row, column) : (double)NAN;
}

static pm_status exec(pm_db *d, const char *text, const char *doing, pm_err *e) {
    return sqlite3_exec(d->h, text, NULL, NULL, NULL) == SQLITE_OK ? PM_OK : pm_db_fail(d, doing, e);
}

/* ---- statements
 * ----------------------------------------------------------------------------------------------------------
 */

typedef struct cell {
    enum { INTEGER, REAL, TEXT, NOTHING } type;
    int64_t i;
    double f;
    const char *s;
} cell;
#define I(x)                                                                                                 \
    { .type = INTEGER, .i = (x) }
#define F(x)                                                                                                 \
    { .type = REAL, .f = (x) }
#define S(x)                                                                                                 \
    { .type = TEXT, .s = (x) }
#define I_FROM(low, x)                                                                                       \
    { .type = (x) < (low) ? NOTHING : INTEGER, .i = (x) } /* NULL below low */

static int bind_text(sqlite3_stmt *st, int i, const char *s) {
    return s ? sqlite3_bind_text(st, i, pm_utf8_clean(s), -1, free) : sqlite3_bind_null(st, i);
}

static int bind(sqlite3_stmt *st, int i, const cell *v) {
    switch (v->type) {
    case INTEGER:
        return sqlite3_bind_int64(st, i, v->i);
    case REAL:
        return sqlite3_bind_double(st, i, v->f); /* SQLite makes NAN NULL */
    case TEXT:
        return bind_text(st, i, v->s);
    default:
        return sqlite3_bind_null(st, i);
    }
}

/* Runs a statement; *out (or NULL) receives the first column of its first row and is left alone when there is
 * no row. */
static pm_status run(pm_db *d, statement s, const cell *v, int n, int64_t *out, pm_err *e) {
    static const char doing[] = "write a row"; /* SQLite's message names the table */
    if (!d->st[s] && sqlite3_prepare_v2(d->h, sql[s], -1, &d->st[s], NULL) != SQLITE_OK)
        return pm_db_fail(d, doing, e);
    sqlite3_stmt *st = d->st[s];
    PM_ASSERT(sqlite3_bind_parameter_count(st) == n, "%d values for %s", n, sql[s]);
    int rc = SQLITE_OK;
    for (int i = 0; i < n && rc == SQLITE_OK; i++) rc = bind(st, i + 1, &v[i]);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    if (rc == SQLITE_ROW && out) *out = sqlite3_column_int64(st, 0);
    bool ok = rc == SQLITE_ROW || rc == SQLITE_DONE;
    pm_status status = ok ? PM_OK : pm_db_fail(d, doing, e);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return status;
}
#define RUN(d, s, out, e, ...)                                                                               \
    run(d, s, (const cell[]){__VA_ARGS__}, (int)(sizeof((const cell[]){__VA_ARGS__}) / sizeof(cell)), out, e)

/* ---- opening
 * -------------------------------------------------------------------------------------------------------------
 */

static pm_status query_int(pm_db *d, const char *text, int64_t *out, pm_err *e) {
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(d->h, text, -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) *out = sqlite3_column_int64(st, 0);
    pm_status s = rc == SQLITE_ROW ? PM_OK : pm_db_fail(d, "open", e);
    sqlite3_finalize(st);
    return s;
}

/* A handle with the settings of every connection; on failure there is nothing to close. Messages call the
 * file `path`. */
static pm_status connect(const char *file, const char *path, int flags, pm_db **out, pm_err *e) {
    pm_db *d = calloc(1, sizeof *d);
    char *copy = d ? strdup(path) : NULL;
    PM_ASSERT(copy, "out of memory: opening %s", path);
    d->path = copy;
    pm_status s = PM_OK;
    if (sqlite3_open_v2(file, &d->h, flags, NULL) != SQLITE_OK) s = pm_db_fail(d, "open", e);
    if (s == PM_OK) {
        sqlite3_extended_result_codes(d->h, 1);
        sqlite3_busy_timeout(d->h, BUSY_MS);
        s = exec(d, "PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL", "open", e);
    }
    if (s != PM_OK)
        pm_db_close(d);
    else
        *out = d;
    return s;
}

static pm_status apply_schema(pm_db *d, pm_err *e) {
    pm_status s = exec(d, "BEGIN IMMEDIATE", "create", e);
    if (s == PM_OK) s = exec(d, pm_schema_sql, "create", e);
    if (s == PM_OK) s = exec(d, "COMMIT", "create", e);
    if (s != PM_OK) pm_db_rollback(d);
    return s;
}

static pm_status upgrade_from_1(pm_db *d, const char *doing, pm_err *e) {
    const char *const text[] = {
        "ALTER TABLE test_reads RENAME TO test_reads_1", strstr(pm_schema_sql, "-- since version 2"),
        "WITH RECURSIVE each (task, method, n) AS (SELECT task, method, count FROM test_reads_1 WHERE count "
        "> "
        "0 UNION ALL "
        "SELECT task, method, n - 1 FROM each WHERE n > 1) "
        "INSERT INTO test_read_log SELECT lower(hex(randomblob(16))), task, method FROM each",
        "DROP TABLE test_reads_1"};
    pm_status s = PM_OK;
    for (size_t i = 0; i < sizeof text / sizeof *text && s == PM_OK; i++) s = exec(d, text[i], doing, e);
    return s;
}

/* Version 3 kept what was measured beside each prediction; from version 4 on the run itself says it. Probes are asked for again. */
static pm_status upgrade_from_3(pm_db *d, const char *doing, pm_err *e) {
    const char *const text[] = {
        "DROP TABLE probes; ALTER TABLE predictions RENAME TO predictions_3",
        strstr(pm_schema_sql, "-- since version 4"),
        "INSERT INTO costs SELECT DISTINCT run_id, '', 0, 0 FROM predictions_3;"
        "INSERT INTO forecasts SELECT run_id, 'probe', max(CASE name WHEN 'wall_s' THEN predicted END), "
        "CAST(max(CASE name WHEN 'peak_rss_bytes' THEN predicted END) AS INTEGER), NULL, "
        "CAST(max(CASE name WHEN 'flops' THEN predicted END) AS INTEGER), NULL FROM predictions_3 GROUP BY "
        "run_id;"
        "DROP TABLE predictions_3"};
    pm_status s = PM_OK;
    for (size_t i = 0; i < sizeof text / sizeof *text && s == PM_OK; i++) s = exec(d, text[i], doing, e);
    return s;
}

/* A text an item, as version 4 kept it, under a name that is out of the way of the view. */
#define OLD_EXAMPLES "examples_4"

/* What was stored by `version`, 4 or older, as this version stores it. */
static pm_status upgrade_items(pm_db *d, int64_t version, const char *doing, pm_err *e) {
    pm_status s = exec(d, "ALTER TABLE examples RENAME TO " OLD_EXAMPLES, doing, e);
    if (s == PM_OK && version < 2) s = upgrade_from_1(d, doing, e);
    if (s == PM_OK && version == 2) s = exec(d, strstr(pm_schema_sql, "-- since version 4"), doing, e);
    if (s == PM_OK && version == 3) s = upgrade_from_3(d, doing, e);
    if (s == PM_OK && version == 4) s = exec(d, strstr(pm_schema_sql, "-- since version 5"), doing, e);
    if (s == PM_OK) s = pm_outcomes_upgrade(d, OLD_EXAMPLES, e);
    return s == PM_OK ? exec(d, "DROP TABLE " OLD_EXAMPLES, doing, e) : s;
}

static pm_status upgrade_from(pm_db *d, int64_t version, const char *doing, pm_err *e) {
    pm_status s = version < 5 ? upgrade_items(d, version, doing, e)
                              : exec(d, strstr(pm_schema_sql, "-- since version 6"), doing, e);
    return s == PM_OK ? exec(d, "PRAGMA user_version = 6", doing, e) : s;
}

/* What each version added stands at the end of the schema, in order. Another process may have been faster: asked again under the lock. */
static pm_status upgrade(pm_db *d, pm_err *e) {
    static const char doing[] = "bring it to this version's schema";
    int64_t version = 0;
    pm_status s = exec(d, "BEGIN IMMEDIATE", doing, e);
    if (s == PM_OK) s = query_int(d, "PRAGMA user_version", &version, e);
    if (s == PM_OK && version < SCHEMA_VERSION) s = upgrade_from(d, version, doing, e);
    if (s == PM_OK) s = exec(d, "COMMIT", doing, e);
    if (s != PM_OK) pm_db_rollback(d);
    return s;
}

/* WAL is a property of the file: set once, after the schema is in. */
static pm_status make_schema(pm_db *d, pm_err *e) {
    pm_status s = apply_schema(d, e);
    return s == PM_OK ? exec(d, "PRAGMA journal_mode = WAL", "create", e) : s;
}

static void remove_all(const char *path) {
    static const char *const suffix[] = {"", "-journal", "-wal", "-shm"};
    char name[4200];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s%s", path, suffix[i]);
        unlink(name);
    }
}

static pm_status create_fail(const char *path, pm_err *e) {
    pm_fail(e, PM_EDB, "%s: create: %s", path, strerror(errno));
    return pm_hint(e, "%s", hint_for(SQLITE_CANTOPEN));
}

/* Builds the database under a name of this process and links it to `path`; whoever was faster wins and both
 * use that file. */
static pm_status create(const char *path, pm_err *e) {
    char name[4096];
    pm_db *d;
    int n = snprintf(name, sizeof name, "%s.new-%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof name) return errno = ENAMETOOLONG, create_fail(path, e);
    remove_all(name);
    pm_status s = connect(name, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &d, e);
    if (s == PM_OK) {
        s = make_schema(d, e);
        pm_db_close(d);
    }
    if (s == PM_OK && link(name, path) != 0 && errno != EEXIST) {
        bool no_links =
            errno == EPERM || errno == ENOTSUP || errno == ENOSYS; /* FAT and some network file systems */
        if (!no_links || rename(name, path) != 0) s = create_fail(path, e);
    }
    remove_all(name);
    return s;
}

static pm_status not_ours(const pm_db *d, pm_err *e) {
    pm_fail(e, PM_EDB, "%s: an SQLite database, but not one of peftmeter's", d->path);
    return pm_hint(e, "name another file with --db");
}

/* Ours, of this version; an empty file is given the schema when it may be written. */
static pm_status check_schema(pm_db *d, bool may_write, pm_err *e) {
    int64_t app = 0, version = 0, tables = 0;
    pm_status s = query_int(d, "PRAGMA application_id", &app, e);
    if (s == PM_OK) s = query_int(d, "PRAGMA user_version", &version, e);
    if (s == PM_OK) s = query_int(d, "SELECT count(*) FROM sqlite_schema", &tables, e);
    if (s != PM_OK) return s;
    if (may_write && app == 0 && version == 0 && tables == 0) return make_schema(d, e);
    if (app != APPLICATION_ID) return not_ours(d, e);
    if (may_write && version < SCHEMA_VERSION) return upgrade(d, e);
    if (version <= SCHEMA_VERSION) return PM_OK;
    pm_fail(e, PM_EDB, "%s: schema version %lld, this program knows up to %d", d->path, (long long)version,
            SCHEMA_VERSION);
    return pm_hint(e, "use the peftmeter that wrote it, or a newer one");
}

static pm_status check_writable(const pm_db *d, pm_err *e) {
    if (sqlite3_db_readonly(d->h, "main") == 0) return PM_OK;
    pm_fail(e, PM_EDB, "%s: open: the file may only be read", d->path);
    return pm_hint(e, "%s", hint_for(SQLITE_READONLY));
}

static pm_status check_path(const char *path, pm_err *e) {
    struct stat st;
    if (!*path)
        pm_fail(e, PM_EDB, "the database's file name is empty");
    else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        pm_fail(e, PM_EDB, "%s: open: is a folder", path);
    else
        return PM_OK;
    return pm_hint(e, "--db takes a file, for example results/results.db");
}

/* "file:PATH?immutable=1" with what a URI gives a meaning escaped. */
static bool immutable_uri(const char *path, char *out, size_t cap) {
    size_t n = (size_t)snprintf(out, cap, "file:");
    for (; *path && n + 4 < cap; path++)
        n += (size_t)snprintf(out + n, cap - n, strchr("%?#", *path) ? "%%%02X" : "%c", *path);
    return (size_t)snprintf(out + n, cap - n, "?immutable=1") < cap - n && !*path;
}

static pm_status open_checked(const char *file, const char *path, int flags, pm_db **out, pm_err *e) {
    pm_status s = connect(file, path, flags, out, e);
    bool write = (flags & SQLITE_OPEN_READWRITE) != 0;
    if (s == PM_OK && write) s = check_writable(*out, e);
    if (s == PM_OK) s = check_schema(*out, write, e);
    if (s != PM_OK) pm_db_close(*out), *out = NULL;
    return s;
}

/* WAL wants files beside the database. In a folder that cannot be written nobody else writes either: then the file may be taken as it
 * stands, unless a WAL with rows of its own lies there. */
static bool is_frozen(const char *path) {
    char name[4200];
    struct stat wal;
    snprintf(name, sizeof name, "%s", path);
    char *slash = strrchr(name, '/');
    snprintf(slash ? slash + 1 : name, 2, "%s", slash ? "" : ".");
    bool locked = access(name, W_OK) != 0;
    snprintf(name, sizeof name, "%s-wal", path);
    return locked && (stat(name, &wal) != 0 || wal.st_size == 0);
}

pm_status pm_db_open_readonly(const char *path, pm_db **out, pm_err *e) {
    char uri[4200];
    *out = NULL;
    pm_status s = check_path(path, e);
    if (s != PM_OK) return s;
    if (access(path, F_OK) != 0) {
        pm_fail(e, PM_EDB, "%s: open: %s", path, strerror(errno));
        return pm_hint(e, "`peftmeter run` writes a database; --db names it");
    }
    if (is_frozen(path) && immutable_uri(path, uri, sizeof uri))
        return open_checked(uri, path, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, out, e);
    return open_checked(path, path, SQLITE_OPEN_READONLY, out, e);
}

pm_status pm_db_open(const char *path, pm_db **out, pm_err *e) {
    *out = NULL;
    pm_status s = check_path(path, e);
    if (s == PM_OK && access(path, F_OK) != 0) s = create(path, e);
    if (s == PM_OK) s = open_checked(path, path, SQLITE_OPEN_READWRITE, out, e);
    return s;
}

void pm_db_close(pm_db *d) {
    if (!d) return;
    for (int i = 0; i < N_STATEMENTS; i++) sqlite3_finalize(d->st[i]);
    sqlite3_close(d->h);
    free(d->path);
    free(d);
}

struct sqlite3 *pm_db_handle(pm_db *d) {
    return d->h;
}

/* ---- transactions
 * -------------------------------------------------------------------------------------------------------- */

pm_status pm_db_begin(pm_db *d, pm_err *e) {
    return exec(d, "BEGIN IMMEDIATE", "begin", e);
}

pm_status pm_db_commit(pm_db *d, pm_err *e) {
    pm_status s = exec(d, "COMMIT", "commit", e);
    if (s != PM_OK) pm_db_rollback(d);
    return s;
}

void pm_db_rollback(pm_db *d) {
    if (!sqlite3_get_autocommit(d->h)) sqlite3_exec(d->h, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- rows
 * ----------------------------------------------------------------------------------------------------------------
 */

#define RUN_VALUES(r)                                                                                        \
    S(r->run_key), S(r->model), S(r->task), S(r->method), S(r->config), S(r->model_hash), S(r->data_hash),   \
        S(r->train_hash), S(r->adapter_hash), S(r->commit_id), S(r->peftmeter_version), I(r->seed),          \
        I_FROM(1, r->trainable_params), I_FROM(1, r->total_params), I_FROM(1, r->host_id),                   \
        I_FROM(0, r->dirty)

pm_status pm_db_run_begin(pm_db *d, const pm_db_run *r, int64_t *run_id, pm_err *e) {
    pm_status s = RUN(d, RUN_BEGIN, NULL, e, RUN_VALUES(r));
    if (s == PM_OK) *run_id = sqlite3_last_insert_rowid(d->h);
    return s;
}

static pm_status changed_one(const pm_db *d, int64_t run_id, pm_status s, pm_err *e) {
    if (s != PM_OK || sqlite3_changes(d->h) == 1) return s;
    pm_fail(e, PM_EDB, "%s: there is no run %lld", d->path, (long long)run_id);
    return pm_hint(e, "was the row deleted while the run was going on?");
}

pm_status pm_db_run_update(pm_db *d, int64_t run_id, const pm_db_run *r, pm_err *e) {
    return changed_one(d, run_id, RUN(d, RUN_UPDATE, NULL, e, RUN_VALUES(r), I(run_id)), e);
}

pm_status pm_db_run_end(pm_db *d, int64_t run_id, const char *status, const char *error, pm_err *e) {
    return changed_one(d, run_id, RUN(d, RUN_END, NULL, e, S(status), S(error), I(run_id)), e);
}

pm_status pm_db_step(pm_db *d, int64_t run_id, int step, double loss, double lr, double grad_norm,
                     int64_t tokens, int64_t label_tokens, double wall_s, pm_err *e) {
    return RUN(d, STEP, NULL, e, I(run_id), I(step), F(loss), F(lr), F(grad_norm), I(tokens), I(label_tokens),
               F(wall_s));
}

pm_status pm_db_metric(pm_db *d, int64_t run_id, const char *split, const char *name, int version,
                       double value, double stderr_, int64_t n, pm_err *e) {
    return RUN(d, METRIC, NULL, e, I(run_id), S(split), S(name), I(version), F(value), F(stderr_),
               I_FROM(0, n));
}

pm_status pm_db_phase(pm_db *d, int64_t run_id, const char *phase, double wall_s, double cpu_s,
                      int64_t peak_rss_bytes, int64_t peak_live_bytes, pm_err *e) {
    return RUN(d, PHASE, NULL, e, I(run_id), S(phase), F(wall_s), F(cpu_s), I_FROM(0, peak_rss_bytes),
               I_FROM(0, peak_live_bytes));
}

pm_status pm_db_memory(pm_db *d, int64_t run_id, const char *category, int64_t bytes, pm_err *e) {
    return RUN(d, MEMORY, NULL, e, I(run_id), S(category), I_FROM(0, bytes));
}

pm_status pm_db_curve(pm_db *d, int64_t run_id, int step, const char *split, const char *name, double value,
                      double stderr_, int64_t n, pm_err *e) {
    return RUN(d, CURVE, NULL, e, I(run_id), I(step), S(split), S(name), F(value), F(stderr_), I_FROM(0, n));
}

pm_status pm_db_counter(pm_db *d, int64_t run_id, const char *name, int64_t value, pm_err *e) {
    return RUN(d, COUNTER, NULL, e, I(run_id), S(name), I(value));
}

pm_status pm_db_roofline(pm_db *d, int64_t run_id, double gflops, pm_err *e) {
    return RUN(d, ROOFLINE, NULL, e, I(run_id), F(gflops));
}

pm_status pm_db_noise(pm_db *d, int64_t run_id, const char *measured_at, int pairs, double floor,
                      double found, pm_err *e) {
    return RUN(d, NOISE, NULL, e, I(run_id), S(measured_at), I(pairs), F(floor), F(found));
}

pm_status pm_db_check(pm_db *d, int64_t run_id, const char *name, int ok, double value, double bound,
                      pm_err *e) {
    return RUN(d, CHECK_ROW, NULL, e, I(run_id), S(name), I(ok), F(value), F(bound));
}

/* One line a fact, so that no two sets of facts run together. */
static void fingerprint(const pm_host *h, const char *compiler, const char *flags, const char *blas,
                        const char *blas_core, int threads, char hex[65]) {
    char text[4096];
    int n = snprintf(text, sizeof text, "%s\n%d\n%s\n%lld\n%s\n%s\n%s\n%s\n%s\n%d\n", h->cpu, h->cores,
                     h->isa, (long long)h->memory_bytes, h->os, compiler, flags, blas, blas_core, threads);
    PM_ASSERT(n > 0 && (size_t)n < sizeof text, "%d bytes of facts", n);
    pm_sha256_of(text, (size_t)n, hex);
}

pm_status pm_db_host_add(pm_db *d, const pm_host *h, const char *compiler, const char *flags,
                         const char *blas, const char *blas_core, int threads, int64_t *host_id, pm_err *e) {
    char key[65];
    fingerprint(h, compiler, flags, blas, blas_core, threads, key);
    pm_status s = RUN(d, HOST_ADD, NULL, e, S(key), S(h->cpu), I(h->cores), S(h->isa), I(h->memory_bytes),
                      S(h->os), S(compiler), S(flags), S(blas), S(blas_core), I(threads));
    return s == PM_OK ? RUN(d, HOST_ID, host_id, e, S(key)) : s;
}

pm_status pm_db_host(pm_db *d, const char *blas, const char *blas_core, int threads, int64_t *host_id,
                     pm_err *e) {
    pm_host h;
    pm_host_get(&h);
    return pm_db_host_add(d, &h, pm_compiler, pm_cflags, blas, blas_core, threads, host_id, e);
}

pm_status pm_db_import(pm_db *d, int64_t run_id, const char *status, const char *error,
                       const char *started_at, const pm_db_imported *x, pm_err *e) {
    pm_status s = RUN(d, RUN_IMPORTED, NULL, e, S(status), S(error), S(started_at), I(run_id));
    s = changed_one(d, run_id, s, e);
    return s != PM_OK ? s
                      : RUN(d, IMPORTED, NULL, e, I(run_id), S(x->origin), S(x->experiment), F(x->train_s),
                            F(x->total_s), F(x->file_bytes), F(x->reserved_max_bytes),
                            F(x->reserved_mean_bytes), F(x->reserved_p99_bytes), S(x->document));
}

pm_status pm_db_find_key(pm_db *d, const char *run_key, int64_t *run_id, pm_err *e) {
    *run_id = 0;
    return RUN(d, FIND_KEY, run_id, e, S(run_key));
}

bool pm_db_has_table(const pm_db *d, const char *name) {
    return sqlite3_table_column_metadata(d->h, NULL, name, NULL, NULL, NULL, NULL, NULL, NULL) == SQLITE_OK;
}

pm_status pm_db_test_read(pm_db *d, const char *task, const char *method, bool read, int64_t *count,
                          pm_err *e) {
    pm_status s = read ? RUN(d, TEST_READ_ADD, NULL, e, S(task), S(method)) : PM_OK;
    return s == PM_OK ? RUN(d, TEST_READS, count, e, S(task), S(method)) : s;
}
