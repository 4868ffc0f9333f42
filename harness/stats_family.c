/* stats_family.c - Holm's adjustment, compact letter display, claims. */
#include "stats_family.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Holm ---------------------------------------------------------------------------------------------------------------- */

typedef struct ranked {
    double p;
    int at;
} ranked;

static int by_p(const void *x, const void *y) {
    const ranked *a = x, *b = y;
    return a->p < b->p ? -1 : a->p > b->p ? 1 : a->at - b->at;
}

void pm_holm(const double *p, int n, pm_arena *scratch, double *adjusted) {
    size_t bytes = (size_t)n * sizeof(ranked);
    ranked *r = pm_arena_alloc(scratch, bytes, PM_MEM_WORKSPACE);
    int tested = 0;
    for (int i = 0; i < n; i++)
        if (isnan(p[i]))
            adjusted[i] = p[i];
        else
            r[tested++] = (ranked){p[i], i};
    qsort(r, (size_t)tested, sizeof *r, by_p);
    double least = 0;
    for (int k = 0; k < tested; k++) {
        least = fmax(least, fmin(1, (tested - k) * r[k].p));
        adjusted[r[k].at] = least;
    }
    pm_arena_recycle(scratch, r, bytes, PM_MEM_WORKSPACE);
}

/* ---- tie groups ---------------------------------------------------------------------------------------------------------- */

int pm_pair(int i, int j, int n) {
    return i * (2 * n - i - 1) / 2 + j - i - 1;
}

enum { MAX_GROUPS = 512 }; /* while inserting; what is left must fit the alphabet */
typedef struct groups {
    uint64_t of[MAX_GROUPS]; /* bit k: the thing in place k is a member */
    int n;
} groups;

/* A group inside another says nothing new. Of equal ones the first stays. */
static void absorb(groups *g) {
    int kept = 0;
    for (int i = 0; i < g->n; i++) {
        bool inside = false;
        for (int j = 0; j < g->n && !inside; j++)
            inside = j != i && (g->of[i] & ~g->of[j]) == 0 && (g->of[i] != g->of[j] || j < i);
        if (!inside) g->of[kept++] = g->of[i];
    }
    g->n = kept;
}

/* No group may hold both: such a group becomes two, one without each. */
static bool insert(groups *g, int k, int l) {
    uint64_t a = UINT64_C(1) << k, b = UINT64_C(1) << l;
    for (int i = 0, n = g->n; i < n; i++) {
        if ((g->of[i] & a) == 0 || (g->of[i] & b) == 0) continue;
        if (g->n == MAX_GROUPS) return false;
        g->of[g->n++] = g->of[i] & ~a;
        g->of[i] &= ~b;
    }
    return true;
}

static bool told_apart(const bool *differ, int i, int j, int n) {
    return differ[i < j ? pm_pair(i, j, n) : pm_pair(j, i, n)];
}

/* The group that has the better thing in the first place where they differ comes first. */
static int by_first_place(const void *x, const void *y) {
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y, first = (a ^ b) & -(a ^ b);
    return a == b ? 0 : (a & first) ? -1 : 1;
}

static void write_letters(const groups *g, const int *order, int n, char (*out)[PM_LETTERS_MAX + 1]) {
    for (int k = 0; k < n; k++) {
        int length = 0;
        for (int i = 0; i < g->n; i++)
            if (g->of[i] >> k & 1) out[order[k]][length++] = (char)('a' + i);
    }
}

bool pm_tie_letters(const bool *differ, const int *order, int n, char (*out)[PM_LETTERS_MAX + 1]) {
    for (int i = 0; i < n; i++) memset(out[order[i]], 0, sizeof *out);
    if (n < 1 || n > PM_TIES_MAX) return n == 0;
    groups g = {.of = {~UINT64_C(0) >> (PM_TIES_MAX - n)}, .n = 1};
    for (int k = 0; k < n; k++)
        for (int l = k + 1; l < n; l++) {
            if (!told_apart(differ, order[k], order[l], n)) continue;
            if (!insert(&g, k, l)) return false;
            absorb(&g);
        }
    if (g.n > PM_LETTERS_MAX) return false;
    qsort(g.of, (size_t)g.n, sizeof *g.of, by_first_place);
    write_letters(&g, order, n, out);
    return true;
}

/* ---- claims -------------------------------------------------------------------------------------------------------------- */

const char *pm_verdict_name(pm_verdict v) {
    static const char *const names[] = {
        [PM_UNDECIDED] = "undecided", [PM_SUPPORTED] = "supported", [PM_REFUTED] = "refuted"};
    return names[v];
}

/* Two-sided p, though each claim has a direction: at the margin itself both verdicts would be wrong. */
void pm_claims(const pm_method_difference *const *d, const double *margin, int n, pm_arena *scratch,
               pm_verdict *verdict, double *p_holm) {
    for (int i = 0; i < n; i++) p_holm[i] = d[i] ? pm_method_p(d[i], margin[i]) : (double)NAN;
    pm_holm(p_holm, n, scratch, p_holm);
    for (int i = 0; i < n; i++) {
        bool decided = p_holm[i] <= 0.05;
        verdict[i] = !decided ? PM_UNDECIDED : d[i]->effect > margin[i] ? PM_SUPPORTED : PM_REFUTED;
    }
}
