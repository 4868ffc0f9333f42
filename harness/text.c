/* text.c - a growing byte buffer, checked allocations and path arithmetic. See text.h. */
#include "text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void *pm_xalloc(size_t bytes) {
    void *p = calloc(1, bytes ? bytes : 1);
    PM_ASSERT(p, "out of memory: %zu bytes", bytes);
    return p;
}

void *pm_xrealloc(void *p, size_t bytes) {
    void *q = realloc(p, bytes ? bytes : 1);
    PM_ASSERT(q, "out of memory: %zu bytes", bytes);
    return q;
}

int pm_by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char *pm_xstrndup(const char *s, size_t n) {
    char *p = pm_xalloc(n + 1);
    memcpy(p, s, n);
    return p;
}

enum { LEAST = 64 }; /* bytes beyond what is asked for: most texts are a sentence, put together from words */

/* Room for n more bytes and the terminator. */
static void reserve(pm_buf *b, size_t n) {
    PM_ASSERT(n < SIZE_MAX / 4 && b->n < SIZE_MAX / 4, "buffer of %zu + %zu bytes", b->n, n);
    if (b->n + n + 1 <= b->cap) return;
    b->cap = b->n + n + 1 + (b->cap > LEAST ? b->cap : LEAST);
    b->p = pm_xrealloc(b->p, b->cap);
}

void pm_buf_put(pm_buf *b, const void *bytes, size_t n) {
    reserve(b, n);
    if (n) memcpy(b->p + b->n, bytes, n);
    b->n += n;
    b->p[b->n] = 0;
}

void pm_buf_puts(pm_buf *b, const char *s) {
    pm_buf_put(b, s, strlen(s));
}

void pm_buf_printf(pm_buf *b, const char *fmt, ...) {
    va_list a, again;
    va_start(a, fmt);
    va_copy(again, a);
    int n = vsnprintf(NULL, 0, fmt, a);
    va_end(a);
    PM_ASSERT(n >= 0, "format %s", fmt);
    reserve(b, (size_t)n);
    vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
    va_end(again);
    b->n += (size_t)n;
}

void pm_buf_read(pm_buf *b, FILE *f) {
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) pm_buf_put(b, part, n);
}

void pm_buf_free(pm_buf *b) {
    free(b->p);
    *b = (pm_buf){0};
}

char *pm_buf_take(pm_buf *b) {
    char *p = b->p ? b->p : pm_xalloc(1);
    *b = (pm_buf){0};
    return p;
}

char *pm_utf8_clean(const char *s) {
    size_t n = strlen(s);
    char *out = pm_xalloc(3 * n + 1), *to = out;
    while (n) {
        utf8proc_int32_t c;
        utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &c);
        size_t in = used > 0 ? (size_t)used : 1, made = used > 0 ? in : 3;
        memcpy(to, used > 0 ? s : "\xef\xbf\xbd", made);
        to += made, s += in, n -= in;
    }
    return out;
}

pm_status pm_path_join(char *out, size_t cap, const char *dir, const char *name, pm_err *e) {
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/') n--;
    int k = snprintf(out, cap, "%.*s%s%s", (int)n, dir, n == 1 && dir[0] == '/' ? "" : "/", name);
    if (k < 0 || (size_t)k >= cap) return pm_fail(e, PM_EIO, "path too long: %.200s/%.200s", dir, name);
    return PM_OK;
}

bool pm_path_is_inside(const char *rel) {
    if (!*rel || *rel == '/') return false;
    for (const char *p = rel; *p;) {
        size_t n = strcspn(p, "/");
        if (!n || (n == 2 && p[0] == '.' && p[1] == '.')) return false;
        p += n;
        if (*p == '/' && !*++p) return false;
    }
    return true;
}

bool pm_path_ends(const char *path, const char *suffix) {
    size_t n = strlen(path), k = strlen(suffix);
    return n >= k && strcmp(path + n - k, suffix) == 0;
}
