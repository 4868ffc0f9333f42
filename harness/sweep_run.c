/* sweep_run.c - drives a sweep in two stages: all trials of all methods with test data locked; then, where every trial is settled, the
 * chosen setting over all seeds. A run is found again by its run key, so the same command goes on where it was stopped.
 */
#include "sweep_run.h"
#include "cmd.h"
#include "commons.h"
#include "fetch.h"
#include "host.h"
#include "jsonio.h"
#include "text.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_WAIT_S 15.0 /* workers of a sweep that was killed end within moments */

/* ---- one sweep at a time on a database ---- */

static pm_status lock_failed(const char *path, pm_err *e) {
    bool busy = errno == EWOULDBLOCK;
    pm_fail(e, PM_EDB, "%s: %s", path, busy ? "another sweep is writing to this database" : strerror(errno));
    return pm_hint(e, busy ? "wait for it, or name another file with --db"
                           : "check that the folder may be written");
}

/* Workers inherit the lock: it is free when the sweep and all that it started are gone. */
static pm_status take_lock(pm_sweeping *w, pm_err *e) {
    char path[4096];
    int n = snprintf(path, sizeof path, "%s.sweep", w->db_path);
    if (n < 0 || (size_t)n >= sizeof path)
        return pm_fail(e, PM_EDB, "%.200s...: the name is too long", w->db_path);
    w->lock = open(path, O_RDWR | O_CREAT, 0666);
    if (w->lock < 0) return lock_failed(path, e);
    double end = pm_now_s() + LOCK_WAIT_S;
    while (flock(w->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK || pm_now_s() > end || pm_interrupted) return lock_failed(w->db_path, e);
        usleep(50000);
    }
    return PM_OK;
}

/* ---- what identifies runs ---- */

/* The settings that decide it, as JSON without a method. */
static char *facts_settings(const pm_config *c) {
    pm_config *f = pm_config_new();
    memcpy(f->model, c->model, sizeof f->model);
    memcpy(f->task, c->task, sizeof f->task);
    memcpy(f->eval.split, c->eval.split, sizeof f->eval.split);
    memcpy(f->eval.probe, c->eval.probe, sizeof f->eval.probe);
    f->train.max_len = c->train.max_len;
    f->train.loss_on = c->train.loss_on;
    f->eval.limit = c->eval.limit;
    f->threads = c->threads;
    f->precision = c->precision; /* these three: of the roofline */
    f->backend = c->backend;
    cJSON *j = pm_config_object(f);
    pm_config_free(f);
    cJSON_DeleteItemFromObject(j, "method");
    char *text = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    return text;
}

static pm_facts *facts_of(pm_sweeping *w, const pm_config *c, bool locked) {
    char *settings = facts_settings(c);
    for (int i = 0; i < w->n_facts; i++)
        if (strcmp(w->facts[i]->settings, settings) == 0) {
            free(settings);
            return w->facts[i];
        }
    pm_facts *f = pm_xalloc(sizeof *f);
    *f = (pm_facts){.settings = settings, .locked = locked};
    w->facts = pm_xrealloc(w->facts, (size_t)(w->n_facts + 1) * sizeof(pm_facts *));
    return w->facts[w->n_facts++] = f;
}

static pm_status start_facts(pm_sweeping *w, pm_facts *f, pm_err *e) {
    const char *argv[] = {"peftmeter", "worker",         "--facts",
                          f->settings, w->common_option, f->locked ? "--lock-test" : NULL,
                          NULL};
    return pm_pool_start(&w->pool, argv, f, e);
}

pm_status pm_sweep_refusal(const cJSON *answer, const char *what, pm_err *e) {
    const char *error = pm_json_str(answer, "error", NULL), *hint = pm_json_str(answer, "hint", "");
    if (!error) return PM_OK;
    pm_status rc = pm_fail(e, (pm_status)pm_json_int(answer, "code", PM_EIO), "%s%s", what, error);
    return *hint ? pm_hint(e, "%s", hint) : rc;
}

/* Text of an answer into a field; false when it is not there. */
static bool take(const cJSON *j, const char *key, char *out, size_t cap) {
    const char *s = pm_json_str(j, key, NULL);
    return s && (size_t)snprintf(out, cap, "%s", s) < cap;
}

