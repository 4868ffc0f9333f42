/* tok_json.c - a tokenizer from Hugging Face's tokenizer.json (and tokenizer_config.json beside it).
 *
 * Every component that is known is one row of a table below; a component, option or value that is not known is PM_EUNSUPPORTED
 * with its name, never skipped: a tokenizer that is nearly right trains a model on the wrong ids.
 */
#include "tok.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>

/* ---- JSON values ---- */

static pm_status wrong(const char *key, const char *want, pm_err *e) {
    return pm_fail(e, PM_EFORMAT, "\"%s\" is missing or not %s", key, want);
}

/* NULL when absent or null. */
static const cJSON *get(const cJSON *o, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNull(v) ? NULL : v;
}

/* Leaves *out alone when the key is absent. */
static pm_status get_bool(const cJSON *o, const char *key, bool *out, pm_err *e) {
    const cJSON *v = get(o, key);
    if (v && !cJSON_IsBool(v)) return wrong(key, "true or false", e);
    if (v) *out = cJSON_IsTrue(v);
    return PM_OK;
}

static pm_status get_str(const cJSON *o, const char *key, const char **out, pm_err *e) {
    const cJSON *v = get(o, key);
    if (!cJSON_IsString(v)) return wrong(key, "a string", e);
    *out = v->valuestring;
    return PM_OK;
}

static bool is_count(const cJSON *v) {
    return cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= INT32_MAX &&
           v->valuedouble == floor(v->valuedouble);
}

static pm_status get_count(const cJSON *o, const char *key, int32_t *out, pm_err *e) {
    const cJSON *v = get(o, key);
    if (!is_count(v)) return wrong(key, "a count", e);
    *out = (int32_t)v->valuedouble;
    return PM_OK;
}

/* ---- components ---- */

typedef struct component {
    const char *type;
    pm_status (*parse)(pm_tokenizer *t, const cJSON *o, pm_err *e);
} component;
typedef struct kind { /* of component: the key it stands under and the list inside its Sequence */
    const char *key, *list;
    const component *known; /* ends with a row whose type is NULL */
} kind;

static pm_status parse(const kind *k, pm_tokenizer *t, const cJSON *o, pm_err *e) {
    const char *type = "";
    if (!o) return PM_OK;
    pm_status rc = get_str(o, "type", &type, e);
    if (rc != PM_OK) return rc;
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *list = get(o, k->list), *item;
        if (!cJSON_IsArray(list)) return wrong(k->list, "a list", e);
        cJSON_ArrayForEach(item, list) {
            if ((rc = parse(k, t, item, e)) != PM_OK) return rc;
        }
        return PM_OK;
    }
    for (const component *c = k->known; c->type; c++)
        if (strcmp(c->type, type) == 0) return c->parse(t, o, e);
    return pm_fail(e, PM_EUNSUPPORTED, "%s \"%s\" is not supported", k->key, type);
}

/* {"String": literal} or {"Regex": expression}. */
static pm_status parse_pattern(pm_tok_step *st, const cJSON *o, pm_err *e) {
    const cJSON *pattern = get(o, "pattern");
    const char *lit = cJSON_GetStringValue(get(pattern, "String")),
               *re = cJSON_GetStringValue(get(pattern, "Regex"));
    if (re) return pm_tok_step_regex(st, re, strlen(re), e);
    if (!lit) return wrong("pattern", "a String or a Regex", e);
    pm_tok_step_literal(st, lit, strlen(lit));
    return PM_OK;
}

/* `key` is what the step puts into the text. */
static pm_status parse_text(pm_tok_step *st, const cJSON *o, const char *key, pm_err *e) {
    const char *s = cJSON_GetStringValue(get(o, key));
    if (!s) return wrong(key, "a string", e);
    pm_tok_step_text(st, s, strlen(s));
    return PM_OK;
}

static pm_status parse_replace(pm_tok_step *st, const cJSON *o, pm_err *e) {
    pm_status rc = parse_pattern(st, o, e);
    return rc == PM_OK ? parse_text(st, o, "content", e) : rc;
}

