/* test_formats.c - safetensors and GGUF against the packages that define them, and against damaged files.
 *
 * Truth: tests/golden/formats, written by make_formats.py with the `safetensors` and `gguf` packages. Half
 * precision: an oracle by ldexp. Hostile files: every truncation and every flipped bit must parse or be one
 * explained error; built from heap blocks of the exact size, so that ASan sees a read past the end.
 */
#include "check.h"
#include "pm.h"
#include "scratch.h"
#include "weights.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define GOLDEN "tests/golden/formats/"

static pm_err e;

/* ---- helpers ---- */

static char dir_[] = P_tmpdir "/pm_formats_XXXXXX";
static void write_file(const char *path, const void *p, size_t n) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(p, 1, n, f) == n);
    if (f) fclose(f);
}

/* The error a user would see: right code, one printable line that starts with the file, and a hint. */
static void check_explained(pm_status s, const char *file, const char *fragment) {
    CHECK(s == PM_EFORMAT || s == PM_EUNSUPPORTED);
    CHECK_EQ_INT(s, e.code);
    if (strncmp(e.msg, file, strlen(file)) != 0) CHECK_FAIL_("\"%s\" does not name %s", e.msg, file);
    if (!strstr(e.msg, fragment)) CHECK_FAIL_("\"%s\" does not say \"%s\"", e.msg, fragment);
    CHECK(e.hint[0]);
    for (const char *c = e.msg; *c; c++)
        if (*c < ' ' || *c > '~') CHECK_FAIL_("byte %d in \"%s\"", *c, e.msg);
}

