/* test_compare.c - `compare` on databases with known items: numbers, names of runs, and what it refuses. */
#include "cmd.h"
#include "outcomes.h"
#include "stats.h"

#include "check.h"
#include <cjson/cJSON.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = P_tmpdir "/peftmeter-compare-XXXXXX";
static char db_path[128], out_path[128];

typedef struct plan {
    const char *method, *task, *data_hash, *split;
    int seed;
    const char *right; /* one letter an item: 1, 0, or - for not scored; . leaves the item out */
    const char *config;
} plan;

static void add_run(pm_db *d, const plan *p, const char *status) {
    pm_err e = {0};
    int64_t id;
    pm_db_run r = {.model = "m",
                   .task = p->task,
                   .method = p->method,
                   .config = p->config,
                   .model_hash = "mh",
                   .data_hash = p->data_hash,
                   .train_hash = strcmp(p->method, "none") ? "th" : NULL,
                   .seed = p->seed,
                   .dirty = -1};
    CHECK_OK(pm_db_run_begin(d, &r, &id, &e));
    CHECK_OK(pm_db_begin(d, &e));
    pm_outcome item[16];
    char name[16][32];
    int n = 0;
    for (int i = 0; p->right[i]; i++) {
        if (p->right[i] == '.') continue;
        snprintf(name[n], sizeof name[n], "item%d", i / 2 * 2); /* items come in pairs of equal content */
        item[n] = (pm_outcome){.example_id = name[n], .correct = p->right[i] == '-' ? -1 : p->right[i] - '0'};
        n++;
    }
    CHECK_OK(pm_outcomes_write(d, id, p->split, item, n, &e));
    CHECK_OK(pm_db_commit(d, &e));
    CHECK_OK(pm_db_run_end(d, id, status, NULL, &e));
}

/* Runs 1..9; ids follow the order here. */
static void make_db(void) {
    static const plan plans[] = {
        {"full", "arc", "h", "test", 0, "1111100000",
         "{\"train.steps\":8,\"optim.lr\":1,\"method\":\"full\",\"seed\":0}"},
        {"lora", "arc", "h", "test", 0, "1110011110",
         "{\"train.steps\":9,\"optim.lr\":2,\"method\":\"lora\",\"seed\":1}"},
        {"lora", "arc", "h", "test", 1, "1111111--0", "{\"train.steps\":8,\"optim.lr\":1}"},
        {"lora", "boolq", "h2", "test", 0, "11", "{}"},
        {"dora", "arc", "other", "test", 0, "1111100000", "{}"},
        {"svf", "arc", "h", "validation", 0, "1111100000", "{}"},
        {"a", "twins_2", "h", "test", 0, "-11", "{}"},
        {"b", "twins_2", "h", "test", 0, "010", "{}"},
        {"none", "arc", "h", "test", 0, "1111100000",
         "{\"train.steps\":3,\"optim.lr\":0,\"train.max_len\":9}"},
    };
    pm_db *d;
    pm_err e = {0};
    unlink(db_path);
    CHECK_OK(pm_db_open(db_path, &d, &e));
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) add_run(d, &plans[i], "ok");
    pm_db_close(d);
}

/* Runs `compare A B --db .. [more]`; its output is in `text`. */
static pm_status compare(const char *a, const char *b, const char *option, const char *value, char *text,
                         size_t cap, pm_err *e) {
    char *argv[] = {strdup("compare"),
                    strdup(a),
                    strdup("--db"),
                    strdup(db_path),
                    strdup(b),
                    option ? strdup(option) : NULL,
                    option ? strdup(value) : NULL,
                    NULL};
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    FILE *f = fopen(out_path, "w+");
    if (saved < 0 || !f) abort();
    dup2(fileno(f), STDOUT_FILENO);
    char *passed[8];
    memcpy(passed, argv, sizeof argv);
    pm_status s = pm_cmd_compare.run(option ? 7 : 5, passed, e);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(f);
    text[fread(text, 1, cap - 1, f)] = 0;
    fclose(f);
    for (int i = 0; i < 7; i++) free(argv[i]);
    return s;
}

static double number(const cJSON *j, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, key);
    return cJSON_IsNumber(v) ? v->valuedouble : (double)NAN;
}

static cJSON *compare_json(const char *a, const char *b, const char *option, const char *value) {
    char text[8192];
    pm_err e = {0};
    pm_global.json = true;
    CHECK_OK(compare(a, b, option, value, text, sizeof text, &e));
    pm_global.json = false;
    return cJSON_Parse(text);
}

