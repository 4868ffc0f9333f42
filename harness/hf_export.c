/* hf_export.c - runs of a database as result files of method_comparison (hf_results.h).
 *
 * Why some fields are null: their reader wants numbers for an accelerator's memory and for the checkpoint's size. A run on a CPU has no
 * accelerator, and a size that nobody measured is not known; a number that looks measured would be taken for one.
 */
#include "hf_results.h"

#include "adapter_config.h"
#include "config.h"
#include "jsonio.h"
#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 256 };

typedef struct names { /* of the files so far */
    char (*at)[NAME];
    int n;
} names;

typedef struct exporter {
    pm_db *d;
    const char *dir;
    pm_hf_exported *n;
    names taken;
    sqlite3_stmt *run; /* stands on the run */
    cJSON *config;     /* its settings */
} exporter;

enum {
    ID,
    KEY,
    STATUS,
    ERROR,
    CREATED,
    TOTAL_S,
    MODEL,
    TASK,
    METHOD,
    SEED,
    CONFIG,
    TRAINABLE,
    TOTAL,
    MODEL_HASH,
    DATA_HASH,
    TRAIN_HASH,
    COMMIT,
    VERSION,
    CPU,
    SYSTEM,
    TRAIN_S,
    EXPERIMENT,
    DOCUMENT
};
/* Columns in that order. Their train_time runs from the loaded model to the end, evaluations during training left out: our phases data, train and test. */
static const char columns[] =
    "SELECT r.id, r.run_key, r.status, r.error, strftime('%Y-%m-%dT%H:%M:%S+00:00', r.started_at), "
    "(julianday(r.finished_at) - julianday(r.started_at)) * 86400, r.model, r.task, r.method, r.seed, "
    "r.config, r.trainable_params, r.total_params, r.model_hash, r.data_hash, r.train_hash, r.commit_id, "
    "r.peftmeter_version, h.cpu, h.os, (SELECT CASE WHEN max(phase = 'train') THEN sum(wall_s) END "
    "FROM phases WHERE run_id = r.id AND phase IN ('data', 'train', 'test'))";

static const char *text_at(const exporter *x, int column) {
    return (const char *)sqlite3_column_text(x->run, column);
}

/* ---- values -------------------------------------------------------------------------------------------------------------- */

static void put_null(cJSON *to, const char *key) {
    cJSON_AddNullToObject(to, key);
}

static void put_text(cJSON *to, const char *key, const char *text) {
    if (text)
        cJSON_AddStringToObject(to, key, text);
    else
        put_null(to, key);
}

/* null where it is not finite. */
static void put_number(cJSON *to, const char *key, double x) {
    if (isfinite(x))
        cJSON_AddNumberToObject(to, key, x);
    else
        put_null(to, key);
}

static double setting(const exporter *x, const char *key) {
    return pm_json_number(x->config, key);
}

static const char *setting_text(const exporter *x, const char *key) {
    return pm_json_str(x->config, key, "");
}

/* ---- run_info ------------------------------------------------------------------------------------------------------------ */

static const char *schedule_of(const exporter *x) {
    const char *ours = setting_text(x, "optim.schedule");
    bool warm = setting(x, "optim.warmup_steps") > 0 || setting(x, "optim.warmup_frac") > 0;
    if (strcmp(ours, "constant") != 0) return *ours ? ours : NULL;
    return warm ? "constant_with_warmup" : NULL;
}

static cJSON *optimizer_of(const exporter *x) {
    cJSON *o = cJSON_CreateObject();
    put_number(o, "lr", setting(x, "optim.lr"));
    put_number(o, "weight_decay", setting(x, "optim.weight_decay"));
    put_number(o, "eps", setting(x, "optim.eps"));
    cJSON *betas = cJSON_AddArrayToObject(o, "betas");
    cJSON_AddItemToArray(betas, cJSON_CreateNumber(setting(x, "optim.beta1")));
    cJSON_AddItemToArray(betas, cJSON_CreateNumber(setting(x, "optim.beta2")));
    return o;
}

static double samples_a_step(const exporter *x) {
    double accumulated = setting(x, "train.grad_accum");
    return setting(x, "train.batch") * (accumulated > 0 ? accumulated : 1);
}

