/* history.c - see history.h. */
#include "history.h"

#include "report_data.h"
#include "report_steps.h"
#include "sweep.h"
#include "text.h"
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_DROPPED = 4 }; /* the first steps touch memory for the first time */

/* ---- numbers of a run ---------------------------------------------------------------------------------------------------- */

static double sum_of(const pm_recorded *r, const char *prefix) {
    double sum = (double)NAN;
    for (int i = 0; i < r->n_facts; i++)
        if (strncmp(r->fact[i].name, prefix, strlen(prefix)) == 0)
            sum = (isnan(sum) ? 0 : sum) + (double)r->fact[i].value;
    return sum;
}

static pm_status read_step_time(pm_db *d, const pm_recorded *r, double *out, pm_err *e) {
    pm_step_row *row = NULL;
    int n = 0, kept = 0;
    pm_status s = pm_steps_read(d, r->id, &row, &n, e);
    double *x = pm_xalloc(((size_t)n + 1) * sizeof *x);
    for (int i = STEPS_DROPPED; i < n && s == PM_OK; i++)
        if (isfinite(row[i].wall_s)) x[kept++] = row[i].wall_s;
    pm_sort(x, kept);
    *out = pm_quantile(x, kept, 0.5);
    free(x), free(row);
    return s;
}

/* ---- commits ------------------------------------------------------------------------------------------------------------- */

static bool counts(const pm_recorded *r) {
    return strcmp(r->status, "ok") == 0 && *r->commit && r->dirty != 1;
}

typedef struct first_run {
    const char *commit, *when;
} first_run;

static int by_time(const void *a, const void *b) {
    const first_run *x = a, *y = b;
    int d = strcmp(x->when, y->when);
    return d ? d : strcmp(x->commit, y->commit);
}

static void list_commits(const pm_run_set *runs, pm_history *h) {
    first_run *first = pm_xalloc(((size_t)runs->n + 1) * sizeof *first);
    int n = 0;
    for (int i = 0; i < runs->n; i++) {
        const pm_recorded *r = &runs->run[i];
        int k = 0;
        if (!counts(r)) continue;
        while (k < n && strcmp(first[k].commit, r->commit) != 0) k++;
        if (k == n) first[n++] = (first_run){r->commit, r->started};
        if (strcmp(r->started, first[k].when) < 0) first[k].when = r->started;
    }
    if (n) qsort(first, (size_t)n, sizeof *first, by_time);
    h->commit = pm_arena_zalloc(h->keep, ((size_t)n + 1) * sizeof(char *), PM_MEM_WORKSPACE);
    h->when = pm_arena_zalloc(h->keep, ((size_t)n + 1) * sizeof(char *), PM_MEM_WORKSPACE);
    for (; h->n_commits < n; h->n_commits++) {
        h->commit[h->n_commits] = pm_arena_strdup(h->keep, first[h->n_commits].commit);
        h->when[h->n_commits] = pm_arena_strdup(h->keep, first[h->n_commits].when);
    }
    free(first);
}

/* ---- series -------------------------------------------------------------------------------------------------------------- */

/* Runs of one configuration, whatever their commit and seed. */
typedef struct group {
    const pm_recorded **run;
    int n;
    const char *name;
} group;

static group *group_runs(const pm_run_set *runs, int *n) {
    group *list = pm_xalloc(((size_t)runs->n + 1) * sizeof *list);
    *n = 0;
    for (int i = 0; i < runs->n; i++) {
        int k = 0;
        if (!counts(&runs->run[i])) continue;
        while (k < *n && !pm_same_config(list[k].run[0], &runs->run[i])) k++;
        if (k == *n) list[(*n)++].run = pm_xalloc((size_t)runs->n * sizeof(void *));
        list[k].run[list[k].n++] = &runs->run[i];
    }
    return list;
}

/* Names the first run of each group, which all have one seed for that. */
static void name_groups(group *list, int n, pm_arena *keep) {
    pm_run_set first = {.keep = keep, .run = pm_xalloc(((size_t)n + 1) * sizeof *first.run), .n = n};
    for (int i = 0; i < n; i++) first.run[i] = *list[i].run[0], first.run[i].seed = 0;
    pm_run_set_name(&first);
    for (int i = 0; i < n; i++) list[i].name = first.run[i].name;
    free(first.run);
}

/* Sets come ordered by seed and then the latest run first: of one seed and commit the first counts. */
static bool is_latest(const group *g, int i) {
    for (int k = 0; k < i; k++)
        if (g->run[k]->seed == g->run[i]->seed && strcmp(g->run[k]->commit, g->run[i]->commit) == 0)
            return false;
    return true;
}

static void add_series(pm_history *h, const group *g, const double *x, pm_series s) {
    size_t room = (size_t)h->n_commits + 1;
    s.name = g->name, s.task = pm_arena_strdup(h->keep, g->run[0]->task);
    s.model_hash = pm_arena_strdup(h->keep, g->run[0]->model_hash);
    s.commit = pm_arena_zalloc(h->keep, room * sizeof *s.commit, PM_MEM_WORKSPACE);
    s.value = pm_arena_zalloc(h->keep, room * sizeof *s.value, PM_MEM_WORKSPACE);
    s.level = pm_arena_zalloc(h->keep, room * sizeof *s.level, PM_MEM_WORKSPACE);
    for (int c = 0; c < h->n_commits; c++) {
        double sum = 0;
        int n = 0;
        for (int i = 0; i < g->n; i++)
            if (isfinite(x[i]) && strcmp(g->run[i]->commit, h->commit[c]) == 0 && is_latest(g, i))
                sum += x[i], n++;
        if (n) s.commit[s.n] = c, s.value[s.n++] = sum / n;
    }
    if (s.n < 2) return;
    double scale = s.score ? 1 : fabs(s.value[0]);
    s.floor *= scale;
    s.n_levels =
        pm_steps_fit(s.value, s.n, pm_steps_penalty(s.value, s.n, s.floor, h->keep), s.level, h->keep);
    h->series = pm_xrealloc(h->series, (size_t)(h->n_series + 1) * sizeof *h->series);
    h->series[h->n_series++] = s;
}

