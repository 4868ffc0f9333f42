/* test_hf_results.c - result files of Hugging Face PEFT's method_comparison: what is taken of a file and where it goes, what is refused and by which words,
 * what a file of ours holds, and the way there and back. The file below is made here, in their layout.
 */
#include "cmd.h"
#include "hf_results.h"
#include "text.h"

#include "check.h"
#include "scratch.h"
#include <cjson/cJSON.h>
#include <dirent.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = P_tmpdir "/peftmeter-hf-XXXXXX";
static char db_path[128], file_path[128], out_path[128];

/* One result as their run.py writes it; what a test changes is found by its text. */
static const char sample[] =
    "{\n  \"run_info\": {\n"
    "    \"created_at\": \"2025-06-19T21:15:35+02:00\",\n    \"total_time\": 1993.494420946001,\n"
    "    \"experiment_name\": \"lora/llama-3.2-3B-rank32\",\n    \"peft_branch\": \"main\",\n"
    "    \"train_config\": {\"model_id\": \"meta-llama/Llama-3.2-3B\", \"dtype\": \"bfloat16\", "
    "\"max_seq_length\": 768, \"batch_size\": 4, \"batch_size_eval\": 50, \"max_steps\": 5000, "
    "\"eval_steps\": 250, \"compile\": false, \"query_template\": \"Q: {query}\\nA:\", \"seed\": 3, "
    "\"grad_norm_clip\": 1.0, \"optimizer_type\": \"AdamW\", "
    "\"optimizer_kwargs\": {\"lr\": 0.0001, \"weight_decay\": 0.1}, \"lr_scheduler\": \"cosine\", "
    "\"use_amp\": false, \"generation_kwargs\": {\"max_length\": 800}, \"attn_implementation\": null},\n"
    "    \"peft_config\": {\"peft_type\": \"LORA\", \"r\": 32, \"target_modules\": [\"v_proj\", \"q_proj\"], "
    "\"lora_alpha\": 64, \"use_dora\": false},\n    \"error_msg\": \"\"\n  },\n"
    "  \"train_info\": {\"accelerator_memory_reserved_avg\": 11868689976, "
    "\"accelerator_memory_max\": 22273851392, \"accelerator_memory_reserved_99th\": 17710763212, "
    "\"train_time\": 1796.1857790169925, \"file_size\": 36715216, \"num_trainable_params\": 9175040, "
    "\"num_total_params\": 3221924864, \"status\": \"success\", \"metrics\": [\n"
    "    {\"step\": 250, \"valid accuracy\": 0.34, \"train loss\": 0.98, \"train samples\": 1000},\n"
    "    {\"step\": 500, \"valid accuracy\": 0.5, \"train loss\": 0.61, \"train samples\": 2000},\n"
    "    {\"step\": 500, \"test accuracy\": 0.48218347232752085, \"train loss\": 0.61, "
    "\"train samples\": 2000, \"train total tokens\": 4198051, \"forgetting\": 0.119}\n  ]},\n"
    "  \"meta_info\": {\"model_info\": {\"sha\": \"13afe5124825\", \"created_at\": null}, "
    "\"dataset_info\": {\"metamath\": {\"sha\": \"aa4f\"}, \"gsm8k\": {\"sha\": \"7403\"}}, "
    "\"package_info\": {\"transformers-version\": \"4.52.4\", \"peft-version\": \"0.15.2\", "
    "\"peft-commit-hash\": \"5fe7f8f8\", \"torch-version\": \"2.7.1\"}, "
    "\"system_info\": {\"system\": \"Linux\", \"release\": \"6.8\", \"processor\": \"x86_64\", "
    "\"accelerator\": \"NVIDIA L40S\"}, \"pytorch_info\": \"PyTorch built with:\\n\"}\n}";

/* ---- files and databases ------------------------------------------------------------------------------------------------- */

static void write_bytes(const char *path, const char *text, size_t n) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(text, 1, n, f) == n && fclose(f) == 0);
}

/* The sample with the first `find` replaced; the caller frees it. */
static char *changed(const char *find, const char *replace) {
    const char *at = strstr(sample, find);
    pm_buf b = {0};
    PM_ASSERT(at, "the sample has no %s", find);
    pm_buf_put(&b, sample, (size_t)(at - sample));
    pm_buf_puts(&b, replace);
    pm_buf_puts(&b, at + strlen(find));
    return pm_buf_take(&b);
}

static pm_db *new_db(void) {
    pm_db *d;
    pm_err e = {0};
    unlink(db_path);
    CHECK_OK(pm_db_open(db_path, &d, &e));
    return d;
}

/* The first column of a query's first row, as text. */
static const char *ask(pm_db *d, const char *query) {
    static char text[4][512];
    static int turn;
    sqlite3_stmt *st = NULL;
    char *out = text[turn = (turn + 1) % 4];
    snprintf(out, sizeof *text, "(none)");
    if (sqlite3_prepare_v2(pm_db_handle(d), query, -1, &st, NULL) != SQLITE_OK)
        CHECK_FAIL_("%s: %s", query, sqlite3_errmsg(pm_db_handle(d)));
    else if (sqlite3_step(st) == SQLITE_ROW && sqlite3_column_text(st, 0))
        snprintf(out, sizeof *text, "%s", (const char *)sqlite3_column_text(st, 0));
    sqlite3_finalize(st);
    return out;
}

