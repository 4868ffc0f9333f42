/* task_tokens.c - rows to token ids: training sequences, scored options, windows of plain text, and pre-tokenised rows.
 *
 * exact: prompt and answer are tokenised as two pieces, so the prompt's ids are what generation will see; then <eos> where the task
 * says so. choice, classify: prompt + answer is tokenised whole and cut where the prompt's ids end, blanks at the prompt's end counted to
 * the answer, as lm-evaluation-harness does; training uses the gold option's sequence, so it trains what is scored.
 * lm: a document, <eos> at its end where the task says so, in non-overlapping windows of max_len tokens; all but a window's first are
 * scored.
 * Too long: the prompt loses tokens from its left (at least one stays), then the answer from its right; the example says so.
 */
#include "sha256.h"
#include "task_priv.h"
#include "unpack.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LM_WINDOW = 1024, IGNORED = -100 };

void pm_split_free(pm_split *s) {
    for (int i = 0; i < s->n && !s->in_common; i++) {
        pm_example *x = &s->ex[i];
        for (int c = 0; c < x->n_choices; c++) free(x->choice[c].ids);
        free(x->choice), free(x->ids), free(x->labels), free(x->gold_text), free(x->prompt_text);
        free(x->cluster);
    }
    free(s->choices);
    free(s->ex);
    *s = (pm_split){0};
}

/* int32 in the machine's byte order: lengths first, so that no two splits share a byte stream. */
void pm_split_hash(pm_split *s) {
    pm_sha256 h;
    pm_sha256_init(&h);
    for (int i = 0; i < s->n; i++) {
        const pm_example *x = &s->ex[i];
        int32_t n = x->n;
        pm_sha256_update(&h, &n, sizeof n);
        pm_sha256_update(&h, x->ids, (size_t)n * sizeof *x->ids);
        pm_sha256_update(&h, x->labels, (size_t)n * sizeof *x->labels);
    }
    pm_sha256_hex(&h, s->hash);
}

static pm_example *add_example(pm_split *s, int *cap) {
    if (s->n == *cap) {
        *cap = *cap ? 2 * *cap : 64;
        s->ex = pm_xrealloc(s->ex, (size_t)*cap * sizeof *s->ex);
    }
    s->ex[s->n] = (pm_example){0};
    return &s->ex[s->n++];
}

/* Cuts ids[0..*n) of which the first *prompt are prompt; returns whether anything was lost. */
static bool fit(int32_t *ids, int *n, int *prompt, int max_len) {
    if (max_len <= 0 || *n <= max_len) return false;
    int over = *n - max_len, left = *prompt > 1 ? *prompt - 1 : 0;
    if (left > over) left = over;
    memmove(ids, ids + left, (size_t)(*n - left) * sizeof *ids);
    *prompt -= left;
    *n = max_len;
    if (*prompt > *n) *prompt = *n;
    return true;
}

/* labels[i] = ids[i] for scored positions; the first token has nothing before it. */
static void set_labels(pm_example *x, bool all) {
    x->labels = pm_xalloc((size_t)(x->n + 1) * sizeof *x->labels);
    for (int i = 0; i < x->n; i++) x->labels[i] = i > 0 && (all || i >= x->prompt_len) ? x->ids[i] : IGNORED;
}

static pm_status encode(const pm_tokenizer *tok, const char *text, size_t n, unsigned flags, pm_ids *out,
                        pm_err *e) {
    pm_status st = pm_tokenizer_encode(tok, text, n, flags, out, e);
    return st || out->n < INT32_MAX / 2 ? st : pm_fail(e, PM_EFORMAT, "more than 2^30 tokens");
}

static pm_status push_eos(const pm_tokenizer *tok, pm_ids *ids, pm_err *e) {
    int32_t eos = pm_tokenizer_eos(tok);
    if (eos < 0)
        return pm_fail(e, PM_EUNSUPPORTED, "the task ends answers with <eos>, but the tokenizer has none");
    pm_ids_push(ids, eos);
    return PM_OK;
}

/* ---- exact ---- */

