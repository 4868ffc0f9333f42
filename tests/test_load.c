/* test_load.c - models from directories and GGUF files, against what transformers reads from the same files.
 *
 * Truth: tests/golden/models (transformers' save_pretrained), tests/golden/formats/NAME.safetensors (transformers' state dict after
 * reading NAME.gguf: names, dequantisation, the q/k permutation), rope.json (transformers' frequencies).
 * Hostile: one setting or tensor wrong at a time must be one error that names it.
 */
#include "bytes.h"
#include "check.h"
#include "model.h"
#include "pm.h"
#include "scratch.h"
#include <cJSON.h>
#include <omp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOLDEN "tests/golden/formats/"

static pm_err e;
static char dir_[64];

/* ---- helpers ---- */

static void write_file(const char *path, const void *p, size_t n) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(p, 1, n, f) == n);
    if (f) fclose(f);
}

static void check_failed(pm_status s, pm_status want, const char *says) {
    CHECK_EQ_INT(s, want);
    if (!strstr(e.msg, says)) CHECK_FAIL_("\"%s\" does not say \"%s\"", e.msg, says);
    CHECK(e.hint[0] && !strchr(e.msg, '\n'));
}

/* Every parameter of m equals the tensor of its name in the file, bit for bit. */
static void check_weights(const pm_model *m, const char *file) {
    pm_safetensors *want = NULL;
    CHECK_OK(pm_safetensors_open(file, &want, &e));
    if (!want) return;
    for (int i = 0; i < m->n_params; i++) {
        const pm_param *p = &m->params[i];
        const pm_tensor_info *t = pm_safetensors_find(want, p->name);
        if (!t || pm_tensor_info_count(t) != p->rows * p->cols) {
            CHECK_FAIL_("%s: not in %s with this size", p->name, file);
            continue;
        }
        int64_t n = p->rows * p->cols, bad = 0;
        for (int64_t k = 0; k < n; k++) {
            float w;
            memcpy(&w, (const char *)t->data + 4 * k, sizeof w);
            bad += (float)p->w[k] != w;
        }
        if (bad) CHECK_FAIL_("%s: %lld of %lld numbers differ", p->name, (long long)bad, (long long)n);
    }
    CHECK_EQ_INT(m->n_params, pm_safetensors_count(want));
    pm_safetensors_close(want);
}

static int64_t numbers_in(const char *file) {
    pm_safetensors *s = NULL;
    int64_t n = 0;
    CHECK_OK(pm_safetensors_open(file, &s, &e));
    for (int i = 0; s && i < pm_safetensors_count(s); i++) n += pm_tensor_info_count(pm_safetensors_at(s, i));
    pm_safetensors_close(s);
    return n;
}

/* ---- against transformers ---- */

static void load_directories_bind_every_weight(void) {
    static const struct {
        const char *dir;
        bool tied, qkv_bias;
        int rope, D, n_kv, V;
    } cases[] = {{"tests/golden/models/llama_tied", true, false, 0, 8, 2, 97},
                 {"tests/golden/models/llama_untied", false, false, 3, 12, 3, 131},
                 {"tests/golden/models/qwen2", true, true, 0, 14, 2, 113}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_arena *base = pm_arena_new("test", 0);
        pm_loaded l = {0};
        char file[200];
        snprintf(file, sizeof file, "%s/model.safetensors", cases[i].dir);
        CHECK_OK(pm_model_load(cases[i].dir, base, &l, &e));
        if (l.model) {
            const pm_model_cfg *c = &l.model->cfg;
            check_weights(l.model, file);
            CHECK(c->tied == cases[i].tied && c->qkv_bias == cases[i].qkv_bias);
            CHECK(c->rope.kind == cases[i].rope && c->D == cases[i].D && c->n_kv == cases[i].n_kv &&
                  c->V == cases[i].V);
            CHECK_EQ_INT(c->max_pos, 256);
            CHECK_EQ_INT(pm_model_count(l.model), numbers_in(file));
            CHECK_EQ_INT(l.mapped_bytes + pm_arena_live(base, PM_MEM_WEIGHTS) / (int64_t)(sizeof(real) / 4) >=
                             4 * numbers_in(file),
                         1);
            CHECK_EQ_INT(strlen(l.model->hash), 64);
        }
        pm_model_close(&l);
        pm_arena_free(base);
    }
}

