/* plot_cost.c - what each row took: memory by category, and speed. Rows lie from top to bottom, for names are long. */
#include "plot_draw.h"
#include "report_cost.h"
#include "report_steps.h"
#include "stats_sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROW_MOST = 32, ROW_LEAST = 19 /* px from row to row */, LEGEND_COLUMNS = 3 };

typedef struct row { /* means over a row's runs; NAN: not measured */
    char *name;
    double memory[PM_COST_MEMORY], live, resident; /* MiB */
    double tokens_per_s, p10, p90;
} row;

typedef struct rows {
    row *at;
    int n;
    pm_cost_categories categories;
} rows;

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

typedef struct rates { /* tokens/s of single timed steps, of all runs of a row */
    double *at;
    int n, cap;
} rates;

static pm_status add_rates(const pm_plot *p, int64_t run, double dropped, rates *r, pm_err *e) {
    pm_step_row *step;
    int n;
    pm_status s = pm_steps_read(p->in->db, run, &step, &n, e);
    for (int i = 0; i < n && s == PM_OK; i++) {
        double rate = step[i].tokens / step[i].wall_s;
        if (!isfinite(rate) || rate < 0 || (isfinite(dropped) && (double)step[i].step < dropped)) continue;
        if (r->n == r->cap)
            r->at = pm_xrealloc(r->at, (size_t)(r->cap = r->cap ? 2 * r->cap : 256) * sizeof *r->at);
        r->at[r->n++] = rate;
    }
    free(step);
    return s;
}

/* Adds x to a mean that has n values so far, what is not measured apart. */
static void add_to_mean(double *mean, int *n, double x) {
    if (!isfinite(x)) return;
    *mean = *n ? (*mean * *n + x) / (*n + 1) : x;
    ++*n;
}

static pm_status read_row(const pm_plot *p, int setup, const pm_cost_categories *k, row *out, pm_err *e) {
    enum { LIVE = PM_COST_MEMORY, RESIDENT, TOKENS, N_MEANS };
    const double mib = 1024.0 * 1024;
    const pm_place_runs *runs = pm_results_at(p->in->r, setup, p->task);
    double mean[N_MEANS];
    int n[N_MEANS] = {0};
    rates r = {0};
    pm_status s = PM_OK;
    for (int i = 0; i < N_MEANS; i++) mean[i] = (double)NAN;
    for (int i = 0; i < runs->n && s == PM_OK; i++) {
        pm_cost c;
        s = pm_cost_read(p->in->db, runs->run[i]->id, k, &c, e);
        if (s != PM_OK) break;
        for (int j = 0; j < k->n; j++) add_to_mean(&mean[j], &n[j], c.memory[j] / mib);
        add_to_mean(&mean[LIVE], &n[LIVE], c.train_live_bytes / mib);
        add_to_mean(&mean[RESIDENT], &n[RESIDENT], c.train_rss_bytes / mib);
        add_to_mean(&mean[TOKENS], &n[TOKENS], c.tokens_per_s);
        s = add_rates(p, runs->run[i]->id, c.warmup_dropped, &r, e);
    }
    pm_sort(r.at, r.n);
    *out = (row){.live = mean[LIVE],
                 .resident = mean[RESIDENT],
                 .tokens_per_s = mean[TOKENS],
                 .p10 = pm_quantile(r.at, r.n, 0.1),
                 .p90 = pm_quantile(r.at, r.n, 0.9)};
    for (int j = 0; j < PM_COST_MEMORY; j++) out->memory[j] = mean[j];
    free(r.at);
    return s;
}

/* Rows whose steps were timed: what was never trained took nothing. */
static pm_status read_rows(const pm_plot *p, rows *x, pm_err *e) {
    pm_fair fair;
    *x = (rows){0};
    pm_status s = pm_check_rows(p->in, PM_FAIR_SPEED, &fair, e);
    if (s == PM_OK) s = pm_cost_categories_read(p->in->db, &x->categories, e);
    x->at = pm_xalloc((size_t)(p->end - p->first) * sizeof *x->at);
    for (int i = p->first; i < p->end && s == PM_OK; i++) {
        row *r = &x->at[x->n];
        s = read_row(p, i, &x->categories, r, e);
        if (s == PM_OK && isfinite(r->tokens_per_s)) r->name = pm_plot_row_name(p, &fair, i), x->n++;
    }
    if (s == PM_OK && !x->n)
        s = pm_nothing_measured(p->in, "no run has timed training steps",
                                "`peftmeter run` and `sweep` log them", e);
    return s;
}

static void forget(rows *x) {
    for (int i = 0; i < x->n; i++) free(x->at[i].name);
    free(x->at);
}

/* ---- drawing ------------------------------------------------------------------------------------------------------------- */

