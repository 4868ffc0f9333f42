/* op_embed.c - row gathers: token embedding (rows may repeat) and row selection (rows are distinct), whose
 * backward scatters; and putting rows back, whose backward gathers. */
#include "kernels.h"
#include "ops.h"
#include <string.h>

typedef struct rows_node {
    pm_node n; /* in: the table */
    const int32_t *idx;
} rows_node;

static pm_tensor *gather(pm_tape *t, const char *op, pm_tensor *w, const int32_t *idx, int64_t n,
                         void (*bwd)(pm_tape *, pm_node *)) {
    pm_tensor *y = pm_out(t, n, w->cols);
    const real *table = pm_data(t, w);
    for (int64_t i = 0; i < n; i++) {
        PM_ASSERT(idx[i] >= 0 && idx[i] < w->rows, "%s: row %d of [%lld,%lld]", op, idx[i],
                  (long long)w->rows, (long long)w->cols);
        memcpy(y->data + i * w->cols, table + idx[i] * w->cols, (size_t)w->cols * sizeof(real));
    }
    if (pm_wants_grad(t, w)) {
        rows_node *r = pm_record(t, sizeof *r, y, bwd);
        r->n.in[0] = w;
        r->idx = idx;
    }
    return y;
}

/* Columns are split over threads, tokens walked in order: repeated ids add up in one fixed order. */
static void embed_bwd(pm_tape *t, pm_node *n) {
    const int32_t *idx = ((rows_node *)n)->idx;
    int64_t C = n->out->cols, N = n->out->rows;
    const real *g = n->out->grad;
    real *dw = pm_grad(t, n->in[0], NULL);
    enum { COLS = 64 };
#pragma omp parallel for schedule(static) if (N * C >= PM_PARALLEL_FROM)
    for (int64_t j0 = 0; j0 < C; j0 += COLS) {
        int64_t hi = j0 + COLS < C ? j0 + COLS : C;
        for (int64_t i = 0; i < N; i++)
            for (int64_t j = j0; j < hi; j++) dw[idx[i] * C + j] += g[i * C + j];
    }
}

pm_tensor *pm_embed(pm_tape *t, const int32_t *ids, int64_t N, pm_tensor *w) {
    return gather(t, "pm_embed", w, ids, N, embed_bwd);
}

static void rows_bwd(pm_tape *t, pm_node *n) {
    const int32_t *idx = ((rows_node *)n)->idx;
    int64_t C = n->out->cols;
    real *dx = pm_grad(t, n->in[0], NULL);
#pragma omp parallel for schedule(static) if (n->out->rows * C >= PM_PARALLEL_FROM)
    for (int64_t i = 0; i < n->out->rows; i++)
        for (int64_t j = 0; j < C; j++) dx[idx[i] * C + j] += n->out->grad[i * C + j];
}

pm_tensor *pm_rows(pm_tape *t, pm_tensor *x, const int32_t *idx, int64_t n) {
    return gather(t, "pm_rows", x, idx, n, rows_bwd);
}

/* What was overwritten has no part in the loss: its gradient goes to the rows, and nothing of it further down. */
static void rows_put_bwd(pm_tape *t, pm_node *n) {
    const int32_t *idx = ((rows_node *)n)->idx;
    pm_tensor *rows = n->in[0];
    int64_t C = rows->cols;
    real *dr = pm_wants_grad(t, rows) ? pm_grad(t, rows, NULL) : NULL;
    for (int64_t i = 0; i < rows->rows; i++) {
        real *g = n->out->grad + idx[i] * C;
        for (int64_t j = 0; dr && j < C; j++) dr[i * C + j] += g[j];
        memset(g, 0, (size_t)C * sizeof *g);
    }
}

pm_tensor *pm_rows_put_(pm_tape *t, pm_tensor *x, const int32_t *idx, pm_tensor *rows) {
    PM_ASSERT(x->cols == rows->cols, "pm_rows_put_: [%lld,%lld] into [%lld,%lld]", (long long)rows->rows,
              (long long)rows->cols, (long long)x->rows, (long long)x->cols);
    pm_mutate(x);
    const real *from = pm_data(t, rows);
    for (int64_t i = 0; i < rows->rows; i++) {
        PM_ASSERT(idx[i] >= 0 && idx[i] < x->rows, "pm_rows_put_: row %d of %lld", idx[i],
                  (long long)x->rows);
        memcpy(x->data + idx[i] * x->cols, from + i * x->cols, (size_t)x->cols * sizeof(real));
    }
    if (pm_wants_grad(t, x) || pm_wants_grad(t, rows)) {
        rows_node *n = pm_record(t, sizeof *n, x, rows_put_bwd);
        n->n.in[0] = rows;
        n->idx = idx;
    }
    return x;
}
