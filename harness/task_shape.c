/* task_shape.c - plain fields out of rows that come in a collection's own format ("rows" of a data entry).
 *
 * llm-adapters: {"instruction", "answer"} of Hu et al. 2023 (LLM-Adapters), which wrap a question as
 *   "<heading>: <question>\n\nAnswer1: <text> Answer2: <text>\n\nAnswer format: answer1/answer2": gives question, options, gold
 *   (from 0), answer. Yes/no rows have no options. Texts come back exactly as they went in, trailing blanks included.
 * blank: WinoGrande's sentence with one "_": gives before, after (trimmed), pair ("qID" up to its last "-": the same for twins; "" without one).
 * mawps: "number0" placeholders filled from Numbers; answer as a plain number.
 * svamp: question = Body and Question in one line; answer as a plain number.
 */
#include "task_priv.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 16 };

static void add_span(cJSON *object, const char *name, const char *p, const char *end) {
    char *s = pm_xstrndup(p, (size_t)(end - p));
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    cJSON_AddStringToObject(object, name, s);
    free(s);
}

static pm_status need_string(const cJSON *row, const char *name, const char **out, pm_err *e) {
    *out = pm_json_str(row, name, NULL);
    return *out ? PM_OK : pm_fail(e, PM_EFORMAT, "no text field \"%s\"", name);
}

/* ---- llm-adapters ---- */

/* The last occurrence of needle in [p, end). */
static const char *find_last(const char *p, const char *end, const char *needle) {
    const char *found = NULL;
    while ((p = strstr(p, needle)) && p < end) found = p++;
    return found;
}

/* A separator stands before every marker: an empty line, or one blank. */
static const char *trim_separator(const char *begin, const char *p) {
    if (p - begin >= 2 && p[-1] == '\n' && p[-2] == '\n') return p - 2;
    return p > begin && (p[-1] == ' ' || p[-1] == '\n') ? p - 1 : p;
}

/* "answer3" or "solution2": the option's word, as in the markers ("Answer", "Solution"), and how many the format line lists. */
static int parse_format(const char *format, char word[16]) {
    size_t n = strcspn(format, "0123456789/");
    if (!n || n > 14 || format[n] != '1') return 0;
    snprintf(word, 16, "%c%.*s", format[0] - 'a' + 'A', (int)n - 1, format + 1);
    int count = 1;
    for (const char *p = format; (p = strchr(p, '/')); p++) count++;
    return count;
}

/* The options between the question and the format line; each runs up to the next one's marker. */
static pm_status split_options(cJSON *row, const char *first, const char *end, const char *word, int n,
                               pm_err *e) {
    cJSON *options = cJSON_AddArrayToObject(row, "options");
    char marker[32];
    const char *p = first;
    for (int i = 1; i <= n; i++) {
        snprintf(marker, sizeof marker, "%s%d: ", word, i);
        p += strlen(marker);
        const char *next = end;
        snprintf(marker, sizeof marker, "%s%d: ", word, i + 1);
        if (i < n) next = strstr(p, marker);
        if (!next || next > end || next < p)
            return pm_fail(e, PM_EFORMAT, "option %s%d is missing", word, i + 1);
        const char *stop = next == end ? end : trim_separator(p, next);
        char *text = pm_xstrndup(p, (size_t)(stop - p));
        cJSON_AddItemToArray(options, cJSON_CreateString(text));
        free(text);
        p = next;
    }
    return PM_OK;
}

static pm_status shape_llm_adapters(cJSON *row, pm_err *e) {
    static const char tail[] = "Answer format: ";
    const char *text, *answer;
    char word[16], marker[32];
    pm_status st = need_string(row, "instruction", &text, e);
    if (!st) st = need_string(row, "answer", &answer, e);
    if (st) return st;
    const char *end = text + strlen(text), *question = strstr(text, ": "),
               *format = find_last(text, end, tail);
    if (!question || !format || format < question + 2)
        return pm_fail(e, PM_EFORMAT, "the instruction has no question or no \"%s\"", tail);
    question += 2;
    if (!strchr(format, '/')) return pm_fail(e, PM_EFORMAT, "the format line lists no answers");
    int n = parse_format(format + sizeof tail - 1, word);
    const char *stop = trim_separator(question, format), *first = stop;
    if (n) {
        snprintf(marker, sizeof marker, "\n\n%s1: ", word);
        first = strstr(question, marker);
        if (n < 2 || n > MAX_OPTIONS || !first || first >= stop)
            return pm_fail(e, PM_EFORMAT, "no options in the instruction");
    }
    add_span(row, "question", question, first);
    if (!n) return PM_OK;
    long gold = strtol(answer + strcspn(answer, "0123456789"), NULL, 10);
    if (gold < 1 || gold > n)
        return pm_fail(e, PM_EFORMAT, "answer \"%.40s\" is none of the %d options", answer, n);
    cJSON_AddNumberToObject(row, "gold", (double)(gold - 1));
    return split_options(row, first + 2, stop, word, n, e);
}

