/* svf.c - SVF (singular value fine-tuning, of Transformer^2): a weight's singular vectors stay, its singular values are scaled.
 *
 * Equation: W0 = U diag(S) V^T, k = min(I,O).
 *   paper:    W' = U diag(S z) V^T, z [k] = 1 at the start: the identity.
 *   release:  W' = U diag(S m) V^T sum(S)/sum(S m), m = sigmoid(p), p [k] ~ N(0.1, 0.01^2): the nuclear norm is kept; not the
 *             identity at step 0 (about 0.5 % off).
 * Ref: Sun et al. 2025 (arXiv 2501.06252), section 3.2; SakanaAI/self-adaptive-llms.
 * Cost: the cheaper, by count, of two packed products through the factors and one with W' built each step (core/op_spectral.c).
 * The factors come from LAPACK (gesdd, double) once per weight and are kept in the run's cache under the weight's checksum.
 * Deviations: trained by next-token loss, where the paper has policy gradients (its Table 4 ablates this); z and p are fp32
 * also in bf16 runs, where the release's bf16 p stalls near 1; targets default to every projection (the release: the MLP's three).
 */
#include "method.h"
#include <stdio.h>
#include <string.h>

enum { PAPER, RELEASE };

typedef struct svf_cfg {
    int form;
    char targets[PM_FIELD_STR];
} svf_cfg;

typedef struct svf_weight {
    pm_spectral f;
    real *s;     /* [k] singular values, descending; f.u, s, f.vt are one block */
    pm_param *z; /* [1,k]: z or p; NULL: the site is not a target */
} svf_weight;

typedef struct svf_state {
    svf_weight *w; /* [n_sites] */
    pm_arena *arena;
    const pm_model *model;
    int form;
} svf_state;

static const pm_field fields[] = {
    {"form", PM_FIELD_ENUM, offsetof(svf_cfg, form), "paper", 0, 0, "paper|release",
     "paper: W' = U diag(S z) V^T; release: sigmoid mask, nuclear norm kept, random start", "form"},
    {"targets", PM_FIELD_STRING, offsetof(svf_cfg, targets), "all", 0, 0, NULL,
     "projections whose singular values are trained, or all", "target_modules"},
    {0},
};

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- factors ---- */

static size_t block_bytes(const pm_site *s) {
    int64_t k = smaller(s->in, s->out);
    return (size_t)(k * (s->in + s->out + 1)) * sizeof(real);
}

/* One block: U [O,k], S [k], Vt [k,I]. */
static void lay_out(const pm_site *s, real *block, svf_weight *w) {
    int64_t k = smaller(s->in, s->out);
    w->f.u = (pm_param){.name = s->name, .rows = s->out, .cols = k, .w = block};
    w->s = block + s->out * k;
    w->f.vt = (pm_param){.name = s->name, .rows = k, .cols = s->in, .w = w->s + k};
}

static bool compute(pm_run *r, const pm_site *s, const char *key, svf_weight *w) {
    real *block;
#pragma omp critical(pm_svf_arena)
    block = pm_arena_alloc(r->arena, block_bytes(s), PM_MEM_WEIGHTS);
    lay_out(s, block, w);
    if (!pm_svd(s->out, s->in, s->w->w, w->f.u.w, w->s, w->f.vt.w)) return false;
    if (r->cache) r->cache->put(r->cache, key, block, block_bytes(s));
    return true;
}

typedef enum outcome { FOUND, COMPUTED, IMPOSSIBLE } outcome;

static outcome factorise(pm_run *r, const pm_site *s, svf_weight *w) {
    char key[128];
    uint64_t sum = pm_checksum(s->w->w, (size_t)(s->out * s->in) * sizeof(real));
    snprintf(key, sizeof key, "svd-f%zu-%lldx%lld-%016llx", 8 * sizeof(real), (long long)s->out,
             (long long)s->in, (unsigned long long)sum);
    const void *kept = r->cache ? r->cache->find(r->cache, key, block_bytes(s)) : NULL;
    if (!kept) return compute(r, s, key, w) ? COMPUTED : IMPOSSIBLE;
    lay_out(s, (real *)(uintptr_t)kept, w); /* never written: the factors are frozen */
#pragma omp atomic
    r->mapped_bytes += (int64_t)block_bytes(s);
    return FOUND;
}

/* How the loop over all weights stands; shared by its threads. */
typedef struct tally {
    int done, total;
    const pm_site *impossible;
    bool computes, cancelled; /* computes: not everything was there, which takes time */
} tally;

static void note(pm_run *r, const pm_site *s, outcome o, tally *y) {
    y->done++;
    if (o == IMPOSSIBLE) y->impossible = s;
    y->computes |= o == COMPUTED;
    if (y->computes && r->progress && !r->progress(r->progress_ctx, y->done, y->total)) y->cancelled = true;
}

/* Weights in parallel, each on one thread: the same factors for any number of threads. */
static pm_status factorise_all(pm_run *r, svf_state *st, pm_err *e) {
    tally y = {.total = r->params.n};
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < r->model->n_sites; i++) {
        bool stop;
#pragma omp atomic read
        stop = y.cancelled;
        if (!st->w[i].z || stop) continue;
        outcome o = factorise(r, &r->model->sites[i], &st->w[i]);
#pragma omp critical(pm_svf_tally)
        note(r, &r->model->sites[i], o, &y);
    }
    if (y.cancelled) {
        pm_fail(e, PM_ECANCELLED, "interrupted after %d of %d weights", y.done, y.total);
        return pm_hint(e, "the factors of those are kept: the same command goes on from there");
    }
    if (!y.impossible) return PM_OK;
    pm_fail(e, PM_EFORMAT, "%s.weight: no singular value decomposition", y.impossible->name);
    return pm_hint(e, "the model holds numbers that are not finite");
}

