/* test_stats_sim.c - how often statements are wrong: tables of methods that are truly equal, or partly so, are simulated, and any false one counts.
 *
 * A false statement: two methods with the same true mean put in different tie groups (or one of them "not the best", which is the same decision),
 * a difference of the wrong sign, a claim decided that is at its margin. Each must happen in at most 5% of tables. The bound asserted is
 * 5% and 3.09 standard errors of the count, so that a procedure exactly at its level is called wrong once in a thousand: 5.7% of
 * 10,000 tables (PEFTMETER_SLOW=1), 9.8% of 200 (always). Seeds are fixed: the same counts everywhere.
 * Two trained models whose items come in clusters are simulated too: their tests keep 5%, and tests that ignore the clusters do not.
 * PEFTMETER_SLOW=1 prints the rates, the argument `power` the power curves, that docs/STATISTICS.md holds.
 */
#include "rng.h"
#include "stats_dist.h"
#include "stats_plan.h"
#include "stats_run.h"
#include "stats_table.h"

#include "check.h"

#include <stdlib.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
enum { MAX_METHODS = 8, MAX_SEEDS = 10, MAX_ITEMS = 2000, NOISES = 65536 };

typedef enum shape {
    NORMAL,
    HEAVY,
    SKEWED
} shape; /* of seed effects and noise: Student's t with 3; shifted exponential */

/* An outcome is difficulty + shift + seed effect + unit-by-method effect + noise on a latent scale; binary: whether that is above 0. */
typedef struct scenario {
    const char *what;
    int methods, seeds, items, clusters, columns;
    double seed, unit, noise; /* standard deviations; difficulty has 1 */
    int noisy;                /* methods whose seed effect is `ratio` times as large */
    double ratio;
    int shifted; /* methods whose mean is higher by `shift` */
    double shift;
    shape shape;
    bool score; /* the latent value itself is the outcome */
} scenario;

static const scenario nulls[] = {
    {"2 methods, 3 seeds, 500 items", 2, 3, 500, 0, 1, .1, .3, .5, 0, 1, 0, 0, NORMAL, false},
    {"2 methods, no seed effect", 2, 3, 500, 0, 1, 0, .3, .5, 0, 1, 0, 0, NORMAL, false},
    {"2 methods, seeds only", 2, 3, 100, 0, 1, .3, 0, .1, 0, 1, 0, 0, NORMAL, true},
    {"2 methods, seeds and items alike, little noise", 2, 3, 200, 0, 1, .1, 1, .05, 0, 1, 0, 0, NORMAL, true},
    {"2 methods, one 10 times noisier", 2, 3, 500, 0, 1, .05, .3, .5, 1, 10, 0, 0, NORMAL, false},
    {"3 methods, 5 seeds, heavy tails", 3, 5, 200, 0, 1, .2, .3, .5, 0, 1, 0, 0, HEAVY, true},
    {"4 methods, 3 seeds, 2000 items", 4, 3, 2000, 0, 1, .05, .3, .5, 0, 1, 0, 0, NORMAL, false},
    {"5 methods, 3 seeds, 48 clusters of 2000 items", 5, 3, 2000, 48, 1, .05, .3, .5, 0, 1, 0, 0, NORMAL,
     false},
    {"5 methods, 5 seeds, 48 clusters, no seed effect", 5, 5, 480, 48, 1, 0, .5, .5, 0, 1, 0, 0, NORMAL,
     false},
    {"8 methods, 3 seeds, 100 items", 8, 3, 100, 0, 1, .1, .3, .5, 0, 1, 0, 0, NORMAL, false},
    {"8 methods, 5 seeds, 200 items", 8, 5, 200, 0, 1, .2, .2, .3, 0, 1, 0, 0, NORMAL, true},
    {"8 methods, 3 seeds, 1 noisy (10x)", 8, 3, 200, 0, 1, .05, .1, .2, 1, 10, 0, 0, NORMAL, true},
    {"8 methods, 3 seeds, 2 noisy (10x)", 8, 3, 200, 0, 1, .05, .1, .2, 2, 10, 0, 0, NORMAL, true},
    {"8 methods, 3 seeds, 1 noisy, items alike", 8, 3, 200, 0, 1, .02, 1, .05, 1, 5, 0, 0, NORMAL, true},
    {"8 methods, 5 seeds, 4 noisy (3x)", 8, 5, 200, 0, 1, .1, .1, .2, 4, 3, 0, 0, NORMAL, true},
    {"8 methods, 3 seeds, heavy tails, 2 noisy", 8, 3, 200, 0, 1, .1, .3, .5, 2, 5, 0, 0, HEAVY, true},
    {"6 methods, 3 seeds, skewed seeds", 6, 3, 200, 0, 1, .2, .3, .5, 0, 1, 0, 0, SKEWED, true},
    {"6 methods, 3 seeds, 3 better", 6, 3, 500, 0, 1, .05, .3, .5, 0, 1, 3, .5, NORMAL, false},
    {"8 methods, 5 seeds, 1 better", 8, 5, 200, 0, 1, .1, .3, .5, 0, 1, 1, 1, NORMAL, true},
    {"4 methods, 3 seeds, 3 tasks", 4, 3, 200, 0, 3, .1, .3, .5, 0, 1, 0, 0, NORMAL, false},
};

