/* cmd_params.c - `params`: how many numbers a method trains, from a configuration and a model's dimensions alone. */
#include "cmd.h"
#include "counts.h"
#include "jsonio.h"
#include "model.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

enum { GROUPED = 32, SETTINGS = 1024 };

/* 56,098,816 */
static const char *grouped(int64_t n, char out[GROUPED]) {
    char digits[GROUPED];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0) out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = 0;
    return out;
}

/* "rank=32 alpha=64 ..." */
static void settings_text(const pm_config *c, char out[SETTINGS]) {
    size_t n = 0;
    out[0] = 0;
    for (const pm_field *f = c->m->fields; f->key && n < SETTINGS; f++) {
        char value[PM_FIELD_STR];
        pm_field_get(f, c->mcfg, value, sizeof value);
        n += (size_t)snprintf(out + n, SETTINGS - n, "%s%s=%s", n ? " " : "", f->key, value);
    }
}

/* ---- one method ---- */

static cJSON *kinds_json(const int64_t n[PM_SITE_N_LINEAR]) {
    cJSON *j = cJSON_CreateObject();
    for (pm_site_kind k = 0; k < PM_SITE_N_LINEAR; k++)
        if (n[k]) cJSON_AddNumberToObject(j, pm_site_kind_name(k), (double)n[k]);
    return j;
}

static bool is_method_key(const char *key) {
    return strncmp(key, "method.", 7) == 0;
}

/* The method.* keys of the canonical configuration. */
static cJSON *settings_json(const pm_config *c) {
    cJSON *j = pm_config_object(c);
    pm_json_keep(j, is_method_key);
    return j;
}

static cJSON *counts_json(const pm_shape *s, const pm_config *c, const pm_counts *n) {
    cJSON *j = cJSON_CreateObject();
    int64_t kinds[PM_SITE_N_LINEAR];
    cJSON_AddStringToObject(j, "model", c->model);
    cJSON_AddStringToObject(j, "method", c->method);
    cJSON_AddItemToObject(j, "settings", settings_json(c));
    cJSON_AddNumberToObject(j, "trainable_params", (double)n->trainable);
    cJSON_AddNumberToObject(j, "base_params", (double)s->base);
    cJSON_AddNumberToObject(j, "total_params", (double)n->total);
    cJSON_AddNumberToObject(j, "percent_of_base", n->percent_of_base);
    cJSON_AddNumberToObject(j, "percent_of_total", n->percent_of_total);
    if (pm_counts_by_kind(s, c, kinds)) cJSON_AddItemToObject(j, "by_projection", kinds_json(kinds));
    return j;
}

static void print_one(const pm_shape *s, const pm_config *c, const pm_counts *n) {
    char a[GROUPED], settings[SETTINGS];
    int64_t kinds[PM_SITE_N_LINEAR];
    settings_text(c, settings);
    printf("%s on %s\n", c->m->title, c->model);
    if (*settings) printf("  settings           %s\n", settings);
    printf("  trained            %s\n", grouped(n->trainable, a));
    printf("  of base            %.5g %% of %s (ReFT, WeGeFT)\n", n->percent_of_base, grouped(s->base, a));
    printf("  of base + adapter  %.5g %% of %s (LoRA, DoRA)\n", n->percent_of_total, grouped(n->total, a));
    if (pm_counts_by_kind(s, c, kinds))
        for (pm_site_kind k = 0; k < PM_SITE_N_LINEAR; k++)
            if (kinds[k]) printf("    %-16s %s\n", pm_site_kind_name(k), grouped(kinds[k], a));
    if (!pm_global.quiet)
        printf("  closed form        %s; docs/METHODS.md, n_params of methods/%s.c\n", c->m->cite, c->method);
}

static pm_status show_one(const pm_shape *s, const pm_config *c, pm_err *e) {
    pm_counts n;
    pm_status rc = pm_counts_of(s, c, &n, e);
    if (rc) return rc;
    if (pm_global.json)
        pm_json_print(counts_json(s, c, &n));
    else
        print_one(s, c, &n);
    return PM_OK;
}

/* ---- all methods at their defaults ---- */

static void print_row(const pm_config *c, const pm_counts *n) {
    char a[GROUPED], settings[SETTINGS];
    settings_text(c, settings);
    printf("%-10s %16s %10.5g %10.5g%s%s\n", c->method, grouped(n->trainable, a), n->percent_of_base,
           n->percent_of_total, *settings ? "  " : "", settings);
}

