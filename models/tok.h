/* tok.h - what the tok_*.c files share; private to them. tokenizer.h is the interface.
 *
 * One tokenizer is data: a vocabulary, a merge table and three short lists of steps (normalise, pre-tokenise, decode), all
 * read-only after loading. tok_json.c and tok_gguf.c fill it; tokenizer.c runs it; tok_save.c writes a GGUF's as tokenizer.json.
 * The path of a text: tok_added.c cuts out added tokens -> tok_normalize.c -> tok_added.c again (tokens marked `normalized`)
 * -> tok_pretokenize.c cuts pieces -> tok_bpe.c turns each piece into ids.
 */
#ifndef PM_TOK_H
#define PM_TOK_H
#include "tokenizer.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    PM_TOK_MAX_IDS = 1 << 22,
    PM_TOK_MAX_TOKEN_BYTES = 1 << 16,
    PM_TOK_MAX_STEPS = 8,
    PM_TOK_MAX_TEMPLATE = 8
};

/* ---- bytes and characters (tok_text.c) ---- */
typedef struct pm_tok_buf { /* growable bytes; .p may be NULL while empty */
    char *p;
    size_t n, cap;
} pm_tok_buf;
void *pm_tok_realloc(void *p, size_t n_bytes); /* aborts with the size when memory is out */
void pm_tok_buf_add(pm_tok_buf *b, const char *s, size_t n);
void pm_tok_buf_free(pm_tok_buf *b);

/* Length of the well-formed UTF-8 character at s (n >= 1 bytes there), its code point in *c; 0 when there is none. */
size_t pm_tok_char(const char *s, size_t n, int32_t *c);
size_t pm_tok_valid_prefix(const char *s, size_t n); /* bytes of well-formed UTF-8 at the start of s */
size_t pm_tok_invalid_prefix(const char *s,
                             size_t n); /* bytes at the start of s that belong to no character */
bool pm_tok_is_space(int32_t c);        /* Unicode White_Space */
bool pm_tok_is_numeric(int32_t c);      /* general category N* */
bool pm_tok_is_word(int32_t c);         /* a regular expression's \w */
const char *pm_tok_find_bytes(const char *s, size_t n, const char *what,
                              size_t n_what); /* memmem; NULL: absent */

/* GPT-2's printable alphabet: every byte is written as one character of one or two UTF-8 bytes. */
size_t pm_tok_byte_char(uint8_t b, char out[2]);
int pm_tok_char_byte(int32_t c); /* the inverse; -1: not one of the 256 */

/* ---- vocabulary: id <-> bytes as stored (tok_vocab.c) ---- */
typedef struct pm_tok_str {
    const char *s; /* NUL-terminated; NULL: a hole */
    uint32_t n;
} pm_tok_str;
typedef struct pm_tok_slot {
    uint32_t hash;
    int32_t id; /* -1: empty */
} pm_tok_slot;
typedef struct pm_tok_vocab {
    pm_tok_str *tok; /* [n] by id */
    int32_t n, cap, n_used;
    pm_tok_slot *slot; /* open addressing by the bytes' hash */
    uint32_t n_slots;
    struct pm_tok_block *blocks; /* where the bytes live */
} pm_tok_vocab;
void pm_tok_vocab_reserve(pm_tok_vocab *v, size_t n_tokens); /* room for so many in all */
/* PM_EFORMAT for an id outside [0, PM_TOK_MAX_IDS), an id or a non-empty string given twice, or a token that is too long. */
pm_status pm_tok_vocab_add(pm_tok_vocab *v, int64_t id, const char *s, size_t n, pm_err *e);
int32_t pm_tok_vocab_find(const pm_tok_vocab *v, const char *s,
                          size_t n); /* -1: none. The empty string is never found. */
void pm_tok_vocab_free(pm_tok_vocab *v);
uint32_t pm_tok_hash(const char *s, size_t n);

/* ---- byte-pair merging (tok_bpe.c) ---- */
typedef struct pm_tok_merge {
    uint64_t pair; /* left id << 32 | right id; UINT64_MAX: an empty slot */
    int32_t rank, id;
} pm_tok_merge;
typedef struct pm_tok_bpe {
    pm_tok_merge *slot;
    size_t n_slots, n;
    int32_t byte_id[256]; /* byte_level: the byte's token; byte_fallback: <0xXX>; -1: none */
    int32_t unk;          /* -1: bytes without a token are dropped and counted */
    bool byte_level, byte_fallback, fuse_unk, ignore_merges;
} pm_tok_bpe;
typedef struct pm_tok_scratch pm_tok_scratch;
typedef struct pm_tok_run pm_tok_run;
void pm_tok_bpe_reserve(pm_tok_bpe *b, size_t n_merges);
void pm_tok_bpe_add(pm_tok_bpe *b, int32_t left, int32_t right, int32_t rank,
                    int32_t id); /* a later rule replaces an earlier */