static void check_gguf(const char *name, const char *arch, bool tied) {
    pm_arena *base = pm_arena_new("test", 0);
    pm_loaded l = {0};
    char gguf[100], want[100];
    snprintf(gguf, sizeof gguf, GOLDEN "%s.gguf", name);
    snprintf(want, sizeof want, GOLDEN "%s.safetensors", name);
    CHECK_OK(pm_model_load(gguf, base, &l, &e));
    if (l.model) {
        check_weights(l.model, want);
        CHECK_EQ_STR(l.model->cfg.arch, arch);
        CHECK(l.model->cfg.tied == tied && (l.model->head == l.model->embed) == tied);
        CHECK(l.model->cfg.norm_eps == (real)1e-5f || fabs((double)l.model->cfg.norm_eps - 1e-5) < 1e-12);
        CHECK_EQ_INT(pm_model_count(l.model), numbers_in(want));
        CHECK(!l.tok);
    }
    pm_model_close(&l);
    pm_arena_free(base);
}

static void load_gguf_llama_undoes_the_permutation(void) {
    check_gguf("llama_gqa", "llama", false);
}
static void load_gguf_qwen2_has_none_to_undo(void) {
    check_gguf("qwen2_tied", "qwen2", true);
}

/* ---- rotary scaling ---- */

static void check_freq(const double *got, const char *which) {
    pm_map m;
    CHECK_OK(pm_map_open(GOLDEN "rope.json", &m, &e));
    if (!m.p) return;
    cJSON *j = cJSON_ParseWithLength((const char *)m.p, m.n_bytes);
    const cJSON *want = cJSON_GetObjectItemCaseSensitive(j, which);
    CHECK_EQ_INT(cJSON_GetArraySize(want), 4);
    for (int i = 0; i < cJSON_GetArraySize(want); i++)
        CHECK_REL(got[i], cJSON_GetArrayItem(want, i)->valuedouble,
                  3e-7); /* transformers computes in float */
    cJSON_Delete(j);
    pm_map_close(&m);
}

#define BASE                                                                                                 \
    "\"model_type\":\"llama\",\"hidden_size\":32,\"intermediate_size\":32,\"num_hidden_layers\":1,"          \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":24,\"max_position_embeddings\":64"

static pm_status parse(const char *json, pm_model_cfg *c) {
    size_t n = strlen(json);
    char *copy = malloc(n); /* exact size for ASan: no terminator */
    memcpy(copy, json, n);  // NOLINT(bugprone-not-null-terminated-result)
    e = (pm_err){0};
    pm_status s = pm_model_cfg_from_json(copy, n, "config.json", c, &e);
    free(copy);
    return s;
}

static void load_rope_in_both_spellings(void) {
#define L3                                                                                                   \
    "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":16.0,\"original_max_position_embeddings\":" \
    "256"
    static const struct {
        const char *json, *which;
    } cases[] = {
        {"{" BASE "}", "plain"},
        {"{" BASE ",\"rope_theta\":10000.0,\"rope_scaling\":null}", "plain"},
        {"{" BASE ",\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":10000.0}}", "plain"},
        {"{" BASE ",\"rope_theta\":10000.0,\"rope_scaling\":{\"type\":\"linear\",\"factor\":4.0}}", "linear"},
        {"{" BASE ",\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":4,\"rope_theta\":10000}}",
         "linear"},
        {"{" BASE ",\"rope_theta\":10000.0,\"rope_scaling\":{\"rope_type\":\"llama3\"," L3 "}}", "llama3"},
        {"{" BASE ",\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":10000.0," L3 "}}", "llama3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_model_cfg c;
        pm_arena *base = pm_arena_new("test", 0);
        CHECK_OK(parse(cases[i].json, &c));
        check_freq(pm_model_new(base, &c)->inv_freq, cases[i].which);
        pm_arena_free(base);
    }
}

static void load_gguf_rope_factors_divide_the_frequencies(void) {
    pm_arena *base = pm_arena_new("test", 0);
    pm_loaded l = {0};
    CHECK_OK(pm_model_load(GOLDEN "llama_rope_freqs.gguf", base, &l, &e));
    if (l.model) check_freq(l.model->inv_freq, "llama3");
    pm_model_close(&l);
    pm_arena_free(base);
}

