/* config.c - the settings of a run: defaults with their sources, --set, JSON files, canonical JSON and the
 * run key. */
#include "config.h"

#include "sha256.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(pm_config, member)

/* Defaults are transformers.TrainingArguments' where it has the setting: a run without options is the run
 * people know from there. */
const pm_field pm_config_fields[] = {
    {"model", PM_FIELD_STRING, AT(model), "", 0, 0, NULL,
     "a Hugging Face folder, a .gguf file or a name from `models`", NULL},
    {"task", PM_FIELD_STRING, AT(task), "", 0, 0, NULL,
     "a name from `tasks`, a task's .json or token rows in .jsonl", NULL},
    {"method", PM_FIELD_STRING, AT(method), "", 0, 0, NULL,
     "a name from `methods`; its settings are method.*", NULL},
    {"seed", PM_FIELD_INT, AT(seed), "0", 0, 2147483647, NULL, "of initialisation, batch order and dropout",
     NULL},
    {"threads", PM_FIELD_INT, AT(threads), "0", 0, 1024, NULL,
     "OpenMP threads, part of the run key; 0: all (OMP_NUM_THREADS)", NULL},
    {"precision", PM_FIELD_ENUM, AT(precision), "fp32", 0, 0, "fp32|bf16",
     "of frozen weights and their products", NULL},
    {"backend", PM_FIELD_ENUM, AT(backend), "auto", 0, 0, "auto|onednn|openblas",
     "of matrix products; auto: onednn where it passes its check", NULL},
    {"train.steps", PM_FIELD_INT, AT(train.steps), "0", 0, 1000000000, NULL,
     "optimiser steps; 0: as train.epochs says", NULL},
    {"train.epochs", PM_FIELD_REAL, AT(train.epochs), "3", 0, 1e6, NULL,
     "passes over the training rows where train.steps is 0 (transformers, LLM-Adapters, WeGeFT: 3)", NULL},
    {"train.batch", PM_FIELD_INT, AT(train.batch), "8", 1, 65536, NULL,
     "sequences of one forward and backward pass (transformers)", NULL},
    {"train.grad_accum", PM_FIELD_INT, AT(train.grad_accum), "1", 1, 65536, NULL,
     "batches summed before each step of the optimiser (transformers)", NULL},
    {"train.max_len", PM_FIELD_INT, AT(train.max_len), "512", 0, 1048576, NULL,
     "tokens of a sequence, cut from the prompt's left; 0: no limit (pyreft, WeGeFT: 512)", NULL},
    {"train.shuffle", PM_FIELD_BOOL, AT(train.shuffle), "true", 0, 0, NULL,
     "a new order each epoch; false: file order", NULL},
    {"train.loss_on", PM_FIELD_ENUM, AT(train.loss_on), "answer", 0, 0, "answer|all",
     "tokens that are scored (WeGeFT: response only)", NULL},
    {"optim.lr", PM_FIELD_REAL, AT(optim.lr), "0", 0, 1e3, NULL,
     "peak learning rate; 0: the method's own, see `methods NAME`", NULL},
    {"optim.weight_decay", PM_FIELD_REAL, AT(optim.weight_decay), "0", 0, 1, NULL,
     "decoupled decay (transformers, pyreft, WeGeFT: 0; torch.optim.AdamW alone: 0.01)", NULL},
    {"optim.beta1", PM_FIELD_REAL, AT(optim.beta1), "0.9", 0, 1, NULL,
     "AdamW's first moment (transformers, torch)", NULL},
    {"optim.beta2", PM_FIELD_REAL, AT(optim.beta2), "0.999", 0, 1, NULL,
     "AdamW's second moment (transformers, torch)", NULL},
    {"optim.eps", PM_FIELD_REAL, AT(optim.eps), "1e-8", 1e-30, 1, NULL,
     "AdamW's epsilon (transformers, torch)", NULL},
    {"optim.schedule", PM_FIELD_ENUM, AT(optim.schedule), "linear", 0, 0, "constant|linear|cosine",
     "of the learning rate (transformers)", NULL},
    {"optim.warmup_steps", PM_FIELD_INT, AT(optim.warmup_steps), "0", 0, 1000000000, NULL,
     "steps of linear warm-up; 0: as optim.warmup_frac says", NULL},
    {"optim.warmup_frac", PM_FIELD_REAL, AT(optim.warmup_frac), "0", 0, 1, NULL,
     "part of the steps that warms up (transformers: 0; pyreft, WeGeFT: 0.1)", NULL},
    {"optim.clip", PM_FIELD_REAL, AT(optim.clip), "1", 0, 1e9, NULL,
     "largest global gradient norm; 0: no clipping (transformers)", NULL},
    {"eval.split", PM_FIELD_STRING, AT(eval.split), "validation", 0, 0, NULL,
     "none, validation, test, or a file of token rows", NULL},
    {"eval.every", PM_FIELD_INT, AT(eval.every), "0", 0, 1000000000, NULL,
     "steps between evaluations while training; 0: at the end only", NULL},
    {"eval.limit", PM_FIELD_INT, AT(eval.limit), "0", 0, 1000000000, NULL,
     "evaluate the first n items only; 0: all", NULL},
    {"eval.probe", PM_FIELD_STRING, AT(eval.probe), "", 0, 0, NULL,
     "a text (a task of kind lm, or token rows in .jsonl) on which forgetting is measured; empty: it is not",
     NULL},
    {NULL, PM_FIELD_INT, 0, NULL, 0, 0, NULL, NULL, NULL},
};