static cJSON *train_config(const exporter *x, double n_steps) {
    cJSON *c = cJSON_CreateObject();
    bool bf16 = strcmp(setting_text(x, "precision"), "bf16") == 0;
    double steps = setting(x, "train.steps"), every = setting(x, "eval.every");
    put_text(c, "model_id", text_at(x, MODEL));
    put_text(c, "dtype", bf16 ? "bfloat16" : "float32");
    put_number(c, "max_seq_length", setting(x, "train.max_len"));
    put_number(c, "batch_size", samples_a_step(x));
    put_null(c, "batch_size_eval");
    put_number(c, "max_steps", steps > 0 ? steps : n_steps);
    put_number(c, "eval_steps", every > 0 ? every : (double)NAN);
    cJSON_AddFalseToObject(c, "compile");
    cJSON_AddFalseToObject(c, "use_gc");
    put_null(c, "query_template");
    cJSON_AddNumberToObject(c, "seed", sqlite3_column_double(x->run, SEED));
    put_number(c, "grad_norm_clip", setting(x, "optim.clip"));
    put_text(c, "optimizer_type", "AdamW");
    cJSON_AddItemToObject(c, "optimizer_kwargs", optimizer_of(x));
    put_text(c, "lr_scheduler", schedule_of(x));
    cJSON_AddFalseToObject(c, "use_amp");
    cJSON_AddTrueToObject(c, "autocast_adapter_dtype"); /* adapters are fp32 whatever the model is */
    cJSON_AddObjectToObject(c, "generation_kwargs");
    put_null(c, "attn_implementation");
    put_null(c, "init_kv_cache_prefix");
    return c;
}

/* As adapter_config.json would have it. Of a method that this program does not know, its name. */
static cJSON *peft_config(const exporter *x) {
    const char *method = text_at(x, METHOD);
    if (strcmp(method, "full") == 0) return cJSON_CreateNull();
    pm_config *c = pm_config_new();
    cJSON *j = NULL;
    if (pm_config_load_text(c, text_at(x, CONFIG), "config", NULL) == PM_OK && c->m) {
        char *text = pm_adapter_config_text(c->m, c->mcfg, text_at(x, MODEL));
        j = cJSON_Parse(text);
        free(text);
    }
    pm_config_free(c);
    if (j) return j;
    char name[64];
    snprintf(name, sizeof name, "%.63s", method);
    for (char *p = name; *p; p++) *p = (char)toupper((unsigned char)*p);
    cJSON_AddStringToObject(j = cJSON_CreateObject(), "peft_type", name);
    return j;
}

/* "lora/tiny-tiny_facts-seed0-1a2b3c4d": theirs are METHOD/MODEL-WHAT; the run key's beginning tells settings apart. */
static void name_experiment(const exporter *x, char out[NAME]) {
    const char *model = text_at(x, MODEL), *slash = strrchr(model, '/'), *key = text_at(x, KEY);
    snprintf(out, NAME, "%.60s/%.60s-%.60s-seed%lld-%.8s", text_at(x, METHOD),
             slash && slash[1] ? slash + 1 : model, text_at(x, TASK),
             (long long)sqlite3_column_int64(x->run, SEED), key ? key : "nokey");
}

static cJSON *run_info(const exporter *x, const char *experiment, double n_steps) {
    cJSON *o = cJSON_CreateObject();
    const char *error = text_at(x, ERROR);
    put_text(o, "created_at", text_at(x, CREATED));
    put_number(o, "total_time", pm_db_real(x->run, TOTAL_S));
    put_text(o, "experiment_name", experiment);
    put_null(o, "peft_branch");
    cJSON_AddItemToObject(o, "train_config", train_config(x, n_steps));
    cJSON_AddItemToObject(o, "peft_config", peft_config(x));
    put_text(o, "error_msg", error ? error : "");
    return o;
}

/* ---- train_info ---------------------------------------------------------------------------------------------------------- */

typedef struct stretch {            /* of steps */
    double n, loss, tokens, wall_s; /* loss: mean; NAN: not known */
} stretch;

/* Prepares a query on the run, with up to two whole numbers more. */
static pm_status ask(const exporter *x, const char *sql, double a, double b, sqlite3_stmt **st, pm_err *e) {
    bool ok = sqlite3_prepare_v2(pm_db_handle(x->d), sql, -1, st, NULL) == SQLITE_OK &&
              sqlite3_bind_int64(*st, 1, sqlite3_column_int64(x->run, ID)) == SQLITE_OK;
    int n = ok ? sqlite3_bind_parameter_count(*st) : 0;
    if (n > 1) sqlite3_bind_double(*st, 2, a);
    if (n > 2) sqlite3_bind_double(*st, 3, b);
    return ok ? PM_OK : pm_db_unreadable(x->d, e);
}