static int64_t whole(const cJSON *j, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, key);
    return cJSON_IsNumber(v) ? (int64_t)v->valuedouble : 0;
}

static pm_status read_facts(pm_facts *f, const pm_ended *end, pm_err *e) {
    cJSON *j = cJSON_Parse(end->out);
    pm_identity *i = &f->identity;
    pm_status rc = pm_sweep_refusal(j, "", e);
    if (!rc && (!take(j, "task", i->task, sizeof i->task) ||
                !take(j, "model_hash", i->model_hash, sizeof i->model_hash) ||
                !take(j, "train_hash", i->train_hash, sizeof i->train_hash) ||
                !take(j, "data_hash", i->data_hash, sizeof i->data_hash))) {
        pm_fail(e, PM_EIO, "reading model and data: %s", end->why);
        rc = pm_hint(e,
                     "fewer at once (--jobs) where memory is short; `peftmeter run` with this model and task "
                     "says more");
    }
    take(j, "probe_hash", i->probe_hash, sizeof i->probe_hash);
    i->task_version = pm_json_int(j, "task_version", 0);
    i->eval_items = pm_json_int(j, "eval_items", 0);
    i->eval_tokens = whole(j, "eval_tokens");
    i->probe_tokens = whole(j, "probe_tokens");
    i->data_rss_bytes = whole(j, "data_rss_bytes");
    cJSON_Delete(j);
    return rc;
}

/* Asks for the facts [from, n_facts), as many at once as runs later. The first failure ends it. */
static pm_status learn_facts(pm_sweeping *w, int from, pm_err *e) {
    pm_status rc = PM_OK;
    for (int next = from; next < w->n_facts || w->pool.n;) {
        pm_ended end;
        while (!rc && next < w->n_facts && w->pool.n < w->pool.size) rc = start_facts(w, w->facts[next++], e);
        if (rc) next = w->n_facts;
        if (!rc && pm_interrupted) {
            pm_pool_stop(&w->pool);
            rc = pm_fail(e, PM_ECANCELLED, "interrupted while models and data were read");
        }
        if (!pm_pool_wait(&w->pool, 0.5, &end)) continue;
        if (!rc) rc = read_facts(end.job, &end, e);
        free(end.out);
    }
    return rc;
}

/* ---- laying out ---- */

static const pm_shape *shape_of(const pm_sweeping *w, const char *model) {
    int m = 0;
    while (strcmp(w->plan->models[m], model) != 0) m++;
    return &w->shape[m];
}

static pm_status read_shapes(pm_sweeping *w, pm_err *e) {
    pm_status rc = PM_OK;
    if (!w->plan->match) return PM_OK;
    w->shape = pm_xalloc((size_t)w->plan->n_models * sizeof *w->shape);
    for (int m = 0; m < w->plan->n_models && !rc; m++)
        rc = pm_shape_open(w->plan->models[m], &w->shape[m], e);
    return rc;
}

static pm_status add_job(pm_sweeping *w, pm_cell *c, int trial, int seed, bool final, pm_err *e) {
    const char(*value)[PM_FIELD_STR] = (const char(*)[PM_FIELD_STR])c->trials.value[trial];
    pm_sweep_run r = {.entry = c->entry,
                      .model = c->model,
                      .task = c->task,
                      .split = final ? w->plan->final : "validation",
                      .value = value,
                      .seed = seed,
                      .final = final};
    pm_job j = {.cell = c, .trial = trial, .seed = seed, .final = final, .score = NAN, .expected_s = NAN};
    pm_status rc = pm_sweep_config(w->plan, &r, &j.config, e);
    if (!rc && w->plan->match && c->entry->method)
        rc = pm_match(shape_of(w, c->model), j.config, w->plan->match, &j.matched, e);
    if (rc) {
        pm_config_free(j.config);
        return rc;
    }
    w->job = pm_xrealloc(w->job, (size_t)(w->n_jobs + 1) * sizeof *w->job);
    w->job[w->n_jobs++] = j;
    return PM_OK;
}

