/* test_forgetting.c - the forgetting metric keeps its laws and says what transformers and PEFT say (tests/golden/forgetting).
 *
 * Laws, on models/tiny, in fp32 and bf16, with 1 and 2 threads: an adapter that is the identity forgets exactly 0, whatever rows share its
 * batches; a row's own cross-entropy does not depend on the rows beside it, but for rounding. */
#include "adapter.h"
#include "check.h"
#include "forgetting.h"
#include "golden.h"

#define MODEL "models/tiny"
#define ROWS GOLDEN "forgetting/rows.jsonl"
#define ADAPTER GOLDEN "forgetting/adapter"

static pm_err e;
static int threads;

/* m NULL: none. The caller closes s and frees the settings. */
static pm_config *open_session(const char *method, const char *key, const char *value, const char *precision,
                               const char *adapter, pm_session *s) {
    pm_config *c = pm_config_new();
    char text[16];
    snprintf(text, sizeof text, "%d", threads);
    CHECK_OK(pm_config_set(c, "threads", text, &e));
    CHECK_OK(pm_config_set(c, "precision", precision, &e));
    if (method) CHECK_OK(pm_config_set(c, "method", method, &e));
    if (key) CHECK_OK(pm_config_set(c, key, value, &e));
    if (adapter) CHECK_OK(pm_config_from_adapter(c, adapter, &e));
    CHECK_OK(pm_session_open(c, MODEL, adapter, s, &e));
    PM_ASSERT(s->model, "no session: %s", e.msg);
    return c;
}

static void score_both(pm_forgetting *f, pm_session *s, pm_metric m[PM_FORGETTING_METRICS]) {
    CHECK_OK(pm_forgetting_score(f, s, PM_BEFORE, NULL, NULL, &e));
    CHECK_OK(pm_forgetting_score(f, s, PM_AFTER, NULL, NULL, &e));
    pm_forgetting_metrics(f, m);
}

/* The first n of its rows, to be scored by themselves; `before` and `after` are its own. */
static pm_forgetting first_rows(const pm_forgetting *f, int n) {
    pm_forgetting part = *f;
    part.before = part.after = NULL;
    part.text.n = n;
    return part;
}

/* ---- the identity forgets nothing ---- */

/* Methods whose identity is the base's function computed another way: what is left is rounding. Every other one: 0, to the bit. */
static double rounding(const char *method, const char *precision) {
    bool other_way = strcmp(method, "svf") == 0 || strcmp(method, "dora") == 0;
    if (!other_way) return 0;
    return strcmp(precision, "fp32") == 0 ? 1e-5 : 1e-2;
}

static void forgets_nothing(pm_session *s, const pm_forgetting *all, double bound) {
    static const int sizes[] = {1, 3, 8};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pm_metric m[PM_FORGETTING_METRICS];
        pm_forgetting f = first_rows(all, sizes[i]);
        score_both(&f, s, m);
        CHECK_NEAR(m[PM_FORGOTTEN].value, 0, bound);
        CHECK(m[PM_CROSS_ENTROPY_BEFORE].value > 0);
        if (!bound)
            for (int k = 0; k < f.text.n; k++) CHECK(f.before[k] == f.after[k]);
        free(f.before), free(f.after);
    }
}

static void identities_forget_nothing(const char *precision) {
    int tried = 0;
    pm_forgetting all;
    for (const pm_method *const *m = pm_methods; *m; m++) {
        pm_session s;
        pm_config *c = open_session((*m)->name, NULL, NULL, precision, NULL, &s);
        if (s.run.claims & PM_IDENTITY_INIT) {
            CHECK_OK(pm_forgetting_open(ROWS, s.tok, NULL, &all, &e));
            forgets_nothing(&s, &all, rounding((*m)->name, precision));
            pm_forgetting_close(&all);
            tried++;
        }
        pm_session_close(&s), pm_config_free(c);
    }
    CHECK(tried >= 6);
}

/* Its own header says so: the mask starts at random. */
static void a_start_that_is_no_identity_shows(void) {
    pm_session s;
    pm_metric m[PM_FORGETTING_METRICS];
    pm_forgetting f;
    pm_config *c = open_session("svf", "method.form", "release", "fp32", NULL, &s);
    CHECK(!(s.run.claims & PM_IDENTITY_INIT));
    CHECK_OK(pm_forgetting_open(ROWS, s.tok, NULL, &f, &e));
    score_both(&f, &s, m);
    CHECK(fabs(m[PM_FORGOTTEN].value) > 1e-5);
    pm_forgetting_close(&f), pm_session_close(&s), pm_config_free(c);
}

/* An edit of prompts, which starts at random, forgets what follows a prompt; a text has none, and is left alone to the bit. */
static void edits_of_prompts_leave_text_alone(void) {
    pm_session s;
    pm_forgetting f;
    pm_config *c = open_session("loreft", NULL, NULL, "fp32", NULL, &s);
    CHECK_OK(pm_forgetting_open(ROWS, s.tok, NULL, &f, &e));
    pm_metric m[PM_FORGETTING_METRICS];
    score_both(&f, &s, m);
    for (int i = 0; i < f.text.n; i++) CHECK((f.before[i] == f.after[i]) == (f.text.ex[i].prompt_len == 0));
    pm_forgetting_close(&f), pm_session_close(&s), pm_config_free(c);
}

/* ---- a row is a row ---- */

