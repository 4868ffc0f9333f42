/* test_golden.c - the core and the methods compute what transformers, PEFT and torch compute (tests/golden, written by its make_*.py).
 *
 * Logits: tiny random models, six sequences as one ragged batch, within 2e-5 (the reference's own fp32 rounding: 5e-6).
 * Training: twelve AdamW steps, loss and gradient norm within 2e-5 (the reference's own, fp32 against fp64: up to 3e-6),
 * trainable counts equal, adapters read from the reference's files and ending where they end. All of it with 1 and 2 threads. */
#include "adapter_config.h"
#include "check.h"
#include "golden.h"
#include "train.h"

#define LOGIT_TOL 2e-5
#define STEP_TOL 2e-5
/* Final weights, in units of the learning rate: Adam divides a gradient by its own size, so an element whose gradient is
 * rounding noise moves by a part of lr either way (the reference in fp32 against fp64: up to 5e-4 lr for LoRA). */
#define WEIGHT_TOL_LR 0.02
#define NORM_TOL 1e-4 /* L2 norms of whole parameters, relative */

static pm_err e;
static const char *backend;
static int threads;

/* Settings for this round of the main loop; the caller frees them. */
static pm_config *config_new(void) {
    char text[16];
    pm_config *c = pm_config_new();
    snprintf(text, sizeof text, "%d", threads);
    CHECK_OK(pm_config_set(c, "threads", text, &e));
    CHECK_OK(pm_config_set(c, "backend", backend, &e));
    return c;
}

/* ---- logits ---- */

/* Every row of every sequence is scored against the token `target` tells of it. */
static void fill_batch(pm_batch *b, const cJSON *sequences, int V) {
    const cJSON *sequence;
    cJSON_ArrayForEach(sequence, sequences) {
        int n;
        int32_t *ids = golden_ids(sequence, &n);
        int s = pm_batch_add(b, ids, n, -1, 0, 0);
        for (int i = 0; i < n; i++) pm_batch_score(b, b->start[s] + i, (7 * i + 3) % V);
        free(ids);
    }
}

/* log softmax of a row of V logits at `target`. */
static double log_softmax(const float *row, int V, int target) {
    double max = (double)row[0], sum = 0;
    for (int i = 1; i < V; i++) max = fmax(max, (double)row[i]);
    for (int i = 0; i < V; i++) sum += exp((double)row[i] - max);
    return (double)row[target] - max - log(sum);
}

static double worst_logit(const pm_tensor *got, const float *want) {
    double worst = 0;
    for (int64_t i = 0; i < got->rows * got->cols; i++) {
        double d = fabs((double)got->data[i] - (double)want[i]);
        worst = isfinite(d) ? fmax(worst, d) : (double)INFINITY;
    }
    return worst;
}

/* The scoring path never forms the logits: its log-probabilities and best tokens follow from the same numbers. */
static void compare_scores(pm_session *s, const pm_tensor *h, const float *want, int V) {
    double *logp = malloc(sizeof *logp * (size_t)h->rows);
    int32_t *best = malloc(sizeof *best * (size_t)h->rows);
    PM_ASSERT(logp && best, "out of memory");
    pm_lm_score(&s->tape, h, s->model->head, s->batch.target, logp, best);
    for (int64_t i = 0; i < h->rows; i++) {
        const float *row = want + i * V;
        CHECK_NEAR(logp[i], log_softmax(row, V, s->batch.target[i]), 2 * LOGIT_TOL);
        for (int v = 0; v < V; v++) CHECK((double)row[v] <= (double)row[best[i]] + 2 * LOGIT_TOL);
    }
    free(logp), free(best);
}

static void compare_logits(const char *name) {
    char dir[128], path[160];
    size_t n_bytes;
    snprintf(dir, sizeof dir, GOLDEN "models/%s", name);
    snprintf(path, sizeof path, "%s/logits.json", dir);
    cJSON *index = golden_json(path);
    snprintf(path, sizeof path, "%s/logits.bin", dir);
    char *bytes = golden_read(path, &n_bytes);
    const float *want = (const float *)(const void *)bytes;
    int V = (int)golden_num(index, "vocab");
    pm_config *c = config_new();
    pm_session s;
    CHECK_OK(pm_session_open(c, dir, NULL, &s, &e));
    if (s.model) {
        fill_batch(&s.batch, golden_get(index, "sequences"), V);
        pm_tensor *h = pm_session_forward(&s, &s.batch, false, false);
        CHECK_EQ_INT((long long)sizeof(float) * h->rows * s.model->cfg.V, n_bytes);
        CHECK_NEAR(worst_logit(pm_linear_param(&s.tape, h, s.model->head, NULL), want), 0, LOGIT_TOL);
        compare_scores(&s, h, want, V);
    }
    pm_session_close(&s);
    pm_config_free(c);
    free(bytes), cJSON_Delete(index);
}

