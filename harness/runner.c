/* runner.c - the walk of one run (docs/DESIGN.md): load, data, train, certify, evaluate, save; data flows one way. */
#include "runner.h"
#include "adapter.h"
#include "certificate.h"
#include "cmd.h"
#include "commons.h"
#include "db.h"
#include "forgetting.h"
#include "host.h"
#include "progress.h"
#include "roofline.h"
#include "runner_log.h"
#include "text.h"
#include "train.h"
#include "usage.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct runner {
    const pm_config *c;
    const pm_run_opts *o;
    char *config_json;
    pm_runlog log;
    pm_session s;
    pm_task *task, *eval_file; /* eval_file: when eval.split names a file of token rows */
    pm_split train, eval;
    pm_plan plan;
    int64_t data_rss_bytes; /* that reading them took, or where others have read them, that they take */
    pm_progress bar;
    pm_speed speed;
    pm_certificate certificate;
    int checks_stored, steps_up;      /* up: with a learning rate above 0 */
    pm_phase_mark certificate_before; /* what the certificate took before training; belongs to its phase */
    const char *eval_split;
    pm_phase_mark eval_during; /* what evaluations during training took; belongs to the evaluation's phase */
    pm_forgetting forgetting;  /* of eval.probe */
    pm_phase_mark forgetting_before; /* what of it was measured before training; belongs to its phase */
} runner;

static const char *method_name(const runner *r) {
    return r->c->m ? r->c->m->name : "none";
}

/* ---- load and data ---- */

static pm_status load_model(runner *r, pm_err *e) {
    char path[1024];
    pm_status rc = pm_model_resolve(r->c->model, path, sizeof path, e);
    if (!rc) rc = pm_session_open(r->c, path, r->o->adapter_in, &r->s, e);
    if (!rc && r->s.run.note && !pm_global.quiet) fprintf(stderr, "note: %s\n", r->s.run.note);
    return rc;
}

/* Where an example's ids and scored labels are all below V: -1, or the first place that is not. */
static int first_outside(const pm_example *x, int64_t V) {
    for (int j = 0; j < x->n; j++) {
        bool scored = x->labels && x->labels[j] != -100;
        if (x->ids[j] < 0 || x->ids[j] >= V || (scored && (x->labels[j] < 0 || x->labels[j] >= V))) return j;
    }
    return -1;
}

/* Token rows come from anywhere, and without a tokenizer nothing has bounded them: an id outside the vocabulary must not reach
 * the embedding, a label not the logits. */
static pm_status check_ids(const pm_split *d, int64_t V, const char *split, pm_err *e) {
    for (int i = 0; i < d->n; i++) {
        int j = first_outside(&d->ex[i], V);
        if (j < 0) continue;
        bool id = d->ex[i].ids[j] < 0 || d->ex[i].ids[j] >= V;
        pm_fail(e, PM_EFORMAT, "%s row %d: %s %d is outside the model's vocabulary of %lld", split, i + 1,
                id ? "token" : "label", id ? d->ex[i].ids[j] : d->ex[i].labels[j], (long long)V);
        return pm_hint(e, "the rows were tokenised for another model");
    }
    return PM_OK;
}

static pm_status load_split(runner *r, pm_task *task, const char *name, int limit, pm_split *out, pm_err *e) {
    char data_dir[1024];
    pm_status rc = pm_data_dir(data_dir, sizeof data_dir, e);
    if (rc) return rc;
    pm_task_opts o = {.data_dir = data_dir,
                      .max_len = r->c->train.max_len,
                      .limit = limit,
                      .train_only = out == &r->train,
                      .loss_on_all = r->c->train.loss_on == 1,
                      .common = pm_commons_joined(),
                      .model_path = r->s.loaded.path};
    rc = pm_task_load(task, name, r->s.tok, &o, out, e);
    if (!rc) rc = check_ids(out, r->s.model->cfg.V, name, e);
    return rc;
}

/* A bare file of token rows has a training split only: then nothing is scored unless eval.split names another file. */
static bool scores_nothing(const runner *r) {
    bool is_split = strcmp(r->c->eval.split, "validation") == 0 || strcmp(r->c->eval.split, "test") == 0;
    return strcmp(r->c->eval.split, "none") == 0 || (is_split && pm_path_ends(r->c->task, ".jsonl"));
}

