/* runner.h - one logged run: open, train, evaluate, save, with every phase, step, metric and item in the database.
 *
 * A run that fails, diverges or is interrupted is data: its row says so. Only what cannot be recorded (no database) leaves no row.
 */
#ifndef PM_RUNNER_H
#define PM_RUNNER_H
#include "config.h"
#include "probe.h"

typedef struct pm_run_opts {
    const char *db_path, *adapter_in, *adapter_out; /* adapter_*: NULL when not wanted */
    bool train;                                     /* false: evaluate only (the eval command) */
    pm_probe *probe; /* only a few steps are done, and noted there; NULL: all */
    int64_t run_id;  /* a row that a sweep has begun for this run; 0: begin one */
} pm_run_opts;

/* Runs c (checked by pm_config_check) and prints the outcome, one JSON document with --json. PM_OK only when the row's status is ok. */
pm_status pm_run_logged(const pm_config *c, const pm_run_opts *o, pm_err *e);

/* What identifies the runs of one model on one task, whatever trains it. */
typedef struct pm_identity {
    char task[64], model_hash[65], train_hash[65], data_hash[65];
    int task_version;
    char probe_hash[65];    /* of eval.probe; "": none */
    int64_t eval_tokens;    /* of the scored split: what scoring it takes is in proportion */
    int64_t probe_tokens;   /* of eval.probe, which is read twice */
    int64_t data_rss_bytes; /* that reading the data takes */
    int eval_items;
} pm_identity;
/* Loads model and data as a run of c (without a method) would, and trains nothing. Measures what runs of the model will be a share of (roofline.h)
 * where that is not known yet. */
pm_status pm_run_identify(const pm_config *c, pm_identity *out, pm_err *e);

/* Loads model and data and trains as a run of c would, and records nothing: for timing steps. fn is called after each step and ends the
 * training with a status other than PM_OK, which is returned. */
pm_status pm_run_steps(const pm_config *c, pm_step_fn fn, void *ctx, pm_err *e);
#endif
