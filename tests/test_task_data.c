/* test_task_data.c - the shipped tasks on the real files, with SmolLM2's tokenizer.
 *
 * PEFTMETER_TEST_DATA is the folder of fetched data, PEFTMETER_TEST_GGUF the model (tests/run.sh sets them from the cache). The parser of LLM-Adapters'
 * rows is compared with the official files of PIQA, WinoGrande and Social IQa, which nobody here wrote.
 */
#include "check.h"
#include "task_priv.h"
#include "weights.h"
#include <stdlib.h>
#include <unistd.h>

static pm_err e;
static const char *data_dir;
static pm_tokenizer *tok;

static bool have(const char *file) {
    char path[4096];
    return !pm_path_join(path, sizeof path, data_dir, file, NULL) && access(path, R_OK) == 0;
}

static pm_task *open_task(const char *name) {
    pm_task *t = NULL;
    CHECK_OK(pm_task_open(name, &t, &e));
    pm_task_file f[PM_TASK_FILES_MAX];
    int n = t ? pm_task_files(t, f) : 0;
    for (int i = 0; i < n; i++) {
        if (have(f[i].file)) continue;
        SKIP(name, "its files are not fetched");
        pm_task_close(t);
        return NULL;
    }
    return t;
}

/* ---- sizes ---- */

/* Official sizes of the test files; train + validation + dropped make the training file. Splits of one file add up to it (test < 0). */
static const struct {
    const char *task;
    int train_file, test;
} sizes[] = {{"arc_easy", 2251, 2376}, {"arc_challenge", 1119, 1172}, {"openbookqa", 4957, 500},
             {"boolq", 9427, 3270},    {"siqa", 33410, 1954},         {"winogrande", 10234, 1267},
             {"piqa", 1838, -1},       {"hellaswag", 10042, -1},      {"gsm8k", 7473, 1319},
             {"svamp", 3138, 1000}};

static void every_row_of_every_file_parses(void) {
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pm_task *t = open_task(sizes[i].task);
        int n[PM_N_SPLITS] = {0}, gone = 0;
        if (!t) continue;
        CHECK_OK(pm_rows_assign(t, data_dir, &e));
        for (int k = 0; t->rows && k < t->rows->n; k++)
            if (t->rows->row[k].split >= 0)
                n[t->rows->row[k].split]++;
            else
                gone++;
        CHECK_EQ_INT(n[PM_TRAIN] + n[PM_VALIDATION] + gone + (sizes[i].test < 0 ? n[PM_TEST] : 0),
                     sizes[i].train_file);
        if (sizes[i].test >= 0) CHECK_EQ_INT(n[PM_TEST], sizes[i].test);
        CHECK(n[PM_TRAIN] > 0 && n[PM_VALIDATION] > 100 && n[PM_TEST] >= 500);
        CHECK(gone < 20);
        if (t->rows) CHECK_OK(pm_rows_disjoint(t, t->rows, &e));
        pm_task_close(t);
    }
}

/* ---- the parser against the official files ---- */

static bool read_entry(const char *json, pm_rows *out) {
    static const pm_task t = {.name = "compare"};
    cJSON *entry = cJSON_Parse(json);
    bool there = have(pm_json_str(entry, "file", ""));
    if (there) CHECK_OK(pm_rows_read(&t, entry, data_dir, out, &e));
    cJSON_Delete(entry);
    return there;
}

static const char *option(const pm_row *r, int i) {
    return cJSON_GetStringValue(
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(r->fields, "options"), i));
}

typedef struct comparison {
    const char *ours, *official, *question; /* question: a template over the official row */
    const char *options[3];
    const char *label;
    int first_label, n_options;
} comparison;

static const comparison comparisons[] = {
    {"{\"file\":\"llm-adapters/piqa/test.json\",\"format\":\"json\",\"rows\":\"llm-adapters\"}",
     "{\"file\":\"piqa/valid.jsonl\",\"format\":\"jsonl\",\"labels\":{\"file\":\"piqa/valid-labels.lst\"}}",
     "{goal}",
     {"sol1", "sol2", NULL},
     "label",
     0,
     2},
    {"{\"file\":\"llm-adapters/winogrande/test.json\",\"format\":\"json\",\"rows\":\"llm-adapters\"}",
     "{\"file\":\"winogrande/dev.jsonl\",\"format\":\"jsonl\"}",
     "{sentence}",
     {"option1", "option2", NULL},
     "answer",
     1,
     2},
    {"{\"file\":\"llm-adapters/social_i_qa/test.json\",\"format\":\"json\",\"rows\":\"llm-adapters\"}",
     "{\"file\":\"siqa/socialiqa-train-dev.zip\",\"format\":\"jsonl\",\"member\":\"socialiqa-train-dev/"
     "dev.jsonl\",\"labels\":{\"member\":\"socialiqa-train-dev/dev-labels.lst\"}}",
     "{context} {question}",
     {"answerA", "answerB", "answerC"},
     "label",
     1,
     3},
};