static pm_status encode_exact(const pm_task *t, const cJSON *fields, const pm_tokenizer *tok,
                              const pm_task_opts *o, pm_example *x, pm_err *e) {
    pm_buf prompt = {0}, answer = {0};
    pm_ids ids = {0};
    pm_status st = pm_render(pm_json_str(t->json, "prompt", ""), fields, "", &prompt, e);
    if (!st) st = pm_render(pm_json_str(t->json, "answer", ""), fields, "", &answer, e);
    if (!st) st = encode(tok, prompt.p, prompt.n, PM_TOK_BOS, &ids, e);
    x->prompt_len = (int)ids.n;
    if (!st && !ids.n) st = pm_fail(e, PM_EFORMAT, "the prompt is empty");
    if (!st) st = encode(tok, answer.p, answer.n, 0, &ids, e);
    if (!st && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(t->json, "eos"))) st = push_eos(tok, &ids, e);
    x->n = (int)ids.n, x->ids = ids.id;
    x->gold_text = pm_task_extract(t, answer.p ? answer.p : "");
    x->prompt_text = pm_buf_take(&prompt);
    if (!st && !*x->gold_text)
        st = pm_fail(e, PM_EFORMAT, "no answer (%s) in the reference \"%.60s\"", t->extract,
                     answer.p ? answer.p : "");
    if (!st) x->truncated = fit(x->ids, &x->n, &x->prompt_len, o->max_len);
    if (!st) set_labels(x, o->loss_on_all);
    pm_buf_free(&answer);
    return st;
}

/* ---- choice, classify ---- */

static int count_chars(const char *s) {
    int n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

/* context + continuation whole, and where the continuation's ids begin. */
static pm_status encode_pair(const pm_tokenizer *tok, pm_buf *text, size_t context, pm_choice *c, pm_err *e) {
    pm_ids whole = {0}, head = {0};
    while (context && text->p[context - 1] == ' ') context--;
    pm_status st = encode(tok, text->p, text->n, PM_TOK_BOS, &whole, e);
    if (!st) st = encode(tok, text->p, context, PM_TOK_BOS, &head, e);
    c->ids = whole.id, c->n = (int)whole.n;
    c->score_from = (int)(head.n < whole.n ? head.n : whole.n);
    if (!st && (!head.n || c->score_from == c->n))
        st = pm_fail(e, PM_EFORMAT, "the %s is empty", head.n ? "answer" : "prompt");
    pm_ids_free(&head);
    return st;
}

static pm_status encode_choice(const pm_task *t, const cJSON *fields, const char *option,
                               const pm_tokenizer *tok, int max_len, pm_choice *c, bool *truncated,
                               pm_err *e) {
    pm_buf text = {0};
    pm_status st = pm_render(pm_json_str(t->json, "prompt", ""), fields, option, &text, e);
    size_t context = text.n;
    if (!st) st = pm_render(pm_json_str(t->json, "answer", ""), fields, option, &text, e);
    if (!st) st = encode_pair(tok, &text, context, c, e);
    int own = c->n - c->score_from;
    if (!st) *truncated |= fit(c->ids, &c->n, &c->score_from, max_len);
    if (!st && c->n - c->score_from < own) {
        st = pm_fail(e, PM_EFORMAT, "%d tokens do not hold an option of %d", max_len, own);
        pm_hint(e, "raise train.max_len: options scored in part, or not at all, cannot be compared");
    }
    c->n_chars = count_chars(option), c->n_bytes = (int)strlen(option);
    pm_buf_free(&text);
    return st;
}

/* The training sequence: the gold option's ids, with <eos> where the task says so. */
static pm_status train_on_gold(const pm_task *t, const pm_tokenizer *tok, const pm_task_opts *o,
                               pm_example *x, pm_err *e) {
    const pm_choice *g = &x->choice[x->gold];
    pm_ids ids = {0};
    pm_status st = PM_OK;
    for (int i = 0; i < g->n; i++) pm_ids_push(&ids, g->ids[i]);
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(t->json, "eos"))) st = push_eos(tok, &ids, e);
    x->ids = ids.id, x->n = (int)ids.n, x->prompt_len = g->score_from;
    if (!st) x->truncated |= fit(x->ids, &x->n, &x->prompt_len, o->max_len);
    if (!st) set_labels(x, o->loss_on_all);
    return st;
}

static pm_status encode_options(const pm_task *t, const cJSON *fields, const pm_tokenizer *tok,
                                const pm_task_opts *o, pm_example *x, pm_err *e) {
    char **option;
    pm_buf prompt = {0};
    int n;
    pm_status st = pm_options(t, fields, &option, &n, e);
    if (st) return st;
    x->choice = pm_xalloc((size_t)n * sizeof *x->choice);
    x->n_choices = n;
    st = pm_gold(t, fields, n, &x->gold, e);
    for (int i = 0; i < n && !st; i++)
        if (i == x->gold || !o->train_only)
            st = encode_choice(t, fields, option[i], tok, o->max_len, &x->choice[i], &x->truncated, e);
    if (!st) st = pm_render(pm_json_str(t->json, "prompt", ""), fields, "", &prompt, e);
    x->prompt_text = pm_buf_take(&prompt);
    if (!st) x->gold_text = pm_xstrndup(option[x->gold], strlen(option[x->gold]));
    pm_options_free(option, n);
    return st ? st : train_on_gold(t, tok, o, x, e);
}