pm_config *pm_config_new(void) {
    pm_config *c = calloc(1, sizeof *c);
    PM_ASSERT(c, "out of memory: %zu bytes for the settings", sizeof *c);
    pm_fields_defaults(pm_config_fields, c);
    return c;
}

void pm_config_free(pm_config *c) {
    if (!c) return;
    free(c->mcfg);
    free(c);
}

/* ---- one setting
 * ---------------------------------------------------------------------------------------------------------
 */

enum { NAMES_MAX = 256 };

pm_status pm_method_need(const char *name, const pm_method **out, pm_err *e) {
    const char *known[NAMES_MAX] = {NULL};
    int n = 0;
    *out = pm_method_find(name);
    if (*out) return PM_OK;
    for (; n < NAMES_MAX && pm_methods[n]; n++) known[n] = pm_methods[n]->name;
    const char *near = pm_nearest(name, known, n);
    pm_fail(e, PM_EUSAGE, "there is no method \"%.64s\"", name);
    if (near) return pm_hint(e, "did you mean %s?", near);
    return pm_hint(e, "`peftmeter methods` lists them");
}

/* "": none, as the settings of an untuned model's run say. */
static pm_status set_method(pm_config *c, const char *name, pm_err *e) {
    const pm_method *m;
    if (!*name && !c->m) return PM_OK;
    pm_status s = pm_method_need(name, &m, e);
    if (s != PM_OK || m == c->m) return s;
    free(c->mcfg);
    c->mcfg = calloc(1, m->cfg_size ? m->cfg_size : 1);
    PM_ASSERT(c->mcfg, "out of memory: %zu bytes for the settings of %s", m->cfg_size, m->name);
    c->m = m;
    snprintf(c->method, sizeof c->method, "%s", m->name);
    if (m->fields) pm_fields_defaults(m->fields, c->mcfg);
    return PM_OK;
}

static const pm_field no_fields[] = {{NULL, PM_FIELD_INT, 0, NULL, 0, 0, NULL, NULL, NULL}};

static const pm_field *method_fields(const pm_config *c) {
    return c->m && c->m->fields ? c->m->fields : no_fields;
}

static pm_status set_method_field(pm_config *c, const char *key, const char *value, pm_err *e) {
    if (c->m) return pm_field_set(method_fields(c), c->mcfg, "method.", key, value, e);
    pm_fail(e, PM_EUSAGE, "method.%.64s: no method is chosen yet", key);
    return pm_hint(e, "--method NAME; `peftmeter methods` lists them");
}

/* The full key whose last part is `key`: people write lr for optim.lr. */
static pm_status hint_full_key(const pm_config *c, const char *key, pm_err *e) {
    for (const pm_field *f = pm_config_fields; f->key; f++) {
        const char *dot = strrchr(f->key, '.');
        if (dot && strcmp(dot + 1, key) == 0) return pm_hint(e, "did you mean %s?", f->key);
    }
    if (pm_field_find(method_fields(c), key)) return pm_hint(e, "did you mean method.%s?", key);
    return e ? e->code : PM_EUSAGE;
}

