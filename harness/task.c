/* task.c - a task's definition: found by name or path, read, and checked key by key before anything is fetched or trained on.
 *
 * {"name", "version", "title", "cite", "licence", "note", "kind": choice|classify|exact|lm|tokens,
 *  "data": {"train"|"validation"|"test": a file {"file", "url", "sha256", "format": json|jsonl|csv|tsv|txt|lines, "fields", "rows",
 *           "member", "labels"}, rows made by rule {"generator", "creatures", "seed", "count"} (task_generated.c), or a part of another split
 *           {"from", "mod", "rem", "after"} (task_split.c)},
 *  "duplicates": drop|refuse, "prompt", "answer", "eos", "choices", "labels": {"field", "values", "words"}, "extract",
 *  "extract_flexible", "max_new_tokens", "stop", "metrics", "cluster": a template: rows for which it is the same are about one thing}
 * Files lie at <data_dir>/<file>, else beside the definition.
 */
#include "cmd.h"
#include "field.h"
#include "task_priv.h"
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_CAP = 4096 };
static const char *const kinds[] = {"choice", "classify", "exact", "lm", "tokens"};
enum { N_KINDS = sizeof kinds / sizeof *kinds, DEFAULT_NEW_TOKENS = 256 };

const char *pm_task_kind_name(pm_task_kind k) {
    return kinds[k];
}

/* ---- checking ---- */

/* e gets "task FILE: why". */
__attribute__((format(printf, 3, 4))) static pm_status bad(const pm_task *t, pm_err *e, const char *fmt,
                                                           ...) {
    char why[256];
    va_list a;
    va_start(a, fmt);
    vsnprintf(why, sizeof why, fmt, a);
    va_end(a);
    pm_fail(e, PM_EFORMAT, "task %.250s: %s", t->path, why);
    return pm_hint(e, "docs/new-task.md says how a task is written; datasets/ has examples");
}

