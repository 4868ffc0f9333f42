/* test_methods.c - the conformance test: one loop over the registry (and the template), so that a new method brings no test code.
 *
 * Each method states what it is and where that comes from. On a tiny model with grouped-query heads and q, k, v biases: identity at
 * init as claimed; the parameter count equals the closed form; gradients equal difference quotients at random values (never at init,
 * where B = 0 hides any bug in A); the base is untouched; merged equals unmerged; the same seed gives the same bits; the loss falls and
 * every tensor moves; a sequence that grows token by token, or branches off a shared prefix, is the sequence in one pass; what claims to
 * act on prompts alone is the base model without one.
 */
#include "tiny.h"

#ifdef PM_DOUBLE
static const double STEP = 1e-5, BOUND = 1e-6, EQUAL = 1e-12;
#else
static const double STEP = 2e-3, BOUND = 5e-2, EQUAL = 2e-5;
#endif

extern const pm_method pm_method_template;

/* ---- the laws ---- */

static void says_what_it_is(const pm_method *m) {
    CHECK(m->title && m->cite && m->equation && m->version > 0);
    CHECK(m->default_lr > 0 && m->lr_source);
    for (const pm_field *f = m->fields; f->key; f++) CHECK(f->def && f->help);
}

static void starts_as_claimed(const pm_method *m) {
    bench plain = bench_new(NULL, NULL, NULL), b = bench_new(m, NULL, NULL);
    real *x = outputs(&plain), *y = outputs(&b);
    double d = largest_difference(&b, x, y);
    if (b.run.claims & PM_IDENTITY_INIT)
        CHECK_NEAR(d, 0, EQUAL);
    else
        CHECK(d > 100 * EQUAL);
    randomize(&b);
    real *z = outputs(&b);
    CHECK(largest_difference(&b, x, z) > 100 * EQUAL); /* it acts at all */
    free(x);
    free(y);
    free(z);
    bench_free(&plain);
    bench_free(&b);
}

static void counts_as_closed_form(const pm_method *m) {
    bench b = bench_new(m, NULL, NULL);
    CHECK_EQ_INT(pm_params_count(&b.run.params), m->n_params(&b.model->cfg, b.cfg));
    bench_free(&b);
    if (!pm_field_find(m->fields, "targets")) return;
    b = bench_new(m, "targets", "q_proj,down_proj");
    CHECK_EQ_INT(pm_params_count(&b.run.params), m->n_params(&b.model->cfg, b.cfg));
    bench_free(&b);
}

/* Every parameter, a spread of its elements. */
static void gradients_are_right(const pm_method *m) {
    bench b = bench_new(m, NULL, NULL);
    randomize(&b);
    for (int i = 0; i < b.run.params.n; i++) {
        pm_param *p = b.run.params.p[i];
        int64_t n = p->rows * p->cols, stride = n / 7 + 1;
        double worst = 0, largest = 1e-2;
        loss_and_grads(&b, true);
        real *g = malloc((size_t)n * sizeof *g);
        memcpy(g, p->grad, (size_t)n * sizeof *g);
        for (int64_t j = i % 3; j < n; j += stride) {
            real old = p->w[j];
            p->w[j] = (real)((double)old + STEP);
            double hi_at = (double)p->w[j], hi = loss_and_grads(&b, false);
            p->w[j] = (real)((double)old - STEP);
            double lo = loss_and_grads(&b, false), slope = (hi - lo) / (hi_at - (double)p->w[j]);
            p->w[j] = old;
            worst = fmax(worst, fabs(slope - (double)g[j]));
            largest = fmax(largest, fabs(slope));
        }
        if (!(worst <= BOUND * largest))
            CHECK_FAIL_("%s: %s: gradient off by %.3g of %.3g", m->name, p->name, worst, largest);
        free(g);
    }
    bench_free(&b);
}

static void model_digest(const bench *b, char hex[65]) {
    pm_sha256 s;
    pm_sha256_init(&s);
    for (int i = 0; i < b->model->n_params; i++) {
        const pm_param *p = &b->model->params[i];
        if (!p->trainable) pm_sha256_update(&s, p->w, (size_t)(p->rows * p->cols) * sizeof(real));
    }
    pm_sha256_hex(&s, hex);
}

static void trains_and_leaves_the_base_alone(const pm_method *m) {
    bench b = bench_new(m, NULL, NULL);
    char before[65], after[65];
    model_digest(&b, before);
    real **start = malloc((size_t)b.run.params.n * sizeof *start);
    for (int i = 0; i < b.run.params.n; i++) {
        size_t bytes = (size_t)(b.run.params.p[i]->rows * b.run.params.p[i]->cols) * sizeof(real);
        start[i] = malloc(bytes);
        memcpy(start[i], b.run.params.p[i]->w, bytes);
    }
    double first = train_steps(&b, 1), last = train_steps(&b, 25);
    CHECK(last < 0.8 * first);
    model_digest(&b, after);
    CHECK_EQ_STR(after, before);
    for (int i = 0; i < b.run.params.n; i++) {
        const pm_param *p = b.run.params.p[i];
        if (memcmp(start[i], p->w, (size_t)(p->rows * p->cols) * sizeof(real)) == 0)
            CHECK_FAIL_("%s: %s never moved", m->name, p->name);
        free(start[i]);
    }
    free(start);
    bench_free(&b);
}

