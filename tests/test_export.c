/* test_export.c - models and adapters that leave: merged and plain model directories, a WeGeFT adapter as a LoRA.
 *
 * Truth: the session that was saved; and transformers and PEFT, which must load what was written and compute the same (python3 with
 * both; PEFTMETER_PYTHON names another interpreter; SKIP without). Bounds: folding reorders fp32 sums, hence 2e-5; what is written and
 * read without folding keeps every bit.
 */
#include "adapter.h"
#include "bf16.h"
#include "check.h"
#include "convert.h"
#include "logits.h"
#include "merge.h"
#include "rng.h"
#include "scratch.h"
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define ADAPTERS GOLDEN "train/adapters/"
static const double EQUAL = 2e-5;

static pm_err e;
static char dir_[] = P_tmpdir "/peftmeter_test_XXXXXX";

/* $D: the scratch folder. */
static void shell(const char *command) {
    CHECK_EQ_INT(system(command), 0);
}

/* ---- sessions ---- */

/* adapter NULL: none. */
static bool open_session(pm_session *s, pm_config *c, const char *model, const char *adapter) {
    *s = (pm_session){0};
    if (adapter) CHECK_OK(pm_config_from_adapter(c, adapter, &e));
    CHECK_OK(pm_session_load(c, model, adapter, s, &e));
    return s->model != NULL;
}

/* What the model (with the adapter) at the paths computes differs from `want` by at most `bound`. */
static void check_computes(const char *model, const char *adapter, const real *want, double bound) {
    pm_config *c = pm_config_new();
    pm_session s;
    if (open_session(&s, c, model, adapter)) {
        real *got = probe_outputs(&s);
        CHECK_NEAR(probes_apart(&s, got, want), 0, bound);
        free(got);
    }
    pm_session_close(&s);
    pm_config_free(c);
}

/* The golden model that an adapter belongs to. */
static void base_of(const char *adapter, char *model, size_t cap) {
    char path[300];
    snprintf(path, sizeof path, "%s/adapter_config.json", adapter);
    cJSON *j = golden_json(path);
    snprintf(model, cap, GOLDEN "%s", golden_str(j, "base_model_name_or_path"));
    cJSON_Delete(j);
}

/* ---- merged models ---- */

static void save_merged(const char *model, const char *adapter, const char *out) {
    pm_config *c = pm_config_new();
    pm_session s;
    pm_merged m;
    CHECK_EQ_INT(mkdir(out, 0777), 0);
    if (open_session(&s, c, model, adapter)) {
        real *before = probe_outputs(&s);
        CHECK_OK(pm_merged_begin(&s, &m, &e));
        CHECK_OK(pm_model_save(&s.loaded, PM_F32, out, &e));
        pm_merged_end(&s, &m);
        check_computes(out, NULL, before, EQUAL);
        free(before);
    }
    pm_session_close(&s);
    pm_config_free(c);
}

/* One adapter directory; whether it was folded. */
static bool merge_one(const char *adapter) {
    char model[300];
    const pm_method *m;
    void *cfg;
    if (pm_adapter_config_read(adapter, &m, &cfg, &e)) {
        CHECK_EQ_INT(e.code, PM_EUNSUPPORTED);
        return false;
    }
    free(cfg);
    CHECK_EQ_INT(pm_merge_check(m, &e), m->merge ? PM_OK : PM_EUNSUPPORTED);
    if (!m->merge) return false;
    base_of(adapter, model, sizeof model);
    save_merged(model, adapter, path_in(dir_, "merged"));
    shell("rm -r $D/merged");
    return true;
}

/* Every golden adapter of every method that folds. */
static void export_merged_equals_unmerged(void) {
    DIR *d = opendir(ADAPTERS);
    int merged = 0;
    PM_ASSERT(d, ADAPTERS);
    for (const struct dirent *f; (f = readdir(d));)
        if (f->d_name[0] != '.') merged += merge_one(path_in(ADAPTERS, f->d_name));
    closedir(d);
    CHECK(merged >= 16);
}

