/* cmd_compare.c - two runs on the items both answered: accuracies, the paired difference with its interval, and the exact McNemar test.
 *
 * Why paired: both runs answer the same questions, so only the items on which they disagree say which is better; that resolves
 * differences that two separate error bars hide. Runs whose task or data differ are refused, for no number would mean anything.
 */
#include "cmd.h"
#include "outcomes.h"
#include "report_pair.h"
#include "stats.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

typedef struct run_row {
    int64_t id, seed;
    char status[16], model[PM_FIELD_STR], task[256], method[64], data_hash[65], model_hash[65];
} run_row;

typedef struct comparison {
    pm_db *d;
    sqlite3 *h;
    const char *db, *task; /* file; --task or NULL */
    run_row a, b;
    char split[32];
    int64_t both, only_a, only_b, neither;
} comparison;

/* ---- SQL ----------------------------------------------------------------------------------------------------------------- */

/* A statement with its text parameters bound; NULL binds NULL. The caller finalizes it, also after a failure. */
static pm_status query(const comparison *c, const char *sql, const char *const *args, int n,
                       sqlite3_stmt **st, pm_err *e) {
    if (sqlite3_prepare_v2(c->h, sql, -1, st, NULL) != SQLITE_OK) return pm_db_unreadable(c->d, e);
    for (int i = 0; i < n; i++)
        if (sqlite3_bind_text(*st, i + 1, args[i], -1, SQLITE_STATIC) != SQLITE_OK)
            return pm_db_unreadable(c->d, e);
    return PM_OK;
}

static void take_text(sqlite3_stmt *st, int column, char *out, size_t cap) {
    const unsigned char *s = sqlite3_column_text(st, column);
    snprintf(out, cap, "%s", s ? (const char *)s : "");
}

/* ---- which runs ---------------------------------------------------------------------------------------------------------- */

#define RUN_COLUMNS "SELECT id, seed, status, model, task, method, data_hash, model_hash FROM runs WHERE "

static void take_run(sqlite3_stmt *st, run_row *r) {
    r->id = sqlite3_column_int64(st, 0);
    r->seed = sqlite3_column_int64(st, 1);
    take_text(st, 2, r->status, sizeof r->status);
    take_text(st, 3, r->model, sizeof r->model);
    take_text(st, 4, r->task, sizeof r->task);
    take_text(st, 5, r->method, sizeof r->method);
    take_text(st, 6, r->data_hash, sizeof r->data_hash);
    take_text(st, 7, r->model_hash, sizeof r->model_hash);
}

static pm_status no_such_run(const comparison *c, const char *name, pm_err *e) {
    char have[160] = "none";
    sqlite3_stmt *st = NULL;
    static const char list[] =
        "SELECT group_concat(x, ', ') FROM (SELECT id || ' ' || method || ':' || seed AS x FROM runs "
        "WHERE status = 'ok' ORDER BY id DESC LIMIT 6)";
    if (query(c, list, NULL, 0, &st, NULL) == PM_OK && sqlite3_step(st) == SQLITE_ROW &&
        sqlite3_column_text(st, 0))
        take_text(st, 0, have, sizeof have);
    sqlite3_finalize(st);
    pm_fail(e, PM_EUSAGE, "%s: no finished run is called \"%.64s\"%s%.64s", c->db, name,
            c->task ? " on task " : "", c->task ? c->task : "");
    return pm_hint(e, "latest finished runs: %s", have);
}

/* "12", "lora", "lora:3" or "latest lora"; tasks are found with - or _, as by `tasks`. A number is that run, whatever became of it; a name the latest finished one. */
static pm_status find_run(const comparison *c, const char *name, run_row *out, pm_err *e) {
    static const char by_id[] = RUN_COLUMNS "id = CAST(?1 AS INTEGER)";
    static const char by_name[] = RUN_COLUMNS "method = ?1 AND (?2 IS NULL OR seed = CAST(?2 AS INTEGER)) "
                                              "AND (?3 IS NULL OR replace(task, '-', '_') = replace(?3, '-', "
                                              "'_')) AND status = 'ok' ORDER BY id DESC LIMIT 1";
    const char *rest = strncmp(name, "latest ", 7) == 0 ? name + 7 : name;
    const char *colon = strchr(rest, ':');
    char method[64];
    snprintf(method, sizeof method, "%.*s", (int)(colon ? colon - rest : (ptrdiff_t)strlen(rest)), rest);
    bool number = *name && strspn(name, "0123456789") == strlen(name);
    const char *const args[] = {number ? name : method, colon ? colon + 1 : NULL, c->task};
    sqlite3_stmt *st = NULL;
    pm_status s = query(c, number ? by_id : by_name, args, number ? 1 : 3, &st, e);
    int rc = s == PM_OK ? sqlite3_step(st) : SQLITE_DONE;
    if (rc == SQLITE_ROW)
        take_run(st, out);
    else if (s == PM_OK)
        s = rc == SQLITE_DONE ? no_such_run(c, name, e) : pm_db_unreadable(c->d, e);
    sqlite3_finalize(st);
    return s;
}

