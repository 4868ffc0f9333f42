/* tok_decode.c - the steps from a token's stored form back to text. Each reads `in` and appends to `out`, both whole tokens
 * (or, behind Fuse, the whole text). `first` says that it is the sequence's first token. */
#include "tok.h"
#include <string.h>

/* GPT-2's alphabet back to bytes; a token with any other character is not in that alphabet and stands for itself. */
pm_status pm_tok_dec_bytelevel(const pm_tok_step *st, bool first, const pm_tok_buf *in, pm_tok_buf *out) {
    (void)st, (void)first;
    size_t start = out->n;
    for (size_t i = 0, len; i < in->n; i += len) {
        int32_t c;
        len = pm_tok_char(in->p + i, in->n - i, &c);
        int b = len ? pm_tok_char_byte(c) : -1;
        if (b < 0) {
            out->n = start;
            pm_tok_buf_add(out, in->p, in->n);
            return PM_OK;
        }
        char byte = (char)b;
        pm_tok_buf_add(out, &byte, 1);
    }
    return PM_OK;
}

pm_status pm_tok_dec_replace(const pm_tok_step *st, bool first, const pm_tok_buf *in, pm_tok_buf *out) {
    (void)first;
    return pm_tok_norm_replace(st, in->p, in->n, out, NULL);
}

static int hex(char c) {
    const char *digits = "0123456789ABCDEF0123456789abcdef", *p = c ? strchr(digits, c) : NULL;
    return p ? (int)((p - digits) % 16) : -1;
}

/* "<0xE2>" is the byte 0xE2. */
pm_status pm_tok_dec_bytefallback(const pm_tok_step *st, bool first, const pm_tok_buf *in, pm_tok_buf *out) {
    (void)st, (void)first;
    bool shape = in->n == 6 && memcmp(in->p, "<0x", 3) == 0 && in->p[5] == '>';
    int hi = shape ? hex(in->p[3]) : -1, lo = shape ? hex(in->p[4]) : -1;
    char byte = (char)(hi * 16 + lo);
    if (hi >= 0 && lo >= 0)
        pm_tok_buf_add(out, &byte, 1);
    else
        pm_tok_buf_add(out, in->p, in->n);
    return PM_OK;
}

pm_status pm_tok_dec_strip(const pm_tok_step *st, bool first, const pm_tok_buf *in, pm_tok_buf *out) {
    (void)first;
    const char *p = in->p;
    size_t n = in->n, k = st->n_text;
    for (int i = 0; i < st->start && n >= k && memcmp(p, st->text, k) == 0; i++) p += k, n -= k;
    for (int i = 0; i < st->stop && n >= k && memcmp(p + n - k, st->text, k) == 0; i++) n -= k;
    pm_tok_buf_add(out, p, n);
    return PM_OK;
}

/* U+2581 becomes a space; in the first token it was put there by the pre-tokenizer and goes. */
pm_status pm_tok_dec_metaspace(const pm_tok_step *st, bool first, const pm_tok_buf *in, pm_tok_buf *out) {
    size_t k = st->n_text;
    for (size_t i = 0; i < in->n;) {
        bool mark = in->n - i >= k && memcmp(in->p + i, st->text, k) == 0;
        if (!mark)
            pm_tok_buf_add(out, in->p + i, 1);
        else if (!first || st->scheme == PM_TOK_NEVER)
            pm_tok_buf_add(out, " ", 1);
        i += mark ? k : 1;
    }
    return PM_OK;
}

/* From here on the steps see the whole text: pm_tokenizer_decode looks for this one by its address. */
pm_status pm_tok_dec_fuse(const pm_tok_step *st, bool first, const pm_tok_buf *in, pm_tok_buf *out) {
    (void)st, (void)first;
    pm_tok_buf_add(out, in->p, in->n);
    return PM_OK;
}
