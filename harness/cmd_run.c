/* cmd_run.c - `run`: one training and evaluation, logged. */
#include "cmd.h"
#include "fetch.h"
#include "runner.h"
#include "session.h"
#include "task.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: peftmeter run --model MODEL --task TASK --method METHOD [options]\n"
    "\n"
    "Fine-tunes MODEL on TASK with METHOD, evaluates, and logs everything to the database.\n"
    "\n"
    "  --model M          a catalogue name (peftmeter models), a Hugging Face directory or a .gguf file;\n"
    "                     default: tiny, which comes with the program, for its own tasks (tiny_*)\n"
    "  --task T           a task name (peftmeter tasks), a task's .json, or a .jsonl of token rows;\n"
    "                     default with the model tiny: tiny_facts\n"
    "  --method M         peftmeter methods lists them; peftmeter methods M shows its settings\n"
    "  --config FILE      settings as JSON; --set goes on top\n"
    "  --set KEY=VALUE    one setting, may be repeated\n"
    "  --seed N           the same as --set seed=N\n"
    "  --threads N        the same as --set threads=N\n"
    "  --db FILE          default results/results.db\n"
    "  --adapter-in DIR   start from this adapter and its settings (Hugging Face PEFT layout)\n"
    "  --adapter-out DIR  save the trained adapter there\n"
    "  --lock-test        refuse to read test data, as a sweep's tuning runs do\n"
    "\n"
    "Examples:\n"
    "  peftmeter run --method lora --threads 1\n"
    "  peftmeter run --model smollm2-135m --task arc_easy --method lora --set train.epochs=1 --set "
    "eval.split=test\n"
    "  peftmeter run --model smollm2-135m --task gsm8k --method full --set train.steps=10 --set "
    "eval.split=none\n"
    "\n"
    "Settings (KEY, default, meaning):\n";

static void more_help(void) {
    pm_fields_print(stdout, pm_config_fields, "");
}

typedef struct run_args {
    const char *model, *task, *method, *config, *seed, *threads, *db, *in, *out;
    bool lock_test;
    pm_list sets;
} run_args;

static pm_status set_if(pm_config *c, const char *key, const char *value, pm_err *e) {
    return value ? pm_config_set(c, key, value, e) : PM_OK;
}

/* The adapter's own settings first: with another alpha its tensors would be another function. The method before the file, whose method.*
 * keys may be for it, and after it, for the command line has the last word. */
static pm_status configure(pm_config *c, const run_args *a, pm_err *e) {
    pm_status rc = a->in ? pm_config_from_adapter(c, a->in, e) : set_if(c, "method", a->method, e);
    if (!rc && a->config) rc = pm_config_load(c, a->config, e);
    if (!rc) rc = set_if(c, "model", a->model, e);
    if (!rc) rc = set_if(c, "task", a->task, e);
    if (!rc) rc = set_if(c, "method", a->method, e);
    for (int i = 0; i < a->sets.n && !rc; i++) rc = pm_config_set_pair(c, a->sets.at[i], e);
    if (!rc) rc = set_if(c, "seed", a->seed, e);
    if (!rc) rc = set_if(c, "threads", a->threads, e);
    if (!rc && pm_config_embedded(c) && !pm_global.quiet)
        fprintf(stderr, "note: model %s, task %s: the embedded default\n", c->model, c->task);
    return rc ? rc : pm_config_check(c, e);
}

/* Before the hours of training, not after them. */
static pm_status prepare_out(const char *dir, pm_err *e) {
    if (!dir) return PM_OK;
    pm_status rc = *dir ? pm_mkdirs(dir, e) : pm_fail(e, PM_EUSAGE, "--adapter-out: an empty name");
    if (!rc && access(dir, W_OK)) rc = pm_fail(e, PM_EIO, "write %s: %s", dir, strerror(errno));
    return rc ? pm_hint(e, "name another folder with --adapter-out") : PM_OK;
}

static pm_status run(int argc, char **argv, pm_err *e) {
    run_args a = {.db = "results/results.db"};
    const pm_opt opts[] = {{"--model", &a.model, NULL, NULL},
                           {"--task", &a.task, NULL, NULL},
                           {"--method", &a.method, NULL, NULL},
                           {"--config", &a.config, NULL, NULL},
                           {"--set", NULL, NULL, &a.sets},
                           {"--seed", &a.seed, NULL, NULL},
                           {"--threads", &a.threads, NULL, NULL},
                           {"--db", &a.db, NULL, NULL},
                           {"--adapter-in", &a.in, NULL, NULL},
                           {"--adapter-out", &a.out, NULL, NULL},
                           {"--lock-test", NULL, &a.lock_test, NULL},
                           {0}};
    pm_status rc = pm_opts_parse(opts, &argc, argv, e);
    if (!rc) rc = pm_args_check(argc, argv, 0, 0, e);
    if (rc) return rc;
    if (a.lock_test) pm_test_lock();
    pm_config *c = pm_config_new();
    rc = configure(c, &a, e);
    if (!rc) rc = prepare_out(a.out, e);
    pm_run_opts o = {.db_path = a.db, .adapter_in = a.in, .adapter_out = a.out, .train = true};
    if (!rc) rc = pm_run_logged(c, &o, e);
    pm_config_free(c);
    return rc;
}

const pm_command pm_cmd_run = {"run", "one training and evaluation, logged", help, run, more_help, false};
