/* plot_loss.c - how training went: the loss of each step, mean over a row's seeds. */
#include "plot_draw.h"
#include "report_steps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { STEPS_MAX = 1 << 20, DRAWN_MOST = 400, MARKS = 8 };

typedef struct curve { /* [n] by step, from 0 */
    double *loss;      /* mean over the runs that have the step; NAN: none */
    int n;
    char *name;
} curve;

typedef struct curves {
    curve *at;
    int n, longest, window; /* rows; most steps; steps that one drawn value is the mean of */
    double low, high;       /* of what is drawn */
} curves;

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

typedef struct sums {
    double *sum, *count;
    int n, cap;
} sums;

static void add_step(sums *x, const pm_step_row *s) {
    if (s->step < 0 || s->step >= STEPS_MAX || !isfinite(s->loss)) return;
    while (s->step >= x->cap) {
        int cap = x->cap ? 2 * x->cap : 256;
        x->sum = pm_xrealloc(x->sum, (size_t)cap * sizeof *x->sum);
        x->count = pm_xrealloc(x->count, (size_t)cap * sizeof *x->count);
        for (int i = x->cap; i < cap; i++) x->sum[i] = x->count[i] = 0;
        x->cap = cap;
    }
    x->sum[s->step] += s->loss;
    x->count[s->step]++;
    if (s->step >= x->n) x->n = (int)s->step + 1;
}

static pm_status read_curve(const pm_plot *p, int setup, curve *c, pm_err *e) {
    const pm_place_runs *runs = pm_results_at(p->in->r, setup, p->task);
    sums x = {0};
    pm_status s = PM_OK;
    for (int i = 0; i < runs->n && s == PM_OK; i++) {
        pm_step_row *step;
        int n;
        s = pm_steps_read(p->in->db, runs->run[i]->id, &step, &n, e);
        for (int k = 0; k < n; k++) add_step(&x, &step[k]);
        free(step);
    }
    for (int i = 0; i < x.n; i++) x.sum[i] = x.count[i] > 0 ? x.sum[i] / x.count[i] : (double)NAN;
    free(x.count);
    *c = (curve){.loss = x.sum, .n = x.n};
    return s;
}

static pm_status read_all(const pm_plot *p, const pm_fair *fair, curves *c, pm_err *e) {
    pm_status s = PM_OK;
    *c = (curves){.at = pm_xalloc((size_t)(p->end - p->first) * sizeof *c->at)};
    for (int i = p->first; i < p->end && s == PM_OK; i++) {
        curve *x = &c->at[c->n];
        s = read_curve(p, i, x, e);
        if (x->n)
            x->name = pm_plot_row_name(p, fair, i), c->n++;
        else
            free(x->loss);
        if (x->n > c->longest) c->longest = x->n;
    }
    return s;
}

static void forget(curves *c) {
    for (int i = 0; i < c->n; i++) free(c->at[i].loss), free(c->at[i].name);
    free(c->at);
}

/* ---- drawing ------------------------------------------------------------------------------------------------------------- */

/* The mean of the window around step i, which narrows towards both ends: the first step is shown as it was. */
static double smooth(const curve *c, int i, int window) {
    int half = window / 2;
    if (i < half) half = i;
    if (c->n - 1 - i < half) half = c->n - 1 - i;
    double sum = 0;
    int n = 0;
    for (int k = i - half; k <= i + half; k++)
        if (isfinite(c->loss[k])) sum += c->loss[k], n++;
    return n ? sum / n : (double)NAN;
}

static void put_curves(pm_plot *p, curves *c) {
    int stride = (c->longest + DRAWN_MOST - 1) / DRAWN_MOST;
    c->low = (double)INFINITY, c->high = -(double)INFINITY;
    pm_plot_begin(p, "curves");
    for (int i = 0; i < c->n; i++) {
        if (i) pm_plot_next(p);
        for (int k = 0; k < c->at[i].n; k += stride) {
            double y = smooth(&c->at[i], k, c->window);
            if (isfinite(y)) c->low = fmin(c->low, y), c->high = fmax(c->high, y);
            pm_plot_row(p, (const double[]){k + 1, y}, 2);
        }
    }
    pm_plot_end(p);
    int drawn = (c->longest + stride - 1) / stride;
    pm_buf_printf(&p->data, "apart = %d\n", drawn > MARKS ? drawn / MARKS : 1);
}

static void put_axis(pm_plot *p, const curves *c) {
    bool log_scale = c->low > 0 && c->high > 5 * c->low;
    char text[96] = "training step";
    if (c->window > 1)
        snprintf(text, sizeof text, "training step (each point: mean of the %d steps around it)", c->window);
    pm_plot_set_text(p, "axis", text);
    pm_buf_printf(&p->data, "log_scale = %d\n", log_scale);
    /* Never a range so small that its numbers are wider than the margin. */
    double room = fmax(0.05 * (c->high - c->low), 0.01 * fabs(c->high)) + 1e-3;
    double low = log_scale ? c->low / 1.15 : c->low - room,
           high = log_scale ? c->high * 1.15 : c->high + room;
    pm_plot_range(p, 'y', low, high);
    if (log_scale) pm_plot_log_tics(p, 'y', low, high);
    pm_plot_range(p, 'x', 0, c->longest > 1 ? c->longest : 2);
}

static void put_names(pm_plot *p, const curves *c) {
    char **name = pm_xalloc((size_t)c->n * sizeof *name);
    for (int i = 0; i < c->n; i++) name[i] = c->at[i].name;
    pm_plot_set_legend(p, name, c->n);
    free(name);
}

pm_status pm_plot_loss(pm_plot *p, pm_err *e) {
    curves c = {0};
    pm_fair fair;
    pm_status s = pm_check_rows(p->in, PM_FAIR_QUALITY, &fair, e);
    if (s != PM_OK) return s;
    s = read_all(p, &fair, &c, e);
    if (s == PM_OK && c.n) {
        c.window = (c.longest / 20 < 25 ? c.longest / 20 : 25) | 1;
        p->bottom = 56;
        put_curves(p, &c);
        put_axis(p, &c);
        put_names(p, &c);
    } else if (s == PM_OK)
        s = pm_nothing_measured(p->in, "no run has training steps", "`peftmeter run` and `sweep` log them",
                                e);
    forget(&c);
    return s;
}
