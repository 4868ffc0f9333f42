/* cmd_data.c - the files behind the tasks: fetched into the cache, checked against the manifest, listed. */
#include "cmd.h"
#include "fetch.h"
#include "jsonio.h"
#include "task.h"
#include "text.h"
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { PATH_CAP = 4096 };

typedef struct work {
    const char *verb, *mirror;
    char data_dir[PATH_CAP];
    cJSON *out;    /* with --json: a list */
    bool complete; /* tasks were named: a missing file is a failure of verify */
    int n_damaged, n_missing;
} work;

static void report(work *w, const pm_task *t, const pm_task_file *f, const char *path, const char *state) {
    if (!w->out) {
        if (!pm_global.quiet || strcmp(state, "ok") != 0) printf("%-16s %-44s %s\n", t->name, f->file, state);
        return;
    }
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "task", t->name);
    cJSON_AddStringToObject(j, "file", f->file);
    cJSON_AddStringToObject(j, "url", f->url ? f->url : "");
    cJSON_AddStringToObject(j, "sha256", f->sha256 ? f->sha256 : "");
    cJSON_AddStringToObject(j, "path", path);
    cJSON_AddStringToObject(j, "state", state);
    cJSON_AddItemToArray(w->out, j);
}

static pm_status fetch_file(work *w, const pm_task *t, const pm_task_file *f, const char *path, pm_err *e) {
    pm_status st = pm_fetch(f->url, f->sha256, w->mirror, f->file, path, e);
    if (!st) report(w, t, f, path, "ok");
    return st;
}

static pm_status verify_file(work *w, const pm_task *t, const pm_task_file *f, const char *path, pm_err *e) {
    char hex[65];
    pm_status st = PM_OK;
    if (access(path, F_OK)) {
        w->n_missing++;
        report(w, t, f, path, "missing");
    } else if (!(st = pm_file_sha256(path, hex, e))) {
        bool good = strcasecmp(hex, f->sha256) == 0;
        w->n_damaged += !good;
        report(w, t, f, path, good ? "ok" : "damaged");
    }
    return st;
}

static pm_status list_file(work *w, const pm_task *t, const pm_task_file *f, const char *path, pm_err *e) {
    (void)e;
    report(w, t, f, path, access(path, F_OK) ? "missing" : "present");
    return PM_OK;
}

static const struct {
    const char *name;
    pm_status (*each)(work *w, const pm_task *t, const pm_task_file *f, const char *path, pm_err *e);
} verbs[] = {{"fetch", fetch_file}, {"verify", verify_file}, {"list", list_file}};
enum { N_VERBS = sizeof verbs / sizeof *verbs };

static int verb_index(const char *name) {
    for (int i = 0; i < N_VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0) return i;
    return -1;
}

/* Files without a url are the user's own: they lie beside the task and are none of our business. */
static pm_status each_file(work *w, const char *name, pm_err *e) {
    pm_task *t;
    pm_task_file f[PM_TASK_FILES_MAX];
    char path[PATH_CAP];
    pm_status st = pm_task_open(name, &t, e);
    if (st) return st;
    int n = pm_task_files(t, f);
    for (int i = 0; i < n && !st; i++) {
        if (!f[i].url) continue;
        st = pm_path_join(path, sizeof path, w->data_dir, f[i].file, e);
        if (!st) st = verbs[verb_index(w->verb)].each(w, t, &f[i], path, e);
    }
    pm_task_close(t);
    return st;
}

static pm_status each_task(work *w, int n_named, char **named, pm_err *e) {
    char **all = NULL;
    int n_all = 0;
    pm_status st = n_named ? PM_OK : pm_task_names(&all, &n_all, e);
    for (int i = 0; i < n_named + n_all && !st; i++) st = each_file(w, n_named ? named[i] : all[i], e);
    pm_task_names_free(all, n_all);
    return st;
}

static pm_status verdict(const work *w, pm_err *e) {
    if (w->n_damaged) {
        pm_fail(e, PM_ECHECK, "data verify: %d file%s differ%s from the manifest", w->n_damaged,
                w->n_damaged == 1 ? "" : "s", w->n_damaged == 1 ? "s" : "");
        return pm_hint(e, "`peftmeter data fetch TASK` replaces them");
    }
    if (w->n_missing && w->complete) {
        pm_fail(e, PM_ECHECK, "data verify: %d file%s not fetched", w->n_missing,
                w->n_missing == 1 ? " is" : "s are");
        return pm_hint(e, "peftmeter data fetch TASK, or --all");
    }
    return PM_OK;
}

static pm_status usage(pm_err *e, const char *why) {
    pm_fail(e, PM_EUSAGE, "data: %s", why);
    return pm_hint(e, "peftmeter data fetch|verify|list [TASK...|--all] [--mirror DIR]");
}

static pm_status data(int argc, char **argv, pm_err *e) {
    work w = {0};
    bool all = false;
    const pm_opt opts[] = {
        {"--mirror", &w.mirror, NULL, NULL}, {"--all", NULL, &all, NULL}, {NULL, NULL, NULL, NULL}};
    pm_status st = pm_opts_parse(opts, &argc, argv, e);
    if (st) return st;
    if (argc < 2 || verb_index(argv[1]) < 0) return usage(e, "say fetch, verify or list");
    w.verb = argv[1];
    if (argc > 2 && all) return usage(e, "either task names or --all");
    if (strcmp(w.verb, "fetch") == 0 && argc == 2 && !all)
        return usage(e, "which task? (--all fetches every file)");
    w.complete = argc > 2 || all;
    st = pm_data_dir(w.data_dir, sizeof w.data_dir, e);
    if (st) return st;
    w.out = pm_global.json ? cJSON_CreateArray() : NULL;
    st = each_task(&w, argc - 2, argv + 2, e);
    if (!st) st = verdict(&w, e);
    if (w.out) pm_json_print(w.out);
    return st;
}

const pm_command pm_cmd_data = {
    .name = "data",
    .summary = "fetch, verify or list the files behind the tasks",
    .help =
        "usage: peftmeter data fetch TASK...|--all [--mirror DIR]\n"
        "       peftmeter data verify [TASK...|--all]\n"
        "       peftmeter data list [TASK...]\n"
        "\n"
        "Every file has a url and a sha256 in its task's manifest and goes to the cache ($PEFTMETER_CACHE, "
        "default\n"
        "~/.cache/peftmeter) only after the hash matched. An interrupted download continues where it "
        "stopped.\n"
        "verify hashes what is there: exit 1 when a file differs, or is missing for a task that was named.\n"
        "\n"
        "  --all          every shipped task\n"
        "  --mirror DIR   take a file from DIR when it is there with the right hash\n"
        "\n"
        "  peftmeter data fetch arc_easy gsm8k\n",
    .run = data,
    .light = true,
};
