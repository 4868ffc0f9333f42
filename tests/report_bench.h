/* report_bench.h - a database whose numbers are known, and what reports say of it: shared by the tests of reports. */
#ifndef PM_REPORT_BENCH_H
#define PM_REPORT_BENCH_H
#include "cmd.h"
#include "outcomes.h"
#include "stats.h"
#include "text.h"

#include "check.h"
#include <cjson/cJSON.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = P_tmpdir "/peftmeter-report-XXXXXX";
static char db_path[128], out_path[128], pristine[128];

enum { ITEMS = 200 };

/* ---- a database ---------------------------------------------------------------------------------------------------------- */

typedef struct plan {
    const char *stage; /* tune, final; NULL: of no sweep */
    const char *label, *method, *task, *status;
    int seed, trial, every; /* all items are right but every `every`-th; below 0: none but those */
    double lr;
    int64_t trainable, total;
    int steps;        /* of training, in the settings */
    const char *hash; /* of the data */
} plan;

/* Seeds 0-2 of two methods and of none on task t, one of them on u too; svf's seed 3 diverged; two trials of lora. */
static const plan plans[] = {
    {"final", "untuned", "none", "t", "ok", 0, 0, -4, 0, 0, 0, 50, "h"},
    {"final", "lora", "lora", "t", "ok", 0, 1, 10, 0.01, 100, 1100, 50, "h"},
    {"final", "lora", "lora", "t", "ok", 1, 1, 10, 0.01, 100, 1100, 50, "h"},
    {"final", "lora", "lora", "t", "ok", 2, 1, 10, 0.01, 100, 1100, 50, "h"},
    {"final", "svf", "svf", "t", "ok", 0, 0, 2, 0.1, 10, 1010, 50, "h"},
    {"final", "svf", "svf", "t", "ok", 1, 0, 2, 0.1, 10, 1010, 50, "h"},
    {"final", "svf", "svf", "t", "ok", 2, 0, 2, 0.1, 10, 1010, 50, "h"},
    {"final", "svf", "svf", "t", "diverged", 3, 0, 2, 0.1, 10, 1010, 50, "h"},
    {"final", "lora", "lora", "u", "ok", 0, 1, 5, 0.01, 100, 1100, 50, "h2"},
    {"tune", "lora", "lora", "t", "ok", 0, 0, 2, 0.001, 100, 1100, 50, "h"},
    {"tune", "lora", "lora", "t", "ok", 0, 1, 4, 0.01, 100, 1100, 50, "h"},
    {NULL, "full", "full", "t", "ok", 0, 0, 20, 0.1, 1000, 1000, 50, "h"},
};
enum { N_PLANS = sizeof plans / sizeof *plans };

static bool items_backwards; /* in which order a run's items are stored */

static inline void sql(pm_db *d, const char *text) {
    char *why = NULL;
    if (sqlite3_exec(pm_db_handle(d), text, NULL, NULL, &why) != SQLITE_OK) CHECK_FAIL_("%s: %s", text, why);
    sqlite3_free(why);
}

static inline void add_items(pm_db *d, int64_t id, const plan *p, const char *split) {
    pm_err e = {0};
    int right = 0, every = abs(p->every);
    char name[ITEMS][16];
    pm_outcome item[ITEMS];
    for (int k = 0; k < ITEMS; k++) {
        int i = items_backwards ? ITEMS - 1 - k : k;
        snprintf(name[k], sizeof name[k], "item%03d", i);
        int correct = (i % every == (p->seed + every) % every) == (p->every < 0);
        right += correct;
        item[k] = (pm_outcome){.example_id = name[k], .correct = correct};
    }
    CHECK_OK(pm_outcomes_write(d, id, split, item, ITEMS, &e));
    pm_summary m = pm_proportion(right, ITEMS);
    CHECK_OK(pm_db_metric(d, id, split, "acc", 1, m.mean, m.stderr_, ITEMS, &e));
}

