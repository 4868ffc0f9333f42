/* tok_gguf.c - a tokenizer from GGUF metadata (keys tokenizer.ggml.*).
 *
 * model "gpt2": byte-level BPE; the file names its pre-tokenizer (`pre`) and lists the merges in order.
 * model "llama": SentencePiece-BPE; the file lists a score per token. Every way to cut a token in two is a merge, its rank the
 * token's place in the order of scores: that is sentencepiece's rule, in the form tok_bpe.c runs.
 * Token types: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
 */
#include "tok.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define KEY "tokenizer.ggml."
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };
enum { GGUF_INT32 = 5, GGUF_FLOAT32 = 6, GGUF_STRING = 8 };

/* ---- the names of `pre` ---- */

static const pm_tok_pre_kind pre_kinds[] = {
    {.name = "default", .re = pm_tok_re_gpt2},
    {.name = "gpt-2", .re = pm_tok_re_gpt2},
    {.name = "smollm", .re = pm_tok_re_gpt2, .digits = true},
    {.name = "qwen2", .re = pm_tok_re_qwen2, .split = true, .nfc = true},
    {.name = "llama-bpe", .re = pm_tok_re_llama3, .split = true, .ignore_merges = true, .add_bos = true},
    {.name = "llama3", .re = pm_tok_re_llama3, .split = true, .ignore_merges = true, .add_bos = true},
    {.name = "llama-v3", .re = pm_tok_re_llama3, .split = true, .ignore_merges = true, .add_bos = true},
};

static const pm_tok_pre_kind *pre_find(const char *name, size_t n) {
    for (size_t i = 0; i < sizeof pre_kinds / sizeof *pre_kinds; i++)
        if (strlen(pre_kinds[i].name) == n && memcmp(pre_kinds[i].name, name, n) == 0) return &pre_kinds[i];
    return NULL;
}

const pm_tok_pre_kind *pm_tok_gguf_pre(const pm_gguf *g, const char **name, size_t *n) {
    *name = "default";
    *n = strlen(*name);
    pm_gguf_str(g, KEY "pre", name, n);
    return pre_find(*name, *n);
}

/* ---- vocabulary ---- */

static int32_t i32_at(const pm_gguf_array *a, uint64_t i) {
    int32_t v;
    PM_ASSERT(i < a->n && a->p, "element %llu of %llu", (unsigned long long)i, (unsigned long long)a->n);
    memcpy(&v, a->p + i * sizeof v, sizeof v);
    return v;
}

static float f32_at(const pm_gguf_array *a, uint64_t i) {
    float v;
    PM_ASSERT(i < a->n && a->p, "element %llu of %llu", (unsigned long long)i, (unsigned long long)a->n);
    memcpy(&v, a->p + i * sizeof v, sizeof v);
    return v;
}

/* An array of 4-byte elements, one per token. */
static pm_status per_token(const pm_gguf *g, const char *key, int type, uint64_t n, pm_gguf_array *out,
                           pm_err *e) {
    if (!pm_gguf_array_get(g, key, out) || out->type != type)
        return pm_fail(e, PM_EFORMAT, "%s is missing or of another type", key);
    if (out->n != n || (size_t)(out->end - out->p) / 4 < n)
        return pm_fail(e, PM_EFORMAT, "%s has %llu entries for %llu tokens", key, (unsigned long long)out->n,
                       (unsigned long long)n);
    return PM_OK;
}

static void add_if_added(pm_tokenizer *t, int32_t id, int type, const char *s, size_t n) {
    bool special = type == TYPE_CONTROL || type == TYPE_UNKNOWN;
    if (n && (special || type == TYPE_USER))
        pm_tok_added_push(&t->raw, (pm_tok_added){.id = id, .special = special}, s, n);
}

