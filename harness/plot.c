/* plot.c - a figure: its kind's maker gives the data, plots/common.gp and the kind's template the looks, gnuplot the picture. */
#include "plot.h"

#include "cmd.h"
#include "plot_draw.h"
#include "plot_gnuplot.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>

const pm_plot_kind pm_plot_kinds[] = {
    {"accuracy", "Score against trainable parameters",
     "Mean over seeds with its 95 % interval (as in the table of methods) against the numbers that training "
     "changes, on a logarithmic "
     "axis. Filled: on the Pareto front, no other method has at least that mean with as few parameters; rows "
     "on it may "
     "still be within each other's noise. Rows that train as many, or nearly, stand side by side. Dashed: "
     "the untuned model, shaded its interval.",
     "accuracy.gp", false, true, pm_plot_accuracy},
    {"loss", "Training loss",
     "Loss of each training step in nats per labelled token, mean over the final runs of a method; where the "
     "axis says so, each point "
     "is the mean of the steps around it.",
     "loss.gp", false, false, pm_plot_loss},
    {"memory", "Memory of training by category",
     "Mean over the runs of a method. Each category as much as it ever held in training. The diamond is the "
     "most that was held at one "
     "time of what the program counts: weights in memory of its own, adapter, gradients, optimizer, "
     "activations and workspace. In "
     "brackets what the operating system saw resident.",
     "memory.gp", false, false, pm_plot_memory},
    {"throughput", "Training speed",
     "Real tokens (no padding) of the timed steps over their wall time, mean over the runs of a method; the "
     "bar reaches from the 10th to "
     "the 90th percentile of single steps of all these runs. The first steps, which touch memory for the "
     "first time, are not timed.",
     "throughput.gp", false, false, pm_plot_throughput},
    {"budget", "What tuning is worth",
     "Validation score to expect of the best of k trials drawn from those that were done (Dodge et al. "
     "2019); bars: one standard deviation to both "
     "sides, within the scores seen. Methods stand a little beside each other.",
     "budget.gp", true, false, pm_plot_budget},
    {"history", "Scores by commit",
     "Mean over seeds of each commit's runs, and the levels between which they changed for good (L1 Potts "
     "model). Rows stand a "
     "little beside each other. For a look: whether a commit changed anything, `regress` decides.",
     "history.gp", false, false, pm_plot_history},
    {NULL, NULL, NULL, NULL, false, false, NULL},
};

const pm_plot_kind *pm_plot_kind_find(const char *name, pm_err *e) {
    const char *known[16];
    int n = 0;
    for (const pm_plot_kind *k = pm_plot_kinds; k->name; k++) {
        if (strcmp(k->name, name) == 0) return k;
        known[n++] = k->name;
    }
    const char *near = pm_nearest(name, known, n);
    pm_fail(e, PM_EUSAGE, "plot: there is no kind %.64s", name);
    near ? pm_hint(e, "did you mean --kind %s?", near) : pm_hint(e, "`peftmeter plot --help` lists them");
    return NULL;
}

/* ---- names --------------------------------------------------------------------------------------------------------------- */

/* Appends "-text" with everything odd as '_'; false when there was any. */
static bool add_word(char *out, const char *text) {
    size_t n = strlen(out), most = n + 40;
    bool same = true;
    out[n++] = '-';
    for (; *text && n < most; text++) {
        bool plain = isalnum((unsigned char)*text) || strchr("._-", *text);
        out[n++] = plain ? *text : '_';
        same = same && plain;
    }
    out[n] = 0;
    return same && !*text;
}

void pm_plot_key(const pm_results *r, const pm_plot_kind *k, int model, int task, char out[PM_PLOT_KEY]) {
    bool same = true;
    snprintf(out, PM_PLOT_KEY, "%.20s", k->name);
    if (r->several_models) same = add_word(out, r->setup[model].model);
    if (r->several_models || r->n_tasks > 1) same = add_word(out, r->task[task].name) && same;
    /* Two names may have become one. */
    if (!same) snprintf(out + strlen(out), PM_PLOT_KEY - strlen(out), "-%d-%d", model, task);
}

/* ---- the script ---------------------------------------------------------------------------------------------------------- */

