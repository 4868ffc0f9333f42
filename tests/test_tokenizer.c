/* test_tokenizer.c - the tokenizers against what `tokenizers` and `sentencepiece` computed (golden/make_tokenizer.py), and against
 * damaged files. Strings are made here by the same generator as there; only hashes of the expected ids are stored. */
#include "check.h"
#include "sha256.h"
#include "tok.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define GOLD "tests/golden/tokenizer/"
enum { N_STRINGS = 6500, N_VARIANT = 1300, BLOCK = 10, VARIANT_BLOCK = 50, N_QUESTIONS = 2000 };

/* ---- strings ---- */

typedef struct text {
    char *s;
    size_t n;
} text;
typedef struct category {
    char name[32];
    text *atom;
    int n;
} category;
static category cats[32];
static int n_cats;
static text strings[N_STRINGS];

static void *must(void *p) {
    if (!p) abort();
    return p;
}

static text from_hex(const char *hex) {
    text t = {must(malloc(strlen(hex) / 2 + 1)), strlen(hex) / 2};
    for (size_t i = 0; i < t.n; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        t.s[i] = (char)byte;
    }
    return t;
}

static void read_atoms(void) {
    FILE *f = fopen(GOLD "atoms.tsv", "r");
    char name[32], hex[1024];
    CHECK(f != NULL);
    while (f && fscanf(f, "%31s %1023s", name, hex) == 2) {
        if (!n_cats || strcmp(cats[n_cats - 1].name, name) != 0)
            snprintf(cats[n_cats++].name, sizeof cats[0].name, "%s", name);
        category *c = &cats[n_cats - 1];
        c->atom = must(realloc(c->atom, (size_t)(c->n + 1) * sizeof *c->atom));
        c->atom[c->n++] = from_hex(hex);
    }
    if (f) fclose(f);
}

static uint64_t xorshift(uint64_t x) {
    x ^= x << 13;
    x ^= x >> 7;
    return x ^ x << 17;
}

/* String i, as make_tokenizer.py's `strings` makes it. */
static text make_string(int i) {
    uint64_t x = xorshift(0x9e3779b97f4a7c15u * (uint64_t)(i + 1));
    int kind = i % (n_cats + 1), n = 1 + (int)(x % 20);
    pm_tok_buf b = {0};
    for (int k = 0; k < n; k++) {
        x = xorshift(x);
        const category *c = &cats[kind < n_cats ? (uint64_t)kind : (x >> 20) % (uint64_t)n_cats];
        const text *a = &c->atom[(x >> 32) % (uint64_t)c->n];
        pm_tok_buf_add(&b, a->s, a->n);
    }
    return (text){b.p, b.n};
}

/* ---- expectations ---- */

static uint64_t fnv_word(uint64_t h, uint32_t v) {
    for (int k = 0; k < 4; k++) h = (h ^ (v >> 8 * k & 255)) * 0x100000001b3u;
    return h;
}

static uint64_t fnv_ids(uint64_t h, const pm_ids *ids) {
    h = fnv_word(h, (uint32_t)ids->n);
    for (int64_t i = 0; i < ids->n; i++) h = fnv_word(h, (uint32_t)ids->id[i]);
    return h;
}

static uint64_t fnv_bytes(uint64_t h, const char *s, size_t n) {
    h = fnv_word(h, (uint32_t)n);
    for (size_t i = 0; i < n; i++) h = fnv_word(h, (unsigned char)s[i]);
    return h;
}

static void encode(const pm_tokenizer *t, const char *s, size_t n, unsigned flags, pm_ids *out) {
    pm_err e = {0};
    out->n = 0;
    CHECK_OK(pm_tokenizer_encode(t, s, n, flags, out, &e));
}

/* The ids of `want`, "id id ...", against those of `got`. */
static void check_full(const char *what, const pm_ids *got, const char *want) {
    int64_t i = 0;
    char *end;
    for (long id = strtol(want, &end, 10); end != want; id = strtol(want, &end, 10), i++) {
        if (i < got->n && got->id[i] != id) {
            CHECK_FAIL_("%s: id %lld is %d, want %ld", what, (long long)i, got->id[i], id);
            return;
        }
        want = end;
    }
    if (i != got->n) CHECK_FAIL_("%s: %lld ids, want %lld", what, (long long)got->n, (long long)i);
}

static uint64_t hash_block(const pm_tokenizer *t, const text *s, long first, long n, unsigned flags,
                           bool decoded) {
    uint64_t h = 0xcbf29ce484222325u;
    pm_ids ids = {0};
    for (long i = first; i < first + n; i++) {
        encode(t, s[i].s, s[i].n, flags, &ids);
        size_t len = 0;
        char *back = decoded ? pm_tokenizer_decode(t, ids.id, ids.n, false, &len) : NULL;
        h = decoded ? fnv_bytes(h, back, len) : fnv_ids(h, &ids);
        free(back);
    }
    pm_ids_free(&ids);
    return h;
}

static void check_hash(const pm_tokenizer *t, const char *what, const text *s, long n, long first, long block,
                       unsigned flags, bool decoded, unsigned long long want) {
    long size = first + block < n ? block : n - first;
    uint64_t got = hash_block(t, s, first, size, flags, decoded);
    if (got != want)
        CHECK_FAIL_("%s: %s of strings %ld to %ld differ", what, decoded ? "texts" : "ids", first,
                    first + size - 1);
}

