/* test_panel_sim.c - how often the panel test speaks where nothing changed, and how often it finds a shift that is there: simulated panels.
 *
 * Where nothing changed, a difference is that of two draws of one distribution. Asserted: worse is said in at most 0.8% of panels, worse or better in 1%,
 * each and 3.09 standard errors of the count, so that a procedure exactly at its level is called wrong once in a thousand. Two situations break an
 * assumption on purpose and must be seen to. Power: the noise of golden/panel.h's reruns of unchanged code, or a normal one of the same spread.
 * 1,000 panels always, 100,000 with PEFTMETER_SLOW=1, which prints the tables of docs/STATISTICS.md. Seeds are fixed.
 */
#include "rng.h"
#include "stats_panel.h"

#include "check.h"
#include "golden/panel.h"

#include <stdlib.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
enum { MOST = 63 };
static const double item = 100.0 / 1319; /* points: one of the reruns' test items */

/* ---- noise: a difference where nothing changed, in points ---------------------------------------------------------------- */

static double coin(pm_rng *r) {
    return pm_rng_u32(r) & 1 ? 1 : -1;
}

static double spread_of_reruns(void) {
    double squares = 0;
    int n = COUNT(golden_reruns);
    for (int i = 0; i < n; i++) squares += golden_reruns[i] * golden_reruns[i];
    return sqrt(squares / n);
}

static double reruns(pm_rng *r) {
    double sign = coin(r); /* draws in an order that every compiler keeps */
    return sign * golden_reruns[pm_rng_below(r, COUNT(golden_reruns))];
}

static double normal(pm_rng *r) {
    return spread_of_reruns() * pm_rng_normal(r);
}

static double student(pm_rng *r, int df) {
    double z = pm_rng_normal(r), chi = 0;
    for (int i = 0; i < df; i++) {
        double x = pm_rng_normal(r);
        chi += x * x;
    }
    return z / sqrt(chi / df);
}

static double student5(pm_rng *r) {
    return student(r, 5);
}

static double student3(pm_rng *r) {
    return student(r, 3);
}

static double cauchy(pm_rng *r) {
    return student(r, 1);
}

/* Every configuration has a spread of its own, 1 to 30. */
static double unlike(pm_rng *r) {
    double spread = exp(log(30) * pm_rng_uniform(r));
    return spread * pm_rng_normal(r);
}

static double exponential(pm_rng *r) {
    return -log(1 - pm_rng_uniform(r));
}

static double skewed(pm_rng *r) {
    double head = exponential(r);
    return head - exponential(r);
}

static double two_points(pm_rng *r) {
    return coin(r);
}

/* Seven in ten are the same, the others differ by one or two items. */
static double mostly_tied(pm_rng *r) {
    double kind = pm_rng_uniform(r), sign = coin(r);
    return kind < 0.7 ? 0 : sign * (kind < 0.85 ? item : 2 * item);
}

static double rounded(pm_rng *r) {
    return item * round(pm_rng_normal(r));
}

/* Breaks the assumption: base is a mean of five runs, head is one. */
static double averaged_base(pm_rng *r) {
    double sum = 0;
    for (int i = 0; i < 5; i++) sum += exponential(r);
    return exponential(r) - sum / 5;
}

/* ---- situations ---------------------------------------------------------------------------------------------------------- */

typedef struct situation {
    const char *what;
    double (*noise)(pm_rng *r);
    double broken; /* added to the first configuration */
    int n;
    bool twins;   /* each difference comes twice */
    bool outside; /* an assumption is broken */
} situation;

static const situation nulls[] = {
    {"normal, 7 configurations", normal, 0, 7, false, false},
    {"normal, 21", normal, 0, 21, false, false},
    {"normal, 63", normal, 0, 63, false, false},
    {"reruns of unchanged code, 7", reruns, 0, 7, false, false},
    {"reruns of unchanged code, 14", reruns, 0, 14, false, false},
    {"reruns of unchanged code, 38", reruns, 0, 38, false, false},
    {"Student's t with 5 degrees, 7", student5, 0, 7, false, false},
    {"Student's t with 5 degrees, 38", student5, 0, 38, false, false},
    {"Student's t with 3 degrees, 21", student3, 0, 21, false, false},
    {"Cauchy, 21", cauchy, 0, 21, false, false},
    {"spreads of 1 to 30, 21", unlike, 0, 21, false, false},
    {"skewed alike on both sides, 21", skewed, 0, 21, false, false},
    {"+1 or -1, 8", two_points, 0, 8, false, false},
    {"70% the same, 14", mostly_tied, 0, 14, false, false},
    {"rounded to items, 63", rounded, 0, 63, false, false},
    {"reruns, one broken by 30 points, 38", reruns, -30, 38, false, false},
    {"*normal, 42 in 21 equal pairs*", normal, 0, 42, true, true},
    {"*base a mean of five skewed runs, head one, 63*", averaged_base, 0, 63, false, true},
};

typedef struct counts {
    int worse, better, t, apart,
        broken; /* t: by |t| at 1%; apart: some but the broken one is named; broken: it is */
} counts;

static pm_panel draw_panel(const situation *s, double shift, pm_rng *r, pm_arena *scratch, double *residual) {
    double d[MOST];
    for (int i = 0; i < s->n; i++) d[i] = s->twins && i % 2 ? d[i - 1] : s->noise(r) + shift;
    d[0] += s->broken;
    return pm_panel_test(d, s->n, 1, pm_panel_floor(PM_PANEL_POINTS, NULL, 0, scratch), scratch, residual);
}

