/* field.c - reads and prints settings through a table of fields.
 *
 * Why: one row per setting gives parsing, range checks, --help, the database's config column and
 * adapter_config.json, so a method brings a table and no parsing code. A value is either exactly what was
 * meant or refused: no trailing garbage, no silent clamp.
 */
#include "field.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- did you mean
 * -------------------------------------------------------------------------------------------------------- */

enum { WORD_MAX = 64 };

static int min3(int a, int b, int c) {
    int m = a < b ? a : b;
    return m < c ? m : c;
}

/* Damerau-Levenshtein distance in its optimal-string-alignment form: insertions, deletions, substitutions and
 * swaps of neighbours cost 1 each (Damerau 1964). Words of WORD_MAX letters or more are infinitely far. */
static int edit_distance(const char *a, const char *b) {
    int n = (int)strnlen(a, WORD_MAX), m = (int)strnlen(b, WORD_MAX);
    if (n == WORD_MAX || m == WORD_MAX) return INT_MAX;
    int row[3][WORD_MAX + 1];
    int *before = row[0], *last = row[1], *cur = row[2];
    for (int j = 0; j <= m; j++) last[j] = j;
    for (int i = 1; i <= n; i++) {
        cur[0] = i;
        for (int j = 1; j <= m; j++) {
            cur[j] = min3(cur[j - 1] + 1, last[j] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < cur[j]) cur[j] = before[j - 2] + 1;
        }
        int *oldest = before;
        before = last, last = cur, cur = oldest;
    }
    return last[m];
}

/* Near: at most one edit in three letters, and never a different word altogether. */
const char *pm_nearest(const char *word, const char *const *known, int n) {
    const char *best = NULL;
    int allowed = ((int)strnlen(word, WORD_MAX) + 2) / 3, best_d = allowed + 1;
    for (int i = 0; i < n; i++) {
        int d = edit_distance(word, known[i]);
        if (d >= best_d || d >= (int)strlen(known[i])) continue;
        best = known[i], best_d = d;
    }
    return best;
}

/* ---- the table
 * -----------------------------------------------------------------------------------------------------------
 */

const pm_field *pm_field_find(const pm_field *f, const char *key) {
    for (; f->key; f++)
        if (strcmp(f->key, key) == 0) return f;
    return NULL;
}

enum { KEYS_MAX = 128 };

/* Appends words to a comma list; a word that does not fit is dropped whole. */
static void list_add(char *out, size_t cap, const char *word, size_t len) {
    size_t used = strlen(out);
    if (used + len + 3 > cap) return;
    snprintf(out + used, cap - used, "%s%.*s", used ? ", " : "", (int)len, word);
}

static pm_status unknown_key(const pm_field *f, const char *prefix, const char *key, pm_err *e) {
    const char *known[KEYS_MAX] = {NULL};
    char list[200] = "";
    int n = 0;
    for (; n < KEYS_MAX && f[n].key; n++) {
        known[n] = f[n].key;
        list_add(list, sizeof list, known[n], strlen(known[n]));
    }
    const char *near = pm_nearest(key, known, n);
    pm_fail(e, PM_EUSAGE, "%s%.64s: no such setting", prefix, key);
    if (near) return pm_hint(e, "did you mean %s%s?", prefix, near);
    return n ? pm_hint(e, "settings here: %s", list) : pm_hint(e, "there are no settings under %s", prefix);
}

/* ---- one parser and one printer per type
 * --------------------------------------------------------------------------------- */

static bool any_range(const pm_field *f) {
    return f->min == 0 && f->max == 0;
}

static bool in_range(const pm_field *f, double x) {
    return any_range(f) || (x >= f->min && x <= f->max);
}

static const char *parse_int(const pm_field *f, void *at, const char *s) {
    char *end;
    if (!isdigit((unsigned char)s[s[0] == '-' || s[0] == '+'])) return "is not a whole number";
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (*end) return "is not a whole number";
    if (errno == ERANGE || v < INT_MIN || v > INT_MAX || !in_range(f, (double)v)) return "is out of range";
    *(int *)at = (int)v;
    return NULL;
}

/* strtod also reads hexadecimal, "nan" and "inf": a number here starts with a digit or a point and has no x.
 */
static const char *parse_real(const pm_field *f, void *at, const char *s) {
    const char *digits = s + (s[0] == '-' || s[0] == '+');
    char *end;
    bool plain = isdigit((unsigned char)digits[0]) || (digits[0] == '.' && isdigit((unsigned char)digits[1]));
    if (!plain || strpbrk(s, "xX")) return "is not a number";
    errno = 0;
    double v = strtod(s, &end);
    if (*end) return "is not a number";
    if (errno == ERANGE || !isfinite(v) || !in_range(f, v)) return "is out of range";
    *(double *)at = v;
    return NULL;
}

