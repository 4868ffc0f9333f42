/* cmd_import.c - `import`: an adapter that PEFT wrote, checked against the model and written as this program writes its own. */
#include "adapter.h"
#include "cmd_adapter.h"
#include <cjson/cJSON.h>
#include <string.h>

static const char help[] =
    "usage: peftmeter import --from DIR --model MODEL --out DIR [options]\n"
    "\n"
    "Checks a Hugging Face PEFT directory against a model (names, shapes, finite numbers; a setting that "
    "nothing\n"
    "here honours is refused by its name) and writes it with all numbers in f32. run, eval and generate take "
    "such\n"
    "directories as they are, too: import says beforehand whether they will.\n"
    "\n"
    "  --from DIR       adapter_config.json and adapter_model.safetensors\n"
    "  --model M        a catalogue name, a Hugging Face directory or a .gguf file\n"
    "  --out DIR        where to write; made when it does not exist\n"
    "  --force          write into a directory that is not empty, over files of the same names\n"
    "  --set KEY=VALUE  one setting (backend, threads), may be repeated\n"
    "\n"
    "Examples:\n"
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

static pm_status run(int argc, char **argv, pm_err *e) {
    pm_adapter_cmd x = {0};
    const pm_opt opts[] = {{"--from", &x.adapter, NULL, NULL}, {"--model", &x.model, NULL, NULL},
                           {"--out", &x.out, NULL, NULL},      {"--force", NULL, &x.force, NULL},
                           {"--set", NULL, NULL, &x.sets},     {0}};
    pm_status rc = pm_opts_parse(opts, &argc, argv, e);
    if (!rc) rc = pm_args_check(argc, argv, 0, 0, e);
    if (!rc && !x.adapter) {
        rc = pm_fail(e, PM_EUSAGE, "--from: not given");
        pm_hint(e, "--from DIR: the directory with adapter_config.json");
    }
    if (!rc) rc = pm_adapter_cmd_configure(&x, e);
    if (!rc) rc = pm_adapter_cmd_open(&x, e);
    if (!rc) rc = write_adapter(&x, e);
    if (!rc) report(&x);
    pm_adapter_cmd_close(&x);
    return rc;
}

const pm_command pm_cmd_import = {
    "import", "check a PEFT directory against a model and take it over", help, run, NULL, false};