/* ---- configurations that must be refused, or not ---- */

static void load_config_says_what_is_wrong(void) {
    static const struct {
        const char *json, *says; /* says NULL: it is fine */
        pm_status want;
    } cases[] = {
        {"{" BASE
         ",\"attention_bias\":false,\"mlp_bias\":null,\"attention_dropout\":0.0,\"pretraining_tp\":1}",
         NULL, 0},
        {"{" BASE ",\"model_type\":\"llama\",\"sliding_window\":7}", NULL,
         0}, /* a key that llama does not read */
        {"[]", "not a JSON object", PM_EFORMAT},
        {"{", "not a JSON object", PM_EFORMAT},
        {"{}", "model_type is missing", PM_EFORMAT},
        {"{\"model_type\":\"gpt2\"}", "model_type is gpt2: only llama, mistral or qwen2", PM_EUNSUPPORTED},
        {"{\"model_type\":\"a\\nb\"}", "model_type is ?", PM_EUNSUPPORTED},
        {"{\"model_type\":\"llama\",\"hidden_size\":32}", "intermediate_size is missing", PM_EFORMAT},
        {"{\"model_type\":\"llama\",\"hidden_size\":\"32\"}", "hidden_size is not a whole number",
         PM_EFORMAT},
        {"{\"model_type\":\"llama\",\"hidden_size\":-32}", "hidden_size is not a whole number", PM_EFORMAT},
        {"{\"model_type\":\"llama\",\"hidden_size\":1e300}", "hidden_size is not a whole number", PM_EFORMAT},
        {"{\"model_type\":\"llama\",\"hidden_size\":32.5}", "hidden_size is not a whole number", PM_EFORMAT},
        {"{" BASE ",\"head_dim\":7}", "a head width of 7", PM_EFORMAT},
        {"{" BASE ",\"head_dim\":null,\"rms_norm_eps\":0}", "rms_norm_eps is not a number above 0",
         PM_EFORMAT},
        {"{" BASE ",\"rms_norm_eps\":\"x\"}", "rms_norm_eps is not a number above 0", PM_EFORMAT},
        {"{" BASE ",\"hidden_act\":\"gelu\"}", "hidden_act is \"gelu\": only \"silu\"", PM_EUNSUPPORTED},
        {"{" BASE ",\"attention_bias\":true}", "attention_bias is true: only false", PM_EUNSUPPORTED},
        {"{" BASE ",\"mlp_bias\":true}", "mlp_bias is true", PM_EUNSUPPORTED},
        {"{" BASE ",\"attention_dropout\":0.1}", "attention_dropout is 0.1", PM_EUNSUPPORTED},
        {"{" BASE ",\"partial_rotary_factor\":0.5}", "partial_rotary_factor is 0.5", PM_EUNSUPPORTED},
        {"{" BASE ",\"quantization_config\":{\"bits\":4}}", "quantization_config is {\"bits\":4}",
         PM_EUNSUPPORTED},
        {"{" BASE ",\"use_sliding_window\":true}", "use_sliding_window is true", PM_EUNSUPPORTED},
        {"{" BASE ",\"layer_types\":[\"full_attention\",\"sliding_attention\"]}", "layer_types",
         PM_EUNSUPPORTED},
        {"{" BASE ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2}}", "rotary scaling is yarn",
         PM_EUNSUPPORTED},
        {"{" BASE ",\"rope_scaling\":{\"type\":7}}", "rotary scaling is not a string", PM_EUNSUPPORTED},
        {"{" BASE ",\"rope_scaling\":{\"type\":\"linear\"}}", "factor is not a number above 0", PM_EFORMAT},
        {"{" BASE ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":-1}}", "factor is not a number above 0",
         PM_EFORMAT},
        {"{" BASE ",\"rope_theta\":0}", "rope_theta is not a number above 0", PM_EFORMAT},
        {"{" BASE ",\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\"}}}",
         "one set a layer type", PM_EUNSUPPORTED},
        {"{" BASE ",\"rope_parameters\":{\"rope_type\":\"llama3\",\"factor\":8}}", "low_freq_factor is not",
         PM_EFORMAT},
        {"{" BASE ",\"rope_parameters\":{\"rope_type\":\"default\",\"partial_rotary_factor\":0.25}}",
         "partial_rotary_factor", PM_EUNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_model_cfg c;
        pm_status s = parse(cases[i].json, &c);
        if (cases[i].says)
            check_failed(s, cases[i].want, cases[i].says);
        else
            CHECK_OK(s);
        if (s) CHECK(!strncmp(e.msg, "config.json: ", 13));
    }
}