/* Two models, one run each; a cluster moves each model in a way of its own. */
static const scenario pairs[] = {
    {"48 clusters of 2000 items", 2, 1, 2000, 48, 1, 0, .5, .5, 0, 1, 0, 0, NORMAL, false},
    {"48 clusters of 400 items", 2, 1, 400, 48, 1, 0, .5, .5, 0, 1, 0, 0, NORMAL, false},
    {"12 clusters of 600 items", 2, 1, 600, 12, 1, 0, .5, .5, 0, 1, 0, 0, NORMAL, false},
    {"200 clusters of 800 items", 2, 1, 800, 200, 1, 0, 1, .5, 0, 1, 0, 0, NORMAL, false},
    {"48 clusters of 480 scores", 2, 1, 480, 48, 1, 0, .5, .5, 0, 1, 0, 0, HEAVY, true},
};

/* ---- a simulated column -------------------------------------------------------------------------------------------------- */

typedef struct world {
    float noise[NOISES]; /* quantiles, variance 1 */
    float unit[MAX_METHODS][MAX_ITEMS], difficulty[MAX_ITEMS];
    float out[MAX_METHODS * MAX_SEEDS][MAX_ITEMS];
    const float *run[MAX_METHODS * MAX_SEEDS];
    int32_t cluster[MAX_ITEMS];
    pm_arena *arena;
} world;

static void fill_quantiles(world *w, shape s) {
    for (int i = 0; i < NOISES; i++) {
        double p = (i + 0.5) / NOISES, two = p < 0.5 ? 2 * p : 2 * (1 - p);
        double q = two == 1 ? 0 : s == HEAVY ? pm_t_outside(two, 3) / sqrt(3) : pm_normal_outside(two);
        w->noise[i] = (float)(p < 0.5 ? -q : q);
    }
}

static void draw(const world *w, pm_rng *r, float *x, int n, double sd) {
    for (int i = 0; i < n; i += 2) {
        uint32_t word = pm_rng_u32(r);
        x[i] = (float)sd * w->noise[word & 0xffff];
        if (i + 1 < n) x[i + 1] = (float)sd * w->noise[word >> 16];
    }
}

static double seed_effect(const scenario *s, int m, pm_rng *r) {
    double sd = s->seed * (m < s->noisy ? s->ratio : 1), z = pm_rng_normal(r), chi = 0;
    if (s->shape == SKEWED) return sd * (-log(1 - pm_rng_uniform(r)) - 1);
    if (s->shape == NORMAL) return sd * z;
    for (int k = 0; k < 3; k++) {
        double x = pm_rng_normal(r);
        chi += x * x;
    }
    return sd * z / sqrt(chi);
}

static void simulate_run(world *w, const scenario *s, int m, float *out, pm_rng *r) {
    float add = (float)(seed_effect(s, m, r) + (m >= s->methods - s->shifted ? s->shift : 0));
    draw(w, r, out, s->items, s->noise);
    for (int i = 0; i < s->items; i++) {
        float unit = w->unit[m][s->clusters ? w->cluster[i] : i];
        float latent = out[i] + w->difficulty[i] + unit + add;
        out[i] = s->score ? latent : latent > 0 ? 1.0F : 0.0F;
    }
}

static pm_items items_of(const world *w, const scenario *s) {
    return (pm_items){s->items, s->clusters ? w->cluster : NULL, s->clusters};
}

