/* cmd_plot.c - figures out of a database, one file each. */
#include "cmd.h"
#include "plot.h"
#include "sweep.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

typedef struct options {
    const char *db, *kind, *format, *sweep, *task, *metric, *out;
    bool badge;
} options;

typedef struct format {
    const char *name;
    pm_plot_print *print;
    const char *prolog;
} format;
static const format formats[] = {{"svg", pm_plot_svg, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"},
                                 {"png", pm_plot_png, ""}};
enum { N_FORMATS = sizeof formats / sizeof *formats };

static pm_status find_format(const char *name, const format **out, pm_err *e) {
    for (int i = 0; i < N_FORMATS; i++)
        if (strcmp(formats[i].name, name) == 0) return *out = &formats[i], PM_OK;
    pm_fail(e, PM_EUSAGE, "plot: there is no format %.64s", name);
    return pm_hint(e, "--format svg or --format png");
}

/* ---- files --------------------------------------------------------------------------------------------------------------- */

static pm_status cannot(const char *path, const char *doing, pm_err *e) {
    pm_fail(e, PM_EIO, "%s: %s: %s", path, doing, strerror(errno));
    return pm_hint(e, "check that it may be written and has room, or name another folder with --out");
}

static pm_status write_file(const char *path, const char *prolog, const pm_buf *b, pm_err *e) {
    FILE *f = fopen(path, "w");
    if (!f) return cannot(path, "open", e);
    bool ok = fputs(prolog, f) >= 0 && fwrite(b->p, 1, b->n, f) == b->n;
    if (fclose(f) != 0) ok = false;
    return ok ? PM_OK : cannot(path, "write", e);
}

static void tell(const pm_report_input *in, const pm_plot_kind *k, int model, int task, const char *path,
                 cJSON *list) {
    if (!list) {
        if (!pm_global.quiet) printf("%s\n", path);
        return;
    }
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kind", k->name);
    cJSON_AddStringToObject(o, "model", in->r->setup[model].model);
    cJSON_AddStringToObject(o, "task", in->r->task[task].name);
    cJSON_AddStringToObject(o, "title", k->title);
    cJSON_AddStringToObject(o, "caption", k->caption);
    cJSON_AddStringToObject(o, "file", path);
    cJSON_AddItemToArray(list, o);
}

/* ---- figures ------------------------------------------------------------------------------------------------------------- */

typedef struct maker {
    const options *o;
    const format *f;
    pm_db *d;
    cJSON *list; /* NULL: paths are printed as they come */
    int made;
    pm_err first; /* the first kind of which there was nothing */
} maker;

static pm_status make_one(maker *m, const pm_report_input *in, const pm_plot_kind *k, int model, int task,
                          pm_err *e) {
    char key[PM_PLOT_KEY], name[PM_PLOT_KEY + 8], path[4096];
    pm_buf b = {0};
    pm_plot_key(in->r, k, model, task, key);
    snprintf(name, sizeof name, "%s.%s", key, m->f->name);
    pm_status s = pm_path_join(path, sizeof path, m->o->out, name, e);
    if (s == PM_OK) s = m->f->print(in, k, model, task, &b, e);
    if (s == PM_OK && mkdir(m->o->out, 0777) != 0 && errno != EEXIST) s = cannot(m->o->out, "make folder", e);
    if (s == PM_OK) s = write_file(path, m->f->prolog, &b, e);
    if (s == PM_OK) m->made++, tell(in, k, model, task, path, m->list);
    pm_buf_free(&b);
    return s;
}

static pm_status make_kind(maker *m, const pm_plot_kind *k, pm_err *e) {
    const options *o = m->o;
    const pm_selection q = {.sweep = o->sweep,
                            .task = o->task,
                            .metric = o->metric,
                            .tuning = k->tuning,
                            .outcomes = k->outcomes};
    pm_results r;
    pm_status s = pm_results_load(m->d, o->db, &q, &r, e);
    const pm_report_input in = {.db = m->d, .path = o->db, .r = &r, .badge = o->badge};
    if (s == PM_EUSAGE && !m->first.code) m->first = *e;
    for (int task = 0; task < r.n_tasks && s == PM_OK; task++)
        for (int i = 0; i < r.n_setups && s == PM_OK; i = pm_model_end(&r, i)) {
            s = make_one(m, &in, k, i, task, e);
            if (s == PM_EUSAGE && !m->first.code) m->first = *e;
            if (s == PM_EUSAGE) s = PM_OK; /* nothing of that kind here */
        }
    pm_results_free(&r);
    return s == PM_EUSAGE ? PM_OK : s;
}

static pm_status make_all(maker *m, const pm_plot_kind *only, pm_err *e) {
    pm_status s = PM_OK;
    for (const pm_plot_kind *k = pm_plot_kinds; k->name && s == PM_OK; k++)
        if (!only || k == only) s = make_kind(m, k, e);
    if (s == PM_OK && !m->made) *e = m->first, s = m->first.code;
    return s;
}

static pm_status plot(int argc, char **argv, pm_err *e) {
    options o = {.db = "results/results.db", .kind = "all", .format = "svg", .out = "figures"};
    const pm_opt opts[] = {{.name = "--db", .value = &o.db},
                           {.name = "--kind", .value = &o.kind},
                           {.name = "--format", .value = &o.format},
                           {.name = "--sweep", .value = &o.sweep},
                           {.name = "--task", .value = &o.task},
                           {.name = "--metric", .value = &o.metric},
                           {.name = "--badge", .flag = &o.badge},
                           {.name = "--out", .value = &o.out},
                           {.name = NULL}};
    maker m = {.o = &o};
    const pm_plot_kind *only = NULL;
    bool more_is_better;
    pm_status s = pm_opts_parse(opts, &argc, argv, e);
    if (s == PM_OK) s = pm_args_check(argc, argv, 0, 0, e);
    if (s == PM_OK) s = find_format(o.format, &m.f, e);
    if (s == PM_OK && strcmp(o.kind, "all") != 0 && !(only = pm_plot_kind_find(o.kind, e))) s = PM_EUSAGE;
    if (s == PM_OK && o.metric) s = pm_metric_direction(o.metric, &more_is_better, e);
    if (s == PM_OK) s = pm_db_open_readonly(o.db, &m.d, e);
    if (s == PM_OK && pm_global.json) m.list = cJSON_CreateArray();
    if (s == PM_OK) s = make_all(&m, only, e);
    if (s == PM_OK && m.list)
        pm_json_print(m.list);
    else
        cJSON_Delete(m.list);
    pm_db_close(m.d);
    return s;
}

const pm_command pm_cmd_plot = {
    .name = "plot",
    .summary = "figures from the database, drawn by gnuplot: SVG and PNG",
    .help =
        "usage: peftmeter plot [--db FILE] [--kind KIND] [--format svg|png] [--out DIR] [options]\n"
        "\n"
        "Kinds\n"
        "  accuracy    score with its 95% interval against trainable parameters, and the Pareto front\n"
        "  loss        training loss by step, mean over seeds\n"
        "  memory      what each category held in training, stacked\n"
        "  throughput  tokens/s, with the 10th to 90th percentile of the steps\n"
        "  budget      best validation score to expect of k tuning trials\n"
        "  history     scores by commit, and the levels between which they changed for good\n"
        "  all         every kind of which something was measured (default)\n"
        "\n"
        "  --db FILE      database (results/results.db)\n"
        "  --format F     svg (default), or png with 300 dots to the inch at 7.2 inches\n"
        "  --out DIR      folder for the files (figures), made when it is not there: KIND.svg; with several "
        "tasks\n"
        "                 KIND-TASK.svg, with several models KIND-MODEL-TASK.svg\n"
        "  --sweep NAME   runs of this sweep (default: the only sweep, else all runs but tuning trials)\n"
        "  --task NAME    only this task\n"
        "  --metric NAME  instead of the task's first of acc, exact_match, nll\n"
        "  --badge        draw rows that are not comparable and mark them, instead of refusing\n"
        "\n"
        "  peftmeter plot --db results/demo.db\n"
        "  peftmeter plot --db results/demo.db --kind accuracy --format png --out paper\n"
        "\n"
        "Prints the files' names. The same database, gnuplot version and fonts give the same bytes. The "
        "looks are in\n"
        "plots/*.gp. Exit 2: nothing measured; 3: no such database, no gnuplot (`make deps` installs it).\n",
    .run = plot,
    .light = true,
};