static pm_status import_text(pm_db *d, const char *text, bool *added, pm_err *e) {
    write_bytes(file_path, text, strlen(text));
    return pm_hf_import(d, file_path, NULL, added, e);
}

static void import_ok(pm_db *d, const char *text) {
    pm_err e = {0};
    bool added = false;
    CHECK_OK(import_text(d, text, &added, &e));
    CHECK(added);
}

/* ---- taking -------------------------------------------------------------------------------------------------------------- */

static void import_puts_each_field_where_it_belongs(void) {
    pm_db *d = new_db();
    import_ok(d, sample);
    CHECK_EQ_STR(
        ask(d, "SELECT status || ' ' || started_at || ' ' || model || ' ' || task || ' ' || method || ' ' || "
               "seed "
               "|| ' ' || trainable_params || ' ' || total_params || ' ' || model_hash || ' ' || commit_id "
               "FROM runs"),
        "ok 2025-06-19T19:15:35.000Z meta-llama/Llama-3.2-3B metamath+gsm8k lora 3 9175040 3221924864 "
        "13afe5124825 5fe7f8f8");
    CHECK_EQ_STR(
        ask(d, "SELECT config FROM runs"),
        "{\"eval.every\":250,\"method\":\"lora\",\"method.alpha\":64,\"method.rank\":32,\"model\":"
        "\"meta-llama/Llama-3.2-3B\",\"optim.clip\":1,\"optim.lr\":0.0001,\"optim.schedule\":\"cosine\","
        "\"optim.weight_decay\":0.1,\"precision\":\"bf16\",\"seed\":3,\"task\":\"metamath+gsm8k\","
        "\"train.batch\":4,\"train.max_len\":768,\"train.steps\":5000}");
    CHECK_EQ_STR(ask(d, "SELECT group_concat(split || ' ' || name || ' ' || value, ', ') FROM metrics"),
                 "test acc 0.482183472327521, wikipedia forgetting 0.119");
    CHECK_EQ_STR(
        ask(d, "SELECT group_concat(step || ' ' || split || ' ' || name || ' ' || value, ', ') FROM curve"),
        "250 train loss 0.98, 250 validation acc 0.34, 500 train loss 0.61, 500 validation acc 0.5");
    CHECK_EQ_STR(
        ask(d, "SELECT origin || ' ' || experiment || ' ' || train_s || ' ' || total_s || ' ' || file_bytes "
               "|| ' ' || "
               "accelerator_reserved_max_bytes || ' ' || accelerator_reserved_mean_bytes || ' ' || "
               "accelerator_reserved_p99_bytes FROM imported"),
        "method_comparison lora/llama-3.2-3B-rank32 1796.18577901699 1993.494420946 36715216 22273851392 "
        "11868689976 17710763212");
    CHECK_EQ_STR(ask(d, "SELECT cpu || ', ' || os || ', ' || compiler || ', ' || flags FROM hosts"),
                 "NVIDIA L40S, Linux 6.8, torch 2.7.1, peft 0.15.2, transformers 4.52.4");
    pm_db_close(d);
}

/* What the file does not say is NULL, never 0; nothing of theirs stands where ours would be read. */
static void import_leaves_unknown_things_null(void) {
    pm_db *d = new_db();
    import_ok(d, sample);
    CHECK_EQ_STR(ask(d, "SELECT count(*) FROM metrics WHERE stderr IS NULL AND n IS NULL"), "2");
    CHECK_EQ_STR(ask(d, "SELECT count(*) FROM curve WHERE stderr IS NULL AND n IS NULL"), "4");
    CHECK_EQ_STR(ask(d, "SELECT count(*) FROM runs WHERE finished_at IS NULL AND dirty IS NULL AND "
                        "peftmeter_version IS NULL AND error IS NULL"),
                 "1");
    CHECK_EQ_STR(
        ask(d, "SELECT (SELECT count(*) FROM memory) + (SELECT count(*) FROM phases) + (SELECT count(*) FROM "
               "steps) + (SELECT count(*) FROM outcomes) + (SELECT count(*) FROM test_read_log)"),
        "0");
    pm_db_close(d);
}

