/* gguf.c - llama.cpp's container, versions 2 and 3: typed metadata, then tensors, then aligned data.
 *
 * Layout: "GGUF", u32 version, u64 tensors, u64 metadata entries; entry = string key, u32 type, value; tensor
 * = string name, u32 n_dims, u64 dims (innermost first), u32 type, u64 offset from the data section, which
 * starts at the next multiple of general.alignment.
 * Invariant: after opening, every key, string and array lies inside the file, names are unique, tensors do not
 * overlap.
 * Ref: the GGUF specification, docs/gguf.md of ggml.
 */
#include "bytes.h"
#include "weights.h"
#include <stdlib.h>

enum { T_U8, T_I8, T_U16, T_I16, T_U32, T_I32, T_F32, T_BOOL, T_STRING, T_ARRAY, T_U64, T_I64, T_F64, T_N };
static const uint8_t scalar_bytes[T_N] = {1, 1, 2, 2, 4, 4, 4,
                                          1, 0, 0, 8, 8, 8}; /* by type; 0: of variable size */

typedef struct entry {
    const char *key;
    size_t key_bytes;
    uint32_t type;
    const uint8_t *p, *end; /* the value's bytes */
} entry;

struct pm_gguf {
    char *path;
    pm_map map; /* owned when `mapped` */
    bool mapped;
    entry *kv; /* [n_kv] sorted by key */
    int64_t n_kv;
    pm_tensor_info *t; /* [n] sorted by name */
    int64_t n;
    char *names; /* the tensors' names, NUL-terminated */
};

enum { MAX_ENTRIES = 1 << 20 }; /* of metadata, of tensors: a thousand times what real files have */

/* ---- a cursor that cannot leave the file ---- */

typedef struct cursor {
    const uint8_t *p, *end;
} cursor;

static size_t left(const cursor *c) {
    return (size_t)(c->end - c->p);
}
static bool skip(cursor *c, uint64_t n) {
    if (n > left(c)) return false;
    c->p += n;
    return true;
}
static bool get_u32(cursor *c, uint32_t *v) {
    if (left(c) < 4) return false;
    *v = pm_le32(c->p);
    return skip(c, 4);
}
static bool get_u64(cursor *c, uint64_t *v) {
    if (left(c) < 8) return false;
    *v = pm_le64(c->p);
    return skip(c, 8);
}
static bool get_str(cursor *c, const char **s, size_t *n) {
    uint64_t len;
    if (!get_u64(c, &len)) return false;
    *s = (const char *)c->p;
    *n = (size_t)len;
    return skip(c, len);
}

/* ---- metadata ---- */

static bool skip_strings(cursor *c, uint64_t n) {
    const char *s;
    size_t len;
    for (; n > 0; n--)
        if (!get_str(c, &s, &len)) return false;
    return true;
}

enum { MAX_NEST = 8 };
/* Moves past a value; false when it leaves the file, has an unknown type, or nests arrays too deep. */
static bool skip_value(cursor *c, uint32_t type, int depth) {
    uint64_t n;
    uint32_t inner;
    if (type >= T_N || depth > MAX_NEST) return false;
    if (type == T_STRING) return skip_strings(c, 1);
    if (type != T_ARRAY) return skip(c, scalar_bytes[type]);
    if (!get_u32(c, &inner) || !get_u64(c, &n) || inner >= T_N) return false;
    if (inner == T_STRING) return skip_strings(c, n);
    if (inner != T_ARRAY) return n <= left(c) / scalar_bytes[inner] && skip(c, n * scalar_bytes[inner]);
    for (; n > 0; n--)
        if (!skip_value(c, inner, depth + 1)) return false;
    return true;
}

static int compare_keys(const char *a, size_t na, const char *b, size_t nb) {
    int d = memcmp(a, b, na < nb ? na : nb);
    return d ? d : (na > nb) - (na < nb);
}
static int by_key(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return compare_keys(x->key, x->key_bytes, y->key, y->key_bytes);
}

