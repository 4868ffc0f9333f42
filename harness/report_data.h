/* report_data.h - what reports need of a database, read once: runs grouped into rows (one configuration) and tasks, with their scores and every
 * item's outcome.
 *
 * A configuration is a label of a sweep, or a method with its settings, on one model; its runs differ in their seeds. Rows are ordered by
 * model, method (untuned, then as `peftmeter methods` lists them), label and settings, tasks by name: never by when something was run.
 */
#ifndef PM_REPORT_DATA_H
#define PM_REPORT_DATA_H
#include "arena.h"
#include "db.h"

#define PM_PROBE_SPLIT "probe" /* of metrics that say what was forgotten: no result of the task */

typedef struct pm_score {
    const char *split, *name;
    int version;
    double value, stderr_; /* NAN: not measured */
    int64_t n;             /* items, or tokens */
} pm_score;

typedef struct pm_result { /* a run that is ok; text is "" where the database has NULL */
    int64_t id, seed, trial, host /* 0: unknown */;
    int64_t trainable, total; /* -1: unknown */
    const char *model /* its name: report_model.h */, *task, *method, *label, *status, *config,
        *identity /* what makes its row, apart from model and label */,
        *started /* UTC, ISO 8601: texts compare as times do */,
        *origin /* whose measurement it is, where it was imported (schema.sql, imported) */;
    const char *model_hash, *data_hash, *train_hash, *adapter_hash, *commit;
    pm_score *score;
    int n_scores;
    const float *
        outcome; /* [items of its task] 1, 0, NAN: not scored; in the order of the items' ids; NULL: none, or of other items */
} pm_result;

typedef struct pm_setup { /* a row */
    const char *model;    /* its name, see report_model.h */
    const char *method, *label;
    const char *commit; /* of its first run */
    const char *origin; /* "": measured by this program */
    const char *name;   /* label, with the settings that tell it from others of that label */
} pm_setup;

typedef struct pm_place_runs { /* one row on one task: a run a seed, by seed; of equal seeds the latest */
    const pm_result **run;
    int n;
    int lost; /* seeds whose run ended otherwise than ok */
} pm_place_runs;

typedef struct pm_task_facts {
    const char *name;
    const char *split;  /* test where any run has it, else validation; "" nothing scored */
    const char *metric; /* as asked for, else the first of acc, exact_match, nll */
    int64_t n_items;    /* outcomes of a run; 0: no run has right and wrong items */
    const int32_t *
        cluster; /* [n_items] 0..n_clusters-1, as the run says that has the fewest; NULL: no run says that items share any */
    int32_t n_clusters;
    bool forgets; /* some run measured forgetting, and the metric above is another one */
} pm_task_facts;

typedef struct pm_results {
    pm_arena *keep;    /* holds all of it */
    const char *sweep; /* "": all runs but tuning trials */
    pm_result *run;
    int n_runs,
        left_out; /* left_out: runs that are ok and not shown, because another sweep or none holds them */
    pm_setup *setup;
    int n_setups;
    pm_task_facts *task;
    int n_tasks;
    pm_place_runs *place; /* [n_setups][n_tasks] */
    bool several_models, commits;
} pm_results;

typedef struct pm_selection {
    const char *sweep;  /* NULL: the only one, else all runs but tuning trials */
    const char *task;   /* NULL: all */
    const char *metric; /* NULL: the task's */
    bool tuning;        /* the trials instead of the final runs */
    bool outcomes;      /* items too */
    bool commits;       /* a row is of one commit: configurations at two commits are two rows */
} pm_selection;

/* PM_EUSAGE "nothing measured" when no run fits. The caller frees it with pm_results_free, also after a failure. */
pm_status pm_results_load(pm_db *d, const char *path, const pm_selection *q, pm_results *out, pm_err *e);
void pm_results_free(pm_results *r);

const pm_place_runs *pm_results_at(const pm_results *r, int setup, int task);
/* The row of that name or label, with "@" and the beginning of a commit where rows are of one. PM_EUSAGE: none, with the names there are, or several. */
pm_status pm_results_find(const pm_results *r, const char *path, const char *name, int *setup, pm_err *e);
/* First row behind those of setup's model. */
int pm_model_end(const pm_results *r, int setup);
/* The run's score by its task's metric and split, or NULL. */
const pm_score *pm_result_score(const pm_result *run, const pm_task_facts *t);
/* A metric of the forgetting probe: forgetting, cross_entropy_before, cross_entropy_after; NULL: not measured. */
const pm_score *pm_result_on_probe(const pm_result *run, const char *metric);
const pm_score *pm_result_forgetting(const pm_result *run);
/* How many of its rows are imported. */
int pm_results_imported(const pm_results *r);
/* A part of the items, printed in %, of which more is better (acc, exact_match, ...); not nll and ppl. */
bool pm_metric_is_share(const char *metric);
/* Trained numbers in % of the model's own, and of all that are used; NAN where the counts are unknown. */
double pm_result_percent_of_base(const pm_result *run);
double pm_result_percent_of_total(const pm_result *run);
#endif
