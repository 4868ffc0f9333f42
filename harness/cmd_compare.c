/* cmd_compare.c - two runs on the items both answered: accuracies, the paired difference with its intervals, and an exact test.
 *
 * Why paired: both runs answer the same questions, so only the items on which they disagree say which is better; that resolves
 * differences that two separate error bars hide. Runs whose task or data differ are refused, for no number would mean anything.
 */
#include "cmd.h"
#include "fair.h"
#include "outcomes.h"
#include "report_pair.h"
#include "stats_plan.h"
#include "stats_run.h"
#include "stats_sample.h"
#include "text.h"

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
    pm_model_difference gain; /* B's over A's */
    pm_interval bootstrap;
    pm_run_mean of_a, of_b; /* over the items that both answered */
    double detectable;
} comparison;

enum { BOOTSTRAP_SEED = 0 };

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
    static const char by_name[] = RUN_COLUMNS "method = ?1 AND (?2 IS NULL OR CAST(seed AS TEXT) = ?2) "
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

/* The items that both answered: A's and B's outcomes beside each other. */
typedef struct pairs {
    float *a, *b;
    int32_t *cluster;
    pm_items items; /* items.cluster is `cluster`, or NULL */
} pairs;

static pairs pairs_new(int64_t most) {
    size_t n = (size_t)most + 1;
    return (pairs){.a = pm_xalloc(n * sizeof(float)),
                   .b = pm_xalloc(n * sizeof(float)),
                   .cluster = pm_xalloc(n * sizeof(int32_t))};
}

static void pairs_free(pairs *p) {
    free(p->a), free(p->b), free(p->cluster);
}

/* Of two accounts of the same items the one with fewer clusters; false: B's. */
static bool trust_a(const pm_outcomes *a, const pm_outcomes *b) {
    return a->cluster && (!b->cluster || a->n_clusters <= b->n_clusters);
}

/* Items of equal content share their id: the k-th of one run is paired with the k-th of the other. */
static void pair_items(const pm_outcomes *a, const pm_outcomes *b, pairs *p) {
    const pm_outcomes *from = trust_a(a, b) ? a : b;
    int64_t n = 0;
    for (int64_t i = 0, j = 0; i < a->n && j < b->n;) {
        int order = strcmp(a->id[i], b->id[j]);
        if (order == 0 && a->correct[i] >= 0 && b->correct[j] >= 0) {
            p->a[n] = a->correct[i];
            p->b[n] = b->correct[j];
            if (from->cluster) p->cluster[n] = from->cluster[from == a ? i : j];
            n++;
        }
        i += order <= 0;
        j += order >= 0;
    }
    p->items = (pm_items){n, from->cluster ? p->cluster : NULL, from->n_clusters};
}

static pm_status nothing_in_common(const comparison *c, pm_err *e) {
    pm_fail(e, PM_EUSAGE,
            "runs %lld and %lld have fewer than two items, or groups of items, of %.24s in common",
            (long long)c->a.id, (long long)c->b.id, c->split);
    return pm_hint(e, "both must be evaluated on the same items: compare their eval.limit and task version");
}

/* What B gains over A. */
static bool judge(const pairs *p, comparison *c) {
    pm_arena *scratch = pm_arena_new("compare", 0);
    bool enough = pm_compare_models(p->b, p->a, &p->items, scratch, &c->gain);
    if (enough) {
        pm_bootstrap_models(p->b, p->a, &p->items, BOOTSTRAP_SEED, scratch, &c->bootstrap);
        c->of_a = pm_mean_of_run(p->a, &p->items, scratch);
        c->of_b = pm_mean_of_run(p->b, &p->items, scratch);
        c->detectable = pm_model_detectable(&c->gain, 0.05);
    }
    pm_arena_free(scratch);
    return enough;
}

static pm_status compare_items(comparison *c, pm_err *e) {
    pm_outcome_reader *reader[2] = {NULL};
    pm_outcomes o[2];
    const int64_t id[] = {c->a.id, c->b.id};
    pm_status s = PM_OK;
    for (int k = 0; k < 2 && s == PM_OK; k++) {
        s = pm_outcome_reader_open(c->d, &reader[k], e);
        if (s == PM_OK) s = pm_outcomes_read(reader[k], id[k], c->split, &o[k], e);
    }
    if (s == PM_OK) {
        pairs p = pairs_new(o[0].n);
        pair_items(&o[0], &o[1], &p);
        if (!judge(&p, c)) s = nothing_in_common(c, e);
        pairs_free(&p);
    }
    for (int k = 0; k < 2; k++) pm_outcome_reader_close(reader[k]);
    return s;
}

/* ---- what else differs --------------------------------------------------------------------------------------------------- */

static void add_difference(cJSON *list, const char *key, const char *a, const char *b) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "key", key);
    cJSON_AddStringToObject(o, "a", a);
    cJSON_AddStringToObject(o, "b", b);
    cJSON_AddBoolToObject(o, "must_match", pm_fair_must_match(key));
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
    bool same_model = c->a.model_hash[0] && strcmp(c->a.model_hash, c->b.model_hash) == 0;
    if (strcmp(c->a.model_hash, c->b.model_hash) != 0)
        add_difference(list, "model_hash", c->a.model_hash, c->b.model_hash);
    pm_status s = query(c, sql, args, 2, &st, e);
    int rc = SQLITE_DONE;
    while (s == PM_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        take_text(st, 0, key, sizeof key);
        if (strcmp(key, "model") == 0 && same_model) continue; /* two ways to write one path */
        take_text(st, 1, va, sizeof va);
        take_text(st, 2, vb, sizeof vb);
        add_difference(list, key, va, vb);
    }
    if (s == PM_OK && rc != SQLITE_DONE) s = pm_db_unreadable(c->d, e);
    sqlite3_finalize(st);
    return s;
}

