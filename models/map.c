/* map.c - files mapped into memory, and the helpers of bytes.h.
 *
 * Why a private writable mapping: weights are used where they lie in the file, untouched pages stay shared
 * between processes, and a method that folds itself into a weight gets its own copy of just those pages. The
 * file itself is never changed.
 */
#include "bytes.h"
#include "weights.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static pm_status map_fd(int fd, const char *path, pm_map *m, pm_err *e) {
    struct stat st;
    if (fstat(fd, &st)) return pm_fail(e, PM_EIO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) {
        pm_fail(e, PM_EIO, "%s: not a regular file", path);
        return pm_hint(e, "give the path of a file");
    }
    if (st.st_size == 0) return pm_damaged(e, path, "the file is empty");
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    if (p == MAP_FAILED) return pm_fail(e, PM_EIO, "map %s: %s", path, strerror(errno));
    *m = (pm_map){.p = p, .n_bytes = (size_t)st.st_size};
    return PM_OK;
}

pm_status pm_map_open(const char *path, pm_map *m, pm_err *e) {
    *m = (pm_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make us wait */
    if (fd < 0) {
        pm_fail(e, PM_EIO, "open %s: %s", path, strerror(errno));
        return pm_hint(e, "check the path and its permissions");
    }
    pm_status s = map_fd(fd, path, m, e);
    close(fd);
    return s;
}

void pm_map_close(pm_map *m) {
    if (m->p) munmap((void *)(uintptr_t)m->p, m->n_bytes);
    *m = (pm_map){0};
}

void pm_map_forget(const void *p, size_t n_bytes) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)p + page - 1) / page * page,
              to = ((uintptr_t)p + n_bytes) / page * page;
    if (from < to) madvise((void *)from, to - from, MADV_DONTNEED); /* refused: they stay, and are right */
}

enum { PATH_SHOWN = 200 };

pm_status pm_damaged(pm_err *e, const char *file, const char *fmt, ...) {
    char why[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    size_t n = strlen(file), cut = n > PATH_SHOWN ? n - PATH_SHOWN : 0;
    pm_fail(e, PM_EFORMAT, "%s%s: %s", cut ? "..." : "", file + cut, why);
    return pm_hint(e, "the file is damaged, incomplete or not what its name says: fetch or write it again");
}

bool pm_name_ok(const char *s, size_t n_bytes) {
    if (n_bytes < 1 || n_bytes > 255) return false;
    for (size_t i = 0; i < n_bytes; i++)
        if (s[i] < 0x20 || s[i] > 0x7e) return false;
    return true;
}

void *pm_xcalloc(size_t n, size_t element_bytes) {
    void *p = calloc(n ? n : 1, element_bytes);
    PM_ASSERT(p, "out of memory: %zu elements of %zu bytes", n, element_bytes);
    return p;
}
