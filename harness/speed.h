/* speed.h - the speed tier: two builds compared on works (the kernels, and training steps of each method), unit by unit, by the plan of stats_speed.h.
 *
 * A unit is a kernel, a method's step, or "all methods": of each pair of rounds the mean log-ratio over methods, which sees a slowdown that is
 * common to all and too small to be seen in any. A unit that is called slower in the first batch is measured again in a second; both
 * together make a regression.
 */
#ifndef PM_SPEED_H
#define PM_SPEED_H
#include "pace.h"
#include "stats_speed.h"

typedef struct pm_work {
    const char *label, *what; /* "lora", a run's settings as JSON; "kernels", "kernels" */
} pm_work;

enum { PM_SPEED_FIRST, PM_SPEED_AGAIN, PM_SPEED_BATCHES };
typedef struct pm_speed_unit {
    const char *name; /* k_rmsnorm; lora; all methods */
    int work, place;  /* of the works, and in the work's units; work -1: all methods */
    double base_s;    /* of the last pair; NAN for all methods */
    double x[PM_SPEED_BATCHES][PM_SPEED_PAIRS];
    int n[PM_SPEED_BATCHES];
    pm_speed_test test[PM_SPEED_BATCHES]; /* pairs 0: not made */
    double least
        [PM_SPEED_LOOKS]; /* what is called must be above it: PM_SPEED_LEAST, or the certificate's floor where that is more */
} pm_speed_unit;

typedef struct pm_duel {
    const pm_build *build[2]; /* base, head */
    const pm_work *work;
    pm_err *trouble; /* [n_works] why a work has no units: a side that cannot do it; code PM_OK: it has */
    int *failed;     /* [n_works] that side: 0 base, 1 head */
    pm_pace_unit (*pace)[PM_PACE_UNITS]; /* [n_works] */
    int *n_pace;                         /* [n_works] */
    pm_speed_unit *unit; /* [n]: of the works in order, all methods last where there are several */
    int n_works, n;
    pm_arena *keep;
} pm_duel;

/* Starts every work once, to learn its units. works, builds and arena must outlive the duel. What one side cannot do (a method that base lacks) stands in
 * `trouble`. PM_EUNSUPPORTED: a build from before there was this tier. */
pm_status pm_duel_open(const pm_build *base, const pm_build *head, const pm_work *work, int n_works,
                       pm_arena *keep, pm_duel *out, pm_err *e);
/* Looks as long as any unit is open and none has regressed, and the second batch of what a look called; fills the tests. PM_ECANCELLED, and as pm_pace_pair. */
pm_status pm_duel_run(pm_duel *d, pm_err *e);
/* So many pairs of every unit, without a test: for builds that are known to be equal. */
pm_status pm_duel_measure(pm_duel *d, int pairs, pm_err *e);
/* Slower in both batches. */
bool pm_speed_regressed(const pm_speed_unit *u);
/* Slower by more than PM_SPEED_LEAST as measured, 0 outside the interval, but less than what the certificate lets be called: not the same either. */
bool pm_speed_hidden(const pm_speed_unit *u);
bool pm_work_is_steps(const pm_work *w);
#endif
