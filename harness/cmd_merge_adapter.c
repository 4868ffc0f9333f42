/* cmd_merge_adapter.c - `merge-adapter`: a model with its adapter folded in, as a Hugging Face directory. */
#include "cmd_adapter.h"
#include "merge.h"
#include <cjson/cJSON.h>

static const char help[] =
    "usage: peftmeter merge-adapter --model MODEL --adapter DIR --out DIR [options]\n"
    "\n"
    "Folds an adapter into the weights and writes the model that results: config.json, model.safetensors and "
    "the\n"
    "tokenizer's files, which transformers and peftmeter load like any model. A method whose effect no "
    "weight can\n"
    "hold (one that acts at prompt positions alone) is refused.\n"
    "\n"
    "  --model M        a catalogue name, a Hugging Face directory or a .gguf file\n"
    "  --adapter DIR    (or --adapter-in) the adapter (Hugging Face PEFT layout), or a directory that `full` "
    "wrote\n"
    "  --out DIR        where to write; made when it does not exist\n"
    "  --dtype T        f32 (default) or bf16: half the size, and the update is rounded with the weight\n"
    "  --force          write into a directory that is not empty, over files of the same names\n"
    "  --set KEY=VALUE  one setting (backend, threads), may be repeated\n"
    "\n"
    "Examples:\n"
    "  peftmeter merge-adapter --model smollm2-135m --adapter adapters/lora --out models/tuned\n"
    "  peftmeter eval --model models/tuned --task arc_easy\n"
    "  peftmeter merge-adapter --model smollm2-135m --adapter adapters/dora --out models/small --dtype "
    "bf16\n";

static pm_status write_model(pm_adapter_cmd *x, pm_dtype type, pm_err *e) {
    pm_outdir o;
    pm_merged m;
    pm_status rc = pm_merged_begin(&x->s, &m, e);
    if (rc) return rc;
    rc = pm_outdir_begin(&o, x->out, x->force, e);
    if (!rc) rc = pm_outdir_end(&o, pm_model_save(&x->s.loaded, type, o.stage, e), e);
    pm_merged_end(&x->s, &m);
    return rc;
}

static void report(const pm_adapter_cmd *x, const char *dtype) {
    long long n = pm_model_count(x->s.model);
    if (pm_global.json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "out", x->out);
        cJSON_AddStringToObject(j, "model", x->model);
        cJSON_AddStringToObject(j, "adapter", x->adapter);
        cJSON_AddStringToObject(j, "method", x->c->m->name);
        cJSON_AddStringToObject(j, "dtype", dtype);
        cJSON_AddNumberToObject(j, "parameters", (double)n);
        cJSON_AddBoolToObject(j, "tokenizer", x->s.tok != NULL);
        pm_json_print(j);
    } else if (!pm_global.quiet)
        printf("%s: %lld parameters in %s, %s folded in%s\n", x->out, n, dtype, x->c->m->name,
               x->s.tok ? "" : "; the model has no tokenizer");
}

static pm_status run(int argc, char **argv, pm_err *e) {
    pm_adapter_cmd x = {0};
    const char *dtype = "f32";
    pm_dtype type;
    const pm_opt opts[] = {{"--model", &x.model, NULL, NULL},        {"--adapter", &x.adapter, NULL, NULL},
                           {"--adapter-in", &x.adapter, NULL, NULL}, {"--out", &x.out, NULL, NULL},
                           {"--dtype", &dtype, NULL, NULL},          {"--force", NULL, &x.force, NULL},
                           {"--set", NULL, NULL, &x.sets},           {0}};
    pm_status rc = pm_opts_parse(opts, &argc, argv, e);
    if (!rc) rc = pm_args_check(argc, argv, 0, 0, e);
    if (!rc) rc = pm_dtype_option(dtype, &type, e);
    if (!rc && !x.adapter) {
        rc = pm_fail(e, PM_EUSAGE, "--adapter: not given");
        pm_hint(e, "--adapter DIR; `peftmeter export` writes a model as it is");
    }
    if (!rc) rc = pm_adapter_cmd_configure(&x, e);
    if (!rc) rc = pm_merge_check(x.c->m, e);
    if (!rc) rc = pm_adapter_cmd_open(&x, e);
    if (!rc) rc = write_model(&x, type, e);
    if (!rc) report(&x, dtype);
    pm_adapter_cmd_close(&x);
    return rc;
}

const pm_command pm_cmd_merge_adapter = {
    "merge-adapter", "fold an adapter into its model: a Hugging Face directory", help, run, NULL, false};
