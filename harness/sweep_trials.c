/* sweep_trials.c - lays out or draws the trials of a search space.
 *
 * Random search, not a grid, is the default advice for more than two settings (Bergstra & Bengio 2012, JMLR 13:281): a grid spends most
 * of its points on settings that do not matter. Numbers drawn are rounded to three digits, so that a setting reads as a person
 * would write it.
 */
#include "rng.h"
#include "sweep.h"
#include "text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHUFFLED_MAX = 1000000, TRIES_A_TRIAL = 64 };

/* Points of the grid, INFINITY when an interval is among the spaces. */
static double count_all(const pm_entry *x) {
    double n = 1;
    for (int i = 0; i < x->n_spaces; i++) n *= x->space[i].kind == PM_GRID ? x->space[i].n : (double)INFINITY;
    return n;
}

/* The i-th point of a grid, its last key fastest. */
static void grid_point(const pm_entry *x, int64_t i, char value[][PM_FIELD_STR]) {
    for (int k = x->n_spaces - 1; k >= 0; k--) {
        memcpy(value[k], x->space[k].grid[i % x->space[k].n], PM_FIELD_STR);
        i /= x->space[k].n;
    }
}

/* A stream of its own for each label and key: what else is searched changes nothing. */
static pm_rng stream_of(const pm_entry *x, const char *key, uint64_t seed) {
    char name[256];
    int n = snprintf(name, sizeof name, "trials %s %s", x->label, key);
    return pm_rng_make(seed, pm_hash64(name, (size_t)n));
}

static void grid_draw(const pm_entry *x, int most, uint64_t seed, pm_trials *t) {
    int64_t all = (int64_t)t->all;
    int32_t *order = pm_xalloc((size_t)all * sizeof *order);
    pm_rng r = stream_of(x, "", seed);
    for (int64_t i = 0; i < all; i++) order[i] = (int32_t)i;
    pm_rng_shuffle(&r, order, all);
    for (; t->n < most; t->n++) grid_point(x, order[t->n], t->value[t->n]);
    free(order);
}

static void draw_number(const pm_space *p, double u, char *out) {
    bool log_scale = p->kind == PM_LOG_UNIFORM;
    double low = log_scale ? log(p->low) : p->low, high = log_scale ? log(p->high) : p->high;
    double v = low + u * (high - low);
    if (log_scale) v = exp(v);
    if (p->whole) v = floor(v + 0.5);
    v = fmin(fmax(v, p->low), p->high);
    snprintf(out, PM_FIELD_STR, p->whole ? "%.0f" : "%.3g", v);
}

static void draw_value(const pm_space *p, pm_rng *r, char *out) {
    if (p->kind == PM_GRID)
        memcpy(out, p->grid[pm_rng_below(r, (uint32_t)p->n)], PM_FIELD_STR);
    else
        draw_number(p, pm_rng_uniform(r), out);
}

static bool is_new(const pm_trials *t, int n_spaces) {
    for (int i = 0; i < t->n; i++) {
        int same = 0;
        for (int k = 0; k < n_spaces; k++) same += strcmp(t->value[i][k], t->value[t->n][k]) == 0;
        if (same == n_spaces) return false;
    }
    return true;
}

static void interval_draw(const pm_entry *x, int most, uint64_t seed, pm_trials *t) {
    pm_rng r[PM_SPACES_MAX];
    for (int k = 0; k < x->n_spaces; k++) r[k] = stream_of(x, x->space[k].key, seed);
    for (int tries = 0; t->n < most && tries < most * TRIES_A_TRIAL; tries++) {
        for (int k = 0; k < x->n_spaces; k++) draw_value(&x->space[k], &r[k], t->value[t->n][k]);
        t->n += is_new(t, x->n_spaces);
    }
}

void pm_trials_make(const pm_entry *x, int most, uint64_t seed, pm_trials *t) {
    *t = (pm_trials){.all = count_all(x)};
    bool whole = t->all <= most;
    int room = whole ? (int)t->all : most;
    t->value = pm_xalloc((size_t)room * sizeof *t->value);
    if (whole)
        for (; t->n < room; t->n++) grid_point(x, t->n, t->value[t->n]);
    else if (t->all <= SHUFFLED_MAX)
        grid_draw(x, most, seed, t);
    else
        interval_draw(x, most, seed, t);
}

void pm_trials_free(pm_trials *t) {
    free(t->value);
    *t = (pm_trials){0};
}