/* Steps from, from + 1, ... to - 1. */
static pm_status read_stretch(const exporter *x, double from, double to, stretch *out, pm_err *e) {
    static const char sql[] =
        "SELECT count(*), CASE WHEN count(loss) = count(*) THEN avg(loss) END, sum(tokens), sum(wall_s) "
        "FROM steps WHERE run_id = ? AND step >= ? AND step < ?";
    sqlite3_stmt *st = NULL;
    pm_status s = ask(x, sql, from, to, &st, e);
    int rc = s == PM_OK ? sqlite3_step(st) : SQLITE_DONE;
    if (rc == SQLITE_ROW)
        *out = (stretch){pm_db_real(st, 0), pm_db_real(st, 1), pm_db_real(st, 2), pm_db_real(st, 3)};
    return pm_db_done(x->d, st, rc, s, e);
}

static cJSON *point(const exporter *x, double step, double score, const stretch *t) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "step", step);
    put_number(o, "valid accuracy", score);
    put_number(o, "train loss", t->loss);
    put_number(o, "train samples", step * samples_a_step(x));
    put_number(o, "train time", t->wall_s);
    put_null(o, "eval time");
    put_number(o, "tokens / sec", t->wall_s > 0 ? t->tokens / t->wall_s : (double)NAN);
    put_null(o, "mem allocated avg");
    put_null(o, "mem reserved avg");
    put_null(o, "elapsed time");
    return o;
}

/* Each validation during training, with the steps since the one before. */
static pm_status add_points(const exporter *x, cJSON *to, pm_err *e) {
    static const char sql[] =
        "SELECT step, value, min(name) FROM curve WHERE run_id = ? AND split = 'validation' "
        "AND name IN ('acc', 'exact_match') GROUP BY step ORDER BY step";
    sqlite3_stmt *st = NULL;
    double before = 0;
    pm_status s = ask(x, sql, 0, 0, &st, e);
    int rc = SQLITE_DONE;
    while (s == PM_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        stretch t;
        double step = sqlite3_column_double(st, 0);
        s = read_stretch(x, before, step, &t, e);
        if (s == PM_OK) cJSON_AddItemToArray(to, point(x, step, pm_db_real(st, 1), &t));
        before = step;
    }
    return pm_db_done(x->d, st, rc, s, e);
}

static pm_status test_score(const exporter *x, double *out, pm_err *e) {
    static const char sql[] =
        "SELECT value FROM metrics WHERE run_id = ? AND split = 'test' AND name IN ('acc', "
        "'exact_match') ORDER BY name, version DESC LIMIT 1";
    sqlite3_stmt *st = NULL;
    *out = (double)NAN;
    pm_status s = ask(x, sql, 0, 0, &st, e);
    int rc = s == PM_OK ? sqlite3_step(st) : SQLITE_DONE;
    if (rc == SQLITE_ROW) *out = pm_db_real(st, 0);
    return pm_db_done(x->d, st, rc, s, e);
}

/* The last entry, which their reader takes: loss over as many steps as lie between two evaluations, over all where there were none. */
static pm_status add_end(const exporter *x, const stretch *all, cJSON *to, pm_err *e) {
    double every = setting(x, "eval.every"), score;
    stretch last = *all;
    pm_status s = test_score(x, &score, e);
    if (s == PM_OK && every > 0) s = read_stretch(x, fmax(all->n - every, 0), all->n, &last, e);
    if (s != PM_OK) return s;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "step", all->n);
    put_number(o, "test accuracy", score);
    put_number(o, "train loss", last.loss);
    put_number(o, "train samples", all->n * samples_a_step(x));
    put_number(o, "train total tokens", all->tokens);
    cJSON_AddItemToArray(to, o);
    return PM_OK;
}

/* What has no word there failed: diverged, timeout. */
static const char *status_of(const char *ours) {
    return strcmp(ours, "ok") == 0 ? "success" : strcmp(ours, "cancelled") == 0 ? "canceled" : "failed";
}

static pm_status train_info(const exporter *x, const stretch *all, cJSON *o, pm_err *e) {
    put_null(o, "accelerator_memory_reserved_avg");
    put_null(o, "accelerator_memory_max");
    put_null(o, "accelerator_memory_reserved_99th");
    put_number(o, "train_time", pm_db_real(x->run, TRAIN_S));
    put_null(o, "file_size");
    put_number(o, "num_trainable_params", pm_db_real(x->run, TRAINABLE));
    put_number(o, "num_total_params", pm_db_real(x->run, TOTAL));
    put_text(o, "status", status_of(text_at(x, STATUS)));
    cJSON *metrics = cJSON_AddArrayToObject(o, "metrics");
    pm_status s = add_points(x, metrics, e);
    return s == PM_OK ? add_end(x, all, metrics, e) : s;
}