/* Facts are asked for first, all at once; then every job gets its key. */
static pm_status identify_jobs(pm_sweeping *w, int from, bool locked, pm_err *e) {
    int known = w->n_facts;
    for (int i = from; i < w->n_jobs; i++) facts_of(w, w->job[i].config, locked);
    pm_status rc = learn_facts(w, known, e);
    for (int i = from; i < w->n_jobs && !rc; i++) {
        pm_job *j = &w->job[i];
        j->identity = &facts_of(w, j->config, locked)->identity;
        const char *train_hash = j->config->m ? j->identity->train_hash : "";
        pm_run_facts f = {j->identity->task,       j->identity->task_version,
                          j->identity->data_hash,  train_hash,
                          j->identity->model_hash, "",
                          j->identity->probe_hash};
        pm_run_key(j->config, &f, j->key);
        pm_sweep_shape(j);
    }
    return rc ? rc : pm_sweep_learn(w, NULL, e);
}

static void add_cell(pm_sweeping *w, const pm_entry *x, const char *model, const char *task) {
    pm_cell *c = &w->cell[w->n_cells++];
    *c = (pm_cell){.entry = x, .model = model, .task = task, .chosen = -1, .score = NAN};
    memcpy(c->metric, w->plan->metric, sizeof c->metric);
    pm_trials_make(x, w->plan->trials, w->plan->draw_seed, &c->trials);
    if (c->trials.n == 1) c->chosen = 0; /* nothing to choose from */
}

/* Told before the first trial, not after the last. */
static pm_status check_scored(const pm_sweeping *w, pm_err *e) {
    for (const pm_job *j = w->job; j < w->job + w->n_tune; j++) {
        if (j->identity->eval_items) continue;
        pm_fail(e, PM_EUSAGE, "plan: task %.200s has no validation items, by which %s would be chosen",
                j->cell->task, j->cell->entry->label);
        return pm_hint(e, "fix its settings (no \"search\"), or take a task with a validation split");
    }
    return PM_OK;
}

static pm_status lay_out(pm_sweeping *w, pm_err *e) {
    const pm_sweep *s = w->plan;
    w->cell = pm_xalloc((size_t)s->n_models * (size_t)s->n_tasks * (size_t)s->n_entries * sizeof *w->cell);
    for (int t = 0; t < s->n_tasks; t++)
        for (int m = 0; m < s->n_models; m++)
            for (int x = 0; x < s->n_entries; x++) add_cell(w, &s->entries[x], s->models[m], s->tasks[t]);
    pm_status rc = read_shapes(w, e);
    for (pm_cell *c = w->cell; c < w->cell + w->n_cells; c++) {
        c->first = w->n_jobs;
        for (int t = 0; t < c->trials.n && c->chosen < 0; t++)
            for (int k = 0; k < s->n_tuning_seeds && !rc; k++)
                rc = add_job(w, c, t, s->tuning_seeds[k], false, e);
        c->n_tune = w->n_jobs - c->first;
    }
    w->n_tune = w->n_jobs;
    if (!rc) rc = identify_jobs(w, 0, true, e);
    return rc ? rc : check_scored(w, e);
}

/* ---- one run ---- */

static pm_place place_of(const pm_sweeping *w, const pm_job *j) {
    return (pm_place){w->plan->name, j->final ? "final" : "tune", j->cell->entry->label, j->trial};
}

/* The plan's metric is one that the task does not measure: all trials would end like the first. */
static pm_status check_metric(pm_sweeping *w, const pm_job *j, pm_db *d, pm_err *e) {
    char any[24] = "";
    double score;
    if (j->final || !*w->plan->metric || !isnan(j->score)) return PM_OK;
    pm_status rc = pm_sweepdb_score(d, j->run_id, "validation", any, &score, e);
    if (rc || isnan(score)) return rc;
    pm_fail(e, PM_EUSAGE, "plan: tuning.metric: task %.200s does not measure %s", j->cell->task,
            w->plan->metric);
    return pm_hint(e, "it measures %s; without tuning.metric that is what is chosen by", any);
}

static pm_status read_result(pm_sweeping *w, pm_job *j, pm_err *e) {
    const char *split = j->final ? w->plan->final : "validation";
    pm_db *d = j->other ? w->known : w->db;
    pm_status rc = pm_sweepdb_score(d, j->run_id, split, j->cell->metric, &j->score, e);
    if (!rc) rc = pm_sweepdb_flops(d, j->run_id, &j->flops, e);
    if (!rc && j->final) rc = pm_sweepdb_params(d, j->run_id, &j->cell->trainable, e);
    return rc ? rc : check_metric(w, j, d, e);
}

