/* regress_baseline.c - the reviewed numbers of a suite, as a file that people read in diffs: a line a number, and a list of why they changed.
 *
 *   {"changes": [{"date", "commit", "reason", "changed": [{"run", "counter", "from", "to"}, ..]}, ..],
 *    "runs": [{"label", "method", "task", "seed", hashes, "host", "bits", "settings": {..}, "counters": {..}}, ..]}
 *
 * Numbers are texts in "changed", for bits are no numbers; null: there was none.
 */
#include "jsonio.h"
#include "regress_recorded.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

static pm_status damaged(const char *path, const char *what, pm_err *e) {
    pm_fail(e, PM_EFORMAT, "%s: %s", path, what);
    return pm_hint(
        e,
        "restore the file, or write it anew: peftmeter regress --baseline FILE --head REF --accept REASON");
}

static pm_status take_facts(const cJSON *counters, pm_recorded *r, const char *path, pm_err *e) {
    for (const cJSON *c = counters ? counters->child : NULL; c; c = c->next) {
        if (!cJSON_IsNumber(c) || fabs(c->valuedouble) > 9007199254740992.0 ||
            floor(c->valuedouble) != c->valuedouble)
            return damaged(path, "a counter is not an exact number", e);
        r->fact = pm_xrealloc(r->fact, (size_t)(r->n_facts + 1) * sizeof *r->fact);
        r->fact[r->n_facts] = (pm_fact){c->string, (int64_t)c->valuedouble};
        if (r->n_facts && strcmp(r->fact[r->n_facts - 1].name, c->string) >= 0) {
            r->n_facts++;
            return damaged(path, "counters do not ascend by name", e);
        }
        r->n_facts++;
    }
    return PM_OK;
}

static pm_status take_run(const cJSON *j, pm_run_set *s, const char *path, pm_err *e) {
    pm_recorded r = {.label = pm_json_str(j, "label", ""),
                     .method = pm_json_str(j, "method", ""),
                     .task = pm_json_str(j, "task", ""),
                     .seed = pm_json_int(j, "seed", 0),
                     .status = "ok",
                     .error = "",
                     .started = "",
                     .model_hash = pm_json_str(j, "model_hash", ""),
                     .data_hash = pm_json_str(j, "data_hash", ""),
                     .train_hash = pm_json_str(j, "train_hash", ""),
                     .adapter_hash = pm_json_str(j, "adapter_hash", ""),
                     .commit = "",
                     .host = pm_json_str(j, "host", ""),
                     .dirty = -1,
                     .settings = cJSON_GetObjectItemCaseSensitive(j, "settings"),
                     .split = "",
                     .metric = "",
                     .score = (double)NAN};
    if (!*r.label || !*r.method || !cJSON_IsObject(r.settings))
        return damaged(path, "a run says no label, method or settings", e);
    snprintf(r.bits, sizeof r.bits, "%s", pm_json_str(j, "bits", ""));
    pm_status x = take_facts(cJSON_GetObjectItemCaseSensitive(j, "counters"), &r, path, e);
    r.name = r.label;
    s->run = pm_xrealloc(s->run, (size_t)(s->n + 1) * sizeof *s->run);
    s->run[s->n++] = r;
    return x;
}

pm_status pm_baseline_read(const char *path, bool may_lack, pm_baseline *out, pm_err *e) {
    *out = (pm_baseline){.set = {.keep = pm_arena_new("baseline", 0)}};
    out->set.name = pm_arena_strdup(out->set.keep, path);
    if (may_lack && access(path, F_OK) != 0 && errno == ENOENT) return PM_OK;
    pm_status x = pm_json_read(path, &out->json, e);
    const cJSON *runs = cJSON_GetObjectItemCaseSensitive(out->json, "runs");
    if (x == PM_OK &&
        (!cJSON_IsArray(runs) || !cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(out->json, "changes"))))
        x = damaged(path, "it has no list of runs, or of changes", e);
    for (const cJSON *j = x == PM_OK ? runs->child : NULL; j && x == PM_OK; j = j->next)
        x = take_run(j, &out->set, path, e);
    if (x == PM_OK) pm_run_set_finish(&out->set);
    return x;
}

void pm_baseline_free(pm_baseline *b) {
    pm_run_set_close(&b->set);
    cJSON_Delete(b->json);
    *b = (pm_baseline){0};
}

/* ---- reasons ------------------------------------------------------------------------------------------------------------- */

static const cJSON *changes_of(const pm_baseline *b) {
    return cJSON_GetObjectItemCaseSensitive(b->json, "changes");
}

