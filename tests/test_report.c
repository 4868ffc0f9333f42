/* test_report.c - reports of databases whose numbers are known: every kind's figures by hand, the same bytes from the same rows, rows that do not
 * belong together, and databases that hold anything at all.
 */
#include "report_bench.h"

/* ---- kinds --------------------------------------------------------------------------------------------------------------- */

static void paper_has_means_counts_and_letters(void) {
    pm_db_close(make_db(false));
    cJSON *j = report_json("paper");
    const cJSON *lora = row(j, "paper", "lora", NULL), *svf = row(j, "paper", "svf", NULL),
                *none = row(j, "paper", "untuned", NULL);
    CHECK_EQ_INT(cJSON_GetArraySize(member(table(j, "paper"), "rows")), 3); /* full is of no sweep */
    CHECK_NEAR(number(lora, "t_acc_percent"), 90, 0);
    CHECK_NEAR(number(svf, "t_acc_percent"), 50, 0);
    CHECK_NEAR(number(none, "t_acc_percent"), 25, 0);
    CHECK_NEAR(number(lora, "u_acc_percent"), 80, 0);
    CHECK(isnan(number(svf, "u_acc_percent")));
    CHECK_NEAR(number(lora, "average"), 85, 0);
    CHECK(isnan(number(svf, "average")));
    CHECK_NEAR(number(lora, "trainable_params"), 100, 0);
    CHECK_NEAR(number(lora, "percent_of_base"), 10, 0);
    CHECK_NEAR(number(lora, "percent_of_total"), 9.091, 0);
    CHECK(number(lora, "t_acc_percent_low") < 90 && number(lora, "t_acc_percent_high") > 90);
    CHECK_EQ_STR(text_at(lora, "t_acc_percent_note"), "a");
    CHECK_EQ_STR(text_at(svf, "t_acc_percent_note"), "b");
    CHECK_EQ_STR(text_at(none, "t_acc_percent_note"), "");
    pm_interval w = pm_wilson(50, 200); /* one run: of its items */
    CHECK_NEAR(number(none, "t_acc_percent_low"), 100 * w.low, 0.0051);
    CHECK_NEAR(number(none, "t_acc_percent_high"), 100 * w.high, 0.0051);
    cJSON_Delete(j);
}

static bool has_note(const cJSON *j, const char *key, const char *words) {
    for (const cJSON *n = member(table(j, key), "notes")->child; n; n = n->next)
        if (strstr(n->valuestring, words)) return true;
    return false;
}

static double width(const cJSON *r) {
    return number(r, "t_acc_percent_high") - number(r, "t_acc_percent_low");
}

/* Items of one thing are no independent draws: less is known, and the tables say so. Of two accounts of the same items the more careful one holds. */
static void clusters_widen_intervals(void) {
    cJSON *alone = report_json("paper");
    pm_db *d = make_db(false);
    sql(d, "UPDATE items SET cluster = position % 20; INSERT INTO item_sets SELECT 99, 'finer', n FROM "
           "item_sets "
           "WHERE id = 1; INSERT INTO items SELECT 99, position, example_id, gold, position % 40 FROM items "
           "WHERE "
           "set_id = 1; UPDATE outcomes SET set_id = 99 WHERE run_id IN (SELECT id FROM runs WHERE method <> "
           "'lora')");
    pm_db_close(d);
    cJSON *j = report_json("paper");
    const cJSON *none = row(j, "paper", "untuned", NULL), *svf = row(j, "paper", "svf", NULL);
    CHECK(!has_note(alone, "paper", "cluster in") &&
          has_note(j, "paper", "t: its 200 items cluster in 20 groups"));
    CHECK(width(none) > 2 * width(row(alone, "paper", "untuned", NULL)));
    CHECK(width(svf) > width(row(alone, "paper", "svf", NULL)));
    cJSON_Delete(j), cJSON_Delete(alone);
    j = report_json("leaderboard");
    CHECK(has_note(j, "leaderboard_t", "t: its 200 items cluster in 20 groups"));
    CHECK(has_note(j, "leaderboard_u", "u: its 200 items cluster in 20 groups"));
    cJSON_Delete(j);
}

