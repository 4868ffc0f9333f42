/* plot_label.c - each label tries places around its point, nearest first, and takes the one with the least overlap; then all try again, now that
 * the others stand, until none moves.
 */
#include "plot_label.h"

#include <math.h>
#include <stdlib.h>

enum { DIRECTIONS = 16, RINGS = 12, ROUNDS = 20 };

static double overlap(pm_box a, pm_box b) {
    double w = fmin(a.x1, b.x1) - fmax(a.x0, b.x0), h = fmin(a.y1, b.y1) - fmax(a.y0, b.y0);
    return w > 0 && h > 0 ? w * h : 0;
}

static double area_outside(pm_box a, pm_box frame) {
    return (a.x1 - a.x0) * (a.y1 - a.y0) - overlap(a, frame);
}

/* In halves of the box, those first that read best: right, left, their corners, what lies between, above and below. */
static pm_box candidate(const pm_label *l, int direction, int ring) {
    static const signed char dx[DIRECTIONS] = {2, -2, 2, 2, -2, -2, 2, 2, -2, -2, 1, 1, -1, -1, 0, 0},
                             dy[DIRECTIONS] = {0, 0, -2, 2, -2, 2, -1, 1, -1, 1, -2, 2, -2, 2, -2, 2};
    double gap = 7 + 8.0 * ring, diagonal = abs(dx[direction] * dy[direction]) == 4 ? 0.75 : 1;
    double x = l->x + 0.5 * dx[direction] * (gap * diagonal + l->width / 2);
    double y = l->y + 0.5 * dy[direction] * (gap * diagonal + l->height / 2);
    return (pm_box){x - l->width / 2, y - l->height / 2, x + l->width / 2, y + l->height / 2};
}

/* To touch at all costs as much as a long way: a label that grazes a point reads as part of it. */
static double price(double area) {
    return area > 0 ? 200 + 10 * area : 0;
}

/* Overlap with labels and the frame's outside weighs more than with drawn things, and any overlap more than distance. */
static double cost(const pm_label *label, int n, int i, pm_box b, const pm_box *taken, int n_taken,
                   pm_box frame) {
    double c = 4 * price(area_outside(b, frame));
    for (int k = 0; k < n_taken; k++) c += price(overlap(b, taken[k]));
    for (int k = 0; k < n; k++)
        if (k != i) c += 4 * price(overlap(b, label[k].box));
    return c;
}

static bool choose(pm_label *label, int n, int i, const pm_box *taken, int n_taken, pm_box frame) {
    pm_box best = label[i].box;
    double least = (double)INFINITY;
    for (int ring = 0; ring < RINGS; ring++)
        for (int d = 0; d < DIRECTIONS; d++) {
            pm_box b = candidate(&label[i], d, ring);
            double c = cost(label, n, i, b, taken, n_taken, frame) + 20 * ring + d;
            if (c >= least) continue;
            least = c, best = b;
            label[i].leader = ring > 0;
        }
    bool moved = best.x0 != label[i].box.x0 || best.y0 != label[i].box.y0;
    label[i].box = best;
    return moved;
}

void pm_labels_place(pm_label *label, int n, const pm_box *taken, int n_taken, pm_box frame) {
    for (int i = 0; i < n; i++) label[i].box = (pm_box){0};
    bool moved = true;
    for (int round = 0; round < ROUNDS && moved; round++) {
        moved = false;
        for (int i = 0; i < n; i++) moved |= choose(label, n, i, taken, n_taken, frame);
    }
}
