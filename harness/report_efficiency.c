/* report_efficiency.c - what each row took: speed, phases, memory, operations. Means over a row's runs. */
#include "report.h"
#include "report_cost.h"
#include "stats_sample.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct costs { /* of one row on one task */
    pm_cost *run;
    int n;
} costs;

/* Mean of one number over the runs that have it, and its interval. `at` is its place in pm_cost. */
static void set_mean(const costs *c, size_t at, pm_cell *cell, bool interval) {
    double *x = pm_xalloc(((size_t)c->n + 1) * sizeof *x);
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        double v = *(const double *)((const char *)&c->run[i] + at);
        if (isfinite(v)) x[n++] = v;
    }
    cell->value = pm_mean(x, n).mean;
    if (interval && n > 1) {
        pm_interval t = pm_t_interval(x, n);
        cell->low = fmax(t.low, 0), cell->high = t.high;
    }
    free(x);
}

#define AT(field) offsetof(pm_cost, field)

/* ---- speed --------------------------------------------------------------------------------------------------------------- */

typedef struct measure {
    pm_column column;
    size_t at;
    bool interval;
} measure;

static const measure speed[] = {
    {{"tokens_per_s", "throughput", "tokens/s",
      "real tokens (no padding) of the timed steps over those steps' wall time; loading and evaluation are "
      "no part of it",
      PM_COL_REAL, 0, 1},
     AT(tokens_per_s),
     true},
    {{"label_tokens_per_s", "with loss", "tokens/s", "the same, tokens that the loss is taken over alone",
      PM_COL_REAL, 0, 1},
     AT(label_tokens_per_s),
     false},
    {{"step_p50_s", "step p50", NULL, "wall time of a timed step: median; p90, p99 likewise", PM_COL_SECONDS,
      5, -1},
     AT(p50_s),
     false},
    {{"step_p90_s", "p90", NULL, NULL, PM_COL_SECONDS, 5, -1}, AT(p90_s), false},
    {{"step_p99_s", "p99", NULL, NULL, PM_COL_SECONDS, 5, -1}, AT(p99_s), false},
    {{"steps_timed", "timed", "steps", NULL, PM_COL_INTEGER, 0, 0}, AT(steps_timed), false},
    {{"warmup_steps_dropped", "dropped", "steps",
      "first steps, which are not timed because they touch memory for the first time", PM_COL_INTEGER, 0, 0},
     AT(warmup_dropped),
     false},
};

static void put_measures(const measure *m, int n, const costs *c, pm_table *t, int row, int at) {
    for (int i = 0; i < n; i++) set_mean(c, m[i].at, pm_table_at(t, row, at + i), m[i].interval);
}

/* ---- phases -------------------------------------------------------------------------------------------------------------- */

enum { PHASE_SUM = PM_COST_PHASES, WHOLE, PHASE_REST, PHASE_REST_PERCENT, N_PHASE_COLUMNS };

static void add_phase_columns(pm_table *t) {
    static const pm_column rest[] = {
        {"phases_sum_s", "sum", NULL, NULL, PM_COL_SECONDS, 3, -1},
        {"whole_s", "whole run", NULL, "from the row's start to its end", PM_COL_SECONDS, 3, -1},
        {"unexplained_s", "unexplained", NULL,
         "what the phases leave of the whole run: opening the database, writing rows", PM_COL_SECONDS, 3, 0},
        {"unexplained_percent", "unexplained", "% of whole", NULL, PM_COL_PERCENT, 2, 0}};
    for (int i = 0; i < PM_COST_PHASES; i++) {
        char key[48];
        snprintf(key, sizeof key, "%s_s", pm_cost_phase[i]);
        const pm_column c = {.key = key, .title = pm_cost_phase[i], .kind = PM_COL_SECONDS, .digits = 3};
        pm_table_add_column(t, &c);
    }
    pm_add_columns(t, rest, sizeof rest / sizeof *rest);
}

