/* tok_bpe.c - byte-pair encoding of one piece: a linked list of symbols and a heap of candidate merges, O(n log n).
 *
 * The rule (Sennrich et al. 2016, arXiv 1508.07909; ties as in the tokenizers library and in sentencepiece): of all neighbours
 * with a merge rule, join those of the lowest rank, the leftmost first, until none is left. SentencePiece's "best score first" is
 * the same rule when every way to write a token carries that token's place in the order of scores as its rank.
 * A candidate is checked when it is taken: its neighbours may have been merged away since it was put in.
 * Short pieces repeat all the time (words), so their ids are kept in a direct-mapped cache.
 */
#include "tok.h"
#include <stdlib.h>
#include <string.h>

typedef struct pm_tok_sym {
    int32_t id; /* -1: merged into its left neighbour */
    int32_t prev, next;
} pm_tok_sym;

typedef struct pm_tok_cand {
    uint64_t order; /* rank << 32 | position: the heap's key */
    uint64_t pair;
    int32_t id; /* what the pair becomes */
} pm_tok_cand;

enum { CACHE_SLOTS = 4096, CACHE_BYTES = 26, CACHE_IDS = 8 };
typedef struct pm_tok_cached { /* 64 bytes */
    uint32_t hash;
    uint8_t n_bytes, n_ids; /* n_bytes 0: empty */
    char bytes[CACHE_BYTES];
    int32_t id[CACHE_IDS];
} pm_tok_cached;

/* ---- the merge table ---- */

static uint64_t pair_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static pm_tok_merge *merge_slot(const pm_tok_bpe *b, uint64_t pair) {
    size_t i = (size_t)((pair * 0x9e3779b97f4a7c15u) >> 32) & (b->n_slots - 1);
    while (b->slot[i].pair != pair && b->slot[i].pair != UINT64_MAX) i = (i + 1) & (b->n_slots - 1);
    return &b->slot[i];
}

/* The rule for a pair of ids, or NULL. */
static const pm_tok_merge *merge_find(const pm_tok_bpe *b, uint64_t pair) {
    if (!b->n_slots) return NULL;
    const pm_tok_merge *m = merge_slot(b, pair);
    return m->pair == pair ? m : NULL;
}

void pm_tok_bpe_reserve(pm_tok_bpe *b, size_t n_merges) {
    size_t n_slots = 1024;
    while (n_slots < n_merges * 2) n_slots *= 2;
    if (n_slots <= b->n_slots) return;
    pm_tok_merge *old = b->slot;
    size_t n_old = b->n_slots;
    b->slot = pm_tok_realloc(NULL, n_slots * sizeof *b->slot);
    b->n_slots = n_slots;
    memset(b->slot, 0xff, n_slots * sizeof *b->slot);
    for (size_t i = 0; i < n_old; i++)
        if (old[i].pair != UINT64_MAX) *merge_slot(b, old[i].pair) = old[i];
    free(old);
}

void pm_tok_bpe_add(pm_tok_bpe *b, int32_t left, int32_t right, int32_t rank, int32_t id) {
    pm_tok_bpe_reserve(b, b->n + 1);
    pm_tok_merge *m = merge_slot(b, pair_of(left, right));
    if (m->pair == UINT64_MAX) b->n++;
    *m = (pm_tok_merge){pair_of(left, right), rank, id};
}

/* ---- merge rules by name ---- */

static pm_status bad_merge(uint64_t rank, const char *s, size_t n, pm_err *e) {
    return pm_fail(e, PM_EFORMAT, "merge %llu, \"%.*s\", does not name two tokens that make a third",
                   (unsigned long long)rank, (int)(n < 80 ? n : 80), s);
}

pm_status pm_tok_merge_tokens(pm_tokenizer *t, uint64_t rank, const char *a, size_t na, const char *b,
                              size_t nb, pm_err *e) {
    char joined[1024];
    if (na + nb > sizeof joined) return bad_merge(rank, a, na, e);
    memcpy(joined, a, na);
    memcpy(joined + na, b, nb);
    int32_t left = pm_tok_vocab_find(&t->vocab, a, na), right = pm_tok_vocab_find(&t->vocab, b, nb);
    int32_t made = pm_tok_vocab_find(&t->vocab, joined, na + nb);
    if (left < 0 || right < 0 || made < 0) return bad_merge(rank, joined, na + nb, e);
    pm_tok_bpe_add(&t->bpe, left, right, (int32_t)rank, made);
    return PM_OK;
}

pm_status pm_tok_merge_line(pm_tokenizer *t, uint64_t rank, const char *s, size_t n, pm_err *e) {
    const char *space = n ? memchr(s, ' ', n) : NULL;
    size_t na = space ? (size_t)(space - s) : 0;
    if (!space || memchr(space + 1, ' ', n - na - 1)) return bad_merge(rank, s, n, e);
    return pm_tok_merge_tokens(t, rank, s, na, space + 1, n - na - 1, e);
}

