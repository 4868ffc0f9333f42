/* test_config.c - settings of a run: defaults, JSON files, refusals, canonical JSON, run key. */
#include "config.h"
#include "sha256.h"

#include "check.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <unistd.h>

static char tmp_path[] = P_tmpdir "/peftmeter-config-XXXXXX";

static void write_file(const char *text, size_t len) {
    FILE *f = fopen(tmp_path, "wb");
    if (!f) abort();
    fwrite(text, 1, len, f);
    fclose(f);
}

/* Loads text as a configuration file into a new config; the caller frees it. */
static pm_config *load(const char *text, pm_status *st, pm_err *e) {
    write_file(text, strlen(text));
    pm_config *c = pm_config_new();
    *st = pm_config_load(c, tmp_path, e);
    return c;
}

static pm_config *ready(const char *method) {
    pm_config *c = pm_config_new();
    pm_err e = {0};
    CHECK_OK(pm_config_set(c, "model", "m.gguf", &e));
    CHECK_OK(pm_config_set(c, "task", "t.jsonl", &e));
    CHECK_OK(pm_config_set(c, "method", method, &e));
    CHECK_OK(pm_config_set(c, "threads", "2", &e));
    return c;
}

static void config_defaults_are_documented(void) {
    pm_config *c = pm_config_new();
    CHECK_EQ_INT(c->train.batch, 8);
    CHECK_EQ_INT(c->train.grad_accum, 1);
    CHECK_EQ_INT(c->train.max_len, 512);
    CHECK(c->train.shuffle);
    CHECK_NEAR(c->optim.beta1, 0.9, 0);
    CHECK_NEAR(c->optim.beta2, 0.999, 0);
    CHECK_NEAR(c->optim.eps, 1e-8, 0);
    CHECK_NEAR(c->optim.clip, 1, 0);
    CHECK_EQ_INT(c->optim.schedule, PM_LINEAR);
    CHECK_EQ_INT(c->precision, PM_FP32);
    CHECK(pm_config_threads(c) >= 1);
    for (const pm_field *f = pm_config_fields; f->key; f++) CHECK(f->help && strlen(f->help) > 8);
    pm_config_free(c);
}

