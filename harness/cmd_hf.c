/* cmd_hf.c - result files of method_comparison on the command line. */
#include "cmd_hf.h"

#include "fetch.h"
#include "hf_results.h"
#include "outdir.h"
#include "text.h"
#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- import -------------------------------------------------------------------------------------------------------------- */

typedef struct importer {
    pm_db *d;
    const char *task;
    int added, there, bad;
    pm_err last; /* printed when another follows it: the last one is the command's own */
} importer;

static void note_bad(importer *x, const pm_err *e) {
    if (x->bad++) pm_err_print(&x->last);
    x->last = *e;
}

static void take_file(importer *x, const char *path) {
    pm_err e = {0};
    bool added;
    if (pm_hf_import(x->d, path, x->task, &added, &e) != PM_OK)
        note_bad(x, &e);
    else
        *(added ? &x->added : &x->there) += 1;
}

static void note_folder(importer *x, const char *path, const char *what) {
    pm_err e = {0};
    pm_fail(&e, PM_EIO, "%.300s: %s", path, what);
    pm_hint(&e, "--hf-results takes files and folders of *.json");
    note_bad(x, &e);
}

/* In the order of their names, so that ids do not depend on the disk. */
static void take_folder(importer *x, const char *path) {
    DIR *d = opendir(path);
    char **name = NULL, file[4096];
    int n = 0;
    if (!d) {
        note_folder(x, path, strerror(errno));
        return;
    }
    for (const struct dirent *f; (f = readdir(d));) {
        if (f->d_name[0] == '.' || !pm_path_ends(f->d_name, ".json")) continue;
        name = pm_xrealloc(name, (size_t)(n + 1) * sizeof *name);
        name[n++] = pm_xstrndup(f->d_name, strlen(f->d_name));
    }
    closedir(d);
    if (!n) note_folder(x, path, "has no *.json");
    if (n) qsort(name, (size_t)n, sizeof *name, pm_by_text);
    for (int i = 0; i < n; i++) {
        pm_err e = {0};
        if (pm_path_join(file, sizeof file, path, name[i], &e) == PM_OK)
            take_file(x, file);
        else
            note_bad(x, &e);
        free(name[i]);
    }
    free(name);
}

static void take(importer *x, const char *path) {
    struct stat s;
    if (stat(path, &s) == 0 && S_ISDIR(s.st_mode))
        take_folder(x, path);
    else
        take_file(x, path);
}

static void say_imported(const importer *x, const char *db) {
    if (pm_global.json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "db", db);
        cJSON_AddNumberToObject(j, "imported", x->added);
        cJSON_AddNumberToObject(j, "there_already", x->there);
        cJSON_AddNumberToObject(j, "not_imported", x->bad);
        pm_json_print(j);
    } else if (!pm_global.quiet) {
        printf("%s: %d run%s imported, %d there already, %d file%s not taken\n", db, x->added,
               x->added == 1 ? "" : "s", x->there, x->bad, x->bad == 1 ? "" : "s");
    }
}

pm_status pm_cmd_hf_import(const pm_list *given, const char *const *more, int n_more, const char *task,
                           const char *db, pm_err *e) {
    importer x = {.task = task};
    pm_status s = pm_mkdir_parent(db, e);
    if (s == PM_OK) s = pm_db_open(db, &x.d, e);
    if (s != PM_OK) return s;
    for (int i = 0; i < given->n; i++) take(&x, given->at[i]);
    for (int i = 0; i < n_more; i++) take(&x, more[i]);
    pm_db_close(x.d);
    if (x.added + x.there || !x.bad) say_imported(&x, db);
    if (x.bad) *e = x.last;
    return x.bad ? x.last.code : PM_OK;
}

/* ---- export -------------------------------------------------------------------------------------------------------------- */

static pm_status nothing(const char *db, const pm_hf_exported *n, pm_err *e) {
    pm_fail(e, PM_EUSAGE, "%s: nothing measured: no run that trained something", db);
    return pm_hint(e, n->untrained ? "the layout has no place for the untuned model"
                                   : "`peftmeter run` and `sweep` write runs");
}

static void say_exported(const char *dir, const pm_hf_exported *n) {
    if (pm_global.json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "out", dir);
        cJSON_AddNumberToObject(j, "files", n->written);
        cJSON_AddNumberToObject(j, "as_imported", n->of_them_imported);
        cJSON_AddNumberToObject(j, "untrained_left_out", n->untrained);
        pm_json_print(j);
    } else if (!pm_global.quiet) {
        printf("%s: %d result file%s", dir, n->written, n->written == 1 ? "" : "s");
        if (n->of_them_imported) printf(", %d of them as imported", n->of_them_imported);
        if (n->untrained)
            printf("; %d run%s left out: the layout has no place for the untuned model", n->untrained,
                   n->untrained == 1 ? "" : "s");
        puts("");
    }
}

pm_status pm_cmd_hf_export(const char *dir, const char *db, bool force, pm_err *e) {
    pm_db *d = NULL;
    pm_outdir o;
    pm_hf_exported n = {0};
    pm_status s = pm_db_open_readonly(db, &d, e);
    if (s == PM_OK) s = pm_outdir_begin(&o, dir, force, e);
    if (s == PM_OK) {
        s = pm_hf_export(d, o.stage, &n, e);
        if (s == PM_OK && !n.written) s = nothing(db, &n, e);
        s = pm_outdir_end(&o, s, e);
    }
    pm_db_close(d);
    if (s == PM_OK) say_exported(dir, &n);
    return s;
}
