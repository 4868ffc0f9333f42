/* cmd_methods.c - lists the methods, or shows one: equation, source, learning rate, claims and settings, all from the registry. */
#include "cmd.h"
#include "config.h"

#include <cjson/cJSON.h>

static const struct {
    unsigned bit;
    const char *key, *says;
} claims[] = {
    {PM_IDENTITY_INIT, "identity_init", "starts as the base model"},
    {PM_MERGEABLE, "mergeable", "merges into the weights"},
    {PM_TRAINS_BASE, "trains_base", "trains the base weights"},
    {PM_PROMPT_ONLY, "prompt_only", "acts on the prompt alone"},
};
enum { N_CLAIMS = sizeof claims / sizeof *claims };

static void print_claims(unsigned flags, const char *separator) {
    const char *sep = "";
    for (int i = 0; i < N_CLAIMS; i++) {
        if (!(flags & claims[i].bit)) continue;
        printf("%s%s", sep, claims[i].says);
        sep = separator;
    }
    putchar('\n');
}

static cJSON *method_json(const pm_method *m) {
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "name", m->name);
    cJSON_AddStringToObject(j, "title", m->title);
    cJSON_AddStringToObject(j, "source", m->cite);
    cJSON_AddStringToObject(j, "equation", m->equation);
    cJSON_AddNumberToObject(j, "version", m->version);
    for (int i = 0; i < N_CLAIMS; i++)
        cJSON_AddBoolToObject(j, claims[i].key, (m->flags & claims[i].bit) != 0);
    cJSON_AddNumberToObject(j, "default_lr", m->default_lr);
    if (m->lr_source) cJSON_AddStringToObject(j, "lr_source", m->lr_source);
    cJSON_AddItemToObject(j, "fields",
                          m->fields ? pm_fields_json(m->fields, "method.") : cJSON_CreateArray());
    return j;
}

static void list_methods(void) {
    if (pm_global.json) {
        cJSON *list = cJSON_CreateArray();
        for (int i = 0; pm_methods[i]; i++) cJSON_AddItemToArray(list, method_json(pm_methods[i]));
        pm_json_print(list);
        return;
    }
    for (int i = 0; pm_methods[i]; i++) {
        const pm_method *m = pm_methods[i];
        printf("%-10s %-24s %s\n%-10s ", m->name, m->title, m->cite, "");
        print_claims(m->flags, "; ");
    }
    if (!pm_global.quiet)
        puts("\n`peftmeter methods NAME` shows one with its settings; docs/METHODS.md has the equations.");
}

static void show_method(const pm_method *m) {
    if (pm_global.json) {
        pm_json_print(method_json(m));
        return;
    }
    printf("%s - %s, version %d\n", m->name, m->title, m->version);
    printf("  equation       %s\n", m->equation);
    printf("  source         %s (more: methods/%s.c, docs/METHODS.md)\n", m->cite, m->name);
    printf("  learning rate  %g by default (%s)\n", m->default_lr,
           m->lr_source ? m->lr_source : "no source stated");
    printf("  claims         ");
    print_claims(m->flags, "; ");
    if (!m->fields || !m->fields->key) return;
    printf("\nSettings: name, default, values\n");
    pm_fields_print(stdout, m->fields, "method.");
    printf("\nexample: peftmeter run --model smollm2-135m --task arc_easy --method %s --set method.%s=%s\n",
           m->name, m->fields->key, m->fields->def);
}

static pm_status methods(int argc, char **argv, pm_err *e) {
    static const pm_opt opts[] = {{NULL, NULL, NULL, NULL}};
    pm_status s = pm_opts_parse(opts, &argc, argv, e);
    if (s == PM_OK) s = pm_args_check(argc, argv, 0, 1, e);
    if (s != PM_OK) return s;
    if (argc == 1) return list_methods(), PM_OK;
    const pm_method *m;
    s = pm_method_need(argv[1], &m, e);
    if (s == PM_OK) show_method(m);
    return s;
}

const pm_command pm_cmd_methods = {
    .name = "methods",
    .summary = "the fine-tuning methods; one name shows its settings, equation, source and learning rate",
    .help =
        "usage: peftmeter methods [NAME] [--json]\n"
        "\n"
        "Without a name: every method with its paper and what it claims (each claim is proven by a test).\n"
        "With one: its equation, settings with defaults, where the equation and the learning rate come "
        "from.\n"
        "\n"
        "  peftmeter methods\n"
        "  peftmeter methods lora\n"
        "  peftmeter methods lora --json\n",
    .run = methods,
    .light = true,
};
