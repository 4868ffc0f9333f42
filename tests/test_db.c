/* test_db.c - the results database: the contract's columns, NULLs, hostile files, full disks, several
 * writers. */
#include "db_merge.h"
#include "fault_vfs.h"
#include "outcomes.h"

#include "check.h"
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/mount.h>
#endif

static char dir[64];
static char path[128];

/* ---- helpers
 * -------------------------------------------------------------------------------------------------------------
 */

static int count_files(const char *in) {
    DIR *d = opendir(in);
    int n = 0;
    for (struct dirent *x; d && (x = readdir(d));) n += x->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

static void clear_dir(const char *in) {
    DIR *d = opendir(in);
    char name[512];
    for (struct dirent *x; d && (x = readdir(d));) {
        snprintf(name, sizeof name, "%s/%.255s", in, x->d_name);
        if (x->d_name[0] != '.') remove(name);
    }
    if (d) closedir(d);
}

static void write_file(const char *name, const char *text, size_t n) {
    FILE *f = fopen(name, "wb");
    if (!f || fwrite(text, 1, n, f) != n) abort();
    fclose(f);
}

/* First column of the first row as text; "(none)" without a row, "(null)" for NULL, the message on an error.
 */
static const char *ask(sqlite3 *h, const char *text) {
    static char out[512];
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(h, text, -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    const char *v = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : "(none)";
    snprintf(out, sizeof out, "%s",
             rc != SQLITE_ROW && rc != SQLITE_DONE ? sqlite3_errmsg(h)
             : v                                   ? v
                                                   : "(null)");
    sqlite3_finalize(st);
    return out;
}

static const pm_db_run sample = {
    .run_key = "k",
    .model = "m",
    .task = "t",
    .method = "lora",
    .config = "{\"seed\":1}",
    .model_hash = "mh",
    .data_hash = "dh",
    .commit_id = "c",
    .peftmeter_version = "0",
    .seed = 1,
    .trainable_params = 10,
    .total_params = 100,
    .dirty = 0,
};

enum { N_STEPS = 300, N_EXAMPLES = 40 };

static pm_status fill(pm_db *d, int64_t run, pm_err *e) {
    pm_status s = pm_db_begin(d, e);
    char id[N_EXAMPLES][32];
    pm_outcome item[N_EXAMPLES];
    for (int i = 0; i < N_STEPS && s == PM_OK; i++)
        s = pm_db_step(d, run, i, 1.0 / (i + 1), 1e-4, 0.5, 100, 60, 0.1, e);
    for (int i = 0; i < N_EXAMPLES; i++) {
        snprintf(id[i], sizeof id[i], "%016x", (unsigned)i);
        item[i] =
            (pm_outcome){id[i], i % 2, -1.5, "a long answer that fills pages of the file", "gold", NULL};
    }
    if (s == PM_OK) s = pm_outcomes_write(d, run, "test", item, N_EXAMPLES, e);
    if (s == PM_OK) return pm_db_commit(d, e);
    pm_db_rollback(d);
    return s;
}

/* What a run does with its database. */
static pm_status scenario(const char *file, pm_err *e) {
    pm_db *d;
    int64_t run = 0, count = 0;
    pm_db_run r = sample;
    pm_status s = pm_db_open(file, &d, e);
    if (s != PM_OK) return s;
    s = pm_db_host(d, "onednn 2.6", "avx2", 2, &r.host_id, e);
    if (s == PM_OK) s = pm_db_run_begin(d, &r, &run, e);
    if (s == PM_OK) s = fill(d, run, e);
    if (s == PM_OK) s = pm_db_metric(d, run, "test", "acc", 1, 0.5, 0.01, N_EXAMPLES, e);
    if (s == PM_OK) s = pm_db_test_read(d, "t", "lora", true, &count, e);
    if (s == PM_OK) s = pm_db_run_end(d, run, "ok", NULL, e);
    pm_db_close(d);
    return s;
}

/* ---- what is stored
 * ------------------------------------------------------------------------------------------------------ */

static void db_has_the_contracts_columns(void) {
    static const char *const want[][2] = {
        {"runs", "id run_key status error started_at finished_at model task method seed config "
                 "trainable_params total_params model_hash "
                 "data_hash commit_id dirty host_id peftmeter_version"},
        {"steps", "run_id step loss lr grad_norm tokens label_tokens wall_s"},
        {"metrics", "run_id split name version value stderr n"},
        {"examples", "run_id split example_id correct score answer gold position cluster"},
        {"phases", "run_id phase wall_s cpu_s peak_rss_bytes peak_live_bytes"},
        {"memory", "run_id category bytes"},
        {"counters", "run_id name value"},
        {"checks", "run_id name ok value bound"},
        {"hosts", "id fingerprint cpu cores isa memory_bytes os compiler flags blas blas_core threads"},
        {"test_reads", "task method count"},
        {"sweep_runs", "sweep run_id stage label trial"},
        {"predictions", "run_id name basis predicted measured"},
    };
    pm_db *d;
    pm_err e = {0};
    clear_dir(dir);
    CHECK_OK(pm_db_open(path, &d, &e));
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char q[512], n[12]; /* more columns are free */
        int words = 1;
        for (const char *w = want[i][1]; *w; w++) words += *w == ' ';
        snprintf(n, sizeof n, "%d", words);
        snprintf(q, sizeof q,
                 "SELECT count(*) FROM pragma_table_info('%s') WHERE instr(' %s ', ' ' || name || ' ')",
                 want[i][0], want[i][1]);
        CHECK_EQ_STR(ask(pm_db_handle(d), q), n);
    }
    CHECK_EQ_STR(ask(pm_db_handle(d), "PRAGMA user_version"), "6");
    CHECK_EQ_STR(ask(pm_db_handle(d), "PRAGMA journal_mode"), "wal");
    CHECK_EQ_STR(ask(pm_db_handle(d), "PRAGMA foreign_keys"), "1");
    pm_db_close(d);
    CHECK_EQ_INT(count_files(dir), 1); /* nothing but the database itself */
}

static void db_stores_a_run(void) {
    pm_err e = {0};
    pm_db *d;
    clear_dir(dir);
    CHECK_OK(scenario(path, &e));
    CHECK_OK(scenario(path, &e));
    CHECK_OK(pm_db_open_readonly(path, &d, &e));
    sqlite3 *h = pm_db_handle(d);
    CHECK_EQ_STR(
        ask(h,
            "SELECT count(*) FROM runs WHERE status = 'ok' AND finished_at >= started_at AND error IS NULL"),
        "2");
    CHECK_EQ_STR(ask(h, "SELECT count(*) FROM hosts"), "1");
    CHECK_EQ_STR(
        ask(h,
            "SELECT count(*) FROM hosts WHERE cores >= 1 AND memory_bytes > 0 AND length(fingerprint) = 64"),
        "1");
    CHECK_EQ_STR(
        ask(h, "SELECT count(*) || ' ' || min(step) || ' ' || max(step) FROM steps WHERE run_id = 2"),
        "300 0 299");
    CHECK_EQ_STR(ask(h, "SELECT loss = 1.0 / 3 FROM steps WHERE run_id = 1 AND step = 2"),
                 "1"); /* full precision */
    CHECK_EQ_STR(ask(h, "SELECT sum(correct) || '/' || count(*) FROM examples WHERE run_id = 1"), "20/40");
    CHECK_EQ_STR(ask(h, "SELECT count FROM test_reads WHERE task = 't' AND method = 'lora'"), "2");
    CHECK_EQ_STR(ask(h, "SELECT started_at LIKE '20__-__-__T__:__:__.___Z' FROM runs"), "1");
    CHECK_EQ_STR(ask(h, "PRAGMA integrity_check"), "ok");
    CHECK_EQ_STR(ask(h, "DELETE FROM runs"), "attempt to write a readonly database");
    pm_db_close(d);
}

static void db_keeps_hosts_apart(void) {
    pm_err e = {0};
    pm_db *d;
    int64_t a, b, c, again;
    clear_dir(dir);
    CHECK_OK(pm_db_open(path, &d, &e));
    CHECK_OK(pm_db_host(d, "onednn 2.6", "avx2", 2, &a, &e));
    CHECK_OK(pm_db_host(d, "onednn 2.6", "avx2", 1, &b, &e));
    CHECK_OK(pm_db_host(d, "openblas 0.3", "avx2", 2, &c, &e));
    CHECK_OK(pm_db_host(d, "onednn 2.6", "avx2", 2, &again, &e));
    CHECK(a != b && a != c && b != c);
    CHECK_EQ_INT(again, a);
    pm_db_close(d);
}

#define NO_VERSION_4 "DROP VIEW predictions; DROP TABLE forecasts; DROP TABLE costs; DROP TABLE probes;"
#define NO_VERSION_6                                                                                         \
    "DROP TABLE imported; DROP TABLE noise; DROP TABLE roofline; ALTER TABLE probes DROP COLUMN "            \
    "text_token_s;"                                                                                          \
    "DROP VIEW examples; ALTER TABLE items DROP COLUMN cluster; CREATE VIEW examples AS SELECT o.run_id, "   \
    "o.split, i.example_id, CASE substr(o.correct, i.position + 1, 1) WHEN x'31' THEN 1 WHEN x'30' THEN 0 "  \
    "END AS correct, d.score, a.text AS answer, i.gold, i.position FROM outcomes o JOIN items i ON "         \
    "i.set_id = o.set_id LEFT JOIN details d ON d.outcomes_id = o.id AND d.position = i.position LEFT JOIN " \
    "answers a ON a.id = d.answer_id;"
#define NO_VERSION_5                                                                                         \
    NO_VERSION_6                                                                                             \
    "CREATE TABLE old (run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, split TEXT NOT "      \
    "NULL, example_id TEXT NOT NULL, correct INTEGER CHECK (correct IN (0, 1)), score REAL, answer TEXT, "   \
    "gold TEXT);"                                                                                            \
    "INSERT INTO old SELECT run_id, split, example_id, correct, score, answer, gold FROM examples ORDER BY " \
    "run_id, split, position; DROP VIEW examples; DROP TABLE details; DROP TABLE outcomes; DROP TABLE "      \
    "answers; DROP TABLE items; DROP TABLE item_sets; ALTER TABLE old RENAME TO examples;"                   \
    "CREATE INDEX examples_by_id ON examples (run_id, split, example_id);"

/* Every item in order, as text. */
#define ITEMS                                                                                                \
    "SELECT group_concat(split || example_id || coalesce(correct, '-') || coalesce(score, '-') || "          \
    "coalesce(answer, '-') || coalesce(gold, '-')) FROM "

/* Three items of a run of the scenario, some of equal content, some NULL; the twins are of a cluster. */
static void write_items(pm_db *d, int64_t run, const char *cluster) {
    pm_err e = {0};
    const pm_outcome item[] = {{"twin", 1, 0.1, "b", "g", cluster},
                               {"twin", 0, -1e-300, "a", "g", cluster},
                               {"alone", -1, (double)NAN, NULL, NULL, NULL}};
    pm_db_run other = sample;
    other.run_key = run > 2 ? "k3" : "k2";
    if (run > 1) CHECK_OK(pm_db_run_begin(d, &other, &run, &e));
    CHECK_OK(pm_outcomes_write(d, run, "validation", item, 3, &e));
}

/* A database of this program turned into an older one, with items of two splits. */
static void make_older(const char *statements) {
    pm_err e = {0};
    pm_db *d;
    clear_dir(dir);
    CHECK_OK(scenario(path, &e));
    CHECK_OK(pm_db_open(path, &d, &e));
    write_items(d, 1, NULL);
    CHECK(sqlite3_exec(pm_db_handle(d), statements, NULL, NULL, NULL) == SQLITE_OK);
    pm_db_close(d);
}

/* What a reader says of run 1's validation items: id, right or wrong. */
static const char *read_items(pm_db *d) {
    static char text[256];
    pm_err e = {0};
    pm_outcome_reader *r;
    pm_outcomes o;
    CHECK_OK(pm_outcome_reader_open(d, &r, &e));
    CHECK_OK(pm_outcomes_read(r, 1, "validation", &o, &e));
    *text = 0;
    for (int64_t i = 0; i < o.n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d ", o.id[i], o.correct[i]);
    CHECK_OK(pm_outcomes_read(r, 1, "train", &o, &e));
    CHECK_EQ_INT(o.n, 0);
    pm_outcome_reader_close(r);
    return text;
}

/* The next writer brings a database to this version, with all items as they were; readers take it as it is. */
static void check_upgrade(void) {
    pm_err e = {0};
    pm_db *d;
    char before[8192];
    CHECK_OK(pm_db_open_readonly(path, &d, &e));
    sqlite3_stmt *st = NULL;
    CHECK(sqlite3_prepare_v2(pm_db_handle(d), ITEMS "(SELECT * FROM examples ORDER BY run_id, split, rowid)",
                             -1, &st, NULL) == SQLITE_OK &&
          sqlite3_step(st) == SQLITE_ROW);
    snprintf(before, sizeof before, "%s", (const char *)sqlite3_column_text(st, 0));
    sqlite3_finalize(st);
    CHECK_EQ_STR(read_items(d), "alone-1 twin1 twin0 ");
    pm_db_close(d);
    CHECK_OK(pm_db_open(path, &d, &e));
    CHECK_EQ_STR(ask(pm_db_handle(d), "PRAGMA user_version"), "6");
    CHECK(sqlite3_prepare_v2(pm_db_handle(d),
                             ITEMS "(SELECT * FROM examples ORDER BY run_id, split, position)", -1, &st,
                             NULL) == SQLITE_OK &&
          sqlite3_step(st) == SQLITE_ROW);
    CHECK_EQ_STR((const char *)sqlite3_column_text(st, 0), before);
    sqlite3_finalize(st);
    CHECK_EQ_STR(
        ask(pm_db_handle(d), "SELECT typeof(score) || (score = 0.1) FROM examples WHERE answer = 'b'"),
        "real1");
    CHECK_EQ_STR(
        ask(pm_db_handle(d), "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%\\_4' ESCAPE '\\'"), "0");
    CHECK_EQ_STR(read_items(d), "alone-1 twin1 twin0 ");
    CHECK_EQ_STR(ask(pm_db_handle(d), "PRAGMA integrity_check"), "ok");
    CHECK_EQ_STR(ask(pm_db_handle(d), "PRAGMA foreign_key_check"), "(none)");
    pm_db_close(d);
    CHECK_OK(scenario(path, &e));
}

/* A database of version 1: its counts are kept. */
static void db_upgrades_version_1(void) {
    pm_err e = {0};
    pm_db *d;
    make_older(NO_VERSION_5
               "DROP VIEW test_reads; DROP TABLE test_read_log; DROP TABLE sweep_runs;" NO_VERSION_4
               "CREATE TABLE test_reads (task TEXT NOT NULL, method TEXT NOT NULL, count "
               "INTEGER NOT NULL, PRIMARY KEY (task, method)) WITHOUT ROWID;"
               "INSERT INTO test_reads VALUES ('t', 'lora', 3), ('t', 'full', 1); PRAGMA "
               "user_version = 1");
    CHECK_OK(pm_db_open_readonly(path, &d, &e));
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count FROM test_reads WHERE method = 'lora'"), "3");
    pm_db_close(d);
    check_upgrade();
    CHECK_OK(pm_db_open_readonly(path, &d, &e));
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT group_concat(method || count) FROM test_reads"), "full1,lora4");
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM sweep_runs"), "0");
    pm_db_close(d);
}

static void db_upgrades_version_2(void) {
    pm_err e = {0};
    pm_db *d;
    make_older(NO_VERSION_5 NO_VERSION_4 "PRAGMA user_version = 2");
    check_upgrade();
    CHECK_OK(pm_db_open_readonly(path, &d, &e));
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM runs"), "2");
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM probes, predictions"), "0");
    pm_db_close(d);
}

/* What version 3 had predicted is kept; what came of it is now asked of the run. */
static void db_upgrades_version_3(void) {
    pm_err e = {0};
    pm_db *d;
    make_older(
        NO_VERSION_5 NO_VERSION_4
        "CREATE TABLE probes (shape TEXT); CREATE TABLE predictions (run_id INTEGER NOT NULL REFERENCES "
        "runs (id) ON DELETE CASCADE, name TEXT NOT NULL, predicted REAL NOT NULL, measured REAL NOT "
        "NULL, PRIMARY KEY (run_id, name)) WITHOUT ROWID;"
        "INSERT INTO predictions VALUES (1, 'wall_s', 7, 8), (1, 'flops', 5, 6);"
        "PRAGMA user_version = 3");
    check_upgrade();
    CHECK_OK(pm_db_open_readonly(path, &d, &e));
    CHECK_EQ_STR(ask(pm_db_handle(d),
                     "SELECT group_concat(name || coalesce(predicted, '-')) FROM (SELECT * FROM "
                     "predictions WHERE basis = 'probe' AND run_id = 1 ORDER BY name)"),
                 "flops5.0,peak_live_bytes-,peak_rss_bytes-,wall_s7.0");
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM runs"), "2");
    pm_db_close(d);
}

static void db_upgrades_version_4(void) {
    make_older(NO_VERSION_5 "PRAGMA user_version = 4");
    check_upgrade();
}

/* What came after is added, and all that there is stays as it is. */
static void db_upgrades_version_5(void) {
    pm_err e = {0};
    pm_db *d;
    make_older(
        "INSERT INTO probes (shape, machine, wall_s, eval_token_s, peak_rss_bytes, peak_live_bytes, flops, "
        "steps) VALUES ('s', 'm', 1, 2, 3, 4, 5, 6);" NO_VERSION_6 "PRAGMA user_version = 5");
    CHECK_OK(pm_db_open_readonly(path, &d, &e));
    CHECK_EQ_STR(read_items(d), "alone-1 twin1 twin0 ");
    pm_db_close(d);
    CHECK_OK(pm_db_open(path, &d, &e));
    CHECK_EQ_STR(ask(pm_db_handle(d), "PRAGMA user_version"), "6");
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT steps || coalesce(text_token_s, '-') FROM probes"), "6-");
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM imported"), "0");
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM noise"), "0");
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM roofline"), "0");
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) || count(cluster) FROM examples"), "430");
    CHECK_EQ_STR(read_items(d), "alone-1 twin1 twin0 ");
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM item_sets"), "2");
    write_items(d, 2, NULL); /* the items that are there */
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM item_sets"), "2");
    pm_db_close(d);
}

/* Upgrading is one transaction: whichever call fails, the database is an older one or whole. */
static void db_survives_a_failing_upgrade(void) {
    int n = 1;
    for (bool reached = true; reached; n++) {
        pm_err e = {0};
        pm_db *d;
        make_older(NO_VERSION_5 "PRAGMA user_version = 4");
        fault_at(n, true);
        pm_status s = pm_db_open(path, &d, &e);
        pm_db_close(d);
        reached = fault_hits() > 0;
        fault_at(0, false);
        CHECK(s == PM_OK || (s == PM_EDB && e.hint[0]));
        CHECK_OK(pm_db_open_readonly(path, &d, &e));
        CHECK_EQ_STR(read_items(d), "alone-1 twin1 twin0 ");
        CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM examples"), "43");
        pm_db_close(d);
    }
    CHECK(n > 5);
}

/* What was not measured is NULL, and so is what is not known yet. */
static void db_writes_null_for_the_unknown(void) {
    pm_err e = {0};
    pm_db *d;
    int64_t run;
    pm_db_run r = {.model = "m", .task = "t", .method = "full", .config = "{}", .dirty = -1};
    clear_dir(dir);
    CHECK_OK(pm_db_open(path, &d, &e));
    sqlite3 *h = pm_db_handle(d);
    CHECK_OK(pm_db_run_begin(d, &r, &run, &e));
    CHECK_EQ_STR(
        ask(h, "SELECT status || coalesce(run_key, '-') || coalesce(dirty, '-') || coalesce(host_id, '-') || "
               "coalesce(trainable_params, '-') || coalesce(finished_at, '-') FROM runs"),
        "running-----");
    CHECK_OK(pm_db_run_update(d, run, &sample, &e));
    CHECK_EQ_STR(ask(h, "SELECT run_key || trainable_params || total_params || data_hash || dirty || seed || "
                        "method FROM runs"),
                 "k10100dh01lora");
    CHECK_OK(pm_db_step(d, run, 0, (double)NAN, 1e-4, (double)INFINITY, 1, 1, (double)NAN, &e));
    CHECK_EQ_STR(ask(h, "SELECT (loss IS NULL) || (wall_s IS NULL) || (grad_norm = 9e999) FROM steps"),
                 "111");
    CHECK_OK(pm_outcomes_write(d, run, "test", &(pm_outcome){"x", -1, (double)NAN, NULL, NULL, NULL}, 1, &e));
    CHECK_EQ_STR(ask(h, "SELECT count(*) FROM examples WHERE correct IS NULL AND score IS NULL AND answer IS "
                        "NULL AND gold IS NULL"),
                 "1");
    CHECK_OK(pm_db_metric(d, run, "test", "acc", 1, (double)NAN, (double)NAN, 0, &e));
    CHECK_OK(pm_db_phase(d, run, "train", 1.5, 3, 1000, -1, &e));
    CHECK_OK(pm_db_memory(d, run, "weights", 12345678901234, &e));
    CHECK_OK(pm_db_counter(d, run, "gemm_calls", INT64_MAX, &e));
    CHECK_OK(pm_db_check(d, run, "merge", 1, 1e-6, 1e-4, &e));
    CHECK_EQ_STR(
        ask(h,
            "SELECT (SELECT value IS NULL FROM metrics) || (SELECT peak_live_bytes IS NULL FROM phases) || "
            "(SELECT bytes FROM memory) || (SELECT value FROM counters) || (SELECT ok FROM checks)"),
        "111234567890123492233720368547758071");
    CHECK_OK(pm_db_run_end(d, run, "failed", "out of memory", &e));
    CHECK_EQ_STR(ask(h, "SELECT status || ': ' || error FROM runs"), "failed: out of memory");
    pm_db_close(d);
}

static void db_stores_only_utf8(void) {
    static const char *const text[][2] = {
        {"plain", "plain"},
        {"na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80", "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd"},
        {"\xff", "\xef\xbf\xbd"},
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"", ""},
    };
    pm_err e = {0};
    pm_db *d;
    int64_t run;
    clear_dir(dir);
    CHECK_OK(pm_db_open(path, &d, &e));
    CHECK_OK(pm_db_run_begin(d, &sample, &run, &e));
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        const pm_outcome item = {"x", 0, 0, text[i][0], NULL, NULL};
        CHECK_OK(pm_outcomes_write(d, run, "test", &item, 1, &e));
        CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT answer FROM examples"), text[i][1]);
        CHECK(sqlite3_exec(pm_db_handle(d), "DELETE FROM outcomes", NULL, NULL, NULL) == SQLITE_OK);
    }
    pm_db_close(d);
}