/* ---- lm ---- */

static void add_window(pm_split *out, int *cap, const int32_t *ids, int n) {
    pm_example *x = add_example(out, cap);
    char hex[65];
    x->ids = pm_xalloc((size_t)n * sizeof *ids);
    memcpy(x->ids, ids, (size_t)n * sizeof *ids);
    x->n = n;
    set_labels(x, true);
    pm_sha256_of(ids, (size_t)n * sizeof *ids, hex);
    memcpy(x->id, hex, 16);
}

static pm_status encode_document(const pm_task *t, const cJSON *fields, const pm_tokenizer *tok,
                                 const pm_task_opts *o, pm_split *out, int *cap, pm_err *e) {
    pm_buf text = {0};
    pm_ids ids = {0};
    pm_status st = pm_render(pm_json_str(t->json, "prompt", ""), fields, "", &text, e);
    if (!st) st = encode(tok, text.p ? text.p : "", text.n, 0, &ids, e);
    if (!st && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(t->json, "eos"))) st = push_eos(tok, &ids, e);
    int window = o->max_len > 1 ? o->max_len : LM_WINDOW;
    for (int64_t at = 0; !st && at + 1 < ids.n && !(o->limit && out->n >= o->limit); at += window)
        add_window(out, cap, ids.id + at, (int)(ids.n - at < window ? ids.n - at : window));
    pm_ids_free(&ids);
    pm_buf_free(&text);
    return st;
}

/* A name of at most CLUSTER_MAX bytes as it is, else by its hash: passages would be stored as often as they are asked about. */
static pm_status set_cluster(const pm_task *t, const cJSON *fields, pm_example *x, pm_err *e) {
    enum { CLUSTER_MAX = 32 };
    const char *template = pm_json_str(t->json, "cluster", NULL);
    pm_buf name = {0};
    char hex[65];
    if (!template) return PM_OK;
    pm_status st = pm_render(template, fields, "", &name, e);
    if (!st && name.n > CLUSTER_MAX) {
        pm_sha256_of(name.p, name.n, hex);
        x->cluster = pm_xstrndup(hex, 16);
    } else if (!st && name.n)
        x->cluster = pm_xstrndup(name.p, name.n);
    pm_buf_free(&name);
    return st;
}

static pm_status encode_row(const pm_task *t, const pm_row *row, const pm_tokenizer *tok,
                            const pm_task_opts *o, pm_split *out, int *cap, pm_err *e) {
    if (t->kind == PM_TASK_LM) return encode_document(t, row->fields, tok, o, out, cap, e);
    pm_example *x = add_example(out, cap);
    memcpy(x->id, row->hash, 16);
    pm_status st = o->train_only ? PM_OK : set_cluster(t, row->fields, x, e);
    if (st) return st;
    return t->kind == PM_TASK_EXACT ? encode_exact(t, row->fields, tok, o, x, e)
                                    : encode_options(t, row->fields, tok, o, x, e);
}

pm_status pm_rows_tokenise(const pm_task *t, const pm_rows *r, int split, const pm_tokenizer *tok,
                           const pm_task_opts *o, pm_split *out, pm_err *e) {
    int cap = 0;
    for (int i = 0; i < r->n && !(o->limit && out->n >= o->limit); i++) {
        if (r->row[i].split != split) continue;
        if (encode_row(t, &r->row[i], tok, o, out, &cap, e)) return pm_task_at(t, split, r->row[i].number, e);
    }
    return out->n ? PM_OK
                  : pm_fail(e, PM_EFORMAT, "%s: the %s split is empty", t->name, pm_split_names[split]);
}

/* ---- tokens ---- */

/* An integer in [low, high], where high < 0 means any int32. */
static bool int_in(const cJSON *v, double low, double high, int32_t *out) {
    if (!cJSON_IsNumber(v) || v->valuedouble != floor(v->valuedouble)) return false;
    if (v->valuedouble < low || v->valuedouble > (high < 0 ? (double)INT32_MAX : high)) return false;
    *out = (int32_t)v->valuedouble;
    return true;
}