static const char *parse_bool(const pm_field *f, void *at, const char *s) {
    static const char *const word[] = {"false", "true", "0", "1", "no", "yes"}; /* odd places are true */
    (void)f;
    for (int i = 0; i < 6; i++)
        if (strcasecmp(s, word[i]) == 0) {
            *(bool *)at = i % 2;
            return NULL;
        }
    return "is neither true nor false";
}

static const char *parse_string(const pm_field *f, void *at, const char *s) {
    (void)f;
    size_t n = strlen(s);
    if (n >= PM_FIELD_STR) return "is too long";
    for (size_t i = 0; i < n; i++)
        if (iscntrl((unsigned char)s[i])) return "holds a control character";
    memcpy(at, s, n + 1);
    return NULL;
}

/* The i-th of "a|b|c"; NULL past the end. */
static const char *choice_at(const char *choices, int i, size_t *len) {
    for (; i > 0; i--) {
        choices = strchr(choices, '|');
        if (!choices) return NULL;
        choices++;
    }
    *len = strcspn(choices, "|");
    return choices;
}

static const char *parse_enum(const pm_field *f, void *at, const char *s) {
    size_t n;
    const char *c;
    for (int i = 0; (c = choice_at(f->choices, i, &n)); i++)
        if (strlen(s) == n && memcmp(c, s, n) == 0) {
            *(int *)at = i;
            return NULL;
        }
    return "is not one of the choices";
}

static void print_int(const pm_field *f, const void *at, char *out, size_t cap) {
    (void)f;
    snprintf(out, cap, "%d", *(const int *)at);
}

void pm_real_text(double v, char *out, size_t cap) {
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, cap, "%.*g", digits, v);
        if (strtod(out, NULL) == v) return;
    }
}

static void print_real(const pm_field *f, const void *at, char *out, size_t cap) {
    (void)f;
    pm_real_text(*(const double *)at, out, cap);
}

static void print_bool(const pm_field *f, const void *at, char *out, size_t cap) {
    (void)f;
    snprintf(out, cap, "%s", *(const bool *)at ? "true" : "false");
}

static void print_string(const pm_field *f, const void *at, char *out, size_t cap) {
    (void)f;
    snprintf(out, cap, "%s", (const char *)at);
}

static void print_enum(const pm_field *f, const void *at, char *out, size_t cap) {
    size_t n;
    const char *c = choice_at(f->choices, *(const int *)at, &n);
    PM_ASSERT(c, "%s: value %d of \"%s\"", f->key, *(const int *)at, f->choices);
    snprintf(out, cap, "%.*s", (int)n, c);
}

/* `expected` completes "expected ..." in a hint. A parser returns NULL or what is wrong with the value. */
static const struct {
    const char *expected;
    const char *(*parse)(const pm_field *f, void *at, const char *s);
    void (*print)(const pm_field *f, const void *at, char *out, size_t cap);
} type_ops[] = {
    [PM_FIELD_INT] = {"a whole number", parse_int, print_int},
    [PM_FIELD_REAL] = {"a number such as 0.5 or 1e-3", parse_real, print_real},
    [PM_FIELD_BOOL] = {"true or false", parse_bool, print_bool},
    [PM_FIELD_STRING] = {"one line of at most 511 bytes", parse_string, print_string},
    [PM_FIELD_ENUM] = {"one of", parse_enum, print_enum},
};

static pm_status bad_value(const pm_field *f, const char *prefix, const char *value, const char *why,
                           pm_err *e) {
    const char *expected = type_ops[f->type].expected;
    pm_fail(e, PM_EUSAGE, "%s%s: \"%.64s\" %s", prefix, f->key, value, why);
    if (f->type == PM_FIELD_ENUM) return pm_hint(e, "expected %s %s: %s", expected, f->choices, f->help);
    bool number = f->type == PM_FIELD_INT || f->type == PM_FIELD_REAL;
    if (!number || any_range(f)) return pm_hint(e, "expected %s: %s", expected, f->help);
    return pm_hint(e, "expected %s from %.15g to %.15g: %s", expected, f->min, f->max, f->help);
}

pm_status pm_field_set(const pm_field *f, void *cfg, const char *prefix, const char *key, const char *value,
                       pm_err *e) {
    const pm_field *row = pm_field_find(f, key);
    if (!row) return unknown_key(f, prefix, key, e);
    const char *why = type_ops[row->type].parse(row, (char *)cfg + row->offset, value);
    return why ? bad_value(row, prefix, value, why, e) : PM_OK;
}

void pm_field_get(const pm_field *f, const void *cfg, char *out, size_t cap) {
    type_ops[f->type].print(f, (const char *)cfg + f->offset, out, cap);
}

void pm_fields_defaults(const pm_field *f, void *cfg) {
    for (; f->key; f++) {
        const char *why = type_ops[f->type].parse(f, (char *)cfg + f->offset, f->def);
        PM_ASSERT(!why, "default of %s: \"%s\" %s", f->key, f->def, why);
    }
}
