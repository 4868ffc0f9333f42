/* plot_accuracy.c - what a trained number buys: each row's score against how many numbers it trains, and the Pareto front: the rows that no other beats
 * with as few numbers.
 */
#include "plot_draw.h"
#include "plot_label.h"
#include "report_score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEW = 12, TALLER = 10 /* px a point, for its label */, APART = 10 /* px at least between points */ };

typedef struct point {
    double x, y, low, high; /* trained numbers; score and its interval in the task's unit */
    double shown;           /* x where it is drawn: beside the others that train as many */
    bool front;
    char *name;
} point;

typedef struct cloud {
    point *at; /* by x */
    int n, capacity;
    point untuned; /* y NAN: none */
    double x0, x1, y0, y1;
} cloud;

/* ---- which points -------------------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
    const point *p = a, *q = b;
    int d = (p->x > q->x) - (p->x < q->x);
    return d ? d : (p->y < q->y) - (p->y > q->y);
}

/* sign 1: more is better. Of equal ones all are on the front. */
static void find_front(cloud *c, int sign) {
    for (int i = 0; i < c->n; i++) {
        c->at[i].front = true;
        for (int k = 0; k < c->n; k++) {
            double gain = sign * (c->at[k].y - c->at[i].y), saved = c->at[i].x - c->at[k].x;
            if (gain >= 0 && saved >= 0 && (gain > 0 || saved > 0)) c->at[i].front = false;
        }
    }
}

static void collect(const pm_plot *p, const pm_fair *fair, cloud *c) {
    const pm_results *r = p->in->r;
    const pm_task_facts *t = &r->task[p->task];
    pm_standings all = pm_standings_of(r);
    *c = (cloud){.at = pm_xalloc((size_t)(p->end - p->first) * sizeof *c->at), .untuned.y = (double)NAN};
    for (int i = p->first; i < p->end; i++) {
        const pm_standing *s = pm_standing_at(r, &all, i, p->task);
        const pm_place_runs *runs = pm_results_at(r, i, p->task);
        if (!runs->n || !isfinite(s->mean)) continue;
        point x = {.x = (double)runs->run[0]->trainable,
                   .y = pm_in_unit(t, s->mean),
                   .low = pm_in_unit(t, s->low),
                   .high = pm_in_unit(t, s->high)};
        if (strcmp(runs->run[0]->method, "none") == 0)
            c->untuned = x;
        else if (x.x > 0)
            x.name = pm_plot_row_name(p, fair, i), c->at[c->n++] = x;
    }
    qsort(c->at, (size_t)c->n, sizeof *c->at, by_size);
    find_front(c, pm_metric_is_share(t->metric) ? 1 : -1);
}

static void forget(cloud *c) {
    for (int i = 0; i < c->n; i++) free(c->at[i].name);
    free(c->at);
}

/* ---- where they lie ------------------------------------------------------------------------------------------------------ */

static void widen(cloud *c, const point *p) {
    if (!isfinite(p->y)) return;
    c->y0 = fmin(c->y0, fmin(p->y, isfinite(p->low) ? p->low : p->y));
    c->y1 = fmax(c->y1, fmax(p->y, isfinite(p->high) ? p->high : p->y));
}

static void set_ranges(pm_plot *p, cloud *c) {
    bool share = pm_metric_is_share(p->in->r->task[p->task].metric);
    c->x0 = c->at[0].x / 2.2, c->x1 = c->at[c->n - 1].x * 2.2;
    c->y0 = (double)INFINITY, c->y1 = -(double)INFINITY;
    for (int i = 0; i < c->n; i++) widen(c, &c->at[i]);
    widen(c, &c->untuned);
    double room = fmax(0.07 * (c->y1 - c->y0), share ? 0.5 : 0.01);
    c->y0 -= room, c->y1 += room;
    if (share) c->y0 = fmax(c->y0, 0);
    pm_plot_range(p, 'x', c->x0, c->x1);
    pm_plot_log_tics(p, 'x', c->x0, c->x1);
    pm_plot_range(p, 'y', c->y0, c->y1);
}

static double px_x(const pm_plot *p, const cloud *c, double x) {
    return p->left + (PM_PLOT_WIDTH - p->left - p->right) * log(x / c->x0) / log(c->x1 / c->x0);
}

static double px_y(const pm_plot *p, const cloud *c, double y) {
    return p->top + (p->height - p->top - p->bottom) * (c->y1 - y) / (c->y1 - c->y0);
}

static double at_px(const pm_plot *p, const cloud *c, double px) {
    return c->x0 * exp((px - p->left) / (PM_PLOT_WIDTH - p->left - p->right) * log(c->x1 / c->x0));
}

typedef struct block { /* points side by side, around the mean of where they are */
    int first, n;
    double middle;
} block;

static double left_end(const block *b) {
    return b->middle - APART * (b->n - 1) / 2.0;
}

/* Rows that train equally many, or nearly: their intervals would lie on each other. Blocks that touch become one. */
static void set_apart(const pm_plot *p, cloud *c) {
    block *b = pm_xalloc((size_t)c->n * sizeof *b);
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        b[n++] = (block){i, 1, px_x(p, c, c->at[i].x)};
        for (; n > 1 && left_end(&b[n - 2]) + APART * b[n - 2].n > left_end(&b[n - 1]); n--) {
            block *to = &b[n - 2], *from = &b[n - 1];
            to->middle = (to->n * to->middle + from->n * from->middle) / (to->n + from->n);
            to->n += from->n;
        }
    }
    for (int k = 0; k < n; k++)
        for (int i = 0; i < b[k].n; i++)
            c->at[b[k].first + i].shown =
                b[k].n > 1 ? at_px(p, c, left_end(&b[k]) + APART * i) : c->at[b[k].first].x;
    free(b);
}