void pm_tok_bpe_bytes(pm_tok_bpe *b, const pm_tok_vocab *v) {
    static const char hex[] = "0123456789ABCDEF";
    for (int i = 0; i < 256; i++) {
        char level[2], fallback[6] = {'<', '0', 'x', hex[i >> 4], hex[i & 15], '>'};
        b->byte_id[i] = -1;
        if (b->byte_level)
            b->byte_id[i] = pm_tok_vocab_find(v, level, pm_tok_byte_char((uint8_t)i, level));
        else if (b->byte_fallback)
            b->byte_id[i] = pm_tok_vocab_find(v, fallback, sizeof fallback);
    }
}

void pm_tok_bpe_free(pm_tok_bpe *b) {
    free(b->slot);
    *b = (pm_tok_bpe){0};
}

/* ---- candidates: a binary heap, least order first ---- */

static void heap_push(pm_tok_scratch *s, pm_tok_cand c) {
    if (s->heap_n == s->heap_cap) {
        s->heap_cap = s->heap_cap * 2 + 64;
        s->heap = pm_tok_realloc(s->heap, s->heap_cap * sizeof *s->heap);
    }
    size_t i = s->heap_n++;
    for (; i && s->heap[(i - 1) / 2].order > c.order; i = (i - 1) / 2) s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = c;
}

static pm_tok_cand heap_pop(pm_tok_scratch *s) {
    pm_tok_cand *h = s->heap, top = h[0], last = h[--s->heap_n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->heap_n; i = child) {
        if (child + 1 < s->heap_n && h[child + 1].order < h[child].order) child++;
        if (h[child].order >= last.order) break;
        h[i] = h[child];
    }
    h[i] = last;
    return top;
}

static void propose(const pm_tok_bpe *b, pm_tok_scratch *s, int32_t left) {
    if (left < 0 || s->sym[left].next < 0) return;
    uint64_t pair = pair_of(s->sym[left].id, s->sym[s->sym[left].next].id);
    const pm_tok_merge *m = merge_find(b, pair);
    if (m) heap_push(s, (pm_tok_cand){(uint64_t)(uint32_t)m->rank << 32 | (uint32_t)left, pair, m->id});
}

/* Does the candidate still stand? Symbols only grow, so the same two ids in the same place are the same two symbols. */
static bool stands(const pm_tok_scratch *s, const pm_tok_cand *c) {
    const pm_tok_sym *left = &s->sym[(uint32_t)c->order];
    return left->id >= 0 && left->next >= 0 && pair_of(left->id, s->sym[left->next].id) == c->pair;
}

/* sym[0..n) in a row -> merged in place; the survivors hang together by `next` from symbol 0. */
static void merge_all(const pm_tok_bpe *b, pm_tok_scratch *s, int32_t n) {
    s->heap_n = 0;
    for (int32_t i = 0; i < n; i++) {
        s->sym[i].prev = i - 1;
        s->sym[i].next = i + 1 < n ? i + 1 : -1;
    }
    for (int32_t i = 0; i + 1 < n; i++) propose(b, s, i);
    while (s->heap_n) {
        pm_tok_cand c = heap_pop(s);
        if (!stands(s, &c)) continue;
        int32_t at = (int32_t)(uint32_t)c.order;
        pm_tok_sym *left = &s->sym[at], *right = &s->sym[left->next];
        left->id = c.id;
        left->next = right->next;
        right->id = -1;
        if (left->next >= 0) s->sym[left->next].prev = at;
        propose(b, s, left->prev);
        propose(b, s, at);
    }
}

/* ---- first symbols ---- */

typedef struct first {
    pm_tok_run *r;
    int32_t n;
    bool after_unk; /* the symbol just before is the unknown token: fuse_unk joins the next one to it */
} first;

static void add_symbol(first *f, int32_t id) {
    f->r->s->sym[f->n++].id = id;
    f->after_unk = false;
}

static void add_unknown(first *f, size_t n_bytes) {
    const pm_tok_bpe *b = &f->r->t->bpe;
    if (b->unk < 0) {
        f->r->out->n_dropped += (int64_t)n_bytes;
    } else if (!b->fuse_unk || !f->after_unk) {
        add_symbol(f, b->unk);
        f->after_unk = true;
    }
}

static void add_bytes(first *f, const char *s, size_t n) {
    const pm_tok_bpe *b = &f->r->t->bpe;
    for (size_t i = 0; i < n; i++) {
        int32_t id = b->byte_id[(unsigned char)s[i]];
        if (id >= 0)
            add_symbol(f, id);
        else
            add_unknown(f, 1);
    }
}

