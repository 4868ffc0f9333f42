/* model_cfg.c - a model's dimensions from config.json or from GGUF metadata: one table, two spellings.
 *
 * Why so strict: a setting that this program would ignore (a sliding window, a scaled rotation, a bias) changes every number it
 * prints. So what is not supported is refused by name, and every number has bounds before it is multiplied.
 * Defaults of absent keys are those of transformers' configuration classes.
 */
#include "bytes.h"
#include "model.h"
#include <cJSON.h>
#include <math.h>
#include <stdio.h>

/* ---- the numbers ---- */

enum { DIM_C, DIM_F, DIM_L, DIM_H, DIM_KV, DIM_D, DIM_POS, DIM_V, DIM_N };
static const struct {
    const char *hf, *gguf;
    int64_t min, max;
    bool optional; /* absent: 0 here, filled by complete() */
} DIMS[DIM_N] = {
    [DIM_C] = {"hidden_size", "embedding_length", 1, 1 << 17, false},
    [DIM_F] = {"intermediate_size", "feed_forward_length", 1, 1 << 20, false},
    [DIM_L] = {"num_hidden_layers", "block_count", 1, 1024, false},
    [DIM_H] = {"num_attention_heads", "attention.head_count", 1, 4096, false},
    [DIM_KV] = {"num_key_value_heads", "attention.head_count_kv", 1, 4096, true},
    [DIM_D] = {"head_dim", "attention.key_length", 2, 8192, true},
    [DIM_POS] = {"max_position_embeddings", "context_length", 1, 1 << 30, true},
    [DIM_V] = {"vocab_size", "vocab_size", 1, 1 << 24, false},
};

/* Where values come from; both readers answer in doubles, which hold every number within the bounds. */
typedef struct source {
    const char *what; /* the file, for messages */
    const cJSON *json;
    const pm_gguf *gguf;
    const char *arch; /* prefix of GGUF's keys */
} source;

static const char *key_of(const source *s, int i) {
    return s->json ? DIMS[i].hf : DIMS[i].gguf;
}

/* False: absent (or null). A value of another type reads as NaN, which is out of every bound. */
static bool number(const source *s, const char *key, double *out) {
    if (s->json) {
        const cJSON *j = cJSON_GetObjectItemCaseSensitive(s->json, key);
        *out = cJSON_IsNumber(j) ? j->valuedouble : (double)NAN;
        return j && !cJSON_IsNull(j);
    }
    char full[128];
    snprintf(full, sizeof full, "%s.%s", s->arch ? s->arch : "", key);
    return pm_gguf_real(s->gguf, full, out);
}

static pm_status read_dims(const source *s, int64_t v[DIM_N], pm_err *e) {
    for (int i = 0; i < DIM_N; i++) {
        double d = 0;
        v[i] = 0;
        if (!number(s, key_of(s, i), &d)) {
            if (DIMS[i].optional || (i == DIM_V && s->gguf)) continue; /* GGUF: the embedding's rows */
            return pm_damaged(e, s->what, "%s is missing", key_of(s, i));
        }
        if (!(d >= (double)DIMS[i].min && d <= (double)DIMS[i].max) || d != (double)(int64_t)d)
            return pm_damaged(e, s->what, "%s is not a whole number from %lld to %lld", key_of(s, i),
                              (long long)DIMS[i].min, (long long)DIMS[i].max);
        v[i] = (int64_t)d;
    }
    return PM_OK;
}

/* A real within (0, max], or its default. */
static pm_status read_real(const source *s, const char *key, double absent, double max, double *out,
                           pm_err *e) {
    if (!number(s, key, out)) *out = absent;
    if (*out > 0 && *out <= max) return PM_OK;
    return pm_damaged(e, s->what, "%s is not a number above 0, up to %g", key, max);
}