/* ---- items
 * -------------------------------------------------------------------------------------------------------------- */

/* What belongs to the items is stored once for all runs that answered them, a text once. */
static void db_stores_items_once(void) {
    pm_err e = {0};
    pm_db *d;
    int64_t run[3];
    const pm_outcome item[] = {{"a", 1, 0.1, "yes", "yes", NULL}, {"b", 0, -0.25, "yes", "no", NULL}};
    const pm_outcome other_gold[] = {{"a", 1, 0.1, "yes", "yes", NULL}, {"b", 0, -0.25, "yes", NULL, NULL}};
    clear_dir(dir);
    CHECK_OK(pm_db_open(path, &d, &e));
    sqlite3 *h = pm_db_handle(d);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(pm_db_run_begin(d, &sample, &run[i], &e));
        CHECK_OK(pm_outcomes_write(d, run[i], "test", i < 2 ? item : other_gold, 2, &e));
    }
    CHECK_EQ_STR(ask(h, "SELECT group_concat(n) FROM item_sets"), "2,2");
    CHECK_EQ_STR(ask(h, "SELECT hash FROM item_sets WHERE id = 1"), /* as older versions have it */
                 "e0399a176f3e722df988a1bc63478f7c61bf8ec92f630bc9c7b917bf8b766907");
    CHECK_EQ_STR(ask(h, "SELECT count(*) FROM items"), "4");
    CHECK_EQ_STR(ask(h, "SELECT group_concat(text) FROM answers"), "yes");
    CHECK_EQ_STR(ask(h, "SELECT group_concat(CAST(correct AS TEXT)) FROM outcomes"), "10,10,10");
    CHECK_EQ_INT(pm_outcomes_write(d, run[0], "test", item, 1, &e),
                 PM_EDB); /* twice: nothing of it is left */
    CHECK(strstr(e.msg, "outcomes.run_id") && e.hint[0]);
    CHECK_EQ_INT(pm_outcomes_write(d, 99, "test", item, 1, &e), PM_EDB);
    CHECK_EQ_STR(ask(h, "SELECT (SELECT count(*) FROM item_sets) || (SELECT count(*) FROM examples)"), "26");
    CHECK_OK(pm_outcomes_write(d, run[0], "empty", item, 0, &e));
    CHECK(sqlite3_exec(h, "DELETE FROM runs WHERE id = 1", NULL, NULL, NULL) == SQLITE_OK);
    CHECK_EQ_STR(ask(h, "SELECT (SELECT count(*) FROM details) || (SELECT count(*) FROM examples)"), "44");
    pm_db_close(d);
}

