/* tape.c - tensors, nodes, the backward walk, and who may be recycled when. See tape.h for the rules. */
#include "tape.h"
#include <string.h>

real *pm_param_stored(const pm_param *p) {
    return p->stored ? p->stored : p->w;
}

static size_t bytes_of(const pm_tensor *x) {
    return (size_t)x->rows * (size_t)x->cols * sizeof(real);
}

static pm_tensor *new_tensor(pm_tape *t, int64_t rows, int64_t cols) {
    PM_ASSERT(rows >= 0 && cols > 0, "tensor [%lld,%lld]", (long long)rows, (long long)cols);
    pm_tensor *x = pm_arena_zalloc(t->arena, sizeof *x, PM_MEM_WORKSPACE);
    x->rows = rows;
    x->cols = cols;
    return x;
}

static real *new_data(pm_tape *t, const pm_tensor *x) {
    return pm_arena_alloc(t->arena, bytes_of(x), PM_MEM_ACTIVATIONS);
}

static void recycle(pm_tape *t, const pm_tensor *x, real **p) {
    if (*p) pm_arena_recycle(t->arena, *p, bytes_of(x), PM_MEM_ACTIVATIONS);
    *p = NULL;
}

void pm_tape_init(pm_tape *t, pm_arena *step) {
    memset(t, 0, sizeof *t);
    t->arena = step;
    t->record = true;
}

void pm_tape_reset(pm_tape *t) {
    pm_arena_reset(t->arena);
    t->last = NULL;
    t->rope = NULL;
    t->rope_freq = NULL;
}

pm_tensor *pm_out(pm_tape *t, int64_t rows, int64_t cols) {
    pm_tensor *x = new_tensor(t, rows, cols);
    x->data = new_data(t, x);
    return x;
}

pm_tensor *pm_leaf(pm_tape *t, pm_param *p) {
    PM_ASSERT(p->w, "parameter %s has no weight", p->name);
    pm_tensor *x = new_tensor(t, p->rows, p->cols);
    x->data = p->w;
    x->borrowed = true;
    x->needs_grad = t->record && p->trainable;
    if (x->needs_grad) x->grad = p->grad;
    return x;
}

pm_tensor *pm_leaf_row(pm_tape *t, pm_param *p) {
    pm_tensor *x = pm_leaf(t, p);
    x->cols *= x->rows;
    x->rows = 1;
    return x;
}

pm_tensor *pm_const(pm_tape *t, const real *data, int64_t rows, int64_t cols) {
    pm_tensor *x = new_tensor(t, rows, cols);
    union {
        const real *in;
        real *out;
    } alias = {data}; /* borrowed tensors are never written: pm_mutate asserts it */
    x->data = alias.out;
    x->borrowed = true;
    return x;
}

pm_tensor *pm_input(pm_tape *t, const real *data, int64_t rows, int64_t cols) {
    pm_tensor *x = pm_out(t, rows, cols);
    if (rows) memcpy(x->data, data, bytes_of(x));
    x->needs_grad = t->record;
    return x;
}

bool pm_wants_grad(const pm_tape *t, const pm_tensor *x) {
    return t->record && x && x->needs_grad;
}

void *pm_record(pm_tape *t, size_t size, pm_tensor *out, void (*bwd)(pm_tape *, pm_node *)) {
    PM_ASSERT(t->record && size >= sizeof(pm_node), "pm_record: %zu bytes", size);
    pm_node *n = pm_arena_zalloc(t->arena, size, PM_MEM_WORKSPACE);
    n->bwd = bwd;
    n->out = out;
    n->inplace = out->node != NULL;
    if (!n->inplace) out->node = n;
    out->needs_grad = true;
    n->prev = t->last;
    t->last = n;
    return n;
}

void pm_keep(pm_tensor *x) {
    x->kept = true;
}

