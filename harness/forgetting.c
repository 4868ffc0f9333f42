/* forgetting.c - the probe read, scored twice, and told in three numbers (forgetting.h). */
#include "forgetting.h"
#include "cmd.h"
#include "commons.h"
#include "fetch.h"
#include "stats.h"
#include "text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METRIC_VERSION = 1 };

/* ---- reading ---- */

static pm_status not_a_text(const char *probe, const pm_task *t, pm_err *e) {
    pm_fail(e, PM_EUSAGE, "eval.probe: %.100s is of kind %s, not a text", probe, pm_task_kind_name(t->kind));
    return pm_hint(
        e,
        "a probe is a task of kind lm (tiny_text; `peftmeter tasks` lists kinds) or a .jsonl of token rows");
}

/* *t is for the caller to close, also after a failure. */
static pm_status open_text(const char *probe, pm_task **t, pm_err *e) {
    pm_status rc = pm_task_open(probe, t, e);
    if (rc || (*t)->kind == PM_TASK_LM || (*t)->kind == PM_TASK_TOKENS) return rc;
    return not_a_text(probe, *t, e);
}

pm_status pm_forgetting_check(const char *probe, pm_err *e) {
    pm_task *t = NULL;
    pm_status rc = open_text(probe, &t, e);
    pm_task_close(t);
    return rc;
}

static const char *split_of(const pm_task *t) {
    static const char *const split[] = {"validation", "test"};
    for (int i = 0; i < 2; i++)
        if (pm_task_has(t, split[i])) return split[i];
    return "train";
}

static int64_t scored_tokens(const pm_example *x) {
    int64_t n = 0;
    for (int i = 1; i < x->n; i++) n += x->labels[i] != -100;
    return n;
}

pm_status pm_forgetting_open(const char *probe, const pm_tokenizer *tok, const char *model_path,
                             pm_forgetting *f, pm_err *e) {
    char data_dir[1024];
    *f = (pm_forgetting){0};
    pm_status rc = pm_data_dir(data_dir, sizeof data_dir, e);
    if (!rc) rc = open_text(probe, &f->task, e);
    if (rc) return rc;
    f->split = split_of(f->task);
    if (pm_test_locked() && pm_path_ends(probe, ".jsonl")) {
        pm_fail(e, PM_ELOCKED, "eval.probe=%.200s: a file may hold test data, which is locked", probe);
        return pm_hint(e, "a task with validation rows, such as tiny_text");
    }
    const pm_task_opts o = {
        .data_dir = data_dir, .common = model_path ? pm_commons_joined() : NULL, .model_path = model_path};
    rc = pm_task_load(f->task, f->split, tok, &o, &f->text, e);
    pm_task_forget_rows(f->task);
    f->tokens = pm_xalloc(((size_t)f->text.n + 1) * sizeof *f->tokens);
    for (int i = 0; i < f->text.n; i++) f->tokens[i] = scored_tokens(&f->text.ex[i]);
    return rc;
}

void pm_forgetting_close(pm_forgetting *f) {
    pm_split_free(&f->text);
    pm_task_close(f->task);
    free(f->before), free(f->after), free(f->tokens);
    *f = (pm_forgetting){0};
}

/* ---- scoring ---- */

typedef struct taker {
    const int64_t *tokens;
    double *nats;
    pm_item_fn fn;
    void *ctx;
} taker;

static pm_status take(void *ctx, const pm_item *it, int done, int total, pm_err *e) {
    taker *k = ctx;
    int64_t n = k->tokens[done - 1];
    k->nats[done - 1] = n ? it->score * (double)n : 0;
    return k->fn ? k->fn(k->ctx, it, done, total, e) : PM_OK;
}

pm_status pm_forgetting_score(pm_forgetting *f, pm_session *s, pm_side side, pm_item_fn fn, void *ctx,
                              pm_err *e) {
    double **nats = side == PM_BEFORE ? &f->before : &f->after;
    pm_metric unused[PM_METRICS_MAX];
    int n;
    *nats = pm_xrealloc(*nats, ((size_t)f->text.n + 1) * sizeof **nats);
    taker k = {f->tokens, *nats, fn, ctx};
    const pm_hooks *hooks = s->tape.hooks;
    if (side == PM_BEFORE) s->tape.hooks = NULL;
    pm_status rc = pm_evaluate(s, f->task, &f->text, unused, &n, take, &k, e);
    pm_tape_reset(&s->tape);
    s->tape.hooks = hooks;
    return rc;
}

/* ---- numbers ---- */

static double sum(const double *x, int n) {
    double s = 0;
    for (int i = 0; i < n; i++) s += x[i];
    return s;
}

/* Of a ratio of sums over rows, linearised (Cochran, Sampling Techniques, 6.4): the standard error of the mean of
 * rows/tokens (x - mean tokens). */
static double stderr_of(const pm_forgetting *f, const double *x, double mean, int64_t tokens) {
    int n = f->text.n;
    double *d = pm_xalloc(((size_t)n + 1) * sizeof *d);
    for (int i = 0; i < n; i++) d[i] = (x[i] - mean * (double)f->tokens[i]) * n / (double)tokens;
    double s = pm_mean(d, n).stderr_;
    free(d);
    return s;
}

static pm_metric metric(const pm_forgetting *f, const char *name, double value, const double *rows,
                        int64_t tokens) {
    pm_metric m = {
        .version = METRIC_VERSION, .n = tokens, .value = value, .stderr_ = stderr_of(f, rows, value, tokens)};
    snprintf(m.name, sizeof m.name, "%s", name);
    return m;
}

void pm_forgetting_metrics(const pm_forgetting *f, pm_metric out[PM_FORGETTING_METRICS]) {
    int n = f->text.n;
    int64_t tokens = 0;
    double *more = pm_xalloc(((size_t)n + 1) * sizeof *more);
    for (int i = 0; i < n; i++) tokens += f->tokens[i], more[i] = f->after[i] - f->before[i];
    double before = sum(f->before, n) / (double)tokens, after = sum(f->after, n) / (double)tokens;
    out[PM_CROSS_ENTROPY_BEFORE] = metric(f, "cross_entropy_before", before, f->before, tokens);
    out[PM_CROSS_ENTROPY_AFTER] = metric(f, "cross_entropy_after", after, f->after, tokens);
    out[PM_FORGOTTEN] = metric(f, "forgetting", after - before, more, tokens);
    free(more);
}
