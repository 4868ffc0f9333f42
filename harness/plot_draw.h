/* plot_draw.h - what the makers of figures share: the picture's size, and writing data as statements of gnuplot.
 *
 * Lengths are in px of the SVG, whose width is 720, y downwards: 100 of them are an inch in print. The makers set the margins, so that they know where
 * everything will lie: labels are placed by us, for gnuplot does not know which of them overlap.
 */
#ifndef PM_PLOT_DRAW_H
#define PM_PLOT_DRAW_H
#include "plot.h"

enum {
    PM_PLOT_WIDTH = 720,
    PM_PLOT_FONT = 12,
    PM_PLOT_NAME_MOST = 34 /* characters of a name; the rest is cut */
};

typedef struct pm_plot {
    const pm_report_input *in;
    int first, end, task;         /* rows [first, end) of in->r */
    int height;                   /* of the picture */
    int left, right, top, bottom; /* from its edges to the axes */
    pm_buf data;                  /* statements that set ranges, texts and $tables for the template */
} pm_plot;

/* ---- texts ---- */

/* s as a string of gnuplot, whatever bytes it holds: what is not UTF-8 becomes U+FFFD, control characters become spaces, and what is longer
 * than `most` characters ends with "...". */
void pm_plot_quote(const char *s, int most, pm_buf *out);
void pm_plot_set_text(pm_plot *p, const char *variable, const char *s);
void pm_plot_set_names(pm_plot *p, char *const *name, int n); /* n, name[1] ... name[n] */
/* The same, and room for a legend at the right, a line a name. */
void pm_plot_set_legend(pm_plot *p, char *const *name, int n);
void pm_plot_add_label(pm_plot *p, const char *s, double x, double y, const char *align);
void pm_plot_add_line(pm_plot *p, double x0, double y0, double x1, double y1);
/* About how wide the text is when it is drawn: not less than it is, in the fonts that are common. */
double pm_plot_text_width(const char *s);
double pm_plot_names_width(char *const *name, int n); /* of the widest */
/* The row's name, with its badge (f may be NULL). The caller frees it. */
char *pm_plot_row_name(const pm_plot *p, const pm_fair *f, int setup);

/* ---- numbers ---- */

void pm_plot_begin(pm_plot *p, const char *table);    /* what follows are rows of $table ... */
void pm_plot_row(pm_plot *p, const double *x, int n); /* NaN for what is not measured */
void pm_plot_next(pm_plot *p);                        /* ... of its next block (`index`) ... */
void pm_plot_end(pm_plot *p);                         /* ... until here */
void pm_plot_range(pm_plot *p, char axis, double low, double high);
/* Powers of ten; of a range that has few of them also their doubles and halves. */
void pm_plot_log_tics(pm_plot *p, char axis, double low, double high);

/* ---- kinds ---- */
pm_plot_fn pm_plot_accuracy, pm_plot_loss, pm_plot_memory, pm_plot_throughput, pm_plot_budget,
    pm_plot_history;
#endif
