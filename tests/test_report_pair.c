/* test_report_pair.c - two rows and claims, and what rows forgot: figures by hand, verdicts, and rows that do not belong together.
 */
#include "report_bench.h"

/* ---- forgetting ---------------------------------------------------------------------------------------------------------- */

static const double forgot_lora[] = {0.30, 0.36, 0.33}, forgot_svf[] = {0.41, 0.43, 0.47};

/* Both methods, on t, measured it on one probe; the untuned model and u did not. Seed 2 of svf has no number when `missing`. */
static pm_db *make_forgetful_db(bool missing) {
    pm_err e = {0};
    pm_db *d = make_db(false);
    for (int i = 0; i < 6; i++) {
        bool svf = i >= 3;
        int64_t id = 2 + i;
        double after = 1 + (svf ? forgot_svf : forgot_lora)[i % 3];
        CHECK_OK(pm_db_metric(d, id, "probe", "cross_entropy_before", 1, 1, 0.01, 500, &e));
        CHECK_OK(pm_db_metric(d, id, "probe", "cross_entropy_after", 1, after, 0.01, 500, &e));
        CHECK_OK(pm_db_metric(d, id, "probe", "forgetting", 1, missing && i == 5 ? (double)NAN : after - 1,
                              0.01, 500, &e));
    }
    sql(d, "UPDATE runs SET config = json_set(config, '$.\"eval.probe\"', 'texts') WHERE id BETWEEN 2 AND 7");
    return d;
}

#define UNTUNED_FORGETS                                                                                      \
    "INSERT INTO metrics VALUES (1, 'probe', 'forgetting', 1, 0, 0, 500);"                                   \
    "UPDATE runs SET config = json_set(config, '$.\"eval.probe\"', 'texts') WHERE id = 1;"

/* Intervals and p: scipy's t.interval and ttest_rel of these numbers. */
static void paper_has_forgetting(void) {
    pm_db_close(make_forgetful_db(false));
    cJSON *j = report_json("paper");
    const cJSON *lora = row(j, "paper", "lora", NULL), *none = row(j, "paper", "untuned", NULL);
    CHECK_NEAR(number(lora, "t_forgetting_nats"), 0.33, 0);
    CHECK_NEAR(number(lora, "t_forgetting_nats_low"), 0.2555, 0);
    CHECK_NEAR(number(lora, "t_forgetting_nats_high"), 0.4045, 0);
    CHECK_NEAR(number(row(j, "paper", "svf", NULL), "t_forgetting_nats"), 0.4367, 0);
    CHECK(isnan(number(none, "t_forgetting_nats")) && !member(lora, "u_forgetting_nats"));
    CHECK_NEAR(number(lora, "average"), 85, 0);
    cJSON_Delete(j);
    char *text = report_ok("--kind paper");
    CHECK(strstr(text, "measured on texts (500 tokens), which costs the base model 1.0000 nats"));
    free(text);
    pm_db_close(make_db(false));
    text = report_ok("--kind paper");
    CHECK(!strstr(text, "orgetting"));
    free(text);
}

static void seeds_without_forgetting_are_counted(void) {
    pm_db_close(make_forgetful_db(true));
    cJSON *j = report_json("paper");
    const cJSON *svf = row(j, "paper", "svf", NULL);
    CHECK_NEAR(number(svf, "t_forgetting_nats"), 0.42, 0);
    CHECK_EQ_STR(text_at(svf, "t_forgetting_nats_note"), "of 2 seeds");
    cJSON_Delete(j);
}

/* As a table's own score: less is better, in the order and in the gain. */
static void less_forgetting_is_better(void) {
    pm_db *d = make_forgetful_db(false);
    sql(d, UNTUNED_FORGETS);
    pm_db_close(d);
    cJSON *j = report_json("leaderboard --metric forgetting");
    const cJSON *rows = member(table(j, "leaderboard_t"), "rows");
    static const char *const order[] = {"untuned", "lora", "svf"};
    for (int i = 0; i < 3; i++) CHECK_EQ_STR(text_at(cJSON_GetArrayItem(rows, i), "method"), order[i]);
    CHECK_NEAR(number(cJSON_GetArrayItem(rows, 1), "gain"), -0.33, 0);
    cJSON_Delete(j);
}