/* The runs of one task; number distinguishes tables. */
static void simulate_runs(world *w, const scenario *s, uint64_t stream, uint64_t number) {
    pm_rng r = pm_rng_make(number, stream);
    draw(w, &r, w->difficulty, s->items, 1);
    for (int i = 0; i < s->items; i++)
        w->cluster[i] = s->clusters ? (int32_t)pm_rng_below(&r, (uint32_t)s->clusters) : i;
    for (int m = 0; m < s->methods; m++) {
        draw(w, &r, w->unit[m], s->clusters ? s->clusters : s->items, s->unit);
        for (int k = 0; k < s->seeds; k++) {
            int at = m * s->seeds + k;
            simulate_run(w, s, m, w->out[at], &r);
            w->run[at] = w->out[at];
        }
    }
    pm_arena_reset(w->arena);
}

static pm_table_column simulate(world *w, const scenario *s, uint64_t stream, uint64_t number) {
    pm_table_column t;
    simulate_runs(w, s, stream, number);
    pm_items items = items_of(w, s);
    pm_compare_table(w->run, s->methods, s->seeds, &items, true, s->columns, w->arena, &t);
    return t;
}

/* ---- what is counted ----------------------------------------------------------------------------------------------------- */

typedef struct counts {
    int column, compare, claims; /* tables with a false statement, by who makes it */
    int naive;                   /* by an unadjusted normal test of each pair: what the simulation must see */
    int ignoring; /* by `compare` where it takes items that come in clusters as drawn one by one */
} counts;

static bool better(const scenario *s, int m) {
    return m >= s->methods - s->shifted;
}

/* Tie groups, and "not the best". */
static bool column_wrong(const scenario *s, const pm_table_column *t) {
    for (int i = 0; i < s->methods; i++)
        for (int j = i + 1; j < s->methods; j++) {
            const pm_table_pair *p = &t->pair[pm_pair(i, j, s->methods)];
            bool false_sign = better(s, j) > better(s, i) && p->effect > 0;
            if (p->p <= 0.05 && (better(s, i) == better(s, j) || false_sign)) return true;
        }
    return false;
}

static bool naive_wrong(const scenario *s, const pm_table_column *t) {
    for (int i = 0; i < s->methods; i++)
        for (int j = i + 1; j < s->methods; j++) {
            const pm_table_pair *p = &t->pair[pm_pair(i, j, s->methods)];
            double se = sqrt(t->var_seeds[i] + t->var_seeds[j] + p->var_units);
            if (better(s, i) == better(s, j) && fabs(p->effect) > 1.96 * se) return true;
        }
    return false;
}

static bool ignoring_wrong(const world *w, const scenario *s) {
    const pm_items alone = {.n = s->items};
    pm_method_difference d;
    return s->clusters && pm_compare_methods(w->run, w->run + s->seeds, s->seeds, &alone, w->arena, &d) &&
           d.p <= 0.05;
}

/* `compare` of the first two methods, and a file of claims on all equal pairs: that the first is better. */
static void pairs_wrong(world *w, const scenario *s, bool *compare, bool *claims) {
    pm_items items = items_of(w, s);
    pm_method_difference d[MAX_METHODS * MAX_METHODS];
    const pm_method_difference *of[MAX_METHODS * MAX_METHODS] = {0};
    double margin[MAX_METHODS * MAX_METHODS] = {0}, p[MAX_METHODS * MAX_METHODS];
    pm_verdict verdict[MAX_METHODS * MAX_METHODS];
    int n = 0;
    for (int i = 0; i < s->methods; i++)
        for (int j = i + 1; j < s->methods; j++) {
            if (better(s, i) != better(s, j)) continue;
            CHECK(pm_compare_methods(w->run + i * s->seeds, w->run + j * s->seeds, s->seeds, &items, w->arena,
                                     &d[n]));
            of[n] = &d[n];
            n++; /* its margin is 0 */
        }
    pm_claims(of, margin, n, w->arena, verdict, p);
    *compare = d[0].p <= 0.05;
    *claims = false;
    for (int k = 0; k < n; k++) *claims |= verdict[k] != PM_UNDECIDED;
}

static counts count_wrong(world *w, const scenario *s, int tables) {
    counts c = {0};
    fill_quantiles(w, s->shape);
    for (int k = 0; k < tables; k++) {
        bool wrong = false, naive = false, compare, claims;
        for (int column = 0; column < s->columns; column++) {
            pm_table_column t = simulate(w, s, (uint64_t)(s - nulls), (uint64_t)(k * s->columns + column));
            wrong |= column_wrong(s, &t);
            naive |= naive_wrong(s, &t);
        }
        pairs_wrong(w, s, &compare, &claims);
        c.column += wrong;
        c.naive += naive;
        c.compare += compare;
        c.claims += claims;
        c.ignoring += ignoring_wrong(w, s);
    }
    return c;
}