/* ---- may they be compared ------------------------------------------------------------------------------------------------ */

static pm_status differ(const comparison *c, const char *key, const char *a, const char *b, pm_err *e) {
    pm_fail(e, PM_EUSAGE, "runs %lld and %lld are not comparable: %s differs, %.80s and %.80s",
            (long long)c->a.id, (long long)c->b.id, key, a, b);
    return pm_hint(e, "name runs of one task and data: ids, or METHOD[:SEED] with --task");
}

static pm_status check_same_data(const comparison *c, pm_err *e) {
    if (strcmp(c->a.task, c->b.task) != 0) return differ(c, "task", c->a.task, c->b.task, e);
    bool known = c->a.data_hash[0] && c->b.data_hash[0];
    if (known && strcmp(c->a.data_hash, c->b.data_hash) != 0)
        return differ(c, "data_hash", c->a.data_hash, c->b.data_hash, e);
    return PM_OK;
}

/* The split asked for, else the first by name that both answered: test before validation. */
static pm_status choose_split(comparison *c, const char *asked, pm_err *e) {
    static const char sql[] =
        "SELECT split FROM examples WHERE run_id = CAST(?1 AS INTEGER) AND correct IS NOT NULL AND (?3 IS "
        "NULL OR split = ?3) "
        "INTERSECT SELECT split FROM examples WHERE run_id = CAST(?2 AS INTEGER) AND correct IS NOT NULL "
        "ORDER BY split LIMIT 1";
    char a[24], b[24];
    snprintf(a, sizeof a, "%lld", (long long)c->a.id);
    snprintf(b, sizeof b, "%lld", (long long)c->b.id);
    const char *const args[] = {a, b, asked};
    sqlite3_stmt *st = NULL;
    pm_status s = query(c, sql, args, 3, &st, e);
    int rc = s == PM_OK ? sqlite3_step(st) : SQLITE_DONE;
    if (rc == SQLITE_ROW)
        take_text(st, 0, c->split, sizeof c->split);
    else if (s == PM_OK && rc != SQLITE_DONE)
        s = pm_db_unreadable(c->d, e);
    sqlite3_finalize(st);
    if (s != PM_OK || c->split[0]) return s;
    pm_fail(e, PM_EUSAGE, "runs %s and %s have no split%s%.24s on which both answered items right or wrong",
            a, b, asked ? " " : "", asked ? asked : "");
    return pm_hint(e, "evaluate both on one split: --set eval.split=test, or `peftmeter eval`");
}

/* Items of equal content share their id: the k-th of one run is paired with the k-th of the other. */
static void count_pairs_of(comparison *c, const pm_outcomes *a, const pm_outcomes *b) {
    int64_t *const count[2][2] = {{&c->neither, &c->only_b}, {&c->only_a, &c->both}};
    for (int64_t i = 0, j = 0; i < a->n && j < b->n;) {
        int order = strcmp(a->id[i], b->id[j]);
        if (order == 0 && a->correct[i] >= 0 && b->correct[j] >= 0) ++*count[a->correct[i]][b->correct[j]];
        i += order <= 0;
        j += order >= 0;
    }
}

