/* tiny.h - a method on a model small enough for difference quotients: grouped-query heads, q, k, v biases, untied, two prompts in one
 * ragged batch. What the conformance test and the papers' laws share. */
#ifndef PM_TINY_H
#define PM_TINY_H
#include "check.h"
#include "method.h"
#include <stdlib.h>

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

static inline void fill_model(bench *b) {
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

static inline bench bench_plain(void) {
    bench b = {0};
    b.base = pm_arena_new("base", 1 << 26);
    b.life = pm_arena_new("run", 1 << 26);
    b.step = pm_arena_new("step", 1 << 26);
    fill_model(&b);
    pm_tape_init(&b.tape, b.step);
    b.run = (pm_run){.arena = b.life, .model = b.model, .seed = 3};
    pm_params_init(&b.run.params, b.life);
    return b;
}

/* Settings: key, value, ..., NULL. Ranks are 3 unless said otherwise. */
static inline void bench_attach(bench *b, const pm_method *m, const char *const *settings) {
    pm_err e = {0};
    b->m = m;
    b->run.claims = m->flags;
    b->cfg = calloc(1, m->cfg_size + 1);
    b->state = calloc(1, m->state_size + 1);
    pm_fields_defaults(m->fields, b->cfg);
    if (pm_field_find(m->fields, "rank"))
        CHECK_OK(pm_field_set(m->fields, b->cfg, "method.", "rank", "3", &e));
    for (; settings && *settings; settings += 2)
        CHECK_OK(pm_field_set(m->fields, b->cfg, "method.", settings[0], settings[1], &e));
    CHECK_OK(m->attach(&b->run, b->cfg, b->state, &e));
    pm_optim_init(&b->run.params);
    b->hooks = (pm_hooks){m->linear, m->hidden, m->kv, b->state};
}

/* method NULL: the plain model; key NULL: the defaults. */
static inline bench bench_new(const pm_method *m, const char *key, const char *value) {
    bench b = bench_plain();
    const char *settings[] = {key, value, NULL};
    if (m) bench_attach(&b, m, settings);
    return b;
}

static inline void bench_free(bench *b) {
    free(b->cfg);
    free(b->state);
    pm_arena_free(b->base);
    pm_arena_free(b->life);
    pm_arena_free(b->step);
}

static inline pm_tensor *forward(bench *b, bool record) {
    pm_tape_reset(&b->tape);
    b->tape.record = b->tape.train = record;
    b->tape.seqs = &SEQS;
    b->tape.hooks = b->m ? &b->hooks : NULL;
    pm_tensor *h = pm_llama_forward(&b->tape, b->model, IDS), *x = pm_rows(&b->tape, h, ROWS, SCORED);
    pm_drop(&b->tape, h);
    return x;
}

static inline double loss_and_grads(bench *b, bool record) {
    pm_zero_grad(&b->run.params);
    pm_tensor *loss = pm_lm_loss(&b->tape, forward(b, record), b->model->head, TARGET, SCORED);
    double v = (double)loss->data[0];
    if (record) pm_backward(&b->tape, loss);
    return v;
}

/* The final hidden states of all rows; the caller frees. */
static inline real *outputs(bench *b) {
    pm_tensor *x = forward(b, false);
    size_t bytes = (size_t)(x->rows * x->cols) * sizeof(real);
    real *copy = malloc(bytes);
    memcpy(copy, x->data, bytes);
    return copy;
}

static inline double largest_difference(const bench *b, const real *x, const real *y) {
    double most = 0;
    for (int64_t i = 0; i < SCORED * b->model->cfg.C; i++) most = fmax(most, fabs((double)(x[i] - y[i])));
    return most;
}

static inline void randomize(bench *b) {
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

static inline pm_optim optim(void) {
    return (pm_optim){.lr = 1e-2, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .n_steps = 100};
}

/* At ten times the method's own rate, and at least 1e-2: the model is tiny and the steps are few. */
static inline double train_steps(bench *b, int n) {
    pm_optim o = optim();
    o.lr = fmax(o.lr, 10 * b->m->default_lr);
    double loss = 0;
    for (int i = 0; i < n; i++) {
        b->tape.step = (uint64_t)i;
        loss = loss_and_grads(b, true);
        pm_adamw_step(&b->run.params, &o, i, o.lr);
        if (b->m->after_step) b->m->after_step(&b->run, b->state, i, n);
    }
    return loss;
}
#endif