static void merges_exactly(const pm_method *m) {
    CHECK_EQ_INT(!!(m->flags & PM_MERGEABLE), m->merge != NULL);
    if (!m->merge) return;
    pm_err e = {0};
    bench b = bench_new(m, NULL, NULL);
    randomize(&b);
    real *x = outputs(&b);
    CHECK_OK(m->merge(b.model, b.state, &e));
    b.m = NULL; /* the plain model, with what was folded into it */
    real *y = outputs(&b);
    CHECK_NEAR(largest_difference(&b, x, y), 0, 10 * EQUAL);
    free(x);
    free(y);
    bench_free(&b);
}

static void repeats_bit_for_bit(const pm_method *m) {
    double loss[2];
    for (int k = 0; k < 2; k++) {
        bench b =
            pm_field_find(m->fields, "dropout") ? bench_new(m, "dropout", "0.2") : bench_new(m, NULL, NULL);
        train_steps(&b, 4);
        loss[k] = loss_and_grads(&b, false);
        bench_free(&b);
    }
    CHECK(loss[0] == loss[1]);
}

/* ---- laws of the batch's layout: how tokens are processed does not change what comes out ---- */

/* Copies the final hidden states of all rows of q to out [N,C]. */
static void hidden_states(bench *b, const pm_seqs *q, const int32_t *ids, real *out) {
    pm_tape_reset(&b->tape);
    b->tape.record = b->tape.train = false;
    b->tape.seqs = q;
    b->tape.hooks = b->m ? &b->hooks : NULL;
    pm_tensor *h = pm_llama_forward(&b->tape, b->model, ids);
    memcpy(out, h->data, (size_t)(h->rows * h->cols) * sizeof *out);
}

enum { LONGEST = 16, WIDTH = 12 };

static void check_rows(const char *law, const real *got, const real *want, int rows) {
    double most = 0;
    for (int i = 0; i < rows * WIDTH; i++) most = fmax(most, fabs((double)(got[i] - want[i])));
    if (!(most <= 10 * EQUAL)) CHECK_FAIL_("%s: off by %.3g", law, most);
}

/* A prompt through the key-value cache, then one token at a time, is the sequence in one pass. */
static void grows_as_whole(const pm_method *m) {
    bench b = bench_new(m, NULL, NULL);
    randomize(&b);
    const pm_model_cfg *c = &b.model->cfg;
    for (int s = 0; s < SEQS.n; s++) {
        real whole[LONGEST * WIDTH], grown[LONGEST * WIDTH];
        int32_t zero = 0, len = LEN[s], pos = 0, parent = -1;
        pm_seqs q = {1, LEN[s], &zero, &len, &pos, &parent, &PROMPT[s]};
        hidden_states(&b, &q, IDS + START[s], whole);
        b.tape.cache = pm_kvcache_new(b.life, c->L, 1, LONGEST, (int64_t)c->n_kv * c->D);
        b.tape.slot = &zero;
        for (len = PROMPT[s]; pos < LEN[s]; pos += len, len = 1) {
            q.n_tokens = len;
            hidden_states(&b, &q, IDS + START[s] + pos, grown + pos * WIDTH);
            pm_kvcache_advance(b.tape.cache, &q, &zero);
        }
        b.tape.cache = NULL;
        check_rows("one token at a time", grown, whole, LEN[s]);
    }
    bench_free(&b);
}

/* Two continuations of one shared prefix, which ends inside the prompt or at its end, are the two whole sequences. */
static void branches_as_whole(const pm_method *m) {
    enum { FULL = 8, P = 5 };
    static const int32_t ids[2][FULL] = {{1, 5, 9, 2, 22, 7, 3, 11}, {1, 5, 9, 2, 22, 4, 17, 8}};
    bench b = bench_new(m, NULL, NULL);
    randomize(&b);
    for (int shared = P - 1; shared <= P; shared++) {
        int own = FULL - shared;
        int32_t start[] = {0, shared, FULL}, len[] = {shared, own, own}, pos0[] = {0, shared, shared};
        static const int32_t parent[] = {-1, 0, 0}, prompt[] = {P, P, P}, one = FULL, none = -1;
        pm_seqs tree = {3, shared + 2 * own, start, len, pos0, parent, prompt};
        int32_t all[2 * FULL];
        real branch[2 * FULL * WIDTH], whole[FULL * WIDTH];
        memcpy(all, ids[0], sizeof ids[0]);
        memcpy(all + FULL, ids[1] + shared, (size_t)own * sizeof *all);
        hidden_states(&b, &tree, all, branch);
        for (int k = 0; k < 2; k++) {
            pm_seqs q = {1, FULL, start, &one, pos0, &none, prompt};
            hidden_states(&b, &q, ids[k], whole);
            check_rows("shared prefix", branch, whole, shared);
            check_rows("its branches", branch + start[k + 1] * WIDTH, whole + shared * WIDTH, own);
        }
    }
    bench_free(&b);
}