static pm_status add_template(const char *name, pm_buf *out, pm_err *e) {
    char dir[3072], plots[3584], path[4096];
    pm_status s = pm_root_dir(dir, sizeof dir, e);
    if (s == PM_OK) s = pm_path_join(plots, sizeof plots, dir, "plots", e);
    if (s == PM_OK) s = pm_path_join(path, sizeof path, plots, name, e);
    if (s != PM_OK) return s;
    FILE *f = fopen(path, "r");
    if (!f) {
        pm_fail(e, PM_EIO, "%s: open: %s", path, strerror(errno));
        return pm_hint(e, "the folder plots/ of the source tree belongs beside datasets/");
    }
    pm_buf_read(out, f);
    fclose(f);
    return PM_OK;
}

static void add_heading(pm_plot *p, pm_buf *label, const pm_plot_kind *k) {
    const pm_results *r = p->in->r;
    const char *task = r->task[p->task].name, *model = r->setup[p->first].model;
    pm_buf heading = {0};
    pm_buf_printf(&heading, "%.60s on %.60s%s%.60s", task, model, r->sweep[0] ? ", sweep " : "", r->sweep);
    pm_plot_set_text(p, "heading", heading.p);
    pm_buf_printf(label, "%s: %s", k->title, heading.p);
    pm_buf_free(&heading);
}

static void add_size(const pm_plot *p, bool png, pm_buf *out) {
    double w = PM_PLOT_WIDTH, h = p->height;
    enum { SCALE = 3 };
    if (png)
        pm_buf_printf(out,
                      "set terminal pngcairo size %d,%d noenhanced font 'sans-serif,%g' linewidth %d "
                      "background rgb 'white' dashlength 0.6\n",
                      SCALE * PM_PLOT_WIDTH, SCALE * p->height, PM_PLOT_FONT * 0.75 * SCALE, SCALE);
    else
        pm_buf_printf(out,
                      "set terminal svg size %d,%d dynamic noenhanced font 'sans-serif,%d' background rgb "
                      "'white' name 'figure'\n",
                      PM_PLOT_WIDTH, p->height, PM_PLOT_FONT);
    pm_buf_printf(out,
                  "scale = %d\nset encoding utf8\nset lmargin at screen %.5f\nset rmargin at screen "
                  "%.5f\nset tmargin at screen "
                  "%.5f\nset bmargin at screen %.5f\n",
                  png ? SCALE : 1, p->left / w, 1 - p->right / w, 1 - p->top / h, p->bottom / h);
}

static pm_status draw(const pm_report_input *in, const pm_plot_kind *k, int model, int task, bool png,
                      int *height, pm_buf *label, pm_buf *out, pm_err *e) {
    pm_plot p = {.in = in,
                 .first = model,
                 .end = pm_model_end(in->r, model),
                 .task = task,
                 .height = 450,
                 .left = 70,
                 .right = 20,
                 .top = 34,
                 .bottom = 88};
    pm_buf script = {0};
    pm_status s = k->make(&p, e);
    if (s == PM_OK) {
        add_heading(&p, label, k);
        add_size(&p, png, &script);
        pm_buf_put(&script, p.data.p, p.data.n);
        s = add_template("common.gp", &script, e);
    }
    if (s == PM_OK) s = add_template(k->template_, &script, e);
    if (s == PM_OK) s = pm_gnuplot(&script, out, e);
    *height = p.height;
    pm_buf_free(&script), pm_buf_free(&p.data);
    return s;
}

pm_status pm_plot_png(const pm_report_input *in, const pm_plot_kind *k, int model, int task, pm_buf *out,
                      pm_err *e) {
    int height;
    pm_buf label = {0};
    pm_status s = draw(in, k, model, task, true, &height, &label, out, e);
    pm_buf_free(&label);
    return s;
}

pm_status pm_plot_svg(const pm_report_input *in, const pm_plot_kind *k, int model, int task, pm_buf *out,
                      pm_err *e) {
    int height;
    char key[PM_PLOT_KEY];
    pm_buf label = {0}, svg = {0};
    pm_status s = draw(in, k, model, task, false, &height, &label, &svg, e);
    pm_plot_key(in->r, k, model, task, key);
    if (s == PM_OK) s = pm_svg_inline(svg.p, key, label.p, PM_PLOT_WIDTH, height, out, e);
    pm_buf_free(&label), pm_buf_free(&svg);
    return s;
}