static pm_status settle(pm_sweeping *w, pm_job *j, pm_row_state row, pm_err *e) {
    j->state = row == PM_ROW_OK ? PM_JOB_OK : row == PM_ROW_DIVERGED ? PM_JOB_DIVERGED : PM_JOB_FAILED;
    w->n_done++;
    w->n_failed += j->state == PM_JOB_FAILED;
    return j->state == PM_JOB_FAILED ? PM_OK : read_result(w, j, e);
}

static bool is_done(pm_row_state row) {
    return row == PM_ROW_OK || row == PM_ROW_DIVERGED;
}

static pm_status take_found(pm_sweeping *w, pm_job *j, pm_row_state row, int64_t id, bool other, pm_err *e) {
    pm_place p = place_of(w, j);
    j->run_id = id;
    j->other = other;
    j->found = true;
    w->n_found++;
    pm_status rc = other ? PM_OK : pm_sweepdb_place(w->db, id, &p, e);
    return rc ? rc : settle(w, j, row, e);
}

/* What is neither there nor ours: somebody else's failure, or not done yet. */
static pm_status leave(pm_sweeping *w, pm_job *j, bool broken, pm_err *e) {
    if (broken) return settle(w, j, PM_ROW_BROKEN, e);
    j->state = PM_JOB_ELSEWHERE;
    w->n_elsewhere++;
    w->bar.total--;
    return PM_OK;
}

/* A job whose run is there, or that is not ours, needs no process. *old: a broken row to begin anew. */
static pm_status look_up(pm_sweeping *w, pm_job *j, int64_t *old, pm_err *e) {
    pm_row_state row, known = PM_ROW_NONE;
    int64_t id, known_id = 0;
    *old = 0;
    pm_status rc = pm_sweepdb_find(w->db, j->key, w->commit, &row, &id, e);
    if (!rc && w->known && !is_done(row))
        rc = pm_sweepdb_find(w->known, j->key, w->commit, &known, &known_id, e);
    if (rc) return rc;
    if (is_done(row)) return take_found(w, j, row, id, false, e);
    if (is_done(known)) return take_found(w, j, known, known_id, true, e);
    bool broken = row == PM_ROW_BROKEN || known == PM_ROW_BROKEN;
    if (!pm_shard_is_ours(w, j)) return leave(w, j, broken, e);
    if (row == PM_ROW_BROKEN) *old = id;
    return PM_OK;
}

static pm_status begin_row(pm_sweeping *w, pm_job *j, int64_t old, pm_err *e) {
    char *settings = pm_config_json(j->config);
    pm_db_run row = {.run_key = j->key,
                     .model = j->config->model,
                     .task = j->identity->task,
                     .method = j->config->m ? j->config->method : "none",
                     .config = settings,
                     .model_hash = j->identity->model_hash,
                     .data_hash = j->identity->data_hash,
                     .train_hash = j->config->m ? j->identity->train_hash : NULL,
                     .commit_id = pm_commit,
                     .dirty = pm_dirty,
                     .peftmeter_version = pm_version,
                     .seed = j->config->seed};
    pm_place p = place_of(w, j);
    pm_expected x;
    pm_status rc = pm_sweep_expect(w, j, &x, e);
    if (!rc) rc = pm_sweepdb_begin(w->db, &row, &p, &x, old, &j->run_id, e);
    free(settings);
    return rc;
}

static pm_status start(pm_sweeping *w, pm_job *j, int64_t old, pm_err *e) {
    char id[24];
    pm_status rc = begin_row(w, j, old, e);
    if (rc) return rc;
    snprintf(id, sizeof id, "%lld", (long long)j->run_id);
    const char *argv[] = {"peftmeter", "worker", "--db",           w->db_path,
                          "--run-id",  id,       w->common_option, j->final ? NULL : "--lock-test",
                          NULL};
    j->state = PM_JOB_RUNNING;
    j->begun = pm_now_s();
    return pm_pool_start(&w->pool, argv, j, e);
}

