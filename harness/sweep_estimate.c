/* sweep_estimate.c - what a run will take, said before it starts: by runs of its shape that are done, else by a probe. A shape is all that
 * decides cost: model, data, method and training settings, but no seed and no rate.
 *
 * The split that is scored, and reading it, are not in the shape: a trial and a final run differ in nothing else, so both are
 * taken out of what was measured and put back for the split of the run at hand. So is the forgetting probe, which trials leave out.
 */
#include "host.h"
#include "jsonio.h"
#include "sha256.h"
#include "sweep_run.h"
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

/* ---- one run ---- */

/* How often a run scores its split: at the end, and for each point of the curve. */
static double scorings(const pm_job *j, const pm_estimate *x) {
    int every = j->config->m ? j->config->eval.every : 0;
    return 1 + (every ? (double)(x->steps / every) : 0);
}

static int64_t disk_bytes(const pm_job *j, const pm_estimate *x) {
    const int64_t row = 60, item = 80, rest = 8192; /* SQLite pages of real databases, divided */
    return row * x->steps + item * j->identity->eval_items + rest;
}

/* Both sides. Where nothing was trained nothing tells text from items. */
static double probe_s(const pm_job *j, const pm_estimate *x) {
    return 2 * (double)j->identity->probe_tokens * (x->text_token_s > 0 ? x->text_token_s : x->eval_token_s);
}

static void foresee(const pm_job *j, const pm_estimate *x, pm_forecast *f) {
    f->wall_s =
        x->wall_s + x->eval_token_s * (double)j->identity->eval_tokens * scorings(j, x) + probe_s(j, x);
    f->peak_rss_bytes = x->peak_rss_bytes + j->identity->data_rss_bytes;
    f->peak_live_bytes = x->peak_live_bytes;
    f->flops = x->flops;
    f->disk_bytes = disk_bytes(j, x);
    f->known = true;
}

pm_status pm_sweep_expect(pm_sweeping *w, const pm_job *j, pm_expected *out, pm_err *e) {
    static pm_status (*const from[PM_BASES])(pm_db *, const char *, const pm_host *, pm_estimate *, bool *,
                                             pm_err *) = {
        [PM_BY_RUNS] = pm_sweepdb_measured, [PM_BY_PROBE] = pm_sweepdb_probe_get};
    pm_status rc = PM_OK;
    *out = (pm_expected){.shape = j->shape,
                         .eval_tokens = j->identity->eval_tokens,
                         .data_rss_bytes = j->identity->data_rss_bytes};
    for (int b = 0; b < PM_BASES && !rc; b++) {
        pm_estimate x;
        bool found;
        rc = from[b](w->db, j->shape, &w->host, &x, &found, e);
        if (!rc && found) foresee(j, &x, &out->by[b]);
    }
    return rc;
}

const pm_forecast *pm_sweep_best(const pm_expected *x) {
    for (int b = 0; b < PM_BASES; b++)
        if (x->by[b].known) return &x->by[b];
    return NULL;
}

/* ---- all that is left ---- */

pm_status pm_sweep_learn(pm_sweeping *w, const char *shape, pm_err *e) {
    pm_status rc = PM_OK;
    for (pm_job *j = w->job; j < w->job + w->n_jobs && !rc; j++) {
        pm_expected x;
        if (j->state != PM_JOB_WAITING || (shape && strcmp(shape, j->shape) != 0)) continue;
        rc = pm_sweep_expect(w, j, &x, e);
        const pm_forecast *f = rc ? NULL : pm_sweep_best(&x);
        j->expected_s = f ? f->wall_s : (double)NAN;
    }
    return rc;
}

typedef struct left {
    double sum_s; /* of those whose time is known */
    int known, unknown;
} left;

static void add(left *l, double s, int n) {
    if (isnan(s))
        l->unknown += n;
    else
        l->sum_s += n * fmax(s, 0), l->known += n;
}

/* What nobody knows yet is taken to cost what the others do on average; final runs that are not laid out yet, what a trial does. */
double pm_sweep_left_s(const pm_sweeping *w) {
    left l = {0};
    for (const pm_job *j = w->job; j < w->job + w->n_jobs; j++) {
        if (j->state == PM_JOB_WAITING) add(&l, j->expected_s, 1);
        if (j->state == PM_JOB_RUNNING) add(&l, j->expected_s - (pm_now_s() - j->begun), 1);
    }
    for (const pm_cell *c = w->cell; c < w->cell + w->n_cells && w->n_jobs == w->n_tune; c++)
        add(&l, c->n_tune ? w->job[c->first].expected_s : (double)NAN, pm_sweep_final_seeds(w, c));
    if (!l.known) return NAN;
    int n = l.known + l.unknown;
    return l.sum_s / l.known * n / (n < w->pool.size ? n : w->pool.size);
}

/* ---- how wrong it was ---- */

void pm_sweep_errors(pm_sweeping *w, pm_errors *out) {
    static const char *const name[] = {"wall_s", "peak_rss_bytes", "peak_live_bytes"};
    double *to[] = {&out->time, &out->rss, &out->live};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (pm_sweepdb_median_error(w->db, w->plan->name, name[i], to[i], &out->n, NULL))
            *to[i] = (double)NAN, out->n = 0;
}
