/* regress.h - what `regress` finds: cases, whatever tier they come from, and tables; printed, counted and turned into an exit code in one place.
 *
 * A tier (regress_*.c) adds one case for everything that it decides, unchanged ones too, and tables of what it measured. Nothing else
 * decides the exit code: PM_ECHECK where a case is worse, PM_EUSAGE "nothing measured" where there is none.
 */
#ifndef PM_REGRESS_H
#define PM_REGRESS_H
#include "arena.h"
#include "stats_panel.h"
#include "table.h"

typedef enum pm_case_verdict {
    PM_CASE_SAME, /* no change for the worse */
    PM_CASE_BETTER,
    PM_CASE_WORSE,    /* a regression */
    PM_CASE_APART,    /* moved unlike the others; said, and no regression by itself */
    PM_CASE_UNDECIDED /* measured, but too little to decide */
} pm_case_verdict;
const char *pm_case_verdict_name(pm_case_verdict v);

typedef struct pm_case {
    const char *tier;   /* panel, residual, counters, quality, speed */
    const char *name;   /* a configuration, or what the panel is */
    const char *metric; /* test_accuracy, step_s, ... */
    pm_case_verdict verdict;
    double effect;    /* head less base; NAN: none */
    const char *unit; /* of effect: points, %, ...; "" */
    double p;         /* NAN: not a test */
    const char *text; /* one sentence */
} pm_case;

typedef struct pm_regress {
    pm_arena *keep; /* strings of cases, scratch */
    pm_report *report;
    pm_case *cases;
    int n_cases;
} pm_regress;

pm_regress pm_regress_new(const char *title);
void pm_regress_free(pm_regress *g);
void pm_regress_add(pm_regress *g, const pm_case *c); /* copies its strings */
/* Prints the report to a file, or to standard output when it is NULL, and says how it ended: PM_OK, PM_ECHECK, PM_EUSAGE, PM_EIO. */
pm_status pm_regress_finish(const pm_regress *g, const pm_format *f, const char *file, pm_err *e);

/* ---- the panel test (regress_panel.c) ---- */

typedef struct pm_panel_input {
    const char *metric;
    int better; /* 1: more is better; -1: less is */
    pm_panel_scale scale;
    int n; /* configurations, at least 1 */
    const char *const *name;
    const double *base, *head; /* [n] */
    const char *note;          /* what was left out; NULL: nothing */
} pm_panel_input;
/* Adds the table of configurations, the panel's own, and a case for the panel and for each configuration's residual. */
void pm_regress_panel(pm_regress *g, const pm_panel_input *in);

/* ---- tables (regress_csv.c) ---- */

typedef struct
    pm_csv_words { /* of the command line; scale NULL: by the values, else points, percent or plain */
    const char *file, *row, *value, *when, *base, *head, *scale;
} pm_csv_words;
/* The panel test on a table: of each row's name, the newest value whose time starts with each prefix. PM_EUSAGE: no such column, nothing to
 * compare; PM_EIO, PM_EFORMAT: the file. */
pm_status pm_regress_csv(const pm_csv_words *w, pm_regress *g, pm_err *e);
#endif
