/* cmd_export.c - `export`: an adapter as a Hugging Face PEFT directory, or a model as a Hugging Face directory. */
#include "adapter.h"
#include "cmd_adapter.h"
#include "cmd_hf.h"
#include "convert.h"
#include <cjson/cJSON.h>
#include <string.h>

static const char help[] =
    "usage: peftmeter export --model MODEL --adapter DIR --out DIR [--as METHOD] [options]\n"
    "       peftmeter export --model MODEL --out DIR [--dtype T] [options]\n"
    "       peftmeter export --hf-results DIR [--db FILE] [--force]\n"
    "\n"
    "With --adapter: checks the adapter against the model and writes it as a Hugging Face PEFT directory. "
    "PEFT loads\n"
    "those of lora and dora; the others keep the layout that peftmeter gives them.\n"
    "Without: writes the model itself as a Hugging Face directory, from a .gguf file for instance.\n"
    "With --hf-results: writes the runs of a database as the result files of PEFT's method_comparison, one a "
    "run;\n"
    "what such a file asks for and a run on a CPU cannot know is null (docs/reports.md).\n"
    "\n"
    "  --model M        a catalogue name, a Hugging Face directory or a .gguf file\n"
    "  --adapter DIR    (or --adapter-in) the adapter\n"
    "  --out DIR        where to write; made when it does not exist\n"
    "  --as METHOD      as another method's that computes the same: a wegeft adapter is a lora of the same "
    "rank,\n"
    "                   one per layer (lora_B = W0 phi^T, lora_A = psi)\n"
    "  --base NAME      base_model_name_or_path to write, for PEFT to find the model by; default: MODEL\n"
    "  --dtype T        of a model: f32 (default) or bf16\n"
    "  --force          write into a directory that is not empty, over files of the same names\n"
    "  --set KEY=VALUE  one setting (backend, threads), may be repeated\n"
    "  --hf-results DIR where result files are written, instead of all of the above\n"
    "  --db FILE        database (results/results.db)\n"
    "\n"
    "Examples:\n"
    "  peftmeter export --hf-results results/hf --db results/demo.db\n"
    "  peftmeter export --model smollm2-135m --out models/smollm2\n"
    "  peftmeter export --model models/smollm2 --adapter adapters/lora --out peft/lora\n"
    "  peftmeter export --model models/smollm2 --adapter adapters/wegeft --as lora --out peft/wegeft\n";

typedef struct export_args {
    pm_adapter_cmd x;
    const char *as, *base, *dtype, *results, *db;
    pm_dtype type;
} export_args;

/* The methods whose directories PEFT loads. */
static bool peft_loads(const char *method) {
    return !strcmp(method, "lora") || !strcmp(method, "dora") || !strcmp(method, "ia3");
}

static pm_status check_adapter(export_args *a, pm_err *e) {
    const pm_method *m = a->x.c->m;
    if (m->flags & PM_TRAINS_BASE) {
        pm_fail(e, PM_EUNSUPPORTED, "%s has no adapter apart from the weights", m->name);
        return pm_hint(e, "merge-adapter writes the tuned model");
    }
    if (!a->as) a->as = m->name;
    return pm_convert_check(m, a->as, e);
}

/* What goes with what. */
static pm_status check_options(const export_args *a, pm_err *e) {
    if (a->x.adapter && a->dtype) {
        pm_fail(e, PM_EUSAGE, "--dtype: adapters are written in f32");
        return pm_hint(e, "--dtype goes with a model, without --adapter");
    }
    if (!a->x.adapter && (a->as || a->base)) {
        pm_fail(e, PM_EUSAGE, "%s: of which adapter?", a->as ? "--as" : "--base");
        return pm_hint(e, "--adapter DIR");
    }
    return PM_OK;
}

static pm_status write_out(export_args *a, pm_err *e) {
    pm_outdir o;
    pm_status rc = pm_outdir_begin(&o, a->x.out, a->x.force, e);
    if (rc) return rc;
    if (a->x.adapter)
        rc = pm_convert_save(&a->x.s, a->x.c, a->as, o.stage, a->base ? a->base : a->x.model, e);
    else
        rc = pm_model_save(&a->x.s.loaded, a->type, o.stage, e);
    return pm_outdir_end(&o, rc, e);
}