/* Compares with every line of NAME.ids whose letter is `letter`; returns how many strings that were. */
static long compare(const pm_tokenizer *t, const char *name, char letter, const text *s, long n,
                    unsigned flags) {
    static char line[1 << 16];
    char path[256], kind;
    long first, seen = 0;
    int at;
    pm_ids ids = {0};
    snprintf(path, sizeof path, GOLD "%s.ids", name);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    while (f && fgets(line, sizeof line, f)) {
        unsigned long long want;
        if (sscanf(line, "F %c %ld%n", &kind, &first, &at) == 2) {
            if (kind != letter) continue;
            encode(t, s[first].s, s[first].n, flags, &ids);
            check_full(name, &ids, line + at);
        } else if (sscanf(line, "%c %ld %llx", &kind, &first, &want) == 3 && kind == letter) {
            check_hash(t, name, s, n, first, BLOCK, flags, false, want);
            seen = first + BLOCK < n ? first + BLOCK : n;
        }
    }
    if (f) fclose(f);
    pm_ids_free(&ids);
    return seen;
}

static pm_tokenizer *open_json(const char *path) {
    pm_err e = {0};
    pm_tokenizer *t = NULL;
    CHECK_OK(pm_tokenizer_from_json(path, &t, &e));
    return t;
}

static pm_tokenizer *open_gguf(const char *path) {
    pm_err e = {0};
    pm_gguf *g = NULL;
    pm_tokenizer *t = NULL;
    CHECK_OK(pm_gguf_open(path, &g, &e));
    if (g) CHECK_OK(pm_tokenizer_from_gguf(g, &t, &e));
    pm_gguf_close(g);
    return t;
}

/* ---- against the libraries ---- */

static void tokenizer_json_equals_the_library(void) {
    static const char *const names[] = {"gpt2", "qwen2", "llama3", "llama2", "ab"};
    for (int i = 0; i < 5; i++) {
        char path[256];
        snprintf(path, sizeof path, GOLD "%s.json", names[i]);
        pm_tokenizer *t = open_json(path);
        if (t) CHECK_EQ_INT(compare(t, names[i], 'S', strings, N_STRINGS, PM_TOK_SPECIAL), N_STRINGS);
        pm_tokenizer_free(t);
    }
}

static void tokenizer_gguf_equals_the_library(void) {
    static const struct {
        const char *file, *ids;
        unsigned flags;
    } cases[] = {{"gpt2", "gpt2", PM_TOK_SPECIAL},
                 {"qwen2", "qwen2", PM_TOK_SPECIAL},
                 {"llama3", "llama3", PM_TOK_SPECIAL},
                 {"llama2", "llama2", PM_TOK_SPECIAL},
                 {"ab", "ab_spm", 0},
                 {"llama2", "llama2_spm", 0}}; /* sentencepiece takes "<s>" in a text for three characters */
    for (int i = 0; i < 6; i++) {
        char path[256];
        snprintf(path, sizeof path, GOLD "%s.gguf", cases[i].file);
        pm_tokenizer *t = open_gguf(path);
        if (t) CHECK_EQ_INT(compare(t, cases[i].ids, 'S', strings, N_STRINGS, cases[i].flags), N_STRINGS);
        pm_tokenizer_free(t);
    }
}

/* ---- one component at a time: variants.json ---- */

static cJSON *read_json(const char *path) {
    pm_map m;
    pm_err e = {0};
    if (pm_map_open(path, &m, &e) != PM_OK) return NULL;
    cJSON *o = cJSON_ParseWithLength((const char *)m.p, m.n_bytes);
    pm_map_close(&m);
    return o;
}

static char temp[256]; /* a directory of this process */

static const char *temp_path(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", temp, name);
    return path;
}

static const char *write_temp(const char *name, const void *p, size_t n) {
    const char *path = temp_path(name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p, 1, n, f) != n || fclose(f) != 0) CHECK_FAIL_("cannot write %s", path);
    return path;
}

static void put_item(cJSON *o, const char *key, const cJSON *value) {
    cJSON_DeleteItemFromObjectCaseSensitive(o, key);
    cJSON_AddItemToObject(o, key, cJSON_Duplicate(value, true));
}

/* Writes the tree to a temporary file and frees it. */
static const char *write_tree(cJSON *o) {
    char *out = must(cJSON_PrintUnformatted(o));
    const char *written = write_temp("tokenizer.json", out, strlen(out));
    cJSON_free(out);
    cJSON_Delete(o);
    return written;
}

/* The base file with the variant's keys put in place ("model": key by key), in a temporary file. */
static const char *write_variant(const cJSON *variant) {
    char path[256];
    const cJSON *change = cJSON_GetObjectItem(variant, "change"), *item, *inner;
    snprintf(path, sizeof path, GOLD "%s.json", cJSON_GetStringValue(cJSON_GetObjectItem(variant, "base")));
    cJSON *o = must(read_json(path));
    cJSON_ArrayForEach(item, change) {
        if (strcmp(item->string, "model") != 0)
            put_item(o, item->string, item);
        else
            cJSON_ArrayForEach(inner, item) put_item(cJSON_GetObjectItem(o, "model"), inner->string, inner);
    }
    return write_tree(o);
}

/* The lines `NAME S|D first hash` of variants.ids; returns how many fitted this variant. */
static int compare_variant(const pm_tokenizer *t, const char *name) {
    char line[256], who[64], letter;
    int n = 0;
    FILE *f = must(fopen(GOLD "variants.ids", "r"));
    while (fgets(line, sizeof line, f)) {
        long first;
        unsigned long long want;
        if (sscanf(line, "%63s %c %ld %llx", who, &letter, &first, &want) != 4 || strcmp(who, name) != 0)
            continue;
        check_hash(t, name, strings, N_VARIANT, first, VARIANT_BLOCK, PM_TOK_SPECIAL, letter == 'D', want);
        n++;
    }
    fclose(f);
    return n;
}

