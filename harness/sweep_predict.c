/* sweep_predict.c - what a plan would take (sweep --dry-run), from runs of a shape that are done, else from probes: a few steps of one run
 * of each shape. What runs beside a run slows it, so as many are probed at once as runs will go, and a place that would be
 * empty is given to a probe whose answer nobody waits for.
 */
#include "cmd.h"
#include "jsonio.h"
#include "sweep_run.h"
#include "text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- probing ---- */

static char *probe_settings(const pm_config *c) {
    pm_config v = *c;
    snprintf(v.eval.split, sizeof v.eval.split, "validation");
    v.eval.probe[0] = 0;
    return pm_config_json(&v);
}

/* job NULL: nobody waits for the answer. */
static pm_status start_probe(pm_sweeping *w, const pm_job *like, pm_job *job, pm_err *e) {
    char *settings = probe_settings(like->config);
    const char *argv[] = {"peftmeter", "worker", "--probe", settings, w->common_option, NULL};
    pm_status rc = pm_pool_start(&w->pool, argv, job, e); /* it has them when this returns */
    free(settings);
    return rc;
}

static int64_t whole(const cJSON *j, const char *key) {
    double v = pm_json_number(j, key);
    return isnan(v) ? 0 : (int64_t)v;
}

typedef struct probing {
    pm_job **queue; /* one of each shape of which nothing is known; some twice */
    int n, next;    /* those from next on have not begun */
    int open;       /* have, and have not answered */
} probing;

static pm_status keep_probe(pm_sweeping *w, const pm_job *job, const cJSON *j, double more_s, pm_err *e) {
    pm_estimate x = {.wall_s = more_s,
                     .eval_token_s = pm_json_number(j, "eval_token_s"),
                     .text_token_s = pm_json_number(j, "text_token_s"),
                     .peak_rss_bytes = whole(j, "peak_rss_bytes"),
                     .peak_live_bytes = whole(j, "peak_live_bytes"),
                     .flops = whole(j, "flops"),
                     .steps = whole(j, "steps")};
    return pm_sweepdb_probe_put(w->db, job->shape, &w->host, &x, e);
}

/* One that had to compute what later runs will find (a decomposition of the weights) is asked once more. */
static pm_status read_probe(pm_sweeping *w, probing *p, const pm_ended *end, pm_err *e) {
    pm_job *job = end->job;
    cJSON *j = cJSON_Parse(end->out);
    char what[128];
    double more_s = pm_json_number(j, "more_s");
    bool prepared = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(j, "prepared"));
    snprintf(what, sizeof what, "measuring %s: ", job->cell->entry->label);
    pm_status rc = pm_sweep_refusal(j, what, e);
    if (!rc && isnan(more_s)) {
        pm_fail(e, PM_EIO, "%s%s", what, end->why);
        rc = pm_hint(
            e, "where memory is short: fewer at once (--jobs), or a smaller train.batch for this method");
    }
    if (!rc && prepared && !job->probed_twice) {
        job->probed_twice = true;
        p->queue[p->n++] = job;
    } else if (!rc)
        rc = keep_probe(w, job, j, end->wall_s + more_s, e);
    cJSON_Delete(j);
    return rc;
}

static bool is_queued(const probing *p, const pm_job *j) {
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->queue[i]->shape, j->shape) == 0) return true;
    return false;
}

static pm_status queue_unknown(pm_sweeping *w, probing *p, pm_err *e) {
    pm_status rc = PM_OK;
    p->queue = pm_xalloc((2 * (size_t)w->n_jobs + 1) * sizeof *p->queue);
    for (pm_job *j = w->job; j < w->job + w->n_jobs && !rc; j++) {
        pm_expected x;
        if (j->found || is_queued(p, j)) continue;
        rc = pm_sweep_expect(w, j, &x, e);
        if (!rc && !pm_sweep_best(&x)) p->queue[p->n++] = j;
    }
    return rc;
}

/* Places that are left over when all have begun keep the others company: the machine is as busy as runs will find it. */
static pm_status start_probes(pm_sweeping *w, probing *p, pm_err *e) {
    pm_status rc = PM_OK;
    for (; !rc && p->next < p->n && w->pool.n < w->pool.size; p->next++, p->open++)
        rc = start_probe(w, p->queue[p->next], p->queue[p->next], e);
    while (!rc && p->open && w->pool.n < w->pool.size) rc = start_probe(w, p->queue[p->n - 1], NULL, e);
    return rc;
}

pm_status pm_sweep_measure(pm_sweeping *w, pm_err *e) {
    probing p = {0};
    pm_status rc = queue_unknown(w, &p, e);
    for (;;) {
        pm_ended end;
        if (!rc && pm_interrupted) rc = pm_fail(e, PM_ECANCELLED, "interrupted while runs were measured");
        if (!rc) rc = start_probes(w, &p, e);
        if (rc || !p.open) pm_pool_stop(&w->pool);
        if (!w->pool.n) break;
        if (!pm_pool_wait(&w->pool, 0.5, &end)) continue;
        p.open -= end.job != NULL;
        if (end.job && !rc) rc = read_probe(w, &p, &end, e);
        free(end.out);
    }
    free(p.queue);
    return rc;
}

