/* atomic.c - files that are written whole or not at all (bytes.h).
 *
 * Why: an adapter is hours of work; a crash or a full disk must not leave half of one under its name. So the bytes go to a temporary
 * file beside it, are forced to disk, and take the name in one rename.
 */
#include "bytes.h"
#include <cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static pm_status cannot_write(const char *path, int error, pm_err *e) {
    pm_fail(e, PM_EIO, "write %.200s: %s", path, strerror(error));
    bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    return pm_hint(e, full ? "free some space or choose another directory"
                           : "check the directory and its permissions");
}

pm_status pm_atomic_open(pm_atomic *a, const char *path, pm_err *e) {
    a->f = NULL;
    a->path = path;
    if (snprintf(a->temporary, sizeof a->temporary, "%s.tmp.%ld", path, (long)getpid()) >=
        (int)sizeof a->temporary)
        return cannot_write(path, ENAMETOOLONG, e);
    a->f = fopen(a->temporary, "wbe");
    return a->f ? PM_OK : cannot_write(path, errno, e);
}

/* The rename itself must reach the disk; a file system that cannot sync a directory has nothing to say about it. */
static void sync_dir_of(const char *path) {
    char dir[4096];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!fsync(fd);
    close(fd);
}

pm_status pm_atomic_close(pm_atomic *a, bool ok, pm_err *e) {
    int error = errno; /* of the write that failed, when not ok */
    if (ok && (fflush(a->f) || fsync(fileno(a->f)))) ok = false, error = errno;
    if (fclose(a->f) && ok) ok = false, error = errno;
    if (ok && rename(a->temporary, a->path)) ok = false, error = errno;
    if (ok)
        sync_dir_of(a->path);
    else
        unlink(a->temporary);
    return ok ? PM_OK : cannot_write(a->path, error, e);
}

pm_status pm_atomic_text(const char *path, const char *text, pm_err *e) {
    pm_atomic a;
    pm_status s = pm_atomic_open(&a, path, e);
    return s ? s : pm_atomic_close(&a, fputs(text, a.f) >= 0 && fputc('\n', a.f) != EOF, e);
}

pm_status pm_atomic_json(const char *path, cJSON *j, bool indented, pm_err *e) {
    char *text = indented ? cJSON_Print(j) : cJSON_PrintUnformatted(j);
    PM_ASSERT(text, "out of memory: printing %s", path);
    pm_status s = pm_atomic_text(path, text, e);
    cJSON_free(text);
    cJSON_Delete(j);
    return s;
}
