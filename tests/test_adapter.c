/* test_adapter.c - adapters in PEFT's layout, against directories that PEFT wrote.
 *
 * Truth: tests/golden/train/adapters (written by PEFT's save_pretrained). Ours must read them, and what we write must hold the same tensors
 * and settings. Hostile: one setting or tensor wrong at a time must be one error that names it.
 */
#include "adapter.h"
#include "check.h"
#include "model.h"
#include "scratch.h"
#include <cJSON.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOLDEN "tests/golden/"
#define ADAPTERS GOLDEN "train/adapters/"

static pm_err e;
static char dir_[64];

/* ---- helpers ---- */

static void write_text(const char *path, const char *s) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(s, 1, strlen(s), f) == strlen(s));
    if (f) fclose(f);
}

static cJSON *read_json(const char *dir) {
    char path[300];
    pm_map m;
    snprintf(path, sizeof path, "%s/adapter_config.json", dir);
    CHECK_OK(pm_map_open(path, &m, &e));
    cJSON *j = m.p ? cJSON_ParseWithLength((const char *)m.p, m.n_bytes) : NULL;
    pm_map_close(&m);
    return j;
}

/* A golden model with a method attached. */
typedef struct bench {
    pm_arena *base, *life;
    pm_loaded loaded;
    pm_run run;
} bench;

static bool bench_open(bench *b, const char *model, const pm_method *m, const void *mcfg) {
    char path[300];
    *b = (bench){.base = pm_arena_new("base", 0), .life = pm_arena_new("run", 0)};
    snprintf(path, sizeof path, GOLDEN "%s", model);
    CHECK_OK(pm_model_load(path, b->base, &b->loaded, &e));
    if (!b->loaded.model) return false;
    b->run = (pm_run){.arena = b->life, .model = b->loaded.model, .seed = 1};
    pm_params_init(&b->run.params, b->life);
    void *state = pm_arena_zalloc(b->life, m->state_size + 1, PM_MEM_WORKSPACE);
    CHECK_OK(m->attach(&b->run, mcfg, state, &e));
    return true;
}
static void bench_close(bench *b) {
    if (b->loaded.model) pm_model_close(&b->loaded);
    pm_arena_free(b->life);
    pm_arena_free(b->base);
}

/* The two files hold the same tensors: names, types, shapes, bytes. */
static void check_same_tensors(const char *dir_a, const char *dir_b, const char *file) {
    char a[300], b[300];
    pm_safetensors *x = NULL, *y = NULL;
    snprintf(a, sizeof a, "%s/%s", dir_a, file);
    snprintf(b, sizeof b, "%s/%s", dir_b, file);
    CHECK_OK(pm_safetensors_open(a, &x, &e));
    CHECK_OK(pm_safetensors_open(b, &y, &e));
    if (x && y) CHECK_EQ_INT(pm_safetensors_count(x), pm_safetensors_count(y));
    for (int i = 0; x && y && i < pm_safetensors_count(x); i++) {
        const pm_tensor_info *t = pm_safetensors_at(x, i), *u = pm_safetensors_find(y, t->name);
        bool same = u && t->dtype == u->dtype && t->n_dims == u->n_dims && t->n_bytes == u->n_bytes &&
                    !memcmp(t->dim, u->dim, sizeof t->dim) && !memcmp(t->data, u->data, t->n_bytes);
        if (!same) CHECK_FAIL_("%s differs from PEFT's", t->name);
    }
    pm_safetensors_close(x);
    pm_safetensors_close(y);
}

/* Every key that we write has PEFT's value (the target list as a set). */
static void check_same_settings(const char *ours, const char *peft) {
    cJSON *a = read_json(ours), *b = read_json(peft), *k;
    cJSON_ArrayForEach(k, a) {
        const cJSON *w = cJSON_GetObjectItemCaseSensitive(b, k->string), *t;
        bool same = cJSON_Compare(k, w, true);
        if (cJSON_IsArray(k) && cJSON_GetArraySize(k) == cJSON_GetArraySize(w)) {
            same = true;
            cJSON_ArrayForEach(t, k) {
                bool found = false;
                const cJSON *v;
                cJSON_ArrayForEach(v, w) found = found || !strcmp(v->valuestring, t->valuestring);
                same = same && found;
            }
        }
        if (!same) CHECK_FAIL_("%s differs from PEFT's", k->string);
    }
    CHECK(cJSON_GetArraySize(a) > 5);
    cJSON_Delete(a);
    cJSON_Delete(b);
}