static void load_config_knows_each_family(void) {
#define DIMS                                                                                                 \
    "\"hidden_size\":32,\"intermediate_size\":32,\"num_hidden_layers\":1,\"num_attention_heads\":16,"        \
    "\"vocab_size\":24"
    pm_model_cfg c;
    CHECK_OK(parse("{\"model_type\":\"llama\"," DIMS "}", &c));
    CHECK(c.n_kv == 16 && c.max_pos == 2048 && !c.tied && !c.qkv_bias && c.D == 2 && c.rope.theta == 10000);
    CHECK_OK(parse("{\"model_type\":\"mistral\",\"sliding_window\":null," DIMS "}", &c));
    CHECK(c.n_kv == 8 && c.max_pos == 131072);
    CHECK_EQ_STR(c.arch, "llama");
    check_failed(parse("{\"model_type\":\"mistral\"," DIMS "}", &c), PM_EUNSUPPORTED, "sliding_window");
    check_failed(
        parse("{\"model_type\":\"mistral\",\"sliding_window\":100,\"max_position_embeddings\":101," DIMS "}",
              &c),
        PM_EUNSUPPORTED, "sliding_window");
    CHECK_OK(parse(
        "{\"model_type\":\"mistral\",\"sliding_window\":101,\"max_position_embeddings\":101," DIMS "}", &c));
    CHECK_OK(parse("{\"model_type\":\"qwen2\",\"num_key_value_heads\":4,\"sliding_window\":9,\"tie_word_"
                   "embeddings\":true," DIMS "}",
                   &c));
    CHECK(c.qkv_bias && c.tied && c.n_kv == 4);
    check_failed(parse("{\"model_type\":\"qwen2\",\"num_key_value_heads\":3," DIMS "}", &c), PM_EFORMAT,
                 "multiple of 3");
}

/* ---- directories with one thing wrong ---- */

enum { C = 32, V = 24 };
static real numbers[C * C]; /* enough for the largest */
static pm_save_tensor TENSORS[] = {
    {"model.embed_tokens.weight", V, C, numbers},
    {"model.layers.0.self_attn.q_proj.weight", C, C, numbers},
    {"model.layers.0.self_attn.k_proj.weight", C / 2, C, numbers},
    {"model.layers.0.self_attn.v_proj.weight", C / 2, C, numbers},
    {"model.layers.0.self_attn.o_proj.weight", C, C, numbers},
    {"model.layers.0.mlp.gate_proj.weight", C, C, numbers},
    {"model.layers.0.mlp.up_proj.weight", C, C, numbers},
    {"model.layers.0.mlp.down_proj.weight", C, C, numbers},
    {"model.layers.0.input_layernorm.weight", C, 0, numbers},
    {"model.layers.0.post_attention_layernorm.weight", C, 0, numbers},
    {"model.norm.weight", C, 0, numbers},
    {"lm_head.weight", V, C, numbers},
    {"extra", 1, 0, numbers},
};
enum { N_NEEDED = 12, N_TENSORS = 13 };

/* Writes the directory with the first n tensors and loads it; the hash goes to hex when it loads. */
static pm_status load_tensors(const pm_save_tensor *t, int n, const char *config, char hex[65]) {
    write_file(path_in(dir_, "config.json"), config, strlen(config));
    CHECK_OK(pm_safetensors_save(path_in(dir_, "model.safetensors"), t, n, NULL, &e));
    pm_arena *base = pm_arena_new("test", 0);
    pm_loaded l;
    e = (pm_err){0};
    pm_status s = pm_model_load(dir_, base, &l, &e);
    if (!s) memcpy(hex, l.model->hash, 65);
    if (!s) pm_model_close(&l);
    pm_arena_free(base);
    return s;
}

