/* adapter_config.c - adapter_config.json: which method, which settings.
 *
 * Writing: the method's constants (pm_method.peft), its fields that have a PEFT key, and what every PEFT file has.
 * Reading: the method is the one whose constants all match; its fields take their keys; every other key must be one that changes nothing
 * (a known harmless one, or one that is off). So a setting of PEFT that this program lacks (rank_pattern, modules_to_save, ...) is refused
 * by name and never ignored.
 */
#include "adapter_config.h"
#include "adapter.h"
#include "bytes.h"
#include "weights.h"
#include <cJSON.h>
#include <ctype.h>
#include <stdlib.h>

/* A method's constants as an object the caller deletes. PEFT does not know every method: then peft_type is its name in capitals. */
static cJSON *constants(const pm_method *m) {
    if (m->peft) {
        cJSON *j = cJSON_Parse(m->peft);
        PM_ASSERT(cJSON_IsObject(j), "method %s: its PEFT constants are not a JSON object", m->name);
        return j;
    }
    char name[64];
    size_t n = 0;
    for (; m->name[n] && n + 1 < sizeof name; n++) name[n] = (char)toupper((unsigned char)m->name[n]);
    name[n] = 0;
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "peft_type", name);
    return j;
}

/* ---- writing ---- */

static const char TARGETS[] = "target_modules";

static const pm_field *field_of(const pm_method *m, const char *peft_key) {
    for (const pm_field *f = m->fields; f->key; f++)
        if (f->peft && !strcmp(f->peft, peft_key)) return f;
    return NULL;
}

static unsigned modules_mask(const pm_field *f, const void *cfg) {
    char list[PM_FIELD_STR];
    unsigned mask = 0;
    pm_field_get(f, cfg, list, sizeof list);
    PM_ASSERT(pm_projections_parse(f->key, list, &mask, NULL) == PM_OK, "%s %s", f->key, list);
    return mask;
}

/* The list of names; PEFT refuses a module that is not a target too. */
static cJSON *modules_json(const pm_method *m, const pm_field *f, const void *cfg) {
    cJSON *j = cJSON_CreateArray();
    const pm_field *targets = field_of(m, TARGETS);
    unsigned mask = modules_mask(f, cfg) & (targets ? modules_mask(targets, cfg) : ~0u);
    for (int k = 0; k < PM_SITE_N_LINEAR; k++)
        if (mask >> k & 1) cJSON_AddItemToArray(j, cJSON_CreateString(pm_site_kind_name((pm_site_kind)k)));
    return j;
}

static cJSON *field_json(const pm_method *m, const pm_field *f, const void *cfg) {
    char text[PM_FIELD_STR];
    const char *at = (const char *)cfg + f->offset;
    if (pm_is_projections(f)) return modules_json(m, f, cfg);
    pm_field_get(f, cfg, text, sizeof text);
    switch (f->type) {
    case PM_FIELD_INT:
        return cJSON_CreateNumber(*(const int *)(const void *)at);
    case PM_FIELD_REAL:
        return cJSON_CreateNumber(*(const double *)(const void *)at);
    case PM_FIELD_BOOL:
        return cJSON_CreateBool(*(const bool *)at);
    default:
        return cJSON_CreateString(text);
    }
}

char *pm_adapter_config_text(const pm_method *m, const void *mcfg, const char *base_model_name) {
    cJSON *j = constants(m);
    for (const pm_field *f = m->fields; f->key; f++)
        if (f->peft) cJSON_AddItemToObject(j, f->peft, field_json(m, f, mcfg));
    cJSON_AddItemToObject(j, "base_model_name_or_path",
                          base_model_name ? cJSON_CreateString(base_model_name) : cJSON_CreateNull());
    cJSON_AddStringToObject(j, "task_type", "CAUSAL_LM");
    cJSON_AddBoolToObject(j, "inference_mode", true);
    char *text = cJSON_Print(j);
    cJSON_Delete(j);
    PM_ASSERT(text, "out of memory");
    return text;
}

/* ---- reading: which method ---- */

/* Off: absent, null, false, 0, "", "none", [] or {}. */
static bool is_off(const cJSON *j) {
    if (!j || cJSON_IsNull(j) || cJSON_IsFalse(j)) return true;
    if (cJSON_IsNumber(j)) return j->valuedouble == 0;
    if (cJSON_IsString(j)) return !*j->valuestring || !strcmp(j->valuestring, "none");
    return (cJSON_IsArray(j) || cJSON_IsObject(j)) && !j->child;
}

