/* regress_runs.h - the runs that a REF of `regress` names, with what is exact about them, and which run of one set answers to which of another.
 *
 * Two runs answer to each other when everything that decides their numbers is equal but the program: method, task, seed, model, data, adapter
 * to start from, and every setting that both programs know. Paths do not count: the hashes say what lay there.
 */
#ifndef PM_REGRESS_RUNS_H
#define PM_REGRESS_RUNS_H
#include "arena.h"
#include "db.h"
#include <cjson/cJSON.h>

typedef struct
    pm_fact {         /* an exact number of a run: a counter, a category of memory, a count of parameters */
    const char *name; /* flops_forward, memory_adapter, trainable_params, ... */
    int64_t value;
} pm_fact;

typedef struct pm_recorded { /* a run; text is "" where nothing is known */
    int64_t id, seed;        /* id 0: of a baseline file */
    const char *name; /* label, with the task and the seed where the set has several: "lora tiny_facts" */
    const char *label, *method, *task, *status, *error, *started;
    const char *model_hash, *data_hash, *train_hash, *adapter_hash, *commit, *host /* its fingerprint */;
    int dirty;             /* 0, 1; -1: unknown */
    const cJSON *settings; /* an object, or NULL */
    pm_fact *fact;         /* [n_facts] by name */
    int n_facts;
    char bits[65]; /* sha256 over the losses, gradient norms and scores; "" where there are none */
    const char *split,
        *metric; /* of its first score: acc, exact_match or nll, of test before validation; "" none */
    int version;
    double score; /* NAN: none */
} pm_recorded;

typedef struct pm_run_set {
    pm_arena *keep;
    pm_db *db;        /* NULL: a baseline file */
    const char *name; /* "1f2e3d4c5b (results/results.db)" */
    pm_recorded *run; /* [n] the latest of each configuration and seed; by task, label, seed */
    int n, n_dirty;
    cJSON **settings; /* [n_settings] */
    int n_settings;
} pm_run_set;

/* What REF names: a database (FILE, or FILE@COMMIT), run ids (12,14-20), or a commit of db: a prefix that it records, else a name that git
 * knows here. Only final runs of `sweep`, unless NULL. Runs that are going on or were cancelled do not count.
 * PM_EUSAGE: no such commit, with the ones there are, no run; PM_EDB. */
pm_status pm_run_set_open(const char *ref, const char *db, const char *sweep, pm_run_set *out, pm_err *e);
/* Once all runs are in: order, the latest of each configuration and seed, names, how many had local changes. */
void pm_run_set_finish(pm_run_set *s);
void pm_run_set_name(pm_run_set *s);
void pm_run_set_close(pm_run_set *s); /* a zeroed one is fine */
/* Every run of a database, of all commits, in order, without names and bits: what a history is made of. */
pm_status pm_run_set_all(pm_db *d, const char *sweep, pm_run_set *out, pm_err *e);

/* Whether one answers to the other. why: the first thing that differs and both values ("" when they do). */
typedef struct pm_unlike {
    char key[96], a[64], b[64];
} pm_unlike;
bool pm_answers(const pm_recorded *a, const pm_recorded *b, pm_unlike *why);
/* Of one label, and it does, but for the seed. */
bool pm_same_config(const pm_recorded *a, const pm_recorded *b);

typedef struct pm_run_pair {
    const pm_recorded *base, *head;
} pm_run_pair;
typedef struct pm_pairing {
    pm_run_pair *pair; /* [n] in the order of base */
    int n;
    const pm_recorded **only_base, **only_head; /* runs that nothing answers to */
    int n_only_base, n_only_head;
} pm_pairing;
pm_pairing pm_pair_runs(const pm_run_set *base, const pm_run_set *head, pm_arena *keep);
/* "lora tiny_facts: train.steps is 40 and 60" or "lora tiny_facts: not there": why nothing in `others` answers to the run. */
const char *pm_why_alone(const pm_recorded *run, const pm_run_set *others, pm_arena *keep);
#endif