/* ---- attach ---- */

static void create(pm_run *r, const pm_site *s, svf_state *st) {
    svf_weight *w = &st->w[s->idx];
    int64_t k = smaller(s->in, s->out);
    w->z = pm_param_new(&r->params, 1, k, "%s.svf_%s", s->name, st->form == PAPER ? "z" : "p");
    w->z->vector = true;
    pm_rng g = pm_rng_make(r->seed, pm_hash64(w->z->name, strlen(w->z->name)));
    if (st->form == RELEASE) pm_rng_fill_normal(&g, w->z->w, k, (real)0.1, (real)0.01);
    for (int64_t i = 0; st->form == PAPER && i < k; i++) w->z->w[i] = 1;
}

static pm_status attach(pm_run *r, const void *cfg, void *state, pm_err *e) {
    const svf_cfg *c = cfg;
    svf_state *st = state;
    unsigned targets;
    pm_status rc = pm_targets_parse(c->targets, &targets, e);
    if (rc) return rc;
    *st = (svf_state){pm_per_site(r, sizeof *st->w), r->arena, r->model, c->form};
    if (c->form == RELEASE) r->claims &= ~(unsigned)PM_IDENTITY_INIT;
    for (int i = 0; i < r->model->n_sites; i++)
        if (pm_is_target(targets, r->model->sites[i].kind)) create(r, &r->model->sites[i], st);
    return factorise_all(r, st, e);
}

static int64_t singular_values(int64_t in, int64_t out, const void *cfg) {
    (void)cfg;
    return smaller(in, out);
}

static int64_t n_params(const pm_model_cfg *m, const void *cfg) {
    const svf_cfg *c = cfg;
    return m->L * pm_target_sum(m, c->targets, singular_values, c);
}

/* ---- forward ---- */

static pm_tensor *spectrum(pm_tape *t, const svf_weight *w, int form) {
    pm_tensor *z = pm_leaf(t, w->z);
    if (form == RELEASE) return pm_masked_spectrum(t, z, w->s);
    return pm_mul(t, z, pm_const(t, w->s, 1, w->z->cols));
}

static void pack(svf_state *st, pm_param *p) {
    if (!p->packed) p->packed = pm_pack(st->arena, NULL, NULL, p->w, p->rows, p->cols, st->model->precision);
}

static void make_room(svf_state *st, pm_spectral *f) {
    size_t row = (size_t)f->vt.cols * sizeof(real);
    if (f->dense) return;
    f->dense = pm_arena_alloc(st->arena, (size_t)f->u.rows * row, PM_MEM_WORKSPACE);
    f->built_for = pm_arena_alloc(st->arena, (size_t)f->u.cols * sizeof(real), PM_MEM_WORKSPACE);
}

static pm_tensor *linear(pm_tape *t, const pm_site *s, pm_tensor *x, void *state) {
    svf_state *st = state;
    svf_weight *w = &st->w[s->idx];
    if (!w->z) return pm_site_linear(t, s, x);
    pm_tensor *c = spectrum(t, w, st->form), *y;
    if (st->model->precision == PM_FP32 && pm_dense_is_cheaper(&w->f, x->rows, t->record)) {
        make_room(st, &w->f);
        y = pm_linear_dense(t, x, &w->f, c);
    } else {
        pack(st, &w->f.u);
        pack(st, &w->f.vt);
        y = pm_linear_factored(t, x, &w->f, c);
    }
    return s->b ? pm_bias_(t, y, pm_leaf(t, s->b)) : y;
}

/* W := U diag(c) Vt */
static void fold(const pm_site *s, svf_weight *w, int form, pm_arena *scratch) {
    pm_tape t;
    pm_tape_init(&t, scratch);
    t.record = false;
    pm_spectral_compose(&t, &w->f, spectrum(&t, w, form)->data, s->w->w);
    pm_tape_reset(&t);
}

static pm_status merge(pm_model *m, void *state, pm_err *e) {
    (void)e;
    svf_state *st = state;
    pm_arena *scratch = pm_arena_new("merge", 0);
    for (int i = 0; i < m->n_sites; i++)
        if (st->w[i].z) fold(&m->sites[i], &st->w[i], st->form, scratch);
    pm_arena_free(scratch);
    return PM_OK;
}

const pm_method pm_method_svf = {
    .name = "svf",
    .title = "SVF",
    .cite = "Sun et al. 2025, arXiv 2501.06252, section 3.2",
    .equation = "y = x W'^T + c, W' = U diag(S z) V^T (release: z = m sum(S)/sum(S m), m = sigmoid(p))",
    .version = 1,
    .flags = PM_IDENTITY_INIT | PM_MERGEABLE,
    .peft = "{\"peft_type\":\"SVF\"}",
    .cfg_size = sizeof(svf_cfg),
    .state_size = sizeof(svf_state),
    .fields = fields,
    .default_lr = 2e-3,
    .lr_source = "SakanaAI/self-adaptive-llms, Adam in every experiment",
    .attach = attach,
    .n_params = n_params,
    .linear = linear,
    .merge = merge,
};
