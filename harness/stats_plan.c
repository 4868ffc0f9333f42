/* stats_plan.c - minimum detectable effects, and designs that would decide. */
#include "stats_plan.h"
#include "stats_dist.h"

#include <math.h>

static const double z80 = 0.8416212335729143; /* the normal distribution's 80% point */

double pm_method_detectable(const pm_method_difference *d, double p) {
    pm_interval i = pm_method_interval(d, p);
    double variance = fmax(d->var_seeds + d->var_units - d->var_noise, fmax(d->var_seeds, d->var_units));
    return (i.high - i.low) / 2 + z80 * sqrt(variance);
}

/* The same measured variance components in a design with so many times the seeds and the units. */
static pm_method_difference scaled(const pm_method_difference *d, double seeds, double units) {
    pm_method_difference s = *d;
    double only_seeds = fmax(d->var_seeds - d->var_noise, 0),
           only_units = fmax(d->var_units - d->var_noise, 0);
    s.var_noise = fmin(d->var_noise, fmin(d->var_seeds, d->var_units)) / (seeds * units);
    s.var_seeds = only_seeds / seeds + s.var_noise;
    s.var_units = only_units / units + s.var_noise;
    s.df_seeds = (d->df_seeds + 1) * seeds - 1;
    s.df_units = (d->df_units + 1) * units - 1;
    return s;
}

typedef struct want {
    const pm_method_difference *d;
    double margin, p;
    bool seeds;
} want;

static bool found(const want *w, int64_t now, int64_t n) {
    double times = (double)n / (double)now;
    pm_method_difference s = scaled(w->d, w->seeds ? times : 1, w->seeds ? 1 : times);
    return pm_method_detectable(&s, w->p) <= fabs(w->d->effect - w->margin);
}

/* Least n from `now` on with which it is found; more is never worse. */
static int64_t least(const want *w, int64_t now) {
    int64_t low = now - 1, high = now * PM_PLAN_MAX;
    if (!found(w, now, high)) return 0;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (found(w, now, middle))
            high = middle;
        else
            low = middle;
    }
    return high;
}

int64_t pm_seeds_needed(const pm_method_difference *d, double margin, double p) {
    want w = {d, margin, p, true};
    return least(&w, d->n_seeds);
}

int64_t pm_items_needed(const pm_method_difference *d, double margin, double p) {
    want w = {d, margin, p, false};
    return least(&w, d->n_items);
}

/* z sqrt(q) + z80 sqrt(q - e^2) = e sqrt(n), q the discordance, solved for e. */
double pm_mcnemar_detectable(int64_t n, double discordance, double p) {
    double z = pm_normal_outside(p), rn = sqrt((double)n), a = z * sqrt(discordance);
    double B = rn * a, A = (double)n + z80 * z80, C = a * a - z80 * z80 * discordance;
    double e = (B + sqrt(fmax(B * B - A * C, 0))) / A;
    return e <= discordance ? e : (double)NAN;
}

double pm_model_detectable(const pm_model_difference *d, double p) {
    double n = (double)d->n_items;
    if (d->binary && d->only_a + d->only_b == 0) return (double)NAN;
    if (d->binary && !d->clustered)
        return pm_mcnemar_detectable(d->n_items, (double)(d->only_a + d->only_b) / n, p);
    double found = (pm_t_outside(p, (double)(d->n_units - 1)) + z80) * d->stderr_;
    return found > 0 ? found : (double)NAN;
}
