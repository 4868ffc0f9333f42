/* speed_works.c - the declared suite's runs as works (speed_works.h). */
#include "speed_works.h"
#include "cmd.h"
#include "jsonio.h"
#include "sweep.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>

enum { PATH_CAP = 4096 };
#define STEPS 1000 /* more than any comparison asks for */

static void add_all(cJSON *to, const cJSON *from) {
    for (const cJSON *o = from ? from->child : NULL; o; o = o->next) {
        cJSON_DeleteItemFromObjectCaseSensitive(to, o->string);
        cJSON_AddItemToObject(to, o->string, cJSON_Duplicate(o, true));
    }
}

static const char *settings_of(const pm_sweep *s, const pm_entry *entry, pm_arena *keep) {
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "model", s->models[0]);
    cJSON_AddStringToObject(j, "task", s->tasks[0]);
    cJSON_AddStringToObject(j, "method", entry->method->name);
    add_all(j, s->settings);
    add_all(j, entry->settings);
    cJSON_DeleteItemFromObjectCaseSensitive(j, "train.steps");
    cJSON_DeleteItemFromObjectCaseSensitive(j, "train.epochs");
    cJSON_DeleteItemFromObjectCaseSensitive(j, "threads");
    cJSON_DeleteItemFromObjectCaseSensitive(j, "eval.split");
    cJSON_AddNumberToObject(j, "train.steps", STEPS);
    cJSON_AddNumberToObject(j, "threads", 1);
    cJSON_AddStringToObject(j, "eval.split", "none");
    char *text = cJSON_PrintUnformatted(j);
    const char *out = pm_arena_strdup(keep, text);
    free(text);
    cJSON_Delete(j);
    return out;
}

pm_status pm_works_load(const char *suite, pm_works *out, pm_err *e) {
    char root[PATH_CAP], path[PATH_CAP];
    pm_sweep s = {0};
    *out = (pm_works){.keep = NULL};
    pm_status rc = suite ? PM_OK : pm_root_dir(root, sizeof root, e);
    if (!rc && !suite) rc = pm_path_join(path, sizeof path, root, "results/suite.json", e);
    if (!rc) rc = pm_sweep_load(suite ? suite : path, &s, e);
    if (rc) return rc;
    out->keep = pm_arena_new("works", 0);
    out->work = pm_arena_alloc(out->keep, ((size_t)s.n_entries + 1) * sizeof *out->work, PM_MEM_WORKSPACE);
    out->work[out->n++] = (pm_work){"kernels", "kernels"};
    for (int i = 0; i < s.n_entries; i++)
        if (s.entries[i].method)
            out->work[out->n++] = (pm_work){pm_arena_strdup(out->keep, s.entries[i].label),
                                            settings_of(&s, &s.entries[i], out->keep)};
    pm_sweep_free(&s);
    return PM_OK;
}

void pm_works_free(pm_works *w) {
    if (w->keep) pm_arena_free(w->keep);
    *w = (pm_works){.keep = NULL};
}
