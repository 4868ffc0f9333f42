/* report_forgetting.c - forgetting of rows: means over seeds, and the paired difference of two rows.
 *
 * Why no letters: tie groups are one family of claims about scores, with one error rate; forgetting would widen it, and is told apart where somebody
 * asks for two rows.
 */
#include "report_forgetting.h"
#include "method.h"
#include "stats_dist.h"
#include "stats_family.h"
#include "stats_sample.h"
#include "text.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the column ---------------------------------------------------------------------------------------------------------- */

void pm_add_forgetting_columns(const pm_results *r, pm_table *t) {
    for (int k = 0; k < r->n_tasks; k++) {
        if (!r->task[k].forgets) continue;
        pm_buf key = {0}, title = {0};
        pm_buf_printf(&key, "%s_forgetting_nats", r->task[k].name);
        pm_buf_printf(&title, "%s forgetting", r->task[k].name);
        const pm_column c = {
            .key = key.p,
            .title = title.p,
            .unit = "nats/token",
            .definition =
                "token cross-entropy on the probe after training less before it, mean over the probe's "
                "tokens and over "
                "seeds; 95% interval over seeds; less is better, below 0 the probe has become easier",
            .kind = PM_COL_REAL,
            .digits = 4,
            .better = -1};
        pm_table_add_column(t, &c);
        pm_buf_free(&key), pm_buf_free(&title);
    }
}

/* Of the runs that have it; value: [p->n]. Returns how many. */
static int forgotten(const pm_place_runs *p, double *value) {
    int n = 0;
    for (int i = 0; i < p->n; i++) {
        const pm_score *s = pm_result_forgetting(p->run[i]);
        if (s) value[n++] = s->value;
    }
    return n;
}

static void set_cell(const pm_place_runs *p, pm_cell *c) {
    double *value = pm_xalloc(((size_t)p->n + 1) * sizeof *value);
    int n = forgotten(p, value);
    c->value = pm_mean(value, n).mean;
    if (n > 1) {
        pm_interval i = pm_t_interval(value, n);
        c->low = i.low, c->high = i.high;
    }
    if (n && n < p->n) pm_cell_note(c, "of %d seed%s", n, n == 1 ? "" : "s");
    free(value);
}

void pm_set_forgetting(const pm_results *r, int setup, pm_table *t, int row, int column) {
    for (int k = 0; k < r->n_tasks; k++)
        if (r->task[k].forgets) set_cell(pm_results_at(r, setup, k), pm_table_at(t, row, column++));
}

/* ---- notes --------------------------------------------------------------------------------------------------------------- */

static const pm_result *first_measured(const pm_results *r, int from, int to) {
    for (int i = from; i < to; i++)
        for (int k = 0; k < r->n_tasks; k++) {
            const pm_place_runs *p = pm_results_at(r, i, k);
            for (int j = 0; j < p->n; j++)
                if (pm_result_forgetting(p->run[j])) return p->run[j];
        }
    return NULL;
}

static void note_probe(const pm_results *r, const pm_result *run, const char *model, pm_table *t) {
    const pm_score *before = pm_result_on_probe(run, "cross_entropy_before");
    cJSON *config = cJSON_Parse(run->config);
    const cJSON *probe = cJSON_GetObjectItemCaseSensitive(config, "eval.probe");
    pm_table_add_note(
        t, "Forgetting is measured on %s (%lld tokens), which costs the base model%s%s %.4f nats a token.",
        cJSON_IsString(probe) ? probe->valuestring : "a probe", (long long)(before ? before->n : 0),
        r->several_models ? " " : "", r->several_models ? model : "", before ? before->value : (double)NAN);
    cJSON_Delete(config);
}

static bool acts_on_prompts(const pm_setup *s) {
    const pm_method *m = pm_method_find(s->method);
    return m && (m->flags & PM_PROMPT_ONLY);
}

static void note_prompts(bool any, pm_table *t) {
    if (any)
        pm_table_add_note(t, "Methods that edit prompts alone leave a text without a prompt as it is: that "
                             "they forget 0 of it follows from "
                             "where they act.");
}

void pm_add_forgetting_notes(const pm_results *r, pm_table *t) {
    bool any = false, prompts = false;
    for (int i = 0, end; i < r->n_setups; i = end) {
        end = pm_model_end(r, i);
        const pm_result *run = first_measured(r, i, end);
        if (run) note_probe(r, run, r->setup[i].model, t), any = true;
    }
    if (!any) return;
    for (int i = 0; i < r->n_setups; i++) prompts |= acts_on_prompts(&r->setup[i]);
    note_prompts(prompts, t);
    pm_table_add_note(t, "Letters and places do not take forgetting in; compare, with two rows and all their "
                         "seeds, tests a difference.");
}

/* ---- two rows ------------------------------------------------------------------------------------------------------------ */

typedef struct versus { /* on one task, over the seeds that both have */
    int task, n;
    double a, b, difference, p; /* means; a less b */
    pm_interval interval;
} versus;

