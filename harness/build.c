/* build.c - commits to programs (build.h).
 *
 * The work tree is taken out of git's list when it is built: what stays is a plain folder with the program and the data it ships. Its name
 * has the commit and a hash of the compiler and its flags: another compiler's build of the same commit is another build.
 */
#include "build.h"
#include "bytes.h"
#include "cmd.h"
#include "fetch.h"
#include "git.h"
#include "process.h"
#include "sha256.h"
#include "stats_sample.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_CAP = 4096, KEPT = 8, SAID_LINES = 12 };
static const char program_in_tree[] = "build/release/peftmeter";
/* Every function at the start of a cache line: otherwise a line more in one function moves all that follow, and a kernel that nobody touched becomes 10%
 * slower or faster (seen with k_rmsnorm_bwd). */
static const char aligned[] = "-falign-functions=64";

typedef struct places {
    char builds[PATH_CAP], top[PATH_CAP]; /* the cache's folder; the repository */
    char tree[PATH_CAP], final[PATH_CAP], log[PATH_CAP];
} places;

/* ---- which build --------------------------------------------------------------------------------------------------------- */

/* The compiler, what it says of itself, and every flag that make would take from the environment. */
static void hash_tools(char hex[65]) {
    static const char *const flag[] = {"CFLAGS", "CPPFLAGS", "LDLIBS"};
    const char *cc = getenv("CC");
    const char *const argv[] = {"sh", "-c", "${CC:-gcc} --version", NULL};
    pm_buf said = {0};
    int code;
    pm_sha256 h;
    pm_sha256_init(&h);
    if (pm_process_run(argv, NULL, NULL, &said, &code, NULL) == PM_OK && said.p)
        pm_sha256_update(&h, said.p, said.n);
    if (cc) pm_sha256_update(&h, cc, strlen(cc));
    pm_sha256_update(&h, aligned, strlen(aligned));
    for (size_t i = 0; i < sizeof flag / sizeof *flag; i++) {
        const char *value = getenv(flag[i]);
        pm_sha256_update(&h, flag[i], strlen(flag[i]));
        if (value) pm_sha256_update(&h, value, strlen(value));
    }
    pm_sha256_hex(&h, hex);
    pm_buf_free(&said);
}

static pm_status find_places(const char *commit, places *p, pm_err *e) {
    char cache[PATH_CAP], tools[65], name[128];
    hash_tools(tools);
    pm_status rc = pm_cache_dir(cache, sizeof cache, e);
    if (!rc) rc = pm_path_join(p->builds, sizeof p->builds, cache, "builds", e);
    if (!rc) rc = pm_mkdirs(p->builds, e);
    snprintf(name, sizeof name, "%.40s-%.8s", commit, tools);
    if (!rc) rc = pm_path_join(p->final, sizeof p->final, p->builds, name, e);
    snprintf(name, sizeof name, "%.40s-%.8s.new", commit, tools);
    if (!rc) rc = pm_path_join(p->tree, sizeof p->tree, p->builds, name, e);
    snprintf(name, sizeof name, "%.40s-%.8s.log", commit, tools);
    return rc ? rc : pm_path_join(p->log, sizeof p->log, p->builds, name, e);
}

static pm_status find_commit(const char *ref, pm_build *out, places *p, pm_err *e) {
    char marker[PATH_CAP];
    if (!pm_git_top(p->top, sizeof p->top) ||
        pm_path_join(marker, sizeof marker, p->top, "harness/pace.h", NULL) || access(marker, R_OK)) {
        pm_fail(e, PM_EUSAGE, "--build: this folder is not in peftmeter's own repository");
        return pm_hint(
            e, "run it in a clone of peftmeter; recorded runs are compared anywhere, without --build");
    }
    if (pm_git_commit(ref, out->commit)) return PM_OK;
    pm_fail(e, PM_EUSAGE, "%.100s: no such commit here", ref);
    return pm_hint(e, "`git log --oneline` lists them; a shallow clone has few (git fetch --unshallow)");
}

/* ---- building ------------------------------------------------------------------------------------------------------------ */

static void remove_tree(const char *path) {
    const char *const argv[] = {"rm", "-rf", "--", path, NULL};
    pm_buf said = {0};
    int code;
    pm_process_run(argv, NULL, NULL, &said, &code, NULL);
    pm_buf_free(&said);
}

/* git -C TOP ...: its exit code, 127 when it could not be started. */
static int git(const places *p, const char *const *words, pm_buf *said) {
    const char *argv[10] = {"git", "-C", p->top};
    int n = 3, code = 127;
    while (*words && n < 9) argv[n++] = *words++;
    pm_process_run(argv, NULL, NULL, said, &code, NULL);
    return code;
}

/* Out of git's list, also where the folder is gone; what is not in the list is no trouble. */
static void forget_tree(const places *p) {
    pm_buf said = {0};
    git(p, (const char *const[]){"worktree", "remove", "--force", p->tree, NULL}, &said);
    pm_buf_free(&said);
}