/* Accuracy may stand side by side where only the probes differ; forgetting may not. */
static void other_probes_are_refused_where_forgetting_is_shown(void) {
    pm_db *d = make_forgetful_db(false);
    sql(d, UNTUNED_FORGETS
        "UPDATE runs SET config = json_set(config, '$.\"eval.probe\"', 'poems') WHERE method = 'svf'");
    pm_db_close(d);
    refused("--kind paper", PM_ECHECK, "svf has eval.probe poems (500 tokens, version 1), the others texts");
    refused("--kind leaderboard --metric forgetting", PM_ECHECK, "svf has eval.probe poems");
    free(report_ok("--kind leaderboard"));
    free(report_ok("--kind paper --badge"));
    d = make_forgetful_db(false);
    sql(d, "UPDATE metrics SET n = 400 WHERE split = 'probe' AND run_id = 7");
    pm_db_close(d);
    refused("--kind paper", PM_ECHECK, "svf has eval.probe texts (400 tokens, version 1)");
}

/* ---- two rows, and claims ------------------------------------------------------------------------------------------------ */

/* Runs a command that prints to standard output; its output, which the caller frees. */
static char *printed(const pm_command *c, int n, const char *const *words, pm_status *status, pm_err *e) {
    char *argv[16], *text = calloc(1, 1 << 16);
    if (!text) abort();
    for (int i = 0; i < n; i++) argv[i] = strdup(words[i]);
    argv[n] = NULL;
    char *passed[16];
    memcpy(passed, argv, sizeof argv);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    FILE *f = fopen(out_path, "w+");
    if (saved < 0 || !f) abort();
    dup2(fileno(f), STDOUT_FILENO);
    *status = c->run(n, passed, e);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(f);
    text[fread(text, 1, (1 << 16) - 1, f)] = 0;
    fclose(f);
    for (int i = 0; i < n; i++) free(argv[i]);
    return text;
}

static cJSON *compared(const char *a, const char *b, const char *option, pm_status *s, pm_err *e) {
    const char *words[] = {"compare", a, b, "--db", db_path, "--format", "json", option};
    char *text = printed(&pm_cmd_compare, 8, words, s, e);
    cJSON *j = cJSON_Parse(text);
    free(text);
    return j;
}

static void rows_are_told_apart(void) {
    pm_err e = {0};
    pm_status s;
    pm_db_close(make_db(false));
    cJSON *j = compared("lora", "svf", "--seeds", &s, &e);
    const cJSON *r = cJSON_GetArrayItem(member(table(j, "compare"), "rows"), 0);
    CHECK_EQ_INT(s, PM_OK);
    CHECK_EQ_INT(cJSON_GetArraySize(member(table(j, "compare"), "rows")), 1); /* svf was not on u */
    CHECK_NEAR(number(r, "difference_points"), 40, 0);
    CHECK(number(r, "difference_points_low") > 0 && number(r, "p") < 0.05);
    CHECK_NEAR(number(r, "n_seeds"), 3, 0);
    CHECK_NEAR(number(r, "n_items"), ITEMS, 0);
    CHECK_NEAR(number(r, "more_seeds"), 0, 0);
    CHECK_EQ_STR(text_at(r, "verdict"), "lora is better");
    cJSON_Delete(j);
    j = compared("svf", "lora", "--seeds", &s, &e);
    CHECK_NEAR(number(cJSON_GetArrayItem(member(table(j, "compare"), "rows"), 0), "difference_points"), -40,
               0);
    cJSON_Delete(j);
    cJSON_Delete(compared("lora", "nobody", "--seeds", &s, &e));
    CHECK_EQ_INT(s, PM_EUSAGE);
    CHECK(strstr(e.msg, "no row nobody") && strstr(e.hint, "untuned, lora, svf"));
}

