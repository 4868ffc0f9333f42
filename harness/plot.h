/* plot.h - figures out of a database: a kind says what is drawn; its data become statements of gnuplot, its looks are a template, plots/NAME.gp.
 *
 * A figure shows the rows of one model on one task. gnuplot is a program of its own: it is started without a shell, reads our statements and
 * writes the picture; text of the database reaches it only as quoted strings in which every special byte is escaped.
 */
#ifndef PM_PLOT_H
#define PM_PLOT_H
#include "report.h"

struct pm_plot;
typedef pm_status pm_plot_fn(struct pm_plot *p, pm_err *e);

typedef struct pm_plot_kind {
    const char *name, *title;
    const char *caption;   /* what is drawn and how it came about, in sentences */
    const char *template_; /* in plots/ */
    bool tuning, outcomes; /* wants the trials instead of the final runs; every item (pm_selection) */
    pm_plot_fn *make;
} pm_plot_kind;
extern const pm_plot_kind pm_plot_kinds[]; /* ends with a row whose name is NULL */
const pm_plot_kind *pm_plot_kind_find(const char *name,
                                      pm_err *e); /* NULL: PM_EUSAGE with the nearest name */

/* Puts one picture into out: of in->r's task number `task` and of the model whose first row is `model` (go on with pm_model_end).
 * svg: the element without XML prolog, as wide as what holds it, its ids of this figure alone: any number of them fit in one page. png: 300 dots
 * to the inch at 7.2 inches. The same database, gnuplot version and fonts give the same bytes.
 * PM_EUSAGE "nothing measured": there is nothing of that kind. PM_ECHECK: the rows are not comparable. PM_EIO: no gnuplot. PM_EDB. */
typedef pm_status pm_plot_print(const pm_report_input *in, const pm_plot_kind *k, int model, int task,
                                pm_buf *out, pm_err *e);
pm_plot_print pm_plot_svg, pm_plot_png;

/* A word for this figure among those of the same results: accuracy; accuracy-TASK where there are several tasks, accuracy-MODEL-TASK where
 * there are several models. Of letters, digits, '.', '_' and '-': fit for ids and file names. */
enum { PM_PLOT_KEY = 160 };
void pm_plot_key(const pm_results *r, const pm_plot_kind *k, int model, int task, char out[PM_PLOT_KEY]);
#endif
