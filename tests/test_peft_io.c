/* test_peft_io.c - what we save, PEFT loads, and computes the same with it: LoRA, rsLoRA, DoRA and (IA)^3, trained here for a few steps.
 * (The other direction, PEFT's files into ours, is test_golden.c's.)
 *
 * Wants python3 with peft (PEFTMETER_PYTHON names another interpreter); SKIPs without. */
#include "adapter.h"
#include "check.h"
#include "logits.h"
#include "train.h"
#include <unistd.h>

static pm_err e;
static const char *python;
static char folder[] = P_tmpdir "/peftmeter_test_XXXXXX";

/* Exit status of `python tests/peft_check.py ARGS`; its output goes to ours. */
static int check_script(const char *args) {
    char command[2048];
    snprintf(command, sizeof command, "%s tests/peft_check.py %s", python, args);
    return system(command);
}

static pm_status step_ignored(void *ctx, const pm_step *step, pm_err *err) {
    (void)ctx, (void)step, (void)err;
    return PM_OK;
}

static void train(pm_session *s, const pm_config *c) {
    pm_task *task = NULL;
    pm_split rows = {0};
    pm_plan plan = {0};
    CHECK_OK(pm_task_open(GOLDEN "train/rows.jsonl", &task, &e));
    if (task) CHECK_OK(pm_task_load(task, "train", NULL, &(pm_task_opts){0}, &rows, &e));
    if (rows.n) CHECK_OK(pm_plan_make(c, rows.n, &plan, &e));
    CHECK_OK(pm_train(s, c, &rows, &plan, step_ignored, NULL, &e));
    pm_plan_free(&plan);
    pm_split_free(&rows);
    pm_task_close(task);
}

static void save_and_ask(pm_session *s, const pm_config *c, const char *model) {
    char adapter[256], logits[256], sequences[256], args[1024];
    snprintf(adapter, sizeof adapter, "%s/%s", folder, strrchr(model, '/') + 1);
    snprintf(logits, sizeof logits, "%s/logits.bin", folder);
    snprintf(sequences, sizeof sequences, "%s/logits.json", model);
    cJSON *index = golden_json(sequences);
    train(s, c);
    CHECK_OK(pm_adapter_save(adapter, c->m, c->mcfg, &s->run.params, model, &e));
    write_logits(s, golden_get(index, "sequences"), logits);
    snprintf(args, sizeof args, "%s %s %s %s", model, adapter, sequences, logits);
    CHECK_EQ_INT(check_script(args), 0);
    cJSON_Delete(index);
}

static void set_all(pm_config *c, const char *const *settings) {
    for (; *settings; settings++) CHECK_OK(pm_config_set_pair(c, *settings, &e));
}

static void train_save_load(const char *model, const char *method, const char *const *settings) {
    static const char *const COMMON[] = {"optim.lr=2e-2", "train.steps=4", "train.batch=4", NULL};
    pm_config *c = pm_config_new();
    pm_session s;
    CHECK_OK(pm_config_set(c, "method", method, &e));
    set_all(c, settings);
    set_all(c, COMMON);
    CHECK_OK(pm_session_open(c, model, NULL, &s, &e));
    if (s.model) save_and_ask(&s, c, model);
    pm_session_close(&s);
    pm_config_free(c);
}

/* Every projection of a model with biases. */
static void everywhere(const char *method) {
    static const char *const SETTINGS[] = {"method.rank=3", "method.alpha=12", NULL};
    train_save_load(GOLDEN "models/qwen2", method, SETTINGS);
}

static void two_rslora(const char *method) {
    static const char *const SETTINGS[] = {"method.rank=5", "method.alpha=7", "method.rslora=true",
                                           "method.targets=q_proj,down_proj", NULL};
    train_save_load(GOLDEN "models/llama_untied", method, SETTINGS);
}

/* A feed-forward projection that is no target stays out of what PEFT reads. */
static void ia3(const char *model, const char *targets, const char *feedforward) {
    char t[100], f[100];
    snprintf(t, sizeof t, "method.targets=%s", targets);
    snprintf(f, sizeof f, "method.feedforward=%s", feedforward);
    train_save_load(model, "ia3", (const char *[]){t, f, NULL});
}

static void remove_folder(void) {
    char command[256];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    CHECK_EQ_INT(system(command), 0);
}

int main(void) {
    python = getenv("PEFTMETER_PYTHON");
    if (!python) python = "python3";
    if (check_script("--probe >/dev/null 2>&1") != 0) {
        SKIP("PEFT reads our adapters", "no python3 with peft; PEFTMETER_PYTHON names an interpreter");
        return check_done();
    }
    PM_ASSERT(mkdtemp(folder), "cannot make %s", folder);
    RUN_AS("peft_io_lora", everywhere("lora"));
    RUN_AS("peft_io_rslora", two_rslora("lora"));
    RUN_AS("peft_io_dora", everywhere("dora"));
    RUN_AS("peft_io_dora_rslora", two_rslora("dora"));
    RUN_AS("peft_io_ia3", ia3(GOLDEN "models/qwen2", "all", "o_proj,down_proj"));
    RUN_AS("peft_io_ia3_outputs", ia3(GOLDEN "models/llama_untied", "q_proj,v_proj", "down_proj"));
    remove_folder();
    return check_done();
}
