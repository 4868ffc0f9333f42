/* cmd_sweep.c - `sweep`: a plan in, a filled database out, and a table of what was chosen and measured. */
#include "cmd.h"
#include "commons.h"
#include "stats.h"
#include "sweep_slurm.h"
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
    "  --this-commit     runs of other commits do not count as done, and keep their place: one database "
    "becomes the history of a\n"
    "                    program (docs/REGRESSION.md); runs of a build with local changes are always done\n"
    "  --dry-run         only list the runs, with the time, memory and disk that each would take: a few "
    "steps of a run of each\n"
    "                    shape are done to say so; the database keeps what they said, and later how wrong it "
    "was\n"
    "\n"
    "On a cluster (docs/sweep.md):\n"
    "  --launcher slurm  submit what is missing as arrays of jobs, and jobs that gather their databases, "
    "with sbatch; --jobs is then "
    "of one task,\n"
    "                    default 1; with --dry-run print the script and the commands; default: local\n"
    "  --shards N        tasks of an array; default: one for each run of a stage, 32 at most\n"
    "  --sbatch ARGS     arguments for every sbatch, cut at blanks: --sbatch \"--partition=cpu --time=60\"; "
    "may be "
    "repeated\n"
    "  --gather          fold in the tasks' databases and say what is there; starts nothing\n"
    "\n"
    "Parts of a plan, for other schedulers:\n"
    "  --shard K/N       only the K-th of N parts; every run is in one of them, whatever is done already\n"
    "  --stage S         tune: only trials; final: only final runs of what is chosen; default: both\n"
    "  --known FILE      another database that is only read: what is done there is done\n"
    "\n"
    "Examples:\n"
    "  peftmeter sweep datasets/plans/arc_easy.json --dry-run --db results/arc.db\n"
    "  peftmeter sweep datasets/plans/arc_easy.json --db results/arc.db\n"
    "  peftmeter sweep datasets/plans/arc_easy.json --db results/arc.db --launcher slurm --shards 8 --sbatch "
    "--time=60\n";

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
    int64_t common = pm_commons_bytes(w->common);
    if (common)
        printf("  %.1f MB of prepared weights and data were in memory once for all workers\n",
               (double)common * 1e-6);
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
    cJSON_AddNumberToObject(j, "common_bytes",
                            (double)pm_commons_bytes(w->common)); /* in memory once for all workers */
    pm_json_print(j);
}

/* ---- the command ---- */

static void show(pm_sweeping *w) {
    if (w->n_jobs && pm_global.json)
        print_json(w);
    else if (w->n_jobs && !pm_global.quiet)
        print_text(w);
}

static pm_status sweep(const pm_sweep *plan, const pm_sweep_opts *o, pm_err *e) {
    pm_sweeping w;
    pm_status rc = pm_sweep_do(plan, o, &w, e);
    if (rc != PM_EUSAGE) show(&w); /* of a wrong plan there is nothing to show */
    pm_sweep_close(&w);
    return rc;
}

static pm_status dry_run(const pm_sweep *plan, const pm_sweep_opts *o, pm_err *e) {
    pm_sweeping w;
    pm_status rc = pm_sweep_dry(plan, o, &w, e);
    pm_sweep_close(&w);
    return rc;
}

/* What Slurm's tasks did so far is folded in first; then only what is missing is submitted. */
static pm_status launch(const pm_sweep *plan, const pm_slurm_opts *o, pm_err *e) {
    pm_sweeping w;
    pm_err missing = {0};
    bool submitted = false;
    pm_status rc = pm_slurm_gather(o->sweep.db_path, e);
    if (rc) return rc;
    rc = pm_sweep_do(plan, &o->sweep, &w, &missing);
    if (!rc || rc == PM_ECHECK) {
        pm_status asked = pm_slurm_submit(&w, o, &submitted, e);
        if (asked || submitted) {
            pm_sweep_close(&w);
            return asked;
        }
        show(&w);
    }
    pm_sweep_close(&w);
    if (rc) *e = missing;
    return rc;
}

static pm_status gather(const pm_sweep *plan, const pm_sweep_opts *o, pm_err *e) {
    pm_status rc = pm_slurm_gather(o->db_path, e);
    return rc ? rc : sweep(plan, o, e);
}

/* ---- the command line ---- */

typedef struct flags {
    const char *db, *jobs, *timeout, *launcher, *shards, *shard, *stage, *known;
    bool accept, this_commit, dry, gather;
    pm_list sbatch;
} flags;

/* "3/8" */
static pm_status read_shard(const char *text, pm_part *part, pm_err *e) {
    char end;
    if (sscanf(text, "%d/%d%c", &part->shard, &part->shards, &end) == 2 && part->shard >= 1 &&
        part->shard <= part->shards)
        return PM_OK;
    pm_fail(e, PM_EUSAGE, "--shard: \"%.40s\" is not a part of a plan", text);
    return pm_hint(e, "--shard 3/8 is the third of eight");
}