/* ---- training ---- */

/* The case's settings; the method goes first, for its own keys need it. */
static pm_config *config_of(const cJSON *settings) {
    pm_config *c = config_new();
    CHECK_OK(pm_config_set(c, "method", golden_str(settings, "method"), &e));
    const cJSON *v;
    cJSON_ArrayForEach(v, settings) {
        char *text = cJSON_IsString(v) ? NULL : cJSON_PrintUnformatted(v);
        CHECK_OK(pm_config_set(c, v->string, text ? text : v->valuestring, &e));
        free(text);
    }
    return c;
}

/* ctx: the array of expected steps. */
static pm_status compare_step(void *ctx, const pm_step *got, pm_err *err) {
    (void)err;
    const cJSON *want = cJSON_GetArrayItem(ctx, got->step);
    PM_ASSERT(want, "step %d is one too many", got->step);
    CHECK_REL(got->loss, golden_num(want, "loss"), STEP_TOL);
    CHECK_REL(got->grad_norm, golden_num(want, "grad_norm"), STEP_TOL);
    CHECK_NEAR(got->lr, golden_num(want, "lr"), 1e-12);
    CHECK_EQ_INT(got->tokens, golden_num(want, "tokens"));
    CHECK_EQ_INT(got->label_tokens, golden_num(want, "label_tokens"));
    return PM_OK;
}

/* Every tensor of the adapter the reference ended with is one of ours, with the same numbers. */
static void compare_adapter(const pm_params *ours, double lr, const char *dir) {
    char path[320];
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", dir);
    pm_safetensors *st = NULL;
    CHECK_OK(pm_safetensors_open(path, &st, &e));
    if (!st) return;
    CHECK_EQ_INT(pm_safetensors_count(st), ours->n);
    for (int i = 0; i < ours->n; i++) {
        char name[256];
        snprintf(name, sizeof name, "base_model.model.%s", ours->p[i]->name);
        const pm_tensor_info *t = pm_safetensors_find(st, name);
        if (!t) CHECK_FAIL_("the reference has no %s", name);
        const real *w = pm_param_stored(ours->p[i]);
        double worst = 0;
        for (int64_t k = 0; t && k < ours->p[i]->rows * ours->p[i]->cols; k++)
            worst = fmax(worst, fabs((double)w[k] - (double)((const float *)t->data)[k]));
        CHECK_NEAR(worst, 0, WEIGHT_TOL_LR * lr);
    }
    pm_safetensors_close(st);
}

/* Full fine-tuning: the L2 norm of every parameter. */
static void compare_norms(const pm_model *m, const cJSON *norms) {
    const cJSON *want;
    cJSON_ArrayForEach(want, norms) {
        const pm_param *p = pm_model_param(m, want->string);
        if (!p) CHECK_FAIL_("no parameter %s", want->string);
        double sum = 0;
        for (int64_t i = 0; p && i < p->rows * p->cols; i++) sum += (double)p->w[i] * (double)p->w[i];
        CHECK_REL(sqrt(sum), want->valuedouble, NORM_TOL);
    }
}

static void train_and_compare(const cJSON *golden, const pm_config *c, pm_session *s, const pm_split *rows) {
    const cJSON *steps = golden_get(golden, "steps");
    pm_plan plan;
    CHECK_EQ_INT(pm_params_count(&s->run.params), golden_num(golden, "trainable_params"));
    CHECK_EQ_INT(c->m->n_params(&s->model->cfg, c->mcfg), golden_num(golden, "trainable_params"));
    CHECK_OK(pm_plan_make(c, rows->n, &plan, &e));
    CHECK_EQ_INT(plan.n_steps, cJSON_GetArraySize(steps));
    CHECK_OK(pm_train(s, c, rows, &plan, compare_step, (void *)(uintptr_t)steps, &e));
    pm_plan_free(&plan);
    char dir[256];
    const char *after = golden_str(golden, "adapter_out");
    snprintf(dir, sizeof dir, GOLDEN "%s", after ? after : "");
    if (after)
        compare_adapter(&s->run.params, c->optim.lr, dir);
    else
        compare_norms(s->model, golden_get(golden, "end_norms"));
}

