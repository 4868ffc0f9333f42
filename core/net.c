/* net.c - a model's skeleton (parameters and sites from its dimensions), the doors through which methods act,
 * and trainable parameters. */
#include "net.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Module of each projection inside a layer, and its parent: the names Hugging Face gives them. */
static const struct {
    const char *name, *parent;
} KINDS[PM_SITE_KIND_N] = {
    [PM_SITE_Q] = {"q_proj", "self_attn"},     [PM_SITE_K] = {"k_proj", "self_attn"},
    [PM_SITE_V] = {"v_proj", "self_attn"},     [PM_SITE_O] = {"o_proj", "self_attn"},
    [PM_SITE_GATE] = {"gate_proj", "mlp"},     [PM_SITE_UP] = {"up_proj", "mlp"},
    [PM_SITE_DOWN] = {"down_proj", "mlp"},     [PM_SITE_EMBED] = {"embed", NULL},
    [PM_SITE_ATTN_OUT] = {"attn_out", NULL},   [PM_SITE_MLP_OUT] = {"mlp_out", NULL},
    [PM_SITE_BLOCK_OUT] = {"block_out", NULL},
};

const char *pm_site_kind_name(pm_site_kind k) {
    return KINDS[k].name;
}

void pm_kind_shape(const pm_model_cfg *m, pm_site_kind k, int64_t *in, int64_t *out) {
    int64_t q = (int64_t)m->H * m->D, kv = (int64_t)m->n_kv * m->D;
    switch (k) {
    case PM_SITE_Q:
        *in = m->C, *out = q;
        return;
    case PM_SITE_K:
    case PM_SITE_V:
        *in = m->C, *out = kv;
        return;
    case PM_SITE_O:
        *in = q, *out = m->C;
        return;
    case PM_SITE_GATE:
        *in = m->ungated ? 0 : m->C, *out = m->ungated ? 0 : m->F;
        return;
    case PM_SITE_UP:
        *in = m->C, *out = m->F;
        return;
    case PM_SITE_DOWN:
        *in = m->F, *out = m->C;
        return;
    default:
        *in = *out = m->C;
    }
}

/* ---- the skeleton ---- */

typedef struct maker {
    pm_arena *base;
    pm_model *m;
} maker;

static pm_param *add_param(maker *k, int64_t rows, int64_t cols, char *name) {
    pm_param *p = &k->m->params[k->m->n_params++];
    *p = (pm_param){.name = name, .rows = rows, .cols = cols, .vector = rows == 1};
    return p;
}

static pm_site *add_site(maker *k, pm_site_kind kind, int layer, const char *name) {
    pm_site *s = &k->m->sites[k->m->n_sites];
    *s = (pm_site){.kind = kind, .layer = layer, .idx = k->m->n_sites++, .name = name};
    pm_kind_shape(&k->m->cfg, kind, &s->in, &s->out);
    return s;
}

static const pm_site *add_projection(maker *k, pm_site_kind kind, int layer) {
    char *name =
        pm_arena_printf(k->base, "model.layers.%d.%s.%s", layer, KINDS[kind].parent, KINDS[kind].name);
    pm_site *s = add_site(k, kind, layer, name);
    s->w = add_param(k, s->out, s->in, pm_arena_printf(k->base, "%s.weight", name));
    if (k->m->cfg.qkv_bias && kind <= PM_SITE_V)
        s->b = add_param(k, 1, s->out, pm_arena_printf(k->base, "%s.bias", name));
    return s;
}

static void add_layer(maker *k, int l) {
    pm_layer *y = &k->m->layers[l];
    char *name = pm_arena_printf(k->base, "model.layers.%d", l);
    for (pm_site_kind kind = 0; kind < PM_SITE_N_LINEAR; kind++) y->site[kind] = add_projection(k, kind, l);
    y->norm1 = add_param(k, 1, k->m->cfg.C, pm_arena_printf(k->base, "%s.input_layernorm.weight", name));
    y->norm2 =
        add_param(k, 1, k->m->cfg.C, pm_arena_printf(k->base, "%s.post_attention_layernorm.weight", name));
    y->attn_out = add_site(k, PM_SITE_ATTN_OUT, l, pm_arena_printf(k->base, "%s.self_attn", name));
    y->mlp_out = add_site(k, PM_SITE_MLP_OUT, l, pm_arena_printf(k->base, "%s.mlp", name));
    y->block_out = add_site(k, PM_SITE_BLOCK_OUT, l, name);
}

/* 1 / theta^(2i/D), then the model's scaling. Llama 3 (as transformers' _compute_llama3_parameters): long
 * wavelengths are divided by factor, short ones kept, those between blended. */
