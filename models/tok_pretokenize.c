/* tok_pretokenize.c - cutting normalised text into the pieces that BPE never joins.
 *
 * The steps form a chain: each passes its pieces on to the next, the last one to BPE; no list of pieces is ever built.
 * A byte that belongs to no UTF-8 character matches no pattern; a run of such bytes is a part of the text that did not match.
 */
#include "tok.h"

/* ---- the chain ---- */

static pm_status pass(pm_tok_run *r, int k, const char *s, size_t n) {
    if (!n) return PM_OK;
    if (k < r->t->pre.n) return r->t->pre.step[k].run.pre(r, k, s, n);
    pm_tok_bpe_piece(r, s, n);
    return PM_OK;
}

pm_status pm_tok_pretokenize(pm_tok_run *r, const char *s, size_t n) {
    return pass(r, 0, s, n);
}

/* ---- Split: the text is an alternation of matches and what lies between; `behavior` says which neighbours stay together ---- */

typedef struct splitter {
    pm_tok_run *r;
    int k;
    const pm_tok_step *st;
    const char *held; /* the piece that may still grow; NULL: none yet */
    size_t n_held;
    bool was_match; /* the segment it ends with */
} splitter;

/* joins[behavior][the last segment was a match][this one is] */
static const bool joins[5][2][2] = {
    [PM_TOK_MERGED_PREVIOUS] = {{false, true}, {false, false}},
    [PM_TOK_MERGED_NEXT] = {{false, false}, {true, false}},
    [PM_TOK_CONTIGUOUS] = {{true, false}, {false, true}},
};

static pm_status flush(splitter *p) {
    bool drop = p->st->behavior == PM_TOK_REMOVED && p->was_match;
    return p->held && !drop ? pass(p->r, p->k + 1, p->held, p->n_held) : PM_OK;
}

static pm_status segment(splitter *p, const char *s, size_t n, bool matched) {
    bool is_match = matched != p->st->invert;
    pm_status rc = PM_OK;
    if (p->held && joins[p->st->behavior][p->was_match][is_match]) {
        p->n_held += n;
    } else {
        rc = flush(p);
        p->held = s;
        p->n_held = n;
    }
    p->was_match = is_match;
    return rc;
}

static pm_status split_valid(splitter *p, const char *s, size_t n) {
    size_t done = 0, from = 0, b, end;
    int rc = 0;
    while (from <= n && (rc = pm_tok_match(p->st, p->r->s->md, s, n, from, &b, &end)) == 1) {
        pm_status st = PM_OK;
        if (b > done) st = segment(p, s + done, b - done, false);
        if (st == PM_OK) st = segment(p, s + b, end - b, true);
        if (st != PM_OK) return st;
        done = end;
        int32_t c;
        from = end > b
                   ? end
                   : end + (end < n ? pm_tok_char(s + end, n - end, &c) : 1); /* an empty match: step on */
    }
    if (rc < 0)
        return pm_fail(p->r->e, PM_EFORMAT,
                       "tokenizer: the pre-tokenizer's pattern gave up on this text (PCRE2 error %d)", rc);
    return done < n ? segment(p, s + done, n - done, false) : PM_OK;
}

pm_status pm_tok_pre_split(pm_tok_run *r, int k, const char *s, size_t n) {
    splitter p = {.r = r, .k = k, .st = &r->t->pre.step[k]};
    pm_status rc = PM_OK;
    for (size_t i = 0; i < n && rc == PM_OK;) {
        size_t good = r->valid ? n : pm_tok_valid_prefix(s + i, n - i);
        if (good) rc = split_valid(&p, s + i, good);
        i += good;
        size_t bad = i < n ? pm_tok_invalid_prefix(s + i, n - i) : 0;
        if (bad && rc == PM_OK) rc = segment(&p, s + i, bad, false);
        i += bad;
    }
    return rc == PM_OK ? flush(&p) : rc;
}

/* ---- ByteLevel: perhaps a space in front, perhaps GPT-2's pattern. Bytes become tokens in BPE itself ---- */

pm_status pm_tok_pre_bytelevel(pm_tok_run *r, int k, const char *s, size_t n) {
    const pm_tok_step *st = &r->t->pre.step[k];
    if (st->prefix_space && *s != ' ') {
        pm_tok_buf *b = &r->s->step[k];
        b->n = 0;
        pm_tok_buf_add(b, " ", 1);
        pm_tok_buf_add(b, s, n);
        s = b->p;
        n = b->n;
    }
    return st->re ? pm_tok_pre_split(r, k, s, n) : pass(r, k + 1, s, n);
}

/* ---- Metaspace: spaces become `text` (U+2581), perhaps one in front, perhaps a cut before each ---- */

static bool starts_with(const char *s, size_t n, const char *what, size_t n_what) {
    return n >= n_what && pm_tok_find_bytes(s, n_what, what, n_what) == s;
}

pm_status pm_tok_pre_metaspace(pm_tok_run *r, int k, const char *s, size_t n) {
    const pm_tok_step *st = &r->t->pre.step[k];
    bool wants = st->scheme == PM_TOK_ALWAYS || (st->scheme == PM_TOK_FIRST && s == r->head);
    pm_tok_buf *b = &r->s->step[k];
    b->n = 0;
    if (wants && *s != ' ' && !starts_with(s, n, st->text, st->n_text))
        pm_tok_buf_add(b, st->text, st->n_text);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == ' ')
            pm_tok_buf_add(b, st->text, st->n_text);
        else
            pm_tok_buf_add(b, s + i, 1);
    }
    return st->split ? pm_tok_pre_split(r, k, b->p, b->n) : pass(r, k + 1, b->p, b->n);
}