static pm_status end(pm_sweeping *w, const pm_ended *x, pm_err *e) {
    pm_job *j = x->job;
    const char *status = x->how == PM_ENDED_LATE ? "timeout" : pm_interrupted ? "cancelled" : "failed";
    pm_row_state row;
    pm_status rc = pm_sweepdb_settle(w->db, j->run_id, status, x->why, x->how == PM_ENDED_LATE, &row, e);
    snprintf(j->why, sizeof j->why, "%s", x->why);
    if (!rc) rc = settle(w, j, row, e);
    return rc || j->state != PM_JOB_OK ? rc : pm_sweep_learn(w, j->shape, e);
}

/* ---- which next ---- */

/* The FLOPs of a trial over its tuning seeds. A diverged one's were not counted: it is charged like the last that was. */
static double flops_of(const pm_sweeping *w, const pm_cell *c, int trial, double last) {
    double sum = 0;
    for (int i = c->first; i < c->first + c->n_tune; i++)
        if (w->job[i].trial == trial) sum += (double)w->job[i].flops;
    return sum > 0 ? sum : last;
}

/* What the trials before it took leaves room for another like the last. The first always starts. */
static bool has_room(const pm_sweeping *w, const pm_job *j) {
    double spent = 0, last = 0;
    for (int t = 0; t < j->trial; t++) spent += last = flops_of(w, j->cell, t, last);
    return j->trial == 0 || spent + last <= w->plan->flops;
}

static bool is_over(const pm_sweeping *w, const pm_job *j) {
    for (const pm_job *o = &w->job[j->cell->first]; o->trial < j->trial; o++)
        if (o->state == PM_JOB_OVER_BUDGET) return true;
    return !has_room(w, j);
}

/* In a budget of FLOPs a method's trials go one after another: the next starts when all before it are settled and there is room. */
static bool affordable(pm_sweeping *w, pm_job *j) {
    if (w->plan->flops <= 0 || j->final) return true;
    for (const pm_job *o = &w->job[j->cell->first]; o->trial < j->trial; o++)
        if (o->state != PM_JOB_OK && o->state != PM_JOB_DIVERGED && o->state != PM_JOB_OVER_BUDGET &&
            !(w->accept_failed && o->state == PM_JOB_FAILED))
            return false;
    if (!is_over(w, j)) return true;
    j->state = PM_JOB_OVER_BUDGET;
    w->n_done++;
    return false;
}

/* The same settings under two names are one run: the second waits and finds it done. */
static bool in_flight(const pm_sweeping *w, const pm_job *j) {
    for (const pm_job *o = w->job; o < w->job + w->n_jobs; o++)
        if (o->state == PM_JOB_RUNNING && strcmp(o->key, j->key) == 0) return true;
    return false;
}

/* Starts the next job of [from, n_jobs) that may start, after settling those that are done already. *started: one was. */
static pm_status start_next(pm_sweeping *w, int from, bool *started, pm_err *e) {
    *started = false;
    for (int i = from; i < w->n_jobs; i++) {
        pm_job *j = &w->job[i];
        int64_t old;
        if (j->state != PM_JOB_WAITING || !affordable(w, j) || in_flight(w, j)) continue;
        pm_status rc = look_up(w, j, &old, e);
        if (rc) return rc;
        if (j->state != PM_JOB_WAITING) continue;
        *started = true;
        return start(w, j, old, e);
    }
    return PM_OK;
}

static pm_status fill_places(pm_sweeping *w, int from, pm_err *e) {
    pm_status rc = PM_OK;
    for (bool started = true; started && !rc && !pm_interrupted && w->pool.n < w->pool.size;)
        rc = start_next(w, from, &started, e);
    return rc;
}

static void show(pm_sweeping *w) {
    w->bar.first = w->n_found; /* they cost nothing, and say nothing of the rate */
    w->bar.left_s = pm_sweep_left_s(w);
    pm_progress_update(&w->bar, w->n_done, "%d running, %d failed", w->pool.n, w->n_failed);
}

/* Runs all jobs from `from` on. A failed run is data; a failure here is the database's or the system's: then, as after Ctrl-C, nothing
 * is started any more and what runs is asked to end. */
