/* certificate.c - the checks, and the probe they share (certificate.h).
 *
 * Bounds. Two ways to the same logits differ by rounding: in fp32 on SmolLM2-135M by 3e-6 of the largest logit (a folded weight, DoRA's
 * norms), so 1e-4 leaves room for larger models and is far below what the mistakes do that it is there for. In bf16 a number one bit off
 * is one of 256: there the bounds are loose.
 */
#include "certificate.h"
#include "adapter.h"
#include "adapter_config.h"
#include "merge.h"
#include "weights.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double EQUAL = 1e-4, EQUAL_BF16 = 5e-2; /* another way to the same numbers */
static const double UNTOUCHED = 1e-6; /* nothing was done: the same bits but for a sum of one more zero */

enum { ROW_TOKENS = PM_PROBE_TOKENS / 2, LEAST_PROMPT = 4, ROWS_SEEN = 1000, STEPS_TO_JUDGE = 3 };

/* ---- entries ---- */

__attribute__((format(printf, 6, 7))) static void add(pm_certificate *k, const char *name, bool ok,
                                                      double value, double bound, const char *why, ...) {
    PM_ASSERT(k->n < PM_CHECKS_MAX, "%d checks", k->n + 1);
    pm_check *c = &k->check[k->n++];
    *c = (pm_check){.name = name, .ok = ok, .value = value, .bound = bound};
    va_list ap;
    va_start(ap, why);
    if (!ok) vsnprintf(c->why, sizeof c->why, why, ap);
    va_end(ap);
}

static double equal(const pm_certificate *k) {
    return k->s->model->precision == PM_BF16 ? EQUAL_BF16 : EQUAL;
}

static const pm_method *method_of(const pm_certificate *k) {
    return k->s->method;
}

/* ---- the probe: a few training rows ---- */

/* The row's end, so that a long prompt leaves room for the answer. */
static void add_row(pm_certificate *k, const pm_example *x) {
    pm_batch *b = &k->probe;
    int room = PM_PROBE_TOKENS - (int)b->seqs.n_tokens, most = room < ROW_TOKENS ? room : ROW_TOKENS;
    int cut = x->n > most ? x->n - most : 0, prompt = x->prompt_len > cut ? x->prompt_len - cut : 0;
    int s = pm_batch_add(b, x->ids + cut, x->n - cut, -1, 0, prompt);
    for (int i = 0; i < b->len[s]; i++) {
        int next = cut + i + 1;
        k->labelled[b->start[s] + i] = next < x->n && x->labels[next] != -100;
        pm_batch_score(b, b->start[s] + i, 0);
    }
    k->has_prompts = k->has_prompts || prompt >= 2;
}

static void add_rows(pm_certificate *k, const pm_split *train, bool with_prompt) {
    for (int i = 0; i < train->n && i < ROWS_SEEN && k->probe.seqs.n_tokens <= PM_PROBE_TOKENS - 8; i++) {
        const pm_example *x = &train->ex[i];
        bool prompt = x->prompt_len >= LEAST_PROMPT && x->n > x->prompt_len;
        if (x->n > 0 && prompt == with_prompt) add_row(k, x);
    }
}

/* Rows that show prompt and answer first. */
static void make_probe(pm_certificate *k, const pm_split *train) {
    add_rows(k, train, true);
    if (!k->probe.seqs.n) add_rows(k, train, false);
}

/* ---- a stage: the session on arenas of its own ---- */

typedef struct stage {
    pm_certificate *k;
    pm_arena *keep, *tape, *before; /* logits and fresh states | the probe's tape | the session's */
    const pm_hooks *hooks;          /* the session's */
    bool record;                    /* as in training: a method may compute the same another way without */
} stage;

/* keep may hold the session's tape, whose pages are there already. */
static stage enter(pm_certificate *k, pm_arena *keep, bool record) {
    pm_session *s = k->s;
    pm_tape_reset(&s->tape);
    stage g = {.k = k,
               .keep = keep,
               .tape = pm_arena_new("probe", 0),
               .before = s->tape.arena,
               .hooks = s->tape.hooks,
               .record = record};
    s->tape.arena = g.tape;
    return g;
}

