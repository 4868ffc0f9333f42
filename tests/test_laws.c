/* test_laws.c - what the papers and their released code say of each method, beyond what the conformance test asks of all. */
#include "tiny.h"

#ifdef PM_DOUBLE
static const double EQUAL = 1e-11;
#else
static const double EQUAL = 3e-5;
#endif

static bench bench_of(const char *method, const char *const *settings) {
    bench b = bench_plain();
    bench_attach(&b, pm_method_find(method), settings);
    return b;
}

static pm_param *param(const bench *b, const char *name) {
    for (int i = 0; i < b->run.params.n; i++)
        if (strcmp(b->run.params.p[i]->name, name) == 0) return b->run.params.p[i];
    PM_ASSERT(0, "no parameter %s", name);
}

static double largest(const real *x, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs((double)x[i]));
    return most;
}

static double largest_grad(const pm_param *p) {
    return largest(p->grad, p->rows * p->cols);
}

/* Hidden states of the scored rows in training, dropout on; the caller frees. */
static real *training_outputs(bench *b) {
    pm_tensor *x = forward(b, true);
    size_t bytes = (size_t)(x->rows * x->cols) * sizeof(real);
    return memcpy(malloc(bytes), x->data, bytes);
}

static double row_norm(const real *w, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += (double)w[i] * (double)w[i];
    return sqrt(s);
}

static double dot_of(const real *a, const real *b, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += (double)a[i] * (double)b[i];
    return s;
}

/* ---- first steps ---- */

static void laws_of_the_first_gradient(void) {
    bench b = bench_of("lora", NULL);
    loss_and_grads(&b, true);
    CHECK(largest_grad(param(&b, "model.layers.0.mlp.up_proj.lora_A.weight")) == 0);
    CHECK(largest_grad(param(&b, "model.layers.0.mlp.up_proj.lora_B.weight")) > 0);
    bench_free(&b);
    b = bench_of("wegeft", NULL);
    loss_and_grads(&b, true);
    CHECK(largest_grad(param(&b, "wegeft.up_proj.psi")) == 0);
    CHECK(largest_grad(param(&b, "wegeft.up_proj.phi")) > 0);
    bench_free(&b);
}

/* ---- DoRA ---- */

static void dora_merged_rows_are_as_long_as_their_magnitudes(void) {
    pm_err e = {0};
    bench b = bench_of("dora", NULL);
    randomize(&b);
    const pm_site *q = b.model->layers[1].site[PM_SITE_Q];
    const pm_param *m = param(&b, "model.layers.1.self_attn.q_proj.lora_magnitude_vector");
    real first_bias = q->b->w[0];
    CHECK_OK(b.m->merge(b.model, b.state, &e));
    for (int64_t i = 0; i < q->out; i++)
        CHECK_NEAR(row_norm(q->w->w + i * q->in, q->in), fabs((double)m->w[i]), EQUAL);
    CHECK(q->b->w[0] == first_bias);
    bench_free(&b);
}

/* The norms by three terms, where these cancel and where they do not, against the norms of the rows themselves. */
static void dora_norms_are_exact_where_the_update_undoes_the_weight(void) {
    pm_err e = {0};
    bench b = bench_of("dora", (const char *[]){"rank", "12", "alpha", "12", NULL});
    pm_site *q = &b.model->sites[b.model->layers[0].site[PM_SITE_Q]->idx];
    pm_param *A = param(&b, "model.layers.0.self_attn.q_proj.lora_A.weight"),
             *B = param(&b, "model.layers.0.self_attn.q_proj.lora_B.weight");
    memset(A->w, 0, (size_t)(A->rows * A->cols) * sizeof(real));
    for (int64_t i = 0; i < A->rows; i++) A->w[i * A->cols + i] = 1;
    for (int64_t i = 0; i < B->rows * B->cols; i++)
        B->w[i] = q->w->w[i] * (real)(i / B->cols % 2 ? 0.5 : -0.999);
    b.m->after_step(&b.run, b.state, 0, 1);
    real *x = outputs(&b);
    CHECK_OK(b.m->merge(b.model, b.state, &e));
    b.m = NULL;
    real *y = outputs(&b);
    CHECK_NEAR(largest_difference(&b, x, y), 0, 100 * EQUAL);
    free(x);
    free(y);
    bench_free(&b);
}