static pm_status load_eval(runner *r, pm_err *e) {
    const char *split = r->c->eval.split;
    if (scores_nothing(r) || (r->o->probe && !pm_task_has(r->task, split))) return PM_OK;
    r->eval_split = split;
    if (pm_test_locked() && strcmp(split, "validation") != 0 && strcmp(split, "test") != 0) {
        pm_fail(e, PM_ELOCKED, "eval.split=%.200s: a file may hold test data, which is locked", split);
        return pm_hint(e, "eval.split=validation while settings are chosen");
    }
    if (!pm_path_ends(split, ".jsonl")) return load_split(r, r->task, split, r->c->eval.limit, &r->eval, e);
    pm_status rc = pm_task_open(split, &r->eval_file, e);
    return rc ? rc : load_split(r, r->eval_file, "train", r->c->eval.limit, &r->eval, e);
}

static bool trains_base(const runner *r) {
    return r->c->m && (r->c->m->flags & PM_TRAINS_BASE);
}

/* A run that is cut short to see what it takes measures nothing that is kept. */
static bool has_probe(const runner *r) {
    return *r->c->eval.probe && !r->o->probe;
}

static pm_status load_probe(runner *r, pm_err *e) {
    if (!has_probe(r)) return PM_OK;
    if (r->o->adapter_in && trains_base(r)) {
        pm_fail(
            e, PM_EUSAGE,
            "eval.probe: %s has put its weights in the base model's place: nothing is left to compare with",
            method_name(r));
        return pm_hint(e, "--set eval.probe= measures no forgetting");
    }
    pm_status rc = pm_forgetting_open(r->c->eval.probe, r->s.tok, r->s.loaded.path, &r->forgetting, e);
    return rc ? rc : check_ids(&r->forgetting.text, r->s.model->cfg.V, "eval.probe", e);
}

static pm_status load_data(runner *r, pm_err *e) {
    pm_peak_rss_clear();
    int64_t before = pm_peak_rss_bytes();
    pm_status rc = pm_task_open(r->c->task, &r->task, e);
    if (!rc && r->o->train) rc = load_split(r, r->task, "train", 0, &r->train, e);
    if (!rc && r->o->train) rc = pm_plan_make(r->c, r->train.n, &r->plan, e);
    if (!rc && r->o->probe) pm_probe_shorten(r->o->probe, &r->train, &r->plan);
    if (!rc) rc = load_eval(r, e);
    if (!rc) rc = load_probe(r, e);
    if (r->task) pm_task_forget_rows(r->task);
    bool found = (r->train.in_common || !r->o->train) && (r->eval.in_common || !r->eval.n);
    r->data_rss_bytes = found ? r->train.n_bytes + r->eval.n_bytes : pm_peak_rss_bytes() - before;
    return rc;
}

/* Rows that train.max_len cut are counted and said: a shortened run is not the run it seems to be. */
static pm_status report_cut(runner *r, const char *counter, const pm_split *d, pm_err *e) {
    int cut = 0;
    for (int i = 0; i < d->n; i++) cut += d->ex[i].truncated;
    if (cut && !pm_global.quiet)
        fprintf(stderr, "note: %d of %d %s cut to train.max_len=%d tokens\n", cut, d->n,
                d == &r->train ? "training rows" : "scored rows", r->c->train.max_len);
    return pm_db_counter(r->log.db, r->log.run_id, counter, cut, e);
}

static pm_status report_rows(runner *r, pm_err *e) {
    const pm_split *const all[] = {&r->train, &r->eval, &r->forgetting.text};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) pm_runlog_rows(&r->log, all[i]);
    pm_status rc = report_cut(r, "rows_cut_train", &r->train, e);
    return rc ? rc : report_cut(r, "rows_cut_eval", &r->eval, e);
}