static void tokenizer_components_equal_the_library(void) {
    cJSON *all = read_json(GOLD "variants.json"), *v;
    CHECK(cJSON_GetArraySize(all) > 30);
    cJSON_ArrayForEach(v, all) {
        pm_tokenizer *t = open_json(write_variant(v));
        if (t) CHECK_EQ_INT(compare_variant(t, v->string), 2 * N_VARIANT / VARIANT_BLOCK);
        pm_tokenizer_free(t);
    }
    cJSON_Delete(all);
    pm_tokenizer *t = open_gguf(GOLD "smollm.gguf");
    if (t) CHECK_EQ_INT(compare_variant(t, "smollm"), 2 * N_VARIANT / VARIANT_BLOCK);
    pm_tokenizer_free(t);
}

/* ---- the real SmolLM2 ---- */

static const char *in_cache(const char *env, const char *name, char path[1024]) {
    const char *given = getenv(env), *cache = getenv("PEFTMETER_CACHE"), *home = getenv("HOME");
    if (given)
        snprintf(path, 1024, "%s", given);
    else if (cache)
        snprintf(path, 1024, "%s/%s", cache, name);
    else
        snprintf(path, 1024, "%s/.cache/peftmeter/%s", home ? home : "", name);
    return access(path, R_OK) == 0 ? path : NULL;
}

static pm_tokenizer *open_smollm2(const char *what) {
    char path[1024];
    if (in_cache("PEFTMETER_TEST_GGUF", "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf", path))
        return open_gguf(path);
    SKIP(what, "no SmolLM2 GGUF in the cache and PEFTMETER_TEST_GGUF is not set");
    return NULL;
}

static void tokenizer_smollm2_equals_the_library(void) {
    pm_tokenizer *t = open_smollm2("tokenizer_smollm2_equals_the_library");
    if (!t) return;
    CHECK_EQ_INT(pm_tokenizer_vocab(t), 49152);
    CHECK_EQ_INT(pm_tokenizer_bos(t), 1);
    CHECK_EQ_INT(pm_tokenizer_eos(t), 2);
    CHECK_EQ_INT(pm_tokenizer_id(t, "<|im_end|>"), 2);
    CHECK_EQ_INT(compare(t, "smollm2", 'S', strings, N_STRINGS, PM_TOK_SPECIAL), N_STRINGS);
    pm_tokenizer_free(t);
}

/* The first n "question"s of a JSONL file. */
static int read_questions(const char *path, text *out, int n) {
    static char line[1 << 16];
    FILE *f = fopen(path, "r");
    int k = 0;
    while (f && k < n && fgets(line, sizeof line, f)) {
        cJSON *o = cJSON_Parse(line);
        const char *q = cJSON_GetStringValue(cJSON_GetObjectItem(o, "question"));
        if (q) out[k++] = (text){must(strdup(q)), strlen(q)};
        cJSON_Delete(o);
    }
    if (f) fclose(f);
    return k;
}

static void tokenizer_smollm2_equals_the_library_on_gsm8k(void) {
    static text q[N_QUESTIONS];
    char path[1024];
    const char *data = in_cache("PEFTMETER_TEST_DATA", "data", path);
    if (!data) {
        SKIP("tokenizer_smollm2_equals_the_library_on_gsm8k",
             "no data in the cache and PEFTMETER_TEST_DATA is not set");
        return;
    }
    pm_tokenizer *t = open_smollm2("tokenizer_smollm2_equals_the_library_on_gsm8k");
    if (!t) return;
    char file[1100];
    snprintf(file, sizeof file, "%s/gsm8k/train.jsonl", path);
    CHECK_EQ_INT(read_questions(file, q, N_QUESTIONS), N_QUESTIONS);
    CHECK_EQ_INT(compare(t, "smollm2", 'Q', q, N_QUESTIONS, PM_TOK_SPECIAL), N_QUESTIONS);
    for (int i = 0; i < N_QUESTIONS; i++) free(q[i].s);
    pm_tokenizer_free(t);
}

/* Reported, and checked where the build is the one users run. CPU time: other jobs do not count. */
static void tokenizer_smollm2_loads_fast(void) {
    pm_tokenizer *t = open_smollm2("tokenizer_smollm2_loads_fast");
    if (!t) return;
    double best = 1;
    pm_tokenizer_free(t);
    for (int i = 0; i < 5; i++) {
        clock_t from = clock();
        pm_tokenizer_free(open_smollm2(""));
        double s = (double)(clock() - from) / CLOCKS_PER_SEC;
        best = s < best ? s : best;
    }
    printf("SmolLM2's tokenizer loads in %.1f ms of CPU time\n", best * 1e3);
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(PM_DEBUG)
    CHECK(best < 0.060);
#endif
}

/* ---- there and back ---- */

static void check_back(const pm_tokenizer *t, const char *what, const char *s, size_t n) {
    pm_ids ids = {0};
    size_t len = 0;
    encode(t, s, n, 0, &ids);
    char *back = pm_tokenizer_decode(t, ids.id, ids.n, false, &len);
    if (!ids.n_dropped && (len != n || memcmp(back, s, n) != 0))
        CHECK_FAIL_("%s: decode(encode(x)) != x for %zu bytes", what, n);
    CHECK(back[len] == 0);
    free(back);
    pm_ids_free(&ids);
}

