/* pool.h - this program started again and again, a few processes beside each other; how each of them ended, in words.
 *
 * Why processes (fork and exec at once): a crash, an abort or a kill ends one run and not the sweep, and OpenMP's threads are never
 * forked. A child is killed when the parent dies, whatever kills it.
 */
#ifndef PM_POOL_H
#define PM_POOL_H
#include "base.h"
#include <stdio.h>
#include <sys/types.h>

typedef struct pm_child {
    pid_t pid; /* 0: free */
    void *job;
    FILE *out, *err;        /* what it prints */
    double begun, deadline; /* pm_now_s; INFINITY: none */
    bool told, late;        /* has got SIGTERM; because of its deadline */
} pm_child;

typedef struct pm_pool {
    pm_child *child;   /* [size] */
    int size, n;       /* places, children alive */
    double timeout_s;  /* of one child; 0: none */
    int64_t oom_kills; /* of the machine, when the last child was started */
} pm_pool;

typedef enum pm_ending {
    PM_ENDED,     /* by itself, with an exit code: it has said what there is to say */
    PM_ENDED_BAD, /* a signal, an abort, an exit code that is none of ours */
    PM_ENDED_LATE /* stopped at its deadline */
} pm_ending;
typedef struct pm_ended {
    void *job;
    pm_ending how;
    char why[240]; /* for the row, unless PM_ENDED */
    char *out;     /* stdout, for the caller to free */
    double wall_s; /* from start to end */
} pm_ended;

void pm_pool_init(pm_pool *p, int size, double timeout_s);
void pm_pool_free(pm_pool *p); /* kills what still runs */
/* Starts this program with these arguments (argv[0] included, NULL at the end). PM_EIO. There must be a free place. */
pm_status pm_pool_start(pm_pool *p, const char *const *argv, void *job, pm_err *e);
/* Waits until a child ends, at most so long; false: none did. */
bool pm_pool_wait(pm_pool *p, double most_s, pm_ended *out);
/* Asks all to end what they do (SIGTERM), once; those that have not ended after a few seconds are killed. */
void pm_pool_stop(pm_pool *p);
#endif
