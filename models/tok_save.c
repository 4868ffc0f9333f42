/* tok_save.c - a GGUF's tokenizer as Hugging Face's tokenizer.json and tokenizer_config.json.
 *
 * The other direction of tok_gguf.c: each component that it sets up is written as the component of that name, so that tok_json.c, and the
 * tokenizers library, cut a text into the same ids. Exception: sentencepiece joins equally good pairs from left to right, a list of merges
 * has an order; pairs that make the same token are listed by their ids, as Hugging Face's converter does.
 */
#include "bytes.h"
#include "tok.h"
#include <cJSON.h>
#include <stdlib.h>

#define KEY "tokenizer.ggml."
#define LOWER_BLOCK "\xe2\x96\x81" /* U+2581, sentencepiece's visible space */

/* ---- components ---- */

/* The texts are constants of this file. */
static cJSON *component(const char *text) {
    cJSON *j = cJSON_Parse(text);
    PM_ASSERT(j, "not JSON: %s", text);
    return j;
}

static cJSON *byte_level(bool use_regex) {
    cJSON *j = component("{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true}");
    cJSON_AddBoolToObject(j, "use_regex", use_regex);
    return j;
}

static cJSON *split(const char *re) {
    cJSON *j = component("{\"type\":\"Split\",\"pattern\":{},\"behavior\":\"Isolated\",\"invert\":false}");
    cJSON_AddStringToObject(cJSON_GetObjectItem(j, "pattern"), "Regex", re);
    return j;
}

static cJSON *pre_tokenizer(const pm_tok_pre_kind *k) {
    if (!k->digits && !k->split) return byte_level(true);
    cJSON *j = component("{\"type\":\"Sequence\",\"pretokenizers\":[]}"),
          *l = cJSON_GetObjectItem(j, "pretokenizers");
    if (k->digits) cJSON_AddItemToArray(l, component("{\"type\":\"Digits\",\"individual_digits\":true}"));
    if (k->split) cJSON_AddItemToArray(l, split(k->re));
    cJSON_AddItemToArray(l, byte_level(!k->split));
    return j;
}

static cJSON *unicode_normalizer(bool nfc) {
    return nfc ? component("{\"type\":\"NFC\"}") : cJSON_CreateNull();
}

/* As tok_gguf.c's set_spaces: with or without a space before the text. */
static cJSON *spaces_normalizer(bool prefix) {
    cJSON *j = component("{\"type\":\"Sequence\",\"normalizers\":[]}"),
          *l = cJSON_GetObjectItem(j, "normalizers");
    if (prefix) cJSON_AddItemToArray(l, component("{\"type\":\"Prepend\",\"prepend\":\"" LOWER_BLOCK "\"}"));
    cJSON_AddItemToArray(
        l,
        component("{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" LOWER_BLOCK "\"}"));
    return j;
}

static cJSON *spaces_decoder(bool prefix) {
    cJSON *j = component(
        "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"" LOWER_BLOCK
        "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]}");
    if (prefix)
        cJSON_AddItemToArray(cJSON_GetObjectItem(j, "decoders"),
                             component("{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}"));
    return j;
}

/* ---- what is put around a text ---- */

static void add_special(cJSON *list, const char *token, int type_id) {
    cJSON *piece = cJSON_CreateObject(), *j = cJSON_AddObjectToObject(piece, "SpecialToken");
    cJSON_AddStringToObject(j, "id", token);
    cJSON_AddNumberToObject(j, "type_id", type_id);
    cJSON_AddItemToArray(list, piece);
}

/* One text inside the template: the tokens before it, itself, the tokens behind it. */
static void add_sequence(const pm_tokenizer *t, cJSON *list, const char *name, int type_id) {
    for (int i = 0; i < t->n_prefix; i++) add_special(list, t->vocab.tok[t->prefix[i]].s, type_id);
    cJSON *piece = cJSON_CreateObject(), *j = cJSON_AddObjectToObject(piece, "Sequence");
    cJSON_AddStringToObject(j, "id", name);
    cJSON_AddNumberToObject(j, "type_id", type_id);
    cJSON_AddItemToArray(list, piece);
    for (int i = 0; i < t->n_suffix; i++) add_special(list, t->vocab.tok[t->suffix[i]].s, type_id);
}