static void load_refuses_tensors_that_do_not_fit(void) {
    char hex[65];
    const char *config = "{" BASE "}";
    CHECK_OK(load_tensors(TENSORS, N_NEEDED, config, hex));
    check_failed(load_tensors(TENSORS, N_NEEDED - 1, config, hex), PM_EFORMAT,
                 "tensor lm_head.weight is missing");
    check_failed(load_tensors(TENSORS + 1, N_NEEDED - 1, config, hex), PM_EFORMAT,
                 "tensor model.embed_tokens.weight is missing");
    check_failed(load_tensors(TENSORS, N_TENSORS, config, hex), PM_EUNSUPPORTED,
                 "tensor extra: the llama architecture has no use");
    pm_save_tensor t[N_TENSORS];
    memcpy(t, TENSORS, sizeof t);
    t[12].name = "model.layers.0.self_attn.o_proj.bias";
    check_failed(load_tensors(t, N_TENSORS, config, hex), PM_EUNSUPPORTED, "o_proj.bias");
    t[12].name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    CHECK_OK(load_tensors(t, N_TENSORS, config, hex));
    t[2].rows = C;
    check_failed(
        load_tensors(t, N_NEEDED, config, hex), PM_EFORMAT,
        "tensor model.layers.0.self_attn.k_proj.weight: shape [32,32], the configuration needs [16,32]");
    real broken[V * C] = {0};
    broken[V * C - 1] = (real)NAN;
    memcpy(t, TENSORS, sizeof t);
    t[11].data = broken;
    check_failed(load_tensors(t, N_NEEDED, config, hex), PM_EFORMAT,
                 "tensor lm_head.weight: holds a number that is not finite");
}

static void load_tied_model_may_lack_or_carry_its_head(void) {
    char hex[2][65];
    const char *config = "{" BASE ",\"tie_word_embeddings\":true}";
    CHECK_OK(load_tensors(TENSORS, N_NEEDED - 1, config, hex[0]));
    CHECK_OK(load_tensors(TENSORS, N_NEEDED, config, hex[1]));
    CHECK_EQ_STR(hex[0], hex[1]);
}

static void load_hash_follows_every_number_and_setting(void) {
    char hex[2][65];
    real other[C * C];
    memcpy(other, numbers, sizeof other);
    other[0] += (real)0.5;
    omp_set_num_threads(1);
    CHECK_OK(load_tensors(TENSORS, N_NEEDED, "{" BASE "}", hex[0]));
    omp_set_num_threads(2);
    CHECK_OK(load_tensors(TENSORS, N_NEEDED, "{" BASE "}", hex[1]));
    CHECK_EQ_STR(hex[0], hex[1]);
    CHECK_OK(load_tensors(TENSORS, N_NEEDED, "{" BASE ",\"rope_theta\":5000}", hex[1]));
    CHECK(strcmp(hex[0], hex[1]) != 0);
    pm_save_tensor t[N_TENSORS];
    memcpy(t, TENSORS, sizeof t);
    t[11].data = other;
    CHECK_OK(load_tensors(t, N_NEEDED, "{" BASE "}", hex[1]));
    CHECK(strcmp(hex[0], hex[1]) != 0);
    memcpy(t, TENSORS, sizeof t);
    t[5].name = TENSORS[6].name, t[6].name = TENSORS[5].name, t[5].data = other;
    char swapped[65];
    CHECK_OK(load_tensors(t, N_NEEDED, "{" BASE "}", hex[1]));
    t[5].name = TENSORS[5].name, t[6].name = TENSORS[6].name;
    CHECK_OK(load_tensors(t, N_NEEDED, "{" BASE "}", swapped));
    CHECK(strcmp(swapped, hex[1]) != 0);
}

static void load_missing_pieces_are_named(void) {
    pm_loaded l;
    pm_arena *base = pm_arena_new("test", 0);
    check_failed(pm_model_load("no/such/model", base, &l, &e), PM_EIO, "no/such/model: no such file");
    check_failed(pm_model_load(path_in(dir_, "model.safetensors"), base, &l, &e), PM_EUSAGE, "weights alone");
    mkdir(path_in(dir_, "bare"), 0700);
    check_failed(pm_model_load(path_in(dir_, "bare"), base, &l, &e), PM_EIO,
                 "bare/config.json: No such file");
    write_file(path_in(dir_, "bare/config.json"), "{" BASE "}", strlen("{" BASE "}"));
    check_failed(pm_model_load(path_in(dir_, "bare"), base, &l, &e), PM_EIO, "no model.safetensors");
    CHECK(l.model == NULL && l.st == NULL && l.path[0] == 0);
    pm_arena_free(base);
}

