/* reft.c - layers, positions and the learned source W h + b of the ReFT family (reft.h). W, b start as torch's nn.Linear(C, r):
 * U(-1/sqrt(C), 1/sqrt(C)). */
#include "reft.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const pm_field pm_reft_fields[] = {
    {"rank", PM_FIELD_INT, offsetof(pm_reft_cfg, rank), "8", 1, 65536, NULL, "rank r of the edit", "r"},
    {"layers", PM_FIELD_STRING, offsetof(pm_reft_cfg, layers), "all", 0, 0, NULL,
     "blocks whose output is edited, from 0: all, or a list (3,9,18,24)", "layers"},
    {"prefix", PM_FIELD_INT, offsetof(pm_reft_cfg, prefix), "7", 0, 65536, NULL,
     "how many of the first prompt tokens are edited (at most half of them)", "prefix"},
    {"suffix", PM_FIELD_INT, offsetof(pm_reft_cfg, suffix), "7", 0, 65536, NULL,
     "how many of the last prompt tokens are edited (at most half of them)", "suffix"},
    {"tied", PM_FIELD_BOOL, offsetof(pm_reft_cfg, tied), "true", 0, 0, NULL,
     "one edit a layer; false: one for the prefix and one for the suffix", "tied"},
    {"dropout", PM_FIELD_REAL, offsetof(pm_reft_cfg, dropout), "0", 0, 0.999, NULL,
     "probability on the whole edited state, as released", "dropout"},
    {0},
};

/* ---- layers ---- */

static pm_status bad_layers(const char *list, int L, pm_err *e) {
    pm_fail(e, PM_EUSAGE, "method.layers: '%.100s' is no list of layers of this model", list);
    return pm_hint(e, "use 'all', or numbers from 0 to %d, each once: 0,2,5", L - 1);
}

/* The number at *s, which then points behind it; -1 when there is none. */
static long number(const char **s) {
    char *end;
    if (**s < '0' || **s > '9') return -1;
    long l = strtol(*s, &end, 10);
    *s = end;
    return l;
}

static bool listed_before(const char *list, const char *end, long layer) {
    for (const char *s = list; s < end; s++)
        if (number(&s) == layer) return true;
    return false;
}

/* Calls visit for every layer of the list, in its order. */
static pm_status each_layer(const char *list, int L, void (*visit)(void *ctx, int layer), void *ctx,
                            pm_err *e) {
    if (strcmp(list, "all") == 0) {
        for (int l = 0; l < L; l++) visit(ctx, l);
        return PM_OK;
    }
    for (const char *s = list;; s++) {
        const char *start = s;
        long l = number(&s);
        if (l < 0 || l >= L || (*s && *s != ',' && *s != ';') || listed_before(list, start, l))
            return bad_layers(list, L, e);
        visit(ctx, (int)l);
        if (!*s) return PM_OK;
    }
}

static void count_layer(void *ctx, int layer) {
    (void)layer;
    ++*(int64_t *)ctx;
}

int64_t pm_reft_count(const pm_model_cfg *m, const void *cfg) {
    const pm_reft_cfg *c = cfg;
    int64_t layers = 0;
    if (each_layer(c->layers, m->L, count_layer, &layers, NULL)) return 0;
    return layers * (c->tied ? 1 : 2) * c->rank * (2 * m->C + 1);
}

/* ---- attach ---- */

typedef struct attaching {
    pm_run *r;
    pm_reft *st;
} attaching;

static void create(attaching *a, int layer, int which, const char *suffix) {
    pm_reft_phi *phi = &a->st->phi[2 * layer + which];
    int64_t C = a->r->model->cfg.C;
    const char *module =
        pm_arena_printf(a->r->arena, "model.layers.%d.%s%s", layer, a->st->kind->name, suffix);
    double bound = 1 / sqrt((double)C);
    phi->w = pm_param_new(&a->r->params, a->st->c.rank, C, "%s.W", module);
    phi->b = pm_param_new(&a->r->params, 1, a->st->c.rank, "%s.b", module);
    phi->b->vector = true;
    pm_init_uniform(a->r, phi->w, bound);
    pm_init_uniform(a->r, phi->b, bound);
    a->st->kind->create(a->r, &a->st->c, module, phi);
}