void pm_tok_bpe_bytes(pm_tok_bpe *b,
                      const pm_tok_vocab *v); /* fills byte_id once the flags and the vocabulary stand */
void pm_tok_bpe_piece(pm_tok_run *r, const char *s, size_t n);
void pm_tok_bpe_free(pm_tok_bpe *b);
pm_tok_scratch *pm_tok_scratch_new(void);
void pm_tok_scratch_free(pm_tok_scratch *s);

/* ---- steps: one table row per component of a tokenizer.json ---- */
typedef enum pm_tok_behavior {
    PM_TOK_REMOVED,
    PM_TOK_ISOLATED,
    PM_TOK_MERGED_PREVIOUS,
    PM_TOK_MERGED_NEXT,
    PM_TOK_CONTIGUOUS
} pm_tok_behavior;
typedef enum pm_tok_scheme { PM_TOK_ALWAYS, PM_TOK_FIRST, PM_TOK_NEVER } pm_tok_scheme;
typedef struct pm_tok_step pm_tok_step;
struct pm_tok_step {
    union {
        pm_status (*normalize)(const pm_tok_step *st, const char *s, size_t n, pm_tok_buf *out, pm_err *e);
        pm_status (*pre)(pm_tok_run *r, int k, const char *s,
                         size_t n); /* passes its pieces on to step k + 1 */
        pm_status (*decode)(const pm_tok_step *st, bool first, const pm_tok_buf *in, pm_tok_buf *out);
    } run;
    pcre2_code *re; /* the pattern: a regular expression, */
    char *lit;      /* or a literal, */
    size_t n_lit;   /* or with neither (digits) the numeric characters */
    char *text;     /* what is prepended or put in place; Metaspace's and Strip's character */
    size_t n_text;
    int form; /* normalisation: utf8proc's options */
    pm_tok_behavior behavior;
    pm_tok_scheme scheme;
    bool invert, prefix_space, split, left, right;
    int32_t start, stop; /* Strip as decoder: most characters cut off at either end */
};
typedef struct pm_tok_steps {
    pm_tok_step step[PM_TOK_MAX_STEPS];
    int n;
} pm_tok_steps;
pm_tok_step *pm_tok_steps_add(pm_tok_steps *l, pm_err *e); /* zeroed; NULL: too many (PM_EUNSUPPORTED set) */
void pm_tok_steps_free(pm_tok_steps *l);
void pm_tok_step_text(pm_tok_step *st, const char *s, size_t n);    /* copies */
void pm_tok_step_literal(pm_tok_step *st, const char *s, size_t n); /* copies */
/* Compiles a pattern in the tokenizers library's dialect (Oniguruma). PM_EUNSUPPORTED names what PCRE2 would read otherwise. */
pm_status pm_tok_step_regex(pm_tok_step *st, const char *pattern, size_t n, pm_err *e);
/* Next match of the step's pattern in s[0..n) at or after `from`: 1 and [*b, *end), 0 none, PCRE2's negative code on failure.
 * s is well-formed UTF-8. */
int pm_tok_match(const pm_tok_step *st, pcre2_match_data *md, const char *s, size_t n, size_t from, size_t *b,
                 size_t *end);

extern const char pm_tok_re_gpt2[], pm_tok_re_llama3[], pm_tok_re_qwen2[];

pm_status pm_tok_norm_form(const pm_tok_step *st, const char *s, size_t n, pm_tok_buf *out, pm_err *e);
pm_status pm_tok_norm_prepend(const pm_tok_step *st, const char *s, size_t n, pm_tok_buf *out, pm_err *e);
pm_status pm_tok_norm_replace(const pm_tok_step *st, const char *s, size_t n, pm_tok_buf *out, pm_err *e);
pm_status pm_tok_norm_strip(const pm_tok_step *st, const char *s, size_t n, pm_tok_buf *out, pm_err *e);
/* Runs every normaliser over s; the result lies in a or b (both the caller's) or is s itself. */
pm_status pm_tok_normalize(const pm_tok_steps *l, const char **s, size_t *n, pm_tok_buf *a, pm_tok_buf *b,
                           pm_err *e);

pm_status pm_tok_pre_split(pm_tok_run *r, int k, const char *s, size_t n);
pm_status pm_tok_pre_bytelevel(pm_tok_run *r, int k, const char *s, size_t n);
pm_status pm_tok_pre_metaspace(pm_tok_run *r, int k, const char *s, size_t n);
pm_status pm_tok_pretokenize(pm_tok_run *r, const char *s, size_t n);

