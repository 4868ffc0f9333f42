/* cmd_report.c - tables out of a database: a kind says what they show, a format how they are printed. */
#include "cmd.h"
#include "plot.h"
#include "report.h"
#include "sweep.h"
#include "text.h"

#include <string.h>

/* ---- kinds --------------------------------------------------------------------------------------------------------------- */

typedef struct kind {
    const char *name, *title;
    bool tuning, outcomes; /* reads the trials instead of the final runs; every item */
    pm_report_fn *fill;
} kind;
static const kind kinds[] = {
    {"paper", "Methods by tasks", false, true, pm_report_paper},
    {"leaderboard", "Leaderboard", false, true, pm_report_leaderboard},
    {"efficiency", "Efficiency", false, false, pm_report_efficiency},
    {"counts", "What is trained", false, false, pm_report_counts},
    {"budget", "Tuning budget", true, false, pm_report_budget},
    {"origin", "Settings and machines", false, false, pm_report_origin},
    {"history", "History", false, false, pm_report_history},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static pm_status find_kind(const char *name, const kind **out, pm_err *e) {
    const char *known[N_KINDS];
    for (int i = 0; i < N_KINDS; i++) {
        known[i] = kinds[i].name;
        if (strcmp(name, known[i]) == 0) return *out = &kinds[i], PM_OK;
    }
    const char *near = pm_nearest(name, known, N_KINDS);
    pm_fail(e, PM_EUSAGE, "report: there is no kind %.64s", name);
    return near ? pm_hint(e, "did you mean --kind %s?", near)
                : pm_hint(e, "`peftmeter report --help` lists them");
}

/* ---- output -------------------------------------------------------------------------------------------------------------- */

/* Leaves only the table of that key. */
static pm_status keep_table(pm_report *r, const char *key, pm_err *e) {
    pm_buf known = {0};
    for (int i = 0; i < r->n_tables; i++) {
        pm_buf_printf(&known, "%s%s", i ? ", " : "", r->tables[i]->key);
        if (strcmp(r->tables[i]->key, key) != 0) continue;
        pm_table *first = r->tables[0];
        r->tables[0] = r->tables[i];
        r->tables[i] = first;
        pm_report_shorten(r, 1);
        pm_buf_free(&known);
        return PM_OK;
    }
    pm_fail(e, PM_EUSAGE, "report: there is no table %.64s", key);
    pm_hint(e, "this kind has: %.200s", known.p);
    pm_buf_free(&known);
    return PM_EUSAGE;
}

typedef struct options {
    const char *db, *kind, *format, *sweep, *task, *metric, *table, *out;
    bool badge;
} options;

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

typedef struct loaded { /* final runs and trials, each read when a kind first needs it */
    pm_results results[2];
    bool there[2];
} loaded;

static pm_status load(pm_db *d, const options *o, const kind *k, bool outcomes, loaded *l, pm_err *e) {
    const pm_selection q = {
        .sweep = o->sweep, .task = o->task, .metric = o->metric, .tuning = k->tuning, .outcomes = outcomes};
    if (l->there[k->tuning]) return PM_OK;
    pm_status s = pm_results_load(d, o->db, &q, &l->results[k->tuning], e);
    if (s != PM_OK)
        pm_results_free(&l->results[k->tuning]);
    else
        l->there[k->tuning] = true;
    return s;
}

static pm_status fill(pm_db *d, const options *o, const kind *k, bool outcomes, loaded *l, pm_report *r,
                      pm_err *e) {
    pm_status s = load(d, o, k, outcomes, l, e);
    const pm_report_input in = {.db = d, .path = o->db, .r = &l->results[k->tuning], .badge = o->badge};
    return s == PM_OK ? k->fill(&in, r, e) : s;
}

/* Every kind of which something was measured; when nothing was, what the first said. */
static pm_status fill_all(pm_db *d, const options *o, loaded *l, pm_report *r, pm_err *e) {
    int filled = 0;
    for (int i = 0; i < N_KINDS; i++) {
        pm_err why = {0};
        int before = r->n_tables;
        pm_status s = fill(d, o, &kinds[i], !kinds[i].tuning, l, r, &why);
        if (s != PM_OK && (i == 0 || s != PM_EUSAGE)) *e = why;
        if (s != PM_OK && s != PM_EUSAGE) return s;
        if (s == PM_EUSAGE) pm_report_shorten(r, before);
        filled += s == PM_OK;
    }
    return filled ? PM_OK : PM_EUSAGE;
}

/* ---- figures of the page ------------------------------------------------------------------------------------------------- */

static pm_status add_figure(const pm_report_input *in, const pm_plot_kind *k, int model, int task,
                            pm_report *r, pm_err *e) {
    char key[PM_PLOT_KEY];
    pm_buf svg = {0}, title = {0};
    pm_status s = pm_plot_svg(in, k, model, task, &svg, e);
    pm_plot_key(in->r, k, model, task, key);
    pm_buf_puts(&title, k->title);
    if (in->r->n_tasks > 1) pm_buf_printf(&title, ", %s", in->r->task[task].name);
    if (in->r->several_models) pm_buf_printf(&title, ", %s", in->r->setup[model].model);
    if (s == PM_OK) pm_report_add_figure(r, key, title.p, k->caption, svg.p);
    pm_buf_free(&svg), pm_buf_free(&title);
    return s == PM_EUSAGE ? PM_OK : s; /* nothing of that kind */
}

static pm_status add_figures_of(const pm_report_input *in, const pm_plot_kind *k, pm_report *r, pm_err *e) {
    pm_status s = PM_OK;
    for (int task = 0; task < in->r->n_tasks && s == PM_OK; task++)
        for (int i = 0; i < in->r->n_setups && s == PM_OK; i = pm_model_end(in->r, i))
            s = add_figure(in, k, i, task, r, e);
    return s;
}

/* Of every kind whose rows were read. Without gnuplot the page has tables alone, and the user is told. */
static pm_status add_figures(pm_db *d, const options *o, const loaded *l, pm_report *r, pm_err *e) {
    pm_status s = PM_OK;
    for (const pm_plot_kind *k = pm_plot_kinds; k->name && s == PM_OK; k++) {
        const pm_report_input in = {.db = d, .path = o->db, .r = &l->results[k->tuning], .badge = o->badge};
        if (l->there[k->tuning]) s = add_figures_of(&in, k, r, e);
    }
    if (s != PM_EIO) return s;
    if (!pm_global.quiet) fprintf(stderr, "note: the page has no figures: %s (%s)\n", e->msg, e->hint);
    return PM_OK;
}

/* ---- its title ----------------------------------------------------------------------------------------------------------- */

enum { NAMED_MAX = 4 }; /* more are counted */

static void put_models(const pm_results *r, pm_buf *out) {
    int n = 0;
    for (int i = 0; i < r->n_setups; i = pm_model_end(r, i)) n++;
    if (n > NAMED_MAX) {
        pm_buf_printf(out, "%d models", n);
        return;
    }
    for (int i = 0; i < r->n_setups; i = pm_model_end(r, i))
        pm_buf_printf(out, "%s%s", i ? ", " : "", r->setup[i].model);
}

static void put_tasks(const pm_results *r, pm_buf *out) {
    if (r->n_tasks > NAMED_MAX) {
        pm_buf_printf(out, "%d tasks", r->n_tasks);
        return;
    }
    for (int t = 0; t < r->n_tasks; t++) pm_buf_printf(out, "%s%s", t ? ", " : "", r->task[t].name);
}

/* "Methods by tasks: tiny on tiny_facts"; of all kinds the names alone. */
static void name_report(const kind *k, const loaded *l, pm_report *r) {
    const pm_results *of = l->there[0] ? &l->results[0] : l->there[1] ? &l->results[1] : NULL;
    pm_buf b = {0};
    if (!of) return;
    if (k) pm_buf_printf(&b, "%s: ", k->title);
    put_models(of, &b);
    pm_buf_puts(&b, " on ");
    put_tasks(of, &b);
    pm_report_rename(r, b.p);
    pm_buf_free(&b);
}

/* ---- making it ----------------------------------------------------------------------------------------------------------- */

static pm_status make(pm_db *d, const options *o, const kind *k, const pm_format *f, pm_err *e) {
    loaded l = {0};
    pm_report *report = pm_report_new(k ? k->title : "Nothing measured");
    pm_status s = k ? fill(d, o, k, k->outcomes, &l, report, e) : fill_all(d, o, &l, report, e);
    if (s == PM_OK && !k && strcmp(f->name, "html") == 0) s = add_figures(d, o, &l, report, e);
    if (s == PM_OK) name_report(k, &l, report);
    if (s == PM_OK && o->table) s = keep_table(report, o->table, e);
    if (s == PM_OK) s = pm_report_write(report, f, o->out, e);
    for (int i = 0; i < 2; i++)
        if (l.there[i]) pm_results_free(&l.results[i]);
    pm_report_free(report);
    return s;
}

/* NULL is all kinds: of a page the default, of a table the paper's. */
static pm_status choose_kind(const options *o, const pm_format *f, const kind **out, pm_err *e) {
    const char *name = o->kind ? o->kind : strcmp(f->name, "html") == 0 ? "all" : "paper";
    *out = NULL;
    return strcmp(name, "all") == 0 ? PM_OK : find_kind(name, out, e);
}

static pm_status report(int argc, char **argv, pm_err *e) {
    options o = {.db = "results/results.db", .format = pm_global.json ? "json" : "text"};
    const pm_opt opts[] = {{.name = "--db", .value = &o.db},         {.name = "--kind", .value = &o.kind},
                           {.name = "--format", .value = &o.format}, {.name = "--sweep", .value = &o.sweep},
                           {.name = "--task", .value = &o.task},     {.name = "--metric", .value = &o.metric},
                           {.name = "--badge", .flag = &o.badge},    {.name = "--table", .value = &o.table},
                           {.name = "--out", .value = &o.out},       {.name = NULL}};
    const kind *k = NULL;
    const pm_format *f = NULL;
    pm_db *d = NULL;
    pm_status s = pm_opts_parse(opts, &argc, argv, e);
    if (s == PM_OK) s = pm_args_check(argc, argv, 0, 0, e);
    if (s == PM_OK) s = pm_format_find(o.format, &f, e);
    if (s == PM_OK) s = choose_kind(&o, f, &k, e);
    bool more_is_better;
    if (s == PM_OK && o.metric) s = pm_metric_direction(o.metric, &more_is_better, e);
    if (s == PM_OK) s = pm_db_open_readonly(o.db, &d, e);
    if (s == PM_OK) s = make(d, &o, k, f, e);
    pm_db_close(d);
    return s;
}

const pm_command pm_cmd_report = {
    .name = "report",
    .summary = "tables from the database: means, intervals, tie groups, in six formats",
    .help =
        "usage: peftmeter report [--db FILE] [--kind KIND] [--format FORMAT] [options]\n"
        "\n"
        "Kinds\n"
        "  paper        methods by tasks: mean with its 95% interval over seeds and items, tie groups, "
        "what was trained (default)\n"
        "  leaderboard  best first, one table a task: places a row can have, gain over the untuned model\n"
        "  efficiency   speed of training, where time and memory go, operations\n"
        "  counts       trainable and total numbers, both percentages, bytes\n"
        "  budget       best validation score to expect of k trials, learning-rate tolerance\n"
        "  origin       every setting of every row, builds and machines\n"
        "  history      each row's numbers over the commits there are runs of, and their last change that "
        "stayed\n"
        "  all          all of these that have something to show\n"
        "\n"
        "Formats: text (default), md, latex (booktabs), csv, json, html. csv holds one table, the first; "
        "html is one "
        "page with all kinds\n"
        "and figures (default kind: all), which needs no other file and no network.\n"
        "\n"
        "  --db FILE      database (results/results.db)\n"
        "  --sweep NAME   final runs of this sweep (default: the only sweep, else all runs but tuning "
        "trials)\n"
        "  --task NAME    only this task\n"
        "  --metric NAME  instead of the task's first of acc, exact_match, nll\n"
        "  --badge        print rows that are not comparable and mark them, instead of refusing\n"
        "  --table KEY    only this table of the report\n"
        "  --out FILE     write there instead of standard output\n"
        "\n"
        "  peftmeter report --db results/demo.db\n"
        "  peftmeter report --db results/demo.db --kind paper --format latex --out paper.tex\n"
        "\n"
        "The same database gives the same bytes on any machine. Exit 2: nothing measured; 3: no such "
        "database.\n",
    .run = report,
    .light = true,
};