/* Room for the names, the height for the rows, and the names. */
static void put_names(pm_plot *p, const rows *x) {
    int apart = x->n > 20 ? ROW_LEAST : ROW_MOST;
    char **name = pm_xalloc((size_t)x->n * sizeof *name);
    for (int i = 0; i < x->n; i++) name[i] = x->at[i].name;
    p->left = 24 + (int)pm_plot_names_width(name, x->n);
    p->height = p->top + p->bottom + apart * x->n;
    for (int i = 0; i < x->n; i++)
        pm_plot_add_label(p, name[i], p->left - 10, p->top + apart * (i + 0.5), "right");
    pm_plot_range(p, 'y', x->n + 0.5, 0.5);
    free(name);
}

/* What stands behind a row's bar. */
static void put_value(pm_plot *p, const rows *x, int i, double at, double most, const char *text) {
    double width = PM_PLOT_WIDTH - p->left - p->right,
           apart = (p->height - p->top - p->bottom) / (double)x->n;
    pm_plot_add_label(p, text, p->left + width * at / most + 8, p->top + apart * (i + 0.5), "left");
}

static double memory_sum(const rows *x, const row *r) {
    double sum = 0;
    for (int k = 0; k < x->categories.n; k++)
        if (isfinite(r->memory[k])) sum += r->memory[k];
    return sum;
}

static bool any_memory(const rows *x, int category) {
    for (int i = 0; i < x->n; i++)
        if (x->at[i].memory[category] > 0) return true;
    return false;
}

/* A block for each category that any row has: left and right end, row. Returns how many. */
static int put_stacks(pm_plot *p, const rows *x) {
    char *name[PM_COST_MEMORY], text[PM_COST_MEMORY][32];
    double *end = pm_xalloc((size_t)x->n * sizeof *end);
    int shown = 0;
    pm_plot_begin(p, "stacks");
    for (int k = 0; k < x->categories.n; k++) {
        if (!any_memory(x, k)) continue;
        if (shown) pm_plot_next(p);
        for (int i = 0; i < x->n; i++) {
            double start = end[i], size = x->at[i].memory[k];
            end[i] += isfinite(size) ? size : 0;
            pm_plot_row(p, (const double[]){start, end[i], i + 1}, 3);
        }
        snprintf(text[shown], sizeof *text, "%s", x->categories.name[k]);
        name[shown] = text[shown];
        shown++;
    }
    pm_plot_end(p);
    pm_plot_set_names(p, name, shown);
    free(end);
    return shown;
}

pm_status pm_plot_memory(pm_plot *p, pm_err *e) {
    rows x;
    double most = 0;
    pm_status s = read_rows(p, &x, e);
    for (int i = 0; i < x.n; i++) most = fmax(most, memory_sum(&x, &x.at[i]));
    if (s == PM_OK && !(most > 0))
        s = pm_nothing_measured(p->in, "no run has memory by category", "`peftmeter run` and `sweep` log it",
                                e);
    if (s == PM_OK) {
        p->right = 130, p->bottom = 74 + 18 * ((put_stacks(p, &x) + LEGEND_COLUMNS) / LEGEND_COLUMNS);
        put_names(p, &x);
        pm_plot_begin(p, "live");
        for (int i = 0; i < x.n; i++) pm_plot_row(p, (const double[]){x.at[i].live, i + 1}, 2);
        pm_plot_end(p);
        for (int i = 0; i < x.n; i++) {
            char text[64];
            int digits = most < 100 ? 1 : 0;
            snprintf(text, sizeof text, "%.*f (%.*f)", digits, memory_sum(&x, &x.at[i]), digits,
                     x.at[i].resident);
            put_value(p, &x, i, fmax(memory_sum(&x, &x.at[i]), isfinite(x.at[i].live) ? x.at[i].live : 0),
                      most, text);
        }
        pm_plot_range(p, 'x', 0, most);
    }
    forget(&x);
    return s;
}

pm_status pm_plot_throughput(pm_plot *p, pm_err *e) {
    rows x;
    double most = 0;
    pm_status s = read_rows(p, &x, e);
    for (int i = 0; i < x.n; i++) most = fmax(most, fmax(x.at[i].tokens_per_s, x.at[i].p90));
    if (s == PM_OK) {
        p->right = 90, p->bottom = 110;
        put_names(p, &x);
        pm_plot_begin(p, "speed");
        for (int i = 0; i < x.n; i++)
            pm_plot_row(p, (const double[]){x.at[i].tokens_per_s, x.at[i].p10, x.at[i].p90, i + 1}, 4);
        pm_plot_end(p);
        for (int i = 0; i < x.n; i++) {
            static const pm_column whole = {.kind = PM_COL_REAL, .digits = 0};
            char text[PM_NUMBER];
            pm_column_number(&whole, x.at[i].tokens_per_s, false, text);
            put_value(p, &x, i, fmax(x.at[i].tokens_per_s, x.at[i].p90), most, text);
        }
        pm_plot_range(p, 'x', 0, most > 0 ? most : 1);
    }
    forget(&x);
    return s;
}
