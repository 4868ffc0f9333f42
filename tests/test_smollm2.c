/* test_smollm2.c - the real SmolLM2-135M-Instruct, from its GGUF file, says what transformers says with it
 * (tests/golden/smollm2/expected.json).
 *
 * PEFTMETER_TEST_GGUF names the file, PEFTMETER_TEST_DATA the folder of fetched data (tests/run.sh sets both from the
 * cache); without them this SKIPs. The log-probability of a prompt is held to 2e-3 nats; greedy choices in the file lead
 * by ten times that. */
#include "check.h"
#include "evaluate.h"
#include "fetch.h"
#include "generate.h"
#include "golden.h"

#define LOGP_TOL 2e-3

static pm_err e;
static pm_session s;
static cJSON *golden;
static const char *gguf, *data_dir;

/* Special tokens in a prompt are written out and stand for themselves, as in the reference. */
static pm_ids encode(const char *text) {
    pm_ids ids = {0};
    CHECK_OK(pm_tokenizer_encode(s.tok, text, strlen(text), PM_TOK_SPECIAL, &ids, &e));
    return ids;
}

/* ---- the 20 prompts ---- */

static void smollm2_encodes_prompts(void) {
    const cJSON *p;
    cJSON_ArrayForEach(p, golden_get(golden, "prompts")) {
        int n;
        int32_t *want = golden_ids(golden_get(p, "ids"), &n);
        pm_ids got = encode(golden_str(p, "text"));
        CHECK_EQ_INT(got.n, n);
        for (int i = 0; i < n && i < got.n; i++) CHECK_EQ_INT(got.id[i], want[i]);
        char *back = pm_tokenizer_decode(s.tok, want, n, false, NULL);
        CHECK_EQ_STR(back, golden_str(p, "text"));
        free(back), free(want), pm_ids_free(&got);
    }
}

static void compare_prompt(const cJSON *prompt, const double *logp) {
    double sum = 0, want_sum = 0;
    const cJSON *want;
    cJSON_ArrayForEach(want, golden_get(prompt, "logprobs")) {
        CHECK_NEAR(*logp, want->valuedouble, LOGP_TOL);
        sum += *logp++;
        want_sum += want->valuedouble;
    }
    CHECK_NEAR(sum, want_sum, LOGP_TOL);
}

/* All prompts as one ragged batch, every token but the first scored. */
static void smollm2_scores_prompts(void) {
    const cJSON *prompts = golden_get(golden, "prompts"), *p;
    CHECK_EQ_INT(cJSON_GetArraySize(prompts), 20);
    pm_batch_clear(&s.batch);
    cJSON_ArrayForEach(p, prompts) {
        int n;
        int32_t *ids = golden_ids(golden_get(p, "ids"), &n);
        int seq = pm_batch_add(&s.batch, ids, n, -1, 0, 0);
        for (int i = 1; i < n; i++) pm_batch_score(&s.batch, s.batch.start[seq] + i - 1, ids[i]);
        free(ids);
    }
    pm_tensor *h = pm_session_forward(&s, &s.batch, false, false);
    double *logp = malloc(sizeof *logp * (size_t)s.batch.n_scored), *at = logp;
    PM_ASSERT(logp, "out of memory");
    pm_lm_score(&s.tape, h, s.model->head, s.batch.target, logp, NULL);
    cJSON_ArrayForEach(p, prompts) {
        compare_prompt(p, at);
        at += cJSON_GetArraySize(golden_get(p, "logprobs"));
    }
    CHECK_EQ_INT(at - logp, s.batch.n_scored);
    free(logp);
}

/* ---- greedy generation ---- */

/* The reference went on past <eos>; generation ends with it. */
static int until_eos(const int32_t *ids, int n) {
    for (int i = 0; i < n; i++)
        if (ids[i] == pm_tokenizer_eos(s.tok)) return i + 1;
    return n;
}