/* The file's value of a counter, as a text; "" when it has none. */
static const char *reviewed_value(const pm_baseline *b, const pm_recorded *run, const char *counter,
                                  char text[24]) {
    for (int i = 0; i < b->set.n; i++) {
        const pm_recorded *r = &b->set.run[i];
        if (!pm_answers(r, run, NULL)) continue;
        if (strcmp(counter, "bits") == 0) return r->bits;
        for (int k = 0; k < r->n_facts; k++)
            if (strcmp(r->fact[k].name, counter) == 0)
                return snprintf(text, 24, "%lld", (long long)r->fact[k].value), text;
    }
    return "";
}

/* Whether an entry of "changes" changed this number. */
static bool changed_it(const cJSON *entry, const char *run, const char *counter) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(entry, "changed");
    for (const cJSON *x = list ? list->child : NULL; x; x = x->next)
        if (strcmp(pm_json_str(x, "run", ""), run) == 0 &&
            strcmp(pm_json_str(x, "counter", ""), counter) == 0)
            return true;
    return false;
}

/* A number that no entry names stands there since the first one. */
const char *pm_baseline_reason(const pm_baseline *b, const pm_recorded *run, const char *counter,
                               const char *value) {
    char text[24];
    const cJSON *entry = b->json ? changes_of(b)->child : NULL;
    const char *reason = entry ? pm_json_str(entry, "reason", NULL) : NULL;
    if (strcmp(reviewed_value(b, run, counter, text), value) != 0) return NULL;
    for (; entry; entry = entry->next)
        if (changed_it(entry, run->name, counter)) reason = pm_json_str(entry, "reason", reason);
    return reason;
}

const char *pm_baseline_last(const pm_baseline *b, pm_arena *keep) {
    const cJSON *list = b->json ? changes_of(b) : NULL;
    const cJSON *last = list ? cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1) : NULL;
    if (!last) return NULL;
    return pm_arena_printf(keep, "on %.10s at commit %.40s: %s", pm_json_str(last, "date", "?"),
                           pm_json_str(last, "commit", "?"), pm_json_str(last, "reason", "?"));
}

/* ---- writing ------------------------------------------------------------------------------------------------------------- */

static void add_change(cJSON *list, const char *run, const char *counter, const char *from, const char *to) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "run", run);
    cJSON_AddStringToObject(o, "counter", counter);
    *from ? cJSON_AddStringToObject(o, "from", from) : cJSON_AddNullToObject(o, "from");
    *to ? cJSON_AddStringToObject(o, "to", to) : cJSON_AddNullToObject(o, "to");
    cJSON_AddItemToArray(list, o);
}

static const pm_recorded *like(const pm_recorded *run, const pm_run_set *s) {
    for (int i = 0; i < s->n; i++)
        if (pm_answers(&s->run[i], run, NULL)) return &s->run[i];
    return NULL;
}

/* Numbers of `run` that the file has otherwise, or not. */
static void list_changed(const pm_baseline *old, const pm_recorded *run, cJSON *list) {
    char was[24], now[24];
    for (int k = 0; k < run->n_facts; k++) {
        const char *before = reviewed_value(old, run, run->fact[k].name, was);
        snprintf(now, sizeof now, "%lld", (long long)run->fact[k].value);
        if (strcmp(before, now) != 0) add_change(list, run->name, run->fact[k].name, before, now);
    }
    const char *bits = reviewed_value(old, run, "bits", was);
    if (strcmp(bits, run->bits) != 0) add_change(list, run->name, "bits", bits, run->bits);
}

static cJSON *what_changed(const pm_baseline *old, const pm_run_set *head) {
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < head->n; i++)
        if (like(&head->run[i], &old->set))
            list_changed(old, &head->run[i], list);
        else if (old->json)
            add_change(list, head->run[i].name, "run", "", "added");
    for (int i = 0; i < old->set.n; i++)
        if (!like(&old->set.run[i], head)) add_change(list, old->set.run[i].name, "run", "there", "");
    return list;
}

static cJSON *entry_of(const pm_run_set *head, const char *reason, cJSON *changed) {
    char date[16] = "", commit[80];
    PM_ASSERT(head->n > 0, "a set without runs");
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc)) strftime(date, sizeof date, "%Y-%m-%d", &utc);
    snprintf(commit, sizeof commit, "%.40s%s", head->run[0].commit,
             head->n_dirty ? " with local changes" : "");
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "date", date);
    cJSON_AddStringToObject(o, "commit", commit);
    cJSON_AddStringToObject(o, "reason", reason);
    cJSON_AddItemToObject(o, "changed", changed);
    return o;
}

/* `text` and what the object is, on one line; the object goes. */
static void put_line(pm_buf *b, const char *text, cJSON *j, const char *end) {
    char *s = cJSON_PrintUnformatted(j);
    PM_ASSERT(s, "out of memory: printing JSON");
    pm_buf_printf(b, "%s%s%s", text, s, end);
    free(s);
    cJSON_Delete(j);
}

