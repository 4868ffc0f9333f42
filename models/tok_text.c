/* tok_text.c - bytes and characters for the tokenizers: growable buffers, UTF-8, character classes, GPT-2's byte alphabet. */
#include "tok.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void *pm_tok_realloc(void *p, size_t n_bytes) {
    void *q = realloc(p, n_bytes ? n_bytes : 1);
    PM_ASSERT(q != NULL, "out of memory: %zu bytes", n_bytes);
    return q;
}

void pm_tok_buf_add(pm_tok_buf *b, const char *s, size_t n) {
    if (b->n + n > b->cap || !b->p) {
        b->cap = (b->n + n) * 2 + 64;
        b->p = pm_tok_realloc(b->p, b->cap);
    }
    if (n) memcpy(b->p + b->n, s, n);
    b->n += n;
}

void pm_tok_buf_free(pm_tok_buf *b) {
    free(b->p);
    *b = (pm_tok_buf){0};
}

size_t pm_tok_char(const char *s, size_t n, int32_t *c) {
    if ((unsigned char)*s < 0x80) return *c = (unsigned char)*s, 1;
    utf8proc_ssize_t len =
        utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)(n < 4 ? n : 4), c);
    return len > 0 ? (size_t)len : 0;
}

/* Eight bytes at a time while they are ASCII, which most text is. */
size_t pm_tok_valid_prefix(const char *s, size_t n) {
    size_t i = 0;
    while (i < n) {
        uint64_t w;
        int32_t c;
        if (i + 8 <= n && (memcpy(&w, s + i, 8), (w & 0x8080808080808080u) == 0)) {
            i += 8;
            continue;
        }
        size_t len = pm_tok_char(s + i, n - i, &c);
        if (!len) break;
        i += len;
    }
    return i;
}

size_t pm_tok_invalid_prefix(const char *s, size_t n) {
    size_t i = 0;
    int32_t c;
    while (i < n && !pm_tok_char(s + i, n - i, &c)) i++;
    return i;
}

bool pm_tok_is_space(int32_t c) {
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool pm_tok_is_numeric(int32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

/* utf8proc has no Alphabetic property; outside L, M and Nl it holds the circled and squared letters of category So. */
bool pm_tok_is_word(int32_t c) {
    utf8proc_category_t k = utf8proc_category(c);
    bool letter_or_mark = k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_ME;
    bool enclosed = (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
                    (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
    return letter_or_mark || k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL ||
           k == UTF8PROC_CATEGORY_PC || enclosed || c == 0x200c || c == 0x200d;
}

const char *pm_tok_find_bytes(const char *s, size_t n, const char *what, size_t n_what) {
    if (!n_what) return NULL;
    for (const char *end = s + n; (size_t)(end - s) >= n_what; s++) {
        s = memchr(s, what[0], (size_t)(end - s) - n_what + 1);
        if (!s) return NULL;
        if (memcmp(s, what, n_what) == 0) return s;
    }
    return NULL;
}

/* Printable Latin-1 bytes stand for themselves; the other 68 are, in order, the characters from U+0100 on. */
static bool is_printable(int b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 255 && b != 173);
}
/* How many of the bytes below b, itself not printable, are not printable: they are 0..32, 127..160 and 173. */
static int hidden_below(int b) {
    if (b <= 32) return b;
    return b <= 160 ? 33 + b - 127 : 67;
}

size_t pm_tok_byte_char(uint8_t b, char out[2]) {
    int c = is_printable(b) ? b : 256 + hidden_below(b);
    if (c < 0x80) return out[0] = (char)c, 1;
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return 2;
}

int pm_tok_char_byte(int32_t c) {
    if (c < 256) return c >= 0 && is_printable(c) ? c : -1;
    int i = c - 256; /* the i-th byte that is not printable */
    if (i < 33) return i;
    if (i < 67) return i - 33 + 127;
    return i == 67 ? 173 : -1;
}