/* The character that stands for a space; older files say add_prefix_space instead of prepend_scheme. */
static pm_status parse_metaspace(pm_tok_step *st, const cJSON *o, pm_err *e) {
    static const char *const schemes[] = {
        [PM_TOK_ALWAYS] = "always", [PM_TOK_FIRST] = "first", [PM_TOK_NEVER] = "never"};
    bool prefix = true;
    st->split = true;
    pm_status rc = parse_text(st, o, "replacement", e);
    if (rc == PM_OK) rc = get_bool(o, "add_prefix_space", &prefix, e);
    if (rc == PM_OK) rc = get_bool(o, "split", &st->split, e);
    if (rc != PM_OK) return rc;
    if (!st->n_text) return wrong("replacement", "a character", e);
    const cJSON *scheme = get(o, "prepend_scheme");
    st->scheme = prefix ? PM_TOK_ALWAYS : PM_TOK_NEVER;
    if (!scheme) return PM_OK;
    for (int i = 0; cJSON_IsString(scheme) && i < 3; i++)
        if (strcmp(schemes[i], scheme->valuestring) == 0) return st->scheme = (pm_tok_scheme)i, PM_OK;
    return wrong("prepend_scheme", "always, first or never", e);
}

/* ---- normalizers ---- */

static pm_status norm_form(pm_tokenizer *t, int form, pm_err *e) {
    pm_tok_step *st = pm_tok_steps_add(&t->norm, e);
    if (!st) return PM_EUNSUPPORTED;
    st->run.normalize = pm_tok_norm_form;
    st->form = UTF8PROC_STABLE | form;
    return PM_OK;
}
static pm_status norm_nfc(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    (void)o;
    return norm_form(t, UTF8PROC_COMPOSE, e);
}
static pm_status norm_nfd(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    (void)o;
    return norm_form(t, UTF8PROC_DECOMPOSE, e);
}
static pm_status norm_nfkc(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    (void)o;
    return norm_form(t, UTF8PROC_COMPOSE | UTF8PROC_COMPAT, e);
}
static pm_status norm_nfkd(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    (void)o;
    return norm_form(t, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, e);
}
static pm_status norm_prepend(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    pm_tok_step *st = pm_tok_steps_add(&t->norm, e);
    if (!st) return PM_EUNSUPPORTED;
    st->run.normalize = pm_tok_norm_prepend;
    return parse_text(st, o, "prepend", e);
}
static pm_status norm_replace(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    pm_tok_step *st = pm_tok_steps_add(&t->norm, e);
    if (!st) return PM_EUNSUPPORTED;
    st->run.normalize = pm_tok_norm_replace;
    return parse_replace(st, o, e);
}
static pm_status norm_strip(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    pm_tok_step *st = pm_tok_steps_add(&t->norm, e);
    if (!st) return PM_EUNSUPPORTED;
    st->run.normalize = pm_tok_norm_strip;
    pm_status rc = get_bool(o, "strip_left", &st->left, e);
    return rc == PM_OK ? get_bool(o, "strip_right", &st->right, e) : rc;
}
static const component normalizers[] = {
    {"NFC", norm_nfc},         {"NFD", norm_nfd},         {"NFKC", norm_nfkc},   {"NFKD", norm_nfkd},
    {"Prepend", norm_prepend}, {"Replace", norm_replace}, {"Strip", norm_strip}, {NULL, NULL},
};
static const kind normalizer = {"normalizer", "normalizers", normalizers};

/* ---- pre-tokenizers ---- */