/* Items arrive as they were, in their order, from a database of this version and from an older one, and twice is once. */
static void db_merges_items(void) {
    static const char *const older[] = {"SELECT 1", NO_VERSION_5 "PRAGMA user_version = 4",
                                        NO_VERSION_6 "PRAGMA user_version = 5"};
    char other[160];
    snprintf(other, sizeof other, "%s/other.db", dir);
    for (size_t i = 0; i < sizeof older / sizeof *older; i++) {
        pm_err e = {0};
        pm_db *d;
        pm_merged n = {0};
        make_older(older[i]);
        CHECK_OK(pm_db_open(other, &d, &e));
        CHECK_OK(pm_db_merge(d, path, &n, &e));
        CHECK_OK(pm_db_merge(d, path, &n, &e));
        CHECK_EQ_INT(n.added, 1);
        CHECK_EQ_INT(n.there, 1);
        CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM examples"), "43");
        CHECK_EQ_STR(ask(pm_db_handle(d),
                         ITEMS "(SELECT * FROM examples WHERE split = 'validation' ORDER BY position)"),
                     "validationtwin10.1bg,validationtwin0-1.0e-300ag,validationalone----");
        CHECK_EQ_STR(read_items(d), "alone-1 twin1 twin0 ");
        pm_db_close(d);
    }
}