/* From the numbers read to cfg; heads must divide evenly. */
static pm_status complete(const char *what, const int64_t v[DIM_N], pm_model_cfg *c, pm_err *e) {
    c->C = v[DIM_C], c->F = v[DIM_F], c->V = v[DIM_V];
    c->L = (int)v[DIM_L], c->H = (int)v[DIM_H], c->max_pos = (int)v[DIM_POS];
    c->n_kv = v[DIM_KV] ? (int)v[DIM_KV] : c->H;
    c->D = v[DIM_D] ? (int)v[DIM_D] : (int)(c->C / c->H);
    if (c->H % c->n_kv)
        return pm_damaged(e, what, "%d heads are not a multiple of %d key heads", c->H, c->n_kv);
    if (!v[DIM_D] && c->C % c->H)
        return pm_damaged(e, what, "width %lld is not a multiple of %d heads", (long long)c->C, c->H);
    if (c->D < 2 || c->D % 2)
        return pm_damaged(e, what, "a head width of %d cannot be rotated in pairs", c->D);
    return PM_OK;
}

static pm_status unsupported(pm_err *e, const char *what, const char *key, const char *value,
                             const char *only) {
    bool shown = pm_name_ok(value, strnlen(value, 60));
    pm_fail(e, PM_EUNSUPPORTED, "%.200s: %s is %.60s: only %s is supported", what, key, shown ? value : "?",
            only);
    return pm_hint(e, "this model computes something that peftmeter does not");
}

/* ---- rotary embedding ---- */

static const struct {
    const char *name;
    int kind; /* as in pm_rope_cfg */
} ROPES[] = {{"default", 0}, {"none", 0}, {"linear", 1}, {"llama3", 3}};

static bool rope_kind(const char *name, int *kind) {
    for (size_t i = 0; i < sizeof ROPES / sizeof *ROPES; i++)
        if (!strcmp(ROPES[i].name, name)) return *kind = ROPES[i].kind, true;
    return false;
}

static const cJSON *get(const cJSON *o, const char *key) {
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNull(j) ? NULL : j;
}

static const char *rope_type(const cJSON *o) {
    const cJSON *t = get(o, "rope_type") ? get(o, "rope_type") : get(o, "type");
    return !t ? "default" : cJSON_IsString(t) ? t->valuestring : "not a string";
}

static pm_status llama3_rope(const source *s, pm_rope_cfg *r, pm_err *e) {
    double max = 0;
    pm_status st = read_real(s, "low_freq_factor", NAN, 1e6, &r->low_freq_factor, e);
    if (!st) st = read_real(s, "high_freq_factor", NAN, 1e6, &r->high_freq_factor, e);
    if (!st) st = read_real(s, "original_max_position_embeddings", NAN, 1 << 30, &max, e);
    r->original_max = (int)max;
    if (!st && r->high_freq_factor <= r->low_freq_factor)
        return pm_damaged(e, s->what, "high_freq_factor is not above low_freq_factor");
    return st;
}

/* `rope_parameters` (transformers 5) or `rope_scaling` with `rope_theta` beside it. */
static pm_status json_rope(const source *top, pm_rope_cfg *r, pm_err *e) {
    const cJSON *o = get(top->json, "rope_parameters") ? get(top->json, "rope_parameters")
                                                       : get(top->json, "rope_scaling");
    const cJSON *child;
    cJSON_ArrayForEach(child, o) {
        if (cJSON_IsObject(child))
            return unsupported(e, top->what, "rope_parameters", "one set a layer type", "one set");
    }
    source s = {.what = top->what, .json = o ? o : top->json};
    bool inside = get(o, "rope_theta") != NULL;
    pm_status st = read_real(inside ? &s : top, "rope_theta", 10000.0, 1e12, &r->theta, e);
    if (st) return st;
    const char *type = o ? rope_type(o) : "default";
    if (!rope_kind(type, &r->kind))
        return unsupported(e, top->what, "the rotary scaling", type, "default, linear or llama3");
    double part;
    if (o && number(&s, "partial_rotary_factor", &part) && part != 1)
        return unsupported(e, top->what, "partial_rotary_factor", "not 1", "1");
    if (r->kind) st = read_real(&s, "factor", NAN, 1e6, &r->factor, e);
    return st || r->kind != 3 ? st : llama3_rope(&s, r, e);
}

/* ---- config.json ---- */