static pm_tok_step *pre_add(pm_tokenizer *t, pm_status (*run)(pm_tok_run *, int, const char *, size_t),
                            pm_err *e) {
    if (t->bpe.byte_level) { /* what follows would see bytes written in GPT-2's alphabet; nobody does that */
        pm_fail(e, PM_EUNSUPPORTED, "a pre_tokenizer after ByteLevel");
        return NULL;
    }
    pm_tok_step *st = pm_tok_steps_add(&t->pre, e);
    if (st) st->run.pre = run;
    return st;
}
static pm_status pre_bytelevel(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    pm_tok_step *st = pre_add(t, pm_tok_pre_bytelevel, e);
    if (!st) return PM_EUNSUPPORTED;
    bool use_regex = true;
    st->prefix_space = true;
    t->bpe.byte_level = true;
    pm_status rc = get_bool(o, "add_prefix_space", &st->prefix_space, e);
    if (rc == PM_OK) rc = get_bool(o, "use_regex", &use_regex, e);
    return rc == PM_OK && use_regex ? pm_tok_step_regex(st, pm_tok_re_gpt2, strlen(pm_tok_re_gpt2), e) : rc;
}
static pm_status pre_digits(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    pm_tok_step *st = pre_add(t, pm_tok_pre_split, e);
    if (!st) return PM_EUNSUPPORTED;
    bool individual = false;
    pm_status rc = get_bool(o, "individual_digits", &individual, e);
    st->behavior = individual ? PM_TOK_ISOLATED : PM_TOK_CONTIGUOUS;
    return rc;
}
static pm_status pre_split(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                        "Contiguous"};
    pm_tok_step *st = pre_add(t, pm_tok_pre_split, e);
    if (!st) return PM_EUNSUPPORTED;
    const char *behavior = "";
    pm_status rc = parse_pattern(st, o, e);
    if (rc == PM_OK) rc = get_bool(o, "invert", &st->invert, e);
    if (rc == PM_OK) rc = get_str(o, "behavior", &behavior, e);
    for (int i = 0; rc == PM_OK && i < 5; i++)
        if (strcmp(names[i], behavior) == 0) return st->behavior = (pm_tok_behavior)i, PM_OK;
    return rc != PM_OK ? rc : pm_fail(e, PM_EUNSUPPORTED, "Split behavior \"%s\" is not supported", behavior);
}
static pm_status pre_metaspace(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    pm_tok_step *st = pre_add(t, pm_tok_pre_metaspace, e);
    if (!st) return PM_EUNSUPPORTED;
    pm_status rc = parse_metaspace(st, o, e);
    st->behavior = PM_TOK_MERGED_NEXT; /* cut before every mark */
    if (rc == PM_OK) pm_tok_step_literal(st, st->text, st->n_text);
    return rc;
}
static const component pre_tokenizers[] = {
    {"ByteLevel", pre_bytelevel}, {"Digits", pre_digits}, {"Split", pre_split},
    {"Metaspace", pre_metaspace}, {NULL, NULL},
};
static const kind pre_tokenizer = {"pre_tokenizer", "pretokenizers", pre_tokenizers};

/* ---- decoders ---- */

static pm_tok_step *dec_add(pm_tokenizer *t,
                            pm_status (*run)(const pm_tok_step *, bool, const pm_tok_buf *, pm_tok_buf *),
                            pm_err *e) {
    pm_tok_step *st = pm_tok_steps_add(&t->dec, e);
    if (st) st->run.decode = run;
    return st;
}
static pm_status dec_bytelevel(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    (void)o;
    return dec_add(t, pm_tok_dec_bytelevel, e) ? PM_OK : PM_EUNSUPPORTED;
}
static pm_status dec_bytefallback(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    (void)o;
    return dec_add(t, pm_tok_dec_bytefallback, e) ? PM_OK : PM_EUNSUPPORTED;
}
static pm_status dec_fuse(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    (void)o;
    return dec_add(t, pm_tok_dec_fuse, e) ? PM_OK : PM_EUNSUPPORTED;
}
static pm_status dec_replace(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    pm_tok_step *st = dec_add(t, pm_tok_dec_replace, e);
    return st ? parse_replace(st, o, e) : PM_EUNSUPPORTED;
}
static pm_status dec_metaspace(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    pm_tok_step *st = dec_add(t, pm_tok_dec_metaspace, e);
    return st ? parse_metaspace(st, o, e) : PM_EUNSUPPORTED;
}
static pm_status dec_strip(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    pm_tok_step *st = dec_add(t, pm_tok_dec_strip, e);
    if (!st) return PM_EUNSUPPORTED;
    pm_status rc = parse_text(st, o, "content", e);
    if (rc == PM_OK && !st->n_text) rc = wrong("content", "a character", e);
    if (rc == PM_OK) rc = get_count(o, "start", &st->start, e);
    return rc == PM_OK ? get_count(o, "stop", &st->stop, e) : rc;
}
static const component decoders[] = {
    {"ByteLevel", dec_bytelevel},
    {"ByteFallback", dec_bytefallback},
    {"Fuse", dec_fuse},
    {"Replace", dec_replace},
    {"Metaspace", dec_metaspace},
    {"Strip", dec_strip},
    {NULL, NULL},
};
static const kind decoder = {"decoder", "decoders", decoders};

/* ---- post-processors: only what they put around a single sequence matters here ---- */