/* ---- output -------------------------------------------------------------------------------------------------------------- */

static cJSON *run_json(const run_row *run, const pm_run_mean *acc) {
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

/* How the difference was judged; words for people and for the JSON. */
static const char *test_of(const comparison *c) {
    return c->gain.clustered
               ? "exact sign-flip over groups (McNemar's where each item stands alone), two-sided"
               : "exact McNemar, two-sided";
}

static const char *interval_of(const comparison *c) {
    return c->gain.clustered ? "cluster-robust, Student's t"
                             : "Newcombe 1998, method 10 (paired score interval)";
}

static cJSON *ends_json(pm_interval i) {
    const double ends[] = {i.low, i.high};
    return cJSON_CreateDoubleArray(ends, 2);
}

static void print_json(const comparison *c, cJSON *differences) {
    cJSON *j = cJSON_CreateObject();
    const pm_model_difference *r = &c->gain;
    cJSON_AddStringToObject(j, "task", c->a.task);
    cJSON_AddStringToObject(j, "split", c->split);
    cJSON_AddNumberToObject(j, "n", (double)r->n_items);
    if (r->clustered) cJSON_AddNumberToObject(j, "groups", (double)r->n_units);
    cJSON_AddItemToObject(j, "a", run_json(&c->a, &c->of_a));
    cJSON_AddItemToObject(j, "b", run_json(&c->b, &c->of_b));
    cJSON_AddNumberToObject(j, "difference", r->effect);
    cJSON_AddItemToObject(j, "interval95", ends_json(r->interval));
    cJSON_AddStringToObject(j, "interval_method", interval_of(c));
    cJSON_AddItemToObject(j, "bootstrap95", ends_json(c->bootstrap));
    cJSON_AddNumberToObject(j, "both_right", (double)r->both);
    cJSON_AddNumberToObject(j, "only_a_right", (double)r->only_b); /* r: of B over A */
    cJSON_AddNumberToObject(j, "only_b_right", (double)r->only_a);
    cJSON_AddNumberToObject(j, "neither_right", (double)r->neither);
    cJSON_AddNumberToObject(j, "p", r->p);
    cJSON_AddStringToObject(j, "test", test_of(c));
    if (!isnan(c->detectable)) cJSON_AddNumberToObject(j, "detectable_difference", c->detectable);
    cJSON_AddItemToObject(j, "differences", differences);
    pm_json_print(j);
}

static void print_run(char letter, const run_row *run, const pm_run_mean *acc) {
    printf("  %c  run %-5lld %-10s seed %-4lld accuracy %.4f", letter, (long long)run->id, run->method,
           (long long)run->seed, acc->mean);
    if (!isnan(acc->stderr_)) printf(" +- %.4f", acc->stderr_);
    puts(strcmp(run->status, "ok") == 0 ? "" : "  (this run did not finish: see its status)");
}

static void print_verdict(const comparison *c) {
    const char *better = c->gain.effect > 0 ? "B is better" : "A is better";
    if (c->gain.p < 0.05)
        printf("\n%s at the 5%% level.", better);
    else
        printf("\nNo difference at the 5%% level.");
    if (isnan(c->detectable))
        puts("");
    else
        printf(" With items like these, differences from about %.4f show (80%% power).\n", c->detectable);
}

static void print_gain(const comparison *c) {
    const pm_model_difference *r = &c->gain;
    printf("\n  B - A        %+.4f   95%% [%+.4f, %+.4f]  (%s)\n", r->effect, r->interval.low,
           r->interval.high, interval_of(c));
    printf("               bootstrap 95%% [%+.4f, %+.4f]  (%d resamples of %s)\n", c->bootstrap.low,
           c->bootstrap.high, PM_BOOTSTRAP_DRAWS, r->clustered ? "groups" : "items");
    printf("  discordant   only A right %lld, only B right %lld; ", (long long)r->only_b,
           (long long)r->only_a);
    if (r->clustered)
        printf("exact sign-flip over %lld groups p = %.4g\n", (long long)r->n_units, r->p);
    else
        printf("exact McNemar p = %.4g\n", r->p);
}

static void print_text(const comparison *c, const cJSON *differences) {
    printf("%s, %s: %lld items answered by both", c->a.task, c->split, (long long)c->gain.n_items);
    if (c->gain.clustered)
        printf(", which cluster in %lld groups: these are taken as drawn", (long long)c->gain.n_units);
    puts("");
    print_run('A', &c->a, &c->of_a);
    print_run('B', &c->b, &c->of_b);
    print_gain(c);
    print_verdict(c);
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
    if (s == PM_OK) s = compare_items(c, e);
    if (s != PM_OK) return s;
    cJSON *differences = cJSON_CreateArray();
    s = list_differences(c, differences, e);
    if (s == PM_OK && pm_global.json) {
        print_json(c, differences);
        return PM_OK;
    }
    if (s == PM_OK) print_text(c, differences);
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
        "two-sided; the interval is Newcombe's paired score interval (1998, method 10). Where items cluster "
        "in groups\n"
        "(the questions about one creature), groups are what was drawn: the test flips their signs, exactly, "
        "the\n"
        "interval is cluster-robust. Beside it stands a bootstrap's. Runs on different tasks or data are "
        "refused;\n"
        "other unequal conditions are listed below the result.\n"
        "\n"
        "With --seeds, or with --sweep, A and B are rows of `peftmeter report`, and all their seeds count: "
        "the\n"
        "difference, A - B, is one of methods, its interval allows for other seeds and other items, and the "
        "table says\n"
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