static void leave(stage *g) {
    pm_session *s = g->k->s;
    pm_tape_reset(&s->tape);
    s->tape.arena = g->before;
    s->tape.hooks = g->hooks;
    pm_arena_free(g->tape);
    pm_tape_reset(&s->tape);
}

/* ---- logits ---- */

static int64_t n_logits(const stage *g) {
    return g->k->probe.n_scored * g->k->s->model->cfg.V;
}

/* [n_scored, V] under these hooks (NULL: the plain model), no dropout; in g->keep. */
static const real *logits(stage *g, const pm_hooks *hooks) {
    pm_session *s = g->k->s;
    s->tape.hooks = hooks;
    pm_tensor *h = pm_session_forward(s, &g->k->probe, g->record, false);
    pm_tensor *y = pm_linear_param(&s->tape, h, s->model->head, NULL);
    size_t bytes = (size_t)n_logits(g) * sizeof(real);
    real *copy = pm_arena_alloc(g->keep, bytes, PM_MEM_WORKSPACE);
    memcpy(copy, y->data, bytes);
    pm_tape_reset(&s->tape);
    s->tape.hooks = g->hooks;
    return copy;
}

/* The largest difference over the largest of x; infinite when a number is not. */
static double apart(const real *x, const real *y, int64_t n) {
    double most = 0, scale = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)x[i] - (double)y[i]);
        if (!isfinite(d)) return INFINITY;
        most = fmax(most, d);
        scale = fmax(scale, fabs((double)x[i]));
    }
    return most > 0 ? most / scale : 0;
}

/* ---- bits ---- */

static uint64_t bits(const pm_param *p) {
    return pm_checksum(p->w, (size_t)(p->rows * p->cols) * sizeof(real));
}

/* Of the model's frozen parameters; 0 for the others. */
static void frozen_bits(const pm_model *m, uint64_t *sum) {
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < m->n_params; i++) sum[i] = m->params[i].trainable ? 0 : bits(&m->params[i]);
}

static uint64_t *sums(int n) {
    uint64_t *s = calloc((size_t)n + 1, sizeof *s);
    PM_ASSERT(s, "out of memory: %d checksums", n);
    return s;
}

/* ---- a place for files ---- */

static pm_status scratch_folder(char *dir, size_t cap, pm_err *e) {
    const char *tmp = getenv("TMPDIR");
    bool fits = snprintf(dir, cap, "%s/peftmeter.XXXXXX", tmp && *tmp ? tmp : "/tmp") < (int)cap;
    if (fits && mkdtemp(dir)) return PM_OK;
    pm_fail(e, PM_EIO, "%.200s: cannot make a folder to try the adapter's files in", dir);
    return pm_hint(e, "set TMPDIR to a folder that can be written");
}

/* Before hours of training, not after them. */
static pm_status try_folder(pm_err *e) {
    char dir[1024];
    pm_status rc = scratch_folder(dir, sizeof dir, e);
    if (!rc) rmdir(dir);
    return rc;
}

/* ---- before training ---- */

static void check_count(pm_certificate *k) {
    const pm_method *m = method_of(k);
    int64_t have = pm_params_count(&k->s->run.params), want = m->n_params(&k->s->model->cfg, k->mcfg);
    add(k, "count", have == want, (double)have, (double)want, "the closed form of %s says otherwise",
        m->name);
}

static void check_start(pm_certificate *k) {
    bool claimed = k->s->run.claims & PM_IDENTITY_INIT;
    if (!claimed && (k->s->run.claims & PM_PROMPT_ONLY) && !k->has_prompts) return;
    pm_arena *keep = pm_arena_new("certificate", 0);
    stage g = enter(k, keep, true);
    const real *plain = logits(&g, NULL), *start = logits(&g, g.hooks);
    double d = apart(plain, start, n_logits(&g));
    if (claimed)
        add(k, "identity", d <= equal(k), d, equal(k),
            "%s claims to start as the base model, and its logits differ from it", method_of(k)->name);
    else
        add(k, "not_identity", d > EQUAL, d, EQUAL,
            "%s claims to start away from the base model, and its logits are the same", method_of(k)->name);
    leave(&g);
    pm_arena_free(keep);
}

