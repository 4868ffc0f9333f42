/* cmd_sweep.c - `sweep`: a plan in, a filled database out, and a table of what was chosen and measured. */
#include "cmd.h"
#include "stats.h"
#include "sweep_run.h"
#include "text.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: peftmeter sweep PLAN.json [options]\n"
    "\n"
    "Runs what the plan asks for: methods x models x tasks x seeds. Each method's settings are chosen by "
    "validation results within one\n"
    "budget for all; only the chosen ones read test data, once for each seed. Runs that are `ok` in the "
    "database are skipped, so the same\n"
    "command goes on after an interruption, and an edited plan adds only what is new. docs/sweep.md explains "
    "the plan.\n"
    "\n"
    "  --db FILE         default results/results.db\n"
    "  --jobs N          runs at once, each a process of one thread; default: the machine's cores\n"
    "  --timeout S       stop a run after S seconds, as `timeout`; the same command tries it again\n"
    "  --accept-failed   choose although trials failed or timed out: they count as trials without a score\n"
    "  --dry-run         only list the runs, with the time, memory and disk that each would take: a few "
    "steps of a run of each\n"
    "                    shape are done to say so; the database keeps what they said, and later how wrong it "
    "was\n"
    "\n"
    "Examples:\n"
    "  peftmeter sweep datasets/plans/arc_easy.json --dry-run --db results/arc.db\n"
    "  peftmeter sweep datasets/plans/arc_easy.json --db results/arc.db\n";

/* ---- options ---- */

static pm_status read_number(const char *option, const char *text, double low, double high, bool whole,
                             double *out, pm_err *e) {
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    if (end != text && !*end && !errno && *out >= low && *out <= high && (!whole || floor(*out) == *out))
        return PM_OK;
    pm_fail(e, PM_EUSAGE, "%s: \"%.40s\" is not a %snumber from %g to %g", option, text,
            whole ? "whole " : "", low, high);
    return pm_hint(e, "`peftmeter sweep --help` shows the options");
}

/* ---- what came out ---- */

/* Of the final runs of a cell that have a score. */
static pm_summary final_scores(const pm_sweeping *w, const pm_cell *c, int64_t *n) {
    double *x = pm_xalloc((size_t)c->n_final * sizeof *x);
    *n = 0;
    for (int i = c->first_final; i < c->first_final + c->n_final; i++)
        if (!isnan(w->job[i].score)) x[(*n)++] = w->job[i].score;
    pm_summary s = pm_mean(x, *n);
    free(x);
    return s;
}

static void print_score(double x) {
    if (isnan(x))
        printf("%12s", "-");
    else
        printf("%12.4f", x);
}

/* Of a path, its last part. */
static const char *short_name(const char *name) {
    const char *slash = strrchr(name, '/');
    return slash && slash[1] ? slash + 1 : name;
}

/* Of the match of a cell's final runs; of its trials while there are none. NULL: no runs. */
static const pm_matched *match_of(const pm_sweeping *w, const pm_cell *c) {
    if (!w->plan->match || (!c->n_final && !c->n_tune)) return NULL;
    return &w->job[c->n_final ? c->first_final : c->first].matched;
}

/* Trainable parameters, and how far they are from what was wanted. */
static void print_count(const pm_sweeping *w, const pm_cell *c) {
    const pm_matched *m = match_of(w, c);
    int64_t n = m ? m->trainable : c->trainable;
    if (n)
        printf(" %12lld", (long long)n);
    else
        printf(" %12s", "-");
    if (m && n) printf(" (%+.2f %%)", 100 * ((double)n / (double)w->plan->match - 1));
}

/* "optim.lr=0.001, method.rank=8" of the chosen trial. */
static char *chosen_text(const pm_sweeping *w, const pm_cell *c) {
    pm_buf b = {0};
    const pm_matched *m = match_of(w, c);
    if (m && m->setting[0]) pm_buf_printf(&b, "%s%s", m->setting, c->entry->n_spaces ? ", " : "");
    for (int k = 0; k < c->entry->n_spaces && c->chosen >= 0; k++)
        pm_buf_printf(&b, "%s%s=%s", k ? ", " : "", c->entry->space[k].key, c->trials.value[c->chosen][k]);
    return pm_buf_take(&b);
}