/* Half a point, or half a percent of an nll, is worth a line; of counted numbers everything is, of times two percent. */
static const double score_floor = 0.005, count_floor = 1e-9, time_floor = 0.02;

static void add_score(pm_history *h, const group *g, double *x) {
    bool more = true;
    const pm_recorded *like = g->run[0];
    if (!*like->metric || pm_metric_direction(like->metric, &more, NULL) != PM_OK) return;
    for (int i = 0; i < g->n; i++) {
        const pm_recorded *r = g->run[i];
        bool same = strcmp(r->metric, like->metric) == 0 && strcmp(r->split, like->split) == 0 &&
                    r->version == like->version;
        x[i] = same ? r->score : (double)NAN;
    }
    add_series(h, g, x,
               (pm_series){.what = pm_arena_strdup(h->keep, like->metric),
                           .better = more ? 1 : -1,
                           .score = true,
                           .floor = score_floor});
}

static void add_counts(pm_history *h, const group *g, double *x) {
    static const char *const of[][2] = {{"flops", "flops_"}, {"memory_bytes", "memory_"}};
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < g->n; i++) x[i] = sum_of(g->run[i], of[k][1]);
        add_series(h, g, x, (pm_series){.what = of[k][0], .better = -1, .floor = count_floor});
    }
}

static pm_status add_times(pm_db *d, pm_history *h, const group *g, const char *host, double *x, pm_err *e) {
    pm_status s = PM_OK;
    for (int i = 0; i < g->n && s == PM_OK; i++) {
        bool here = strcmp(g->run[i]->host, host) == 0;
        x[i] = (double)NAN;
        h->other_machines |= !here;
        if (here) s = read_step_time(d, g->run[i], &x[i], e);
    }
    if (s == PM_OK) add_series(h, g, x, (pm_series){.what = "step_s", .better = -1, .floor = time_floor});
    return s;
}

static const char *newest_host(const pm_run_set *runs) {
    const pm_recorded *newest = NULL;
    for (int i = 0; i < runs->n; i++)
        if (counts(&runs->run[i]) && (!newest || runs->run[i].id > newest->id)) newest = &runs->run[i];
    return newest ? newest->host : "";
}

static pm_status add_all(pm_db *d, const pm_run_set *runs, pm_history *h, pm_err *e) {
    int n;
    group *list = group_runs(runs, &n);
    name_groups(list, n, h->keep);
    double *x = pm_xalloc(((size_t)runs->n + 1) * sizeof *x);
    const char *host = newest_host(runs);
    pm_status s = PM_OK;
    for (int i = 0; i < n && s == PM_OK; i++) {
        add_score(h, &list[i], x);
        add_counts(h, &list[i], x);
        s = add_times(d, h, &list[i], host, x, e);
    }
    for (int i = 0; i < n; i++) free(list[i].run);
    free(list), free(x);
    return s;
}

/* Most databases hold runs of one commit: then nothing else is read. */
static bool has_two_commits(pm_db *d) {
    static const char sql[] =
        "SELECT count(*) FROM (SELECT 1 FROM runs WHERE status = 'ok' GROUP BY commit_id LIMIT 2)";
    sqlite3_stmt *st = NULL;
    bool two =
        sqlite3_prepare_v2(pm_db_handle(d), sql, -1, &st, NULL) != SQLITE_OK || /* the next query says why */
        sqlite3_step(st) != SQLITE_ROW || sqlite3_column_int(st, 0) > 1;
    sqlite3_finalize(st);
    return two;
}

pm_status pm_history_read(pm_db *d, const char *sweep, pm_history *out, pm_err *e) {
    pm_run_set runs = {0};
    *out = (pm_history){.keep = pm_arena_new("history", 0)};
    if (!has_two_commits(d)) return PM_OK;
    pm_status s = pm_run_set_all(d, sweep, &runs, e);
    if (s == PM_OK) {
        list_commits(&runs, out);
        s = add_all(d, &runs, out, e);
    }
    pm_run_set_close(&runs);
    return s;
}

void pm_history_free(pm_history *h) {
    free(h->series);
    pm_arena_free(h->keep);
    *h = (pm_history){0};
}

/* ---- what it says -------------------------------------------------------------------------------------------------------- */

const pm_level *pm_series_best(const pm_series *s) {
    const pm_level *best = NULL;
    for (int i = 0; i + 1 < s->n_levels; i++)
        if (!best || s->better * (s->level[i].value - best->value) > 0) best = &s->level[i];
    return best;
}

bool pm_series_is_worse(const pm_series *s) {
    const pm_level *best = pm_series_best(s);
    return best && s->better * (best->value - s->level[s->n_levels - 1].value) >= s->floor;
}