static void check_all_back(const pm_tokenizer *t, const char *what, bool marks) {
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < N_STRINGS; i++)
        if (marks || !pm_tok_find_bytes(strings[i].s, strings[i].n, "\xe2\x96\x81", 3))
            check_back(t, what, strings[i].s, strings[i].n);
    for (int i = 0; i < 3000; i++) {
        char s[64];
        size_t n = (x = xorshift(x)) % sizeof s;
        for (size_t k = 0; k < n; k++) {
            x = xorshift(x);
            s[k] =
                (char)(x >> 40 & 1 ? x >> 32 : 0x80 | (x >> 32 & 0x3f)); /* half of them continuation bytes */
            if (x >> 50 & 1) s[k] = "e \n9\xc3\xe2\xf0<"[x >> 52 & 7];
        }
        check_back(t, what, s, n);
    }
}

static void tokenizer_decodes_what_it_encoded(void) {
    static const char *const names[] = {"gpt2", "llama3", "llama2"};
    for (int i = 0; i < 3; i++) {
        char path[256];
        snprintf(path, sizeof path, GOLD "%s.gguf", names[i]);
        pm_tokenizer *t = open_gguf(path);
        if (t) check_all_back(t, names[i], i < 2); /* sentencepiece cannot tell U+2581 from a space */
        pm_tokenizer_free(t);
    }
    pm_tokenizer *t = open_smollm2("tokenizer_decodes_what_it_encoded (SmolLM2)");
    if (t) check_all_back(t, "SmolLM2", true);
    pm_tokenizer_free(t);
}

static void check_drops(const pm_tokenizer *t, const char *s, size_t n, int64_t dropped, const char *rest) {
    pm_ids ids = {0};
    for (int times = 1; times <= 3; times++) { /* from the second on, a piece might come from the cache */
        encode(t, s, n, 0, &ids);
        CHECK_EQ_INT(ids.n_dropped, dropped * times);
    }
    char *back = pm_tokenizer_decode(t, ids.id, ids.n, false, NULL);
    CHECK_EQ_STR(back, rest);
    free(back);
    pm_ids_free(&ids);
}

/* A vocabulary without a byte's token and without an unknown token: left out, and counted. SmolLM2's lacks 21 bytes. */
static void tokenizer_counts_what_it_drops(void) {
    cJSON *all = must(read_json(GOLD "variants.json"));
    pm_tokenizer *t = open_json(write_variant(cJSON_GetObjectItem(all, "drop")));
    if (t) check_drops(t, "a\xff\xe0\xa4\x84\x04z", 7, 5, "az");
    pm_tokenizer_free(t);
    cJSON_Delete(all);
    t = open_gguf(GOLD "gpt2.gguf");
    if (t) check_drops(t, "a\xff\x04z", 4, 0, "a\xff\x04z");
    pm_tokenizer_free(t);
    t = open_smollm2("tokenizer_counts_what_it_drops (SmolLM2)");
    if (t) check_drops(t, "a\xff\x04z", 4, 2, "az");
    pm_tokenizer_free(t);
}

/* ---- flags, templates, configuration ---- */

static void check_ids(const pm_tokenizer *t, const char *s, unsigned flags, const char *want) {
    pm_ids ids = {0};
    encode(t, s, strlen(s), flags, &ids);
    check_full(s, &ids, want);
    pm_ids_free(&ids);
}

static void tokenizer_puts_the_template_around(void) {
    pm_tokenizer *t = open_json(GOLD "llama3.json");
    if (t) {
        check_ids(t, "", 0, "");
        check_ids(t, "", PM_TOK_BOS, "1");
        check_ids(t, "", PM_TOK_BOS | PM_TOK_EOS, "1 2");
        check_ids(t, "<|im_end|>", PM_TOK_SPECIAL, "2");
        check_ids(t, "<|im_end|>", PM_TOK_SPECIAL | PM_TOK_EOS, "2 2");
        CHECK_EQ_INT(pm_tokenizer_bos(t), 1);
        CHECK_EQ_INT(pm_tokenizer_eos(t), 2);
        pm_ids ids = {0};
        encode(t, "<|im_end|>", 10, 0, &ids);
        CHECK(ids.n > 2); /* plain text when special tokens are off */
        char *shown = pm_tokenizer_decode(t, (const int32_t[]){1, 2, -7, 1 << 30, 0}, 5, false, NULL);
        char *hidden = pm_tokenizer_decode(t, (const int32_t[]){1, 2, -7, 1 << 30, 0}, 5, true, NULL);
        CHECK_EQ_STR(shown, "<|im_start|><|im_end|><|endoftext|>");
        CHECK_EQ_STR(hidden, "");
        free(shown);
        free(hidden);
        pm_ids_free(&ids);
    }
    pm_tokenizer_free(t);
    t = open_gguf(GOLD "llama2.gguf"); /* no add_bos_token: the model's default, true */
    if (t) check_ids(t, "", PM_TOK_BOS | PM_TOK_EOS, "1");
    pm_tokenizer_free(t);
    t = open_gguf(GOLD "gpt2.gguf");
    if (t) check_ids(t, "", PM_TOK_BOS | PM_TOK_EOS, "");
    pm_tokenizer_free(t);
}

static void copy_temp(const char *from) {
    pm_map m;
    pm_err e = {0};
    CHECK_OK(pm_map_open(from, &m, &e));
    write_temp("tokenizer.json", m.p, m.n_bytes);
    pm_map_close(&m);
}

