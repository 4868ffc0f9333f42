/* tok_normalize.c - what is done to the text before it is cut: Unicode normal forms, Prepend, Replace, Strip.
 *
 * Bytes that belong to no UTF-8 character pass through every step unchanged.
 */
#include "tok.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static bool is_ascii(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] >= 0x80) return false;
    return true;
}

static pm_status map_form(int form, const char *s, size_t n, pm_tok_buf *out, pm_err *e) {
    utf8proc_uint8_t *made = NULL;
    utf8proc_ssize_t got =
        utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &made, (utf8proc_option_t)form);
    if (got < 0) return pm_fail(e, PM_EFORMAT, "tokenizer: Unicode normalisation: %s", utf8proc_errmsg(got));
    pm_tok_buf_add(out, (const char *)made, (size_t)got);
    free(made);
    return PM_OK;
}

pm_status pm_tok_norm_form(const pm_tok_step *st, const char *s, size_t n, pm_tok_buf *out, pm_err *e) {
    if (is_ascii(s, n)) return pm_tok_buf_add(out, s, n), PM_OK;
    for (size_t i = 0; i < n;) {
        size_t good = pm_tok_valid_prefix(s + i, n - i);
        pm_status rc = good ? map_form(st->form, s + i, good, out, e) : PM_OK;
        if (rc != PM_OK) return rc;
        i += good;
        size_t bad = i < n ? pm_tok_invalid_prefix(s + i, n - i) : 0;
        pm_tok_buf_add(out, s + i, bad);
        i += bad;
    }
    return PM_OK;
}

pm_status pm_tok_norm_prepend(const pm_tok_step *st, const char *s, size_t n, pm_tok_buf *out, pm_err *e) {
    (void)e;
    if (n) pm_tok_buf_add(out, st->text, st->n_text);
    pm_tok_buf_add(out, s, n);
    return PM_OK;
}

static pm_status replace_valid(const pm_tok_step *st, pcre2_match_data *md, const char *s, size_t n,
                               pm_tok_buf *out, pm_err *e) {
    size_t done = 0, from = 0, b, end;
    int rc = 0;
    while (from <= n && (rc = pm_tok_match(st, md, s, n, from, &b, &end)) == 1) {
        pm_tok_buf_add(out, s + done, b - done);
        pm_tok_buf_add(out, st->text, st->n_text);
        done = end;
        int32_t c;
        from = end > b ? end : end + (end < n ? pm_tok_char(s + end, n - end, &c) : 1);
    }
    if (rc < 0)
        return pm_fail(e, PM_EFORMAT,
                       "tokenizer: the normaliser's pattern gave up on this text (PCRE2 error %d)", rc);
    pm_tok_buf_add(out, s + done, n - done);
    return PM_OK;
}

pm_status pm_tok_norm_replace(const pm_tok_step *st, const char *s, size_t n, pm_tok_buf *out, pm_err *e) {
    if (st->lit) return replace_valid(st, NULL, s, n, out, e); /* bytes are compared: any text will do */
    pcre2_match_data *md = pcre2_match_data_create(1, NULL);
    PM_ASSERT(md != NULL, "out of memory: pcre2 match data");
    pm_status rc = PM_OK;
    for (size_t i = 0; i < n && rc == PM_OK;) {
        size_t good = pm_tok_valid_prefix(s + i, n - i);
        if (good) rc = replace_valid(st, md, s + i, good, out, e);
        i += good;
        size_t bad = i < n ? pm_tok_invalid_prefix(s + i, n - i) : 0;
        pm_tok_buf_add(out, s + i, bad);
        i += bad;
    }
    pcre2_match_data_free(md);
    return rc;
}

/* The last character's start. */
static size_t last_char(const char *s, size_t n) {
    size_t i = n - 1;
    while (i > 0 && n - i < 4 && ((unsigned char)s[i] & 0xc0) == 0x80) i--;
    return i;
}

pm_status pm_tok_norm_strip(const pm_tok_step *st, const char *s, size_t n, pm_tok_buf *out, pm_err *e) {
    (void)e;
    int32_t c = 0;
    for (size_t len; st->left && n && (len = pm_tok_char(s, n, &c)) && pm_tok_is_space(c); s += len) n -= len;
    for (size_t at; st->right && n && (at = last_char(s, n), pm_tok_char(s + at, n - at, &c) == n - at) &&
                    pm_tok_is_space(c);)
        n = at;
    pm_tok_buf_add(out, s, n);
    return PM_OK;
}

pm_status pm_tok_normalize(const pm_tok_steps *l, const char **s, size_t *n, pm_tok_buf *a, pm_tok_buf *b,
                           pm_err *e) {
    for (int i = 0; i < l->n; i++) {
        pm_tok_buf *out = i % 2 ? b : a;
        out->n = 0;
        pm_status rc = l->step[i].run.normalize(&l->step[i], *s, *n, out, e);
        if (rc != PM_OK) return rc;
        pm_tok_buf_add(out, "", 0); /* never NULL */
        *s = out->p;
        *n = out->n;
    }
    return PM_OK;
}