static void define_special(const pm_tokenizer *t, cJSON *table, int32_t id) {
    const char *token = t->vocab.tok[id].s;
    if (cJSON_GetObjectItemCaseSensitive(table, token)) return;
    cJSON *j = cJSON_AddObjectToObject(table, token);
    cJSON_AddStringToObject(j, "id", token);
    cJSON_AddItemToObject(j, "ids", cJSON_CreateIntArray(&id, 1));
    cJSON_AddItemToObject(j, "tokens", cJSON_CreateStringArray(&token, 1));
}

static cJSON *post_processor(const pm_tokenizer *t) {
    if (!t->n_prefix && !t->n_suffix) return cJSON_CreateNull();
    cJSON *j = component("{\"type\":\"TemplateProcessing\"}");
    cJSON *single = cJSON_AddArrayToObject(j, "single"), *pair = cJSON_AddArrayToObject(j, "pair");
    cJSON *table = cJSON_AddObjectToObject(j, "special_tokens");
    add_sequence(t, single, "A", 0);
    add_sequence(t, pair, "A", 0);
    add_sequence(t, pair, "B", 1);
    for (int i = 0; i < t->n_prefix; i++) define_special(t, table, t->prefix[i]);
    for (int i = 0; i < t->n_suffix; i++) define_special(t, table, t->suffix[i]);
    return j;
}

/* ---- the model ---- */

static cJSON *vocab(const pm_tokenizer *t) {
    cJSON *j = cJSON_CreateObject();
    for (int32_t id = 0; id < t->vocab.n; id++)
        if (t->vocab.tok[id].n) cJSON_AddNumberToObject(j, t->vocab.tok[id].s, id);
    return j;
}

static int in_order(const void *pa, const void *pb) {
    const pm_tok_merge *a = pa, *b = pb;
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    if (a->id != b->id) return a->id < b->id ? -1 : 1;
    return (a->pair > b->pair) - (a->pair < b->pair);
}

/* "a b". A token with a space in it is never met: a text's spaces have another form by then. */
static void add_merge(const pm_tokenizer *t, const pm_tok_merge *m, pm_tok_buf *line, cJSON *list) {
    pm_tok_str a = t->vocab.tok[m->pair >> 32], b = t->vocab.tok[(uint32_t)m->pair];
    if (memchr(a.s, ' ', a.n) || memchr(b.s, ' ', b.n)) return;
    line->n = 0;
    pm_tok_buf_add(line, a.s, a.n);
    pm_tok_buf_add(line, " ", 1);
    pm_tok_buf_add(line, b.s, (size_t)b.n + 1);
    cJSON_AddItemToArray(list, cJSON_CreateString(line->p));
}

static cJSON *merges(const pm_tokenizer *t) {
    pm_tok_merge *all = pm_xcalloc(t->bpe.n, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < t->bpe.n_slots; i++)
        if (t->bpe.slot[i].pair != UINT64_MAX) all[n++] = t->bpe.slot[i];
    if (n) qsort(all, n, sizeof *all, in_order);
    cJSON *list = cJSON_CreateArray();
    pm_tok_buf line = {0};
    for (size_t i = 0; i < n; i++) add_merge(t, &all[i], &line, list);
    pm_tok_buf_free(&line);
    free(all);
    return list;
}

static cJSON *model(const pm_tokenizer *t) {
    cJSON *j = component("{\"type\":\"BPE\",\"dropout\":null,\"continuing_subword_prefix\":null,"
                         "\"end_of_word_suffix\":null}");
    cJSON_AddItemToObject(j, "unk_token",
                          t->bpe.unk >= 0 ? cJSON_CreateString(t->vocab.tok[t->bpe.unk].s)
                                          : cJSON_CreateNull());
    cJSON_AddBoolToObject(j, "fuse_unk", t->bpe.fuse_unk);
    cJSON_AddBoolToObject(j, "byte_fallback", t->bpe.byte_fallback);
    cJSON_AddBoolToObject(j, "ignore_merges", t->bpe.ignore_merges);
    cJSON_AddItemToObject(j, "vocab", vocab(t));
    cJSON_AddItemToObject(j, "merges", merges(t));
    return j;
}

