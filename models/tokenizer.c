/* tokenizer.c - text to ids and back: the public face of the tokenizers. tok.h says how the parts fit.
 *
 * Invalid UTF-8, one policy for every kind of tokenizer: no byte is lost or replaced by U+FFFD. A byte that belongs to no
 * well-formed character matches no pattern and no normal form changes it; a run of such bytes is a piece of its own, encoded
 * byte by byte (byte-level BPE: each byte's token, then the merges; SentencePiece-BPE: the <0xXX> tokens). So
 * decode(encode(x)) == x for all bytes x, as far as the tokenizer itself is lossless (normal forms, stripped spaces).
 * Where a vocabulary lacks a byte's token (SmolLM2's has none for 04 06 13 14 16 1d c0 c1 f1 f2 and f5..ff) and has no unknown
 * token, the byte is dropped, as the tokenizers library does, and counted in pm_ids.n_dropped.
 *
 * Encoding is thread-safe: what changes (buffers, the cache of pieces) is taken from a pool under a lock for the length of a call.
 */
#include "tok.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- ids ---- */

void pm_ids_push(pm_ids *l, int32_t id) {
    if (l->n == l->cap) {
        l->cap = l->cap * 2 + 64;
        l->id = pm_tok_realloc(l->id, (size_t)l->cap * sizeof *l->id);
    }
    l->id[l->n++] = id;
}

void pm_ids_free(pm_ids *l) {
    free(l->id);
    *l = (pm_ids){0};
}

/* ---- the pool of scratch memory ---- */

typedef struct pm_tok_pool {
    pthread_mutex_t lock;
    pm_tok_scratch *free;
} pm_tok_pool;

static pm_tok_scratch *take(pm_tok_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pm_tok_scratch *s = pool->free;
    if (s) pool->free = s->next;
    pthread_mutex_unlock(&pool->lock);
    return s ? s : pm_tok_scratch_new();
}

static void give_back(pm_tok_pool *pool, pm_tok_scratch *s) {
    pthread_mutex_lock(&pool->lock);
    s->next = pool->free;
    pool->free = s;
    pthread_mutex_unlock(&pool->lock);
}