static void tokenizer_reads_its_config(void) {
    static const struct {
        const char *config, *prefix;
        int bos, eos;
    } cases[] = {
        {"{}", "1", 1, -1},
        {"{\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"</s>\"},\"add_bos_token\":false}", "", 1, 2},
        {"{\"bos_token\":null,\"eos_token\":\"</s>\"}", "1", 1, 2},
        {"{\"bos_token\":\"</s>\",\"add_bos_token\":true}", "2 1", 2, -1},
    };
    copy_temp(GOLD "llama2.json");
    for (int i = 0; i < 4; i++) {
        write_temp("tokenizer_config.json", cases[i].config, strlen(cases[i].config));
        pm_tokenizer *t = open_json(temp);
        if (!t) continue;
        check_ids(t, "", PM_TOK_BOS, cases[i].prefix);
        CHECK_EQ_INT(pm_tokenizer_bos(t), cases[i].bos);
        CHECK_EQ_INT(pm_tokenizer_eos(t), cases[i].eos);
        pm_tokenizer_free(t);
    }
    pm_tokenizer *t = NULL;
    pm_err e = {0};
    write_temp("tokenizer_config.json", "{\"eos_token\":\"<gone>\"}", 22);
    CHECK_EQ_INT(pm_tokenizer_from_json(temp, &t, &e), PM_EFORMAT);
    unlink(temp_path("tokenizer_config.json"));
}

/* ---- many threads, long texts ---- */

static void tokenizer_encodes_from_many_threads(void) {
    pm_tokenizer *t = open_json(GOLD "llama3.json");
    if (!t) return;
    uint64_t want = hash_block(t, strings, 0, 500, PM_TOK_SPECIAL, false);
    int wrong = 0;
#pragma omp parallel for num_threads(8) reduction(+ : wrong)
    for (int i = 0; i < 16; i++) wrong += hash_block(t, strings, 0, 500, PM_TOK_SPECIAL, false) != want;
    CHECK_EQ_INT(wrong, 0);
    pm_tokenizer_free(t);
}

static char long_text[1 << 19];

static void check_long(const char *what, const pm_tokenizer *t) {
    clock_t from = clock();
    memset(long_text, ' ', sizeof long_text);
    for (size_t i = 0; i < sizeof long_text; i += 3) long_text[i] = 'e';
    if (t) check_back(t, what, long_text, sizeof long_text);
    memset(long_text, 'e', sizeof long_text);
    if (t) check_back(t, what, long_text, sizeof long_text);
    CHECK((double)(clock() - from) / CLOCKS_PER_SEC < 5);
}

/* One piece of half a million characters: quadratic merging would take minutes. */
static void tokenizer_merges_long_pieces(void) {
    static const char *const files[] = {GOLD "gpt2.gguf", GOLD "llama2.gguf"};
    for (int i = 0; i < 2; i++) {
        pm_tokenizer *t = open_gguf(files[i]);
        check_long(files[i], t);
        pm_tokenizer_free(t);
    }
}

/* ---- what it refuses ---- */