static cJSON *added_tokens(const pm_tokenizer *t) {
    cJSON *list = cJSON_CreateArray();
    for (int32_t id = 0; id < t->vocab.n; id++) {
        if (!(t->kind[id] & PM_TOK_IS_ADDED)) continue;
        cJSON *j =
            component("{\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false}");
        cJSON_AddNumberToObject(j, "id", id);
        cJSON_AddStringToObject(j, "content", t->vocab.tok[id].s);
        cJSON_AddBoolToObject(j, "special", t->kind[id] & PM_TOK_IS_SPECIAL);
        cJSON_AddItemToArray(list, j);
    }
    return list;
}

/* ---- the two files ---- */

static cJSON *tokenizer_json(const pm_tokenizer *t, const pm_gguf *g) {
    const char *name;
    size_t n;
    const pm_tok_pre_kind *k = pm_tok_gguf_pre(g, &name, &n);
    bool prefix = true, bytes = t->bpe.byte_level;
    pm_gguf_bool(g, KEY "add_space_prefix", &prefix);
    cJSON *j = component("{\"version\":\"1.0\",\"truncation\":null,\"padding\":null}");
    cJSON_AddItemToObject(j, "added_tokens", added_tokens(t));
    cJSON_AddItemToObject(j, "normalizer", bytes ? unicode_normalizer(k->nfc) : spaces_normalizer(prefix));
    cJSON_AddItemToObject(j, "pre_tokenizer", bytes ? pre_tokenizer(k) : cJSON_CreateNull());
    cJSON_AddItemToObject(j, "post_processor", post_processor(t));
    cJSON_AddItemToObject(j, "decoder", bytes ? byte_level(true) : spaces_decoder(prefix));
    cJSON_AddItemToObject(j, "model", model(t));
    return j;
}

static cJSON *config_json(const pm_tokenizer *t, const pm_gguf *g) {
    static const char *const ROLES[] = {"bos", "eos", "unknown", "padding"}, *const NAMES[] = {
                                                                                 "bos_token", "eos_token",
                                                                                 "unk_token", "pad_token"};
    cJSON *j =
        component("{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"clean_up_tokenization_spaces\":false}");
    for (int i = 0; i < 4; i++) {
        char key[64];
        int64_t id;
        snprintf(key, sizeof key, KEY "%s_token_id", ROLES[i]);
        if (pm_gguf_int(g, key, &id) && id >= 0 && id < t->vocab.n && t->vocab.tok[id].n)
            cJSON_AddStringToObject(j, NAMES[i], t->vocab.tok[id].s);
    }
    const char *chat;
    size_t n;
    if (!pm_gguf_str(g, "tokenizer.chat_template", &chat, &n)) return j;
    pm_tok_buf text = {0}; /* the file's strings have no end mark */
    pm_tok_buf_add(&text, chat, n);
    pm_tok_buf_add(&text, "", 1);
    if (!memchr(chat, 0, n) && pm_tok_valid_prefix(chat, n) == n)
        cJSON_AddStringToObject(j, "chat_template", text.p);
    pm_tok_buf_free(&text);
    return j;
}

/* JSON's strings are UTF-8, cJSON's end at a zero byte. */
static pm_status check_tokens(const pm_tokenizer *t, const pm_gguf *g, pm_err *e) {
    for (int32_t id = 0; id < t->vocab.n; id++) {
        pm_tok_str s = t->vocab.tok[id];
        if (!s.n || (pm_tok_valid_prefix(s.s, s.n) == s.n && !memchr(s.s, 0, s.n))) continue;
        pm_fail(e, PM_EUNSUPPORTED, "%.200s: token %d is no text, so that tokenizer.json cannot hold it",
                pm_gguf_path(g), id);
        return pm_hint(e, "take tokenizer.json from the model's Hugging Face directory");
    }
    return PM_OK;
}

/* Writes and deletes j. */
static pm_status write_json(cJSON *j, const char *dir, const char *file, pm_err *e) {
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", dir, file) < (int)sizeof path)
        return pm_atomic_json(path, j, false, e);
    cJSON_Delete(j);
    return pm_fail(e, PM_EIO, "%.200s...: the path is too long", dir);
}

pm_status pm_tokenizer_save(const pm_tokenizer *t, const pm_gguf *g, const char *dir, pm_err *e) {
    pm_status s = check_tokens(t, g, e);
    if (!s) s = write_json(tokenizer_json(t, g), dir, "tokenizer.json", e);
    return s ? s : write_json(config_json(t, g), dir, "tokenizer_config.json", e);
}
