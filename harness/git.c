/* git.c - asking git (git.h). */
#include "git.h"
#include "process.h"
#include <string.h>

/* The first line of what git says; false when it fails. */
static bool first_line(const char *const *argv, char *out, size_t cap) {
    pm_buf said = {0};
    int code = -1;
    bool ok = pm_process_run(argv, NULL, NULL, &said, &code, NULL) == PM_OK && code == 0 && said.p;
    if (ok) said.p[strcspn(said.p, "\n")] = 0;
    ok = ok && (size_t)snprintf(out, cap, "%s", said.p) < cap;
    pm_buf_free(&said);
    return ok;
}

bool pm_git_commit(const char *name, char hex[65]) {
    char spec[256];
    snprintf(spec, sizeof spec, "%.200s^{commit}", name);
    const char *const argv[] = {"git", "rev-parse", "--verify", "--quiet", "--end-of-options", spec, NULL};
    return *name && *name != '-' && first_line(argv, hex, 65) && *hex &&
           !hex[strspn(hex, "0123456789abcdef")];
}

bool pm_git_top(char *out, size_t cap) {
    const char *const argv[] = {"git", "rev-parse", "--show-toplevel", NULL};
    return first_line(argv, out, cap);
}
