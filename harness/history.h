/* history.h - what a database says of the commits that it holds runs of: a series for each configuration and number, and where it changed for good.
 *
 * For dashboards. A gate compares two sets of runs (`peftmeter regress`).
 */
#ifndef PM_HISTORY_H
#define PM_HISTORY_H
#include "regress_runs.h"
#include "stats_steps.h"

typedef struct pm_series {
    const char *name, *task, *model_hash; /* the configuration, as "lora tiny_facts" */
    const char *what;                     /* acc, exact_match or nll; flops, memory, step_s */
    int better;                           /* 1: more is better; -1: less is */
    bool score;
    int n;
    int *commit;     /* [n] index of the history's, ascending */
    double *value;   /* [n] mean over the seeds' latest runs */
    pm_level *level; /* [n_levels] over the values */
    int n_levels;
    double floor; /* a smaller change is none */
} pm_series;

typedef struct pm_history {
    pm_arena *keep;
    const char **commit, **when; /* [n_commits] by the first run of each: its id, date and time */
    int n_commits;
    pm_series *series;
    int n_series;
    bool other_machines; /* there are times of other machines than the newest run's: they are left out */
} pm_history;

/* Runs that are ok and whose program had no local changes; of a sweep, unless NULL. The caller frees it with pm_history_free, also after a
 * failure. PM_EDB. */
pm_status pm_history_read(pm_db *d, const char *sweep, pm_history *out, pm_err *e);
void pm_history_free(pm_history *h);
/* The series' best level but the last, by direction; NULL: there is one level. */
const pm_level *pm_series_best(const pm_series *s);
/* The last level is worse than the best one before it. */
bool pm_series_is_worse(const pm_series *s);
#endif