static pm_status run_jobs(pm_sweeping *w, int from, pm_err *e) {
    pm_status rc = PM_OK;
    for (;;) {
        pm_ended x;
        pm_err later = {0};
        if (!rc) rc = fill_places(w, from, e);
        if (!w->pool.n) return rc;
        show(w);
        if (rc || pm_interrupted) pm_pool_stop(&w->pool);
        if (!pm_pool_wait(&w->pool, 0.5, &x)) continue;
        pm_status ended = end(w, &x, &later);
        free(x.out);
        if (!rc && ended) *e = later, rc = ended;
    }
}

/* ---- choosing ---- */

static bool is_settled(const pm_sweeping *w, const pm_job *j) {
    return j->state == PM_JOB_OK || j->state == PM_JOB_DIVERGED || j->state == PM_JOB_OVER_BUDGET ||
           (j->state == PM_JOB_FAILED && w->accept_failed);
}

/* Mean over tuning seeds; one that has no score makes the trial one without. */
static double trial_score(const pm_sweeping *w, const pm_cell *c, int trial) {
    double sum = 0;
    int n = 0;
    for (int i = c->first; i < c->first + c->n_tune; i++)
        if (w->job[i].trial == trial) sum += w->job[i].score, n++;
    return n ? sum / n : (double)NAN;
}

/* A choice made while a trial is missing would be another one later, and its test results be read in vain. */
static pm_status choose(pm_sweeping *w, pm_cell *c, pm_err *e) {
    if (c->n_tune == 0) return PM_OK;
    for (int i = c->first; i < c->first + c->n_tune; i++)
        if (!is_settled(w, &w->job[i])) return PM_OK;
    bool up = true;
    pm_status rc = *c->metric ? pm_metric_direction(c->metric, &up, e) : PM_OK;
    double *score = pm_xalloc((size_t)c->trials.n * sizeof *score);
    for (int t = 0; t < c->trials.n; t++) score[t] = trial_score(w, c, t);
    if (!rc) c->chosen = pm_choose(score, c->trials.n, up);
    if (c->chosen >= 0) c->score = score[c->chosen];
    free(score);
    return rc;
}

/* Nothing about the untuned model is drawn. */
int pm_sweep_final_seeds(const pm_sweeping *w, const pm_cell *c) {
    return c->entry->method ? w->plan->n_seeds : 1;
}

static pm_status lay_out_finals(pm_sweeping *w, pm_err *e) {
    pm_status rc = PM_OK;
    for (pm_cell *c = w->cell; c < w->cell + w->n_cells && !rc; c++) {
        c->first_final = w->n_jobs;
        for (int k = 0; k < pm_sweep_final_seeds(w, c) && c->chosen >= 0 && !rc; k++)
            rc = add_job(w, c, c->chosen, w->plan->seeds[k], true, e);
        c->n_final = w->n_jobs - c->first_final;
    }
    return rc ? rc : identify_jobs(w, w->n_tune, false, e);
}

/* ---- the whole ---- */

static pm_status open_all(pm_sweeping *w, const pm_sweep_opts *o, pm_err *e) {
    pm_pool_init(&w->pool, o->jobs, o->timeout_s);
    pm_host_get(&w->host);
    if (o->this_commit) w->commit = pm_commit;
    w->common = pm_commons_create();
    snprintf(w->common_option, sizeof w->common_option, "--common=%d", w->common);
    pm_status rc = pm_mkdir_parent(w->db_path, e);
    if (rc) return pm_hint(e, "name another file with --db");
    rc = take_lock(w, e);
    if (!rc) rc = pm_db_open(w->db_path, &w->db, e);
    if (!rc && o->known) rc = pm_db_open_readonly(o->known, &w->known, e);
    return rc ? rc : pm_sweepdb_bury(w->db, e);
}

pm_status pm_sweep_bury_idle(const char *db_path, pm_err *e) {
    char path[4096];
    pm_db *d;
    int n = snprintf(path, sizeof path, "%s.sweep", db_path);
    int lock = n > 0 && (size_t)n < sizeof path ? open(path, O_RDWR) : -1;
    pm_status rc = PM_OK;
    if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0 && access(db_path, W_OK) == 0) {
        rc = pm_db_open(db_path, &d, e);
        if (!rc) {
            rc = pm_sweepdb_bury(d, e);
            pm_db_close(d);
        }
    }
    if (lock >= 0) close(lock);
    return rc;
}