static const struct {
    const char *find, *replace, *query, *want;
} variants[] = {
    {"\"peft_config\": {\"peft_type\": \"LORA\", \"r\": 32, \"target_modules\": [\"v_proj\", \"q_proj\"], "
     "\"lora_alpha\": 64, \"use_dora\": false}",
     "\"peft_config\": null", "SELECT method FROM runs", "full"},
    {"\"use_dora\": false", "\"use_dora\": true", "SELECT method FROM runs", "dora"},
    {"\"LORA\"", "\"RANDLORA\"", "SELECT method FROM runs", "randlora"},
    {"\"success\"", "\"canceled\"", "SELECT status FROM runs", "cancelled"},
    {"\"success\"", "\"failed\"", "SELECT status FROM runs", "failed"},
    {"\"error_msg\": \"\"", "\"error_msg\": \"out of memory\"", "SELECT error FROM runs", "out of memory"},
    {"36715216", "99999999", "SELECT file_bytes FROM imported",
     "(none)"}, /* theirs for: could not be saved */
    {"36715216", "null", "SELECT file_bytes FROM imported", "(none)"},
    {"\"accelerator_memory_max\"", "\"cuda_memory_max\"",
     "SELECT accelerator_reserved_max_bytes FROM imported", "22273851392"},
    {"\"accelerator\": \"NVIDIA L40S\"", "\"gpu\": \"NVIDIA L4\"", "SELECT cpu FROM hosts", "NVIDIA L4"},
    {"\"dtype\": \"bfloat16\"", "\"dtype\": \"int8\"", "SELECT config ->> '$.precision' FROM runs", "int8"},
    {"\"dataset_info\": {\"metamath\": {\"sha\": \"aa4f\"}, \"gsm8k\": {\"sha\": \"7403\"}}",
     "\"dataset_info\": {\"sha\": \"37df\"}, \"x\": 0", NULL, NULL}, /* names no data: see below */
    {"\"seed\": 3", "\"seed\": 3, \"dataset_id\": \"a/cats\"", "SELECT task FROM runs", "a/cats"},
};

static void import_knows_older_and_other_files(void) {
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        char *text = changed(variants[i].find, variants[i].replace);
        pm_db *d = new_db();
        pm_err e = {0};
        bool added;
        pm_status s = import_text(d, text, &added, &e);
        if (variants[i].query)
            CHECK_EQ_STR(ask(d, variants[i].query), variants[i].want);
        else
            CHECK(s == PM_EFORMAT && strstr(e.hint, "--task"));
        free(text);
        pm_db_close(d);
    }
    pm_db *d = new_db();
    pm_err e = {0};
    bool added;
    write_bytes(file_path, sample, strlen(sample));
    CHECK_OK(pm_hf_import(d, file_path, "MetaMathQA", &added, &e));
    CHECK_EQ_STR(ask(d, "SELECT task FROM runs"), "MetaMathQA");
    pm_db_close(d);
}

/* Once, however the file is laid out; another result of the same experiment is another run. */
static void import_takes_a_file_once(void) {
    pm_db *d = new_db();
    pm_err e = {0};
    bool added;
    import_ok(d, sample);
    CHECK_OK(import_text(d, sample, &added, &e));
    CHECK(!added);
    cJSON *j = cJSON_Parse(sample);
    char *tight = cJSON_PrintUnformatted(j), *other = changed("0.48218347232752085", "0.49");
    CHECK_OK(import_text(d, tight, &added, &e));
    CHECK(!added);
    import_ok(d, other);
    CHECK_EQ_STR(ask(d, "SELECT count(DISTINCT run_key) || ' ' || count(*) FROM runs"), "2 2");
    free(tight), free(other);
    cJSON_Delete(j);
    pm_db_close(d);
}

