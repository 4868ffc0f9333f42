/* regress_recorded.h - the tiers of `regress` on recorded runs: exact counters, outcomes of items, the panel over all configurations.
 */
#ifndef PM_REGRESS_RECORDED_H
#define PM_REGRESS_RECORDED_H
#include "regress.h"
#include "regress_runs.h"

/* ---- the reviewed numbers (regress_baseline.c) ---- */

/* A file of JSON: the exact numbers of a suite's runs, and why they ever changed. Read as a run set like any other. */
typedef struct pm_baseline {
    pm_run_set set; /* set.run[].host: the machine whose bits these are */
    cJSON *json;    /* the file; its "changes" explain; NULL: a file that is not there yet */
} pm_baseline;
/* PM_EIO, PM_EFORMAT; with `may_lack` a file that is not there is an empty one. Free it also after a failure. */
pm_status pm_baseline_read(const char *path, bool may_lack, pm_baseline *out, pm_err *e);
void pm_baseline_free(pm_baseline *b);
/* The reason that was given when this number of this run became `value`; NULL: it is not the reviewed value. From the file, or `keep`. */
const char *pm_baseline_reason(const pm_baseline *b, const pm_recorded *run, const char *counter,
                               const char *value);
/* "2026-11-25, commit 1f2e3d4c5b: reason" of the last change; NULL: none. */
const char *pm_baseline_last(const pm_baseline *b, pm_arena *keep);
/* Writes head's numbers as the reviewed ones, with what changed and why, whole or not at all. *n: numbers that changed; 0 of a file that is there: it is
 * left alone. PM_EUSAGE: no reason, a run of head that is not ok; PM_EIO. */
pm_status pm_baseline_accept(const pm_baseline *old, const pm_run_set *head, const char *path,
                             const char *reason, int *n, pm_err *e);

/* ---- tiers ---- */

/* How runs ended, every counter, and the bits of losses and scores. `reviewed` explains what differs, or is NULL; strict: a run of base that head
 * lacks is a regression. */
typedef struct pm_counters_input {
    const pm_run_set *base, *head;
    const pm_pairing *pairs;
    const pm_baseline *reviewed;
    bool strict;
} pm_counters_input;
void pm_regress_counters(pm_regress *g, const pm_counters_input *in);
/* Numbers whose value may depend on the machine: compared only where both runs are of one. */
bool pm_is_of_machine(const char *counter);

/* Each configuration on the items that both answered (Holm over configurations), then the panel of each metric. PM_EDB. */
pm_status pm_regress_quality(pm_regress *g, const pm_run_set *base, const pm_run_set *head,
                             const pm_pairing *pairs, pm_err *e);

/* ---- the whole (regress_recorded.c) ---- */

typedef struct pm_recorded_words { /* of the command line; NULL: not said */
    const char *db, *base, *head, *suite, *baseline, *accept;
} pm_recorded_words;
/* All tiers of head against base; without a base the exact numbers of head against the baseline. PM_EUSAGE: nothing to compare; PM_EDB, PM_EIO,
 * PM_EFORMAT: files. */
pm_status pm_regress_recorded(const pm_recorded_words *w, pm_regress *g, pm_err *e);
/* Makes head's numbers the reviewed ones. *n: how many changed. */
pm_status pm_regress_accept(const pm_recorded_words *w, int *n, pm_err *e);

/* ---- for continuous integration (regress_junit.c) ---- */

/* All cases as JUnit XML: a suite a tier, a test case a configuration and metric. PM_EIO. */
pm_status pm_regress_junit(const pm_regress *g, const char *path, pm_err *e);
#endif