static void details_count_seeds_losses_and_test_reads(void) {
    cJSON *j = report_json("paper");
    const cJSON *lora = row(j, "paper_details", "lora", "t"), *svf = row(j, "paper_details", "svf", "t");
    CHECK_NEAR(number(lora, "n_seeds"), 3, 0);
    CHECK_NEAR(number(lora, "n_lost"), 0, 0);
    CHECK_NEAR(number(svf, "n_lost"), 1, 0);
    CHECK_NEAR(number(lora, "n_items"), ITEMS, 0);
    CHECK_NEAR(number(lora, "metric_version"), 1, 0);
    CHECK_NEAR(number(lora, "test_reads"), 3, 0);
    CHECK_NEAR(number(svf, "test_reads"), 4, 0);
    CHECK_NEAR(number(lora, "optim_lr"), 0.01, 0);
    CHECK_NEAR(number(lora, "sd"), 0, 0);
    CHECK_EQ_STR(text_at(lora, "split"), "test");
    cJSON_Delete(j);
}

static void leaderboard_gives_places_and_gains(void) {
    cJSON *j = report_json("leaderboard");
    const cJSON *rows = member(table(j, "leaderboard_t"), "rows"), *first = cJSON_GetArrayItem(rows, 0),
                *second = cJSON_GetArrayItem(rows, 1);
    CHECK_EQ_STR(text_at(first, "method"), "lora");
    CHECK_EQ_STR(text_at(first, "places"), "1");
    CHECK_EQ_STR(text_at(second, "places"), "2");
    CHECK_NEAR(number(first, "gain"), 65, 0);
    CHECK_NEAR(number(second, "gain"), 25, 0);
    CHECK(isnan(number(cJSON_GetArrayItem(rows, 2), "gain")));
    CHECK_EQ_INT(cJSON_GetArraySize(member(table(j, "leaderboard_u"), "rows")), 1);
    cJSON_Delete(j);
}

/* Nine timed steps of 10..90 ms: p50 50 ms, p90 82 ms, p99 89.2 ms; 72 tokens in 450 ms. */
static void efficiency_reconciles(void) {
    cJSON *j = report_json("efficiency");
    const cJSON *s = row(j, "efficiency", "lora", "t"), *p = row(j, "efficiency_phases", "lora", "t"),
                *m = row(j, "efficiency_memory", "lora", "t"),
                *o = row(j, "efficiency_operations", "lora", "t");
    CHECK_NEAR(number(s, "tokens_per_s"), 160, 0);
    CHECK_NEAR(number(s, "label_tokens_per_s"), 40, 0);
    CHECK_NEAR(number(s, "step_p50_s"), 0.05, 1e-12);
    CHECK_NEAR(number(s, "step_p90_s"), 0.082, 1e-12);
    CHECK_NEAR(number(s, "step_p99_s"), 0.0892, 1e-12);
    CHECK_NEAR(number(s, "steps_timed"), 9, 0);
    CHECK_NEAR(number(s, "warmup_steps_dropped"), 1, 0);
    CHECK_NEAR(number(p, "phases_sum_s"), 3, 0);
    CHECK_NEAR(number(p, "whole_s"), 4, 1e-3);
    CHECK_NEAR(number(p, "unexplained_percent"), 25, 0.01);
    CHECK(isnan(number(p, "test_s")));
    CHECK_NEAR(number(m, "weights_bytes"), 60 << 20, 0);
    CHECK_NEAR(number(m, "code_bytes"), 10 << 20, 0);
    CHECK_NEAR(number(m, "memory_sum_bytes"), 96 << 20, 0);
    CHECK_NEAR(number(m, "unexplained_bytes"), 4 << 20, 0);
    CHECK_NEAR(number(m, "unexplained_memory_percent"), 4, 0);
    CHECK_NEAR(number(o, "gflop"), 5, 0);
    CHECK_NEAR(number(o, "step_gflop"), 0.5, 0);
    CHECK_NEAR(number(o, "gflops_per_s"), 10, 0);
    CHECK_NEAR(number(o, "roofline_gflops_per_s"), 20, 0);
    CHECK_NEAR(number(o, "roofline_percent"), 17.2, 1e-12); /* 5 GFLOP in 1 + 0.45 s, rounded */
    CHECK(isnan(number(o, "gemm_calls")));
    cJSON_Delete(j);
}

static void counts_compare_with_the_closed_form(void) {
    cJSON *j = report_json("counts");
    const cJSON *lora = row(j, "counts", "lora", "t");
    CHECK_NEAR(number(lora, "closed_form"), 100, 0);
    CHECK_NEAR(number(lora, "total_params"), 1100, 0);
    CHECK_NEAR(number(lora, "percent_of_base"), 10, 0);
    CHECK_NEAR(number(lora, "stored_bytes"), 400, 0);
    cJSON_Delete(j);
}