/* Ten steps, the first of which took a second and the others 10, 20, ... 90 ms; 8 tokens each, 2 of them with loss. */
static inline void add_cost(pm_db *d, int64_t id) {
    pm_err e = {0};
    for (int i = 0; i < 10; i++) CHECK_OK(pm_db_step(d, id, i, 1, 0.1, 1, 8, 2, i ? 0.01 * i : 1, &e));
    CHECK_OK(pm_db_counter(d, id, "warmup_steps_dropped", 1, &e));
    CHECK_OK(pm_db_counter(d, id, "flops_forward", 3000000000, &e));
    CHECK_OK(pm_db_counter(d, id, "flops_input_grad", 1000000000, &e));
    CHECK_OK(pm_db_counter(d, id, "flops_weight_grad", 500000000, &e));
    CHECK_OK(pm_db_counter(d, id, "flops_optimizer", 500000000, &e));
    CHECK_OK(pm_db_roofline(d, id, 20, &e));
    CHECK_OK(pm_db_phase(d, id, "load", 1, 1, 1 << 20, 0, &e));
    CHECK_OK(pm_db_phase(d, id, "train", 2, 2, 100 << 20, 90 << 20, &e));
    CHECK_OK(pm_db_memory(d, id, "weights", 60 << 20, &e));
    CHECK_OK(pm_db_memory(d, id, "code", 10 << 20, &e)); /* a category that this program does not know */
    CHECK_OK(pm_db_memory(d, id, "activations", 26 << 20, &e));
    CHECK_OK(pm_db_check(d, id, "count", 1, 100, 100, &e));
}

static inline void add(pm_db *d, const plan *p) {
    pm_err e = {0};
    int64_t id, reads;
    char config[256], text[160];
    bool trained = strcmp(p->method, "none") != 0;
    snprintf(config, sizeof config,
             "{\"method\":\"%s\",\"optim.lr\":%g,\"seed\":%d,\"train.batch\":8,\"train.steps\":%d}",
             p->method, p->lr, p->seed, p->steps);
    pm_db_run r = {.model = "some/where/tiny",
                   .task = p->task,
                   .method = p->method,
                   .config = config,
                   .model_hash = "m",
                   .data_hash = p->hash,
                   .train_hash = trained ? "th" : NULL,
                   .seed = p->seed,
                   .trainable_params = p->trainable,
                   .total_params = p->total,
                   .dirty = -1};
    CHECK_OK(pm_db_run_begin(d, &r, &id, &e));
    CHECK_OK(pm_db_begin(d, &e));
    const char *split = p->stage && strcmp(p->stage, "tune") == 0 ? "validation" : "test";
    if (strcmp(p->status, "ok") == 0) add_items(d, id, p, split);
    if (trained) add_cost(d, id);
    if (strcmp(split, "test") == 0) CHECK_OK(pm_db_test_read(d, p->task, p->method, true, &reads, &e));
    CHECK_OK(pm_db_commit(d, &e));
    CHECK_OK(pm_db_run_end(d, id, p->status, NULL, &e));
    snprintf(text, sizeof text,
             "UPDATE runs SET started_at = '2026-01-01T00:00:00.000Z', finished_at = "
             "'2026-01-01T00:00:04.000Z' WHERE id = %lld",
             (long long)id);
    sql(d, text);
    if (!p->stage) return;
    snprintf(text, sizeof text, "INSERT INTO sweep_runs VALUES ('s', %lld, '%s', '%s', %d)", (long long)id,
             p->stage, p->label, p->trial);
    sql(d, text);
}

/* In the plans' order; or from the last to the first, every second one with its items from the last to the first. */
static inline pm_db *make_db(bool backwards) {
    pm_db *d;
    pm_err e = {0};
    unlink(db_path);
    CHECK_OK(pm_db_open(db_path, &d, &e));
    sql(d, "PRAGMA synchronous = OFF");
    for (int i = 0; i < N_PLANS; i++) {
        items_backwards = backwards && i % 2;
        add(d, &plans[backwards ? N_PLANS - 1 - i : i]);
    }
    items_backwards = false;
    return d;
}

