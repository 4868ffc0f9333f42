/* resolve.c - what a model's name means: a catalogue entry, a folder or a .gguf file. */
#include "catalogue.h"
#include "cmd.h"
#include "text.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Anything with a slash, a .gguf ending, or that exists here is meant as a path. */
static bool looks_like_path(const char *name) {
    return strchr(name, '/') || pm_path_ends(name, ".gguf");
}

static pm_status resolve_path(const char *name, char *path, size_t cap, pm_err *e) {
    struct stat s;
    if (stat(name, &s)) {
        pm_fail(e, PM_EIO, "model %s: %s", name, strerror(errno));
        return pm_hint(e, "give a model folder, a .gguf file or a name from `peftmeter models`");
    }
    if (!S_ISDIR(s.st_mode) && !pm_path_ends(name, ".gguf")) {
        pm_fail(e, PM_EUSAGE, "model %s: neither a folder nor a .gguf file", name);
        return pm_hint(
            e, "give the folder that holds config.json, a .gguf file or a name from `peftmeter models`");
    }
    if ((size_t)snprintf(path, cap, "%s", name) >= cap)
        return pm_fail(e, PM_EIO, "model path too long: %.300s", name);
    return PM_OK;
}

static pm_status resolve_name(const cJSON *catalogue, const char *name, char *path, size_t cap, pm_err *e) {
    const cJSON *model;
    pm_status st = pm_catalogue_find(catalogue, name, &model, e);
    if (!st) st = pm_catalogue_path(model, path, cap, e);
    if (st || access(path, R_OK) == 0) return st;
    if (pm_catalogue_shipped(model)) {
        pm_fail(e, PM_EIO, "model %s: %s: %s", name, path, strerror(errno));
        return pm_hint(e, "it comes with peftmeter's sources: set PEFTMETER_HOME to their folder");
    }
    pm_fail(e, PM_EIO, "model %s is not fetched yet (%s)", name, path);
    return pm_hint(e, "peftmeter models fetch %s", name);
}

pm_status pm_model_resolve(const char *name, char *path, size_t cap, pm_err *e) {
    struct stat s;
    if (!*name)
        return pm_fail(e, PM_EUSAGE, "no model given"),
               pm_hint(e, "--model DIR, FILE.gguf or a name from `peftmeter models`");
    if (looks_like_path(name)) return resolve_path(name, path, cap, e);
    cJSON *catalogue;
    pm_status st = pm_catalogue_load(&catalogue, e);
    if (!st) st = resolve_name(catalogue, name, path, cap, e), cJSON_Delete(catalogue);
    if (st == PM_EUSAGE && stat(name, &s) == 0)
        return resolve_path(name, path, cap, e); /* a folder here that is no catalogue name */
    return st;
}
