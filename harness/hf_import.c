/* hf_import.c - a result file of method_comparison becomes a run (hf_results.h).
 *
 * Why so strict: the files come from anywhere. Whatever is taken is checked for its type and range first; a file with one bad value is left out
 * whole, since a table that lacks a row says more than one with half a row. What is not taken is kept as text in `imported.document`.
 */
#include "hf_results.h"

#include "host.h"
#include "jsonio.h"
#include "sha256.h"
#include "unpack.h"
#include <ctype.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX = 4 << 20, NAME_MAX_BYTES = 200, VALUE = 64 };

typedef struct result { /* texts belong to `json` */
    const char *path;
    pm_buf text;
    cJSON *json;
    const cJSON *run_info, *train_info, *meta_info, *train_config, *peft_config /* NULL: none */, *metrics;
    const char *experiment, *model, *status, *error;
    char started[40], task[NAME_MAX_BYTES], method[VALUE];
    int64_t seed;
    double trainable, total;
    pm_db_imported facts;
} result;

static const cJSON *get(const cJSON *o, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

static pm_status bad(const result *x, pm_err *e, const char *where, const char *what) {
    pm_fail(e, PM_EFORMAT, "%.200s: %.80s %.120s", x->path, where, what);
    return pm_hint(e, "a result file of method_comparison is expected: run_info, train_info, meta_info");
}

/* ---- the file ------------------------------------------------------------------------------------------------------------ */

static pm_status check_size(const result *x, pm_err *e) {
    struct stat s;
    if (stat(x->path, &s) == 0 && S_ISREG(s.st_mode) && s.st_size > FILE_MAX)
        return bad(x, e, "the file", "has more than 4 MiB, which no result has");
    if (stat(x->path, &s) == 0 && !S_ISREG(s.st_mode)) return bad(x, e, "this", "is not a file");
    return PM_OK; /* one that is not there says so when it is read */
}

static pm_status check_text(const result *x, pm_err *e) {
    if (!x->text.n) return bad(x, e, "the file", "is empty");
    if (strlen(x->text.p) != x->text.n) return bad(x, e, "the file", "has bytes that are no text");
    char *clean = pm_utf8_clean(x->text.p);
    bool same = strcmp(clean, x->text.p) == 0;
    free(clean);
    return same ? PM_OK : bad(x, e, "the file", "is not UTF-8");
}

static pm_status parse(result *x, pm_err *e) {
    pm_status s = pm_json_parse(&x->text, x->path, &x->json, e);
    if (s != PM_OK)
        return pm_hint(e, "JSON has no NaN and no Infinity: Python writes them, null stands for them");
    const char *twice = pm_json_doubled(x->json);
    if (!twice) return PM_OK;
    pm_fail(e, PM_EFORMAT, "%.200s: \"%.80s\" is there twice", x->path, twice);
    return pm_hint(e, "keep one of the two: readers disagree which one counts");
}

static pm_status read_file(result *x, pm_err *e) {
    pm_status s = check_size(x, e);
    if (s == PM_OK && (s = pm_file_read(x->path, NULL, &x->text, e)) != PM_OK)
        return pm_hint(e, "--hf-results takes files and folders of them");
    if (s == PM_OK) s = check_text(x, e);
    return s == PM_OK ? parse(x, e) : s;
}

/* ---- its parts ----------------------------------------------------------------------------------------------------------- */

static pm_status need_object(const result *x, const cJSON *in, const char *key, const cJSON **out,
                             pm_err *e) {
    *out = get(in, key);
    return cJSON_IsObject(*out) ? PM_OK : bad(x, e, key, *out ? "is not an object" : "is missing");
}

static pm_status need_text(const result *x, const cJSON *in, const char *key, const char **out, pm_err *e) {
    const cJSON *v = get(in, key);
    *out = cJSON_IsString(v) ? v->valuestring : "";
    if (!v || (cJSON_IsString(v) && !**out)) return bad(x, e, key, "is missing");
    if (!cJSON_IsString(v)) return bad(x, e, key, "is not a text");
    return strlen(*out) < NAME_MAX_BYTES ? PM_OK : bad(x, e, key, "has more than 200 bytes");
}

typedef enum number_kind { ANY, SHARE, SECONDS, WHOLE } number_kind;

static const char *wrong_number(const cJSON *v, number_kind k) {
    if (!cJSON_IsNumber(v) || !isfinite(v->valuedouble)) return "is not a finite number";
    if (k == SHARE && (v->valuedouble < 0 || v->valuedouble > 1)) return "is not a share from 0 to 1";
    if (k == SECONDS && v->valuedouble < 0) return "is less than 0";
    bool whole = v->valuedouble >= 0 && v->valuedouble <= 9007199254740992.0 /* 2^53: exact */ &&
                 floor(v->valuedouble) == v->valuedouble;
    return k == WHOLE && !whole ? "is not a whole number, or less than 0, or too large" : NULL;
}

/* NAN where it is null or not there. */
static pm_status take_number(const result *x, const cJSON *in, const char *key, number_kind k, double *out,
                             pm_err *e) {
    const cJSON *v = get(in, key);
    *out = (double)NAN;
    if (!v || cJSON_IsNull(v)) return PM_OK;
    const char *wrong = wrong_number(v, k);
    if (wrong) return bad(x, e, key, wrong);
    *out = v->valuedouble;
    return PM_OK;
}

static pm_status find_parts(result *x, pm_err *e) {
    if (!cJSON_IsObject(x->json)) return bad(x, e, "the file", "is not a JSON object");
    pm_status s = need_object(x, x->json, "run_info", &x->run_info, e);
    if (s == PM_OK) s = need_object(x, x->json, "train_info", &x->train_info, e);
    if (s == PM_OK) s = need_object(x, x->json, "meta_info", &x->meta_info, e);
    if (s == PM_OK) s = need_object(x, x->run_info, "train_config", &x->train_config, e);
    const cJSON *peft = get(x->run_info, "peft_config");
    if (s == PM_OK && !cJSON_IsNull(peft)) s = need_object(x, x->run_info, "peft_config", &x->peft_config, e);
    x->metrics = get(x->train_info, "metrics");
    if (s == PM_OK && !cJSON_IsArray(x->metrics)) s = bad(x, e, "metrics", "is not a list");
    return s;
}

/* ---- what the run was ---------------------------------------------------------------------------------------------------- */

/* Theirs on the left, ours on the right: a run that ended by an error is "canceled" there, one that ran out of memory too. */
static const char *const statuses[][2] = {
    {"success", "ok"}, {"failed", "failed"}, {"canceled", "cancelled"}, {"cancelled", "cancelled"}};

static pm_status take_status(result *x, pm_err *e) {
    const char *theirs;
    pm_status s = need_text(x, x->train_info, "status", &theirs, e);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses && s == PM_OK; i++)
        if (strcmp(theirs, statuses[i][0]) == 0) x->status = statuses[i][1];
    if (s == PM_OK && !x->status) s = bad(x, e, "status", "is none of success, failed, canceled");
    const char *error = pm_json_str(x->run_info, "error_msg", "");
    x->error = *error ? error : NULL;
    return s;
}