/* Runs that start from different adapters are different runs. hex: "" when the method starts by itself. */
static void hash_adapter(const runner *r, char hex[65]) {
    hex[0] = 0;
    if (!r->o->adapter_in) return;
    pm_sha256 h;
    pm_sha256_init(&h);
    for (int i = 0; i < r->s.run.params.n; i++) {
        const pm_param *p = r->s.run.params.p[i];
        pm_sha256_update(&h, p->name, strlen(p->name) + 1);
        pm_sha256_update(&h, pm_param_stored(p), (size_t)(p->rows * p->cols) * sizeof(real));
    }
    pm_sha256_hex(&h, hex);
}

/* Of what is scored; of what is trained on when nothing is. */
static const char *data_hash_of(const runner *r) {
    return r->eval_split ? r->eval.hash : r->train.hash;
}

/* What the row lacks until model and data are read. */
static pm_status identify(runner *r, pm_err *e) {
    char key[65], adapter[65];
    hash_adapter(r, adapter);
    const char *data_hash = data_hash_of(r);
    pm_run_facts facts = {r->task->name, r->task->version,       data_hash, r->train.hash, r->s.model->hash,
                          adapter,       r->forgetting.text.hash};
    pm_run_key(r->c, &facts, key);
    int64_t trainable = pm_params_count(&r->s.run.params), total = pm_model_count(r->s.model);
    if (!trains_base(r)) total += trainable;
    pm_db_run row = {.run_key = key,
                     .model = r->c->model,
                     .task = r->task->name,
                     .method = method_name(r),
                     .config = r->config_json,
                     .model_hash = r->s.model->hash,
                     .data_hash = data_hash,
                     .train_hash = r->o->train ? r->train.hash : NULL,
                     .adapter_hash = adapter[0] ? adapter : NULL,
                     .commit_id = pm_commit,
                     .dirty = pm_dirty,
                     .peftmeter_version = pm_version,
                     .seed = r->c->seed,
                     .trainable_params = trainable,
                     .total_params = total,
                     .host_id = r->log.host_id};
    return pm_db_run_update(r->log.db, r->log.run_id, &row, e);
}

static pm_status interrupted(pm_err *e, const char *unit, int done, int total) {
    pm_fail(e, PM_ECANCELLED, "interrupted after %s %d of %d", unit, done, total);
    return pm_hint(
        e, "what was measured until then is stored, as a cancelled run; the same command starts a new one");
}

/* ---- evaluation ---- */

static pm_status on_item(void *ctx, const pm_item *it, int done, int total, pm_err *e) {
    runner *r = ctx;
    pm_runlog_item(&r->log, r->eval_split, it);
    pm_progress_update(&r->bar, done, NULL);
    return pm_interrupted ? interrupted(e, "item", done, total) : PM_OK;
}

static const pm_task *eval_task(const runner *r) {
    return r->eval_file ? r->eval_file : r->task;
}

static pm_status on_curve_item(void *ctx, const pm_item *it, int done, int total, pm_err *e) {
    (void)ctx, (void)it;
    return pm_interrupted ? interrupted(e, "item", done, total) : PM_OK;
}

static void add_part(pm_phase_mark *sum, const pm_phase_mark *part) {
    sum->wall += part->wall;
    sum->cpu += part->cpu;
    if (part->peak_rss > sum->peak_rss) sum->peak_rss = part->peak_rss;
}

/* A point of the validation curve, on a tape of its own: nothing of it stays resident in training. */
static pm_status evaluate_during(runner *r, int steps_done, pm_err *e) {
    pm_metric m[PM_METRICS_MAX];
    int n = 0;
    pm_phase_mark mark = pm_phase_start(NULL);
    pm_arena *own = pm_arena_new("eval", 0);
    r->s.tape.arena = own;
    pm_status rc = pm_evaluate(&r->s, eval_task(r), &r->eval, m, &n, on_curve_item, r, e);
    pm_tape_reset(&r->s.tape);
    r->s.tape.arena = r->s.step;
    pm_arena_free(own);
    if (!rc) rc = pm_runlog_flush(&r->log, e);
    for (int i = 0; i < n && !rc; i++)
        rc = pm_db_curve(r->log.db, r->log.run_id, steps_done, r->eval_split, m[i].name, m[i].value,
                         m[i].stderr_, m[i].n, e);
    pm_phase_mark part = pm_phase_part(&mark);
    add_part(&r->eval_during, &part);
    return rc;
}

