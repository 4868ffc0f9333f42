/* outdir.c - all files of a directory or none (outdir.h).
 *
 * A new directory is staged beside its place and takes its name in one rename. One that exists may be a mount point, or lie in a folder
 * that cannot be written: it is staged inside, and its files move up one by one.
 */
#include "outdir.h"
#include "cmd.h"
#include "fetch.h"
#include "text.h"
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pm_status cannot(const char *what, const char *path, pm_err *e) {
    pm_fail(e, PM_EIO, "%s %.300s: %s", what, path, strerror(errno));
    return pm_hint(e, "check --out and its permissions");
}

static bool is_dot(const struct dirent *f) {
    return !strcmp(f->d_name, ".") || !strcmp(f->d_name, "..");
}

static pm_status check_empty(const char *dir, pm_err *e) {
    DIR *d = opendir(dir);
    if (!d) return cannot("open", dir, e);
    const struct dirent *f = readdir(d);
    while (f && is_dot(f)) f = readdir(d);
    bool empty = !f;
    closedir(d);
    if (empty) return PM_OK;
    pm_fail(e, PM_EUSAGE, "--out: %.300s is not empty", dir);
    return pm_hint(e, "--force writes over the files of the same names in it");
}

pm_status pm_outdir_check(const char *dir, bool force, pm_err *e) {
    struct stat s;
    if (!dir || !*dir)
        return pm_fail(e, PM_EUSAGE, "--out: not given"), pm_hint(e, "--out DIR: where to write");
    if (stat(dir, &s)) return errno == ENOENT ? PM_OK : cannot("open", dir, e);
    if (S_ISDIR(s.st_mode)) return force ? PM_OK : check_empty(dir, e);
    pm_fail(e, PM_EIO, "--out: %.300s is a file", dir);
    return pm_hint(e, "name a directory; it is made when it does not exist");
}

pm_status pm_outdir_begin(pm_outdir *o, const char *dir, bool force, pm_err *e) {
    pm_status rc = pm_outdir_check(dir, force, e);
    if (rc) return rc;
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/') n--;
    if (n >= sizeof o->dir)
        return pm_fail(e, PM_EIO, "path too long: %.200s", dir), pm_hint(e, "choose a shorter --out");
    snprintf(o->dir, sizeof o->dir, "%.*s", (int)n, dir);
    o->existed = access(o->dir, F_OK) == 0;
    snprintf(o->stage, sizeof o->stage, o->existed ? "%s/.tmp.%ld" : "%s.tmp.%ld", o->dir, (long)getpid());
    rc = pm_mkdir_parent(o->dir, e);
    if (!rc && mkdir(o->stage, 0777)) rc = cannot("make", o->stage, e);
    if (!rc) pm_catch_interrupts();
    return rc;
}

/* Every file of the stage moved to its place, or with `to` NULL deleted. */
static pm_status empty_stage(const pm_outdir *o, const char *to, pm_err *e) {
    char from[4400], into[4400];
    DIR *d = opendir(o->stage);
    if (!d) return cannot("open", o->stage, e);
    pm_status rc = PM_OK;
    for (const struct dirent *f; !rc && (f = readdir(d));) {
        if (is_dot(f)) continue;
        snprintf(from, sizeof from, "%s/%s", o->stage, f->d_name);
        snprintf(into, sizeof into, "%s/%s", to ? to : "", f->d_name);
        if (to ? rename(from, into) : unlink(from)) rc = cannot("write", to ? into : from, e);
    }
    closedir(d);
    if (!rc && rmdir(o->stage)) rc = cannot("remove", o->stage, e);
    return rc;
}

pm_status pm_outdir_end(pm_outdir *o, pm_status rc, pm_err *e) {
    if (!rc && pm_interrupted) {
        pm_fail(e, PM_ECANCELLED, "interrupted: %.300s is as it was", o->dir);
        rc = pm_hint(e, "the same command starts again");
    }
    if (!rc)
        rc = o->existed                 ? empty_stage(o, o->dir, e)
             : rename(o->stage, o->dir) ? cannot("make", o->dir, e)
                                        : PM_OK;
    if (rc) empty_stage(o, NULL, NULL);
    return rc;
}