/* ---- meta_info ----------------------------------------------------------------------------------------------------------- */

/* Where theirs is a revision on the Hub, ours is a hash of the content. */
static cJSON *revision(const char *sha) {
    cJSON *o = cJSON_CreateObject();
    put_text(o, "sha", sha);
    put_null(o, "created_at");
    return o;
}

static cJSON *meta_info(const exporter *x) {
    static const char *const packages[] = {"transformers", "peft", "datasets", "bitsandbytes", "torch"};
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "model_info", revision(text_at(x, MODEL_HASH)));
    cJSON_AddItemToObject(cJSON_AddObjectToObject(o, "dataset_info"), text_at(x, TASK),
                          revision(text_at(x, DATA_HASH)));
    cJSON *package = cJSON_AddObjectToObject(o, "package_info");
    for (size_t i = 0; i < sizeof packages / sizeof *packages; i++) {
        char key[48];
        snprintf(key, sizeof key, "%s-version", packages[i]);
        put_null(package, key);
        snprintf(key, sizeof key, "%s-commit-hash", packages[i]);
        put_null(package, key);
    }
    cJSON *system = cJSON_AddObjectToObject(o, "system_info");
    put_text(system, "system", text_at(x, SYSTEM));
    put_null(system, "release");
    put_null(system, "version");
    put_null(system, "machine");
    put_text(system, "processor", text_at(x, CPU));
    put_null(system, "accelerator");
    put_null(o, "pytorch_info");
    return o;
}

/* ---- what their layout has no place for ---------------------------------------------------------------------------------- */

static pm_status add_metrics(const exporter *x, cJSON *to, pm_err *e) {
    static const char sql[] =
        "SELECT split, name, version, value, stderr, n FROM metrics WHERE run_id = ? ORDER BY "
        "split, name, version";
    sqlite3_stmt *st = NULL;
    pm_status s = ask(x, sql, 0, 0, &st, e);
    int rc = SQLITE_DONE;
    while (s == PM_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        cJSON *o = cJSON_CreateObject();
        put_text(o, "split", (const char *)sqlite3_column_text(st, 0));
        put_text(o, "name", (const char *)sqlite3_column_text(st, 1));
        put_number(o, "version", pm_db_real(st, 2));
        put_number(o, "value", pm_db_real(st, 3));
        put_number(o, "stderr", pm_db_real(st, 4));
        put_number(o, "n", pm_db_real(st, 5));
        cJSON_AddItemToArray(to, o);
    }
    return pm_db_done(x->d, st, rc, s, e);
}

static pm_status our_part(const exporter *x, cJSON *o, pm_err *e) {
    put_text(o, "version", text_at(x, VERSION));
    put_text(o, "commit", text_at(x, COMMIT));
    put_text(o, "run_key", text_at(x, KEY));
    put_text(o, "status", text_at(x, STATUS));
    put_text(o, "task", text_at(x, TASK));
    put_text(o, "method", text_at(x, METHOD));
    put_text(o, "model_hash", text_at(x, MODEL_HASH));
    put_text(o, "data_hash", text_at(x, DATA_HASH));
    put_text(o, "train_hash", text_at(x, TRAIN_HASH));
    cJSON_AddItemToObject(o, "config", cJSON_Duplicate(x->config, true));
    return add_metrics(x, cJSON_AddArrayToObject(o, "metrics"), e);
}

/* ---- files --------------------------------------------------------------------------------------------------------------- */

static bool is_taken(const names *t, const char *name) {
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->at[i], name) == 0) return true;
    return false;
}

/* "lora/rank32" is lora--rank32, as there; whatever else a name may hold, it stays one file of this folder. */
static void name_file(exporter *x, const char *experiment, char out[NAME]) {
    char plain[NAME];
    int n = 0;
    for (const char *c = experiment; *c && n < NAME - 40; c++) {
        bool safe = isalnum((unsigned char)*c) || strchr("_+=.", *c);
        plain[n] = safe && (n > 0 || *c != '.') ? *c : '-';
        n++;
        if (*c == '/') plain[n++] = '-';
    }
    plain[n] = 0;
    snprintf(out, NAME, "%s", plain);
    for (int i = 2; is_taken(&x->taken, out); i++) snprintf(out, NAME, "%.220s--%d", plain, i);
    x->taken.at = pm_xrealloc(x->taken.at, (size_t)(x->taken.n + 1) * sizeof *x->taken.at);
    memcpy(x->taken.at[x->taken.n++], out, NAME);
}

