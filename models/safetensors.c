/* safetensors.c - Hugging Face's tensor container, one file or a sharded set.
 *
 * Layout: u64 header length, that many bytes of JSON {"name": {"dtype", "shape", "data_offsets": [begin,
 * end]}, "__metadata__": {..}}, data.
 * Invariant, as in the reference implementation: the tensors, sorted by offset, cover the data without gap or
 * overlap. So a truncated or spliced file is always noticed, and no two names share bytes.
 */
#include "bytes.h"
#include "weights.h"
#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { MAX_HEADER = 100 * 1000 * 1000 }; /* the reference's limit */

typedef struct shard {
    char *file; /* as in the index; NULL for a single file */
    pm_map map;
    cJSON *json;  /* owns the tensors' names */
    int first, n; /* its tensors in the list before sorting */
} shard;

struct pm_safetensors {
    shard *shards;
    int n_shards;
    pm_tensor_info *t; /* [n] sorted by name */
    int n;
};

/* ---- one tensor ---- */

static const struct {
    const char *name;
    pm_dtype dtype;
} dtype_names[] = {{"F32", PM_F32}, {"F16", PM_F16},  {"BF16", PM_BFLOAT16}, {"F64", PM_F64},
                   {"I64", PM_I64}, {"I32", PM_I32},  {"I16", PM_I16},       {"I8", PM_I8},
                   {"U8", PM_U8},   {"BOOL", PM_BOOL}};

static bool find_dtype(const char *name, pm_dtype *out) {
    for (size_t i = 0; i < sizeof dtype_names / sizeof *dtype_names; i++)
        if (!strcmp(name, dtype_names[i].name)) {
            *out = dtype_names[i].dtype;
            return true;
        }
    return false;
}

/* A whole number 0 .. 2^53, beyond which JSON's doubles skip integers. */
static bool whole(const cJSON *j, int64_t *out) {
    if (!cJSON_IsNumber(j) || !(j->valuedouble >= 0 && j->valuedouble <= 9007199254740992.0)) return false;
    *out = (int64_t)j->valuedouble;
    return (double)*out == j->valuedouble;
}

static pm_status read_shape(const cJSON *shape, const char *what, pm_tensor_info *t, pm_err *e) {
    if (!cJSON_IsArray(shape)) return pm_damaged(e, what, "tensor %s: no shape", t->name);
    int64_t count = 1;
    const cJSON *d;
    cJSON_ArrayForEach(d, shape) {
        int64_t v;
        if (!whole(d, &v))
            return pm_damaged(e, what, "tensor %s: a dimension is not a whole number", t->name);
        if (t->n_dims == 4) {
            pm_fail(e, PM_EUNSUPPORTED, "%.200s: tensor %s: more than 4 dimensions", what, t->name);
            return pm_hint(e, "no supported architecture has such a tensor");
        }
        if (__builtin_mul_overflow(count, v, &count))
            return pm_damaged(e, what, "tensor %s: its size overflows", t->name);
        t->dim[t->n_dims++] = v;
    }
    return PM_OK;
}