/* ---- models as they are ---- */

static void save_model(const char *model, pm_dtype type, const char *out) {
    pm_config *c = pm_config_new();
    pm_session s;
    CHECK_EQ_INT(mkdir(out, 0777), 0);
    if (open_session(&s, c, model, NULL)) {
        real *before = probe_outputs(&s);
        CHECK_OK(pm_model_save(&s.loaded, type, out, &e));
        check_computes(out, NULL, before, type == PM_F32 ? 0 : 0.1);
        free(before);
    }
    pm_session_close(&s);
    pm_config_free(c);
}

static void export_writes_ggufs_as_directories(void) {
    static const char *const MODELS[] = {GOLDEN "formats/llama_gqa.gguf", GOLDEN "formats/qwen2_tied.gguf",
                                         GOLDEN "models/qwen2"};
    for (int i = 0; i < 3; i++) {
        save_model(MODELS[i], PM_F32, path_in(dir_, "plain"));
        shell("rm -r $D/plain");
    }
}

static void export_writes_a_tied_head_once_and_rounds_to_bf16(void) {
    pm_safetensors *from = NULL, *to = NULL;
    save_model(GOLDEN "models/llama_tied", PM_BFLOAT16, path_in(dir_, "half"));
    CHECK_OK(pm_safetensors_open(GOLDEN "models/llama_tied", &from, &e));
    CHECK_OK(pm_safetensors_open(path_in(dir_, "half"), &to, &e));
    CHECK(!pm_safetensors_find(to, "lm_head.weight"));
    CHECK_EQ_INT(pm_safetensors_count(to), pm_safetensors_count(from));
    for (int i = 0; i < pm_safetensors_count(to); i++) {
        const pm_tensor_info *t = pm_safetensors_at(to, i), *f = pm_safetensors_find(from, t->name);
        int64_t n = pm_tensor_info_count(t), wrong = 0;
        CHECK_EQ_INT(t->dtype, PM_BFLOAT16);
        CHECK(f && f->n_dims == t->n_dims && pm_tensor_info_count(f) == n);
        for (int64_t k = 0; f && k < n; k++) {
            float x;
            uint16_t h;
            memcpy(&x, (const char *)f->data + 4 * k, 4);
            memcpy(&h, (const char *)t->data + 2 * k, 2);
            wrong += h != pm_bf16_from_float(x);
        }
        CHECK_EQ_INT(wrong, 0);
    }
    cJSON *j = golden_json(path_in(dir_, "half/config.json"));
    CHECK_EQ_STR(golden_str(j, "dtype"), "bfloat16");
    cJSON_Delete(j);
    pm_safetensors_close(from);
    pm_safetensors_close(to);
    shell("rm -r $D/half");
}

static void export_copies_the_tokenizer(void) {
    shell("mkdir $D/source");
    shell("cp " GOLDEN "models/llama_untied/*.* " GOLDEN "tokenizer/ab.json $D/source");
    shell("mv $D/source/ab.json $D/source/tokenizer.json");
    save_model(path_in(dir_, "source"), PM_F32, path_in(dir_, "copy"));
    shell("cmp $D/source/tokenizer.json $D/copy/tokenizer.json && rm -r $D/source $D/copy");
}

/* ---- rotary scaling ---- */

/* A model whose frequencies Llama 3's settings made, as a GGUF leaves it: the settings themselves are gone. */
static pm_model *scaled_model(pm_arena *a, double low) {
    pm_model_cfg cfg = {.arch = "llama",
                        .C = 64,
                        .F = 64,
                        .V = 7,
                        .L = 1,
                        .H = 1,
                        .n_kv = 1,
                        .D = 64,
                        .max_pos = 131072,
                        .norm_eps = (real)1e-5,
                        .tied = true,
                        .rope = {.theta = 5e5,
                                 .factor = 32,
                                 .low_freq_factor = low,
                                 .high_freq_factor = 4,
                                 .original_max = 8192,
                                 .kind = 3}};
    pm_model *m = pm_model_new(a, &cfg);
    for (int i = 0; i < m->n_params; i++) {
        pm_param *p = &m->params[i];
        p->w = pm_arena_zalloc(a, (size_t)(p->rows * p->cols) * sizeof(real), PM_MEM_WEIGHTS);
    }
    m->cfg.rope = (pm_rope_cfg){.theta = 5e5};
    return m;
}

