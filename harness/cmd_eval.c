/* cmd_eval.c - `eval`: score a model as it is, or with a trained adapter, logged like any run. The untuned model is method `none`. */
#include "cmd.h"
#include "runner.h"
#include "session.h"

static const char help[] =
    "usage: peftmeter eval --model MODEL --task TASK [options]\n"
    "\n"
    "Scores MODEL on TASK without training, one row an item in the database, so that `peftmeter compare` can "
    "pair it with a tuned run.\n"
    "\n"
    "  --model M         a catalogue name, a Hugging Face directory or a .gguf file; default: tiny, for "
    "tasks tiny_*\n"
    "  --task T          a task name, a task's .json, or a .jsonl of token rows\n"
    "  --split S         validation (default), test, or a .jsonl of token rows\n"
    "  --limit N         the first N items only\n"
    "  --adapter-in DIR  (or --adapter) with this adapter (Hugging Face PEFT layout); without it: the "
    "untuned model\n"
    "  --set KEY=VALUE   one setting (train.max_len, precision, backend, threads, eval.probe), may be "
    "repeated\n"
    "  --db FILE         default results/results.db\n"
    "\n"
    "Examples:\n"
    "  peftmeter eval --model smollm2-135m --task arc_easy --split test\n"
    "  peftmeter eval --model smollm2-135m --task arc_easy --split test --adapter-in adapters/lora\n";

typedef struct eval_args {
    const char *model, *task, *split, *limit, *in, *db;
    pm_list sets;
} eval_args;

/* run's rules ask for a method and steps, which scoring does not need. */
static pm_status require(const char *key, const char *value, pm_err *e) {
    if (*value) return PM_OK;
    pm_fail(e, PM_EUSAGE, "%s: not given", key);
    return pm_hint(e, "--%s NAME; `peftmeter %ss` lists them", key, key);
}

static pm_status configure(pm_config *c, const eval_args *a, pm_err *e) {
    pm_status rc = a->model ? pm_config_set(c, "model", a->model, e) : PM_OK;
    if (!rc && a->task) rc = pm_config_set(c, "task", a->task, e);
    if (!rc) pm_config_embedded(c);
    if (!rc) rc = require("model", c->model, e);
    if (!rc) rc = require("task", c->task, e);
    if (!rc && a->in) rc = pm_config_from_adapter(c, a->in, e);
    if (!rc) rc = pm_config_set(c, "eval.split", a->split, e);
    if (!rc) rc = pm_config_set(c, "eval.limit", a->limit, e);
    for (int i = 0; i < a->sets.n && !rc; i++) rc = pm_config_set_pair(c, a->sets.at[i], e);
    return rc;
}

static pm_status run(int argc, char **argv, pm_err *e) {
    eval_args a = {.split = "validation", .limit = "0", .db = "results/results.db"};
    const pm_opt opts[] = {{"--model", &a.model, NULL, NULL},
                           {"--task", &a.task, NULL, NULL},
                           {"--split", &a.split, NULL, NULL},
                           {"--limit", &a.limit, NULL, NULL},
                           {"--adapter-in", &a.in, NULL, NULL},
                           {"--adapter", &a.in, NULL, NULL},
                           {"--set", NULL, NULL, &a.sets},
                           {"--db", &a.db, NULL, NULL},
                           {0}};
    pm_status rc = pm_opts_parse(opts, &argc, argv, e);
    if (!rc) rc = pm_args_check(argc, argv, 0, 0, e);
    if (rc) return rc;
    pm_config *c = pm_config_new();
    rc = configure(c, &a, e);
    pm_run_opts o = {.db_path = a.db, .adapter_in = a.in};
    if (!rc) rc = pm_run_logged(c, &o, e);
    pm_config_free(c);
    return rc;
}

const pm_command pm_cmd_eval = {"eval", "score a model or an adapter without training", help, run, NULL,
                                false};