static pm_status read_kv(pm_gguf *g, cursor *c, uint64_t n, const char *what, pm_err *e) {
    if (n > MAX_ENTRIES || n > left(c) / 13) /* an entry is at least an empty key, a type and one byte */
        return pm_damaged(e, what, "claims %llu metadata entries, more than fit", (unsigned long long)n);
    g->kv = pm_xcalloc((size_t)n, sizeof *g->kv);
    for (; g->n_kv < (int64_t)n; g->n_kv++) {
        entry *k = &g->kv[g->n_kv];
        if (!get_str(c, &k->key, &k->key_bytes) || !pm_name_ok(k->key, k->key_bytes) || !get_u32(c, &k->type))
            return pm_damaged(e, what, "metadata entry %lld: its key is cut off or not printable",
                              (long long)g->n_kv);
        k->p = c->p;
        if (!skip_value(c, k->type, 0))
            return pm_damaged(e, what, "metadata %.*s: its value is cut off or of an unknown type",
                              (int)k->key_bytes, k->key);
        k->end = c->p;
    }
    if (n) qsort(g->kv, (size_t)n, sizeof *g->kv, by_key);
    for (int64_t i = 1; i < g->n_kv; i++)
        if (!by_key(&g->kv[i - 1], &g->kv[i]))
            return pm_damaged(e, what, "metadata %.*s: stored twice", (int)g->kv[i].key_bytes, g->kv[i].key);
    return PM_OK;
}

/* ---- tensors ---- */

static const struct {
    uint32_t ggml;
    pm_dtype dtype;
} ggml_types[] = {{0, PM_F32},  {1, PM_F16},   {2, PM_Q4_0},  {3, PM_Q4_1},     {6, PM_Q5_0}, {7, PM_Q5_1},
                  {8, PM_Q8_0}, {12, PM_Q4_K}, {13, PM_Q5_K}, {14, PM_Q6_K},    {24, PM_I8},  {25, PM_I16},
                  {26, PM_I32}, {27, PM_I64},  {28, PM_F64},  {30, PM_BFLOAT16}};

static bool find_type(uint32_t ggml, pm_dtype *out) {
    for (size_t i = 0; i < sizeof ggml_types / sizeof *ggml_types; i++)
        if (ggml_types[i].ggml == ggml) {
            *out = ggml_types[i].dtype;
            return true;
        }
    return false;
}

/* Reads n_dims and dims into t and checks that their product is sane. t->name is set. */
static pm_status read_dims(cursor *c, const char *what, pm_tensor_info *t, pm_err *e) {
    uint32_t n;
    if (!get_u32(c, &n) || n < 1 || n > 4 || left(c) < 8 * (size_t)n)
        return pm_damaged(e, what, "tensor %s: it does not have 1 to 4 dimensions", t->name);
    int64_t count = 1;
    t->n_dims = (int)n;
    for (int i = t->n_dims - 1; i >= 0; i--) { /* stored innermost first */
        uint64_t d = 0;
        get_u64(c, &d);
        if (d < 1 || d > INT64_MAX || __builtin_mul_overflow(count, (int64_t)d, &count))
            return pm_damaged(e, what, "tensor %s: its dimensions are impossible", t->name);
        t->dim[i] = (int64_t)d;
    }
    return PM_OK;
}

/* Reads what follows a tensor's name. Its offset stays in *offset until the data section is known. */
static pm_status read_tensor(cursor *c, const char *what, pm_tensor_info *t, uint64_t *offset, pm_err *e) {
    pm_status s = read_dims(c, what, t, e);
    if (s) return s;
    uint32_t type;
    if (!get_u32(c, &type) || !get_u64(c, offset))
        return pm_damaged(e, what, "tensor %s: its description is cut off", t->name);
    if (!find_type(type, &t->dtype)) {
        pm_fail(e, PM_EUNSUPPORTED, "%.200s: tensor %s: GGML type %u is not supported", what, t->name, type);
        return pm_hint(e, "use a file in F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K");
    }
    t->n_bytes = pm_dtype_bytes(t->dtype, t->dim[t->n_dims - 1])
                     ? pm_dtype_bytes(t->dtype, pm_tensor_info_count(t))
                     : 0;
    if (!t->n_bytes)
        return pm_damaged(e, what, "tensor %s: a row of %lld is not whole blocks of %s", t->name,
                          (long long)t->dim[t->n_dims - 1], pm_dtype_name(t->dtype));
    return PM_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const pm_tensor_info *)a)->name, ((const pm_tensor_info *)b)->name);
}
static int by_place(const void *a, const void *b) {
    uintptr_t p = (uintptr_t)((const pm_tensor_info *)a)->data,
              q = (uintptr_t)((const pm_tensor_info *)b)->data;
    return (p > q) - (p < q);
}

