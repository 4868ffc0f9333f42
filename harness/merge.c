/* merge.c - folding an adapter into private copies of the weights (merge.h).
 *
 * Why copies: weights may lie in a mapped file, other runs may share them, and the certificate wants the unmerged model back to the bit,
 * which subtracting the update again would not give.
 */
#include "merge.h"
#include <string.h>

struct pm_kept {
    pm_param *p;
    real *w;
    pm_packed *packed;
};

/* Room for every projection's weight and bias. */
static int n_held(const pm_model *m) {
    int n = 0;
    for (int i = 0; i < m->n_sites; i++) n += (m->sites[i].w != NULL) + (m->sites[i].b != NULL);
    return n;
}

static void copy_param(pm_merged *m, pm_param *p) {
    if (!p) return;
    size_t bytes = (size_t)(p->rows * p->cols) * sizeof(real);
    real *own = pm_arena_alloc(m->in, bytes, PM_MEM_WEIGHTS);
    memcpy(own, p->w, bytes);
    m->kept[m->n_kept++] = (struct pm_kept){p, p->w, p->packed};
    p->w = own;
    p->packed = NULL; /* it holds what was packed */
}

pm_status pm_merge_check(const pm_method *m, pm_err *e) {
    if (!m || m->merge || (m->flags & PM_TRAINS_BASE)) return PM_OK;
    pm_fail(e, PM_EUNSUPPORTED, "%s does not fold into the weights: %s", m->name,
            m->flags & PM_PROMPT_ONLY ? "it acts at prompt positions alone, and a weight acts at all of them"
                                      : "no weight holds what it adds");
    return pm_hint(e, "use the adapter as it is: `generate` and `eval` take --adapter-in DIR");
}

/* There is a method, and it has something to fold. */
static bool folds(const pm_session *s) {
    return s->method && s->method->merge;
}

pm_status pm_merged_begin_in(pm_session *s, pm_arena *in, pm_merged *m, pm_err *e) {
    *m = (pm_merged){0};
    pm_status rc = pm_merge_check(s->method, e);
    if (rc || !folds(s)) return rc;
    m->in = in;
    m->kept = pm_arena_alloc(in, (size_t)n_held(s->model) * sizeof *m->kept, PM_MEM_WORKSPACE);
    m->hooks = s->tape.hooks;
    s->tape.hooks = NULL;
    for (int i = 0; i < s->model->n_sites; i++) {
        copy_param(m, s->model->sites[i].w);
        copy_param(m, s->model->sites[i].b);
    }
    rc = s->method->merge(s->model, s->state, e);
    if (rc) pm_merged_end(s, m);
    return rc;
}

pm_status pm_merged_begin(pm_session *s, pm_merged *m, pm_err *e) {
    pm_arena *own = folds(s) ? pm_arena_new("merged", 0) : NULL;
    pm_status rc = pm_merged_begin_in(s, own, m, e);
    if (m->in)
        m->own = own;
    else
        pm_arena_free(own);
    return rc;
}

void pm_merged_end(pm_session *s, pm_merged *m) {
    if (!m->in) return;
    for (int i = 0; i < m->n_kept; i++) {
        m->kept[i].p->w = m->kept[i].w;
        m->kept[i].p->packed = m->kept[i].packed;
    }
    s->tape.hooks = m->hooks;
    pm_arena_free(m->own);
    *m = (pm_merged){0};
}