/* ---- PEFT's own directories ---- */

static void round_trip(const char *name, const char *method) {
    char dir[300];
    const pm_method *m = NULL;
    void *cfg = NULL;
    snprintf(dir, sizeof dir, ADAPTERS "%s", name);
    cJSON *j = read_json(dir);
    const char *base = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, "base_model_name_or_path"));
    CHECK_OK(pm_adapter_config_read(dir, &m, &cfg, &e));
    if (m && base) {
        bench b;
        CHECK_EQ_STR(m->name, method);
        if (bench_open(&b, base, m, cfg)) {
            CHECK_OK(pm_adapter_load(dir, &b.run.params, &e));
            CHECK_OK(pm_adapter_save(path_in(dir_, name), m, cfg, &b.run.params, base, &e));
            check_same_tensors(dir, path_in(dir_, name), "adapter_model.safetensors");
            check_same_settings(path_in(dir_, name), dir);
        }
        bench_close(&b);
    }
    free(cfg);
    cJSON_Delete(j);
}

static void adapter_round_trips_what_peft_wrote(void) {
    round_trip("all", "lora");
    round_trip("qv_rslora-after", "lora");
    round_trip("nonzero_b", "lora");
    round_trip("scheduled-after", "lora");
    round_trip("dora_qwen2", "dora");
    round_trip("ia3_default", "ia3");
    round_trip("ia3_qwen2-after", "ia3");
}

static void adapter_one_row_stays_a_matrix(void) {
    const pm_method *m = pm_method_find("lora");
    void *cfg = calloc(1, m->cfg_size);
    bench b;
    pm_fields_defaults(m->fields, cfg);
    CHECK_OK(pm_field_set(m->fields, cfg, "", "rank", "1", &e));
    CHECK_OK(pm_field_set(m->fields, cfg, "", "targets", "k_proj", &e));
    if (bench_open(&b, "models/qwen2", m, cfg)) {
        CHECK_OK(pm_adapter_save(path_in(dir_, "one"), m, cfg, &b.run.params, NULL, &e));
        pm_safetensors *st = NULL;
        CHECK_OK(pm_safetensors_open(path_in(dir_, "one/adapter_model.safetensors"), &st, &e));
        const pm_tensor_info *t =
            st ? pm_safetensors_find(st, "base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight")
               : NULL;
        CHECK(t && t->n_dims == 2 && t->dim[0] == 1 && t->dim[1] == 56);
        pm_safetensors_close(st);
        CHECK_OK(pm_adapter_load(path_in(dir_, "one"), &b.run.params, &e));
    }
    bench_close(&b);
    free(cfg);
}

static void adapter_full_saves_the_weights_themselves(void) {
    const pm_method *m = pm_method_find("full"), *back = NULL;
    void *cfg = calloc(1, m->cfg_size + 1), *cfg2 = NULL;
    bench b;
    if (bench_open(&b, "models/qwen2", m, cfg)) {
        CHECK_OK(pm_adapter_save(path_in(dir_, "full"), m, cfg, &b.run.params, "qwen2", &e));
        check_same_tensors(GOLDEN "models/qwen2", path_in(dir_, "full"),
                           "model.safetensors"); /* biases and gains stay vectors */
        CHECK_OK(pm_adapter_config_read(path_in(dir_, "full"), &back, &cfg2, &e));
        CHECK(back == m);
        real was = b.run.params.p[0]->w[0];
        b.run.params.p[0]->w[0] = was + 1;
        CHECK_OK(pm_adapter_load(path_in(dir_, "full"), &b.run.params, &e));
        CHECK(b.run.params.p[0]->w[0] == was);
    }
    bench_close(&b);
    free(cfg);
    free(cfg2);
}

/* ---- settings ---- */

#define LORA "\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8"
#define IA3 "\"peft_type\":\"IA3\""
#define QV ",\"target_modules\":[\"v_proj\",\"q_proj\"]"

