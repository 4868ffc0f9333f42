/* stats_units.c - see stats_units.h. */
#include "stats_units.h"

#include <math.h>

static size_t bytes(int64_t n) {
    return (size_t)n * sizeof(int32_t);
}
static int32_t *take(pm_arena *scratch, int64_t n) {
    return pm_arena_zalloc(scratch, bytes(n), PM_MEM_WORKSPACE);
}

/* of[i]: the unit's first number (its cluster, or the item itself), -1 where a run lacks the item; counts what there is. */
static void count_items(pm_units *u, const float *const *runs, int n_runs, const pm_items *items) {
    for (int64_t i = 0; i < items->n; i++) u->of[i] = items->cluster ? items->cluster[i] : (int32_t)i;
    for (int r = 0; r < n_runs; r++)
        for (int64_t i = 0; runs[r] && i < items->n; i++)
            if (isnan(runs[r][i])) u->of[i] = -1;
    for (int64_t i = 0; i < items->n; i++) {
        if (u->of[i] < 0) continue;
        PM_ASSERT(u->of[i] < u->capacity, "cluster %d of %lld", u->of[i], (long long)u->capacity);
        u->size[u->of[i]]++;
        u->n_items++;
    }
}

/* Units without items go; the others are numbered anew, in their order. */
static void renumber(pm_units *u, int64_t n_items, pm_arena *scratch) {
    int32_t *number = take(scratch, u->capacity);
    for (int64_t k = 0; k < u->capacity; k++) {
        number[k] = (int32_t)u->n;
        if (u->size[k]) u->size[u->n++] = u->size[k];
    }
    for (int64_t i = 0; i < n_items; i++)
        if (u->of[i] >= 0) u->of[i] = number[u->of[i]];
    pm_arena_recycle(scratch, number, bytes(u->capacity), PM_MEM_WORKSPACE);
}

pm_units pm_units_common(const float *const *runs, int n_runs, const pm_items *items, pm_arena *scratch) {
    pm_units u = {.capacity = items->cluster ? items->n_clusters : items->n, .of_items = items->n};
    u.of = take(scratch, items->n);
    u.size = take(scratch, u.capacity);
    count_items(&u, runs, n_runs, items);
    renumber(&u, items->n, scratch);
    return u;
}

void pm_units_free(pm_units *u, pm_arena *scratch) {
    pm_arena_recycle(scratch, u->of, bytes(u->of_items), PM_MEM_WORKSPACE);
    pm_arena_recycle(scratch, u->size, bytes(u->capacity), PM_MEM_WORKSPACE);
}

double pm_units_add(const pm_units *u, const float *run, double *sum) {
    double total = 0;
    for (int64_t i = 0; i < u->of_items; i++) {
        if (u->of[i] < 0) continue;
        sum[u->of[i]] += (double)run[i];
        total += (double)run[i];
    }
    return total / (double)u->n_items;
}

void pm_units_value(const pm_units *u, double *sum) {
    double total = 0, scale = (double)u->n / (double)u->n_items;
    for (int64_t k = 0; k < u->n; k++) total += sum[k];
    double g = total / (double)u->n_items;
    for (int64_t k = 0; k < u->n; k++) sum[k] = g + scale * (sum[k] - u->size[k] * g);
}

double pm_mean_variance(const double *x, int64_t n) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    return squares / (double)(n - 1) / (double)n;
}