/* Rows that differ anywhere: question, an option, the gold. */
static int count_differences(const comparison *c, const pm_rows *a, const pm_rows *b) {
    int differ = 0;
    for (int i = 0; i < a->n && i < b->n; i++) {
        pm_buf q = {0};
        CHECK_OK(pm_render(c->question, b->row[i].fields, "", &q, &e));
        bool same = strcmp(q.p ? q.p : "", pm_json_str(a->row[i].fields, "question", "?")) == 0;
        for (int k = 0; k < c->n_options; k++)
            same &= strcmp(option(&a->row[i], k), pm_json_str(b->row[i].fields, c->options[k], "?")) == 0;
        same &= strtol(pm_json_str(b->row[i].fields, c->label, "-9"), NULL, 10) - c->first_label ==
                pm_json_int(a->row[i].fields, "gold", -2);
        pm_buf_free(&q);
        if (!same && !differ++) fprintf(stderr, "  first difference in %s, row %d\n", c->ours, i + 1);
    }
    return differ;
}

static void llm_adapters_rows_equal_the_official_ones(void) {
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++) {
        pm_rows a = {0}, b = {0};
        if (!read_entry(comparisons[i].ours, &a) || !read_entry(comparisons[i].official, &b))
            SKIP(comparisons[i].ours, "the file is not there");
        else {
            CHECK_EQ_INT(a.n, b.n);
            CHECK_EQ_INT(count_differences(&comparisons[i], &a, &b), 0);
        }
        pm_rows_free(&a);
        pm_rows_free(&b);
    }
}

/* ---- tokens ---- */

/* Known answer (tokenizers library, issue 3): 80 rows in file order, 15,688 tokens of which 10,274 are scored. */
static void gsm8k_first_80_rows_have_the_known_counts(void) {
    pm_task *t = open_task("gsm8k");
    if (!t) return;
    pm_split s;
    pm_task_opts o = {.data_dir = data_dir, .limit = 80};
    CHECK_OK(pm_task_load(t, "train", tok, &o, &s, &e));
    int64_t tokens = 0, scored = 0;
    for (int i = 0; i < s.n; i++) {
        tokens += s.ex[i].n;
        for (int k = 0; k < s.ex[i].n; k++) scored += s.ex[i].labels[k] != -100;
        CHECK(*s.ex[i].gold_text);
    }
    CHECK_EQ_INT(s.n, 80);
    CHECK_EQ_INT(tokens, 15688);
    CHECK_EQ_INT(scored, 10274);
    CHECK_EQ_STR(s.ex[0].gold_text, "72"); /* Natalia's clips */
    CHECK_EQ_INT(s.ex[0].ids[s.ex[0].n - 1], pm_tokenizer_id(tok, "<|im_end|>"));
    pm_split_free(&s);
    pm_task_close(t);
}

static void arc_easy_is_scored_as_the_harness_does(void) {
    pm_task *t = open_task("arc_easy");
    if (!t) return;
    pm_split s;
    pm_task_opts o = {.data_dir = data_dir, .limit = 1000};
    CHECK_OK(pm_task_load(t, "test", tok, &o, &s, &e));
    CHECK_EQ_INT(s.n, 1000);
    CHECK_EQ_STR(s.ex[0].prompt_text, "Question: Which statement best explains why photosynthesis is the "
                                      "foundation of most food webs?\nAnswer:");
    CHECK_EQ_STR(s.ex[0].gold_text, "Sunlight is the source of energy for nearly all ecosystems.");
    for (int i = 0; i < s.n; i++) {
        const pm_example *x = &s.ex[i];
        CHECK(x->n_choices >= 3 && x->n_choices <= 5 && x->gold < x->n_choices);
        for (int k = 0; k < x->n_choices; k++) { /* one shared prefix: the prompt's ids */
            CHECK_EQ_INT(x->choice[k].score_from, x->choice[0].score_from);
            CHECK(memcmp(x->choice[k].ids, x->choice[0].ids,
                         (size_t)x->choice[0].score_from * sizeof(int32_t)) == 0);
            CHECK(x->choice[k].n > x->choice[k].score_from && x->choice[k].n_chars > 0);
        }
    }
    pm_split_free(&s);
    pm_task_close(t);
}

static void every_task_tokenises(void) {
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pm_task *t = open_task(sizes[i].task);
        if (!t) continue;
        pm_split s;
        pm_task_opts o = {.data_dir = data_dir, .limit = 100, .max_len = 512};
        CHECK_OK(pm_task_load(t, "validation", tok, &o, &s, &e));
        CHECK_EQ_INT(s.n, 100);
        pm_split_free(&s);
        pm_task_close(t);
    }
}

int main(void) {
    data_dir = getenv("PEFTMETER_TEST_DATA");
    const char *model = getenv("PEFTMETER_TEST_GGUF");
    if (!data_dir || !*data_dir) {
        SKIP("test_task_data", "PEFTMETER_TEST_DATA is not set (peftmeter data fetch --all)");
        return check_done();
    }
    RUN(every_row_of_every_file_parses);
    RUN(llm_adapters_rows_equal_the_official_ones);
    pm_gguf *g = NULL;
    if (!model || !*model || pm_gguf_open(model, &g, &e) || pm_tokenizer_from_gguf(g, &tok, &e))
        SKIP("tokens of the real tasks", "no model (PEFTMETER_TEST_GGUF)");
    else {
        RUN(gsm8k_first_80_rows_have_the_known_counts);
        RUN(arc_easy_is_scored_as_the_harness_does);
        RUN(every_task_tokenises);
    }
    pm_tokenizer_free(tok);
    pm_gguf_close(g);
    return check_done();
}
