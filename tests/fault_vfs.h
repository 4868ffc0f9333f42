/* fault_vfs.h - an SQLite file layer whose n-th changing call fails, as on a full or broken disk. Passes
 * everything else through.
 *
 *   fault_install();  fault_at(n, true); ... work ...; fault_at(0, false);
 *   fault_hits() says how many calls failed: 0 means that the work was done before its n-th call, the end of
 * a loop over n.
 */
#ifndef PM_FAULT_VFS_H
#define PM_FAULT_VFS_H
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

static struct {
    sqlite3_vfs vfs, *real;
    int calls, fail_at, hits;
    bool forever; /* every later call fails too */
} fault_;

typedef struct fault_file {
    sqlite3_file base;
    sqlite3_file *real; /* lies behind this struct */
} fault_file;

static void fault_at(int n, bool forever) {
    fault_.calls = fault_.hits = 0;
    fault_.fail_at = n;
    fault_.forever = forever;
}

static int fault_hits(void) {
    return fault_.hits;
}

static bool fault_now_(void) {
    if (!fault_.fail_at) return false;
    int n = ++fault_.calls;
    bool fails = n == fault_.fail_at || (fault_.forever && n > fault_.fail_at);
    fault_.hits += fails;
    return fails;
}

#define FAULT_REAL(f) (((fault_file *)(void *)(f))->real)
#define FAULT_PASS(f, method, ...) FAULT_REAL(f)->pMethods->method(FAULT_REAL(f), __VA_ARGS__)

static int fault_close_(sqlite3_file *f) {
    return FAULT_REAL(f)->pMethods->xClose(FAULT_REAL(f));
}
static int fault_read_(sqlite3_file *f, void *to, int n, sqlite3_int64 at) {
    return FAULT_PASS(f, xRead, to, n, at);
}
static int fault_write_(sqlite3_file *f, const void *from, int n, sqlite3_int64 at) {
    return fault_now_() ? SQLITE_FULL : FAULT_PASS(f, xWrite, from, n, at);
}
static int fault_truncate_(sqlite3_file *f, sqlite3_int64 n) {
    return fault_now_() ? SQLITE_IOERR_TRUNCATE : FAULT_PASS(f, xTruncate, n);
}
static int fault_sync_(sqlite3_file *f, int flags) {
    return fault_now_() ? SQLITE_IOERR_FSYNC : FAULT_PASS(f, xSync, flags);
}
static int fault_size_(sqlite3_file *f, sqlite3_int64 *n) {
    return FAULT_PASS(f, xFileSize, n);
}
static int fault_lock_(sqlite3_file *f, int level) {
    return FAULT_PASS(f, xLock, level);
}
static int fault_unlock_(sqlite3_file *f, int level) {
    return FAULT_PASS(f, xUnlock, level);
}
static int fault_reserved_(sqlite3_file *f, int *out) {
    return FAULT_PASS(f, xCheckReservedLock, out);
}
static int fault_control_(sqlite3_file *f, int op, void *arg) {
    return FAULT_PASS(f, xFileControl, op, arg);
}
static int fault_sector_(sqlite3_file *f) {
    return FAULT_REAL(f)->pMethods->xSectorSize(FAULT_REAL(f));
}
static int fault_device_(sqlite3_file *f) {
    return FAULT_REAL(f)->pMethods->xDeviceCharacteristics(FAULT_REAL(f));
}
static int fault_shm_map_(sqlite3_file *f, int page, int size, int extend, void volatile **out) {
    return extend && fault_now_() ? SQLITE_IOERR_SHMSIZE : FAULT_PASS(f, xShmMap, page, size, extend, out);
}
static int fault_shm_lock_(sqlite3_file *f, int offset, int n, int flags) {
    return FAULT_PASS(f, xShmLock, offset, n, flags);
}
static void fault_shm_barrier_(sqlite3_file *f) {
    FAULT_REAL(f)->pMethods->xShmBarrier(FAULT_REAL(f));
}
static int fault_shm_unmap_(sqlite3_file *f, int delete) {
    return FAULT_PASS(f, xShmUnmap, delete);
}

static const sqlite3_io_methods fault_methods_ = {
    .iVersion = 2,
    .xClose = fault_close_,
    .xRead = fault_read_,
    .xWrite = fault_write_,
    .xTruncate = fault_truncate_,
    .xSync = fault_sync_,
    .xFileSize = fault_size_,
    .xLock = fault_lock_,
    .xUnlock = fault_unlock_,
    .xCheckReservedLock = fault_reserved_,
    .xFileControl = fault_control_,
    .xSectorSize = fault_sector_,
    .xDeviceCharacteristics = fault_device_,
    .xShmMap = fault_shm_map_,
    .xShmLock = fault_shm_lock_,
    .xShmBarrier = fault_shm_barrier_,
    .xShmUnmap = fault_shm_unmap_,
};

static int fault_open_(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out_flags) {
    fault_file *file = (fault_file *)(void *)f;
    (void)v;
    file->base.pMethods = NULL;
    file->real = (sqlite3_file *)(void *)(file + 1);
    if ((flags & SQLITE_OPEN_CREATE) && fault_now_()) return SQLITE_CANTOPEN;
    int rc = fault_.real->xOpen(fault_.real, name, file->real, flags, out_flags);
    if (file->real->pMethods) file->base.pMethods = &fault_methods_;
    return rc;
}

static int fault_delete_(sqlite3_vfs *v, const char *name, int sync) {
    (void)v;
    return fault_now_() ? SQLITE_IOERR_DELETE : fault_.real->xDelete(fault_.real, name, sync);
}

static void fault_install(void) {
    fault_.real = sqlite3_vfs_find(NULL);
    fault_.vfs = *fault_.real;
    fault_.vfs.zName = "fault";
    fault_.vfs.pNext = NULL;
    fault_.vfs.szOsFile = (int)sizeof(fault_file) + fault_.real->szOsFile;
    fault_.vfs.xOpen = fault_open_;
    fault_.vfs.xDelete = fault_delete_;
    sqlite3_vfs_register(&fault_.vfs, 1);
}
#endif