/* adapter_config.json names the case's method and settings: both are compared as this program would write them. */
static void compare_settings(const pm_config *c, const char *dir) {
    pm_config *read = pm_config_new();
    CHECK_OK(pm_config_from_adapter(read, dir, &e));
    if (read->m) {
        char *got = pm_adapter_config_text(read->m, read->mcfg, NULL),
             *want = pm_adapter_config_text(c->m, c->mcfg, NULL);
        CHECK_EQ_STR(got, want);
        free(got), free(want);
    }
    pm_config_free(read);
}

static void compare_training(const char *name) {
    char path[128], model[128], adapter[256], task_path[128];
    snprintf(path, sizeof path, GOLDEN "train/%s.json", name);
    cJSON *golden = golden_json(path);
    const char *start = golden_str(golden, "adapter_in");
    snprintf(model, sizeof model, GOLDEN "%s", golden_str(golden, "model"));
    snprintf(adapter, sizeof adapter, GOLDEN "%s", start ? start : "");
    snprintf(task_path, sizeof task_path, GOLDEN "%s", golden_str(golden, "task"));
    pm_config *c = config_of(golden_get(golden, "config"));
    if (start) compare_settings(c, adapter);
    pm_task *task = NULL;
    pm_split rows = {0};
    pm_session s;
    CHECK_OK(pm_task_open(task_path, &task, &e));
    if (task) CHECK_OK(pm_task_load(task, "train", NULL, &(pm_task_opts){0}, &rows, &e));
    CHECK_OK(pm_session_open(c, model, start ? adapter : NULL, &s, &e));
    if (s.model && rows.n) train_and_compare(golden, c, &s, &rows);
    pm_session_close(&s);
    pm_split_free(&rows);
    pm_task_close(task);
    pm_config_free(c);
    cJSON_Delete(golden);
}

/* ---- which ---- */

static const char *const MODELS[] = {"llama_tied", "llama_untied", "qwen2", NULL};
static const char *const CASES[] = {
    "full_llama_tied", "full_llama_untied",
    "full_qwen2",      "full_scheduled",
    "full_accum",      "lora_all",
    "lora_qv_rslora",  "lora_nonzero_b",
    "lora_scheduled",  "lora_cosine_accum",
    "dora_all",        "dora_qkvud",
    "dora_qwen2",      "svf_paper",
    "svf_release",     "svf_dense",
    "wegeft_shared",   "wegeft_layers",
    "loreft_tied",     "loreft_untied",
    "loreft_layers",   "direft_tied",
    "direft_untied",   "ia3_default",
    "ia3_qwen2",       NULL,
};

/* The backend that `auto` does not take gets a sample: it differs in its products only. */
static const char *const SOME_MODELS[] = {"llama_untied", NULL};
static const char *const SOME_CASES[] = {"full_qwen2", "lora_all", NULL};

static void run(const char *const *models, const char *const *cases) {
    for (; *models; models++) RUN_AS(*models, compare_logits(*models));
    for (; *cases; cases++) RUN_AS(*cases, compare_training(*cases));
}

static void run_other(const pm_backend_info *b) {
    if (strcmp(b->name, backend) == 0) return;
    if (!b->available) {
        SKIP(b->name, "not in this build");
        return;
    }
    backend = b->name;
    for (threads = 1; threads <= 2; threads++) run(SOME_MODELS, SOME_CASES);
}

static void remove_folder(const char *folder) {
    char command[256];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    PM_ASSERT(system(command) == 0, "cannot remove %s", folder);
}

int main(void) {
    char cache[] =
        P_tmpdir "/peftmeter_test_XXXXXX"; /* what svf keeps there is computed once and then found */
    PM_ASSERT(mkdtemp(cache) && !setenv("PEFTMETER_CACHE", cache, 1), "cannot make %s", cache);
    pm_backend_info info[4];
    int n = pm_gemm_list(info, 4);
    PM_ASSERT(pm_gemm_init("auto", 1, &e) == PM_OK, "%s", e.msg);
    const char *first = backend = pm_gemm_backend();
    for (threads = 1; threads <= 2; threads++) run(MODELS, CASES);
    for (int i = 0; i < n; i++, backend = first) run_other(&info[i]);
    remove_folder(cache);
    return check_done();
}