/* ---- asking -------------------------------------------------------------------------------------------------------------- */

/* `report --db ... --out ... [words]`, words separated by spaces; its output, or NULL. The caller frees it. */
static inline char *report(const char *words, pm_status *status, pm_err *e) {
    char copy[512], *argv[24], *save = NULL;
    int n = 0;
    snprintf(copy, sizeof copy, "report --db %s --out %s %s", db_path, out_path, words);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) argv[n++] = w;
    argv[n] = NULL;
    unlink(out_path);
    *status = pm_cmd_report.run(n, argv, e);
    FILE *f = *status == PM_OK ? fopen(out_path, "rb") : NULL;
    if (!f) return NULL;
    char *text = calloc(1, 1 << 20);
    if (!text) abort();
    text[fread(text, 1, (1 << 20) - 1, f)] = 0;
    fclose(f);
    return text;
}

static inline char *report_ok(const char *words) {
    pm_err e = {0};
    pm_status s;
    char *text = report(words, &s, &e);
    if (s != PM_OK) CHECK_FAIL_("report %s: %s | %s", words, e.msg, e.hint);
    return text ? text : calloc(1, 1);
}

static inline void refused(const char *words, pm_status want, const char *message) {
    pm_err e = {0};
    pm_status s;
    free(report(words, &s, &e));
    CHECK_EQ_INT(s, want);
    if (!strstr(e.msg, message)) CHECK_FAIL_("report %s: \"%s\" without \"%s\"", words, e.msg, message);
    CHECK(e.hint[0]);
}

static inline cJSON *report_json(const char *kind) {
    char words[128];
    snprintf(words, sizeof words, "--format json --kind %s", kind);
    char *text = report_ok(words);
    cJSON *j = cJSON_Parse(text);
    if (!j) CHECK_FAIL_("%s: no JSON", kind);
    free(text);
    return j;
}

static inline const cJSON *member(const cJSON *j, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(j, key);
}

static inline const cJSON *table(const cJSON *j, const char *key) {
    const cJSON *t;
    cJSON_ArrayForEach(t, member(j, "tables")) if (strcmp(member(t, "key")->valuestring, key) == 0) return t;
    CHECK_FAIL_("no table %s", key);
    return NULL;
}

/* The first row whose key is `name`, and whose task is, where that is given. */
static inline const cJSON *row(const cJSON *j, const char *key, const char *name, const char *task) {
    const cJSON *r;
    cJSON_ArrayForEach(r, member(table(j, key), "rows")) {
        if (strcmp(member(r, "method")->valuestring, name) == 0 &&
            (!task || strcmp(member(r, "task")->valuestring, task) == 0))
            return r;
    }
    CHECK_FAIL_("%s: no row %s", key, name);
    return NULL;
}

static inline double number(const cJSON *r, const char *key) {
    const cJSON *v = member(r, key);
    if (!v) CHECK_FAIL_("no value %s", key);
    return cJSON_IsNumber(v) ? v->valuedouble : (double)NAN;
}

static inline const char *text_at(const cJSON *r, const char *key) {
    const cJSON *v = member(r, key);
    return cJSON_IsString(v) ? v->valuestring : "";
}

/* Once, before all: a folder for the database and the output; and after all, without it. */
static inline bool bench_open(void) {
    if (!mkdtemp(dir)) return false;
    snprintf(db_path, sizeof db_path, "%s/r.db", dir);
    snprintf(pristine, sizeof pristine, "%s/pristine.db", dir);
    snprintf(out_path, sizeof out_path, "%s/out", dir);
    return true;
}

static inline bool bench_close(void) {
    char command[160];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0;
}
#endif
