/* jsonio.c - small helpers over cJSON. See jsonio.h. */
#include "jsonio.h"
#include "field.h"
#include "unpack.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pm_status pm_json_parse(const pm_buf *text, const char *from, cJSON **out, pm_err *e) {
    const char *stop = text->p;
    *out = cJSON_ParseWithLengthOpts(text->p, text->n + 1, &stop, true);
    if (*out) return PM_OK;
    int line = 1, column = 1;
    for (const char *p = text->p; p < stop && *p; p++) column = *p == '\n' ? line++, 1 : column + 1;
    return pm_fail(e, PM_EFORMAT, "%s: not valid JSON at line %d, column %d", from, line, column);
}

pm_status pm_json_read(const char *path, cJSON **out, pm_err *e) {
    pm_buf text = {0};
    pm_status st = pm_file_read(path, NULL, &text, e);
    if (st) return st;
    st = pm_json_parse(&text, path, out, e);
    pm_buf_free(&text);
    return st;
}

/* Sorted, so that an object of very many keys takes no time that matters. */
static const char *doubled_here(const cJSON *object) {
    int n = cJSON_GetArraySize(object), i = 0;
    const char **key = pm_xalloc(((size_t)n + 1) * sizeof *key), *found = NULL;
    for (const cJSON *c = object->child; c; c = c->next) key[i++] = c->string;
    qsort(key, (size_t)n, sizeof *key, pm_by_text);
    for (i = 1; i < n && !found; i++)
        if (strcmp(key[i - 1], key[i]) == 0) found = key[i];
    free(key);
    return found;
}

const char *pm_json_doubled(const cJSON *j) {
    const char *found = cJSON_IsObject(j) ? doubled_here(j) : NULL;
    for (const cJSON *c = j->child; c && !found; c = c->next) found = pm_json_doubled(c);
    return found;
}

const char *pm_json_str(const cJSON *object, const char *key, const char *def) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(v) ? v->valuestring : def;
}

double pm_json_number(const cJSON *object, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(v) ? v->valuedouble : (double)NAN;
}

int pm_json_int(const cJSON *object, const char *key, int def) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);
    bool fits =
        cJSON_IsNumber(v) && fabs(v->valuedouble) <= 2147483647.0 && floor(v->valuedouble) == v->valuedouble;
    return fits ? (int)v->valuedouble : def;
}

static pm_status hint_known(const char *const *known, int n, pm_err *e) {
    char list[200] = "";
    size_t used = 0;
    for (int i = 0; i < n && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", known[i]);
    return pm_hint(e, "known: %s", list);
}

pm_status pm_json_known(const cJSON *object, const char *where, const char *const *known, int n, pm_err *e) {
    for (const cJSON *c = object->child; c; c = c->next) {
        int i = 0;
        while (i < n && strcmp(known[i], c->string) != 0) i++;
        if (i < n && cJSON_GetObjectItemCaseSensitive(object, c->string) != c) {
            pm_fail(e, PM_EFORMAT, "%s: \"%s\" is there twice", where, c->string);
            return pm_hint(e, "keep one of the two");
        }
        if (i < n) continue;
        const char *near = pm_nearest(c->string, known, n);
        pm_fail(e, PM_EFORMAT, "%s: unknown key \"%.100s\"", where, c->string);
        return near ? pm_hint(e, "did you mean \"%s\"?", near) : hint_known(known, n, e);
    }
    return PM_OK;
}

bool pm_is_sha256(const char *s) {
    return strlen(s) == 64 && strspn(s, "0123456789abcdefABCDEF") == 64;
}

void pm_json_keep(cJSON *object, bool (*keep)(const char *key)) {
    for (cJSON *v = object->child, *next; v; v = next) {
        next = v->next;
        if (!keep(v->string)) cJSON_Delete(cJSON_DetachItemViaPointer(object, v));
    }
}
