/* cmd_merge.c - `merge`: folds databases together by run key. */
#include "cmd.h"
#include "db_merge.h"
#include "fetch.h"
#include "sweep_run.h"
#include <cjson/cJSON.h>

static const char help[] = "usage: peftmeter merge OUT.db IN.db [IN.db ...]\n"
                           "\n"
                           "Adds the runs of each IN to OUT, which is made when it is not there. A run key "
                           "is in OUT once: a run that is ok takes the place of one\n"
                           "that failed, and one that is there already is left out. Doing it twice changes "
                           "nothing, and no test read is counted twice.\n"
                           "\n"
                           "Examples:\n"
                           "  peftmeter merge results/all.db results/arc.*.db\n";

static void say(const char *path, int n_in, const pm_merged *n) {
    if (pm_global.json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "db", path);
        cJSON_AddNumberToObject(j, "databases", n_in);
        cJSON_AddNumberToObject(j, "added", n->added);
        cJSON_AddNumberToObject(j, "replaced", n->replaced);
        cJSON_AddNumberToObject(j, "there", n->there);
        pm_json_print(j);
    } else if (!pm_global.quiet)
        printf("%s: %d runs added, %d in the place of broken ones, %d there already\n", path, n->added,
               n->replaced, n->there);
}

/* Before OUT is made: a misspelt name leaves no empty database behind. */
static pm_status look_at(char **paths, int n, pm_err *e) {
    pm_status rc = PM_OK;
    for (int i = 0; i < n && !rc; i++) {
        pm_db *d = NULL;
        rc = pm_db_open_readonly(paths[i], &d, e);
        pm_db_close(d);
    }
    return rc;
}

static pm_status run(int argc, char **argv, pm_err *e) {
    const pm_opt opts[] = {{0}};
    pm_status rc = pm_opts_parse(opts, &argc, argv, e);
    if (!rc) rc = pm_args_check(argc, argv, 2, argc, e);
    if (rc) return rc;
    pm_db *into;
    pm_merged n = {0};
    rc = look_at(argv + 2, argc - 2, e);
    if (!rc) rc = pm_mkdir_parent(argv[1], e);
    if (!rc) rc = pm_db_open(argv[1], &into, e);
    if (rc) return rc;
    for (int i = 2; i < argc && !rc; i++) {
        rc = pm_sweep_bury_idle(argv[i], e);
        if (!rc) rc = pm_db_merge(into, argv[i], &n, e);
    }
    pm_db_close(into);
    if (!rc) say(argv[1], argc - 2, &n);
    return rc;
}

const pm_command pm_cmd_merge = {"merge", "fold databases together by run key", help, run, NULL, true};
