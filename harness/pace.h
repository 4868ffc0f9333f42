/* pace.h - two builds of the program doing the same work in turns, a few milliseconds each, so that both meet the same machine.
 *
 * Why: what disturbs a shared machine lasts longer than a training step. Processes that run one after the other differ by what was going on
 * meanwhile; two that take turns step by step differ by what they are. Measured on two virtual cores beside other jobs, same program twice:
 * the log-ratio of a kernel's times has a standard deviation of 19% between processes one after the other and of 3% between processes in
 * turns (docs/STATISTICS.md). The pair of processes stays the unit: what is fixed when a process starts (where its pages lie) does not
 * average out within it.
 *
 * The child is `peftmeter worker --pace WHAT`: it says `ready NAME...`, then answers each line K with the seconds of CPU time that unit K took: with one thread
 * that is the work itself, and on a machine that does other things too it is quieter than wall time: 1.3% instead of 5.5% for a step of LoRA while
 * four programs shared each core. What waits (a disk, a lock) is therefore not seen here. WHAT is
 * `kernels` (units: kernel_bench.h) or a run's settings as JSON (one unit: a training step; requests follow the plan of the run).
 */
#ifndef PM_PACE_H
#define PM_PACE_H
#include "build.h"

enum { PM_PACE_UNITS = 64, PM_PACE_NAME = 32 };

/* The child's side: serves requests on stdin until it ends. */
pm_status pm_pace_serve(const char *what, pm_err *e);

typedef struct pm_pace_unit {
    char name[PM_PACE_NAME];
    bool wanted;      /* in: measure it (pm_pace_pair) */
    double log_ratio; /* out: of head's time to base's, the median over rounds; NAN: not measured */
    double base_s;    /* out: base's median time, seconds */
} pm_pace_unit;

typedef struct pm_pace {
    const pm_build *build[2]; /* base, head */
    const char *what;
    int warmup, rounds; /* rounds that are dropped, and that count; in each both do every wanted unit once */
} pm_pace;

/* The units that both programs know, all wanted; *n of them. PM_EUNSUPPORTED: a program is too old to be paced; PM_EIO, PM_ECHECK: it fails
 * at this work; *failed: which of the two, 0 or 1, and the message has what it said. */
pm_status pm_pace_units(const pm_pace *p, pm_pace_unit *out, int *n, int *failed, pm_err *e);
/* One pair of fresh processes: head_first (a coin's: stats_speed.h) is started first and begins the first round, then both begin in turns (ABBA). Fails as
 * above. */
pm_status pm_pace_pair(const pm_pace *p, bool head_first, pm_pace_unit *units, int n, pm_err *e);
#endif
