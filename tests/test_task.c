/* test_task.c - task definitions, row formats, templates, splits and token rows on small files the tests write themselves.
 *
 * The tokenizer is a real one, made here: byte-level BPE without merges, one id a byte and <|end|>, so that ids can be read back as text.
 * Real data and the real tokenizer: test_task_data.c.
 */
#include "check.h"
#include "cmd.h"
#include "scratch.h"
#include "sha256.h"
#include "task_priv.h"
#include "unpack.h"
#include <stdlib.h>
#include <unistd.h>

static pm_err e;
static char dir[] = P_tmpdir "/pm_task_XXXXXX";
static pm_tokenizer *tok;

static void write_text(const char *name, const char *s) {
    unlink(path_in(dir, name)); /* rewriting in place would wait for the disk on some file systems */
    FILE *f = fopen(path_in(dir, name), "wb");
    CHECK(f && fputs(s, f) >= 0);
    if (f) fclose(f);
}

/* GPT-2's byte alphabet: printable Latin-1 stands for itself, the rest for U+0100 and up. */
static void make_tokenizer(void) {
    pm_buf b = {0};
    pm_buf_puts(&b, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[{\"id\":256,"
                    "\"content\":\"<|end|>\",\"single_word\":false,"
                    "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}],"
                    "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\","
                    "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},\"post_processor\":"
                    "null,\"decoder\":{\"type\":\"ByteLevel\","
                    "\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},\"model\":{\"type\":"
                    "\"BPE\",\"dropout\":null,\"unk_token\":null,"
                    "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,"
                    "\"byte_fallback\":false,\"vocab\":{");
    for (int i = 0, extra = 256; i < 256; i++) {
        bool printable = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174;
        pm_buf_printf(&b, "\"\\u%04x\":%d,", printable ? i : extra++, i);
    }
    pm_buf_puts(&b, "\"<|end|>\":256},\"merges\":[]}}");
    write_text("tokenizer.json", b.p);
    pm_buf_free(&b);
    write_text("tokenizer_config.json",
               "{\"eos_token\":\"<|end|>\",\"add_bos_token\":false,\"tokenizer_class\":\"GPT2Tokenizer\"}");
    CHECK_OK(pm_tokenizer_from_json(dir, &tok, &e));
}

static void check_text(const int32_t *ids, int n, const char *want) {
    char *s = pm_tokenizer_decode(tok, ids, n, false, NULL);
    CHECK_EQ_STR(s, want);
    free(s);
}

static pm_task *open_json(const char *json) {
    pm_task *t = NULL;
    write_text("task.json", json);
    CHECK_OK(pm_task_open(path_in(dir, "task.json"), &t, &e));
    return t;
}

static const pm_task_opts plain = {0};

#define CHOICE(data, rest) "{\"name\":\"t\",\"version\":1,\"kind\":\"choice\",\"data\":{" data "}," rest "}"
#define QA                                                                                                   \
    "\"prompt\":\"Question: {q}\\nAnswer:\",\"answer\":\" "                                                  \
    "{option}\",\"choices\":[\"{a}\",\"{b}\"],\"labels\":{\"field\":\"gold\"}"
#define TRAIN "\"train\":{\"file\":\"train.jsonl\",\"format\":\"jsonl\"}"
#define TEST "\"test\":{\"file\":\"test.jsonl\",\"format\":\"jsonl\"}"

/* ---- rendering and tokens ---- */

static void choice_scores_options_and_trains_on_gold(void) {
    write_text("train.jsonl", "{\"q\":\"2+2?\",\"a\":\"fi\\u00e9ve\",\"b\":\"four\",\"gold\":1}\n\n{\"q\":"
                              "\"x\",\"a\":\"A\",\"b\":\"B\",\"gold\":\"0\"}\n");
    pm_task *t = open_json(CHOICE(TRAIN, QA));
    pm_split s;
    CHECK_OK(pm_task_load(t, "train", tok, &plain, &s, &e));
    CHECK_EQ_INT(s.n, 2);
    const pm_example *x = &s.ex[0];
    CHECK_EQ_INT(x->n_choices, 2);
    CHECK_EQ_INT(x->gold, 1);
    CHECK_EQ_STR(x->gold_text, "four");
    CHECK_EQ_STR(x->prompt_text, "Question: 2+2?\nAnswer:");
    check_text(x->choice[0].ids, x->choice[0].n, "Question: 2+2?\nAnswer: fi\xc3\xa9ve");
    check_text(x->choice[0].ids + x->choice[0].score_from, x->choice[0].n - x->choice[0].score_from,
               " fi\xc3\xa9ve");
    CHECK_EQ_INT(x->choice[0].n_chars, 5); /* characters of the option alone, as len() in Python */
    CHECK_EQ_INT(x->choice[0].n_bytes, 6);
    check_text(x->ids, x->n, "Question: 2+2?\nAnswer: four");
    check_text(x->ids, x->prompt_len, "Question: 2+2?\nAnswer:");
    for (int i = 0; i < x->n; i++) CHECK_EQ_INT(x->labels[i], i < x->prompt_len ? -100 : x->ids[i]);
    CHECK_EQ_INT(s.ex[1].gold, 0);
    CHECK(strlen(x->id) == 16 && strcmp(x->id, s.ex[1].id) != 0);
    pm_split_free(&s);
    pm_task_close(t);
}

/* Rows of one cluster carry its name, a long one a hash; what is trained on carries none. */
static void rows_say_what_they_are_about(void) {
    static const char long_name[] = "a passage of more than thirty-two bytes";
    static const pm_task_opts train_only = {.train_only = true};
    char rows[512], hex[65];
    snprintf(
        rows, sizeof rows,
        "{\"q\":\"1\",\"about\":\"balim\"}\n{\"q\":\"2\",\"about\":\"%s\"}\n{\"q\":\"3\",\"about\":\"\"}\n",
        long_name);
    write_text("train.jsonl", rows);
    pm_task *t =
        open_json("{\"name\":\"t\",\"version\":1,\"kind\":\"exact\",\"data\":{" TRAIN
                  "},\"prompt\":\"{q}\",\"answer\":\"{q}\",\"extract\":\"line\",\"cluster\":\"{about}\"}");
    pm_split s;
    CHECK_OK(pm_task_load(t, "train", tok, &plain, &s, &e));
    pm_sha256_of(long_name, strlen(long_name), hex);
    hex[16] = 0;
    CHECK_EQ_STR(s.ex[0].cluster, "balim");
    CHECK_EQ_STR(s.ex[1].cluster, hex);
    CHECK(!s.ex[2].cluster);
    pm_split_free(&s);
    CHECK_OK(pm_task_load(t, "train", tok, &train_only, &s, &e));
    CHECK(!s.ex[0].cluster);
    pm_split_free(&s);
    pm_task_close(t);
    t = open_json("{\"name\":\"t\",\"version\":1,\"kind\":\"exact\",\"data\":{" TRAIN
                  "},\"prompt\":\"{q}\",\"answer\":\"{q}\",\"extract\":\"line\",\"cluster\":\"{abuot}\"}");
    CHECK_EQ_INT(pm_task_load(t, "train", tok, &plain, &s, &e), PM_EFORMAT);
    CHECK(strstr(e.msg, "abuot") && strstr(e.hint, "about"));
    pm_task_close(t);
}

/* WinoGrande: the option goes into the prompt, what follows the blank is scored; a blank at the prompt's end goes to the answer. */
static void choice_may_substitute_in_the_prompt(void) {
    write_text("train.jsonl", "{\"qID\":\"3-F-1\",\"sentence\":\"Sam beat Kim so _ won . "
                              "\",\"a\":\"Sam\",\"b\":\"Kim\",\"gold\":0}\n");
    pm_task *t =
        open_json(CHOICE("\"train\":{\"file\":\"train.jsonl\",\"format\":\"jsonl\",\"rows\":\"blank\"}",
                         "\"prompt\":\"{before}{option} "
                         "\",\"answer\":\"{after}\",\"choices\":[\"{a}\",\"{b}\"],\"labels\":{\"field\":"
                         "\"gold\"},\"eos\":true,\"cluster\":\"{pair}\""));
    pm_split s;
    CHECK_OK(pm_task_load(t, "train", tok, &plain, &s, &e));
    const pm_example *x = &s.ex[0];
    check_text(x->choice[1].ids, x->choice[1].score_from, "Sam beat Kim so Kim");
    check_text(x->choice[1].ids + x->choice[1].score_from, x->choice[1].n - x->choice[1].score_from,
               " won .");
    check_text(x->ids, x->n, "Sam beat Kim so Sam won .<|end|>");
    CHECK_EQ_INT(x->labels[x->n - 1], 256);
    CHECK_EQ_STR(x->cluster, "3-F");
    pm_split_free(&s);
    pm_task_close(t);
}

static void classify_uses_label_words(void) {
    write_text("train.tsv", "text\tlabel\nfine \"film\tpos\nbad\tneg\n");
    pm_task *t = open_json("{\"name\":\"t\",\"version\":1,\"kind\":\"classify\",\"data\":{\"train\":{"
                           "\"file\":\"train.tsv\",\"format\":\"tsv\"}},"
                           "\"prompt\":\"{text} It was\",\"answer\":\" "
                           "{option}\",\"labels\":{\"field\":\"label\",\"values\":[\"neg\",\"pos\"],"
                           "\"words\":[\"terrible\",\"great\"]}}");
    pm_split s;
    CHECK_OK(pm_task_load(t, "train", tok, &plain, &s, &e));
    CHECK_EQ_INT(s.n, 2);
    CHECK_EQ_INT(s.ex[0].gold, 1);
    check_text(s.ex[0].ids, s.ex[0].n, "fine \"film It was great");
    check_text(s.ex[1].choice[1].ids, s.ex[1].choice[1].n, "bad It was great");
    pm_split_free(&s);
    pm_task_close(t);
}

#define EXACT(rest)                                                                                          \
    "{\"name\":\"t\",\"version\":1,\"kind\":\"exact\",\"data\":{" TRAIN                                      \
    "},\"prompt\":\"Q: {q}\\nA:\",\"answer\":\" {a}\",\"eos\":true," rest "}"

static void exact_has_two_pieces_and_eos(void) {
    write_text("train.jsonl", "{\"q\":\"1+1\",\"a\":\"so 2\\n#### 1,002.\"}\n");
    pm_task *t = open_json(EXACT("\"extract\":\"marked_number\",\"stop\":\"Q:\""));
    pm_split s;
    CHECK_OK(pm_task_load(t, "train", tok, &plain, &s, &e));
    const pm_example *x = &s.ex[0];
    check_text(x->ids, x->n, "Q: 1+1\nA: so 2\n#### 1,002.<|end|>");
    check_text(x->ids, x->prompt_len, "Q: 1+1\nA:");
    CHECK_EQ_STR(x->gold_text, "1002");
    CHECK_EQ_INT(x->labels[x->prompt_len - 1], -100);
    CHECK_EQ_INT(x->labels[x->n - 1], 256);
    char *got = pm_task_extract(t, " so 5\n#### 1002");
    CHECK_EQ_STR(got, x->gold_text);
    free(got);
    pm_split_free(&s);

    pm_task_opts all = {.loss_on_all = true};
    CHECK_OK(pm_task_load(t, "train", tok, &all, &s, &e));
    CHECK_EQ_INT(s.ex[0].labels[0], -100);
    CHECK_EQ_INT(s.ex[0].labels[1], s.ex[0].ids[1]);
    pm_split_free(&s);
    pm_task_close(t);
}

/* Two options that differ where they are cut off score the same, and the first would win. */
static void options_are_never_cut(void) {
    write_text("train.jsonl", "{\"q\":\"x\",\"a\":\"AB\",\"b\":\"AC\",\"gold\":1}\n");
    pm_task *t = open_json(CHOICE(TRAIN, QA));
    pm_split s;
    pm_task_opts o = {.max_len = 4}; /* one token of the prompt and " AB" */
    CHECK_OK(pm_task_load(t, "train", tok, &o, &s, &e));
    CHECK(s.ex[0].truncated);
    pm_split_free(&s);
    for (o.max_len = 1; o.max_len < 4; o.max_len++) {
        CHECK_EQ_INT(pm_task_load(t, "train", tok, &o, &s, &e), PM_EFORMAT);
        CHECK(strstr(e.msg, "do not hold an option of 3") && strstr(e.hint, "train.max_len"));
        pm_split_free(&s);
    }
    pm_task_close(t);
}

static void long_rows_lose_the_prompts_left(void) {
    write_text("train.jsonl", "{\"q\":\"0123456789\",\"a\":\"7\"}\n");
    pm_task *t = open_json(EXACT("\"extract\":\"last_number\""));
    pm_split s;
    pm_task_opts o = {.max_len = 9};
    CHECK_OK(pm_task_load(t, "train", tok, &o, &s, &e));
    check_text(s.ex[0].ids, s.ex[0].n, "789\nA: 7<|end|>");
    CHECK(s.ex[0].truncated);
    CHECK_EQ_INT(s.ex[0].n, 9);
    check_text(s.ex[0].ids, s.ex[0].prompt_len, "789\nA:");
    pm_split_free(&s);
    o.max_len = 2; /* shorter than the answer: one prompt token stays, the answer's end goes */
    CHECK_OK(pm_task_load(t, "train", tok, &o, &s, &e));
    check_text(s.ex[0].ids, s.ex[0].n, ": ");
    CHECK_EQ_INT(s.ex[0].prompt_len, 1);
    CHECK_EQ_INT(s.ex[0].labels[1], ' ');
    pm_split_free(&s);
    o.max_len = 19;
    CHECK_OK(pm_task_load(t, "train", tok, &o, &s, &e));
    CHECK(!s.ex[0].truncated);
    pm_split_free(&s);
    pm_task_close(t);
}

static void lm_cuts_windows(void) {
    write_text("train.txt", "abcdefghij");
    pm_task *t = open_json("{\"name\":\"t\",\"version\":1,\"kind\":\"lm\",\"data\":{\"test\":{\"file\":"
                           "\"train.txt\",\"format\":\"txt\"}},\"prompt\":\"{text}\"}");
    pm_split s;
    pm_task_opts o = {.max_len = 3};
    CHECK_OK(pm_task_load(t, "test", tok, &o, &s, &e));
    CHECK_EQ_INT(s.n, 3); /* abc def ghi; the lone j has nothing to predict it from */
    check_text(s.ex[1].ids, s.ex[1].n, "def");
    CHECK_EQ_INT(s.ex[1].labels[0], -100);
    CHECK_EQ_INT(s.ex[1].labels[2], 'f');
    pm_split_free(&s);
    pm_task_close(t);
}

static void template_errors_name_the_field(void) {
    write_text("train.jsonl", "{\"q\":\"x\",\"a\":\"A\",\"b\":\"B\",\"gold\":0}\n{\"Q\":\"x\"}\n");
    pm_task *t = open_json(CHOICE(TRAIN, QA));
    pm_split s;
    CHECK_EQ_INT(pm_task_load(t, "train", tok, &plain, &s, &e), PM_EFORMAT);
    CHECK(strstr(e.msg, "train row 2") && strstr(e.msg, "\"q\""));
    pm_task_close(t);

    cJSON *row = cJSON_Parse("{\"name\":\"N\",\"k\":3,\"f\":0.5,\"yes\":true,\"list\":[1]}");
    static const struct {
        const char *template, *want; /* want NULL: refused */
    } cases[] = {{"{{{name}}} {k} {f} {yes}", "{N} 3 0.5 true"},
                 {"{name", NULL},
                 {"name}", NULL},
                 {"{}", NULL},
                 {"{list}", NULL},
                 {"{a{b}", NULL},
                 {"{option}!", "o!"},
                 {"", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_buf b = {0};
        pm_status st = pm_render(cases[i].template, row, "o", &b, &e);
        CHECK_EQ_INT(st, cases[i].want ? PM_OK : PM_EFORMAT);
        if (cases[i].want) CHECK_EQ_STR(b.p ? b.p : "", cases[i].want);
        pm_buf_free(&b);
    }
    cJSON_Delete(row);
}

static void labels_outside_the_options_are_refused(void) {
    static const char *const bad[] = {"2", "-1", "\"x\"", "\"\"", "0.5", "\"1x\"", "99999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char row[128];
        snprintf(row, sizeof row, "{\"q\":\"x\",\"a\":\"A\",\"b\":\"B\",\"gold\":%s}\n", bad[i]);
        write_text("train.jsonl", row);
        pm_task *t = open_json(CHOICE(TRAIN, QA));
        pm_split s;
        CHECK_EQ_INT(pm_task_load(t, "train", tok, &plain, &s, &e), PM_EFORMAT);
        CHECK(strstr(e.msg, "gold"));
        pm_task_close(t);
    }
}

/* ---- formats ---- */

static void read_rows(const char *entry, pm_rows *rows, pm_status want) {
    pm_task t = {.name = "t"};
    snprintf(t.path, sizeof t.path, "%s", path_in(dir, "task.json"));
    cJSON *j = cJSON_Parse(entry);
    CHECK_EQ_INT(pm_rows_read(&t, j, NULL, rows, &e), want);
    cJSON_Delete(j);
}

static void check_field(const pm_rows *r, int row, const char *field, const char *want) {
    CHECK(row < r->n);
    if (row < r->n) CHECK_EQ_STR(pm_json_str(r->row[row].fields, field, NULL), want);
}

static void csv_follows_rfc_4180(void) {
    write_text("f.csv", "\xef\xbb\xbf"
                        "a,b\r\n\"x,\"\"y\"\"\",2\r\n\"two\nlines\",\r\n,\"\"\n");
    pm_rows r = {0};
    read_rows("{\"file\":\"f.csv\",\"format\":\"csv\"}", &r, PM_OK);
    CHECK_EQ_INT(r.n, 3);
    check_field(&r, 0, "a", "x,\"y\"");
    check_field(&r, 0, "b", "2");
    check_field(&r, 1, "a", "two\nlines");
    check_field(&r, 1, "b", "");
    check_field(&r, 2, "b", "");
    pm_rows_free(&r);
    write_text("f.csv", "a,b\n1\n");
    read_rows("{\"file\":\"f.csv\",\"format\":\"csv\"}", &r, PM_EFORMAT);
    CHECK(strstr(e.msg, "1 columns, not 2"));
    pm_rows_free(&r);
    write_text("f.csv", "a,b\n\"1,2\n");
    read_rows("{\"file\":\"f.csv\",\"format\":\"csv\"}", &r, PM_EFORMAT);
    CHECK(strstr(e.msg, "never closed"));
    pm_rows_free(&r);
}

static void damaged_rows_are_named(void) {
    static const struct {
        const char *format, *text, *says;
    } cases[] = {{"jsonl", "{\"a\":1}\n{\"a\":\n", "line 2"}, {"jsonl", "[1]\n", "line 1"},
                 {"json", "{\"a\":1}", "list of rows"},       {"json", "[{}, 3]", "row 2"},
                 {"json", "[{\"a\":", "valid JSON"},          {"jsonl", "\n\n", "no rows"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char entry[128];
        pm_rows r = {0};
        write_text("f", cases[i].text);
        snprintf(entry, sizeof entry, "{\"file\":\"f\",\"format\":\"%s\"}", cases[i].format);
        read_rows(entry, &r, PM_EFORMAT);
        if (!strstr(e.msg, cases[i].says)) CHECK_EQ_STR(e.msg, cases[i].says);
        pm_rows_free(&r);
    }
}

static void lines_and_labels_are_joined(void) {
    write_text("f", "c0\nx\ny\nc1\nz\nw");
    write_text("l", "7\n8\n");
    pm_rows r = {0};
    read_rows(
        "{\"file\":\"f\",\"format\":\"lines\",\"fields\":[\"c\",\"o\",\"p\"],\"labels\":{\"file\":\"l\"}}",
        &r, PM_OK);
    CHECK_EQ_INT(r.n, 2);
    check_field(&r, 1, "p", "w");
    check_field(&r, 1, "label", "8");
    pm_rows_free(&r);
    write_text("l", "7\n");
    read_rows(
        "{\"file\":\"f\",\"format\":\"lines\",\"fields\":[\"c\",\"o\",\"p\"],\"labels\":{\"file\":\"l\"}}",
        &r, PM_EFORMAT);
    CHECK(strstr(e.msg, "1 labels for 2 rows"));
    pm_rows_free(&r);
    write_text("f", "c0\nx\ny\nc1\n");
    read_rows("{\"file\":\"f\",\"format\":\"lines\",\"fields\":[\"c\",\"o\",\"p\"]}", &r, PM_EFORMAT);
    pm_rows_free(&r);
}

static void manifest_hash_is_checked(void) {
    write_text("f", "{\"a\":1}\n");
    pm_rows r = {0};
    read_rows("{\"file\":\"f\",\"format\":\"jsonl\",\"sha256\":"
              "\"0000000000000000000000000000000000000000000000000000000000000000\"}",
              &r, PM_EFORMAT);
    CHECK(strstr(e.msg, "sha256 is ") && strstr(e.msg, "want 0000"));
    read_rows("{\"file\":\"absent\",\"format\":\"jsonl\",\"url\":\"http://x\"}", &r, PM_EIO);
    CHECK(strstr(e.hint, "data fetch t"));
}

static void llm_adapters_rows_come_apart(void) {
    static const struct {
        const char *row, *question, *option2; /* question NULL: refused */
        int gold;
    } cases[] = {
        {"{\"instruction\":\"Please choose the correct answer to the question: Why: so?\\n\\nAnswer1: a  "
         "Answer2: b c \\n\\nAnswer format: answer1/answer2\",\"answer\":\"answer2\"}",
         "Why: so?", "b c ", 1},
        {"{\"instruction\":\"Fill in: S _ V.\\n\\nOption1: Ann Option2: Bob Answer format: "
         "option1/option2\",\"answer\":\"option1\"}",
         "S _ V.", "Bob", 0},
        {"{\"instruction\":\"Choose: dresser\\n\\nSolution1: pin \\n\\nSolution2: two\\nlines\\n\\nAnswer "
         "format: solution1/solution2\",\"answer\":\"solution1\"}",
         "dresser", "two\nlines", 0},
        {"{\"instruction\":\"Choose: q\\n\\nAnswer1: a Answer3: c\\n\\nAnswer format: "
         "answer1/answer2\",\"answer\":\"answer1\"}",
         NULL, NULL, 0},
        {"{\"instruction\":\"Choose: q\\n\\nAnswer1: a Answer2: b\\n\\nAnswer format: "
         "answer1/answer2\",\"answer\":\"answer3\"}",
         NULL, NULL, 0},
        {"{\"instruction\":\"Choose q\",\"answer\":\"answer1\"}", NULL, NULL, 0},
        {"{\"instruction\":\"Answer format: answer1/answer2: x\",\"answer\":\"answer1\"}", NULL, NULL, 0},
        {"{\"answer\":\"answer1\"}", NULL, NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *row = cJSON_Parse(cases[i].row);
        CHECK_EQ_INT(pm_row_shape("llm-adapters", row, &e), cases[i].question ? PM_OK : PM_EFORMAT);
        if (cases[i].question) {
            CHECK_EQ_STR(pm_json_str(row, "question", NULL), cases[i].question);
            CHECK_EQ_STR(cJSON_GetStringValue(cJSON_GetArrayItem(cJSON_GetObjectItem(row, "options"), 1)),
                         cases[i].option2);
            CHECK_EQ_INT(pm_json_int(row, "gold", -1), cases[i].gold);
        }
        cJSON_Delete(row);
    }
}

static void word_problems_are_filled_in(void) {
    cJSON *row = cJSON_Parse("{\"Question\":\"A number of number1 and number0 apples\",\"Numbers\":\"56.0 "
                             "0.5\",\"Answer\":\"504.0\"}");
    CHECK_OK(pm_row_shape("mawps", row, &e));
    CHECK_EQ_STR(pm_json_str(row, "question", NULL), "A number of 0.5 and 56 apples");
    CHECK_EQ_STR(pm_json_str(row, "answer", NULL), "504");
    cJSON_Delete(row);
    row = cJSON_Parse("{\"Question\":\"number2\",\"Numbers\":\"56.0 0.5\",\"Answer\":\"504.0\"}");
    CHECK_EQ_INT(pm_row_shape("mawps", row, &e), PM_EFORMAT);
    cJSON_Delete(row);
}

/* ---- splits ---- */

static void write_questions(const char *name, int from, int to) {
    pm_buf b = {0};
    for (int i = from; i < to; i++)
        pm_buf_printf(&b, "{\"q\":\"Question %d\",\"a\":\"yes\",\"b\":\"no\",\"gold\":%d}\n", i, i % 2);
    write_text(name, b.p);
    pm_buf_free(&b);
}

static void splits_by_hash_are_fixed_and_disjoint(void) {
    write_questions("train.jsonl", 0, 1000);
    write_questions("test.jsonl", 1000, 1100);
    pm_task *t = open_json(CHOICE(
        TRAIN "," TEST ",\"validation\":{\"from\":\"train\",\"mod\":10,\"rem\":[3],\"after\":100}", QA));
    pm_split train, again, val, test;
    CHECK_OK(pm_task_load(t, "train", tok, &plain, &train, &e));
    CHECK_OK(pm_task_load(t, "train", tok, &plain, &again, &e));
    CHECK_OK(pm_task_load(t, "validation", tok, &plain, &val, &e));
    CHECK_OK(pm_task_load(t, "test", tok, &plain, &test, &e));
    CHECK_EQ_INT(train.n + val.n, 1000);
    CHECK_EQ_INT(test.n, 100);
    CHECK(val.n > 60 && val.n < 120); /* 900 rows, a tenth, five standard deviations */
    CHECK_EQ_STR(train.hash, again.hash);
    CHECK(strcmp(train.hash, val.hash) != 0);
    for (int i = 0; i < 100; i++) { /* the first hundred stay in train, in file order */
        char want[64];
        snprintf(want, sizeof want, "Question: Question %d\nAnswer:", i);
        CHECK_EQ_STR(train.ex[i].prompt_text, want);
    }
    for (int i = 0; i < val.n; i++)
        for (int j = 0; j < train.n; j++) CHECK(strcmp(val.ex[i].id, train.ex[j].id) != 0);
    pm_split_free(&train), pm_split_free(&again), pm_split_free(&val), pm_split_free(&test);

    pm_task_opts o = {.limit = 7};
    CHECK_OK(pm_task_load(t, "validation", tok, &o, &val, &e));
    CHECK_EQ_INT(val.n, 7);
    pm_split_free(&val);
    pm_task_close(t);
}

/* One question of the test file, spelt with other blanks and capitals and its options swapped, planted in the training file. */
static void leaked_questions_are_refused_or_dropped(void) {
    write_questions("train.jsonl", 0, 50);
    write_questions("test.jsonl", 50, 60);
    FILE *f = fopen(path_in(dir, "train.jsonl"), "ab");
    CHECK(f && fputs("{\"q\":\"  question\\t55 \",\"a\":\"No\",\"b\":\"YES\",\"gold\":0}\n", f) >= 0);
    if (f) fclose(f);
    pm_split s;
    pm_task *t = open_json(CHOICE(TRAIN "," TEST, QA));
    CHECK_EQ_INT(pm_task_load(t, "test", tok, &plain, &s, &e), PM_EFORMAT);
    CHECK(strstr(e.msg, "1 question is in two splits") && strstr(e.msg, "train row 51") &&
          strstr(e.msg, "test row 6"));
    CHECK_EQ_INT(pm_task_load(t, "train", tok, &plain, &s, &e), PM_EFORMAT);
    pm_task_close(t);

    t = open_json(CHOICE(TRAIN "," TEST, QA ",\"duplicates\":\"drop\""));
    CHECK_OK(pm_task_load(t, "train", tok, &plain, &s, &e));
    CHECK_EQ_INT(s.n, 50);
    CHECK_EQ_INT(s.n_dropped, 1);
    pm_split_free(&s);
    CHECK_OK(pm_task_load(t, "test", tok, &plain, &s, &e));
    CHECK_EQ_INT(s.n, 10);
    CHECK_EQ_INT(s.n_dropped, 0);
    pm_split_free(&s);
    pm_task_close(t);
}

/* ---- definitions ---- */

static void broken_definitions_are_named(void) {
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"[]", "not an object"},
        {"{\"name\":\"t\",", "line 1"},
        {"{\"name\":\"t\",\"version\":1,\"kind\":\"chioce\"}", "\"kind\""},
        {"{\"version\":1,\"kind\":\"lm\"}", "no \"name\""},
        {"{\"name\":\"t\",\"version\":0.5,\"kind\":\"lm\"}", "\"version\""},
        {CHOICE(TRAIN, QA ",\"promt\":\"\""), "unknown key \"promt\""},
        {CHOICE("", QA), "no \"data\""},
        {CHOICE("\"dev\":{}", QA), "unknown key \"dev\""},
        {CHOICE("\"train\":{\"file\":\"f\",\"format\":\"xml\"}", QA), "\"format\""},
        {CHOICE("\"train\":{\"file\":\"f\",\"format\":\"lines\"}", QA), "needs \"fields\""},
        {CHOICE("\"train\":{\"file\":\"f\",\"format\":\"json\",\"rows\":\"odd\"}", QA), "unknown \"rows\""},
        {CHOICE("\"train\":{\"file\":\"f\",\"format\":\"json\",\"sha256\":\"12\"}", QA), "64 hexadecimal"},
        {CHOICE("\"train\":{\"file\":\"f\",\"format\":\"json\",\"url\":\"http://x\"}", QA),
         "needs its \"sha256\""},
        {CHOICE("\"train\":{\"file\":\"../f\",\"format\":\"json\",\"url\":\"http://"
                "x\",\"sha256\":\"0000000000000000000000000000000000000000000000000000000000000000\"}",
                QA),
         "below the data folder"},
        {CHOICE("\"test\":{\"from\":\"train\",\"mod\":10,\"rem\":[0]}", QA), "no split with rows of its own"},
        {CHOICE(TRAIN ",\"test\":{\"from\":\"train\",\"mod\":10,\"rem\":[10]}", QA), "remainder"},
        {CHOICE(TRAIN ",\"test\":{\"from\":\"train\",\"mod\":0,\"rem\":[0]}", QA), "\"mod\""},
        {CHOICE(TRAIN, "\"prompt\":\"x\",\"answer\":\"y\",\"choices\":[],\"labels\":{\"field\":\"g\"}"),
         "\"choices\""},
        {CHOICE(TRAIN, "\"prompt\":\"x\",\"answer\":\"y\",\"choices\":\"o\""), "no \"labels\""},
        {CHOICE(TRAIN, "\"answer\":\"y\",\"choices\":\"o\",\"labels\":{\"field\":\"g\"}"), "no \"prompt\""},
        {EXACT("\"extract\":\"regex\""), "unknown \"extract\""},
        {EXACT("\"max_new_tokens\":0"), "max_new_tokens"},
        {CHOICE(TRAIN, QA ",\"cluster\":\"\""), "\"cluster\""},
        {CHOICE(TRAIN, QA ",\"cluster\":3"), "\"cluster\""},
        {"{\"name\":\"t\",\"version\":1,\"kind\":\"lm\",\"prompt\":\"x\",\"cluster\":\"x\",\"data\":{" TRAIN
         "}}",
         "\"cluster\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_task *t;
        write_text("task.json", cases[i].json);
        CHECK_EQ_INT(pm_task_open(path_in(dir, "task.json"), &t, &e), PM_EFORMAT);
        CHECK(!t);
        if (!strstr(e.msg, cases[i].says)) CHECK_EQ_STR(e.msg, cases[i].says);
    }
}

/* Every byte of a shipped definition changed in turn, and every truncation: refused or still a task, never a crash. */
static void damaged_definitions_never_crash(void) {
    char path[4096];
    pm_buf whole = {0};
    pm_task *t;
    int refused = 0;
    CHECK_OK(pm_share_dir(path, sizeof path - 16, &e));
    snprintf(path + strlen(path), 16, "/boolq.json");
    CHECK_OK(pm_file_read(path, NULL, &whole, &e));
    for (size_t i = 0; i < whole.n; i++) {
        char *copy = pm_xstrndup(whole.p, whole.n);
        copy[i] = (char)(copy[i] ^ 0x15);
        write_text("task.json", copy);
        refused += pm_task_open(path_in(dir, "task.json"), &t, &e) != PM_OK;
        pm_task_close(t);
        copy[i] = 0; /* write_text stops here */
        write_text("task.json", copy);
        if (i + 3 < whole.n) CHECK(pm_task_open(path_in(dir, "task.json"), &t, &e) != PM_OK && !t);
        free(copy);
    }
    CHECK(refused > 200); /* keys, structure, hashes; a changed letter of a prompt is another prompt */
    pm_buf_free(&whole);
}

/* Refused at every length until the format line lists two answers; from there on both options are whole. */
static void cut_instructions_are_refused(void) {
    static const char text[] = "Choose: why?\n\nAnswer1: a Answer2: b\n\nAnswer format: answer1/answer2";
    const size_t enough = (size_t)(strchr(text, '/') - text) + 1;
    for (size_t n = 0; n < sizeof text; n++) {
        cJSON *row = cJSON_CreateObject();
        char *cut = pm_xstrndup(text, n);
        cJSON_AddStringToObject(row, "instruction", cut);
        cJSON_AddStringToObject(row, "answer", "answer2");
        CHECK_EQ_INT(pm_row_shape("llm-adapters", row, &e), n < enough ? PM_EFORMAT : PM_OK);
        if (n >= enough) {
            const cJSON *options = cJSON_GetObjectItem(row, "options");
            CHECK_EQ_STR(cJSON_GetStringValue(cJSON_GetArrayItem(options, 1)), "b");
        }
        free(cut);
        cJSON_Delete(row);
    }
}

static void names_are_found_or_suggested(void) {
    pm_task *t;
    CHECK_OK(pm_task_open("ARC-Easy", &t, &e));
    CHECK_EQ_STR(t->name, "arc_easy");
    pm_split s;
    CHECK_EQ_INT(pm_task_load(t, "dev", tok, &plain, &s, &e), PM_EUSAGE);
    pm_task_close(t);
    CHECK_EQ_INT(pm_task_open("arc_esay", &t, &e), PM_EUSAGE);
    CHECK(strstr(e.hint, "arc_easy"));
    CHECK_EQ_INT(pm_task_open("models", &t, &e), PM_EUSAGE); /* the catalogue is no task */
    CHECK_EQ_INT(pm_task_open("no/such.json", &t, &e), PM_EIO);
}

static void shipped_definitions_are_sound(void) {
    char **names;
    int n;
    CHECK_OK(pm_task_names(&names, &n, &e));
    CHECK(n >= 10);
    for (int i = 0; i < n; i++) {
        pm_task *t;
        pm_task_file f[PM_TASK_FILES_MAX];
        CHECK_OK(pm_task_open(names[i], &t, &e));
        if (!t) continue;
        CHECK_EQ_STR(t->name, names[i]);
        CHECK(*t->cite && *t->licence);
        int k = pm_task_files(t, f);
        CHECK(k >= 1 || strncmp(names[i], "tiny_", 5) == 0); /* those are made by rule */
        for (int j = 0; j < k; j++) {
            CHECK(f[j].url && f[j].sha256 && strncmp(f[j].url, "https://", 8) == 0);
            CHECK(!strstr(f[j].file, "math_data")); /* it holds four fifths of the arithmetic test sets */
        }
        pm_task_close(t);
    }
    pm_task_names_free(names, n);
}

/* ---- token rows ---- */

static void token_rows_are_checked_strictly(void) {
    static const struct {
        const char *row, *says; /* says NULL: fine */
    } cases[] = {
        {"{\"input_ids\":[1,2,3],\"labels\":[-100,2,3],\"prompt_len\":1}", NULL},
        {"{\"input_ids\":[1,2,256],\"labels\":[1,-100,256],\"prompt_len\":3}", NULL},
        {"{\"input_ids\":[1,2,257],\"labels\":[-100,2,3],\"prompt_len\":1}", "input_ids[2]"},
        {"{\"input_ids\":[1,-2,3],\"labels\":[-100,2,3],\"prompt_len\":1}", "input_ids[1]"},
        {"{\"input_ids\":[1,2.5,3],\"labels\":[-100,2,3],\"prompt_len\":1}", "input_ids[1]"},
        {"{\"input_ids\":[1,\"2\",3],\"labels\":[-100,2,3],\"prompt_len\":1}", "input_ids[1]"},
        {"{\"input_ids\":[1,2,1e99],\"labels\":[-100,2,3],\"prompt_len\":1}", "input_ids[2]"},
        {"{\"input_ids\":[],\"labels\":[],\"prompt_len\":0}", "input_ids"},
        {"{\"labels\":[1],\"prompt_len\":0}", "input_ids"},
        {"{\"input_ids\":[1,2],\"labels\":[-100],\"prompt_len\":1}", "1 labels for 2"},
        {"{\"input_ids\":[1,2],\"prompt_len\":1}", "\"labels\""},
        {"{\"input_ids\":[1,2],\"labels\":[-100,-1],\"prompt_len\":1}", "labels[1]"},
        {"{\"input_ids\":[1,2],\"labels\":[-100,300],\"prompt_len\":1}", "labels[1]"},
        {"{\"input_ids\":[1,2],\"labels\":[1,-100],\"prompt_len\":1}", "no label is scored"},
        {"{\"input_ids\":[1,2],\"labels\":[-100,2],\"prompt_len\":3}", "prompt_len"},
        {"{\"input_ids\":[1,2],\"labels\":[-100,2],\"prompt_len\":-1}", "prompt_len"},
        {"{\"input_ids\":[1,2],\"labels\":[-100,2]}", "prompt_len"},
        {"[1,2]", "not a JSON object"},
        {"{\"input_ids\":[1,2", "not a JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_task *t;
        pm_split s;
        write_text("rows.jsonl", cases[i].row);
        CHECK_OK(pm_task_open(path_in(dir, "rows.jsonl"), &t, &e));
        CHECK_EQ_INT(t->kind, PM_TASK_TOKENS);
        CHECK_EQ_INT(pm_task_load(t, "train", tok, &plain, &s, &e), cases[i].says ? PM_EFORMAT : PM_OK);
        if (cases[i].says && !strstr(e.msg, cases[i].says)) CHECK_EQ_STR(e.msg, cases[i].says);
        pm_split_free(&s);
        pm_task_close(t);
    }
}

static void token_rows_need_no_tokenizer(void) {
    write_text("rows.jsonl", "{\"input_ids\":[5,6,70000,8],\"labels\":[5,-100,70000,8],\"prompt_len\":2}\n\n"
                             "{\"input_ids\":[1,2],\"labels\":[-100,2],\"prompt_len\":1}\n");
    pm_task *t;
    pm_split s;
    CHECK_OK(pm_task_open(path_in(dir, "rows.jsonl"), &t, &e));
    pm_task_opts o = {.max_len = 3};
    CHECK_OK(pm_task_load(t, "train", NULL, &o, &s, &e));
    CHECK_EQ_INT(s.n, 2);
    const pm_example *x = &s.ex[0];
    CHECK(x->truncated);
    CHECK_EQ_INT(x->n, 3);
    CHECK_EQ_INT(x->prompt_len, 1);
    CHECK_EQ_INT(x->ids[0], 6);
    CHECK_EQ_INT(x->labels[0], -100);
    CHECK_EQ_INT(x->labels[1], 70000);
    CHECK_EQ_INT(x->labels[2], 8);
    pm_split_free(&s);
    pm_task_close(t);
}

static void token_splits_are_compared(void) {
    write_text("a.jsonl", "{\"input_ids\":[1,2],\"labels\":[-100,2],\"prompt_len\":1}\n{\"input_ids\":[1,3],"
                          "\"labels\":[-100,3],\"prompt_len\":1}\n");
    write_text("b.jsonl", "{\"input_ids\":[1,3],\"labels\":[-100,3],\"prompt_len\":1}\n");
    pm_task *t = open_json("{\"name\":\"t\",\"version\":1,\"kind\":\"tokens\",\"data\":{\"train\":{\"file\":"
                           "\"a.jsonl\"},\"test\":{\"file\":\"b.jsonl\"}}}");
    pm_split s;
    CHECK_EQ_INT(pm_task_load(t, "train", NULL, &plain, &s, &e), PM_EFORMAT);
    CHECK(strstr(e.msg, "train row 2") && strstr(e.msg, "test row 1"));
    pm_task_close(t);
}

/* ---- answers ---- */

static void answers_are_extracted(void) {
    static const struct {
        const char *how, *text, *want;
    } cases[] = {
        {"marked_number", "a 3 #### 1,234.", "1234"},
        {"marked_number", "#### -5\n#### 6", "-5"},
        {"marked_number", "the answer is 5", ""},
        {"marked_number", "#### x #### 7", "7"},
        {"marked_number", "####7", ""},
        {"last_number", "cost $1,200.50 now", "1200.50"},
        {"last_number", "3 then 4", "4"},
        {"last_number", "none", ""},
        {"last_number", "is -12.", "-12"},
        {"last_value", "so 1,200.50 apples", "1200.5"},
        {"last_value", "51.0", "51"},
        {"last_value", "007", "7"},
        {"last_value", "-0.0", "0"},
        {"last_value", "none", ""},
        {"last_value", "It is 8. ", "8"},
        {"last_value", "100", "100"},
        {"line", "\n  Paris \nFrance", "Paris"},
        {"line", "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = pm_text_extract(cases[i].how, cases[i].text);
        CHECK_EQ_STR(got, cases[i].want);
        free(got);
    }
}

int main(void) {
    if (!mkdtemp(dir)) {
        SKIP("test_task", "no temporary folder");
        return check_done();
    }
    make_tokenizer();
    RUN(choice_scores_options_and_trains_on_gold);
    RUN(rows_say_what_they_are_about);
    RUN(choice_may_substitute_in_the_prompt);
    RUN(classify_uses_label_words);
    RUN(exact_has_two_pieces_and_eos);
    RUN(options_are_never_cut);
    RUN(long_rows_lose_the_prompts_left);
    RUN(lm_cuts_windows);
    RUN(template_errors_name_the_field);
    RUN(labels_outside_the_options_are_refused);
    RUN(csv_follows_rfc_4180);
    RUN(damaged_rows_are_named);
    RUN(lines_and_labels_are_joined);
    RUN(manifest_hash_is_checked);
    RUN(llm_adapters_rows_come_apart);
    RUN(word_problems_are_filled_in);
    RUN(splits_by_hash_are_fixed_and_disjoint);
    RUN(leaked_questions_are_refused_or_dropped);
    RUN(broken_definitions_are_named);
    RUN(damaged_definitions_never_crash);
    RUN(cut_instructions_are_refused);
    RUN(names_are_found_or_suggested);
    RUN(shipped_definitions_are_sound);
    RUN(token_rows_are_checked_strictly);
    RUN(token_rows_need_no_tokenizer);
    RUN(token_splits_are_compared);
    RUN(answers_are_extracted);
    pm_tokenizer_free(tok);
    char line[64];
    snprintf(line, sizeof line, "rm -rf %s", dir);
    return system(line) != 0 || check_done();
}