pm_status pm_config_set(pm_config *c, const char *key, const char *value, pm_err *e) {
    if (strcmp(key, "method") == 0) return set_method(c, value, e);
    if (strncmp(key, "method.", 7) == 0) return set_method_field(c, key + 7, value, e);
    pm_status s = pm_field_set(pm_config_fields, c, "", key, value, e);
    if (s == PM_OK || pm_field_find(pm_config_fields, key)) return s;
    return hint_full_key(c, key, e);
}

pm_status pm_config_set_pair(pm_config *c, const char *pair, pm_err *e) {
    char key[96];
    const char *eq = strchr(pair, '=');
    size_t n = eq ? (size_t)(eq - pair) : 0;
    if (n == 0 || n >= sizeof key) {
        pm_fail(e, PM_EUSAGE, "--set %.64s: not KEY=VALUE", pair);
        return pm_hint(e, "for example --set method.rank=16");
    }
    memcpy(key, pair, n);
    key[n] = 0;
    return pm_config_set(c, key, eq + 1, e);
}

/* ---- a JSON file
 * ---------------------------------------------------------------------------------------------------------
 */

enum { PAIRS_MAX = 256, FILE_MAX_BYTES = 1 << 20 };

typedef struct pair {
    char key[96], value[PM_FIELD_STR];
} pair;

typedef struct pairs {
    pair *at; /* [PAIRS_MAX] */
    int n;
} pairs;

/* The file's text, NUL-terminated, for the caller to free; NULL after a failure. */
static char *read_text(const char *path, size_t *len, pm_err *e) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        pm_fail(e, PM_EIO, "open %s: %s", path, strerror(errno));
        pm_hint(e, "--config takes a JSON file");
        return NULL;
    }
    char *text = malloc(FILE_MAX_BYTES + 1);
    PM_ASSERT(text, "out of memory: %d bytes", FILE_MAX_BYTES);
    *len = fread(text, 1, FILE_MAX_BYTES + 1, f);
    bool failed = ferror(f), too_long = *len > FILE_MAX_BYTES;
    if (failed)
        pm_fail(e, PM_EIO, "read %s: %s", path, strerror(errno)), pm_hint(e, "--config takes a JSON file");
    else if (too_long)
        pm_fail(e, PM_EFORMAT, "%s: larger than 1 MiB: not a configuration", path);
    fclose(f);
    if (failed || too_long) return free(text), NULL;
    text[*len] = 0;
    return text;
}

static int line_of(const char *text, const char *at) {
    int line = 1;
    for (; text < at; text++) line += *text == '\n';
    return line;
}

/* The object in a text, for the caller to delete; NULL after a failure. `from` names it in messages. */
static cJSON *parse_text(const char *text, size_t len, const char *from, pm_err *e) {
    const char *end = text;
    cJSON *j = cJSON_ParseWithLengthOpts(text, len, &end, false);
    bool rest = j && end[strspn(end, " \t\r\n")] != 0, nul = strlen(text) != len, good = j && !rest && !nul;
    if (!good) {
        pm_fail(e, PM_EFORMAT, "%s: line %d: not JSON", from, line_of(text, end));
        pm_hint(e, "check the file with a JSON linter; comments and trailing commas are not JSON");
    } else if (!cJSON_IsObject(j)) {
        pm_fail(e, PM_EFORMAT, "%s: not a JSON object", from);
        pm_hint(e, "for example {\"method\": \"lora\", \"method.rank\": 16, \"train\": {\"steps\": 100}}");
    }
    if (good && cJSON_IsObject(j)) return j;
    cJSON_Delete(j);
    return NULL;
}

static cJSON *parse_file(const char *path, pm_err *e) {
    size_t len = 0;
    char *text = read_text(path, &len, e);
    cJSON *j = text ? parse_text(text, len, path, e) : NULL;
    free(text);
    return j;
}

/* Whole numbers without an exponent, which a whole setting does not take. */
static int number_text(double v, char *out, size_t cap) {
    char text[40];
    bool whole = fabs(v) < 1e15 && floor(v) == v;
    if (!whole) pm_real_text(v, text, sizeof text);
    return whole ? snprintf(out, cap, "%.0f", v) : snprintf(out, cap, "%s", text);
}