/* Scores 0.5 and 0.75: of one trial 62.5 -+ 12.5, the best of two 0.75 * 3/4 + 0.5 * 1/4 = 68.75 -+ sqrt(0.01171875). */
static void budget_is_dodge_2019(void) {
    cJSON *j = report_json("budget");
    const cJSON *rows = member(table(j, "budget"), "rows"), *two = cJSON_GetArrayItem(rows, 1),
                *t = row(j, "budget_tolerance", "lora", "t");
    CHECK_EQ_INT(cJSON_GetArraySize(rows), 2);
    CHECK_NEAR(number(cJSON_GetArrayItem(rows, 0), "expected_best"), 62.5, 0);
    CHECK_NEAR(number(cJSON_GetArrayItem(rows, 0), "expected_best_low"), 50, 0);
    CHECK_NEAR(number(two, "expected_best"), 68.75, 0);
    CHECK_NEAR(number(two, "expected_best_low"), 57.92, 0);
    CHECK_NEAR(number(two, "expected_best_high"), 75, 0);
    CHECK_NEAR(number(t, "best_lr"), 0.01, 0);
    CHECK_NEAR(number(t, "tolerance_decades"), 0, 0);
    CHECK_EQ_STR(text_at(t, "at_edge"), "highest");
    cJSON_Delete(j);
}

/* ---- laws ---------------------------------------------------------------------------------------------------------------- */

static void same_rows_same_bytes(void) {
    static const char *const formats[] = {"text", "md", "latex", "csv", "json"};
    char *first[5];
    char words[64];
    for (int turn = 0; turn < 2; turn++) {
        pm_db_close(make_db(turn));
        for (int i = 0; i < 5; i++) {
            snprintf(words, sizeof words, "--kind all --format %s", formats[i]);
            char *text = report_ok(words);
            if (turn == 0) {
                first[i] = text;
                continue;
            }
            CHECK(strlen(text) > 100);
            CHECK_EQ_STR(text, first[i]);
            free(text), free(first[i]);
        }
    }
}

/* Bytes that an edited database holds are replaced where they enter a table: every format is valid UTF-8. */
static void any_bytes_print_as_text(void) {
    static const char *const formats[] = {"text", "md", "latex", "csv", "json", "html"};
    pm_db *d = make_db(false);
    sql(d,
        "UPDATE sweep_runs SET label = CAST(x'6cff6f' AS TEXT) WHERE label = 'lora'; UPDATE runs SET task = "
        "CAST(x'74c3' AS TEXT) WHERE task = 't'");
    pm_db_close(d);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        char words[64];
        snprintf(words, sizeof words, "--kind paper --format %s", formats[i]);
        char *text = report_ok(words), *clean = pm_utf8_clean(text);
        CHECK_EQ_STR(text, clean);
        CHECK(strstr(text, "l\xef\xbf\xbdo") && strstr(text, "t\xef\xbf\xbd"));
        free(text), free(clean);
    }
    cJSON_Delete(report_json("all"));
}

/* One model is one, however its path was written; the name is that of most runs. */
static void one_model_has_many_paths(void) {
    pm_db *d = make_db(false);
    sql(d, "UPDATE runs SET model = CASE id % 4 WHEN 0 THEN './models/tiny' WHEN 1 THEN 'models/tiny/' WHEN "
           "2 THEN "
           "'/abs/models/tiny' ELSE 'copy' END");
    pm_db_close(d);
    cJSON *j = report_json("paper");
    CHECK_EQ_STR(member(j, "title")->valuestring, "Methods by tasks: tiny on t, u");
    CHECK_EQ_INT(cJSON_GetArraySize(member(table(j, "paper"), "rows")), 3);
    CHECK_EQ_STR(text_at(row(j, "paper", "lora", NULL), "t_acc_percent_note"), "a");
    CHECK_NEAR(number(row(j, "paper_details", "svf", "t"), "n_lost"), 1, 0);
    cJSON_Delete(j);
    d = make_db(false);
    sql(d, "UPDATE runs SET model = 'x/', model_hash = NULL WHERE method = 'svf'");
    pm_db_close(d);
    j = report_json("paper");
    CHECK_EQ_STR(member(j, "title")->valuestring, "Methods by tasks: tiny, x on t, u");
    cJSON_Delete(j);
}

