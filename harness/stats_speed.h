/* stats_speed.h - is the second of two builds slower? The sequential plan for pairs of processes, and what it can see on a machine.
 *
 * One number a pair: the log of head's time over base's. Looks at 7, 15 and 30 pairs; at each the exact one-sided signed-rank test against
 * its share of alpha, so that a unit (a kernel, a method's step) without a change is called slower with a probability of at most
 * PM_SPEED_ALPHA in a batch (the union bound over looks). That is exact for any noise, drift and correlation between processes, as a coin decides
 * which of a pair is head: without a change the signs are those coins. A check asks many units; one
 * that is called slower is measured again in a second batch under the same plan, and only both together make a regression: with U units
 * the whole check is wrong in at most U PM_SPEED_ALPHA^2 of cases, 0.4% for 40. docs/STATISTICS.md has the simulation.
 */
#ifndef PM_STATS_SPEED_H
#define PM_STATS_SPEED_H
#include "stats_sample.h"

#define PM_SPEED_ALPHA 0.01
#define PM_SPEED_LEAST 0.03 /* smaller slowdowns are not called: what lies where in memory changes as much */
enum { PM_SPEED_LOOKS = 3, PM_SPEED_PAIRS = 30 /* most in a batch */ };
typedef struct pm_speed_look {
    int pairs;
    double alpha;
} pm_speed_look;
extern const pm_speed_look pm_speed_looks[PM_SPEED_LOOKS];

typedef enum pm_verdict {
    PM_SPEED_OPEN,  /* more pairs may tell; after the last look: not told apart from `least` */
    PM_SPEED_SAME,  /* slower by `least` or more is outside the 95% interval */
    PM_SPEED_SLOWER /* p within this look's share of alpha, and the estimate above `least` */
} pm_verdict;
typedef struct pm_speed_test {
    pm_verdict verdict;
    int pairs;
    double p;           /* one-sided: slower */
    double slowdown;    /* Hodges and Lehmann's estimate: 0.1 is 10% more time */
    pm_interval limits; /* of the slowdown, 95%; infinite below 6 pairs */
} pm_speed_test;
/* What look `look` (0, 1, 2) says of the first pm_speed_looks[look].pairs log-ratios; least: 0.03 is 3%. */
pm_speed_test pm_speed_judge(const double *log_ratio, int look, double least, pm_arena *scratch);

/* What a machine can see, from the log-ratios x[n] of a build against itself, n >= 1: batches of pairs drawn from them with random signs,
 * PM_NOISE_DRAWS by (seed, stream 0). */
enum { PM_NOISE_DRAWS = 500 };
typedef struct pm_noise {
    double floor
        [PM_SPEED_LOOKS]; /* 99% of estimates without a change are smaller, in size: what is called must be larger */
    double found
        [PM_SPEED_LOOKS]; /* the smallest slowdown that is called by this look, and again when confirmed, in 9 of 10 tries */
} pm_noise;
pm_noise pm_noise_certify(const double *x, int n, uint64_t seed, pm_arena *scratch);
#endif
