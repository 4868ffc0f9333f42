/* task_render.c - templates, options, the gold answer, and the content hash that says whether two rows are the same question.
 *
 * A template is plain text; {field} is a row's field, {option} the option at hand, {{ and }} are braces. No code.
 */
#include "field.h"
#include "sha256.h"
#include "task_priv.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_CAP = 64, MAX_FIELDS = 64 };

static pm_status no_such_field(const cJSON *fields, const char *name, pm_err *e) {
    const char *known[MAX_FIELDS] = {NULL};
    int n = 0;
    for (const cJSON *c = fields->child; c && n < MAX_FIELDS; c = c->next) known[n++] = c->string;
    const char *near = pm_nearest(name, known, n);
    pm_fail(e, PM_EFORMAT, "the row has no field \"%s\"", name);
    return pm_hint(e, "%s \"%s\"", near ? "did you mean" : "its first field is",
                   near ? near
                   : n  ? known[0]
                        : "");
}

/* Text of a scalar field: strings as they are, whole numbers without a point, true and false. */
static pm_status put_field(const cJSON *fields, const char *name, pm_buf *out, pm_err *e) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(fields, name);
    if (!v) return no_such_field(fields, name, e);
    if (cJSON_IsString(v))
        pm_buf_puts(out, v->valuestring);
    else if (cJSON_IsBool(v))
        pm_buf_puts(out, cJSON_IsTrue(v) ? "true" : "false");
    else if (cJSON_IsNumber(v))
        pm_buf_printf(out, v->valuedouble == floor(v->valuedouble) ? "%.0f" : "%.15g", v->valuedouble);
    else
        return pm_fail(e, PM_EFORMAT, "field \"%s\" is no text, number or truth value", name);
    return PM_OK;
}

pm_status pm_render(const char *template, const cJSON *fields, const char *option, pm_buf *out, pm_err *e) {
    char name[NAME_CAP];
    pm_status st = PM_OK;
    for (const char *p = template; *p && !st;) {
        size_t n = strcspn(p, "{}");
        pm_buf_put(out, p, n);
        p += n;
        if (!*p) break;
        if (p[0] == p[1]) {
            pm_buf_put(out, p, 1);
            p += 2;
            continue;
        }
        size_t len = strcspn(p + 1, "{}");
        if (*p == '}' || p[1 + len] != '}' || !len || len >= NAME_CAP)
            return pm_fail(e, PM_EFORMAT, "template \"%.80s\": a brace is not part of {field}, {{ or }}",
                           template);
        memcpy(name, p + 1, len), name[len] = 0;
        if (strcmp(name, "option") == 0)
            pm_buf_puts(out, option);
        else
            st = put_field(fields, name, out, e);
        p += len + 2;
    }
    return st;
}

/* ---- options ---- */

/* Where the option texts come from: a classify task's words, a list field of the row, or a list of templates. */
static const cJSON *option_list(const pm_task *t, const cJSON *fields, bool *templates) {
    const cJSON *choices = cJSON_GetObjectItemCaseSensitive(t->json, "choices");
    *templates = cJSON_IsArray(choices);
    if (t->kind == PM_TASK_CLASSIFY)
        return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(t->json, "labels"), "words");
    return *templates ? choices : cJSON_GetObjectItemCaseSensitive(fields, choices->valuestring);
}

pm_status pm_options(const pm_task *t, const cJSON *fields, char ***text, int *n, pm_err *e) {
    bool templates;
    const cJSON *list = option_list(t, fields, &templates);
    int count = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (count < 2) return pm_fail(e, PM_EFORMAT, "fewer than two options");
    *text = pm_xalloc((size_t)count * sizeof **text);
    *n = 0;
    pm_status st = PM_OK;
    for (const cJSON *c = list->child; c && !st; c = c->next) {
        pm_buf b = {0};
        if (!cJSON_IsString(c))
            st = pm_fail(e, PM_EFORMAT, "option %d is not text", *n + 1);
        else if (templates)
            st = pm_render(c->valuestring, fields, "", &b, e);
        else
            pm_buf_puts(&b, c->valuestring);
        (*text)[(*n)++] = pm_buf_take(&b);
    }
    if (st) pm_options_free(*text, *n);
    return st;
}

void pm_options_free(char **text, int n) {
    for (int i = 0; i < n; i++) free(text[i]);
    free(text);
}

/* The gold option: the position of the label field's text in "values", or the field itself, counted from 0. */
pm_status pm_gold(const pm_task *t, const cJSON *fields, int n_options, int *gold, pm_err *e) {
    const cJSON *labels = cJSON_GetObjectItemCaseSensitive(t->json, "labels");
    const cJSON *values = cJSON_GetObjectItemCaseSensitive(labels, "values"),
                *v = values ? values->child : NULL;
    const char *field = pm_json_str(labels, "field", "");
    pm_buf text = {0};
    pm_status st = put_field(fields, field, &text, e);
    if (st) return st;
    *gold = -1;
    for (int i = 0; v; i++, v = v->next)
        if (strcmp(v->valuestring, text.p) == 0) *gold = i;
    char *stop = text.p;
    if (!values && text.n) *gold = (int)strtol(text.p, &stop, 10);
    if (*stop && !values) *gold = -1;
    if (*gold < 0 || *gold >= n_options)
        st = pm_fail(e, PM_EFORMAT, "label \"%.40s\" (field \"%s\") names none of the %d options", text.p,
                     field, n_options);
    pm_buf_free(&text);
    return st;
}

/* ---- content hash ---- */

/* Lower case (ASCII), runs of white space one blank, none at the ends: what makes two spellings the same question. */
static char *normalise(const char *s) {
    char *out = pm_xalloc(strlen(s) + 1);
    size_t n = 0;
    for (; *s; s++) {
        bool space = *s == ' ' || (*s >= '\t' && *s <= '\r');
        char c = space ? ' ' : *s >= 'A' && *s <= 'Z' ? (char)(*s - 'A' + 'a') : *s;
        if (!space || (n && out[n - 1] != ' ')) out[n++] = c;
    }
    if (n && out[n - 1] == ' ') n--;
    out[n] = 0;
    return out;
}

static void update_text(pm_sha256 *s, const char *text) {
    char *plain = normalise(text);
    pm_sha256_update(s, plain, strlen(plain) + 1); /* the NUL keeps neighbours apart */
    free(plain);
}

static pm_status hash_options(const pm_task *t, const cJSON *fields, pm_sha256 *s, pm_err *e) {
    char **text;
    int n;
    pm_status st = pm_options(t, fields, &text, &n, e);
    if (st) return st;
    qsort(text, (size_t)n, sizeof *text, pm_by_text);
    for (int i = 0; i < n; i++) update_text(s, text[i]);
    pm_options_free(text, n);
    return PM_OK;
}

pm_status pm_row_hash(const pm_task *t, pm_row *row, pm_err *e) {
    bool scored = t->kind == PM_TASK_CHOICE || t->kind == PM_TASK_CLASSIFY;
    pm_buf b = {0};
    pm_sha256 s;
    pm_sha256_init(&s);
    pm_status st = pm_render(pm_json_str(t->json, "prompt", ""), row->fields, "", &b, e);
    /* WinoGrande's twins differ only after the blank, which is in the answer's template. */
    if (!st && scored)
        pm_buf_puts(&b, " "), st = pm_render(pm_json_str(t->json, "answer", ""), row->fields, "", &b, e);
    if (!st) update_text(&s, b.p ? b.p : "");
    if (!st && scored) st = hash_options(t, row->fields, &s, e);
    pm_sha256_hex(&s, row->hash);
    pm_buf_free(&b);
    return st;
}
