/* cmd_worker.c - `worker`: what a sweep or a comparison of builds starts in processes of its own. Not for people: it is left out of
 * `peftmeter --help`.
 *
 * With --run-id it does the run that a row of the database describes; with --facts it says, as JSON, what identifies the runs of a model
 * on a task, or why they cannot be had; with --probe it does a few steps of a run, in a database of its own that it throws away, and says
 * as JSON what the whole would take. With --pace it does steps or kernels when asked, one at a time, and says how long each took (pace.h).
 */
#include "cmd.h"
#include "commons.h"
#include "db.h"
#include "pace.h"
#include "runner.h"
#include "task.h"
#include "text.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] = "usage: peftmeter worker --db FILE --run-id N [--lock-test] [--common FD]\n"
                           "       peftmeter worker --facts SETTINGS [--lock-test] [--common FD]\n"
                           "       peftmeter worker --probe SETTINGS [--common FD]\n"
                           "       peftmeter worker --pace kernels|SETTINGS\n"
                           "\n"
                           "Does one run of a sweep, or takes turns with another build. `peftmeter sweep` "
                           "and `peftmeter regress` start it.\n";

/* The settings that a row begun by a sweep holds. */
static pm_status row_settings(const char *path, int64_t id, char **out, pm_err *e) {
    pm_db *d;
    sqlite3_stmt *st = NULL;
    pm_status rc = pm_db_open(path, &d, e);
    if (rc) return rc;
    bool found =
        sqlite3_prepare_v2(pm_db_handle(d), "SELECT config FROM runs WHERE id = ? AND status = 'running'", -1,
                           &st, NULL) == SQLITE_OK &&
        sqlite3_bind_int64(st, 1, id) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW;
    if (found) {
        const char *text = (const char *)sqlite3_column_text(st, 0);
        *out = pm_xstrndup(text, strlen(text));
    } else {
        pm_fail(e, PM_EDB, "%s: no run %lld waits to be done", path, (long long)id);
        rc = pm_hint(e, "`peftmeter sweep` begins the rows that its workers do");
    }
    sqlite3_finalize(st);
    pm_db_close(d);
    return rc;
}

static pm_status do_run(const char *db, const char *id, pm_err *e) {
    char *end, *settings = NULL;
    errno = 0;
    long long n = strtoll(id, &end, 10);
    if (*end || errno || n < 1) return pm_fail(e, PM_EUSAGE, "--run-id: %.40s is not a run", id);
    pm_status rc = row_settings(db, n, &settings, e);
    if (rc) return rc;
    pm_config *c = pm_config_new();
    rc = pm_config_load_text(c, settings, "the run's settings", e);
    free(settings);
    if (!rc && c->m) rc = pm_config_check(c, e);
    pm_run_opts o = {.db_path = db, .train = c->m, .run_id = n};
    if (!rc) rc = pm_run_logged(c, &o, e);
    pm_config_free(c);
    return rc;
}

static void add_error(cJSON *j, const pm_err *e) {
    cJSON_AddNumberToObject(j, "code", e->code);
    cJSON_AddStringToObject(j, "error", e->msg);
    cJSON_AddStringToObject(j, "hint", e->hint);
}

static void print_facts(const pm_identity *i, const pm_err *e) {
    cJSON *j = cJSON_CreateObject();
    if (e->code)
        add_error(j, e);
    else {
        cJSON_AddStringToObject(j, "task", i->task);
        cJSON_AddNumberToObject(j, "task_version", i->task_version);
        cJSON_AddStringToObject(j, "model_hash", i->model_hash);
        cJSON_AddStringToObject(j, "train_hash", i->train_hash);
        cJSON_AddStringToObject(j, "data_hash", i->data_hash);
        cJSON_AddStringToObject(j, "probe_hash", i->probe_hash);
        cJSON_AddNumberToObject(j, "eval_tokens", (double)i->eval_tokens);
        cJSON_AddNumberToObject(j, "probe_tokens", (double)i->probe_tokens);
        cJSON_AddNumberToObject(j, "eval_items", i->eval_items);
        cJSON_AddNumberToObject(j, "data_rss_bytes", (double)i->data_rss_bytes);
    }
    pm_json_print(j);
}

static pm_status say_facts(const char *settings, pm_err *e) {
    pm_identity i;
    pm_err why = {0};
    pm_config *c = pm_config_new();
    pm_status rc = pm_config_load_text(c, settings, "--facts", &why);
    if (!rc) rc = pm_run_identify(c, &i, &why);
    pm_config_free(c);
    print_facts(&i, &why);
    return rc ? pm_fail(e, rc, "%s", why.msg) : PM_OK;
}

/* ---- probes ---- */

typedef struct probed {
    double train_s, eval_s; /* phases of the probe */
    int64_t rss, live, flops, flops_forward;
} probed;