/* ---- refusing ------------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *find, *replace, *says;
} bad[] = {
    {"1993.494420946001", "NaN", "not valid JSON at line 4"},
    {"1993.494420946001", "Infinity", "not valid JSON"},
    {"1993.494420946001", "1e999", "total_time is not a finite number"},
    {"1993.494420946001", "-1", "total_time is less than 0"},
    {"1993.494420946001", "\"long\"", "total_time is not a finite number"},
    {"1796.1857790169925", "[]", "train_time is not a finite number"},
    {"9175040", "9175040.5", "num_trainable_params is not a whole number"},
    {"9175040", "-9175040", "num_trainable_params is not a whole number"},
    {"3221924864", "1e300", "num_total_params is not a whole number, or less than 0, or too large"},
    {"22273851392", "true", "accelerator_memory_max is not a finite number"},
    {"0.48218347232752085", "48.2", "test accuracy is not a share from 0 to 1"},
    {"\"valid accuracy\": 0.34", "\"valid accuracy\": \"0.34\"", "valid accuracy is not a finite number"},
    {"\"step\": 500", "\"step\": 100", "metrics are not in the order"},
    {"\"step\": 250", "\"step\": 1e10", "metrics are not in the order"},
    {"\"step\": 250, ", "", "metrics are not in the order"},
    {"{\"step\": 250,", "7, {\"step\": 250,", "metrics has an entry that is not an object"},
    {"\"metrics\": [", "\"metrics\": 1, \"x\": [", "metrics is not a list"},
    {"\"seed\": 3", "\"seed\": null", "seed is missing"},
    {"\"seed\": 3", "\"seed\": 0.5", "seed is not a whole number"},
    {"\"seed\": 3", "\"seed\": 3, \"seed\": 4", "\"seed\" is there twice"},
    {"\"lr\": 0.0001", "\"lr\": 0.0001, \"lr\": 1", "\"lr\" is there twice"},
    {"\"run_info\"", "\"run\"", "run_info is missing"},
    {"\"train_info\": {", "\"train_info\": null, \"x\": {", "train_info is not an object"},
    {"\"meta_info\"", "\"meta\"", "meta_info is missing"},
    {"\"train_config\": {", "\"train_config\": [], \"x\": {", "train_config is not an object"},
    {"\"peft_config\": {", "\"peft_config\": \"LORA\", \"x\": {", "peft_config is not an object"},
    {"\"peft_type\": \"LORA\"", "\"peft_type\": 7", "peft_type is not a text"},
    {"\"lora/llama-3.2-3B-rank32\"", "5", "experiment_name is not a text"},
    {"\"lora/llama-3.2-3B-rank32\"", "\"\"", "experiment_name is missing"},
    {"\"meta-llama/Llama-3.2-3B\"", "null", "model_id is not a text"},
    {"\"success\"", "\"splendid\"", "status is none of"},
    {"2025-06-19T21:15:35+02:00", "yesterday", "created_at is not a time"},
    {"2025-06-19T21:15:35+02:00", "now", "created_at is not a time"},
    {"meta-llama", "\xff", "is not UTF-8"},
    {"\"compile\": false", "\"compile\": 01", "the file is not JSON for SQLite"},
};

static void refuse(pm_db *d, const char *text, size_t n, const char *says) {
    pm_err e = {0};
    bool added = true;
    write_bytes(file_path, text, n);
    pm_status s = pm_hf_import(d, file_path, NULL, &added, &e);
    CHECK(s == PM_EFORMAT || s == PM_EIO);
    if (!strstr(e.msg, says)) CHECK_FAIL_("\"%s\" without \"%s\"", e.msg, says);
    CHECK(strstr(e.msg, file_path) && e.hint[0] && !added);
    CHECK_EQ_STR(
        ask(d, "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM imported) + (SELECT count(*) FROM "
               "metrics) + (SELECT count(*) FROM curve) + (SELECT count(*) FROM hosts)"),
        "0");
}

static void import_refuses_a_bad_file_whole(void) {
    pm_db *d = new_db();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *text = changed(bad[i].find, bad[i].replace);
        refuse(d, text, strlen(text), bad[i].says);
        free(text);
    }
    for (size_t n = 0; n < sizeof sample - 1; n += 37) refuse(d, sample, n, ""); /* cut off anywhere */
    refuse(d, "", 0, "is empty");
    refuse(d, "[]", 2, "is not a JSON object");
    refuse(d, "{}\0{}", 5, "bytes that are no text");
    pm_buf deep = {0};
    for (int i = 0; i < 100000; i++) pm_buf_puts(&deep, "[");
    refuse(d, deep.p, deep.n, "not valid JSON");
    pm_buf_free(&deep);
    pm_db_close(d);
}

/* Many keys take no time that grows with their square; a file that no result can be is not read. */
static void import_bears_large_files(void) {
    pm_db *d = new_db();
    pm_buf b = {0};
    pm_buf_puts(&b, "{");
    for (int i = 0; i < 300000; i++) pm_buf_printf(&b, "\"k%d\":0,", i);
    pm_buf_puts(&b, "\"k7\":0}");
    double start = pm_now_s();
    refuse(d, b.p, b.n, "\"k7\" is there twice");
    CHECK(pm_now_s() - start < 5); /* 0.2 s; comparing each with each takes minutes */
    while (b.n <= 4 << 20) pm_buf_puts(&b, "                                ");
    refuse(d, b.p, b.n, "more than 4 MiB");
    pm_buf_free(&b);
    pm_err e = {0};
    bool added;
    CHECK(pm_hf_import(d, "/dev/zero", NULL, &added, &e) == PM_EFORMAT && strstr(e.msg, "is not a file"));
    CHECK(pm_hf_import(d, path_in(dir, "none.json"), NULL, &added, &e) == PM_EIO && e.hint[0]);
    pm_db_close(d);
}

/* A file cannot pose as a run of this program: its key is of another space, whatever it says of itself. */
static void import_cannot_forge_a_run_key(void) {
    char *forged = changed("{\n  \"run_info\"", "{\"peftmeter\": {\"run_key\": \"feed\"}, \"run_info\"");
    pm_db *d = new_db();
    import_ok(d, forged);
    CHECK_EQ_STR(ask(d, "SELECT count(*) FROM runs WHERE run_key = 'feed'"), "0");
    free(forged);
    pm_db_close(d);
}

/* ---- giving -------------------------------------------------------------------------------------------------------------- */

/* The method is filled in. */
#define CONFIG                                                                                               \
    "{\"eval.every\":2,\"method\":\"%s\",\"method.alpha\":8,\"method.rank\":4,\"model\":\"a/tiny\","         \
    "\"optim.beta1\":0.9,\"optim.beta2\":0.999,\"optim.lr\":0.001,\"optim.schedule\":\"linear\","            \
    "\"precision\":\"bf16\",\"seed\":5,\"task\":\"t\",\"train.batch\":8,\"train.grad_accum\":2,"             \
    "\"train.max_len\":64,\"train.steps\":4}"