/* What acts on prompts alone is the base model where there is none, to the bit. */
static void keeps_to_prompts(const pm_method *m) {
    static const int32_t no_prompt[] = {0, 0};
    bench plain = bench_new(NULL, NULL, NULL), b = bench_new(m, NULL, NULL);
    if (b.run.claims & PM_PROMPT_ONLY) {
        pm_seqs q = SEQS;
        real x[N * WIDTH], y[N * WIDTH];
        q.prompt_len = no_prompt;
        randomize(&b);
        hidden_states(&plain, &q, IDS, x);
        hidden_states(&b, &q, IDS, y);
        CHECK(memcmp(x, y, sizeof x) == 0);
    }
    bench_free(&plain);
    bench_free(&b);
}

static void conform(const pm_method *m) {
    int before = check_bad_;
    says_what_it_is(m);
    starts_as_claimed(m);
    counts_as_closed_form(m);
    gradients_are_right(m);
    trains_and_leaves_the_base_alone(m);
    merges_exactly(m);
    repeats_bit_for_bit(m);
    grows_as_whole(m);
    branches_as_whole(m);
    keeps_to_prompts(m);
    if (check_bad_ != before) fprintf(stderr, "  in method %s\n", m->name);
}

static void methods_conform(void) {
    for (const pm_method *const *m = pm_methods; *m; m++) conform(*m);
}

static void methods_template_conforms(void) {
    conform(&pm_method_template);
}

static void methods_lora_closed_form_equals_published_counts(void) {
    const pm_model_cfg llama7b = {.C = 4096, .F = 11008, .V = 32000, .L = 32, .H = 32, .n_kv = 32, .D = 128};
    const pm_method *m = pm_method_find("lora");
    pm_err e = {0};
    void *cfg = calloc(1, m->cfg_size);
    pm_fields_defaults(m->fields, cfg);
    CHECK_OK(pm_field_set(m->fields, cfg, "method.", "rank", "32", &e));
    CHECK_OK(
        pm_field_set(m->fields, cfg, "method.", "targets", "q_proj,k_proj,v_proj,up_proj,down_proj", &e));
    CHECK_EQ_INT(m->n_params(&llama7b, cfg), 56098816); /* LLM-Adapters, LLaMA-7B r32: 0.826 % */
    free(cfg);
    CHECK_EQ_INT(pm_method_find("full")->n_params(&llama7b, NULL), 6738415616);
}

static void methods_refuse_unknown_targets(void) {
    pm_err e = {0};
    unsigned mask;
    CHECK_EQ_INT(pm_targets_parse("q_proj,qq", &mask, &e), PM_EUSAGE);
    CHECK(strstr(e.msg, "qq") && strstr(e.hint, "down_proj"));
    CHECK_EQ_INT(pm_targets_parse("", &mask, &e), PM_EUSAGE);
    CHECK_OK(pm_targets_parse("v_proj", &mask, &e));
    CHECK_EQ_INT(mask, 1u << PM_SITE_V);
}

static void methods_refuse_bad_layer_lists(void) {
    static const char *const BAD[] = {"",   "2",  "0,0", "1,0,1", "0,",
                                      ",0", "-1", "0 1", "0x1",   "99999999999999999999"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        pm_err e = {0};
        bench b = bench_new(NULL, NULL, NULL);
        const pm_method *m = pm_method_find("loreft");
        void *cfg = calloc(1, m->cfg_size), *state = calloc(1, m->state_size);
        pm_fields_defaults(m->fields, cfg);
        if (!pm_field_set(m->fields, cfg, "method.", "layers", BAD[i], &e)) {
            CHECK_EQ_INT(m->attach(&b.run, cfg, state, &e), PM_EUSAGE);
            CHECK_EQ_INT(m->n_params(&b.model->cfg, cfg), 0);
        }
        CHECK(strstr(e.msg, "layers"));
        free(cfg);
        free(state);
        bench_free(&b);
    }
}

int main(void) {
    pm_err e = {0};
    if (pm_gemm_init("auto", 1, &e)) return fprintf(stderr, "%s\n", e.msg), 1;
    RUN(methods_conform);
    RUN(methods_template_conforms);
    RUN(methods_lora_closed_form_equals_published_counts);
    RUN(methods_refuse_unknown_targets);
    RUN(methods_refuse_bad_layer_lists);
    return check_done();
}
