/* generate.c - the decoding loop. */
#include "generate.h"
#include <stdlib.h>
#include <string.h>

typedef struct slot {
    int prompt; /* index of the prompt it works on; -1: free */
    int32_t last;
} slot;

typedef struct decoder {
    pm_session *s;
    const pm_prompt *p;
    const pm_gen_opts *o;
    pm_ids *out; /* [n] */
    bool *ended; /* [n] */
    pm_kvcache *cache;
    slot slot[PM_GENERATE_SLOTS];
    int32_t used[PM_GENERATE_SLOTS]; /* slot of each sequence of the current batch */
    int n, next, n_slots;
    int32_t eos;
} decoder;

static int longest(const pm_prompt *p, int n) {
    int most = 0;
    for (int i = 0; i < n; i++)
        if (p[i].n > most) most = p[i].n;
    return most;
}

/* Every busy slot's sequence: the whole prompt for a newcomer, the last token otherwise. */
static void next_batch(decoder *d) {
    pm_batch *b = &d->s->batch;
    pm_batch_clear(b);
    for (int i = 0; i < d->n_slots; i++) {
        slot *s = &d->slot[i];
        bool newcomer = s->prompt < 0 && d->next < d->n;
        if (newcomer) {
            s->prompt = d->next++;
            d->cache->len[i] = 0;
        }
        if (s->prompt < 0) continue;
        const pm_prompt *p = &d->p[s->prompt];
        d->used[b->seqs.n] = i;
        int q = newcomer ? pm_batch_add(b, p->ids, p->n, -1, 0, p->n)
                         : pm_batch_add(b, &s->last, 1, -1, d->cache->len[i], p->n);
        pm_batch_score(b, b->start[q] + b->len[q] - 1, 0); /* the target is not used: only the best id is */
    }
}

static bool stops(const decoder *d, const pm_ids *ids) {
    if (!d->o->stop || !*d->o->stop) return false;
    enum { TAIL = 16 }; /* tokens that can hold the whole stop text, whatever their split */
    int64_t from = ids->n > TAIL ? ids->n - TAIL : 0;
    char *text = pm_tokenizer_decode(d->s->tok, ids->id + from, ids->n - from, true, NULL);
    bool found = strstr(text, d->o->stop) != NULL;
    free(text);
    return found;
}

static void take(decoder *d, int i, int32_t id) {
    slot *s = &d->slot[i];
    pm_ids *ids = &d->out[s->prompt];
    pm_ids_push(ids, id);
    s->last = id;
    if (id != d->eos && ids->n < d->o->max_new && !stops(d, ids)) return;
    d->ended[s->prompt] = true;
    s->prompt = -1;
}

static void one_pass(decoder *d) {
    pm_session *s = d->s;
    int32_t best[PM_GENERATE_SLOTS];
    s->tape.cache = d->cache;
    s->tape.slot = d->used;
    pm_tensor *h = pm_session_forward(s, &s->batch, false, false);
    pm_lm_score(&s->tape, h, s->model->head, NULL, NULL, best);
    s->tape.cache = NULL;
    pm_kvcache_advance(d->cache, &s->batch.seqs, d->used);
    for (int q = 0; q < s->batch.seqs.n; q++) take(d, d->used[q], best[q]);
}

static void begin(decoder *d, pm_arena *a, int n) {
    const pm_model_cfg *c = &d->s->model->cfg;
    d->n = n;
    d->n_slots = n < PM_GENERATE_SLOTS ? n : PM_GENERATE_SLOTS;
    d->eos = d->s->tok ? pm_tokenizer_eos(d->s->tok) : -1;
    d->cache = pm_kvcache_new(a, c->L, d->n_slots, longest(d->p, n) + d->o->max_new, (int64_t)c->n_kv * c->D);
    for (int i = 0; i < d->n_slots; i++) d->slot[i].prompt = -1;
}

static char *text_of(const decoder *d, int i) {
    pm_ids *ids = &d->out[i];
    int64_t n = ids->n && ids->id[ids->n - 1] == d->eos ? ids->n - 1 : ids->n;
    char *text = pm_tokenizer_decode(d->s->tok, ids->id, n, true, NULL);
    char *end = d->o->stop && *d->o->stop ? strstr(text, d->o->stop) : NULL;
    if (end) *end = 0;
    return text;
}

/* Prompts end out of order; results are handed over in order, as soon as all earlier ones are in. */
static pm_status hand_over(const decoder *d, int *reported, pm_text_fn fn, void *ctx, pm_err *e) {
    while (*reported < d->n && d->ended[*reported]) {
        char *text = text_of(d, *reported);
        pm_status rc = fn(ctx, (*reported)++, text, e);
        free(text);
        if (rc) return rc;
    }
    return PM_OK;
}

static pm_status decode(decoder *d, int n, pm_text_fn fn, void *ctx, pm_err *e) {
    if (n == 0 || d->o->max_new <= 0) return PM_OK;
    pm_arena *a = pm_arena_new("cache", 0);
    d->ended = calloc((size_t)n, sizeof *d->ended);
    PM_ASSERT(d->ended, "out of memory: %d prompts", n);
    begin(d, a, n);
    pm_status rc = PM_OK;
    int reported = 0;
    for (next_batch(d); !rc && d->s->batch.seqs.n; next_batch(d)) {
        one_pass(d);
        if (fn) rc = hand_over(d, &reported, fn, ctx, e);
    }
    free(d->ended);
    pm_arena_free(a);
    return rc;
}

pm_status pm_generate(pm_session *s, const pm_prompt *p, int n, const pm_gen_opts *o, pm_text_fn fn,
                      void *ctx, pm_err *e) {
    if (!s->tok) {
        pm_fail(e, PM_EUSAGE, "%s: has no tokenizer, and generated text needs one", s->loaded.path);
        return pm_hint(e, "put tokenizer.json beside the weights, or use a GGUF file");
    }
    for (int i = 0; i < n; i++)
        if (p[i].n < 1) {
            pm_fail(e, PM_EUSAGE, "prompt %d is empty: there is nothing to continue", i + 1);
            return pm_hint(e, "give it at least one token");
        }
    pm_ids *out = calloc((size_t)n + 1, sizeof *out);
    PM_ASSERT(out, "out of memory: %d prompts", n);
    decoder d = {.s = s, .p = p, .o = o, .out = out};
    pm_status rc = decode(&d, n, fn, ctx, e);
    for (int i = 0; i < n; i++) pm_ids_free(&out[i]);
    free(out);
    return rc;
}

void pm_generate_ids(pm_session *s, const pm_prompt *p, int n, int max_new, pm_ids *out) {
    pm_gen_opts o = {.max_new = max_new};
    decoder d = {.s = s, .p = p, .o = &o, .out = out};
    decode(&d, n, NULL, NULL, NULL);
}
