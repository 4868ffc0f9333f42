/* evaluate.c - multiple choice over shared prefixes, exact match by greedy generation, likelihood of token
 * rows. */
#include "evaluate.h"
#include "clusters.h"
#include "generate.h"
#include "stats_run.h"
#include "text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METRIC_VERSION = 1, TOKENS_A_BATCH = 2048 };
enum {
    SETTLED = 4 * PM_GENERATE_SLOTS
}; /* prompts, after which newcomers and those under way are mixed as later */

/* ---- choices ---- */

static int common_prefix(const pm_example *ex) {
    int n = ex->choice[0].n;
    for (int c = 1; c < ex->n_choices; c++) {
        const pm_choice *a = &ex->choice[0], *b = &ex->choice[c];
        int i = 0, most = n < b->n ? n : b->n;
        while (i < most && a->ids[i] == b->ids[i]) i++;
        n = i;
    }
    return n;
}

/* The first token of a text has nothing before it to be predicted from. */
static int first_scored(const pm_choice *o) {
    return o->score_from > 1 ? o->score_from : 1;
}

/* The prefix once, then every option's rest as a sequence that continues it. */
static void add_question(pm_batch *b, const pm_example *ex) {
    int shared = common_prefix(ex);
    int root = pm_batch_add(b, ex->choice[0].ids, shared, -1, 0, ex->prompt_len);
    for (int c = 0; c < ex->n_choices; c++) {
        const pm_choice *o = &ex->choice[c];
        int own = pm_batch_add(b, o->ids + shared, o->n - shared, root, shared, ex->prompt_len);
        for (int i = first_scored(o); i < o->n; i++) {
            int at = i - 1; /* the position that predicts token i */
            pm_batch_score(b, at < shared ? b->start[root] + at : b->start[own] + at - shared, o->ids[i]);
        }
    }
}

static void score_batch(pm_session *s, double *token_logp) {
    pm_tensor *h = pm_session_forward(s, &s->batch, false, false);
    pm_lm_score(&s->tape, h, s->model->head, s->batch.target, token_logp, NULL);
}

static double *score_rows(pm_session *s) {
    double *lp = malloc(((size_t)s->batch.n_scored + 1) * sizeof *lp);
    PM_ASSERT(lp, "out of memory: %d scores", s->batch.n_scored);
    if (s->batch.n_scored) score_batch(s, lp);
    return lp;
}

void pm_score_choices(pm_session *s, const pm_example *ex, int n, double *logp) {
    pm_batch_clear(&s->batch);
    for (int i = 0; i < n; i++) add_question(&s->batch, &ex[i]);
    double *lp = score_rows(s), *at = lp;
    for (int i = 0; i < n; i++)
        for (int c = 0; c < ex[i].n_choices; c++) {
            double sum = 0;
            for (int j = first_scored(&ex[i].choice[c]); j < ex[i].choice[c].n; j++) sum += *at++;
            *logp++ = sum;
        }
    free(lp);
}

static int question_tokens(const pm_example *ex) {
    int shared = common_prefix(ex), n = shared;
    for (int c = 0; c < ex->n_choices; c++) n += ex->choice[c].n - shared;
    return n;
}

static int example_tokens(const pm_example *ex) {
    return ex->n;
}

/* How many examples from lo on fit in a batch; at least one. */
static int group(const pm_split *d, int lo, int (*tokens)(const pm_example *), int *choices) {
    int n = 0, sum = 0;
    *choices = 0;
    while (lo + n < d->n && (!n || sum + tokens(&d->ex[lo + n]) <= TOKENS_A_BATCH)) {
        sum += tokens(&d->ex[lo + n]);
        *choices += d->ex[lo + n].n_choices;
        n++;
    }
    return n;
}

int pm_eval_group(const pm_task *task, const pm_split *d, int lo) {
    int choices;
    bool chosen = task->kind == PM_TASK_CHOICE || task->kind == PM_TASK_CLASSIFY;
    if (task->kind == PM_TASK_EXACT) return d->n - lo < SETTLED ? d->n - lo : SETTLED;
    return group(d, lo, chosen ? question_tokens : example_tokens, &choices);
}

static int best(const pm_example *ex, const double *logp, bool by_chars) {
    int arg = 0;
    double top = -INFINITY;
    for (int c = 0; c < ex->n_choices; c++) {
        double v = by_chars ? logp[c] / ex->choice[c].n_chars : logp[c];
        if (v > top) top = v, arg = c; /* the first of equals, as numpy.argmax */
    }
    return arg;
}