static const struct arch {
    const char *model_type, *arch;
    bool qkv_bias;
    int kv, max_pos,
        sliding_window; /* transformers' defaults; kv 0: as many as heads; sliding_window 0: none */
} ARCHS[] = {{"llama", "llama", false, 0, 2048, 0},
             {"mistral", "llama", false, 8, 131072, 4096},
             {"qwen2", "qwen2", true, 32, 32768, 0}};

static const struct arch *find_arch(const char *model_type) {
    for (size_t i = 0; model_type && i < sizeof ARCHS / sizeof *ARCHS; i++)
        if (!strcmp(ARCHS[i].model_type, model_type)) return &ARCHS[i];
    return NULL;
}

/* Keys that may be absent or null, or must have this value (as JSON). */
static const struct {
    const char *key, *must;
} FIXED[] = {
    {"hidden_act", "\"silu\""},      {"attention_bias", "false"},     {"mlp_bias", "false"},
    {"attention_dropout", "0"},      {"use_sliding_window", "false"}, {"partial_rotary_factor", "1"},
    {"quantization_config", "null"},
};

static pm_status check_fixed(const source *s, pm_err *e) {
    for (size_t i = 0; i < sizeof FIXED / sizeof *FIXED; i++) {
        const cJSON *j = get(s->json, FIXED[i].key);
        char *text = j ? cJSON_PrintUnformatted(j) : NULL;
        bool ok = !j || (text && !strcmp(text, FIXED[i].must));
        if (!ok) unsupported(e, s->what, FIXED[i].key, text ? text : "?", FIXED[i].must);
        cJSON_free(text);
        if (!ok) return PM_EUNSUPPORTED;
    }
    return PM_OK;
}

/* A window as long as the model's positions is no window. */
static pm_status check_window(const source *s, const struct arch *a, int max_pos, pm_err *e) {
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(s->json, "sliding_window"), *type;
    double window = j ? (cJSON_IsNumber(j) ? j->valuedouble : 0) : a->sliding_window;
    if (a->sliding_window && window > 0 && window < max_pos)
        return unsupported(e, s->what, "sliding_window", "shorter than max_position_embeddings", "null");
    cJSON_ArrayForEach(type, get(s->json, "layer_types")) {
        if (!cJSON_IsString(type) || strcmp(type->valuestring, "full_attention") != 0)
            return unsupported(e, s->what, "layer_types", "a mixture", "full_attention");
    }
    return PM_OK;
}

static pm_status from_object(const source *s, pm_model_cfg *cfg, pm_err *e) {
    const char *type = cJSON_GetStringValue(get(s->json, "model_type"));
    const struct arch *a = find_arch(type);
    if (!type) return pm_damaged(e, s->what, "model_type is missing");
    if (!a) return unsupported(e, s->what, "model_type", type, "llama, mistral or qwen2");
    snprintf(cfg->arch, sizeof cfg->arch, "%s", a->arch);
    cfg->qkv_bias = a->qkv_bias;
    int64_t v[DIM_N] = {0};
    pm_status st = read_dims(s, v, e);
    if (st) return st;
    if (!v[DIM_KV]) v[DIM_KV] = a->kv;
    if (!v[DIM_POS]) v[DIM_POS] = a->max_pos;
    double eps = 0;
    st = complete(s->what, v, cfg, e);
    if (!st) st = check_fixed(s, e);
    if (!st) st = check_window(s, a, cfg->max_pos, e);
    if (!st) st = read_real(s, "rms_norm_eps", 1e-6, 1, &eps, e);
    if (!st) st = json_rope(s, &cfg->rope, e);
    cfg->norm_eps = (real)eps;
    cfg->tied = cJSON_IsTrue(get(s->json, "tie_word_embeddings"));
    return st;
}

pm_status pm_model_cfg_from_json(const char *json, size_t n_bytes, const char *what, pm_model_cfg *cfg,
                                 pm_err *e) {
    memset(cfg, 0, sizeof *cfg);
    cJSON *j = cJSON_ParseWithLength(json, n_bytes);
    source s = {.what = what, .json = j};
    pm_status st = cJSON_IsObject(j) ? from_object(&s, cfg, e) : pm_damaged(e, what, "not a JSON object");
    cJSON_Delete(j);
    return st;
}

/* ---- GGUF ---- */