/* Before hours of training that would leave everything where it is. */
static pm_status need_prompts(const pm_certificate *k, const pm_split *train, pm_err *e) {
    if (!(k->s->run.claims & PM_PROMPT_ONLY)) return PM_OK;
    for (int i = 0; i < train->n; i++)
        if (train->ex[i].prompt_len >= 2) return PM_OK;
    pm_fail(e, PM_EUSAGE, "%s acts on prompt tokens, and no training row has a prompt of two or more",
            method_of(k)->name);
    return pm_hint(e, "nothing would be trained: use a task with prompts, or another method");
}

pm_status pm_certificate_begin(pm_certificate *k, pm_session *s, const void *mcfg, const pm_split *train,
                               bool starts_itself, pm_err *e) {
    *k = (pm_certificate){.s = s, .mcfg = mcfg};
    check_count(k);
    if (!train) return PM_OK;
    pm_status rc = need_prompts(k, train, e);
    if (!rc) rc = try_folder(e);
    if (rc) return rc;
    make_probe(k, train);
    if (starts_itself) check_start(k);
    const pm_params *l = &s->run.params;
    k->trainable = sums(l->n);
    k->frozen = sums(s->model->n_params);
    frozen_bits(s->model, k->frozen);
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < l->n; i++) k->trainable[i] = bits(l->p[i]);
    return PM_OK;
}

/* ---- frozen ---- */

static void check_frozen(pm_certificate *k) {
    const pm_model *m = k->s->model;
    uint64_t *now = sums(m->n_params);
    const char *first = NULL;
    int frozen = 0, changed = 0;
    frozen_bits(m, now);
    for (int i = 0; i < m->n_params; i++) {
        frozen += !m->params[i].trainable;
        if (now[i] == k->frozen[i]) continue;
        if (!changed++) first = m->params[i].name;
    }
    free(now);
    if (frozen) add(k, "frozen", !changed, changed, 0, "%s changed, which nobody trains", first);
}

/* ---- save and load ---- */

/* Files of an adapter that are written, and their folder. */
static void remove_adapter(const char *dir) {
    static const char *const files[] = {PM_ADAPTER_CONFIG, PM_ADAPTER_TENSORS};
    char path[4096];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (snprintf(path, sizeof path, "%s/%s", dir, files[i]) < (int)sizeof path) unlink(path);
    rmdir(dir);
}

/* The method and every setting that a file holds are what was written. */
static pm_status same_settings(const pm_certificate *k, const pm_method *m, const void *mcfg, pm_err *e) {
    if (strcmp(m->name, method_of(k)->name) != 0)
        return pm_fail(e, PM_ECHECK, "it is read back as %s", m->name);
    char *wrote = pm_adapter_config_text(m, k->mcfg, NULL), *read = pm_adapter_config_text(m, mcfg, NULL);
    bool same = strcmp(wrote, read) == 0;
    free(wrote);
    free(read);
    return same ? PM_OK : pm_fail(e, PM_ECHECK, "its settings are read back as others");
}

/* Every tensor that was read is the trained one, bit for bit. */
static pm_status same_tensors(const pm_params *trained, const pm_params *read, pm_err *e) {
    for (int i = 0; i < trained->n; i++) {
        const pm_param *x = trained->p[i], *y = read->p[i];
        const real *a = pm_param_stored(x), *b = pm_param_stored(y);
        for (int64_t j = 0; j < x->rows * x->cols; j++)
            if ((float)a[j] != (float)b[j]) return pm_fail(e, PM_ECHECK, "%s is another", x->name);
    }
    return PM_OK;
}

/* The method attached a second time and loaded, with another seed: whoever loads it does not have this run's. */
static pm_status attach_again(stage *g, const void *mcfg, const char *dir, pm_hooks *h, pm_err *e) {
    const pm_session *s = g->k->s;
    const pm_method *m = s->method;
    pm_run r = s->run;
    r.arena = g->keep;
    r.claims = m->flags;
    r.seed++;
    pm_params_init(&r.params, g->keep);
    void *state = pm_arena_zalloc(g->keep, m->state_size + 1, PM_MEM_WORKSPACE);
    pm_status rc = m->attach(&r, mcfg, state, e);
    *h = (pm_hooks){m->linear, m->hidden, m->kv, state};
    if (!rc) rc = pm_adapter_load(dir, &r.params, e);
    return rc ? rc : same_tensors(&s->run.params, &r.params, e);
}

