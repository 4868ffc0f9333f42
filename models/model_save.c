/* model_save.c - a model as a Hugging Face directory: config.json, model.safetensors, the tokenizer's files.
 *
 * From a directory: its config.json with the new number type, its tokenizer files as they are. A model made here, path "": config.json from
 * its dimensions; whoever made it writes the tokenizer. From a GGUF: both are built from what the
 * file says, so that transformers computes what is computed here; what config.json has no words for is refused.
 * Llama 3's rotary scaling lies in a GGUF as divisors of the frequencies; the four numbers behind them are Meta's published ones or unknown.
 */
#include "bytes.h"
#include "model.h"
#include <cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static const struct {
    const char *option, *config;
    pm_dtype type;
} TYPES[] = {{"f32", "float32", PM_F32}, {"bf16", "bfloat16", PM_BFLOAT16}};
enum { N_TYPES = sizeof TYPES / sizeof *TYPES };

bool pm_model_dtype(const char *name, pm_dtype *out) {
    for (int i = 0; i < N_TYPES; i++)
        if (!strcmp(TYPES[i].option, name)) return *out = TYPES[i].type, true;
    return false;
}

static const char *config_name(pm_dtype type) {
    int i = 0;
    while (TYPES[i].type != type) i++;
    return TYPES[i].config;
}

/* ---- config.json ---- */

/* The shortest decimal that reads back as the same float: 1e-05, not 9.9999997e-06. */
static cJSON *short_number(real x) {
    char text[40];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if ((float)strtod(text, NULL) == (float)x) break;
    }
    return cJSON_CreateRaw(text);
}

/* Whether these settings give the frequencies f. The GGUF's divisors are F32: hence the bound. */
static bool gives(const pm_model_cfg *c, const pm_rope_cfg *r, const double *f) {
    pm_arena *a = pm_arena_new("rope", 1 << 20);
    pm_model_cfg probe = {.L = 0, .C = 1, .V = 1, .D = c->D, .rope = *r, .tied = true};
    const pm_model *m = pm_model_new(a, &probe);
    bool same = true;
    for (int i = 0; i < c->D / 2; i++) same = same && fabs(m->inv_freq[i] / f[i] - 1) < 1e-5;
    pm_arena_free(a);
    return same;
}

/* The settings behind the frequencies that the model computes with. */
static bool find_rope(const pm_model *m, pm_rope_cfg *r) {
    const pm_model_cfg *c = &m->cfg;
    int last = c->D / 2 - 1;
    *r = c->rope;
    if (gives(c, r, m->inv_freq)) return true;
    *r = (pm_rope_cfg){.kind = 3, /* Llama 3.1 and later; the longest wave is divided by the whole factor */
                       .theta = c->rope.theta,
                       .factor = round(pow(c->rope.theta, -2.0 * last / c->D) / m->inv_freq[last]),
                       .low_freq_factor = 1,
                       .high_freq_factor = 4,
                       .original_max = 8192};
    return r->factor >= 1 && gives(c, r, m->inv_freq);
}

/* transformers 4's keys, which 5 still reads. */
static void add_rope(cJSON *j, const pm_rope_cfg *r) {
    static const char *const NAMES[] = {[1] = "linear", [3] = "llama3"};
    cJSON_AddNumberToObject(j, "rope_theta", r->theta);
    if (!r->kind) return;
    cJSON *o = cJSON_AddObjectToObject(j, "rope_scaling");
    cJSON_AddStringToObject(o, "rope_type", NAMES[r->kind]);
    cJSON_AddNumberToObject(o, "factor", r->factor);
    if (r->kind != 3) return;
    cJSON_AddNumberToObject(o, "low_freq_factor", r->low_freq_factor);
    cJSON_AddNumberToObject(o, "high_freq_factor", r->high_freq_factor);
    cJSON_AddNumberToObject(o, "original_max_position_embeddings", r->original_max);
}

static void add_dims(cJSON *j, const pm_model_cfg *c) {
    const struct {
        const char *key;
        int64_t value;
    } dims[] = {{"hidden_size", c->C},
                {"intermediate_size", c->F},
                {"num_hidden_layers", c->L},
                {"num_attention_heads", c->H},
                {"num_key_value_heads", c->n_kv},
                {"head_dim", c->D},
                {"max_position_embeddings", c->max_pos},
                {"vocab_size", c->V}};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        cJSON_AddNumberToObject(j, dims[i].key, (double)dims[i].value);
}

/* Biases on q, k and v alone are what Qwen2 has and Llama has not; all else is common to both. */
static cJSON *config_from_cfg(const pm_loaded *l, const pm_rope_cfg *r) {
    const pm_model_cfg *c = &l->model->cfg;
    const char *architecture = c->qkv_bias ? "Qwen2ForCausalLM" : "LlamaForCausalLM";
    cJSON *j = cJSON_CreateObject();
    cJSON_AddItemToObject(j, "architectures", cJSON_CreateStringArray(&architecture, 1));
    cJSON_AddStringToObject(j, "model_type", c->qkv_bias ? "qwen2" : "llama");
    add_dims(j, c);
    cJSON_AddStringToObject(j, "hidden_act", "silu");
    cJSON_AddItemToObject(j, "rms_norm_eps", short_number(c->norm_eps));
    add_rope(j, r);
    if (!c->qkv_bias) cJSON_AddBoolToObject(j, "attention_bias", false);
    cJSON_AddNumberToObject(j, "attention_dropout", 0);
    cJSON_AddBoolToObject(j, "tie_word_embeddings", c->tied);
    if (!l->tok) return j;
    if (pm_tokenizer_bos(l->tok) >= 0) cJSON_AddNumberToObject(j, "bos_token_id", pm_tokenizer_bos(l->tok));
    if (pm_tokenizer_eos(l->tok) >= 0) cJSON_AddNumberToObject(j, "eos_token_id", pm_tokenizer_eos(l->tok));
    return j;
}