/* DoRA is a switch of theirs, a method here. */
static pm_status take_method(result *x, pm_err *e) {
    const char *type;
    snprintf(x->method, sizeof x->method, "full");
    if (!x->peft_config) return PM_OK;
    pm_status s = need_text(x, x->peft_config, "peft_type", &type, e);
    if (s != PM_OK) return s;
    if (strlen(type) >= sizeof x->method) return bad(x, e, "peft_type", "is too long");
    if (cJSON_IsTrue(get(x->peft_config, "use_dora"))) type = "dora";
    for (size_t i = 0; i <= strlen(type); i++) x->method[i] = (char)tolower((unsigned char)type[i]);
    return PM_OK;
}

/* The names of the data sets, "metamath+gsm8k". */
static void name_data(const cJSON *info, char *out, size_t cap) {
    size_t n = 0;
    for (const cJSON *c = info ? info->child : NULL; c && n < cap; c = c->next)
        if (cJSON_IsObject(c))
            n += (size_t)snprintf(out + n, cap - n, "%s%.*s", n ? "+" : "", NAME_MAX_BYTES / 2, c->string);
}

static pm_status take_task(result *x, const char *asked, pm_err *e) {
    const char *given = asked;
    if (!given) given = pm_json_str(get(x->json, "peftmeter"), "task", NULL);
    if (!given) given = pm_json_str(x->train_config, "dataset_id", NULL);
    if (given)
        snprintf(x->task, sizeof x->task, "%s", given);
    else
        name_data(get(x->meta_info, "dataset_info"), x->task, sizeof x->task);
    if (x->task[0]) return PM_OK;
    pm_fail(e, PM_EFORMAT, "%.200s: names no data set", x->path);
    return pm_hint(e, "--task NAME says which task it is");
}