static pm_status read_stage(const char *text, pm_stage *out, pm_err *e) {
    static const char *const name[] = {"tune", "final"};
    static const pm_stage stage[] = {PM_STAGE_TUNE, PM_STAGE_FINAL};
    for (int i = 0; i < 2; i++)
        if (strcmp(text, name[i]) == 0) return *out = stage[i], PM_OK;
    pm_fail(e, PM_EUSAGE, "--stage: \"%.40s\" is neither tune nor final", text);
    return pm_hint(e, "without --stage both are done");
}

static pm_status read_flags(int *argc, char **argv, flags *f, pm_err *e) {
    const pm_opt opts[] = {{"--db", &f->db, NULL, NULL},
                           {"--jobs", &f->jobs, NULL, NULL},
                           {"--timeout", &f->timeout, NULL, NULL},
                           {"--accept-failed", NULL, &f->accept, NULL},
                           {"--this-commit", NULL, &f->this_commit, NULL},
                           {"--dry-run", NULL, &f->dry, NULL},
                           {"--launcher", &f->launcher, NULL, NULL},
                           {"--shards", &f->shards, NULL, NULL},
                           {"--sbatch", NULL, NULL, &f->sbatch},
                           {"--gather", NULL, &f->gather, NULL},
                           {"--shard", &f->shard, NULL, NULL},
                           {"--stage", &f->stage, NULL, NULL},
                           {"--known", &f->known, NULL, NULL},
                           {0}};
    pm_status rc = pm_opts_parse(opts, argc, argv, e);
    if (!rc) rc = pm_args_check(*argc, argv, 1, 1, e);
    if (rc) return rc;
    bool slurm = strcmp(f->launcher, "slurm") == 0;
    if (!slurm && strcmp(f->launcher, "local") != 0) {
        pm_fail(e, PM_EUSAGE, "--launcher: \"%.40s\" is neither local nor slurm", f->launcher);
        return pm_hint(e, "--shard and --stage do a part of a plan, for other schedulers");
    }
    if (!slurm && (f->shards || f->sbatch.n)) {
        pm_fail(e, PM_EUSAGE, "%s goes with --launcher slurm", f->shards ? "--shards" : "--sbatch");
        return pm_hint(e, "add --launcher slurm%s", f->shards ? "; --shard K/N does one part here" : "");
    }
    if ((slurm || f->gather || f->dry) && (f->shard || f->stage || f->known)) {
        pm_fail(e, PM_EUSAGE,
                "--shard, --stage and --known go with neither --launcher slurm, --gather nor --dry-run");
        return pm_hint(e, "leave them out: the launcher's script sets them");
    }
    return PM_OK;
}

static pm_status read_opts(const flags *f, pm_slurm_opts *o, pm_err *e) {
    bool slurm = strcmp(f->launcher, "slurm") == 0;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    double jobs = slurm || cores < 1 ? 1 : (double)cores, seconds = 0, shards = 0;
    pm_part part = {PM_STAGE_BOTH, 0, 0};
    pm_status rc = f->jobs ? read_number("--jobs", f->jobs, 1, 1024, true, &jobs, e) : PM_OK;
    if (!rc && f->timeout) rc = read_number("--timeout", f->timeout, 1, 1e9, false, &seconds, e);
    if (!rc && f->shards) rc = read_number("--shards", f->shards, 1, 100000, true, &shards, e);
    if (!rc && f->shard) rc = read_shard(f->shard, &part, e);
    if (!rc && f->stage) rc = read_stage(f->stage, &part.stage, e);
    if (!rc && f->this_commit && (slurm || f->gather)) {
        pm_fail(
            e, PM_EUSAGE,
            "--this-commit: databases of several tasks are folded together by run key, whatever the commit");
        rc = pm_hint(e, "sweep on this machine, without --launcher slurm and --gather");
    }
    if (slurm || f->gather) part.stage = PM_STAGE_NEITHER;
    *o = (pm_slurm_opts){.sweep = {.db_path = f->db,
                                   .jobs = (int)jobs,
                                   .timeout_s = seconds,
                                   .accept_failed = f->accept,
                                   .this_commit = f->this_commit,
                                   .part = part,
                                   .known = f->known},
                         .shards = (int)shards,
                         .dry = f->dry,
                         .args = f->sbatch.at,
                         .n_args = f->sbatch.n};
    return rc;
}

static pm_status run(int argc, char **argv, pm_err *e) {
    flags f = {.db = "results/results.db", .launcher = "local"};
    pm_slurm_opts o;
    pm_sweep plan;
    pm_status rc = read_flags(&argc, argv, &f, e);
    if (!rc) rc = read_opts(&f, &o, e);
    if (!rc) rc = pm_sweep_load(argv[1], &plan, e);
    if (rc) return rc;
    if (f.gather)
        rc = gather(&plan, &o.sweep, e);
    else if (strcmp(f.launcher, "slurm") == 0)
        rc = launch(&plan, &o, e);
    else
        rc = f.dry ? dry_run(&plan, &o.sweep, e) : sweep(&plan, &o.sweep, e);
    pm_sweep_free(&plan);
    return rc;
}

const pm_command pm_cmd_sweep = {
    "sweep", "a plan: methods x models x tasks x seeds, tuned on validation, tested once", help, run, NULL,
    true};
