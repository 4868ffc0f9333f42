/* report_cost.c - reads what a run took.
 *
 * Why the first steps are left out: they touch the optimiser's memory for the first time and take two to nine times as long as a settled step.
 * How many, the run itself wrote (counter warmup_steps_dropped); the report only obeys.
 */
#include "report_cost.h"

#include "report_steps.h"
#include "stats_sample.h"
#include "text.h"
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const pm_cost_phase[PM_COST_PHASES] = {"load",     "data", "train",      "certificate",
                                                   "validate", "test", "forgetting", "save"};
const char *const pm_cost_flops[PM_COST_FLOPS] = {"flops_forward", "flops_input_grad", "flops_weight_grad",
                                                  "flops_optimizer"};

typedef struct reader {
    pm_db *d;
    int64_t run;
    const pm_cost_categories *categories;
    pm_cost *out;
} reader;

/* Calls row for each row of sql, whose only parameter is the run. */
static pm_status each(const reader *x, const char *sql,
                      void (*row)(const reader *x, sqlite3_stmt *st, void *ctx), void *ctx, pm_err *e) {
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(pm_db_handle(x->d), sql, -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(st, 1, x->run);
    while (rc == SQLITE_OK || rc == SQLITE_ROW)
        if ((rc = sqlite3_step(st)) == SQLITE_ROW) row(x, st, ctx);
    pm_status s = rc == SQLITE_DONE ? PM_OK : pm_db_unreadable(x->d, e);
    sqlite3_finalize(st);
    return s;
}

/* Negative times and counts were not measured. */
static double known(double x) {
    return x >= 0 ? x : (double)NAN;
}

static double number(sqlite3_stmt *st, int column) {
    return known(pm_db_real(st, column));
}

static bool is(sqlite3_stmt *st, int column, const char *name) {
    const char *s = (const char *)sqlite3_column_text(st, column);
    return s && strcmp(s, name) == 0;
}

static void take_counter(const reader *x, sqlite3_stmt *st, void *ctx) {
    pm_cost *c = x->out;
    const struct {
        const char *name;
        double *to;
    } plain[] = {{"gemm_calls", &c->gemm_calls},
                 {"allocations", &c->allocations},
                 {"warmup_steps_dropped", &c->warmup_dropped}};
    (void)ctx;
    for (int i = 0; i < PM_COST_FLOPS; i++)
        if (is(st, 0, pm_cost_flops[i])) c->flops[i] = number(st, 1);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (is(st, 0, plain[i].name)) *plain[i].to = number(st, 1);
}

static void take_phase(const reader *x, sqlite3_stmt *st, void *ctx) {
    (void)ctx;
    for (int i = 0; i < PM_COST_PHASES; i++)
        if (is(st, 0, pm_cost_phase[i])) x->out->phase_s[i] = number(st, 1);
    if (!is(st, 0, "train")) return;
    x->out->train_rss_bytes = number(st, 2);
    x->out->train_live_bytes = number(st, 3);
}

static void take_memory(const reader *x, sqlite3_stmt *st, void *ctx) {
    (void)ctx;
    for (int i = 0; i < x->categories->n; i++)
        if (is(st, 0, x->categories->name[i])) x->out->memory[i] = number(st, 1);
}

static void take_roofline(const reader *x, sqlite3_stmt *st, void *ctx) {
    (void)ctx;
    x->out->roofline_gflops = number(st, 0);
}

static void take_whole(const reader *x, sqlite3_stmt *st, void *ctx) {
    (void)ctx;
    x->out->whole_s = number(st, 0);
}

/* ---- steps --------------------------------------------------------------------------------------------------------------- */

static bool is_timed(const pm_step_row *s, const pm_cost *c) {
    return isfinite(known(s->wall_s)) &&
           !(isfinite(c->warmup_dropped) && (double)s->step < c->warmup_dropped);
}

static void sum_up(const pm_step_row *step, int n, pm_cost *out) {
    double *wall = pm_xalloc((size_t)n * sizeof *wall), tokens = 0, label_tokens = 0, whole = 0;
    int timed = 0;
    if (n) out->steps = n;
    for (int i = 0; i < n; i++) {
        if (!is_timed(&step[i], out)) continue;
        whole += wall[timed++] = step[i].wall_s;
        tokens += known(step[i].tokens);
        label_tokens += known(step[i].label_tokens);
    }
    pm_sort(wall, timed);
    if (timed) {
        out->p50_s = pm_quantile(wall, timed, 0.50);
        out->p90_s = pm_quantile(wall, timed, 0.90);
        out->p99_s = pm_quantile(wall, timed, 0.99);
        out->steps_timed = timed;
    }
    if (whole > 0) out->tokens_per_s = tokens / whole, out->label_tokens_per_s = label_tokens / whole;
    free(wall);
}

/* NAN also above 1: a roofline that training went beyond was measured while something else ran. */
static double share(const pm_step_row *step, int n, const pm_cost *c) {
    double seconds = 0, operations = 0;
    for (int i = 0; i < n; i++) seconds += known(step[i].wall_s);
    for (int i = 0; i < PM_COST_FLOPS; i++) operations += c->flops[i];
    double x = 1e-9 * operations / seconds / c->roofline_gflops;
    return x > 0 && x <= 1 ? x : (double)NAN;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

pm_status pm_cost_read(pm_db *d, int64_t run, const pm_cost_categories *c, pm_cost *out, pm_err *e) {
    const reader x = {d, run, c, out};
    pm_step_row *step = NULL;
    int n = 0;
    for (size_t i = 0; i < sizeof *out / sizeof(double); i++) ((double *)out)[i] = (double)NAN;
    pm_status s = each(&x, "SELECT name, value FROM counters WHERE run_id = ?", take_counter, NULL, e);
    if (s == PM_OK)
        s = each(&x, "SELECT phase, wall_s, peak_rss_bytes, peak_live_bytes FROM phases WHERE run_id = ?",
                 take_phase, NULL, e);
    if (s == PM_OK) s = each(&x, "SELECT category, bytes FROM memory WHERE run_id = ?", take_memory, NULL, e);
    if (s == PM_OK)
        s = each(&x, "SELECT (julianday(finished_at) - julianday(started_at)) * 86400 FROM runs WHERE id = ?",
                 take_whole, NULL, e);
    if (s == PM_OK && pm_db_has_table(d, "roofline"))
        s = each(&x, "SELECT gflops FROM roofline WHERE run_id = ?", take_roofline, NULL, e);
    if (s == PM_OK) s = pm_steps_read(d, run, &step, &n, e);
    sum_up(step, n, out);
    out->roofline_share = share(step, n, out);
    free(step);
    return s;
}

static void take_category(const reader *x, sqlite3_stmt *st, void *ctx) {
    pm_cost_categories *c = ctx;
    const char *name = (const char *)sqlite3_column_text(st, 0);
    (void)x;
    for (int i = 0; i < c->n; i++)
        if (name && strcmp(name, c->name[i]) == 0) return;
    if (name && c->n < PM_COST_MEMORY) snprintf(c->name[c->n++], sizeof *c->name, "%s", name);
}

pm_status pm_cost_categories_read(pm_db *d, pm_cost_categories *out, pm_err *e) {
    static const char *const known[] = {"weights",   "adapter",     "gradients",
                                        "optimizer", "activations", "workspace"};
    const reader x = {.d = d};
    *out = (pm_cost_categories){0};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        snprintf(out->name[out->n++], sizeof *out->name, "%s", known[i]);
    return each(&x, "SELECT DISTINCT category FROM memory WHERE ? IS NOT NULL ORDER BY category",
                take_category, out, e);
}