static bool same_float(float a, float b) {
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

/* Tensor t, converted, equals the F32 tensor want bit for bit (a NaN is a NaN). */
static void check_equal(const pm_tensor_info *t, const pm_tensor_info *want) {
    int64_t n = pm_tensor_info_count(t), bad = 0;
    CHECK_EQ_INT(n, pm_tensor_info_count(want));
    CHECK_EQ_INT(t->n_dims, want->n_dims);
    for (int i = 0; i < t->n_dims; i++) CHECK_EQ_INT(t->dim[i], want->dim[i]);
    real *got = malloc((size_t)n * sizeof *got + 1);
    pm_dtype_to_real(t->dtype, t->data, n, got);
    for (int64_t i = 0; i < n; i++) {
        float w;
        memcpy(&w, (const char *)want->data + 4 * i, sizeof w);
        bad += !same_float((float)got[i], w);
    }
    if (bad) CHECK_FAIL_("%s: %lld of %lld elements differ", t->name, (long long)bad, (long long)n);
    free(got);
}

/* ---- conversion ---- */

static float half_oracle(uint16_t h) {
    int exponent = h >> 10 & 31, mantissa = h & 1023;
    double v = exponent == 31  ? (mantissa ? (double)NAN : (double)INFINITY)
               : exponent == 0 ? ldexp(mantissa, -24)
                               : ldexp(1024 + mantissa, exponent - 25);
    return (float)(h >> 15 ? -v : v);
}

static void formats_half_is_exact_for_every_pattern(void) {
    static uint16_t h[65536];
    static real y[65536];
    int bad = 0;
    for (int i = 0; i < 65536; i++) h[i] = (uint16_t)i;
    pm_dtype_to_real(PM_F16, h, 65536, y);
    for (int i = 0; i < 65536; i++) bad += !same_float((float)y[i], half_oracle((uint16_t)i));
    CHECK_EQ_INT(bad, 0);
}

static void formats_bytes_count_whole_blocks(void) {
    CHECK_EQ_INT(pm_dtype_bytes(PM_Q4_K, 512), 288);
    CHECK_EQ_INT(pm_dtype_bytes(PM_Q4_K, 511), 0);
    CHECK_EQ_INT(pm_dtype_bytes(PM_F32, -1), 0);
    CHECK_EQ_INT(pm_dtype_bytes(PM_F64, INT64_MAX / 2), 0);
    CHECK(!pm_dtype_is_float(PM_I8) && pm_dtype_is_float(PM_Q6_K) && pm_dtype_is_float(PM_BFLOAT16));
}

static void formats_blocks_equal_the_gguf_package(void) {
    pm_gguf *g = NULL;
    pm_safetensors *want = NULL;
    CHECK_OK(pm_gguf_open(GOLDEN "blocks.gguf", &g, &e));
    CHECK_OK(pm_safetensors_open(GOLDEN "blocks.safetensors", &want, &e));
    if (!g || !want) return;
    CHECK_EQ_INT(pm_gguf_count(g), pm_safetensors_count(want));
    for (int i = 0; i < pm_gguf_count(g); i++) {
        const pm_tensor_info *t = pm_gguf_at(g, i), *w = pm_safetensors_find(want, t->name);
        CHECK(w != NULL);
        if (w) check_equal(t, w);
        CHECK(pm_gguf_find(g, t->name) == t);
    }
    pm_gguf_close(g);
    pm_safetensors_close(want);
}

static void formats_plain_equals_the_safetensors_package(void) {
    pm_safetensors *s = NULL, *want = NULL;
    CHECK_OK(pm_safetensors_open(GOLDEN "plain.safetensors", &s, &e));
    CHECK_OK(pm_safetensors_open(GOLDEN "plain_f32.safetensors", &want, &e));
    if (!s || !want) return;
    CHECK_EQ_INT(pm_safetensors_count(s), 12);
    CHECK_EQ_INT(pm_safetensors_count(want), 6);
    for (int i = 0; i < pm_safetensors_count(want); i++) {
        const pm_tensor_info *w = pm_safetensors_at(want, i), *t = pm_safetensors_find(s, w->name);
        CHECK(t != NULL);
        if (t) check_equal(t, w);
    }
    const pm_tensor_info *t = pm_safetensors_find(s, "I64");
    CHECK(t && t->dtype == PM_I64 && t->n_bytes == 24 && t->dim[0] == 3);
    CHECK(!pm_safetensors_find(s, "__metadata__"));
    pm_safetensors_close(s);
    pm_safetensors_close(want);
}

static void formats_sharded_set_opens_from_its_directory(void) {
    pm_safetensors *s = NULL;
    CHECK_OK(pm_safetensors_open(GOLDEN "sharded", &s, &e));
    if (!s) return;
    CHECK_EQ_INT(pm_safetensors_count(s), 5);
    for (int i = 0; i < pm_safetensors_count(s); i++) {
        const pm_tensor_info *t = pm_safetensors_at(s, i);
        float v;
        memcpy(&v, t->data, sizeof v);
        CHECK_EQ_INT(t->name[6] - '0', v);
        CHECK_EQ_INT(t->name[6] - '0', i);
    }
    pm_safetensors_close(s);
}

static void formats_gguf_metadata_reads(void) {
    pm_gguf *g = NULL;
    CHECK_OK(pm_gguf_open(GOLDEN "blocks.gguf", &g, &e));
    if (!g) return;
    static const struct {
        const char *key;
        int64_t value;
    } ints[] = {{"t.u8", 200},           {"t.i8", -100},           {"t.u16", 60000},
                {"t.i16", -30000},       {"t.u32", 4000000000LL},  {"t.i32", -2000000000},
                {"t.i64", -(1LL << 62)}, {"general.alignment", 64}};
    int64_t v;
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        if (!pm_gguf_int(g, ints[i].key, &v) || v != ints[i].value) CHECK_FAIL_("%s", ints[i].key);
    CHECK(!pm_gguf_int(g, "t.u64", &v)); /* 2^63 + 1 does not fit */
    CHECK(!pm_gguf_int(g, "t.f32", &v) && !pm_gguf_int(g, "t.bool", &v) && !pm_gguf_int(g, "absent", &v));
    double d;
    CHECK(pm_gguf_real(g, "t.f32", &d) && d == (double)0.1f);
    CHECK(pm_gguf_real(g, "t.f64", &d) && d == 0.1);
    CHECK(pm_gguf_real(g, "t.u8", &d) && d == 200);
    bool b = false;
    CHECK(pm_gguf_bool(g, "t.bool", &b) && b && !pm_gguf_bool(g, "t.u8", &b));
    const char *s;
    size_t n;
    CHECK(pm_gguf_str(g, "t.str", &s, &n) && n == 6 && !memcmp(s, "h\xc3\xa9llo", 6));
    pm_gguf_array a;
    CHECK(pm_gguf_array_get(g, "t.strs", &a) && a.n == 3 && a.type == 8);
    CHECK(pm_gguf_array_str(&a, &s, &n) && n == 1 && *s == 'a');
    CHECK(pm_gguf_array_str(&a, &s, &n) && n == 0);
    CHECK(pm_gguf_array_str(&a, &s, &n) && n == 5 &&
          !memcmp(s,
                  "b\xe4\xb8\xad"
                  "c",
                  5));
    CHECK(!pm_gguf_array_str(&a, &s, &n));
    CHECK(pm_gguf_array_get(g, "t.ints", &a) && a.n == 3 && a.type == 5 && a.end - a.p == 12);
    CHECK(pm_gguf_array_get(g, "t.nested", &a) && a.n == 2 && a.type == 9 &&
          !pm_gguf_array_get(g, "t.u8", &a));
    pm_gguf_close(g);
}

/* ---- hostile files ---- */

typedef pm_status (*parser)(const uint8_t *p,
                            size_t n); /* parses as "x" and, on success, reads everything once */

static void read_tensor(const pm_tensor_info *t) {
    int64_t n = pm_tensor_info_count(t);
    real *y = malloc((size_t)n * sizeof *y + 1);
    if (pm_dtype_is_float(t->dtype)) pm_dtype_to_real(t->dtype, t->data, n, y);
    free(y);
}

static pm_status parse_gguf(const uint8_t *p, size_t n) {
    pm_gguf *g;
    pm_status s = pm_gguf_from_bytes(p, n, "x", &g, &e);
    if (s) return s;
    static const char *const keys[] = {"t.u8",  "t.f64",  "t.strs",           "t.nested",
                                       "t.str", "t.bool", "general.alignment"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t v;
        double d;
        const char *str;
        size_t len, sum = 0;
        pm_gguf_array a;
        pm_gguf_int(g, keys[i], &v), pm_gguf_real(g, keys[i], &d);
        if (pm_gguf_array_get(g, keys[i], &a))
            while (pm_gguf_array_str(&a, &str, &len))
                for (size_t k = 0; k < len; k++) sum += (unsigned char)str[k];
        CHECK(sum < 1u << 30);
    }
    for (int i = 0; i < pm_gguf_count(g); i++) read_tensor(pm_gguf_at(g, i));
    pm_gguf_close(g);
    return PM_OK;
}

static pm_status parse_safetensors(const uint8_t *p, size_t n) {
    pm_safetensors *s;
    pm_status st = pm_safetensors_from_bytes(p, n, "x", &s, &e);
    if (st) return st;
    for (int i = 0; i < pm_safetensors_count(s); i++) read_tensor(pm_safetensors_at(s, i));
    pm_safetensors_close(s);
    return PM_OK;
}

/* Parses a heap copy of exactly n bytes; a failure must be explained. */
static pm_status parse_copy(parser parse, const uint8_t *p, size_t n) {
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, p, n);
    e = (pm_err){0};
    pm_status s = parse(copy, n);
    if (s) check_explained(s, "x: ", "");
    free(copy);
    return s;
}

