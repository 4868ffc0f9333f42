/* sweep_db.h - what the database holds of a sweep: rows begun for its workers, rows that count as done, scores to choose by. */
#ifndef PM_SWEEP_DB_H
#define PM_SWEEP_DB_H
#include "db.h"
#include "host.h"

/* A run's place in a plan (table sweep_runs). */
typedef struct pm_place {
    const char *sweep, *stage, *label;
    int trial;
} pm_place;

typedef enum pm_row_state {
    PM_ROW_NONE,     /* there is no row with this key, or one that is nobody's business here */
    PM_ROW_OK,       /* done */
    PM_ROW_DIVERGED, /* done: the same settings diverge again */
    PM_ROW_BROKEN    /* a sweep's row that failed, was cancelled or took too long: it is done again */
} pm_row_state;
/* commit: only rows of this commit, without local changes; NULL: of any. */
pm_status pm_sweepdb_find(pm_db *d, const char *run_key, const char *commit, pm_row_state *state,
                          int64_t *run_id, pm_err *e);

/* Rows of sweeps that say `running` become `failed`: whoever calls holds the sweep's lock, so nobody is at work on them. */
pm_status pm_sweepdb_bury(pm_db *d, pm_err *e);
/* What a run is expected to take, on each basis there is (tables costs and forecasts). */
typedef enum pm_basis { PM_BY_RUNS, PM_BY_PROBE, PM_BASES } pm_basis; /* the better first */
typedef struct pm_forecast {
    bool known;
    double wall_s;
    int64_t peak_rss_bytes, peak_live_bytes, flops, disk_bytes;
} pm_forecast;
typedef struct pm_expected {
    const char *shape;
    int64_t eval_tokens, data_rss_bytes;
    pm_forecast by[PM_BASES];
} pm_expected;

/* A row with status running, in the plan's place, with what is expected of it. old: a broken row with this key, which is emptied and begun anew; 0: none. */
pm_status pm_sweepdb_begin(pm_db *d, const pm_db_run *r, const pm_place *p, const pm_expected *x, int64_t old,
                           int64_t *run_id, pm_err *e);
/* A run that is there already takes its place in the plan. */
pm_status pm_sweepdb_place(pm_db *d, int64_t run_id, const pm_place *p, pm_err *e);
/* Only these runs, and others of their keys, keep their place in the plan: what it no longer asks for loses it. The runs themselves stay. commit: only
 * its runs may lose theirs; NULL: all. */
pm_status pm_sweepdb_forget(pm_db *d, const char *sweep, const char *commit, const int64_t *kept, int n,
                            pm_err *e);
/* After a worker has ended. An end that it did not write itself is written: status and why; with `overrule` also in the place of one
 * that it wrote because it was told to stop. *state: the row's, after that. */
pm_status pm_sweepdb_settle(pm_db *d, int64_t run_id, const char *status, const char *why, bool overrule,
                            pm_row_state *state, pm_err *e);

/* A metric of a run; name "": the first of acc, exact_match, nll that it has, which is then written to name. NAN: none. */
pm_status pm_sweepdb_score(pm_db *d, int64_t run_id, const char *split, char name[24], double *value,
                           pm_err *e);
pm_status pm_sweepdb_flops(pm_db *d, int64_t run_id, int64_t *flops,
                           pm_err *e); /* of training; 0: not counted */
pm_status pm_sweepdb_params(pm_db *d, int64_t run_id, int64_t *trainable, pm_err *e);

/* ---- costs ---- */

/* What is known of runs of one shape, in such a way that it holds for any split. */
typedef struct pm_estimate {
    double wall_s,
        eval_token_s; /* of all but the evaluation and the forgetting | of evaluation, for each token of the split */
    double text_token_s;    /* of the forgetting, for each token of the probe and side; 0: not known */
    int64_t peak_rss_bytes; /* but for reading the data */
    int64_t peak_live_bytes, flops, steps;
} pm_estimate;
/* A probe's (table probes): kept for this machine, and found again. */
pm_status pm_sweepdb_probe_put(pm_db *d, const char *shape, const pm_host *machine, const pm_estimate *x,
                               pm_err *e);
pm_status pm_sweepdb_probe_get(pm_db *d, const char *shape, const pm_host *machine, pm_estimate *x,
                               bool *found, pm_err *e);
/* From the last few runs of this shape that a sweep did on this machine. */
pm_status pm_sweepdb_measured(pm_db *d, const char *shape, const pm_host *machine, pm_estimate *x,
                              bool *found, pm_err *e);
/* Half of a plan's runs took more or less than was expected by at most this part of what they took; NAN: nothing was expected. The first
 * of the bases counts that a run has. *n: runs. */
pm_status pm_sweepdb_median_error(pm_db *d, const char *sweep, const char *name, double *error, int *n,
                                  pm_err *e);
#endif