static void dora_says_and_survives_a_row_of_zeros(void) {
    bench b = bench_plain();
    const pm_site *o = b.model->layers[0].site[PM_SITE_O];
    memset(o->w->w + 2 * o->in, 0, (size_t)o->in * sizeof(real));
    bench_attach(&b, pm_method_find("dora"), NULL);
    CHECK(b.run.note && strstr(b.run.note, "1 row"));
    train_steps(&b, 5);
    for (int i = 0; i < b.run.params.n; i++)
        for (int64_t j = 0; j < b.run.params.p[i]->rows * b.run.params.p[i]->cols; j++)
            CHECK(isfinite((double)b.run.params.p[i]->w[j]));
    bench_free(&b);
}

/* m/n is 1 at the start: what dropout takes from the base comes back. */
static void dora_starts_as_the_base_under_dropout_too(void) {
    bench plain = bench_plain(), b = bench_of("dora", (const char *[]){"dropout", "0.5", NULL});
    real *x = outputs(&plain), *y = training_outputs(&b);
    CHECK_NEAR(largest_difference(&b, x, y), 0, EQUAL);
    free(x);
    free(y);
    bench_free(&plain);
    bench_free(&b);
}

/* ---- SVF ---- */

static double nuclear_norm(const pm_site *s) {
    int64_t k = s->in < s->out ? s->in : s->out;
    real *u = malloc((size_t)(s->out * k) * sizeof *u), *v = malloc((size_t)(k * s->in) * sizeof *v),
         *d = malloc((size_t)k * sizeof *d);
    double sum = 0;
    CHECK(pm_svd(s->out, s->in, s->w->w, u, d, v));
    for (int64_t i = 0; i < k; i++) sum += (double)d[i];
    free(u), free(v), free(d);
    return sum;
}

static void svf_release_keeps_the_nuclear_norm(void) {
    pm_err e = {0};
    bench b = bench_of("svf", (const char *[]){"form", "release", NULL});
    CHECK(!(b.run.claims & PM_IDENTITY_INIT));
    const pm_site *up = b.model->layers[1].site[PM_SITE_UP];
    double before = nuclear_norm(up);
    randomize(&b);
    CHECK_OK(b.m->merge(b.model, b.state, &e));
    CHECK_REL(nuclear_norm(up), before, EQUAL);
    bench_free(&b);
}

/* A mask that is the same everywhere, or that is c times another, is no change. */
static void svf_release_knows_masks_up_to_a_factor(void) {
    bench plain = bench_plain(), b = bench_of("svf", (const char *[]){"form", "release", NULL});
    real *x = outputs(&plain);
    for (int i = 0; i < b.run.params.n; i++)
        for (int64_t j = 0; j < b.run.params.p[i]->cols; j++) b.run.params.p[i]->w[j] = (real)-0.7;
    real *y = outputs(&b);
    CHECK_NEAR(largest_difference(&b, x, y), 0, EQUAL);
    randomize(&b);
    real *one = outputs(&b);
    for (int i = 0; i < b.run.params.n; i++)
        for (int64_t j = 0; j < b.run.params.p[i]->cols; j++) {
            double half = 0.5 / (1 + exp(-(double)b.run.params.p[i]->w[j]));
            b.run.params.p[i]->w[j] = (real)log(half / (1 - half));
        }
    real *other = outputs(&b);
    CHECK_NEAR(largest_difference(&b, one, other), 0, EQUAL);
    free(x), free(y), free(one), free(other);
    bench_free(&plain);
    bench_free(&b);
}

/* ---- WeGeFT ---- */

/* A dropout so small that it drops nothing takes the form with W0 phi^T; without, the form on the activations. */
static void wegeft_forms_agree(void) {
    bench a = bench_of("wegeft", (const char *[]){"dropout", "1e-14", NULL}), b = bench_of("wegeft", NULL);
    randomize(&a);
    randomize(&b);
    real *x = training_outputs(&a), *y = training_outputs(&b);
    CHECK_NEAR(largest_difference(&b, x, y), 0, EQUAL);
    CHECK_NEAR(loss_and_grads(&a, true), loss_and_grads(&b, true), EQUAL);
    for (int i = 0; i < a.run.params.n; i++) {
        const pm_param *p = a.run.params.p[i], *q = b.run.params.p[i];
        for (int64_t j = 0; j < p->rows * p->cols; j++)
            CHECK_NEAR((double)p->grad[j], (double)q->grad[j], EQUAL * (1 + largest_grad(q)));
    }
    free(x);
    free(y);
    bench_free(&a);
    bench_free(&b);
}