static void config_contract_keys_exist(void) {
    static const char *const keys[] = {
        "model",
        "task",
        "method",
        "seed",
        "threads",
        "precision",
        "backend",
        "train.steps",
        "train.epochs",
        "train.batch",
        "train.grad_accum",
        "train.max_len",
        "train.shuffle",
        "train.loss_on",
        "optim.lr",
        "optim.weight_decay",
        "optim.beta1",
        "optim.beta2",
        "optim.eps",
        "optim.schedule",
        "optim.warmup_steps",
        "optim.warmup_frac",
        "optim.clip",
        "eval.split",
        "eval.every",
        "eval.limit",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        CHECK(pm_field_find(pm_config_fields, keys[i]) != NULL);
}

static void config_enums_match_core(void) {
    pm_config *c = pm_config_new();
    pm_err e = {0};
    static const char *const schedule[] = {"constant", "linear", "cosine"};
    static const int want[] = {PM_CONSTANT, PM_LINEAR, PM_COSINE};
    for (int i = 0; i < 3; i++) {
        CHECK_OK(pm_config_set(c, "optim.schedule", schedule[i], &e));
        CHECK_EQ_INT(c->optim.schedule, want[i]);
    }
    CHECK_OK(pm_config_set(c, "precision", "bf16", &e));
    CHECK_EQ_INT(c->precision, PM_BF16);
    pm_config_free(c);
}

static void config_nested_equals_dotted(void) {
    static const char *const same[] = {
        "{\"method\":\"lora\",\"method.rank\":4,\"method.targets\":\"q_proj,v_proj\",\"train.steps\":7,"
        "\"optim.lr\":0.001,\"train.shuffle\":false}",
        "{\"train\":{\"steps\":7,\"shuffle\":false},\"optim\":{\"lr\":1e-3},\"method\":{\"rank\":4,\"name\":"
        "\"lora\",\"targets\":[\"q_proj\",\"v_proj\"]}}",
        " {\"method.targets\":[\"q_proj\",\"v_proj\"],\"method.rank\":\"4\",\"train\":{\"steps\":\"7\"},"
        "\"train.shuffle\":\"no\",\"optim.lr\":\".001\",\"method\":\"lora\"}\n",
    };
    char *first = NULL;
    for (int i = 0; i < 3; i++) {
        pm_err e = {0};
        pm_status st;
        pm_config *c = load(same[i], &st, &e);
        CHECK_OK(st);
        CHECK_EQ_INT(c->train.steps, 7);
        CHECK(!c->train.shuffle);
        CHECK_NEAR(pm_config_lr(c), 1e-3, 0);
        char *json = pm_config_json(c);
        if (!first)
            first = json;
        else {
            CHECK_EQ_STR(json, first);
            free(json);
        }
        pm_config_free(c);
    }
    free(first);
}

/* What is refused, with which code, and a word that the message or the hint must hold. */
static void config_refuses_bad_files(void) {
    static const struct {
        const char *text;
        pm_status code;
        const char *says, *hint;
    } bad[] = {
        {"", PM_EFORMAT, "line 1", "JSON"},
        {"{\"seed\":1,\n\n oops}", PM_EFORMAT, "line 3", "JSON"},
        {"{\"seed\":1} x", PM_EFORMAT, "not JSON", ""},
        {"{\"seed\":1", PM_EFORMAT, "not JSON", ""},
        {"[1]", PM_EFORMAT, "not a JSON object", "{"},
        {"{\"sed\":1}", PM_EUSAGE, "sed: no such", "did you mean seed?"},
        {"{\"lr\":1}", PM_EUSAGE, "lr: no such", "did you mean optim.lr?"},
        {"{\"train\":{\"step\":1}}", PM_EUSAGE, "train.step: no such", "did you mean train.steps?"},
        {"{\"train\":{\"steps\":1},\"train.steps\":1}", PM_EUSAGE, "train.steps is set twice", ""},
        {"{\"seed\":1,\"seed\":2}", PM_EUSAGE, "seed is set twice", ""},
        {"{\"method\":\"lora\",\"method\":{\"name\":\"full\"}}", PM_EUSAGE, "method is set twice", ""},
        {"{\"seed\":null}", PM_EUSAGE, "seed: not a number", "leave the key out"},
        {"{\"seed\":[[1]]}", PM_EUSAGE, "seed: not a number", ""},
        {"{\"seed\":1.5}", PM_EUSAGE, "seed: \"1.5\" is not a whole number", "expected"},
        {"{\"seed\":1e999}", PM_EUSAGE, "seed:", "expected"},
        {"{\"seed\":3000000000}", PM_EUSAGE, "out of range", "expected"},
        {"{\"seed\":true}", PM_EUSAGE, "seed:", "expected"},
        {"{\"train.shuffle\":2}", PM_EUSAGE, "train.shuffle:", "true or false"},
        {"{\"precision\":\"fp16\"}", PM_EUSAGE, "precision:", "fp32|bf16"},
        {"{\"method\":\"lroa\"}", PM_EUSAGE, "no method \"lroa\"", "did you mean lora?"},
        {"{\"method.rank\":4}", PM_EUSAGE, "no method is chosen", "--method"},
        {"{\"method\":\"lora\",\"method.rnak\":4}", PM_EUSAGE, "method.rnak: no such",
         "did you mean method.rank?"},
        {"{\"method\":\"lora\",\"rank\":4}", PM_EUSAGE, "rank: no such", "did you mean method.rank?"},
        {"{\"\":1}", PM_EUSAGE, "no such setting", ""},
        {"{\"a\":{\"b\":{\"c\":{\"d\":1}}}}", PM_EUSAGE, "a.b.c.d: no such setting", ""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pm_err e = {0};
        pm_status st;
        pm_config_free(load(bad[i].text, &st, &e));
        if (st != bad[i].code || !strstr(e.msg, bad[i].says) || !strstr(e.hint, bad[i].hint))
            CHECK_FAIL_("%s: got %d \"%s\" | \"%s\"", bad[i].text, (int)st, e.msg, e.hint);
        CHECK(strstr(e.msg, tmp_path));
    }
}

static void config_refuses_hostile_files(void) {
    pm_err e = {0};
    pm_status st;
    char *big = malloc(2 << 20);
    memset(big, ' ', 2 << 20);
    write_file(big, 2 << 20);
    pm_config *c = pm_config_new();
    CHECK_EQ_INT(pm_config_load(c, tmp_path, &e), PM_EFORMAT);
    memset(big, '[', 100000);
    write_file(big, 100000);
    CHECK_EQ_INT(pm_config_load(c, tmp_path, &e), PM_EFORMAT);
    write_file("{\"seed\":1}\0{", 12);
    CHECK_EQ_INT(pm_config_load(c, tmp_path, &e), PM_EFORMAT);
    CHECK_EQ_INT(pm_config_load(c, "/nonexistent/x.json", &e), PM_EIO);
    CHECK_EQ_INT(pm_config_load(c, "/", &e), PM_EIO);
    pm_config_free(c);
    memset(big, 'k', 5000);
    snprintf(big + 5000, 16, "\":1}");
    big[0] = '{', big[1] = '"';
    pm_config_free(load(big, &st, &e));
    CHECK_EQ_INT(st, PM_EUSAGE);
    free(big);
}

static void config_set_pairs(void) {
    pm_config *c = ready("lora");
    pm_err e = {0};
    CHECK_OK(pm_config_set_pair(c, "method.rank=3", &e));
    CHECK_OK(pm_config_set_pair(c, "eval.split=dir/a=b.jsonl", &e));
    CHECK_EQ_STR(c->eval.split, "dir/a=b.jsonl");
    static const char *const bad[] = {"seed", "=1", "", "seed 1"};
    for (int i = 0; i < 4; i++) CHECK_EQ_INT(pm_config_set_pair(c, bad[i], &e), PM_EUSAGE);
    CHECK(strstr(e.hint, "--set method.rank=16"));
    pm_config_free(c);
}

static void config_method_switch_resets_its_settings(void) {
    pm_config *c = ready("lora");
    pm_err e = {0};
    char *before = pm_config_json(c);
    CHECK_OK(pm_config_set(c, "method.rank", "3", &e));
    CHECK_OK(pm_config_set(c, "method", "lora", &e)); /* the same again keeps what was set */
    char *same = pm_config_json(c);
    CHECK(strstr(same, "\"method.rank\":3,") != NULL);
    CHECK_OK(pm_config_set(c, "method", "full", &e));
    CHECK_OK(pm_config_set(c, "method", "lora", &e));
    char *after = pm_config_json(c);
    CHECK_EQ_STR(after, before);
    free(before), free(same), free(after);
    pm_config_free(c);
}

static void config_check_rules(void) {
    static const struct {
        const char *key, *value, *says;
    } bad[] = {
        {"model", "", "model: not given"},   {"task", "", "task: not given"},
        {"train.epochs", "0", "both are 0"}, {"optim.beta1", "1", "optim.beta1"},
        {"optim.beta2", "1", "optim.beta2"}, {"method.targets", "q_proj,nothing", "nothing"},
        {"method.targets", "", ""},
    };
    pm_err e = {0};
    pm_config *c = ready("lora");
    CHECK_OK(pm_config_check(c, &e));
    pm_config_free(c);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        c = ready("lora");
        CHECK_OK(pm_config_set(c, bad[i].key, bad[i].value, &e));
        CHECK_EQ_INT(pm_config_check(c, &e), PM_EUSAGE);
        CHECK(strstr(e.msg, bad[i].says));
        CHECK(e.hint[0]);
        pm_config_free(c);
    }
    c = ready("lora");
    CHECK_OK(pm_config_set(c, "train.steps", "10", &e));
    CHECK_OK(pm_config_set(c, "optim.warmup_steps", "11", &e));
    CHECK_EQ_INT(pm_config_check(c, &e), PM_EUSAGE);
    pm_config_free(c);
    c = pm_config_new();
    CHECK_EQ_INT(pm_config_check(c, &e), PM_EUSAGE);
    pm_config_free(c);
}

/* For every method: keys strictly sorted, every field there, and the JSON read back gives the same JSON. */
static void config_json_is_canonical(void) {
    for (int m = 0; pm_methods[m]; m++) {
        pm_config *c = ready(pm_methods[m]->name);
        char *text = pm_config_json(c);
        cJSON *j = cJSON_Parse(text);
        int n = 0, want = 0;
        for (const cJSON *v = j->child; v; v = v->next, n++)
            CHECK(!v->next || strcmp(v->string, v->next->string) < 0);
        for (const pm_field *f = pm_config_fields; f->key; f++) want++;
        for (const pm_field *f = pm_methods[m]->fields; f && f->key; f++) want++;
        CHECK_EQ_INT(n, want);
        CHECK(cJSON_GetObjectItemCaseSensitive(j, "optim.lr")->valuedouble == pm_methods[m]->default_lr);
        cJSON_Delete(j);
        pm_err e = {0};
        pm_status st;
        pm_config *again = load(text, &st, &e);
        CHECK_OK(st);
        char *back = pm_config_json(again);
        CHECK_EQ_STR(back, text);
        free(back), free(text);
        pm_config_free(again), pm_config_free(c);
    }
}

/* A value other than the field's present one; false when the table allows none that is easy to name. */
static void other_value(const pm_field *f, const char *now, char *out, size_t cap) {
    static const char *const tries[] = {"true", "false",    "1",      "2",   "0.25",     "q_proj", "fp32",
                                        "bf16", "openblas", "onednn", "all", "constant", "answer", "cosine"};
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        struct {
            _Alignas(16) char at[PM_FIELD_STR];
        } scratch;
        pm_field one[2] = {*f, {NULL, PM_FIELD_INT, 0, NULL, 0, 0, NULL, NULL, NULL}};
        one[0].offset = 0;
        if (pm_field_set(one, &scratch, "", f->key, tries[i], NULL) != PM_OK) continue;
        pm_field_get(one, &scratch, out, cap);
        if (strcmp(out, now) != 0) return;
    }
    CHECK_FAIL_("no other value for %s", f->key);
}