/* A page is called what was measured. */
static void titles_name_models_and_tasks(void) {
    pm_db *d = make_db(false);
    sql(d, "UPDATE runs SET model = 'other', model_hash = 'o' WHERE method = 'svf'");
    pm_db_close(d);
    cJSON *j = report_json("paper");
    CHECK_EQ_STR(member(j, "title")->valuestring, "Methods by tasks: other, tiny on t, u");
    cJSON_Delete(j);
    d = make_db(false);
    pm_db_close(d);
    char *page = report_ok("--kind counts --format html");
    CHECK(strstr(page, "<title>What is trained: tiny on t, u</title>") &&
          strstr(page, "<h1>What is trained: tiny on t, u</h1>"));
    free(page);
}

static void all_runs_without_a_sweep(void) {
    pm_db *d = make_db(false);
    sql(d, "DELETE FROM sweep_runs");
    sql(d, "DELETE FROM runs WHERE id IN (SELECT run_id FROM metrics WHERE split = 'validation')");
    pm_db_close(d);
    cJSON *j = report_json("paper");
    CHECK_EQ_INT(cJSON_GetArraySize(member(table(j, "paper"), "rows")), 4);
    CHECK_NEAR(number(row(j, "paper", "full", NULL), "t_acc_percent"), 95, 0);
    CHECK_NEAR(number(row(j, "paper", "full", NULL), "percent_of_base"), 100, 0); /* trains the base itself */
    CHECK_NEAR(number(row(j, "paper", "full", NULL), "percent_of_total"), 100, 0);
    CHECK_NEAR(number(row(j, "paper_details", "lora", "t"), "n_seeds"), 3, 0);
    cJSON_Delete(j);
}

/* The same method with two learning rates is two rows, and their names say so. */
static void settings_tell_rows_apart(void) {
    pm_db *d = make_db(false);
    plan p = {NULL, "lora", "lora", "t", "ok", 0, 0, 8, 0.5, 100, 1100, 50, "h"};
    sql(d, "DELETE FROM sweep_runs");
    sql(d, "DELETE FROM runs WHERE id IN (SELECT run_id FROM metrics WHERE split = 'validation')");
    add(d, &p);
    pm_db_close(d);
    cJSON *j = report_json("paper");
    CHECK_NEAR(number(row(j, "paper", "lora optim.lr=0.5", NULL), "t_acc_percent"), 87.5, 0);
    CHECK_NEAR(number(row(j, "paper", "lora optim.lr=0.01", NULL), "t_acc_percent"), 90, 0);
    cJSON_Delete(j);
}

/* A run that was done again counts once, as it came out last. */
static void latest_run_of_a_seed_counts(void) {
    pm_db *d = make_db(false);
    plan p = plans[1];
    p.every = 2;
    add(d, &p);
    pm_db_close(d);
    cJSON *j = report_json("paper");
    CHECK_NEAR(number(row(j, "paper_details", "lora", "t"), "n_seeds"), 3, 0);
    CHECK_NEAR(number(row(j, "paper", "lora", NULL), "t_acc_percent"), 76.67, 0);
    cJSON_Delete(j);
}

/* A seed that failed and was done again is not lost; validation scores of the same runs do not take the place of test scores. */
static void only_what_stayed_away_is_lost(void) {
    pm_db *d = make_db(false);
    plan p = plans[4];
    p.status = "failed";
    add(d, &p);
    sql(d, "INSERT OR IGNORE INTO metrics SELECT run_id, 'validation', name, version, 0.1, stderr, n FROM "
           "metrics");
    pm_db_close(d);
    cJSON *j = report_json("paper");
    CHECK_NEAR(number(row(j, "paper_details", "svf", "t"), "n_lost"), 1, 0);
    CHECK_NEAR(number(row(j, "paper", "svf", NULL), "t_acc_percent"), 50, 0);
    CHECK_EQ_STR(text_at(row(j, "paper_details", "svf", "t"), "split"), "test");
    cJSON_Delete(j);
}