/* ---- blank ---- */

static pm_status shape_blank(cJSON *row, pm_err *e) {
    const char *s;
    pm_status st = need_string(row, "sentence", &s, e);
    if (st) return st;
    const char *blank = strchr(s, '_'), *end = s + strlen(s);
    if (!blank || strchr(blank + 1, '_'))
        return pm_fail(e, PM_EFORMAT, "the sentence has not exactly one blank");
    const char *after = blank + 1;
    while (*after == ' ') after++;
    while (end > after && end[-1] == ' ') end--;
    add_span(row, "before", s, blank);
    add_span(row, "after", after, end);
    const char *id = pm_json_str(row, "qID", ""), *dash = strrchr(id, '-');
    add_span(row, "pair", id, dash ? dash : id + strlen(id));
    return PM_OK;
}

/* ---- word problems ---- */

/* 56.0 -> 56, 0.16666666666666666 -> 0.16666666666666666. */
static bool plain_number(const char *text, size_t n, char out[40]) {
    char in[40], *stop;
    if (!n || n >= sizeof in) return false;
    memcpy(in, text, n), in[n] = 0;
    double v = strtod(in, &stop);
    if (*stop || !isfinite(v)) return false;
    snprintf(out, 40, "%.15g", v);
    if (strtod(out, NULL) != v) snprintf(out, 40, "%.17g", v);
    return true;
}

static pm_status set_number(cJSON *row, const char *name, const char *text, pm_err *e) {
    char out[40];
    if (!plain_number(text, strlen(text), out))
        return pm_fail(e, PM_EFORMAT, "\"%.40s\" is not a number", text);
    add_span(row, name, out, out + strlen(out));
    return PM_OK;
}

/* The k-th blank-separated word. */
static const char *word_at(const char *s, long k, size_t *n) {
    for (;; s += *n) {
        s += strspn(s, " ");
        *n = strcspn(s, " ");
        if (!*n) return NULL;
        if (!k--) return s;
    }
}

static pm_status shape_mawps(cJSON *row, pm_err *e) {
    const char *q, *numbers, *answer;
    pm_status st = need_string(row, "Question", &q, e);
    if (!st) st = need_string(row, "Numbers", &numbers, e);
    if (!st) st = need_string(row, "Answer", &answer, e);
    pm_buf b = {0};
    for (const char *hole; !st && (hole = strstr(q, "number"));) {
        char *stop, value[40];
        long k = strtol(hole + 6, &stop, 10);
        bool is_hole = hole[6] >= '0' && hole[6] <= '9';
        pm_buf_put(&b, q, (size_t)((is_hole ? hole : hole + 6) - q));
        q = is_hole ? stop : hole + 6;
        if (!is_hole) continue;
        size_t n;
        const char *w = word_at(numbers, k, &n);
        if (!w || !plain_number(w, n, value))
            st = pm_fail(e, PM_EFORMAT, "no value for number%ld in \"%.60s\"", k, numbers);
        else
            pm_buf_puts(&b, value);
    }
    if (!st) {
        pm_buf_puts(&b, q);
        add_span(row, "question", b.p, b.p + b.n);
        st = set_number(row, "answer", answer, e);
    }
    pm_buf_free(&b);
    return st;
}

static pm_status shape_svamp(cJSON *row, pm_err *e) {
    const char *body, *q;
    char answer[40];
    pm_status st = need_string(row, "Body", &body, e);
    if (!st) st = need_string(row, "Question", &q, e);
    if (st) return st;
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(row, "Answer");
    if (!cJSON_IsNumber(value)) return pm_fail(e, PM_EFORMAT, "no number field \"Answer\"");
    snprintf(answer, sizeof answer, "%.17g", value->valuedouble);
    pm_buf b = {0};
    size_t n = strlen(body);
    pm_buf_printf(&b, "%s%s %s", body, n && body[n - 1] == '.' ? "" : ".", q);
    add_span(row, "question", b.p, b.p + b.n);
    pm_buf_free(&b);
    return set_number(row, "answer", answer, e);
}

static const struct {
    const char *name;
    pm_status (*shape)(cJSON *row, pm_err *e);
} shapes[] = {{"llm-adapters", shape_llm_adapters},
              {"blank", shape_blank},
              {"mawps", shape_mawps},
              {"svamp", shape_svamp}};

pm_status pm_row_shape(const char *shape, cJSON *fields, pm_err *e) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shapes[i].name, shape) == 0) return shapes[i].shape(fields, e);
    return pm_fail(e, PM_EFORMAT, "unknown rows \"%s\"", shape);
}

bool pm_shape_known(const char *shape) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shapes[i].name, shape) == 0) return true;
    return false;
}