static bool text(const pm_gguf *g, const char *arch, const char *key, char *out, size_t cap) {
    char full[128];
    const char *s;
    size_t n;
    snprintf(full, sizeof full, "%s%s%s", arch, *arch ? "." : "", key);
    if (!pm_gguf_str(g, full, &s, &n)) return false;
    snprintf(out, cap, "%.*s", pm_name_ok(s, n) ? (int)n : 1, pm_name_ok(s, n) ? s : "?");
    return true;
}

/* Numbers that must be absent or have one value, because nothing here computes with them. */
static pm_status gguf_fixed(const source *s, const pm_model_cfg *c, pm_err *e) {
    const struct {
        const char *key;
        double must;
    } rules[] = {{"expert_count", 0}, {"attention.value_length", c->D}, {"rope.dimension_count", c->D}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        double d;
        char has[32], only[32];
        if (!number(s, rules[i].key, &d) || d == rules[i].must) continue;
        snprintf(has, sizeof has, "%g", d);
        snprintf(only, sizeof only, "%g", rules[i].must);
        return unsupported(e, s->what, rules[i].key, has, only);
    }
    double window;
    if (number(s, "attention.sliding_window", &window) && window > 0 && window < c->max_pos)
        return unsupported(e, s->what, "attention.sliding_window", "shorter than context_length", "none");
    return PM_OK;
}

static pm_status gguf_rope(const source *s, pm_rope_cfg *r, pm_err *e) {
    char type[32] = "none";
    text(s->gguf, s->arch, "rope.scaling.type", type, sizeof type);
    if (!rope_kind(type, &r->kind) || r->kind == 3)
        return unsupported(e, s->what, "rope.scaling.type", type, "none or linear");
    pm_status st = read_real(s, "rope.freq_base", 10000.0, 1e12, &r->theta, e);
    return st || !r->kind ? st : read_real(s, "rope.scaling.factor", NAN, 1e6, &r->factor, e);
}

static pm_status gguf_arch(const pm_gguf *g, const char *what, pm_model_cfg *cfg, pm_err *e) {
    int64_t parts;
    if (!text(g, "", "general.architecture", cfg->arch, sizeof cfg->arch))
        return pm_damaged(e, what, "general.architecture is missing");
    if (strcmp(cfg->arch, "llama") != 0 && strcmp(cfg->arch, "qwen2") != 0)
        return unsupported(e, what, "general.architecture", cfg->arch, "llama or qwen2");
    if (pm_gguf_int(g, "split.count", &parts) && parts > 1)
        return unsupported(e, what, "split.count", "above 1", "a single file");
    cfg->qkv_bias = !strcmp(cfg->arch, "qwen2") || pm_gguf_find(g, "blk.0.attn_q.bias");
    cfg->tied = !pm_gguf_find(g, "output.weight");
    return PM_OK;
}

pm_status pm_model_cfg_from_gguf(const pm_gguf *g, pm_model_cfg *cfg, pm_err *e) {
    memset(cfg, 0, sizeof *cfg);
    source s = {.what = pm_gguf_path(g), .gguf = g, .arch = cfg->arch};
    pm_status st = gguf_arch(g, s.what, cfg, e);
    int64_t v[DIM_N] = {0};
    double eps = 0;
    if (!st) st = read_dims(&s, v, e);
    if (st) return st;
    const pm_tensor_info *embed = pm_gguf_find(g, "token_embd.weight");
    v[DIM_V] = embed ? embed->dim[0] : 0;
    if (v[DIM_V] < 1 || v[DIM_V] > DIMS[DIM_V].max)
        return pm_damaged(e, s.what, "tensor token_embd.weight is missing or too large");
    if (!v[DIM_POS]) return pm_damaged(e, s.what, "%s.context_length is missing", cfg->arch);
    st = complete(s.what, v, cfg, e);
    if (!st) st = gguf_fixed(&s, cfg, e);
    if (!st) st = read_real(&s, "attention.layer_norm_rms_epsilon", NAN, 1, &eps, e);
    if (!st) st = gguf_rope(&s, &cfg->rope, e);
    cfg->norm_eps = (real)eps;
    return st;
}