typedef struct edit { /* of a tokenizer.json: the value at the dotted path is replaced (or added) */
    const char *base, *path, *value;
    pm_status want;
    const char *says; /* must stand in the message */
} edit;
static const edit edits[] = {
    {"gpt2", "model.type", "\"Unigram\"", PM_EUNSUPPORTED, "Unigram"},
    {"gpt2", "model.type", "7", PM_EFORMAT, "type"},
    {"gpt2", "model.dropout", "0.1", PM_EUNSUPPORTED, "dropout"},
    {"gpt2", "model.continuing_subword_prefix", "\"##\"", PM_EUNSUPPORTED, "continuing_subword_prefix"},
    {"gpt2", "model.end_of_word_suffix", "\"</w>\"", PM_EUNSUPPORTED, "end_of_word_suffix"},
    {"gpt2", "model.unk_token", "\"[UNK]\"", PM_EFORMAT, "unk_token"},
    {"gpt2", "model.byte_fallback", "1", PM_EFORMAT, "byte_fallback"},
    {"gpt2", "model.vocab", "[]", PM_EFORMAT, "vocab"},
    {"gpt2", "model.vocab", "{\"a\":0,\"b\":0}", PM_EFORMAT, "given twice"},
    {"gpt2", "model.vocab", "{\"a\":0,\"a\":1}", PM_EFORMAT, "both"},
    {"gpt2", "model.vocab", "{\"a\":4294967296}", PM_EFORMAT, "\"a\""},
    {"gpt2", "model.vocab", "{\"a\":2147483647}", PM_EFORMAT, "2147483647"},
    {"gpt2", "model.vocab", "{\"a\":-1}", PM_EFORMAT, "\"a\""},
    {"gpt2", "model.vocab", "{\"a\":0.5}", PM_EFORMAT, "\"a\""},
    {"gpt2", "model.vocab", "{\"a\":1e999}", PM_EFORMAT, "\"a\""},
    {"gpt2", "model.vocab", "{\"a\":\"0\"}", PM_EFORMAT, "\"a\""},
    {"gpt2", "model.merges", "{}", PM_EFORMAT, "merges"},
    {"gpt2", "model.merges", "[\"q nosuchtoken\"]", PM_EFORMAT, "merge 0"},
    {"gpt2", "model.merges", "[[\"t\",\"h\"],[\"t\",\"\\u20ac\"]]", PM_EFORMAT, "merge 1"},
    {"gpt2", "model.merges", "[\"t h e\"]", PM_EFORMAT, "merge 0"},
    {"gpt2", "model.merges", "[\"th\"]", PM_EFORMAT, "merge 0"},
    {"gpt2", "model.merges", "[[\"t\"]]", PM_EFORMAT, "merges"},
    {"gpt2", "model.merges", "[[\"t\",\"h\",\"e\"]]", PM_EFORMAT, "merges"},
    {"gpt2", "model.merges", "[3]", PM_EFORMAT, "merges"},
    {"gpt2", "model", "null", PM_EFORMAT, "model"},
    {"gpt2", "normalizer", "{\"type\":\"BertNormalizer\"}", PM_EUNSUPPORTED, "BertNormalizer"},
    {"gpt2", "normalizer", "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Precompiled\"}]}",
     PM_EUNSUPPORTED, "Precompiled"},
    {"gpt2", "normalizer", "{\"type\":\"Sequence\"}", PM_EFORMAT, "normalizers"},
    {"gpt2", "normalizer", "{\"type\":\"Prepend\",\"prepend\":3}", PM_EFORMAT, "prepend"},
    {"gpt2", "normalizer", "7", PM_EFORMAT, "type"},
    {"gpt2", "pre_tokenizer", "{\"type\":\"Whitespace\"}", PM_EUNSUPPORTED, "Whitespace"},
    {"gpt2", "pre_tokenizer", "{\"type\":\"ByteLevel\",\"use_regex\":\"yes\"}", PM_EFORMAT, "use_regex"},
    {"gpt2", "pre_tokenizer",
     "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},{\"type\":\"Digits\"}]}",
     PM_EUNSUPPORTED, "after ByteLevel"},
    {"gpt2", "pre_tokenizer", "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"}",
     PM_EUNSUPPORTED, "pattern ("},
    {"gpt2", "pre_tokenizer",
     "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a[bc]]\"},\"behavior\":\"Isolated\"}", PM_EUNSUPPORTED,
     "class within"},
    {"gpt2", "pre_tokenizer",
     "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a&&b]\"},\"behavior\":\"Isolated\"}", PM_EUNSUPPORTED,
     "intersection"},
    {"gpt2", "pre_tokenizer",
     "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\h+\"},\"behavior\":\"Isolated\"}", PM_EUNSUPPORTED,
     "escape"},
    {"gpt2", "pre_tokenizer",
     "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\\\\\"},\"behavior\":\"Isolated\"}", PM_EUNSUPPORTED,
     "escape"},
    {"gpt2", "pre_tokenizer",
     "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a{1,2}+\"},\"behavior\":\"Isolated\"}", PM_EUNSUPPORTED,
     "{n,m}+"},
    {"gpt2", "pre_tokenizer", "{\"type\":\"Split\",\"pattern\":\"a\",\"behavior\":\"Isolated\"}", PM_EFORMAT,
     "pattern"},
    {"gpt2", "pre_tokenizer", "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Sideways\"}",
     PM_EUNSUPPORTED, "Sideways"},
    {"gpt2", "decoder", "{\"type\":\"WordPiece\"}", PM_EUNSUPPORTED, "WordPiece"},
    {"gpt2", "decoder", "{\"type\":\"Strip\",\"content\":\"\",\"start\":1,\"stop\":0}", PM_EFORMAT,
     "content"},
    {"gpt2", "decoder", "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"often\"}",
     PM_EFORMAT, "prepend_scheme"},
    {"gpt2", "post_processor", "{\"type\":\"RobertaProcessing\"}", PM_EUNSUPPORTED, "RobertaProcessing"},
    {"llama2", "post_processor.special_tokens", "{}", PM_EFORMAT, "special_tokens"},
    {"llama2", "post_processor.special_tokens", "{\"<s>\":{\"ids\":[99999]}}", PM_EFORMAT, "99999"},
    {"llama2", "post_processor.single", "7", PM_EFORMAT, "single"},
    {"gpt2", "added_tokens", "7", PM_EFORMAT, "added_tokens"},
    {"gpt2", "added_tokens", "[{\"id\":0,\"content\":\"<x>\"}]", PM_EFORMAT, "given twice"},
    {"gpt2", "added_tokens", "[{\"id\":5000,\"content\":\"e\"}]", PM_EFORMAT, "both"},
    {"gpt2", "added_tokens", "[{\"id\":5000,\"content\":\"\"}]", PM_EFORMAT, "content"},
    {"gpt2", "added_tokens", "[{\"content\":\"<x>\"}]", PM_EFORMAT, "id"},
};

static void put_raw(cJSON *o, const char *key, const char *value) {
    cJSON_DeleteItemFromObjectCaseSensitive(o, key);
    cJSON_AddItemToObject(o, key, cJSON_CreateRaw(value));
}

/* Parses value apart from cJSON_Duplicate so that doubled keys survive into the file: the text is put in literally. */
static const char *write_edit(const edit *d) {
    char path[256], key[64];
    snprintf(path, sizeof path, GOLD "%s.json", d->base);
    cJSON *root = must(read_json(path)), *o = root;
    const char *dot = strchr(d->path, '.');
    if (dot) {
        snprintf(key, sizeof key, "%.*s", (int)(dot - d->path), d->path);
        o = must(cJSON_GetObjectItem(root, key));
    }
    put_raw(o, dot ? dot + 1 : d->path, d->value);
    return write_tree(root);
}

/* The two lines a user would see: printable, about this file, with a way out. */
static void check_explained(const pm_err *e, const char *where) {
    if (strncmp(e->msg, where, strlen(where)) != 0)
        CHECK_FAIL_("\"%s\" does not start with %s", e->msg, where);
    CHECK(e->hint[0] != 0);
    for (const char *c = e->msg; *c; c++)
        if (*c < ' ' || *c > '~') CHECK_FAIL_("byte %d in \"%s\"", *c, e->msg);
}

