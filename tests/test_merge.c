/* test_merge.c - an adapter folded into its model and taken out again.
 *
 * Truth: the session itself before the merge. Bounds: folding changes the order of fp32 sums, so merged equals unmerged to 2e-5 (the
 * adapter's own effect is a thousand times that); taken out again, every bit is back.
 */
#include "check.h"
#include "logits.h"
#include "merge.h"
#include <stdlib.h>

#ifdef PM_DOUBLE
static const double EQUAL = 1e-12;
#else
static const double EQUAL = 2e-5;
#endif

static pm_err e;

static bool open_session(pm_session *s, const char *model, const char *adapter) {
    pm_config *c = pm_config_new();
    *s = (pm_session){0};
    if (adapter) CHECK_OK(pm_config_from_adapter(c, adapter, &e));
    CHECK_OK(pm_session_open(c, model, adapter, s, &e));
    pm_config_free(c);
    return s->model != NULL;
}

static void folds_and_unfolds(const char *model, const char *adapter) {
    pm_session s, plain;
    pm_merged m;
    if (!open_session(&s, model, adapter) || !open_session(&plain, model, NULL)) return;
    real *base = probe_outputs(&plain), *before = probe_outputs(&s);
    CHECK(probes_apart(&s, base, before) > 1000 * EQUAL);
    CHECK_OK(pm_merged_begin(&s, &m, &e));
    CHECK(!s.tape.hooks);
    real *merged = probe_outputs(&s);
    CHECK_NEAR(probes_apart(&s, merged, before), 0, EQUAL);
    pm_merged_end(&s, &m);
    pm_merged_end(&s, &m);
    real *after = probe_outputs(&s);
    CHECK(probes_apart(&s, after, before) == 0);
    s.tape.hooks = NULL; /* the base under the adapter has not changed either */
    real *under = probe_outputs(&s);
    CHECK(probes_apart(&s, under, base) == 0);
    free(base);
    free(before);
    free(merged);
    free(after);
    free(under);
    pm_session_close(&s);
    pm_session_close(&plain);
}

static void merge_folds_and_unfolds_lora(void) {
    folds_and_unfolds(GOLDEN "models/qwen2", GOLDEN "train/adapters/nonzero_b");
    folds_and_unfolds(GOLDEN "models/llama_untied", GOLDEN "train/adapters/qv_rslora-after");
}

static void merge_of_no_method_changes_nothing(void) {
    pm_session s;
    pm_merged m;
    if (!open_session(&s, GOLDEN "models/llama_tied", NULL)) return;
    const real *w = s.model->sites[1].w->w;
    CHECK_OK(pm_merged_begin(&s, &m, &e));
    CHECK(s.model->sites[1].w->w == w);
    pm_merged_end(&s, &m);
    pm_session_close(&s);
}

static pm_status cannot(pm_model *m, void *st, pm_err *err) {
    (void)m, (void)st;
    return pm_fail(err, PM_EUNSUPPORTED, "not today");
}

static void merge_refuses_what_no_weight_holds(void) {
    pm_session s;
    pm_merged m;
    const pm_method prompts = {.name = "prompts", .flags = PM_PROMPT_ONLY}, other = {.name = "other"},
                    fails = {.name = "fails", .merge = cannot};
    CHECK_EQ_INT(pm_merge_check(&other, &e), PM_EUNSUPPORTED);
    if (!open_session(&s, GOLDEN "models/llama_tied", NULL)) return;
    const real *w = s.model->sites[1].w->w;
    s.method = &prompts;
    CHECK_EQ_INT(pm_merged_begin(&s, &m, &e), PM_EUNSUPPORTED);
    CHECK(strstr(e.msg, "prompts") && strstr(e.msg, "prompt positions") && strstr(e.hint, "--adapter-in"));
    pm_merged_end(&s, &m);
    s.method = &fails;
    CHECK_EQ_INT(pm_merged_begin(&s, &m, &e), PM_EUNSUPPORTED);
    CHECK_EQ_STR(e.msg, "not today");
    CHECK(s.model->sites[1].w->w == w);
    pm_session_close(&s);
}

int main(void) {
    RUN(merge_folds_and_unfolds_lora);
    RUN(merge_of_no_method_changes_nothing);
    RUN(merge_refuses_what_no_weight_holds);
    return check_done();
}
