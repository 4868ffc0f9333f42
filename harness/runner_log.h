/* runner_log.h - what a run writes: its row, phases, steps, metrics, memory and counters, and the summary printed at the end. */
#ifndef PM_RUNNER_LOG_H
#define PM_RUNNER_LOG_H
#include "certificate.h"
#include "config.h"
#include "db.h"
#include "evaluate.h"
#include "outcomes.h"
#include "train.h"

/* Speed of training: real (unpadded) tokens a second of wall time, warm-up steps left out. */
typedef struct pm_speed {
    int steps, dropped; /* counted, left out as warm-up */
    int64_t tokens;     /* of the counted steps */
    double wall_s;
} pm_speed;
enum { PM_SPEED_WARMUP = 1 }; /* the first step touches every page for the first time */
void pm_speed_add(pm_speed *s, const pm_step *st);
double pm_speed_tokens_per_s(const pm_speed *s); /* NAN before a step was counted */

typedef struct pm_runlog {
    pm_db *db;
    const char *db_path;
    int64_t run_id, host_id;
    int threads;
    double flushed; /* when waiting rows were last written */
    pm_step *step;
    int n_steps, cap_steps;
    pm_outcome_list items;
    const char *split;        /* whose items these are */
    int64_t peak_rss;         /* of all phases so far, bytes */
    int64_t flops;            /* of training */
    struct pm_logged_memory { /* largest at the end of a stretch of training, bytes */
        int64_t peak_rss, scratch, arenas, heap, program;
    } training;
    struct { /* of pm_runlog_rows */
        int64_t own, common;
    } rows;
    struct pm_logged_metric {
        char split[64];
        pm_metric m;
    } metric[8];
    int n_metrics;
    pm_check check[PM_CHECKS_MAX];
    int n_checks;
    const char *held_task, *held_method; /* pm_runlog_hold; NULL: nothing is held */
} pm_runlog;

/* Opens the database and begins the row (status running), or takes over the one of that id. */
pm_status pm_runlog_open(pm_runlog *l, const char *path, const pm_config *c, int64_t run_id, pm_db_run *row,
                         pm_err *e);
void pm_runlog_close(pm_runlog *l);
/* Steps wait in memory and are written about once a second, in one short transaction: writers of one database take turns, and the lock must
 * not be held while a model computes. Items (of one split) wait for pm_runlog_flush, or for the end: a split is stored whole, of a run that was
 * interrupted as far as it came. pm_runlog_flush writes all that waits; when it fails the rows wait on. */
pm_status pm_runlog_step(pm_runlog *l, const pm_step *st, pm_err *e);
void pm_runlog_item(pm_runlog *l, const char *split /* kept */, const pm_item *it);
pm_status pm_runlog_flush(pm_runlog *l, pm_err *e);
/* Test results appear all at once or not at all: from here on items and metrics wait until pm_runlog_end, which stores them, the count of
 * test reads and the status `ok` in one transaction, or drops them when the run did not end well. The strings are kept. */
void pm_runlog_hold(pm_runlog *l, const char *task, const char *method);
pm_status pm_runlog_metric(pm_runlog *l, const char *split, const pm_metric *m, pm_err *e);
pm_status pm_runlog_check(pm_runlog *l, const pm_check *c, pm_err *e);
/* A split that is in memory during training. */
void pm_runlog_rows(pm_runlog *l, const pm_split *s);
/* A stretch of training is over: what is resident now is training's. The next one begins after pm_runlog_resume, which gives back what was
 * not training's (an evaluation) and starts a new peak. */
void pm_runlog_stretch(pm_runlog *l, const pm_session *s);
void pm_runlog_resume(void);
pm_status pm_runlog_resources(pm_runlog *l, const pm_session *s, const pm_speed *speed,
                              pm_err *e); /* memory and counters, after the last stretch */
pm_status pm_runlog_end(pm_runlog *l, const char *status, const char *error, pm_err *e);
void pm_runlog_print(const pm_runlog *l, const char *status, int64_t trainable /* -1: unknown */,
                     const pm_speed *speed);

typedef struct pm_phase_mark {
    double wall, cpu;
    int64_t peak_rss; /* of a part that is over, bytes; 0: there is none */
} pm_phase_mark;
/* Clears the peaks; s NULL: resident memory's alone, what arenas have counted stays. */
pm_phase_mark pm_phase_start(pm_session *s);
/* What was taken since: a part of a phase that runs at another time. */
pm_phase_mark pm_phase_part(const pm_phase_mark *since);
pm_status pm_runlog_phase(pm_runlog *l, const char *name, const pm_phase_mark *m, const pm_session *s,
                          pm_err *e);
#endif