static pm_status check_out(const char *commit, const places *p, pm_err *e) {
    pm_buf said = {0};
    forget_tree(p);
    remove_tree(p->tree);
    int code =
        git(p, (const char *const[]){"worktree", "add", "--detach", "--force", p->tree, commit, NULL}, &said);
    if (code) {
        pm_fail(e, PM_EIO, "git worktree add: %.300s",
                said.p ? pm_last_lines(said.p, 1) : "it cannot be started");
        pm_hint(e, "is %.200s writable, and on a disk with room?", p->builds);
    }
    pm_buf_free(&said);
    return code ? PM_EIO : PM_OK;
}

static pm_status compiler_failed(const char *commit, const places *p, const pm_buf *said, pm_err *e) {
    const char *all = said->p ? said->p : "";
    pm_atomic_text(p->log, all, NULL);
    fprintf(stderr, "%s%s", pm_last_lines(all, SAID_LINES), *all && all[said->n - 1] == '\n' ? "" : "\n");
    pm_fail(e, PM_EIO, "build %.12s: make failed", commit);
    return pm_hint(e, "the whole of what it said: %.200s", p->log);
}

static pm_status compile(const char *commit, const places *p, pm_err *e) {
    const char *const argv[] = {"make", "V=release", "build/release/peftmeter", NULL},
                      *given = getenv("CFLAGS");
    pm_buf said = {0}, flags = {0};
    int code = 0;
    pm_buf_printf(&flags, "CFLAGS=%s %s", given ? given : "", aligned);
    /* A make above this one must not speak to the one below. */
    const char *const env[] = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "BUILD", "V", "WERROR", flags.p, NULL};
    pm_status rc = pm_process_run(argv, p->tree, env, &said, &code, e);
    pm_buf_free(&flags);
    if (!rc && code) rc = compiler_failed(commit, p, &said, e);
    pm_buf_free(&said);
    return rc;
}

/* What was only for building goes; the folder gets its name last, so that a name means a whole build. */
static pm_status settle(const places *p, pm_err *e) {
    char script[] = "find build -mindepth 2 ! -path build/release/peftmeter -delete; rm -rf .git tests bench";
    const char *const argv[] = {"sh", "-c", script, NULL};
    char moved[PATH_CAP + 8];
    pm_buf said = {0};
    int code = 0;
    snprintf(moved, sizeof moved, "%s.built", p->tree);
    if (rename(p->tree, moved)) return pm_fail(e, PM_EIO, "rename %s: %s", p->tree, strerror(errno));
    forget_tree(p);
    pm_status rc = pm_process_run(argv, moved, NULL, &said, &code, e);
    if (!rc && rename(moved, p->final)) rc = pm_fail(e, PM_EIO, "rename %s: %s", moved, strerror(errno));
    pm_buf_free(&said);
    return rc;
}

static pm_status build(const char *commit, const places *p, pm_err *e) {
    if (!pm_global.quiet) fprintf(stderr, "building %.12s (a minute; the cache keeps it)\n", commit);
    pm_status rc = check_out(commit, p, e);
    if (!rc) rc = compile(commit, p, e);
    if (!rc) return settle(p, e);
    forget_tree(p);
    remove_tree(p->tree);
    return rc;
}

/* ---- the cache ----------------------------------------------------------------------------------------------------------- */

typedef struct aged {
    char path[PATH_CAP];
    time_t used;
} aged;

static int newest_first(const void *x, const void *y) {
    const aged *a = x, *b = y;
    return (a->used < b->used) - (a->used > b->used);
}

/* Folders and logs alike, but for the newest and the lock. */
static void drop_oldest(const char *builds) {
    DIR *dir = opendir(builds);
    aged *list = NULL;
    int n = 0;
    for (struct dirent *d; dir && (d = readdir(dir));) {
        struct stat st;
        list = pm_xrealloc(list, ((size_t)n + 1) * sizeof *list);
        if (*d->d_name == '.' || strcmp(d->d_name, "lock") == 0 ||
            pm_path_join(list[n].path, PATH_CAP, builds, d->d_name, NULL) || stat(list[n].path, &st))
            continue;
        list[n++].used = st.st_mtime;
    }
    if (dir) closedir(dir);
    if (n) qsort(list, (size_t)n, sizeof *list, newest_first);
    for (int i = KEPT; i < n; i++) remove_tree(list[i].path);
    free(list);
}

/* One at a time: two that want the same commit build it once. Closed by the caller; -1: go on without. */
static int lock_builds(const char *builds) {
    char path[PATH_CAP];
    int fd = pm_path_join(path, sizeof path, builds, "lock", NULL)
                 ? -1
                 : open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) flock(fd, LOCK_EX);
    return fd;
}

pm_status pm_build_commit(const char *ref, pm_build *out, pm_err *e) {
    places *p = pm_xalloc(sizeof *p);
    pm_status rc = find_commit(ref, out, p, e);
    if (!rc) rc = find_places(out->commit, p, e);
    if (!rc) {
        snprintf(out->root, sizeof out->root, "%s", p->final);
        rc = pm_path_join(out->program, sizeof out->program, p->final, program_in_tree, e);
        int lock = lock_builds(p->builds);
        if (!rc && access(out->program, X_OK)) rc = build(out->commit, p, e);
        if (!rc) utimensat(AT_FDCWD, p->final, NULL, 0);
        drop_oldest(p->builds);
        if (lock >= 0) close(lock);
    }
    free(p);
    return rc;
}