/* From the files alone to logits. */
static pm_status logits_from(stage *g, const char *dir, const real **y, pm_err *e) {
    const pm_method *m;
    void *mcfg = NULL;
    pm_hooks h;
    pm_status rc = pm_adapter_config_read(dir, &m, &mcfg, e);
    if (!rc) rc = same_settings(g->k, m, mcfg, e);
    if (!rc) rc = attach_again(g, mcfg, dir, &h, e);
    if (!rc) *y = logits(g, &h);
    free(mcfg);
    return rc;
}

static void compare_files(stage *g, const char *dir) {
    pm_certificate *k = g->k;
    pm_err why = {0};
    const real *again = NULL, *trained = logits(g, g->hooks);
    pm_status rc = logits_from(g, dir, &again, &why);
    double d = rc ? (double)NAN : apart(trained, again, n_logits(g));
    add(k, "save_load", d <= equal(k), d, equal(k), "the saved adapter is not the trained one%s%.150s",
        rc ? ": " : "", rc ? why.msg : "");
}

/* Whatever the files cannot tell is the adapter's fault; that they cannot be written is the disk's. */
static pm_status check_save_load(stage *g, pm_err *e) {
    pm_certificate *k = g->k;
    if (method_of(k)->flags & PM_TRAINS_BASE) return PM_OK; /* pm_certificate_saved */
    char dir[1024];
    pm_status rc = scratch_folder(dir, sizeof dir, e);
    if (rc) return rc;
    rc = pm_adapter_save(dir, method_of(k), k->mcfg, &k->s->run.params, NULL, e);
    if (!rc) compare_files(g, dir);
    remove_adapter(dir);
    return rc;
}

/* ---- merged ---- */

static pm_status check_merged(stage *g, pm_err *e) {
    pm_certificate *k = g->k;
    if (!(k->s->run.claims & PM_MERGEABLE)) return PM_OK;
    pm_merged m;
    const real *unmerged = logits(g, g->hooks);
    pm_status rc = pm_merged_begin_in(k->s, g->keep, &m, e);
    if (rc) return rc;
    double d = apart(unmerged, logits(g, NULL), n_logits(g));
    pm_merged_end(k->s, &m);
    add(k, "merged", d <= equal(k), d, equal(k), "the folded weights give other logits than %s",
        method_of(k)->name);
    return PM_OK;
}

/* ---- prompt positions ---- */

/* Hooks that call the method's and measure what they do to answer rows. */
typedef struct watcher {
    const pm_hooks *h;
    double most; /* as a part of the site's largest number */
} watcher;

/* How far rows at or behind the prompt's end differ. before, after: [N, cols] */
static double answer_rows_apart(const pm_seqs *q, const real *before, const real *after, int64_t cols) {
    double most = 0;
    for (int s = 0; s < q->n; s++) {
        int first = q->prompt_len[s] > q->pos0[s] ? q->prompt_len[s] - q->pos0[s] : 0;
        if (first >= q->len[s]) continue;
        int64_t at = (q->start[s] + first) * cols;
        most = fmax(most, apart(before + at, after + at, (q->len[s] - first) * cols));
    }
    return most;
}

static pm_tensor *watch_linear(pm_tape *t, const pm_site *s, pm_tensor *x, void *st) {
    watcher *w = st;
    pm_tensor *plain = pm_site_linear(t, s, x);
    if (!w->h->linear) return plain;
    pm_tensor *y = w->h->linear(t, s, x, w->h->st);
    w->most = fmax(w->most, answer_rows_apart(t->seqs, pm_data(t, plain), pm_data(t, y), y->cols));
    pm_drop(t, plain);
    return y;
}