static bool slow(void) {
    const char *v = getenv("PEFTMETER_SLOW");
    return v && *v && *v != '0';
}

static double bound(int tables) {
    return 0.05 * tables + 3.09 * sqrt(0.05 * 0.95 * tables);
}

static void check_scenario(const scenario *s, const counts *c, int tables) {
    if (slow())
        printf("| %s | %.2f%% | %.2f%% | %.2f%% | %.1f%% |\n", s->what, 100.0 * c->column / tables,
               100.0 * c->compare / tables, 100.0 * c->claims / tables, 100.0 * c->naive / tables);
    CHECK(c->column <= bound(tables));
    CHECK(c->compare <= bound(tables));
    CHECK(c->claims <= bound(tables));
    if (s->methods == 8) CHECK(c->naive > bound(tables)); /* else nothing could be seen */
    if (s->clusters && !s->seed) CHECK(c->ignoring > 2 * bound(tables));
}

/* ---- two models ---------------------------------------------------------------------------------------------------------- */

typedef struct
    model_counts { /* tables in which something is said that is not so: by p; by the interval of the difference; by that of one run */
    int p, interval, run, p_alone, run_alone; /* alone: the same with the clusters ignored */
} model_counts;

static bool outside(pm_interval i, double truth) {
    return truth < i.low || truth > i.high;
}

/* Everything is symmetric around 0: half of all items are right. */
static model_counts count_models(world *w, const scenario *s, int tables) {
    const pm_items alone = {.n = s->items};
    double truth = s->score ? 0 : 0.5;
    model_counts c = {0};
    fill_quantiles(w, s->shape);
    for (int k = 0; k < tables; k++) {
        pm_model_difference d, ignoring;
        simulate_runs(w, s, 2000 + (uint64_t)(s - pairs), (uint64_t)k);
        pm_items items = items_of(w, s);
        CHECK(pm_compare_models(w->run[0], w->run[1], &items, w->arena, &d));
        CHECK(pm_compare_models(w->run[0], w->run[1], &alone, w->arena, &ignoring));
        c.p += d.p <= 0.05;
        c.p_alone += ignoring.p <= 0.05;
        c.interval += outside(d.interval, 0);
        c.run += outside(pm_mean_of_run(w->run[0], &items, w->arena).interval, truth);
        c.run_alone += outside(pm_mean_of_run(w->run[0], &alone, w->arena).interval, truth);
    }
    return c;
}

static void check_models(const scenario *s, const model_counts *c, int tables) {
    double percent = 100.0 / tables;
    if (slow())
        printf("| %s | %.2f%% | %.2f%% | %.2f%% | %.1f%% | %.1f%% |\n", s->what, percent * c->p,
               percent * c->interval, percent * c->run, percent * c->p_alone, percent * c->run_alone);
    CHECK(c->p <= bound(tables));
    CHECK(c->interval <= bound(tables));
    CHECK(c->run <= bound(tables));
    CHECK(c->p_alone > bound(tables)); /* the problem is real */
    CHECK(c->run_alone > bound(tables));
}

static world *world_new(void) {
    world *w = calloc(1, sizeof *w);
    w->arena = pm_arena_new("simulation", (size_t)1 << 28);
    return w;
}

static void world_free(world *w) {
    pm_arena_free(w->arena);
    free(w);
}

/* Situations beside each other, a world for each thread: draws depend on the situation and the table alone. */
static void count_all(counts *c, model_counts *m, int tables) {
#pragma omp parallel
    {
        world *w = world_new();
#pragma omp for schedule(dynamic) nowait
        for (size_t i = 0; i < COUNT(nulls); i++) c[i] = count_wrong(w, &nulls[i], tables);
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < COUNT(pairs); i++) m[i] = count_models(w, &pairs[i], tables);
        world_free(w);
    }
}

/* ---- power --------------------------------------------------------------------------------------------------------------- */