static void wegeft_shared_gradient_is_the_sum_over_layers(void) {
    bench own = bench_of("wegeft", (const char *[]){"share", "false", NULL}),
          shared = bench_of("wegeft", NULL);
    randomize(&shared);
    static const char *const PART[] = {"phi", "psi"};
    for (int layer = 0; layer < 2; layer++)
        for (int k = 0; k < PM_SITE_N_LINEAR; k++)
            for (int i = 0; i < 2; i++) {
                char from[64], to[96];
                snprintf(from, sizeof from, "wegeft.%s.%s", pm_site_kind_name((pm_site_kind)k), PART[i]);
                snprintf(to, sizeof to, "%s.wegeft.%s", own.model->layers[layer].site[k]->name, PART[i]);
                const pm_param *p = param(&shared, from);
                memcpy(param(&own, to)->w, p->w, (size_t)(p->rows * p->cols) * sizeof(real));
            }
    CHECK_NEAR(loss_and_grads(&own, true), loss_and_grads(&shared, true), EQUAL);
    const pm_param *s = param(&shared, "wegeft.down_proj.phi"),
                   *l0 = param(&own, "model.layers.0.mlp.down_proj.wegeft.phi"),
                   *l1 = param(&own, "model.layers.1.mlp.down_proj.wegeft.phi");
    for (int64_t j = 0; j < s->rows * s->cols; j++)
        CHECK_NEAR((double)s->grad[j], (double)(l0->grad[j] + l1->grad[j]), EQUAL * (1 + largest_grad(s)));
    bench_free(&own);
    bench_free(&shared);
}

/* ---- ReFT ---- */

static void rows_are_orthonormal(const pm_param *R) {
    for (int64_t i = 0; i < R->rows; i++)
        for (int64_t j = 0; j < R->rows; j++)
            CHECK_NEAR(dot_of(R->stored + i * R->cols, R->stored + j * R->cols, R->cols), i == j, EQUAL);
}

static double decayed_steps(bench *b, double decay, int n) {
    pm_optim o = optim();
    o.weight_decay = decay;
    double loss = 0;
    for (int i = 0; i < n; i++) {
        loss = loss_and_grads(b, true);
        pm_adamw_step(&b->run.params, &o, i, o.lr);
        b->m->after_step(&b->run, b->state, i, n);
    }
    return loss;
}

static void loreft_rows_stay_orthonormal_and_undecayed(void) {
    bench a = bench_of("loreft", NULL), b = bench_of("loreft", NULL);
    const pm_param *Ra = param(&a, "model.layers.0.loreft.R"), *Rb = param(&b, "model.layers.0.loreft.R");
    rows_are_orthonormal(Ra);
    decayed_steps(&a, 0, 1);
    decayed_steps(&b, 0.5, 1);
    for (int64_t j = 0; j < Ra->rows * Ra->cols; j++) CHECK(Ra->stored[j] == Rb->stored[j]);
    CHECK(param(&a, "model.layers.0.loreft.W")->w[0] != param(&b, "model.layers.0.loreft.W")->w[0]);
    decayed_steps(&b, 0.5, 30);
    rows_are_orthonormal(Rb);
    bench_free(&a);
    bench_free(&b);
}

/* The hook alone, on random states of one sequence of six prompt tokens and two more: which rows change, and to what. */
enum { ROWS_IN = 8, P = 6 };
static pm_tensor *edited(bench *b, real *in) {
    static const int32_t start[] = {0}, len[] = {ROWS_IN}, pos0[] = {0}, prompt[] = {P};
    static const pm_seqs seqs = {1, ROWS_IN, start, len, pos0, NULL, prompt};
    int64_t C = b->model->cfg.C;
    pm_rng g = pm_rng_make(1, 1);
    pm_rng_fill_normal(&g, in, ROWS_IN * C, 0, 1);
    pm_tape_reset(&b->tape);
    b->tape.seqs = &seqs;
    b->tape.record = false;
    return b->m->hidden(&b->tape, b->model->layers[1].block_out, pm_input(&b->tape, in, ROWS_IN, C),
                        b->state);
}

static bool row_changed(const bench *b, const pm_tensor *out, const real *in, int row) {
    int64_t C = b->model->cfg.C;
    return memcmp(out->data + row * C, in + row * C, (size_t)C * sizeof(real)) != 0;
}

