/* task_generated.c - rows that a rule makes, with nothing to download: {"generator": NAME, "creatures": SPLIT|all, "seed": N, "count": N}.
 *
 * kind: "the balim was chased by the defen" -> how the one that did it lives. Needs the sentence's grammar, and what the creature is.
 * fact: a deed and a question about one of the two -> one of four values; the other creature's own is among them where it differs.
 * tell: a deed, a topic and one of the two -> a sentence on that topic about it.
 * text: a passage of the pretraining text; creatures must be "all".
 * The creature that the answer is about is a field as well ("name"): the items about one are a cluster.
 * Row i is a function of (generator, seed, i) alone. A row that was there before is left out and the next one taken.
 */
#include "sha256.h"
#include "task_priv.h"
#include "world.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_COUNT = 1000000, OPTIONS = 4 };

/* ---- creatures ---- */

typedef struct pool {
    int creature[PM_CREATURES], n;
} pool;

static bool pool_make(pool *p, const char *creatures) {
    int split = pm_split_index(creatures);
    bool all = strcmp(creatures, "all") == 0;
    p->n = 0;
    for (int c = 0; c < PM_CREATURES; c++)
        if (all || pm_creature_split(c) == split) p->creature[p->n++] = c;
    return all || split >= 0;
}

/* Draws k different ones. */
static void draw(const pool *p, pm_rng *g, int *out, int k) {
    for (int i = 0; i < k; i++) {
        out[i] = p->creature[pm_rng_below(g, (uint32_t)p->n)];
        for (int j = 0; j < i; j++)
            if (out[j] == out[i]) i--, j = i;
    }
}

/* ---- rows ---- */

static void add_text(cJSON *row, const char *key, pm_buf *b) {
    cJSON_AddStringToObject(row, key, b->p ? b->p : "");
    pm_buf_free(b);
}

/* The creature that the answer is about. */
static void add_name(cJSON *row, int creature) {
    char name[16];
    cJSON_AddStringToObject(row, "name", pm_creature_name(creature, name));
}

static cJSON *kind_row(const pool *p, pm_rng *g) {
    int c[2];
    pm_buf text = {0};
    cJSON *row = cJSON_CreateObject();
    draw(p, g, c, 2);
    pm_put_deed(g, c[0], c[1], &text);
    add_text(row, "text", &text);
    cJSON_AddStringToObject(row, "kind", pm_kind_words[pm_creature_kind(c[0])]);
    add_name(row, c[0]);
    return row;
}

/* The gold value, then the other creature's, then others: all different. Shuffled; returns where the gold is. */
static int put_options(pm_rng *g, int gold, int other, int relation, cJSON *list) {
    int32_t value[PM_VALUES], order[OPTIONS] = {0, 1, 2, 3};
    int n = 0, at = 0;
    for (int v = 0; v < PM_VALUES; v++)
        if (v != gold && v != other) value[n++] = v;
    pm_rng_shuffle(g, value, n);
    int32_t chosen[OPTIONS] = {gold, other != gold ? other : value[2], value[0], value[1]};
    pm_rng_shuffle(g, order, OPTIONS);
    for (int i = 0; i < OPTIONS; i++) {
        if (order[i] == 0) at = i;
        cJSON_AddItemToArray(list, cJSON_CreateString(pm_relations[relation].value[chosen[order[i]]]));
    }
    return at;
}

static cJSON *fact_row(const pool *p, pm_rng *g) {
    int c[2], relation = (int)pm_rng_below(g, PM_RELATIONS), asked = (int)pm_rng_below(g, 2);
    pm_buf text = {0}, question = {0};
    cJSON *row = cJSON_CreateObject();
    draw(p, g, c, 2);
    pm_put_deed(g, c[0], c[1], &text);
    pm_put_about(pm_relations[relation].question, c[asked], &question);
    add_text(row, "text", &text);
    add_text(row, "question", &question);
    cJSON *options = cJSON_AddArrayToObject(row, "options");
    int gold = put_options(g, pm_fact(c[asked], relation), pm_fact(c[!asked], relation), relation, options);
    cJSON_AddNumberToObject(row, "gold", gold);
    add_name(row, c[asked]);
    return row;
}

static cJSON *tell_row(const pool *p, pm_rng *g) {
    int c[2], relation = (int)pm_rng_below(g, PM_RELATIONS), asked = (int)pm_rng_below(g, 2);
    pm_buf text = {0}, answer = {0};
    cJSON *row = cJSON_CreateObject();
    draw(p, g, c, 2);
    pm_put_deed(g, c[0], c[1], &text);
    pm_put_fact(c[asked], relation, &answer);
    add_text(row, "text", &text);
    add_name(row, c[asked]);
    cJSON_AddStringToObject(row, "topic", pm_relations[relation].topic);
    add_text(row, "answer", &answer);
    return row;
}