static void tokenizer_names_what_it_refuses(void) {
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        pm_err e = {0};
        pm_tokenizer *t = NULL;
        pm_status rc = pm_tokenizer_from_json(write_edit(&edits[i]), &t, &e);
        if (rc != edits[i].want || t)
            CHECK_FAIL_("%s = %s: status %d, want %d (%s)", edits[i].path, edits[i].value, rc, edits[i].want,
                        e.msg);
        if (rc && !strstr(e.msg, edits[i].says))
            CHECK_FAIL_("%s = %s: \"%s\" lacks \"%s\"", edits[i].path, edits[i].value, e.msg, edits[i].says);
        if (rc) check_explained(&e, temp);
        pm_tokenizer_free(t);
    }
}

/* Tokens that are not written in GPT-2's alphabet: an added one is its own text though every letter of it (U+00E9) is in the
 * alphabet, an ordinary one because one of its letters (U+20AC) is not. */
static void tokenizer_decodes_tokens_outside_the_alphabet(void) {
    const edit added = {"gpt2", "added_tokens", "[{\"id\":701,\"content\":\"<\u00e9>\"}]", PM_OK, ""},
               plain = {"ab", "model.vocab", "{\"b\":0,\"\u0120a\u20ac\":1}", PM_OK, ""};
    pm_tokenizer *t = open_json(write_edit(&added));
    char *back = t ? pm_tokenizer_decode(t, (const int32_t[]){701}, 1, false, NULL) : NULL;
    CHECK_EQ_STR(back, "<\xc3\xa9>");
    free(back);
    pm_tokenizer_free(t);
    cJSON *o = must(read_json(write_edit(&plain)));
    put_raw(o, "decoder", "{\"type\":\"ByteLevel\"}");
    put_raw(cJSON_GetObjectItem(o, "model"), "merges", "[]");
    put_raw(cJSON_GetObjectItem(o, "model"), "unk_token", "null");
    t = open_json(write_tree(o));
    back = t ? pm_tokenizer_decode(t, (const int32_t[]){1, 0}, 2, false, NULL) : NULL;
    CHECK_EQ_STR(back, "\xc4\xa0"
                       "a\xe2\x82\xac"
                       "b");
    free(back);
    pm_tokenizer_free(t);
}

/* A group repeated half a million times overflows the JIT's stack: the interpreter takes over. A pattern that tries exponentially
 * many ways is an error, not a standstill. */
static void tokenizer_bounds_its_patterns(void) {
#define SPLIT(re)                                                                                            \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" re             \
    "\"},\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]}"
    const edit deep = {"gpt2", "pre_tokenizer", SPLIT("(?:e|[^e])+"), PM_OK, ""},
               endless = {"gpt2", "pre_tokenizer", SPLIT("(?:e+)+\\\\d"), PM_OK, ""};
    pm_tokenizer *t = open_json(write_edit(&deep));
    check_long("deep", t);
    pm_tokenizer_free(t);
    t = open_json(write_edit(&endless));
    pm_ids ids = {0};
    pm_err e = {0};
    if (t) CHECK_EQ_INT(pm_tokenizer_encode(t, long_text, 100, 0, &ids, &e), PM_EFORMAT);
    CHECK(strstr(e.msg, "pattern") != NULL);
    pm_ids_free(&ids);
    pm_tokenizer_free(t);
}

static void tokenizer_missing_file_is_an_io_error(void) {
    pm_err e = {0};
    pm_tokenizer *t = NULL;
    CHECK_EQ_INT(pm_tokenizer_from_json(temp_path("nowhere"), &t, &e), PM_EIO);
    CHECK(t == NULL && strstr(e.msg, "tokenizer.json") != NULL);
}

/* ---- damaged files ---- */

typedef pm_status opener(const char *path, pm_tokenizer **t, pm_err *e);

static pm_status from_gguf_file(const char *path, pm_tokenizer **t, pm_err *e) {
    pm_gguf *g = NULL;
    pm_status rc = pm_gguf_open(path, &g, e);
    if (rc == PM_OK) rc = pm_tokenizer_from_gguf(g, t, e);
    pm_gguf_close(g);
    return rc;
}

/* Loads what lies in `path`; a tokenizer that still loads must still encode and decode anything. */
static pm_status survive(opener *open, const char *path) {
    pm_err e = {0};
    pm_tokenizer *t = NULL;
    pm_status rc = open(path, &t, &e);
    if (rc == PM_OK) {
        pm_ids ids = {0};
        pm_tokenizer_encode(t, strings[12].s, strings[12].n, PM_TOK_SPECIAL | PM_TOK_BOS | PM_TOK_EOS, &ids,
                            &e);
        free(pm_tokenizer_decode(t, ids.id, ids.n, true, NULL));
        pm_ids_free(&ids);
    } else if (rc != PM_EFORMAT && rc != PM_EUNSUPPORTED) {
        CHECK_FAIL_("%s: status %d (%s)", path, rc, e.msg);
    } else {
        check_explained(&e, open == from_gguf_file ? "" : path);
    }
    pm_tokenizer_free(t);
    return rc;
}

