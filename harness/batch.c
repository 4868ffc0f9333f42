/* batch.c - growing arrays behind pm_batch. */
#include "batch.h"
#include <stdlib.h>
#include <string.h>

static void grow(int32_t **p, int cap) {
    int32_t *more = realloc(*p, (size_t)cap * sizeof *more);
    PM_ASSERT(more, "out of memory: %d numbers of a batch", cap);
    *p = more;
}

static int next_cap(int cap, int need) {
    int n = cap ? cap : 256;
    while (n < need) n *= 2;
    return n;
}

void pm_batch_clear(pm_batch *b) {
    b->seqs.n = 0;
    b->seqs.n_tokens = 0;
    b->n_scored = 0;
}

void pm_batch_free(pm_batch *b) {
    int32_t *all[] = {b->ids, b->start, b->len, b->pos0, b->parent, b->prompt_len, b->row, b->target};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    memset(b, 0, sizeof *b);
}

static void reserve(pm_batch *b, int64_t tokens) {
    PM_ASSERT(tokens < INT32_MAX / 2, "a batch of %lld tokens", (long long)tokens);
    if (tokens > b->cap_tokens) grow(&b->ids, b->cap_tokens = next_cap(b->cap_tokens, (int)tokens));
    if (b->seqs.n + 1 <= b->cap_seqs) return;
    b->cap_seqs = next_cap(b->cap_seqs, b->seqs.n + 1);
    int32_t **per_seq[] = {&b->start, &b->len, &b->pos0, &b->parent, &b->prompt_len};
    for (size_t i = 0; i < sizeof per_seq / sizeof *per_seq; i++) grow(per_seq[i], b->cap_seqs);
}

int pm_batch_add(pm_batch *b, const int32_t *ids, int n, int parent, int pos0, int prompt_len) {
    reserve(b, b->seqs.n_tokens + n);
    int s = b->seqs.n++;
    b->start[s] = (int32_t)b->seqs.n_tokens;
    b->len[s] = n;
    b->pos0[s] = pos0;
    b->parent[s] = parent;
    b->prompt_len[s] = prompt_len;
    if (n) memcpy(b->ids + b->seqs.n_tokens, ids, (size_t)n * sizeof *ids);
    b->seqs.n_tokens += n;
    return s;
}

void pm_batch_score(pm_batch *b, int32_t row, int32_t target) {
    if (b->n_scored == b->cap_scored) {
        b->cap_scored = next_cap(b->cap_scored, b->n_scored + 1);
        grow(&b->row, b->cap_scored);
        grow(&b->target, b->cap_scored);
    }
    b->row[b->n_scored] = row;
    b->target[b->n_scored++] = target;
}

void pm_batch_add_example(pm_batch *b, const pm_example *ex) {
    int s = pm_batch_add(b, ex->ids, ex->n, -1, 0, ex->prompt_len);
    for (int i = 1; i < ex->n; i++)
        if (ex->labels[i] != -100) pm_batch_score(b, b->start[s] + i - 1, ex->labels[i]);
}

const pm_seqs *pm_batch_view(pm_batch *b) {
    b->seqs.start = b->start;
    b->seqs.len = b->len;
    b->seqs.pos0 = b->pos0;
    b->seqs.parent = b->parent;
    b->seqs.prompt_len = b->prompt_len;
    return &b->seqs;
}