/* One character (or one byte of no character): its token, or all its bytes' tokens, or the unknown token. */
static void add_char(first *f, const char *s, size_t n) {
    const pm_tok_bpe *b = &f->r->t->bpe;
    int32_t id = pm_tok_vocab_find(&f->r->t->vocab, s, n);
    bool fallback = b->byte_fallback;
    for (size_t i = 0; i < n && fallback; i++) fallback = b->byte_id[(unsigned char)s[i]] >= 0;
    if (id >= 0)
        add_symbol(f, id);
    else if (fallback)
        add_bytes(f, s, n);
    else
        add_unknown(f, n);
}

static int32_t first_symbols(pm_tok_run *r, const char *s, size_t n) {
    pm_tok_scratch *w = r->s;
    first f = {r, 0, false};
    if (n > w->sym_cap) {
        w->sym_cap = n + n / 2 + 64;
        w->sym = pm_tok_realloc(w->sym, w->sym_cap * sizeof *w->sym);
    }
    if (r->t->bpe.byte_level) {
        add_bytes(&f, s, n);
        return f.n;
    }
    for (size_t i = 0, len; i < n; i += len) {
        int32_t c;
        len = pm_tok_char(s + i, n - i, &c);
        if (!len) len = 1;
        add_char(&f, s + i, len);
    }
    return f.n;
}

/* ---- one piece ---- */

/* ignore_merges (Llama-3): a piece that is a token as a whole is that token, whatever the merges say. -1: it is not. */
static int32_t whole_token(pm_tok_run *r, const char *s, size_t n) {
    const pm_tok_bpe *b = &r->t->bpe;
    if (!b->ignore_merges) return -1;
    if (!b->byte_level) return pm_tok_vocab_find(&r->t->vocab, s, n);
    pm_tok_buf *p = &r->s->piece;
    p->n = 0;
    for (size_t i = 0; i < n; i++) {
        char c[2];
        pm_tok_buf_add(p, c, pm_tok_byte_char((uint8_t)s[i], c));
    }
    return pm_tok_vocab_find(&r->t->vocab, p->p, p->n);
}

static void encode_piece(pm_tok_run *r, const char *s, size_t n) {
    int32_t whole = whole_token(r, s, n);
    if (whole >= 0) {
        pm_ids_push(r->out, whole);
        return;
    }
    int32_t count = first_symbols(r, s, n);
    merge_all(&r->t->bpe, r->s, count);
    for (int32_t i = count ? 0 : -1; i >= 0; i = r->s->sym[i].next) pm_ids_push(r->out, r->s->sym[i].id);
}

static void remember(pm_tok_cached *c, uint32_t hash, const char *s, size_t n, const int32_t *id,
                     int64_t n_ids) {
    if (n_ids > CACHE_IDS) return;
    *c = (pm_tok_cached){.hash = hash, .n_bytes = (uint8_t)n, .n_ids = (uint8_t)n_ids};
    memcpy(c->bytes, s, n);
    if (n_ids) memcpy(c->id, id, (size_t)n_ids * sizeof *id);
}

void pm_tok_bpe_piece(pm_tok_run *r, const char *s, size_t n) {
    if (n > CACHE_BYTES) {
        encode_piece(r, s, n);
        return;
    }
    uint32_t hash = pm_tok_hash(s, n);
    pm_tok_cached *c = &r->s->cache[hash % CACHE_SLOTS];
    if (c->hash == hash && c->n_bytes == n && memcmp(c->bytes, s, n) == 0) {
        for (int i = 0; i < c->n_ids; i++) pm_ids_push(r->out, c->id[i]);
        return;
    }
    int64_t before = r->out->n, dropped = r->out->n_dropped;
    encode_piece(r, s, n);
    if (r->out->n_dropped == dropped) remember(c, hash, s, n, r->out->id + before, r->out->n - before);
}

pm_tok_scratch *pm_tok_scratch_new(void) {
    pm_tok_scratch *s = pm_tok_realloc(NULL, sizeof *s);
    *s = (pm_tok_scratch){.md = pcre2_match_data_create(1, NULL)};
    s->cache = pm_tok_realloc(NULL, CACHE_SLOTS * sizeof *s->cache);
    memset(s->cache, 0, CACHE_SLOTS * sizeof *s->cache);
    PM_ASSERT(s->md != NULL, "out of memory: pcre2 match data");
    return s;
}

void pm_tok_scratch_free(pm_tok_scratch *s) {
    for (int i = 0; i < PM_TOK_MAX_STEPS; i++) pm_tok_buf_free(&s->step[i]);
    for (int i = 0; i < 2; i++) pm_tok_buf_free(&s->norm[i]);
    pm_tok_buf_free(&s->piece);
    pcre2_match_data_free(s->md);
    free(s->sym);
    free(s->heap);
    free(s->cache);
    free(s);
}
