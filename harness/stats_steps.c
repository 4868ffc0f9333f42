/* stats_steps.c - see stats_steps.h. */
#include "stats_steps.h"

#include <math.h>
#include <string.h>

/* ---- one level ----------------------------------------------------------------------------------------------------------- */

/* Values in order, and the sum of their distances from their median. */
typedef struct ordered {
    double *x;
    int n;
    double cost;
} ordered;

/* Between the two values in the middle every point is a median; the sum grows by the new value's distance from there. */
static void insert(ordered *o, double v) {
    double low = o->n ? o->x[(o->n - 1) / 2] : v, high = o->n ? o->x[o->n / 2] : v;
    o->cost += v < low ? low - v : v > high ? v - high : 0;
    int at = o->n++;
    for (; at > 0 && o->x[at - 1] > v; at--) o->x[at] = o->x[at - 1];
    o->x[at] = v;
}

static double median(const ordered *o) {
    return (o->x[(o->n - 1) / 2] + o->x[o->n / 2]) / 2;
}

/* ---- the best division --------------------------------------------------------------------------------------------------- */

/* best[r]: least cost of x[0, r) with one penalty a level; from[r]: where its last level starts. O(n^2) steps of O(n) moves. */
static void divide(const double *x, int n, double penalty, double *best, int *from, ordered *o) {
    best[0] = 0;
    for (int r = 1; r <= n; r++) {
        best[r] = (double)INFINITY;
        o->n = 0, o->cost = 0;
        for (int l = r - 1; l >= 0 && o->cost < best[r]; l--) { /* a longer level costs no less */
            insert(o, x[l]);
            double cost = best[l] + penalty + o->cost;
            if (cost < best[r]) best[r] = cost, from[r] = l;
        }
    }
}

static int levels_of(const double *x, int n, const int *from, pm_level *out, ordered *o) {
    int count = 0;
    for (int r = n; r > 0; r = from[r]) {
        o->n = 0;
        for (int i = from[r]; i < r; i++) insert(o, x[i]);
        out[count++] = (pm_level){from[r], r - from[r], median(o)};
    }
    for (int i = 0, k = count - 1; i < k; i++, k--) {
        pm_level swap = out[i];
        out[i] = out[k], out[k] = swap;
    }
    return count;
}

int pm_steps_fit(const double *x, int n, double penalty, pm_level *out, pm_arena *scratch) {
    size_t bytes = ((size_t)n + 1) * sizeof(double), links = ((size_t)n + 1) * sizeof(int);
    double *best = pm_arena_alloc(scratch, bytes, PM_MEM_WORKSPACE);
    int *from = pm_arena_zalloc(scratch, links, PM_MEM_WORKSPACE);
    ordered o = {.x = pm_arena_alloc(scratch, bytes, PM_MEM_WORKSPACE)};
    divide(x, n, penalty, best, from, &o);
    int count = levels_of(x, n, from, out, &o);
    pm_arena_recycle(scratch, o.x, bytes, PM_MEM_WORKSPACE);
    pm_arena_recycle(scratch, from, links, PM_MEM_WORKSPACE);
    pm_arena_recycle(scratch, best, bytes, PM_MEM_WORKSPACE);
    return count;
}

/* Of normal values the median |difference of neighbours| is 0.954 standard deviations. */
double pm_steps_penalty(const double *x, int n, double floor, pm_arena *scratch) {
    if (n < 3) return floor;
    size_t bytes = (size_t)(n - 1) * sizeof(double);
    double *d = pm_arena_alloc(scratch, bytes, PM_MEM_WORKSPACE);
    for (int i = 0; i + 1 < n; i++) d[i] = fabs(x[i + 1] - x[i]);
    pm_sort(d, n - 1);
    double noise = pm_quantile(d, n - 1, 0.5) / 0.9539;
    pm_arena_recycle(scratch, d, bytes, PM_MEM_WORKSPACE);
    return fmax(floor, 2 * noise * log(n));
}
