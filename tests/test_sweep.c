/* test_sweep.c - plans, search spaces and the choice of a trial: what is decided before and after any run. */
#include "sweep.h"
#include "task.h"

#include "check.h"
#include <cjson/cJSON.h>
#include <stdlib.h>

#define PLAN(methods, more)                                                                                  \
    "{\"name\": \"p\", \"models\": [\"m\"], \"tasks\": [\"t\"], \"seeds\": [3, 1], \"config\": "             \
    "{\"train.steps\": 5},"                                                                                  \
    " \"methods\": [" methods "]" more "}"
#define RANDOM_LR "\"search\": {\"optim.lr\": {\"log_uniform\": [1e-5, 1e-1]}}"

static pm_sweep load(const char *text) {
    pm_sweep s;
    pm_err e = {0};
    CHECK_OK(pm_sweep_parse(text, "plan.json", &s, &e));
    if (e.code) fprintf(stderr, "  %s | %s\n", e.msg, e.hint);
    return s;
}

static void sweep_reads_a_plan(void) {
    pm_sweep s = load(PLAN(
        "\"full\", {\"method\": \"lora\", \"label\": \"small\", \"config\": {\"method\": {\"rank\": 4}}}",
        ", " RANDOM_LR ", \"tuning\": {\"trials\": 7, \"draw\": 9, \"metric\": \"acc_norm\"}"));
    CHECK_EQ_STR(s.name, "p");
    CHECK_EQ_INT(s.n_entries, 2);
    CHECK_EQ_STR(s.entries[0].label, "full");
    CHECK_EQ_STR(s.entries[1].label, "small");
    CHECK_EQ_INT(s.entries[1].n_spaces, 1); /* the common search */
    CHECK_EQ_INT(s.trials, 7);
    CHECK_EQ_INT(s.draw_seed, 9);
    CHECK_EQ_STR(s.metric, "acc_norm");
    CHECK_EQ_STR(s.final, "test");
    CHECK_EQ_INT(s.n_tuning_seeds, 1);
    CHECK_EQ_INT(s.tuning_seeds[0], 3);
    pm_sweep_free(&s);
}

/* The untuned model: the first row, nothing to tune, settings without a method. */
static void sweep_has_a_baseline(void) {
    pm_sweep s = load(PLAN("\"full\"", ", \"baseline\": true, " RANDOM_LR ", \"tuning\": {\"trials\": 3}"));
    pm_config *c, *again = pm_config_new();
    pm_err e = {0};
    CHECK_EQ_INT(s.n_entries, 2);
    CHECK_EQ_STR(s.entries[0].label, "untuned");
    CHECK(!s.entries[0].method && s.entries[0].n_spaces == 0);
    pm_sweep_run r = {&s.entries[0], "m", "t", "test", NULL, 3, true};
    CHECK_OK(pm_sweep_config(&s, &r, &c, &e));
    char *text = pm_config_json(c);
    CHECK_OK(pm_config_load_text(again, text, "row", &e)); /* a worker reads them back from its row */
    CHECK(!again->m);
    CHECK_EQ_STR(again->eval.split, "test");
    free(text);
    pm_config_free(again);
    pm_config_free(c);
    pm_sweep_free(&s);
}

static void sweep_makes_settings(void) {
    pm_sweep s = load(
        PLAN("{\"method\": \"lora\", \"config\": {\"method.rank\": 4, \"train\": {\"batch\": 2}, \"eval\": "
             "{\"probe\": \"tiny_text\"}}, \"search\": {\"optim.lr\": {\"grid\": [0.5]}}}",
             ", \"tuning\": {\"trials\": 1}"));
    pm_trials t;
    pm_config *c;
    pm_err e = {0};
    pm_trials_make(&s.entries[0], s.trials, 0, &t);
    pm_sweep_run r = {&s.entries[0], "m", "t", "validation", (const char(*)[PM_FIELD_STR])t.value[0], 11,
                      false};
    CHECK_OK(pm_sweep_config(&s, &r, &c, &e));
    CHECK_EQ_INT(c->seed, 11);
    CHECK_EQ_INT(c->threads, 1);
    CHECK_EQ_INT(c->train.steps, 5);
    CHECK_EQ_INT(c->train.batch, 2);
    CHECK(c->optim.lr == 0.5);
    CHECK_EQ_STR(c->eval.split, "validation");
    char *text = pm_config_json(c);
    CHECK(strstr(text, "\"method.rank\":4") != NULL);
    free(text);
    CHECK_EQ_STR(c->eval.probe, ""); /* nothing is chosen by it */
    pm_config_free(c);
    r.final = true;
    CHECK_OK(pm_sweep_config(&s, &r, &c, &e));
    CHECK_EQ_STR(c->eval.probe, "tiny_text");
    pm_config_free(c);
    pm_trials_free(&t);
    pm_sweep_free(&s);
}