/* ---- the list ---- */

static void settings_text(const pm_job *j, pm_buf *b) {
    const pm_cell *c = j->cell;
    if (j->matched.trainable)
        pm_buf_printf(b, j->matched.near ? "%s%s(%lld parameters) " : "%s%s(%lld parameters: not matched) ",
                      j->matched.setting, j->matched.setting[0] ? " " : "", (long long)j->matched.trainable);
    if (j->final && c->n_tune && isnan(c->score)) {
        pm_buf_puts(b, "as will be chosen");
        return;
    }
    for (int k = 0; k < c->entry->n_spaces; k++)
        pm_buf_printf(b, "%s%s=%s", k ? ", " : "", c->entry->space[k].key, c->trials.value[j->trial][k]);
}

static void print_job(const pm_job *j, const pm_forecast *x) {
    pm_buf b = {0};
    settings_text(j, &b);
    printf("  %-14s %-5s seed %-3d %9.1f s %8.1f MB %7.0f kB  %s\n", j->cell->entry->label,
           j->final ? "final" : "tune", j->seed, x->wall_s, (double)x->peak_rss_bytes * 1e-6,
           (double)x->disk_bytes * 1e-3, b.p ? b.p : "");
    pm_buf_free(&b);
}

static cJSON *job_json(const pm_job *j, const pm_forecast *x) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "label", j->cell->entry->label);
    cJSON_AddStringToObject(o, "model", j->cell->model);
    cJSON_AddStringToObject(o, "task", j->cell->task);
    cJSON_AddStringToObject(o, "stage", j->final ? "final" : "tune");
    cJSON_AddNumberToObject(o, "trial", j->trial);
    cJSON_AddNumberToObject(o, "seed", j->seed);
    cJSON_AddNumberToObject(o, "wall_s", x->wall_s);
    cJSON_AddNumberToObject(o, "peak_rss_bytes", (double)x->peak_rss_bytes);
    cJSON_AddNumberToObject(o, "peak_live_bytes", (double)x->peak_live_bytes);
    cJSON_AddNumberToObject(o, "disk_bytes", (double)x->disk_bytes);
    cJSON_AddNumberToObject(o, "flops", (double)x->flops);
    if (j->matched.trainable) cJSON_AddNumberToObject(o, "trainable_params", (double)j->matched.trainable);
    return o;
}

typedef struct totals {
    int runs;
    double wall_s, rss, disk; /* sum, largest, sum */
} totals;

static void add(totals *t, const pm_forecast *x) {
    t->runs++;
    t->wall_s += x->wall_s;
    t->rss = fmax(t->rss, (double)x->peak_rss_bytes);
    t->disk += (double)x->disk_bytes;
}

static void print_totals(const pm_sweeping *w, const totals *t) {
    char each[32], all[32];
    pm_duration_text(t->wall_s, each, sizeof each);
    pm_duration_text(t->wall_s / w->pool.size, all, sizeof all);
    printf("sweep %s: %d runs to do, %d there already\n", w->plan->name, t->runs, w->n_found);
    printf("  about %s with %d at once (%s one after another), %.1f MB of memory at most for one, %.1f for "
           "all at once, "
           "%.1f MB of disk\n",
           all, w->pool.size, each, t->rss * 1e-6, t->rss * 1e-6 * w->pool.size, t->disk * 1e-6);
}

static void print_json(const pm_sweeping *w, const totals *t, cJSON *runs) {
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "sweep", w->plan->name);
    cJSON_AddNumberToObject(j, "jobs", w->pool.size);
    cJSON_AddNumberToObject(j, "runs_to_do", t->runs);
    cJSON_AddNumberToObject(j, "runs_found", w->n_found);
    cJSON_AddNumberToObject(j, "wall_s", t->wall_s / w->pool.size);
    cJSON_AddNumberToObject(j, "cpu_s", t->wall_s);
    cJSON_AddNumberToObject(j, "peak_rss_bytes", t->rss);
    cJSON_AddNumberToObject(j, "disk_bytes", t->disk);
    cJSON_AddItemToObject(j, "runs", runs);
    pm_json_print(j);
}

pm_status pm_sweep_list(pm_sweeping *w, pm_err *e) {
    totals t = {0};
    cJSON *runs = cJSON_CreateArray();
    pm_status rc = PM_OK;
    for (int i = 0; i < w->n_jobs && !rc; i++) {
        const pm_job *j = &w->job[i];
        pm_expected x;
        if (j->found || j->state == PM_JOB_OVER_BUDGET) continue;
        rc = pm_sweep_expect(w, j, &x, e);
        const pm_forecast *f = rc ? NULL : pm_sweep_best(&x);
        if (!f) continue;
        add(&t, f);
        cJSON_AddItemToArray(runs, job_json(j, f));
        if (!pm_global.json) print_job(j, f);
    }
    if (!rc && pm_global.json)
        print_json(w, &t, runs);
    else
        cJSON_Delete(runs);
    if (!rc && !pm_global.json) print_totals(w, &t);
    return rc;
}