static void create_layer(void *ctx, int layer) {
    attaching *a = ctx;
    create(a, layer, 0, a->st->c.tied ? "" : "_prefix");
    if (!a->st->c.tied) create(a, layer, 1, "_suffix");
}

pm_status pm_reft_attach(pm_run *r, const pm_reft_cfg *c, const pm_reft_kind *kind, pm_reft *st, pm_err *e) {
    const pm_model_cfg *m = &r->model->cfg;
    if (c->rank > m->C) {
        pm_fail(e, PM_EUSAGE, "method.rank: %d is more than the model's width", c->rank);
        return pm_hint(e, "at most %lld", (long long)m->C);
    }
    if (!c->prefix && !c->suffix) {
        pm_fail(e, PM_EUSAGE, "method.prefix and method.suffix are both 0: nothing would be edited");
        return pm_hint(e, "--set method.prefix=7 --set method.suffix=7");
    }
    *st = (pm_reft){.kind = kind, .c = *c};
    st->phi = pm_arena_zalloc(r->arena, 2 * (size_t)m->L * sizeof *st->phi, PM_MEM_WORKSPACE);
    attaching a = {.r = r, .st = st};
    return each_layer(c->layers, m->L, create_layer, &a, e);
}

/* ---- positions ---- */

enum { PREFIX = 1, SUFFIX = 2 };

static int least(int a, int b) {
    return a < b ? a : b;
}

/* Rows of sequence s at positions [from, to) that this batch holds, appended to idx. */
static int64_t add_rows(const pm_seqs *q, int s, int from, int to, int32_t *idx, int64_t n) {
    int first = q->pos0[s], end = first + q->len[s];
    for (int p = from > first ? from : first; p < to && p < end; p++) idx[n++] = q->start[s] + p - first;
    return n;
}

/* The edited rows of the batch; idx lives as long as the step. */
static int64_t edited_rows(pm_tape *t, const pm_reft_cfg *c, int parts, int32_t **idx) {
    const pm_seqs *q = t->seqs;
    int64_t n = 0;
    *idx = pm_scratch(t, ((size_t)q->n_tokens + 1) * sizeof **idx);
    for (int s = 0; s < q->n; s++) {
        int P = q->prompt_len[s];
        if (parts & PREFIX) n = add_rows(q, s, 0, least(P / 2, c->prefix), *idx, n);
        if (parts & SUFFIX) n = add_rows(q, s, P - least(P / 2, c->suffix), P, *idx, n);
    }
    return n;
}

/* ---- the edit ---- */

static pm_tensor *edit(pm_tape *t, pm_tensor *h, const pm_reft *st, int layer, int which, int parts) {
    int32_t *idx;
    int64_t n = edited_rows(t, &st->c, parts, &idx);
    if (!n) return h;
    pm_reft_phi *phi = &st->phi[2 * layer + which];
    pm_tensor *rows = st->kind->edit(t, pm_rows(t, h, idx, n), phi);
    uint64_t stream = 2 * (uint64_t)layer + (uint64_t)which;
    return pm_rows_put_(t, h, idx, pm_dropout(t, rows, (real)st->c.dropout, stream));
}

pm_tensor *pm_reft_hidden(pm_tape *t, const pm_site *s, pm_tensor *h, void *state) {
    const pm_reft *st = state;
    if (s->kind != PM_SITE_BLOCK_OUT || !st->phi[2 * s->layer].w) return h;
    if (st->c.tied) return edit(t, h, st, s->layer, 0, PREFIX | SUFFIX);
    h = edit(t, h, st, s->layer, 0, PREFIX);
    return edit(t, h, st, s->layer, 1, SUFFIX);
}
