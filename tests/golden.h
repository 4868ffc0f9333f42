/* golden.h - reading tests/golden: JSON files and raw floats. Absence or damage of a committed file is a failure
 * of the test, so the readers abort with the path instead of returning errors. */
#ifndef PM_GOLDEN_H
#define PM_GOLDEN_H
#include "base.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#define GOLDEN "tests/golden/"

/* The whole file, NUL-terminated; the caller frees it. n_bytes may be NULL. */
static inline char *golden_read(const char *path, size_t *n_bytes) {
    FILE *f = fopen(path, "rb");
    PM_ASSERT(f, "cannot read %s: tests run from the repository root", path);
    PM_ASSERT(!fseek(f, 0, SEEK_END), "%s", path);
    long n = ftell(f);
    rewind(f);
    char *p = malloc((size_t)n + 1);
    PM_ASSERT(p && fread(p, 1, (size_t)n, f) == (size_t)n, "%s", path);
    fclose(f);
    p[n] = 0;
    if (n_bytes) *n_bytes = (size_t)n;
    return p;
}

/* The caller deletes it. */
static inline cJSON *golden_json(const char *path) {
    char *text = golden_read(path, NULL);
    cJSON *j = cJSON_Parse(text);
    PM_ASSERT(j, "%s is not JSON", path);
    free(text);
    return j;
}

static inline const cJSON *golden_get(const cJSON *j, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, key);
    PM_ASSERT(v, "no %s in a golden file", key);
    return v;
}

static inline double golden_num(const cJSON *j, const char *key) {
    return golden_get(j, key)->valuedouble;
}

/* A string, or NULL where the file says null. */
static inline const char *golden_str(const cJSON *j, const char *key) {
    return golden_get(j, key)->valuestring;
}

/* An array of integers; *n of them; the caller frees it. */
static inline int32_t *golden_ids(const cJSON *array, int *n) {
    *n = cJSON_GetArraySize(array);
    int32_t *ids = malloc(sizeof *ids * (size_t)(*n ? *n : 1)), *p = ids;
    PM_ASSERT(ids, "out of memory");
    const cJSON *v;
    cJSON_ArrayForEach(v, array) *p++ = v->valueint;
    return ids;
}
#endif
