/* tok_added.c - added tokens ("<|im_end|>"): found in the text before anything else, leftmost and longest first. */
#include "tok.h"
#include <stdlib.h>
#include <string.h>

void pm_tok_added_push(pm_tok_added_set *set, pm_tok_added a, const char *s, size_t n) {
    if (set->n == set->cap) {
        set->cap = set->cap * 2 + 32;
        set->a = pm_tok_realloc(set->a, (size_t)set->cap * sizeof *set->a);
    }
    a.s = pm_tok_realloc(NULL, n + 1);
    if (n) memcpy(a.s, s, n);
    a.s[n] = 0;
    a.n = n;
    set->a[set->n++] = a;
}

static int compare(const void *pa, const void *pb) {
    const pm_tok_added *a = pa, *b = pb;
    int by_first = (int)(unsigned char)a->s[0] - (int)(unsigned char)b->s[0];
    if (by_first) return by_first;
    if (a->n != b->n) return a->n > b->n ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

void pm_tok_added_sort(pm_tok_added_set *set) {
    if (set->n) qsort(set->a, (size_t)set->n, sizeof *set->a, compare);
    for (int c = 0, i = 0; c <= 256; c++) {
        while (i < set->n && (unsigned char)set->a[i].s[0] < c) i++;
        set->from[c] = i;
    }
}

void pm_tok_added_free(pm_tok_added_set *set) {
    for (int i = 0; i < set->n; i++) free(set->a[i].s);
    free(set->a);
    *set = (pm_tok_added_set){0};
}

/* The longest token that starts at s, or NULL. */
static const pm_tok_added *starts_at(const pm_tok_added_set *set, const char *s, size_t n) {
    int c = (unsigned char)*s;
    for (int i = set->from[c]; i < set->from[c + 1]; i++)
        if (set->a[i].n <= n && memcmp(set->a[i].s, s, set->a[i].n) == 0) return &set->a[i];
    return NULL;
}

/* The character that ends at s + n (n > 0); -1 when it is none. */
static int32_t char_before(const char *s, size_t n, size_t *len) {
    for (*len = 1; *len <= 4 && *len <= n; (*len)++) {
        int32_t c;
        if (pm_tok_char(s + n - *len, *len, &c) == *len) return c;
    }
    *len = 1;
    return -1;
}

static bool stands_alone(const char *s, size_t n, size_t b, size_t end) {
    size_t len;
    int32_t before = b ? char_before(s, b, &len) : -1, after = -1;
    if (end < n && !pm_tok_char(s + end, n - end, &after)) after = -1;
    return !(before >= 0 && pm_tok_is_word(before)) && !(after >= 0 && pm_tok_is_word(after));
}

static size_t spaces_before(const char *s, size_t b, size_t least) {
    size_t len;
    while (b > least && pm_tok_is_space(char_before(s, b, &len))) b -= len;
    return b > least ? b : least;
}

static size_t spaces_after(const char *s, size_t n, size_t end) {
    int32_t c;
    for (size_t len; end < n && (len = pm_tok_char(s + end, n - end, &c)) && pm_tok_is_space(c); end += len) {
    }
    return end;
}

/* As in the library, a match that does not count (single_word, special tokens switched off) is stepped over whole. */
pm_status pm_tok_added_split(pm_tok_run *r, const pm_tok_added_set *set, const char *s, size_t n,
                             pm_status (*rest)(pm_tok_run *r, const char *s, size_t n)) {
    size_t done = 0;
    for (size_t i = 0; i < n && set->n;) {
        const pm_tok_added *a = starts_at(set, s + i, n - i);
        if (!a) {
            i++;
            continue;
        }
        size_t b = i, end = i + a->n;
        i = end;
        if ((a->special && !r->special) || (a->single_word && !stands_alone(s, n, b, end))) continue;
        if (a->lstrip) b = spaces_before(s, b, done);
        if (a->rstrip) end = spaces_after(s, n, end);
        pm_status rc = b > done ? rest(r, s + done, b - done) : PM_OK;
        if (rc != PM_OK) return rc;
        pm_ids_push(r->out, a->id);
        done = end;
        if (i < end) i = end;
    }
    return done < n ? rest(r, s + done, n - done) : PM_OK;
}