static void export_finds_llama3_rotary_scaling_or_refuses(void) {
    pm_arena *a = pm_arena_new("base", 1 << 24);
    pm_loaded l = {.path = "x.gguf", .model = scaled_model(a, 1)};
    CHECK_OK(pm_gguf_open(GOLDEN "formats/llama_gqa.gguf", &l.gguf, &e));
    shell("mkdir $D/rope");
    CHECK_OK(pm_model_save(&l, PM_F32, path_in(dir_, "rope"), &e));
    pm_model_cfg back;
    size_t n;
    char *text = golden_read(path_in(dir_, "rope/config.json"), &n);
    CHECK_OK(pm_model_cfg_from_json(text, n, "config.json", &back, &e));
    free(text);
    CHECK_EQ_INT(back.rope.kind, 3);
    CHECK_NEAR(back.rope.factor, 32, 0);
    CHECK_NEAR(back.rope.theta, 5e5, 0);
    CHECK_NEAR(back.norm_eps, (real)1e-5, 0);
    CHECK_EQ_INT(back.rope.original_max, 8192);
    l.model = scaled_model(a, 2); /* nobody's settings */
    CHECK_EQ_INT(pm_model_save(&l, PM_F32, path_in(dir_, "rope"), &e), PM_EUNSUPPORTED);
    CHECK(strstr(e.msg, "rotary scaling") && e.hint[0]);
    pm_gguf_close(l.gguf);
    pm_arena_free(a);
    shell("rm -r $D/rope");
}

/* ---- tokenizers ---- */

/* Up to twelve fragments that tokenizers treat differently, chosen by i. */
static void make_text(uint64_t i, char *out, size_t cap) {
    static const char *const FRAGMENTS[] = {" the",
                                            "don't",
                                            "I'LL",
                                            "  ",
                                            "\n\n",
                                            "\t",
                                            "12345",
                                            " 7",
                                            "x",
                                            "Token",
                                            "izers",
                                            "ABC",
                                            " a_b",
                                            "?!...",
                                            " (",
                                            "\xc3\xa9",
                                            "e\xcc\x81",
                                            "\xef\xac\x81",
                                            "<s>",
                                            "</s>",
                                            "\xe2\x96\x81",
                                            "\xe6\x97\xa5\xe6\x9c\xac",
                                            "\xf0\x9f\x98\x80",
                                            "<|im_end|>",
                                            "<|endoftext|>",
                                            "\xd0\x96\xd0\xb8\xd0\xb7",
                                            "\xc2\xa0"};
    pm_rng g = pm_rng_make(7, i);
    size_t n = 0;
    out[0] = 0;
    for (uint32_t k = 0, most = 1 + pm_rng_below(&g, 12); k < most && n + 32 < cap; k++)
        n += (size_t)snprintf(out + n, cap - n, "%s",
                              FRAGMENTS[pm_rng_below(&g, sizeof FRAGMENTS / sizeof *FRAGMENTS)]);
}

/* The same ids from both, whatever the text. */
static void check_same_ids(const pm_tokenizer *a, const pm_tokenizer *b, const char *name) {
    int wrong = 0;
    for (uint64_t i = 0; i < 4000; i++) {
        char text[512];
        pm_ids x = {0}, y = {0};
        make_text(i, text, sizeof text);
        unsigned flags = PM_TOK_BOS | PM_TOK_EOS | (i % 2 ? PM_TOK_SPECIAL : 0);
        CHECK_OK(pm_tokenizer_encode(a, text, strlen(text), flags, &x, &e));
        CHECK_OK(pm_tokenizer_encode(b, text, strlen(text), flags, &y, &e));
        wrong += x.n != y.n || (x.n && memcmp(x.id, y.id, (size_t)x.n * sizeof *x.id) != 0);
        pm_ids_free(&x);
        pm_ids_free(&y);
    }
    if (wrong) CHECK_FAIL_("%s: %d texts have other ids", name, wrong);
}