/* Clusters arrive too. Items whose clusters differ are other items to the tables, and the same to whoever pairs runs. */
static void db_keeps_clusters(void) {
    pm_err e = {0};
    pm_db *d;
    pm_outcome_reader *r;
    pm_outcomes o[2];
    pm_merged n = {0};
    char other[160];
    snprintf(other, sizeof other, "%s/other.db", dir);
    make_older("SELECT 1");
    CHECK_OK(pm_db_open(path, &d, &e));
    write_items(d, 2, "balim");
    write_items(d, 3, "defen");
    pm_db_close(d);
    CHECK_OK(pm_db_open(other, &d, &e));
    CHECK_OK(pm_db_merge(d, path, &n, &e));
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT group_concat(coalesce(cluster, '-')) FROM (SELECT cluster FROM "
                                      "examples WHERE split = 'validation' ORDER BY run_id, position)"),
                 "-,-,-,balim,balim,-,defen,defen,-");
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM item_sets"), "4");
    CHECK_OK(pm_outcome_reader_open(d, &r, &e));
    for (int i = 0; i < 2; i++) CHECK_OK(pm_outcomes_read(r, i + 1, "validation", &o[i], &e));
    CHECK(!o[0].cluster && o[0].n_clusters == 0);
    CHECK_EQ_INT(o[1].n_clusters, 2); /* "alone" is its own */
    CHECK(o[1].cluster[0] == 1 && o[1].cluster[1] == 0 && o[1].cluster[2] == 0);
    CHECK_EQ_STR(o[0].items, o[1].items);
    pm_outcome_reader_close(r);
    pm_db_close(d);
}