static const cJSON *get(const cJSON *o, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* The number of constants when all match j, 0 when one does not. */
static int match(const pm_method *m, const cJSON *j) {
    cJSON *want = constants(m);
    const cJSON *c;
    int n = 0;
    bool all = true;
    cJSON_ArrayForEach(c, want) {
        const cJSON *has = get(j, c->string);
        all = all && ((is_off(c) && is_off(has)) || cJSON_Compare(c, has, true));
        n++;
    }
    cJSON_Delete(want);
    return all ? n : 0;
}

/* "KEY = VALUE" of one entry, printable and short, for messages. */
static void show(const cJSON *j, char *out, size_t cap) {
    char *text = cJSON_PrintUnformatted(j);
    const char *key = pm_name_ok(j->string, strlen(j->string)) ? j->string : "?";
    const char *value = text && pm_name_ok(text, strnlen(text, 60)) ? text : "?";
    snprintf(out, cap, "%.60s = %.60s", key, value);
    cJSON_free(text);
}

static pm_status no_method(const cJSON *j, const char *path, pm_err *e) {
    const cJSON *type = get(j, "peft_type");
    if (!cJSON_IsString(type)) return pm_damaged(e, path, "peft_type is missing");
    char line[160], dora[160] = "";
    show(type, line, sizeof line);
    if (!is_off(get(j, "use_dora"))) show(get(j, "use_dora"), dora, sizeof dora);
    pm_fail(e, PM_EUNSUPPORTED, "%.200s: no method here for %s%s%s", path, line, *dora ? " with " : "", dora);
    return pm_hint(e, "`peftmeter methods` lists the methods");
}

static const pm_method *find_method(const cJSON *j) {
    const pm_method *best = NULL;
    int most = 0;
    for (const pm_method *const *m = pm_methods; *m; m++) {
        int n = match(*m, j);
        if (n > most) most = n, best = *m;
    }
    return best;
}

/* ---- reading: keys that are not fields ---- */

/* Keys that change nothing, and the values they may have, as JSON, between bars; NULL: any. */
static const struct {
    const char *key, *values;
} HARMLESS[] = {
    {"auto_mapping", NULL},
    {"base_model_name_or_path", NULL},
    {"inference_mode", NULL},
    {"megatron_core", NULL},
    {"peft_version", NULL},
    {"qalora_group_size", NULL},
    {"revision", NULL},
    {"runtime_config", NULL},
    {"task_type", "|\"CAUSAL_LM\"|"},
    {"init_ia3_weights", NULL},
    {"init_lora_weights",
     "|true|\"gaussian\"|\"eva\"|\"orthogonal\"|"}, /* the others change the base weights */
};

static bool is_harmless(const cJSON *j) {
    for (size_t i = 0; i < sizeof HARMLESS / sizeof *HARMLESS; i++) {
        if (strcmp(HARMLESS[i].key, j->string) != 0) continue;
        char *text = cJSON_PrintUnformatted(j), quoted[64];
        snprintf(quoted, sizeof quoted, "|%.60s|", text ? text : "");
        bool ok = !HARMLESS[i].values || strstr(HARMLESS[i].values, quoted);
        cJSON_free(text);
        return ok;
    }
    return false;
}

static pm_status refuse_unknown(const cJSON *j, const pm_method *m, const char *path, pm_err *e) {
    cJSON *want = constants(m);
    const cJSON *k, *bad = NULL;
    cJSON_ArrayForEach(k, j) {
        bool known = is_off(k) || get(want, k->string) || field_of(m, k->string) || is_harmless(k);
        if (!known && !bad) bad = k;
    }
    cJSON_Delete(want);
    if (!bad) return PM_OK;
    char line[160];
    show(bad, line, sizeof line);
    pm_fail(e, PM_EUNSUPPORTED, "%.200s: %s: method %s does not honour this setting", path, line, m->name);
    return pm_hint(e, "retrain or merge the adapter without it");
}

/* ---- reading: fields ---- */

/* The projections of a set in the program's order, so that one set has one spelling; the whole set is `all`, no set `none`. */
static void mask_text(unsigned mask, char *out, size_t cap) {
    size_t n = (size_t)snprintf(out, cap, "%s", mask ? "" : "none");
    for (int k = 0; k < PM_SITE_N_LINEAR; k++)
        if (mask >> k & 1)
            n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? "," : "", pm_site_kind_name((pm_site_kind)k));
    if (mask == (1u << PM_SITE_N_LINEAR) - 1) snprintf(out, cap, "all");
}

/* A list of plain projection names as a set; false when it holds anything else (a path, a pattern). */
static bool plain_modules(const cJSON *j, unsigned *mask) {
    const cJSON *item;
    *mask = 0;
    cJSON_ArrayForEach(item, j) {
        const char *name = cJSON_GetStringValue(item);
        unsigned one = 0;
        if (!name || strchr(name, ',') || !strcmp(name, "all") || pm_targets_parse(name, &one, NULL))
            return false;
        *mask |= one;
    }
    return cJSON_IsArray(j);
}

static bool is_stored(const pm_safetensors *st, const char *part) {
    for (int i = 0; i < pm_safetensors_count(st); i++)
        if (strstr(pm_safetensors_at(st, i)->name, part)) return true;
    return false;
}

/* The projections that occur in the tensors' names: what a pattern or a list of paths selected when the adapter
 * was made. Which layers it selected is checked by pm_adapter_load, tensor by tensor. */