/* Which items are right by each of two measures; [n] of the split. */
typedef struct marks {
    float *right[2];
} marks;

static marks marks_new(const pm_split *d) {
    float *x = pm_xalloc(2 * ((size_t)d->n + 1) * sizeof *x);
    return (marks){{x, x + d->n}};
}

static void marks_free(marks *m) {
    free(m->right[0]);
}

/* The share of right items. Its standard error is lm-evaluation-harness's, the sample deviation / sqrt n; where items come in clusters the cluster-robust one. */
static pm_metric share(const char *name, const pm_split *d, const float *right) {
    pm_metric m = {.version = METRIC_VERSION, .n = d->n};
    const char **cluster = pm_xalloc(((size_t)d->n + 1) * sizeof *cluster);
    int32_t *of = pm_xalloc(((size_t)d->n + 1) * sizeof *of);
    pm_arena *scratch = pm_arena_new("scores", (size_t)d->n * 64 + (1 << 20));
    for (int i = 0; i < d->n; i++) cluster[i] = d->ex[i].cluster;
    pm_items items = {.n = d->n, .n_clusters = pm_clusters_number(cluster, d->n, of)};
    if (items.n_clusters) items.cluster = of;
    pm_run_mean x = pm_mean_of_run(right, &items, scratch);
    m.value = x.mean, m.stderr_ = x.stderr_;
    strncpy(m.name, name, sizeof m.name - 1);
    pm_arena_free(scratch);
    free(cluster), free(of);
    return m;
}

typedef struct sink {
    pm_item_fn fn;
    void *ctx;
    int done, total;
} sink;

static pm_status emit(sink *k, const pm_item *it, pm_err *e) {
    return k->fn ? k->fn(k->ctx, it, ++k->done, k->total, e) : PM_OK;
}

static pm_status emit_choice(sink *k, const pm_example *ex, const double *lp, int answer, pm_err *e) {
    char text[16], gold[16];
    snprintf(text, sizeof text, "%d", answer);
    snprintf(gold, sizeof gold, "%d", ex->gold);
    pm_item it = {
        .ex = ex, .correct = answer == ex->gold, .score = lp[ex->gold], .answer = text, .gold = gold};
    return emit(k, &it, e);
}

static pm_status choose(pm_session *s, const pm_split *d, const marks *m, sink *k, pm_err *e) {
    for (int lo = 0, n, choices; lo < d->n; lo += n) {
        n = group(d, lo, question_tokens, &choices);
        double *lp = malloc(((size_t)choices + 1) * sizeof *lp), *at = lp;
        PM_ASSERT(lp, "out of memory: %d scores", choices);
        pm_score_choices(s, &d->ex[lo], n, lp);
        pm_status rc = PM_OK;
        for (int i = lo; i < lo + n && !rc; at += d->ex[i++].n_choices) {
            int answer = best(&d->ex[i], at, false);
            m->right[0][i] = answer == d->ex[i].gold;
            m->right[1][i] = best(&d->ex[i], at, true) == d->ex[i].gold;
            rc = emit_choice(k, &d->ex[i], at, answer, e);
        }
        free(lp);
        if (rc) return rc;
    }
    return PM_OK;
}

static pm_status evaluate_choices(pm_session *s, const pm_split *d, pm_metric *out, int *n_out, sink *k,
                                  pm_err *e) {
    marks m = marks_new(d);
    pm_status rc = choose(s, d, &m, k, e);
    out[0] = share("acc", d, m.right[0]);
    out[1] = share("acc_norm", d, m.right[1]);
    *n_out = 2;
    marks_free(&m);
    return rc;
}

/* ---- likelihood of token rows ---- */

typedef struct moments {
    double sum, sum_sq;
    int64_t n;
} moments;

/* Mean over tokens with the standard error of a ratio of sums over rows would need both columns; rows of one
 * length make the plain one right. */
static void likelihood_metrics(const moments *tokens, pm_metric *out, int *n_out) {
    double n = (double)tokens->n, mean = tokens->n ? tokens->sum / n : (double)NAN;
    double var = tokens->n > 1 ? (tokens->sum_sq - n * mean * mean) / (n - 1) : (double)NAN;
    out[0] = (pm_metric){
        .name = "nll", .version = METRIC_VERSION, .value = mean, .stderr_ = sqrt(var / n), .n = tokens->n};
    out[1] = (pm_metric){.name = "ppl",
                         .version = METRIC_VERSION,
                         .value = exp(mean),
                         .stderr_ = exp(mean) * sqrt(var / n),
                         .n = tokens->n};
    *n_out = 2;
}