/* The view's queries go by indices: nothing of it is read from end to end, whatever is asked for. */
static void db_finds_items_by_index(void) {
    static const char *const query[] = {"SELECT * FROM examples WHERE run_id = 1",
                                        "SELECT * FROM examples WHERE run_id = 1 AND split = 'test'",
                                        "SELECT * FROM examples WHERE example_id = 'x'"};
    pm_err e = {0};
    pm_db *d;
    clear_dir(dir);
    CHECK_OK(pm_db_open(path, &d, &e));
    for (size_t i = 0; i < sizeof query / sizeof *query; i++) {
        char explain[128];
        sqlite3_stmt *st = NULL;
        int steps = 0;
        snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", query[i]);
        CHECK(sqlite3_prepare_v2(pm_db_handle(d), explain, -1, &st, NULL) == SQLITE_OK);
        for (; sqlite3_step(st) == SQLITE_ROW; steps++)
            if (strncmp((const char *)sqlite3_column_text(st, 3), "SEARCH ", 7) != 0)
                CHECK_FAIL_("%s: %s", query[i], (const char *)sqlite3_column_text(st, 3));
        CHECK_EQ_INT(steps, 4);
        sqlite3_finalize(st);
    }
    pm_db_close(d);
}

static void db_refuses_wrong_rows(void) {
    pm_err e = {0};
    pm_db *d;
    int64_t run;
    clear_dir(dir);
    CHECK_OK(pm_db_open(path, &d, &e));
    CHECK_OK(pm_db_run_begin(d, &sample, &run, &e));
    CHECK_EQ_INT(pm_db_step(d, run + 1, 0, 1, 1, 1, 1, 1, 1, &e), PM_EDB); /* no such run */
    CHECK(strstr(e.msg, "FOREIGN KEY") && strstr(e.msg, path) && e.hint[0]);
    CHECK_OK(pm_db_step(d, run, 0, 1, 1, 1, 1, 1, 1, &e));
    CHECK_EQ_INT(pm_db_step(d, run, 0, 1, 1, 1, 1, 1, 1, &e), PM_EDB); /* twice */
    CHECK(strstr(e.msg, "steps.step"));
    CHECK_EQ_INT(pm_db_run_end(d, run, "fine", NULL, &e), PM_EDB);
    CHECK_EQ_INT(pm_db_run_end(d, run + 1, "ok", NULL, &e), PM_EDB);
    pm_db_run broken = sample;
    broken.config = "{oops";
    CHECK_EQ_INT(pm_db_run_begin(d, &broken, &run, &e), PM_EDB);
    pm_db_close(d);
    pm_db_close(NULL);
}