static pm_status push_template(pm_tokenizer *t, int32_t id, bool before, pm_err *e) {
    int *n = before ? &t->n_prefix : &t->n_suffix;
    if (id >= t->vocab.n || !t->vocab.tok[id].s)
        return pm_fail(e, PM_EFORMAT, "the post_processor names token %d, which does not exist", id);
    if (*n == PM_TOK_MAX_TEMPLATE)
        return pm_fail(e, PM_EUNSUPPORTED, "a post_processor that adds more than %d tokens",
                       PM_TOK_MAX_TEMPLATE);
    (before ? t->prefix : t->suffix)[(*n)++] = id;
    return PM_OK;
}

/* {"SpecialToken": {"id": name}}; the name's ids stand in "special_tokens". */
static pm_status template_token(pm_tokenizer *t, const cJSON *o, const cJSON *piece, bool before, pm_err *e) {
    const char *name = "";
    pm_status rc = get_str(get(piece, "SpecialToken"), "id", &name, e);
    if (rc != PM_OK) return rc;
    const cJSON *ids = get(get(get(o, "special_tokens"), name), "ids"), *id;
    if (!cJSON_IsArray(ids)) return wrong("special_tokens", "a table that holds the template's tokens", e);
    cJSON_ArrayForEach(id, ids) {
        if (!is_count(id)) return wrong("ids", "a list of token ids", e);
        if ((rc = push_template(t, (int32_t)id->valuedouble, before, e)) != PM_OK) return rc;
    }
    return PM_OK;
}

static pm_status post_template(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    const cJSON *single = get(o, "single"), *piece;
    bool before = true;
    if (!cJSON_IsArray(single)) return wrong("single", "a list", e);
    cJSON_ArrayForEach(piece, single) {
        if (get(piece, "Sequence")) {
            before = false;
            continue;
        }
        pm_status rc = template_token(t, o, piece, before, e);
        if (rc != PM_OK) return rc;
    }
    return PM_OK;
}
static pm_status post_bytelevel(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    (void)t, (void)o, (void)e; /* it only moves offsets */
    return PM_OK;
}
static const component processors[] = {
    {"TemplateProcessing", post_template},
    {"ByteLevel", post_bytelevel},
    {NULL, NULL},
};
static const kind post_processor = {"post_processor", "processors", processors};

/* ---- the model ---- */

static pm_status read_vocab(pm_tokenizer *t, const cJSON *model, pm_err *e) {
    const cJSON *vocab = get(model, "vocab"), *v;
    if (!cJSON_IsObject(vocab)) return wrong("vocab", "an object", e);
    cJSON_ArrayForEach(v, vocab) {
        if (!is_count(v)) return pm_fail(e, PM_EFORMAT, "the id of \"%.80s\" is not a count", v->string);
        pm_status rc = pm_tok_vocab_add(&t->vocab, (int64_t)v->valuedouble, v->string, strlen(v->string), e);
        if (rc != PM_OK) return rc;
    }
    return PM_OK;
}

/* "a b", or since 2024 ["a", "b"]. */
static pm_status read_merge(pm_tokenizer *t, uint64_t rank, const cJSON *m, pm_err *e) {
    if (cJSON_IsString(m)) return pm_tok_merge_line(t, rank, m->valuestring, strlen(m->valuestring), e);
    const cJSON *a = cJSON_IsArray(m) ? m->child : NULL, *b = a ? a->next : NULL;
    if (!cJSON_IsString(a) || !b || !cJSON_IsString(b) || b->next)
        return wrong("merges", "a list of pairs", e);
    return pm_tok_merge_tokens(t, rank, a->valuestring, strlen(a->valuestring), b->valuestring,
                               strlen(b->valuestring), e);
}

static pm_status read_merges(pm_tokenizer *t, const cJSON *model, pm_err *e) {
    const cJSON *merges = get(model, "merges"), *m;
    uint64_t rank = 0;
    if (!cJSON_IsArray(merges)) return wrong("merges", "a list", e);
    cJSON_ArrayForEach(m, merges) {
        pm_status rc = read_merge(t, rank++, m, e);
        if (rc != PM_OK) return rc;
    }
    return PM_OK;
}