/* Counted by hand: both right 3, only A 2, only B 4, neither 1. */
static void compare_counts_pairs(void) {
    cJSON *j = compare_json("1", "2", NULL, NULL);
    CHECK_NEAR(number(j, "n"), 10, 0);
    CHECK_NEAR(number(j, "both_right"), 3, 0);
    CHECK_NEAR(number(j, "only_a_right"), 2, 0);
    CHECK_NEAR(number(j, "only_b_right"), 4, 0);
    CHECK_NEAR(number(j, "neither_right"), 1, 0);
    CHECK_NEAR(number(j, "difference"), 0.2, 1e-12);
    CHECK_NEAR(number(j, "p"), 0.6875, 1e-12); /* 2 (1 + 6 + 15) / 64 */
    CHECK_NEAR(number(cJSON_GetObjectItem(j, "a"), "accuracy"), 0.5, 0);
    CHECK_NEAR(number(cJSON_GetObjectItem(j, "b"), "accuracy"), 0.7, 1e-12);
    const cJSON *ends = cJSON_GetObjectItem(j, "interval95");
    pm_interval want = pm_paired_difference(3, 4, 2, 1); /* of B - A */
    CHECK_NEAR(cJSON_GetArrayItem(ends, 0)->valuedouble, want.low, 1e-12);
    CHECK_NEAR(cJSON_GetArrayItem(ends, 1)->valuedouble, want.high, 1e-12);
    cJSON_Delete(j);
}

static void compare_swapped_is_the_mirror(void) {
    cJSON *x = compare_json("1", "2", NULL, NULL), *y = compare_json("2", "1", NULL, NULL);
    CHECK_NEAR(number(x, "difference"), -number(y, "difference"), 0);
    CHECK_NEAR(number(x, "p"), number(y, "p"), 0);
    CHECK_NEAR(cJSON_GetArrayItem(cJSON_GetObjectItem(x, "interval95"), 0)->valuedouble,
               -cJSON_GetArrayItem(cJSON_GetObjectItem(y, "interval95"), 1)->valuedouble, 1e-15);
    cJSON_Delete(x), cJSON_Delete(y);
}

static void compare_itself_is_no_difference(void) {
    cJSON *j = compare_json("2", "2", NULL, NULL);
    CHECK_NEAR(number(j, "p"), 1, 0);
    CHECK_NEAR(number(j, "difference"), 0, 0);
    CHECK(cJSON_GetObjectItem(j, "detectable_difference") == NULL);
    cJSON_Delete(j);
}

/* Items that one run has not scored are left out of the pairs. */
static void compare_pairs_only_what_both_scored(void) {
    cJSON *j = compare_json("1", "3", NULL, NULL);
    CHECK_NEAR(number(j, "n"), 8, 0);
    cJSON_Delete(j);
}

/* The second of two equal items is paired with the second, also when the first was not scored. */
static void compare_pairs_equal_items_in_order(void) {
    cJSON *j = compare_json("a", "b", "--task", "twins-2");
    CHECK_NEAR(number(j, "n"), 2, 0);
    CHECK_NEAR(number(j, "both_right"), 1, 0);
    CHECK_NEAR(number(j, "only_a_right"), 1, 0);
    cJSON_Delete(j);
}

/* Items of equal content as groups of two: five things were drawn, not ten. */
static void compare_takes_groups_as_drawn(void) {
    pm_err e = {0};
    pm_db *d;
    char text[8192];
    make_db();
    CHECK_OK(pm_db_open(db_path, &d, &e));
    CHECK(sqlite3_exec(
              pm_db_handle(d),
              "UPDATE items SET cluster = example_id WHERE set_id = (SELECT set_id FROM outcomes WHERE "
              "run_id = 2)",
              NULL, NULL, NULL) == SQLITE_OK);
    pm_db_close(d);
    cJSON *j = compare_json("1", "2", NULL, NULL);
    CHECK_NEAR(number(j, "n"), 10, 0);
    CHECK_NEAR(number(j, "groups"), 5, 0);
    CHECK_NEAR(number(j, "only_a_right"), 2, 0);
    CHECK_NEAR(number(j, "p"), 0.75, 1e-12); /* differences 0, -1, 0, 2, 1: |sum| >= 2 in 24 of 32 */
    CHECK(strstr(cJSON_GetObjectItem(j, "test")->valuestring, "sign-flip"));
    const cJSON *ends = cJSON_GetObjectItem(j, "bootstrap95");
    CHECK(cJSON_GetArrayItem(ends, 0)->valuedouble < 0.2 && cJSON_GetArrayItem(ends, 1)->valuedouble > 0.2);
    cJSON_Delete(j);
    CHECK_OK(compare("1", "2", NULL, NULL, text, sizeof text, &e));
    CHECK(strstr(text, "cluster in 5 groups") && strstr(text, "exact sign-flip over 5 groups p = 0.75"));
    make_db();
}