/* A scalar as the user would write it after KEY=; false for null, objects and lists. */
static bool scalar_text(const cJSON *v, char *out, size_t cap) {
    int n = -1;
    if (cJSON_IsString(v))
        n = snprintf(out, cap, "%s", v->valuestring);
    else if (cJSON_IsNumber(v))
        n = number_text(v->valuedouble, out, cap);
    else if (cJSON_IsBool(v))
        n = snprintf(out, cap, "%s", cJSON_IsTrue(v) ? "true" : "false");
    return n >= 0 && (size_t)n < cap;
}

bool pm_config_value_text(const cJSON *v, char *out, size_t cap) {
    if (!cJSON_IsArray(v)) return scalar_text(v, out, cap);
    size_t used = 0;
    out[0] = 0;
    for (const cJSON *x = v->child; x; x = x->next) {
        if (used + 2 > cap) return false;
        if (x != v->child) out[used++] = ',';
        if (!scalar_text(x, out + used, cap - used)) return false;
        used += strlen(out + used);
    }
    return true;
}

static pm_status add_pair(pairs *p, const char *key, const cJSON *v, pm_err *e) {
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->at[i].key, key) == 0) {
            pm_fail(e, PM_EUSAGE, "%s is set twice", key);
            return pm_hint(e, "train.steps and {\"train\": {\"steps\": ..}} are the same setting");
        }
    if (p->n == PAIRS_MAX) return pm_fail(e, PM_EUSAGE, "more than %d settings", PAIRS_MAX);
    pair *at = &p->at[p->n++];
    snprintf(at->key, sizeof at->key, "%s", key);
    if (pm_config_value_text(v, at->value, sizeof at->value)) return PM_OK;
    pm_fail(e, PM_EUSAGE, "%s: not a number, true, false, a short string or a list of these", key);
    return pm_hint(e, "leave the key out for its default");
}

/* Nested objects become dotted keys; method.name is the method itself, so that {"method": {"name": ..}} reads
 * well. */
static pm_status flatten(pairs *p, const char *prefix, const cJSON *object, pm_err *e) {
    for (const cJSON *v = object->child; v; v = v->next) {
        char key[96];
        int n = snprintf(key, sizeof key, "%s%s%s", prefix, *prefix ? "." : "", v->string);
        if (n < 0 || (size_t)n >= sizeof key) return pm_fail(e, PM_EUSAGE, "%.64s...: no such setting", key);
        bool name = strcmp(key, "method.name") == 0;
        pm_status st = cJSON_IsObject(v) ? flatten(p, key, v, e) : add_pair(p, name ? "method" : key, v, e);
        if (st != PM_OK) return st;
    }
    return PM_OK;
}

/* The method goes first: its settings need it. */
static pm_status apply(pm_config *c, const pairs *p, pm_err *e) {
    for (int others = 0; others < 2; others++)
        for (int i = 0; i < p->n; i++) {
            if ((strcmp(p->at[i].key, "method") != 0) != others) continue;
            pm_status st = pm_config_set(c, p->at[i].key, p->at[i].value, e);
            if (st != PM_OK) return st;
        }
    return PM_OK;
}

/* Names the file in a message that a setting caused. */
static void in_file(const char *path, pm_err *e) {
    char msg[sizeof e->msg];
    int room = (int)sizeof msg - 1 - (int)strnlen(path, 200) - 2;
    snprintf(msg, sizeof msg, "%.200s: %.*s", path, room, e->msg);
    memcpy(e->msg, msg, sizeof msg);
}

pm_status pm_config_apply(pm_config *c, const cJSON *settings, pm_err *e) {
    pairs p = {calloc(PAIRS_MAX, sizeof(pair)), 0};
    PM_ASSERT(p.at, "out of memory: %d settings", PAIRS_MAX);
    pm_status st = flatten(&p, "", settings, e);
    if (st == PM_OK) st = apply(c, &p, e);
    free(p.at);
    return st;
}