static pm_status count_pairs(comparison *c, pm_err *e) {
    pm_outcome_reader *reader[2] = {NULL};
    pm_outcomes o[2];
    const int64_t id[] = {c->a.id, c->b.id};
    pm_status s = PM_OK;
    for (int k = 0; k < 2 && s == PM_OK; k++) {
        s = pm_outcome_reader_open(c->d, &reader[k], e);
        if (s == PM_OK) s = pm_outcomes_read(reader[k], id[k], c->split, &o[k], e);
    }
    if (s == PM_OK) count_pairs_of(c, &o[0], &o[1]);
    for (int k = 0; k < 2; k++) pm_outcome_reader_close(reader[k]);
    if (s != PM_OK || c->both + c->only_a + c->only_b + c->neither > 0) return s;
    pm_fail(e, PM_EUSAGE, "runs %lld and %lld have no item of %.24s in common", (long long)c->a.id,
            (long long)c->b.id, c->split);
    return pm_hint(e, "both must be evaluated on the same items: compare their eval.limit and task version");
}

/* ---- what else differs --------------------------------------------------------------------------------------------------- */

/* Settings under which a difference is no longer one of methods alone. */
static bool must_match(const char *key) {
    static const char *const name[] = {"model_hash",       "train.steps",   "train.epochs",  "train.batch",
                                       "train.grad_accum", "train.max_len", "train.loss_on", "train.shuffle",
                                       "precision",        "threads"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (strcmp(key, name[i]) == 0) return true;
    return false;
}

static void add_difference(cJSON *list, const char *key, const char *a, const char *b) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "key", key);
    cJSON_AddStringToObject(o, "a", a);
    cJSON_AddStringToObject(o, "b", b);
    cJSON_AddBoolToObject(o, "must_match", must_match(key));
    cJSON_AddItemToArray(list, o);
}

/* Appends every setting that both configurations have and that differs, the method's own apart; and those of training when one of the two
 * was never trained (an untuned model has no batch). */
static pm_status list_differences(const comparison *c, cJSON *list, pm_err *e) {
    static const char sql[] =
        "SELECT a.key, a.value, b.value FROM json_each((SELECT config FROM runs WHERE id = CAST(?1 AS "
        "INTEGER))) a "
        "JOIN json_each((SELECT config FROM runs WHERE id = CAST(?2 AS INTEGER))) b ON a.key = b.key "
        "WHERE a.value IS NOT b.value AND a.key <> 'method' AND a.key NOT LIKE 'method.%' AND a.key <> "
        "'seed' AND NOT ((a.key LIKE 'optim.%' OR a.key IN ('train.steps', 'train.epochs', 'train.batch', "
        "'train.grad_accum', 'train.shuffle')) AND EXISTS (SELECT 1 FROM runs r WHERE r.id IN (CAST(?1 AS "
        "INTEGER), CAST(?2 AS INTEGER)) AND r.train_hash IS NULL)) ORDER BY a.key";
    char a[24], b[24], key[96], va[256], vb[256];
    snprintf(a, sizeof a, "%lld", (long long)c->a.id);
    snprintf(b, sizeof b, "%lld", (long long)c->b.id);
    const char *const args[] = {a, b};
    sqlite3_stmt *st = NULL;
    if (strcmp(c->a.model_hash, c->b.model_hash) != 0)
        add_difference(list, "model_hash", c->a.model_hash, c->b.model_hash);
    pm_status s = query(c, sql, args, 2, &st, e);
    int rc = SQLITE_DONE;
    while (s == PM_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        take_text(st, 0, key, sizeof key);
        take_text(st, 1, va, sizeof va);
        take_text(st, 2, vb, sizeof vb);
        add_difference(list, key, va, vb);
    }
    if (s == PM_OK && rc != SQLITE_DONE) s = pm_db_unreadable(c->d, e);
    sqlite3_finalize(st);
    return s;
}

/* ---- output -------------------------------------------------------------------------------------------------------------- */

typedef struct result {
    int64_t n;
    pm_summary a, b;
    double difference, p, detectable; /* B - A; exact McNemar; NAN when no item is discordant */
    pm_interval interval;
} result;

/* detectable: the difference that a two-sided 5% test of this many items finds with 80% power when as many are discordant as here,
 * (z.975 + z.80) sqrt(discordant) / n (Miettinen 1968). */
static result evaluate(const comparison *c) {
    result r = {.n = c->both + c->only_a + c->only_b + c->neither};
    int64_t discordant = c->only_a + c->only_b;
    r.a = pm_proportion(c->both + c->only_a, r.n);
    r.b = pm_proportion(c->both + c->only_b, r.n);
    r.difference = (double)(c->only_b - c->only_a) / (double)r.n;
    r.interval = pm_paired_difference(c->both, c->only_b, c->only_a, c->neither);
    r.p = pm_mcnemar(c->only_a, c->only_b);
    r.detectable =
        discordant ? (1.959963985 + 0.841621234) * sqrt((double)discordant) / (double)r.n : (double)NAN;
    return r;
}

