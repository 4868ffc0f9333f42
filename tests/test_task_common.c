/* test_task_common.c - splits in memory that processes have in common: the same to the last field, known by all that decides them, and
 * behind the same lock. Two handles in one process stand for two processes. */
#include "check.h"
#include "commons.h"
#include "task_priv.h"
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static pm_err e;
static pm_tokenizer *tok;
static const pm_task_opts FEW = {.max_len = 512, .limit = 40, .model_path = "models/tiny"};

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_ids(const int32_t *a, const int32_t *b, int n) {
    return (!a && !b) || (a && b && memcmp(a, b, (size_t)n * sizeof *a) == 0);
}

static bool same_example(const pm_example *x, const pm_example *y) {
    bool same = !strcmp(x->id, y->id) && x->n == y->n && x->prompt_len == y->prompt_len &&
                x->n_choices == y->n_choices && x->gold == y->gold && x->truncated == y->truncated &&
                same_text(x->gold_text, y->gold_text) && same_text(x->prompt_text, y->prompt_text) &&
                same_text(x->cluster, y->cluster) && same_ids(x->ids, y->ids, x->n) &&
                same_ids(x->labels, y->labels, x->n);
    for (int c = 0; c < x->n_choices && same; c++) {
        const pm_choice *a = &x->choice[c], *b = &y->choice[c];
        same = a->n == b->n && a->score_from == b->score_from && a->n_chars == b->n_chars &&
               a->n_bytes == b->n_bytes && same_ids(a->ids, b->ids, a->n);
    }
    return same;
}

static pm_split load_split(pm_common *c, const char *task, const char *split, pm_task_opts o) {
    pm_task *t = NULL;
    pm_split s = {0};
    o.common = c;
    CHECK_OK(pm_task_open(task, &t, &e));
    if (t) CHECK_OK(pm_task_load(t, split, tok, &o, &s, &e));
    pm_task_close(t);
    return s;
}

static void check_same(const pm_split *got, const pm_split *want) {
    CHECK_EQ_INT(got->n, want->n);
    CHECK_EQ_INT(got->n_dropped, want->n_dropped);
    CHECK_EQ_STR(got->hash, want->hash);
    for (int i = 0; i < want->n && i < got->n; i++) CHECK(same_example(&got->ex[i], &want->ex[i]));
}

/* Every kind of task, cut and whole, to be trained on and to be scored: by itself, read for others, and found. */
/* The same rows take the same, less the block's head and places instead of pointers. */
static void check_bytes(const pm_split *own, const pm_split *found, int64_t block) {
    int64_t o, nothing, arrays, common;
    pm_split_bytes(own, &o, &nothing);
    pm_split_bytes(found, &arrays, &common);
    CHECK_EQ_INT(nothing, 0);
    CHECK_EQ_INT(arrays + common, found->n_bytes);
    CHECK(common <= block && common > block - 4096); /* whole pages */
    CHECK(arrays < o && o - arrays < common);
    CHECK(o > (int64_t)sizeof(int32_t) * own->n * own->ex[0].prompt_len / 2);
}

static void splits_are_read_once(void) {
    static const struct {
        const char *task, *split;
        int max_len;
        bool train_only;
    } cases[] = {
        {"tiny_facts", "validation", 512, false}, {"tiny_facts", "train", 20, true},
        {"tiny_kind", "test", 512, false},        {"tiny_tell", "validation", 9, false},
        {"tiny_text", "test", 64, false},         {"tests/golden/train/rows.jsonl", "train", 0, false}};
    int fd = pm_commons_create();
    pm_common *a = pm_commons_open(fd), *b = pm_commons_open(fd);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_task_opts o = FEW;
        o.max_len = cases[i].max_len, o.train_only = cases[i].train_only;
        pm_split alone = load_split(NULL, cases[i].task, cases[i].split, o);
        int64_t before = pm_commons_bytes(fd);
        pm_split made = load_split(a, cases[i].task, cases[i].split, o);
        int64_t after = pm_commons_bytes(fd);
        pm_split found = load_split(b, cases[i].task, cases[i].split, o);
        CHECK(!alone.in_common && made.in_common && found.in_common);
        CHECK(alone.n > 0 && after > before && made.n_bytes >= after - before);
        CHECK_EQ_INT(pm_commons_bytes(fd), after);
        check_same(&made, &alone);
        check_same(&found, &alone);
        check_bytes(&alone, &found, after - before);
        pm_split_free(&alone), pm_split_free(&made), pm_split_free(&found);
    }
    pm_commons_close(a);
    pm_commons_close(b);
    close(fd);
}

static void key_of(const char *task, const char *split, const pm_task_opts *o, char key[PM_COMMON_KEY]) {
    pm_task *t = NULL;
    CHECK_OK(pm_task_open(task, &t, &e));
    if (t) pm_split_key(t, split, o, key);
    pm_task_close(t);
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0);
    if (f) fclose(f);
}