static pm_tensor *watch_hidden(pm_tape *t, const pm_site *s, pm_tensor *h, void *st) {
    watcher *w = st;
    if (!w->h->hidden) return h;
    size_t bytes = (size_t)(h->rows * h->cols) * sizeof(real);
    real *before = pm_scratch(t, bytes); /* a hook may write in place */
    memcpy(before, pm_data(t, h), bytes);
    pm_tensor *y = w->h->hidden(t, s, h, w->h->st);
    w->most = fmax(w->most, answer_rows_apart(t->seqs, before, pm_data(t, y), y->cols));
    pm_scratch_done(t, before, bytes);
    return y;
}

static const real *logits_without_prompt(stage *g) {
    pm_batch *b = &g->k->probe;
    int32_t held[PM_PROBE_TOKENS];
    memcpy(held, b->prompt_len, (size_t)b->seqs.n * sizeof *held);
    memset(b->prompt_len, 0, (size_t)b->seqs.n * sizeof *held);
    const real *y = logits(g, g->hooks);
    memcpy(b->prompt_len, held, (size_t)b->seqs.n * sizeof *held);
    return y;
}

static void check_prompt_only(stage *g) {
    pm_certificate *k = g->k;
    if (!(k->s->run.claims & PM_PROMPT_ONLY)) return;
    const real *plain = logits(g, NULL);
    double none = apart(plain, logits_without_prompt(g), n_logits(g));
    watcher w = {.h = g->hooks};
    pm_hooks watch = {.linear = watch_linear, .hidden = watch_hidden, .st = &w};
    const real *y = logits(g, &watch);
    double d = fmax(none, w.most);
    add(k, "prompt_only", d <= UNTOUCHED, d, UNTOUCHED, "%s",
        none > UNTOUCHED ? "without a prompt its logits are not the base model's"
                         : "it acts on answer tokens");
    double acts = apart(plain, y, n_logits(g));
    if (k->has_prompts)
        add(k, "acts", acts > UNTOUCHED, acts, UNTOUCHED, "with a prompt its logits are the base model's");
}

/* ---- moves ---- */

static bool had_gradient(const pm_param *p) {
    for (int64_t i = 0; i < p->rows * p->cols; i++)
        if (p->v[i] != 0) return true;
    return false;
}

static bool moved(const pm_certificate *k, int i) {
    const pm_param *p = k->s->run.params.p[i];
    return had_gradient(p) && bits(p) != k->trainable[i];
}

static void tell(pm_session *s) {
    if (s->method->after_step) s->method->after_step(&s->run, s->state, 0, 1);
}

/* Whether rows that training scores have other bits in y. */
static bool scored_differ(const stage *g, const real *x, const real *y) {
    const pm_certificate *k = g->k;
    int64_t V = k->s->model->cfg.V;
    for (int i = 0; i < k->probe.n_scored; i++)
        if (k->labelled[i] && memcmp(x + i * V, y + i * V, (size_t)V * sizeof *x) != 0) return true;
    return false;
}

/* Whether what is scored depends on p at all: what cannot matter has no gradient (an edit of the last layer, at positions that
 * nobody scores). */
static bool matters(stage *g, pm_param *p) {
    const real *trained = logits(g, g->hooks);
    size_t n = (size_t)(p->rows * p->cols);
    real *held = pm_arena_alloc(g->keep, n * sizeof *held, PM_MEM_WORKSPACE);
    memcpy(held, p->w, n * sizeof *held);
    pm_rng r = pm_rng_make(1, pm_hash64(p->name, strlen(p->name)));
    pm_rng_fill_normal(&r, p->w, (int64_t)n, 0, (real)0.1);
    for (size_t i = 0; i < n; i++) p->w[i] += held[i];
    tell(g->k->s);
    bool differs = scored_differ(g, trained, logits(g, g->hooks));
    memcpy(p->w, held, n * sizeof *held);
    tell(g->k->s);
    return differs;
}

static void check_moves(stage *g, int steps) {
    pm_certificate *k = g->k;
    const pm_params *l = &k->s->run.params;
    int still = 0;
    const char *first = NULL;
    bool any = false;
    if (steps < STEPS_TO_JUDGE) return; /* LoRA's A has no gradient while B is 0, warm-up starts at 0 */
    for (int i = 0; i < l->n; i++) {
        if (moved(k, i))
            any = true;
        else if (first)
            still++;
        else if (matters(g, l->p[i]))
            still = 1, first = l->p[i]->name;
    }
    if (any || first)
        add(k, "moves", !still, still, 0, "%s never had a gradient or never changed", first);
    else
        add(k, "moves", false, l->n, 0,
            "nothing was trained: with these settings no tensor reaches what is scored");
}

