/* test_known_answer.c - whole jobs on the real model whose answers transformers gave
 * (tests/golden/smollm2/expected.json, "train"; the accuracies were computed with transformers over all 1,000 questions).
 *
 * Full fine-tuning of SmolLM2-135M-Instruct on GSM8K's first 80 rows and the untuned model's accuracy on ARC-Easy. Both
 * take minutes: PEFTMETER_SLOW=1 runs all of them, otherwise the first three steps of training only. */
#include "check.h"
#include "evaluate.h"
#include "golden.h"
#include "train.h"

enum { ROWS = 80, FAST_STEPS = 3, QUESTIONS = 1000 };
#define EARLY_STEPS 5 /* of the first five steps the losses are within 1e-3, later 5e-3: rounding grows */
#define ACC 0.503
#define ACC_NORM 0.469
#define ACC_TOL 0.003

static pm_err e;
static const char *gguf, *data_dir;
static bool slow;

/* ---- training ---- */

typedef struct progress {
    const cJSON *want; /* the expected steps */
    int64_t tokens, label_tokens;
} progress;

static pm_status compare_step(void *ctx, const pm_step *got, pm_err *err) {
    progress *p = ctx;
    const cJSON *want = cJSON_GetArrayItem(p->want, got->step);
    double tol = got->step < EARLY_STEPS ? 1e-3 : 5e-3;
    CHECK_NEAR(got->loss, golden_num(want, "loss"), tol);
    CHECK_REL(got->grad_norm, golden_num(want, "grad_norm"), 2 * tol);
    p->tokens += got->tokens;
    p->label_tokens += got->label_tokens;
    if (!slow && got->step + 1 == FAST_STEPS) return pm_fail(err, PM_ECANCELLED, "enough for now");
    return PM_OK;
}

/* Without shuffling the task's first 80 rows are the file's. */
static void train_on_rows(const pm_config *c, pm_session *s, const cJSON *golden) {
    progress p = {.want = golden_get(golden, "steps")};
    pm_task *task = NULL;
    pm_split rows = {0};
    pm_plan plan = {0};
    CHECK_OK(pm_task_open("gsm8k", &task, &e));
    pm_task_opts o = {.data_dir = data_dir, .limit = ROWS};
    if (task) CHECK_OK(pm_task_load(task, "train", s->tok, &o, &rows, &e));
    CHECK_EQ_INT(rows.n, ROWS);
    if (rows.n) CHECK_OK(pm_plan_make(c, rows.n, &plan, &e));
    CHECK_EQ_INT(plan.n_steps, cJSON_GetArraySize(p.want));
    CHECK_EQ_INT(pm_train(s, c, &rows, &plan, compare_step, &p, &e), slow ? PM_OK : PM_ECANCELLED);
    if (slow) CHECK_EQ_INT(p.tokens, golden_num(golden, "tokens"));
    if (slow) CHECK_EQ_INT(p.label_tokens, golden_num(golden, "label_tokens"));
    pm_plan_free(&plan);
    pm_split_free(&rows);
    pm_task_close(task);
}

static void known_answer_training(void) {
    static const char *const SETTINGS[] = {
        "method=full",   "train.steps=10",          "train.batch=8",           "train.shuffle=false",
        "optim.lr=1e-4", "optim.schedule=constant", "optim.weight_decay=0.01", "optim.clip=0",
    };
    cJSON *golden = golden_json(GOLDEN "smollm2/expected.json");
    pm_config *c = pm_config_new();
    pm_session s;
    for (size_t i = 0; i < sizeof SETTINGS / sizeof *SETTINGS; i++)
        CHECK_OK(pm_config_set_pair(c, SETTINGS[i], &e));
    CHECK_OK(pm_session_open(c, gguf, NULL, &s, &e));
    if (s.model) train_on_rows(c, &s, golden_get(golden, "train"));
    pm_session_close(&s);
    pm_config_free(c);
    cJSON_Delete(golden);
}

/* ---- evaluation ---- */

static void compare_metric(const pm_metric *metrics, int n, const char *name, double want) {
    for (int i = 0; i < n; i++) {
        if (strcmp(metrics[i].name, name) != 0) continue;
        CHECK_NEAR(metrics[i].value, want, ACC_TOL);
        CHECK_EQ_INT(metrics[i].n, QUESTIONS);
        return;
    }
    CHECK_FAIL_("no metric %s", name);
}

static pm_status item_ignored(void *ctx, const pm_item *it, int done, int total, pm_err *err) {
    (void)ctx, (void)it, (void)done, (void)total, (void)err;
    return PM_OK;
}

static void known_answer_arc_easy(void) {
    pm_config *c = pm_config_new();
    pm_session s;
    pm_task *task = NULL;
    pm_split test = {0};
    pm_metric metrics[PM_METRICS_MAX];
    int n = 0;
    CHECK_OK(pm_session_open(c, gguf, NULL, &s, &e));
    CHECK_OK(pm_task_open("arc_easy", &task, &e));
    pm_task_opts o = {.data_dir = data_dir, .limit = QUESTIONS};
    if (s.model && task) CHECK_OK(pm_task_load(task, "test", s.tok, &o, &test, &e));
    if (test.n) CHECK_OK(pm_evaluate(&s, task, &test, metrics, &n, item_ignored, NULL, &e));
    compare_metric(metrics, n, "acc", ACC);
    compare_metric(metrics, n, "acc_norm", ACC_NORM);
    pm_split_free(&test);
    pm_task_close(task);
    pm_session_close(&s);
    pm_config_free(c);
}

int main(void) {
    gguf = getenv("PEFTMETER_TEST_GGUF");
    data_dir = getenv("PEFTMETER_TEST_DATA");
    slow = getenv("PEFTMETER_SLOW") != NULL;
    if (!gguf || !data_dir) {
        SKIP("known answers", "PEFTMETER_TEST_GGUF or PEFTMETER_TEST_DATA is not set");
        return check_done();
    }
    RUN(known_answer_training);
    if (slow)
        RUN(known_answer_arc_easy);
    else
        SKIP("known_answer_arc_easy", "takes minutes: PEFTMETER_SLOW=1 runs it");
    return check_done();
}