static pm_status read_tokens(pm_tokenizer *t, const pm_gguf *g, pm_gguf_array *types, pm_err *e) {
    pm_gguf_array tokens;
    if (!pm_gguf_array_get(g, KEY "tokens", &tokens) || tokens.type != GGUF_STRING)
        return pm_fail(e, PM_EFORMAT, KEY "tokens is missing or not a list of strings");
    uint64_t n = tokens.n;
    pm_status rc = per_token(g, KEY "token_type", GGUF_INT32, n, types, e);
    if (rc == PM_OK) pm_tok_vocab_reserve(&t->vocab, n < PM_TOK_MAX_IDS ? n : 0);
    for (uint64_t i = 0; i < n && rc == PM_OK; i++) {
        const char *s;
        size_t len;
        if (!pm_gguf_array_str(&tokens, &s, &len)) return pm_fail(e, PM_EFORMAT, KEY "tokens is cut short");
        rc = pm_tok_vocab_add(&t->vocab, (int64_t)i, s, len, e);
        if (rc == PM_OK) add_if_added(t, (int32_t)i, i32_at(types, i), s, len);
    }
    return rc;
}

/* -1 when absent. */
static pm_status token_id(const pm_tokenizer *t, const pm_gguf *g, const char *key, int32_t *out, pm_err *e) {
    int64_t id;
    *out = -1;
    if (!pm_gguf_int(g, key, &id) || id == -1 || id == UINT32_MAX)
        return PM_OK; /* writers say "none" by -1 */
    if (id < 0 || id >= t->vocab.n)
        return pm_fail(e, PM_EFORMAT, "%s is %lld, the vocabulary has %d tokens", key, (long long)id,
                       t->vocab.n);
    *out = (int32_t)id;
    return PM_OK;
}

static pm_status read_template(pm_tokenizer *t, const pm_gguf *g, bool add_bos, pm_err *e) {
    bool add_eos = false;
    pm_status rc = token_id(t, g, KEY "bos_token_id", &t->bos, e);
    if (rc == PM_OK) rc = token_id(t, g, KEY "eos_token_id", &t->eos, e);
    pm_gguf_bool(g, KEY "add_bos_token", &add_bos);
    pm_gguf_bool(g, KEY "add_eos_token", &add_eos);
    if (add_bos && t->bos >= 0) t->prefix[t->n_prefix++] = t->bos;
    if (add_eos && t->eos >= 0) t->suffix[t->n_suffix++] = t->eos;
    return rc;
}

/* ---- "gpt2" ---- */

static pm_status read_merges(pm_tokenizer *t, const pm_gguf *g, pm_err *e) {
    pm_gguf_array merges;
    if (!pm_gguf_array_get(g, KEY "merges", &merges) || merges.type != GGUF_STRING || merges.n > INT32_MAX)
        return pm_fail(e, PM_EFORMAT, KEY "merges is missing or not a list of strings");
    uint64_t n = merges.n, most = (uint64_t)(merges.end - merges.p) /
                                  8; /* a string takes at least its length's eight bytes */
    pm_tok_bpe_reserve(&t->bpe, n < most ? n : most);
    for (uint64_t i = 0; i < n; i++) {
        const char *s;
        size_t len;
        if (!pm_gguf_array_str(&merges, &s, &len)) return pm_fail(e, PM_EFORMAT, KEY "merges is cut short");
        pm_status rc = pm_tok_merge_line(t, i, s, len, e);
        if (rc != PM_OK) return rc;
    }
    return PM_OK;
}

static pm_status set_pre(pm_tokenizer *t, const pm_tok_pre_kind *kind, pm_err *e) {
    pm_tok_step *st;
    if (kind->nfc) {
        st = pm_tok_steps_add(&t->norm, e);
        st->run.normalize = pm_tok_norm_form;
        st->form = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    }
    if (kind->digits)
        pm_tok_steps_add(&t->pre, e)->run.pre =
            pm_tok_pre_split; /* no pattern: every numeric character alone */
    st = pm_tok_steps_add(&t->pre, e);
    st->run.pre = kind->split ? pm_tok_pre_split : pm_tok_pre_bytelevel;
    pm_tok_steps_add(&t->dec, e)->run.decode = pm_tok_dec_bytelevel;
    return pm_tok_step_regex(st, kind->re, strlen(kind->re), e);
}

