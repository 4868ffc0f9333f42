/* test_world.c - the embedded world and the tasks made from it: the same text everywhere, splits that share nothing, balanced labels, no
 * test item in the text, and no word that the vocabulary lacks. */
#include "check.h"
#include "sha256.h"
#include "task_priv.h"
#include "world.h"
#include <stdlib.h>

static pm_err e;
static const char *const TASKS[] = {"tiny_kind", "tiny_facts", "tiny_tell", "tiny_text"};
enum { N_TASKS = sizeof TASKS / sizeof *TASKS };

/* ---- the world ---- */

static void creatures_have_names_of_their_own(void) {
    char a[16], b[16];
    for (int i = 0; i < PM_CREATURES; i++)
        for (int j = 0; j < i; j++) CHECK(strcmp(pm_creature_name(i, a), pm_creature_name(j, b)) != 0);
}

static void every_split_has_as_many_of_each_kind(void) {
    static const int WANT[PM_N_SPLITS] = {12, 6, 12};
    int n[PM_N_SPLITS][PM_KINDS] = {{0}};
    for (int c = 0; c < PM_CREATURES; c++) n[pm_creature_split(c)][pm_creature_kind(c)]++;
    for (int s = 0; s < PM_N_SPLITS; s++)
        for (int k = 0; k < PM_KINDS; k++) CHECK_EQ_INT(n[s][k], WANT[s]);
}

/* A guess by the most frequent value of the training creatures must stay a guess. */
static void no_value_is_common(void) {
    for (int r = 0; r < PM_RELATIONS; r++) {
        int n[PM_VALUES] = {0};
        for (int c = 0; c < PM_CREATURES; c++) n[pm_fact(c, r)]++;
        for (int v = 0; v < PM_VALUES; v++) CHECK(n[v] >= 2 && n[v] <= 22);
    }
}