static void save_tokenizer(const char *gguf) {
    pm_gguf *g = NULL;
    pm_tokenizer *t = NULL, *back = NULL;
    shell("mkdir $D/tok");
    CHECK_OK(pm_gguf_open(gguf, &g, &e));
    CHECK_OK(pm_tokenizer_from_gguf(g, &t, &e));
    CHECK_OK(pm_tokenizer_save(t, g, path_in(dir_, "tok"), &e));
    CHECK_OK(pm_tokenizer_from_json(path_in(dir_, "tok"), &back, &e));
    if (back) {
        CHECK_EQ_INT(pm_tokenizer_vocab(back), pm_tokenizer_vocab(t));
        CHECK_EQ_INT(pm_tokenizer_bos(back), pm_tokenizer_bos(t));
        CHECK_EQ_INT(pm_tokenizer_eos(back), pm_tokenizer_eos(t));
        check_same_ids(t, back, gguf);
    }
    pm_tokenizer_free(back);
    pm_tokenizer_free(t);
    pm_gguf_close(g);
    shell("rm -r $D/tok");
}

/* The GGUFs' ids are the libraries' (test_tokenizer.c); these are the GGUFs'. */
static void export_ggufs_tokenizer_keeps_its_ids(void) {
    static const char *const NAMES[] = {"gpt2", "qwen2", "llama3", "llama2", "smollm"};
    for (int i = 0; i < 5; i++) {
        char path[256];
        snprintf(path, sizeof path, GOLDEN "tokenizer/%s.gguf", NAMES[i]);
        save_tokenizer(path);
    }
}

/* ---- adapters ---- */

/* The WeGeFT adapter as a LoRA in dir_/lora, for the caller to remove. */
static void save_as_lora(const char *adapter, const char *model) {
    pm_config *c = pm_config_new();
    pm_session s;
    if (open_session(&s, c, model, adapter)) {
        CHECK_OK(pm_convert_check(c->m, "lora", &e));
        CHECK_OK(pm_convert_save(&s, c, "lora", path_in(dir_, "lora"), model, &e));
        real *before = probe_outputs(&s);
        check_computes(model, path_in(dir_, "lora"), before, EQUAL);
        free(before);
    }
    pm_session_close(&s);
    pm_config_free(c);
}

static void export_wegeft_is_a_lora(void) {
    static const char *const NAMES[] = {"wegeft_shared-after", "wegeft_layers-after"};
    for (int i = 0; i < 2; i++) {
        char model[300];
        base_of(path_in(ADAPTERS, NAMES[i]), model, sizeof model);
        save_as_lora(path_in(ADAPTERS, NAMES[i]), model);
        shell("rm -r $D/lora");
    }
}

static void export_refuses_another_function(void) {
    const pm_method *lora = pm_method_find("lora"), *wegeft = pm_method_find("wegeft");
    CHECK_OK(pm_convert_check(lora, "lora", &e));
    CHECK_EQ_INT(pm_convert_check(lora, "dora", &e), PM_EUNSUPPORTED);
    CHECK(strstr(e.hint, "lora's own layout"));
    CHECK_EQ_INT(pm_convert_check(wegeft, "full", &e), PM_EUNSUPPORTED);
    CHECK(strstr(e.hint, "--as lora"));
    CHECK_EQ_INT(pm_convert_check(lora, "laro", &e), PM_EUSAGE);
}

/* ---- transformers and PEFT ---- */

static const char *python;

