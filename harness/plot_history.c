/* plot_history.c - a task's scores over the commits, each with its levels. */
#include "history.h"
#include "plot_draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct shown { /* series of this figure */
    const pm_series **at;
    int n;
    double low, high;
    int first, last; /* commits */
} shown;

static void choose(const pm_plot *p, const pm_history *h, shown *x) {
    const pm_place_runs *place = NULL;
    for (int i = p->first; i < p->end && !(place && place->n); i++)
        place = pm_results_at(p->in->r, i, p->task);
    const char *model = place && place->n ? place->run[0]->model_hash : "";
    *x = (shown){.at = pm_xalloc(((size_t)h->n_series + 1) * sizeof(void *)),
                 .low = (double)INFINITY,
                 .high = -(double)INFINITY,
                 .first = h->n_commits};
    for (int i = 0; i < h->n_series; i++) {
        const pm_series *s = &h->series[i];
        bool here = s->score && strcmp(s->task, p->in->r->task[p->task].name) == 0 &&
                    strcmp(s->model_hash, model) == 0;
        if (!here) continue;
        x->at[x->n++] = s;
        for (int k = 0; k < s->n; k++)
            x->low = fmin(x->low, s->value[k]), x->high = fmax(x->high, s->value[k]);
        if (s->commit[0] < x->first) x->first = s->commit[0];
        if (s->commit[s->n - 1] > x->last) x->last = s->commit[s->n - 1];
    }
}

/* Series stand a little beside each other, so that equal ones do not hide one another. */
static double beside(const shown *x, int i) {
    return x->n > 1 ? 0.3 * ((double)i / (x->n - 1) - 0.5) : 0;
}

static void put_values(pm_plot *p, const shown *x, double unit) {
    pm_plot_begin(p, "values");
    for (int i = 0; i < x->n; i++) {
        if (i) pm_plot_next(p);
        for (int k = 0; k < x->at[i]->n; k++)
            pm_plot_row(p,
                        (const double[]){x->at[i]->commit[k] - x->first + 1 + beside(x, i),
                                         unit * x->at[i]->value[k]},
                        2);
    }
    pm_plot_end(p);
}

/* Each level from its first to its last commit; a row that is not a number ends the line. */
static void put_levels(pm_plot *p, const shown *x, double unit) {
    pm_plot_begin(p, "levels");
    for (int i = 0; i < x->n; i++) {
        const pm_series *s = x->at[i];
        if (i) pm_plot_next(p);
        for (int k = 0; k < s->n_levels; k++) {
            double from = s->commit[s->level[k].first] - x->first + 1 + beside(x, i),
                   to = s->commit[s->level[k].first + s->level[k].n - 1] - x->first + 1 + beside(x, i);
            pm_plot_row(p, (const double[]){from - 0.2, unit * s->level[k].value}, 2);
            pm_plot_row(p, (const double[]){to + 0.2, unit * s->level[k].value}, 2);
            pm_plot_row(p, (const double[]){(double)NAN, (double)NAN}, 2);
        }
    }
    pm_plot_end(p);
}

/* Beginnings of the commits' names, "" for those between when there are many. */
static void put_commits(pm_plot *p, const pm_history *h, const shown *x) {
    enum { NAMED_MOST = 24, SHOWN = 7 };
    int n = x->last - x->first + 1, every = (n + NAMED_MOST - 1) / NAMED_MOST;
    char **name = pm_xalloc((size_t)n * sizeof *name);
    for (int i = 0; i < n; i++)
        name[i] = pm_xstrndup(i % every ? "" : h->commit[x->first + i], i % every ? 0 : SHOWN);
    pm_buf_printf(&p->data, "array commit[%d]\n", n);
    for (int i = 0; i < n; i++) {
        pm_buf_printf(&p->data, "commit[%d] = ", i + 1);
        pm_plot_quote(name[i], SHOWN, &p->data);
        pm_buf_puts(&p->data, "\n");
        free(name[i]);
    }
    free(name);
    pm_plot_range(p, 'x', 0.5, n + 0.5);
}

static void put_axis(pm_plot *p, const shown *x, double unit) {
    const char *what = x->at[0]->what;
    bool share = pm_metric_is_share(what);
    char text[96];
    double room = fmax(0.05 * (x->high - x->low), share ? 0.01 : 0.01 * fabs(x->high));
    snprintf(text, sizeof text, "%.40s%s", what, share ? " (%)" : ", less is better");
    pm_plot_set_text(p, "axis", text);
    pm_plot_range(p, 'y', unit * (share ? fmax(x->low - room, 0) : x->low - room), unit * (x->high + room));
}

static void put_names(pm_plot *p, const shown *x) {
    char **name = pm_xalloc((size_t)x->n * sizeof *name);
    for (int i = 0; i < x->n; i++) {
        size_t n = strlen(x->at[i]->name), task = strlen(x->at[i]->task);
        bool ends = n > task && strcmp(x->at[i]->name + n - task, x->at[i]->task) == 0;
        name[i] = pm_xstrndup(x->at[i]->name, ends ? n - task - 1 : n);
    }
    pm_plot_set_legend(p, name, x->n);
    for (int i = 0; i < x->n; i++) free(name[i]);
    free(name);
}

pm_status pm_plot_history(pm_plot *p, pm_err *e) {
    pm_history h;
    shown x = {0};
    pm_status s = pm_history_read(p->in->db, *p->in->r->sweep ? p->in->r->sweep : NULL, &h, e);
    if (s == PM_OK) choose(p, &h, &x);
    if (s == PM_OK && !x.n)
        s = pm_nothing_measured(p->in, "no configuration has scores of two commits",
                                "`peftmeter sweep PLAN.json --this-commit` adds those of another build", e);
    if (s == PM_OK) {
        double unit = pm_metric_is_share(x.at[0]->what) ? 100 : 1;
        p->bottom = 84;
        put_values(p, &x, unit);
        put_levels(p, &x, unit);
        put_commits(p, &h, &x);
        put_axis(p, &x, unit);
        put_names(p, &x);
    }
    free(x.at);
    pm_history_free(&h);
    return s;
}
