/* tok_vocab.c - the vocabulary: id to bytes by index, bytes to id by an open-addressing hash table. */
#include "tok.h"
#include <stdlib.h>
#include <string.h>

typedef struct pm_tok_block {
    struct pm_tok_block *next;
    size_t n, cap;
    char bytes[];
} pm_tok_block;

/* FNV-1a; tokens are a handful of bytes. */
uint32_t pm_tok_hash(const char *s, size_t n) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)s[i]) * 16777619u;
    return h ^ h >> 15;
}

/* The slot that holds s, or the empty one where it would go. The stored hash saves most looks at the bytes. */
static pm_tok_slot *slot_of(const pm_tok_vocab *v, const char *s, size_t n, uint32_t hash) {
    for (uint32_t i = hash & (v->n_slots - 1);; i = (i + 1) & (v->n_slots - 1)) {
        pm_tok_slot *at = &v->slot[i];
        if (at->id < 0) return at;
        if (at->hash == hash && v->tok[at->id].n == n && memcmp(v->tok[at->id].s, s, n) == 0) return at;
    }
}

void pm_tok_vocab_reserve(pm_tok_vocab *v, size_t n_tokens) {
    pm_tok_slot *old = v->slot;
    uint32_t n_old = v->n_slots, n_slots = n_old ? n_old : 1024;
    while (n_slots < n_tokens * 2) n_slots *= 2;
    if (n_slots == n_old) return;
    v->slot = pm_tok_realloc(NULL, n_slots * sizeof *v->slot);
    v->n_slots = n_slots;
    memset(v->slot, 0xff, n_slots * sizeof *v->slot);
    for (uint32_t i = 0; i < n_old; i++)
        if (old[i].id >= 0) *slot_of(v, v->tok[old[i].id].s, v->tok[old[i].id].n, old[i].hash) = old[i];
    free(old);
}

static void grow(pm_tok_vocab *v, int32_t n) {
    if (n > v->cap) {
        v->cap = n + n / 2 + 256;
        v->tok = pm_tok_realloc(v->tok, (size_t)v->cap * sizeof *v->tok);
    }
    for (; v->n < n; v->n++) v->tok[v->n] = (pm_tok_str){0};
}

static const char *keep(pm_tok_vocab *v, const char *s, size_t n) {
    pm_tok_block *b = v->blocks;
    if (!b || b->cap - b->n < n + 1) {
        size_t cap = n + 1 > 65536 ? n + 1 : 65536;
        b = pm_tok_realloc(NULL, sizeof *b + cap);
        *b = (pm_tok_block){.next = v->blocks, .cap = cap};
        v->blocks = b;
    }
    char *p = b->bytes + b->n;
    if (n) memcpy(p, s, n);
    p[n] = 0;
    b->n += n + 1;
    return p;
}

pm_status pm_tok_vocab_add(pm_tok_vocab *v, int64_t id, const char *s, size_t n, pm_err *e) {
    if (id < 0 || id >= PM_TOK_MAX_IDS)
        return pm_fail(e, PM_EFORMAT, "token id %lld is outside 0..%d", (long long)id, PM_TOK_MAX_IDS - 1);
    if (n > PM_TOK_MAX_TOKEN_BYTES)
        return pm_fail(e, PM_EFORMAT, "token %d has %zu bytes, more than %d", (int)id, n,
                       PM_TOK_MAX_TOKEN_BYTES);
    pm_tok_vocab_reserve(v, (size_t)v->n_used + 1);
    grow(v, (int32_t)id + 1);
    if (v->tok[id].s) return pm_fail(e, PM_EFORMAT, "token id %d is given twice", (int)id);
    uint32_t hash = pm_tok_hash(s, n);
    pm_tok_slot *slot = n ? slot_of(v, s, n, hash) : NULL;
    if (slot && slot->id >= 0)
        return pm_fail(e, PM_EFORMAT, "tokens %d and %d are both \"%.*s\"", slot->id, (int)id,
                       (int)(n < 80 ? n : 80), s);
    v->tok[id] = (pm_tok_str){keep(v, s, n), (uint32_t)n};
    if (slot) *slot = (pm_tok_slot){hash, (int32_t)id};
    v->n_used++;
    return PM_OK;
}

int32_t pm_tok_vocab_find(const pm_tok_vocab *v, const char *s, size_t n) {
    return v->n_slots && n ? slot_of(v, s, n, pm_tok_hash(s, n))->id : -1;
}

void pm_tok_vocab_free(pm_tok_vocab *v) {
    for (pm_tok_block *b = v->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(v->tok);
    free(v->slot);
    *v = (pm_tok_vocab){0};
}