/* Fills t from `"name": {...}`; data [data_bytes] is the file's data section. */
static pm_status read_tensor(const cJSON *item, const uint8_t *data, size_t data_bytes, const char *what,
                             pm_tensor_info *t, pm_err *e) {
    if (!pm_name_ok(item->string, strlen(item->string)))
        return pm_damaged(e, what, "a tensor's name is empty, too long or not printable");
    *t = (pm_tensor_info){.name = item->string};
    const cJSON *dt = cJSON_GetObjectItemCaseSensitive(item, "dtype");
    const cJSON *off = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
    if (!cJSON_IsString(dt)) return pm_damaged(e, what, "tensor %s: no dtype", t->name);
    if (!find_dtype(dt->valuestring, &t->dtype)) {
        pm_fail(e, PM_EUNSUPPORTED, "%.200s: tensor %s: dtype %.16s is not supported", what, t->name,
                pm_name_ok(dt->valuestring, strlen(dt->valuestring)) ? dt->valuestring : "?");
        return pm_hint(e, "convert the weights to F32, F16 or BF16");
    }
    pm_status s = read_shape(cJSON_GetObjectItemCaseSensitive(item, "shape"), what, t, e);
    if (s) return s;
    int64_t begin, end;
    if (!cJSON_IsArray(off) || cJSON_GetArraySize(off) != 2 || !whole(off->child, &begin) ||
        !whole(off->child->next, &end) || begin > end || (uint64_t)end > data_bytes)
        return pm_damaged(e, what, "tensor %s: its data_offsets are not inside the file", t->name);
    t->data = data + begin;
    t->n_bytes = (size_t)(end - begin);
    int64_t count = pm_tensor_info_count(t);
    size_t want = pm_dtype_bytes(t->dtype, count); /* 0 for a count beyond any file */
    if (t->n_bytes != want || (count && !want))
        return pm_damaged(e, what, "tensor %s: %zu bytes stored for %lld elements of %s", t->name, t->n_bytes,
                          (long long)count, pm_dtype_name(t->dtype));
    return PM_OK;
}

/* ---- one file ---- */