static void words_are_listed_once(void) {
    int n;
    char **w = pm_world_words(&n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            if (!strcmp(w[i], w[j])) CHECK_FAIL_("%s is listed twice", w[i]);
    pm_world_words_free(w, n);
}

/* ---- rows ---- */

static pm_rows rows_of(const char *task) {
    pm_task *t;
    CHECK_OK(pm_task_open(task, &t, &e));
    CHECK_OK(pm_rows_assign(t, NULL, &e));
    pm_rows r = *t->rows;
    *t->rows = (pm_rows){0}; /* the caller's now */
    pm_task_close(t);
    return r;
}

static void hash_rows(const char *task, char hex[65]) {
    pm_rows r = rows_of(task);
    pm_sha256 s;
    pm_sha256_init(&s);
    for (int i = 0; i < r.n; i++) {
        char *text = cJSON_PrintUnformatted(r.row[i].fields);
        pm_sha256_update(&s, text, strlen(text) + 1);
        free(text);
    }
    pm_sha256_hex(&s, hex);
    pm_rows_free(&r);
}

/* The bytes of every row on every machine. Another hash here is another task: its version must rise, and models/tiny be made anew. */
static void rows_are_the_same_everywhere(void) {
    static const char *const WANT[N_TASKS] = {
        "a29e37804c6d2298efb8dc663031a57da98995e591fa249f8b6b3addd6abcb89",
        "47222510dd443a8d32056ce5471bea9a8751936f09111c1988594d337890b0f2",
        "9d8dcb9d8252eacab32c0b09b070f73c636794cf620f7f3129c93448d3c49c84",
        "7cac207c65e699ecc93697468b139d18ff7cc6fd2174597dabc8758011fa0838"};
    for (int i = 0; i < N_TASKS; i++) {
        char hex[65];
        hash_rows(TASKS[i], hex);
        CHECK_EQ_STR(hex, WANT[i]);
    }
}

static void splits_have_their_sizes(void) {
    for (int i = 0; i < N_TASKS; i++) {
        pm_rows r = rows_of(TASKS[i]);
        int n[PM_N_SPLITS] = {0};
        for (int k = 0; k < r.n; k++)
            if (r.row[k].split >= 0) n[r.row[k].split]++;
        CHECK_EQ_INT(n[PM_TEST], 2000);
        CHECK_EQ_INT(n[PM_VALIDATION], 400);
        CHECK(n[PM_TRAIN] >= 4000);
        pm_rows_free(&r);
    }
}

/* Which splits' creatures a row names, as a bit set. */
static int splits_named(const cJSON *fields) {
    char *text = cJSON_PrintUnformatted(fields), name[16];
    int set = 0;
    for (int c = 0; c < PM_CREATURES; c++)
        if (strstr(text, pm_creature_name(c, name))) set |= 1 << pm_creature_split(c);
    free(text);
    return set;
}

static void a_split_names_its_own_creatures_only(void) {
    for (int i = 0; i < N_TASKS - 1; i++) {
        pm_rows r = rows_of(TASKS[i]);
        for (int k = 0; k < r.n; k++) CHECK_EQ_INT(splits_named(r.row[k].fields), 1 << r.row[k].split);
        pm_rows_free(&r);
    }
}

/* The creature that a row's answer is about has a name there, and every creature of a split is asked about. */
static void rows_name_whom_they_are_about(void) {
    static const int WANT[PM_N_SPLITS] = {48, 24, 48};
    for (int i = 0; i < N_TASKS - 1; i++) {
        pm_rows r = rows_of(TASKS[i]);
        bool seen[PM_CREATURES] = {false};
        int n[PM_N_SPLITS] = {0};
        for (int k = 0; k < r.n; k++) {
            char name[16];
            const cJSON *f = r.row[k].fields;
            const char *about = pm_json_str(f, "name", ""), *kind = pm_json_str(f, "kind", NULL);
            int c = 0;
            while (c < PM_CREATURES && strcmp(pm_creature_name(c, name), about) != 0) c++;
            CHECK(c < PM_CREATURES);
            CHECK(strstr(pm_json_str(f, "text", ""), about));
            if (kind) CHECK_EQ_STR(kind, pm_kind_words[pm_creature_kind(c)]);
            if (pm_json_str(f, "question", NULL)) CHECK(strstr(pm_json_str(f, "question", ""), about));
            if (!seen[c]) n[r.row[k].split]++;
            seen[c] = true;
        }
        for (int s = 0; s < PM_N_SPLITS; s++) CHECK_EQ_INT(n[s], WANT[s]);
        pm_rows_free(&r);
    }
}

/* Within four standard deviations of a quarter each. */
static void check_quarters(const int n[4]) {
    int all = n[0] + n[1] + n[2] + n[3];
    for (int i = 0; i < 4; i++) CHECK_NEAR(n[i], all / 4.0, 4 * sqrt(all * 3 / 16.0));
}

static void labels_are_balanced(void) {
    pm_rows kind = rows_of("tiny_kind"), fact = rows_of("tiny_facts");
    for (int s = 0; s < PM_N_SPLITS; s++) {
        int label[PM_KINDS] = {0}, gold[4] = {0};
        for (int i = 0; i < kind.n; i++)
            for (int k = 0; k < PM_KINDS; k++)
                label[k] += kind.row[i].split == s &&
                            !strcmp(pm_json_str(kind.row[i].fields, "kind", ""), pm_kind_words[k]);
        for (int i = 0; i < fact.n; i++)
            if (fact.row[i].split == s) gold[pm_json_int(fact.row[i].fields, "gold", 0)]++;
        check_quarters(label);
        check_quarters(gold);
    }
    pm_rows_free(&kind);
    pm_rows_free(&fact);
}

/* ---- text and tasks ---- */

static char *training_text(void) {
    pm_rows r = rows_of("tiny_text");
    pm_buf all = {0};
    for (int i = 0; i < r.n; i++)
        if (r.row[i].split == PM_TRAIN)
            pm_buf_puts(&all, pm_json_str(r.row[i].fields, "text", "")), pm_buf_puts(&all, "\n");
    pm_rows_free(&r);
    return pm_buf_take(&all);
}

enum { TAIL = 24 };

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Hashes of all pieces of TAIL bytes, sorted. The caller frees. */
static uint64_t *pieces(const char *text, size_t *n) {
    *n = strlen(text) - TAIL + 1;
    uint64_t *h = pm_xalloc(*n * sizeof *h);
    for (size_t i = 0; i < *n; i++) h[i] = pm_hash64(text + i, TAIL);
    qsort(h, *n, sizeof *h, by_size);
    return h;
}

/* The last bytes of each prompt suffice: they hold the question. Passages of the text are kept apart by content hash, as any rows. */
static void no_test_item_is_in_the_text(void) {
    char *text = training_text();
    size_t n;
    uint64_t *in_text = pieces(text, &n);
    for (int i = 0; i < N_TASKS - 1; i++) {
        pm_task *t;
        pm_rows r = rows_of(TASKS[i]);
        CHECK_OK(pm_task_open(TASKS[i], &t, &e));
        for (int k = 0; k < r.n; k++) {
            pm_buf item = {0};
            CHECK_OK(pm_render(pm_json_str(t->json, "prompt", ""), r.row[k].fields, "", &item, &e));
            uint64_t h = pm_hash64(item.p + item.n - TAIL, TAIL);
            if (bsearch(&h, in_text, n, sizeof h, by_size))
                CHECK_FAIL_("%s row %d is in the text: %s", TASKS[i], k, item.p);
            pm_buf_free(&item);
        }
        pm_task_close(t);
        pm_rows_free(&r);
    }
    free(in_text);
    free(text);
}

/* ---- definitions ---- */

static void wrong_entries_are_named(void) {
    static const struct {
        const char *entry, *why;
    } BAD[] = {
        {"{\"generator\":\"riddle\",\"creatures\":\"test\",\"seed\":1,\"count\":2}",
         "is not kind, fact, tell or text"},
        {"{\"generator\":\"kind\",\"creatures\":\"tests\",\"seed\":1,\"count\":2}", "\"creatures\" is not"},
        {"{\"generator\":\"text\",\"creatures\":\"test\",\"seed\":1,\"count\":2}", "are \"all\""},
        {"{\"generator\":\"kind\",\"creatures\":\"test\",\"seed\":1,\"count\":0}", "\"count\""},
        {"{\"generator\":\"kind\",\"creatures\":\"test\",\"seed\":-1,\"count\":2}", "\"seed\""},
        {"{\"generator\":\"kind\",\"creatures\":\"test\",\"seed\":1,\"cuont\":2}", "cuont"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        cJSON *entry = cJSON_Parse(BAD[i].entry);
        CHECK_EQ_INT(pm_generated_check("train", entry, &e), PM_EFORMAT);
        if (!strstr(e.msg, BAD[i].why)) CHECK_FAIL_("\"%s\" does not say %s", e.msg, BAD[i].why);
        cJSON_Delete(entry);
    }
}

static void a_rule_that_runs_dry_says_so(void) {
    cJSON *entry =
        cJSON_Parse("{\"generator\":\"kind\",\"creatures\":\"validation\",\"seed\":1,\"count\":7000}");
    pm_rows r = {0};
    CHECK_OK(pm_generated_check("train", entry, &e));
    CHECK_EQ_INT(pm_generated_rows(entry, &r, &e), PM_EFORMAT);
    CHECK_EQ_INT(r.n, 24 * 23 * 2 * 6); /* actor, sufferer, voice, verb */
    cJSON_Delete(entry);
    pm_rows_free(&r);
}

int main(void) {
    RUN(creatures_have_names_of_their_own);
    RUN(every_split_has_as_many_of_each_kind);
    RUN(no_value_is_common);
    RUN(words_are_listed_once);
    RUN(rows_are_the_same_everywhere);
    RUN(splits_have_their_sizes);
    RUN(a_split_names_its_own_creatures_only);
    RUN(rows_name_whom_they_are_about);
    RUN(labels_are_balanced);
    RUN(no_test_item_is_in_the_text);
    RUN(wrong_entries_are_named);
    RUN(a_rule_that_runs_dry_says_so);
    return check_done();
}