/* Alone, and beside all others: a BLAS may add up a batch of another size in another order, so the bound is rounding. */
static void rows_do_not_depend_on_their_batch(const char *precision, double bound) {
    pm_session s;
    pm_forgetting all;
    pm_metric m[PM_FORGETTING_METRICS];
    pm_config *c = open_session(NULL, NULL, NULL, precision, ADAPTER, &s);
    CHECK_OK(pm_forgetting_open(ROWS, s.tok, NULL, &all, &e));
    score_both(&all, &s, m);
    for (int i = 0; i < all.text.n; i++) {
        pm_forgetting one = first_rows(&all, 1);
        one.text.ex += i, one.tokens += i;
        score_both(&one, &s, m);
        double n = (double)one.tokens[0];
        CHECK_NEAR(one.before[0] / n, all.before[i] / n, bound);
        CHECK_NEAR(one.after[0] / n, all.after[i] / n, bound);
        free(one.before), free(one.after);
    }
    pm_forgetting_close(&all), pm_session_close(&s), pm_config_free(c);
}

/* ---- what others say ---- */

static void says_what_transformers_and_peft_say(void) {
    cJSON *want = golden_json(GOLDEN "forgetting/expected.json");
    const cJSON *rows = golden_get(want, "rows");
    pm_session s;
    pm_forgetting f;
    pm_metric m[PM_FORGETTING_METRICS];
    pm_config *c = open_session(NULL, NULL, NULL, "fp32", ADAPTER, &s);
    CHECK_OK(pm_forgetting_open(ROWS, s.tok, NULL, &f, &e));
    score_both(&f, &s, m);
    double before = golden_num(want, "before"), after = golden_num(want, "after");
    CHECK_NEAR(m[PM_CROSS_ENTROPY_BEFORE].value, before, 5e-6);
    CHECK_NEAR(m[PM_CROSS_ENTROPY_AFTER].value, after, 5e-6);
    CHECK_NEAR(m[PM_FORGOTTEN].value, after - before, 1e-5);
    CHECK(m[PM_FORGOTTEN].value == m[PM_CROSS_ENTROPY_AFTER].value - m[PM_CROSS_ENTROPY_BEFORE].value);
    for (int i = 0; i < PM_FORGETTING_METRICS; i++) CHECK_EQ_INT(m[i].n, golden_num(want, "tokens"));
    CHECK_EQ_INT(f.text.n, cJSON_GetArraySize(rows));
    for (int i = 0; i < f.text.n; i++) {
        const cJSON *row = cJSON_GetArrayItem(rows, i);
        CHECK_REL(f.before[i], cJSON_GetArrayItem(row, 0)->valuedouble, 5e-6);
        CHECK_REL(f.after[i], cJSON_GetArrayItem(row, 1)->valuedouble, 5e-6);
    }
    pm_forgetting_close(&f), pm_session_close(&s), pm_config_free(c);
    cJSON_Delete(want);
}

/* ---- numbers ---- */

/* Rows of 1, 2 and 7 tokens. By hand: means 20/10 and 28/10, differences 1, -2, 9 against 0.8 a token. */
static void means_are_over_tokens_and_errors_over_rows(void) {
    double before[] = {3, 4, 13}, after[] = {4, 2, 22};
    int64_t tokens[] = {1, 2, 7};
    const pm_forgetting f = {.text = {.n = 3}, .before = before, .after = after, .tokens = tokens};
    pm_metric m[PM_FORGETTING_METRICS];
    pm_forgetting_metrics(&f, m);
    CHECK_NEAR(m[PM_CROSS_ENTROPY_BEFORE].value, 2, 1e-15);
    CHECK_NEAR(m[PM_CROSS_ENTROPY_AFTER].value, 2.8, 1e-15);
    CHECK_NEAR(m[PM_FORGOTTEN].value, 0.8, 1e-15);
    double d[] = {1 - 0.8, -2 - 1.6, 9 - 5.6}, sum = 0;
    for (int i = 0; i < 3; i++) sum += d[i] * d[i];
    CHECK_NEAR(m[PM_FORGOTTEN].stderr_, sqrt(3.0 / 2 * sum) / 10, 1e-15);
    CHECK_EQ_INT(m[PM_FORGOTTEN].n, 10);
}

/* ---- what is no probe ---- */

static void refuses(const char *probe, pm_status want, const char *why) {
    pm_forgetting f;
    pm_err err = {0};
    CHECK_EQ_INT(pm_forgetting_open(probe, NULL, NULL, &f, &err), want);
    CHECK(strstr(err.msg, why) && err.hint[0]);
    pm_forgetting_close(&f);
}

static void refuses_what_is_no_text(void) {
    refuses("tiny_facts", PM_EUSAGE, "of kind choice, not a text");
    refuses("tiny_texx", PM_EUSAGE, "tiny_texx");
}

int main(void) {
    RUN(means_are_over_tokens_and_errors_over_rows);
    RUN(refuses_what_is_no_text);
    for (threads = 1; threads <= 2; threads++) {
        RUN_AS("identities_forget_nothing fp32", identities_forget_nothing("fp32"));
        RUN(says_what_transformers_and_peft_say);
    }
    threads = 1;
    RUN_AS("identities_forget_nothing bf16", identities_forget_nothing("bf16"));
    RUN(a_start_that_is_no_identity_shows);
    RUN(edits_of_prompts_leave_text_alone);
    RUN_AS("rows_do_not_depend_on_their_batch fp32", rows_do_not_depend_on_their_batch("fp32", 1e-5));
    RUN_AS("rows_do_not_depend_on_their_batch bf16", rows_do_not_depend_on_their_batch("bf16", 1e-2));
    return check_done();
}