/* The entry's numbers on a line each. */
static void put_entry(pm_buf *b, cJSON *entry) {
    cJSON *changed = cJSON_DetachItemFromObjectCaseSensitive(entry, "changed");
    char *s = cJSON_PrintUnformatted(entry);
    PM_ASSERT(s, "out of memory: printing JSON");
    pm_buf_printf(b, "    %.*s,\"changed\":[", (int)strlen(s) - 1, s);
    free(s);
    for (const cJSON *x = changed ? changed->child : NULL; x; x = x->next)
        put_line(b, x == changed->child ? "\n      " : ",\n      ", cJSON_Duplicate(x, true), "");
    pm_buf_puts(b, "]}");
    cJSON_Delete(changed);
}

static void put_run(pm_buf *b, const pm_recorded *r) {
    const struct {
        const char *key, *value;
    } text[] = {{"label", r->label},
                {"method", r->method},
                {"task", r->task},
                {"model_hash", r->model_hash},
                {"data_hash", r->data_hash},
                {"train_hash", r->train_hash},
                {"adapter_hash", r->adapter_hash},
                {"host", r->host},
                {"bits", r->bits}};
    pm_buf_printf(b, "    {\"seed\": %lld", (long long)r->seed);
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        pm_buf_printf(b, ",%s\"%s\": ", i < 3 ? " " : "\n     ", text[i].key);
        put_line(b, "", cJSON_CreateString(text[i].value), "");
    }
    put_line(b, ",\n     \"settings\": ", cJSON_Duplicate(r->settings, true), "");
    pm_buf_puts(b, ",\n     \"counters\": {");
    for (int k = 0; k < r->n_facts; k++)
        pm_buf_printf(b, "%s\n      \"%s\": %lld", k ? "," : "", r->fact[k].name,
                      (long long)r->fact[k].value);
    pm_buf_puts(b, "}}");
}

static void put_file(pm_buf *b, const pm_baseline *old, cJSON *entry, const pm_run_set *head) {
    pm_buf_puts(b, "{\n  \"changes\": [\n");
    for (const cJSON *c = old->json ? changes_of(old)->child : NULL; c; c = c->next) {
        cJSON *copy = cJSON_Duplicate(c, true);
        put_entry(b, copy);
        pm_buf_puts(b, ",\n");
        cJSON_Delete(copy);
    }
    put_entry(b, entry);
    pm_buf_puts(b, "],\n  \"runs\": [\n");
    for (int i = 0; i < head->n; i++) {
        if (i) pm_buf_puts(b, ",\n");
        put_run(b, &head->run[i]);
    }
    pm_buf_puts(b, "]\n}\n");
}

static pm_status write_whole(const char *path, const pm_buf *b, pm_err *e) {
    char temp[4096];
    snprintf(temp, sizeof temp, "%.4000s.new", path);
    FILE *f = fopen(temp, "w");
    bool ok = f && fwrite(b->p, 1, b->n, f) == b->n;
    if (f && fclose(f) != 0) ok = false;
    if (ok && rename(temp, path) == 0) return PM_OK;
    pm_fail(e, PM_EIO, "%s: write: %s", path, strerror(errno));
    remove(temp);
    return pm_hint(e, "check that the folder exists and has room, or name another file with --baseline");
}

static pm_status acceptable(const pm_run_set *head, const char *reason, pm_err *e) {
    if (!reason[strspn(reason, " \t\n")]) {
        pm_fail(e, PM_EUSAGE, "regress: --accept: a change of the baseline needs a reason");
        return pm_hint(e, "--accept \"why the numbers changed, and why that is right\"");
    }
    for (int i = 0; i < head->n; i++)
        if (strcmp(head->run[i].status, "ok") != 0) {
            pm_fail(e, PM_EUSAGE, "regress: --accept: %s is %s", head->run[i].name, head->run[i].status);
            return pm_hint(e, "the same sweep does it again; only runs that are ok can be a baseline");
        }
    return PM_OK;
}

pm_status pm_baseline_accept(const pm_baseline *old, const pm_run_set *head, const char *path,
                             const char *reason, int *n, pm_err *e) {
    pm_status x = acceptable(head, reason, e);
    if (x != PM_OK) return x;
    cJSON *changed = what_changed(old, head), *entry = entry_of(head, reason, changed);
    *n = cJSON_GetArraySize(changed);
    pm_buf b = {0};
    if (*n || !old->json) {
        put_file(&b, old, entry, head);
        x = write_whole(path, &b, e);
    }
    cJSON_Delete(entry);
    pm_buf_free(&b);
    return x;
}