static void db_rolls_back(void) {
    pm_err e = {0};
    pm_db *d;
    int64_t run;
    clear_dir(dir);
    CHECK_OK(pm_db_open(path, &d, &e));
    CHECK_OK(pm_db_run_begin(d, &sample, &run, &e));
    CHECK_OK(pm_db_begin(d, &e));
    CHECK_OK(pm_db_step(d, run, 0, 1, 1, 1, 1, 1, 1, &e));
    CHECK_EQ_INT(pm_db_begin(d, &e), PM_EDB);
    pm_db_rollback(d);
    pm_db_rollback(d);
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM steps"), "0");
    CHECK_OK(pm_db_begin(d, &e));
    CHECK_OK(pm_db_step(d, run, 0, 1, 1, 1, 1, 1, 1, &e));
    pm_db_close(d); /* as after a failure: what was not committed is gone */
    CHECK_OK(pm_db_open(path, &d, &e));
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM steps"), "0");
    pm_db_close(d);
}

/* ---- files that are not what they should be
 * ------------------------------------------------------------------------------ */

static void expect_refusal(const char *file, const char *says) {
    pm_err e = {0};
    pm_db *d;
    CHECK_EQ_INT(pm_db_open(file, &d, &e), PM_EDB);
    CHECK(d == NULL);
    if (!strstr(e.msg, says)) CHECK_FAIL_("%s: \"%s\" does not say \"%s\"", file, e.msg, says);
    CHECK(e.hint[0]);
    CHECK_EQ_INT(pm_db_open_readonly(file, &d, &e), PM_EDB);
    CHECK(d == NULL && e.hint[0]);
}