static int run_script(const char *script, const char *args) {
    char command[2048];
    snprintf(command, sizeof command, "%s tests/%s %s", python, script, args);
    return system(command);
}

static bool have(const char *script) {
    char args[64];
    python = getenv("PEFTMETER_PYTHON");
    if (!python) python = "python3";
    snprintf(args, sizeof args, "--probe >/dev/null 2>&1");
    return run_script(script, args) == 0;
}

static void sequences_to_logits(pm_session *s, const char *sequences, const char *logits) {
    cJSON *index = golden_json(sequences);
    write_logits(s, golden_get(index, "sequences"), logits);
    cJSON_Delete(index);
}

static void export_merged_is_read_by_transformers(void) {
    char model[300], sequences[320], logits[300], args[1024];
    pm_config *c = pm_config_new();
    pm_session s;
    base_of(ADAPTERS "dora_qwen2-after", model, sizeof model);
    snprintf(sequences, sizeof sequences, "%s/logits.json", model);
    snprintf(logits, sizeof logits, "%s/logits.bin", dir_);
    save_merged(model, ADAPTERS "dora_qwen2-after", path_in(dir_, "merged"));
    if (open_session(&s, c, model, ADAPTERS "dora_qwen2-after")) {
        sequences_to_logits(&s, sequences, logits);
        snprintf(args, sizeof args, "'%s/merged' '%s' '%s' 2e-5", dir_, sequences, logits);
        CHECK_EQ_INT(run_script("hf_check.py", args), 0);
    }
    pm_session_close(&s);
    pm_config_free(c);
    shell("rm -r $D/merged");
}

/* Interleaved heads, biases on q, k and v, a tied and a separate head. */
static void export_ggufs_are_read_by_transformers(void) {
    static const char *const NAMES[] = {"llama_gqa", "qwen2_tied"};
    FILE *f = fopen(path_in(dir_, "sequences.json"), "w");
    PM_ASSERT(f && fputs("{\"sequences\":[[1,2,3,4,5,6],[7],[3,9,8,0]]}", f) >= 0 && !fclose(f), "%s", dir_);
    for (int i = 0; i < 2; i++) {
        char gguf[300], logits[300], args[1024];
        pm_config *c = pm_config_new();
        pm_session s;
        snprintf(gguf, sizeof gguf, GOLDEN "formats/%s.gguf", NAMES[i]);
        snprintf(logits, sizeof logits, "%s/logits.bin", dir_);
        save_model(gguf, PM_F32, path_in(dir_, "plain"));
        if (open_session(&s, c, gguf, NULL)) {
            sequences_to_logits(&s, path_in(dir_, "sequences.json"), logits);
            snprintf(args, sizeof args, "'%s/plain' '%s/sequences.json' '%s' 1e-4", dir_, dir_, logits);
            CHECK_EQ_INT(run_script("hf_check.py", args), 0);
        }
        pm_session_close(&s);
        pm_config_free(c);
        shell("rm -r $D/plain");
    }
}

static void export_wegeft_is_read_by_peft(void) {
    char model[300], sequences[320], logits[300], args[1024];
    pm_config *c = pm_config_new();
    pm_session s;
    base_of(ADAPTERS "wegeft_shared-after", model, sizeof model);
    snprintf(sequences, sizeof sequences, "%s/logits.json", model);
    snprintf(logits, sizeof logits, "%s/logits.bin", dir_);
    save_as_lora(ADAPTERS "wegeft_shared-after", model);
    if (open_session(&s, c, model, ADAPTERS "wegeft_shared-after")) {
        sequences_to_logits(&s, sequences, logits);
        snprintf(args, sizeof args, "'%s' '%s/lora' '%s' '%s'", model, dir_, sequences, logits);
        CHECK_EQ_INT(run_script("peft_check.py", args), 0);
    }
    pm_session_close(&s);
    pm_config_free(c);
    shell("rm -r $D/lora");
}