/* One flipped bit in each byte of the header: a model, or one explained error that names the file. */
static void load_damaged_gguf_is_explained(void) {
    pm_map m;
    CHECK_OK(pm_map_open(GOLDEN "llama_rope_freqs.gguf", &m, &e));
    if (!m.p) return;
    uint8_t *p = malloc(m.n_bytes);
    memcpy(p, m.p, m.n_bytes);
    const char *path = path_in(dir_, "flipped.gguf");
    int failed = 0, threads = omp_get_max_threads();
    omp_set_num_threads(1); /* many tiny loads: waiting for a second thread would be all the time they take */
    for (size_t at = 0; at < 1500; at++) {
        p[at] ^= (uint8_t)(1 << at % 8);
        write_file(path, p, m.n_bytes);
        p[at] ^= (uint8_t)(1 << at % 8);
        pm_arena *base = pm_arena_new("test", 0);
        pm_loaded l;
        e = (pm_err){0};
        pm_status s = pm_model_load(path, base, &l, &e);
        if (s && (s == PM_EIO || strncmp(e.msg, path, strlen(path)) != 0 || !e.hint[0]))
            CHECK_FAIL_("byte %zu: %d %s | %s", at, (int)s, e.msg, e.hint);
        failed += s != PM_OK;
        if (!s) pm_model_close(&l);
        pm_arena_free(base);
    }
    omp_set_num_threads(threads);
    CHECK(failed > 1000);
    free(p);
    pm_map_close(&m);
}

static const char *real_gguf(void) {
    static char path[512];
    const char *given = getenv("PEFTMETER_TEST_GGUF"), *cache = getenv("PEFTMETER_CACHE"),
               *home = getenv("HOME");
    if (given) return given;
    snprintf(path, sizeof path, "%s%s/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf",
             cache  ? cache
             : home ? home
                    : "",
             cache ? "" : "/.cache/peftmeter");
    return access(path, R_OK) ? NULL : path;
}

static void load_real_model(void) {
    pm_arena *base = pm_arena_new("test", 0);
    pm_loaded l = {0};
    double start = pm_now_s();
    CHECK_OK(pm_model_load(real_gguf(), base, &l, &e));
    printf("loaded in %.3f s\n", pm_now_s() - start);
    if (l.model) {
        const pm_model_cfg *c = &l.model->cfg;
        CHECK_EQ_INT(pm_model_count(l.model), 134515008); /* transformers' num_parameters() */
        CHECK(c->C == 576 && c->F == 1536 && c->L == 30 && c->H == 9 && c->n_kv == 3 && c->D == 64 &&
              c->V == 49152);
        CHECK(c->tied && c->rope.theta == 100000 && c->max_pos == 8192 && c->rope.kind == 0);
    }
    pm_model_close(&l);
    pm_arena_free(base);
}

int main(void) {
    snprintf(dir_, sizeof dir_, "%s/pm_load_XXXXXX", P_tmpdir);
    if (!mkdtemp(dir_)) perror("mkdtemp");
    for (int i = 0; i < C * C; i++) numbers[i] = (real)(i % 37) / 8 - 2;
    RUN(load_directories_bind_every_weight);
    RUN(load_gguf_llama_undoes_the_permutation);
    RUN(load_gguf_qwen2_has_none_to_undo);
    RUN(load_rope_in_both_spellings);
    RUN(load_gguf_rope_factors_divide_the_frequencies);
    RUN(load_config_says_what_is_wrong);
    RUN(load_config_knows_each_family);
    RUN(load_refuses_tensors_that_do_not_fit);
    RUN(load_tied_model_may_lack_or_carry_its_head);
    RUN(load_hash_follows_every_number_and_setting);
    RUN(load_missing_pieces_are_named);
    RUN(load_damaged_gguf_is_explained);
    if (real_gguf())
        RUN(load_real_model);
    else
        SKIP("load_real_model",
             "no SmolLM2 GGUF (peftmeter models fetch smollm2-135m, or PEFTMETER_TEST_GGUF)");
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", dir_);
    if (system(command)) perror(command);
    return check_done();
}
