/* test_methods.c - the conformance test: one loop over the registry (and the template), so that a new method brings no test code.
 *
 * Each method states what it is and where that comes from. On a tiny model with grouped-query heads and q, k, v biases: identity at
 * init as claimed; the parameter count equals the closed form; gradients equal difference quotients at random values (never at init,
 * where B = 0 hides any bug in A); the base is untouched; merged equals unmerged; the same seed gives the same bits; the loss falls and
 * every tensor moves.
 */
#include "check.h"
#include "method.h"
#include <stdlib.h>

#ifdef PM_DOUBLE
static const double STEP = 1e-5, BOUND = 1e-6, EQUAL = 1e-12;
#else
static const double STEP = 2e-3, BOUND = 5e-2, EQUAL = 2e-5;
#endif

extern const pm_method pm_method_template;

enum { N = 13, SCORED = 5, V = 23 };
static const int32_t START[] = {0, 8}, LEN[] = {8, 5}, POS0[] = {0, 0}, PROMPT[] = {5, 3};
static const pm_seqs SEQS = {2, N, START, LEN, POS0, NULL, PROMPT};
static const int32_t IDS[N] = {1, 5, 9, 2, 22, 7, 3, 11, 4, 4, 17, 8, 20}, ROWS[SCORED] = {4, 5, 6, 10, 11},
                     TARGET[SCORED] = {7, 3, 11, 8, 20};

typedef struct bench {
    const pm_method *m;
    pm_arena *base, *life, *step;
    pm_model *model;
    void *cfg, *state;
    pm_run run;
    pm_hooks hooks;
    pm_tape tape;
} bench;

static void fill_model(bench *b) {
    static const pm_model_cfg cfg = {.arch = "qwen2",
                                     .C = 12,
                                     .F = 20,
                                     .V = V,
                                     .L = 2,
                                     .H = 4,
                                     .n_kv = 2,
                                     .D = 6,
                                     .max_pos = 64,
                                     .norm_eps = (real)1e-5,
                                     .tied = false,
                                     .qkv_bias = true,
                                     .rope = {.theta = 1e4}};
    b->model = pm_model_new(b->base, &cfg);
    for (int i = 0; i < b->model->n_params; i++) {
        pm_param *p = &b->model->params[i];
        pm_rng g = pm_rng_make(5, (uint64_t)i);
        p->w = pm_arena_alloc(b->base, (size_t)(p->rows * p->cols) * sizeof(real), PM_MEM_WEIGHTS);
        pm_rng_fill_normal(&g, p->w, p->rows * p->cols, p->rows == 1 ? 1 : 0, (real)0.3);
    }
}

/* method NULL: the plain model. */
static bench bench_new(const pm_method *m, const char *key, const char *value) {
    pm_err e = {0};
    bench b = {.m = m};
    b.base = pm_arena_new("base", 1 << 26);
    b.life = pm_arena_new("run", 1 << 26);
    b.step = pm_arena_new("step", 1 << 26);
    fill_model(&b);
    pm_tape_init(&b.tape, b.step);
    b.run = (pm_run){.arena = b.life, .model = b.model, .seed = 3, .claims = m ? m->flags : 0};
    pm_params_init(&b.run.params, b.life);
    if (m) {
        b.cfg = calloc(1, m->cfg_size + 1);
        b.state = calloc(1, m->state_size + 1);
        pm_fields_defaults(m->fields, b.cfg);
        if (pm_field_find(m->fields, "rank"))
            CHECK_OK(pm_field_set(m->fields, b.cfg, "method.", "rank", "3", &e));
        if (key) CHECK_OK(pm_field_set(m->fields, b.cfg, "method.", key, value, &e));
        CHECK_OK(m->attach(&b.run, b.cfg, b.state, &e));
        pm_optim_init(&b.run.params);
        b.hooks = (pm_hooks){m->linear, m->hidden, m->kv, b.state};
    }
    return b;
}

static void bench_free(bench *b) {
    free(b->cfg);
    free(b->state);
    pm_arena_free(b->base);
    pm_arena_free(b->life);
    pm_arena_free(b->step);
}

static pm_tensor *forward(bench *b, bool record) {
    pm_tape_reset(&b->tape);
    b->tape.record = b->tape.train = record;
    b->tape.seqs = &SEQS;
    b->tape.hooks = b->m ? &b->hooks : NULL;
    pm_tensor *h = pm_llama_forward(&b->tape, b->model, IDS), *x = pm_rows(&b->tape, h, ROWS, SCORED);
    pm_drop(&b->tape, h);
    return x;
}

static double loss_and_grads(bench *b, bool record) {
    pm_zero_grad(&b->run.params);
    pm_tensor *loss = pm_lm_loss(&b->tape, forward(b, record), b->model->head, TARGET, SCORED);
    double v = (double)loss->data[0];
    if (record) pm_backward(&b->tape, loss);
    return v;
}

/* The final hidden states of all rows; the caller frees. */
static real *outputs(bench *b) {
    pm_tensor *x = forward(b, false);
    size_t bytes = (size_t)(x->rows * x->cols) * sizeof(real);
    real *copy = malloc(bytes);
    memcpy(copy, x->data, bytes);
    return copy;
}

static double largest_difference(const bench *b, const real *x, const real *y) {
    double most = 0;
    for (int64_t i = 0; i < SCORED * b->model->cfg.C; i++) most = fmax(most, fabs((double)(x[i] - y[i])));
    return most;
}

static void randomize(bench *b) {
    for (int i = 0; i < b->run.params.n; i++) {
        pm_param *p = b->run.params.p[i];
        pm_rng g = pm_rng_make(17, (uint64_t)i);
        real *noise = malloc((size_t)(p->rows * p->cols) * sizeof *noise);
        pm_rng_fill_normal(&g, noise, p->rows * p->cols, 0, (real)0.2);
        for (int64_t j = 0; j < p->rows * p->cols; j++) p->w[j] += noise[j];
        free(noise);
    }
    if (b->m->after_step) b->m->after_step(&b->run, b->state, 0, 1);
}

static pm_optim optim(void) {
    return (pm_optim){.lr = 1e-2, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .n_steps = 100};
}

static double train_steps(bench *b, int n) {
    pm_optim o = optim();
    double loss = 0;
    for (int i = 0; i < n; i++) {
        b->tape.step = (uint64_t)i;
        loss = loss_and_grads(b, true);
        pm_adamw_step(&b->run.params, &o, i, o.lr);
        if (b->m->after_step) b->m->after_step(&b->run, b->state, i, n);
    }
    return loss;
}

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

static void conform(const pm_method *m) {
    int before = check_bad_;
    says_what_it_is(m);
    starts_as_claimed(m);
    counts_as_closed_form(m);
    gradients_are_right(m);
    trains_and_leaves_the_base_alone(m);
    merges_exactly(m);
    repeats_bit_for_bit(m);
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