static void pool_free(pm_tok_pool *pool) {
    for (pm_tok_scratch *s = pool->free, *next; s; s = next) {
        next = s->next;
        pm_tok_scratch_free(s);
    }
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* ---- life ---- */

pm_tokenizer *pm_tok_new(void) {
    pm_tokenizer *t = pm_tok_realloc(NULL, sizeof *t);
    *t = (pm_tokenizer){.bos = -1, .eos = -1};
    t->bpe.unk = -1;
    t->pool = pm_tok_realloc(NULL, sizeof *t->pool);
    *t->pool = (pm_tok_pool){.free = NULL};
    pthread_mutex_init(&t->pool->lock, NULL);
    return t;
}

void pm_tokenizer_free(pm_tokenizer *t) {
    if (!t) return;
    pool_free(t->pool);
    pm_tok_added_free(&t->raw);
    pm_tok_added_free(&t->normalized);
    pm_tok_steps_free(&t->norm);
    pm_tok_steps_free(&t->pre);
    pm_tok_steps_free(&t->dec);
    pm_tok_bpe_free(&t->bpe);
    pm_tok_vocab_free(&t->vocab);
    free(t->kind);
    free(t);
}

/* Tokens marked `normalized` are looked for in normalised text, so their own content goes through the normaliser first. */
static pm_status normalize_added(pm_tokenizer *t, pm_err *e) {
    pm_tok_buf a = {0}, b = {0};
    pm_tok_added_set done = {0};
    pm_status rc = PM_OK;
    for (int i = 0; i < t->normalized.n && rc == PM_OK; i++) {
        const char *s = t->normalized.a[i].s;
        size_t n = t->normalized.a[i].n;
        rc = pm_tok_normalize(&t->norm, &s, &n, &a, &b, e);
        if (rc == PM_OK && n) pm_tok_added_push(&done, t->normalized.a[i], s, n);
    }
    pm_tok_added_free(&t->normalized);
    t->normalized = done;
    pm_tok_buf_free(&a);
    pm_tok_buf_free(&b);
    return rc;
}

static void mark(pm_tokenizer *t, const pm_tok_added_set *set) {
    for (int i = 0; i < set->n; i++)
        t->kind[set->a[i].id] = (uint8_t)(PM_TOK_IS_ADDED | (set->a[i].special ? PM_TOK_IS_SPECIAL : 0));
}

pm_status pm_tok_finish(pm_tokenizer *t, pm_err *e) {
    if (!t->vocab.n_used) return pm_fail(e, PM_EFORMAT, "the vocabulary is empty");
    t->kind = pm_tok_realloc(NULL, (size_t)t->vocab.n);
    memset(t->kind, 0, (size_t)t->vocab.n);
    mark(t, &t->raw);
    mark(t, &t->normalized);
    pm_status rc = normalize_added(t, e);
    pm_tok_added_sort(&t->raw);
    pm_tok_added_sort(&t->normalized);
    pm_tok_bpe_bytes(&t->bpe, &t->vocab);
    return rc;
}

/* Files quote themselves in messages: whatever would not print becomes '?'. */
static void make_printable(char *s) {
    for (; *s; s++)
        if (*s < ' ' || *s > '~') *s = '?';
}

pm_status pm_tok_explain(pm_status rc, const char *where, pm_err *e) {
    if (!e || (rc != PM_EFORMAT && rc != PM_EUNSUPPORTED)) return rc;
    pm_err was = *e;
    make_printable(was.msg);
    if (strncmp(was.msg, where, strlen(where)) == 0) return rc; /* the mapping's own words */
    pm_fail(e, rc, "%s: %.360s", where, was.msg);
    if (was.hint[0]) return pm_hint(e, "%s", was.hint);
    if (rc == PM_EFORMAT)
        return pm_hint(e,
                       "the file is damaged, incomplete or not what its name says: fetch or write it again");
    return pm_hint(e, "take a model with a BPE tokenizer of known parts, or give the data as token ids (a "
                      "task of kind tokens)");
}

/* ---- text to ids ---- */

static pm_status encode_segment(pm_tok_run *r, const char *s, size_t n) {
    bool at_start = s == r->text;
    pm_status rc = pm_tok_normalize(&r->t->norm, &s, &n, &r->s->norm[0], &r->s->norm[1], r->e);
    if (rc != PM_OK) return rc;
    if (n > INT32_MAX / 2) return pm_fail(r->e, PM_EUSAGE, "tokenizer: a text of %zu bytes is too long", n);
    r->head = at_start ? s : NULL;
    return pm_tok_added_split(r, &r->t->normalized, s, n, pm_tok_pretokenize);
}

pm_status pm_tokenizer_encode(const pm_tokenizer *t, const char *text, size_t n_bytes, unsigned flags,
                              pm_ids *out, pm_err *e) {
    pm_tok_run r = {.t = t, .out = out, .e = e, .text = text, .special = flags & PM_TOK_SPECIAL};
    pm_status rc = PM_OK;
    r.valid = pm_tok_valid_prefix(text, n_bytes) == n_bytes;
    r.s = take(t->pool);
    for (int i = 0; flags & PM_TOK_BOS && i < t->n_prefix; i++) pm_ids_push(out, t->prefix[i]);
    if (n_bytes) rc = pm_tok_added_split(&r, &t->raw, text, n_bytes, encode_segment);
    for (int i = 0; flags & PM_TOK_EOS && rc == PM_OK && i < t->n_suffix; i++) pm_ids_push(out, t->suffix[i]);
    give_back(t->pool, r.s);
    return rc;
}

/* ---- ids to text ---- */

/* Steps [from, to) over *cur, with *other as the second buffer; the result is in *cur. */
static void decode_steps(const pm_tokenizer *t, int from, int to, bool first, pm_tok_buf *cur,
                         pm_tok_buf *other) {
    for (int i = from; i < to; i++) {
        other->n = 0;
        pm_tok_buf_add(other, "", 0);
        t->dec.step[i].run.decode(&t->dec.step[i], first, cur, other);
        pm_tok_buf swap = *cur;
        *cur = *other;
        *other = swap;
    }
}

static int fuse_at(const pm_tokenizer *t) {
    for (int i = 0; i < t->dec.n; i++)
        if (t->dec.step[i].run.decode == pm_tok_dec_fuse) return i;
    return t->dec.n;
}

/* A byte-level tokenizer writes its ordinary tokens in GPT-2's alphabet, its added tokens as they are. */
static bool stored_plain(const pm_tokenizer *t, int32_t id) {
    return t->bpe.byte_level && t->kind[id] & PM_TOK_IS_ADDED;
}

char *pm_tokenizer_decode(const pm_tokenizer *t, const int32_t *ids, int64_t n, bool skip_special,
                          size_t *n_bytes) {
    pm_tok_buf text = {0}, token = {0}, other = {0};
    int fuse = fuse_at(t);
    bool first = true;
    for (int64_t i = 0; i < n; i++) {
        int32_t id = ids[i];
        if (id < 0 || id >= t->vocab.n || !t->vocab.tok[id].s ||
            (skip_special && t->kind[id] & PM_TOK_IS_SPECIAL))
            continue;
        token.n = 0;
        pm_tok_buf_add(&token, t->vocab.tok[id].s, t->vocab.tok[id].n);
        if (!stored_plain(t, id)) decode_steps(t, 0, fuse, first, &token, &other);
        if (!t->dec.n && !first)
            pm_tok_buf_add(&text, " ", 1); /* no decoder: the library joins with spaces */
        pm_tok_buf_add(&text, token.p, token.n);
        first = false;
    }
    pm_tok_buf_add(&text, "", 0);
    decode_steps(t, fuse, t->dec.n, true, &text, &other);
    if (n_bytes) *n_bytes = text.n;
    pm_tok_buf_add(&text, "", 1);
    pm_tok_buf_free(&token);
    pm_tok_buf_free(&other);
    return text.p;
}

/* ---- facts ---- */

int32_t pm_tokenizer_vocab(const pm_tokenizer *t) {
    return t->vocab.n;
}
int32_t pm_tokenizer_bos(const pm_tokenizer *t) {
    return t->bos;
}
int32_t pm_tokenizer_eos(const pm_tokenizer *t) {
    return t->eos;
}
int32_t pm_tokenizer_id(const pm_tokenizer *t, const char *token) {
    return pm_tok_vocab_find(&t->vocab, token, strlen(token));
}