/* Options that would change the ids and that no model of ours uses. */
static pm_status refuse_options(const cJSON *model, pm_err *e) {
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const cJSON *dropout = get(model, "dropout");
    if (dropout && !(cJSON_IsNumber(dropout) && dropout->valuedouble == 0))
        return pm_fail(e, PM_EUNSUPPORTED, "model dropout");
    for (int i = 0; i < 2; i++) {
        const cJSON *v = get(model, affixes[i]);
        if (v && !(cJSON_IsString(v) && !*v->valuestring))
            return pm_fail(e, PM_EUNSUPPORTED, "model %s", affixes[i]);
    }
    return PM_OK;
}

static pm_status read_model(pm_tokenizer *t, const cJSON *model, pm_err *e) {
    const cJSON *type = get(model, "type"), *unk = get(model, "unk_token");
    if (!cJSON_IsObject(model)) return wrong("model", "an object", e);
    if (type && !cJSON_IsString(type)) return wrong("type", "a string", e);
    if (type && strcmp(type->valuestring, "BPE") != 0) /* early files leave it out */
        return pm_fail(e, PM_EUNSUPPORTED, "model \"%.80s\" is not supported (BPE is)", type->valuestring);
    pm_status rc = refuse_options(model, e);
    if (rc == PM_OK) rc = get_bool(model, "byte_fallback", &t->bpe.byte_fallback, e);
    if (rc == PM_OK) rc = get_bool(model, "fuse_unk", &t->bpe.fuse_unk, e);
    if (rc == PM_OK) rc = get_bool(model, "ignore_merges", &t->bpe.ignore_merges, e);
    if (rc == PM_OK) rc = read_vocab(t, model, e);
    if (rc == PM_OK) rc = read_merges(t, model, e);
    if (rc != PM_OK || !unk) return rc;
    t->bpe.unk = cJSON_IsString(unk) ? pm_tokenizer_id(t, unk->valuestring) : -1;
    return t->bpe.unk >= 0 ? PM_OK : wrong("unk_token", "a token of the vocabulary", e);
}

/* ---- added tokens ---- */

static pm_status read_added_token(pm_tokenizer *t, const cJSON *o, pm_err *e) {
    pm_tok_added a = {0};
    const char *s = "";
    pm_status rc = get_count(o, "id", &a.id, e);
    if (rc == PM_OK) rc = get_str(o, "content", &s, e);
    if (rc == PM_OK) rc = get_bool(o, "special", &a.special, e);
    const struct {
        const char *key;
        bool *flag;
    } flags[] = {{"lstrip", &a.lstrip},
                 {"rstrip", &a.rstrip},
                 {"single_word", &a.single_word},
                 {"normalized", &a.normalized}};
    for (int i = 0; i < 4 && rc == PM_OK; i++) rc = get_bool(o, flags[i].key, flags[i].flag, e);
    if (rc != PM_OK) return rc;
    if (!*s) return wrong("content", "a string that is not empty", e);
    if (pm_tokenizer_id(t, s) != a.id) rc = pm_tok_vocab_add(&t->vocab, a.id, s, strlen(s), e);
    if (rc == PM_OK) pm_tok_added_push(a.normalized ? &t->normalized : &t->raw, a, s, strlen(s));
    return rc;
}

static pm_status read_added(pm_tokenizer *t, const cJSON *root, pm_err *e) {
    const cJSON *list = get(root, "added_tokens"), *o;
    if (!list) return PM_OK;
    if (!cJSON_IsArray(list)) return wrong("added_tokens", "a list", e);
    cJSON_ArrayForEach(o, list) {
        pm_status rc = read_added_token(t, o, e);
        if (rc != PM_OK) return rc;
    }
    return PM_OK;
}

/* ---- tokenizer_config.json ---- */

/* A token is given as a string or as an object with its content; leaves *out alone when absent. */
static pm_status config_token(const pm_tokenizer *t, const cJSON *config, const char *key, int32_t *out,
                              pm_err *e) {
    const cJSON *v = get(config, key);
    if (!v) return PM_OK;
    if (cJSON_IsObject(v)) v = get(v, "content");
    int32_t id = cJSON_IsString(v) ? pm_tokenizer_id(t, v->valuestring) : -1;
    if (id < 0) return pm_fail(e, PM_EFORMAT, "\"%s\" is not a token of the vocabulary", key);
    *out = id;
    return PM_OK;
}