pm_status pm_tok_dec_bytelevel(const pm_tok_step *st, bool first, const pm_tok_buf *in, pm_tok_buf *out);
pm_status pm_tok_dec_replace(const pm_tok_step *st, bool first, const pm_tok_buf *in, pm_tok_buf *out);
pm_status pm_tok_dec_bytefallback(const pm_tok_step *st, bool first, const pm_tok_buf *in, pm_tok_buf *out);
pm_status pm_tok_dec_strip(const pm_tok_step *st, bool first, const pm_tok_buf *in, pm_tok_buf *out);
pm_status pm_tok_dec_metaspace(const pm_tok_step *st, bool first, const pm_tok_buf *in, pm_tok_buf *out);
pm_status pm_tok_dec_fuse(const pm_tok_step *st, bool first, const pm_tok_buf *in, pm_tok_buf *out);

/* ---- added tokens (tok_added.c) ---- */
typedef struct pm_tok_added {
    char *s; /* what is looked for: the content, normalised where the flag says so */
    size_t n;
    int32_t id;
    bool special, lstrip, rstrip, single_word, normalized;
} pm_tok_added;
typedef struct pm_tok_added_set { /* sorted by first byte, then longest first */
    pm_tok_added *a;
    int n, cap;
    int from[257];
} pm_tok_added_set;
void pm_tok_added_push(pm_tok_added_set *set, pm_tok_added a, const char *s, size_t n); /* copies s */
void pm_tok_added_sort(pm_tok_added_set *set);
void pm_tok_added_free(pm_tok_added_set *set);
/* Cuts s at the set's tokens: their ids go to r->out, the text between to `rest`. */
pm_status pm_tok_added_split(pm_tok_run *r, const pm_tok_added_set *set, const char *s, size_t n,
                             pm_status (*rest)(pm_tok_run *r, const char *s, size_t n));

/* ---- the whole ---- */
enum { PM_TOK_IS_ADDED = 1, PM_TOK_IS_SPECIAL = 2 };
struct pm_tokenizer {
    pm_tok_vocab vocab;
    pm_tok_bpe bpe;
    pm_tok_steps norm, pre, dec;
    pm_tok_added_set raw, normalized; /* looked for before and after normalisation */
    uint8_t *kind;                    /* [vocab.n] PM_TOK_IS_* */
    int32_t bos, eos;                 /* -1: none */
    int32_t prefix[PM_TOK_MAX_TEMPLATE], suffix[PM_TOK_MAX_TEMPLATE];
    int n_prefix, n_suffix;
    struct pm_tok_pool *pool; /* scratch memory between calls: the only part that changes, behind a lock */
};
pm_tokenizer *pm_tok_new(void);
/* The rank-th merge rule, by its two tokens or as "a b". PM_EFORMAT when one of them, or both joined, is no token. */
pm_status pm_tok_merge_tokens(pm_tokenizer *t, uint64_t rank, const char *a, size_t na, const char *b,
                              size_t nb, pm_err *e);
pm_status pm_tok_merge_line(pm_tokenizer *t, uint64_t rank, const char *s, size_t n, pm_err *e);
/* Last step of loading: normalises and sorts the added tokens, marks kinds, fills the byte tables. */
pm_status pm_tok_finish(pm_tokenizer *t, pm_err *e);

/* What a GGUF's `pre` stands for (tok_gguf.c); NULL: unknown. *name: as the file says it, or "default". */
typedef struct pm_tok_pre_kind {
    const char *name, *re;
    bool digits, split /* the pattern is a Split of its own, not ByteLevel's */, nfc, ignore_merges, add_bos;
} pm_tok_pre_kind;
const pm_tok_pre_kind *pm_tok_gguf_pre(const pm_gguf *g, const char **name, size_t *n);

/* Ends a failed load: puts `where` in front of the message, makes it printable and adds a hint where there is none. Returns rc. */
pm_status pm_tok_explain(pm_status rc, const char *where, pm_err *e);

struct pm_tok_run { /* one encode call */
    const pm_tokenizer *t;
    pm_tok_scratch *s;
    pm_ids *out;
    pm_err *e;
    const char *text; /* where the call's text starts */
    const char *head; /* the same place after normalisation: Metaspace's "first" */
    bool special;     /* special tokens in the text count */
    bool valid;       /* the text is well-formed UTF-8: no need to look again */
};

struct pm_tok_scratch { /* working memory of one thread's encode call, reused by later calls */
    struct pm_tok_sym *sym;
    size_t sym_cap;
    struct pm_tok_cand *heap;
    size_t heap_n, heap_cap;
    struct pm_tok_cached *cache;
    pm_tok_buf norm[2], piece, step[PM_TOK_MAX_STEPS];
    pcre2_match_data *md;
    pm_tok_scratch *next; /* in the pool */
};
#endif