static void report_json(const export_args *a, bool loads) {
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "out", a->x.out);
    cJSON_AddStringToObject(j, "model", a->x.model);
    if (a->x.adapter) {
        cJSON_AddStringToObject(j, "adapter", a->x.adapter);
        cJSON_AddStringToObject(j, "method", a->x.c->m->name);
        cJSON_AddStringToObject(j, "as", a->as);
        cJSON_AddNumberToObject(j, "trainable_params", (double)pm_params_count(&a->x.s.run.params));
        cJSON_AddBoolToObject(j, "peft_loads", loads);
    } else {
        cJSON_AddStringToObject(j, "dtype", a->dtype ? a->dtype : "f32");
        cJSON_AddNumberToObject(j, "parameters", (double)pm_model_count(a->x.s.model));
        cJSON_AddBoolToObject(j, "tokenizer", a->x.s.tok != NULL);
    }
    pm_json_print(j);
}

static void note_layout(const export_args *a) {
    const char *target = pm_convert_target(a->x.c->m);
    fprintf(stderr, "note: PEFT has no %s: the directory keeps peftmeter's own layout", a->as);
    if (target)
        fprintf(stderr, "; --as %s writes the same function for PEFT\n", target);
    else
        fputc('\n', stderr);
}

static void report(const export_args *a) {
    bool loads = a->x.adapter && peft_loads(a->as);
    if (a->x.adapter && !loads && !pm_global.quiet) note_layout(a);
    if (pm_global.json) {
        report_json(a, loads);
        return;
    }
    if (pm_global.quiet) return;
    if (a->x.adapter)
        printf("%s: %s adapter of %lld trained parameters, written as %s\n", a->x.out, a->x.c->m->name,
               (long long)pm_params_count(&a->x.s.run.params), a->as);
    else
        printf("%s: %lld parameters in %s%s\n", a->x.out, (long long)pm_model_count(a->x.s.model),
               a->dtype ? a->dtype : "f32", a->x.s.tok ? "" : "; the model has no tokenizer");
}

static pm_status export(export_args *a, pm_err *e) {
    pm_status rc = check_options(a, e);
    if (!rc) rc = pm_dtype_option(a->dtype ? a->dtype : "f32", &a->type, e);
    if (!rc) rc = pm_adapter_cmd_configure(&a->x, e);
    if (!rc && a->x.adapter) rc = check_adapter(a, e);
    if (!rc) rc = pm_adapter_cmd_open(&a->x, e);
    if (!rc) rc = write_out(a, e);
    if (!rc) report(a);
    pm_adapter_cmd_close(&a->x);
    return rc;
}

/* Result files come from a database alone. */
static pm_status export_results(const export_args *a, pm_err *e) {
    bool more = a->x.model || a->x.adapter || a->x.out || a->as || a->base || a->dtype || a->x.sets.n;
    if (!more) return pm_cmd_hf_export(a->results, a->db ? a->db : "results/results.db", a->x.force, e);
    pm_fail(e, PM_EUSAGE, "--hf-results goes with --db and --force alone");
    return pm_hint(e, "runs and adapters are exported one after the other");
}

static pm_status run(int argc, char **argv, pm_err *e) {
    export_args a = {0};
    const pm_opt opts[] = {{"--model", &a.x.model, NULL, NULL},
                           {"--adapter", &a.x.adapter, NULL, NULL},
                           {"--adapter-in", &a.x.adapter, NULL, NULL},
                           {"--out", &a.x.out, NULL, NULL},
                           {"--as", &a.as, NULL, NULL},
                           {"--base", &a.base, NULL, NULL},
                           {"--dtype", &a.dtype, NULL, NULL},
                           {"--force", NULL, &a.x.force, NULL},
                           {"--set", NULL, NULL, &a.x.sets},
                           {"--hf-results", &a.results, NULL, NULL},
                           {"--db", &a.db, NULL, NULL},
                           {0}};
    pm_status rc = pm_opts_parse(opts, &argc, argv, e);
    if (!rc) rc = pm_args_check(argc, argv, 0, 0, e);
    if (!rc && a.db && !a.results) {
        pm_fail(e, PM_EUSAGE, "--db: adapters and models come from no database");
        return pm_hint(e, "--hf-results DIR writes a database's runs");
    }
    if (!rc && a.results) return export_results(&a, e);
    return rc ? rc : export(&a, e);
}

const pm_command pm_cmd_export = {
    "export", "an adapter for PEFT, a model as a Hugging Face directory, or runs as PEFT's result files",
    help,     run,
    NULL,     false};