/* Whatever decides the tokens is part of the key; so is a file that was written again. */
static void splits_are_known_by_all_that_decides_them(void) {
    char dir[] = P_tmpdir "/pm-commons-XXXXXX", rows[64], key[10][PM_COMMON_KEY];
    static const char row[] = "{\"input_ids\": [1, 2], \"labels\": [-100, 2], \"prompt_len\": 1}\n";
    int n = 0;
    CHECK(mkdtemp(dir) != NULL);
    snprintf(rows, sizeof rows, "%s/rows.jsonl", dir);
    write_text(rows, row);
    pm_task_opts o = {.max_len = 8, .model_path = "models/tiny"};
    key_of(rows, "train", &o, key[n++]);
    key_of(rows, "test", &o, key[n++]);
    o.max_len = 9, key_of(rows, "train", &o, key[n++]), o.max_len = 8;
    o.limit = 1, key_of(rows, "train", &o, key[n++]), o.limit = 0;
    o.loss_on_all = true, key_of(rows, "train", &o, key[n++]), o.loss_on_all = false;
    o.train_only = true, key_of(rows, "train", &o, key[n++]), o.train_only = false;
    o.model_path = "tests/golden/models/llama_tied", key_of(rows, "train", &o, key[n++]),
    o.model_path = "models/tiny";
    key_of("tiny_kind", "train", &o, key[n++]);
    write_text(rows, row);
    CHECK_EQ_INT(truncate(rows, (off_t)strlen(row) - 1), 0);
    key_of(rows, "train", &o, key[n++]);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) CHECK(strcmp(key[i], key[j]) != 0);
    key_of(rows, "train", &o, key[n]);
    CHECK_EQ_STR(key[n], key[n - 1]); /* and nothing else is */
    unlink(rows);
    rmdir(dir);
}

/* A line is in both splits. */
static void write_rows(const char *dir) {
    char file[100];
    snprintf(file, sizeof file, "%s/a.jsonl", dir);
    write_text(file, "{\"q\": \"one\", \"a\": \"1\"}\n{\"q\": \"two\", \"a\": \"2\"}\n");
    snprintf(file, sizeof file, "%s/b.jsonl", dir);
    write_text(file, "{\"q\": \"two\", \"a\": \"2\"}\n");
}

/* With another answer it is another task, though it has the same name. */
static void write_task(const char *dir, const char *answer, char path[100]) {
    char text[400];
    snprintf(path, 100, "%s/task.json", dir);
    snprintf(text, sizeof text,
             "{\"name\": \"two\", \"version\": 1, \"cite\": \"-\", \"licence\": \"-\", \"kind\": \"exact\", "
             "\"data\": "
             "{\"train\": {\"file\": \"a.jsonl\", \"format\": \"jsonl\"}, \"test\": {\"file\": \"b.jsonl\", "
             "\"format\": "
             "\"jsonl\"}}, \"duplicates\": \"drop\", \"prompt\": \"{q}\", \"answer\": \"%s\"}",
             answer);
    write_text(path, text);
}

static void definitions_and_dropped_rows_are_kept(void) {
    static const char *const files[] = {"a.jsonl", "b.jsonl", "task.json"};
    char dir[] = P_tmpdir "/pm-commons-XXXXXX", path[100], key[2][PM_COMMON_KEY];
    int fd = pm_commons_create();
    pm_common *c = pm_commons_open(fd);
    CHECK(mkdtemp(dir) != NULL);
    write_rows(dir);
    write_task(dir, " {a}", path);
    key_of(path, "train", &FEW, key[0]);
    for (int i = 0; i < 2; i++) {
        pm_split s = load_split(c, path, "train", FEW);
        CHECK(s.in_common && s.n == 1 && s.n_dropped == 1);
        pm_split_free(&s);
    }
    write_task(dir, " {q}", path);
    key_of(path, "train", &FEW, key[1]);
    CHECK(strcmp(key[0], key[1]) != 0);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
    pm_commons_close(c);
    close(fd);
}

static bool is_refused(pm_common *c) {
    pm_task *t = NULL;
    pm_split s;
    pm_task_opts o = FEW;
    o.common = c;
    pm_test_lock();
    return pm_task_open("tiny_kind", &t, &e) == PM_OK &&
           pm_task_load(t, "test", tok, &o, &s, &e) == PM_ELOCKED;
}

/* Test data that a final run has read are as far from what tunes as ever. */
static void the_lock_comes_first(void) {
    int fd = pm_commons_create(), status = 0;
    pm_common *c = pm_commons_open(fd);
    pm_split s = load_split(c, "tiny_kind", "test", FEW);
    CHECK(s.in_common);
    fflush(NULL);
    pid_t pid = fork(); /* there is no way back from the lock */
    if (pid == 0) _exit(is_refused(c) ? 0 : 1);
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pm_split_free(&s);
    pm_commons_close(c);
    close(fd);
}

/* A load that fails leaves the key to the next one. */
static void a_failed_load_gives_the_key_up(void) {
    int fd = pm_commons_create();
    pm_common *c = pm_commons_open(fd);
    pm_task *t = NULL;
    pm_split s;
    pm_task_opts o = FEW;
    o.common = c;
    CHECK_OK(pm_task_open("tiny_kind", &t, &e));
    CHECK_EQ_INT(pm_task_load(t, "train", NULL, &o, &s, &e), PM_EUSAGE); /* no tokenizer */
    CHECK_OK(pm_task_load(t, "train", tok, &o, &s, &e));
    CHECK(s.in_common && s.n == 40);
    pm_split_free(&s);
    pm_task_close(t);
    pm_commons_close(c);
    close(fd);
}

int main(void) {
    CHECK_OK(pm_tokenizer_from_json("models/tiny", &tok, &e));
    RUN(splits_are_read_once);
    RUN(splits_are_known_by_all_that_decides_them);
    RUN(definitions_and_dropped_rows_are_kept);
    RUN(the_lock_comes_first);
    RUN(a_failed_load_gives_the_key_up);
    pm_tokenizer_free(tok);
    return check_done();
}