/* Turns offsets into pointers; every tensor must be aligned, inside the file, and apart from the others. */
static pm_status place(pm_gguf *g, const cursor *c, const uint64_t *offset, const char *what, pm_err *e) {
    int64_t align = 32;
    pm_gguf_int(g, "general.alignment", &align);
    if (align < 1 || align > 1 << 20 || (align & (align - 1)))
        return pm_damaged(e, what, "metadata general.alignment: %lld is not a power of two",
                          (long long)align);
    size_t at = (size_t)(c->p - g->map.p), start = (at + (size_t)align - 1) & ~((size_t)align - 1);
    for (int64_t i = 0; i < g->n; i++) {
        pm_tensor_info *t = &g->t[i];
        if (offset[i] % (uint64_t)align || start > g->map.n_bytes || offset[i] > g->map.n_bytes - start ||
            t->n_bytes > g->map.n_bytes - start - offset[i])
            return pm_damaged(e, what, "tensor %s: its data is not inside the file", t->name);
        t->data = g->map.p + start + offset[i];
    }
    if (g->n) qsort(g->t, (size_t)g->n, sizeof *g->t, by_place);
    for (int64_t i = 1; i < g->n; i++)
        if ((const uint8_t *)g->t[i - 1].data + g->t[i - 1].n_bytes > (const uint8_t *)g->t[i].data)
            return pm_damaged(e, what, "tensor %s: its data overlaps %s", g->t[i].name, g->t[i - 1].name);
    return PM_OK;
}

static pm_status read_infos(pm_gguf *g, cursor *c, uint64_t n, uint64_t *offset, const char *what,
                            pm_err *e) {
    char *name = g->names;
    for (; g->n < (int64_t)n; g->n++) {
        const char *s;
        size_t len;
        if (!get_str(c, &s, &len) || !pm_name_ok(s, len))
            return pm_damaged(e, what, "tensor %lld: its name is cut off or not printable", (long long)g->n);
        memcpy(name, s, len); /* room: see read_tensors */
        g->t[g->n].name = name;
        name += len + 1;
        pm_status st = read_tensor(c, what, &g->t[g->n], &offset[g->n], e);
        if (st) return st;
    }
    return PM_OK;
}

enum { INFO_BYTES = 33 }; /* a description: string length, a letter, n_dims, one dimension, type, offset */

static pm_status read_tensors(pm_gguf *g, cursor *c, uint64_t n, const char *what, pm_err *e) {
    if (n > MAX_ENTRIES || n > left(c) / INFO_BYTES)
        return pm_damaged(e, what, "claims %llu tensors, more than fit", (unsigned long long)n);
    g->t = pm_xcalloc((size_t)n, sizeof *g->t);
    g->names = pm_xcalloc((size_t)n, 256); /* pm_name_ok's longest and its NUL */
    uint64_t *offset = pm_xcalloc((size_t)n, sizeof *offset);
    pm_status st = read_infos(g, c, n, offset, what, e);
    if (!st) st = place(g, c, offset, what, e);
    free(offset);
    if (st) return st;
    if (n) qsort(g->t, (size_t)n, sizeof *g->t, by_name);
    for (int64_t i = 1; i < g->n; i++)
        if (!by_name(&g->t[i - 1], &g->t[i]))
            return pm_damaged(e, what, "tensor %s: stored twice", g->t[i].name);
    return PM_OK;
}

/* ---- opening ---- */

static pm_status read_all(pm_gguf *g, const char *what, pm_err *e) {
    cursor c = {g->map.p, g->map.p + g->map.n_bytes};
    uint32_t version;
    uint64_t n_tensors, n_kv;
    if (left(&c) < 4 || memcmp(c.p, "GGUF", 4) != 0) return pm_damaged(e, what, "does not start with GGUF");
    skip(&c, 4);
    if (!get_u32(&c, &version) || !get_u64(&c, &n_tensors) || !get_u64(&c, &n_kv))
        return pm_damaged(e, what, "the header is cut off");
    if (version != 2 && version != 3) {
        bool big_endian = version && !(version & 0xffff);
        pm_fail(e, PM_EUNSUPPORTED, "%.200s: GGUF version %u%s is not supported", what,
                big_endian ? __builtin_bswap32(version) : version, big_endian ? " (big-endian)" : "");
        return pm_hint(e, "use a little-endian file of version 2 or 3");
    }
    pm_status s = read_kv(g, &c, n_kv, what, e);
    return s ? s : read_tensors(g, &c, n_tensors, what, e);
}