/* All prompts at once, so that they also take turns in the cache. */
static void smollm2_generates_greedily(void) {
    enum { MAX_PROMPTS = 16 };
    const cJSON *cases = golden_get(golden, "greedy"), *g;
    pm_prompt prompts[MAX_PROMPTS];
    pm_ids in[MAX_PROMPTS], out[MAX_PROMPTS] = {{0}};
    int n = 0, n_full = 0, max_new = 0;
    cJSON_ArrayForEach(g, cases) {
        PM_ASSERT(n < MAX_PROMPTS, "more than %d greedy prompts", MAX_PROMPTS);
        in[n] = encode(golden_str(g, "text"));
        prompts[n] = (pm_prompt){in[n].id, (int)in[n].n};
        max_new = cJSON_GetArraySize(golden_get(g, "tokens"));
        n++;
    }
    CHECK_EQ_INT(max_new, 32);
    pm_generate_ids(&s, prompts, n, max_new, out);
    for (int i = 0; i < n; i++) {
        int n_want;
        int32_t *want = golden_ids(golden_get(cJSON_GetArrayItem(cases, i), "tokens"), &n_want);
        n_want = until_eos(want, n_want);
        n_full += n_want == max_new;
        CHECK_EQ_INT(out[i].n, n_want);
        for (int k = 0; k < n_want && k < out[i].n; k++) CHECK_EQ_INT(out[i].id[k], want[k]);
        free(want), pm_ids_free(&in[i]), pm_ids_free(&out[i]);
    }
    CHECK(n_full >= 4); /* most must run their whole length */
}

/* ---- questions ---- */

static void compare_questions(const pm_split *test, const cJSON *want) {
    int n = cJSON_GetArraySize(want), n_options = 0, at = 0;
    CHECK_EQ_INT(test->n, n);
    for (int i = 0; i < test->n; i++) n_options += test->ex[i].n_choices;
    double *logp = malloc(sizeof *logp * (size_t)(n_options ? n_options : 1));
    PM_ASSERT(logp, "out of memory");
    pm_score_choices(&s, test->ex, test->n, logp);
    for (int i = 0; i < n && i < test->n; i++) {
        const cJSON *options = cJSON_GetArrayItem(want, i);
        CHECK_EQ_INT(test->ex[i].n_choices, cJSON_GetArraySize(options));
        for (int k = 0; k < test->ex[i].n_choices; k++, at++)
            CHECK_NEAR(logp[at], cJSON_GetArrayItem(options, k)->valuedouble, LOGP_TOL);
    }
    free(logp);
}

/* The first questions of ARC-Easy's test file, option by option: the task's template, its tokens, the shared prefix. */
static void smollm2_scores_arc_easy(void) {
    const cJSON *want = golden_get(golden, "arc_easy");
    pm_task *task = NULL;
    pm_split test = {0};
    pm_task_opts o = {.data_dir = data_dir, .limit = cJSON_GetArraySize(want)};
    CHECK_OK(pm_task_open("arc_easy", &task, &e));
    if (task) CHECK_OK(pm_task_load(task, "test", s.tok, &o, &test, &e));
    if (test.n) compare_questions(&test, want);
    pm_split_free(&test);
    pm_task_close(task);
}

/* ---- the file itself ---- */

static void smollm2_is_the_file_of_record(void) {
    char hex[65];
    CHECK_OK(pm_file_sha256(gguf, hex, &e));
    CHECK_EQ_STR(hex, golden_str(golden, "gguf_sha256"));
    CHECK_EQ_INT(pm_model_count(s.model), 134515008); /* transformers' count of SmolLM2-135M */
}

int main(void) {
    gguf = getenv("PEFTMETER_TEST_GGUF");
    data_dir = getenv("PEFTMETER_TEST_DATA");
    if (!gguf) {
        SKIP("SmolLM2", "PEFTMETER_TEST_GGUF is not set");
        return check_done();
    }
    golden = golden_json(GOLDEN "smollm2/expected.json");
    pm_config *c = pm_config_new();
    pm_status rc = pm_session_open(c, gguf, NULL, &s, &e);
    PM_ASSERT(rc == PM_OK, "%s: %s", gguf, e.msg);
    RUN(smollm2_is_the_file_of_record);
    RUN(smollm2_encodes_prompts);
    RUN(smollm2_scores_prompts);
    RUN(smollm2_generates_greedily);
    if (data_dir)
        RUN(smollm2_scores_arc_easy);
    else
        SKIP("smollm2_scores_arc_easy", "PEFTMETER_TEST_DATA is not set");
    pm_session_close(&s);
    pm_config_free(c);
    cJSON_Delete(golden);
    return check_done();
}