/* Seeds at 99.5%, 99.5% and 75%: Student's t alone would go to 125%. */
static void intervals_of_shares_end_at_100(void) {
    pm_db *d = make_db(false);
    plan p = {"final", "full", "full", "t", "ok", 0, 0, 200, 0.1, 1000, 1000, 50, "h"};
    for (; p.seed < 3; p.seed++) p.every = p.seed < 2 ? 200 : 4, add(d, &p);
    pm_db_close(d);
    cJSON *j = report_json("paper");
    CHECK_NEAR(number(row(j, "paper", "full", NULL), "t_acc_percent_high"), 100, 0);
    cJSON_Delete(j);
}

/* More rows than there are letters: places are known, letters are not given away twice. */
static void many_rows_are_compared(void) {
    pm_db *d = make_db(false);
    char label[16];
    for (int i = 0; i < 30; i++) {
        plan p = {"final", label, "lora", "t", "ok", 0, 0, 10, 0.1, 100, 1100, 50, "h"};
        snprintf(label, sizeof label, "l%02d", i);
        for (; p.seed < 2; p.seed++) add(d, &p);
    }
    pm_db_close(d);
    cJSON *j = report_json("leaderboard");
    CHECK_EQ_STR(text_at(row(j, "leaderboard_t", "l29", NULL), "acc_percent_note"), "a");
    CHECK_EQ_STR(text_at(row(j, "leaderboard_t", "l29", NULL), "places"), "1-31");
    CHECK_EQ_STR(text_at(row(j, "leaderboard_t", "svf", NULL), "places"), "32");
    cJSON_Delete(j);
}

/* ---- rows that do not belong together -------------------------------------------------------------------------------------- */

static void one_odd(const char *update, const char *key, const char *value, const char *usual) {
    char want[128];
    pm_db *d = make_db(false);
    sql(d, update);
    pm_db_close(d);
    snprintf(want, sizeof want, "svf has %s %s, the others %s", key, value, usual);
    refused("--kind paper", PM_ECHECK, want);
    refused("--kind leaderboard", PM_ECHECK, want);
    char *text = report_ok("--kind paper --badge"), badge[96];
    snprintf(badge, sizeof badge, "svf (differs: %s)", key);
    if (!strstr(text, badge)) CHECK_FAIL_("no badge \"%s\" in\n%s", badge, text);
    snprintf(badge, sizeof badge, "has %s %s, the others", key, value);
    if (!strstr(text, badge)) CHECK_FAIL_("no note \"%s\" in\n%s", badge, text);
    free(text);
}

#define ODD(set) "UPDATE runs SET " set " WHERE method = 'svf'"
static void unlike_rows_are_refused_or_badged(void) {
    one_odd(ODD("config = json_set(config, '$.\"train.steps\"', 60)"), "train.steps", "60 steps", "50 steps");
    one_odd(ODD("config = json_set(config, '$.\"train.batch\"', 4)"), "train.batch x train.grad_accum", "4",
            "8");
    one_odd(ODD("config = json_set(config, '$.\"train.grad_accum\"', 2)"), "train.batch x train.grad_accum",
            "16", "8");
    one_odd("UPDATE runs SET config = json_set(config, '$.precision', iif(method = 'svf', 'bf16', 'fp32'))",
            "precision", "bf16", "fp32");
    one_odd(ODD("data_hash = 'other'"), "data_hash", "other", "h");
    one_odd(ODD("train_hash = 'other'"), "train_hash", "other", "th");
    one_odd("UPDATE metrics SET version = 2 WHERE run_id IN (SELECT id FROM runs WHERE method = 'svf')",
            "metric version", "2", "1");
    one_odd(
        "UPDATE metrics SET split = 'validation' WHERE run_id IN (SELECT id FROM runs WHERE method = 'svf')",
        "eval.split", "validation", "test");
}

/* Faster than the fastest: that was measured on a busy machine. */
static void a_wrong_roofline_has_no_share(void) {
    pm_db *d = make_db(false);
    sql(d, "UPDATE roofline SET gflops = 3");
    pm_db_close(d);
    cJSON *j = report_json("efficiency");
    const cJSON *o = row(j, "efficiency_operations", "lora", "t");
    CHECK_NEAR(number(o, "roofline_gflops_per_s"), 3, 0);
    CHECK(isnan(number(o, "roofline_percent")));
    cJSON_Delete(j);
}

static void an_unknown_roofline_has_no_share(void) {
    pm_db *d = make_db(false);
    sql(d, "DELETE FROM roofline");
    pm_db_close(d);
    cJSON *j = report_json("efficiency");
    const cJSON *o = row(j, "efficiency_operations", "lora", "t");
    CHECK(isnan(number(o, "roofline_gflops_per_s")) && isnan(number(o, "roofline_percent")));
    CHECK_NEAR(number(o, "gflop"), 5, 0);
    cJSON_Delete(j);
}

