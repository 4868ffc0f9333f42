/* plot_label.h - where labels of points go so that they overlap neither each other nor what is drawn. Lengths in px, y downwards. */
#ifndef PM_PLOT_LABEL_H
#define PM_PLOT_LABEL_H
#include "base.h"

typedef struct pm_box {
    double x0, y0, x1, y1;
} pm_box;

typedef struct pm_label {
    double x, y; /* the point */
    double width, height;
    pm_box box;  /* out */
    bool leader; /* out: so far from its point that a line must join them */
} pm_label;

/* Boxes of all labels: within `frame`, away from `taken` and from each other as far as there is room. Deterministic. */
void pm_labels_place(pm_label *label, int n, const pm_box *taken, int n_taken, pm_box frame);
#endif
