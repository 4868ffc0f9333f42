/* test_pretrain.c - models/tiny is what `pretrain` makes: its start and text to the bit, its first steps to the bit within one build and
 * close to the record's elsewhere; its vocabulary has every word of every embedded row; transformers computes the same with it.
 *
 * hf_check.py needs python3 with transformers (PEFTMETER_PYTHON names another interpreter; SKIP without).
 */
#include "check.h"
#include "fresh.h"
#include "logits.h"
#include "pretrain.h"
#include "scratch.h"
#include "task.h"
#include <sys/stat.h>
#include <unistd.h>

#define TINY "models/tiny"
enum { STEPS = 4 };
static const double CLOSE = 1e-3; /* losses of another BLAS or CPU; the first steps differ by 1e-6 or so */

static pm_err e;
static char dir_[] = P_tmpdir "/peftmeter_test_XXXXXX";
static const char *const TASKS[] = {"tiny_kind", "tiny_facts", "tiny_tell", "tiny_text"};

static void shell(const char *command) {
    CHECK_EQ_INT(system(command), 0);
}

/* ---- how it was made ---- */

static pm_pretrained first_steps(const pm_config *c, const char *name) {
    pm_pretrained p = {0};
    const char *dir = path_in(dir_, name);
    CHECK_EQ_INT(mkdir(dir, 0777), 0);
    CHECK_OK(pm_pretrain(c, dir, STEPS, &p, &e));
    return p;
}

static void first_steps_are_those_of_the_record(void) {
    pm_config *c = pm_config_new();
    pm_pretrained was = {0};
    CHECK_OK(pm_pretrain_recall(TINY, c, &was, &e));
    pm_pretrained a = first_steps(c, "a"), b = first_steps(c, "b");
    CHECK_EQ_STR(a.start_hash, was.start_hash);
    CHECK_EQ_STR(a.data_hash, was.data_hash);
    CHECK_EQ_INT(a.n_done, STEPS);
    CHECK_EQ_INT(a.n_steps, was.n_steps);
    for (int i = 0; i < a.n_done && i < was.n_done; i++) {
        CHECK(a.loss[i] == b.loss[i]);
        CHECK_REL(a.loss[i], was.loss[i], CLOSE);
    }
    pm_pretrained_free(&a);
    pm_pretrained_free(&b);
    pm_pretrained_free(&was);
    pm_config_free(c);
}

static void another_seed_is_another_start(void) {
    static char *const WORD[] = {(char *)(uintptr_t) "one", (char *)(uintptr_t) "two"};
    pm_model_cfg cfg = {.arch = "llama", .C = 8, .F = 8, .L = 1, .H = 2, .n_kv = 1, .D = 4, .tied = true};
    char hash[3][65];
    cfg.norm_eps = (real)1e-5, cfg.rope.theta = 1e4, cfg.max_pos = 8;
    for (int i = 0; i < 3; i++) {
        pm_loaded l = {0};
        pm_arena *base = pm_arena_new("base", 0);
        CHECK_OK(pm_fresh_model(&cfg, WORD, 2, (uint64_t)i / 2, dir_, &e));
        CHECK_OK(pm_model_load(dir_, base, &l, &e));
        snprintf(hash[i], sizeof hash[i], "%s", l.model ? l.model->hash : "");
        CHECK_EQ_INT(l.model->cfg.V, 1 + 256 + 2);
        pm_model_close(&l);
        pm_arena_free(base);
    }
    CHECK_EQ_STR(hash[0], hash[1]);
    CHECK(strcmp(hash[0], hash[2]) != 0);
}

/* ---- what it is ---- */

static void it_is_small(void) {
    static const char *const FILES[] = {"config.json",   "generation_config.json", "model.safetensors",
                                        "pretrain.json", "tokenizer.json",         "tokenizer_config.json"};
    long long bytes = 0;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        struct stat s;
        CHECK_EQ_INT(stat(path_in(TINY, FILES[i]), &s), 0);
        bytes += s.st_size;
    }
    CHECK(bytes <= 4 << 20);
}