static void one_run_of_a_row_may_be_odd(void) {
    pm_db *d = make_db(false);
    sql(d, "UPDATE runs SET config = json_set(config, '$.\"train.steps\"', 60) WHERE method = 'lora' AND "
           "seed = 2 AND task = 't'");
    pm_db_close(d);
    refused("--kind paper", PM_ECHECK, "lora has train.steps 60 steps, the others 50 steps");
}

static void tuned_settings_may_differ(void) {
    pm_db *d = make_db(false);
    sql(d, "UPDATE runs SET config = json_set(config, '$.\"method.rank\"', 4, '$.\"optim.lr\"', 7) WHERE "
           "method = 'svf'");
    pm_db_close(d);
    free(report_ok("--kind paper"));
}

/* Items that are not those of the others cannot be paired: no letters, and no crash. */
static void other_items_are_not_compared(void) {
    pm_db *d = make_db(false);
    sql(d, "INSERT INTO item_sets SELECT 99, 'other', n FROM item_sets WHERE id = 1; INSERT INTO items "
           "SELECT 99, position, example_id || "
           "'x', gold, NULL FROM items WHERE set_id = 1; UPDATE outcomes SET set_id = 99 WHERE run_id IN "
           "(SELECT "
           "id FROM runs WHERE method = 'svf')");
    pm_db_close(d);
    cJSON *j = report_json("paper");
    CHECK_EQ_STR(text_at(row(j, "paper", "svf", NULL), "t_acc_percent_note"), "");
    CHECK_NEAR(number(row(j, "paper", "svf", NULL), "t_acc_percent"), 50, 0);
    cJSON_Delete(j);
}

/* ---- words ----------------------------------------------------------------------------------------------------------------- */

static void wrong_words_are_named(void) {
    pm_db_close(make_db(false));
    refused("--kind papr", PM_EUSAGE, "no kind papr");
    refused("--format pdf", PM_EUSAGE, "no format pdf");
    refused("--sweep other", PM_EUSAGE, "no sweep other");
    refused("--task nothing", PM_EUSAGE, "nothing measured");
    refused("--table nothing", PM_EUSAGE, "no table nothing");
    refused("--metric bleu", PM_EUSAGE, "bleu");
    refused("--kind paper --metric ppl", PM_EUSAGE, "nothing measured");
    refused("--kind budget --task u", PM_EUSAGE, "nothing measured");
    refused("more", PM_EUSAGE, "too many");
    char *text = report_ok("--kind paper --table paper_details --format csv");
    CHECK_EQ_INT(strncmp(text, "method,task,metric,", 19), 0);
    free(text);
}

static void nothing_measured(void) {
    static const char *const kinds[] = {"paper", "leaderboard", "efficiency", "counts", "budget", "all"};
    pm_db *d;
    pm_err e = {0};
    char words[64];
    unlink(db_path);
    CHECK_OK(pm_db_open(db_path, &d, &e));
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            snprintf(words, sizeof words, "--kind %s", kinds[i]);
            refused(words, PM_EUSAGE, "nothing measured");
        }
        sql(d, "INSERT INTO runs (status, model, task, method, seed, config) VALUES ('running', 'm', 't', "
               "'lora', 0, '{}')");
    }
    pm_db_close(d);
    unlink(db_path);
    refused("--kind paper", PM_EDB, "No such file");
}

/* ---- anything at all --------------------------------------------------------------------------------------------------------- */

static const char *const hostile[] = {
    "NULL", "'NaN'", "'text'", "-1", "1e999", "9223372036854775807", "x'00ff'", "''", "0.5", "'\x1b[31m%s%n'",
};

static void copy_file(const char *from, const char *to) {
    static char bytes[4 << 20];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    if (!in || !out) abort();
    size_t n = fread(bytes, 1, sizeof bytes, in);
    CHECK(n < sizeof bytes);
    CHECK_EQ_INT(fwrite(bytes, 1, n, out), n);
    fclose(in);
    fclose(out);
}