#ifndef __SANITIZE_ADDRESS__
static const char *const TEXTS[] = {"The capital of France is", "Question: 12 + 30 = ?\nAnswer: 42.",
                                    "  d\xc3\xa9j\xc3\xa0 vu\t<|im_end|>\n", "def f(x):\n    return x ** 2",
                                    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xf0\x9f\x98\x80"};

/* {"texts", "sequences"} of our tokenizer, to dir_/sequences.json. */
static void write_texts(const pm_session *s) {
    cJSON *j = cJSON_CreateObject(), *texts = cJSON_AddArrayToObject(j, "texts"),
          *sequences = cJSON_AddArrayToObject(j, "sequences");
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        pm_ids ids = {0};
        CHECK_OK(
            pm_tokenizer_encode(s->tok, TEXTS[i], strlen(TEXTS[i]), PM_TOK_BOS | PM_TOK_SPECIAL, &ids, &e));
        cJSON_AddItemToArray(texts, cJSON_CreateString(TEXTS[i]));
        cJSON_AddItemToArray(sequences, cJSON_CreateIntArray(ids.id, (int)ids.n));
        pm_ids_free(&ids);
    }
    char *text = cJSON_Print(j);
    FILE *f = fopen(path_in(dir_, "sequences.json"), "w");
    PM_ASSERT(text && f && fputs(text, f) >= 0 && !fclose(f), "%s", dir_);
    cJSON_free(text);
    cJSON_Delete(j);
}

/* The real thing: a quantised GGUF becomes what transformers loads with its tokenizer. */
static void export_smollm2_is_read_by_transformers(void) {
    const char *gguf = getenv("PEFTMETER_TEST_GGUF");
    if (!gguf || access(gguf, R_OK)) {
        SKIP("export_smollm2_is_read_by_transformers", "PEFTMETER_TEST_GGUF is not set");
        return;
    }
    char args[1024], logits[300];
    pm_config *c = pm_config_new();
    pm_session s;
    shell("mkdir $D/smollm2");
    snprintf(logits, sizeof logits, "%s/logits.bin", dir_);
    if (open_session(&s, c, gguf, NULL)) {
        CHECK_OK(pm_model_save(&s.loaded, PM_F32, path_in(dir_, "smollm2"), &e));
        write_texts(&s);
        sequences_to_logits(&s, path_in(dir_, "sequences.json"), logits);
        snprintf(args, sizeof args, "'%s/smollm2' '%s/sequences.json' '%s' 2e-3", dir_, dir_, logits);
        CHECK_EQ_INT(run_script("hf_check.py", args), 0);
    }
    pm_session_close(&s);
    pm_config_free(c);
}

#endif

int main(void) {
    PM_ASSERT(mkdtemp(dir_) && !setenv("D", dir_, 1), "cannot make %s", dir_);
    RUN(export_merged_equals_unmerged);
    RUN(export_writes_ggufs_as_directories);
    RUN(export_writes_a_tied_head_once_and_rounds_to_bf16);
    RUN(export_copies_the_tokenizer);
    RUN(export_finds_llama3_rotary_scaling_or_refuses);
    RUN(export_ggufs_tokenizer_keeps_its_ids);
    RUN(export_wegeft_is_a_lora);
    RUN(export_refuses_another_function);
    if (have("hf_check.py")) {
        RUN(export_merged_is_read_by_transformers);
        RUN(export_ggufs_are_read_by_transformers);
#ifndef __SANITIZE_ADDRESS__ /* half a gigabyte: once is enough */
        RUN(export_smollm2_is_read_by_transformers);
#endif
    } else
        SKIP("transformers reads our models",
             "no python3 with transformers; PEFTMETER_PYTHON names an interpreter");
    if (have("peft_check.py"))
        RUN(export_wegeft_is_read_by_peft);
    else
        SKIP("PEFT reads WeGeFT as a LoRA", "no python3 with peft; PEFTMETER_PYTHON names an interpreter");
    shell("rm -r $D");
    return check_done();
}