static void put_phases(const costs *c, pm_table *t, int row, int at) {
    double sum = 0;
    for (int i = 0; i < PM_COST_PHASES; i++) {
        pm_cell *cell = pm_table_at(t, row, at + i);
        set_mean(c, AT(phase_s) + (size_t)i * sizeof(double), cell, false);
        if (isfinite(cell->value)) sum += cell->value;
    }
    pm_cell *whole = pm_table_at(t, row, at + WHOLE);
    set_mean(c, AT(whole_s), whole, false);
    pm_table_at(t, row, at + PHASE_SUM)->value = sum;
    pm_table_at(t, row, at + PHASE_REST)->value = whole->value - sum;
    if (whole->value > 0)
        pm_table_at(t, row, at + PHASE_REST_PERCENT)->value = 100 * (whole->value - sum) / whole->value;
}

/* ---- memory -------------------------------------------------------------------------------------------------------------- */

enum { MEMORY_SUM, LIVE, RESIDENT, MEMORY_REST, MEMORY_REST_PERCENT, N_MEMORY_REST };

/* What the categories hold; one that this program does not know has no words. */
static const char *category_note(const char *name) {
    static const struct {
        const char *name, *note;
    } known[] = {
        {"weights", "the base model's numbers and what was prepared of them for products, where a file is "
                    "mapped included"},
        {"adapter", "trained numbers, and what a method computes of them"},
        {"gradients", "of trained numbers"},
        {"optimizer", "its moments"},
        {"activations", "what a step computes and keeps for its backward pass"},
        {"workspace", "scratch numbers, names and lists"},
        {"slack",
         "pages of the memory that these are taken from that are resident and hold none of them: rounding, "
         "freed pieces; measured"},
        {"data", "rows that are trained on and scored, as tokens and texts"},
        {"heap",
         "what malloc has besides: tokenizer, database, libraries, and freed pieces that it keeps; measured"},
        {"program",
         "code and data of the program and its libraries as far as resident, and code made at run time; "
         "measured"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) return known[i].note;
    return NULL;
}

static void add_memory_columns(const pm_cost_categories *k, pm_table *t) {
    static const pm_column rest[N_MEMORY_REST] = {
        [MEMORY_SUM] = {"memory_sum_bytes", "sum", NULL,
                        "of the categories, each as much as it ever held in training", PM_COL_BYTES, 2, -1},
        [LIVE] = {"live_bytes", "at once", NULL,
                  "most that the program held at one time in training, by its own count; weights mapped "
                  "from a file are not in it",
                  PM_COL_BYTES, 2, -1},
        [RESIDENT] = {"resident_bytes", "resident", NULL,
                      "most that the operating system saw resident in training (VmHWM)", PM_COL_BYTES, 2, -1},
        [MEMORY_REST] = {"unexplained_bytes", "unexplained", NULL, "resident less the sum", PM_COL_BYTES, 2,
                         0},
        [MEMORY_REST_PERCENT] = {"unexplained_memory_percent", "unexplained", "% of resident", NULL,
                                 PM_COL_PERCENT, 2, 0}};
    for (int i = 0; i < k->n; i++) {
        char key[48];
        snprintf(key, sizeof key, "%s_bytes", k->name[i]);
        const pm_column c = {.key = key,
                             .title = k->name[i],
                             .definition = category_note(k->name[i]),
                             .kind = PM_COL_BYTES,
                             .digits = 2};
        pm_table_add_column(t, &c);
    }
    pm_add_columns(t, rest, N_MEMORY_REST);
}

static void put_memory(const pm_cost_categories *k, const costs *c, pm_table *t, int row, int at) {
    double sum = 0;
    for (int i = 0; i < k->n; i++) {
        pm_cell *cell = pm_table_at(t, row, at + i);
        set_mean(c, AT(memory) + (size_t)i * sizeof(double), cell, false);
        if (isfinite(cell->value)) sum += cell->value;
    }
    at += k->n;
    pm_cell *resident = pm_table_at(t, row, at + RESIDENT);
    set_mean(c, AT(train_rss_bytes), resident, false);
    set_mean(c, AT(train_live_bytes), pm_table_at(t, row, at + LIVE), false);
    if (sum <= 0) return;
    pm_table_at(t, row, at + MEMORY_SUM)->value = sum;
    pm_table_at(t, row, at + MEMORY_REST)->value = resident->value - sum;
    if (resident->value > 0)
        pm_table_at(t, row, at + MEMORY_REST_PERCENT)->value =
            100 * (resident->value - sum) / resident->value;
}

/* ---- operations ---------------------------------------------------------------------------------------------------------- */

enum { FLOPS_SUM = PM_COST_FLOPS, FLOPS_STEP, FLOPS_RATE, ROOFLINE, SHARE, GEMM_CALLS, ALLOCATIONS };

static void add_operation_columns(pm_table *t) {
    static const pm_column c[] = {
        {"forward_gflop", "forward", "GFLOP",
         "10^9 floating-point operations of training as the kernels counted them, a multiplication and an "
         "addition being two",
         PM_COL_REAL, 4, -1},
        {"input_grad_gflop", "input gradients", "GFLOP", NULL, PM_COL_REAL, 4, -1},
        {"weight_grad_gflop", "weight gradients", "GFLOP", NULL, PM_COL_REAL, 4, -1},
        {"optimizer_gflop", "optimizer", "GFLOP", NULL, PM_COL_REAL, 4, -1},
        {"gflop", "in all", "GFLOP", NULL, PM_COL_REAL, 4, -1},
        {"step_gflop", "a step", "GFLOP", NULL, PM_COL_REAL, 4, -1},
        {"gflops_per_s", "rate", "GFLOP/s", "operations of a mean step over the median step's wall time",
         PM_COL_REAL, 2, 1},
        {"roofline_gflops_per_s", "roofline", "GFLOP/s",
         "fastest products of this model's projections on this machine, packed, each shape at its best and "
         "weighed by its "
         "operations, with the run's backend, threads and precision; measured once, before a sweep or by "
         "doctor --model",
         PM_COL_REAL, 2, 0},
        {"roofline_percent", "of roofline", NULL,
         "operations of training over the wall time of all steps, over the roofline; none where training was "
         "faster, for "
         "then the roofline was measured on a busy machine: `peftmeter doctor --model` mends it for later "
         "runs",
         PM_COL_PERCENT, 1, 1},
        {"gemm_calls", "products", "calls", "matrix products of training", PM_COL_INTEGER, 0, 0},
        {"allocations", "allocations", NULL, "that moved the step memory's high-water mark", PM_COL_INTEGER,
         0, 0}};
    pm_add_columns(t, c, sizeof c / sizeof *c);
}

static void put_operations(const costs *c, pm_table *t, int row, int at) {
    pm_cell steps = {.value = (double)NAN}, p50 = steps;
    double sum = 0;
    for (int i = 0; i < PM_COST_FLOPS; i++) {
        pm_cell *cell = pm_table_at(t, row, at + i);
        set_mean(c, AT(flops) + (size_t)i * sizeof(double), cell, false);
        cell->value *= 1e-9;
        sum += cell->value;
    }
    set_mean(c, AT(steps), &steps, false);
    set_mean(c, AT(p50_s), &p50, false);
    pm_table_at(t, row, at + FLOPS_SUM)->value = sum;
    pm_table_at(t, row, at + FLOPS_STEP)->value = sum / steps.value;
    if (p50.value > 0) pm_table_at(t, row, at + FLOPS_RATE)->value = sum / steps.value / p50.value;
    set_mean(c, AT(roofline_gflops), pm_table_at(t, row, at + ROOFLINE), false);
    set_mean(c, AT(roofline_share), pm_table_at(t, row, at + SHARE), false);
    pm_table_at(t, row, at + SHARE)->value *= 100;
    set_mean(c, AT(gemm_calls), pm_table_at(t, row, at + GEMM_CALLS), false);
    set_mean(c, AT(allocations), pm_table_at(t, row, at + ALLOCATIONS), false);
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

typedef struct tables {
    pm_table *speed, *phases, *memory, *operations;
    pm_cost_categories categories;
    pm_fair fair;
} tables;

static pm_status read_costs(const pm_report_input *in, const pm_place_runs *p, const pm_cost_categories *k,
                            costs *out, pm_err *e) {
    pm_status s = PM_OK;
    *out = (costs){pm_xalloc(((size_t)p->n + 1) * sizeof *out->run), 0};
    while (out->n < p->n && s == PM_OK) {
        s = pm_cost_read(in->db, p->run[out->n]->id, k, &out->run[out->n], e);
        out->n++;
    }
    return s;
}

static void put_row(const pm_report_input *in, const tables *x, int setup, int task, const costs *c) {
    pm_table *const all[] = {x->speed, x->phases, x->memory, x->operations};
    int row = 0, at = 0;
    for (int i = 0; i < 4; i++) {
        row = pm_table_add_row(all[i]);
        at = pm_set_row_cells(in->r, &x->fair, setup, task, all[i], row);
    }
    put_measures(speed, sizeof speed / sizeof *speed, c, x->speed, row, at);
    put_phases(c, x->phases, row, at);
    put_memory(&x->categories, c, x->memory, row, at);
    put_operations(c, x->operations, row, at);
}

static bool any_steps(const costs *c) {
    for (int i = 0; i < c->n; i++)
        if (isfinite(c->run[i].steps)) return true;
    return false;
}

static pm_status add_row(const pm_report_input *in, const tables *x, int setup, int task, pm_err *e) {
    costs c;
    pm_status s = read_costs(in, pm_results_at(in->r, setup, task), &x->categories, &c, e);
    if (s == PM_OK && any_steps(&c)) put_row(in, x, setup, task, &c);
    free(c.run);
    return s;
}

static pm_table *add_table(const pm_results *r, const char *key, const char *title, pm_report *out) {
    pm_table *t = pm_report_add(out, key, title);
    pm_add_row_columns(r, true, t);
    return t;
}

/* What a difference of times must be to mean something: the worst of the certificates that runs were stored with. */
static void add_noise_note(pm_db *d, pm_table *t) {
    sqlite3_stmt *st = NULL;
    static const char sql[] = "SELECT max(floor), max(found), max(measured_at), max(pairs) FROM noise";
    if (sqlite3_prepare_v2(pm_db_handle(d), sql, -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL)
        pm_table_add_note(
            t,
            "Noise certificate of %s: two builds that take turns in %d pairs differ by up to %.1f%% of a "
            "step by chance, and a slowdown of %.1f%% is found in 9 of 10 tries; runs one after the "
            "other differ by more.",
            (const char *)sqlite3_column_text(st, 2), sqlite3_column_int(st, 3),
            100 * sqlite3_column_double(st, 0), 100 * sqlite3_column_double(st, 1));
    else
        pm_table_add_note(t, "No noise certificate: what these times can tell apart is not known "
                             "(peftmeter doctor --noise, before the runs).");
    sqlite3_finalize(st);
}

static void add_notes(const pm_report_input *in, const tables *x) {
    const pm_results *r = in->r;
    pm_table_add_note(x->speed,
                      "Means over a row's runs; in brackets the 95%% interval over runs (Student's t).");
    add_noise_note(in->db, x->speed);
    pm_add_badge_notes(r, &x->fair, x->speed);
    pm_add_source_note(r, x->speed);
}

pm_status pm_report_efficiency(const pm_report_input *in, pm_report *out, pm_err *e) {
    const pm_results *r = in->r;
    int before = out->n_tables;
    tables x = {.speed = add_table(r, "efficiency", "Speed of training", out),
                .phases = add_table(r, "efficiency_phases", "Where a run's time goes (wall time)", out),
                .memory = add_table(r, "efficiency_memory", "Where training's memory goes", out),
                .operations = add_table(r, "efficiency_operations", "Operations of training", out)};
    pm_status s = pm_check_rows(in, PM_FAIR_SPEED, &x.fair, e);
    if (s == PM_OK) s = pm_cost_categories_read(in->db, &x.categories, e);
    if (s != PM_OK) return s;
    for (size_t i = 0; i < sizeof speed / sizeof *speed; i++) pm_table_add_column(x.speed, &speed[i].column);
    add_phase_columns(x.phases);
    add_memory_columns(&x.categories, x.memory);
    add_operation_columns(x.operations);
    for (int k = 0; k < r->n_tasks; k++)
        for (int i = 0; i < r->n_setups && s == PM_OK; i++)
            if (pm_results_at(r, i, k)->n) s = add_row(in, &x, i, k, e);
    if (s != PM_OK) return s;
    if (x.speed->n_rows)
        add_notes(in, &x);
    else
        pm_report_shorten(out, before);
    s = pm_add_imported(in, &x.fair, out, e);
    return s != PM_OK || out->n_tables > before
               ? s
               : pm_nothing_measured(in, "no run has training steps", "`peftmeter run` and `sweep` log them",
                                     e);
}
