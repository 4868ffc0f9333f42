/* paths.c - where things lie: the cache of fetched files and the shipped datasets/ folder. */
#include "cmd.h"
#include "text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_CAP = 4096, LEVELS_UP = 6 };

static const char *env(const char *name) {
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

pm_status pm_cache_dir(char *out, size_t cap, pm_err *e) {
    const char *dir = env("PEFTMETER_CACHE"), *home = env("HOME");
    if (dir && (size_t)snprintf(out, cap, "%s", dir) < cap) return PM_OK;
    if (dir) return pm_fail(e, PM_EIO, "PEFTMETER_CACHE is too long");
    if (home) return pm_path_join(out, cap, home, ".cache/peftmeter", e);
    pm_fail(e, PM_EIO, "no cache folder: neither PEFTMETER_CACHE nor HOME is set");
    return pm_hint(e, "set PEFTMETER_CACHE to a folder that can be written");
}

pm_status pm_data_dir(char *out, size_t cap, pm_err *e) {
    char cache[PATH_CAP];
    pm_status rc = pm_cache_dir(cache, sizeof cache, e);
    return rc ? rc : pm_path_join(out, cap, cache, "data", e);
}

/* root/datasets holds our catalogue: that is the shipped folder. */
static bool is_share(const char *root, char *out, size_t cap) {
    char probe[PATH_CAP];
    return !pm_path_join(out, cap, root, "datasets", NULL) &&
           !pm_path_join(probe, sizeof probe, out, "models.json", NULL) && access(probe, R_OK) == 0;
}

/* From the binary's folder upwards: build/release/peftmeter lies two levels below the tree, an installed one beside share/. */
static bool share_near_binary(char *out, size_t cap) {
    char dir[PATH_CAP], installed[PATH_CAP];
    ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);
    if (n <= 0) return false;
    dir[n] = 0;
    for (int i = 0; i < LEVELS_UP; i++) {
        char *slash = strrchr(dir, '/');
        if (!slash || slash == dir) return false;
        *slash = 0;
        if (is_share(dir, out, cap)) return true;
        if (!pm_path_join(installed, sizeof installed, dir, "share/peftmeter", NULL) &&
            is_share(installed, out, cap))
            return true;
    }
    return false;
}

pm_status pm_share_dir(char *out, size_t cap, pm_err *e) {
    const char *home = env("PEFTMETER_HOME");
    if (home ? is_share(home, out, cap) : share_near_binary(out, cap) || is_share(".", out, cap))
        return PM_OK;
    pm_fail(e, PM_EIO, "the datasets folder is not %s%s",
            home ? "below PEFTMETER_HOME=" : "beside the program", home ? home : "");
    return pm_hint(
        e, "set PEFTMETER_HOME to peftmeter's source folder, the one that holds datasets/models.json");
}

pm_status pm_root_dir(char *out, size_t cap, pm_err *e) {
    pm_status rc = pm_share_dir(out, cap, e);
    if (!rc) *strrchr(out, '/') = 0;
    return rc;
}
