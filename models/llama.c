/* llama.c - the LLaMA family's forward pass (LLaMA 1-3, Mistral, SmolLM2) and Qwen2's (the same with q, k, v
 * biases), over a ragged batch.
 *
 * Ref: Touvron et al. 2023 (arXiv 2302.13971); Hugging Face's modeling_llama.py and modeling_qwen2.py are the
 * truth it is tested against. One residual stream x [N,C]: x += o(attention(rope(q, k), v));  x +=
 * down(silu(gate) up). Every tensor is dropped as soon as the forward pass is done with it; what the backward
 * pass needs is kept or recomputed by the ops.
 */
#include "net.h"

static pm_tensor *attention(pm_tape *t, const pm_model *m, const pm_layer *y, int layer, pm_tensor *h) {
    const pm_model_cfg *c = &m->cfg;
    pm_tensor *q = pm_at_linear(t, y->site[PM_SITE_Q], h);
    pm_tensor *k = pm_at_linear(t, y->site[PM_SITE_K], h);
    pm_tensor *v = pm_at_linear(t, y->site[PM_SITE_V], h);
    pm_drop(t, h);
    q = pm_rope_(t, q, c->D, m->inv_freq);
    k = pm_rope_(t, k, c->D, m->inv_freq);
    if (t->hooks && t->hooks->kv) t->hooks->kv(t, y->attn_out, &k, &v, t->hooks->st);
    pm_tensor *a = pm_attention(t, q, k, v, c->H, c->n_kv, layer, true);
    pm_drop(t, q);
    pm_drop(t, k);
    pm_drop(t, v);
    pm_tensor *o = pm_at_linear(t, y->site[PM_SITE_O], a);
    pm_drop(t, a);
    return pm_at_hidden(t, y->attn_out, o);
}

static pm_tensor *mlp(pm_tape *t, const pm_layer *y, pm_tensor *h) {
    pm_tensor *gate = pm_at_linear(t, y->site[PM_SITE_GATE], h);
    pm_tensor *up = pm_at_linear(t, y->site[PM_SITE_UP], h);
    pm_drop(t, h);
    pm_tensor *u = pm_silu_mul(t, gate, up);
    pm_drop(t, gate);
    pm_drop(t, up);
    pm_tensor *d = pm_at_linear(t, y->site[PM_SITE_DOWN], u);
    pm_drop(t, u);
    return pm_at_hidden(t, y->mlp_out, d);
}

static pm_tensor *residual(pm_tape *t, pm_tensor *branch, pm_tensor *x) {
    pm_add_(t, branch, x);
    pm_drop(t, x);
    return branch;
}

static pm_tensor *block(pm_tape *t, const pm_model *m, int layer, pm_tensor *x) {
    const pm_layer *y = &m->layers[layer];
    x = residual(t, attention(t, m, y, layer, pm_rmsnorm(t, x, pm_leaf(t, y->norm1), m->cfg.norm_eps)), x);
    x = residual(t, mlp(t, y, pm_rmsnorm(t, x, pm_leaf(t, y->norm2), m->cfg.norm_eps)), x);
    return pm_at_hidden(t, y->block_out, x);
}

pm_tensor *pm_llama_forward(pm_tape *t, const pm_model *m, const int32_t *ids) {
    pm_tensor *x = pm_embed(t, ids, t->seqs->n_tokens, pm_leaf(t, m->embed));
    x = pm_at_hidden(t, m->embed_site, x);
    for (int l = 0; l < m->cfg.L; l++) x = block(t, m, l, x);
    pm_tensor *h = pm_rmsnorm(t, x, pm_leaf(t, m->norm), m->cfg.norm_eps);
    pm_drop(t, x);
    return h;
}