static cJSON *run_json(const run_row *run, const pm_summary *acc) {
    cJSON *j = cJSON_CreateObject();
    cJSON_AddNumberToObject(j, "run_id", (double)run->id);
    cJSON_AddStringToObject(j, "method", run->method);
    cJSON_AddNumberToObject(j, "seed", (double)run->seed);
    cJSON_AddStringToObject(j, "model", run->model);
    cJSON_AddStringToObject(j, "status", run->status);
    cJSON_AddNumberToObject(j, "accuracy", acc->mean);
    if (!isnan(acc->stderr_)) cJSON_AddNumberToObject(j, "stderr", acc->stderr_);
    return j;
}

static void print_json(const comparison *c, const result *r, cJSON *differences) {
    cJSON *j = cJSON_CreateObject();
    const double ends[] = {r->interval.low, r->interval.high};
    cJSON_AddStringToObject(j, "task", c->a.task);
    cJSON_AddStringToObject(j, "split", c->split);
    cJSON_AddNumberToObject(j, "n", (double)r->n);
    cJSON_AddItemToObject(j, "a", run_json(&c->a, &r->a));
    cJSON_AddItemToObject(j, "b", run_json(&c->b, &r->b));
    cJSON_AddNumberToObject(j, "difference", r->difference);
    cJSON_AddItemToObject(j, "interval95", cJSON_CreateDoubleArray(ends, 2));
    cJSON_AddStringToObject(j, "interval_method", "Newcombe 1998, method 10 (paired score interval)");
    cJSON_AddNumberToObject(j, "both_right", (double)c->both);
    cJSON_AddNumberToObject(j, "only_a_right", (double)c->only_a);
    cJSON_AddNumberToObject(j, "only_b_right", (double)c->only_b);
    cJSON_AddNumberToObject(j, "neither_right", (double)c->neither);
    cJSON_AddNumberToObject(j, "p", r->p);
    cJSON_AddStringToObject(j, "test", "exact McNemar, two-sided");
    if (!isnan(r->detectable)) cJSON_AddNumberToObject(j, "detectable_difference", r->detectable);
    cJSON_AddItemToObject(j, "differences", differences);
    pm_json_print(j);
}

static void print_run(char letter, const run_row *run, const pm_summary *acc) {
    printf("  %c  run %-5lld %-10s seed %-4lld accuracy %.4f", letter, (long long)run->id, run->method,
           (long long)run->seed, acc->mean);
    if (!isnan(acc->stderr_)) printf(" +- %.4f", acc->stderr_);
    puts(strcmp(run->status, "ok") == 0 ? "" : "  (this run did not finish: see its status)");
}

static void print_verdict(const result *r) {
    const char *better = r->difference > 0 ? "B is better" : "A is better";
    if (r->p < 0.05)
        printf("\n%s at the 5%% level.", better);
    else
        printf("\nNo difference at the 5%% level.");
    if (isnan(r->detectable))
        puts("");
    else
        printf(" With items like these, differences from about %.4f show (80%% power).\n", r->detectable);
}

static void print_text(const comparison *c, const result *r, const cJSON *differences) {
    printf("%s, %s: %lld items answered by both\n", c->a.task, c->split, (long long)r->n);
    print_run('A', &c->a, &r->a);
    print_run('B', &c->b, &r->b);
    printf("\n  B - A        %+.4f   95%% [%+.4f, %+.4f]  (Newcombe's paired score interval)\n",
           r->difference, r->interval.low, r->interval.high);
    printf("  discordant   only A right %lld, only B right %lld; exact McNemar p = %.4g\n",
           (long long)c->only_a, (long long)c->only_b, r->p);
    print_verdict(r);
    for (const cJSON *d = differences->child; d; d = d->next)
        printf("%s %s: A %s, B %s\n",
               cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(d, "must_match")) ? "unequal conditions:"
                                                                               : "also differs:",
               cJSON_GetObjectItemCaseSensitive(d, "key")->valuestring,
               cJSON_GetObjectItemCaseSensitive(d, "a")->valuestring,
               cJSON_GetObjectItemCaseSensitive(d, "b")->valuestring);
}

