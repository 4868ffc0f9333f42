/* plot_gnuplot.h - running gnuplot, and its SVG made fit to stand in a page. */
#ifndef PM_PLOT_GNUPLOT_H
#define PM_PLOT_GNUPLOT_H
#include "text.h"

/* Feeds it `script` and appends what it draws to out. PM_EIO: it is not installed (with the package), or refuses: what it says. */
pm_status pm_gnuplot(const pm_buf *script, pm_buf *out, pm_err *e);
/* Appends gnuplot's document without prolog and titles, every id and what refers to it beginning with `key` (letters, digits, . _ -).
 * label: what readers are told that see no pictures. PM_EIO: not an SVG document. */
pm_status pm_svg_inline(const char *svg, const char *key, const char *label, int width, int height,
                        pm_buf *out, pm_err *e);
#endif