static pm_status read_ids(const cJSON *list, int32_t vocab, pm_example *x, pm_err *e) {
    x->n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (!x->n) return pm_fail(e, PM_EFORMAT, "\"input_ids\" is not a list of token ids");
    x->ids = pm_xalloc((size_t)x->n * sizeof *x->ids);
    int i = 0;
    for (const cJSON *c = list->child; c; c = c->next, i++)
        if (!int_in(c, 0, vocab > 0 ? vocab - 1 : -1, &x->ids[i]))
            return pm_fail(e, PM_EFORMAT, "input_ids[%d] is no token id%s", i,
                           vocab > 0 ? " of this vocabulary" : "");
    return PM_OK;
}

static pm_status read_labels(const cJSON *list, int32_t vocab, pm_example *x, pm_err *e) {
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : -1, i = 0, scored = 0;
    if (n < 0) return pm_fail(e, PM_EFORMAT, "\"labels\" is not a list");
    if (n != x->n) return pm_fail(e, PM_EFORMAT, "%d labels for %d input_ids", n, x->n);
    x->labels = pm_xalloc((size_t)n * sizeof *x->labels);
    for (const cJSON *c = list->child; c; c = c->next, i++) {
        bool ignored = cJSON_IsNumber(c) && c->valuedouble == (double)IGNORED;
        if (ignored)
            x->labels[i] = IGNORED;
        else if (!int_in(c, 0, vocab > 0 ? vocab - 1 : -1, &x->labels[i]))
            return pm_fail(e, PM_EFORMAT, "labels[%d] is neither -100 nor a token id%s", i,
                           vocab > 0 ? " of this vocabulary" : "");
        scored += i > 0 && !ignored;
    }
    x->labels[0] =
        IGNORED; /* nothing stands before the first token: it is never scored (torch shifts it away as well) */
    return scored ? PM_OK : pm_fail(e, PM_EFORMAT, "no label is scored");
}

static pm_status read_token_row(const cJSON *row, int32_t vocab, int max_len, pm_example *x, pm_err *e) {
    pm_status st = read_ids(cJSON_GetObjectItemCaseSensitive(row, "input_ids"), vocab, x, e);
    if (!st) st = read_labels(cJSON_GetObjectItemCaseSensitive(row, "labels"), vocab, x, e);
    if (st) return st;
    int32_t prompt;
    if (!int_in(cJSON_GetObjectItemCaseSensitive(row, "prompt_len"), 0, x->n, &prompt))
        return pm_fail(e, PM_EFORMAT, "\"prompt_len\" is not a count from 0 to %d", x->n);
    char hex[65];
    pm_sha256_of(x->ids, (size_t)x->n * sizeof *x->ids, hex);
    memcpy(x->id, hex, 16);
    int n = x->n, prompt_ids = prompt, prompt_labels = prompt;
    x->truncated = fit(x->ids, &x->n, &prompt_ids, max_len);
    if (x->truncated) fit(x->labels, &n, &prompt_labels, max_len);
    x->labels[0] = IGNORED;
    x->prompt_len = prompt_ids;
    return PM_OK;
}

/* One line at a time, so that a parsed row never outlives its line. */
pm_status pm_tokens_read(const pm_task *t, const cJSON *entry, int32_t vocab, const pm_task_opts *o,
                         pm_split *out, pm_err *e) {
    char path[4096];
    pm_buf text = {0};
    pm_err why = {0};
    int cap = 0, number = 0;
    pm_status st = pm_data_path(t, entry, o->data_dir, path, sizeof path, e);
    if (!st) st = pm_file_read(path, NULL, &text, e);
    if (st) return st;
    for (char *p = text.p, *end = text.p + text.n; p < end && !st && !(o->limit && out->n >= o->limit);) {
        char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((nl ? nl : end) - p);
        number++;
        if (strspn(p, " \t\r") < n) {
            cJSON *row = cJSON_ParseWithLength(p, n);
            if (!cJSON_IsObject(row))
                st = pm_fail(&why, PM_EFORMAT, "not a JSON object");
            else
                st = read_token_row(row, vocab, o->max_len, add_example(out, &cap), &why);
            cJSON_Delete(row);
        }
        p += n + (nl != NULL);
    }
    pm_buf_free(&text);
    if (!st && !out->n) return pm_fail(e, PM_EFORMAT, "%s: no rows", path);
    if (st) pm_fail(e, st, "%s: line %d: %s", path, number, why.msg);
    return st ? pm_hint(e, "a row is {\"input_ids\":[...],\"labels\":[...],\"prompt_len\":N}, labels -100 or "
                           "the id at the same place")
              : PM_OK;
}