static int64_t own_run(pm_db *d, const char *key, const char *method, const char *status) {
    pm_err e = {0};
    int64_t id, host;
    char config[600];
    snprintf(config, sizeof config, CONFIG, method);
    CHECK_OK(pm_db_host(d, "plain", "none", 1, &host, &e));
    const pm_db_run r = {.run_key = key,
                         .model = "a/tiny",
                         .task = "t",
                         .method = method,
                         .config = config,
                         .model_hash = "mh",
                         .data_hash = "dh",
                         .train_hash = strcmp(method, "none") ? "th" : NULL,
                         .commit_id = "c0ffee",
                         .peftmeter_version = "0.1.0",
                         .seed = 5,
                         .trainable_params = 100,
                         .total_params = 1100,
                         .host_id = host,
                         .dirty = 0};
    CHECK_OK(pm_db_run_begin(d, &r, &id, &e));
    for (int i = 0; i < 4; i++) CHECK_OK(pm_db_step(d, id, i, 4 - i, 0.1, 1, 10 + i, 2, 0.5, &e));
    CHECK_OK(pm_db_phase(d, id, "load", 100, 1, 0, 0, &e));
    CHECK_OK(pm_db_phase(d, id, "data", 1, 1, 0, 0, &e));
    CHECK_OK(pm_db_phase(d, id, "train", 2, 2, 1 << 20, 1 << 20, &e));
    CHECK_OK(pm_db_phase(d, id, "validate", 50, 2, 0, 0, &e));
    CHECK_OK(pm_db_phase(d, id, "test", 4, 2, 0, 0, &e));
    CHECK_OK(pm_db_curve(d, id, 2, "validation", "acc", 0.25, 0.1, 8, &e));
    CHECK_OK(pm_db_curve(d, id, 2, "validation", "acc_norm", 0.9, 0.1, 8, &e));
    CHECK_OK(pm_db_curve(d, id, 4, "validation", "acc", 0.5, 0.1, 8, &e));
    CHECK_OK(pm_db_metric(d, id, "test", "acc", 1, 0.625, 0.17, 8, &e));
    CHECK_OK(pm_db_metric(d, id, "test", "acc_norm", 1, 0.75, 0.17, 8, &e));
    CHECK_OK(pm_db_run_end(d, id, status, strcmp(status, "ok") ? "why" : NULL, &e));
    sqlite3_exec(pm_db_handle(d),
                 "UPDATE runs SET started_at = '2026-01-01T00:00:00.250Z', finished_at = "
                 "'2026-01-01T00:02:40.250Z'",
                 NULL, NULL, NULL);
    return id;
}