static pm_status likelihood_group(pm_session *s, const pm_example *ex, int n, moments *m, sink *k,
                                  pm_err *e) {
    pm_batch_clear(&s->batch);
    for (int i = 0; i < n; i++) pm_batch_add_example(&s->batch, &ex[i]);
    double *lp = score_rows(s), *at = lp;
    pm_status rc = PM_OK;
    for (int i = 0; i < n && !rc; i++) {
        double sum = 0;
        int64_t scored = 0;
        for (int j = 1; j < ex[i].n; j++) {
            if (ex[i].labels[j] == -100) continue;
            sum -= *at;
            m->sum_sq += *at * *at;
            at++;
            scored++;
        }
        m->sum += sum;
        m->n += scored;
        pm_item it = {.ex = &ex[i], .correct = -1, .score = scored ? sum / (double)scored : (double)NAN};
        rc = emit(k, &it, e);
    }
    free(lp);
    return rc;
}

static pm_status evaluate_likelihood(pm_session *s, const pm_split *d, pm_metric *out, int *n_out, sink *k,
                                     pm_err *e) {
    moments m = {0};
    for (int lo = 0, n, unused; lo < d->n; lo += n) {
        n = group(d, lo, example_tokens, &unused);
        pm_status rc = likelihood_group(s, &d->ex[lo], n, &m, k, e);
        if (rc) return rc;
    }
    likelihood_metrics(&m, out, n_out);
    return PM_OK;
}

/* ---- exact match by greedy generation ---- */

typedef struct matcher {
    const pm_task *task;
    const pm_split *data;
    sink *k;
    marks right;
} matcher;

static bool match_flexibly(const matcher *m, const pm_example *ex, const char *text) {
    char *answer = pm_task_extract_flexible(m->task, text),
         *gold = pm_task_extract_flexible(m->task, ex->gold_text);
    bool right = answer && gold && strcmp(answer, gold) == 0;
    free(answer);
    free(gold);
    return right;
}

static pm_status judge(void *ctx, int index, const char *text, pm_err *e) {
    matcher *m = ctx;
    const pm_example *ex = &m->data->ex[index];
    char *answer = pm_task_extract(m->task, text);
    bool right = answer && ex->gold_text && strcmp(answer, ex->gold_text) == 0;
    m->right.right[0][index] = right;
    m->right.right[1][index] = match_flexibly(m, ex, text);
    pm_item it = {.ex = ex, .correct = right, .score = NAN, .answer = answer, .gold = ex->gold_text};
    pm_status rc = emit(m->k, &it, e);
    free(answer);
    return rc;
}

static pm_status evaluate_exact(pm_session *s, const pm_task *task, const pm_split *d, pm_metric *out,
                                int *n_out, sink *k, pm_err *e) {
    matcher m = {.task = task, .data = d, .k = k, .right = marks_new(d)};
    pm_prompt *p = malloc(((size_t)d->n + 1) * sizeof *p);
    PM_ASSERT(p, "out of memory: %d prompts", d->n);
    for (int i = 0; i < d->n; i++) p[i] = (pm_prompt){d->ex[i].ids, d->ex[i].prompt_len};
    pm_gen_opts o = {.max_new = task->max_new_tokens, .stop = task->stop};
    pm_status rc = pm_generate(s, p, d->n, &o, judge, &m, e);
    free(p);
    out[0] = share("exact_match", d, m.right.right[0]);
    out[1] = share("exact_match_flexible", d, m.right.right[1]);
    *n_out = task->extract_flexible[0] ? 2 : 1;
    marks_free(&m.right);
    return rc;
}

pm_status pm_evaluate(pm_session *s, const pm_task *task, const pm_split *data, pm_metric out[PM_METRICS_MAX],
                      int *n_out, pm_item_fn fn, void *ctx, pm_err *e) {
    sink k = {fn, ctx, 0, data->n};
    *n_out = 0;
    switch (task->kind) {
    case PM_TASK_CHOICE:
    case PM_TASK_CLASSIFY:
        return evaluate_choices(s, data, out, n_out, &k, e);
    case PM_TASK_EXACT:
        return evaluate_exact(s, task, data, out, n_out, &k, e);
    case PM_TASK_LM:
    case PM_TASK_TOKENS:
        return evaluate_likelihood(s, data, out, n_out, &k, e);
    }
    return PM_OK;
}