/* UTC as this database writes it. SQLite also says whether it takes the text for JSON: what the schema demands is known before anything is written. */
static pm_status take_time(result *x, pm_db *d, pm_err *e) {
    const char *created;
    sqlite3_stmt *st = NULL;
    pm_status s = need_text(x, x->run_info, "created_at", &created, e);
    if (s != PM_OK) return s;
    bool ok = sqlite3_prepare_v2(pm_db_handle(d), "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', ?), json_valid(?)",
                                 -1, &st, NULL) == SQLITE_OK &&
              sqlite3_bind_text(st, 1, created, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_text(st, 2, x->text.p, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_step(st) == SQLITE_ROW;
    const char *time = ok ? (const char *)sqlite3_column_text(st, 0) : NULL;
    if (time) snprintf(x->started, sizeof x->started, "%s", time);
    bool json = ok && sqlite3_column_int(st, 1) == 1;
    if (!ok) s = pm_db_fail(d, "read a time", e);
    sqlite3_finalize(st);
    if (s == PM_OK && (!time || created[0] < '0' || created[0] > '9')) /* "now" is a time for SQLite */
        s = bad(x, e, "created_at", "is not a time like 2025-06-19T19:15:35+00:00");
    return s == PM_OK && !json ? bad(x, e, "the file", "is not JSON for SQLite") : s;
}

/* An accelerator's memory had another name until 2025. */
static pm_status take_memory(const result *x, const char *now, const char *before, double *out, pm_err *e) {
    return take_number(x, x->train_info, get(x->train_info, now) ? now : before, WHOLE, out, e);
}

static pm_status take_facts(result *x, pm_err *e) {
    enum { NOT_SAVED = 99999999 }; /* what they write for the size of a checkpoint that could not be saved */
    pm_db_imported *f = &x->facts;
    *f = (pm_db_imported){.origin = PM_HF_ORIGIN, .experiment = x->experiment, .document = x->text.p};
    pm_status s = take_number(x, x->run_info, "total_time", SECONDS, &f->total_s, e);
    if (s == PM_OK) s = take_number(x, x->train_info, "train_time", SECONDS, &f->train_s, e);
    if (s == PM_OK) s = take_number(x, x->train_info, "file_size", WHOLE, &f->file_bytes, e);
    if (s == PM_OK) s = take_number(x, x->train_info, "num_trainable_params", WHOLE, &x->trainable, e);
    if (s == PM_OK) s = take_number(x, x->train_info, "num_total_params", WHOLE, &x->total, e);
    if (s == PM_OK)
        s = take_memory(x, "accelerator_memory_max", "cuda_memory_max", &f->reserved_max_bytes, e);
    if (s == PM_OK)
        s = take_memory(x, "accelerator_memory_reserved_avg", "cuda_memory_reserved_avg",
                        &f->reserved_mean_bytes, e);
    if (s == PM_OK)
        s = take_memory(x, "accelerator_memory_reserved_99th", "cuda_memory_reserved_99th",
                        &f->reserved_p99_bytes, e);
    if (f->file_bytes == NOT_SAVED) f->file_bytes = (double)NAN;
    return s;
}

static pm_status take_run(result *x, pm_db *d, const char *task, pm_err *e) {
    double seed = 0;
    pm_status s = need_text(x, x->run_info, "experiment_name", &x->experiment, e);
    if (s == PM_OK) s = need_text(x, x->train_config, "model_id", &x->model, e);
    if (s == PM_OK) s = take_number(x, x->train_config, "seed", WHOLE, &seed, e);
    if (s == PM_OK && isnan(seed)) s = bad(x, e, "seed", "is missing");
    x->seed = isnan(seed) ? 0 : (int64_t)seed;
    if (s == PM_OK) s = take_time(x, d, e);
    if (s == PM_OK) s = take_status(x, e);
    if (s == PM_OK) s = take_method(x, e);
    if (s == PM_OK) s = take_task(x, task, e);
    return s == PM_OK ? take_facts(x, e) : s;
}

/* ---- its settings -------------------------------------------------------------------------------------------------------- */

/* Settings that mean the same here and there, sorted as the column `config` has them: a table of rows that differ in one of them is refused,
 * whoever measured them. */
enum { RUN, TRAIN_CONFIG, OPTIMIZER, PEFT_CONFIG };
static const struct {
    const char *ours, *theirs;
    int where;
} same_setting[] = {
    {"eval.every", "eval_steps", TRAIN_CONFIG},
    {"method", "method", RUN},
    {"method.alpha", "lora_alpha", PEFT_CONFIG},
    {"method.rank", "r", PEFT_CONFIG},
    {"model", "model", RUN},
    {"optim.clip", "grad_norm_clip", TRAIN_CONFIG},
    {"optim.lr", "lr", OPTIMIZER},
    {"optim.schedule", "lr_scheduler", TRAIN_CONFIG},
    {"optim.weight_decay", "weight_decay", OPTIMIZER},
    {"precision", "precision", RUN},
    {"seed", "seed", RUN},
    {"task", "task", RUN},
    {"train.batch", "batch_size", TRAIN_CONFIG},
    {"train.max_len", "max_seq_length", TRAIN_CONFIG},
    {"train.steps", "max_steps", TRAIN_CONFIG},
};

static const char *precision_of(const result *x) {
    const char *theirs = pm_json_str(x->train_config, "dtype", "");
    if (strcmp(theirs, "float32") == 0) return "fp32";
    return strcmp(theirs, "bfloat16") == 0 ? "bf16" : theirs;
}

/* What was taken already. */
static cJSON *run_of(const result *x) {
    cJSON *run = cJSON_CreateObject();
    cJSON_AddStringToObject(run, "method", x->method);
    cJSON_AddStringToObject(run, "model", x->model);
    if (*precision_of(x)) cJSON_AddStringToObject(run, "precision", precision_of(x));
    cJSON_AddNumberToObject(run, "seed", (double)x->seed);
    cJSON_AddStringToObject(run, "task", x->task);
    return run;
}

static void add_scalar(cJSON *to, const char *key, const cJSON *v) {
    if (cJSON_IsNumber(v) && isfinite(v->valuedouble)) cJSON_AddNumberToObject(to, key, v->valuedouble);
    if (cJSON_IsString(v)) cJSON_AddStringToObject(to, key, v->valuestring);
}

/* As the column `config` has it; free(). */
static char *settings_of(const result *x) {
    cJSON *to = cJSON_CreateObject(), *run = run_of(x);
    const cJSON *const in[] = {[RUN] = run,
                               [TRAIN_CONFIG] = x->train_config,
                               [OPTIMIZER] = get(x->train_config, "optimizer_kwargs"),
                               [PEFT_CONFIG] = x->peft_config};
    for (size_t i = 0; i < sizeof same_setting / sizeof *same_setting; i++)
        add_scalar(to, same_setting[i].ours, get(in[same_setting[i].where], same_setting[i].theirs));
    char *text = cJSON_PrintUnformatted(to);
    PM_ASSERT(text, "out of memory: printing settings");
    cJSON_Delete(run);
    cJSON_Delete(to);
    return text;
}

/* What the data were, as far as the file says: revisions of its data sets. */
static void hash_data(const result *x, char hex[65]) {
    char *info = cJSON_PrintUnformatted(get(x->meta_info, "dataset_info"));
    pm_sha256 h;
    pm_sha256_init(&h);
    pm_sha256_update(&h, x->task, strlen(x->task));
    if (info) pm_sha256_update(&h, info, strlen(info));
    pm_sha256_hex(&h, hex);
    free(info);
}

/* Of the content, however it is laid out. No run of this program has that key: what is hashed for one is no result file. */
static void hash_file(const result *x, char hex[65]) {
    char *text = cJSON_PrintUnformatted(x->json);
    PM_ASSERT(text, "out of memory: printing JSON");
    pm_sha256_of(text, strlen(text), hex);
    free(text);
}

/* ---- storing it ---------------------------------------------------------------------------------------------------------- */

static void join(char *out, size_t cap, const cJSON *in, const char *a, const char *b) {
    snprintf(out, cap, "%.60s %.60s", pm_json_str(in, a, "unknown"), pm_json_str(in, b, ""));
    while (*out && out[strlen(out) - 1] == ' ') out[strlen(out) - 1] = 0;
}

/* Their machine, in the columns of ours: an accelerator, its host's system, the stack instead of a compiler. No two machines fall together with one
 * of ours, so the fairness rule `host` tells them apart. */
static pm_status store_host(const result *x, pm_db *d, int64_t *id, pm_err *e) {
    const cJSON *system = get(x->meta_info, "system_info"), *package = get(x->meta_info, "package_info");
    pm_host h = {.isa = "unknown"};
    char stack[160], torch[160];
    const char *accelerator = pm_json_str(system, "accelerator", pm_json_str(system, "gpu", NULL));
    snprintf(h.cpu, sizeof h.cpu, "%.120s",
             accelerator ? accelerator : pm_json_str(system, "processor", "unknown"));
    join(h.os, sizeof h.os, system, "system", "release");
    snprintf(torch, sizeof torch, "torch %.60s", pm_json_str(package, "torch-version", "unknown"));
    snprintf(stack, sizeof stack, "peft %.60s, transformers %.60s",
             pm_json_str(package, "peft-version", "unknown"),
             pm_json_str(package, "transformers-version", "unknown"));
    return pm_db_host_add(d, &h, torch, stack, torch, "unknown", 0, id, e);
}

static const struct {
    const char *theirs, *split, *ours;
    number_kind kind;
} scores[] =
    {
        {"test accuracy", "test", "acc", SHARE},
        {"test dino_similarity", "test", "dino_similarity", ANY},
        {"forgetting", "wikipedia", "forgetting", ANY},
        {"drift", "images", "drift", ANY},
},
  during[] = {
      {"valid accuracy", "validation", "acc", SHARE},
      {"valid dino_similarity", "validation", "dino_similarity", ANY},
      {"train loss", "train", "loss", ANY}, /* mean over the steps since the entry before */
};

static pm_status store_scores(const result *x, pm_db *d, int64_t id, const cJSON *last, pm_err *e) {
    pm_status s = PM_OK;
    for (size_t i = 0; i < sizeof scores / sizeof *scores && s == PM_OK; i++) {
        double value;
        s = take_number(x, last, scores[i].theirs, scores[i].kind, &value, e);
        if (s == PM_OK && isfinite(value))
            s = pm_db_metric(d, id, scores[i].split, scores[i].ours, 1, value, (double)NAN, -1, e);
    }
    return s;
}

/* The last entry often repeats the step before it, and its numbers. */
static pm_status store_point(const result *x, pm_db *d, int64_t id, const cJSON *point, double *step_before,
                             pm_err *e) {
    double step, value;
    pm_status s = take_number(x, point, "step", WHOLE, &step, e);
    if (s == PM_OK && (isnan(step) || step < *step_before || step > 2147483647.0))
        s = bad(x, e, "metrics", "are not in the order of their steps");
    for (size_t i = 0; i < sizeof during / sizeof *during && s == PM_OK && step > *step_before; i++) {
        s = take_number(x, point, during[i].theirs, during[i].kind, &value, e);
        if (s == PM_OK && isfinite(value))
            s = pm_db_curve(d, id, (int)step, during[i].split, during[i].ours, value, (double)NAN, -1, e);
    }
    *step_before = step;
    return s;
}

static pm_status store_metrics(const result *x, pm_db *d, int64_t id, pm_err *e) {
    const cJSON *last = NULL;
    double step = -1;
    pm_status s = PM_OK;
    for (const cJSON *c = x->metrics->child; c && s == PM_OK; c = c->next) {
        if (!cJSON_IsObject(c)) return bad(x, e, "metrics", "has an entry that is not an object");
        s = store_point(x, d, id, c, &step, e);
        last = c;
    }
    return s == PM_OK && last ? store_scores(x, d, id, last, e) : s;
}

static pm_status store(const result *x, pm_db *d, const char *key, pm_err *e) {
    char data[65], *settings = settings_of(x);
    int64_t host = 0, id = 0;
    hash_data(x, data);
    pm_status s = store_host(x, d, &host, e);
    const pm_db_run r = {.run_key = key,
                         .model = x->model,
                         .task = x->task,
                         .method = x->method,
                         .config = settings,
                         .model_hash = pm_json_str(get(x->meta_info, "model_info"), "sha", NULL),
                         .data_hash = data,
                         .train_hash = data,
                         .commit_id =
                             pm_json_str(get(x->meta_info, "package_info"), "peft-commit-hash", NULL),
                         .seed = x->seed,
                         .trainable_params = isnan(x->trainable) ? 0 : (int64_t)x->trainable,
                         .total_params = isnan(x->total) ? 0 : (int64_t)x->total,
                         .host_id = host,
                         .dirty = -1};
    if (s == PM_OK) s = pm_db_run_begin(d, &r, &id, e);
    if (s == PM_OK) s = pm_db_import(d, id, x->status, x->error, x->started, &x->facts, e);
    if (s == PM_OK) s = store_metrics(x, d, id, e);
    free(settings);
    return s;
}

/* Whether the database has it: by its own key, or by that of the run it was exported from. */
static pm_status is_there(const result *x, pm_db *d, const char *key, bool *there, pm_err *e) {
    const char *source = pm_json_str(get(x->json, "peftmeter"), "run_key", "");
    int64_t a = 0, b = 0;
    pm_status s = pm_db_find_key(d, key, &a, e);
    if (s == PM_OK) s = pm_db_find_key(d, source, &b, e);
    *there = a || b;
    return s;
}

static pm_status fold(const result *x, pm_db *d, bool *added, pm_err *e) {
    char key[65];
    bool there = false;
    hash_file(x, key);
    pm_status s = pm_db_begin(d, e);
    if (s == PM_OK) s = is_there(x, d, key, &there, e);
    if (s == PM_OK && !there) s = store(x, d, key, e);
    if (s == PM_OK) s = pm_db_commit(d, e);
    if (s != PM_OK) pm_db_rollback(d);
    *added = s == PM_OK && !there;
    return s;
}

pm_status pm_hf_import(pm_db *d, const char *path, const char *task, bool *added, pm_err *e) {
    result x = {.path = path};
    *added = false;
    pm_status s = read_file(&x, e);
    if (s == PM_OK) s = find_parts(&x, e);
    if (s == PM_OK) s = take_run(&x, d, task, e);
    if (s == PM_OK) s = fold(&x, d, added, e);
    cJSON_Delete(x.json);
    pm_buf_free(&x.text);
    return s;
}
