/* net.h - what a method sees of a model: its dimensions, its parameters, and the sites where it may act.
 *
 * Dimension letters, used everywhere: B sequences a batch, T positions, N = tokens of the batch, C hidden width, F feed-forward width,
 * H heads, V vocabulary, L layers, r rank, I/O a projection's input/output width, D head width.
 */
#ifndef PM_NET_H
#define PM_NET_H
#include "ops.h"

typedef enum pm_site_kind {
    PM_SITE_Q,
    PM_SITE_K,
    PM_SITE_V,
    PM_SITE_O,
    PM_SITE_GATE,
    PM_SITE_UP,
    PM_SITE_DOWN, /* projections: the `linear` hook */
    PM_SITE_N_LINEAR,
    PM_SITE_EMBED = PM_SITE_N_LINEAR,
    PM_SITE_ATTN_OUT,
    PM_SITE_MLP_OUT,
    PM_SITE_BLOCK_OUT, /* residual stream: the `hidden` hook */
    PM_SITE_KIND_N
} pm_site_kind;
const char *pm_site_kind_name(pm_site_kind k); /* q_proj ... down_proj, embed, attn_out, mlp_out, block_out */

typedef struct pm_site {
    pm_site_kind kind;
    int layer; /* 0..L-1; -1 for EMBED */
    int idx;   /* 0..model->n_sites-1: methods index their state with it */
    const char
        *name; /* Hugging Face's module: model.layers.0.self_attn.q_proj, or model.layers.0 for BLOCK_OUT */
    int64_t in, out; /* projection: I, O; hidden: C, C */
    pm_param *w, *b; /* projection: weight [O,I] and bias [1,O] or NULL; hidden: NULL */
} pm_site;

/* Rotary scaling: 0 none; 3 Llama-3 (factor, low/high frequency factors, original length); 1 linear (factor). */
typedef struct pm_rope_cfg {
    double theta, factor, low_freq_factor, high_freq_factor;
    int original_max, kind;
} pm_rope_cfg;

typedef struct pm_model_cfg {
    char arch[16]; /* llama | qwen2 */
    int64_t C, F, V;
    int L, H, n_kv, D;
    int max_pos;
    real norm_eps;
    bool tied, qkv_bias;
    bool ungated; /* the MLP has no gate_proj (RoBERTa, ViT): its shape is 0 by 0 */
    pm_rope_cfg rope;
} pm_model_cfg;

typedef struct pm_layer {
    pm_param *norm1, *norm2; /* [1,C] */
    const pm_site *site[PM_SITE_N_LINEAR], *attn_out, *mlp_out, *block_out;
} pm_layer;

typedef struct pm_model {
    pm_model_cfg cfg;
    pm_precision precision;
    pm_param *params; /* [n_params] in file order of Hugging Face's state dict */
    int n_params;
    pm_site *sites; /* [n_sites] */
    int n_sites;
    pm_param *embed, *head, *norm; /* head == embed when tied */
    pm_layer *layers;              /* [L] */
    const pm_site *embed_site;
    double *inv_freq; /* [D/2] */
    char hash[65];    /* sha256 over the dimensions and every tensor's name, type, shape and stored bytes */
} pm_model;

/* Input and output width of a projection kind in a model; C, C for the residual stream's sites. */
void pm_kind_shape(const pm_model_cfg *m, pm_site_kind k, int64_t *in, int64_t *out);
/* Lays out parameters and sites from cfg alone; weights are NULL until a loader binds them. Lives in `base`. */
pm_model *pm_model_new(pm_arena *base, const pm_model_cfg *cfg);
pm_param *pm_model_param(const pm_model *m, const char *name); /* NULL when there is none */
int64_t pm_model_count(const pm_model *m);                     /* all base parameters, tied ones once */
/* Prepares every frozen projection and the head for the backend (after weights are bound and the method has attached). */
void pm_model_pack(pm_model *m, pm_arena *base, pm_precision precision);

/* The method at work, as core sees it. Slots may be NULL: then the plain model acts. */
typedef struct pm_hooks {
    pm_tensor *(*linear)(pm_tape *t, const pm_site *s, pm_tensor *x, void *st);
    pm_tensor *(*hidden)(pm_tape *t, const pm_site *s, pm_tensor *h, void *st);
    void (*kv)(pm_tape *t, const pm_site *s, pm_tensor **k, pm_tensor **v, void *st);
    void *st;
} pm_hooks;

pm_tensor *pm_site_linear(pm_tape *t, const pm_site *s,
                          pm_tensor *x); /* the base projection at s: x W^T (+ b) */
pm_tensor *pm_at_linear(pm_tape *t, const pm_site *s, pm_tensor *x); /* the method's, or pm_site_linear */
pm_tensor *pm_at_hidden(pm_tape *t, const pm_site *s, pm_tensor *h); /* the method's, or h */

/* The list a method creates its parameters in. */
typedef struct pm_params {
    pm_arena *arena; /* run lifetime */
    pm_param **p;
    int n, cap;
} pm_params;
void pm_params_init(pm_params *l, pm_arena *run);
/* A new trainable parameter [rows, cols], zeroed, with gradient; owned by the list's arena. */
__attribute__((format(printf, 4, 5))) pm_param *pm_param_new(pm_params *l, int64_t rows, int64_t cols,
                                                             const char *fmt, ...);
/* Unfreezes a base parameter: private copy of its weight, gradient, listed. */
void pm_param_unfreeze(pm_params *l, pm_param *base);
int64_t pm_params_count(const pm_params *l); /* trainable numbers */

/* models/llama.c: final hidden states, after the last norm. ids [N] as laid out by t->seqs. -> [N,C] */
pm_tensor *pm_llama_forward(pm_tape *t, const pm_model *m, const int32_t *ids);
#endif