static int count_files(const char *path) {
    DIR *d = opendir(path);
    int n = 0;
    for (const struct dirent *f; d && (f = readdir(d));) n += f->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

static void clear_out(void) {
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s' && mkdir '%s'", out_path, out_path);
    CHECK(system(command) == 0);
}

/* Into an empty folder. */
static pm_hf_exported export_all(pm_db *d) {
    pm_hf_exported n;
    pm_err e = {0};
    clear_out();
    CHECK_OK(pm_hf_export(d, out_path, &n, &e));
    CHECK_EQ_INT(count_files(out_path), n.written);
    return n;
}

/* The caller frees it; NULL when it is not there. */
static char *read_out(const char *name) {
    FILE *f = fopen(path_in(out_path, name), "rb");
    pm_buf b = {0};
    if (!f) return CHECK_FAIL_("no file %s", name), NULL;
    pm_buf_read(&b, f);
    fclose(f);
    return pm_buf_take(&b);
}

/* A member by its way, "a/b/2"; numbers count entries of a list, -1 is the last. NULL: none. */
static const cJSON *at(const cJSON *j, const char *way) {
    char part[64];
    while (j && *way) {
        size_t n = strcspn(way, "/");
        snprintf(part, sizeof part, "%.*s", (int)n, way);
        long i = strtol(part, NULL, 10);
        j = cJSON_IsArray(j) ? cJSON_GetArrayItem(j, (int)(i < 0 ? cJSON_GetArraySize(j) + i : i))
                             : cJSON_GetObjectItemCaseSensitive(j, part);
        way += n + (way[n] == '/');
    }
    return j;
}

/* What their reader takes of a file, with the type it converts to: method_comparison/processing.py of huggingface/peft, _preprocess_common,
 * _preprocess_metamathqa and the tables of dtypes. A key that is not there ends it with a KeyError; "forgetting" it asks for with a default. */
static const struct {
    const char *way, *type;
} reader[] = {
    {"run_info/experiment_name", "text"},
    {"run_info/train_config/model_id", "text"},
    {"run_info/train_config", "object"},
    {"run_info/peft_config", "object"},
    {"run_info/peft_config/peft_type", "text"},
    {"run_info/total_time", "number"},
    {"run_info/peft_branch", "null"},
    {"run_info/created_at", "text"},
    {"train_info/status", "text"},
    {"train_info/accelerator_memory_reserved_avg", "null"}, /* a CPU has none: null, not 0 */
    {"train_info/accelerator_memory_max", "null"},
    {"train_info/accelerator_memory_reserved_99th", "null"},
    {"train_info/train_time", "number"},
    {"train_info/file_size", "null"},
    {"train_info/num_trainable_params", "number"},
    {"train_info/metrics/-1/test accuracy", "number"},
    {"train_info/metrics/-1/train loss", "number"},
    {"train_info/metrics/-1/train samples", "number"},
    {"train_info/metrics/-1/train total tokens", "number"},
    {"meta_info/package_info", "object"},
    {"meta_info/package_info/peft-version", "null"},
    {"meta_info/package_info/transformers-version", "null"},
    {"meta_info/package_info/datasets-version", "null"},
    {"meta_info/package_info/torch-version", "null"},
    {"meta_info/package_info/bitsandbytes-version", "null"},
    {"meta_info/system_info", "object"},
};

static const char *type_of(const cJSON *v) {
    return !v                  ? "missing"
           : cJSON_IsNull(v)   ? "null"
           : cJSON_IsNumber(v) ? "number"
           : cJSON_IsString(v) ? "text"
           : cJSON_IsObject(v) ? "object"
                               : "another";
}

static void export_has_what_their_reader_takes(void) {
    pm_db *d = new_db();
    own_run(d, "0123456789abcdef", "lora", "ok");
    CHECK_EQ_INT(export_all(d).written, 1);
    char *text = read_out("lora--tiny-t-seed5-01234567.json");
    cJSON *j = cJSON_Parse(text);
    for (size_t i = 0; i < sizeof reader / sizeof *reader; i++)
        if (strcmp(type_of(at(j, reader[i].way)), reader[i].type) != 0)
            CHECK_FAIL_("%s is %s, want %s", reader[i].way, type_of(at(j, reader[i].way)), reader[i].type);
    static const struct {
        const char *way;
        double want;
    } number[] = {
        {"run_info/total_time", 160},
        {"run_info/train_config/batch_size", 16},
        {"run_info/train_config/max_steps", 4},
        {"run_info/train_config/seed", 5},
        {"run_info/train_config/optimizer_kwargs/lr", 0.001},
        {"run_info/peft_config/r", 4},
        {"run_info/peft_config/lora_alpha", 8},
        {"train_info/train_time", 7}, /* data, train, test: as they define it */
        {"train_info/num_trainable_params", 100},
        {"train_info/num_total_params", 1100},
        {"train_info/metrics/0/step", 2},
        {"train_info/metrics/0/valid accuracy", 0.25},
        {"train_info/metrics/0/train loss", 3.5}, /* of steps 0 and 1 */
        {"train_info/metrics/1/train loss", 1.5},
        {"train_info/metrics/-1/test accuracy", 0.625},
        {"train_info/metrics/-1/train loss", 1.5},
        {"train_info/metrics/-1/train samples", 64},
        {"train_info/metrics/-1/train total tokens", 46},
        {"peftmeter/metrics/0/n", 8},
    };
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        const cJSON *v = at(j, number[i].way);
        if (!cJSON_IsNumber(v) || fabs(v->valuedouble - number[i].want) > 1e-4 /* julian days */)
            CHECK_FAIL_("%s is %.17g, want %.17g", number[i].way, v ? v->valuedouble : (double)NAN,
                        number[i].want);
    }
    CHECK_NEAR(cJSON_GetObjectItem(at(j, "train_info/metrics/0"), "tokens / sec")->valuedouble, 21, 1e-12);
    CHECK_EQ_STR(cJSON_GetStringValue(at(j, "run_info/created_at")), "2026-01-01T00:00:00+00:00");
    CHECK_EQ_STR(cJSON_GetStringValue(at(j, "run_info/train_config/dtype")), "bfloat16");
    CHECK_EQ_STR(cJSON_GetStringValue(at(j, "run_info/peft_config/peft_type")), "LORA");
    CHECK_EQ_STR(cJSON_GetStringValue(at(j, "train_info/status")), "success");
    cJSON_Delete(j);
    free(text);
    pm_db_close(d);
}

/* Full fine-tuning has no peft_config there; the untuned model has no place, for it would be read as full fine-tuning. */
static void export_says_how_a_run_ended(void) {
    pm_db *d = new_db();
    own_run(d, "full", "full", "diverged");
    own_run(d, "stop", "svf", "cancelled");
    own_run(d, "strange", "not_known_here", "ok");
    own_run(d, "none", "none", "ok");
    own_run(d, NULL, "none", "failed"); /* before anything was read */
    own_run(d, NULL, "lora", "failed");
    pm_hf_exported n = export_all(d);
    CHECK_EQ_INT(n.written, 4);
    CHECK_EQ_INT(n.untrained, 2);
    free(read_out("lora--tiny-t-seed5-nokey.json"));
    char *full = read_out("full--tiny-t-seed5-full.json"), *svf = read_out("svf--tiny-t-seed5-stop.json"),
         *strange = read_out("not_known_here--tiny-t-seed5-strange.json");
    cJSON *f = cJSON_Parse(full), *s = cJSON_Parse(svf), *u = cJSON_Parse(strange);
    CHECK(cJSON_IsNull(at(f, "run_info/peft_config")));
    CHECK_EQ_STR(cJSON_GetStringValue(at(f, "train_info/status")), "failed");
    CHECK_EQ_STR(cJSON_GetStringValue(at(f, "run_info/error_msg")), "why");
    CHECK_EQ_STR(cJSON_GetStringValue(at(s, "train_info/status")), "canceled");
    CHECK_EQ_STR(cJSON_GetStringValue(at(u, "run_info/peft_config/peft_type")), "NOT_KNOWN_HERE");
    cJSON_Delete(f), cJSON_Delete(s), cJSON_Delete(u);
    free(full), free(svf), free(strange);
    pm_db_close(d);
}

