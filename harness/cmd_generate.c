/* cmd_generate.c - `generate`: greedy text from a prompt, with or without an adapter. */
#include "cmd.h"
#include "generate.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: peftmeter generate --model MODEL [options] PROMPT...\n"
    "\n"
    "Continues each PROMPT greedily; several prompts are decoded together.\n"
    "\n"
    "  --model M         a catalogue name, a Hugging Face directory or a .gguf file\n"
    "  --max-new N       tokens at most, default 64\n"
    "  --adapter-in DIR  (or --adapter) with this adapter (Hugging Face PEFT layout)\n"
    "  --set KEY=VALUE   one setting (precision, backend, threads), may be repeated\n"
    "\n"
    "Example:\n"
    "  peftmeter generate --model smollm2-135m --max-new 20 \"The capital of France is\"\n";

enum { MAX_NEW = 1000000 };

typedef struct generate_args {
    const char *model, *max_new, *in;
    pm_list sets;
} generate_args;

static pm_status configure(pm_config *c, const generate_args *a, pm_gen_opts *o, pm_err *e) {
    char *end;
    long max_new = strtol(a->max_new, &end, 10);
    if (*end || max_new < 1 || max_new > MAX_NEW) {
        pm_fail(e, PM_EUSAGE, "--max-new: '%s' is not a count", a->max_new);
        return pm_hint(e, "a whole number from 1 to %d", MAX_NEW);
    }
    o->max_new = (int)max_new;
    if (!a->model) {
        pm_fail(e, PM_EUSAGE, "model: not given");
        return pm_hint(e, "--model NAME; `peftmeter models` lists them");
    }
    pm_status rc = pm_config_set(c, "model", a->model, e);
    if (!rc && a->in) rc = pm_config_from_adapter(c, a->in, e);
    for (int i = 0; i < a->sets.n && !rc; i++) rc = pm_config_set_pair(c, a->sets.at[i], e);
    return rc;
}

typedef struct printer {
    char **prompt;
    int n;
    cJSON *list; /* NULL: text */
} printer;

static pm_status print_text(void *ctx, int index, const char *text, pm_err *e) {
    (void)e;
    printer *p = ctx;
    if (!p->list) {
        printf("%s%s\n", p->prompt[index], text);
        return PM_OK;
    }
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "prompt", p->prompt[index]);
    cJSON_AddStringToObject(j, "text", text);
    cJSON_AddItemToArray(p->list, j);
    return PM_OK;
}

static pm_status generate(pm_session *s, const pm_gen_opts *o, printer *out, pm_err *e) {
    pm_prompt *p = calloc((size_t)out->n, sizeof *p);
    pm_ids *ids = calloc((size_t)out->n, sizeof *ids);
    PM_ASSERT(p && ids, "out of memory: %d prompts", out->n);
    pm_status rc = PM_OK;
    for (int i = 0; i < out->n && !rc; i++) {
        rc = s->tok ? pm_tokenizer_encode(s->tok, out->prompt[i], strlen(out->prompt[i]),
                                          PM_TOK_BOS | PM_TOK_SPECIAL, &ids[i], e)
                    : PM_OK;
        p[i] = (pm_prompt){ids[i].id, (int)ids[i].n};
    }
    if (!rc) rc = pm_generate(s, p, out->n, o, print_text, out, e);
    for (int i = 0; i < out->n; i++) pm_ids_free(&ids[i]);
    free(ids);
    free(p);
    return rc;
}

static pm_status run(int argc, char **argv, pm_err *e) {
    generate_args a = {.max_new = "64"};
    const pm_opt opts[] = {{"--model", &a.model, NULL, NULL},   {"--max-new", &a.max_new, NULL, NULL},
                           {"--adapter-in", &a.in, NULL, NULL}, {"--adapter", &a.in, NULL, NULL},
                           {"--set", NULL, NULL, &a.sets},      {0}};
    pm_status rc = pm_opts_parse(opts, &argc, argv, e);
    if (!rc) rc = pm_args_check(argc, argv, 1, 1000, e);
    if (rc) return rc;
    pm_config *c = pm_config_new();
    pm_gen_opts o = {0};
    pm_session s = {0};
    char path[1024];
    rc = configure(c, &a, &o, e);
    if (!rc) rc = pm_model_resolve(c->model, path, sizeof path, e);
    if (!rc) rc = pm_session_open(c, path, a.in, &s, e);
    printer out = {.prompt = argv + 1, .n = argc - 1, .list = pm_global.json ? cJSON_CreateArray() : NULL};
    if (!rc) rc = generate(&s, &o, &out, e);
    if (out.list && !rc)
        pm_json_print(out.list);
    else
        cJSON_Delete(out.list);
    pm_session_close(&s);
    pm_config_free(c);
    return rc;
}

const pm_command pm_cmd_generate = {"generate", "greedy text from prompts", help, run, NULL, false};