/* p of Student's t over paired differences; where they do not vary at all: 1 when they are 0. */
static double p_of(pm_summary d, int n) {
    if (d.stderr_ > 0) return pm_t_tails(d.mean / d.stderr_, n - 1);
    return d.mean == 0 ? 1 : 0;
}

static bool compare_on(const pm_results *r, int a, int b, int task, versus *v) {
    const pm_place_runs *pa = pm_results_at(r, a, task), *pb = pm_results_at(r, b, task);
    size_t most = ((size_t)pa->n + 1) * sizeof(double);
    double *x = pm_xalloc(most), *y = pm_xalloc(most), *d = pm_xalloc(most);
    *v = (versus){.task = task};
    for (int i = 0, j = 0; i < pa->n && j < pb->n;) {
        const pm_result *s = pa->run[i], *o = pb->run[j];
        const pm_score *fs = pm_result_forgetting(s), *fo = pm_result_forgetting(o);
        if (s->seed == o->seed && fs && fo)
            x[v->n] = fs->value, y[v->n] = fo->value, d[v->n] = fs->value - fo->value, v->n++;
        bool next = s->seed <= o->seed;
        j += o->seed <= s->seed;
        i += next;
    }
    pm_summary m = pm_mean(d, v->n);
    v->a = pm_mean(x, v->n).mean, v->b = pm_mean(y, v->n).mean, v->difference = m.mean;
    v->interval = pm_t_interval(d, v->n);
    v->p = v->n > 1 ? p_of(m, v->n) : (double)NAN;
    free(x), free(y), free(d);
    return v->n > 0;
}

enum { TASK, MEAN_A, MEAN_B, DIFFERENCE, P, SEEDS, VERDICT, N_PAIR };

static void add_pair_columns(const pm_results *r, int a, int b, pm_table *t) {
    const pm_column c[N_PAIR] = {
        [TASK] = {"task", "task", NULL, NULL, PM_COL_TEXT, 0, 0},
        [MEAN_A] = {"mean_a_nats", r->setup[a].name, "nats/token", NULL, PM_COL_REAL, 4, -1},
        [MEAN_B] = {"mean_b_nats", r->setup[b].name, "nats/token", NULL, PM_COL_REAL, 4, -1},
        [DIFFERENCE] = {"difference_nats", "difference", "nats/token",
                        "the first less the second, over the seeds that both have; 95% interval: other seeds "
                        "are allowed for, another probe is not",
                        PM_COL_REAL, 4, 0},
        [P] = {"p", "p", NULL,
               "two-sided, of no difference (Student's t over paired seeds), adjusted for the number of "
               "tasks (Holm)",
               PM_COL_REAL, -3, 0},
        [SEEDS] = {"n_seeds", "seeds", NULL, "that both have", PM_COL_INTEGER, 0, 0},
        [VERDICT] = {"verdict", "verdict", NULL, "at 5% over all tasks together", PM_COL_TEXT, 0, 0}};
    pm_add_columns(t, c, N_PAIR);
}

static void add_pair_row(const pm_results *r, int a, int b, const versus *v, double p, pm_table *t) {
    int row = pm_table_add_row(t);
    pm_cell_print(pm_table_at(t, row, TASK), "%s", r->task[v->task].name);
    pm_table_at(t, row, MEAN_A)->value = v->a;
    pm_table_at(t, row, MEAN_B)->value = v->b;
    pm_cell *d = pm_table_at(t, row, DIFFERENCE);
    d->value = v->difference, d->low = v->interval.low, d->high = v->interval.high;
    pm_table_at(t, row, P)->value = p;
    pm_table_at(t, row, SEEDS)->value = v->n;
    if (v->n < 2)
        pm_cell_print(pm_table_at(t, row, VERDICT), "not compared: fewer than two common seeds");
    else
        pm_cell_print(pm_table_at(t, row, VERDICT), p <= 0.05 ? "%s forgets less" : "not told apart",
                      r->setup[v->difference < 0 ? a : b].name);
}

void pm_report_forgetting_pair(const pm_results *r, int a, int b, pm_report *out) {
    versus *list = pm_arena_zalloc(r->keep, ((size_t)r->n_tasks + 1) * sizeof *list, PM_MEM_WORKSPACE);
    double *p = pm_arena_zalloc(r->keep, ((size_t)r->n_tasks + 1) * sizeof *p, PM_MEM_WORKSPACE);
    int n = 0;
    for (int k = 0; k < r->n_tasks; k++)
        if (compare_on(r, a, b, k, &list[n])) p[n] = list[n].p, n++;
    if (!n) return;
    pm_holm(p, n, r->keep, p);
    pm_table *t = pm_report_add(out, "compare_forgetting", "What they forgot");
    add_pair_columns(r, a, b, t);
    for (int i = 0; i < n; i++) add_pair_row(r, a, b, &list[i], p[i], t);
    note_probe(r, first_measured(r, a, a + 1), r->setup[a].model, t);
    note_prompts(acts_on_prompts(&r->setup[a]) || acts_on_prompts(&r->setup[b]), t);
}
