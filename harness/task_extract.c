/* task_extract.c - the answer in a generated text. Two texts agree when their extracts are equal and not empty.
 *
 * marked_number: the first match of lm-evaluation-harness's gsm8k strict filter, `#### (\-?[0-9\.\,]+)`;
 * last_number: the last match of its flexible filter, `(-?[$0-9.,]{2,})|(-?[0-9]+)`; both then lose commas, dollar signs and a final
 *   point, as the harness's exact_match ignores them.
 * last_value: the last number, as a value: 1,200.50 and 1200.5 are the same (LLM-Adapters strips commas likewise).
 * line: the first line that is not empty, without blanks at its ends.
 */
#include "task_priv.h"
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Without ',', '$' and a final '.'. */
static char *clean(const char *p, size_t n) {
    pm_buf b = {0};
    for (size_t i = 0; i < n; i++)
        if (p[i] != ',' && p[i] != '$') pm_buf_put(&b, &p[i], 1);
    if (b.n && b.p[b.n - 1] == '.') b.p[--b.n] = 0;
    return pm_buf_take(&b);
}

static char *marked_number(const char *text) {
    static const char mark[] = "#### ";
    for (const char *p = text; (p = strstr(p, mark)); p++) {
        const char *number = p + sizeof mark - 1;
        size_t sign = *number == '-', n = strspn(number + sign, "0123456789.,");
        if (n) return clean(number, sign + n);
    }
    return pm_xstrndup("", 0);
}

/* Length of the flexible filter's match at p; 0: none. */
static size_t flexible_match(const char *p) {
    size_t sign = *p == '-', run = strspn(p + sign, "$0123456789.,");
    if (run >= 2) return sign + run;
    return is_digit(p[sign]) ? sign + 1 : 0;
}

static char *last_number(const char *text) {
    const char *found = text;
    size_t n = 0;
    for (const char *p = text; *p;) {
        size_t k = flexible_match(p);
        if (k) found = p, n = k;
        p += k ? k : 1;
    }
    return clean(found, n);
}

/* -?digits, commas between digits allowed, and an optional fraction; 0: none at p. */
static size_t value_match(const char *p) {
    const char *q = p + (*p == '-');
    if (!is_digit(*q)) return 0;
    while (is_digit(*q) || (*q == ',' && is_digit(q[1]))) q++;
    if (*q == '.' && is_digit(q[1]))
        for (q++; is_digit(*q);) q++;
    return (size_t)(q - p);
}

/* No leading zeros, no zeros at the end of a fraction, no negative zero. */
static char *canonical(char *s) {
    bool negative = *s == '-';
    char *digits = s + negative;
    while (*digits == '0' && is_digit(digits[1])) digits++;
    if (strchr(digits, '.')) {
        char *end = digits + strlen(digits);
        while (end[-1] == '0') *--end = 0;
        if (end[-1] == '.') *--end = 0;
    }
    pm_buf b = {0};
    if (negative && strcmp(digits, "0") != 0) pm_buf_puts(&b, "-");
    pm_buf_puts(&b, digits);
    free(s);
    return pm_buf_take(&b);
}

static char *last_value(const char *text) {
    const char *found = NULL;
    size_t n = 0;
    for (const char *p = text; *p;) {
        size_t k = value_match(p);
        if (k) found = p, n = k;
        p += k ? k : 1;
    }
    return found ? canonical(clean(found, n)) : pm_xstrndup("", 0);
}

static char *line(const char *text) {
    text += strspn(text, " \t\r\n");
    size_t n = strcspn(text, "\r\n");
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t')) n--;
    return pm_xstrndup(text, n);
}

static const struct {
    const char *name;
    char *(*extract)(const char *text);
} extractors[] = {{"marked_number", marked_number},
                  {"last_number", last_number},
                  {"last_value", last_value},
                  {"line", line}};
enum { N_EXTRACTORS = sizeof extractors / sizeof *extractors };

static int extract_index(const char *name) {
    for (int i = 0; i < N_EXTRACTORS; i++)
        if (strcmp(extractors[i].name, name) == 0) return i;
    return -1;
}

bool pm_extract_known(const char *extract) {
    return extract_index(extract) >= 0;
}

char *pm_text_extract(const char *how, const char *text) {
    int i = extract_index(how);
    PM_ASSERT(i >= 0, "extractor %s", how);
    return extractors[i].extract(text);
}

char *pm_task_extract(const pm_task *t, const char *text) {
    return pm_text_extract(t->extract, text);
}

char *pm_task_extract_flexible(const pm_task *t, const char *text) {
    return *t->extract_flexible ? pm_text_extract(t->extract_flexible, text) : NULL;
}