static void forgetting_is_told_apart(void) {
    pm_err e = {0};
    pm_status s;
    pm_db_close(make_forgetful_db(false));
    cJSON *j = compared("lora", "svf", "--seeds", &s, &e);
    const cJSON *r = cJSON_GetArrayItem(member(table(j, "compare_forgetting"), "rows"), 0);
    CHECK_NEAR(number(r, "difference_nats"), -0.1067, 0);
    CHECK_NEAR(number(r, "difference_nats_low"), -0.1939, 0);
    CHECK_NEAR(number(r, "difference_nats_high"), -0.0194, 0);
    CHECK_NEAR(number(r, "p"), 0.0343, 0);
    CHECK_NEAR(number(r, "n_seeds"), 3, 0);
    CHECK_EQ_STR(text_at(r, "verdict"), "lora forgets less");
    cJSON_Delete(j);
    j = compared("svf", "lora", "--seeds", &s, &e);
    CHECK_EQ_STR(text_at(cJSON_GetArrayItem(member(table(j, "compare_forgetting"), "rows"), 0), "verdict"),
                 "lora forgets less");
    cJSON_Delete(j);
    pm_db_close(make_forgetful_db(true));
    j = compared("lora", "svf", "--seeds", &s, &e);
    r = cJSON_GetArrayItem(member(table(j, "compare_forgetting"), "rows"), 0);
    CHECK_NEAR(number(r, "n_seeds"), 2, 0);
    CHECK_NEAR(number(r, "mean_a_nats"), 0.33, 0); /* of the seeds that both have */
    CHECK_EQ_STR(text_at(r, "verdict"), "not told apart");
    cJSON_Delete(j);
}

static void commits_are_told_apart(void) {
    pm_err e = {0};
    pm_status s;
    pm_db *d = make_db(false);
    sql(d, "UPDATE runs SET commit_id = CASE method WHEN 'svf' THEN 'bbbb' ELSE 'aaaa' END, method = 'lora', "
           "config = json_set(config, '$.\"optim.lr\"', 1) WHERE method IN ('lora', 'svf') AND task = 't'");
    sql(d, "DELETE FROM sweep_runs");
    pm_db_close(d);
    cJSON *j = compared("lora@aa", "lora@bb", "--badge", &s, &e);
    CHECK_EQ_INT(s, PM_OK);
    CHECK_NEAR(number(cJSON_GetArrayItem(member(table(j, "compare"), "rows"), 0), "difference_points"), 40,
               0);
    cJSON_Delete(j);
    cJSON_Delete(compared("lora@aa", "lora@cc", "--badge", &s, &e));
    CHECK_EQ_INT(s, PM_EUSAGE);
}

static void unlike_rows_are_not_told_apart(void) {
    pm_err e = {0};
    pm_status s;
    pm_db *d = make_db(false);
    sql(d, "UPDATE runs SET config = json_set(config, '$.\"train.steps\"', 60) WHERE method = 'svf'");
    pm_db_close(d);
    cJSON_Delete(compared("lora", "svf", "--seeds", &s, &e));
    CHECK_EQ_INT(s, PM_ECHECK);
    CHECK(strstr(e.msg, "train.steps") != NULL);
}

static char *claims(const char *file, pm_status *s, pm_err *e) {
    const char *words[] = {"claims", pristine, "--db", db_path, "--format", "json"};
    FILE *f = fopen(pristine, "w");
    if (!f) abort();
    fputs(file, f);
    fclose(f);
    return printed(&pm_cmd_claims, 6, words, s, e);
}