static pm_status forget_old(pm_sweeping *w, pm_err *e) {
    int64_t *kept = pm_xalloc((size_t)w->n_jobs * sizeof *kept);
    int n = 0;
    for (int i = 0; i < w->n_jobs; i++)
        if (w->job[i].run_id) kept[n++] = w->job[i].run_id;
    pm_status rc = pm_sweepdb_forget(w->db, w->plan->name, w->commit, kept, n, e);
    free(kept);
    return rc;
}

/* Whether all runs of the plan have been seen in this database. */
static bool is_whole(const pm_sweeping *w) {
    return (w->part.stage == PM_STAGE_BOTH || w->part.stage == PM_STAGE_NEITHER) && !w->known &&
           !w->n_failed && !w->n_elsewhere;
}

static pm_status both_stages(pm_sweeping *w, pm_err *e) {
    pm_status rc = lay_out(w, e);
    if (rc) return rc;
    int64_t runs = w->n_tune;
    for (int i = 0; i < w->n_cells && w->part.stage != PM_STAGE_TUNE; i++)
        runs += pm_sweep_final_seeds(w, &w->cell[i]);
    pm_progress_begin(&w->bar, w->plan->name, runs, "run");
    rc = run_jobs(w, 0, e);
    for (pm_cell *c = w->cell; c < w->cell + w->n_cells && !rc && !pm_interrupted; c++) rc = choose(w, c, e);
    bool tested = w->part.stage != PM_STAGE_TUNE;
    if (!rc && !pm_interrupted && tested) rc = lay_out_finals(w, e);
    if (!rc && !pm_interrupted && tested) rc = run_jobs(w, w->n_tune, e);
    if (!rc && !pm_interrupted && is_whole(w)) rc = forget_old(w, e);
    w->bar.done = w->n_done;
    if (w->part.stage != PM_STAGE_NEITHER) pm_progress_end(&w->bar);
    return rc;
}

static int count(const pm_sweeping *w, int from, int to, pm_job_state state) {
    int n = 0;
    for (int i = from; i < to; i++) n += w->job[i].state == state;
    return n;
}

/* Of the jobs [from, n_jobs) that this process answers for. */
static int count_failed(const pm_sweeping *w, int from) {
    int n = 0;
    for (const pm_job *j = w->job + from; j < w->job + w->n_jobs; j++)
        n += j->state == PM_JOB_FAILED && (w->part.stage == PM_STAGE_NEITHER || pm_shard_is_ours(w, j));
    return n;
}

static pm_status interrupted(const pm_sweeping *w, pm_err *e) {
    pm_fail(e, PM_ECANCELLED, "interrupted with %d of %lld runs done", w->n_done - w->n_failed,
            (long long)w->bar.total);
    return pm_hint(e, "the same command goes on from here");
}

/* After a mere look. */
static pm_status say_missing(const pm_sweeping *w, pm_err *e) {
    pm_fail(e, PM_ECHECK, "%lld runs are not done, %d of them failed",
            (long long)w->bar.total + w->n_elsewhere - w->n_done + w->n_failed, w->n_failed);
    return pm_hint(e, "the sweep's own command does them");
}

static pm_status say_unchosen(const pm_sweeping *w, int unchosen, pm_err *e) {
    if (w->n_elsewhere || w->n_failed) {
        pm_fail(e, PM_ECHECK, "for %d of %d methods nothing can be chosen: trials are missing", unchosen,
                w->n_cells);
        return pm_hint(e, "other shards do them; --known names the database in which they are merged");
    }
    pm_fail(e, PM_ECHECK, "for %d of %d methods no trial has a validation score", unchosen, w->n_cells);
    return pm_hint(e, "lower optim.lr where all diverge; a task needs a validation split");
}