static pm_status stored_targets(const char *dir, unsigned *mask, pm_err *e) {
    char path[4096], part[32];
    pm_safetensors *st;
    if (snprintf(path, sizeof path, "%s/" PM_ADAPTER_TENSORS, dir) >= (int)sizeof path)
        return pm_fail(e, PM_EIO, "%.200s...: the path is too long", dir);
    pm_status s = pm_safetensors_open(path, &st, e);
    if (s) return s;
    *mask = 0;
    for (int k = 0; k < PM_SITE_N_LINEAR; k++) {
        snprintf(part, sizeof part, ".%s.", pm_site_kind_name((pm_site_kind)k));
        if (is_stored(st, part)) *mask |= 1u << k;
    }
    pm_safetensors_close(st);
    return *mask ? PM_OK : pm_damaged(e, path, "no tensor belongs to a projection");
}

static pm_status modules_text(const pm_field *f, const cJSON *j, const char *dir, char *out, size_t cap,
                              pm_err *e) {
    const char *word = cJSON_GetStringValue(j);
    unsigned mask;
    bool plain = plain_modules(j, &mask), is_target = !strcmp(f->peft, TARGETS);
    if (word && !strcmp(word, "all-linear")) plain = true, mask = (1u << PM_SITE_N_LINEAR) - 1;
    if (!plain && !is_target) {
        pm_fail(e, PM_EUNSUPPORTED, "%.200s/" PM_ADAPTER_CONFIG ": %s is no list of projections", dir,
                f->peft);
        return pm_hint(e, "write the projections that it means: [\"down_proj\"]");
    }
    pm_status s = is_target && !(plain && mask) ? stored_targets(dir, &mask, e) : PM_OK;
    if (!s) mask_text(mask, out, cap);
    return s;
}

/* A field's value as a user would write it. */
static pm_status value_text(const pm_field *f, const cJSON *j, const char *dir, char *out, size_t cap,
                            pm_err *e) {
    if (pm_is_projections(f)) return modules_text(f, j, dir, out, cap, e);
    const char *s = cJSON_GetStringValue(j);
    char *text = s ? NULL : cJSON_PrintUnformatted(j);
    snprintf(out, cap, "%.500s", s ? s : text ? text : "");
    cJSON_free(text);
    return PM_OK;
}

static bool default_is_off(const pm_field *f) {
    return !strcmp(f->def, "false") || !strcmp(f->def, "0") || !*f->def;
}

static pm_status set_field(const pm_method *m, const pm_field *f, const cJSON *j, const char *dir,
                           const char *path, void *cfg, pm_err *e) {
    if (!j || cJSON_IsNull(j)) /* PEFT's default is not ours, unless both are "off" */
        return default_is_off(f) ? PM_OK : pm_damaged(e, path, "%s is missing", f->peft);
    char text[PM_FIELD_STR];
    pm_err why = {0};
    pm_status s = value_text(f, j, dir, text, sizeof text, e);
    if (s) return s;
    if (!pm_name_ok(text, strlen(text)))
        return pm_damaged(e, path, "%s is empty, too long or not printable", f->peft);
    if (!pm_field_set(m->fields, cfg, "", f->key, text, &why)) return PM_OK;
    return pm_damaged(e, path, "%s: %.200s", f->peft, why.msg);
}

static pm_status read_object(const cJSON *j, const char *dir, const char *path, const pm_method **m,
                             void **mcfg, pm_err *e) {
    *m = find_method(j);
    if (!*m) return no_method(j, path, e);
    pm_status s = refuse_unknown(j, *m, path, e);
    if (s) return s;
    void *cfg = pm_xcalloc(1, (*m)->cfg_size + 1);
    pm_fields_defaults((*m)->fields, cfg);
    for (const pm_field *f = (*m)->fields; f->key && !s; f++)
        if (f->peft) s = set_field(*m, f, get(j, f->peft), dir, path, cfg, e);
    if (s)
        free(cfg);
    else
        *mcfg = cfg;
    return s;
}

pm_status pm_adapter_config_read(const char *dir, const pm_method **m, void **mcfg, pm_err *e) {
    char path[4096];
    pm_map map;
    *m = NULL;
    *mcfg = NULL;
    if (snprintf(path, sizeof path, "%s/" PM_ADAPTER_CONFIG, dir) >= (int)sizeof path)
        return pm_fail(e, PM_EIO, "%.200s...: the path is too long", dir);
    pm_status s = pm_map_open(path, &map, e);
    if (s == PM_EIO)
        return pm_hint(e, "an adapter is a directory with adapter_config.json and adapter_model.safetensors");
    if (s) return s;
    cJSON *j = cJSON_ParseWithLength((const char *)map.p, map.n_bytes);
    pm_map_close(&map);
    s = cJSON_IsObject(j) ? read_object(j, dir, path, m, mcfg, e) : pm_damaged(e, path, "not a JSON object");
    cJSON_Delete(j);
    return s;
}