/* ---- after training ---- */

enum { ROOM = 16 << 20 }; /* bytes that need no thrift */

static size_t bytes_of(const pm_param *p) {
    return p ? (size_t)(p->rows * p->cols) * sizeof(real) : 0;
}

/* The model's first layers: those whose weights take up to `room` bytes, at least one. */
static pm_model first_layers(const pm_model *m, size_t room) {
    pm_model v = *m;
    size_t bytes = 0;
    for (int i = 0; i < m->n_sites; i++) {
        bytes += bytes_of(m->sites[i].w) + bytes_of(m->sites[i].b);
        if (bytes <= room || m->sites[i].layer < 1) continue;
        v.cfg.L = m->sites[i].layer;
        v.n_sites = i;
        while (m->sites[v.n_sites - 1].layer == v.cfg.L) v.n_sites--;
        break;
    }
    return v;
}

/* What needs a second copy of something is checked on the first layers, in memory that training has given back: on the whole of a
 * large model it would be what the run needs most memory for. */
static pm_status check_copies(stage *g, pm_err *e) {
    pm_session *s = g->k->s;
    pm_model *whole = s->model;
    size_t room = pm_arena_room(g->keep) / 2;
    pm_model part = first_layers(whole, room > ROOM ? room : ROOM);
    s->model = &part;
    pm_status rc = check_save_load(g, e);
    pm_arena_reset(g->keep);
    if (!rc) rc = check_merged(g, e);
    pm_arena_reset(g->keep);
    s->model = whole;
    return rc;
}

pm_status pm_certificate_end(pm_certificate *k, int steps, pm_err *e) {
    check_frozen(k);
    if (!k->probe.seqs.n) return PM_OK;
    stage g = enter(k, k->s->step, false);
    pm_status rc = check_copies(&g, e);
    if (!rc) check_prompt_only(&g);
    if (!rc) check_moves(&g, steps);
    leave(&g);
    return rc;
}

/* Bits of p against the file's, converted a block at a time. */
static bool stored_as_trained(const pm_safetensors *st, const pm_param *p) {
    const pm_tensor_info *t = pm_safetensors_find(st, p->name);
    if (!t || t->dtype != PM_F32 || !pm_tensor_info_fits(t, p->rows, p->cols)) return false;
    const float *f = t->data;
    for (int64_t i = 0; i < p->rows * p->cols; i++)
        if (f[i] != (float)p->w[i]) return false;
    return true;
}

pm_status pm_certificate_saved(pm_certificate *k, const char *dir, pm_err *e) {
    if (!(method_of(k)->flags & PM_TRAINS_BASE)) return PM_OK; /* save_load has seen to it */
    const pm_params *l = &k->s->run.params;
    pm_safetensors *st;
    pm_status rc = pm_safetensors_open(dir, &st, e);
    if (rc) return rc;
    int differ = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : differ)
    for (int i = 0; i < l->n; i++) differ += !stored_as_trained(st, l->p[i]);
    pm_safetensors_close(st);
    add(k, "saved", !differ, differ, 0, "--adapter-out holds other weights than were trained");
    return PM_OK;
}

/* ---- the verdict ---- */

pm_status pm_certificate_verdict(const pm_certificate *k, pm_err *e) {
    const pm_check *c = k->check, *end = c + k->n;
    while (c < end && c->ok) c++;
    if (c == end) return PM_OK;
    char numbers[80] = "";
    if (!isnan(c->value))
        snprintf(numbers, sizeof numbers, " (measured %.6g, bound %.6g)", c->value, c->bound);
    pm_fail(e, PM_ECHECK, "check %s: %s%s", c->name, c->why, numbers);
    return pm_hint(e, "the numbers of this run are not %s's: a defect of the method or of this program",
                   method_of(k)->name);
}

void pm_certificate_free(pm_certificate *k) {
    pm_batch_free(&k->probe);
    free(k->trainable);
    free(k->frozen);
    *k = (pm_certificate){0};
}