static void damage(opener *open, const char *from, const char *name, size_t may_lose) {
    pm_map m;
    pm_err e = {0};
    uint64_t x = 0x2545f4914f6cdd1du;
    CHECK_OK(pm_map_open(from, &m, &e));
    uint8_t *p = must(malloc(m.n_bytes));
    memcpy(p, m.p, m.n_bytes);
    for (int i = 0; i < 200; i++) { /* cut short: dense at the start, then spread */
        size_t n = i < 100 ? (size_t)i + 1 : (m.n_bytes - 1 - may_lose) * (size_t)(i - 99) / 101;
        if (survive(open, write_temp(name, p, n)) == PM_OK)
            CHECK_FAIL_("%s: loads with %zu of %zu bytes", from, n, m.n_bytes);
    }
    for (int i = 0; i < 400; i++) {
        x = xorshift(x);
        size_t at = (x >> 16) % (i % 2              ? m.n_bytes
                                 : m.n_bytes < 2000 ? m.n_bytes
                                                    : 2000),
               bytes = 1 + (i % 5 == 0) * 7;
        for (size_t k = at; k < at + bytes && k < m.n_bytes; k++)
            p[k] = (uint8_t)(i % 5 ? p[k] ^ 1u << (x & 7) : x >> (8 + k % 8));
        survive(open, write_temp(name, p, m.n_bytes));
        memcpy(p, m.p, m.n_bytes);
    }
    free(p);
    pm_map_close(&m);
    unlink(temp_path(name));
}

static void tokenizer_survives_damaged_json(void) {
    damage(pm_tokenizer_from_json, GOLD "llama2.json", "tokenizer.json", 1); /* the last byte is a newline */
    damage(pm_tokenizer_from_json, GOLD "gpt2.json", "tokenizer.json", 1);
}

static void tokenizer_survives_damaged_gguf(void) {
    damage(from_gguf_file, GOLD "llama2.gguf", "x.gguf", 64); /* padding at the end */
    damage(from_gguf_file, GOLD "smollm.gguf", "x.gguf", 64);
}

/* Exchanges a value inside a GGUF's bytes for another of the same length. */
static void swap_gguf(const char *from, const char *old, const char *new, pm_status want, const char *says) {
    pm_map m;
    pm_err e = {0};
    pm_tokenizer *t = NULL;
    CHECK_OK(pm_map_open(from, &m, &e));
    char *p = must(malloc(m.n_bytes));
    memcpy(p, m.p, m.n_bytes);
    const char *at = pm_tok_find_bytes(p, m.n_bytes, old, strlen(old));
    CHECK(at != NULL && strlen(old) == strlen(new));
    for (size_t k = 0; at && new[k]; k++) p[(size_t)(at - p) + k] = new[k];
    CHECK_EQ_INT(from_gguf_file(write_temp("x.gguf", p, m.n_bytes), &t, &e), want);
    if (!strstr(e.msg, says)) CHECK_FAIL_("\"%s\" lacks \"%s\"", e.msg, says);
    pm_tokenizer_free(t);
    free(p);
    pm_map_close(&m);
}

static void tokenizer_names_what_it_refuses_in_gguf(void) {
    swap_gguf(GOLD "gpt2.gguf", "gpt-2", "gpt-9", PM_EUNSUPPORTED, "gpt-9");
    swap_gguf(GOLD "gpt2.gguf", "gpt2", "bert", PM_EUNSUPPORTED, "bert");
    swap_gguf(GOLD "gpt2.gguf", "ggml.merges", "ggml.merged", PM_EFORMAT, "merges");
    swap_gguf(GOLD "gpt2.gguf", "ggml.token_type", "ggml.token_typo", PM_EFORMAT, "token_type");
    swap_gguf(GOLD "gpt2.gguf", "ggml.tokens", "ggml.takens", PM_EFORMAT, "tokens");
    swap_gguf(GOLD "gpt2.gguf", "ggml.model", "ggml.motel", PM_EFORMAT, "model");
    swap_gguf(GOLD "llama2.gguf", "ggml.scores", "ggml.stores", PM_EFORMAT, "scores");
}

int main(void) {
    snprintf(temp, sizeof temp, "%s/pm_tokenizer_XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : P_tmpdir);
    must(mkdtemp(temp));
    RUN(read_atoms);
    for (int i = 0; i < N_STRINGS; i++) strings[i] = make_string(i);
    RUN(tokenizer_json_equals_the_library);
    RUN(tokenizer_gguf_equals_the_library);
    RUN(tokenizer_components_equal_the_library);
    RUN(tokenizer_smollm2_equals_the_library);
    RUN(tokenizer_smollm2_equals_the_library_on_gsm8k);
    RUN(tokenizer_smollm2_loads_fast);
    RUN(tokenizer_decodes_what_it_encoded);
    RUN(tokenizer_counts_what_it_drops);
    RUN(tokenizer_puts_the_template_around);
    RUN(tokenizer_reads_its_config);
    RUN(tokenizer_encodes_from_many_threads);
    RUN(tokenizer_merges_long_pieces);
    RUN(tokenizer_names_what_it_refuses);
    RUN(tokenizer_decodes_tokens_outside_the_alphabet);
    RUN(tokenizer_bounds_its_patterns);
    RUN(tokenizer_missing_file_is_an_io_error);
    RUN(tokenizer_survives_damaged_json);
    RUN(tokenizer_survives_damaged_gguf);
    RUN(tokenizer_names_what_it_refuses_in_gguf);
    unlink(temp_path("tokenizer.json"));
    unlink(temp_path("x.gguf"));
    rmdir(temp);
    for (int i = 0; i < N_STRINGS; i++) free(strings[i].s);
    for (int c = 0; c < n_cats; c++) {
        for (int i = 0; i < cats[c].n; i++) free(cats[c].atom[i].s);
        free(cats[c].atom);
    }
    return check_done();
}