void pm_mutate(pm_tensor *y) {
    PM_ASSERT(!y->kept && !y->borrowed && y->data, "in-place change of a tensor [%lld,%lld] that is %s",
              (long long)y->rows, (long long)y->cols,
              y->kept ? "kept for the backward pass" : "borrowed or dropped");
    if (y->node) y->node->fwd = NULL; /* recomputing it would lose the change */
}

void pm_drop(pm_tape *t, pm_tensor *x) {
    bool recomputable = x->node && x->node->fwd;
    if (x->borrowed || (x->kept && !recomputable)) return;
    recycle(t, x, &x->data);
}

const real *pm_data(pm_tape *t, pm_tensor *x) {
    if (!x->data) {
        PM_ASSERT(x->node && x->node->fwd, "tensor [%lld,%lld] was dropped and is not recomputable",
                  (long long)x->rows, (long long)x->cols);
        x->data = new_data(t, x);
        x->node->fwd(t, x->node);
    }
    return x->data;
}

real *pm_grad(pm_tape *t, pm_tensor *x, real *beta) {
    PM_ASSERT(x->needs_grad, "gradient of a tensor [%lld,%lld] that needs none", (long long)x->rows,
              (long long)x->cols);
    bool first = !x->grad;
    if (first) x->grad = new_data(t, x);
    if (beta)
        *beta = first ? 0 : 1;
    else if (first)
        memset(x->grad, 0, bytes_of(x));
    return x->grad;
}

void *pm_scratch(pm_tape *t, size_t bytes) {
    return pm_arena_alloc(t->arena, bytes, PM_MEM_WORKSPACE);
}

void pm_scratch_done(pm_tape *t, void *p, size_t bytes) {
    pm_arena_recycle(t->arena, p, bytes, PM_MEM_WORKSPACE);
}

void pm_backward(pm_tape *t, pm_tensor *loss) {
    PM_ASSERT(loss->rows == 1 && loss->cols == 1, "backward from a tensor [%lld,%lld]", (long long)loss->rows,
              (long long)loss->cols);
    if (!loss->needs_grad) return; /* nothing trainable took part */
    pm_grad(t, loss, NULL)[0] = 1;
    for (pm_node *n = t->last; n; n = n->prev) {
        if (n->out->grad) n->bwd(t, n);
        if (n->inplace) continue; /* out lives on: earlier nodes still read its gradient */
        recycle(t, n->out, &n->out->grad);
        recycle(t, n->out, &n->out->data);
    }
    t->last = NULL;
    pm_flops_phase(PM_FLOPS_FORWARD);
}

pm_kvcache *pm_kvcache_new(pm_arena *a, int n_layers, int n_slots, int cap, int64_t width) {
    pm_kvcache *c = pm_arena_zalloc(a, sizeof *c, PM_MEM_WORKSPACE);
    c->n_layers = n_layers;
    c->n_slots = n_slots;
    c->cap = cap;
    c->width = width;
    c->len = pm_arena_zalloc(a, (size_t)n_slots * sizeof *c->len, PM_MEM_WORKSPACE);
    c->k = pm_arena_alloc(a, (size_t)n_layers * sizeof *c->k, PM_MEM_WORKSPACE);
    c->v = pm_arena_alloc(a, (size_t)n_layers * sizeof *c->v, PM_MEM_WORKSPACE);
    size_t bytes = (size_t)n_slots * (size_t)cap * (size_t)width * sizeof(real);
    for (int l = 0; l < n_layers; l++) {
        c->k[l] = pm_arena_alloc(a, bytes, PM_MEM_ACTIVATIONS);
        c->v[l] = pm_arena_alloc(a, bytes, PM_MEM_ACTIVATIONS);
    }
    return c;
}

void pm_kvcache_advance(pm_kvcache *c, const pm_seqs *seqs, const int32_t *slot) {
    for (int s = 0; s < seqs->n; s++) c->len[slot[s]] += seqs->len[s];
}