static int by_name(const void *a, const void *b) {
    return strcmp(((const pm_tensor_info *)a)->name, ((const pm_tensor_info *)b)->name);
}
static int by_place(const void *a, const void *b) {
    const pm_tensor_info *x = a, *y = b;
    uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    return p != q ? (p < q ? -1 : 1) : (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

/* The invariant at the top. Leaves t sorted by place. */
static pm_status check_cover(pm_tensor_info *t, int n, const uint8_t *data, size_t data_bytes,
                             const char *what, pm_err *e) {
    if (n) qsort(t, (size_t)n, sizeof *t, by_place);
    const uint8_t *at = data;
    for (int i = 0; i < n; at += t[i++].n_bytes)
        if ((const uint8_t *)t[i].data != at)
            return pm_damaged(e, what, "tensor %s: its data overlaps another tensor's or leaves a gap",
                              t[i].name);
    if (at != data + data_bytes)
        return pm_damaged(e, what, "%zu bytes after the last tensor", (size_t)(data + data_bytes - at));
    return PM_OK;
}

/* Parses m's header into *json; *data_at is where the data starts. */
static pm_status read_header(const pm_map *m, const char *what, cJSON **json, size_t *data_at, pm_err *e) {
    if (m->n_bytes < 8) return pm_damaged(e, what, "shorter than a safetensors header");
    uint64_t n = pm_le64(m->p);
    if (n > MAX_HEADER || n > m->n_bytes - 8)
        return pm_damaged(e, what, "header length %llu is more than the file holds", (unsigned long long)n);
    const char *text = (const char *)m->p + 8, *end = text;
    *json = cJSON_ParseWithLengthOpts(text, (size_t)n, &end, false);
    while (*json && end < text + n && *end == ' ') end++;
    if (!cJSON_IsObject(*json) || end != text + n)
        return pm_damaged(e, what, "the header is not a JSON object");
    *data_at = 8 + (size_t)n;
    return PM_OK;
}

/* Appends the tensors of sh->map to s. */
static pm_status read_shard(pm_safetensors *s, shard *sh, const char *what, pm_err *e) {
    size_t data_at = 0;
    pm_status st = read_header(&sh->map, what, &sh->json, &data_at, e);
    if (st) return st;
    const uint8_t *data = sh->map.p + data_at;
    size_t data_bytes = sh->map.n_bytes - data_at;
    int cap = cJSON_GetArraySize(sh->json);
    pm_tensor_info *all = pm_xcalloc((size_t)s->n + (size_t)cap, sizeof *all);
    if (s->n) memcpy(all, s->t, (size_t)s->n * sizeof *all);
    free(s->t);
    s->t = all;
    sh->first = s->n;
    const cJSON *item;
    cJSON_ArrayForEach(item, sh->json) {
        if (!strcmp(item->string, "__metadata__")) continue;
        if (!cJSON_IsObject(item)) return pm_damaged(e, what, "the header's entries are not all objects");
        if ((st = read_tensor(item, data, data_bytes, what, &s->t[s->n], e))) return st;
        s->n++;
    }
    sh->n = s->n - sh->first;
    return check_cover(s->t + sh->first, sh->n, data, data_bytes, what, e);
}

static pm_status finish(pm_safetensors *s, const char *what, pm_err *e) {
    if (s->n) qsort(s->t, (size_t)s->n, sizeof *s->t, by_name);
    for (int i = 1; i < s->n; i++)
        if (!strcmp(s->t[i - 1].name, s->t[i].name))
            return pm_damaged(e, what, "tensor %s: stored twice", s->t[i].name);
    return PM_OK;
}

static pm_safetensors *alloc(int n_shards) {
    pm_safetensors *s = pm_xcalloc(1, sizeof *s);
    s->shards = pm_xcalloc((size_t)n_shards, sizeof *s->shards);
    s->n_shards = n_shards;
    return s;
}

/* Hands s over, or closes it when st is a failure. */
static pm_status deliver(pm_safetensors *s, pm_status st, pm_safetensors **out) {
    if (st) pm_safetensors_close(s);
    *out = st ? NULL : s;
    return st;
}

pm_status pm_safetensors_from_bytes(const void *p, size_t n_bytes, const char *what, pm_safetensors **out,
                                    pm_err *e) {
    pm_safetensors *s = alloc(1);
    shard view = {.map = {.p = p, .n_bytes = n_bytes}};
    pm_status st = read_shard(s, &view, what, e);
    s->shards[0] = (shard){.json = view.json, .first = 0, .n = s->n}; /* the bytes stay the caller's */
    if (!st) st = finish(s, what, e);
    return deliver(s, st, out);
}

static pm_status open_single(const char *path, pm_safetensors **out, pm_err *e) {
    pm_safetensors *s = alloc(1);
    pm_status st = pm_map_open(path, &s->shards[0].map, e);
    if (!st) st = read_shard(s, s->shards, path, e);
    if (!st) st = finish(s, path, e);
    return deliver(s, st, out);
}

/* ---- a sharded set ---- */

static int by_string(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct files of the weight map, sorted; *files is the caller's to free, the strings belong to map. */
static pm_status shard_files(const cJSON *map, const char *index, const char ***files, int *n, pm_err *e) {
    int cap = cJSON_IsObject(map) ? cJSON_GetArraySize(map) : 0, k = 0;
    *files = pm_xcalloc((size_t)cap, sizeof **files);
    *n = 0;
    if (!cap) return pm_damaged(e, index, "no weight_map");
    const cJSON *item;
    cJSON_ArrayForEach(item, map) {
        const char *f = cJSON_GetStringValue(item);
        if (!f || !pm_name_ok(f, strlen(f)) || strchr(f, '/') || f[0] == '.')
            return pm_damaged(e, index, "weight_map names something that is not a file beside it");
        (*files)[k++] = f;
    }
    qsort(*files, (size_t)k, sizeof **files, by_string);
    for (int i = 0; i < k; i++)
        if (!i || strcmp((*files)[i], (*files)[*n - 1]) != 0) (*files)[(*n)++] = (*files)[i];
    return PM_OK;
}

static const shard *shard_of(const pm_safetensors *s, const char *file) {
    for (int i = 0; i < s->n_shards; i++)
        if (s->shards[i].file && !strcmp(s->shards[i].file, file)) return &s->shards[i];
    return NULL;
}

/* Every name of the weight map lies in the file that the map says. */
static pm_status check_map(const pm_safetensors *s, const cJSON *map, const char *index, pm_err *e) {
    const cJSON *item;
    cJSON_ArrayForEach(item, map) {
        const shard *sh = shard_of(s, item->valuestring);
        const pm_tensor_info *t = pm_safetensors_find(s, item->string);
        if (t && (const uint8_t *)t->data >= sh->map.p &&
            (const uint8_t *)t->data <= sh->map.p + sh->map.n_bytes)
            continue;
        bool shown = pm_name_ok(item->string, strlen(item->string));
        return pm_damaged(e, index, "tensor %s is not in %s", shown ? item->string : "?", item->valuestring);
    }
    return PM_OK;
}

static pm_status open_shards(const char *index, const char **files, int n, pm_safetensors *s, pm_err *e) {
    const char *slash = strrchr(index, '/');
    int dir = slash ? (int)(slash - index) + 1 : 0;
    for (int i = 0; i < n; i++) {
        char path[4096];
        if (snprintf(path, sizeof path, "%.*s%s", dir, index, files[i]) >= (int)sizeof path)
            return pm_fail(e, PM_EIO, "%.200s...: the path is too long", index);
        shard *sh = &s->shards[i];
        sh->file = strdup(files[i]);
        PM_ASSERT(sh->file, "out of memory");
        pm_status st = pm_map_open(path, &sh->map, e);
        if (!st) st = read_shard(s, sh, path, e);
        if (st) return st;
    }
    return finish(s, index, e);
}

static pm_status open_index(const char *index, pm_safetensors **out, pm_err *e) {
    pm_map m;
    *out = NULL;
    pm_status st = pm_map_open(index, &m, e);
    if (st) return st;
    cJSON *json = cJSON_ParseWithLength((const char *)m.p, m.n_bytes);
    pm_map_close(&m);
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(json, "weight_map");
    const char **files;
    int n;
    st = shard_files(map, index, &files, &n, e);
    if (!st) {
        pm_safetensors *s = alloc(n);
        st = open_shards(index, files, n, s, e);
        if (!st) st = check_map(s, map, index, e);
        deliver(s, st, out);
    }
    free(files);
    cJSON_Delete(json);
    return st;
}

/* ---- the public reader ---- */

static bool ends_with(const char *s, const char *tail) {
    size_t n = strlen(s), k = strlen(tail);
    return n >= k && !strcmp(s + n - k, tail);
}

pm_status pm_safetensors_open(const char *path, pm_safetensors **out, pm_err *e) {
    *out = NULL;
    struct stat st;
    if (!stat(path, &st) && S_ISDIR(st.st_mode)) {
        static const char *const names[] = {"model.safetensors", "model.safetensors.index.json"};
        for (int i = 0; i < 2; i++) {
            char file[4096];
            if (snprintf(file, sizeof file, "%s/%s", path, names[i]) < (int)sizeof file && !stat(file, &st))
                return pm_safetensors_open(file, out, e);
        }
        pm_fail(e, PM_EIO, "%.200s: no model.safetensors in this directory", path);
        return pm_hint(e, "pickled weights (pytorch_model.bin) are not read: save them as safetensors");
    }
    return ends_with(path, ".json") ? open_index(path, out, e) : open_single(path, out, e);
}

void pm_safetensors_close(pm_safetensors *s) {
    if (!s) return;
    for (int i = 0; i < s->n_shards; i++) {
        cJSON_Delete(s->shards[i].json);
        pm_map_close(&s->shards[i].map);
        free(s->shards[i].file);
    }
    free(s->shards);
    free(s->t);
    free(s);
}

int pm_safetensors_count(const pm_safetensors *s) {
    return s->n;
}

const pm_tensor_info *pm_safetensors_at(const pm_safetensors *s, int i) {
    PM_ASSERT(i >= 0 && i < s->n, "tensor %d of %d", i, s->n);
    return &s->t[i];
}

const pm_tensor_info *pm_safetensors_find(const pm_safetensors *s, const char *name) {
    pm_tensor_info key = {.name = name};
    return s->n ? bsearch(&key, s->t, (size_t)s->n, sizeof *s->t, by_name) : NULL;
}