/* ---- labels -------------------------------------------------------------------------------------------------------------- */

/* What labels must keep off: points, bars, the front and the untuned model's line, in small boxes. The caller frees the list. */
static pm_box *taken_by(const pm_plot *p, const cloud *c, int *n) {
    enum { PIECES = 24 };
    pm_box *b = pm_xalloc(((size_t)c->n * (2 + PIECES) + 1) * sizeof *b);
    const point *last = NULL;
    *n = 0;
    for (int i = 0; i < c->n; i++) {
        const point *q = &c->at[i];
        double x = px_x(p, c, q->shown), y = px_y(p, c, q->y);
        b[(*n)++] = (pm_box){x - 6, y - 6, x + 6, y + 6};
        if (isfinite(q->low)) b[(*n)++] = (pm_box){x - 4, px_y(p, c, q->high), x + 4, px_y(p, c, q->low)};
        if (q->front && last)
            for (int k = 0; k < PIECES; k++) {
                double f = (k + 0.5) / PIECES, lx = px_x(p, c, last->shown), ly = px_y(p, c, last->y);
                double at = lx + f * (x - lx), up = ly + f * (y - ly);
                b[(*n)++] = (pm_box){at - 3, up - 3, at + 3, up + 3};
            }
        if (q->front) last = q;
    }
    if (isfinite(c->untuned.y)) {
        double y = px_y(p, c, c->untuned.y);
        b[(*n)++] = (pm_box){p->left, y - 2, PM_PLOT_WIDTH - p->right, y + 2};
    }
    return b;
}

/* From the point to the label's nearest edge. */
static void join(pm_plot *p, const pm_label *l) {
    double x = fmin(fmax(l->x, l->box.x0), l->box.x1), y = fmin(fmax(l->y, l->box.y0), l->box.y1);
    if (l->leader) pm_plot_add_line(p, l->x, l->y, x, y);
}

static void put_labels(pm_plot *p, const cloud *c) {
    pm_label *l = pm_xalloc((size_t)c->n * sizeof *l);
    int n_taken;
    pm_box *taken = taken_by(p, c, &n_taken);
    const pm_box frame = {p->left + 2, p->top + 2, PM_PLOT_WIDTH - p->right - 2, p->height - p->bottom - 2};
    for (int i = 0; i < c->n; i++)
        l[i] = (pm_label){.x = px_x(p, c, c->at[i].shown),
                          .y = px_y(p, c, c->at[i].y),
                          .width = pm_plot_text_width(c->at[i].name),
                          .height = PM_PLOT_FONT * 1.25};
    pm_labels_place(l, c->n, taken, n_taken, frame);
    for (int i = 0; i < c->n; i++) {
        const pm_box *b = &l[i].box;
        /* Ours is the widest that the text can be: towards its point it stands flush. */
        const char *align = b->x0 >= l[i].x ? "left" : b->x1 <= l[i].x ? "right" : "center";
        double x = align[0] == 'l' ? b->x0 : align[0] == 'r' ? b->x1 : (b->x0 + b->x1) / 2;
        pm_plot_add_label(p, c->at[i].name, x, (b->y0 + b->y1) / 2, align);
        join(p, &l[i]);
    }
    free(l), free(taken);
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

static void put_points(pm_plot *p, const cloud *c, const char *table, bool front) {
    pm_plot_begin(p, table);
    for (int i = 0; i < c->n; i++) {
        const point *q = &c->at[i];
        if (q->front == front) pm_plot_row(p, (const double[]){q->shown, q->y, q->low, q->high}, 4);
    }
    pm_plot_end(p);
}

static void put_untuned(pm_plot *p, const cloud *c) {
    const point *u = &c->untuned;
    pm_plot_begin(p, "untuned");
    if (isfinite(u->y)) {
        pm_plot_row(p, (const double[]){c->x0, u->y, u->low, u->high}, 4);
        pm_plot_row(p, (const double[]){c->x1, u->y, u->low, u->high}, 4);
    }
    pm_plot_end(p);
}

static void put_axis(pm_plot *p) {
    const pm_task_facts *t = &p->in->r->task[p->task];
    char text[160];
    bool share = pm_metric_is_share(t->metric);
    snprintf(text, sizeof text, "%s %.60s%s", t->split, t->metric, share ? " (%)" : ", less is better");
    pm_plot_set_text(p, "axis", text);
}

pm_status pm_plot_accuracy(pm_plot *p, pm_err *e) {
    cloud c;
    pm_fair fair;
    pm_status s = pm_check_rows(p->in, PM_FAIR_QUALITY, &fair, e);
    if (s != PM_OK) return s;
    collect(p, &fair, &c);
    if (c.n) {
        if (c.n > FEW) p->height += TALLER * (c.n - FEW);
        set_ranges(p, &c);
        set_apart(p, &c);
        put_axis(p);
        put_untuned(p, &c);
        put_points(p, &c, "front", true);
        put_points(p, &c, "others", false);
        put_labels(p, &c);
    } else
        s = pm_nothing_measured(
            p->in, "no trained row has a score",
            "`peftmeter run` and `sweep` measure some; of --metric and --task there may be others", e);
    forget(&c);
    return s;
}