static pm_status read_field(const char *json, const char *key, char *value) {
    const pm_method *m;
    void *cfg;
    mkdir(path_in(dir_, "c"), 0700);
    write_text(path_in(dir_, "c/adapter_config.json"), json);
    e = (pm_err){0};
    pm_status s = pm_adapter_config_read(path_in(dir_, "c"), &m, &cfg, &e);
    if (!s && value) pm_field_get(pm_field_find(m->fields, key), cfg, value, PM_FIELD_STR);
    CHECK((s != PM_OK) == (cfg == NULL));
    free(cfg);
    return s;
}

static pm_status read_config(const char *json, char *targets) {
    return read_field(json, "targets", targets);
}

static void adapter_config_refuses_what_it_cannot_honour(void) {
    static const struct {
        const char *json, *says;
        pm_status want;
    } cases[] = {
        {"[]", "not a JSON object", PM_EFORMAT},
        {"{\"r\":", "not a JSON object", PM_EFORMAT},
        {"{\"r\":4}", "peft_type is missing", PM_EFORMAT},
        {"{\"peft_type\":\"VERA\"}", "no method here for peft_type = \"VERA\"", PM_EUNSUPPORTED},
        {"{\"peft_type\":\"a\\u0007\"}", "no method here for peft_type", PM_EUNSUPPORTED},
        {"{" LORA QV ",\"use_dora\":7}", "with use_dora = 7", PM_EUNSUPPORTED},
        {"{\"peft_type\":\"LORA\",\"lora_alpha\":8" QV "}", "r is missing", PM_EFORMAT},
        {"{\"peft_type\":\"LORA\",\"r\":4" QV "}", "lora_alpha is missing", PM_EFORMAT},
        {"{" LORA "}", "target_modules is missing", PM_EFORMAT},
        {"{\"peft_type\":\"LORA\",\"r\":0,\"lora_alpha\":8" QV "}", "r: rank", PM_EFORMAT},
        {"{\"peft_type\":\"LORA\",\"r\":1e99,\"lora_alpha\":8" QV "}", "r: rank", PM_EFORMAT},
        {"{\"peft_type\":\"LORA\",\"r\":\"x\\ny\",\"lora_alpha\":8" QV "}",
         "r is empty, too long or not printable", PM_EFORMAT},
        {"{\"peft_type\":\"LORA\",\"r\":[4],\"lora_alpha\":8" QV "}", "r: rank", PM_EFORMAT},
        {"{" LORA QV ",\"lora_dropout\":2}", "lora_dropout: dropout", PM_EFORMAT},
        {"{" LORA QV ",\"rank_pattern\":{\"q_proj\":8}}", "rank_pattern = {\"q_proj\":8}", PM_EUNSUPPORTED},
        {"{" LORA QV ",\"alpha_pattern\":{\"q_proj\":8}}", "alpha_pattern", PM_EUNSUPPORTED},
        {"{" LORA QV ",\"modules_to_save\":[\"lm_head\"]}", "modules_to_save = [\"lm_head\"]",
         PM_EUNSUPPORTED},
        {"{" LORA QV ",\"bias\":\"all\"}", "bias = \"all\"", PM_EUNSUPPORTED},
        {"{" LORA QV ",\"layers_to_transform\":[0]}", "layers_to_transform", PM_EUNSUPPORTED},
        {"{" LORA QV ",\"fan_in_fan_out\":true}", "fan_in_fan_out", PM_EUNSUPPORTED},
        {"{" LORA QV ",\"init_lora_weights\":\"pissa\"}", "init_lora_weights = \"pissa\"", PM_EUNSUPPORTED},
        {"{" LORA QV ",\"task_type\":\"SEQ_CLS\"}", "task_type = \"SEQ_CLS\"", PM_EUNSUPPORTED},
        {"{" IA3 QV "}", "feedforward_modules is missing", PM_EFORMAT},
        {"{" IA3 QV ",\"feedforward_modules\":\".*down\"}", "feedforward_modules is no list of projections",
         PM_EUNSUPPORTED},
        {"{" LORA QV ",\"from_the_future\":1}", "from_the_future = 1: method lora does not honour",
         PM_EUNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_EQ_INT(read_config(cases[i].json, NULL), cases[i].want);
        if (!strstr(e.msg, cases[i].says)) CHECK_FAIL_("\"%s\" does not say \"%s\"", e.msg, cases[i].says);
        CHECK(strstr(e.msg, "adapter_config.json") && e.hint[0] && !strchr(e.msg, '\n'));
    }
}

static void adapter_targets_in_every_spelling(void) {
    char t[PM_FIELD_STR];
    pm_save_tensor stored = {"base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", 1, 1, &(real){1}};
    mkdir(path_in(dir_, "c"), 0700);
    CHECK_OK(pm_safetensors_save(path_in(dir_, "c/adapter_model.safetensors"), &stored, 1, NULL, &e));
    CHECK_OK(read_config("{" LORA QV "}", t));
    CHECK_EQ_STR(t, "q_proj,v_proj");
    CHECK_OK(read_config("{" LORA ",\"target_modules\":\"all-linear\"}", t));
    CHECK_EQ_STR(t, "all");
    CHECK_OK(read_config("{" LORA ",\"target_modules\":[\"q_proj\",\"k_proj\",\"v_proj\",\"o_proj\",\"gate_"
                         "proj\",\"up_proj\",\"down_proj\"]}",
                         t));
    CHECK_EQ_STR(t, "all");
    CHECK_OK(read_config("{" LORA ",\"target_modules\":\".*\\\\.(up|down)_proj\"}",
                         t)); /* a pattern: what is stored counts */
    CHECK_EQ_STR(t, "up_proj");
    CHECK_OK(read_config("{" LORA ",\"target_modules\":[\"mlp.up_proj\"]}", t));
    CHECK_EQ_STR(t, "up_proj");
    stored.name = "lm_head.lora_A.weight";
    CHECK_OK(pm_safetensors_save(path_in(dir_, "c/adapter_model.safetensors"), &stored, 1, NULL, &e));
    CHECK_EQ_INT(read_config("{" LORA ",\"target_modules\":[\"lm_head\"]}", t), PM_EFORMAT);
    CHECK(strstr(e.msg, "no tensor belongs to a projection"));
}

static void adapter_feedforward_is_a_list_that_may_be_empty(void) {
    char t[PM_FIELD_STR];
    CHECK_OK(read_field("{" IA3 QV ",\"feedforward_modules\":[]}", "feedforward", t));
    CHECK_EQ_STR(t, "none");
    CHECK_OK(read_field("{" IA3 QV ",\"feedforward_modules\":[\"v_proj\"]}", "feedforward", t));
    CHECK_EQ_STR(t, "v_proj");
}

static void adapter_damaged_config_never_crashes(void) {
    const char *json =
        "{" LORA QV ",\"lora_dropout\":0.5,\"bias\":\"none\",\"rank_pattern\":{},\"use_rslora\":true}";
    size_t n = strlen(json);
    int failed = 0;
    char copy[400];
    for (size_t bit = 0; bit < 8 * n; bit += 3) {
        memcpy(copy, json, n + 1);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        failed += read_config(copy, NULL) != PM_OK;
        memcpy(copy, json, n + 1);
        copy[bit / 8] = 0;
        CHECK(read_config(copy, NULL) != PM_OK && e.hint[0]);
    }
    CHECK(failed > (int)n / 2);
}

/* ---- tensors ---- */

/* Saves n tensors as an adapter and loads it into the bench's one k_proj, rank 1. */
static pm_status load_tensors(const bench *b, const pm_save_tensor *t, int n) {
    mkdir(path_in(dir_, "t"), 0700);
    CHECK_OK(pm_safetensors_save(path_in(dir_, "t/adapter_model.safetensors"), t, n, NULL, &e));
    e = (pm_err){0};
    return pm_adapter_load(path_in(dir_, "t"), &b->run.params, &e);
}

static void check_refused(pm_status s, const char *says) {
    CHECK_EQ_INT(s, PM_EFORMAT);
    if (!strstr(e.msg, says)) CHECK_FAIL_("\"%s\" does not say \"%s\"", e.msg, says);
    CHECK(e.hint[0]);
}

static void adapter_load_names_the_tensor_that_is_wrong(void) {
    const pm_method *m = pm_method_find("lora");
    void *cfg = calloc(1, m->cfg_size);
    bench b;
    pm_fields_defaults(m->fields, cfg);
    CHECK_OK(pm_field_set(m->fields, cfg, "", "targets", "k_proj", &e));
    CHECK_OK(pm_field_set(m->fields, cfg, "", "rank", "2", &e));
    if (bench_open(&b, "models/llama_tied", m, cfg)) {
        enum { N = 6 };
        static real x[200];
        static char name[N + 1][100];
        pm_save_tensor t[N + 1];
        CHECK_EQ_INT(b.run.params.n, N);
        for (int i = 0; i < N; i++) {
            const pm_param *p = b.run.params.p[i];
            snprintf(name[i], sizeof name[i], "base_model.model.%s", p->name);
            t[i] = (pm_save_tensor){name[i], p->rows, p->cols, x};
        }
        t[N] = (pm_save_tensor){"base_model.model.lm_head.lora_A.weight", 2, 3, x};
        x[0] = 7;
        CHECK_OK(load_tensors(&b, t, N));
        CHECK(b.run.params.p[N - 1]->w[0] == 7);
        x[0] = 8;
        check_refused(load_tensors(&b, t, N - 1), "layers.2.self_attn.k_proj.lora_B.weight is missing");
        check_refused(load_tensors(&b, t, N + 1),
                      "tensor base_model.model.lm_head.lora_A.weight: the method has no");
        t[1].rows--;
        check_refused(load_tensors(&b, t, N),
                      "layers.0.self_attn.k_proj.lora_B.weight: F32 [15,2], needed [16,2]");
        t[1].rows++;
        x[3] = (real)INFINITY;
        check_refused(load_tensors(&b, t, N),
                      "layers.0.self_attn.k_proj.lora_A.weight: holds a number that is not");
        x[3] = 0;
        CHECK(b.run.params.p[0]->w[0] == 7); /* a refused file has changed nothing */
        CHECK_EQ_INT(pm_adapter_load(path_in(dir_, "nowhere"), &b.run.params, &e), PM_EIO);
        CHECK(strstr(e.msg, "nowhere/adapter_model.safetensors") && strstr(e.hint, "adapter_config.json"));
    }
    bench_close(&b);
    free(cfg);
}

/* LoReFT's base is built from R: from another matrix it would quietly be another R. */
static void adapter_load_refuses_a_rotation_that_is_none(void) {
    const pm_method *m = pm_method_find("loreft");
    void *cfg = calloc(1, m->cfg_size);
    bench b;
    pm_fields_defaults(m->fields, cfg);
    CHECK_OK(pm_field_set(m->fields, cfg, "", "layers", "1", &e));
    if (bench_open(&b, "models/llama_tied", m, cfg)) {
        const char *dir = path_in(dir_, "t");
        pm_param *R = NULL;
        for (int i = 0; i < b.run.params.n; i++)
            if (b.run.params.p[i]->stored) R = b.run.params.p[i];
        CHECK_OK(pm_adapter_save(dir, m, cfg, &b.run.params, NULL, &e));
        CHECK_OK(pm_adapter_load(dir, &b.run.params, &e));
        for (int i = 0; R && i < 2; i++) { /* a row of another length; two rows that are the same */
            real *row = R->stored + R->cols, first = row[0];
            if (i)
                memcpy(row, R->stored, (size_t)R->cols * sizeof *row);
            else
                row[0] += 1;
            CHECK_OK(pm_adapter_save(dir, m, cfg, &b.run.params, NULL, &e));
            check_refused(pm_adapter_load(dir, &b.run.params, &e), "layers.1.loreft.R: its rows are not");
            row[0] = first;
        }
    }
    bench_close(&b);
    free(cfg);
}

int main(void) {
    snprintf(dir_, sizeof dir_, "%s/pm_adapter_XXXXXX", P_tmpdir);
    if (!mkdtemp(dir_)) perror("mkdtemp");
    RUN(adapter_round_trips_what_peft_wrote);
    RUN(adapter_one_row_stays_a_matrix);
    RUN(adapter_full_saves_the_weights_themselves);
    RUN(adapter_config_refuses_what_it_cannot_honour);
    RUN(adapter_targets_in_every_spelling);
    RUN(adapter_feedforward_is_a_list_that_may_be_empty);
    RUN(adapter_damaged_config_never_crashes);
    RUN(adapter_load_names_the_tensor_that_is_wrong);
    RUN(adapter_load_refuses_a_rotation_that_is_none);
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", dir_);
    if (system(command)) perror(command);
    return check_done();
}