typedef struct wrong {
    const char *plan, *says, *hint;
} wrong;

static void refuses(const wrong *w) {
    pm_sweep s;
    pm_err e = {0};
    pm_status rc = pm_sweep_parse(w->plan, "plan.json", &s, &e);
    if (rc != PM_EUSAGE || !strstr(e.msg, w->says) || !strstr(e.hint, w->hint) || !e.hint[0])
        CHECK_FAIL_("%s: %d \"%s\" | \"%s\"", w->plan, rc, e.msg, e.hint);
}

static void sweep_refuses_wrong_plans(void) {
    static const wrong bad[] = {
        {"{\"nam\": \"p\"}", "unknown key \"nam\"", "did you mean \"name\""},
        {"[]", "not a JSON object", "docs/sweep.md"},
        {PLAN("\"lroa\"", ""), "there is no method \"lroa\"", "did you mean lora"},
        {PLAN("\"lora\", \"lora\"", ""), "two are called lora", "label"},
        {PLAN("{\"method\": \"lora\", \"serach\": {}}", ""), "unknown key \"serach\"",
         "did you mean \"search\""},
        {PLAN("{\"method\": \"svf\", \"search\": {\"method.rank\": {\"grid\": [1]}}}",
              ", \"tuning\": {\"trials\": 1}"),
         "svf: method.rank: no such setting", ""},
        {PLAN("\"full\"", ", " RANDOM_LR), "no budget", "docs/sweep.md"},
        {PLAN("\"full\"", ", \"tuning\": {\"trials\": 1, \"metric\": \"forgetting\"}"),
         "tuning.metric forgetting is of the forgetting probe", "docs/sweep.md"},
        {PLAN("{\"method\": \"lora\", \"config\": {\"eval.probe\": \"tiny_facts\"}}", ""),
         "lora: eval.probe: tiny_facts is of kind choice", "tiny_text"},
        {PLAN("\"full\"",
              ", \"search\": {\"optim.lr\": {\"log_uniform\": [0, 1]}}, \"tuning\": {\"trials\": 1}"),
         "log_uniform starts above 0", ""},
        {PLAN("\"full\"", ", \"search\": {\"optim.lr\": {\"grid\": [0.1, -1]}}, \"tuning\": {\"trials\": 1}"),
         "full: optim.lr: \"-1\" is out of range", "expected a number"},
        {PLAN("\"full\"",
              ", \"search\": {\"optim.lr\": {\"uniform\": [0.1, 1e9]}}, \"tuning\": {\"trials\": 1}"),
         "is out of range", ""},
        {PLAN("\"full\"", ", \"search\": {\"seed\": {\"grid\": [1]}}, \"tuning\": {\"trials\": 1}"),
         "the plan itself", ""},
        {PLAN("\"full\"",
              ", \"search\": {\"eval.split\": {\"grid\": [\"test\"]}}, \"tuning\": {\"trials\": 1}"),
         "the plan itself", ""},
        {PLAN("{\"method\": \"full\", \"config\": {\"eval\": {\"split\": \"test\"}}}", ""),
         "validation data only", ""},
        {PLAN("{\"method\": \"full\", \"config\": {\"optim.lr\": 1}, \"search\": {\"optim.lr\": {\"grid\": "
              "[1]}}}",
              ", \"tuning\": {\"trials\": 1}"),
         "both fixes and searches optim.lr", ""},
        {PLAN("\"full\"", ", \"tuning\": {\"metric\": \"acc_nrm\"}"), "no metric", "did you mean acc_norm"},
        {PLAN("\"full\"", ", \"tuning\": {\"trials\": 2, \"flops\": 3}"), "not both", ""},
        {PLAN("{\"method\": \"lora\", \"config\": {\"method\": {\"rank\": 4}}}",
              ", \"match\": {\"trainable_params\": 9}"),
         "which \"match\" decides", ""},
        {PLAN("\"full\"", ", \"match\": {\"trainable_params\": 0.5}"), "a whole number", ""},
        {PLAN("\"full\"", ", \"final\": \"tset\""), "neither \"test\" nor", ""},
        {PLAN("\"full\"", ", \"baseline\": 1"), "neither true nor false", ""},
        {PLAN("\"full\"",
              ", \"search\": {\"optim.lr\": {\"grid\": [1e-3, 0.01, 0.001]}}, \"tuning\": {\"trials\": 3}"),
         "optim.lr has 0.001 twice", ""},
        {PLAN("{\"method\": \"full\", \"label\": \"untuned\"}", ", \"baseline\": true"),
         "two are called untuned", ""},
        {PLAN("{\"method\": \"full\", \"config\": {\"train.steps\": 0, \"train.epochs\": 0}}", ""),
         "full: train.steps and train.epochs", ""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refuses(&bad[i]);
}

static void sweep_refuses_keys_twice_and_odd_labels(void) {
    static const wrong bad[] = {
        {PLAN("\"full\"", ", \"final\": \"test\", \"final\": \"validation\""), "\"final\" is there twice",
         ""},
        {PLAN("{\"method\": \"full\", \"label\": \"\"}", ""), "not one line", ""},
        {PLAN("{\"method\": \"full\", \"label\": 3}", ""), "not one line", ""},
        {PLAN("{\"method\": \"full\", \"label\": \"two\\nlines\"}", ""), "not one line", ""},
        {PLAN("{\"method\": \"full\", \"label\": "
              "\"0123456789012345678901234567890123456789012345678901234567890123\"}",
              ""),
         "at most 63 bytes", ""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refuses(&bad[i]);
}

static pm_entry grid_entry(int a, int b) {
    static char values[2][4][PM_FIELD_STR] = {{"a0", "a1", "a2", "a3"}, {"b0", "b1", "b2", "b3"}};
    pm_entry x = {.label = "x", .n_spaces = 2};
    x.space[0] = (pm_space){.key = "a", .grid = values[0], .n = a};
    x.space[1] = (pm_space){.key = "b", .grid = values[1], .n = b};
    return x;
}

static void trials_lay_out_a_grid(void) {
    pm_entry x = grid_entry(2, 3);
    pm_trials t;
    pm_trials_make(&x, 6, 0, &t);
    CHECK_EQ_INT(t.n, 6);
    CHECK_EQ_STR(t.value[0][0], "a0");
    CHECK_EQ_STR(t.value[1][1], "b1"); /* the last key is the fastest */
    CHECK_EQ_STR(t.value[5][0], "a1");
    CHECK_EQ_STR(t.value[5][1], "b2");
    pm_trials_free(&t);
}

static bool same_trial(const pm_trials *a, int i, const pm_trials *b, int j, int n_spaces) {
    for (int k = 0; k < n_spaces; k++)
        if (strcmp(a->value[i][k], b->value[j][k]) != 0) return false;
    return true;
}

/* All different; the first of a larger budget are those of a smaller one; another seed draws others. */
static void check_draws(const pm_entry *x, int few, int many) {
    pm_trials a, b, other;
    int same = 0;
    pm_trials_make(x, few, 5, &a);
    pm_trials_make(x, many, 5, &b);
    pm_trials_make(x, many, 6, &other);
    CHECK_EQ_INT(a.n, few);
    CHECK_EQ_INT(b.n, many);
    for (int i = 0; i < few; i++) CHECK(same_trial(&a, i, &b, i, x->n_spaces));
    for (int i = 0; i < many; i++) {
        same += same_trial(&b, i, &other, i, x->n_spaces);
        for (int j = 0; j < i; j++) CHECK(!same_trial(&b, i, &b, j, x->n_spaces));
    }
    CHECK(same < many);
    pm_trials_free(&a);
    pm_trials_free(&b);
    pm_trials_free(&other);
}

static void trials_draw_from_a_grid(void) {
    pm_entry x = grid_entry(4, 4);
    check_draws(&x, 3, 9);
}

static void trials_draw_from_intervals(void) {
    pm_entry x = {.label = "x", .n_spaces = 2};
    x.space[0] = (pm_space){.key = "lr", .kind = PM_LOG_UNIFORM, .low = 1e-5, .high = 1e-1};
    x.space[1] = (pm_space){.key = "rank", .kind = PM_UNIFORM, .low = 1, .high = 8, .whole = true};
    check_draws(&x, 10, 400);
    pm_trials t;
    int below = 0, whole[9] = {0};
    pm_trials_make(&x, 400, 1, &t);
    for (int i = 0; i < t.n; i++) {
        double lr = strtod(t.value[i][0], NULL);
        CHECK(lr >= 1e-5 && lr <= 1e-1 && strlen(t.value[i][0]) < 10);
        below += lr < 1e-3; /* the middle of the logarithms */
        long rank = strtol(t.value[i][1], NULL, 10);
        CHECK(rank >= 1 && rank <= 8);
        whole[rank]++;
    }
    CHECK(below > 150 && below < 250); /* 5 standard deviations */
    for (int r = 2; r < 8; r++) CHECK(whole[r] > 20);
    pm_trials_free(&t);
}

/* Fewer settings than the budget has trials: no endless search for new ones. */
static void trials_end_when_all_are_drawn(void) {
    pm_entry x = {.label = "x", .n_spaces = 1};
    x.space[0] = (pm_space){.key = "rank", .kind = PM_UNIFORM, .low = 1, .high = 3, .whole = true};
    pm_trials t;
    pm_trials_make(&x, 50, 1, &t);
    CHECK_EQ_INT(t.n, 3);
    pm_trials_free(&t);
    x.n_spaces = 0;
    pm_trials_make(&x, 50, 1, &t);
    CHECK_EQ_INT(t.n, 1);
    pm_trials_free(&t);
}

static void sweep_chooses(void) {
    const double nan_ = (double)NAN, acc[] = {0.5, nan_, 0.7, 0.7, 0.6}, none[] = {nan_, nan_};
    bool up = false;
    pm_err e = {0};
    CHECK_EQ_INT(pm_choose(acc, 5, true), 2);
    CHECK_EQ_INT(pm_choose(acc, 5, false), 0);
    CHECK_EQ_INT(pm_choose(none, 2, true), -1);
    CHECK_OK(pm_metric_direction("exact_match", &up, &e));
    CHECK(up);
    CHECK_OK(pm_metric_direction("forgetting", &up, &e));
    CHECK(!up);
    CHECK_OK(pm_metric_direction("nll", &up, &e));
    CHECK(!up);
}

/* c for a method, with settings beforehand as KEY=VALUE or NULL. */
static pm_matched match(const char *model, const char *method, const char *key, const char *value,
                        int64_t want, pm_config *c) {
    pm_shape shape;
    pm_matched m;
    pm_err e = {0};
    CHECK_OK(pm_shape_open(model, &shape, &e));
    CHECK_OK(pm_config_set(c, "method", method, &e));
    if (key) CHECK_OK(pm_config_set(c, key, value, &e));
    CHECK_OK(pm_match(&shape, c, want, &m, &e));
    if (c->m->n_params(&shape.cfg, c->mcfg) != m.trainable && strcmp(method, "full") != 0)
        CHECK_FAIL_("%s: %s is not what was set", method, m.setting);
    CHECK_EQ_INT(m.near, fabs((double)m.trainable / (double)want - 1) <= 0.05);
    return m;
}

static void check_neighbours(pm_config *c, const pm_matched *m, int64_t want) {
    pm_shape shape;
    pm_err e = {0};
    CHECK_OK(pm_shape_open("smollm2-135m", &shape, &e));
    long rank = strtol(m->setting + strlen("method.rank="), NULL, 10);
    CHECK(strncmp(m->setting, "method.rank=", 12) == 0 && rank >= 1);
    for (long r = rank > 1 ? rank - 1 : 1; r <= rank + 1; r++) {
        char value[32];
        snprintf(value, sizeof value, "%ld", r);
        CHECK_OK(pm_config_set(c, "method.rank", value, &e));
        CHECK(llabs(c->m->n_params(&shape.cfg, c->mcfg) - want) >= llabs(m->trainable - want));
    }
}

/* No other rank is nearer. Where the rank alone comes near nothing else is turned. */
static void match_finds_the_nearest(void) {
    static const char *const method[] = {"lora", "dora", "wegeft", "loreft", "direft"};
    static const int64_t want[] = {500000, 5000000};
    for (size_t i = 0; i < 2 * sizeof method / sizeof *method; i++) {
        pm_config *c = pm_config_new();
        pm_matched m = match("smollm2-135m", method[i / 2], NULL, NULL, want[i % 2], c);
        CHECK(m.near);
        if (want[i % 2] == 5000000) CHECK(!strchr(m.setting, ' '));
        check_neighbours(c, &m, want[i % 2]);
        pm_config_free(c);
    }
}

/* Rank 1 everywhere is too much: ReFT edits fewer blocks, spread over the model, LoRA fewer projections, as many as come near. */
static void match_turns_a_second_setting(void) {
    pm_config *c = pm_config_new();
    pm_matched m =
        match("smollm2-135m", "loreft", NULL, NULL, 5 * (2 * 576 + 1), c); /* one block: 2 x 576 + 1 */
    CHECK_EQ_STR(m.setting, "method.rank=1 method.layers=3,9,15,21,27");
    CHECK_EQ_INT(m.trainable, 5 * (2 * 576 + 1));
    m = match("smollm2-135m", "lora", NULL, NULL, 30 * (576 + 192 + 576 + 576), c); /* k and one of q, o */
    CHECK(strstr(m.setting, "method.rank=1 method.targets=") == m.setting && strstr(m.setting, "k_proj"));
    CHECK(m.near);
    pm_config_free(c);
}

/* A plan that says which blocks or projections has its way, and is told what that comes to. */
static void match_keeps_what_the_plan_chose(void) {
    pm_config *c = pm_config_new();
    pm_matched m = match("smollm2-135m", "loreft", "method.layers", "0,1,2", 1000, c);
    CHECK_EQ_STR(m.setting, "method.rank=1");
    CHECK(!m.near && m.trainable == 3 * (2 * 576 + 1));
    pm_config_free(c);
    c = pm_config_new();
    m = match("smollm2-135m", "lora", "method.targets", "q_proj,v_proj", 1000, c);
    CHECK_EQ_STR(m.setting, "method.rank=1");
    CHECK(!m.near);
    pm_config_free(c);
}

static void match_turns_targets_or_nothing(void) {
    pm_config *c = pm_config_new();
    pm_matched m =
        match("smollm2-135m", "svf", NULL, NULL, 30 * (576 + 192), c); /* 30 layers; ranks 576 and 192 */
    CHECK_EQ_INT(m.trainable, 30 * (576 + 192));
    CHECK(strncmp(m.setting, "method.targets=", 15) == 0);
    pm_config_free(c);
    c = pm_config_new();
    m = match("smollm2-135m", "svf", NULL, NULL, 500000, c); /* all it has, and not enough */
    CHECK_EQ_INT(m.trainable, 30 * (5 * 576 + 2 * 192));
    CHECK(!m.near);
    m = match("smollm2-135m", "full", NULL, NULL, 500000, c);
    CHECK_EQ_STR(m.setting, "");
    CHECK_EQ_INT(m.trainable, 134515008);
    pm_config_free(c);
}

/* Last: there is no way back. */
static void lock_keeps_test_data_away(void) {
    pm_err e = {0};
    pm_task *t;
    pm_split split;
    pm_task_opts o = {.data_dir = "."};
    CHECK_OK(pm_task_open("tests/golden/train/rows.jsonl", &t, &e));
    CHECK(!pm_test_locked());
    CHECK_EQ_INT(pm_task_load(t, "test", NULL, &o, &split, &e), PM_EUSAGE); /* a bare file has none */
    pm_test_lock();
    CHECK_EQ_INT(pm_task_load(t, "test", NULL, &o, &split, &e), PM_ELOCKED);
    CHECK(strstr(e.msg, "test data is locked") && e.hint[0]);
    CHECK_OK(pm_task_load(t, "train", NULL, &o, &split, &e));
    CHECK_EQ_INT(split.n, 96);
    pm_split_free(&split);
    CHECK_EQ_INT(pm_task_load(t, "test", NULL, &o, &split, &e), PM_ELOCKED);
    pm_task_close(t);
}

int main(void) {
    RUN(sweep_reads_a_plan);
    RUN(sweep_has_a_baseline);
    RUN(sweep_makes_settings);
    RUN(sweep_refuses_wrong_plans);
    RUN(sweep_refuses_keys_twice_and_odd_labels);
    RUN(trials_lay_out_a_grid);
    RUN(trials_draw_from_a_grid);
    RUN(trials_draw_from_intervals);
    RUN(trials_end_when_all_are_drawn);
    RUN(sweep_chooses);
    RUN(match_finds_the_nearest);
    RUN(match_turns_a_second_setting);
    RUN(match_keeps_what_the_plan_chose);
    RUN(match_turns_targets_or_nothing);
    RUN(lock_keeps_test_data_away);
    return check_done();
}