/* ---- there and back ------------------------------------------------------------------------------------------------------ */

static void a_round_trip_keeps_every_byte(void) {
    pm_db *d = new_db();
    pm_err e = {0};
    bool added;
    own_run(d, "0123456789abcdef", "lora", "ok");
    export_all(d);
    char *ours = read_out("lora--tiny-t-seed5-01234567.json");
    CHECK_OK(import_text(d, ours, &added, &e)); /* where it came from it is there */
    CHECK(!added);
    pm_db_close(d);
    d = new_db();
    import_ok(d, ours);
    import_ok(d, sample);
    CHECK_EQ_STR(ask(d, "SELECT group_concat(task || ' ' || method || ' ' || seed || ' ' || "
                        "trainable_params, ', ') FROM runs"),
                 "t lora 5 100, metamath+gsm8k lora 3 9175040");
    CHECK_EQ_STR(ask(d, "SELECT value FROM metrics WHERE run_id = 1"), "0.625");
    pm_hf_exported n = export_all(d);
    CHECK_EQ_INT(n.of_them_imported, 2);
    char *again = read_out("lora--tiny-t-seed5-01234567.json"),
         *theirs = read_out("lora--llama-3.2-3B-rank32.json");
    CHECK_EQ_STR(again, ours);
    CHECK_EQ_STR(theirs, sample);
    free(ours), free(again), free(theirs);
    pm_db_close(d);
}

/* A name is a file in that folder, whatever it says; of two results of one name both are there. */
static void export_stays_in_its_folder(void) {
    pm_db *d = new_db();
    char *up = changed("lora/llama-3.2-3B-rank32", "../../up\\n\\u0007 \\\"'$(x)/.."),
         *again = changed("0.48218347232752085", "0.4");
    import_ok(d, up);
    import_ok(d, sample);
    import_ok(d, again);
    CHECK_EQ_INT(export_all(d).written, 3);
    free(read_out("-.--..--up-------x---...json")); /* fails when it is not there */
    free(read_out("lora--llama-3.2-3B-rank32.json"));
    free(read_out("lora--llama-3.2-3B-rank32--2.json"));
    free(up), free(again);
    pm_db_close(d);
}

/* ---- reports ------------------------------------------------------------------------------------------------------------- */

/* Of `report --db DB --format json [words]`; the caller deletes it, NULL on failure. */
static cJSON *report_json(const char *words, pm_status *s, pm_err *e) {
    char copy[400], *argv[16], *save = NULL;
    const char *file = path_in(dir, "report.json");
    int n = 0;
    snprintf(copy, sizeof copy, "report --db %s --out %s --format json %s", db_path, file, words);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) argv[n++] = w;
    argv[n] = NULL;
    *s = pm_cmd_report.run(n, argv, e);
    FILE *f = *s == PM_OK ? fopen(file, "rb") : NULL;
    pm_buf b = {0};
    if (!f) return NULL;
    pm_buf_read(&b, f);
    fclose(f);
    cJSON *j = cJSON_Parse(b.p);
    pm_buf_free(&b);
    return j;
}

static const cJSON *table(const cJSON *j, const char *key) {
    const cJSON *t;
    cJSON_ArrayForEach(t, at(j, "tables")) if (strcmp(at(t, "key")->valuestring, key) == 0) return t;
    CHECK_FAIL_("no table %s", key);
    return NULL;
}

static bool has_note(const cJSON *t, const char *words) {
    const cJSON *n;
    cJSON_ArrayForEach(n, at(t, "notes")) if (strstr(n->valuestring, words)) return true;
    return false;
}

/* No interval, no letters, no place: null and not 0, and a note that says why. */
static void reports_claim_nothing_of_imported_rows(void) {
    static const char *const missing[] = {"acc_percent_low", "acc_percent_high"};
    char *other = changed("lora/llama-3.2-3B-rank32", "randlora/x");
    pm_db *d = new_db();
    pm_err e = {0};
    pm_status s;
    import_ok(d, sample);
    import_ok(d, other);
    cJSON *paper = report_json("--kind paper", &s, &e), *board = report_json("--kind leaderboard", &s, &e);
    const cJSON *row;
    int n = 0;
    cJSON_ArrayForEach(row, at(table(paper, "paper"), "rows")) {
        n++;
        CHECK_NEAR(at(row, "metamath+gsm8k_acc_percent")->valuedouble, 48.22, 0);
        CHECK(cJSON_IsNull(at(row, "metamath+gsm8k_acc_percent_low")) &&
              cJSON_IsNull(at(row, "metamath+gsm8k_acc_percent_high")));
        CHECK(!cJSON_IsString(at(row, "metamath+gsm8k_acc_percent_note")));
    }
    CHECK_EQ_INT(n, 2);
    CHECK_EQ_STR(at(paper, "tables/0/rows/0/method")->valuestring, "lora/llama-3.2-3B-rank32");
    CHECK(has_note(table(paper, "paper"), "2 rows are imported from method_comparison"));
    CHECK(!has_note(table(paper, "paper"), "tie groups"));
    CHECK(cJSON_IsNull(at(table(paper, "paper_details"), "rows/0/test_reads")));
    cJSON_ArrayForEach(row, at(table(board, "leaderboard_metamath+gsm8k"), "rows")) {
        for (int k = 0; k < 2; k++) CHECK(cJSON_IsNull(at(row, missing[k])));
        CHECK(!cJSON_IsString(at(row, "acc_percent_note")) && cJSON_IsNull(at(row, "places")));
    }
    CHECK(has_note(table(board, "leaderboard_metamath+gsm8k"), "no interval"));
    cJSON_Delete(paper), cJSON_Delete(board);
    free(other);
    pm_db_close(d);
}