static pm_status compare_runs(comparison *c, char **names, const char *split, pm_err *e) {
    pm_status s = find_run(c, names[0], &c->a, e);
    if (s == PM_OK) s = find_run(c, names[1], &c->b, e);
    if (s == PM_OK) s = check_same_data(c, e);
    if (s == PM_OK) s = choose_split(c, split, e);
    if (s == PM_OK) s = count_pairs(c, e);
    if (s != PM_OK) return s;
    cJSON *differences = cJSON_CreateArray();
    s = list_differences(c, differences, e);
    result r = evaluate(c);
    if (s == PM_OK && pm_global.json) {
        print_json(c, &r, differences);
        return PM_OK;
    }
    if (s == PM_OK) print_text(c, &r, differences);
    cJSON_Delete(differences);
    return s;
}

static pm_status compare(int argc, char **argv, pm_err *e) {
    pm_pair_words w = {.db = "results/results.db", .format = pm_global.json ? "json" : "text"};
    const char *split = NULL;
    bool seeds = false;
    const pm_opt opts[] = {{.name = "--db", .value = &w.db},         {.name = "--split", .value = &split},
                           {.name = "--task", .value = &w.task},     {.name = "--sweep", .value = &w.sweep},
                           {.name = "--seeds", .flag = &seeds},      {.name = "--badge", .flag = &w.badge},
                           {.name = "--format", .value = &w.format}, {.name = NULL}};
    pm_db *d;
    pm_status s = pm_opts_parse(opts, &argc, argv, e);
    if (s == PM_OK) s = pm_args_check(argc, argv, 2, 2, e);
    if (s != PM_OK) return s;
    w.a = argv[1], w.b = argv[2];
    if (seeds || w.sweep || strchr(w.a, '@') || strchr(w.b, '@')) return pm_compare_rows(&w, e);
    s = pm_db_open_readonly(w.db, &d, e);
    if (s != PM_OK) return s;
    comparison c = {.d = d, .h = pm_db_handle(d), .db = w.db, .task = w.task};
    s = compare_runs(&c, argv + 1, split, e);
    pm_db_close(d);
    return s;
}

const pm_command pm_cmd_compare = {
    .name = "compare",
    .summary = "two runs item by item, or two configurations over their seeds",
    .help =
        "usage: peftmeter compare A B [--db FILE] [--split NAME] [--task NAME] [--json]\n"
        "       peftmeter compare A B --seeds [--db FILE] [--sweep NAME] [--task NAME] [--format FORMAT]\n"
        "\n"
        "A and B are run ids (12), or the latest finished run of a method (lora), of a method and seed "
        "(lora:3).\n"
        "They are compared on the items that both answered; B - A is what B gains. The test is McNemar's, "
        "exact and\n"
        "two-sided; the interval is Newcombe's paired score interval (1998, method 10). Runs on different "
        "tasks or\n"
        "data are refused; other unequal conditions are listed below the result.\n"
        "\n"
        "With --seeds, or with --sweep, A and B are rows of `peftmeter report`, and all their seeds count: "
        "the\n"
        "difference is one of methods, its interval allows for other seeds and other items, and the table "
        "says\n"
        "how many more of either would tell them apart. lora@3f2a lora@91bc: the same setting at two "
        "commits.\n"
        "\n"
        "  --db FILE     database (results/results.db)\n"
        "  --split NAME  split whose items are compared (test when both have it, else validation)\n"
        "  --task NAME   for names: only runs of this task\n"
        "\n"
        "  --seeds       compare configurations over all their seeds\n"
        "  --sweep NAME  rows of this sweep (default with --seeds: the only one, else all runs but trials)\n"
        "  --format F    with --seeds: text (default), md, latex, csv, json\n"
        "  --badge       with --seeds: rows that are not comparable too\n"
        "\n"
        "  peftmeter compare 1 2\n"
        "  peftmeter compare full lora --task arc_easy --split test\n"
        "  peftmeter compare full lora --seeds --db results/demo.db\n"
        "\n"
        "Exit 0 when they could be compared, whatever came out; 2 when there is nothing to compare.\n",
    .run = compare,
    .light = true,
};