static void make_other_db(const char *statements) {
    sqlite3 *h;
    clear_dir(dir);
    if (sqlite3_open(path, &h) != SQLITE_OK || sqlite3_exec(h, statements, NULL, NULL, NULL) != SQLITE_OK)
        abort();
    sqlite3_close(h);
}

static void db_refuses_other_files(void) {
    char text[8192], missing[160];
    clear_dir(dir);
    memset(text, 'x', sizeof text);
    write_file(path, text, sizeof text);
    expect_refusal(path, "not a database");
    write_file(path, "short", 5);
    expect_refusal(path, "not a database");
    make_other_db("CREATE TABLE mine (x)");
    expect_refusal(path, "not one of peftmeter's");
    make_other_db("PRAGMA user_version = 1");
    expect_refusal(path, "not one of peftmeter's");
    make_other_db("PRAGMA application_id = 1346717268; PRAGMA user_version = 7; CREATE TABLE runs (x)");
    expect_refusal(path, "schema version 7");
    expect_refusal(dir, "is a folder");
    expect_refusal("", "empty");
    expect_refusal("/dev/full", "");
    snprintf(missing, sizeof missing, "%s/no/such/folder.db", dir);
    expect_refusal(missing, "No such file");
}

static void db_gives_an_empty_file_the_schema(void) {
    pm_err e = {0};
    pm_db *d;
    clear_dir(dir);
    write_file(path, "", 0);
    CHECK_EQ_INT(pm_db_open_readonly(path, &d, &e), PM_EDB);
    CHECK_OK(scenario(path, &e));
}

/* A database cut or overwritten anywhere never crashes and never opens as a new one. */
static void db_survives_damage(void) {
    pm_err e = {0};
    clear_dir(dir);
    CHECK_OK(scenario(path, &e));
    FILE *f = fopen(path, "rb");
    static char good[1 << 20], bad[1 << 20];
    size_t n = f ? fread(good, 1, sizeof good, f) : 0;
    if (f) fclose(f);
    CHECK(n > 8192 && n < sizeof good);
    for (size_t i = 0; i < 40; i++) {
        memcpy(bad, good, n);
        size_t cut = i % 2 ? n : 1 + n * i / 40;
        if (i % 2) memset(bad + n * i / 41, (int)i, 300);
        clear_dir(dir);
        write_file(path, bad, cut);
        pm_err why = {0};
        pm_status s = scenario(path, &why);
        CHECK(s == PM_OK || (s == PM_EDB && why.msg[0] && why.hint[0]));
    }
}

/* ---- disks that fail
 * ----------------------------------------------------------------------------------------------------- */

/* After a failure the file is absent or whole: each run either complete or without steps, and earlier runs
 * untouched. */
static void check_intact(const char *in, const char *file, int runs_before, pm_status s, int n) {
    pm_err e = {0};
    pm_db *d;
    DIR *left = opendir(in);
    for (struct dirent *x; left && (x = readdir(left));)
        if (strstr(x->d_name, ".new-")) CHECK_FAIL_("call %d: %s was left behind", n, x->d_name);
    if (left) closedir(left);
    if (access(file, F_OK) != 0) {
        CHECK(runs_before == 0 && s != PM_OK);
        return;
    }
    CHECK_OK(pm_db_open(file, &d, &e));
    if (!d) return;
    sqlite3 *h = pm_db_handle(d);
    char want[32];
    CHECK_EQ_STR(ask(h, "PRAGMA integrity_check"), "ok");
    const char *first = ask(
        h, "SELECT status || ' ' || (SELECT count(*) FROM metrics WHERE run_id = 1) FROM runs WHERE id = 1");
    if (runs_before) CHECK_EQ_STR(first, "ok 1");
    CHECK_EQ_STR(
        ask(h, "SELECT count(*) FROM (SELECT count(*) AS c FROM steps GROUP BY run_id) WHERE c <> 300"), "0");
    if (s == PM_OK) {
        snprintf(want, sizeof want, "%d", runs_before + 1);
        CHECK_EQ_STR(ask(h, "SELECT count(*) FROM runs WHERE status = 'ok'"), want);
    }
    pm_db_close(d);
}

/* The n-th changing call fails, n = 1, 2, ... until the work is done before it. Returns how many calls that
 * took. */
static int fail_each_call(bool forever, int runs_before) {
    int n = 1;
    for (bool reached = true; reached; n++) {
        pm_err e = {0}, fine = {0};
        clear_dir(dir);
        fault_at(0, false);
        if (runs_before && scenario(path, &fine) != PM_OK) abort();
        fault_at(n, forever);
        pm_status s = scenario(path, &e);
        reached = fault_hits() > 0;
        fault_at(0, false);
        if (s != PM_OK && !(s == PM_EDB && e.code == PM_EDB && e.msg[0] && e.hint[0]))
            CHECK_FAIL_("call %d: %d %s", n, (int)s, e.msg);
        CHECK(reached || s == PM_OK);
        check_intact(dir, path, runs_before, s, n);
    }
    return n - 2;
}

