/* fresh.c - a new model's weights and tokenizer (fresh.h).
 *
 * The vocabulary: <eos>, the 256 bytes, then each word with the space before it. In tokenizer.json that is a byte-level BPE without merges
 * that looks for whole words first ("ignore_merges"), so any text has ids and the known words one each.
 */
#include "fresh.h"
#include "bytes.h"
#include "rng.h"
#include "text.h"
#include "tok.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

enum { EOS = 0, FIRST_BYTE = 1, FIRST_WORD = FIRST_BYTE + 256 };
#define SPACE "\xc4\xa0" /* U+0120, the byte 0x20 as byte-level tokenizers write it */
#define SPREAD 0.05      /* standard deviation of a weight */

/* ---- tokenizer ---- */

static cJSON *vocab(char *const *word, int n_words) {
    cJSON *j = cJSON_CreateObject();
    cJSON_AddNumberToObject(j, "<eos>", EOS);
    for (int b = 0; b < 256; b++) {
        char c[3] = {0};
        pm_tok_byte_char((uint8_t)b, c);
        cJSON_AddNumberToObject(j, c, FIRST_BYTE + b);
    }
    for (int i = 0; i < n_words; i++) {
        char token[64];
        snprintf(token, sizeof token, SPACE "%s", word[i]);
        cJSON_AddNumberToObject(j, token, FIRST_WORD + i);
    }
    return j;
}

static cJSON *tokenizer_json(char *const *word, int n_words) {
    cJSON *j = cJSON_Parse(
        "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[{\"id\":0,\"content\":"
        "\"<eos>\","
        "\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}],"
        "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_"
        "offsets\":true,"
        "\"use_regex\":true},\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_"
        "space\":true,"
        "\"trim_offsets\":true,\"use_regex\":true},\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_"
        "token\":null,"
        "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":"
        "false,"
        "\"ignore_merges\":true}}");
    PM_ASSERT(j, "tokenizer.json");
    cJSON *model = cJSON_GetObjectItem(j, "model");
    cJSON_AddItemToObject(model, "vocab", vocab(word, n_words));
    cJSON_AddArrayToObject(model, "merges");
    return j;
}

static cJSON *tokenizer_config(void) {
    return cJSON_Parse(
        "{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"clean_up_tokenization_spaces\":false,"
        "\"eos_token\":\"<eos>\",\"pad_token\":\"<eos>\"}");
}

static cJSON *generation_config(void) {
    return cJSON_Parse("{\"do_sample\":false,\"eos_token_id\":0,\"pad_token_id\":0}");
}

/* Writes and deletes j. */
static pm_status write_json(cJSON *j, const char *dir, const char *file, pm_err *e) {
    char path[4096];
    pm_status s = pm_path_join(path, sizeof path, dir, file, e);
    if (!s) return pm_atomic_json(path, j, false, e);
    cJSON_Delete(j);
    return s;
}

/* ---- weights ---- */

/* Gains 1, biases 0; what adds to the residual stream (o_proj, down_proj) is smaller by sqrt(2 L), as in GPT-2. */
static void fill(pm_model *m, pm_arena *base, uint64_t seed) {
    for (int i = 0; i < m->n_params; i++) {
        pm_param *p = &m->params[i];
        int64_t n = p->rows * p->cols;
        bool adds = strstr(p->name, "o_proj") || strstr(p->name, "down_proj");
        double bound = SPREAD * sqrt(3) / (adds ? sqrt(2.0 * m->cfg.L) : 1);
        pm_rng g = pm_rng_make(seed, pm_hash64(p->name, strlen(p->name)));
        p->w = pm_arena_zalloc(base, (size_t)n * sizeof *p->w, PM_MEM_WEIGHTS);
        if (!p->vector)
            pm_rng_fill_uniform(&g, p->w, n, (real)-bound, (real)bound);
        else
            for (int64_t k = 0; k < n; k++) p->w[k] = strstr(p->name, "norm") ? 1 : 0;
    }
}

pm_status pm_fresh_model(pm_model_cfg *cfg, char *const *word, int n_words, uint64_t seed, const char *dir,
                         pm_err *e) {
    pm_loaded l = {0};
    cfg->V = FIRST_WORD + n_words;
    pm_status s = write_json(tokenizer_json(word, n_words), dir, "tokenizer.json", e);
    if (!s) s = write_json(tokenizer_config(), dir, "tokenizer_config.json", e);
    if (!s) s = write_json(generation_config(), dir, "generation_config.json", e);
    if (!s) s = pm_tokenizer_from_json(dir, &l.tok, e);
    if (s) return s;
    pm_arena *base = pm_arena_new("fresh", 0);
    l.model = pm_model_new(base, cfg);
    fill(l.model, base, seed);
    s = pm_model_save(&l, PM_F32, dir, e);
    pm_tokenizer_free(l.tok);
    pm_arena_free(base);
    return s;
}