static void count_one(const situation *s, const pm_panel *p, const double *residual, counts *c) {
    bool apart = false;
    for (int i = s->broken != 0; i < s->n; i++) apart |= fabs(residual[i]) > p->limit;
    c->worse += p->verdict == PM_PANEL_WORSE;
    c->better += p->verdict == PM_PANEL_BETTER;
    c->t += p->p_t <= 0.01;
    c->apart += apart;
    c->broken += fabs(residual[0]) > p->limit;
}

static counts count_panels(const situation *s, uint64_t stream, int panels) {
    pm_arena *scratch = pm_arena_new("simulation", (size_t)1 << 24);
    double residual[MOST];
    counts c = {0};
    for (int k = 0; k < panels; k++) {
        pm_rng r = pm_rng_make((uint64_t)k, stream);
        pm_panel p = draw_panel(s, 0, &r, scratch, residual);
        count_one(s, &p, residual, &c);
    }
    pm_arena_free(scratch);
    return c;
}

static bool slow(void) {
    const char *v = getenv("PEFTMETER_SLOW");
    return v && *v && *v != '0';
}

static double bound(double level, int panels) {
    return level * panels + 3.09 * sqrt(level * (1 - level) * panels);
}

static void check_situation(const situation *s, const counts *c, int panels) {
    double percent = 100.0 / panels;
    if (slow())
        printf("| %s | %.2f%% | %.2f%% | %.2f%% | %.2f%% |\n", s->what, percent * c->worse,
               percent * (c->worse + c->better), percent * c->t, percent * c->apart);
    if (s->outside) {
        CHECK(c->worse > bound(pm_panel_level_worse, panels));
        return;
    }
    /* Where one really broke, the others' luck need not reach as far: something did get worse. */
    CHECK(c->worse <= bound(s->broken != 0 ? 0.02 : pm_panel_level_worse, panels));
    CHECK(c->worse + c->better <= bound(s->broken != 0 ? 0.02 : 0.01, panels));
    if (s->noise == student5 || s->noise == normal) CHECK(c->apart <= bound(0.01, panels));
    if (s->noise == reruns) CHECK(c->apart <= bound(0.03, panels));
    if (s->broken != 0) CHECK(c->broken > 0.99 * panels);
}

/* ---- power --------------------------------------------------------------------------------------------------------------- */

typedef struct found {
    double panel, t,
        signs; /* shares of panels in which a shift for the worse is said, by t and by signs at the same level */
} found;

static found find_shift(int n, double (*noise)(pm_rng *r), double shift, double broken, int panels) {
    situation s = {"", noise, broken, n, false, false};
    pm_arena *scratch = pm_arena_new("simulation", (size_t)1 << 24);
    double residual[MOST], each = 1.0 / panels, level = 2 * pm_panel_level_worse;
    found f = {0};
    for (int k = 0; k < panels; k++) {
        pm_rng r = pm_rng_make((uint64_t)k, 100);
        pm_panel p = draw_panel(&s, -shift, &r, scratch, residual);
        f.panel += p.verdict == PM_PANEL_WORSE ? each : 0;
        f.t += p.t < 0 && p.p_t <= level ? each : 0;
        f.signs += p.down > p.up && p.p_sign <= level ? each : 0;
    }
    pm_arena_free(scratch);
    return f;
}

static const int sizes[] = {7, 14, 21, 38, 63};
static const double shifts[] = {0.25, 0.5, 1, 2};

static void print_power(int panels) {
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (int k = 0; k < 2; k++) {
            printf("| %d | %s |", sizes[i], k ? "reruns" : "normal");
            for (size_t j = 0; j < COUNT(shifts); j++) {
                found f = find_shift(sizes[i], k ? reruns : normal, shifts[j], 0, panels);
                printf(" %.0f (%.0f, %.0f) |", 100 * f.panel, 100 * f.t, 100 * f.signs);
            }
            printf("\n");
        }
}

/* Of one configuration broken by so much, among n with the noise of reruns: how often it is named. */
static void print_broken(int panels) {
    static const double by[] = {1, 2, 3, 5, 8};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        printf("| %d |", sizes[i]);
        for (size_t j = 0; j < COUNT(by); j++) {
            situation s = {"", reruns, -by[j], sizes[i], false, false};
            printf(" %.0f |", 100.0 * count_panels(&s, 200, panels).broken / panels);
        }
        printf("\n");
    }
}

/* What 7, 21 and 63 configurations find; more of them find more; one that broke does not hide the shift of the others, as it does from t. */
static void sim_finds_what_is_there(void) {
    int panels = 1000;
    double before = 0;
    found broken = find_shift(38, reruns, 0.5, -30, panels);
    CHECK(find_shift(7, normal, 1, 0, panels).panel > 0.6);
    CHECK(find_shift(21, normal, 0.5, 0, panels).panel > 0.8);
    CHECK(find_shift(63, normal, 0.25, 0, panels).panel > 0.75);
    CHECK(broken.panel > 0.95 && broken.t < 0.05);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        double now = find_shift(sizes[i], reruns, 0.5, 0, panels).panel;
        CHECK(now > before);
        before = now;
    }
}

int main(void) {
    counts c[COUNT(nulls)];
    int panels = slow() ? 100000 : 1000;
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < COUNT(nulls); i++) c[i] = count_panels(&nulls[i], i, panels);
    for (size_t i = 0; i < COUNT(nulls); i++)
        RUN_AS(nulls[i].what, check_situation(&nulls[i], &c[i], panels));
    if (slow()) print_power(4000), print_broken(4000);
    RUN(sim_finds_what_is_there);
    return check_done();
}