/* R Phi(h) = W h + b, and nothing moves outside R's rows. */
static void loreft_puts_the_subspace_where_the_source_says(void) {
    bench b = bench_of("loreft", (const char *[]){"prefix", "3", "suffix", "3", NULL});
    randomize(&b);
    int64_t C = b.model->cfg.C;
    real *in = malloc((size_t)(ROWS_IN * C) * sizeof *in);
    const pm_tensor *out = edited(&b, in);
    const pm_param *W = param(&b, "model.layers.1.loreft.W"), *bias = param(&b, "model.layers.1.loreft.b"),
                   *R = param(&b, "model.layers.1.loreft.R");
    for (int row = 0; row < ROWS_IN; row++) {
        const real *h = in + row * C, *phi = out->data + row * C;
        CHECK(row_changed(&b, out, in, row) == (row < P));
        for (int64_t k = 0; k < R->rows && row < P; k++)
            CHECK_NEAR(dot_of(R->stored + k * C, phi, C), dot_of(W->w + k * C, h, C) + (double)bias->w[k],
                       EQUAL);
        for (int64_t c = 0; c < C && row < P; c++) {
            double outside = (double)(phi[c] - h[c]);
            for (int64_t k = 0; k < R->rows; k++)
                outside -= (double)R->stored[k * C + c] *
                           (dot_of(R->stored + k * C, phi, C) - dot_of(R->stored + k * C, h, C));
            CHECK_NEAR(outside, 0, EQUAL);
        }
    }
    free(in);
    bench_free(&b);
}

static void direft_is_its_formula(void) {
    bench b = bench_of("direft", (const char *[]){"prefix", "1", "suffix", "2", "tied", "false", NULL});
    randomize(&b);
    int64_t C = b.model->cfg.C;
    real *in = malloc((size_t)(ROWS_IN * C) * sizeof *in);
    const pm_tensor *out = edited(&b, in);
    const pm_param *W = param(&b, "model.layers.1.direft_suffix.W"),
                   *bias = param(&b, "model.layers.1.direft_suffix.b"),
                   *W2 = param(&b, "model.layers.1.direft_suffix.W2");
    for (int row = 0; row < ROWS_IN; row++)
        CHECK(row_changed(&b, out, in, row) == (row == 0 || row == P - 2 || row == P - 1));
    const real *h = in + (P - 1) * C;
    for (int64_t c = 0; c < C; c++) {
        double want = (double)h[c];
        for (int64_t k = 0; k < W->rows; k++)
            want += (double)W2->w[c * W->rows + k] * (dot_of(W->w + k * C, h, C) + (double)bias->w[k]);
        CHECK_NEAR((double)out->data[(P - 1) * C + c], want, EQUAL);
    }
    free(in);
    bench_free(&b);
}

/* Dropout falls on the whole edited state, and only there. */
static void reft_dropout_falls_on_the_edited_state(void) {
    bench b = bench_of("loreft", (const char *[]){"dropout", "0.5", "prefix", "1", "suffix", "0", NULL});
    int64_t C = b.model->cfg.C;
    real *in = malloc((size_t)(ROWS_IN * C) * sizeof *in);
    b.tape.train = true;
    const pm_tensor *out = edited(&b, in);
    int zeros = 0;
    for (int64_t c = 0; c < C; c++) zeros += out->data[c] == 0;
    CHECK(zeros > 0 && zeros < C);
    for (int row = 1; row < ROWS_IN; row++) CHECK(!row_changed(&b, out, in, row));
    free(in);
    bench_free(&b);
}

int main(void) {
    pm_err e = {0};
    if (pm_gemm_init("auto", 1, &e)) return fprintf(stderr, "%s\n", e.msg), 1;
    RUN(laws_of_the_first_gradient);
    RUN(dora_merged_rows_are_as_long_as_their_magnitudes);
    RUN(dora_norms_are_exact_where_the_update_undoes_the_weight);
    RUN(dora_says_and_survives_a_row_of_zeros);
    RUN(dora_starts_as_the_base_under_dropout_too);
    RUN(svf_release_keeps_the_nuclear_norm);
    RUN(svf_release_knows_masks_up_to_a_factor);
    RUN(wegeft_forms_agree);
    RUN(wegeft_shared_gradient_is_the_sum_over_layers);
    RUN(loreft_rows_stay_orthonormal_and_undecayed);
    RUN(loreft_puts_the_subspace_where_the_source_says);
    RUN(direft_is_its_formula);
    RUN(reft_dropout_falls_on_the_edited_state);
    return check_done();
}