/* Columns of the tables that reports read, as "table column"; the caller frees each. */
static int all_columns(char **out, int cap) {
    sqlite3_stmt *st = NULL;
    int n = 0;
    pm_db *d = make_db(false);
    sqlite3_prepare_v2(
        pm_db_handle(d),
        "SELECT 'UPDATE OR IGNORE ' || m.name || ' SET ' || p.name || ' = ' FROM sqlite_master m JOIN "
        "pragma_table_info(m.name) p WHERE m.type = 'table' AND p.name <> 'id' AND m.name IN ('runs', "
        "'metrics', 'item_sets', 'items', 'answers', 'outcomes', 'details', 'steps', 'phases', 'memory', "
        "'counters', 'checks', 'sweep_runs', "
        "'test_read_log')",
        -1, &st, NULL);
    while (n < cap && sqlite3_step(st) == SQLITE_ROW)
        out[n++] = strdup((const char *)sqlite3_column_text(st, 0));
    sqlite3_finalize(st);
    pm_db_close(d);
    copy_file(db_path, pristine);
    return n;
}

/* Whether the schema let the value in; the report says something or refuses, and sends no control characters to a terminal. */
static bool survives(const char *update, const char *value) {
    pm_err e = {0};
    pm_status s;
    pm_db *d;
    pm_buf change = {0};
    copy_file(pristine, db_path);
    CHECK_OK(pm_db_open(db_path, &d, &e));
    pm_buf_printf(&change, "PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF; %s%s", update, value);
    bool held = sqlite3_exec(pm_db_handle(d), change.p, NULL, NULL, NULL) == SQLITE_OK;
    pm_buf_free(&change);
    pm_db_close(d);
    char *text = report("--kind all --badge", &s, &e);
    CHECK(s == PM_OK || e.msg[0]);
    CHECK(!text || !strchr(text, '\x1b'));
    free(text);
    return held;
}

/* Every column of every table in turn holds each of these, where the schema lets it. */
static void hostile_values_do_not_crash(void) {
    char *update[256];
    int n = all_columns(update, 256), held = 0;
    CHECK(n > 40);
    for (int i = 0; i < n; i++) {
        for (size_t k = 0; k < sizeof hostile / sizeof *hostile; k++) held += survives(update[i], hostile[k]);
        free(update[i]);
    }
    CHECK(held > 200);
}

static void hostile_settings_do_not_crash(void) {
    static const char *const config[] = {"[]",
                                         "null",
                                         "7",
                                         "\"x\"",
                                         "{\"train.steps\":{}}",
                                         "{\"train.steps\":[1]}",
                                         "{\"optim.lr\":-1,\"train.batch\":-3}",
                                         "{\"a\":1e999}"};
    char text[160];
    for (size_t i = 0; i < sizeof config / sizeof *config; i++) {
        pm_err e = {0};
        pm_status s;
        pm_db *d = make_db(false);
        snprintf(text, sizeof text, "UPDATE runs SET config = '%s'", config[i]);
        sql(d, text);
        if (i % 2) sql(d, "DELETE FROM sweep_runs");
        pm_db_close(d);
        free(report("--kind all --badge", &s, &e));
        CHECK(s == PM_OK || e.msg[0]);
    }
}

int main(void) {
    if (!bench_open()) return 1;
    RUN(paper_has_means_counts_and_letters);
    RUN(clusters_widen_intervals);
    RUN(details_count_seeds_losses_and_test_reads);
    RUN(leaderboard_gives_places_and_gains);
    RUN(efficiency_reconciles);
    RUN(an_unknown_roofline_has_no_share);
    RUN(a_wrong_roofline_has_no_share);
    RUN(counts_compare_with_the_closed_form);
    RUN(budget_is_dodge_2019);
    RUN(same_rows_same_bytes);
    RUN(any_bytes_print_as_text);
    RUN(one_model_has_many_paths);
    RUN(titles_name_models_and_tasks);
    RUN(all_runs_without_a_sweep);
    RUN(settings_tell_rows_apart);
    RUN(latest_run_of_a_seed_counts);
    RUN(only_what_stayed_away_is_lost);
    RUN(intervals_of_shares_end_at_100);
    RUN(many_rows_are_compared);
    RUN(unlike_rows_are_refused_or_badged);
    RUN(one_run_of_a_row_may_be_odd);
    RUN(tuned_settings_may_differ);
    RUN(other_items_are_not_compared);
    RUN(wrong_words_are_named);
    RUN(nothing_measured);
    RUN(hostile_values_do_not_crash);
    RUN(hostile_settings_do_not_crash);
    return bench_close() ? check_done() : 1;
}