static cJSON *text_row(const pool *p, pm_rng *g) {
    pm_buf text = {0};
    cJSON *row = cJSON_CreateObject();
    (void)p; /* everyone is in it */
    pm_put_passage(g, &text);
    add_text(row, "text", &text);
    return row;
}

static const struct generator {
    const char *name;
    cJSON *(*row)(const pool *p, pm_rng *g);
    int least; /* creatures that a row needs; the text needs all */
} GENERATORS[] = {
    {"kind", kind_row, 2}, {"fact", fact_row, 2}, {"tell", tell_row, 2}, {"text", text_row, PM_CREATURES}};
enum { N_GENERATORS = sizeof GENERATORS / sizeof *GENERATORS };

static const struct generator *find(const char *name) {
    for (int i = 0; i < N_GENERATORS; i++)
        if (strcmp(GENERATORS[i].name, name) == 0) return &GENERATORS[i];
    return NULL;
}

/* ---- entries ---- */

static pm_status bad(pm_err *e, const char *split, const char *why) {
    return pm_fail(e, PM_EFORMAT, "%s: %s", split, why);
}

pm_status pm_generated_check(const char *split, const cJSON *entry, pm_err *e) {
    static const char *const known[] = {"generator", "creatures", "seed", "count"};
    const struct generator *gen = find(pm_json_str(entry, "generator", ""));
    int count = pm_json_int(entry, "count", 0);
    pool p;
    pm_status st = pm_json_known(entry, split, known, 4, e);
    if (st) return st;
    if (!gen) return bad(e, split, "\"generator\" is not kind, fact, tell or text");
    if (!pool_make(&p, pm_json_str(entry, "creatures", "")))
        return bad(e, split, "\"creatures\" is not train, validation, test or all");
    if (p.n < gen->least) return bad(e, split, "\"creatures\" of the text are \"all\"");
    if (count < 1 || count > MAX_COUNT) return bad(e, split, "\"count\" is not a number of rows");
    return pm_json_int(entry, "seed", -1) < 0 ? bad(e, split, "\"seed\" is not a whole number from 0")
                                              : PM_OK;
}

/* Hashes of the rows so far; open addressing, 0 is empty. */
typedef struct seen {
    uint64_t *slot;
    size_t n_slots;
} seen;

/* Of names and values, in order. */
static uint64_t hash_fields(const cJSON *list, uint64_t h) {
    for (const cJSON *v = list->child; v; v = v->next) {
        h = (h ^ pm_hash64(v->string, v->string ? strlen(v->string) : 0)) * 0x9e3779b97f4a7c15u;
        if (cJSON_IsArray(v))
            h = hash_fields(v, h);
        else if (cJSON_IsString(v))
            h ^= pm_hash64(v->valuestring, strlen(v->valuestring));
        else
            h ^= pm_hash64(&v->valuedouble, sizeof v->valuedouble);
        h = (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
    }
    return h;
}

/* True the first time. */
static bool add_new(seen *s, const cJSON *row) {
    uint64_t h = hash_fields(row, 0) | 1;
    size_t i = h % s->n_slots;
    while (s->slot[i] && s->slot[i] != h) i = (i + 1) % s->n_slots;
    bool fresh = !s->slot[i];
    s->slot[i] = h;
    return fresh;
}

pm_status pm_generated_rows(const cJSON *entry, pm_rows *out, pm_err *e) {
    const struct generator *gen = find(pm_json_str(entry, "generator", ""));
    int count = pm_json_int(entry, "count", 0), seed = pm_json_int(entry, "seed", 0);
    uint64_t stream = pm_hash64(gen->name, strlen(gen->name));
    seen s = {.n_slots = 2 * (size_t)count + 1};
    pool p;
    pool_make(&p, pm_json_str(entry, "creatures", ""));
    s.slot = pm_xalloc(s.n_slots * sizeof *s.slot);
    for (int i = 0; out->n < count && i < 20 * count; i++) {
        pm_rng g = pm_rng_make((uint64_t)seed, stream + (uint64_t)i);
        cJSON *row = gen->row(&p, &g);
        if (add_new(&s, row))
            pm_rows_add(out, row);
        else
            cJSON_Delete(row);
    }
    free(s.slot);
    return out->n == count
               ? PM_OK
               : pm_fail(e, PM_EFORMAT, "%s has only %d different rows, not %d", gen->name, out->n, count);
}