static pm_status config_from_model(const pm_loaded *l, cJSON **out, pm_err *e) {
    pm_rope_cfg r;
    if (!find_rope(l->model, &r)) {
        pm_fail(e, PM_EUNSUPPORTED, "%.200s: its rotary scaling is none that config.json has a name for",
                l->path);
        return pm_hint(e, "take the model's Hugging Face directory instead of the GGUF");
    }
    *out = config_from_cfg(l, &r);
    return PM_OK;
}

static bool from_directory(const pm_loaded *l) {
    return !l->gguf && *l->path;
}

static pm_status directory_config(const pm_loaded *l, cJSON **out, pm_err *e) {
    char path[1200];
    pm_map m;
    snprintf(path, sizeof path, "%s/config.json", l->path);
    pm_status s = pm_map_open(path, &m, e);
    if (s) return s;
    *out = cJSON_ParseWithLength((const char *)m.p, m.n_bytes);
    pm_map_close(&m);
    return cJSON_IsObject(*out) ? PM_OK : pm_damaged(e, path, "not a JSON object");
}

/* Under the key that the source had: transformers renamed it in 4.56 and reads both. */
static void set_type(cJSON *j, pm_dtype type) {
    const char *key = cJSON_HasObjectItem(j, "dtype") ? "dtype" : "torch_dtype";
    cJSON_DeleteItemFromObjectCaseSensitive(j, key);
    cJSON_AddStringToObject(j, key, config_name(type));
}

/* ---- files ---- */

static pm_status join(char *out, size_t cap, const char *dir, const char *file, pm_err *e) {
    if (snprintf(out, cap, "%s/%s", dir, file) < (int)cap) return PM_OK;
    pm_fail(e, PM_EIO, "%.200s...: the path is too long", dir);
    return pm_hint(e, "choose a shorter path");
}

static pm_status save_config(const pm_loaded *l, pm_dtype type, const char *dir, pm_err *e) {
    char path[4096];
    cJSON *j = NULL;
    pm_status s = join(path, sizeof path, dir, "config.json", e);
    if (!s) s = (from_directory(l) ? directory_config : config_from_model)(l, &j, e);
    if (s) {
        cJSON_Delete(j);
        return s;
    }
    set_type(j, type);
    return pm_atomic_json(path, j, true, e);
}

/* A tied head is not among the parameters, so it is not written twice. */
static pm_status save_weights(const pm_model *m, pm_dtype type, const char *dir, pm_err *e) {
    static const char *const metadata[] = {"format", "pt", NULL}; /* transformers insists on it */
    char path[4096];
    pm_status s = join(path, sizeof path, dir, "model.safetensors", e);
    if (s) return s;
    pm_save_tensor *t = pm_xcalloc((size_t)m->n_params, sizeof *t);
    for (int i = 0; i < m->n_params; i++) {
        const pm_param *p = &m->params[i];
        t[i] = (pm_save_tensor){p->name, p->vector ? p->cols : p->rows, p->vector ? 0 : p->cols, p->w};
    }
    s = pm_safetensors_save_as(path, t, m->n_params, type, metadata, e);
    free(t);
    return s;
}

/* What a Hugging Face directory may hold besides weights and config.json. */
static const char *const COPIED[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "generation_config.json",
};

static pm_status copy_file(const char *from, const char *to, pm_err *e) {
    pm_map m;
    pm_atomic a;
    pm_status s = pm_map_open(from, &m, e);
    if (s) return s;
    s = pm_atomic_open(&a, to, e);
    if (!s) s = pm_atomic_close(&a, fwrite(m.p, 1, m.n_bytes, a.f) == m.n_bytes, e);
    pm_map_close(&m);
    return s;
}

static pm_status copy_tokenizer(const char *source, const char *dir, pm_err *e) {
    pm_status s = PM_OK;
    for (size_t i = 0; i < sizeof COPIED / sizeof *COPIED && !s; i++) {
        char from[4096], to[4096];
        s = join(from, sizeof from, source, COPIED[i], e);
        if (!s) s = join(to, sizeof to, dir, COPIED[i], e);
        if (!s && !access(from, F_OK)) s = copy_file(from, to, e);
    }
    return s;
}

pm_status pm_model_save(const pm_loaded *l, pm_dtype type, const char *dir, pm_err *e) {
    pm_status s = save_config(l, type, dir, e);
    if (!s && from_directory(l)) s = copy_tokenizer(l->path, dir, e);
    if (!s && l->gguf && l->tok) s = pm_tokenizer_save(l->tok, l->gguf, dir, e);
    return s ? s : save_weights(l->model, type, dir, e);
}