/* What is missing at the end, in one line. */
static pm_status verdict(const pm_sweeping *w, pm_err *e) {
    int failed = count_failed(w, w->accept_failed ? w->n_tune : 0), unchosen = 0,
        diverged = count(w, w->n_tune, w->n_jobs, PM_JOB_DIVERGED);
    for (int i = 0; i < w->n_cells && w->part.stage != PM_STAGE_TUNE; i++) unchosen += w->cell[i].chosen < 0;
    if (pm_interrupted) return interrupted(w, e);
    if (w->part.stage == PM_STAGE_NEITHER && (w->n_elsewhere || failed)) return say_missing(w, e);
    if (failed) {
        pm_fail(e, PM_ECHECK, "%d runs failed%s", failed,
                unchosen ? "; where a trial is missing nothing is chosen" : "");
        return pm_hint(e, "the same command does them again; runs.error in %.120s says why they failed",
                       w->db_path);
    }
    if (diverged) {
        pm_fail(e, PM_ECHECK, "%d of the chosen runs diverged", diverged);
        return pm_hint(e, "narrow the search space of optim.lr");
    }
    return unchosen ? say_unchosen(w, unchosen, e) : PM_OK;
}

pm_status pm_sweep_do(const pm_sweep *plan, const pm_sweep_opts *o, pm_sweeping *w, pm_err *e) {
    *w = (pm_sweeping){.plan = plan,
                       .db_path = o->db_path,
                       .part = o->part,
                       .lock = -1,
                       .common = -1,
                       .accept_failed = o->accept_failed};
    pm_catch_interrupts();
    pm_status rc = open_all(w, o, e);
    if (!rc) rc = both_stages(w, e);
    return rc ? rc : verdict(w, e);
}

/* Settles what is there already. */
static pm_status look_up_all(pm_sweeping *w, int from, pm_err *e) {
    pm_status rc = PM_OK;
    int64_t old;
    for (int i = from; i < w->n_jobs && !rc; i++) rc = look_up(w, &w->job[i], &old, e);
    return rc;
}

/* The final runs of a method whose trials are missing are taken to cost what its first setting would. */
static void stand_in(pm_sweeping *w) {
    for (pm_cell *c = w->cell; c < w->cell + w->n_cells; c++)
        if (c->chosen < 0) c->chosen = 0;
}

/* Of trials that wait, those that a budget of FLOPs is expected to leave out. */
static pm_status leave_out(pm_sweeping *w, pm_err *e) {
    pm_status rc = PM_OK;
    for (pm_job *j = w->job; j < w->job + w->n_tune && w->plan->flops > 0 && !rc; j++) {
        pm_expected x;
        if (j->state != PM_JOB_WAITING) continue;
        rc = pm_sweep_expect(w, j, &x, e);
        const pm_forecast *f = rc ? NULL : pm_sweep_best(&x);
        if (f) j->flops = f->flops;
        if (is_over(w, j)) j->state = PM_JOB_OVER_BUDGET;
    }
    return rc;
}

pm_status pm_sweep_dry(const pm_sweep *plan, const pm_sweep_opts *o, pm_sweeping *w, pm_err *e) {
    *w = (pm_sweeping){.plan = plan, .db_path = o->db_path, .lock = -1, .common = -1};
    pm_catch_interrupts();
    pm_status rc = open_all(w, o, e);
    if (!rc) rc = lay_out(w, e);
    if (!rc) rc = look_up_all(w, 0, e);
    for (pm_cell *c = w->cell; c < w->cell + w->n_cells && !rc; c++) rc = choose(w, c, e);
    if (!rc) stand_in(w);
    if (!rc) rc = lay_out_finals(w, e);
    if (!rc) rc = look_up_all(w, w->n_tune, e);
    if (!rc) rc = pm_sweep_measure(w, e);
    if (!rc) rc = leave_out(w, e);
    return rc ? rc : pm_sweep_list(w, e);
}

void pm_sweep_close(pm_sweeping *w) {
    pm_pool_free(&w->pool);
    pm_db_close(w->db);
    pm_db_close(w->known);
    if (w->lock >= 0) close(w->lock);
    if (w->common >= 0) close(w->common);
    for (int i = 0; i < w->n_jobs; i++) pm_config_free(w->job[i].config);
    for (int i = 0; i < w->n_cells; i++) pm_trials_free(&w->cell[i].trials);
    for (int i = 0; i < w->n_facts; i++) free(w->facts[i]->settings), free(w->facts[i]);
    free(w->facts);
    free(w->shape);
    free(w->job);
    free(w->cell);
    *w = (pm_sweeping){.lock = -1, .common = -1};
}