/* Takes the object, or the failure to get one. */
static pm_status apply_parsed(pm_config *c, cJSON *j, const char *from, pm_err *e) {
    if (!j) return e->code;
    pm_status st = pm_config_apply(c, j, e);
    if (st != PM_OK) in_file(from, e);
    cJSON_Delete(j);
    return st;
}

pm_status pm_config_load(pm_config *c, const char *path, pm_err *e) {
    pm_err unasked = {0};
    if (!e) e = &unasked;
    return apply_parsed(c, parse_file(path, e), path, e);
}

pm_status pm_config_load_text(pm_config *c, const char *text, const char *from, pm_err *e) {
    pm_err unasked = {0};
    if (!e) e = &unasked;
    return apply_parsed(c, parse_text(text, strlen(text), from, e), from, e);
}

/* tiny_facts, tiny-facts: as task names are looked up. */
static bool is_embedded(const char *task) {
    return strncmp(task, "tiny_", 5) == 0 || strncmp(task, "tiny-", 5) == 0;
}

bool pm_config_embedded(pm_config *c) {
    bool model = !*c->model && (!*c->task || is_embedded(c->task));
    if (model) snprintf(c->model, sizeof c->model, "tiny");
    bool task = !*c->task && strcmp(c->model, "tiny") == 0;
    if (task) snprintf(c->task, sizeof c->task, "tiny_facts");
    return model || task;
}

/* ---- rules across fields
 * ------------------------------------------------------------------------------------------------- */

static pm_status check_required(const pm_config *c, pm_err *e) {
    static const char *const key[] = {"model", "task", "method"};
    const char *const value[] = {c->model, c->task, c->method};
    for (int i = 0; i < 3; i++) {
        if (*value[i]) continue;
        pm_fail(e, PM_EUSAGE, "%s: not given", key[i]);
        return pm_hint(e, "--%s NAME; `peftmeter %ss` lists them", key[i], key[i]);
    }
    return PM_OK;
}

static pm_status check_length(const pm_config *c, pm_err *e) {
    if (c->train.steps == 0 && c->train.epochs <= 0) {
        pm_fail(e, PM_EUSAGE, "train.steps and train.epochs: both are 0, nothing would be trained");
        return pm_hint(e, "--set train.steps=100, or `peftmeter eval` for a model as it is");
    }
    if (c->train.steps && c->optim.warmup_steps > c->train.steps) {
        pm_fail(e, PM_EUSAGE, "optim.warmup_steps: %d is more than train.steps, %d", c->optim.warmup_steps,
                c->train.steps);
        return pm_hint(e, "the learning rate would never reach its peak");
    }
    return PM_OK;
}

static pm_status check_optim(const pm_config *c, pm_err *e) {
    const double beta[] = {c->optim.beta1, c->optim.beta2};
    for (int i = 0; i < 2; i++)
        if (beta[i] >= 1) {
            pm_fail(e, PM_EUSAGE, "optim.beta%d: %g must be below 1", i + 1, beta[i]);
            return pm_hint(e, "the moment would never move; torch's defaults are 0.9 and 0.999");
        }
    if (pm_config_lr(c) > 0) return PM_OK;
    pm_fail(e, PM_EUSAGE, "optim.lr: %s states no learning rate of its own", c->method);
    return pm_hint(e, "--set optim.lr=1e-4");
}

/* Test data is read once, at the end. */
static pm_status check_eval(const pm_config *c, pm_err *e) {
    if (!c->eval.every || (strcmp(c->eval.split, "test") != 0 && strcmp(c->eval.split, "none") != 0))
        return PM_OK;
    pm_fail(e, PM_EUSAGE, "eval.every: nothing may be scored during training with eval.split=%s",
            c->eval.split);
    return pm_hint(e, "eval.split=validation, or eval.every=0");
}

pm_status pm_config_check_method(const pm_config *c, pm_err *e) {
    char list[PM_FIELD_STR];
    unsigned mask;
    pm_status s = PM_OK;
    for (const pm_field *f = method_fields(c); f->key && !s; f++) {
        if (!pm_is_projections(f)) continue;
        pm_field_get(f, c->mcfg, list, sizeof list);
        s = pm_projections_parse(f->key, list, &mask, e);
    }
    return s;
}

