/* report_cost.h - what one run took: its steps, phases, memory and counters, as the database has them. */
#ifndef PM_REPORT_COST_H
#define PM_REPORT_COST_H
#include "db.h"

enum { PM_COST_PHASES = 8, PM_COST_MEMORY = 16, PM_COST_FLOPS = 4 };
extern const char *const pm_cost_phase[PM_COST_PHASES]; /* load, data, train, ... as in the table phases */
extern const char *const pm_cost_flops[PM_COST_FLOPS];  /* flops_forward, ... as in counters */

typedef struct pm_cost {                     /* NAN: not measured */
    double tokens_per_s, label_tokens_per_s; /* of the timed steps */
    double p50_s, p90_s, p99_s; /* of a timed step; between two values, by linear interpolation */
    double steps_timed,
        warmup_dropped; /* the first steps, which touch memory for the first time, are not timed */
    double steps;       /* all */
    double phase_s[PM_COST_PHASES], whole_s;  /* whole_s: from the row's start to its end */
    double train_live_bytes, train_rss_bytes; /* most at once in training: by the arenas | resident (VmHWM) */
    double flops[PM_COST_FLOPS], gemm_calls, allocations;
    double roofline_gflops,
        roofline_share; /* of training: operations over the time of all steps, over the roofline; 0 to 1 */
    double memory[PM_COST_MEMORY]; /* by pm_cost_categories */
} pm_cost;

typedef struct
    pm_cost_categories { /* memory categories of a database: the contract's in its order, others by name */
    char name[PM_COST_MEMORY][32];
    int n;
} pm_cost_categories;
pm_status pm_cost_categories_read(pm_db *d, pm_cost_categories *out, pm_err *e);
pm_status pm_cost_read(pm_db *d, int64_t run, const pm_cost_categories *c, pm_cost *out, pm_err *e);
#endif