static pm_status load_gpt2(pm_tokenizer *t, const pm_gguf *g, pm_err *e) {
    const char *name;
    size_t n;
    pm_gguf_array types = {0};
    const pm_tok_pre_kind *kind = pm_tok_gguf_pre(g, &name, &n);
    if (!kind) {
        pm_fail(e, PM_EUNSUPPORTED, KEY "pre = \"%.*s\" is not known", (int)(n < 80 ? n : 80), name);
        return pm_hint(e, "known: default, gpt-2, smollm, qwen2, llama-bpe; a Hugging Face directory's "
                          "tokenizer.json says more");
    }
    t->bpe.byte_level = true;
    t->bpe.ignore_merges = kind->ignore_merges;
    pm_status rc = set_pre(t, kind, e);
    if (rc == PM_OK) rc = read_tokens(t, g, &types, e);
    if (rc == PM_OK) rc = read_merges(t, g, e);
    return rc == PM_OK ? read_template(t, g, kind->add_bos, e) : rc;
}

/* ---- "llama" ---- */

typedef struct scored {
    float score;
    int32_t id;
} scored;

static int best_first(const void *pa, const void *pb) {
    const scored *a = pa, *b = pb;
    return a->score != b->score ? (a->score > b->score ? -1 : 1) : (a->id > b->id) - (a->id < b->id);
}

/* Normal and user-defined pieces take part in merging, as in sentencepiece. */
static bool mergeable(const pm_gguf_array *types, int32_t id) {
    int32_t type = id >= 0 ? i32_at(types, (uint64_t)id) : 0;
    return type == TYPE_NORMAL || type == TYPE_USER;
}

/* Every way to cut the token between two characters. */
static void add_cuts(pm_tokenizer *t, const pm_gguf_array *types, int32_t id, int32_t rank) {
    pm_tok_str tok = t->vocab.tok[id];
    for (uint32_t i = 1; i < tok.n; i++) {
        if (((unsigned char)tok.s[i] & 0xc0) == 0x80) continue;
        int32_t left = pm_tok_vocab_find(&t->vocab, tok.s, i);
        if (!mergeable(types, left)) continue;
        int32_t right = pm_tok_vocab_find(&t->vocab, tok.s + i, tok.n - i);
        if (mergeable(types, right)) pm_tok_bpe_add(&t->bpe, left, right, rank, id);
    }
}

static pm_status read_scores(pm_tokenizer *t, const pm_gguf *g, const pm_gguf_array *types, pm_err *e) {
    enum { MAX_PIECE = 1024 }; /* cutting is quadratic in the piece's length */
    pm_gguf_array scores;
    pm_status rc = per_token(g, KEY "scores", GGUF_FLOAT32, (uint64_t)t->vocab.n, &scores, e);
    if (rc != PM_OK) return rc;
    scored *order = pm_tok_realloc(NULL, (size_t)t->vocab.n * sizeof *order);
    int32_t n = 0;
    for (int32_t id = 0; id < t->vocab.n && rc == PM_OK; id++) {
        float score = f32_at(&scores, (uint64_t)id);
        if (!mergeable(types, id)) continue;
        if (!isfinite(score)) rc = pm_fail(e, PM_EFORMAT, "the score of token %d is not finite", id);
        if (t->vocab.tok[id].n > MAX_PIECE)
            rc = pm_fail(e, PM_EFORMAT, "token %d has %u bytes", id, t->vocab.tok[id].n);
        order[n++] = (scored){score, id};
    }
    if (n) qsort(order, (size_t)n, sizeof *order, best_first);
    for (int32_t i = 0, rank = 0; i < n && rc == PM_OK; i++) {
        if (i && order[i].score != order[i - 1].score) rank = i;
        add_cuts(t, types, order[i].id, rank);
    }
    free(order);
    return rc;
}