/* A word that is missing is spelt in bytes: ids 1 to 256. Only punctuation is. */
static bool spelt(const pm_tokenizer *tok, int32_t id) {
    size_t n;
    char *text = pm_tokenizer_decode(tok, &id, 1, false, &n);
    bool letter = n == 1 && !strchr(".,:?", *text);
    free(text);
    return letter;
}

static void every_word_is_one_token(void) {
    pm_tokenizer *tok = NULL;
    CHECK_OK(pm_tokenizer_from_json(TINY, &tok, &e));
    for (size_t k = 0; k < sizeof TASKS / sizeof *TASKS; k++) {
        pm_task *t;
        pm_split d;
        pm_task_opts o = {.limit = 1000};
        int n_spelt = 0;
        CHECK_OK(pm_task_open(TASKS[k], &t, &e));
        CHECK_OK(pm_task_load(t, "test", tok, &o, &d, &e));
        for (int i = 0; i < d.n; i++)
            for (int j = 0; j < d.ex[i].n; j++) n_spelt += spelt(tok, d.ex[i].ids[j]);
        CHECK_EQ_INT(n_spelt, 0);
        pm_split_free(&d);
        pm_task_close(t);
    }
    pm_tokenizer_free(tok);
}

/* ---- transformers ---- */

static const char *python;

static int run_script(const char *args) {
    char command[2048];
    snprintf(command, sizeof command, "%s tests/hf_check.py %s", python, args);
    return system(command);
}

/* Texts of the world and one that it has no words for, as ids. */
static void write_sequences(const pm_tokenizer *tok, const char *path) {
    static const char *const TEXTS[] = {"the balim chased the gumor. it eats plums.",
                                        "where does the noras live?",
                                        "Gr\xc3\xbc\xc3\x9f"
                                        "e, 42 apples!"};
    cJSON *j = cJSON_CreateObject(), *sequences = cJSON_AddArrayToObject(j, "sequences");
    cJSON_AddItemToObject(j, "texts", cJSON_CreateStringArray(TEXTS, 3));
    for (int i = 0; i < 3; i++) {
        pm_ids ids = {0};
        CHECK_OK(pm_tokenizer_encode(tok, TEXTS[i], strlen(TEXTS[i]), PM_TOK_BOS, &ids, &e));
        cJSON_AddItemToArray(sequences, cJSON_CreateIntArray(ids.id, (int)ids.n));
        pm_ids_free(&ids);
    }
    char *text = cJSON_PrintUnformatted(j);
    FILE *f = fopen(path, "w");
    PM_ASSERT(f && fputs(text, f) >= 0 && !fclose(f), "%s", path);
    free(text);
    cJSON_Delete(j);
}

static void transformers_computes_the_same(void) {
    char sequences[300], logits[300], args[1024];
    pm_config *c = pm_config_new();
    pm_session s;
    snprintf(sequences, sizeof sequences, "%s/sequences.json", dir_);
    snprintf(logits, sizeof logits, "%s/logits.bin", dir_);
    CHECK_OK(pm_session_load(c, TINY, NULL, &s, &e));
    write_sequences(s.tok, sequences);
    cJSON *index = golden_json(sequences);
    write_logits(&s, golden_get(index, "sequences"), logits);
    cJSON_Delete(index);
    snprintf(args, sizeof args, "'%s' '%s' '%s' 2e-4", TINY, sequences, logits);
    CHECK_EQ_INT(run_script(args), 0);
    pm_session_close(&s);
    pm_config_free(c);
}

int main(void) {
    PM_ASSERT(mkdtemp(dir_) && !setenv("D", dir_, 1), "cannot make %s", dir_);
    python = getenv("PEFTMETER_PYTHON") ? getenv("PEFTMETER_PYTHON") : "python3";
    RUN(first_steps_are_those_of_the_record);
    RUN(another_seed_is_another_start);
    RUN(it_is_small);
    RUN(every_word_is_one_token);
    if (run_script("--probe >/dev/null 2>&1") == 0)
        RUN(transformers_computes_the_same);
    else
        SKIP("transformers reads models/tiny",
             "no python3 with transformers; PEFTMETER_PYTHON names an interpreter");
    shell("rm -r $D");
    return check_done();
}
