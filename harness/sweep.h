/* sweep.h - a plan of many runs: methods x models x tasks x seeds, a search space for each method and one tuning budget for all.
 *
 * sweep_plan.c reads the plan, sweep_trials.c lays out a search space, sweep_match.c solves for a number of trainable parameters,
 * sweep_estimate.c says what a run will take, sweep_predict.c probes for it, sweep_db.c says what the database holds of it, pool.c runs processes beside each other, sweep_run.c drives the whole,
 * sweep_shard.c divides it, sweep_slurm.c gives the parts to Slurm,
 * cmd_sweep.c is the command. docs/sweep.md shows a plan.
 */
#ifndef PM_SWEEP_H
#define PM_SWEEP_H
#include "counts.h"

/* One setting that is searched: the values of a grid, or an interval to draw from. */
typedef enum pm_space_kind { PM_GRID, PM_UNIFORM, PM_LOG_UNIFORM } pm_space_kind;
typedef struct pm_space {
    char key[96];
    pm_space_kind kind;
    char (*grid)[PM_FIELD_STR]; /* [n], as written after KEY= */
    int n;
    double low, high;
    bool whole; /* the setting takes whole numbers */
} pm_space;
enum { PM_SPACES_MAX = 8 };

/* An element of "methods". */
typedef struct pm_entry {
    char label[64];               /* its name in tables: the method's unless the plan gives one */
    const pm_method *method;      /* NULL: the model as it is, once and with nothing to tune ("baseline") */
    const struct cJSON *settings; /* what is fixed, or NULL */
    pm_space space[PM_SPACES_MAX];
    int n_spaces;
} pm_entry;

typedef struct pm_sweep {
    char name[64], metric[24], final[16]; /* metric "": the task's own */
    char **models, **tasks;
    int n_models, n_tasks, n_entries, n_seeds, n_tuning_seeds;
    int *seeds, *tuning_seeds;
    const struct cJSON *settings; /* common to all runs, or NULL */
    pm_entry *entries;
    int trials;         /* most trials of a method */
    double flops;       /* most FLOPs of a method's trials; 0: counted in trials */
    uint64_t draw_seed; /* of random search */
    int64_t match;      /* trainable parameters wanted; 0: as the settings say */
    struct cJSON *json;
} pm_sweep;

/* Reads and checks a plan, every run's settings included: PM_EIO, PM_EFORMAT or PM_EUSAGE before anything is started. */
pm_status pm_sweep_load(const char *path, pm_sweep *s, pm_err *e);
pm_status pm_sweep_parse(const char *text, const char *from, pm_sweep *s,
                         pm_err *e); /* the same from a text */
void pm_sweep_free(pm_sweep *s);

/* ---- trials ---- */

/* What a method's search space comes to: each trial is one value for each of its spaces. */
typedef struct pm_trials {
    char (*value)[PM_SPACES_MAX][PM_FIELD_STR]; /* [n] */
    int n;
    double all; /* points of the grid; INFINITY when something is drawn from an interval */
} pm_trials;
/* At most `most` different trials. A grid that fits is laid out whole, its last key fastest; of a larger one so many points are drawn,
 * and with an interval all are drawn. Draws depend on the seed, the label and the keys, not on `most`: a larger budget
 * keeps the trials of a smaller one. */
void pm_trials_make(const pm_entry *entry, int most, uint64_t seed, pm_trials *out);
void pm_trials_free(pm_trials *t);

/* ---- settings of one run ---- */

typedef struct pm_sweep_run {
    const pm_entry *entry;
    const char *model, *task, *split;
    const char (
        *value)[PM_FIELD_STR]; /* a trial's, [n_spaces]; NULL: the search spaces' keys keep their defaults */
    int seed;
    bool final; /* a trial measures no forgetting: nothing is chosen by it, and the probe costs time */
} pm_sweep_run;
/* The settings of that run, checked; the caller frees *out. One thread unless the plan says otherwise. */
pm_status pm_sweep_config(const pm_sweep *s, const pm_sweep_run *r, pm_config **out, pm_err *e);

/* ---- matching (sweep_match.c) ---- */

#define PM_MATCH_NEAR 0.05 /* off by more than this part is not matched */
typedef struct pm_matched {
    char setting[PM_FIELD_STR +
                 64];  /* "method.rank=11 method.layers=0,4"; "" when the method has nothing to turn */
    int64_t trainable; /* reached */
    bool near;         /* within PM_MATCH_NEAR of what was wanted */
} pm_matched;
/* Sets the rank with which c's method comes nearest to `want` trainable parameters. Where that is not near, and the plan left them at their
 * defaults, also the blocks (method.layers) or the projections (method.targets): as many as come near, else the nearest. A
 * method without a rank has its projections alone. */
pm_status pm_match(const pm_shape *shape, pm_config *c, int64_t want, pm_matched *out, pm_err *e);
const char *pm_match_key(const pm_method *m); /* the setting that it always sets; NULL: none */

/* ---- choosing ---- */

/* Whether more of a metric is better; PM_EUSAGE for an unknown name, with the nearest. */
pm_status pm_metric_direction(const char *name, bool *higher_is_better, pm_err *e);
/* The index of the best score, the first of equals; NAN scores (a diverged trial) never win; -1: none is a number. */
int pm_choose(const double *score, int n, bool higher_is_better);

#endif