#define LOWER_BLOCK "\xe2\x96\x81" /* U+2581, sentencepiece's visible space */

static void set_spaces(pm_tokenizer *t, bool prefix, pm_err *e) {
    pm_tok_step *st;
    if (prefix) {
        st = pm_tok_steps_add(&t->norm, e);
        st->run.normalize = pm_tok_norm_prepend;
        pm_tok_step_text(st, LOWER_BLOCK, 3);
    }
    st = pm_tok_steps_add(&t->norm, e);
    st->run.normalize = pm_tok_norm_replace;
    pm_tok_step_literal(st, " ", 1);
    pm_tok_step_text(st, LOWER_BLOCK, 3);
    st = pm_tok_steps_add(&t->dec, e);
    st->run.decode = pm_tok_dec_replace;
    pm_tok_step_literal(st, LOWER_BLOCK, 3);
    pm_tok_step_text(st, " ", 1);
    pm_tok_steps_add(&t->dec, e)->run.decode = pm_tok_dec_bytefallback;
    pm_tok_steps_add(&t->dec, e)->run.decode = pm_tok_dec_fuse;
    st = pm_tok_steps_add(&t->dec, e);
    st->run.decode = pm_tok_dec_strip;
    st->start = prefix;
    pm_tok_step_text(st, " ", 1);
}

static pm_status load_llama(pm_tokenizer *t, const pm_gguf *g, pm_err *e) {
    bool prefix = true, squeeze = false;
    pm_gguf_array types = {0}, charsmap;
    pm_gguf_bool(g, KEY "add_space_prefix", &prefix);
    pm_gguf_bool(g, KEY "remove_extra_whitespaces", &squeeze);
    if (pm_gguf_array_get(g, KEY "precompiled_charsmap", &charsmap) && charsmap.n)
        return pm_fail(e, PM_EUNSUPPORTED,
                       KEY "precompiled_charsmap (a normaliser compiled by sentencepiece)");
    if (squeeze) return pm_fail(e, PM_EUNSUPPORTED, KEY "remove_extra_whitespaces = true");
    t->bpe.byte_fallback = t->bpe.fuse_unk = true;
    set_spaces(t, prefix, e);
    pm_status rc = read_tokens(t, g, &types, e);
    if (rc == PM_OK) rc = token_id(t, g, KEY "unknown_token_id", &t->bpe.unk, e);
    if (rc == PM_OK) rc = read_scores(t, g, &types, e);
    return rc == PM_OK ? read_template(t, g, true, e) : rc;
}

/* ---- the models ---- */

static const struct {
    const char *name;
    pm_status (*load)(pm_tokenizer *t, const pm_gguf *g, pm_err *e);
} models[] = {{"gpt2", load_gpt2}, {"llama", load_llama}};

static pm_status load_model(pm_tokenizer *t, const pm_gguf *g, pm_err *e) {
    const char *name;
    size_t n;
    if (!pm_gguf_str(g, KEY "model", &name, &n)) return pm_fail(e, PM_EFORMAT, KEY "model is missing");
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strlen(models[i].name) == n && memcmp(models[i].name, name, n) == 0)
            return models[i].load(t, g, e);
    return pm_fail(e, PM_EUNSUPPORTED, KEY "model \"%.*s\" is not known (gpt2 and llama are)",
                   (int)(n < 80 ? n : 80), name);
}

pm_status pm_tokenizer_from_gguf(const pm_gguf *g, pm_tokenizer **out, pm_err *e) {
    pm_tokenizer *t = pm_tok_new();
    pm_status rc = load_model(t, g, e);
    if (rc == PM_OK) rc = pm_tok_finish(t, e);
    *out = rc == PM_OK ? t : NULL;
    if (rc != PM_OK) pm_tokenizer_free(t);
    return pm_tok_explain(rc, "the GGUF's tokenizer", e);
}
