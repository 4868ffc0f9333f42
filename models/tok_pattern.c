/* tok_pattern.c - the steps of a tokenizer and what they look for: regular expressions, literals, numeric characters.
 *
 * tokenizer.json writes its expressions for Oniguruma; here PCRE2 runs them. Where both read a construct alike it is passed
 * on; where they differ it is rewritten (\s: PCRE2 also takes U+180E, which Unicode no longer calls a space; \w, \uHHHH) or
 * refused by name (nested classes, class intersections, \h, ...). The result is compiled with UTF, UCP and, where there is one, JIT.
 */
#include "tok.h"
#include <stdlib.h>
#include <string.h>

const char pm_tok_re_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char pm_tok_re_llama3[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char pm_tok_re_qwen2[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/* ---- lists of steps ---- */

pm_tok_step *pm_tok_steps_add(pm_tok_steps *l, pm_err *e) {
    if (l->n == PM_TOK_MAX_STEPS) {
        pm_fail(e, PM_EUNSUPPORTED, "a Sequence of more than %d components", PM_TOK_MAX_STEPS);
        return NULL;
    }
    pm_tok_step *st = &l->step[l->n++];
    *st = (pm_tok_step){.behavior = PM_TOK_ISOLATED};
    return st;
}

void pm_tok_steps_free(pm_tok_steps *l) {
    for (int i = 0; i < l->n; i++) {
        pcre2_code_free(l->step[i].re);
        free(l->step[i].lit);
        free(l->step[i].text);
    }
    l->n = 0;
}

static char *copy(const char *s, size_t n) {
    char *p = pm_tok_realloc(NULL, n + 1);
    if (n) memcpy(p, s, n);
    p[n] = 0;
    return p;
}

void pm_tok_step_text(pm_tok_step *st, const char *s, size_t n) {
    free(st->text);
    st->text = copy(s, n);
    st->n_text = n;
}

void pm_tok_step_literal(pm_tok_step *st, const char *s, size_t n) {
    free(st->lit);
    st->lit = copy(s, n);
    st->n_lit = n;
}

/* ---- Oniguruma to PCRE2 ---- */

#define SPACES                                                                                               \
    "\\t-\\r\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define NOT_SPACES                                                                                           \
    "\\x00-\\x08\\x0e-\\x1f\\x21-\\x84\\x86-\\x9f\\xa1-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"      \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
#define WORD                                                                                                 \
    "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\xb2\\xb3\\xb9\\xbc-\\xbe" /* Latin-1's six: Oniguruma's own idea */

typedef struct rewrite {
    char letter;                 /* after the backslash */
    const char *bare, *in_class; /* what to write instead; NULL: there is no way, refuse */
} rewrite;
static const rewrite rewrites[] = {
    {'s', "[" SPACES "]", SPACES}, {'S', "[^" SPACES "]", NOT_SPACES},
    {'w', "[" WORD "]", WORD},     {'W', "[^" WORD "]", NULL},
    {'v', "\\x0b", "\\x0b"},
};
static const char alike[] =
    "pPdDrnftx"; /* escapes that mean the same to both; so does any escaped punctuation */

static void put(pm_tok_buf *out, const char *s) {
    pm_tok_buf_add(out, s, strlen(s));
}

static bool is_punctuation(unsigned char c) {
    return c > 32 && c < 127 && !strchr("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", c);
}

/* p points behind a backslash. Returns the bytes taken, 0 when the escape is refused. */
static size_t rewrite_escape(const char *p, size_t n, bool in_class, pm_tok_buf *out) {
    for (size_t i = 0; n && i < sizeof rewrites / sizeof *rewrites; i++) {
        if (rewrites[i].letter != *p) continue;
        const char *to = in_class ? rewrites[i].in_class : rewrites[i].bare;
        if (to) put(out, to);
        return to ? 1 : 0;
    }
    if (n >= 5 && *p == 'u') {
        put(out, "\\x{");
        pm_tok_buf_add(out, p + 1, 4); /* not hexadecimal: the compiler will say so */
        put(out, "}");
        return 5;
    }
    if (!n || !(is_punctuation((unsigned char)*p) || (*p && strchr(alike, *p)))) return 0;
    size_t taken = 1;
    if (n > 1 && strchr("pPx", *p) && p[1] == '{') { /* the braces belong to the escape */
        const char *close = memchr(p, '}', n);
        if (!close) return 0;
        taken = (size_t)(close - p) + 1;
    }
    put(out, "\\");
    pm_tok_buf_add(out, p, taken);
    return taken;
}

/* Writes PCRE2's form to out. Returns NULL, or what cannot be translated. */
static const char *translate(const char *p, size_t n, pm_tok_buf *out) {
    bool in_class = false;
    for (size_t i = 0, taken; i < n; i += taken) {
        taken = 1;
        if (p[i] == '\\') {
            size_t k = rewrite_escape(p + i + 1, n - i - 1, in_class, out);
            if (!k) return "an escape sequence";
            taken = k + 1;
            continue;
        }
        if (in_class && p[i] == '[') return "a class within a class";
        if (in_class && p[i] == '&' && i + 1 < n && p[i + 1] == '&') return "an intersection of classes";
        if (p[i] == '}' && !in_class && i + 1 < n && p[i + 1] == '+') return "{n,m}+";
        if (p[i] == '[') in_class = true;
        if (p[i] == ']') in_class = false;
        pm_tok_buf_add(out, p + i, 1);
    }
    return NULL;
}

pm_status pm_tok_step_regex(pm_tok_step *st, const char *pattern, size_t n, pm_err *e) {
    pm_tok_buf re = {0};
    const char *refused = translate(pattern, n, &re);
    int shown = n < 200 ? (int)n : 200;
    if (refused) {
        pm_tok_buf_free(&re);
        return pm_fail(e, PM_EUNSUPPORTED, "%s in the pattern %.*s", refused, shown, pattern);
    }
    int code;
    size_t at;
    pcre2_compile_context *c = pcre2_compile_context_create(NULL);
    PM_ASSERT(c != NULL, "out of memory: pcre2 compile context");
    pcre2_set_newline(c, PCRE2_NEWLINE_LF);
    pm_tok_buf_add(&re, "", 1);
    st->re =
        pcre2_compile((PCRE2_SPTR)re.p, re.n - 1, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &code, &at, c);
    pcre2_compile_context_free(c);
    pm_tok_buf_free(&re);
    if (!st->re) {
        PCRE2_UCHAR why[160] = "";
        pcre2_get_error_message(code, why, sizeof why);
        return pm_fail(e, PM_EUNSUPPORTED, "the pattern %.*s: %s", shown, pattern, (char *)why);
    }
    pcre2_jit_compile(st->re,
                      PCRE2_JIT_COMPLETE); /* fails where there is no JIT: the interpreter serves as well */
    return PM_OK;
}

/* ---- matching ---- */

static int match_regex(const pm_tok_step *st, pcre2_match_data *md, const char *s, size_t n, size_t from,
                       size_t *b, size_t *end) {
    int rc = pcre2_match(st->re, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK, md, NULL);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter keeps its state on the heap */
        rc = pcre2_match(st->re, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, md, NULL);
    if (rc < 0) return rc == PCRE2_ERROR_NOMATCH ? 0 : rc;
    const size_t *v = pcre2_get_ovector_pointer(md);
    *b = v[0];
    *end = v[1];
    return 1;
}

static int match_literal(const pm_tok_step *st, const char *s, size_t n, size_t from, size_t *b,
                         size_t *end) {
    const char *p = pm_tok_find_bytes(s + from, n - from, st->lit, st->n_lit);
    if (!p) return 0;
    *b = (size_t)(p - s);
    *end = *b + st->n_lit;
    return 1;
}

static int match_numeric(const char *s, size_t n, size_t from, size_t *b, size_t *end) {
    for (size_t i = from, len; i < n; i += len) {
        int32_t c = 0;
        len = pm_tok_char(s + i, n - i, &c);
        if (!len)
            len = 1;
        else if (pm_tok_is_numeric(c))
            return *b = i, *end = i + len, 1;
    }
    return 0;
}

int pm_tok_match(const pm_tok_step *st, pcre2_match_data *md, const char *s, size_t n, size_t from, size_t *b,
                 size_t *end) {
    if (from > n) return 0;
    if (st->re) return match_regex(st, md, s, n, from, b, end);
    if (st->lit) return match_literal(st, s, n, from, b, end);
    return match_numeric(s, n, from, b, end);
}