static void claims_are_judged(void) {
    static const struct {
        const char *verdict, *why;
    } want[] = {{"supported", ""},
                {"undecided", ""},
                {"refuted", ""},
                {"undecided", "not at equal parameters: 100 and 10"},
                {"undecided", "fewer than two common seeds or items"},
                {"undecided", "one of the two was not measured on this task"},
                {"supported", ""}};
    pm_err e = {0};
    pm_status s;
    pm_db_close(make_db(false));
    char *text = claims("{\"claims\":[{\"a\":\"lora\",\"b\":\"svf\",\"task\":\"t\",\"points\":10},"
                        "{\"a\":\"lora\",\"b\":\"svf\",\"task\":\"t\",\"points\":40},"
                        "{\"a\":\"svf\",\"b\":\"lora\",\"task\":\"t\",\"text\":\"as they say\"},"
                        "{\"a\":\"lora\",\"b\":\"svf\",\"task\":\"t\",\"equal_parameters\":0.1},"
                        "{\"a\":\"lora\",\"b\":\"untuned\",\"task\":\"t\"},"
                        "{\"a\":\"lora\",\"b\":\"svf\",\"task\":\"u\"},"
                        "{\"a\":\"lora\",\"b\":\"svf\",\"task\":\"t\",\"points\":-5}]}",
                        &s, &e);
    cJSON *j = cJSON_Parse(text);
    const cJSON *rows = member(table(j, "claims"), "rows");
    CHECK_EQ_INT(s, PM_ECHECK);
    CHECK(strstr(e.msg, "1 claim is refuted") != NULL);
    CHECK_EQ_INT(cJSON_GetArraySize(rows), 7);
    for (int i = 0; i < cJSON_GetArraySize(rows); i++) {
        CHECK_EQ_STR(text_at(cJSON_GetArrayItem(rows, i), "verdict"), want[i].verdict);
        CHECK_EQ_STR(text_at(cJSON_GetArrayItem(rows, i), "why_not"), want[i].why);
    }
    CHECK_EQ_STR(text_at(cJSON_GetArrayItem(rows, 0), "claim"), "lora beats svf by more than 10 points on t");
    CHECK_EQ_STR(text_at(cJSON_GetArrayItem(rows, 2), "claim"), "as they say");
    CHECK_EQ_STR(text_at(cJSON_GetArrayItem(rows, 6), "claim"),
                 "lora is not worse than svf by more than 5 points on t");
    CHECK_NEAR(number(cJSON_GetArrayItem(rows, 0), "difference_points"), 40, 0);
    cJSON_Delete(j);
    free(text);
}

static void damaged_claims_are_named(void) {
    static const struct {
        const char *file, *message;
        pm_status status;
    } bad[] = {
        {"{", "", PM_EFORMAT},
        {"{}", "no list", PM_EFORMAT},
        {"{\"claims\":[]}", "no list", PM_EFORMAT},
        {"{\"claims\":[7]}", "no object", PM_EFORMAT},
        {"{\"claims\":[{\"a\":\"lora\",\"task\":\"t\"}]}", "a, b or task", PM_EFORMAT},
        {"{\"claims\":[{\"a\":\"lora\",\"b\":\"svf\",\"task\":\"t\",\"point\":1}]}", "point", PM_EFORMAT},
        {"{\"claims\":[{\"a\":\"lora\",\"b\":\"svf\",\"task\":\"t\",\"points\":\"1\"}]}", "points",
         PM_EFORMAT},
        {"{\"claims\":[{\"a\":\"lora\",\"b\":\"svf\",\"task\":\"v\"}]}", "its task", PM_EFORMAT},
        {"{\"claims\":[{\"a\":\"lora\",\"b\":\"dora\",\"task\":\"t\"}]}", "no row dora", PM_EUSAGE}};
    pm_db_close(make_db(false));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pm_err e = {0};
        pm_status s;
        free(claims(bad[i].file, &s, &e));
        CHECK_EQ_INT(s, bad[i].status);
        if (!strstr(e.msg, bad[i].message))
            CHECK_FAIL_("%s: \"%s\" without \"%s\"", bad[i].file, e.msg, bad[i].message);
    }
}

int main(void) {
    if (!bench_open()) return 1;
    RUN(paper_has_forgetting);
    RUN(seeds_without_forgetting_are_counted);
    RUN(less_forgetting_is_better);
    RUN(rows_are_told_apart);
    RUN(forgetting_is_told_apart);
    RUN(commits_are_told_apart);
    RUN(unlike_rows_are_not_told_apart);
    RUN(claims_are_judged);
    RUN(damaged_claims_are_named);
    RUN(other_probes_are_refused_where_forgetting_is_shown);
    return bench_close() ? check_done() : 1;
}