static pm_status write_file(exporter *x, const char *experiment, const char *text, pm_err *e) {
    char name[NAME], path[4096];
    name_file(x, experiment, name);
    if ((size_t)snprintf(path, sizeof path, "%s/%s.json", x->dir, name) >= sizeof path)
        return pm_fail(e, PM_EIO, "%.200s...: the name is too long", path),
               pm_hint(e, "choose a shorter --hf-results");
    FILE *f = fopen(path, "w");
    bool ok = f && fputs(text, f) >= 0;
    if (f && fclose(f) != 0) ok = false;
    if (!ok)
        return pm_fail(e, PM_EIO, "write %.300s: %s", path, strerror(errno)),
               pm_hint(e, "check the disk and the folder");
    x->n->written++;
    return PM_OK;
}

static pm_status write_own(exporter *x, pm_err *e) {
    char experiment[NAME];
    stretch all = {0};
    cJSON *o = cJSON_CreateObject();
    x->config = cJSON_Parse(text_at(x, CONFIG));
    name_experiment(x, experiment);
    pm_status s = read_stretch(x, 0, INFINITY, &all, e);
    if (s == PM_OK) {
        cJSON_AddItemToObject(o, "run_info", run_info(x, experiment, all.n));
        s = train_info(x, &all, cJSON_AddObjectToObject(o, "train_info"), e);
    }
    if (s == PM_OK) {
        cJSON_AddItemToObject(o, "meta_info", meta_info(x));
        s = our_part(x, cJSON_AddObjectToObject(o, "peftmeter"), e);
    }
    char *text = cJSON_Print(o);
    PM_ASSERT(text, "out of memory: printing JSON");
    if (s == PM_OK) s = write_file(x, experiment, text, e);
    free(text);
    cJSON_Delete(o);
    cJSON_Delete(x->config);
    return s;
}

static pm_status write_run(exporter *x, pm_err *e) {
    const char *document = text_at(x, DOCUMENT);
    bool failed_early = !text_at(x, KEY);
    if (document) return x->n->of_them_imported++, write_file(x, text_at(x, EXPERIMENT), document, e);
    if (strcmp(text_at(x, METHOD), "none") != 0 && (text_at(x, TRAIN_HASH) || failed_early))
        return write_own(x, e);
    x->n->untrained++;
    return PM_OK;
}

/* Tables of later versions are asked for where they are. */
static void compose(const pm_db *d, pm_buf *sql) {
    bool imported = pm_db_has_table(d, "imported");
    pm_buf_puts(sql, columns);
    pm_buf_puts(sql, imported ? ", i.experiment, i.document" : ", NULL, NULL");
    pm_buf_puts(sql, " FROM runs r LEFT JOIN hosts h ON h.id = r.host_id");
    if (imported) pm_buf_puts(sql, " LEFT JOIN imported i ON i.run_id = r.id");
    pm_buf_puts(sql, " WHERE r.status <> 'running'");
    if (pm_db_has_table(d, "sweep_runs"))
        pm_buf_puts(
            sql,
            " AND (NOT EXISTS (SELECT 1 FROM sweep_runs s WHERE s.run_id = r.id AND s.stage = 'tune') OR "
            "EXISTS (SELECT 1 FROM sweep_runs s WHERE s.run_id = r.id AND s.stage = 'final'))");
    pm_buf_puts(sql, " ORDER BY r.id");
}

pm_status pm_hf_export(pm_db *d, const char *dir, pm_hf_exported *n, pm_err *e) {
    exporter x = {.d = d, .dir = dir, .n = n};
    pm_buf sql = {0};
    *n = (pm_hf_exported){0};
    compose(d, &sql);
    pm_status s = sqlite3_prepare_v2(pm_db_handle(d), sql.p, -1, &x.run, NULL) == SQLITE_OK
                      ? PM_OK
                      : pm_db_unreadable(d, e);
    int rc = SQLITE_DONE;
    while (s == PM_OK && (rc = sqlite3_step(x.run)) == SQLITE_ROW) s = write_run(&x, e);
    s = pm_db_done(x.d, x.run, rc, s, e);
    pm_buf_free(&sql);
    free(x.taken.at);
    return s;
}
