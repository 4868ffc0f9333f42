/* sweep_run.h - from a plan to a filled database: trials, the choice by validation, the final runs. */
#ifndef PM_SWEEP_RUN_H
#define PM_SWEEP_RUN_H
#include "pool.h"
#include "progress.h"
#include "runner.h"
#include "sweep.h"
#include "sweep_db.h"

typedef enum pm_job_state {
    PM_JOB_WAITING,
    PM_JOB_RUNNING,
    PM_JOB_OK,
    PM_JOB_DIVERGED,
    PM_JOB_FAILED,      /* also stopped at its deadline or by Ctrl-C: the next start does it again */
    PM_JOB_OVER_BUDGET, /* never started */
    PM_JOB_ELSEWHERE    /* not there, and not this process's to start */
} pm_job_state;

typedef enum pm_stage { PM_STAGE_BOTH, PM_STAGE_TUNE, PM_STAGE_FINAL, PM_STAGE_NEITHER } pm_stage;

/* Which of a plan's runs a process starts; the others it only looks up. All zero: all of them. */
typedef struct pm_part {
    pm_stage stage;
    int shard, shards; /* from 1, of so many; 0, 0: all */
} pm_part;

/* One run. */
typedef struct pm_job {
    struct pm_cell *cell;
    int trial, seed;
    bool final;
    pm_config *config;
    const pm_identity *identity;
    char key[65];
    char shape[65]; /* of what decides its cost: jobs of one shape cost the same */
    pm_job_state state;
    int64_t run_id;     /* 0: none yet */
    bool found;         /* it was in the database already, or in the other one that is read */
    bool other;         /* run_id is of that one */
    char why[240];      /* FAILED: in words */
    pm_matched matched; /* where the plan matches */
    double begun;       /* RUNNING: since when (pm_now_s) */
    double expected_s;  /* WAITING, RUNNING: what it is expected to take; NAN: not known */
    bool probed_twice;
    double score; /* validation (final: of the final split); NAN: none */
    int64_t flops;
} pm_job;

/* One method on one model and task: the unit in which settings are chosen. */
typedef struct pm_cell {
    const pm_entry *entry;
    const char *model, *task;
    pm_trials trials;
    int chosen;        /* trial; -1: none (yet) */
    double score;      /* of the chosen one, mean over tuning seeds; NAN: nothing was compared */
    char metric[24];   /* by which is chosen; "" until the first score is read, unless the plan names one */
    int first, n_tune; /* its trials' jobs in pm_sweeping.job */
    int first_final, n_final;
    int64_t trainable; /* parameters, of a final run; 0: unknown */
} pm_cell;

typedef struct pm_facts { /* what a worker said of a model and a task under some settings */
    char *settings;
    bool locked, failed;
    pm_identity identity;
} pm_facts;

typedef struct pm_sweeping {
    const pm_sweep *plan;
    const char *db_path;
    pm_part part;
    pm_db *db, *known;      /* known: only read; NULL: none */
    int lock, common;       /* file descriptors; -1: none. common: the workers' (commons.h) */
    char common_option[24]; /* "--common=7", for workers */
    pm_host host;
    pm_pool pool;
    pm_cell *cell;
    pm_job *job;
    pm_shape *shape; /* of each model, where the plan matches */
    pm_facts **facts;
    int n_cells, n_jobs, n_tune, n_facts;
    int n_found, n_failed, n_done; /* runs: there already, failed now, settled */
    int n_elsewhere;
    const char *commit; /* whose runs count as done; NULL: of any */
    bool accept_failed; /* a failed trial counts as one without a score */
    pm_progress bar;
} pm_sweeping;

typedef struct pm_sweep_opts {
    const char *db_path;
    int jobs;         /* processes at once */
    double timeout_s; /* of one run; 0: none */
    bool accept_failed;
    pm_part part;
    const char *known; /* another database: what is done there is not done again; NULL: none */
    bool this_commit;  /* only what this build's commit did counts as done */
} pm_sweep_opts;

/* Does what the plan asks for and the database lacks. PM_OK: all of it is there. PM_ECHECK: some runs failed, PM_ECANCELLED: interrupted;
 * then w tells how far it got. The caller closes w in every case. */
pm_status pm_sweep_do(const pm_sweep *plan, const pm_sweep_opts *o, pm_sweeping *w, pm_err *e);
/* Rows that say `running` in a database whose sweep is gone become `failed`, so that what is merged from it tells the truth. A database
 * that no sweep wrote to, or that one is writing to, is left alone. */
pm_status pm_sweep_bury_idle(const char *db_path, pm_err *e);
/* Only says what would be done and what it would take, after a few steps of a run of each shape (sweep_predict.c). */
pm_status pm_sweep_dry(const pm_sweep *plan, const pm_sweep_opts *o, pm_sweeping *w, pm_err *e);
void pm_sweep_close(pm_sweeping *w);

/* PM_OK, or what a worker answered instead of a result: its code, message behind `what`, and hint. */
struct cJSON;
pm_status pm_sweep_refusal(const struct cJSON *answer, const char *what, pm_err *e);

int pm_sweep_final_seeds(const pm_sweeping *w, const pm_cell *c); /* final runs of a cell */

/* ---- sweep_shard.c ---- */

/* The shard, from 1, that a job falls to. Equal settings are one run and fall to one shard; otherwise a stage's runs go round, whatever is
 * done already. Where a budget in FLOPs orders a method's trials, they stay together. */
int pm_shard_of(const pm_sweeping *w, const pm_job *j, int shards);
bool pm_shard_is_ours(const pm_sweeping *w, const pm_job *j); /* whether w's part is to start it */
/* need[s - 1]: shard s has something to do in that stage, after a look at what is there (PM_STAGE_NEITHER); what cannot be chosen yet
 * counts. Returns the number of those runs. */
int pm_shard_needs(const pm_sweeping *w, bool final, int shards, bool *need);

/* ---- sweep_estimate.c ---- */

void pm_sweep_shape(pm_job *j); /* fills j->shape; its config and identity are known */
/* What the job will take, on each basis there is. It holds j->shape, not a copy. */
pm_status pm_sweep_expect(pm_sweeping *w, const pm_job *j, pm_expected *out, pm_err *e);
const pm_forecast *pm_sweep_best(const pm_expected *x); /* NULL: there is no basis */
/* Looks again at what waiting jobs of a shape will take (NULL: all jobs). */
pm_status pm_sweep_learn(pm_sweeping *w, const char *shape, pm_err *e);
double pm_sweep_left_s(const pm_sweeping *w); /* until the whole sweep is done; NAN: nothing to go by */

typedef struct pm_errors {
    double time, rss, live; /* medians, as parts of what was measured; NAN: nothing was predicted */
    int n;                  /* runs that something was predicted of */
} pm_errors;
void pm_sweep_errors(pm_sweeping *w, pm_errors *out);

/* ---- sweep_predict.c ---- */

/* Probes the shapes of jobs that are not in the database, where nothing is known of them on this machine, and keeps what they say. */
pm_status pm_sweep_measure(pm_sweeping *w, pm_err *e);
pm_status pm_sweep_list(pm_sweeping *w, pm_err *e); /* prints the jobs with what was predicted of them */
#endif