static void print_cell(const pm_sweeping *w, const pm_cell *c) {
    int64_t n;
    pm_summary s = final_scores(w, c, &n);
    char *settings = chosen_text(w, c);
    printf("  %-14s %-14.14s %-14.14s ", c->entry->label, short_name(c->model), short_name(c->task));
    print_score(c->score);
    print_score(s.mean);
    if (n > 1)
        printf(" +- %.4f", s.stderr_);
    else
        printf("%10s", "");
    print_count(w, c);
    printf("  %s%s\n", c->chosen < 0 ? "not chosen yet" : settings,
           n && n < c->n_final ? " (seeds missing)" : "");
    free(settings);
}

/* "time 4.1 %, memory 0.6 % (0.1 % of what is counted)": how far off half of the forecasts were at most. */
static void print_errors(pm_sweeping *w) {
    pm_errors x;
    pm_sweep_errors(w, &x);
    if (x.n)
        printf(
            "  predicted against measured, median of %d runs: time %.1f %%, resident memory %.1f %%, counted "
            "memory %.1f %%\n",
            x.n, 100 * x.time, 100 * x.rss, 100 * x.live);
}

/* What is compared as equal and is not is said aloud. */
static void print_unmatched(const pm_sweeping *w, const pm_cell *c) {
    const pm_matched *m = match_of(w, c);
    if (!m || m->near || !m->trainable) return;
    double off = 100 * ((double)m->trainable / (double)w->plan->match - 1);
    printf("  not matched: %s on %s trains %lld of the %lld wanted parameters (%+.1f %%), %s\n",
           c->entry->label, short_name(c->model), (long long)m->trainable, (long long)w->plan->match, off,
           m->setting[0] ? "the nearest it comes" : "and has no setting that changes it");
}

static void print_text(pm_sweeping *w) {
    int n = w->n_done - w->n_found - w->n_failed;
    printf("sweep %s: %d runs done, %d there already, %d failed\n", w->plan->name, n, w->n_found,
           w->n_failed);
    printf("  %-14s %-14s %-14s %12s%12s%10s %12s\n", "method", "model", "task", "validation", w->plan->final,
           "", "trained");
    for (int i = 0; i < w->n_cells; i++) print_cell(w, &w->cell[i]);
    for (int i = 0; i < w->n_cells; i++) print_unmatched(w, &w->cell[i]);
    printf("  means over %d seed%s +- standard error; logged in %s\n", w->plan->n_seeds,
           w->plan->n_seeds == 1 ? "" : "s", w->db_path);
    print_errors(w);
}

static void add_number(cJSON *j, const char *key, double v) {
    if (isfinite(v))
        cJSON_AddNumberToObject(j, key, v);
    else
        cJSON_AddNullToObject(j, key);
}

static cJSON *cell_json(const pm_sweeping *w, const pm_cell *c) {
    int64_t n;
    pm_summary s = final_scores(w, c, &n);
    cJSON *j = cJSON_CreateObject(), *settings = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "label", c->entry->label);
    cJSON_AddStringToObject(j, "method", c->entry->method ? c->entry->method->name : "none");
    cJSON_AddStringToObject(j, "model", c->model);
    cJSON_AddStringToObject(j, "task", c->task);
    cJSON_AddStringToObject(j, "metric", c->metric);
    cJSON_AddNumberToObject(j, "trials", c->trials.n);
    add_number(j, "chosen_trial", c->chosen < 0 ? (double)NAN : c->chosen);
    for (int k = 0; k < c->entry->n_spaces && c->chosen >= 0; k++)
        cJSON_AddStringToObject(settings, c->entry->space[k].key, c->trials.value[c->chosen][k]);
    cJSON_AddItemToObject(j, "chosen", settings);
    add_number(j, "validation", c->score);
    add_number(j, w->plan->final[0] == 't' ? "test" : "final", s.mean);
    add_number(j, "stderr", s.stderr_);
    cJSON_AddNumberToObject(j, "seeds", (double)n);
    const pm_matched *m = match_of(w, c);
    int64_t trained = m ? m->trainable : c->trainable;
    add_number(j, "trainable_params", trained ? (double)trained : (double)NAN);
    if (m) {
        cJSON_AddStringToObject(j, "matched", m->setting);
        cJSON_AddNumberToObject(j, "wanted_params", (double)w->plan->match);
        cJSON_AddBoolToObject(j, "is_matched", m->near);
    }
    return j;
}

