/* cmd_import.c - `import`: an adapter that PEFT wrote, checked against the model and written as this program writes its own. */
#include "adapter.h"
#include "cmd_adapter.h"
#include "cmd_hf.h"
#include <cjson/cJSON.h>
#include <string.h>

static const char help[] =
    "usage: peftmeter import --from DIR --model MODEL --out DIR [options]\n"
    "       peftmeter import --hf-results FILE|DIR ... [--db FILE] [--task NAME]\n"
    "\n"
    "Checks a Hugging Face PEFT directory against a model (names, shapes, finite numbers; a setting that "
    "nothing\n"
    "here honours is refused by its name) and writes it with all numbers in f32. run, eval and generate take "
    "such\n"
    "directories as they are, too: import says beforehand whether they will.\n"
    "With --hf-results: reads result files of PEFT's method_comparison into a database, a run a file, each "
    "once.\n"
    "They have one seed and no items: reports show them without an interval, beside runs of this program "
    "only "
    "with\n"
    "--badge (docs/reports.md). A file that cannot be taken is named, the others are taken.\n"
    "\n"
    "  --from DIR       adapter_config.json and adapter_model.safetensors\n"
    "  --model M        a catalogue name, a Hugging Face directory or a .gguf file\n"
    "  --out DIR        where to write; made when it does not exist\n"
    "  --force          write into a directory that is not empty, over files of the same names\n"
    "  --set KEY=VALUE  one setting (backend, threads), may be repeated\n"
    "  --hf-results P   a result file or a folder of them; more may follow\n"
    "  --db FILE        database (results/results.db), made when it does not exist\n"
    "  --task NAME      the task's name, instead of those of the data sets in the file (metamath+gsm8k)\n"
    "\n"
    "Examples:\n"
    "  peftmeter import --hf-results peft/method_comparison/MetaMathQA/results --task MetaMathQA --db "
    "results/hf.db\n"
    "  peftmeter import --from downloads/lora --model smollm2-135m --out adapters/lora\n"
    "  peftmeter eval --model smollm2-135m --task arc_easy --adapter-in adapters/lora\n";

static pm_status write_adapter(pm_adapter_cmd *x, pm_err *e) {
    pm_outdir o;
    pm_status rc = pm_outdir_begin(&o, x->out, x->force, e);
    if (rc) return rc;
    rc = pm_adapter_save(o.stage, x->c->m, x->c->mcfg, &x->s.run.params, x->model, e);
    return pm_outdir_end(&o, rc, e);
}

static void report_json(const pm_adapter_cmd *x) {
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "out", x->out);
    cJSON_AddStringToObject(j, "from", x->adapter);
    cJSON_AddStringToObject(j, "model", x->model);
    cJSON_AddStringToObject(j, "method", x->c->m->name);
    cJSON *settings = cJSON_AddObjectToObject(j, "settings");
    for (const pm_field *f = x->c->m->fields; f->key; f++) {
        char value[PM_FIELD_STR];
        pm_field_get(f, x->c->mcfg, value, sizeof value);
        cJSON_AddStringToObject(settings, f->key, value);
    }
    cJSON_AddNumberToObject(j, "tensors", x->s.run.params.n);
    cJSON_AddNumberToObject(j, "trainable_params", (double)pm_params_count(&x->s.run.params));
    pm_json_print(j);
}

static void report(const pm_adapter_cmd *x) {
    if (pm_global.json) {
        report_json(x);
        return;
    }
    if (pm_global.quiet) return;
    printf("%s: %s", x->out, x->c->m->name);
    for (const pm_field *f = x->c->m->fields; f->key; f++) {
        char value[PM_FIELD_STR];
        pm_field_get(f, x->c->mcfg, value, sizeof value);
        printf(" %s=%s", f->key, value);
    }
    printf("; %lld parameters in %d tensors\n", (long long)pm_params_count(&x->s.run.params),
           x->s.run.params.n);
}

static pm_status import_adapter(pm_adapter_cmd *x, pm_err *e) {
    pm_status rc = PM_OK;
    if (!x->adapter) {
        rc = pm_fail(e, PM_EUSAGE, "--from: not given");
        pm_hint(e, "--from DIR: the directory with adapter_config.json; --hf-results FILE: results");
    }
    if (!rc) rc = pm_adapter_cmd_configure(x, e);
    if (!rc) rc = pm_adapter_cmd_open(x, e);
    if (!rc) rc = write_adapter(x, e);
    if (!rc) report(x);
    pm_adapter_cmd_close(x);
    return rc;
}

static pm_status run(int argc, char **argv, pm_err *e) {
    pm_adapter_cmd x = {0};
    pm_list results = {0};
    const char *db = NULL, *task = NULL;
    const pm_opt opts[] = {{"--from", &x.adapter, NULL, NULL},
                           {"--model", &x.model, NULL, NULL},
                           {"--out", &x.out, NULL, NULL},
                           {"--force", NULL, &x.force, NULL},
                           {"--set", NULL, NULL, &x.sets},
                           {"--hf-results", NULL, NULL, &results},
                           {"--db", &db, NULL, NULL},
                           {"--task", &task, NULL, NULL},
                           {0}};
    pm_status rc = pm_opts_parse(opts, &argc, argv, e);
    if (rc) return rc;
    bool adapter = x.adapter || x.model || x.out || x.force || x.sets.n, of_results = db || task;
    if (results.n ? adapter : of_results) {
        pm_fail(e, PM_EUSAGE, "--hf-results goes with --db and --task, --from with --model and --out");
        return pm_hint(e, "results and adapters are imported one after the other");
    }
    if (results.n)
        return pm_cmd_hf_import(&results, (const char *const *)argv + 1, argc - 1, task,
                                db ? db : "results/results.db", e);
    rc = pm_args_check(argc, argv, 0, 0, e);
    return rc ? rc : import_adapter(&x, e);
}

const pm_command pm_cmd_import = {
    "import", "check a PEFT directory against a model and take it over, or take over PEFT's result files",
    help,     run,
    NULL,     false};