static void rope_frequencies(const pm_model_cfg *c, double *f) {
    const pm_rope_cfg *r = &c->rope;
    for (int i = 0; i < c->D / 2; i++) {
        f[i] = 1.0 / pow(r->theta, 2.0 * i / c->D);
        if (r->kind == 1) f[i] /= r->factor;
        if (r->kind != 3) continue;
        double wave = 2 * 3.14159265358979323846 / f[i];
        double low = r->original_max / r->low_freq_factor, high = r->original_max / r->high_freq_factor;
        double blend =
            (r->original_max / wave - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
        if (wave > low)
            f[i] /= r->factor;
        else if (wave > high)
            f[i] = (1 - blend) * f[i] / r->factor + blend * f[i];
    }
}

pm_model *pm_model_new(pm_arena *base, const pm_model_cfg *cfg) {
    pm_model *m = pm_arena_zalloc(base, sizeof *m, PM_MEM_WORKSPACE);
    m->cfg = *cfg;
    size_t per_layer = PM_SITE_N_LINEAR + 2 + 3;
    m->params = pm_arena_zalloc(base, ((size_t)cfg->L * per_layer + 3) * sizeof *m->params, PM_MEM_WORKSPACE);
    m->sites = pm_arena_zalloc(base, ((size_t)cfg->L * (PM_SITE_N_LINEAR + 3) + 1) * sizeof *m->sites,
                               PM_MEM_WORKSPACE);
    m->layers = pm_arena_zalloc(base, (size_t)cfg->L * sizeof *m->layers, PM_MEM_WORKSPACE);
    m->inv_freq = pm_arena_zalloc(base, (size_t)(cfg->D / 2 + 1) * sizeof *m->inv_freq, PM_MEM_WORKSPACE);
    maker k = {base, m};
    m->embed = add_param(&k, cfg->V, cfg->C, pm_arena_strdup(base, "model.embed_tokens.weight"));
    m->embed_site = add_site(&k, PM_SITE_EMBED, -1, pm_arena_strdup(base, "model.embed_tokens"));
    for (int l = 0; l < cfg->L; l++) add_layer(&k, l);
    m->norm = add_param(&k, 1, cfg->C, pm_arena_strdup(base, "model.norm.weight"));
    m->head = cfg->tied ? m->embed : add_param(&k, cfg->V, cfg->C, pm_arena_strdup(base, "lm_head.weight"));
    rope_frequencies(cfg, m->inv_freq);
    return m;
}

pm_param *pm_model_param(const pm_model *m, const char *name) {
    for (int i = 0; i < m->n_params; i++)
        if (strcmp(m->params[i].name, name) == 0) return &m->params[i];
    return NULL;
}

int64_t pm_model_count(const pm_model *m) {
    int64_t n = 0;
    for (int i = 0; i < m->n_params; i++) n += m->params[i].rows * m->params[i].cols;
    return n;
}

static void pack(const pm_model *m, pm_param *p, pm_arena *base) {
    if (!p->trainable && !p->packed)
        p->packed = pm_pack(base, m->hash, p->name, p->w, p->rows, p->cols, m->precision);
}

void pm_model_pack(pm_model *m, pm_arena *base, pm_precision precision) {
    m->precision = precision;
    for (int i = 0; i < m->n_sites; i++)
        if (m->sites[i].w) pack(m, m->sites[i].w, base);
    pack(m, m->head, base);
}

/* ---- doors ---- */

pm_tensor *pm_site_linear(pm_tape *t, const pm_site *s, pm_tensor *x) {
    return pm_linear_param(t, x, s->w, s->b);
}

pm_tensor *pm_at_linear(pm_tape *t, const pm_site *s, pm_tensor *x) {
    const pm_hooks *h = t->hooks;
    return h && h->linear ? h->linear(t, s, x, h->st) : pm_site_linear(t, s, x);
}

pm_tensor *pm_at_hidden(pm_tape *t, const pm_site *s, pm_tensor *x) {
    const pm_hooks *h = t->hooks;
    return h && h->hidden ? h->hidden(t, s, x, h->st) : x;
}

/* ---- trainable parameters ---- */

void pm_params_init(pm_params *l, pm_arena *run) {
    *l = (pm_params){.arena = run};
}

static void list(pm_params *l, pm_param *p) {
    if (l->n == l->cap) {
        int cap = l->cap ? 2 * l->cap : 64;
        pm_param **more = pm_arena_alloc(l->arena, (size_t)cap * sizeof *more, PM_MEM_WORKSPACE);
        if (l->n) memcpy(more, l->p, (size_t)l->n * sizeof *more);
        l->p = more;
        l->cap = cap;
    }
    l->p[l->n++] = p;
    p->trainable = true;
    p->grad = pm_arena_zalloc(l->arena, (size_t)(p->rows * p->cols) * sizeof(real), PM_MEM_GRADIENTS);
}

pm_param *pm_param_new(pm_params *l, int64_t rows, int64_t cols, const char *fmt, ...) {
    char name[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    pm_param *p = pm_arena_zalloc(l->arena, sizeof *p, PM_MEM_WORKSPACE);
    p->name = pm_arena_strdup(l->arena, name);
    p->rows = rows;
    p->cols = cols;
    p->w = pm_arena_zalloc(l->arena, (size_t)(rows * cols) * sizeof(real), PM_MEM_ADAPTER);
    list(l, p);
    return p;
}

void pm_param_unfreeze(pm_params *l, pm_param *base) {
    if (base->trainable) return; /* tied weights are reached twice */
    size_t bytes = (size_t)(base->rows * base->cols) * sizeof(real);
    real *own = pm_arena_alloc(l->arena, bytes, PM_MEM_ADAPTER);
    memcpy(own, base->w, bytes);
    base->w = own;
    base->packed = NULL;
    list(l, base);
}

int64_t pm_params_count(const pm_params *l) {
    int64_t n = 0;
    for (int i = 0; i < l->n; i++) n += l->p[i]->rows * l->p[i]->cols;
    return n;
}