static pm_status evaluate(runner *r, pm_err *e) {
    if (!r->eval_split) return PM_OK;
    pm_metric m[PM_METRICS_MAX];
    int n = 0;
    if (strcmp(r->eval_split, "test") == 0) pm_runlog_hold(&r->log, r->task->name, method_name(r));
    pm_split scored = r->o->probe ? pm_probe_items(r->o->probe, eval_task(r), &r->eval) : r->eval;
    pm_progress_begin(&r->bar, r->eval_split, scored.n, "item");
    pm_status rc = pm_evaluate(&r->s, eval_task(r), &scored, m, &n, on_item, r, e);
    pm_progress_end(&r->bar);
    if (!rc) rc = pm_runlog_flush(&r->log, e); /* a metric never without its items */
    for (int i = 0; i < n && !rc; i++) rc = pm_runlog_metric(&r->log, r->eval_split, &m[i], e);
    return rc;
}

/* ---- forgetting ---- */

static pm_status on_probe_row(void *ctx, const pm_item *it, int done, int total, pm_err *e) {
    runner *r = ctx;
    (void)it;
    pm_progress_update(&r->bar, done, NULL);
    return pm_interrupted ? interrupted(e, "row of the probe", done, total) : PM_OK;
}

static pm_status score_probe(runner *r, pm_side side, pm_err *e) {
    pm_progress_begin(&r->bar, side == PM_BEFORE ? "probe before" : "probe after", r->forgetting.text.n,
                      "row");
    pm_status rc = pm_forgetting_score(&r->forgetting, &r->s, side, on_probe_row, r, e);
    pm_progress_end(&r->bar);
    return rc;
}

/* Where training moves the base's own weights they are read before it, on a tape of its own: it must not raise training's peaks. Any
 * other method leaves the base as it is (the certificate sees to that), and it is read afterwards. */
static pm_status forget_base(runner *r, pm_err *e) {
    if (!has_probe(r) || !r->o->train || !trains_base(r)) return PM_OK;
    pm_phase_mark mark = pm_phase_start(&r->s);
    pm_arena *step = r->s.tape.arena, *own = pm_arena_new("probe", 0);
    r->s.tape.arena = own;
    pm_status rc = score_probe(r, PM_BEFORE, e);
    r->s.tape.arena = step;
    pm_arena_free(own);
    r->forgetting_before = pm_phase_part(&mark);
    return rc;
}

static pm_status forget(runner *r, pm_err *e) {
    pm_metric m[PM_FORGETTING_METRICS];
    pm_status rc = r->forgetting.before ? PM_OK : score_probe(r, PM_BEFORE, e);
    if (!rc) rc = score_probe(r, PM_AFTER, e);
    if (rc) return rc;
    pm_forgetting_metrics(&r->forgetting, m);
    for (int i = 0; i < PM_FORGETTING_METRICS && !rc; i++) rc = pm_runlog_metric(&r->log, "probe", &m[i], e);
    return rc;
}

/* ---- training ---- */

static pm_status on_step(void *ctx, const pm_step *st, pm_err *e) {
    runner *r = ctx;
    pm_speed_add(&r->speed, st);
    r->steps_up += st->lr > 0;
    pm_status rc = pm_runlog_step(&r->log, st, e);
    if (rc) return rc;
    pm_progress_update(&r->bar, st->step + 1, "loss %.4f, %.0f tokens/s", st->loss,
                       (double)st->tokens / st->wall_s);
    if (pm_interrupted) return interrupted(e, "step", st->step + 1, r->plan.n_steps);
    if (r->o->probe && pm_probe_step(r->o->probe, st)) return PM_ECANCELLED; /* train() knows */
    bool point = r->eval_split && r->c->eval.every && (st->step + 1) % r->c->eval.every == 0;
    if (!point) return PM_OK;
    pm_runlog_stretch(&r->log, &r->s);
    rc = evaluate_during(r, st->step + 1, e);
    pm_runlog_resume();
    return rc;
}