/* Their times and memory have a table of their own, and none of ours. */
static void reports_keep_their_costs_apart(void) {
    pm_db *d = new_db();
    pm_err e = {0};
    pm_status s;
    import_ok(d, sample);
    cJSON *j = report_json("--kind efficiency", &s, &e);
    CHECK_EQ_INT(cJSON_GetArraySize(at(j, "tables")), 1);
    const cJSON *row = at(table(j, "efficiency_imported"), "rows/0");
    CHECK_NEAR(at(row, "accelerator_reserved_max_bytes")->valuedouble, 22273851392.0, 0);
    CHECK_EQ_STR(at(row, "machine")->valuestring, "NVIDIA L40S");
    cJSON_Delete(j);
    own_run(d, "own", "lora", "ok");
    j = report_json("--kind efficiency", &s, &e);
    CHECK_EQ_INT(cJSON_GetArraySize(at(table(j, "efficiency"), "rows")), 1);
    CHECK_EQ_INT(cJSON_GetArraySize(at(table(j, "efficiency_imported"), "rows")), 1);
    cJSON_Delete(j);
    pm_db_close(d);
}

/* A row of ours and one of theirs, on the same task and model by name: refused by the key that says whose they are. */
static void reports_refuse_a_mixed_table(void) {
    static const char *const kinds[] = {"--kind paper", "--kind leaderboard", "--kind efficiency"};
    pm_db *d = new_db();
    own_run(d, "own", "lora", "ok");
    char *theirs = changed("meta-llama/Llama-3.2-3B", "a/tiny");
    bool added;
    pm_err e = {0};
    write_bytes(file_path, theirs, strlen(theirs));
    CHECK_OK(pm_hf_import(d, file_path, "t", &added, &e));
    pm_status s;
    for (int i = 0; i < 3; i++) {
        cJSON_Delete(report_json(kinds[i], &s, &e));
        CHECK_EQ_INT(s, PM_ECHECK);
        if (!strstr(e.msg, "has origin peftmeter, the others method_comparison"))
            CHECK_FAIL_("%s: %s", kinds[i], e.msg);
    }
    cJSON *j = report_json("--kind paper --badge", &s, &e);
    CHECK(strstr(cJSON_GetStringValue(at(j, "tables/0/rows/1/method_note")), "origin"));
    cJSON_Delete(j);
    free(theirs);
    pm_db_close(d);
}

/* Of two results of one experiment with one seed the later by its own time counts, not the one that was stored last. */
static void reports_show_the_later_result(void) {
    char *later = changed("0.48218347232752085", "0.5");
    char *year = strstr(later, "2025-06-19");
    pm_db *d = new_db();
    pm_err e = {0};
    pm_status s;
    memcpy(year, "2026-06-19", 10);
    import_ok(d, later);
    import_ok(d, sample);
    cJSON *j = report_json("--kind paper", &s, &e);
    CHECK_EQ_INT(cJSON_GetArraySize(at(j, "tables/0/rows")), 1);
    CHECK_NEAR(at(j, "tables/0/rows/0/metamath+gsm8k_acc_percent")->valuedouble, 50, 0);
    cJSON_Delete(j);
    free(later);
    pm_db_close(d);
}

int main(void) {
    PM_ASSERT(mkdtemp(dir), "no folder %s", dir);
    snprintf(db_path, sizeof db_path, "%s/results.db", dir);
    snprintf(file_path, sizeof file_path, "%s/result.json", dir);
    snprintf(out_path, sizeof out_path, "%s/out", dir);
    RUN(import_puts_each_field_where_it_belongs);
    RUN(import_leaves_unknown_things_null);
    RUN(import_knows_older_and_other_files);
    RUN(import_takes_a_file_once);
    RUN(import_refuses_a_bad_file_whole);
    RUN(import_bears_large_files);
    RUN(import_cannot_forge_a_run_key);
    RUN(export_has_what_their_reader_takes);
    RUN(export_says_how_a_run_ended);
    RUN(a_round_trip_keeps_every_byte);
    RUN(export_stays_in_its_folder);
    RUN(reports_claim_nothing_of_imported_rows);
    RUN(reports_keep_their_costs_apart);
    RUN(reports_refuse_a_mixed_table);
    RUN(reports_show_the_later_result);
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    CHECK(system(command) == 0);
    return check_done();
}