static pm_status show_all(const pm_shape *s, pm_config *c, pm_err *e) {
    char a[GROUPED];
    cJSON *list = pm_global.json ? cJSON_CreateArray() : NULL;
    if (!list)
        printf("%s: %s parameters; percent of the base, and of base + adapter\n\n%-10s %16s %10s %10s  %s\n",
               c->model, grouped(s->base, a), "method", "trained", "% base", "% total", "settings");
    pm_status rc = PM_OK;
    for (int i = 0; pm_methods[i] && !rc; i++) {
        pm_counts n;
        rc = pm_config_set(c, "method", pm_methods[i]->name, e);
        if (!rc) rc = pm_counts_of(s, c, &n, e);
        if (rc) break;
        if (list)
            cJSON_AddItemToArray(list, counts_json(s, c, &n));
        else
            print_row(c, &n);
    }
    if (rc)
        cJSON_Delete(list);
    else if (list)
        pm_json_print(list);
    return rc;
}

/* ---- the command ---- */

typedef struct args {
    const char *model, *method, *config;
    pm_list sets;
} args;

static pm_status configure(pm_config *c, const args *a, pm_err *e) {
    pm_status rc = a->config ? pm_config_load(c, a->config, e) : PM_OK;
    if (!rc && a->model) rc = pm_config_set(c, "model", a->model, e);
    if (!rc && a->method) rc = pm_config_set(c, "method", a->method, e);
    for (int i = 0; i < a->sets.n && !rc; i++) rc = pm_config_set_pair(c, a->sets.at[i], e);
    if (rc || *c->model) return rc;
    pm_fail(e, PM_EUSAGE, "params: no model given");
    return pm_hint(e, "for example --model llama-7b; `peftmeter params --help` lists the shapes");
}

static pm_status params(int argc, char **argv, pm_err *e) {
    args a = {0};
    const pm_opt opts[] = {{"--model", &a.model, NULL, NULL},
                           {"--method", &a.method, NULL, NULL},
                           {"--config", &a.config, NULL, NULL},
                           {"--set", NULL, NULL, &a.sets},
                           {0}};
    pm_status rc = pm_opts_parse(opts, &argc, argv, e);
    if (!rc) rc = pm_args_check(argc, argv, 0, 0, e);
    if (rc) return rc;
    pm_config *c = pm_config_new();
    pm_shape s;
    rc = configure(c, &a, e);
    if (!rc) rc = pm_shape_open(c->model, &s, e);
    if (!rc) rc = c->m ? show_one(&s, c, e) : show_all(&s, c, e);
    pm_config_free(c);
    return rc;
}

static const char help[] =
    "usage: peftmeter params --model MODEL [--method METHOD] [--set KEY=VALUE ...] [--config FILE] [--json]\n"
    "\n"
    "How many numbers METHOD trains in MODEL, from the configuration alone: no weight is read, nothing is "
    "downloaded.\n"
    "Without --method: every method at its defaults.\n"
    "\n"
    "  --model M        a shape from the list below, a Hugging Face folder or its config.json, a .gguf "
    "file,\n"
    "                   or a fetched model of `peftmeter models`\n"
    "  --method M       peftmeter methods lists them; peftmeter methods M shows its settings\n"
    "  --set KEY=VALUE  one setting, may be repeated\n"
    "  --config FILE    settings as JSON; --set goes on top\n"
    "\n"
    "The LoRA row of LLaMA-7B in the commonsense tables, printed there as .826:\n"
    "  peftmeter params --model llama-7b --method lora --set method.rank=32 \\\n"
    "      --set method.targets=q_proj,k_proj,v_proj,up_proj,down_proj\n"
    "  -> 56,098,816 numbers, 0.82565 % of base + adapter (0.83252 % of the base)\n"
    "\n"
    "Papers use two denominators: LoRA, DoRA, adapters and prefix tuning divide by base + adapter; ReFT, "
    "WeGeFT and RED by the base.\n"
    "Compare two published percentages only after looking which.\n"
    "\n"
    "Encoders: their projections go by our names. RoBERTa: query q_proj, key k_proj, value v_proj,\n"
    "attention.output.dense o_proj, intermediate.dense up_proj, output.dense down_proj. ViT: query, key, "
    "value likewise\n"
    "(as three matrices, also where a file holds one qkv), attn.proj o_proj, mlp.fc1 up_proj, mlp.fc2 "
    "down_proj.\n"
    "They have no gate_proj; `all` leaves it out. Task heads are not counted.\n"
    "\n"
    "Shapes:\n";

static void more_help(void) {
    for (const pm_preset *p = pm_presets; p->name; p++) {
        char a[GROUPED];
        pm_shape s;
        if (pm_shape_open(p->name, &s, NULL)) continue;
        printf("  %-14s %15s parameters, width %lld, layers %d, MLP %lld, heads %d (keys %d)%s\n", p->name,
               grouped(s.base, a), (long long)s.cfg.C, s.cfg.L, (long long)s.cfg.F, s.cfg.H, s.cfg.n_kv,
               s.cfg.tied ? ", tied head" : "");
    }
}

const pm_command pm_cmd_params = {
    .name = "params",
    .summary = "how many numbers a method trains in a model, from shapes alone",
    .help = help,
    .run = params,
    .more_help = more_help,
    .light = true,
};
