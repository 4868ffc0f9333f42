/* sweep_predict.c - what runs would take, from probes: a few steps of one run of each shape, as many at once as runs later, since what runs
 * beside a run slows it. A shape is all that decides cost: model, data, method and training settings, but no seed and no rate.
 */
#include "cmd.h"
#include "host.h"
#include "jsonio.h"
#include "sha256.h"
#include "sweep_run.h"
#include "text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool costs(const char *key) {
    static const char *const other[] = {"seed", "model", "task", "method.alpha", "method.rslora"};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (strcmp(other[i], key) == 0) return false;
    return strncmp(key, "optim.", 6) != 0 && strncmp(key, "eval.", 5) != 0;
}

void pm_sweep_shape(pm_job *j) {
    cJSON *all = pm_config_object(j->config);
    pm_json_keep(all, costs);
    cJSON_AddStringToObject(all, "run.model_hash", j->identity->model_hash);
    cJSON_AddStringToObject(all, "run.train_hash", j->identity->train_hash);
    char *text = cJSON_PrintUnformatted(all);
    pm_sha256_of(text, strlen(text), j->shape);
    free(text);
    cJSON_Delete(all);
}

static void machine_of(char *out, size_t cap) {
    pm_host h;
    pm_host_get(&h);
    snprintf(out, cap, "%.200s, %d cores", h.cpu, h.cores);
}

static pm_status find_estimate(pm_sweeping *w, const pm_job *j, pm_estimate *x, bool *found, pm_err *e) {
    char machine[256];
    machine_of(machine, sizeof machine);
    return pm_sweepdb_probe_get(w->db, j->shape, machine, x, found, e);
}

static double predicted_s(const pm_job *j, const pm_estimate *x) {
    return x->wall_s + x->eval_token_s * (double)j->identity->eval_tokens;
}

pm_status pm_sweep_record(pm_sweeping *w, const pm_job *j, double wall_s, pm_err *e) {
    pm_estimate x;
    bool found;
    int64_t rss;
    pm_status rc = find_estimate(w, j, &x, &found, e);
    if (rc || !found) return rc;
    rc = pm_sweepdb_peak_rss(w->db, j->run_id, &rss, e);
    if (!rc) rc = pm_sweepdb_predicted(w->db, j->run_id, "wall_s", predicted_s(j, &x), wall_s, e);
    if (!rc)
        rc = pm_sweepdb_predicted(w->db, j->run_id, "peak_rss_bytes", (double)x.peak_rss_bytes, (double)rss,
                                  e);
    return rc ? rc : pm_sweepdb_predicted(w->db, j->run_id, "flops", (double)x.flops, (double)j->flops, e);
}

/* ---- probing ---- */

static char *probe_settings(const pm_config *c) {
    pm_config v = *c;
    snprintf(v.eval.split, sizeof v.eval.split, "validation");
    return pm_config_json(&v);
}

static pm_status start_probe(pm_sweeping *w, pm_job *j, pm_err *e) {
    char *settings = probe_settings(j->config);
    const char *argv[] = {"peftmeter", "worker", "--probe", settings, NULL};
    pm_status rc = pm_pool_start(&w->pool, argv, j, e); /* it has them when this returns */
    free(settings);
    return rc;
}

static double number(const cJSON *j, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, key);
    return cJSON_IsNumber(v) ? v->valuedouble : (double)NAN;
}

static pm_status read_probe(pm_sweeping *w, const pm_ended *end, pm_err *e) {
    const pm_job *job = end->job;
    cJSON *j = cJSON_Parse(end->out);
    char what[128], machine[256];
    double more = number(j, "more_s");
    snprintf(what, sizeof what, "measuring %s: ", job->cell->entry->label);
    pm_status rc = pm_sweep_refusal(j, what, e);
    if (!rc && isnan(more)) rc = pm_fail(e, PM_EIO, "%s%s", what, end->why);
    if (!rc) {
        pm_estimate x = {end->wall_s + more, number(j, "eval_token_s"), (int64_t)number(j, "peak_rss_bytes"),
                         (int64_t)number(j, "flops"), (int64_t)number(j, "steps")};
        machine_of(machine, sizeof machine);
        rc = pm_sweepdb_probe_put(w->db, job->shape, machine, &x, e);
    }
    cJSON_Delete(j);
    return rc;
}

/* Whether a job before this one has the same shape. */
static bool is_first(const pm_sweeping *w, int i) {
    for (int k = 0; k < i; k++)
        if (!w->job[k].found && strcmp(w->job[i].shape, w->job[k].shape) == 0) return false;
    return true;
}

