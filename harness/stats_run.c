/* stats_run.c - see stats_run.h. */
#include "stats_run.h"
#include "stats_dist.h"
#include "stats_units.h"

#include <math.h>

static bool is_binary(const pm_units *u, const float *run) {
    bool binary = true;
    for (int64_t i = 0; i < u->of_items; i++) binary &= u->of[i] < 0 || run[i] == 0 || run[i] == 1;
    return binary;
}

/* How many items that stand alone would have this standard error: 1 + p (1 - p) / se^2. */
static double worth(const pm_run_mean *m) {
    double spread = m->mean * (1 - m->mean), n = 1 + spread / (m->stderr_ * m->stderr_);
    if (spread == 0) return (double)m->n_units;
    return n < (double)m->n_items ? n : (double)m->n_items;
}

static void over_units(const pm_units *u, const float *run, bool binary, pm_arena *scratch, pm_run_mean *m) {
    size_t bytes = (size_t)u->n * sizeof(double);
    double *value = pm_arena_zalloc(scratch, bytes, PM_MEM_WORKSPACE);
    m->mean = pm_units_add(u, run, value);
    pm_units_value(u, value);
    if (u->n >= 2) m->stderr_ = sqrt(pm_mean_variance(value, u->n));
    pm_arena_recycle(scratch, value, bytes, PM_MEM_WORKSPACE);
    if (u->n < 2) return;
    double t = pm_t_outside(0.05, (double)(u->n - 1)), half = t * m->stderr_;
    m->interval =
        binary ? pm_score_interval(m->mean, worth(m), t) : (pm_interval){m->mean - half, m->mean + half};
}

static void over_right(const pm_units *u, const float *run, pm_run_mean *m) {
    int64_t right = 0;
    for (int64_t i = 0; i < u->of_items; i++) right += u->of[i] >= 0 && run[i] == 1;
    pm_summary s = pm_proportion(right, u->n_items);
    m->mean = s.mean, m->stderr_ = s.stderr_;
    if (u->n_items) m->interval = pm_wilson(right, u->n_items);
}

pm_run_mean pm_mean_of_run(const float *run, const pm_items *items, pm_arena *scratch) {
    const double none = (double)NAN;
    pm_units u = pm_units_common(&run, 1, items, scratch);
    pm_run_mean m = {none, none, {none, none}, u.n_items, u.n};
    bool binary = is_binary(&u, run);
    if (binary && !items->cluster)
        over_right(&u, run, &m);
    else if (u.n)
        over_units(&u, run, binary, scratch, &m);
    pm_units_free(&u, scratch);
    return m;
}