static void key_of(const pm_config *c, char hex[65]) {
    pm_run_facts f = {"task", 3, "data", "train", "model", "", ""};
    pm_run_key(c, &f, hex);
}

static void config_run_key_sees_every_setting(void) {
    char base[65], key[65], now[PM_FIELD_STR], other[PM_FIELD_STR], full[128];
    pm_config *c = ready("lora");
    key_of(c, base);
    pm_config_free(c);
    for (int of_method = 0; of_method < 2; of_method++) {
        c = ready("lora");
        const pm_field *f = of_method ? c->m->fields : pm_config_fields;
        for (; f->key; f++) {
            pm_err e = {0};
            if (strcmp(f->key, "method") == 0) continue;
            pm_config *d = ready("lora");
            pm_field_get(f, of_method ? d->mcfg : d, now, sizeof now);
            other_value(f, now, other, sizeof other);
            snprintf(full, sizeof full, "%s%s", of_method ? "method." : "", f->key);
            CHECK_OK(pm_config_set(d, full, other, &e));
            key_of(d, key);
            bool path =
                strcmp(full, "model") == 0 || strcmp(full, "task") == 0 || strcmp(full, "eval.probe") == 0;
            if ((strcmp(key, base) == 0) != path) CHECK_FAIL_("run key and %s = %s", full, other);
            pm_config_free(d);
        }
        pm_config_free(c);
    }
}