static void compare_lists_unequal_conditions(void) {
    cJSON *j = compare_json("1", "2", NULL, NULL), *d = cJSON_GetObjectItem(j, "differences");
    CHECK_EQ_INT(cJSON_GetArraySize(d), 2); /* seed and method are what is compared, not a condition */
    const cJSON *lr = cJSON_GetArrayItem(d, 0), *steps = cJSON_GetArrayItem(d, 1);
    CHECK_EQ_STR(cJSON_GetObjectItem(lr, "key")->valuestring, "optim.lr");
    CHECK(cJSON_IsFalse(cJSON_GetObjectItem(lr, "must_match")));
    CHECK_EQ_STR(cJSON_GetObjectItem(steps, "key")->valuestring, "train.steps");
    CHECK(cJSON_IsTrue(cJSON_GetObjectItem(steps, "must_match")));
    CHECK_EQ_STR(cJSON_GetObjectItem(steps, "b")->valuestring, "9");
    cJSON_Delete(j);
}

/* The untuned model has no learning rate and no steps that could differ. */
static void compare_asks_an_untuned_model_for_no_training(void) {
    cJSON *j = compare_json("9", "1", NULL, NULL);
    CHECK_EQ_INT(cJSON_GetArraySize(cJSON_GetObjectItem(j, "differences")), 0);
    cJSON_Delete(j);
}

static void compare_finds_runs_by_name(void) {
    static const struct {
        const char *name, *task;
        int id;
    } names[] = {{"lora", "arc", 3},
                 {"lora:0", "arc", 2},
                 {"lora:1", NULL, 3},
                 {"latest lora", "arc", 3},
                 {"full", NULL, 1}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cJSON *j = compare_json("1", names[i].name, names[i].task ? "--task" : NULL, names[i].task);
        CHECK_NEAR(number(cJSON_GetObjectItem(j, "b"), "run_id"), names[i].id, 0);
        cJSON_Delete(j);
    }
}

static void compare_prints_text(void) {
    char text[8192];
    pm_err e = {0};
    CHECK_OK(compare("full", "lora:0", "--task", "arc", text, sizeof text, &e));
    CHECK(strstr(text, "arc, test: 10 items"));
    CHECK(strstr(text, "accuracy 0.5000 +- 0.1667"));
    CHECK(strstr(text, "+0.2000"));
    CHECK(strstr(text, "exact McNemar p = 0.6875"));
    CHECK(strstr(text, "No difference at the 5% level"));
    CHECK(strstr(text, "unequal conditions: train.steps: A 8, B 9"));
}

static void compare_refuses(void) {
    static const struct {
        const char *a, *b, *option, *value, *says;
    } bad[] = {
        {"1", "4", NULL, NULL, "task differs, arc and boolq"},
        {"1", "lora", NULL, NULL, "task differs"}, /* the latest lora is another task's */
        {"1", "5", NULL, NULL, "data_hash differs, h and other"},
        {"1", "6", NULL, NULL, "no split on which both"},
        {"1", "2", "--split", "validation", "no split validation"},
        {"1", "99", NULL, NULL, "\"99\""},
        {"1", "lroa", NULL, NULL, "\"lroa\""},
        {"1", "lora:7", NULL, NULL, "\"lora:7\""},
        {"1", "", NULL, NULL, "\"\""},
        {"1", "2; DROP TABLE runs", NULL, NULL, "DROP"},
        {"1", "2", "--slpit", "x", "no option --slpit"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[512];
        pm_err e = {0};
        CHECK_EQ_INT(compare(bad[i].a, bad[i].b, bad[i].option, bad[i].value, text, sizeof text, &e),
                     PM_EUSAGE);
        if (!strstr(e.msg, bad[i].says)) CHECK_FAIL_("\"%s\" does not say \"%s\"", e.msg, bad[i].says);
        CHECK(e.hint[0]);
        CHECK_EQ_STR(text, "");
    }
}

static void compare_needs_a_database(void) {
    char text[512];
    pm_err e = {0};
    unlink(db_path);
    CHECK_EQ_INT(compare("1", "2", NULL, NULL, text, sizeof text, &e), PM_EDB);
    CHECK(access(db_path, F_OK) != 0); /* reading creates nothing */
}

int main(void) {
    if (!mkdtemp(dir)) return perror(dir), 1;
    snprintf(db_path, sizeof db_path, "%s/r.db", dir);
    snprintf(out_path, sizeof out_path, "%s/out", dir);
    make_db();
    RUN(compare_counts_pairs);
    RUN(compare_swapped_is_the_mirror);
    RUN(compare_itself_is_no_difference);
    RUN(compare_pairs_only_what_both_scored);
    RUN(compare_pairs_equal_items_in_order);
    RUN(compare_takes_groups_as_drawn);
    RUN(compare_lists_unequal_conditions);
    RUN(compare_asks_an_untuned_model_for_no_training);
    RUN(compare_finds_runs_by_name);
    RUN(compare_prints_text);
    RUN(compare_refuses);
    RUN(compare_needs_a_database);
    unlink(out_path);
    rmdir(dir);
    return check_done();
}