/* Every truncation (the last `padding` bytes belong to nothing), and every bit of the first `header` bytes
 * flipped. */
static void torture(const char *path, parser parse, size_t header, size_t padding) {
    pm_map m;
    CHECK_OK(pm_map_open(path, &m, &e));
    if (!m.p) return;
    uint8_t *p = malloc(m.n_bytes);
    memcpy(p, m.p, m.n_bytes);
    CHECK_EQ_INT(parse_copy(parse, p, m.n_bytes), PM_OK);
    for (size_t n = 0; n < m.n_bytes - padding; n++)
        if (!parse_copy(parse, p, n)) CHECK_FAIL_("%s cut to %zu bytes parses", path, n);
    int noticed = 0;
    for (size_t bit = 0; bit < 8 * header; bit++) {
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        noticed += parse_copy(parse, p, m.n_bytes) != PM_OK;
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK(noticed > (int)header); /* most flips of a header do damage */
    free(p);
    pm_map_close(&m);
}

static void formats_damaged_gguf_is_explained(void) {
    torture(GOLDEN "blocks.gguf", parse_gguf, 1900, 16);
}
static void formats_damaged_safetensors_is_explained(void) {
    torture(GOLDEN "plain.safetensors", parse_safetensors, 800, 0);
}

static void formats_safetensors_refuses_lies(void) {
#define F4 "\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":"
    static const struct {
        const char *header;
        int data_bytes;
        const char *says; /* NULL: it is fine */
    } cases[] = {
        {"{\"a\":{" F4 "[0,4]}}", 4, NULL},
        {"{\"a\":{" F4 "[0,4]}}   ", 4, NULL},
        {"{}", 0, NULL},
        {"{\"a\":{" F4 "[0,4]},\"b\":{" F4 "[0,4]}}", 4, "tensor b: its data overlaps"},
        {"{\"a\":{" F4 "[0,4]},\"b\":{" F4 "[2,6]}}", 6, "tensor b: its data overlaps"},
        {"{\"a\":{" F4 "[0,4]},\"b\":{" F4 "[8,12]}}", 12,
         "tensor b: its data overlaps another tensor's or leaves a gap"},
        {"{\"a\":{" F4 "[0,4]},\"a\":{" F4 "[4,8]}}", 8, "tensor a: stored twice"},
        {"{\"a\":{" F4 "[0,4]}}", 5, "1 bytes after the last tensor"},
        {"{\"a\":{" F4 "[0,4]}}", 3, "tensor a: its data_offsets"},
        {"{\"a\":{" F4 "[4,0]}}", 4, "tensor a: its data_offsets"},
        {"{\"a\":{" F4 "[-4,0]}}", 4, "tensor a: its data_offsets"},
        {"{\"a\":{" F4 "[0]}}", 4, "tensor a: its data_offsets"},
        {"{\"a\":{" F4 "[0.5,4]}}", 4, "tensor a: its data_offsets"},
        {"{\"a\":{" F4 "[0,1e300]}}", 4, "tensor a: its data_offsets"},
        {"{\"a\":{" F4 "[0,8]}}", 8, "tensor a: 8 bytes stored for 1 elements of F32"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "tensor a: a dimension"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}", 4,
         "tensor a: its size overflows"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4503599627370496,1024],\"data_offsets\":[0,0]}}", 0,
         "tensor a: 0 bytes stored"},
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[4503599627370496,2047],\"data_offsets\":[0,0]}}", 0,
         "tensor a: 0 bytes stored"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":{},\"data_offsets\":[0,4]}}", 4, "tensor a: no shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         "tensor a: more than 4"},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
         "tensor a: dtype F8_E4M3"},
        {"{\"a\":{\"dtype\":\"\\n\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "tensor a: dtype ?"},
        {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor a: no dtype"},
        {"{\"a\\nb\":{" F4 "[0,4]}}", 4, "a tensor's name"},
        {"{\"\":{" F4 "[0,4]}}", 4, "a tensor's name"},
        {"{\"a\":7}", 0, "not all objects"},
        {"[1,2]", 0, "not a JSON object"},
        {"{\"a\":{", 0, "not a JSON object"},
        {"{} {}", 0, "not a JSON object"},
        {"", 0, "not a JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t buf[512] = {0};
        uint64_t len = strlen(cases[i].header);
        memcpy(buf, &len, 8);
        memcpy(buf + 8, cases[i].header, len);
        pm_status s = parse_copy(parse_safetensors, buf, 8 + len + (size_t)cases[i].data_bytes);
        if (!cases[i].says)
            CHECK_EQ_INT(s, PM_OK);
        else
            check_explained(s, "x: ", cases[i].says);
    }
    CHECK_EQ_INT(parse_copy(parse_safetensors, (const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff{}", 10),
                 PM_EFORMAT);
}

/* A GGUF built by hand. */
typedef struct builder {
    uint8_t b[1024];
    size_t n;
} builder;
static void put(builder *b, const void *p, size_t n) {
    memcpy(b->b + b->n, p, n);
    b->n += n;
}
static void put32(builder *b, uint32_t v) {
    put(b, &v, 4);
}
static void put64(builder *b, uint64_t v) {
    put(b, &v, 8);
}
static void put_str(builder *b, const char *s) {
    put64(b, strlen(s));
    put(b, s, strlen(s));
}
static void put_head(builder *b, uint32_t version, uint64_t n_tensors, uint64_t n_kv) {
    put(b, "GGUF", 4);
    put32(b, version);
    put64(b, n_tensors);
    put64(b, n_kv);
}
static void put_tensor(builder *b, const char *name, uint64_t dim, uint32_t type, uint64_t offset) {
    put_str(b, name);
    put32(b, 1);
    put64(b, dim);
    put32(b, type);
    put64(b, offset);
}
/* Two tensors with these fields and data_bytes of data after alignment. */
static builder two(const char *name2, uint64_t dim2, uint32_t type2, uint64_t offset2, size_t data_bytes) {
    builder b = {.n = 0};
    put_head(&b, 3, 2, 0);
    put_tensor(&b, "a", 8, 0, 0);
    put_tensor(&b, name2, dim2, type2, offset2);
    b.n = (b.n + 31) / 32 * 32 + data_bytes;
    return b;
}

static void formats_gguf_refuses_lies(void) {
    const struct {
        const char *name;
        uint64_t dim;
        uint32_t type;
        uint64_t offset;
        size_t data;
        const char *says;
    } cases[] = {
        {"b", 8, 0, 32, 64, NULL},
        {"b", 32, 3, 32, 64, NULL},
        {"a", 8, 0, 32, 64, "tensor a: stored twice"},
        {"b", 8, 0, 0, 64, "its data overlaps"},
        {"b", 8, 0, 32, 63, "tensor b: its data is not inside"},
        {"b", 8, 0, 16, 64, "tensor b: its data is not inside"},
        {"b", 8, 0, UINT64_MAX - 31, 64, "tensor b: its data is not inside"},
        {"b", UINT64_MAX, 0, 32, 64, "tensor b: its dimensions"},
        {"b", 1ull << 62, 0, 32, 64, "tensor b: a row of"},
        {"b", 1ull << 40, 0, 32, 64, "tensor b: its data is not inside"},
        {"b", 0, 0, 32, 64, "tensor b: its dimensions"},
        {"b", 31, 3, 32, 64, "tensor b: a row of 31 is not whole blocks of Q4_1"},
        {"b", 32, 10, 32, 64, "tensor b: GGML type 10"},
        {"b\n", 8, 0, 32, 64, "tensor 1: its name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        builder b = two(cases[i].name, cases[i].dim, cases[i].type, cases[i].offset, cases[i].data);
        pm_status s = parse_copy(parse_gguf, b.b, b.n);
        if (!cases[i].says)
            CHECK_EQ_INT(s, PM_OK);
        else
            check_explained(s, "x: ", cases[i].says);
    }
}

static void formats_gguf_refuses_impossible_metadata(void) {
    builder b = {.n = 0};
    put_head(&b, 3, 0, 1ull << 60);
    check_explained(parse_copy(parse_gguf, b.b, b.n), "x: ", "claims 1152921504606846976 metadata entries");
    b.n = 0, put_head(&b, 3, 1ull << 60, 0);
    check_explained(parse_copy(parse_gguf, b.b, b.n), "x: ", "claims 1152921504606846976 tensors");
    b.n = 0, put_head(&b, 1, 0, 0);
    check_explained(parse_copy(parse_gguf, b.b, b.n), "x: ", "GGUF version 1 is not supported");
    b.n = 0, put_head(&b, 0x03000000, 0, 0);
    check_explained(parse_copy(parse_gguf, b.b, b.n), "x: ", "GGUF version 3 (big-endian)");
    b.n = 0, put_head(&b, 3, 0, 2);
    for (int i = 0; i < 2; i++) put_str(&b, "key"), put32(&b, 4), put32(&b, 7);
    check_explained(parse_copy(parse_gguf, b.b, b.n), "x: ", "metadata key: stored twice");
    b.n = 0, put_head(&b, 3, 0, 1), put_str(&b, "key"), put32(&b, 9), put32(&b, 5), put64(&b, 1ull << 62);
    check_explained(parse_copy(parse_gguf, b.b, b.n), "x: ", "metadata key: its value");
    b.n = 0, put_head(&b, 3, 0, 1), put_str(&b, "key"), put32(&b, 9);
    for (int i = 0; i < 40; i++) put32(&b, 9), put64(&b, 1);
    check_explained(parse_copy(parse_gguf, b.b, b.n), "x: ", "metadata key: its value"); /* nested too deep */
    b.n = 0, put_head(&b, 3, 1, 1), put_str(&b, "general.alignment"), put32(&b, 4), put32(&b, 0);
    put_tensor(&b, "a", 8, 0, 0), b.n += 64;
    check_explained(parse_copy(parse_gguf, b.b, b.n), "x: ", "general.alignment: 0 is not a power of two");
    b.n = 0, put_head(&b, 2, 1, 0), put_tensor(&b, "a", 8, 0, 0), b.n += 64;
    CHECK_EQ_INT(parse_copy(parse_gguf, b.b, b.n), PM_OK); /* version 2 */
}

static void check_index_refused(const char *json, const char *says) {
    const char *path = path_in(dir_, "model.safetensors.index.json");
    write_file(path, json, strlen(json));
    pm_safetensors *s;
    pm_status st = pm_safetensors_open(path, &s, &e);
    CHECK(st != PM_OK && s == NULL);
    if (!strstr(e.msg, says)) CHECK_FAIL_("\"%s\" does not say \"%s\"", e.msg, says);
}

static void formats_index_refuses_lies(void) {
    real x[2] = {1, 2};
    pm_save_tensor a = {"a", 2, 0, x}, b = {"b", 2, 0, x};
    pm_save_tensor both[2] = {a, b};
    CHECK_OK(pm_safetensors_save(path_in(dir_, "1.safetensors"), &a, 1, NULL, &e));
    CHECK_OK(pm_safetensors_save(path_in(dir_, "2.safetensors"), both, 2, NULL, &e));
    check_index_refused("[]", "no weight_map");
    check_index_refused("{\"weight_map\":{}}", "no weight_map");
    check_index_refused("{\"weight_map\":{\"a\":7}}", "not a file beside it");
    check_index_refused("{\"weight_map\":{\"a\":\"../1.safetensors\"}}", "not a file beside it");
    check_index_refused("{\"weight_map\":{\"a\":\"..\"}}", "not a file beside it");
    check_index_refused("{\"weight_map\":{\"a\":\"9.safetensors\"}}", "9.safetensors: No such file");
    check_index_refused("{\"weight_map\":{\"c\":\"1.safetensors\"}}", "tensor c is not in 1.safetensors");
    check_index_refused("{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}",
                        "tensor a: stored twice");
}

static void formats_missing_files_say_so(void) {
    pm_safetensors *s;
    pm_gguf *g;
    CHECK_EQ_INT(pm_safetensors_open(path_in(dir_, "none.safetensors"), &s, &e), PM_EIO);
    CHECK(e.hint[0] && strstr(e.msg, "none.safetensors"));
    CHECK_EQ_INT(pm_gguf_open(dir_, &g, &e), PM_EIO);
    CHECK(strstr(e.msg, "not a regular file"));
    CHECK_EQ_INT(mkfifo(path_in(dir_, "pipe"), 0600), 0);
    CHECK_EQ_INT(pm_gguf_open(path_in(dir_, "pipe"), &g, &e), PM_EIO);
    CHECK(strstr(e.msg, "not a regular file"));
    mkdir(path_in(dir_, "empty"), 0700);
    CHECK_EQ_INT(pm_safetensors_open(path_in(dir_, "empty"), &s, &e), PM_EIO);
    CHECK(strstr(e.msg, "no model.safetensors") && e.hint[0]);
    write_file(path_in(dir_, "zero.gguf"), "", 0);
    check_explained(pm_gguf_open(path_in(dir_, "zero.gguf"), &g, &e), dir_, "the file is empty");
}

/* ---- saving ---- */

static void formats_saved_tensors_come_back(void) {
    real x[6] = {1, -2, (real)0.1, 0, 5, 6}, y[5000];
    for (int i = 0; i < 5000; i++) y[i] = (real)i / 7;
    pm_save_tensor t[] = {
        {"m.weight", 2, 3, x}, {"m.bias", 3, 0, x + 3}, {"big", 50, 100, y}, {"row", 1, 4, x}};
    const char *const meta[] = {"format", "pt", "a \"quote\"", "line\nbreak", NULL};
    CHECK_OK(pm_safetensors_save(path_in(dir_, "out.safetensors"), t, 4, meta, &e));
    pm_safetensors *s = NULL;
    CHECK_OK(pm_safetensors_open(path_in(dir_, "out.safetensors"), &s, &e));
    if (!s) return;
    CHECK_EQ_INT(pm_safetensors_count(s), 4);
    for (int i = 0; i < 4; i++) {
        const pm_tensor_info *r = pm_safetensors_find(s, t[i].name);
        CHECK(r && r->dtype == PM_F32 && r->n_dims == (t[i].cols ? 2 : 1) && r->dim[0] == t[i].rows);
        CHECK(r && (uintptr_t)r->data % 4 == 0);
        for (int64_t k = 0; r && k < pm_tensor_info_count(r); k++) {
            float v;
            memcpy(&v, (const char *)r->data + 4 * k, sizeof v);
            if (!same_float(v, (float)t[i].data[k])) CHECK_FAIL_("%s[%lld]", t[i].name, (long long)k);
        }
    }
    pm_safetensors_close(s);
}

static int files_in(const char *path) {
    char command[300];
    snprintf(command, sizeof command, "ls %s | wc -l", path);
    FILE *f = popen(command, "r");
    int n = -1;
    if (!f || fscanf(f, "%d", &n) != 1) n = -1;
    if (f) pclose(f);
    return n;
}

static bool starts_with(const char *path, const char *text) {
    char buf[8] = {0};
    FILE *f = fopen(path, "rb");
    bool same = f && fread(buf, 1, strlen(text), f) == strlen(text) && !memcmp(buf, text, strlen(text));
    if (f) fclose(f);
    return same;
}

/* Saves 400 kB where they cannot fit: the old file stays, no temporary one is left, the error says why. Exits
 * 0 when so. */
static int save_must_fail(const char *in_dir, int want_errno) {
    static real big[100000];
    char path[300];
    snprintf(path, sizeof path, "%s/a.safetensors", in_dir);
    write_file(path, "old", 3);
    pm_save_tensor t = {"w", 100, 1000, big};
    pm_status s = pm_safetensors_save(path, &t, 1, NULL, &e);
    bool ok = s == PM_EIO && strstr(e.msg, strerror(want_errno)) && strstr(e.hint, "space");
    if (!ok) fprintf(stderr, "  %d %s | %s\n", (int)s, e.msg, e.hint);
    return ok && files_in(in_dir) == 1 && starts_with(path, "old") ? 0 : 1;
}

static int in_child(int (*fn)(const char *), const char *arg) {
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) _exit(fn(arg));
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int limited_file(const char *in_dir) {
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit r = {100000, 100000};
    return setrlimit(RLIMIT_FSIZE, &r) ? 2 : save_must_fail(in_dir, EFBIG);
}

enum { CANNOT_MOUNT = 77 };
static int full_disk(const char *in_dir) {
    if (mount("none", in_dir, "tmpfs", 0, "size=100k")) return CANNOT_MOUNT;
    int r = save_must_fail(in_dir, ENOSPC);
    return umount(in_dir) ? 3 : r;
}

static void formats_save_on_a_full_disk_keeps_the_old_file(void) {
    mkdir(path_in(dir_, "limit"), 0700);
    CHECK_EQ_INT(in_child(limited_file, path_in(dir_, "limit")), 0);
    mkdir(path_in(dir_, "full"), 0700);
    int r = in_child(full_disk, path_in(dir_, "full"));
    if (r == CANNOT_MOUNT)
        SKIP("a full disk", "mounting a small tmpfs is not permitted here");
    else
        CHECK_EQ_INT(r, 0);
}

static void formats_save_into_no_directory_says_so(void) {
    real x = 1;
    pm_save_tensor t = {"w", 1, 1, &x};
    CHECK_EQ_INT(pm_safetensors_save(path_in(dir_, "nowhere/a.safetensors"), &t, 1, NULL, &e), PM_EIO);
    CHECK(strstr(e.msg, "nowhere/a.safetensors") && e.hint[0]);
}

/* ---- a real file ---- */

static const char *real_gguf(void) {
    static char path[512];
    const char *given = getenv("PEFTMETER_TEST_GGUF"), *cache = getenv("PEFTMETER_CACHE"),
               *home = getenv("HOME");
    if (given) return given;
    snprintf(path, sizeof path, "%s%s/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf",
             cache  ? cache
             : home ? home
                    : "",
             cache ? "" : "/.cache/peftmeter");
    return access(path, R_OK) ? NULL : path;
}

/* sha256 over the first 16384 numbers of every tensor as little-endian F32, by name: what the gguf package
 * computes is in smollm2.sha256. */
enum { HEAD = 16384 };
static void formats_real_model_dequantises_as_the_gguf_package(void) {
    pm_gguf *g = NULL;
    CHECK_OK(pm_gguf_open(real_gguf(), &g, &e));
    if (!g) return;
    pm_sha256 sha;
    pm_sha256_init(&sha);
    for (int i = 0; i < pm_gguf_count(g); i++) {
        const pm_tensor_info *t = pm_gguf_at(g, i);
        int64_t n = pm_tensor_info_count(t), head = n < HEAD ? n : HEAD;
        real *y = malloc((size_t)n * sizeof *y);
        static float f[HEAD];
        pm_dtype_to_real(t->dtype, t->data, n, y);
        pm_real_to_f32(y, head, f);
        pm_sha256_update(&sha, f, (size_t)head * 4);
        free(y);
    }
    char hex[65];
    pm_sha256_hex(&sha, hex);
    pm_map want;
    CHECK_OK(pm_map_open(GOLDEN "smollm2.sha256", &want, &e));
    if (want.p && (want.n_bytes < 64 || memcmp(want.p, hex, 64) != 0)) CHECK_FAIL_("the digest is %s", hex);
    pm_map_close(&want);
    pm_gguf_close(g);
}

int main(void) {
    if (!mkdtemp(dir_)) return perror("mkdtemp"), 1;
    RUN(formats_half_is_exact_for_every_pattern);
    RUN(formats_bytes_count_whole_blocks);
    RUN(formats_blocks_equal_the_gguf_package);
    RUN(formats_plain_equals_the_safetensors_package);
    RUN(formats_sharded_set_opens_from_its_directory);
    RUN(formats_gguf_metadata_reads);
    RUN(formats_damaged_gguf_is_explained);
    RUN(formats_damaged_safetensors_is_explained);
    RUN(formats_safetensors_refuses_lies);
    RUN(formats_gguf_refuses_lies);
    RUN(formats_gguf_refuses_impossible_metadata);
    RUN(formats_index_refuses_lies);
    RUN(formats_missing_files_say_so);
    RUN(formats_saved_tensors_come_back);
    RUN(formats_save_on_a_full_disk_keeps_the_old_file);
    RUN(formats_save_into_no_directory_says_so);
    if (real_gguf())
        RUN(formats_real_model_dequantises_as_the_gguf_package);
    else
        SKIP("formats_real_model",
             "no SmolLM2 GGUF (peftmeter models fetch smollm2-135m, or PEFTMETER_TEST_GGUF)");
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", dir_);
    if (system(command)) perror(command);
    return check_done();
}