static void db_survives_every_failing_call(void) {
    for (int forever = 0; forever < 2; forever++)
        for (int before = 0; before < 2; before++) {
            int calls = fail_each_call(forever, before);
            CHECK(calls > (before ? 10 : 40)); /* the faults were really met */
        }
}

#ifdef __linux__
/* A real full disk, where this process may mount one. */
static void db_survives_a_full_disk(void) {
    char mount_at[128], file[160];
    pm_err e = {0};
    clear_dir(dir);
    snprintf(mount_at, sizeof mount_at, "%s/small", dir);
    snprintf(file, sizeof file, "%s/results.db", mount_at);
    static const char *const size[] = {"size=16k",  "size=64k",  "size=128k",
                                       "size=160k", "size=192k", "size=224k"};
    int failures = 0;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        mkdir(mount_at, 0700);
        if (mount("tmpfs", mount_at, "tmpfs", 0, size[i]) != 0) {
            SKIP("db_survives_a_full_disk", "mounting is not permitted here");
            rmdir(mount_at);
            return;
        }
        pm_status s = scenario(file, &e);
        failures += s != PM_OK;
        if (s != PM_OK && !(s == PM_EDB && e.hint[0])) CHECK_FAIL_("%s: %d %s", size[i], (int)s, e.msg);
        bool there = access(file, F_OK) == 0;
        CHECK(there || count_files(mount_at) == 0);
        umount(mount_at);
        rmdir(mount_at);
    }
    CHECK(failures >= 3);
}

/* A database on a medium that cannot be written: read, with a name that a URI would misread, and refused for writing. */
static void db_reads_from_a_readonly_medium(void) {
    char mount_at[128], file[160];
    pm_err e = {0};
    pm_db *d;
    clear_dir(dir);
    snprintf(mount_at, sizeof mount_at, "%s/frozen", dir);
    snprintf(file, sizeof file, "%s/100%%20 #1?.db", mount_at);
    mkdir(mount_at, 0700);
    if (mount("tmpfs", mount_at, "tmpfs", 0, "size=4m") != 0) {
        SKIP("db_reads_from_a_readonly_medium", "mounting is not permitted here");
        rmdir(mount_at);
        return;
    }
    CHECK_OK(scenario(file, &e));
    CHECK(mount("tmpfs", mount_at, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL) == 0);
    CHECK_OK(pm_db_open_readonly(file, &d, &e));
    if (d) CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM steps"), "300");
    pm_db_close(d);
    CHECK_EQ_INT(pm_db_open(file, &d, &e), PM_EDB);
    CHECK(e.hint[0]);
    umount(mount_at);
    rmdir(mount_at);
}
#endif

/* ---- several writers
 * ----------------------------------------------------------------------------------------------------- */

static void db_is_shared_by_processes(void) {
    enum { WRITERS = 4 };
    clear_dir(dir);
    for (int i = 0; i < WRITERS; i++)
        if (fork() == 0) {
            pm_err e = {0};
            pm_status s = scenario(path, &e);
            if (s != PM_OK) fprintf(stderr, "writer: %s\n", e.msg);
            _exit(s != PM_OK);
        }
    for (int i = 0, status; i < WRITERS; i++) {
        wait(&status);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    pm_err e = {0};
    pm_db *d;
    CHECK_OK(pm_db_open_readonly(path, &d, &e));
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM runs WHERE status = 'ok'"), "4");
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM steps"), "1200");
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count FROM test_reads"), "4");
    CHECK_EQ_STR(ask(pm_db_handle(d), "SELECT count(*) FROM hosts"), "1");
    pm_db_close(d);
}

int main(void) {
    /* In memory where there is such a folder: thousands of syncs are waited for otherwise. */
    snprintf(dir, sizeof dir, "%s/peftmeter-db-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(dir)) return perror(dir), 1;
    snprintf(path, sizeof path, "%s/results.db", dir);
    fault_install();
    RUN(db_has_the_contracts_columns);
    RUN(db_stores_a_run);
    RUN(db_keeps_hosts_apart);
    RUN(db_upgrades_version_1);
    RUN(db_upgrades_version_2);
    RUN(db_upgrades_version_3);
    RUN(db_upgrades_version_4);
    RUN(db_upgrades_version_5);
    RUN(db_survives_a_failing_upgrade);
    RUN(db_writes_null_for_the_unknown);
    RUN(db_stores_only_utf8);
    RUN(db_stores_items_once);
    RUN(db_merges_items);
    RUN(db_keeps_clusters);
    RUN(db_finds_items_by_index);
    RUN(db_refuses_wrong_rows);
    RUN(db_rolls_back);
    RUN(db_refuses_other_files);
    RUN(db_gives_an_empty_file_the_schema);
    RUN(db_survives_damage);
    RUN(db_survives_every_failing_call);
#ifdef __linux__
    RUN(db_survives_a_full_disk);
    RUN(db_reads_from_a_readonly_medium);
#endif
    RUN(db_is_shared_by_processes);
    clear_dir(dir);
    rmdir(dir);
    return check_done();
}