/* Begins with what reading and certifying left given back: for every method, or one would look smaller than another for what came before. */
static pm_status train(runner *r, pm_err *e) {
    pm_runlog_resume();
    pm_progress_begin(&r->bar, "train", r->plan.n_steps, "step");
    pm_flops_clear();
    pm_arena_peak_clear(r->s.step);
    pm_status rc = pm_train(&r->s, r->c, &r->train, &r->plan, on_step, r, e);
    pm_progress_end(&r->bar);
    return rc == PM_ECANCELLED && r->o->probe && !pm_interrupted ? PM_OK : rc;
}

static pm_status save(runner *r, pm_err *e) {
    if (!r->o->adapter_out || !r->c->m) return PM_OK;
    return pm_adapter_save(r->o->adapter_out, r->c->m, r->c->mcfg, &r->s.run.params, r->c->model, e);
}

/* ---- the certificate ---- */

/* Rows first, then the verdict: a failed run's checks are stored too. */
static pm_status store_checks(runner *r, pm_err *e) {
    const pm_certificate *k = &r->certificate;
    pm_status rc = PM_OK;
    for (; r->checks_stored < k->n && !rc; r->checks_stored++)
        rc = pm_runlog_check(&r->log, &k->check[r->checks_stored], e);
    return rc ? rc : pm_certificate_verdict(k, e);
}

static pm_status certify_start(runner *r, pm_err *e) {
    if (!r->c->m) return PM_OK;
    pm_phase_mark mark = pm_phase_start(&r->s);
    pm_status rc = pm_certificate_begin(&r->certificate, &r->s, r->c->mcfg, r->o->train ? &r->train : NULL,
                                        !r->o->adapter_in, e);
    r->certificate_before = pm_phase_part(&mark);
    return rc ? rc : store_checks(r, e);
}

static pm_status certify(runner *r, pm_err *e) {
    pm_status rc = pm_certificate_end(&r->certificate, r->steps_up, e);
    return rc ? rc : store_checks(r, e);
}

/* The files of --adapter-out, where the certificate has not written the same in passing. */
static pm_status certify_saved(runner *r, pm_err *e) {
    if (!r->o->train || !r->o->adapter_out) return PM_OK;
    pm_status rc = pm_certificate_saved(&r->certificate, r->o->adapter_out, e);
    return rc ? rc : store_checks(r, e);
}

/* ---- the walk ---- */

typedef struct phase {
    const char *name;
    pm_status (*run)(runner *r, pm_err *e);
} phase;

static const char *evaluation_phase(const runner *r) {
    return strcmp(r->c->eval.split, "test") == 0 ? "test" : "validate";
}

/* A later start makes a phase shorter (sign 1), an earlier one longer (-1): what validation took during training is its own phase's. */
static void shift(pm_phase_mark *start, const pm_phase_mark *by, int sign) {
    start->wall += sign * by->wall;
    start->cpu += sign * by->cpu;
    if (sign < 0) start->peak_rss = by->peak_rss;
}

static pm_status walk(runner *r, pm_err *e) {
    const phase phases[] = {{"load", load_model},   {"data", load_data},      {NULL, identify},
                            {NULL, report_rows},    {NULL, certify_start},    {NULL, forget_base},
                            {"train", train},       {"certificate", certify}, {evaluation_phase(r), evaluate},
                            {"forgetting", forget}, {"save", save},           {NULL, certify_saved}};
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        if ((phases[i].run == train || phases[i].run == certify) && !r->o->train) continue;
        if (phases[i].run == forget && !has_probe(r)) continue;
        pm_phase_mark mark = pm_phase_start(&r->s);
        pm_status rc = phases[i].run(r, e);
        if (!rc && phases[i].run == train) rc = pm_runlog_resources(&r->log, &r->s, &r->speed, e);
        if (phases[i].run == train) mark.peak_rss = r->log.training.peak_rss;
        shift(&mark, &r->eval_during, phases[i].run == train ? 1 : phases[i].run == evaluate ? -1 : 0);
        shift(&mark, &r->certificate_before, phases[i].run == certify ? -1 : 0);
        shift(&mark, &r->forgetting_before, phases[i].run == forget ? -1 : 0);
        pm_status logged = phases[i].name ? pm_runlog_phase(&r->log, phases[i].name, &mark, &r->s, e) : PM_OK;
        if (rc || logged) return rc ? rc : logged;
    }
    return PM_OK;
}