/* add_bos_token speaks louder than the template. */
static pm_status config_bos(pm_tokenizer *t, const cJSON *config, pm_err *e) {
    bool has = t->n_prefix && t->prefix[0] == t->bos, wants = has;
    pm_status rc = get_bool(config, "add_bos_token", &wants, e);
    if (rc != PM_OK || t->bos < 0 || wants == has) return rc;
    if (wants && t->n_prefix == PM_TOK_MAX_TEMPLATE) return pm_fail(e, PM_EUNSUPPORTED, "a longer template");
    if (wants)
        memmove(t->prefix + 1, t->prefix, (size_t)t->n_prefix++ * sizeof *t->prefix);
    else
        memmove(t->prefix, t->prefix + 1, (size_t)--t->n_prefix * sizeof *t->prefix);
    if (wants) t->prefix[0] = t->bos;
    return PM_OK;
}

static pm_status apply_config(pm_tokenizer *t, const cJSON *config, pm_err *e) {
    pm_status rc = config_token(t, config, "bos_token", &t->bos, e);
    if (rc == PM_OK) rc = config_token(t, config, "eos_token", &t->eos, e);
    return rc == PM_OK ? config_bos(t, config, e) : rc;
}

/* ---- files ---- */

/* Parses the file and hands its value to `use`. */
static pm_status with_json(pm_tokenizer *t, const char *path,
                           pm_status (*use)(pm_tokenizer *t, const cJSON *o, pm_err *e), pm_err *e) {
    pm_map m;
    pm_status rc = pm_map_open(path, &m, e);
    if (rc != PM_OK) return rc;
    cJSON *o = cJSON_ParseWithLength((const char *)m.p, m.n_bytes);
    pm_map_close(&m);
    rc = cJSON_IsObject(o) ? use(t, o, e) : pm_fail(e, PM_EFORMAT, "not a JSON object");
    cJSON_Delete(o);
    return pm_tok_explain(rc, path, e);
}

static pm_status build(pm_tokenizer *t, const cJSON *root, pm_err *e) {
    pm_status rc = read_model(t, get(root, "model"), e);
    if (rc == PM_OK) rc = read_added(t, root, e);
    if (rc == PM_OK) rc = parse(&normalizer, t, get(root, "normalizer"), e);
    if (rc == PM_OK) rc = parse(&pre_tokenizer, t, get(root, "pre_tokenizer"), e);
    if (rc == PM_OK) rc = parse(&decoder, t, get(root, "decoder"), e);
    if (rc == PM_OK) rc = parse(&post_processor, t, get(root, "post_processor"), e);
    if (rc != PM_OK) return rc;
    if (t->n_prefix) t->bos = t->prefix[0];
    if (t->n_suffix) t->eos = t->suffix[t->n_suffix - 1];
    return PM_OK;
}

static pm_status load(pm_tokenizer *t, const char *json, const char *config, pm_err *e) {
    pm_status rc = with_json(t, json, build, e);
    if (rc == PM_OK && access(config, F_OK) == 0) rc = with_json(t, config, apply_config, e);
    return rc == PM_OK ? pm_tok_explain(pm_tok_finish(t, e), json, e) : rc;
}

pm_status pm_tokenizer_from_json(const char *path, pm_tokenizer **out, pm_err *e) {
    static const char json_name[] = "tokenizer.json", config_name[] = "tokenizer_config.json";
    size_t n = strlen(path);
    const char *slash = strrchr(path, '/');
    bool is_file = n >= 5 && strcmp(path + n - 5, ".json") == 0;
    size_t n_dir = !is_file ? n : slash ? (size_t)(slash - path) : 0;
    pm_tok_buf json = {0}, config = {0};
    if (n_dir) pm_tok_buf_add(&config, path, n_dir);
    if (n_dir || slash) pm_tok_buf_add(&config, "/", 1);
    pm_tok_buf_add(&json, is_file ? path : config.p, is_file ? n : config.n);
    if (!is_file) pm_tok_buf_add(&json, json_name, sizeof json_name - 1);
    pm_tok_buf_add(&json, "", 1);
    pm_tok_buf_add(&config, config_name, sizeof config_name);
    pm_tokenizer *t = pm_tok_new();
    pm_status rc = load(t, json.p, config.p, e);
    if (rc != PM_OK) pm_tokenizer_free(t);
    *out = rc == PM_OK ? t : NULL;
    pm_tok_buf_free(&json);
    pm_tok_buf_free(&config);
    return rc;
}