static double number(pm_db *d, const char *query) {
    sqlite3_stmt *st = NULL;
    double x = 0;
    if (sqlite3_prepare_v2(pm_db_handle(d), query, -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        x = sqlite3_column_double(st, 0);
    sqlite3_finalize(st);
    return x;
}

static pm_status read_probe(const char *db, probed *x, pm_err *e) {
    pm_db *d;
    pm_status rc = pm_db_open(db, &d, e);
    if (rc) return rc;
    x->train_s = number(d, "SELECT wall_s FROM phases WHERE phase = 'train'");
    x->eval_s = number(d, "SELECT wall_s FROM phases WHERE phase = 'validate'");
    x->rss = (int64_t)number(d, "SELECT max(peak_rss_bytes) FROM phases");
    x->live = (int64_t)number(d, "SELECT max(peak_live_bytes) FROM phases");
    x->flops_forward = (int64_t)number(d, "SELECT value FROM counters WHERE name = 'flops_forward'");
    x->flops = (int64_t)number(d, "SELECT sum(value) FROM counters WHERE name GLOB 'flops_*'");
    pm_db_close(d);
    return PM_OK;
}

/* Plain text takes a step's time, but for the FLOPs that go back; 0 where nothing is trained. */
static double text_token_s(const pm_probe *p, const probed *x) {
    double step_s = p->plan_tokens ? pm_probe_train_s(p) / (double)p->plan_tokens : 0;
    return x->flops ? step_s * (double)x->flops_forward / (double)x->flops : 0;
}

/* Where there is nothing to score here there may be test items later, and they are taken for plain text. */
static double eval_token_s(const pm_probe *p, const probed *x) {
    return p->eval_tokens ? x->eval_s / (double)p->eval_tokens : text_token_s(p, x);
}

/* What the run takes beyond this process: the steps and items that were left out. */
static void print_probe(const pm_probe *p, const probed *x, const pm_err *e) {
    cJSON *j = cJSON_CreateObject();
    int64_t done = p->first_tokens + p->rest_tokens;
    if (e->code)
        add_error(j, e);
    else {
        cJSON_AddNumberToObject(j, "more_s", pm_probe_train_s(p) - x->train_s - x->eval_s);
        cJSON_AddNumberToObject(j, "eval_token_s", eval_token_s(p, x));
        cJSON_AddNumberToObject(j, "text_token_s", text_token_s(p, x));
        cJSON_AddNumberToObject(j, "peak_rss_bytes", (double)(x->rss - p->data_rss_bytes));
        cJSON_AddNumberToObject(j, "peak_live_bytes", (double)x->live);
        cJSON_AddBoolToObject(j, "prepared", p->prepared);
        cJSON_AddNumberToObject(j, "flops",
                                (double)x->flops * (double)p->plan_tokens / (double)(done ? done : 1));
        cJSON_AddNumberToObject(j, "steps", p->steps);
    }
    pm_json_print(j);
}

static pm_status probe_in(const char *folder, pm_config *c, pm_probe *p, probed *x, pm_err *e) {
    static const char *const left[] = {"probe.db", "probe.db-wal", "probe.db-shm"};
    char db[512];
    pm_status rc = pm_path_join(db, sizeof db, folder, left[0], e);
    const pm_run_opts o = {.db_path = db, .train = c->m, .probe = p};
    c->eval.every = 0;
    if (!rc) rc = pm_run_logged(c, &o, e);
    if (!rc) rc = read_probe(db, x, e);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        if (!pm_path_join(db, sizeof db, folder, left[i], NULL)) unlink(db);
    rmdir(folder);
    return rc;
}

static pm_status say_probe(const char *settings, pm_err *e) {
    pm_probe p = {0};
    probed x = {0};
    pm_err why = {0};
    char folder[300];
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.200s/peftmeter-probe-XXXXXX", tmp && *tmp ? tmp : P_tmpdir);
    pm_config *c = pm_config_new();
    pm_test_lock();
    pm_status rc = pm_config_load_text(c, settings, "--probe", &why);
    if (!rc && !mkdtemp(folder)) rc = pm_fail(&why, PM_EIO, "make %s: %s", folder, strerror(errno));
    if (!rc) rc = probe_in(folder, c, &p, &x, &why);
    pm_config_free(c);
    print_probe(&p, &x, &why);
    return rc ? pm_fail(e, rc, "%s", why.msg) : PM_OK;
}

static pm_status run(int argc, char **argv, pm_err *e) {
    const char *db = NULL, *id = NULL, *facts = NULL;
    const char *probe = NULL, *pace = NULL, *common = NULL;
    bool lock = false;
    const pm_opt opts[] = {{"--db", &db, NULL, NULL},         {"--run-id", &id, NULL, NULL},
                           {"--facts", &facts, NULL, NULL},   {"--probe", &probe, NULL, NULL},
                           {"--pace", &pace, NULL, NULL},     {"--lock-test", NULL, &lock, NULL},
                           {"--common", &common, NULL, NULL}, {0}};
    pm_status rc = pm_opts_parse(opts, &argc, argv, e);
    if (!rc) rc = pm_args_check(argc, argv, 0, 0, e);
    if (rc) return rc;
    if (lock) pm_test_lock();
    if (common) pm_commons_join((int)strtol(common, NULL, 10));
    pm_global.quiet = true;
    if (facts) return say_facts(facts, e);
    if (probe) return say_probe(probe, e);
    if (pace) return pm_pace_serve(pace, e);
    if (db && id) return do_run(db, id, e);
    pm_fail(e, PM_EUSAGE, "worker: neither --facts, --probe nor --db and --run-id");
    return pm_hint(e, "`peftmeter sweep` starts it");
}

const pm_command pm_cmd_worker = {"worker", NULL, help, run, NULL, false};