static void config_run_key_sees_versions_and_hashes(void) {
    static const pm_run_facts facts[] = {
        {"task", 3, "data", "train", "model", "", ""},
        {"other", 3, "data", "train", "model", "", ""},
        {"task", 4, "data", "train", "model", "", ""},
        {"task", 3, "d", "train", "model", "", ""},
        {"task", 3, "data", "train", "m", "", ""},
        {"task", 3, "data", "t", "model", "", ""},
        {"task", 3, "data", "train", "model", "adapter", ""},
        {"task", 3, "data", "train", "model", "", "probe"},
    };
    pm_config *c = ready("lora");
    char base[65], key[65];
    pm_run_key(c, &facts[0], base);
    for (int i = 1; i < 8; i++) {
        pm_run_key(c, &facts[i], key);
        CHECK(strcmp(key, base) != 0);
    }
    pm_method newer = *c->m;
    newer.version++;
    c->m = &newer;
    pm_run_key(c, &facts[0], key);
    CHECK(strcmp(key, base) != 0);
    pm_config_free(c);
}

/* The default written out is the same run. */
static void config_run_key_ignores_spelling(void) {
    char a[65], b[65], lr[64];
    pm_err e = {0};
    pm_config *c = ready("lora");
    key_of(c, a);
    snprintf(lr, sizeof lr, "%.17g", c->m->default_lr);
    CHECK_OK(pm_config_set(c, "optim.lr", lr, &e));
    CHECK_OK(pm_config_set(c, "optim.beta1", "9.0e-1", &e));
    CHECK_OK(pm_config_set(c, "train.shuffle", "yes", &e));
    key_of(c, b);
    CHECK_EQ_STR(b, a);
    pm_config_free(c);
}

int main(void) {
    int fd = mkstemp(tmp_path);
    if (fd < 0) return perror(tmp_path), 1;
    close(fd);
    RUN(config_defaults_are_documented);
    RUN(config_contract_keys_exist);
    RUN(config_enums_match_core);
    RUN(config_nested_equals_dotted);
    RUN(config_refuses_bad_files);
    RUN(config_refuses_hostile_files);
    RUN(config_set_pairs);
    RUN(config_method_switch_resets_its_settings);
    RUN(config_check_rules);
    RUN(config_json_is_canonical);
    RUN(config_run_key_sees_every_setting);
    RUN(config_run_key_sees_versions_and_hashes);
    RUN(config_run_key_ignores_spelling);
    unlink(tmp_path);
    return check_done();
}