/* One method of these is better by so many hundredths; binary outcomes, seeds of a method spread by 1.7 points (latent 0.05) or 0.5. */
typedef struct design {
    int methods, seeds, items, clusters;
    double seed;
} design;
static const design designs[] = {
    {2, 3, 500, 0, .05},   {2, 3, 2000, 0, .05},  {2, 5, 2000, 0, .05},  {2, 10, 2000, 0, .05},
    {4, 3, 2000, 0, .05},  {4, 5, 2000, 0, .05},  {8, 3, 500, 0, .05},   {8, 3, 2000, 0, .05},
    {8, 5, 2000, 0, .05},  {8, 10, 2000, 0, .05}, {8, 3, 2000, 0, .015}, {8, 5, 2000, 0, .015},
    {8, 3, 2000, 48, .05}, {8, 5, 2000, 48, .05},
};
static const double points[] = {1, 2, 4, 8, 12, 16};

/* The latent mean of P(outcome) = 0.5 + points / 100: all other parts have this standard deviation together. */
static double latent_shift(double hundredths, const scenario *s) {
    double sd = sqrt(1 + s->seed * s->seed + s->unit * s->unit + s->noise * s->noise);
    return pm_normal_outside(1 - 2 * hundredths / 100) * sd;
}

typedef struct power {
    double column, holm,
        detectable; /* share of true differences found: by the column, by Holm over pairs each by itself */
} power;

static power measure_power(world *w, const design *d, double hundredths, int tables) {
    scenario s = {"power", d->methods, d->seeds, d->items, d->clusters, 1,      d->seed, .3,
                  .5,      0,          1,        0,        0,           NORMAL, false};
    s.shifted = 1;
    s.shift = latent_shift(hundredths, &s);
    power out = {0};
    pm_items items = {s.items, d->clusters ? w->cluster : NULL, d->clusters};
    double each = 1.0 / tables / (s.methods - 1);
    for (int k = 0; k < tables; k++) {
        pm_table_column t = simulate(w, &s, 1000, (uint64_t)k);
        double p[MAX_METHODS * MAX_METHODS];
        for (int i = 0; i < s.methods; i++)
            for (int j = i + 1; j < s.methods; j++) {
                pm_method_difference one;
                pm_compare_methods(w->run + i * s.seeds, w->run + j * s.seeds, s.seeds, &items, w->arena,
                                   &one);
                p[pm_pair(i, j, s.methods)] = one.p;
            }
        pm_holm(p, s.methods * (s.methods - 1) / 2, w->arena, p);
        for (int i = 0; i + 1 < s.methods; i++) {
            int at = pm_pair(i, s.methods - 1, s.methods);
            out.column += t.pair[at].p <= 0.05 ? each : 0;
            out.holm += p[at] <= 0.05 ? each : 0;
        }
        out.detectable += t.detectable / tables;
    }
    return out;
}

static void print_power(world *w) {
    for (size_t i = 0; i < COUNT(designs); i++) {
        const design *d = &designs[i];
        double detectable = 0;
        printf("| %d | %d | %d%s | %.1f |", d->methods, d->seeds, d->items, d->clusters ? " in 48" : "",
               100 * d->seed * .345);
        for (size_t k = 0; k < COUNT(points); k++) {
            power p = measure_power(w, d, points[k], 300);
            printf(" %.0f (%.0f) |", 100 * p.column, 100 * p.holm);
            detectable = p.detectable;
        }
        printf(" %.1f |\n", 100 * detectable);
        fflush(stdout);
    }
}

/* Eight methods, three seeds: what Holm over pairs cannot see at all is seen, and the minimum detectable effect is what it says. */
static void sim_finds_what_is_there(world *w) {
    design d = {8, 3, 500, 0, .05};
    power far = measure_power(w, &d, 16, 100), at = measure_power(w, &d, 100 * far.detectable, 200);
    CHECK(far.column > 0.8);
    CHECK(far.holm < far.column);
    CHECK(at.column > 0.7 && at.column < 0.95);
}

int main(int argc, char **argv) {
    counts c[COUNT(nulls)];
    model_counts m[COUNT(pairs)];
    int tables = slow() ? 10000 : 200;
    count_all(c, m, tables);
    for (size_t i = 0; i < COUNT(nulls); i++) RUN_AS(nulls[i].what, check_scenario(&nulls[i], &c[i], tables));
    for (size_t i = 0; i < COUNT(pairs); i++) RUN_AS(pairs[i].what, check_models(&pairs[i], &m[i], tables));
    world *w = world_new();
    fill_quantiles(w, NORMAL);
    RUN_AS("sim_finds_what_is_there", sim_finds_what_is_there(w));
    if (argc > 1 && strcmp(argv[1], "power") == 0) print_power(w);
    world_free(w);
    return check_done();
}