static cJSON *errors_json(pm_sweeping *w) {
    pm_errors x;
    pm_sweep_errors(w, &x);
    cJSON *j = cJSON_CreateObject();
    cJSON_AddNumberToObject(j, "runs", x.n);
    add_number(j, "wall_s", x.time);
    add_number(j, "peak_rss_bytes", x.rss);
    add_number(j, "peak_live_bytes", x.live);
    return j;
}

static void print_json(pm_sweeping *w) {
    cJSON *j = cJSON_CreateObject(), *cells = cJSON_CreateArray();
    cJSON_AddStringToObject(j, "sweep", w->plan->name);
    cJSON_AddNumberToObject(j, "runs_done", w->n_done - w->n_found - w->n_failed);
    cJSON_AddNumberToObject(j, "runs_found", w->n_found);
    cJSON_AddNumberToObject(j, "runs_failed", w->n_failed);
    cJSON_AddStringToObject(j, "db", w->db_path);
    for (int i = 0; i < w->n_cells; i++) cJSON_AddItemToArray(cells, cell_json(w, &w->cell[i]));
    cJSON_AddItemToObject(j, "cells", cells);
    cJSON_AddItemToObject(j, "prediction_error", errors_json(w)); /* medians, as parts of what was measured */
    pm_json_print(j);
}

/* ---- the command ---- */

static pm_status sweep(const pm_sweep *plan, const pm_sweep_opts *o, pm_err *e) {
    pm_sweeping w;
    pm_status rc = pm_sweep_do(plan, o, &w, e);
    if (w.n_jobs && pm_global.json)
        print_json(&w);
    else if (w.n_jobs && !pm_global.quiet)
        print_text(&w);
    pm_sweep_close(&w);
    return rc;
}

static pm_status dry_run(const pm_sweep *plan, const pm_sweep_opts *o, pm_err *e) {
    pm_sweeping w;
    pm_status rc = pm_sweep_dry(plan, o, &w, e);
    pm_sweep_close(&w);
    return rc;
}

static pm_status run(int argc, char **argv, pm_err *e) {
    const char *db = "results/results.db", *jobs = NULL, *timeout = NULL;
    bool accept = false, dry = false;
    const pm_opt opts[] = {{"--db", &db, NULL, NULL},           {"--jobs", &jobs, NULL, NULL},
                           {"--timeout", &timeout, NULL, NULL}, {"--accept-failed", NULL, &accept, NULL},
                           {"--dry-run", NULL, &dry, NULL},     {0}};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    double n = cores > 0 ? (double)cores : 1, seconds = 0;
    pm_status rc = pm_opts_parse(opts, &argc, argv, e);
    if (!rc) rc = pm_args_check(argc, argv, 1, 1, e);
    if (!rc && jobs) rc = read_number("--jobs", jobs, 1, 1024, true, &n, e);
    if (!rc && timeout) rc = read_number("--timeout", timeout, 1, 1e9, false, &seconds, e);
    if (rc) return rc;
    pm_sweep plan;
    rc = pm_sweep_load(argv[1], &plan, e);
    if (rc) return rc;
    pm_sweep_opts o = {.db_path = db, .jobs = (int)n, .timeout_s = seconds, .accept_failed = accept};
    rc = dry ? dry_run(&plan, &o, e) : sweep(&plan, &o, e);
    pm_sweep_free(&plan);
    return rc;
}

const pm_command pm_cmd_sweep = {
    "sweep", "a plan: methods x models x tasks x seeds, tuned on validation, tested once", help, run, NULL,
    true};