pm_status pm_config_check(const pm_config *c, pm_err *e) {
    static pm_status (*const rule[])(const pm_config *, pm_err *) = {
        check_required, check_length, check_optim, check_eval, pm_config_check_method};
    for (size_t i = 0; i < sizeof rule / sizeof *rule; i++) {
        pm_status st = rule[i](c, e);
        if (st != PM_OK) return st;
    }
    return PM_OK;
}

double pm_config_lr(const pm_config *c) {
    return c->optim.lr > 0 || !c->m ? c->optim.lr : c->m->default_lr;
}

int pm_config_threads(const pm_config *c) {
    return c->threads ? c->threads : omp_get_max_threads();
}

/* ---- canonical JSON and the run key
 * -------------------------------------------------------------------------------------- */

typedef struct entry {
    char key[96];
    const pm_field *f;
    const void *cfg;
} entry;

static int by_key(const void *a, const void *b) {
    return strcmp(((const entry *)a)->key, ((const entry *)b)->key);
}

static int add_entries(entry *at, int n, const char *prefix, const pm_field *f, const void *cfg) {
    for (; f->key; f++, n++) {
        PM_ASSERT(n < PAIRS_MAX, "more than %d settings", PAIRS_MAX);
        snprintf(at[n].key, sizeof at[n].key, "%s%s", prefix, f->key);
        at[n].f = f, at[n].cfg = cfg;
    }
    return n;
}

static cJSON *value_json(const entry *at) {
    char text[PM_FIELD_STR];
    pm_field_get(at->f, at->cfg, text, sizeof text);
    bool quoted = at->f->type == PM_FIELD_STRING || at->f->type == PM_FIELD_ENUM;
    return quoted ? cJSON_CreateString(text) : cJSON_CreateRaw(text);
}

/* `used` is c with its zeros resolved. Caller deletes the object. */
static cJSON *canonical(const pm_config *c) {
    pm_config used = *c;
    used.optim.lr = pm_config_lr(c);
    used.threads = pm_config_threads(c);
    entry *at = calloc(PAIRS_MAX, sizeof *at);
    cJSON *j = cJSON_CreateObject();
    PM_ASSERT(at && j, "out of memory: %d settings", PAIRS_MAX);
    int n = add_entries(at, 0, "", pm_config_fields, &used);
    n = add_entries(at, n, "method.", method_fields(c), c->mcfg);
    qsort(at, (size_t)n, sizeof *at, by_key);
    for (int i = 0; i < n; i++) {
        bool added = cJSON_AddItemToObject(j, at[i].key, value_json(&at[i]));
        PM_ASSERT(added, "out of memory: setting %s", at[i].key);
    }
    free(at);
    return j;
}

static char *print_and_delete(cJSON *j) {
    char *text = cJSON_PrintUnformatted(j);
    PM_ASSERT(text, "out of memory: printing the settings");
    cJSON_Delete(j);
    return text;
}

cJSON *pm_config_object(const pm_config *c) {
    return canonical(c);
}

char *pm_config_json(const pm_config *c) {
    return print_and_delete(canonical(c));
}

void pm_run_key(const pm_config *c, const pm_run_facts *f, char hex[65]) {
    cJSON *j = canonical(c);
    cJSON_DeleteItemFromObject(j, "model");
    cJSON_DeleteItemFromObject(j, "task");
    cJSON_DeleteItemFromObject(j,
                               "eval.probe"); /* without one a run is what it was before there were probes */
    if (*f->probe_hash) cJSON_AddStringToObject(j, "run.probe_hash", f->probe_hash);
    bool ok = cJSON_AddStringToObject(j, "run.task", f->task) &&
              cJSON_AddNumberToObject(j, "run.task_version", f->task_version) &&
              cJSON_AddNumberToObject(j, "run.method_version", c->m ? c->m->version : 0) &&
              cJSON_AddStringToObject(j, "run.data_hash", f->data_hash) &&
              cJSON_AddStringToObject(j, "run.train_hash", f->train_hash) &&
              cJSON_AddStringToObject(j, "run.adapter_hash", f->adapter_hash) &&
              cJSON_AddStringToObject(j, "run.model_hash", f->model_hash);
    PM_ASSERT(ok, "out of memory: the run key");
    char *text = print_and_delete(j);
    pm_sha256_of(text, strlen(text), hex);
    free(text);
}