/* The next job from *at on whose shape nobody has measured; NULL: none. */
static pm_status next_unmeasured(pm_sweeping *w, int *at, pm_job **out, pm_err *e) {
    *out = NULL;
    for (; *at < w->n_jobs; ++*at) {
        pm_estimate x;
        bool found;
        if (w->job[*at].found || !is_first(w, *at)) continue;
        pm_status rc = find_estimate(w, &w->job[*at], &x, &found, e);
        if (rc || found) {
            if (rc) return rc;
            continue;
        }
        *out = &w->job[(*at)++];
        return PM_OK;
    }
    return PM_OK;
}

static pm_status start_probes(pm_sweeping *w, int *at, pm_err *e) {
    pm_status rc = PM_OK;
    pm_job *j = NULL;
    while (!rc && w->pool.n < w->pool.size && *at < w->n_jobs) {
        rc = next_unmeasured(w, at, &j, e);
        if (!rc && j) rc = start_probe(w, j, e);
    }
    return rc;
}

pm_status pm_sweep_measure(pm_sweeping *w, pm_err *e) {
    pm_status rc = PM_OK;
    int at = 0;
    for (;;) {
        pm_ended end;
        if (!rc && pm_interrupted) rc = pm_fail(e, PM_ECANCELLED, "interrupted while runs were measured");
        if (!rc) rc = start_probes(w, &at, e);
        if (!w->pool.n) return rc;
        if (rc) pm_pool_stop(&w->pool);
        if (!pm_pool_wait(&w->pool, 0.5, &end)) continue;
        if (!rc) rc = read_probe(w, &end, e);
        free(end.out);
    }
}

/* ---- the list ---- */

static int64_t predicted_disk(const pm_job *j, const pm_estimate *x) {
    const int64_t row = 60, item = 80, rest = 8192; /* bytes: SQLite pages of real databases, divided */
    return row * x->steps + item * j->identity->eval_items + rest;
}

static void settings_text(const pm_job *j, pm_buf *b) {
    const pm_cell *c = j->cell;
    if (j->matched.trainable)
        pm_buf_printf(b, "%s%s(%lld parameters) ", j->matched.setting, j->matched.setting[0] ? " " : "",
                      (long long)j->matched.trainable);
    if (j->final && c->n_tune && isnan(c->score)) {
        pm_buf_puts(b, "as will be chosen");
        return;
    }
    for (int k = 0; k < c->entry->n_spaces; k++)
        pm_buf_printf(b, "%s%s=%s", k ? ", " : "", c->entry->space[k].key, c->trials.value[j->trial][k]);
}

static void print_job(const pm_job *j, const pm_estimate *x) {
    pm_buf b = {0};
    settings_text(j, &b);
    printf("  %-14s %-5s seed %-3d %9.1f s %8.1f MB %7.0f kB  %s\n", j->cell->entry->label,
           j->final ? "final" : "tune", j->seed, predicted_s(j, x), (double)x->peak_rss_bytes * 1e-6,
           (double)predicted_disk(j, x) * 1e-3, b.p ? b.p : "");
    pm_buf_free(&b);
}

static cJSON *job_json(const pm_job *j, const pm_estimate *x) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "label", j->cell->entry->label);
    cJSON_AddStringToObject(o, "model", j->cell->model);
    cJSON_AddStringToObject(o, "task", j->cell->task);
    cJSON_AddStringToObject(o, "stage", j->final ? "final" : "tune");
    cJSON_AddNumberToObject(o, "trial", j->trial);
    cJSON_AddNumberToObject(o, "seed", j->seed);
    cJSON_AddNumberToObject(o, "wall_s", predicted_s(j, x));
    cJSON_AddNumberToObject(o, "peak_rss_bytes", (double)x->peak_rss_bytes);
    cJSON_AddNumberToObject(o, "disk_bytes", (double)predicted_disk(j, x));
    cJSON_AddNumberToObject(o, "flops", (double)x->flops);
    if (j->matched.trainable) cJSON_AddNumberToObject(o, "trainable_params", (double)j->matched.trainable);
    return o;
}

typedef struct totals {
    int runs;
    double wall_s, rss, disk; /* sum, largest, sum */
} totals;

static void add(totals *t, const pm_job *j, const pm_estimate *x) {
    t->runs++;
    t->wall_s += predicted_s(j, x);
    t->rss = fmax(t->rss, (double)x->peak_rss_bytes);
    t->disk += (double)predicted_disk(j, x);
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
        pm_estimate x;
        bool found;
        if (j->found) continue;
        rc = find_estimate(w, j, &x, &found, e);
        if (rc || !found) continue;
        add(&t, j, &x);
        cJSON_AddItemToArray(runs, job_json(j, &x));
        if (!pm_global.json) print_job(j, &x);
    }
    if (!rc && pm_global.json)
        print_json(w, &t, runs);
    else
        cJSON_Delete(runs);
    if (!rc && !pm_global.json) print_totals(w, &t);
    return rc;
}