static pm_status open_map(pm_map map, bool mapped, const char *what, pm_gguf **out, pm_err *e) {
    pm_gguf *g = pm_xcalloc(1, sizeof *g);
    g->map = map;
    g->mapped = mapped;
    g->path = strdup(what);
    PM_ASSERT(g->path, "out of memory");
    pm_status s = read_all(g, what, e);
    if (s) pm_gguf_close(g);
    *out = s ? NULL : g;
    return s;
}

pm_status pm_gguf_open(const char *path, pm_gguf **out, pm_err *e) {
    pm_map m;
    *out = NULL;
    pm_status s = pm_map_open(path, &m, e);
    return s ? s : open_map(m, true, path, out, e);
}

pm_status pm_gguf_from_bytes(const void *p, size_t n_bytes, const char *what, pm_gguf **out, pm_err *e) {
    return open_map((pm_map){.p = p, .n_bytes = n_bytes}, false, what, out, e);
}

void pm_gguf_close(pm_gguf *g) {
    if (!g) return;
    free(g->kv);
    free(g->t);
    free(g->names);
    free(g->path);
    if (g->mapped) pm_map_close(&g->map);
    free(g);
}

const char *pm_gguf_path(const pm_gguf *g) {
    return g->path;
}

int pm_gguf_count(const pm_gguf *g) {
    return (int)g->n;
}

const pm_tensor_info *pm_gguf_at(const pm_gguf *g, int i) {
    PM_ASSERT(i >= 0 && i < g->n, "tensor %d of %d", i, (int)g->n);
    return &g->t[i];
}

const pm_tensor_info *pm_gguf_find(const pm_gguf *g, const char *name) {
    pm_tensor_info key = {.name = name};
    return g->n ? bsearch(&key, g->t, (size_t)g->n, sizeof *g->t, by_name) : NULL;
}

/* ---- metadata getters ---- */

static const entry *find(const pm_gguf *g, const char *key) {
    entry k = {.key = key, .key_bytes = strlen(key)};
    return g->n_kv ? bsearch(&k, g->kv, (size_t)g->n_kv, sizeof *g->kv, by_key) : NULL;
}

/* A value of n bytes, sign-extended when it is signed. */
static int64_t load_int(const uint8_t *p, int n, bool is_signed) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v |= (uint64_t)p[i] << 8 * i;
    int shift = 64 - 8 * n;
    return is_signed ? (int64_t)(v << shift) >> shift : (int64_t)v;
}

bool pm_gguf_int(const pm_gguf *g, const char *key, int64_t *out) {
    const entry *k = find(g, key);
    if (!k || !scalar_bytes[k->type] || k->type == T_F32 || k->type == T_F64 || k->type == T_BOOL)
        return false;
    bool is_signed = k->type == T_I8 || k->type == T_I16 || k->type == T_I32 || k->type == T_I64;
    int64_t v = load_int(k->p, scalar_bytes[k->type], is_signed);
    if (!is_signed && v < 0) return false; /* an unsigned 64-bit value that does not fit */
    *out = v;
    return true;
}

bool pm_gguf_real(const pm_gguf *g, const char *key, double *out) {
    const entry *k = find(g, key);
    float f;
    int64_t i;
    if (k && k->type == T_F32) return memcpy(&f, k->p, sizeof f), *out = (double)f, true;
    if (k && k->type == T_F64) return memcpy(out, k->p, sizeof *out), true;
    return pm_gguf_int(g, key, &i) ? *out = (double)i, true : false;
}

bool pm_gguf_bool(const pm_gguf *g, const char *key, bool *out) {
    const entry *k = find(g, key);
    if (!k || k->type != T_BOOL) return false;
    *out = *k->p != 0;
    return true;
}

bool pm_gguf_str(const pm_gguf *g, const char *key, const char **s, size_t *n) {
    const entry *k = find(g, key);
    if (!k || k->type != T_STRING) return false;
    cursor c = {k->p, k->end};
    return get_str(&c, s, n);
}

bool pm_gguf_array_get(const pm_gguf *g, const char *key, pm_gguf_array *out) {
    const entry *k = find(g, key);
    if (!k || k->type != T_ARRAY) return false;
    cursor c = {k->p, k->end};
    uint32_t type = 0;
    if (!get_u32(&c, &type) || !get_u64(&c, &out->n)) return false;
    out->type = (int)type;
    out->p = c.p;
    out->end = c.end;
    return true;
}

bool pm_gguf_array_str(pm_gguf_array *a, const char **s, size_t *n) {
    cursor c = {a->p, a->end};
    if (a->type != T_STRING || !get_str(&c, s, n)) return false;
    a->p = c.p;
    return true;
}