static pm_status open_log(runner *r, pm_err *e) {
    pm_db_run row = {.model = r->c->model,
                     .task = r->c->task,
                     .method = method_name(r),
                     .config = r->config_json,
                     .commit_id = pm_commit,
                     .dirty = pm_dirty,
                     .peftmeter_version = pm_version,
                     .seed = r->c->seed};
    return pm_runlog_open(&r->log, r->o->db_path, r->c, r->o->run_id, &row, e);
}

static const char *status_of(pm_status rc) {
    switch (rc) {
    case PM_OK:
        return "ok";
    case PM_EDIVERGED:
        return "diverged";
    case PM_ECANCELLED:
        return "cancelled";
    default:
        return "failed";
    }
}

static void release(runner *r) {
    pm_plan_free(&r->plan);
    pm_split_free(&r->train);
    pm_split_free(&r->eval);
    pm_task_close(r->task);
    pm_task_close(r->eval_file);
    pm_forgetting_close(&r->forgetting);
    pm_certificate_free(&r->certificate);
    pm_session_close(&r->s);
    pm_runlog_close(&r->log);
    free(r->config_json);
}

pm_status pm_run_logged(const pm_config *c, const pm_run_opts *o, pm_err *e) {
    runner r = {.c = c, .o = o, .config_json = pm_config_json(c)};
    pm_status rc = open_log(&r, e);
    if (!rc) {
        pm_catch_interrupts();
        rc = walk(&r, e);
        pm_err end_error = {0};
        pm_status ended = pm_runlog_end(&r.log, status_of(rc), rc ? e->msg : NULL, &end_error);
        if (!rc || pm_global.json)
            pm_runlog_print(&r.log, status_of(rc), r.s.model ? pm_params_count(&r.s.run.params) : -1,
                            &r.speed);
        if (!rc && ended) *e = end_error, rc = ended;
    }
    if (o->probe) o->probe->prepared = r.s.prepared, o->probe->data_rss_bytes = r.data_rss_bytes;
    release(&r);
    return rc;
}

static pm_status load_weights(runner *r, pm_err *e) {
    char path[1024];
    pm_status rc = pm_model_resolve(r->c->model, path, sizeof path, e);
    return rc ? rc : pm_session_load(r->c, path, NULL, &r->s, e);
}

pm_status pm_run_identify(const pm_config *c, pm_identity *out, pm_err *e) {
    const pm_run_opts o = {.train = true};
    runner r = {.c = c, .o = &o};
    pm_status rc = load_weights(&r, e);
    if (!rc) rc = load_data(&r, e);
    if (!rc) {
        *out = (pm_identity){.task_version = r.task->version,
                             .eval_tokens = pm_split_tokens(&r.eval),
                             .probe_tokens = pm_split_tokens(&r.forgetting.text),
                             .data_rss_bytes = r.data_rss_bytes,
                             .eval_items = r.eval.n};
        pm_roofline_measure(r.s.cache, &r.s.model->cfg, (pm_precision)c->precision, pm_config_threads(c),
                            false);
        snprintf(out->task, sizeof out->task, "%s", r.task->name);
        snprintf(out->model_hash, sizeof out->model_hash, "%s", r.s.model->hash);
        snprintf(out->train_hash, sizeof out->train_hash, "%s", r.train.hash);
        snprintf(out->data_hash, sizeof out->data_hash, "%s", data_hash_of(&r));
        snprintf(out->probe_hash, sizeof out->probe_hash, "%s", r.forgetting.text.hash);
    }
    release(&r);
    return rc;
}

pm_status pm_run_steps(const pm_config *c, pm_step_fn fn, void *ctx, pm_err *e) {
    const pm_run_opts o = {.train = true};
    runner r = {.c = c, .o = &o};
    pm_status rc = load_model(&r, e);
    if (!rc) rc = load_data(&r, e);
    if (!rc) rc = pm_train(&r.s, c, &r.train, &r.plan, fn, ctx, e);
    release(&r);
    return rc;
}