static const cJSON *get(const cJSON *o, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* A list of at least one element, all strings. */
static bool is_string_list(const cJSON *list) {
    if (!cJSON_IsArray(list) || !list->child) return false;
    for (const cJSON *c = list->child; c; c = c->next)
        if (!cJSON_IsString(c)) return false;
    return true;
}

static pm_status check_rule(const pm_task *t, const char *split, const cJSON *entry, pm_err *e) {
    static const char *const known[] = {"from", "mod", "rem", "after"};
    const char *from = pm_json_str(entry, "from", "");
    const cJSON *source = get(get(t->json, "data"), from), *rem = get(entry, "rem");
    int mod = pm_json_int(entry, "mod", 0);
    pm_status st = pm_json_known(entry, split, known, 4, e);
    if (st) return st;
    if (!source || get(source, "from"))
        return bad(t, e, "%s: \"from\" names no split with rows of its own", split);
    if (mod < 2) return bad(t, e, "%s: \"mod\" is not a whole number from 2", split);
    if (!cJSON_IsArray(rem) || !rem->child)
        return bad(t, e, "%s: \"rem\" is not a list of remainders", split);
    for (const cJSON *r = rem->child; r; r = r->next)
        if (!cJSON_IsNumber(r) || r->valuedouble < 0 || r->valuedouble >= mod ||
            r->valuedouble != (double)r->valueint)
            return bad(t, e, "%s: a remainder is not from 0 to %d", split, mod - 1);
    return get(entry, "after") && pm_json_int(entry, "after", -1) < 0
               ? bad(t, e, "%s: \"after\" is not a count", split)
               : PM_OK;
}

/* What has a url is fetched below the cache: its hash is known and its name stays inside. */
static pm_status check_source(const pm_task *t, const char *split, const cJSON *file, pm_err *e) {
    const char *name = pm_json_str(file, "file", ""), *url = pm_json_str(file, "url", NULL),
               *sha = pm_json_str(file, "sha256", NULL);
    if (!*name) return bad(t, e, "%s: \"file\" is empty", split);
    if (get(file, "sha256") && (!sha || !pm_is_sha256(sha)))
        return bad(t, e, "%s: \"sha256\" is not 64 hexadecimal digits", split);
    if (get(file, "url") && (!url || !sha))
        return bad(t, e, "%s: a file with a url needs its \"sha256\"", split);
    if (url && !pm_path_is_inside(name))
        return bad(t, e, "%s: a fetched file's name must stay below the data folder: \"%.80s\"", split, name);
    return PM_OK;
}

static pm_status check_file(const pm_task *t, const char *split, const cJSON *entry, pm_err *e) {
    static const char *const known[] = {"file",   "url",  "sha256", "format",
                                        "fields", "rows", "member", "labels"};
    static const char *const label_keys[] = {"file", "url", "sha256", "member"};
    const char *format = pm_json_str(entry, "format", t->kind == PM_TASK_TOKENS ? "jsonl" : ""),
               *rows = pm_json_str(entry, "rows", NULL);
    const cJSON *labels = get(entry, "labels"), *fields = get(entry, "fields");
    pm_status st = pm_json_known(entry, split, known, sizeof known / sizeof *known, e);
    if (!st) st = check_source(t, split, entry, e);
    if (!st && labels) st = pm_json_known(labels, "labels", label_keys, 4, e);
    if (!st && labels && get(labels, "file")) st = check_source(t, split, labels, e);
    if (st) return st;
    if (!pm_format_known(format))
        return bad(t, e, "%s: \"format\" is not json, jsonl, csv, tsv, txt or lines", split);
    if (rows && !pm_shape_known(rows)) return bad(t, e, "%s: unknown \"rows\": \"%.40s\"", split, rows);
    if (fields && !is_string_list(fields)) return bad(t, e, "%s: \"fields\" is not a list of names", split);
    if (!fields && strcmp(format, "lines") == 0) return bad(t, e, "%s: format lines needs \"fields\"", split);
    if (labels && !get(labels, "file") && !get(labels, "member"))
        return bad(t, e, "%s: \"labels\" names neither a file nor a member", split);
    return PM_OK;
}

static pm_status check_made(const pm_task *t, const char *split, const cJSON *entry, pm_err *e) {
    pm_err why = {0};
    return pm_generated_check(split, entry, &why) ? bad(t, e, "%s", why.msg) : PM_OK;
}

static pm_status check_data(const pm_task *t, pm_err *e) {
    const cJSON *data = get(t->json, "data");
    if (!cJSON_IsObject(data) || !data->child) return bad(t, e, "no \"data\"");
    pm_status st = pm_json_known(data, "data", pm_split_names, PM_N_SPLITS, e);
    for (const cJSON *c = data->child; c && !st; c = c->next) {
        if (!cJSON_IsObject(c)) return bad(t, e, "data.%s is not an object", c->string);
        bool rule = get(c, "from"), made = get(c, "generator");
        if ((rule || made) && t->kind == PM_TASK_TOKENS)
            return bad(t, e, "data.%s: token rows are split by file only", c->string);
        st = rule   ? check_rule(t, c->string, c, e)
             : made ? check_made(t, c->string, c, e)
                    : check_file(t, c->string, c, e);
    }
    return st;
}

static pm_status check_labels(const pm_task *t, pm_err *e) {
    static const char *const known[] = {"field", "values", "words"};
    const cJSON *labels = get(t->json, "labels"), *values = get(labels, "values"),
                *words = get(labels, "words");
    if (!cJSON_IsObject(labels)) return bad(t, e, "no \"labels\"");
    pm_status st = pm_json_known(labels, "labels", known, 3, e);
    if (st) return st;
    if (!pm_json_str(labels, "field", NULL)) return bad(t, e, "\"labels\" has no \"field\"");
    if (values && !is_string_list(values)) return bad(t, e, "labels.values is not a list of texts");
    if (t->kind != PM_TASK_CLASSIFY) return PM_OK;
    if (!is_string_list(words)) return bad(t, e, "labels.words is not a list of texts");
    if (values && cJSON_GetArraySize(values) != cJSON_GetArraySize(words))
        return bad(t, e, "labels.values and labels.words differ in length");
    return PM_OK;
}

static pm_status check_choice(const pm_task *t, pm_err *e) {
    const cJSON *choices = get(t->json, "choices");
    if (!pm_json_str(t->json, "answer", NULL)) return bad(t, e, "no \"answer\" template");
    if (t->kind == PM_TASK_CHOICE && !cJSON_IsString(choices) && !is_string_list(choices))
        return bad(t, e, "\"choices\" is neither a field's name nor a list of templates");
    return check_labels(t, e);
}

static pm_status check_exact(const pm_task *t, pm_err *e) {
    if (!pm_json_str(t->json, "answer", NULL)) return bad(t, e, "no \"answer\" template");
    if (!pm_extract_known(t->extract)) return bad(t, e, "unknown \"extract\": \"%s\"", t->extract);
    if (*t->extract_flexible && !pm_extract_known(t->extract_flexible))
        return bad(t, e, "unknown \"extract_flexible\": \"%s\"", t->extract_flexible);
    return t->max_new_tokens < 1 ? bad(t, e, "\"max_new_tokens\" is not a count from 1") : PM_OK;
}

static pm_status check_nothing(const pm_task *t, pm_err *e) {
    (void)t, (void)e;
    return PM_OK;
}

static pm_status check(const pm_task *t, pm_err *e) {
    static const char *const known[] = {
        "name",    "version",    "title",  "cite",    "licence",          "note",
        "kind",    "data",       "prompt", "answer",  "choices",          "labels",
        "metrics", "duplicates", "eos",    "extract", "extract_flexible", "max_new_tokens",
        "stop",    "cluster"};
    static pm_status (*const check_kind[N_KINDS])(const pm_task *, pm_err *) = {
        check_choice, check_choice, check_exact, check_nothing, check_nothing};
    pm_status st = pm_json_known(t->json, t->path, known, sizeof known / sizeof *known, e);
    const char *duplicates = pm_json_str(t->json, "duplicates", "refuse");
    if (!st) st = check_data(t, e);
    if (!st && strcmp(duplicates, "drop") != 0 && strcmp(duplicates, "refuse") != 0)
        st = bad(t, e, "\"duplicates\" is neither drop nor refuse");
    if (!st && t->kind != PM_TASK_TOKENS && !pm_json_str(t->json, "prompt", NULL))
        st = bad(t, e, "no \"prompt\" template");
    if (!st && get(t->json, "cluster") &&
        (!*pm_json_str(t->json, "cluster", "") || t->kind == PM_TASK_LM || t->kind == PM_TASK_TOKENS))
        st = bad(t, e, "\"cluster\" is not a template of a task with right and wrong items");
    return st ? st : check_kind[t->kind](t, e);
}

/* ---- finding and reading ---- */

pm_status pm_task_names(char ***names, int *n, pm_err *e) {
    char dir[PATH_CAP];
    pm_status st = pm_share_dir(dir, sizeof dir, e);
    if (st) return st;
    DIR *d = opendir(dir);
    if (!d) return pm_fail(e, PM_EIO, "open %s: %s", dir, strerror(errno));
    *names = NULL, *n = 0;
    for (struct dirent *f; (f = readdir(d));) {
        size_t len = strlen(f->d_name);
        if (f->d_name[0] == '.' || !pm_path_ends(f->d_name, ".json") || strcmp(f->d_name, "models.json") == 0)
            continue;
        *names = pm_xrealloc(*names, (size_t)(*n + 1) * sizeof **names);
        (*names)[(*n)++] = pm_xstrndup(f->d_name, len - 5);
    }
    closedir(d);
    if (*n) qsort(*names, (size_t)*n, sizeof **names, pm_by_text);
    return PM_OK;
}

void pm_task_names_free(char **names, int n) {
    for (int i = 0; i < n; i++) free(names[i]);
    free(names);
}

static pm_status no_such_task(const char *name, pm_err *e) {
    char **names;
    int n;
    pm_status st = pm_task_names(&names, &n, e);
    if (st) return st;
    const char *near = pm_nearest(name, (const char *const *)names, n);
    pm_fail(e, PM_EUSAGE, "task %.100s: no such task", name);
    if (near)
        pm_hint(e, "did you mean %s? `peftmeter tasks` lists them", near);
    else
        pm_hint(e, "`peftmeter tasks` lists them; a task of your own is a .json or .jsonl file");
    pm_task_names_free(names, n);
    return PM_EUSAGE;
}

/* A path as it is; a name becomes <share>/NAME.json, where ARC-Easy, arc-easy and arc_easy are one name. */
static pm_status find_definition(const char *name, char *path, size_t cap, pm_err *e) {
    char file[128], dir[PATH_CAP];
    if (strchr(name, '/') || pm_path_ends(name, ".json") || pm_path_ends(name, ".jsonl")) {
        if ((size_t)snprintf(path, cap, "%s", name) >= cap)
            return pm_fail(e, PM_EIO, "task path too long: %.300s", name);
        if (access(path, R_OK) == 0) return PM_OK;
        pm_fail(e, PM_EIO, "task %.300s: %s", name, strerror(errno));
        return pm_hint(e, "give an existing .json or .jsonl file, or a name from `peftmeter tasks`");
    }
    bool fits = (size_t)snprintf(file, sizeof file, "%s.json", name) < sizeof file;
    for (char *c = file; *c; c++) *c = *c == '-' ? '_' : *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    pm_status st = pm_share_dir(dir, sizeof dir, e);
    if (!st && fits) st = pm_path_join(path, cap, dir, file, e);
    if (st) return st;
    return fits && strcmp(name, "models") != 0 && access(path, R_OK) == 0 ? PM_OK : no_such_task(name, e);
}

/* A bare .jsonl is a tokens task whose train split it is. */
static void define_tokens(pm_task *t) {
    const char *base = strrchr(t->path, '/');
    base = base ? base + 1 : t->path;
    t->json = cJSON_CreateObject();
    cJSON_AddStringToObject(t->json, "name", base);
    cJSON_AddNumberToObject(t->json, "version", 1);
    cJSON_AddStringToObject(t->json, "kind", "tokens");
    cJSON *train = cJSON_AddObjectToObject(cJSON_AddObjectToObject(t->json, "data"), "train");
    cJSON_AddStringToObject(train, "file", base);
    cJSON_AddStringToObject(train, "format", "jsonl");
}

static void copy(char *out, size_t cap, const cJSON *json, const char *key, const char *def) {
    snprintf(out, cap, "%s", pm_json_str(json, key, def));
}

static pm_status read_head(pm_task *t, pm_err *e) {
    if (!cJSON_IsObject(t->json)) return bad(t, e, "not an object");
    const char *kind = pm_json_str(t->json, "kind", "");
    int k = 0;
    while (k < N_KINDS && strcmp(kinds[k], kind) != 0) k++;
    if (k == N_KINDS) return bad(t, e, "\"kind\" is not choice, classify, exact, lm or tokens");
    t->kind = (pm_task_kind)k;
    t->version = pm_json_int(t->json, "version", 0);
    t->max_new_tokens =
        pm_json_int(t->json, "max_new_tokens", get(t->json, "max_new_tokens") ? 0 : DEFAULT_NEW_TOKENS);
    copy(t->name, sizeof t->name, t->json, "name", "");
    copy(t->cite, sizeof t->cite, t->json, "cite", "");
    copy(t->licence, sizeof t->licence, t->json, "licence", "");
    copy(t->extract, sizeof t->extract, t->json, "extract", "line");
    copy(t->extract_flexible, sizeof t->extract_flexible, t->json, "extract_flexible", "");
    copy(t->stop, sizeof t->stop, t->json, "stop", "");
    if (!*t->name) return bad(t, e, "no \"name\"");
    return t->version < 1 ? bad(t, e, "\"version\" is not a whole number from 1") : PM_OK;
}

pm_status pm_task_open(const char *name_or_path, pm_task **out, pm_err *e) {
    pm_task *t = pm_xalloc(sizeof *t);
    pm_status st = find_definition(name_or_path, t->path, sizeof t->path, e);
    if (!st && pm_path_ends(t->path, ".jsonl"))
        define_tokens(t);
    else if (!st)
        st = pm_json_read(t->path, &t->json, e);
    if (!st) st = read_head(t, e);
    if (!st) st = check(t, e);
    if (st) pm_task_close(t), t = NULL;
    *out = t;
    return st;
}

void pm_task_close(pm_task *t) {
    if (!t) return;
    pm_task_forget_rows(t);
    cJSON_Delete(t->json);
    free(t);
}

static void add_task_file(const cJSON *entry, pm_task_file *out, int *n) {
    const char *file = pm_json_str(entry, "file", NULL);
    if (!file) return;
    for (int i = 0; i < *n; i++)
        if (strcmp(out[i].file, file) == 0) return;
    out[(*n)++] = (pm_task_file){file, pm_json_str(entry, "url", NULL), pm_json_str(entry, "sha256", NULL)};
}

int pm_task_files(const pm_task *t, pm_task_file out[PM_TASK_FILES_MAX]) {
    int n = 0;
    for (const cJSON *c = get(t->json, "data")->child; c; c = c->next) {
        add_task_file(c, out, &n);
        add_task_file(get(c, "labels"), out, &n);
    }
    return n;
}

/* ---- loading ---- */

static pm_status load_rows(pm_task *t, int split, const pm_tokenizer *tok, const pm_task_opts *o,
                           pm_split *out, pm_err *e) {
    if (!tok) return pm_fail(e, PM_EUSAGE, "task %s needs a tokenizer, and the model has none", t->name);
    pm_status st = pm_rows_assign(t, o->data_dir, e);
    out->n_dropped = t->dropped[split];
    return st ? st : pm_rows_tokenise(t, t->rows, split, tok, o, out, e);
}

void pm_task_forget_rows(pm_task *t) {
    if (t->rows) pm_rows_free(t->rows);
    free(t->rows);
    t->rows = NULL;
}

/* Ids of other splits' rows as keys, so that the one check for disjointness serves token rows too. */
static pm_status add_keys(const pm_task *t, int split, pm_rows *keys, const char *data_dir, pm_err *e) {
    const cJSON *entry = get(get(t->json, "data"), pm_split_names[split]);
    pm_task_opts all = {.data_dir = data_dir};
    pm_split s = {0};
    pm_status st = entry ? pm_tokens_read(t, entry, 0, &all, &s, e) : PM_OK;
    for (int i = 0; i < s.n; i++) {
        pm_rows_add(keys, NULL);
        pm_row *r = &keys->row[keys->n - 1];
        memcpy(r->hash, s.ex[i].id, sizeof s.ex[i].id);
        r->split = split, r->number = i + 1;
    }
    pm_split_free(&s);
    return st;
}

static pm_status load_tokens(const pm_task *t, int split, const pm_tokenizer *tok, const pm_task_opts *o,
                             pm_split *out, pm_err *e) {
    const cJSON *data = get(t->json, "data");
    pm_rows keys = {0};
    pm_status st = PM_OK;
    for (int s = 0; s < PM_N_SPLITS && !st && data->child->next; s++)
        st = add_keys(t, s, &keys, o->data_dir, e);
    if (!st) st = pm_rows_disjoint(t, &keys, e);
    pm_rows_free(&keys);
    return st ? st
              : pm_tokens_read(t, get(data, pm_split_names[split]), tok ? pm_tokenizer_vocab(tok) : 0, o, out,
                               e);
}

static bool test_locked;

void pm_test_lock(void) {
    test_locked = true;
}

bool pm_test_locked(void) {
    return test_locked;
}

static pm_status check_lock(const pm_task *t, const char *split, pm_err *e) {
    if (!test_locked || strcmp(split, pm_split_names[PM_TEST]) != 0) return PM_OK;
    pm_fail(e, PM_ELOCKED, "task %s: test data is locked while settings are chosen", t->name);
    return pm_hint(e, "choose by eval.split=validation; the chosen settings are tested once, afterwards");
}

bool pm_task_has(const pm_task *t, const char *split) {
    return pm_split_index(split) >= 0 && get(get(t->json, "data"), split);
}

pm_status pm_task_load(pm_task *t, const char *split, const pm_tokenizer *tok, const pm_task_opts *o,
                       pm_split *out, pm_err *e) {
    *out = (pm_split){0};
    pm_status locked = check_lock(t, split, e);
    if (locked) return locked;
    int s = pm_split_index(split);
    if (!pm_task_has(t, split)) {
        pm_fail(e, PM_EUSAGE, "task %s has no split \"%.60s\"", t->name, split);
        return s < 0 ? pm_hint(e, "splits are train, validation and test")
                     : pm_hint(e, "see `peftmeter tasks %s`", t->name);
    }
    char key[PM_COMMON_KEY];
    if (o->common) pm_split_key(t, split, o, key);
    if (o->common && pm_split_find(o->common, key, out)) return PM_OK;
    pm_status st =
        t->kind == PM_TASK_TOKENS ? load_tokens(t, s, tok, o, out, e) : load_rows(t, s, tok, o, out, e);
    if (st)
        pm_split_free(out);
    else
        pm_split_hash(out);
    if (o->common && st) o->common->drop(o->common);
    if (o->common && !st) pm_split_put(o->common, out);
    return st;
}
